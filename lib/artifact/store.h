/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_STORE_H
#define MMI_ARTIFACT_STORE_H

/* Prepared models: one description and one blob of weights each, immutable, found by key. With a
 * cache directory they are files shared by all processes of the user; without one, or when it is
 * full or read-only, they lie in temporary files (temporary_file.h) under a budget of their own.
 *
 * Properties
 *   - An entry is written aside, allocated in full, synced, renamed: it is there whole or not at
 *     all.
 *   - A damaged, foreign or older entry is never served; it counts as absent and is rebuilt.
 *   - Checksums (XXH3-64, per MiB of weights, one each for what is before and behind them) are
 *     checked when written (read back), at the first open after a boot, after any later write to
 *     the file, and by verify.
 *   - Only entries and temporary files are memory-mapped: never truncated, an entry removed by
 *     unlink only. What is mapped or held stays whole after its entry was removed.
 *   - A descriptor is open only while an entry is held, and one or two for all temporary weights,
 *     unless files may not be long enough for them.
 *   - No clock decides anything: what is least recently used is counted.
 *
 * Operation: find; else open a writer, prepare into its sink, commit. Hold the weights while they
 * are mapped or copied, unhold.
 *
 * Thread safety: every call from any thread; one thread at a time per writer. The store has its own
 * lock (MMI_RANK_ARTIFACT), held for bookkeeping only, never during I/O. All calls may block on the
 * disk except retain and views: who releases or unholds last gives the disk its bytes back. */

#include <base/env.h>
#include <base/hash.h>
#include <base/status.h>
#include <source/source.h>

#include <modelmesh/backend.h>

struct mmi_store;
struct mmi_artifact;
struct mmi_writer;

struct mmi_store_config {
    const char *cache_dir; /* NULL: there is none */
    /* Folder of temporary files, which need not be there; where it refuses, or NULL: in memory. */
    const char *temporary_dir;
    uint64_t cache_budget_bytes; /* 0: no limit; least recently used entries are unlinked */
    uint64_t temporary_budget_bytes;
    /* Of these, in memory where the folder refuses; 0: no limit of its own. */
    uint64_t memory_budget_bytes;
    bool map;            /* entries may be memory-mapped (network file systems turn it off) */
    const char *boot_id; /* NULL: the kernel's */
    /* An artifact could not be kept on disk, or was dropped, for lack of room; no lock held.
     * reason: artifact_budget, tmp_full, cache_budget, cache_full, cache_read_only or
     * cache_failed. NULL = nobody listens. */
    void (*dropped)(void *user, const char *reason, uint64_t bytes, mm_status why);
    void *user;
};

/* The directory is made if it is missing (its parent must exist: MM_NOT_FOUND). MM_CACHE_NOT_OWNED:
 * it is not a directory, not the caller's own, or not 0700 (0500, its read-only form, will do).
 * Leftovers of dead writers are removed. */
mm_status mmi_store_open(const struct mmi_env *env, const struct mmi_store_config *config,
                         struct mmi_store **store, mm_error *err);
void mmi_store_close(struct mmi_store *store); /* all artifacts were released; NULL is fine */

/* What an entry is filed under: content of the source, and everything that changes the prepared
 * bytes (backend, its version, its layout text, the model's config). */
struct mmi_key {
    struct mmi_hash content; /* of the main file and every sibling that was read, in order */
    struct mmi_hash target;  /* mmi_target_hash */
};
/* Order and borders of the texts count; NULL is "". */
struct mmi_hash mmi_target_hash(const char *backend, const char *version, const char *layout,
                                const char *config);

/* The index source -> content: an unchanged source is hashed once in its life. Kept in the cache
 * directory when there is one.
 * recall: true when the main file is known and it and every sibling that was read then certainly
 * have the same bytes; *content is theirs. Opens all of those siblings that are there. remember:
 * every file that the source has open. A source with a weak identity is not remembered, nor is what
 * finds no room: it is hashed again. */
