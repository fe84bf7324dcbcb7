/* SPDX-License-Identifier: Apache-2.0 */

/* ai.onnx.ml but for the trees. Numbers by hand, and from ONNX Runtime 1.32. */

#include "one_node.h"

#include <stdio.h>
#include <string.h>

static void test_features(void **state) {
    (void)state;
    one_expect("Scaler", "offset=[1.0,2.0] scale=[2.0,0.5]", "f32[2,2] 1 2 3 6",
               "f32[2,2] 0 0 4 2");
    one_expect("Scaler", "offset=[1.0] scale=[2.0]", "i64[2] 1 5", "f32[2] 0 8");
    one_expect("Scaler", "", "f64[1,2] 1 2", "f32[1,2] 1 2");
    one_refuse("Scaler", "offset=[1.0,2.0]", "f32[1,3] ..", MM_INVALID_MODEL,
               "2 numbers as its offset for 3 features");
    one_expect("Normalizer", "norm=MAX", "f32[2,2] 1 2 0 0", "f32[2,2] 0.5 1 0 0");
    one_expect("Normalizer", "norm=L1", "i32[1,2] 1 3", "f32[1,2] 0.25 0.75");
    one_expect("Normalizer", "norm=L2", "f64[2] -3 4", "f32[2] -0.6 0.8");
    one_refuse("Normalizer", "norm=L3", "f32[1,1] 1", MM_UNSUPPORTED, "attribute norm is 'L3'");
    one_expect("Binarizer", "threshold=1.5", "f32[1,3] 1 2 1.5", "f32[1,3] 0 1 0");
    one_expect("Binarizer", "", "i64[2] 0 7", "i64[2] 0 1");
    one_refuse("Binarizer", "", "u8[1] 0", MM_UNSUPPORTED, "its input 0 is u8");
    one_expect("Imputer", "imputed_value_floats=[1.5,2.5] replaced_value_float=0.0",
               "f32[2,2] 0 1 2 0", "f32[2,2] 1.5 1 2 2.5");
    one_expect("Imputer", "imputed_value_int64s=[9] replaced_value_int64=-1",
               "i32[3] 1 4294967295 2", "i32[3] 1 9 2");
    one_refuse("Imputer", "imputed_value_int64s=[9]", "f32[1,1] 1", MM_INVALID_MODEL,
               "it has no imputed values for its input, f32");
}

static void test_features_together(void **state) {
    (void)state;
    one_expect("FeatureVectorizer", "inputdimensions=[2,1]", "f32[2,2] .. | i64[2,1] 7 8",
               "f32[2,3] 0 1 7 2 3 8");
    one_expect("FeatureVectorizer", "inputdimensions=[1,2]", "f32[2,2] .. | i64[2,1] 7 8",
               "f32[2,3] 0 7 0 2 8 0");
    one_expect("FeatureVectorizer", "inputdimensions=[2]", "f32[2] 3 4", "f32[1,2] 3 4");
    one_refuse("FeatureVectorizer", "inputdimensions=[1]", "f32[1,1] 1 | f32[1,1] 1",
               MM_INVALID_MODEL, "1 inputdimensions of 2 inputs");
    one_refuse("FeatureVectorizer", "inputdimensions=[1,-1]", "f32[1,1] 1 | f32[1,1] 1",
               MM_INVALID_MODEL, "inputdimensions has -1");
    one_refuse("FeatureVectorizer", "", "f32[1,1] 1 | f32[2,1] 1 2", MM_INVALID_MODEL,
               "its input 1 has 2 axes and 2 rows, 1 wanted");
    one_expect("ArrayFeatureExtractor", "", "f32[2,3] .. | i64[2] 2 0", "f32[2,2] 2 0 5 3");
    one_expect("ArrayFeatureExtractor", "", "string[3] a b c | i64[1,2] 2 2", "string[1,2] c c");
    one_refuse("ArrayFeatureExtractor", "", "f32[2,3] .. | i64[1] 3", MM_INVALID_ARGUMENT,
               "index 3 of 3 features");
}

