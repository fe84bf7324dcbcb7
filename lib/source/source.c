/* SPDX-License-Identifier: Apache-2.0 */
#include <source/opened.h>

#include <base/checked.h>
#include <source/io.h>

#include <string.h>

/* A cancel is seen, and progress told, about once a millisecond of a fast disk. */
#define PIECE_BYTES (UINT64_C(4) << 20)

struct mmi_opened_file *mmi_source_add(struct mmi_source *source, const char *path,
                                       size_t name_at) {
    const mm_allocator *alloc = &source->env->alloc;
    if (!mmi_grow(alloc, (void **)&source->files, &source->capacity, source->count + 1,
                  sizeof(*source->files))) {
        return NULL;
    }
    struct mmi_opened_file *file = mmi_alloc(alloc, 1, sizeof(*file));
    if (!file) {
        return NULL;
    }
    file->source = source;
    file->fd = -1;
    file->path = mmi_copy_text(alloc, path);
    source->files[source->count++] = file;
    if (!file->path) {
        mmi_source_drop_last(source);
        return NULL;
    }
    file->name = file->path + name_at;
    return file;
}

void mmi_source_drop_last(struct mmi_source *source) {
    const mm_allocator *alloc = &source->env->alloc;
    struct mmi_opened_file *file = source->files[--source->count];
    mmi_io_close(file->fd);
    mmi_free_text(alloc, file->path);
    mmi_free(alloc, file, sizeof(*file));
}

mm_status mmi_source_open(const struct mmi_env *env, const char *location, const void *data,
                          uint64_t data_bytes, struct mmi_source **out, mm_error *err) {
    struct mmi_source *source = mmi_alloc(&env->alloc, 1, sizeof(*source));
    if (!source) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", location ? location : "model");
    }
    source->env = env;
    source->folder = -1;
    mm_status status = location ? mmi_source_open_file(source, location, err)
                                : mmi_source_open_memory(source, data, data_bytes, err);
    if (status != MM_OK) {
        mmi_source_close(source);
        return status;
    }
    *out = source;
    return MM_OK;
}

void mmi_source_close(struct mmi_source *source) {
    if (!source) {
        return;
    }
    while (source->count > 0) {
        mmi_source_drop_last(source);
    }
    mmi_io_close(source->folder);
    const mm_allocator *alloc = &source->env->alloc;
    mmi_free(alloc, source->files, source->capacity * sizeof(*source->files));
    mmi_free(alloc, source, sizeof(*source));
}

void mmi_source_watch(struct mmi_source *source, const struct mmi_source_watch *watch) {
    source->watch = watch;
}

mm_status mmi_source_read(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    struct mmi_opened_file *file = ctx;
    const struct mmi_source_watch *watch = file->source->watch;
    if (offset > file->found.bytes || count > file->found.bytes - offset) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: ends at byte %llu, wanted %llu at %llu",
                        file->reader.name, (unsigned long long)file->found.bytes,
                        (unsigned long long)count, (unsigned long long)offset);
    }
    for (uint64_t done = 0; done < count;) {
        uint64_t piece = mmi_min_u64(count - done, PIECE_BYTES);
        if (watch && watch->cancelled(watch->user)) {
            return mmi_fail(err, MM_CANCELLED, "%s: reading was cancelled", file->reader.name);
        }
        MMI_TRY(file->read(file, offset + done, (uint8_t *)to + done, piece, err));
        done += piece;
        if (watch) {
            watch->read(watch->user, piece);
        }
    }
    return MM_OK;
}

const mm_source *mmi_source_reader(const struct mmi_source *source) {
    return &source->files[0]->reader;
}

const char *mmi_source_path(const struct mmi_source *source) {
    return source->files[0]->path;
}

struct mmi_file_identity mmi_source_identity(const struct mmi_source *source) {
    return source->files[0]->identity;
}

bool mmi_identity_equal(const struct mmi_file_identity *a, const struct mmi_file_identity *b) {
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

bool mmi_source_file(const struct mmi_source *source, size_t index, struct mmi_source_file *file) {
    if (index >= source->count) {
        return false;
    }
    const struct mmi_opened_file *opened = source->files[index];
    *file = (struct mmi_source_file){opened->name, &opened->reader, opened->identity};
    return true;
}

bool mmi_source_unchanged(const struct mmi_source *source) {
    for (size_t i = 0; i < source->count; i++) {
        const struct mmi_opened_file *file = source->files[i];
        struct mmi_file_identity now;
        if (file->fd >= 0 &&
            (!mmi_identity_of(file->fd, &now) || !mmi_identity_equal(&now, &file->found))) {
            return false;
        }
    }
    return true;
}
