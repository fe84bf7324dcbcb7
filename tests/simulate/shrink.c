/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest scenario that still fails in the same way. What is taken out moves everything that
 * comes after, so each attempt is made with a few schedules. */
#include "sim.h"

#include <string.h>

#define SCHEDULES 12u
#define MOST_TRIES 6000u

struct shrinker {
    struct scenario *best;
    struct outcome *outcome;
    uint32_t tries;
};

/* Does this one fail in the same way? Then it is the best so far. */
static bool attempt(struct shrinker *shrinker, const struct scenario *smaller) {
    struct scenario candidate = *smaller;
    for (uint32_t i = 0; i < SCHEDULES && shrinker->tries < MOST_TRIES; i++) {
        struct outcome outcome;
        candidate.schedule_seed = smaller->schedule_seed + i;
        shrinker->tries++;
        sim_try(&candidate, false, &outcome);
        if (outcome.failed && strcmp(outcome.kind, shrinker->outcome->kind) == 0) {
            *shrinker->best = candidate;
            *shrinker->outcome = outcome;
            return true;
        }
    }
    return false;
}

/* Fewer calls: halves, quarters ... single ones. */
static bool drop_acts(struct shrinker *shrinker) {
    bool shrunk = false;
    for (uint32_t size = MOST_ACTS / 2; size > 0; size /= 2) {
        uint32_t count = shrinker->best->act_count;
        for (uint32_t first = count / size * size + size; first >= size; first -= size) {
            struct scenario smaller = *shrinker->best;
            bool any = false;
            for (uint32_t i = first - size; i < first && i < count; i++) {
                any |= !smaller.acts[i].off;
                smaller.acts[i].off = true;
            }
            shrunk |= any && attempt(shrinker, &smaller);
        }
    }
    return shrunk;
}

static bool drop_faults(struct shrinker *shrinker) {
    bool shrunk = false;
    for (uint32_t i = 0; i < shrinker->best->fault_count; i++) {
        struct scenario smaller = *shrinker->best;
        if (!smaller.faults[i].off) {
            smaller.faults[i].off = true;
            shrunk |= attempt(shrinker, &smaller);
        }
    }
    return shrunk;
}

/* ---- Simpler, one thing at a time ------------------------------------------------------------ */

/* Sets a number to a simpler one. */
#define SIMPLER(number, to)                                                                        \
    do {                                                                                           \
        struct scenario simpler = *shrinker->best;                                                 \
        if (simpler.number != (to)) {                                                              \
            simpler.number = (to);                                                                 \
            shrunk |= attempt(shrinker, &simpler);                                                 \
        }                                                                                          \
    } while (0)

static bool simplify_schedule(struct shrinker *shrinker) {
    bool shrunk = false;
    SIMPLER(pause_one_in, 0);
    SIMPLER(slow_percent, 0);
    SIMPLER(tick_one_in, 0);
    SIMPLER(by_priority, false);
    SIMPLER(hold_one_in, 0);
    SIMPLER(spurious, false);
    for (uint64_t most = 1; shrinker->best->pause_one_in != 0 && most < 4096; most *= 2) {
        if (most < shrinker->best->most_pauses) {
            SIMPLER(most_pauses, most);
        }
    }
    return shrunk;
}

static bool simplify_mesh(struct shrinker *shrinker) {
    bool shrunk = false;
    SIMPLER(idle_evict, false);
    SIMPLER(faulty_setup, false);
    SIMPLER(generation_bits, 0);
    SIMPLER(load_threads, 1);
    SIMPLER(infer_threads, 1);
    SIMPLER(prepare_threads, 1);
    SIMPLER(max_queued, 0);
    SIMPLER(description_budget_bytes, 0);
    SIMPLER(prepare_budget_bytes, 0);
    SIMPLER(no_threads, false);
    SIMPLER(cache, false);
    SIMPLER(artifact_budget_bytes, UINT64_C(128) << 20);
    SIMPLER(max_signatures, 0);
    struct scenario smaller = *shrinker->best;
    while (smaller.device_count > 1) {
        smaller.device_count--;
        for (uint32_t m = 0; m < smaller.model_count; m++) {
            struct model_plan *model = &smaller.models[m];
            model->device = model->device >= (int)smaller.device_count ? -1 : model->device;
        }
        if (!attempt(shrinker, &smaller)) {
            break;
        }
        shrunk = true;
    }
    for (uint32_t i = 0; i < shrinker->best->device_count; i++) {
        SIMPLER(devices[i].sim, false);
        SIMPLER(devices[i].in_ns_per_mib, 0);
        SIMPLER(devices[i].out_ns_per_mib, 0);
        SIMPLER(devices[i].latency_ns, 0);
        SIMPLER(devices[i].load_delay_ns, 0);
    }
    return shrunk;
}

