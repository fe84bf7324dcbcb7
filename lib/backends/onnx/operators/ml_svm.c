/* SPDX-License-Identifier: Apache-2.0 */

/* SVMRegressor and SVMClassifier: sums over support vectors, or without these over features. */

#include <backends/onnx/operators/ml.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum kernel { LINEAR, POLY, RBF, SIGMOID };

struct svm {
    int64_t vectors; /* 0: linear, without support vectors */
    int64_t classes; /* that have vectors; of a regressor 0 */
    int64_t one_class;
    float gamma, coef0, degree;
    int32_t kernel, post_transform, reserved;
};
/* The inputs behind X. */
enum { COEFFICIENTS = 1, VECTORS, RHO, PROB_A, PROB_B, PER_CLASS, LABELS };

/* ---- Attributes ------------------------------------------------------------------------------ */

static mm_status read_kernel(const struct onnx_attributes *a, struct svm *svm, mm_error *err) {
    static const char *const kernels[] = {"LINEAR", "POLY", "RBF", "SIGMOID", NULL};
    const struct onnx_attribute *numbers = mmi_onnx_attribute(a, "kernel_params");
    MMI_TRY(mmi_onnx_read_choice(a, "kernel_type", kernels, &svm->kernel, err));
    if (numbers &&
        (numbers->type != ONNX_ATTRIBUTE_FLOATS || (numbers->count != 3 && numbers->count != 0))) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "kernel_params of type %d has %" PRIu64 " numbers, 3 floats wanted",
                        numbers->type, numbers->count);
    }
    if (numbers && numbers->count == 3) {
        svm->gamma = numbers->floats[0];
        svm->coef0 = numbers->floats[1];
        svm->degree = numbers->floats[2];
    }
    return mmi_onnx_read_post_transform(a, &svm->post_transform, err);
}

static mm_status read_regressor(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct svm *svm = params;
    MMI_TRY(mmi_onnx_read_int(a, "n_supports", 0, &svm->vectors, err));
    MMI_TRY(mmi_onnx_read_int(a, "one_class", 0, &svm->one_class, err));
    return read_kernel(a, svm, err);
}

static mm_status read_classifier(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_kernel(a, params, err);
}

static mm_status check_count(uint64_t got, uint64_t wanted, const char *what, mm_error *err) {
    return got == wanted
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "%" PRIu64 " numbers as its %s, %" PRIu64 " wanted", got, what, wanted);
}

/* How long its lists are: [COEFFICIENTS] and so on. Without labels it is a regressor. */
static mm_status check_lengths(const struct svm *svm, const uint64_t *lengths, mm_error *err) {
    uint64_t classes = (uint64_t)svm->classes, pairs = classes * (classes - (classes > 0)) / 2;
    if (svm->vectors < 0 || svm->vectors > INT32_MAX ||
        (svm->vectors > 0 &&
         (lengths[VECTORS] == 0 || lengths[VECTORS] % (uint64_t)svm->vectors != 0))) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " numbers of %" PRId64 " support vectors",
                        lengths[VECTORS], svm->vectors);
    }
    if (lengths[COEFFICIENTS] == 0 || lengths[RHO] == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "it has no coefficients, or no rho");
    }
    if (svm->vectors == 0) {
        return classes == 0 ? MM_OK : mmi_fail(err, MM_INVALID_MODEL, "classes without vectors");
    }
    if (lengths[LABELS] == 0) {
        return check_count(lengths[COEFFICIENTS], (uint64_t)svm->vectors, "coefficients", err);
    }
    if (classes < 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " classes, 2 or more wanted", classes);
    }
    MMI_TRY(check_count(lengths[PER_CLASS], classes + 1, "places of classes", err));
    MMI_TRY(check_count(lengths[LABELS], classes, "labels", err));
    MMI_TRY(check_count(lengths[COEFFICIENTS], (classes - 1) * (uint64_t)svm->vectors,
                        "coefficients", err));
    MMI_TRY(check_count(lengths[RHO], pairs, "rho", err));
    MMI_TRY(check_count(lengths[PROB_B], lengths[PROB_A], "prob_b", err));
    return lengths[PROB_A] ? check_count(lengths[PROB_A], pairs, "prob_a", err) : MM_OK;
}

