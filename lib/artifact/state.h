/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_STATE_H
#define MMI_ARTIFACT_STATE_H

/* Private to this module: what a store, an artifact and a writer are made of. */

#include <artifact/cache.h>
#include <artifact/entry.h>
#include <artifact/temporary_file.h>
#include <base/list.h>
#include <base/lock.h>

#include <stdatomic.h>

#define MMI_STORE_BUCKETS 1024u /* chains of 100 at 100,000 models */

/* A file whose checksums are right, but which could not be marked as checked. */
struct mmi_vouched {
    ino_t inode;
    struct timespec modified;
};

struct mmi_store {
    const struct mmi_env *env;
    struct mmi_cache cache; /* path NULL: there is none */
    /* What is not in the cache directory lies in the folder, or where that refuses, in memory. */
    struct mmi_temporary_place folder, memory; /* folder.folder NULL: there is none */
    bool map;
    uint64_t temporary_budget_bytes, memory_budget_bytes; /* of both; of memory alone */
    void (*dropped)(void *user, const char *reason, uint64_t bytes, mm_status why);
    void *user;

    struct mmi_lock lock;          /* guards all below, and what says so in an artifact */
    uint64_t temporary_bytes;      /* weights kept, and bytes reserved by writers */
    uint64_t memory_bytes;         /* of these, in memory */
    uint64_t passing_bytes;        /* the same of what found no room and is not kept */
    struct mmi_list temporary_lru; /* artifacts, least recently used first; one reference each */
    struct mmi_list temporary_by_key[MMI_STORE_BUCKETS];
    struct mmi_list sources_by_place[MMI_STORE_BUCKETS];
    struct mmi_vouched *vouched;
    size_t vouched_count, vouched_room;
    uint64_t cache_bytes, entries;
};

/* Room for the weights of one writer or artifact outside the cache directory. Zeroed: none. */
struct mmi_room {
    bool taken;
    bool passing;              /* there, but not kept */
    bool in_memory;            /* counts as such */
    uint64_t bytes;            /* that are counted */
    struct mmi_extent *extent; /* NULL: of no bytes, or gone */
};

struct mmi_artifact {
    const struct mmi_env *env;
    struct mmi_store *store; /* NULL: bare */
    _Atomic uint32_t references;
    struct mmi_entry_header header;
    struct mmi_entry_layout layout;
    uint8_t *tail;        /* as in struct mmi_entry */
    struct mmi_room room; /* taken: weights are or were there, to be read while held */

    /* Under the store's lock; fd stays while held and may be read without it. */
    uint32_t holds;
    int fd;    /* of an entry that is held; else -1 */
    bool gone; /* from its temporary file: never held again */
    struct mmi_list used, same_bucket;
};

/* An artifact with one reference and nothing in it; then its parts, of which it takes the tail. */
struct mmi_artifact *mmi_artifact_new(const struct mmi_env *env, struct mmi_store *store);
void mmi_artifact_fill(struct mmi_artifact *artifact, const struct mmi_entry_header *header,
                       uint8_t *tail);
/* A damaged or missing file as find and hold report it: MM_NONE, and a line in the log. */
mm_status mmi_store_absent(const struct mmi_store *store, mm_status status, const mm_error *why);
/* The entry in the cache directory, checked: as find, but MM_CORRUPT. */
mm_status mmi_store_load(struct mmi_store *store, const struct mmi_key *key,
                         struct mmi_artifact **artifact, mm_error *err);
/* The weights of an open entry are right, checked now or before; notes the use. MM_CORRUPT,
 * MM_NO_MEMORY. */
mm_status mmi_store_vouch(struct mmi_store *store, const char *path, const struct mmi_entry *entry,
                          const uint8_t *tail, mm_error *err);
void mmi_store_notify(const struct mmi_store *store, const char *reason, uint64_t bytes,
                      mm_status why);
/* Room for need_bytes more in the cache directory, which is locked. 0 or an errno. */
int mmi_store_make_room(struct mmi_store *store, uint64_t need_bytes, uint64_t *freed_bytes);

/* ---- Room in temporary files (temporary_room.c) ---------------------------------------------- */

/* An extent, within the budgets if that can be: the least recently used that nobody holds are
 * dropped if that suffices. Else it is passing, and leaves when it is held no more. MM_NO_SPACE
 * with both numbers, MM_NO_FDS, MM_NO_MEMORY, MM_IO; then *room is zeroed. */
mm_status mmi_room_take(struct mmi_store *store, uint64_t bytes, struct mmi_room *room,
                        mm_error *err);
void mmi_room_give(struct mmi_store *store, struct mmi_room *room); /* zeroed is fine */
/* Bytes of the weights. A disk that had room, and has none when it is written to: all of it moves
 * to memory. The statuses of take. */
mm_status mmi_room_write(struct mmi_store *store, struct mmi_room *room, uint64_t offset,
                         const void *bytes, uint64_t count, mm_error *err);

/* ---- Weights in temporary files (temporary_cache.c) ------------------------------------------ */

/* Count the room, in *room as kept or passing: in all, or as in memory (it is counted in all). */
void mmi_temporary_cache_reserve(struct mmi_store *store, struct mmi_room *room);
void mmi_temporary_cache_reserve_memory(struct mmi_store *store, struct mmi_room *room);
void mmi_temporary_cache_unreserve(struct mmi_store *store, const struct mmi_room *room);
/* Drop the least recently used that nobody holds in this place, of `bytes` together if there are
 * so many. false: there is none. */
bool mmi_temporary_cache_make_way(struct mmi_store *store, const struct mmi_temporary_place *place,
                                  uint64_t bytes);
uint64_t mmi_temporary_cache_unheld(struct mmi_store *store,
                                    const struct mmi_temporary_place *place);
void mmi_temporary_cache_unhold(struct mmi_artifact *artifact);
/* With a reference; NULL: not there. */
struct mmi_artifact *mmi_temporary_cache_find(struct mmi_store *store, const struct mmi_key *key);
/* Takes the caller's reference; returns one of the artifact, or of the one that was there first.
 * Its room was taken. */
struct mmi_artifact *mmi_temporary_cache_add(struct mmi_store *store,
                                             struct mmi_artifact *artifact);
void mmi_temporary_cache_close(struct mmi_store *store);

/* ---- Index of sources (source_index.c) ------------------------------------------------------ */

void mmi_source_index_close(struct mmi_store *store);

#endif
