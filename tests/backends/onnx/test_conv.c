/* SPDX-License-Identifier: Apache-2.0 */

/* Conv and ConvTranspose. Numbers from ONNX Runtime 1.31.1; random ones against sums written out.
 * Usage: test_conv [SEED] */

#include "one_node.h"

#include <backends/onnx/operators/conv.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

static int64_t between(int64_t min, int64_t max) {
    return min + (int64_t)test_random_below(&seed, (uint64_t)(max - min + 1));
}

/* ---- Written down */

#define ONES "1 1 1 1 1 1 1 1 1"

static void test_conv(void **state) {
    (void)state;
    one_expect("Conv", "pads=[1,1,1,1]", "f32[1,1,5,5] .. | f32[1,1,3,3] " ONES,
               "f32[1,1,5,5] 12 21 27 33 24 33 54 63 72 51 63 99 108 117 81 93 144 153 162 111 72 "
               "111 117 123 84");
    one_expect("Conv", "pads=[1,0,1,0] strides=[2,2] kernel_shape=[3,3]",
               "f32[1,1,7,5] .. | f32[1,1,3,3] " ONES, "f32[1,1,4,2] 21 33 99 117 189 207 171 183");
    one_expect("Conv", "auto_pad=SAME_LOWER strides=[2,2]", "f32[1,1,5,5] .. | f32[1,1,3,3] " ONES,
               "f32[1,1,3,3] 12 27 24 63 108 81 72 117 84");
    one_expect("Conv", "auto_pad=SAME_UPPER strides=[2,2]",
               "f32[1,1,5,5] .. | f32[1,1,2,2] 1 1 1 1", "f32[1,1,3,3] 12 20 13 52 60 33 41 45 24");
    one_expect("Conv", "auto_pad=SAME_LOWER strides=[2,2]",
               "f32[1,1,5,5] .. | f32[1,1,2,2] 1 1 1 1", "f32[1,1,3,3] 0 3 7 15 36 44 35 76 84");
    one_expect("Conv", "auto_pad=VALID strides=[2,2]", "f32[1,1,5,5] .. | f32[1,1,2,2] 1 1 1 1",
               "f32[1,1,2,2] 12 20 52 60");
    one_expect("Conv", "group=2 dilations=[2] strides=[2]",
               "f32[1,4,6] .. | f32[4,2,2] .. | f32[4] 1 -1 2 -2",
               "f32[1,4,2] 39 51 101 145 624 700 876 984");
    one_expect("Conv", "pads=[0,1,0,0,0,1]", "f64[2,2,2,2,2] .. | f64[1,2,1,2,2] ..",
               "f64[2,1,2,2,2] 114 56 228 108 186 88 340 156 402 184 676 300 474 216 788 348");
    /* 1 2 3 and 10 -20 as f16 and as bf16: -30 -40 */
    one_expect("Conv", "", "f16[1,1,3] 15360 16384 16896 | f16[1,1,2] 18688 52480",
               "f16[1,1,2] 53120 53504");
    one_expect("Conv", "", "bf16[1,1,3] 16256 16384 16448 | bf16[1,1,2] 16672 49568",
               "bf16[1,1,2] 49648 49696");
    one_expect("Conv", "", "f32[0,2,5] | f32[3,2,2] ..", "f32[0,3,4]");
    one_expect("Conv", "", "f32[1,0,3] | f32[2,0,2] | f32[2] 5 6", "f32[1,2,2] 5 5 6 6");
}

