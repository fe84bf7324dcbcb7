/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_SOURCE_OPENED_H
#define MMI_SOURCE_OPENED_H

/* Private to this module: the kinds of sources, a source, and the files that it has open. */

#include <source/source.h>

struct mmi_opened_file;

/* Where a model is, as its spec says. */
struct mmi_location {
    const char *text; /* NULL: memory */
    struct mmi_memory *memory;
};

/* One kind of source: a constant table in a file of its own, and a line in source.c's list. Nobody
 * else knows it: what others compare is the identities that it makes. */
struct mmi_source_kind {
    const char *name;     /* part of every identity, also on disk: never changes */
    uint64_t piece_bytes; /* the most to read at once, so that a cancel is seen soon; 0: 4 MiB */
    /* Is this one of its own? The first in the list that says so has it. */
    bool (*takes)(const struct mmi_location *location);
    /* Open the main file, then each sibling: mmi_source_add, then what is the kind's in the file.
     * The statuses are mmi_source_open's and mm_source.open's. */
    mm_status (*open)(struct mmi_source *source, const struct mmi_location *location,
                      mm_error *err);
    mm_status (*open_sibling)(struct mmi_source *source, const char *relative, mm_error *err);
    /* A piece that lies within the file. Blocks for these bytes and none behind them; a file that
     * is not what it was at its opening: MM_SOURCE_CHANGED, where that can be told. */
    mm_status (*read)(struct mmi_opened_file *file, uint64_t offset, void *to, uint64_t count,
                      mm_error *err);
    /* What it is now; false: that cannot be told. NULL: never another than at its opening. */
    bool (*identify)(const struct mmi_opened_file *file, struct mmi_identity *identity);
    void (*close_file)(struct mmi_opened_file *file);
    void (*close)(struct mmi_source *source); /* opened in part or not at all, too; no file is */
};

struct mmi_opened_file {
    struct mmi_source *source;
    char *path;                   /* for messages; "" for memory */
    const char *name;             /* in path: relative to the folder */
    struct mmi_identity identity; /* at the opening */
    mm_source reader;
    union { /* the kind's */
        struct {
            int fd;
            int64_t changed_ns; /* at the opening */
        };
        struct mmi_memory *memory;
        void *state;
    } own;
};

struct mmi_source {
    const struct mmi_env *env;
    const struct mmi_source_kind *kind;
    const struct mmi_source_watch *watch; /* NULL: nobody */
    struct mmi_opened_file **files;
    size_t count, capacity;
    union { /* the kind's, for all of its files; zeroed before open */
        int folder;
        void *state;
    } own;
};

/* As mmi_source_open, of a kind that the caller knows. */
mm_status mmi_source_open_as(const struct mmi_env *env, const struct mmi_source_kind *kind,
                             const struct mmi_location *location, struct mmi_source **source,
                             mm_error *err);

/* A file at the end of source->files with its path, of which the last part from name_at on is the
 * name, and its size; the caller fills identity and own. Closed and freed with the source. NULL =
 * out of memory. */
struct mmi_opened_file *mmi_source_add(struct mmi_source *source, const char *path, size_t name_at,
                                       uint64_t bytes);

/* state: all that changes when the bytes do. strong: it certainly does. */
struct mmi_identity mmi_identity_make(const struct mmi_source_kind *kind, const void *place,
                                      size_t place_bytes, const void *state, size_t state_bytes,
                                      bool strong);

extern const struct mmi_source_kind mmi_source_file_kind, mmi_source_memory_kind;

/* folder.c. The main file of `location`, a file or a folder, into path[0 .. room). */
mm_status mmi_folder_resolve(const char *location, char *path, size_t room, mm_error *err);
/* Open a file below the folder of a main file, or below the one that the main file's links lead to,
 * never outside of both. 0 or an errno; EXDEV: the name leads outside. */
int mmi_folder_open(const struct mmi_env *env, int folder, int main_file, const char *relative,
                    int *fd);

#endif
