/* SPDX-License-Identifier: Apache-2.0 */
/* The fast loops of Fused against the plain ones, and against libm in f64. */
#include "cpu_compare.h"

#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/operators/fused.h>

#include <math.h>
#include <string.h>

static uint64_t seed;

static const struct onnx_simd *simds[2];
static size_t simd_count;

static void find_simds(void) {
    simds[simd_count++] = mmi_onnx_simd(0);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        simds[simd_count++] = mmi_onnx_simd(MM_CPU_AVX2);
    }
#endif
}

/* ---- Each function over all magnitudes */

static double exact(uint8_t kind, double x) {
    switch (kind) {
    case ONNX_I_EXP:
        return exp(x);
    case ONNX_I_LOG:
        return log(x);
    case ONNX_I_TANH:
        return tanh(x);
    case ONNX_I_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return erf(x);
    }
}

/* The maximum relative error of one function, where results are normal floats. */
static double worst_error(const struct onnx_simd *simd, uint8_t kind) {
    const struct onnx_instruction code = {.kind = kind};
    double worst = 0;
    uint64_t state = seed;
    for (uint32_t round = 0; round < 3000; round++) {
        float x[67], y[67];
        for (uint32_t i = 0; i < 67; i++) { /* any exponent from 2^-30 to 2^7, any sign */
            float size = ldexpf(1 + (float)test_random_below(&state, 1 << 23) / (1 << 23),
                                (int)test_random_below(&state, 38) - 30);
            x[i] = kind != ONNX_I_LOG && test_random_below(&state, 2) ? -size : size;
        }
        simd->instruction(&code, x, NULL, y, 67);
        for (uint32_t i = 0; i < 67; i++) {
            double wanted = exact(kind, (double)x[i]);
            if (fabs(wanted) >= 0x1p-126 && fabs(wanted) < 0x1p128) {
                worst = fmax(worst, fabs((double)y[i] - wanted) / fabs(wanted));
            }
        }
    }
    return worst;
}

static void functions_are_exact_to_the_last_bits(void **state) {
    (void)state;
    static const uint8_t kinds[] = {ONNX_I_EXP, ONNX_I_LOG, ONNX_I_TANH, ONNX_I_SIGMOID,
                                    ONNX_I_ERF};
    for (size_t s = 0; s < simd_count; s++) {
        for (size_t i = 0; i < sizeof(kinds); i++) {
            double error = worst_error(simds[s], kinds[i]);
            if (!(error < 4e-7)) {
                fail_msg("instruction %u has a relative error of %g", kinds[i], error);
            }
        }
    }
}

static void functions_at_their_ends(void **state) {
    (void)state;
    static const struct {
        uint8_t kind;
        float x, wanted;
    } cases[] = {
        {ONNX_I_EXP, 0, 1},
        {ONNX_I_EXP, -INFINITY, 0},
        {ONNX_I_EXP, INFINITY, INFINITY},
        {ONNX_I_EXP, 89, INFINITY},
        {ONNX_I_EXP, -200, 0},
        {ONNX_I_LOG, 1, 0},
        {ONNX_I_LOG, 0, -INFINITY},
        {ONNX_I_LOG, -0.0f, -INFINITY},
        {ONNX_I_LOG, INFINITY, INFINITY},
        {ONNX_I_TANH, INFINITY, 1},
        {ONNX_I_TANH, -INFINITY, -1},
        {ONNX_I_TANH, 0, 0},
        {ONNX_I_SIGMOID, INFINITY, 1},
        {ONNX_I_SIGMOID, -INFINITY, 0},
        {ONNX_I_SIGMOID, 0, 0.5f},
        {ONNX_I_ERF, INFINITY, 1},
        {ONNX_I_ERF, -INFINITY, -1},
        {ONNX_I_ERF, 0, 0},
    };
    for (size_t s = 0; s < simd_count; s++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const struct onnx_instruction code = {.kind = cases[i].kind};
            float y;
            simds[s]->instruction(&code, &cases[i].x, NULL, &y, 1);
            assert_true(y == cases[i].wanted);
        }
        for (uint8_t kind = ONNX_I_RELU; kind < ONNX_INSTRUCTIONS; kind++) {
            const struct onnx_instruction code = {.kind = kind};
            const float x[] = {NAN, -1};
            float y[2];
            simds[s]->instruction(&code, x, NULL, y, 1);
            assert_true(isnan(y[0]));
            if (kind == ONNX_I_LOG || kind == ONNX_I_SQRT) {
                simds[s]->instruction(&code, x + 1, NULL, y, 1);
                assert_true(isnan(y[0]));
            }
        }
        /* subnormal floats are not flushed to 0 */
        const struct onnx_instruction log_code = {.kind = ONNX_I_LOG};
        const float tiny = 0x1p-149f;
        float y;
        simds[s]->instruction(&log_code, &tiny, NULL, &y, 1);
        assert_true(fabs((double)y - log(0x1p-149)) < 1e-4);
    }
}