static uint64_t length_of(const struct onnx_lists *lists, uint32_t input) {
    const struct onnx_tensor *list = &lists->at[input - 1];
    return input <= lists->count && list->dtype != MM_DTYPE_NONE ? list->elements : 0;
}

static mm_status arrange_regressor(struct onnx_lists *lists, void *params, mm_error *err) {
    uint64_t lengths[LABELS + 1] = {0};
    for (uint32_t i = COEFFICIENTS; i <= LABELS; i++) {
        lengths[i] = length_of(lists, i);
    }
    return check_lengths(params, lengths, err);
}

/* The counts of vectors per class become the places where a class's vectors begin. */
static mm_status arrange_classes(struct onnx_lists *lists, struct svm *svm, mm_error *err) {
    struct onnx_tensor *list = &lists->at[PER_CLASS - 1];
    const int64_t *counts = list->data;
    uint64_t classes = length_of(lists, PER_CLASS);
    int64_t *begins = mmi_onnx_take_data(lists->arena, (classes + 1) * sizeof(*begins));
    if (!begins || classes > 10000) {
        return mmi_fail(err, begins ? MM_UNSUPPORTED : MM_NO_MEMORY, "%" PRIu64 " classes",
                        classes);
    }
    begins[0] = 0;
    for (uint64_t i = 0; i < classes; i++) {
        if (counts[i] < 0 || counts[i] > INT32_MAX - begins[i]) {
            return mmi_fail(err, MM_INVALID_MODEL, "class %" PRIu64 " has %" PRId64 " vectors", i,
                            counts[i]);
        }
        begins[i + 1] = begins[i] + counts[i];
    }
    svm->vectors = begins[classes];
    svm->classes = svm->vectors > 0 ? (int64_t)classes : 0;
    int64_t length = (int64_t)classes + 1;
    MMI_TRY(mmi_onnx_tensor_set(list, MM_I64, 1, &length, err));
    list->data = begins;
    return MM_OK;
}

static mm_status arrange_classifier(struct onnx_lists *lists, void *params, mm_error *err) {
    struct svm *svm = params;
    uint32_t labels = 0;
    MMI_TRY(mmi_onnx_ml_only_one(lists, 6, 8, "labels", &labels, err));
    lists->at[6] = lists->at[labels];
    lists->count = 7;
    if (length_of(lists, PER_CLASS) > 0) {
        MMI_TRY(arrange_classes(lists, svm, err));
    }
    return arrange_regressor(lists, params, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* Numbers of scratch: a row, a kernel's result for each vector, scores, votes, and what coupling
 * probabilities needs. */
struct room {
    uint64_t length, vectors, classes, pairs;
};

static struct room room_of(const struct svm *svm, uint64_t length, uint64_t labels) {
    uint64_t classes = svm->classes ? (uint64_t)svm->classes : labels;
    return (struct room){length, (uint64_t)svm->vectors, classes,
                         classes * (classes - (classes > 0)) / 2};
}

static mm_status infer(struct onnx_inference *x, struct onnx_ml_rows *rows, mm_error *err) {
    const struct svm *svm = x->params;
    MMI_TRY(mmi_onnx_ml_rows(x, ONNX_ML_NUMBERS, rows, err));
    uint64_t lengths[LABELS + 1] = {0}, wanted;
    for (uint32_t i = COEFFICIENTS; i <= LABELS; i++) {
        lengths[i] = mmi_onnx_list_length(x, i);
        if (i < LABELS && lengths[i] > 0 &&
            x->inputs[i].dtype != (i == PER_CLASS ? MM_I64 : MM_F32)) {
            return mmi_fail(err, MM_INVALID_MODEL, "its list %u is %s", i,
                            mm_dtype_text(x->inputs[i].dtype));
        }
    }
    MMI_TRY(check_lengths(svm, lengths, err));
    uint64_t labels = lengths[LABELS];
    uint64_t one = svm->vectors ? (uint64_t)svm->vectors : labels ? labels : 1;
    uint64_t numbers = mmi_onnx_list_length(x, svm->vectors ? VECTORS : COEFFICIENTS);
    if (!mmi_mul(one, rows->length, &wanted) || wanted != numbers) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "rows of %" PRIu64 " features, %" PRIu64 " numbers for %" PRIu64
                        " sums over them",
                        rows->length, numbers, one);
    }
    struct room room = room_of(svm, rows->length, svm->vectors ? labels : 0);
    bool fits = mmi_onnx_ml_scratch(x, room.length) && mmi_onnx_ml_scratch(x, room.vectors) &&
                mmi_onnx_ml_scratch(x, room.pairs + labels + 2) &&
                mmi_onnx_ml_scratch(x, room.classes * (2 * room.classes + 3));
    return fits ? MM_OK : mmi_fail(err, MM_TOO_LARGE, "%" PRIu64 " support vectors", room.vectors);
}

