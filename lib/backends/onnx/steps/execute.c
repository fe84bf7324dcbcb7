/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/operators/execution.h>
#include <backends/onnx/steps/running.h>
#include <base/status.h>

#include <string.h>

/* ---- Values ---------------------------------------------------------------------------------- */

/* Once more, wherever it lies; not `there` where it is left out. */
static mm_status take_value(struct onnx_run *run, uint32_t value, struct onnx_run_value *taken,
                            mm_error *err) {
    const struct onnx_prepared *prepared = run->attached->prepared;
    *taken = (struct onnx_run_value){0};
    if (value == ONNX_NO_VALUE) {
        return MM_OK;
    }
    const struct onnx_tensor *constant = prepared->model.values[value].constant;
    if (!constant) {
        *taken = mmi_onnx_share_value(&run->values[value]);
        return MM_OK;
    }
    *taken = (struct onnx_run_value){.kind = MM_TENSOR, .there = true, .tensor = *constant};
    if (constant->bytes == 0) {
        taken->tensor.data = mmi_onnx_nothing;
    } else if (!constant->known) {
        uint64_t offset = prepared->weights.offsets[value];
        MMI_TRY(mmi_onnx_wait_for(run, offset + constant->bytes, err));
        taken->tensor.data = (const uint8_t *)run->attached->region.base + offset;
    }
    return MM_OK;
}

/* The values of `graph` among these that no node from `at` on reads. */
static void drop_ended(struct onnx_run *run, const struct onnx_graph *graph, uint32_t at,
                       const uint32_t *values, uint32_t count) {
    const struct onnx_lifetime *lifetimes = run->attached->prepared->lifetimes;
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE && lifetimes[values[i]].home == graph &&
            lifetimes[values[i]].until <= at) {
            mmi_onnx_drop_value(&run->memory, &run->values[values[i]]);
        }
    }
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void note_cost(const struct onnx_execution *x, const struct onnx_inference *inference,
                      bool fast) {
    struct onnx_run *run = x->ctx;
    if (run->profile) {
        const struct onnx_costed costed = {.op = x->node->op,
                                           .params = x->params,
                                           .input_count = x->input_count,
                                           .output_count = x->output_count,
                                           .inputs = inference->inputs,
                                           .outputs = inference->outputs};
        run->cost = mmi_onnx_cost(&costed);
        run->fast = fast;
    }
}

/* A node of the kind that is planned, whose shapes only its inputs' elements tell. */
static mm_status run_kernel(const struct onnx_execution *x, struct onnx_inference *inference,
                            mm_error *err) {
    const struct onnx_operator *op = x->node->op;
    onnx_kernel fast = mmi_onnx_cpu_kernel(op, inference, x->services);
    const void **in = NULL;
    struct onnx_run_block *pointers = mmi_onnx_block_take(
        x->memory, ((uint64_t)x->input_count + x->output_count) * sizeof(void *));
    struct onnx_run_block *scratch =
        inference->scratch_bytes ? mmi_onnx_block_take(x->memory, inference->scratch_bytes) : NULL;
    if (!pointers || (inference->scratch_bytes && !scratch)) {
        return mmi_onnx_no_run_memory(inference->scratch_bytes, err);
    }
    in = mmi_onnx_block_data(pointers);
    void **out = (void **)(uintptr_t)(in + x->input_count);
    for (uint32_t i = 0; i < x->input_count; i++) {
        in[i] = x->inputs[i].there ? x->inputs[i].tensor.data : NULL;
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        bool wanted = x->node->outputs[i] != ONNX_NO_VALUE && x->outputs[i].tensor.bytes > 0;
        out[i] = wanted ? mmi_onnx_value_data(&x->outputs[i]) : NULL;
    }
    struct onnx_call call = {.params = x->params,
                             .input_count = x->input_count,
                             .output_count = x->output_count,
                             .inputs = inference->inputs,
                             .outputs = inference->outputs,
                             .in = in,
                             .out = out,
                             .scratch = scratch ? mmi_onnx_block_data(scratch) : NULL,
                             .services = x->services,
                             .take_text = mmi_onnx_take_run_text,
                             .text_ctx = x->memory};
    note_cost(x, inference, fast != NULL);
    mm_status status = (fast ? fast : op->run)(&call, err);
    mmi_onnx_block_drop(x->memory, pointers);
    mmi_onnx_block_drop(x->memory, scratch);
    return status;
}

