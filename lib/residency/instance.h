/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_INSTANCE_H
#define MMI_RESIDENCY_INSTANCE_H

/* The chart of the instance. Every edge is made by a function here; each marks what it touched, so
 * whoever waits for it is looked at before the lock is let go of.
 *
 *   NONE -> LOADING           mmi_instance_new      a load was asked for
 *   LOADING                   mmi_instance_granted  it has memory
 *   LOADING -> READY          mmi_instance_ready    bytes are there or on their way, attached
 *   LOADING -> FAILED         (load.c)              attach failed; its memory goes back
 *   LOADING, FAILED -> NONE   mmi_instance_free     cancelled, refused or failed
 *   READY -> DRAINING         mmi_instance_drain    refuses new leases
 *   DRAINING -> RECLAIMABLE   mmi_instance_settle   the last lease came back
 *   DRAINING -> READY         mmi_instance_revive   demand returned, or an eviction gave up
 *   RECLAIMABLE -> READY      mmi_instance_revive   demand returned; no byte was moved
 *   RECLAIMABLE -> DETACHING  mmi_instance_hand_over   a claim detaches it, to have its bytes
 *   READY, DRAINING -> LEAVING   mmi_instance_leave   for good
 *   RECLAIMABLE -> DETACHING  mmi_instance_leave    for good, nobody has a lease
 *   LEAVING -> DETACHING      mmi_instance_settle   the last lease came back
 *   any of these -> LOST      mmi_instance_lost     the device is gone
 *   LOST -> DETACHING         mmi_instance_settle   the last lease came back
 *   DETACHING -> NONE         mmi_instance_detached memory is back
 *
 * Locked, but for mmi_instance_detach. */

#include <residency/state.h>

/* Of a version, for a model, waiting for memory; holds a reference to the version. NULL = out of
 * memory. */
struct mmi_instance *mmi_instance_new(struct mmi_residency *res, struct mmi_model *model,
                                      struct mmi_version *version);
/* It has memory on `dev`, which its load takes when those who leave for it are gone. The build is
 * PREPARED, and held from now on. */
void mmi_instance_granted(struct mmi_residency *res, struct mmi_instance *instance,
                          struct mmi_devstate *dev, struct mmi_build *build);
/* Undo granted, for another try. */
void mmi_instance_ungranted(struct mmi_residency *res, struct mmi_instance *instance);
/* LOADING -> NONE: nothing is attached or mapped. */
void mmi_instance_free(struct mmi_residency *res, struct mmi_instance *instance);
/* READY and not pinned: it leaves after idle_ttl without a request. */
void mmi_instance_watch_idle(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_instance_ready(struct mmi_residency *res, struct mmi_instance *instance);
/* The rest of its bytes is there, too. */
void mmi_instance_complete(struct mmi_residency *res, struct mmi_instance *instance);

/* for_whom: NULL = nobody. */
void mmi_instance_drain(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_reason reason, const char *for_whom);
void mmi_instance_leave(struct mmi_residency *res, struct mmi_instance *instance,
                        enum mmi_reason reason, const char *for_whom);
/* All copies of a model leave if none is in use or being loaded; else nothing changes: false. */
bool mmi_instances_evict_idle(struct mmi_residency *res, struct mmi_model *model);
void mmi_instance_lost(struct mmi_residency *res, struct mmi_instance *instance);
/* It is to leave for an mm_evict. */
bool mmi_instance_evicted(const struct mmi_instance *instance); /* model: not NULL */
/* May it come back on demand? Not what a claim or an eviction waits for. */
bool mmi_instance_may_return(const struct mmi_residency *res, const struct mmi_instance *instance);
void mmi_instance_revive(struct mmi_residency *res, struct mmi_instance *instance);
/* A lease or an undone one came back of a slot that is to be looked at: it is on its way out, or
 * wanted while it is READY. */
void mmi_instance_settle(struct mmi_residency *res, struct mmi_slot *slot);
/* Operations that wait for a thread give their leases back; or, of a model, end. */
void mmi_parked_revoke(struct mmi_list *parked, mm_status status);
/* Who owns the list detaches it. */
void mmi_instance_hand_over(struct mmi_residency *res, struct mmi_instance *instance,
                            struct mmi_list *list);

/* No lock: call the backend and the device. Then locked: DETACHING -> NONE. */
void mmi_instance_detach(struct mmi_residency *res, struct mmi_instance *instance);
void mmi_instance_detached(struct mmi_residency *res, struct mmi_instance *instance);

/* Of its model's current version? */
static inline bool mmi_instance_current(const struct mmi_instance *instance) {
    return instance->model && instance->model->current == instance->version;
}

#endif
