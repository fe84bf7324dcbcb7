/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/profile.h>
#include <backends/onnx/steps/steps.h>
#include <base/checked.h>

/* Events: so many runs of a plan, within bounds. */
#define KEPT_RUNS 64
#define LEAST_EVENTS 16384
#define MOST_EVENTS 131072

struct onnx_profile *mmi_onnx_profile_new(struct onnx_arena *arena, uint32_t value_count,
                                          uint32_t steps) {
    struct onnx_profile *profile = mmi_onnx_take(arena, 1, sizeof(*profile));
    if (!profile) {
        return NULL;
    }
    uint64_t wanted = mmi_max_u64(LEAST_EVENTS, (uint64_t)steps * KEPT_RUNS);
    profile->capacity = mmi_min_u64(wanted, MOST_EVENTS);
    profile->node_capacity = value_count + 1; /* a node makes a value; a copy takes one */
    uint64_t nodes = 2 * (uint64_t)profile->node_capacity;
    profile->events = mmi_onnx_take(arena, profile->capacity, sizeof(*profile->events));
    profile->nodes = mmi_onnx_take(arena, nodes, sizeof(*profile->nodes));
    profile->table = mmi_onnx_take(arena, 2 * nodes, sizeof(*profile->table));
    mmi_lock_init(&profile->lock, MMI_RANK_LEAF);
    if (profile->events && profile->nodes && profile->table) {
        return profile;
    }
    mmi_lock_fini(&profile->lock);
    return NULL;
}

void mmi_onnx_profile_fini(struct onnx_profile *profile) {
    if (profile) {
        mmi_lock_fini(&profile->lock);
    }
}

uint64_t mmi_onnx_profile_begin(struct onnx_profile *profile, uint64_t now_ns) {
    mmi_lock(&profile->lock);
    uint64_t run = profile->run_count++;
    profile->runs[run % ONNX_PROFILE_RUNS] =
        (struct onnx_timed_run){.first = profile->count, .begin_ns = now_ns};
    mmi_unlock(&profile->lock);
    return run;
}

static bool remembers(const struct onnx_profile *profile, uint64_t run) {
    return run < profile->run_count && profile->run_count - run <= ONNX_PROFILE_RUNS;
}

/* Its number; a new one if it is not there. A value is made by one node, and copied by no more than
 * one kind, so there is room. */
static uint32_t number_of(struct onnx_profile *profile, const struct onnx_timed_node *node) {
    uint32_t slots = 4 * profile->node_capacity;
    bool copy = node->params == NULL;
    uint32_t at = (node->value * UINT32_C(2654435761) + copy) % slots;
    while (profile->table[at] != 0) {
        const struct onnx_timed_node *known = &profile->nodes[profile->table[at] - 1];
        if (known->value == node->value && (known->params == NULL) == copy) {
            return profile->table[at] - 1;
        }
        at = (at + 1) % slots;
    }
    if (profile->node_count == 2 * profile->node_capacity) {
        return 0; /* not with one node to a value */
    }
    profile->nodes[profile->node_count++] = *node;
    profile->table[at] = profile->node_count;
    return profile->node_count - 1;
}

struct onnx_cost mmi_onnx_step_cost(const struct onnx_step *step) {
    const struct onnx_costed costed = {.op = step->node->op,
                                       .params = step->params,
                                       .input_count = step->input_count,
                                       .output_count = step->output_count,
                                       .inputs = step->inputs,
                                       .outputs = step->outputs};
    return mmi_onnx_cost(&costed);
}

struct onnx_timed_node mmi_onnx_timed_node(const struct onnx_node *node) {
    return (struct onnx_timed_node){.op = node->op,
                                    .name = node->name,
                                    .params = node->params,
                                    .value = mmi_onnx_first_output(node)};
}

void mmi_onnx_profile_add(struct onnx_profile *profile, const struct onnx_node *node,
                          const struct onnx_timed *timed) {
    const struct onnx_timed_node known = mmi_onnx_timed_node(node);
    mmi_lock(&profile->lock);
    struct onnx_timed *event = &profile->events[profile->count++ % profile->capacity];
    *event = *timed;
    event->node = number_of(profile, &known);
    if (remembers(profile, timed->run)) {
        profile->runs[timed->run % ONNX_PROFILE_RUNS].count++;
    }
    mmi_unlock(&profile->lock);
}

void mmi_onnx_profile_end(struct onnx_profile *profile, uint64_t run, uint64_t now_ns, bool good) {
    mmi_lock(&profile->lock);
    if (remembers(profile, run)) {
        profile->runs[run % ONNX_PROFILE_RUNS].end_ns = now_ns;
        profile->runs[run % ONNX_PROFILE_RUNS].whole = good;
    }
    mmi_unlock(&profile->lock);
}

bool mmi_onnx_profile_has(const struct onnx_profile *profile, uint64_t run) {
    const struct onnx_timed_run *known = &profile->runs[run % ONNX_PROFILE_RUNS];
    return remembers(profile, run) && known->whole &&
           profile->count - known->first <= profile->capacity;
}
