/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/execute.h>

#include <residency/cleanup.h>
#include <residency/devices.h>
#include <residency/frame.h>
#include <residency/lock.h>
#include <residency/scratch.h>
#include <residency/scratch_claims.h>
#include <residency/signatures.h>
#include <residency/waiters.h>

#include <base/checked.h>
#include <device/kept.h>
#include <plugin/status.h>

struct run {
    mm_exec exec; /* first: the backend's view of this run */
    struct mmi_residency *res;
    struct mmi_instance *instance; /* leased */
    const struct mmi_work *work;
    struct mmi_exec_slot *slot; /* NULL: no scratch was needed */
    struct mmi_kept_stream stream;
    struct mmi_scratch_more *more;
    uint64_t more_bytes;          /* asked for beyond activation_bytes */
    uint64_t spare_at, spare_end; /* in the slot: room for that, ... */
    uint64_t spare_used;          /* ... and what is taken of it */
    mm_status stopped;            /* why it was asked to end; MM_OK = it was not */
    bool lost;                    /* scratch_more gave nothing because the device is gone */
};

/* Said once, here: backends, devices and values do not know the model's name. */
static mm_status named(const struct run *run, mm_status status, mm_error *err) {
    if (status != MM_OK) {
        mmi_error_prefix(err, "model %s", run->instance->label);
    }
    return status;
}

/* ---- Scratch --------------------------------------------------------------------------------- */

/* A run that waits for scratch. */
struct waiting_run {
    struct mmi_scratch_claim claim;
    struct mmi_blocked blocked;
    bool done;
};

/* However it ends. It is no claim any more, and does not hold up others. */
static void wait_ended(struct mmi_waiter *waiter) {
    struct waiting_run *waiting = MMI_CONTAINER(waiter, struct waiting_run, claim.waiter);
    struct mmi_residency *res = waiter->instance->res;
    mmi_claim_drop(res, &waiting->claim.claim);
    mmi_timer_forget(&res->timers, &waiting->claim.claim.timer);
    waiter->instance->stalled--;
    waiting->done = true;
    mmi_cond_signal(&waiting->blocked.wake);
}

static mm_status check_wait(struct run *run, mm_error *err) {
    const struct mmi_cancel *cancel = run->work->request->cancel;
    const char *name = run->instance->label;
    if (atomic_load(&run->res->closed)) {
        return mmi_fail(err, MM_CLOSED, "model %s: the mesh is closed", name);
    }
    if (cancel && atomic_load(&cancel->cancelled)) {
        return mmi_fail(err, MM_CANCELLED, "model %s: cancelled", name);
    }
    if (!run->instance->model) { /* who waits when it is unregistered is told so, too */
        return mmi_fail(err, MM_UNREGISTERED, "model %s: unregistered", name);
    }
    return MM_OK;
}

/* Locked. */
static mm_status wait_for_scratch(struct run *run, struct waiting_run *waiting, mm_error *err) {
    struct mmi_residency *res = run->res;
    struct mmi_instance *instance = run->instance;
    const struct mmi_request *request = run->work->request;
    MMI_TRY(check_wait(run, err));
    waiting->done = false;
    struct mmi_claim *claim = &waiting->claim.claim;
    struct mmi_waiter *waiter = &waiting->claim.waiter;
    *waiter = (struct mmi_waiter){.kind = MMI_WAIT_SCRATCH,
                                  .model = instance->model,
                                  .instance = instance,
                                  .priority = request->priority,
                                  .ended = wait_ended,
                                  .blocked = &waiting->blocked};
    mmi_list_init(&waiting->blocked.node);
    if (!mmi_timer_promise(&res->timers)) {
        return mmi_fail(err, MM_NO_MEMORY, "model %s: out of memory", instance->label);
    }
    mm_status status = mmi_waiter_add(res, waiter, &res->stalled, request->deadline_ns, err);
    if (status != MM_OK) {
        res->timers.promised--;
        return status;
    }
    mmi_cond_init(&waiting->blocked.wake, res->env);
    claim->priority = request->priority;
    claim->sequence = claim->sequence ? claim->sequence : ++res->sequence; /* its place stays */
    mmi_claim_add(&res->runs, claim);
    instance->stalled++;
    mmi_mark_memory(res);
    if (request->cancel) {
        request->cancel->waiter = waiter;
    }
    mmi_block(res, &waiting->blocked, &waiting->done);
    if (request->cancel) {
        request->cancel->waiter = NULL;
    }
    mmi_cond_fini(&waiting->blocked.wake);
    return waiter->status == MM_OK ? MM_OK : mmi_error_copy(err, &waiter->error);
}

