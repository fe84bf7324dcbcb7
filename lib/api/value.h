/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_VALUE_H
#define MMI_API_VALUE_H

/* Is a caller's value well formed, and is it what a model wants? Called for every input of every
 * request: the good path of a plain tensor is inline and a few nanoseconds. */

#include <base/status.h>

/* Any value, with everything inside it; names `what` and the value. */
mm_status mmi_value_check_slow(const mm_value *value, const char *what, mm_error *err);
mm_status mmi_value_mismatch(const mm_value *value, const mm_value_info *info, mm_error *err);

static inline bool mmi_value_plain(const mm_value *value) {
    uint64_t elements = 1;
    if (value->kind != MM_TENSOR || value->dtype == MM_STRING || value->rank > MM_MAX_RANK ||
        !value->data) {
        return false;
    }
    for (uint32_t i = 0; i < value->rank; i++) {
        if (value->shape[i] < 0 ||
            __builtin_mul_overflow(elements, (uint64_t)value->shape[i], &elements)) {
            return false;
        }
    }
    uint64_t bytes = mm_dtype_bytes(value->dtype, elements);
    return bytes == value->bytes && bytes > 0 && bytes < UINT64_MAX;
}

static inline mm_status mmi_value_check(const mm_value *value, const char *what, mm_error *err) {
    return mmi_value_plain(value) ? MM_OK : mmi_value_check_slow(value, what, err);
}

/* Kind, element type, rank and fixed axes. */
static inline mm_status mmi_value_matches(const mm_value *value, const mm_value_info *info,
                                          mm_error *err) {
    bool fits = value->kind == info->kind &&
                (info->rank < 0 || value->kind != MM_TENSOR || value->rank == (uint32_t)info->rank);
    fits = fits && (value->kind != MM_TENSOR || value->dtype == info->dtype);
    for (int32_t i = 0; fits && value->kind == MM_TENSOR && i < info->rank; i++) {
        fits = info->shape[i] < 0 || info->shape[i] == value->shape[i];
    }
    return fits ? MM_OK : mmi_value_mismatch(value, info, err);
}

#endif
