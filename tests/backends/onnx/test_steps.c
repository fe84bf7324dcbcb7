/* SPDX-License-Identifier: Apache-2.0 */
/* From a graph to its description and back, to steps and to answers: those of the naive runner. */
#include <backends/onnx/graph_runner.h>
#include <backends/onnx/steps/run.h>
#include <backends/onnx/steps/weights.h>

#include <stdlib.h>
#include <string.h>

static uint64_t seed;

/* ---- What the host does around the backend */

struct stage {
    struct bench bench;
    struct onnx_weights weights;
    struct onnx_tensor description;
    uint8_t *blob; /* [weights.bytes], as the sink got it */
    uint64_t blob_bytes;
    uint64_t group_ends[64];
    uint32_t group_count, waited; /* groups that somebody waited for */
    struct onnx_prepared prepared;
    struct onnx_attached attached;
    void *more[8]; /* scratch asked for while running */
    uint32_t more_count;
    uint32_t stop_calls, stopped_at; /* 0 = never */
};

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
    assert_true(stage->more_count < 8);
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

/* After the graph was built in stage->bench. */
static void prepare(struct stage *stage) {
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

static void stage_init(struct stage *stage, uint64_t of) {
    *stage = (struct stage){0};
    bench_init(&stage->bench, of);
}

static void stage_fini(struct stage *stage) {
    mmi_onnx_arena_free(&stage->prepared.arena);
    free(stage->blob);
    bench_fini(&stage->bench);
}

static mm_value value_of(const struct onnx_tensor *tensor) {
    mm_value value = {.dtype = tensor->dtype,
                      .rank = tensor->rank,
                      .bytes = tensor->bytes,
                      .data = (void *)(uintptr_t)tensor->data};
    memcpy(value.shape, tensor->shape, sizeof(value.shape));
    return value;
}

static struct onnx_start start_of(const struct stage *stage, const mm_value *inputs) {
    return (struct onnx_start){.prepared = &stage->prepared,
                               .services = &stage->bench.services,
                               .graph = stage->prepared.model.main,
                               .inputs = inputs};
}

/* One request; outputs[i] of which `unwanted` has bit i are left out. */
static mm_status infer(struct stage *stage, const struct onnx_tensor *inputs,
                       struct onnx_tensor *outputs, uint32_t unwanted, mm_error *err) {
    struct bench *bench = &stage->bench;
    uint32_t input_count = bench->model.main->input_count;
    uint32_t output_count = bench->model.main->output_count;
    mm_value in[8], out[8] = {0};
    for (uint32_t i = 0; i < input_count; i++) {
        in[i] = value_of(&inputs[i]);
    }
    struct onnx_signature signature = {0};
    struct onnx_steps *first = &signature.first;
    struct onnx_start start = start_of(stage, in);
    mmi_onnx_arena_init(&first->arena, &bench->services.allocator);
    mmi_onnx_segments_init(&signature.later);
    mm_status status = mmi_onnx_specialise(&start, first, err);
    for (uint32_t i = 0; i < output_count && status == MM_OK; i++) {
        outputs[i] = first->outputs[i];
        outputs[i].data = mmi_onnx_take_data(&bench->arena, outputs[i].bytes);
        out[i] = value_of(&outputs[i]);
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
    while (stage->more_count > 0) {
        free(stage->more[--stage->more_count]);
    }
    mmi_onnx_segments_fini(&signature.later);
    mmi_onnx_arena_free(&first->arena);
    return status;
}

static void check_answers(struct stage *stage, const struct onnx_tensor *inputs) {
    struct bench *bench = &stage->bench;
    struct onnx_tensor got[8], wanted[8];
    assert_int_equal(
        run_graph(&bench->model, inputs, wanted, &bench->arena, &bench->services, &bench->err),
        MM_OK);
    assert_int_equal(infer(stage, inputs, got, 0, &bench->err), MM_OK);
    for (uint32_t i = 0; i < bench->model.main->output_count; i++) {
        assert_tensors(&got[i], &wanted[i], 1e-5);
    }
}

/* ---- Graphs */

/* Views, copies, weights, a value with several uses, results under several names. */
static void build_moves(struct bench *b) {
    uint32_t x = bench_input(b, MM_F32, "? 6 8");
    uint32_t w = bench_random(b, "8 40");
    uint32_t turned = BENCH_NODE(b, "Transpose", "perm=[0,2,1]", x);
    uint32_t flat = BENCH_NODE(b, "Reshape", "", turned, bench_ints(b, "-1 6"));
    uint32_t slice = BENCH_NODE(b, "Slice", "", flat, bench_ints(b, "1"), bench_ints(b, "5"),
                                bench_ints(b, "1"));
    uint32_t both = BENCH_NODE(b, "Concat", "axis=1", flat, slice, flat);
    uint32_t wide = BENCH_NODE(b, "Tile", "", w, bench_ints(b, "2 1"));
    bench_output(b, both);
    bench_output(b, flat);                                /* used inside as well */
    bench_output(b, BENCH_NODE(b, "Identity", "", flat)); /* the same again */
    bench_output(b, x);                                   /* an input */
    bench_output(b, BENCH_NODE(b, "Identity", "", w));    /* a weight */
    bench_output(b, BENCH_NODE(b, "Shape", "", both));    /* known before the run */
    bench_output(b, wide);
}

static void test_answers_are_the_naive_ones(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    prepare(&stage);
    assert_true(stage.weights.bytes >= 8 * 40 * 4);
    static const char *const shapes[] = {"1 6 8", "3 6 8", "0 6 8", "17 6 8"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct onnx_tensor x = bench_tensor(&stage.bench, MM_F32, shapes[i]);
        check_answers(&stage, &x);
    }
    assert_int_equal(stage.waited, stage.group_count);
    stage_fini(&stage);
}

static void test_any_subset_of_outputs(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    prepare(&stage);
    struct bench *bench = &stage.bench;
    struct onnx_tensor x = bench_tensor(bench, MM_F32, "2 6 8"), wanted[8], got[8];
    assert_int_equal(run_graph(&bench->model, &x, wanted, &bench->arena, &bench->services, NULL),
                     MM_OK);
    for (uint32_t unwanted = 0; unwanted < 1u << bench->model.main->output_count; unwanted++) {
        assert_int_equal(infer(&stage, &x, got, unwanted, &bench->err), MM_OK);
        for (uint32_t i = 0; i < bench->model.main->output_count; i++) {
            if (!(unwanted >> i & 1)) {
                assert_tensors(&got[i], &wanted[i], 0);
            }
        }
    }
    stage_fini(&stage);
}

/* Asked before each step, and never again once the run was ended. */
static void test_a_run_can_be_ended(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    prepare(&stage);
    struct bench *bench = &stage.bench;
    struct onnx_tensor x = bench_tensor(bench, MM_F32, "2 6 8"), got[8];
    assert_int_equal(infer(&stage, &x, got, 0, &bench->err), MM_OK);
    uint32_t steps = stage.stop_calls;
    assert_true(steps > 2);
    for (uint32_t nth = 1; nth <= steps; nth++) {
        stage.stop_calls = 0;
        stage.stopped_at = nth;
        assert_int_equal(infer(&stage, &x, got, 0, &bench->err), MM_CANCELLED);
        assert_int_equal(bench->err.status, MM_CANCELLED);
        assert_int_equal(stage.stop_calls, nth);
    }
    stage.stopped_at = 0;
    assert_int_equal(infer(&stage, &x, got, 0, &bench->err), MM_OK);
    stage_fini(&stage);
}

/* An input chooses the branch; a branch uses what lies outside of it. */
static void build_branches(struct bench *b) {
    uint32_t x = bench_input(b, MM_F32, "? 4");
    uint32_t chosen = bench_input(b, MM_BOOL, "");
    struct onnx_graph *then = bench_branch(b);
    bench_branch_end(b, then, BENCH_NODE(b, "Transpose", "perm=[1,0]", x));
    struct onnx_graph *otherwise = bench_branch(b);
    bench_branch_end(b, otherwise, BENCH_NODE(b, "Concat", "axis=0", x, x));
    bench_output(b, bench_if(b, chosen, then, otherwise));
}

static void test_an_input_chooses_the_branch(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_branches(&stage.bench);
    prepare(&stage);
    assert_int_equal(stage.prepared.model.inputs[0].flags, 0);
    assert_int_equal(stage.prepared.model.inputs[1].flags, MM_VALUE_INFO_SHAPE_INPUT);
    for (uint8_t chosen = 0; chosen < 2; chosen++) {
        struct onnx_tensor inputs[2] = {bench_tensor(&stage.bench, MM_F32, "3 4"),
                                        bench_tensor(&stage.bench, MM_BOOL, "")};
        memset((void *)(uintptr_t)inputs[1].data, chosen, 1);
        inputs[1].known = 1;
        check_answers(&stage, inputs);
    }
    stage_fini(&stage);
}

static void test_what_only_the_run_would_tell(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "4");
    uint32_t shape = bench_input(b, MM_I64, "? 2"); /* two axes: no part of a signature */
    bench_output(b, BENCH_NODE(b, "Reshape", "", x,
                               BENCH_NODE(b, "Reshape", "", shape, bench_ints(b, "-1"))));
    prepare(&stage);
    struct onnx_tensor inputs[2] = {bench_tensor(b, MM_F32, "4"), bench_tensor(b, MM_I64, "1 2")};
    static const int64_t shapes[][2] = {{2, 2}, {1, 4}, {4, 1}, {-1, 2}, {2, 2}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        memcpy((void *)(uintptr_t)inputs[1].data, shapes[i], sizeof(shapes[i]));
        inputs[1].known = 1;
        check_answers(&stage, inputs);
    }
    struct onnx_tensor got[8];
    ((int64_t *)(uintptr_t)inputs[1].data)[0] = 3;
    assert_int_equal(infer(&stage, inputs, got, 0, &b->err), MM_INVALID_MODEL);
    assert_non_null(strstr(b->err.text, "Reshape node"));
    stage_fini(&stage);
}

/* A shape input whose elements a host does not show is one that only the run tells. */
static void test_hidden_elements_are_not_known(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "?"), shape = bench_input(b, MM_I64, "?");
    bench_output(b, BENCH_NODE(b, "Reshape", "", x, shape));
    prepare(&stage);
    mm_value in[2] = {{.dtype = MM_F32, .rank = 1, .shape = {4}, .bytes = 16},
                      {.dtype = MM_I64, .rank = 1, .shape = {2}, .bytes = 16}};
    struct onnx_start start = start_of(&stage, in);
    struct onnx_steps steps = {0};
    mmi_onnx_arena_init(&steps.arena, &b->services.allocator);
    assert_int_equal(mmi_onnx_specialise(&start, &steps, &b->err), MM_OK);
    assert_int_equal(steps.end, 0);
    assert_int_equal(steps.outputs[0].dtype, MM_DTYPE_NONE);
    mmi_onnx_arena_free(&steps.arena);
    stage_fini(&stage);
}

