/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/stage.h>

#include <stdlib.h>
#include <string.h>

static mm_status sink_expect(void *ctx, uint64_t bytes, mm_error *err) {
    struct stage *stage = ctx;
    (void)err;
    stage->blob = aligned_alloc(64, bytes + 64);
    return MM_OK;
}

static mm_status sink_weights(void *ctx, const void *bytes, uint64_t count, mm_error *err) {
    struct stage *stage = ctx;
    (void)err;
    memcpy(stage->blob + stage->blob_bytes, bytes, count);
    stage->blob_bytes += count;
    return MM_OK;
}

static mm_status sink_group(void *ctx, mm_error *err) {
    struct stage *stage = ctx;
    (void)err;
    stage->group_ends[stage->group_count++] = stage->blob_bytes;
    return MM_OK;
}

static bool sink_cancelled(void *ctx) {
    (void)ctx;
    return false;
}

static void sink_progress(void *ctx, uint32_t permille) {
    (void)ctx;
    assert_true(permille <= 1000);
}

static mm_status region_wait(void *ctx, uint32_t group) {
    struct stage *stage = ctx;
    assert_true(group < stage->group_count);
    stage->waited = group + 1 > stage->waited ? group + 1 : stage->waited;
    return MM_OK;
}

static void *scratch_more(mm_exec *exec, uint64_t bytes) {
    struct stage *stage = exec->host;
    assert_true(stage->more_count < 64);
    if (stage->more_until && stage->more_count + 1 == stage->more_until) {
        return NULL;
    }
    return stage->more[stage->more_count++] = aligned_alloc(64, (bytes + 63) & ~UINT64_C(63));
}

/* The response's, until the end of the bench. */
static void *output(mm_exec *exec, uint32_t index, uint64_t bytes) {
    struct stage *stage = exec->host;
    assert_true(index < stage->bench.model.main->output_count);
    return mmi_onnx_take_data(&stage->bench.arena, bytes);
}

static bool stopped(mm_exec *exec) {
    struct stage *stage = exec->host;
    return ++stage->stop_calls == stage->stopped_at;
}

static void write_blob(struct stage *stage) {
    mm_sink sink = {.ctx = stage,
                    .expect = sink_expect,
                    .weights = sink_weights,
                    .group = sink_group,
                    .cancelled = sink_cancelled,
                    .progress = sink_progress};
    struct onnx_model *model = &stage->bench.model;
    assert_int_equal(mmi_onnx_place_weights(model, &stage->weights, NULL), MM_OK);
    assert_int_equal(mmi_onnx_write_weights(model, &stage->weights, &sink, NULL), MM_OK);
    assert_int_equal(stage->blob_bytes, stage->weights.bytes);
    if (stage->blob_bytes > 0) {
        sink_group(stage, NULL); /* the end closes the last one */
    }
}

void stage_prepare(struct stage *stage) {
    struct bench *bench = &stage->bench;
    assert_int_equal(mmi_onnx_mark_specialising(&bench->model, NULL), MM_OK);
    write_blob(stage);
    assert_int_equal(mmi_onnx_describe(&bench->model, &stage->weights, 5, &bench->arena,
                                       &stage->description, NULL),
                     MM_OK);
    mmi_onnx_arena_init(&stage->prepared.arena, &bench->services.allocator);
    stage->prepared.model.nesting = 64;
    assert_int_equal(mmi_onnx_read_description(&stage->prepared, stage->description.data,
                                               stage->description.bytes, &bench->err),
                     MM_OK);
    assert_int_equal(stage->prepared.activation_bytes, 5);
    stage->attached = (struct onnx_attached){.prepared = &stage->prepared,
                                             .services = &bench->services,
                                             .region = {.base = stage->blob,
                                                        .bytes = stage->blob_bytes,
                                                        .ctx = stage,
                                                        .wait = region_wait},
                                             .group_ends = stage->group_ends,
                                             .group_count = stage->group_count};
}

