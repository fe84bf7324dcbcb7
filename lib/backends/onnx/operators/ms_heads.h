/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MS_HEADS_H
#define MMI_BACKENDS_ONNX_OPERATORS_MS_HEADS_H

/* What Attention and MultiHeadAttention of com.microsoft share: once queries, keys and values are
 * there as f32, with masks of integers that stand for numbers to add. */

#include <backends/onnx/operators/heads.h>

struct onnx_ms_params {
    int64_t heads, sizes[3]; /* sizes: hidden sizes of q, k and v; 0: not given */
    float scale, filter;     /* filter: added where a mask has 0 */
    int32_t scaled, causal;
};
/* ms: where they are in `type`, with a point behind it. */
#define ONNX_MS_LIMITS(type, ms)                                                                   \
    ONNX_BETWEEN("num_heads", type, ms heads, 1, INT32_MAX),                                       \
        ONNX_ALL_BETWEEN("qkv_hidden_sizes", type, ms sizes, 0, INT32_MAX)
/* num_heads, scale, mask_filter_value, unidirectional. */
mm_status mmi_onnx_read_ms(const struct onnx_attributes *a, struct onnx_ms_params *p,
                           mm_error *err);

struct onnx_ms_sizes {
    uint64_t batch, heads, rows, past, fresh, total, size, v_size;
};

/* MM_TOO_LARGE where rows of all heads would overflow. */
mm_status mmi_onnx_check_ms_sizes(const struct onnx_ms_sizes *s, mm_error *err);

/* An input of integers as a mask: lengths [batch], ends and starts [2 batch], or 0 and 1 by key
 * [batch, total] or [batch, rows, total]. MM_UNSUPPORTED, MM_INVALID_MODEL. */
mm_status mmi_onnx_check_ms_mask(const struct onnx_tensor *mask, const struct onnx_ms_sizes *s,
                                 mm_error *err);
/* Numbers that it becomes. */
uint64_t mmi_onnx_ms_mask_elements(const struct onnx_tensor *mask, const struct onnx_ms_sizes *s);

struct onnx_ms_run {
    const struct onnx_ms_params *p;
    struct onnx_ms_sizes s;
    const float *q, *k, *v, *past_k, *past_v; /* past: NULL, or [batch, heads, past, size] */
    struct onnx_heads of_q, of_k, of_v;
    struct onnx_tensor mask;      /* with data; dtype MM_DTYPE_NONE: none */
    struct onnx_tensor bias;      /* of the scores, [batch or 1, heads or 1, rows, total], f32 */
    float *mask_room;             /* [mmi_onnx_ms_mask_elements] */
    float *out;                   /* [batch, rows, heads * v_size] */
    float *present_k, *present_v; /* [batch, heads, total, size], or NULL */
    float *scores;                /* [batch, heads, rows, total], or NULL */
    void *scratch;                /* mmi_onnx_attend_bytes */
};
mm_status mmi_onnx_run_ms(const struct onnx_ms_run *run, mm_error *err);

#endif
