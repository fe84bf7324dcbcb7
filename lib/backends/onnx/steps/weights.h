/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_WEIGHTS_H
#define MMI_BACKENDS_ONNX_STEPS_WEIGHTS_H

/* Which constants are weights, and where they lie: in the order in which a run first needs them,
 * each at a multiple of 64 bytes, in groups that a run can wait for one by one. */

#include <backends/onnx/steps/description.h>

/* Give every constant that some node uses, and that is not small, its place. */
mm_status mmi_onnx_place_weights(const struct onnx_model *model, struct onnx_weights *weights,
                                 mm_error *err);
/* Put them into the sink, with the ends of groups. */
mm_status mmi_onnx_write_weights(const struct onnx_model *model, const struct onnx_weights *weights,
                                 const mm_sink *sink, mm_error *err);

#endif
