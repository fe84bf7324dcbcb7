/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_VALUE_H
#define MMI_API_VALUE_H

/* Is a caller's value well formed, and does it match what a model declares? Called for every input
 * of every request: for a plain, valid tensor it is inline and takes a few nanoseconds. */

#include <base/status.h>

/* For everything else: strings, packed types, sequences, optionals, maps, and errors. */
mm_status mmi_value_check_slow(const mm_value *value, const char *what, mm_error *err);
mm_status mmi_value_matches_slow(const mm_value *value, const mm_value_info *info, mm_error *err);

/* Bytes of one element; 0 for strings, packed types and what is none. */
#define MMI_DTYPES (MM_I2 + 1)
extern const uint8_t mmi_element_bytes[MMI_DTYPES];

/* A valid tensor of unpacked numbers. */
static inline bool mmi_value_plain(const mm_value *value) {
    if (value->kind != MM_TENSOR || (uint32_t)value->dtype >= MMI_DTYPES ||
        value->rank > MM_MAX_RANK || !value->data) {
        return false;
    }
    uint64_t bytes = mmi_element_bytes[value->dtype];
    for (uint32_t i = 0; i < value->rank; i++) {
        if (value->shape[i] < 0 ||
            __builtin_mul_overflow(bytes, (uint64_t)value->shape[i], &bytes)) {
            return false;
        }
    }
    return bytes == value->bytes && bytes > 0;
}

/* 0 = the host; else 1 + the index of a device. */
static inline uint32_t mmi_location(uint32_t flags) {
    return (flags & MM_VALUE_LOCATION) >> 8;
}

/* Is it well formed, with everything inside it? MM_INVALID_ARGUMENT calls it `what`. */
static inline mm_status mmi_value_check(const mm_value *value, const char *what, mm_error *err) {
    return mmi_value_plain(value) ? MM_OK : mmi_value_check_slow(value, what, err);
}

static inline bool mmi_tensor_fits(const mm_value *value, const mm_value_info *info) {
    if (value->kind != MM_TENSOR || value->dtype != info->dtype) {
        return false;
    }
    if (info->rank >= 0 && value->rank != (uint32_t)info->rank) {
        return false;
    }
    for (int32_t i = 0; i < info->rank; i++) {
        if (info->shape[i] >= 0 && info->shape[i] != value->shape[i]) {
            return false;
        }
    }
    return true;
}

/* Does a well-formed value match the input it is for: kind, element type, rank and fixed axes; for
 * containers the element type of all inside. An optional input takes what it would hold, or an
 * empty MM_OPTIONAL. MM_INVALID_ARGUMENT says what was got and wanted. */
static inline mm_status mmi_value_matches(const mm_value *value, const mm_value_info *info,
                                          mm_error *err) {
    bool plain = info->kind == MM_TENSOR && mmi_tensor_fits(value, info);
    return plain ? MM_OK : mmi_value_matches_slow(value, info, err);
}

#endif
