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
};

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
    one_refuse("com.microsoft/FusedConv", "", "f32[1,1,2] .. | f32[1,1,1] 1 | - | f32[1,1,3] ..",
               MM_INVALID_MODEL, "its input 3 has 3 axes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
