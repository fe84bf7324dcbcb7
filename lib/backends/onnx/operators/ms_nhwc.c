/* SPDX-License-Identifier: Apache-2.0 */

/* NhwcConv and NhwcMaxPool of com.microsoft: operators of ONNX on images whose channels are the
 * last axis. They run on copies in the scratch; the weights of NhwcConv are [M, ..., C / group]. */

#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <base/status.h>

static const struct onnx_moved conv_form = {&mmi_onnx_op_Conv, 2};
static const struct onnx_moved pool_form = {&mmi_onnx_op_MaxPool, 1};

/* ---- NhwcConv -------------------------------------------------------------------------------- */

static mm_status read_conv(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_conv(a, params, err);
}

static mm_status infer_conv(struct onnx_inference *x, mm_error *err) {
    return mmi_onnx_infer_moved(x, &conv_form, err);
}

static mm_status run_conv(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_moved(call, &conv_form, err);
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
};

/* ---- NhwcMaxPool ----------------------------------------------------------------------------- */

/* The attributes are those of MaxPool, without storage_order: it has no indices. */
static mm_status read_pool(const struct onnx_attributes *a, void *params, mm_error *err) {
    const struct onnx_attributes as = {.node = a->node, .opset = 12};
    return mmi_onnx_op_MaxPool.read(&as, params, err);
}

static mm_status infer_pool(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_BYTES, err));
    return mmi_onnx_infer_moved(x, &pool_form, err);
}

static mm_status run_pool(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_moved(call, &pool_form, err);
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
