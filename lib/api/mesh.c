/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a mesh: options, the parts from the bottom up, and the three calls that end it. */
#include <api/mesh.h>

#include <artifact/io.h>
#include <base/checked.h>
#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define MS_NS UINT64_C(1000000)

/* ---- Options -------------------------------------------------------------------------------- */

void mm_mesh_options_init(mm_mesh_options *options, uint32_t struct_size) {
    mmi_sized_init(options, struct_size);
}

static uint64_t or_default(uint64_t value, uint64_t fallback) {
    return value ? value : fallback;
}

static mm_status check_devices(const mm_mesh_options *options, mm_error *err) {
    if (options->devices &&
        (options->device_count == 0 || options->device_count > MMI_MAX_DEVICES)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "device_count: %u, 1 to %u devices are possible",
                        options->device_count, MMI_MAX_DEVICES);
    }
    return MM_OK;
}

#define MOST_THREADS 4096u
#define MOST_SIGNATURES 65536u

/* What is allocated or started by the number: more than anybody can mean is a mistake. */
static mm_status check_counts(const mm_mesh_options *options, mm_error *err) {
    const struct {
        const char *name;
        uint32_t count, most, or_this; /* or_this: a number with a meaning of its own */
    } counts[] = {
        {"infer_threads", options->infer_threads, MOST_THREADS, MM_THREADS_NONE},
        {"load_threads", options->load_threads, MOST_THREADS, MM_THREADS_NONE},
        {"prepare_threads", options->prepare_threads, MOST_THREADS, MM_THREADS_NONE},
        {"max_signatures", options->max_signatures, MOST_SIGNATURES, 0},
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        if (counts[i].count > counts[i].most && counts[i].count != counts[i].or_this) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: %u, at most %u", counts[i].name,
                            counts[i].count, counts[i].most);
        }
    }
    return MM_OK;
}

static mm_status check_options(const mm_mesh_options *options, mm_error *err) {
    const char *prefix = options->thread_prefix;
    if (prefix && strlen(prefix) > 7) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "thread_prefix: %s is longer than 7 bytes",
                        prefix);
    }
    if (options->allocator && (!options->allocator->alloc || !options->allocator->free)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "allocator: alloc or free is NULL");
    }
    if (options->parallel && !options->parallel->run) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "parallel: run is NULL");
    }
    if (options->cpu_count > 0 && !options->cpus) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "cpus: NULL with a cpu_count of %u",
                        options->cpu_count);
    }
    if (options->map_cache > MM_MAP_NEVER) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "map_cache: %u is unknown", options->map_cache);
    }
    if (options->policy && strcmp(options->policy, MMI_POLICY_NAME) != 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "policy: %s is unknown", options->policy);
    }
    if (options->flags) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "flags: %#x", options->flags);
    }
    MMI_TRY(check_counts(options, err));
    return check_devices(options, err);
}

/* ---- Environment ---------------------------------------------------------------------------- */

/* Wraps the host's allocator and counts its bytes. */
static void *counted_alloc(void *user, size_t bytes, size_t align) {
    mm_mesh *mesh = user;
    void *memory = mesh->host.alloc(mesh->host.user, bytes, align);
    if (memory) {
        atomic_fetch_add_explicit(&mesh->metadata_bytes, bytes, memory_order_relaxed);
    }
    return memory;
}

static void counted_free(void *user, void *memory, size_t bytes) {
    mm_mesh *mesh = user;
    mesh->host.free(mesh->host.user, memory, bytes);
    atomic_fetch_sub_explicit(&mesh->metadata_bytes, bytes, memory_order_relaxed);
}

static mm_status init_env(mm_mesh *mesh, const mm_mesh_options *options,
                          const struct mmi_world *world, mm_error *err) {
    struct mmi_env *env = &mesh->env;
    env->alloc = (mm_allocator){mesh, counted_alloc, counted_free};
    env->log = options->log;
    if (env->log.level == 0) {
        env->log.level = MM_LOG_WARNING;
    }
    mmi_clock_init(&env->clock, world ? world->now : NULL, world ? world->user : NULL);
    env->fault = world ? world->fault : NULL;
    env->fault_user = world ? world->user : NULL;
    env->threads = world ? world->threads : NULL;
    const char *prefix = options->thread_prefix ? options->thread_prefix : "mm";
    memcpy(env->thread_prefix, prefix, strlen(prefix) + 1);
    mesh->buffers = mmi_buffers_new(&mesh->host);
    if (!mesh->buffers) {
        return mmi_fail(err, MM_NO_MEMORY, "mesh: out of memory");
    }
    if (options->cpu_count > 0) {
        mesh->cpus = mmi_alloc(&env->alloc, options->cpu_count, sizeof(int));
        if (!mesh->cpus) {
            return mmi_fail(err, MM_NO_MEMORY, "mesh: out of memory");
        }
        memcpy(mesh->cpus, options->cpus, options->cpu_count * sizeof(int));
        env->cpus = mesh->cpus;
        env->cpu_count = options->cpu_count;
    }
    return MM_OK;
}

