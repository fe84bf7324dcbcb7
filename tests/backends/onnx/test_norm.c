/* SPDX-License-Identifier: Apache-2.0 */

/* Normalisation. Numbers from ONNX Runtime 1.31.1, and from onnx's reference evaluator where that
 * refuses. */

#include "one_node.h"

#include <math.h>

static uint64_t seed;

static const struct one_case cases[] = {
    {"BatchNormalization", "",
     "f32[2,3,2] 1.5 -0.5 -0.5 -1 0.75 -2.25 1.75 -0.75 0.25 -0.25 1.5 -2 | f32[3] -0.25 -0.5 1.25 "
     "| f32[3] -1 -0.25 -1 | f32[3] 0 0.5 -1 | f32[3] 1.75 1.5 1",
     "f32[2,3,2] -1.2834725 -0.9055092 0.15824693 0.3623704 1.1874892 -2.5624924 -1.330718 "
     "-0.85826373 -0.14793827 0.0561852 2.1249845 -2.2499938",
     1e-06},
    {"BatchNormalization", "epsilon=0.25",
     "f32[2,3] 1 -0.75 -0 -1 -0.25 0.5 | f32[3] -0.75 -0.5 -0.75 | f32[3] -0.75 -0.75 -0 | f32[3] "
     "-1 0.25 1.75 | f32[3] 1.25 0.75 1.5",
     "f32[2,3] -1.9747448 -0.25 0.9921568 -0.75 -0.5 0.70868343", 1e-06},
    {"BatchNormalization", "",
     "f32[1,2,1,2,1] -0.75 1.75 0 -0.75 | f32[2] 0.25 2 | f32[2] 0 0.5 | f32[2] 0.25 -0.25 | "
     "f32[2] 1.75 0.75",
     "f32[1,2,1,2,1] -0.1889817 0.28347257 1.0773464 -0.6546929", 1e-06},
    {"BatchNormalization", "",
     "f64[1,2,2] -0.25 0.5 0.75 1 | f64[2] 0.25 1 | f64[2] -0.75 1.25 | f64[2] 0.5 -0.25 | f64[2] "
     "1 0.5",
     "f64[1,2,2] -0.937499062507055 -0.75 2.6641994204499575 3.017749275562447", 1e-06},
    {"BatchNormalization", "",
     "f16[1,2,2] 15616 15872 16512 48640 | f16[2] 48640 47104 | f16[2] 13312 15360 | f16[2] 13312 "
     "49152 | f16[2] 14848 15616",
     "f16[1,2,2] 48622 49065 47925 14902", 0.004},
    {"InstanceNormalization", "",
     "f32[2,2,3] 0.25 0.75 -0.25 -0.25 0.25 0.5 0.25 0 -0.75 0.5 0 1.25 | f32[2] 1.25 0.25 | "
     "f32[2] -0.5 -0.75",
     "f32[2,2,3] -0.50000006 1.030885 -2.0308852 -1.0840594 -0.6831881 -0.4827525 0.7256919 "
     "-0.009723216 -2.2159686 -0.79055464 -1.0338821 -0.42556334",
     2e-06},
    {"InstanceNormalization", "epsilon=0.25",
     "f32[1,2,2,2] 0.5 0 -0.25 0 -0.5 0.75 -0.5 1.25 | f32[2] 0.5 0.5 | f32[2] -1 0.25",
     "f32[1,2,2,2] -0.6158251 -1.0548822 -1.2744107 -1.0548822 -0.1582483 0.52216554 -0.1582483 "
     "0.7943311",
     2e-06},
    {"GroupNormalization", "num_groups=2",
     "f32[2,4,2] 0.75 -1 -0.25 0 -1.25 0.25 0.75 -0.75 0.25 -1.25 -0 -1.5 1 0.5 -0 -0.75 | f32[4] "
     "1.25 2 -1.75 1.25 | f32[4] 1.75 0.25 -1.25 0.75",
     "f32[2,4,2] 3.4999776 2.2411346e-05 -0.14999488 0.64999485 0.96357656 -2.3567882 2.3311262 "
     "-0.040563107 3.1884787 0.7225152 1.8939756 -2.051566 -3.4492993 -2.0958843 0.38747814 "
     "-1.0626093",
     2e-06},
    {"GroupNormalization", "num_groups=1 epsilon=0.25",
     "f32[1,4,2] -0.25 -0.5 -1.25 0.5 0.75 -0.5 0.5 -1.25 | f32[4] 0.75 0 -0.25 -0 | f32[4] 0.75 "
     "0.75 0.5 0.25",
     "f32[1,4,2] 0.75 0.53786796 0.75 0.75 0.21715727 0.57071066 0.25 0.25", 2e-06},
    {"GroupNormalization", "num_groups=2 opset=18",
     "f32[1,4,2] 0 0.5 0.25 0.75 -0.25 -2.5 1 2.25 | f32[2] 0.5 -0 | f32[2] -0.25 -0",
     "f32[1,4,2] -0.9207775 -0.02640751 -0.4735925 0.4207775 0 0 -0 -0", 2e-06},
    {"LayerNormalization", "",
     "f32[2,3] 0 -1 -0.5 -1 0.25 -0.25 | f32[3] 0.5 -0.25 1 | f32[3] 0.25 2.25 -2",
     "f32[2,3] 0.86235404 2.5561771 -2 -0.39887333 1.9661179 -1.8377817", 2e-06},
    {"LayerNormalization", "axis=1 epsilon=0.25",
     "f32[2,2,2] -0.75 1 2.5 -0.25 0 -0.25 1.25 -0.25 | f32[2,2] 0.75 -0.25 -1.25 0.25",
     "f32[2,2,2] -0.7627128 -0.069337524 -1.733438 -0.16178755 -0.1762336 0.13707058 -1.6644285 "
     "-0.13707058",
     2e-06},
    {"LayerNormalization", "axis=-1",
     "f32[2,3] 0.5 1.25 -0 -0.5 0.5 0.25 | f32[3] 0.25 -0 1.25 | f32[3] 0.25 2 1",
     "f32[2,3] 0.20944539 2 -0.4194106 -0.09319371 2 1.4902768 | f32[2,1] 0.5833334 0.083333336 | "
     "f32[2,1] 1.9466201 2.3533285",
     2e-06},
    {"LayerNormalization", "axis=2",
     "f32[2,2,2] 0.75 -1.75 0.5 0.5 0.75 1 -0.5 0.75 | f32[2,1,2] -0.5 2 -1.25 -1.75 | f32[1] "
     "-1.75",
     "f32[2,2,2] -2.2499983 -3.7499936 -1.75 -1.75 -0.5003998 -3.4994402 -0.500016 -3.4999776",
     2e-06},
    {"LayerNormalization", "", "f64[1,3] -1 -1 2 | f64[3] -0.25 -1.25 1 | f64[3] -0.5 -1.25 1",
     "f64[1,3] -0.3232237466434329 -0.3661187332171645 2.414210026852537", 1e-06},
    {"LayerNormalization", "",
     "f16[2,3] 14336 47104 15872 13312 15872 14336 | f16[3] 15872 0 48384",
     "f16[2,3] 0 32768 48672 48526 0 14497", 0.004},
    {"RMSNormalization", "", "f32[2,3] 2.5 -0.5 -0.25 -0.75 -0.25 0.25 | f32[3] 0.25 0.75 1.75",
     "f32[2,3] 0.42257616 -0.2535457 -0.2958033 -0.39166617 -0.39166617 0.91388774", 2e-06},
    {"RMSNormalization", "axis=1 epsilon=0.25",
     "f32[2,2,2] -0 -1.25 -1.25 -0.75 -1.75 0.75 -0.5 -0.25 | f32[2,2] -0 -1.5 -0.75 0.75",
     "f32[2,2,2] 0 1.7320508 0.8660254 -0.51961523 0 -1.0125792 0.33752638 -0.16876319", 2e-06},
    {"RMSNormalization", "", "f16[1,3] 14336 47104 16128 | f16[3] 48384 46080 46080",
     "f16[1,3] 47255 12119 46700", 0.004},
    {"LRN", "size=3 alpha=0.5 beta=0.75 bias=1.0",
     "f32[1,5,2,1] -2.75 2 0.25 -1 2 0.5 0.5 -0.5 0 -1.5",
     "f32[1,5,2,1] -1.4865987 1.2694012 0.11141831 -0.6240926 1.3323565 0.4229485 0.33461124 "
     "-0.37677094 0 -1.1551557",
     1e-06},
    {"LRN", "size=2 alpha=1.0 beta=0.5 bias=2.0", "f32[2,3,1,1] 0.75 -0.25 0.25 1.25 0.25 0.25",
     "f32[2,3,1,1] 0.49319696 -0.17407766 0.1754116 0.74535596 0.17407766 0.1754116", 1e-06},
    {"LRN", "size=9", "f32[1,3,1,1] 0.25 -0.75 0.75",
     "f32[1,3,1,1] 0.24999754 -0.7499926 0.7499926", 1e-06},
};

