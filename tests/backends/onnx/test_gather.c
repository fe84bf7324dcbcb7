/* SPDX-License-Identifier: Apache-2.0 */

/* Elements named by indices. Numbers from ONNX Runtime 1.31.1 and numpy. */

#include "one_node.h"

static void test_gather(void **state) {
    (void)state;
    one_expect("Gather", "", "@[3,2] .. | i64[3] 2 0 -1", "@[3,2] 4 5 0 1 4 5");
    one_expect("Gather", "axis=1", "@[2,3] .. | i64[2,1] 1 -1", "@[2,2,1] 1 2 4 5");
    one_expect("Gather", "axis=-1", "f32[2,3] .. | i32[] 1", "f32[2] 1 4");
    one_expect("Gather", "", "f32[3,2] .. | i64[0]", "f32[0,2]");
    one_refuse("Gather", "", "f32[3,2] .. | i64[2] 0 3", MM_INVALID_ARGUMENT,
               "index 3 is outside of axis 0, which has 3 elements");
    one_refuse("Gather", "axis=1", "f32[3,2] .. | i32[1] -3", MM_INVALID_ARGUMENT,
               "index -3 is outside of axis 1, which has 2 elements");
    one_refuse("Gather", "", "f32[0,2] | i64[1] 0", MM_INVALID_ARGUMENT,
               "index 0 is outside of axis 0, which has 0 elements");
    one_refuse("Gather", "axis=2", "f32[3,2] .. | i64[1] 0", MM_INVALID_MODEL,
               "axis 2 of a tensor with 2 axes");
    one_refuse("Gather", "", "f32[] 0 | i64[1] 0", MM_INVALID_MODEL,
               "axis 0 of a tensor with 0 axes");
    one_refuse("Gather", "", "f32[3] .. | f32[1] 0", MM_INVALID_MODEL,
               "its input 1 is f32, i32 or i64 wanted");
    one_refuse("Gather", "", "f32[1,1,1,1,1] 0 | i64[1,1,1,1,1] 0", MM_UNSUPPORTED, "9 axes");
    one_expect("Gather", "", "string[3] a bc def | i64[2] 2 0", "string[2] def a");
}

static void test_gather_elements(void **state) {
    (void)state;
    one_expect("GatherElements", "axis=1", "@[2,3] .. | i64[2,2] 2 0 -1 1", "@[2,2] 2 0 5 4");
    one_expect("GatherElements", "", "f32[3,3] .. | i32[2,3] 0 1 2 -1 -2 -3",
               "f32[2,3] 0 4 8 6 4 2");
    one_expect("GatherElements", "", "f32[0,2] | i64[0,2]", "f32[0,2]");
    one_refuse("GatherElements", "", "f32[2,2] .. | i64[1,2] 0 2", MM_INVALID_ARGUMENT,
               "index 2 is outside of axis 0");
    one_refuse("GatherElements", "", "f32[2,2] .. | i64[2] 0 0", MM_INVALID_MODEL,
               "its indices have 1 axes, its data 2");
    one_refuse("GatherElements", "", "f32[2,2] .. | i64[1,3] 0 0 0", MM_INVALID_MODEL,
               "axis 1 of its indices has 3 elements, of its data 2");
    one_refuse("GatherElements", "axis=-3", "f32[2,2] .. | i64[1,2] 0 0", MM_INVALID_MODEL,
               "axis -3");
}

static void test_gather_nd(void **state) {
    (void)state;
    one_expect("GatherND", "", "@[2,2,2] .. | i64[2,2] 0 1 1 0", "@[2,2] 2 3 4 5");
    one_expect("GatherND", "batch_dims=1", "f32[2,3,2] .. | i64[2,1] 2 -3", "f32[2,2] 4 5 6 7");
    one_expect("GatherND", "", "f32[2,3] .. | i64[1,2] 1 2", "f32[1] 5");
    one_expect("GatherND", "", "f32[2,0] | i64[1,1] 1", "f32[1,0]");
    one_refuse("GatherND", "", "f32[2,3] .. | i64[1,2] 1 3", MM_INVALID_ARGUMENT,
               "index 3 is outside of axis 1, which has 3 elements");
    one_refuse("GatherND", "batch_dims=1", "f32[2,3] .. | i64[2,1] 1 -4", MM_INVALID_ARGUMENT,
               "index -4 is outside of axis 1");
    one_refuse("GatherND", "", "f32[2,3] .. | i64[1,3] 0 0 0", MM_INVALID_MODEL,
               "its tuples of indices have 3 numbers, 1 to 2 wanted");
    one_refuse("GatherND", "", "f32[2,3] .. | i64[1,0]", MM_INVALID_MODEL, "have 0 numbers");
    one_refuse("GatherND", "", "f32[2,3] .. | i64[] 0", MM_INVALID_MODEL,
               "its indices 0, more than 0 wanted");
    one_refuse("GatherND", "batch_dims=1", "f32[2,3] .. | i64[3,1] 0 0 0", MM_INVALID_MODEL,
               "axis 0 of its indices has 3 elements, of its data 2");
    one_refuse("GatherND", "batch_dims=-1", "f32[2,3] .. | i64[3,1] 0 0 0", MM_INVALID_MODEL,
               "batch_dims is -1");
}

