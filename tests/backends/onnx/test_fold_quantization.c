/* SPDX-License-Identifier: Apache-2.0 */

/* Operators on f32 between DequantizeLinear and QuantizeLinear become integer operators, whose
 * results are within one quantum of what they were. Usage: [SEED] */

#include "graph_runner.h"

#include <backends/onnx/operators/quantize.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t first_seed = 1;

/* ---- Building */

static void *room(struct bench *bench, uint64_t bytes) {
    void *data = mmi_onnx_take_data(&bench->arena, bytes);
    assert_non_null(data);
    return data;
}

static uint32_t constant(struct bench *bench, int32_t dtype, uint32_t rank, const int64_t *shape,
                         const void *data) {
    struct onnx_tensor tensor;
    assert_int_equal(mmi_onnx_tensor_set(&tensor, dtype, rank, shape, NULL), MM_OK);
    void *copy = room(bench, tensor.bytes);
    memcpy(copy, data, tensor.bytes);
    tensor.data = copy;
    return mmi_onnx_add_constant(&bench->model, &tensor);
}

/* Integers of 8 or 32 bits; the latter small. */
static void fill(struct bench *bench, struct onnx_tensor *tensor) {
    void *data = room(bench, tensor->bytes);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        uint64_t number = test_random_below(&bench->seed, 256);
        if (tensor->dtype == MM_I32) {
            ((int32_t *)data)[i] = (int32_t)number * 8 - 1024;
        } else {
            ((uint8_t *)data)[i] = (uint8_t)number;
        }
    }
    tensor->data = data;
}

static uint32_t random_ints(struct bench *bench, int32_t dtype, const char *shape) {
    const struct onnx_tensor of = bench_tensor(bench, MM_F32, shape);
    struct onnx_tensor tensor;
    assert_int_equal(mmi_onnx_tensor_set(&tensor, dtype, of.rank, of.shape, NULL), MM_OK);
    fill(bench, &tensor);
    return mmi_onnx_add_constant(&bench->model, &tensor);
}

static uint32_t zero_point(struct bench *bench, int32_t dtype, int32_t zero) {
    return constant(bench, dtype, 0, NULL, &zero);
}

struct scaling {
    int32_t dtype, zero;
    float scale;
};
static const struct scaling x_u8 = {MM_U8, 128, 0.03F}, x_i8 = {MM_I8, -5, 0.02F},
                            w_i8 = {MM_I8, 0, 0.01F}, y_u8 = {MM_U8, 0, 0.05F},
                            y_i8 = {MM_I8, 3, 0.07F};

static uint32_t dequantize(struct bench *bench, uint32_t x, const struct scaling *s) {
    return BENCH_NODE(bench, "DequantizeLinear", "", x, bench_scalar(bench, s->scale),
                      zero_point(bench, s->dtype, s->zero));
}

static uint32_t quantize(struct bench *bench, uint32_t x, const struct scaling *s) {
    return BENCH_NODE(bench, "QuantizeLinear", "", x, bench_scalar(bench, s->scale),
                      zero_point(bench, s->dtype, s->zero));
}

static uint32_t input(struct bench *bench, const struct scaling *s, const char *shape) {
    return dequantize(bench, bench_input(bench, s->dtype, shape), s);
}

static uint32_t weights(struct bench *bench, const struct scaling *s, const char *shape) {
    return dequantize(bench, random_ints(bench, s->dtype, shape), s);
}

/* With a scale for each of `count` slices of the axis, between a quarter and the whole of that of
 * s. */
static uint32_t weights_along(struct bench *bench, const struct scaling *s, const char *shape,
                              int64_t axis, int64_t count) {
    float *scales = room(bench, (uint64_t)count * sizeof(float));
    int8_t *zeros = room(bench, (uint64_t)count);
    for (int64_t i = 0; i < count; i++) {
        scales[i] = s->scale * (float)(1 + test_random_below(&bench->seed, 4)) / 4;
        zeros[i] = (int8_t)s->zero;
    }
    char attributes[32];
    snprintf(attributes, sizeof(attributes), "axis=%d", (int)axis);
    return BENCH_NODE(bench, "DequantizeLinear", attributes, random_ints(bench, s->dtype, shape),
                      constant(bench, MM_F32, 1, &count, scales),
                      constant(bench, s->dtype, 1, &count, zeros));
}

/* Integers with the scale of x times that of w. */
static uint32_t bias_of(struct bench *bench, const struct scaling *x, const struct scaling *w,
                        const char *shape) {
    return BENCH_NODE(bench, "DequantizeLinear", "", random_ints(bench, MM_I32, shape),
                      bench_scalar(bench, x->scale * w->scale));
}

/* ---- Checking */

static mm_status fold(struct onnx_model *model, const struct onnx_pass_context *context,
                      mm_error *err) {
    mm_status status = mmi_onnx_fold_quantization(model, context, err);
    status = status == MM_OK ? mmi_onnx_fold_constants(model, context, err) : status;
    return status == MM_OK ? mmi_onnx_clean(model, context, err) : status;
}

