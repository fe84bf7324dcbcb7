/* SPDX-License-Identifier: Apache-2.0 */

/* Every elementwise function in all of its forms (plain f32 and f64, instruction of Fused, SIMD,
 * activation) over NaN, infinities, zeros, subnormals and numbers of all sizes, against the
 * function bodies of the specification, computed here in f64. */

#include "cpu_tables.h"
#include "graph_runner.h"

#include <backends/onnx/operators/fused.h>

#include <float.h>
#include <math.h>
#include <string.h>

static const float odd[] = {NAN,    INFINITY, -INFINITY, 0,       -0.0f,  FLT_TRUE_MIN, -1e-45f,
                            1e-40f, -1e-40f,  FLT_MIN,   -1e-20f, 1e-20f, 0.5f,         -0.5f,
                            1,      -1,       1.5f,      2.5f,    2,      -2,           3.3f,
                            -3.3f,  6,        -10,       -87,     88,     89,           -100,
                            -104,   1e10f,    -1e10f,    1e30f,   -1e30f, FLT_MAX,      -FLT_MAX};
#define ODD (uint32_t)(sizeof(odd) / sizeof(odd[0]))

static const struct onnx_alpha numbers[] = {{0.5f, 0.25f}, {1, 2},          {1.6732632f, 1.050701f},
                                            {-1, 3},       {0.25f, -1},     {2, 0},
                                            {0, 0},        {1.0f / 6, 0.5f}};

static double clamp(double x, double low, double high) {
    double tmp = x < low ? low : x;
    return high < tmp ? high : tmp;
}
static double elu(double x, double a) {
    return x < 0 ? a * expm1(x) : x;
}
static double softplus(double x) {
    return isnan(x) ? x : log1p(exp(-fabs(x))) + (x > 0 ? x : 0);
}

static double activation_by_body(int32_t function, double x, double a, double b) {
    switch (function) {
    case ONNX_F_Relu:
        return isnan(x) ? x : fmax(x, 0);
    case ONNX_F_Clip:
        return clamp(x, a, b);
    case ONNX_F_LeakyRelu:
        return x < 0 ? a * x : x;
    case ONNX_F_ThresholdedRelu:
        return a < x ? x : 0;
    case ONNX_F_Shrink:
        return x < -a ? x + b : a < x ? x - b : 0;
    case ONNX_F_HardSigmoid:
        return clamp(a * x + b, 0, 1);
    case ONNX_F_HardSwish:
        return x * clamp(a * x + b, 0, 1);
    case ONNX_F_Softsign:
        return x / (1 + fabs(x));
    case ONNX_F_Sigmoid:
        return 1 / (1 + exp(-x));
    case ONNX_F_Swish:
        return x * (1 / (1 + exp(-a * x)));
    case ONNX_F_Tanh:
        return tanh(x);
    case ONNX_F_Elu:
        return elu(x, a);
    case ONNX_F_Celu:
        return a * elu(x / a, 1);
    case ONNX_F_Selu:
        return x < 0 ? b * (a * expm1(x)) : b * x;
    case ONNX_F_Gelu:
        return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    case ONNX_F_GeluTanh:
        return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case ONNX_F_Softplus:
        return softplus(x);
    case ONNX_F_Mish:
        return x * tanh(softplus(x));
    default:
        fail_msg("function %d has no body here", function);
        return 0;
    }
}

