/* SPDX-License-Identifier: Apache-2.0 */

/* Products by constant matrices of f16, bf16, 8 and 4 bits become Linear; the matrices keep their
 * type. Usage: [SEED] */

#include "graph_runner.h"

#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/quantize.h>

#include <stdio.h>

#define TOLERANCE 1e-4

static uint64_t seed;

static mm_status pack(struct onnx_model *model, const struct onnx_pass_context *context,
                      mm_error *err) {
    mm_status status = mmi_onnx_make_linear(model, context, err);
    return status == MM_OK ? mmi_onnx_pack(model, context, err) : status;
}

/* Apply the pass; the product becomes a Linear by a matrix of `dtype`, unless that is none. */
static void check(struct bench *bench, uint32_t result, int32_t dtype, int32_t zeros) {
    bench_output(bench, result);
    bench_apply(bench, pack, TOLERANCE);
    const struct onnx_node *linear = bench_find(bench, "Linear");
    assert_int_equal(linear != NULL, dtype != MM_DTYPE_NONE);
    if (linear) {
        const struct onnx_tensor *w = mmi_onnx_constant(&bench->model, linear, 1);
        assert_int_equal(w->layout, ONNX_PANELS);
        assert_int_equal(w->dtype, dtype);
        assert_int_equal(mmi_onnx_constant(&bench->model, linear, ONNX_LINEAR_ZEROS) != NULL,
                         zeros);
    }
    bench_fini(bench);
}

/* ---- Floats ---------------------------------------------------------------------------------- */

static uint32_t cast(struct bench *bench, uint32_t value) {
    return BENCH_NODE(bench, "Cast", "to=1", value);
}

static void test_floats(void **state) {
    (void)state;
    static const int32_t types[] = {MM_F16, MM_BF16};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, seed);
        uint32_t x = bench_input(&bench, MM_F32, "2 3 5");
        uint32_t w = cast(&bench, bench_typed(&bench, types[i], "5 17"));
        check(&bench, BENCH_NODE(&bench, "MatMul", "", x, w), types[i], false);
        bench_init(&bench, seed); /* the bias, too; transposed */
        x = bench_input(&bench, MM_F32, "3 5");
        w = cast(&bench, bench_typed(&bench, types[i], "18 5"));
        uint32_t bias = cast(&bench, bench_typed(&bench, types[i], "18"));
        check(&bench, BENCH_NODE(&bench, "Gemm", "transB=1", x, w, bias), types[i], false);
        bench_init(&bench, seed); /* would have to be rounded */
        x = bench_input(&bench, MM_F32, "3 5");
        w = cast(&bench, bench_typed(&bench, types[i], "5 18"));
        check(&bench, BENCH_NODE(&bench, "Gemm", "alpha=0.3", x, w), MM_DTYPE_NONE, false);
    }
}

/* ---- DequantizeLinear ------------------------------------------------------------------------ */

struct dequantized {
    int32_t dtype;
    const char *w, *scale, *attributes;
    int64_t block_size; /* of opset 21 on, which graph_runner.c does not have */
    bool zeros, transposed;
    int32_t packed;
};

static const struct dequantized dequantized[] = {
    {MM_I8, "40 18", "", "", 0, false, false, MM_I8},
    {MM_I8, "40 18", "18", "axis=1", 0, true, false, MM_I8},
    {MM_U8, "40 18", "18", "axis=-1", 0, true, false, MM_I8},
    {MM_U8, "40 18", "18", "axis=1", 0, false, false, MM_I8},
    {MM_I8, "18 40", "18", "axis=0", 0, true, true, MM_I8},
    {MM_I8, "40 18", "3 18", "axis=0", 16, true, false, MM_I8},
    {MM_I8, "40 18", "6 18", "axis=0", 7, true, false, MM_I8},
    {MM_I4, "40 18", "18", "axis=1", 0, false, false, MM_I4},
    {MM_U4, "40 18", "18", "axis=1", 0, true, false, MM_I4},
    {MM_U4, "40 18", "5 18", "axis=0", 8, true, false, MM_I4},
    {MM_I4, "18 40", "18 2", "axis=1", 32, true, true, MM_I4},
    {MM_I4, "40 18", "6 18", "axis=0", 7, true, false, MM_I8}, /* no whole words */
    {MM_I8, "40 18", "40", "axis=0", 0, true, false, MM_DTYPE_NONE},
    {MM_I8, "40 18", "40 2", "axis=1", 9, false, false, MM_DTYPE_NONE},
};

