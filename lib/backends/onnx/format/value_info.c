/* SPDX-License-Identifier: Apache-2.0 */

/* ValueInfoProto: type and shape of an input or output as they are declared. */

#include <backends/onnx/format/loading.h>
#include <base/status.h>

#include <inttypes.h>

enum { INFO_TYPE = 2, DTYPE = 1, SHAPE = 2, DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };
/* Of a TypeProto, and what its message has of the items' type. */
enum { TENSOR = 1, SEQUENCE = 4, MAP = 5, OPTIONAL = 9, ITEM_TYPE = 1, MAP_VALUE_TYPE = 2 };

static const struct onnx_schema info_schema = {"an input or output", {[INFO_TYPE] = ONNX_BYTES}};
static const struct onnx_schema type_schema = {
    "a type",
    {[TENSOR] = ONNX_BYTES, [SEQUENCE] = ONNX_BYTES, [MAP] = ONNX_BYTES, [OPTIONAL] = ONNX_BYTES},
};
static const struct onnx_schema items_schema = {"the type of a sequence or an optional",
                                                {[ITEM_TYPE] = ONNX_BYTES}};
static const struct onnx_schema map_schema = {
    "a map's type",
    {[ITEM_TYPE] = ONNX_VARINT, [MAP_VALUE_TYPE] = ONNX_BYTES},
};
static const struct onnx_schema tensor_schema = {
    "a tensor's type",
    {[DTYPE] = ONNX_VARINT, [SHAPE] = ONNX_BYTES},
};
static const struct onnx_schema shape_schema = {"a shape", {[DIM] = ONNX_BYTES}};
static const struct onnx_schema dim_schema = {
    "an axis of a shape",
    {[DIM_VALUE] = ONNX_VARINT, [DIM_NAME] = ONNX_BYTES},
};

static mm_status load_axis(struct onnx_loading *loading, struct onnx_span bytes, uint32_t axis,
                           mm_value_info *info, mm_error *err) {
    struct onnx_message dim;
    MMI_TRY(mmi_onnx_open_message(&dim, bytes, &dim_schema, loading->file, err));
    int64_t length = (int64_t)mmi_onnx_number_of(dim, DIM_VALUE, UINT64_MAX);
    struct onnx_span name = mmi_onnx_bytes_of(dim, DIM_NAME);
    info->shape[axis] = length < 0 ? -1 : length;
    if (length < 0 && name.bytes > 0) {
        MMI_TRY(mmi_onnx_load_text(loading, name, &info->axis_names[axis], err));
    }
    return MM_OK;
}

static mm_status load_shape(struct onnx_loading *loading, struct onnx_span bytes,
                            mm_value_info *info, mm_error *err) {
    struct onnx_message shape;
    struct onnx_field field;
    MMI_TRY(mmi_onnx_open_message(&shape, bytes, &shape_schema, loading->file, err));
    uint64_t rank = mmi_onnx_count_of(shape, DIM);
    if (rank > MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "%" PRIu64 " axes, at most %u", rank, MM_MAX_RANK);
    }
    info->rank = (int32_t)rank;
    for (uint32_t axis = 0; mmi_onnx_next_of(&shape, DIM, &field); axis++) {
        MMI_TRY(load_axis(loading, field.bytes, axis, info, err));
    }
    return MM_OK;
}

static mm_status load_tensor_type(struct onnx_loading *loading, struct onnx_span bytes,
                                  mm_value_info *info, mm_error *err) {
    struct onnx_message message;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &tensor_schema, loading->file, err));
    uint64_t dtype = mmi_onnx_number_of(message, DTYPE, 0);
    bool known =
        dtype <= INT32_MAX && (dtype == MM_STRING || mm_dtype_bytes((int32_t)dtype, 1) > 0);
    if (!known) {
        return mmi_fail(err, MM_UNSUPPORTED, "element type %" PRIu64 " is not known", dtype);
    }
    info->dtype = (int32_t)dtype;
    return mmi_onnx_has_field(message, SHAPE)
               ? load_shape(loading, mmi_onnx_bytes_of(message, SHAPE), info, err)
               : MM_OK;
}

static const struct kind {
    uint32_t field, item_field;
    int32_t kind;
    const struct onnx_schema *schema;
} kinds[] = {
    {SEQUENCE, ITEM_TYPE, MM_SEQUENCE, &items_schema},
    {OPTIONAL, ITEM_TYPE, MM_OPTIONAL, &items_schema},
    {MAP, MAP_VALUE_TYPE, MM_MAP, &map_schema},
};

/* The elements of the innermost items are those of the whole. */
static mm_status load_items_type(struct onnx_loading *loading, struct onnx_span bytes,
                                 const struct kind *kind, uint32_t depth, mm_value_info *info,
                                 mm_error *err);

static mm_status load_type(struct onnx_loading *loading, struct onnx_span bytes, uint32_t depth,
                           mm_value_info *info, mm_error *err) {
    struct onnx_message message;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &type_schema, loading->file, err));
    if (mmi_onnx_has_field(message, TENSOR)) {
        info->kind = MM_TENSOR;
        return load_tensor_type(loading, mmi_onnx_bytes_of(message, TENSOR), info, err);
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (mmi_onnx_has_field(message, kinds[i].field)) {
            MMI_TRY(load_items_type(loading, mmi_onnx_bytes_of(message, kinds[i].field), &kinds[i],
                                    depth, info, err));
            info->kind = kinds[i].kind;
            info->rank = -1;
            return MM_OK;
        }
    }
    return mmi_fail(err, MM_UNSUPPORTED,
                    "its type is neither a tensor nor a sequence, optional or map");
}

static mm_status load_items_type(struct onnx_loading *loading, struct onnx_span bytes,
                                 const struct kind *kind, uint32_t depth, mm_value_info *info,
                                 mm_error *err) {
    struct onnx_message message;
    if (depth >= loading->max_depth) {
        return mmi_onnx_fail_at(loading->file, bytes.at, err,
                                "types nested at most %u deep expected", loading->max_depth);
    }
    MMI_TRY(mmi_onnx_open_message(&message, bytes, kind->schema, loading->file, err));
    return load_type(loading, mmi_onnx_bytes_of(message, kind->item_field), depth + 1, info, err);
}

static mm_status load_typed(struct onnx_loading *loading, struct onnx_span bytes,
                            mm_value_info *info, mm_error *err) {
    struct onnx_message message;
    MMI_TRY(mmi_onnx_open_message(&message, bytes, &info_schema, loading->file, err));
    struct onnx_span type = mmi_onnx_bytes_of(message, INFO_TYPE);
    if (type.bytes == 0) {
        return mmi_onnx_fail_at(loading->file, bytes.at, err, "a type expected");
    }
    info->rank = -1;
    return load_type(loading, type, 0, info, err);
}

mm_status mmi_onnx_load_value_info(struct onnx_loading *loading, struct onnx_span bytes,
                                   const char *what, mm_value_info *info, mm_error *err) {
    mm_status status = load_typed(loading, bytes, info, err);
    if (status != MM_OK) {
        mmi_error_prefix(err, "%s '%.80s'", what, info->name);
    }
    return status;
}