static void test_transpose(void **state) {
    (void)state;
    one_expect("ConvTranspose", "", "f32[1,1,3,3] .. | f32[1,1,3,3] " ONES,
               "f32[1,1,5,5] 0 1 3 3 2 3 8 15 12 7 9 21 36 27 15 9 20 33 24 13 6 13 21 15 8");
    one_expect("ConvTranspose", "", "f32[1,1,3] .. | f32[1,2,3] ..",
               "f32[1,2,5] 0 0 1 4 4 0 3 10 13 10");
    one_expect("ConvTranspose", "strides=[3,2] pads=[1,2,1,2]",
               "f32[1,1,3,3] .. | f32[1,1,3,3] " ONES,
               "f32[1,1,7,3] 1 1 3 1 1 3 7 4 9 7 4 9 7 4 9 13 7 15 13 7 15");
    const char *larger =
        "f32[1,1,10,8] 0 0 1 1 3 2 2 0 0 0 1 1 3 2 2 0 0 0 1 1 3 2 2 0 3 3 7 4 9 5 5 "
        "0 3 3 7 4 9 5 5 0 3 3 7 4 9 5 5 0 6 6 13 7 15 8 8 0 6 6 13 7 15 8 8 0 6 6 13 "
        "7 15 8 8 0 0 0 0 0 0 0 0 0";
    one_expect("ConvTranspose", "strides=[3,2] output_shape=[10,8]",
               "f32[1,1,3,3] .. | f32[1,1,3,3] " ONES, larger);
    one_expect("ConvTranspose", "strides=[3,2] output_padding=[1,1]",
               "f32[1,1,3,3] .. | f32[1,1,3,3] " ONES, larger);
    one_expect(
        "ConvTranspose", "auto_pad=SAME_UPPER strides=[2,2]",
        "f32[1,1,3,3] .. | f32[1,1,3,3] " ONES,
        "f32[1,1,6,6] 0 0 1 1 3 2 0 0 1 1 3 2 3 3 8 5 12 7 3 3 7 4 9 5 9 9 20 11 24 13 6 6 13 7 "
        "15 8");
    one_expect(
        "ConvTranspose", "auto_pad=SAME_LOWER strides=[2,2]",
        "f32[1,1,3,3] .. | f32[1,1,3,3] " ONES,
        "f32[1,1,6,6] 0 1 1 3 2 2 3 8 5 12 7 7 3 7 4 9 5 5 9 20 11 24 13 13 6 13 7 15 8 8 6 13 "
        "7 15 8 8");
    one_expect("ConvTranspose", "dilations=[2,2]", "f32[1,1,3,3] .. | f32[1,1,2,2] ..",
               "f32[1,1,5,5] 0 0 0 1 2 0 0 3 4 5 0 2 10 10 14 6 8 19 12 15 12 14 34 21 24");
    one_expect("ConvTranspose", "group=2 strides=[2]",
               "f64[1,4,2] .. | f64[4,2,2] .. | f64[4] 1 2 3 4",
               "f64[1,4,4] 9 11 13 17 14 16 22 26 107 117 127 139 128 138 152 164");
    one_expect("ConvTranspose", "strides=[2,2]", "f32[1,2,2,2] .. | f32[2,1,2,2] ..",
               "f32[1,1,4,4] 16 20 20 26 24 28 32 38 24 32 28 38 40 48 48 58");
    /* further apart than the kernel is wide: in times stride, as ONNX says; nothing in between */
    one_expect("ConvTranspose", "auto_pad=SAME_UPPER strides=[3]", "f32[1,1,2] 5 7 | f32[1,1,1] 1",
               "f32[1,1,6] 5 0 0 7 0 0");
    one_expect("ConvTranspose", "",
               "f16[1,1,2] 15360 16384 | f16[1,1,2] 18688 52480 | f16[1] 15360",
               "f16[1,1,3] 18816 15360 53472");
    one_expect("ConvTranspose", "", "f32[0,2,5] | f32[2,3,2] ..", "f32[0,3,6]");
}

static void test_activations(void **state) {
    (void)state;
    static const struct onnx_activation activations[] = {
        {.function = ONNX_F_Relu},
        {.function = ONNX_F_Clip, .a = -1, .b = 2},
        {.function = ONNX_F_HardSwish, .a = 1 / 6.0f, .b = 0.5f},
        {.function = ONNX_F_Sigmoid, .scale = 2, .shift = -1}};
    static const double wanted[][4] = {{0, 0, 1, 5},
                                       {-1, -1, 1, 2},
                                       {0, -1 / 3.0, 2 / 3.0, 5},
                                       {-0.995055, -0.761594, 0.462117, 0.986614}};
    const float x[] = {-6, -2, 1, 5}, w[] = {1};
    for (size_t i = 0; i < 8; i++) {
        struct one_node one;
        struct onnx_conv *conv;
        one_init(&one, i < 4 ? "Conv" : "ConvTranspose", "");
        conv = one.node.params;
        conv->activation = activations[i % 4];
        one_input(&one, MM_F32, 3, (const int64_t[]){1, 1, 4}, x);
        one_input(&one, MM_F32, 3, (const int64_t[]){1, 1, 1}, w);
        assert_int_equal(one_run(&one, 1), MM_OK);
        for (uint64_t j = 0; j < 4; j++) {
            assert_true(fabs(mmi_onnx_float_at(&one.outputs[0], j) - wanted[i % 4][j]) < 1e-6);
        }
        one_fini(&one);
    }
}

