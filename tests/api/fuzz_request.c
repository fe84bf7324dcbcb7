/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_request.h"

#include <base/checked.h>
#include <base/hash.h>

#include <stdlib.h>
#include <string.h>

/* ---- Memory of exactly its size -------------------------------------------------------------- */

static void *take(struct fuzz_request *r, uint64_t bytes) {
    assert_true(r->block_count < sizeof(r->blocks) / sizeof(r->blocks[0]));
    void *block = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(block);
    memset(block, 0, bytes);
    r->blocks[r->block_count++] = block;
    return block;
}

static void *copy(struct fuzz_request *r, const void *from, uint64_t bytes) {
    void *to = take(r, bytes);
    if (bytes > 0) {
        memcpy(to, from, bytes);
    }
    return to;
}

static bool has_room(const struct fuzz_request *r) {
    return r->block_count + 64 < sizeof(r->blocks) / sizeof(r->blocks[0]);
}

static void settle(struct fuzz_request *r, mm_value *value) {
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    if (value->kind == MM_TENSOR) {
        value->data = copy(r, value->data, value->bytes);
        value->offsets = value->dtype == MM_STRING ? copy(r, value->offsets, (elements + 1) * 8)
                                                   : value->offsets;
        return;
    }
    value->items = copy(r, value->items, value->item_count * sizeof(mm_value));
    for (uint64_t i = 0; i < value->item_count; i++) {
        settle(r, &value->items[i]);
    }
}

/* ---- A good request -------------------------------------------------------------------------- */

static void begin(struct fuzz_request *r) {
    memset(r, 0, sizeof(*r));
    r->life.subject.sample = &r->sample;
    r->request = (mm_request)MM_REQUEST_INIT;
    r->response = (mm_response)MM_RESPONSE_INIT;
    r->request.inputs = r->inputs;
    r->request.deadline_ns = mm_deadline_after(UINT64_C(2000000000));
}

static void make_inputs(struct fuzz_request *r, const mm_model_description *description) {
    r->request.input_count = description->input_count < FUZZ_INPUTS ? description->input_count : 0;
    for (uint32_t i = 0; i < r->request.input_count && has_room(r); i++) {
        make_input(&r->life, &description->inputs[i], &r->inputs[i]);
        settle(r, &r->inputs[i]);
    }
}

void fuzz_request_plain(struct fuzz_request *r, const mm_model_description *description) {
    begin(r);
    make_inputs(r, description);
}

/* ---- Other lengths and contents -------------------------------------------------------------- */

static void fill(mm_value *value, struct fuzz_script *script) {
    static const int64_t integers[] = {0, 1, 2, 3, -1, -2, 7, 100, INT32_MAX, INT64_MIN, INT64_MAX};
    static const float floats[] = {0, 1, -1, 0.5F, 1e30F, -3e9F, 1 / 0.0F, 0.0F / 0.0F};
    uint8_t *at = value->data;
    uint64_t kind = fuzz_draw(script, 3);
    uint64_t width = mm_dtype_bytes(value->dtype, 1);
    for (uint64_t i = 0; width > 0 && (i + 1) * width <= value->bytes; i++) {
        int64_t integer = integers[fuzz_draw(script, kind == 0 ? 4 : 11)];
        float number = floats[fuzz_draw(script, kind == 0 ? 4 : 8)];
        bool is_float = value->dtype == MM_F32 && kind != 2;
        memcpy(at + i * width, is_float ? (const void *)&number : &integer,
               is_float    ? 4
               : width < 8 ? width
                           : 8);
    }
}

