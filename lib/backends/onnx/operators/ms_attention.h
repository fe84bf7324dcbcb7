/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MS_ATTENTION_H
#define MMI_BACKENDS_ONNX_OPERATORS_MS_ATTENTION_H

/* What Attention and QAttention of com.microsoft share: all but the product that makes queries,
 * keys and values of the input. */

#include <backends/onnx/operators/ms_heads.h>

/* Those of mmi_onnx_read_ms, and what is refused. */
mm_status mmi_onnx_read_ms_attention(const struct onnx_attributes *a, struct onnx_ms_params *p,
                                     mm_error *err);

/* Writes `made` [batch, rows, q + k + v]. */
typedef void (*onnx_ms_project)(const struct onnx_call *call, const void *ctx, float *made,
                                void *scratch);
/* The call of an Attention on f32; only `project` looks at the data of inputs 0 to 2. */
mm_status mmi_onnx_run_ms_attention(const struct onnx_call *call, onnx_ms_project project,
                                    const void *ctx, mm_error *err);

#endif
