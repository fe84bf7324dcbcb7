/* SPDX-License-Identifier: Apache-2.0 */
#include <device/kept.h>

#include <base/lock.h>
#include <base/thread.h>
#include <device/driver.h>

#include <inttypes.h>
#include <stdatomic.h>

/* One stream at most; opened by the first who takes the slot. */
struct slot {
    _Atomic uint32_t busy;
    struct mmi_stream *stream; /* with busy held; NULL = not open */
};

struct mmi_kept {
    struct slot streams[MMI_STREAMS_KEPT];
    struct mmi_lock lock; /* guards all below */
    void *staging[MMI_STAGING_KEPT];
    uint32_t idle, made; /* buffers in `staging`; and with those in use */
};

mm_status mmi_kept_open(struct mmi_device *device, mm_error *err) {
    struct mmi_kept *kept = mmi_alloc(&device->env->alloc, 1, sizeof(*kept));
    if (!kept) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    mmi_lock_init(&kept->lock, MMI_RANK_DEVICE);
    device->kept = kept;
    return MM_OK;
}

void mmi_kept_close(struct mmi_device *device) {
    struct mmi_kept *kept = device->kept;
    if (!kept) {
        return;
    }
    for (unsigned i = 0; i < MMI_STREAMS_KEPT; i++) {
        device->ops->stream_close(device, kept->streams[i].stream);
    }
    for (uint32_t i = 0; i < kept->idle; i++) {
        device->ops->staging_free(device, kept->staging[i], MMI_STAGING_BYTES);
    }
    mmi_lock_fini(&kept->lock);
    mmi_free(&device->env->alloc, kept, sizeof(*kept));
    device->kept = NULL;
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* A slot whose stream is open, or is not: 0 = none is idle. */
static uint32_t take_slot(struct mmi_kept *kept) {
    unsigned hint = mmi_thread_shard(MMI_STREAMS_KEPT);
    for (unsigned i = 0; i < MMI_STREAMS_KEPT; i++) {
        unsigned at = (hint + i) % MMI_STREAMS_KEPT;
        uint32_t idle = 0;
        if (atomic_load_explicit(&kept->streams[at].busy, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&kept->streams[at].busy, &idle, 1)) {
            return at + 1;
        }
    }
    return 0;
}

mm_status mmi_stream_take(struct mmi_device *device, struct mmi_kept_stream *taken, mm_error *err) {
    struct mmi_kept *kept = device->kept;
    *taken = (struct mmi_kept_stream){0};
    if (!kept) {
        return MM_OK;
    }
    uint32_t slot = take_slot(kept);
    struct mmi_stream *stream = slot ? kept->streams[slot - 1].stream : NULL;
    if (!stream) {
        mm_status status = device->ops->stream_open(device, &stream, err);
        if (status != MM_OK) {
            if (slot) {
                atomic_store(&kept->streams[slot - 1].busy, 0);
            }
            return status;
        }
    }
    *taken = (struct mmi_kept_stream){stream, slot};
    return MM_OK;
}

void mmi_stream_give(struct mmi_device *device, struct mmi_kept_stream *taken, bool sound) {
    struct mmi_kept *kept = device->kept;
    struct mmi_stream *stream = taken->stream;
    if (stream && (!sound || taken->slot == 0)) {
        device->ops->stream_close(device, stream);
        stream = NULL;
    }
    if (taken->slot > 0) {
        kept->streams[taken->slot - 1].stream = stream;
        atomic_store(&kept->streams[taken->slot - 1].busy, 0);
    }
    *taken = (struct mmi_kept_stream){0};
}

/* ---- Staging --------------------------------------------------------------------------------- */

/* NULL: as many are in use as the device may keep, or it has no memory for one. */
static void *take_buffer(struct mmi_device *device) {
    struct mmi_kept *kept = device->kept;
    mmi_lock(&kept->lock);
    void *memory = kept->idle > 0 ? kept->staging[--kept->idle] : NULL;
    bool make = !memory && kept->made < MMI_STAGING_KEPT;
    kept->made += make;
    mmi_unlock(&kept->lock);
    if (make) {
        memory = device->ops->staging_alloc(device, MMI_STAGING_BYTES, NULL);
    }
    if (make && !memory) {
        mmi_lock(&kept->lock);
        kept->made--;
        mmi_unlock(&kept->lock);
    }
    return memory;
}

mm_status mmi_staging_take(struct mmi_device *device, uint64_t bytes, struct mmi_staging *staging,
                           mm_error *err) {
    void *memory = device->kept ? take_buffer(device) : NULL;
    *staging = (struct mmi_staging){memory, MMI_STAGING_BYTES, true};
    if (!memory) {
        memory = mmi_alloc(&device->env->alloc, 1, bytes);
        *staging = (struct mmi_staging){memory, memory ? bytes : 0, false};
    }
    return memory ? MM_OK
                  : mmi_fail(err, MM_NO_MEMORY, "device %s: no memory to read %" PRIu64 " bytes",
                             device->name, bytes);
}

void mmi_staging_give(struct mmi_device *device, struct mmi_staging *staging) {
    struct mmi_kept *kept = device->kept;
    if (staging->kept) {
        mmi_lock(&kept->lock);
        kept->staging[kept->idle++] = staging->memory;
        mmi_unlock(&kept->lock);
    } else if (staging->memory) {
        mmi_free(&device->env->alloc, staging->memory, staging->bytes);
    }
    *staging = (struct mmi_staging){0};
}