/* ---- Shapes of real models */

/* PP-OCRv4 det, rec and cls, ResNet50, Magika, Silero VAD. */
static const struct {
    const char *type, *attributes;
    uint32_t rank;
    int64_t x[4], w[4], y[4];
} real_shapes[] = {
    {"Conv",
     "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]",
     4,
     {1, 3, 640, 640},
     {16, 3, 3, 3},
     {1, 16, 320, 320}},
    {"Conv",
     "kernel_shape=[5,5] strides=[2,2] group=192 pads=[2,2,2,2]",
     4,
     {1, 192, 40, 40},
     {192, 1, 5, 5},
     {1, 192, 20, 20}},
    {"Conv",
     "kernel_shape=[3,3] strides=[1,2] group=128 pads=[1,1,1,1]",
     4,
     {1, 128, 12, 160},
     {128, 1, 3, 3},
     {1, 128, 12, 80}},
    {"Conv",
     "kernel_shape=[5,5] strides=[2,1] group=480 pads=[2,2,2,2]",
     4,
     {1, 480, 6, 80},
     {480, 1, 5, 5},
     {1, 480, 3, 80}},
    {"Conv",
     "kernel_shape=[1,3] strides=[1,1] pads=[0,1,0,1]",
     4,
     {1, 960, 1, 40},
     {60, 960, 1, 3},
     {1, 60, 1, 40}},
    {"Conv",
     "kernel_shape=[5,5] strides=[2,1] group=104 pads=[2,2,2,2]",
     4,
     {1, 104, 3, 96},
     {104, 1, 5, 5},
     {1, 104, 2, 96}},
    {"Conv",
     "kernel_shape=[7,7] strides=[2,2] pads=[3,3,3,3]",
     4,
     {1, 3, 224, 224},
     {64, 3, 7, 7},
     {1, 64, 112, 112}},
    {"Conv",
     "kernel_shape=[5,1] strides=[1,1] dilations=[1,1]",
     4,
     {1, 256, 512, 1},
     {512, 256, 5, 1},
     {1, 512, 508, 1}},
    {"Conv",
     "kernel_shape=[256] strides=[128] pads=[0,0]",
     3,
     {1, 1, 640},
     {258, 1, 256},
     {1, 258, 4}},
    {"Conv", "kernel_shape=[3] strides=[2] pads=[1,1]", 3, {32, 64, 2}, {64, 64, 3}, {32, 64, 1}},
    {"ConvTranspose",
     "kernel_shape=[2,2] strides=[2,2] pads=[0,0,0,0]",
     4,
     {1, 24, 320, 320},
     {24, 1, 2, 2},
     {1, 1, 640, 640}},
};

static void test_real_shapes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(real_shapes) / sizeof(real_shapes[0]); i++) {
        struct one_node one;
        one_init(&one, real_shapes[i].type, real_shapes[i].attributes);
        const struct onnx_attributes attributes = {.node = &one.node, .opset = 12};
        assert_int_equal(one.op->read(&attributes, one.node.params, NULL), MM_OK);
        struct onnx_tensor inputs[2], output;
        struct onnx_inference x = {.params = one.node.params,
                                   .input_count = 2,
                                   .output_count = 1,
                                   .inputs = inputs,
                                   .outputs = &output};
        mmi_onnx_tensor_set(&inputs[0], MM_F32, real_shapes[i].rank, real_shapes[i].x, NULL);
        mmi_onnx_tensor_set(&inputs[1], MM_F32, real_shapes[i].rank, real_shapes[i].w, NULL);
        assert_int_equal(mmi_onnx_infer(one.op, &x, NULL), MM_OK);
        assert_int_equal(output.rank, real_shapes[i].rank);
        assert_memory_equal(output.shape, real_shapes[i].y, real_shapes[i].rank * sizeof(int64_t));
        one_fini(&one);
    }
}

