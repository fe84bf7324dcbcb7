/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_GRAPH_RUNNER_H
#define TESTS_BACKENDS_ONNX_GRAPH_RUNNER_H

/* Graphs built in a few lines, and a naive way to run them: every node with its plain kernel, in
 * order, with no plan for memory. What the backend does must give the same results. */

#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/passes/passes.h>
#include <support/world.h>

struct bench {
    struct world world;
    mm_services services; /* parallel_for runs from the last to the first; threads 2 */
    struct onnx_arena arena;
    struct onnx_model model;
    struct onnx_graph *graph; /* where nodes go: the main graph, or a branch under construction */
    uint64_t seed;            /* of everything random */
    mm_error err;
};

void bench_init(struct bench *bench, uint64_t seed);
void bench_fini(struct bench *bench);

/* Shapes are written as text: "2 3 4"; "" is a scalar, "?" a free axis (of an input). */
uint32_t bench_input(struct bench *bench, int32_t dtype, const char *shape);
void bench_output(struct bench *bench, uint32_t value);

/* Constants. */
uint32_t bench_floats(struct bench *bench, const char *shape, const float *values);
uint32_t bench_random(struct bench *bench, const char *shape); /* f32 in [-1, 1) */
/* Of f32, f16, bf16 in [-1, 1), of other types any bits. */
uint32_t bench_typed(struct bench *bench, int32_t dtype, const char *shape);
uint32_t bench_scalar(struct bench *bench, float value);      /* f32 without axes */
uint32_t bench_ints(struct bench *bench, const char *values); /* i64 [count]: "1 -1 8" */
uint32_t bench_bool(struct bench *bench, bool value);         /* without axes */

/* A node that makes one value. Inputs are values, ONNX_NO_VALUE where left out. Attributes are
 * written "axis=1 perm=[0,2,1] alpha=0.5 mode=reflect activations=[Tanh,Relu]"; a list with a point
 * or an e is one of floats. */
#define BENCH_NODE(bench, type, attributes, ...)                                                   \
    bench_node(bench, type, attributes, (const uint32_t[]){__VA_ARGS__},                           \
               sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
uint32_t bench_node(struct bench *bench, const char *type, const char *attributes,
                    const uint32_t *inputs, size_t input_count);
/* Give a node the attributes of such a text. */
void bench_attributes(struct bench *bench, const char *text, struct onnx_node *node);
/* The node made last; gets one more output. */
struct onnx_node *bench_last(const struct bench *bench);
uint32_t bench_more_output(struct bench *bench);

/* A branch: nodes go there until its end. bench_if makes one value per output of the branches and
 * gives the first; the others have the numbers after it. */
struct onnx_graph *bench_branch(struct bench *bench);
void bench_branch_end(struct bench *bench, struct onnx_graph *branch, uint32_t output);
uint32_t bench_if(struct bench *bench, uint32_t condition, struct onnx_graph *then,
                  struct onnx_graph *otherwise);

/* An input of a graph that has some; a Loop around it, whose inputs are count, condition, and what
 * is carried (ONNX_NO_VALUE: left out). It gives the first output; as many are made as
 * the graph has, less the condition. */
uint32_t bench_graph_input(struct bench *bench, struct onnx_graph *graph);
uint32_t bench_loop(struct bench *bench, const uint32_t *inputs, size_t input_count,
                    struct onnx_graph *body);

/* Nodes of a graph and of its branches; those of one operator (NULL: all). */
uint32_t bench_count(const struct onnx_graph *graph, const char *type);
/* The first node of an operator in the main graph; NULL: there is none. */
struct onnx_node *bench_find(const struct bench *bench, const char *type);

/* A tensor with elements of a seeded sequence: floats in [-2, 2), others in [0, 8). */
struct onnx_tensor bench_tensor(struct bench *bench, int32_t dtype, const char *shape);

/* Run a model. inputs: [input_count]; outputs: [output_count], with data in `arena`. */
mm_status run_graph(const struct onnx_model *model, const struct onnx_tensor *inputs,
                    struct onnx_tensor *outputs, struct onnx_arena *arena,
                    const mm_services *services, mm_error *err);

typedef mm_status (*bench_pass)(struct onnx_model *model, const struct onnx_pass_context *context,
                                mm_error *err);
/* Run, apply the pass, run again: the results must be the same but for `tolerance`. Inputs are
 * random; a free axis has 3 elements. */
void bench_apply(struct bench *bench, bench_pass pass, double tolerance);

/* The same types and shapes, and elements that differ by at most `tolerance` relative to the larger
 * of 1 and their size; fails the test otherwise. */
void assert_tensors(const struct onnx_tensor *a, const struct onnx_tensor *b, double tolerance);

#endif
