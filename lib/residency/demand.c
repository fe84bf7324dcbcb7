/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/demand.h>

#include <residency/builds.h>
#include <residency/checking.h>
#include <residency/copies.h>
#include <residency/instance.h>
#include <residency/load.h>
#include <residency/place.h>
#include <residency/preparing.h>
#include <residency/update.h>
#include <residency/waiters.h>

#include <base/checked.h>

#define COPY_RETRY_NS UINT64_C(100000000) /* after a copy found no place */

/* ---- 2. Who gets what it waits for ----------------------------------------------------------- */

static struct mmi_waiter *first_of(struct mmi_model *model, enum mmi_wait_kind kind) {
    MMI_LIST_EACH(node, &model->waiters) {
        struct mmi_waiter *waiter = mmi_waiter_of(node);
        if (waiter->kind == kind) {
            return waiter;
        }
    }
    return NULL;
}

static void give_descriptions(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_build *build = mmi_version_described(model->current);
    struct mmi_waiter *waiter;
    while (build && (waiter = first_of(model, MMI_WAIT_PREPARED))) {
        waiter->opened = mmi_opened_hold(res, build);
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    }
}

/* Somebody looks when a run ends: set before the last look at the slots, so one sees the other. */
static void set_contended(struct mmi_model *model, bool contended) {
    MMI_LIST_EACH(node, &model->current->copies) {
        atomic_store(&mmi_copy_of(node)->contended, contended);
    }
}

static void give_copies(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_waiter *waiter;
    set_contended(model, first_of(model, MMI_WAIT_RUN) != NULL);
    while ((waiter = first_of(model, MMI_WAIT_RUN)) &&
           mmi_copy_admit(res, model->current, &waiter->admission)) {
        model->granted += waiter->counts_as_miss;
        mmi_waiter_end(res, waiter, MM_OK, NULL);
    }
    if (mmi_copies_count(model->current).ready > 0) {
        model->preload = false;
        model->superseded = 0;
        while ((waiter = first_of(model, MMI_WAIT_RESIDENT))) {
            mmi_waiter_end(res, waiter, MM_OK, NULL);
        }
    }
}

/* ---- 3. Eviction ----------------------------------------------------------------------------- */

static uint64_t oldest_of(const struct mmi_model *model) {
    uint64_t oldest = UINT64_MAX;
    MMI_LIST_EACH(node, &model->instances) {
        const struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, of_model);
        oldest = mmi_min_u64(oldest, instance->claim.sequence);
    }
    return oldest;
}

static void evict(struct mmi_residency *res, struct mmi_model *model) {
    MMI_LIST_EACH(node, &model->current->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (!mmi_instance_evicted(instance)) {
            continue; /* it was asked for since */
        }
        if (mmi_instance_state(instance) == MMI_READY) {
            mmi_instance_drain(res, instance, MMI_REASON_REQUEST, NULL);
        } else if (mmi_instance_state(instance) == MMI_RECLAIMABLE) {
            mmi_instance_leave(res, instance, MMI_REASON_REQUEST, NULL);
        }
    }
    MMI_LIST_EACH(node, &model->evicting) {
        struct mmi_waiter *waiter = mmi_waiter_of(node);
        if (waiter->until < oldest_of(model)) {
            mmi_waiter_end(res, waiter, MM_OK, NULL);
        }
    }
}

/* ---- 4. Who still waits ---------------------------------------------------------------------- */

static bool wants_copy(struct mmi_model *model) {
    return model->preload || model->held || first_of(model, MMI_WAIT_RUN) ||
           first_of(model, MMI_WAIT_RESIDENT);
}

/* An eviction that gave up lets them serve on; otherwise only who is waited for comes back. */
static bool revive(struct mmi_residency *res, struct mmi_model *model) {
    bool wanted = wants_copy(model);
    bool revived = false;
    MMI_LIST_EACH(node, &model->current->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        bool given_up =
            mmi_instance_state(instance) == MMI_DRAINING && instance->reason == MMI_REASON_REQUEST;
        if ((wanted || given_up) && mmi_instance_may_return(res, instance)) {
            mmi_instance_revive(res, instance);
            revived = true;
            wanted = false; /* one is enough */
        }
    }
    return revived;
}

static void fail_waiters(struct mmi_residency *res, struct mmi_model *model,
                         const mm_error *error) {
    model->preload = false;
    mmi_waiters_end(res, &model->waiters, (mm_status)error->status, error);
}