/* ---- Devices -------------------------------------------------------------------------------- */

static mm_status open_device(mm_mesh *mesh, const mm_device_options *from, uint32_t index,
                             struct mmi_device **device, mm_error *err) {
    mm_device_options options;
    char what[sizeof("devices[4294967295]")];
    snprintf(what, sizeof(what), "devices[%u]", index);
    MMI_TRY(mmi_sized_read(&options, from, MMI_DEVICE_OPTIONS_SIZES, what, err));
    if (!options.name || !options.name[0] || strlen(options.name) > 63) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "devices[%u].name: empty or too long", index);
    }
    if (options.budget_bytes < MMI_CHUNK_BYTES) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "devices[%u].budget_bytes: %llu, at least 2 MiB are needed", index,
                        (unsigned long long)options.budget_bytes);
    }
    struct mmi_device_config config = {.name = options.name,
                                       .index = index,
                                       .budget_bytes = options.budget_bytes,
                                       .sim_ns_per_mib = options.sim_ns_per_mib,
                                       .sim_load_delay_ns = options.sim_load_delay_ns,
                                       .sim_out_ns_per_mib = options.sim_out_ns_per_mib,
                                       .sim_copy_latency_ns = options.sim_copy_latency_ns};
    return mmi_device_open(&mesh->env, &config, device, err);
}

static mm_status check_distinct(struct mmi_device *const *devices, uint32_t count, mm_error *err) {
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(devices[i]->name, devices[count]->name) == 0) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "devices[%u].name: %s is there twice", count,
                            devices[count]->name);
        }
    }
    return MM_OK;
}

static const mm_device_options *read_devices(const mm_mesh_options *options,
                                             mm_device_options *fallback, uint32_t *count) {
    if (options->devices) {
        *count = options->device_count;
        return options->devices;
    }
    *fallback = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
    fallback->name = "host";
    fallback->budget_bytes = mmi_host_default_budget();
    *count = 1;
    return fallback;
}

/* Element `index` of the caller's array, which was compiled with the first one's struct_size. */
static mm_status device_at(const mm_device_options *list, uint32_t index,
                           const mm_device_options **device, mm_error *err) {
    uint32_t stride = list->struct_size;
    const void *at = (const char *)list + (size_t)index * stride;
    *device = at;
    if ((*device)->struct_size != stride) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "devices[%u].struct_size: %u, that of devices[0] is %u", index,
                        (*device)->struct_size, stride);
    }
    return MM_OK;
}

static void close_devices(struct mmi_device **devices, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        mmi_device_close(devices[i]);
    }
}

static mm_status open_devices(mm_mesh *mesh, const mm_mesh_options *options,
                              struct mmi_device **devices, uint32_t *count, mm_error *err) {
    mm_device_options fallback;
    uint32_t wanted;
    const mm_device_options *list = read_devices(options, &fallback, &wanted);
    for (*count = 0; *count < wanted; (*count)++) {
        const mm_device_options *from = NULL;
        mm_status status = device_at(list, *count, &from, err);
        if (status == MM_OK) {
            status = open_device(mesh, from, *count, &devices[*count], err);
        }
        if (status == MM_OK) {
            status = check_distinct(devices, *count, err);
            if (status != MM_OK) {
                mmi_device_close(devices[*count]);
            }
        }
        if (status != MM_OK) {
            close_devices(devices, *count);
            *count = 0;
            return status;
        }
    }
    return MM_OK;
}

static uint64_t identity_of(const mm_mesh *mesh) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t key[3] = {(uintptr_t)mesh, (uint64_t)now.tv_sec, (uint64_t)now.tv_nsec};
    return mmi_hash64(key, sizeof(key), 0);
}

/* ---- Creation ------------------------------------------------------------------------------- */

/* The store knows content, not models: several may share it, or none have it any more. */
static void artifact_dropped(void *user, const char *reason, uint64_t bytes, mm_status why) {
    mm_mesh *mesh = user;
    struct mmi_event event = {.kind = MMI_EVENT_ARTIFACT_DROPPED,
                              .time_ns = mmi_now(&mesh->env.clock),
                              .bytes = bytes,
                              .status = why};
    mmi_event_name(event.reason, sizeof(event.reason), reason);
    mmi_events_push(&mesh->res.events, &event);
    mmi_count(&mesh->res.counters, MMI_COUNT_ARTIFACT_DROPS, 1);
}

