/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_CONV_H
#define MMI_BACKENDS_ONNX_OPERATORS_CONV_H

/* Parameters of what slides a window over an image [N, C, spatial axes ...]: Conv, ConvTranspose
 * and the pools. */

#include <backends/onnx/operators/activation.h>
#include <backends/onnx/operators/operator.h>

#define ONNX_SPACE (MM_MAX_RANK - 2) /* spatial axes, at most */

enum onnx_auto_pad {
    ONNX_PAD_NOTSET = 0,
    ONNX_PAD_SAME_UPPER,
    ONNX_PAD_SAME_LOWER,
    ONNX_PAD_VALID
};

struct onnx_window {
    uint32_t axes;     /* spatial axes that the attributes name; 0: none named */
    int32_t auto_pad;  /* enum onnx_auto_pad */
    int32_t ceil_mode; /* pools: 0 or 1 */
    int32_t reserved;
    /* kernel[0] 0: as the weights say */
    int64_t kernel[ONNX_SPACE], strides[ONNX_SPACE], dilations[ONNX_SPACE];
    int64_t begin[ONNX_SPACE], end[ONNX_SPACE]; /* pads */
};

struct onnx_conv {
    struct onnx_window window;
    int64_t group;
    int64_t output_padding[ONNX_SPACE], output_shape[ONNX_SPACE]; /* ConvTranspose; 0: not given */
    struct onnx_activation activation;
};

struct onnx_pool {
    struct onnx_window window;
    int64_t p;                 /* LpPool */
    int32_t count_include_pad; /* AveragePool */
    int32_t column_major;      /* MaxPool: storage_order */
};

/* A window on an image of known size: kernel and pads are final, `out` is the size of the
 * result. */
struct onnx_placed {
    uint32_t axes;
    int64_t in[ONNX_SPACE], out[ONNX_SPACE];
    int64_t kernel[ONNX_SPACE], strides[ONNX_SPACE], dilations[ONNX_SPACE];
    int64_t begin[ONNX_SPACE], end[ONNX_SPACE];
};
mm_status mmi_onnx_read_window(const struct onnx_attributes *a, struct onnx_window *window,
                               mm_error *err);
/* image: [N, C, ...]; kernel: its spatial axes as the weights have them, NULL: the attributes
 * say. */
mm_status mmi_onnx_place_window(const struct onnx_window *window, const struct onnx_tensor *image,
                                const int64_t *kernel, struct onnx_placed *placed, mm_error *err);

#endif
