/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold after every step, when nobody can run, at rest, and at the end. */
#include "../stress/check.h"
#include "sim.h"

#include <api/mesh.h>
#include <artifact/state.h>

#include <inttypes.h>

#define SOON_NS UINT64_C(1000000000) /* longer than any time that the library waits by itself */

#define CHECK_EVERY 8 /* steps: the whole core is walked; what is unsound stays so */

/* ---- After every step ------------------------------------------------------------------------ */

static void check_budgets(struct sim *sim) {
    for (uint32_t i = 0; i < sim->scenario->device_count; i++) {
        struct sim_device_view device = calls_device(sim, i);
        if (device.used_bytes > sim->most_budget[i]) {
            sim_fail(sim, "budget", "d%u: %" PRIu64 " bytes used, the budget is %" PRIu64, i,
                     device.used_bytes, sim->most_budget[i]);
        }
    }
}

void check_step(struct sim *sim) {
    if (sim->failed || !sim->mesh || !sim->created || sim->freeing) {
        return;
    }
    log_read(sim);
    check_budgets(sim);
    if (sim->step % CHECK_EVERY != 0) {
        return;
    }
    char text[CHECK_TEXT_BYTES];
    const char *unsound = residency_check(&sim->mesh->res, text);
    if (unsound) {
        sim_fail(sim, "unsound", "%s", unsound);
    }
}

/* Waits in mm_infer, and not in the middle of work. */
static bool is_waiting_infer(const struct sim *sim, const struct call *call) {
    const struct sim_thread *thread = call->thread;
    return call->begun && !call->returned && call->act->kind == ACT_INFER && thread &&
           thread->call == call && thread->state == THREAD_WAITING && thread->slot_depth == 0 &&
           !values_waits(sim, thread);
}

/* Whoever has a lease of it runs: no turns, no scratch to wait for. */
static bool runs_at_once(const struct sim *sim, const struct call *call) {
    const struct model_plan *model = &sim->scenario->models[call->registration->model];
    uint32_t number = (call->registration->lives[0].content - 1) % MOST_CONTENTS;
    const struct content *content = &model->contents[number];
    return model->max_concurrency == 0 && !(content->flags & CONTENT_SERIAL) &&
           content->activation_bytes == 0;
}

/* Copies have scratch of their own: a run that waits for that of one does not hold up another's. */
static bool apart(const struct sim *sim, const struct call *call) {
    const struct model_plan *model = &sim->scenario->models[call->registration->model];
    uint32_t number = (call->registration->lives[0].content - 1) % MOST_CONTENTS;
    return model->replicas > 1 && model->contents[number].activation_bytes > 0;
}

/* First come, first served: does one wait for the same that came before this one, no less urgent?
 * Or one that is more urgent, from before this one was woken? */
void check_overtaken(struct sim *sim, const struct call *call) {
    if (sim->scenario->no_threads) {
        return; /* who came first may be at work for others */
    }
    if (call->act->kind == ACT_BIND || call->registration->life_count > 1 || apart(sim, call)) {
        return;
    }
    /* Where its input is brought from a device it was woken by that, last. */
    bool woken = call->act->kind == ACT_INFER && runs_at_once(sim, call) && !call->act->located_in;
    uint64_t woken_step = woken ? call->thread->woken_step : 0;
    for (uint32_t i = 0; i < sim->scenario->act_count; i++) {
        const struct call *other = &sim->calls[i];
        if (other == call || !is_waiting_infer(sim, other) ||
            other->registration != call->registration ||
            other->act->elements != call->act->elements ||
            other->act->shape_elements != call->act->shape_elements ||
            other->act->number % 4 != call->act->number % 4 ||
            values_wanted_count[other->wanted] != values_wanted_count[call->wanted]) {
            continue; /* for outputs that a request does not name, the library has room ready */
        }
        int32_t more = other->act->priority - call->act->priority;
        uint64_t since = other->thread->since_step;
        if ((more >= 0 && since < call->begun_step) || (more > 0 && since < woken_step)) {
            sim_fail(sim, "overtaken", "call %u runs on m%u, and call %u waited before",
                     call->index, call->registration->model, other->index);
        }
    }
}

