/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels for images whose channels are the last axis against the plain ones. */
#include "cpu_compare.h"
#include "cpu_tables.h"

#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/operators/matmul.h>

#include <math.h>
#include <string.h>

#define MOST_PRODUCTS 1500000 /* of a random convolution: the plain kernel is slow */
#define GEMM_ERROR 4e-6       /* of the sum of |x| |w| */
/* Results of Winograd's algorithm are made of all that their tile sees, so this is a part of what a
 * whole window sums up at random, |x| |w| = 1 / 4 for each product, or of the result. */
#define WINOGRAD_ERROR 5e-6

static uint64_t seed;

struct shape {
    uint32_t axes;
    int64_t images, channels, made, group;
    int64_t in[2];
    struct onnx_window window;
};

static int64_t any_of(struct comparison *c, const int64_t *numbers, size_t count) {
    return numbers[compare_below(c, (int64_t)count)];
}
#define ANY_OF(c, ...)                                                                             \
    any_of(c, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8)

static int64_t any_channels(struct comparison *c) {
    return compare_below(c, 3) > 0 ? ANY_OF(c, 1, 3, 7, 8, 15, 16, 17, 24, 32, 33)
                                   : 1 + compare_below(c, 70);
}

static int64_t any_side(struct comparison *c) {
    int64_t kind = compare_below(c, 4);
    return 1 + (kind == 0 ? 0 : compare_below(c, kind == 3 ? 40 : 9));
}

/* What a window on this axis spans. */
static int64_t span(const struct onnx_window *window, uint32_t i) {
    return (window->kernel[i] - 1) * window->dilations[i] + 1;
}

static void any_window(struct comparison *c, struct shape *s) {
    s->window = (struct onnx_window){.axes = s->axes};
    s->window.auto_pad = compare_below(c, 5) == 0 ? (int32_t)(1 + compare_below(c, 3)) : 0;
    for (uint32_t i = 0; i < s->axes; i++) {
        struct onnx_window *w = &s->window;
        do {
            w->kernel[i] = compare_below(c, 2) ? ANY_OF(c, 1, 3, 3, 5) : 1 + compare_below(c, 7);
            w->strides[i] = compare_below(c, 2) ? 1 : 1 + compare_below(c, 4);
            w->dilations[i] = compare_below(c, 3) ? 1 : 1 + compare_below(c, 3);
            w->begin[i] = w->auto_pad ? 0 : compare_below(c, 4);
            w->end[i] = w->auto_pad ? 0 : compare_below(c, 4);
        } while (s->in[i] + w->begin[i] + w->end[i] < span(w, i));
    }
}

static struct shape any_shape(struct comparison *c) {
    struct shape s = {.axes = 1 + (uint32_t)(compare_below(c, 4) > 0),
                      .images = 1 + compare_below(c, 3),
                      .channels = any_channels(c),
                      .made = any_channels(c),
                      .group = 1};
    for (uint32_t i = 0; i < s.axes; i++) {
        s.in[i] = any_side(c);
    }
    if (compare_below(c, 8) == 0) { /* columns in blocks */
        s.in[s.axes - 1] = 193 + compare_below(c, 300);
        s.in[0] = s.axes == 1 ? s.in[0] : 1 + compare_below(c, 3);
    }
    any_window(c, &s);
    return s;
}

/* Results of an axis. */
static int64_t results(const struct shape *s, uint32_t i) {
    const struct onnx_window *w = &s->window;
    if (w->auto_pad == ONNX_PAD_SAME_UPPER || w->auto_pad == ONNX_PAD_SAME_LOWER) {
        return (s->in[i] + w->strides[i] - 1) / w->strides[i];
    }
    return (s->in[i] + w->begin[i] + w->end[i] - span(w, i)) / w->strides[i] + 1;
}

static int64_t taps_of(const struct shape *s) {
    return s->window.kernel[0] * (s->axes == 2 ? s->window.kernel[1] : 1);
}

static bool is_small(const struct shape *s) {
    int64_t pixels = s->images;
    for (uint32_t i = 0; i < s->axes; i++) {
        pixels *= results(s, i);
    }
    return pixels * s->made * taps_of(s) * (s->channels / s->group) < MOST_PRODUCTS;
}

