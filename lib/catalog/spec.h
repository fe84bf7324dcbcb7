/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_SPEC_H
#define MMI_CATALOG_SPEC_H

/* What a version is made from: the part of a model's spec that decides its content, copied into one
 * block of memory. */

#include <source/source.h>

struct mmi_spec {
    const char *source;                    /* NULL: memory */
    struct mmi_memory memory;              /* .data, .bytes: the caller's */
    const char *format, *backend, *device; /* NULL: not said */
    const char *config;                    /* "" when not said */
    const char *warm_up;                   /* NULL: nothing; was checked */
    size_t block_bytes;
};

/* What a load does when the source has another content than the version. */
enum mmi_changes {
    MMI_CHANGES_SERVE_OLD, /* does not look */
    MMI_CHANGES_REFUSE,
    MMI_CHANGES_FOLLOW
};

/* The other part: how to treat the model. */
struct mmi_settings {
    uint32_t evict_class;                 /* 0 low, 1 normal, 2 high */
    uint32_t max_concurrency, max_queued; /* 0 = no limit; 0 = the mesh's */
    uint32_t replicas, min_replicas; /* copies: the most, >= 1; the least once it is resident */
    enum mmi_changes changes;
    bool pinned;
    uint64_t idle_ttl_ns, min_residency_ns; /* 0 = never; 0 = the mesh's */
};

/* source .. warm_up of `from` are read. NULL = out of memory. */
struct mmi_spec *mmi_spec_copy(const mm_allocator *alloc, const struct mmi_spec *from);
void mmi_spec_free(const mm_allocator *alloc, struct mmi_spec *spec); /* NULL is fine */

#endif