/* ---- Nobody can run -------------------------------------------------------------------------- */

/* In a public call, or by its op, and not in the middle of its own work. */
static bool waits(const struct sim *sim, const struct call *call) {
    if (!call->begun || call->returned || call->in_slot) {
        return false;
    }
    if (call->op && call->accepted && call->handle_freed && !call->act->callback) {
        return false; /* nobody can tell */
    }
    if (call->op && call->accepted) {
        return !op_complete(call) && sim->slots_active == 0 && !sim->device_busy;
    }
    return call->thread->state == THREAD_WAITING && call->thread->slot_depth == 0 &&
           !values_waits(sim, call->thread);
}

/* A slot, or a device. */
static bool someone_works(const struct sim *sim) {
    bool works = sim->slots_active > 0;
    for (uint32_t i = 0; i < sim->thread_count && !works; i++) {
        works = sim->thread[i].fiber && values_waits(sim, &sim->thread[i]);
    }
    return works;
}

/* Without threads a caller may be at work for others, and is not to be disturbed. */
static const char *overdue(const struct sim *sim, const struct call *call) {
    enum act_kind kind = call->act->kind;
    const struct registration *registration = call->registration;
    if (sim->scenario->no_threads) {
        return NULL;
    }
    bool relative = RELATIVE_TIMEOUTS && (kind == ACT_STOP || kind == ACT_EVICT);
    if (!relative && call->deadline_ns > MM_NO_WAIT && sim->now_ns >= call->deadline_ns) {
        return "its deadline has passed";
    }
    if (sim->closed && kind != ACT_STOP && kind != ACT_EVICT && kind != ACT_BUDGET) {
        return "the mesh is closed";
    }
    /* Who has a lease may finish, and may have to wait for the scratch of another run. */
    bool runs = sim->slots_active > 0 || sim->device_busy;
    if (!runs && registration && registration->gone && kind <= ACT_UPDATE && kind != ACT_EVICT) {
        return "its model is gone";
    }
    if (!runs && call->cancelled_ns != 0) {
        return "it was cancelled";
    }
    return NULL;
}

void check_quiet(struct sim *sim, uint64_t next_ns) {
    if (sim->failed || !sim->mesh || !sim->created || sim->at_end) {
        return;
    }
    sim->device_busy = someone_works(sim);
    bool idle = !sim->device_busy && next_ns > sim->now_ns + SOON_NS;
    for (uint32_t i = 0; i < sim->scenario->act_count; i++) {
        const struct call *call = &sim->calls[i];
        if (!waits(sim, call)) {
            continue;
        }
        const char *why = overdue(sim, call);
        if (why) {
            sim_fail(sim, "overdue", "call %u (%s) waits, and %s", i, act_name(call->act->kind),
                     why);
        } else if (idle) {
            sim_fail(sim, "stuck", "call %u (%s) waits, and nothing holds it up", i,
                     act_name(call->act->kind));
        }
    }
}

/* ---- At rest --------------------------------------------------------------------------------- */

struct sums {
    uint64_t requests, hits, loads, evictions;
};

static struct sums sum_models(struct sim *sim) {
    struct sums sums = {0};
    for (uint32_t m = 0; m < sim->scenario->model_count; m++) {
        const struct registration *registration = sim->current_of[m];
        mm_model_info info = MM_MODEL_INFO_INIT;
        if (registration && mm_model_info_get(sim->mesh, registration->handle, &info) == MM_OK) {
            sums.requests += info.requests;
            sums.hits += info.hits;
            sums.loads += info.loads;
            sums.evictions += info.evictions;
            const struct model_plan *plan = &sim->scenario->models[m];
            bool idle = plan->idle_ttl_ns > 0 && info.idle_ns > plan->idle_ttl_ns + SOON_NS;
            if (idle && !info.pinned && info.state == MM_STATE_READY) {
                sim_fail(sim, "idle", "m%u is idle for %" PRIu64 " ns, and still there", m,
                         info.idle_ns);
            }
            if (info.leases > 0 || info.queued > 0) {
                sim_fail(sim, "rest", "m%u: at rest, %u leases, %u queued", m, info.leases,
                         info.queued);
            }
        }
    }
    return sums;
}

