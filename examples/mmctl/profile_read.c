/* SPDX-License-Identifier: Apache-2.0 */
#include "profile.h"

#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Events ---------------------------------------------------------------------------------- */

static int by_begin(const void *a_, const void *b_) {
    const struct timed_event *a = a_, *b = b_;
    if (a->begin_ns != b->begin_ns) {
        return a->begin_ns < b->begin_ns ? -1 : 1;
    }
    return (a->end_ns < b->end_ns) - (a->end_ns > b->end_ns);
}

static bool read_run(const struct tree *tree, uint32_t nodes, struct timed_run *run) {
    const struct tree *events = tree_member(tree, "events");
    run->begin_ns = tree_number(tree, "begin_ns");
    run->end_ns = tree_number(tree, "end_ns");
    run->events = calloc((size_t)events->count + 1, sizeof(*run->events));
    for (const struct tree *at = events->first; run->events && at; at = at->next) {
        uint64_t numbers[6] = {0};
        uint32_t count = 0;
        for (const struct tree *one = at->first; one && count < 6; one = one->next) {
            numbers[count++] = one->number;
        }
        if (count == 6 && numbers[0] < nodes && numbers[3] >= numbers[2]) {
            run->events[run->count++] = (struct timed_event){.node = numbers[0],
                                                             .fast = numbers[1] != 0,
                                                             .begin_ns = numbers[2],
                                                             .end_ns = numbers[3],
                                                             .flops = numbers[4],
                                                             .bytes = numbers[5]};
        }
    }
    if (run->events) {
        qsort(run->events, run->count, sizeof(*run->events), by_begin);
    }
    return run->events != NULL;
}

/* What it took itself: less what the events directly inside of it took. */
static double own_ns(const struct timed_run *run, uint32_t i) {
    const struct timed_event *event = &run->events[i];
    uint64_t inside = 0, until = event->begin_ns;
    for (uint32_t k = i + 1; k < run->count && run->events[k].begin_ns < event->end_ns; k++) {
        if (run->events[k].begin_ns >= until) { /* else inside of one that is inside */
            inside += run->events[k].end_ns - run->events[k].begin_ns;
            until = run->events[k].end_ns;
        }
    }
    uint64_t all = event->end_ns - event->begin_ns;
    return all > inside ? (double)(all - inside) : 0;
}

/* ---- Nodes and operators --------------------------------------------------------------------- */

static const char *find_shape(const struct tree *report, const struct tree *node) {
    const char *op = tree_text(node, "operator"), *name = tree_text(node, "node");
    bool copy = tree_true(node, "copy");
    const struct tree *step = tree_member(report, "steps")->first;
    for (; step; step = step->next) {
        if (strcmp(tree_text(step, "node"), name) == 0 &&
            strcmp(tree_text(step, "operator"), op) == 0 && tree_true(step, "copy") == copy) {
            const struct tree *first = tree_member(step, "outputs")->first;
            return first && first->text ? first->text : "";
        }
    }
    return "";
}

static bool read_nodes(const struct tree *report, struct profile *profile) {
    const struct tree *nodes = tree_member(tree_member(report, "profile"), "nodes");
    profile->nodes = calloc((size_t)nodes->count + 1, sizeof(*profile->nodes));
    profile->operators = calloc((size_t)nodes->count + 1, sizeof(*profile->operators));
    profile->slowest = calloc((size_t)nodes->count + 1, sizeof(*profile->slowest));
    if (!profile->nodes || !profile->operators || !profile->slowest) {
        return false;
    }
    for (const struct tree *node = nodes->first; node; node = node->next) {
        struct timed *timed = &profile->nodes[profile->node_count++];
        timed->op = tree_text(node, "operator");
        timed->node = tree_text(node, "node");
        timed->shape = find_shape(report, node);
        timed->fused = tree_member(node, "fused");
        timed->ns = calloc(profile->run_count, sizeof(*timed->ns));
        if (!timed->ns) {
            return false;
        }
    }
    return true;
}

/* Times of all runs; how often, how much: of the last one. */
static void add_events(struct profile *profile) {
    for (uint32_t r = 0; r < profile->run_count; r++) {
        const struct timed_run *run = &profile->runs[r];
        for (uint32_t i = 0; i < run->count; i++) {
            const struct timed_event *event = &run->events[i];
            struct timed *timed = &profile->nodes[event->node];
            timed->ns[r] += own_ns(run, i);
            if (r + 1 == profile->run_count) {
                timed->calls++;
                timed->fast += event->fast;
                timed->flops += event->flops;
                timed->bytes += event->bytes;
            }
        }
    }
}

static int by_node_time(const void *a_, const void *b_) {
    const struct timed *a = *(struct timed *const *)a_, *b = *(struct timed *const *)b_;
    return (a->ms < b->ms) - (a->ms > b->ms);
}

