/* SPDX-License-Identifier: Apache-2.0 */

/* Products of f32 between DequantizeLinear and QuantizeLinear become integer operators, whose
 * results are within one quantum of what they were; whole networks too. Usage: [SEED] */

#include "qdq.h"

#include <backends/onnx/operators/quantize.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t first_seed = 1;

/* ---- Convolutions */

static void test_conv(void **state) {
    (void)state;
    static const struct qdq_scaling *const xs[] = {&qdq_x_u8, &qdq_x_i8}, *const ys[] = {&qdq_y_u8,
                                                                                         &qdq_y_i8};
    for (uint32_t i = 0; i < 16; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        const struct qdq_scaling *x = xs[i & 1], *y = ys[i >> 1 & 1];
        uint32_t image = qdq_input(&bench, x, "2 4 5 6");
        uint32_t w = i & 4 ? qdq_weights_along(&bench, &qdq_w_i8, "6 2 3 3", 0, 6)
                           : qdq_weights(&bench, &qdq_w_i8, "6 2 3 3");
        uint32_t b = i & 4 ? bench_random(&bench, "6") : qdq_bias(&bench, x, &qdq_w_i8, "6");
        const char *attributes = "group=2 pads=[1,1,1,1] strides=[2,1]";
        uint32_t v = i & 8 ? BENCH_NODE(&bench, "Conv", attributes, image, w)
                           : BENCH_NODE(&bench, "Conv", attributes, image, w, b);
        qdq_expect(&bench, qdq_quantize(&bench, v, y), "QLinearConv");
    }
}

/* 3 times 2 and 1 more, in quanta of 1/2: 14. */
static void test_numbers(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const struct qdq_scaling one = {MM_U8, 0, 1}, half = {MM_I8, -1, 0.5F};
    const uint8_t three = 3;
    const int64_t shape[] = {1, 1, 1, 1};
    const float bias = 1;
    uint32_t x = qdq_input(&bench, &one, "1 1 1 1");
    uint32_t w = qdq_dequantize(&bench, qdq_constant(&bench, MM_U8, 4, shape, &three), &one);
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w, bench_floats(&bench, "1", &bias));
    bench_output(&bench, qdq_quantize(&bench, y, &half));
    const struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(qdq_fold(&bench.model, &context, &bench.err), MM_OK);
    const struct onnx_node *node = bench_find(&bench, "QLinearConv");
    assert_int_equal(mmi_onnx_int_at(mmi_onnx_constant(&bench.model, node, 3), 0), 3);
    assert_int_equal(mmi_onnx_int_at(mmi_onnx_constant(&bench.model, node, 7), 0), -1);
    assert_int_equal(mmi_onnx_int_at(mmi_onnx_constant(&bench.model, node, 8), 0), 1);
    struct onnx_tensor two, made;
    const uint8_t number = 2;
    assert_int_equal(mmi_onnx_tensor_set(&two, MM_U8, 4, shape, NULL), MM_OK);
    two.data = &number;
    qdq_run(&bench, &two, &made);
    assert_int_equal(mmi_onnx_int_at(&made, 0), 13);
    bench_fini(&bench);
}

/* Quantised in the file: the constant is folded afterwards, and is in the end one of bytes. */
static void test_weights_to_quantize(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "1 3 4 4");
    uint32_t w = qdq_quantize(&bench, bench_random(&bench, "5 3 1 1"), &qdq_w_i8);
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, qdq_dequantize(&bench, w, &qdq_w_i8));
    qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_y_i8), "QLinearConv");
}

/* What files have that share constants: their scales come through Identity. */
static void test_shared_scale(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "1 3 4 4");
    uint32_t scale = BENCH_NODE(&bench, "Identity", "", bench_scalar(&bench, 0.02F));
    uint32_t w =
        BENCH_NODE(&bench, "DequantizeLinear", "", qdq_ints(&bench, MM_U8, "5 3 1 1"), scale);
    uint32_t y =
        BENCH_NODE(&bench, "QuantizeLinear", "", BENCH_NODE(&bench, "Conv", "", x, w), scale);
    qdq_expect(&bench, y, "QLinearConv");
}

static uint32_t convolve(struct bench *bench) {
    uint32_t x = qdq_input(bench, &qdq_x_u8, "1 3 4 4");
    return BENCH_NODE(bench, "Conv", "", x, qdq_weights(bench, &qdq_w_i8, "5 3 2 2"));
}

