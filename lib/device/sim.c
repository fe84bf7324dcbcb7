/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <base/lock.h>
#include <device/driver.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A simulated device: its memory is a file in memory, chunk n at n * 2 MiB of it, and our page
 * table is mmap.
 *
 *   large block   a range of addresses is reserved, then every run of adjacent chunk numbers is
 *                 mapped into its place, so that the region is contiguous
 *   small block   lies in a window: all chunks are mapped once more, in their own order, from the
 *                 moment the device has them until it closes
 *
 * Like those of a real device, chunks are never given back while it is open. */

/* Chunks [first, first + count) in their own order; one for each time that the device grew. */
struct window {
    struct window *next;
    uint32_t first, count;
    uint8_t *base;
};

struct sim {
    int memory; /* the file; -1 = none */
    uint64_t ns_per_mib, load_delay_ns;
    struct mmi_lock lock; /* guards all below */
    pthread_cond_t time;  /* never signalled: waits on it end by the clock */
    struct window *windows;
    uint32_t chunk_count;
};

/* ---- Latency --------------------------------------------------------------------------------- */

static mm_status wait_for(struct mmi_device *device, uint64_t delay_ns, mm_error *err) {
    struct sim *sim = device->impl;
    const struct mmi_clock *clock = &device->env->clock;
    if (delay_ns == 0) {
        return MM_OK;
    }
    uint64_t deadline_ns = mmi_add_cap(mmi_now(clock), delay_ns);
    mmi_lock(&sim->lock);
    while (!atomic_load(&device->lost) && mmi_now(clock) < deadline_ns) {
        mmi_lock_wait(&sim->lock, &sim->time, clock, deadline_ns);
    }
    mmi_unlock(&sim->lock);
    return atomic_load(&device->lost) ? mmi_device_gone(device, err) : MM_OK;
}

/* A product beyond 64 bits is hours away: treat as never. */
static uint64_t copy_ns(const struct sim *sim, uint64_t bytes) {
    uint64_t product;
    return mmi_mul(bytes, sim->ns_per_mib, &product) ? product >> 20 : UINT64_MAX;
}

/* ---- Mapping --------------------------------------------------------------------------------- */

static uint8_t *find_chunk(struct sim *sim, uint32_t chunk) {
    mmi_lock(&sim->lock);
    assert(chunk < sim->chunk_count);
    const struct window *window = sim->windows;
    while (chunk < window->first) {
        window = window->next;
    }
    uint8_t *at = window->base + (chunk - window->first) * MMI_CHUNK_BYTES;
    mmi_unlock(&sim->lock);
    return at;
}

static uint32_t run_length(const struct mmi_block *block, uint32_t first) {
    uint32_t length = 1;
    while (first + length < block->chunk_count &&
           block->chunks[first + length] == block->chunks[first] + length) {
        length++;
    }
    return length;
}

/* Populated at once: a page fault for each page of a load would take longer than its copy. */
static bool map_chunks(const struct sim *sim, const struct mmi_block *block, uint8_t *base) {
    for (uint32_t i = 0; i < block->chunk_count;) {
        uint32_t length = run_length(block, i);
        if (mmap(base + i * MMI_CHUNK_BYTES, length * MMI_CHUNK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED | MAP_POPULATE, sim->memory,
                 (off_t)(block->chunks[i] * MMI_CHUNK_BYTES)) == MAP_FAILED) {
            return false;
        }
        i += length;
    }
    return true;
}

static mm_status map_large(struct mmi_device *device, const struct mmi_block *block,
                           struct mmi_region *region, mm_error *err) {
    void *base = mmap(NULL, block->charged_bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return mmi_fail_errno(err, MM_NO_MEMORY, errno, "device %s: reserving %" PRIu64 " bytes",
                              device->name, block->charged_bytes);
    }
    struct mmi_region range = {
        .device = device, .base = base, .bytes = block->bytes, .range_bytes = block->charged_bytes};
    if (!map_chunks(device->impl, block, base)) {
        int errnum = errno;
        mmi_region_unmap(&range);
        return mmi_fail_errno(err, MM_NO_MEMORY, errnum, "device %s: mapping %" PRIu32 " chunks",
                              device->name, block->chunk_count);
    }
    *region = range;
    return MM_OK;
}

static mm_status sim_map(struct mmi_device *device, const struct mmi_block *block,
                         struct mmi_region *region, mm_error *err) {
    struct sim *sim = device->impl;
    MMI_TRY(mmi_device_enter(device, err));
    MMI_TRY(wait_for(device, sim->load_delay_ns, err));
    if (!block->small) {
        return map_large(device, block, region, err);
    }
    *region = (struct mmi_region){.device = device,
                                  .base = find_chunk(sim, block->chunk) + block->offset,
                                  .bytes = block->bytes};
    return MM_OK;
}

