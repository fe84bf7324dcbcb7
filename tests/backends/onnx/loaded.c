/* SPDX-License-Identifier: Apache-2.0 */
#include "loaded.h"

#include <string.h>

void loaded_init(struct loaded *l) {
    memset(l, 0, sizeof(*l));
    world_init(&l->world);
    l->services = (mm_services){.struct_size = sizeof(mm_services),
                                .allocator = l->world.env.alloc,
                                .threads = 1,
                                .limits_nesting = 64};
    mmi_onnx_arena_init(&l->arena, &l->services.allocator);
}

void loaded_fini(struct loaded *l) {
    mmi_onnx_arena_free(&l->arena);
    world_fini(&l->world);
}

/* ---- Loading --------------------------------------------------------------------------------- */

mm_status load_files(struct loaded *l, const struct memory_file *files, size_t count) {
    mmi_onnx_arena_free(&l->arena);
    mmi_onnx_arena_init(&l->arena, &l->services.allocator);
    l->model = (struct onnx_model){.arena = &l->arena, .nesting = l->services.limits_nesting};
    l->err = (mm_error){.status = MM_OK};
    size_t fails_at = l->folder.fails_at;
    memory_source_init(&l->folder, files, count);
    l->folder.fails_at = fails_at;
    return mmi_onnx_load(&l->folder.source, &l->services, &l->model, &l->err);
}

mm_status load_bytes(struct loaded *l, const void *bytes, size_t count) {
    const struct memory_file file = {"model.onnx", bytes, count, 0};
    return load_files(l, &file, 1);
}

mm_status load_written(struct loaded *l, struct writer *w) {
    mm_status status = load_bytes(l, w->bytes, w->count);
    writer_fini(w);
    return status;
}

void must_load(struct loaded *l, struct writer *w) {
    if (load_written(l, w) != MM_OK) {
        fail_msg("%s: %s", mm_status_name(l->err.status), l->err.text);
    }
}

void must_resolve(struct loaded *l) {
    if (mmi_onnx_resolve(&l->model, &l->err) != MM_OK) {
        fail_msg("%s: %s", mm_status_name(l->err.status), l->err.text);
    }
}

static void check_refusal(const struct loaded *l, mm_status got, mm_status wanted,
                          const char *text) {
    if (got != wanted || l->err.status != (int32_t)wanted || !strstr(l->err.text, text)) {
        fail_msg("%s (%s): %s; %s wanted, with '%s'", mm_status_name(got),
                 mm_status_name(l->err.status), l->err.text, mm_status_name(wanted), text);
    }
    assert_null(strchr(l->err.text, '\n'));
}

void must_refuse(struct loaded *l, struct writer *w, mm_status status, const char *text) {
    mm_status got = load_written(l, w);
    check_refusal(l, got, status, text);
}

void must_not_resolve(struct loaded *l, mm_status status, const char *text) {
    mm_status got = mmi_onnx_resolve(&l->model, &l->err);
    check_refusal(l, got, status, text);
}

/* ---- Looking --------------------------------------------------------------------------------- */

uint32_t value_of(const struct loaded *l, const char *name) {
    for (uint32_t i = 0; i < l->model.value_count; i++) {
        if (strcmp(l->model.values[i].name, name) == 0) {
            return i;
        }
    }
    return ONNX_NO_VALUE;
}

const struct onnx_tensor *constant_of(const struct loaded *l, const char *name) {
    uint32_t value = value_of(l, name);
    assert_int_not_equal(value, ONNX_NO_VALUE);
    assert_non_null(l->model.values[value].constant);
    return l->model.values[value].constant;
}

void assert_ints(const struct onnx_tensor *tensor, const int64_t *numbers, uint64_t count) {
    assert_non_null(tensor);
    assert_true(tensor->known);
    assert_int_equal(tensor->elements, count);
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(mmi_onnx_int_at(tensor, i), numbers[i]);
    }
}

void assert_floats(const struct onnx_tensor *tensor, const float *numbers, uint64_t count) {
    assert_non_null(tensor);
    assert_true(tensor->known);
    assert_int_equal(tensor->elements, count);
    for (uint64_t i = 0; i < count; i++) {
        assert_true(mmi_onnx_float_at(tensor, i) == (double)numbers[i]);
    }
}
