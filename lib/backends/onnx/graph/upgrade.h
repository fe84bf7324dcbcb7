/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_UPGRADE_H
#define MMI_BACKENDS_ONNX_GRAPH_UPGRADE_H

/* Opset upgrade: a node of an older opset becomes one of the newest, where an attribute became an
 * input or an operator was renamed. Where only the meaning of an attribute changed, the operator's
 * `read` looks at the opset instead. */

#include <backends/onnx/graph/graph.h>

/* A node of ai.onnx that is not resolved yet; constants before it are known. */
mm_status mmi_onnx_upgrade(struct onnx_model *model, struct onnx_node *node, mm_error *err);

/* The number, text, numbers, texts or tensor of an attribute as a constant. */
mm_status mmi_onnx_attribute_tensor(const struct onnx_attribute *attribute,
                                    struct onnx_tensor *tensor, mm_error *err);

#endif
