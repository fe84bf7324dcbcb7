/* SPDX-License-Identifier: Apache-2.0 */

/* Resize. Numbers from ONNX Runtime 1.31.1, those of antialias and align_corners from onnx's node
 * tests; random ones against the formulas, one element at a time. Usage: test_resize [SEED] */

#include "one_node.h"

#include <backends/onnx/operators/resize.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

static int64_t between(int64_t min, int64_t max) {
    return min + (int64_t)test_random_below(&seed, (uint64_t)(max - min + 1));
}

/* ---- Written down */

#define TWO "f32[1,1,2,2] 1 2 3 4"
#define EIGHT "f32[1,1,2,4] 1 2 3 4 5 6 7 8"
#define SIXTEEN "f32[1,1,4,4] 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"

static void test_nearest(void **state) {
    (void)state;
    one_expect("Resize", "", TWO " | - | f32[4] 1 1 2 3",
               "f32[1,1,4,6] 1 1 1 2 2 2 1 1 1 2 2 2 3 3 3 4 4 4 3 3 3 4 4 4");
    /* as PP-OCRv4 has it: the region of interest is there, and empty */
    one_expect("Resize", "coordinate_transformation_mode=asymmetric nearest_mode=floor",
               TWO " | f32[0] | f32[4] 1 1 2 2", "f32[1,1,4,4] 1 1 2 2 1 1 2 2 3 3 4 4 3 3 4 4");
    one_expect("Resize", "", EIGHT " | - | f32[4] 1 1 0.6 0.6", "f32[1,1,1,2] 1 3");
    one_expect("Resize", "", EIGHT " | - | f32[0] | i64[4] 1 1 1 3", "f32[1,1,1,3] 1 2 4");
    one_expect(
        "Resize", "nearest_mode=ceil", SIXTEEN " | - | - | i64[4] 1 1 8 8",
        "f32[1,1,8,8] 1 2 2 3 3 4 4 4 5 6 6 7 7 8 8 8 5 6 6 7 7 8 8 8 9 10 10 11 11 12 12 12 9 "
        "10 10 11 11 12 12 12 13 14 14 15 15 16 16 16 13 14 14 15 15 16 16 16 13 14 14 15 15 16 "
        "16 16");
    one_expect(
        "Resize", "nearest_mode=floor coordinate_transformation_mode=align_corners",
        SIXTEEN " | - | - | i64[4] 1 1 8 8",
        "f32[1,1,8,8] 1 1 1 2 2 3 3 4 1 1 1 2 2 3 3 4 1 1 1 2 2 3 3 4 5 5 5 6 6 7 7 8 5 5 5 6 6 "
        "7 7 8 9 9 9 10 10 11 11 12 9 9 9 10 10 11 11 12 13 13 13 14 14 15 15 16");
    one_expect(
        "Resize", "nearest_mode=round_prefer_ceil coordinate_transformation_mode=asymmetric",
        SIXTEEN " | - | - | i64[4] 1 1 8 8",
        "f32[1,1,8,8] 1 2 2 3 3 4 4 4 5 6 6 7 7 8 8 8 5 6 6 7 7 8 8 8 9 10 10 11 11 12 12 12 9 "
        "10 10 11 11 12 12 12 13 14 14 15 15 16 16 16 13 14 14 15 15 16 16 16 13 14 14 15 15 16 "
        "16 16");
    one_expect("Resize", "", "@[2,2] .. | - | f32[2] 1 2", "@[2,4] 0 0 1 1 2 2 3 3");
}

