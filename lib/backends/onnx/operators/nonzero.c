/* SPDX-License-Identifier: Apache-2.0 */

/* NonZero and Compress: the elements that a condition picks. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* ---- NonZero --------------------------------------------------------------------------------- */

/* Its bits but for the sign of a float: -0 is zero, what is no number is not. */
static bool is_zero(const uint8_t *element, uint32_t width, bool is_float) {
    uint8_t any = is_float ? element[width - 1] & 0x7f : element[width - 1];
    for (uint32_t i = 0; i + 1 < width; i++) {
        any |= element[i];
    }
    return any == 0;
}

/* Row-major: the last axis counts fastest. */
static void count_up(int64_t *at, const struct onnx_tensor *tensor) {
    for (uint32_t axis = tensor->rank; axis-- > 0;) {
        if (++at[axis] < tensor->shape[axis]) {
            return;
        }
        at[axis] = 0;
    }
}

static mm_status execute_nonzero(struct onnx_execution *x, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_DTYPE_NONE, -1, err));
    const struct onnx_tensor *input = &x->inputs[0].tensor;
    if (!((ONNX_REALS | ONNX_BOOL) >> input->dtype & 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its input is %s", mm_dtype_text(input->dtype));
    }
    uint32_t width = mmi_onnx_element_bytes(input->dtype);
    bool is_float = ONNX_FLOATS >> input->dtype & 1;
    const uint8_t *elements = input->data;
    int64_t shape[2] = {input->rank, 0};
    for (uint64_t i = 0; i < input->elements; i++) {
        shape[1] += !is_zero(elements + i * width, width, is_float);
    }
    MMI_TRY(mmi_onnx_make_tensor(x->memory, MM_I64, 2, shape, &x->outputs[0], err));
    int64_t *to = mmi_onnx_value_data(&x->outputs[0]), at[MM_MAX_RANK] = {0};
    for (uint64_t i = 0; i < input->elements; i++, count_up(at, input)) {
        if (!is_zero(elements + i * width, width, is_float)) {
            for (uint32_t axis = 0; axis < input->rank; axis++) {
                to[axis * shape[1]] = at[axis];
            }
            to++;
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_NonZero = {
    .name = "NonZero",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .execute = execute_nonzero,
};

/* ---- Compress -------------------------------------------------------------------------------- */

struct compress {
    int64_t axis;
    int32_t flat; /* without an axis */
    int32_t reserved;
};

static mm_status read_compress(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct compress *compress = params;
    compress->flat = !mmi_onnx_attribute(a, "axis");
    return mmi_onnx_read_int(a, "axis", 0, &compress->axis, err);
}

/* Slices that the condition takes; beyond its end there are none. */
static int64_t count_taken(const struct onnx_tensor *condition, uint64_t length) {
    const uint8_t *takes = condition->data;
    int64_t count = 0;
    for (uint64_t i = 0; i < condition->elements && i < length; i++) {
        count += takes[i] != 0;
    }
    return count;
}

static mm_status execute_compress(struct onnx_execution *x, mm_error *err) {
    const struct compress *compress = x->params;
    MMI_TRY(mmi_onnx_expect_tensor(x, 0, "input", MM_DTYPE_NONE, -1, err));
    MMI_TRY(mmi_onnx_expect_tensor(x, 1, "condition", MM_BOOL, 1, err));
    struct onnx_tensor input = x->inputs[0].tensor;
    const struct onnx_tensor *condition = &x->inputs[1].tensor;
    uint32_t axis = 0, width = mmi_onnx_element_bytes(input.dtype);
    const uint8_t *from = input.data, *takes = condition->data;
    if (compress->flat) {
        input.rank = 1;
        input.shape[0] = (int64_t)input.elements;
    } else if (!mmi_onnx_axis(compress->axis, input.rank, &axis)) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %" PRId64 " of %u", compress->axis,
                        input.rank);
    }
    if (width == 0) {
        return mmi_fail(err, MM_UNSUPPORTED, "its input is %s", mm_dtype_text(input.dtype));
    }
    struct onnx_split split = mmi_onnx_split_at(&input, axis);
    input.shape[axis] = count_taken(condition, split.length);
    MMI_TRY(
        mmi_onnx_make_tensor(x->memory, input.dtype, input.rank, input.shape, &x->outputs[0], err));
    uint8_t *to = mmi_onnx_value_data(&x->outputs[0]);
    uint64_t bytes = split.inner * width;
    for (uint64_t outer = 0; outer < split.outer; outer++, from += split.length * bytes) {
        for (uint64_t i = 0; i < split.length && i < condition->elements; i++) {
            if (takes[i]) {
                memcpy(to, from + i * bytes, bytes);
                to += bytes;
            }
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Compress = {
    .name = "Compress",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct compress),
    .read = read_compress,
    .execute = execute_compress,
};
