/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/passes/passes.h>
#include <base/status.h>
#include <base/text.h>

#include <inttypes.h>
#include <string.h>

static const struct {
    mm_status (*run)(struct onnx_model *, const struct onnx_pass_context *, mm_error *);
    const char *what; /* became of nodes, for a person */
} passes[] = {
    {mmi_onnx_widen_graph, "casts to f32 and back"},
    /* before constants are folded, which would make f32 of small weights */
    {mmi_onnx_fold_quantization, "quantisation folded"},
    {mmi_onnx_fold_constants, "constants folded"},
    {mmi_onnx_clean, "removed"},
    {mmi_onnx_fuse_layer_norm, "layer norms fused"},
    {mmi_onnx_make_linear, "products by constants made"},
    {mmi_onnx_fold_affine, "folded into weights"},
    {mmi_onnx_decompose_batch_norm, "batch norms split"},
    {mmi_onnx_make_channels_last, "transposes added"},
    {mmi_onnx_fuse_activations, "activations fused"},
    {mmi_onnx_pack, "packed"},
    {mmi_onnx_fuse_elementwise, "elementwise fused"},
    {mmi_onnx_clean, "removed"},
};
#define PASSES (sizeof(passes) / sizeof(passes[0]))

static int64_t count_nodes(const struct onnx_graph *graph) {
    int64_t count = graph->node_count;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        for (uint32_t j = 0; j < graph->nodes[i]->graph_count; j++) {
            count += count_nodes(graph->nodes[i]->graphs[j]);
        }
    }
    return count;
}

/* "142 nodes, 96 left: constants folded -30, ...". nodes: before the first pass, and after each. */
static void describe(const int64_t *nodes, struct mmi_text *text) {
    const char *between = ": ";
    mmi_text_add(text, "%" PRId64 " nodes, %" PRId64 " left", nodes[0], nodes[PASSES]);
    for (size_t i = 0; i < PASSES; i++) {
        int64_t more = 0;
        bool said = false;
        for (size_t j = 0; j < PASSES; j++) { /* a pass may run twice */
            bool same = strcmp(passes[i].what, passes[j].what) == 0;
            more += same ? nodes[j + 1] - nodes[j] : 0;
            said |= same && j < i;
        }
        if (more != 0 && !said) {
            mmi_text_add(text, "%s%s %+" PRId64, between, passes[i].what, more);
            between = ", ";
        }
    }
}

mm_status mmi_onnx_passes(struct onnx_model *model, const struct onnx_pass_context *context,
                          mm_error *err) {
    int64_t nodes[PASSES + 1];
    nodes[0] = count_nodes(model->main);
    for (size_t i = 0; i < PASSES; i++) {
        MMI_TRY(passes[i].run(model, context, err));
        nodes[i + 1] = count_nodes(model->main);
    }
    char words[512];
    struct mmi_text text;
    mmi_text_init(&text, words, sizeof(words));
    describe(nodes, &text);
    model->passes = mmi_onnx_take_text(model->arena, words, strlen(words));
    return model->passes ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "no memory to say what passes did");
}
