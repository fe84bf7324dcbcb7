/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ROTARY_H
#define MMI_BACKENDS_ONNX_OPERATORS_ROTARY_H

/* Rotary position embedding: pairs of elements of a head turned by an angle that its position and
 * their place in it decide. */

#include <backends/onnx/operators/number.h>

struct onnx_rotation {
    const float *cosines, *sines; /* [half]: of a position */
    uint64_t half, size;          /* 2 half elements of `size` are turned; the rest stays */
    bool interleaved;             /* pairs are neighbours, not the two halves */
};
/* One head; `to` may be `from`. */
void mmi_onnx_rotate(const struct onnx_rotation *rotation, const float *from, float *to);

#endif
