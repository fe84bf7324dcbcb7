/* SPDX-License-Identifier: Apache-2.0 */

/* Einsum, TopK, LpNormalization, CenterCropPad, losses. Numbers from onnx 1.22.0's reference. */

#include "one_node.h"

static const struct one_case einsum[] = {
    {"Einsum", "equation=ij,jk->ik", "f32[2,3] 0 1 2 3 4 5 | f32[3,2] 0 1 2 3 4 5",
     "f32[2,2] 10 13 28 40", 1e-5},
    {"Einsum", "equation=ij,kj", "f32[2,3] 0 1 2 3 4 5 | f32[2,3] 0 1 2 3 4 5",
     "f32[2,2] 5 14 14 50", 1e-5},
    {"Einsum", "equation=ii->i", "f32[3,3] 0 1 2 3 4 5 6 7 8", "f32[3] 0 4 8", 1e-5},
    {"Einsum", "equation=ii", "f32[3,3] 0 1 2 3 4 5 6 7 8", "f32[] 12", 1e-5},
    {"Einsum", "equation=a...,...a->...", "f32[3,2] 0 1 2 3 4 5 | f32[2,3] 0 1 2 3 4 5",
     "f32[2] 10 40", 1e-5},
    {"Einsum", "equation=ij->ji", "f32[2,3] 0 1 2 3 4 5", "f32[3,2] 0 3 1 4 2 5", 1e-5},
    {"Einsum", "equation=b...ij,b...jk->b...ik",
     "f32[2,1,2,2] 0.5 -1.25 0 -2 0.5 0.75 0.25 0.5 | f32[2,2,2,2] -0.5 -2 1 -0.25 1.5 -1.5 -1.5 "
     "-1.75 -0.75 0 1.5 -1.75 0.5 -0.25 0.75 -1.75",
     "f32[2,2,2,2] -1.5 -0.6875 -2 0.5 2.625 1.4375 3 3.5 0.75 -1.3125 0.5625 -0.875 0.8125 "
     "-1.4375 0.5 -0.9375",
     1e-5},
    {"Einsum", "equation=ab,bc,cd->ad",
     "f32[2,2] 1.75 2 -0.75 1.5 | f32[2,3] -2 -2 0.25 -0.75 -0.25 -0.75 | f32[3,2] 1.5 -1.75 -1.75 "
     "0.5 0.75 -1",
     "f32[2,2] -1.296875 7.8125 -2.390625 1.21875", 1e-5},
    {"Einsum", "equation=ab,cd->",
     "f32[2,3] -1.25 2 2 -2 2 0.75 | f32[3,2] -2 1.25 -0.75 2 -1.75 -1.5", "f32[] -9.625", 1e-5},
    {"Einsum", "equation=a,b->ab", "f32[3] -1 0 1 | f32[2] 2 0.5", "f32[3,2] -2 -0.5 0 0 2 0.5",
     1e-5},
    {"Einsum", "equation=aab,b->a",
     "f32[2,2,3] 2 -1 0 -0.25 -2 2 0.25 -1.75 1.75 0.75 0.5 2 | f32[3] 2 1 -1", "f32[2] 3 0", 1e-5},
    {"Einsum", "equation=zA,Ab",
     "f32[2,3] 1 1 2 -1.5 -0.25 -1.75 | f32[3,2] -1.25 1.25 -1.75 -1.5 -1.25 0.75",
     "f32[2,2] -5.5 4.5 1.25 -2.8125", 1e-5},
    {"Einsum", "equation=ij,jk->ik", "u8[1,2] 200 100 | u8[2,1] 2 3", "u8[1,1] 188", 0},
};

