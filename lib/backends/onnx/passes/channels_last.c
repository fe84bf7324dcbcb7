/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/operators/reduce.h>
#include <backends/onnx/passes/twins.h>
#include <base/status.h>

#include <string.h>

/* Convolutions and what stands between them work on images whose channels are the last axis. One
 * walk over the nodes: a node that can works on twins and makes twins; a plain value is made as
 * soon as a node asks for it that cannot, and most often nobody does. */

static bool emit(struct onnx_twins *twins, struct onnx_node *node) {
    return mmi_onnx_append_node(twins->rewrite->model, &twins->nodes, node);
}

/* ---- Convolutions ---------------------------------------------------------------------------- */

/* Conv by constant weights [M, C / group, kernel axes ...], or ConvTranspose by [C, M, ...]. */
struct layer {
    const struct onnx_node *node;
    const struct onnx_conv *conv;
    const struct onnx_tensor *weights;
    int32_t rank;
    uint64_t made, depth, taps; /* output channels; input channels of a group */
    bool transposed, depthwise, pointwise;
};

static bool is_pointwise(const struct layer *layer) {
    const struct onnx_window *window = &layer->conv->window;
    for (int32_t i = 0; i < layer->rank - 2; i++) {
        if (window->strides[i] != 1 || window->begin[i] != 0 || window->end[i] != 0) {
            return false;
        }
    }
    return layer->taps == 1 && layer->conv->group == 1;
}

static bool is_conv(const struct onnx_node *node) {
    return node->op == &mmi_onnx_op_Conv || node->op == &mmi_onnx_op_ConvTranspose;
}

/* Constant weights, which a Cast may make f32 at every run so that they take less memory. */
static const struct onnx_tensor *find_weights(const struct onnx_twins *twins, uint32_t value) {
    uint32_t of;
    const struct onnx_tensor *weights = mmi_onnx_constant_behind(twins->rewrite, value, &of);
    return weights && (of != value || weights->dtype == MM_F32) ? weights : NULL;
}

static bool read_weights(const struct onnx_twins *twins, const struct onnx_node *node,
                         struct layer *layer) {
    *layer = (struct layer){.node = node,
                            .conv = node->params,
                            .weights = find_weights(twins, node->inputs[1]),
                            .transposed = node->op == &mmi_onnx_op_ConvTranspose};
    const struct onnx_tensor *weights = layer->weights;
    if (!weights || weights->rank < 3 || weights->rank > 4 || weights->elements == 0 ||
        weights->shape[0] % layer->conv->group != 0) {
        return false;
    }
    layer->rank = (int32_t)weights->rank;
    layer->made = (uint64_t)weights->shape[layer->transposed ? 1 : 0];
    layer->depth = (uint64_t)weights->shape[layer->transposed ? 0 : 1];
    layer->taps = weights->elements / layer->made / layer->depth;
    return true;
}

static bool read_layer(const struct onnx_twins *twins, const struct onnx_node *node,
                       struct layer *layer) {
    if (!is_conv(node) || node->outputs[0] == ONNX_NO_VALUE || !read_weights(twins, node, layer)) {
        return false;
    }
    const uint32_t axes = layer->conv->window.axes;
    uint64_t group = (uint64_t)layer->conv->group;
    int32_t known = mmi_onnx_rank_of(twins, node->inputs[0]);
    layer->depthwise = group > 1 && layer->depth == 1 && layer->made == group;
    layer->pointwise = !layer->transposed && is_pointwise(layer);
    bool whole_panels = group == 1 || layer->made / group % ONNX_NR == 0;
    bool suits = layer->transposed ? group == 1 && layer->taps <= ONNX_LAST_MAX_TAPS
                                   : layer->depthwise || whole_panels;
    return suits && (known == -1 || known == layer->rank) &&
           (axes == 0 || axes == layer->weights->rank - 2);
}

/* [M, depth, taps], or [depth, M, taps], to [taps, depth, M], of which the first two are one
 * axis. */