struct seen {
    uint64_t elements, different;
    double most; /* quanta */
};

static void compare(const struct onnx_tensor *a, const struct onnx_tensor *b, struct seen *seen) {
    if (a->dtype != MM_U8 && a->dtype != MM_I8) {
        assert_tensors(a, b, 2e-5);
        return;
    }
    assert_tensors(a, b, 255); /* types and shapes */
    for (uint64_t i = 0; i < a->elements; i++) {
        double off = fabs(mmi_onnx_float_at(a, i) - mmi_onnx_float_at(b, i));
        seen->elements++;
        seen->different += off > 0;
        seen->most = fmax(seen->most, off);
    }
}

static struct onnx_tensor request(struct bench *bench, const mm_value_info *info) {
    char shape[64] = "";
    for (int32_t axis = 0; axis < info->rank; axis++) {
        int64_t count = info->shape[axis] < 0 ? 3 : info->shape[axis];
        snprintf(shape + strlen(shape), sizeof(shape) - strlen(shape), "%d ", (int)count);
    }
    struct onnx_tensor tensor = bench_tensor(bench, info->dtype, shape);
    if (info->dtype == MM_U8 || info->dtype == MM_I8) {
        fill(bench, &tensor);
    }
    return tensor;
}

static void run(struct bench *bench, const struct onnx_tensor *inputs, struct onnx_tensor *out) {
    if (run_graph(&bench->model, inputs, out, &bench->arena, &bench->services, &bench->err) !=
        MM_OK) {
        fail_msg("%s", bench->err.text);
    }
}

static struct seen apply(struct bench *bench) {
    struct onnx_tensor inputs[8], before[8], after[8];
    struct seen seen = {0};
    for (uint32_t i = 0; i < bench->model.main->input_count; i++) {
        inputs[i] = request(bench, &bench->model.inputs[i]);
    }
    run(bench, inputs, before);
    const struct onnx_pass_context context = {.services = &bench->services};
    if (fold(&bench->model, &context, &bench->err) != MM_OK) {
        fail_msg("%s", bench->err.text);
    }
    run(bench, inputs, after);
    for (uint32_t i = 0; i < bench->model.main->output_count; i++) {
        compare(&before[i], &after[i], &seen);
    }
    assert_true(seen.most <= 1);
    return seen;
}

/* What is left are these nodes: "QLinearConv QLinearAdd". Of MM_U8 or MM_I8 most are the same. */
static void expect(struct bench *bench, uint32_t result, const char *nodes) {
    char left[256] = "";
    bench_output(bench, result);
    struct seen seen = apply(bench);
    assert_true(seen.different * 20 <= seen.elements);
    for (uint32_t i = 0; i < bench->model.main->node_count; i++) {
        const struct onnx_node *node = bench->model.main->nodes[i];
        snprintf(left + strlen(left), sizeof(left) - strlen(left), "%s%s", i > 0 ? " " : "",
                 node->op->name);
        if (node->domain) { /* as a description names it */
            assert_ptr_equal(mmi_onnx_find_operator(node->domain, node->type), node->op);
        }
    }
    assert_string_equal(left, nodes);
    bench_fini(bench);
}

/* Nothing becomes integer. */
static void expect_not(struct bench *bench, uint32_t result) {
    static const char *const folded[] = {"QLinearConv",  "QLinearMatMul", "QGemm",
                                         "QLinearAdd",   "QLinearMul",    "QLinearWhere",
                                         "QLinearConcat"};
    bench_output(bench, result);
    apply(bench);
    for (size_t i = 0; i < sizeof(folded) / sizeof(folded[0]); i++) {
        assert_int_equal(bench_count(bench->model.main, folded[i]), 0);
    }
    assert_int_not_equal(bench_count(bench->model.main, "QuantizeLinear"), 0);
    bench_fini(bench);
}

/* ---- Convolutions */

static void test_conv(void **state) {
    (void)state;
    static const struct scaling *const xs[] = {&x_u8, &x_i8}, *const ys[] = {&y_u8, &y_i8};
    for (uint32_t i = 0; i < 16; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        const struct scaling *x = xs[i & 1], *y = ys[i >> 1 & 1];
        uint32_t image = input(&bench, x, "2 4 5 6");
        uint32_t w = i & 4 ? weights_along(&bench, &w_i8, "6 2 3 3", 0, 6)
                           : weights(&bench, &w_i8, "6 2 3 3");
        uint32_t b = i & 4 ? bench_random(&bench, "6") : bias_of(&bench, x, &w_i8, "6");
        const char *attributes = "group=2 pads=[1,1,1,1] strides=[2,1]";
        uint32_t v = i & 8 ? BENCH_NODE(&bench, "Conv", attributes, image, w)
                           : BENCH_NODE(&bench, "Conv", attributes, image, w, b);
        expect(&bench, quantize(&bench, v, y), "QLinearConv");
    }
}

