/* SPDX-License-Identifier: Apache-2.0 */
#include <base/file_limit.h>

#include <stdbool.h>
#include <sys/resource.h>

uint64_t mmi_file_limit(void) {
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited ? (uint64_t)limit.rlim_cur : UINT64_MAX;
}
