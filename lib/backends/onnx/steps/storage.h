/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_STORAGE_H
#define MMI_BACKENDS_ONNX_STEPS_STORAGE_H

/* The memory plan: blocks of the scratch with their lifetimes in steps, laid out so that those
 * who live at the same time do not overlap. Largest first, each at the lowest place that is free
 * during its life (greedy by size: Pisarchyk and Lee, "Efficient Memory Management for Deep
 * Neural Net Inference", 2020). */

#include <backends/onnx/graph/arena.h>

#define ONNX_NO_STORAGE UINT32_MAX
#define ONNX_NO_OUTPUT UINT32_MAX

struct onnx_storage {
    uint64_t bytes;
    uint32_t first, last; /* steps */
    uint32_t joined;      /* lies where this one lies; itself: has a place of its own */
    uint32_t output;      /* the response's buffer instead; ONNX_NO_OUTPUT: none */
    uint64_t offset;
};

struct onnx_storages {
    struct onnx_arena *arena;
    struct onnx_storage *all;
    uint32_t count, capacity;
};

/* A block that is made and used by step `at`. ONNX_NO_STORAGE: out of memory. */
uint32_t mmi_onnx_add_storage(struct onnx_storages *storages, uint64_t bytes, uint32_t at);
/* The one where it really lies. */
struct onnx_storage *mmi_onnx_storage(struct onnx_storages *storages, uint32_t index);
/* Step `at`, its maker, may write `result` over `input`: if that ends there, they are joined. */
void mmi_onnx_join_storage(struct onnx_storages *storages, uint32_t input, uint32_t result,
                           uint32_t at);
/* Offsets for all; *bytes is what they take together. false: out of memory. */
bool mmi_onnx_lay_out(struct onnx_storages *storages, uint64_t *bytes);

#endif
