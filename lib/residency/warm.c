/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures that spec.warm_up names are made with the load, so that no request is slowed down. */
#include <residency/core.h>

#include <catalog/warm.h>

void mmi_warm_up(struct mmi_residency *res, const struct mmi_instance *instance) {
    struct mmi_opened *opened = instance->opened;
    const char *at = instance->version->spec->warm_up;
    size_t count = opened->description.input_count;
    if (!at) {
        return;
    }
    mm_error error;
    mm_status status = MM_OK;
    mm_value *inputs = mmi_alloc(&res->env->alloc, count + 1, sizeof(*inputs));
    while (inputs && mmi_warm_next(&at, &opened->description, inputs, &status, &error)) {
        struct mmi_signature *signature;
        if (status == MM_OK) {
            status = mmi_signature_get(res, opened, inputs, &signature, &error);
        }
        if (status == MM_OK) {
            mmi_signature_done(opened->signatures, signature, mmi_ticks(&res->env->clock));
        } else { /* the load is good all the same */
            mmi_log(&res->env->log, MM_LOG_WARNING, "warm_up: %s", error.text);
        }
    }
    mmi_free(&res->env->alloc, inputs, (count + 1) * sizeof(*inputs));
}
