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

#define ONNX_WINDOW_LIMITS(type, window)                                                           \
    ONNX_BETWEEN("kernel_shape", type, window.axes, 0, ONNX_SPACE),                                \
        ONNX_BETWEEN("auto_pad", type, window.auto_pad, 0, ONNX_PAD_VALID),                        \
        ONNX_ALL_BETWEEN("kernel_shape", type, window.kernel, 0, INT32_MAX),                       \
        ONNX_ALL_BETWEEN("strides", type, window.strides, 1, INT32_MAX),                           \
        ONNX_ALL_BETWEEN("dilations", type, window.dilations, 1, INT32_MAX),                       \
        ONNX_ALL_BETWEEN("pads", type, window.begin, 0, INT32_MAX),                                \
        ONNX_ALL_BETWEEN("pads", type, window.end, 0, INT32_MAX)

struct onnx_conv {
    struct onnx_window window;
    int64_t group;
    int64_t output_padding[ONNX_SPACE], output_shape[ONNX_SPACE]; /* ConvTranspose; 0: not given */
    struct onnx_activation activation;
    int32_t no_winograd; /* 1: ChannelsLastConv adds up products alone */
};

#define ONNX_CONV_LIMITS                                                                           \
    ONNX_WINDOW_LIMITS(struct onnx_conv, window),                                                  \
        ONNX_AT_LEAST("group", struct onnx_conv, group, 1),                                        \
        ONNX_ALL_BETWEEN("output_padding", struct onnx_conv, output_padding, 0, INT32_MAX),        \
        ONNX_ALL_BETWEEN("output_shape", struct onnx_conv, output_shape, 0, INT32_MAX)

struct onnx_pool {
    struct onnx_window window;
    int64_t p;                 /* LpPool */
    int32_t count_include_pad; /* AveragePool */
    int32_t column_major;      /* MaxPool: storage_order */
};

/* ---- Attributes ------------------------------------------------------------------------------ */

/* All but ceil_mode; dilations are there from an opset on. */
mm_status mmi_onnx_read_window(const struct onnx_attributes *a, int64_t dilations_since,
                               struct onnx_window *window, mm_error *err);

/* An attribute with so many numbers for each axis, all of them `min` or more. */
struct onnx_axes_attribute {
    const char *name;
    uint32_t per_axis;
    int64_t min;
};
/* Absent: `to` stays as it is. window->axes is what earlier ones have named, and is set. */
mm_status mmi_onnx_read_axes(const struct onnx_attributes *a,
                             const struct onnx_axes_attribute *what, struct onnx_window *window,
                             int64_t *to, mm_error *err);

/* Conv and ConvTranspose: all but output_padding and output_shape. */
mm_status mmi_onnx_read_conv(const struct onnx_attributes *a, struct onnx_conv *conv,
                             mm_error *err);

/* ---- On an image ----------------------------------------------------------------------------- */

/* A window on an image of known size: kernel and pads are final, `out` is the size of the
 * result. */
struct onnx_placed {
    uint32_t axes;
    int64_t in[ONNX_SPACE], out[ONNX_SPACE];
    int64_t kernel[ONNX_SPACE], strides[ONNX_SPACE], dilations[ONNX_SPACE];
    int64_t begin[ONNX_SPACE], end[ONNX_SPACE];
};

/* image: [N, C, ...]; kernel: its spatial axes as the weights have them, NULL: the attributes
 * say. */
mm_status mmi_onnx_place_window(const struct onnx_window *window, const struct onnx_tensor *image,
                                const int64_t *kernel, struct onnx_placed *placed, mm_error *err);
/* For ConvTranspose, which is the same window seen from the other end: placed->in is the size of
 * its result, placed->out that of its input. */
mm_status mmi_onnx_place_transposed(const struct onnx_conv *conv, const struct onnx_tensor *image,
                                    const int64_t *kernel, struct onnx_placed *placed,
                                    mm_error *err);
/* What both begin with: everything but `out` and what follows from auto_pad. */
mm_status mmi_onnx_start_window(const struct onnx_window *window, const struct onnx_tensor *image,
                                const int64_t *kernel, struct onnx_placed *placed, mm_error *err);
/* Pads that make `total` (below 0: as 0); an odd one goes to the end if `upper`. */
void mmi_onnx_share_pads(int64_t total, bool upper, int64_t *begin, int64_t *end);

/* Elements from the first to the last that a window covers on an axis. */
static inline int64_t mmi_onnx_span(const struct onnx_placed *placed, uint32_t axis) {
    return (placed->kernel[axis] - 1) * placed->dilations[axis] + 1;
}

/* Conv and ConvTranspose: types and ranks of image, weights and bias, where `made` channels come
 * out. */
mm_status mmi_onnx_check_conv(const struct onnx_inference *x, int64_t made, mm_error *err);
/* Set the output, and room for a panel of so many rows and the offsets of so many taps. */
mm_status mmi_onnx_conv_output(struct onnx_inference *x, int64_t channels, const int64_t *space,
                               mm_error *err);
mm_status mmi_onnx_conv_scratch(struct onnx_inference *x, uint64_t taps, uint64_t rows,
                                mm_error *err);

/* ---- What the plain kernels walk through ----------------------------------------------------- */

#define ONNX_TAPS 16 /* results that are computed side by side */
/* In place of offsets. */
#define ONNX_IN_PADDING (-1)
#define ONNX_BEYOND (-2) /* the padding too: where the last window of ceil_mode hangs over */

/* Elements of the kernel; MM_UNSUPPORTED if there are millions of them. */
mm_status mmi_onnx_count_taps(const struct onnx_placed *placed, uint64_t *taps, mm_error *err);
/* Where the elements lie that `count` (1 .. ONNX_TAPS) results see, from result `first` (row-major)
 * on: offsets[tap * ONNX_TAPS + i] into the plane of a channel, ONNX_IN_PADDING, or ONNX_BEYOND,
 * also for i >= count. */
void mmi_onnx_find_taps(const struct onnx_placed *placed, uint64_t first, uint32_t count,
                        int64_t *offsets);
/* The ONNX_TAPS elements that one tap sees, side by side: where they are, or copied to `to` with 0
 * for padding. width: bytes of an element. */
const void *mmi_onnx_see(const void *plane, const int64_t *offsets, uint32_t width, void *to);

#endif
