/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_ADAPT_H
#define MMI_BACKENDS_ONNX_GRAPH_ADAPT_H

/* Nodes of older opsets in the form of the newest, as far as that is more than the reading of an
 * attribute: attributes that became inputs, operators that have another name today. Where only the
 * meaning of an attribute changed, the operator's `read` looks at the opset. */

#include <backends/onnx/graph/graph.h>

/* A node of ai.onnx that is not resolved yet; constants before it are known. */
mm_status mmi_onnx_adapt(struct onnx_model *model, struct onnx_node *node, mm_error *err);

/* The number, the numbers or the tensor of an attribute as a constant. */
mm_status mmi_onnx_attribute_tensor(const struct onnx_attribute *attribute,
                                    struct onnx_tensor *tensor, mm_error *err);

#endif