/* ---- Programs */

static float parameter(struct comparison *c) {
    static const float usual[] = {2, 0.5f, -1, 3, 0.25f, 0};
    return usual[compare_below(c, 6)];
}

static struct onnx_program one_instruction(struct comparison *c, uint8_t kind) {
    struct onnx_program program = {.inputs = kind <= ONNX_I_POW ? 2 : 1, .count = 1};
    float x = parameter(c), y = parameter(c);
    bool ordered = kind == ONNX_I_CLIP && x > y;
    program.code[0] = (struct onnx_instruction){.kind = kind,
                                                .b = (uint8_t)(program.inputs - 1),
                                                .x = ordered ? y : x,
                                                .y = ordered ? x : y};
    return program;
}

static void every_instruction(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t round = 0; round < 12; round++) {
        for (uint8_t kind = 0; kind < ONNX_INSTRUCTIONS; kind++) {
            struct onnx_program program = one_instruction(&c, kind);
            compare_start(&c, &mmi_onnx_op_Fused, &program);
            c.floor = kind == ONNX_I_HARD_SIGMOID ? 1 : 0;
            bool positive = kind == ONNX_I_POW || kind == ONNX_I_LOG || kind == ONNX_I_SQRT;
            const int64_t shape[] = {1 + compare_below(&c, 5), 1 + compare_below(&c, 300)};
            for (uint32_t i = 0; i < program.inputs; i++) {
                compare_input(&c, 2, shape, positive ? 0.01f : -5, 5);
            }
            assert_true(compare_run(&c));
        }
    }
    compare_fini(&c);
}

static void instructions_of_no_numbers(void **state) {
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1, -1};
    struct comparison c;
    compare_init(&c, seed);
    for (uint8_t kind = 0; kind < ONNX_INSTRUCTIONS; kind++) {
        struct onnx_program program = one_instruction(&c, kind);
        program.code[0].x = 0.5f;
        program.code[0].y = 2;
        compare_start(&c, &mmi_onnx_op_Fused, &program);
        for (uint32_t i = 0; i < program.inputs; i++) {
            float *x = COMPARE_INPUT(&c, 7, 7);
            for (uint32_t k = 0; k < 49; k++) {
                x[k] = odd[i == 0 ? k / 7 : k % 7];
            }
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

/* x * sigmoid(x) + y, with y broadcast, large enough to be split among tasks. */
static void program_on_several_threads(void **state) {
    (void)state;
    const struct onnx_program program = {.inputs = 2,
                                         .count = 3,
                                         .code = {{.kind = ONNX_I_SIGMOID, .a = 0},
                                                  {.kind = ONNX_I_MUL, .a = 0, .b = 2},
                                                  {.kind = ONNX_I_ADD, .a = 3, .b = 1}}};
    struct comparison c;
    compare_init(&c, seed);
    compare_start(&c, &mmi_onnx_op_Fused, &program);
    COMPARE_INPUT(&c, 8, 30, 371);
    COMPARE_INPUT(&c, 30, 1);
    assert_true(compare_run(&c));
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    find_simds();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_exact_to_the_last_bits),
        cmocka_unit_test(functions_at_their_ends),
        cmocka_unit_test(every_instruction),
        cmocka_unit_test(instructions_of_no_numbers),
        cmocka_unit_test(program_on_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
