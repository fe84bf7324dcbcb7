/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_RESIDENCY_INFO_H
#define MMI_RESIDENCY_INFO_H

/* Snapshots for who asks, field for field those of modelmesh.h. */

#include <residency/state.h>

struct mmi_copy_info {
    const char *device; /* "" while it waits for memory */
    int32_t state;
    uint32_t leases;
    uint64_t requests, idle_ns, weights_bytes;
};
struct mmi_model_info {
    int32_t state;
    const char *name; /* valid while locked: copied by the caller's visitor */
    const char *device;
    bool pinned, updating, prepared;
    uint32_t evict_class, leases, queued;
    enum mmi_changes changes;
    uint64_t version, weights_bytes, activation_bytes, own_bytes, description_bytes;
    uint64_t artifact_bytes, idle_ns, requests, hits, loads, evictions, failures, load_ns,
        prepare_ns;
    const struct mmi_failure *failure; /* NULL = none */
    uint64_t now_ns;
    uint32_t copy_count;
    struct mmi_copy_info copies[MMI_MAX_DEVICES]; /* of the current version */
};
mm_status mmi_model_info_get(struct mmi_residency *res, uint64_t id,
                             void (*visit)(void *ctx, const struct mmi_model_info *info),
                             void *ctx);

/* Every model in turn. Returns how many. */
size_t mmi_models_visit(struct mmi_residency *res,
                        void (*visit)(void *ctx, uint64_t id, const struct mmi_model_info *info),
                        void *ctx);

/* High-water mark of one run of a build that is held, or the estimate. */
uint64_t mmi_build_activation_bytes(struct mmi_residency *res, const struct mmi_build *build);

struct mmi_device_info {
    const struct mmi_device *device;
    uint64_t budget_bytes, used_bytes, weights_bytes, reclaimable_bytes, scratch_bytes;
    uint64_t reserve_bytes, peak_bytes, leaked_bytes, loads, evictions;
    uint32_t instances;
};
/* Locked snapshot of one device; false = no such index. */
bool mmi_device_info_get(struct mmi_residency *res, size_t index, struct mmi_device_info *info);

struct mmi_mesh_info {
    struct mmi_counts counts;
    uint64_t models, resident, queued, description_bytes;
};
void mmi_mesh_info_get(struct mmi_residency *res, struct mmi_mesh_info *info);

struct mmi_victim_info {
    const char *name;
    uint64_t bytes, idle_ns;
    uint32_t evict_class;
    bool leased;
};
struct mmi_plan_info {
    mm_status status;
    const char *device; /* "" = nowhere; static as long as the mesh */
    uint64_t needed_bytes, free_bytes;
    bool estimated, resident;
    size_t victim_count;
};
/* Called for the first `most` victims, in order of leaving, under the lock. */
struct mmi_victim_visitor {
    void (*visit)(void *ctx, size_t i, const struct mmi_victim_info *victim);
    void *ctx;
    size_t most;
};
mm_status mmi_plan_info_get(struct mmi_residency *res, uint64_t id, struct mmi_plan_info *info,
                            const struct mmi_victim_visitor *visitor, mm_error *err);

#endif
