/* SPDX-License-Identifier: Apache-2.0 */
/* The index source -> content: one record per source, found by device and inode of its main file.
 * In the cache directory each is a file, written aside and renamed: processes need no lock, and a
 * damaged record costs one hashing. Not synced: what a power cut leaves of it fails its
 * checksum. */
#include <artifact/state.h>

#include <artifact/io.h>
#include <base/checked.h>
#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x314e4545534c444d) /* "MDLSEEN1" */
#define MAX_BYTES (UINT64_C(64) << 20)

/* Then identities[file_count], then the siblings' names, each with its NUL. */
struct record {
    uint64_t magic;
    struct mmi_hash content;
    uint64_t file_count;
    uint64_t names_bytes;
    uint64_t checksum; /* of all of it, itself taken as 0 */
};

/* A record in memory. */
struct known_source {
    struct mmi_list same_bucket;
    uint64_t bytes;
    struct record *record;
};

static struct mmi_file_identity *identities_of(struct record *record) {
    return (struct mmi_file_identity *)(void *)(record + 1);
}

static uint64_t checksum_of(struct record *record, uint64_t bytes) {
    uint64_t stored = record->checksum;
    record->checksum = 0;
    uint64_t checksum = mmi_hash64(record, bytes, 0);
    record->checksum = stored;
    return checksum;
}

static bool is_sound(struct record *record, uint64_t bytes) {
    uint64_t identities, end;
    return bytes >= sizeof(*record) && record->magic == MAGIC && record->file_count > 0 &&
           mmi_mul(record->file_count, sizeof(struct mmi_file_identity), &identities) &&
           mmi_add(sizeof(*record), identities, &end) && mmi_add(end, record->names_bytes, &end) &&
           end == bytes && checksum_of(record, bytes) == record->checksum;
}

static struct mmi_list *bucket_of(struct mmi_store *store,
                                  const struct mmi_file_identity *identity) {
    uint64_t numbers[2] = {identity->device, identity->inode};
    return &store->sources_by_file[mmi_hash64(numbers, sizeof(numbers), 0) % MMI_STORE_BUCKETS];
}

static void free_known(const mm_allocator *alloc, struct known_source *known) {
    mmi_free(alloc, known->record, known->bytes);
    mmi_free(alloc, known, sizeof(*known));
}

static struct known_source *find_locked(struct mmi_store *store,
                                        const struct mmi_file_identity *identity) {
    MMI_LIST_EACH(node, bucket_of(store, identity)) {
        struct known_source *known = MMI_CONTAINER(node, struct known_source, same_bucket);
        const struct mmi_file_identity *main_file = identities_of(known->record);
        if (main_file->device == identity->device && main_file->inode == identity->inode) {
            return known;
        }
    }
    return NULL;
}

void mmi_source_index_close(struct mmi_store *store) {
    for (size_t i = 0; i < MMI_STORE_BUCKETS; i++) {
        for (struct mmi_list *node; (node = mmi_list_pop(&store->sources_by_file[i])) != NULL;) {
            free_known(&store->env->alloc, MMI_CONTAINER(node, struct known_source, same_bucket));
        }
    }
}

/* ---- Recall --------------------------------------------------------------------------------- */

/* A copy, for the caller to free; NULL: none, or no memory for it. */
static struct record *recall_memory(struct mmi_store *store,
                                    const struct mmi_file_identity *identity, uint64_t *bytes) {
    struct record *copy = NULL;
    mmi_lock(&store->lock);
    const struct known_source *known = find_locked(store, identity);
    if (known) {
        copy = mmi_alloc(&store->env->alloc, 1, known->bytes);
        *bytes = known->bytes;
    }
    if (copy) {
        memcpy(copy, known->record, known->bytes);
    }
    mmi_unlock(&store->lock);
    return copy;
}

static struct record *recall_file(struct mmi_store *store, const struct mmi_file_identity *identity,
                                  uint64_t *bytes) {
    char path[PATH_MAX];
    int fd;
    mmi_cache_source_path(&store->cache, identity, path);
    if (mmi_io_open(store->env, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &fd) != 0) {
        return NULL;
    }
    struct record *record = NULL;
    struct stat stat;
    if (fstat(fd, &stat) == 0 && stat.st_size > 0 && (uint64_t)stat.st_size <= MAX_BYTES) {
        *bytes = (uint64_t)stat.st_size;
        record = mmi_alloc(&store->env->alloc, 1, *bytes);
    }
    if (record &&
        (mmi_io_read(store->env, fd, 0, record, *bytes) != 0 || !is_sound(record, *bytes))) {
        mmi_free(&store->env->alloc, record, *bytes);
        record = NULL;
    }
    if (record) {
        mmi_cache_mark(&store->cache, fd, &stat);
    }
    mmi_io_close(fd);
    return record;
}