/* ---- Bytes that are not what was written */

static mm_status read_back(struct stage *stage, const void *bytes, uint64_t count) {
    struct onnx_prepared prepared = {.model.nesting = 64};
    mmi_onnx_arena_init(&prepared.arena, &stage->bench.services.allocator);
    mm_status status = mmi_onnx_read_description(&prepared, bytes, count, NULL);
    mmi_onnx_arena_free(&prepared.arena);
    return status;
}

static void test_damaged_descriptions(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    build_branches(&stage.bench);
    prepare(&stage);
    uint64_t count = stage.description.bytes;
    for (uint64_t cut = 0; cut < count; cut++) {
        uint8_t *copy = malloc(cut + 1); /* so that a sanitizer sees the end */
        memcpy(copy, stage.description.data, cut);
        assert_int_equal(read_back(&stage, copy, cut), MM_CORRUPT);
        free(copy);
    }
    uint8_t *copy = malloc(count);
    for (uint32_t round = 0; round < 20000; round++) {
        memcpy(copy, stage.description.data, count);
        for (uint32_t i = 0; i <= round % 4; i++) {
            copy[test_random_below(&seed, count)] = (uint8_t)test_random(&seed);
        }
        mm_status status = read_back(&stage, copy, count);
        assert_true(status == MM_OK || status == MM_CORRUPT);
    }
    free(copy);
    stage_fini(&stage);
}

