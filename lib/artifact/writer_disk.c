/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/writer.h>

#include <artifact/io.h>
#include <base/checked.h>
#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Room for the file up to `end`, of which it has `have` already. Counting and taking happen under
 * the directory's lock, so that two processes together stay within the budget. */
static int reserve(struct mmi_writer *writer, uint64_t have, uint64_t end) {
    struct mmi_store *store = writer->store;
    int lock;
    uint64_t freed_bytes = 0;
    int error = mmi_cache_lock(&store->cache, &lock);
    if (error == 0 && writer->fd < 0) {
        error = mmi_cache_create(&store->cache, writer->path, &writer->fd);
    }
    if (error == 0) {
        error = mmi_store_make_room(store, end - have, &freed_bytes);
    }
    if (error == 0) {
        error = mmi_io_allocate(store->env, writer->fd, have, end - have);
    }
    mmi_cache_unlock(lock);
    if (freed_bytes > 0) {
        mmi_store_notify(store, "cache_budget", freed_bytes, MM_NO_SPACE);
    }
    return error;
}

int mmi_disk_begin(struct mmi_writer *writer) {
    const mm_allocator *alloc = &writer->store->env->alloc;
    uint64_t pieces = mmi_max_u64(1, writer->layout.pieces);
    writer->checksums = mmi_alloc(alloc, pieces, sizeof(*writer->checksums));
    writer->piece_room = mmi_max_u64(1, mmi_min_u64(MMI_ENTRY_PIECE, writer->layout.stored_bytes));
    writer->piece = mmi_alloc(alloc, 1, writer->piece_room);
    if (!writer->checksums || !writer->piece) {
        return ENOMEM;
    }
    return reserve(writer, 0, writer->layout.tail_at);
}

static int flush(struct mmi_writer *writer) {
    int error =
        mmi_io_write(writer->store->env, writer->fd, MMI_ENTRY_WEIGHTS_AT + writer->flushed_bytes,
                     writer->piece, writer->piece_bytes);
    if (error == 0) {
        writer->checksums[writer->flushed_bytes / MMI_ENTRY_PIECE] =
            mmi_hash64(writer->piece, writer->piece_bytes, 0);
        writer->flushed_bytes += writer->piece_bytes;
        writer->piece_bytes = 0;
    }
    return error;
}

int mmi_disk_put(struct mmi_writer *writer, const uint8_t *bytes, uint64_t count, uint64_t *taken) {
    *taken = 0;
    int error = writer->piece_bytes == writer->piece_room ? flush(writer) : 0;
    if (error == 0) {
        *taken = mmi_min_u64(count, writer->piece_room - writer->piece_bytes);
        memcpy(writer->piece + writer->piece_bytes, bytes, *taken);
        writer->piece_bytes += *taken;
    }
    return error;
}

/* The last piece, with zeroes up to the end of its page. */
static int flush_last(struct mmi_writer *writer) {
    uint64_t stored = writer->layout.stored_bytes - writer->flushed_bytes;
    if (stored == 0) {
        return 0;
    }
    memset(writer->piece + writer->piece_bytes, 0, stored - writer->piece_bytes);
    writer->piece_bytes = stored;
    return flush(writer);
}

int mmi_disk_finish(struct mmi_writer *writer) {
    const struct mmi_env *env = writer->store->env;
    const struct mmi_entry_layout *layout = &writer->layout;
    int error = flush_last(writer);
    if (error == 0) {
        error = reserve(writer, layout->tail_at, layout->file_bytes);
    }
    if (error != 0) {
        return error;
    }
    memcpy(writer->tail + layout->checksums_at, writer->checksums,
           layout->pieces * sizeof(*writer->checksums));
    writer->header.tail_checksum = mmi_hash64(writer->tail, layout->tail_bytes, 0);
    uint8_t page[MMI_ENTRY_PAGE];
    mmi_entry_seal(&writer->header, page);
    error = mmi_io_write(env, writer->fd, layout->tail_at, writer->tail, layout->tail_bytes);
    if (error == 0) {
        error = mmi_io_write(env, writer->fd, 0, page, sizeof(page));
    }
    return error == 0 ? mmi_io_sync(env, writer->fd) : error;
}

mm_status mmi_disk_check(struct mmi_writer *writer, mm_error *err) {
    const struct mmi_env *env = writer->store->env;
    /* From the disk, not from the pages just written. */
    posix_fadvise(writer->fd, 0, 0, POSIX_FADV_DONTNEED);
    struct mmi_entry entry = {.fd = writer->fd};
    mm_status status = mmi_entry_read_header(env, writer->path, &entry, err);
    if (status == MM_OK) {
        status = mmi_entry_read_tail(env, writer->path, &entry, err);
    }
    if (status == MM_OK) {
        status = mmi_entry_check_weights(env, writer->path, &entry, entry.tail, err);
    }
    entry.fd = -1; /* stays open */
    mmi_entry_close(env, &entry);
    return status;
}

int mmi_disk_publish(struct mmi_writer *writer, bool replace) {
    struct mmi_store *store = writer->store;
    char path[PATH_MAX];
    mmi_cache_entry_path(&store->cache, &writer->header.key, path);
    mmi_cache_mark(&store->cache, writer->fd, NULL); /* unmarked it is only checked again */
    int error = mmi_io_rename(store->env, writer->path, path, replace);
    if (error != 0) {
        return error;
    }
    writer->path[0] = '\0';
    /* If this fails, a power cut may lose the entry, no more. */
    mmi_io_sync_folder(store->env, store->cache.path);
    mmi_lock(&store->lock);
    store->cache_bytes += writer->layout.file_bytes;
    store->entries++;
    mmi_unlock(&store->lock);
    return 0;
}

mm_status mmi_disk_recover(struct mmi_writer *writer, mm_error *err) {
    struct mmi_store *store = writer->store;
    struct mmi_room *room = &writer->room;
    MMI_TRY(mmi_room_write(store, room, writer->flushed_bytes, writer->piece, writer->piece_bytes,
                           err));
    for (uint64_t at = 0; at < writer->flushed_bytes; at += MMI_ENTRY_PIECE) {
        uint64_t count = mmi_min_u64(MMI_ENTRY_PIECE, writer->flushed_bytes - at);
        int error =
            mmi_io_read(store->env, writer->fd, MMI_ENTRY_WEIGHTS_AT + at, writer->piece, count);
        if (error != 0 ||
            mmi_hash64(writer->piece, count, 0) != writer->checksums[at / MMI_ENTRY_PIECE]) {
            return mmi_fail_errno(err, MM_CORRUPT, error != 0 ? error : EIO,
                                  "%s: lost what was written", writer->path);
        }
        MMI_TRY(mmi_room_write(store, room, at, writer->piece, count, err));
    }
    return MM_OK;
}

void mmi_disk_end(struct mmi_writer *writer) {
    const mm_allocator *alloc = &writer->store->env->alloc;
    if (writer->fd >= 0) {
        if (writer->path[0] != '\0') {
            unlink(writer->path);
        }
        mmi_io_close(writer->fd);
        writer->fd = -1;
    }
    mmi_free(alloc, writer->piece, writer->piece_room);
    mmi_free(alloc, writer->checksums,
             mmi_max_u64(1, writer->layout.pieces) * sizeof(*writer->checksums));
    writer->piece = NULL;
    writer->checksums = NULL;
    writer->piece_bytes = writer->flushed_bytes = 0;
}