/* 3 times 2 and 1 more, in quanta of 1/2: 14. */
static void test_numbers(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const struct scaling one = {MM_U8, 0, 1}, half = {MM_I8, -1, 0.5F};
    const uint8_t three = 3;
    const int64_t shape[] = {1, 1, 1, 1};
    const float bias = 1;
    uint32_t x = input(&bench, &one, "1 1 1 1");
    uint32_t w = dequantize(&bench, constant(&bench, MM_U8, 4, shape, &three), &one);
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w, bench_floats(&bench, "1", &bias));
    bench_output(&bench, quantize(&bench, y, &half));
    const struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(fold(&bench.model, &context, &bench.err), MM_OK);
    const struct onnx_node *node = bench_find(&bench, "QLinearConv");
    assert_int_equal(mmi_onnx_int_at(mmi_onnx_constant(&bench.model, node, 3), 0), 3);
    assert_int_equal(mmi_onnx_int_at(mmi_onnx_constant(&bench.model, node, 7), 0), -1);
    assert_int_equal(mmi_onnx_int_at(mmi_onnx_constant(&bench.model, node, 8), 0), 1);
    struct onnx_tensor two, made;
    const uint8_t number = 2;
    assert_int_equal(mmi_onnx_tensor_set(&two, MM_U8, 4, shape, NULL), MM_OK);
    two.data = &number;
    run(&bench, &two, &made);
    assert_int_equal(mmi_onnx_int_at(&made, 0), 13);
    bench_fini(&bench);
}

/* Quantised in the file: the constant is folded afterwards, and is in the end one of bytes. */
static void test_weights_to_quantize(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = input(&bench, &x_u8, "1 3 4 4");
    uint32_t w = quantize(&bench, bench_random(&bench, "5 3 1 1"), &w_i8);
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, dequantize(&bench, w, &w_i8));
    expect(&bench, quantize(&bench, y, &y_i8), "QLinearConv");
}

/* What files have that share constants: their scales come through Identity. */
static void test_shared_scale(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = input(&bench, &x_u8, "1 3 4 4");
    uint32_t scale = BENCH_NODE(&bench, "Identity", "", bench_scalar(&bench, 0.02F));
    uint32_t w =
        BENCH_NODE(&bench, "DequantizeLinear", "", random_ints(&bench, MM_U8, "5 3 1 1"), scale);
    uint32_t y =
        BENCH_NODE(&bench, "QuantizeLinear", "", BENCH_NODE(&bench, "Conv", "", x, w), scale);
    expect(&bench, y, "QLinearConv");
}

static uint32_t convolve(struct bench *bench) {
    uint32_t x = input(bench, &x_u8, "1 3 4 4");
    return BENCH_NODE(bench, "Conv", "", x, weights(bench, &w_i8, "5 3 2 2"));
}

/* ---- Activations before the end */

static void test_relu(void **state) {
    (void)state;
    const struct scaling least = {MM_I8, -128, 0.06F}, six = {MM_U8, 0, 6.0F / 255};
    const struct scaling *const ends[] = {&least, &six};
    for (size_t i = 0; i < 4; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        uint32_t y = convolve(&bench);
        y = i & 2 ? BENCH_NODE(&bench, "Clip", "", y, bench_scalar(&bench, i & 1 ? 0 : -1e6F),
                               bench_scalar(&bench, i & 1 ? 6 : 1e6F))
                  : BENCH_NODE(&bench, "Relu", "", y);
        expect(&bench, quantize(&bench, y, ends[i & 1]), "QLinearConv");
    }
}

/* The zero point lies above the least number; 5 lies below what the type can say. */
static void test_relu_not(void **state) {
    (void)state;
    const struct scaling six = {MM_U8, 0, 6.0F / 255};
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = BENCH_NODE(&bench, "Relu", "", convolve(&bench));
    expect_not(&bench, quantize(&bench, y, &y_i8));
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Clip", "", convolve(&bench), bench_scalar(&bench, 0),
                   bench_scalar(&bench, 5));
    expect_not(&bench, quantize(&bench, y, &six));
    bench_init(&bench, 1); /* a limit that comes with the request */
    y = BENCH_NODE(&bench, "Clip", "", convolve(&bench), bench_input(&bench, MM_F32, ""));
    expect_not(&bench, quantize(&bench, y, &six));
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Tanh", "", convolve(&bench));
    expect_not(&bench, quantize(&bench, y, &six));
}

/* ---- Matrices */

