/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/steps/memory_plan.h>
#include <backends/onnx/steps/steps.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Results up to this size are computed here if all inputs are known; with shape inputs, up to
 * twice their size more. */
#define KNOWN_BYTES 4096

/* What is known of a value while the graph is walked. */
struct fact {
    struct onnx_tensor tensor; /* dtype MM_DTYPE_NONE: nothing yet, or left out */
    struct onnx_place place;   /* without a buffer */
    uint32_t buffer;
};

struct walk {
    const struct onnx_prepared *prepared;
    const mm_services *services;
    struct onnx_arena *keep; /* for what the steps need */
    struct onnx_arena work;  /* freed at the end */
    struct fact *facts;      /* [value_count] */
    struct onnx_memory_plan plan;
    struct onnx_step *steps;
    struct walk_step *marks; /* [count]: beside steps */
    uint32_t count, capacity, mark_capacity, max_arguments;
    uint64_t known_bytes;
};

/* The part of a step that waits for the memory plan. */
struct walk_step {
    uint32_t *in, *out; /* buffers of the plan, or ONNX_NO_BUFFER */
    uint32_t scratch;
};

static mm_status no_memory(mm_error *err) {
    return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for the steps of a signature");
}

/* ---- Facts */

static struct fact nothing(void) {
    return (struct fact){.buffer = ONNX_NO_BUFFER};
}

static void know_constants(struct walk *walk) {
    const struct onnx_prepared *prepared = walk->prepared;
    for (uint32_t i = 0; i < prepared->model.value_count; i++) {
        const struct onnx_tensor *constant = prepared->model.values[i].constant;
        walk->facts[i] = nothing();
        if (!constant) {
            continue;
        }
        walk->facts[i].tensor = *constant;
        walk->facts[i].place =
            constant->bytes == 0 ? (struct onnx_place){0}
            : constant->known ? (struct onnx_place){.base = ONNX_AT_MEMORY, .known = constant->data}
                              : (struct onnx_place){.base = ONNX_AT_WEIGHTS,
                                                    .offset = prepared->weights.offsets[i]};
    }
}

/* A copy, which is the same for all runs of the signature, whatever becomes of the request's. */
static mm_status know_elements(struct walk *walk, struct fact *fact, const void *data,
                               mm_error *err) {
    uint64_t bytes = fact->tensor.bytes;
    void *copy = mmi_onnx_take_data(walk->keep, bytes);
    if (!copy) {
        return no_memory(err);
    }
    if (bytes > 0) {
        memcpy(copy, data, bytes);
        fact->place = (struct onnx_place){.base = ONNX_AT_MEMORY, .known = copy};
    }
    fact->tensor.data = copy;
    fact->tensor.known = 1;
    walk->known_bytes = mmi_add_cap(walk->known_bytes, mmi_add_cap(bytes, bytes));
    return MM_OK;
}

static mm_status know_input(struct walk *walk, uint32_t i, const mm_value *input, mm_error *err) {
    const struct onnx_model *model = &walk->prepared->model;
    struct fact *fact = &walk->facts[model->main->inputs[i]];
    if (input->kind == MM_OPTIONAL) {
        return MM_OK; /* left out */
    }
    MMI_TRY(mmi_onnx_tensor_set(&fact->tensor, input->dtype, input->rank, input->shape, err));
    if (fact->tensor.bytes > 0) {
        fact->place = (struct onnx_place){.base = ONNX_AT_INPUT, .index = i};
    }
    bool there = input->bytes == fact->tensor.bytes && (input->data || input->bytes == 0);
    if (model->inputs[i].flags & MM_VALUE_INFO_SHAPE_INPUT && there) {
        return know_elements(walk, fact, input->data, err);
    }
    return MM_OK;
}

/* ---- Steps */

static bool add_step(struct walk *walk) {
    return mmi_onnx_grow(walk->keep, (void **)&walk->steps, &walk->capacity, walk->count,
                         sizeof(*walk->steps)) &&
           mmi_onnx_grow(&walk->work, (void **)&walk->marks, &walk->mark_capacity, walk->count,
                         sizeof(*walk->marks));
}

/* Where the inputs lie; their buffers live at least until this step. */
static void use_inputs(struct walk *walk, const uint32_t *values, struct onnx_step *step,
                       struct walk_step *mark) {
    for (uint32_t i = 0; i < step->input_count; i++) {
        mark->in[i] = ONNX_NO_BUFFER;
        if (values[i] == ONNX_NO_VALUE) {
            continue;
        }
        const struct fact *fact = &walk->facts[values[i]];
        step->in[i] = fact->place;
        mark->in[i] = fact->buffer;
        if (fact->buffer != ONNX_NO_BUFFER) {
            walk->plan.buffers[fact->buffer].last = walk->count;
        } else if (fact->place.base == ONNX_AT_WEIGHTS) {
            step->weights_end =
                mmi_max_u64(step->weights_end, fact->place.offset + fact->tensor.bytes);
        }
    }
}

