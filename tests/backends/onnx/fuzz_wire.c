/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes at all are a file: protobuf's wire format, and what ONNX's messages are made of. The
 * file lies beside itself as every file that it names. */

#include <backends/onnx/format/load.h>
#include <base/hash.h>
#include <base/status.h>
#include <support/fuzz.h>
#include <support/fuzz_mutate.h>
#include <support/world.h>

#include <string.h>

#define MOST_BYTES (UINT64_C(4) << 20) /* of a block of memory */

const bool fuzz_anywhere = true;

size_t fuzz_mutate(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    return fuzz_mutate_model(bytes, count, room, seed);
}

/* ---- The file -------------------------------------------------------------------------------- */

struct file {
    const uint8_t *bytes;
    uint64_t count;
};

static mm_status read_file(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    const struct file *file = ctx;
    if (offset > file->count || count > file->count - offset) {
        return mmi_fail(err, MM_INVALID_MODEL, "the file ends before");
    }
    memcpy(to, file->bytes + offset, count);
    return MM_OK;
}

static mm_status open_file(void *ctx, const char *relative, mm_source *sibling, mm_error *err) {
    const struct file *file = ctx;
    if (strchr(relative, '/')) {
        return mmi_fail(err, MM_INVALID_MODEL, "there is one folder");
    }
    *sibling = (mm_source){ctx, "sibling", file->count, read_file, open_file};
    return MM_OK;
}

/* ---- What was read --------------------------------------------------------------------------- */

static void check_numbers(const struct onnx_model *model, const uint32_t *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        assert_true(values[i] < model->value_count || values[i] == ONNX_NO_VALUE);
    }
}

/* Names are texts, values are values, constants have all of their bytes. */
static void check_graph(const struct onnx_model *model, const struct onnx_graph *graph) {
    check_numbers(model, graph->inputs, graph->input_count);
    check_numbers(model, graph->outputs, graph->output_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        assert_true(node->type && node->domain && node->name);
        check_numbers(model, node->inputs, node->input_count);
        check_numbers(model, node->outputs, node->output_count);
    }
}

static void check_model(const struct onnx_model *model) {
    check_graph(model, model->main);
    for (uint32_t i = 0; i < model->value_count; i++) {
        const struct onnx_tensor *constant = model->values[i].constant;
        if (constant && constant->dtype != MM_STRING && constant->bytes > 0) {
            mmi_hash64(constant->data, constant->bytes, 0); /* a sanitizer reads along */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct world world;
    world_init(&world);
    world.most_bytes = MOST_BYTES;
    const mm_services services = {.struct_size = sizeof(services),
                                  .allocator = world.env.alloc,
                                  .threads = 1,
                                  .limits_nesting = 64};
    struct file file = {data, size};
    const mm_source source = {&file, "file", size, read_file, open_file};
    struct onnx_arena arena;
    mmi_onnx_arena_init(&arena, &world.env.alloc);
    struct onnx_model model = {.arena = &arena, .nesting = services.limits_nesting};
    mm_error err = {0};
    mm_status status = mmi_onnx_load(&source, &services, &model, &err);
    if (status == MM_OK) {
        check_model(&model);
    } else {
        assert_int_equal(err.status, status);
        assert_true(err.text[0] != '\0' && !strchr(err.text, '\n'));
    }
    mmi_onnx_arena_free(&arena);
    world_fini(&world);
    return 0;
}
