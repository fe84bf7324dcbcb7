/* SPDX-License-Identifier: Apache-2.0 */

/* What is computed in f16 or bf16 is computed in f32: values between nodes are f32, and are rounded
 * once, where the graph gives them out or a node needs them as they are in the file. Large
 * constants stay narrow; a Cast makes f32 of them, which products by constants do not run
 * (linear.c).
 *
 * So a value has two forms, one of which is there first; the other is made where it is needed. */

#include <backends/onnx/operators/cast.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/quantize.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

/* Constants up to so many bytes of f32 are widened here. */
#define SMALL_BYTES (UINT64_C(64) << 10)

struct forms {
    uint32_t narrow, wide; /* values; ONNX_NO_VALUE: not there (yet) */
};

/* A form that was made in a graph, and is not there behind it. */
struct undo {
    uint32_t value;
    bool wide;
};

struct widening {
    struct onnx_model *model;
    const struct onnx_pass_context *context;
    struct onnx_arena work;
    struct onnx_fact *facts;
    struct forms *forms; /* [value_count] of the model before the pass */
    struct undo *undo;
    uint32_t undo_count, undo_capacity;
    struct onnx_node_list nodes; /* of the graph that is being made */
};

/* ---- Operators ------------------------------------------------------------------------------- */

/* How an operator takes the two forms. NARROW: as they are in the file, because it looks at bits,
 * or because a step of the least size makes another result of it (comparisons, Floor, TopK). */
enum kind { NARROW, ANY, MOVES, COMPUTES };

static const struct {
    const struct onnx_operator *op;
    uint8_t kind;
} kinds[] = {
#define OP(name) &mmi_onnx_op_##name
    {OP(Reshape), MOVES},
    {OP(Flatten), MOVES},
    {OP(Squeeze), MOVES},
    {OP(Unsqueeze), MOVES},
    {OP(Identity), MOVES},
    {OP(Transpose), MOVES},
    {OP(DepthToSpace), MOVES},
    {OP(SpaceToDepth), MOVES},
    {OP(Expand), MOVES},
    {OP(Tile), MOVES},
    {OP(Slice), MOVES},
    {OP(Split), MOVES},
    {OP(Concat), MOVES},
    {OP(Pad), MOVES},
    {OP(Trilu), MOVES},
    {OP(ReverseSequence), MOVES},
    {OP(Gather), MOVES},
    {OP(GatherElements), MOVES},
    {OP(GatherND), MOVES},
    {OP(Where), MOVES},
    {OP(Align), MOVES},
    {OP(Floor), NARROW},
    {OP(Ceil), NARROW},
    {OP(Round), NARROW},
    {OP(Sign), NARROW},
    {OP(ThresholdedRelu), NARROW},
    {OP(Shrink), NARROW},
    {OP(ReduceSum), COMPUTES},
    {OP(ReduceMean), COMPUTES},
    {OP(ReduceProd), COMPUTES},
    {OP(ReduceMax), COMPUTES},
    {OP(ReduceMin), COMPUTES},
    {OP(ReduceL1), COMPUTES},
    {OP(ReduceL2), COMPUTES},
    {OP(ReduceSumSquare), COMPUTES},
    {OP(ReduceLogSum), COMPUTES},
    {OP(ReduceLogSumExp), COMPUTES},
    {OP(Gelu), COMPUTES},
    {OP(Softmax), COMPUTES},
    {OP(LogSoftmax), COMPUTES},
    {OP(BatchNormalization), COMPUTES},
    {OP(InstanceNormalization), COMPUTES},
    {OP(GroupNormalization), COMPUTES},
    {OP(LayerNormalization), COMPUTES},
    {OP(RMSNormalization), COMPUTES},
    {OP(SimplifiedLayerNormalization), COMPUTES},
    {OP(MsSkipLayerNormalization), COMPUTES},
    {OP(MsSkipSimplifiedLayerNormalization), COMPUTES},
    {OP(MsGelu), COMPUTES},
    {OP(MsQuickGelu), COMPUTES},
    {OP(MsBiasGelu), COMPUTES},
    {OP(MsFastGelu), COMPUTES},
    {OP(LRN), COMPUTES},
    {OP(MeanVarianceNormalization), COMPUTES},
    {OP(LpNormalization), COMPUTES},
    {OP(Conv), COMPUTES},
    {OP(ConvTranspose), COMPUTES},
    {OP(AveragePool), COMPUTES},
    {OP(MaxPool), COMPUTES},
    {OP(LpPool), COMPUTES},
    {OP(GlobalMaxPool), COMPUTES},
    {OP(GlobalAveragePool), COMPUTES},
    {OP(GlobalLpPool), COMPUTES},
    {OP(MatMul), COMPUTES},
    {OP(Gemm), COMPUTES},
    {OP(MsMatMulNBits), COMPUTES},
    {OP(MsFusedMatMul), COMPUTES},
    {OP(MsTransposeMatMul), COMPUTES},
    {OP(Einsum), COMPUTES},
    {OP(RNN), COMPUTES},
    {OP(GRU), COMPUTES},
    {OP(LSTM), COMPUTES},
    {OP(Resize), COMPUTES},
    {OP(GridSample), COMPUTES},
    {OP(Attention), COMPUTES},
    {OP(MsAttention), COMPUTES},
    {OP(MsMultiHeadAttention), COMPUTES},
    {OP(RotaryEmbedding), COMPUTES},
    {OP(MsRotaryEmbedding), COMPUTES},
    {OP(DequantizeLinear), COMPUTES},
#undef OP
};

