/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/transfer.h>

#include <residency/lock.h>
#include <residency/waiters.h>

#include <base/checked.h>

/* Between two looks at whether it is still wanted. */
#define PIECE_BYTES MMI_STAGING_BYTES

/* ---- Waiting for a group --------------------------------------------------------------------- */

/* For the backend, from attach or infer. */
static mm_status wait_for_group(void *ctx, uint32_t group) {
    struct mmi_instance *instance = ctx;
    if (atomic_load_explicit(&instance->arrived, memory_order_acquire) > group) {
        return MM_OK;
    }
    struct mmi_transfer *own = mmi_tls()->transfer;
    if (own && own->instance == instance) {
        return mmi_transfer_until(own, group + 1, NULL);
    }
    struct mmi_residency *res = instance->res;
    mmi_res_lock(res);
    atomic_fetch_add(&instance->awaiting, 1); /* before the look: either it finds the group ... */
    while (atomic_load(&instance->arrived) <= group && instance->arrival_status == MM_OK) {
        mmi_res_wait(res, &instance->arrival, 0);
    }
    atomic_fetch_sub(&instance->awaiting, 1);
    bool there = atomic_load(&instance->arrived) > group;
    mm_status status = there ? MM_OK : instance->arrival_status;
    mmi_res_unlock(res);
    return status;
}

void mmi_transfer_failed(struct mmi_instance *instance, mm_status status) {
    instance->arrival_status = status;
    mmi_cond_broadcast(&instance->arrival);
}

static void arrived(struct mmi_instance *instance, uint32_t groups, uint64_t done_bytes) {
    struct mmi_residency *res = instance->res;
    atomic_store(&instance->done_bytes, done_bytes);
    atomic_store(&instance->arrived, groups);
    if (!atomic_load(&instance->awaiting) && !atomic_load(&res->watched)) {
        return; /* ... or this finds who waits. A lock taken after a copy is held long: what it
                   guards is in no cache any more */
    }
    mmi_res_lock(res);
    mmi_cond_broadcast(&instance->arrival);
    if (instance->model) {
        mmi_waiters_progress(instance->model);
    }
    mmi_res_unlock(res);
}

/* ---- Mapping --------------------------------------------------------------------------------- */

/* *mapped: the region now is the artifact's own pages. */
static mm_status map_artifact(struct mmi_instance *instance, uint64_t bytes, bool *mapped,
                              mm_error *err) {
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
        ops->map_file(instance->dev->device, fd, offset, bytes, &instance->region, err);
    *mapped = status == MM_OK;
    if (*mapped && mmi_artifact_is_temporary(instance->opened->artifact)) {
        instance->holds_artifact = true;
        status = mmi_artifact_hold(instance->opened->artifact, err);
    }
    return status;
}

/* Regions of the host are filled in place. */
static bool is_direct(const struct mmi_transfer *transfer) {
    return transfer->device->ops->window != NULL;
}

static mm_status begin_stream(struct mmi_transfer *transfer, mm_error *err) {
    struct mmi_device *device = transfer->device;
    MMI_TRY(mmi_stream_take(device, &transfer->stream, err));
    return device->ops->begin_load(device, transfer->stream.stream, err);
}

mm_status mmi_transfer_begin(struct mmi_transfer *transfer, struct mmi_instance *instance,
                             mm_error *err) {
    uint64_t total = instance->opened->description.weights_bytes;
    struct mmi_device *device = instance->dev->device;
    *transfer = (struct mmi_transfer){.instance = instance, .device = device, .total = total};
    instance->view = (mm_region){.bytes = total, .ctx = instance, .wait = wait_for_group};
    bool mapped;
    MMI_TRY(map_artifact(instance, total, &mapped, err));
    if (mapped) {
        transfer->at = total;
    } else {
        MMI_TRY(device->ops->map(device, &instance->block, &instance->region, err));
        MMI_TRY(begin_stream(transfer, err));
    }
    instance->view.base = instance->region.base;
    if (transfer->at == total) {
        arrived(instance, UINT32_MAX, total);
    }
    mmi_tls()->transfer = transfer;
    return MM_OK;
}

