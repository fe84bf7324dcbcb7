/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_SIGNATURES_H
#define MMI_RESIDENCY_SIGNATURES_H

/* Signatures of a description: found, made, shared. No lock. */

#include <residency/state.h>

/* For devices of a kind; held; made by the backend if it is new. Give it back with
 * mmi_signature_done(mmi_signatures_of(opened, kind), ...). */
mm_status mmi_signature_get(struct mmi_residency *res, struct mmi_opened *opened, int32_t kind,
                            const mm_value *inputs, struct mmi_signature **signature,
                            mm_error *err);
static inline struct mmi_signatures *mmi_signatures_of(const struct mmi_opened *opened,
                                                       int32_t kind) {
    return opened->signatures[mmi_kind_index(kind)];
}
/* A kind that it has signatures for: the first of the mesh's devices that it can use. */
int32_t mmi_signatures_kind(const struct mmi_residency *res, const struct mmi_opened *opened);

/* Before a first run: what this request will need takes the place of the backend's estimate, so
 * that the load is planned for it. MM_TOO_LARGE: no device has room for it; that is nothing to the
 * next request. */
mm_status mmi_signature_expect(struct mmi_residency *res, uint64_t model_id,
                               struct mmi_opened *opened, const mm_value *inputs, mm_error *err);
/* Sizes for given inputs without a run; the result is copied into values and exactness. */
mm_status mmi_signature_sizes(struct mmi_residency *res, struct mmi_opened *opened,
                              const mm_value *inputs, mm_value *values, uint8_t *exactness,
                              mm_error *err);
/* What a spec wants warm is made with the load, so that no request pays for it. */
void mmi_signatures_warm(struct mmi_instance *instance);

#endif