static void test_matmul(void **state) {
    (void)state;
    static const char *const shapes[] = {"2 3 7", "4 7", "7"};
    for (uint32_t i = 0; i < 6; i++) {
        struct bench bench;
        bench_init(&bench, i + 1);
        uint32_t x = input(&bench, i & 1 ? &x_i8 : &x_u8, shapes[i / 2]);
        uint32_t w =
            i & 1 ? weights_along(&bench, &w_i8, "7 5", -1, 5) : weights(&bench, &x_u8, "7 5");
        uint32_t y = BENCH_NODE(&bench, "MatMul", "", x, w);
        expect(&bench, quantize(&bench, y, &y_i8), "QLinearMatMul");
    }
    struct bench bench;
    bench_init(&bench, 1); /* both come with the request */
    uint32_t y = BENCH_NODE(&bench, "MatMul", "", input(&bench, &x_u8, "2 3 7"),
                            input(&bench, &x_i8, "2 7 4"));
    expect(&bench, quantize(&bench, y, &y_i8), "QLinearMatMul");
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
        uint32_t x = input(&bench, &x_u8, i & 2 ? "7 4" : "4 7");
        uint32_t w = i & 4 ? weights_along(&bench, &w_i8, shape, i & 1 ? 0 : 1, 5)
                           : weights(&bench, &w_i8, shape);
        uint32_t b = bias_of(&bench, &x_u8, &w_i8, i & 1 ? "1 5" : "5");
        if (i & 4) {
            b = bench_scalar(&bench, 0.25F);
        }
        uint32_t y = i & 8 ? BENCH_NODE(&bench, "Gemm", attributes, x, w)
                           : BENCH_NODE(&bench, "Gemm", attributes, x, w, b);
        if (i & 16) {
            expect(&bench, quantize(&bench, y, &y_i8), "QGemm");
        } else if ((i & 12) == 4) { /* no multiple of each unit, and nothing to round to */
            expect(&bench, y, "DequantizeLinear Gemm");
        } else {
            expect(&bench, y, "QGemm");
        }
    }
}

static void test_gemm_not(void **state) {
    (void)state;
    static const char *const attributes[] = {"alpha=2.0", "beta=0.5"};
    struct bench bench;
    for (size_t i = 0; i < 2; i++) {
        bench_init(&bench, 1);
        uint32_t x = input(&bench, &x_u8, "4 7"), w = weights(&bench, &w_i8, "7 5");
        uint32_t b = bias_of(&bench, &x_u8, &w_i8, "5");
        uint32_t y = BENCH_NODE(&bench, "Gemm", attributes[i], x, w, b);
        expect_not(&bench, quantize(&bench, y, &y_i8));
    }
    bench_init(&bench, 1); /* a bias by row */
    uint32_t x = input(&bench, &x_u8, "4 7"), w = weights(&bench, &w_i8, "7 5");
    uint32_t y = BENCH_NODE(&bench, "Gemm", "", x, w, bench_random(&bench, "4 1"));
    expect_not(&bench, quantize(&bench, y, &y_i8));
}

/* ---- Why products are not folded */

/* Scales along the wrong axis. */
static void test_other_axis(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = input(&bench, &x_u8, "1 5 4 4");
    uint32_t w = weights_along(&bench, &w_i8, "5 5 1 1", 1, 5);
    expect_not(&bench, quantize(&bench, BENCH_NODE(&bench, "Conv", "", x, w), &y_i8));
    bench_init(&bench, 1);
    x = input(&bench, &x_u8, "4 5");
    w = weights_along(&bench, &w_i8, "5 5", 0, 5);
    expect_not(&bench, quantize(&bench, BENCH_NODE(&bench, "MatMul", "", x, w), &y_i8));
    bench_init(&bench, 1);
    x = input(&bench, &x_u8, "4 5");
    w = weights_along(&bench, &w_i8, "5 5", 0, 5);
    expect_not(&bench, quantize(&bench, BENCH_NODE(&bench, "Gemm", "", x, w), &y_i8));
    bench_init(&bench, 1); /* x has several scales */
    uint32_t scales = bench_floats(&bench, "3", (const float[]){0.01F, 0.02F, 0.03F});
    x = BENCH_NODE(&bench, "DequantizeLinear", "", bench_input(&bench, MM_U8, "1 3 4 4"), scales);
    w = weights(&bench, &w_i8, "5 3 1 1");
    expect_not(&bench, quantize(&bench, BENCH_NODE(&bench, "Conv", "", x, w), &y_i8));
}

/* What is added needs other numbers than the products have, or too large ones. */
static void test_other_bias(void **state) {
    (void)state;
    const struct scaling fine = {MM_I8, 0, 1e-4F}, coarse = {MM_U8, 0, 4};
    struct bench bench;
    bench_init(&bench, 1); /* half of 16 is more than a quantum of 0.07 */
    uint32_t x = input(&bench, &coarse, "1 3 4 4"), w = weights(&bench, &coarse, "5 3 1 1");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w, bench_random(&bench, "5"));
    expect_not(&bench, quantize(&bench, y, &y_i8));
    const float large[] = {0, 0, 30, 0, 0}; /* over 1e-8 */
    bench_init(&bench, 1);
    x = input(&bench, &fine, "1 3 4 4");
    w = weights(&bench, &fine, "5 3 1 1");
    y = BENCH_NODE(&bench, "Conv", "", x, w, bench_floats(&bench, "5", large));
    expect_not(&bench, quantize(&bench, y, &y_i8));
    bench_init(&bench, 1);
    x = input(&bench, &x_u8, "1 3 4 4");
    w = weights(&bench, &w_i8, "5 3 1 1");
    y = BENCH_NODE(&bench, "Conv", "", x, w, bench_input(&bench, MM_F32, "5"));
    expect_not(&bench, quantize(&bench, y, &y_i8));
    bench_init(&bench, 1); /* a zero point */
    x = input(&bench, &x_u8, "1 3 4 4");
    w = weights(&bench, &w_i8, "5 3 1 1");
    uint32_t b =
        BENCH_NODE(&bench, "DequantizeLinear", "", random_ints(&bench, MM_I32, "5"),
                   bench_scalar(&bench, x_u8.scale * w_i8.scale), zero_point(&bench, MM_I32, 1));
    expect_not(&bench, quantize(&bench, BENCH_NODE(&bench, "Conv", "", x, w, b), &y_i8));
}

