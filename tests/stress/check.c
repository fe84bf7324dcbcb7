/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include <residency/copies.h>
#include <residency/held.h>
#include <residency/instance.h>

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_SHARED_CHUNKS 512u

struct walk {
    struct mmi_residency *res;
    bool at_rest;
    bool broken;
    char *text;
    uint64_t waiters;
    uint64_t instances; /* found with their models, or with none */
};

__attribute__((format(printf, 3, 4))) static void expect(struct walk *walk, bool holds,
                                                         const char *format, ...) {
    if (holds || walk->broken) {
        return;
    }
    walk->broken = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(walk->text, CHECK_TEXT_BYTES, format, arguments);
    va_end(arguments);
}

/* ---- Waiters -------------------------------------------------------------------------------- */

static const char *const wait_names[] = {
    [MMI_WAIT_PREPARED] = "a description", [MMI_WAIT_RESIDENT] = "a load",
    [MMI_WAIT_RUN] = "its turn to run",    [MMI_WAIT_SWITCH] = "an update",
    [MMI_WAIT_GONE] = "an eviction",       [MMI_WAIT_SCRATCH] = "activation memory"};

/* Everyone in a list waits for what the list is for, in order of priority. Returns how many. */
static uint32_t check_waiters(struct walk *walk, const struct mmi_list *list,
                              const struct mmi_model *model, enum mmi_wait_kind first,
                              enum mmi_wait_kind last) {
    const char *name = mmi_model_name(model);
    uint32_t count = 0;
    int32_t before = INT32_MAX;
    MMI_LIST_EACH(node, list) {
        const struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        expect(walk, waiter->waiting && waiter->ended, "%s: a waiter that does not wait", name);
        expect(walk, waiter->model == model, "%s: a waiter of another model", name);
        expect(walk, waiter->kind >= first && waiter->kind <= last, "%s: who waits for %s, astray",
               name, wait_names[waiter->kind]);
        if (first == MMI_WAIT_PREPARED) {
            expect(walk, waiter->priority <= before, "%s: waiters out of order", name);
            before = waiter->priority;
        }
        count++;
    }
    return count;
}

static uint32_t check_stalled(struct walk *walk, const struct mmi_model *model) {
    uint32_t count = 0;
    MMI_LIST_EACH(node, &walk->res->stalled) {
        const struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        expect(walk, waiter->waiting && waiter->kind == MMI_WAIT_SCRATCH,
               "who waits for activation memory does not");
        count += waiter->model == model;
    }
    return count;
}

/* ---- Instances ------------------------------------------------------------------------------ */

static void check_runs(struct walk *walk, const struct mmi_instance *instance,
                       enum mmi_instance_state state) {
    const char *name = instance->label;
    uint32_t limit = atomic_load(&instance->limit);
    uint64_t leases = mmi_slot_leases(instance->slot);
    expect(walk, limit == 0 || atomic_load(&instance->running) <= limit,
           "%s: more run at once than may", name);
    expect(walk, instance->stalled <= leases, "%s: %u runs wait for memory under %llu leases", name,
           instance->stalled, (unsigned long long)leases);
    if (walk->at_rest) {
        expect(walk, state == MMI_READY || state == MMI_RECLAIMABLE, "%s: at rest in state %d",
               name, state);
        expect(walk, leases == 0, "%s: a lease is out", name);
        expect(walk, atomic_load(&instance->running) == 0, "%s: a run slot is out", name);
    }
}