static void test_encoders(void **state) {
    (void)state;
    one_expect("LabelEncoder", "keys_strings=[a,b,a] values_int64s=[1,2,3] default_int64=9",
               "string[2,2] a b c a", "i64[2,2] 3 2 9 3");
    one_expect("LabelEncoder", "keys_int64s=[5,-7] values_strings=[x,y]", "i64[3] 5 -7 0",
               "string[3] x y _Unused");
    one_expect("LabelEncoder", "keys_int64s=[5] values_strings=[x] default_string=none",
               "i64[2] 5 6", "string[2] x none");
    one_expect("LabelEncoder", "keys_floats=[0.5,1.0] values_floats=[2.0,3.0] default_float=7.5",
               "f32[3] 0.5 1 nan", "f32[3] 2 3 7.5");
    one_expect("LabelEncoder",
               "; keys_tensor f64[2] nan 2; values_tensor i16[2] 4 5; default_tensor i16[1] 6",
               "f64[3] 2 nan 1", "i16[3] 5 4 6");
    one_expect("LabelEncoder", "opset=1 classes_strings=[a,b]", "string[3] b a c", "i64[3] 1 0 -1");
    one_expect("LabelEncoder", "opset=1 classes_strings=[a,b] default_string=z", "i64[3] 1 0 2",
               "string[3] b a z");
    one_refuse("LabelEncoder", "keys_strings=[a,b] values_int64s=[1]", "string[1] a",
               MM_INVALID_MODEL, "2 keys and 1 values");
    one_refuse("LabelEncoder", "keys_strings=[a] values_int64s=[1] values_floats=[1.5]",
               "string[1] a", MM_INVALID_MODEL, "2 attributes with its values, one wanted");
    one_refuse("LabelEncoder", "values_int64s=[1]", "string[1] a", MM_INVALID_MODEL,
               "0 attributes with its keys, one wanted");
    one_refuse("LabelEncoder", "keys_strings=[a] values_int64s=[1]", "i64[1] 1", MM_INVALID_MODEL,
               "its input is i64, its keys are string");
    one_refuse("LabelEncoder", "keys_strings=[a] values_int64s=[1]; default_tensor f32[1] 1",
               "string[1] a", MM_INVALID_MODEL, "its default_tensor is 1 elements of f32");
    one_refuse("LabelEncoder", "opset=2; keys_tensor f64[1] 1; values_tensor i16[1] 4", "f64[1] 1",
               MM_INVALID_MODEL, "0 attributes with its keys");
}

static void test_categories(void **state) {
    (void)state;
    one_expect("CategoryMapper", "cats_strings=[a,b] cats_int64s=[7,8]", "string[3] b c a",
               "i64[3] 8 -1 7");
    one_expect("CategoryMapper", "cats_strings=[a,b] cats_int64s=[7,8] default_string=z",
               "i64[1,2] 8 9", "string[1,2] b z");
    one_refuse("CategoryMapper", "cats_strings=[a,b]", "i64[1] 8", MM_INVALID_MODEL,
               "it has no list of texts, or none of numbers");
    one_expect("OneHotEncoder", "cats_int64s=[3,1]", "f32[2,2] 1 2 3.7 1",
               "f32[2,2,2] 0 1 0 0 1 0 0 1");
    one_expect("OneHotEncoder", "cats_strings=[x,y,z]", "string[2] y q", "f32[2,3] 0 1 0 0 0 0");
    one_refuse("OneHotEncoder", "cats_int64s=[3,1] zeros=0", "i64[1] 2", MM_INVALID_ARGUMENT,
               "element 0 is in no category");
    one_refuse("OneHotEncoder", "cats_int64s=[3,1]", "string[1] a", MM_UNSUPPORTED, "is string");
    one_refuse("OneHotEncoder", "", "i64[1] 2", MM_INVALID_MODEL,
               "0 attributes with its categories");
}