static void test_cases(void **state) {
    (void)state;
    one_expect_all(cases, sizeof(cases) / sizeof(cases[0]));
}

/* Rows of more than a chunk; scale and bias that are broadcast in other ways than along the row. */
static void test_long_rows(void **state) {
    static const int64_t shape[] = {3, 2, 700}, scale[] = {2, 1}, bias[] = {3, 1, 700};
    struct one_node one;
    (void)state;
    one_init(&one, "LayerNormalization", "axis=1");
    const double *x = one_numbers(&one, MM_F32, 3, shape, &seed);
    const double *s = one_numbers(&one, MM_F32, 2, scale, &seed);
    const double *b = one_numbers(&one, MM_F32, 3, bias, &seed);
    assert_int_equal(one_run(&one, 3), MM_OK);
    for (uint64_t row = 0; row < 3; row++) {
        double mean = 0, variance = 0;
        for (uint64_t i = 0; i < 1400; i++) {
            mean += x[row * 1400 + i] / 1400;
        }
        for (uint64_t i = 0; i < 1400; i++) {
            double difference = x[row * 1400 + i] - mean;
            variance += difference * difference / 1400;
        }
        double inverse = 1 / sqrt(variance + (double)1e-5f);
        assert_true(fabs(mmi_onnx_float_at(&one.outputs[1], row) - mean) < 1e-6);
        assert_true(fabs(mmi_onnx_float_at(&one.outputs[2], row) - inverse) < 1e-6);
        for (uint64_t i = 0; i < 1400; i++) {
            double wanted =
                (x[row * 1400 + i] - mean) * inverse * s[i / 700] + b[row * 700 + i % 700];
            double got = mmi_onnx_float_at(&one.outputs[0], row * 1400 + i);
            assert_true(fabs(got - wanted) < 1e-6);
        }
    }
    one_fini(&one);
}

