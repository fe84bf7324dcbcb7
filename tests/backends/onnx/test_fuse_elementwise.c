/* SPDX-License-Identifier: Apache-2.0 */

/* Elementwise nodes become programs; all passes together keep the results of random graphs. */

#include "graph_runner.h"

#include <backends/onnx/operators/fused.h>

#include <string.h>

#define TOLERANCE 1e-5

/* Applies the pass and checks how many nodes are left, and how many of them are programs. */
static void check(struct bench *bench, uint32_t result, uint32_t nodes, uint32_t programs) {
    bench_output(bench, result);
    bench_apply(bench, mmi_onnx_fuse_elementwise, TOLERANCE);
    assert_int_equal(bench_count(bench->model.main, NULL), nodes);
    assert_int_equal(bench_count(bench->model.main, "Fused"), programs);
    bench_fini(bench);
}

/* ---- What is fused */

static void test_chain(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = BENCH_NODE(&bench, "Abs", "", bench_input(&bench, MM_F32, "2 3"));
    y = BENCH_NODE(&bench, "Sqrt", "", y);
    y = BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, "3"));
    bench_output(&bench, BENCH_NODE(&bench, "Sub", "", bench_scalar(&bench, 1), y));
    bench_apply(&bench, mmi_onnx_fuse_elementwise, TOLERANCE);
    const struct onnx_node *node = bench_find(&bench, "Fused");
    const struct onnx_program *program = node->params;
    static const uint8_t kinds[] = {ONNX_F_Abs, ONNX_F_Sqrt, ONNX_F_Mul, ONNX_F_Sub};
    assert_int_equal(bench_count(bench.model.main, NULL), 1);
    assert_string_equal(node->domain, "mmi");
    assert_int_equal(program->inputs, 2);
    assert_int_equal(program->count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(program->code[i].function, kinds[i]);
    }
    assert_int_equal(program->code[3].operands, ONNX_X_A);
    bench_fini(&bench);
}

/* The approximation of GELU, whose input is used five times: magika's. */
static void test_gelu(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "4 5");
    uint32_t v = BENCH_NODE(&bench, "Add", "", x, bench_random(&bench, "1 1 5"));
    uint32_t y = BENCH_NODE(&bench, "Mul", "", bench_scalar(&bench, 0.044715F), v);
    y = BENCH_NODE(&bench, "Mul", "", v, y);
    y = BENCH_NODE(&bench, "Mul", "", v, y);
    y = BENCH_NODE(&bench, "Add", "", v, y);
    y = BENCH_NODE(&bench, "Mul", "", bench_scalar(&bench, 0.7978846F), y);
    y = BENCH_NODE(&bench, "Tanh", "", y);
    y = BENCH_NODE(&bench, "Add", "", bench_scalar(&bench, 1), y);
    y = BENCH_NODE(&bench, "Mul", "", bench_scalar(&bench, 0.5F), y);
    check(&bench, BENCH_NODE(&bench, "Mul", "", v, y), 1, 1);
}

/* Every operator, numbers on both sides, and operands that are broadcast. */
static void test_operators(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t a = bench_input(&bench, MM_F32, "2 1 3"), b = bench_input(&bench, MM_F32, "4 1");
    uint32_t two = bench_scalar(&bench, 2), half = bench_scalar(&bench, 0.5F);
    uint32_t y = BENCH_NODE(&bench, "Sum", "", a, b, two, a);
    y = BENCH_NODE(&bench, "Max", "", y, half);
    y = BENCH_NODE(&bench, "Min", "", bench_scalar(&bench, 1.75F), y, b);
    y = BENCH_NODE(&bench, "Abs", "", BENCH_NODE(&bench, "Neg", "", y));
    y = BENCH_NODE(&bench, "Add", "", y, half);
    uint32_t z = BENCH_NODE(&bench, "Pow", "", y, half);
    z = BENCH_NODE(&bench, "Pow", "", z, two);
    z = BENCH_NODE(&bench, "Pow", "", z, bench_scalar(&bench, 1.5F));
    z = BENCH_NODE(&bench, "Pow", "", z, b);
    z = BENCH_NODE(&bench, "Log", "", BENCH_NODE(&bench, "Exp", "", z));
    z = BENCH_NODE(&bench, "Clip", "", z, ONNX_NO_VALUE, two);
    z = BENCH_NODE(&bench, "Reciprocal", "", BENCH_NODE(&bench, "Div", "", two, z));
    z = BENCH_NODE(&bench, "Erf", "", BENCH_NODE(&bench, "Tanh", "", z));
    z = BENCH_NODE(&bench, "LeakyRelu", "", BENCH_NODE(&bench, "Div", "", z, y));
    check(&bench, BENCH_NODE(&bench, "HardSwish", "", z), 1, 1);
}