static bool simplify_models(struct shrinker *shrinker) {
    bool shrunk = false;
    for (uint32_t m = 0; m < shrinker->best->model_count; m++) {
        if (!scenario_uses(shrinker->best, m)) {
            continue;
        }
        SIMPLER(models[m].file, false);
        SIMPLER(models[m].preload, false);
        SIMPLER(models[m].warm, false);
        SIMPLER(models[m].pinned, false);
        SIMPLER(models[m].min_replicas, 0);
        SIMPLER(models[m].replicas, 0);
        SIMPLER(models[m].device, -1);
        SIMPLER(models[m].evict_class, 0);
        SIMPLER(models[m].source_changes, 0);
        SIMPLER(models[m].max_concurrency, 0);
        SIMPLER(models[m].max_queued, 0);
        SIMPLER(models[m].idle_ttl_ns, 0);
        SIMPLER(models[m].min_residency_ns, 0);
        struct scenario smaller = *shrinker->best;
        for (uint32_t i = 0; i < MOST_CONTENTS; i++) {
            smaller.models[m].contents[i].more_bytes = 0;
        }
        shrunk |=
            memcmp(&smaller, shrinker->best, sizeof(smaller)) != 0 && attempt(shrinker, &smaller);
        smaller = *shrinker->best;
        for (uint32_t i = 0; i < MOST_CONTENTS; i++) {
            smaller.models[m].contents[i].activation_bytes = 0;
        }
        shrunk |=
            memcmp(&smaller, shrinker->best, sizeof(smaller)) != 0 && attempt(shrinker, &smaller);
    }
    return shrunk;
}

static bool simplify_acts(struct shrinker *shrinker) {
    bool shrunk = false;
    for (uint32_t i = 0; i < shrinker->best->act_count; i++) {
        if (shrinker->best->acts[i].off) {
            continue;
        }
        if (shrinker->best->acts[i].kind != ACT_INFER_ASYNC) {
            SIMPLER(acts[i].async, false);
        }
        SIMPLER(acts[i].deadline, DEADLINE_NONE);
        SIMPLER(acts[i].priority, 0);
        SIMPLER(acts[i].elements, 1);
        SIMPLER(acts[i].after, AFTER_WAIT);
        SIMPLER(acts[i].replace, false);
        SIMPLER(acts[i].shape_elements, 0);
        SIMPLER(acts[i].wanted, WANTED_ALL);
        SIMPLER(acts[i].buffers, BUFFERS_OWNED);
        SIMPLER(acts[i].located_in, false);
        SIMPLER(acts[i].located_out, false);
        SIMPLER(acts[i].keeps, false);
        SIMPLER(acts[i].tells, false);
        SIMPLER(acts[i].sparse, false);
        SIMPLER(acts[i].reset, false);
        if (shrinker->best->acts[i].after != AFTER_FREE) {
            SIMPLER(acts[i].callback, false);
        }
    }
    return shrunk;
}

void shrink(struct scenario *scenario, struct outcome *outcome) {
    struct shrinker shrinker = {.best = scenario, .outcome = outcome};
    bool shrunk = true;
    while (shrunk && shrinker.tries < MOST_TRIES) {
        shrunk = drop_acts(&shrinker);
        shrunk |= drop_faults(&shrinker);
        shrunk |= simplify_schedule(&shrinker);
        shrunk |= simplify_mesh(&shrinker);
        shrunk |= simplify_models(&shrinker);
        shrunk |= simplify_acts(&shrinker);
    }
}
