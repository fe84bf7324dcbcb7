/* SPDX-License-Identifier: Apache-2.0 */
#include <base/fork.h>

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#define BYTES 1 /* the kernel makes it a page */

mm_status mmi_fork_page_new(mmi_fork_page **page, mm_error *err) {
    unsigned char *made =
        mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED) {
        return mmi_fail_errno(err, MM_NO_MEMORY, errno, "mesh: no page");
    }
    if (madvise(made, BYTES, MADV_WIPEONFORK) != 0) {
        mm_status status = mmi_fail_errno(err, MM_UNSUPPORTED, errno, "mesh: MADV_WIPEONFORK");
        munmap(made, BYTES);
        return status;
    }
    *made = 1;
    *page = made;
    return MM_OK;
}

void mmi_fork_page_free(mmi_fork_page *page) {
    if (page) {
        munmap((void *)(uintptr_t)page, BYTES);
    }
}
