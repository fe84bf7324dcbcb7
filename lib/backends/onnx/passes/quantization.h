/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_QUANTIZATION_H
#define MMI_BACKENDS_ONNX_PASSES_QUANTIZATION_H

/* Nodes between DequantizeLinear and QuantizeLinear, and what each fold of fold_quantization.c
 * asks about them. */

#include <backends/onnx/passes/rewrite.h>

/* Integers with their scale, as a DequantizeLinear reads or a QuantizeLinear writes them. Scales
 * are constant, f32, positive and far from what overflows; zero points have the type of the
 * integers. */
struct onnx_quantized {
    uint32_t value;                   /* u8, i8; behind DequantizeLinear i32, too */
    uint32_t scale, zero;             /* constants; zero ONNX_NO_VALUE: it is 0 */
    const struct onnx_tensor *scales; /* at most one axis */
    const struct onnx_tensor *zeros;  /* as many as there are scales; NULL: 0 */
    int32_t dtype;
    int64_t axis; /* of the integers, where there is more than one scale; may count from the end */
};
static inline bool mmi_onnx_is_single(const struct onnx_quantized *q) {
    return q->scales->elements == 1;
}
static inline bool mmi_onnx_is_bytes(const struct onnx_quantized *q) {
    return q->dtype == MM_U8 || q->dtype == MM_I8;
}
/* Of element i of the axis. */
float mmi_onnx_scale_at(const struct onnx_quantized *q, uint64_t i);
int32_t mmi_onnx_zero_at(const struct onnx_quantized *q, uint64_t i);
/* The least and the largest number of u8 or i8. */
int32_t mmi_onnx_byte_min(int32_t dtype);
int32_t mmi_onnx_byte_max(int32_t dtype);
/* Both have one scale, and it is the same; so are zero point and type. */
bool mmi_onnx_scaled_alike(const struct onnx_quantized *a, const struct onnx_quantized *b);

/* ---- Looking --------------------------------------------------------------------------------- */

/* The value that Identity nodes hand on as this one. */
uint32_t mmi_onnx_origin(const struct onnx_rewrite *rewrite, uint32_t value);
/* The node that makes it, before the pass; NULL: none does, or it is gone. */
struct onnx_node *mmi_onnx_maker(const struct onnx_rewrite *rewrite, uint32_t value);
/* An input of a node; ONNX_NO_VALUE: it is left out. */
static inline uint32_t mmi_onnx_input(const struct onnx_node *node, uint32_t input) {
    return input < node->input_count ? node->inputs[input] : ONNX_NO_VALUE;
}

/* The shape of a constant that has elements, or of what a QuantizeLinear and a Transpose will make
 * of one. */
bool mmi_onnx_find_shape(const struct onnx_rewrite *rewrite, uint32_t value,
                         struct onnx_tensor *shape);
/* The shape that a Transpose makes of another; false: its perm is none of that many axes. */
struct onnx_transpose;
bool mmi_onnx_find_transposed(const struct onnx_transpose *transpose,
                              const struct onnx_tensor *from, struct onnx_tensor *shape);
/* What f32 value this is made from by DequantizeLinear. false: it is not, or in a way that no
 * integer operator has. */
bool mmi_onnx_find_dequantized(const struct onnx_rewrite *rewrite, uint32_t value,
                               struct onnx_quantized *q);
/* What a QuantizeLinear with one scale makes, u8 or i8. */
bool mmi_onnx_read_quantize(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                            struct onnx_quantized *q);

/* The QuantizeLinear that alone uses a value, perhaps through a Relu or Clip that changes nothing
 * because the type of the result saturates there or earlier. */
struct onnx_ending {
    struct onnx_node *limit, *quantize; /* limit NULL: there is none */
    struct onnx_quantized y;
};
bool mmi_onnx_find_ending(const struct onnx_rewrite *rewrite, uint32_t value,
                          struct onnx_ending *ending);

/* ---- Replacing ------------------------------------------------------------------------------- */

/* This output of a node becomes what the ending made, which is removed. */
void mmi_onnx_take_ending(const struct onnx_ending *ending, uint32_t *output);
/* inputs[0], [1]: scale and zero point. false: out of memory. */
bool mmi_onnx_put_scale(struct onnx_model *model, const struct onnx_quantized *q, uint32_t *inputs);
/* inputs[0], [1], [2]: the integers, scale and zero point. */
bool mmi_onnx_put_scaled(struct onnx_model *model, const struct onnx_quantized *q,
                         uint32_t *inputs);
/* A constant of one byte. ONNX_NO_VALUE: out of memory. */
uint32_t mmi_onnx_new_byte(struct onnx_model *model, int32_t dtype, int32_t number);

/* ---- The folds ------------------------------------------------------------------------------- */

/* Each looks at one node of a graph and folds it if it can; *place is what stands there then. */
mm_status mmi_onnx_fold_quantized_product(struct onnx_rewrite *rewrite, struct onnx_node **place,
                                          mm_error *err);
mm_status mmi_onnx_fold_quantized_function(struct onnx_rewrite *rewrite, struct onnx_node **place,
                                           mm_error *err);
mm_status mmi_onnx_fold_quantized_move(struct onnx_rewrite *rewrite, struct onnx_node **place,
                                       mm_error *err);

#endif
