/* SPDX-License-Identifier: Apache-2.0 */

/* DFT, STFT, MelWeightMatrix, random numbers, training. Numbers from onnx 1.22.0's reference. */

#include "one_node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct one_case signals[] = {
    {"DFT", "opset=20", "f32[1,1,1] -0.75", "f32[1,1,2] -0.75 0", 1e-5},
    {"DFT", "opset=20", "f32[1,2,1] -1 -1.5", "f32[1,2,2] -2.5 0 0.5 0", 1e-5},
    {"DFT", "opset=20", "f32[1,3,1] 1.25 -1.75 -1.25",
     "f32[1,3,2] -1.75 0 2.75 0.433013 2.75 -0.433013", 1e-5},
    {"DFT", "opset=20", "f32[1,4,1] -1.75 0.25 -2 -1.5",
     "f32[1,4,2] -5 0 0.25 -1.75 -2.5 0 0.25 1.75", 1e-5},
    {"DFT", "opset=20", "f32[1,5,1] 1.5 0 0.5 -0.75 1.75",
     "f32[1,5,2] 3 0 2.243034 0.929617 0.006966 2.217445 0.006966 -2.217445 2.243034 -0.929617",
     1e-5},
    {"DFT", "opset=20", "f32[1,6,1] 1.5 -0.75 -2 0 1.5 -2",
     "f32[1,6,2] -1.75 0 0.375 1.948557 3.125 -4.113621 3.75 0 3.125 4.113621 0.375 -1.948557",
     1e-5},
    {"DFT", "opset=20", "f32[1,8,1] 1.25 -0.75 0.25 0.75 -1.25 2 -1.25 -1.25",
     "f32[1,8,2] -0.25 0 -0.858757 -0.96967 1 -1.75 5.858757 2.03033 -1.75 0 5.858757 -2.03033 1 "
     "1.75 -0.858757 0.96967",
     1e-5},
    {"DFT", "onesided=1 opset=20", "f32[1,5,1] -1.5 -0.5 1.75 -0.25 -2",
     "f32[1,3,2] -2.5 0 -3.486068 -2.602155 0.986068 1.020435", 1e-5},
    {"DFT", "inverse=1 opset=20", "f32[1,3,2] -1.25 -0.75 -1.75 -0.5 -0.25 -1.25",
     "f32[1,3,2] -1.083333 -0.833333 -0.29984 -0.391346 0.133173 0.474679", 1e-5},
    {"DFT", "inverse=1 onesided=1 opset=20", "f32[1,3,2] 1.5 0.25 -0.25 -0.25 -0.5 1.5",
     "f32[1,4,1] 0.125 0.625 0.375 0.375", 1e-5},
    {"DFT", "opset=20", "f32[3,2,1] -1 0.5 0.5 -1 -2 2 | i64[] 4 | i64[] 0",
     "f32[4,2,2] -2.5 0 1.5 0 1 -0.5 -1.5 1 -3.5 0 3.5 0 1 0.5 -1.5 -1", 1e-5},
    {"DFT", "axis=0 opset=17", "f32[2,2,2] -0.75 -1.25 1.75 2 0.75 0 0.5 0.25",
     "f32[2,2,2] 0 -1.25 2.25 2.25 -1.5 -1.25 1.25 1.75", 1e-5},
    {"STFT", "opset=17", "f32[1,6,1] 1.5 -0.25 0.25 2 1 1.75 | i64[] 2 | f32[4] 0.5 1 1 0.5",
     "f32[1,2,3,2] 1.75 0 0.5 1.25 0.25 0 4 0 -0.875 -1.125 -1.75 0", 1e-5},
    {"STFT", "onesided=0 opset=17",
     "f32[1,5,2] -0.25 1.75 1.25 -1.25 1.5 1.25 2 -2 1.5 1.5 | i64[] 1 | - | i64[] 3",
     "f32[1,3,3,2] 2.5 1.75 -3.790064 1.966506 0.540064 1.533494 4.75 -2 2.314583 -0.441987 "
     "-3.314583 -1.308013 5 0.75 -3.281089 1.066987 2.781089 1.933013",
     1e-5},
    {"MelWeightMatrix", "opset=17", "i64[] 3 | i64[] 8 | i64[] 8192 | f32[] 0 | f32[] 4096",
     "f32[5,3] 1 1 0 0 0 1 0 0 0 0 0 0 0 0 0", 1e-5},
};

