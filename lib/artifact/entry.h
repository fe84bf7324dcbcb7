/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_ARTIFACT_ENTRY_H
#define MMI_ARTIFACT_ENTRY_H

/* One entry as a file. Every byte is under a checksum.
 *
 *   0        page: struct mmi_entry_header, then zeroes        checksum: in itself
 *   4096     weights, zeroes up to the next page               checksum: per MiB, in the tail
 *   tail_at  tail: description, zeroes up to 8 bytes,          checksum: in the header
 *            group ends, checksums of the weights
 *
 * The weights come first because their place is known before anything else is: they are written as
 * they come, the rest at the end. Numbers are in the machine's byte order, which the header
 * names. */

#include <artifact/store.h>

#include <sys/stat.h>

#define MMI_ENTRY_VERSION 1u
#define MMI_ENTRY_PAGE UINT64_C(4096)
#define MMI_ENTRY_PIECE (UINT64_C(1) << 20) /* what one checksum is for */
#define MMI_ENTRY_WEIGHTS_AT MMI_ENTRY_PAGE
#define MMI_ENTRY_ALIGN 64u /* of a tail in memory, so of the description */

struct mmi_entry_header {
    uint64_t magic;
    uint32_t version;
    uint32_t byte_order;
    struct mmi_key key;
    uint64_t weights_bytes;
    uint64_t description_bytes;
    uint32_t group_count;
    uint32_t reserved;
    uint64_t tail_checksum;
    uint64_t checksum; /* of the whole page, itself taken as 0 */
};

/* Where things are; follows from the header's sizes. */
struct mmi_entry_layout {
    uint64_t stored_bytes; /* weights and the zeroes behind them */
    uint64_t pieces;
    uint64_t groups_at, checksums_at, tail_bytes; /* in the tail */
    uint64_t tail_at, file_bytes;
};
/* false: sizes that no file can have. */
bool mmi_entry_layout(const struct mmi_entry_header *header, struct mmi_entry_layout *layout);

/* The page of a header whose checksum and constants are filled in here. */
void mmi_entry_seal(struct mmi_entry_header *header, uint8_t page[MMI_ENTRY_PAGE]);

/* A file open for reading. Zeroed = none, with fd -1. */
struct mmi_entry {
    int fd;
    struct stat stat;
    struct mmi_entry_header header;
    struct mmi_entry_layout layout;
    uint8_t *tail; /* [layout.tail_bytes], aligned to MMI_ENTRY_ALIGN; NULL until it was read */
};

/* Open and check the header. key NULL: of any key. MM_NONE: there is no such file; MM_CORRUPT: it
 * is damaged or cannot be read; MM_NO_FDS, MM_NO_MEMORY. Nothing to close unless MM_OK. */
mm_status mmi_entry_open(const struct mmi_env *env, const char *path, const struct mmi_key *key,
                         struct mmi_entry *entry, mm_error *err);
/* Check the header of entry->fd, open already. */
mm_status mmi_entry_read_header(const struct mmi_env *env, const char *path,
                                struct mmi_entry *entry, mm_error *err);
/* Read and check the tail. MM_CORRUPT, MM_NO_MEMORY. */
mm_status mmi_entry_read_tail(const struct mmi_env *env, const char *path, struct mmi_entry *entry,
                              mm_error *err);
/* Read all weights of entry->fd and check them against `tail`. MM_CORRUPT, MM_NO_MEMORY. */
mm_status mmi_entry_check_weights(const struct mmi_env *env, const char *path,
                                  const struct mmi_entry *entry, const uint8_t *tail,
                                  mm_error *err);
void mmi_entry_close(const struct mmi_env *env, struct mmi_entry *entry);

#endif
