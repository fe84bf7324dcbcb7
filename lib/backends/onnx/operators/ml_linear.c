/* SPDX-License-Identifier: Apache-2.0 */

/* LinearRegressor and LinearClassifier. */

#include <backends/onnx/operators/ml.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

struct linear {
    int64_t targets; /* of a regressor; 0: as many as there are rows of coefficients */
    int32_t post_transform;
    int32_t reserved;
};
enum { COEFFICIENTS = 1, INTERCEPTS, LABELS };

static mm_status read_regressor(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct linear *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "targets", 1, &p->targets, err));
    return mmi_onnx_read_post_transform(a, &p->post_transform, err);
}

static mm_status read_classifier(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct linear *p = params;
    int64_t multi_class = 0; /* how the scores are meant, which makes no difference to them */
    MMI_TRY(mmi_onnx_read_int(a, "multi_class", 0, &multi_class, err));
    return mmi_onnx_read_post_transform(a, &p->post_transform, err);
}

static mm_status arrange_regressor(struct onnx_lists *lists, void *params, mm_error *err) {
    (void)params;
    return lists->at[0].dtype != MM_DTYPE_NONE
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL, "it has no coefficients");
}

static mm_status arrange_classifier(struct onnx_lists *lists, void *params, mm_error *err) {
    uint32_t labels = 0;
    MMI_TRY(arrange_regressor(lists, params, err));
    MMI_TRY(mmi_onnx_ml_only_one(lists, 2, 4, "labels", &labels, err));
    lists->at[2] = lists->at[labels];
    lists->count = 3;
    return MM_OK;
}

/* Columns of what comes out of the product. */
static mm_status find_targets(struct onnx_inference *x, struct onnx_ml_rows *rows,
                              uint64_t *targets, mm_error *err) {
    const struct linear *p = x->params;
    MMI_TRY(mmi_onnx_ml_rows(x, ONNX_ML_NUMBERS, rows, err));
    uint64_t coefficients = mmi_onnx_list_length(x, COEFFICIENTS);
    uint64_t intercepts = mmi_onnx_list_length(x, INTERCEPTS);
    *targets = p->targets ? (uint64_t)p->targets : rows->length ? coefficients / rows->length : 0;
    uint64_t wanted;
    if (*targets == 0 || !mmi_mul(*targets, rows->length, &wanted) || wanted != coefficients) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRIu64 " coefficients for %" PRIu64 " features and %" PRIu64 " results",
                        coefficients, rows->length, *targets);
    }
    if (intercepts != 0 && intercepts != *targets) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " intercepts, %" PRIu64 " wanted",
                        intercepts, *targets);
    }
    return mmi_onnx_ml_scratch(x, rows->length) && mmi_onnx_ml_scratch(x, *targets + 1)
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "rows of %" PRIu64 " features", rows->length);
}

static mm_status infer_regressor(struct onnx_inference *x, mm_error *err) {
    struct onnx_ml_rows rows = {0};
    uint64_t targets = 0;
    MMI_TRY(find_targets(x, &rows, &targets, err));
    return mmi_onnx_ml_output(x, 0, MM_F32, rows.count, targets, err);
}

static mm_status infer_classifier(struct onnx_inference *x, mm_error *err) {
    struct onnx_ml_rows rows = {0};
    uint64_t targets = 0, labels = mmi_onnx_list_length(x, LABELS);
    MMI_TRY(find_targets(x, &rows, &targets, err));
    if (labels < targets || labels > targets + (targets == 1)) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " labels of %" PRIu64 " classes", labels,
                        targets);
    }
    MMI_TRY(mmi_onnx_ml_infer_labels(x, LABELS, rows.count, err));
    return mmi_onnx_ml_output(x, 1, MM_F32, rows.count, labels, err);
}

