/* SPDX-License-Identifier: Apache-2.0 */

/* MatMulInteger, QLinearMatMul, ConvInteger, QLinearConv: against sums in int64. */

#include "one_node.h"

#include <backends/onnx/operators/number.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* An input of random bytes. */
static const struct onnx_tensor *random_input(struct one_node *one, int32_t dtype, uint32_t rank,
                                              const int64_t *shape, uint64_t *seed) {
    struct onnx_tensor *tensor = one_input(one, dtype, rank, shape, NULL);
    uint8_t *bytes = (uint8_t *)(uintptr_t)tensor->data;
    for (uint64_t i = 0; i < tensor->bytes; i++) { /* the ends of the range often */
        uint64_t odd = test_random_below(seed, 4);
        bytes[i] = (uint8_t)(odd == 0 ? 0x80 : odd == 1 ? 0x7f : test_random_below(seed, 256));
    }
    return tensor;
}

static int64_t zero_at(const struct onnx_tensor *zero, uint64_t i) {
    return mmi_onnx_int_at(zero, zero->elements == 1 ? 0 : i);
}

static int32_t any_byte(uint64_t *seed) {
    return test_random_below(seed, 2) ? MM_U8 : MM_I8;
}

/* What a sum becomes by scales that are powers of two, exactly. */
static int64_t quantized(int64_t sum, double factor, int64_t zero, int32_t dtype) {
    double value = rint((double)sum * factor) + (double)zero;
    double min = dtype == MM_I8 ? -128 : 0, max = dtype == MM_I8 ? 127 : 255;
    return (int64_t)fmin(fmax(value, min), max);
}

/* ---- Matrices -------------------------------------------------------------------------------- */

static void check_matmul(uint64_t *seed, bool linear) {
    int64_t m = (int64_t)test_random_below(seed, 150) + 1,
            n = (int64_t)test_random_below(seed, 40) + 1;
    int64_t k = (int64_t)test_random_below(seed, 300),
            stack = (int64_t)test_random_below(seed, 3) + 1;
    bool shared = test_random_below(seed, 2), rows = test_random_below(seed, 2);
    bool columns = test_random_below(seed, 2);
    int32_t a_type = any_byte(seed), b_type = any_byte(seed), y_type = any_byte(seed);
    const int64_t a_shape[] = {stack, m, k}, b_shape[] = {stack, k, n};
    const float scales[] = {0.25f, 0.125f, 64};
    struct one_node one;
    one_init(&one, linear ? "QLinearMatMul" : "MatMulInteger", "");
    const struct onnx_tensor *a = random_input(&one, a_type, 3, a_shape, seed);
    if (linear) {
        one_input(&one, MM_F32, 0, NULL, &scales[0]);
        random_input(&one, a_type, rows, &m, seed);
    }
    const struct onnx_tensor *b =
        random_input(&one, b_type, shared ? 2 : 3, shared ? b_shape + 1 : b_shape, seed);
    if (linear) {
        one_input(&one, MM_F32, 0, NULL, &scales[1]);
    } else {
        random_input(&one, a_type, rows, &m, seed);
    }
    random_input(&one, b_type, columns, &n, seed);
    const struct onnx_tensor *a_zero = &one.inputs[2], *b_zero = &one.inputs[linear ? 5 : 3];
    if (linear) {
        one_input(&one, MM_F32, 0, NULL, &scales[2]);
        random_input(&one, y_type, 0, NULL, seed);
    }
    if (one_run(&one, 1) != MM_OK) {
        fail_msg("%s", one.bench.err.text);
    }
    for (int64_t i = 0; i < stack * m * n; i++) {
        int64_t row = i / n % m, column = i % n, matrix = i / n / m, sum = 0;
        for (int64_t l = 0; l < k; l++) {
            int64_t left = mmi_onnx_int_at(a, (uint64_t)((matrix * m + row) * k + l));
            int64_t at = ((shared ? 0 : matrix) * k + l) * n + column;
            sum += (left - zero_at(a_zero, (uint64_t)row)) *
                   (mmi_onnx_int_at(b, (uint64_t)at) - zero_at(b_zero, (uint64_t)column));
        }
        if (linear) {
            sum = quantized(sum, 1.0 / 2048, zero_at(&one.inputs[7], 0), y_type);
        }
        assert_int_equal(mmi_onnx_int_at(&one.outputs[0], (uint64_t)i), sum);
    }
    one_fini(&one);
}

static void test_matmul(void **state) {
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < 60; i++) {
        check_matmul(&seed, i & 1);
    }
}

/* ---- Convolutions ---------------------------------------------------------------------------- */

struct sizes {
    int64_t images, groups, channels, made, in[2], kernel[2], out[2];
    int64_t stride, dilation, pad;
    bool each; /* a zero point for each channel */
};