/* A one-element constant of higher rank raises the rank of the result. */
static void test_rank(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const float two = 2;
    uint32_t y = BENCH_NODE(&bench, "Relu", "", bench_input(&bench, MM_F32, "3"));
    y = BENCH_NODE(&bench, "Mul", "", y, bench_floats(&bench, "1 1 1", &two));
    check(&bench, y, 1, 1);
}

/* ---- What is not fused */

/* The mean of a row is not computed for each of its elements: small things become a program of
 * their own. */
static void test_small(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "4 8");
    uint32_t mean = BENCH_NODE(&bench, "ReduceMean", "", x, bench_ints(&bench, "1"));
    uint32_t centred = BENCH_NODE(&bench, "Sub", "", x, mean);
    uint32_t square = BENCH_NODE(&bench, "Pow", "", centred, bench_scalar(&bench, 2));
    uint32_t variance = BENCH_NODE(&bench, "ReduceMean", "", square, bench_ints(&bench, "1"));
    variance = BENCH_NODE(&bench, "Add", "", variance, bench_scalar(&bench, 1e-5F));
    uint32_t y = BENCH_NODE(&bench, "Div", "", centred, BENCH_NODE(&bench, "Sqrt", "", variance));
    y = BENCH_NODE(&bench, "Mul", "", y, bench_random(&bench, "8"));
    y = BENCH_NODE(&bench, "Add", "", y, bench_random(&bench, "8"));
    check(&bench, y, 6, 4);
}

static void test_used_outside(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = BENCH_NODE(&bench, "Exp", "", bench_input(&bench, MM_F32, "3"));
    bench_output(&bench, y);
    check(&bench, BENCH_NODE(&bench, "Neg", "", y), 2, 2);
}

static void test_branches(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3"), asked = bench_input(&bench, MM_BOOL, "");
    uint32_t y = BENCH_NODE(&bench, "Exp", "", x);
    struct onnx_graph *then = bench_branch(&bench);
    uint32_t z = BENCH_NODE(&bench, "Abs", "", BENCH_NODE(&bench, "Neg", "", y));
    bench_branch_end(&bench, then, z);
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, x);
    check(&bench, bench_if(&bench, asked, then, otherwise), 3, 2);
}

static void test_other_types(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_I64, "3");
    uint32_t y = BENCH_NODE(&bench, "Add", "", BENCH_NODE(&bench, "Mul", "", x, x), x);
    y = BENCH_NODE(&bench, "Cast", "to=1", y);
    check(&bench, BENCH_NODE(&bench, "Exp", "", BENCH_NODE(&bench, "Neg", "", y)), 4, 1);
}

