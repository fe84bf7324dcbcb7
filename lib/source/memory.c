/* SPDX-License-Identifier: Apache-2.0 */
/* The kind "memory": bytes of the caller's. */
#include <source/opened.h>

#include <string.h>

static bool takes(const struct mmi_location *location) {
    return location->text == NULL;
}

/* Only its bytes tell what it is: the identity is weak, and reading is cheap. */
static mm_status open_data(struct mmi_source *source, const struct mmi_location *location,
                           mm_error *err) {
    struct mmi_opened_file *file = mmi_source_add(source, "", 0, location->data_bytes);
    if (!file) {
        return mmi_fail(err, MM_NO_MEMORY, "model: out of memory");
    }
    file->own.data = location->data;
    file->reader.name = "model in memory";
    file->identity = mmi_identity_make(&mmi_source_memory_kind, NULL, 0, &location->data_bytes,
                                       sizeof(location->data_bytes), false);
    return MM_OK;
}

static mm_status open_sibling(struct mmi_source *source, const char *relative, mm_error *err) {
    (void)source;
    return mmi_fail(err, MM_NOT_FOUND, "%s: a model in memory has no files beside it", relative);
}

static mm_status read_data(struct mmi_opened_file *file, uint64_t offset, void *to, uint64_t count,
                           mm_error *err) {
    (void)err;
    memcpy(to, file->own.data + offset, count);
    return MM_OK;
}

static void close_file(struct mmi_opened_file *file) {
    (void)file;
}

static void close_source(struct mmi_source *source) {
    (void)source;
}

const struct mmi_source_kind mmi_source_memory_kind = {.name = "memory",
                                                       .takes = takes,
                                                       .open = open_data,
                                                       .open_sibling = open_sibling,
                                                       .read = read_data,
                                                       .close_file = close_file,
                                                       .close = close_source};
