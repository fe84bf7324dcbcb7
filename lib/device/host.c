/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <device/driver.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The host: the kernel is the page table. A region is one mapping, anonymous or of a file. */

/* From this size on, huge pages make filling a fresh region more than twice as fast: most of the
 * time goes to page faults. They lie inside the region, so no extra page is taken. */
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

static mm_status host_map(struct mmi_device *device, const struct mmi_block *block,
                          struct mmi_region *region, mm_error *err) {
    MMI_TRY(mmi_device_enter(device, err));
    void *base = mmap(NULL, block->charged_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return mmi_fail_errno(err, MM_NO_MEMORY, errno, "device %s: mapping %" PRIu64 " bytes",
                              device->name, block->charged_bytes);
    }
    if (block->charged_bytes >= HUGE_PAGE_BYTES) {
        (void)madvise(base, block->charged_bytes, MADV_HUGEPAGE); /* advice only */
    }
    *region = (struct mmi_region){
        .device = device, .base = base, .bytes = block->bytes, .range_bytes = block->charged_bytes};
    return MM_OK;
}

static mm_status host_map_file(struct mmi_device *device, int fd, uint64_t file_offset,
                               uint64_t bytes, struct mmi_region *region, mm_error *err) {
    MMI_TRY(mmi_device_enter(device, err));
    struct stat file;
    if (fstat(fd, &file) != 0) {
        return mmi_fail_errno(err, MM_IO, errno, "device %s: a file to be mapped", device->name);
    }
    /* Touching a page behind the end would be SIGBUS. */
    uint64_t end, range_bytes;
    if (!mmi_add(file_offset, bytes, &end) || end > (uint64_t)file.st_size ||
        !mmi_round_up(bytes, MMI_PAGE_BYTES, &range_bytes)) {
        return mmi_fail(err, MM_CORRUPT,
                        "device %s: %" PRIu64 " bytes at %" PRIu64 " of a file that has %" PRIu64,
                        device->name, bytes, file_offset, (uint64_t)file.st_size);
    }
    void *base = mmap(NULL, range_bytes, PROT_READ, MAP_SHARED, fd, (off_t)file_offset);
    if (base == MAP_FAILED) {
        return mmi_fail_errno(err, MM_IO, errno, "device %s: mapping %" PRIu64 " bytes of a file",
                              device->name, bytes);
    }
    *region = (struct mmi_region){.device = device,
                                  .base = base,
                                  .bytes = bytes,
                                  .range_bytes = range_bytes,
                                  .file_mapped = true};
    return MM_OK;
}

static mm_status host_write(struct mmi_region *region, uint64_t offset, const void *from,
                            uint64_t bytes, mm_error *err) {
    mmi_region_check(region, offset, bytes);
    MMI_TRY(mmi_device_enter(region->device, err));
    memcpy(region->base + offset, from, bytes);
    return MM_OK;
}

/* Cannot fail. On a lost device NULL: the caller falls back to write, which reports it. */
static void *host_window(struct mmi_region *region, uint64_t offset, uint64_t bytes) {
    mmi_region_check(region, offset, bytes);
    return atomic_load(&region->device->lost) ? NULL : region->base + offset;
}

/* The budget is only a counter. */
static mm_status host_resize(struct mmi_device *device, uint64_t budget_bytes, mm_error *err) {
    (void)budget_bytes;
    return mmi_device_enter(device, err);
}

static void host_close(struct mmi_device *device) {
    (void)device;
}

static void *host_staging_alloc(struct mmi_device *device, uint64_t bytes, mm_error *err) {
    return mmi_device_enter(device, err) == MM_OK ? mmi_pages_alloc(device, bytes, err) : NULL;
}

/* ---- Streams: everything is over when its call returns --------------------------------------- */

static mm_status host_stream_open(struct mmi_device *device, struct mmi_stream **stream,
                                  mm_error *err) {
    MMI_TRY(mmi_device_enter(device, err));
    *stream = NULL;
    return MM_OK;
}

static void host_stream_close(struct mmi_device *device, struct mmi_stream *stream) {
    (void)device, (void)stream;
}

static mm_status host_begin_load(struct mmi_device *device, struct mmi_stream *stream,
                                 mm_error *err) {
    (void)stream;
    return mmi_device_enter(device, err);
}

/* In, out and inside: it is all the same memory. */
static mm_status host_copy(struct mmi_device *device, struct mmi_stream *stream, void *to,
                           const void *from, uint64_t bytes, mm_error *err) {
    (void)stream;
    MMI_TRY(mmi_device_enter(device, err));
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return MM_OK;
}

static mm_status host_access(struct mmi_device *device, struct mmi_stream *stream, const void *base,
                             uint64_t bytes, enum mmi_access access, mm_error *err) {
    (void)stream, (void)base, (void)bytes, (void)access;
    return mmi_device_enter(device, err);
}

static mm_status host_record(struct mmi_device *device, struct mmi_stream *stream,
                             mm_device_event *event, mm_error *err) {
    (void)stream;
    MMI_TRY(mmi_device_enter(device, err));
    *event = (mm_device_event){0};
    return MM_OK;
}

static mm_status host_stream_wait(struct mmi_device *device, struct mmi_stream *stream,
                                  const mm_device_event *event, mm_error *err) {
    (void)stream, (void)event;
    return mmi_device_enter(device, err);
}

/* `wait` and `done`. */
static mm_status host_wait(struct mmi_device *device, const mm_device_event *event, mm_error *err) {
    (void)event;
    return mmi_device_enter(device, err);
}

static mm_status host_finish(struct mmi_device *device, struct mmi_stream *stream, mm_error *err) {
    (void)device, (void)stream, (void)err;
    return MM_OK;
}

const struct mmi_device_ops mmi_host_ops = {
    .map = host_map,
    .unmap = mmi_region_unmap,
    .write = host_write,
    .window = host_window,
    .map_file = host_map_file,
    .resize = host_resize,
    .close = host_close,
    .staging_alloc = host_staging_alloc,
    .staging_free = mmi_pages_free,
    .stream_open = host_stream_open,
    .stream_close = host_stream_close,
    .begin_load = host_begin_load,
    .copy_in = host_copy,
    .copy_out = host_copy,
    .copy = host_copy,
    .access = host_access,
    .record = host_record,
    .stream_wait = host_stream_wait,
    .wait = host_wait,
    .finish = host_finish,
    .done = host_wait,
    .probe = mmi_device_enter,
};
