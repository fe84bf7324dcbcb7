/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_MISSING_H
#define MMI_BACKENDS_ONNX_GRAPH_MISSING_H

/* Operators of a file that are not there: all of them at once, with what can be done about it. */

#include <backends/onnx/operators/operator.h>

/* The operator that a node of a file names; NULL: not there. */
const struct onnx_operator *mmi_onnx_operator_of(const struct onnx_node *node);
/* MM_UNSUPPORTED: names this node's operator, and the others that are missing too. */
mm_status mmi_onnx_fail_missing(struct onnx_model *model, const struct onnx_node *node,
                                mm_error *err);
/* A line of model->log for each that is missing: how many nodes, the first one, an advice. */
void mmi_onnx_tell_missing(struct onnx_model *model);

#endif