static void check_instance(struct walk *walk, const struct mmi_instance *instance) {
    const struct mmi_model *model = instance->model;
    const struct mmi_version *version = instance->version;
    enum mmi_instance_state state = mmi_instance_state(instance);
    const char *name = instance->label;
    walk->instances++;
    expect(walk, instance->slot->owner == instance, "%s: its slot is another's", name);
    expect(walk, version->refs > 0, "%s: its version has no reference", name);
    expect(walk, !instance->dev || (instance->opened && instance->opened->users > 0),
           "%s: its description has no user", name);
    bool listed = model && (model->current == version || model->next == version);
    bool may_serve = state == MMI_READY || state == MMI_RECLAIMABLE || state == MMI_DRAINING;
    expect(walk, listed || !may_serve || state == MMI_DRAINING || state == MMI_RECLAIMABLE,
           "%s: an instance of no version serves", name);
    expect(walk, state != MMI_NONE && state != MMI_FAILED, "%s: state %d in a list", name, state);
    expect(walk, instance->dev || state == MMI_LOADING, "%s: state %d on no device", name, state);
    expect(walk, !mmi_list_linked(&instance->claim.node) || !instance->dev,
           "%s: waits for memory that it has", name);
    if (may_serve) {
        expect(walk, instance->attached && instance->block.bytes > 0 && instance->word != 0,
               "%s: state %d without memory", name, state);
    }
    expect(walk,
           state != MMI_RECLAIMABLE || !model || !model->settings.pinned ||
               model->current != version || atomic_load(&walk->res->closed),
           "%s: pinned, and its bytes count as free", name);
    check_runs(walk, instance, state);
}

static void check_instances(struct walk *walk, const struct mmi_list *list,
                            const struct mmi_model *model) {
    MMI_LIST_EACH(node, list) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, of_model);
        expect(walk, instance->model == model, "%s: another model's instance", instance->label);
        check_instance(walk, instance);
    }
}

/* ---- Models and versions -------------------------------------------------------------------- */

static uint32_t check_build(struct walk *walk, const char *name, const struct mmi_build *build) {
    uint32_t users = build->opened ? build->opened->users : 0;
    expect(walk, (build->state == MMI_BUILD_PREPARED) == (build->opened != NULL),
           "%s: build in state %d, %s", name, build->state, build->opened ? "open" : "not open");
    expect(walk, mmi_list_linked(&build->closable) == (build->opened && users == 0),
           "%s: %u users, %s the list of what may be closed", name, users,
           mmi_list_linked(&build->closable) ? "in" : "not in");
    expect(walk, !walk->at_rest || build->state != MMI_BUILD_PREPARING, "%s: preparing at rest",
           name);
    return users;
}

static void check_version(struct walk *walk, const char *name, const struct mmi_version *version) {
    uint32_t users = 0;
    for (uint32_t i = 0; i < version->build_count; i++) {
        users += check_build(walk, name, version->builds[i]);
    }
    expect(walk, version->refs > users, "%s: %u users on %u references", name, users,
           version->refs);
    uint64_t devices = 0;
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        uint64_t bit = instance->dev ? UINT64_C(1) << (instance->dev - walk->res->devices) : 0;
        expect(walk, instance->version == version, "%s: another version's copy", name);
        expect(walk, !(devices & bit), "%s: two copies on one device", name);
        devices |= bit;
    }
}

static bool is_copy(const struct mmi_version *version, const struct mmi_slot *slot, uint64_t word) {
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        if (instance->slot == slot && instance->word == word) {
            return mmi_instance_state(instance) == MMI_READY;
        }
    }
    return false;
}

static void check_hot(struct walk *walk, const char *name, struct mmi_version *version,
                      struct mmi_hot *hot) {
    uint64_t word = atomic_load(&hot->word);
    expect(walk, !word || is_copy(version, atomic_load(&hot->slot), word),
           "%s: requests are sent to a copy that does not serve", name);
}

/* Only READY copies of the current version are hot, and they always are. */
static void check_ways(struct walk *walk, struct mmi_model *model) {
    const char *name = mmi_model_name(model);
    struct mmi_hot *copies = atomic_load(&model->copies);
    uint32_t hot = 0;
    check_hot(walk, name, model->current, &model->hot);
    for (size_t i = 0; copies && i < walk->res->device_count; i++) {
        check_hot(walk, name, model->current, &copies[i]);
        hot += atomic_load(&copies[i].word) != 0;
    }
    uint32_t ready = mmi_copies_count(model->current).ready;
    if (!atomic_load(&walk->res->closed)) {
        expect(walk, (ready > 0) == (atomic_load(&model->hot.word) != 0), "%s: ready, but not hot",
               name);
        expect(walk, !copies || hot == ready, "%s: %u copies are ready, %u hot", name, ready, hot);
    }
}