static void test_long_channels(void **state) {
    static const int64_t shape[] = {2, 3, 700}, channels[] = {3};
    static const float four[] = {4, 4, 4};
    struct one_node one;
    (void)state;
    one_init(&one, "BatchNormalization", "epsilon=0.0");
    const double *x = one_numbers(&one, MM_F32, 3, shape, &seed);
    const double *s = one_numbers(&one, MM_F32, 1, channels, &seed);
    const double *b = one_numbers(&one, MM_F32, 1, channels, &seed);
    const double *mean = one_numbers(&one, MM_F32, 1, channels, &seed);
    one_input(&one, MM_F32, 1, channels, four);
    assert_int_equal(one_run(&one, 1), MM_OK);
    for (uint64_t i = 0; i < 2 * 3 * 700; i++) {
        uint64_t c = i / 700 % 3;
        double wanted = (x[i] - mean[c]) / 2 * s[c] + b[c];
        assert_true(mmi_onnx_float_at(&one.outputs[0], i) == wanted);
    }
    one_fini(&one);
}

static void test_nothing(void **state) {
    (void)state;
    one_expect("LayerNormalization", "", "f32[0,3] | f32[3] ..", "f32[0,3]");
    one_expect("LayerNormalization", "", "f32[1099511627776,0] | f32[1] 1", "f32[1099511627776,0]");
    one_expect("InstanceNormalization", "", "f32[0,2,3] | f32[2] .. | f32[2] ..", "f32[0,2,3]");
    one_expect("GroupNormalization", "num_groups=1", "f32[2,0,3] | f32[0] | f32[0]", "f32[2,0,3]");
    one_expect("LRN", "size=3", "f32[1,0,2]", "f32[1,0,2]");
    one_expect("BatchNormalization", "", "f32[2,0] | f32[0] | f32[0] | f32[0] | f32[0]",
               "f32[2,0]");
}

