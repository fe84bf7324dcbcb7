/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/cpu.h>
#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/steps/walk.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Results up to this size are computed here if all inputs are known; with shape inputs, up to
 * twice their size more. */
#define KNOWN_BYTES 4096

mm_status mmi_onnx_walk_no_memory(mm_error *err) {
    return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for the steps of a signature");
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static bool make_room(struct onnx_walk *walk) {
    return mmi_onnx_grow(walk->keep, (void **)&walk->steps, &walk->capacity, walk->count,
                         sizeof(*walk->steps)) &&
           mmi_onnx_grow(&walk->work, (void **)&walk->buffers, &walk->buffer_capacity, walk->count,
                         sizeof(*walk->buffers));
}

/* Where the inputs lie; their buffers live at least until this step. */
static void use_inputs(struct onnx_walk *walk, const uint32_t *values, struct onnx_step *step,
                       struct onnx_step_buffers *buffers) {
    for (uint32_t i = 0; i < step->input_count; i++) {
        buffers->in[i] = ONNX_NO_BUFFER;
        if (values[i] == ONNX_NO_VALUE) {
            continue;
        }
        const struct onnx_known *known = &walk->known[values[i]];
        step->in[i] = known->place;
        buffers->in[i] = known->buffer;
        if (known->buffer != ONNX_NO_BUFFER) {
            walk->plan.buffers[known->buffer].last = walk->count;
        } else if (known->place.base == ONNX_AT_WEIGHTS) {
            step->weights_end =
                mmi_max_u64(step->weights_end, known->place.offset + known->tensor.bytes);
        }
    }
}

static bool make_outputs(struct onnx_walk *walk, const uint32_t *values, struct onnx_step *step,
                         struct onnx_step_buffers *buffers) {
    for (uint32_t i = 0; i < step->output_count; i++) {
        buffers->out[i] = ONNX_NO_BUFFER;
        if (values[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct onnx_known *known = mmi_onnx_know_anew(walk, values[i]);
        known->tensor = step->outputs[i];
        if (known->tensor.bytes > 0) {
            known->buffer = mmi_onnx_plan_add(&walk->plan, known->tensor.bytes, walk->count);
            buffers->out[i] = known->buffer;
            if (known->buffer == ONNX_NO_BUFFER) {
                return false;
            }
        }
    }
    return true;
}

mm_status mmi_onnx_add_step(struct onnx_walk *walk, const struct onnx_node *node,
                            struct onnx_inference *x, mm_error *err) {
    if (!make_room(walk)) {
        return mmi_onnx_walk_no_memory(err);
    }
    struct onnx_step *step = &walk->steps[walk->count];
    struct onnx_step_buffers *buffers = &walk->buffers[walk->count];
    onnx_kernel fast = mmi_onnx_cpu_kernel(node->op, x, walk->start->services);
    *step = (struct onnx_step){.run = fast ? fast : node->op->run,
                               .node = node,
                               .params = x->params,
                               .input_count = x->input_count,
                               .output_count = x->output_count,
                               .inputs = x->inputs,
                               .outputs = x->outputs};
    step->in = mmi_onnx_take(walk->keep, x->input_count, sizeof(*step->in));
    step->out = mmi_onnx_take(walk->keep, x->output_count, sizeof(*step->out));
    buffers->in = mmi_onnx_take(&walk->work, x->input_count, sizeof(*buffers->in));
    buffers->out = mmi_onnx_take(&walk->work, x->output_count, sizeof(*buffers->out));
    buffers->scratch = ONNX_NO_BUFFER;
    if (!step->in || !step->out || !buffers->in || !buffers->out) {
        return mmi_onnx_walk_no_memory(err);
    }
    use_inputs(walk, node->inputs, step, buffers);
    bool made = make_outputs(walk, node->outputs, step, buffers);
    if (made && x->scratch_bytes > 0) {
        buffers->scratch = mmi_onnx_plan_add(&walk->plan, x->scratch_bytes, walk->count);
        made = buffers->scratch != ONNX_NO_BUFFER;
    }
    walk->max_arguments =
        (uint32_t)mmi_max_u64(walk->max_arguments, (uint64_t)x->input_count + x->output_count);
    walk->count++;
    return made ? MM_OK : mmi_onnx_walk_no_memory(err);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* *run: no plan can have this node. Its results, or its inputs, are no tensors, or elements that
 * decide its shapes are not known. */
static mm_status only_the_run(struct onnx_walk *walk, const struct onnx_node *node, bool *run,
                              mm_error *err) {
    *run = mmi_onnx_is_dynamic(node->op);
    for (uint32_t i = 0; i < node->input_count && !*run; i++) {
        if (node->inputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        const struct onnx_known *known;
        MMI_TRY(mmi_onnx_know(walk, node->inputs[i], &known, err));
        bool shaping = i < 32 && node->op->shaping_inputs >> i & 1;
        *run = known->no_tensor ||
               (shaping && known->tensor.dtype != MM_DTYPE_NONE && !known->tensor.known);
    }
    return MM_OK;
}

static mm_status inference_of(struct onnx_walk *walk, const struct onnx_node *node,
                              struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor *inputs = mmi_onnx_take(walk->keep, node->input_count, sizeof(*inputs));
    struct onnx_tensor *outputs = mmi_onnx_take(walk->keep, node->output_count, sizeof(*outputs));
    if (!inputs || !outputs) {
        return mmi_onnx_walk_no_memory(err);
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] != ONNX_NO_VALUE) {
            inputs[i] = walk->known[node->inputs[i]].tensor;
        }
    }
    *x = (struct onnx_inference){.params = node->params,
                                 .input_count = node->input_count,
                                 .output_count = node->output_count,
                                 .inputs = inputs,
                                 .outputs = outputs};
    return MM_OK;
}

static bool all_known(const struct onnx_walk *walk, const struct onnx_operator *op,
                      const struct onnx_inference *x) {
    uint64_t bytes = 0;
    if (op->flags & ONNX_OP_RANDOM) {
        return false;
    }
    for (uint32_t i = 0; i < x->input_count && !(op->flags & ONNX_OP_SHAPES_ONLY); i++) {
        if (mmi_onnx_has(x, i) && !x->inputs[i].known) {
            return false;
        }
        bytes = mmi_add_cap(bytes, x->inputs[i].bytes);
    }
    return bytes / 16 <= walk->known_bytes;
}

static void know_results(struct onnx_walk *walk, const struct onnx_node *node,
                         const struct onnx_inference *x) {
    for (uint32_t i = 0; i < x->output_count; i++) {
        if (node->outputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct onnx_known *known = mmi_onnx_know_anew(walk, node->outputs[i]);
        known->tensor = x->outputs[i];
        if (known->tensor.bytes > 0) {
            known->place = (struct onnx_place){.base = ONNX_AT_MEMORY, .known = known->tensor.data};
        }
    }
}

/* The same bytes under another shape. */
static void view(struct onnx_walk *walk, const struct onnx_node *node,
                 const struct onnx_inference *x) {
    struct onnx_known known = walk->known[node->inputs[0]];
    struct onnx_tensor tensor = x->outputs[0];
    tensor.data = known.tensor.data;
    tensor.known = known.tensor.known;
    known.tensor = tensor;
    known.made = true;
    walk->known[node->outputs[0]] = known;
}

static mm_status walk_plain(struct onnx_walk *walk, const struct onnx_node *node, mm_error *err) {
    struct onnx_inference x;
    const mm_services *services = walk->start->services;
    MMI_TRY(inference_of(walk, node, &x, err));
    if (all_known(walk, node->op, &x)) {
        mm_status status =
            mmi_onnx_evaluate(node->op, &x, walk->keep, walk->known_bytes, services, err);
        if (status != MM_TOO_LARGE) {
            MMI_TRY(status);
            know_results(walk, node, &x);
            return MM_OK;
        }
    }
    MMI_TRY(mmi_onnx_infer(node->op, &x, err));
    bool is_view = node->op->is_view ? node->op->is_view(&x) : node->op->flags & ONNX_OP_VIEW;
    if (is_view && node->outputs[0] != ONNX_NO_VALUE) {
        view(walk, node, &x);
        return MM_OK;
    }
    return mmi_onnx_add_step(walk, node, &x, err);
}

/* Elements that were made in memory of the walk, where they live as long as the steps. */
static bool keep_elements(const struct onnx_walk *walk, struct onnx_tensor *tensor) {
    void *copy = mmi_onnx_take_data(walk->keep, tensor->bytes);
    struct onnx_string *strings = copy;
    if (!copy) {
        return false;
    }
    memcpy(copy, tensor->data, tensor->bytes);
    for (uint64_t i = 0; i < tensor->elements && tensor->dtype == MM_STRING; i++) {
        const char *text = mmi_onnx_take_text(walk->keep, strings[i].at, strings[i].bytes);
        if (!text) {
            return false;
        }
        strings[i].at = text;
    }
    tensor->data = copy;
    return true;
}

/* A node that the run would do, on small values that are all known: *done here. It is not where it
 * fails: the run says why, if it gets there. */
static mm_status evaluate_dynamic(struct onnx_walk *walk, const struct onnx_node *node, bool *done,
                                  mm_error *err) {
    struct onnx_inference x;
    mm_error why;
    *done = false;
    if (!mmi_onnx_is_dynamic(node->op) || node->graph_count > 0 || node->input_count == 0) {
        return MM_OK;
    }
    bool tensors = true;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const struct onnx_known *known;
        if (node->inputs[i] != ONNX_NO_VALUE) {
            MMI_TRY(mmi_onnx_know(walk, node->inputs[i], &known, err));
            tensors &= !known->no_tensor;
        }
    }
    MMI_TRY(inference_of(walk, node, &x, err));
    if (!tensors || !all_known(walk, node->op, &x)) {
        return MM_OK;
    }
    mm_status status = mmi_onnx_evaluate_dynamic(node, &x, &walk->work, walk->known_bytes,
                                                 walk->start->services, &why);
    *done = status == MM_OK;
    if (!*done) {
        return status == MM_NO_MEMORY ? mmi_error_copy(err, &why) : MM_OK;
    }
    for (uint32_t i = 0; i < x.output_count; i++) {
        if (!keep_elements(walk, &x.outputs[i])) {
            return mmi_onnx_walk_no_memory(err);
        }
    }
    know_results(walk, node, &x);
    return MM_OK;
}

static mm_status walk_graph(struct onnx_walk *walk, const struct onnx_graph *graph, uint32_t at,
                            uint32_t *end, mm_error *err);

static mm_status choose_branch(const struct onnx_walk *walk, const struct onnx_node *node,
                               const struct onnx_graph **branch, mm_error *err) {
    const struct onnx_tensor *condition = &walk->known[node->inputs[0]].tensor;
    if (condition->dtype != MM_BOOL || condition->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its condition is %" PRIu64 " elements of %s, one bool wanted",
                        condition->elements, mm_dtype_text(condition->dtype));
    }
    *branch = node->graphs[mmi_onnx_int_at(condition, 0) ? 0 : 1];
    return MM_OK;
}

/* The nodes of the branch in the place of the node. *whole: all of them; else there are none. */
static mm_status walk_branch(struct onnx_walk *walk, const struct onnx_node *node, bool *whole,
                             mm_error *err) {
    const struct onnx_model *model = &walk->start->prepared->model;
    const struct onnx_graph *branch = NULL;
    uint32_t end, steps = walk->count, buffers = walk->plan.count;
    MMI_TRY(mmi_onnx_fail_node(model, node, choose_branch(walk, node, &branch, err), err));
    MMI_TRY(walk_graph(walk, branch, 0, &end, err)); /* names its own nodes */
    *whole = end == branch->node_count;
    for (uint32_t i = 0; i < branch->output_count && *whole; i++) {
        const struct onnx_known *known;
        MMI_TRY(mmi_onnx_know(walk, branch->outputs[i], &known, err));
        *whole = !known->no_tensor;
    }
    if (!*whole) {
        walk->count = steps;
        walk->plan.count = buffers;
        return MM_OK;
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE) {
            walk->known[node->outputs[i]] = walk->known[branch->outputs[i]];
            walk->known[node->outputs[i]].made = true;
        }
    }
    return MM_OK;
}

/* *planned: false where the run has to do it. */
static mm_status walk_node(struct onnx_walk *walk, const struct onnx_node *node, bool *planned,
                           mm_error *err) {
    const struct onnx_model *model = &walk->start->prepared->model;
    bool run;
    MMI_TRY(only_the_run(walk, node, &run, err));
    if (run) {
        return mmi_onnx_fail_node(model, node, evaluate_dynamic(walk, node, planned, err), err);
    }
    *planned = true;
    return node->op->flags & ONNX_OP_CONTROL
               ? walk_branch(walk, node, planned, err)
               : mmi_onnx_fail_node(model, node, walk_plain(walk, node, err), err);
}

static mm_status walk_graph(struct onnx_walk *walk, const struct onnx_graph *graph, uint32_t at,
                            uint32_t *end, mm_error *err) {
    bool planned = true;
    for (*end = at; *end < graph->node_count; *end += 1) {
        MMI_TRY(walk_node(walk, graph->nodes[*end], &planned, err));
        if (!planned) {
            break;
        }
    }
    return MM_OK;
}

static mm_status walk_segment(struct onnx_walk *walk, struct onnx_steps *steps, mm_error *err) {
    uint32_t end;
    MMI_TRY(mmi_onnx_know_beginning(walk, err));
    MMI_TRY(walk_graph(walk, walk->start->graph, walk->start->at, &end, err));
    return mmi_onnx_place_all(walk, end, steps, err);
}

mm_status mmi_onnx_specialise(const struct onnx_start *start, struct onnx_steps *steps,
                              mm_error *err) {
    struct onnx_walk walk = {.start = start, .keep = &steps->arena, .known_bytes = KNOWN_BYTES};
    mmi_onnx_arena_init(&walk.work, &start->services->allocator);
    walk.plan.arena = &walk.work;
    mm_status status = walk_segment(&walk, steps, err);
    mmi_onnx_arena_free(&walk.work);
    return status;
}
