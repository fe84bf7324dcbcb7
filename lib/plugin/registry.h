/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_PLUGIN_REGISTRY_H
#define MMI_PLUGIN_REGISTRY_H

/* Backends of one mesh: checked once, found by name or format, open as long as the mesh. */

#include <base/env.h>
#include <base/status.h>
#include <pool/pool.h>

#include <modelmesh/backend.h>

#include <stdatomic.h>

struct mmi_registry;

/* One backend in one mesh. */
struct mmi_backend {
    const mm_backend *table; /* the registry's copy, complete */
    void *state;             /* table->state_bytes, zeroed before init */
    mm_services services;
    _Atomic uint64_t live_bytes; /* through services.allocator */
};

struct mmi_registry_config {
    struct mmi_pool *pool;
    uint64_t cpu_features_mask; /* 0 = no mask */
    uint32_t max_nesting;
    uint64_t max_iterations; /* 0 = no limit */
};

mm_status mmi_registry_new(const struct mmi_env *env, const struct mmi_registry_config *config,
                           struct mmi_registry **registry, mm_error *err);
/* fini of every backend; all models are closed. NULL is fine. */
void mmi_registry_free(struct mmi_registry *registry);

/* Checks: ABI (major equal, minor not above ours, else MM_ABI_MISMATCH with both numbers),
 * struct_size (base/sized.h), required slots, pairs (init and fini; own_bytes if and only if
 * OWN_MEMORY), names, formats, device kinds: MM_INVALID_ARGUMENT with the field's name. MM_EXISTS:
 * the name is taken. The table is copied. Then init; if that fails, fini, and the backend is not
 * there. */
mm_status mmi_registry_add(struct mmi_registry *registry, const mm_backend *table, mm_error *err);
/* dlopen + symbol; MM_NOT_FOUND, MM_ABI_MISMATCH ... with the path. The object is never closed. */
mm_status mmi_registry_load(struct mmi_registry *registry, const char *path, mm_error *err);

/* Is there one of this name? */
bool mmi_registry_has(struct mmi_registry *registry, const char *backend);

/* Which backend runs it. backend and format: from the spec, may be NULL. suffix match on `name`
 * (longest), then the only format of a named backend, then magic on the first `head_bytes` of the
 * content (longest; head NULL = not read yet). Among the formats of one backend that fit equally
 * the first counts. MM_OK; MM_AMBIGUOUS naming both; MM_NOT_FOUND naming what was looked for;
 * MM_NONE: only the content can tell, ask again with head. *format: the chosen entry. */
struct mmi_format_query {
    const char *backend, *format, *name;
    const void *head;
    size_t head_bytes;
};
#define MMI_FORMAT_HEAD_BYTES 64
mm_status mmi_registry_find(struct mmi_registry *registry, const struct mmi_format_query *query,
                            struct mmi_backend **backend, const mm_format **format, mm_error *err);

uint64_t mmi_cpu_features(void); /* MM_CPU_* of this machine */

/* Built-in backends, in the order of registration; ends with NULL. */
extern const mm_backend *const mmi_builtin_backends[];

#endif
