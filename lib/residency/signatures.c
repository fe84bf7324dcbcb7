/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/signatures.h>

#include <residency/lock.h>

#include <base/checked.h>
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
    MMI_TRY(mmi_signature_make(signatures, inputs, signature, err));
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

mm_status mmi_signature_expect(struct mmi_residency *res, struct mmi_opened *opened,
                               const mm_value *inputs, mm_error *err) {
    int32_t kind = mmi_signatures_kind(res, opened);
    struct mmi_signature *signature;
    MMI_TRY(mmi_signature_get(res, opened, kind, inputs, &signature, err));
    uint64_t need = signature->size.activation_bytes;
    mmi_res_lock(res);
    struct mmi_build *build = opened->build;
    if (!build->activation_measured) {
        build->activation_bytes =
            build->activation_expected ? mmi_max_u64(build->activation_bytes, need) : need;
        build->activation_expected = true;
    }
    mmi_res_unlock(res);
    done(res, opened, kind, signature);
    return MM_OK;
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