/* ---- Activations before the end */

static void test_relu(void **state) {
    (void)state;
    const struct qdq_scaling least = {MM_I8, -128, 0.06F}, six = {MM_U8, 0, 6.0F / 255};
    const struct qdq_scaling *const ends[] = {&least, &six};
    for (size_t i = 0; i < 4; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        uint32_t y = convolve(&bench);
        y = i & 2 ? BENCH_NODE(&bench, "Clip", "", y, bench_scalar(&bench, i & 1 ? 0 : -1e6F),
                               bench_scalar(&bench, i & 1 ? 6 : 1e6F))
                  : BENCH_NODE(&bench, "Relu", "", y);
        qdq_expect(&bench, qdq_quantize(&bench, y, ends[i & 1]), "QLinearConv");
    }
}

/* The zero point lies above the least number; 5 lies below what the type can say. */
static void test_relu_not(void **state) {
    (void)state;
    const struct qdq_scaling six = {MM_U8, 0, 6.0F / 255};
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = BENCH_NODE(&bench, "Relu", "", convolve(&bench));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Clip", "", convolve(&bench), bench_scalar(&bench, 0),
                   bench_scalar(&bench, 5));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &six));
    bench_init(&bench, 1); /* a limit that comes with the request */
    y = BENCH_NODE(&bench, "Clip", "", convolve(&bench), bench_input(&bench, MM_F32, ""));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &six));
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Tanh", "", convolve(&bench));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &six));
}

/* ---- Matrices */

static void test_matmul(void **state) {
    (void)state;
    static const char *const shapes[] = {"2 3 7", "4 7", "7"};
    for (uint32_t i = 0; i < 6; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        uint32_t x = qdq_input(&bench, i & 1 ? &qdq_x_i8 : &qdq_x_u8, shapes[i / 2]);
        uint32_t w = i & 1 ? qdq_weights_along(&bench, &qdq_w_i8, "7 5", -1, 5)
                           : qdq_weights(&bench, &qdq_x_u8, "7 5");
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, w);
        qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_y_i8), "QLinearMatMul");
    }
    struct bench bench;
    bench_init(&bench, 1); /* both come with the request */
    uint32_t y = BENCH_NODE(&bench, "MatMul", "", qdq_input(&bench, &qdq_x_u8, "2 3 7"),
                            qdq_input(&bench, &qdq_x_i8, "2 7 4"));
    qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_y_i8), "QLinearMatMul");
}

/* The weights of a linear layer, as PyTorch writes it. */
static void test_turned_weights(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        uint32_t x = qdq_input(&bench, &qdq_x_u8, "2 3 70");
        uint32_t w = i & 1 ? qdq_weights_along(&bench, &qdq_w_i8, "64 70", i & 2 ? -2 : 0, 64)
                           : qdq_weights(&bench, &qdq_w_i8, "64 70");
        if (i & 4) { /* quantised in the file */
            uint32_t floats = qdq_quantize(&bench, bench_random(&bench, "64 70"), &qdq_w_i8);
            w = qdq_dequantize(&bench, floats, &qdq_w_i8);
        }
        w = BENCH_NODE(&bench, "Transpose", i & 2 ? "perm=[1,0]" : "", w);
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, w);
        qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_y_i8), "QLinearMatMul");
    }
}

static void test_turned_weights_not(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1); /* scales by row */
    uint32_t w = qdq_weights_along(&bench, &qdq_w_i8, "5 5", 1, 5);
    w = BENCH_NODE(&bench, "Transpose", "perm=[1,0]", w);
    uint32_t y = BENCH_NODE(&bench, "MatMul", "", qdq_input(&bench, &qdq_x_u8, "4 5"), w);
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1); /* f32 weights have another use */
    w = qdq_weights(&bench, &qdq_w_i8, "5 5");
    bench_output(&bench, w);
    w = BENCH_NODE(&bench, "Transpose", "perm=[1,0]", w);
    y = BENCH_NODE(&bench, "MatMul", "", qdq_input(&bench, &qdq_x_u8, "4 5"), w);
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
}