/* Coordinates that are exactly between two elements, or on one: by exact fractions. */
static void test_ties(void **state) {
    (void)state;
    one_expect("Resize", "coordinate_transformation_mode=half_pixel nearest_mode=round_prefer_ceil",
               "f32[20] .. | - | - | i64[1] 6", "f32[6] 1 5 8 11 15 18");
    one_expect("Resize", "coordinate_transformation_mode=asymmetric nearest_mode=round_prefer_ceil",
               "f32[7] .. | - | - | i64[1] 4", "f32[4] 0 2 4 5");
    one_expect("Resize", "coordinate_transformation_mode=asymmetric nearest_mode=round_prefer_ceil",
               "f32[13] .. | - | - | i64[1] 14", "f32[14] 0 1 2 3 4 5 6 7 7 8 9 10 11 12");
    one_expect("Resize", "coordinate_transformation_mode=half_pixel nearest_mode=floor",
               "f32[10] .. | - | - | i64[1] 6", "f32[6] 0 2 3 5 7 8");
    one_expect("Resize", "coordinate_transformation_mode=half_pixel nearest_mode=floor",
               "f32[7] .. | - | - | i64[1] 1", "f32[1] 3");
    one_expect("Resize", "coordinate_transformation_mode=asymmetric nearest_mode=ceil",
               "f32[9] .. | - | - | i64[1] 3", "f32[3] 0 3 6");
    one_expect("Resize",
               "coordinate_transformation_mode=half_pixel nearest_mode=round_prefer_floor",
               "f32[20] .. | - | - | i64[1] 6", "f32[6] 1 4 8 11 14 18");
    one_expect("Resize", "coordinate_transformation_mode=half_pixel_symmetric nearest_mode=floor",
               "f32[3] .. | - | f32[1] 1.5", "f32[4] 0 0 1 2");
    one_expect(
        "Resize",
        "coordinate_transformation_mode=half_pixel_symmetric nearest_mode=round_prefer_floor",
        "f32[5] .. | - | f32[1] 1.5", "f32[7] 0 1 1 2 3 3 4");
    one_expect("Resize", "coordinate_transformation_mode=half_pixel_symmetric nearest_mode=ceil",
               "f32[7] .. | - | f32[1] 1.5", "f32[10] 0 1 2 2 3 4 4 5 6 6");
}

static void test_sizes(void **state) {
    (void)state;
    one_expect(
        "Resize", "axes=[2,3] keep_aspect_ratio_policy=not_larger", TWO " | - | - | i64[2] 7 7",
        "f32[1,1,7,7] 1 1 1 1 2 2 2 1 1 1 1 2 2 2 1 1 1 1 2 2 2 1 1 1 1 2 2 2 3 3 3 3 4 4 4 3 3 "
        "3 3 4 4 4 3 3 3 3 4 4 4");
    one_expect("Resize", "axes=[2,3] keep_aspect_ratio_policy=not_larger",
               EIGHT " | - | - | i64[2] 1 3", "f32[1,1,1,2] 1 3");
    one_expect("Resize", "axes=[2,3] keep_aspect_ratio_policy=not_smaller",
               EIGHT " | - | - | i64[2] 1 3", "f32[1,1,2,3] 1 2 4 5 6 8");
    one_expect("Resize", "axes=[-1,2]", TWO " | - | - | i64[2] 3 2", "f32[1,1,2,3] 1 1 2 3 3 4");
    one_expect("Resize", "", "f32[0,2] | - | f32[2] 1 2", "f32[0,4]");
    one_expect("Resize", "", "f32[3,2] .. | - | f32[2] 0.3 1", "f32[0,2]");
    one_expect("Resize", "mode=linear", "f32[3,2] .. | - | f32[2] 1 1", "f32[3,2] ..");
}

static void test_linear(void **state) {
    (void)state;
    static const char *const modes[][2] = {
        {"half_pixel",
         "f32[1,1,4,4] 1 1.25 1.75 2 1.5 1.75 2.25 2.5 2.5 2.75 3.25 3.5 3 3.25 3.75 4"},
        {"pytorch_half_pixel",
         "f32[1,1,4,4] 1 1.25 1.75 2 1.5 1.75 2.25 2.5 2.5 2.75 3.25 3.5 3 3.25 3.75 4"},
        {"asymmetric", "f32[1,1,4,4] 1 1.5 2 2 2 2.5 3 3 3 3.5 4 4 3 3.5 4 4"},
        {"align_corners",
         "f32[1,1,4,4] 1 1.33333325 1.66666675 2 1.66666663 2 2.33333349 2.66666675 2.33333325 "
         "2.66666651 3 3.33333349 3 3.33333325 3.66666651 4"}};
    for (size_t i = 0; i < 4; i++) {
        char attributes[80];
        snprintf(attributes, sizeof(attributes), "mode=linear coordinate_transformation_mode=%s",
                 modes[i][0]);
        one_expect_near("Resize", attributes, TWO " | - | f32[4] 1 1 2 2", modes[i][1], 1e-6);
    }
    one_expect_near("Resize", "mode=linear coordinate_transformation_mode=half_pixel_symmetric",
                    "f32[1,1,1,4] 1 2 3 4 | - | f32[4] 1 1 1 0.6",
                    "f32[1,1,1,2] 1.66666675 3.33333325", 1e-6);
    one_expect_near("Resize", "mode=linear coordinate_transformation_mode=pytorch_half_pixel",
                    SIXTEEN " | - | - | i64[4] 1 1 3 1", "f32[1,1,3,1] 1.66666675 7 12.333333",
                    1e-6);
    one_expect_near("Resize", "mode=linear coordinate_transformation_mode=align_corners",
                    EIGHT " | - | f32[4] 1 1 0.6 0.6", "f32[1,1,1,2] 1 3.14285707", 1e-6);
    one_expect_near("Resize", "mode=linear antialias=1", SIXTEEN " | - | f32[4] 1 1 0.6 0.6",
                    "f32[1,1,2,2] 2.875 4.5 9.375 11", 1e-6);
    one_expect_near(
        "Resize", "mode=linear antialias=1", SIXTEEN " | - | - | i64[4] 1 1 3 3",
        "f32[1,1,3,3] 2.36363626 3.590909 4.81818199 7.27272749 8.5 9.72727299 12.181818 "
        "13.409091 14.636364",
        1e-6);
    one_expect("Resize", "mode=linear", "f64[2,2] .. | - | f32[2] 1 2",
               "f64[2,4] 0 0.25 0.75 1 2 2.25 2.75 3");
}

