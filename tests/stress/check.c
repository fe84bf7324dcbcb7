/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

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
    uint64_t instances; /* found in a list */
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

static const char *name_of(const struct mmi_model *model) {
    return model ? mmi_model_name(model) : "(gone)";
}

/* ---- Waiters -------------------------------------------------------------------------------- */

enum where { IN_WAITERS, IN_UPDATING, IN_RUN_SLOT_WAITERS, IN_GONE };

static bool belongs(enum mmi_wait_kind kind, enum where where) {
    switch (kind) {
    case MMI_WAIT_PREPARED:
    case MMI_WAIT_RESIDENT:
    case MMI_WAIT_LEASE:
        return where == IN_WAITERS;
    case MMI_WAIT_SWITCH:
        return where == IN_UPDATING;
    case MMI_WAIT_RUN_SLOT:
        return where == IN_RUN_SLOT_WAITERS;
    case MMI_WAIT_GONE:
        return where == IN_GONE;
    }
    return false;
}

/* Everyone in a list waits for what the list is for, in order of priority. Returns how many. */
static uint32_t check_waiters(struct walk *walk, const struct mmi_list *list,
                              const struct mmi_model *model, enum where where) {
    uint32_t count = 0;
    int32_t before = INT32_MAX;
    MMI_LIST_EACH(node, list) {
        const struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, node);
        expect(walk, waiter->waiting && !waiter->done, "%s: a waiter that does not wait",
               name_of(model));
        expect(walk, waiter->model == model, "%s: a waiter of another model", name_of(model));
        expect(walk, belongs(waiter->kind, where), "%s: kind %d in list %d", name_of(model),
               waiter->kind, where);
        expect(walk, (waiter->wake != NULL) != (waiter->ended != NULL),
               "%s: a waiter that nobody, or two, will be told of", name_of(model));
        if (where == IN_WAITERS || where == IN_RUN_SLOT_WAITERS) {
            expect(walk, waiter->priority <= before, "%s: waiters out of order", name_of(model));
            before = waiter->priority;
        }
        count++;
    }
    return count;
}

/* ---- Instances ------------------------------------------------------------------------------ */

static void check_leases(struct walk *walk, const struct mmi_instance *instance,
                         enum mmi_instance_state state) {
    const char *name = name_of(instance->model);
    if (walk->at_rest) {
        expect(walk, state == MMI_READY || state == MMI_RECLAIMABLE, "%s: at rest in state %d",
               name, state);
        expect(walk, mmi_slot_leases(instance->slot) == 0, "%s: a lease is out", name);
        expect(walk, atomic_load(&instance->running) == 0, "%s: a run slot is out", name);
    }
    uint32_t limit = atomic_load(&instance->concurrency_limit);
    expect(walk, limit == 0 || atomic_load(&instance->running) <= limit,
           "%s: more turns out than there are", name);
    if (!mmi_list_empty(&instance->run_slot_waiters)) {
        expect(walk, limit > 0, "%s: a queue for turns without a limit", name);
        expect(walk, mmi_slot_leases(instance->slot) > 0, "%s: run slots wanted without a lease",
               name);
    }
}

static void check_instance(struct walk *walk, const struct mmi_instance *instance) {
    const struct mmi_model *model = instance->model;
    enum mmi_instance_state state = mmi_instance_state(instance);
    const char *name = name_of(model);
    uint32_t waiting = check_waiters(walk, &instance->run_slot_waiters, model, IN_RUN_SLOT_WAITERS);
    uint32_t gone = check_waiters(walk, &instance->gone, model, IN_GONE);
    expect(walk, instance->slot->owner == instance, "%s: its slot is another's", name);
    expect(walk, atomic_load(&instance->run_slot_waiting) == waiting,
           "%s: %u counted as waiting for a run slot, %u in the list", name,
           atomic_load(&instance->run_slot_waiting), waiting);
    expect(walk, model || waiting + gone == 0, "waiters of a model that is gone");
    expect(walk, instance->version->refs > 0, "%s: its version has no reference", name);
    expect(walk, instance->opened->users > 0, "%s: its description has no user", name);
    expect(walk, instance->opened == instance->version->opened, "%s: another description", name);
    expect(walk, !model || model->current == instance->version || model->next == instance->version,
           "%s: an instance of neither version", name);
    expect(walk, !model || instance->version->instance == instance, "%s: two instances", name);
    expect(walk, state != MMI_NONE && state != MMI_FAILED, "%s: state %d in a list", name, state);
    expect(walk, !instance->queued || (state == MMI_LOADING && !instance->dev),
           "%s: waits for memory in state %d", name, state);
    if (state == MMI_READY || state == MMI_DRAINING || state == MMI_RECLAIMABLE) {
        expect(walk, instance->attached && instance->block.bytes > 0 && instance->word != 0,
               "%s: state %d without memory", name, state);
    }
    check_leases(walk, instance, state);
}