/* Of files that are wrong: they fail as they did. */
static void test_wrong_order(void **state) {
    (void)state;
    static const char *const orders[] = {"perm=[1,1]", "perm=[0,7]", "perm=[-1,0]", "perm=[0,1,2]"};
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t w = qdq_weights_along(&bench, &qdq_w_i8, "5 5", 0, 5);
        w = BENCH_NODE(&bench, "Transpose", orders[i], w);
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", qdq_input(&bench, &qdq_x_u8, "4 5"), w);
        bench_output(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
        const struct onnx_pass_context context = {.services = &bench.services};
        assert_int_equal(mmi_onnx_fold_quantization(&bench.model, &context, &bench.err), MM_OK);
        assert_int_equal(bench_count(bench.model.main, "MatMul"), 1);
        bench_fini(&bench);
    }
}

static void test_gemm(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 32; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        const char *shape = i & 1 ? "5 7" : "7 5";
        char attributes[32];
        snprintf(attributes, sizeof(attributes), "transA=%d transB=%d", (int)(i >> 1 & 1),
                 (int)(i & 1));
        uint32_t x = qdq_input(&bench, &qdq_x_u8, i & 2 ? "7 4" : "4 7");
        uint32_t w = i & 4 ? qdq_weights_along(&bench, &qdq_w_i8, shape, i & 1 ? 0 : 1, 5)
                           : qdq_weights(&bench, &qdq_w_i8, shape);
        uint32_t b = qdq_bias(&bench, &qdq_x_u8, &qdq_w_i8, i & 1 ? "1 5" : "5");
        if (i & 4) {
            b = bench_scalar(&bench, 0.25F);
        }
        uint32_t y = i & 8 ? BENCH_NODE(&bench, "Gemm", attributes, x, w)
                           : BENCH_NODE(&bench, "Gemm", attributes, x, w, b);
        if (i & 16) {
            qdq_expect(&bench, qdq_quantize(&bench, y, &qdq_y_i8), "QGemm");
        } else if ((i & 12) == 4) { /* no multiple of each unit, and nothing to round to */
            qdq_expect(&bench, y, "DequantizeLinear Gemm");
        } else {
            qdq_expect(&bench, y, "QGemm");
        }
    }
}

static void test_gemm_not(void **state) {
    (void)state;
    static const char *const attributes[] = {"alpha=2.0", "beta=0.5"};
    struct bench bench;
    for (size_t i = 0; i < 2; i++) {
        bench_init(&bench, 1);
        uint32_t x = qdq_input(&bench, &qdq_x_u8, "4 7"), w = qdq_weights(&bench, &qdq_w_i8, "7 5");
        uint32_t b = qdq_bias(&bench, &qdq_x_u8, &qdq_w_i8, "5");
        uint32_t y = BENCH_NODE(&bench, "Gemm", attributes[i], x, w, b);
        qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    }
    bench_init(&bench, 1); /* a bias by row */
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "4 7"), w = qdq_weights(&bench, &qdq_w_i8, "7 5");
    uint32_t y = BENCH_NODE(&bench, "Gemm", "", x, w, bench_random(&bench, "4 1"));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
}

/* ---- Why products are not folded */

/* Scales along the wrong axis. */
static void test_other_axis(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "1 5 4 4");
    uint32_t w = qdq_weights_along(&bench, &qdq_w_i8, "5 5 1 1", 1, 5);
    qdq_expect_not(&bench, qdq_quantize(&bench, BENCH_NODE(&bench, "Conv", "", x, w), &qdq_y_i8));
    bench_init(&bench, 1);
    x = qdq_input(&bench, &qdq_x_u8, "4 5");
    w = qdq_weights_along(&bench, &qdq_w_i8, "5 5", 0, 5);
    qdq_expect_not(&bench, qdq_quantize(&bench, BENCH_NODE(&bench, "MatMul", "", x, w), &qdq_y_i8));
    bench_init(&bench, 1);
    x = qdq_input(&bench, &qdq_x_u8, "4 5");
    w = qdq_weights_along(&bench, &qdq_w_i8, "5 5", 0, 5);
    qdq_expect_not(&bench, qdq_quantize(&bench, BENCH_NODE(&bench, "Gemm", "", x, w), &qdq_y_i8));
    bench_init(&bench, 1); /* x has several scales */
    uint32_t scales = bench_floats(&bench, "3", (const float[]){0.01F, 0.02F, 0.03F});
    x = BENCH_NODE(&bench, "DequantizeLinear", "", bench_input(&bench, MM_U8, "1 3 4 4"), scales);
    w = qdq_weights(&bench, &qdq_w_i8, "5 3 1 1");
    qdq_expect_not(&bench, qdq_quantize(&bench, BENCH_NODE(&bench, "Conv", "", x, w), &qdq_y_i8));
}

