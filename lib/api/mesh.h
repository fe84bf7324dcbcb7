/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_MESH_H
#define MMI_API_MESH_H

/* What a mesh is made of, and how every public call begins. */

#include <api/buffers.h>
#include <api/sizes.h>
#include <artifact/store.h>
#include <base/fork.h>
#include <plugin/registry.h>
#include <pool/pool.h>
#include <residency/residency.h>

#include <modelmesh/modelmesh.h>

struct mm_mesh {
    struct mmi_residency res; /* first: aligned to cache lines */
    struct mmi_env env;
    mm_allocator host; /* what the caller gave; env.alloc counts on top of it */
    _Atomic uint64_t metadata_bytes;
    mmi_fork_page *parent; /* the completion queue's */
    uint64_t identity;     /* unique, even if another mesh gets this address later */
    struct mmi_buffers *buffers;
    struct mmi_pool *pool;
    struct mmi_registry *registry;
    struct mmi_store *store;
    int *cpus; /* [env.cpu_count], copied from the options */
};

/* What tests replace: clock and faults. */
struct mmi_world {
    uint64_t (*now)(void *user);                /* NULL = the real clock */
    int (*fault)(void *user, const char *what); /* as in base/env.h */
    void *user;
    unsigned generation_bits;          /* of handles and slots; 0 = all */
    const struct mmi_threads *threads; /* NULL = the system's */
};
mm_status mmi_mesh_create(const mm_mesh_options *options, const struct mmi_world *world,
                          mm_mesh **mesh, mm_error *err);

/* MM_OK, MM_INVALID_ARGUMENT (NULL), MM_FORKED. */
static inline mm_status mmi_enter(const mm_mesh *mesh, mm_error *err) {
    if (__builtin_expect(!mesh, 0)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "mesh: NULL");
    }
    if (__builtin_expect(mmi_forked(mesh->parent), 0)) {
        return mmi_fail(err, MM_FORKED, "this mesh belongs to the parent process");
    }
    return MM_OK;
}

/* What a call wants of the core: MM_NO_WAIT is read here, once for all. */
static inline struct mmi_request mmi_core_request(mm_model model, uint64_t deadline_ns) {
    bool no_wait = deadline_ns == MM_NO_WAIT;
    return (struct mmi_request){
        .id = model.id, .deadline_ns = no_wait ? 0 : deadline_ns, .no_wait = no_wait};
}

/* 1 .. 255 bytes of valid UTF-8; else MM_INVALID_ARGUMENT naming `what`. */
mm_status mmi_check_name(const char *what, const char *name, mm_error *err);

/* Class of the ABI to 0 low, 1 normal, 2 high and back. false = not a class. */
int32_t mmi_changes_to_abi(enum mmi_changes changes);
bool mmi_class_from_abi(int32_t evict_class, uint32_t *internal);
int32_t mmi_class_to_abi(uint32_t internal);

/* The version that an update asks for, checked; what the spec leaves 0 is as it was. Its reference
 * is the caller's: an update takes it, or mmi_model_drop_version. */
mm_status mmi_read_update(mm_mesh *mesh, mm_model model, const mm_model_spec *spec, uint32_t flags,
                          struct mmi_version **version, mm_error *err);

#endif