/* By the function bodies, and numpy where an operator has none. */
static double by_body(int32_t function, double x, double y, double a, double b) {
    switch (function) {
    case ONNX_F_Add:
        return x + y;
    case ONNX_F_Sub:
        return x - y;
    case ONNX_F_Mul:
        return x * y;
    case ONNX_F_Div:
        return x / y;
    case ONNX_F_Min:
        return isnan(x) || isnan(y) ? NAN : fmin(x, y);
    case ONNX_F_Max:
        return isnan(x) || isnan(y) ? NAN : fmax(x, y);
    case ONNX_F_Pow:
        return pow(x, y);
    case ONNX_F_PRelu:
        return x < 0 ? x * y : x;
    case ONNX_F_Fmod:
        return fmod(x, y);
    case ONNX_F_Neg:
        return -x;
    case ONNX_F_Abs:
        return fabs(x);
    case ONNX_F_Sign:
        return x > 0 ? 1 : x < 0 ? -1 : isnan(x) ? x : 0;
    case ONNX_F_Sqrt:
        return sqrt(x);
    case ONNX_F_Reciprocal:
        return 1 / x;
    case ONNX_F_Floor:
        return floor(x);
    case ONNX_F_Ceil:
        return ceil(x);
    case ONNX_F_Round:
        return rint(x);
    case ONNX_F_Exp:
        return exp(x);
    case ONNX_F_Log:
        return log(x);
    case ONNX_F_Erf:
        return erf(x);
    case ONNX_F_Sin:
        return sin(x);
    case ONNX_F_Cos:
        return cos(x);
    case ONNX_F_Tan:
        return tan(x);
    case ONNX_F_Asin:
        return asin(x);
    case ONNX_F_Acos:
        return acos(x);
    case ONNX_F_Atan:
        return atan(x);
    case ONNX_F_Sinh:
        return sinh(x);
    case ONNX_F_Cosh:
        return cosh(x);
    case ONNX_F_Asinh:
        return asinh(x);
    case ONNX_F_Acosh:
        return acosh(x);
    case ONNX_F_Atanh:
        return atanh(x);
    case ONNX_F_PowHalf:
        return pow(x, 0.5);
    default:
        return activation_by_body(function, x, a, b);
    }
}
/* What may be lost: where a sum cancels, of its terms; a quotient in an exponent, in many bits. */
static double tolerance(int32_t function, double x, double a, double b, double wanted) {
    double of_result = 5e-7 * fabs(wanted), of_terms = 0;
    switch (function) {
    case ONNX_F_Celu:
        of_result = 1e-5 * fabs(wanted);
        break;
    case ONNX_F_Swish: /* e^89 is infinite already */
        of_result = 1e-5 * fabs(wanted);
        of_terms = 0x1p-126 * fabs(x);
        break;
    case ONNX_F_Gelu:
    case ONNX_F_GeluTanh:
    case ONNX_F_Mish:
        of_terms = 5e-7 * fabs(x);
        break;
    case ONNX_F_HardSigmoid:
        of_terms = 5e-7 * (fabs(a * x) + fabs(b));
        break;
    case ONNX_F_HardSwish:
        of_terms = 5e-7 * fabs(x) * (fabs(a * x) + fabs(b));
        break;
    default:
        break;
    }
    return of_result + (of_terms < (double)FLT_MAX ? of_terms : 0) + 0x1p-126;
}

/* Either zero: the specification does not say which of two equal ones is the larger. */
static bool any_zero(int32_t function) {
    return function == ONNX_F_Min || function == ONNX_F_Max || function == ONNX_F_Relu ||
           function == ONNX_F_Clip || function == ONNX_F_HardSigmoid;
}

struct form {
    const char *name;
    int32_t function;
    float x, y;
    struct onnx_alpha numbers;
};

