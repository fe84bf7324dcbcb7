/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_PANELS_H
#define MMI_BACKENDS_ONNX_OPERATORS_PANELS_H

/* Constant matrices [K, N] as panels of ONNX_NR columns, of f32 or of a type that takes less memory
 * and is widened, a few rows of one panel at a time, when it is multiplied by.
 *
 * An element of f32, f16, bf16 or i8 lies where graph/tensor.h says; i4 as words [N / 16 rounded
 * up][K / 8 rounded up][16] of 32 bits, each of which has eight rows of its column, the first one
 * in the low bits. Integers are (element - zero) * scale, with a scale for `block` rows of a
 * column; scales and zeros are panels of the matrix [K / block rounded up, N]. */

#include <backends/onnx/operators/matmul.h>
#include <base/checked.h>

#define ONNX_I4_ROWS 8u /* of a word */

struct onnx_panels {
    int32_t dtype;
    const void *at;
    uint64_t depth, block; /* K; block 0: there are no scales */
    const float *scales;
    const int8_t *zeros; /* NULL: they are 0 */
};

/* Types that panels may have: of floats, or of integers that need scales. */
bool mmi_onnx_has_panels(int32_t dtype);
bool mmi_onnx_has_float_panels(int32_t dtype);
bool mmi_onnx_has_scaled_panels(int32_t dtype);
/* UINT64_MAX on overflow. */
uint64_t mmi_onnx_narrow_panel_bytes(int32_t dtype, uint64_t k, uint64_t n);

/* A plain matrix [K, N] of f32, f16, bf16 or i8 to panels of its type. */
void mmi_onnx_pack_narrow(int32_t dtype, const void *from, uint64_t k, uint64_t n, void *panels);
/* i4, each in a byte of its own. */
void mmi_onnx_pack_i4(const int8_t *from, uint64_t k, uint64_t n, void *panels);

/* The panels of a Linear (matmul.h). */
struct onnx_call;
struct onnx_panels mmi_onnx_linear_panels(const struct onnx_call *call);
/* Where the rows of a panel from `row` on lie; of i4, `row` is a multiple of ONNX_I4_ROWS. */
const void *mmi_onnx_panel_row(const struct onnx_panels *panels, uint64_t panel, uint64_t row);
/* Which of the scales and zeros those of a panel for a row are. */
static inline uint64_t mmi_onnx_panel_scale(const struct onnx_panels *panels, uint64_t panel,
                                            uint64_t row) {
    uint64_t rows = mmi_div_up(panels->depth, panels->block);
    return (panel * rows + row / panels->block) * ONNX_NR;
}
/* All rows of a panel as f32, in plain C: [depth][ONNX_NR]. */
void mmi_onnx_widen_panel(const struct onnx_panels *panels, uint64_t panel, float *to);

#endif
