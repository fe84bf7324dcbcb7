/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_BUILDS_H
#define MMI_RESIDENCY_BUILDS_H

/* Who holds an open description, and which may be closed; references to versions. What has nobody
 * left is put on a list for the cleanup executor. Locked. */

#include <residency/state.h>

/* One use of a PREPARED build's description, and one reference to its version. */
struct mmi_opened *mmi_opened_hold(struct mmi_residency *res, struct mmi_build *build);
void mmi_opened_drop(struct mmi_residency *res, struct mmi_opened *opened); /* undo hold */
/* PREPARED -> UNPREPARED. Whoever uses the description keeps it until the end. */
void mmi_build_close(struct mmi_residency *res, struct mmi_build *build);
/* Close the least recently used ones beyond the budget. */
void mmi_builds_trim(struct mmi_residency *res);
void mmi_version_unref(struct mmi_residency *res, struct mmi_version *version); /* one reference */

/* What requests before the first run were going to need is forgotten: it could not be had, and the
 * next one says what it needs. */
void mmi_builds_expect_anew(struct mmi_version *version);

/* What its weights take, on a device or in a backend's own memory. */
static inline uint64_t mmi_build_bytes(const struct mmi_build *build) {
    return build->weights_bytes > build->own_bytes ? build->weights_bytes : build->own_bytes;
}
/* What to keep free for a run on a device, beside `bytes` of the model. A mere guess that does not
 * fit even alone is none: a run of that size could not be had there, others may. */
uint64_t mmi_build_activation(const struct mmi_build *build, const struct mmi_devstate *dev,
                              uint64_t bytes);
/* Is a build being prepared? */
bool mmi_version_preparing(const struct mmi_version *version);
/* A remembered failure that still holds: its back-off is not over, or who waited when it happened
 * was not told yet, however short the back-off. */
bool mmi_failure_holds(const struct mmi_failure *failure, uint64_t now_ns);
void mmi_failures_told(struct mmi_version *version);

/* It still holds: true, and what it was. */
bool mmi_failure_recall(const struct mmi_residency *res, const struct mmi_failure *failure,
                        mm_error *error);
/* A failed preparation that still holds, of a build for any of these kinds; NULL = none. */
const struct mmi_failure *mmi_version_bad_build(const struct mmi_residency *res,
                                                const struct mmi_version *version, uint32_t kinds);
/* A load of it was refused since the last look: true, and why. */
bool mmi_version_refused(struct mmi_residency *res, struct mmi_version *version, mm_error *error);

#endif