static void test_cubic(void **state) {
    (void)state;
    one_expect_near("Resize", "mode=cubic", SIXTEEN " | - | f32[4] 1 1 0.8 0.8",
                    "f32[1,1,3,3] 1.47119141 2.78125 4.08251953 6.71142578 8.02148438 9.32275391 "
                    "11.9165039 13.2265625 14.5278311",
                    1e-6);
    one_expect_near("Resize", "mode=cubic cubic_coeff_a=-0.5 exclude_outside=1",
                    SIXTEEN " | - | f32[4] 1 1 0.8 0.8",
                    "f32[1,1,3,3] 1.36812675 2.6695013 4.01333666 6.57362604 7.875 9.21883583 "
                    "11.948967 13.2503414 14.5941763",
                    1e-6);
    one_expect_near("Resize", "mode=cubic coordinate_transformation_mode=asymmetric",
                    "f32[4] 1 2 3 4 | - | f32[1] 1.5",
                    "f32[6] 1 1.57407439 2.37036943 3 3.74074125 4.11111259", 1e-6);
    one_expect_near(
        "Resize", "mode=cubic coordinate_transformation_mode=align_corners",
        SIXTEEN " | - | f32[4] 1 1 0.8 0.8",
        "f32[1,1,3,3] 1 2.39519167 3.7903831 6.5807662 7.97595787 9.37114906 12.1615324 "
        "13.5567236 14.9519157",
        1e-6);
    one_expect_near("Resize", "mode=cubic antialias=1", SIXTEEN " | - | f32[4] 1 1 0.6 0.6",
                    "f32[1,1,2,2] 2.51807213 4.28588629 9.58932877 11.3571424", 1e-6);
}

static void test_crop(void **state) {
    (void)state;
    const char *crop = "mode=linear coordinate_transformation_mode=tf_crop_and_resize";
    one_expect_near("Resize", crop,
                    SIXTEEN " | f32[8] 0 0 0.4 0.6 1 1 0.6 0.8 | - | i64[4] 1 1 3 3",
                    "f32[1,1,3,3] 7.6 7.9 8.2 8.8 9.1 9.4 10 10.3 10.6", 1e-6);
    one_expect_near("Resize",
                    "mode=linear axes=[3,2] coordinate_transformation_mode=tf_crop_and_resize",
                    SIXTEEN " | f32[4] 0.6 0.4 0.8 0.6 | - | i64[2] 3 3",
                    "f32[1,1,3,3] 7.6 7.9 8.2 8.8 9.1 9.4 10 10.3 10.6", 1e-6);
    one_expect_near("Resize",
                    "mode=linear coordinate_transformation_mode=tf_crop_and_resize "
                    "extrapolation_value=10.0",
                    SIXTEEN " | f32[8] 0 0 0.4 0.6 1 1 1.2 1.7 | - | i64[4] 1 1 3 3",
                    "f32[1,1,3,3] 7.6 10 10 12.4 10 10 10 10 10", 1e-6);
    one_expect("Resize",
               "nearest_mode=floor coordinate_transformation_mode=tf_crop_and_resize "
               "extrapolation_value=9.0",
               "i32[2,3] 1 2 3 4 5 6 | f32[4] 0 -0.5 1 1 | - | i64[2] 2 4",
               "i32[2,4] 9 1 2 3 9 4 5 6");
    one_expect("Resize",
               "axes=[0] coordinate_transformation_mode=tf_crop_and_resize "
               "extrapolation_value=9.0",
               "i16[3,2] 1 2 3 4 5 6 | f64[2] 0.5 1.5 | - | i64[1] 3", "i16[3,2] 3 4 5 6 9 9");
    /* where what is seen is not known yet, the shape is */
    one_expect("Resize", "coordinate_transformation_mode=tf_crop_and_resize",
               "f32[2] 1 2 | ?f32[2] 0 1 | f32[1] 2", "f32[4] 1 1 2 2");
}

