/* SPDX-License-Identifier: Apache-2.0 */

/* ZipMap, which makes maps, and DictVectorizer and CastMap, which take them. A map is two values:
 * its keys and its values, of one axis each. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/lookup.h>
#include <backends/onnx/operators/ml.h>
#include <base/status.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- ZipMap ---------------------------------------------------------------------------------- */

static mm_status arrange_zip(struct onnx_lists *lists, void *params, mm_error *err) {
    uint32_t keys = 0;
    (void)params;
    MMI_TRY(mmi_onnx_ml_only_one(lists, 0, 2, "labels", &keys, err));
    lists->at[0] = lists->at[keys];
    lists->count = 1;
    return MM_OK;
}

static mm_status execute_zip(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_DTYPE_NONE, -1, err));
    MMI_TRY(mmi_onnx_expect_tensor(x, 1, "labels", MM_DTYPE_NONE, 1, err));
    const struct onnx_tensor *input = &x->inputs[0].tensor;
    int64_t count = (int64_t)x->inputs[1].tensor.elements;
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(input);
    uint64_t bytes = (uint64_t)count * mmi_onnx_element_bytes(input->dtype);
    if (input->rank < 1 || input->rank > 2 || rows.length != (uint64_t)count || bytes == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "its input has %u axes and rows of %" PRIu64 " elements, %" PRId64
                        " wanted",
                        input->rank, rows.length, count);
    }
    MMI_TRY(mmi_onnx_make_items(x->memory, MM_SEQUENCE, rows.count, &x->outputs[0], err));
    for (uint64_t i = 0; i < rows.count; i++) {
        struct onnx_run_value *map = &x->outputs[0].items[i];
        MMI_TRY(mmi_onnx_make_items(x->memory, MM_MAP, 2, map, err));
        map->items[0] = mmi_onnx_share_value(&x->inputs[1]);
        MMI_TRY(mmi_onnx_make_tensor(x->memory, input->dtype, 1, &count, &map->items[1], err));
        memcpy(mmi_onnx_value_data(&map->items[1]), (const uint8_t *)input->data + i * bytes,
               bytes);
    }
    return MM_OK;
}

static const struct onnx_list zip_lists[] = {{.name = "classlabels_strings", .dtype = MM_STRING},
                                             {.name = "classlabels_int64s", .dtype = MM_I64},
                                             {0}};

/* ---- A map as an input ----------------------------------------------------------------------- */

static mm_status expect_map(const struct onnx_execution *x, int32_t keys_dtype,
                            const struct onnx_tensor **keys, const struct onnx_tensor **values,
                            mm_error *err) {
    const struct onnx_run_value *map = &x->inputs[0];
    if (!mmi_onnx_is_given(x, 0) || map->kind != MM_MAP || map->item_count != 2 ||
        map->items[0].kind != MM_TENSOR || map->items[1].kind != MM_TENSOR) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input is no map of tensors");
    }
    *keys = &map->items[0].tensor;
    *values = &map->items[1].tensor;
    if ((*keys)->dtype != keys_dtype || (*keys)->elements != (*values)->elements) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "its input maps %" PRIu64 " keys of %s to %" PRIu64
                        " values, keys of %s wanted",
                        (*keys)->elements, mm_dtype_text((*keys)->dtype), (*values)->elements,
                        mm_dtype_text(keys_dtype));
    }
    return MM_OK;
}

/* [1, count], zeros or empty texts. */
static mm_status make_row(const struct onnx_execution *x, int32_t dtype, uint64_t count,
                          mm_error *err) {
    const int64_t shape[2] = {1, (int64_t)count};
    MMI_TRY(mmi_onnx_make_tensor(x->memory, dtype, 2, shape, &x->outputs[0], err));
    memset(mmi_onnx_value_data(&x->outputs[0]), 0, x->outputs[0].tensor.bytes);
    return MM_OK;
}

/* ---- DictVectorizer -------------------------------------------------------------------------- */

struct vocabulary {
    int64_t words;
};