/* ---- Models and versions -------------------------------------------------------------------- */

static void check_version(struct walk *walk, const struct mmi_model *model,
                          const struct mmi_version *version) {
    const char *name = name_of(model);
    bool closable = mmi_list_linked(&version->closable);
    uint32_t users = version->opened ? version->opened->users : 0;
    expect(walk, (version->state == MMI_VERSION_PREPARED) == (version->opened != NULL),
           "%s: version state %d, %s", name, version->state, version->opened ? "open" : "not open");
    expect(walk, version->refs >= users + 1, "%s: %u users on %u references", name, users,
           version->refs);
    expect(walk, closable == (version->opened && users == 0),
           "%s: %u users, %s the list of what may be closed", name, users,
           closable ? "in" : "not in");
    expect(walk, !version->instance || version->instance->version == version,
           "%s: another version's instance", name);
    expect(walk, !walk->at_rest || version->state != MMI_VERSION_PREPARING, "%s: preparing at rest",
           name);
}

/* Only a READY instance of the current version is hot, and it always is. */
static void check_hot(struct walk *walk, struct mmi_model *model) {
    const struct mmi_instance *instance = model->current->instance;
    uint64_t word = atomic_load(&model->hot_word);
    bool ready = instance && mmi_instance_state(instance) == MMI_READY;
    if (word) {
        expect(walk, ready && instance->word == word, "%s: hot, but not ready", name_of(model));
        expect(walk, ready && atomic_load(&model->hot_slot) == instance->slot, "%s: a strange slot",
               name_of(model));
    } else if (!atomic_load(&walk->res->closed)) {
        expect(walk, !ready, "%s: ready, but not hot", name_of(model));
    }
}

static void check_model(struct walk *walk, struct mmi_model *model) {
    const char *name = name_of(model);
    expect(walk, mmi_catalog_find(&walk->res->catalog, name) == atomic_load(&model->id),
           "%s: not found by its name", name);
    expect(walk, model->current && model->current != model->next, "%s: versions", name);
    if (walk->broken) {
        return;
    }
    uint32_t queued = check_waiters(walk, &model->waiters, model, IN_WAITERS) +
                      check_waiters(walk, &model->updating, model, IN_UPDATING);
    const struct mmi_version *versions[2] = {model->current, model->next};
    for (int i = 0; i < 2 && versions[i]; i++) {
        check_version(walk, model, versions[i]);
        const struct mmi_instance *instance = versions[i]->instance;
        if (instance) {
            queued += check_waiters(walk, &instance->run_slot_waiters, model, IN_RUN_SLOT_WAITERS) +
                      check_waiters(walk, &instance->gone, model, IN_GONE);
        }
    }
    expect(walk, model->queued == queued, "%s: %u queued, %u in its lists", name, model->queued,
           queued);
    expect(walk, model->next || mmi_list_empty(&model->updating), "%s: who waits for no update",
           name);
    expect(walk, !walk->at_rest || !model->next, "%s: updating at rest", name);
    check_hot(walk, model);
    walk->waiters += queued;
}

static void check_models(struct walk *walk) {
    uint64_t count = 0;
    for (struct mmi_model *model = NULL; (model = mmi_catalog_next(&walk->res->catalog, model));) {
        check_model(walk, model);
        count++;
    }
    expect(walk, count == walk->res->catalog.count, "%llu models, %llu counted",
           (unsigned long long)count, (unsigned long long)walk->res->catalog.count);
    expect(walk, walk->waiters == walk->res->queued, "%llu waiters, %u counted",
           (unsigned long long)walk->waiters, walk->res->queued);
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
    expect(walk, !walk->at_rest || atomic_load(&dev->scratch_waiters) == 0,
           "%s: who waits for scratch at rest", name);
}

