/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/summary.h>
#include <base/status.h>
#include <base/text.h>

#include <stdlib.h>
#include <string.h>

struct kind {
    const char *type;
    uint32_t count;
};

struct kinds {
    struct onnx_arena *arena;
    struct kind *all;
    uint32_t count, capacity;
};

static bool add(struct kinds *kinds, const char *type) {
    for (uint32_t i = 0; i < kinds->count; i++) {
        if (strcmp(kinds->all[i].type, type) == 0) {
            kinds->all[i].count++;
            return true;
        }
    }
    if (!mmi_onnx_grow(kinds->arena, (void **)&kinds->all, &kinds->capacity, kinds->count,
                       sizeof(*kinds->all))) {
        return false;
    }
    kinds->all[kinds->count++] = (struct kind){type, 1};
    return true;
}

static bool count_graph(struct kinds *kinds, const struct onnx_graph *graph) {
    bool good = true;
    for (uint32_t i = 0; i < graph->node_count && good; i++) {
        const struct onnx_node *node = graph->nodes[i];
        good = add(kinds, node->type);
        for (uint32_t j = 0; j < node->attribute_count && good; j++) {
            const struct onnx_graph *branch = node->attributes[j].graph;
            good = !branch || count_graph(kinds, branch);
        }
    }
    return good;
}

static int by_count_descending(const void *a_, const void *b_) {
    const struct kind *a = a_, *b = b_;
    if (a->count != b->count) {
        return a->count < b->count ? 1 : -1;
    }
    return strcmp(a->type, b->type);
}

static char *write_kinds(const struct kinds *kinds) {
    size_t room = 1;
    for (uint32_t i = 0; i < kinds->count; i++) {
        room += strlen(kinds->all[i].type) + 16;
    }
    char *memory = mmi_onnx_take(kinds->arena, room, 1);
    struct mmi_text text;
    mmi_text_init(&text, memory, memory ? room : 0);
    for (uint32_t i = 0; i < kinds->count; i++) {
        mmi_text_add(&text, "%s%s %u", i ? ", " : "", kinds->all[i].type, kinds->all[i].count);
    }
    return memory;
}

mm_status mmi_onnx_summarise(struct onnx_model *model, mm_error *err) {
    struct kinds kinds = {.arena = model->arena};
    bool good = count_graph(&kinds, model->main);
    if (good && kinds.count > 0) {
        qsort(kinds.all, kinds.count, sizeof(*kinds.all), by_count_descending);
    }
    uint32_t own = 2;
    const char **metadata =
        mmi_onnx_take(model->arena, 2 * ((uint64_t)own + model->metadata_count), sizeof(char *));
    char *opset = mmi_onnx_take(model->arena, 24, 1);
    char *operators = good ? write_kinds(&kinds) : NULL;
    if (!metadata || !opset || !operators) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to describe the model");
    }
    struct mmi_text text;
    mmi_text_init(&text, opset, 24);
    mmi_text_add(&text, "%lld", (long long)model->opset);
    metadata[0] = "onnx.opset";
    metadata[1] = opset;
    metadata[2] = "onnx.operators";
    metadata[3] = operators;
    if (model->metadata_count > 0) {
        memcpy(metadata + 2 * own, model->metadata, 2 * model->metadata_count * sizeof(*metadata));
    }
    model->metadata = metadata;
    model->metadata_count += own;
    return MM_OK;
}
