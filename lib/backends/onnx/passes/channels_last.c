/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/channels_last.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/operators/reduce.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

#include <string.h>

/* Convolutions and what stands between them work on images whose channels are the last axis: a
 * value [N, C, ...] then has a twin [N, ..., C]. One walk over the nodes: a node that can works on
 * twins and makes a twin; what it is the twin of is made by a Transpose as soon as a node asks for
 * it that cannot, and most often nobody does. */
struct walk {
    struct onnx_rewrite *rewrite;
    const struct onnx_graph *graph;
    uint32_t *twins; /* [rewrite->value_count]; ONNX_NO_VALUE: there is none (yet) */
    bool *pending;   /* [rewrite->value_count]: there is nothing but the twin */
    struct onnx_node **nodes;
    uint32_t count, capacity;
};

/* ---- Values ---------------------------------------------------------------------------------- */

static bool emit(struct walk *walk, struct onnx_node *node) {
    struct onnx_arena *arena = walk->rewrite->model->arena;
    if (!node || !mmi_onnx_grow(arena, (void **)&walk->nodes, &walk->capacity, walk->count,
                                sizeof(struct onnx_node *))) {
        return false;
    }
    walk->nodes[walk->count++] = node;
    return true;
}

static int32_t rank_of(const struct walk *walk, uint32_t value) {
    return walk->rewrite->facts[value].rank;
}

/* Where axis i of [N, C, ...] is in [N, ..., C]. */
static int64_t last_axis(int64_t axis, int32_t rank) {
    return axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1;
}

static bool emit_transpose(struct walk *walk, uint32_t from, uint32_t to, int32_t rank,
                           bool to_last, const struct onnx_node *like) {
    struct onnx_node *node =
        mmi_onnx_own_node(walk->rewrite->model, &mmi_onnx_op_Transpose, like, 1);
    if (!node) {
        return false;
    }
    struct onnx_transpose *transpose = node->params;
    transpose->count = (uint32_t)rank;
    for (int32_t i = 0; i < rank; i++) {
        int64_t last = last_axis(i, rank);
        if (to_last) {
            transpose->perm[last] = i;
        } else {
            transpose->perm[i] = last;
        }
    }
    node->inputs[0] = from;
    node->outputs[0] = to;
    return emit(walk, node);
}

static bool is_known_value(const struct walk *walk, uint32_t value) {
    return value != ONNX_NO_VALUE && value < walk->rewrite->value_count;
}

static uint32_t twin_of(const struct walk *walk, uint32_t value) {
    return is_known_value(walk, value) ? walk->twins[value] : ONNX_NO_VALUE;
}

/* false, here and below: out of memory. */
static bool need_plain(struct walk *walk, uint32_t value, const struct onnx_node *like) {
    if (!is_known_value(walk, value) || !walk->pending[value]) {
        return true;
    }
    walk->pending[value] = false;
    return emit_transpose(walk, walk->twins[value], value, rank_of(walk, value), false, like);
}

static bool need_twin(struct walk *walk, uint32_t value, const struct onnx_node *like,
                      uint32_t *twin) {
    if (walk->twins[value] == ONNX_NO_VALUE) {
        uint32_t made = mmi_onnx_add_value(walk->rewrite->model, "");
        walk->twins[value] = made;
        if (made == ONNX_NO_VALUE ||
            !emit_transpose(walk, value, made, rank_of(walk, value), true, like)) {
            return false;
        }
    }
    *twin = walk->twins[value];
    return true;
}

/* Graphs in nodes know the file's order alone. */
static bool is_used_inside(const struct walk *walk, uint32_t value) {
    const struct onnx_use *use = &walk->rewrite->uses.of[value];
    for (uint32_t i = 0; i < use->count; i++) {
        if (use->users[i].graph != walk->graph) {
            return true;
        }
    }
    return false;
}

