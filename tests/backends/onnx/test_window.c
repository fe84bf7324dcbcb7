/* SPDX-License-Identifier: Apache-2.0 */

/* Windows on images: attributes, places, taps. Sizes and pads from the formulas of ONNX's operators
 * and, for ceil_mode, from onnx's node tests. */

#include "graph_runner.h"

#include <backends/onnx/operators/conv.h>
#include <base/status.h>

#include <stdio.h>
#include <string.h>

static mm_status read_window(struct bench *bench, const char *text, struct onnx_window *window) {
    struct onnx_node node = {.name = "", .type = "Conv", .domain = ""};
    const struct onnx_attributes attributes = {.node = &node, .opset = 22};
    bench_attributes(bench, text, &node);
    *window = (struct onnx_window){0};
    int64_t ceil_mode;
    MMI_TRY(mmi_onnx_read_window(&attributes, 1, window, &bench->err));
    MMI_TRY(mmi_onnx_read_int(&attributes, "ceil_mode", 0, &ceil_mode, &bench->err));
    window->ceil_mode = ceil_mode != 0;
    return MM_OK;
}

static struct onnx_tensor image_of(uint32_t axes, const int64_t *space) {
    struct onnx_tensor image;
    int64_t shape[MM_MAX_RANK] = {2, 3};
    memcpy(shape + 2, space, axes * sizeof(*shape));
    assert_int_equal(mmi_onnx_tensor_set(&image, MM_F32, axes + 2, shape, NULL), MM_OK);
    return image;
}

/* ---- Places */

static void test_defaults(void **state) {
    (void)state;
    struct bench bench;
    struct onnx_window window;
    bench_init(&bench, 1);
    assert_int_equal(read_window(&bench, "", &window), MM_OK);
    assert_int_equal(window.axes, 0);
    assert_int_equal(window.auto_pad, ONNX_PAD_NOTSET);
    assert_int_equal(window.kernel[0], 0);
    for (uint32_t i = 0; i < ONNX_SPACE; i++) {
        assert_int_equal(window.strides[i], 1);
        assert_int_equal(window.dilations[i], 1);
        assert_int_equal(window.begin[i], 0);
        assert_int_equal(window.end[i], 0);
    }
    bench_fini(&bench);
}

