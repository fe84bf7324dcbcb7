/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_RUN_VALUE_H
#define MMI_BACKENDS_ONNX_GRAPH_RUN_VALUE_H

/* Values that one run holds outside of its plan: what a segment leaves for later ones, and what
 * operators make whose results only the run knows. Their memory is counted: a value that ends gives
 * its memory to the next one, so that a loop runs in what its first iterations took.
 *
 * Of one run, and of its thread. */

#include <backends/onnx/graph/tensor.h>

/* Memory from `more` (NULL: there is no room), which gets it back after the run. */
#define ONNX_RUN_CLASSES 192
struct onnx_run_block;
struct onnx_run_memory {
    void *(*more)(void *ctx, uint64_t bytes);
    void *ctx;
    struct onnx_run_block **free; /* [ONNX_RUN_CLASSES], given back, by size; NULL: forgotten */
    uint8_t *rest;                /* of the newest chunk */
    uint64_t rest_bytes, chunk_bytes;
    char *text; /* of the newest chunk of text */
    uint64_t text_bytes;
};

struct onnx_run_value {
    int32_t kind; /* mm_kind */
    bool there;   /* false: left out, or not made yet */
    /* MM_TENSOR: with data, aligned to 64 unless they are the caller's. known: they follow from
     * shapes alone */
    struct onnx_tensor tensor;
    struct onnx_run_block
        *block; /* where data or items lie; NULL: in memory that outlives the run */
    struct onnx_run_value *items; /* of the other kinds, [item_count], as in mm_value */
    uint64_t item_count;
};

/* Memory aligned to 64, contents undefined; NULL: no room. The caller holds it once. */
struct onnx_run_block *mmi_onnx_block_take(struct onnx_run_memory *memory, uint64_t bytes);
void *mmi_onnx_block_data(struct onnx_run_block *block);
/* Text of strings that an operator makes: until the run ends, for nobody knows which tensors have
 * the strings by then. memory: a struct onnx_run_memory. */
void *mmi_onnx_take_run_text(void *memory, uint64_t bytes);
/* One holder more, one less; the last one gives it back. NULL does nothing. */
void mmi_onnx_block_hold(struct onnx_run_block *block);
void mmi_onnx_block_drop(struct onnx_run_memory *memory, struct onnx_run_block *block);

/* Memory for text that an operator makes: elements of strings may be moved to other tensors, so it
 * stays until the end of the run, whatever is dropped. NULL: no room. */
char *mmi_onnx_take_text_memory(struct onnx_run_memory *memory, uint64_t bytes);

/* A tensor with memory of its own, contents undefined. MM_INVALID_MODEL: no tensor has the shape;
 * MM_NO_ROOM_FOR_ACTIVATIONS. */
mm_status mmi_onnx_make_tensor(struct onnx_run_memory *memory, int32_t dtype, uint32_t rank,
                               const int64_t *shape, struct onnx_run_value *value, mm_error *err);
/* A sequence, optional or map of `count` items, which are not there yet. */
mm_status mmi_onnx_make_items(struct onnx_run_memory *memory, int32_t kind, uint64_t count,
                              struct onnx_run_value *value, mm_error *err);
/* The same value once more. */
struct onnx_run_value mmi_onnx_share_value(const struct onnx_run_value *value);
/* It ends; may be repeated. */
void mmi_onnx_drop_value(struct onnx_run_memory *memory, struct onnx_run_value *value);

/* Where its elements are written, by whom has just made it. */
static inline void *mmi_onnx_value_data(const struct onnx_run_value *value) {
    return (void *)(uintptr_t)value->tensor.data;
}

#endif