/* Locked. */
static mm_status get_claim(struct run *run, struct waiting_run *waiting, mm_error *err) {
    struct mmi_residency *res = run->res;
    const struct mmi_request *request = run->work->request;
    /* From inside a run nobody may be waited for: they may wait for this one. */
    bool waits = !request->no_wait && !request->nested;
    bool first = mmi_list_empty(&res->runs) || request->nested;
    enum mmi_verdict verdict = MMI_PLAN_WAIT;
    waiting->claim.at_once = !waits;
    if (first && mmi_scratch_claim_now(res, &waiting->claim, &verdict)) {
        return MM_OK;
    }
    if (waits) {
        return wait_for_scratch(run, waiting, err);
    }
    return mmi_scratch_later(verdict)
               ? mmi_fail(err, MM_BUSY, "model %s: others hold the scratch that it needs",
                          run->instance->label)
               : mmi_scratch_refusal(&waiting->claim, err);
}

static void give_slot(struct run *run, struct mmi_exec_slot *slot) {
    if (mmi_scratch_give(run->instance->dev, slot)) {
        mmi_res_lock(run->res);
        mmi_mark_memory(run->res);
        mmi_res_unlock(run->res);
    }
}

/* Granted, and its victims detached. */
static mm_status get_granted(struct run *run, struct waiting_run *waiting, mm_error *err) {
    struct mmi_residency *res = run->res;
    bool taken = false;
    mm_status status = MM_OK;
    while (status == MM_OK && !taken) { /* the budget may have shrunk meanwhile */
        mmi_res_lock(res);
        status = get_claim(run, waiting, err);
        mmi_res_unlock(res);
        mmi_detach_victims(res, &waiting->claim.claim.victims);
        if (status == MM_OK) {
            mmi_res_lock(res);
            taken = mmi_scratch_claim_take(res, &waiting->claim);
            mmi_res_unlock(res);
        }
    }
    return status;
}

static mm_status get_slow(struct run *run, uint64_t bytes, mm_error *err) {
    struct mmi_residency *res = run->res;
    struct mmi_device *device = run->instance->dev->device;
    struct waiting_run waiting = {.claim = {.dev = run->instance->dev,
                                            .instance = run->instance,
                                            .bytes = bytes,
                                            .begins = !run->work->request->nested,
                                            .slot_wanted = true}};
    mmi_list_init(&waiting.claim.claim.node);
    mmi_list_init(&waiting.claim.claim.victims);
    mm_status status = get_granted(run, &waiting, err);
    struct mmi_exec_slot *slot = waiting.claim.slot;
    if (slot) {
        device->ops->unmap(&slot->region); /* what was too small */
    }
    if (status == MM_OK) {
        status = named(run, device->ops->map(device, &slot->block, &slot->region, err), err);
    }
    if (status == MM_OK) {
        atomic_store(&slot->bytes, slot->region.bytes);
        run->slot = slot;
        return MM_OK;
    }
    if (slot) {
        mmi_res_lock(res);
        mmi_scratch_discharge(run->instance->dev, &slot->block);
        atomic_store(&slot->busy, 0);
        mmi_mark_memory(res);
        mmi_res_unlock(res);
    }
    return status;
}

/* An idle slot, but not past runs that wait; a nested run holds up others until it ends. */
static struct mmi_exec_slot *take_idle(struct run *run, struct mmi_devstate *dev, uint64_t bytes) {
    if (run->work->request->nested || !atomic_load(&dev->scratch_wanted)) {
        return mmi_scratch_take(dev, bytes);
    }
    mmi_res_lock(run->res);
    bool first = mmi_list_empty(&run->res->runs) && dev->scratch_bytes <= dev->scratch_cap;
    struct mmi_exec_slot *slot = first ? mmi_scratch_take(dev, bytes) : NULL;
    mmi_res_unlock(run->res);
    return slot;
}

#define ALIGN UINT64_C(256) /* of scratch */

static uint64_t aligned(uint64_t bytes) {
    return mmi_add_cap(bytes, ALIGN - 1) & ~(ALIGN - 1);
}