static mm_status infer_regressor(struct onnx_inference *x, mm_error *err) {
    struct onnx_ml_rows rows = {0};
    MMI_TRY(infer(x, &rows, err));
    return mmi_onnx_ml_output(x, 0, MM_F32, rows.count, 1, err);
}

/* Probabilities, or the score of each pair of classes; of one pair both ways. */
static uint64_t columns_of(const struct svm *svm, uint64_t labels, bool probabilities) {
    uint64_t classes = (uint64_t)svm->classes;
    return svm->vectors == 0 || probabilities || classes == 2 ? labels
                                                              : classes * (classes - 1) / 2;
}

static mm_status infer_classifier(struct onnx_inference *x, mm_error *err) {
    struct onnx_ml_rows rows = {0};
    MMI_TRY(infer(x, &rows, err));
    MMI_TRY(mmi_onnx_ml_infer_labels(x, LABELS, rows.count, err));
    uint64_t columns = columns_of(x->params, x->inputs[LABELS].elements, mmi_onnx_has(x, PROB_A));
    return mmi_onnx_ml_output(x, 1, MM_F32, rows.count, columns, err);
}

/* ---- Kernels --------------------------------------------------------------------------------- */

static double dot(const double *a, const float *b, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        sum += a[i] * (double)b[i];
    }
    return sum;
}

static double distance(const double *a, const float *b, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        sum += (a[i] - (double)b[i]) * (a[i] - (double)b[i]);
    }
    return sum;
}

static double kernel(const struct svm *svm, const double *row, const float *vector,
                     uint64_t length) {
    double gamma = (double)svm->gamma, coef0 = (double)svm->coef0;
    switch (svm->kernel) {
    case RBF:
        return exp(-gamma * distance(row, vector, length));
    case POLY:
        return pow(gamma * dot(row, vector, length) + coef0, (double)svm->degree);
    case SIGMOID:
        return tanh(gamma * dot(row, vector, length) + coef0);
    default:
        return dot(row, vector, length);
    }
}

static mm_status run_regressor(const struct onnx_call *call, mm_error *err) {
    const struct svm *svm = call->params;
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(&call->inputs[0]);
    const float *coefficients = call->in[COEFFICIENTS], *vectors = call->in[VECTORS];
    double *row = call->scratch;
    (void)err;
    for (uint64_t i = 0; i < rows.count; i++) {
        double sum = (double)*(const float *)call->in[RHO];
        mmi_onnx_ml_row(call, i, row);
        sum += svm->vectors ? 0 : dot(row, coefficients, rows.length);
        for (int64_t j = 0; j < svm->vectors; j++) {
            sum += (double)coefficients[j] *
                   kernel(svm, row, vectors + (uint64_t)j * rows.length, rows.length);
        }
        sum = svm->one_class ? (sum > 0 ? 1 : -1) : sum;
        mmi_onnx_post_transform(svm->post_transform, &sum, 1);
        mmi_onnx_ml_put(call, 0, i, &sum, 1);
    }
    return MM_OK;
}

/* ---- Classes --------------------------------------------------------------------------------- */

