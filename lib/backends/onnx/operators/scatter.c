/* SPDX-License-Identifier: Apache-2.0 */

/* Updates written to places that indices name: ScatterElements, ScatterND. */

#include <backends/onnx/operators/indices.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>

/* ---- What becomes of an element and its update ----------------------------------------------- */

enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MIN, REDUCE_MAX };

typedef void (*combiner)(int32_t reduction, void *to, const void *from, uint64_t count);

/* wide: the type to calculate in; unsigned for integers, which wrap around. */
#define COMBINER(type, wide)                                                                       \
    static void combine_##type(int32_t reduction, void *to, const void *from, uint64_t count) {    \
        type *a = to;                                                                              \
        const type *b = from;                                                                      \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            switch (reduction) {                                                                   \
            case REDUCE_ADD:                                                                       \
                a[i] = (type)((wide)a[i] + (wide)b[i]);                                            \
                break;                                                                             \
            case REDUCE_MUL:                                                                       \
                a[i] = (type)((wide)a[i] * (wide)b[i]);                                            \
                break;                                                                             \
            case REDUCE_MIN:                                                                       \
                a[i] = b[i] < a[i] ? b[i] : a[i];                                                  \
                break;                                                                             \
            default:                                                                               \
                a[i] = b[i] > a[i] ? b[i] : a[i];                                                  \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
    }
COMBINER(float, float)
COMBINER(double, double)
COMBINER(int8_t, uint64_t)
COMBINER(int16_t, uint64_t)
COMBINER(int32_t, uint64_t)
COMBINER(int64_t, uint64_t)
COMBINER(uint8_t, uint64_t)
COMBINER(uint16_t, uint64_t)
COMBINER(uint32_t, uint64_t)
COMBINER(uint64_t, uint64_t)

/* f16 and bf16, by way of f64. */
static void combine_narrow(int32_t dtype, int32_t reduction, void *to, const void *from,
                           uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        double a, b;
        mmi_onnx_convert(dtype, (uint16_t *)to + i, 1, MM_F64, &a);
        mmi_onnx_convert(dtype, (const uint16_t *)from + i, 1, MM_F64, &b);
        combine_double(reduction, &a, &b, 1);
        mmi_onnx_convert(MM_F64, &a, 1, dtype, (uint16_t *)to + i);
    }
}
static void combine_f16(int32_t reduction, void *to, const void *from, uint64_t count) {
    combine_narrow(MM_F16, reduction, to, from, count);
}
static void combine_bf16(int32_t reduction, void *to, const void *from, uint64_t count) {
    combine_narrow(MM_BF16, reduction, to, from, count);
}

static const combiner combiners[] = {
    [MM_F32] = combine_float,    [MM_F64] = combine_double,   [MM_I8] = combine_int8_t,
    [MM_I16] = combine_int16_t,  [MM_I32] = combine_int32_t,  [MM_I64] = combine_int64_t,
    [MM_U8] = combine_uint8_t,   [MM_U16] = combine_uint16_t, [MM_U32] = combine_uint32_t,
    [MM_U64] = combine_uint64_t, [MM_F16] = combine_f16,      [MM_BF16] = combine_bf16,
};

static combiner find_combiner(int32_t dtype) {
    bool listed = dtype >= 0 && (size_t)dtype < sizeof(combiners) / sizeof(combiners[0]);
    return listed ? combiners[dtype] : NULL;
}

/* ---- What both share ------------------------------------------------------------------------- */

struct scatter {
    int64_t axis;
    int32_t reduction; /* enum reduction */
    uint32_t reserved;
};

static mm_status read_scatter_nd(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const reductions[] = {"none", "add", "mul", "min", "max", NULL};
    struct scatter *scatter = params;
    return mmi_onnx_read_choice(mmi_onnx_since(a, 16), "reduction", reductions, &scatter->reduction,
                                err);
}

static mm_status read_scatter(const struct onnx_attributes *a, void *params, mm_error *err) {
    MMI_TRY(mmi_onnx_read_int(a, "axis", 0, &((struct scatter *)params)->axis, err));
    return read_scatter_nd(a, params, err);
}

/* Inputs: data, indices, updates of the shape that is wanted. */
static mm_status infer_scatter(struct onnx_inference *x, uint32_t rank, const int64_t *wanted,
                               mm_error *err) {
    const struct scatter *scatter = x->params;
    const struct onnx_tensor *data = &x->inputs[0], *updates = &x->inputs[2];
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    if (scatter->reduction != REDUCE_NONE && !find_combiner(data->dtype)) {
        return mmi_fail(err, MM_UNSUPPORTED, "a reduction of %s is not supported",
                        mm_dtype_text(data->dtype));
    }
    if (updates->dtype != data->dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its updates are %s, its data %s",
                        mm_dtype_text(updates->dtype), mm_dtype_text(data->dtype));
    }
    bool same = updates->rank == rank;
    for (uint32_t i = 0; same && i < rank; i++) {
        same = updates->shape[i] == wanted[i];
    }
    if (!same) {
        char texts[2][ONNX_SHAPE_TEXT];
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its updates do not fit its indices and data: their shape is %s, %s wanted",
                        mmi_onnx_shape_text(updates->rank, updates->shape, texts[0]),
                        mmi_onnx_shape_text(rank, wanted, texts[1]));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

