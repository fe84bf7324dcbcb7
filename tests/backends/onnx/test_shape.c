/* SPDX-License-Identifier: Apache-2.0 */

/* Operators that make other shapes, or tensors of shapes. Numbers from ONNX Runtime 1.31.1 and
 * numpy. */

#include "one_node.h"

static void test_reshape(void **state) {
    (void)state;
    one_expect("Reshape", "", "@[2,3] .. | i64[2] 3 2", "@[3,2] ..");
    one_expect("Reshape", "", "f32[2,3,4] .. | i64[2] 0 -1", "f32[2,12] ..");
    one_expect("Reshape", "allowzero=1", "f32[0,3] | i64[2] 3 0", "f32[3,0]");
    one_expect("Reshape", "", "f32[2,3] .. | i64[5] 1 2 1 -1 1", "f32[1,2,1,3,1] ..");
    one_expect("Reshape", "", "f32[] 3 | i64[2] 1 1", "f32[1,1] 3");
    one_expect("Reshape", "", "f32[1,1] 0 | i64[0]", "f32[] 0");
    one_refuse("Reshape", "", "f32[2,3] .. | i64[1] 5", MM_INVALID_MODEL,
               "of 6 elements cannot become one of 5");
    one_refuse("Reshape", "", "f32[2,3] .. | i64[2] -1 4", MM_INVALID_MODEL,
               "axis 0 is to take what the others leave of 6 elements, and they have 4");
    one_refuse("Reshape", "", "f32[2,3] .. | i64[2] -1 -1", MM_INVALID_MODEL,
               "axis 1 of its shape is -1");
    one_refuse("Reshape", "", "f32[2,3] .. | i64[1] -2", MM_INVALID_MODEL,
               "axis 0 of its shape is -2");
    one_refuse("Reshape", "", "f32[2] .. | i64[2] 2 0", MM_INVALID_MODEL,
               "axis 1 is to be copied from a tensor with 1 axes");
    one_refuse("Reshape", "", "f32[0,3] | i64[2] 0 -1", MM_INVALID_MODEL, "they have 0");
    one_refuse("Reshape", "", "f32[2,3] .. | ?i64[1] 6", MM_UNSUPPORTED,
               "its shape is not known before the run");
    one_refuse("Reshape", "", "f32[2,3] .. | f32[1] 6", MM_INVALID_MODEL, "its shape is f32");
    one_refuse("Reshape", "", "f32[1] 0 | i64[9] 1 1 1 1 1 1 1 1 1", MM_UNSUPPORTED, "9 axes");
    one_expect("Reshape", "", "string[2] a bc | i64[2] 1 2", "string[1,2] a bc");
    one_expect("Reshape", "", "u4[3] 1 2 3 | i64[2] 3 1", "u4[3,1] 1 2 3");
    one_refuse("Reshape", "allowzero=x", "f32[1] 0 | i64[1] 1", MM_INVALID_MODEL,
               "attribute allowzero");
}

static void test_flatten(void **state) {
    (void)state;
    one_expect("Flatten", "", "f32[2,3,2] ..", "f32[2,6] ..");
    one_expect("Flatten", "axis=0", "f32[2,3] ..", "f32[1,6] ..");
    one_expect("Flatten", "axis=2", "f32[2,3] ..", "f32[6,1] ..");
    one_expect("Flatten", "axis=-1", "f32[2,3,2] ..", "f32[6,2] ..");
    one_refuse("Flatten", "axis=3", "f32[2,3] ..", MM_INVALID_MODEL,
               "axis 3 of a tensor with 2 axes");
    one_expect("Flatten", "axis=0", "f32[] 5", "f32[1,1] 5");
}

static void test_squeeze(void **state) {
    (void)state;
    one_expect("Squeeze", "", "@[1,3,1] .. | i64[2] 0 -1", "@[3] ..");
    one_expect("Squeeze", "", "f32[1,3,1] ..", "f32[3] ..");
    one_refuse("Squeeze", "", "f32[1,3] .. | i64[1] 1", MM_INVALID_MODEL,
               "axis 1 has 3 elements, 1 wanted");
    one_refuse("Squeeze", "", "f32[1,3] .. | i64[2] 0 -2", MM_INVALID_MODEL,
               "axis 0 is named twice");
    one_refuse("Squeeze", "", "f32[1,3] .. | i64[1] 2", MM_INVALID_MODEL,
               "axis 2 of a tensor with 2 axes");
    one_refuse("Squeeze", "", "f32[1,3] .. | ?i64[1] 0", MM_UNSUPPORTED, "its axes is not known");
}