static void test_einsum(void **state) {
    (void)state;
    one_expect_all(einsum, sizeof(einsum) / sizeof(einsum[0]));
    one_expect("Einsum", "equation=ij,jk", "f64[2,0] | f64[0,2]", "f64[2,2] 0 0 0 0");
    one_expect("Einsum", "equation=ij->", "f32[0,1099511627776]", "f32[] 0");
    one_expect("Einsum", "equation=a,a->a", "bf16[2] 16384 16256 | bf16[1] 16384",
               "bf16[2] 16512 16384");
    one_expect("Einsum", "equation=a,b,c,d->", "i64[2] .. | i64[2] .. | i64[2] .. | i64[3] ..",
               "i64[] 3");
    one_refuse("Einsum", "equation=ij,jk->ik", "f32[2,3] .. | f32[2,3] ..", MM_INVALID_MODEL,
               "axis 0 of its input 1 has 2 elements, where 'ij,jk->ik' says 3");
    one_refuse("Einsum", "equation=ij->ik", "f32[2,3] ..", MM_INVALID_MODEL,
               "a letter that no input has");
    one_refuse("Einsum", "equation=ij->ii", "f32[2,3] ..", MM_INVALID_MODEL,
               "a letter that the result has twice");
    one_refuse("Einsum", "equation=ij", "f32[2] ..", MM_INVALID_MODEL, "its input 0 has 1 axes");
    one_refuse("Einsum", "equation=i.j", "f32[2] ..", MM_INVALID_MODEL, "no ellipsis");
    one_refuse("Einsum", "equation=i,j", "f32[2] ..", MM_INVALID_MODEL, "'->' or the end wanted");
    one_refuse("Einsum", "equation=i", "f32[2] .. | f32[2] ..", MM_INVALID_MODEL,
               "the term of another input wanted at 1");
    one_refuse("Einsum", "equation=i->i+", "f32[2] ..", MM_INVALID_MODEL, "wanted at 4");
    one_refuse("Einsum", "equation=aaaaaaaaa", "f32[2] ..", MM_INVALID_MODEL, "too many axes");
    one_refuse("Einsum", "equation=i,i", "f32[2] .. | f64[2] ..", MM_INVALID_MODEL,
               "its input 1 is f64");
    one_refuse("Einsum", "equation=i", "bool[2] ..", MM_UNSUPPORTED, "its input 0 is bool");
    one_refuse("Einsum", "", "f32[2] ..", MM_INVALID_MODEL, "attribute equation is no string");
}

static const struct one_case topk[] = {
    {"TopK", "", "f32[2,5] -0.25 -1.75 0.75 -2 2 0.75 0 0 1.5 1 | i64[1] 3",
     "f32[2,3] 2 0.75 -0.25 1.5 1 0.75 | i64[2,3] 4 2 0 3 4 0", 1e-5},
    {"TopK", "axis=0 largest=0",
     "f32[4,3] -1 0.25 -0.75 0.25 0.5 0.25 -2 1.25 1 -0.25 -1 0.5 | i64[1] 2",
     "f32[2,3] -2 -1 -0.75 -1 0.25 0.25 | i64[2,3] 2 3 0 0 0 1", 1e-5},
};

static void test_topk(void **state) {
    (void)state;
    one_expect_all(topk, sizeof(topk) / sizeof(topk[0]));
    one_expect("TopK", "", "f32[5] nan 1 -nan 2 nan | i64[1] 5",
               "f32[5] nan -nan nan 2 1 | "
               "i64[5] 0 2 4 3 1");
    one_expect("TopK", "largest=0", "f64[4] nan 1 -0 0 | i64[] 3", "f64[3] -0 0 1 | i64[3] 2 3 1");
    one_expect("TopK", "", "u64[3] 18446744073709551615 1 9223372036854775808 | i64[1] 2",
               "u64[2] 18446744073709551615 9223372036854775808 | i64[2] 0 2");
    one_expect("TopK", "", "i8[2,3] .. | i64[1] 0", "i8[2,0] | i64[2,0]");
    one_expect("TopK", "", "f32[3] .. | i64[1] 1", "f32[1] 2");
    one_refuse("TopK", "", "f32[3] .. | i64[1] 4", MM_INVALID_MODEL, "one of 0 to 3 wanted");
    one_refuse("TopK", "", "f32[3] .. | i64[2] 1 1", MM_INVALID_MODEL, "its k is 2 numbers");
    one_refuse("TopK", "", "f32[3] .. | ?i64[1] 1", MM_UNSUPPORTED,
               "its k is not known before the run");
    one_refuse("TopK", "axis=1", "f32[3] .. | i64[1] 1", MM_INVALID_MODEL, "axis 1");
}

