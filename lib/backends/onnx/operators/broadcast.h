/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_BROADCAST_H
#define MMI_BACKENDS_ONNX_OPERATORS_BROADCAST_H

/* numpy's broadcasting. An operand is an input seen as the elements of the output, in their order;
 * a kernel asks each of its operands for the same stretch of them:
 *
 *     for (uint64_t at = 0, count; at < elements; at += count) {
 *         count = mmi_onnx_stretch_count(operands, 2, elements, at);
 *         struct onnx_stretch a = mmi_onnx_operand_at(&operands[0], at, count, buffer_a);
 *         struct onnx_stretch b = mmi_onnx_operand_at(&operands[1], at, count, buffer_b);
 *         ... out[at + i] = f(a[i * a.step], b[i * b.step]), i in [0, count)
 *     }
 *
 * Any stretch may be asked for at any time, also by several threads. The output may lie where an
 * input of its shape lies. */

#include <backends/onnx/operators/functions.h>
#include <backends/onnx/operators/operator.h>

/* Inputs [0, input_count) that are there, broadcast, as the shape of output 0, of type dtype.
 * MM_INVALID_MODEL, with both shapes, where they do not fit. */
mm_status mmi_onnx_infer_broadcast(struct onnx_inference *x, int32_t dtype, mm_error *err);

struct onnx_operand {
    const uint8_t *data;
    uint32_t width; /* bytes of an element: 1, 2, 4 or 8 */
    /* The output's axes, innermost first, as far as they differ for this input: neighbours along
     * which it runs on, or is repeated, are one. At least one. Along axis 0 step is width or 0. */
    uint32_t rank;
    uint64_t count[MM_MAX_RANK];
    uint64_t step[MM_MAX_RANK]; /* bytes; 0: repeated */
};

void mmi_onnx_operand_set(struct onnx_operand *operand, const struct onnx_tensor *output,
                          const struct onnx_tensor *input, const void *data);

/* Elements that a buffer for a stretch has room for. */
#define ONNX_STRETCH 512

/* How many elements from `at` on are best asked for at once: those up to the next place where an
 * operand jumps, or ONNX_STRETCH where that is soon. 1 or more for at < elements. */
uint64_t mmi_onnx_stretch_count(const struct onnx_operand *operands, uint32_t operand_count,
                                uint64_t elements, uint64_t at);
/* Elements [first, first + count), gathered in `buffer` where the operand jumps between them; only
 * then is it used, and count must be at most ONNX_STRETCH. */
struct onnx_stretch mmi_onnx_operand_at(const struct onnx_operand *operand, uint64_t first,
                                        uint64_t count, void *buffer);

#endif
