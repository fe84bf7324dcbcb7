/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels of Conv, ConvTranspose and the pools against the plain ones. */
#include "cpu_compare.h"

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/resize.h>

static uint64_t seed;

struct shape {
    int64_t images, group, channels, out_channels; /* channels of a group, in and out */
    int64_t in[2], kernel[2], strides[2], dilations[2], begin[2], end[2];
};

static bool fits(const struct shape *s, uint32_t i) {
    int64_t span = (s->kernel[i] - 1) * s->dilations[i] + 1;
    return s->in[i] + s->begin[i] + s->end[i] >= span;
}

/* Sizes that are often 1, often small, sometimes larger. */
static int64_t size(struct comparison *c, int64_t max) {
    int64_t kind = compare_below(c, 4);
    return 1 + (kind == 0 ? 0 : compare_below(c, kind == 3 ? max : (max + 3) / 4));
}

static struct shape random_shape(struct comparison *c) {
    struct shape s = {.images = 1 + compare_below(c, 2), .group = 1};
    if (compare_below(c, 3) == 0) {
        s.group = 1 + compare_below(c, 6);
    }
    s.channels = compare_below(c, 3) == 0 ? 1 : size(c, 40);
    s.out_channels = size(c, 20);
    for (uint32_t i = 0; i < 2; i++) {
        s.in[i] = size(c, i == 0 ? 20 : 90);
        do {
            s.kernel[i] = size(c, 7);
            s.strides[i] = size(c, 4);
            s.dilations[i] = size(c, 3);
            s.begin[i] = compare_below(c, 4);
            s.end[i] = compare_below(c, 4);
        } while (!fits(&s, i));
    }
    return s;
}

/* The same for one spatial axis, the second of them. */
static struct onnx_window window_of(const struct shape *s, uint32_t axes) {
    struct onnx_window window = {.axes = axes};
    for (uint32_t i = 0; i < axes; i++) {
        uint32_t from = i + 2 - axes;
        window.kernel[i] = s->kernel[from];
        window.strides[i] = s->strides[from];
        window.dilations[i] = s->dilations[from];
        window.begin[i] = s->begin[from];
        window.end[i] = s->end[from];
    }
    return window;
}

static void add_image(struct comparison *c, const struct shape *s, uint32_t axes) {
    const int64_t shape[] = {s->images, s->channels * s->group, s->in[2 - axes], s->in[1]};
    compare_input(c, axes + 2, shape, -1, 1);
}

static void check_conv(struct comparison *c, const struct shape *s, uint32_t axes,
                       struct onnx_activation activation) {
    struct onnx_conv sizes = {.window = window_of(s, axes), .group = s->group};
    struct onnx_conv params = sizes;
    params.activation = activation;
    compare_start(c, &mmi_onnx_op_Conv, &params);
    c->size_params = &sizes;
    const int64_t weights[] = {s->out_channels * s->group, s->channels, s->kernel[2 - axes],
                               s->kernel[1]};
    add_image(c, s, axes);
    compare_input(c, axes + 2, weights, -1, 1);
    if (compare_below(c, 4) > 0) {
        COMPARE_INPUT(c, weights[0]);
    }
    assert_true(compare_run(c));
}

static void conv_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 500; i++) {
        struct shape s = random_shape(&c);
        struct onnx_activation activation = {.function = ONNX_F_NONE};
        if (compare_below(&c, 3) == 0) {
            activation = (struct onnx_activation){
                .function = ONNX_F_HardSwish, .a = 1.0f / 6, .b = 0.5f, .scale = 0.5f, .shift = 1};
        }
        check_conv(&c, &s, 1 + (uint32_t)compare_below(&c, 2), activation);
    }
    compare_fini(&c);
}