/* Every k against a sort by counting. */
static void test_topk_random(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int64_t k = 1; k <= 40; k += 3) {
        struct one_node one;
        const int64_t shape[] = {2, 40, 3}, scalar = k;
        one_init(&one, "TopK", "axis=1");
        const double *x = one_numbers(&one, MM_F32, 3, shape, &seed);
        one_input(&one, MM_I64, 0, NULL, &scalar);
        assert_int_equal(one_run(&one, 2), MM_OK);
        const int64_t *indices = one.outputs[1].data;
        for (int64_t i = 0; i < 2 * 40 * 3; i++) {
            int64_t first = i / 120 * 120 + i % 3, place = 0;
            for (int64_t j = first; j < first + 120; j += 3) {
                place += x[j] > x[i] || (x[j] == x[i] && j < i);
            }
            if (place < k) {
                assert_int_equal(indices[(i / 120 * k + place) * 3 + i % 3], i % 120 / 3);
            }
        }
        one_fini(&one);
    }
}

static const struct one_case others[] = {
    {"LpNormalization", "p=2 axis=0", "f32[3,2] 0.25 1.25 1.25 -2 1.75 -1",
     "f32[3,2] 0.11547 0.48795 0.57735 -0.78072 0.80829 -0.39036", 1e-5},
    {"LpNormalization", "p=2", "f32[2,3] 0.5 -0.5 1 1.75 1.5 0.5",
     "f32[2,3] 0.408248 -0.408248 0.816497 0.741999 0.635999 0.212", 1e-5},
    {"CenterCropPad", "", "f32[4,3] 0 1 2 3 4 5 6 7 8 9 10 11 | i64[2] 2 6",
     "f32[2,6] 0 3 4 5 0 0 0 6 7 8 0 0", 1e-5},
    {"CenterCropPad", "axes=[-1]", "f32[2,3] 0 1 2 3 4 5 | i64[1] 2", "f32[2,2] 0 1 3 4", 1e-5},
};

static void test_others(void **state) {
    (void)state;
    one_expect_all(others, sizeof(others) / sizeof(others[0]));
    one_expect("LpNormalization", "p=1", "f32[3,2] 1 -3 0 0 -2 2", "f32[3,2] .25 -.75 0 0 -.5 .5");
    one_expect("LpNormalization", "axis=0", "bf16[1,2] 16384 49152", "bf16[1,2] 16256 49024");
    one_expect("LpNormalization", "axis=0", "f32[0,3]", "f32[0,3]");
    one_expect("LpNormalization", "axis=1", "f32[1099511627776,3,0]", "f32[1099511627776,3,0]");
    one_refuse("LpNormalization", "p=3", "f32[2] ..", MM_INVALID_MODEL, "attribute p is 3");
    one_refuse("LpNormalization", "axis=1", "f32[2] ..", MM_INVALID_MODEL, "axis 1");
    one_refuse("LpNormalization", "", "i32[2] ..", MM_UNSUPPORTED, "its input 0 is i32");
    one_expect("CenterCropPad", "", "@[2,2] 0 1 1 0 | i64[2] 2 1", "@[2,1] 0 1");
    one_expect("CenterCropPad", "", "f32[0] | i32[1] 2", "f32[2] 0 0");
    one_expect("CenterCropPad", "", "string[4] a b c d | i64[1] 2", "string[2] b c");
    one_refuse("CenterCropPad", "", "f32[2] .. | i64[1] -1", MM_INVALID_MODEL, "no tensor can");
    one_refuse("CenterCropPad", "axes=[0,-1]", "f32[2] .. | i64[2] 1 1", MM_INVALID_MODEL,
               "axis 0 twice");
    one_refuse("CenterCropPad", "", "f32[2] .. | i64[2] 1 1", MM_INVALID_MODEL,
               "2 numbers for 1 axes");
}