static mm_status compute(const struct onnx_execution *x, struct onnx_inference *inference,
                         mm_error *err) {
    MMI_TRY(mmi_onnx_infer(x->node->op, inference, err));
    if (x->node->op->flags & ONNX_OP_VIEW) {
        struct onnx_tensor shape = inference->outputs[0];
        x->outputs[0] = mmi_onnx_share_value(&x->inputs[0]);
        shape.data = x->inputs[0].tensor.data;
        x->outputs[0].tensor = shape;
        return MM_OK;
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        const struct onnx_tensor *output = &inference->outputs[i];
        if (x->node->outputs[i] != ONNX_NO_VALUE) {
            MMI_TRY(mmi_onnx_make_tensor(x->memory, output->dtype, output->rank, output->shape,
                                         &x->outputs[i], err));
        }
    }
    return run_kernel(x, inference, err);
}

static mm_status execute_plain(const struct onnx_execution *x, mm_error *err) {
    uint64_t count = (uint64_t)x->input_count + x->output_count;
    struct onnx_run_block *block =
        mmi_onnx_block_take(x->memory, count * sizeof(struct onnx_tensor));
    if (!block) {
        return mmi_onnx_no_run_memory(count * sizeof(struct onnx_tensor), err);
    }
    struct onnx_tensor *tensors = mmi_onnx_block_data(block);
    memset(tensors, 0, count * sizeof(*tensors));
    for (uint32_t i = 0; i < x->input_count; i++) {
        if (x->inputs[i].there) {
            tensors[i] = x->inputs[i].tensor;
            tensors[i].known = 1;
        }
    }
    struct onnx_inference inference = {.params = x->params,
                                       .input_count = x->input_count,
                                       .output_count = x->output_count,
                                       .inputs = tensors,
                                       .outputs = tensors + x->input_count};
    mm_status status = compute(x, &inference, err);
    mmi_onnx_block_drop(x->memory, block);
    return status;
}

static bool has_other_kinds(const struct onnx_execution *x) {
    bool other = false;
    for (uint32_t i = 0; i < x->input_count; i++) {
        other |= x->inputs[i].there && x->inputs[i].kind != MM_TENSOR;
    }
    return other;
}

static mm_status call_graph(void *ctx, const struct onnx_graph *graph,
                            struct onnx_run_value *inputs, struct onnx_run_value *outputs,
                            mm_error *err);

/* `values`: room for inputs and outputs, zeroed. */
static mm_status execute_with(struct onnx_run *run, const struct onnx_node *node,
                              struct onnx_run_value *values, mm_error *err) {
    const struct onnx_operator *op = node->op;
    for (uint32_t i = 0; i < node->input_count; i++) {
        MMI_TRY(take_value(run, node->inputs[i], &values[i], err));
    }
    struct onnx_execution x = {.node = node,
                               .params = node->params,
                               .input_count = node->input_count,
                               .output_count = node->output_count,
                               .inputs = values,
                               .outputs = values + node->input_count,
                               .memory = &run->memory,
                               .services = run->attached->services,
                               .call = call_graph,
                               .ctx = run};
    bool other = has_other_kinds(&x);
    if (other && !op->execute) {
        return mmi_fail(err, MM_UNSUPPORTED, "an input that is no tensor");
    }
    bool plain = op->run && !(op->execute && other);
    return plain ? execute_plain(&x, err) : op->execute(&x, err);
}