/* What is added needs other numbers than the products have, or too large ones. */
static void test_other_bias(void **state) {
    (void)state;
    const struct qdq_scaling fine = {MM_I8, 0, 1e-4F}, coarse = {MM_U8, 0, 4};
    struct bench bench;
    bench_init(&bench, 1); /* half of 16 is more than a quantum of 0.07 */
    uint32_t x = qdq_input(&bench, &coarse, "1 3 4 4"), w = qdq_weights(&bench, &coarse, "5 3 1 1");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w, bench_random(&bench, "5"));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    const float large[] = {0, 0, 30, 0, 0}; /* over 1e-8 */
    bench_init(&bench, 1);
    x = qdq_input(&bench, &fine, "1 3 4 4");
    w = qdq_weights(&bench, &fine, "5 3 1 1");
    y = BENCH_NODE(&bench, "Conv", "", x, w, bench_floats(&bench, "5", large));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1);
    x = qdq_input(&bench, &qdq_x_u8, "1 3 4 4");
    w = qdq_weights(&bench, &qdq_w_i8, "5 3 1 1");
    y = BENCH_NODE(&bench, "Conv", "", x, w, bench_input(&bench, MM_F32, "5"));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1); /* a zero point */
    x = qdq_input(&bench, &qdq_x_u8, "1 3 4 4");
    w = qdq_weights(&bench, &qdq_w_i8, "5 3 1 1");
    uint32_t b = BENCH_NODE(&bench, "DequantizeLinear", "", qdq_ints(&bench, MM_I32, "5"),
                            bench_scalar(&bench, qdq_x_u8.scale * qdq_w_i8.scale),
                            qdq_zero(&bench, MM_I32, 1));
    qdq_expect_not(&bench,
                   qdq_quantize(&bench, BENCH_NODE(&bench, "Conv", "", x, w, b), &qdq_y_i8));
}

/* 33026 products of 255 by 255 are too many for a sum of 32 bits. */
static void test_deep(void **state) {
    (void)state;
    const struct qdq_scaling low = {MM_U8, 0, 0.001F}, high = {MM_U8, 0, 1};
    for (uint32_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = qdq_input(&bench, &low, i ? "1 33026" : "1 33025");
        uint32_t w = qdq_weights(&bench, &low, i ? "33026 2" : "33025 2");
        uint32_t y = qdq_quantize(&bench, BENCH_NODE(&bench, "MatMul", "", x, w), &high);
        if (i) {
            qdq_expect_not(&bench, y);
        } else {
            qdq_expect(&bench, y, "QLinearMatMul");
        }
    }
}

static void test_used_elsewhere(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = convolve(&bench);
    bench_output(&bench, y);
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1);
    y = convolve(&bench);
    bench_output(&bench, BENCH_NODE(&bench, "Abs", "", y));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
    bench_init(&bench, 1); /* a branch reads it */
    y = convolve(&bench);
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    bench_branch_end(&bench, then, BENCH_NODE(&bench, "Abs", "", y));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, bench_random(&bench, "1"));
    bench_output(&bench, bench_if(&bench, asked, then, otherwise));
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
}

/* ---- Why DequantizeLinear and QuantizeLinear are left alone */

static void set_block(struct onnx_quantization *q) {
    q->rule.block_size = 2;
}

static void set_precision(struct onnx_quantization *q) {
    q->precision = MM_F16;
}

static void test_attributes(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = qdq_quantize(&bench, convolve(&bench), &qdq_y_i8);
    set_precision(bench_last(&bench)->params);
    qdq_expect_not(&bench, y);
    bench_init(&bench, 1); /* blocks of 2 rows */
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "3 4");
    uint32_t w = BENCH_NODE(&bench, "DequantizeLinear", "axis=0", qdq_ints(&bench, MM_U8, "4 2"),
                            bench_floats(&bench, "2 2", (const float[]){0.1F, 0.2F, 0.1F, 0.3F}));
    set_block(bench_last(&bench)->params);
    y = BENCH_NODE(&bench, "MatMul", "", x, w);
    qdq_expect_not(&bench, qdq_quantize(&bench, y, &qdq_y_i8));
}