static void check_model(struct walk *walk, struct mmi_model *model) {
    const char *name = mmi_model_name(model);
    struct mmi_residency *res = walk->res;
    expect(walk, mmi_catalog_find(&res->catalog, name) == atomic_load(&model->id),
           "%s: not found by its name", name);
    expect(walk, model->current && model->current != model->next, "%s: versions", name);
    expect(walk, (model->next != NULL) == (model->update != MMI_UPDATE_NONE),
           "%s: an update in state %d", name, model->update);
    if (walk->broken) {
        return;
    }
    uint32_t queued =
        check_waiters(walk, &model->waiters, model, MMI_WAIT_PREPARED, MMI_WAIT_RUN) +
        check_waiters(walk, &model->updating, model, MMI_WAIT_SWITCH, MMI_WAIT_SWITCH) +
        check_waiters(walk, &model->evicting, model, MMI_WAIT_GONE, MMI_WAIT_GONE) +
        check_stalled(walk, model);
    expect(walk, model->queued == queued, "%s: %u queued, %u in its lists", name, model->queued,
           queued);
    check_version(walk, name, model->current);
    if (model->next) {
        check_version(walk, name, model->next);
    }
    check_instances(walk, &model->instances, model);
    expect(walk, model->next || mmi_list_empty(&model->updating), "%s: who waits for no update",
           name);
    expect(walk, !walk->at_rest || !model->next, "%s: updating at rest", name);
    check_ways(walk, model);
    walk->waiters += queued;
}

static void check_models(struct walk *walk) {
    struct mmi_residency *res = walk->res;
    uint64_t count = 0;
    for (struct mmi_model *model = NULL; (model = mmi_catalog_next(&res->catalog, model));) {
        check_model(walk, model);
        count++;
    }
    check_instances(walk, &res->orphans, NULL);
    expect(walk, count == res->catalog.count, "%llu models, %llu counted",
           (unsigned long long)count, (unsigned long long)res->catalog.count);
    walk->waiters += check_stalled(walk, NULL);
    expect(walk, walk->waiters == res->queued, "%llu waiters, %u counted",
           (unsigned long long)walk->waiters, res->queued);
    expect(walk, walk->instances == res->instances, "%llu instances found, %llu counted",
           (unsigned long long)walk->instances, (unsigned long long)res->instances);
}

/* ---- Devices -------------------------------------------------------------------------------- */

/* Chunks that small blocks share count once. */
struct charges {
    uint64_t whole_bytes;
    uint32_t shared[MAX_SHARED_CHUNKS];
    size_t shared_count;
};

static void charge(struct charges *charges, const struct mmi_block *block) {
    if (!block->small) {
        charges->whole_bytes += block->charged_bytes;
        return;
    }
    for (size_t i = 0; i < charges->shared_count; i++) {
        if (charges->shared[i] == block->chunk) {
            return;
        }
    }
    if (charges->shared_count < MAX_SHARED_CHUNKS) {
        charges->shared[charges->shared_count++] = block->chunk;
    }
}

/* Slots that somebody runs on belong to that thread: what they hold is seen at rest only. */
static void check_scratch(struct walk *walk, struct mmi_devstate *dev, struct charges *charges) {
    uint64_t bytes = 0;
    const char *name = dev->device->name;
    for (unsigned i = 0; i < MMI_EXEC_SLOTS; i++) {
        struct mmi_exec_slot *slot = &dev->exec[i];
        if (atomic_exchange(&slot->busy, 1)) {
            expect(walk, !walk->at_rest, "%s: scratch in use at rest", name);
            continue;
        }
        expect(walk, (atomic_load(&slot->bytes) > 0) == (slot->block.bytes > 0),
               "%s: an idle slot of %llu bytes with a block of %llu", name,
               (unsigned long long)atomic_load(&slot->bytes),
               (unsigned long long)slot->block.bytes);
        bytes += slot->block.charged_bytes;
        charge(charges, &slot->block);
        atomic_store(&slot->busy, 0);
    }
    expect(walk, bytes <= dev->scratch_bytes, "%s: idle slots hold %llu, charged are %llu", name,
           (unsigned long long)bytes, (unsigned long long)dev->scratch_bytes);
    expect(walk, !walk->at_rest || bytes == dev->scratch_bytes,
           "%s: slots hold %llu, charged are %llu", name, (unsigned long long)bytes,
           (unsigned long long)dev->scratch_bytes);
    expect(walk, !walk->at_rest || !atomic_load(&dev->scratch_wanted),
           "%s: who waits for scratch at rest", name);
}