void stage_init(struct stage *stage, uint64_t of) {
    *stage = (struct stage){0};
    bench_init(&stage->bench, of);
}

void stage_fini(struct stage *stage) {
    mmi_onnx_arena_free(&stage->prepared.arena);
    free(stage->blob);
    bench_fini(&stage->bench);
}

mm_value stage_value(const struct onnx_tensor *tensor) {
    mm_value value = {.dtype = tensor->dtype,
                      .rank = tensor->rank,
                      .bytes = tensor->bytes,
                      .data = (void *)(uintptr_t)tensor->data};
    memcpy(value.shape, tensor->shape, sizeof(value.shape));
    return value;
}

struct onnx_start stage_start(const struct stage *stage, const mm_value *inputs) {
    return (struct onnx_start){.prepared = &stage->prepared,
                               .services = &stage->bench.services,
                               .graph = stage->prepared.model.main,
                               .inputs = inputs};
}

mm_status stage_infer(struct stage *stage, const struct onnx_tensor *inputs,
                      struct onnx_tensor *outputs, uint32_t unwanted, mm_error *err) {
    struct bench *bench = &stage->bench;
    uint32_t input_count = bench->model.main->input_count;
    uint32_t output_count = bench->model.main->output_count;
    mm_value in[8], out[8] = {0};
    for (uint32_t i = 0; i < input_count; i++) {
        in[i] = stage_value(&inputs[i]);
    }
    struct onnx_signature signature = {0};
    struct onnx_steps *first = &signature.first;
    struct onnx_start start = stage_start(stage, in);
    mmi_onnx_arena_init(&first->arena, &bench->services.allocator);
    mmi_onnx_segments_init(&signature.later);
    mm_status status = mmi_onnx_specialise(&start, first, err);
    for (uint32_t i = 0; i < output_count && status == MM_OK; i++) {
        outputs[i] = first->outputs[i];
        outputs[i].data = mmi_onnx_take_data(&bench->arena, outputs[i].bytes);
        out[i] = stage_value(&outputs[i]);
        if (unwanted >> i & 1 || outputs[i].dtype == MM_DTYPE_NONE) {
            out[i].flags = unwanted >> i & 1 ? MM_VALUE_UNWANTED : 0;
            out[i].data = NULL;
        }
    }
    if (status == MM_OK) {
        uint64_t bytes = (first->activation_bytes + 63) & ~UINT64_C(63);
        mm_exec exec = {.host = stage,
                        .signature = &signature,
                        .scratch = aligned_alloc(64, bytes + 64),
                        .scratch_bytes = first->activation_bytes,
                        .scratch_more = scratch_more,
                        .output = output,
                        .stopped = stopped};
        memset(exec.scratch, 0xee, bytes);
        status = mmi_onnx_run(&stage->attached, &exec, &signature, in, out, err);
        free(exec.scratch);
    }
    for (uint32_t i = 0; i < output_count && status == MM_OK; i++) {
        if (!(unwanted >> i & 1)) {
            status = mmi_onnx_tensor_set(&outputs[i], out[i].dtype, out[i].rank, out[i].shape, err);
            outputs[i].data = out[i].data;
        }
    }
    stage->plans = signature.later.count;
    stage->most_more = stage->more_count;
    while (stage->more_count > 0) {
        free(stage->more[--stage->more_count]);
    }
    mmi_onnx_segments_fini(&signature.later);
    mmi_onnx_arena_free(&first->arena);
    return status;
}

void stage_check(struct stage *stage, const struct onnx_tensor *inputs) {
    struct bench *bench = &stage->bench;
    struct onnx_tensor got[8], wanted[8];
    assert_int_equal(
        run_graph(&bench->model, inputs, wanted, &bench->arena, &bench->services, &bench->err),
        MM_OK);
    assert_int_equal(stage_infer(stage, inputs, got, 0, &bench->err), MM_OK);
    for (uint32_t i = 0; i < bench->model.main->output_count; i++) {
        assert_tensors(&got[i], &wanted[i], 1e-5);
    }
}
