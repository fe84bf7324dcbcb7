/* SPDX-License-Identifier: Apache-2.0 */
/* The fast loops of Fused against the plain ones, and against libm in f64. */
#include "cpu_compare.h"
#include "cpu_tables.h"

#include <backends/onnx/operators/fused.h>

#include <math.h>
#include <string.h>

static uint64_t seed;

static const struct onnx_simd *simds[MAX_CPU_TABLES];
static size_t simd_count;

/* ---- Each function over all magnitudes */

static double exact(uint8_t function, double x) {
    switch (function) {
    case ONNX_F_Exp:
        return exp(x);
    case ONNX_F_Log:
        return log(x);
    case ONNX_F_Tanh:
        return tanh(x);
    case ONNX_F_Sigmoid:
        return 1 / (1 + exp(-x));
    default:
        return erf(x);
    }
}

/* The maximum relative error of one function, where results are normal floats. */
static double worst_error(const struct onnx_simd *simd, uint8_t function) {
    const struct onnx_instruction code = {.function = function};
    double worst = 0;
    uint64_t state = seed;
    for (uint32_t round = 0; round < 3000; round++) {
        float x[67], y[67];
        for (uint32_t i = 0; i < 67; i++) { /* any exponent from 2^-30 to 2^7, any sign */
            float size = ldexpf(1 + (float)test_random_below(&state, 1 << 23) / (1 << 23),
                                (int)test_random_below(&state, 38) - 30);
            x[i] = function != ONNX_F_Log && test_random_below(&state, 2) ? -size : size;
        }
        simd->instruction(&code, x, NULL, y, 67);
        for (uint32_t i = 0; i < 67; i++) {
            double wanted = exact(function, (double)x[i]);
            if (fabs(wanted) >= 0x1p-126 && fabs(wanted) < 0x1p128) {
                worst = fmax(worst, fabs((double)y[i] - wanted) / fabs(wanted));
            }
        }
    }
    return worst;
}

static void functions_are_exact_to_the_last_bits(void **state) {
    (void)state;
    static const uint8_t kinds[] = {ONNX_F_Exp, ONNX_F_Log, ONNX_F_Tanh, ONNX_F_Sigmoid,
                                    ONNX_F_Erf};
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
        uint8_t function;
        float x, wanted;
    } cases[] = {
        {ONNX_F_Exp, 0, 1},
        {ONNX_F_Exp, -INFINITY, 0},
        {ONNX_F_Exp, INFINITY, INFINITY},
        {ONNX_F_Exp, 89, INFINITY},
        {ONNX_F_Exp, -200, 0},
        {ONNX_F_Log, 1, 0},
        {ONNX_F_Log, 0, -INFINITY},
        {ONNX_F_Log, -0.0f, -INFINITY},
        {ONNX_F_Log, INFINITY, INFINITY},
        {ONNX_F_Tanh, INFINITY, 1},
        {ONNX_F_Tanh, -INFINITY, -1},
        {ONNX_F_Tanh, 0, 0},
        {ONNX_F_Sigmoid, INFINITY, 1},
        {ONNX_F_Sigmoid, -INFINITY, 0},
        {ONNX_F_Sigmoid, 0, 0.5f},
        {ONNX_F_Erf, INFINITY, 1},
        {ONNX_F_Erf, -INFINITY, -1},
        {ONNX_F_Erf, 0, 0},
    };
    for (size_t s = 0; s < simd_count; s++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            const struct onnx_instruction code = {.function = cases[i].function};
            float y;
            simds[s]->instruction(&code, &cases[i].x, NULL, &y, 1);
            assert_true(y == cases[i].wanted);
        }
        /* subnormal floats are not flushed to 0 */
        const struct onnx_instruction log_code = {.function = ONNX_F_Log};
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

static struct onnx_program one_instruction(struct comparison *c, uint8_t function,
                                           uint8_t operands) {
    float x = parameter(c), y = parameter(c);
    struct onnx_program program = {.inputs = 1, .count = 1};
    program.code[0] = (struct onnx_instruction){
        .function = function, .operands = operands, .b = 0, .x = x, .y = y};
    if (mmi_onnx_reads_b(&program.code[0])) {
        program.inputs = 2;
        program.code[0].b = 1;
    }
    return program;
}

static void check_random(struct comparison *c, uint8_t function, uint8_t operands) {
    struct onnx_program program = one_instruction(c, function, operands);
    compare_start(c, &mmi_onnx_op_Fused, &program);
    c->floor = mmi_onnx_of_one(function) ? 1 : 0;
    const int64_t shape[] = {1 + compare_below(c, 5), 1 + compare_below(c, 300)};
    for (uint32_t i = 0; i < program.inputs; i++) {
        compare_input(c, 2, shape, function == ONNX_F_Pow ? 0.01f : -5, 5);
    }
    assert_true(compare_run(c));
}

static void every_function(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t round = 0; round < 12; round++) {
        for (uint8_t function = 0; function < ONNX_FUNCTIONS; function++) {
            uint8_t forms = mmi_onnx_of_two(function) ? 3 : mmi_onnx_of_one(function) ? 1 : 0;
            for (uint8_t operands = 0; operands < forms; operands++) {
                check_random(&c, function, operands);
            }
        }
    }
    compare_fini(&c);
}

/* x * sigmoid(x) + y, with y broadcast, large enough to be split among tasks. */
static void program_on_several_threads(void **state) {
    (void)state;
    const struct onnx_program program = {.inputs = 2,
                                         .count = 3,
                                         .code = {{.function = ONNX_F_Sigmoid, .a = 0},
                                                  {.function = ONNX_F_Mul, .a = 0, .b = 2},
                                                  {.function = ONNX_F_Add, .a = 3, .b = 1}}};
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
    simd_count = cpu_simds(simds);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_exact_to_the_last_bits),
        cmocka_unit_test(functions_at_their_ends),
        cmocka_unit_test(every_function),
        cmocka_unit_test(program_on_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
