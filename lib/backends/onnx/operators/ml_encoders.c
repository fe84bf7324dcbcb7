/* SPDX-License-Identifier: Apache-2.0 */

/* LabelEncoder and CategoryMapper: elements to elements by a list; OneHotEncoder: to their place in
 * one. */

#include <backends/onnx/operators/lookup.h>
#include <backends/onnx/operators/ml.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Each way of mapping is four lists: sorted keys, their places, values, and what stands for the
 * rest. There is a second way where texts and numbers are mapped both to each other; the type of
 * the input says which. */
enum { KEYS, PLACES, VALUES, OTHERWISE, WAY };

struct encoder {
    int64_t default_int;
    float default_float;
    int32_t reserved;
};

static mm_status read_encoder(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct encoder *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "default_int64", -1, &p->default_int, err));
    return mmi_onnx_read_float(mmi_onnx_since(a, 2), "default_float", -0.0F, &p->default_float,
                               err);
}

static mm_status read_mapper(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_int(a, "default_int64", -1, &((struct encoder *)params)->default_int, err);
}

/* One element of this type, of the attributes. */
static mm_status make_default(struct onnx_arena *arena, const struct encoder *p, int32_t dtype,
                              const struct onnx_tensor *text, struct onnx_tensor *made,
                              mm_error *err) {
    static const struct onnx_string unused = {"_Unused", 7};
    uint32_t width = mmi_onnx_element_bytes(dtype);
    void *data = mmi_onnx_take_data(arena, width);
    MMI_TRY(mmi_onnx_tensor_set(made, dtype, 0, NULL, err));
    if (!data) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its lists");
    }
    if (dtype == MM_STRING) {
        memcpy(data, text->dtype == MM_STRING ? text->data : &unused, width);
    } else if (ONNX_FLOATS >> dtype & 1) {
        mmi_onnx_convert(MM_F32, &p->default_float, 1, dtype, data);
    } else {
        mmi_onnx_convert(MM_I64, &p->default_int, 1, dtype, data);
    }
    made->data = data;
    return MM_OK;
}

/* The four lists of a way. `other`: those of OTHERWISE, or dtype MM_DTYPE_NONE. */
struct way {
    struct onnx_tensor keys, values, other, text;
};

static mm_status arrange_way(struct onnx_lists *lists, const struct encoder *p, struct way way,
                             struct onnx_tensor to[WAY], mm_error *err) {
    uint32_t movable = mmi_onnx_element_bytes(way.keys.dtype);
    bool taken = way.keys.dtype == MM_STRING ||
                 ((ONNX_REALS | ONNX_BOOL) >> way.keys.dtype & 1 && movable > 0);
    bool gives = way.values.dtype == MM_STRING || (ONNX_REALS | ONNX_BOOL) >> way.values.dtype & 1;
    if (!taken || !gives) {
        return mmi_fail(err, MM_UNSUPPORTED, "from %s to %s", mm_dtype_text(way.keys.dtype),
                        mm_dtype_text(way.values.dtype));
    }
    if (way.keys.elements != way.values.elements) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " keys and %" PRIu64 " values",
                        way.keys.elements, way.values.elements);
    }
    MMI_TRY(mmi_onnx_sort_keys(lists->arena, &way.keys, &to[KEYS], &to[PLACES], err));
    to[VALUES] = way.values;
    if (way.other.dtype == MM_DTYPE_NONE) {
        return make_default(lists->arena, p, way.values.dtype, &way.text, &to[OTHERWISE], err);
    }
    to[OTHERWISE] = way.other;
    return way.other.dtype == way.values.dtype && way.other.elements == 1
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "its default_tensor is %" PRIu64 " elements of %s, one of %s wanted",
                          way.other.elements, mm_dtype_text(way.other.dtype),
                          mm_dtype_text(way.values.dtype));
}

