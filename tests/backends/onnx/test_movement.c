/* SPDX-License-Identifier: Apache-2.0 */

/* Elements at other places. Numbers from ONNX Runtime 1.31.1 and numpy. */

#include "one_node.h"

static void test_slice(void **state) {
    (void)state;
    one_expect("Slice", "", "@[4,5] .. | i64[2] 1 0 | i64[2] 3 4", "@[2,4] 5 6 7 8 10 11 12 13");
    one_expect("Slice", "", "@[4,5] .. | i64[1] -1 | i64[1] -100 | i64[1] 0 | i64[1] -1",
               "@[4,5] 15 16 17 18 19 10 11 12 13 14 5 6 7 8 9 0 1 2 3 4");
    one_expect("Slice", "", "f32[4,5] .. | i64[2] 0 4 | i64[2] 1000 0 | i64[2] -2 -1 | i64[2] 2 -2",
               "f32[2,2] 4 2 14 12");
    one_expect("Slice", "", "f32[4,5] .. | i64[1] 3 | i64[1] 2 | i64[1] 1", "f32[4,0]");
    one_expect("Slice", "",
               "f32[10] .. | i64[1] -9223372036854775808 | i64[1] 9223372036854775807 | i64[1] 0 | "
               "i64[1] 3",
               "f32[4] 0 3 6 9");
    one_expect("Slice", "",
               "f32[10] .. | i64[1] 9223372036854775807 | i64[1] -9223372036854775808 | i64[1] 0 | "
               "i64[1] -4",
               "f32[3] 9 5 1");
    one_expect("Slice", "",
               "f32[10] .. | i64[1] 2 | i64[1] 3 | i64[1] 0 | i64[1] 9223372036854775807",
               "f32[1] 2");
    one_expect("Slice", "", "f32[2,0,3] | i64[1] 0 | i64[1] 5 | i64[1] 2", "f32[2,0,3]");
    one_expect("Slice", "", "f32[3,2,2] .. | i64[1] 1 | i64[1] 2 | i64[1] 1",
               "f32[3,1,2] 2 3 6 7 10 11");
    one_expect("Slice", "", "f32[3] .. | i32[1] 1 | i32[1] 3", "f32[2] 1 2");
    one_expect("Slice", "", "f32[0] | i64[1] 5 | i64[1] -7 | i64[1] 0 | i64[1] -1", "f32[0]");
    one_expect("Slice", "", "f32[] 3 | i64[0] | i64[0]", "f32[] 3");
    one_refuse("Slice", "", "f32[3] .. | i64[2] 1 1 | i64[1] 3", MM_INVALID_MODEL,
               "2 starts, 1 ends");
    one_refuse("Slice", "", "f32[3] .. | i64[2] 1 1 | i64[2] 3 3", MM_INVALID_MODEL, "for 1 axes");
    one_refuse("Slice", "", "f32[3] .. | i64[1] 1 | i64[1] 3 | i64[1] 1", MM_INVALID_MODEL,
               "axis 1 of a tensor with 1 axes");
    one_refuse("Slice", "", "f32[3] .. | i64[1] 1 | i64[1] 3 | i64[1] 0 | i64[1] 0",
               MM_INVALID_MODEL, "axis 0 is sliced in steps of 0");
    one_refuse("Slice", "", "f32[3,3] .. | i64[2] 1 1 | i64[2] 3 3 | i64[2] 1 -1", MM_INVALID_MODEL,
               "axis 1 is sliced twice");
    one_refuse("Slice", "", "f32[3] .. | ?i64[1] 1 | i64[1] 3", MM_UNSUPPORTED,
               "its starts is not known before the run");
    one_refuse("Slice", "", "f32[3] .. | i64[1] 1 | i64[1] 3 | - | ?i64[1] 1", MM_UNSUPPORTED,
               "its steps is not known");
    one_refuse("Slice", "", "u4[3] | i64[1] 1 | i64[1] 3", MM_UNSUPPORTED, "its input 0 is u4");
}

