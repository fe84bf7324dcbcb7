/* SPDX-License-Identifier: Apache-2.0 */

/* Gelu and what is fused with it, of com.microsoft. */

#include <backends/onnx/operators/elementwise.h>
#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

/* ---- Of one input ---------------------------------------------------------------------------- */

static const onnx_unary_loop gelu_loops[ONNX_NUMBERS] = {mmi_onnx_f32_Gelu, mmi_onnx_f64_Gelu, NULL,
                                                         NULL};
static const onnx_unary_loop tanh_loops[ONNX_NUMBERS] = {mmi_onnx_f32_GeluTanh,
                                                         mmi_onnx_f64_GeluTanh, NULL, NULL};
static const onnx_unary_loop swish_loops[ONNX_NUMBERS] = {mmi_onnx_f32_Swish, mmi_onnx_f64_Swish,
                                                          NULL, NULL};

static mm_status infer_unary(struct onnx_inference *x, mm_error *err) {
    return mmi_onnx_infer_unary(x, ONNX_FLOATS, err);
}

static mm_status run_gelu(const struct onnx_call *call, mm_error *err) {
    (void)err;
    mmi_onnx_run_unary(call, gelu_loops, NULL);
    return MM_OK;
}

static mm_status read_quick(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_alpha *p = params;
    return mmi_onnx_read_float(a, "alpha", 1.702f, &p->alpha, err);
}

static void use_alpha(const void *params, struct onnx_elementwise *form) {
    form->a = ((const struct onnx_alpha *)params)->alpha;
}

static mm_status run_quick(const struct onnx_call *call, mm_error *err) {
    (void)err;
    mmi_onnx_run_unary(call, swish_loops, call->params);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsGelu = {
    .name = "Gelu",
    .domain = ONNX_MICROSOFT,
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_unary,
    .run = run_gelu,
    .facts = ONNX_FACTS_LIKE_0,
    .elementwise = {.form = ONNX_FORM_ONE, .function = ONNX_F_Gelu},
};

const struct onnx_operator mmi_onnx_op_MsQuickGelu = {
    .name = "QuickGelu",
    .domain = ONNX_MICROSOFT,
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_alpha),
    .read = read_quick,
    .infer = infer_unary,
    .run = run_quick,
    .facts = ONNX_FACTS_LIKE_0,
    .elementwise = {.form = ONNX_FORM_ONE, .function = ONNX_F_Swish},
    .elementwise_by = use_alpha,
};

/* ---- With a bias ----------------------------------------------------------------------------- */

static mm_status check_bias(const struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0], *bias = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS, err));
    if (data->rank < 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has no axes");
    }
    if (mmi_onnx_has(x, 1) && (bias->rank != 1 || bias->shape[0] != data->shape[data->rank - 1])) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %u axes and %" PRIu64 " elements; one of %" PRId64 " wanted",
                        bias->rank, bias->elements, data->shape[data->rank - 1]);
    }
    return MM_OK;
}

static mm_status infer_biased(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    MMI_TRY(check_bias(x, err));
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err);
}

/* Elements of data plus those of the bias, as numbers in `sum`. */
static void add(const struct onnx_call *call, uint64_t at, uint64_t column, uint64_t count,
                union onnx_chunk *sum) {
    int32_t dtype = call->inputs[0].dtype;
    uint64_t width = mmi_onnx_element_bytes(dtype);
    union onnx_chunk of_data, of_bias;
    const void *a =
        mmi_onnx_load_numbers(dtype, (const uint8_t *)call->in[0] + at * width, count, &of_data);
    const void *b = mmi_onnx_load_numbers(dtype, (const uint8_t *)call->in[1] + column * width,
                                          count, &of_bias);
    const struct onnx_stretch x = {a, 1}, y = {b, 1};
    if (dtype == MM_F64) {
        mmi_onnx_f64_Add(x, y, count, sum);
    } else {
        mmi_onnx_f32_Add(x, y, count, sum);
    }
}

static void run_biased(const struct onnx_call *call, const onnx_unary_loop *loops) {
    const struct onnx_tensor *data = &call->inputs[0];
    uint64_t wide = (uint64_t)data->shape[data->rank - 1];
    uint64_t width = mmi_onnx_element_bytes(data->dtype), count;
    if (!mmi_onnx_given(call, 1)) {
        mmi_onnx_run_unary(call, loops, NULL);
        return;
    }
    for (uint64_t at = 0; call->out[0] && at < data->elements; at += count) {
        union onnx_chunk sum;
        count = mmi_min_u64(ONNX_CHUNK, wide - at % wide);
        add(call, at, at % wide, count, &sum);
        loops[mmi_onnx_number(data->dtype)](NULL, &sum, count, &sum);
        mmi_onnx_store_numbers(data->dtype, &sum, count, (uint8_t *)call->out[0] + at * width);
    }
}

static mm_status run_bias_gelu(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run_biased(call, gelu_loops);
    return MM_OK;
}

static mm_status run_fast_gelu(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run_biased(call, tanh_loops);
    return MM_OK;
}

#define BIASED(name_, least_, run_)                                                                \
    const struct onnx_operator mmi_onnx_op_Ms##name_ = {                                           \
        .name = #name_,                                                                            \
        .domain = ONNX_MICROSOFT,                                                                  \
        .flags = ONNX_OP_IN_PLACE,                                                                 \
        .min_inputs = least_,                                                                      \
        .max_inputs = 2,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .infer = infer_biased,                                                                     \
        .run = run_,                                                                               \
        .facts = ONNX_FACTS_LIKE_0,                                                                \
    };
BIASED(BiasGelu, 2, run_bias_gelu)
BIASED(FastGelu, 1, run_fast_gelu)

/* ---- BiasSplitGelu: the left half times Gelu of the right one -------------------------------- */

static mm_status infer_split(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0];
    int64_t shape[MM_MAX_RANK] = {0};
    MMI_TRY(check_bias(x, err));
    if (data->shape[data->rank - 1] % 2 != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its rows of %" PRId64 " elements have no two halves",
                        data->shape[data->rank - 1]);
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        shape[i] = i + 1 < data->rank ? data->shape[i] : data->shape[i] / 2;
    }
    return mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, shape, err);
}

static mm_status run_split(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *made = &call->outputs[0];
    uint64_t half = (uint64_t)made->shape[made->rank - 1], count;
    uint64_t width = mmi_onnx_element_bytes(made->dtype);
    (void)err;
    for (uint64_t at = 0; call->out[0] && at < made->elements; at += count) {
        union onnx_chunk left, right;
        uint64_t column = at % half, from = at / half * half * 2 + column;
        const struct onnx_stretch x = {&left, 1}, y = {&right, 1};
        count = mmi_min_u64(ONNX_CHUNK, half - column);
        add(call, from, column, count, &left);
        add(call, from + half, column + half, count, &right);
        if (made->dtype == MM_F64) {
            mmi_onnx_f64_Gelu(NULL, &right, count, &right);
            mmi_onnx_f64_Mul(x, y, count, &left);
        } else {
            mmi_onnx_f32_Gelu(NULL, &right, count, &right);
            mmi_onnx_f32_Mul(x, y, count, &left);
        }
        mmi_onnx_store_numbers(made->dtype, &left, count, (uint8_t *)call->out[0] + at * width);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsBiasSplitGelu = {
    .name = "BiasSplitGelu",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_split,
    .run = run_split,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