static int by_time(const void *a_, const void *b_) {
    const struct timed *a = a_, *b = b_;
    return (a->ms < b->ms) - (a->ms > b->ms);
}

static void add_operators(struct profile *profile) {
    for (uint32_t i = 0; i < profile->slowest_count; i++) {
        const struct timed *node = profile->slowest[i];
        uint32_t at = 0;
        while (at < profile->operator_count && strcmp(profile->operators[at].op, node->op) != 0) {
            at++;
        }
        profile->operator_count += at == profile->operator_count;
        struct timed *op = &profile->operators[at];
        op->op = node->op;
        op->node = op->shape = "";
        op->calls += node->calls;
        op->fast += node->fast;
        op->flops += node->flops;
        op->bytes += node->bytes;
        op->ms += node->ms;
    }
}

/* Of each run: all of it, less what its steps took. */
static void take_rest(struct profile *profile, double *room) {
    for (uint32_t r = 0; r < profile->run_count; r++) {
        double steps = 0;
        for (uint32_t i = 0; i < profile->node_count; i++) {
            steps += profile->nodes[i].ns[r];
        }
        double rest = (double)(profile->runs[r].end_ns - profile->runs[r].begin_ns) - steps;
        room[r] = rest > 0 ? rest : 0;
    }
    profile->rest_ms = quantile(room, profile->run_count, 0.5) / 1e6;
    profile->parts_ms = profile->rest_ms;
}

static void take_medians(struct profile *profile, double *room) {
    for (uint32_t r = 0; r < profile->run_count; r++) {
        room[r] = (double)(profile->runs[r].end_ns - profile->runs[r].begin_ns);
    }
    profile->run_ms = quantile(room, profile->run_count, 0.5) / 1e6;
    for (uint32_t i = 0; i < profile->node_count; i++) {
        struct timed *node = &profile->nodes[i];
        node->ms = quantile(node->ns, profile->run_count, 0.5) / 1e6;
        if (node->calls > 0) { /* else an earlier run went another way */
            profile->parts_ms += node->ms;
            profile->slowest[profile->slowest_count++] = node;
        }
    }
    qsort(profile->slowest, profile->slowest_count, sizeof(*profile->slowest), by_node_time);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static bool read_runs(const struct tree *report, uint64_t wanted, struct profile *profile) {
    const struct tree *times = tree_member(report, "profile");
    const struct tree *runs = tree_member(times, "runs");
    uint32_t nodes = tree_member(times, "nodes")->count, skipped = 0;
    profile->runs = calloc((size_t)runs->count + 1, sizeof(*profile->runs));
    for (const struct tree *run = runs->first; profile->runs && run; run = run->next) {
        if (runs->count - skipped > wanted) {
            skipped++;
            continue;
        }
        if (!read_run(run, nodes, &profile->runs[profile->run_count++])) {
            return false;
        }
    }
    return profile->runs != NULL;
}

bool read_profile(const struct tree *report, uint64_t runs, struct profile *profile) {
    *profile = (struct profile){0};
    bool good = read_runs(report, runs, profile);
    if (good && profile->run_count == 0) {
        fprintf(stderr, "mmctl: no run was timed whole: the backend has no times, or one run has "
                        "more steps than it keeps\n");
        return false;
    }
    double *room = good ? calloc(profile->run_count, sizeof(*room)) : NULL;
    if (!room || !read_nodes(report, profile)) {
        fprintf(stderr, "mmctl: no memory for the times\n");
        free(room);
        return false;
    }
    add_events(profile);
    take_rest(profile, room); /* before medians put the times in order */
    take_medians(profile, room);
    add_operators(profile);
    qsort(profile->operators, profile->operator_count, sizeof(*profile->operators), by_time);
    free(room);
    return true;
}

void free_profile(struct profile *profile) {
    for (uint32_t i = 0; i < profile->run_count && profile->runs; i++) {
        free(profile->runs[i].events);
    }
    for (uint32_t i = 0; i < profile->node_count; i++) {
        free(profile->nodes[i].ns);
    }
    free(profile->runs);
    free(profile->nodes);
    free(profile->slowest);
    free(profile->operators);
    *profile = (struct profile){0};
}

const char *kernel_of(const struct timed *timed) {
    return timed->fast == 0 ? "plain" : timed->fast == timed->calls ? "fast" : "both";
}

const char *name_operator(const struct timed *timed, char text[256]) {
    size_t used = (size_t)snprintf(text, 256, "%.80s", timed->op);
    const struct tree *at = timed->fused ? timed->fused->first : NULL;
    const char *between = "+";
    bool program = strcmp(timed->op, "Fused") == 0;
    if (program && at) {
        used = 0;
        between = "";
    }
    for (; at && at->text && used < 200; at = at->next) {
        used += (size_t)snprintf(text + used, 256 - used, "%s%.30s", between, at->text);
        between = "+";
    }
    if (at) {
        snprintf(text + used, 256 - used, "+...");
    }
    return text;
}
