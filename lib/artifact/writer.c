/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/writer.h>

#include <artifact/io.h>
#include <base/checked.h>

#include <errno.h>
#include <string.h>

/* ---- Storing weights ------------------------------------------------------------------------ */

/* The directory failed: go on in a temporary file with everything taken so far. Lack of descriptors
 * or memory passes and is not the directory's fault: it is reported as it is. */
static mm_status leave_directory(struct mmi_writer *writer, int error, mm_error *err) {
    struct mmi_store *store = writer->store;
    if (error == EMFILE || error == ENFILE || error == ENOMEM) {
        return mmi_fail_errno(err, MM_IO, error, "%s", store->cache.path);
    }
    bool full = error == ENOSPC || error == EDQUOT;
    bool read_only = error == EROFS || error == EACCES || error == EPERM;
    mmi_store_notify(store,
                     full        ? "cache_full"
                     : read_only ? "cache_read_only"
                                 : "cache_failed",
                     writer->header.weights_bytes, full ? MM_NO_SPACE : MM_IO);
    mm_status status =
        mmi_room_take(writer->store, writer->layout.stored_bytes, &writer->room, err);
    if (status == MM_OK) {
        status = mmi_disk_recover(writer, err);
    }
    if (status != MM_OK) {
        mmi_error_prefix(err, "%s: %s", store->cache.path, strerrordesc_np(error));
        mmi_room_give(writer->store, &writer->room);
    }
    mmi_disk_end(writer);
    return status;
}

/* Both said no before. */
static bool is_lost(const struct mmi_writer *writer) {
    return !writer->room.taken && writer->fd < 0;
}

/* ---- The sink ------------------------------------------------------------------------------- */

static mm_status broken_rule(mm_error *err, const char *what) {
    return mmi_fail(err, MM_BACKEND_FAILED, "prepare: %s", what);
}

static mm_status sink_describe(void *ctx, const void *bytes, uint64_t count, mm_error *err) {
    struct mmi_writer *writer = ctx;
    if (writer->described) {
        return broken_rule(err, "describes twice");
    }
    writer->description = mmi_alloc(&writer->store->env->alloc, 1, mmi_max_u64(1, count));
    if (!writer->description) {
        return mmi_fail(err, MM_NO_MEMORY, "description: out of memory");
    }
    if (count > 0) {
        memcpy(writer->description, bytes, count);
    }
    writer->header.description_bytes = count;
    writer->described = true;
    return MM_OK;
}

static mm_status sink_expect(void *ctx, uint64_t weights_bytes, mm_error *err) {
    struct mmi_writer *writer = ctx;
    if (writer->expected) {
        return broken_rule(err, "says twice how many weights to expect");
    }
    struct mmi_entry_header header = {.weights_bytes = weights_bytes};
    if (!mmi_entry_layout(&header, &writer->layout)) {
        return broken_rule(err, "more weights than any file can have");
    }
    writer->header.weights_bytes = weights_bytes;
    writer->expected = true;
    if (!writer->store->cache.path) {
        return mmi_room_take(writer->store, writer->layout.stored_bytes, &writer->room, err);
    }
    int error = mmi_disk_begin(writer);
    return error == 0 ? MM_OK : leave_directory(writer, error, err);
}

static mm_status sink_weights(void *ctx, const void *bytes, uint64_t count, mm_error *err) {
    struct mmi_writer *writer = ctx;
    if (!writer->expected || count > writer->header.weights_bytes - writer->written_bytes) {
        return broken_rule(err, "more weights than it said to expect");
    }
    for (const uint8_t *from = bytes; count > 0;) {
        uint64_t taken = count;
        if (writer->room.taken) {
            MMI_TRY(mmi_room_write(writer->store, &writer->room, writer->written_bytes, from, count,
                                   err));
        } else if (is_lost(writer)) {
            return broken_rule(err, "goes on after a failure");
        } else {
            int error = mmi_disk_put(writer, from, count, &taken);
            if (error != 0) {
                MMI_TRY(leave_directory(writer, error, err));
            }
        }
        writer->written_bytes += taken;
        from += taken;
        count -= taken;
    }
    return MM_OK;
}

static mm_status end_group(struct mmi_writer *writer, mm_error *err) {
    uint32_t count = writer->header.group_count;
    if (count == UINT32_MAX ||
        !mmi_grow(&writer->store->env->alloc, (void **)&writer->group_ends, &writer->group_room,
                  (size_t)count + 1, sizeof(*writer->group_ends))) {
        return mmi_fail(err, MM_NO_MEMORY, "groups: out of memory");
    }
    writer->group_ends[count] = writer->written_bytes;
    writer->header.group_count++;
    return MM_OK;
}

static uint64_t last_group_end(const struct mmi_writer *writer) {
    uint32_t count = writer->header.group_count;
    return count > 0 ? writer->group_ends[count - 1] : 0;
}

static mm_status sink_group(void *ctx, mm_error *err) {
    struct mmi_writer *writer = ctx;
    if (writer->written_bytes == last_group_end(writer)) {
        return broken_rule(err, "a group without weights");
    }
    return end_group(writer, err);
}

static bool sink_cancelled(void *ctx) {
    const struct mmi_writer *writer = ctx;
    return writer->config.cancelled && writer->config.cancelled(writer->config.user);
}

static void sink_progress(void *ctx, uint32_t permille) {
    const struct mmi_writer *writer = ctx;
    if (writer->config.progress) {
        writer->config.progress(writer->config.user, permille);
    }
}

