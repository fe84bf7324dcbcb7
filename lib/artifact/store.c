/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/state.h>

#include <base/checked.h>

#include <errno.h>
#include <string.h>

/* ---- Open and close ------------------------------------------------------------------------- */

static void init_lists(struct mmi_store *store) {
    mmi_list_init(&store->temporary_lru);
    for (size_t i = 0; i < MMI_STORE_BUCKETS; i++) {
        mmi_list_init(&store->temporary_by_key[i]);
        mmi_list_init(&store->sources_by_place[i]);
    }
}

/* In a read-only directory nothing can be counted or removed: no failure. */
static void take_stock(struct mmi_store *store) {
    int lock;
    struct mmi_cache_list list;
    mmi_cache_lock(&store->cache, &lock);
    if (mmi_cache_list(&store->cache, &list) == 0) {
        mmi_cache_sweep(&store->cache, &list);
        store->cache_bytes = list.bytes;
        store->entries = list.entries;
        mmi_cache_list_free(&store->cache, &list);
    }
    mmi_cache_unlock(lock);
}

static mm_status open_temporary(struct mmi_store *store, const struct mmi_store_config *config,
                                mm_error *err) {
    store->temporary_budget_bytes = config->temporary_budget_bytes;
    store->memory_budget_bytes =
        mmi_min_u64(config->temporary_budget_bytes,
                    config->memory_budget_bytes ? config->memory_budget_bytes : UINT64_MAX);
    MMI_TRY(mmi_temporary_place_init(store->env, config->temporary_dir, &store->folder, err));
    return mmi_temporary_place_init(store->env, NULL, &store->memory, err); /* cannot fail */
}

mm_status mmi_store_open(const struct mmi_env *env, const struct mmi_store_config *config,
                         struct mmi_store **out, mm_error *err) {
    struct mmi_store *store = mmi_alloc(&env->alloc, 1, sizeof(*store));
    if (!store) {
        return mmi_fail(err, MM_NO_MEMORY, "artifact store: out of memory");
    }
    store->env = env;
    mm_status status = open_temporary(store, config, err);
    if (status != MM_OK) {
        mmi_free(&env->alloc, store, sizeof(*store));
        return status;
    }
    store->dropped = config->dropped;
    store->user = config->user;
    mmi_lock_init(&store->lock, MMI_RANK_ARTIFACT);
    init_lists(store);
    store->map = config->map;
    if (config->cache_dir) {
        status = mmi_cache_open(env, config->cache_dir, true, config->boot_id, &store->cache, err);
        if (status != MM_OK) {
            mmi_store_close(store);
            return status;
        }
        store->cache.budget_bytes = config->cache_budget_bytes;
        take_stock(store);
    }
    *out = store;
    return MM_OK;
}

void mmi_store_close(struct mmi_store *store) {
    if (!store) {
        return;
    }
    mmi_temporary_cache_close(store);
    mmi_source_index_close(store);
    mmi_cache_close(&store->cache);
    mmi_temporary_place_close(&store->folder);
    mmi_temporary_place_close(&store->memory);
    mmi_lock_fini(&store->lock);
    const mm_allocator *alloc = &store->env->alloc;
    mmi_free(alloc, store->vouched, store->vouched_room * sizeof(*store->vouched));
    mmi_free(alloc, store, sizeof(*store));
}

struct mmi_store_stats mmi_store_stats(struct mmi_store *store) {
    mmi_lock(&store->lock);
    struct mmi_store_stats stats = {store->temporary_bytes + store->passing_bytes,
                                    store->cache_bytes, store->entries};
    mmi_unlock(&store->lock);
    return stats;
}

void mmi_store_notify(const struct mmi_store *store, const char *reason, uint64_t bytes,
                      mm_status why) {
    mmi_log(&store->env->log, MM_LOG_INFO, "prepared weights not kept: %s, %llu bytes", reason,
            (unsigned long long)bytes);
    if (store->dropped) {
        store->dropped(store->user, reason, bytes, why);
    }
}

