/* SPDX-License-Identifier: Apache-2.0 */
#include <artifact/entry.h>

#include <artifact/io.h>
#include <base/checked.h>
#include <base/hash.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define MAGIC UINT64_C(0x315452414c444f4d) /* "MODLART1" */
#define BYTE_ORDER_MARK 0x01020304u

_Static_assert(sizeof(struct mmi_entry_header) == 88, "the header has no holes");

bool mmi_entry_layout(const struct mmi_entry_header *header, struct mmi_entry_layout *layout) {
    uint64_t sums, groups = (uint64_t)header->group_count * sizeof(uint64_t);
    if (!mmi_round_up(header->weights_bytes, MMI_ENTRY_PAGE, &layout->stored_bytes) ||
        !mmi_round_up(header->description_bytes, sizeof(uint64_t), &layout->groups_at) ||
        !mmi_add(layout->groups_at, groups, &layout->checksums_at) ||
        !mmi_add(MMI_ENTRY_WEIGHTS_AT, layout->stored_bytes, &layout->tail_at)) {
        return false;
    }
    layout->pieces =
        layout->stored_bytes / MMI_ENTRY_PIECE + (layout->stored_bytes % MMI_ENTRY_PIECE != 0);
    sums = layout->pieces * sizeof(uint64_t);
    return mmi_add(layout->checksums_at, sums, &layout->tail_bytes) &&
           mmi_add(layout->tail_at, layout->tail_bytes, &layout->file_bytes) &&
           layout->file_bytes <= INT64_MAX;
}

static uint64_t page_checksum(const uint8_t page[MMI_ENTRY_PAGE]) {
    uint8_t copy[MMI_ENTRY_PAGE];
    memcpy(copy, page, sizeof(copy));
    memset(copy + offsetof(struct mmi_entry_header, checksum), 0, sizeof(uint64_t));
    return mmi_hash64(copy, sizeof(copy), 0);
}

void mmi_entry_seal(struct mmi_entry_header *header, uint8_t page[MMI_ENTRY_PAGE]) {
    header->magic = MAGIC;
    header->version = MMI_ENTRY_VERSION;
    header->byte_order = BYTE_ORDER_MARK;
    header->reserved = 0;
    header->checksum = 0;
    memset(page, 0, MMI_ENTRY_PAGE);
    memcpy(page, header, sizeof(*header));
    header->checksum = page_checksum(page);
    memcpy(page, header, sizeof(*header));
}

/* An unreadable file counts as damaged, unless we lack memory or descriptors. */
static mm_status read_failed(const char *path, int error, mm_error *err) {
    if (error == ENODATA) {
        return mmi_fail(err, MM_CORRUPT, "%s: shorter than it says", path);
    }
    return mmi_fail_errno(err, MM_CORRUPT, error, "%s", path);
}

mm_status mmi_entry_read_header(const struct mmi_env *env, const char *path,
                                struct mmi_entry *entry, mm_error *err) {
    uint8_t page[MMI_ENTRY_PAGE];
    if (fstat(entry->fd, &entry->stat) != 0) {
        return read_failed(path, errno, err);
    }
    int error = mmi_io_read(env, entry->fd, 0, page, sizeof(page));
    if (error != 0) {
        return read_failed(path, error, err);
    }
    struct mmi_entry_header *header = &entry->header;
    memcpy(header, page, sizeof(*header));
    if (header->magic != MAGIC || header->version != MMI_ENTRY_VERSION ||
        header->byte_order != BYTE_ORDER_MARK) {
        return mmi_fail(err, MM_CORRUPT, "%s: not an entry of version %u", path, MMI_ENTRY_VERSION);
    }
    if (header->checksum != page_checksum(page)) {
        return mmi_fail(err, MM_CORRUPT, "%s: the header's checksum is wrong", path);
    }
    if (!mmi_entry_layout(header, &entry->layout) ||
        entry->layout.file_bytes != (uint64_t)entry->stat.st_size) {
        return mmi_fail(err, MM_CORRUPT, "%s: %lld bytes long, which is not what it says", path,
                        (long long)entry->stat.st_size);
    }
    return MM_OK;
}

