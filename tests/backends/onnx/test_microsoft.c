/* SPDX-License-Identifier: Apache-2.0 */

/* Operators of com.microsoft. Numbers from ONNX Runtime 1.32.0 and by hand. */

#include "one_node.h"

static const struct one_case cases[] = {
    {"com.microsoft/Attention", "num_heads=2",
     "f32[1,2,2] .. | f32[2,6] 1 0 1 0 1 0 0 1 0 1 0 1 | f32[6] 0 0 1 1 0 2 | i32[1] 1",
     "f32[1,2,2] 0 3 0 3", 1e-4},
    {"com.microsoft/MultiHeadAttention", "num_heads=1 unidirectional=1",
     "f32[1,2,2] 1 0 0 1 | f32[1,2,2] 1 2 3 4 | f32[1,2,2] .. | f32[6] 1 0 0 1 0 1 | "
     "i32[1,3] 1 1 1 | - | f32[1,1,1,2] 1 1 | f32[1,1,1,2] 5 6",
     "f32[1,2,2] 2.5 4 1.93004 3.91665 | f32[1,1,3,2] 1 1 1 3 3 5 | f32[1,1,3,2] 5 6 "
     "0 2 2 4",
     1e-4},
    {"com.microsoft/MultiHeadAttention", "num_heads=1",
     "f32[1,1,2] 1 0 | f32[1,1,2,2] 1 2 3 4 | f32[1,1,2,2] .. | - | i32[1,2] 1 0", "f32[1,1,2] 0 1",
     1e-4},
    {"com.microsoft/RotaryEmbedding", "",
     "f32[1,2,4] .. | i64[1] 1 | f32[3,2] 1 0 0 1 0.6 0.8 | f32[3,2] 0 1 1 0 0.8 0.6",
     "f32[1,2,4] -2 1 0 3 -2.4 -0.2 6.8 8.6", 1e-4},
    {"com.microsoft/SkipSimplifiedLayerNormalization", "epsilon=0.5",
     "f32[1,2,2] .. | f32[1,2,2] 1 0 0 1 | f32[2] 1 2",
     "f32[1,2,2] 0.816497 1.63299 0.617213 2.46885", 1e-4},
    {"SimplifiedLayerNormalization", "axis=-1 epsilon=0.5", "f32[2,2] .. | f32[2] 1 2",
     "f32[2,2] 0 2 0.755929 2.26779", 1e-4},
    {"com.microsoft/Gelu", "", "f32[3] -1 0 2", "f32[3] -0.158655 0 1.9545", 1e-4},
    {"com.microsoft/QuickGelu", "", "f32[3] -1 0 2", "f32[3] -0.154204 0 1.93566", 1e-4},
    {"com.microsoft/BiasGelu", "", "f32[1,2] -1 1 | f32[2] 0 1", "f32[1,2] -0.158655 1.9545", 1e-4},
    {"com.microsoft/FastGelu", "", "f32[1,2] -1 1 | f32[2] 0 1", "f32[1,2] -0.158808 1.9546", 1e-4},
    {"com.microsoft/FusedMatMul", "transA=1 transBatchB=1 alpha=0.5",
     "f32[2,2,1] .. | f32[2,2,2] ..", "f32[2,1,2] 2 2.5 11 13.5", 1e-4},
    {"com.microsoft/FusedGemm", "activation=LeakyRelu activation_alpha=0.5 transB=1",
     "f32[1,2] 1 -1 | f32[2,2] 0 3 4 1 | f32[2] 1 1", "f32[1,2] -1 4", 1e-4},
    {"com.microsoft/MatMulNBits", "K=16 N=1 bits=4 block_size=16",
     "f32[1,16] .. | u8[1,1,8] 152 152 152 152 152 152 152 152 | f32[1] 0.5", "f32[1,1] 32", 0},
    {"com.microsoft/MatMulNBits", "K=16 N=1 bits=4 block_size=16",
     "f32[2,16] .. | u8[1,1,8] 152 152 152 152 152 152 152 152 | f32[1,1] 0.5 | u8[1,1] 7 | - | "
     "f32[1] 3",
     "f32[2,1] 95 287", 0},
    {"com.microsoft/MatMulNBits", "K=16 N=1 bits=8 block_size=16",
     "f32[16] .. | u8[1,1,16] .. | f32[1] 0.5", "f32[1] -7060", 0},
    {"com.microsoft/MatMulNBits", "K=4 N=2 bits=2 block_size=16", /* a part of a block */
     "f32[1,4] .. | u8[2,1,4] 228 0 0 0 27 0 0 0 | f32[2] 1 2 | f32[2,1] 0 1", "f32[1,2] 14 -4", 0},
    {"com.microsoft/FusedConv", "activation=Relu",
     "f32[1,1,1,3] 1 -2 3 | f32[1,1,1,1] 2 | f32[1] 1 | f32[1,1,1,3] 0 1 2", "f32[1,1,1,3] 3 0 9",
     1e-4},
    {"com.microsoft/SkipLayerNormalization", "epsilon=0.5",
     "f32[1,2,3] .. | f32[2,3] 1 0 0 0 2 0 | f32[3] 1 2 3 | f32[3] 0 0 1 | f32[3] 1 1 0",
     "f32[1,2,3] 0 0 1 -0.929981 2.32495 0.302514 | f32[1,2,1] 2 5.33333 | "
     "f32[1,2,1] 1.41421 0.697486 | f32[1,2,3] 2 2 2 4 7 5",
     1e-4},
    {"com.microsoft/EmbedLayerNormalization", "epsilon=0.5",
     "i32[1,2] 2 0 | i32[1,2] 1 0 | f32[3,2] .. | f32[2,2] 1 0 0 1 | f32[2,2] 0 0 5 6 | "
     "f32[2] 1 2 | f32[2] 0 1 | i32[1,2] 1 0",
     "f32[1,2,2] -0.57735 2.1547 -0.816497 2.632993 | i32[1] 1 | f32[1,2,2] 10 11 0 2", 1e-4},
    {"com.microsoft/BiasSplitGelu", "", "f32[1,1,4] 2 3 0 1 | f32[4] 0 0 1 1",
     "f32[1,1,2] 1.68269 5.8635", 1e-4},
    /* two rows of the same key: the mean of their values; the cache has room for both */
    {"com.microsoft/GroupQueryAttention", "num_heads=2 kv_num_heads=1",
     "f32[1,1,2] 1 2 | f32[1,1,1] 3 | f32[1,1,1] 6 | f32[1,1,3,1] 3 9 9 | f32[1,1,3,1] 2 8 8 | "
     "i32[1] 1 | i32[] 2",
     "f32[1,1,2] 4 4 | f32[1,1,3,1] 3 3 9 | f32[1,1,3,1] 2 6 8", 1e-4},
    /* queries, keys and values in one; the second sample is padded; a sink takes its part */
    {"com.microsoft/GroupQueryAttention", "num_heads=1 kv_num_heads=1 local_window_size=1",
     "f32[2,2,3] 0 1 2 0 1 4 0 1 6 0 0 0 | - | - | - | - | i32[2] 1 0 | i32[] 2 | - | - | - | - | "
     "f32[1] 0",
     "f32[2,2,1] 1 2 3 0 | f32[2,1,2,1] 1 1 1 0 | f32[2,1,2,1] 2 4 6 0", 1e-4},
    /* T5's buckets, as its public code has them; the table lies head by head */
    {"com.microsoft/RelativePositionBias", "is_bidirectional=1 max_distance=5",
     "f32[8,2] .. | i64[1] 7 | i64[1] 7",
     "f32[1,2,7,7] 0 5 6 6 7 7 7 1 0 5 6 6 7 7 2 1 0 5 6 6 7 2 2 1 0 5 6 6 3 2 2 1 0 5 6 3 3 2 2 1 "
     "0 5 "
     "3 3 3 2 2 1 0 8 13 14 14 15 15 15 9 8 13 14 14 15 15 10 9 8 13 14 14 15 10 10 9 8 13 14 14 "
     "11 10 10 9 8 13 14 11 11 10 10 9 8 13 11 11 11 10 10 9 8",
     0},
    {"com.microsoft/RelativePositionBias", "max_distance=4", "f16[4,1] .. | i64[] 6 | i64[] 6",
     "f16[1,1,6,6] 0 0 0 0 0 0 1 0 0 0 0 0 2 1 0 0 0 0 3 2 1 0 0 0 3 3 2 1 0 0 3 3 3 2 1 0", 0},
    {"com.microsoft/RelativePositionBias", "max_distance=4", "f32[4,1] .. | i64[] 0 | i64[] 0",
     "f32[1,1,0,0]", 0},
    /* numbers from the formula in its description, by numpy */
    {"com.microsoft/GatedRelativePositionBias", "num_heads=2",
     "f32[2,2,2] .. | f32[2] -1 -3 | f32[1,2,2,2] 1 2 3 4 5 6 7 8 | f32[1,4] 0.25 -0.5 1 0.5 | "
     "f32[4] 0.5 0 -0.25 0.75 | f32[1,2,1,1] 1 -2",
     "f32[2,2,2,2] 1.50348 3.00696 5.79896 7.73195 5.79014 6.94817 4.21841 4.82104 1.99707 3.99414 "
     "5.99968 7.99957 2.64656 3.17587 6.07958 6.94809",
     1e-5},
};