/* What this run is going to ask for beyond activation_bytes: where earlier runs of the signature
 * did, room for the outputs that are not wanted. */
static uint64_t expect_more(const struct run *run, const struct mmi_signature *signature) {
    uint64_t most = atomic_load_explicit(&signature->more_bytes, memory_order_relaxed);
    const mm_size *size = &signature->size;
    uint64_t bytes = 0;
    uint32_t count = most > 0 ? run->instance->opened->description.output_count : 0;
    for (uint32_t i = 0; i < count; i++) {
        if (run->work->values[i].flags & MM_VALUE_UNWANTED && size->exactness[i] == MM_SIZE_EXACT) {
            bytes = mmi_add_cap(bytes, aligned(size->outputs[i].bytes));
        }
    }
    return bytes < most ? bytes : most;
}

/* The most of any run so far. */
static void note_more(const struct run *run, struct mmi_signature *signature) {
    uint64_t bytes = run->spare_used;
    for (const struct mmi_scratch_more *more = run->more; more; more = more->next) {
        bytes = mmi_add_cap(bytes, aligned(more->block.bytes));
    }
    uint64_t most = atomic_load_explicit(&signature->more_bytes, memory_order_relaxed);
    while (most < bytes && !atomic_compare_exchange_weak(&signature->more_bytes, &most, bytes)) {}
}

static mm_status get_scratch(struct run *run, const struct mmi_signature *signature,
                             mm_error *err) {
    uint64_t bytes = signature->size.activation_bytes;
    uint64_t more = expect_more(run, signature);
    if (more > 0) {
        run->spare_at = aligned(bytes);
        run->spare_end = mmi_add_cap(run->spare_at, more);
        bytes = run->spare_end;
    }
    if (bytes > 0) {
        struct mmi_devstate *dev = run->instance->dev;
        run->slot = take_idle(run, dev, bytes);
        if (!run->slot) {
            MMI_TRY(get_slow(run, bytes, err));
        }
        run->exec.scratch = run->slot->region.base;
        run->exec.scratch_bytes = more > 0 ? run->spare_at : run->slot->region.bytes;
    }
    return MM_OK;
}

static void drop_more(struct run *run, struct mmi_scratch_more *more) {
    struct mmi_residency *res = run->res;
    mmi_res_lock(res);
    mmi_list_remove(&more->node);
    mmi_scratch_discharge(run->instance->dev, &more->block);
    mmi_mark_memory(res);
    mmi_res_unlock(res);
    mmi_free(&res->env->alloc, more, sizeof(*more));
}

static void give_scratch(struct run *run, struct mmi_signature *signature) {
    if (run->more) {
        note_more(run, signature);
    }
    while (run->more) {
        struct mmi_scratch_more *more = run->more;
        run->more = more->next;
        run->instance->dev->device->ops->unmap(&more->region);
        drop_more(run, more);
    }
    if (run->slot) {
        give_slot(run, run->slot);
    }
}

/* Memory for it, without waiting for others. */
static bool claim_more(struct run *run, struct mmi_scratch_more *more, uint64_t bytes) {
    struct mmi_residency *res = run->res;
    struct mmi_devstate *dev = run->instance->dev;
    struct mmi_scratch_claim claim = {.dev = dev,
                                      .instance = run->instance,
                                      .bytes = bytes,
                                      .at_once = true,
                                      .block = &more->block};
    mmi_list_init(&claim.claim.node);
    mmi_list_init(&claim.claim.victims);
    enum mmi_verdict verdict;
    mmi_res_lock(res);
    mmi_list_push_back(&dev->more, &more->node);
    bool got = mmi_scratch_claim_now(res, &claim, &verdict);
    mmi_res_unlock(res);
    if (mmi_list_empty(&claim.claim.victims)) {
        return got;
    }
    mmi_detach_victims(res, &claim.claim.victims);
    mmi_res_lock(res);
    got = mmi_scratch_claim_take(res, &claim);
    mmi_res_unlock(res);
    return got;
}

/* NULL = it is not in the slot. */
static void *take_spare(struct run *run, uint64_t bytes) {
    uint64_t at = run->spare_at + run->spare_used;
    if (bytes == 0 || bytes > run->spare_end - at) {
        return NULL;
    }
    run->spare_used += aligned(bytes);
    run->more_bytes = mmi_add_cap(run->more_bytes, bytes);
    return (uint8_t *)run->exec.scratch + at;
}