/* Large enough to be split among tasks: by columns, rows, groups, channels. */
static void conv_on_several_threads(void **state) {
    (void)state;
    static const struct shape shapes[] = {
        {1, 1, 24, 20, {70, 65}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
        {1, 1, 64, 130, {7, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
        {2, 1, 128, 64, {16, 17}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
        {1, 4, 32, 16, {20, 20}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}},
        {1, 50, 1, 1, {60, 57}, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}},
        {1, 1, 700, 3000, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}},
        {1, 1, 60, 9, {21, 64}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
        {1, 1, 2, 5, {300, 310}, {2, 2}, {1, 1}, {2, 3}, {0, 1}, {1, 0}},
    };
    struct comparison c;
    compare_init(&c, seed);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        check_conv(&c, &shapes[i], 2, (struct onnx_activation){.function = ONNX_F_Relu});
    }
    compare_fini(&c);
}

/* Those that do not make much of small errors of a convolution. */
static void every_activation(void **state) {
    (void)state;
    static const int32_t smooth[] = {
        ONNX_F_NONE,      ONNX_F_Relu,     ONNX_F_Clip,    ONNX_F_LeakyRelu, ONNX_F_HardSigmoid,
        ONNX_F_HardSwish, ONNX_F_Softsign, ONNX_F_Sigmoid, ONNX_F_Swish,     ONNX_F_Tanh,
        ONNX_F_Elu,       ONNX_F_Selu,     ONNX_F_Gelu,    ONNX_F_GeluTanh,  ONNX_F_Softplus,
        ONNX_F_Mish,      ONNX_F_Abs,      ONNX_F_Neg,     ONNX_F_Erf,       ONNX_F_Atan};
    static const struct shape s = {1, 1, 5, 7, {9, 21}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
    struct comparison c;
    compare_init(&c, seed);
    for (size_t i = 0; i < sizeof(smooth) / sizeof(smooth[0]); i++) {
        int32_t function = smooth[i];
        struct onnx_activation activation = {.function = function, .a = -0.2f, .b = 0.4f};
        check_conv(&c, &s, 2, activation);
        if (function != ONNX_F_NONE) {
            activation.scale = 3;
            activation.shift = -1;
            check_conv(&c, &s, 2, activation);
        }
    }
    compare_fini(&c);
}

/* Only windows with kernel = stride have a fast kernel. */
static void transpose_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 150; i++) {
        uint32_t axes = 1 + (uint32_t)compare_below(&c, 2);
        struct shape s = random_shape(&c);
        bool touches = compare_below(&c, 4) > 0;
        for (uint32_t k = 0; k < 2; k++) {
            s.dilations[k] = 1;
            s.begin[k] = s.end[k] = 0;
            s.strides[k] = touches ? s.kernel[k] : s.kernel[k] + 1;
        }
        struct onnx_conv sizes = {.window = window_of(&s, axes), .group = s.group};
        struct onnx_conv params = sizes;
        params.activation.function = i % 3 == 0 ? ONNX_F_Relu : ONNX_F_NONE;
        compare_start(&c, &mmi_onnx_op_ConvTranspose, &params);
        c.size_params = &sizes;
        const int64_t weights[] = {s.channels * s.group, s.out_channels, s.kernel[2 - axes],
                                   s.kernel[1]};
        add_image(&c, &s, axes);
        compare_input(&c, axes + 2, weights, -1, 1);
        if (compare_below(&c, 4) > 0) {
            COMPARE_INPUT(&c, s.out_channels * s.group);
        }
        assert_int_equal(compare_run(&c), touches);
    }
    compare_fini(&c);
}

static void transpose_on_several_threads(void **state) {
    (void)state;
    struct onnx_conv sizes = {
        .window = {.axes = 2, .kernel = {2, 2}, .strides = {2, 2}, .dilations = {1, 1}},
        .group = 1};
    struct comparison c;
    compare_init(&c, seed);
    compare_start(&c, &mmi_onnx_op_ConvTranspose, &sizes);
    c.size_params = &sizes;
    COMPARE_INPUT(&c, 1, 24, 45, 47);
    COMPARE_INPUT(&c, 24, 40, 2, 2);
    COMPARE_INPUT(&c, 40);
    assert_true(compare_run(&c));
    compare_fini(&c);
}

static void pools_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t axes = 1 + (uint32_t)compare_below(&c, 2);
        struct shape s = random_shape(&c);
        if (i % 5 == 0) { /* one column, which is run as a row */
            s.in[1] = s.kernel[1] = s.dilations[1] = 1;
            s.begin[1] = s.end[1] = 0;
        }
        struct onnx_pool params = {.window = window_of(&s, axes)};
        params.window.ceil_mode = (int32_t)compare_below(&c, 2);
        params.count_include_pad = (int32_t)compare_below(&c, 2);
        params.p = 2;
        bool average = compare_below(&c, 2) == 0;
        compare_start(&c, average ? &mmi_onnx_op_AveragePool : &mmi_onnx_op_MaxPool, &params);
        add_image(&c, &s, axes);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void global_pools_of_random_shapes(void **state) {
    (void)state;
    static const char no_params;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 100; i++) {
        const struct onnx_operator *op =
            i % 2 ? &mmi_onnx_op_GlobalAveragePool : &mmi_onnx_op_GlobalMaxPool;
        compare_start(&c, op, &no_params);
        COMPARE_INPUT(&c, 1 + compare_below(&c, 3), 1 + compare_below(&c, 40), size(&c, 30),
                      size(&c, 30));
        assert_true(compare_run(&c));
    }
    compare_start(&c, &mmi_onnx_op_GlobalAveragePool, &no_params);
    COMPARE_INPUT(&c, 2, 50, 100, 101);
    assert_true(compare_run(&c));
    compare_start(&c, &mmi_onnx_op_GlobalMaxPool, &no_params);
    float *image = COMPARE_INPUT(&c, 1, 3, 5, 7);
    image[40] = __builtin_nanf("");
    image[104] = __builtin_nanf("");
    assert_true(compare_run(&c));
    compare_fini(&c);
}

