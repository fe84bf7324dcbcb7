/* SPDX-License-Identifier: Apache-2.0 */
/* One load, on whatever thread it was given to:
 *
 *   1. detach the victims whose memory this load was given
 *   2. map a region; or map the artifact's pages, where the device can
 *   3. move the first group of weights, and let the backend attach
 *   4. under the lock: READY, or undo
 *   5. move the other groups while runs may begin; a lease of its own keeps the instance meanwhile
 */
#include <residency/load.h>

#include <residency/builds.h>
#include <residency/claims.h>
#include <residency/cleanup.h>
#include <residency/copies.h>
#include <residency/decisions.h>
#include <residency/devices.h>
#include <residency/frame.h>
#include <residency/instance.h>
#include <residency/lock.h>
#include <residency/place.h>
#include <residency/signatures.h>
#include <residency/transfer.h>
#include <residency/waiters.h>

#include <base/checked.h>
#include <plugin/status.h>

#define QUICK_BYTES (UINT64_C(256) << 10)
#define QUICK_NS 2000000u /* the last load, so that one slow moment does not decide */

/* How a load ended, apart from a failure. */
enum ending {
    LOADED,
    FAILED,
    GONE /* the prepared weights are not there any more: prepare again */
};

/* ---- 2, 3: without the lock ------------------------------------------------------------------ */

static mm_status still_wanted(struct mmi_instance *instance, mm_error *err) {
    if (atomic_load(&instance->cancelled)) {
        return mmi_fail(err, MM_CANCELLED, "the load was cancelled");
    }
    return MM_OK;
}

/* Backends without prepare read the source again. */
static mm_status open_source(struct mmi_instance *instance, struct mmi_source **source,
                             mm_error *err) {
    *source = NULL;
    if (instance->opened->backend->table->prepare) {
        return MM_OK;
    }
    struct mmi_spec *spec = instance->version->spec;
    MMI_TRY(mmi_source_open(instance->res->env, spec->source, &spec->memory, source, err));
    instance->opened->view.source = mmi_source_reader(*source);
    return MM_OK;
}

static mm_status attach(struct mmi_instance *instance, mm_error *err) {
    struct mmi_opened *opened = instance->opened;
    const mm_backend *table = opened->backend->table;
    if (table->instance_bytes > 0) {
        instance->state = mmi_alloc(&instance->res->env->alloc, 1, table->instance_bytes);
        if (!instance->state) {
            return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", table->name);
        }
    }
    struct mmi_source *source;
    MMI_TRY(open_source(instance, &source, err));
    int64_t before = mmi_tls()->backend_bytes;
    instance->attached = true; /* detach is owed even if it fails */
    mm_error told = {0};
    struct mmi_frame frame;
    mmi_frame_enter(&frame, instance->res, atomic_load(&instance->model_id), MMI_FRAME_SLOT);
    mm_status status = table->attach(opened->state, instance->state, &instance->dev->device->pub,
                                     &instance->view, &told);
    mmi_frame_leave(&frame);
    status = mmi_slot_status(opened->backend, MMI_SLOT_ATTACH, status, &told);
    instance->backend_bytes = mmi_tls()->backend_bytes - before;
    opened->view.source = NULL;
    mmi_source_close(source);
    if (status == MM_OK && (table->flags & MM_BACKEND_OWN_MEMORY)) {
        instance->own_bytes = table->own_bytes(instance->state);
    }
    return status == MM_OK ? MM_OK : mmi_error_copy(err, &told);
}

/* Until it may serve. The weights are held, where there are any. */
static mm_status bring_up(struct mmi_transfer *transfer, struct mmi_instance *instance,
                          mm_error *err) {
    MMI_TRY(still_wanted(instance, err));
    if (instance->opened->description.weights_bytes > 0) {
        MMI_TRY(mmi_transfer_begin(transfer, instance, err));
        MMI_TRY(mmi_transfer_until(transfer, 1, err));
    } else {
        atomic_store(&instance->arrived, UINT32_MAX);
        instance->view = (mm_region){0};
    }
    MMI_TRY(attach(instance, err));
    mmi_signatures_warm(instance);
    return MM_OK;
}

static enum ending hold_weights(struct mmi_instance *instance, mm_error *err) {
    mm_status status = mmi_artifact_hold(instance->opened->artifact, err);
    return status == MM_OK ? LOADED : status == MM_NONE ? GONE : FAILED;
}

/* What would have the load tried again at once is not believed: the device is asked, and a load
 * that was not cancelled failed. */