void mmi_transfer_end(struct mmi_transfer *transfer) {
    struct mmi_device *device = transfer->device;
    struct mmi_stream *stream = transfer->stream.stream;
    if (stream) {
        mmi_stream_give(device, &transfer->stream,
                        device->ops->finish(device, stream, NULL) == MM_OK);
    }
    if (device) {
        for (uint32_t i = 0; i < MMI_PIECES; i++) {
            mmi_staging_give(device, &transfer->pieces[i].staging);
        }
    }
    mmi_tls()->transfer = NULL;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

/* That are whole with the first `at` bytes, where `known` are. */
static uint32_t groups_at(const struct mmi_transfer *transfer, uint64_t at, uint32_t known) {
    const mm_artifact *view = &transfer->instance->opened->view;
    if (at >= transfer->total) {
        return UINT32_MAX;
    }
    while (known < view->group_count && view->group_ends[known] <= at) {
        known++;
    }
    return known;
}

static uint64_t group_end(const struct mmi_transfer *transfer, uint32_t group) {
    const mm_artifact *view = &transfer->instance->opened->view;
    uint64_t end = group < view->group_count ? view->group_ends[group] : transfer->total;
    return mmi_min_u64(end, transfer->total);
}

/* From `at` to where its group ends, or as far as one piece goes. */
static uint64_t piece_bytes(const struct mmi_transfer *transfer, uint64_t at, uint32_t group) {
    return mmi_min_u64(mmi_sub_floor(group_end(transfer, group), at), PIECE_BYTES);
}

/* ---- Moving: the host ------------------------------------------------------------------------ */

static mm_status fill(const struct mmi_transfer *transfer, uint64_t bytes, mm_error *err) {
    struct mmi_instance *instance = transfer->instance;
    const struct mmi_device_ops *ops = transfer->device->ops;
    struct mmi_artifact *artifact = instance->opened->artifact;
    void *window = ops->window(&instance->region, transfer->at, bytes);
    return window ? mmi_artifact_read(artifact, transfer->at, window, bytes, err)
                  : ops->probe(transfer->device, err); /* lost */
}

static mm_status fill_next(struct mmi_transfer *transfer, uint32_t there, mm_error *err) {
    uint64_t bytes = piece_bytes(transfer, transfer->at, there);
    if (bytes > 0) {
        MMI_TRY(fill(transfer, bytes, err));
    }
    transfer->at += bytes;
    return MM_OK;
}

/* ---- Moving: devices ------------------------------------------------------------------------- */

/* Where to copy from: `bytes` at transfer->put, read into staging. */
static mm_status read_piece(struct mmi_transfer *transfer, struct mmi_piece *piece, uint64_t bytes,
                            const void **from, mm_error *err) {
    struct mmi_artifact *artifact = transfer->instance->opened->artifact;
    if (!piece->staging.memory) {
        uint64_t most = mmi_min_u64(PIECE_BYTES, transfer->total);
        MMI_TRY(mmi_staging_take(transfer->device, most, &piece->staging, err));
    }
    *from = piece->staging.memory;
    return mmi_artifact_read(artifact, transfer->put, piece->staging.memory, bytes, err);
}

static mm_status put_piece(struct mmi_transfer *transfer, struct mmi_piece *piece, uint64_t bytes,
                           mm_error *err) {
    struct mmi_device *device = transfer->device;
    struct mmi_stream *stream = transfer->stream.stream;
    const void *from;
    MMI_TRY(read_piece(transfer, piece, bytes, &from, err));
    MMI_TRY(device->ops->copy_in(device, stream, transfer->instance->region.base + transfer->put,
                                 from, bytes, err));
    MMI_TRY(device->ops->record(device, stream, &piece->there, err));
    transfer->put += bytes;
    piece->end = transfer->put;
    transfer->next = (transfer->next + 1) % MMI_PIECES;
    return MM_OK;
}

static mm_status wait_for_piece(struct mmi_transfer *transfer, struct mmi_piece *piece,
                                mm_error *err) {
    MMI_TRY(transfer->device->ops->wait(transfer->device, &piece->there, err));
    transfer->at = piece->end;
    piece->end = 0;
    return MM_OK;
}

/* NULL: none is on its way. */
static struct mmi_piece *oldest_piece(struct mmi_transfer *transfer) {
    for (uint32_t i = 0; i < MMI_PIECES; i++) {
        struct mmi_piece *piece = &transfer->pieces[(transfer->next + i) % MMI_PIECES];
        if (piece->end > 0) {
            return piece;
        }
    }
    return NULL;
}

/* Puts the next piece, or waits for the oldest. Nothing beyond the groups that are wanted is put:
 * when they are there, nothing is on its way, and the region may be unmapped. */
static mm_status copy_next(struct mmi_transfer *transfer, uint32_t there, uint32_t groups,
                           mm_error *err) {
    struct mmi_piece *next = &transfer->pieces[transfer->next];
    uint64_t bytes = 0;
    if (transfer->put < group_end(transfer, groups - 1)) {
        bytes = piece_bytes(transfer, transfer->put, groups_at(transfer, transfer->put, there));
    }
    if (bytes > 0 && next->end == 0) {
        return put_piece(transfer, next, bytes, err);
    }
    struct mmi_piece *oldest = oldest_piece(transfer);
    return oldest ? wait_for_piece(transfer, oldest, err) : MM_OK;
}

/* Whatever comes of it: nothing is on its way any more. */
static void stop_copies(struct mmi_transfer *transfer) {
    (void)transfer->device->ops->finish(transfer->device, transfer->stream.stream, NULL);
    for (uint32_t i = 0; i < MMI_PIECES; i++) {
        transfer->pieces[i].end = 0;
    }
    transfer->put = transfer->at;
}

mm_status mmi_transfer_until(struct mmi_transfer *transfer, uint32_t groups, mm_error *err) {
    struct mmi_instance *instance = transfer->instance;
    uint32_t there;
    while ((there = atomic_load(&instance->arrived)) < groups) {
        mm_status status = atomic_load(&instance->cancelled)
                               ? mmi_fail(err, MM_CANCELLED, "the load was cancelled")
                           : is_direct(transfer) ? fill_next(transfer, there, err)
                                                 : copy_next(transfer, there, groups, err);
        if (status != MM_OK) {
            stop_copies(transfer);
            return status;
        }
        uint32_t now_there = groups_at(transfer, transfer->at, there);
        if (now_there > there || transfer->at > atomic_load(&instance->done_bytes)) {
            arrived(instance, now_there, transfer->at);
        }
    }
    return MM_OK;
}
