/* SPDX-License-Identifier: Apache-2.0 */

/* Reductions, where the best element is, running sums. Numbers from ONNX Runtime 1.31.1 and onnx's
 * reference evaluator; what is no number, and the mean of nothing, as numpy has it. */

#include "one_node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

/* ---- Reductions ------------------------------------------------------------------------------ */

static const struct one_case reductions[] = {
    {"ReduceSum", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 25 3 70 3 115 3", 0},
    {"ReduceSum", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 93 126", 0},
    {"ReduceSum", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 219", 0},
    {"ReduceSum", "noop_with_empty_axes=1", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", 0},
    {"ReduceSum", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] 0 0 0 0 0 0", 1e-06},
    {"ReduceMean", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 12.5 1.5 35 1.5 57.5 1.5", 1e-06},
    {"ReduceMean", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 15.5 21", 1e-06},
    {"ReduceMean", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 18.25", 1e-06},
    {"ReduceMean", "noop_with_empty_axes=1", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", 1e-06},
    {"ReduceMean", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] nan nan nan nan nan nan", 1e-07},
    {"ReduceProd", "", "f32[3,2,2] 0.5 0.1 2 0.2 3 0.1 4 0.2 5.5 0.1 6 0.2 | i64[1] 1",
     "f32[3,1,2] 1 0.020000001 12 0.020000001 33 0.020000001", 1e-05},
    {"ReduceProd", "keepdims=0", "f32[3,2,2] 0.5 0.1 2 0.2 3 0.1 4 0.2 5.5 0.1 6 0.2 | i64[2] 0 -1",
     "f32[2] 0.008250001 0.38400003", 1e-05},
    {"ReduceProd", "keepdims=0", "f32[3,2,2] 0.5 0.1 2 0.2 3 0.1 4 0.2 5.5 0.1 6 0.2",
     "f32[] 0.0031680004", 1e-05},
    {"ReduceProd", "noop_with_empty_axes=1",
     "f32[3,2,2] 0.5 0.1 2 0.2 3 0.1 4 0.2 5.5 0.1 6 0.2 | i64[0]",
     "f32[3,2,2] 0.5 0.1 2 0.2 3 0.1 4 0.2 5.5 0.1 6 0.2", 1e-05},
    {"ReduceProd", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] 1 1 1 1 1 1", 1e-06},
    {"ReduceMax", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 20 2 40 2 60 2", 0},
    {"ReduceMax", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 55 60", 0},
    {"ReduceMax", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 60", 0},
    {"ReduceMax", "noop_with_empty_axes=1", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", 0},
    {"ReduceMax", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] -inf -inf -inf -inf -inf -inf", 1e-06},
    {"ReduceMin", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 5 1 30 1 55 1", 0},
    {"ReduceMin", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 1 2", 0},
    {"ReduceMin", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 1", 0},
    {"ReduceMin", "noop_with_empty_axes=1", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", 0},
    {"ReduceMin", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] inf inf inf inf inf inf", 1e-06},
    {"ReduceL1", "", "f32[3,2,2] -15 -19 0 -18 10 -19 20 -18 35 -19 40 -18 | i64[1] 1",
     "f32[3,1,2] 15 37 30 37 75 37", 0},
    {"ReduceL1", "keepdims=0", "f32[3,2,2] -15 -19 0 -18 10 -19 20 -18 35 -19 40 -18 | i64[2] 0 -1",
     "f32[2] 117 114", 0},
    {"ReduceL1", "keepdims=0", "f32[3,2,2] -15 -19 0 -18 10 -19 20 -18 35 -19 40 -18", "f32[] 231",
     0},
    {"ReduceL1", "noop_with_empty_axes=1",
     "f32[3,2,2] -15 -19 0 -18 10 -19 20 -18 35 -19 40 -18 | i64[0]",
     "f32[3,2,2] 15 19 0 18 10 19 20 18 35 19 40 18", 0},
    {"ReduceL1", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] 0 0 0 0 0 0", 1e-06},
    {"ReduceL2", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 20.615528 2.236068 50 2.236068 81.394104 2.236068", 1e-06},
    {"ReduceL2", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 62.872887 74.913284", 1e-06},
    {"ReduceL2", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 97.80082", 1e-06},
    {"ReduceL2", "noop_with_empty_axes=1", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", 1e-06},
    {"ReduceL2", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] 0 0 0 0 0 0", 1e-06},
    {"ReduceSumSquare", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 425 5 2500 5 6625 5", 0},
    {"ReduceSumSquare", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 3953 5612", 0},
    {"ReduceSumSquare", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 9565", 0},
    {"ReduceSumSquare", "noop_with_empty_axes=1",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 25 1 400 4 900 1 1600 4 3025 1 3600 4", 0},
    {"ReduceSumSquare", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] 0 0 0 0 0 0", 1e-06},
    {"ReduceLogSum", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 3.218876 1.0986123 4.248495 1.0986123 4.744932 1.0986123", 1e-06},
    {"ReduceLogSum", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 4.5325994 4.836282", 1e-06},
    {"ReduceLogSum", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 5.389072",
     1e-06},
    {"ReduceLogSum", "noop_with_empty_axes=1", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]",
     "f32[3,2,2] 1.609438 0 2.9957323 0.6931472 3.4011974 0 3.6888795 0.6931472 4.0073333 0 "
     "4.0943446 0.6931472",
     1e-06},
    {"ReduceLogSum", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] -inf -inf -inf -inf -inf -inf",
     1e-06},
    {"ReduceLogSumExp", "", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[1] 1",
     "f32[3,1,2] 20 2.3132617 40.000046 2.3132617 60.006714 2.3132617", 1e-06},
    {"ReduceLogSumExp", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[2] 0 -1",
     "f32[2] 55 60", 1e-06},
    {"ReduceLogSumExp", "keepdims=0", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2", "f32[] 60.006714",
     1e-06},
    {"ReduceLogSumExp", "noop_with_empty_axes=1",
     "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2 | i64[0]", "f32[3,2,2] 5 1 20 2 30 1 40 2 55 1 60 2",
     1e-06},
    {"ReduceLogSumExp", "", "f32[2,0,3] | i64[1] 1", "f32[2,1,3] -inf -inf -inf -inf -inf -inf",
     1e-06},
    {"ReduceLogSumExp", "", "f32[2] 1000 1001 | i64[1] 0", "f32[1] 1001.31323", 1e-06},
    {"ReduceLogSumExp", "", "f32[2] -inf -inf | i64[1] 0", "f32[1] -inf", 1e-06},
    {"ReduceLogSumExp", "", "f32[2] inf 1 | i64[1] 0", "f32[1] inf", 1e-06},
    {"ReduceMax", "", "f32[3] 1 nan 3 | i64[1] 0", "f32[1] nan", 1e-07},
    {"ReduceMin", "", "f32[3,2] 1 nan nan 3 2 2 | i64[1] 0", "f32[1,2] nan nan", 1e-07},
    {"ReduceSum", "", "f64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "f64[2,1] 6 3", 0},
    {"ReduceProd", "", "f64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "f64[2,1] 6 -120", 0},
    {"ReduceMax", "", "f64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "f64[2,1] 3 5", 0},
    {"ReduceMin", "", "f64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "f64[2,1] 1 -6", 0},
    {"ReduceL1", "", "f64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "f64[2,1] 6 15", 0},
    {"ReduceSumSquare", "", "f64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "f64[2,1] 14 77", 0},
    {"ReduceMean", "", "f64[2,3] 1 2 4 4 6 -6 | i64[1] 0", "f64[1,3] 2.5 4 -1", 0},
    {"ReduceSum", "", "f16[2,3] 15360 16384 16896 17408 17664 50688 | i64[1] 1",
     "f16[2,1] 17920 16896", 0},
    {"ReduceProd", "", "f16[2,3] 15360 16384 16896 17408 17664 50688 | i64[1] 1",
     "f16[2,1] 17920 55168", 0},
    {"ReduceMax", "", "f16[2,3] 15360 16384 16896 17408 17664 50688 | i64[1] 1",
     "f16[2,1] 16896 17664", 0},
    {"ReduceMin", "", "f16[2,3] 15360 16384 16896 17408 17664 50688 | i64[1] 1",
     "f16[2,1] 15360 50688", 0},
    {"ReduceL1", "", "f16[2,3] 15360 16384 16896 17408 17664 50688 | i64[1] 1",
     "f16[2,1] 17920 19328", 0},
    {"ReduceSumSquare", "", "f16[2,3] 15360 16384 16896 17408 17664 50688 | i64[1] 1",
     "f16[2,1] 19200 21712", 0},
    {"ReduceMean", "", "f16[2,3] 15360 16384 17408 17408 17920 50688 | i64[1] 0",
     "f16[1,3] 16640 17408 48128", 0.001},
    {"ReduceSum", "", "i32[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i32[2,1] 6 3", 0},
    {"ReduceProd", "", "i32[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i32[2,1] 6 -120", 0},
    {"ReduceMax", "", "i32[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i32[2,1] 3 5", 0},
    {"ReduceMin", "", "i32[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i32[2,1] 1 -6", 0},
    {"ReduceL1", "", "i32[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i32[2,1] 6 15", 0},
    {"ReduceSumSquare", "", "i32[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i32[2,1] 14 77", 0},
    {"ReduceMean", "", "i32[2,3] 1 2 4 4 6 -6 | i64[1] 0", "i32[1,3] 2 4 -1", 0},
    {"ReduceSum", "", "i64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i64[2,1] 6 3", 0},
    {"ReduceProd", "", "i64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i64[2,1] 6 -120", 0},
    {"ReduceMax", "", "i64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i64[2,1] 3 5", 0},
    {"ReduceMin", "", "i64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i64[2,1] 1 -6", 0},
    {"ReduceL1", "", "i64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i64[2,1] 6 15", 0},
    {"ReduceSumSquare", "", "i64[2,3] 1 2 3 4 5 -6 | i64[1] 1", "i64[2,1] 14 77", 0},
    {"ReduceMean", "", "i64[2,3] 1 2 4 4 6 -6 | i64[1] 0", "i64[1,3] 2 4 -1", 0},
    {"ReduceSum", "", "u32[2,2] 200 100 50 7 | i64[1] 1", "u32[2,1] 300 57", 0},
    {"ReduceL2", "", "u32[2,2] 3 4 6 8 | i64[1] 1", "u32[2,1] 5 10", 0},
    {"ReduceSum", "", "u64[2,2] 200 100 50 7 | i64[1] 1", "u64[2,1] 300 57", 0},
    {"ReduceL2", "", "u64[2,2] 3 4 6 8 | i64[1] 1", "u64[2,1] 5 10", 0},
    {"ReduceSum", "", "i32[2,2] 200 100 50 7 | i64[1] 1", "i32[2,1] 300 57", 0},
    {"ReduceL2", "", "i32[2,2] 3 4 6 8 | i64[1] 1", "i32[2,1] 5 10", 0},
    {"ReduceSum", "", "i64[2,2] 200 100 50 7 | i64[1] 1", "i64[2,1] 300 57", 0},
    {"ReduceL2", "", "i64[2,2] 3 4 6 8 | i64[1] 1", "i64[2,1] 5 10", 0},
    {"ReduceMax", "", "i8[2,2] 100 27 50 7 | i64[1] 1", "i8[2,1] 100 50", 0},
    {"ReduceMin", "", "i8[2,2] 100 27 50 7 | i64[1] 0", "i8[1,2] 50 7", 0},
    {"ReduceMax", "", "u8[2,2] 100 27 50 7 | i64[1] 1", "u8[2,1] 100 50", 0},
    {"ReduceMin", "", "u8[2,2] 100 27 50 7 | i64[1] 0", "u8[1,2] 50 7", 0},
    {"ReduceMax", "", "bool[2,2] 1 0 0 0 | i64[1] 1", "bool[2,1] 1 0", 0},
    {"ReduceMin", "", "bool[2,2] 1 0 1 1 | i64[1] 1", "bool[2,1] 0 1", 0},
    {"ReduceMax", "", "u64[2] 9223372036854775808 5 | i64[1] 0", "u64[1] 9223372036854775808", 0},
    {"ReduceMin", "", "u64[2] 9223372036854775808 5 | i64[1] 0", "u64[1] 5", 0},
    {"ReduceSum", "keepdims=0", "f32[] 3", "f32[] 3", 0},
};

static void test_reductions(void **state) {
    (void)state;
    one_expect_all(reductions, sizeof(reductions) / sizeof(reductions[0]));
}

/* Without elements the result is the initial value: for a maximum, the minimum of the type. */
static void test_empty(void **state) {
    (void)state;
    one_expect("ReduceMax", "", "i8[0] | i64[1] 0", "i8[1] -128");
    one_expect("ReduceMin", "", "i8[0] | i64[1] 0", "i8[1] 127");
    one_expect("ReduceMax", "", "u16[0]", "u16[1] 0");
    one_expect("ReduceMin", "", "u16[0]", "u16[1] 65535");
    one_expect("ReduceMax", "", "i64[0]", "i64[1] -9223372036854775808");
    one_expect("ReduceMin", "", "u64[0]", "u64[1] 18446744073709551615");
    one_expect("ReduceMax", "", "bool[0]", "bool[1] 0");
    one_expect("ReduceMin", "", "bool[0]", "bool[1] 1");
    one_expect("ReduceProd", "keepdims=0", "f32[0,4]", "f32[] 1");
    one_expect("ReduceSum", "", "f32[3,0] | i64[1] 0", "f32[1,0]");
    one_expect("ReduceSum", "", "f32[1099511627776,3,0] | i64[2] 0 2", "f32[1,3,1] 0 0 0");
}

/* ---- Against a naive model ------------------------------------------------------------------- */

static double join_sum(double a, double x) {
    return a + x;
}

static double join_max(double a, double x) {
    return x > a ? x : a;
}

static double join_min(double a, double x) {
    return x < a ? x : a;
}

static double join_sizes(double a, double x) {
    return a + fabs(x);
}

static double join_squares(double a, double x) {
    return a + x * x;
}

static double join_exponentials(double a, double x) {
    return a + exp(x);
}

static const struct rule {
    const char *type;
    double start;
    double (*join)(double a, double x);
    double (*end)(double sum); /* NULL: nothing */
} rules[] = {
    {"ReduceSum", 0, join_sum, NULL},           {"ReduceMean", 0, join_sum, NULL},
    {"ReduceMax", -INFINITY, join_max, NULL},   {"ReduceMin", INFINITY, join_min, NULL},
    {"ReduceL1", 0, join_sizes, NULL},          {"ReduceL2", 0, join_squares, sqrt},
    {"ReduceSumSquare", 0, join_squares, NULL}, {"ReduceLogSumExp", 0, join_exponentials, log},
};

/* Element i of an input: which one of the output it goes to. */
static uint64_t naive_index(const struct onnx_tensor *input, uint32_t reduced, uint64_t i) {
    uint64_t index = 0, step = 1;
    for (uint32_t axis = input->rank; axis-- > 0;) {
        uint64_t count = (uint64_t)input->shape[axis];
        if (!(reduced >> axis & 1)) {
            index += i % count * step;
            step *= count;
        }
        i /= count;
    }
    return index;
}

static void check_naive(const struct one_node *one, const struct rule *rule, uint32_t reduced,
                        const double *numbers) {
    const struct onnx_tensor *input = &one->inputs[0], *output = &one->outputs[0];
    double *sums = calloc(output->elements + 1, sizeof(*sums));
    assert_non_null(sums);
    for (uint64_t i = 0; i < output->elements; i++) {
        sums[i] = rule->start;
    }
    for (uint64_t i = 0; i < input->elements; i++) {
        double *sum = &sums[naive_index(input, reduced, i)];
        *sum = rule->join(*sum, numbers[i]);
    }
    for (uint64_t i = 0; i < output->elements; i++) {
        bool whole = output->dtype == MM_I32 || output->dtype == MM_U64;
        double wanted = rule->end ? rule->end(sums[i]) : sums[i];
        if (strcmp(rule->type, "ReduceMean") == 0) {
            wanted /= (double)(input->elements / output->elements);
        }
        wanted = whole ? trunc(wanted) : wanted;
        double tolerance = output->dtype == MM_F16 ? 1e-3 : 1e-6;
        double got = mmi_onnx_float_at(output, i);
        if (!(fabs(got - wanted) <= tolerance * fmax(1, fabs(wanted)))) {
            fail_msg("%s of %s, axes %u: %g, not %g", rule->type, mm_dtype_text(input->dtype),
                     reduced, got, wanted);
        }
    }
    free(sums);
}

static void test_random_axes(void **state) {
    static const int64_t counts[] = {1, 2, 3, 5, 9, 40, 700};
    static const int32_t dtypes[] = {MM_F32, MM_F32, MM_F64, MM_F16, MM_I32};
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        const struct rule *rule =
            &rules[test_random_below(&seed, sizeof(rules) / sizeof(rules[0]))];
        struct one_node one;
        int64_t shape[MM_MAX_RANK], axes[MM_MAX_RANK], axis_count = 0;
        uint64_t elements = 1;
        uint32_t rank = 1 + (uint32_t)test_random_below(&seed, 5);
        uint32_t reduced = (uint32_t)test_random_below(&seed, UINT64_C(1) << rank);
        for (uint32_t i = 0; i < rank; i++) {
            shape[i] = counts[test_random_below(&seed, 7)];
            shape[i] = elements * (uint64_t)shape[i] > 20000 ? 1 : shape[i];
            elements *= (uint64_t)shape[i];
            if (reduced >> i & 1) {
                axes[axis_count++] = test_random_below(&seed, 2) ? i : (int64_t)i - rank;
            }
        }
        one_init(&one, rule->type, "keepdims=0 noop_with_empty_axes=1");
        const double *numbers =
            one_numbers(&one, dtypes[test_random_below(&seed, 5)], rank, shape, &seed);
        one_input(&one, MM_I64, 1, &axis_count, axes);
        assert_int_equal(one_run(&one, 1), MM_OK);
        check_naive(&one, rule, reduced, numbers);
        one_fini(&one);
    }
}

/* A sum of many of them would stand still in f32. */
static void test_precision(void **state) {
    struct one_node one;
    const int64_t rows[] = {1, 3000000}, columns[] = {3000000, 1}, axes[] = {0, 1};
    (void)state;
    float *data = malloc(3000000 * sizeof(*data));
    assert_non_null(data);
    for (int i = 0; i < 3000000; i++) {
        data[i] = 16.1f;
    }
    for (int i = 0; i < 2; i++) {
        one_init(&one, "ReduceMean", "");
        one_input(&one, MM_F32, 2, i ? columns : rows, data);
        one_input(&one, MM_I64, 1, (const int64_t[]){1}, i ? &axes[0] : &axes[1]);
        assert_int_equal(one_run(&one, 1), MM_OK);
        assert_true(((const float *)one.outputs[0].data)[0] == 16.1f);
        one_fini(&one);
    }
    free(data);
}

/* ---- Where the best one is, running sums ----------------------------------------------------- */

static const struct one_case places[] = {
    {"ArgMax", "axis=1", "f32[2,3] 2 2 1 3 10 10", "i64[2,1] 0 1", 0},
    {"ArgMax", "axis=1 keepdims=0", "f32[2,3] 2 2 1 3 10 10", "i64[2] 0 1", 0},
    {"ArgMax", "axis=0", "f32[2,3] 2 2 1 3 10 10", "i64[1,3] 1 1 1", 0},
    {"ArgMax", "axis=-1 select_last_index=1", "f32[2,3] 2 2 1 3 10 10", "i64[2,1] 1 2", 0},
    {"ArgMax", "axis=0 select_last_index=1", "f32[2,3] 2 2 1 3 10 10", "i64[1,3] 1 1 1", 0},
    {"ArgMin", "axis=1", "f32[2,3] 2 2 1 3 10 10", "i64[2,1] 2 0", 0},
    {"ArgMin", "axis=1 keepdims=0", "f32[2,3] 2 2 1 3 10 10", "i64[2] 2 0", 0},
    {"ArgMin", "axis=0", "f32[2,3] 2 2 1 3 10 10", "i64[1,3] 0 0 0", 0},
    {"ArgMin", "axis=-1 select_last_index=1", "f32[2,3] 2 2 1 3 10 10", "i64[2,1] 2 0", 0},
    {"ArgMin", "axis=0 select_last_index=1", "f32[2,3] 2 2 1 3 10 10", "i64[1,3] 0 0 0", 0},
    {"ArgMax", "axis=0", "f64[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "f16[4] 15360 16896 16384 16896", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "i8[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "u8[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "i16[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "u16[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "i32[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "u32[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "i64[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "u64[4] 1 3 2 3", "i64[1] 1", 0},
    {"ArgMin", "axis=0", "u64[2] 9223372036854775808 7", "i64[1] 1", 0},
    {"ArgMax", "axis=0", "f32[4] 1 nan 5 nan", "i64[1] 1", 0},
};

static void test_places(void **state) {
    (void)state;
    one_expect_all(places, sizeof(places) / sizeof(places[0]));
}

/* Rows and columns of more than a chunk. */
static void test_long_places(void **state) {
    struct one_node one;
    const int64_t shape[] = {2, 700, 600};
    (void)state;
    for (int axis = 0; axis < 3; axis++) {
        one_init(&one, "ArgMax", axis == 0 ? "axis=0" : axis == 1 ? "axis=1" : "axis=2");
        float *data = malloc(2 * 700 * 600 * sizeof(*data));
        assert_non_null(data);
        for (int i = 0; i < 2 * 700 * 600; i++) {
            data[i] = (float)test_random_below(&seed, 1000000);
        }
        one_input(&one, MM_F32, 3, shape, data);
        assert_int_equal(one_run(&one, 1), MM_OK);
        const struct onnx_split split = mmi_onnx_split_at(&one.inputs[0], (uint32_t)axis);
        for (uint64_t i = 0; i < one.outputs[0].elements; i++) {
            uint64_t first = i / split.inner * split.length * split.inner + i % split.inner;
            uint64_t best = 0;
            for (uint64_t j = 1; j < split.length; j++) {
                float x = data[first + j * split.inner], b = data[first + best * split.inner];
                best = x > b ? j : best;
            }
            assert_int_equal(mmi_onnx_int_at(&one.outputs[0], i), best);
        }
        free(data);
        one_fini(&one);
    }
}

static const struct one_case running[] = {
    {"CumSum", "", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 1 3 6 4 9 15", 0},
    {"CumSum", "", "f32[2,3] 1 2 3 4 5 6 | i32[] -2", "f32[2,3] 1 2 3 5 7 9", 0},
    {"CumProd", "", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 1 2 6 4 20 120", 0},
    {"CumSum", "exclusive=1", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 0 1 3 0 4 9", 0},
    {"CumSum", "exclusive=1", "f32[2,3] 1 2 3 4 5 6 | i32[] -2", "f32[2,3] 0 0 0 1 2 3", 0},
    {"CumProd", "exclusive=1", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 1 1 2 1 4 20", 0},
    {"CumSum", "reverse=1", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 6 5 3 15 11 6", 0},
    {"CumSum", "reverse=1", "f32[2,3] 1 2 3 4 5 6 | i32[] -2", "f32[2,3] 5 7 9 4 5 6", 0},
    {"CumProd", "reverse=1", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 6 6 3 120 30 6", 0},
    {"CumSum", "exclusive=1 reverse=1", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 5 3 0 11 6 0",
     0},
    {"CumSum", "exclusive=1 reverse=1", "f32[2,3] 1 2 3 4 5 6 | i32[] -2", "f32[2,3] 4 5 6 0 0 0",
     0},
    {"CumProd", "exclusive=1 reverse=1", "f32[2,3] 1 2 3 4 5 6 | i64[] 1", "f32[2,3] 6 3 1 30 6 1",
     0},
    {"CumSum", "", "f64[3] 1 2 100 | i64[] 0", "f64[3] 1 3 103", 0},
    {"CumSum", "", "i32[3] 1 2 100 | i64[] 0", "i32[3] 1 3 103", 0},
    {"CumSum", "", "i64[3] 1 2 100 | i64[] 0", "i64[3] 1 3 103", 0},
    {"CumSum", "", "u32[3] 1 2 100 | i64[] 0", "u32[3] 1 3 103", 0},
    {"CumSum", "", "u64[3] 1 2 100 | i64[] 0", "u64[3] 1 3 103", 0},
    {"CumSum", "", "f16[3] 15360 16384 22080 | i64[] 0", "f16[3] 15360 16896 22128", 0},
};

static void test_running(void **state) {
    (void)state;
    one_expect_all(running, sizeof(running) / sizeof(running[0]));
}

static void test_bad(void **state) {
    (void)state;
    one_refuse("ReduceSum", "", "f32[2] .. | i64[1] 1", MM_INVALID_MODEL,
               "axis 1 of a tensor with 1 axes");
    one_refuse("ReduceSum", "", "f32[2] .. | ?i64[1] 0", MM_UNSUPPORTED,
               "its list of axes is not known before the run");
    one_refuse("ReduceSum", "", "f32[2] .. | f32[1] 0", MM_INVALID_MODEL,
               "its list of axes is f32");
    one_refuse("ReduceSum", "", "bool[2] ..", MM_UNSUPPORTED, "its input 0 is bool");
    one_refuse("ReduceMax", "", "string[2] a b", MM_UNSUPPORTED, "its input 0 is string");
    one_refuse("ReduceMean", "keepdims=x", "f32[2] ..", MM_INVALID_MODEL, "attribute keepdims");
    one_refuse("ArgMax", "axis=2", "f32[2] ..", MM_INVALID_MODEL, "axis 2 of a tensor with 1 axes");
    one_refuse("ArgMax", "axis=1", "f32[2,0]", MM_INVALID_MODEL,
               "axis 1 of its input has no elements");
    one_refuse("ArgMin", "", "bool[2] ..", MM_UNSUPPORTED, "its input 0 is bool");
    one_refuse("CumSum", "", "f32[2] .. | i64[] 1", MM_INVALID_ARGUMENT,
               "axis 1 of a tensor with 1 axes");
    one_refuse("CumSum", "", "f32[2] .. | i64[2] 0 0", MM_INVALID_MODEL,
               "its input 1 has 2 elements, 1 wanted");
    one_refuse("CumSum", "", "f32[2] .. | f32[] 0", MM_INVALID_MODEL, "its input 1 is f32");
    one_refuse("CumProd", "", "bool[2] .. | i64[] 0", MM_UNSUPPORTED, "its input 0 is bool");
}

static void test_out_of_memory(void **state) {
    struct one_node one;
    (void)state;
    one_init(&one, "ReduceLogSumExp", "");
    one_input(&one, MM_F32, 2, (const int64_t[]){40, 50}, NULL);
    one_run_out_of_memory(&one, 1);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions),    cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random_axes),   cmocka_unit_test(test_precision),
        cmocka_unit_test(test_places),        cmocka_unit_test(test_long_places),
        cmocka_unit_test(test_running),       cmocka_unit_test(test_bad),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