/* 33026 products of 255 by 255 are too many for a sum of 32 bits. */
static void test_deep(void **state) {
    (void)state;
    const struct scaling low = {MM_U8, 0, 0.001F}, high = {MM_U8, 0, 1};
    for (uint32_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = input(&bench, &low, i ? "1 33026" : "1 33025");
        uint32_t w = weights(&bench, &low, i ? "33026 2" : "33025 2");
        uint32_t y = quantize(&bench, BENCH_NODE(&bench, "MatMul", "", x, w), &high);
        if (i) {
            expect_not(&bench, y);
        } else {
            expect(&bench, y, "QLinearMatMul");
        }
    }
}

static void test_used_elsewhere(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y = convolve(&bench);
    bench_output(&bench, y);
    expect_not(&bench, quantize(&bench, y, &y_i8));
    bench_init(&bench, 1);
    y = convolve(&bench);
    bench_output(&bench, BENCH_NODE(&bench, "Abs", "", y));
    expect_not(&bench, quantize(&bench, y, &y_i8));
    bench_init(&bench, 1); /* a branch reads it */
    y = convolve(&bench);
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    bench_branch_end(&bench, then, BENCH_NODE(&bench, "Abs", "", y));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, bench_random(&bench, "1"));
    bench_output(&bench, bench_if(&bench, asked, then, otherwise));
    expect_not(&bench, quantize(&bench, y, &y_i8));
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
    uint32_t y = quantize(&bench, convolve(&bench), &y_i8);
    set_precision(bench_last(&bench)->params);
    expect_not(&bench, y);
    bench_init(&bench, 1); /* blocks of 2 rows */
    uint32_t x = input(&bench, &x_u8, "3 4");
    uint32_t w = BENCH_NODE(&bench, "DequantizeLinear", "axis=0", random_ints(&bench, MM_U8, "4 2"),
                            bench_floats(&bench, "2 2", (const float[]){0.1F, 0.2F, 0.1F, 0.3F}));
    set_block(bench_last(&bench)->params);
    y = BENCH_NODE(&bench, "MatMul", "", x, w);
    expect_not(&bench, quantize(&bench, y, &y_i8));
}

/* Of 16 bits; a scale that comes with the request, is 0, or is f16. */
static void test_other_scales(void **state) {
    (void)state;
    const struct scaling u16 = {MM_U16, 7, 0.01F}, zero = {MM_U8, 7, 0}, huge = {MM_U8, 7, 1e30F};
    struct bench bench;
    bench_init(&bench, 1);
    expect_not(&bench, quantize(&bench, convolve(&bench), &u16));
    bench_init(&bench, 1);
    expect_not(&bench, quantize(&bench, convolve(&bench), &zero));
    bench_init(&bench, 1);
    expect_not(&bench, quantize(&bench, convolve(&bench), &huge));
    bench_init(&bench, 1);
    uint32_t scale = bench_input(&bench, MM_F32, "");
    expect_not(&bench, BENCH_NODE(&bench, "QuantizeLinear", "", convolve(&bench), scale));
    bench_init(&bench, 1);
    const uint16_t half = 0x3800;
    uint32_t x = BENCH_NODE(&bench, "DequantizeLinear", "", bench_input(&bench, MM_U8, "2 3"),
                            constant(&bench, MM_F16, 0, NULL, &half));
    uint32_t y = BENCH_NODE(&bench, "Add", "", x, x);
    expect_not(&bench, BENCH_NODE(&bench, "QuantizeLinear", "", y,
                                  constant(&bench, MM_F16, 0, NULL, &half)));
}

/* ---- Functions */

