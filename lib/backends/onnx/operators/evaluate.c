/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/evaluate.h>
#include <base/checked.h>
#include <base/status.h>

const uint64_t mmi_onnx_nothing[1] = {0};

mm_status mmi_onnx_infer(const struct onnx_operator *op, struct onnx_inference *x, mm_error *err) {
    uint32_t given = 0;
    bool lists = op->lists && op->max_inputs != ONNX_ANY_NUMBER; /* behind its own */
    uint32_t own = lists && x->input_count > op->max_inputs ? op->max_inputs : x->input_count;
    for (uint32_t i = 0; i < own; i++) {
        given = mmi_onnx_has(x, i) ? i + 1 : given;
    }
    if (given < op->min_inputs || given > op->max_inputs) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u inputs, %u to %u wanted", given, op->min_inputs,
                        op->max_inputs);
    }
    if (x->output_count < op->min_outputs || x->output_count > op->max_outputs) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u outputs, %u to %u wanted", x->output_count,
                        op->min_outputs, op->max_outputs);
    }
    x->scratch_bytes = 0;
    return op->infer(x, err);
}

/* Memory for all outputs, or nothing. */
static mm_status place_outputs(const struct onnx_inference *x, struct onnx_arena *arena,
                               uint64_t max_bytes, mm_error *err) {
    uint64_t all = 0;
    for (uint32_t i = 0; i < x->output_count; i++) {
        all = mmi_add_cap(all, x->outputs[i].bytes);
    }
    if (all > max_bytes) {
        return mmi_fail(err, MM_TOO_LARGE, "its results have %llu bytes, too many to keep",
                        (unsigned long long)all);
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        struct onnx_tensor *output = &x->outputs[i];
        output->known = 1;
        output->data = output->bytes ? mmi_onnx_take_data(arena, output->bytes) : NULL;
        if (output->bytes && !output->data) {
            return mmi_fail(err, MM_NO_MEMORY, "no memory for %llu bytes of constants",
                            (unsigned long long)output->bytes);
        }
    }
    return MM_OK;
}

static void *take_text(void *text_ctx, uint64_t bytes) {
    return mmi_onnx_take_data(text_ctx, bytes);
}

mm_status mmi_onnx_evaluate(const struct onnx_operator *op, struct onnx_inference *x,
                            struct onnx_arena *arena, uint64_t max_bytes,
                            const mm_services *services, mm_error *err) {
    MMI_TRY(mmi_onnx_infer(op, x, err));
    MMI_TRY(place_outputs(x, arena, max_bytes, err));
    const void **in = mmi_onnx_take(arena, x->input_count, sizeof(*in));
    void **out = mmi_onnx_take(arena, x->output_count, sizeof(*out));
    void *scratch = x->scratch_bytes ? mmi_onnx_take_data(arena, x->scratch_bytes) : NULL;
    if (!in || !out || (x->scratch_bytes && !scratch)) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to compute a constant");
    }
    for (uint32_t i = 0; i < x->input_count; i++) {
        bool nothing = mmi_onnx_has(x, i) && x->inputs[i].bytes == 0;
        in[i] = nothing ? mmi_onnx_nothing : x->inputs[i].data;
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        out[i] = (void *)(uintptr_t)x->outputs[i].data;
    }
    struct onnx_call call = {.params = x->params,
                             .input_count = x->input_count,
                             .output_count = x->output_count,
                             .inputs = x->inputs,
                             .outputs = x->outputs,
                             .in = in,
                             .out = out,
                             .scratch = scratch,
                             .services = services,
                             .take_text = take_text,
                             .text_ctx = arena};
    return op->run(&call, err);
}

/* ---- What only a run knows ------------------------------------------------------------------- */

static void *more_memory(void *arena, uint64_t bytes) {
    return mmi_onnx_take_data(arena, bytes);
}

static bool all_are_tensors(const struct onnx_run_value *values, uint32_t count,
                            uint64_t max_bytes) {
    uint64_t bytes = 0;
    bool tensors = true;
    for (uint32_t i = 0; i < count; i++) {
        tensors = tensors && values[i].there && values[i].kind == MM_TENSOR;
        bytes = mmi_add_cap(bytes, values[i].tensor.bytes);
    }
    return tensors && bytes <= max_bytes;
}

mm_status mmi_onnx_evaluate_dynamic(const struct onnx_node *node, struct onnx_inference *x,
                                    struct onnx_arena *arena, uint64_t max_bytes,
                                    const mm_services *services, mm_error *err) {
    uint64_t count = (uint64_t)x->input_count + x->output_count;
    struct onnx_run_value *values = mmi_onnx_take(arena, count, sizeof(*values));
    struct onnx_run_memory *memory = mmi_onnx_take(arena, 1, sizeof(*memory));
    if (!values || !memory) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to compute a constant");
    }
    for (uint32_t i = 0; i < x->input_count; i++) {
        values[i].there = mmi_onnx_has(x, i);
        values[i].tensor = x->inputs[i];
        values[i].tensor.data = x->inputs[i].bytes ? x->inputs[i].data : mmi_onnx_nothing;
    }
    *memory = (struct onnx_run_memory){.more = more_memory, .ctx = arena};
    struct onnx_execution execution = {.node = node,
                                       .params = x->params,
                                       .input_count = x->input_count,
                                       .output_count = x->output_count,
                                       .inputs = values,
                                       .outputs = values + x->input_count,
                                       .memory = memory,
                                       .services = services};
    MMI_TRY(node->op->execute(&execution, err));
    if (!all_are_tensors(execution.outputs, x->output_count, max_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its results are too many to keep, or no tensors");
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        x->outputs[i] = execution.outputs[i].tensor;
        x->outputs[i].known = 1;
    }
    return MM_OK;
}