static void test_signals(void **state) {
    (void)state;
    one_expect_all(signals, sizeof(signals) / sizeof(signals[0]));
    one_refuse("DFT", "onesided=1", "f32[1,2,2] ..", MM_INVALID_MODEL, "one side of a transform");
    one_refuse("DFT", "", "f32[2,3] ..", MM_INVALID_MODEL, "its input has 2 axes, the last of 3");
    one_refuse("DFT", "", "f32[2,1] .. | - | i64[] 1", MM_INVALID_MODEL, "axis 1 is that of the");
    one_refuse("DFT", "", "f32[2,1] .. | i64[] 0", MM_INVALID_MODEL, "a transform of length 0");
    one_refuse("DFT", "", "f32[0,1]", MM_INVALID_MODEL, "a transform of length 0");
    one_refuse("DFT", "", "f32[2,1] .. | ?i64[] 2", MM_UNSUPPORTED,
               "its dft_length is not known before the run");
    one_refuse("STFT", "", "f32[1,4,1] .. | i64[] 0 | - | i64[] 2", MM_INVALID_MODEL,
               "frames of 2, each 0 further");
    one_refuse("STFT", "", "f32[1,4,1] .. | i64[] 1 | - | i64[] 5", MM_INVALID_MODEL,
               "frames of 5, each 1 further");
    one_refuse("STFT", "", "f32[1,4,1] .. | i64[] 1 | f32[3] .. | i64[] 2", MM_INVALID_MODEL,
               "its window is 3 elements");
    one_refuse("STFT", "", "f32[1,4,2] .. | i64[] 1 | - | i64[] 2", MM_INVALID_MODEL,
               "one side of a transform");
    one_refuse("MelWeightMatrix", "", "i64[] 3 | i64[] 8 | i64[] 1000 | f32[] 0 | f32[] 4000",
               MM_INVALID_ARGUMENT, "is outside of the 5 bins of the spectrum");
    one_refuse("MelWeightMatrix", "", "i64[] -1 | i64[] 8 | i64[] 8 | f32[] 0 | f32[] 4",
               MM_INVALID_MODEL, "num_mel_bins is below 0");
}

/* Lengths that are powers of two, primes and products, against the sum that defines it. */
static void test_dft_lengths(void **state) {
    (void)state;
    static const int64_t lengths[] = {7, 16, 30, 97, 128, 243, 1000};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct one_node one;
        const int64_t n = lengths[i], shape[] = {1, n, 2};
        one_init(&one, "DFT", "");
        const double *x = one_numbers(&one, MM_F64, 3, shape, &seed);
        assert_int_equal(one_run(&one, 1), MM_OK);
        const double *y = one.outputs[0].data;
        for (int64_t k = 0; k < n; k += n / 5) {
            double re = 0, im = 0;
            for (int64_t j = 0; j < n; j++) {
                double angle = -2 * M_PI * (double)(j * k % n) / (double)n;
                re += x[2 * j] * cos(angle) - x[2 * j + 1] * sin(angle);
                im += x[2 * j] * sin(angle) + x[2 * j + 1] * cos(angle);
            }
            assert_true(fabs(y[2 * k] - re) < 1e-10 && fabs(y[2 * k + 1] - im) < 1e-10);
        }
        one_fini(&one);
    }
}

