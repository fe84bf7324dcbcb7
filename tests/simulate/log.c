/* SPDX-License-Identifier: Apache-2.0 */
/* The decision log balances: every begin has its end, every line its model; nobody is chosen who
 * must not be. */
#include "sim.h"

#include <string.h>

/* MOST_MODELS: none of ours. */
static uint32_t model_named(const char *name) {
    bool ours = name[0] == 'm' && name[1] >= '0' && name[1] < '0' + (int)MOST_MODELS && !name[2];
    return ours ? (uint32_t)(name[1] - '0') : MOST_MODELS;
}

static uint32_t class_of(const struct sim *sim, uint32_t model) {
    int32_t plan = sim->scenario->models[model].evict_class;
    return plan == MM_CLASS_DEFAULT ? MM_CLASS_NORMAL : (uint32_t)plan;
}

/* By the policy, not by somebody's word. */
static bool by_policy(const char *reason) {
    return strcmp(reason, "budget") == 0 || strcmp(reason, "activations") == 0 ||
           strcmp(reason, "memory") == 0 || strcmp(reason, "shrink") == 0 ||
           strcmp(reason, "idle") == 0;
}

/* Runs of a model that was unregistered may want memory beside the next one of its name. */
static bool registered_once(const struct sim *sim, uint32_t model) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->registration_count; i++) {
        count += sim->registrations[i].model == model;
    }
    return count == 1;
}

static void check_choice(struct sim *sim, const mm_event *event, uint32_t victim) {
    const struct registration *registration = sim->current_of[victim];
    if (!by_policy(event->reason)) {
        return;
    }
    if (registration && registration->surely_pinned && !registration->leaving) {
        sim_fail(sim, "victim", "m%u is pinned, and chosen (%s)", victim, event->reason);
    }
    uint32_t other = model_named(event->other);
    if (other < MOST_MODELS) {
        bool fixed = !sim->class_moved[victim] && !sim->class_moved[other];
        if (other == victim && registered_once(sim, victim) && fixed) {
            sim_fail(sim, "victim", "m%u leaves for itself (%s)", victim, event->reason);
        }
        if (fixed && class_of(sim, victim) > class_of(sim, other)) {
            sim_fail(sim, "victim", "m%u leaves for m%u, of a lower class", victim, other);
        }
    }
}

/* What was loaded stays for a while, whoever else wants its room. */
static void check_stay(struct sim *sim, const mm_event *event, uint32_t victim) {
    const struct tally *tally = &sim->tally[victim];
    const struct scenario *s = sim->scenario;
    uint64_t own_ns = s->models[victim].min_residency_ns;
    uint64_t stay_ns = own_ns ? own_ns : s->min_residency_ns;
    bool for_another = strcmp(event->reason, "budget") == 0;
    if (for_another && tally->resident == 1 && tally->ready_ns &&
        event->time_ns < tally->ready_ns + stay_ns) {
        sim_fail(sim, "victim", "m%u leaves %llu ns after its load", victim,
                 (unsigned long long)(event->time_ns - tally->ready_ns));
    }
}

/* May it be tried again by now? Only somebody's word makes it forget. */
/* A load that detached for its memory has it, unless a budget became smaller meanwhile. */
static void check_robbed(struct sim *sim, const mm_event *event, uint32_t model) {
    const struct scenario *s = sim->scenario;
    bool robbed = event->kind == MM_EVENT_LOAD_FAILED && event->status == MM_BUSY;
    for (uint32_t i = 0; i < s->act_count; i++) {
        robbed = robbed && !(s->acts[i].kind == ACT_BUDGET && sim->calls[i].begun);
    }
    if (robbed) {
        sim_fail(sim, "robbed", "m%u: what was detached for its load is gone", model);
    }
}

static void check_backoff(struct sim *sim, const mm_event *event, uint32_t model) {
    struct tally *tally = &sim->tally[model];
    const struct scenario *s = sim->scenario;
    bool begins = event->kind == MM_EVENT_LOAD_BEGIN || event->kind == MM_EVENT_PREPARE_BEGIN;
    bool prepares = event->kind == MM_EVENT_PREPARE_BEGIN || event->kind == MM_EVENT_PREPARE_END;
    bool fails = event->kind == MM_EVENT_LOAD_FAILED ||
                 (event->kind == MM_EVENT_PREPARE_END && event->status != MM_OK);
    bool wider = event->status == MM_NO_MEMORY ||         /* it may be tried once more */
                 event->status == MM_BUSY;                /* others took the room */
    bool followed = event->status == MM_SOURCE_CHANGED && /* by a version of its own */
                    s->models[model].source_changes == MM_CHANGES_FOLLOW;
    if (fails && !wider && !followed && event->status != MM_DEVICE_LOST &&
        event->status != MM_CANCELLED) {
        tally->failed_ns = event->time_ns;
        tally->prepare_failed = prepares;
    }
    bool word = false;
    for (uint32_t i = 0; i < s->act_count; i++) {
        const struct act *act = &s->acts[i];
        bool forgets = act->kind == ACT_UPDATE || act->kind == ACT_UNREGISTER ||
                       ((act->kind == ACT_LOAD || act->kind == ACT_PREPARE) && act->retry);
        word |= !act->off && act->model == model && forgets;
    }
    uint64_t first_ns = s->backoff_first_ns ? s->backoff_first_ns : UINT64_C(100000000);
    begins = begins && (!prepares || tally->prepare_failed); /* who asks what it is may be told */
    if (begins && !word && tally->failed_ns && event->time_ns < tally->failed_ns + first_ns) {
        sim_fail(sim, "backoff", "m%u is tried again %llu ns after it failed", model,
                 (unsigned long long)(event->time_ns - tally->failed_ns));
    }
}

