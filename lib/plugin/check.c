/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/list.h>

#include <base/sized.h>

#include <string.h>

/* Names and versions become parts of keys, labels and log lines: 1 to 63 visible ASCII characters
 * that none of these has to escape. */
static bool is_word(const char *text) {
    size_t length = text ? strnlen(text, 64) : 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~' || strchr("\"\\,=/", text[i])) {
            return false;
        }
    }
    return length > 0 && length < 64;
}

static mm_status check_abi(const mm_backend *table, mm_error *err) {
    if (table->abi_major != MM_BACKEND_ABI_MAJOR || table->abi_minor > MM_BACKEND_ABI_MINOR) {
        return mmi_fail(err, MM_ABI_MISMATCH,
                        "the backend was built for backend ABI %u.%u, this library has %u.%u",
                        table->abi_major, table->abi_minor, (unsigned)MM_BACKEND_ABI_MAJOR,
                        (unsigned)MM_BACKEND_ABI_MINOR);
    }
    return MM_OK;
}

static mm_status check_names(const mm_backend *table, mm_error *err) {
    if (!is_word(table->name)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "name: 1 to 63 visible ASCII characters without \" \\ , = / expected");
    }
    if (!is_word(table->version)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "version of backend %s: expected in the form of a name", table->name);
    }
    return MM_OK;
}

static const char *bad_format(const mm_format *format) {
    if (!is_word(format->name)) {
        return "name";
    }
    if (format->version && !is_word(format->version)) {
        return "version";
    }
    if (format->suffix && !*format->suffix) {
        return "suffix";
    }
    if ((format->magic == NULL) != (format->magic_bytes == 0)) {
        return "magic";
    }
    if (format->magic_bytes > MMI_FORMAT_HEAD_BYTES) {
        return "magic_bytes";
    }
    return format->reserved != 0 ? "reserved" : NULL;
}

static mm_status check_formats(const mm_backend *table, mm_error *err) {
    if (!table->formats) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "formats of backend %s: NULL", table->name);
    }
    if (table->format_count == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "format_count of backend %s: 0", table->name);
    }
    for (uint32_t i = 0; i < table->format_count; i++) {
        const char *bad = bad_format(&table->formats[i]);
        if (bad) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "formats[%u].%s of backend %s: not valid", i,
                            bad, table->name);
        }
    }
    return MM_OK;
}

static mm_status check_bits(const mm_backend *table, mm_error *err) {
    uint32_t flags =
        MM_BACKEND_NESTED | MM_BACKEND_OWN_MEMORY | MM_BACKEND_MALLOC | MM_BACKEND_DEVICE_VALUES;
    uint32_t kinds = MM_DEVICE_HOST | MM_DEVICE_SIM | MM_DEVICE_CUDA;
    if (table->flags & ~flags) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "flags of backend %s: 0x%x is unknown",
                        table->name, table->flags & ~flags);
    }
    if (table->device_kinds == 0 || (table->device_kinds & ~kinds)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "device_kinds of backend %s: 0x%x, some of 0x%x expected", table->name,
                        table->device_kinds, kinds);
    }
    return MM_OK;
}

static mm_status check_slots(const mm_backend *table, mm_error *err) {
    const struct {
        const char *name;
        bool present;
    } required[] = {
        {"open", table->open != NULL},     {"close", table->close != NULL},
        {"size", table->size != NULL},     {"attach", table->attach != NULL},
        {"detach", table->detach != NULL}, {"infer", table->infer != NULL},
    };
    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (!required[i].present) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "%s of backend %s: NULL", required[i].name,
                            table->name);
        }
    }
    if ((table->init == NULL) != (table->fini == NULL)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s of backend %s: NULL, but %s is not",
                        table->init ? "fini" : "init", table->name, table->init ? "init" : "fini");
    }
    bool owns = (table->flags & MM_BACKEND_OWN_MEMORY) != 0;
    if (owns != (table->own_bytes != NULL)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "own_bytes of backend %s: goes with MM_BACKEND_OWN_MEMORY, and %s",
                        table->name, owns ? "is NULL" : "the flag is not set");
    }
    return MM_OK;
}

/* The slots of the first minor of this major end with infer. */
#define TABLE_SIZES MMI_SIZES(mm_backend, infer)

mm_status mmi_backend_read(const mm_backend *from, mm_backend *table, mm_error *err) {
    if (!from) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "backend: NULL");
    }
    MMI_TRY(check_abi(from, err)); /* first: of another ABI nothing else can be read */
    MMI_TRY(mmi_sized_read(table, from, TABLE_SIZES, "backend", err));
    MMI_TRY(check_names(table, err));
    MMI_TRY(check_formats(table, err));
    MMI_TRY(check_bits(table, err));
    return check_slots(table, err);
}
