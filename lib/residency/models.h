/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_MODELS_H
#define MMI_RESIDENCY_MODELS_H

/* What is registered: come, changed, gone. No lock. */

#include <residency/state.h>

struct mmi_registration {
    const char *name;
    struct mmi_spec spec;
    struct mmi_settings settings;
    bool preload;
};

mm_status mmi_model_register(struct mmi_residency *res, const struct mmi_registration *registration,
                             uint64_t *id, mm_error *err);
mm_status mmi_model_unregister(struct mmi_residency *res, uint64_t id, mm_error *err);
mm_status mmi_model_set(struct mmi_residency *res, uint64_t id, const bool *pinned,
                        const uint32_t *evict_class); /* NULL = leave */
/* A model's settings and spec, for an update that changes only some of it. The spec is held: give
 * it back with mmi_model_spec_drop. */
struct mmi_version *mmi_model_hold_version(struct mmi_residency *res, uint64_t id,
                                           struct mmi_settings *settings);
void mmi_model_drop_version(struct mmi_residency *res, struct mmi_version *version);

#endif
