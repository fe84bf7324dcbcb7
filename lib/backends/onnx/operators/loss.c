/* SPDX-License-Identifier: Apache-2.0 */

/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: what the scores [N, C, ...] say of the
 * class that each target [N, ...] names; the second takes logarithms of shares first. Computed in
 * f64. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

enum reduction { MEAN, SUM, NONE };

struct loss {
    int64_t ignored; /* the class that does not count, if there is one */
    int32_t ignores, reduction;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const reductions[] = {"mean", "sum", "none", NULL};
    struct loss *loss = params;
    loss->ignores = mmi_onnx_attribute(a, "ignore_index") != NULL;
    MMI_TRY(mmi_onnx_read_int(a, "ignore_index", 0, &loss->ignored, err));
    return mmi_onnx_read_choice(a, "reduction", reductions, &loss->reduction, err);
}

static mm_status check(const struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *scores = &x->inputs[0], *targets = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_check_indices(x, 1, err));
    bool fits = scores->rank >= 2 && targets->rank + 1 == scores->rank;
    for (uint32_t i = 0; fits && i < targets->rank; i++) {
        fits = targets->shape[i] == scores->shape[i == 0 ? 0 : i + 1];
    }
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its targets, with %u axes, do not fit its scores, with %u", targets->rank,
                        scores->rank);
    }
    if (mmi_onnx_has(x, 2)) {
        const struct onnx_tensor *weights = &x->inputs[2];
        MMI_TRY(mmi_onnx_check_type(x, 2, ONNX_FLOATS, err));
        if (weights->rank != 1 || weights->shape[0] != scores->shape[1]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its weights are %" PRIu64 " elements on %u axes, %" PRId64
                            " on one wanted",
                            weights->elements, weights->rank, scores->shape[1]);
        }
    }
    return MM_OK;
}

static mm_status infer_nll(struct onnx_inference *x, mm_error *err) {
    const struct loss *loss = x->params;
    const struct onnx_tensor *targets = &x->inputs[1];
    MMI_TRY(check(x, err));
    uint32_t rank = loss->reduction == NONE ? targets->rank : 0;
    return mmi_onnx_tensor_set(&x->outputs[0], x->inputs[0].dtype, rank, targets->shape, err);
}

static mm_status infer_softmax(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *scores = &x->inputs[0];
    MMI_TRY(infer_nll(x, err));
    if (!mmi_mul(x->inputs[1].elements, sizeof(double), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its targets are too many");
    }
    if (x->output_count < 2) {
        return MM_OK;
    }
    return mmi_onnx_tensor_set(&x->outputs[1], scores->dtype, scores->rank, scores->shape, err);
}

/* ---- The loss of each target ----------------------------------------------------------------- */

/* Its class, or -1 where that does not count. */
static mm_status class_of(const struct loss *loss, const struct onnx_tensor *targets, uint64_t i,
                          int64_t classes, int64_t *class, mm_error *err) {
    *class = mmi_onnx_int_at(targets, i);
    if (loss->ignores && *class == loss->ignored) {
        *class = -1;
        return MM_OK;
    }
    if (*class < 0 || *class >= classes) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "target %" PRIu64 " is class %" PRId64 " of %" PRId64, i, *class, classes);
    }
    return MM_OK;
}

/* logs: what is subtracted from the scores of each target; NULL: nothing. */
static mm_status run_losses(const struct onnx_call *call, const double *logs, mm_error *err) {
    const struct loss *loss = call->params;
    struct onnx_tensor scores = mmi_onnx_call_input(call, 0);
    struct onnx_tensor targets = mmi_onnx_call_input(call, 1);
    struct onnx_tensor weights = mmi_onnx_call_input(call, 2);
    const struct onnx_tensor *output = &call->outputs[0];
    struct onnx_split split = mmi_onnx_split_at(&scores, 1);
    uint8_t *to = call->out[0];
    double sum = 0, weight_sum = 0;
    for (uint64_t i = 0; to && i < targets.elements; i++) {
        uint64_t first = i / split.inner * split.length * split.inner + i % split.inner;
        double result = 0, weight = 0;
        int64_t class;
        MMI_TRY(class_of(loss, &targets, i, scores.shape[1], &class, err));
        if (class >= 0) {
            weight = weights.data ? mmi_onnx_float_at(&weights, (uint64_t) class) : 1;
            double score = mmi_onnx_float_at(&scores, first + (uint64_t) class * split.inner);
            result = -weight * (score - (logs ? logs[i] : 0));
        }
        if (loss->reduction == NONE) {
            mmi_onnx_convert(MM_F64, &result, 1, output->dtype,
                             to + i * mmi_onnx_element_bytes(output->dtype));
        }
        sum += result;
        weight_sum += weight;
    }
    if (to && loss->reduction != NONE) {
        sum = loss->reduction == MEAN ? sum / weight_sum : sum;
        mmi_onnx_convert(MM_F64, &sum, 1, output->dtype, to);
    }
    return MM_OK;
}