/* Texts and numbers to each other. */
static mm_status arrange_both(struct onnx_lists *lists, const struct encoder *p,
                              struct onnx_tensor texts, struct onnx_tensor numbers, mm_error *err) {
    struct onnx_tensor text = lists->at[2]; /* default_string, of both */
    if (texts.dtype != MM_STRING || numbers.dtype != MM_I64) {
        return mmi_fail(err, MM_INVALID_MODEL, "it has no list of texts, or none of numbers");
    }
    MMI_TRY(arrange_way(lists, p, (struct way){.keys = texts, .values = numbers, .text = text},
                        lists->at, err));
    MMI_TRY(arrange_way(lists, p, (struct way){.keys = numbers, .values = texts, .text = text},
                        lists->at + WAY, err));
    lists->count = 2 * WAY;
    return MM_OK;
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static const struct onnx_list mapper_lists[] = {
    {.name = "cats_strings", .dtype = MM_STRING},
    {.name = "cats_int64s", .dtype = MM_I64},
    {.name = "default_string", .dtype = MM_STRING, .single = true},
    {0}};

static mm_status arrange_mapper(struct onnx_lists *lists, void *params, mm_error *err) {
    return arrange_both(lists, params, lists->at[0], lists->at[1], err);
}

enum { CLASSES, DEFAULT_TENSOR, DEFAULT_STRING, FIRST_KEYS, FIRST_VALUES = 7, ENCODER_LISTS = 11 };
static const struct onnx_list encoder_lists[] = {
    [CLASSES] = {.name = "classes_strings", .dtype = MM_STRING, .before = 2},
    [DEFAULT_TENSOR] = {.name = "default_tensor", .since = 4},
    [DEFAULT_STRING] = {.name = "default_string", .dtype = MM_STRING, .single = true},
    [FIRST_KEYS] = {.name = "keys_strings", .dtype = MM_STRING, .since = 2},
    {.name = "keys_int64s", .dtype = MM_I64, .since = 2},
    {.name = "keys_floats", .dtype = MM_F32, .since = 2},
    {.name = "keys_tensor", .since = 4},
    [FIRST_VALUES] = {.name = "values_strings", .dtype = MM_STRING, .since = 2},
    {.name = "values_int64s", .dtype = MM_I64, .since = 2},
    {.name = "values_floats", .dtype = MM_F32, .since = 2},
    {.name = "values_tensor", .since = 4},
    [ENCODER_LISTS] = {0}};

/* Opset 1: a text to its place. */
static mm_status arrange_classes(struct onnx_lists *lists, const struct encoder *p, mm_error *err) {
    struct onnx_tensor places = {0}, classes = lists->at[CLASSES];
    int64_t count = (int64_t)classes.elements;
    int64_t *numbers = mmi_onnx_take_data(lists->arena, classes.elements * sizeof(*numbers));
    if (!numbers) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for its lists");
    }
    for (int64_t i = 0; i < count; i++) {
        numbers[i] = i;
    }
    MMI_TRY(mmi_onnx_tensor_set(&places, MM_I64, 1, &count, err));
    places.data = numbers;
    return arrange_both(lists, p, classes, places, err);
}

static mm_status arrange_encoder(struct onnx_lists *lists, void *params, mm_error *err) {
    if (lists->at[CLASSES].dtype != MM_DTYPE_NONE) {
        return arrange_classes(lists, params, err);
    }
    uint32_t keys = 0, values = 0;
    MMI_TRY(mmi_onnx_ml_only_one(lists, FIRST_KEYS, FIRST_VALUES, "keys", &keys, err));
    MMI_TRY(mmi_onnx_ml_only_one(lists, FIRST_VALUES, ENCODER_LISTS, "values", &values, err));
    struct way way = {lists->at[keys], lists->at[values], lists->at[DEFAULT_TENSOR],
                      lists->at[DEFAULT_STRING]};
    MMI_TRY(arrange_way(lists, params, way, lists->at, err));
    lists->count = WAY;
    return MM_OK;
}

/* ---- Mapping --------------------------------------------------------------------------------- */

/* The input where the way for this type begins; 0: there is none. */
static uint32_t way_of(const struct onnx_tensor *inputs, uint32_t input_count) {
    for (uint32_t at = 1; at + WAY <= input_count; at += WAY) {
        if (inputs[at + KEYS].dtype == inputs[0].dtype) {
            return at;
        }
    }
    return 0;
}

static mm_status infer_encoder(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    uint32_t way = way_of(x->inputs, x->input_count);
    if (way == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input is %s, its keys are %s",
                        mm_dtype_text(input->dtype), mm_dtype_text(x->inputs[1 + KEYS].dtype));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], x->inputs[way + VALUES].dtype, input->rank,
                               input->shape, err);
}

