/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>

static const struct onnx_fact nothing = {.rank = -1};

struct onnx_fact mmi_onnx_fact(const struct onnx_learning *l, uint32_t input) {
    const struct onnx_node *node = l->node;
    bool given = input < node->input_count && node->inputs[input] != ONNX_NO_VALUE;
    return given ? l->facts[node->inputs[input]] : nothing;
}

int64_t mmi_onnx_fact_length(const struct onnx_learning *l, uint32_t input) {
    struct onnx_fact fact = mmi_onnx_fact(l, input);
    return fact.rank == 1 && fact.last > 0 ? fact.last : -1;
}

/* ---- Rules ----------------------------------------------------------------------------------- */

static int32_t dtype_by(const struct onnx_learning *l, uint8_t rule) {
    if (rule < ONNX_DTYPE_OF_0) {
        return rule;
    }
    if (rule < ONNX_DTYPE_OF_ANY) {
        return mmi_onnx_fact(l, rule - ONNX_DTYPE_OF_0).dtype;
    }
    int32_t dtype = MM_DTYPE_NONE;
    for (uint32_t i = 0; i < l->node->input_count && dtype == MM_DTYPE_NONE; i++) {
        dtype = mmi_onnx_fact(l, i).dtype;
    }
    return dtype;
}

static int32_t widest_rank(const struct onnx_learning *l) {
    int32_t rank = 0;
    for (uint32_t i = 0; i < l->node->input_count; i++) {
        int32_t of_input = mmi_onnx_fact(l, i).rank;
        if (of_input < 0) {
            return -1;
        }
        rank = of_input > rank ? of_input : rank;
    }
    return rank;
}

static int32_t rank_by(const struct onnx_learning *l, uint8_t rule) {
    switch (rule) {
    case ONNX_SHAPE_OF_0:
    case ONNX_RANK_OF_0:
        return mmi_onnx_fact(l, 0).rank;
    case ONNX_RANK_OF_1:
        return mmi_onnx_fact(l, 1).rank;
    case ONNX_RANK_BROADCAST:
        return widest_rank(l);
    case ONNX_RANK_IS_0:
    case ONNX_RANK_IS_1:
    case ONNX_RANK_IS_2:
        return rule - ONNX_RANK_IS_0;
    default:
        return -1;
    }
}

/* A last axis of more than one element is that of the result, whatever is broadcast to it. */
static int64_t last_by(const struct onnx_learning *l, uint8_t rule) {
    if (rule == ONNX_SHAPE_OF_0) {
        return mmi_onnx_fact(l, 0).last;
    }
    for (uint32_t i = 0; i < l->node->input_count && rule == ONNX_RANK_BROADCAST; i++) {
        if (mmi_onnx_fact(l, i).last > 1) {
            return mmi_onnx_fact(l, i).last;
        }
    }
    return 0;
}

/* Small is what is made of small things alone; constants count where they widen the result. */
static bool is_small(const struct onnx_learning *l, const struct onnx_fact_rules *rules) {
    bool some = false;
    for (uint32_t i = 0; i < l->node->input_count && rules->size == ONNX_SIZE_ALIKE; i++) {
        if (l->node->inputs[i] == ONNX_NO_VALUE) {
            continue;
        }
        const struct onnx_tensor *constant = mmi_onnx_constant(l->model, l->node, i);
        if (!constant && !mmi_onnx_fact(l, i).small) {
            return false;
        }
        if (constant && constant->elements > 1 && rules->rank == ONNX_RANK_BROADCAST) {
            return false;
        }
        some |= !constant;
    }
    return some || rules->size == ONNX_SIZE_REDUCES;
}

struct onnx_fact mmi_onnx_learn(const struct onnx_learning *l, uint32_t output) {
    const struct onnx_operator *op = l->node->op;
    const struct onnx_fact_rules *rules = &op->facts;
    struct onnx_fact fact = nothing;
    if (output == 0 || rules->all_outputs) {
        fact = (struct onnx_fact){.dtype = dtype_by(l, rules->dtype),
                                  .rank = rank_by(l, rules->rank),
                                  .last = last_by(l, rules->rank),
                                  .small = is_small(l, rules)};
    }
    if (op->learn) {
        op->learn(l, output, &fact);
    }
    return fact;
}