/* Row i of the product, [targets]. */
static void compute(const struct onnx_call *call, uint64_t i, double *row, double *scores) {
    struct onnx_tensor coefficients = mmi_onnx_list(call, COEFFICIENTS);
    struct onnx_tensor intercepts = mmi_onnx_list(call, INTERCEPTS);
    uint64_t length = mmi_onnx_ml_rows_of(&call->inputs[0]).length;
    const float *factors = coefficients.data;
    const float *offsets = intercepts.data;
    mmi_onnx_ml_row(call, i, row);
    for (uint64_t j = 0; j < coefficients.elements / length; j++, factors += length) {
        double sum = offsets ? (double)offsets[j] : 0;
        for (uint64_t k = 0; k < length; k++) {
            sum += row[k] * (double)factors[k];
        }
        scores[j] = sum;
    }
}

static mm_status run_regressor(const struct onnx_call *call, mm_error *err) {
    const struct linear *p = call->params;
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(&call->inputs[0]);
    uint64_t targets = (uint64_t)p->targets;
    double *row = call->scratch, *scores = row + rows.length;
    (void)err;
    for (uint64_t i = 0; i < rows.count; i++) {
        compute(call, i, row, scores);
        mmi_onnx_post_transform(p->post_transform, scores, targets);
        mmi_onnx_ml_put(call, 0, i, scores, targets);
    }
    return MM_OK;
}

static mm_status run_classifier(const struct onnx_call *call, mm_error *err) {
    const struct linear *p = call->params;
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(&call->inputs[0]);
    uint64_t targets = call->inputs[COEFFICIENTS].elements / rows.length;
    uint64_t labels = call->inputs[LABELS].elements;
    double *row = call->scratch, *scores = row + rows.length;
    (void)err;
    for (uint64_t i = 0; i < rows.count; i++) {
        compute(call, i, row, scores);
        uint64_t label = mmi_onnx_ml_largest(scores, targets);
        if (labels > targets) { /* one score for two classes */
            label = scores[0] > 0;
            scores[1] = scores[0];
            mmi_onnx_two_classes(p->post_transform, true, scores);
        } else {
            mmi_onnx_post_transform(p->post_transform, scores, targets);
        }
        mmi_onnx_ml_put_label(call, LABELS, i, label);
        mmi_onnx_ml_put(call, 1, i, scores, labels);
    }
    return MM_OK;
}

static const struct onnx_list regressor_lists[] = {
    {.name = "coefficients", .dtype = MM_F32}, {.name = "intercepts", .dtype = MM_F32}, {0}};
static const struct onnx_list classifier_lists[] = {
    {.name = "coefficients", .dtype = MM_F32},
    {.name = "intercepts", .dtype = MM_F32},
    {.name = "classlabels_ints", .dtype = MM_I64},
    {.name = "classlabels_strings", .dtype = MM_STRING},
    {0}};

const struct onnx_operator mmi_onnx_op_LinearRegressor = {
    .name = "LinearRegressor",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct linear),
    .limits = ONNX_LIMITS(
        ONNX_BETWEEN("targets", struct linear, targets, 1, INT32_MAX),
        ONNX_BETWEEN("post_transform", struct linear, post_transform, 0, ONNX_POST_PROBIT)),
    .read = read_regressor,
    .lists = regressor_lists,
    .arrange = arrange_regressor,
    .infer = infer_regressor,
    .run = run_regressor,
    .facts = {MM_F32, ONNX_RANK_IS_2, ONNX_SIZE_REDUCES, 0},
};

const struct onnx_operator mmi_onnx_op_LinearClassifier = {
    .name = "LinearClassifier",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct linear),
    .limits = ONNX_LIMITS(
        ONNX_BETWEEN("targets", struct linear, targets, 0, 0),
        ONNX_BETWEEN("post_transform", struct linear, post_transform, 0, ONNX_POST_PROBIT)),
    .read = read_classifier,
    .lists = classifier_lists,
    .arrange = arrange_classifier,
    .arranged = 3,
    .infer = infer_classifier,
    .run = run_classifier,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_IS_1, ONNX_SIZE_REDUCES, 0},
    .learn = mmi_onnx_ml_learn_labels,
};