static uint32_t new_weights(const struct onnx_twins *twins, const struct layer *layer,
                            const struct onnx_window *window) {
    struct onnx_model *model = twins->rewrite->model;
    const int64_t shape[2] = {(int64_t)(layer->taps * layer->depth), (int64_t)layer->made};
    struct onnx_tensor moved;
    uint64_t *order = mmi_onnx_take(&twins->rewrite->work, layer->taps, sizeof(*order));
    if (!order || mmi_onnx_tensor_set(&moved, layer->weights->dtype, 2, shape, NULL) != MM_OK) {
        return ONNX_NO_VALUE;
    }
    uint8_t *data = mmi_onnx_take_data(model->arena, moved.bytes);
    if (!data) {
        return ONNX_NO_VALUE;
    }
    for (uint64_t i = 0; i < layer->taps; i++) {
        order[i] = i;
    }
    if (layer->transposed) {
        mmi_onnx_order_taps(window, layer->taps, order);
    }
    const uint32_t width = mmi_onnx_element_bytes(moved.dtype);
    const int64_t taps = (int64_t)layer->taps * width, row = shape[1] * width;
    const int64_t next_made = layer->transposed ? taps : taps * (int64_t)layer->depth;
    const int64_t next_depth = layer->transposed ? taps * (int64_t)layer->made : taps;
    for (uint64_t i = 0; i < layer->taps; i++) {
        struct onnx_move move = {.width = width};
        mmi_onnx_move_axis(&move, layer->depth, next_depth, row);
        mmi_onnx_move_axis(&move, layer->made, next_made, width);
        mmi_onnx_move(&move, (const uint8_t *)layer->weights->data + order[i] * width,
                      data + i * layer->depth * (uint64_t)row);
    }
    moved.data = data;
    return mmi_onnx_add_constant(model, &moved);
}

static struct onnx_node *new_conv(const struct onnx_twins *twins, const struct layer *layer) {
    const struct onnx_operator *op = layer->pointwise    ? &mmi_onnx_op_Linear
                                     : layer->transposed ? &mmi_onnx_op_ChannelsLastConvTranspose
                                                         : &mmi_onnx_op_ChannelsLastConv;
    bool has_bias = layer->node->input_count > 2;
    struct onnx_node *node =
        mmi_onnx_own_node(twins->rewrite->model, op, layer->node, has_bias ? 3 : 2);
    if (!node || layer->pointwise) {
        return node;
    }
    struct onnx_conv *conv = node->params;
    *conv = *layer->conv;
    conv->no_winograd = twins->rewrite->context->no_winograd;
    conv->window.axes = (uint32_t)layer->rank - 2;
    for (int32_t i = 0; i < layer->rank - 2; i++) {
        conv->window.kernel[i] = layer->weights->shape[i + 2];
    }
    return node;
}

static bool convert_conv(struct onnx_twins *twins, const struct layer *layer) {
    const struct onnx_node *old = layer->node;
    uint32_t image = old->inputs[0];
    twins->rewrite->facts[image].rank = layer->rank; /* the weights say it */
    twins->rewrite->facts[old->outputs[0]].rank = layer->rank;
    struct onnx_node *node = new_conv(twins, layer);
    if (!node || !mmi_onnx_need_twin(twins, image, old, &node->inputs[0])) {
        return false;
    }
    const struct onnx_conv *conv = layer->pointwise ? layer->conv : node->params;
    node->inputs[1] = new_weights(twins, layer, &conv->window);
    if (node->input_count > 2) {
        node->inputs[2] = old->inputs[2];
    }
    return node->inputs[1] != ONNX_NO_VALUE &&
           mmi_onnx_make_twin(twins, old->outputs[0], &node->outputs[0]) && emit(twins, node) &&
           mmi_onnx_made_twins(twins, old->outputs, 1, node);
}

/* ---- Nodes that take any order --------------------------------------------------------------- */

/* What twins of its inputs would bring. */
struct inputs {
    int32_t rank;
    uint32_t pending, both, plain; /* how many have only a twin, have one too, have none */
};

static bool look_at_input(const struct onnx_twins *twins, uint32_t value, struct inputs *inputs) {
    const struct onnx_tensor *constant = twins->rewrite->model->values[value].constant;
    if (constant) {
        return constant->layout == ONNX_PLAIN && mmi_onnx_element_bytes(constant->dtype) > 0 &&
               (int32_t)constant->rank <= inputs->rank;
    }
    int32_t rank = mmi_onnx_rank_of(twins, value);
    if (rank != inputs->rank) {
        return rank == 0;
    }
    if (mmi_onnx_twin_of(twins, value) == ONNX_NO_VALUE) {
        inputs->plain += twins->rewrite->facts[value].small ? 0 : 1;
    } else if (twins->pending[value]) {
        inputs->pending++;
    } else {
        inputs->both++;
    }
    return true;
}

/* Others say how it works: lengths, axes. */
static bool is_image_input(const struct onnx_twins *twins, const struct onnx_node *node,
                           uint32_t i) {
    bool shapes = i < 32 && node->op->shaping_inputs >> i & 1;
    return mmi_onnx_is_old_value(twins, node->inputs[i]) && !shapes;
}

