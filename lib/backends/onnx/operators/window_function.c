/* SPDX-License-Identifier: Apache-2.0 */

/* Windows over a signal: HannWindow, HammingWindow, BlackmanWindow. Element n of one of N is
 *
 *     a - b cos(2 pi n / N) + c cos(4 pi n / N)
 *
 * computed in f64; one that is not periodic has N - 1 in place of N. */

#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

struct window_function {
    int32_t dtype, periodic;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct window_function *window = params;
    MMI_TRY(mmi_onnx_read_int32(a, "output_datatype", MM_F32, &window->dtype, err));
    return mmi_onnx_read_flag(a, "periodic", true, &window->periodic, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct window_function *window = x->params;
    struct onnx_ints size;
    MMI_TRY(mmi_onnx_known_ints(x, 0, "size", &size, err));
    if (size.count != 1 || size.at[0] < 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "its size is no number, or below 0");
    }
    return mmi_onnx_tensor_set(&x->outputs[0], window->dtype, 1, size.at, err);
}

static void run(const struct onnx_call *call, double a, double b, double c) {
    const struct window_function *window = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    double count = (double)output->elements - (window->periodic ? 0 : 1);
    for (uint64_t i = 0; call->out[0] && i < output->elements; i++) {
        double angle = (double)i * (2 * M_PI / count);
        double result = a - b * cos(angle) + c * cos(2 * angle);
        mmi_onnx_convert(MM_F64, &result, 1, output->dtype,
                         (uint8_t *)call->out[0] + i * mmi_onnx_element_bytes(output->dtype));
    }
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->dtype = ((const struct window_function *)l->node->params)->dtype;
}

#define WINDOW(name_, a, b, c)                                                                     \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        (void)err;                                                                                 \
        run(call, a, b, c);                                                                        \
        return MM_OK;                                                                              \
    }                                                                                              \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct window_function),                                            \
        .limits = ONNX_LIMITS(                                                                     \
            ONNX_OF_TYPE("output_datatype", struct window_function, dtype, ONNX_REALS)),           \
        .shaping_inputs = 1u << 0,                                                                 \
        .read = read,                                                                              \
        .infer = infer,                                                                            \
        .run = run_##name_,                                                                        \
        .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_IS_1, ONNX_SIZE_SPREADS, 0},                       \
        .learn = learn,                                                                            \
    };
WINDOW(HannWindow, 0.5, 0.5, 0)
WINDOW(HammingWindow, 25.0 / 46, 21.0 / 46, 0)
WINDOW(BlackmanWindow, 0.42, 0.5, 0.08)