static void test_places(void **state) {
    (void)state;
    static const struct {
        const char *attributes;
        int64_t in, out, begin, end; /* of each of two axes */
    } cases[] = {
        {"kernel_shape=[3,3]", 32, 30, 0, 0},
        {"kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,2]", 640, 320, 1, 1},
        {"kernel_shape=[7,7] pads=[3,3,3,3] strides=[2,2]", 224, 112, 3, 3},
        {"kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,2]", 112, 56, 1, 1},
        {"kernel_shape=[5,5] pads=[2,2,2,2] strides=[2,2]", 3, 2, 2, 2},
        {"kernel_shape=[3,3] pads=[0,0,2,2] dilations=[2,2]", 9, 7, 0, 2},
        {"kernel_shape=[3,3]", 3, 1, 0, 0},
        /* pads and auto_pad do not go together: auto_pad wins */
        {"kernel_shape=[2,2] auto_pad=VALID strides=[2,2] pads=[1,1,1,1]", 5, 2, 0, 0},
        {"kernel_shape=[3,3] auto_pad=SAME_UPPER", 32, 32, 1, 1},
        {"kernel_shape=[2,2] auto_pad=SAME_UPPER", 32, 32, 0, 1},
        {"kernel_shape=[2,2] auto_pad=SAME_LOWER", 32, 32, 1, 0},
        {"kernel_shape=[3,3] auto_pad=SAME_UPPER strides=[2,2]", 6, 3, 0, 1},
        {"kernel_shape=[3,3] auto_pad=SAME_LOWER strides=[2,2]", 6, 3, 1, 0},
        {"kernel_shape=[3,3] auto_pad=SAME_LOWER strides=[2,2] dilations=[2,2]", 6, 3, 2, 1},
        {"kernel_shape=[1,1] auto_pad=SAME_UPPER strides=[3,3]", 9, 3, 0, 0},
        {"kernel_shape=[9,9] auto_pad=SAME_UPPER", 4, 4, 4, 4},
        {"kernel_shape=[3,3] strides=[2,2] ceil_mode=1", 4, 2, 0, 0},
        {"kernel_shape=[3,3] strides=[2,2] ceil_mode=0", 4, 1, 0, 0},
        {"kernel_shape=[3,3] strides=[2,2] ceil_mode=1", 5, 2, 0, 0},
        /* the last window would begin behind the image and its padding in front */
        {"kernel_shape=[1,1] strides=[2,2] ceil_mode=1", 2, 1, 0, 0},
        {"kernel_shape=[3,3] strides=[3,3] pads=[1,1,1,1] ceil_mode=1", 2, 1, 1, 1},
        {"kernel_shape=[5,5] strides=[3,3] dilations=[2,2] ceil_mode=1", 32, 9, 0, 0},
        {"kernel_shape=[2,2] auto_pad=VALID strides=[2,2] ceil_mode=1", 5, 2, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench bench;
        struct onnx_window window;
        struct onnx_placed placed;
        const int64_t space[] = {cases[i].in, cases[i].in};
        const struct onnx_tensor image = image_of(2, space);
        bench_init(&bench, 1);
        assert_int_equal(read_window(&bench, cases[i].attributes, &window), MM_OK);
        assert_int_equal(mmi_onnx_place_window(&window, &image, NULL, &placed, &bench.err), MM_OK);
        for (uint32_t axis = 0; axis < 2; axis++) {
            if (placed.out[axis] != cases[i].out || placed.begin[axis] != cases[i].begin ||
                placed.end[axis] != cases[i].end) {
                fail_msg("%s of %d: %d, pads %d and %d", cases[i].attributes, (int)cases[i].in,
                         (int)placed.out[axis], (int)placed.begin[axis], (int)placed.end[axis]);
            }
        }
        bench_fini(&bench);
    }
}

static void test_axes(void **state) {
    (void)state;
    struct bench bench;
    struct onnx_window window;
    struct onnx_placed placed;
    const int64_t space[] = {4, 5, 6, 7, 8, 9}, kernel[] = {1, 2, 3, 4, 5, 6};
    bench_init(&bench, 1);
    const struct onnx_tensor image = image_of(6, space);
    assert_int_equal(
        read_window(&bench, "strides=[1,2,1,2,1,2] pads=[0,1,2,0,0,0,0,0,0,3,0,1]", &window),
        MM_OK);
    assert_int_equal(mmi_onnx_place_window(&window, &image, kernel, &placed, &bench.err), MM_OK);
    static const int64_t out[] = {4, 3, 6, 4, 4, 3};
    assert_memory_equal(placed.out, out, sizeof(out));
    assert_memory_equal(placed.kernel, kernel, sizeof(kernel));
    bench_fini(&bench);
}

/* ---- Bad input */

static void expect_refused(mm_status status, mm_status wanted, const struct bench *bench,
                           const char *text) {
    if (status != wanted || !strstr(bench->err.text, text)) {
        fail_msg("%s: %s, not %s", mm_status_name(status), bench->err.text, text);
    }
}

static void test_bad_attributes(void **state) {
    (void)state;
    static const struct {
        const char *attributes;
        mm_status status;
        const char *text;
    } cases[] = {
        {"strides=[1,0]", MM_INVALID_MODEL, "attribute strides[1] is 0, 1 to"},
        {"dilations=[-1,1]", MM_INVALID_MODEL, "attribute dilations[0] is -1, 1 to"},
        {"kernel_shape=[3,0]", MM_INVALID_MODEL, "attribute kernel_shape[1] is 0, 1 to"},
        {"kernel_shape=[3,9999999999]", MM_INVALID_MODEL, "kernel_shape[1] is 9999999999"},
        {"pads=[0,0,0,-2]", MM_INVALID_MODEL, "attribute pads[3] is -2, 0 to"},
        {"pads=[0,0,0]", MM_INVALID_MODEL, "attribute pads has 3 numbers for 1 axes"},
        {"kernel_shape=[3,3] strides=[1]", MM_INVALID_MODEL, "strides has 1 numbers for 2 axes"},
        {"kernel_shape=[3,3] pads=[1,1]", MM_INVALID_MODEL, "pads has 2 numbers for 2 axes"},
        {"kernel_shape=[1,1,1,1,1,1,1]", MM_UNSUPPORTED, "kernel_shape has 7 numbers"},
        {"auto_pad=SOMEHOW", MM_UNSUPPORTED, "attribute auto_pad is 'SOMEHOW'"},
        {"ceil_mode=yes", MM_INVALID_MODEL, "attribute ceil_mode has type 3"},
        {"strides=2", MM_INVALID_MODEL, "attribute strides has type 2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench bench;
        struct onnx_window window;
        bench_init(&bench, 1);
        expect_refused(read_window(&bench, cases[i].attributes, &window), cases[i].status, &bench,
                       cases[i].text);
        bench_fini(&bench);
    }
}

static void expect_no_place(const char *attributes, uint32_t axes, const int64_t *space,
                            const int64_t *kernel, const char *text) {
    struct bench bench;
    struct onnx_window window;
    struct onnx_placed placed;
    const struct onnx_tensor image = image_of(axes, space);
    bench_init(&bench, 1);
    assert_int_equal(read_window(&bench, attributes, &window), MM_OK);
    expect_refused(mmi_onnx_place_window(&window, &image, kernel, &placed, &bench.err),
                   image.shape[2] > INT32_MAX ? MM_UNSUPPORTED : MM_INVALID_MODEL, &bench, text);
    bench_fini(&bench);
}

static void test_bad_places(void **state) {
    (void)state;
    const int64_t space[] = {4, 6}, three[] = {3, 3}, none[] = {0, 1}, large[] = {5, 7};
    const int64_t endless[] = {INT64_C(1) << 40};
    expect_no_place("kernel_shape=[5,5]", 2, space, NULL,
                    "its window spans 5 elements, axis 2 of its input has 4 with 0 of padding");
    expect_no_place("kernel_shape=[3,3] dilations=[1,4] pads=[0,1,0,1]", 2, space, NULL,
                    "its window spans 9 elements, axis 3 of its input has 6 with 2 of padding");
    expect_no_place("kernel_shape=[5,5] auto_pad=VALID", 2, space, NULL, "spans 5 elements");
    expect_no_place("", 2, space, large, "spans 5 elements");
    expect_no_place("kernel_shape=[3]", 2, space, NULL,
                    "its attributes are for 1 axes, its input has 2");
    expect_no_place("kernel_shape=[3,2]", 2, space, three,
                    "its kernel has 3 elements on axis 3, its attribute kernel_shape says 2");
    expect_no_place("", 2, space, none, "its kernel has 0 elements on axis 2");
    expect_no_place("", 2, space, NULL, "its kernel has 0 elements on axis 2");
    expect_no_place("", 0, space, NULL, "its input has 2 axes, 3 or more wanted");
    expect_no_place("kernel_shape=[3]", 1, endless, NULL, "axis 2 of its input has 1099511627776");
}

/* ---- Taps */

static uint64_t seed;

static int64_t between(int64_t min, int64_t max) {
    return min + (int64_t)test_random_below(&seed, (uint64_t)(max - min + 1));
}

/* What find_taps must give for one tap of one result. */
static int64_t naive_tap(const struct onnx_placed *placed, uint64_t result, uint64_t tap) {
    int64_t offset = 0, step = 1, mark = 0;
    for (uint32_t i = placed->axes; i-- > 0;) {
        int64_t at = (int64_t)(result % (uint64_t)placed->out[i]) * placed->strides[i] -
                     placed->begin[i] +
                     (int64_t)(tap % (uint64_t)placed->kernel[i]) * placed->dilations[i];
        result /= (uint64_t)placed->out[i];
        tap /= (uint64_t)placed->kernel[i];
        offset += at * step;
        step *= placed->in[i];
        if (at >= placed->in[i] + placed->end[i]) {
            mark = ONNX_BEYOND;
        } else if ((at < 0 || at >= placed->in[i]) && mark == 0) {
            mark = ONNX_IN_PADDING;
        }
    }
    return mark != 0 ? mark : offset;
}

static void check_taps(const struct onnx_placed *placed, uint64_t results) {
    int64_t offsets[64 * ONNX_TAPS];
    uint64_t taps;
    assert_int_equal(mmi_onnx_count_taps(placed, &taps, NULL), MM_OK);
    for (uint64_t first = 0; first < results; first += ONNX_TAPS) {
        uint64_t count = results - first < ONNX_TAPS ? results - first : ONNX_TAPS;
        mmi_onnx_find_taps(placed, first, (uint32_t)count, offsets);
        for (uint64_t i = 0; i < taps * ONNX_TAPS; i++) {
            uint64_t column = i % ONNX_TAPS;
            int64_t wanted =
                column < count ? naive_tap(placed, first + column, i / ONNX_TAPS) : ONNX_BEYOND;
            assert_int_equal(offsets[i], wanted);
        }
    }
}

static void test_taps(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct onnx_placed placed;
        struct onnx_window window = {.ceil_mode = between(0, 1) == 1};
        int64_t space[3] = {0}, kernel[3];
        uint64_t results = 1;
        uint32_t axes = (uint32_t)between(1, 3);
        for (uint32_t i = 0; i < axes; i++) {
            kernel[i] = between(1, 4);
            window.strides[i] = between(1, 3);
            window.dilations[i] = between(1, 2);
            window.begin[i] = between(0, 3);
            window.end[i] = between(0, 3);
            space[i] = between(kernel[i] * window.dilations[i], 9);
        }
        const struct onnx_tensor image = image_of(axes, space);
        assert_int_equal(mmi_onnx_place_window(&window, &image, kernel, &placed, NULL), MM_OK);
        for (uint32_t i = 0; i < axes; i++) {
            results *= (uint64_t)placed.out[i];
        }
        check_taps(&placed, results);
    }
}

static void test_too_many_taps(void **state) {
    (void)state;
    mm_error err;
    uint64_t taps;
    const struct onnx_placed placed = {.axes = 3, .kernel = {INT32_MAX, INT32_MAX, INT32_MAX}};
    assert_int_equal(mmi_onnx_count_taps(&placed, &taps, &err), MM_UNSUPPORTED);
    assert_non_null(strstr(err.text, "its window has more than 16777216 elements"));
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_places),
        cmocka_unit_test(test_axes),          cmocka_unit_test(test_bad_attributes),
        cmocka_unit_test(test_bad_places),    cmocka_unit_test(test_taps),
        cmocka_unit_test(test_too_many_taps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
