/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_TENSOR_H
#define MMI_BACKENDS_ONNX_GRAPH_TENSOR_H

/* What an edge of a graph carries: a typed array, row-major without gaps. */

#include <modelmesh/backend.h>

/* How the bytes of a constant lie. Only passes/pack.c makes others than PLAIN, and only for kernels
 * of cpu/ that read them; `shape` stays that of the matrix. */
enum onnx_layout {
    ONNX_PLAIN = 0,
    /* a matrix [K, N] as panels [N / 16 rounded up][K][16], columns beyond N are 0; of its type
     * (operators/panels.h) */
    ONNX_PANELS = 1
};

/* An element of a tensor of strings. The text is not NUL-terminated, and outlives the tensor: it is
 * the request's, the model's, or the run's. */
struct onnx_string {
    const char *at;
    uint64_t bytes;
};

struct onnx_tensor {
    int32_t dtype; /* mm_dtype; MM_DTYPE_NONE: there is none (an optional input left out) */
    uint32_t rank;
    int64_t shape[MM_MAX_RANK]; /* >= 0 */
    uint64_t elements;          /* product of the shape; 1 for a scalar */
    uint64_t bytes;             /* of the data, as they lie */
    /* aligned to 64, of a constant of the file to its element; NULL: not known (yet), or bytes
     * is 0 */
    const void *data;
    uint32_t layout; /* enum onnx_layout */
    uint32_t known;  /* 1: the elements are known, also where there are none of them */
};

/* Set dtype, rank and shape and what follows from them; data stays unknown. MM_INVALID_MODEL: too
 * many axes, a negative one, or more bytes than there can be. */
mm_status mmi_onnx_tensor_set(struct onnx_tensor *tensor, int32_t dtype, uint32_t rank,
                              const int64_t *shape, mm_error *err);

#define ONNX_SHAPE_TEXT 100
/* Its shape, cut at the end if it is long; returns text. */
const char *mmi_onnx_shape_text(uint32_t rank, const int64_t *shape, char text[ONNX_SHAPE_TEXT]);

/* Element i of a known integer, bool or float tensor, converted. */
int64_t mmi_onnx_int_at(const struct onnx_tensor *tensor, uint64_t i);
double mmi_onnx_float_at(const struct onnx_tensor *tensor, uint64_t i);

/* Axis in [-rank, rank) to [0, rank); false: outside. */
bool mmi_onnx_axis(int64_t axis, uint32_t rank, uint32_t *out);
/* Elements before, of and after an axis: the tensor seen as [outer, length, inner]. */
struct onnx_split {
    uint64_t outer, length, inner;
};
struct onnx_split mmi_onnx_split_at(const struct onnx_tensor *tensor, uint32_t axis);
/* Row-major strides in elements. */
void mmi_onnx_strides(const struct onnx_tensor *tensor, int64_t strides[MM_MAX_RANK]);
/* numpy's broadcast of two shapes into `to` (shape and rank only). false: they do not fit. */
bool mmi_onnx_broadcast(uint32_t rank_a, const int64_t *a, uint32_t rank_b, const int64_t *b,
                        struct onnx_tensor *to);
/* Bytes of one element, of a string those of struct onnx_string; 0: it has fewer than 8 bits. */
uint32_t mmi_onnx_element_bytes(int32_t dtype);
/* Bytes of packed elements; UINT64_MAX on overflow. */
uint64_t mmi_onnx_tensor_bytes(int32_t dtype, uint64_t elements);

#endif