/* Of 16 bits; a scale that comes with the request, is 0, or is f16. */
static void test_other_scales(void **state) {
    (void)state;
    const struct qdq_scaling u16 = {MM_U16, 7, 0.01F}, zero = {MM_U8, 7, 0},
                             huge = {MM_U8, 7, 1e30F};
    struct bench bench;
    bench_init(&bench, 1);
    qdq_expect_not(&bench, qdq_quantize(&bench, convolve(&bench), &u16));
    bench_init(&bench, 1);
    qdq_expect_not(&bench, qdq_quantize(&bench, convolve(&bench), &zero));
    bench_init(&bench, 1);
    qdq_expect_not(&bench, qdq_quantize(&bench, convolve(&bench), &huge));
    bench_init(&bench, 1);
    uint32_t scale = bench_input(&bench, MM_F32, "");
    qdq_expect_not(&bench, BENCH_NODE(&bench, "QuantizeLinear", "", convolve(&bench), scale));
    bench_init(&bench, 1);
    const uint16_t half = 0x3800;
    uint32_t x = BENCH_NODE(&bench, "DequantizeLinear", "", bench_input(&bench, MM_U8, "2 3"),
                            qdq_constant(&bench, MM_F16, 0, NULL, &half));
    uint32_t y = BENCH_NODE(&bench, "Add", "", x, x);
    qdq_expect_not(&bench, BENCH_NODE(&bench, "QuantizeLinear", "", y,
                                      qdq_constant(&bench, MM_F16, 0, NULL, &half)));
}

/* ---- Networks */

/* The same DequantizeLinear for two nodes, and from layer to layer. */
static void test_network(void **state) {
    (void)state;
    const struct qdq_scaling relu = {MM_U8, 0, 0.04F}, sum = {MM_U8, 100, 0.06F};
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "1 4 6 6");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, qdq_weights(&bench, &qdq_w_i8, "4 4 1 1"));
    y = BENCH_NODE(&bench, "Relu", "", y);
    y = qdq_dequantize(&bench, qdq_quantize(&bench, y, &relu), &relu);
    y = BENCH_NODE(&bench, "Add", "", y, x);
    y = qdq_dequantize(&bench, qdq_quantize(&bench, y, &sum), &sum);
    y = BENCH_NODE(&bench, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", y);
    y = qdq_dequantize(&bench, qdq_quantize(&bench, y, &sum), &sum);
    y = BENCH_NODE(&bench, "Flatten", "", y);
    y = qdq_dequantize(&bench, qdq_quantize(&bench, y, &sum), &sum);
    y = BENCH_NODE(&bench, "Gemm", "transB=1", y, qdq_weights(&bench, &qdq_w_i8, "10 36"));
    qdq_expect(&bench, y, "QLinearConv QLinearAdd MaxPool Flatten QGemm");
}

/* In a branch, of values of the graph around it. */
static void test_branch(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = qdq_input(&bench, &qdq_x_u8, "1 3 4 4");
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, qdq_weights(&bench, &qdq_w_i8, "5 3 2 2"));
    bench_branch_end(&bench, then, qdq_quantize(&bench, y, &qdq_y_u8));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, qdq_quantize(&bench, x, &qdq_x_u8));
    bench_output(&bench, bench_if(&bench, asked, then, otherwise));
    qdq_apply(&bench);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    assert_int_equal(bench_count(bench.model.main, "QLinearConv"), 1);
    bench_fini(&bench);
}

/* In a loop, whose inputs have types that only zero points tell. */
static void test_loop(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t carried = bench_input(&bench, MM_U8, "2 3");
        struct onnx_graph *body = bench_branch(&bench);
        bench_graph_input(&bench, body);
        uint32_t condition = bench_graph_input(&bench, body);
        uint32_t before = bench_graph_input(&bench, body);
        uint32_t x = i ? BENCH_NODE(&bench, "DequantizeLinear", "", before,
                                    bench_scalar(&bench, qdq_x_u8.scale))
                       : qdq_dequantize(&bench, before, &qdq_x_u8);
        uint32_t y = BENCH_NODE(&bench, "Add", "", x, x);
        body->outputs[body->output_count++] = condition;
        bench_branch_end(&bench, body, qdq_quantize(&bench, y, &qdq_x_u8));
        const uint32_t inputs[] = {bench_ints(&bench, "3"), ONNX_NO_VALUE, carried};
        bench_output(&bench, bench_loop(&bench, inputs, 3, body));
        const struct onnx_pass_context context = {.services = &bench.services};
        assert_int_equal(qdq_fold(&bench.model, &context, &bench.err), MM_OK);
        assert_int_equal(bench_count(bench.model.main, "QLinearAdd"), i == 0);
        bench_fini(&bench);
    }
}

