/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in temporary files, under their own budget. The list temporary_lru is the policy: least
 * recently used first, skipping what is held: loading, or mapped.
 *
 * The budget limits what is kept, not who may be loaded: an artifact that is larger than all of it,
 * or than what is not held just now, passes. It is there from prepare until nobody holds it any
 * more and counts for itself, so that nobody leaves for it. Prepared and not yet held there is one
 * such at a time. With a cache directory nothing passes: it is there, or refused when full. */
#include <artifact/state.h>

#include <artifact/io.h>
#include <base/checked.h>

#include <errno.h>
#include <string.h>

static uint64_t *count_of(struct mmi_store *store, bool passing) {
    return passing ? &store->passing_bytes : &store->temporary_bytes;
}

static struct mmi_list *bucket_of(struct mmi_store *store, const struct mmi_key *key) {
    return &store->temporary_by_key[(key->content.low ^ key->target.low) % MMI_STORE_BUCKETS];
}

static struct mmi_artifact *find_locked(struct mmi_store *store, const struct mmi_key *key) {
    MMI_LIST_EACH(node, bucket_of(store, key)) {
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, same_bucket);
        if (memcmp(&artifact->header.key, key, sizeof(*key)) == 0) {
            mmi_list_remove(&artifact->used);
            mmi_list_push_back(&store->temporary_lru, &artifact->used);
            mmi_artifact_retain(artifact);
            return artifact;
        }
    }
    return NULL;
}

static uint64_t unheld_bytes(struct mmi_store *store) {
    uint64_t bytes = 0;
    MMI_LIST_EACH(node, &store->temporary_lru) {
        const struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        uint64_t stored = artifact->layout.stored_bytes;
        bytes += artifact->holds == 0 && !artifact->passing ? stored : 0;
    }
    return bytes;
}

static void leave(struct mmi_store *store, struct mmi_artifact *artifact,
                  struct mmi_list *leaving) {
    artifact->gone = true;
    mmi_list_remove(&artifact->used);
    mmi_list_remove(&artifact->same_bucket);
    mmi_list_push_back(leaving, &artifact->used);
    *count_of(store, artifact->passing) -= artifact->layout.stored_bytes;
}

/* Move the first unheld ones of the same kind to `leaving` until `bytes` fit; of those that are not
 * kept, all. */
static void choose(struct mmi_store *store, uint64_t bytes, bool passing,
                   struct mmi_list *leaving) {
    MMI_LIST_EACH(node, &store->temporary_lru) {
        if (!passing &&
            mmi_add_cap(store->temporary_bytes, bytes) <= store->temporary_budget_bytes) {
            return;
        }
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        if (artifact->holds == 0 && artifact->passing == passing) {
            leave(store, artifact, leaving);
        }
    }
}

/* They are not held and never will be: only their descriptions may still be in use. */
static void drop(struct mmi_store *store, struct mmi_list *leaving) {
    for (struct mmi_list *node; (node = mmi_list_pop(leaving)) != NULL;) {
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        uint64_t bytes = artifact->layout.stored_bytes;
        mmi_temporary_file_give(artifact->extent);
        artifact->extent = NULL;
        mmi_artifact_release(artifact);
        mmi_store_notify(store, "artifact_budget", bytes, MM_NO_SPACE);
    }
}

/* Lack of descriptors or memory passes; whatever else is wrong with the folder, memory may do. */
static bool passes(int error) {
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

mm_status mmi_temporary_cache_take(struct mmi_store *store, uint64_t bytes,
                                   struct mmi_extent **extent, mm_error *err) {
    struct mmi_temporary_file *first = &store->temporary[0], *memory = &store->temporary[1];
    int error = mmi_temporary_file_take(first, bytes, extent);
    if (error != 0 && !passes(error) && first->folder) {
        mmi_log(&store->env->log, MM_LOG_INFO, "prepared weights in memory: %s: %s", first->folder,
                strerrordesc_np(error));
        error = mmi_temporary_file_take(memory, bytes, extent) == 0 ? 0 : error;
    }
    if (error == 0) {
        return MM_OK;
    }
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        uint64_t available = first->folder ? mmi_io_free_bytes(first->folder) : 0;
        return mmi_fail_room(err, MM_NO_SPACE, bytes, available,
                             "%s: prepared weights need %llu bytes, %llu are free",
                             mmi_temporary_file_name(first), (unsigned long long)bytes,
                             (unsigned long long)available);
    }
    return mmi_fail_errno(err, MM_IO, error, "%s: a file for prepared weights",
                          mmi_temporary_file_name(first));
}

mm_status mmi_temporary_cache_reserve(struct mmi_store *store, uint64_t bytes, bool *passing,
                                      mm_error *err) {
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    mmi_lock(&store->lock);
    uint64_t stays = store->temporary_bytes - unheld_bytes(store);
    bool fits = mmi_add_cap(stays, bytes) <= store->temporary_budget_bytes;
    *passing = !fits && !store->cache.path;
    if (fits || *passing) {
        choose(store, bytes, *passing, &leaving);
        *count_of(store, *passing) += bytes;
    }
    mmi_unlock(&store->lock);
    drop(store, &leaving);
    if (fits || *passing) {
        return MM_OK;
    }
    uint64_t available = mmi_sub_floor(store->temporary_budget_bytes, stays);
    return mmi_fail_room(err, MM_NO_SPACE, bytes, available,
                         "artifact_budget_bytes: prepared weights need %llu, %llu of %llu are "
                         "free",
                         (unsigned long long)bytes, (unsigned long long)available,
                         (unsigned long long)store->temporary_budget_bytes);
}

void mmi_temporary_cache_unreserve(struct mmi_store *store, uint64_t bytes, bool passing) {
    mmi_lock(&store->lock);
    *count_of(store, passing) -= bytes;
    mmi_unlock(&store->lock);
}

void mmi_temporary_cache_unhold(struct mmi_artifact *artifact) {
    struct mmi_store *store = artifact->store;
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    mmi_lock(&store->lock);
    artifact->holds--;
    if (artifact->holds == 0 && !artifact->gone && artifact->passing) {
        leave(store, artifact, &leaving);
    }
    mmi_unlock(&store->lock);
    drop(store, &leaving);
}

struct mmi_artifact *mmi_temporary_cache_find(struct mmi_store *store, const struct mmi_key *key) {
    mmi_lock(&store->lock);
    struct mmi_artifact *artifact = find_locked(store, key);
    mmi_unlock(&store->lock);
    return artifact;
}

struct mmi_artifact *mmi_temporary_cache_add(struct mmi_store *store,
                                             struct mmi_artifact *artifact) {
    mmi_lock(&store->lock);
    struct mmi_artifact *first = find_locked(store, &artifact->header.key);
    if (first) {
        *count_of(store, artifact->passing) -= artifact->layout.stored_bytes;
    } else {
        mmi_list_push_back(&store->temporary_lru, &artifact->used);
        mmi_list_push_back(bucket_of(store, &artifact->header.key), &artifact->same_bucket);
        mmi_artifact_retain(artifact);
    }
    mmi_unlock(&store->lock);
    if (!first) {
        return artifact;
    }
    mmi_artifact_release(artifact);
    return first;
}

void mmi_temporary_cache_close(struct mmi_store *store) {
    for (struct mmi_list *node; (node = mmi_list_pop(&store->temporary_lru)) != NULL;) {
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        mmi_list_remove(&artifact->same_bucket);
        mmi_artifact_release(artifact);
    }
}