static float *add_image(struct comparison *c, const struct shape *s) {
    int64_t shape[4] = {s->images, s->in[0], s->in[1], s->channels};
    shape[s->axes + 1] = s->channels;
    return compare_input(c, s->axes + 2, shape, -1, 1);
}

/* [depth, made] as panels; what a last panel has too much is 0. */
static void add_panels(struct comparison *c, int64_t depth, int64_t made) {
    int64_t floats = (int64_t)mmi_onnx_panel_bytes((uint64_t)depth, (uint64_t)made) / 4;
    float *panels = COMPARE_INPUT(c, floats);
    struct onnx_tensor *weights = &c->inputs[c->input_count - 1];
    *weights = (struct onnx_tensor){0};
    assert_int_equal(mmi_onnx_tensor_set(weights, MM_F32, 2, (const int64_t[]){depth, made}, NULL),
                     MM_OK);
    weights->layout = ONNX_PANELS;
    weights->bytes = (uint64_t)floats * sizeof(float);
    weights->data = panels;
    for (int64_t i = 0; i < floats; i++) {
        int64_t column = i / (depth * ONNX_NR) * ONNX_NR + i % ONNX_NR;
        panels[i] = column < made ? panels[i] : 0;
    }
}

static void any_bias(struct comparison *c, int64_t made) {
    if (compare_below(c, 3) > 0) {
        COMPARE_INPUT(c, made);
    } else {
        compare_no_input(c);
    }
}

static struct onnx_activation any_activation(struct comparison *c) {
    static const struct onnx_activation some[] = {
        {.function = ONNX_F_NONE},
        {.function = ONNX_F_Relu},
        {.function = ONNX_F_Clip, .a = -0.3F, .b = 0.4F},
        {.function = ONNX_F_Clip, .a = 0.4F, .b = -0.3F},
        {.function = ONNX_F_Relu, .scale = -0.5F, .shift = 1},
        {.function = ONNX_F_HardSwish, .a = 1.0F / 6, .b = 0.5F},
        {.function = ONNX_F_Swish, .a = 1, .scale = 0.5F, .shift = 0.25F},
        {.function = ONNX_F_Tanh}};
    return some[compare_below(c, sizeof(some) / sizeof(some[0]))];
}

/* What is added: as large as the result, a pixel, or what else can be broadcast with it. */
static void any_addend(struct comparison *c, const struct shape *s) {
    int64_t shape[4] = {s->images, results(s, 0), 0, s->made};
    shape[s->axes + 1] = s->made;
    if (s->axes == 2) {
        shape[2] = results(s, 1);
    }
    int64_t kind = compare_below(c, 6);
    for (uint32_t i = 0; i <= s->axes; i++) {
        bool pixel = kind == 1 || (kind == 2 && i > 0);
        bool grows = kind == 3 && shape[i] == 1 && compare_below(c, 2);
        shape[i] = pixel || (kind == 4 && compare_below(c, 2)) ? 1 : grows ? 3 : shape[i];
    }
    uint32_t fewer = kind == 5 ? (uint32_t)compare_below(c, s->axes + 1) : 0;
    compare_input(c, s->axes + 2 - fewer, shape + fewer, -1, 1);
}

static struct onnx_conv conv_of(const struct shape *s) {
    return (struct onnx_conv){.window = s->window, .group = s->group};
}

static bool is_winograd(const struct shape *s) {
    const struct onnx_window *w = &s->window;
    bool is = s->axes == 2 && s->group == 1 && s->channels >= 16 && s->made >= 16;
    for (uint32_t i = 0; i < 2; i++) {
        is &= w->kernel[i] == 3 && w->strides[i] == 1 && w->dilations[i] == 1;
    }
    return is;
}

