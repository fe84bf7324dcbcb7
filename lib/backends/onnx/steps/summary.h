/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_SUMMARY_H
#define MMI_BACKENDS_ONNX_STEPS_SUMMARY_H

/* What a person wants to know of a file, as entries of the model's metadata in front of the file's
 * own: its opset, its operators and how often each occurs; what became of them, and its weights. */

#include <backends/onnx/graph/graph.h>

/* "onnx.opset" and "onnx.operators" ("Conv 62, Add 89, ..."). Before resolving. */
mm_status mmi_onnx_summarise(struct onnx_model *model, mm_error *err);
/* "onnx.passes" ("142 nodes, 96 left: constants folded -30, ...") and "onnx.weights" ("f32 45
 * tensors 1234567 bytes, i64 ..."): all constants, the largest type first. After the passes. */
mm_status mmi_onnx_summarise_prepared(struct onnx_model *model, mm_error *err);

#endif