/* ---- At random */

/* The scale of a result is about what its sums need: with a much smaller one f32 itself is off by
 * more than a quantum. */
static void build_random(struct bench *bench, int depth) {
    struct qdq_scaling x = qdq_random_scaling(bench), w = qdq_random_scaling(bench),
                       y = qdq_random_scaling(bench);
    y.scale = x.scale * w.scale * qdq_random_scale(bench, 0.5, 400) * sqrtf((float)depth);
    bool along = test_random_below(&bench->seed, 2);
    char shape[32], image[32];
    uint32_t kind = (uint32_t)test_random_below(&bench->seed, 3);
    snprintf(image, sizeof(image), kind == 0 ? "2 %d 3 3" : "4 %d", depth);
    snprintf(shape, sizeof(shape), kind == 0 ? "5 %d 1 1" : kind == 1 ? "%d 5" : "5 %d", depth);
    uint32_t a = qdq_input(bench, &x, image);
    uint32_t b =
        along ? qdq_weights_along(bench, &w, shape, kind == 1, 5) : qdq_weights(bench, &w, shape);
    uint32_t c = along ? ONNX_NO_VALUE : qdq_bias(bench, &x, &w, "5");
    uint32_t made = kind == 0   ? BENCH_NODE(bench, "Conv", "", a, b, c)
                    : kind == 1 ? BENCH_NODE(bench, "MatMul", "", a, b)
                                : BENCH_NODE(bench, "Gemm", "transB=1", a, b, c);
    bench_output(bench, qdq_quantize(bench, made, &y));
}

static void test_random_products(void **state) {
    (void)state;
    struct qdq_seen all = {0};
    for (uint64_t seed = first_seed; seed < first_seed + 300; seed++) {
        struct bench bench;
        bench_init(&bench, seed);
        build_random(&bench, 1 + (int)test_random_below(&bench.seed, 300));
        struct qdq_seen seen = qdq_apply(&bench);
        all.elements += seen.elements;
        all.different += seen.different;
        if (bench_count(bench.model.main, NULL) != 1) {
            fail_msg("seed %llu: %u nodes left", (unsigned long long)seed,
                     bench_count(bench.model.main, NULL));
        }
        bench_fini(&bench);
    }
    print_message("%llu of %llu differ by one quantum\n", (unsigned long long)all.different,
                  (unsigned long long)all.elements);
    assert_true(all.different * 100 <= all.elements);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = qdq_input(&bench, &qdq_x_u8, "1 3 4 4");
        uint32_t w = qdq_weights(&bench, &qdq_w_i8, "5 3 1 1");
        uint32_t y =
            BENCH_NODE(&bench, "Conv", "", x, w, qdq_bias(&bench, &qdq_x_u8, &qdq_w_i8, "5"));
        bench_output(&bench, qdq_quantize(&bench, y, &qdq_y_u8));
        y = BENCH_NODE(&bench, "Add", "", x, x);
        bench_output(&bench, qdq_quantize(&bench, y, &qdq_y_u8));
        y = BENCH_NODE(&bench, "Pad", "", x, bench_ints(&bench, "1 0 0 2 0 0 0 0"));
        bench_output(&bench, qdq_quantize(&bench, y, &qdq_x_u8));
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = mmi_onnx_fold_quantization(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(int argc, char **argv) {
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : first_seed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_weights_to_quantize),
        cmocka_unit_test(test_shared_scale),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_relu_not),
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_turned_weights),
        cmocka_unit_test(test_turned_weights_not),
        cmocka_unit_test(test_wrong_order),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_not),
        cmocka_unit_test(test_other_axis),
        cmocka_unit_test(test_other_bias),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_used_elsewhere),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_other_scales),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_branch),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_random_products),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
