/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/ml.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- Rows ------------------------------------------------------------------------------------ */

struct onnx_ml_rows mmi_onnx_ml_rows_of(const struct onnx_tensor *tensor) {
    return (struct onnx_ml_rows){
        .count = tensor->rank > 1 ? (uint64_t)tensor->shape[0] : 1,
        .length = tensor->rank > 0 ? (uint64_t)tensor->shape[tensor->rank - 1] : 1};
}

mm_status mmi_onnx_ml_rows(const struct onnx_inference *x, uint32_t types,
                           struct onnx_ml_rows *rows, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, types, err));
    if (input->rank < 1 || input->rank > 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 1 or 2 wanted", input->rank);
    }
    *rows = mmi_onnx_ml_rows_of(input);
    return MM_OK;
}

void mmi_onnx_ml_row(const struct onnx_call *call, uint64_t i, double *row) {
    const struct onnx_tensor *input = &call->inputs[0];
    uint64_t length = mmi_onnx_ml_rows_of(input).length;
    const uint8_t *from = call->in[0];
    mmi_onnx_convert(input->dtype, from + i * length * mmi_onnx_element_bytes(input->dtype), length,
                     MM_F64, row);
}

mm_status mmi_onnx_ml_output(struct onnx_inference *x, uint32_t output, int32_t dtype,
                             uint64_t rows, uint64_t columns, mm_error *err) {
    const int64_t shape[2] = {(int64_t)rows, (int64_t)columns};
    return output < x->output_count ? mmi_onnx_tensor_set(&x->outputs[output], dtype, 2, shape, err)
                                    : MM_OK;
}

void mmi_onnx_ml_put(const struct onnx_call *call, uint32_t output, uint64_t i, double *row,
                     uint64_t count) {
    if (output < call->output_count && call->out[output]) {
        int32_t dtype = call->outputs[output].dtype;
        uint64_t bytes = count * mmi_onnx_element_bytes(dtype);
        mmi_onnx_convert(MM_F64, row, count, dtype, (uint8_t *)call->out[output] + i * bytes);
    }
}

bool mmi_onnx_ml_scratch(struct onnx_inference *x, uint64_t count) {
    uint64_t bytes;
    return mmi_mul(count, sizeof(double), &bytes) &&
           mmi_add(bytes, x->scratch_bytes, &x->scratch_bytes) &&
           x->scratch_bytes < PTRDIFF_MAX / 2;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

mm_status mmi_onnx_ml_only_one(const struct onnx_lists *lists, uint32_t from, uint32_t to,
                               const char *what, uint32_t *given, mm_error *err) {
    uint32_t count = 0;
    *given = from;
    for (uint32_t i = from; i < to; i++) {
        if (lists->at[i].dtype != MM_DTYPE_NONE) {
            count++;
            *given = i;
        }
    }
    if (count != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u attributes with its %s, one wanted", count,
                        what);
    }
    return MM_OK;
}

/* ---- Labels and scores ----------------------------------------------------------------------- */

mm_status mmi_onnx_ml_infer_labels(struct onnx_inference *x, uint32_t labels, uint64_t rows,
                                   mm_error *err) {
    int64_t count = (int64_t)rows;
    return mmi_onnx_tensor_set(&x->outputs[0], x->inputs[labels].dtype, 1, &count, err);
}

void mmi_onnx_ml_learn_labels(const struct onnx_learning *l, uint32_t output,
                              struct onnx_fact *fact) {
    if (output == 0) {
        fact->dtype = mmi_onnx_fact(l, l->node->input_count - 1).dtype;
    }
}

void mmi_onnx_ml_put_label(const struct onnx_call *call, uint32_t labels, uint64_t row,
                           uint64_t label) {
    uint32_t width = mmi_onnx_element_bytes(call->outputs[0].dtype);
    if (call->out[0] && label < call->inputs[labels].elements) {
        mmi_onnx_copy((uint8_t *)call->out[0] + row * width,
                      (const uint8_t *)call->in[labels] + label * width, width);
    }
}

uint64_t mmi_onnx_ml_largest(const double *scores, uint64_t count) {
    uint64_t largest = 0;
    for (uint64_t i = 1; i < count; i++) {
        largest = scores[i] > scores[largest] ? i : largest;
    }
    return largest;
}

mm_status mmi_onnx_read_post_transform(const struct onnx_attributes *a, int32_t *kind,
                                       mm_error *err) {
    static const char *const names[] = {"NONE",         "SOFTMAX", "LOGISTIC",
                                        "SOFTMAX_ZERO", "PROBIT",  NULL};
    return mmi_onnx_read_choice(a, "post_transform", names, kind, err);
}

static double logistic(double x) {
    double part = exp(-fabs(x));
    return x < 0 ? part / (1 + part) : 1 / (1 + part);
}

/* The inverse of the normal distribution: bisection, which is right to the last digits. */
static double probit(double p) {
    double low = -40, high = 40;
    if (!(p > 0 && p < 1)) {
        return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
    }
    for (int i = 0; i < 70; i++) {
        double middle = low + (high - low) / 2;
        bool below = p < 0.5 ? erfc(-middle / M_SQRT2) / 2 < p : erfc(middle / M_SQRT2) / 2 > 1 - p;
        low = below ? middle : low;
        high = below ? high : middle;
    }
    return low + (high - low) / 2;
}

/* keep_zeros: scores of 0 take no part. */
static void softmax(double *scores, uint64_t count, bool keep_zeros) {
    double largest = count > 0 ? scores[mmi_onnx_ml_largest(scores, count)] : 0, sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        bool zero = keep_zeros && fabs(scores[i]) <= 1e-7;
        scores[i] = zero ? 0 : exp(scores[i] - largest);
        sum += scores[i];
    }
    for (uint64_t i = 0; i < count && sum > 0; i++) {
        scores[i] /= sum;
    }
}

void mmi_onnx_post_transform(int32_t kind, double *scores, uint64_t count) {
    if (kind == ONNX_POST_SOFTMAX || kind == ONNX_POST_SOFTMAX_ZERO) {
        softmax(scores, count, kind == ONNX_POST_SOFTMAX_ZERO);
        return;
    }
    for (uint64_t i = 0; i < count && kind != ONNX_POST_NONE; i++) {
        scores[i] = kind == ONNX_POST_LOGISTIC ? logistic(scores[i]) : probit(scores[i]);
    }
}

void mmi_onnx_two_classes(int32_t kind, bool as_probability, double scores[2]) {
    bool complement = kind == ONNX_POST_PROBIT || (kind == ONNX_POST_NONE && as_probability);
    scores[0] = complement ? 1 - scores[1] : -scores[1];
    mmi_onnx_post_transform(kind, scores, 2);
}
