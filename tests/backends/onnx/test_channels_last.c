/* SPDX-License-Identifier: Apache-2.0 */

/* Convolutions and what stands between them work on images whose channels are the last axis. */

#include "graph_runner.h"

#include <stdio.h>
#include <string.h>

#define TOLERANCE 5e-5

static mm_status channels_last(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err) {
    mm_status status = mmi_onnx_make_channels_last(model, context, err);
    return status == MM_OK ? mmi_onnx_pack(model, context, err) : status;
}

static uint32_t image(struct bench *b, const char *shape) {
    bench_init(b, 1);
    return bench_input(b, MM_F32, shape);
}

/* As large as the image, with 16 channels that come in and go out. */
static uint32_t conv(struct bench *b, uint32_t x) {
    return BENCH_NODE(b, "Conv", "pads=[1,1,1,0]", x, bench_random(b, "16 16 3 2"),
                      bench_random(b, "16"));
}

static uint32_t relu(struct bench *b, uint32_t x) {
    return BENCH_NODE(b, "Relu", "", x);
}

/* So many Transposes are left; -1: any. */
static void apply(struct bench *b, int transposes) {
    bench_apply(b, channels_last, TOLERANCE);
    assert_int_equal(bench_count(b->model.main, "Conv"), 0);
    if (transposes >= 0) {
        assert_int_equal(bench_count(b->model.main, "Transpose"), transposes);
    }
}

static void check(struct bench *b, uint32_t result, int transposes) {
    bench_output(b, result);
    apply(b, transposes);
    bench_fini(b);
}

/* ---- Convolutions ---------------------------------------------------------------------------- */

static const struct {
    const char *type, *image, *weights, *attributes, *becomes;
} layers[] = {
    {"Conv", "2 5 7 6", "9 5 3 2", "strides=[2,1] pads=[1,0,2,1]", "ChannelsLastConv"},
    {"Conv", "2 5 7 6", "9 5 1 1", "", "Linear"},
    {"Conv", "2 5 7 6", "9 5 1 1", "strides=[2,2]", "ChannelsLastConv"},
    {"Conv", "2 5 7 6", "9 5 1 1", "pads=[0,1,0,0]", "ChannelsLastConv"},
    {"Conv", "2 5 7 6", "9 5 1 1", "auto_pad=SAME_UPPER", "Linear"},
    {"Conv", "2 6 7 6", "6 1 3 3", "group=6 dilations=[2,1]", "ChannelsLastConv"},
    {"Conv", "2 6 7 6", "32 3 3 3", "group=2", "ChannelsLastConv"},
    {"Conv", "1 4 9", "5 4 3", "dilations=[2]", "ChannelsLastConv"},
    {"Conv", "1 4 9", "5 4 1", "", "Linear"},
    {"Conv", "2 5 7 6", "9 5 3 3", "auto_pad=SAME_LOWER strides=[2,2]", "ChannelsLastConv"},
    {"Conv", "2 6 7 6", "8 3 3 3", "group=2", "Conv"},
    {"Conv", "2 6 7 6", "12 1 3 3", "group=6", "Conv"},
    {"Conv", "1 2 3 3 3", "2 2 2 2 2", "", "Conv"},
    {"ConvTranspose", "2 5 4 3", "5 7 3 2", "strides=[2,3] output_padding=[1,0]",
     "ChannelsLastConvTranspose"},
    {"ConvTranspose", "2 5 4 3", "5 7 2 2", "strides=[3,3]", "ChannelsLastConvTranspose"},
    {"ConvTranspose", "2 5 4 3", "5 7 3 3", "dilations=[2,1] pads=[1,1,0,1]",
     "ChannelsLastConvTranspose"},
    {"ConvTranspose", "2 5 4 3", "5 7 1 1", "", "ChannelsLastConvTranspose"},
    {"ConvTranspose", "2 5 4 3", "5 7 3 3", "strides=[2,2] output_shape=[8,7]",
     "ChannelsLastConvTranspose"},
    {"ConvTranspose", "2 5 4 3", "5 7 3 3", "strides=[2,2] auto_pad=SAME_UPPER",
     "ChannelsLastConvTranspose"},
    {"ConvTranspose", "1 4 9", "4 5 4", "strides=[3]", "ChannelsLastConvTranspose"},
    {"ConvTranspose", "2 6 4 3", "6 3 3 3", "group=2", "ConvTranspose"},
};