/* `count` elements of the output from `element` on, and as many updates. */
static void scatter_part(const struct onnx_call *call, uint64_t element, uint64_t update,
                         uint64_t count) {
    const struct scatter *scatter = call->params;
    int32_t dtype = call->outputs[0].dtype;
    uint32_t width = mmi_onnx_element_bytes(dtype);
    uint8_t *to = (uint8_t *)call->out[0] + element * width;
    const uint8_t *from = (const uint8_t *)call->in[2] + update * width;
    if (scatter->reduction != REDUCE_NONE) {
        find_combiner(dtype)(scatter->reduction, to, from, count);
    } else if (count == 1) {
        mmi_onnx_copy(to, from, width);
    } else {
        memcpy(to, from, count * width);
    }
}

/* ---- ScatterElements ------------------------------------------------------------------------- */

static mm_status infer_scatter_elements(struct onnx_inference *x, mm_error *err) {
    const struct scatter *scatter = x->params;
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_axis(scatter->axis, x->inputs[0].rank, &axis, err));
    MMI_TRY(mmi_onnx_check_elements(x, axis, err));
    return infer_scatter(x, x->inputs[1].rank, x->inputs[1].shape, err);
}

static mm_status run_scatter_elements(const struct onnx_call *call, mm_error *err) {
    const struct scatter *scatter = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    struct onnx_tensor indices = mmi_onnx_call_input(call, 1);
    struct onnx_index_walk walk;
    uint32_t axis;
    mmi_onnx_axis(scatter->axis, data->rank, &axis);
    mmi_onnx_index_walk(&walk, &indices, data, axis);
    if (data->bytes > 0) {
        memcpy(call->out[0], call->in[0], data->bytes);
    }
    for (uint64_t i = 0; i < indices.elements; i++) {
        uint64_t element;
        MMI_TRY(mmi_onnx_index_next(&walk, &element, err));
        scatter_part(call, element, i, 1);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_ScatterElements = {
    .name = "ScatterElements",
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct scatter),
    .limits =
        ONNX_LIMITS(ONNX_BETWEEN("reduction", struct scatter, reduction, REDUCE_NONE, REDUCE_MAX)),
    .read = read_scatter,
    .infer = infer_scatter_elements,
    .run = run_scatter_elements,
    .facts = ONNX_FACTS_LIKE_0,
};

/* ---- ScatterND ------------------------------------------------------------------------------- */

static mm_status infer_scatter_nd(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0], *indices = &x->inputs[1];
    int64_t wanted[2 * MM_MAX_RANK];
    uint32_t rank = 0;
    MMI_TRY(mmi_onnx_check_tuples(x, 0, err));
    for (uint32_t i = 0; i + 1 < indices->rank; i++) {
        wanted[rank++] = indices->shape[i];
    }
    for (uint32_t i = (uint32_t)indices->shape[indices->rank - 1]; i < data->rank; i++) {
        wanted[rank++] = data->shape[i];
    }
    return infer_scatter(x, rank, wanted, err);
}

static mm_status run_scatter_nd(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *data = &call->inputs[0], *updates = &call->inputs[2];
    struct onnx_tensor indices = mmi_onnx_call_input(call, 1);
    if (data->bytes > 0) {
        memcpy(call->out[0], call->in[0], data->bytes);
    }
    if (updates->elements == 0) {
        return MM_OK;
    }
    uint64_t tuples = indices.elements / (uint64_t)indices.shape[indices.rank - 1];
    uint64_t part = updates->elements / tuples;
    for (uint64_t i = 0; i < tuples; i++) {
        uint64_t element;
        MMI_TRY(mmi_onnx_tuple_at(&indices, i, data, 0, &element, err));
        scatter_part(call, element, i * part, part);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_ScatterND = {
    .name = "ScatterND",
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct scatter),
    .limits =
        ONNX_LIMITS(ONNX_BETWEEN("reduction", struct scatter, reduction, REDUCE_NONE, REDUCE_MAX)),
    .read = read_scatter_nd,
    .infer = infer_scatter_nd,
    .run = run_scatter_nd,
    .facts = ONNX_FACTS_LIKE_0,
};
