/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/ms_qlinear.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

static mm_status check_single(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                              mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input];
    if (tensor->dtype != dtype || tensor->rank > 1 || tensor->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input %u is %s with %u axes and %" PRIu64 " elements, one %s wanted",
                        input, mm_dtype_text(tensor->dtype), tensor->rank, tensor->elements,
                        mm_dtype_text(dtype));
    }
    return MM_OK;
}

mm_status mmi_onnx_check_scale(const struct onnx_inference *x, uint32_t scale, int32_t dtype,
                               mm_error *err) {
    if (!mmi_onnx_has(x, scale)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input %u, a scale, is left out", scale);
    }
    MMI_TRY(check_single(x, scale, MM_F32, err));
    return mmi_onnx_has(x, scale + 1) ? check_single(x, scale + 1, dtype, err) : MM_OK;
}

mm_status mmi_onnx_check_scaled(const struct onnx_inference *x, uint32_t tensor, int32_t dtype,
                                mm_error *err) {
    if (!mmi_onnx_has(x, tensor)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input %u is left out", tensor);
    }
    MMI_TRY(mmi_onnx_check_type(x, tensor, ONNX_BYTES, err));
    if (x->inputs[tensor].dtype != dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, %s wanted as elsewhere", tensor,
                        mm_dtype_text(x->inputs[tensor].dtype), mm_dtype_text(dtype));
    }
    return mmi_onnx_check_scale(x, tensor + 1, dtype, err);
}

struct onnx_scaling mmi_onnx_scaling(const struct onnx_call *call, uint32_t scale, int32_t dtype) {
    const struct onnx_tensor factor = mmi_onnx_call_input(call, scale);
    const struct onnx_tensor zero = mmi_onnx_call_input(call, scale + 1);
    return (struct onnx_scaling){.dtype = dtype,
                                 .scale = (float)mmi_onnx_float_at(&factor, 0),
                                 .zero = zero.data ? (float)mmi_onnx_float_at(&zero, 0) : 0};
}

void mmi_onnx_scale_up(const struct onnx_scaling *scaling, const void *from, uint64_t count,
                       float *to) {
    const float zero = scaling->zero, scale = scaling->scale;
    mmi_onnx_convert(scaling->dtype, from, count, MM_F32, to);
    for (uint64_t i = 0; i < count; i++) {
        to[i] = (to[i] - zero) * scale;
    }
}

void mmi_onnx_scale_down(const struct onnx_scaling *scaling, const float *from, uint64_t count,
                         void *to) {
    const struct onnx_requantizing type = {scaling->dtype, NULL};
    double values[ONNX_CHUNK], zeros[ONNX_CHUNK];
    for (uint64_t i = 0; i < ONNX_CHUNK; i++) {
        zeros[i] = (double)scaling->zero;
    }
    for (uint64_t i = 0; i < count; i += ONNX_CHUNK) {
        uint64_t part = mmi_min_u64(count - i, ONNX_CHUNK);
        for (uint64_t j = 0; j < part; j++) {
            float quotient = from[i + j] / scaling->scale;
            values[j] = (double)quotient;
        }
        mmi_onnx_quantize(&type, values, zeros, part, (uint8_t *)to + i);
    }
}
