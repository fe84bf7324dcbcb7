/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_SIM_H
#define MMI_DEVICE_SIM_H

/* What the files of the simulated device share. */

#include <base/list.h>
#include <base/lock.h>
#include <device/driver.h>

/* Bytes of the device's memory; bytes 0 = none. */
struct mmi_sim_memory {
    const uint8_t *base;
    uint64_t bytes;
};

/* Operations are numbered from 1 on each stream. */
struct mmi_stream {
    struct mmi_list node;
    uint32_t number;    /* for messages */
    uint64_t put;       /* the last one put on it */
    uint64_t over;      /* the last one that is over: its bytes are there */
    uint64_t waited;    /* the last one that the host has waited for */
    uint64_t seen;      /* the last one that whoever is being checked comes after */
    uint64_t idle_ns;   /* when all that is on it will be over */
    uint64_t abandoned; /* operations whose memory was given back; the next call tells */
};

/* A copy, an access, a wait for another stream or a delay. Kept, after it is over, until the host
 * has waited for it: whoever touches the same memory before that must come after it. */
struct mmi_sim_op {
    struct mmi_list all; /* in the order in which they were put */
    struct mmi_list due; /* not over: in the order in which they will be; else in no list */
    struct mmi_stream *stream;
    uint64_t number, over_ns;
    uint8_t *to;
    const uint8_t *from;
    uint64_t bytes;                      /* of the copy; 0 = none */
    struct mmi_sim_memory reads, writes; /* on the device */
    struct mmi_stream *after;            /* a wait for another stream; else NULL */
    uint64_t after_number;
};

struct mmi_sim {
    int memory; /* the file; -1 = none */
    uint64_t in_ns_per_mib, out_ns_per_mib, copy_latency_ns, load_delay_ns;
    struct mmi_lock lock;    /* guards all below */
    struct mmi_cond changed; /* something is over, or the device is lost; or just time has passed */
    struct mmi_sim_window *windows;
    uint32_t chunk_count;
    struct mmi_list regions, streams;
    struct mmi_list ops; /* all */
    struct mmi_list due;
    uint32_t streams_opened;
};

static inline bool mmi_sim_meet(const struct mmi_sim_memory *a, const struct mmi_sim_memory *b) {
    return a->bytes > 0 && b->bytes > 0 && (uintptr_t)a->base < (uintptr_t)b->base + b->bytes &&
           (uintptr_t)b->base < (uintptr_t)a->base + a->bytes;
}

/* mmi_device_enter; wakes who waits when the device is lost. */
mm_status mmi_sim_enter(struct mmi_device *device, mm_error *err);

/* ---- sim_stream.c: what is put on streams ---- */

mm_status mmi_sim_write(struct mmi_region *region, uint64_t offset, const void *from,
                        uint64_t bytes, mm_error *err);
mm_status mmi_sim_stream_open(struct mmi_device *device, struct mmi_stream **stream, mm_error *err);
void mmi_sim_stream_close(struct mmi_device *device, struct mmi_stream *stream);
mm_status mmi_sim_begin_load(struct mmi_device *device, struct mmi_stream *stream, mm_error *err);
mm_status mmi_sim_copy_in(struct mmi_device *device, struct mmi_stream *stream, void *to,
                          const void *from, uint64_t bytes, mm_error *err);
mm_status mmi_sim_copy_out(struct mmi_device *device, struct mmi_stream *stream, void *to,
                           const void *from, uint64_t bytes, mm_error *err);
mm_status mmi_sim_copy(struct mmi_device *device, struct mmi_stream *stream, void *to,
                       const void *from, uint64_t bytes, mm_error *err);
mm_status mmi_sim_access(struct mmi_device *device, struct mmi_stream *stream, const void *base,
                         uint64_t bytes, enum mmi_access access, mm_error *err);
mm_status mmi_sim_record(struct mmi_device *device, struct mmi_stream *stream,
                         mm_device_event *event, mm_error *err);
mm_status mmi_sim_stream_wait(struct mmi_device *device, struct mmi_stream *stream,
                              const mm_device_event *event, mm_error *err);
/* Under the lock. MM_INVALID_ARGUMENT unless it is a stream of ours; MM_INVALID_STATE, once, after
 * memory was given back that its operations had not been waited for. */
mm_status mmi_sim_check_stream(struct mmi_device *device, const struct mmi_stream *stream,
                               mm_error *err);
/* The same for an event, which has a stream. */
mm_status mmi_sim_check_event(struct mmi_device *device, const mm_device_event *event,
                              mm_error *err);

/* ---- sim_time.c: when it is done ---- */

mm_status mmi_sim_wait(struct mmi_device *device, const mm_device_event *event, mm_error *err);
mm_status mmi_sim_finish(struct mmi_device *device, struct mmi_stream *stream, mm_error *err);
mm_status mmi_sim_done(struct mmi_device *device, const mm_device_event *event, mm_error *err);

/* All below under the lock. */

/* When an operation will be over; 0: it is. */
uint64_t mmi_sim_over_at(const struct mmi_sim *sim, const struct mmi_stream *stream,
                         uint64_t number);
/* Blocks until the operation is over, whose bytes are then there, or the device is lost. */
mm_status mmi_sim_wait_until_over(struct mmi_device *device, const struct mmi_stream *stream,
                                  uint64_t number, mm_error *err);
/* Memory goes away, of the device or of the host: operations on it that the host has not waited for
 * are dropped, and their streams tell. */
void mmi_sim_abandon(struct mmi_device *device, const struct mmi_sim_memory *memory);

/* ---- sim_order.c: who comes after what ---- */

/* MM_INVALID_STATE unless whoever reads or writes `memory` on the stream (NULL: the host) comes
 * after all that wrote it and, when it writes, all that read it. MM_INVALID_ARGUMENT: not inside
 * one region. */
mm_status mmi_sim_check(struct mmi_device *device, struct mmi_stream *stream,
                        const struct mmi_sim_memory *memory, enum mmi_access access, mm_error *err);
/* The host has waited for this operation, which is over: so for all that it came after. */
void mmi_sim_waited(struct mmi_device *device, struct mmi_stream *stream, uint64_t number);
void mmi_sim_free_op(struct mmi_device *device, struct mmi_sim_op *op);

#endif
