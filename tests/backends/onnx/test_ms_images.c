/* SPDX-License-Identifier: Apache-2.0 */

/* Operators of com.microsoft on images and matrices, and a decoder's attention. Numbers by hand
 * and, from the formulas, by numpy. */

#include "one_node.h"

#define MS "com.microsoft/"

static const struct one_case cases[] = {
    {MS "GroupNorm", "groups=2 activation=1 epsilon=0.5",
     "f32[1,1,2,4] 1 2 3 4 -1 0 5 2 | f32[4] 1 2 0.5 1 | f32[4] 0 1 -1 0.25",
     "f32[1,1,2,4] 0.224277 3.14788 -0.277557 0.40945 -0.276039 0.136855 -0.170362 -0.258425",
     1e-5},
    {MS "GroupNorm", "groups=2 channels_last=0 activation=0 epsilon=0.5",
     "f32[1,4,1,2] 1 -1 2 0 3 5 4 2 | f16[4] 15360 16384 14336 15360 | f32[4] 0 1 -1 0.25",
     "f32[1,4,1,2] 0.377964 -1.13389 3.26779 0.244071 -1.18898 -0.433053 0.627964 -0.883893", 1e-5},
    {MS "GroupNorm", "groups=1 activation=0", "f32[1,0,2,1] | f32[1] 1 | f32[1] 0", "f32[1,0,2,1]",
     0},
    {MS "SkipGroupNorm", "groups=2 activation=1 epsilon=0.5",
     "f32[1,1,2,4] 1 2 3 4 -1 0 5 2 | f32[4] 1 2 0.5 1 | f32[4] 0 1 -1 0.25 | "
     "f32[1,4] 1 0 -1 2 | f32[4] 0.5 0 0 -1",
     "f32[1,1,2,4] 0.731059 1.98055 -0.270537 1.10658 -0.212606 -0.268941 -0.249529 -0.0598941 | "
     "f32[1,1,2,4] 2.5 2 2 5 0.5 0 4 3",
     1e-5},
    {MS "SkipGroupNorm", "groups=1 activation=0 epsilon=0.0 channels_last=0",
     "f32[1,2,1,1] 1 2 | f32[2] 1 1 | f32[2] 0 0 | f32[1,2,1,1] 1 2",
     "f32[1,2,1,1] -1 1 | f32[1,2,1,1] 2 4", 1e-5},
    {MS "NhwcConv", "", "f32[1,2,2,2] .. | f32[1,2,2,2] 1 0 -1 2 0.5 1 2 -1 | f32[1] 1",
     "f32[1,1,1,1] 17", 0},
    {MS "NhwcConv", "group=2 strides=[1,2]", "f32[1,1,3,2] .. | f32[2,1,1,1] 2 3 | f32[2] 0 1",
     "f32[1,1,2,2] 0 4 8 16", 0},
    {MS "NhwcConv", "", "f16[1,1,2,2] 0 15360 16384 16896 | f16[1,1,1,2] 15360 16384",
     "f16[1,1,2,1] 16384 18432", 0},
    {MS "NhwcMaxPool", "kernel_shape=[1,2]", "u8[1,1,3,2] 1 9 200 3 4 255",
     "u8[1,1,2,2] 200 9 200 255", 0},
    {MS "NhwcMaxPool", "kernel_shape=[2] pads=[1,0]", "i8[1,2,1] -128 -5", "i8[1,2,1] -128 -5", 0},
    {MS "Inverse", "", "f32[2,2] 0 2 4 1", "f32[2,2] -0.125 0.25 0.5 0", 1e-6},
    {MS "Inverse", "", "f64[2,1,1] 4 0.5", "f64[2,1,1] 0.25 2", 1e-12},
    {MS "Inverse", "", "f16[0,2,2]", "f16[0,2,2]", 0},
    {MS "Trilu", "upper=0", "f32[2,2] 1 2 3 4 | i64[] -1", "f32[2,2] 0 0 3 0", 0},
    {MS "GridSample", "mode=bilinear align_corners=1",
     "f32[1,1,1,3] 1 2 4 | f32[1,1,3,2] 0 0 0.5 0 1 0", "f32[1,1,1,3] 2 3 4", 1e-6},
    {MS "Unique", "", "i32[6] 2 1 1 3 4 3", "i32[4] 2 1 3 4 | i64[6] 0 1 1 2 3 2 | i64[4] 1 2 2 1",
     0},
    {MS "ExpandDims", "", "f32[2] 5 6 | i32[] -1", "f32[2,1] 5 6", 0},
    {MS "ExpandDims", "", "i64[2,1] 5 6 | i32[1] 0", "i64[1,2,1] 5 6", 0},
    /* the whole image turned around, then a box half outside */
    {MS "CropAndResize", "extrapolation_value=7.0",
     "f32[1,1,2,2] 1 2 3 4 | f32[2,4] 1 1 0 0 0 0.5 1 1.5 | i32[2] 0 0 | i32[2] 2 3",
     "f32[2,1,2,3] 4 3.5 3 2 1.5 1 1.5 2 7 3.5 4 7", 1e-6},
    {MS "CropAndResize", "mode=nearest",
     "f32[2,1,1,3] 1 2 3 4 5 6 | f32[1,4] 0 0 1 0.9 | i32[1] 1 | i32[2] 1 2", "f32[1,1,1,2] 4 6",
     0},
    {MS "ConvTransposeWithDynamicPads", "strides=[2]",
     "f32[1,1,2] 1 2 | f32[1,1,3] 1 1 1 | i64[2] 1 0 | f32[1] 10", "f32[1,1,4] 11 13 12 12", 0},
    {MS "ConvTransposeWithDynamicPads", "", "f32[1,1,2] 1 2 | f32[1,1,2] 1 1", "f32[1,1,3] 1 3 2",
     0},
    {MS "GemmFastGelu", "", "f32[2,2] 1 2 -1 0.5 | f32[2,3] 1 0 -1 0.5 1 0.25 | f32[3] 0 1 -1",
     "f32[2,3] 1.9546 2.99636 -0.100428 -0.170039 1.39957 0.0687172", 1e-4},
    {MS "GemmFastGelu", "", "f32[2,2] 1 2 -1 0.5 | f32[2,3] 1 0 -1 0.5 1 0.25",
     "f32[2,3] 1.9546 1.9546 -0.154286 -0.170039 0.345714 0.978225", 1e-4},
    /* one row of the cache is used, the new one lies behind it */
    {MS "DecoderMaskedMultiHeadAttention", "num_heads=1 past_present_share_buffer=1",
     "f32[1,1,2] 1 0.5 | f32[1,1,2] 0.2 1 | f32[1,1,2] 3 4 | - | - | f32[1,1,3,2] 1 0 9 9 8 8 | "
     "f32[1,1,3,2] 1 2 7 7 6 6 | i32[] 1 | - | - | f32[6] 0.1 0.2 0.3 0.4 0.5 0.6",
     "f32[1,1,2] 2.43858 3.49613 | f32[1,1,3,2] 1 0 0.5 1.4 8 8 | f32[1,1,3,2] 1 2 3.5 4.6 6 6",
     1e-5},
    /* in f16: 0; 5 and 6 behind 1 and 2, of which 4 is the mean */
    {MS "DecoderMaskedMultiHeadAttention", "num_heads=1 past_present_share_buffer=1",
     "f16[1,1,1] 0 | f16[1,1,1] 17664 | f16[1,1,1] 17920 | i32[1,2] 1 1 | - | "
     "f16[1,1,2,1] 15360 0 | f16[1,1,2,1] 16384 0 | i32[1] 1 | i32[1] 1",
     "f16[1,1,1] 17408 | f16[1,1,2,1] 15360 17664 | f16[1,1,2,1] 16384 17920", 0},
    /* of another sequence; the first key is hidden a little */
    {MS "DecoderMaskedMultiHeadAttention", "num_heads=1 mask_filter_value=-2.0",
     "f32[1,1,2] 1 0.5 | f32[1,1,2,2] 1 0 9 9 | f32[1,1,2,2] 1 2 7 7 | i32[1,2] 1 0",
     "f32[1,1,2] 6.99358 6.99465", 1e-5},
    {MS "DecoderMaskedMultiHeadAttention", "num_heads=1 mask_filter_value=-2.0 output_qk=1",
     "f32[1,1,2] 1 0.5 | f32[1,1,2,2] 1 0 9 9 | f32[1,1,2,2] 1 2 7 7 | i32[1,2] 1 0",
     "f32[1,1,2] 6.99358 6.99465 | f32[1,1,2,2] 1 0 9 9 | f32[1,1,2,2] 1 2 7 7 | "
     "f32[1,1,1,2] 0.707107 7.54594",
     1e-5},
    /* not a shared buffer: as MultiHeadAttention */
    {MS "DecoderMaskedMultiHeadAttention", "num_heads=1",
     "f32[1,1,1] 0 | f32[1,1,1] 5 | f32[1,1,1] 6 | - | - | f32[1,1,1,1] 1 | f32[1,1,1,1] 2",
     "f32[1,1,1] 4 | f32[1,1,2,1] 1 5 | f32[1,1,2,1] 2 6", 1e-5},
};

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_images(void **state) {
    (void)state;
    one_refuse(MS "GroupNorm", "groups=3 activation=0", "f32[1,1,1,4] .. | f32[4] .. | f32[4] ..",
               MM_INVALID_MODEL, "4 channels; 4, and a multiple of 3");
    one_refuse(MS "GroupNorm", "activation=0", "f32[1,1,1,4] .. | f32[4] .. | f32[4] ..",
               MM_INVALID_MODEL, "attribute groups is 0");
    one_refuse(MS "GroupNorm", "groups=1 activation=2", "f32[1,1,1,1] 1 | f32[1] 1 | f32[1] 1",
               MM_UNSUPPORTED, "attribute activation is 2");
    one_refuse(MS "GroupNorm", "groups=1", "f32[1,1,1,2] .. | f32[1] 1 | f32[2] ..",
               MM_INVALID_MODEL, "its input 1 has 1 axes and 1 elements; one of 2 wanted");
    one_refuse(MS "SkipGroupNorm", "groups=1",
               "f32[1,1,2,1] .. | f32[1] 1 | f32[1] 1 | f32[1,1,2] ..", MM_INVALID_MODEL,
               "its skip is f32 with 3 axes and 2 elements");
    one_refuse(MS "GroupNorm", "groups=1", "f32[0,4611686018427387904,1,1] | f32[1] 1 | f32[1] 1",
               MM_TOO_LARGE, "too large");
    one_refuse(MS "NhwcConv", "", "f32[1,1,1,2] .. | f32[1,1,1,3] ..", MM_INVALID_MODEL,
               "channels");
    one_refuse(MS "NhwcConv", "", "f32[1,2] .. | f32[1,2] ..", MM_INVALID_MODEL, "axes");
    one_refuse(MS "NhwcMaxPool", "kernel_shape=[1,1]", "f32[1,1,1,1] 1", MM_UNSUPPORTED, "f32");
    one_refuse(MS "NhwcMaxPool", "", "u8[1,1,1,1] 1", MM_INVALID_MODEL, "kernel_shape is missing");
    one_refuse(MS "CropAndResize", "", "f32[1,1,1,1] 1 | f32[1,4] 0 0 1 1 | i32[1] 1 | i32[2] 1 1",
               MM_INVALID_ARGUMENT, "batch_indices[0] is 1, of 1 images");
    one_refuse(MS "CropAndResize", "", "f32[1,1,1,1] 1 | f32[1,4] 0 0 1 1 | i32[1] 0 | i32[2] 1 0",
               MM_INVALID_MODEL, "its crop_size has 2 numbers");
    one_refuse(MS "CropAndResize", "", "f32[1,1,1,1] 1 | f32[1,4] 0 0 1 1 | i32[1] 0 | ?i32[2] 1 1",
               MM_UNSUPPORTED, "its crop_size is not known before the run");
    one_refuse(MS "CropAndResize", "", "f32[1,1,0,1] | f32[1,4] 0 0 1 1 | i32[1] 0 | i32[2] 1 1",
               MM_INVALID_MODEL, "[N, C, H, W], [boxes, 4] and [boxes] wanted");
    one_refuse(MS "ConvTransposeWithDynamicPads", "",
               "f32[1,1,2] 1 2 | f32[1,1,2] 1 1 | i64[4] 1 1 1 1", MM_INVALID_MODEL,
               "4 pads for an input of 3 axes");
    one_refuse(MS "ConvTransposeWithDynamicPads", "",
               "f32[1,1,2] 1 2 | f32[1,1,2] 1 1 | i64[2] -1 0", MM_INVALID_MODEL, "pad 0 is -1");
    one_refuse(MS "ConvTransposeWithDynamicPads", "pads=[0,0]", "f32[1,1,2] 1 2 | f32[1,1,2] 1 1",
               MM_INVALID_MODEL, "attribute pads, which it does not have");
}

