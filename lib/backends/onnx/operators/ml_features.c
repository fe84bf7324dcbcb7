/* SPDX-License-Identifier: Apache-2.0 */

/* Scaler, Normalizer, Imputer, Binarizer: features to as many others; FeatureVectorizer puts some
 * together, ArrayFeatureExtractor picks some. */

#include <backends/onnx/operators/ml.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Rows along the last axis, of any rank but 0. */
static struct onnx_ml_rows rows_of(const struct onnx_tensor *tensor) {
    uint64_t length = tensor->rank > 0 ? (uint64_t)tensor->shape[tensor->rank - 1] : 1;
    return (struct onnx_ml_rows){.count = length ? tensor->elements / length : 0, .length = length};
}

/* An output of the shape of the input; a row of scratch. */
static mm_status infer_like(struct onnx_inference *x, int32_t dtype, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_ML_NUMBERS, err));
    if (!mmi_onnx_ml_scratch(x, rows_of(input).length)) {
        return mmi_fail(err, MM_TOO_LARGE, "rows of %" PRIu64 " features", rows_of(input).length);
    }
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, input->rank, input->shape, err);
}

/* A list has one number, or one of each feature. */
static mm_status check_list(const struct onnx_inference *x, uint32_t input, const char *what,
                            mm_error *err) {
    uint64_t length = rows_of(&x->inputs[0]).length, count = mmi_onnx_list_length(x, input);
    return count <= 1 || count == length
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "%" PRIu64 " numbers as its %s for %" PRIu64 " features", count, what,
                          length);
}

#define ONE_TO_ONE(name_, ...)                                                                     \
    const struct onnx_operator mmi_onnx_op_##name_ = {.name = #name_,                              \
                                                      .domain = ONNX_ML,                           \
                                                      .min_inputs = 1,                             \
                                                      .max_inputs = 1,                             \
                                                      .min_outputs = 1,                            \
                                                      .max_outputs = 1,                            \
                                                      __VA_ARGS__};

/* ---- Scaler ---------------------------------------------------------------------------------- */

static mm_status infer_scaler(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(infer_like(x, MM_F32, err));
    MMI_TRY(check_list(x, 1, "offset", err));
    return check_list(x, 2, "scale", err);
}

static mm_status run_scaler(const struct onnx_call *call, mm_error *err) {
    struct onnx_ml_rows rows = rows_of(&call->inputs[0]);
    struct onnx_tensor offset = mmi_onnx_list(call, 1), scale = mmi_onnx_list(call, 2);
    double *row = call->scratch;
    (void)err;
    for (uint64_t i = 0; i < rows.count; i++) {
        mmi_onnx_ml_row(call, i, row);
        for (uint64_t j = 0; j < rows.length; j++) {
            row[j] -= offset.data ? mmi_onnx_float_at(&offset, offset.elements > 1 ? j : 0) : 0;
            row[j] *= scale.data ? mmi_onnx_float_at(&scale, scale.elements > 1 ? j : 0) : 1;
        }
        mmi_onnx_ml_put(call, 0, i, row, rows.length);
    }
    return MM_OK;
}

static const struct onnx_list scaler_lists[] = {
    {.name = "offset", .dtype = MM_F32}, {.name = "scale", .dtype = MM_F32}, {0}};
ONE_TO_ONE(Scaler, .lists = scaler_lists, .infer = infer_scaler, .run = run_scaler,
           .facts = {MM_F32, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0})

/* ---- Normalizer ------------------------------------------------------------------------------ */

enum norm { MAX, L1, L2 };
struct normalizer {
    int32_t norm;
};

static mm_status read_normalizer(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const norms[] = {"MAX", "L1", "L2", NULL};
    return mmi_onnx_read_choice(a, "norm", norms, &((struct normalizer *)params)->norm, err);
}

static mm_status infer_normalizer(struct onnx_inference *x, mm_error *err) {
    return infer_like(x, MM_F32, err);
}

static double norm_of(enum norm norm, const double *row, uint64_t length) {
    double sum = norm == MAX ? -INFINITY : 0;
    for (uint64_t j = 0; j < length; j++) {
        sum = norm == MAX ? fmax(sum, row[j]) : sum + (norm == L1 ? fabs(row[j]) : row[j] * row[j]);
    }
    return norm == L2 ? sqrt(sum) : sum;
}

static mm_status run_normalizer(const struct onnx_call *call, mm_error *err) {
    struct onnx_ml_rows rows = rows_of(&call->inputs[0]);
    double *row = call->scratch;
    (void)err;
    for (uint64_t i = 0; i < rows.count; i++) {
        mmi_onnx_ml_row(call, i, row);
        double by =
            norm_of((enum norm)((const struct normalizer *)call->params)->norm, row, rows.length);
        for (uint64_t j = 0; j < rows.length && by != 0; j++) {
            row[j] /= by;
        }
        mmi_onnx_ml_put(call, 0, i, row, rows.length);
    }
    return MM_OK;
}
ONE_TO_ONE(Normalizer, .params_bytes = sizeof(struct normalizer), .read = read_normalizer,
           .infer = infer_normalizer, .run = run_normalizer,
           .facts = {MM_F32, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0})