/* Whether it is worth it to let a node work on twins. *rank: of the images. */
static bool wants_twins(const struct onnx_twins *twins, const struct onnx_node *node,
                        int32_t *rank) {
    struct inputs inputs = {.rank = -1};
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (mmi_onnx_twin_of(twins, node->inputs[i]) != ONNX_NO_VALUE) {
            inputs.rank = mmi_onnx_rank_of(twins, node->inputs[i]);
        }
    }
    *rank = inputs.rank;
    if (inputs.rank < 3 || node->graph_count > 0) {
        return false;
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (is_image_input(twins, node, i) && !look_at_input(twins, node->inputs[i], &inputs)) {
            return false;
        }
    }
    return inputs.pending + inputs.both > 0 && inputs.pending + inputs.both >= inputs.plain &&
           (inputs.pending > 0 || inputs.plain == 0);
}

static bool move_inputs(struct onnx_twins *twins, struct onnx_node *node, int32_t rank) {
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = node->inputs[i];
        if (!is_image_input(twins, node, i)) {
            continue;
        }
        bool constant = twins->rewrite->model->values[value].constant != NULL;
        bool moved = constant ? mmi_onnx_move_constant(twins, value, rank, &node->inputs[i])
                              : mmi_onnx_rank_of(twins, value) != rank ||
                                    mmi_onnx_need_twin(twins, value, node, &node->inputs[i]);
        if (!moved) {
            return false;
        }
    }
    return true;
}

/* It works on twins and makes them. */
static bool convert_node(struct onnx_twins *twins, struct onnx_node *node, int32_t rank) {
    if (!move_inputs(twins, node, rank)) {
        return false;
    }
    const uint32_t count = node->output_count;
    uint32_t *values = mmi_onnx_take(&twins->rewrite->work, count, sizeof(*values));
    if (!values) {
        return false;
    }
    memcpy(values, node->outputs, count * sizeof(*values));
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE) {
            twins->rewrite->facts[values[i]].rank = rank;
        }
        if (!mmi_onnx_make_twin(twins, values[i], &node->outputs[i])) {
            return false;
        }
    }
    if (node->op->order.channels_last) {
        node->op = node->op->order.channels_last;
        node->domain = node->op->domain;
        node->output_count = 1;
    }
    return emit(twins, node) && mmi_onnx_made_twins(twins, values, count, node);
}

/* ---- Axes ------------------------------------------------------------------------------------ */

static bool convert_axis(struct onnx_twins *twins, struct onnx_node *node, int32_t rank,
                         bool *done) {
    int64_t number;
    uint8_t *at = (uint8_t *)node->params + node->op->order.at;
    uint32_t axis;
    memcpy(&number, at, sizeof(number));
    *done = mmi_onnx_axis(number, (uint32_t)rank, &axis);
    if (!*done) {
        return true;
    }
    number = mmi_onnx_last_axis(axis, rank);
    memcpy(at, &number, sizeof(number));
    return convert_node(twins, node, rank);
}

/* The axes that a constant input names, in the other order. */
static bool move_axes(struct onnx_twins *twins, struct onnx_node *node, uint32_t input,
                      int32_t rank) {
    struct onnx_model *model = twins->rewrite->model;
    const struct onnx_tensor *axes = mmi_onnx_constant(model, node, input);
    struct onnx_tensor moved;
    int64_t *data = mmi_onnx_take_data(model->arena, axes->elements * sizeof(*data));
    int64_t count = (int64_t)axes->elements;
    if (!data || mmi_onnx_tensor_set(&moved, MM_I64, 1, &count, NULL) != MM_OK) {
        return false;
    }
    for (uint64_t i = 0; i < axes->elements; i++) {
        uint32_t axis = 0;
        mmi_onnx_axis(mmi_onnx_int_at(axes, i), (uint32_t)rank, &axis);
        data[i] = mmi_onnx_last_axis(axis, rank);
    }
    moved.data = data;
    node->inputs[input] = mmi_onnx_add_constant(model, &moved);
    return node->inputs[input] != ONNX_NO_VALUE;
}

static bool names_sound_axes(const struct onnx_twins *twins, const struct onnx_node *node,
                             uint32_t input, int32_t rank, uint32_t *set) {
    const struct onnx_tensor *axes = mmi_onnx_constant(twins->rewrite->model, node, input);
    if (!axes || axes->elements == 0 || axes->elements > (uint64_t)rank || axes->rank > 1) {
        return false;
    }
    *set = 0;
    for (uint64_t i = 0; i < axes->elements; i++) {
        uint32_t axis;
        if (!mmi_onnx_axis(mmi_onnx_int_at(axes, i), (uint32_t)rank, &axis)) {
            return false;
        }
        *set |= 1u << axis;
    }
    return true;
}

/* The axes that are left when these go have the same order in both. */
static bool leaves_order(uint32_t set, int32_t rank) {
    bool channels = set >> 1 & 1, all_others = true;
    for (int32_t i = 2; i < rank; i++) {
        all_others &= set >> i & 1;
    }
    return channels || all_others;
}