static const struct one_case losses[] = {
    {"NegativeLogLikelihoodLoss", "reduction=none",
     "f32[2,3,2] 0.75 -1.25 0 -1.5 0.75 -1 -2 1.25 -0.25 -1.75 -1.5 -1.5 | i64[2,2] 0 2 1 1 | "
     "f32[3] 1 2 0.5",
     "f32[2,2] -0.75 0.5 0.5 3.5", 1e-5},
    {"SoftmaxCrossEntropyLoss", "reduction=none ignore_index=1",
     "f32[2,3,2] 0.75 -1.25 0 -1.5 0.75 -1 -2 1.25 -0.25 -1.75 -1.5 -1.5 | i64[2,2] 0 2 1 1 | "
     "f32[3] 1 2 0.5",
     "f32[2,2] 0.905176 0.434669 0 0 | f32[2,3,2] -0.905176 -1.119338 -1.655176 -1.369338 "
     "-0.905176 -0.869338 -2.128627 -0.107701 -0.378627 -3.107701 -1.628627 -2.857701",
     1e-5},
    {"NegativeLogLikelihoodLoss", "reduction=sum",
     "f32[2,3,2] 0.75 -1.25 0 -1.5 0.75 -1 -2 1.25 -0.25 -1.75 -1.5 -1.5 | i64[2,2] 0 2 1 1 | "
     "f32[3] 1 2 0.5",
     "f32[] 3.75", 1e-5},
    {"SoftmaxCrossEntropyLoss", "reduction=sum ignore_index=1",
     "f32[2,3,2] 0.75 -1.25 0 -1.5 0.75 -1 -2 1.25 -0.25 -1.75 -1.5 -1.5 | i64[2,2] 0 2 1 1 | "
     "f32[3] 1 2 0.5",
     "f32[] 1.339845 | f32[2,3,2] -0.905176 -1.119338 -1.655176 -1.369338 -0.905176 -0.869338 "
     "-2.128627 -0.107701 -0.378627 -3.107701 -1.628627 -2.857701",
     1e-5},
    {"NegativeLogLikelihoodLoss", "reduction=mean",
     "f32[2,3,2] 0.75 -1.25 0 -1.5 0.75 -1 -2 1.25 -0.25 -1.75 -1.5 -1.5 | i64[2,2] 0 2 1 1 | "
     "f32[3] 1 2 0.5",
     "f32[] 0.681818", 1e-5},
    {"SoftmaxCrossEntropyLoss", "reduction=mean ignore_index=1",
     "f32[2,3,2] 0.75 -1.25 0 -1.5 0.75 -1 -2 1.25 -0.25 -1.75 -1.5 -1.5 | i64[2,2] 0 2 1 1 | "
     "f32[3] 1 2 0.5",
     "f32[] 0.89323 | f32[2,3,2] -0.905176 -1.119338 -1.655176 -1.369338 -0.905176 -0.869338 "
     "-2.128627 -0.107701 -0.378627 -3.107701 -1.628627 -2.857701",
     1e-5},
    {"SoftmaxCrossEntropyLoss", "", "f32[2,3] 1.5 0.5 -0.25 1 0.75 -0.25 | i64[2] 2 0",
     "f32[] 1.454067 | f32[2,3] -0.432856 -1.432856 -2.182855 -0.725278 -0.975278 -1.975278", 1e-5},
};

static void test_losses(void **state) {
    (void)state;
    one_expect_all(losses, sizeof(losses) / sizeof(losses[0]));
    one_expect("NegativeLogLikelihoodLoss", "reduction=sum ignore_index=-1",
               "f64[2,2] .. | i32[2] -1 1", "f64[] -3");
    one_expect("NegativeLogLikelihoodLoss", "reduction=none", "f32[0,3] | i64[0]", "f32[0]");
    one_expect("SoftmaxCrossEntropyLoss", "reduction=sum",
               "f32[1099511627776,3,0] | "
               "i64[1099511627776,0]",
               "f32[] 0");
    one_refuse("NegativeLogLikelihoodLoss", "", "f32[2,2] .. | i64[2] 0 2", MM_INVALID_ARGUMENT,
               "target 1 is class 2 of 2");
    one_refuse("NegativeLogLikelihoodLoss", "", "f32[2,2] .. | i64[2] 0 -1", MM_INVALID_ARGUMENT,
               "target 1 is class -1 of 2");
    one_refuse("NegativeLogLikelihoodLoss", "", "f32[2,2] .. | i64[3] ..", MM_INVALID_MODEL,
               "do not fit its scores");
    one_refuse("NegativeLogLikelihoodLoss", "", "f32[2] .. | i64[] 0", MM_INVALID_MODEL,
               "do not fit its scores");
    one_refuse("SoftmaxCrossEntropyLoss", "", "f32[2,2] .. | i64[2] .. | f32[3] ..",
               MM_INVALID_MODEL, "its weights are 3 elements on 1 axes, 2 on one wanted");
    one_refuse("SoftmaxCrossEntropyLoss", "reduction=max", "f32[2,2] .. | i64[2] ..",
               MM_UNSUPPORTED, "attribute reduction is 'max'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_einsum),      cmocka_unit_test(test_topk),
        cmocka_unit_test(test_topk_random), cmocka_unit_test(test_others),
        cmocka_unit_test(test_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