static bool is_usable(const char *folder) {
    return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0;
}

/* Where it cannot be used, memory is. */
static mm_status check_temporary_dir(const mm_mesh *mesh, const char *given, mm_error *err) {
    struct stat status;
    if (stat(given, &status) == 0 && !S_ISDIR(status.st_mode)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "tmp_dir %s: not a directory", given);
    }
    if (!is_usable(given)) {
        mmi_log(&mesh->env.log, MM_LOG_WARNING, "tmp_dir %s: %s; prepared weights go to memory",
                given, strerrordesc_np(errno));
    }
    return MM_OK;
}

/* The default follows where the bytes will lie: a folder that cannot be written, or one that is
 * memory itself, must not have the free bytes of a disk for a budget. */
static uint64_t default_artifact_budget(const char *folder, uint64_t memory_bytes) {
    uint64_t free_bytes = folder && is_usable(folder) ? mmi_io_free_bytes(folder) : 0;
    if (free_bytes == 0) {
        return memory_bytes;
    }
    return mmi_io_is_memory(folder) ? mmi_min_u64(free_bytes / 4, memory_bytes) : free_bytes / 4;
}

static mm_status place_temporary(const mm_mesh *mesh, const mm_mesh_options *options,
                                 struct mmi_store_config *store, mm_error *err) {
    const char *given = options->tmp_dir, *folder = !given ? "/var/tmp" : given[0] ? given : NULL;
    if (given && folder) {
        MMI_TRY(check_temporary_dir(mesh, given, err));
    }
    uint64_t memory_bytes = mmi_host_default_budget() / 2;
    store->temporary_dir = folder;
    store->temporary_budget_bytes =
        or_default(options->artifact_budget_bytes, default_artifact_budget(folder, memory_bytes));
    store->memory_budget_bytes = folder ? memory_bytes : 0; /* in memory by choice: all of it */
    return MM_OK;
}

static mm_status open_parts(mm_mesh *mesh, const mm_mesh_options *options, mm_error *err) {
    uint32_t cpus = mmi_cpus_allowed();
    bool threads = options->infer_threads != MM_THREADS_NONE &&
                   options->load_threads != MM_THREADS_NONE &&
                   options->prepare_threads != MM_THREADS_NONE;
    uint32_t compute = (uint32_t)or_default(options->compute_threads, cpus);
    MMI_TRY(mmi_pool_new(&mesh->env, threads ? compute : 1, options->parallel, &mesh->pool, err));
    struct mmi_registry_config registry = {
        .pool = mesh->pool,
        .cpu_features_mask = options->cpu_features,
        .max_nesting = (uint32_t)or_default(options->max_nesting, 64),
        .max_iterations = or_default(options->max_iterations, UINT64_C(1) << 24)};
    MMI_TRY(mmi_registry_new(&mesh->env, &registry, &mesh->registry, err));
    for (size_t i = 0; mmi_builtin_backends[i]; i++) {
        MMI_TRY(mmi_registry_add(mesh->registry, mmi_builtin_backends[i], err));
    }
    struct mmi_store_config store = {.cache_dir = options->cache_dir,
                                     .cache_budget_bytes = options->cache_budget_bytes,
                                     .map = options->map_cache == MM_MAP_AUTO,
                                     .boot_id = options->boot_id,
                                     .dropped = artifact_dropped,
                                     .user = mesh};
    MMI_TRY(place_temporary(mesh, options, &store, err));
    return mmi_store_open(&mesh->env, &store, &mesh->store, err);
}

static mm_status open_residency(mm_mesh *mesh, const mm_mesh_options *options,
                                const struct mmi_world *world, struct mmi_device **devices,
                                uint32_t device_count, mm_error *err) {
    uint32_t cpus = mmi_cpus_allowed();
    struct mmi_residency_config config = {
        .infer_threads = (uint32_t)or_default(options->infer_threads, cpus),
        .load_threads = (uint32_t)or_default(options->load_threads, 2),
        .prepare_threads = (uint32_t)or_default(options->prepare_threads, 1),
        .threads = options->infer_threads != MM_THREADS_NONE &&
                   options->load_threads != MM_THREADS_NONE &&
                   options->prepare_threads != MM_THREADS_NONE,
        .outliving = mesh->host,
        .description_budget_bytes = or_default(options->description_budget_bytes, 64 * MIB),
        .prepare_budget_bytes = or_default(options->prepare_budget_bytes, 1024 * MIB),
        .drain_grace_ns = or_default(options->drain_grace_ns, 10 * MS_NS),
        .min_residency_ns = options->min_residency_ns,
        .backoff_first_ns = or_default(options->backoff_first_ns, 100 * MS_NS),
        .backoff_max_ns = or_default(options->backoff_max_ns, 60000 * MS_NS),
        .max_queued = (uint32_t)or_default(options->max_queued, 65536),
        .max_signatures = (uint32_t)or_default(options->max_signatures, 16),
        .max_models = (uint32_t)or_default(options->max_models, 16777216),
        .event_capacity = (uint32_t)or_default(options->event_capacity, 4096),
        .idle_evict = options->idle_evict != 0,
        .generation_bits = world ? world->generation_bits : 0,
        .salt = (uint32_t)mesh->identity,
        .registry = mesh->registry,
        .store = mesh->store,
        .devices = devices,
        .device_count = device_count};
    MMI_TRY(mmi_residency_init(&mesh->res, &mesh->env, &config, err));
    mesh->parent = mmi_completions_parent(mesh->res.completions);
    return MM_OK;
}

