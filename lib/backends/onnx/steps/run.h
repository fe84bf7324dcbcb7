/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_RUN_H
#define MMI_BACKENDS_ONNX_STEPS_RUN_H

/* Running: a signature's plan on an attached instance, any number at once. */

#include <backends/onnx/steps/segments.h>

struct onnx_profile;

/* What size made of the shapes of a request. */
struct onnx_signature {
    struct onnx_steps first; /* the first segment of the main graph; mostly all of it */
    struct onnx_segments later;
    struct onnx_profile *profile; /* NULL: its runs are not timed */
};

/* An instance as the steps see it. */
struct onnx_attached {
    const struct onnx_prepared *prepared;
    const mm_services *services;
    mm_region region;
    const uint64_t *group_ends; /* [group_count] */
    uint32_t group_count;
};

mm_status mmi_onnx_run(const struct onnx_attached *attached, mm_exec *exec,
                       struct onnx_signature *signature, const mm_value *inputs, mm_value *outputs,
                       mm_error *err);

#endif
