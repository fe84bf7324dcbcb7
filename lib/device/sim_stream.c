/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <device/sim.h>

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

/* Streams of the simulated device. When an operation is put on a stream it is known when it will be
 * over: after the one before it, after what the stream waits for, and after its own delay. */

/* ---- Putting --------------------------------------------------------------------------------- */

mm_status mmi_sim_check_stream(struct mmi_device *device, const struct mmi_stream *wanted,
                               mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_LIST_EACH(node, &sim->streams) {
        struct mmi_stream *stream = MMI_CONTAINER(node, struct mmi_stream, node);
        if (stream != wanted) {
            continue;
        }
        uint64_t abandoned = stream->abandoned;
        stream->abandoned = 0;
        if (abandoned > 0) {
            return mmi_fail(err, MM_INVALID_STATE,
                            "device %s: memory was given back before %" PRIu64
                            " operations of stream %" PRIu32 " on it were waited for",
                            device->name, abandoned, stream->number);
        }
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_ARGUMENT, "device %s: not a stream of this device",
                    device->name);
}

mm_status mmi_sim_check_event(struct mmi_device *device, const mm_device_event *event,
                              mm_error *err) {
    const struct mmi_stream *stream = event->stream;
    MMI_TRY(mmi_sim_check_stream(device, stream, err));
    if (event->sequence > stream->put) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "device %s: not an event of its stream",
                        device->name);
    }
    return MM_OK;
}

/* Puts a copy of `what` on the stream. */
static mm_status put(struct mmi_device *device, struct mmi_stream *stream,
                     const struct mmi_sim_op *what, uint64_t delay_ns, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    struct mmi_sim_op *op = mmi_alloc(&device->env->alloc, 1, sizeof(*op));
    if (!op) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    *op = *what;
    uint64_t begin_ns = mmi_max_u64(stream->idle_ns, mmi_now(&device->env->clock));
    if (op->after) {
        begin_ns = mmi_max_u64(begin_ns, mmi_sim_over_at(sim, op->after, op->after_number));
    }
    op->over_ns = stream->idle_ns = mmi_add_cap(begin_ns, delay_ns);
    op->stream = stream;
    op->number = ++stream->put;
    mmi_list_insert(&sim->ops, &op->all);
    struct mmi_list *at = &sim->due;
    while (at->prev != &sim->due &&
           MMI_CONTAINER(at->prev, struct mmi_sim_op, due)->over_ns > op->over_ns) {
        at = at->prev;
    }
    mmi_list_insert(at, &op->due);
    return MM_OK;
}

static uint64_t copy_ns(const struct mmi_sim *sim, uint64_t ns_per_mib, uint64_t bytes) {
    uint64_t product;
    /* A product beyond 64 bits is hours away: for ever. */
    uint64_t move_ns = mmi_mul(bytes, ns_per_mib, &product) ? product >> 20 : UINT64_MAX;
    return mmi_add_cap(move_ns, sim->copy_latency_ns);
}

/* Under the lock. What it reads and writes of the device's memory stands in `copy`. */
static mm_status put_copy(struct mmi_device *device, struct mmi_stream *stream,
                          const struct mmi_sim_op *copy, uint64_t ns_per_mib, mm_error *err) {
    if (mmi_sim_meet(&copy->reads, &copy->writes)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "device %s: a copy of %" PRIu64 " bytes onto memory that it reads",
                        device->name, copy->bytes);
    }
    MMI_TRY(mmi_sim_check(device, stream, &copy->reads, MMI_ACCESS_READ, err));
    MMI_TRY(mmi_sim_check(device, stream, &copy->writes, MMI_ACCESS_WRITE, err));
    return put(device, stream, copy, copy_ns(device->impl, ns_per_mib, copy->bytes), err);
}

static mm_status locked_copy(struct mmi_device *device, struct mmi_stream *stream,
                             const struct mmi_sim_op *copy, uint64_t ns_per_mib, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_stream(device, stream, err);
    if (status == MM_OK && copy->bytes > 0) {
        status = put_copy(device, stream, copy, ns_per_mib, err);
    }
    mmi_unlock(&sim->lock);
    return status;
}

/* The pages that a copy will write, while those before it are on their way: a page fault for each
 * would take longer than the copy, and all of a region at once would hold up its first bytes. On an
 * old kernel they fault. */
static void populate(void *to, uint64_t bytes) {
#ifdef MADV_POPULATE_WRITE
    uintptr_t begin = (uintptr_t)to & ~(uintptr_t)(MMI_PAGE_BYTES - 1);
    (void)madvise((void *)begin, (uintptr_t)to + bytes - begin, MADV_POPULATE_WRITE);
#else
    (void)to;
    (void)bytes;
#endif
}

mm_status mmi_sim_copy_in(struct mmi_device *device, struct mmi_stream *stream, void *to,
                          const void *from, uint64_t bytes, mm_error *err) {
    const struct mmi_sim *sim = device->impl;
    if (bytes > 0) {
        populate(to, bytes);
    }
    struct mmi_sim_op copy = {.to = to, .from = from, .bytes = bytes, .writes = {to, bytes}};
    return locked_copy(device, stream, &copy, sim->in_ns_per_mib, err);
}

mm_status mmi_sim_copy_out(struct mmi_device *device, struct mmi_stream *stream, void *to,
                           const void *from, uint64_t bytes, mm_error *err) {
    const struct mmi_sim *sim = device->impl;
    struct mmi_sim_op copy = {.to = to, .from = from, .bytes = bytes, .reads = {from, bytes}};
    return locked_copy(device, stream, &copy, sim->out_ns_per_mib, err);
}