/* Integers are rounded, ties to even, and stay in their range. */
static void test_integers(void **state) {
    (void)state;
    one_expect("Resize", "mode=linear", "u8[1,2] 0 10 | - | f32[2] 1 2", "u8[1,4] 0 2 8 10");
    one_expect("Resize", "mode=cubic", "u8[4] 255 255 0 0 | - | f32[1] 2",
               "u8[8] 255 255 255 197 58 0 0 0");
    one_expect("Resize", "mode=linear", "i8[2] -128 127 | - | f32[1] 2", "i8[4] -128 -64 63 127");
    one_expect("Resize", "mode=linear", "i64[2] -4 4 | - | f32[1] 2", "i64[4] -4 -2 2 4");
    one_expect("Resize", "mode=linear", "u64[2] 0 -1 | - | f32[1] 1.5",
               "u64[3] 0 -9223372036854775808 "
               "-2048");
    one_expect("Resize", "mode=linear", "f16[2] 15360 16384 | - | f32[1] 2",
               "f16[4] 15360 15616 16128 16384");
}

/* Opsets 10 to 12 have other names for what there is, and defaults of their own. */
static void expect_old(int64_t opset, const char *attributes, const float *scales,
                       const int64_t *shape, const float *wanted) {
    struct one_node one;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const int64_t in[] = {1, 1, 2, 4}, four[] = {4};
    one_init(&one, "Resize", attributes);
    one.opset = opset;
    one_input(&one, MM_F32, 4, in, x);
    one.x.input_count++;
    one_input(&one, MM_F32, 1, four, scales);
    assert_int_equal(one_run(&one, 1), MM_OK);
    assert_memory_equal(one.outputs[0].shape, shape, 4 * sizeof(*shape));
    assert_memory_equal(one.outputs[0].data, wanted, one.outputs[0].bytes);
    one_fini(&one);
}

static void test_old_opsets(void **state) {
    (void)state;
    const float smaller[] = {1, 1, 0.6f, 0.6f}, wider[] = {1, 1, 0.5f, 1.5f},
                twice[] = {1, 1, 1, 2};
    expect_old(10, "mode=nearest", smaller, (const int64_t[]){1, 1, 1, 2}, (const float[]){1, 3});
    expect_old(10, "mode=nearest", wider, (const int64_t[]){1, 1, 1, 6},
               (const float[]){1, 1, 2, 3, 3, 4});
    expect_old(10, "mode=linear", twice, (const int64_t[]){1, 1, 2, 8},
               (const float[]){1, 1.5f, 2, 2.5f, 3, 3.5f, 4, 4, 5, 5.5f, 6, 6.5f, 7, 7.5f, 8, 8});
    expect_old(9, "mode=nearest", twice, (const int64_t[]){1, 1, 2, 8},
               (const float[]){1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8});
    expect_old(11, "coordinate_transformation_mode=tf_half_pixel_for_nn nearest_mode=floor",
               smaller, (const int64_t[]){1, 1, 1, 2}, (const float[]){1, 3});
}

/* ---- Against the formulas */

/* Some axes are made larger by whole factors, and smaller ones of the others stay. */
static void test_random_nearest(void **state) {
    (void)state;
    static const int32_t dtypes[] = {MM_F32, MM_F64, MM_F16, MM_U8, MM_BOOL};
    for (int round = 0; round < 300; round++) {
        struct one_node one;
        int64_t shape[6], factors[6];
        float scales[6];
        uint32_t rank = (uint32_t)between(1, 6);
        one_init(&one, "Resize", "coordinate_transformation_mode=asymmetric nearest_mode=floor");
        for (uint32_t i = 0; i < rank; i++) {
            shape[i] = between(1, rank > 4 ? 3 : 7);
            factors[i] = between(0, 1) ? 1 : between(1, 4);
            scales[i] = (float)factors[i];
        }
        const int64_t count = rank;
        const struct onnx_tensor *x = one_input(&one, dtypes[between(0, 4)], rank, shape, NULL);
        one.x.input_count++;
        one_input(&one, MM_F32, 1, &count, scales);
        assert_int_equal(one_run(&one, 1), MM_OK);
        uint32_t width = mmi_onnx_element_bytes(x->dtype);
        for (uint64_t i = 0; i < one.outputs[0].elements; i++) {
            uint64_t rest = i, from = 0, stride = 1;
            for (uint32_t axis = rank; axis-- > 0;) {
                uint64_t out = (uint64_t)(shape[axis] * factors[axis]);
                from += rest % out / (uint64_t)factors[axis] * stride;
                stride *= (uint64_t)shape[axis];
                rest /= out;
            }
            assert_memory_equal((const uint8_t *)one.outputs[0].data + i * width,
                                (const uint8_t *)x->data + from * width, width);
        }
        one_fini(&one);
    }
}