/* The identity that a sibling has now, which opens it. */
static bool identify(struct mmi_source *source, const char *name,
                     struct mmi_file_identity *identity) {
    const mm_source *reader = mmi_source_reader(source);
    mm_source sibling;
    if (reader->open(reader->ctx, name, &sibling, NULL) != MM_OK) {
        return false;
    }
    struct mmi_source_file file;
    for (size_t i = 1; mmi_source_file(source, i, &file); i++) {
        if (strcmp(file.name, name) == 0) {
            *identity = file.identity;
            return true;
        }
    }
    return false;
}

static bool still_holds(struct record *record, uint64_t bytes, struct mmi_source *source) {
    const struct mmi_file_identity *identities = identities_of(record);
    struct mmi_file_identity now = mmi_source_identity(source);
    const char *name = (const char *)(identities + record->file_count);
    const char *end = (const char *)record + bytes;
    for (uint64_t i = 0; i < record->file_count; i++) {
        if (i > 0) {
            size_t length = strnlen(name, (size_t)(end - name));
            if (name + length == end || !identify(source, name, &now)) {
                return false;
            }
            name += length + 1;
        }
        if (!mmi_identity_equal(&identities[i], &now)) {
            return false;
        }
    }
    return true;
}

bool mmi_store_recall(struct mmi_store *store, struct mmi_source *source,
                      struct mmi_hash *content) {
    struct mmi_file_identity identity = mmi_source_identity(source);
    uint64_t bytes = 0;
    if (identity.changed_ns == 0) {
        return false;
    }
    struct record *record = recall_memory(store, &identity, &bytes);
    if (!record && store->cache.path) {
        record = recall_file(store, &identity, &bytes);
    }
    bool found = record && still_holds(record, bytes, source);
    if (found) {
        *content = record->content;
    }
    mmi_free(&store->env->alloc, record, bytes);
    return found;
}

/* ---- Remember ------------------------------------------------------------------------------- */

/* NULL: an identity is not to be remembered, or there is no memory for it. */
static struct record *make_record(const struct mmi_store *store, const struct mmi_source *source,
                                  struct mmi_hash content, uint64_t *bytes) {
    uint64_t count = 0, names_bytes = 0;
    struct mmi_source_file file;
    for (; mmi_source_file(source, count, &file); count++) {
        if (file.identity.changed_ns == 0) {
            return NULL;
        }
        names_bytes += count > 0 ? strlen(file.name) + 1 : 0;
    }
    *bytes = sizeof(struct record) + count * sizeof(struct mmi_file_identity) + names_bytes;
    struct record *record = mmi_alloc(&store->env->alloc, 1, *bytes);
    if (!record) {
        return NULL;
    }
    *record = (struct record){MAGIC, content, count, names_bytes, 0};
    struct mmi_file_identity *identities = identities_of(record);
    char *name = (char *)(identities + count);
    for (uint64_t i = 0; mmi_source_file(source, i, &file); i++) {
        identities[i] = file.identity;
        if (i > 0) {
            name = stpcpy(name, file.name) + 1;
        }
    }
    record->checksum = checksum_of(record, *bytes);
    return record;
}

static int write_record(struct mmi_store *store, const struct record *record, uint64_t bytes,
                        const struct mmi_file_identity *identity) {
    char temporary[PATH_MAX], path[PATH_MAX];
    int fd;
    int error = mmi_cache_create(&store->cache, temporary, &fd);
    if (error != 0) {
        return error;
    }
    mmi_cache_source_path(&store->cache, identity, path);
    error = mmi_io_write(store->env, fd, 0, record, bytes);
    if (error == 0) {
        mmi_cache_mark(&store->cache, fd, NULL);
        error = mmi_io_rename(store->env, temporary, path, true);
    }
    if (error != 0) {
        unlink(temporary);
    }
    mmi_io_close(fd);
    return error;
}

/* Takes the record. */
static void keep_record(struct mmi_store *store, struct record *record, uint64_t bytes) {
    const mm_allocator *alloc = &store->env->alloc;
    struct known_source *known = mmi_alloc(alloc, 1, sizeof(*known));
    if (!known) {
        mmi_free(alloc, record, bytes);
        return;
    }
    *known = (struct known_source){.bytes = bytes, .record = record};
    mmi_lock(&store->lock);
    struct known_source *before = find_locked(store, identities_of(record));
    if (before) {
        mmi_list_remove(&before->same_bucket);
    }
    mmi_list_push_back(bucket_of(store, identities_of(record)), &known->same_bucket);
    mmi_unlock(&store->lock);
    if (before) {
        free_known(alloc, before);
    }
}

void mmi_store_remember(struct mmi_store *store, const struct mmi_source *source,
                        struct mmi_hash content) {
    uint64_t bytes;
    struct record *record = make_record(store, source, content, &bytes);
    if (!record) {
        return;
    }
    if (store->cache.path && bytes <= MAX_BYTES &&
        write_record(store, record, bytes, identities_of(record)) == 0) {
        mmi_free(&store->env->alloc, record, bytes);
    } else {
        keep_record(store, record, bytes);
    }
}
