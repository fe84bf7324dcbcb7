/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_FUSED_H
#define MMI_BACKENDS_ONNX_OPERATORS_FUSED_H

/* Fused is ours: several elementwise nodes on f32 as one, so that what lies between them never
 * leaves the cache. passes/fuse_elementwise.c makes it. The inputs are broadcast to each other;
 * every instruction works on elements of the result's shape. */

#include <backends/onnx/operators/operator.h>

#define ONNX_PROGRAM_INPUTS 8
#define ONNX_PROGRAM_CODE 24

enum onnx_instruction_kind {
    /* of registers a and b */
    ONNX_I_ADD,
    ONNX_I_SUB,
    ONNX_I_MUL,
    ONNX_I_DIV,
    ONNX_I_MIN,
    ONNX_I_MAX,
    ONNX_I_POW,
    /* of register a and the numbers x, y */
    ONNX_I_ADD_X,        /* a + x */
    ONNX_I_MUL_X,        /* a x */
    ONNX_I_X_SUB,        /* x - a */
    ONNX_I_X_DIV,        /* x / a */
    ONNX_I_POW_X,        /* a to the power x */
    ONNX_I_CLIP,         /* min(max(a, x), y) */
    ONNX_I_HARD_SIGMOID, /* min(max(x a + y, 0), 1) */
    ONNX_I_LEAKY_RELU,   /* a < 0 ? x a : a */
    /* of register a */
    ONNX_I_RELU,
    ONNX_I_NEG,
    ONNX_I_ABS,
    ONNX_I_SQRT,
    ONNX_I_RECIPROCAL,
    ONNX_I_EXP,
    ONNX_I_LOG,
    ONNX_I_TANH,
    ONNX_I_SIGMOID,
    ONNX_I_ERF,
    ONNX_INSTRUCTIONS
};

/* Registers: 0 .. inputs - 1 are the inputs, inputs + i is what instruction i made. */
struct onnx_instruction {
    uint8_t kind; /* enum onnx_instruction_kind */
    uint8_t a, b;
    uint8_t reserved;
    float x, y;
};

struct onnx_program {
    uint32_t inputs, count; /* the last instruction makes the result */
    uint32_t rank;          /* axes that the result has at least: those of the numbers x and y */
    struct onnx_instruction code[ONNX_PROGRAM_CODE];
};

/* count floats: to[i] = instruction(a[i], b[i]). `to` may be a or b. */
typedef void (*onnx_instruction_loop)(const struct onnx_instruction *instruction, const float *a,
                                      const float *b, float *to, uint64_t count);
/* The plain one: right for every instruction. */
void mmi_onnx_instruction_loop(const struct onnx_instruction *instruction, const float *a,
                               const float *b, float *to, uint64_t count);
/* Run the program with a loop for each instruction: what the kernels of Fused, here and in cpu/,
 * share. */
mm_status mmi_onnx_run_program(const struct onnx_call *call, onnx_instruction_loop loop,
                               mm_error *err);

#endif