static void test_matrices(void **state) {
    (void)state;
    one_refuse(MS "Inverse", "", "f32[2,3] ..", MM_INVALID_MODEL, "a stack of squares wanted");
    one_refuse(MS "Inverse", "", "f32[0,4294967296,4294967296]", MM_TOO_LARGE, "too large");
    one_refuse(MS "ExpandDims", "", "f32[2] .. | i32[] 3", MM_INVALID_MODEL, "axis");
    one_refuse(MS "ExpandDims", "", "f32[2] .. | i32[2] 0 1", MM_INVALID_MODEL,
               "its axis has 2 elements, 1 wanted");
    one_refuse(MS "ExpandDims", "", "f32[2] .. | ?i32[] 0", MM_UNSUPPORTED,
               "not known before the run");
    one_refuse(MS "Unique", "", "i32[1,2] 1 2", MM_INVALID_MODEL, "its input has 2 axes, 1 wanted");
    one_refuse(MS "GemmFastGelu", "", "f32[1,2] 1 2 | f32[2,1] 1 2 | f32[2] 1 2", MM_INVALID_MODEL,
               "its bias has 1 axes and 2 elements; one of 1 wanted");
}

#define DECODER MS "DecoderMaskedMultiHeadAttention"
#define SHARED "num_heads=1 past_present_share_buffer=1"
#define ROW "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1 | "

