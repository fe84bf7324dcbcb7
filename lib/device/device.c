/* SPDX-License-Identifier: Apache-2.0 */
#include <device/driver.h>

#include <base/checked.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

struct kind {
    const char *name;
    mm_device_kind kind;
    enum mmi_arena_kind arena;
    const struct mmi_device_ops *ops;
    /* NULL = nothing to set up. */
    mm_status (*open)(struct mmi_device *device, const struct mmi_device_config *config,
                      mm_error *err);
};

static const struct kind kinds[] = {
    {"host", MM_DEVICE_HOST, MMI_ARENA_PAGED, &mmi_host_ops, NULL},
    {"sim", MM_DEVICE_SIM, MMI_ARENA_CHUNKED, &mmi_sim_ops, mmi_sim_open},
};

/* ---- Names ----------------------------------------------------------------------------------- */

/* The kind that `name` begins with and what the device is called: the label, else the whole. */
static const struct kind *find_kind(const char *name, const char **called) {
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t length = strlen(kinds[i].name);
        if (strncmp(name, kinds[i].name, length) != 0) {
            continue;
        }
        if (name[length] == '\0') {
            *called = name;
            return &kinds[i];
        }
        if (name[length] == '/') {
            *called = name + length + 1;
            return &kinds[i];
        }
    }
    return NULL;
}

static bool is_cuda(const char *name) {
    return strncmp(name, "cuda:", 5) == 0 && name[5] >= '0' && name[5] <= '9';
}

static mm_status parse_name(const struct mmi_device_config *config, const struct kind **kind,
                            const char **called, mm_error *err) {
    const char *name = config->name ? config->name : "";
    if (is_cuda(name)) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "devices[%" PRIu32 "].name \"%s\": this build lacks CUDA", config->index,
                        name);
    }
    *kind = find_kind(name, called);
    if (!*kind) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "devices[%" PRIu32
                        "].name \"%s\": host, sim, host/label or sim/label expected",
                        config->index, name);
    }
    size_t length = strlen(*called);
    if (length == 0 || length >= sizeof(((struct mmi_device *)0)->name) ||
        (*called != name && strchr(*called, '/'))) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "devices[%" PRIu32 "].name \"%s\": a label has 1 to 63 bytes and no '/'",
                        config->index, name);
    }
    return MM_OK;
}

/* ---- Open and close -------------------------------------------------------------------------- */

static mm_status build(struct mmi_device *device, const struct kind *kind,
                       const struct mmi_device_config *config, mm_error *err) {
    MMI_TRY(mmi_device_enter(device, err));
    if (kind->open) {
        MMI_TRY(kind->open(device, config, err));
    }
    if (kind->kind != MM_DEVICE_HOST) {
        MMI_TRY(mmi_kept_open(device, err));
    }
    device->arena = mmi_arena_new(&device->env->alloc, kind->arena, config->budget_bytes);
    if (!device->arena) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: no memory for its books", device->name);
    }
    return MM_OK;
}

mm_status mmi_device_open(const struct mmi_env *env, const struct mmi_device_config *config,
                          struct mmi_device **out, mm_error *err) {
    const struct kind *kind = NULL;
    const char *called = NULL;
    MMI_TRY(parse_name(config, &kind, &called, err));
    struct mmi_device *device = mmi_alloc(&env->alloc, 1, sizeof(*device));
    if (!device) {
        return mmi_fail(err, MM_NO_MEMORY, "device %s: out of memory", called);
    }
    strcpy(device->name, called);
    device->pub = (mm_device){.kind = kind->kind,
                              .index = config->index,
                              .name = device->name,
                              .host = device,
                              .calls = &mmi_device_calls};
    device->ops = kind->ops;
    device->env = env;
    mm_status status = build(device, kind, config, err);
    if (status != MM_OK) {
        mmi_device_close(device);
        return status;
    }
    *out = device;
    return MM_OK;
}

void mmi_device_close(struct mmi_device *device) {
    if (!device) {
        return;
    }
    mmi_kept_close(device);
    device->ops->close(device);
    mmi_arena_free(device->arena);
    mmi_free(&device->env->alloc, device, sizeof(*device));
}

/* ---- Shared by all kinds -------------------------------------------------------------------- */

mm_status mmi_device_gone(const struct mmi_device *device, mm_error *err) {
    return mmi_fail(err, MM_DEVICE_LOST, "device %s was lost", device->name);
}

mm_status mmi_device_enter(struct mmi_device *device, mm_error *err) {
    if (atomic_load(&device->lost)) {
        return mmi_device_gone(device, err);
    }
    int errnum = mmi_fault(device->env, "device");
    if (errnum == 0) {
        return MM_OK;
    }
    if (errnum == ENODEV) {
        atomic_store(&device->lost, true);
        return mmi_device_gone(device, err);
    }
    return mmi_fail_errno(err, MM_IO, errnum, "device %s", device->name);
}

void *mmi_pages_alloc(struct mmi_device *device, uint64_t bytes, mm_error *err) {
    const mm_allocator *alloc = &device->env->alloc;
    void *memory = alloc->alloc(alloc->user, bytes, MMI_PAGE_BYTES);
    if (!memory) {
        mmi_fail(err, MM_NO_MEMORY, "device %s: no memory for %" PRIu64 " bytes of staging",
                 device->name, bytes);
    }
    return memory;
}

void mmi_pages_free(struct mmi_device *device, void *memory, uint64_t bytes) {
    mmi_free(&device->env->alloc, memory, bytes);
}

void mmi_region_unmap(struct mmi_region *region) {
    /* The kernel merges neighbouring mappings. Unmapping the middle of one makes two, which fails
     * when the process has as many mappings as it may. Then the addresses are lost, but not the
     * memory. */
    if (region->range_bytes > 0 && munmap(region->base, region->range_bytes) != 0) {
        (void)madvise(region->base, region->range_bytes, MADV_DONTNEED);
    }
    *region = (struct mmi_region){0};
}

void mmi_region_check(const struct mmi_region *region, uint64_t offset, uint64_t bytes) {
    (void)region, (void)offset, (void)bytes;
    assert(!region->file_mapped);
    assert(offset <= region->bytes && bytes <= region->bytes - offset);
}

static uint64_t rounded(const struct mmi_device *device, uint64_t bytes) {
    return bytes ? mmi_arena_rounded(device->arena, bytes) : 0;
}

uint64_t mmi_device_rounded(const struct mmi_device *device, uint64_t weights_bytes,
                            uint64_t activation_bytes) {
    return mmi_add_cap(rounded(device, weights_bytes), rounded(device, activation_bytes));
}

mm_status mmi_fail_too_large(const struct mmi_device *device, uint64_t weights_bytes,
                             uint64_t activation_bytes, mm_error *err) {
    uint64_t capacity = mmi_arena_capacity(device->arena);
    return mmi_fail_room(
        err, MM_TOO_LARGE, mmi_device_rounded(device, weights_bytes, activation_bytes), capacity,
        "needs %" PRIu64 " bytes of weights and %" PRIu64 " of activations, device %s has %" PRIu64,
        rounded(device, weights_bytes), rounded(device, activation_bytes), device->name, capacity);
}