static void test_layers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
        struct bench b;
        uint32_t x = image(&b, layers[i].image);
        uint32_t w = bench_random(&b, layers[i].weights);
        bench_output(&b, BENCH_NODE(&b, layers[i].type, layers[i].attributes, x, w));
        bench_apply(&b, channels_last, TOLERANCE);
        assert_int_equal(bench_count(b.model.main, layers[i].becomes), 1);
        bool same = strcmp(layers[i].type, layers[i].becomes) == 0;
        assert_int_equal(bench_count(b.model.main, "Transpose"), same ? 0 : 2);
        bench_fini(&b);
    }
}

/* A stride of billions is walked through by nobody. */
static void test_huge_strides(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 2 1 1");
    uint32_t w = bench_random(&b, "2 3 2 2");
    check(&b,
          BENCH_NODE(&b, "ConvTranspose", "strides=[2147483647,2147483646] dilations=[3,2]", x, w),
          2);
    x = image(&b, "1 1 1 1");
    w = bench_random(&b, "1 1 33 32");
    bench_output(&b, BENCH_NODE(&b, "ConvTranspose", "strides=[50,40]", x, w));
    bench_apply(&b, channels_last, TOLERANCE);
    assert_int_equal(bench_count(b.model.main, "ConvTranspose"), 1); /* too many taps */
    bench_fini(&b);
}

/* What an input is that is not constant stays where it is. */
static void test_weights_that_are_not_known(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 4 5 5"), w = bench_input(&b, MM_F32, "4 4 3 3");
    uint32_t bias = bench_input(&b, MM_F32, "16");
    uint32_t y = BENCH_NODE(&b, "Conv", "", x, w);
    bench_output(&b, y);
    bench_output(&b, BENCH_NODE(&b, "Conv", "", y, bench_random(&b, "16 4 2 2"), bias));
    bench_apply(&b, channels_last, TOLERANCE);
    assert_int_equal(bench_count(b.model.main, "Conv"), 1);
    assert_int_equal(bench_count(b.model.main, "ChannelsLastConv"), 1);
    bench_fini(&b);
}

/* Pixels of an image whose rank nobody knows: the weights say it. */
static void test_unknown_ranks(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 16 4 4");
    uint32_t flag = bench_input(&b, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(&b);
    bench_branch_end(&b, then, BENCH_NODE(&b, "Reshape", "", x, bench_ints(&b, "1 16 2 8")));
    struct onnx_graph *otherwise = bench_branch(&b);
    bench_branch_end(&b, otherwise, BENCH_NODE(&b, "Neg", "", x));
    uint32_t y = bench_if(&b, flag, then, otherwise);
    bench_last(&b);
    uint32_t z = BENCH_NODE(&b, "Add", "", conv(&b, y), BENCH_NODE(&b, "Abs", "", y));
    check(&b, relu(&b, z), -1);
}

/* ---- What stands between them ---------------------------------------------------------------- */

static void test_constants(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        int transposes;
    } constants[] = {
        {"16 1 1", 2},  {"1 16 1 1", 2}, {"4 5", 2},       {"5", 2},         {"4 1", 2},
        {"1", 2},       {"", 2},         {"16 4 5", 2},    {"2 1 4 5", 2},   {"2 16 4 5", 2},
        {"1 1 1 1", 2}, {"1 1 1", 2},    {"1 1 1 1 1", 2}, {"3 1 1 1 1", 2}, {"3 2 16 4 5", 2},
    };
    static const char *const types[] = {"Add", "Mul", "Sub", "Max", "PRelu"};
    for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
        for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
            struct bench b;
            uint32_t x = conv(&b, image(&b, "2 16 4 5"));
            uint32_t c = bench_random(&b, constants[i].shape);
            bool swapped = k < 4 && i % 2;
            if (k == 4 && strlen(constants[i].shape) > 8) {
                bench_fini(&b); /* a slope has no more axes than what it is for */
                continue;
            }
            uint32_t y = BENCH_NODE(&b, types[k], "", swapped ? c : x, swapped ? x : c);
            check(&b, y, constants[i].transposes);
        }
    }
}