/* NaN propagates through a maximum. */
static void max_pool_of_no_numbers(void **state) {
    (void)state;
    struct onnx_pool params = {
        .window = {.axes = 2, .kernel = {3, 3}, .strides = {2, 1}, .dilations = {1, 1}}, .p = 2};
    struct comparison c;
    compare_init(&c, seed);
    compare_start(&c, &mmi_onnx_op_MaxPool, &params);
    float *image = COMPARE_INPUT(&c, 1, 2, 9, 40);
    for (uint32_t i = 0; i < 720; i += 37) {
        image[i] = i % 2 ? __builtin_nanf("") : __builtin_inff();
    }
    assert_true(compare_run(&c));
    compare_fini(&c);
}

static void resize_by_whole_numbers(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 200; i++) {
        bool even = i % 2 == 0;
        struct onnx_resize params = {.mode = ONNX_RESIZE_NEAREST,
                                     .coordinates =
                                         even ? ONNX_RESIZE_ASYMMETRIC : ONNX_RESIZE_HALF_PIXEL,
                                     .nearest = even ? ONNX_RESIZE_FLOOR : ONNX_RESIZE_ROUND_DOWN};
        float scales[] = {1, 1, 1 + (float)compare_below(&c, 9), 1 + (float)compare_below(&c, 9)};
        compare_start(&c, &mmi_onnx_op_Resize, &params);
        COMPARE_INPUT(&c, 1 + compare_below(&c, 2), 1 + compare_below(&c, 3), size(&c, 20),
                      size(&c, 20));
        compare_no_input(&c);
        compare_known_input(&c, MM_F32, scales, 4);
        c.tolerance = 0;
        assert_true(compare_run(&c));
    }
    /* factors that are no integers, or do not repeat all pixels equally often */
    struct onnx_resize params = {.mode = ONNX_RESIZE_NEAREST,
                                 .coordinates = ONNX_RESIZE_ASYMMETRIC,
                                 .nearest = ONNX_RESIZE_FLOOR};
    static const float odd[] = {1.5f, 2.1f, 2};
    for (uint32_t i = 0; i < 3; i++) {
        params.nearest = i == 2 ? ONNX_RESIZE_CEIL : ONNX_RESIZE_FLOOR;
        compare_start(&c, &mmi_onnx_op_Resize, &params);
        COMPARE_INPUT(&c, 1, 1, 4, 4);
        compare_no_input(&c);
        compare_known_input(&c, MM_F32, (const float[]){1, 1, 2, odd[i]}, 4);
        assert_false(compare_run(&c));
    }
    compare_fini(&c);
}

/* Cases without a fast kernel. */
static void left_to_the_plain_kernels(void **state) {
    (void)state;
    struct onnx_conv conv = {
        .window = {.axes = 3, .kernel = {2, 2, 2}, .strides = {1, 1, 1}, .dilations = {1, 1, 1}},
        .group = 1};
    struct onnx_pool pool = {.window = {.axes = 1, .kernel = {2}, .strides = {1}, .dilations = {1}},
                             .p = 2};
    struct comparison c;
    compare_init(&c, seed);
    compare_start(&c, &mmi_onnx_op_Conv, &conv);
    COMPARE_INPUT(&c, 1, 2, 3, 4, 5);
    COMPARE_INPUT(&c, 2, 2, 2, 2, 2);
    assert_false(compare_run(&c));
    compare_start(&c, &mmi_onnx_op_MaxPool, &pool);
    COMPARE_INPUT(&c, 1, 2, 4);
    c.inputs[0].dtype = MM_U8;
    c.inputs[0].bytes = 8;
    assert_false(compare_run(&c));
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_of_random_shapes),
        cmocka_unit_test(conv_on_several_threads),
        cmocka_unit_test(every_activation),
        cmocka_unit_test(transpose_of_random_shapes),
        cmocka_unit_test(transpose_on_several_threads),
        cmocka_unit_test(pools_of_random_shapes),
        cmocka_unit_test(global_pools_of_random_shapes),
        cmocka_unit_test(max_pool_of_no_numbers),
        cmocka_unit_test(resize_by_whole_numbers),
        cmocka_unit_test(left_to_the_plain_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