static struct sizes any_sizes(uint64_t *seed) {
    struct sizes s = {.images = (int64_t)test_random_below(seed, 2) + 1,
                      .groups = (int64_t)test_random_below(seed, 3) + 1,
                      .channels = (int64_t)test_random_below(seed, 5) + 1,
                      .made = (int64_t)test_random_below(seed, 70) + 1,
                      .stride = (int64_t)test_random_below(seed, 2) + 1,
                      .dilation = (int64_t)test_random_below(seed, 2) + 1,
                      .pad = (int64_t)test_random_below(seed, 3),
                      .each = test_random_below(seed, 2)};
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = (int64_t)test_random_below(seed, 3) + 1;
        s.in[i] = (int64_t)test_random_below(seed, 9) + 5;
        s.out[i] = (s.in[i] + 2 * s.pad - (s.kernel[i] - 1) * s.dilation - 1) / s.stride + 1;
    }
    return s;
}

/* One result, the sum of what its window sees. */
static int64_t sum_of(const struct sizes *s, const struct onnx_tensor *image,
                      const struct onnx_tensor *weights, const struct onnx_tensor *zeros[2],
                      const int64_t at[4]) {
    int64_t sum = 0, group = at[1] / s->made;
    for (int64_t i = 0; i < s->channels * s->kernel[0] * s->kernel[1]; i++) {
        int64_t channel = i / s->kernel[1] / s->kernel[0];
        int64_t y = at[2] * s->stride - s->pad + i / s->kernel[1] % s->kernel[0] * s->dilation;
        int64_t x = at[3] * s->stride - s->pad + i % s->kernel[1] * s->dilation;
        if (y < 0 || x < 0 || y >= s->in[0] || x >= s->in[1]) {
            continue;
        }
        int64_t plane = (at[0] * s->groups + group) * s->channels + channel;
        int64_t seen = mmi_onnx_int_at(image, (uint64_t)((plane * s->in[0] + y) * s->in[1] + x));
        int64_t weight = mmi_onnx_int_at(
            weights, (uint64_t)(at[1] * s->channels * s->kernel[0] * s->kernel[1] + i));
        sum += (seen - zero_at(zeros[0], 0)) * (weight - zero_at(zeros[1], (uint64_t)at[1]));
    }
    return sum;
}

static void check_conv(uint64_t *seed, bool linear) {
    const struct sizes s = any_sizes(seed);
    const int64_t channels = s.groups * s.made;
    const int64_t image_shape[] = {s.images, s.groups * s.channels, s.in[0], s.in[1]};
    const int64_t weights_shape[] = {channels, s.channels, s.kernel[0], s.kernel[1]};
    const float scales[] = {0.5f, 0.25f, 16};
    int32_t image_type = any_byte(seed), weights_type = any_byte(seed), y_type = any_byte(seed);
    char attributes[128];
    int pad = (int)s.pad, stride = (int)s.stride, dilation = (int)s.dilation;
    snprintf(attributes, sizeof(attributes),
             "group=%d pads=[%d,%d,%d,%d] strides=[%d,%d] dilations=[%d,%d]", (int)s.groups, pad,
             pad, pad, pad, stride, stride, dilation, dilation);
    struct one_node one;
    one_init(&one, linear ? "QLinearConv" : "ConvInteger", attributes);
    const struct onnx_tensor *image = random_input(&one, image_type, 4, image_shape, seed);
    if (linear) {
        one_input(&one, MM_F32, 0, NULL, &scales[0]);
        random_input(&one, image_type, 0, NULL, seed);
    }
    const struct onnx_tensor *weights = random_input(&one, weights_type, 4, weights_shape, seed);
    if (linear) {
        one_input(&one, MM_F32, 0, NULL, &scales[1]);
    } else {
        random_input(&one, image_type, 0, NULL, seed);
    }
    random_input(&one, weights_type, s.each, &channels, seed);
    const struct onnx_tensor *zeros[] = {&one.inputs[2], &one.inputs[linear ? 5 : 3]};
    if (linear) {
        one_input(&one, MM_F32, 0, NULL, &scales[2]);
        random_input(&one, y_type, 0, NULL, seed);
        one_input(&one, MM_I32, 1, &channels, NULL); /* 1, 2, 3 ... */
    }
    if (one_run(&one, 1) != MM_OK) {
        fail_msg("%s %s", attributes, one.bench.err.text);
    }
    for (int64_t i = 0; i < s.images * channels * s.out[0] * s.out[1]; i++) {
        int64_t plane = i / s.out[1] / s.out[0];
        const int64_t at[] = {plane / channels, plane % channels, i / s.out[1] % s.out[0],
                              i % s.out[1]};
        int64_t sum = sum_of(&s, image, weights, zeros, at);
        if (linear) {
            sum = quantized(sum + at[1] + 1, 1.0 / 128, zero_at(&one.inputs[7], 0), y_type);
        }
        assert_int_equal(mmi_onnx_int_at(&one.outputs[0], (uint64_t)i), sum);
    }
    one_fini(&one);
}

