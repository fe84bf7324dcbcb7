/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/cast.h>
#include <backends/onnx/operators/reduce.h>
#include <backends/onnx/passes/rewrite.h>

#include <string.h>

enum dtype_rule {
    OF_FIRST, /* input 0 */
    OF_ALL,   /* every input; it is enough to know one */
    OF_SECOND,
    OF_CAST, /* what it casts to */
    BOOL,
    INTEGER /* i64 */
};

enum rank_rule {
    NO_RANK,       /* not known */
    AS_FIRST,      /* the shape of input 0 */
    RANK_OF_FIRST, /* its rank alone */
    IF_KEPT,       /* the same, if a reduction keeps its axes */
    AS_WIDEST,     /* all inputs, broadcast */
    AS_WEIGHTS,
    AS_ROWS, /* MatMul */
    TWO,
    ONE
};

/* Far fewer elements than came in, or far more. */
enum size_rule { ALIKE, REDUCES, SPREADS };

/* Output 0 of these operators; of others nothing is known. */
static const struct rule {
    uint8_t dtype, rank, size;
    const char *types;
} rules[] = {
    {OF_FIRST, AS_FIRST, ALIKE,
     "Abs BatchNormalization Ceil Clip Cos CumSum Dropout Elu Erf Exp Floor Gelu HardSigmoid "
     "HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax Neg "
     "PRelu Reciprocal Relu Round Sigmoid Sign Sin Softmax Softplus Sqrt Tanh"},
    {OF_FIRST, RANK_OF_FIRST, ALIKE,
     "AveragePool Concat DepthToSpace MaxPool Pad Resize Slice SpaceToDepth Split Transpose"},
    {OF_ALL, AS_WIDEST, ALIKE, "Add Div Max Mean Min Mul Sub Sum"},
    {OF_FIRST, AS_WIDEST, ALIKE, "Pow"},
    {OF_ALL, AS_WEIGHTS, ALIKE, "Conv ConvTranspose"},
    {OF_ALL, AS_ROWS, ALIKE, "MatMul"},
    {OF_ALL, RANK_OF_FIRST, ALIKE, "Linear"},
    {OF_ALL, TWO, ALIKE, "Gemm"},
    {OF_FIRST, TWO, ALIKE, "Flatten"},
    {OF_FIRST, NO_RANK, ALIKE, "Fused GRU Gather LSTM RNN Reshape Squeeze Unsqueeze"},
    {OF_FIRST, RANK_OF_FIRST, REDUCES, "GlobalAveragePool GlobalMaxPool"},
    {OF_FIRST, IF_KEPT, REDUCES,
     "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
     "ReduceSum ReduceSumSquare"},
    {OF_FIRST, RANK_OF_FIRST, SPREADS, "Tile"},
    {OF_FIRST, NO_RANK, SPREADS, "Expand"},
    {OF_SECOND, AS_WIDEST, ALIKE, "Where"},
    {OF_CAST, AS_FIRST, ALIKE, "Cast"},
    {BOOL, AS_WIDEST, ALIKE, "And Equal Greater GreaterOrEqual Less LessOrEqual Or Xor"},
    {BOOL, AS_FIRST, ALIKE, "IsInf IsNaN Not"},
    {INTEGER, NO_RANK, REDUCES, "ArgMax ArgMin Size"},
    {INTEGER, ONE, REDUCES, "Shape"},
};

static bool has_word(const char *words, const char *word) {
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += length) {
        bool begins = at == words || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static const struct rule *rule_of(const struct onnx_node *node) {
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (has_word(rules[i].types, node->op->name)) {
            return &rules[i];
        }
    }
    return NULL;
}

static struct onnx_fact nothing(void) {
    return (struct onnx_fact){.rank = -1};
}

struct learning {
    const struct onnx_model *model;
    struct onnx_fact *facts;
};

static struct onnx_fact fact_of(const struct learning *l, const struct onnx_node *node,
                                uint32_t input) {
    bool given = input < node->input_count && node->inputs[input] != ONNX_NO_VALUE;
    return given ? l->facts[node->inputs[input]] : nothing();
}

static int32_t dtype_of(const struct learning *l, const struct onnx_node *node,
                        const struct rule *rule) {
    switch (rule->dtype) {
    case OF_FIRST:
        return fact_of(l, node, 0).dtype;
    case OF_ALL:
        for (uint32_t i = 0; i < node->input_count; i++) {
            if (fact_of(l, node, i).dtype != MM_DTYPE_NONE) {
                return fact_of(l, node, i).dtype;
            }
        }
        return MM_DTYPE_NONE;
    case OF_SECOND:
        return fact_of(l, node, 1).dtype;
    case BOOL:
        return MM_BOOL;
    case INTEGER:
        return MM_I64;
    default:
        return ((const struct onnx_cast *)node->params)->to;
    }
}

static int32_t widest_rank(const struct learning *l, const struct onnx_node *node) {
    int32_t rank = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        int32_t of_input = fact_of(l, node, i).rank;
        if (of_input < 0) {
            return -1;
        }
        rank = of_input > rank ? of_input : rank;
    }
    return rank;
}

