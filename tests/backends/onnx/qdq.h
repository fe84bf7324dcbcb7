/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_QDQ_H
#define TESTS_BACKENDS_ONNX_QDQ_H

/* Graphs between DequantizeLinear and QuantizeLinear, and what folding them must keep. */

#include "graph_runner.h"

struct qdq_scaling {
    int32_t dtype, zero;
    float scale;
};
extern const struct qdq_scaling qdq_x_u8, qdq_x_i8, qdq_w_i8, qdq_y_u8, qdq_y_i8;
/* Scales from 1e-4 to 10; zero points often at the ends of the type. */
struct qdq_scaling qdq_random_scaling(struct bench *bench);
float qdq_random_scale(struct bench *bench, double least, double most);

/* ---- Building -------------------------------------------------------------------------------- */

uint32_t qdq_constant(struct bench *bench, int32_t dtype, uint32_t rank, const int64_t *shape,
                      const void *data);
/* Random constants of 8 or 32 bits; the latter small. */
uint32_t qdq_ints(struct bench *bench, int32_t dtype, const char *shape);
uint32_t qdq_zero(struct bench *bench, int32_t dtype, int32_t zero);

uint32_t qdq_dequantize(struct bench *bench, uint32_t x, const struct qdq_scaling *s);
uint32_t qdq_quantize(struct bench *bench, uint32_t x, const struct qdq_scaling *s);
/* An input of the graph, and random weights, dequantised. */
uint32_t qdq_input(struct bench *bench, const struct qdq_scaling *s, const char *shape);
uint32_t qdq_weights(struct bench *bench, const struct qdq_scaling *s, const char *shape);
/* With a scale for each of `count` slices of the axis, between a quarter and the whole of that of
 * s. */
uint32_t qdq_weights_along(struct bench *bench, const struct qdq_scaling *s, const char *shape,
                           int64_t axis, int64_t count);
/* Integers with the scale of x times that of w, dequantised. */
uint32_t qdq_bias(struct bench *bench, const struct qdq_scaling *x, const struct qdq_scaling *w,
                  const char *shape);

/* ---- Checking -------------------------------------------------------------------------------- */

/* The pass, and those behind it that fold constants and remove what is left over. */
mm_status qdq_fold(struct onnx_model *model, const struct onnx_pass_context *context,
                   mm_error *err);
void qdq_run(struct bench *bench, const struct onnx_tensor *inputs, struct onnx_tensor *out);

/* Elements of u8 and i8 of all outputs. */
struct qdq_seen {
    uint64_t elements, different;
    double most; /* quanta */
};
/* Fold a graph: no result may change by more than a quantum. */
struct qdq_seen qdq_apply(struct bench *bench);
/* The same with a last output, and the end of the bench. What is left are these nodes:
 * "QLinearConv QLinearAdd"; nearly all elements are the same. */
void qdq_expect(struct bench *bench, uint32_t result, const char *nodes);
/* Nothing becomes integer. */
void qdq_expect_not(struct bench *bench, uint32_t result);

#endif
