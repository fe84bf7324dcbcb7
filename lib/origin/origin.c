/* SPDX-License-Identifier: Apache-2.0 */
#include <origin/opened.h>

#include <origin/io.h>

#include <string.h>

struct mmi_opened_file *mmi_origin_add(struct mmi_origin *origin, const char *path,
                                       size_t name_at) {
    const mm_allocator *alloc = &origin->env->alloc;
    if (!mmi_grow(alloc, (void **)&origin->files, &origin->capacity, origin->count + 1,
                  sizeof(*origin->files))) {
        return NULL;
    }
    struct mmi_opened_file *file = mmi_alloc(alloc, 1, sizeof(*file));
    if (!file) {
        return NULL;
    }
    file->origin = origin;
    file->fd = -1;
    file->path = mmi_copy_text(alloc, path);
    origin->files[origin->count++] = file;
    if (!file->path) {
        mmi_origin_drop_last(origin);
        return NULL;
    }
    file->name = file->path + name_at;
    return file;
}

void mmi_origin_drop_last(struct mmi_origin *origin) {
    const mm_allocator *alloc = &origin->env->alloc;
    struct mmi_opened_file *file = origin->files[--origin->count];
    mmi_io_close(file->fd);
    mmi_free_text(alloc, file->path);
    mmi_free(alloc, file, sizeof(*file));
}

mm_status mmi_origin_open(const struct mmi_env *env, const char *source, const void *data,
                          uint64_t data_bytes, struct mmi_origin **out, mm_error *err) {
    struct mmi_origin *origin = mmi_alloc(&env->alloc, 1, sizeof(*origin));
    if (!origin) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", source ? source : "model");
    }
    origin->env = env;
    origin->folder = -1;
    mm_status status = source ? mmi_origin_open_file(origin, source, err)
                              : mmi_origin_open_memory(origin, data, data_bytes, err);
    if (status != MM_OK) {
        mmi_origin_close(origin);
        return status;
    }
    *out = origin;
    return MM_OK;
}

void mmi_origin_close(struct mmi_origin *origin) {
    if (!origin) {
        return;
    }
    while (origin->count > 0) {
        mmi_origin_drop_last(origin);
    }
    mmi_io_close(origin->folder);
    const mm_allocator *alloc = &origin->env->alloc;
    mmi_free(alloc, origin->files, origin->capacity * sizeof(*origin->files));
    mmi_free(alloc, origin, sizeof(*origin));
}

const mm_source *mmi_origin_source(const struct mmi_origin *origin) {
    return &origin->files[0]->source;
}

const char *mmi_origin_path(const struct mmi_origin *origin) {
    return origin->files[0]->path;
}

struct mmi_file_identity mmi_origin_identity(const struct mmi_origin *origin) {
    return origin->files[0]->identity;
}

bool mmi_identity_equal(const struct mmi_file_identity *a, const struct mmi_file_identity *b) {
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

bool mmi_origin_file(const struct mmi_origin *origin, size_t index, struct mmi_origin_file *file) {
    if (index >= origin->count) {
        return false;
    }
    const struct mmi_opened_file *opened = origin->files[index];
    *file = (struct mmi_origin_file){opened->name, &opened->source, opened->identity};
    return true;
}

bool mmi_origin_unchanged(const struct mmi_origin *origin) {
    for (size_t i = 0; i < origin->count; i++) {
        const struct mmi_opened_file *file = origin->files[i];
        struct mmi_file_identity now;
        if (file->fd >= 0 &&
            (!mmi_identity_of(file->fd, &now) || !mmi_identity_equal(&now, &file->found))) {
            return false;
        }
    }
    return true;
}