static mm_status execute_node(struct onnx_run *run, const struct onnx_graph *graph, uint32_t at,
                              mm_error *err) {
    const struct onnx_node *node = graph->nodes[at];
    uint64_t count = (uint64_t)node->input_count + node->output_count;
    struct onnx_run_block *block =
        mmi_onnx_block_take(&run->memory, count * sizeof(struct onnx_run_value));
    if (!block) {
        return mmi_onnx_no_run_memory(count * sizeof(struct onnx_run_value), err);
    }
    struct onnx_run_value *values = mmi_onnx_block_data(block);
    memset(values, 0, count * sizeof(*values));
    MMI_TRY(execute_with(run, node, values, err)); /* a run that fails drops nothing */
    for (uint32_t i = 0; i < node->input_count; i++) {
        mmi_onnx_drop_value(&run->memory, &values[i]);
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        struct onnx_run_value *made = &values[node->input_count + i];
        if (node->outputs[i] == ONNX_NO_VALUE) {
            mmi_onnx_drop_value(&run->memory, made);
            continue;
        }
        mmi_onnx_drop_value(&run->memory, &run->values[node->outputs[i]]);
        run->values[node->outputs[i]] = *made;
    }
    mmi_onnx_block_drop(&run->memory, block);
    drop_ended(run, graph, at + 1, node->inputs, node->input_count);
    drop_ended(run, graph, at + 1, node->outputs, node->output_count);
    for (uint32_t i = 0; i < node->graph_count; i++) {
        drop_ended(run, graph, at + 1, node->graphs[i]->captures, node->graphs[i]->capture_count);
    }
    return MM_OK;
}

/* The nodes of its graphs are timed on their own, inside of its time. */
static mm_status execute_timed(struct onnx_run *run, const struct onnx_graph *graph, uint32_t at,
                               mm_error *err) {
    const mm_services *services = run->attached->services;
    const struct onnx_node *node = graph->nodes[at];
    struct onnx_timed timed = {.run = run->number, .begin_ns = services->now_ns(services->host)};
    run->cost = (struct onnx_cost){0, 0};
    run->fast = false;
    MMI_TRY(execute_node(run, graph, at, err));
    timed.end_ns = services->now_ns(services->host);
    if (node->op->run) { /* else the last cost is that of a node inside */
        timed.cost = run->cost;
        timed.fast = run->fast;
    }
    mmi_onnx_profile_add(run->profile, node, &timed);
    return MM_OK;
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

static mm_status run_segment(struct onnx_run *run, const struct onnx_graph *graph,
                             const struct onnx_steps *steps, mm_error *err) {
    const struct onnx_lifetime *lifetimes = run->attached->prepared->lifetimes;
    MMI_TRY(mmi_onnx_run_steps(run, steps, err));
    for (uint32_t i = 0; i < steps->guard_count; i++) {
        uint32_t value = steps->guards[i].value;
        if (lifetimes[value].home == graph && lifetimes[value].until <= steps->end) {
            mmi_onnx_drop_value(&run->memory, &run->values[value]);
        }
    }
    return MM_OK;
}

/* The segment from node *at on; *at: where it ends. */
static mm_status find_and_run(struct onnx_run *run, const struct onnx_graph *graph, uint32_t *at,
                              mm_error *err) {
    const struct onnx_prepared *prepared = run->attached->prepared;
    bool first = graph == prepared->model.main && *at == 0; /* binds inputs that are outputs */
    if (!first && *at < graph->node_count && mmi_onnx_is_dynamic(graph->nodes[*at]->op)) {
        return MM_OK; /* nothing to plan before it */
    }
    struct onnx_start start = {.prepared = prepared,
                               .services = run->attached->services,
                               .graph = graph,
                               .at = *at,
                               .inputs = run->inputs,
                               .values = run->values};
    const struct onnx_steps *steps = NULL;
    struct onnx_segment *own = NULL;
    if (first) {
        steps = &run->signature->first;
    } else {
        MMI_TRY(mmi_onnx_find_segment(&run->signature->later, &start, &steps, &own, err));
    }
    mm_status status = run_segment(run, graph, steps, err);
    *at = steps->end;
    mmi_onnx_segment_free(own);
    return status;
}

static mm_status run_graph(struct onnx_run *run, const struct onnx_graph *graph, mm_error *err) {
    const struct onnx_model *model = &run->attached->prepared->model;
    for (uint32_t at = 0;; at++) {
        MMI_TRY(find_and_run(run, graph, &at, err));
        if (at >= graph->node_count) {
            return MM_OK;
        }
        if (run->exec->stopped(run->exec)) {
            return mmi_fail(err, MM_CANCELLED, "onnx: the run was ended before node %u of %u", at,
                            graph->node_count);
        }
        mm_status status = (run->profile ? execute_timed : execute_node)(run, graph, at, err);
        MMI_TRY(mmi_onnx_fail_node(model, graph->nodes[at], status, err));
    }
}

/* Of a node. Its values are written anew each time. */
static mm_status call_graph(void *ctx, const struct onnx_graph *graph,
                            struct onnx_run_value *inputs, struct onnx_run_value *outputs,
                            mm_error *err) {
    struct onnx_run *run = ctx;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        run->values[graph->inputs[i]] = inputs[i];
        inputs[i] = (struct onnx_run_value){0};
    }
    MMI_TRY(run_graph(run, graph, err));
    for (uint32_t i = 0; i < graph->output_count; i++) {
        MMI_TRY(take_value(run, graph->outputs[i], &outputs[i], err));
    }
    for (uint32_t i = 0; i < graph->input_count; i++) {
        mmi_onnx_drop_value(&run->memory, &run->values[graph->inputs[i]]);
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        if (run->attached->prepared->lifetimes[graph->outputs[i]].home == graph) {
            mmi_onnx_drop_value(&run->memory, &run->values[graph->outputs[i]]);
        }
    }
    return MM_OK;
}