static void check(const struct form *form, double got) {
    double a = (double)form->numbers.alpha, b = (double)form->numbers.beta, x = (double)form->x;
    double wanted = by_body(form->function, x, (double)form->y, a, b);
    double rounded = (double)(float)wanted;
    bool same = isnan(wanted)    ? isnan(got)
                : isinf(rounded) ? got == rounded || got == wanted
                                 : fabs(got - wanted) <= tolerance(form->function, x, a, b, wanted);
    /* by the body no number where alpha is 0: here what it comes close to */
    same |= form->function == ONNX_F_Celu && a == 0 && got == fmax(x, 0);
    if (wanted == 0 && same && !any_zero(form->function)) {
        same = signbit(got) == signbit(wanted);
    }
    if (!same) {
        fail_msg("%s of %g and %g, numbers %g and %g, %s: %g, wanted %g",
                 mmi_onnx_functions[form->function].name, x, (double)form->y, a, b, form->name, got,
                 wanted);
    }
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static const struct onnx_simd *simds[MAX_CPU_TABLES];
static size_t simd_count;

static const onnx_unary_loop one_f64[ONNX_FUNCTIONS] = {
#define ONNX_FUNCTION_1(name, cost, expression) [ONNX_F_##name] = mmi_onnx_f64_##name,
#include <backends/onnx/operators/functions.def>
};
static const onnx_binary_loop two_f64[ONNX_FUNCTIONS] = {
#define ONNX_FUNCTION_2(name, cost, expression) [ONNX_F_##name] = mmi_onnx_f64_##name,
#include <backends/onnx/operators/functions.def>
};

static void check_all(struct form form, const char *name, const float *got, const float *y) {
    form.name = name;
    for (uint32_t i = 0; i < ODD; i++) {
        form.x = odd[i];
        form.y = y ? y[i] : 0;
        check(&form, (double)got[i]);
    }
}

static void check_one(int32_t function, struct onnx_alpha with) {
    struct form form = {.function = function, .numbers = with};
    const struct onnx_instruction code = {
        .function = (uint8_t)function, .x = with.alpha, .y = with.beta};
    float got[ODD];
    double wide[ODD];
    mmi_onnx_functions[function].one(&with, odd, ODD, got);
    check_all(form, "plain", got, NULL);
    for (uint32_t i = 0; i < ODD; i++) {
        wide[i] = (double)odd[i];
    }
    one_f64[function](&with, wide, ODD, wide);
    form.name = "plain f64";
    for (uint32_t i = 0; i < ODD; i++) {
        form.x = odd[i];
        check(&form, wide[i]);
    }
    mmi_onnx_instruction_loop(&code, odd, NULL, got, ODD);
    check_all(form, "instruction", got, NULL);
    for (size_t s = 0; s < simd_count; s++) {
        const struct onnx_activation activation = {
            .function = function, .a = with.alpha, .b = with.beta};
        simds[s]->instruction(&code, odd, NULL, got, ODD);
        check_all(form, "SIMD", got, NULL);
        memcpy(got, odd, sizeof(got));
        simds[s]->activate(&activation, got, ODD, 1, ODD);
        check_all(form, "activation", got, NULL);
    }
}

/* Both operands, or one of them, as rows. */
static void check_two(int32_t function, float other) {
    struct form form = {.function = function};
    struct onnx_instruction code = {.function = (uint8_t)function, .x = other};
    float others[ODD], got[ODD];
    double wide[ODD], wide_other = (double)other;
    for (uint32_t i = 0; i < ODD; i++) {
        others[i] = other;
        wide[i] = (double)odd[i];
    }
    two_f64[function]((struct onnx_stretch){wide, 1}, (struct onnx_stretch){&wide_other, 0}, ODD,
                      wide);
    form.name = "plain f64";
    form.y = other;
    for (uint32_t i = 0; i < ODD; i++) {
        form.x = odd[i];
        check(&form, wide[i]);
    }
    for (size_t s = 0; s <= simd_count; s++) {
        onnx_instruction_loop loop = s == 0 ? mmi_onnx_instruction_loop : simds[s - 1]->instruction;
        code.operands = ONNX_A_B;
        loop(&code, odd, others, got, ODD);
        check_all(form, s == 0 ? "plain" : "SIMD", got, others);
        code.operands = ONNX_A_X;
        loop(&code, odd, NULL, got, ODD);
        check_all(form, s == 0 ? "plain, with a number" : "SIMD, with a number", got, others);
        code.operands = ONNX_X_A;
        loop(&code, odd, NULL, got, ODD);
        form.name = s == 0 ? "plain, of a number" : "SIMD, of a number";
        for (uint32_t i = 0; i < ODD; i++) {
            form.x = other;
            form.y = odd[i];
            check(&form, (double)got[i]);
        }
    }
}

static void every_function_by_its_body(void **state) {
    (void)state;
    for (int32_t function = 0; function < ONNX_FUNCTIONS; function++) {
        for (size_t i = 0; mmi_onnx_of_one(function) && i < sizeof(numbers) / sizeof(*numbers);
             i++) {
            check_one(function, numbers[i]);
        }
        for (uint32_t i = 0; mmi_onnx_of_two(function) && i < ODD; i++) {
            check_two(function, odd[i]);
        }
    }
}

/* ---- Operators ------------------------------------------------------------------------------- */

/* An operator without attributes, run by itself and as what the passes make of it. */
static void check_operator(const struct onnx_operator *op) {
    struct bench bench;
    bench_init(&bench, 1);
    bool two = op->elementwise.form == ONNX_FORM_POWER || op->elementwise.form == ONNX_FORM_MEAN ||
               op->elementwise.form == ONNX_FORM_ALL;
    const char *attributes = op == &mmi_onnx_op_Mod ? "fmod=1" : "";
    uint32_t x = bench_input(&bench, MM_F32, "35"), y = bench_input(&bench, MM_F32, "35 1");
    uint32_t result = two ? BENCH_NODE(&bench, op->name, attributes, x, y)
                          : BENCH_NODE(&bench, op->name, attributes, x);
    bench_output(&bench, result);
    struct onnx_tensor inputs[2] = {bench_tensor(&bench, MM_F32, "35"),
                                    bench_tensor(&bench, MM_F32, "35 1")};
    for (uint32_t i = 0; i < 2; i++) {
        memcpy((void *)(uintptr_t)inputs[i].data, odd, sizeof(odd));
    }
    struct onnx_tensor before, after;
    struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(
        run_graph(&bench.model, inputs, &before, &bench.arena, &bench.services, &bench.err), MM_OK);
    assert_int_equal(mmi_onnx_fuse_elementwise(&bench.model, &context, &bench.err), MM_OK);
    assert_int_equal(bench_count(bench.model.main, "Fused"), 1);
    assert_int_equal(
        run_graph(&bench.model, inputs, &after, &bench.arena, &bench.services, &bench.err), MM_OK);
    assert_memory_equal(before.data, after.data, before.bytes);
    bench_fini(&bench);
}

static void every_operator_is_its_function(void **state) {
    (void)state;
    uint32_t count = 0;
    assert_int_equal(ODD, 35);
    for (const struct onnx_operator *const *op = mmi_onnx_operators; *op; op++) {
        /* the slope of PRelu must not be larger than its input; Clip without limits is nothing */
        bool none = (*op)->elementwise.form == ONNX_FORM_NONE;
        if (!none && *op != &mmi_onnx_op_PRelu) {
            check_operator(*op);
            count++;
        }
    }
    assert_true(count >= 48);
}

int main(void) {
    simd_count = cpu_simds(simds);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_by_its_body),
        cmocka_unit_test(every_operator_is_its_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