static void test_conv(void **state) {
    uint64_t seed = 6;
    (void)state;
    for (int i = 0; i < 80; i++) {
        check_conv(&seed, i & 1);
    }
}

/* ---- By hand --------------------------------------------------------------------------------- */

static void test_cases(void **state) {
    (void)state;
    one_expect("MatMulInteger", "", "u8[1,2] 255 255 | i8[2,1] -128 -128", "i32[1,1] -65280");
    one_expect("MatMulInteger", "", "u8[2] 3 4 | u8[2] 5 6 | u8[] 1", "i32[] 28");
    one_expect("MatMulInteger", "", "u8[2,1] 3 4 | u8[1,2] 5 6 | - | u8[1,2] 5 4",
               "i32[2,2] 0 6 0 8");
    one_expect("MatMulInteger", "", "u8[2,0] | u8[0,2]", "i32[2,2] 0 0 0 0");
    one_expect("QLinearMatMul", "",
               "f8e4m3fn[1,2] 56 64 | f32[] 2 | f8e4m3fn[] 0 | f8e4m3fn[2,1] 64 56 | f32[] 1 | "
               "f8e4m3fn[] 0 | f32[] 1 | f8e4m3fn[] 0",
               "f8e4m3fn[1,1] 80");
    one_expect("ConvInteger", "", "u8[1,1,2] 5 6 | u8[1,1,2] 2 3 | u8[] 5", "i32[1,1,1] 3");
    one_expect("ConvInteger", "pads=[1,0]", "u8[1,1,2] 5 6 | u8[1,1,2] 2 3 | u8[] 5",
               "i32[1,1,2] 0 3");
}

/* Only sums of more than 32 bits wrap around. */
static void test_wrapping(void **state) {
    enum { DEPTH = 40000 };
    static uint8_t ones[DEPTH];
    struct one_node one;
    (void)state;
    memset(ones, 0xff, sizeof(ones));
    one_init(&one, "MatMulInteger", "");
    one_input(&one, MM_U8, 2, (const int64_t[]){1, DEPTH}, ones);
    one_input(&one, MM_U8, 2, (const int64_t[]){DEPTH, 1}, ones);
    assert_int_equal(one_run(&one, 1), MM_OK);
    uint32_t wanted = DEPTH * 255u * 255u;
    assert_memory_equal(one.outputs[0].data, &wanted, sizeof(wanted));
    one_fini(&one);
}

static void test_bad(void **state) {
    (void)state;
    one_refuse("MatMulInteger", "", "u8[2,3] .. | u8[2,3] ..", MM_INVALID_MODEL, "3 columns");
    one_refuse("MatMulInteger", "", "u8[2,2] .. | u8[2,3] .. | i8[] 1", MM_INVALID_MODEL,
               "its input 2 is i8, its input 0 u8");
    one_refuse("MatMulInteger", "", "u8[2,2] .. | u8[2,3] .. | u8[3] ..", MM_INVALID_MODEL,
               "for the rows wanted");
    one_refuse("MatMulInteger", "", "u8[2,2] .. | u8[2,3] .. | - | u8[3,1] ..", MM_INVALID_MODEL,
               "for the columns wanted");
    one_refuse("MatMulInteger", "", "f32[2,2] .. | u8[2,3] ..", MM_UNSUPPORTED, "is f32");
    one_refuse("QLinearMatMul", "",
               "u8[1,1] 1 | f32[] 1 | u8[] 0 | u8[1,1] 1 | f32[] 1 | u8[] 0 | f32[2] 1 1 | u8[] 0",
               MM_UNSUPPORTED, "its input 6 has 2 elements");
    one_refuse("ConvInteger", "", "u8[1,2,3] .. | u8[1,1,1] ..", MM_INVALID_MODEL, "2 channels");
    one_refuse("ConvInteger", "", "u8[1,2] .. | u8[1,2] ..", MM_INVALID_MODEL, "3 or more");
    one_refuse("ConvInteger", "", "u8[1,1,3] .. | u8[1,1,1] .. | u8[2] 1 1", MM_INVALID_MODEL,
               "its input 2 has 1 axes and 2 elements");
    one_refuse("QLinearConv", "",
               "u8[1,1,3] .. | f32[] 1 | u8[] 0 | u8[1,1,1] 1 | f32[] 1 | u8[] 0 | f32[] 1 | u8[] "
               "0 | i32[2] 1 1",
               MM_INVALID_MODEL, "its bias has 1 axes and 2 elements");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),   cmocka_unit_test(test_conv), cmocka_unit_test(test_cases),
        cmocka_unit_test(test_wrapping), cmocka_unit_test(test_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
