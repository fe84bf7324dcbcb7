/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/scratch_claims.h>

#include <residency/scratch.h>
#include <residency/waiters.h>

#include <base/checked.h>

#include <inttypes.h>

#define NORMAL 1 /* class of who has no model: 0 low, 2 high */

static struct mmi_scratch_claim *run_of(struct mmi_claim *claim) {
    return MMI_CONTAINER(claim, struct mmi_scratch_claim, claim);
}

static const char *run_name(const struct mmi_scratch_claim *run) {
    return run->instance ? run->instance->label : "";
}

static enum mmi_reason run_reason(const struct mmi_scratch_claim *run) {
    return run->instance ? MMI_REASON_ACTIVATIONS : MMI_REASON_VALUES;
}

static struct mmi_need run_need(const struct mmi_scratch_claim *run) {
    if (!run->instance) {
        return (struct mmi_need){.bytes = run->bytes,
                                 .scratch = true,
                                 .at_once = run->at_once,
                                 .asks = true,
                                 .evict_class = NORMAL};
    }
    const struct mmi_model *model = run->instance->model;
    /* A run that outlives its model keeps the class it came with. */
    const struct mmi_settings *settings =
        model ? &model->settings : &run->instance->version->settings;
    return (struct mmi_need){.bytes = run->bytes,
                             .scratch = true,
                             .at_once = run->at_once,
                             .asks = true,
                             .evict_class = (uint8_t)settings->evict_class,
                             .self = model};
}

/* Where its memory is noted: with the slot, so that plans see it from the first moment on. */
static struct mmi_block *block_of(struct mmi_scratch_claim *run) {
    return run->slot ? &run->slot->block : run->block;
}

/* Slot and block, if both are there. */
static bool take_scratch(struct mmi_scratch_claim *run) {
    struct mmi_devstate *dev = run->dev;
    if (run->slot_wanted && !run->slot) {
        run->slot = mmi_scratch_take_any(dev);
        if (run->slot) { /* what lies behind it goes: it was too small */
            mmi_scratch_discharge(dev, &run->slot->block);
            atomic_store(&run->slot->bytes, 0);
        }
    }
    return (!run->slot_wanted || run->slot) && mmi_scratch_charge(dev, run->bytes, block_of(run));
}

/* A load starves for what runs hold: those that begin share what it leaves; one may always. */
static bool gives_way(struct mmi_residency *res, const struct mmi_scratch_claim *run) {
    struct mmi_devstate *dev = run->dev;
    uint64_t bytes = mmi_arena_rounded(dev->device->arena, run->bytes);
    if (!run->begins || mmi_add_cap(dev->scratch_bytes, bytes) <= dev->scratch_cap) {
        return false;
    }
    mmi_scratch_trim(res, dev, 0);
    return dev->scratch_bytes > 0 && mmi_add_cap(dev->scratch_bytes, bytes) > dev->scratch_cap;
}

/* true: it has its memory, or victims that it detaches first. */
static bool claim_now(struct mmi_residency *res, struct mmi_scratch_claim *run,
                      struct mmi_plan_output *plan) {
    struct mmi_devstate *dev = run->dev;
    *plan = (struct mmi_plan_output){.verdict = MMI_PLAN_FITS};
    if (dev->taking) {
        plan->verdict = MMI_PLAN_WAIT;
        return false;
    }
    if (gives_way(res, run)) {
        plan->verdict = MMI_PLAN_RUNS;
        return false;
    }
    if (take_scratch(run) || (mmi_scratch_trim(res, dev, 0) && take_scratch(run))) {
        return true;
    }
    if (run->slot_wanted && !run->slot) {
        plan->verdict = MMI_PLAN_RUNS;
        return false;
    }
    struct mmi_need need = run_need(run);
    mmi_fit_plan(res, dev, &need, plan);
    if (plan->verdict == MMI_PLAN_EVICT) {
        mmi_claim_evict(res, dev, &need, plan, run_reason(run), run_name(run));
    }
    if (plan->verdict != MMI_PLAN_FITS) {
        return false;
    }
    if (plan->victim_count == 0) {
        return take_scratch(run);
    }
    mmi_claim_take_victims(res, dev, plan, &run->claim.victims);
    return true;
}