/* adds: 0: nothing, 1: perhaps, 2: what any_addend draws. */
static bool check_conv(struct comparison *c, const struct shape *s, struct onnx_activation how,
                       int adds) {
    struct onnx_conv sizes = conv_of(s), params = sizes;
    params.activation = how;
    compare_start(c, &mmi_onnx_op_ChannelsLastConv, &params);
    c->size_params = is_winograd(s) ? NULL : &sizes;
    c->tolerance = is_winograd(s) ? WINOGRAD_ERROR : GEMM_ERROR;
    c->floor = 9 * 0.25 * (double)s->channels;
    add_image(c, s);
    if (s->group > 1 && s->group == s->channels && s->made == s->channels) {
        COMPARE_INPUT(c, taps_of(s), s->made);
    } else {
        add_panels(c, taps_of(s) * (s->channels / s->group), s->made);
    }
    any_bias(c, s->made);
    if (adds == 2 || (adds == 1 && compare_below(c, 3) == 0)) {
        any_addend(c, s);
    }
    return compare_run(c);
}

static void convs_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 700; i++) {
        struct shape s = any_shape(&c);
        if (compare_below(&c, 4) == 0) {
            s.group = 2 + compare_below(&c, 3);
            s.channels = s.group * (1 + compare_below(&c, 17));
            s.made = s.group * ONNX_NR * (1 + compare_below(&c, 2));
        }
        if (is_small(&s)) {
            bool fast = check_conv(&c, &s, any_activation(&c), 1);
            assert_true(fast || c.input_count == 4);
        }
    }
    compare_fini(&c);
}

static void depthwise_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 300; i++) {
        struct shape s = any_shape(&c);
        s.channels += s.channels == 1;
        s.group = s.made = s.channels;
        if (is_small(&s)) {
            assert_true(check_conv(&c, &s, any_activation(&c), 0));
        }
    }
    compare_fini(&c);
}

static struct shape square(int64_t images, int64_t channels, int64_t made, int64_t rows,
                           int64_t columns, int64_t kernel) {
    return (struct shape){2,
                          images,
                          channels,
                          made,
                          1,
                          {rows, columns},
                          {.axes = 2,
                           .kernel = {kernel, kernel},
                           .strides = {1, 1},
                           .dilations = {1, 1},
                           .begin = {kernel / 2, kernel / 2},
                           .end = {kernel / 2, kernel / 2}}};
}

static void winograd_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 80; i++) {
        struct shape s =
            square(1 + compare_below(&c, 2), 16 + compare_below(&c, 55), 16 + compare_below(&c, 55),
                   5 + compare_below(&c, 14), 5 + compare_below(&c, 14), 3);
        s.window.begin[0] = compare_below(&c, 4);
        s.window.end[1] = compare_below(&c, 4);
        if (is_small(&s)) {
            bool fast = check_conv(&c, &s, any_activation(&c), 1);
            assert_true(fast || c.input_count == 4);
        }
    }
    compare_fini(&c);
}

/* Large enough to be split among tasks: by images, rows, columns, panels. */
static void on_several_threads(void **state) {
    (void)state;
    struct shape shapes[] = {
        square(1, 24, 20, 50, 45, 3),   square(2, 64, 128, 7, 7, 3),
        square(1, 16, 33, 4, 230, 5),   square(1, 300, 250, 2, 3, 3),
        square(1, 16, 16, 64, 60, 3),   square(3, 40, 50, 12, 9, 1),
        square(1, 128, 256, 8, 8, 2),   square(1, 64, 64, 60, 33, 3),
        square(1, 200, 200, 10, 10, 1), square(1, 256, 256, 10, 10, 1),
    };
    struct comparison c;
    compare_init(&c, seed);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (int adds = 0; adds <= 2; adds += 2) {
            check_conv(&c, &shapes[i], (struct onnx_activation){.function = ONNX_F_Relu}, adds);
        }
    }
    assert_true(c.shared > 0);
    struct shape wide = square(1, 300, 300, 40, 35, 3);
    wide.group = 300;
    assert_true(check_conv(&c, &wide, any_activation(&c), 0));
    compare_fini(&c);
}

/* Tasks that share the panels of each group add to their own alone. */
static void groups_with_an_addend_on_several_threads(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 4; i++) {
        struct shape s = square(1, 160, 256, 6, 6, 3);
        s.group = 2;
        check_conv(&c, &s, (struct onnx_activation){.function = ONNX_F_NONE}, 2);
    }
    compare_fini(&c);
}

