/* SPDX-License-Identifier: Apache-2.0 */

/* ModelProto: the file as a whole. */

#include <backends/onnx/format/load.h>
#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum { IR_VERSION = 1, GRAPH = 7, OPSETS = 8, METADATA = 14, FUNCTIONS = 25 };

static const struct onnx_schema model_schema = {
    "a model",
    {[IR_VERSION] = ONNX_VARINT,
     [GRAPH] = ONNX_BYTES,
     [OPSETS] = ONNX_BYTES,
     [METADATA] = ONNX_BYTES,
     [FUNCTIONS] = ONNX_BYTES},
};
static const struct onnx_schema metadata_schema = {
    "an entry of the metadata",
    {[1] = ONNX_BYTES, [2] = ONNX_BYTES},
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

static mm_status load_metadata(struct onnx_loading *loading, struct onnx_message model,
                               mm_error *err) {
    struct onnx_field field;
    struct onnx_message entry;
    uint64_t count = mmi_onnx_count_of(model, METADATA);
    if (count > UINT32_MAX / 2) {
        return mmi_onnx_out_of_memory(err);
    }
    const char **texts = mmi_onnx_take(loading->model->arena, 2 * count, sizeof(*texts));
    if (!texts) {
        return mmi_onnx_out_of_memory(err);
    }
    loading->model->metadata = texts;
    loading->model->metadata_count = (uint32_t)count;
    while (mmi_onnx_next_of(&model, METADATA, &field)) {
        MMI_TRY(mmi_onnx_open_message(&entry, field.bytes, &metadata_schema, loading->file, err));
        MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(entry, 1), texts++, err));
        MMI_TRY(mmi_onnx_load_text(loading, mmi_onnx_bytes_of(entry, 2), texts++, err));
    }
    return MM_OK;
}

static mm_status load_model(struct onnx_loading *loading, struct onnx_span bytes, mm_error *err) {
    struct onnx_message model;
    MMI_TRY(mmi_onnx_open_message(&model, bytes, &model_schema, loading->file, err));
    if (mmi_onnx_count_of(model, GRAPH) != 1) {
        return mmi_onnx_fail_at(loading->file, model.end, err,
                                "one graph expected in the model, got %" PRIu64,
                                mmi_onnx_count_of(model, GRAPH));
    }
    struct onnx_imports imports;
    MMI_TRY(mmi_onnx_load_imports(loading, model, OPSETS, &imports, err));
    loading->imports = &imports;
    loading->model->opset = imports.standard;
    loading->optional_inputs = mmi_onnx_number_of(model, IR_VERSION, 0) >= 4;
    MMI_TRY(mmi_onnx_load_functions(loading, model, FUNCTIONS, err));
    MMI_TRY(load_metadata(loading, model, err));
    return mmi_onnx_load_graph(loading, mmi_onnx_bytes_of(model, GRAPH), &loading->model->main,
                               err);
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
