/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

mm_status mmi_onnx_check_cancelled(const struct onnx_pass_context *context, mm_error *err) {
    if (context->cancelled && context->cancelled(context->cancelled_ctx)) {
        return mmi_fail(err, MM_CANCELLED, "onnx: nobody wants the model any more");
    }
    return MM_OK;
}

mm_status mmi_onnx_no_room(mm_error *err) {
    return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory to rewrite the graph");
}

void mmi_onnx_rename(struct onnx_rewrite *rewrite, uint32_t value, uint32_t instead) {
    rewrite->names[value] = instead;
}

static void call_by_name(const struct onnx_rewrite *rewrite, uint32_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        while (values[i] < rewrite->value_count && rewrite->names[values[i]] != values[i]) {
            values[i] = rewrite->names[values[i]];
        }
    }
}

static void sweep(const struct onnx_rewrite *rewrite, struct onnx_graph *graph) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        if (!mmi_onnx_removed(node)) {
            call_by_name(rewrite, node->inputs, node->input_count);
            graph->nodes[kept++] = node;
        }
    }
    graph->node_count = kept;
    call_by_name(rewrite, graph->outputs, graph->output_count);
}

static mm_status visit_all(struct onnx_rewrite *rewrite, onnx_visit visit, mm_error *err) {
    struct onnx_model *model = rewrite->model;
    MMI_TRY(mmi_onnx_count_uses(model, &rewrite->work, &rewrite->uses, err));
    MMI_TRY(mmi_onnx_learn_facts(model, &rewrite->work, &rewrite->facts, err));
    rewrite->value_count = model->value_count;
    rewrite->names = mmi_onnx_take(&rewrite->work, model->value_count, sizeof(*rewrite->names));
    if (!rewrite->names) {
        return mmi_onnx_no_room(err);
    }
    for (uint32_t i = 0; i < model->value_count; i++) {
        rewrite->names[i] = i;
    }
    for (uint32_t i = 0; i < rewrite->uses.graph_count; i++) {
        MMI_TRY(mmi_onnx_check_cancelled(rewrite->context, err));
        MMI_TRY(visit(rewrite, rewrite->uses.graphs[i], err));
    }
    for (uint32_t i = 0; i < rewrite->uses.graph_count; i++) {
        sweep(rewrite, rewrite->uses.graphs[i]);
    }
    return MM_OK;
}

mm_status mmi_onnx_rewrite(struct onnx_model *model, const struct onnx_pass_context *context,
                           onnx_visit visit, mm_error *err) {
    struct onnx_rewrite rewrite = {.model = model, .context = context};
    mmi_onnx_arena_init(&rewrite.work, model->arena->allocator);
    mm_status status = visit_all(&rewrite, visit, err);
    mmi_onnx_arena_free(&rewrite.work);
    return status;
}

bool mmi_onnx_append_node(struct onnx_model *model, struct onnx_node_list *list,
                          struct onnx_node *node) {
    if (!node || !mmi_onnx_grow(model->arena, (void **)&list->at, &list->capacity, list->count,
                                sizeof(struct onnx_node *))) {
        return false;
    }
    list->at[list->count++] = node;
    return true;
}

struct onnx_node *mmi_onnx_own_node(struct onnx_model *model, const struct onnx_operator *op,
                                    const struct onnx_node *like, uint32_t input_count) {
    struct onnx_node *node = mmi_onnx_new_node(model, op, input_count, 1);
    if (node) {
        node->name = like->name;
        node->domain = op->domain ? op->domain : "";
    }
    return node;
}

const struct onnx_tensor *mmi_onnx_f32(const struct onnx_model *model, uint32_t value) {
    const struct onnx_tensor *constant =
        value == ONNX_NO_VALUE ? NULL : model->values[value].constant;
    bool plain = constant && constant->dtype == MM_F32 && constant->layout == ONNX_PLAIN;
    return plain ? constant : NULL;
}

const struct onnx_tensor *mmi_onnx_constant_behind(const struct onnx_rewrite *rewrite,
                                                   uint32_t value, uint32_t *of) {
    const struct onnx_model *model = rewrite->model;
    const struct onnx_tensor *constant =
        value == ONNX_NO_VALUE ? NULL : model->values[value].constant;
    const struct onnx_node *maker =
        value < rewrite->value_count ? rewrite->uses.of[value].maker : NULL;
    if (!constant && maker && maker->op == &mmi_onnx_op_Cast &&
        rewrite->facts[value].dtype == MM_F32) {
        value = maker->inputs[0];
        constant = mmi_onnx_constant(model, maker, 0);
        bool narrow = constant && (constant->dtype == MM_F16 || constant->dtype == MM_BF16);
        constant = narrow ? constant : NULL;
    }
    if (of) {
        *of = value;
    }
    return constant && constant->layout == ONNX_PLAIN ? constant : NULL;
}

uint32_t mmi_onnx_new_f32(struct onnx_model *model, uint32_t rank, const int64_t *shape,
                          float **data) {
    struct onnx_tensor tensor;
    if (mmi_onnx_tensor_set(&tensor, MM_F32, rank, shape, NULL) != MM_OK) {
        return ONNX_NO_VALUE;
    }
    tensor.data = *data = mmi_onnx_take_data(model->arena, tensor.bytes);
    return *data ? mmi_onnx_add_constant(model, &tensor) : ONNX_NO_VALUE;
}

uint32_t mmi_onnx_new_panels(struct onnx_model *model, int32_t dtype, const void *from, uint64_t k,
                             uint64_t n) {
    struct onnx_tensor panels;
    const int64_t shape[2] = {(int64_t)k, (int64_t)n};
    if (mmi_onnx_tensor_set(&panels, dtype, 2, shape, NULL) != MM_OK) {
        return ONNX_NO_VALUE;
    }
    panels.layout = ONNX_PANELS;
    panels.bytes = mmi_onnx_narrow_panel_bytes(dtype, k, n);
    void *data = panels.bytes < PTRDIFF_MAX ? mmi_onnx_take_data(model->arena, panels.bytes) : NULL;
    if (!data) {
        return ONNX_NO_VALUE;
    }
    if (dtype == MM_I4) {
        mmi_onnx_pack_i4(from, k, n, data);
    } else {
        mmi_onnx_pack_narrow(dtype, from, k, n, data);
    }
    panels.data = data;
    return mmi_onnx_add_constant(model, &panels);
}