bool mmi_scratch_claim_take(struct mmi_residency *res, struct mmi_scratch_claim *run) {
    if (block_of(run)->bytes) {
        return true;
    }
    run->dev->taking = false;
    mmi_mark_memory(res);
    return take_scratch(run);
}

bool mmi_scratch_claim_now(struct mmi_residency *res, struct mmi_scratch_claim *run,
                           enum mmi_verdict *verdict) {
    struct mmi_plan_output plan;
    bool got = claim_now(res, run, &plan);
    *verdict = plan.verdict;
    return got;
}

mm_status mmi_scratch_refusal(const struct mmi_scratch_claim *run, mm_error *err) {
    const struct mmi_device *device = run->dev->device;
    uint64_t free_bytes = mmi_arena_free_bytes(device->arena);
    return mmi_fail_room(err, MM_NO_ROOM_FOR_ACTIVATIONS, run->bytes, free_bytes,
                         "model %s: this request needs %" PRIu64
                         " bytes for activations, device %s has %" PRIu64 " free",
                         run_name(run), run->bytes, device->name, free_bytes);
}

static void refuse_run(struct mmi_residency *res, struct mmi_scratch_claim *run) {
    mm_error error;
    mmi_scratch_refusal(run, &error);
    mmi_claim_drop(res, &run->claim);
    mmi_waiter_end(res, &run->waiter, (mm_status)error.status, &error);
}

void mmi_scratch_needed(struct mmi_devstate *dev) {
    dev->scratch_needed = true;
    atomic_store(&dev->scratch_wanted, true);
}

static enum mmi_outcome try_run(struct mmi_residency *res, struct mmi_scratch_claim *run) {
    struct mmi_devstate *dev = run->dev;
    struct mmi_plan_output plan;
    if (claim_now(res, run, &plan)) {
        mmi_claim_drop(res, &run->claim);
        mmi_waiter_end(res, &run->waiter, MM_OK, NULL);
        return MMI_CLAIM_OVER;
    }
    switch (plan.verdict) {
    case MMI_PLAN_STALLED:
        return MMI_CLAIM_STALLED;
    case MMI_PLAN_FITS: /* but there was no memory for the bookkeeping */
    case MMI_PLAN_BARRED:
    case MMI_PLAN_HELD:
    case MMI_PLAN_TOO_LARGE:
        refuse_run(res, run);
        return MMI_CLAIM_OVER;
    default:
        return mmi_claim_wait(res, &run->claim, dev, &plan, MMI_REASON_ACTIVATIONS, run_name(run));
    }
}

/* Of the runs that are stalled on a device on which nothing else moves, the last is refused: what
 * it holds is what the others wait for. */
static void refuse_stalled(struct mmi_residency *res, const struct mmi_devstate *dev) {
    struct mmi_scratch_claim *last = NULL;
    MMI_LIST_EACH(node, &res->runs) {
        struct mmi_scratch_claim *run = run_of(mmi_claim_of(node));
        last = run->dev == dev ? run : last;
    }
    if (last) {
        refuse_run(res, last);
    }
}

void mmi_scratch_claims_try(struct mmi_residency *res) {
    bool stalled[MMI_MAX_DEVICES] = {false}, moves[MMI_MAX_DEVICES] = {false};
    struct mmi_list *node;
    for (node = res->runs.next; node != &res->runs;) {
        struct mmi_scratch_claim *run = run_of(mmi_claim_of(node));
        size_t device = (size_t)(run->dev - res->devices);
        node = node->next;
        mmi_scratch_needed(&res->devices[device]);
        if (res->devices[device].promised) {
            continue;
        }
        if (gives_way(res, run)) { /* it promises nothing: the load comes to its turn */
            moves[device] = true;
            continue;
        }
        enum mmi_outcome outcome = try_run(res, run);
        res->devices[device].promised_to_run |= outcome == MMI_CLAIM_WAITS;
        stalled[device] |= outcome == MMI_CLAIM_STALLED;
        moves[device] |= outcome != MMI_CLAIM_STALLED;
    }
    for (size_t i = 0; i < res->device_count; i++) {
        if (stalled[i] && !moves[i]) {
            refuse_stalled(res, &res->devices[i]);
        }
    }
}
