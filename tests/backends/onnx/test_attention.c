/* SPDX-License-Identifier: Apache-2.0 */

/* Attention and its family in ai.onnx. Numbers from the reference evaluator of onnx 1.22.0. */

#include "one_node.h"

static const struct one_case cases[] = {
    {"Attention", "", "f32[1,1,2,2] .. | f32[1,1,3,2] .. | f32[1,1,3,1] ..",
     "f32[1,1,2,1] 1.72253 1.99915", 1e-4},
    {"Attention", "is_causal=1 scale=0.5",
     "f32[1,2,2,2] 1 0 0 1 1 1 -1 0 | f32[1,1,2,2] 1 0 0 1 | f32[1,1,2,2] 1 2 3 4",
     "f32[1,2,2,2] 1 2 2.24492 3.24492 1 2 2.24492 3.24492", 1e-4},
    {"Attention", "q_num_heads=2 kv_num_heads=1 softcap=2.0 qk_matmul_output_mode=1",
     "f32[1,2,4] 1 0 0 1 1 1 -1 0 | f32[1,2,2] 1 2 3 4 | f32[1,2,1] 1 2 | - | "
     "f32[1,1,1,2] 0 1 | f32[1,1,1,1] 5",
     "f32[1,2,2] 2.13201 2.22522 2.07877 3.45379 | f32[1,1,3,2] 0 1 1 2 3 4 | "
     "f32[1,1,3,1] 5 1 2 | f32[1,2,2,3] 0 0.679046 1.57183 0.679046 1.57183 1.97186 "
     "0.679046 1.21772 1.77677 0 -0.679046 -1.57183",
     1e-4},
    {"Attention", "qk_matmul_output_mode=3",
     "f32[1,1,2,2] 1 0 0 1 | f32[1,1,3,2] .. | f32[1,1,3,1] .. | bool[2,3] 1 0 1 0 1 0",
     "f32[1,1,2,1] 1.88839 1", 1e-4},
    {"Attention", "", "f32[1,1,2,2] 1 0 0 1 | f32[1,1,3,2] .. | f32[1,1,3,1] .. | f32[2,2] 0 1 2 3",
     "f32[1,1,2,1] 0.917905 0.917905", 1e-4},
    {"RotaryEmbedding", "",
     "f32[1,1,2,4] .. | f32[3,2] 1 0 0 1 0.6 0.8 | f32[3,2] 0 1 1 0 0.8 0.6 | "
     "i64[1,2] 1 2",
     "f32[1,1,2,4] -2 1 0 3 -2.4 -0.2 6.8 8.6", 1e-4},
    {"RotaryEmbedding", "interleaved=1 num_heads=2 rotary_embedding_dim=2",
     "f32[1,1,6] .. | f32[1,1,1] 0.6 | f32[1,1,1] 0.8", "f32[1,1,6] -0.8 0.6 2 -1.4 4.8 5", 1e-4},
    {"LinearAttention", "q_num_heads=2 kv_num_heads=1 update_rule=linear scale=1.0",
     "f32[1,2,4] .. | f32[1,2,2] .. | f32[1,2,1] 1 2", "f32[1,2,2] 1 3 51 73 | f32[1,1,2,1] 4 7",
     1e-4},
    {"LinearAttention", "q_num_heads=1 kv_num_heads=1",
     "f32[1,2,2] .. | f32[1,2,2] 1 0 0 1 | f32[1,2,1] 1 2 | f32[1,1,2,1] 3 4 | "
     "f32[1,2,1] -1 0 | f32[1,2,1] 1 0.5",
     "f32[1,2,1] 1.04052 5.09631 | f32[1,1,2,1] 1 1.73576", 1e-4},
    {"CausalConvWithState", "", "f32[1,2,3] .. | f32[2,1,2] 1 2 3 4 | f32[2] 0 1 | f32[1,2,1] 5 6",
     "f32[1,2,3] 5 2 5 31 26 33 | f32[1,2,1] 2 5", 1e-4},
    {"CausalConvWithState", "activation=silu", "f32[1,1,1] 2 | f32[1,1,3] 1 1 1",
     "f32[1,1,1] 1.76159 | f32[1,1,2] 0 2", 1e-4},
    {"TensorScatter", "axis=1", "f32[2,3,1] .. | f32[2,1,1] 8 9 | i64[2] 2 0",
     "f32[2,3,1] 0 1 8 9 4 5", 1e-4},
    {"TensorScatter", "mode=circular", "f32[1,3,2] .. | f32[1,2,2] 6 7 8 9 | i64[1] 2",
     "f32[1,3,2] 8 9 2 3 6 7", 1e-4},
    {"Attention", "",
     "f64[2,1,1,2] 1 0 0 1 | f64[2,1,3,2] .. | f64[2,1,3,1] .. | - | - | - | i64[2] 2 1",
     "f64[2,1,1,1] 0.804430 3", 1e-4},
    /* ends in the middle of the cache; opset 23 repeats a mask of one column */
    {"Attention", "opset=23", "f32[1,1,1,1] 1 | f32[1,1,2,1] 0 0 | f32[1,1,2,1] 2 4 | f32[1,1] 7",
     "f32[1,1,1,1] 3", 1e-4},
    {"Attention", "", "f32[1,1,1,1] 1 | f32[1,1,2,1] 0 0 | f32[1,1,2,1] 2 4 | f32[1,1] 7",
     "f32[1,1,1,1] 2", 1e-4},
    {"Attention", "", "f32[1,1,1,1] 1 | f32[1,1,0,1] | f32[1,1,0,2]", "f32[1,1,1,2] 0 0", 0},
    {"Attention", "", "f32[0,1,1,1] | f32[0,1,2,1] | f32[0,1,2,1]", "f32[0,1,1,1]", 0},
    {"Attention", "", "bf16[1,1,1,1] 16256 | bf16[1,1,2,1] 0 0 | bf16[1,1,2,1] 16384 16512",
     "bf16[1,1,1,1] 16448", 0}, /* 1; 2 and 4; 3 */
    /* nothing is seen by the first row */
    {"Attention", "", "f32[1,1,2,1] 1 1 | f32[1,1,2,1] 0 0 | f32[1,1,2,1] 2 4 | bool[2,2] 0 0 1 1",
     "f32[1,1,2,1] 0 3", 0},
    {"TensorScatter", "axis=1", "string[1,2] a b | string[1,1] c", "string[1,2] c b", 0},
};

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_attention_refusals(void **state) {
    (void)state;
    one_refuse("Attention", "", "f32[1,2] .. | f32[1,2] .. | f32[1,2] ..", MM_INVALID_MODEL,
               "its input 0 has 2 axes, 3 or 4 wanted");
    one_refuse("Attention", "", "f32[1,1,2] .. | f32[1,1,2] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "rows of 2 elements for 0 heads");
    one_refuse("Attention", "q_num_heads=3 kv_num_heads=2",
               "f32[1,1,3] .. | f32[1,1,2] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "3 heads of queries for 2 of keys");
    one_refuse("Attention", "", "f32[1,1,1,2] .. | f32[1,1,1,3] .. | f32[1,1,1,2] ..",
               MM_INVALID_MODEL, "its queries have 2");
    one_refuse("Attention", "", "f32[1,1,1,2] .. | f32[2,1,1,2] .. | f32[1,1,1,2] ..",
               MM_INVALID_MODEL, "its input 1 has a batch of 2, its input 0 1");
    one_refuse("Attention", "", "i32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,1,1,2] ..",
               MM_UNSUPPORTED, "its input 0 is i32");
    one_refuse("Attention", "", "f32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,2] ..",
               MM_INVALID_MODEL, "its attn_mask of 2 axes cannot be broadcast to [1, 1, 1, 1]");
    one_refuse("Attention", "",
               "f32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,1,1,2] .. | - | f32[1,1,1,2] ..",
               MM_INVALID_MODEL, "without the other");
    one_refuse("Attention", "",
               "f32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,1,1,2] .. | - | - | - | i64[2] ..",
               MM_INVALID_MODEL, "its nonpad_kv_seqlen is i64 with 2 elements, i64 with 1");
    one_refuse("Attention", "qk_matmul_output_mode=4",
               "f32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,1,1,2] ..", MM_INVALID_MODEL, "0 to 3");
    one_refuse("Attention", "softmax_precision=7",
               "f32[1,1,1,2] .. | f32[1,1,1,2] .. | f32[1,1,1,2] ..", MM_UNSUPPORTED,
               "softmax_precision is 7");
}

static void test_other_refusals(void **state) {
    (void)state;
    one_refuse("RotaryEmbedding", "", "f32[1,1,4] .. | f32[1,1,2] .. | f32[1,1,2] ..",
               MM_INVALID_MODEL, "for 0 heads");
    one_refuse("RotaryEmbedding", "", "f32[1,1,1,4] .. | f32[1,1,1] .. | f32[1,1,1] ..",
               MM_INVALID_MODEL, "4 of 4 elements of a head are turned by 1 angles");
    one_refuse("RotaryEmbedding", "", "f32[1,1,1,2] .. | f32[2,1] .. | f32[2,1] .. | i64[1,1] 2",
               MM_INVALID_ARGUMENT, "position 2 of row 0, 0 to 1 are known");
    one_refuse("LinearAttention", "q_num_heads=1 kv_num_heads=1",
               "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1", MM_INVALID_MODEL,
               "update_rule 'gated_delta' needs decay");
    one_refuse("LinearAttention", "q_num_heads=1", "f32[1,1,1] 1 | f32[1,1,1] 1 | f32[1,1,1] 1",
               MM_INVALID_MODEL, "1 heads of queries for 0 of keys");
    one_refuse("LinearAttention", "q_num_heads=1 kv_num_heads=1 update_rule=linear",
               "f32[1,1,1] 1 | f32[1,1,2] .. | f32[1,1,1] 1", MM_INVALID_MODEL,
               "its keys have 2 elements, its queries 1");
    one_refuse("CausalConvWithState", "", "f32[1,2,3] .. | f32[1,1,2] ..", MM_INVALID_MODEL,
               "its input 1 has 3 axes and 2 elements");
    one_refuse("TensorScatter", "", "f32[1,2,1] .. | f32[1,1,1] 0 | i64[1] 2", MM_INVALID_ARGUMENT,
               "write index 2 of sample 0, 0 to 1 wanted");
    one_refuse("TensorScatter", "axis=0", "f32[1,2,1] .. | f32[1,1,1] 0", MM_INVALID_MODEL,
               "axis is that of the batch");
    one_refuse("TensorScatter", "", "f32[1,2,1] .. | f32[1,3,1] ..", MM_INVALID_MODEL,
               "does not fit its cache");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_attention_refusals),
        cmocka_unit_test(test_other_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
