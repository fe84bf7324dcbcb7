/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_SUMMARY_H
#define MMI_BACKENDS_ONNX_STEPS_SUMMARY_H

/* What a person wants to know of a file: its opset, its operators and how often each occurs. */

#include <backends/onnx/graph/graph.h>

/* As two entries of the model's metadata, "onnx.opset" and "onnx.operators" ("Conv 62, Add 89,
 * ..."), in front of the file's own. Before resolving. */
mm_status mmi_onnx_summarise(struct onnx_model *model, mm_error *err);

#endif
