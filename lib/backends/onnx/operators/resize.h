/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_RESIZE_H
#define MMI_BACKENDS_ONNX_OPERATORS_RESIZE_H

/* Resize: every axis by itself, from elements of the image near to where an element of the result
 * comes from. */

#include <backends/onnx/operators/operator.h>

enum onnx_resize_mode { ONNX_RESIZE_NEAREST = 0, ONNX_RESIZE_LINEAR, ONNX_RESIZE_CUBIC };

enum onnx_resize_coordinates {
    ONNX_RESIZE_HALF_PIXEL = 0,
    ONNX_RESIZE_HALF_PIXEL_SYMMETRIC,
    ONNX_RESIZE_PYTORCH_HALF_PIXEL,
    ONNX_RESIZE_ALIGN_CORNERS,
    ONNX_RESIZE_ASYMMETRIC,
    ONNX_RESIZE_TF_HALF_PIXEL, /* tf_half_pixel_for_nn, until opset 12 */
    ONNX_RESIZE_CROP           /* tf_crop_and_resize */
};

enum onnx_resize_nearest {
    ONNX_RESIZE_ROUND_DOWN = 0, /* halves down */
    ONNX_RESIZE_ROUND_UP,       /* halves up */
    ONNX_RESIZE_FLOOR,
    ONNX_RESIZE_CEIL,
    ONNX_RESIZE_SIMPLE /* until opset 10: floor, or ceil where an axis shrinks */
};

enum onnx_resize_policy {
    ONNX_RESIZE_STRETCH = 0,
    ONNX_RESIZE_NOT_LARGER,
    ONNX_RESIZE_NOT_SMALLER
};

struct onnx_resize {
    int32_t mode, coordinates, nearest, policy; /* the enums above */
    int32_t antialias, exclude_outside;
    float cubic_a, extrapolation;
    uint32_t axis_count; /* 0: all axes of the image */
    int64_t axes[MM_MAX_RANK];
};

#define ONNX_RESIZE_LIMITS                                                                         \
    ONNX_LIMITS(ONNX_BETWEEN("mode", struct onnx_resize, mode, 0, 2),                              \
                ONNX_BETWEEN("coordinate_transformation_mode", struct onnx_resize, coordinates, 0, \
                             ONNX_RESIZE_CROP),                                                    \
                ONNX_BETWEEN("nearest_mode", struct onnx_resize, nearest, 0, ONNX_RESIZE_SIMPLE),  \
                ONNX_BETWEEN("keep_aspect_ratio_policy", struct onnx_resize, policy, 0, 2),        \
                ONNX_BETWEEN("axes", struct onnx_resize, axis_count, 0, MM_MAX_RANK))

/* Inputs; one of scales and sizes. An empty tensor counts as left out. */
enum { ONNX_RESIZE_X = 0, ONNX_RESIZE_ROI, ONNX_RESIZE_SCALES, ONNX_RESIZE_SIZES };

/* One axis of the image. */
struct onnx_resize_axis {
    int64_t in, out;
    float scale;
    float width;      /* of the result; not whole where a scale says so */
    float start, end; /* ONNX_RESIZE_CROP: what of it is seen, as parts of its length */
    bool kept;        /* goes into the result as it is */
    /* The scale is ratio_out / ratio_in exactly; 0: a rounded number is all there is of it. */
    int64_t ratio_in, ratio_out;
};
/* All axes of the image. inputs: with their elements as far as they are known; without those of roi
 * all is seen. Leaves out what is for the plain kernel. */
mm_status mmi_onnx_resize_axes(const struct onnx_resize *resize, const struct onnx_tensor *inputs,
                               uint32_t input_count, struct onnx_resize_axis *axes, mm_error *err);

/* Element i of an axis of the result is the sum over t < taps of weights[i * taps + t] times
 * element indices[i * taps + t] of the image; NEAREST: that element, without weights. Not for
 * ONNX_RESIZE_CROP, which sees what is no element. */
uint64_t mmi_onnx_resample_taps(const struct onnx_resize *resize,
                                const struct onnx_resize_axis *axis);
void mmi_onnx_resample_axis(const struct onnx_resize *resize, const struct onnx_resize_axis *axis,
                            int64_t *indices, double *weights);

/* The plain kernel: what it wants of scratch (UINT64_MAX on overflow), and itself. */
uint64_t mmi_onnx_resample_scratch(const struct onnx_resize *resize,
                                   const struct onnx_resize_axis *axes, uint32_t rank);
void mmi_onnx_resample(const struct onnx_call *call, const struct onnx_resize_axis *axes);

#endif