static void prepare(struct mmi_residency *res, struct mmi_model *model, struct mmi_build *build,
                    int32_t kind) {
    mm_error error;
    if (mmi_failure_recall(res, &build->failure, &error)) {
        if (error.status == MM_SOURCE_CHANGED) { /* more to the point: why it was not followed */
            mmi_failure_recall(res, &build->version->follow, &error);
        }
        fail_waiters(res, model, &error);
    } else if (mmi_prepare_begin(res, model, build, kind, &error) != MM_OK) {
        fail_waiters(res, model, &error);
    }
}

/* Copies that wait for memory on a device whose kind has no build yet. */
static void prepare_wanted(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *version = model->current;
    MMI_LIST_EACH(node, &version->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        int32_t kind = instance->wanted_kind;
        if (!instance->dev && kind && !mmi_version_preparing(version)) {
            struct mmi_build *build = mmi_version_build(version, kind);
            mm_error error;
            bool again = build->state == MMI_BUILD_UNPREPARED ||
                         (build->state == MMI_BUILD_BAD &&
                          !mmi_failure_holds(&build->failure, mmi_res_now(res)));
            if (again && mmi_prepare_begin(res, model, build, kind, &error) != MM_OK) {
                mmi_load_cancel(res, instance); /* it would hold up others for nothing */
                fail_waiters(res, model, &error);
            }
            return;
        }
    }
}

static void look_again(void *ctx, struct mmi_timer *timer) {
    struct mmi_residency *res = ctx;
    (void)timer;
    mmi_demand_room(res);
}

static void look_again_at(struct mmi_residency *res, uint64_t at_ns) {
    struct mmi_timer *timer = &res->wanting_timer;
    timer->fire = look_again;
    if (!mmi_timer_is_set(timer) || at_ns < timer->node.key) {
        mmi_timer_set(&res->timers, timer, at_ns);
    }
}

/* It found no place, or failed. It is looked at again when memory changes, but not at once; and at
 * again_ns (0 = not) in any case. */
static void copy_later(struct mmi_residency *res, struct mmi_model *model, uint64_t again_ns) {
    model->copy_until_ns = mmi_add_cap(mmi_res_now(res), COPY_RETRY_NS);
    if (again_ns) {
        model->copy_until_ns = mmi_min_u64(model->copy_until_ns, again_ns);
        look_again_at(res, again_ns);
    }
    if (!mmi_list_linked(&model->wanting)) {
        mmi_list_push_back(&res->wanting, &model->wanting);
    }
}

/* Before a load: the source is looked at, where the model is not to serve another content. true =
 * that goes on, or an update to the new content does. */
static bool look_first(struct mmi_residency *res, struct mmi_model *model) {
    const struct mmi_version *version = model->current;
    mm_error error;
    if (version->source == MMI_SOURCE_SAME || !mmi_check_needed(res, model)) {
        return false;
    }
    if (version->source != MMI_SOURCE_UNKNOWN || mmi_check_begin(res, model, &error) == MM_OK) {
        return true;
    }
    if (mmi_copies_count(version).ready > 0) {
        copy_later(res, model, 0);
    } else {
        fail_waiters(res, model, &error);
    }
    return true;
}

/* It was for the load that was begun, or that nobody wants any more. */
static void forget_look(struct mmi_model *model) {
    struct mmi_copies_count copies = mmi_copies_count(model->current);
    bool to_come = wants_copy(model) && copies.ready == 0 && copies.loading == 0;
    if (model->current->source == MMI_SOURCE_SAME && !to_come) {
        model->current->source = MMI_SOURCE_UNKNOWN;
    }
}

static void follow(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *version = model->current;
    mm_error error;
    if (version->source != MMI_SOURCE_CHANGED) {
        return;
    }
    version->source = MMI_SOURCE_UNKNOWN;
    if (!model->next && mmi_update_follow(res, model, &error) != MM_OK) {
        fail_waiters(res, model, &error);
    }
}

static void load(struct mmi_residency *res, struct mmi_model *model) {
    mm_error error;
    int32_t priority = mmi_waiters_priority(&model->waiters, 0);
    if (mmi_load_begin(res, model, model->current, priority, &error) != MM_OK) {
        fail_waiters(res, model, &error);
    }
}

static void raise_loads(struct mmi_residency *res, struct mmi_model *model) {
    int32_t priority = mmi_waiters_priority(&model->waiters, INT32_MIN);
    MMI_LIST_EACH(node, &model->current->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (mmi_instance_state(instance) == MMI_LOADING) {
            mmi_load_raise(res, instance, priority);
        }
    }
}

