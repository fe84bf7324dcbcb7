/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <base/status.h>

#include <tgmath.h>

/* Functions of one number x with parameters a and b, those of struct onnx_alpha. */

struct names {
    const char *alpha, *beta; /* of the attributes; NULL: there is none */
    struct onnx_alpha defaults;
};

static mm_status read_names(const struct onnx_attributes *a, const struct names *names,
                            struct onnx_alpha *params, mm_error *err) {
    MMI_TRY(mmi_onnx_read_float(a, names->alpha, names->defaults.alpha, &params->alpha, err));
    return names->beta
               ? mmi_onnx_read_float(a, names->beta, names->defaults.beta, &params->beta, err)
               : MM_OK;
}

#define LOOP(name, T, expression)                                                                  \
    ONNX_UNARY_LOOP(name, T, T, const struct onnx_alpha *p = params; T a = (T)p->alpha;            \
                    T b = (T)p->beta; (void)b, expression)

/* Attributes: their names and {defaults}. */
#define OPERATOR(name_, types, ...)                                                                \
    static mm_status read_##name_(const struct onnx_attributes *a, void *params, mm_error *err) {  \
        static const struct names names = {__VA_ARGS__};                                           \
        return read_names(a, &names, params, err);                                                 \
    }                                                                                              \
    ONNX_INFER(name_, mmi_onnx_infer_unary(x, types, err))                                         \
    ONNX_RUN(name_, mmi_onnx_run_unary(call, loops_##name_, call->params))                         \
    ONNX_ELEMENTWISE(name_, 1, .facts = ONNX_FACTS_LIKE_0, .read = read_##name_,                   \
                     .params_bytes = sizeof(struct onnx_alpha))

#define ACTIVATION(name, expression, ...)                                                          \
    LOOP(name##_f32, float, expression)                                                            \
    LOOP(name##_f64, double, expression)                                                           \
    static const onnx_unary_loop loops_##name[ONNX_NUMBERS] = {name##_f32, name##_f64, NULL,       \
                                                               NULL};                              \
    OPERATOR(name, ONNX_FLOATS, __VA_ARGS__)

/* To [0, 1]; what is no number stays so. */
#define LIMIT(x) ((x) < 0 ? 0 : (x) > 1 ? 1 : (x))

ACTIVATION(LeakyRelu, x < 0 ? a * x : x, "alpha", NULL, {0.01f, 0})
ACTIVATION(ThresholdedRelu, x <= a ? 0 : x, "alpha", NULL, {1, 0})
ACTIVATION(Elu, x < 0 ? a * expm1(x) : x, "alpha", NULL, {1, 0})
ACTIVATION(Celu, x < 0 ? a * expm1(x / a) : x, "alpha", NULL, {1, 0})
ACTIVATION(Selu, x < 0 ? b * a * expm1(x) : b * x, "alpha", "gamma", {1.6732632f, 1.050701f})
ACTIVATION(Swish, x / (1 + exp(-a * x)), "alpha", NULL, {1, 0})
ACTIVATION(HardSigmoid, LIMIT((a * x + b)), "alpha", "beta", {0.2f, 0.5f})

/* ---- HardSwish: HardSigmoid with numbers of its own ------------------------------------------ */

ONNX_UNARY_LOOP(HardSwish_f32, float, float, , x *LIMIT((x / 6 + 0.5f)))
ONNX_UNARY_LOOP(HardSwish_f64, double, double, , x *LIMIT((x / 6 + 0.5)))
static const onnx_unary_loop loops_HardSwish[ONNX_NUMBERS] = {HardSwish_f32, HardSwish_f64, NULL,
                                                              NULL};
ONNX_INFER(HardSwish, mmi_onnx_infer_unary(x, ONNX_FLOATS, err))
ONNX_RUN(HardSwish, mmi_onnx_run_unary(call, loops_HardSwish, NULL))
ONNX_ELEMENTWISE(HardSwish, 1, .facts = ONNX_FACTS_LIKE_0)

/* ---- Shrink: of integers, too ---------------------------------------------------------------- */

#define SHRINK(x) ((x) < -a ? (x) + b : (x) > a ? (x)-b : 0)

LOOP(Shrink_f32, float, SHRINK(x))
LOOP(Shrink_f64, double, SHRINK(x))
ONNX_UNARY_LOOP(Shrink_i64, int64_t, int64_t, const struct onnx_alpha *p = params;
                double a = (double)p->alpha; double b = (double)p->beta, SHRINK((double)x))
ONNX_UNARY_LOOP(Shrink_u64, uint64_t, uint64_t, const struct onnx_alpha *p = params;
                double a = (double)p->alpha; double b = (double)p->beta, SHRINK((double)x))
static const onnx_unary_loop loops_Shrink[ONNX_NUMBERS] = {Shrink_f32, Shrink_f64, Shrink_i64,
                                                           Shrink_u64};
OPERATOR(Shrink, ONNX_REALS, "lambd", "bias", {0.5f, 0})

/* ---- Gelu ------------------------------------------------------------------------------------ */

struct gelu {
    int32_t approximate;
};

#define HALF(x) ((x) / 2)
#define CURVE(T, x) ((x) * (T)0.7978845608028654 * (1 + (T)0.044715 * (x) * (x)))
ONNX_UNARY_LOOP(gelu_f32, float, float, , HALF(x) * (1 + erf(x * 0.70710678f)))
ONNX_UNARY_LOOP(gelu_f64, double, double, , HALF(x) * (1 + erf(x * 0.7071067811865476)))
ONNX_UNARY_LOOP(gelu_tanh_f32, float, float, , HALF(x) * (1 + tanh(CURVE(float, x))))
ONNX_UNARY_LOOP(gelu_tanh_f64, double, double, , HALF(x) * (1 + tanh(CURVE(double, x))))
static const onnx_unary_loop loops_Gelu[2][ONNX_NUMBERS] = {
    {gelu_f32, gelu_f64, NULL, NULL}, {gelu_tanh_f32, gelu_tanh_f64, NULL, NULL}};

static mm_status read_gelu(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const choices[] = {"none", "tanh", NULL};
    return mmi_onnx_read_choice(a, "approximate", choices, &((struct gelu *)params)->approximate,
                                err);
}

static const onnx_unary_loop *gelu_loops(const struct gelu *gelu) {
    return loops_Gelu[gelu->approximate != 0];
}
ONNX_INFER(Gelu, mmi_onnx_infer_unary(x, ONNX_FLOATS, err))
ONNX_RUN(Gelu, mmi_onnx_run_unary(call, gelu_loops(call->params), NULL))
ONNX_ELEMENTWISE(Gelu, 1, .facts = ONNX_FACTS_LIKE_0, .read = read_gelu,
                 .params_bytes = sizeof(struct gelu))