/* A tensor of these lengths; of strings: each the number of its place. */
static void reshape(struct fuzz_request *r, mm_value *value, struct fuzz_script *script) {
    for (uint32_t i = 0; i < value->rank; i++) {
        value->shape[i] =
            fuzz_draw(script, 4) > 0 ? value->shape[i] : (int64_t)fuzz_draw(script, 5);
    }
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    if (elements > 4096) {
        value->rank = 0;
        elements = 1;
    }
    if (value->dtype == MM_STRING) {
        value->offsets = take(r, (elements + 1) * sizeof(uint64_t));
        value->data = take(r, elements);
        value->bytes = elements;
        for (uint64_t i = 0; i < elements; i++) {
            value->offsets[i + 1] = i + 1;
            ((uint8_t *)value->data)[i] = (uint8_t)fuzz_draw(script, 256);
        }
        return;
    }
    value->bytes = mm_dtype_bytes(value->dtype, elements);
    value->data = take(r, value->bytes);
    fill(value, script);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void hurt_shape(mm_value *value, struct fuzz_script *script) {
    static const int64_t lengths[] = {-1, 0, 1, 2, 3, INT32_MAX, INT64_MAX, INT64_MIN};
    if (value->dtype == MM_STRING) { /* its offsets would end before */
        return;
    }
    if (fuzz_draw(script, 2) > 0) {
        value->rank = (uint32_t)fuzz_draw(script, 10);
    } else {
        value->shape[fuzz_draw(script, MM_MAX_RANK)] = lengths[fuzz_draw(script, 8)];
    }
}

static void hurt_kind(struct fuzz_request *r, mm_value *value, struct fuzz_script *script) {
    mm_value *items = take(r, 2 * sizeof(*items));
    items[0] = items[1] = *value;
    *value = (mm_value){.name = value->name,
                        .kind = (int32_t)fuzz_draw(script, 6),
                        .dtype = value->dtype,
                        .items = items,
                        .item_count = fuzz_draw(script, 3)};
    if (value->kind == MM_TENSOR) {
        value->shape[0] = value->rank = 1;
        value->bytes = fuzz_draw(script, 9);
        value->data = take(r, value->bytes);
    }
}

static void hurt(struct fuzz_request *r, mm_value *value, struct fuzz_script *script) {
    if (value->item_count > 0 && fuzz_draw(script, 3) > 0) {
        hurt(r, &value->items[fuzz_draw(script, value->item_count)], script);
        return;
    }
    switch (fuzz_draw(script, 7)) {
    case 0:
        value->dtype = value->dtype == MM_STRING ? MM_F32 : (int32_t)fuzz_draw(script, 30);
        break;
    case 1:
        hurt_shape(value, script);
        break;
    case 2:
        value->bytes = value->bytes > 0 ? fuzz_draw(script, value->bytes) : 0;
        break;
    case 3:
        value->name = fuzz_draw(script, 2) > 0 ? NULL : "nobody";
        break;
    case 4:
        value->data = NULL;
        break;
    case 5:
        hurt_kind(r, value, script);
        break;
    default:
        if (value->offsets) {
            value->offsets[0] = fuzz_draw(script, 2) > 0 ? UINT64_MAX : 3;
        } else {
            value->flags = MM_ON_DEVICE(fuzz_draw(script, 3));
        }
    }
}

/* ---- Outputs --------------------------------------------------------------------------------- */

static void draw_buffers(struct fuzz_request *r, uint32_t count, struct fuzz_script *script) {
    for (uint32_t i = 0; i < count; i++) {
        mm_value *buffer = &r->buffers[i];
        if (fuzz_draw(script, 3) > 0) {
            buffer->bytes = fuzz_draw(script, 2) > 0 ? 4096 : fuzz_draw(script, 64);
            buffer->data = take(r, buffer->bytes);
            buffer->item_count = fuzz_draw(script, 20);
            buffer->offsets = take(r, buffer->item_count * sizeof(uint64_t));
        }
    }
    r->response.outputs = r->buffers;
    r->response.output_capacity = count > 0 ? count - (fuzz_draw(script, 16) == 0) : 0;
}

static void draw_outputs(struct fuzz_request *r, const mm_model_description *description,
                         struct fuzz_script *script) {
    uint32_t most = description->output_count < FUZZ_INPUTS ? description->output_count : 0;
    uint32_t count = most;
    if (most > 0 && fuzz_draw(script, 2) > 0) {
        count = (uint32_t)fuzz_draw(script, most) + 1;
        uint32_t first = (uint32_t)fuzz_draw(script, most);
        for (uint32_t i = 0; i < count; i++) {
            r->outputs[i] = description->outputs[(first + i) % most].name;
        }
        if (fuzz_draw(script, 8) == 0) {
            r->outputs[count - 1] = fuzz_draw(script, 2) > 0 ? "nobody" : r->outputs[0];
        }
        r->request.outputs = r->outputs;
        r->request.output_count = count;
    }
    if (fuzz_draw(script, 2) > 0) {
        draw_buffers(r, count, script);
    }
}

/* ---- Requests -------------------------------------------------------------------------------- */

void fuzz_request_draw(struct fuzz_request *r, const mm_model_description *description,
                       struct fuzz_script *script) {
    begin(r);
    r->sample.free_axis = (int64_t)fuzz_draw(script, 4);
    make_inputs(r, description);
    uint32_t count = r->request.input_count;
    for (uint32_t i = 0; i < count && has_room(r); i++) {
        uint64_t what = fuzz_draw(script, 8);
        if (r->inputs[i].kind == MM_TENSOR && what < 2) {
            reshape(r, &r->inputs[i], script);
        } else if (r->inputs[i].kind == MM_TENSOR && r->inputs[i].dtype != MM_STRING && what < 5) {
            fill(&r->inputs[i], script);
        }
    }
    for (uint64_t n = fuzz_draw(script, 8); n >= 6 && count > 0 && has_room(r); n--) {
        hurt(r, &r->inputs[fuzz_draw(script, count)], script);
    }
    if (count > 0 && fuzz_draw(script, 16) == 0) {
        r->inputs[count] = r->inputs[0];
        r->request.input_count += fuzz_draw(script, 2) > 0 ? 1 : -1;
    }
    draw_outputs(r, description, script);
    r->request.priority = (int32_t)fuzz_draw(script, 3);
    switch (fuzz_draw(script, 16)) {
    case 0:
        r->request.deadline_ns = MM_NO_WAIT;
        break;
    case 1:
        r->request.deadline_ns = 2; /* long ago */
        break;
    default:
        break;
    }
}

void fuzz_request_bind(struct fuzz_request *r, mm_mesh *mesh, mm_model model,
                       struct fuzz_script *script) {
    const char *names[FUZZ_INPUTS + 1] = {0};
    uint32_t count = r->request.input_count;
    for (uint32_t i = 0; i < count; i++) {
        names[i] = r->inputs[i].name;
    }
    mm_error err;
    mm_status status = mm_bind(mesh, model, names, count, r->request.outputs,
                               r->request.output_count, &r->binding, &err);
    if (status != MM_OK) {
        check_error(status, &err);
        return;
    }
    r->request.binding = r->binding;
    r->request.input_count -= count > 0 && fuzz_draw(script, 16) == 0;
}

void fuzz_request_fini(struct fuzz_request *r) {
    mm_response_free(&r->response);
    mm_binding_free(r->binding);
    for (size_t i = 0; i < r->block_count; i++) {
        free(r->blocks[i]);
    }
    heap_free(&r->life.heap);
}

uint64_t fuzz_value_hash(const mm_value *value, uint64_t seed) {
    uint64_t elements = mm_shape_elements(value->rank, value->shape);
    seed = mmi_hash64(value->shape, value->rank * sizeof(value->shape[0]), seed);
    if (value->kind == MM_TENSOR) {
        seed = value->bytes > 0 ? mmi_hash64(value->data, value->bytes, seed) : seed;
        return value->dtype == MM_STRING
                   ? mmi_hash64(value->offsets, (elements + 1) * sizeof(uint64_t), seed)
                   : seed;
    }
    for (uint64_t i = 0; i < value->item_count; i++) {
        seed = fuzz_value_hash(&value->items[i], seed);
    }
    return seed;
}