/* Who drained may stay; who is evicted comes back for somebody who needs it there, and not for who
 * only asks what it is. Of copies the log does not say which one drained. */
static void check_revival(struct sim *sim, uint32_t model) {
    bool copies = sim->scenario->models[model].replicas > 1;
    if (!copies && sim->tally[model].draining == 0 && !calls_want(sim, model)) {
        sim_fail(sim, "revive", "m%u was evicted and comes back for nobody", model);
    }
}

static void check_model(struct sim *sim, const mm_event *event) {
    bool without = event->kind == MM_EVENT_BUDGET || event->kind == MM_EVENT_ARTIFACT_DROPPED;
    uint32_t model = model_named(event->model);
    if (without) {
        return;
    }
    if (model == MOST_MODELS) {
        char text[256];
        mm_event_text(event, text, sizeof(text));
        sim_fail(sim, "log", "a line without its model: %s", text);
        return;
    }
    struct tally *tally = &sim->tally[model];
    tally->loads += event->kind == MM_EVENT_LOAD_BEGIN;
    tally->loads -= event->kind == MM_EVENT_LOAD_END || event->kind == MM_EVENT_LOAD_FAILED;
    tally->prepares += event->kind == MM_EVENT_PREPARE_BEGIN;
    tally->prepares -= event->kind == MM_EVENT_PREPARE_END;
    tally->tried |= event->kind == MM_EVENT_PREPARE_BEGIN;
    check_backoff(sim, event, model);
    check_robbed(sim, event, model);
    if (event->kind == MM_EVENT_LOAD_END) {
        tally->resident++;
        tally->ready_ns = event->time_ns;
    }
    if (event->kind == MM_EVENT_DETACH && --tally->resident > 0) {
        tally->ready_ns = 0; /* of which one is not known any more */
    }
    if (tally->loads < 0 || tally->prepares < 0) {
        sim_fail(sim, "log", "m%u: a %s ended that never began", model,
                 tally->loads < 0 ? "load" : "preparation");
    }
    /* Who drains was chosen then, and may have been pinned since. */
    if (event->kind == MM_EVENT_REVIVE) {
        check_revival(sim, model);
    }
    bool chosen_before = event->kind == MM_EVENT_EVICT && tally->draining > 0;
    if (chosen_before || (event->kind == MM_EVENT_REVIVE && tally->draining > 0)) {
        tally->draining--;
    } else if (event->kind == MM_EVENT_EVICT || event->kind == MM_EVENT_DRAIN) {
        check_choice(sim, event, model);
        check_stay(sim, event, model);
        tally->draining += event->kind == MM_EVENT_DRAIN;
    }
}

void log_read(struct sim *sim) {
    mm_event event;
    uint64_t lost;
    uint64_t before = sim->cursor;
    while (!sim->failed && mm_events_next(sim->mesh, &sim->cursor, &event, &lost) == MM_OK) {
        if (event.sequence != before + 1) {
            sim_fail(sim, "log", "line %llu follows line %llu", (unsigned long long)event.sequence,
                     (unsigned long long)before);
        }
        before = event.sequence;
        check_model(sim, &event);
    }
}

/* Without threads what was begun when nobody slept in the library is done by the next who does. */
static int left_to_callers(const struct sim *sim) {
    int count = 0;
    MMI_LIST_EACH(node, &sim->mesh->res.tasks) {
        count++;
    }
    return sim->scenario->no_threads && !sim->closing ? count : 0;
}

void log_rest(struct sim *sim) {
    int left = left_to_callers(sim);
    for (uint32_t m = 0; m < sim->scenario->model_count; m++) {
        const struct tally *tally = &sim->tally[m];
        left -= tally->prepares;
        if (tally->loads != 0 || left < 0) {
            sim_fail(sim, "log", "m%u: %d loads and %d preparations begun and never ended", m,
                     tally->loads, tally->prepares);
        }
        bool preload = scenario_uses(sim->scenario, m) && sim->scenario->models[m].preload;
        if (preload && !tally->tried && !sim->closing && !sim->faulted) {
            sim_fail(sim, "log", "m%u: nobody began to preload it", m);
        }
        if (tally->resident != (int)backend_attached(sim, m)) {
            sim_fail(sim, "log", "m%u: %d loaded and not detached, %u are attached", m,
                     tally->resident, backend_attached(sim, m));
        }
    }
}