static void check_device(struct walk *walk, struct mmi_devstate *dev) {
    const struct mmi_arena *arena = dev->device->arena;
    const char *name = dev->device->name;
    const char *unsound = mmi_arena_validate(arena);
    expect(walk, !unsound, "%s: arena: %s", name, unsound ? unsound : "");
    struct charges charges = {0};
    for (size_t i = 0; i < dev->instance_count; i++) {
        const struct mmi_instance *instance = dev->instances[i];
        expect(walk, instance->dev == dev && instance->on_device == i, "%s: %s is not its", name,
               instance->label);
        charge(&charges, &instance->block);
    }
    uint64_t used = mmi_arena_used(arena);
    if (mmi_arena_kind_of(arena) == MMI_ARENA_PAGED && !dev->taking) {
        uint64_t charged = charges.whole_bytes + dev->scratch_bytes + dev->held_bytes;
        expect(walk, walk->at_rest ? used == charged : used >= charged,
               "%s: %llu used, %llu charged", name, (unsigned long long)used,
               (unsigned long long)charged);
    }
    check_scratch(walk, dev, &charges);
    MMI_LIST_EACH(node, &dev->held) {
        charge(&charges, &MMI_CONTAINER(node, struct mmi_held, node)->block);
    }
    uint64_t seen = charges.whole_bytes + charges.shared_count * MMI_CHUNK_BYTES;
    expect(walk, walk->at_rest ? used == seen : used >= seen, "%s: %llu used, %llu in blocks", name,
           (unsigned long long)used, (unsigned long long)seen);
    expect(walk, !walk->at_rest || used <= mmi_arena_capacity(arena), "%s: more used than there is",
           name);
    expect(walk, !walk->at_rest || !dev->taking, "%s: memory is being taken at rest", name);
    expect(walk, dev->peak_bytes >= used, "%s: peak %llu below the %llu used", name,
           (unsigned long long)dev->peak_bytes, (unsigned long long)used);
}

/* ---- The whole ------------------------------------------------------------------------------ */

static void check_claims(struct walk *walk, const struct mmi_list *claims, const char *what) {
    const struct mmi_claim *before = NULL;
    MMI_LIST_EACH(node, claims) {
        const struct mmi_claim *claim = MMI_CONTAINER(node, struct mmi_claim, node);
        expect(walk,
               !before || before->priority > claim->priority ||
                   (before->priority == claim->priority && before->sequence < claim->sequence),
               "%s: claims for memory out of order", what);
        expect(walk, mmi_list_empty(&claim->victims), "%s: a claim that waits has victims", what);
        before = claim;
    }
}

static void check_descriptions(struct walk *walk) {
    uint64_t bytes = 0;
    MMI_LIST_EACH(node, &walk->res->closable) {
        const struct mmi_build *build = MMI_CONTAINER(node, struct mmi_build, closable);
        expect(walk, build->opened && build->opened->users == 0 && build->version->refs > 0,
               "a version that may not be closed is closable");
        bytes += build->closable_bytes;
    }
    expect(walk, bytes == walk->res->description_bytes, "%llu bytes of descriptions, %llu counted",
           (unsigned long long)bytes, (unsigned long long)walk->res->description_bytes);
    MMI_LIST_EACH(node, &walk->res->dropping) {
        const struct mmi_version *version = MMI_CONTAINER(node, struct mmi_version, dropping);
        expect(walk, version->refs == 0, "a version with references is dropped");
    }
    expect(walk, !walk->at_rest || bytes <= walk->res->config.description_budget_bytes,
           "descriptions beyond their budget");
}