static enum kind kind_of(const struct onnx_operator *op) {
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].op == op) {
            return (enum kind)kinds[i].kind;
        }
    }
    if (op->flags & ONNX_OP_SHAPES_ONLY) {
        return ANY;
    }
    return op->elementwise.form != ONNX_FORM_NONE || op->elementwise_by ? COMPUTES : NARROW;
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static int32_t type_of(const struct widening *w, uint32_t value) {
    return w->facts[value].dtype;
}

static bool is_narrow(const struct widening *w, uint32_t value) {
    return type_of(w, value) == MM_F16 || type_of(w, value) == MM_BF16;
}

static mm_status append(struct widening *w, struct onnx_node *node, mm_error *err) {
    return mmi_onnx_append_node(w->model, &w->nodes, node) ? MM_OK : mmi_onnx_no_room(err);
}

static mm_status append_cast(struct widening *w, uint32_t from, uint32_t to, int32_t dtype,
                             mm_error *err) {
    struct onnx_node *cast = mmi_onnx_new_node(w->model, &mmi_onnx_op_Cast, 1, 1);
    if (!cast) {
        return mmi_onnx_no_room(err);
    }
    struct onnx_cast *params = cast->params;
    params->to = dtype;
    params->how.saturate = 1;
    cast->inputs[0] = from;
    cast->outputs[0] = to;
    return append(w, cast, err);
}

/* The form is there until the end of this graph. */
static mm_status have(struct widening *w, uint32_t value, bool wide, uint32_t form, mm_error *err) {
    if (!mmi_onnx_grow(&w->work, (void **)&w->undo, &w->undo_capacity, w->undo_count,
                       sizeof(*w->undo))) {
        return mmi_onnx_no_room(err);
    }
    w->undo[w->undo_count++] = (struct undo){value, wide};
    *(wide ? &w->forms[value].wide : &w->forms[value].narrow) = form;
    return MM_OK;
}

/* A small constant as f32: once, for all graphs. */
static mm_status widen_constant(struct widening *w, uint32_t value, mm_error *err) {
    const struct onnx_tensor *constant = w->model->values[value].constant;
    float *to;
    uint32_t wide = mmi_onnx_new_f32(w->model, constant->rank, constant->shape, &to);
    if (wide == ONNX_NO_VALUE) {
        return mmi_onnx_no_room(err);
    }
    mmi_onnx_convert(constant->dtype, constant->data, constant->elements, MM_F32, to);
    w->forms[value].wide = wide;
    return MM_OK;
}

/* *form: the value as f32. */
static mm_status want_wide(struct widening *w, uint32_t value, uint32_t *form, mm_error *err) {
    struct forms *forms = &w->forms[value];
    const struct onnx_tensor *constant = w->model->values[value].constant;
    if (forms->wide == ONNX_NO_VALUE && constant && constant->elements <= SMALL_BYTES / 4) {
        MMI_TRY(widen_constant(w, value, err));
    }
    if (forms->wide == ONNX_NO_VALUE) {
        uint32_t wide = is_narrow(w, value) ? mmi_onnx_add_value(w->model, "") : value;
        if (wide == ONNX_NO_VALUE) {
            return mmi_onnx_no_room(err);
        }
        MMI_TRY(append_cast(w, forms->narrow, wide, MM_F32, err));
        MMI_TRY(have(w, value, true, wide, err));
    }
    *form = forms->wide;
    return MM_OK;
}

/* The value as it is in the file, under its own number. */
static mm_status want_own(struct widening *w, uint32_t value, mm_error *err) {
    uint32_t form;
    struct forms *forms = &w->forms[value];
    if (value == ONNX_NO_VALUE) {
        return MM_OK;
    }
    if (!is_narrow(w, value)) {
        return want_wide(w, value, &form, err);
    }
    if (forms->narrow == ONNX_NO_VALUE) {
        MMI_TRY(append_cast(w, forms->wide, value, type_of(w, value), err));
        MMI_TRY(have(w, value, false, value, err));
    }
    return MM_OK;
}