static void test_functions(void **state) {
    (void)state;
    static const struct {
        const char *type, *attributes, *folded;
        uint32_t inputs;
    } cases[] = {
        {"Add", "", "QLinearAdd", 2},
        {"Mul", "", "QLinearMul", 2},
        {"Sigmoid", "", "QLinearSigmoid", 1},
        {"LeakyRelu", "alpha=0.25", "QLinearLeakyRelu", 1},
        {"Softmax", "axis=1", "QLinearSoftmax", 1},
        {"GlobalAveragePool", "", "QLinearGlobalAveragePool", 1},
        {"AveragePool", "kernel_shape=[2,2] pads=[1,0,0,1] strides=[2,1]", "QLinearAveragePool", 1},
        {"AveragePool", "kernel_shape=[3,2] ceil_mode=1 count_include_pad=1 dilations=[1,2]",
         "QLinearAveragePool", 1},
        {"Concat", "axis=2", "QLinearConcat", 2},
    };
    const struct scaling other = {MM_U8, 30, 0.01F}, y_other = {MM_U8, 3, 0.004F};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (uint32_t relu = 0; relu < 2; relu++) {
            struct bench bench;
            bench_init(&bench, i + 1);
            uint32_t x[] = {input(&bench, &x_u8, "2 3 5 6"), input(&bench, &other, "2 3 5 6")};
            uint32_t y = bench_node(&bench, cases[i].type, cases[i].attributes, x, cases[i].inputs);
            y = relu ? BENCH_NODE(&bench, "Relu", "", y) : y;
            expect(&bench, quantize(&bench, y, relu ? &y_u8 : &y_other), cases[i].folded);
        }
    }
}

static void test_where(void **state) {
    (void)state;
    struct bench bench;
    const struct scaling other = {MM_U8, 30, 0.01F};
    bench_init(&bench, 1);
    uint32_t x = input(&bench, &x_u8, "2 3"), z = weights(&bench, &other, "3");
    uint32_t y = BENCH_NODE(&bench, "Where", "", bench_input(&bench, MM_BOOL, "2 1"), x, z);
    expect(&bench, quantize(&bench, y, &y_u8), "QLinearWhere");
    bench_init(&bench, 1); /* without arithmetic */
    x = input(&bench, &x_u8, "2 3");
    z = weights(&bench, &x_u8, "3");
    y = BENCH_NODE(&bench, "Where", "", bench_input(&bench, MM_BOOL, "2 1"), x, z);
    expect(&bench, quantize(&bench, y, &x_u8), "Where");
}

/* Zero points that are not there; x that is added to itself. */
static void test_without_zero_points(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t scale = bench_scalar(&bench, 0.02F);
    uint32_t x =
        BENCH_NODE(&bench, "DequantizeLinear", "", bench_input(&bench, MM_U8, "2 3"), scale);
    uint32_t y = BENCH_NODE(&bench, "Add", "", x, x);
    expect(&bench, BENCH_NODE(&bench, "QuantizeLinear", "", y, bench_scalar(&bench, 0.03F)),
           "QLinearAdd");
}

static void test_functions_not(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1); /* types that are not all the same */
    uint32_t y =
        BENCH_NODE(&bench, "Add", "", input(&bench, &x_u8, "2 3"), input(&bench, &x_i8, "2 3"));
    expect_not(&bench, quantize(&bench, y, &y_u8));
    bench_init(&bench, 1);
    y = BENCH_NODE(&bench, "Add", "", input(&bench, &x_u8, "2 3"), input(&bench, &x_u8, "2 3"));
    expect_not(&bench, quantize(&bench, y, &y_i8));
    bench_init(&bench, 1); /* one is f32 */
    y = BENCH_NODE(&bench, "Mul", "", input(&bench, &x_u8, "2 3"), bench_random(&bench, "3"));
    expect_not(&bench, quantize(&bench, y, &y_u8));
    bench_init(&bench, 1); /* several scales */
    y = BENCH_NODE(&bench, "Add", "", input(&bench, &x_i8, "2 3"),
                   weights_along(&bench, &x_i8, "2 3", 1, 3));
    expect_not(&bench, quantize(&bench, y, &y_i8));
}

/* ---- Moves */

static uint32_t moved(struct bench *bench, uint32_t way, uint32_t x) {
    switch (way) {
    case 0:
        return BENCH_NODE(bench, "Reshape", "", x, bench_ints(bench, "3 -1"));
    case 1:
        return BENCH_NODE(bench, "Flatten", "axis=2", x);
    case 2:
        return BENCH_NODE(bench, "Transpose", "perm=[0,2,3,1]", x);
    case 3:
        return BENCH_NODE(bench, "Squeeze", "", x, bench_ints(bench, "0"));
    case 4:
        return BENCH_NODE(bench, "Unsqueeze", "", x, bench_ints(bench, "1"));
    case 5:
        return BENCH_NODE(bench, "Slice", "", x, bench_ints(bench, "1"), bench_ints(bench, "3"),
                          bench_ints(bench, "2"));
    case 6:
        return BENCH_NODE(bench, "Gather", "axis=1", x, bench_ints(bench, "2 0"));
    case 7:
        return BENCH_NODE(bench, "Expand", "", x, bench_ints(bench, "2 3 4 6"));
    case 8:
        return BENCH_NODE(bench, "Tile", "", x, bench_ints(bench, "1 2 1 1"));
    case 9:
        return BENCH_NODE(bench, "MaxPool", "kernel_shape=[2,3] pads=[1,1,0,1]", x);
    case 10:
        return BENCH_NODE(bench, "DepthToSpace", "blocksize=1", x);
    case 11:
        return BENCH_NODE(bench, "SpaceToDepth", "blocksize=2", x);
    default:
        return BENCH_NODE(bench, "Concat", "axis=1", x, weights(bench, &x_i8, "1 2 4 6"));
    }
}

