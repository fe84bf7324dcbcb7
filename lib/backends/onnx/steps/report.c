/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/activation.h>
#include <backends/onnx/operators/fused.h>
#include <backends/onnx/operators/letters.h>
#include <backends/onnx/steps/profile.h>
#include <backends/onnx/steps/report.h>
#include <base/text.h>

#include <inttypes.h>
#include <string.h>

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Quoted; a byte that is no UTF-8 is U+FFFD. */
static void add_text(struct mmi_text *json, const char *text) {
    const char *end = text + strlen(text);
    mmi_text_add(json, "\"");
    while (text < end) {
        char letter[5] = "";
        uint32_t code = mmi_onnx_next_letter(&text, end);
        if (code == ONNX_NO_LETTER || code < 0x20) {
            mmi_text_add(json, "\\u%04" PRIx32, code < 0x20 ? code : UINT32_C(0xfffd));
        } else {
            mmi_onnx_put_letter(code, letter);
            mmi_text_add(json, code == '"' || code == '\\' ? "\\%s" : "%s", letter);
        }
    }
    mmi_text_add(json, "\"");
}

static void add_tensors(struct mmi_text *json, const char *key, const struct onnx_tensor *tensors,
                        uint32_t count) {
    mmi_text_add(json, ", \"%s\": [", key);
    for (uint32_t i = 0; i < count; i++) {
        mmi_text_add(json, i > 0 ? ", " : "");
        if (tensors[i].dtype == MM_DTYPE_NONE) {
            mmi_text_add(json, "null"); /* left out */
            continue;
        }
        mmi_text_add(json, "\"%s ", mm_dtype_text(tensors[i].dtype));
        mmi_text_shape(json, tensors[i].rank, tensors[i].shape);
        mmi_text_add(json, "\"");
    }
    mmi_text_add(json, "]");
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* What was fused into it: the activation after it, or the instructions of a program. */
static void add_fused(struct mmi_text *json, const struct onnx_timed_node *node) {
    if (!node->params) {
        return;
    }
    if (node->op->flags & ONNX_OP_ACTIVATES) {
        const struct onnx_activation *activation =
            (const void *)((const uint8_t *)node->params + node->op->activation_at);
        if (mmi_onnx_of_one(activation->function)) {
            mmi_text_add(json, ", \"fused\": [\"%s\"]",
                         mmi_onnx_functions[activation->function].name);
        }
    }
    if (node->op == &mmi_onnx_op_Fused) {
        const struct onnx_program *program = node->params;
        mmi_text_add(json, ", \"fused\": [");
        for (uint32_t i = 0; i < program->count; i++) {
            mmi_text_add(json, "%s\"%s\"", i > 0 ? ", " : "",
                         mmi_onnx_functions[program->code[i].function].name);
        }
        mmi_text_add(json, "]");
    }
}

/* By its own name, or by what it makes. */
static void add_node(struct mmi_text *json, const struct onnx_model *model,
                     const struct onnx_timed_node *node) {
    bool has = node->value < model->value_count;
    const char *made = has ? model->values[node->value].name : "";
    mmi_text_add(json, "{\"operator\": ");
    add_text(json, node->op->name);
    mmi_text_add(json, ", \"node\": ");
    add_text(json, node->name[0] ? node->name : made);
    if (!node->params) {
        mmi_text_add(json, ", \"copy\": true");
    }
    add_fused(json, node);
}

static void add_step(struct mmi_text *json, const struct onnx_model *model,
                     const struct onnx_step *step) {
    const struct onnx_timed_node node = mmi_onnx_timed_node(step->node);
    const struct onnx_cost cost = mmi_onnx_step_cost(step);
    add_node(json, model, &node);
    mmi_text_add(json, ", \"kernel\": \"%s\"", step->run == step->node->op->run ? "plain" : "fast");
    add_tensors(json, "inputs", step->inputs, step->input_count);
    add_tensors(json, "outputs", step->outputs, step->output_count);
    mmi_text_add(json, ", \"flops\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", cost.flops, cost.bytes);
}

/* Nodes that no plan has yet, those of their graphs as well. */
static void add_later(struct mmi_text *json, const struct onnx_model *model,
                      const struct onnx_graph *graph, uint32_t at, bool *first) {
    for (uint32_t i = at; i < graph->node_count; i++) {
        const struct onnx_timed_node node = mmi_onnx_timed_node(graph->nodes[i]);
        mmi_text_add(json, *first ? "" : ", ");
        *first = false;
        add_node(json, model, &node);
        mmi_text_add(json, "}");
        for (uint32_t j = 0; j < graph->nodes[i]->graph_count; j++) {
            add_later(json, model, graph->nodes[i]->graphs[j], 0, first);
        }
    }
}

/* ---- Times ----------------------------------------------------------------------------------- */

static void add_run(struct mmi_text *json, const struct onnx_profile *profile, uint64_t number) {
    const struct onnx_timed_run *run = &profile->runs[number % ONNX_PROFILE_RUNS];
    uint64_t found = 0;
    mmi_text_add(json, "{\"begin_ns\": %" PRIu64 ", \"end_ns\": %" PRIu64 ", \"events\": [",
                 run->begin_ns, run->end_ns);
    for (uint64_t i = run->first; i < profile->count && found < run->count; i++) {
        const struct onnx_timed *event = &profile->events[i % profile->capacity];
        if (event->run == number) {
            mmi_text_add(json, "%s[%u, %d, %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]",
                         found > 0 ? ", " : "", event->node, event->fast, event->begin_ns,
                         event->end_ns, event->cost.flops, event->cost.bytes);
            found++;
        }
    }
    mmi_text_add(json, "]}");
}

static void add_profile(struct mmi_text *json, const struct onnx_model *model,
                        struct onnx_profile *profile) {
    mmi_lock(&profile->lock);
    uint64_t first =
        profile->run_count > ONNX_PROFILE_RUNS ? profile->run_count - ONNX_PROFILE_RUNS : 0;
    uint64_t kept = 0;
    mmi_text_add(json, ", \"profile\": {\"runs_ever\": %" PRIu64 ", \"nodes\": [",
                 profile->run_count);
    for (uint32_t i = 0; i < profile->node_count; i++) {
        mmi_text_add(json, i > 0 ? ", " : "");
        add_node(json, model, &profile->nodes[i]);
        mmi_text_add(json, "}");
    }
    mmi_text_add(json, "], \"runs\": [");
    for (uint64_t i = first; i < profile->run_count; i++) {
        if (mmi_onnx_profile_has(profile, i)) {
            mmi_text_add(json, kept++ > 0 ? ", " : "");
            add_run(json, profile, i);
        }
    }
    mmi_text_add(json, "]}");
    mmi_unlock(&profile->lock);
}

/* ---- All of it ------------------------------------------------------------------------------- */

uint64_t mmi_onnx_report(const struct onnx_prepared *prepared, struct onnx_signature *signature,
                         char *text, uint64_t room) {
    const struct onnx_model *model = &prepared->model;
    const struct onnx_steps *steps = &signature->first;
    struct mmi_text json;
    bool first = true;
    mmi_text_init(&json, text, room);
    mmi_text_add(&json,
                 "{\"whole\": %s, \"weights_bytes\": %" PRIu64 ", \"activation_bytes\": %" PRIu64
                 ", \"steps\": [",
                 steps->whole ? "true" : "false", prepared->weights.bytes, steps->activation_bytes);
    for (uint32_t i = 0; i < steps->count; i++) {
        mmi_text_add(&json, i > 0 ? ", " : "");
        add_step(&json, model, &steps->steps[i]);
    }
    mmi_text_add(&json, "], \"later\": [");
    add_later(&json, model, model->main, steps->end, &first);
    mmi_text_add(&json, "]");
    if (signature->profile) {
        add_profile(&json, model, signature->profile);
    }
    mmi_text_add(&json, "}");
    return (uint64_t)json.need + 1;
}
