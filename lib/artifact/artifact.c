/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/state.h>

#include <artifact/io.h>
#include <base/checked.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct mmi_artifact *mmi_artifact_new(const struct mmi_env *env, struct mmi_store *store) {
    struct mmi_artifact *artifact = mmi_alloc(&env->alloc, 1, sizeof(*artifact));
    if (artifact) {
        artifact->env = env;
        artifact->store = store;
        artifact->references = 1;
        artifact->fd = -1;
        mmi_list_init(&artifact->used);
        mmi_list_init(&artifact->same_bucket);
    }
    return artifact;
}

void mmi_artifact_fill(struct mmi_artifact *artifact, const struct mmi_entry_header *header,
                       uint8_t *tail) {
    artifact->header = *header;
    mmi_entry_layout(header, &artifact->layout);
    artifact->tail = tail;
}

mm_status mmi_artifact_bare(const struct mmi_env *env, const void *bytes, uint64_t count,
                            struct mmi_artifact **out, mm_error *err) {
    struct mmi_entry_header header = {.description_bytes = count};
    struct mmi_entry_layout layout;
    struct mmi_artifact *artifact = mmi_artifact_new(env, NULL);
    if (artifact && mmi_entry_layout(&header, &layout)) {
        uint8_t *tail =
            mmi_alloc_aligned(&env->alloc, mmi_max_u64(1, layout.tail_bytes), MMI_ENTRY_ALIGN);
        mmi_artifact_fill(artifact, &header, tail);
    }
    if (!artifact || !artifact->tail) {
        mmi_artifact_release(artifact);
        return mmi_fail(err, MM_NO_MEMORY, "artifact: out of memory");
    }
    if (count > 0) {
        memcpy(artifact->tail, bytes, count);
    }
    *out = artifact;
    return MM_OK;
}

void mmi_artifact_retain(struct mmi_artifact *artifact) {
    atomic_fetch_add_explicit(&artifact->references, 1, memory_order_relaxed);
}

