/* SPDX-License-Identifier: Apache-2.0 */

/* The QLinear operators of com.microsoft that are an operator of ONNX between a dequantisation and
 * a quantisation: that operator runs on f32 copies in the scratch. */

#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <backends/onnx/operators/softmax.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

#define MOST 3 /* inputs of the operator within */
#define ALIGN 64

/* The inputs: those that are taken as they are; those with scale and zero point; scale and zero
 * point of the result. The operator within has the first two kinds, in their order. */
struct form {
    const struct onnx_operator *plain;
    uint32_t raw, scaled;
    bool (*is_last)(const void *params); /* whether channels are the last axis; NULL: never */
};

static bool channels_are_last(const struct form *form, const void *params) {
    return form->is_last && form->is_last(params);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* Input i of the operator within. */
static mm_status inner_input(const struct form *form, const void *params,
                             const struct onnx_tensor *input, struct onnx_tensor *to,
                             mm_error *err) {
    int64_t shape[MM_MAX_RANK];
    memcpy(shape, input->shape, sizeof(shape));
    if (channels_are_last(form, params)) {
        mmi_onnx_channels_first(input, shape);
    }
    return mmi_onnx_tensor_set(to, MM_F32, input->rank, shape, err);
}

/* Of the f32 copy of a tensor, and where it is moved to another order of channels. */
static uint64_t copy_bytes(const struct onnx_tensor *tensor) {
    uint64_t bytes;
    return mmi_round_up(tensor->bytes, ALIGN, &bytes) ? bytes : UINT64_MAX;
}

static uint64_t moved_bytes(const struct form *form, const void *params,
                            const struct onnx_tensor *tensor) {
    uint64_t bytes;
    if (!channels_are_last(form, params)) {
        return 0;
    }
    return mmi_round_up(tensor->elements, ALIGN, &bytes) ? bytes : UINT64_MAX;
}

static mm_status infer(struct onnx_inference *x, const struct form *form, mm_error *err) {
    struct onnx_tensor inputs[MOST], made = {0};
    const int32_t dtype = x->inputs[form->raw].dtype;
    uint64_t copies = 0;
    int64_t shape[MM_MAX_RANK];
    for (uint32_t i = 0; i < form->raw; i++) {
        inputs[i] = x->inputs[i];
    }
    for (uint32_t i = 0; i < form->scaled; i++) {
        uint32_t at = form->raw + 3 * i;
        struct onnx_tensor *inner = &inputs[form->raw + i];
        MMI_TRY(mmi_onnx_check_scaled(x, at, dtype, err));
        MMI_TRY(inner_input(form, x->params, &x->inputs[at], inner, err));
        copies = mmi_add_cap(copies, copy_bytes(inner));
        copies = mmi_add_cap(copies, moved_bytes(form, x->params, inner));
    }
    MMI_TRY(mmi_onnx_check_scale(x, form->raw + 3 * form->scaled, dtype, err));
    struct onnx_inference within = {.params = x->params,
                                    .input_count = form->raw + form->scaled,
                                    .output_count = 1,
                                    .inputs = inputs,
                                    .outputs = &made};
    MMI_TRY(form->plain->infer(&within, err));
    copies = mmi_add_cap(copies, copy_bytes(&made));
    copies = mmi_add_cap(copies, moved_bytes(form, x->params, &made));
    x->scratch_bytes = mmi_add_cap(copies, within.scratch_bytes);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large to copy as f32");
    }
    memcpy(shape, made.shape, sizeof(shape));
    if (channels_are_last(form, x->params)) {
        mmi_onnx_channels_last(&made, shape);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, made.rank, shape, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* Dequantised, in the order of axes that the operator within has; takes its place from *room. */
static float *take_input(const struct form *form, const struct onnx_call *call, uint32_t at,
                         const struct onnx_tensor *inner, uint8_t **room) {
    const void *from = call->in[at];
    if (channels_are_last(form, call->params) && inner->elements > 0) {
        mmi_onnx_move_channels(inner, 1, false, from, *room);
        from = *room;
        *room += moved_bytes(form, call->params, inner);
    }
    float *to = (float *)(void *)*room;
    *room += copy_bytes(inner);
    const struct onnx_scaling scaling = mmi_onnx_scaling(call, at + 1, call->inputs[at].dtype);
    mmi_onnx_scale_up(&scaling, from, inner->elements, to);
    return to;
}

static mm_status run(const struct onnx_call *call, const struct form *form, mm_error *err) {
    const bool moved = channels_are_last(form, call->params);
    struct onnx_tensor inputs[MOST], made;
    const void *in[MOST];
    uint8_t *room = call->scratch;
    if (!call->out[0]) {
        return MM_OK;
    }
    for (uint32_t i = 0; i < form->raw; i++) {
        inputs[i] = call->inputs[i];
        in[i] = call->in[i];
    }
    for (uint32_t i = form->raw; i < form->raw + form->scaled; i++) {
        uint32_t at = form->raw + 3 * (i - form->raw);
        MMI_TRY(inner_input(form, call->params, &call->inputs[at], &inputs[i], err));
        in[i] = take_input(form, call, at, &inputs[i], &room);
    }
    MMI_TRY(inner_input(form, call->params, &call->outputs[0], &made, err));
    void *result = room;
    room += copy_bytes(&made);
    uint8_t *first = room; /* what is to be moved */
    room += moved_bytes(form, call->params, &made);
    const struct onnx_call within = {.params = call->params,
                                     .input_count = form->raw + form->scaled,
                                     .output_count = 1,
                                     .inputs = inputs,
                                     .outputs = &made,
                                     .in = in,
                                     .out = &result,
                                     .scratch = room,
                                     .services = call->services};
    MMI_TRY(form->plain->run(&within, err));
    const struct onnx_scaling scaling =
        mmi_onnx_scaling(call, form->raw + 3 * form->scaled, call->outputs[0].dtype);
    mmi_onnx_scale_down(&scaling, result, made.elements, moved ? first : call->out[0]);
    if (moved) {
        mmi_onnx_move_channels(&made, 1, true, first, call->out[0]);
    }
    return MM_OK;
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static mm_status read_leaky(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_op_LeakyRelu.read(a, params, err);
}

static mm_status read_softmax(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_attributes as = {.node = a->node};
    if (!mmi_onnx_attribute(a, "opset")) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute opset is missing");
    }
    MMI_TRY(mmi_onnx_read_int(a, "opset", 0, &as.opset, err));
    return mmi_onnx_op_Softmax.read(&as, params, err);
}

struct pool {
    struct onnx_pool plain; /* first: the pools read it */
    int64_t channels_last;
};

static bool pool_is_last(const void *params) {
    return ((const struct pool *)params)->channels_last != 0;
}

static mm_status read_global(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct pool *pool = params;
    return mmi_onnx_read_int(a, "channels_last", 0, &pool->channels_last, err);
}

/* The window's attributes are those of AveragePool without dilations. */
static mm_status read_average(const struct onnx_attributes *a, void *params, mm_error *err) {
    const struct onnx_attributes as = {.node = a->node, .opset = 11};
    MMI_TRY(read_global(a, params, err));
    return mmi_onnx_op_AveragePool.read(&as, params, err);
}

/* ---- Operators ------------------------------------------------------------------------------- */

#define FORM(name_, plain_, raw_, scaled_, is_last_)                                               \
    static const struct form form_##name_ = {&mmi_onnx_op_##plain_, raw_, scaled_, is_last_};      \
    static mm_status infer_##name_(struct onnx_inference *x, mm_error *err) {                      \
        return infer(x, &form_##name_, err);                                                       \
    }                                                                                              \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        return run(call, &form_##name_, err);                                                      \
    }
#define OPERATOR(name_, inputs_, ...)                                                              \
    const struct onnx_operator mmi_onnx_op_Ms##name_ = {.name = #name_,                            \
                                                        .domain = ONNX_MICROSOFT,                  \
                                                        .min_inputs = inputs_ - 1,                 \
                                                        .max_inputs = inputs_,                     \
                                                        .min_outputs = 1,                          \
                                                        .max_outputs = 1,                          \
                                                        .infer = infer_##name_,                    \
                                                        .run = run_##name_,                        \
                                                        __VA_ARGS__};
#define BROADCAST                                                                                  \
    { ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0 }

FORM(QLinearAdd, Add, 0, 2, NULL)
OPERATOR(QLinearAdd, 8, .facts = BROADCAST)
FORM(QLinearMul, Mul, 0, 2, NULL)
OPERATOR(QLinearMul, 8, .facts = BROADCAST)
FORM(QLinearWhere, Where, 1, 2, NULL)
OPERATOR(QLinearWhere, 9, .facts = {ONNX_DTYPE_OF_1, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0})
FORM(QLinearSigmoid, Sigmoid, 0, 1, NULL)
OPERATOR(QLinearSigmoid, 5, .facts = ONNX_FACTS_LIKE_0)
FORM(QLinearLeakyRelu, LeakyRelu, 0, 1, NULL)
OPERATOR(QLinearLeakyRelu, 5, .params_bytes = sizeof(struct onnx_alpha), .read = read_leaky,
         .facts = ONNX_FACTS_LIKE_0)
FORM(QLinearSoftmax, Softmax, 0, 1, NULL)
OPERATOR(QLinearSoftmax, 5, .params_bytes = sizeof(struct onnx_softmax), .read = read_softmax,
         .facts = ONNX_FACTS_LIKE_0)
FORM(QLinearAveragePool, AveragePool, 0, 1, pool_is_last)
OPERATOR(QLinearAveragePool, 5, .params_bytes = sizeof(struct pool),
         .limits = ONNX_LIMITS(ONNX_WINDOW_LIMITS(struct pool, plain.window)), .read = read_average,
         .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0})
FORM(QLinearGlobalAveragePool, GlobalAveragePool, 0, 1, pool_is_last)
OPERATOR(QLinearGlobalAveragePool, 5, .params_bytes = sizeof(struct pool), .read = read_global,
         .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_REDUCES, 0})