static void check_timers(struct walk *walk) {
    const struct mmi_timers *timers = &walk->res->timers;
    const struct mmi_heap *heap = &timers->heap;
    for (size_t i = 0; i < heap->count; i++) {
        const struct mmi_heap_node *node = heap->nodes[i];
        expect(walk, node->place == i + 1, "a timer in a wrong place");
        expect(walk, i == 0 || heap->nodes[(i - 1) / 2]->key <= node->key, "timers out of order");
        expect(walk, MMI_CONTAINER(node, struct mmi_timer, node)->fire != NULL, "an empty timer");
    }
    /* One for each waiter's deadline, each instance's idle time, each claim; the core's own two. */
    size_t known = 2 + 2 * (size_t)walk->res->instances + walk->res->queued;
    MMI_LIST_EACH(stalled, &walk->res->stalled) {
        known++;
    }
    expect(walk, timers->promised >= heap->count && timers->promised <= heap->capacity,
           "%zu timers promised, %zu set, room for %zu", timers->promised, heap->count,
           heap->capacity);
    expect(walk, walk->at_rest ? timers->promised == known : timers->promised >= known,
           "%zu timers promised, %zu of instances and waiters", timers->promised, known);
}

static void check_all(struct walk *walk) {
    struct mmi_residency *res = walk->res;
    bool marked = res->memory_marked || !mmi_list_empty(&res->marked);
    expect(walk, !marked || res->scheduling || atomic_load(&res->closed), "marks were left");
    check_models(walk);
    for (size_t i = 0; i < res->device_count; i++) {
        check_device(walk, &res->devices[i]);
    }
    check_claims(walk, &res->loads, "loads");
    check_claims(walk, &res->runs, "runs");
    check_descriptions(walk);
    check_timers(walk);
    expect(walk, !walk->at_rest || res->queued == 0, "%u waiters at rest", res->queued);
}

const char *residency_check(struct mmi_residency *res, char text[CHECK_TEXT_BYTES]) {
    struct walk walk = {.res = res, .text = text};
    mmi_lock(&res->lock);
    check_all(&walk);
    mmi_unlock(&res->lock);
    return walk.broken ? text : NULL;
}

/* Locked. */
static bool is_at_rest(const struct mmi_residency *res) {
    const struct mmi_list *lists[] = {&res->loads,    &res->runs,    &res->detaching,
                                      &res->dropping, &res->closing, &res->trimmed};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (!mmi_list_empty(lists[i])) {
            return false;
        }
    }
    return res->jobs == 0 && !res->scheduling;
}

const char *residency_check_at_rest(struct mmi_residency *res, char text[CHECK_TEXT_BYTES]) {
    struct walk walk = {.res = res, .text = text, .at_rest = true};
    mmi_lock(&res->lock);
    while (!is_at_rest(res)) {
        mmi_unlock(&res->lock);
        sched_yield();
        mmi_lock(&res->lock);
    }
    check_all(&walk);
    mmi_unlock(&res->lock);
    return walk.broken ? text : NULL;
}

/* ---- Who waits for whom ---------------------------------------------------------------------- */

static void print_list(const struct mmi_list *waiters) {
    MMI_LIST_EACH(node, waiters) {
        const struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        fprintf(stderr, "  model %s: waits for %s\n",
                waiter->model ? mmi_model_name(waiter->model) : "(gone)", wait_names[waiter->kind]);
    }
}

static void print_instances(const struct mmi_list *instances) {
    MMI_LIST_EACH(node, instances) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, of_model);
        fprintf(stderr, "  model %s: instance in state %d on %s, %llu leases, %u stalled%s\n",
                instance->label, mmi_instance_state(instance),
                instance->dev ? instance->dev->device->name : "no device",
                (unsigned long long)mmi_slot_leases(instance->slot), instance->stalled,
                mmi_list_linked(&instance->claim.node) ? ", waits for memory" : "");
    }
}

void residency_print_waiters(struct mmi_residency *res) {
    mmi_lock(&res->lock);
    for (struct mmi_model *model = NULL; (model = mmi_catalog_next(&res->catalog, model));) {
        print_list(&model->waiters);
        print_list(&model->updating);
        print_list(&model->evicting);
        print_instances(&model->instances);
    }
    print_list(&res->stalled);
    print_instances(&res->orphans);
    fprintf(stderr, "  %u tasks go on, %llu instances\n", res->jobs,
            (unsigned long long)res->instances);
    mmi_unlock(&res->lock);
}
