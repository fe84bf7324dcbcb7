/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_DEPTHWISE_ROWS_H
#define MMI_BACKENDS_ONNX_CPU_DEPTHWISE_ROWS_H

/* What depthwise convolutions have in common, whatever their numbers are: channels of f32, of which
 * some output rows are made at a time from a padded copy of their input. */

#include <backends/onnx/cpu/padded_rows.h>

struct onnx_depthwise_plan {
    const struct onnx_simd *simd;
    struct onnx_padded_rows padded;
    uint64_t images, channels, multiplier; /* output channels; how many share an input channel */
    uint64_t taps, in_pixels, out_pixels;
    const uint64_t *offsets; /* [taps], for the run: mmi_onnx_tap_offsets */
};
/* false: not for such a window. */
bool mmi_onnx_plan_depthwise(const struct onnx_conv *params, const struct onnx_tensor *image,
                             const struct onnx_tensor *weights, struct onnx_depthwise_plan *plan);
/* How many tasks, where a result takes as long as `more` taps beyond its own. */
uint64_t mmi_onnx_depthwise_tasks(const struct onnx_depthwise_plan *plan, uint64_t more,
                                  const mm_services *services);
/* All but weights, bias and where the rows go; scratch: padded.floats. */
struct onnx_depthwise mmi_onnx_depthwise_channel(const struct onnx_depthwise_plan *plan,
                                                 const float *scratch);
/* dw->rows output rows, at most padded.out_rows, from row `first` on; scratch is that of dw. */
void mmi_onnx_depthwise_rows(const struct onnx_depthwise_plan *plan, const float *image,
                             uint64_t first, const struct onnx_depthwise *dw, float *scratch);

#endif
