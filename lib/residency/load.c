/* SPDX-License-Identifier: Apache-2.0 */
/* One load, from granted memory to READY, on whatever thread it was given to:
 *
 *   1. detach the victims whose memory this load was given
 *   2. map a region; or map the artifact's pages, where the device can
 *   3. move the weights, group by group
 *   4. let the backend attach
 *   5. under the lock: READY and leases, or undo
 */
#include <residency/core.h>

#include <base/checked.h>

#define PIECE_BYTES (UINT64_C(4) << 20) /* copied between two checks for cancellation */

static void detach_victims(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_list *node;
    while ((node = mmi_list_pop(&instance->victims))) { /* ours alone while the job runs */
        struct mmi_instance *victim = MMI_CONTAINER(node, struct mmi_instance, queue);
        mmi_instance_detach(res, victim);
        mmi_res_lock(res);
        mmi_instance_detached(res, victim);
        mmi_res_unlock(res);
    }
}

static mm_status arrived(void *ctx, uint32_t group) {
    (void)ctx;
    (void)group;
    return MM_OK; /* attach comes after the last group */
}

static mm_status still_wanted(struct mmi_instance *instance, mm_error *err) {
    if (atomic_load(&instance->cancelled)) {
        return mmi_fail(err, MM_CANCELLED, "the load was cancelled");
    }
    return MM_OK;
}

static mm_status copy_piece(struct mmi_instance *instance, uint64_t at, uint64_t bytes,
                            void *buffer, mm_error *err) {
    const struct mmi_device_ops *ops = instance->dev->device->ops;
    struct mmi_artifact *artifact = instance->opened->artifact;
    const unsigned char *in_memory = mmi_artifact_bytes(artifact);
    if (in_memory) {
        return ops->write(&instance->region, at, in_memory + at, bytes, err);
    }
    void *window = ops->window ? ops->window(&instance->region, at, bytes) : NULL;
    if (window) {
        return mmi_artifact_read(artifact, at, window, bytes, err);
    }
    MMI_TRY(mmi_artifact_read(artifact, at, buffer, bytes, err));
    return ops->write(&instance->region, at, buffer, bytes, err);
}

static void notify_progress(struct mmi_residency *res, struct mmi_instance *instance,
                            uint64_t done_bytes) {
    atomic_store(&instance->done_bytes, done_bytes);
    mmi_res_lock(res);
    if (instance->model) {
        mmi_waiters_notify(res, instance->model);
    }
    mmi_res_unlock(res);
}

static mm_status copy_weights(struct mmi_residency *res, struct mmi_instance *instance,
                              mm_error *err) {
    uint64_t total = instance->opened->description.weights_bytes;
    uint64_t room = mmi_min_u64(PIECE_BYTES, total);
    void *buffer = NULL;
    bool direct =
        instance->dev->device->ops->window || mmi_artifact_bytes(instance->opened->artifact);
    if (!direct) {
        buffer = mmi_alloc(&res->env->alloc, 1, room);
        if (!buffer) {
            return mmi_fail(err, MM_NO_MEMORY, "no memory to read %llu bytes",
                            (unsigned long long)room);
        }
    }
    mm_status status = MM_OK;
    for (uint64_t at = 0; at < total && status == MM_OK; at += room) {
        uint64_t bytes = mmi_min_u64(room, total - at);
        status = still_wanted(instance, err);
        if (status == MM_OK) {
            status = copy_piece(instance, at, bytes, buffer, err);
        }
        if (total > room) {
            notify_progress(res, instance, at + bytes);
        }
    }
    mmi_free(&res->env->alloc, buffer, room);
    return status;
}

/* *mapped: the region now is the artifact's own pages. */
static mm_status map_artifact(struct mmi_instance *instance, bool *mapped, mm_error *err) {
    const struct mmi_device_ops *ops = instance->dev->device->ops;
    *mapped = false;
    if (!ops->map_file) {
        return MM_OK;
    }
    uint64_t offset;
    int fd = mmi_artifact_map_fd(instance->opened->artifact, &offset);
    if (fd < 0) {
        return MM_OK; /* not to be mapped: copy */
    }
    mm_status status =
        ops->map_file(instance->dev->device, fd, offset,
                      instance->opened->description.weights_bytes, &instance->region, err);
    *mapped = status == MM_OK;
    return status;
}