static void test_split(void **state) {
    (void)state;
    one_expect("Split", "", "@[6] .. | i64[3] 1 2 3", "@[1] 0 | @[2] 1 2 | @[3] 3 4 5");
    one_expect("Split", "axis=-1", "f32[2,6] .. | i64[3] 2 0 4",
               "f32[2,2] 0 1 6 7 | f32[2,0] | f32[2,4] 2 3 4 5 8 9 10 11");
    one_expect("Split", "axis=1 num_outputs=4", "f32[2,8] ..",
               "f32[2,2] 0 1 8 9 | f32[2,2] 2 3 10 11 | f32[2,2] 4 5 12 13 | f32[2,2] 6 7 14 15");
    one_expect("Split", "num_outputs=3", "f32[7] ..", "f32[3] .. | f32[3] 3 4 5 | f32[1] 6");
    one_expect("Split", "", "f32[20] .. | i64[20] 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
               "f32[1] 0 | f32[1] 1 | f32[1] 2 | f32[1] 3 | f32[1] 4 | f32[1] 5 | f32[1] 6 | "
               "f32[1] 7 | f32[1] 8 | f32[1] 9 | f32[1] 10 | f32[1] 11 | f32[1] 12 | f32[1] 13 | "
               "f32[1] 14 | f32[1] 15 | f32[1] 16 | f32[1] 17 | f32[1] 18 | f32[1] 19");
    one_expect("Split", "num_outputs=4", "f32[5] ..", "f32[2] .. | f32[2] 2 3 | f32[1] 4 | f32[0]");
    one_expect("Split", "axis=1", "f32[0,4]", "f32[0,2] | f32[0,2]");
    one_refuse("Split", "axis=1", "f32[3] ..", MM_INVALID_MODEL, "axis 1 of a tensor with 1 axes");
    one_refuse("Split", "num_outputs=2", "f32[3] ..", MM_INVALID_MODEL,
               "num_outputs is 2 with 1 outputs");
    one_refuse("Split", "", "f32[3] .. | i64[2] 1 2", MM_INVALID_MODEL, "2 lengths for 1 outputs");
    one_refuse("Split", "", "f32[3] .. | i64[1] 4", MM_INVALID_MODEL,
               "part 0 has 4 elements of an axis with 3 left");
    one_refuse("Split", "", "f32[3] .. | i64[1] -1", MM_INVALID_MODEL, "part 0 has -1 elements");
    one_refuse("Split", "", "f32[3] .. | i64[1] 2", MM_INVALID_MODEL,
               "the parts leave 1 of the 3 elements of axis 0");
    one_refuse("Split", "", "f32[3] .. | ?i64[1] 3", MM_UNSUPPORTED, "its split is not known");
}

static void test_concat(void **state) {
    (void)state;
    one_expect("Concat", "axis=1", "@[2,1] .. | @[2,2] ..", "@[2,3] 0 0 1 1 2 3");
    one_expect("Concat", "axis=0", "f32[2,2] .. | f32[1,2] .. | f32[0,2]", "f32[3,2] 0 1 2 3 0 1");
    one_expect("Concat", "axis=-1", "f32[2,2] .. | f32[2,1] .. | f32[2,3] ..",
               "f32[2,6] 0 1 0 0 1 2 2 3 1 3 4 5");
    one_expect("Concat", "axis=1", "f32[2,1,2] .. | f32[2,2,2] ..",
               "f32[2,3,2] 0 1 0 1 2 3 2 3 4 5 6 7");
    one_refuse("Concat", "", "f32[1] 0", MM_INVALID_MODEL, "attribute axis is missing");
    one_refuse("Concat", "axis=1", "f32[1] 0 | f32[1] 1", MM_INVALID_MODEL,
               "axis 1 of a tensor with 1 axes");
    one_refuse("Concat", "axis=0", "f32[1,2] .. | f32[1,3] ..", MM_INVALID_MODEL,
               "axis 1 of its input 1 has 3 elements, of the first 2");
    one_refuse("Concat", "axis=0", "f32[1] 0 | i64[1] 1", MM_INVALID_MODEL,
               "its input 1 is i64 with 1 axes, the first f32 with 1");
    one_refuse("Concat", "axis=0", "f32[1] 0 | f32[1,1] 1", MM_INVALID_MODEL,
               "its input 1 is f32 with 2 axes");
}

