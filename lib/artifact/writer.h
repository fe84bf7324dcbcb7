/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_WRITER_H
#define MMI_ARTIFACT_WRITER_H

/* Private to this module: a writer, in the cache directory until that refuses something, then in a
 * temporary file. */

#include <artifact/state.h>

struct mmi_writer {
    struct mmi_store *store;
    struct mmi_writer_config config;
    mm_sink sink;
    struct mmi_entry_header header; /* filled as its parts become known */
    struct mmi_entry_layout layout;
    bool described, expected;
    uint8_t *description;
    uint64_t *group_ends;
    size_t group_room;
    uint64_t written_bytes;
    uint8_t *tail; /* from the commit on */

    struct mmi_room room; /* of weights in a temporary file */

    int fd; /* on disk; else -1 */
    char path[PATH_MAX];
    uint8_t *piece;      /* [piece_room]: what is not in the file yet */
    uint64_t piece_room; /* a whole piece, or less if the weights are smaller */
    uint64_t piece_bytes;
    uint64_t flushed_bytes; /* in the file, full pieces but for the last */
    uint64_t *checksums;    /* [layout.pieces] */
};

/* writer_disk.c. All answer 0 or an errno; then the writer still has every byte that it took, and
 * mmi_disk_recover goes on from there. */

/* A file with room for the weights, under the directory's budget. */
int mmi_disk_begin(struct mmi_writer *writer);
/* Take up to a piece of weights; *taken may be less than count. */
int mmi_disk_put(struct mmi_writer *writer, const uint8_t *bytes, uint64_t count, uint64_t *taken);
/* The last piece, tail, header; all of it synced. */
int mmi_disk_finish(struct mmi_writer *writer);
/* Give it its name. EEXIST: another is there and replace is false. */
int mmi_disk_publish(struct mmi_writer *writer, bool replace);
/* Read it all from the disk again. MM_CORRUPT: what came back is not what was written. */
mm_status mmi_disk_check(struct mmi_writer *writer, mm_error *err);
/* Copy the weights so far out of the file into the room. MM_CORRUPT, or as mmi_room_write. */
mm_status mmi_disk_recover(struct mmi_writer *writer, mm_error *err);
/* Close the file, and remove it if it has no name yet. */
void mmi_disk_end(struct mmi_writer *writer);

#endif
