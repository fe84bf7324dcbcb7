/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_PADDED_ROWS_H
#define MMI_BACKENDS_ONNX_CPU_PADDED_ROWS_H

/* A copy of some rows of a channel with their padding, in which the inputs of neighbouring outputs
 * for one tap of the window are contiguous. For a column stride s each row is split into s phases:
 * columns 0, s, 2s ..., then 1, s + 1, 2s + 1 ..., and so on. */

#include <backends/onnx/cpu/window_2d.h>

struct onnx_padded_rows {
    struct onnx_window_2d window;
    float padding;
    uint64_t phases, phase_width; /* of a row; phase_width: columns of a phase */
    uint64_t row_stride;          /* a multiple of 16 */
    uint64_t out_rows;            /* output rows that it suffices for, a multiple of 4 */
    uint64_t floats;              /* of the copy */
};

/* Of about target_floats, but at least for four output rows. false: too large. */
bool mmi_onnx_padded_rows(const struct onnx_window_2d *window, float padding,
                          uint64_t target_floats, struct onnx_padded_rows *padded);
/* Copies the input of output rows [first, first + count), count <= padded->out_rows, rounded up to
 * a multiple of 4 rows, which may be beyond the last. */
void mmi_onnx_pad_rows(const struct onnx_padded_rows *padded, const struct onnx_simd *simd,
                       const float *channel, uint64_t first, uint64_t count, float *to);
/* offsets [taps]: as in onnx_window_row, relative to mmi_onnx_padded_row. */
void mmi_onnx_tap_offsets(const struct onnx_padded_rows *padded, uint64_t *offsets);
/* Where the input of the i-th output row starts. */
static inline uint64_t mmi_onnx_padded_row(const struct onnx_padded_rows *padded, uint64_t i) {
    return i * padded->window.rows.stride * padded->row_stride;
}

#endif