/* Of 32 buckets 16 for each direction: 8 are one distance, the last one begins at 8 * 16^(7/8). */
static void test_far_positions(void **state) {
    static const int64_t lengths[] = {200}, buckets[] = {32, 1};
    static const int32_t at[][2] = {{7, 23},  {8, 24},  {12, 25}, {16, 26},  {31, 27},
                                    {33, 28}, {90, 30}, {91, 31}, {128, 31}, {199, 31}};
    static struct one_node one;
    float table[32];
    (void)state;
    for (int i = 0; i < 32; i++) {
        table[i] = (float)i;
    }
    one_init(&one, "com.microsoft/RelativePositionBias", "is_bidirectional=1 max_distance=128");
    one_input(&one, MM_F32, 2, buckets, table);
    one_input(&one, MM_I64, 0, NULL, lengths);
    one_input(&one, MM_I64, 0, NULL, lengths);
    assert_int_equal(one_run(&one, 1), MM_OK);
    const float *got = one.outputs[0].data;
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        int32_t distance = at[i][0];
        assert_int_equal((int)got[distance], at[i][1]);
        assert_int_equal((int)got[distance * 200], at[i][1] - 16);
    }
    one_fini(&one);
}

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_refusals(void **state) {
    (void)state;
    one_refuse("com.microsoft/Attention", "num_heads=2", "f32[1,1,2] .. | f32[2,3] ..",
               MM_INVALID_MODEL, "its weights have 3 columns");
    one_refuse("com.microsoft/Attention", "", "f32[1,1,2] .. | f32[2,3] ..", MM_INVALID_MODEL,
               "num_heads is 0");
    one_refuse("com.microsoft/Attention", "num_heads=1",
               "f32[1,1,1] 1 | f32[1,3] .. | - | i32[1,1,1,1] 1", MM_UNSUPPORTED,
               "a mask of i32 with 4 axes");
    one_refuse("com.microsoft/MultiHeadAttention", "num_heads=1", "f32[1,1,2] ..", MM_INVALID_MODEL,
               "its query has 3 axes, its key 0");
    one_refuse("com.microsoft/MultiHeadAttention", "num_heads=1",
               "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1 | f32[2] ..", MM_INVALID_MODEL,
               "its bias has 2 elements, 3 wanted");
    one_refuse("com.microsoft/GroupQueryAttention", "num_heads=1 kv_num_heads=1",
               "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1 | - | - | i32[1] 0 | ?i32[] 1",
               MM_UNSUPPORTED, "its total_sequence_length is not known before the run");
    one_refuse("com.microsoft/GroupQueryAttention", "num_heads=1 kv_num_heads=1",
               "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1 | - | - | i32[1] 5 | i32[] 1",
               MM_INVALID_ARGUMENT, "seqlens_k of sample 0 is 5, 0 to 0 wanted");
    one_refuse("com.microsoft/GroupQueryAttention", "num_heads=1 kv_num_heads=1",
               "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1 | - | - | i32[1] 4 | i32[] 5",
               MM_INVALID_ARGUMENT, "has 4 rows before, its past 0");
    one_refuse("com.microsoft/GroupQueryAttention", "num_heads=1 kv_num_heads=1",
               "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1", MM_INVALID_MODEL, "is left out");
    one_refuse("com.microsoft/SkipLayerNormalization", "",
               "f32[1,2,2] .. | f32[1,1,2] .. | f32[2] ..", MM_INVALID_MODEL, "its skip");
    one_refuse("com.microsoft/EmbedLayerNormalization", "",
               "i32[1,1] 3 | - | f32[3,1] .. | f32[1,1] 0 | - | f32[1] 1 | f32[1] 0",
               MM_INVALID_ARGUMENT, "index 3 is outside of its input 2, which has 3 rows");
    one_refuse("com.microsoft/BiasGelu", "", "f32[1,2] .. | f32[3] ..", MM_INVALID_MODEL,
               "its bias has 1 axes and 3 elements; one of 2 wanted");
    one_refuse("com.microsoft/BiasSplitGelu", "", "f32[1,3] .. | f32[3] ..", MM_INVALID_MODEL,
               "no two halves");
    one_refuse("com.microsoft/FusedMatMul", "", "f32[1,2] .. | f32[3,2] ..", MM_INVALID_MODEL,
               "its left matrix has 2 columns, its right one 3 rows");
    one_refuse("com.microsoft/FusedGemm", "activation=Elu", "f32[1,1] 1 | f32[1,1] 1",
               MM_UNSUPPORTED, "activation is 'Elu'");
    one_refuse("com.microsoft/RelativePositionBias", "", "f32[4,1] .. | i64[] 6 | i64[] 6",
               MM_INVALID_MODEL, "max_distance is 0");
    one_refuse("com.microsoft/RelativePositionBias", "max_distance=4",
               "f32[4,1] .. | i64[] 6 | i64[] 5", MM_UNSUPPORTED, "key_length 5 are not the same");
    one_refuse("com.microsoft/RelativePositionBias", "max_distance=4",
               "f32[4,1] .. | ?i64[] 6 | i64[] 6", MM_UNSUPPORTED,
               "its query_length is not known before the run");
    one_refuse("com.microsoft/RelativePositionBias", "max_distance=4 is_bidirectional=1",
               "f32[3,1] .. | i64[] 6 | i64[] 6", MM_INVALID_MODEL, "3 buckets");
    one_refuse("com.microsoft/RelativePositionBias", "max_distance=4",
               "f32[4] .. | i64[] 6 | i64[] 6", MM_INVALID_MODEL, "its bias_table has 1 axes");
    one_refuse("com.microsoft/GatedRelativePositionBias", "num_heads=1",
               "f32[1,1,1] 1 | f32[1] 1 | f32[1,1,1,1] 1 | f32[1,2] 1 1 | f32[3] .. | "
               "f32[1,1,1,1] 1",
               MM_INVALID_MODEL, "its input 4 is [3], [2] wanted");
    one_refuse("com.microsoft/GatedRelativePositionBias", "num_heads=1",
               "f32[1,1,1] 1 | f32[1] 1 | f32[1,1,1,1] 1 | f32[1,3] .. | f32[3] .. | "
               "f32[1,1,1,1] 1",
               MM_INVALID_MODEL, "two gates wanted");
    one_refuse("com.microsoft/GatedRelativePositionBias", "num_heads=1",
               "f32[1,1] 1 | f32[1] 1 | f32[1,1,1,1] 1 | f32[1,2] .. | f32[2] .. | "
               "f32[1,1,1,1] 1 | i32[1,1] 0",
               MM_UNSUPPORTED, "token_offset");
    one_refuse("com.microsoft/FusedConv", "", "f32[1,1,2] .. | f32[1,1,1] 1 | - | f32[1,1,3] ..",
               MM_INVALID_MODEL, "its input 3 has 3 axes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_far_positions),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
