/* SPDX-License-Identifier: Apache-2.0 */
#include <conformance/host.h>

#include <stdio.h>
#include <string.h>

#define MAX_ELEMENTS 4096 /* of a small input */

/* Small numbers of every type: 0, 1, 2, 3 ... within what the type holds. Other types get bytes. */
static void fill_elements(mm_value *value, uint64_t elements) {
    uint8_t *at = value->data;
    for (uint64_t i = 0; i < elements; i++) {
        float f32 = (float)(i % 7) / 7;
        double f64 = f32;
        int64_t i64 = (int64_t)(i % 3);
        switch (value->dtype) {
        case MM_F32:
            memcpy(at + i * 4, &f32, 4);
            break;
        case MM_F64:
            memcpy(at + i * 8, &f64, 8);
            break;
        case MM_I64:
        case MM_U64:
            memcpy(at + i * 8, &i64, 8);
            break;
        case MM_I32:
        case MM_U32:
            memcpy(at + i * 4, &(int32_t){(int32_t)i64}, 4);
            break;
        default:
            at[i * value->bytes / (elements > 0 ? elements : 1)] = (uint8_t)(i % 2);
            break;
        }
    }
}

static void fill_strings(struct life *life, mm_value *value, uint64_t elements) {
    value->offsets = heap_take(&life->heap, (elements + 1) * sizeof(uint64_t), 8);
    char *text = heap_take(&life->heap, elements * 24, 1);
    for (uint64_t i = 0; i < elements; i++) {
        char word[24];
        int length = i % 3 == 0 ? 0 : snprintf(word, sizeof(word), "word %u", (unsigned)i);
        memcpy(text + value->bytes, word, (size_t)length);
        value->bytes += (uint64_t)length;
        value->offsets[i + 1] = value->bytes;
    }
    value->data = text;
}

static void make_tensor(struct life *life, int32_t dtype, int32_t rank, const int64_t *shape,
                        mm_value *value) {
    const struct sample *sample = life->subject.sample;
    int64_t free_axis = sample->free_axis > 0 ? sample->free_axis : 2;
    value->kind = MM_TENSOR;
    value->dtype = dtype;
    value->rank = rank < 0 ? 2 : (uint32_t)rank;
    for (uint32_t i = 0; i < value->rank; i++) {
        value->shape[i] = rank >= 0 && shape[i] >= 0 ? shape[i] : free_axis + (rank < 0 ? i : 0);
    }
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    if (dtype == MM_STRING) {
        fill_strings(life, value, elements);
        return;
    }
    value->bytes = mm_dtype_bytes(dtype, elements);
    value->data = heap_take(&life->heap, value->bytes, 1);
    fill_elements(value, elements);
}

void make_input(struct life *life, const mm_value_info *info, mm_value *value) {
    *value = (mm_value){.name = info->name, .kind = info->kind};
    if (info->kind == MM_TENSOR) {
        make_tensor(life, info->dtype, info->rank, info->shape, value);
        return;
    }
    value->item_count = info->kind == MM_OPTIONAL ? 1 : 2;
    value->items = heap_take(&life->heap, value->item_count * sizeof(mm_value), 16);
    int32_t dtypes[2] = {info->dtype, info->dtype};
    int64_t shape[1] = {3};
    if (info->kind == MM_MAP) {
        dtypes[0] = MM_I64;
        dtypes[1] = MM_STRING;
    }
    for (uint64_t i = 0; i < value->item_count; i++) {
        shape[0] += info->kind == MM_MAP ? 0 : 1;
        make_tensor(life, dtypes[i], 1, shape, &value->items[i]);
    }
}

bool small_inputs(const mm_value_info *infos, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        uint64_t elements = 1;
        for (int32_t axis = 0; axis < infos[i].rank && elements <= MAX_ELEMENTS; axis++) {
            uint64_t length = infos[i].shape[axis] < 0 ? 2 : (uint64_t)infos[i].shape[axis];
            elements = length <= MAX_ELEMENTS ? elements * length : UINT64_MAX;
        }
        if (elements > MAX_ELEMENTS) {
            return false;
        }
    }
    return true;
}

bool values_equal(const mm_value *a, const mm_value *b) {
    if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank || a->bytes != b->bytes ||
        a->item_count != b->item_count ||
        memcmp(a->shape, b->shape, a->rank * sizeof(a->shape[0])) != 0 ||
        (a->bytes > 0 && memcmp(a->data, b->data, a->bytes) != 0)) {
        return false;
    }
    uint64_t elements = mm_shape_elements(a->rank, a->shape);
    if (a->kind == MM_TENSOR && a->dtype == MM_STRING &&
        memcmp(a->offsets, b->offsets, (elements + 1) * sizeof(uint64_t)) != 0) {
        return false;
    }
    bool equal = true;
    for (uint64_t i = 0; a->kind != MM_TENSOR && i < a->item_count; i++) {
        equal = equal && values_equal(&a->items[i], &b->items[i]);
    }
    return equal;
}