/* ---- Against sums written out */

struct trial {
    bool transposed;
    int32_t dtype;
    uint32_t axes;
    int64_t images, groups, in, out; /* channels of a group of the input; of the output */
    /* Of the side with the larger images, which a window slides over; of the other side. */
    int64_t large[3], small[3];
    int64_t kernel[3], stride[3], dilation[3], begin[3], end[3];
};

/* The offset in the larger plane that tap `tap` of place `at` of the smaller one is at; -1: in the
 * padding. */
static int64_t tap_at(const struct trial *t, int64_t at, int64_t tap) {
    int64_t offset = 0, step = 1;
    for (uint32_t i = t->axes; i-- > 0;) {
        int64_t place =
            at % t->small[i] * t->stride[i] - t->begin[i] + tap % t->kernel[i] * t->dilation[i];
        if (place < 0 || place >= t->large[i]) {
            return -1;
        }
        offset += place * step;
        step *= t->large[i];
        at /= t->small[i];
        tap /= t->kernel[i];
    }
    return offset;
}

static int64_t product(uint32_t count, const int64_t *numbers) {
    int64_t all = 1;
    for (uint32_t i = 0; i < count; i++) {
        all *= numbers[i];
    }
    return all;
}

/* y += what goes through one weight. */
static void add_weight(const struct trial *t, const double *x, double w, int64_t tap, double *y) {
    for (int64_t at = 0; at < product(t->axes, t->small); at++) {
        int64_t offset = tap_at(t, at, tap);
        if (offset >= 0 && t->transposed) {
            y[offset] += w * x[at];
        } else if (offset >= 0) {
            y[at] += w * x[offset];
        }
    }
}

static void naive(const struct trial *t, const double *x, const double *w, const double *bias,
                  double *y) {
    int64_t taps = product(t->axes, t->kernel);
    int64_t seen = product(t->axes, t->transposed ? t->small : t->large);
    int64_t made = product(t->axes, t->transposed ? t->large : t->small);
    for (int64_t i = 0; i < t->images * t->groups * t->out; i++) {
        int64_t channel = i % (t->groups * t->out), group = channel / t->out;
        int64_t image = i / (t->groups * t->out);
        for (int64_t at = 0; at < made; at++) {
            y[i * made + at] = bias[channel];
        }
        for (int64_t k = 0; k < t->in * taps; k++) {
            int64_t from = group * t->in + k / taps;
            int64_t row =
                t->transposed ? from * t->out + channel % t->out : channel * t->in + k / taps;
            add_weight(t, x + (image * t->groups * t->in + from) * seen, w[row * taps + k % taps],
                       k % taps, y + i * made);
        }
    }
}

static void choose(struct trial *t) {
    static const int32_t dtypes[] = {MM_F32, MM_F32, MM_F32, MM_F64, MM_F16, MM_BF16};
    *t = (struct trial){.transposed = between(0, 1) == 1,
                        .dtype = dtypes[between(0, 5)],
                        .axes = (uint32_t)between(1, 3),
                        .images = between(1, 2),
                        .groups = between(1, 3),
                        .in = between(1, 4),
                        .out = between(1, 5)};
    for (uint32_t i = 0; i < t->axes; i++) {
        t->kernel[i] = between(1, t->axes == 1 ? 9 : 3);
        t->stride[i] = between(1, 3);
        t->dilation[i] = between(1, 2);
        t->begin[i] = between(0, 2);
        t->end[i] = between(0, 2);
        int64_t span = (t->kernel[i] - 1) * t->dilation[i] + 1;
        t->small[i] = between(1, t->axes == 1 ? 40 : 7);
        t->large[i] = (t->small[i] - 1) * t->stride[i] + span - t->begin[i] - t->end[i];
        while (t->large[i] < 1) {
            t->large[i] += t->stride[i];
            t->small[i]++;
        }
    }
}