mm_status mmi_sim_copy(struct mmi_device *device, struct mmi_stream *stream, void *to,
                       const void *from, uint64_t bytes, mm_error *err) {
    const struct mmi_sim *sim = device->impl;
    struct mmi_sim_op copy = {
        .to = to, .from = from, .bytes = bytes, .reads = {from, bytes}, .writes = {to, bytes}};
    return locked_copy(device, stream, &copy, sim->in_ns_per_mib, err);
}

mm_status mmi_sim_access(struct mmi_device *device, struct mmi_stream *stream, const void *base,
                         uint64_t bytes, enum mmi_access access, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    struct mmi_sim_memory memory = {base, bytes};
    struct mmi_sim_op op = {0};
    *(access == MMI_ACCESS_READ ? &op.reads : &op.writes) = memory;
    MMI_TRY(mmi_sim_enter(device, err));
    mmi_lock(&sim->lock);
    mm_status status = stream ? mmi_sim_check_stream(device, stream, err) : MM_OK;
    if (status == MM_OK) {
        status = mmi_sim_check(device, stream, &memory, access, err);
    }
    if (status == MM_OK && stream && bytes > 0) {
        status = put(device, stream, &op, 0, err);
    }
    mmi_unlock(&sim->lock);
    return status;
}

mm_status mmi_sim_begin_load(struct mmi_device *device, struct mmi_stream *stream, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_stream(device, stream, err);
    if (status == MM_OK && sim->load_delay_ns > 0) {
        status = put(device, stream, &(struct mmi_sim_op){0}, sim->load_delay_ns, err);
    }
    mmi_unlock(&sim->lock);
    return status;
}

mm_status mmi_sim_record(struct mmi_device *device, struct mmi_stream *stream,
                         mm_device_event *event, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_stream(device, stream, err);
    if (status == MM_OK) {
        *event = (mm_device_event){.stream = stream, .sequence = stream->put};
    }
    mmi_unlock(&sim->lock);
    return status;
}

mm_status mmi_sim_stream_wait(struct mmi_device *device, struct mmi_stream *stream,
                              const mm_device_event *event, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    mmi_lock(&sim->lock);
    mm_status status = mmi_sim_check_stream(device, stream, err);
    if (status == MM_OK && event->stream) {
        status = mmi_sim_check_event(device, event, err);
        struct mmi_stream *other = event->stream;
        /* Its own stream, or what everybody comes after: there is nothing to wait for. */
        if (status == MM_OK && other != stream && event->sequence > other->waited) {
            struct mmi_sim_op op = {.after = other, .after_number = event->sequence};
            status = put(device, stream, &op, 0, err);
        }
    }
    mmi_unlock(&sim->lock);
    return status;
}

/* ---- Open and close -------------------------------------------------------------------------- */

/* Under the lock. */
static void begin_stream(struct mmi_sim *sim, struct mmi_stream *stream) {
    *stream = (struct mmi_stream){.number = ++sim->streams_opened};
    mmi_list_push_back(&sim->streams, &stream->node);
}

/* Under the lock. On a lost device what is left never happens. */
static void end_stream(struct mmi_device *device, struct mmi_stream *stream) {
    struct mmi_sim *sim = device->impl;
    if (mmi_sim_wait_until_over(device, stream, stream->put, NULL) == MM_OK) {
        mmi_sim_waited(device, stream, stream->put);
    }
    MMI_LIST_EACH(node, &sim->ops) {
        struct mmi_sim_op *op = MMI_CONTAINER(node, struct mmi_sim_op, all);
        if (op->stream == stream) {
            mmi_sim_free_op(device, op);
        } else if (op->after == stream) {
            op->after = NULL;
        }
    }
    mmi_list_remove(&stream->node);
}

mm_status mmi_sim_stream_open(struct mmi_device *device, struct mmi_stream **stream,
                              mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    struct mmi_stream *made = mmi_alloc(&device->env->alloc, 1, sizeof(*made));
    if (!made) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    mmi_lock(&sim->lock);
    begin_stream(sim, made);
    mmi_unlock(&sim->lock);
    *stream = made;
    return MM_OK;
}

void mmi_sim_stream_close(struct mmi_device *device, struct mmi_stream *stream) {
    struct mmi_sim *sim = device->impl;
    if (!stream) {
        return;
    }
    mmi_lock(&sim->lock);
    end_stream(device, stream);
    mmi_unlock(&sim->lock);
    mmi_free(&device->env->alloc, stream, sizeof(*stream));
}

mm_status mmi_sim_write(struct mmi_region *region, uint64_t offset, const void *from,
                        uint64_t bytes, mm_error *err) {
    struct mmi_device *device = region->device;
    struct mmi_sim *sim = device->impl;
    uint8_t *to = region->base + offset;
    struct mmi_sim_op copy = {.to = to, .from = from, .bytes = bytes, .writes = {to, bytes}};
    struct mmi_stream stream;
    mmi_region_check(region, offset, bytes);
    MMI_TRY(mmi_sim_enter(device, err));
    mmi_lock(&sim->lock);
    begin_stream(sim, &stream);
    mm_status status =
        bytes > 0 ? put_copy(device, &stream, &copy, sim->in_ns_per_mib, err) : MM_OK;
    if (status == MM_OK) {
        status = mmi_sim_wait_until_over(device, &stream, stream.put, err);
    }
    end_stream(device, &stream);
    mmi_unlock(&sim->lock);
    return status;
}
