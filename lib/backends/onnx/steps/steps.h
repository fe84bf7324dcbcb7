/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_STEPS_H
#define MMI_BACKENDS_ONNX_STEPS_STEPS_H

/* What runs for one signature: kernels in order, each with its shapes, and where everything lies.
 *
 * Most graphs are one segment: all shapes follow from those of the inputs, and everything is
 * planned in milliseconds without the weights, before the first run. A node whose results only the
 * run knows ends a segment. The run executes that node on its own, and what comes after it is
 * planned when it is reached, for the shapes that are there then; such a plan is kept for the next
 * run, or iteration, that comes with the same shapes (segments.h). Graphs of Loop, Scan and If run
 * in the same way. */

#include <backends/onnx/graph/run_value.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/steps/description.h>

enum onnx_base {
    ONNX_AT_NOTHING = 0, /* left out, or of 0 bytes */
    ONNX_AT_SCRATCH,     /* offset in the run's scratch */
    ONNX_AT_WEIGHTS,     /* offset in the instance's region */
    ONNX_AT_MEMORY,      /* `known`: in the memory of model or plan */
    ONNX_AT_INPUT,       /* of the request: index */
    ONNX_AT_OUTPUT,      /* of the response: index */
    ONNX_AT_VALUE,       /* a run value, of an earlier segment: index is the value's number */
    ONNX_AT_RESULTS      /* offset in the block of what this segment leaves for later ones */
};

struct onnx_place {
    uint32_t base; /* enum onnx_base */
    uint32_t index;
    uint64_t offset;
    const void *known;
};

struct onnx_step {
    onnx_kernel run;
    const struct onnx_node *node; /* for messages */
    const void *params;
    uint32_t input_count, output_count;
    const struct onnx_tensor *inputs, *outputs;
    struct onnx_place *in, *out;
    uint64_t scratch_offset;
    uint64_t weights_end; /* bytes of the blob that must have arrived; 0: none */
};

/* A value and what holds of it: what a plan relies on, or what it leaves behind. */
struct onnx_placed {
    uint32_t value;
    struct onnx_tensor tensor; /* data: only where it is known */
    struct onnx_place place;
};

struct onnx_steps {
    struct onnx_arena arena; /* all of it */
    struct onnx_step *steps;
    uint32_t count, max_arguments; /* inputs and outputs of one step */
    uint64_t pointers_offset;      /* in the scratch: room for a step's pointers */
    uint64_t activation_bytes;     /* of scratch */
    /* [main->output_count]: dtype MM_DTYPE_NONE where a later segment makes it */
    const struct onnx_tensor *outputs;
    uint32_t end; /* the node of the graph that comes next; its node_count: none */
    bool whole;   /* all of the model: nothing comes next, and all outputs are bound */
    /* Run values that the steps read: the plan holds for these shapes, and where they are known for
     * these elements. */
    struct onnx_placed *guards;
    /* What later segments read of what this one makes. */
    struct onnx_placed *results;
    uint32_t guard_count, result_count;
    uint64_t results_bytes; /* of the block that results lie in */
};

/* From where a plan begins, and what is there then. */
struct onnx_start {
    const struct onnx_prepared *prepared;
    const mm_services *services;
    const struct onnx_graph *graph;
    uint32_t at;            /* node of the graph */
    const mm_value *inputs; /* of the request, as in backend.h's size: shapes, and shape inputs */
    const struct onnx_run_value *values; /* [value_count]; NULL: before the run, there are none */
};
/* Plan as far as shapes are known. steps->arena is set up; mmi_onnx_arena_free gives all back, also
 * after a failure. */
mm_status mmi_onnx_specialise(const struct onnx_start *start, struct onnx_steps *steps,
                              mm_error *err);

/* Mark the inputs whose elements decide shapes or branches (MM_VALUE_INFO_SHAPE_INPUT). */
mm_status mmi_onnx_mark_specialising(struct onnx_model *model, mm_error *err);

#endif