/* ---- Open and abort ------------------------------------------------------------------------- */

mm_status mmi_writer_open(struct mmi_store *store, const struct mmi_writer_config *config,
                          struct mmi_writer **out, mm_error *err) {
    struct mmi_writer *writer = mmi_alloc(&store->env->alloc, 1, sizeof(*writer));
    if (!writer) {
        return mmi_fail(err, MM_NO_MEMORY, "artifact: out of memory");
    }
    writer->store = store;
    writer->config = *config;
    writer->fd = -1;
    writer->sink = (mm_sink){.ctx = writer,
                             .describe = sink_describe,
                             .expect = sink_expect,
                             .weights = sink_weights,
                             .group = sink_group,
                             .cancelled = sink_cancelled,
                             .progress = sink_progress};
    *out = writer;
    return MM_OK;
}

const mm_sink *mmi_writer_sink(const struct mmi_writer *writer) {
    return &writer->sink;
}

void mmi_writer_abort(struct mmi_writer *writer) {
    if (!writer) {
        return;
    }
    const mm_allocator *alloc = &writer->store->env->alloc;
    mmi_disk_end(writer);
    mmi_room_give(writer->store, &writer->room);
    mmi_free(alloc, writer->tail, writer->tail ? mmi_max_u64(1, writer->layout.tail_bytes) : 0);
    mmi_free(alloc, writer->description, mmi_max_u64(1, writer->header.description_bytes));
    mmi_free(alloc, writer->group_ends, writer->group_room * sizeof(*writer->group_ends));
    mmi_free(alloc, writer, sizeof(*writer));
}

/* ---- Commit --------------------------------------------------------------------------------- */

/* The sink's rules that can be checked only at the end. */
static mm_status complete(struct mmi_writer *writer, mm_error *err) {
    if (!writer->described) {
        return broken_rule(err, "no description");
    }
    if (!writer->expected) {
        MMI_TRY(sink_expect(writer, 0, err));
    }
    if (is_lost(writer)) {
        return broken_rule(err, "goes on after a failure");
    }
    if (writer->written_bytes != writer->header.weights_bytes) {
        return mmi_fail(err, MM_BACKEND_FAILED, "prepare: %llu of %llu bytes of weights came",
                        (unsigned long long)writer->written_bytes,
                        (unsigned long long)writer->header.weights_bytes);
    }
    return writer->written_bytes > last_group_end(writer) ? end_group(writer, err) : MM_OK;
}

static mm_status make_tail(struct mmi_writer *writer, mm_error *err) {
    struct mmi_entry_layout *layout = &writer->layout;
    if (!mmi_entry_layout(&writer->header, layout)) {
        return broken_rule(err, "a description larger than any file can be");
    }
    writer->tail = mmi_alloc_aligned(&writer->store->env->alloc, mmi_max_u64(1, layout->tail_bytes),
                                     MMI_ENTRY_ALIGN);
    if (!writer->tail) {
        return mmi_fail(err, MM_NO_MEMORY, "description: out of memory");
    }
    memcpy(writer->tail, writer->description, writer->header.description_bytes);
    if (writer->header.group_count > 0) {
        memcpy(writer->tail + layout->groups_at, writer->group_ends,
               writer->header.group_count * sizeof(*writer->group_ends));
    }
    return MM_OK;
}

/* 1. write the rest, sync, read all of it back
 * 2. rename, unless somebody was first: then theirs is taken, if it is whole
 * Trouble with the directory on the way leads to a temporary file. */
static mm_status publish(struct mmi_writer *writer, struct mmi_artifact **first, mm_error *err) {
    int error = mmi_disk_finish(writer);
    if (error == 0) {
        mm_status status = mmi_disk_check(writer, err);
        if (status != MM_OK && status != MM_CORRUPT) {
            return status;
        }
        error = status == MM_OK ? mmi_disk_publish(writer, false) : EIO;
    }
    if (error == EEXIST) {
        if (mmi_store_load(writer->store, &writer->header.key, first, NULL) == MM_OK) {
            return MM_OK;
        }
        error = mmi_disk_publish(writer, true);
    }
    return error == 0 ? MM_OK : leave_directory(writer, error, err);
}

static mm_status commit(struct mmi_writer *writer, struct mmi_artifact **out, mm_error *err) {
    MMI_TRY(complete(writer, err));
    MMI_TRY(make_tail(writer, err));
    struct mmi_store *store = writer->store;
    struct mmi_artifact *artifact = mmi_artifact_new(store->env, store);
    if (!artifact) {
        return mmi_fail(err, MM_NO_MEMORY, "artifact: out of memory");
    }
    struct mmi_artifact *first = NULL;
    mm_status status = writer->room.taken ? MM_OK : publish(writer, &first, err);
    if (status != MM_OK || first) {
        mmi_artifact_release(artifact);
        *out = first; /* NULL when it failed */
        return status;
    }
    mmi_artifact_fill(artifact, &writer->header, writer->tail);
    writer->tail = NULL;
    if (writer->room.taken) {
        artifact->room = writer->room;
        writer->room = (struct mmi_room){0};
        artifact = mmi_temporary_cache_add(store, artifact);
    }
    *out = artifact;
    return MM_OK;
}

mm_status mmi_writer_commit(struct mmi_writer *writer, const struct mmi_key *key,
                            struct mmi_artifact **artifact, mm_error *err) {
    writer->header.key = *key;
    mm_status status = commit(writer, artifact, err);
    mmi_writer_abort(writer);
    return status;
}