void mmi_artifact_release(struct mmi_artifact *artifact) {
    if (!artifact ||
        atomic_fetch_sub_explicit(&artifact->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    const mm_allocator *alloc = &artifact->env->alloc;
    mmi_extent_give(artifact->room.extent);
    mmi_free(alloc, artifact->tail, mmi_max_u64(1, artifact->layout.tail_bytes));
    mmi_free(alloc, artifact, sizeof(*artifact));
}

mm_artifact mmi_artifact_view(const struct mmi_artifact *artifact) {
    return (mm_artifact){
        .description = artifact->tail,
        .description_bytes = artifact->header.description_bytes,
        .weights_bytes = artifact->header.weights_bytes,
        .group_ends = (const uint64_t *)(const void *)(artifact->tail + artifact->layout.groups_at),
        .group_count = artifact->header.group_count,
        .config = ""};
}

uint64_t mmi_artifact_temporary_bytes(struct mmi_artifact *artifact) {
    if (!artifact->room.taken) {
        return 0;
    }
    mmi_lock(&artifact->store->lock);
    uint64_t bytes = artifact->gone ? 0 : artifact->layout.stored_bytes;
    mmi_unlock(&artifact->store->lock);
    return bytes;
}

/* ---- Weights -------------------------------------------------------------------------------- */

static mm_status hold_extent(struct mmi_artifact *artifact, mm_error *err) {
    struct mmi_store *store = artifact->store;
    mmi_lock(&store->lock);
    bool there = !artifact->gone;
    if (there) {
        artifact->holds++;
        mmi_list_remove(&artifact->used);
        mmi_list_push_back(&store->temporary_lru, &artifact->used);
    }
    mmi_unlock(&store->lock);
    return there ? MM_OK : mmi_fail(err, MM_NONE, "weights: dropped from their temporary file");
}

/* The file may have been removed, or rewritten by another process. Preparing is deterministic, so
 * the content should be the same; it is checked all the same. */
static mm_status hold_entry(struct mmi_artifact *artifact, mm_error *err) {
    struct mmi_store *store = artifact->store;
    char path[PATH_MAX];
    mmi_cache_entry_path(&store->cache, &artifact->header.key, path);
    struct mmi_entry entry;
    mm_error why;
    mm_status status = mmi_entry_open(store->env, path, &artifact->header.key, &entry, &why);
    if (status == MM_OK) {
        status = memcmp(&entry.header, &artifact->header, sizeof(entry.header)) == 0
                     ? mmi_store_vouch(store, path, &entry, artifact->tail, &why)
                     : mmi_fail(&why, MM_CORRUPT, "%s: another entry took its place", path);
    }
    if (status != MM_OK) {
        mmi_entry_close(store->env, &entry);
        mmi_error_copy(err, &why);
        return mmi_store_absent(store, status, &why);
    }
    mmi_lock(&store->lock);
    if (artifact->holds++ == 0) {
        artifact->fd = entry.fd;
        entry.fd = -1;
    }
    mmi_unlock(&store->lock);
    mmi_entry_close(store->env, &entry);
    return MM_OK;
}

mm_status mmi_artifact_hold(struct mmi_artifact *artifact, mm_error *err) {
    if (!artifact->store) {
        return MM_OK;
    }
    return artifact->room.taken ? hold_extent(artifact, err) : hold_entry(artifact, err);
}

void mmi_artifact_unhold(struct mmi_artifact *artifact) {
    struct mmi_store *store = artifact->store;
    if (!store) {
        return;
    }
    if (artifact->room.taken) {
        mmi_temporary_cache_unhold(artifact);
        return;
    }
    int fd = -1;
    mmi_lock(&store->lock);
    if (--artifact->holds == 0) {
        fd = artifact->fd;
        artifact->fd = -1;
    }
    mmi_unlock(&store->lock);
    mmi_io_close(fd);
}

bool mmi_artifact_is_mappable(const struct mmi_artifact *artifact) {
    struct mmi_store *store = artifact->store;
    if (!store || !store->map) {
        return false;
    }
    if (!artifact->room.taken) {
        return store->cache.mappable;
    }
    mmi_lock(&store->lock);
    uint64_t offset;
    const struct mmi_extent *extent = artifact->gone ? NULL : artifact->room.extent;
    bool mappable = extent && mmi_extent_fd(extent, &offset) >= 0;
    mmi_unlock(&store->lock);
    return mappable;
}

int mmi_artifact_map_fd(const struct mmi_artifact *artifact, uint64_t *file_offset) {
    if (!mmi_artifact_is_mappable(artifact)) {
        return -1;
    }
    if (artifact->room.taken) {
        return mmi_extent_fd(artifact->room.extent, file_offset);
    }
    *file_offset = MMI_ENTRY_WEIGHTS_AT;
    return artifact->fd;
}

bool mmi_artifact_is_temporary(const struct mmi_artifact *artifact) {
    return artifact->room.taken;
}

mm_status mmi_artifact_read(const struct mmi_artifact *artifact, uint64_t offset, void *to,
                            uint64_t bytes, mm_error *err) {
    uint64_t end;
    if (!mmi_add(offset, bytes, &end) || end > artifact->header.weights_bytes) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "weights: end at byte %llu, wanted %llu at %llu",
                        (unsigned long long)artifact->header.weights_bytes,
                        (unsigned long long)bytes, (unsigned long long)offset);
    }
    if (bytes == 0) {
        return MM_OK;
    }
    const struct mmi_extent *extent = artifact->room.extent;
    int error =
        extent ? mmi_extent_read(extent, offset, to, bytes)
               : mmi_io_read(artifact->env, artifact->fd, MMI_ENTRY_WEIGHTS_AT + offset, to, bytes);
    if (error == 0) {
        return MM_OK;
    }
    char path[PATH_MAX];
    if (extent) {
        snprintf(path, sizeof(path), "%s", mmi_temporary_place_name(extent->place));
    } else {
        mmi_cache_entry_path(&artifact->store->cache, &artifact->header.key, path);
    }
    return mmi_fail_errno(err, MM_IO, error, "%s: weights at byte %llu", path,
                          (unsigned long long)offset);
}