/* A node has made twins of these. */
static bool made_twins(struct walk *walk, const uint32_t *values, uint32_t count,
                       const struct onnx_node *node) {
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE && is_used_inside(walk, values[i]) &&
            !need_plain(walk, values[i], node)) {
            return false;
        }
    }
    return true;
}

/* A new value that is the twin of `value`, which nobody has made so far. */
static bool make_twin(struct walk *walk, uint32_t value, uint32_t *twin) {
    *twin = ONNX_NO_VALUE;
    if (value == ONNX_NO_VALUE) {
        return true;
    }
    const char *name = walk->rewrite->model->values[value].name;
    *twin = mmi_onnx_add_value(walk->rewrite->model, name);
    walk->twins[value] = *twin;
    walk->pending[value] = true;
    return *twin != ONNX_NO_VALUE;
}

/* A constant with as many axes as an image of this rank, channels last. *to stays what it is where
 * there is nothing to move. */
static bool move_constant(struct walk *walk, uint32_t value, int32_t rank, uint32_t *to) {
    struct onnx_model *model = walk->rewrite->model;
    const struct onnx_tensor *constant = model->values[value].constant;
    struct onnx_tensor first = *constant, last;
    uint32_t missing = (uint32_t)rank - constant->rank;
    int64_t shape[MM_MAX_RANK];
    if (constant->elements == 1) {
        *to = value;
        return true;
    }
    first.rank = (uint32_t)rank;
    for (uint32_t i = 0; i < first.rank; i++) {
        first.shape[i] = i < missing ? 1 : constant->shape[i - missing];
    }
    mmi_onnx_channels_last(&first, shape);
    if (mmi_onnx_tensor_set(&last, constant->dtype, first.rank, shape, NULL) != MM_OK) {
        return false;
    }
    void *data = mmi_onnx_take_data(model->arena, last.bytes);
    if (!data) {
        return false;
    }
    mmi_onnx_move_channels(&first, mmi_onnx_element_bytes(constant->dtype), true, constant->data,
                           data);
    last.data = data;
    *to = mmi_onnx_add_constant(model, &last);
    return *to != ONNX_NO_VALUE;
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

/* Constant weights: plain, of f32, or of what a Cast makes f32 of at every run, so that they take
 * less memory. */
static const struct onnx_tensor *find_weights(const struct walk *walk, uint32_t value) {
    const struct onnx_rewrite *rewrite = walk->rewrite;
    const struct onnx_tensor *weights = mmi_onnx_f32(rewrite->model, value);
    const struct onnx_node *maker =
        is_known_value(walk, value) ? rewrite->uses.of[value].maker : NULL;
    if (weights || !maker || maker->op != &mmi_onnx_op_Cast ||
        rewrite->facts[value].dtype != MM_F32) {
        return weights;
    }
    weights = mmi_onnx_constant(rewrite->model, maker, 0);
    bool narrow = weights && weights->layout == ONNX_PLAIN && mmi_onnx_weights_last(weights->dtype);
    return narrow ? weights : NULL;
}

static bool read_weights(const struct walk *walk, const struct onnx_node *node,
                         struct layer *layer) {
    *layer = (struct layer){.node = node,
                            .conv = node->params,
                            .weights = find_weights(walk, node->inputs[1]),
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

static bool read_layer(const struct walk *walk, const struct onnx_node *node, struct layer *layer) {
    if (!is_conv(node) || node->outputs[0] == ONNX_NO_VALUE || !read_weights(walk, node, layer)) {
        return false;
    }
    const uint32_t axes = layer->conv->window.axes;
    uint64_t group = (uint64_t)layer->conv->group;
    int32_t known = rank_of(walk, node->inputs[0]);
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
static uint32_t new_weights(const struct walk *walk, const struct layer *layer,
                            const struct onnx_window *window) {
    struct onnx_model *model = walk->rewrite->model;
    const int64_t shape[2] = {(int64_t)(layer->taps * layer->depth), (int64_t)layer->made};
    struct onnx_tensor moved;
    uint64_t *order = mmi_onnx_take(&walk->rewrite->work, layer->taps, sizeof(*order));
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

static struct onnx_node *new_conv(const struct walk *walk, const struct layer *layer) {
    const struct onnx_operator *op = layer->pointwise    ? &mmi_onnx_op_Linear
                                     : layer->transposed ? &mmi_onnx_op_ChannelsLastConvTranspose
                                                         : &mmi_onnx_op_ChannelsLastConv;
    bool has_bias = layer->node->input_count > 2;
    struct onnx_node *node =
        mmi_onnx_own_node(walk->rewrite->model, op, layer->node, has_bias ? 3 : 2);
    if (!node || layer->pointwise) {
        return node;
    }
    struct onnx_conv *conv = node->params;
    *conv = *layer->conv;
    conv->no_winograd = walk->rewrite->context->no_winograd;
    conv->window.axes = (uint32_t)layer->rank - 2;
    for (int32_t i = 0; i < layer->rank - 2; i++) {
        conv->window.kernel[i] = layer->weights->shape[i + 2];
    }
    return node;
}

static bool convert_conv(struct walk *walk, const struct layer *layer) {
    const struct onnx_node *old = layer->node;
    uint32_t image = old->inputs[0];
    walk->rewrite->facts[image].rank = layer->rank; /* the weights say it */
    walk->rewrite->facts[old->outputs[0]].rank = layer->rank;
    struct onnx_node *node = new_conv(walk, layer);
    if (!node || !need_twin(walk, image, old, &node->inputs[0])) {
        return false;
    }
    const struct onnx_conv *conv = layer->pointwise ? layer->conv : node->params;
    node->inputs[1] = new_weights(walk, layer, &conv->window);
    if (node->input_count > 2) {
        node->inputs[2] = old->inputs[2];
    }
    return node->inputs[1] != ONNX_NO_VALUE &&
           make_twin(walk, old->outputs[0], &node->outputs[0]) && emit(walk, node) &&
           made_twins(walk, old->outputs, 1, node);
}

/* ---- Nodes that take any order --------------------------------------------------------------- */

/* What twins of its inputs would bring. */
struct inputs {
    int32_t rank;
    uint32_t pending, both, plain; /* how many have only a twin, have one too, have none */
};

static bool look_at_input(const struct walk *walk, uint32_t value, struct inputs *inputs) {
    const struct onnx_tensor *constant = walk->rewrite->model->values[value].constant;
    if (constant) {
        return constant->layout == ONNX_PLAIN && mmi_onnx_element_bytes(constant->dtype) > 0 &&
               (int32_t)constant->rank <= inputs->rank;
    }
    int32_t rank = rank_of(walk, value);
    if (rank != inputs->rank) {
        return rank == 0;
    }
    if (twin_of(walk, value) == ONNX_NO_VALUE) {
        inputs->plain += walk->rewrite->facts[value].small ? 0 : 1;
    } else if (walk->pending[value]) {
        inputs->pending++;
    } else {
        inputs->both++;
    }
    return true;
}

/* Others say how it works: lengths, axes. */
static bool is_image_input(const struct walk *walk, const struct onnx_node *node, uint32_t i) {
    bool shapes = i < 32 && node->op->shaping_inputs >> i & 1;
    return is_known_value(walk, node->inputs[i]) && !shapes;
}

/* Whether it is worth it to let a node work on twins. *rank: of the images. */
static bool wants_twins(const struct walk *walk, const struct onnx_node *node, int32_t *rank) {
    struct inputs inputs = {.rank = -1};
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (twin_of(walk, node->inputs[i]) != ONNX_NO_VALUE) {
            inputs.rank = rank_of(walk, node->inputs[i]);
        }
    }
    *rank = inputs.rank;
    if (inputs.rank < 3 || node->graph_count > 0) {
        return false;
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (is_image_input(walk, node, i) && !look_at_input(walk, node->inputs[i], &inputs)) {
            return false;
        }
    }
    return inputs.pending + inputs.both > 0 && inputs.pending + inputs.both >= inputs.plain &&
           (inputs.pending > 0 || inputs.plain == 0);
}

static bool move_inputs(struct walk *walk, struct onnx_node *node, int32_t rank) {
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = node->inputs[i];
        if (!is_image_input(walk, node, i)) {
            continue;
        }
        bool constant = walk->rewrite->model->values[value].constant != NULL;
        bool moved = constant ? move_constant(walk, value, rank, &node->inputs[i])
                              : rank_of(walk, value) != rank ||
                                    need_twin(walk, value, node, &node->inputs[i]);
        if (!moved) {
            return false;
        }
    }
    return true;
}

/* It works on twins and makes them. */
static bool convert_node(struct walk *walk, struct onnx_node *node, int32_t rank) {
    if (!move_inputs(walk, node, rank)) {
        return false;
    }
    const uint32_t count = node->output_count;
    uint32_t *values = mmi_onnx_take(&walk->rewrite->work, count, sizeof(*values));
    if (!values) {
        return false;
    }
    memcpy(values, node->outputs, count * sizeof(*values));
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE) {
            walk->rewrite->facts[values[i]].rank = rank;
        }
        if (!make_twin(walk, values[i], &node->outputs[i])) {
            return false;
        }
    }
    if (node->op->order.channels_last) {
        node->op = node->op->order.channels_last;
        node->domain = node->op->domain;
        node->output_count = 1;
    }
    return emit(walk, node) && made_twins(walk, values, count, node);
}

/* ---- Axes ------------------------------------------------------------------------------------ */

static bool convert_axis(struct walk *walk, struct onnx_node *node, int32_t rank, bool *done) {
    int64_t number;
    uint8_t *at = (uint8_t *)node->params + node->op->order.at;
    uint32_t axis;
    memcpy(&number, at, sizeof(number));
    *done = mmi_onnx_axis(number, (uint32_t)rank, &axis);
    if (!*done) {
        return true;
    }
    number = last_axis(axis, rank);
    memcpy(at, &number, sizeof(number));
    return convert_node(walk, node, rank);
}

/* The axes that a constant input names, in the other order. */
static bool move_axes(struct walk *walk, struct onnx_node *node, uint32_t input, int32_t rank,
                      uint32_t *set) {
    struct onnx_model *model = walk->rewrite->model;
    const struct onnx_tensor *axes = mmi_onnx_constant(model, node, input);
    struct onnx_tensor moved;
    int64_t *data = mmi_onnx_take_data(model->arena, axes->elements * sizeof(*data));
    int64_t count = (int64_t)axes->elements;
    if (!data || mmi_onnx_tensor_set(&moved, MM_I64, 1, &count, NULL) != MM_OK) {
        return false;
    }
    *set = 0;
    for (uint64_t i = 0; i < axes->elements; i++) {
        uint32_t axis = 0;
        mmi_onnx_axis(mmi_onnx_int_at(axes, i), (uint32_t)rank, &axis);
        data[i] = last_axis(axis, rank);
        *set |= 1u << axis;
    }
    moved.data = data;
    node->inputs[input] = mmi_onnx_add_constant(model, &moved);
    return node->inputs[input] != ONNX_NO_VALUE;
}

static bool names_sound_axes(const struct walk *walk, const struct onnx_node *node, uint32_t input,
                             int32_t rank, uint32_t *set) {
    const struct onnx_tensor *axes = mmi_onnx_constant(walk->rewrite->model, node, input);
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

static bool convert_axes(struct walk *walk, struct onnx_node *node, int32_t rank, bool *done) {
    const uint32_t input = node->op->order.at;
    uint32_t set;
    *done = input < node->input_count && names_sound_axes(walk, node, input, rank, &set);
    if (!*done) {
        return true;
    }
    /* Slice keeps its axes, a reduction may. */
    bool drops =
        node->op != &mmi_onnx_op_Slice && !((const struct onnx_reduce *)node->params)->keepdims;
    *done = !drops || leaves_order(set, rank);
    if (!*done) {
        return true;
    }
    if (!move_axes(walk, node, input, rank, &set)) {
        return false;
    }
    if (!drops) {
        return convert_node(walk, node, rank);
    }
    return move_inputs(walk, node, rank) && emit(walk, node);
}

/* ---- Transpose ------------------------------------------------------------------------------- */

/* Transposes that the file has: what they make is a twin, or has one. */
static bool convert_transpose(struct walk *walk, struct onnx_node *node, bool *done) {
    const struct onnx_transpose *transpose = node->params;
    const uint32_t from = node->inputs[0], to = node->outputs[0];
    const int32_t rank = rank_of(walk, from);
    *done = false;
    if (rank < 3 || to == ONNX_NO_VALUE) {
        return true;
    }
    bool to_last = true, to_first = true;
    for (int32_t i = 0; i < rank; i++) {
        uint32_t axis = mmi_onnx_source_axis(transpose, (uint32_t)rank, (uint32_t)i);
        to_first &= axis == last_axis(i, rank);
        to_last &= i == last_axis(axis, rank);
    }
    if (to_last && twin_of(walk, from) != ONNX_NO_VALUE) {
        *done = true;
        mmi_onnx_rename(walk->rewrite, to, walk->twins[from]);
    } else if (to_first && !walk->rewrite->model->values[from].constant) {
        *done = true;
        walk->rewrite->facts[to].rank = rank;
        walk->twins[to] = from;
        walk->pending[to] = true;
        return need_plain(walk, from, node) && made_twins(walk, &to, 1, node);
    }
    return true;
}

/* ---- The walk -------------------------------------------------------------------------------- */

static bool convert(struct walk *walk, struct onnx_node *node, bool *done) {
    struct layer layer;
    int32_t rank = -1;
    *done = true;
    if (read_layer(walk, node, &layer)) {
        return convert_conv(walk, &layer);
    }
    if (node->op == &mmi_onnx_op_Transpose) {
        return convert_transpose(walk, node, done);
    }
    *done = node->op->order.rule != ONNX_ORDER_FIXED && wants_twins(walk, node, &rank);
    for (uint32_t i = 1; i < node->output_count && node->op->order.channels_last; i++) {
        *done &= node->outputs[i] == ONNX_NO_VALUE;
    }
    if (!*done) {
        return true;
    }
    switch (node->op->order.rule) {
    case ONNX_ORDER_AXIS:
        return convert_axis(walk, node, rank, done);
    case ONNX_ORDER_AXES:
        return convert_axes(walk, node, rank, done);
    default:
        return convert_node(walk, node, rank);
    }
}

static bool walk_node(struct walk *walk, struct onnx_node *node) {
    bool done;
    if (!convert(walk, node, &done)) {
        return false;
    }
    if (done) {
        return true;
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (!need_plain(walk, node->inputs[i], node)) {
            return false;
        }
    }
    return emit(walk, node);
}

static bool walk_graph(struct walk *walk, struct onnx_graph *graph) {
    struct onnx_node *last = NULL;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        last = graph->nodes[i];
        if (!walk_node(walk, last)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        if (!need_plain(walk, graph->outputs[i], last)) {
            return false;
        }
    }
    graph->nodes = walk->nodes;
    graph->node_count = walk->count;
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
    struct walk walk = {.rewrite = rewrite, .graph = graph};
    if (!has_conv(graph)) {
        return MM_OK;
    }
    walk.twins = mmi_onnx_take(&rewrite->work, rewrite->value_count, sizeof(*walk.twins));
    walk.pending = mmi_onnx_take(&rewrite->work, rewrite->value_count, sizeof(*walk.pending));
    if (!walk.twins || !walk.pending) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < rewrite->value_count; i++) {
        walk.twins[i] = ONNX_NO_VALUE;
    }
    return walk_graph(&walk, graph) ? MM_OK : mmi_onnx_no_room(err);
}

mm_status mmi_onnx_make_channels_last(struct onnx_model *model,
                                      const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
