/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BASE_STATUS_H
#define MMI_BASE_STATUS_H

/* Filling a caller's mm_error. Every function accepts err == NULL. */

#include <modelmesh/types.h>

#include <stdarg.h>
#include <stdbool.h>

/* Fill err and return status, so that `return mmi_fail(err, MM_BUSY, "...")` reads as one step. The
 * byte counts and the back-off are set to 0. Control characters, which names may have, become
 * blanks: the text is one line. */
__attribute__((format(printf, 3, 4))) mm_status mmi_fail(mm_error *err, mm_status status,
                                                         const char *format, ...);
/* The same with both numbers of a refusal for lack of room. */
__attribute__((format(printf, 5, 6))) mm_status mmi_fail_room(mm_error *err, mm_status status,
                                                              uint64_t needed_bytes,
                                                              uint64_t available_bytes,
                                                              const char *format, ...);
/* The same with ": <text of errno>" at the end; EMFILE and ENFILE become MM_NO_FDS, ENOSPC and
 * EDQUOT MM_NO_SPACE, ENOMEM MM_NO_MEMORY, whatever `status` says. */
__attribute__((format(printf, 4, 5))) mm_status mmi_fail_errno(mm_error *err, mm_status status,
                                                               int errnum, const char *format, ...);
/* Copy a remembered error to a caller; returns its status. */
mm_status mmi_error_copy(mm_error *to, const mm_error *from);
/* No error; the text is empty, what lies behind its end stays as it was. err: not NULL. */
static inline void mmi_error_clear(mm_error *err) {
    err->status = MM_OK;
    err->reserved = 0;
    err->retry_after_ns = err->needed_bytes = err->available_bytes = 0;
    err->text[0] = 0;
}
/* Put "prefix: " before the text that err holds (nothing when err is NULL). */
__attribute__((format(printf, 2, 3))) void mmi_error_prefix(mm_error *err, const char *format, ...);

/* Inside one function: give up with the status of a failed call. The only macro that hides control
 * flow. */
#define MMI_TRY(expression)                                                                        \
    do {                                                                                           \
        mm_status mmi_try_status = (expression);                                                   \
        if (mmi_try_status != MM_OK) {                                                             \
            return mmi_try_status;                                                                 \
        }                                                                                          \
    } while (0)

#endif
