/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_QUANTIZED_MATRIX_H
#define MMI_BACKENDS_ONNX_PASSES_QUANTIZED_MATRIX_H

/* Constant right-hand matrices of 8 or 4 bits, as files have them in several ways, in one form;
 * from there they become the panels of a Linear (operators/panels.h). */

#include <backends/onnx/passes/rewrite.h>

struct onnx_quantized_matrix {
    uint64_t depth, columns, block; /* block: rows of a column that share a scale */
    int32_t dtype;                  /* MM_I8, MM_I4 */
    int8_t *numbers;                /* [depth][columns] */
    float *scales;                  /* [depth / block rounded up][columns] */
    int8_t *zeros;                  /* like scales; NULL: all are 0 */
};

/* The matrix that DequantizeLinear makes f32 of; of its transpose, if `transposed`. depth 0: it is
 * none. Its data lie in `arena`. */
mm_status mmi_onnx_read_dequantized(const struct onnx_rewrite *rewrite, uint32_t value,
                                    bool transposed, struct onnx_arena *arena,
                                    struct onnx_quantized_matrix *matrix, mm_error *err);
/* That of MatMulNBits. */
mm_status mmi_onnx_read_nbits(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                              struct onnx_arena *arena, struct onnx_quantized_matrix *matrix,
                              mm_error *err);
/* New constants as inputs of a Linear; false: out of memory. */
bool mmi_onnx_put_quantized(struct onnx_model *model, const struct onnx_quantized_matrix *matrix,
                            uint32_t *inputs);

#endif