static void test_moves(void **state) {
    (void)state;
    static const char *const names[] = {
        "Reshape", "Flatten", "Transpose", "Squeeze",      "Unsqueeze",    "Slice", "Gather",
        "Expand",  "Tile",    "MaxPool",   "DepthToSpace", "SpaceToDepth", "Concat"};
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t y = moved(&bench, i, input(&bench, &x_i8, "1 3 4 6"));
        expect(&bench, quantize(&bench, y, &x_i8), names[i]);
        if (i == 12) {
            continue; /* becomes QLinearConcat */
        }
        struct scaling other = x_i8; /* scales that are not the same */
        other.scale *= 1.5F;
        bench_init(&bench, 1);
        y = moved(&bench, i, input(&bench, &x_i8, "1 3 4 6"));
        expect_not(&bench, quantize(&bench, y, &other));
        other = x_i8;
        other.zero++;
        bench_init(&bench, 1);
        y = moved(&bench, i, input(&bench, &x_i8, "1 3 4 6"));
        expect_not(&bench, quantize(&bench, y, &other));
    }
}

/* The indices of maxima stay what they are. */
static void test_max_indices(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t y =
        BENCH_NODE(&bench, "MaxPool", "kernel_shape=[2,2]", input(&bench, &x_i8, "1 2 5 5"));
    bench_output(&bench, bench_more_output(&bench));
    expect(&bench, quantize(&bench, y, &x_i8), "MaxPool");
}

/* 0 is the zero point; 0.06 are three quanta; 0.05 are no whole ones, and 9 too many. */
static void test_pad(void **state) {
    (void)state;
    static const float paddings[] = {0, 0.06F, 0.05F, 9};
    struct bench bench;
    for (uint32_t i = 0; i < 4; i++) {
        bench_init(&bench, 1);
        uint32_t x = input(&bench, &x_i8, "2 3");
        uint32_t y = BENCH_NODE(&bench, "Pad", "", x, bench_ints(&bench, "1 0 0 2"),
                                bench_scalar(&bench, paddings[i]));
        y = quantize(&bench, y, &x_i8);
        if (i < 2) {
            expect(&bench, y, "Pad");
        } else {
            expect_not(&bench, y);
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        bench_init(&bench, 1);
        uint32_t x = input(&bench, &x_i8, "2 3"), pads = bench_ints(&bench, "1 0 0 2");
        uint32_t y = i ? BENCH_NODE(&bench, "Pad", "mode=edge", x, pads, bench_scalar(&bench, 9))
                       : BENCH_NODE(&bench, "Pad", "", x, pads);
        expect(&bench, quantize(&bench, y, &x_i8), "Pad");
    }
}

/* ---- Pairs */

static void test_pairs(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1); /* quantised again by the same numbers */
    uint32_t x = bench_input(&bench, MM_I8, "2 40");
    expect(&bench, quantize(&bench, dequantize(&bench, x, &x_i8), &x_i8), "");
    bench_init(&bench, 1);
    expect_not(&bench, quantize(&bench, input(&bench, &x_i8, "2 40"), &y_i8));
    bench_init(&bench, 1); /* rounds */
    x = bench_input(&bench, MM_F32, "2 3");
    bench_output(&bench, dequantize(&bench, quantize(&bench, x, &x_i8), &x_i8));
    apply(&bench);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    bench_fini(&bench);
}

/* ---- Networks */

/* The same DequantizeLinear for two nodes, and from layer to layer. */
static void test_network(void **state) {
    (void)state;
    const struct scaling relu = {MM_U8, 0, 0.04F}, sum = {MM_U8, 100, 0.06F};
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = input(&bench, &x_u8, "1 4 6 6");
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, weights(&bench, &w_i8, "4 4 1 1"));
    y = BENCH_NODE(&bench, "Relu", "", y);
    y = dequantize(&bench, quantize(&bench, y, &relu), &relu);
    y = BENCH_NODE(&bench, "Add", "", y, x);
    y = dequantize(&bench, quantize(&bench, y, &sum), &sum);
    y = BENCH_NODE(&bench, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", y);
    y = dequantize(&bench, quantize(&bench, y, &sum), &sum);
    y = BENCH_NODE(&bench, "Flatten", "", y);
    y = dequantize(&bench, quantize(&bench, y, &sum), &sum);
    y = BENCH_NODE(&bench, "Gemm", "transB=1", y, weights(&bench, &w_i8, "10 36"));
    expect(&bench, y, "QLinearConv QLinearAdd MaxPool Flatten QGemm");
}