/* Memory of its own; NULL = no room. */
static void *take_more(struct run *run, uint64_t bytes) {
    struct mmi_device *device = run->instance->dev->device;
    struct mmi_scratch_more *more =
        bytes ? mmi_alloc(&run->res->env->alloc, 1, sizeof(*more)) : NULL;
    if (!more) {
        return NULL;
    }
    if (!claim_more(run, more, bytes) ||
        device->ops->map(device, &more->block, &more->region, NULL) != MM_OK) {
        drop_more(run, more);
        return NULL;
    }
    more->next = run->more;
    run->more = more;
    run->more_bytes = mmi_add_cap(run->more_bytes, bytes);
    return more->region.base;
}

/* ---- What the backend may call --------------------------------------------------------------- */

static void *run_scratch_more(mm_exec *exec, uint64_t bytes) {
    struct run *run = (struct run *)exec;
    void *more = take_spare(run, bytes);
    if (!more) {
        more = take_more(run, bytes);
    }
    run->lost |= !more && atomic_load(&run->instance->dev->device->lost);
    return more;
}

static void *run_output(mm_exec *exec, uint32_t index, uint64_t bytes) {
    const struct mmi_outputs *outputs = ((struct run *)exec)->work->outputs;
    return outputs->output(outputs->ctx, index, bytes);
}

static void *run_part(mm_exec *exec, uint64_t bytes) {
    const struct mmi_outputs *outputs = ((struct run *)exec)->work->outputs;
    return outputs->part(outputs->ctx, bytes);
}