static void test_linear(void **state) {
    (void)state;
    one_expect("LinearRegressor", "coefficients=[1.0,2.0,3.0,4.0] intercepts=[0.5,-0.5] targets=2",
               "f32[2,2] 1 2 3 4", "f32[2,2] 5.5 10.5 11.5 24.5");
    one_expect("LinearRegressor", "coefficients=[1.0,2.0]", "i64[2] 1 2", "f32[1,1] 5");
    one_refuse("LinearRegressor", "coefficients=[1.0,2.0]", "f32[1,3] ..", MM_INVALID_MODEL,
               "2 coefficients for 3 features and 1 results");
    one_refuse("LinearRegressor", "", "f32[1,3] ..", MM_INVALID_MODEL, "it has no coefficients");
    one_refuse("LinearRegressor", "coefficients=[1.0] targets=0", "f32[1,1] 1", MM_INVALID_MODEL,
               "targets is 0");
    one_expect("LinearClassifier",
               "coefficients=[1.0,0.0,0.0,1.0] intercepts=[0.0,0.5] classlabels_strings=[a,b]",
               "f32[2,2] 1 2 3 1", "string[2] b a | f32[2,2] 1 2.5 3 1.5");
    one_expect_near("LinearClassifier",
                    "coefficients=[1.0,1.0] classlabels_ints=[4,5] post_transform=LOGISTIC",
                    "f32[2,2] 1 1 -1 0",
                    "i64[2] 5 4 | f32[2,2] 0.11920292 0.88079708 0.73105858 "
                    "0.26894142",
                    1e-6);
    one_expect_near("LinearClassifier",
                    "coefficients=[1.0,2.0,3.0] classlabels_ints=[4,5,6] post_transform=SOFTMAX",
                    "f32[1,1] 1", "i64[1] 6 | f32[1,3] 0.09003057 0.24472847 0.66524096", 1e-6);
    one_expect_near("LinearClassifier",
                    "coefficients=[1.0,0.0,3.0] classlabels_ints=[4,5,6] "
                    "post_transform=SOFTMAX_ZERO",
                    "f32[1,1] 1", "i64[1] 6 | f32[1,3] 0.11920292 0 0.88079708", 1e-6);
    one_expect_near("LinearClassifier",
                    "coefficients=[0.5,0.975] classlabels_ints=[4,5] post_transform=PROBIT",
                    "f32[1,1] 1", "i64[1] 5 | f32[1,2] 0 1.959964", 1e-6);
    one_refuse("LinearClassifier", "coefficients=[1.0,2.0]", "f32[1,1] 1", MM_INVALID_MODEL,
               "0 attributes with its labels, one wanted");
    one_refuse("LinearClassifier", "coefficients=[1.0,2.0] classlabels_ints=[1]", "f32[1,1] 1",
               MM_INVALID_MODEL, "1 labels of 2 classes");
}

#define PAIRS "classlabels_ints=[4,5,6] vectors_per_class=[1,1,1] support_vectors=[1.0,2.0,4.0] "

static void test_svm(void **state) {
    (void)state;
    one_expect("SVMRegressor",
               "n_supports=2 support_vectors=[1.0,0.0,0.0,1.0] coefficients=[2.0,3.0] rho=[0.5]",
               "f32[1,2] 1 2", "f32[1,1] 8.5");
}