/* The same constant for an image, its twin, and a matrix. */
static void test_shared_constants(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 16 4 16"), c = bench_random(&b, "4 16");
    uint32_t w = bench_random(&b, "16 16 3 2"), bias = bench_random(&b, "16");
    uint32_t y = BENCH_NODE(&b, "Conv", "pads=[1,1,1,0]", x, w, bias);
    uint32_t plain = BENCH_NODE(&b, "Add", "", x, c), twin = BENCH_NODE(&b, "Mul", "", y, c);
    uint32_t z = BENCH_NODE(&b, "Conv", "strides=[2,1] pads=[1,1,1,1]", twin, w, bias);
    bench_output(&b, plain);
    bench_output(&b, BENCH_NODE(&b, "Mul", "", twin, bias)); /* along the columns */
    bench_output(&b, BENCH_NODE(&b, "Add", "", w, w));
    check(&b, z, -1);
}

/* Nodes whose results need no Transpose but at the borders. */
static const struct {
    const char *type, *attributes;
} steps[] = {
    {"Relu", ""},
    {"Identity", ""},
    {"Sigmoid", ""},
    {"LeakyRelu", "alpha=0.5"},
    {"MaxPool", "kernel_shape=[2,3] strides=[1,2]"},
    {"MaxPool", "kernel_shape=[3,3] pads=[1,1,1,1] dilations=[2,1] ceil_mode=1"},
    {"AveragePool", "kernel_shape=[2,2] pads=[1,0,0,1]"},
    {"AveragePool", "kernel_shape=[3,2] strides=[2,2] count_include_pad=1 ceil_mode=1"},
    {"GlobalAveragePool", ""},
    {"GlobalMaxPool", ""},
    {"Concat", "axis=1"},
    {"Concat", "axis=-1"},
    {"Concat", "axis=0"},
    {"Concat", "axis=-2"},
};

static void test_steps(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct bench b;
        uint32_t x = conv(&b, image(&b, "2 16 6 5"));
        bool joins = strcmp(steps[i].type, "Concat") == 0;
        uint32_t y = joins ? BENCH_NODE(&b, steps[i].type, steps[i].attributes, x, relu(&b, x), x)
                           : BENCH_NODE(&b, steps[i].type, steps[i].attributes, x);
        check(&b, y, 2);
    }
}

static void test_rank_3(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "2 16 9");
    uint32_t y = BENCH_NODE(&b, "Conv", "pads=[1,1]", x, bench_random(&b, "16 16 3"));
    uint32_t z = BENCH_NODE(&b, "MaxPool", "kernel_shape=[2] strides=[2]", y);
    uint32_t both = BENCH_NODE(&b, "Concat", "axis=-1", z, y);
    uint32_t scaled = BENCH_NODE(&b, "Mul", "", both, bench_random(&b, "16 1"));
    bench_output(&b, BENCH_NODE(&b, "ReduceMean", "keepdims=0", scaled, bench_ints(&b, "-1")));
    check(&b, BENCH_NODE(&b, "ReduceMax", "keepdims=1", scaled, bench_ints(&b, "1")), 2);
}

static void test_slices(void **state) {
    (void)state;
    static const char *const cuts[][4] = {
        {"1", "9", "1", "1"},          {"0", "3", "2", "1"},
        {"4", "-1000", "-1", "-1"},    {"2 1", "5 4", "1 3", "1 2"},
        {"0 2", "2 9", "0 -3", "1 3"}, {"1 1 1", "3 3 3", "3 2 1", "1 1 1"},
    };
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct bench b;
        uint32_t x = conv(&b, image(&b, "2 16 6 5"));
        uint32_t y =
            BENCH_NODE(&b, "Slice", "", x, bench_ints(&b, cuts[i][0]), bench_ints(&b, cuts[i][1]),
                       bench_ints(&b, cuts[i][2]), bench_ints(&b, cuts[i][3]));
        check(&b, y, 2);
    }
    struct bench b; /* the first axes, and none named */
    uint32_t x = conv(&b, image(&b, "2 16 6 5"));
    check(&b, BENCH_NODE(&b, "Slice", "", x, bench_ints(&b, "0 3"), bench_ints(&b, "1 7")), 2);
}

/* Of several axes in every set, kept and dropped. */
static void test_reductions(void **state) {
    (void)state;
    static const char *const types[] = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"};
    for (uint32_t set = 1; set < 16; set++) {
        for (uint32_t keep = 0; keep < 2; keep++) {
            struct bench b;
            char axes[32] = "";
            for (int axis = 3; axis >= 0; axis--) {
                if (set >> axis & 1) {
                    sprintf(axes + strlen(axes), "%d ", axis % 2 ? axis - 4 : axis);
                }
            }
            uint32_t x = conv(&b, image(&b, "2 16 3 5"));
            uint32_t y = BENCH_NODE(&b, types[set % 4], keep ? "keepdims=1" : "keepdims=0", x,
                                    bench_ints(&b, axes));
            bool leaves_order = set & 2 || (set & 12) == 12;
            check(&b, y, keep || !leaves_order ? 2 : 1);
        }
    }
    struct bench b; /* all axes */
    uint32_t x = conv(&b, image(&b, "2 16 3 5"));
    check(&b, BENCH_NODE(&b, "ReduceSum", "keepdims=1", x), -1);
}