static mm_status check_claims(struct mmi_instance *instance, mm_status status, mm_error *error) {
    if (status == MM_CANCELLED && !atomic_load(&instance->cancelled)) {
        return mmi_fail(error, MM_BACKEND_FAILED,
                        "the backend says that the load was cancelled, which it was not");
    }
    return mmi_device_claim(instance->res, instance->dev, status, error);
}

/* ---- 4: under the lock ----------------------------------------------------------------------- */

/* What its backend took beyond the estimate must fit as well. false: it does not; the next attempt
 * plans with what was measured. */
static bool charge_own(struct mmi_instance *instance) {
    uint64_t weights = instance->opened->description.weights_bytes;
    uint64_t bytes = mmi_max_u64(instance->own_bytes, weights);
    instance->build->own_bytes = instance->own_bytes;
    if (bytes == instance->block.bytes || instance->own_bytes == 0) {
        return true;
    }
    struct mmi_arena *arena = instance->dev->device->arena;
    bool weights_in_it = weights > 0 && instance->dev->device->pub.kind != MM_DEVICE_HOST;
    if (weights_in_it) { /* they cannot move: the block stays, as large as it is */
        return mmi_arena_rounded(arena, bytes) <= mmi_arena_rounded(arena, instance->block.bytes);
    }
    struct mmi_block block = {0};
    mmi_arena_give(arena, &instance->block);
    if (mmi_arena_take(arena, bytes, &block) == MMI_TAKE_OK) {
        instance->block = block;
        return true;
    }
    return false;
}

/* As much again as the weights, or what the device has beyond what is needed anyway. */
static uint64_t wider_by(const struct mmi_instance *instance) {
    const struct mmi_arena *arena = instance->dev->device->arena;
    const struct mmi_build *build = instance->build;
    uint64_t weights = mmi_max_u64(1, build->weights_bytes);
    uint64_t bytes = mmi_arena_rounded(arena, mmi_max_u64(weights, build->own_bytes));
    uint64_t activations =
        build->activation_bytes ? mmi_arena_rounded(arena, build->activation_bytes) : 0;
    uint64_t beyond = mmi_sub_floor(mmi_arena_capacity(arena), mmi_add_cap(bytes, activations));
    return mmi_min_u64(weights, beyond);
}

/* The device had less than its budget says: plan for more than is needed, once. */
static bool retry_wider(struct mmi_residency *res, struct mmi_instance *instance,
                        const mm_error *error) {
    if (error->status != MM_NO_MEMORY || instance->attempts > 0 || !instance->model ||
        atomic_load(&instance->cancelled) || atomic_load(&res->closed)) {
        return false;
    }
    instance->attempts++;
    instance->extra_bytes = wider_by(instance);
    instance->submitted = false;
    atomic_store(&instance->arrived, 0);
    mmi_instance_ungranted(res, instance);
    mmi_claim_add(&res->loads, &instance->claim);
    return true;
}

static void log_failure(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_event_kind kind, mm_status status) {
    mmi_decided(res, kind, instance->label,
                &(struct mmi_event){.status = status,
                                    .bytes = instance->build ? instance->build->weights_bytes : 0},
                instance->dev);
}

/* The failure stays behind with the version; the model is looked at again, and its waiters get
 * it. */
static void remember(struct mmi_residency *res, struct mmi_instance *instance,
                     const mm_error *error) {
    mmi_count(&res->counters, MMI_COUNT_LOAD_FAILURES, 1);
    mmi_failure_set(&res->env->alloc, &instance->version->failure, error, mmi_res_now(res),
                    res->config.backoff_first_ns, res->config.backoff_max_ns);
    if (mmi_instance_current(instance)) {
        instance->model->failures++;
    }
}

static void failed(struct mmi_residency *res, struct mmi_instance *instance, enum ending ending,
                   const mm_error *error) {
    mm_status status = ending == GONE ? MM_CANCELLED : (mm_status)error->status;
    log_failure(res, instance, MMI_EVENT_LOAD_FAILED, status);
    if (ending == GONE) { /* from the source again */
        if (instance->build->opened == instance->opened) {
            mmi_build_close(res, instance->build);
        }
    } else if (retry_wider(res, instance, error)) {
        return;
    } else if (status != MM_CANCELLED && status != MM_DEVICE_LOST) {
        remember(res, instance, error);
        mmi_slot_move(instance->slot, MMI_FAILED);
    }
    mmi_instance_free(res, instance);
}