/* Between the two elements at a place on each axis, from axis `axis` on. */
static double between_elements(const int64_t *shape, uint32_t rank, uint32_t axis,
                               const double *places, uint64_t offset, const double *x) {
    if (axis == rank) {
        return x[offset];
    }
    double last = (double)shape[axis] - 1, place = places[axis] < 0 ? 0 : places[axis];
    place = place > last ? last : place;
    double low = floor(place), part = place - low, high = low < last ? low + 1 : low;
    uint64_t from = offset * (uint64_t)shape[axis];
    double a = between_elements(shape, rank, axis + 1, places, from + (uint64_t)low, x);
    double b = between_elements(shape, rank, axis + 1, places, from + (uint64_t)high, x);
    return a + (b - a) * part;
}

static void test_random_linear(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct one_node one;
        int64_t shape[4], sizes[4];
        uint32_t rank = (uint32_t)between(1, 4);
        for (uint32_t i = 0; i < rank; i++) {
            shape[i] = between(1, 7);
            sizes[i] = between(0, 1) ? shape[i] : between(1, 12);
        }
        const int64_t count = rank;
        one_init(&one, "Resize", "mode=linear");
        const double *x = one_numbers(&one, MM_F32, rank, shape, &seed);
        one.x.input_count += 2;
        one_input(&one, MM_I64, 1, &count, sizes);
        assert_int_equal(one_run(&one, 1), MM_OK);
        assert_memory_equal(one.outputs[0].shape, sizes, rank * sizeof(*sizes));
        for (uint64_t i = 0; i < one.outputs[0].elements; i++) {
            double places[4];
            uint64_t rest = i;
            for (uint32_t axis = rank; axis-- > 0;) {
                double at = (double)(rest % (uint64_t)sizes[axis]);
                places[axis] = (at + 0.5) * (double)shape[axis] / (double)sizes[axis] - 0.5;
                rest /= (uint64_t)sizes[axis];
            }
            double wanted = between_elements(shape, rank, 0, places, 0, x);
            assert_true(fabs(mmi_onnx_float_at(&one.outputs[0], i) - wanted) < 1e-5);
        }
        one_fini(&one);
    }
}

/* PP-OCRv4 det. */
static void test_real_shapes(void **state) {
    (void)state;
    static const int64_t cases[][3] = {{96, 20, 2}, {96, 80, 2}, {24, 20, 8}, {24, 40, 4}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct one_node one;
        const int64_t x[] = {1, cases[i][0], cases[i][1], cases[i][1]}, none[] = {0}, four[] = {4};
        const float scales[] = {1, 1, (float)cases[i][2], (float)cases[i][2]};
        const int64_t size = cases[i][1] * cases[i][2], y[] = {1, cases[i][0], size, size};
        one_init(&one, "Resize",
                 "mode=nearest coordinate_transformation_mode=asymmetric nearest_mode=floor");
        const struct onnx_tensor *image = one_input(&one, MM_F32, 4, x, NULL);
        one_input(&one, MM_F32, 1, none, NULL);
        one_input(&one, MM_F32, 1, four, scales);
        assert_int_equal(one_run(&one, 1), MM_OK);
        assert_memory_equal(one.outputs[0].shape, y, sizeof(y));
        assert_true(mmi_onnx_float_at(&one.outputs[0], one.outputs[0].elements - 1) ==
                    (double)image->elements);
        one_fini(&one);
    }
}

/* ---- Bad input */

