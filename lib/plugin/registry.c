/* SPDX-License-Identifier: Apache-2.0 */
#include <plugin/list.h>
#include <plugin/status.h>

#include <base/thread.h>

#include <string.h>

#define DEFAULT_NESTING 64

/* ---- Services: what a backend may call. `host` and `user` are its entry. */

static void *counted_alloc(void *user, size_t bytes, size_t align) {
    struct mmi_registry_entry *entry = user;
    const mm_allocator *alloc = &entry->registry->env->alloc;
    void *memory = alloc->alloc(alloc->user, bytes, align);
    if (memory) {
        atomic_fetch_add_explicit(&entry->backend.live_bytes, bytes, memory_order_relaxed);
        mmi_tls()->backend_bytes += (int64_t)bytes;
    }
    return memory;
}

static void counted_free(void *user, void *memory, size_t bytes) {
    struct mmi_registry_entry *entry = user;
    const mm_allocator *alloc = &entry->registry->env->alloc;
    atomic_fetch_sub_explicit(&entry->backend.live_bytes, bytes, memory_order_relaxed);
    mmi_tls()->backend_bytes -= (int64_t)bytes;
    alloc->free(alloc->user, memory, bytes);
}

static uint64_t now_ns(void *host) {
    const struct mmi_registry_entry *entry = host;
    return mmi_now(&entry->registry->env->clock);
}

static void parallel_for(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i),
                         void *ctx) {
    const struct mmi_registry_entry *entry = host;
    mmi_pool_run(entry->registry->config.pool, count, body, ctx);
}

static mm_services services_for(struct mmi_registry_entry *entry) {
    const struct mmi_registry *registry = entry->registry;
    uint32_t nesting = registry->config.max_nesting;
    return (mm_services){
        .struct_size = sizeof(mm_services),
        .abi_minor = MM_BACKEND_ABI_MINOR,
        .host = entry,
        .allocator = {entry, counted_alloc, counted_free},
        .log = registry->env->log,
        .now_ns = now_ns,
        .parallel_for = parallel_for,
        .threads = mmi_pool_threads(registry->config.pool),
        .limits_nesting = nesting > 0 ? nesting : DEFAULT_NESTING,
        .cpu_features = registry->cpu_features,
        .limits_iterations = registry->config.max_iterations,
    };
}

/* ---- The list */

mm_status mmi_registry_new(const struct mmi_env *env, const struct mmi_registry_config *config,
                           struct mmi_registry **registry, mm_error *err) {
    struct mmi_registry *made = mmi_alloc(&env->alloc, 1, sizeof(*made));
    if (!made) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for the list of backends");
    }
    made->env = env;
    made->config = *config;
    made->cpu_features = mmi_cpu_features();
    if (config->cpu_features_mask != 0) {
        made->cpu_features &= config->cpu_features_mask;
    }
    mmi_lock_init(&made->lock, MMI_RANK_REGISTRY);
    mmi_list_init(&made->entries);
    *registry = made;
    return MM_OK;
}

static void free_entry(struct mmi_registry_entry *entry) {
    const mm_allocator *alloc = &entry->registry->env->alloc;
    const mm_backend *table = entry->backend.table;
    mmi_free(alloc, entry->backend.state, table->state_bytes);
    mmi_free(alloc, entry, sizeof(*entry));
}

void mmi_registry_free(struct mmi_registry *registry) {
    if (!registry) {
        return;
    }
    while (!mmi_list_empty(&registry->entries)) {
        /* Last one first: a backend may depend on an earlier one. */
        struct mmi_list *node = registry->entries.prev;
        struct mmi_registry_entry *entry = MMI_CONTAINER(node, struct mmi_registry_entry, link);
        mmi_list_remove(node);
        if (entry->backend.table->fini) {
            entry->backend.table->fini(entry->backend.state);
        }
        free_entry(entry);
    }
    mmi_lock_fini(&registry->lock);
    mmi_free(&registry->env->alloc, registry, sizeof(*registry));
}

static struct mmi_registry_entry *new_entry(struct mmi_registry *registry,
                                            const mm_backend *table) {
    const mm_allocator *alloc = &registry->env->alloc;
    struct mmi_registry_entry *entry = mmi_alloc(alloc, 1, sizeof(*entry));
    if (!entry) {
        return NULL;
    }
    mmi_list_init(&entry->link);
    entry->registry = registry;
    entry->table = *table;
    entry->backend.table = &entry->table;
    entry->backend.services = services_for(entry);
    if (table->state_bytes > 0) {
        entry->backend.state = mmi_alloc(alloc, 1, table->state_bytes);
        if (!entry->backend.state) {
            free_entry(entry);
            return NULL;
        }
    }
    return entry;
}

/* Locked. */
static bool has_name(struct mmi_registry *registry, const char *name) {
    MMI_LIST_EACH(node, &registry->entries) {
        const struct mmi_registry_entry *entry =
            MMI_CONTAINER(node, struct mmi_registry_entry, link);
        if (strcmp(entry->backend.table->name, name) == 0) {
            return true;
        }
    }
    return false;
}

bool mmi_registry_has(struct mmi_registry *registry, const char *backend) {
    mmi_lock(&registry->lock);
    bool has = has_name(registry, backend);
    mmi_unlock(&registry->lock);
    return has;
}

/* Take the name; false when it is taken. */
static bool link_entry(struct mmi_registry *registry, struct mmi_registry_entry *entry) {
    mmi_lock(&registry->lock);
    bool taken = has_name(registry, entry->backend.table->name);
    if (!taken) {
        mmi_list_push_back(&registry->entries, &entry->link);
    }
    mmi_unlock(&registry->lock);
    return !taken;
}

static mm_status run_init(struct mmi_registry_entry *entry, mm_error *err) {
    const mm_backend *table = entry->backend.table;
    if (!table->init) {
        return MM_OK;
    }
    mmi_assert_no_locks();
    mm_error why = {0}; /* a backend always gets an error to fill, and may fail to */
    mm_status status = table->init(entry->backend.state, &entry->backend.services, &why);
    bool own_words = why.text[0] && mmi_slot_may(table, MMI_SLOT_INIT, status);
    status = mmi_slot_status(&entry->backend, MMI_SLOT_INIT, status, &why);
    if (status != MM_OK) {
        if (own_words) {
            mmi_error_prefix(&why, "backend %s", table->name);
        }
        mmi_error_copy(err, &why);
        table->fini(entry->backend.state);
    }
    return status;
}

mm_status mmi_registry_add(struct mmi_registry *registry, const mm_backend *from, mm_error *err) {
    mm_backend table;
    MMI_TRY(mmi_backend_read(from, &table, err));
    struct mmi_registry_entry *entry = new_entry(registry, &table);
    if (!entry) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for backend %s", table.name);
    }
    if (!link_entry(registry, entry)) {
        free_entry(entry);
        return mmi_fail(err, MM_EXISTS, "a backend named %s is registered already", table.name);
    }
    mm_status status = run_init(entry, err);
    mmi_lock(&registry->lock);
    entry->ready = status == MM_OK;
    if (!entry->ready) {
        mmi_list_remove(&entry->link);
    }
    mmi_unlock(&registry->lock);
    if (status != MM_OK) {
        free_entry(entry);
    }
    return status;
}
