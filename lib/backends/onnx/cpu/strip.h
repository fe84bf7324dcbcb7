/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_STRIP_H
#define MMI_BACKENDS_ONNX_CPU_STRIP_H

/* Some rows of a channel with their padding, copied so that each element of the window finds what
 * neighbouring results see of it side by side: where the window moves by s columns, a row has its
 * columns 0, s, 2s ... first, then 1, s + 1 ... */

#include <backends/onnx/cpu/plane.h>

struct onnx_strip {
    struct onnx_plane plane;
    float padding;
    uint64_t parts, width; /* of a row: parts of `width` columns */
    uint64_t row;          /* floats from one row to the next, a multiple of 16 */
    uint64_t results;      /* rows of results for which there is room, a multiple of 4 */
    uint64_t floats;       /* of the strip */
};

/* With `usual` floats or a little more, if the window allows it. false: it would be too large. */
bool mmi_onnx_strip(const struct onnx_plane *plane, float padding, uint64_t usual,
                    struct onnx_strip *strip);
/* What rows [first, first + count) of the results see of a channel, count <= strip->results, and
 * those that make `count` a multiple of 4; they may be beyond the last. */
void mmi_onnx_fill_strip(const struct onnx_strip *strip, const struct onnx_simd *simd,
                         const float *channel, uint64_t first, uint64_t count, float *to);
/* The window's elements, [rows * columns]: as onnx_taps has them, from where a row of results
 * begins to see: mmi_onnx_strip_row floats into the strip. */
void mmi_onnx_strip_offsets(const struct onnx_strip *strip, uint64_t *offsets);
static inline uint64_t mmi_onnx_strip_row(const struct onnx_strip *strip, uint64_t i) {
    return i * strip->plane.rows.stride * strip->row;
}

#endif
