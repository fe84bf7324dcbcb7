/* SPDX-License-Identifier: Apache-2.0 */
#include <source/opened.h>

#include <base/checked.h>
#include <string.h>

/* A cancel is seen, and progress told, about once a millisecond of a fast disk. */
#define PIECE_BYTES (UINT64_C(4) << 20)

/* The first that takes a location has it. */
static const struct mmi_source_kind *const kinds[] = {&mmi_source_memory_kind,
                                                      &mmi_source_file_kind};

static mm_status open_beside(void *ctx, const char *relative, mm_source *sibling, mm_error *err);

/* ---- Files ---------------------------------------------------------------------------------- */

/* Checks the range, then reads in pieces and tells the watch. */
static mm_status read_pieces(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    struct mmi_opened_file *file = ctx;
    const struct mmi_source_watch *watch = file->source->watch;
    if (offset > file->reader.bytes || count > file->reader.bytes - offset) {
        return mmi_fail(err, MM_INVALID_MODEL, "%s: ends at byte %llu, wanted %llu at %llu",
                        file->reader.name, (unsigned long long)file->reader.bytes,
                        (unsigned long long)count, (unsigned long long)offset);
    }
    const struct mmi_source_kind *kind = file->source->kind;
    uint64_t most = kind->piece_bytes ? kind->piece_bytes : PIECE_BYTES;
    for (uint64_t done = 0; done < count;) {
        uint64_t piece = mmi_min_u64(count - done, most);
        if (watch && watch->cancelled(watch->user)) {
            return mmi_fail(err, MM_CANCELLED, "%s: reading was cancelled", file->reader.name);
        }
        MMI_TRY(kind->read(file, offset + done, (uint8_t *)to + done, piece, err));
        done += piece;
        if (watch) {
            watch->read(watch->user, piece);
        }
    }
    return MM_OK;
}

static void free_file(const mm_allocator *alloc, struct mmi_opened_file *file) {
    mmi_free_text(alloc, file->path);
    mmi_free(alloc, file, sizeof(*file));
}

struct mmi_opened_file *mmi_source_add(struct mmi_source *source, const char *path, size_t name_at,
                                       uint64_t bytes) {
    const mm_allocator *alloc = &source->env->alloc;
    if (!mmi_grow(alloc, (void **)&source->files, &source->capacity, source->count + 1,
                  sizeof(*source->files))) {
        return NULL;
    }
    struct mmi_opened_file *file = mmi_alloc(alloc, 1, sizeof(*file));
    if (!file) {
        return NULL;
    }
    file->path = mmi_copy_text(alloc, path);
    if (!file->path) {
        free_file(alloc, file);
        return NULL;
    }
    file->source = source;
    file->name = file->path + name_at;
    file->reader = (mm_source){file, file->path, bytes, read_pieces, open_beside};
    source->files[source->count++] = file;
    return file;
}

static const struct mmi_opened_file *opened_before(const struct mmi_source *source,
                                                   const char *name) {
    for (size_t i = 0; i < source->count; i++) {
        if (strcmp(source->files[i]->name, name) == 0) {
            return source->files[i];
        }
    }
    return NULL;
}

static mm_status open_beside(void *ctx, const char *relative, mm_source *sibling, mm_error *err) {
    struct mmi_source *source = ((struct mmi_opened_file *)ctx)->source;
    const struct mmi_opened_file *file = opened_before(source, relative);
    if (!file) {
        MMI_TRY(source->kind->open_sibling(source, relative, err));
        file = source->files[source->count - 1];
    }
    *sibling = file->reader;
    return MM_OK;
}

/* ---- Sources -------------------------------------------------------------------------------- */

mm_status mmi_source_open_as(const struct mmi_env *env, const struct mmi_source_kind *kind,
                             const struct mmi_location *location, struct mmi_source **out,
                             mm_error *err) {
    struct mmi_source *source = mmi_alloc(&env->alloc, 1, sizeof(*source));
    if (!source) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory",
                        location->text ? location->text : "model");
    }
    source->env = env;
    source->kind = kind;
    mm_status status = kind->open(source, location, err);
    if (status != MM_OK) {
        mmi_source_close(source);
        return status;
    }
    *out = source;
    return MM_OK;
}

