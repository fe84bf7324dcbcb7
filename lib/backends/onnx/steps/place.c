/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/walk.h>
#include <base/checked.h>
#include <base/status.h>

/* ---- Outputs of the response ----------------------------------------------------------------- */

/* This segment can write it to the response: it makes it, or nobody does and it is the first one.
 * Strings take another form there, so the run writes them. */
static bool is_bound_here(const struct onnx_walk *walk, const struct onnx_known *known) {
    const struct onnx_start *start = walk->start;
    return start->graph == start->prepared->model.main && known->tensor.dtype != MM_DTYPE_NONE &&
           known->tensor.dtype != MM_STRING && (known->made || start->at == 0);
}

static mm_status copy_to_output(struct onnx_walk *walk, uint32_t value, uint32_t output,
                                mm_error *err) {
    static const struct onnx_node no_node = {.name = "",
                                             .type = "Identity",
                                             .domain = "",
                                             .op = &mmi_onnx_op_Identity,
                                             .output_count = 0};
    struct onnx_tensor *tensors = mmi_onnx_take(walk->keep, 2, sizeof(*tensors));
    struct onnx_node *node = mmi_onnx_take(walk->keep, 1, sizeof(*node));
    uint32_t *numbers = mmi_onnx_take(walk->keep, 2, sizeof(*numbers));
    if (!tensors || !node || !numbers) {
        return mmi_onnx_walk_no_memory(err);
    }
    struct onnx_known *known = &walk->known[value], before = *known;
    *node = no_node;
    numbers[0] = numbers[1] = value;
    node->inputs = numbers;
    node->outputs = numbers + 1;
    tensors[0] = tensors[1] = known->tensor;
    struct onnx_inference x = {
        .input_count = 1, .output_count = 1, .inputs = tensors, .outputs = tensors + 1};
    MMI_TRY(mmi_onnx_add_step(walk, node, &x, err));
    walk->plan.buffers[known->buffer].output = output;
    walk->plan.buffers[known->buffer].last = UINT32_MAX;
    *known = before; /* other users read the value where it was */
    return MM_OK;
}

/* The step that makes the output writes to the response, or a copy into it is added. */
static mm_status bind_output(struct onnx_walk *walk, uint32_t value, uint32_t output,
                             mm_error *err) {
    const struct onnx_known *known = &walk->known[value];
    if (known->tensor.bytes == 0) {
        return MM_OK;
    }
    struct onnx_buffer *buffer =
        known->buffer == ONNX_NO_BUFFER ? NULL : &walk->plan.buffers[known->buffer];
    if (!buffer || buffer->output != ONNX_NO_OUTPUT) {
        return copy_to_output(walk, value, output, err);
    }
    buffer->output = output;
    buffer->last = UINT32_MAX;
    return MM_OK;
}

static mm_status bind_outputs(struct onnx_walk *walk, struct onnx_steps *steps, mm_error *err) {
    const struct onnx_graph *main = walk->start->prepared->model.main;
    struct onnx_tensor *outputs = mmi_onnx_take(walk->keep, main->output_count, sizeof(*outputs));
    if (!outputs) {
        return mmi_onnx_walk_no_memory(err);
    }
    steps->whole = steps->end == walk->start->graph->node_count;
    for (uint32_t i = 0; i < main->output_count; i++) {
        const struct onnx_known *known = &walk->known[main->outputs[i]];
        bool bound = is_bound_here(walk, known);
        steps->whole &= bound;
        if (bound) {
            outputs[i] = known->tensor;
            MMI_TRY(bind_output(walk, main->outputs[i], i, err));
        }
    }
    steps->outputs = outputs;
    return MM_OK;
}

/* ---- Results for later segments -------------------------------------------------------------- */

/* Somebody reads it after this segment: a later node, or what ends the graph. */
static bool is_read_later(const struct onnx_walk *walk, uint32_t value, uint32_t end) {
    const struct onnx_start *start = walk->start;
    uint32_t until = start->prepared->lifetimes[value].until;
    bool over = end == start->graph->node_count && start->graph == start->prepared->model.main;
    bool written = over && walk->known[value].tensor.dtype != MM_STRING; /* to the response */
    return until > end && !written;
}

static mm_status add_result(struct onnx_walk *walk, uint32_t value, struct onnx_steps *steps,
                            uint32_t *capacity, mm_error *err) {
    const struct onnx_known *known = &walk->known[value];
    if (!mmi_onnx_grow(walk->keep, (void **)&steps->results, capacity, steps->result_count,
                       sizeof(*steps->results))) {
        return mmi_onnx_walk_no_memory(err);
    }
    if (known->buffer != ONNX_NO_BUFFER &&
        walk->plan.buffers[known->buffer].output == ONNX_NO_OUTPUT) {
        walk->plan.buffers[known->buffer].output = ONNX_A_RESULT;
    }
    steps->results[steps->result_count++] =
        (struct onnx_placed){.value = value, .tensor = known->tensor, .place = known->place};
    return MM_OK;
}

