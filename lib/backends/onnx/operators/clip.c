/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* params: minimum and maximum; the maximum wins if they cross. NaN stays NaN. */
#define CLIP(name, T)                                                                              \
    ONNX_UNARY_LOOP(name, T, T, const T *limits = params; T low = limits[0];                       \
                    T high = limits[1], (x < low ? low : x) > high ? high : (x < low ? low : x))
CLIP(Clip_f64, double)
CLIP(Clip_i64, int64_t)
CLIP(Clip_u64, uint64_t)
static const onnx_unary_loop loops[ONNX_NUMBERS] = {mmi_onnx_f32_Clip, Clip_f64, Clip_i64,
                                                    Clip_u64};

/* Limits of old opsets are attributes: f32, whatever the type. */
static mm_status infer_Clip(struct onnx_inference *x, mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    for (uint32_t i = 1; i < x->input_count; i++) {
        const struct onnx_tensor *limit = &x->inputs[i];
        if (!mmi_onnx_has(x, i)) {
            continue;
        }
        if (limit->dtype != dtype && limit->dtype != MM_F32) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input 0 %s", i,
                            mm_dtype_text(limit->dtype), mm_dtype_text(dtype));
        }
        if (limit->elements != 1) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u has %" PRIu64 " elements, 1 wanted", i, limit->elements);
        }
    }
    return mmi_onnx_infer_unary(x, ONNX_REALS, err);
}

/* limits[i], if input i + 1 has it. */
static void read_limits(const struct onnx_call *call, enum onnx_number number, void *limits) {
    int32_t type = mmi_onnx_number_type(number);
    for (uint32_t i = 0; i < 2; i++) {
        if (mmi_onnx_given(call, i + 1)) {
            mmi_onnx_convert(call->inputs[i + 1].dtype, call->in[i + 1], 1, type,
                             (uint8_t *)limits + i * mmi_onnx_element_bytes(type));
        }
    }
}

static void run(const struct onnx_call *call) {
    union {
        struct onnx_alpha f32;
        double f64[2];
        int64_t i64[2];
        uint64_t u64[2];
    } limits[ONNX_NUMBERS] = {{.f32 = {-INFINITY, INFINITY}},
                              {.f64 = {-INFINITY, INFINITY}},
                              {.i64 = {INT64_MIN, INT64_MAX}},
                              {.u64 = {0, UINT64_MAX}}};
    enum onnx_number number = mmi_onnx_number(call->inputs[0].dtype);
    read_limits(call, number, &limits[number]);
    mmi_onnx_run_unary(call, loops, &limits[number]);
}
ONNX_RUN(Clip, run(call))

const struct onnx_operator mmi_onnx_op_Clip = {
    .name = "Clip",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 1,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_Clip,
    .run = run_Clip,
    .elementwise = {.form = ONNX_FORM_LIMITS, .function = ONNX_F_Clip},
    .order = {ONNX_ORDER_ANY, 0, NULL},
    .facts = ONNX_FACTS_LIKE_0};