static bool make_outputs(struct walk *walk, const uint32_t *values, struct onnx_step *step,
                         struct walk_step *mark) {
    for (uint32_t i = 0; i < step->output_count; i++) {
        mark->out[i] = ONNX_NO_BUFFER;
        if (values[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct fact *fact = &walk->facts[values[i]];
        *fact = nothing();
        fact->tensor = step->outputs[i];
        if (fact->tensor.bytes > 0) {
            fact->buffer = mmi_onnx_plan_add(&walk->plan, fact->tensor.bytes, walk->count);
            mark->out[i] = fact->buffer;
            if (fact->buffer == ONNX_NO_BUFFER) {
                return false;
            }
        }
    }
    return true;
}

/* One node as a step: x has its shapes, in memory that is kept. */
static mm_status emit(struct walk *walk, const struct onnx_node *node, struct onnx_inference *x,
                      mm_error *err) {
    if (!add_step(walk)) {
        return no_memory(err);
    }
    struct onnx_step *step = &walk->steps[walk->count];
    struct walk_step *mark = &walk->marks[walk->count];
    onnx_kernel fast = mmi_onnx_cpu_kernel(node->op, x, walk->services);
    *step = (struct onnx_step){.run = fast ? fast : node->op->run,
                               .node = node,
                               .params = x->params,
                               .input_count = x->input_count,
                               .output_count = x->output_count,
                               .inputs = x->inputs,
                               .outputs = x->outputs};
    step->in = mmi_onnx_take(walk->keep, x->input_count, sizeof(*step->in));
    step->out = mmi_onnx_take(walk->keep, x->output_count, sizeof(*step->out));
    mark->in = mmi_onnx_take(&walk->work, x->input_count, sizeof(*mark->in));
    mark->out = mmi_onnx_take(&walk->work, x->output_count, sizeof(*mark->out));
    mark->scratch = ONNX_NO_BUFFER;
    if (!step->in || !step->out || !mark->in || !mark->out) {
        return no_memory(err);
    }
    use_inputs(walk, node->inputs, step, mark);
    bool made = make_outputs(walk, node->outputs, step, mark);
    if (made && x->scratch_bytes > 0) {
        mark->scratch = mmi_onnx_plan_add(&walk->plan, x->scratch_bytes, walk->count);
        made = mark->scratch != ONNX_NO_BUFFER;
    }
    walk->max_arguments =
        (uint32_t)mmi_max_u64(walk->max_arguments, (uint64_t)x->input_count + x->output_count);
    walk->count++;
    return made ? MM_OK : no_memory(err);
}

/* ---- Nodes */

static mm_status inference_of(struct walk *walk, const struct onnx_node *node,
                              struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor *inputs = mmi_onnx_take(walk->keep, node->input_count, sizeof(*inputs));
    struct onnx_tensor *outputs = mmi_onnx_take(walk->keep, node->output_count, sizeof(*outputs));
    if (!inputs || !outputs) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] != ONNX_NO_VALUE) {
            inputs[i] = walk->facts[node->inputs[i]].tensor;
        }
    }
    *x = (struct onnx_inference){.params = node->params,
                                 .input_count = node->input_count,
                                 .output_count = node->output_count,
                                 .inputs = inputs,
                                 .outputs = outputs};
    return MM_OK;
}

static bool all_known(const struct walk *walk, const struct onnx_operator *op,
                      const struct onnx_inference *x) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < x->input_count && !(op->flags & ONNX_OP_SHAPES_ONLY); i++) {
        if (mmi_onnx_has(x, i) && !x->inputs[i].known) {
            return false;
        }
        bytes = mmi_add_cap(bytes, x->inputs[i].bytes);
    }
    return bytes / 16 <= walk->known_bytes;
}