static void test_unsqueeze(void **state) {
    (void)state;
    one_expect("Unsqueeze", "", "f32[2] .. | i64[2] -1 0", "f32[1,2,1] ..");
    one_expect("Unsqueeze", "", "f32[] 4 | i64[1] 0", "f32[1] 4");
    one_refuse("Unsqueeze", "", "f32[3] .. | i64[1] 2", MM_INVALID_MODEL,
               "axis 2 of a tensor with 2 axes");
    one_refuse("Unsqueeze", "", "f32[3] .. | i64[2] 0 0", MM_INVALID_MODEL, "named twice");
    one_refuse("Unsqueeze", "", "f32[1,1,1,1,1,1,1,1] .. | i64[1] 0", MM_UNSUPPORTED,
               "9 axes, at most 8");
}

static void test_identity_and_dropout(void **state) {
    (void)state;
    one_expect("Identity", "", "@[2,2] ..", "@[2,2] ..");
    one_expect("Dropout", "", "@[2,2] ..", "@[2,2] .. | bool[2,2] 1 1 1 1");
    one_expect("Dropout", "", "f32[2] .. | f32[] 0.5", "f32[2] ..");
    one_expect("Dropout", "", "f32[2] .. | - | bool[] 0", "f32[2] ..");
    one_expect("Dropout", "", "f32[2] .. | f32[] 0 | bool[] 1", "f32[2] ..");
    one_expect("Dropout", "opset=9", "bf16[2] ..", "bf16[2] .. | bf16[2] 16256 16256");
    one_refuse("Dropout", "", "f32[2] .. | f32[2] ..", MM_INVALID_MODEL,
               "its input 1 has 2 elements, 1 wanted");
    one_refuse("Dropout", "", "f32[2] .. | c64[] 0", MM_INVALID_MODEL, "its input 1 is c64");
}

static void test_shape_and_size(void **state) {
    (void)state;
    one_expect("Shape", "", "f32[2,3,4] ..", "i64[3] 2 3 4");
    one_expect("Shape", "start=1", "f32[2,3,4] ..", "i64[2] 3 4");
    one_expect("Shape", "start=-2 end=-1", "f32[2,3,4] ..", "i64[1] 3");
    one_expect("Shape", "start=2 end=1", "f32[2,3] ..", "i64[0]");
    one_expect("Shape", "start=-9 end=9", "f32[2,3] ..", "i64[2] 2 3");
    one_expect("Size", "", "f32[2,0,4]", "i64[] 0");
    one_expect("Size", "", "f32[3,5] ..", "i64[] 15");
    one_expect("Shape", "", "f32[] 1", "i64[0]");
    one_expect("Shape", "start=8", "f32[1,1,1,1,1,1,1,1] ..", "i64[0]");
    one_expect("Shape", "", "string[3] a b c", "i64[1] 3");
    one_expect("Size", "", "u4[3]", "i64[] 3");
}

static void test_constant_of_shape(void **state) {
    (void)state;
    one_expect("ConstantOfShape", "", "i64[2] 2 1", "f32[2,1] 0 0");
    one_expect("ConstantOfShape", "; value @[1] 7", "i64[2] 1 3 ", "@[1,3] 7 7 7");
    one_expect("ConstantOfShape", "; value i32[] -1", "i64[0]", "i32[] -1");
    one_expect("ConstantOfShape", "; value i32[1] -1", "i64[2] 4 0", "i32[4,0]");
    one_refuse("ConstantOfShape", "", "i64[1] -1", MM_INVALID_MODEL,
               "no tensor can have the shape [?]");
    one_refuse("ConstantOfShape", "", "i64[2] 4611686018427387904 4", MM_INVALID_MODEL,
               "no tensor can have the shape");
    one_refuse("ConstantOfShape", "", "?i64[1] 1", MM_UNSUPPORTED, "its shape is not known");
    one_refuse("ConstantOfShape", "; value f32[2] ..", "i64[1] 1", MM_INVALID_MODEL,
               "attribute value is no tensor of one element");
    one_refuse("ConstantOfShape", "value=3", "i64[1] 1", MM_INVALID_MODEL,
               "attribute value is no tensor");
    one_refuse("ConstantOfShape", "; value string[1] a", "i64[1] 1", MM_UNSUPPORTED,
               "attribute value is string");
}