static void test_bad(void **state) {
    (void)state;
    one_refuse("BatchNormalization", "spatial=0 opset=8",
               "f32[1,1] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1", MM_UNSUPPORTED,
               "attribute spatial is 0, 1 wanted");
    one_refuse("BatchNormalization", "",
               "f32[1,2] 1 1 | f32[2] 1 1 | f32[1] 1 | f32[2] 1 1 | f32[2] 1 1", MM_INVALID_MODEL,
               "its input 2 has 1 axes and 1 elements; one with 2 wanted");
    one_refuse("BatchNormalization", "", "i32[1,1] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1",
               MM_UNSUPPORTED, "its input 0 is i32");
    one_refuse("BatchNormalization", "", "f32[1,1] 1 | f32[1] 1 | f32[1] 1 | i32[1] 1 | f32[1] 1",
               MM_UNSUPPORTED, "its input 3 is i32");
    one_refuse("BatchNormalization", "", "f32[] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1",
               MM_INVALID_MODEL, "its input has 0 axes, 1 or more wanted");
    one_refuse("InstanceNormalization", "", "f32[2] 1 1 | f32[1] 1 | f32[1] 1", MM_INVALID_MODEL,
               "its input has 1 axes, 2 or more wanted");
    one_refuse("InstanceNormalization", "", "f32[1,2] 1 1 | f32[2,1] 1 1 | f32[2] 1 1",
               MM_INVALID_MODEL, "its input 1 has 2 axes and 2 elements");
    one_refuse("GroupNormalization", "", "f32[1,2] 1 1 | f32[2] 1 1 | f32[2] 1 1", MM_INVALID_MODEL,
               "attribute num_groups is 0, 1 or more wanted");
    one_refuse("GroupNormalization", "num_groups=2", "f32[1,3] .. | f32[3] .. | f32[3] ..",
               MM_INVALID_MODEL, "its 3 channels cannot be parted in 2 groups");
    one_refuse("LayerNormalization", "axis=2", "f32[1,3] .. | f32[3] ..", MM_INVALID_MODEL,
               "axis 2 of a tensor with 2 axes");
    one_refuse("LayerNormalization", "", "f32[1,3] .. | f32[4] ..", MM_INVALID_MODEL,
               "do not broadcast");
    one_refuse("LayerNormalization", "", "f32[1,3] .. | f32[2,3] ..", MM_INVALID_MODEL,
               "its scale or bias is larger than its input");
    one_refuse("LayerNormalization", "", "f32[3] .. | f64[3] ..", MM_INVALID_MODEL,
               "its input 1 is f64, its input 0 f32");
    one_refuse("LayerNormalization", "stash_type=7", "f32[3] .. | f32[3] ..", MM_UNSUPPORTED,
               "attribute stash_type is 7");
    one_refuse("RMSNormalization", "", "i8[3] .. | i8[3] ..", MM_UNSUPPORTED, "its input 0 is i8");
    one_refuse("LRN", "", "f32[1,3] ..", MM_INVALID_MODEL, "attribute size is 0, 1 or more wanted");
    one_refuse("LRN", "size=3", "f32[3] ..", MM_INVALID_MODEL,
               "its input has 1 axes, 2 or more wanted");
    one_refuse("LRN", "size=3", "u8[1,3] ..", MM_UNSUPPORTED, "its input 0 is u8");
}

/* Over rows, over all but the channels, and over nothing: then all is 0. */
static void test_mean_variance(void **state) {
    (void)state;
    one_expect_near("MeanVarianceNormalization", "axes=[1]", "f32[2,2] 1 3 5 5",
                    "f32[2,2] -1 1 0 0", 1e-6);
    one_expect_near("MeanVarianceNormalization", "", "f64[2,2,1,1] 1 10 3 30",
                    "f64[2,2,1,1] -1 -1 1 1", 1e-6);
    one_expect("MeanVarianceNormalization", "axes=[-1,1]", "f32[0,3]", "f32[0,3]");
    one_refuse("MeanVarianceNormalization", "", "f32[2,2] ..", MM_INVALID_MODEL, "axis");
    one_refuse("MeanVarianceNormalization", "axes=[0]", "i32[2] ..", MM_UNSUPPORTED,
               "its input 0 is i32");
}

static void test_out_of_memory(void **state) {
    struct one_node one;
    (void)state;
    one_init(&one, "RMSNormalization", "");
    one_input(&one, MM_F32, 2, (const int64_t[]){40, 50}, NULL);
    one_input(&one, MM_F32, 1, (const int64_t[]){50}, NULL);
    one_run_out_of_memory(&one, 1);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_long_rows),
        cmocka_unit_test(test_long_channels), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_bad),           cmocka_unit_test(test_mean_variance),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
