/* SPDX-License-Identifier: Apache-2.0 */
#include <base/status.h>
#include <base/text.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void fill(mm_error *err, mm_status status, uint64_t needed_bytes, uint64_t available_bytes) {
    err->status = status;
    err->reserved = 0;
    err->retry_after_ns = 0;
    err->needed_bytes = needed_bytes;
    err->available_bytes = available_bytes;
}

/* One line, even if a name in it has line breaks. */
static void write_text(mm_error *err, const char *format, va_list args) {
    vsnprintf(err->text, sizeof(err->text), format, args);
    for (char *at = err->text; *at; at++) {
        *at = (unsigned char)*at < ' ' ? ' ' : *at;
    }
}

mm_status mmi_fail(mm_error *err, mm_status status, const char *format, ...) {
    if (err) {
        fill(err, status, 0, 0);
        va_list args;
        va_start(args, format);
        write_text(err, format, args);
        va_end(args);
    }
    return status;
}

mm_status mmi_fail_room(mm_error *err, mm_status status, uint64_t needed_bytes,
                        uint64_t available_bytes, const char *format, ...) {
    if (err) {
        fill(err, status, needed_bytes, available_bytes);
        va_list args;
        va_start(args, format);
        write_text(err, format, args);
        va_end(args);
    }
    return status;
}

static mm_status status_of_errno(int errnum, mm_status status) {
    switch (errnum) {
    case EMFILE:
    case ENFILE:
        return MM_NO_FDS;
    case ENOSPC:
    case EDQUOT:
        return MM_NO_SPACE;
    case ENOMEM:
        return MM_NO_MEMORY;
    default:
        return status;
    }
}

mm_status mmi_fail_errno(mm_error *err, mm_status status, int errnum, const char *format, ...) {
    status = status_of_errno(errnum, status);
    if (err) {
        fill(err, status, 0, 0);
        va_list args;
        va_start(args, format);
        write_text(err, format, args);
        va_end(args);
        /* strerrordesc_np is the same text in every locale and thread. */
        const char *reason = strerrordesc_np(errnum);
        struct mmi_text text;
        size_t used = strlen(err->text);
        mmi_text_init(&text, err->text + used, sizeof(err->text) - used);
        mmi_text_add(&text, ": %s", reason ? reason : "unknown error");
    }
    return status;
}

mm_status mmi_error_copy(mm_error *to, const mm_error *from) {
    if (to) {
        *to = *from;
    }
    return (mm_status)from->status;
}

void mmi_error_prefix(mm_error *err, const char *format, ...) {
    if (!err) {
        return;
    }
    mm_error joined = *err;
    va_list args;
    va_start(args, format);
    write_text(&joined, format, args);
    va_end(args);
    struct mmi_text text;
    size_t used = strlen(joined.text);
    mmi_text_init(&text, joined.text + used, sizeof(joined.text) - used);
    mmi_text_add(&text, ": %s", err->text);
    *err = joined;
}
