/* SPDX-License-Identifier: Apache-2.0 */
#include <device/sim.h>

#include <base/file_limit.h>

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
struct mmi_sim_window {
    struct mmi_sim_window *next;
    uint32_t first, count;
    uint8_t *base;
};

mm_status mmi_sim_enter(struct mmi_device *device, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    mm_status status = mmi_device_enter(device, err);
    if (status == MM_DEVICE_LOST) {
        mmi_lock(&sim->lock);
        mmi_cond_broadcast(&sim->changed);
        mmi_unlock(&sim->lock);
    }
    return status;
}

/* ---- Mapping --------------------------------------------------------------------------------- */

static uint8_t *find_chunk(struct mmi_sim *sim, uint32_t chunk) {
    mmi_lock(&sim->lock);
    assert(chunk < sim->chunk_count);
    const struct mmi_sim_window *window = sim->windows;
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

static bool map_chunks(const struct mmi_sim *sim, const struct mmi_block *block, uint8_t *base) {
    for (uint32_t i = 0; i < block->chunk_count;) {
        uint32_t length = run_length(block, i);
        if (mmap(base + i * MMI_CHUNK_BYTES, length * MMI_CHUNK_BYTES, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED, sim->memory,
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

static mm_status map_block(struct mmi_device *device, const struct mmi_block *block,
                           struct mmi_region *region, mm_error *err) {
    if (!block->small) {
        return map_large(device, block, region, err);
    }
    *region = (struct mmi_region){.device = device,
                                  .base = find_chunk(device->impl, block->chunk) + block->offset,
                                  .bytes = block->bytes};
    return MM_OK;
}

static mm_status sim_map(struct mmi_device *device, const struct mmi_block *block,
                         struct mmi_region *region, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    MMI_TRY(mmi_sim_enter(device, err));
    MMI_TRY(map_block(device, block, region, err));
    mmi_lock(&sim->lock);
    mmi_list_push_back(&sim->regions, &region->node);
    mmi_unlock(&sim->lock);
    return MM_OK;
}

/* The arena may have given a small block to somebody else before its old region is unmapped. */
static bool has_new_owner(const struct mmi_sim *sim, const struct mmi_sim_memory *memory) {
    MMI_LIST_EACH(node, &sim->regions) {
        const struct mmi_region *region = MMI_CONTAINER(node, struct mmi_region, node);
        if (mmi_sim_meet(memory, &(struct mmi_sim_memory){region->base, region->bytes})) {
            return true;
        }
    }
    return false;
}

static void sim_unmap(struct mmi_region *region) {
    struct mmi_device *device = region->device;
    if (!device) {
        return;
    }
    struct mmi_sim *sim = device->impl;
    struct mmi_sim_memory memory = {region->base, region->bytes};
    mmi_lock(&sim->lock);
    mmi_list_remove(&region->node);
    if (!has_new_owner(sim, &memory)) {
        mmi_sim_abandon(device, &memory);
    }
    mmi_unlock(&sim->lock);
    mmi_region_unmap(region);
}

/* ---- Staging --------------------------------------------------------------------------------- */

static void *sim_staging_alloc(struct mmi_device *device, uint64_t bytes, mm_error *err) {
    return mmi_sim_enter(device, err) == MM_OK ? mmi_pages_alloc(device, bytes, err) : NULL;
}

static void sim_staging_free(struct mmi_device *device, void *memory, uint64_t bytes) {
    struct mmi_sim *sim = device->impl;
    if (!memory) {
        return;
    }
    mmi_lock(&sim->lock);
    mmi_sim_abandon(device, &(struct mmi_sim_memory){memory, bytes});
    mmi_unlock(&sim->lock);
    mmi_pages_free(device, memory, bytes);
}

/* ---- Size ------------------------------------------------------------------------------------ */

/* Under the lock. */
static mm_status grow(struct mmi_device *device, uint32_t chunk_count, mm_error *err) {
    struct mmi_sim *sim = device->impl;
    uint64_t end = chunk_count * MMI_CHUNK_BYTES;
    uint64_t start = sim->chunk_count * MMI_CHUNK_BYTES;
    if (end > mmi_file_limit()) {
        return mmi_fail(err, MM_NO_MEMORY,
                        "device %s: growing to %" PRIu64 " bytes, RLIMIT_FSIZE of the process is "
                        "%" PRIu64,
                        device->name, end, mmi_file_limit());
    }
    struct mmi_sim_window *window = mmi_alloc(&device->env->alloc, 1, sizeof(*window));
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
    *window = (struct mmi_sim_window){sim->windows, sim->chunk_count,
                                      chunk_count - sim->chunk_count, base};
    sim->windows = window;
    sim->chunk_count = chunk_count;
    return MM_OK;
}

/* Never fewer than there were: the arena keeps its highest numbers too. */
static mm_status provide(struct mmi_device *device, uint64_t budget_bytes, mm_error *err) {
    struct mmi_sim *sim = device->impl;
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
    MMI_TRY(mmi_sim_enter(device, err));
    return provide(device, budget_bytes, err);
}

/* ---- Open and close -------------------------------------------------------------------------- */

mm_status mmi_sim_open(struct mmi_device *device, const struct mmi_device_config *config,
                       mm_error *err) {
    const mm_allocator *alloc = &device->env->alloc;
    struct mmi_sim *sim = mmi_alloc(alloc, 1, sizeof(*sim));
    if (!sim) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", device->name);
    }
    int errnum = mmi_cond_init(&sim->changed, device->env);
    if (errnum != 0) {
        mmi_free(alloc, sim, sizeof(*sim));
        return mmi_fail_errno(err, MM_NO_MEMORY, errnum, "device %s", device->name);
    }
    mmi_lock_init(&sim->lock, MMI_RANK_DEVICE);
    mmi_list_init(&sim->regions);
    mmi_list_init(&sim->streams);
    mmi_list_init(&sim->ops);
    mmi_list_init(&sim->due);
    sim->in_ns_per_mib = config->sim_ns_per_mib;
    sim->out_ns_per_mib = config->sim_out_ns_per_mib;
    sim->copy_latency_ns = config->sim_copy_latency_ns;
    sim->load_delay_ns = config->sim_load_delay_ns;
    device->impl = sim;
    sim->memory = memfd_create("modelmesh-sim", MFD_CLOEXEC);
    if (sim->memory < 0) {
        return mmi_fail_errno(err, MM_IO, errno, "device %s: its memory", device->name);
    }
    return provide(device, config->budget_bytes, err);
}

static void sim_close(struct mmi_device *device) {
    struct mmi_sim *sim = device->impl;
    if (!sim) {
        return;
    }
    assert(mmi_list_empty(&sim->regions) && mmi_list_empty(&sim->streams));
    while (sim->windows) {
        struct mmi_sim_window *window = sim->windows;
        sim->windows = window->next;
        (void)munmap(window->base, window->count * MMI_CHUNK_BYTES);
        mmi_free(&device->env->alloc, window, sizeof(*window));
    }
    if (sim->memory >= 0) {
        close(sim->memory);
    }
    mmi_lock_fini(&sim->lock);
    mmi_cond_fini(&sim->changed);
    mmi_free(&device->env->alloc, sim, sizeof(*sim));
}

const struct mmi_device_ops mmi_sim_ops = {
    .map = sim_map,
    .unmap = sim_unmap,
    .write = mmi_sim_write,
    .window = NULL,
    .map_file = NULL,
    .resize = sim_resize,
    .close = sim_close,
    .staging_alloc = sim_staging_alloc,
    .staging_free = sim_staging_free,
    .stream_open = mmi_sim_stream_open,
    .stream_close = mmi_sim_stream_close,
    .begin_load = mmi_sim_begin_load,
    .copy_in = mmi_sim_copy_in,
    .copy_out = mmi_sim_copy_out,
    .copy = mmi_sim_copy,
    .access = mmi_sim_access,
    .record = mmi_sim_record,
    .stream_wait = mmi_sim_stream_wait,
    .wait = mmi_sim_wait,
    .finish = mmi_sim_finish,
    .done = mmi_sim_done,
    .probe = mmi_sim_enter,
};
