/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/signatures.h>

#include <residency/builds.h>
#include <residency/decisions.h>
#include <residency/frame.h>
#include <residency/lock.h>

#include <base/checked.h>
#include <base/status.h>
#include <catalog/warm.h>

#include <string.h>

mm_status mmi_signature_get(struct mmi_residency *res, struct mmi_opened *opened, int32_t kind,
                            const mm_value *inputs, struct mmi_signature **signature,
                            mm_error *err) {
    struct mmi_signatures *signatures = mmi_signatures_of(opened, kind);
    *signature = mmi_signature_find(signatures, inputs);
    if (*signature) {
        return MM_OK;
    }
    struct mmi_frame frame;
    mmi_frame_enter(&frame, res, 0, MMI_FRAME_SLOT);
    mm_status status = mmi_signature_make(signatures, inputs, signature, err);
    mmi_frame_leave(&frame);
    MMI_TRY(status);
    mmi_res_lock(res);
    struct mmi_signature *shell = mmi_signature_share(signatures, signature);
    mmi_res_unlock(res);
    if (shell) {
        mmi_signature_destroy(signatures, shell);
    }
    return MM_OK;
}

int32_t mmi_signatures_kind(const struct mmi_residency *res, const struct mmi_opened *opened) {
    int32_t any = MM_DEVICE_HOST;
    for (size_t i = res->device_count; i-- > 0;) {
        int32_t kind = res->devices[i].device->pub.kind;
        any = mmi_signatures_of(opened, kind) ? kind : any;
    }
    return any;
}

static void done(const struct mmi_residency *res, struct mmi_opened *opened, int32_t kind,
                 struct mmi_signature *signature) {
    mmi_signature_done(mmi_signatures_of(opened, kind), signature, mmi_ticks(&res->env->clock));
}

mm_status mmi_signature_sizes(struct mmi_residency *res, struct mmi_opened *opened,
                              const mm_value *inputs, mm_value *values, uint8_t *exactness,
                              mm_error *err) {
    int32_t kind = mmi_signatures_kind(res, opened);
    struct mmi_signature *signature;
    MMI_TRY(mmi_signature_get(res, opened, kind, inputs, &signature, err));
    uint32_t count = opened->description.output_count;
    if (count > 0) {
        memcpy(values, signature->size.outputs, count * sizeof(*values));
        memcpy(exactness, signature->size.exactness, count);
    }
    done(res, opened, kind, signature);
    return MM_OK;
}

/* The device that has most for this model; NULL = none is left. */
static const struct mmi_devstate *largest_device(const struct mmi_residency *res,
                                                 const struct mmi_version *version) {
    const struct mmi_devstate *largest = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < res->device_count; i++) {
        const struct mmi_device *device = res->devices[i].device;
        const char *wanted = version->spec->device;
        uint64_t capacity = mmi_arena_capacity(device->arena);
        bool fits = !atomic_load(&device->lost) && (!wanted || strcmp(wanted, device->name) == 0);
        if (fits && capacity > most) {
            most = capacity;
            largest = &res->devices[i];
        }
    }
    return largest;
}

/* A request for which there is no room on any device is refused before its model is loaded, and
 * says nothing about the next one. */
static mm_status check_room(const struct mmi_residency *res, const struct mmi_build *build,
                            uint64_t need, mm_error *err) {
    const struct mmi_devstate *dev = largest_device(res, build->version);
    uint64_t weights = mmi_build_bytes(build);
    if (!dev || need == 0) {
        return MM_OK; /* the load says it */
    }
    const struct mmi_device *device = dev->device;
    bool fits = mmi_device_rounded(device, weights, need) <= mmi_arena_capacity(device->arena);
    return fits ? MM_OK : mmi_fail_too_large(device, weights, need, err);
}

static void refuse(struct mmi_residency *res, uint64_t model_id, mm_status status) {
    const struct mmi_model *model = mmi_catalog_get(&res->catalog, model_id);
    if (model) {
        mmi_decided(res, MMI_EVENT_REFUSE, mmi_model_name(model),
                    &(struct mmi_event){.status = status}, NULL);
        mmi_count(&res->counters, MMI_COUNT_REFUSALS, 1);
    }
}

mm_status mmi_signature_expect(struct mmi_residency *res, uint64_t model_id,
                               struct mmi_opened *opened, const mm_value *inputs, mm_error *err) {
    int32_t kind = mmi_signatures_kind(res, opened);
    struct mmi_signature *signature;
    MMI_TRY(mmi_signature_get(res, opened, kind, inputs, &signature, err));
    uint64_t need = signature->size.activation_bytes;
    mmi_res_lock(res);
    struct mmi_build *build = opened->build;
    mm_status status = check_room(res, build, need, err);
    if (status == MM_OK && !build->activation_measured) {
        build->activation_bytes =
            build->activation_expected ? mmi_max_u64(build->activation_bytes, need) : need;
        build->activation_expected = true;
    }
    if (status != MM_OK) {
        refuse(res, model_id, status);
    }
    mmi_res_unlock(res);
    done(res, opened, kind, signature);
    return status;
}

void mmi_signatures_warm(struct mmi_instance *instance) {
    struct mmi_residency *res = instance->res;
    struct mmi_opened *opened = instance->opened;
    const char *at = instance->version->spec->warm_up;
    size_t count = opened->description.input_count;
    int32_t kind = instance->dev->device->pub.kind;
    if (!at) {
        return;
    }
    mm_error error;
    mm_status status = MM_OK;
    mm_value *inputs = mmi_alloc(&res->env->alloc, count + 1, sizeof(*inputs));
    while (inputs && mmi_warm_next(&at, &opened->description, inputs, &status, &error)) {
        struct mmi_signature *signature;
        if (status == MM_OK) {
            status = mmi_signature_get(res, opened, kind, inputs, &signature, &error);
        }
        if (status == MM_OK) {
            done(res, opened, kind, signature);
        } else { /* the load is good all the same */
            mmi_log(&res->env->log, MM_LOG_WARNING, "warm_up: %s", error.text);
        }
    }
    mmi_free(&res->env->alloc, inputs, (count + 1) * sizeof(*inputs));
}
