/* SPDX-License-Identifier: Apache-2.0 */
#include <device/sim.h>

#include <inttypes.h>
#include <stdio.h>

/* Who comes after what. Every stream has a `seen` mark: all its operations up to there come before
 * the moment that is looked at. A wait of stream s for operation n of stream t, if it was itself
 * seen, moves t's mark to n. A wait can only be for what was put before it; so one pass over all
 * operations, the last first, finds everything. */

static void start_from_host(struct mmi_sim *sim) {
    MMI_LIST_EACH(node, &sim->streams) {
        struct mmi_stream *stream = MMI_CONTAINER(node, struct mmi_stream, node);
        stream->seen = stream->waited;
    }
}

static void follow_waits(struct mmi_sim *sim) {
    for (struct mmi_list *node = sim->ops.prev; node != &sim->ops; node = node->prev) {
        const struct mmi_sim_op *op = MMI_CONTAINER(node, struct mmi_sim_op, all);
        if (op->after && op->number <= op->stream->seen && op->after->seen < op->after_number) {
            op->after->seen = op->after_number;
        }
    }
}

/* ---- The check ------------------------------------------------------------------------------- */

/* The region that holds all of it, or NULL. */
static const struct mmi_region *find_region(const struct mmi_sim *sim,
                                            const struct mmi_sim_memory *memory) {
    MMI_LIST_EACH(node, &sim->regions) {
        const struct mmi_region *region = MMI_CONTAINER(node, struct mmi_region, node);
        uint64_t offset = (uintptr_t)memory->base - (uintptr_t)region->base; /* huge when before */
        if (offset <= region->bytes && memory->bytes <= region->bytes - offset) {
            return region;
        }
    }
    return NULL;
}

/* What of `memory` the operation has changed or, if it is to be written, looked at. */
static const struct mmi_sim_memory *
conflict(const struct mmi_sim_op *op, const struct mmi_sim_memory *memory, enum mmi_access access) {
    if (op->number <= op->stream->seen) {
        return NULL;
    }
    if (mmi_sim_meet(&op->writes, memory)) {
        return &op->writes;
    }
    return access == MMI_ACCESS_WRITE && mmi_sim_meet(&op->reads, memory) ? &op->reads : NULL;
}

mm_status mmi_sim_check(struct mmi_device *device, struct mmi_stream *stream,
                        const struct mmi_sim_memory *memory, enum mmi_access access,
                        mm_error *err) {
    struct mmi_sim *sim = device->impl;
    if (memory->bytes == 0) {
        return MM_OK;
    }
    const struct mmi_region *region = find_region(sim, memory);
    if (!region) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "device %s: %" PRIu64 " bytes at %p do not lie inside one of its regions",
                        device->name, memory->bytes, (const void *)memory->base);
    }
    start_from_host(sim);
    char who[32] = "the host";
    if (stream) {
        stream->seen = stream->put;
        snprintf(who, sizeof(who), "stream %" PRIu32, stream->number);
    }
    follow_waits(sim);
    MMI_LIST_EACH(node, &sim->ops) {
        const struct mmi_sim_op *op = MMI_CONTAINER(node, struct mmi_sim_op, all);
        const struct mmi_sim_memory *other = conflict(op, memory, access);
        if (other) {
            uint64_t at = (uint64_t)(memory->base - region->base);
            uint64_t other_at = (uint64_t)(other->base - region->base);
            return mmi_fail(err, MM_INVALID_STATE,
                            "device %s: %s %s bytes %" PRIu64 " to %" PRIu64 " of a region of "
                            "%" PRIu64 " without having waited for stream %" PRIu32
                            ", which %s bytes %" PRIu64 " to %" PRIu64,
                            device->name, who, access == MMI_ACCESS_READ ? "reads" : "writes", at,
                            at + memory->bytes, region->bytes, op->stream->number,
                            other == &op->writes ? "writes" : "reads", other_at,
                            other_at + other->bytes);
        }
    }
    return MM_OK;
}

/* ---- What the host knows --------------------------------------------------------------------- */

void mmi_sim_free_op(struct mmi_device *device, struct mmi_sim_op *op) {
    mmi_list_remove(&op->all);
    mmi_list_remove(&op->due);
    mmi_free(&device->env->alloc, op, sizeof(*op));
}

void mmi_sim_waited(struct mmi_device *device, struct mmi_stream *stream, uint64_t number) {
    struct mmi_sim *sim = device->impl;
    if (number <= stream->waited) {
        return;
    }
    start_from_host(sim);
    stream->seen = number;
    follow_waits(sim);
    MMI_LIST_EACH(node, &sim->streams) {
        struct mmi_stream *one = MMI_CONTAINER(node, struct mmi_stream, node);
        one->waited = one->seen;
    }
    /* Whatever comes from now on comes after these: nobody needs them any more. */
    MMI_LIST_EACH(node, &sim->ops) {
        struct mmi_sim_op *op = MMI_CONTAINER(node, struct mmi_sim_op, all);
        if (op->number <= op->stream->waited && !mmi_list_linked(&op->due)) {
            mmi_sim_free_op(device, op);
        }
    }
}
