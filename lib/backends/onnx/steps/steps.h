/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_STEPS_H
#define MMI_BACKENDS_ONNX_STEPS_STEPS_H

/* What runs for one signature: kernels in order, each with its shapes, and where everything
 * lies. Made by specialise.c in milliseconds without the weights; run by run.c, any number at
 * once. */

#include <backends/onnx/operators/operator.h>
#include <backends/onnx/steps/description.h>

enum onnx_base {
    ONNX_AT_NOTHING = 0, /* left out, or of 0 bytes */
    ONNX_AT_SCRATCH,     /* offset in the run's scratch */
    ONNX_AT_WEIGHTS,     /* offset in the instance's region */
    ONNX_AT_MEMORY,      /* `known`: in the memory of model or signature */
    ONNX_AT_INPUT,       /* of the request: index */
    ONNX_AT_OUTPUT       /* of the response: index */
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

struct onnx_steps {
    struct onnx_arena arena; /* all of it */
    struct onnx_step *steps;
    uint32_t count, max_arguments; /* inputs and outputs of one step */
    uint64_t pointers_offset;      /* in the scratch: room for a step's pointers */
    uint64_t activation_bytes;
    const struct onnx_tensor *outputs; /* [main->output_count] */
};

/* Input shapes -> steps. steps->arena is set up; mmi_onnx_arena_free gives all back, also after a
 * failure. inputs as in backend.h's size. */
mm_status mmi_onnx_specialise(const struct onnx_prepared *prepared, const mm_services *services,
                              const mm_value *inputs, struct onnx_steps *steps, mm_error *err);

/* Mark the inputs whose elements decide shapes or branches (MM_VALUE_INFO_SHAPE_INPUT). */
mm_status mmi_onnx_mark_specialising(struct onnx_model *model, mm_error *err);

/* An instance as the steps see it. */
struct onnx_attached {
    const struct onnx_prepared *prepared;
    const mm_services *services;
    mm_region region;
    const uint64_t *group_ends; /* [group_count] */
    uint32_t group_count;
};
mm_status mmi_onnx_run(const struct onnx_attached *attached, mm_exec *exec,
                       const struct onnx_steps *steps, const mm_value *inputs, mm_value *outputs,
                       mm_error *err);

#endif
