/* SPDX-License-Identifier: Apache-2.0 */

/* ModelProto: the file as a whole. */

#include <backends/onnx/format/load.h>
#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

static const struct onnx_schema model_schema = {
    "a model",
    {[7] = ONNX_BYTES, [8] = ONNX_BYTES, [14] = ONNX_BYTES, [25] = ONNX_BYTES},
};
static const struct onnx_schema opset_schema = {
    "an opset import",
    {[1] = ONNX_BYTES, [2] = ONNX_VARINT},
};
static const struct onnx_schema metadata_schema = {
    "an entry of the metadata",
    {[1] = ONNX_BYTES, [2] = ONNX_BYTES},
};
static const struct onnx_schema function_schema = {
    "a function",
    {[1] = ONNX_BYTES, [10] = ONNX_BYTES},
};

mm_status mmi_onnx_out_of_memory(mm_error *err) {
    return mmi_fail(err, MM_NO_MEMORY, "no memory for the graph");
}

mm_status mmi_onnx_load_text(struct onnx_loading *loading, struct onnx_span bytes,
                             const char **text, mm_error *err) {
    if (bytes.bytes > 0 && memchr(bytes.at, 0, bytes.bytes)) {
        return mmi_onnx_fail_at(loading->file, bytes.at, err, "text without a NUL expected");
    }
    *text = mmi_onnx_take_text(loading->model->arena, bytes.at, bytes.bytes);
    return *text ? MM_OK : mmi_onnx_out_of_memory(err);
}

/* ---- What the model is made of --------------------------------------------------------------- */

static bool is_standard(struct onnx_span domain) {
    return domain.bytes == 0 || (domain.bytes == 7 && memcmp(domain.at, "ai.onnx", 7) == 0);
}

static bool is_domain(struct onnx_span domain, const char *name) {
    return domain.bytes == strlen(name) && memcmp(domain.at, name, domain.bytes) == 0;
}

/* The versions of ai.onnx and ai.onnx.ml. Without that of ai.onnx opset stays 0, and nodes of other
 * domains are all that there may be; whoever knows them. */
static mm_status load_opset(struct onnx_loading *loading, struct onnx_message model,
                            mm_error *err) {
    struct onnx_field field;
    struct onnx_message import;
    bool imported = false;
    while (mmi_onnx_next_of(&model, 8, &field)) {
        MMI_TRY(mmi_onnx_open_message(&import, field.bytes, &opset_schema, loading->file, err));
        if (is_standard(mmi_onnx_bytes_of(import, 1))) {
            loading->model->opset = (int64_t)mmi_onnx_number_of(import, 2, 0);
            imported = true;
        }
        if (is_domain(mmi_onnx_bytes_of(import, 1), ONNX_ML)) {
            loading->model->ml_opset = (int64_t)mmi_onnx_number_of(import, 2, 0);
        }
    }
    int64_t opset = loading->model->opset, ml = loading->model->ml_opset;
    loading->model->ml_opset = ml ? ml : ONNX_NEWEST_ML_OPSET;
    if (imported && (opset < ONNX_OLDEST_OPSET || opset > ONNX_NEWEST_OPSET)) {
        return mmi_fail(err, MM_UNSUPPORTED, "opset %" PRId64 " of ai.onnx, %d to %d wanted", opset,
                        ONNX_OLDEST_OPSET, ONNX_NEWEST_OPSET);
    }
    return MM_OK;
}

static mm_status load_metadata(struct onnx_loading *loading, struct onnx_message model,
                               mm_error *err) {
    struct onnx_field field;
    struct onnx_message entry;
    uint64_t count = mmi_onnx_count_of(model, 14);
    if (count > UINT32_MAX / 2) {
        return mmi_onnx_out_of_memory(err);
    }
    const char **texts = mmi_onnx_take(loading->model->arena, 2 * count, sizeof(*texts));
    if (!texts) {
        return mmi_onnx_out_of_memory(err);
    }
    loading->model->metadata = texts;
    loading->model->metadata_count = (uint32_t)count;
    while (mmi_onnx_next_of(&model, 14, &field)) {
        MMI_TRY(mmi_onnx_open_message(&entry, field.bytes, &metadata_schema, loading->file, err));
        MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(entry, 1), texts++, err));
        MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(entry, 2), texts++, err));
    }
    return MM_OK;
}

static mm_status refuse_functions(struct onnx_loading *loading, struct onnx_message model,
                                  mm_error *err) {
    struct onnx_field field;
    struct onnx_message function;
    if (!mmi_onnx_next_of(&model, 25, &field)) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_open_message(&function, field.bytes, &function_schema, loading->file, err));
    return mmi_fail(err, MM_UNSUPPORTED, "functions of a model are not supported, as '%.*s'",
                    ONNX_SHOWN(mmi_onnx_bytes_of(function, 1)));
}

static mm_status load_model(struct onnx_loading *loading, struct onnx_span bytes, mm_error *err) {
    struct onnx_message model;
    MMI_TRY(mmi_onnx_open_message(&model, bytes, &model_schema, loading->file, err));
    if (mmi_onnx_count_of(model, 7) != 1) {
        return mmi_onnx_fail_at(loading->file, model.end, err,
                                "one graph expected in the model, got %" PRIu64,
                                mmi_onnx_count_of(model, 7));
    }
    MMI_TRY(load_opset(loading, model, err));
    MMI_TRY(refuse_functions(loading, model, err));
    MMI_TRY(load_metadata(loading, model, err));
    return mmi_onnx_load_graph(loading, mmi_onnx_bytes_of(model, 7), &loading->model->main, err);
}

mm_status mmi_onnx_load(const mm_source *source, const mm_services *services,
                        struct onnx_model *model, mm_error *err) {
    uint8_t *file = mmi_onnx_take_data(model->arena, source->bytes);
    if (!file) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for the %" PRIu64 " bytes of the model",
                        source->bytes);
    }
    MMI_TRY(source->read(source->ctx, 0, file, source->bytes, err));
    struct onnx_loading loading = {
        .source = source, .model = model, .file = file, .max_depth = services->limits_nesting};
    return load_model(&loading, (struct onnx_span){file, source->bytes}, err);
}