static mm_status add_results(struct onnx_walk *walk, struct onnx_steps *steps, mm_error *err) {
    const struct onnx_start *start = walk->start;
    uint32_t capacity = 0;
    for (uint32_t i = start->at; i < steps->end; i++) {
        const struct onnx_node *node = start->graph->nodes[i];
        for (uint32_t j = 0; j < node->output_count; j++) {
            uint32_t value = node->outputs[j];
            if (value != ONNX_NO_VALUE && is_read_later(walk, value, steps->end) &&
                walk->known[value].tensor.dtype != MM_DTYPE_NONE) {
                MMI_TRY(add_result(walk, value, steps, &capacity, err));
            }
        }
    }
    return MM_OK;
}

/* ---- Offsets --------------------------------------------------------------------------------- */

/* Steps that may work in place do, if their input ends there. */
static void share_in_place(struct onnx_walk *walk) {
    for (uint32_t s = 0; s < walk->count; s++) {
        const struct onnx_step *step = &walk->steps[s];
        uint32_t result = step->output_count > 0 ? walk->buffers[s].out[0] : ONNX_NO_BUFFER;
        if (!(step->node->op->flags & ONNX_OP_IN_PLACE) || result == ONNX_NO_BUFFER) {
            continue;
        }
        uint32_t width = mmi_onnx_element_bytes(step->outputs[0].dtype);
        for (uint32_t i = 0; i < step->input_count; i++) {
            uint32_t input = walk->buffers[s].in[i];
            bool same = input != ONNX_NO_BUFFER &&
                        step->inputs[i].bytes == step->outputs[0].bytes &&
                        mmi_onnx_element_bytes(step->inputs[i].dtype) == width;
            if (same && mmi_onnx_plan_buffer(&walk->plan, result)->shares == result) {
                mmi_onnx_plan_share(&walk->plan, input, result, s);
            }
        }
    }
}

static void settle_place(struct onnx_walk *walk, uint32_t buffer, struct onnx_place *place) {
    if (buffer == ONNX_NO_BUFFER) {
        return;
    }
    const struct onnx_buffer *where = mmi_onnx_plan_buffer(&walk->plan, buffer);
    *place = where->output == ONNX_NO_OUTPUT
                 ? (struct onnx_place){.base = ONNX_AT_SCRATCH, .offset = where->offset}
             : where->output == ONNX_A_RESULT
                 ? (struct onnx_place){.base = ONNX_AT_RESULTS, .offset = where->offset}
                 : (struct onnx_place){.base = ONNX_AT_OUTPUT, .index = where->output};
}

static void settle(struct onnx_walk *walk, struct onnx_steps *steps) {
    for (uint32_t s = 0; s < walk->count; s++) {
        struct onnx_step *step = &walk->steps[s];
        const struct onnx_step_buffers *buffers = &walk->buffers[s];
        for (uint32_t i = 0; i < step->input_count; i++) {
            settle_place(walk, buffers->in[i], &step->in[i]);
        }
        for (uint32_t i = 0; i < step->output_count; i++) {
            settle_place(walk, buffers->out[i], &step->out[i]);
        }
        if (buffers->scratch != ONNX_NO_BUFFER) {
            step->scratch_offset = walk->plan.buffers[buffers->scratch].offset;
        }
    }
    for (uint32_t i = 0; i < steps->result_count; i++) {
        struct onnx_placed *result = &steps->results[i];
        settle_place(walk, walk->known[result->value].buffer, &result->place);
    }
}

mm_status mmi_onnx_place_all(struct onnx_walk *walk, uint32_t end, struct onnx_steps *steps,
                             mm_error *err) {
    steps->end = end;
    MMI_TRY(bind_outputs(walk, steps, err));
    MMI_TRY(add_results(walk, steps, err));
    share_in_place(walk);
    uint64_t bytes;
    if (!mmi_onnx_plan_offsets(&walk->plan, &bytes) || !mmi_round_up(bytes, 64, &bytes)) {
        return mmi_onnx_walk_no_memory(err);
    }
    settle(walk, steps);
    steps->steps = walk->steps;
    steps->count = walk->count;
    steps->guards = walk->guards;
    steps->guard_count = walk->guard_count;
    steps->results_bytes = walk->plan.result_bytes;
    steps->max_arguments = walk->max_arguments;
    steps->pointers_offset = bytes;
    steps->activation_bytes = bytes + walk->max_arguments * sizeof(void *);
    return MM_OK;
}