static int32_t rank_of(const struct learning *l, const struct onnx_node *node,
                       const struct rule *rule) {
    switch (rule->rank) {
    case AS_FIRST:
    case RANK_OF_FIRST:
        return fact_of(l, node, 0).rank;
    case IF_KEPT:
        return ((const struct onnx_reduce *)node->params)->keepdims ? fact_of(l, node, 0).rank : -1;
    case AS_WIDEST:
        return widest_rank(l, node);
    case AS_WEIGHTS:
        return fact_of(l, node, 1).rank;
    case AS_ROWS: {
        int32_t a = fact_of(l, node, 0).rank, b = fact_of(l, node, 1).rank;
        return a < 2 || b < 2 ? -1 : a > b ? a : b;
    }
    case TWO:
        return 2;
    case ONE:
        return 1;
    default:
        return -1;
    }
}

/* A last axis of more than one element is that of the result, whatever is broadcast to it. */
static int64_t last_of(const struct learning *l, const struct onnx_node *node,
                       const struct rule *rule) {
    if (rule->rank == AS_FIRST) {
        return fact_of(l, node, 0).last;
    }
    if (mmi_onnx_is(node, "Linear") ||
        (mmi_onnx_is(node, "MatMul") && fact_of(l, node, 1).rank > 1)) {
        return fact_of(l, node, 1).last;
    }
    for (uint32_t i = 0; i < node->input_count && rule->rank == AS_WIDEST; i++) {
        if (fact_of(l, node, i).last > 1) {
            return fact_of(l, node, i).last;
        }
    }
    return 0;
}

/* Small is what is made of small things alone; constants count where they widen the result. */
static bool is_small(const struct learning *l, const struct onnx_node *node,
                     const struct rule *rule) {
    bool some = false;
    for (uint32_t i = 0; i < node->input_count && rule->size == ALIKE; i++) {
        if (node->inputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        const struct onnx_tensor *constant = l->model->values[node->inputs[i]].constant;
        if (!constant && !l->facts[node->inputs[i]].small) {
            return false;
        }
        if (constant && constant->elements > 1 && rule->rank == AS_WIDEST) {
            return false;
        }
        some |= !constant;
    }
    return some || rule->size == REDUCES;
}

static void learn_graph(const struct learning *l, const struct onnx_graph *graph);

/* What both branches agree on. */
static void learn_if(const struct learning *l, const struct onnx_node *node) {
    const struct onnx_graph *then = node->graphs[0], *otherwise = node->graphs[1];
    learn_graph(l, then);
    learn_graph(l, otherwise);
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        struct onnx_fact a = l->facts[then->outputs[i]], b = l->facts[otherwise->outputs[i]];
        a.dtype = a.dtype == b.dtype ? a.dtype : MM_DTYPE_NONE;
        a.rank = a.rank == b.rank ? a.rank : -1;
        a.last = a.last == b.last ? a.last : 0;
        a.small &= b.small;
        l->facts[node->outputs[i]] = a;
    }
}

static void learn_graph(const struct learning *l, const struct onnx_graph *graph) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        if (node->op->flags & ONNX_OP_CONTROL) {
            learn_if(l, node);
            continue;
        }
        for (uint32_t j = 0; j < node->graph_count; j++) {
            learn_graph(l, node->graphs[j]);
        }
        const struct rule *rule = rule_of(node);
        if (!rule || node->output_count == 0) {
            continue;
        }
        struct onnx_fact fact = {.dtype = dtype_of(l, node, rule),
                                 .rank = rank_of(l, node, rule),
                                 .last = last_of(l, node, rule),
                                 .small = is_small(l, node, rule)};
        bool alike = has_word("GRU LSTM RNN Split", node->op->name); /* all outputs */
        for (uint32_t j = 0; j < (alike ? node->output_count : 1); j++) {
            if (node->outputs[j] != ONNX_NO_VALUE) {
                l->facts[node->outputs[j]] = fact;
            }
        }
    }
}

mm_status mmi_onnx_learn_facts(const struct onnx_model *model, struct onnx_arena *arena,
                               struct onnx_fact **facts, mm_error *err) {
    struct learning l = {.model = model,
                         .facts = mmi_onnx_take(arena, model->value_count, sizeof(*l.facts))};
    if (!l.facts) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < model->value_count; i++) {
        const struct onnx_tensor *constant = model->values[i].constant;
        l.facts[i] = nothing();
        if (constant) {
            l.facts[i].dtype = constant->dtype;
            l.facts[i].rank = (int32_t)constant->rank;
            l.facts[i].last = constant->rank > 0 ? constant->shape[constant->rank - 1] : 0;
        }
    }
    for (uint32_t i = 0; i < model->main->input_count; i++) {
        const mm_value_info *info = &model->inputs[i];
        int64_t last = info->rank > 0 ? info->shape[info->rank - 1] : 0;
        l.facts[model->main->inputs[i]] = (struct onnx_fact){
            .dtype = info->dtype, .rank = info->rank, .last = last > 0 ? last : 0};
    }
    learn_graph(&l, model->main);
    *facts = l.facts;
    return MM_OK;
}
