/* SPDX-License-Identifier: Apache-2.0 */
/* The index source -> content: one record per source, found by the place of its main file. What an
 * identity is made of is known to the kind of source alone; here they are compared. In the cache
 * directory each record is a file, written aside and renamed: processes need no lock, and a damaged
 * one costs one hashing. Not synced: what a power cut leaves of it fails its checksum. */
#include <artifact/state.h>

#include <artifact/io.h>
#include <base/checked.h>
#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x324e4545534c444d) /* "MDLSEEN2" */
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

static struct mmi_identity *identities_of(struct record *record) {
    return (struct mmi_identity *)(void *)(record + 1);
}

static uint64_t checksum_of(struct record *record, uint64_t bytes) {
    uint64_t stored = record->checksum;
    record->checksum = 0;
    uint64_t checksum = mmi_hash64(record, bytes, 0);
    record->checksum = stored;
    return checksum;
}

/* As many as there are siblings, each with its NUL. */
static bool has_names(struct record *record) {
    const char *names = (const char *)(identities_of(record) + record->file_count);
    uint64_t count = 0;
    for (uint64_t i = 0; i < record->names_bytes; i++) {
        count += names[i] == '\0';
    }
    bool whole = record->names_bytes == 0 || names[record->names_bytes - 1] == '\0';
    return whole && count == record->file_count - 1;
}

static bool is_sound(struct record *record, uint64_t bytes) {
    uint64_t identities, end;
    return bytes >= sizeof(*record) && record->magic == MAGIC && record->file_count > 0 &&
           mmi_mul(record->file_count, sizeof(struct mmi_identity), &identities) &&
           mmi_add(sizeof(*record), identities, &end) && mmi_add(end, record->names_bytes, &end) &&
           end == bytes && checksum_of(record, bytes) == record->checksum && has_names(record);
}

static struct mmi_list *bucket_of(struct mmi_store *store, struct mmi_hash place) {
    return &store->sources_by_place[place.low % MMI_STORE_BUCKETS];
}

static void free_known(const mm_allocator *alloc, struct known_source *known) {
    mmi_free(alloc, known->record, known->bytes);
    mmi_free(alloc, known, sizeof(*known));
}

static struct known_source *find_locked(struct mmi_store *store, struct mmi_hash place) {
    MMI_LIST_EACH(node, bucket_of(store, place)) {
        struct known_source *known = MMI_CONTAINER(node, struct known_source, same_bucket);
        if (mmi_hash_equal(identities_of(known->record)->place, place)) {
            return known;
        }
    }
    return NULL;
}

void mmi_source_index_close(struct mmi_store *store) {
    for (size_t i = 0; i < MMI_STORE_BUCKETS; i++) {
        for (struct mmi_list *node; (node = mmi_list_pop(&store->sources_by_place[i])) != NULL;) {
            free_known(&store->env->alloc, MMI_CONTAINER(node, struct known_source, same_bucket));
        }
    }
}

/* ---- Recall --------------------------------------------------------------------------------- */

/* A copy, for the caller to free; NULL: none, or no memory for it. */
static struct record *recall_memory(struct mmi_store *store, struct mmi_hash place,
                                    uint64_t *bytes) {
    struct record *copy = NULL;
    mmi_lock(&store->lock);
    const struct known_source *known = find_locked(store, place);
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

static struct record *recall_file(struct mmi_store *store, struct mmi_hash place, uint64_t *bytes) {
    char path[PATH_MAX];
    int fd;
    mmi_cache_source_path(&store->cache, place, path);
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

static bool find_file(const struct mmi_source *source, const char *name,
                      struct mmi_source_file *file) {
    for (size_t i = 1; mmi_source_file(source, i, file); i++) {
        if (strcmp(file->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Opens the siblings even if the main file is another by now: who hashes hashes all of them. */
static bool still_holds(struct record *record, struct mmi_source *source) {
    const struct mmi_identity *identities = identities_of(record);
    const char *name = (const char *)(identities + record->file_count);
    struct mmi_source_file file;
    bool holds = mmi_source_open_siblings(source, name, record->names_bytes, NULL) == MM_OK &&
                 mmi_source_file(source, 0, &file) &&
                 mmi_identity_proves(&identities[0], &file.identity);
    for (uint64_t i = 1; i < record->file_count && holds; i++, name += strlen(name) + 1) {
        holds =
            find_file(source, name, &file) && mmi_identity_proves(&identities[i], &file.identity);
    }
    return holds;
}

bool mmi_store_recall(struct mmi_store *store, struct mmi_source *source,
                      struct mmi_hash *content) {
    struct mmi_hash place = mmi_source_identity(source).place;
    uint64_t bytes = 0;
    struct record *record = recall_memory(store, place, &bytes);
    if (!record && store->cache.path) {
        record = recall_file(store, place, &bytes);
    }
    bool found = record && still_holds(record, source);
    if (found) {
        *content = record->content;
    }
    mmi_free(&store->env->alloc, record, bytes);
    return found;
}

/* ---- Remember ------------------------------------------------------------------------------- */

/* NULL: an identity is weak, or there is no memory for it. */
static struct record *make_record(const struct mmi_store *store, const struct mmi_source *source,
                                  struct mmi_hash content, uint64_t *bytes) {
    uint64_t count = 0, names_bytes = mmi_source_siblings(source, NULL);
    struct mmi_source_file file;
    for (; mmi_source_file(source, count, &file); count++) {
        if (!file.identity.strong) {
            return NULL;
        }
    }
    *bytes = sizeof(struct record) + count * sizeof(struct mmi_identity) + names_bytes;
    struct record *record = mmi_alloc(&store->env->alloc, 1, *bytes);
    if (!record) {
        return NULL;
    }
    *record = (struct record){MAGIC, content, count, names_bytes, 0};
    struct mmi_identity *identities = identities_of(record);
    for (uint64_t i = 0; mmi_source_file(source, i, &file); i++) {
        identities[i] = file.identity;
    }
    mmi_source_siblings(source, (char *)(identities + count));
    record->checksum = checksum_of(record, *bytes);
    return record;
}

static int write_record(struct mmi_store *store, struct record *record, uint64_t bytes) {
    char temporary[PATH_MAX], path[PATH_MAX];
    int fd;
    int error = mmi_cache_create(&store->cache, temporary, &fd);
    if (error != 0) {
        return error;
    }
    mmi_cache_source_path(&store->cache, identities_of(record)->place, path);
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
    struct mmi_hash place = identities_of(record)->place;
    mmi_lock(&store->lock);
    struct known_source *before = find_locked(store, place);
    if (before) {
        mmi_list_remove(&before->same_bucket);
    }
    mmi_list_push_back(bucket_of(store, place), &known->same_bucket);
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
    if (store->cache.path && bytes <= MAX_BYTES && write_record(store, record, bytes) == 0) {
        mmi_free(&store->env->alloc, record, bytes);
    } else {
        keep_record(store, record, bytes);
    }
}
