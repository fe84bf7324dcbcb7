/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_CHANNELS_LAST_H
#define MMI_BACKENDS_ONNX_OPERATORS_CHANNELS_LAST_H

/* Operators of our own on images [N, spatial axes ..., C]: what passes/channels_last.c makes of
 * Conv and the pools. There a pixel's channels lie side by side, so a convolution is a product of
 * rows, and whatever works by channel works on whole vectors.
 *
 *     ChannelsLastConv: x, weights, bias [M], addend -> activation(conv(x) + bias + addend)
 *
 * Its parameters are struct onnx_conv; the window names its kernel. Weights, of f32, f16 or bf16
 * (the rest is f32), are [K, M] as ONNX_PANELS, rows in the order (tap, channel of the group),
 * groups side by side; or, of a depthwise one (`group` channels come in and go out), [taps, C]
 * plain. bias and addend may be left out; the addend is broadcast with the result.
 *
 *     ChannelsLastConvTranspose: x, weights, bias [M] -> activation(transposed conv(x) + bias)
 *
 * The same parameters and panels, of one group, at most ONNX_LAST_MAX_TAPS taps; taps in the order
 * of mmi_onnx_order_taps. */

#include <backends/onnx/operators/conv.h>

#define ONNX_LAST_MAX_TAPS 1024 /* ordering them takes the square of it */

enum { ONNX_LAST_CONV_X = 0, ONNX_LAST_CONV_WEIGHTS, ONNX_LAST_CONV_BIAS, ONNX_LAST_CONV_ADDEND };

/* An operator on images [N, C, ...], whose first inputs and output are to be [N, ..., C]: it runs
 * on copies in the scratch, so it needs no kernel of its own. */
struct onnx_moved {
    const struct onnx_operator *plain;
    uint32_t moved; /* inputs: the first ones */
};
mm_status mmi_onnx_infer_moved(struct onnx_inference *x, const struct onnx_moved *form,
                               mm_error *err);
mm_status mmi_onnx_run_moved(const struct onnx_call *call, const struct onnx_moved *form,
                             mm_error *err);

/* The window on an image [N, ..., C], whose kernel it names. */
mm_status mmi_onnx_place_last(const struct onnx_window *window, const struct onnx_tensor *image,
                              struct onnx_placed *placed, mm_error *err);

/* For ChannelsLastConvTranspose, as mmi_onnx_place_transposed. */
mm_status mmi_onnx_place_transposed_last(const struct onnx_conv *conv,
                                         const struct onnx_tensor *image,
                                         struct onnx_placed *placed, mm_error *err);
/* Taps (row-major) that results of one phase see stand side by side: those for which the rests of
 * tap * dilation by stride, row-major too, are 0, then 1, ... order: [taps]. */
void mmi_onnx_order_taps(const struct onnx_window *window, uint64_t taps, uint64_t *order);

/* Element `index` of weights, for the plain kernels. */
float mmi_onnx_weight_last(int32_t dtype, const void *weights, uint64_t index);

static inline bool mmi_onnx_is_depthwise_last(const struct onnx_conv *conv,
                                              const struct onnx_tensor *weights) {
    return conv->group > 1 && weights->layout == ONNX_PLAIN;
}

#endif
