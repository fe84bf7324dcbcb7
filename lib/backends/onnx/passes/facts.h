/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_PASSES_FACTS_H
#define MMI_BACKENDS_ONNX_PASSES_FACTS_H

#include <backends/onnx/operators/facts.h>
#include <backends/onnx/passes/passes.h>

/* The facts of all values, by those of the inputs and constants. facts: [value_count]. */
mm_status mmi_onnx_learn_facts(const struct onnx_model *model, struct onnx_arena *arena,
                               struct onnx_fact **facts, mm_error *err);

#endif