static void write_attributes(const struct trial *t, char *text, size_t room) {
    const struct {
        const char *name;
        const int64_t *a, *b;
    } lists[] = {
        {"strides", t->stride, NULL}, {"dilations", t->dilation, NULL}, {"pads", t->begin, t->end}};
    int used = snprintf(text, room, "group=%d", (int)t->groups);
    for (size_t l = 0; l < 3; l++) {
        used += snprintf(text + used, room - (size_t)used, " %s=", lists[l].name);
        for (uint32_t i = 0; i < t->axes * (lists[l].b ? 2 : 1); i++) {
            int64_t number = i < t->axes ? lists[l].a[i] : lists[l].b[i - t->axes];
            used +=
                snprintf(text + used, room - (size_t)used, "%c%d", i == 0 ? '[' : ',', (int)number);
        }
        used += snprintf(text + used, room - (size_t)used, "]");
    }
}

static void run_trial(const struct trial *t) {
    struct one_node one;
    char attributes[160];
    int64_t x[MM_MAX_RANK] = {t->images, t->groups * t->in};
    int64_t w[MM_MAX_RANK] = {t->transposed ? t->groups * t->in : t->groups * t->out,
                              t->transposed ? t->out : t->in};
    int64_t y[MM_MAX_RANK] = {t->images, t->groups * t->out};
    memcpy(x + 2, t->transposed ? t->small : t->large, sizeof(t->small));
    memcpy(y + 2, t->transposed ? t->large : t->small, sizeof(t->small));
    memcpy(w + 2, t->kernel, sizeof(t->kernel));
    write_attributes(t, attributes, sizeof(attributes));
    one_init(&one, t->transposed ? "ConvTranspose" : "Conv", attributes);
    const double *image = one_numbers(&one, t->dtype, t->axes + 2, x, &seed);
    const double *weights = one_numbers(&one, t->dtype, t->axes + 2, w, &seed);
    const double *bias = one_numbers(&one, t->dtype, 1, &y[1], &seed);
    double *wanted =
        mmi_onnx_take(&one.bench.arena, (uint64_t)product(t->axes + 2, y), sizeof(*wanted));
    assert_non_null(wanted);
    naive(t, image, weights, bias, wanted);
    if (one_run(&one, 1) != MM_OK) {
        fail_msg("%s: %s", attributes, one.bench.err.text);
    }
    assert_int_equal(one.outputs[0].rank, t->axes + 2);
    assert_memory_equal(one.outputs[0].shape, y, (t->axes + 2) * sizeof(*y));
    for (uint64_t i = 0; i < one.outputs[0].elements; i++) {
        double got = mmi_onnx_float_at(&one.outputs[0], i);
        if (got != wanted[i]) {
            fail_msg("%s %s %s: element %d is %g, not %g", one.op->name, mm_dtype_text(t->dtype),
                     attributes, (int)i, got, wanted[i]);
        }
    }
    one_fini(&one);
}

static void test_random_layers(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        struct trial trial;
        choose(&trial);
        run_trial(&trial);
    }
}

/* Layers of real models: a dense one in parts of 16 results, one for each channel, one of many
 * taps, one of many groups of a transposed one. */
static void test_real_layers(void **state) {
    (void)state;
    static const struct trial trials[] = {
        {.dtype = MM_F32,
         .axes = 2,
         .images = 1,
         .groups = 1,
         .in = 96,
         .out = 24,
         .large = {20, 20},
         .small = {20, 20},
         .kernel = {3, 3},
         .stride = {1, 1},
         .dilation = {1, 1},
         .begin = {1, 1},
         .end = {1, 1}},
        {.dtype = MM_F32,
         .axes = 2,
         .images = 1,
         .groups = 480,
         .in = 1,
         .out = 1,
         .large = {6, 80},
         .small = {3, 80},
         .kernel = {5, 5},
         .stride = {2, 1},
         .dilation = {1, 1},
         .begin = {2, 2},
         .end = {2, 2}},
        {.dtype = MM_F32,
         .axes = 1,
         .images = 1,
         .groups = 1,
         .in = 1,
         .out = 258,
         .large = {640},
         .small = {4},
         .kernel = {256},
         .stride = {128},
         .dilation = {1}},
        {.transposed = true,
         .dtype = MM_F32,
         .axes = 2,
         .images = 1,
         .groups = 1,
         .in = 24,
         .out = 24,
         .large = {80, 80},
         .small = {40, 40},
         .kernel = {2, 2},
         .stride = {2, 2},
         .dilation = {1, 1}},
    };
    for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        run_trial(&trials[i]);
    }
}

