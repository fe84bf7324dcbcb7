/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/steps.h>
#include <base/status.h>

/* One run under way. */
struct run {
    const struct onnx_attached *attached;
    mm_exec *exec;
    const mm_value *inputs;
    mm_value *outputs;
    uint32_t groups;  /* that have arrived */
    uint64_t arrived; /* bytes of the blob */
};

static mm_status wait_for(struct run *run, uint64_t bytes, mm_error *err) {
    const struct onnx_attached *attached = run->attached;
    while (run->arrived < bytes && run->groups < attached->group_count) {
        mm_status status = attached->region.wait(attached->region.ctx, run->groups);
        if (status != MM_OK) {
            return mmi_fail(err, status, "onnx: group %u of %u of its weights did not arrive",
                            run->groups, attached->group_count);
        }
        run->arrived = attached->group_ends[run->groups++];
    }
    return MM_OK;
}

static void *find(const struct run *run, const struct onnx_place *place) {
    switch (place->base) {
    case ONNX_AT_SCRATCH:
        return (uint8_t *)run->exec->scratch + place->offset;
    case ONNX_AT_WEIGHTS:
        return (uint8_t *)(uintptr_t)run->attached->region.base + place->offset;
    case ONNX_AT_MEMORY:
        return (void *)(uintptr_t)place->known;
    case ONNX_AT_INPUT:
        return run->inputs[place->index].data;
    case ONNX_AT_OUTPUT:
        return run->outputs[place->index].data;
    default:
        return NULL;
    }
}

static mm_status run_step(struct run *run, const struct onnx_step *step, void **pointers,
                          mm_error *err) {
    MMI_TRY(wait_for(run, step->weights_end, err));
    void **out = pointers + step->input_count;
    for (uint32_t i = 0; i < step->input_count; i++) {
        bool nothing = step->inputs[i].dtype != MM_DTYPE_NONE && step->inputs[i].bytes == 0;
        pointers[i] = nothing ? (void *)(uintptr_t)mmi_onnx_nothing : find(run, &step->in[i]);
    }
    for (uint32_t i = 0; i < step->output_count; i++) {
        out[i] = find(run, &step->out[i]);
    }
    struct onnx_call call = {.params = step->params,
                             .input_count = step->input_count,
                             .output_count = step->output_count,
                             .inputs = step->inputs,
                             .outputs = step->outputs,
                             .in = (const void *const *)pointers,
                             .out = out,
                             .scratch = (uint8_t *)run->exec->scratch + step->scratch_offset,
                             .services = run->attached->services};
    return mmi_onnx_fail_node(&run->attached->prepared->model, step->node, step->run(&call, err),
                              err);
}

/* Steps write every output, also one that this request does not want. */
static mm_status place_unwanted(struct run *run, const struct onnx_steps *steps, mm_error *err) {
    for (uint32_t i = 0; i < run->attached->prepared->model.main->output_count; i++) {
        uint64_t bytes = steps->outputs[i].bytes;
        if (!(run->outputs[i].flags & MM_VALUE_UNWANTED) || bytes == 0) {
            continue;
        }
        run->outputs[i].data = run->exec->scratch_more(run->exec, bytes);
        if (!run->outputs[i].data) {
            return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS,
                            "onnx: no room for %llu bytes of output %s", (unsigned long long)bytes,
                            run->attached->prepared->model.outputs[i].name);
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_run(const struct onnx_attached *attached, mm_exec *exec,
                       const struct onnx_steps *steps, const mm_value *inputs, mm_value *outputs,
                       mm_error *err) {
    struct run run = {.attached = attached, .exec = exec, .inputs = inputs, .outputs = outputs};
    MMI_TRY(place_unwanted(&run, steps, err));
    for (uint32_t i = 0; i < steps->count; i++) {
        if (exec->stopped(exec)) {
            return mmi_fail(err, MM_CANCELLED, "onnx: the run was ended before step %u of %u", i,
                            steps->count);
        }
        void **pointers = (void **)((uint8_t *)exec->scratch + steps->pointers_offset);
        MMI_TRY(run_step(&run, &steps->steps[i], pointers, err));
    }
    return MM_OK;
}
