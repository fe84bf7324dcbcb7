/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_CHANNELS_H
#define MMI_BACKENDS_ONNX_OPERATORS_CHANNELS_H

/* Images whose channels are the last axis, [N, ..., C], for kernels that want [N, C, ...]. */

#include <backends/onnx/operators/operator.h>

/* The shape of [N, ..., C] as [N, C, ...], and back. */
void mmi_onnx_channels_first(const struct onnx_tensor *image, int64_t shape[MM_MAX_RANK]);
void mmi_onnx_channels_last(const struct onnx_tensor *image, int64_t shape[MM_MAX_RANK]);
/* Elements of `width` bytes between [N, C, ...], the shape of `image`, and [N, ..., C]. */
void mmi_onnx_move_channels(const struct onnx_tensor *image, uint32_t width, bool to_last,
                            const void *from, void *to);

#endif
