/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/execution.h>
#include <base/status.h>

static const char *kind_text(int32_t kind) {
    static const char *const texts[] = {"tensor", "sequence", "optional", "map"};
    return kind >= 0 && kind < 4 ? texts[kind] : "?";
}

mm_status mmi_onnx_expect_tensor(const struct onnx_execution *x, uint32_t i, const char *what,
                                 int32_t dtype, int32_t rank, mm_error *err) {
    if (!mmi_onnx_is_given(x, i)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is left out", what);
    }
    const struct onnx_run_value *value = &x->inputs[i];
    if (value->kind != MM_TENSOR) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is a %s, a tensor wanted", what,
                        kind_text(value->kind));
    }
    if (dtype != MM_DTYPE_NONE && value->tensor.dtype != dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is %s, %s wanted", what,
                        mm_dtype_text(value->tensor.dtype), mm_dtype_text(dtype));
    }
    if (rank >= 0 && value->tensor.rank != (uint32_t)rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s has %u axes, %d wanted", what,
                        value->tensor.rank, rank);
    }
    return MM_OK;
}

mm_status mmi_onnx_expect_number(const struct onnx_execution *x, uint32_t i, const char *what,
                                 int64_t *number, mm_error *err) {
    MMI_TRY(mmi_onnx_expect_tensor(x, i, what, MM_DTYPE_NONE, -1, err));
    const struct onnx_tensor *tensor = &x->inputs[i].tensor;
    bool whole = tensor->dtype == MM_BOOL || tensor->dtype == MM_I64 || tensor->dtype == MM_I32;
    if (!whole || tensor->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s is %llu elements of %s, one number wanted",
                        what, (unsigned long long)tensor->elements, mm_dtype_text(tensor->dtype));
    }
    *number = mmi_onnx_int_at(tensor, 0);
    return MM_OK;
}