static mm_status arrange_dict(struct onnx_lists *lists, void *params, mm_error *err) {
    uint32_t keys = 0;
    MMI_TRY(mmi_onnx_ml_only_one(lists, 0, 2, "vocabulary", &keys, err));
    struct onnx_tensor list = lists->at[keys];
    ((struct vocabulary *)params)->words = (int64_t)list.elements;
    return mmi_onnx_sort_keys(lists->arena, &list, &lists->at[0], &lists->at[1], err);
}

static mm_status execute_dict(struct onnx_execution *x, mm_error *err) {
    int64_t words = ((const struct vocabulary *)x->params)->words;
    const struct onnx_tensor *keys = NULL, *values = NULL;
    MMI_TRY(mmi_onnx_expect_tensor(x, 1, "vocabulary", MM_DTYPE_NONE, 1, err));
    MMI_TRY(mmi_onnx_expect_tensor(x, 2, "vocabulary", MM_I64, 1, err));
    const struct onnx_tensor *sorted = &x->inputs[1].tensor, *places = &x->inputs[2].tensor;
    MMI_TRY(expect_map(x, sorted->dtype, &keys, &values, err));
    uint32_t key = mmi_onnx_element_bytes(keys->dtype);
    uint32_t width = mmi_onnx_element_bytes(values->dtype);
    if (width == 0) {
        return mmi_fail(err, MM_UNSUPPORTED, "a map to %s", mm_dtype_text(values->dtype));
    }
    MMI_TRY(make_row(x, values->dtype, (uint64_t)words, err));
    uint8_t *to = mmi_onnx_value_data(&x->outputs[0]);
    for (uint64_t i = 0; i < keys->elements; i++) {
        int64_t place = mmi_onnx_find_key(sorted, places, (const uint8_t *)keys->data + i * key);
        if (place >= 0 && place < words) {
            mmi_onnx_copy(to + (uint64_t)place * width, (const uint8_t *)values->data + i * width,
                          width);
        }
    }
    return MM_OK;
}

static const struct onnx_list dict_lists[] = {{.name = "string_vocabulary", .dtype = MM_STRING},
                                              {.name = "int64_vocabulary", .dtype = MM_I64},
                                              {0}};

/* ---- CastMap --------------------------------------------------------------------------------- */

struct cast_map {
    int64_t length;
    int32_t sparse, dtype;
};

static mm_status read_cast(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const types[] = {"TO_FLOAT", "TO_INT64", "TO_STRING", NULL};
    static const char *const forms[] = {"DENSE", "SPARSE", NULL};
    static const int32_t dtypes[] = {MM_F32, MM_I64, MM_STRING};
    struct cast_map *p = params;
    int32_t type = 0;
    MMI_TRY(mmi_onnx_read_int(a, "max_map", 1, &p->length, err));
    MMI_TRY(mmi_onnx_read_choice(a, "map_form", forms, &p->sparse, err));
    MMI_TRY(mmi_onnx_read_choice(a, "cast_to", types, &type, err));
    p->dtype = dtypes[type];
    return MM_OK;
}

static mm_status write_number(const struct onnx_execution *x, double number,
                              struct onnx_string *text, mm_error *err) {
    char buffer[40];
    int length = 0;
    for (int digits = 1; digits <= 9; digits++) { /* the shortest that reads back as the same */
        length = snprintf(buffer, sizeof(buffer), "%.*g", digits, number);
        if (strtof(buffer, NULL) == (float)number) {
            break;
        }
    }
    char *at = mmi_onnx_take_text_memory(x->memory, (uint64_t)length);
    if (!at) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for text");
    }
    memcpy(at, buffer, (size_t)length);
    *text = (struct onnx_string){at, (uint64_t)length};
    return MM_OK;
}

static mm_status read_number(const struct onnx_string *text, int32_t dtype, void *to,
                             mm_error *err) {
    char buffer[64], *end = buffer;
    uint64_t bytes = text->bytes < sizeof(buffer) ? text->bytes : 0;
    if (bytes > 0) {
        memcpy(buffer, text->at, bytes);
    }
    buffer[bytes] = '\0';
    if (dtype == MM_F32) {
        *(float *)to = strtof(buffer, &end);
    } else {
        *(int64_t *)to = strtoll(buffer, &end, 10);
    }
    return bytes > 0 && end == buffer + bytes
               ? MM_OK
               : mmi_fail(err, MM_INVALID_ARGUMENT, "'%.*s' is no number",
                          (int)(text->bytes < 40 ? text->bytes : 40), text->at ? text->at : "");
}

