/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_PLACE_H
#define MMI_RESIDENCY_PLACE_H

/* Where a version could be loaded, and what it would need there. Nothing is changed, but that who
 * asks (need.asks) is told of leases that come back. Locked. */

#include <residency/fit.h>

/* Could a version be loaded on this device at all? */
bool mmi_device_usable(const struct mmi_residency *res, const struct mmi_devstate *dev,
                       struct mmi_version *version);
/* A load to be placed. */
struct mmi_load_query {
    struct mmi_model *model; /* NULL: unregistered */
    struct mmi_version *version;
    bool asks;            /* as in mmi_need */
    bool further;         /* another copy serves, and nobody waits for this one */
    double heat;          /* as in mmi_need: of a further one */
    uint64_t guess_bytes; /* of weights that were never prepared; 0 = no idea */
    uint64_t extra_bytes; /* beyond what it needs */
};
struct mmi_load_query mmi_load_query_of(const struct mmi_instance *instance);
/* Of a copy that is not being loaded yet. */
struct mmi_load_query mmi_load_query_further(struct mmi_model *model);
/* A further copy takes what is free and, if it would be used, what those leave who are less busy;
 * for it nobody in use has to end. Any other takes what its plan says. */
bool mmi_load_worth(const struct mmi_load_query *query, const struct mmi_plan_output *plan);
/* What it needs there; *estimated: it was never prepared for that kind. */
struct mmi_need mmi_load_need(const struct mmi_load_query *query, const struct mmi_devstate *dev,
                              bool *estimated);
struct mmi_need mmi_instance_need(const struct mmi_instance *instance,
                                  const struct mmi_devstate *dev);
/* Every device; the index of the best, or device_count. devices: [device_count]. The victims of the
 * chosen one are planned last, so that mmi_fit_victim speaks of it. */
size_t mmi_place_load(struct mmi_residency *res, const struct mmi_load_query *query,
                      struct mmi_placement *devices);
/* A device that it could use, and that holds the need when empty (NULL = any), is promised. */
bool mmi_promised(const struct mmi_residency *res, struct mmi_version *version,
                  const struct mmi_need *need);
/* Why no device is usable: a remembered failure of its builds, lost ones, none of its kind. */
mm_status mmi_no_device(const struct mmi_residency *res, const struct mmi_version *version,
                        const char *name, mm_error *err);

#endif