mm_status mmi_source_open(const struct mmi_env *env, const char *text, struct mmi_memory *memory,
                          struct mmi_source **source, mm_error *err) {
    struct mmi_location location = {text, memory};
    size_t i = 0;
    while (!kinds[i]->takes(&location)) {
        i++; /* a path is whatever nobody else takes */
    }
    return mmi_source_open_as(env, kinds[i], &location, source, err);
}

void mmi_source_close(struct mmi_source *source) {
    if (!source) {
        return;
    }
    const mm_allocator *alloc = &source->env->alloc;
    while (source->count > 0) {
        struct mmi_opened_file *file = source->files[--source->count];
        source->kind->close_file(file);
        free_file(alloc, file);
    }
    source->kind->close(source);
    mmi_free(alloc, source->files, source->capacity * sizeof(*source->files));
    mmi_free(alloc, source, sizeof(*source));
}

void mmi_source_watch(struct mmi_source *source, const struct mmi_source_watch *watch) {
    source->watch = watch;
}

const mm_source *mmi_source_reader(const struct mmi_source *source) {
    return &source->files[0]->reader;
}

const char *mmi_source_path(const struct mmi_source *source) {
    return source->files[0]->path;
}

bool mmi_source_file(const struct mmi_source *source, size_t index, struct mmi_source_file *file) {
    if (index >= source->count) {
        return false;
    }
    const struct mmi_opened_file *opened = source->files[index];
    *file = (struct mmi_source_file){opened->name, &opened->reader, opened->identity};
    return true;
}

uint64_t mmi_source_siblings(const struct mmi_source *source, char *names) {
    uint64_t bytes = 0;
    for (size_t i = 1; i < source->count; i++) {
        size_t count = strlen(source->files[i]->name) + 1;
        if (names) {
            memcpy(names + bytes, source->files[i]->name, count);
        }
        bytes += count;
    }
    return bytes;
}

mm_status mmi_source_open_siblings(struct mmi_source *source, const char *names, uint64_t bytes,
                                   mm_error *err) {
    mm_status first = MM_OK;
    for (uint64_t at = 0; at < bytes; at += strlen(names + at) + 1) {
        mm_source sibling;
        mm_status status =
            open_beside(source->files[0], names + at, &sibling, first == MM_OK ? err : NULL);
        first = first == MM_OK ? status : first;
    }
    return first;
}

/* ---- Identity ------------------------------------------------------------------------------- */

struct mmi_identity mmi_identity_make(const struct mmi_source_kind *kind, const void *place,
                                      size_t place_bytes, const void *state, size_t state_bytes,
                                      bool strong) {
    struct mmi_hash places[2] = {mmi_hash128(kind->name, strlen(kind->name)),
                                 mmi_hash128(place, place_bytes)};
    return (struct mmi_identity){.place = mmi_hash128(places, sizeof(places)),
                                 .state = mmi_hash128(state, state_bytes),
                                 .strong = strong};
}

struct mmi_identity mmi_source_identity(const struct mmi_source *source) {
    return source->files[0]->identity;
}

static bool seems_equal(const struct mmi_identity *a, const struct mmi_identity *b) {
    return mmi_hash_equal(a->place, b->place) && mmi_hash_equal(a->state, b->state);
}

bool mmi_identity_proves(const struct mmi_identity *a, const struct mmi_identity *b) {
    return a->strong && b->strong && seems_equal(a, b);
}

bool mmi_source_unchanged(const struct mmi_source *source) {
    for (size_t i = 0; source->kind->identify && i < source->count; i++) {
        const struct mmi_opened_file *file = source->files[i];
        struct mmi_identity now;
        if (!source->kind->identify(file, &now) || !seems_equal(&now, &file->identity)) {
            return false;
        }
    }
    return true;
}