/* A result with more images than the convolution has. */
static void addend_with_more_images(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    struct shape s = square(1, 16, 16, 9, 9, 3);
    struct onnx_conv params = conv_of(&s);
    compare_start(&c, &mmi_onnx_op_ChannelsLastConv, &params);
    c.tolerance = 1e-4;
    add_image(&c, &s);
    add_panels(&c, 16 * 9, 16);
    compare_no_input(&c);
    COMPARE_INPUT(&c, 3, 9, 9, 16);
    compare_run(&c);
    compare_start(&c, &mmi_onnx_op_ChannelsLastConv, &params);
    c.tolerance = 1e-4;
    add_image(&c, &s);
    add_panels(&c, 16 * 9, 16);
    compare_no_input(&c);
    COMPARE_INPUT(&c, 2, 1, 9, 9, 16);
    compare_run(&c);
    compare_fini(&c);
}

/* NaN and infinity come out where they are seen, and nowhere else. */
static void convs_of_no_numbers(void **state) {
    (void)state;
    static const int64_t groups[] = {1, 33, 3};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 12; i++) {
        struct shape s = square(2, 33, i % 3 == 2 ? 48 : 33, 9, 21, i < 6 ? 3 : 5);
        s.group = groups[i % 3];
        s.window.strides[1] = s.group == 1 ? 2 : 1; /* else Winograd's, of which below */
        struct onnx_conv params = conv_of(&s);
        params.activation.function = i % 2 ? ONNX_F_Relu : ONNX_F_NONE;
        compare_start(&c, &mmi_onnx_op_ChannelsLastConv, &params);
        c.tolerance = 1e-4;
        float *image = add_image(&c, &s);
        image[33 * 50 + 7] = __builtin_nanf("");
        image[33 * 100 + 32] = i % 4 < 2 ? __builtin_inff() : -__builtin_inff();
        if (s.group == 33) {
            COMPARE_INPUT(&c, taps_of(&s), 33);
        } else {
            add_panels(&c, taps_of(&s) * 33 / s.group, s.made);
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

/* The results [elements] of the best table, or of the plain kernel. */
static float *results_of(struct comparison *c, bool fast) {
    const mm_services services = {.threads = 1, .cpu_features = mmi_cpu_features()};
    struct onnx_tensor out;
    struct onnx_inference x = {.params = c->params,
                               .input_count = c->input_count,
                               .output_count = 1,
                               .inputs = c->inputs,
                               .outputs = &out};
    assert_int_equal(mmi_onnx_infer(c->op, &x, NULL), MM_OK);
    onnx_kernel kernel = fast ? mmi_onnx_cpu_kernel(c->op, &x, &services) : c->op->run;
    const void *in[] = {c->inputs[0].data, c->inputs[1].data};
    void *made = mmi_onnx_take_data(&c->arena, out.bytes);
    struct onnx_call call = {.params = c->params,
                             .input_count = 2,
                             .output_count = 1,
                             .inputs = c->inputs,
                             .outputs = &out,
                             .in = in,
                             .out = &made,
                             .scratch = mmi_onnx_take_data(&c->arena, x.scratch_bytes),
                             .services = &services};
    assert_int_equal(kernel(&call, NULL), MM_OK);
    return made;
}

/* By Winograd's algorithm, tiles of 4 x 4 results that see it have NaN, no others. */
static void winograd_of_no_numbers(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (int64_t at = 0; at < 13 * 13; at += 5) {
        struct shape s = square(1, 16, 16, 13, 13, 3);
        struct onnx_conv params = conv_of(&s);
        compare_start(&c, &mmi_onnx_op_ChannelsLastConv, &params);
        float *image = add_image(&c, &s);
        image[at * 16 + at % 16] = at % 2 ? __builtin_nanf("") : __builtin_inff();
        add_panels(&c, 9 * 16, 16);
        const float *got = results_of(&c, true), *wanted = results_of(&c, false);
        for (int64_t i = 0; i < 13 * 13 * 16; i++) {
            int64_t row = i / 16 / 13 / 4 * 4, column = i / 16 % 13 / 4 * 4;
            bool seen = at / 13 >= row - 1 && at / 13 <= row + 4 && at % 13 >= column - 1 &&
                        at % 13 <= column + 4;
            assert_true(isfinite(wanted[i]) || !isfinite(got[i]));
            assert_true(isfinite(got[i]) || seen);
            assert_true(!isfinite(got[i]) || fabsf(got[i] - wanted[i]) < 1e-3F);
        }
    }
    compare_fini(&c);
}

/* The copy with its padding would have 2^64 pixels. */
static void windows_of_billions(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 2; i++) {
        struct shape s = square(1, 1 + i, 3 - i, 2, 2, 4);
        s.group = 1 + i;
        for (uint32_t k = 0; k < 2; k++) {
            s.window.dilations[k] = 1431655765;
            s.window.begin[k] = s.window.end[k] = INT32_MAX;
        }
        s.made = i ? 2 : 3;
        assert_int_equal(check_conv(&c, &s, any_activation(&c), 0), i); /* depthwise has none */
    }
    compare_fini(&c);
}

/* ---- ConvTranspose --------------------------------------------------------------------------- */

static struct onnx_conv any_transposed(struct comparison *c, struct shape *s) {
    struct onnx_conv conv = {.group = 1};
    struct onnx_window *w = &s->window;
    w->auto_pad = compare_below(c, 5) == 0 ? (int32_t)(1 + compare_below(c, 3)) : 0;
    bool shaped = compare_below(c, 5) == 0;
    for (uint32_t i = 0; i < s->axes; i++) {
        int64_t whole;
        do {
            w->kernel[i] = 1 + compare_below(c, 5);
            w->strides[i] = 1 + compare_below(c, 4);
            w->dilations[i] = compare_below(c, 3) ? 1 : 1 + compare_below(c, 3);
            w->begin[i] = w->auto_pad ? 0 : compare_below(c, 3);
            w->end[i] = w->auto_pad ? 0 : compare_below(c, 3);
            conv.output_padding[i] = compare_below(c, w->strides[i]);
            whole = w->strides[i] * (s->in[i] - 1) + span(w, i) + conv.output_padding[i];
            conv.output_shape[i] = shaped ? 1 + compare_below(c, whole + 3) : 0;
        } while (whole - w->begin[i] - w->end[i] < 1);
    }
    conv.window = *w;
    return conv;
}

static bool check_transposed(struct comparison *c, const struct shape *s,
                             const struct onnx_conv *conv) {
    compare_start(c, &mmi_onnx_op_ChannelsLastConvTranspose, conv);
    struct onnx_conv sizes = *conv;
    sizes.activation.function = ONNX_F_NONE;
    c->size_params = &sizes;
    c->tolerance = GEMM_ERROR;
    add_image(c, s);
    add_panels(c, taps_of(s) * s->channels, s->made);
    any_bias(c, s->made);
    return compare_run(c);
}

static void transposed_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 400; i++) {
        struct shape s = any_shape(&c);
        struct onnx_conv conv = any_transposed(&c, &s);
        conv.activation = any_activation(&c);
        int64_t pixels = s.images * s.in[0] * (s.axes == 2 ? s.in[1] : 1) * 16;
        if (pixels * s.channels * s.made * taps_of(&s) < 16 * MOST_PRODUCTS) {
            assert_true(check_transposed(&c, &s, &conv));
        }
    }
    compare_fini(&c);
}