static void test_transpose(void **state) {
    (void)state;
    one_expect("Transpose", "", "@[2,3,2] ..", "@[2,3,2] 0 6 2 8 4 10 1 7 3 9 5 11");
    one_expect("Transpose", "perm=[0,2,1]", "@[2,2,3] ..", "@[2,3,2] 0 3 1 4 2 5 6 9 7 10 8 11");
    one_expect("Transpose", "perm=[1,0]", "f32[0,3]", "f32[3,0]");
    one_expect("Transpose", "perm=[2,0,3,1]", "f32[2,2,2,2] ..",
               "f32[2,2,2,2] 0 4 1 5 8 12 9 13 2 6 3 7 10 14 11 15");
    one_expect("Transpose", "perm=[1,0,2]", "@[2,3,2] ..", "@[3,2,2] 0 1 6 7 2 3 8 9 4 5 10 11");
    one_expect("Transpose", "", "f32[] 3", "f32[] 3");
    one_expect("Transpose", "perm=[7,6,5,4,3,2,1,0]", "@[2,1,1,2,1,1,1,2] ..",
               "@[2,1,1,1,2,1,1,2] 0 4 2 6 1 5 3 7");
    one_refuse("Transpose", "perm=[0]", "f32[2,2] ..", MM_INVALID_MODEL,
               "perm names 1 axes of a tensor with 2");
    one_refuse("Transpose", "perm=[0,0]", "f32[2,2] ..", MM_INVALID_MODEL,
               "perm is no order of 2 axes");
    one_refuse("Transpose", "perm=[0,2]", "f32[2,2] ..", MM_INVALID_MODEL,
               "perm is no order of 2 axes: 2");
    one_expect("Transpose", "", "string[2,2] a bc def g", "string[2,2] a def bc g");
}

static void test_expand_and_tile(void **state) {
    (void)state;
    one_expect("Expand", "", "@[3,1] .. | i64[3] 2 1 4",
               "@[2,3,4] 0 0 0 0 1 1 1 1 2 2 2 2 0 0 0 0 1 1 1 1 2 2 2 2");
    one_expect("Expand", "", "f32[2,3] .. | i64[2] 1 1", "f32[2,3] ..");
    one_expect("Expand", "", "f32[1] 0 | i64[2] 0 2", "f32[0,2]");
    one_expect("Expand", "", "f32[] 7 | i64[2] 2 2", "f32[2,2] 7 7 7 7");
    one_expect("Tile", "", "@[2,2] .. | i64[2] 2 2", "@[4,4] 0 1 0 1 2 3 2 3 0 1 0 1 2 3 2 3");
    one_expect("Tile", "", "@[2,1,2] .. | i64[3] 1 3 2",
               "@[2,3,4] 0 1 0 1 0 1 0 1 0 1 0 1 2 3 2 3 2 3 2 3 2 3 2 3");
    one_expect("Tile", "", "f32[2] .. | i64[1] 0", "f32[0]");
    one_refuse("Expand", "", "f32[3] .. | i64[1] 2", MM_INVALID_MODEL,
               "its input of shape [3] does not fit [2]");
    one_refuse("Expand", "", "f32[3] .. | i64[1] -1", MM_INVALID_MODEL, "no tensor can have");
    one_refuse("Expand", "", "f32[1] 0 | i64[9] 1 1 1 1 1 1 1 1 1", MM_UNSUPPORTED, "9 axes");
    one_refuse("Expand", "", "f32[3] .. | ?i64[1] 3", MM_UNSUPPORTED, "its shape is not known");
    one_refuse("Tile", "", "f32[3] .. | i64[2] 1 1", MM_INVALID_MODEL, "2 repeats for 1 axes");
    one_refuse("Tile", "", "f32[3] .. | i64[1] -1", MM_INVALID_MODEL, "repeated -1 times");
    one_refuse("Tile", "", "f32[3] .. | i64[1] 9223372036854775807", MM_INVALID_MODEL,
               "axis 0 of 3 elements, repeated");
}