static void test_svm_kernels(void **state) {
    (void)state;
    static const char common[] = "n_supports=1 support_vectors=[2.0] coefficients=[2.0] rho=[1.0] "
                                 "kernel_params=[0.5,1.0,2.0]";
    static const struct {
        const char *kernel;
        const char *wanted;
    } cases[] = {{"LINEAR", "f32[1,1] 13"},
                 {"POLY", "f32[1,1] 33"},
                 {"RBF", "f32[1,1] 2.21306132"},
                 {"SIGMOID", "f32[1,1] 2.99865859"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char attributes[200];
        snprintf(attributes, sizeof(attributes), "%s kernel_type=%s", common, cases[i].kernel);
        one_expect_near("SVMRegressor", attributes, "f32[1,1] 3", cases[i].wanted, 1e-6);
    }
    one_expect("SVMRegressor", "coefficients=[1.0,1.0] rho=[-1.0] one_class=1", "f32[2,2] 1 1 0 0",
               "f32[2,1] 1 -1");
    one_refuse("SVMRegressor", "n_supports=2 support_vectors=[1.0] coefficients=[1.0] rho=[1.0]",
               "f32[1,1] 1", MM_INVALID_MODEL, "1 numbers of 2 support vectors");
    one_refuse("SVMRegressor", "coefficients=[1.0]", "f32[1,1] 1", MM_INVALID_MODEL, "no rho");
    one_refuse("SVMRegressor", "coefficients=[1.0] rho=[1.0] kernel_params=[1.0]", "f32[1,1] 1",
               MM_INVALID_MODEL, "kernel_params of type 6 has 1 numbers, 3 floats wanted");
}

static void test_svm_classes(void **state) {
    (void)state;
    one_expect("SVMClassifier", PAIRS "coefficients=[1.0,-1.0,0.0,0.0,1.0,-1.0] rho=[0.5,0.0,0.0]",
               "f32[1,1] 1", "i64[1] 6 | f32[1,3] -0.5 0 -2");
    one_expect("SVMClassifier",
               "classlabels_strings=[n,y] vectors_per_class=[1,1] support_vectors=[1.0,2.0] "
               "coefficients=[1.0,-1.0] rho=[0.5]",
               "f32[2,1] 1 0", "string[2] y n | f32[2,2] 0.5 -0.5 -0.5 0.5");
    one_expect("SVMClassifier", "classlabels_ints=[3,4] coefficients=[1.0,2.0] rho=[0.5]",
               "f32[1,1] 1", "i64[1] 4 | f32[1,2] 1.5 2.5");
    one_refuse("SVMClassifier", PAIRS "coefficients=[1.0,-1.0] rho=[0.5,0.0,0.0]", "f32[1,1] 1",
               MM_INVALID_MODEL, "2 numbers as its coefficients, 6 wanted");
    one_refuse("SVMClassifier",
               "classlabels_ints=[3,4] vectors_per_class=[1,-1] coefficients=[1.0] rho=[0.5]",
               "f32[1,1] 1", MM_INVALID_MODEL, "class 1 has -1 vectors");
    one_refuse("SVMClassifier", PAIRS "coefficients=[1.0,-1.0,0.0,0.0,1.0,-1.0] rho=[0.5]",
               "f32[1,1] 1", MM_INVALID_MODEL, "1 numbers as its rho, 3 wanted");
}

/* ---- Maps ------------------------------------------------------------------------------------ */

static void test_maps_in(void **state) {
    (void)state;
    one_expect("DictVectorizer", "string_vocabulary=[a,c,b,z]", "map string[2] c a | f32[2] 8 4",
               "f32[1,4] 4 8 0 0");
    one_expect("DictVectorizer", "int64_vocabulary=[5,7]", "map i64[2] 5 6 | string[2] x y",
               "string[1,2] x ");
    one_refuse("DictVectorizer", "int64_vocabulary=[7,5]", "map string[1] a | f32[1] 1",
               MM_INVALID_ARGUMENT, "keys of i64 wanted");
    one_refuse("DictVectorizer", "int64_vocabulary=[7,5]", "i64[1] 7", MM_INVALID_MODEL,
               "its input is no map of tensors");
    one_expect("CastMap", "", "map i64[3] 5 1 3 | f32[3] 0.5 1.5 2.5", "f32[1,3] 1.5 2.5 0.5");
    one_expect("CastMap", "cast_to=TO_INT64 map_form=SPARSE max_map=4",
               "map i64[2] 3 1 | string[2] 12 -7", "i64[1,4] 0 -7 0 12");
    one_expect("CastMap", "cast_to=TO_STRING", "map i64[2] 0 1 | f32[2] 0.1 2",
               "string[1,2] 0.1 2");
    one_refuse("CastMap", "map_form=SPARSE max_map=2", "map i64[1] 2 | f32[1] 1",
               MM_INVALID_ARGUMENT, "key 2 of 2");
    one_refuse("CastMap", "", "map i64[1] 2 | string[1] x1", MM_INVALID_ARGUMENT,
               "'x1' is no number");
}

static void test_zip_map(void **state) {
    (void)state;
    struct one_node one;
    const int64_t shape[2] = {2, 2};
    one_init(&one, "ZipMap", "classlabels_strings=[n,y]");
    one_input(&one, MM_F32, 2, shape, NULL);
    assert_int_equal(one_run(&one, 1), MM_OK);
    assert_int_equal(one.made[0].kind, MM_SEQUENCE);
    assert_int_equal(one.made[0].item_count, 2);
    const struct onnx_run_value *map = &one.made[0].items[1];
    assert_int_equal(map->kind, MM_MAP);
    assert_int_equal(map->item_count, 2);
    const struct onnx_string *keys = map->items[0].tensor.data;
    assert_memory_equal(keys[1].at, "y", 1);
    assert_float_equal(mmi_onnx_float_at(&map->items[1].tensor, 0), 3, 0);
    assert_float_equal(mmi_onnx_float_at(&map->items[1].tensor, 1), 4, 0);
    one_fini(&one);
    one_refuse("ZipMap", "classlabels_int64s=[1,2,3]", "f32[1,2] ..", MM_INVALID_ARGUMENT,
               "rows of 2 elements, 3 wanted");
    one_refuse("ZipMap", "", "f32[1,2] ..", MM_INVALID_MODEL, "0 attributes with its labels");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),    cmocka_unit_test(test_features_together),
        cmocka_unit_test(test_encoders),    cmocka_unit_test(test_categories),
        cmocka_unit_test(test_linear),      cmocka_unit_test(test_svm),
        cmocka_unit_test(test_svm_kernels), cmocka_unit_test(test_svm_classes),
        cmocka_unit_test(test_maps_in),     cmocka_unit_test(test_zip_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