/* Longer than a program may be, and with more inputs. */
static void test_limits(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = bench_input(&bench, MM_F32, "3");
    for (uint32_t i = 0; i < 3 * ONNX_PROGRAM_CODE; i++) {
        y = BENCH_NODE(&bench, "Neg", "", y);
    }
    check(&bench, y, 3, 3);
    bench_init(&bench, 1);
    y = bench_input(&bench, MM_F32, "3");
    for (uint32_t i = 0; i < 2 * (ONNX_PROGRAM_INPUTS - 1); i++) {
        y = BENCH_NODE(&bench, "Add", "", y, bench_random(&bench, "3"));
    }
    check(&bench, y, 2, 2);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t y = bench_input(&bench, MM_F32, "3");
        for (uint32_t i = 0; i < 200; i++) {
            y = BENCH_NODE(&bench, "Neg", "", y);
        }
        bench_output(&bench, y);
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = mmi_onnx_passes(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

/* ---- Decomposed LayerNormalization */

struct way {
    bool multiplied, first, bias; /* d * d; epsilon before the variance; with a bias */
    const char *scale;            /* shape */
    const char *axis;
    uint32_t nodes; /* that are left */
};

static uint32_t write_norm(struct bench *bench, const struct way *way) {
    uint32_t x = bench_input(bench, MM_F32, "4 8"), axis = bench_ints(bench, way->axis);
    uint32_t epsilon = bench_scalar(bench, 0.25F), two = bench_scalar(bench, 2);
    uint32_t d = BENCH_NODE(bench, "Sub", "", x, BENCH_NODE(bench, "ReduceMean", "", x, axis));
    uint32_t square =
        way->multiplied ? BENCH_NODE(bench, "Mul", "", d, d) : BENCH_NODE(bench, "Pow", "", d, two);
    uint32_t variance = BENCH_NODE(bench, "ReduceMean", "", square, axis);
    variance = way->first ? BENCH_NODE(bench, "Add", "", epsilon, variance)
                          : BENCH_NODE(bench, "Add", "", variance, epsilon);
    uint32_t y = BENCH_NODE(bench, "Div", "", d, BENCH_NODE(bench, "Sqrt", "", variance));
    y = BENCH_NODE(bench, "Mul", "", y, bench_random(bench, way->scale));
    return way->bias ? BENCH_NODE(bench, "Add", "", bench_random(bench, "8"), y) : y;
}

static void test_layer_norm(void **state) {
    (void)state;
    static const struct way ways[] = {
        {false, false, true, "8", "-1", 1},    {true, true, true, "8", "1", 1},
        {true, false, false, "8", "-1", 1},    {false, false, true, "8", "0", 9},
        {false, false, false, "4 8", "-1", 8}, {false, false, false, "1", "-1", 8},
    };
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        bench_output(&bench, write_norm(&bench, &ways[i]));
        bench_apply(&bench, mmi_onnx_fuse_layer_norm, TOLERANCE);
        assert_int_equal(bench_count(bench.model.main, NULL), ways[i].nodes);
        assert_int_equal(bench_count(bench.model.main, "LayerNormalization"), ways[i].nodes == 1);
        bench_fini(&bench);
    }
}

/* An inner value has a second use, or the length of a row is not known. */
static void test_no_layer_norm(void **state) {
    (void)state;
    static const struct way way = {false, false, true, "8", "-1", 9};
    for (uint32_t i = 0; i < 7; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t y = write_norm(&bench, &way);
        bench_output(&bench, bench.model.main->nodes[i]->outputs[0]);
        bench_output(&bench, y);
        bench_apply(&bench, mmi_onnx_fuse_layer_norm, TOLERANCE);
        assert_int_equal(bench_count(bench.model.main, "LayerNormalization"), 0);
        bench_fini(&bench);
    }
    struct bench bench;
    bench_init(&bench, 1);
    bench_output(&bench, write_norm(&bench, &way));
    bench.model.inputs[0].shape[1] = -1;
    struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(mmi_onnx_fuse_layer_norm(&bench.model, &context, &bench.err), MM_OK);
    assert_int_equal(bench_count(bench.model.main, NULL), 9);
    bench_fini(&bench);
}

/* ---- Random graphs through all passes */

#define MAX_VALUES 24

/* Values [2, 4, 5, 5] and [2, 4, 1, 1], and a node of each kind that makes one of them of one. */
struct pool {
    uint32_t values[MAX_VALUES];
    bool small[MAX_VALUES];
    uint32_t count;
};

static uint32_t pick(struct bench *bench, const struct pool *pool, bool small) {
    for (;;) {
        /* rather one of the last, so that graphs become deep */
        uint64_t back = test_random_below(&bench->seed, test_random_below(&bench->seed, 6) + 1);
        uint32_t i = pool->count - 1 - (uint32_t)(back < pool->count ? back : 0);
        if (pool->small[i] == small) {
            return pool->values[i];
        }
        if (test_random_below(&bench->seed, 8) == 0) {
            return pool->values[small ? 1 : 0];
        }
    }
}

static uint32_t random_constant(struct bench *bench) {
    static const char *const shapes[] = {"", "1", "4 1 1", "1 4 1 1", "5", "4 5 5"};
    return bench_random(bench, shapes[test_random_below(&bench->seed, 6)]);
}

static uint32_t random_norm(struct bench *bench, uint32_t x) {
    const float variances[] = {0.5F, 1, 2, 0.25F};
    uint32_t scale = bench_random(bench, "4"), bias = bench_random(bench, "4");
    return BENCH_NODE(bench, "BatchNormalization", "", x, scale, bias, bench_random(bench, "4"),
                      bench_floats(bench, "4", variances));
}

static uint32_t random_product(struct bench *bench, uint32_t x) {
    switch (test_random_below(&bench->seed, 4)) {
    case 0:
        return BENCH_NODE(bench, "Conv", "pads=[1,1,1,1]", x, bench_random(bench, "4 4 3 3"));
    case 1:
        return BENCH_NODE(bench, "Conv", "group=4", x, bench_random(bench, "4 1 1 1"),
                          bench_random(bench, "4"));
    case 2:
        return BENCH_NODE(bench, "ConvTranspose", "group=2", x, bench_random(bench, "4 2 1 1"));
    default:
        return BENCH_NODE(bench, "MatMul", "", x, bench_random(bench, "5 5"));
    }
}

static uint32_t random_large(struct bench *bench, const struct pool *pool) {
    static const char *const unary[] = {"Relu", "Sigmoid", "Tanh",        "HardSigmoid", "Neg",
                                        "Abs",  "Erf",     "HardSwish",   "LeakyRelu",   "Identity",
                                        "Relu", "Sigmoid", "HardSigmoid", "Tanh"};
    static const char *const binary[] = {"Add", "Sub", "Mul", "Max", "Min", "Sum"};
    uint32_t x = pick(bench, pool, false);
    uint64_t which = test_random_below(&bench->seed, 10);
    const char *type = binary[test_random_below(&bench->seed, 6)];
    if (which < 2) {
        return random_product(bench, x);
    }
    if (which == 2) {
        return random_norm(bench, x);
    }
    if (which < 5) {
        uint32_t c = random_constant(bench);
        bool left = test_random_below(&bench->seed, 2) == 0;
        return BENCH_NODE(bench, type, "", left ? c : x, left ? x : c);
    }
    if (which < 7) {
        return BENCH_NODE(bench, type, "", x, pick(bench, pool, which == 5));
    }
    return BENCH_NODE(bench, unary[test_random_below(&bench->seed, 14)], "", x);
}

static uint32_t random_small(struct bench *bench, const struct pool *pool) {
    uint32_t x = pick(bench, pool, true);
    switch (test_random_below(&bench->seed, 3)) {
    case 0:
        return BENCH_NODE(bench, "GlobalAveragePool", "", pick(bench, pool, false));
    case 1:
        return BENCH_NODE(bench, "Conv", "", x, bench_random(bench, "4 4 1 1"));
    default:
        return BENCH_NODE(bench, "Sigmoid", "", x);
    }
}

static uint32_t build_random(struct bench *bench) {
    struct pool pool = {.count = 2};
    pool.values[0] = bench_input(bench, MM_F32, "2 4 5 5");
    pool.values[1] = bench_input(bench, MM_F32, "2 4 1 1");
    pool.small[1] = true;
    while (pool.count < MAX_VALUES) {
        bool small = test_random_below(&bench->seed, 6) == 0;
        uint32_t value = small ? random_small(bench, &pool) : random_large(bench, &pool);
        pool.small[pool.count] = small;
        pool.values[pool.count++] = value;
    }
    bench_output(bench, pool.values[MAX_VALUES - 1]);
    bench_output(bench, pool.values[MAX_VALUES - 1 - test_random_below(&bench->seed, 12)]);
    return pool.count;
}

static uint64_t seed;

static void test_random_graphs(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        struct bench bench;
        bench_init(&bench, seed + i);
        build_random(&bench);
        bench_apply(&bench, mmi_onnx_passes, 2e-4);
        bench_fini(&bench);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),         cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_operators),     cmocka_unit_test(test_rank),
        cmocka_unit_test(test_small),         cmocka_unit_test(test_used_outside),
        cmocka_unit_test(test_branches),      cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_layer_norm),    cmocka_unit_test(test_no_layer_norm),
        cmocka_unit_test(test_random_graphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
