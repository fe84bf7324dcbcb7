/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_GRANULARITY_H
#define MMI_BACKENDS_ONNX_OPERATORS_GRANULARITY_H

/* Which scale and zero point an element of a quantised tensor has: there is one for all, one for
 * each slice of an axis, or one for each block of elements along an axis. */

#include <backends/onnx/operators/operator.h>

struct onnx_granularity {
    uint64_t length, inner; /* of the axis; elements behind it */
    uint64_t block;         /* elements of the axis that share a scale */
    uint64_t blocks;        /* scales along the axis */
    bool single;            /* one scale for all */
    bool each;              /* the other axes have scales of their own */
};

struct onnx_granularity_rule {
    int64_t axis, block_size; /* attributes; block_size 0: none */
};
/* MM_INVALID_MODEL where a scale of this shape does not fit the tensor. */
mm_status mmi_onnx_find_granularity(const struct onnx_granularity_rule *rule,
                                    const struct onnx_tensor *tensor,
                                    const struct onnx_tensor *scale, struct onnx_granularity *to,
                                    mm_error *err);
/* The scales (or zero points) of elements first .. first + count. */
void mmi_onnx_spread(const struct onnx_granularity *granularity, const struct onnx_tensor *scale,
                     uint64_t first, uint64_t count, double *to);

#endif