static mm_status move_weights(struct mmi_residency *res, struct mmi_instance *instance,
                              mm_error *err) {
    bool mapped;
    MMI_TRY(map_artifact(instance, &mapped, err));
    if (!mapped) {
        MMI_TRY(instance->dev->device->ops->map(instance->dev->device, &instance->block,
                                                &instance->region, err));
        MMI_TRY(copy_weights(res, instance, err));
    }
    instance->view = (mm_region){.base = instance->region.base,
                                 .bytes = instance->opened->description.weights_bytes,
                                 .ctx = instance,
                                 .wait = arrived};
    return MM_OK;
}

static mm_status attach(struct mmi_residency *res, struct mmi_instance *instance, mm_error *err) {
    struct mmi_opened *opened = instance->opened;
    const mm_backend *table = opened->backend->table;
    if (table->instance_bytes > 0) {
        instance->state = mmi_alloc(&res->env->alloc, 1, table->instance_bytes);
        if (!instance->state) {
            return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", table->name);
        }
    }
    struct mmi_source *source = NULL;
    if (!table->prepare) {
        const struct mmi_spec *spec = instance->version->spec;
        MMI_TRY(
            mmi_source_open(res->env, spec->source, spec->data, spec->data_bytes, &source, err));
        opened->view.source = mmi_source_reader(source);
    }
    int64_t before = mmi_tls()->backend_bytes;
    instance->attached = true; /* detach is owed even if it fails */
    mm_status status = table->attach(opened->state, instance->state, &instance->dev->device->pub,
                                     &instance->view, err);
    instance->backend_bytes = mmi_tls()->backend_bytes - before;
    opened->view.source = NULL;
    mmi_source_close(source);
    return status;
}

/* MM_NONE: the prepared weights are gone. */
static mm_status load(struct mmi_residency *res, struct mmi_instance *instance, mm_error *err) {
    struct mmi_opened *opened = instance->opened;
    bool weights = opened->description.weights_bytes > 0;
    MMI_TRY(still_wanted(instance, err));
    mm_status status = weights ? mmi_artifact_hold(opened->artifact, err) : MM_OK;
    if (status != MM_OK) {
        return status;
    }
    if (weights) {
        status = move_weights(res, instance, err);
        mmi_artifact_unhold(opened->artifact);
    }
    if (status == MM_OK) {
        status = attach(res, instance, err);
    }
    if (status == MM_OK && (opened->backend->table->flags & MM_BACKEND_OWN_MEMORY)) {
        instance->own_bytes = opened->backend->table->own_bytes(instance->state);
    }
    if (status != MM_OK) {
        mmi_instance_detach(res, instance);
    }
    return status;
}

/* ---- Completion, under the lock ------------------------------------------------------------- */

/* Charge what the backend took beyond its estimate. false: it does not fit. */
static bool charge_own(struct mmi_instance *instance) {
    uint64_t bytes = mmi_max_u64(instance->own_bytes, instance->opened->description.weights_bytes);
    instance->version->own_bytes = instance->own_bytes;
    if (bytes == instance->block.bytes || instance->own_bytes == 0) {
        return true;
    }
    struct mmi_arena *arena = instance->dev->device->arena;
    struct mmi_block block = {0};
    mmi_arena_give(arena, &instance->block);
    if (mmi_arena_take(arena, bytes, &block) == MMI_TAKE_OK) {
        instance->block = block;
        return true;
    }
    return false;
}

/* As much again as the weights, or all that the device has beyond the need. */
static uint64_t wider_by(const struct mmi_instance *instance) {
    const struct mmi_arena *arena = instance->dev->device->arena;
    const struct mmi_version *version = instance->version;
    uint64_t weights = mmi_max_u64(1, instance->opened->description.weights_bytes);
    uint64_t bytes = mmi_arena_rounded(arena, mmi_max_u64(weights, version->own_bytes));
    uint64_t activations =
        version->activation_bytes ? mmi_arena_rounded(arena, version->activation_bytes) : 0;
    uint64_t beyond = mmi_sub_floor(mmi_arena_capacity(arena), mmi_add_cap(bytes, activations));
    return mmi_min_u64(weights, beyond);
}