static void cancel_loads(struct mmi_residency *res, struct mmi_model *model, bool with_memory) {
    MMI_LIST_EACH(node, &model->current->copies) {
        struct mmi_instance *instance = mmi_copy_of(node);
        if (mmi_instance_state(instance) == MMI_LOADING && (with_memory || !instance->dev)) {
            mmi_load_cancel(res, instance);
        }
    }
}

void mmi_demand_cancelled(struct mmi_residency *res, struct mmi_model *model) {
    bool wanted = model->preload || model->held || !mmi_list_empty(&model->waiters) ||
                  model->settings.min_replicas > 1;
    if (!wanted && model->current) {
        cancel_loads(res, model, true);
        mmi_prepare_unwanted(res, model->current);
    }
}

/* Nothing of the current version is left, and the next one is on its way: requests take that. */
static bool takes_next(const struct mmi_model *model) {
    return model->next && mmi_copies_count(model->next).loading > 0;
}

/* Somebody waits for a copy, or for a description. */
static void pursue(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *version = model->current;
    struct mmi_copies_count copies = mmi_copies_count(version);
    mm_error error;
    if (copies.loading > 0 && copies.ready == 0 && !wants_copy(model)) {
        cancel_loads(res, model, false); /* nobody waits for them: others may have the memory */
    } else if (copies.loading > 0) {
        raise_loads(res, model);
    } else if (copies.ready == 0 && copies.leaving == 0 && wants_copy(model) &&
               mmi_failure_recall(res, &version->failure, &error)) {
        mmi_loads_refused(res, model, &error); /* before anything is prepared for it */
        mmi_update_go_on(res, model);
        if (model->current != version) {
            return; /* the old one is gone; the model was marked: it is looked at again */
        }
    }
    /* A load that waits for memory asks for what it needs when its turn comes. */
    bool wanted = wants_copy(model) && copies.ready == 0 && copies.loading == 0;
    if (!wanted && !first_of(model, MMI_WAIT_PREPARED)) {
        return;
    }
    if (model->update == MMI_UPDATE_FOLLOW) {
        return; /* they get the new content, or the old once that failed */
    }
    if (wanted && copies.leaving == 0 && look_first(res, model)) {
        return;
    }
    bool by_next = takes_next(model);
    if (by_next && !first_of(model, MMI_WAIT_PREPARED)) {
        return;
    }
    if (!mmi_version_described(version)) {
        if (!mmi_version_preparing(version)) {
            int32_t kind = mmi_prepare_kind(res, version);
            prepare(res, model, mmi_version_build(version, kind), kind);
        }
    } else if (wanted && !by_next && copies.leaving == 0) {
        load(res, model);
    } /* one that leaves: when it is gone, or may come back, the model is marked */
}

/* ---- 5. Copies ------------------------------------------------------------------------------- */

/* Would one more fit now? *again_ns: when it would, if all that is missing is that others may leave
 * then; 0 = who knows. */
static bool has_place(struct mmi_residency *res, struct mmi_model *model, uint64_t *again_ns) {
    struct mmi_placement devices[MMI_MAX_DEVICES];
    struct mmi_load_query query = mmi_load_query_further(model);
    size_t chosen = mmi_place_load(res, &query, devices);
    *again_ns = 0;
    if (chosen == res->device_count) {
        return false;
    }
    const struct mmi_plan_output *plan = &devices[chosen].plan;
    if (plan->verdict == MMI_PLAN_STAY && query.heat > 0) {
        *again_ns = plan->wait_until_ns;
    }
    return mmi_load_worth(&query, plan);
}

static bool has_usable_device(struct mmi_residency *res, struct mmi_version *version) {
    for (size_t i = 0; i < res->device_count; i++) {
        if (mmi_device_usable(res, &res->devices[i], version)) {
            return true;
        }
    }
    return false;
}

void mmi_demand_room(struct mmi_residency *res) {
    uint64_t now_ns = mmi_res_now(res), next_ns = 0;
    MMI_LIST_EACH(node, &res->wanting) {
        struct mmi_model *model = MMI_CONTAINER(node, struct mmi_model, wanting);
        if (now_ns >= model->copy_until_ns) {
            mmi_list_remove(node);
            mmi_mark_model(res, model);
        } else if (!next_ns || model->copy_until_ns < next_ns) {
            next_ns = model->copy_until_ns;
        }
    }
    if (next_ns) {
        look_again_at(res, next_ns);
    }
}

