/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/running.h>
#include <base/status.h>

#include <string.h>

/* ---- Where things lie ------------------------------------------------------------------------ */

mm_status mmi_onnx_wait_for(struct onnx_run *run, uint64_t bytes, mm_error *err) {
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

static void *find(const struct onnx_run *run, const struct onnx_place *place) {
    switch (place->base) {
    case ONNX_AT_SCRATCH:
        return run->scratch + place->offset;
    case ONNX_AT_WEIGHTS:
        return (uint8_t *)(uintptr_t)run->attached->region.base + place->offset;
    case ONNX_AT_MEMORY:
        return (void *)(uintptr_t)place->known;
    case ONNX_AT_INPUT:
        return run->inputs[place->index].data;
    case ONNX_AT_OUTPUT:
        return run->outputs[place->index].data;
    case ONNX_AT_VALUE:
        return mmi_onnx_value_data(&run->values[place->index]);
    case ONNX_AT_RESULTS:
        return (uint8_t *)mmi_onnx_block_data(run->results) + place->offset;
    default:
        return NULL;
    }
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static mm_status run_step(struct onnx_run *run, const struct onnx_step *step, void **pointers,
                          mm_error *err) {
    MMI_TRY(mmi_onnx_wait_for(run, step->weights_end, err));
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
                             .scratch = run->scratch + step->scratch_offset,
                             .services = run->attached->services,
                             .take_text = mmi_onnx_take_run_text,
                             .text_ctx = &run->memory};
    return mmi_onnx_fail_node(&run->attached->prepared->model, step->node, step->run(&call, err),
                              err);
}

/* Memory for the outputs that the steps write, also for one that this request does not want. */
static mm_status place_outputs(struct onnx_run *run, const struct onnx_steps *steps,
                               mm_error *err) {
    for (uint32_t i = 0; i < run->attached->prepared->model.main->output_count; i++) {
        const struct onnx_tensor *tensor = &steps->outputs[i];
        mm_value *output = &run->outputs[i];
        if (tensor->dtype == MM_DTYPE_NONE) {
            continue;
        }
        bool unwanted = output->flags & MM_VALUE_UNWANTED;
        output->kind = MM_TENSOR;
        output->dtype = tensor->dtype;
        output->rank = tensor->rank;
        memcpy(output->shape, tensor->shape, sizeof(output->shape));
        output->bytes = tensor->bytes;
        if (tensor->bytes == 0 || (output->data && !unwanted)) {
            continue;
        }
        output->data = unwanted ? run->exec->scratch_more(run->exec, tensor->bytes)
                                : run->exec->output(run->exec, i, tensor->bytes);
        if (!output->data) {
            return mmi_fail(err, unwanted ? MM_NO_ROOM_FOR_ACTIVATIONS : MM_BUFFER_TOO_SMALL,
                            "onnx: no room for %llu bytes of output %s",
                            (unsigned long long)tensor->bytes,
                            run->attached->prepared->model.outputs[i].name);
        }
    }
    return MM_OK;
}

/* Scratch, of which all segments have one in turn, and the block of results. */
static mm_status place_memory(struct onnx_run *run, const struct onnx_steps *steps, mm_error *err) {
    if (steps->activation_bytes > run->scratch_bytes) {
        mmi_onnx_block_drop(&run->memory, run->scratch_block);
        run->scratch_block = mmi_onnx_block_take(&run->memory, steps->activation_bytes);
        if (!run->scratch_block) {
            return mmi_onnx_no_run_memory(steps->activation_bytes, err);
        }
        run->scratch = mmi_onnx_block_data(run->scratch_block);
        run->scratch_bytes = steps->activation_bytes;
    }
    run->results = NULL;
    if (steps->results_bytes > 0) {
        run->results = mmi_onnx_block_take(&run->memory, steps->results_bytes);
        if (!run->results) {
            return mmi_onnx_no_run_memory(steps->results_bytes, err);
        }
    }
    return MM_OK;
}

static uint64_t now(const struct onnx_run *run) {
    const mm_services *services = run->attached->services;
    return services->now_ns(services->host);
}

static mm_status run_timed(struct onnx_run *run, const struct onnx_step *step, void **pointers,
                           mm_error *err) {
    struct onnx_timed timed = {
        .run = run->number, .begin_ns = now(run), .fast = step->run != step->node->op->run};
    MMI_TRY(run_step(run, step, pointers, err));
    timed.end_ns = now(run);
    timed.cost = mmi_onnx_step_cost(step);
    mmi_onnx_profile_add(run->profile, step->node, &timed);
    return MM_OK;
}

static mm_status run_all(struct onnx_run *run, const struct onnx_steps *steps, mm_error *err) {
    void **pointers = steps->count ? (void **)(run->scratch + steps->pointers_offset) : NULL;
    mm_status (*run_one)(struct onnx_run *, const struct onnx_step *, void **, mm_error *) =
        run->profile ? run_timed : run_step;
    for (uint32_t i = 0; i < steps->count; i++) {
        if (run->exec->stopped(run->exec)) {
            return mmi_fail(err, MM_CANCELLED, "onnx: the run was ended before step %u of %u", i,
                            steps->count);
        }
        MMI_TRY(run_one(run, &steps->steps[i], pointers, err));
    }
    return MM_OK;
}

/* ---- Results --------------------------------------------------------------------------------- */

static mm_status copy_text(struct onnx_run *run, const struct onnx_run_value *value,
                           mm_error *err) {
    struct onnx_string *strings = mmi_onnx_value_data(value);
    for (uint64_t i = 0; i < value->tensor.elements; i++) {
        if (strings[i].bytes > 0) {
            void *text = mmi_onnx_take_run_text(&run->memory, strings[i].bytes);
            if (!text) {
                return mmi_onnx_no_run_memory(strings[i].bytes, err);
            }
            memcpy(text, strings[i].at, strings[i].bytes);
            strings[i].at = text;
        }
    }
    return MM_OK;
}

/* What is known lies in the plan, which may go before the value does. */
static mm_status copy_known(struct onnx_run *run, const struct onnx_placed *result,
                            struct onnx_run_value *value, mm_error *err) {
    MMI_TRY(mmi_onnx_make_tensor(&run->memory, result->tensor.dtype, result->tensor.rank,
                                 result->tensor.shape, value, err));
    value->tensor.known = 1;
    if (result->tensor.bytes > 0) {
        memcpy(mmi_onnx_value_data(value), result->tensor.data, result->tensor.bytes);
    }
    return result->tensor.dtype == MM_STRING ? copy_text(run, value, err) : MM_OK;
}

static struct onnx_run_block *block_of(const struct onnx_run *run, const struct onnx_place *place) {
    return place->base == ONNX_AT_RESULTS ? run->results
           : place->base == ONNX_AT_VALUE ? run->values[place->index].block
                                          : NULL;
}

static mm_status keep_results(struct onnx_run *run, const struct onnx_steps *steps, mm_error *err) {
    for (uint32_t i = 0; i < steps->result_count; i++) {
        const struct onnx_placed *result = &steps->results[i];
        struct onnx_run_value value = {.kind = MM_TENSOR, .there = true, .tensor = result->tensor};
        if (result->tensor.known) {
            MMI_TRY(copy_known(run, result, &value, err));
        } else {
            value.tensor.data =
                result->tensor.bytes == 0 ? mmi_onnx_nothing : find(run, &result->place);
            value.block = block_of(run, &result->place);
            mmi_onnx_block_hold(value.block);
            MMI_TRY(result->place.base == ONNX_AT_WEIGHTS
                        ? mmi_onnx_wait_for(run, result->place.offset + result->tensor.bytes, err)
                        : MM_OK);
        }
        mmi_onnx_drop_value(&run->memory, &run->values[result->value]);
        run->values[result->value] = value;
    }
    mmi_onnx_block_drop(&run->memory, run->results);
    return MM_OK;
}

mm_status mmi_onnx_run_steps(struct onnx_run *run, const struct onnx_steps *steps, mm_error *err) {
    MMI_TRY(place_outputs(run, steps, err));
    MMI_TRY(place_memory(run, steps, err));
    MMI_TRY(run_all(run, steps, err));
    return keep_results(run, steps, err);
}

/* ---- A run ----------------------------------------------------------------------------------- */

static void *more_memory(void *exec, uint64_t bytes) {
    return ((mm_exec *)exec)->scratch_more(exec, bytes);
}

static mm_status run_model(struct onnx_run *run, mm_error *err) {
    const struct onnx_steps *first = &run->signature->first;
    return first->whole && !run->attached->prepared->strings ? mmi_onnx_run_steps(run, first, err)
                                                             : mmi_onnx_run_segments(run, err);
}

mm_status mmi_onnx_run(const struct onnx_attached *attached, mm_exec *exec,
                       struct onnx_signature *signature, const mm_value *inputs, mm_value *outputs,
                       mm_error *err) {
    struct onnx_run run = {.attached = attached,
                           .signature = signature,
                           .exec = exec,
                           .inputs = inputs,
                           .outputs = outputs,
                           .memory = {.more = more_memory, .ctx = exec},
                           .scratch = exec->scratch,
                           .scratch_bytes = exec->scratch_bytes};
    if (!signature->profile) {
        return run_model(&run, err);
    }
    run.profile = signature->profile;
    run.number = mmi_onnx_profile_begin(run.profile, now(&run));
    mm_status status = run_model(&run, err);
    mmi_onnx_profile_end(run.profile, run.number, now(&run), status == MM_OK);
    return status;
}