static void serve(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_instance_ready(res, instance);
    if (atomic_load(&instance->arrived) == UINT32_MAX) {
        mmi_instance_complete(res, instance);
    } else {
        mmi_lease_grant(instance->slot, mmi_lease_shard(&res->slots), &instance->load_lease);
    }
    if (atomic_load(&res->closed)) {
        mmi_instance_leave(res, instance, MMI_REASON_CLOSE, NULL);
    } else if (atomic_load(&instance->version->abandoned)) {
        mmi_instance_leave(res, instance,
                           instance->model ? MMI_REASON_UPDATE : MMI_REASON_UNREGISTER, NULL);
    }
}

/* ---- 5 --------------------------------------------------------------------------------------- */

static void finish(struct mmi_transfer *transfer, struct mmi_instance *instance) {
    struct mmi_residency *res = instance->res;
    mm_error error = {0};
    mm_status status = mmi_transfer_until(transfer, UINT32_MAX, &error);
    mmi_res_lock(res);
    if (status == MM_OK) {
        mmi_instance_complete(res, instance);
    } else {
        error.status = status;
        mmi_error_prefix(&error, "model %s", instance->label);
        if (status != MM_CANCELLED && status != MM_DEVICE_LOST) {
            remember(res, instance, &error);
        }
        mmi_transfer_failed(instance, status);
        mmi_instance_leave(res, instance, MMI_REASON_FAILED, NULL);
        mmi_device_check(res, instance->dev);
    }
    if (mmi_lease_undo(instance->load_lease.slot, instance->load_lease.shard)) {
        mmi_instance_settle(res, instance->slot);
    }
    mmi_res_unlock(res);
}

/* ---- The task -------------------------------------------------------------------------------- */

/* Locked before and after. true = it serves, and its other groups are still to come. */
static bool decide(struct mmi_instance *instance, enum ending ending, mm_error *error) {
    struct mmi_residency *res = instance->res;
    if (ending == LOADED && !charge_own(instance)) {
        mmi_res_unlock(res);
        mmi_instance_detach(res, instance);
        mmi_res_lock(res);
        ending = FAILED;
        mmi_fail(error, MM_NO_MEMORY,
                 "the backend took %llu bytes, more than its estimate and more than fits",
                 (unsigned long long)instance->own_bytes);
    }
    bool whole = atomic_load(&instance->arrived) == UINT32_MAX;
    if (ending == LOADED && !whole && atomic_load(&instance->cancelled)) {
        mmi_res_unlock(res); /* the rest would not come */
        mmi_instance_detach(res, instance);
        mmi_res_lock(res);
        ending = FAILED;
        mmi_fail(error, MM_CANCELLED, "the load was cancelled");
    }
    if (ending == LOADED) {
        serve(res, instance);
        return instance->load_lease.slot != NULL;
    }
    if (ending == FAILED) {
        mmi_error_prefix(error, "model %s", instance->label);
    }
    failed(res, instance, ending, error);
    return false;
}

/* The block of a load that was granted; its victims are detached. false: it is not to be had. */
bool mmi_load_take(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_devstate *dev = instance->dev;
    if (instance->block.bytes) {
        return true;
    }
    dev->taking = false;
    mmi_mark_memory(res);
    uint64_t bytes = mmi_max_u64(1, mmi_instance_need(instance, dev).bytes - instance->extra_bytes);
    bool taken = mmi_arena_take(dev->device->arena, bytes, &instance->block) == MMI_TAKE_OK;
    dev->peak_bytes = mmi_max_u64(dev->peak_bytes, mmi_arena_used(dev->device->arena));
    return taken;
}

/* Its victims are detached. false: the budget shrank meanwhile; it waits for memory again. */
static bool take_memory(struct mmi_instance *instance) {
    struct mmi_residency *res = instance->res;
    mmi_res_lock(res);
    bool taken = mmi_load_take(res, instance);
    if (!taken) {
        log_failure(res, instance, MMI_EVENT_LOAD_FAILED, MM_BUSY);
        mmi_instance_ungranted(res, instance);
        if (atomic_load(&instance->cancelled)) {
            mmi_instance_free(res, instance);
        } else {
            mmi_claim_add(&res->loads, &instance->claim);
        }
        mmi_task_done(res);
    }
    mmi_res_unlock(res);
    return taken;
}

