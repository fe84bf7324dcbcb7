/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/schedule.h>

#include <residency/builds.h>
#include <residency/cleanup.h>
#include <residency/demand.h>
#include <residency/lock.h>
#include <residency/make_room.h>

/* ---- The marks ------------------------------------------------------------------------------ */

static bool work_one_off(struct mmi_residency *res) {
    struct mmi_list *node = mmi_list_pop(&res->marked);
    if (node) {
        mmi_demand(res, MMI_CONTAINER(node, struct mmi_model, marked));
        return true;
    }
    if (res->memory_marked) { /* last: who waits for a copy has it before that is a victim */
        res->memory_marked = false;
        mmi_make_room(res);
        mmi_demand_room(res);
        return true;
    }
    return mmi_refuse_nested(res);
}

/* true = there was something to do. */
static bool work_off(struct mmi_residency *res) {
    bool worked = false;
    while (work_one_off(res)) {
        worked = true;
    }
    mmi_builds_trim(res);
    return worked;
}

/* Have done what must be done without the lock. Without threads that is one caller's at a time. */
static bool clean_up(struct mmi_residency *res) {
    bool worked = false;
    if (res->scheduling) {
        return false; /* it goes round again */
    }
    res->scheduling = true;
    while (mmi_cleanup_due(res) && !mmi_cleanup_submit(res)) {
        mmi_cleanup_once(res);
        work_off(res);
        worked = true;
    }
    res->scheduling = false;
    if (worked) {
        mmi_cond_broadcast(&res->quiet);
    }
    return worked;
}

bool mmi_schedule(struct mmi_residency *res) {
    bool worked = work_off(res);
    worked |= clean_up(res);
    if (!res->config.threads && res->timers.earlier) { /* who sleeps looks at the timers */
        mmi_wake_blocked(res);
    }
    res->timers.earlier = false;
    return worked;
}

uint64_t mmi_tick(void *ctx, uint64_t now_ns) {
    struct mmi_residency *res = ctx;
    mmi_res_lock(res);
    mmi_timers_fire(&res->timers, res, now_ns);
    mmi_schedule(res);
    uint64_t next_ns = mmi_timers_next(&res->timers);
    mmi_unlock(&res->lock);
    return next_ns;
}
