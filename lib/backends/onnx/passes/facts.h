/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_FACTS_H
#define MMI_BACKENDS_ONNX_PASSES_FACTS_H

/* What holds for a value whatever the shapes of a request are. */

#include <backends/onnx/passes/passes.h>

struct onnx_fact {
    int32_t dtype; /* mm_dtype; MM_DTYPE_NONE: not known */
    int32_t rank;  /* -1: not known */
    int64_t last;  /* elements of its last axis; 0: not known */
    /* A hint about cost: it comes out of a reduction and has likely far fewer elements than what
     * it is combined with next. */
    bool small;
};

/* facts: [value_count]. */
mm_status mmi_onnx_learn_facts(const struct onnx_model *model, struct onnx_arena *arena,
                               struct onnx_fact **facts, mm_error *err);

#endif