/* ---- Binarizer ------------------------------------------------------------------------------- */

struct binarizer {
    float threshold;
};

static mm_status read_binarizer(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_float(a, "threshold", 0, &((struct binarizer *)params)->threshold, err);
}

static mm_status infer_binarizer(struct onnx_inference *x, mm_error *err) {
    return infer_like(x, x->inputs[0].dtype, err);
}

static mm_status run_binarizer(const struct onnx_call *call, mm_error *err) {
    double threshold = (double)((const struct binarizer *)call->params)->threshold;
    struct onnx_ml_rows rows = rows_of(&call->inputs[0]);
    double *row = call->scratch;
    (void)err;
    for (uint64_t i = 0; i < rows.count; i++) {
        mmi_onnx_ml_row(call, i, row);
        for (uint64_t j = 0; j < rows.length; j++) {
            row[j] = row[j] > threshold;
        }
        mmi_onnx_ml_put(call, 0, i, row, rows.length);
    }
    return MM_OK;
}
ONE_TO_ONE(Binarizer, .params_bytes = sizeof(struct binarizer), .read = read_binarizer,
           .infer = infer_binarizer, .run = run_binarizer, .facts = ONNX_FACTS_LIKE_0)

/* ---- Imputer --------------------------------------------------------------------------------- */

struct imputer {
    int64_t replaced_int;
    float replaced_float;
    int32_t reserved;
};

static mm_status read_imputer(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct imputer *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "replaced_value_int64", 0, &p->replaced_int, err));
    return mmi_onnx_read_float(a, "replaced_value_float", 0, &p->replaced_float, err);
}

/* The list of the input's kind: 1 floats, 2 integers. */
static uint32_t imputed(int32_t dtype) {
    return ONNX_FLOATS >> dtype & 1 ? 1 : 2;
}

static mm_status infer_imputer(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(infer_like(x, x->inputs[0].dtype, err));
    uint32_t list = imputed(x->inputs[0].dtype);
    if (mmi_onnx_list_length(x, list) == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "it has no imputed values for its input, %s",
                        mm_dtype_text(x->inputs[0].dtype));
    }
    return check_list(x, list, "imputed values", err);
}

static mm_status run_imputer(const struct onnx_call *call, mm_error *err) {
    const struct imputer *p = call->params;
    struct onnx_tensor input = mmi_onnx_call_input(call, 0);
    struct onnx_tensor list = mmi_onnx_list(call, imputed(input.dtype));
    uint32_t width = mmi_onnx_element_bytes(input.dtype);
    uint64_t length = rows_of(&input).length;
    uint8_t *to = call->out[0];
    bool floats = imputed(input.dtype) == 1, nan = isnan(p->replaced_float);
    (void)err;
    for (uint64_t i = 0; to && i < input.elements; i++, to += width) {
        double number = floats ? mmi_onnx_float_at(&input, i) : 0;
        bool missing = floats ? number == (double)p->replaced_float || (nan && isnan(number))
                              : mmi_onnx_int_at(&input, i) == p->replaced_int;
        uint64_t place = list.elements > 1 ? i % length : 0;
        if (missing) {
            uint32_t from = mmi_onnx_element_bytes(list.dtype);
            mmi_onnx_convert(list.dtype, (const uint8_t *)list.data + place * from, 1, input.dtype,
                             to);
        } else {
            mmi_onnx_copy(to, (const uint8_t *)input.data + i * width, width);
        }
    }
    return MM_OK;
}

static const struct onnx_list imputer_lists[] = {{.name = "imputed_value_floats", .dtype = MM_F32},
                                                 {.name = "imputed_value_int64s", .dtype = MM_I64},
                                                 {0}};
const struct onnx_operator mmi_onnx_op_Imputer = {
    .name = "Imputer",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct imputer),
    .read = read_imputer,
    .lists = imputer_lists,
    .infer = infer_imputer,
    .run = run_imputer,
    .facts = ONNX_FACTS_LIKE_0,
};

/* ---- FeatureVectorizer ----------------------------------------------------------------------- */

struct vectorizer {
    uint64_t columns; /* 0: as many as the inputs have */
};

static mm_status arrange_vectorizer(struct onnx_lists *lists, void *params, mm_error *err) {
    struct vectorizer *p = params;
    const int64_t *counts = lists->at[0].data;
    uint64_t listed = lists->at[0].dtype == MM_DTYPE_NONE ? 0 : lists->at[0].elements;
    for (uint64_t i = 0; i < listed; i++) {
        if (counts[i] < 0 || counts[i] > INT32_MAX) {
            return mmi_fail(err, MM_INVALID_MODEL, "inputdimensions has %" PRId64, counts[i]);
        }
        p->columns += (uint64_t)counts[i];
    }
    return MM_OK;
}