static void test_splits(void **state) {
    (void)state;
    for (int axis = -4; axis < 4; axis++) {
        struct bench b;
        char attributes[32];
        sprintf(attributes, "axis=%d num_outputs=2", axis);
        uint32_t x = conv(&b, image(&b, "2 16 4 6"));
        uint32_t a = BENCH_NODE(&b, "Split", attributes, x), c = bench_more_output(&b);
        bench_output(&b, a);
        check(&b, BENCH_NODE(&b, "Mul", "", relu(&b, c), a), 3);
    }
}

static void test_split_into_many(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = conv(&b, image(&b, "1 16 3 3")), parts[16];
    parts[0] = BENCH_NODE(&b, "Split", "axis=1 num_outputs=16", x);
    for (uint32_t i = 1; i < 16; i++) {
        parts[i] = bench_more_output(&b);
    }
    for (uint32_t i = 0; i < 8; i++) { /* the other way round */
        uint32_t last = parts[15 - i];
        parts[15 - i] = i % 2 ? relu(&b, parts[i]) : parts[i];
        parts[i] = last;
    }
    bench_output(&b, parts[3]);
    check(&b, conv(&b, bench_node(&b, "Concat", "axis=1", parts, 16)), 3);
}

/* ---- Plain images beside twins --------------------------------------------------------------- */

static void test_plain_and_twin(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 16 5 5"), other = bench_input(&b, MM_F32, "1 16 1 1");
    uint32_t more = bench_input(&b, MM_F32, "5 5"), one = bench_input(&b, MM_F32, "");
    uint32_t y = conv(&b, x);
    uint32_t gated = BENCH_NODE(&b, "Mul", "", y, other);
    uint32_t scaled = BENCH_NODE(&b, "Mul", "", one, gated);
    uint32_t added = BENCH_NODE(&b, "Add", "", scaled, more); /* of another rank */
    uint32_t back = BENCH_NODE(&b, "Add", "", x, added);
    bench_output(&b, BENCH_NODE(&b, "Softmax", "axis=1", y)); /* in the order of the file */
    bench_output(&b, scaled);
    check(&b, conv(&b, back), -1);
}

/* A result that is read inside, too, and one that is there twice. */
static void test_outputs_inside(void **state) {
    (void)state;
    struct bench b;
    uint32_t y = conv(&b, image(&b, "1 16 5 5"));
    bench_output(&b, y);
    uint32_t z = relu(&b, y);
    bench_output(&b, z);
    bench_output(&b, BENCH_NODE(&b, "Flatten", "axis=1", z));
    check(&b, conv(&b, z), 4);
}

/* ---- Transposes of the file ------------------------------------------------------------------ */

static uint32_t to_last(struct bench *b, uint32_t x) {
    return BENCH_NODE(b, "Transpose", "perm=[0,2,3,1]", x);
}

static uint32_t to_first(struct bench *b, uint32_t x) {
    return BENCH_NODE(b, "Transpose", "perm=[0,3,1,2]", x);
}

static void test_transposes(void **state) {
    (void)state;
    struct bench b;
    uint32_t y = conv(&b, to_first(&b, image(&b, "1 5 4 16")));
    check(&b, to_last(&b, y), 0);
    y = to_last(&b, conv(&b, image(&b, "1 16 5 4"))); /* works on the last axis, and goes back */
    uint32_t p = BENCH_NODE(&b, "MatMul", "", y, bench_random(&b, "16 16"));
    check(&b, conv(&b, to_first(&b, BENCH_NODE(&b, "Softmax", "axis=-1", p))), 2);
    y = conv(&b, image(&b, "2 16 3 4")); /* what comes out twice, and back again */
    uint32_t last = to_last(&b, y), again = to_last(&b, y), first = to_first(&b, last);
    bench_output(&b, last);
    bench_output(&b, BENCH_NODE(&b, "Mul", "", last, again));
    bench_output(&b, BENCH_NODE(&b, "Add", "", first, y));
    check(&b, first, 3);
    y = conv(&b, image(&b, "2 16 3 4")); /* another order */
    bench_output(&b, BENCH_NODE(&b, "Transpose", "", y));
    check(&b, BENCH_NODE(&b, "Transpose", "perm=[0,2,1,3]", y), 4);
    y = conv(&b, image(&b, "2 16 3 4")); /* the two orders of a cube are not the same */
    check(&b, BENCH_NODE(&b, "Transpose", "perm=[0,3,1,2]", y), -1);
    y = to_first(&b, image(&b, "1 5 4 16")); /* what is plain and what is not meet */
    bench_output(&b, y);
    check(&b, BENCH_NODE(&b, "Add", "", BENCH_NODE(&b, "Softmax", "axis=1", y), conv(&b, y)), -1);
}

