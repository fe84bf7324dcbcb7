/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/format/load.h>
#include <backends/onnx/passes/passes.h>
#include <backends/onnx/steps/prepare.h>
#include <backends/onnx/steps/steps.h>
#include <backends/onnx/steps/summary.h>
#include <backends/onnx/steps/weights.h>
#include <base/status.h>

#include <string.h>

struct preparation {
    const mm_source *source;
    const mm_services *services;
    const mm_sink *sink;
    struct onnx_how how;
    struct onnx_arena arena;
    struct onnx_model model;
    struct onnx_weights weights;
};

/* One item: along free axes `free` elements where lengths and image sizes stand (the last axis, of
 * images the last two), else 1. */
static mm_value *typical_inputs(const struct onnx_model *model, struct onnx_arena *arena,
                                int64_t free) {
    uint32_t count = model->main->input_count;
    mm_value *inputs = mmi_onnx_take(arena, count, sizeof(*inputs));
    for (uint32_t i = 0; inputs && i < count; i++) {
        const mm_value_info *info = &model->inputs[i];
        bool optional = model->defaults && model->defaults[i] != ONNX_NO_VALUE;
        inputs[i].kind = optional ? MM_OPTIONAL : info->kind; /* left out */
        inputs[i].dtype = info->dtype;
        inputs[i].rank = info->rank > 0 ? (uint32_t)info->rank : 0;
        for (uint32_t axis = 0; axis < inputs[i].rank; axis++) {
            int64_t declared = info->shape[axis];
            uint32_t spatial = inputs[i].rank < 4 ? 1 : 2;
            bool length = axis > 0 && axis + spatial >= inputs[i].rank;
            inputs[i].shape[axis] = declared >= 0 ? declared : length ? free : 1;
        }
        uint64_t elements = mm_shape_elements(inputs[i].rank, inputs[i].shape);
        inputs[i].bytes = mm_dtype_bytes(inputs[i].dtype, elements);
        if (info->flags & MM_VALUE_INFO_SHAPE_INPUT && inputs[i].bytes < PTRDIFF_MAX) {
            inputs[i].data = mmi_onnx_take(arena, 1, inputs[i].bytes);
        }
    }
    return inputs;
}

/* Activations of a run of a size that is often seen; 0 where none of these shapes suits the
 * model. */
static uint64_t estimate(const struct onnx_prepared *prepared, const mm_services *services) {
    static const int64_t sizes[] = {224, 288, 320, 576, 640, 128, 64, 32, 16, 1};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && bytes == 0; i++) {
        struct onnx_arena arena;
        struct onnx_steps steps = {0};
        mm_error ignored;
        mmi_onnx_arena_init(&arena, &services->allocator);
        mmi_onnx_arena_init(&steps.arena, &services->allocator);
        mm_value *inputs = typical_inputs(&prepared->model, &arena, sizes[i]);
        struct onnx_start start = {.prepared = prepared,
                                   .services = services,
                                   .graph = prepared->model.main,
                                   .inputs = inputs};
        if (inputs && mmi_onnx_specialise(&start, &steps, &ignored) == MM_OK) {
            bytes = steps.activation_bytes;
        }
        mmi_onnx_arena_free(&steps.arena);
        mmi_onnx_arena_free(&arena);
    }
    return bytes;
}

/* The description, read back for the estimate that belongs into it. */
static mm_status describe(struct preparation *p, mm_error *err) {
    struct onnx_tensor bytes;
    MMI_TRY(mmi_onnx_describe(&p->model, &p->weights, 0, &p->arena, &bytes, err));
    struct onnx_prepared prepared = {.model.nesting = p->model.nesting};
    mmi_onnx_arena_init(&prepared.arena, &p->services->allocator);
    mm_status status = mmi_onnx_read_description(&prepared, bytes.data, bytes.bytes, err);
    uint64_t activation_bytes = status == MM_OK ? estimate(&prepared, p->services) : 0;
    mmi_onnx_arena_free(&prepared.arena);
    MMI_TRY(status);
    MMI_TRY(mmi_onnx_describe(&p->model, &p->weights, activation_bytes, &p->arena, &bytes, err));
    return p->sink->describe(p->sink->ctx, bytes.data, bytes.bytes, err);
}

static mm_status run(struct preparation *p, mm_error *err) {
    const mm_sink *sink = p->sink;
    MMI_TRY(mmi_onnx_load(p->source, p->services, &p->model, err));
    sink->progress(sink->ctx, 200);
    MMI_TRY(mmi_onnx_summarise(&p->model, err));
    MMI_TRY(mmi_onnx_resolve(&p->model, err));
    struct onnx_pass_context context = {.services = p->services,
                                        .cancelled = sink->cancelled,
                                        .cancelled_ctx = sink->ctx,
                                        .no_winograd = p->how.no_winograd};
    if (!p->how.plain) {
        MMI_TRY(mmi_onnx_passes(&p->model, &context, err));
    }
    MMI_TRY(mmi_onnx_summarise_prepared(&p->model, err));
    sink->progress(sink->ctx, 500);
    MMI_TRY(mmi_onnx_mark_specialising(&p->model, err));
    MMI_TRY(mmi_onnx_place_weights(&p->model, &p->weights, err));
    MMI_TRY(describe(p, err));
    return mmi_onnx_write_weights(&p->model, &p->weights, sink, err);
}

mm_status mmi_onnx_prepare(const mm_source *source, const mm_services *services,
                           const struct onnx_how *how, const mm_sink *sink, mm_error *err) {
    struct preparation p = {.source = source, .services = services, .sink = sink, .how = *how};
    mmi_onnx_arena_init(&p.arena, &services->allocator);
    p.model.arena = &p.arena;
    p.model.nesting = services->limits_nesting;
    p.model.log = services->log.line ? &services->log : NULL;
    mm_status status = run(&p, err);
    mmi_onnx_arena_free(&p.arena);
    return status;
}