static void test_dequantized(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(dequantized) / sizeof(dequantized[0]); i++) {
        const struct dequantized *d = &dequantized[i];
        for (uint32_t bias = 0; bias < 2; bias++) {
            struct bench bench;
            bench_init(&bench, seed + i);
            bool middle = !d->zeros && (d->dtype == MM_U8 || d->dtype == MM_U4);
            uint32_t x = bench_input(&bench, MM_F32, "5 40");
            uint32_t w = BENCH_NODE(
                &bench, "DequantizeLinear", d->attributes, bench_typed(&bench, d->dtype, d->w),
                bench_typed(&bench, MM_F32, d->scale),
                d->zeros ? bench_typed(&bench, d->dtype, d->scale) : ONNX_NO_VALUE);
            struct onnx_quantization *params = bench_last(&bench)->params;
            params->rule.block_size = d->block_size;
            uint32_t y = BENCH_NODE(&bench, "Gemm", d->transposed ? "transB=1" : "", x, w,
                                    bias ? bench_random(&bench, "18") : ONNX_NO_VALUE);
            check(&bench, y, d->packed, (d->zeros || middle) && d->packed != MM_DTYPE_NONE);
        }
    }
}

/* ---- MatMulNBits ----------------------------------------------------------------------------- */

struct nbits {
    int32_t bits, block, k, n;
    bool zeros, bias;
};

static const struct nbits nbits[] = {
    {4, 16, 16, 1, false, false}, {4, 16, 40, 17, true, false},  {4, 32, 50, 16, true, true},
    {4, 128, 50, 3, false, true}, {8, 16, 33, 17, false, false}, {8, 32, 96, 18, true, true},
    {2, 16, 32, 4, false, false},
};

static void test_nbits(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(nbits) / sizeof(nbits[0]); i++) {
        const struct nbits *q = &nbits[i];
        int32_t blocks = (q->k + q->block - 1) / q->block;
        char attributes[80], b[40], scales[40], zeros[40], bias[40], x[40];
        struct bench bench;
        bench_init(&bench, seed + i);
        snprintf(attributes, sizeof(attributes), "K=%d N=%d bits=%d block_size=%d", q->k, q->n,
                 q->bits, q->block);
        snprintf(b, sizeof(b), "%d %d %d", q->n, blocks, q->block * q->bits / 8);
        snprintf(scales, sizeof(scales), "%d %d", q->n, blocks);
        snprintf(zeros, sizeof(zeros), "%d", q->n * ((blocks * q->bits + 7) / 8));
        snprintf(bias, sizeof(bias), "%d", q->n);
        snprintf(x, sizeof(x), "2 3 %d", q->k);
        uint32_t y =
            BENCH_NODE(&bench, "MatMulNBits", attributes, bench_input(&bench, MM_F32, x),
                       bench_typed(&bench, MM_U8, b), bench_typed(&bench, MM_F32, scales),
                       q->zeros ? bench_typed(&bench, MM_U8, zeros) : ONNX_NO_VALUE, ONNX_NO_VALUE,
                       q->bias ? bench_random(&bench, bias) : ONNX_NO_VALUE);
        check(&bench, y, q->bits == 4 ? MM_I4 : q->bits == 8 ? MM_I8 : MM_DTYPE_NONE, q->zeros);
    }
}

/* ---- With what stands around it -------------------------------------------------------------- */

/* An addition goes into the bias, a multiplication stays. */
static void test_affine(void **state) {
    (void)state;
    static const char *const types[] = {"Add", "Mul"};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, seed);
        uint32_t x = bench_input(&bench, MM_F32, "5 80");
        uint32_t w = BENCH_NODE(&bench, "DequantizeLinear", "axis=1",
                                bench_typed(&bench, MM_U8, "80 18"), bench_random(&bench, "18"));
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, w);
        y = BENCH_NODE(&bench, types[i], "", y, bench_random(&bench, "18"));
        bench_output(&bench, BENCH_NODE(&bench, "Relu", "", y));
        bench_apply(&bench, mmi_onnx_passes, TOLERANCE);
        const struct onnx_node *linear = bench_find(&bench, "Linear");
        assert_non_null(linear);
        assert_int_equal(linear->input_count, ONNX_LINEAR_INPUTS);
        assert_int_equal(linear->inputs[2] != ONNX_NO_VALUE, i == 0);
        assert_int_equal(bench_count(bench.model.main, NULL), i == 0 ? 1 : 2);
        bench_fini(&bench);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, "3 90");
        uint32_t w = cast(&bench, bench_typed(&bench, MM_F16, "90 90"));
        x = BENCH_NODE(&bench, "Gemm", "transB=1", x, w);
        w = BENCH_NODE(&bench, "DequantizeLinear", "axis=1", bench_typed(&bench, MM_U4, "90 90"),
                       bench_random(&bench, "90"), bench_typed(&bench, MM_U4, "90"));
        bench_output(&bench, BENCH_NODE(&bench, "MatMul", "", x, w));
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = pack(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats),    cmocka_unit_test(test_dequantized),
        cmocka_unit_test(test_nbits),     cmocka_unit_test(test_affine),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