static mm_status run_encoder(const struct onnx_call *call, mm_error *err) {
    uint32_t way = way_of(call->inputs, call->input_count);
    struct onnx_tensor keys = mmi_onnx_list(call, way + KEYS);
    struct onnx_tensor places = mmi_onnx_list(call, way + PLACES);
    uint64_t values = call->inputs[way + VALUES].elements;
    uint32_t from = mmi_onnx_element_bytes(keys.dtype);
    uint32_t to = mmi_onnx_element_bytes(call->outputs[0].dtype);
    const uint8_t *elements = call->in[0], *list = call->in[way + VALUES];
    uint8_t *out = call->out[0];
    (void)err;
    for (uint64_t i = 0; out && i < call->inputs[0].elements; i++) {
        int64_t place = mmi_onnx_find_key(&keys, &places, elements + i * from);
        bool found = place >= 0 && (uint64_t)place < values;
        mmi_onnx_copy(
            out + i * to,
            found ? list + (uint64_t)place * to : (const uint8_t *)call->in[way + OTHERWISE], to);
    }
    return MM_OK;
}

#define ENCODER(name_, read_, lists_, arrange_)                                                    \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .domain = ONNX_ML,                                                                         \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct encoder),                                                    \
        .read = read_,                                                                             \
        .lists = lists_,                                                                           \
        .arrange = arrange_,                                                                       \
        .arranged = WAY,                                                                           \
        .infer = infer_encoder,                                                                    \
        .run = run_encoder,                                                                        \
        .facts = {ONNX_DTYPE_UNKNOWN, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},                        \
    };
ENCODER(LabelEncoder, read_encoder, encoder_lists, arrange_encoder)
ENCODER(CategoryMapper, read_mapper, mapper_lists, arrange_mapper)

/* ---- OneHotEncoder --------------------------------------------------------------------------- */

struct one_hot {
    int64_t zeros, categories;
};

static mm_status read_one_hot(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_int(a, "zeros", 1, &((struct one_hot *)params)->zeros, err);
}

static mm_status arrange_one_hot(struct onnx_lists *lists, void *params, mm_error *err) {
    uint32_t keys = 0;
    MMI_TRY(mmi_onnx_ml_only_one(lists, 0, 2, "categories", &keys, err));
    struct onnx_tensor list = lists->at[keys];
    ((struct one_hot *)params)->categories = (int64_t)list.elements;
    return mmi_onnx_sort_keys(lists->arena, &list, &lists->at[0], &lists->at[1], err);
}

static mm_status infer_one_hot(struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor shape = x->inputs[0];
    bool text = x->inputs[1].dtype == MM_STRING;
    MMI_TRY(mmi_onnx_check_type(x, 0, text ? ONNX_TYPE(MM_STRING) : ONNX_ML_NUMBERS, err));
    if (shape.rank >= MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "an input of %u axes", shape.rank);
    }
    shape.shape[shape.rank] = ((const struct one_hot *)x->params)->categories;
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, shape.rank + 1, shape.shape, err);
}

static mm_status run_one_hot(const struct onnx_call *call, mm_error *err) {
    const struct one_hot *p = call->params;
    struct onnx_tensor input = mmi_onnx_call_input(call, 0);
    struct onnx_tensor keys = mmi_onnx_list(call, 1), places = mmi_onnx_list(call, 2);
    float *to = call->out[0];
    if (to) {
        memset(to, 0, call->outputs[0].bytes);
    }
    for (uint64_t i = 0; to && i < input.elements; i++, to += p->categories) {
        int64_t number = keys.dtype == MM_I64 ? mmi_onnx_int_at(&input, i) : 0;
        const void *key = keys.dtype == MM_I64
                              ? (const void *)&number
                              : (const void *)((const struct onnx_string *)input.data + i);
        int64_t place = mmi_onnx_find_key(&keys, &places, key);
        if (place >= 0 && place < p->categories) {
            to[place] = 1;
        } else if (!p->zeros) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "element %" PRIu64 " is in no category", i);
        }
    }
    return MM_OK;
}

static const struct onnx_list one_hot_lists[] = {
    {.name = "cats_strings", .dtype = MM_STRING}, {.name = "cats_int64s", .dtype = MM_I64}, {0}};
const struct onnx_operator mmi_onnx_op_OneHotEncoder = {
    .name = "OneHotEncoder",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct one_hot),
    .read = read_one_hot,
    .lists = one_hot_lists,
    .arrange = arrange_one_hot,
    .infer = infer_one_hot,
    .run = run_one_hot,
    .facts = {MM_F32, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
};
