/* SPDX-License-Identifier: Apache-2.0 */

/* Pools. Numbers from ONNX Runtime 1.31.1; random ones against windows walked through one element
 * at a time. Usage: test_pool [SEED] */

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

#define FIVE "f32[1,1,5,5] 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25"

static void test_max(void **state) {
    (void)state;
    one_expect(
        "MaxPool", "kernel_shape=[5,5] pads=[2,2,2,2]", FIVE,
        "f32[1,1,5,5] 13 14 15 15 15 18 19 20 20 20 23 24 25 25 25 23 24 25 25 25 23 24 25 25 "
        "25 | i64[1,1,5,5] 12 13 14 14 14 17 18 19 19 19 22 23 24 24 24 22 23 24 24 24 22 23 24 "
        "24 24");
    one_expect("MaxPool", "kernel_shape=[2,2] strides=[2,2] storage_order=1", FIVE,
               "f32[1,1,2,2] 7 9 17 19 | i64[1,1,2,2] 6 16 8 18");
    one_expect("MaxPool", "kernel_shape=[3,3] strides=[2,2] auto_pad=SAME_UPPER", FIVE,
               "f32[1,1,3,3] 7 9 10 17 19 20 22 24 25");
    one_expect("MaxPool", "kernel_shape=[3,3] strides=[2,2] ceil_mode=1", "f32[1,1,4,4] ..",
               "f32[1,1,2,2] 10 11 14 15");
    one_expect("MaxPool", "kernel_shape=[2,2] dilations=[2,2]", "f64[1,1,4,4] ..",
               "f64[1,1,2,2] 10 11 14 15");
    one_expect("MaxPool", "kernel_shape=[2] pads=[1,1]", "i8[1,2,4] 5 -3 7 -8 2 -1 0 4",
               "i8[1,2,5] 5 5 7 7 -8 2 2 0 4 4 | i64[1,2,5] 0 0 2 2 3 4 4 6 7 7");
    one_expect("MaxPool", "kernel_shape=[1] pads=[1,0]", "i8[1,1,2] -3 5", "i8[1,1,3] -128 -3 5");
    one_expect("MaxPool", "kernel_shape=[3] strides=[2]", "u8[1,2,4] 5 253 7 248 2 255 0 4",
               "u8[1,2,1] 253 255");
    /* 1 -2 inf as f16, as bf16 */
    one_expect("MaxPool", "kernel_shape=[2]", "f16[1,1,3] 15360 49152 31744",
               "f16[1,1,2] 15360 31744");
    one_expect("MaxPool", "kernel_shape=[2]", "bf16[1,1,3] 16256 49152 32640",
               "bf16[1,1,2] 16256 32640");
    /* what is no number is the largest; of equals the first counts */
    one_expect("MaxPool", "kernel_shape=[2]", "f64[1,1,4] 1 nan 3 3",
               "f64[1,1,3] nan nan 3 | i64[1,1,3] 1 1 2");
    one_expect("MaxPool", "kernel_shape=[1] pads=[1,0]", "f32[1,1,2] -5 -6",
               "f32[1,1,3] -inf -5 -6");
    one_expect("MaxPool", "kernel_shape=[2]", "f32[0,3,5]", "f32[0,3,4] | i64[0,3,4]");
}

static void test_average(void **state) {
    (void)state;
    one_expect("AveragePool", "kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,2]", FIVE,
               "f32[1,1,3,3] 4 5.5 7 11.5 13 14.5 19 20.5 22");
    one_expect("AveragePool", "kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,2] count_include_pad=1",
               FIVE,
               "f32[1,1,3,3] 1.77777779 3.66666675 3.11111116 7.66666651 13 9.66666698 8.44444466 "
               "13.666667 9.77777767");
    one_expect("AveragePool", "kernel_shape=[3,3] strides=[2,2] ceil_mode=1", "f32[1,1,4,4] ..",
               "f32[1,1,2,2] 5 6.5 11 12.5");
    /* what hangs over the end is no padding, and is not counted */
    one_expect("AveragePool",
               "kernel_shape=[3,3] strides=[2,2] ceil_mode=1 count_include_pad=1 pads=[1,1,0,0]",
               "f32[1,1,4,4] ..", "f32[1,1,2,2] 1.11111116 2.66666675 5.66666651 10");
    one_expect("AveragePool", "kernel_shape=[1] pads=[1,0]", "f32[1,1,2] 5 6", "f32[1,1,3] 0 5 6");
    /* 1 2 and 1.5 as f16 */
    one_expect("AveragePool", "kernel_shape=[2]", "f16[1,1,2] 15360 16384", "f16[1,1,1] 15872");
}

