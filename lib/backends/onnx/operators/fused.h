/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_FUSED_H
#define MMI_BACKENDS_ONNX_OPERATORS_FUSED_H

/* Fused is ours: several elementwise nodes on f32 as one, so that what lies between them never
 * leaves the cache. passes/fuse_elementwise.c makes it. The inputs are broadcast to each other;
 * every instruction works on elements of the result's shape. */

#include <backends/onnx/operators/operator.h>

#define ONNX_PROGRAM_INPUTS 8
#define ONNX_PROGRAM_CODE 24

/* What a function of two is computed of. */
enum onnx_operands {
    ONNX_A_B = 0, /* registers a and b */
    ONNX_A_X,     /* register a, then the number x */
    ONNX_X_A      /* the number x, then register a */
};

/* Registers: 0 .. inputs - 1 are the inputs, inputs + i is what instruction i made. A function of
 * one is of register a, with the numbers x and y as its a and b. */
struct onnx_instruction {
    uint8_t function; /* enum onnx_function_kind */
    uint8_t a, b;
    uint8_t operands; /* enum onnx_operands; of a function of one: 0 */
    float x, y;
};

/* Does it read register b? */
static inline bool mmi_onnx_reads_b(const struct onnx_instruction *instruction) {
    return mmi_onnx_of_two(instruction->function) && instruction->operands == ONNX_A_B;
}

struct onnx_program {
    uint32_t inputs, count; /* the last instruction makes the result */
    uint32_t rank;          /* axes that the result has at least: those of the numbers x and y */
    struct onnx_instruction code[ONNX_PROGRAM_CODE];
};

/* count floats: to[i] = instruction(a[i], b[i]). `to` may be a or b. */
typedef void (*onnx_instruction_loop)(const struct onnx_instruction *instruction, const float *a,
                                      const float *b, float *to, uint64_t count);
/* The plain one. */
void mmi_onnx_instruction_loop(const struct onnx_instruction *instruction, const float *a,
                               const float *b, float *to, uint64_t count);
/* Run the program with a loop for each instruction: what the kernels of Fused, here and in cpu/,
 * share. */
mm_status mmi_onnx_run_program(const struct onnx_call *call, onnx_instruction_loop loop,
                               mm_error *err);

#endif
