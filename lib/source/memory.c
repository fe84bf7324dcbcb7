/* SPDX-License-Identifier: Apache-2.0 */
#include <source/opened.h>

#include <string.h>

static mm_status memory_read(struct mmi_opened_file *file, uint64_t offset, void *to,
                             uint64_t count, mm_error *err) {
    (void)err;
    memcpy(to, file->data + offset, count);
    return MM_OK;
}

static mm_status memory_open(void *ctx, const char *relative, mm_source *sibling, mm_error *err) {
    (void)ctx;
    (void)sibling;
    return mmi_fail(err, MM_NOT_FOUND, "%s: a model in memory has no files beside it", relative);
}

mm_status mmi_source_open_memory(struct mmi_source *source, const void *data, uint64_t data_bytes,
                                 mm_error *err) {
    struct mmi_opened_file *file = mmi_source_add(source, "", 0);
    if (!file) {
        return mmi_fail(err, MM_NO_MEMORY, "model: out of memory");
    }
    file->data = data;
    file->found.bytes = file->identity.bytes = data_bytes;
    file->read = memory_read;
    file->reader = (mm_source){file, "model in memory", data_bytes, mmi_source_read, memory_open};
    return MM_OK;
}