bool mmi_store_recall(struct mmi_store *store, struct mmi_source *source, struct mmi_hash *content);
void mmi_store_remember(struct mmi_store *store, const struct mmi_source *source,
                        struct mmi_hash content);

/* Find an entry: MM_OK with one reference, MM_NONE when there is none that may be served.
 * MM_NO_FDS, MM_NO_MEMORY: it could not be looked at. */
mm_status mmi_store_find(struct mmi_store *store, const struct mmi_key *key,
                         struct mmi_artifact **artifact, mm_error *err);

/* Make an entry. The sink belongs to the writer; `cancelled` and `progress` are passed through to
 * it (NULL: never, nowhere). When the directory fails, is full or read-only the writer goes on in a
 * temporary file. What finds no room in that budget is not kept: it is dropped when it is held no
 * more, and prepared again when it is needed again. MM_NO_SPACE with path, needed, free: no place
 * has room. A backend that breaks the sink's rules gets MM_BACKEND_FAILED.
 * commit: MM_OK with one reference; the writer is gone either way. The key is asked for only here,
 * because which siblings count is known only when prepare has read them. Two writers of one key:
 * the first commit wins, the second gets the first's entry. */
struct mmi_writer_config {
    bool (*cancelled)(void *user);
    void (*progress)(void *user, uint32_t permille);
    void *user;
};
mm_status mmi_writer_open(struct mmi_store *store, const struct mmi_writer_config *config,
                          struct mmi_writer **writer, mm_error *err);
const mm_sink *mmi_writer_sink(const struct mmi_writer *writer);
mm_status mmi_writer_commit(struct mmi_writer *writer, const struct mmi_key *key,
                            struct mmi_artifact **artifact, mm_error *err);
void mmi_writer_abort(struct mmi_writer *writer); /* NULL is fine */

/* References are atomic. The view (description, groups) lives as long as the artifact, also when
 * its weights are gone; the description is aligned to 64 bytes; config and source in it are the
 * caller's to fill in its own copy. */
void mmi_artifact_retain(struct mmi_artifact *artifact);
void mmi_artifact_release(struct mmi_artifact *artifact); /* NULL is fine */
mm_artifact mmi_artifact_view(const struct mmi_artifact *artifact);
/* Of weights that lie in a temporary file now. */
uint64_t mmi_artifact_temporary_bytes(struct mmi_artifact *artifact);

/* An artifact without a blob for backends that have no prepare: the description is `bytes` (copied,
 * may be empty), no weights, never stored. */
mm_status mmi_artifact_bare(const struct mmi_env *env, const void *bytes, uint64_t count,
                            struct mmi_artifact **artifact, mm_error *err);

/* Weights. hold: they will be readable until unhold; MM_NONE: they are gone (dropped, unlinked,
 * damaged): prepare again; MM_NO_FDS. A hold of an entry costs a descriptor, so it is for the time
 * of a load, and a mapping outlives it. Those in a temporary file are held as long as they are
 * mapped, for others come in their place; that costs nothing. Any number at once. While held:
 *   map_fd  descriptor and offset to map the weights from, read-only; the hold's own, not to be
 *           closed. -1: this artifact is not to be mapped, use read.
 *   read    copy weights[offset .. offset + bytes) to memory; any thread. */
mm_status mmi_artifact_hold(struct mmi_artifact *artifact, mm_error *err);
void mmi_artifact_unhold(struct mmi_artifact *artifact);
int mmi_artifact_map_fd(const struct mmi_artifact *artifact, uint64_t *file_offset);
mm_status mmi_artifact_read(const struct mmi_artifact *artifact, uint64_t offset, void *to,
                            uint64_t bytes, mm_error *err);
bool mmi_artifact_is_mappable(const struct mmi_artifact *artifact); /* does map_fd give one? */
bool mmi_artifact_is_temporary(const struct mmi_artifact *artifact);

/* cache_bytes and entries as of this store's last look at the directory and its own doings
 * since. */
struct mmi_store_stats {
    uint64_t temporary_bytes, cache_bytes, entries;
};
struct mmi_store_stats mmi_store_stats(struct mmi_store *store);

#endif