static void test_decoder(void **state) {
    (void)state;
    one_refuse(DECODER, "num_heads=1", "f32[1,2,1] 1 1 | f32[1,1,1] 1 | f32[1,1,1] 1",
               MM_INVALID_MODEL, "its query has 3 axes, 2 rows; [batch, 1, hidden] wanted");
    one_refuse(DECODER, "num_heads=1", "f32[1,1,3] ..", MM_UNSUPPORTED,
               "keys and values packed with the query");
    one_refuse(DECODER, SHARED, ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1 | i32[] 2",
               MM_INVALID_ARGUMENT, "past_sequence_length is 2, its past has room for 2 rows");
    one_refuse(DECODER, SHARED, ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1 | i32[] -1",
               MM_INVALID_ARGUMENT, "past_sequence_length is -1");
    one_refuse(DECODER, SHARED, ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1", MM_INVALID_MODEL,
               "wants past_sequence_length");
    one_refuse(DECODER, SHARED, ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,3,1] 1 1 1 | i32[] 1",
               MM_INVALID_MODEL, "its input 6 of 4 axes is not");
    one_refuse(DECODER, SHARED, ROW "- | - | f32[1,1,2,1] 1 1 | - | i32[] 1", MM_INVALID_MODEL,
               "without the other");
    one_refuse(DECODER, SHARED,
               ROW "i32[1,1] 1 | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1 | i32[] 1", MM_UNSUPPORTED,
               "a mask of i32 with 2 axes");
    one_refuse(DECODER, SHARED,
               ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1 | i32[] 1 | i32[] 2",
               MM_INVALID_ARGUMENT, "beam_width is 2");
    one_refuse(DECODER, SHARED,
               ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1 | i32[] 1 | i32[] 1 | "
                   "i32[1,1,2] 0 0",
               MM_UNSUPPORTED, "a cache_indirection");
    one_refuse(DECODER, SHARED " output_qk=1",
               ROW "- | - | f32[1,1,2,1] 1 1 | f32[1,1,2,1] 1 1 | i32[] 1", MM_UNSUPPORTED,
               "output_qk 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