static mm_status infer_vectorizer(struct onnx_inference *x, mm_error *err) {
    uint32_t own = x->input_count - 1;
    uint64_t columns = 0, rows = 0, listed = mmi_onnx_list_length(x, own);
    for (uint32_t i = 0; i < own; i++) {
        MMI_TRY(mmi_onnx_check_type(x, i, ONNX_ML_NUMBERS, err));
        struct onnx_ml_rows its = mmi_onnx_ml_rows_of(&x->inputs[i]);
        rows = i == 0 ? its.count : rows;
        if (x->inputs[i].rank < 1 || x->inputs[i].rank > 2 || its.count != rows) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u has %u axes and %" PRIu64 " rows, %" PRIu64 " wanted", i,
                            x->inputs[i].rank, its.count, rows);
        }
        columns = mmi_add_cap(columns, its.length);
    }
    if (own == 0 || (listed != 0 && listed != own)) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " inputdimensions of %u inputs", listed,
                        own);
    }
    columns = listed ? ((const struct vectorizer *)x->params)->columns : columns;
    return mmi_onnx_ml_output(x, 0, MM_F32, rows, columns, err);
}

/* An input that is wider than its part is cut, one that is not is followed by zeros. */
static mm_status run_vectorizer(const struct onnx_call *call, mm_error *err) {
    uint32_t own = call->input_count - 1;
    struct onnx_tensor list = mmi_onnx_list(call, own);
    uint64_t rows = (uint64_t)call->outputs[0].shape[0];
    uint64_t columns = (uint64_t)call->outputs[0].shape[1], at = 0;
    float *to = call->out[0];
    (void)err;
    for (uint32_t i = 0; to && i < own; i++) {
        const struct onnx_tensor *input = &call->inputs[i];
        uint64_t has = mmi_onnx_ml_rows_of(input).length;
        uint64_t wide = list.data ? (uint64_t)mmi_onnx_int_at(&list, i) : has;
        uint64_t bytes = has * mmi_onnx_element_bytes(input->dtype);
        wide = mmi_min_u64(wide, columns - at);
        for (uint64_t row = 0; row < rows && wide > 0; row++) {
            float *part = to + row * columns + at;
            memset(part, 0, wide * sizeof(*part));
            mmi_onnx_convert(input->dtype, (const uint8_t *)call->in[i] + row * bytes,
                             mmi_min_u64(has, wide), MM_F32, part);
        }
        at += wide;
    }
    return MM_OK;
}

static const struct onnx_list vectorizer_lists[] = {{.name = "inputdimensions", .dtype = MM_I64},
                                                    {0}};
const struct onnx_operator mmi_onnx_op_FeatureVectorizer = {
    .name = "FeatureVectorizer",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = ONNX_ANY_NUMBER,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct vectorizer),
    .lists = vectorizer_lists,
    .arrange = arrange_vectorizer,
    .infer = infer_vectorizer,
    .run = run_vectorizer,
    .facts = {MM_F32, ONNX_RANK_IS_2, ONNX_SIZE_ALIKE, 0},
};

/* ---- ArrayFeatureExtractor ------------------------------------------------------------------- */

static mm_status infer_extractor(struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor input = x->inputs[0];
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    if (input.rank == 0 || x->inputs[1].elements == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u axes and %" PRIu64 " indices, 1 or more wanted",
                        input.rank, x->inputs[1].elements);
    }
    if (input.rank == 1) {
        input.rank = 2;
        input.shape[0] = 1;
    }
    input.shape[input.rank - 1] = (int64_t)x->inputs[1].elements;
    return mmi_onnx_tensor_set(&x->outputs[0], input.dtype, input.rank, input.shape, err);
}

static mm_status run_extractor(const struct onnx_call *call, mm_error *err) {
    struct onnx_ml_rows rows = rows_of(&call->inputs[0]);
    struct onnx_tensor indices = mmi_onnx_call_input(call, 1);
    uint32_t width = mmi_onnx_element_bytes(call->inputs[0].dtype);
    const uint8_t *from = call->in[0];
    uint8_t *to = call->out[0];
    for (uint64_t i = 0; i < indices.elements; i++) {
        int64_t index = mmi_onnx_int_at(&indices, i);
        if (index < 0 || (uint64_t)index >= rows.length) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "index %" PRId64 " of %" PRIu64 " features",
                            index, rows.length);
        }
        for (uint64_t row = 0; to && row < rows.count; row++) {
            mmi_onnx_copy(to + (row * indices.elements + i) * width,
                          from + (row * rows.length + (uint64_t)index) * width, width);
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_ArrayFeatureExtractor = {
    .name = "ArrayFeatureExtractor",
    .domain = ONNX_ML,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_extractor,
    .run = run_extractor,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};
