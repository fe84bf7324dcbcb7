/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_CPU_COMPARE_H
#define TESTS_BACKENDS_ONNX_CPU_COMPARE_H

/* A fast kernel beside the plain one: with each table of loops, on one thread and shared out, in
 * memory that ends where it must, and with rubbish in the scratch and where the results go. */

#include <backends/onnx/operators/operator.h>
#include <support/world.h>

#define COMPARE_INPUTS 12
#define COMPARE_OUTPUTS 3

struct comparison {
    struct world world;
    struct onnx_arena arena;
    uint64_t seed;
    const struct onnx_operator *op;
    const void *params;
    struct onnx_tensor inputs[COMPARE_INPUTS];
    uint32_t input_count, output_count;
    /* Results may differ by tolerance * scale. Scale: what the plain kernel makes of the sizes of
     * the inputs with these parameters, which for sums of products is the sum of sizes; NULL: the
     * larger of `floor` and the size of the result. Other types than f32 must be the same. */
    double tolerance, floor;
    const void *size_params;
    uint64_t kernels; /* fast ones that ran */
    uint64_t shared;  /* pieces of work that were shared out */
};

void compare_init(struct comparison *c, uint64_t seed);
void compare_fini(struct comparison *c);
/* Another operator: no inputs, one output. */
void compare_start(struct comparison *c, const struct onnx_operator *op, const void *params);
/* The next input, with numbers of a seeded sequence in [low, high); its floats. */
float *compare_input(struct comparison *c, uint32_t rank, const int64_t *shape, float low,
                     float high);
#define COMPARE_INPUT(c, ...)                                                                      \
    compare_input(c, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                     \
                  (const int64_t[]){__VA_ARGS__}, -1, 1)
/* The next input, of u8 or i8, with many of the largest and smallest. */
void compare_byte_input(struct comparison *c, int32_t dtype, uint32_t rank, const int64_t *shape);
#define COMPARE_BYTES(c, dtype, ...)                                                               \
    compare_byte_input(c, dtype, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t),         \
                       (const int64_t[]){__VA_ARGS__})
/* The next input, whose elements [count] are known before the run. */
void compare_known_input(struct comparison *c, int32_t dtype, const void *values, int64_t count);
/* The next input is left out. */
void compare_no_input(struct comparison *c);
/* Run and compare; true: there is a fast kernel. */
bool compare_run(struct comparison *c);
/* A number in [0, limit). */
int64_t compare_below(struct comparison *c, int64_t limit);

#endif
