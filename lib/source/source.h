/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_SOURCE_SOURCE_H
#define MMI_SOURCE_SOURCE_H

/* Where a model's bytes come from: a file, a folder, or bytes in the caller's memory; a kind of
 * source is one file here (opened.h). Read, never mapped (truncating a mapped file kills the host);
 * nothing is kept.
 *
 * A folder is resolved to its model.onnx, else to the model.onnx of its highest numbered sub-folder
 * that has one (Triton's layout).
 *
 * Siblings are what a model names beside itself. A name that could lead out of the main file's
 * folder is refused: absolute, with a ".." in it, through a symbolic link that leaves the folder.
 * Where the kernel has no openat2 every symbolic link below the folder is refused. The main file
 * itself may be reached through links: that path is the caller's.
 *
 * Thread safety: one thread at a time per source. A descriptor is open per file and one for the
 * folder, until close. */

#include <base/env.h>
#include <base/hash.h>
#include <base/status.h>

#include <modelmesh/backend.h>

#include <stdatomic.h>

struct mmi_source;

/* Bytes of the caller's, who may take them back while sources read. There is one for each version
 * of a model: it is no lock, which would be larger than the rest. */
struct mmi_memory {
    const void *data;
    uint64_t bytes;
    _Atomic uint32_t readers; /* copies that go on ... */
    _Atomic bool gone;        /* ... and may no longer begin */
};
/* From the return on nobody reads them: reads are MM_CANCELLED. Waits for the copy of a piece at
 * most. Any lock may be held. */
void mmi_memory_end(struct mmi_memory *memory);

/* Opens the main file. location: a path; NULL: memory, which must stay until close.
 * MM_NOT_FOUND, MM_IO (also what is no regular file), MM_NO_FDS, MM_NO_MEMORY, named. */
mm_status mmi_source_open(const struct mmi_env *env, const char *location,
                          struct mmi_memory *memory, struct mmi_source **source, mm_error *err);
void mmi_source_close(struct mmi_source *source); /* and every sibling; NULL is fine */

/* Asked and told between pieces of every read, on the thread that reads. */
struct mmi_source_watch {
    bool (*cancelled)(void *user);            /* true: the read ends MM_CANCELLED */
    void (*read)(void *user, uint64_t bytes); /* so many more were read, of any file */
    void *user;
};
/* From now on, of all files of the source. The watch stays until close. */
void mmi_source_watch(struct mmi_source *source, const struct mmi_source_watch *watch);

/* What a backend reads through; valid until close. Siblings that it opens are remembered; one that
 * was open already is handed out again. Past the end: MM_INVALID_MODEL; a file that lost bytes
 * since its opening: MM_SOURCE_CHANGED; a sibling that is not there: MM_NOT_FOUND. */
const mm_source *mmi_source_reader(const struct mmi_source *source);
const char *mmi_source_path(const struct mmi_source *source); /* of the main file; "" for memory */

/* Which bytes one file has, as its kind can tell without reading them: of files device and inode,
 * size and times; of what a server keeps its address, entity tag and length. Who compares knows
 * nothing of that. Fixed size without padding: it is kept on disk.
 * A weak identity shows changes but not their absence: memory; a file that changed so shortly
 * before its opening that the next change could bear the same time; what has no entity tag. Equal
 * weak ones mean nothing, and are not remembered: only reading tells. */
struct mmi_identity {
    struct mmi_hash place; /* of the file; found again by it */
    struct mmi_hash state; /* changes when its bytes do; if weak, perhaps not */
    uint64_t strong;       /* 1 or 0 */
};
struct mmi_identity mmi_source_identity(const struct mmi_source *source); /* of the main file */
/* The same file with the same bytes, unless somebody forged times. false: others, or unknown. */
bool mmi_identity_proves(const struct mmi_identity *a, const struct mmi_identity *b);

/* Files opened so far: [0] is the main file, then the siblings in order of opening. name is
 * relative to the main file's folder ("" for memory). false = no such index. */
struct mmi_source_file {
    const char *name;
    const mm_source *reader;
    struct mmi_identity identity;
};
bool mmi_source_file(const struct mmi_source *source, size_t index, struct mmi_source_file *file);
/* The siblings opened so far, in order: their names, each with its NUL, into names (NULL: nowhere).
 * Returns the bytes. Then the other way: open all that can be opened; the first failure, as of
 * mm_source.open. */
uint64_t mmi_source_siblings(const struct mmi_source *source, char *names);
mm_status mmi_source_open_siblings(struct mmi_source *source, const char *names, uint64_t bytes,
                                   mm_error *err);
/* True when no opened file shows a change since its opening. Asked after reading: a source that is
 * being rewritten is MM_SOURCE_CHANGED, not half of each. */
bool mmi_source_unchanged(const struct mmi_source *source);

#endif