static mm_status run_nll(const struct onnx_call *call, mm_error *err) {
    return run_losses(call, NULL, err);
}

/* ---- Logarithms of shares -------------------------------------------------------------------- */

/* Columns beside each other; or one, whose elements are (`row`). */
struct columns {
    int32_t dtype;
    uint32_t width;
    bool row;
    uint64_t length, count;
    uint64_t step; /* bytes from one element of a column to the next */
    const uint8_t *from;
    double *logs; /* of the sum of e^score, of each column */
};

/* Elements that are loaded at once: of a column, or of all columns. */
static uint64_t stretch_of(const struct columns *columns, uint64_t i) {
    return columns->row ? mmi_min_u64(ONNX_CHUNK, columns->length - i) : 1;
}

static void find_logs(const struct columns *columns) {
    double max[ONNX_CHUNK], sums[ONNX_CHUNK] = {0};
    union onnx_chunk numbers;
    for (uint64_t j = 0; j < columns->count; j++) {
        max[j] = -INFINITY;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < columns->length; i += stretch_of(columns, i)) {
            uint64_t n = columns->row ? stretch_of(columns, i) : columns->count;
            const double *x = mmi_onnx_load_as(ONNX_F64, columns->dtype,
                                               columns->from + i * columns->step, n, &numbers);
            for (uint64_t j = 0; j < n; j++) {
                uint64_t at = columns->row ? 0 : j;
                if (pass == 0) {
                    max[at] = x[j] > max[at] || isnan(x[j]) ? x[j] : max[at];
                } else {
                    sums[at] += exp(x[j] - max[at]);
                }
            }
        }
    }
    for (uint64_t j = 0; j < columns->count; j++) {
        columns->logs[j] = max[j] + log(sums[j]);
    }
}

static void write_logs(const struct columns *columns, uint8_t *to) {
    union onnx_chunk numbers, results;
    for (uint64_t i = 0; i < columns->length; i += stretch_of(columns, i)) {
        uint64_t n = columns->row ? stretch_of(columns, i) : columns->count;
        const double *x = mmi_onnx_load_as(ONNX_F64, columns->dtype,
                                           columns->from + i * columns->step, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            results.f64[j] = x[j] - columns->logs[columns->row ? 0 : j];
        }
        mmi_onnx_convert(MM_F64, &results, n, columns->dtype, to + i * columns->step);
    }
}

static mm_status run_softmax(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *scores = &call->inputs[0];
    struct onnx_split split = mmi_onnx_split_at(scores, 1);
    uint32_t width = mmi_onnx_element_bytes(scores->dtype);
    struct columns columns = {.dtype = scores->dtype,
                              .width = width,
                              .row = split.inner == 1,
                              .length = split.length,
                              .step = split.inner * width};
    for (uint64_t image = 0; image < split.outer && scores->elements > 0; image++) {
        for (uint64_t i = 0; i < split.inner; i += ONNX_CHUNK) {
            uint64_t at = image * split.length * columns.step + i * width;
            columns.count = mmi_min_u64(ONNX_CHUNK, split.inner - i);
            columns.from = (const uint8_t *)call->in[0] + at;
            columns.logs = (double *)call->scratch + image * split.inner + i;
            find_logs(&columns);
            if (call->output_count > 1 && call->out[1]) {
                write_logs(&columns, (uint8_t *)call->out[1] + at);
            }
        }
    }
    return run_losses(call, call->scratch, err);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct loss *loss = l->node->params;
    if (output == 1) {
        *fact = mmi_onnx_fact(l, 0);
    } else {
        fact->rank = loss->reduction == NONE ? mmi_onnx_fact(l, 1).rank : 0;
    }
}

#define LOSS(name_, outputs, infer_, run_)                                                         \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .min_inputs = 2,                                                                           \
        .max_inputs = 3,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = outputs,                                                                    \
        .params_bytes = sizeof(struct loss),                                                       \
        .limits = ONNX_LIMITS(ONNX_BETWEEN("reduction", struct loss, reduction, 0, 2)),            \
        .read = read,                                                                              \
        .infer = infer_,                                                                           \
        .run = run_,                                                                               \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_REDUCES, 0},                       \
        .learn = learn,                                                                            \
    };
LOSS(NegativeLogLikelihoodLoss, 1, infer_nll, run_nll)
LOSS(SoftmaxCrossEntropyLoss, 2, infer_softmax, run_softmax)
