/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_FORMAT_LOAD_H
#define MMI_BACKENDS_ONNX_FORMAT_LOAD_H

/* A .onnx file, and the files of weights beside it, to a graph whose operators are not resolved
 * yet. */

#include <backends/onnx/graph/graph.h>

#define ONNX_OLDEST_OPSET 1 /* of ai.onnx */
#define ONNX_NEWEST_OPSET 27

/* Reads all of the source into model->arena, which is set up; weights stay there, in place where
 * they are aligned to their elements. Branches may be nested services->limits_nesting deep.
 *
 * MM_INVALID_MODEL: no ONNX file, or one that contradicts itself. MM_UNSUPPORTED, with a name: an
 * opset, an element type, a function, a sparse tensor, inputs and outputs other than tensors. What
 * was made until a failure goes with the arena. Blocks while it reads. */
mm_status mmi_onnx_load(const mm_source *source, const mm_services *services,
                        struct onnx_model *model, mm_error *err);

#endif