static bool convert_axes(struct onnx_twins *twins, struct onnx_node *node, int32_t rank,
                         bool *done) {
    const uint32_t input = node->op->order.at;
    uint32_t set;
    *done = input < node->input_count && names_sound_axes(twins, node, input, rank, &set);
    if (!*done) {
        return true;
    }
    bool drops = node->op->order.rule == ONNX_ORDER_REDUCES &&
                 !((const struct onnx_reduce *)node->params)->keepdims;
    *done = !drops || leaves_order(set, rank);
    if (!*done) {
        return true;
    }
    if (!move_axes(twins, node, input, rank)) {
        return false;
    }
    if (!drops) {
        return convert_node(twins, node, rank);
    }
    return move_inputs(twins, node, rank) && emit(twins, node);
}

/* ---- Transpose ------------------------------------------------------------------------------- */

/* Transposes that the file has: what they make is a twin, or has one. */
static bool convert_transpose(struct onnx_twins *twins, struct onnx_node *node, bool *done) {
    const struct onnx_transpose *transpose = node->params;
    const uint32_t from = node->inputs[0], to = node->outputs[0];
    const int32_t rank = mmi_onnx_rank_of(twins, from);
    *done = false;
    if (rank < 3 || to == ONNX_NO_VALUE) {
        return true;
    }
    bool to_last = true, to_first = true;
    for (int32_t i = 0; i < rank; i++) {
        uint32_t axis = mmi_onnx_source_axis(transpose, (uint32_t)rank, (uint32_t)i);
        to_first &= axis == mmi_onnx_last_axis(i, rank);
        to_last &= i == mmi_onnx_last_axis(axis, rank);
    }
    if (to_last && mmi_onnx_twin_of(twins, from) != ONNX_NO_VALUE) {
        *done = true;
        mmi_onnx_rename(twins->rewrite, to, twins->of[from]);
    } else if (to_first && !twins->rewrite->model->values[from].constant) {
        *done = true;
        twins->rewrite->facts[to].rank = rank;
        twins->of[to] = from;
        twins->pending[to] = true;
        return mmi_onnx_need_plain(twins, from, node) && mmi_onnx_made_twins(twins, &to, 1, node);
    }
    return true;
}

/* ---- The walk -------------------------------------------------------------------------------- */

static bool convert(struct onnx_twins *twins, struct onnx_node *node, bool *done) {
    struct layer layer;
    int32_t rank = -1;
    *done = true;
    if (read_layer(twins, node, &layer)) {
        return convert_conv(twins, &layer);
    }
    if (node->op == &mmi_onnx_op_Transpose) {
        return convert_transpose(twins, node, done);
    }
    *done = node->op->order.rule != ONNX_ORDER_FIXED && wants_twins(twins, node, &rank);
    for (uint32_t i = 1; i < node->output_count && node->op->order.channels_last; i++) {
        *done &= node->outputs[i] == ONNX_NO_VALUE;
    }
    if (!*done) {
        return true;
    }
    switch (node->op->order.rule) {
    case ONNX_ORDER_AXIS:
        return convert_axis(twins, node, rank, done);
    case ONNX_ORDER_AXES:
    case ONNX_ORDER_REDUCES:
        return convert_axes(twins, node, rank, done);
    default:
        return convert_node(twins, node, rank);
    }
}

static bool walk_node(struct onnx_twins *twins, struct onnx_node *node) {
    bool done;
    if (!convert(twins, node, &done)) {
        return false;
    }
    if (done) {
        return true;
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (!mmi_onnx_need_plain(twins, node->inputs[i], node)) {
            return false;
        }
    }
    return emit(twins, node);
}

static bool walk_graph(struct onnx_twins *twins, struct onnx_graph *graph) {
    struct onnx_node *last = NULL;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        last = graph->nodes[i];
        if (!walk_node(twins, last)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        if (!mmi_onnx_need_plain(twins, graph->outputs[i], last)) {
            return false;
        }
    }
    graph->nodes = twins->nodes.at;
    graph->node_count = twins->nodes.count;
    return true;
}

static bool has_conv(const struct onnx_graph *graph) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (is_conv(graph->nodes[i])) {
            return true;
        }
    }
    return false;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    struct onnx_twins twins = {.rewrite = rewrite, .graph = graph};
    if (!has_conv(graph)) {
        return MM_OK;
    }
    twins.of = mmi_onnx_take(&rewrite->work, rewrite->value_count, sizeof(*twins.of));
    twins.pending = mmi_onnx_take(&rewrite->work, rewrite->value_count, sizeof(*twins.pending));
    if (!twins.of || !twins.pending) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < rewrite->value_count; i++) {
        twins.of[i] = ONNX_NO_VALUE;
    }
    return walk_graph(&twins, graph) ? MM_OK : mmi_onnx_no_room(err);
}

mm_status mmi_onnx_make_channels_last(struct onnx_model *model,
                                      const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