static void test_lp(void **state) {
    (void)state;
    one_expect_near("LpPool", "kernel_shape=[2,2] pads=[1,1,0,0]", "f32[1,1,3,3] ..",
                    "f32[1,1,3,3] 0 1 2.23606801 3 5.09901953 6.78233004 6.70820379 10.4880886 "
                    "12.4096737",
                    1e-6);
    one_expect("LpPool", "kernel_shape=[2] strides=[2] p=1", "f32[1,1,6] -3 -2 -1 0 1 2",
               "f32[1,1,3] 5 1 3");
    one_expect_near("LpPool", "kernel_shape=[3] p=3", "f64[1,1,4] ..",
                    "f64[1,1,2] 2.0800838230519041 3.3019272488946263", 1e-15);
}

static void test_global(void **state) {
    (void)state;
    one_expect("GlobalAveragePool", "", "f32[1,2,3,7] ..", "f32[1,2,1,1] 10 31");
    one_expect("GlobalMaxPool", "", "f32[1,2,5] -3 -1 -2 -9 -4 7 nan 9 8 1", "f32[1,2,1] -1 nan");
    one_expect_near("GlobalLpPool", "", "f32[1,2,2,2] -3 -2 -1 0 1 2 3 4",
                    "f32[1,2,1,1] 3.7416575 5.47722578", 1e-6);
    one_expect_near("GlobalLpPool", "p=3", "f32[1,2,2,2] -3 -2 -1 0 1 2 3 4",
                    "f32[1,2,1,1] 3.3019273 4.6415887", 1e-6);
    one_expect("GlobalAveragePool", "", "f64[2,1,1,17] ..", "f64[2,1,1,1] 8 25");
    one_expect("GlobalMaxPool", "", "f16[1,1,3] 15360 49152 31744", "f16[1,1,1] 31744");
    one_expect("GlobalAveragePool", "", "f32[3,2] ..", "f32[3,2] ..");
    one_expect("GlobalAveragePool", "", "f32[0,2,4]", "f32[0,2,1]");
}