/* ---- Bad input */

static void test_refusals(void **state) {
    (void)state;
    one_refuse("Conv", "group=0", "f32[1,1,3] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "attribute group is 0, 1 or more wanted");
    one_refuse("Conv", "", "i32[1,1,3] .. | i32[1,1,2] ..", MM_UNSUPPORTED,
               "its input 0 is i32, one of f32 f16 f64 bf16 wanted");
    one_refuse("Conv", "", "f32[1,1,3] .. | f64[1,1,2] ..", MM_INVALID_MODEL,
               "its input 1 is f64, its input 0 f32");
    one_refuse("Conv", "", "f32[1,1,3] .. | f32[1,1,2,2] ..", MM_INVALID_MODEL,
               "its input has 3 axes, its weights 4");
    one_refuse("Conv", "", "f32[1,3] .. | f32[1,1] ..", MM_INVALID_MODEL,
               "its input has 2 axes, its weights 2; 3 or more");
    one_refuse("Conv", "", "f32[1,2,3] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "its input has 2 channels in 1 groups, its weights want 1 in each");
    one_refuse("Conv", "group=2", "f32[1,2,3] .. | f32[3,1,2] ..", MM_INVALID_MODEL,
               "3 of its weights are not to be parted in 2 groups");
    one_refuse("Conv", "", "f32[1,1,3] .. | f32[2,1,2] .. | f32[3] ..", MM_INVALID_MODEL,
               "its bias has 1 axes and 3 elements; one with 2 wanted");
    one_refuse("Conv", "", "f32[1,1,3] .. | f32[1,1,4] ..", MM_INVALID_MODEL,
               "its window spans 4 elements, axis 2 of its input has 3");
    one_refuse("Conv", "", "f32[1,1,3] ..", MM_INVALID_MODEL, "1 inputs, 2 to 3 wanted");
    one_refuse("ConvTranspose", "", "f32[1,2,3] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "its input has 2 channels, its weights want 1");
    one_refuse("ConvTranspose", "pads=[2,2]", "f32[1,1,3] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "axis 2 of its input has 3 elements, its result would have 0");
    one_refuse("ConvTranspose", "", "f32[1,1,0] | f32[1,1,2] ..", MM_INVALID_MODEL,
               "axis 2 of its input has 0 elements");
    one_refuse("ConvTranspose", "output_padding=[-1]", "f32[1,1,3] .. | f32[1,1,2] ..",
               MM_INVALID_MODEL, "attribute output_padding[0] is -1");
    one_refuse("ConvTranspose", "output_shape=[1,2]", "f32[1,1,3] .. | f32[1,1,2] ..",
               MM_INVALID_MODEL, "its attributes are for 2 axes, its input has 1");
    one_refuse("ConvTranspose", "", "f32[1,2,3] .. | f32[2,1,2] .. | f32[2] ..", MM_INVALID_MODEL,
               "its bias has 1 axes and 2 elements; one with 1 wanted");
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct one_node one;
        one_init(&one, i == 0 ? "Conv" : "ConvTranspose", "");
        one_input(&one, MM_F16, 3, (const int64_t[]){1, 2, 700}, NULL);
        one_input(&one, MM_F16, 3, (const int64_t[]){2, 2, 3}, NULL);
        one_run_out_of_memory(&one, 1);
        one_fini(&one);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),          cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_activations),   cmocka_unit_test(test_real_shapes),
        cmocka_unit_test(test_random_layers), cmocka_unit_test(test_real_layers),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
