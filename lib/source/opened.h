/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_SOURCE_OPENED_H
#define MMI_SOURCE_OPENED_H

/* Private to this module: a source and the files that it has open. */

#include <source/source.h>

struct mmi_opened_file {
    struct mmi_source *source;
    /* A piece that lies within the file. */
    mm_status (*read)(struct mmi_opened_file *file, uint64_t offset, void *to, uint64_t count,
                      mm_error *err);
    char *path;       /* for messages; "" for memory */
    const char *name; /* in path: relative to the folder */
    int fd;           /* -1: data */
    const uint8_t *data;
    struct mmi_file_identity found;    /* at the opening */
    struct mmi_file_identity identity; /* as reported: found, or without changed_ns */
    mm_source reader;
};

struct mmi_source {
    const struct mmi_env *env;
    const struct mmi_source_watch *watch; /* NULL: nobody */
    int folder;                           /* of the main file; -1: memory */
    struct mmi_opened_file **files;
    size_t count, capacity;
};

/* Constructor of files: a zeroed one at the end of source->files with its path, of which the last
 * part from name_at on is the name; NULL = out of memory. Freed with the source. */
struct mmi_opened_file *mmi_source_add(struct mmi_source *source, const char *path, size_t name_at);
void mmi_source_drop_last(struct mmi_source *source);
/* mm_source.read of every kind: checks the range, then reads in pieces and tells the watch. */
mm_status mmi_source_read(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err);

/* file.c and memory.c: the main file. */
mm_status mmi_source_open_file(struct mmi_source *source, const char *location, mm_error *err);
mm_status mmi_source_open_memory(struct mmi_source *source, const void *data, uint64_t data_bytes,
                                 mm_error *err);
/* The identity that an open file has now; false = unknown. */
bool mmi_identity_of(int fd, struct mmi_file_identity *identity);

/* folder.c. The main file of `location`, a file or a folder, into path[0 .. room). */
mm_status mmi_folder_resolve(const char *location, char *path, size_t room, mm_error *err);
/* Open a file below the folder of a main file, or below the one that the main file's links lead to,
 * never outside of both. 0 or an errno; EXDEV: the name leads outside. */
int mmi_folder_open(const struct mmi_env *env, int folder, int main_file, const char *relative,
                    int *fd);

#endif
