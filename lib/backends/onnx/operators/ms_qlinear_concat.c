/* SPDX-License-Identifier: Apache-2.0 */

/* QLinearConcat of com.microsoft: scale and zero point of the result, then the tensors, each with
 * its own behind it. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <base/status.h>

#include <inttypes.h>

#define FIRST 2 /* tensor */

struct concat {
    int64_t axis;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct concat *concat = params;
    if (!mmi_onnx_attribute(a, "axis")) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute axis is missing");
    }
    return mmi_onnx_read_int(a, "axis", 0, &concat->axis, err);
}

/* Input i goes on along `axis` where `all` ends; otherwise they are alike. */
static mm_status join(const struct onnx_inference *x, uint32_t i, uint32_t axis,
                      struct onnx_tensor *all, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[i];
    bool alike = input->rank == all->rank;
    for (uint32_t j = 0; alike && j < all->rank; j++) {
        alike = j == axis || input->shape[j] == all->shape[j];
    }
    if (!alike) {
        char text[ONNX_SHAPE_TEXT], first[ONNX_SHAPE_TEXT];
        return mmi_fail(err, MM_INVALID_MODEL, "its input %u has the shape %s, its input %u %s", i,
                        mmi_onnx_shape_text(input->rank, input->shape, text), FIRST,
                        mmi_onnx_shape_text(all->rank, x->inputs[FIRST].shape, first));
    }
    if (__builtin_add_overflow(all->shape[axis], input->shape[axis], &all->shape[axis])) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %u becomes too long", axis);
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct concat *concat = x->params;
    struct onnx_tensor all = x->inputs[FIRST];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_scaled(x, FIRST, all.dtype, err));
    MMI_TRY(mmi_onnx_check_scale(x, 0, all.dtype, err));
    MMI_TRY(mmi_onnx_check_axis(concat->axis, all.rank, &axis, err));
    for (uint32_t i = FIRST + 3; i < x->input_count; i += 3) {
        MMI_TRY(mmi_onnx_check_scaled(x, i, all.dtype, err));
        MMI_TRY(join(x, i, axis, &all, err));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], all.dtype, all.rank, all.shape, err);
}

/* All 256 bytes as they will be, in the order of their bits. */
static void make_table(const struct onnx_scaling *from, const struct onnx_scaling *to,
                       uint8_t table[256]) {
    uint8_t all[256];
    float values[256];
    for (uint32_t i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    mmi_onnx_scale_up(from, all, 256, values);
    mmi_onnx_scale_down(to, values, 256, table);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct concat *concat = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    const struct onnx_scaling to = mmi_onnx_scaling(call, 0, output->dtype);
    uint32_t axis;
    if (!call->out[0]) {
        return MM_OK;
    }
    mmi_onnx_axis(concat->axis, output->rank, &axis);
    const struct onnx_split whole = mmi_onnx_split_at(output, axis);
    uint8_t *out = call->out[0];
    for (uint32_t i = FIRST; i < call->input_count; i += 3) {
        const struct onnx_scaling from = mmi_onnx_scaling(call, i + 1, output->dtype);
        const uint64_t row = (uint64_t)call->inputs[i].shape[axis] * whole.inner;
        const uint8_t *in = call->in[i];
        uint8_t table[256];
        make_table(&from, &to, table);
        for (uint64_t j = 0; j < whole.outer; j++) {
            uint8_t *place = out + j * whole.length * whole.inner;
            for (uint64_t k = 0; k < row; k++) {
                place[k] = table[in[j * row + k]];
            }
        }
        out += row;
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsQLinearConcat = {
    .name = "QLinearConcat",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 4,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct concat),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF(2), ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};