static void run(struct mmi_task *task) {
    struct mmi_instance *instance = MMI_CONTAINER(task, struct mmi_instance, task);
    struct mmi_residency *res = instance->res;
    struct mmi_artifact *artifact = instance->opened->artifact;
    bool weights = instance->opened->description.weights_bytes > 0;
    struct mmi_transfer transfer = {0};
    mm_error error = {0};
    mmi_detach_victims(res, &instance->claim.victims);
    if (!take_memory(instance)) {
        return;
    }
    mmi_artifact_retain(artifact); /* the instance may be gone before this is over */
    enum ending ending = weights ? hold_weights(instance, &error) : LOADED;
    bool held = weights && ending == LOADED;
    if (ending == LOADED) {
        mm_status status = check_claims(instance, bring_up(&transfer, instance, &error), &error);
        if (status != MM_OK) {
            error.status = status;
            ending = FAILED;
            mmi_instance_detach(res, instance);
        }
    }
    if (held && (ending != LOADED || atomic_load(&instance->arrived) == UINT32_MAX)) {
        mmi_artifact_unhold(artifact); /* before anybody knows that it is over */
        held = false;
    }
    mmi_res_lock(res);
    bool more = decide(instance, ending, &error);
    mmi_res_unlock(res);
    if (more) {
        finish(&transfer, instance);
    }
    mmi_transfer_end(&transfer);
    if (held) {
        mmi_artifact_unhold(artifact);
    }
    mmi_artifact_release(artifact);
    mmi_res_lock(res);
    mmi_task_done(res);
    mmi_res_unlock(res);
}

/* ---- Begin, refuse, cancel ------------------------------------------------------------------- */

mm_status mmi_load_begin(struct mmi_residency *res, struct mmi_model *model,
                         struct mmi_version *version, int32_t priority, mm_error *err) {
    struct mmi_instance *instance = mmi_instance_new(res, model, version);
    if (!instance) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", mmi_model_name(model));
    }
    instance->task.run = run;
    instance->task.priority = priority;
    instance->claim.priority = priority;
    mmi_claim_add(&res->loads, &instance->claim);
    mmi_mark_memory(res);
    return MM_OK;
}

/* Small and mapped loads take less time than waking a thread, unless their backend has shown that
 * it takes its time, or has not shown anything yet. */
static bool is_quick(const struct mmi_instance *instance) {
    uint64_t last_ns = instance->version->load_ns;
    if (instance->dev->device->pub.kind != MM_DEVICE_HOST || last_ns == 0 || last_ns > QUICK_NS) {
        return false;
    }
    return mmi_artifact_is_mappable(instance->opened->artifact) ||
           instance->opened->description.weights_bytes <= QUICK_BYTES;
}

void mmi_load_start(struct mmi_residency *res, struct mmi_instance *instance) {
    mmi_decided(res, MMI_EVENT_LOAD_BEGIN, instance->label,
                &(struct mmi_event){
                    .bytes = mmi_arena_rounded(instance->dev->device->arena,
                                               mmi_max_u64(1, instance->build->weights_bytes))},
                instance->dev);
    instance->submitted = true;
    mmi_assign(res, &instance->task, instance->model, res->load_executor, is_quick(instance));
}

void mmi_load_refused(struct mmi_residency *res, struct mmi_instance *instance,
                      const mm_error *error) {
    if (!mmi_load_query_of(instance).further) { /* which nobody asked for */
        log_failure(res, instance, MMI_EVENT_REFUSE, (mm_status)error->status);
        mmi_count(&res->counters, MMI_COUNT_REFUSALS, 1);
    }
    mmi_failure_set(&res->env->alloc, &instance->version->refusal, error, mmi_res_now(res), 0, 0);
    mmi_mark_model(res, instance->model);
    mmi_instance_free(res, instance);
}

void mmi_load_cancel(struct mmi_residency *res, struct mmi_instance *instance) {
    atomic_store(&instance->cancelled, true);
    instance->leaving_ns = mmi_res_now(res);
    if (!instance->dev) { /* it never got memory */
        mmi_claim_drop(res, &instance->claim);
        mmi_instance_free(res, instance);
        return;
    }
    bool removed = res->config.threads && mmi_executor_remove(res->load_executor, &instance->task);
    if (removed) {
        /* Its victims wait to be detached by it: let them go the ordinary way. */
        mmi_list_move_all(&res->detaching, &instance->claim.victims);
        instance->dev->taking &= instance->block.bytes > 0;
        log_failure(res, instance, MMI_EVENT_LOAD_FAILED, MM_CANCELLED);
        mmi_instance_free(res, instance);
        mmi_task_done(res);
    } /* else it ends by itself, soon */
}

void mmi_load_raise(struct mmi_residency *res, struct mmi_instance *instance, int32_t priority) {
    if (priority <= instance->claim.priority) {
        return;
    }
    mmi_claim_raise(res, &instance->claim, priority);
    if (instance->submitted && res->config.threads) {
        mmi_executor_raise(res->load_executor, &instance->task, priority);
    }
}
