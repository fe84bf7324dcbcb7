/* SPDX-License-Identifier: Apache-2.0 */
/* One run of a resident model: signature, scratch, outputs, backend. */
#include <residency/scratch.h>

#include <base/checked.h>

#include <string.h>

struct run {
    mm_exec exec; /* first: the backend's view of this run */
    struct mmi_residency *res;
    struct mmi_scratch scratch;
    const struct mmi_work *work;
    bool lost; /* scratch_more gave nothing because the device is gone */
};

static void *run_scratch_more(mm_exec *exec, uint64_t bytes) {
    struct run *run = (struct run *)exec;
    void *more = mmi_scratch_more(run->res, &run->scratch, bytes);
    run->lost |= !more && atomic_load(&run->scratch.dev->device->lost);
    return more;
}

static void *run_output(mm_exec *exec, uint32_t index, uint64_t bytes) {
    struct run *run = (struct run *)exec;
    return run->work->outputs->output(run->work->outputs->ctx, index, bytes);
}

static void *run_part(mm_exec *exec, uint64_t bytes) {
    struct run *run = (struct run *)exec;
    return run->work->outputs->part(run->work->outputs->ctx, bytes);
}

/* ---- Signatures ----------------------------------------------------------------------------- */

mm_status mmi_signature_get(struct mmi_residency *res, struct mmi_opened *opened,
                            const mm_value *inputs, struct mmi_signature **signature,
                            mm_error *err) {
    struct mmi_signatures *signatures = opened->signatures;
    *signature = mmi_signature_find(signatures, inputs);
    if (*signature) {
        return MM_OK;
    }
    MMI_TRY(mmi_signature_make(signatures, inputs, signature, err));
    mmi_res_lock(res);
    struct mmi_signature *shell = mmi_signature_share(signatures, signature);
    mmi_res_unlock(res);
    if (shell) {
        mmi_signature_destroy(signatures, shell);
    }
    return MM_OK;
}

mm_status mmi_signature_sizes(struct mmi_residency *res, struct mmi_opened *opened,
                              const mm_value *inputs, mm_value *values, uint8_t *exactness,
                              mm_error *err) {
    struct mmi_signature *signature;
    MMI_TRY(mmi_signature_get(res, opened, inputs, &signature, err));
    uint32_t count = opened->description.output_count;
    if (count > 0) {
        memcpy(values, signature->size.outputs, count * sizeof(*values));
        memcpy(exactness, signature->size.exactness, count);
    }
    mmi_signature_done(opened->signatures, signature, mmi_ticks(&res->env->clock));
    return MM_OK;
}

mm_status mmi_signature_expect(struct mmi_residency *res, struct mmi_opened *opened,
                               const mm_value *inputs, mm_error *err) {
    struct mmi_signature *signature;
    MMI_TRY(mmi_signature_get(res, opened, inputs, &signature, err));
    mmi_res_lock(res);
    struct mmi_version *version = opened->version;
    uint64_t need = signature->size.activation_bytes;
    if (!version->activation_measured) {
        version->activation_bytes =
            version->activation_expected ? mmi_max_u64(version->activation_bytes, need) : need;
        version->activation_expected = true;
    }
    mmi_res_unlock(res);
    mmi_signature_done(opened->signatures, signature, mmi_ticks(&res->env->clock));
    return MM_OK;
}

/* ---- Runs ----------------------------------------------------------------------------------- */

/* From now on the reserve covers this run's high-water mark. */
static void measured(struct mmi_residency *res, struct mmi_instance *instance, uint64_t bytes) {
    bool known = atomic_load_explicit(&instance->measured, memory_order_relaxed);
    if (known && bytes <= atomic_load_explicit(&instance->activation_bytes, memory_order_relaxed)) {
        return;
    }
    mmi_res_lock(res);
    struct mmi_version *version = instance->version;
    uint64_t mark =
        version->activation_measured ? mmi_max_u64(version->activation_bytes, bytes) : bytes;
    version->activation_bytes = mark;
    version->activation_measured = true;
    atomic_store(&instance->activation_bytes, mark);
    atomic_store(&instance->measured, true);
    mmi_res_unlock(res);
}

static mm_status call_backend(struct run *run, struct mmi_instance *instance, mm_error *err) {
    const mm_backend *table = instance->opened->backend->table;
    struct mmi_tls *tls = mmi_tls();
    struct mmi_frame frame = {.outer = tls->frame,
                              .res = run->res,
                              .model_id = atomic_load(&instance->model_id),
                              .nested = table->flags & MM_BACKEND_NESTED};
    tls->frame = &frame;
    mm_error local;
    mm_status status = table->infer(instance->state, &run->exec, run->work->inputs,
                                    run->work->values, err ? err : &local);
    tls->frame = frame.outer;
    if (status != MM_OK && run->lost) { /* whatever status the backend returned */
        return mmi_fail(err, MM_DEVICE_LOST, "device %s was lost", instance->dev->device->name);
    }
    return status;
}

static mm_status run_signature(struct run *run, struct mmi_instance *instance,
                               const struct mmi_signature *signature, mm_error *err) {
    const struct mmi_outputs *outputs = run->work->outputs;
    const mm_size *size = &signature->size;
    MMI_TRY(
        outputs->begin(outputs->ctx, &instance->opened->description, size, run->work->values, err));
    MMI_TRY(mmi_scratch_get(run->res, &run->scratch, size->activation_bytes, run->work->deadline_ns,
                            err));
    run->exec.signature = signature->state;
    run->exec.scratch = run->scratch.slot ? run->scratch.slot->region.base : NULL;
    run->exec.scratch_bytes = run->scratch.slot ? run->scratch.slot->region.bytes : 0;
    mm_status status = call_backend(run, instance, err);
    uint64_t used = mmi_add_cap(size->activation_bytes, run->scratch.more_bytes);
    mmi_scratch_give(run->res, &run->scratch);
    if (status == MM_OK) {
        measured(run->res, instance, used);
    }
    return status;
}

mm_status mmi_execute(struct mmi_residency *res, struct mmi_admission *admission,
                      const struct mmi_work *work, mm_error *err) {
    struct mmi_instance *instance = admission->instance;
    struct mmi_opened *opened = instance->opened;
    struct mmi_signature *signature;
    mm_status status = mmi_signature_get(res, opened, work->inputs, &signature, err);
    if (status == MM_OK) {
        struct run run = {
            .exec = {.scratch_more = run_scratch_more,
                     .output = run_output,
                     .output_part = run_part},
            .res = res,
            .scratch = {.dev = instance->dev, .instance = instance, .no_wait = work->no_wait},
            .work = work};
        status = run_signature(&run, instance, signature, err);
        mmi_signature_done(opened->signatures, signature, mmi_ticks(&res->env->clock));
    }
    if (status == MM_DEVICE_LOST) {
        mmi_res_lock(res);
        mmi_device_lost(res, instance->dev);
        mmi_res_unlock(res);
    }
    return status;
}
