/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/lookup.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

int mmi_onnx_compare_floats(double a, double b) {
    if (isnan(a) || isnan(b)) {
        return isnan(a) - isnan(b);
    }
    return (a > b) - (a < b);
}

int mmi_onnx_compare_strings(const struct onnx_string *a, const struct onnx_string *b) {
    uint64_t common = mmi_min_u64(a->bytes, b->bytes);
    int order = common ? memcmp(a->at, b->at, common) : 0;
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

int mmi_onnx_compare(int32_t dtype, const void *a, const void *b) {
    if (dtype == MM_STRING) {
        return mmi_onnx_compare_strings(a, b);
    }
    const struct onnx_tensor one = {.dtype = dtype, .data = a}, two = {.dtype = dtype, .data = b};
    if (ONNX_FLOATS >> dtype & 1) {
        return mmi_onnx_compare_floats(mmi_onnx_float_at(&one, 0), mmi_onnx_float_at(&two, 0));
    }
    int64_t x = mmi_onnx_int_at(&one, 0), y = mmi_onnx_int_at(&two, 0);
    return (x > y) - (x < y);
}

static int by_key(const void *a, const void *b, void *keys_) {
    const struct onnx_tensor *keys = keys_;
    uint32_t width = mmi_onnx_element_bytes(keys->dtype);
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    int order = mmi_onnx_compare(keys->dtype, (const uint8_t *)keys->data + (uint64_t)x * width,
                                 (const uint8_t *)keys->data + (uint64_t)y * width);
    return order ? order : (x > y) - (x < y);
}

mm_status mmi_onnx_sort_keys(struct onnx_arena *arena, const struct onnx_tensor *keys,
                             struct onnx_tensor *sorted, struct onnx_tensor *places,
                             mm_error *err) {
    const struct onnx_tensor from = *keys; /* may be one of the results */
    uint32_t width = mmi_onnx_element_bytes(from.dtype);
    int64_t *order = mmi_onnx_take_data(arena, from.elements * sizeof(*order));
    uint8_t *copies = mmi_onnx_take_data(arena, from.bytes);
    if (!order || !copies) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its lists");
    }
    for (uint64_t i = 0; i < from.elements; i++) {
        order[i] = (int64_t)i;
    }
    qsort_r(order, from.elements, sizeof(*order), by_key, (void *)(uintptr_t)&from);
    int64_t count = 0;
    for (uint64_t i = 0; i < from.elements; i++) {
        const uint8_t *key = (const uint8_t *)from.data + (uint64_t)order[i] * width;
        bool again = count > 0 &&
                     mmi_onnx_compare(from.dtype, key, copies + (uint64_t)(count - 1) * width) == 0;
        count += !again;
        mmi_onnx_copy(copies + (uint64_t)(count - 1) * width, key, width);
        order[count - 1] = order[i];
    }
    MMI_TRY(mmi_onnx_tensor_set(sorted, from.dtype, 1, &count, err));
    MMI_TRY(mmi_onnx_tensor_set(places, MM_I64, 1, &count, err));
    sorted->data = copies;
    places->data = order;
    sorted->known = places->known = 1;
    return MM_OK;
}

int64_t mmi_onnx_find_sorted(const struct onnx_tensor *sorted, const void *element) {
    uint32_t width = mmi_onnx_element_bytes(sorted->dtype);
    uint64_t low = 0, high = sorted->elements;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const uint8_t *key = (const uint8_t *)sorted->data + middle * width;
        int order = mmi_onnx_compare(sorted->dtype, key, element);
        if (order == 0) {
            return (int64_t)middle;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return -1;
}

int64_t mmi_onnx_find_key(const struct onnx_tensor *sorted, const struct onnx_tensor *places,
                          const void *element) {
    int64_t at = mmi_onnx_find_sorted(sorted, element);
    return at < 0 || (uint64_t)at >= places->elements ? -1 : mmi_onnx_int_at(places, (uint64_t)at);
}