/* Mean and variance of what a random node makes; and that a seed makes the same again. */
static void check_random(const char *type, const char *attributes, double mean, double variance) {
    struct one_node a, b;
    const int64_t shape[] = {20000};
    float *elements = NULL;
    double sum = 0, squares = 0;
    one_init(&a, type, attributes);
    one_init(&b, type, attributes);
    if (a.op->min_inputs > 0) {
        elements = malloc(shape[0] * sizeof(float));
        assert_non_null(elements);
        for (int64_t i = 0; i < shape[0]; i++) {
            elements[i] = 0.25f;
        }
        one_input(&a, MM_F32, 1, shape, elements);
        one_input(&b, MM_F32, 1, shape, elements);
    }
    assert_int_equal(one_run(&a, 1), MM_OK);
    assert_int_equal(one_run(&b, 1), MM_OK);
    assert_int_equal(a.outputs[0].elements, shape[0]);
    bool same = memcmp(a.outputs[0].data, b.outputs[0].data, a.outputs[0].bytes) == 0;
    assert_true(same == (strstr(attributes, "seed") != NULL));
    for (uint64_t i = 0; i < a.outputs[0].elements; i++) {
        double x = mmi_onnx_float_at(&a.outputs[0], i);
        sum += x;
        squares += (x - mean) * (x - mean);
    }
    double count = (double)shape[0];
    assert_true(fabs(sum / count - mean) < 0.05 * sqrt(variance));
    assert_true(fabs(squares / count - variance) < 0.05 * variance);
    one_fini(&a);
    one_fini(&b);
    free(elements);
}

static void test_random_numbers(void **state) {
    (void)state;
    check_random("RandomUniform", "shape=[20000] low=-1.0 high=2.0 seed=3.0", 0.5, 0.75);
    check_random("RandomUniform", "shape=[20000] dtype=11", 0.5, 1.0 / 12);
    check_random("RandomNormal", "shape=[20000] mean=1.0 scale=2.0 seed=3.5", 1, 4);
    check_random("RandomNormalLike", "dtype=10", 0, 1);
    check_random("RandomUniformLike", "seed=1.0", 0.5, 1.0 / 12);
    check_random("Bernoulli", "dtype=9 seed=1.0", 0.25, 0.1875);
    check_random("Bernoulli", "", 0.25, 0.1875);
    one_expect("Bernoulli", "", "f32[3] 0 1 0", "f32[3] 0 1 0");
    one_expect("Multinomial", "sample_size=3", "f32[2,3] 0 -1000 -1000 -1000 -1000 0",
               "i32[2,3] 0 0 0 2 2 2");
    one_expect("Multinomial", "dtype=7", "f64[1,1] 5", "i64[1,1] 0");
    one_refuse("Multinomial", "", "f32[2,0]", MM_INVALID_MODEL, "a class or more");
    one_refuse("Multinomial", "sample_size=0", "f32[1,1] 0", MM_INVALID_MODEL, "sample_size is 0");
    one_refuse("Multinomial", "dtype=1", "f32[1,1] 0", MM_UNSUPPORTED, "attribute dtype is 1");
    one_refuse("RandomNormal", "", "", MM_INVALID_MODEL, "attribute shape is missing");
    one_refuse("RandomNormal", "shape=[-1]", "", MM_INVALID_MODEL, "no tensor can have");
    one_refuse("RandomUniformLike", "", "i64[2] ..", MM_UNSUPPORTED, "its input 0 is i64");
}

static void test_dropout(void **state) {
    (void)state;
    struct one_node one;
    const int64_t shape[] = {20000};
    const float ratio = 0.75f;
    const uint8_t training = 1;
    one_init(&one, "Dropout", "seed=7");
    one_input(&one, MM_F32, 1, shape, NULL);
    one_input(&one, MM_F32, 0, NULL, &ratio);
    one_input(&one, MM_BOOL, 0, NULL, &training);
    assert_int_equal(one_run(&one, 2), MM_OK);
    const float *y = one.outputs[0].data;
    const uint8_t *mask = one.outputs[1].data;
    uint64_t kept = 0;
    for (int64_t i = 0; i < shape[0]; i++) {
        kept += mask[i];
        assert_true(y[i] == (mask[i] ? 4 * mmi_onnx_float_at(&one.inputs[0], (uint64_t)i) : 0));
    }
    assert_in_range(kept, 4600, 5400);
    one_fini(&one);
    one_refuse("Dropout", "", "f32[2] .. | f32[] 1 | bool[] 1", MM_INVALID_ARGUMENT,
               "its ratio is 1");
    one_refuse("Dropout", "", "i32[2] .. | - | bool[] 1", MM_UNSUPPORTED, "its input is i32");
}