static void check_sum(struct sim *sim, const char *what, uint64_t models, uint64_t mesh) {
    bool adds_up = sim->unregistered ? models <= mesh : models == mesh;
    if (!adds_up) {
        sim_fail(sim, "counters", "%s: %" PRIu64 " of the models, %" PRIu64 " of the mesh", what,
                 models, mesh);
    }
}

static void check_devices(struct sim *sim, const mm_mesh_stats *stats) {
    uint32_t instances = 0;
    for (uint32_t i = 0; i < stats->device_count; i++) {
        const mm_device_stats *device = &stats->devices[i];
        uint64_t held = device->weights_bytes + device->scratch_bytes;
        instances += device->instances;
        bool sim_kind = sim->scenario->devices[i].sim;
        if (sim_kind ? held > device->used_bytes + (UINT64_C(2) << 20)
                     : held != device->used_bytes) {
            sim_fail(sim, "arena",
                     "d%u: %" PRIu64 " bytes used, instances have %" PRIu64 ", scratch %" PRIu64, i,
                     device->used_bytes, device->weights_bytes, device->scratch_bytes);
        }
    }
    if (instances != sim->instance_count) {
        sim_fail(sim, "rest", "%u instances are attached, the devices have %u", sim->instance_count,
                 instances);
    }
}

void check_rest(struct sim *sim) {
    mm_device_stats devices[MOST_DEVICES];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = MOST_DEVICES;
    mm_status status = mm_mesh_stats_get(sim->mesh, &stats);
    if (status != MM_OK) {
        sim_fail(sim, "status", "stats: %s", mm_status_name(status));
    }
    struct sums sums = sum_models(sim);
    check_sum(sim, "requests", sums.requests, stats.requests);
    check_sum(sim, "hits", sums.hits, stats.hits);
    check_sum(sim, "loads", sums.loads, stats.loads);
    check_sum(sim, "evictions", sums.evictions, stats.evictions);
    if (stats.requests != stats.hits + stats.misses || stats.queued != 0) {
        sim_fail(sim, "counters",
                 "%" PRIu64 " requests, %" PRIu64 " hits, %" PRIu64 " misses; %" PRIu64 " queued",
                 stats.requests, stats.hits, stats.misses, stats.queued);
    }
    check_devices(sim, &stats);
    log_read(sim);
    log_rest(sim);
}

/* ---- The mesh is stopped: nothing is loaded -------------------------------------------------- */

void check_stopped(struct sim *sim) {
    struct mmi_store *store = sim->mesh->store;
    mmi_lock(&store->lock);
    uint32_t held = 0;
    MMI_LIST_EACH(node, &store->temporary_lru) {
        held += MMI_CONTAINER(node, struct mmi_artifact, used)->holds;
    }
    mmi_unlock(&store->lock);
    if (held > 0) {
        sim_fail(sim, "leak", "prepared weights are held %u times", held);
    }
}

/* ---- The mesh is gone ------------------------------------------------------------------------ */

void check_returned(struct sim *sim) {
    if (sim->live_blocks != 0) {
        sim_fail(sim, "leak", "%" PRIu64 " bytes in %" PRIu64 " blocks are not given back",
                 sim->live_bytes, sim->live_blocks);
    }
    if (sim->instance_count > 0 || sim->models_open > 0 || sim->slots_active > 0) {
        sim_fail(sim, "leak", "%u instances attached, %u models open, %u slots active",
                 sim->instance_count, sim->models_open, sim->slots_active);
    }
}
