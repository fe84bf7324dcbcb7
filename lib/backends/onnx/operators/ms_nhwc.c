/* SPDX-License-Identifier: Apache-2.0 */

/* NhwcConv and NhwcMaxPool of com.microsoft: operators of ONNX on images whose channels are the
 * last axis. They run on copies in the scratch; the weights of NhwcConv are [M, ..., C / group]. */

#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <base/checked.h>
#include <base/status.h>

#define MOST 3 /* inputs */

struct form {
    const struct onnx_operator *plain;
    uint32_t moved; /* inputs that are moved: the first ones */
};
static const struct form conv_form = {&mmi_onnx_op_Conv, 2};
static const struct form pool_form = {&mmi_onnx_op_MaxPool, 1};

static mm_status plain_tensor(const struct onnx_tensor *tensor, struct onnx_tensor *to,
                              mm_error *err) {
    int64_t shape[MM_MAX_RANK];
    mmi_onnx_channels_first(tensor, shape);
    return mmi_onnx_tensor_set(to, tensor->dtype, tensor->rank, shape, err);
}

static mm_status plain_inputs(const struct form *form, const struct onnx_tensor *inputs,
                              uint32_t count, struct onnx_tensor *to, mm_error *err) {
    for (uint32_t i = 0; i < count && i < MOST; i++) {
        to[i] = inputs[i];
        if (i < form->moved) {
            MMI_TRY(plain_tensor(&inputs[i], &to[i], err));
        }
    }
    return MM_OK;
}

/* UINT64_MAX on overflow. */
static uint64_t room_of(const struct onnx_tensor *tensor) {
    uint64_t bytes;
    return mmi_round_up(tensor->bytes, 64, &bytes) ? bytes : UINT64_MAX;
}

/* Of the copies, with what `plain` wants; UINT64_MAX on overflow. */
static uint64_t all_room(const struct form *form, const struct onnx_inference *plain) {
    uint64_t bytes = mmi_add_cap(plain->scratch_bytes, room_of(&plain->outputs[0]));
    for (uint32_t i = 0; i < form->moved; i++) {
        bytes = mmi_add_cap(bytes, room_of(&plain->inputs[i]));
    }
    return bytes;
}

static mm_status infer(struct onnx_inference *x, const struct form *form, mm_error *err) {
    struct onnx_tensor inputs[MOST] = {{0}}, made = {0};
    int64_t shape[MM_MAX_RANK];
    MMI_TRY(plain_inputs(form, x->inputs, x->input_count, inputs, err));
    struct onnx_inference plain = {.params = x->params,
                                   .input_count = x->input_count,
                                   .output_count = 1,
                                   .inputs = inputs,
                                   .outputs = &made};
    MMI_TRY(form->plain->infer(&plain, err));
    x->scratch_bytes = all_room(form, &plain);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large to copy");
    }
    mmi_onnx_channels_last(&made, shape);
    return mmi_onnx_tensor_set(&x->outputs[0], made.dtype, made.rank, shape, err);
}

/* kernel NULL: that of the operator itself. */
static mm_status run(const struct onnx_call *call, const struct form *form, onnx_kernel kernel,
                     mm_error *err) {
    const uint32_t width = mmi_onnx_element_bytes(call->outputs[0].dtype);
    struct onnx_tensor inputs[MOST] = {{0}}, made;
    const void *in[MOST] = {NULL};
    uint8_t *room = call->scratch;
    void *result;
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(plain_inputs(form, call->inputs, call->input_count, inputs, err));
    MMI_TRY(plain_tensor(&call->outputs[0], &made, err));
    for (uint32_t i = 0; i < call->input_count && i < MOST; i++) {
        in[i] = call->in[i];
        if (i < form->moved) {
            mmi_onnx_move_channels(&inputs[i], width, false, call->in[i], room);
            in[i] = room;
            room += room_of(&inputs[i]);
        }
    }
    result = room;
    struct onnx_call plain = *call;
    plain.inputs = inputs;
    plain.outputs = &made;
    plain.in = in;
    plain.out = &result;
    plain.scratch = room + room_of(&made);
    MMI_TRY((kernel ? kernel : form->plain->run)(&plain, err));
    mmi_onnx_move_channels(&made, width, true, result, call->out[0]);
    return MM_OK;
}

/* ---- NhwcConv -------------------------------------------------------------------------------- */

static mm_status read_conv(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_conv(a, params, err);
}

static mm_status infer_conv(struct onnx_inference *x, mm_error *err) {
    return infer(x, &conv_form, err);
}

static mm_status run_conv(const struct onnx_call *call, mm_error *err) {
    return run(call, &conv_form, NULL, err);
}

/* The kernel that Conv has for the copies. x->scratch_bytes, once there is one: with the copies. */
static onnx_kernel find_fast(struct onnx_inference *x, const struct onnx_tensor *output,
                             const mm_services *services) {
    struct onnx_tensor inputs[MOST] = {{0}}, made;
    mm_error ignored;
    if (plain_inputs(&conv_form, x->inputs, x->input_count, inputs, &ignored) != MM_OK ||
        plain_tensor(output, &made, &ignored) != MM_OK) {
        return NULL;
    }
    struct onnx_inference plain = {.params = x->params,
                                   .input_count = x->input_count,
                                   .output_count = 1,
                                   .inputs = inputs,
                                   .outputs = &made};
    onnx_kernel kernel = mmi_onnx_cpu_Conv(&plain, services);
    uint64_t bytes = all_room(&conv_form, &plain);
    if (!kernel || bytes == UINT64_MAX) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return kernel;
}

static mm_status run_fast(const struct onnx_call *call, mm_error *err) {
    struct onnx_inference x = {
        .params = call->params, .input_count = call->input_count, .inputs = call->inputs};
    return run(call, &conv_form, find_fast(&x, &call->outputs[0], call->services), err);
}

static onnx_kernel choose_conv(struct onnx_inference *x, const mm_services *services) {
    return find_fast(x, &x->outputs[0], services) ? run_fast : NULL;
}

const struct onnx_operator mmi_onnx_op_MsNhwcConv = {
    .name = "NhwcConv",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .read = read_conv,
    .infer = infer_conv,
    .run = run_conv,
    .weight_inputs = 1u << 1 | 1u << 2,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .kernels = {[ONNX_CPU] = choose_conv},
};

/* ---- NhwcMaxPool ----------------------------------------------------------------------------- */

/* The attributes are those of MaxPool, without storage_order: it has no indices. */
static mm_status read_pool(const struct onnx_attributes *a, void *params, mm_error *err) {
    const struct onnx_attributes as = {.node = a->node, .opset = 12};
    return mmi_onnx_op_MaxPool.read(&as, params, err);
}

static mm_status infer_pool(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_BYTES, err));
    return infer(x, &pool_form, err);
}

static mm_status run_pool(const struct onnx_call *call, mm_error *err) {
    return run(call, &pool_form, NULL, err);
}

const struct onnx_operator mmi_onnx_op_MsNhwcMaxPool = {
    .name = "NhwcMaxPool",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_pool),
    .limits = ONNX_LIMITS(ONNX_WINDOW_LIMITS(struct onnx_pool, window)),
    .read = read_pool,
    .infer = infer_pool,
    .run = run_pool,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