/* ---- No memory */

static void test_allocation_failures(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    prepare(&stage);
    struct bench *bench = &stage.bench;
    struct onnx_tensor x = bench_tensor(bench, MM_F32, "2 6 8"), got[8];
    uint32_t failures = 0;
    for (uint64_t nth = 1;; nth++) {
        struct onnx_steps steps = {0};
        mmi_onnx_arena_init(&steps.arena, &bench->services.allocator);
        mm_value value = value_of(&x);
        struct onnx_start start = start_of(&stage, &value);
        world_fail_alloc(&bench->world, nth);
        mm_status status = mmi_onnx_specialise(&start, &steps, &bench->err);
        bool hit = world_failed(&bench->world);
        world_fail_alloc(&bench->world, 0);
        mmi_onnx_arena_free(&steps.arena);
        assert_int_equal(status, hit ? MM_NO_MEMORY : MM_OK);
        if (!hit) {
            break;
        }
        failures++;
    }
    assert_true(failures > 2);
    assert_int_equal(infer(&stage, &x, got, 0, NULL), MM_OK);
    stage_fini(&stage);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_the_naive_ones),
        cmocka_unit_test(test_any_subset_of_outputs),
        cmocka_unit_test(test_a_run_can_be_ended),
        cmocka_unit_test(test_an_input_chooses_the_branch),
        cmocka_unit_test(test_what_only_the_run_would_tell),
        cmocka_unit_test(test_hidden_elements_are_not_known),
        cmocka_unit_test(test_damaged_descriptions),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
