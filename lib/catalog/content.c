/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/content.h>

#include <base/checked.h>

#define READ_BYTES (UINT64_C(1) << 20)

/* Chained: the hash of a file is that of its pieces' hashes, after the hash so far. */
static mm_status hash_file(const mm_allocator *alloc, const mm_source *reader,
                           struct mmi_hash *hash, mm_error *err) {
    uint64_t room = mmi_max_u64(1, mmi_min_u64(READ_BYTES, reader->bytes));
    unsigned char *buffer = mmi_alloc(alloc, 1, room);
    if (!buffer) {
        return mmi_fail(err, MM_NO_MEMORY, "%s: out of memory", reader->name);
    }
    mm_status status = MM_OK;
    for (uint64_t at = 0; at < reader->bytes && status == MM_OK; at += room) {
        uint64_t count = mmi_min_u64(room, reader->bytes - at);
        status = reader->read(reader->ctx, at, buffer, count, err);
        struct mmi_hash pieces[2] = {*hash, mmi_hash128(buffer, count)};
        *hash = mmi_hash128(pieces, sizeof(pieces));
    }
    struct {
        struct mmi_hash hash;
        uint64_t bytes;
    } end = {*hash, reader->bytes};
    *hash = mmi_hash128(&end, sizeof(end));
    mmi_free(alloc, buffer, room);
    return status;
}

mm_status mmi_content_read(const mm_allocator *alloc, const struct mmi_source *source,
                           struct mmi_hash *content, mm_error *err) {
    *content = (struct mmi_hash){0};
    struct mmi_source_file file;
    for (size_t i = 0; mmi_source_file(source, i, &file); i++) {
        MMI_TRY(hash_file(alloc, file.reader, content, err));
    }
    return MM_OK;
}

mm_status mmi_content_of(struct mmi_preparer *preparer, struct mmi_source *source,
                         struct mmi_hash *content, bool *remembered, mm_error *err) {
    *remembered = mmi_store_recall(preparer->store, source, content);
    return *remembered ? MM_OK : mmi_content_read(&preparer->env->alloc, source, content, err);
}

/* ---- Is it the same? ------------------------------------------------------------------------ */

static mm_status compare(struct mmi_preparer *preparer, const struct mmi_version *version,
                         struct mmi_source *source, mm_error *err) {
    mm_status status =
        mmi_source_open_siblings(source, version->siblings, version->siblings_bytes, err);
    bool missing = status == MM_NOT_FOUND || status == MM_INVALID_MODEL;
    if (status != MM_OK && !missing) {
        return status;
    }
    struct mmi_hash content;
    bool remembered = false;
    if (!missing) {
        MMI_TRY(mmi_content_of(preparer, source, &content, &remembered, err));
    }
    if (missing || !mmi_hash_equal(content, version->content)) {
        return mmi_fail(err, MM_SOURCE_CHANGED,
                        "%s: the content changed since it was first prepared",
                        mmi_source_reader(source)->name);
    }
    if (!remembered && mmi_source_unchanged(source)) {
        mmi_store_remember(preparer->store, source, content);
    }
    return MM_OK;
}

mm_status mmi_version_compare(struct mmi_preparer *preparer, const struct mmi_version *version,
                              const struct mmi_prepare_watch *watch, mm_error *err) {
    struct mmi_spec *spec = version->spec;
    struct mmi_source *source;
    MMI_TRY(mmi_source_open(preparer->env, spec->source, &spec->memory, &source, err));
    struct mmi_source_watch source_watch = {watch->cancelled, watch->read, watch->user};
    mmi_source_watch(source, &source_watch);
    mm_status status = compare(preparer, version, source, err);
    mmi_source_close(source);
    return status;
}
