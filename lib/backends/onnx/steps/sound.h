/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_SOUND_H
#define MMI_BACKENDS_ONNX_STEPS_SOUND_H

/* What importer and passes leave, and all that runs a graph relies on: values are made before they
 * are read, and once; nodes have as many inputs and outputs as their operators take. */

#include <backends/onnx/graph/graph.h>

/* MM_CORRUPT: it is not so. MM_NO_MEMORY. Constants have no elements yet, or any; parameters are
 * looked at where they are read (mmi_onnx_check_params). */
mm_status mmi_onnx_check_sound(const struct onnx_model *model, mm_error *err);

/* A declared input or output, but for its name; it may be of no type. */
bool mmi_onnx_info_is_sound(const mm_value_info *info);
/* A constant's type, and that its bytes follow from layout and shape. */
bool mmi_onnx_constant_is_sound(const struct onnx_tensor *tensor);

#endif