/* The scores of all pairs, and how many pairs each class wins. */
static void decide(const struct onnx_call *call, const double *kernels, double *scores,
                   double *votes) {
    const struct svm *svm = call->params;
    const float *coefficients = call->in[COEFFICIENTS], *rho = call->in[RHO];
    const int64_t *begins = call->in[PER_CLASS];
    int64_t pair = 0;
    memset(votes, 0, (size_t)svm->classes * sizeof(*votes));
    for (int64_t i = 0; i < svm->classes; i++) {
        for (int64_t j = i + 1; j < svm->classes; j++, pair++) {
            double sum = (double)rho[pair];
            for (int64_t k = begins[i]; k < begins[i + 1]; k++) {
                sum += (double)coefficients[svm->vectors * (j - 1) + k] * kernels[k];
            }
            for (int64_t k = begins[j]; k < begins[j + 1]; k++) {
                sum += (double)coefficients[svm->vectors * i + k] * kernels[k];
            }
            scores[pair] = sum;
            votes[sum > 0 ? i : j]++;
        }
    }
}

/* Q [n, n] of the pairwise probabilities r [n, n] (Wu, Lin and Weng: "Probability estimates for
 * multi-class classification by pairwise coupling"). */
static void couple_matrix(const double *r, uint64_t n, double *q) {
    for (uint64_t i = 0; i < n; i++) {
        double own = 0;
        for (uint64_t j = 0; j < n; j++) {
            own += j == i ? 0 : r[j * n + i] * r[j * n + i];
            q[i * n + j] = -r[j * n + i] * r[i * n + j];
        }
        q[i * n + i] = own;
    }
}

/* Their solution p [n], by the iteration of that paper. work: [n]. */
static void couple(const double *q, uint64_t n, double *p, double *work) {
    for (uint64_t i = 0; i < n; i++) {
        p[i] = 1.0 / (double)n;
    }
    for (uint64_t round = 0; round < (n > 100 ? n : 100); round++) {
        double total = 0, worst = 0;
        for (uint64_t i = 0; i < n; i++) {
            work[i] = 0;
            for (uint64_t j = 0; j < n; j++) {
                work[i] += q[i * n + j] * p[j];
            }
            total += p[i] * work[i];
        }
        for (uint64_t i = 0; i < n; i++) {
            worst = fmax(worst, fabs(work[i] - total));
        }
        if (worst < 0.005 / (double)n) {
            return;
        }
        for (uint64_t i = 0; i < n; i++) {
            double own = q[i * n + i], step = (total - work[i]) / own;
            p[i] += step;
            total = (total + step * (step * own + 2 * work[i])) / (1 + step) / (1 + step);
            for (uint64_t j = 0; j < n; j++) {
                work[j] = (work[j] + step * q[i * n + j]) / (1 + step);
                p[j] /= 1 + step;
            }
        }
    }
}

/* From the pairs' scores to a probability of each class. work: [n * (2 * n + 3)]. */
static void probabilities(const struct onnx_call *call, double *scores, double *work) {
    uint64_t n = (uint64_t)((const struct svm *)call->params)->classes, pair = 0;
    const float *a = call->in[PROB_A], *b = call->in[PROB_B];
    double *r = work, *q = r + n * n, *p = q + n * n;
    for (uint64_t i = 0; i < n; i++) {
        r[i * n + i] = 0;
        for (uint64_t j = i + 1; j < n; j++, pair++) {
            double one = -(scores[pair] * (double)a[pair] + (double)b[pair]);
            mmi_onnx_post_transform(ONNX_POST_LOGISTIC, &one, 1);
            one = fmin(fmax(one, 1e-7), 1 - 1e-7);
            r[i * n + j] = one;
            r[j * n + i] = 1 - one;
        }
    }
    couple_matrix(r, n, q);
    couple(q, n, p, p + n);
    memcpy(scores, p, n * sizeof(*scores));
}

/* ---- SVMClassifier --------------------------------------------------------------------------- */