/* Of constants, and of images that no convolution has made. */
static void test_transposes_elsewhere(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 16 3 4"), c = to_first(&b, bench_random(&b, "1 3 4 16"));
    bench_output(&b, BENCH_NODE(&b, "Add", "", conv(&b, x), c));
    uint32_t five = BENCH_NODE(&b, "Reshape", "", x, bench_ints(&b, "1 16 1 3 4"));
    uint32_t turned = BENCH_NODE(&b, "Transpose", "perm=[0,4,1,2,3]", five);
    uint32_t pool = BENCH_NODE(&b, "MaxPool", "kernel_shape=[2,1,2]", turned);
    check(&b, BENCH_NODE(&b, "Mul", "", pool, bench_random(&b, "4 1 1 1")), -1);
}

/* ---- Graphs of nodes ------------------------------------------------------------------------- */

static void test_captured(void **state) {
    (void)state;
    struct bench b;
    uint32_t x = image(&b, "1 16 4 4"), flag = bench_input(&b, MM_BOOL, "");
    uint32_t y = conv(&b, x), z = relu(&b, y), last = to_last(&b, z);
    struct onnx_graph *then = bench_branch(&b);
    bench_branch_end(&b, then, BENCH_NODE(&b, "Add", "", relu(&b, conv(&b, y)), z));
    struct onnx_graph *otherwise = bench_branch(&b);
    bench_branch_end(&b, otherwise, BENCH_NODE(&b, "Mul", "", y, to_first(&b, last)));
    uint32_t chosen = bench_if(&b, flag, then, otherwise);
    bench_output(&b, BENCH_NODE(&b, "Exp", "", z));
    check(&b, conv(&b, BENCH_NODE(&b, "Add", "", chosen, z)), -1);
}

/* A body whose result is what it captured, or was turned outside. */
static void test_body_of_little(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        struct bench b;
        uint32_t x = image(&b, "1 16 4 4"), flag = bench_input(&b, MM_BOOL, "");
        uint32_t y = conv(&b, x), last = to_last(&b, y);
        struct onnx_graph *then = bench_branch(&b);
        bench_branch_end(&b, then, to_last(&b, conv(&b, to_first(&b, last))));
        struct onnx_graph *otherwise = bench_branch(&b);
        uint32_t same = BENCH_NODE(&b, i & 1 ? "Identity" : "Neg", "", last);
        bench_branch_end(&b, otherwise, same);
        uint32_t chosen = bench_if(&b, flag, i & 2 ? then : otherwise, i & 2 ? otherwise : then);
        bench_output(&b, i & 4 ? conv(&b, y) : to_first(&b, chosen));
        check(&b, BENCH_NODE(&b, "Add", "", chosen, last), -1);
    }
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t at = 1; at < 40; at++) {
        struct bench b;
        uint32_t y = conv(&b, image(&b, "1 16 4 4"));
        bench_output(&b, conv(&b, BENCH_NODE(&b, "Concat", "axis=1", y, y)));
        struct onnx_pass_context context = {.services = &b.services};
        world_fail_alloc(&b.world, at);
        mm_status status = mmi_onnx_make_channels_last(&b.model, &context, &b.err);
        assert_true(status == MM_OK || status == MM_NO_MEMORY);
        bench_fini(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_huge_strides),
        cmocka_unit_test(test_weights_that_are_not_known),
        cmocka_unit_test(test_unknown_ranks),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_shared_constants),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_rank_3),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_split_into_many),
        cmocka_unit_test(test_plain_and_twin),
        cmocka_unit_test(test_outputs_inside),
        cmocka_unit_test(test_transposes),
        cmocka_unit_test(test_transposes_elsewhere),
        cmocka_unit_test(test_captured),
        cmocka_unit_test(test_body_of_little),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
