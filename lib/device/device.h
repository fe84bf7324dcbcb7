/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_DEVICE_DEVICE_H
#define MMI_DEVICE_DEVICE_H

/* A device: a memory with a budget of its own that can run models. This module moves bytes and
 * calls drivers; what the bytes mean, and who may have how many, is decided above.
 *
 * Split of duties: the arena (memory/) says which chunks a block has; the device maps them into one
 * contiguous range. Arena calls are made under the residency lock; every function below is called
 * without it, from any thread, on different regions at once. */

#include <base/env.h>
#include <base/status.h>
#include <memory/arena.h>

#include <modelmesh/backend.h>

struct mmi_device;

/* A contiguous range with memory behind it. Zeroed = none. */
struct mmi_region {
    struct mmi_device *device;
    uint8_t *base;
    uint64_t bytes;       /* as asked */
    uint64_t range_bytes; /* of the address range, a multiple of pages or chunks; 0: small block,
                             the range belongs to the device */
    bool file_mapped;
};

struct mmi_device_ops {
    /* Address range + memory for `block`; contents undefined (host: zero). MM_NO_MEMORY is what the
     * kernel or driver says, not the budget; MM_DEVICE_LOST. */
    mm_status (*map)(struct mmi_device *device, const struct mmi_block *block,
                     struct mmi_region *region, mm_error *err);
    /* Gives the memory back; cannot fail; a zeroed region does nothing. */
    void (*unmap)(struct mmi_region *region);
    /* Copy in: region[offset .. offset + bytes) = from. */
    mm_status (*write)(struct mmi_region *region, uint64_t offset, const void *from, uint64_t bytes,
                       mm_error *err);
    /* The place in host memory to read a file into directly. NULL (the slot, or the result when the
     * device is lost): use write. */
    void *(*window)(struct mmi_region *region, uint64_t offset, uint64_t bytes);
    /* Host only, else NULL: range backed by a file's pages, read-only. The descriptor may be closed
     * after return. file_offset is a multiple of 4096. MM_CORRUPT: the file ends before. */
    mm_status (*map_file)(struct mmi_device *device, int fd, uint64_t file_offset, uint64_t bytes,
                          struct mmi_region *region, mm_error *err);
    /* The budget changes; called before the arena gives out new chunks. sim grows its memory. */
    mm_status (*resize)(struct mmi_device *device, uint64_t budget_bytes, mm_error *err);
    void (*close)(struct mmi_device *device);
};

struct mmi_device {
    mm_device pub; /* shown to backends; pub.name = name */
    const struct mmi_device_ops *ops;
    const struct mmi_env *env;
    char name[64];
    struct mmi_arena *arena; /* under the residency lock */
    _Atomic bool lost;       /* set once, by the device, before it returns MM_DEVICE_LOST */
    void *impl;
};

struct mmi_device_config {
    const char *name; /* "host", "sim/pod1" ...: kind[/label] */
    uint32_t index;
    uint64_t budget_bytes;
    uint64_t sim_ns_per_mib;    /* waited for on env's clock at each write ... */
    uint64_t sim_load_delay_ns; /* ... and at each map */
};

/* Every device call that can fail asks env's fault hook "device" first: ENOMEM -> MM_NO_MEMORY,
 * EMFILE and ENFILE -> MM_NO_FDS, ENODEV -> the device is lost for ever, other errno -> MM_IO.
 * MM_UNSUPPORTED: a kind that this build lacks, named. */
mm_status mmi_device_open(const struct mmi_env *env, const struct mmi_device_config *config,
                          struct mmi_device **device, mm_error *err);
void mmi_device_close(struct mmi_device *device); /* NULL is fine; all regions were unmapped */

/* Half of the smaller of MemAvailable and what the cgroup (v1 or v2) leaves; at least 64 MiB. */
uint64_t mmi_host_default_budget(void);

#endif