static const struct one_case training[] = {
    {"Adagrad", "norm_coefficient=0.5 decay_factor=0.25 epsilon=1e-05",
     "f32[] 0.1 | i64[] 2 | f32[2] -1.5 0 | f32[2] 0 0.5 | f32[2] 0.5 0.25",
     "f32[2] -1.451493 -0.04714 | f32[2] 1.0625 0.5", 1e-5},
    {"Adam", "norm_coefficient=0.5 alpha=0.5 beta=0.75 epsilon=1e-05 norm_coefficient_post=0.25",
     "f32[] 0.1 | i64[] 2 | f32[2] -1.75 1.5 | f32[2] -0.75 1 | f32[2] 1.25 1.75 | f32[2] 0.5 1",
     "f32[2] -1.300311 1.030978 | f32[2] -0.1875 1.75 | f32[2] 1.035156 1.515625", 1e-5},
    {"Momentum", "norm_coefficient=0.5 alpha=0.5 beta=0.75 mode=standard",
     "f32[] 0.1 | i64[] 2 | f32[2] -1.75 -0.75 | f32[1] 0.75 | f32[2] 1.25 0.5 | f32[1] 2 | f32[2] "
     "0.75 0 | f32[1] 0.5",
     "f32[2] -1.815625 -0.759375 | f32[1] 0.546875 | f32[2] 0.65625 0.09375 | f32[1] 2.03125",
     1e-5},
    {"Momentum", "norm_coefficient=0.5 alpha=0.5 beta=0.75 mode=nesterov",
     "f32[] 0.1 | i64[] 2 | f32[2] -0.25 -1.25 | f32[1] 1 | f32[2] -1 -2 | f32[1] 1.25 | f32[2] 1 "
     "1.25 | f32[1] 0.5",
     "f32[2] -0.120312 -0.920313 | f32[1] 0.746875 | f32[2] -0.34375 -1.34375 | f32[1] 1.5625",
     1e-5},
    {"BatchNormalization", "training_mode=1 momentum=0.5",
     "f32[2,2,2] -1.75 -0.75 -1.75 -2 1 -1 -2 0 | f32[2] -0.75 1 | f32[2] 1.25 -0.5 | f32[2] 1.25 "
     "1.5 | f32[2] 1.5 1",
     "f32[2,2,2] 2.08723 1.343026 -0.873715 -1.172687 0.040667 1.529077 -1.172687 1.219088 | "
     "f32[2] 0.3125 0.03125 | f32[2] 1.257812 0.849609",
     1e-5},
};

static void test_training(void **state) {
    (void)state;
    one_expect_all(training, sizeof(training) / sizeof(training[0]));
    one_refuse("Adam", "", "f32[] 1 | i64[] 0 | f32[1] 1 | f32[1] 1 | f32[1] 1", MM_INVALID_MODEL,
               "5 inputs");
    one_refuse("Adagrad", "", "f32[] 1 | i64[] 0 | f32[1] 1 | f32[2] .. | f32[1] 1",
               MM_INVALID_MODEL, "its input 3 is not like its input 2");
    one_refuse("BatchNormalization", "", "f32[1,1] 1 | f32[1] 1 | f32[1] 1 | f32[1] 1 | i32[1] 1",
               MM_UNSUPPORTED, "i32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals),        cmocka_unit_test(test_dft_lengths),
        cmocka_unit_test(test_random_numbers), cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
