/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_PROGRAM_H
#define MMI_BACKENDS_ONNX_PASSES_PROGRAM_H

/* Elementwise nodes on f32 as instructions of a fused program. Constants of one element become
 * numbers in it; what changes nothing (times 1) becomes nothing. */

#include <backends/onnx/operators/fused.h>
#include <backends/onnx/passes/rewrite.h>

/* Nodes of one program, at most: each makes a value. */
#define ONNX_PROGRAM_NODES (ONNX_PROGRAM_CODE + 8)

struct onnx_emitter {
    const struct onnx_rewrite *rewrite;
    struct onnx_program program;
    uint32_t inputs[ONNX_PROGRAM_INPUTS]; /* values */
    struct {
        uint32_t value;
        uint8_t at; /* its register before mmi_onnx_emit_end: see program.c */
    } made[ONNX_PROGRAM_NODES];
    uint32_t made_count;
};

/* Can it be emitted, by its operator, its constants and the types of its values? */
bool mmi_onnx_is_elementwise(const struct onnx_rewrite *rewrite, const struct onnx_node *node);

void mmi_onnx_emit_begin(struct onnx_emitter *emitter, const struct onnx_rewrite *rewrite);
/* An elementwise node, after those whose results it uses. false: the program is full, and of no
 * more use. */
bool mmi_onnx_emit(struct onnx_emitter *emitter, const struct onnx_node *node);
/* The program is whole; its result is what the last node made. false: it does nothing. */
bool mmi_onnx_emit_end(struct onnx_emitter *emitter);

#endif