static void test_pad(void **state) {
    (void)state;
    one_expect("Pad", "", "@[2,2] .. | i64[4] 1 0 0 2", "@[3,4] 0 0 0 0 0 1 0 0 2 3 0 0");
    one_expect("Pad", "", "f32[3] .. | i64[2] 2 1 | f32[] 9", "f32[6] 9 9 0 1 2 9");
    one_expect("Pad", "", "f32[2,3] .. | i64[2] 1 2 | f32[] 7 | i64[1] -1",
               "f32[2,6] 7 0 1 2 7 7 7 3 4 5 7 7");
    one_expect("Pad", "mode=edge", "@[2,2] .. | i64[4] 1 1 0 2",
               "@[3,5] 0 0 1 1 1 0 0 1 1 1 2 2 3 3 3");
    one_expect("Pad", "mode=reflect", "@[3,3] .. | i64[4] 1 2 2 0",
               "@[6,5] 5 4 3 4 5 2 1 0 1 2 5 4 3 4 5 8 7 6 7 8 5 4 3 4 5 2 1 0 1 2");
    one_expect("Pad", "mode=reflect", "f32[3] .. | i64[2] 1 9",
               "f32[13] 1 0 1 2 1 0 1 2 1 0 1 2 1");
    one_expect("Pad", "mode=wrap", "@[2,3] .. | i64[4] 1 0 0 4",
               "@[3,7] 3 4 5 3 4 5 3 0 1 2 0 1 2 0 3 4 5 3 4 5 3");
    one_expect("Pad", "mode=wrap", "f32[3] .. | i64[2] 4 5", "f32[12] 2 0 1 2 0 1 2 0 1 2 0 1");
    one_expect("Pad", "mode=reflect", "f32[2,4] .. | i64[2] 2 1 | - | i64[1] 1",
               "f32[2,7] 2 1 0 1 2 3 2 6 5 4 5 6 7 6");
    one_expect("Pad", "opset=10 value=-2.5", "f32[1] 7 | i64[2] 1 1", "f32[3] -2.5 7 -2.5");
    one_expect("Pad", "opset=2 value=-2.5", "f64[1] 7 | i64[2] 1 1", "f64[3] -2.5 7 -2.5");
    one_expect("Pad", "opset=10 value=-2.5", "f16[1] 15360 | i64[2] 1 1",
               "f16[3] 49408 15360 49408");
    one_expect("Pad", "", "f32[4] .. | i64[2] -1 -2", "f32[1] 1");
    one_expect("Pad", "mode=edge", "f32[4] .. | i64[2] -2 2", "f32[4] 2 3 3 3");
    one_expect("Pad", "", "f32[0,2] | i64[4] 1 0 1 1 | f32[] 3", "f32[2,3] 3 3 3 3 3 3");
    one_expect("Pad", "mode=reflect", "f32[1] 5 | i64[2] 1 2", "f32[4] 5 5 5 5");
    one_expect("Pad", "", "f32[] 5 | i64[0]", "f32[] 5");
    one_refuse("Pad", "", "f32[3] .. | i64[1] 1", MM_INVALID_MODEL,
               "1 pads for 1 axes, two for each wanted");
    one_refuse("Pad", "", "f32[3] .. | i64[2] -4 9", MM_INVALID_MODEL,
               "axis 0 of 3 elements with pads of -4 and 9");
    one_refuse("Pad", "", "f32[3] .. | i64[2] -2 -2", MM_INVALID_MODEL,
               "axis 0 of 3 elements with pads of -2 and -2");
    one_refuse("Pad", "", "f32[3] .. | i64[2] 9223372036854775807 1", MM_INVALID_MODEL,
               "axis 0 of 3 elements");
    one_refuse("Pad", "mode=edge", "f32[0] | i64[2] 1 0", MM_INVALID_MODEL,
               "axis 0 has nothing to repeat");
    one_refuse("Pad", "mode=mirror", "f32[1] 0 | i64[2] 1 0", MM_UNSUPPORTED,
               "attribute mode is 'mirror'");
    one_refuse("Pad", "", "f32[1] 0 | i64[2] 1 0 | i64[] 0", MM_INVALID_MODEL,
               "its constant is 1 elements of i64, one of f32 wanted");
    one_refuse("Pad", "", "f32[1,1] 0 | i64[4] 1 0 1 0 | - | i64[2] 0 -2", MM_INVALID_MODEL,
               "axis 0 is padded twice");
    one_refuse("Pad", "", "f32[1] 0 | ?i64[2] 1 0", MM_UNSUPPORTED, "its pads is not known");
    one_refuse("Pad", "", "f32[1] 0 | i64[2] 1 0 | - | ?i64[1] 0", MM_UNSUPPORTED,
               "its axes is not known");
}

