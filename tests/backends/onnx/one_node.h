/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_ONE_NODE_H
#define TESTS_BACKENDS_ONNX_ONE_NODE_H

/* One node, its inputs and what must come out, written as text and run by the plain kernel.
 *
 *     one_expect("Slice", "", "f32[4] 1 2 3 4 | i64[1] 1 | i64[1] 3", "f32[2] 2 3");
 *
 * A tensor is its type, its shape and its elements: real numbers for f32 and f64, for all other
 * types the integer in the low bytes. ".." counts from 0 on through all elements. "-" is an
 * input that is left out, one behind "?" is not known before the run. Attributes as in
 * bench_node; those with a tensor come last, behind "; ": "; value i32[1] 7"; "opset=11" among them
 * is no attribute but the opset. A type "@" runs the case with a type of each width. "map " before
 * two tensors: the map of these. An operator of another domain is "com.microsoft/Gelu". */

#include "graph_runner.h"

#include <backends/onnx/operators/execution.h>

#define ONE_MAX 40 /* inputs, and outputs */

struct one_node {
    struct bench bench;
    struct onnx_node node;
    const struct onnx_operator *op;
    struct onnx_tensor inputs[ONE_MAX], outputs[ONE_MAX];
    struct onnx_inference x;
    int64_t opset; /* unless set: 25, of ai.onnx.ml 5 */
    /* Of an operator that executes: */
    bool map; /* inputs 0 and 1 are one: their map */
    struct onnx_run_memory memory;
    struct onnx_run_value values[2 * ONE_MAX], made[ONE_MAX];
};

/* What comes out is what `outputs` says, to the bit. */
void one_expect(const char *type, const char *attributes, const char *inputs, const char *outputs);
/* What comes out differs from it by at most tolerance, relative to the larger of 1 and its size. */
void one_expect_near(const char *type, const char *attributes, const char *inputs,
                     const char *outputs, double tolerance);
/* A table of such cases; tolerance 0: to the bit. */
struct one_case {
    const char *type, *attributes, *inputs, *outputs;
    double tolerance;
};
void one_expect_all(const struct one_case *cases, size_t count);
/* The node, of output_count outputs, is refused with this status and a text that holds `text`. */
void one_refuse(const char *type, const char *attributes, const char *inputs, mm_status status,
                const char *text);

/* The same in steps, for inputs that are not written down. */
void one_init(struct one_node *one, const char *type, const char *attributes);
void one_fini(struct one_node *one);
/* The next input. data: NULL: elements count from 1 on (as integers, in their low bytes). */
struct onnx_tensor *one_input(struct one_node *one, int32_t dtype, uint32_t rank,
                              const int64_t *shape, const void *data);
/* The next input, of whole numbers in [-1, 1]: every type holds them and sums of a hundred of their
 * products. They are returned as f64, in the arena of the bench. */
const double *one_numbers(struct one_node *one, int32_t dtype, uint32_t rank, const int64_t *shape,
                          uint64_t *seed);
mm_status one_run(struct one_node *one, uint32_t output_count);
/* The same with the 1st, 2nd, 3rd ... allocation failing, each time MM_NO_MEMORY, until it
 * succeeds. */
void one_run_out_of_memory(struct one_node *one, uint32_t output_count);

#endif
