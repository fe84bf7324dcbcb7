/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_FORK_H
#define MMI_BASE_FORK_H

/* Detects a forked child. One load, no system call: the kernel zeroes the page in every child. */

#include <base/status.h>

#include <stdbool.h>

typedef volatile const unsigned char mmi_fork_page;

mm_status mmi_fork_page_new(mmi_fork_page **page, mm_error *err);
void mmi_fork_page_free(mmi_fork_page *page); /* NULL is fine */

static inline bool mmi_forked(mmi_fork_page *page) {
    return *page != 1;
}

#endif
