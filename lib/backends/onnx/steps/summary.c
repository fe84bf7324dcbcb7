/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/summary.h>
#include <base/status.h>
#include <base/text.h>

#include <stdlib.h>
#include <string.h>

#define OF_FILE 2 /* entries that say what is in the file */

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

/* Entries before entry `at` of what is there. */
static mm_status put_metadata(struct onnx_model *model, uint32_t at, const char *const *entries,
                              uint32_t count, mm_error *err) {
    uint32_t all = count + model->metadata_count;
    const char **metadata = mmi_onnx_take(model->arena, 2 * (uint64_t)all, sizeof(*metadata));
    if (!metadata) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to describe the model");
    }
    for (uint32_t i = 0; i < 2 * all; i++) {
        uint32_t from = i < 2 * at ? i : i - 2 * count; /* of what was there */
        bool added = i >= 2 * at && i < 2 * (at + count);
        metadata[i] = added ? entries[i - 2 * at] : model->metadata[from];
    }
    model->metadata = metadata;
    model->metadata_count = all;
    return MM_OK;
}

mm_status mmi_onnx_summarise(struct onnx_model *model, mm_error *err) {
    struct kinds kinds = {.arena = model->arena};
    bool good = count_graph(&kinds, model->main);
    if (good && kinds.count > 0) {
        qsort(kinds.all, kinds.count, sizeof(*kinds.all), by_count_descending);
    }
    char *opset = mmi_onnx_take(model->arena, 24, 1);
    char *operators = good ? write_kinds(&kinds) : NULL;
    if (!opset || !operators) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to describe the model");
    }
    struct mmi_text text;
    mmi_text_init(&text, opset, 24);
    mmi_text_add(&text, "%lld", (long long)model->opset);
    const char *const entries[] = {"onnx.opset", opset, "onnx.operators", operators};
    return put_metadata(model, 0, entries, OF_FILE, err);
}

/* ---- Weights --------------------------------------------------------------------------------- */

struct sort {
    int32_t dtype;
    uint64_t tensors, bytes;
};

static int by_bytes_descending(const void *a_, const void *b_) {
    const struct sort *a = a_, *b = b_;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? 1 : -1)
                                : (a->dtype > b->dtype) - (a->dtype < b->dtype);
}

mm_status mmi_onnx_summarise_prepared(struct onnx_model *model, mm_error *err) {
    struct sort sorts[MM_I2 + 1] = {{0}};
    char words[1024] = "";
    struct mmi_text text;
    for (uint32_t i = 0; i < model->value_count; i++) {
        const struct onnx_tensor *constant = model->values[i].constant;
        if (constant && constant->dtype > MM_DTYPE_NONE && constant->dtype <= MM_I2) {
            sorts[constant->dtype].dtype = constant->dtype;
            sorts[constant->dtype].tensors++;
            sorts[constant->dtype].bytes += constant->bytes;
        }
    }
    qsort(sorts, MM_I2 + 1, sizeof(sorts[0]), by_bytes_descending);
    mmi_text_init(&text, words, sizeof(words));
    for (int i = 0; i <= MM_I2; i++) {
        if (sorts[i].tensors > 0) {
            mmi_text_add(&text, "%s%s %llu tensors %llu bytes", text.need > 0 ? ", " : "",
                         mm_dtype_text(sorts[i].dtype), (unsigned long long)sorts[i].tensors,
                         (unsigned long long)sorts[i].bytes);
        }
    }
    char *weights = mmi_onnx_take_text(model->arena, words, strlen(words));
    if (!weights) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory to describe the model");
    }
    const char *const entries[] = {"onnx.weights", weights, "onnx.passes", model->passes};
    return put_metadata(model, OF_FILE, entries, model->passes ? 2 : 1, err);
}