static void add_copies(struct mmi_residency *res, struct mmi_model *model) {
    struct mmi_version *version = model->current;
    struct mmi_copies_count copies = mmi_copies_count(version);
    uint64_t now_ns = mmi_res_now(res);
    uint32_t present = copies.ready + copies.loading + copies.leaving;
    if (copies.ready == 0 || copies.loading > 0 || present >= model->settings.replicas ||
        !mmi_list_empty(&model->evicting) || model->update != MMI_UPDATE_NONE ||
        now_ns < model->copy_until_ns || mmi_failure_holds(&version->failure, now_ns)) {
        return;
    }
    bool least = present < model->settings.min_replicas;
    bool queues = first_of(model, MMI_WAIT_RUN) != NULL;
    if ((!least && !queues) || !has_usable_device(res, version)) {
        return;
    }
    uint64_t again_ns;
    if (!has_place(res, model, &again_ns)) {
        copy_later(res, model, again_ns);
        return;
    }
    if (look_first(res, model)) {
        return;
    }
    if (mmi_load_begin(res, model, version, mmi_waiters_priority(&model->waiters, 0), NULL) !=
        MM_OK) {
        copy_later(res, model, again_ns);
    }
}

/* Operations without a thread do not hold up an instance that is to leave: it may be their thread
 * that waits for its bytes. */
static void revoke_parked(struct mmi_model *model) {
    MMI_LIST_EACH(node, &model->instances) {
        struct mmi_instance *instance = MMI_CONTAINER(node, struct mmi_instance, of_model);
        if (!mmi_list_empty(&instance->parked) && mmi_instance_state(instance) != MMI_READY) {
            mmi_parked_revoke(&instance->parked, MM_OK);
            return; /* which may have marked it: it is looked at again */
        }
    }
}

/* A load was refused: who waited for it is told, unless others serve or will. */
static void tell_refused(struct mmi_residency *res, struct mmi_model *model) {
    mm_error error;
    if (!mmi_version_refused(res, model->current, &error)) {
        return;
    }
    if (!mmi_list_empty(&model->current->copies)) {
        copy_later(res, model, 0);
    } else if (!takes_next(model)) {
        model->failures++;
        mmi_loads_refused(res, model, &error);
        mmi_update_go_on(res, model);
    }
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void advance(struct mmi_residency *res, struct mmi_model *model) {
    follow(res, model);
    mmi_update_step(res, model);
    tell_refused(res, model);
    revoke_parked(model);
    give_descriptions(res, model);
    give_copies(res, model);
    if (!mmi_list_empty(&model->evicting)) {
        evict(res, model);
    }
    if (model->update == MMI_UPDATE_REPLACE) {
        return; /* they get the new version */
    }
    if (revive(res, model)) {
        return; /* which marked it: it is looked at again */
    }
    prepare_wanted(res, model);
    pursue(res, model);
    if (!mmi_update_waits(res, model)) {
        mmi_update_go_on(res, model);
    }
    add_copies(res, model);
    mmi_waiters_progress(model);
}

/* Nothing goes on for it: whoever waited for what failed was told. */
static bool at_rest(const struct mmi_model *model) {
    const struct mmi_version *version = model->current;
    struct mmi_copies_count copies = mmi_copies_count(version);
    return copies.loading == 0 && copies.leaving == 0 && !mmi_version_preparing(version) &&
           version->source != MMI_SOURCE_CHECKING && model->update != MMI_UPDATE_FOLLOW;
}

void mmi_demand(struct mmi_residency *res, struct mmi_model *model) {
    if (atomic_load(&res->closed)) {
        return; /* close ended who waited */
    }
    advance(res, model);
    forget_look(model);
    if (at_rest(model)) {
        mmi_failures_told(model->current);
    }
}

/* Will this wait end without anybody else's leaving? */
static bool surely_ends(const struct mmi_waiter *waiter) {
    const struct mmi_version *version = waiter->model->current;
    if (mmi_version_preparing(version) || version->source == MMI_SOURCE_CHECKING) {
        return true;
    }
    if (waiter->model->next && mmi_version_preparing(waiter->model->next)) {
        return true;
    }
    MMI_LIST_EACH(node, &version->copies) {
        const struct mmi_instance *instance = mmi_copy_of(node);
        if (instance->dev && mmi_instance_state(instance) == MMI_LOADING) {
            return true;
        }
    }
    return false;
}

bool mmi_refuse_nested(struct mmi_residency *res) {
    MMI_LIST_EACH(node, &res->nested) {
        struct mmi_waiter *waiter = MMI_CONTAINER(node, struct mmi_waiter, nested_node);
        if (!surely_ends(waiter)) {
            mm_error error;
            mmi_fail(&error, MM_BUSY,
                     "model %s: a nested request would have to wait for others to leave",
                     mmi_model_name(waiter->model));
            mmi_waiter_end(res, waiter, MM_BUSY, &error);
            return true;
        }
    }
    return false;
}
