/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ML_H
#define MMI_BACKENDS_ONNX_OPERATORS_ML_H

/* What the operators of ai.onnx.ml have in common: rows of features, computed in f64; the labels of
 * classes; what becomes of scores. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>

#define ONNX_ML_NUMBERS                                                                            \
    (ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F64) | ONNX_TYPE(MM_I32) | ONNX_TYPE(MM_I64))

/* ---- Rows ------------------------------------------------------------------------------------ */

struct onnx_ml_rows {
    uint64_t count, length;
};
/* Input 0, of one of these types, as [count, length]: one axis is one row. */
mm_status mmi_onnx_ml_rows(const struct onnx_inference *x, uint32_t types,
                           struct onnx_ml_rows *rows, mm_error *err);
struct onnx_ml_rows mmi_onnx_ml_rows_of(const struct onnx_tensor *tensor);
/* Row i of input 0, as f64 in `row`. */
void mmi_onnx_ml_row(const struct onnx_call *call, uint64_t i, double *row);
/* Output `output` is [rows, columns]. */
mm_status mmi_onnx_ml_output(struct onnx_inference *x, uint32_t output, int32_t dtype,
                             uint64_t rows, uint64_t columns, mm_error *err);
/* Numbers to row i of an output of `count` columns, in its type; `row` is written over. */
void mmi_onnx_ml_put(const struct onnx_call *call, uint32_t output, uint64_t i, double *row,
                     uint64_t count);
/* Bytes for `count` numbers more, 0 where there can be no such room. */
bool mmi_onnx_ml_scratch(struct onnx_inference *x, uint64_t count);

/* ---- Lists ----------------------------------------------------------------------------------- */

/* The one of the lists [from, to) that is given; none, or more, are refused. `what`: what they all
 * are, for the message. */
mm_status mmi_onnx_ml_only_one(const struct onnx_lists *lists, uint32_t from, uint32_t to,
                               const char *what, uint32_t *given, mm_error *err);
/* A list of the node with its data: input `input`; dtype MM_DTYPE_NONE: left out. */
static inline struct onnx_tensor mmi_onnx_list(const struct onnx_call *call, uint32_t input) {
    return mmi_onnx_call_input(call, input);
}
static inline uint64_t mmi_onnx_list_length(const struct onnx_inference *x, uint32_t input) {
    return mmi_onnx_has(x, input) ? x->inputs[input].elements : 0;
}

/* ---- Labels and scores ----------------------------------------------------------------------- */

/* Output 0 is a label for each row, of the type of the labels. */
mm_status mmi_onnx_ml_infer_labels(struct onnx_inference *x, uint32_t labels, uint64_t rows,
                                   mm_error *err);
/* Of a classifier, whose labels are its last input: the type of output 0. */
void mmi_onnx_ml_learn_labels(const struct onnx_learning *l, uint32_t output,
                              struct onnx_fact *fact);
void mmi_onnx_ml_put_label(const struct onnx_call *call, uint32_t labels, uint64_t row,
                           uint64_t label);
/* The first of the largest. */
uint64_t mmi_onnx_ml_largest(const double *scores, uint64_t count);

enum onnx_post_transform {
    ONNX_POST_NONE,
    ONNX_POST_SOFTMAX,
    ONNX_POST_LOGISTIC,
    ONNX_POST_SOFTMAX_ZERO,
    ONNX_POST_PROBIT
};
mm_status mmi_onnx_read_post_transform(const struct onnx_attributes *a, int32_t *kind,
                                       mm_error *err);
void mmi_onnx_post_transform(int32_t kind, double *scores, uint64_t count);
/* Both scores of two classes, from that of the second at scores[1]. as_probability: what is not
 * transformed is that of the second class. */
void mmi_onnx_two_classes(int32_t kind, bool as_probability, double scores[2]);

#endif
