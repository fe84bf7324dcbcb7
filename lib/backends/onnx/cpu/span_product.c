/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/cpu/span_product.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#include <math.h>

struct onnx_epilogue mmi_onnx_epilogue(const struct onnx_activation *activation) {
    struct onnx_epilogue epilogue = {-INFINITY, INFINITY, NULL};
    bool alone = activation->scale == 0;
    if (activation->function == ONNX_F_Relu && alone) {
        epilogue.low = 0;
    } else if (activation->function == ONNX_F_Clip && alone && activation->a <= activation->b) {
        epilogue.low = activation->a;
        epilogue.high = activation->b;
    } else if (activation->function != ONNX_F_NONE) {
        epilogue.activation = activation;
    }
    return epilogue;
}

/* One even where there is nothing to multiply: C becomes the bias. */
static uint64_t blocks_of(uint64_t depth) {
    uint64_t kc = mmi_onnx_sgemm_kc(depth);
    return depth > 0 ? mmi_div_up(depth, kc) : 1;
}

uint64_t mmi_onnx_span_plan_bytes(uint64_t spans, uint64_t depth) {
    uint64_t blocks = blocks_of(depth);
    return blocks * sizeof(struct onnx_depth_block) + (spans + blocks) * sizeof(struct onnx_span);
}

void mmi_onnx_plan_spans(const struct onnx_span *spans, uint64_t count, void *memory,
                         struct onnx_span_plan *plan) {
    uint64_t depth = 0, piece = 0, at = 0, i = 0;
    for (uint64_t span = 0; span < count; span++) {
        depth += spans[span].length;
    }
    plan->block_count = blocks_of(depth);
    plan->blocks = memory;
    plan->spans = (struct onnx_span *)(plan->blocks + plan->block_count);
    struct onnx_span left = count > 0 ? spans[0] : (struct onnx_span){0, 0};
    for (uint64_t block = 0; block < plan->block_count; block++) {
        struct onnx_range rows = mmi_onnx_part(depth, plan->block_count, block);
        plan->blocks[block] = (struct onnx_depth_block){rows.from, piece, 0};
        while (at < rows.to) {
            uint64_t length = mmi_min_u64(left.length, rows.to - at);
            plan->spans[piece++] = (struct onnx_span){left.offset, length};
            at += length;
            left.offset += length;
            left.length -= length;
            if (left.length == 0 && ++i < count) {
                left = spans[i];
            }
        }
        plan->blocks[block].span_count = piece - plan->blocks[block].first_span;
    }
}

void mmi_onnx_span_product(const struct onnx_simd *simd, const struct onnx_span_plan *plan,
                           const struct onnx_span_gemm *gemm,
                           const struct onnx_epilogue *epilogue) {
    for (uint64_t i = 0; i < plan->block_count; i++) {
        const struct onnx_depth_block *block = &plan->blocks[i];
        struct onnx_span_gemm part = *gemm;
        bool last = i + 1 == plan->block_count;
        part.spans = plan->spans + block->first_span;
        part.span_count = block->span_count;
        part.b = gemm->b + block->from * ONNX_NR;
        part.accumulate = gemm->accumulate || i > 0;
        part.column_bias = i == 0 ? gemm->column_bias : NULL;
        part.low = last ? epilogue->low : -INFINITY;
        part.high = last ? epilogue->high : INFINITY;
        part.activation = last ? epilogue->activation : NULL;
        simd->span_gemm(&part);
    }
}
