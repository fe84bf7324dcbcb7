/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_MEMORY_PLAN_H
#define MMI_BACKENDS_ONNX_STEPS_MEMORY_PLAN_H

/* The memory plan: an offset in the scratch for each buffer, so that buffers whose lifetimes
 * overlap do not share bytes. Greedy by size: the largest buffer first, each at the lowest offset
 * that is free during its lifetime (Pisarchyk and Lee, "Efficient Memory Management for Deep
 * Neural Net Inference", 2020). */

#include <backends/onnx/graph/arena.h>

#define ONNX_NO_BUFFER UINT32_MAX
#define ONNX_NO_OUTPUT UINT32_MAX
#define ONNX_A_RESULT (UINT32_MAX - 1)

struct onnx_buffer {
    uint64_t bytes;
    uint32_t first, last; /* its lifetime: the steps that write it first and read it last */
    uint32_t shares;      /* index of the buffer whose memory it uses; its own index: none */
    /* It lies in this output of the response; ONNX_NO_OUTPUT: in the scratch; ONNX_A_RESULT: in
     * the block of results, which outlives the steps. */
    uint32_t output;
    uint64_t offset;
};

struct onnx_memory_plan {
    struct onnx_arena *arena;
    struct onnx_buffer *buffers;
    uint32_t count, capacity;
    uint64_t result_bytes; /* of the block of results */
};

/* A buffer that step `at` writes. ONNX_NO_BUFFER: out of memory. */
uint32_t mmi_onnx_plan_add(struct onnx_memory_plan *plan, uint64_t bytes, uint32_t at);
/* The buffer whose memory this one uses: itself, unless it shares another's. */
struct onnx_buffer *mmi_onnx_plan_buffer(struct onnx_memory_plan *plan, uint32_t index);
/* Step `at`, which writes `result`, may work in place: they share memory if `input` ends there. */
void mmi_onnx_plan_share(struct onnx_memory_plan *plan, uint32_t input, uint32_t result,
                         uint32_t at);
/* Sets all offsets; *bytes: size of the scratch. false: out of memory. */
bool mmi_onnx_plan_offsets(struct onnx_memory_plan *plan, uint64_t *bytes);

#endif
