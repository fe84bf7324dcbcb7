/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/channels.h>
#include <backends/onnx/operators/movement.h>
#include <backends/onnx/passes/twins.h>

static bool emit_transpose(struct onnx_twins *twins, uint32_t from, uint32_t to, int32_t rank,
                           bool to_last, const struct onnx_node *like) {
    struct onnx_node *node =
        mmi_onnx_own_node(twins->rewrite->model, &mmi_onnx_op_Transpose, like, 1);
    if (!node) {
        return false;
    }
    struct onnx_transpose *transpose = node->params;
    transpose->count = (uint32_t)rank;
    for (int32_t i = 0; i < rank; i++) {
        int64_t last = mmi_onnx_last_axis(i, rank);
        if (to_last) {
            transpose->perm[last] = i;
        } else {
            transpose->perm[i] = last;
        }
    }
    node->inputs[0] = from;
    node->outputs[0] = to;
    return mmi_onnx_append_node(twins->rewrite->model, &twins->nodes, node);
}

bool mmi_onnx_need_plain(struct onnx_twins *twins, uint32_t value, const struct onnx_node *like) {
    if (!mmi_onnx_is_old_value(twins, value) || !twins->pending[value]) {
        return true;
    }
    twins->pending[value] = false;
    return emit_transpose(twins, twins->of[value], value, mmi_onnx_rank_of(twins, value), false,
                          like);
}

bool mmi_onnx_need_twin(struct onnx_twins *twins, uint32_t value, const struct onnx_node *like,
                        uint32_t *twin) {
    if (twins->of[value] == ONNX_NO_VALUE) {
        uint32_t made = mmi_onnx_add_value(twins->rewrite->model, "");
        twins->of[value] = made;
        if (made == ONNX_NO_VALUE ||
            !emit_transpose(twins, value, made, mmi_onnx_rank_of(twins, value), true, like)) {
            return false;
        }
    }
    *twin = twins->of[value];
    return true;
}

/* Graphs in nodes know the file's order alone. */
static bool is_used_inside(const struct onnx_twins *twins, uint32_t value) {
    const struct onnx_use *use = &twins->rewrite->uses.of[value];
    for (uint32_t i = 0; i < use->count; i++) {
        if (use->users[i].graph != twins->graph) {
            return true;
        }
    }
    return false;
}

bool mmi_onnx_made_twins(struct onnx_twins *twins, const uint32_t *values, uint32_t count,
                         const struct onnx_node *node) {
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] != ONNX_NO_VALUE && is_used_inside(twins, values[i]) &&
            !mmi_onnx_need_plain(twins, values[i], node)) {
            return false;
        }
    }
    return true;
}

bool mmi_onnx_make_twin(struct onnx_twins *twins, uint32_t value, uint32_t *twin) {
    *twin = ONNX_NO_VALUE;
    if (value == ONNX_NO_VALUE) {
        return true;
    }
    const char *name = twins->rewrite->model->values[value].name;
    *twin = mmi_onnx_add_value(twins->rewrite->model, name);
    twins->of[value] = *twin;
    twins->pending[value] = true;
    return *twin != ONNX_NO_VALUE;
}

bool mmi_onnx_move_constant(struct onnx_twins *twins, uint32_t value, int32_t rank, uint32_t *to) {
    struct onnx_model *model = twins->rewrite->model;
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
