/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in temporary files, under their own budget. The list temporary_lru is the policy: least
 * recently used first, skipping what is held: loading, or mapped.
 *
 * The budget limits what is kept, not who may be loaded: an artifact that is larger than all of it,
 * or than what is not held just now, passes. It is there from prepare until nobody holds it any
 * more and counts for itself, so that nobody leaves for it. Prepared and not yet held there is one
 * such at a time. */
#include <artifact/state.h>

#include <base/checked.h>

#include <string.h>

static void uncount(struct mmi_store *store, const struct mmi_room *room) {
    *(room->passing ? &store->passing_bytes : &store->temporary_bytes) -= room->bytes;
    store->memory_bytes -= room->in_memory && !room->passing ? room->bytes : 0;
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

/* Kept and not held; in memory only, or all of them. */
static bool may_leave(const struct mmi_artifact *artifact, bool memory) {
    return artifact->holds == 0 && !artifact->room.passing && (!memory || artifact->room.in_memory);
}

static void leave(struct mmi_store *store, struct mmi_artifact *artifact,
                  struct mmi_list *leaving) {
    artifact->gone = true;
    mmi_list_remove(&artifact->used);
    mmi_list_remove(&artifact->same_bucket);
    mmi_list_push_back(leaving, &artifact->used);
    uncount(store, &artifact->room);
}

/* Who leaves so that `bytes` more can be kept, in memory or in all. false: they cannot, and nobody
 * leaves. */
static bool make_room(struct mmi_store *store, uint64_t bytes, bool memory,
                      struct mmi_list *leaving) {
    const uint64_t *kept = memory ? &store->memory_bytes : &store->temporary_bytes;
    uint64_t budget = memory ? store->memory_budget_bytes : store->temporary_budget_bytes;
    uint64_t stays = *kept;
    MMI_LIST_EACH(node, &store->temporary_lru) {
        const struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        stays -= may_leave(artifact, memory) ? artifact->room.bytes : 0;
    }
    if (mmi_add_cap(stays, bytes) > budget) {
        return false;
    }
    MMI_LIST_EACH(node, &store->temporary_lru) {
        if (mmi_add_cap(*kept, bytes) <= budget) {
            break;
        }
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        if (may_leave(artifact, memory)) {
            leave(store, artifact, leaving);
        }
    }
    return true;
}

/* Those that are not kept and nobody holds: all leave for the next such. */
static void choose_passing(struct mmi_store *store, struct mmi_list *leaving) {
    MMI_LIST_EACH(node, &store->temporary_lru) {
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        if (artifact->holds == 0 && artifact->room.passing) {
            leave(store, artifact, leaving);
        }
    }
}

/* They are not held and never will be: only their descriptions may still be in use. */
static void drop(struct mmi_store *store, struct mmi_list *leaving, const char *reason) {
    for (struct mmi_list *node; (node = mmi_list_pop(leaving)) != NULL;) {
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        uint64_t bytes = artifact->room.bytes;
        mmi_extent_give(artifact->room.extent);
        artifact->room.extent = NULL;
        mmi_artifact_release(artifact);
        mmi_store_notify(store, reason, bytes, MM_NO_SPACE);
    }
}

void mmi_temporary_cache_reserve(struct mmi_store *store, struct mmi_room *room) {
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    mmi_lock(&store->lock);
    room->passing = !make_room(store, room->bytes, false, &leaving);
    if (room->passing) {
        choose_passing(store, &leaving);
    }
    *(room->passing ? &store->passing_bytes : &store->temporary_bytes) += room->bytes;
    mmi_unlock(&store->lock);
    drop(store, &leaving, "artifact_budget");
}

void mmi_temporary_cache_reserve_memory(struct mmi_store *store, struct mmi_room *room) {
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    mmi_lock(&store->lock);
    room->in_memory = true;
    if (!room->passing && make_room(store, room->bytes, true, &leaving)) {
        store->memory_bytes += room->bytes;
    } else if (!room->passing) {
        choose_passing(store, &leaving);
        room->passing = true;
        store->temporary_bytes -= room->bytes;
        store->passing_bytes += room->bytes;
    }
    mmi_unlock(&store->lock);
    drop(store, &leaving, "artifact_budget");
}

void mmi_temporary_cache_unreserve(struct mmi_store *store, const struct mmi_room *room) {
    mmi_lock(&store->lock);
    uncount(store, room);
    mmi_unlock(&store->lock);
}

static bool lies_unheld_in(const struct mmi_artifact *artifact,
                           const struct mmi_temporary_place *place) {
    const struct mmi_extent *extent = artifact->room.extent;
    return artifact->holds == 0 && extent && extent->place == place;
}

uint64_t mmi_temporary_cache_unheld(struct mmi_store *store,
                                    const struct mmi_temporary_place *place) {
    uint64_t bytes = 0;
    mmi_lock(&store->lock);
    MMI_LIST_EACH(node, &store->temporary_lru) {
        const struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        bytes += lies_unheld_in(artifact, place) ? artifact->room.bytes : 0;
    }
    mmi_unlock(&store->lock);
    return bytes;
}

bool mmi_temporary_cache_make_way(struct mmi_store *store, const struct mmi_temporary_place *place,
                                  uint64_t bytes) {
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    uint64_t found = 0;
    mmi_lock(&store->lock);
    MMI_LIST_EACH(node, &store->temporary_lru) {
        if (found >= bytes) {
            break;
        }
        struct mmi_artifact *artifact = MMI_CONTAINER(node, struct mmi_artifact, used);
        if (lies_unheld_in(artifact, place)) {
            found += artifact->room.bytes;
            leave(store, artifact, &leaving);
        }
    }
    mmi_unlock(&store->lock);
    drop(store, &leaving, "tmp_full");
    return found > 0;
}

void mmi_temporary_cache_unhold(struct mmi_artifact *artifact) {
    struct mmi_store *store = artifact->store;
    struct mmi_list leaving;
    mmi_list_init(&leaving);
    mmi_lock(&store->lock);
    artifact->holds--;
    if (artifact->holds == 0 && !artifact->gone && artifact->room.passing) {
        leave(store, artifact, &leaving);
    }
    mmi_unlock(&store->lock);
    drop(store, &leaving, "artifact_budget");
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
        uncount(store, &artifact->room);
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