static mm_status want_all(struct widening *w, const uint32_t *values, uint32_t count,
                          mm_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        MMI_TRY(values[i] == ONNX_NO_VALUE ? MM_OK : want_own(w, values[i], err));
    }
    return MM_OK;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static mm_status leave(struct widening *w, struct onnx_node *node, mm_error *err) {
    MMI_TRY(want_all(w, node->inputs, node->input_count, err));
    return append(w, node, err);
}

/* All types are known, and there is a narrow one among the inputs. */
static bool can_widen(const struct widening *w, const struct onnx_node *node) {
    bool some = false, known = true;
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = node->inputs[i];
        if (value != ONNX_NO_VALUE) {
            some |= is_narrow(w, value);
            known &= type_of(w, value) != MM_DTYPE_NONE;
        }
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        uint32_t value = node->outputs[i];
        known &= value == ONNX_NO_VALUE || type_of(w, value) != MM_DTYPE_NONE;
    }
    return some && known;
}

/* The node works on f32, and what it makes is wide alone. */
static mm_status widen_node(struct widening *w, struct onnx_node *node, mm_error *err) {
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t *input = &node->inputs[i];
        if (*input != ONNX_NO_VALUE) {
            MMI_TRY(is_narrow(w, *input) ? want_wide(w, *input, input, err)
                                         : want_own(w, *input, err));
        }
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        uint32_t *output = &node->outputs[i];
        if (*output != ONNX_NO_VALUE && is_narrow(w, *output)) {
            uint32_t wide = mmi_onnx_add_value(w->model, "");
            if (wide == ONNX_NO_VALUE) {
                return mmi_onnx_no_room(err);
            }
            w->forms[*output] = (struct forms){ONNX_NO_VALUE, wide};
            *output = wide;
        }
    }
    return append(w, node, err);
}

/* A constant of the file that was made f32, and is moved: the narrow one is moved, so that it can
 * be done once and for all. */
static mm_status move_constant(struct widening *w, struct onnx_node *node, mm_error *err) {
    uint32_t narrow = mmi_onnx_add_value(w->model, "");
    if (narrow == ONNX_NO_VALUE) {
        return mmi_onnx_no_room(err);
    }
    w->forms[node->outputs[0]] = (struct forms){narrow, ONNX_NO_VALUE};
    node->inputs[0] = w->forms[node->inputs[0]].narrow;
    MMI_TRY(want_all(w, node->inputs + 1, node->input_count - 1, err));
    node->outputs[0] = narrow;
    return append(w, node, err);
}

/* Moves what is there: f32 only where some of it is f32 already. */
static mm_status visit_move(struct widening *w, struct onnx_node *node, mm_error *err) {
    bool wide = false;
    if (node->output_count == 1 && node->outputs[0] != ONNX_NO_VALUE && node->input_count > 0 &&
        node->inputs[0] != ONNX_NO_VALUE && w->forms[node->inputs[0]].wide == ONNX_NO_VALUE &&
        !is_narrow(w, node->inputs[0]) && node->op != &mmi_onnx_op_Concat &&
        node->op != &mmi_onnx_op_Where && node->op != &mmi_onnx_op_Pad) {
        return move_constant(w, node, err);
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = node->inputs[i];
        wide |= value != ONNX_NO_VALUE && is_narrow(w, value) &&
                !w->model->values[value].constant && w->forms[value].wide != ONNX_NO_VALUE;
    }
    return wide && can_widen(w, node) ? widen_node(w, node, err) : leave(w, node, err);
}

/* To f32: what is f32 already is not rounded for it. A constant stays narrow until it is needed. */
static mm_status visit_cast(struct widening *w, struct onnx_node *node, mm_error *err) {
    uint32_t from = node->inputs[0], to = node->outputs[0], wide;
    if (from == ONNX_NO_VALUE || to == ONNX_NO_VALUE || !is_narrow(w, from) ||
        ((const struct onnx_cast *)node->params)->to != MM_F32) {
        return leave(w, node, err);
    }
    if (w->model->values[from].constant) {
        w->forms[to] = (struct forms){w->forms[from].narrow, ONNX_NO_VALUE};
        return MM_OK;
    }
    if (w->forms[from].wide == ONNX_NO_VALUE) {
        return leave(w, node, err);
    }
    struct onnx_node *same = mmi_onnx_own_node(w->model, &mmi_onnx_op_Identity, node, 1);
    if (!same) {
        return mmi_onnx_no_room(err);
    }
    MMI_TRY(want_wide(w, from, &wide, err));
    same->inputs[0] = wide;
    same->outputs[0] = to;
    return append(w, same, err);
}

