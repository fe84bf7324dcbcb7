/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_DEVICE_H
#define MMI_DEVICE_DEVICE_H

/* A device: a memory with a budget of its own that can run models. This module moves bytes and
 * calls drivers; what the bytes mean, and who may have how many, is decided above.
 *
 * Split of duties: the arena (memory/) says which chunks a block has; the device maps them into one
 * contiguous range. Arena calls are made under the residency lock; every function below is called
 * without it, from any thread, on different regions and streams at once.
 *
 * Devices work on their own. A copy is put on a stream and happens later, after all that was put on
 * the same stream before it; streams overlap. An event is a point in the order of one stream. It is
 * waited for by the host (wait), asked about (done), or waited for by another stream (stream_wait,
 * which the host does not wait for). Waiting for an event waits for all that came before it, also
 * for what its stream had waited for of others.
 *
 * Whoever reads device memory, by a copy, a kernel or, on host and sim, an ordinary load, must come
 * after what wrote it: on the same stream, on a stream that waited for it, or after a wait of the
 * host (a done that said yes counts). So must whoever writes it, after what read or wrote it. sim
 * checks that; other kinds just go wrong.
 *
 * The host's streams are NULL: a copy is over when its call returns, and every event is done.
 *
 * A user's input or output on a device is a region like any other: a block of the arena, map,
 * copies and kernels on streams, and unmap once all of them have been waited for. */

#include <base/env.h>
#include <base/list.h>
#include <base/status.h>
#include <memory/arena.h>

#include <modelmesh/backend.h>

struct mmi_device;
struct mmi_kept;
struct mmi_stream; /* each kind has its own */

/* A contiguous range with memory behind it. Zeroed = none. Stays where it is while it is mapped. */
struct mmi_region {
    struct mmi_device *device;
    struct mmi_list node; /* sim's */
    uint8_t *base;
    uint64_t bytes;       /* as asked */
    uint64_t range_bytes; /* of the address range, a multiple of pages or chunks; 0: small block,
                             the range belongs to the device */
    bool file_mapped;
};

/* Is memory read, or written (and perhaps read)? */
enum mmi_access { MMI_ACCESS_READ, MMI_ACCESS_WRITE };

/* Every slot is there unless it says so. Addresses `to` and `from` on the device lie inside one
 * region, at most to its end: sim answers MM_INVALID_ARGUMENT otherwise. */
struct mmi_device_ops {
    /* ---- Memory ---- */

    /* Address range + memory for `block`; contents undefined (host: zero). Takes no part in any
     * stream and none of the scripted delays. MM_NO_MEMORY is what the kernel or driver says, not
     * the budget; MM_DEVICE_LOST. */
    mm_status (*map)(struct mmi_device *device, const struct mmi_block *block,
                     struct mmi_region *region, mm_error *err);
    /* Gives the memory back; cannot fail; a zeroed region does nothing. All that any stream does
     * with the region has been waited for, or the device is lost; what sim finds still under way it
     * drops, and the next call on that stream is MM_INVALID_STATE. */
    void (*unmap)(struct mmi_region *region);
    /* A copy in that is over when the call returns, for callers with nothing to do meanwhile:
     * region[offset .. offset + bytes) = from. On a stream of its own: the scripted delays of a
     * copy are waited for. */
    mm_status (*write)(struct mmi_region *region, uint64_t offset, const void *from, uint64_t bytes,
                       mm_error *err);
    /* The place in host memory to read a file into directly. NULL (the slot, or the result when the
     * device is lost): use copies. */
    void *(*window)(struct mmi_region *region, uint64_t offset, uint64_t bytes);
    /* Host only, else NULL: range backed by a file's pages, read-only. The descriptor may be closed
     * after return. file_offset is a multiple of 4096. MM_CORRUPT: the file ends before. */
    mm_status (*map_file)(struct mmi_device *device, int fd, uint64_t file_offset, uint64_t bytes,
                          struct mmi_region *region, mm_error *err);
    /* The budget changes; called before the arena gives out new chunks. sim grows its memory. */
    mm_status (*resize)(struct mmi_device *device, uint64_t budget_bytes, mm_error *err);
    /* All regions were unmapped, all streams closed, all staging freed. */
    void (*close)(struct mmi_device *device);

    /* Page-locked memory of the host (host and sim: ordinary pages) that copies reach at the full
     * speed of the link; aligned to 4096, contents undefined. Dear on CUDA, milliseconds: keep it.
     * NULL on failure, which *err tells. */
    void *(*staging_alloc)(struct mmi_device *device, uint64_t bytes, mm_error *err);
    /* `bytes` as asked; NULL memory does nothing. No copy from or to it is under way: as unmap. */
    void (*staging_free)(struct mmi_device *device, void *memory, uint64_t bytes);

    /* ---- Streams: one thread at a time on one stream ---- */

