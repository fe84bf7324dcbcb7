/* SPDX-License-Identifier: Apache-2.0 */

/* Products with constant matrices become Linear, their matrices panels. */

#include "graph_runner.h"

#include <backends/onnx/operators/matmul.h>

#define TOLERANCE 1e-5

static mm_status pack(struct onnx_model *model, const struct onnx_pass_context *context,
                      mm_error *err) {
    mm_status status = mmi_onnx_make_linear(model, context, err);
    return status == MM_OK ? mmi_onnx_pack(model, context, err) : status;
}

/* Apply, and see whether the one product became Linear. */
static void check(struct bench *bench, uint32_t result, bool linear) {
    bench_output(bench, result);
    bench_apply(bench, pack, TOLERANCE);
    assert_int_equal(bench_count(bench->model.main, "Linear"), linear);
    assert_int_equal(bench_count(bench->model.main, NULL), 1);
    if (linear) {
        const struct onnx_node *node = bench_find(bench, "Linear");
        const struct onnx_tensor *w = mmi_onnx_constant(&bench->model, node, 1);
        assert_string_equal(node->domain, "mmi");
        assert_int_equal(w->layout, ONNX_PANELS);
        assert_int_equal(w->bytes,
                         mmi_onnx_panel_bytes((uint64_t)w->shape[0], (uint64_t)w->shape[1]));
    }
    bench_fini(bench);
}

static void test_matmul(void **state) {
    (void)state;
    static const char *const shapes[] = {"5", "3 5", "2 3 5", "2 1 3 5"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, shapes[i]);
        check(&bench, BENCH_NODE(&bench, "MatMul", "", x, bench_random(&bench, "5 17")), true);
    }
}

/* Element (k, n) of [2, 17] lies in panel n / 16, row k, column n % 16. */
static void test_panels(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    float w[34];
    for (int i = 0; i < 34; i++) {
        w[i] = (float)i;
    }
    uint32_t x = bench_input(&bench, MM_F32, "3 2");
    bench_output(&bench, BENCH_NODE(&bench, "MatMul", "", x, bench_floats(&bench, "2 17", w)));
    bench_apply(&bench, pack, TOLERANCE);
    const struct onnx_tensor *panels =
        mmi_onnx_constant(&bench.model, bench_find(&bench, "Linear"), 1);
    const float *data = panels->data;
    assert_int_equal(panels->bytes, 2 * 2 * 16 * sizeof(float));
    assert_true(data[0] == 0 && data[15] == 15 && data[16] == 17 && data[31] == 32);
    assert_true(data[32] == 16 && data[33] == 0 && data[48] == 33 && data[63] == 0);
    bench_fini(&bench);
}

/* Each form of Gemm; `bias` NULL: none. */
struct gemm {
    const char *attributes, *a, *b, *bias;
    bool linear;
};

static const struct gemm gemms[] = {
    {"", "3 5", "5 4", NULL, true},
    {"transB=1", "3 5", "4 5", "4", true},
    {"alpha=0.5 beta=2.0", "3 5", "5 4", "1 4", true},
    {"alpha=0.5 transB=1", "3 5", "4 5", "1", true},
    {"", "3 5", "5 4", "", true},
    {"transA=1", "5 3", "5 4", "4", false},
    {"", "3 5", "5 4", "3 4", false},
    {"", "3 5", "5 4", "3 1", false},
    {"", "4 5", "5 4", "4 1", false},
};

static void test_gemm(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(gemms) / sizeof(gemms[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t a = bench_input(&bench, MM_F32, gemms[i].a), b = bench_random(&bench, gemms[i].b);
        uint32_t bias = gemms[i].bias ? bench_random(&bench, gemms[i].bias) : ONNX_NO_VALUE;
        check(&bench, BENCH_NODE(&bench, "Gemm", gemms[i].attributes, a, b, bias), gemms[i].linear);
    }
}

/* Matrices that come with a request, or are many. */
static void test_others(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "2 3 5");
    check(&bench, BENCH_NODE(&bench, "MatMul", "", x, bench_random(&bench, "2 5 4")), false);
    bench_init(&bench, 1);
    x = bench_input(&bench, MM_F32, "3 5");
    uint32_t y = bench_input(&bench, MM_F32, "5 4");
    check(&bench, BENCH_NODE(&bench, "MatMul", "", x, y), false);
    bench_init(&bench, 1);
    x = bench_input(&bench, MM_F32, "3 5");
    check(&bench, BENCH_NODE(&bench, "MatMul", "", bench_random(&bench, "4 3"), x), false);
    bench_init(&bench, 1);
    x = bench_input(&bench, MM_F32, "3 5");
    y = BENCH_NODE(&bench, "Gemm", "", x, bench_random(&bench, "5 4"),
                   bench_input(&bench, MM_F32, "4"));
    check(&bench, y, false);
}

/* A matrix that several nodes use is packed once, and stays plain for those that are no product. */
static void test_shared(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3 5"), w = bench_random(&bench, "5 5");
    uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, w);
    uint32_t z = BENCH_NODE(&bench, "MatMul", "", y, w);
    bench_output(&bench, z);
    bench_output(&bench, BENCH_NODE(&bench, "Add", "", bench_input(&bench, MM_F32, "5"), w));
    bench_apply(&bench, pack, TOLERANCE);
    const struct onnx_graph *main = bench.model.main;
    assert_int_equal(bench_count(main, "Linear"), 2);
    assert_int_equal(main->nodes[0]->inputs[1], main->nodes[1]->inputs[1]);
    assert_int_equal(main->nodes[2]->inputs[1], w);
    bench_fini(&bench);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, "3 90");
        bench_output(&bench, BENCH_NODE(&bench, "Gemm", "transB=1", x,
                                        bench_random(&bench, "90 90"), bench_scalar(&bench, 1)));
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = pack(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul), cmocka_unit_test(test_panels),
        cmocka_unit_test(test_gemm),   cmocka_unit_test(test_others),
        cmocka_unit_test(test_shared), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
