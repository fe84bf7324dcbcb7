/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_EINSUM_H
#define MMI_BACKENDS_ONNX_OPERATORS_EINSUM_H

/* An equation of Einsum, read, and what it means for the shapes of its inputs. */

#include <backends/onnx/operators/operator.h>

#define ONNX_EINSUM_INPUTS 16
#define ONNX_EINSUM_TEXT 240
/* Labels are numbers: letters in the order of their codes, then the axes that an ellipsis stands
 * for, the last of them last. */
#define ONNX_EINSUM_LETTERS 52
#define ONNX_EINSUM_LABELS (ONNX_EINSUM_LETTERS + MM_MAX_RANK)

struct onnx_einsum {
    char equation[ONNX_EINSUM_TEXT]; /* without spaces */
};

/* Labels one after the other. */
struct onnx_term {
    uint32_t count;
    uint8_t at[MM_MAX_RANK];
};

struct onnx_equation {
    struct onnx_term inputs[ONNX_EINSUM_INPUTS], output;
    int64_t size[ONNX_EINSUM_LABELS];
};

/* MM_INVALID_MODEL, saying where, if this is no equation for these inputs. */
mm_status mmi_onnx_read_equation(const char *text, const struct onnx_tensor *inputs, uint32_t count,
                                 struct onnx_equation *equation, mm_error *err);

#endif