static void test_refusals(void **state) {
    (void)state;
    one_refuse("Resize", "", "f32[2] ..", MM_INVALID_MODEL, "one of scales and sizes wanted");
    one_refuse("Resize", "", "f32[2] .. | - | f32[0]", MM_INVALID_MODEL,
               "one of scales and sizes wanted");
    one_refuse("Resize", "", "f32[2] .. | - | f32[1] 2 | i64[1] 4", MM_INVALID_MODEL,
               "one of scales and sizes wanted");
    one_refuse("Resize", "coordinate_transformation_mode=tf_crop_and_resize",
               "f32[2] .. | f32[0] | f32[1] 2", MM_INVALID_MODEL,
               "one of scales and sizes wanted, and roi");
    one_refuse("Resize", "coordinate_transformation_mode=tf_crop_and_resize",
               "f32[2] .. | f32[1] 1 | f32[1] 2", MM_INVALID_MODEL,
               "its roi has 1 elements, 2 wanted");
    one_refuse("Resize", "", "f32[2] .. | - | f32[2] 2 2", MM_INVALID_MODEL,
               "its scales has 2 elements, 1 wanted");
    one_refuse("Resize", "axes=[0]", "f32[2,2] .. | - | - | i64[2] 2 2", MM_INVALID_MODEL,
               "its sizes has 2 elements, 1 wanted");
    one_refuse("Resize", "", "f32[2] .. | - | i64[1] 2", MM_INVALID_MODEL, "its scales is i64");
    one_refuse("Resize", "", "f32[2] .. | - | - | f32[1] 2", MM_INVALID_MODEL, "its sizes is f32");
    one_refuse("Resize", "", "f32[2] .. | - | f32[1] 0", MM_INVALID_MODEL,
               "its scales[0] is 0 for 2 elements");
    one_refuse("Resize", "", "f32[2] .. | - | f32[1] nan", MM_INVALID_MODEL,
               "its scales[0] is nan");
    one_refuse("Resize", "", "f32[2] .. | - | f32[1] 1e30", MM_INVALID_MODEL,
               "its scales[0] is 1e+30 for 2 elements");
    one_refuse("Resize", "", "f32[2] .. | - | - | i64[1] -3", MM_INVALID_MODEL,
               "its sizes[0] is -3 for 2 elements");
    one_refuse("Resize", "", "f32[0] | - | - | i64[1] 3", MM_INVALID_MODEL,
               "its sizes[0] is 3 for 0 elements");
    one_refuse("Resize", "keep_aspect_ratio_policy=not_smaller",
               "f32[1,9] .. | - | - | i64[2] 281474976710656 1", MM_INVALID_MODEL,
               "its sizes make axis 1");
    one_refuse("Resize", "", "f32[2] .. | - | f32[1] 1e13", MM_TOO_LARGE, "");
    one_refuse("Resize", "axes=[1]", "f32[2] .. | - | f32[1] 2", MM_INVALID_MODEL,
               "axis 1 of a tensor with 1 axes");
    one_refuse("Resize", "axes=[0,-2]", "f32[2,2] .. | - | f32[2] 2 2", MM_INVALID_MODEL,
               "attribute axes names axis 0 twice");
    one_refuse("Resize", "", "f32[2] .. | - | ?f32[1] 2", MM_UNSUPPORTED,
               "its scales are not known before the run");
    one_refuse("Resize", "", "f32[2] .. | - | - | ?i64[1] 2", MM_UNSUPPORTED,
               "its sizes are not known before the run");
    one_refuse("Resize", "mode=linear", "bool[2] 0 1 | - | f32[1] 2", MM_UNSUPPORTED,
               "its input 0 is bool");
    one_expect("Resize", "mode=nearest", "string[2] a b | - | f32[1] 2", "string[4] a a b b");
    one_refuse("Resize", "mode=lanczos", "f32[2] .. | - | f32[1] 2", MM_UNSUPPORTED,
               "attribute mode is 'lanczos'");
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct one_node one;
    one_init(&one, "Resize", "mode=linear");
    one_input(&one, MM_F32, 2, (const int64_t[]){2, 900}, NULL);
    one.x.input_count += 2;
    one_input(&one, MM_I64, 1, (const int64_t[]){2}, (const int64_t[]){3, 800});
    one_run_out_of_memory(&one, 1);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest),        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_linear),
        cmocka_unit_test(test_cubic),          cmocka_unit_test(test_crop),
        cmocka_unit_test(test_integers),       cmocka_unit_test(test_old_opsets),
        cmocka_unit_test(test_random_nearest), cmocka_unit_test(test_random_linear),
        cmocka_unit_test(test_real_shapes),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