static void test_scatter_elements(void **state) {
    (void)state;
    one_expect("ScatterElements", "axis=1", "@[2,2] .. | i64[2,1] 0 -1 | @[2,1] 9 8",
               "@[2,2] 9 1 2 8");
    one_expect("ScatterElements", "axis=1", "f32[2,3] .. | i64[2,1] 2 -3 | f32[2,1] 9 8",
               "f32[2,3] 0 1 9 8 4 5");
    one_expect("ScatterElements", "axis=0 reduction=add", "f32[3] .. | i64[3] 1 1 0 | f32[3] 5 6 7",
               "f32[3] 7 12 2");
    one_expect("ScatterElements", "axis=0 reduction=mul", "i8[3] .. | i64[3] 1 2 2 | i8[3] 5 6 7",
               "i8[3] 0 5 84");
    one_refuse("ScatterElements", "", "f32[2] .. | i64[1] 2 | f32[1] 0", MM_INVALID_ARGUMENT,
               "index 2 is outside of axis 0, which has 2 elements");
    one_refuse("ScatterElements", "", "f32[2] .. | i64[1] 1 | i64[1] 0", MM_INVALID_MODEL,
               "its updates are i64, its data f32");
    one_refuse("ScatterElements", "", "f32[2] .. | i64[1] 1 | f32[2] ..", MM_INVALID_MODEL,
               "its updates do not fit");
    one_expect("ScatterElements", "reduction=add",
               "bf16[1] 16256 | i64[2] 0 0 | bf16[2] 16256 16384", "bf16[1] 16512"); /* 1 + 1 + 2 */
    one_refuse("ScatterElements", "reduction=add", "bool[2] .. | i64[1] 1 | bool[1] 1",
               MM_UNSUPPORTED, "a reduction of bool");
    one_refuse("ScatterElements", "reduction=median", "f32[2] .. | i64[1] 1 | f32[1] 1",
               MM_UNSUPPORTED, "attribute reduction is 'median'");
}

static void test_scatter_nd(void **state) {
    (void)state;
    one_expect("ScatterND", "", "@[3,2] .. | i64[1,1] 1 | @[1,2] 9 8", "@[3,2] 0 1 9 8 4 5");
    one_expect("ScatterND", "", "f32[4,2] .. | i64[2,1] 3 -4 | f32[2,2] 9 8 7 6",
               "f32[4,2] 7 6 2 3 4 5 9 8");
    one_expect("ScatterND", "reduction=max", "f32[2,2] .. | i64[2,2] 0 1 1 0 | f32[2] 9 -1",
               "f32[2,2] 0 9 2 3");
    one_expect("ScatterND", "reduction=min", "i64[2,2] .. | i64[2,2] 0 1 1 0 | i64[2] -9 5",
               "i64[2,2] 0 -9 2 3");
    one_expect("ScatterND", "reduction=add", "u8[2] 250 1 | i64[3,1] 0 0 1 | u8[3] 5 3 1",
               "u8[2] 2 2");
    one_expect("ScatterND", "reduction=mul", "u16[1] 65535 | i64[1,1] 0 | u16[1] 65535",
               "u16[1] 1");
    one_expect("ScatterND", "", "f32[2] .. | i64[0,1] | f32[0]", "f32[2] ..");
    one_refuse("ScatterND", "", "f32[2,2] .. | i64[1,2] 1 -3 | f32[1] 0", MM_INVALID_ARGUMENT,
               "index -3 is outside of axis 1, which has 2 elements");
    one_refuse("ScatterND", "", "f32[2,2] .. | i64[1,1] 1 | f32[1,3] ..", MM_INVALID_MODEL,
               "its updates do not fit");
    one_refuse("ScatterND", "", "f32[2,2] .. | f32[1,1] 1 | f32[1,2] ..", MM_INVALID_MODEL,
               "its input 1 is f32");
}

static void test_one_hot(void **state) {
    (void)state;
    one_expect("OneHot", "", "i64[4] 0 2 -1 5 | i64[] 3 | i64[2] 2 7",
               "i64[4,3] 7 2 2 2 2 7 2 2 7 2 2 2");
    one_expect("OneHot", "axis=0", "f32[2,2] .. | f32[1] 4 | f32[2] ..",
               "f32[4,2,2] 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1");
    one_expect("OneHot", "axis=1", "i64[2,2] 1 0 2 1 | i64[] 3 | i64[2] 5 6",
               "i64[2,3,2] 5 6 6 5 5 5 5 5 5 6 6 5");
    one_expect("OneHot", "", "i64[2] .. | i64[] 2 | @[2] 0 3", "@[2,2] 3 0 0 3");
    one_expect("OneHot", "", "i64[] 1 | f32[1] 3 | f32[2] ..", "f32[3] 0 1 0");
    one_expect("OneHot", "", "i64[2] .. | i64[] 0 | f32[2] ..", "f32[2,0]");
    one_refuse("OneHot", "", "i64[2] .. | i64[] -1 | f32[2] ..", MM_INVALID_MODEL,
               "no tensor can have");
    one_refuse("OneHot", "", "i64[2] .. | ?i64[] 2 | f32[2] ..", MM_UNSUPPORTED,
               "its depth is not known before the run");
    one_refuse("OneHot", "", "i64[2] .. | i64[2] .. | f32[2] ..", MM_INVALID_MODEL,
               "its depth has 2 elements");
    one_refuse("OneHot", "", "i64[2] .. | i64[] 2 | f32[3] ..", MM_INVALID_MODEL,
               "its values 3, 1 and 2 wanted");
    one_refuse("OneHot", "axis=2", "i64[2] .. | i64[] 2 | f32[2] ..", MM_INVALID_MODEL,
               "axis 2 of a tensor with 2 axes");
    one_refuse("OneHot", "", "c64[2] .. | i64[] 2 | f32[2] ..", MM_INVALID_MODEL,
               "its input 0 is c64, a number wanted");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather),     cmocka_unit_test(test_gather_elements),
        cmocka_unit_test(test_gather_nd),  cmocka_unit_test(test_scatter_elements),
        cmocka_unit_test(test_scatter_nd), cmocka_unit_test(test_one_hot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