int mmi_store_make_room(struct mmi_store *store, uint64_t need_bytes, uint64_t *freed_bytes) {
    if (store->cache.budget_bytes == 0) {
        return 0;
    }
    struct mmi_cache_list list;
    int error = mmi_cache_list(&store->cache, &list);
    if (error != 0) {
        return error;
    }
    error = mmi_cache_make_room(&store->cache, &list, need_bytes, freed_bytes);
    mmi_lock(&store->lock);
    store->cache_bytes = list.bytes;
    store->entries = list.entries;
    mmi_unlock(&store->lock);
    mmi_cache_list_free(&store->cache, &list);
    return error;
}

/* ---- Find ----------------------------------------------------------------------------------- */

static bool same_file(const struct mmi_vouched *vouched, const struct stat *stat) {
    return vouched->inode == stat->st_ino && vouched->modified.tv_sec == stat->st_mtim.tv_sec &&
           vouched->modified.tv_nsec == stat->st_mtim.tv_nsec;
}

static bool was_vouched(struct mmi_store *store, const struct stat *stat) {
    if (mmi_cache_is_marked(&store->cache, stat)) {
        return true;
    }
    bool found = false;
    mmi_lock(&store->lock);
    for (size_t i = 0; i < store->vouched_count && !found; i++) {
        found = same_file(&store->vouched[i], stat);
    }
    mmi_unlock(&store->lock);
    return found;
}

/* Without memory for it the entry is checked again next time. */
static void remember_vouched(struct mmi_store *store, const struct stat *stat) {
    mmi_lock(&store->lock);
    if (mmi_grow(&store->env->alloc, (void **)&store->vouched, &store->vouched_room,
                 store->vouched_count + 1, sizeof(*store->vouched))) {
        store->vouched[store->vouched_count++] = (struct mmi_vouched){stat->st_ino, stat->st_mtim};
    }
    mmi_unlock(&store->lock);
}

mm_status mmi_store_vouch(struct mmi_store *store, const char *path, const struct mmi_entry *entry,
                          const uint8_t *tail, mm_error *err) {
    bool vouched = was_vouched(store, &entry->stat);
    if (!vouched) {
        MMI_TRY(mmi_entry_check_weights(store->env, path, entry, tail, err));
    }
    if (!mmi_cache_mark(&store->cache, entry->fd, &entry->stat) && !vouched) {
        remember_vouched(store, &entry->stat);
    }
    return MM_OK;
}

mm_status mmi_store_load(struct mmi_store *store, const struct mmi_key *key,
                         struct mmi_artifact **out, mm_error *err) {
    char path[PATH_MAX];
    mmi_cache_entry_path(&store->cache, key, path);
    struct mmi_entry entry;
    MMI_TRY(mmi_entry_open(store->env, path, key, &entry, err));
    mm_status status = mmi_entry_read_tail(store->env, path, &entry, err);
    if (status == MM_OK) {
        status = mmi_store_vouch(store, path, &entry, entry.tail, err);
    }
    if (status == MM_OK) {
        struct mmi_artifact *artifact = mmi_artifact_new(store->env, store);
        if (artifact) {
            mmi_artifact_fill(artifact, &entry.header, entry.tail);
            entry.tail = NULL; /* the artifact's now */
            *out = artifact;
        } else {
            status = mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", path);
        }
    }
    mmi_entry_close(store->env, &entry);
    return status;
}

mm_status mmi_store_absent(const struct mmi_store *store, mm_status status, const mm_error *why) {
    if (status == MM_CORRUPT) {
        mmi_log(&store->env->log, MM_LOG_WARNING, "not served: %s", why->text);
        return MM_NONE;
    }
    return status;
}

mm_status mmi_store_find(struct mmi_store *store, const struct mmi_key *key,
                         struct mmi_artifact **artifact, mm_error *err) {
    struct mmi_artifact *kept = mmi_temporary_cache_find(store, key);
    if (kept) {
        *artifact = kept;
        return MM_OK;
    }
    if (!store->cache.path) {
        return mmi_fail(err, MM_NONE, "not prepared yet, and there is no cache directory");
    }
    mm_error why;
    mm_status status = mmi_store_load(store, key, artifact, &why);
    if (status != MM_OK) {
        mmi_error_copy(err, &why);
        status = mmi_store_absent(store, status, &why);
    }
    return status;
}