static mm_status cast_one(const struct onnx_execution *x, const struct onnx_tensor *values,
                          uint64_t i, void *to, mm_error *err) {
    int32_t dtype = ((const struct cast_map *)x->params)->dtype;
    uint32_t width = mmi_onnx_element_bytes(values->dtype);
    const uint8_t *from = (const uint8_t *)values->data + i * width;
    if (values->dtype == dtype) {
        mmi_onnx_copy(to, from, width);
        return MM_OK;
    }
    if (dtype == MM_STRING) {
        return write_number(x, mmi_onnx_float_at(values, i), to, err);
    }
    if (values->dtype == MM_STRING) {
        return read_number((const struct onnx_string *)values->data + i, dtype, to, err);
    }
    mmi_onnx_convert(values->dtype, from, 1, dtype, to);
    return MM_OK;
}

static int by_key(const void *a, const void *b, void *keys) {
    int64_t x = ((const int64_t *)keys)[*(const uint64_t *)a];
    int64_t y = ((const int64_t *)keys)[*(const uint64_t *)b];
    return (x > y) - (x < y);
}

/* The order of the keys: where value i goes is its place there. In `order` [count]. */
static void order_keys(const struct onnx_tensor *keys, uint64_t *order) {
    for (uint64_t i = 0; i < keys->elements; i++) {
        order[i] = i;
    }
    qsort_r(order, keys->elements, sizeof(*order), by_key, (void *)(uintptr_t)keys->data);
}

static mm_status cast_all(const struct onnx_execution *x, const struct onnx_tensor *keys,
                          const struct onnx_tensor *values, const uint64_t *order, mm_error *err) {
    const struct cast_map *p = x->params;
    uint32_t width = mmi_onnx_element_bytes(p->dtype);
    uint8_t *to = mmi_onnx_value_data(&x->outputs[0]);
    for (uint64_t i = 0; i < keys->elements; i++) {
        int64_t key = ((const int64_t *)keys->data)[order[i]];
        if (p->sparse && (key < 0 || key >= p->length)) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "key %" PRId64 " of %" PRId64, key,
                            p->length);
        }
        uint64_t place = p->sparse ? (uint64_t)key : i;
        MMI_TRY(cast_one(x, values, order[i], to + place * width, err));
    }
    return MM_OK;
}

static mm_status execute_cast(struct onnx_execution *x, mm_error *err) {
    const struct cast_map *p = x->params;
    const struct onnx_tensor *keys = NULL, *values = NULL;
    MMI_TRY(expect_map(x, MM_I64, &keys, &values, err));
    if (values->dtype != MM_STRING && !(ONNX_REALS >> values->dtype & 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "a map to %s", mm_dtype_text(values->dtype));
    }
    MMI_TRY(make_row(x, p->dtype, p->sparse ? (uint64_t)p->length : keys->elements, err));
    struct onnx_run_block *block =
        mmi_onnx_block_take(x->memory, keys->elements * sizeof(uint64_t));
    if (!block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for the order of its keys");
    }
    order_keys(keys, mmi_onnx_block_data(block));
    mm_status status = cast_all(x, keys, values, mmi_onnx_block_data(block), err);
    mmi_onnx_block_drop(x->memory, block);
    return status;
}

#define OPERATOR(name_, params_, read_, lists_, arrange_, execute_)                                \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .domain = ONNX_ML,                                                                         \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = params_,                                                                   \
        .read = read_,                                                                             \
        .lists = lists_,                                                                           \
        .arrange = arrange_,                                                                       \
        .arranged = 1,                                                                             \
        .execute = execute_,                                                                       \
    };
OPERATOR(ZipMap, 0, NULL, zip_lists, arrange_zip, execute_zip)
OPERATOR(DictVectorizer, sizeof(struct vocabulary), NULL, dict_lists, arrange_dict, execute_dict)
OPERATOR(CastMap, sizeof(struct cast_map), read_cast, NULL, NULL, execute_cast)