static void know_results(struct walk *walk, const struct onnx_node *node,
                         const struct onnx_inference *x) {
    for (uint32_t i = 0; i < x->output_count; i++) {
        if (node->outputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct fact *fact = &walk->facts[node->outputs[i]];
        *fact = nothing();
        fact->tensor = x->outputs[i];
        if (fact->tensor.bytes > 0) {
            fact->place = (struct onnx_place){.base = ONNX_AT_MEMORY, .known = fact->tensor.data};
        }
    }
}

/* The same bytes under another shape. */
static void view(struct walk *walk, const struct onnx_node *node, const struct onnx_inference *x) {
    struct fact fact = walk->facts[node->inputs[0]];
    struct onnx_tensor tensor = x->outputs[0];
    tensor.data = fact.tensor.data;
    tensor.known = fact.tensor.known;
    fact.tensor = tensor;
    walk->facts[node->outputs[0]] = fact;
}

static mm_status walk_plain(struct walk *walk, const struct onnx_node *node, mm_error *err) {
    struct onnx_inference x;
    MMI_TRY(inference_of(walk, node, &x, err));
    if (all_known(walk, node->op, &x)) {
        mm_status status =
            mmi_onnx_evaluate(node->op, &x, walk->keep, walk->known_bytes, walk->services, err);
        if (status != MM_TOO_LARGE) {
            MMI_TRY(status);
            know_results(walk, node, &x);
            return MM_OK;
        }
    }
    MMI_TRY(mmi_onnx_infer(node->op, &x, err));
    if (node->op->flags & ONNX_OP_VIEW && node->outputs[0] != ONNX_NO_VALUE) {
        view(walk, node, &x);
        return MM_OK;
    }
    return emit(walk, node, &x, err);
}

static mm_status walk_graph(struct walk *walk, const struct onnx_graph *graph, mm_error *err);

static mm_status choose_branch(const struct walk *walk, const struct onnx_node *node,
                               const struct onnx_graph **branch, mm_error *err) {
    const struct onnx_tensor *condition = &walk->facts[node->inputs[0]].tensor;
    if (condition->dtype != MM_BOOL || condition->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its condition is %" PRIu64 " elements of %s, one bool wanted",
                        condition->elements, mm_dtype_text(condition->dtype));
    }
    if (!condition->known) {
        return mmi_fail(err, MM_UNSUPPORTED, "its condition is not known before the run");
    }
    *branch = node->branches[mmi_onnx_int_at(condition, 0) ? 0 : 1];
    return MM_OK;
}

static mm_status walk_node(struct walk *walk, const struct onnx_node *node, mm_error *err) {
    const struct onnx_model *model = &walk->prepared->model;
    if (!(node->op->flags & ONNX_OP_CONTROL)) {
        return mmi_onnx_fail_node(model, node, walk_plain(walk, node, err), err);
    }
    const struct onnx_graph *branch = NULL;
    MMI_TRY(mmi_onnx_fail_node(model, node, choose_branch(walk, node, &branch, err), err));
    MMI_TRY(walk_graph(walk, branch, err)); /* names its own nodes */
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE) {
            walk->facts[node->outputs[i]] = walk->facts[branch->outputs[i]];
        }
    }
    return MM_OK;
}

static mm_status walk_graph(struct walk *walk, const struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        MMI_TRY(walk_node(walk, graph->nodes[i], err));
    }
    return MM_OK;
}

/* ---- The end */

/* The step that makes the output writes to the response, or a copy into it is added. */
static mm_status bind_output(struct walk *walk, uint32_t i, mm_error *err) {
    static const struct onnx_node no_node = {.name = "",
                                             .type = "Identity",
                                             .domain = "",
                                             .op = &mmi_onnx_op_Identity,
                                             .output_count = 0};
    uint32_t value = walk->prepared->model.main->outputs[i];
    struct fact *fact = &walk->facts[value];
    if (fact->tensor.bytes == 0) {
        return MM_OK;
    }
    if (fact->buffer != ONNX_NO_BUFFER &&
        walk->plan.buffers[fact->buffer].output == ONNX_NO_OUTPUT) {
        walk->plan.buffers[fact->buffer].output = i;
        walk->plan.buffers[fact->buffer].last = UINT32_MAX;
        return MM_OK;
    }
    struct onnx_tensor *tensors = mmi_onnx_take(walk->keep, 2, sizeof(*tensors));
    struct onnx_node *node = mmi_onnx_take(walk->keep, 1, sizeof(*node));
    uint32_t *numbers = mmi_onnx_take(walk->keep, 2, sizeof(*numbers));
    if (!tensors || !node || !numbers) {
        return no_memory(err);
    }
    *node = no_node;
    numbers[0] = numbers[1] = value;
    node->inputs = numbers;
    node->outputs = numbers + 1;
    tensors[0] = tensors[1] = fact->tensor;
    struct onnx_inference x = {
        .input_count = 1, .output_count = 1, .inputs = tensors, .outputs = tensors + 1};
    struct fact before = *fact;
    MMI_TRY(emit(walk, node, &x, err));
    walk->plan.buffers[fact->buffer].output = i;
    walk->plan.buffers[fact->buffer].last = UINT32_MAX;
    *fact = before; /* other users read the value where it was */
    return MM_OK;
}