    mm_status (*stream_open)(struct mmi_device *device, struct mmi_stream **stream, mm_error *err);
    /* Blocks until all that was put on it is over, or the device is lost; cannot fail; NULL does
     * nothing. Its events are invalid afterwards. */
    void (*stream_close)(struct mmi_device *device, struct mmi_stream *stream);
    /* The first step of a load, and of nothing else: what is put on the stream from here on comes
     * the scripted delay of a load later. Does not block. */
    mm_status (*begin_load)(struct mmi_device *device, struct mmi_stream *stream, mm_error *err);
    /* device = host, host = device, device = device. The memory of the host, `from` of copy_in and
     * `to` of copy_out, is left alone by the caller and stays valid until the copy is over. Does
     * not block (CUDA: for staging; other memory it may read or fill before it returns). bytes 0
     * does nothing. MM_NO_MEMORY; MM_INVALID_STATE: sim found that something was not waited for,
     * and nothing was put on the stream. */
    mm_status (*copy_in)(struct mmi_device *device, struct mmi_stream *stream, void *to,
                         const void *from, uint64_t bytes, mm_error *err);
    mm_status (*copy_out)(struct mmi_device *device, struct mmi_stream *stream, void *to,
                          const void *from, uint64_t bytes, mm_error *err);
    mm_status (*copy)(struct mmi_device *device, struct mmi_stream *stream, void *to,
                      const void *from, uint64_t bytes, mm_error *err);
    /* Said before a kernel on the stream touches base[0 .. bytes): sim checks the order
     * (MM_INVALID_STATE) and remembers a write as it does a copy's; other kinds do nothing. With
     * stream NULL the host itself touches it, now. A kernel of sim runs on the host: it also waits
     * for the stream before it begins. */
    mm_status (*access)(struct mmi_device *device, struct mmi_stream *stream, const void *base,
                        uint64_t bytes, enum mmi_access access, mm_error *err);

    /* ---- Events: plain values, valid until their stream closes; any thread ---- */

    /* *event = all that is on the stream now. */
    mm_status (*record)(struct mmi_device *device, struct mmi_stream *stream,
                        mm_device_event *event, mm_error *err);
    /* What is put on the stream from here on comes after the event, which may be another stream's.
     * Does not block. */
    mm_status (*stream_wait)(struct mmi_device *device, struct mmi_stream *stream,
                             const mm_device_event *event, mm_error *err);
    /* Blocks, on env's clock, until the event is done; its bytes are then there. MM_DEVICE_LOST as
     * soon as that is known. */
    mm_status (*wait)(struct mmi_device *device, const mm_device_event *event, mm_error *err);
    /* Blocks until all that is on the stream is over. MM_OK at once, and without a fault, when
     * nothing is. */
    mm_status (*finish)(struct mmi_device *device, struct mmi_stream *stream, mm_error *err);
    /* MM_OK, MM_PENDING (*err untouched), or a failure; does not block. A device may answer
     * MM_PENDING a little longer than need be. */
    mm_status (*done)(struct mmi_device *device, const mm_device_event *event, mm_error *err);

    /* Is the device alive? MM_OK; MM_DEVICE_LOST: it is not, and is lost from now on. Anything
     * else: it could not be asked, which is no loss. May block for milliseconds. */
    mm_status (*probe)(struct mmi_device *device, mm_error *err);
};

struct mmi_device {
    mm_device pub; /* shown to backends; pub.name = name, pub.host = this device */
    const struct mmi_device_ops *ops;
    const struct mmi_env *env;
    char name[64];
    struct mmi_arena *arena; /* under the residency lock */
    struct mmi_kept *kept;   /* kept.h; NULL: nothing (host) */
    _Atomic bool lost;       /* set once, by the device, before it returns MM_DEVICE_LOST */
    void *impl;
};

struct mmi_device_config {
    const char *name; /* "host", "sim/pod1" ...: kind[/label] */
    uint32_t index;
    uint64_t budget_bytes;
    /* What a stream of sim takes, on env's clock; 0 = nothing. UINT64_MAX = for ever */
    uint64_t sim_ns_per_mib;      /* of a copy in, or inside the device */
    uint64_t sim_load_delay_ns;   /* begin_load */
    uint64_t sim_out_ns_per_mib;  /* of a copy out */
    uint64_t sim_copy_latency_ns; /* of each copy besides */
};

/* Every device call that can fail asks env's fault hook "device" first: ENOMEM -> MM_NO_MEMORY,
 * EMFILE and ENFILE -> MM_NO_FDS, ENODEV -> the device is lost for ever, other errno -> MM_IO. A
 * lost device answers MM_DEVICE_LOST to all of them; what was under way on it never arrives.
 * MM_UNSUPPORTED: a kind that this build lacks, named. */
mm_status mmi_device_open(const struct mmi_env *env, const struct mmi_device_config *config,
                          struct mmi_device **device, mm_error *err);
void mmi_device_close(struct mmi_device *device); /* NULL is fine; see ops->close */

/* What a model and its runs take there, as the device rounds. Under the residency lock. */
uint64_t mmi_device_rounded(const struct mmi_device *device, uint64_t weights_bytes,
                            uint64_t activation_bytes);
/* That is more than it has: MM_TOO_LARGE, with all numbers as they were compared. */
mm_status mmi_fail_too_large(const struct mmi_device *device, uint64_t weights_bytes,
                             uint64_t activation_bytes, mm_error *err);

/* Half of the smaller of MemAvailable and the cgroup's limit: see memory_info.h. */
uint64_t mmi_host_default_budget(void);

#endif