static void transposed_on_several_threads(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 3; i++) {
        struct shape s = square(1 + i, 48, 40, 12, 17, 2 + i);
        s.window.strides[0] = s.window.strides[1] = 2;
        struct onnx_conv conv = conv_of(&s);
        assert_true(check_transposed(&c, &s, &conv));
    }
    assert_true(c.shared > 0);
    compare_fini(&c);
}

/* More phases than taps, by far: what has none is the bias. */
static void transposed_with_large_strides(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    struct shape s = square(1, 5, 3, 3, 2, 2);
    s.window.strides[0] = 100;
    s.window.strides[1] = 90;
    struct onnx_conv conv = conv_of(&s);
    check_transposed(&c, &s, &conv);
    s.in[0] = s.in[1] = 1; /* nothing walks over all phases */
    s.window.strides[0] = s.window.strides[1] = INT32_MAX;
    s.window.dilations[0] = s.window.dilations[1] = 2;
    conv = conv_of(&s);
    check_transposed(&c, &s, &conv);
    compare_fini(&c);
}

/* ---- Pools ----------------------------------------------------------------------------------- */

static void pools_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 400; i++) {
        struct shape s = any_shape(&c);
        struct onnx_pool params = {.window = s.window, .p = 2};
        params.window.ceil_mode = (int32_t)compare_below(&c, 2);
        params.count_include_pad = (int32_t)compare_below(&c, 2);
        bool average = compare_below(&c, 2) == 0;
        compare_start(
            &c, average ? &mmi_onnx_op_ChannelsLastAveragePool : &mmi_onnx_op_ChannelsLastMaxPool,
            &params);
        float *image = add_image(&c, &s);
        uint64_t elements = c.inputs[0].elements;
        if (compare_below(&c, 3) == 0) {
            image[compare_below(&c, (int64_t)elements)] = __builtin_nanf("");
            image[compare_below(&c, (int64_t)elements)] = -__builtin_inff();
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void global_pools_of_random_shapes(void **state) {
    (void)state;
    static const char no_params;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 200; i++) {
        struct shape s = any_shape(&c);
        compare_start(&c,
                      i % 2 ? &mmi_onnx_op_ChannelsLastGlobalAveragePool
                            : &mmi_onnx_op_ChannelsLastGlobalMaxPool,
                      &no_params);
        float *image = add_image(&c, &s);
        if (i % 5 == 0) {
            image[compare_below(&c, (int64_t)c.inputs[0].elements)] = __builtin_nanf("");
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

/* ---- What is left to the plain kernels ------------------------------------------------------- */

static void nothing_to_compute(void **state) {
    (void)state;
    struct onnx_pool pool = {.window = square(1, 1, 1, 1, 1, 3).window};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 3; i++) { /* no images, no channels, no results */
        struct shape s = square(i == 0 ? 0 : 1, i == 1 ? 0 : 16, i == 2 ? 0 : 16, 8, 8, 3);
        assert_false(check_conv(&c, &s, (struct onnx_activation){.function = ONNX_F_Relu}, 0) &&
                     i != 1);
        struct onnx_conv conv = conv_of(&s);
        check_transposed(&c, &s, &conv);
        compare_start(&c, &mmi_onnx_op_ChannelsLastMaxPool, &pool);
        add_image(&c, &s);
        assert_int_equal(compare_run(&c), i == 2);
    }
    compare_fini(&c);
}

/* ---- Parameters that nobody has checked ---------------------------------------------------- */

static int64_t any_number(struct comparison *c) {
    return compare_below(c, 3) ? compare_below(c, 6)
                               : ANY_OF(c, -1, 0, 1, 16, 4096, 65536, INT32_MAX, INT32_MAX + 1LL,
                                        INT64_MAX, INT64_MIN);
}

/* One or two of the numbers of a convolution become others. */
static void damage(struct comparison *c, struct onnx_conv *conv) {
    struct onnx_window *w = &conv->window;
    int64_t *const lists[] = {w->kernel, w->strides,           w->dilations,      w->begin,
                              w->end,    conv->output_padding, conv->output_shape};
    for (int64_t i = compare_below(c, 3); i >= 0; i--) {
        int64_t which = compare_below(c, 12);
        int64_t number = any_number(c);
        if (which < 7) {
            lists[which][compare_below(c, 2)] = number;
        } else if (which == 7) {
            conv->group = number;
        } else if (which == 8) {
            w->axes = (uint32_t)number;
        } else if (which == 9) {
            w->auto_pad = (int32_t)number;
        } else if (which == 10) {
            w->ceil_mode = (int32_t)number;
        } else {
            conv->activation.function = (int32_t)number;
        }
    }
}

/* The axes of an input, too. */
static void damage_input(struct comparison *c) {
    struct onnx_tensor *input = &c->inputs[compare_below(c, c->input_count)];
    uint32_t axis = (uint32_t)compare_below(c, 4);
    int64_t shape[MM_MAX_RANK];
    memcpy(shape, input->shape, sizeof(shape));
    if (input->layout != ONNX_PLAIN || input->dtype != MM_F32 || axis >= input->rank) {
        return;
    }
    shape[axis] = compare_below(c, shape[axis] + 1);
    const void *data = input->data;
    assert_int_equal(mmi_onnx_tensor_set(input, MM_F32, input->rank, shape, NULL), MM_OK);
    input->data = data;
}

/* Whether it can be run here in a short time, and with how much scratch. */
static bool is_cheap(struct comparison *c) {
    uint64_t features[MAX_CPU_TABLES];
    uint32_t tables = cpu_tables(features);
    struct onnx_tensor out = {0};
    for (uint32_t i = 0; i <= tables; i++) {
        const mm_services services = {.threads = 3, .cpu_features = features[i % tables]};
        struct onnx_inference x = {.params = c->params,
                                   .input_count = c->input_count,
                                   .output_count = 1,
                                   .inputs = c->inputs,
                                   .outputs = &out};
        if (mmi_onnx_infer(c->op, &x, NULL) != MM_OK) {
            return false;
        }
        if (i < tables) {
            mmi_onnx_cpu_kernel(c->op, &x, &services);
        }
        if (x.scratch_bytes > 1 << 20) {
            return false;
        }
    }
    double depth = (double)c->inputs[1].shape[0] + 1;
    return (double)out.elements * depth < MOST_PRODUCTS;
}

static void damaged_parameters(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    uint32_t ran = 0;
    for (uint32_t i = 0; i < 8000; i++) {
        struct shape s = any_shape(&c);
        bool transposed = i % 3 == 0;
        s.in[0] = 1 + s.in[0] % 8;
        s.in[1] = 1 + s.in[1] % 8;
        s.channels = 1 + s.channels % 18;
        s.made = i % 3 == 1 ? s.channels : s.made;
        s.group = i % 3 == 1 ? s.channels : 1;
        struct onnx_conv conv = transposed ? any_transposed(&c, &s) : conv_of(&s);
        compare_start(
            &c, transposed ? &mmi_onnx_op_ChannelsLastConvTranspose : &mmi_onnx_op_ChannelsLastConv,
            &conv);
        c.tolerance = 1e-3;
        add_image(&c, &s);
        if (s.group > 1) {
            COMPARE_INPUT(&c, taps_of(&s), s.made);
        } else {
            add_panels(&c, taps_of(&s) * s.channels, s.made);
        }
        any_bias(&c, s.made);
        for (uint32_t k = s.axes; k < ONNX_SPACE; k++) { /* as a file's attributes are read */
            conv.window.strides[k] = conv.window.dilations[k] = 1;
        }
        damage(&c, &conv);
        if (compare_below(&c, 4) == 0) {
            damage_input(&c);
        }
        if (mmi_onnx_check_params(c.op, &conv, NULL) == MM_OK && is_cheap(&c)) {
            compare_run(&c);
            ran++;
        }
    }
    assert_true(ran > 500);
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convs_of_random_shapes),
        cmocka_unit_test(depthwise_of_random_shapes),
        cmocka_unit_test(winograd_of_random_shapes),
        cmocka_unit_test(on_several_threads),
        cmocka_unit_test(groups_with_an_addend_on_several_threads),
        cmocka_unit_test(addend_with_more_images),
        cmocka_unit_test(convs_of_no_numbers),
        cmocka_unit_test(winograd_of_no_numbers),
        cmocka_unit_test(windows_of_billions),
        cmocka_unit_test(transposed_of_random_shapes),
        cmocka_unit_test(transposed_on_several_threads),
        cmocka_unit_test(transposed_with_large_strides),
        cmocka_unit_test(pools_of_random_shapes),
        cmocka_unit_test(global_pools_of_random_shapes),
        cmocka_unit_test(nothing_to_compute),
        cmocka_unit_test(damaged_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