static mm_status bind_outputs(struct walk *walk, struct onnx_steps *steps, mm_error *err) {
    const struct onnx_graph *main = walk->prepared->model.main;
    struct onnx_tensor *outputs = mmi_onnx_take(walk->keep, main->output_count, sizeof(*outputs));
    if (!outputs) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < main->output_count; i++) {
        outputs[i] = walk->facts[main->outputs[i]].tensor;
        MMI_TRY(bind_output(walk, i, err));
    }
    steps->outputs = outputs;
    return MM_OK;
}

/* Steps that may work in place do, if their input ends there. */
static void share_in_place(struct walk *walk) {
    for (uint32_t s = 0; s < walk->count; s++) {
        const struct onnx_step *step = &walk->steps[s];
        uint32_t result = step->output_count > 0 ? walk->marks[s].out[0] : ONNX_NO_BUFFER;
        if (!(step->node->op->flags & ONNX_OP_IN_PLACE) || result == ONNX_NO_BUFFER) {
            continue;
        }
        uint32_t width = mmi_onnx_element_bytes(step->outputs[0].dtype);
        for (uint32_t i = 0; i < step->input_count; i++) {
            uint32_t input = walk->marks[s].in[i];
            bool same = input != ONNX_NO_BUFFER &&
                        step->inputs[i].bytes == step->outputs[0].bytes &&
                        mmi_onnx_element_bytes(step->inputs[i].dtype) == width;
            if (same && mmi_onnx_plan_buffer(&walk->plan, result)->shares == result) {
                mmi_onnx_plan_share(&walk->plan, input, result, s);
            }
        }
    }
}

static void settle_place(struct walk *walk, uint32_t buffer, struct onnx_place *place) {
    if (buffer == ONNX_NO_BUFFER) {
        return;
    }
    const struct onnx_buffer *where = mmi_onnx_plan_buffer(&walk->plan, buffer);
    *place = where->output == ONNX_NO_OUTPUT
                 ? (struct onnx_place){.base = ONNX_AT_SCRATCH, .offset = where->offset}
                 : (struct onnx_place){.base = ONNX_AT_OUTPUT, .index = where->output};
}

static void settle(struct walk *walk) {
    for (uint32_t s = 0; s < walk->count; s++) {
        struct onnx_step *step = &walk->steps[s];
        const struct walk_step *mark = &walk->marks[s];
        for (uint32_t i = 0; i < step->input_count; i++) {
            settle_place(walk, mark->in[i], &step->in[i]);
        }
        for (uint32_t i = 0; i < step->output_count; i++) {
            settle_place(walk, mark->out[i], &step->out[i]);
        }
        if (mark->scratch != ONNX_NO_BUFFER) {
            step->scratch_offset = walk->plan.buffers[mark->scratch].offset;
        }
    }
}

static mm_status finish(struct walk *walk, struct onnx_steps *steps, mm_error *err) {
    MMI_TRY(bind_outputs(walk, steps, err));
    share_in_place(walk);
    uint64_t bytes;
    if (!mmi_onnx_plan_offsets(&walk->plan, &bytes) || !mmi_round_up(bytes, 64, &bytes)) {
        return no_memory(err);
    }
    settle(walk);
    steps->steps = walk->steps;
    steps->count = walk->count;
    steps->max_arguments = walk->max_arguments;
    steps->pointers_offset = bytes;
    steps->activation_bytes = bytes + walk->max_arguments * sizeof(void *);
    return MM_OK;
}

static mm_status walk_model(struct walk *walk, const mm_value *inputs, struct onnx_steps *steps,
                            mm_error *err) {
    const struct onnx_model *model = &walk->prepared->model;
    walk->facts = mmi_onnx_take(&walk->work, model->value_count, sizeof(*walk->facts));
    if (!walk->facts) {
        return no_memory(err);
    }
    know_constants(walk);
    for (uint32_t i = 0; i < model->main->input_count; i++) {
        MMI_TRY(know_input(walk, i, &inputs[i], err));
    }
    MMI_TRY(walk_graph(walk, model->main, err));
    return finish(walk, steps, err);
}

mm_status mmi_onnx_specialise(const struct onnx_prepared *prepared, const mm_services *services,
                              const mm_value *inputs, struct onnx_steps *steps, mm_error *err) {
    struct walk walk = {.prepared = prepared,
                        .services = services,
                        .keep = &steps->arena,
                        .known_bytes = KNOWN_BYTES};
    mmi_onnx_arena_init(&walk.work, &services->allocator);
    walk.plan.arena = &walk.work;
    mm_status status = walk_model(&walk, inputs, steps, err);
    mmi_onnx_arena_free(&walk.work);
    return status;
}
