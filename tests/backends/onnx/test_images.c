/* SPDX-License-Identifier: Apache-2.0 */

/* GridSample, AffineGrid, Col2Im, MaxUnpool, DeformConv, RoiAlign, MaxRoiPool. Numbers from the
 * reference of onnx 1.22.0. */

#include "one_node.h"

static const struct one_case grids[] = {
    {"GridSample", "mode=linear padding_mode=zeros align_corners=0",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2.5 0 0", 1e-5},
    {"GridSample", "mode=linear padding_mode=border align_corners=1",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2.625 4.625 0.9", 1e-5},
    {"GridSample", "mode=linear padding_mode=reflection align_corners=0",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2.5 4.75 2.95", 1e-5},
    {"GridSample", "mode=nearest padding_mode=zeros align_corners=0",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2 0 0", 1e-5},
    {"GridSample", "mode=nearest padding_mode=border align_corners=1",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2 5 1", 1e-5},
    {"GridSample", "mode=nearest padding_mode=reflection align_corners=0",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2 5 4", 1e-5},
    {"GridSample", "mode=cubic padding_mode=zeros align_corners=0",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] -0.1875 3.171494 -0.441238 -0.037376", 1e-5},
    {"GridSample", "mode=cubic padding_mode=border align_corners=1",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] 0 2.674805 4.686523 0.85725", 1e-5},
    {"GridSample", "mode=cubic padding_mode=reflection align_corners=0",
     "f32[1,1,2,3] 0 1 2 3 4 5 | f32[1,2,2,2] -1 -1 0.5 -0.25 1.5 0.75 -0.1 -2.2",
     "f32[1,1,2,2] -0.75 2.488281 5.230469 2.954032", 1e-5},
    {"GridSample", "", "f32[1,1,2,2,2] 0 1 2 3 4 5 6 7 | f32[1,1,1,1,3] 0.5 -0.5 0.25",
     "f32[1,1,1,1,1] 4", 1e-5},
    {"AffineGrid", "", "f32[1,2,3] 1 0.5 0 0 2 1 | i64[4] 1 1 2 2",
     "f32[1,2,2,2] -0.75 0 0.25 0 -0.25 2 0.75 2", 1e-5},
    {"AffineGrid", "align_corners=1", "f32[1,2,3] 1 0.5 0 0 2 1 | i64[4] 1 1 2 3",
     "f32[1,2,3,2] -1.5 -1 -0.5 -1 0.5 -1 -0.5 3 0.5 3 1.5 3", 1e-5},
};

static void test_grids(void **state) {
    (void)state;
    one_expect_all(grids, sizeof(grids) / sizeof(grids[0]));
    one_expect("GridSample", "mode=nearest", "@[1,1,1,2] 0 1 | f32[1,1,3,2] 0.5 0 -0.5 0 3 0",
               "@[1,1,1,3] 1 0 0");
    one_expect("GridSample", "mode=nearest padding_mode=reflection",
               "string[1,1,2] a b | f32[1,2,1] 1.25 -7", "string[1,1,2] b b");
    one_expect("GridSample", "padding_mode=border", "u8[1,1,2] 10 20 | f32[1,3,1] nan 1e30 0",
               "u8[1,1,3] 10 20 15");
    one_expect("GridSample", "padding_mode=reflection align_corners=1",
               "f32[1,1,1] 7 | f32[1,2,1] 3 -3", "f32[1,1,2] 7 7");
    one_expect("GridSample", "mode=bicubic opset=16", "f32[1,1,1,1] 1 | f32[1,1,1,2] 0 0",
               "f32[1,1,1,1] 1");
    one_expect("GridSample", "", "f32[1,0,2] | f32[1,3,1] ..", "f32[1,0,3]");
    one_refuse("GridSample", "", "f32[1,1,0] | f32[1,3,1] ..", MM_INVALID_MODEL,
               "axis 2 of its input has 0 elements");
    one_refuse("GridSample", "", "f32[1,1,2] .. | f32[1,3,2] ..", MM_INVALID_MODEL,
               "its input has 3 axes, its grid 3, the last of 2");
    one_refuse("GridSample", "", "string[1,1,1] a | f32[1,1,1] 0", MM_UNSUPPORTED,
               "its input 0 is string");
    one_refuse("GridSample", "mode=bilinear", "f32[1,1,1] 0 | f32[1,1,1] 0", MM_UNSUPPORTED,
               "attribute mode is 'bilinear'");
    one_refuse("AffineGrid", "", "f32[1,2,3] .. | i64[5] 1 1 1 1 1", MM_INVALID_MODEL,
               "its matrices have 3 axes, its size 5 numbers");
    one_refuse("AffineGrid", "", "f32[1,2,3] .. | i64[4] 1 1 -1 1", MM_INVALID_MODEL,
               "no tensor can have");
}

static const struct one_case folds[] = {
    {"Col2Im", "", "f32[1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | i64[2] 3 3 | i64[2] 2 2",
     "f32[1,1,3,3] 0 5 5 10 30 20 10 25 15", 1e-5},
    {"Col2Im", "strides=[2,1] pads=[1,0,1,0] dilations=[1,2]",
     "f32[1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | i64[2] 2 4 | i64[2] 2 2",
     "f32[1,1,2,4] 8 9 12 13 2 3 6 7", 1e-5},
    {"MaxUnpool", "kernel_shape=[2,2] strides=[2,2]",
     "f32[1,1,2,2] 1 2 3 4 | i64[1,1,2,2] 5 7 13 15",
     "f32[1,1,4,4] 0 0 0 0 0 1 0 2 0 0 0 0 0 3 0 4", 1e-5},
    {"MaxUnpool", "kernel_shape=[2] strides=[2]", "f32[1,1,2] 1 2 | i64[1,1,2] 1 2 | i64[3] 1 1 5",
     "f32[1,1,5] 0 1 2 0 0", 1e-5},
};

static void test_folds(void **state) {
    (void)state;
    one_expect_all(folds, sizeof(folds) / sizeof(folds[0]));
    one_expect("Col2Im", "", "u8[1,2,2] 200 1 100 2 | i64[1] 3 | i64[1] 2", "u8[1,1,3] 200 101 2");
    one_expect("Col2Im", "", "f32[1,2,0] | i64[1] 1 | i64[1] 2", "f32[1,1,1] 0");
    one_expect("Col2Im", "",
               "f32[1,4611686014132420609,0] | i64[2] 1 1 | i64[2] 2147483647 2147483647",
               "f32[1,1,1,1] 0");
    one_refuse("Col2Im", "", "f32[1,2,2] .. | i64[1] 4 | i64[1] 2", MM_INVALID_MODEL,
               "its input has 2 rows and 2 columns; a multiple of 2 and 3 wanted");
    one_refuse("Col2Im", "", "f32[1,2,2] .. | i64[1] 4 | i64[1] 0", MM_INVALID_MODEL,
               "axis 0 of its image has 4 elements, of its blocks 0");
    one_refuse("Col2Im", "strides=[1,1]", "f32[1,2,2] .. | i64[1] 3 | i64[1] 2", MM_INVALID_MODEL,
               "its attributes 2");
    one_refuse("Col2Im", "", "f32[1,2,2] .. | ?i64[1] 3 | i64[1] 2", MM_UNSUPPORTED,
               "its image_shape is not known before the run");
    one_refuse("MaxUnpool", "kernel_shape=[2]", "f32[1,1,2] .. | i64[1,1,2] 0 3",
               MM_INVALID_ARGUMENT, "index 3 is outside of its image of 3 elements");
    one_refuse("MaxUnpool", "kernel_shape=[2]", "f32[1,1,2] .. | i64[1,1,1] 0", MM_INVALID_MODEL,
               "its input has 3 axes, its indices 3");
    one_refuse("MaxUnpool", "kernel_shape=[2]", "f32[1,1,2] .. | i64[1,1,2] .. | i64[3] 1 1 2",
               MM_INVALID_MODEL, "its output shape has 3 numbers, or is smaller");
    one_refuse("MaxUnpool", "kernel_shape=[1] pads=[4,4]", "f32[1,1,2] .. | i64[1,1,2] ..",
               MM_INVALID_MODEL, "no tensor can have");
    one_refuse("MaxUnpool", "", "f32[1,1,2] .. | i64[1,1,2] ..", MM_INVALID_MODEL,
               "attribute kernel_shape is missing");
}

static const struct one_case deformed[] = {
    {"DeformConv", "pads=[0,0,0,0]",
     "f32[1,2,3,3] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 | f32[2,2,2,2] -1.25 1.5 1.75 -0.5 "
     "2 0.25 0 -1 -0.25 2 2 -0.25 1 1.75 -0.25 2 | f32[1,8,2,2] 0.5 0.625 0.375 -0.875 0.875 0.125 "
     "0.25 0.125 0.125 -0.875 -0.125 1 0.75 -0.375 -1 1 -0.5 0.75 -0.5 0.125 -0.75 -0.5 -0.25 "
     "0.125 -0.125 -0.5 0.5 0.625 0.375 0.375 -0.625 -0.875 | f32[2] 1 -1 | f32[1,4,2,2] 1.25 1.5 "
     "1.75 0.25 2 1.5 0.25 0.5 1.75 2 0.75 1.5 1.25 1.25 0.75 0",
     "f32[1,2,2,2] 20.0625 41.322266 37.421875 22.146484 91.328125 54.443359 40.988281 14.943359",
     1e-5},
    {"DeformConv", "group=2 offset_group=2 strides=[2,2] pads=[1,1,1,1]",
     "f32[1,2,3,3] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 | f32[2,1,2,2] -2 1 1 -0.75 1.5 "
     "1.75 -2 -0.25 | f32[1,16,2,2] -0.25 2 -2 0 1 -0.75 0.75 -0.75 0.25 -0.75 -1.75 1.75 -0.5 "
     "-1.25 1.75 0 -2 1.25 1.75 0.75 -1 -1 0.25 -2 0.5 1.75 -0.5 0.25 1.5 -1.5 -2 0 0 -0.25 1 0 "
     "0.5 0 -2 1.75 1.5 -0.75 -1.25 0.75 0.75 -1 -2 -1.5 -1.5 -1.75 1.25 -1.75 -2 1.25 0.25 -1.75 "
     "0.25 -2 0 -0.25 -1 1.75 -1 -1.75",
     "f32[1,2,2,2] -2.25 -7.0625 0.4375 -9 19.6875 0 0 22.5625", 1e-5},
};

static void test_deform_conv(void **state) {
    (void)state;
    one_expect_all(deformed, sizeof(deformed) / sizeof(deformed[0]));
    one_expect("DeformConv", "", "bf16[1,1,1,1] 16384 | bf16[1,1,1,1] 16384 | bf16[1,2,1,1] 0 0",
               "bf16[1,1,1,1] 16512");
    one_expect("DeformConv", "", "f32[1,1,1,1] 1 | f32[1,1,1,1] 1 | f32[1,2,1,1] nan 1e30",
               "f32[1,1,1,1] 0");
    one_refuse("DeformConv", "", "f32[1,1,2,2] .. | f32[1,1,1,1] 1 | f32[1,2,1,2] ..",
               MM_INVALID_MODEL, "its input 2 does not fit: [1, 2, 2, 2] wanted");
    one_refuse("DeformConv", "", "f32[1,1,1,1] 1 | f32[1,1,1,1] 1 | f32[1,2,1,1] .. | f32[2] ..",
               MM_INVALID_MODEL, "its bias has 2 elements, 1 on one axis wanted");
    one_refuse("DeformConv", "offset_group=2", "f32[1,1,1,1] 1 | f32[1,1,1,1] 1 | f32[1,4,1,1] ..",
               MM_INVALID_MODEL, "do not fit 1 groups and 2 of offsets");
    one_refuse("DeformConv", "group=0", "f32[1,1,1,1] 1 | f32[1,1,1,1] 1 | f32[1,2,1,1] ..",
               MM_INVALID_MODEL, "attribute group is 0");
    one_refuse("DeformConv", "", "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 0", MM_UNSUPPORTED,
               "its input has 3 axes");
}

static const struct one_case regions[] = {
    {"RoiAlign",
     "mode=avg coordinate_transformation_mode=half_pixel output_height=2 output_width=1 "
     "sampling_ratio=2",
     "f32[1,1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | f32[2,4] 0 0 3 3 1 0.5 2 2.5 | i64[2] 0 "
     "0",
     "f32[2,1,2,1] 2.25 8 3 7", 1e-5},
    {"RoiAlign",
     "mode=avg coordinate_transformation_mode=output_half_pixel output_height=2 output_width=1 "
     "sampling_ratio=2",
     "f32[1,1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | f32[2,4] 0 0 3 3 1 0.5 2 2.5 | i64[2] 0 "
     "0",
     "f32[2,1,2,1] 4.5 10.5 5.5 9.5", 1e-5},
    {"RoiAlign",
     "mode=max coordinate_transformation_mode=half_pixel output_height=2 output_width=1 "
     "sampling_ratio=2",
     "f32[1,1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | f32[2,4] 0 0 3 3 1 0.5 2 2.5 | i64[2] 0 "
     "0",
     "f32[2,1,2,1] 2.8125 6.5625 2.8125 5.0625", 1e-5},
    {"RoiAlign",
     "mode=max coordinate_transformation_mode=output_half_pixel output_height=2 output_width=1 "
     "sampling_ratio=2",
     "f32[1,1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | f32[2,4] 0 0 3 3 1 0.5 2 2.5 | i64[2] 0 "
     "0",
     "f32[2,1,2,1] 3.9375 6.5625 3.375 5.625", 1e-5},
    {"RoiAlign", "output_height=2 output_width=2 opset=10",
     "f32[1,1,4,4] 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 | f32[2,4] 0 0 3 3 1 0.5 2 2.5 | i64[2] 0 "
     "0",
     "f32[2,1,2,2] 3.75 5.25 9.75 11.25 5.25 5.75 9.25 9.75", 1e-5},
};

static void test_regions(void **state) {
    (void)state;
    one_expect_all(regions, sizeof(regions) / sizeof(regions[0]));
    one_refuse("RoiAlign", "", "f32[1,1,2,2] .. | f32[1,4] 0 0 1 1 | i64[1] 1", MM_INVALID_ARGUMENT,
               "a region of image 1, there are 1");
    one_refuse("RoiAlign", "", "f32[1,1,2,2] .. | f32[1,4] 0 0 1 1e30 | i64[1] 0",
               MM_INVALID_ARGUMENT, "needs more than 32768 samples");
    one_refuse("RoiAlign", "", "f32[1,1,2,2] .. | f32[1,4] 0 0 1 nan | i64[1] 0",
               MM_INVALID_ARGUMENT, "needs more than 32768 samples");
    one_refuse("RoiAlign", "", "f32[1,1,2,2] .. | f32[1,4] 0 0 1 1 | i64[2] 0 0", MM_INVALID_MODEL,
               "its batch indices");
    one_refuse("RoiAlign", "output_width=0", "f32[1,1,2,2] .. | f32[0,4] | i64[0]",
               MM_INVALID_MODEL, "output_width is 0, 1 or more wanted");
    one_expect("MaxRoiPool", "pooled_shape=[2,2]", "f32[1,1,3,3] .. | f32[2,5] 0 0 0 2 2 0 1 1 1 1",
               "f32[2,1,2,2] 4 5 7 8 4 4 4 4");
    one_expect("MaxRoiPool", "pooled_shape=[1,1] spatial_scale=0.5",
               "f32[1,1,2,2] .. | f32[2,5] 0 0 0 2 2 0 9 9 9 9", "f32[2,1,1,1] 3 0");
    one_refuse("MaxRoiPool", "pooled_shape=[1,1]", "f32[1,1,2,2] .. | f32[1,5] nan 0 0 1 1",
               MM_INVALID_ARGUMENT, "a region of image");
    one_refuse("MaxRoiPool", "", "f32[1,1,2,2] .. | f32[1,5] 0 0 0 1 1", MM_INVALID_MODEL,
               "pooled_shape[0] is 0");
    one_refuse("MaxRoiPool", "pooled_shape=[1,1]", "f32[1,1,2,2] .. | f32[1,4] ..",
               MM_INVALID_MODEL, "regions of 5 f32 wanted");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids),
        cmocka_unit_test(test_folds),
        cmocka_unit_test(test_deform_conv),
        cmocka_unit_test(test_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