/* ---- Graphs ---------------------------------------------------------------------------------- */

static mm_status visit_graph(struct widening *w, struct onnx_graph *graph, mm_error *err);

/* Values of other graphs are needed as they are: the graph may run often, or not at all. Its own
 * are not there yet. */
static mm_status want_captures(struct widening *w, const struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i <= graph->node_count; i++) {
        const struct onnx_node *node = i < graph->node_count ? graph->nodes[i] : NULL;
        const uint32_t *values = node ? node->inputs : graph->outputs;
        for (uint32_t j = 0; j < (node ? node->input_count : graph->output_count); j++) {
            uint32_t value = values[j];
            if (value != ONNX_NO_VALUE && (w->forms[value].narrow != ONNX_NO_VALUE ||
                                           w->forms[value].wide != ONNX_NO_VALUE)) {
                MMI_TRY(want_own(w, value, err));
            }
        }
        for (uint32_t j = 0; node && j < node->graph_count; j++) {
            MMI_TRY(want_captures(w, node->graphs[j], err));
        }
    }
    return MM_OK;
}

static mm_status visit_node(struct widening *w, struct onnx_node *node, mm_error *err) {
    for (uint32_t i = 0; i < node->graph_count; i++) {
        MMI_TRY(want_captures(w, node->graphs[i], err));
    }
    for (uint32_t i = 0; i < node->graph_count; i++) {
        MMI_TRY(visit_graph(w, node->graphs[i], err));
    }
    if (node->op == &mmi_onnx_op_Cast) {
        return visit_cast(w, node, err);
    }
    const struct onnx_quantization *quantization = node->params;
    if (node->op == &mmi_onnx_op_DequantizeLinear && quantization->dtype != MM_DTYPE_NONE) {
        return leave(w, node, err);
    }
    switch (kind_of(node->op)) {
    case MOVES:
        return visit_move(w, node, err);
    case COMPUTES:
        return can_widen(w, node) ? widen_node(w, node, err) : leave(w, node, err);
    case ANY:
    case NARROW:
    default:
        return leave(w, node, err);
    }
}

/* What a node makes has its own form, unless it was widened. */
static void begin_values(struct widening *w, const uint32_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE) {
            bool narrow = is_narrow(w, values[i]);
            w->forms[values[i]] = (struct forms){narrow ? values[i] : ONNX_NO_VALUE,
                                                 narrow ? ONNX_NO_VALUE : values[i]};
        }
    }
}

static mm_status visit_graph(struct widening *w, struct onnx_graph *graph, mm_error *err) {
    struct onnx_node_list outer = w->nodes;
    uint32_t undo = w->undo_count;
    w->nodes = (struct onnx_node_list){0};
    begin_values(w, graph->inputs, graph->input_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        MMI_TRY(mmi_onnx_check_cancelled(w->context, err));
        begin_values(w, graph->nodes[i]->outputs, graph->nodes[i]->output_count);
        MMI_TRY(visit_node(w, graph->nodes[i], err));
    }
    MMI_TRY(want_all(w, graph->outputs, graph->output_count, err));
    graph->nodes = w->nodes.at;
    graph->node_count = w->nodes.count;
    w->nodes = outer;
    for (; w->undo_count > undo; w->undo_count--) {
        const struct undo *last = &w->undo[w->undo_count - 1];
        *(last->wide ? &w->forms[last->value].wide : &w->forms[last->value].narrow) = ONNX_NO_VALUE;
    }
    return MM_OK;
}

static mm_status widen(struct widening *w, mm_error *err) {
    struct onnx_model *model = w->model;
    bool some = false;
    MMI_TRY(mmi_onnx_learn_facts(model, &w->work, &w->facts, err));
    w->forms = mmi_onnx_take(&w->work, model->value_count, sizeof(*w->forms));
    if (!w->forms) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < model->value_count; i++) {
        w->forms[i] = (struct forms){ONNX_NO_VALUE, ONNX_NO_VALUE};
        some |= is_narrow(w, i);
        if (model->values[i].constant) {
            begin_values(w, &i, 1);
        }
    }
    return some ? visit_graph(w, model->main, err) : MM_OK;
}

mm_status mmi_onnx_widen_graph(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err) {
    struct widening w = {.model = model, .context = context};
    mmi_onnx_arena_init(&w.work, model->arena->allocator);
    mm_status status = widen(&w, err);
    mmi_onnx_arena_free(&w.work);
    return status;
}
