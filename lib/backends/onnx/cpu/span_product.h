/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_SPAN_PRODUCT_H
#define MMI_BACKENDS_ONNX_CPU_SPAN_PRODUCT_H

/* Products whose rows of A are spans of memory, in blocks along k: a panel of B of one block stays
 * in the L1 cache. */

#include <backends/onnx/cpu/simd.h>

/* What happens to results in registers, and what after that. */
struct onnx_epilogue {
    float low, high;
    const struct onnx_activation *activation; /* NULL: nothing */
};
/* Relu and Clip are done in registers. */
struct onnx_epilogue mmi_onnx_epilogue(const struct onnx_activation *activation);

struct onnx_depth_block {
    uint64_t from; /* row of B */
    uint64_t first_span, span_count;
};
struct onnx_span_plan {
    uint64_t block_count;
    struct onnx_depth_block *blocks;
    struct onnx_span *spans; /* cut where blocks end */
};
/* Memory for the plan of so many spans, of so many elements together; a multiple of 8. */
uint64_t mmi_onnx_span_plan_bytes(uint64_t spans, uint64_t depth);
void mmi_onnx_plan_spans(const struct onnx_span *spans, uint64_t count, void *memory,
                         struct onnx_span_plan *plan);

/* gemm: without spans; b: the first row of B of the plan. Its bias is added once, its limits and
 * activation are the epilogue's. */
void mmi_onnx_span_product(const struct onnx_simd *simd, const struct onnx_span_plan *plan,
                           const struct onnx_span_gemm *gemm, const struct onnx_epilogue *epilogue);

#endif