static mm_status sim_write(struct mmi_region *region, uint64_t offset, const void *from,
                           uint64_t bytes, mm_error *err) {
    struct mmi_device *device = region->device;
    mmi_region_check(region, offset, bytes);
    MMI_TRY(mmi_device_enter(device, err));
    MMI_TRY(wait_for(device, copy_ns(device->impl, bytes), err));
    memcpy(region->base + offset, from, bytes);
    return MM_OK;
}

/* ---- Size ------------------------------------------------------------------------------------ */

/* Under the lock. */
static mm_status grow(struct mmi_device *device, uint32_t chunk_count, mm_error *err) {
    struct sim *sim = device->impl;
    uint64_t end = chunk_count * MMI_CHUNK_BYTES;
    uint64_t start = sim->chunk_count * MMI_CHUNK_BYTES;
    struct window *window = mmi_alloc(&device->env->alloc, 1, sizeof(*window));
    if (!window) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    void *base = MAP_FAILED;
    /* A file that grew for nothing holds no memory. */
    if (ftruncate(sim->memory, (off_t)end) == 0) {
        base =
            mmap(NULL, end - start, PROT_READ | PROT_WRITE, MAP_SHARED, sim->memory, (off_t)start);
    }
    if (base == MAP_FAILED) {
        int errnum = errno;
        mmi_free(&device->env->alloc, window, sizeof(*window));
        return mmi_fail_errno(err, MM_NO_MEMORY, errnum, "device %s: growing to %" PRIu64 " bytes",
                              device->name, end);
    }
    *window = (struct window){sim->windows, sim->chunk_count, chunk_count - sim->chunk_count, base};
    sim->windows = window;
    sim->chunk_count = chunk_count;
    return MM_OK;
}

/* Never fewer than there were: the arena keeps its highest numbers too. */
static mm_status provide(struct mmi_device *device, uint64_t budget_bytes, mm_error *err) {
    struct sim *sim = device->impl;
    uint64_t chunk_count = budget_bytes / MMI_CHUNK_BYTES;
    if (chunk_count > UINT32_MAX) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "device %s: budget_bytes is %" PRIu64 ", above 2^32 - 1 chunks of 2 MiB",
                        device->name, budget_bytes);
    }
    mm_status status = MM_OK;
    mmi_lock(&sim->lock);
    if (chunk_count > sim->chunk_count) {
        status = grow(device, (uint32_t)chunk_count, err);
    }
    mmi_unlock(&sim->lock);
    return status;
}

static mm_status sim_resize(struct mmi_device *device, uint64_t budget_bytes, mm_error *err) {
    MMI_TRY(mmi_device_enter(device, err));
    return provide(device, budget_bytes, err);
}

/* ---- Open and close -------------------------------------------------------------------------- */

mm_status mmi_sim_open(struct mmi_device *device, const struct mmi_device_config *config,
                       mm_error *err) {
    const mm_allocator *alloc = &device->env->alloc;
    struct sim *sim = mmi_alloc(alloc, 1, sizeof(*sim));
    if (!sim) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    int errnum = mmi_cond_init(&sim->time);
    if (errnum != 0) {
        mmi_free(alloc, sim, sizeof(*sim));
        return mmi_fail_errno(err, MM_NO_MEMORY, errnum, "device %s", device->name);
    }
    mmi_lock_init(&sim->lock, MMI_RANK_DEVICE);
    sim->ns_per_mib = config->sim_ns_per_mib;
    sim->load_delay_ns = config->sim_load_delay_ns;
    device->impl = sim;
    sim->memory = memfd_create("modelmesh-sim", MFD_CLOEXEC);
    if (sim->memory < 0) {
        return mmi_fail_errno(err, MM_IO, errno, "device %s: its memory", device->name);
    }
    return provide(device, config->budget_bytes, err);
}

static void sim_close(struct mmi_device *device) {
    struct sim *sim = device->impl;
    if (!sim) {
        return;
    }
    while (sim->windows) {
        struct window *window = sim->windows;
        sim->windows = window->next;
        (void)munmap(window->base, window->count * MMI_CHUNK_BYTES);
        mmi_free(&device->env->alloc, window, sizeof(*window));
    }
    if (sim->memory >= 0) {
        close(sim->memory);
    }
    mmi_lock_fini(&sim->lock);
    pthread_cond_destroy(&sim->time);
    mmi_free(&device->env->alloc, sim, sizeof(*sim));
}

const struct mmi_device_ops mmi_sim_ops = {
    .map = sim_map,
    .unmap = mmi_region_unmap,
    .write = sim_write,
    .window = NULL,
    .map_file = NULL,
    .resize = sim_resize,
    .close = sim_close,
};
