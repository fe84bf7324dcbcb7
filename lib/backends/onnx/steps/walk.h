/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_WALK_H
#define MMI_BACKENDS_ONNX_STEPS_WALK_H

/* Inside of planning a segment: known.c says what is known of values, specialise.c turns nodes into
 * steps, place.c gives everything its place once all lifetimes are known. */

#include <backends/onnx/steps/memory_plan.h>
#include <backends/onnx/steps/steps.h>

/* What is known of a value while the graph is walked. */
struct onnx_known {
    struct onnx_tensor tensor; /* dtype MM_DTYPE_NONE: nothing yet, left out, or no tensor */
    struct onnx_place place;   /* without a buffer */
    uint32_t buffer;
    bool made;      /* by this segment */
    bool no_tensor; /* a sequence, optional or map */
};

/* The part of a step that waits for the memory plan. */
struct onnx_step_buffers {
    uint32_t *in, *out; /* buffers of the plan, or ONNX_NO_BUFFER */
    uint32_t scratch;
};

struct onnx_walk {
    const struct onnx_start *start;
    struct onnx_arena *keep;  /* for what the steps need */
    struct onnx_arena work;   /* freed at the end */
    struct onnx_known *known; /* [value_count] */
    struct onnx_memory_plan plan;
    struct onnx_step *steps;
    struct onnx_step_buffers *buffers; /* [count]: beside steps */
    struct onnx_placed *guards;
    uint32_t count, capacity, buffer_capacity, max_arguments;
    uint32_t guard_count, guard_capacity;
    uint64_t known_bytes; /* results up to this size are computed at once if all inputs are known */
};

mm_status mmi_onnx_walk_no_memory(mm_error *err);

/* Constants and the inputs of the request. */
mm_status mmi_onnx_know_beginning(struct onnx_walk *walk, mm_error *err);
/* What is known of a value: also of one that an earlier segment made, on which the plan depends
 * from then on. */
mm_status mmi_onnx_know(struct onnx_walk *walk, uint32_t value, const struct onnx_known **known,
                        mm_error *err);
/* Nothing, of a value that a node makes next. */
struct onnx_known *mmi_onnx_know_anew(struct onnx_walk *walk, uint32_t value);

/* One node as a step: x has its shapes, in memory that is kept. */
mm_status mmi_onnx_add_step(struct onnx_walk *walk, const struct onnx_node *node,
                            struct onnx_inference *x, mm_error *err);

/* The end: outputs of the response and results that later segments read, in-place work, offsets. */
mm_status mmi_onnx_place_all(struct onnx_walk *walk, uint32_t end, struct onnx_steps *steps,
                             mm_error *err);

#endif
