/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/temporary_file.h>

#include <artifact/io.h>
#include <base/alloc.h>
#include <base/checked.h>
#include <base/file_limit.h>
#include <base/status.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAST_PAGE_BYTES UINT64_C(4096)
#define MOST_BYTES (UINT64_C(1) << 60)
#define LARGE_PAGE_BYTES (UINT64_C(2) << 20)
#define PIECE_BYTES (UINT64_C(256) << 10)

/* ---- Open and close ------------------------------------------------------------------------- */

/* It need not be there. The process may go elsewhere later; its folder does not. */
static int make_absolute(const char *folder, char path[PATH_MAX]) {
    char here[PATH_MAX];
    bool relative = folder[0] != '/';
    if (relative && !getcwd(here, sizeof(here))) {
        return errno;
    }
    int length = relative ? snprintf(path, PATH_MAX, "%s/%s", here, folder)
                          : snprintf(path, PATH_MAX, "%s", folder);
    return length < PATH_MAX ? 0 : ENAMETOOLONG;
}

mm_status mmi_temporary_place_init(const struct mmi_env *env, const char *folder,
                                   struct mmi_temporary_place *place, mm_error *err) {
    *place = (struct mmi_temporary_place){.env = env};
    long page_bytes = sysconf(_SC_PAGESIZE);
    place->page_bytes = mmi_max_u64(LEAST_PAGE_BYTES, page_bytes > 0 ? (uint64_t)page_bytes : 0);
    if (folder) {
        char path[PATH_MAX];
        int error = make_absolute(folder, path);
        if (error != 0) {
            return mmi_fail_errno(err, MM_INVALID_ARGUMENT, error, "tmp_dir %s", folder);
        }
        if (!(place->folder = mmi_copy_text(&env->alloc, path))) {
            return mmi_fail(err, MM_NO_MEMORY, "tmp_dir %s: out of memory", folder);
        }
    }
    mmi_lock_init(&place->lock, MMI_RANK_ARTIFACT);
    mmi_list_init(&place->files);
    return MM_OK;
}

static void close_file(const struct mmi_temporary_place *place, struct mmi_temporary_file *file) {
    if (file) {
        mmi_io_close(file->fd);
        mmi_free(&place->env->alloc, file, sizeof(*file));
    }
}

void mmi_temporary_place_close(struct mmi_temporary_place *place) {
    for (struct mmi_list *node; (node = mmi_list_pop(&place->files)) != NULL;) {
        close_file(place, MMI_CONTAINER(node, struct mmi_temporary_file, node));
    }
    mmi_lock_fini(&place->lock);
    mmi_free_text(&place->env->alloc, place->folder);
}

const char *mmi_temporary_place_name(const struct mmi_temporary_place *place) {
    return place->folder ? place->folder : "memory";
}

static int open_file(const struct mmi_temporary_place *place, struct mmi_temporary_file **out) {
    struct mmi_temporary_file *file = mmi_alloc(&place->env->alloc, 1, sizeof(*file));
    if (!file) {
        return ENOMEM;
    }
    int error = place->folder ? mmi_io_open_unnamed(place->env, place->folder, &file->fd)
                              : mmi_io_open_memory(place->env, &file->fd);
    if (error != 0) {
        mmi_free(&place->env->alloc, file, sizeof(*file));
        return error;
    }
    file->most_bytes = MOST_BYTES;
    mmi_list_init(&file->extents);
    *out = file;
    return 0;
}

/* ---- Take ------------------------------------------------------------------------------------ */

static uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* In this file: the first gap that is large enough, or behind the last. false: it would be too
 * long. Under the lock. */
static bool put_into(struct mmi_temporary_file *file, struct mmi_extent *extent) {
    uint64_t unit =
        extent->bytes >= LARGE_PAGE_BYTES ? LARGE_PAGE_BYTES : extent->place->page_bytes;
    struct mmi_list *before = &file->extents;
    extent->offset = 0;
    MMI_LIST_EACH(node, &file->extents) {
        const struct mmi_extent *next = MMI_CONTAINER(node, struct mmi_extent, node);
        if (next->offset >= extent->offset && next->offset - extent->offset >= extent->bytes) {
            before = node;
            break;
        }
        extent->offset = round_up(next->offset + next->bytes, unit);
    }
    if (extent->offset + extent->bytes > mmi_min_u64(file->most_bytes, mmi_file_limit())) {
        return false;
    }
    extent->file = file;
    mmi_list_insert(before, &extent->node);
    return true;
}

static bool put_into_any(struct mmi_temporary_place *place, struct mmi_extent *extent) {
    MMI_LIST_EACH(node, &place->files) {
        if (put_into(MMI_CONTAINER(node, struct mmi_temporary_file, node), extent)) {
            return true;
        }
    }
    return false;
}

/* Into a further file; unless another thread has opened one meanwhile, and that will do. */
static int put_into_new(struct mmi_temporary_place *place, struct mmi_extent *extent,
                        uint32_t files_before) {
    if (extent->bytes > mmi_file_limit()) {
        return EFBIG;
    }
    if (files_before >= MMI_TEMPORARY_FILES) {
        return ENOSPC;
    }
    struct mmi_temporary_file *file;
    int error = open_file(place, &file);
    if (error != 0) {
        return error;
    }
    bool mappable = !place->folder || !mmi_io_is_network(place->folder);
    mmi_lock(&place->lock);
    bool placed = place->file_count > files_before && put_into_any(place, extent);
    if (!placed) {
        mmi_list_push_back(&place->files, &file->node);
        place->mappable = place->file_count++ == 0 ? mappable : place->mappable;
        placed = put_into(file, extent);
        file = NULL;
    }
    mmi_unlock(&place->lock);
    close_file(place, file);
    return placed ? 0 : EFBIG;
}

