/* SPDX-License-Identifier: Apache-2.0 */
#include <device/sim.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

/* When operations are done. No thread does them: whoever waits, asks or closes does all whose time
 * has come, in the order of their times, whatever their streams. So bytes arrive no earlier than
 * somebody may know that they did. */

uint64_t mmi_sim_over_at(const struct mmi_sim *sim, const struct mmi_stream *stream,
                         uint64_t number) {
    if (number > stream->over) {
        MMI_LIST_EACH(node, &sim->due) {
            const struct mmi_sim_op *op = MMI_CONTAINER(node, struct mmi_sim_op, due);
            if (op->stream == stream && op->number == number) {
                return op->over_ns;
            }
        }
    }
    return 0;
}

static struct mmi_sim_op *first_due(const struct mmi_sim *sim, uint64_t now_ns) {
    if (mmi_list_empty(&sim->due)) {
        return NULL;
    }
    struct mmi_sim_op *op = MMI_CONTAINER(sim->due.next, struct mmi_sim_op, due);
    return op->over_ns <= now_ns ? op : NULL;
}

/* Does all that is due, one after another, unless the device is lost. */
static void settle(struct mmi_device *device, uint64_t now_ns) {
    struct mmi_sim *sim = device->impl;
    struct mmi_sim_op *op;
    while (!atomic_load(&device->lost) && (op = first_due(sim, now_ns))) {
        if (op->bytes > 0) {
            memcpy(op->to, op->from, op->bytes);
        }
        mmi_list_remove(&op->due);
        op->stream->over = op->number;
        mmi_cond_broadcast(&sim->changed);
    }
}

mm_status mmi_sim_wait_until_over(struct mmi_device *device, const struct mmi_stream *stream,
                                  uint64_t number, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    const struct mmi_clock *clock = &device->env->clock;
    while (stream->over < number) {
        if (atomic_load(&device->lost)) {
            return mmi_device_gone(device, err);
        }
        uint64_t now_ns = mmi_now(clock), over_ns = mmi_sim_over_at(sim, stream, number);
        if (now_ns < over_ns) {
            mmi_cond_wait(&sim->changed, &sim->lock, clock, over_ns);
        } else {
            settle(device, now_ns);
        }
    }
    return MM_OK;
}

/* Under the lock. */
static mm_status wait_for(struct mmi_device *device, struct mmi_stream *stream, uint64_t number,
                          mm_error *err) {
    MMI_TRY(mmi_sim_wait_until_over(device, stream, number, err));
    mmi_sim_waited(device, stream, number);
    return MM_OK;
}

mm_status mmi_sim_wait(struct mmi_device *device, const mm_device_event *event, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    if (!event->stream) {
        return MM_OK;
    }
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_event(device, event, err);
    if (status == MM_OK) {
        status = wait_for(device, event->stream, event->sequence, err);
    }
    mmi_unlock(&sim->lock);
    return status;
}

/* No fault: who put nothing on the stream has made no call. */
mm_status mmi_sim_finish(struct mmi_device *device, struct mmi_stream *stream, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_stream(device, stream, err);
    if (status == MM_OK && stream->waited < stream->put) {
        status = wait_for(device, stream, stream->put, err);
    }
    mmi_unlock(&sim->lock);
    return status;
}

mm_status mmi_sim_done(struct mmi_device *device, const mm_device_event *event, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    struct mmi_stream *stream = event->stream;
    MMI_TRY(mmi_sim_enter(device, err));
    if (!stream) {
        return MM_OK;
    }
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_event(device, event, err);
    if (status == MM_OK) {
        settle(device, mmi_now(&device->env->clock));
        if (stream->over >= event->sequence) {
            mmi_sim_waited(device, stream, event->sequence);
        } else {
            status = atomic_load(&device->lost) ? mmi_device_gone(device, err) : MM_PENDING;
        }
    }
    mmi_unlock(&sim->lock);
    return status;
}

/* ---- Memory that goes away ------------------------------------------------------------------- */

static bool touches(const struct mmi_sim_op *op, const struct mmi_sim_memory *memory) {
    struct mmi_sim_memory from = {op->from, op->bytes}, to = {op->to, op->bytes};
    return mmi_sim_meet(&from, memory) || mmi_sim_meet(&to, memory) ||
           mmi_sim_meet(&op->reads, memory) || mmi_sim_meet(&op->writes, memory);
}

void mmi_sim_abandon(struct mmi_device *device, const struct mmi_sim_memory *memory) {
    struct mmi_sim *sim = device->impl;
    /* Those that the host has waited for are not in the list any more. */
    MMI_LIST_EACH(node, &sim->ops) {
        struct mmi_sim_op *op = MMI_CONTAINER(node, struct mmi_sim_op, all);
        if (touches(op, memory)) {
            op->bytes = op->reads.bytes = op->writes.bytes = 0;
            op->stream->abandoned++;
        }
    }
}
