/* SPDX-License-Identifier: Apache-2.0 */
#include <api/value.h>

#include <base/text.h>

#define MAX_DEPTH 64

const uint8_t mmi_element_bytes[MMI_DTYPES] = {
#define ELEMENT_BYTES(name, value, bits, text) [name] = (bits) / 8,
    MM_DTYPE_MAP(ELEMENT_BYTES)
#undef ELEMENT_BYTES
};

static mm_status wrong(const char *what, const char *why, mm_error *err) {
    return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: %s", what, why);
}

static mm_status check_strings(const mm_value *value, const char *what, uint64_t elements,
                               mm_error *err) {
    if (!value->offsets) {
        return wrong(what, "strings without offsets", err);
    }
    for (uint64_t i = 0; i < elements; i++) {
        if (value->offsets[i] > value->offsets[i + 1]) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: offsets[%llu] is beyond the next",
                            what, (unsigned long long)i);
        }
    }
    if (value->offsets[0] != 0 || value->offsets[elements] != value->bytes) {
        return wrong(what, "offsets do not go from 0 to bytes", err);
    }
    return MM_OK;
}

static mm_status check_tensor(const mm_value *value, const char *what, mm_error *err) {
    if (value->rank > MM_MAX_RANK) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: rank %u, at most %d is possible", what,
                        value->rank, MM_MAX_RANK);
    }
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    if (elements == UINT64_MAX) {
        return wrong(what, "an axis is negative, or the shape overflows", err);
    }
    if (value->bytes > 0 && !value->data) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: data is NULL with %llu bytes", what,
                        (unsigned long long)value->bytes);
    }
    if (value->dtype == MM_STRING) {
        return check_strings(value, what, elements, err);
    }
    if (mm_dtype_bytes(value->dtype, 1) == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: unknown dtype %d", what, value->dtype);
    }
    uint64_t bytes = mm_dtype_bytes(value->dtype, elements);
    if (bytes == UINT64_MAX) {
        return wrong(what, "the shape overflows", err);
    }
    if (bytes != value->bytes) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: bytes is %llu, its shape needs %llu",
                        what, (unsigned long long)value->bytes, (unsigned long long)bytes);
    }
    return MM_OK;
}

static mm_status check(const mm_value *value, const char *what, int depth, mm_error *err);

static mm_status check_map(const mm_value *value, const char *what, mm_error *err) {
    if (value->item_count != 2 || value->items[0].kind != MM_TENSOR || value->items[0].rank != 1) {
        return wrong(what, "a map has two items, the first a tensor of keys of rank 1", err);
    }
    const mm_value *values = &value->items[1];
    bool sequence = values->kind == MM_SEQUENCE;
    if (!sequence && (values->kind != MM_TENSOR || values->rank == 0)) {
        return wrong(what, "a map's values are a sequence or a tensor", err);
    }
    uint64_t count = sequence ? values->item_count : (uint64_t)values->shape[0];
    if (count != (uint64_t)value->items[0].shape[0]) {
        return wrong(what, "a map has as many values as keys", err);
    }
    return MM_OK;
}

static mm_status check_items(const mm_value *value, const char *what, int depth, mm_error *err) {
    if (depth >= MAX_DEPTH) {
        return wrong(what, "nested deeper than 64", err);
    }
    if (value->item_count > 0 && !value->items) {
        return wrong(what, "items is NULL", err);
    }
    if (value->kind == MM_OPTIONAL && value->item_count > 1) {
        return wrong(what, "an optional has one item at most", err);
    }
    if (value->kind == MM_MAP) {
        MMI_TRY(check_map(value, what, err));
    }
    for (uint64_t i = 0; i < value->item_count; i++) {
        if (mmi_location(value->items[i].flags) != 0) {
            return mmi_fail(err, MM_UNSUPPORTED, "value %s: an item that lies on a device", what);
        }
        MMI_TRY(check(&value->items[i], what, depth + 1, err));
    }
    return MM_OK;
}

static mm_status check(const mm_value *value, const char *what, int depth, mm_error *err) {
    switch (value->kind) {
    case MM_TENSOR:
        return check_tensor(value, what, err);
    case MM_SEQUENCE:
    case MM_OPTIONAL:
    case MM_MAP:
        return check_items(value, what, depth, err);
    default:
        return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: unknown kind %d", what, value->kind);
    }
}

mm_status mmi_value_check_slow(const mm_value *value, const char *what, mm_error *err) {
    return check(value, what, 0, err);
}

/* ---- Values against a model ----------------------------------------------------------------- */

static const char *kind_text(int32_t kind) {
    static const char *const texts[] = {"tensor", "sequence", "optional", "map"};
    return kind >= MM_TENSOR && kind <= MM_MAP ? texts[kind] : "?";
}

/* "f32[1, ?]", "f32 of any rank", "sequence of f32", "map". dtype 0 = no matter. */
static void add_form(struct mmi_text *text, int32_t kind, int32_t dtype, int32_t rank,
                     const int64_t *shape) {
    if (kind != MM_TENSOR) {
        mmi_text_add(text, "%s%s%s", kind_text(kind), dtype ? " of " : "",
                     dtype ? mm_dtype_text(dtype) : "");
        return;
    }
    mmi_text_add(text, "%s", mm_dtype_text(dtype));
    if (rank < 0) {
        mmi_text_add(text, " of any rank");
    } else {
        mmi_text_shape(text, (uint32_t)rank, shape);
    }
}

/* The first tensor inside that has other elements; NULL = none. The depth was checked. */
static const mm_value *find_stranger(const mm_value *value, int32_t dtype) {
    if (value->kind == MM_TENSOR) {
        return value->dtype == dtype ? NULL : value;
    }
    for (uint64_t i = 0; i < value->item_count; i++) {
        const mm_value *stranger = find_stranger(&value->items[i], dtype);
        if (stranger) {
            return stranger;
        }
    }
    return NULL;
}

mm_status mmi_value_matches_slow(const mm_value *value, const mm_value_info *info, mm_error *err) {
    bool optional = info->kind == MM_OPTIONAL || (info->flags & MM_VALUE_INFO_OPTIONAL);
    if (optional && value->kind == MM_OPTIONAL && value->item_count == 0) {
        return MM_OK;
    }
    bool kind_fits = info->kind == MM_OPTIONAL || value->kind == info->kind;
    const mm_value *stranger = NULL;
    if (kind_fits && info->kind != MM_TENSOR) {
        stranger = info->dtype ? find_stranger(value, info->dtype) : NULL;
        if (!stranger) {
            return MM_OK;
        }
    }
    char got_text[160], wanted_text[160];
    struct mmi_text got, wanted;
    mmi_text_init(&got, got_text, sizeof(got_text));
    mmi_text_init(&wanted, wanted_text, sizeof(wanted_text));
    int32_t inside = stranger ? stranger->dtype : 0;
    add_form(&got, value->kind, value->kind == MM_TENSOR ? value->dtype : inside,
             (int32_t)value->rank, value->shape);
    add_form(&wanted, info->kind, info->dtype, info->rank, info->shape);
    return mmi_fail(err, MM_INVALID_ARGUMENT, "input %s: got %s, wanted %s", info->name, got_text,
                    wanted_text);
}