/* One row: its class; scores: what is written of it. */
static uint64_t classify(const struct onnx_call *call, const double *row, double *kernels,
                         double *scores) {
    const struct svm *svm = call->params;
    uint64_t length = mmi_onnx_ml_rows_of(&call->inputs[0]).length;
    uint64_t labels = call->inputs[LABELS].elements;
    const float *coefficients = call->in[COEFFICIENTS], *vectors = call->in[VECTORS];
    struct room room = room_of(svm, length, svm->vectors ? labels : 0);
    if (svm->vectors == 0) {
        for (uint64_t i = 0; i < labels; i++) {
            double rho = (double)*(const float *)call->in[RHO];
            scores[i] = rho + dot(row, coefficients + i * length, length);
        }
        uint64_t label = mmi_onnx_ml_largest(scores, labels);
        mmi_onnx_post_transform(svm->post_transform, scores, labels);
        return label;
    }
    double *votes = scores + room.pairs + 2, *work = votes + labels;
    for (uint64_t i = 0; i < room.vectors; i++) {
        kernels[i] = kernel(svm, row, vectors + i * length, length);
    }
    decide(call, kernels, scores, votes);
    uint64_t label = mmi_onnx_ml_largest(votes, room.classes);
    if (mmi_onnx_given(call, PROB_A)) {
        probabilities(call, scores, work);
        mmi_onnx_post_transform(svm->post_transform, scores, room.classes);
    } else if (room.classes == 2) {
        scores[1] = scores[0];
        mmi_onnx_two_classes(svm->post_transform, false, scores);
    } else {
        mmi_onnx_post_transform(svm->post_transform, scores, room.pairs);
    }
    return label;
}

static mm_status run_classifier(const struct onnx_call *call, mm_error *err) {
    const struct svm *svm = call->params;
    struct onnx_ml_rows rows = mmi_onnx_ml_rows_of(&call->inputs[0]);
    uint64_t labels = call->inputs[LABELS].elements;
    uint64_t columns = columns_of(svm, labels, mmi_onnx_given(call, PROB_A));
    double *row = call->scratch, *kernels = row + rows.length;
    double *scores = kernels + svm->vectors;
    const int64_t *begins = call->in[PER_CLASS];
    for (int64_t i = 0; i < svm->classes; i++) {
        if (begins[i] < 0 || begins[i] > begins[i + 1] || begins[i + 1] > svm->vectors) {
            return mmi_fail(err, MM_CORRUPT, "the places of its classes are damaged");
        }
    }
    for (uint64_t i = 0; i < rows.count; i++) {
        mmi_onnx_ml_row(call, i, row);
        mmi_onnx_ml_put_label(call, LABELS, i, classify(call, row, kernels, scores));
        mmi_onnx_ml_put(call, 1, i, scores, columns);
    }
    return MM_OK;
}

static const struct onnx_list regressor_lists[] = {{.name = "coefficients", .dtype = MM_F32},
                                                   {.name = "support_vectors", .dtype = MM_F32},
                                                   {.name = "rho", .dtype = MM_F32},
                                                   {0}};
static const struct onnx_limit limits[] = {
    ONNX_BETWEEN("n_supports", struct svm, vectors, 0, INT32_MAX),
    ONNX_BETWEEN("classes", struct svm, classes, 0, INT32_MAX),
    ONNX_BETWEEN("kernel_type", struct svm, kernel, 0, SIGMOID),
    ONNX_BETWEEN("post_transform", struct svm, post_transform, 0, ONNX_POST_PROBIT),
    {.name = NULL}};
static const struct onnx_list classifier_lists[] = {
    {.name = "coefficients", .dtype = MM_F32},
    {.name = "support_vectors", .dtype = MM_F32},
    {.name = "rho", .dtype = MM_F32},
    {.name = "prob_a", .dtype = MM_F32},
    {.name = "prob_b", .dtype = MM_F32},
    {.name = "vectors_per_class", .dtype = MM_I64},
    {.name = "classlabels_ints", .dtype = MM_I64},
    {.name = "classlabels_strings", .dtype = MM_STRING},
    {0}};

const struct onnx_operator mmi_onnx_op_SVMRegressor = {
    .name = "SVMRegressor",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct svm),
    .limits = limits,
    .read = read_regressor,
    .lists = regressor_lists,
    .arrange = arrange_regressor,
    .infer = infer_regressor,
    .run = run_regressor,
    .facts = {MM_F32, ONNX_RANK_IS_2, ONNX_SIZE_REDUCES, 0},
};

const struct onnx_operator mmi_onnx_op_SVMClassifier = {
    .name = "SVMClassifier",
    .domain = ONNX_ML,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct svm),
    .limits = limits,
    .read = read_classifier,
    .lists = classifier_lists,
    .arrange = arrange_classifier,
    .arranged = 7,
    .infer = infer_classifier,
    .run = run_classifier,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_IS_1, ONNX_SIZE_REDUCES, 0},
    .learn = mmi_onnx_ml_learn_labels,
};
