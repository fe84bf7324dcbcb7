/* SPDX-License-Identifier: Apache-2.0 */
/* The kind "memory": bytes of the caller's. */
#include <source/opened.h>

#include <sched.h>
#include <string.h>

#define PIECE_BYTES (UINT64_C(256) << 10) /* a caller may wait for one */

void mmi_memory_end(struct mmi_memory *memory) {
    atomic_store(&memory->gone, true); /* a reader counts itself first and looks then */
    while (atomic_load(&memory->readers) > 0) {
        sched_yield();
    }
}

static bool takes(const struct mmi_location *location) {
    return location->text == NULL;
}

/* Only its bytes tell what it is: the identity is weak, and reading is cheap. */
static mm_status open_data(struct mmi_source *source, const struct mmi_location *location,
                           mm_error *err) {
    struct mmi_opened_file *file = mmi_source_add(source, "", 0, location->memory->bytes);
    if (!file) {
        return mmi_fail(err, MM_NO_MEMORY, "model: out of memory");
    }
    file->own.memory = location->memory;
    file->reader.name = "model in memory";
    file->identity = mmi_identity_make(&mmi_source_memory_kind, NULL, 0, &location->memory->bytes,
                                       sizeof(location->memory->bytes), false);
    return MM_OK;
}

static mm_status open_sibling(struct mmi_source *source, const char *relative, mm_error *err) {
    (void)source;
    return mmi_fail(err, MM_NOT_FOUND, "%s: a model in memory has no files beside it", relative);
}

static mm_status read_data(struct mmi_opened_file *file, uint64_t offset, void *to, uint64_t count,
                           mm_error *err) {
    struct mmi_memory *memory = file->own.memory;
    atomic_fetch_add(&memory->readers, 1);
    bool gone = atomic_load(&memory->gone);
    if (!gone) {
        memcpy(to, (const uint8_t *)memory->data + offset, count);
    }
    atomic_fetch_sub(&memory->readers, 1);
    return gone ? mmi_fail(err, MM_CANCELLED, "%s: its bytes are gone", file->reader.name) : MM_OK;
}

static void close_file(struct mmi_opened_file *file) {
    (void)file;
}

static void close_source(struct mmi_source *source) {
    (void)source;
}

const struct mmi_source_kind mmi_source_memory_kind = {.name = "memory",
                                                       .piece_bytes = PIECE_BYTES,
                                                       .takes = takes,
                                                       .open = open_data,
                                                       .open_sibling = open_sibling,
                                                       .read = read_data,
                                                       .close_file = close_file,
                                                       .close = close_source};