static void test_blocks(void **state) {
    (void)state;
    one_expect("DepthToSpace", "blocksize=2", "@[1,8,1,2] ..",
               "@[1,2,2,4] 0 4 1 5 8 12 9 13 2 6 3 7 10 14 11 15");
    one_expect("DepthToSpace", "blocksize=2 mode=CRD", "f32[1,8,2,1] ..",
               "f32[1,2,4,2] 0 2 4 6 1 3 5 7 8 10 12 14 9 11 13 15");
    one_expect("SpaceToDepth", "blocksize=2", "@[1,2,2,4] ..",
               "@[1,8,1,2] 0 2 8 10 1 3 9 11 4 6 12 14 5 7 13 15");
    one_expect("DepthToSpace", "blocksize=2", "f32[0,4,1,1]", "f32[0,1,2,2]");
    one_refuse("DepthToSpace", "blocksize=2", "f32[1,6,1,1] ..", MM_INVALID_MODEL,
               "axis 1 has 6 elements, no multiple of 4");
    one_refuse("SpaceToDepth", "blocksize=2", "f32[1,1,2,3] ..", MM_INVALID_MODEL,
               "axis 3 has 3 elements, no multiple of 2");
    one_refuse("SpaceToDepth", "blocksize=2", "f32[1,2,2] ..", MM_INVALID_MODEL,
               "its input has 3 axes, 4 wanted");
    one_refuse("SpaceToDepth", "", "f32[1,1,2,2] ..", MM_INVALID_MODEL, "blocksize is 0");
    one_refuse("DepthToSpace", "blocksize=1 mode=RCD", "f32[1,1,2,2] ..", MM_UNSUPPORTED,
               "attribute mode is 'RCD'");
}

static void test_trilu(void **state) {
    (void)state;
    one_expect("Trilu", "", "@[3,4] ..", "@[3,4] 0 1 2 3 0 5 6 7 0 0 10 11");
    one_expect("Trilu", "upper=0", "f32[2,2,3] .. | i64[] -1",
               "f32[2,2,3] 0 0 0 3 0 0 0 0 0 9 0 0");
    one_expect("Trilu", "upper=0", "f32[3,2] .. | i64[] 1", "f32[3,2] ..");
    one_expect("Trilu", "upper=1", "f32[3,4] .. | i64[] 2", "f32[3,4] 0 0 2 3 0 0 0 7 0 0 0 0");
    one_expect("Trilu", "upper=1", "f32[2,2] .. | i64[] -9", "f32[2,2] ..");
    one_expect("Trilu", "", "f32[2,0]", "f32[2,0]");
    one_expect("Trilu", "upper=0", "f32[2,2] 1 2 3 4 | i64[] -9223372036854775808",
               "f32[2,2] 0 0 0 0");
    one_refuse("Trilu", "", "f32[3] ..", MM_INVALID_MODEL,
               "its input has 1 axes, 2 at least wanted");
    one_refuse("Trilu", "", "f32[1,1] 0 | i64[2] ..", MM_INVALID_MODEL,
               "its k has 2 elements, 1 wanted");
    one_refuse("Trilu", "", "f32[1,1] 0 | f32[] 1", MM_INVALID_MODEL, "its input 1 is f32");
}

static void test_reverse_sequence(void **state) {
    (void)state;
    one_expect("ReverseSequence", "", "@[3,2,2] .. | i64[2] 2 3",
               "@[3,2,2] 4 5 10 11 0 1 6 7 8 9 2 3");
    one_expect("ReverseSequence", "batch_axis=0 time_axis=1", "f32[2,3] .. | i64[2] 1 3",
               "f32[2,3] 0 1 2 5 4 3");
    one_refuse("ReverseSequence", "", "f32[3,2] .. | i64[2] 1 4", MM_INVALID_ARGUMENT,
               "length 4 of sequence 1, 0 to 3 wanted");
    one_refuse("ReverseSequence", "", "f32[3,2] .. | i64[3] 1 1 1", MM_INVALID_MODEL,
               "3 lengths for a batch of 2");
    one_refuse("ReverseSequence", "", "f32[3] .. | i64[1] 1", MM_INVALID_MODEL,
               "its input has 1 axes, 2 at least wanted");
    one_refuse("ReverseSequence", "batch_axis=0", "f32[3,2] .. | i64[3] 1 1 1", MM_INVALID_MODEL,
               "batch_axis 0 and time_axis 0, 0 and 1 wanted");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_expand_and_tile),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_trilu),
        cmocka_unit_test(test_reverse_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