static void close_parts(mm_mesh *mesh) {
    mmi_registry_free(mesh->registry);
    mmi_pool_free(mesh->pool);
    mmi_store_close(mesh->store);
    mmi_buffers_close(mesh->buffers);
    mmi_free(&mesh->env.alloc, mesh->cpus, mesh->env.cpu_count * sizeof(int));
    mm_allocator host = mesh->host;
    host.free(host.user, mesh, sizeof(*mesh));
}

static mm_status create(mm_mesh *mesh, const mm_mesh_options *options,
                        const struct mmi_world *world, mm_error *err) {
    MMI_TRY(init_env(mesh, options, world, err));
    struct mmi_device *devices[MMI_MAX_DEVICES];
    uint32_t count = 0;
    MMI_TRY(open_devices(mesh, options, devices, &count, err));
    mm_status status = open_parts(mesh, options, err);
    if (status == MM_OK) {
        status = open_residency(mesh, options, world, devices, count, err);
    } else {
        close_devices(devices, count);
    }
    return status;
}

mm_status mmi_mesh_create(const mm_mesh_options *from, const struct mmi_world *world, mm_mesh **out,
                          mm_error *err) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    if (!out) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "mesh: NULL");
    }
    if (from) {
        MMI_TRY(mmi_sized_read(&options, from, MMI_MESH_OPTIONS_SIZES, "options", err));
    }
    MMI_TRY(check_options(&options, err));
    mm_allocator host = options.allocator ? *options.allocator : mmi_malloc_allocator;
    mm_mesh *mesh = host.alloc(host.user, sizeof(*mesh), _Alignof(struct mm_mesh));
    if (!mesh) {
        return mmi_fail(err, MM_NO_MEMORY, "mesh: out of memory");
    }
    memset(mesh, 0, sizeof(*mesh));
    mesh->host = host;
    mesh->identity = identity_of(mesh);
    mm_status status = create(mesh, &options, world, err);
    if (status != MM_OK) {
        close_parts(mesh);
        return status;
    }
    *out = mesh;
    return MM_OK;
}

mm_status mm_mesh_create(const mm_mesh_options *options, mm_mesh **mesh, mm_error *err) {
    return mmi_mesh_create(options, NULL, mesh, err);
}

/* ---- Close, stop, free ---------------------------------------------------------------------- */

/* Inside a backend's call or a callback a wait would deadlock. */
static bool inside(const mm_mesh *mesh) {
    return mmi_frame_of(&mesh->res) || mmi_completions_is_current(mesh->res.completions);
}

mm_status mm_mesh_close(mm_mesh *mesh) {
    MMI_TRY(mmi_enter(mesh, NULL));
    mmi_residency_close(&mesh->res);
    return MM_OK;
}

mm_status mm_mesh_stop(mm_mesh *mesh, uint64_t deadline_ns) {
    MMI_TRY(mmi_enter(mesh, NULL));
    if (inside(mesh)) {
        return MM_BUSY;
    }
    bool no_wait = deadline_ns == MM_NO_WAIT;
    return mmi_residency_stop(&mesh->res, no_wait ? 0 : deadline_ns, no_wait);
}

mm_status mm_mesh_free(mm_mesh **mesh) {
    if (!mesh || !*mesh) {
        return MM_OK;
    }
    MMI_TRY(mm_mesh_stop(*mesh, 0));
    mmi_residency_fini(&(*mesh)->res);
    close_parts(*mesh);
    *mesh = NULL;
    return MM_OK;
}

mm_status mm_device_set_budget(mm_mesh *mesh, const char *device, uint64_t budget_bytes,
                               mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    if (!device) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "device: NULL");
    }
    if (budget_bytes < MMI_CHUNK_BYTES) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "budget_bytes: %llu, at least 2 MiB are needed",
                        (unsigned long long)budget_bytes);
    }
    return mmi_device_budget(&mesh->res, device, budget_bytes, err);
}