/* ---- The whole model ------------------------------------------------------------------------- */

static mm_status read_inputs(struct onnx_run *run, mm_error *err) {
    const struct onnx_model *model = &run->attached->prepared->model;
    const struct onnx_graph *main = model->main;
    struct onnx_run_block *block =
        mmi_onnx_block_take(&run->memory, main->input_count * sizeof(mm_value));
    if (!block) {
        return mmi_onnx_no_run_memory(main->input_count * sizeof(mm_value), err);
    }
    mm_value *inputs = mmi_onnx_block_data(block);
    for (uint32_t i = 0; i < main->input_count; i++) {
        struct onnx_run_value *value = &run->values[main->inputs[i]];
        inputs[i] = run->inputs[i];
        if (inputs[i].kind != MM_TENSOR && model->defaults &&
            model->defaults[i] != ONNX_NO_VALUE) { /* left out */
            MMI_TRY(take_value(run, model->defaults[i], value, err));
            continue;
        }
        MMI_TRY(mmi_onnx_read_input(&run->memory, &inputs[i], value, err));
        if (value->there && value->kind == MM_TENSOR) { /* as steps read it */
            inputs[i].data = mmi_onnx_value_data(value);
            inputs[i].bytes = value->tensor.bytes;
        }
    }
    run->inputs = inputs;
    return MM_OK;
}

/* Those that no plan has bound. */
static mm_status write_outputs(struct onnx_run *run, mm_error *err) {
    const struct onnx_model *model = &run->attached->prepared->model;
    for (uint32_t i = 0; i < model->main->output_count; i++) {
        struct onnx_run_value value;
        if (run->signature->first.outputs[i].dtype != MM_DTYPE_NONE) {
            continue;
        }
        MMI_TRY(take_value(run, model->main->outputs[i], &value, err));
        bool written = run->outputs[i].data && run->outputs[i].data == value.tensor.data;
        if (value.there && !written) {
            MMI_TRY(mmi_onnx_write_output(run->exec, i, &value, &run->outputs[i], err));
        }
        mmi_onnx_drop_value(&run->memory, &value);
    }
    return MM_OK;
}

mm_status mmi_onnx_no_run_memory(uint64_t bytes, mm_error *err) {
    return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "onnx: no room for %llu bytes of activations",
                    (unsigned long long)bytes);
}

mm_status mmi_onnx_run_segments(struct onnx_run *run, mm_error *err) {
    const struct onnx_model *model = &run->attached->prepared->model;
    struct onnx_run_block *free[ONNX_RUN_CLASSES] = {0};
    run->memory.free = free;
    uint64_t bytes = (uint64_t)model->value_count * sizeof(*run->values);
    struct onnx_run_block *block = mmi_onnx_block_take(&run->memory, bytes);
    if (!block) {
        return mmi_onnx_no_run_memory(bytes, err);
    }
    run->values = mmi_onnx_block_data(block);
    memset(run->values, 0, bytes);
    MMI_TRY(read_inputs(run, err));
    MMI_TRY(run_graph(run, model->main, err));
    return write_outputs(run, err);
}
