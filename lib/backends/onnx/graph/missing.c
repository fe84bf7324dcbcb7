/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/missing.h>
#include <backends/onnx/graph/upgrade.h>
#include <backends/onnx/operators/refused.h>
#include <base/log.h>
#include <base/status.h>
#include <base/text.h>

#include <inttypes.h>
#include <string.h>

#define MOST_KINDS 64

const struct onnx_operator *mmi_onnx_operator_of(const struct onnx_node *node) {
    bool ours = strcmp(node->domain, ONNX_OURS) == 0; /* not for files */
    return ours ? NULL : mmi_onnx_find_operator(node->domain, node->type);
}

/* The types of nodes that cannot be run, each once. */
struct missing {
    struct onnx_model *model;
    struct kind {
        const struct onnx_node *first;
        uint32_t nodes;
    } kinds[MOST_KINDS];
    uint32_t count;
};

static void add(struct missing *missing, const struct onnx_node *node) {
    uint32_t i = 0;
    while (i < missing->count && (strcmp(missing->kinds[i].first->type, node->type) != 0 ||
                                  strcmp(missing->kinds[i].first->domain, node->domain) != 0)) {
        i++;
    }
    if (i == MOST_KINDS) {
        return;
    }
    missing->count += i == missing->count ? 1 : 0;
    struct kind *kind = &missing->kinds[i];
    kind->first = kind->first ? kind->first : node;
    kind->nodes++;
}

static void collect(struct missing *missing, const struct onnx_graph *graph) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        bool known = node->op || strcmp(node->type, "Constant") == 0;
        bool standard = node->domain[0] == '\0';
        known = known || (standard && mmi_onnx_upgrade(missing->model, node, NULL) != MM_OK);
        if (!known && !mmi_onnx_operator_of(node)) {
            add(missing, node);
        }
        for (uint32_t j = 0; j < node->attribute_count; j++) { /* of a node not resolved yet */
            if (node->attributes[j].graph) {
                collect(missing, node->attributes[j].graph);
            }
        }
        for (uint32_t j = 0; j < node->graph_count; j++) {
            collect(missing, node->graphs[j]);
        }
    }
}

static const char *domain_of(const struct onnx_node *node) {
    return node->domain[0] == '\0' ? "ai.onnx" : node->domain;
}

mm_status mmi_onnx_fail_missing(struct onnx_model *model, const struct onnx_node *node,
                                mm_error *err) {
    struct missing missing = {.model = model};
    add(&missing, node);
    collect(&missing, model->main);
    char others[240] = "", advice[120] = "";
    struct mmi_text text;
    mmi_text_init(&text, others, sizeof(others));
    for (uint32_t i = 1; i < missing.count; i++) {
        mmi_text_add(&text, "%s%.40s", i == 1 ? ", nor " : ", ", missing.kinds[i].first->type);
    }
    const char *known = mmi_onnx_advice(node->domain, node->type);
    mmi_text_init(&text, advice, sizeof(advice));
    mmi_text_add(&text, "%s%s", known ? ": " : "", known ? known : "");
    return mmi_fail(err, MM_UNSUPPORTED,
                    "this library does not run the operator %.80s (domain %.80s, opset %" PRId64
                    ")%s yet%s",
                    node->type, domain_of(node), node->opset, others, advice);
}

void mmi_onnx_tell_missing(struct onnx_model *model) {
    struct missing missing = {.model = model};
    collect(&missing, model->main);
    for (uint32_t i = 0; i < missing.count; i++) {
        const struct onnx_node *node = missing.kinds[i].first;
        const char *advice = mmi_onnx_advice(node->domain, node->type);
        char text[ONNX_NODE_TEXT];
        mmi_log(model->log, MM_LOG_WARNING,
                "onnx: no operator %.80s (domain %.80s, opset %" PRId64
                "), which %u of the nodes want; the first is the %s%s%s",
                node->type, domain_of(node), node->opset, missing.kinds[i].nodes,
                mmi_onnx_node_text(model, node, text), advice ? ": " : "", advice ? advice : "");
    }
}
