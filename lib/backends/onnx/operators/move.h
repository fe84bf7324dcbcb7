/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MOVE_H
#define MMI_BACKENDS_ONNX_OPERATORS_MOVE_H

/* Copying a box of elements from one strided array to another: what nearly every operator that
 * only moves elements comes down to. Elements are moved by their width, whatever they mean. */

#include <backends/onnx/operators/operator.h>

#include <string.h>

#define ONNX_MOVE_AXES (2 * MM_MAX_RANK)

struct onnx_move_axis {
    uint64_t count; /* elements along it; 0: nothing moves */
    int64_t from,
        to; /* bytes from one to the next: 0 repeats an element, negative runs backwards */
};

struct onnx_move {
    uint32_t width; /* bytes of an element */
    uint32_t rank;  /* 0: one element */
    struct onnx_move_axis axes[ONNX_MOVE_AXES];
};

/* Append an axis; the last one is the innermost. Fastest where the last runs through `to` without
 * gaps. */
void mmi_onnx_move_axis(struct onnx_move *move, uint64_t count, int64_t from, int64_t to);
/* The two boxes do not overlap. Both may be NULL where nothing moves. */
void mmi_onnx_move(const struct onnx_move *move, const void *from, void *to);
/* `count` times the element at `element`. */
void mmi_onnx_fill(void *to, uint64_t count, const void *element, uint32_t width);
/* `count` rows of row_bytes, that lie from_step and to_step bytes apart. */
struct onnx_rows {
    uint64_t count, row_bytes, from_step, to_step;
};
void mmi_onnx_move_rows(const struct onnx_rows *rows, const void *from, void *to);

/* Row-major strides in bytes. Only of tensors that have elements: without, they may overflow. */
void mmi_onnx_byte_strides(const struct onnx_tensor *tensor, int64_t strides[MM_MAX_RANK]);

/* One element. */
static inline void mmi_onnx_copy(void *to, const void *from, uint32_t width) {
    switch (width) {
    case 1:
        memcpy(to, from, 1);
        break;
    case 2:
        memcpy(to, from, 2);
        break;
    case 4:
        memcpy(to, from, 4);
        break;
    case 8:
        memcpy(to, from, 8);
        break;
    default:
        memcpy(to, from, 16);
        break;
    }
}

/* MM_UNSUPPORTED, naming the type, where an input's elements are no whole bytes: strings, types of
 * fewer than 8 bits. */
mm_status mmi_onnx_check_movable(const struct onnx_inference *x, uint32_t input, mm_error *err);
/* MM_INVALID_MODEL, naming the type, where mmi_onnx_int_at and _float_at cannot read an input. */
mm_status mmi_onnx_check_number(const struct onnx_inference *x, uint32_t input, mm_error *err);
/* MM_INVALID_MODEL, naming the type, where an input holds neither i32 nor i64. */
mm_status mmi_onnx_check_indices(const struct onnx_inference *x, uint32_t input, mm_error *err);
/* mmi_onnx_axis with the sentence for an axis outside of [-rank, rank). */
mm_status mmi_onnx_check_axis(int64_t axis, uint32_t rank, uint32_t *out, mm_error *err);

/* Input i of a call with its data, for what reads numbers from it. */
static inline struct onnx_tensor mmi_onnx_call_input(const struct onnx_call *call, uint32_t i) {
    struct onnx_tensor tensor = {.dtype = MM_DTYPE_NONE};
    if (mmi_onnx_given(call, i)) {
        tensor = call->inputs[i];
        tensor.data = call->in[i];
        tensor.known = 1;
    }
    return tensor;
}

#endif