static int put(struct mmi_temporary_place *place, struct mmi_extent *extent) {
    mmi_lock(&place->lock);
    bool placed = put_into_any(place, extent);
    uint32_t files = place->file_count;
    mmi_unlock(&place->lock);
    return placed ? 0 : put_into_new(place, extent, files);
}

/* Out of its file again, which is closed if it is a further one and empty. most_bytes: what the
 * file may grow to from now on. */
static void put_back(struct mmi_extent *extent, uint64_t most_bytes) {
    struct mmi_temporary_place *place = extent->place;
    struct mmi_temporary_file *file = extent->file, *closing = NULL;
    mmi_io_free_range(file->fd, extent->offset, extent->bytes); /* before another has it */
    mmi_lock(&place->lock);
    mmi_list_remove(&extent->node);
    file->most_bytes = mmi_min_u64(file->most_bytes, most_bytes);
    if (mmi_list_empty(&file->extents) && place->files.next != &file->node) {
        mmi_list_remove(&file->node);
        place->file_count--;
        closing = file;
    }
    mmi_unlock(&place->lock);
    close_file(place, closing);
    extent->file = NULL;
}

/* A file system may want no file so long: then a further file takes it, if any can. */
static int allocate(struct mmi_temporary_place *place, struct mmi_extent *extent) {
    int error;
    bool again = true;
    while (again) {
        error = put(place, extent);
        if (error != 0) {
            return error;
        }
        error = mmi_io_allocate(place->env, extent->file->fd, extent->offset, extent->bytes);
        again = error == EFBIG && extent->offset > 0;
        if (error != 0) {
            put_back(extent, again ? extent->offset + extent->bytes - 1 : MOST_BYTES);
        }
    }
    return error;
}

static struct mmi_extent *new_extent(struct mmi_temporary_place *place, uint64_t bytes) {
    struct mmi_extent *extent = mmi_alloc(&place->env->alloc, 1, sizeof(*extent));
    if (extent) {
        extent->place = place;
        extent->bytes = round_up(bytes, place->page_bytes);
        mmi_list_init(&extent->node);
    }
    return extent;
}

int mmi_temporary_place_take(struct mmi_temporary_place *place, uint64_t bytes,
                             struct mmi_extent **out) {
    if (bytes > MOST_BYTES) {
        return EFBIG;
    }
    struct mmi_extent *extent = new_extent(place, bytes);
    if (!extent) {
        return ENOMEM;
    }
    int error = allocate(place, extent);
    if (error != 0) {
        mmi_free(&place->env->alloc, extent, sizeof(*extent));
        return error;
    }
    *out = extent;
    return 0;
}

int mmi_temporary_place_take_pages(struct mmi_temporary_place *place, uint64_t bytes,
                                   struct mmi_extent **out) {
    int error = mmi_fault(place->env, "map");
    if (error != 0 || bytes > MOST_BYTES) {
        return error != 0 ? error : ENOMEM;
    }
    struct mmi_extent *extent = new_extent(place, bytes);
    if (!extent) {
        return ENOMEM;
    }
    void *pages =
        mmap(NULL, extent->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        error = errno;
        mmi_free(&place->env->alloc, extent, sizeof(*extent));
        return error;
    }
    extent->pages = pages;
    *out = extent;
    return 0;
}

void mmi_extent_give(struct mmi_extent *extent) {
    if (!extent) {
        return;
    }
    if (extent->file) {
        put_back(extent, MOST_BYTES);
    } else {
        munmap(extent->pages, extent->bytes);
    }
    mmi_free(&extent->place->env->alloc, extent, sizeof(*extent));
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

int mmi_extent_write(const struct mmi_extent *extent, uint64_t offset, const void *from,
                     uint64_t count) {
    if (extent->file) {
        return mmi_io_write(extent->place->env, extent->file->fd, extent->offset + offset, from,
                            count);
    }
    memcpy(extent->pages + offset, from, count);
    return 0;
}

int mmi_extent_read(const struct mmi_extent *extent, uint64_t offset, void *to, uint64_t count) {
    if (extent->file) {
        return mmi_io_read(extent->place->env, extent->file->fd, extent->offset + offset, to,
                           count);
    }
    memcpy(to, extent->pages + offset, count);
    return 0;
}

int mmi_extent_copy(const struct mmi_extent *to, const struct mmi_extent *from) {
    const mm_allocator *alloc = &to->place->env->alloc;
    void *piece = mmi_alloc(alloc, 1, PIECE_BYTES);
    int error = piece ? 0 : ENOMEM;
    for (uint64_t at = 0; at < from->bytes && error == 0; at += PIECE_BYTES) {
        uint64_t count = mmi_min_u64(PIECE_BYTES, from->bytes - at);
        error = mmi_extent_read(from, at, piece, count);
        error = error == 0 ? mmi_extent_write(to, at, piece, count) : error;
    }
    mmi_free(alloc, piece, PIECE_BYTES);
    return error;
}

int mmi_extent_fd(const struct mmi_extent *extent, uint64_t *offset) {
    *offset = extent->offset;
    return extent->file && extent->place->mappable ? extent->file->fd : -1;
}
