/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <base/status.h>

/* Functions of one number x with numbers a and b, those of struct onnx_alpha. */

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

static void use_numbers(const void *params, struct onnx_elementwise *form) {
    const struct onnx_alpha *numbers = params;
    form->a = numbers->alpha;
    form->b = numbers->beta;
}

/* Attributes: their names and {defaults}. */
#define READ(name_, ...)                                                                           \
    static mm_status read_##name_(const struct onnx_attributes *a, void *params, mm_error *err) {  \
        static const struct names names = {__VA_ARGS__};                                           \
        return read_names(a, &names, params, err);                                                 \
    }
#define NUMBERS(name_)                                                                             \
    .read = read_##name_, .params_bytes = sizeof(struct onnx_alpha), .elementwise_by = use_numbers
#define ACTIVATION(name, ...)                                                                      \
    READ(name, __VA_ARGS__)                                                                        \
    ONNX_UNARY(name, ONNX_FLOATS, NULL, NULL, call->params, NUMBERS(name))

ACTIVATION(LeakyRelu, "alpha", NULL, {0.01f, 0})
ACTIVATION(ThresholdedRelu, "alpha", NULL, {1, 0})
ACTIVATION(Elu, "alpha", NULL, {1, 0})
ACTIVATION(Celu, "alpha", NULL, {1, 0})
ACTIVATION(Selu, "alpha", "gamma", {1.6732632f, 1.050701f})
ACTIVATION(Swish, "alpha", NULL, {1, 0})
ACTIVATION(HardSigmoid, "alpha", "beta", {0.2f, 0.5f})

/* HardSwish has no attributes. */
static const struct onnx_alpha hard_swish = {1.0f / 6, 0.5f};
static void use_hard_swish(const void *params, struct onnx_elementwise *form) {
    (void)params;
    use_numbers(&hard_swish, form);
}
ONNX_UNARY(HardSwish, ONNX_FLOATS, NULL, NULL, &hard_swish, .elementwise_by = use_hard_swish)

/* Shrink: of integers, too. */
#define SHRINK(name, T)                                                                            \
    ONNX_UNARY_LOOP(name, T, T, const struct onnx_alpha *p = params; double a = (double)p->alpha;  \
                    double b = (double)p->beta, (double)x < -a  ? (double)x + b                    \
                                                : (double)x > a ? (double)x - b                    \
                                                                : 0)
SHRINK(shrink_i64, int64_t)
SHRINK(shrink_u64, uint64_t)
READ(Shrink, "lambd", "bias", {0.5f, 0})
ONNX_UNARY(Shrink, ONNX_REALS, shrink_i64, shrink_u64, call->params, NUMBERS(Shrink))

/* ---- Gelu ------------------------------------------------------------------------------------ */

struct gelu {
    int32_t approximate;
};

static mm_status read_gelu(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const choices[] = {"none", "tanh", NULL};
    return mmi_onnx_read_choice(a, "approximate", choices, &((struct gelu *)params)->approximate,
                                err);
}

static const onnx_unary_loop loops_Gelu[2][ONNX_NUMBERS] = {
    {mmi_onnx_f32_Gelu, mmi_onnx_f64_Gelu, NULL, NULL},
    {mmi_onnx_f32_GeluTanh, mmi_onnx_f64_GeluTanh, NULL, NULL}};
static const onnx_unary_loop *gelu_loops(const struct gelu *gelu) {
    return loops_Gelu[gelu->approximate != 0];
}
static void choose_gelu(const void *params, struct onnx_elementwise *form) {
    const struct gelu *gelu = params;
    form->function = gelu->approximate ? ONNX_F_GeluTanh : ONNX_F_Gelu;
}
ONNX_INFER(Gelu, mmi_onnx_infer_unary(x, ONNX_FLOATS, err))
ONNX_RUN(Gelu, mmi_onnx_run_unary(call, gelu_loops(call->params), NULL))
ONNX_ELEMENTWISE(Gelu, 1, .facts = ONNX_FACTS_LIKE_0, .read = read_gelu,
                 .params_bytes = sizeof(struct gelu),
                 .elementwise = {.form = ONNX_FORM_ONE, .function = ONNX_F_Gelu},
                 .elementwise_by = choose_gelu)