/* PP-OCRv4 rec and cls, ResNet50, Magika. */
static void test_real_shapes(void **state) {
    (void)state;
    static const struct {
        const char *type, *attributes;
        uint32_t rank;
        int64_t x[4], y[4];
    } cases[] = {
        {"AveragePool",
         "kernel_shape=[3,2] strides=[3,2] pads=[0,0,0,0] ceil_mode=0 count_include_pad=0",
         4,
         {1, 480, 3, 80},
         {1, 480, 1, 40}},
        {"MaxPool", "kernel_shape=[2,2] strides=[2,2]", 4, {1, 200, 2, 96}, {1, 200, 1, 48}},
        {"MaxPool",
         "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]",
         4,
         {1, 64, 112, 112},
         {1, 64, 56, 56}},
        {"AveragePool", "kernel_shape=[7,7] strides=[1,1]", 4, {1, 2048, 7, 7}, {1, 2048, 1, 1}},
        {"GlobalAveragePool", "", 4, {1, 240, 6, 80}, {1, 240, 1, 1}},
        {"GlobalMaxPool", "", 3, {1, 512, 508}, {1, 512, 1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct one_node one;
        one_init(&one, cases[i].type, cases[i].attributes);
        const struct onnx_tensor *x = one_input(&one, MM_F32, cases[i].rank, cases[i].x, NULL);
        assert_int_equal(one_run(&one, 1), MM_OK);
        assert_int_equal(one.outputs[0].rank, cases[i].rank);
        assert_memory_equal(one.outputs[0].shape, cases[i].y, cases[i].rank * sizeof(int64_t));
        /* elements count up: the largest is the last of each pool that ends where the image does */
        double last = mmi_onnx_float_at(&one.outputs[0], one.outputs[0].elements - 1);
        bool max = strstr(cases[i].type, "Max") != NULL;
        assert_true(!max || last == (double)x->elements);
        one_fini(&one);
    }
}

/* ---- Against windows walked through */

enum { MAX, AVERAGE, LP };

struct trial {
    int kind;
    int32_t dtype;
    uint32_t axes;
    bool include, column_major;
    int64_t planes, p;
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], begin[3], end[3];
};

/* What one window gives, and the place of the largest element, in the order that is asked for. */
static double naive(const struct trial *t, const double *plane, int64_t result, int64_t *largest) {
    double best = -INFINITY, sum = 0, counted = 0;
    int64_t taps = t->kernel[0] * t->kernel[1] * t->kernel[2];
    for (int64_t tap = 0; tap < taps; tap++) {
        int64_t row_major = 0, column_major = 0, rest = tap, place = result, step = 1;
        bool seen = true, padding = true;
        int64_t at[3];
        for (int i = 2; i >= 0; i--) {
            at[i] = place % t->out[i] * t->stride[i] - t->begin[i] +
                    rest % t->kernel[i] * t->dilation[i];
            seen = seen && at[i] >= 0 && at[i] < t->in[i];
            padding = padding && at[i] < t->in[i] + t->end[i];
            row_major += at[i] * step;
            step *= t->in[i];
            rest /= t->kernel[i];
            place /= t->out[i];
        }
        for (int i = 2; i >= 0; i--) {
            column_major = column_major * t->in[i] + at[i];
        }
        counted += seen || (padding && t->include);
        if (seen && plane[row_major] > best) {
            best = plane[row_major];
            *largest = t->column_major ? column_major : row_major;
        }
        sum += !seen           ? 0
               : t->kind == LP ? pow(fabs(plane[row_major]), (double)t->p)
                               : plane[row_major];
    }
    return t->kind == MAX ? best : t->kind == LP ? pow(sum, 1 / (double)t->p) : sum / counted;
}

static void choose(struct trial *t) {
    static const int32_t dtypes[] = {MM_F32, MM_F64, MM_F16, MM_BF16, MM_I8, MM_U8};
    *t = (struct trial){.kind = (int)between(0, 2),
                        .axes = (uint32_t)between(1, 3),
                        .include = between(0, 1) == 1,
                        .column_major = between(0, 1) == 1,
                        .planes = between(1, 3),
                        .p = between(1, 3)};
    t->dtype = dtypes[between(0, t->kind == MAX ? 5 : 1)];
    for (uint32_t i = 0; i < 3; i++) {
        bool used = i >= 3 - t->axes;
        t->kernel[i] = used ? between(1, 4) : 1;
        t->stride[i] = used ? between(1, 3) : 1;
        t->dilation[i] = used ? between(1, 2) : 1;
        t->begin[i] = used ? between(0, t->kernel[i] - 1) : 0;
        t->end[i] = used ? between(0, t->kernel[i] - 1) : 0;
        t->in[i] = used ? between(t->kernel[i] * t->dilation[i], t->axes == 1 ? 40 : 9) : 1;
    }
}

static void write_attributes(const struct trial *t, char *text, size_t room) {
    const struct {
        const char *name;
        const int64_t *a, *b;
    } lists[] = {{"kernel_shape", t->kernel, NULL},
                 {"strides", t->stride, NULL},
                 {"dilations", t->dilation, NULL},
                 {"pads", t->begin, t->end}};
    const char *own = t->kind == MAX       ? "storage_order"
                      : t->kind == AVERAGE ? "count_include_pad"
                                           : "p";
    int value = t->kind == MAX ? t->column_major : t->kind == AVERAGE ? t->include : (int)t->p;
    int used = snprintf(text, room, "ceil_mode=1 %s=%d", own, value);
    for (size_t l = 0; l < 4; l++) {
        used += snprintf(text + used, room - (size_t)used, " %s=", lists[l].name);
        for (uint32_t i = 0; i < t->axes * (lists[l].b ? 2 : 1); i++) {
            const int64_t *list = i < t->axes ? lists[l].a : lists[l].b;
            used += snprintf(text + used, room - (size_t)used, "%c%d", i == 0 ? '[' : ',',
                             (int)list[3 - t->axes + i % t->axes]);
        }
        used += snprintf(text + used, room - (size_t)used, "]");
    }
}

static void compare(struct trial *t, const struct one_node *one, const double *x,
                    const char *attributes) {
    int64_t seen = t->in[0] * t->in[1] * t->in[2], made = 1;
    for (uint32_t i = 0; i < 3; i++) {
        t->out[i] = i < 3 - t->axes ? 1 : one->outputs[0].shape[i + t->axes - 1];
        made *= t->out[i];
    }
    for (int64_t i = 0; i < made * t->planes; i++) {
        int64_t largest = 0;
        double wanted = naive(t, x + i / made * seen, i % made, &largest);
        double got = mmi_onnx_float_at(&one->outputs[0], (uint64_t)i);
        bool right = fabs(got - wanted) <= 1e-6;
        if (t->kind == MAX && right) {
            right = mmi_onnx_int_at(&one->outputs[1], (uint64_t)i) == i / made * seen + largest;
        }
        if (!right) {
            fail_msg("%s %s %s: element %d is %g, not %g", one->op->name, mm_dtype_text(t->dtype),
                     attributes, (int)i, got, wanted);
        }
    }
}

static void test_random_pools(void **state) {
    (void)state;
    static const char *const names[] = {"MaxPool", "AveragePool", "LpPool"};
    for (int round = 0; round < 600; round++) {
        struct trial t;
        struct one_node one;
        char attributes[240];
        choose(&t);
        write_attributes(&t, attributes, sizeof(attributes));
        one_init(&one, names[t.kind], attributes);
        int64_t shape[5] = {1, t.planes};
        memcpy(shape + 2, t.in + 3 - t.axes, t.axes * sizeof(int64_t));
        one_numbers(&one, t.dtype, t.axes + 2, shape, &seed);
        double *x = mmi_onnx_take(&one.bench.arena, one.inputs[0].elements, sizeof(*x));
        assert_non_null(x);
        for (uint64_t i = 0; i < one.inputs[0].elements; i++) { /* u8: 255 is no -1 */
            x[i] = mmi_onnx_float_at(&one.inputs[0], i);
        }
        if (one_run(&one, t.kind == MAX ? 2 : 1) != MM_OK) {
            fail_msg("%s: %s", attributes, one.bench.err.text);
        }
        compare(&t, &one, x, attributes);
        one_fini(&one);
    }
}

/* ---- Bad input */

static void test_refusals(void **state) {
    (void)state;
    one_refuse("MaxPool", "", "f32[1,1,3] ..", MM_INVALID_MODEL,
               "attribute kernel_shape is missing");
    one_refuse("MaxPool", "kernel_shape=[2]", "i32[1,1,3] ..", MM_UNSUPPORTED,
               "its input 0 is i32");
    one_refuse("AveragePool", "kernel_shape=[2]", "i8[1,1,3] ..", MM_UNSUPPORTED,
               "its input 0 is i8, one of f32 f16 f64 bf16 wanted");
    one_refuse("AveragePool", "kernel_shape=[4]", "f32[1,1,3] ..", MM_INVALID_MODEL,
               "its window spans 4 elements, axis 2 of its input has 3");
    one_refuse("AveragePool", "kernel_shape=[2]", "f32[1,1,3,3] ..", MM_INVALID_MODEL,
               "its attributes are for 1 axes, its input has 2");
    one_refuse("LpPool", "kernel_shape=[2] p=0", "f32[1,1,3] ..", MM_INVALID_MODEL,
               "attribute p is 0, 1 or more wanted");
    one_refuse("GlobalLpPool", "p=-1", "f32[1,1,3] ..", MM_INVALID_MODEL, "attribute p is -1");
    one_refuse("GlobalAveragePool", "", "f32[3] ..", MM_INVALID_MODEL,
               "its input has 1 axes, 2 or more wanted");
    one_refuse("GlobalMaxPool", "", "u8[1,1,3] ..", MM_UNSUPPORTED, "its input 0 is u8");
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct one_node one;
    one_init(&one, "MaxPool", "kernel_shape=[3]");
    one_input(&one, MM_F32, 3, (const int64_t[]){1, 2, 3000}, NULL);
    one_run_out_of_memory(&one, 2);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max),         cmocka_unit_test(test_average),
        cmocka_unit_test(test_lp),          cmocka_unit_test(test_global),
        cmocka_unit_test(test_real_shapes), cmocka_unit_test(test_random_pools),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