static void test_range(void **state) {
    (void)state;
    one_expect("Range", "", "f32[] 1 | f32[] 3 | f32[] 0.5", "f32[4] 1 1.5 2 2.5");
    one_expect("Range", "", "i32[] 10 | i32[] 4 | i32[] -2", "i32[3] 10 8 6");
    one_expect("Range", "", "i64[] 3 | i64[] 3 | i64[] 1", "i64[0]");
    one_expect("Range", "", "i16[] -2 | i16[] 6 | i16[] 3", "i16[3] -2 1 4");
    one_expect("Range", "", "f16[] 15360 | f16[] 16896 | f16[] 14336",
               "f16[4] 15360 15872 16384 16640"); /* from 1 to 3 by 1/2 */
    one_expect("Range", "", "f64[] 0 | f64[] -1 | f64[] -0.25", "f64[4] 0 -0.25 -0.5 -0.75");
    one_expect("Range", "",
               "i64[] -9223372036854775808 | i64[] 9223372036854775807 | "
               "i64[] 9223372036854775807",
               "i64[3] -9223372036854775808 -1 9223372036854775806");
    one_refuse("Range", "", "i64[] 0 | i64[] 3 | i64[] 0", MM_INVALID_MODEL,
               "a range from 0 to 3 by 0");
    one_refuse("Range", "", "f32[] 0 | f32[] 3 | f32[] 0", MM_INVALID_MODEL,
               "a range from 0 to 3 by 0");
    one_refuse("Range", "", "f32[] 0 | f32[] 1 | i64[] 1", MM_INVALID_MODEL,
               "its delta is 1 elements of i64, one of f32 wanted");
    one_refuse("Range", "", "i64[] 0 | i64[2] 1 1 | i64[] 1", MM_INVALID_MODEL,
               "its limit is 2 elements");
    one_refuse("Range", "", "i64[] 0 | ?i64[] 1 | i64[] 1", MM_UNSUPPORTED,
               "its limit is not known");
    one_refuse("Range", "", "bool[] 0 | bool[] 1 | bool[] 1", MM_UNSUPPORTED, "a range of bool");
    one_refuse("Range", "", "i64[] 0 | i64[] 9223372036854775807 | i64[] 1", MM_INVALID_MODEL,
               "no tensor can have");
}

static void test_eye_like(void **state) {
    (void)state;
    one_expect("EyeLike", "", "f32[2,3] ..", "f32[2,3] 1 0 0 0 1 0");
    one_expect("EyeLike", "k=1 dtype=7", "f32[3,2] ..", "i64[3,2] 0 1 0 0 0 0");
    one_expect("EyeLike", "k=-1 dtype=9", "f32[3,3] ..", "bool[3,3] 0 0 0 1 0 0 0 1 0");
    one_expect("EyeLike", "k=-5 dtype=11", "f32[2,2] ..", "f64[2,2] 0 0 0 0");
    one_expect("EyeLike", "", "f16[2,2] 0 0 0 0", "f16[2,2] 15360 0 0 15360");
    one_expect("EyeLike", "k=9223372036854775807", "u8[2,2] ..", "u8[2,2] 0 0 0 0");
    one_expect("EyeLike", "", "u8[0,3]", "u8[0,3]");
    one_refuse("EyeLike", "", "f32[3] ..", MM_INVALID_MODEL, "its input has 1 axes, 2 wanted");
    one_refuse("EyeLike", "dtype=8", "f32[1,1] 0", MM_UNSUPPORTED, "a diagonal of string");
    one_refuse("EyeLike", "dtype=-1", "f32[1,1] 0", MM_UNSUPPORTED, "a diagonal of ?");
}

/* Every allocation of a run fails once. */
static void test_no_memory(void **state) {
    (void)state;
    struct one_node one;
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        one_init(&one, "ConstantOfShape", "");
        one_input(&one, MM_I64, 1, (const int64_t[]){2}, (const int64_t[]){300, 300});
        world_fail_alloc(&one.bench.world, nth);
        mm_status status = one_run(&one, 1);
        failed = world_failed(&one.bench.world);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        one_fini(&one);
    }
}

static void test_windows(void **state) {
    (void)state;
    one_expect_near("HannWindow", "", "i64[] 4", "f32[4] 0 0.5 1 0.5", 1e-6);
    one_expect_near("HannWindow", "periodic=0 output_datatype=11", "i32[] 5",
                    "f64[5] 0 0.5 1 0.5 0", 1e-12);
    one_expect_near("HammingWindow", "", "i64[] 2", "f32[2] 0.0869565 1", 1e-6);
    one_expect_near("BlackmanWindow", "periodic=0", "i64[1] 3", "f32[3] 0 1 0", 1e-6);
    one_expect("HannWindow", "", "i64[] 0", "f32[0]");
    one_refuse("HannWindow", "", "?i64[] 4", MM_UNSUPPORTED, "its size is not known before");
    one_refuse("HannWindow", "", "i64[] -1", MM_INVALID_MODEL, "its size is no number");
    one_refuse("HannWindow", "output_datatype=8", "i64[] 4", MM_UNSUPPORTED, "output_datatype");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_flatten),
        cmocka_unit_test(test_squeeze),
        cmocka_unit_test(test_unsqueeze),
        cmocka_unit_test(test_identity_and_dropout),
        cmocka_unit_test(test_shape_and_size),
        cmocka_unit_test(test_constant_of_shape),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_eye_like),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
