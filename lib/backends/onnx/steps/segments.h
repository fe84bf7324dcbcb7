/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_SEGMENTS_H
#define MMI_BACKENDS_ONNX_STEPS_SEGMENTS_H

/* Plans of the segments after the first, of all graphs of a model: made by a run that reaches one
 * with shapes that were not there before, and kept for those that come next, up to a number. Any
 * thread. */

#include <backends/onnx/steps/steps.h>
#include <base/lock.h>

#define ONNX_KEPT_PLANS 64

struct onnx_segment;
struct onnx_segments {
    struct mmi_lock lock;
    struct onnx_segment *newest; /* linked; they stay until the end */
    uint32_t count;
};

void mmi_onnx_segments_init(struct onnx_segments *segments);
void mmi_onnx_segments_fini(struct onnx_segments *segments);
/* The plan from `start` on. *own: there was no room to keep it; the caller frees it by
 * mmi_onnx_segment_free. */
mm_status mmi_onnx_find_segment(struct onnx_segments *segments, const struct onnx_start *start,
                                const struct onnx_steps **steps, struct onnx_segment **own,
                                mm_error *err);
void mmi_onnx_segment_free(struct onnx_segment *segment); /* NULL does nothing */

#endif
