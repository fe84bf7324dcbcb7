/* SPDX-License-Identifier: Apache-2.0 */

/* Softmax, LogSoftmax, Hardmax. Numbers from ONNX Runtime 1.31.1. */

#include "one_node.h"

#include <math.h>

static uint64_t seed;

static const struct one_case cases[] = {
    {"Softmax", "", "f32[2,3] 1 2 3 -1 0 4",
     "f32[2,3] 0.09003057 0.24472848 0.66524094 0.0065732626 0.01786798 0.9755587", 1e-06},
    {"Softmax", "axis=0", "f32[2,3] 1 2 3 -1 0 4",
     "f32[2,3] 0.880797 0.880797 0.26894143 0.11920291 0.11920291 0.7310586", 1e-06},
    {"Softmax", "axis=1", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0.09003057 0.09003057 0.24472848 0.24472848 0.66524094 0.66524094 0.09003057 "
     "0.09003057 0.24472848 0.24472848 0.66524094 0.66524094",
     1e-06},
    {"Softmax", "axis=1 opset=11", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0.0339902 0.056040365 0.09239495 0.15233351 0.2511555 0.41408542 0.0339902 "
     "0.056040365 0.09239495 0.15233351 0.2511555 0.41408542",
     1e-06},
    {"Softmax", "opset=11", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0.0339902 0.056040365 0.09239495 0.15233351 0.2511555 0.41408542 0.0339902 "
     "0.056040365 0.09239495 0.15233351 0.2511555 0.41408542",
     1e-06},
    {"Softmax", "axis=-1 opset=12", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0.37754068 0.62245935 0.37754068 0.62245935 0.37754068 0.62245935 0.37754068 "
     "0.62245935 0.37754068 0.62245935 0.37754068 0.62245935",
     1e-06},
    {"Softmax", "", "f32[3] 10000 10001 9999", "f32[3] 0.24472848 0.66524094 0.09003057", 1e-06},
    {"Softmax", "", "f64[3] 1 2 -3",
     "f64[3] 0.2676231541498623 0.7274751568004648 0.004901689049672921", 1e-12},
    {"Softmax", "", "f16[3] 15360 16384 49664", "f16[3] 13384 14802 7429", 0.002},
    {"Softmax", "", "f32[3] -inf 0 1", "f32[3] 0 0.26894143 0.7310586", 1e-06},
    {"Softmax", "", "f32[0,3]", "f32[0,3]", 1e-06},
    {"Softmax", "", "f32[3,0]", "f32[3,0]", 1e-06},
    {"LogSoftmax", "", "f32[2,3] 1 2 3 -1 0 4",
     "f32[2,3] -2.407606 -1.4076059 -0.40760595 -5.024745 -4.024745 -0.024744924", 1e-06},
    {"LogSoftmax", "axis=0", "f32[2,3] 1 2 3 -1 0 4",
     "f32[2,3] -0.12692805 -0.12692805 -1.3132616 -2.126928 -2.126928 -0.31326166", 1e-06},
    {"LogSoftmax", "axis=1", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] -2.407606 -2.407606 -1.4076059 -1.4076059 -0.40760595 -0.40760595 -2.407606 "
     "-2.407606 -1.4076059 -1.4076059 -0.40760595 -0.40760595",
     1e-06},
    {"LogSoftmax", "axis=1 opset=11", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] -3.3816829 -2.8816829 -2.3816829 -1.881683 -1.381683 -0.881683 -3.3816829 "
     "-2.8816829 -2.3816829 -1.881683 -1.381683 -0.881683",
     1e-06},
    {"LogSoftmax", "opset=11", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] -3.3816829 -2.8816829 -2.3816829 -1.881683 -1.381683 -0.881683 -3.3816829 "
     "-2.8816829 -2.3816829 -1.881683 -1.381683 -0.881683",
     1e-06},
    {"LogSoftmax", "axis=-1 opset=12", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] -0.974077 -0.474077 -0.974077 -0.474077 -0.974077 -0.474077 -0.974077 -0.474077 "
     "-0.974077 -0.474077 -0.974077 -0.474077",
     1e-06},
    {"LogSoftmax", "", "f32[3] 10000 10001 9999", "f32[3] -1.4076059 -0.40760595 -2.407606", 1e-06},
    {"LogSoftmax", "", "f64[3] 1 2 -3",
     "f64[3] -1.3181754292474541 -0.318175429247454 -5.318175429247454", 1e-12},
    {"LogSoftmax", "", "f16[3] 15360 16384 49664", "f16[3] 48454 46359 50513", 0.002},
    {"LogSoftmax", "", "f32[3] -inf 0 1", "f32[3] -inf -1.3132616 -0.31326166", 1e-06},
    {"LogSoftmax", "", "f32[0,3]", "f32[0,3]", 1e-06},
    {"LogSoftmax", "", "f32[3,0]", "f32[3,0]", 1e-06},
    {"Hardmax", "", "f32[2,3] 1 2 3 -1 0 4", "f32[2,3] 0 0 1 0 0 1", 0},
    {"Hardmax", "axis=0", "f32[2,3] 1 2 3 -1 0 4", "f32[2,3] 1 1 0 0 0 1", 0},
    {"Hardmax", "axis=1", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0 0 0 0 1 1 0 0 0 0 1 1", 0},
    {"Hardmax", "axis=1 opset=11", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0 0 0 0 0 1 0 0 0 0 0 1", 0},
    {"Hardmax", "opset=11", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0 0 0 0 0 1 0 0 0 0 0 1", 0},
    {"Hardmax", "axis=-1 opset=12", "f32[2,3,2] -2 -1.5 -1 -0.5 0 0.5 1 1.5 2 2.5 3 3.5",
     "f32[2,3,2] 0 1 0 1 0 1 0 1 0 1 0 1", 0},
    {"Hardmax", "", "f32[3] 10000 10001 9999", "f32[3] 0 1 0", 0},
    {"Hardmax", "", "f64[3] 1 2 -3", "f64[3] 0 1 0", 0},
    {"Hardmax", "", "f16[3] 15360 16384 49664", "f16[3] 0 15360 0", 0},
    {"Hardmax", "", "f32[3] -inf 0 1", "f32[3] 0 0 1", 0},
    {"Hardmax", "", "f32[0,3]", "f32[0,3]", 0},
    {"Hardmax", "", "f32[3,0]", "f32[3,0]", 0},
    {"Hardmax", "", "f32[2,3] 3 3 1 0 1 1", "f32[2,3] 1 0 0 0 1 0", 0},
    {"Softmax", "", "f32[2] nan 1", "f32[2] nan nan", 1e-06},
    {"Softmax", "", "f32[2] inf 1", "f32[2] nan nan", 1e-06},
};

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

/* Rows and columns of more than a chunk. */
static void test_long(void **state) {
    static const char *const attributes[] = {"axis=0", "axis=1", "axis=2"};
    static const int32_t dtypes[] = {MM_F32, MM_F64, MM_F16};
    const int64_t shape[] = {3, 700, 600};
    (void)state;
    for (uint32_t axis = 0; axis < 3; axis++) {
        struct one_node one;
        one_init(&one, "Softmax", attributes[axis]);
        const double *numbers = one_numbers(&one, dtypes[axis], 3, shape, &seed);
        assert_int_equal(one_run(&one, 1), MM_OK);
        const struct onnx_split split = mmi_onnx_split_at(&one.inputs[0], axis);
        for (uint64_t i = 0; i < split.outer * split.inner; i++) {
            uint64_t first = i / split.inner * split.length * split.inner + i % split.inner;
            double sum = 0;
            for (uint64_t j = 0; j < split.length; j++) {
                sum += exp(numbers[first + j * split.inner]);
            }
            for (uint64_t j = 0; j < split.length; j++) {
                uint64_t at = first + j * split.inner;
                double wanted = exp(numbers[at]) / sum;
                double got = mmi_onnx_float_at(&one.outputs[0], at);
                assert_true(fabs(got - wanted) <= 1e-3 * wanted);
                assert_true(dtypes[axis] == MM_F16 || fabs(got - wanted) <= 3e-7 * wanted);
            }
        }
        one_fini(&one);
    }
}

static void test_bad(void **state) {
    (void)state;
    one_refuse("Softmax", "", "i32[2] ..", MM_UNSUPPORTED,
               "its input 0 is i32, one of f32 f16 f64 bf16 wanted");
    one_refuse("Softmax", "axis=2", "f32[2,2] ..", MM_INVALID_MODEL,
               "axis 2 of a tensor with 2 axes");
    one_refuse("LogSoftmax", "axis=-3", "f32[2,2] ..", MM_INVALID_MODEL, "axis -3");
    one_refuse("LogSoftmax", "opset=11", "f32[2] ..", MM_INVALID_MODEL, "axis 1 of a tensor");
    one_refuse("Hardmax", "axis=x", "f32[2,2] ..", MM_INVALID_MODEL, "attribute axis");
}

static void test_out_of_memory(void **state) {
    struct one_node one;
    (void)state;
    one_init(&one, "Softmax", "");
    one_input(&one, MM_F16, 2, (const int64_t[]){40, 50}, NULL);
    one_run_out_of_memory(&one, 1);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