static void check_device(struct walk *walk, struct mmi_devstate *dev) {
    const struct mmi_arena *arena = dev->device->arena;
    const char *name = dev->device->name;
    const char *unsound = mmi_arena_validate(arena);
    expect(walk, !unsound, "%s: arena: %s", name, unsound ? unsound : "");
    struct charges charges = {0};
    MMI_LIST_EACH(node, &dev->instances) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, on_device);
        expect(walk, instance->dev == dev && !instance->queued, "%s: %s is not its", name,
               name_of(instance->model));
        check_instance(walk, instance);
        charge(&charges, &instance->block);
        walk->instances++;
    }
    uint64_t used = mmi_arena_used(arena);
    if (mmi_arena_kind_of(arena) == MMI_ARENA_PAGED) {
        uint64_t charged = charges.whole_bytes + dev->scratch_bytes;
        expect(walk, used == charged, "%s: %llu used, %llu charged", name, (unsigned long long)used,
               (unsigned long long)charged);
    }
    check_scratch(walk, dev, &charges);
    uint64_t seen = charges.whole_bytes + charges.shared_count * MMI_CHUNK_BYTES;
    expect(walk, walk->at_rest ? used == seen : used >= seen, "%s: %llu used, %llu in blocks", name,
           (unsigned long long)used, (unsigned long long)seen);
    expect(walk, !walk->at_rest || used <= mmi_arena_capacity(arena), "%s: more used than there is",
           name);
    expect(walk, dev->peak_bytes >= used, "%s: peak %llu below the %llu used", name,
           (unsigned long long)dev->peak_bytes, (unsigned long long)used);
}

/* ---- The whole ------------------------------------------------------------------------------ */

static void check_load_queue(struct walk *walk) {
    const struct mmi_instance *before = NULL;
    MMI_LIST_EACH(node, &walk->res->load_queue) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, queue);
        expect(walk, instance->queued && instance->model, "a stranger in the load queue");
        expect(
            walk,
            !before || before->priority > instance->priority ||
                (before->priority == instance->priority && before->sequence < instance->sequence),
            "%s: out of order in the load queue", name_of(instance->model));
        check_instance(walk, instance);
        walk->instances++;
        before = instance;
    }
    MMI_LIST_EACH(node, &walk->res->detaching) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, queue);
        expect(walk, mmi_instance_state(instance) == MMI_DETACHING,
               "%s: to be detached in state %d", name_of(instance->model),
               mmi_instance_state(instance));
    }
}

static void check_descriptions(struct walk *walk) {
    uint64_t bytes = 0;
    MMI_LIST_EACH(node, &walk->res->closable) {
        const struct mmi_version *version = MMI_CONTAINER(node, struct mmi_version, closable);
        expect(walk, version->opened && version->opened->users == 0 && version->refs > 0,
               "a version that may not be closed is closable");
        bytes += version->closable_bytes;
    }
    expect(walk, bytes == walk->res->description_bytes, "%llu bytes of descriptions, %llu counted",
           (unsigned long long)bytes, (unsigned long long)walk->res->description_bytes);
    MMI_LIST_EACH(node, &walk->res->dropping) {
        const struct mmi_version *version = MMI_CONTAINER(node, struct mmi_version, closable);
        expect(walk, version->refs == 0, "a version with references is dropped");
    }
}

static void check_timers(struct walk *walk) {
    const struct mmi_heap *timers = &walk->res->timers;
    for (size_t i = 0; i < timers->count; i++) {
        const struct mmi_heap_node *node = timers->nodes[i];
        expect(walk, node->place == i + 1, "a timer in a wrong place");
        expect(walk, i == 0 || timers->nodes[(i - 1) / 2]->key <= node->key, "timers out of order");
        expect(walk, MMI_CONTAINER(node, struct mmi_timer, node)->fire != NULL, "an empty timer");
    }
    /* Each instance and each waiter may set one, and so may each open operation. */
    size_t known = (size_t)walk->res->instances + walk->res->queued;
    size_t promised = walk->res->timers_promised;
    expect(walk, promised >= timers->count && promised <= timers->capacity,
           "%zu timers promised, %zu set, room for %zu", promised, timers->count, timers->capacity);
    expect(walk, walk->at_rest ? promised == known : promised >= known,
           "%zu timers promised, %zu instances and waiters", promised, known);
}

static void check_all(struct walk *walk) {
    struct mmi_residency *res = walk->res;
    expect(walk, !res->scheduling && !res->schedule_again, "scheduling goes on without the lock");
    check_models(walk);
    for (size_t i = 0; i < res->device_count; i++) {
        check_device(walk, &res->devices[i]);
    }
    check_load_queue(walk);
    check_descriptions(walk);
    check_timers(walk);
    expect(walk,
           walk->at_rest ? walk->instances == res->instances : walk->instances <= res->instances,
           "%llu instances found, %llu counted", (unsigned long long)walk->instances,
           (unsigned long long)res->instances);
    if (walk->at_rest) {
        expect(walk, res->description_bytes <= res->config.description_budget_bytes,
               "descriptions beyond their budget");
        expect(walk, res->queued == 0, "%u waiters at rest", res->queued);
    }
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
    const struct mmi_list *lists[] = {&res->load_queue, &res->detaching, &res->dropping,
                                      &res->closing, &res->trimmed};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (!mmi_list_empty(lists[i])) {
            return false;
        }
    }
    return res->jobs == 0;
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
