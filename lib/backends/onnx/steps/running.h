/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_RUNNING_H
#define MMI_BACKENDS_ONNX_STEPS_RUNNING_H

/* Inside of a run: run.c has what every run does, the steps of a segment; execute.c goes from
 * segment to segment and executes the nodes between them. */

#include <backends/onnx/steps/profile.h>
#include <backends/onnx/steps/run.h>

struct onnx_run {
    const struct onnx_attached *attached;
    struct onnx_signature *signature;
    mm_exec *exec;
    const mm_value *inputs;
    mm_value *outputs;
    uint32_t groups;  /* that have arrived */
    uint64_t arrived; /* bytes of the blob */
    uint8_t *scratch; /* of the segment under way */
    uint64_t scratch_bytes;
    struct onnx_run_block *scratch_block; /* NULL: it is the request's */
    struct onnx_run_block *results;       /* of the segment under way */
    /* Where the main graph has more than one segment: */
    struct onnx_run_memory memory;
    struct onnx_run_value *values; /* [value_count] */
    /* Where its steps are timed; else NULL and no clock is asked. */
    struct onnx_profile *profile;
    uint64_t number;       /* of this run */
    struct onnx_cost cost; /* of the kernel that run_kernel ran last, ... */
    bool fast;             /* ... and whether it is of cpu/ */
};

/* Wait for the first `bytes` of the blob. */
mm_status mmi_onnx_wait_for(struct onnx_run *run, uint64_t bytes, mm_error *err);
mm_status mmi_onnx_no_run_memory(uint64_t bytes, mm_error *err);
/* The steps, and their results as run values. */
mm_status mmi_onnx_run_steps(struct onnx_run *run, const struct onnx_steps *steps, mm_error *err);
/* All segments of the main graph, and the outputs that they leave as run values. */
mm_status mmi_onnx_run_segments(struct onnx_run *run, mm_error *err);

/* convert.c: an input of the request as a run value; a run value as output `index` of the response,
 * unless it is not wanted. */
mm_status mmi_onnx_read_input(struct onnx_run_memory *memory, const mm_value *input,
                              struct onnx_run_value *value, mm_error *err);
mm_status mmi_onnx_write_output(mm_exec *exec, uint32_t index, const struct onnx_run_value *value,
                                mm_value *output, mm_error *err);

#endif