static bool run_stopped(mm_exec *exec) {
    struct run *run = (struct run *)exec;
    const struct mmi_work *work = run->work;
    uint64_t deadline_ns = work->request->deadline_ns;
    if (atomic_load_explicit(&run->res->stopping, memory_order_relaxed)) {
        run->stopped = MM_CLOSED;
    } else if (work->request->cancel &&
               atomic_load_explicit(&work->request->cancel->cancelled, memory_order_relaxed)) {
        run->stopped = MM_CANCELLED;
    } else if (deadline_ns && mmi_res_now(run->res) >= deadline_ns) {
        run->stopped = MM_DEADLINE;
    }
    return run->stopped != MM_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The high-water mark of one run counts for the reserve from now on. */
static void measure(struct run *run, uint64_t bytes) {
    struct mmi_instance *instance = run->instance;
    bool known = atomic_load_explicit(&instance->measured, memory_order_relaxed);
    if (known && bytes <= atomic_load_explicit(&instance->activation_bytes, memory_order_relaxed)) {
        return;
    }
    mmi_res_lock(run->res);
    struct mmi_build *build = instance->build;
    uint64_t mark =
        build->activation_measured ? mmi_max_u64(build->activation_bytes, bytes) : bytes;
    build->activation_bytes = mark;
    build->activation_measured = true;
    mmi_fit_activation(instance, mark);
    atomic_store(&instance->measured, true);
    mmi_mark_memory(run->res); /* the reserve may have become smaller */
    mmi_res_unlock(run->res);
}

static mm_status explain_stop(const struct run *run, mm_error *err) {
    static const char *const texts[] = {"the mesh stops", "cancelled", "the deadline passed"};
    int which = run->stopped == MM_CLOSED ? 0 : run->stopped == MM_CANCELLED ? 1 : 2;
    return mmi_fail(err, run->stopped, "%s while it ran", texts[which]);
}

static mm_status call_backend(struct run *run, mm_error *err) {
    struct mmi_instance *instance = run->instance;
    const struct mmi_backend *backend = instance->opened->backend;
    struct mmi_frame frame;
    mmi_frame_enter(&frame, run->res, atomic_load(&instance->model_id),
                    backend->table->flags & MM_BACKEND_NESTED ? MMI_FRAME_NESTED_RUN
                                                              : MMI_FRAME_RUN);
    mm_error told;
    mmi_error_clear(&told);
    mm_status status = backend->table->infer(instance->state, &run->exec, run->work->inputs,
                                             run->work->values, &told);
    mmi_frame_leave(&frame);
    if (status == MM_OK) {
        return MM_OK;
    }
    if (run->stopped != MM_OK) {
        return explain_stop(run, err);
    }
    if (run->lost) { /* whatever the backend made of it */
        return mmi_fail(err, MM_DEVICE_LOST, "device %s was lost", instance->dev->device->name);
    }
    if (status == MM_CANCELLED && !atomic_load(&instance->cancelled)) { /* nor was the load */
        return mmi_fail(err, MM_BACKEND_FAILED,
                        "the backend says that the run was cancelled, which it was not");
    }
    mmi_slot_status(backend, MMI_SLOT_INFER, status, &told);
    return mmi_error_copy(err, &told);
}

static mm_status check_order(const struct run *run, const mm_value *value, enum mmi_access access,
                             mm_error *err) {
    struct mmi_device *device = run->instance->dev->device;
    bool there = value->flags & MM_VALUE_LOCATION && value->data;
    return there ? device->ops->access(device, run->exec.stream, value->data, value->bytes, access,
                                       err)
                 : MM_OK;
}

/* What the caller got wrong about values on the device, where that can be known, before a backend
 * gets it wrong too: the order, and what is no memory of the device. */
static mm_status check_values(const struct run *run, mm_error *err) {
    const mm_description *description = &run->instance->opened->description;
    for (uint32_t i = 0; i < description->input_count; i++) {
        MMI_TRY(check_order(run, &run->work->inputs[i], MMI_ACCESS_READ, err));
    }
    for (uint32_t i = 0; i < description->output_count; i++) {
        MMI_TRY(check_order(run, &run->work->values[i], MMI_ACCESS_WRITE, err));
    }
    return MM_OK;
}

/* On the caller's stream or one of its own, with nothing on it when the scratch becomes somebody
 * else's. */
static mm_status call_on_stream(struct run *run, mm_error *err) {
    struct mmi_device *device = run->instance->dev->device;
    struct mmi_stream *stream = run->work->stream;
    if (!stream) {
        MMI_TRY(mmi_stream_take(device, &run->stream, err));
        stream = run->stream.stream;
    }
    run->exec.stream = stream;
    mm_status status = stream ? check_values(run, err) : MM_OK;
    if (status == MM_OK) {
        status = call_backend(run, err);
    }
    if (stream) {
        mm_status end = device->ops->finish(device, stream, status == MM_OK ? err : NULL);
        mmi_stream_give(device, &run->stream, end == MM_OK);
        status = status == MM_OK ? end : status;
    }
    return status;
}

static mm_status run_signature(struct run *run, struct mmi_signature *signature, mm_error *err) {
    const struct mmi_outputs *outputs = run->work->outputs;
    const mm_size *size = &signature->size;
    mm_status status = outputs->begin(outputs->ctx, &run->instance->opened->description, size,
                                      run->work->values, err);
    MMI_TRY(named(run, status, err));
    struct mmi_devstate *dev = run->instance->dev;
    MMI_TRY(mmi_device_claim(run->res, dev, get_scratch(run, signature, err), err));
    run->exec.signature = signature->state;
    status = named(run, mmi_device_claim(run->res, dev, call_on_stream(run, err), err), err);
    if (status == MM_OK && !mmi_signature_kept(signature, run->work->values,
                                               run->instance->opened->description.output_count)) {
        mmi_fail(err, MM_BACKEND_FAILED, "infer made other outputs than size had said");
        status = named(run, MM_BACKEND_FAILED, err);
    }
    uint64_t used = mmi_add_cap(size->activation_bytes, run->more_bytes);
    give_scratch(run, signature);
    if (status == MM_OK) {
        measure(run, used);
    }
    return status;
}

mm_status mmi_execute(struct mmi_residency *res, struct mmi_admission *admission,
                      const struct mmi_work *work, mm_error *err) {
    struct mmi_instance *instance = admission->instance;
    struct mmi_opened *opened = instance->opened;
    int32_t kind = instance->dev->device->pub.kind;
    struct run run = {.exec = {.scratch_more = run_scratch_more,
                               .output = run_output,
                               .output_part = run_part,
                               .stopped = run_stopped,
                               .device = &instance->dev->device->pub},
                      .res = res,
                      .instance = instance,
                      .work = work};
    struct mmi_signature *signature;
    mm_status status = mmi_signature_get(res, opened, kind, work->inputs, &signature, err);
    MMI_TRY(named(&run, status, err));
    status = run_signature(&run, signature, err);
    mmi_signature_done(mmi_signatures_of(opened, kind), signature, mmi_ticks(&res->env->clock));
    return status;
}
