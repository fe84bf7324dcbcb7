/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_FIT_H
#define MMI_RESIDENCY_FIT_H

/* Who would have to leave a device for a need: the snapshot that policy/ decides from. Changes
 * nothing, but that with need.asks the slots that are leased now become wanted. Locked. */

#include <residency/state.h>

struct mmi_need {
    uint64_t bytes;            /* the block, as asked; 0 with shrink_bytes */
    uint64_t activation_bytes; /* of the newcomer, for the reserve */
    uint64_t shrink_bytes;     /* how far the used bytes must come down */
    bool scratch;              /* the block is scratch: the reserve need not stay free besides */
    uint8_t evict_class;
    bool at_once; /* nobody will wait: what is on its way out counts no sooner than what is idle */
    bool asks;    /* who waits is told when the last lease of one that is leased now comes back */
    double heat;  /* nobody who is used as often leaves for it; 0 = does not matter */
    const struct mmi_model *self; /* never its own victim; NULL = nobody */
};

/* Uses a second since it was loaded. */
double mmi_instance_heat(const struct mmi_residency *res, const struct mmi_instance *instance);
/* Time since the last release. */
uint64_t mmi_instance_idle_ns(const struct mmi_residency *res, const struct mmi_instance *instance);

/* When what holds up one on its way out, a run or its detach, counts as a long one. */
uint64_t mmi_lingers_from(const struct mmi_residency *res, const struct mmi_instance *instance);

/* plan->victims is residency.victims; valid until the next plan. wait_until_ns of a WAIT: when what
 * drains now counts as lingering; 0 = nothing that could. */
void mmi_fit_plan(struct mmi_residency *res, struct mmi_devstate *dev, const struct mmi_need *need,
                  struct mmi_plan_output *plan);
/* The instance that a victim's index means. */
struct mmi_instance *mmi_fit_victim(const struct mmi_residency *res, uint32_t index);
/* Would it fit if the device were empty? */
bool mmi_fit_empty(const struct mmi_devstate *dev, const struct mmi_need *need);
/* The largest execution high-water mark among those present. */
uint64_t mmi_fit_reserve(const struct mmi_devstate *dev);
/* Room in the arrays for one more instance; false = out of memory. */
bool mmi_fit_reserve_room(struct mmi_residency *res);
void mmi_fit_free_room(struct mmi_residency *res);

/* What one run of an instance takes, which counts for the reserve. */
void mmi_fit_activation(struct mmi_instance *instance, uint64_t bytes);

#endif
