/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/lifetimes.h>
#include <base/status.h>

/* The way from the main graph to a node. */
struct frame {
    const struct frame *outer;
    struct onnx_graph *graph;
    uint32_t at, captures_capacity;
};

struct search {
    struct onnx_arena *arena;
    struct onnx_lifetime *lifetimes;
    /* [value_count]: the graph that noted last that it reads the value: most repetitions are
     * seen */
    const struct onnx_graph **noted;
};

static bool capture(const struct search *search, struct frame *frame, uint32_t value) {
    struct onnx_graph *graph = frame->graph;
    if (!mmi_onnx_grow(search->arena, (void **)&graph->captures, &frame->captures_capacity,
                       graph->capture_count, sizeof(*graph->captures))) {
        return false;
    }
    graph->captures[graph->capture_count++] = value;
    return true;
}

/* Read by the node at which `frame` stands, or (until UINT32_MAX) given out by its graph. */
static bool read(const struct search *search, struct frame *frame, uint32_t value) {
    struct onnx_lifetime *lifetime = value == ONNX_NO_VALUE ? NULL : &search->lifetimes[value];
    if (!lifetime || !lifetime->home) {
        return true;
    }
    bool known = search->noted[value] == frame->graph;
    search->noted[value] = frame->graph;
    struct frame *at = frame;
    while (at && at->graph != lifetime->home) {
        if (!known && !capture(search, at, value)) {
            return false;
        }
        at = (struct frame *)(uintptr_t)at->outer;
    }
    if (at && lifetime->until != UINT32_MAX) {
        lifetime->until = at->at + 1;
    }
    return true;
}

static bool visit(const struct search *search, const struct frame *outer,
                  struct onnx_graph *graph) {
    struct frame frame = {.outer = outer, .graph = graph};
    bool good = true;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        search->lifetimes[graph->inputs[i]].home = graph;
    }
    for (; frame.at < graph->node_count && good; frame.at++) {
        const struct onnx_node *node = graph->nodes[frame.at];
        for (uint32_t i = 0; i < node->input_count && good; i++) {
            good = read(search, &frame, node->inputs[i]);
        }
        for (uint32_t i = 0; i < node->graph_count && good; i++) {
            good = visit(search, &frame, node->graphs[i]);
        }
        for (uint32_t i = 0; i < node->output_count; i++) {
            if (node->outputs[i] != ONNX_NO_VALUE) {
                search->lifetimes[node->outputs[i]].home = graph;
            }
        }
    }
    for (uint32_t i = 0; i < graph->output_count && good; i++) {
        good = read(search, &frame, graph->outputs[i]);
        if (search->lifetimes[graph->outputs[i]].home == graph) {
            search->lifetimes[graph->outputs[i]].until = UINT32_MAX;
        }
    }
    return good;
}

mm_status mmi_onnx_find_lifetimes(struct onnx_model *model, struct onnx_arena *arena,
                                  struct onnx_lifetime **lifetimes, mm_error *err) {
    struct onnx_arena work;
    mmi_onnx_arena_init(&work, arena->allocator);
    struct search search = {
        .arena = arena,
        .lifetimes = mmi_onnx_take(arena, model->value_count, sizeof(*search.lifetimes)),
        .noted = mmi_onnx_take(&work, model->value_count, sizeof(*search.noted))};
    bool good = search.lifetimes && search.noted && visit(&search, NULL, model->main);
    mmi_onnx_arena_free(&work);
    *lifetimes = search.lifetimes;
    return good ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for lifetimes");
}