/* The device has less memory than its budget says: plan for more than is needed, once. */
static bool retry_wider(struct mmi_residency *res, struct mmi_instance *instance,
                        mm_status status) {
    if (status != MM_NO_MEMORY || instance->retried || atomic_load(&instance->cancelled)) {
        return false;
    }
    instance->retried = true;
    instance->extra_bytes = wider_by(instance);
    mmi_list_remove(&instance->on_device);
    mmi_arena_give(instance->dev->device->arena, &instance->block);
    mmi_load_again(res, instance);
    return true;
}

/* The prepared bytes are gone: prepare again (MM_SOURCE_CHANGED if the source is another). */
static void prepare_again(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_version *version = instance->version;
    struct mmi_model *model = instance->model;
    uint64_t id = atomic_load(&instance->model_id);
    mmi_opened_close_soon(res, version);
    mmi_instance_free(res, instance);
    if (model && mmi_catalog_get(&res->catalog, id) == model) {
        if (model->next == version) {
            mmi_update_go_on(res, model);
        } else {
            mmi_advance(res, model);
        }
    }
}

static void failed(struct mmi_residency *res, struct mmi_instance *instance, mm_status status,
                   const mm_error *error) {
    struct mmi_model *model = instance->model;
    uint64_t id = atomic_load(&instance->model_id);
    if (retry_wider(res, instance, status)) {
        return;
    }
    if (status == MM_NONE) {
        prepare_again(res, instance);
        return;
    }
    if (status == MM_DEVICE_LOST) {
        struct mmi_devstate *dev = instance->dev;
        bool current = model && model->current == instance->version;
        if (current) {
            mmi_instance_free(res, instance);
        } else {
            mmi_load_failed(res, instance, error, false);
        }
        mmi_device_lost(res, dev);
        if (current && mmi_catalog_get(&res->catalog, id) == model) {
            mmi_advance(res, model); /* on another device */
        }
        return;
    }
    if (status == MM_CANCELLED) {
        bool current = model && model->current == instance->version;
        mmi_instance_free(res, instance);
        if (current && mmi_catalog_get(&res->catalog, id) == model) {
            mmi_advance(res, model); /* a new request may have come meanwhile */
        }
        return;
    }
    mmi_load_failed(res, instance, error, true);
}

static void loaded(struct mmi_residency *res, struct mmi_instance *instance) {
    struct mmi_model *model = instance->model;
    if (!model || atomic_load(&res->closed)) {
        mmi_instance_detach_soon(res, instance);
    } else {
        mmi_instance_ready(res, instance);
        if (model->next == instance->version) {
            mmi_update_ready(res, model);
        }
        mmi_advance(res, model);
    }
}

void mmi_load_run(struct mmi_job *job) {
    struct mmi_instance *instance = MMI_CONTAINER(job, struct mmi_instance, job);
    struct mmi_residency *res = job->res;
    detach_victims(res, instance);
    mm_error error = {0};
    mm_status status = load(res, instance, &error);
    if (status == MM_OK) {
        mmi_warm_up(res, instance);
    }
    mmi_res_lock(res);
    if (status == MM_OK && !charge_own(instance)) {
        mmi_res_unlock(res);
        mmi_instance_detach(res, instance);
        mmi_res_lock(res);
        status = mmi_fail(&error, MM_NO_MEMORY,
                          "the backend took %llu bytes, more than its estimate and more than fits",
                          (unsigned long long)instance->own_bytes);
    }
    if (status == MM_OK) {
        loaded(res, instance);
    } else {
        if (status != MM_NONE) {
            mmi_error_prefix(&error, "model %s",
                             instance->model ? mmi_model_name(instance->model) : "");
        }
        failed(res, instance, status, &error);
    }
    mmi_schedule(res);
    res->jobs--;
    pthread_cond_broadcast(&res->quiet);
    mmi_res_unlock(res);
}
