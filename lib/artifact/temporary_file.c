/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/temporary_file.h>

#include <artifact/io.h>
#include <base/alloc.h>
#include <base/checked.h>
#include <base/status.h>

#include <errno.h>

#define PAGE_BYTES UINT64_C(4096)
#define MOST_BYTES (UINT64_C(1) << 60)
#define LARGE_PAGE_BYTES (UINT64_C(2) << 20)

mm_status mmi_temporary_file_init(const struct mmi_env *env, const char *folder,
                                  struct mmi_temporary_file *file, mm_error *err) {
    *file = (struct mmi_temporary_file){.env = env, .fd = -1};
    if (folder && !(file->folder = mmi_copy_text(&env->alloc, folder))) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", folder);
    }
    mmi_lock_init(&file->lock, MMI_RANK_ARTIFACT);
    mmi_list_init(&file->extents);
    return MM_OK;
}

void mmi_temporary_file_close(struct mmi_temporary_file *file) {
    mmi_io_close(file->fd);
    mmi_lock_fini(&file->lock);
    mmi_free_text(&file->env->alloc, file->folder);
}

const char *mmi_temporary_file_name(const struct mmi_temporary_file *file) {
    return file->folder ? file->folder : "memory";
}

int mmi_temporary_file_open(struct mmi_temporary_file *file) {
    mmi_lock(&file->lock);
    bool open = file->fd >= 0;
    mmi_unlock(&file->lock);
    if (open) {
        return 0;
    }
    int fd = -1;
    int error = file->folder ? mmi_io_open_unnamed(file->env, file->folder, &fd)
                             : mmi_io_open_memory(file->env, &fd);
    if (error != 0) {
        return error;
    }
    bool mappable = !file->folder || !mmi_io_is_network(file->folder);
    mmi_lock(&file->lock);
    if (file->fd < 0) { /* else another thread was first */
        file->fd = fd;
        file->mappable = mappable;
        fd = -1;
    }
    mmi_unlock(&file->lock);
    mmi_io_close(fd);
    return 0;
}

static uint64_t round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* The first gap that is large enough, or behind the last. */
static void place(struct mmi_temporary_file *file, struct mmi_extent *extent) {
    uint64_t unit = extent->bytes >= LARGE_PAGE_BYTES ? LARGE_PAGE_BYTES : PAGE_BYTES;
    struct mmi_list *before = &file->extents;
    MMI_LIST_EACH(node, &file->extents) {
        const struct mmi_extent *next = MMI_CONTAINER(node, struct mmi_extent, node);
        if (next->offset >= extent->offset && next->offset - extent->offset >= extent->bytes) {
            before = node;
            break;
        }
        extent->offset = round_up(next->offset + next->bytes, unit);
    }
    mmi_list_insert(before, &extent->node);
}

int mmi_temporary_file_take(struct mmi_temporary_file *file, uint64_t bytes,
                            struct mmi_extent **out) {
    int error = mmi_temporary_file_open(file);
    if (error != 0) {
        return error;
    }
    if (bytes > MOST_BYTES) {
        return EFBIG;
    }
    struct mmi_extent *extent = mmi_alloc(&file->env->alloc, 1, sizeof(*extent));
    if (!extent) {
        return ENOMEM;
    }
    extent->file = file;
    extent->bytes = round_up(mmi_max_u64(1, bytes), PAGE_BYTES);
    mmi_lock(&file->lock);
    place(file, extent);
    mmi_unlock(&file->lock);
    error = mmi_io_allocate(file->env, file->fd, extent->offset, extent->bytes);
    if (error != 0) {
        mmi_temporary_file_give(extent);
        return error;
    }
    *out = extent;
    return 0;
}

void mmi_temporary_file_give(struct mmi_extent *extent) {
    if (!extent) {
        return;
    }
    struct mmi_temporary_file *file = extent->file;
    mmi_io_free_range(file->fd, extent->offset, extent->bytes); /* before another has it */
    mmi_lock(&file->lock);
    mmi_list_remove(&extent->node);
    mmi_unlock(&file->lock);
    mmi_free(&file->env->alloc, extent, sizeof(*extent));
}