mm_status mmi_entry_open(const struct mmi_env *env, const char *path, const struct mmi_key *key,
                         struct mmi_entry *entry, mm_error *err) {
    *entry = (struct mmi_entry){.fd = -1};
    int error = mmi_io_open(env, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &entry->fd);
    if (error != 0) {
        entry->fd = -1;
        return error == ENOENT ? mmi_fail_errno(err, MM_NONE, error, "%s", path)
                               : read_failed(path, error, err);
    }
    mm_status status = mmi_entry_read_header(env, path, entry, err);
    if (status == MM_OK && key && memcmp(key, &entry->header.key, sizeof(*key)) != 0) {
        status = mmi_fail(err, MM_CORRUPT, "%s: holds another entry than its name says", path);
    }
    if (status != MM_OK) {
        mmi_entry_close(env, entry);
    }
    return status;
}

static bool groups_are_sound(const struct mmi_entry *entry) {
    const uint64_t *ends = (const uint64_t *)(const void *)(entry->tail + entry->layout.groups_at);
    uint64_t before = 0;
    for (uint32_t i = 0; i < entry->header.group_count; i++) {
        if (ends[i] <= before) {
            return false;
        }
        before = ends[i];
    }
    return before == entry->header.weights_bytes;
}

mm_status mmi_entry_read_tail(const struct mmi_env *env, const char *path, struct mmi_entry *entry,
                              mm_error *err) {
    const struct mmi_entry_layout *layout = &entry->layout;
    entry->tail =
        mmi_alloc_aligned(&env->alloc, mmi_max_u64(1, layout->tail_bytes), MMI_ENTRY_ALIGN);
    if (!entry->tail) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", path);
    }
    int error = mmi_io_read(env, entry->fd, layout->tail_at, entry->tail, layout->tail_bytes);
    if (error != 0) {
        return read_failed(path, error, err);
    }
    if (mmi_hash64(entry->tail, layout->tail_bytes, 0) != entry->header.tail_checksum ||
        !groups_are_sound(entry)) {
        return mmi_fail(err, MM_CORRUPT, "%s: the description is damaged", path);
    }
    return MM_OK;
}

mm_status mmi_entry_check_weights(const struct mmi_env *env, const char *path,
                                  const struct mmi_entry *entry, const uint8_t *tail,
                                  mm_error *err) {
    const struct mmi_entry_layout *layout = &entry->layout;
    const uint64_t *checksums = (const uint64_t *)(const void *)(tail + layout->checksums_at);
    uint64_t room = mmi_max_u64(1, mmi_min_u64(MMI_ENTRY_PIECE, layout->stored_bytes));
    uint8_t *piece = mmi_alloc(&env->alloc, 1, room);
    if (!piece) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", path);
    }
    mm_status status = MM_OK;
    for (uint64_t i = 0; i < layout->pieces && status == MM_OK; i++) {
        uint64_t at = i * MMI_ENTRY_PIECE;
        uint64_t count = mmi_min_u64(MMI_ENTRY_PIECE, layout->stored_bytes - at);
        int error = mmi_io_read(env, entry->fd, MMI_ENTRY_WEIGHTS_AT + at, piece, count);
        if (error != 0) {
            status = read_failed(path, error, err);
        } else if (mmi_hash64(piece, count, 0) != checksums[i]) {
            status = mmi_fail(err, MM_CORRUPT, "%s: damaged in the MiB at byte %llu", path,
                              (unsigned long long)(MMI_ENTRY_WEIGHTS_AT + at));
        }
    }
    mmi_free(&env->alloc, piece, room);
    return status;
}

void mmi_entry_close(const struct mmi_env *env, struct mmi_entry *entry) {
    mmi_io_close(entry->fd);
    mmi_free(&env->alloc, entry->tail, mmi_max_u64(1, entry->layout.tail_bytes));
    *entry = (struct mmi_entry){.fd = -1};
}