/* In a branch, of values of the graph around it. */
static void test_branch(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = input(&bench, &x_u8, "1 3 4 4");
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&bench);
    uint32_t y = BENCH_NODE(&bench, "Conv", "", x, weights(&bench, &w_i8, "5 3 2 2"));
    bench_branch_end(&bench, then, quantize(&bench, y, &y_u8));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, quantize(&bench, x, &x_u8));
    bench_output(&bench, bench_if(&bench, asked, then, otherwise));
    apply(&bench);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    assert_int_equal(bench_count(bench.model.main, "QLinearConv"), 1);
    bench_fini(&bench);
}

/* ---- At random */

static float random_scale(struct bench *bench, double least, double most) {
    double part = (double)test_random_below(&bench->seed, 1 << 20) / (1 << 20);
    return (float)(least * pow(most / least, part));
}

static struct scaling random_scaling(struct bench *bench) {
    static const int32_t zeros[2][4] = {{0, 255, 128, 77}, {-128, 127, 0, -31}};
    struct scaling s = {.scale = random_scale(bench, 1e-4, 10)};
    bool is_signed = test_random_below(&bench->seed, 2);
    s.dtype = is_signed ? MM_I8 : MM_U8;
    s.zero = zeros[is_signed][test_random_below(&bench->seed, 4)];
    return s;
}

/* The scale of a result is about what its sums need: with a much smaller one f32 itself is off by
 * more than a quantum. */
static void build_random(struct bench *bench, int depth) {
    struct scaling x = random_scaling(bench), w = random_scaling(bench), y = random_scaling(bench);
    y.scale = x.scale * w.scale * random_scale(bench, 0.5, 400) * sqrtf((float)depth);
    bool along = test_random_below(&bench->seed, 2);
    char shape[32], image[32];
    uint32_t kind = (uint32_t)test_random_below(&bench->seed, 3);
    snprintf(image, sizeof(image), kind == 0 ? "2 %d 3 3" : "4 %d", depth);
    snprintf(shape, sizeof(shape), kind == 0 ? "5 %d 1 1" : kind == 1 ? "%d 5" : "5 %d", depth);
    uint32_t a = input(bench, &x, image);
    uint32_t b = along ? weights_along(bench, &w, shape, kind == 1, 5) : weights(bench, &w, shape);
    uint32_t c = along ? ONNX_NO_VALUE : bias_of(bench, &x, &w, "5");
    uint32_t made = kind == 0   ? BENCH_NODE(bench, "Conv", "", a, b, c)
                    : kind == 1 ? BENCH_NODE(bench, "MatMul", "", a, b)
                                : BENCH_NODE(bench, "Gemm", "transB=1", a, b, c);
    bench_output(bench, quantize(bench, made, &y));
}

static void test_random_products(void **state) {
    (void)state;
    struct seen all = {0};
    for (uint64_t seed = first_seed; seed < first_seed + 300; seed++) {
        struct bench bench;
        bench_init(&bench, seed);
        build_random(&bench, 1 + (int)test_random_below(&bench.seed, 300));
        struct seen seen = apply(&bench);
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

/* Functions compute as before: every element is the same. */
static void test_random_functions(void **state) {
    (void)state;
    static const char *const types[] = {"Add", "Mul", "Sigmoid", "Softmax"};
    for (uint64_t seed = first_seed; seed < first_seed + 200; seed++) {
        struct bench bench;
        bench_init(&bench, seed);
        struct scaling x = random_scaling(&bench), z = random_scaling(&bench);
        struct scaling y = random_scaling(&bench);
        y.dtype = z.dtype = x.dtype;
        y.zero = z.zero = x.zero;
        uint32_t inputs[] = {input(&bench, &x, "3 40"), input(&bench, &z, "3 40")};
        uint32_t made = bench_node(&bench, types[seed % 4], "", inputs, seed % 4 < 2 ? 2 : 1);
        bench_output(&bench, quantize(&bench, made, &y));
        assert_int_equal(apply(&bench).different, 0);
        assert_int_equal(bench_count(bench.model.main, NULL), 1);
        bench_fini(&bench);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = input(&bench, &x_u8, "1 3 4 4");
        uint32_t w = weights(&bench, &w_i8, "5 3 1 1");
        uint32_t y = BENCH_NODE(&bench, "Conv", "", x, w, bias_of(&bench, &x_u8, &w_i8, "5"));
        bench_output(&bench, quantize(&bench, y, &y_u8));
        y = BENCH_NODE(&bench, "Add", "", x, x);
        bench_output(&bench, quantize(&bench, y, &y_u8));
        y = BENCH_NODE(&bench, "Pad", "", x, bench_ints(&bench, "1 0 0 2 0 0 0 0"));
        bench_output(&bench, quantize(&bench, y, &x_u8));
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
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_gemm_not),
        cmocka_unit_test(test_other_axis),
        cmocka_unit_test(test_other_bias),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_used_elsewhere),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_other_scales),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_without_zero_points),
        cmocka_unit_test(test_functions_not),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_max_indices),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_branch),
        cmocka_unit_test(test_random_products),
        cmocka_unit_test(test_random_functions),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
