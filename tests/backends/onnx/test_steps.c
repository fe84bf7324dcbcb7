/* SPDX-License-Identifier: Apache-2.0 */
/* From a graph to its description and back, to steps and to answers: those of the naive runner. */
#include <backends/onnx/stage.h>

#include <stdlib.h>
#include <string.h>

static uint64_t seed;

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
    stage_prepare(&stage);
    assert_true(stage.weights.bytes >= 8 * 40 * 4);
    static const char *const shapes[] = {"1 6 8", "3 6 8", "0 6 8", "17 6 8"};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct onnx_tensor x = bench_tensor(&stage.bench, MM_F32, shapes[i]);
        stage_check(&stage, &x);
    }
    assert_int_equal(stage.waited, stage.group_count);
    stage_fini(&stage);
}

static void test_any_subset_of_outputs(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    stage_prepare(&stage);
    struct bench *bench = &stage.bench;
    struct onnx_tensor x = bench_tensor(bench, MM_F32, "2 6 8"), wanted[8], got[8];
    assert_int_equal(run_graph(&bench->model, &x, wanted, &bench->arena, &bench->services, NULL),
                     MM_OK);
    for (uint32_t unwanted = 0; unwanted < 1u << bench->model.main->output_count; unwanted++) {
        assert_int_equal(stage_infer(&stage, &x, got, unwanted, &bench->err), MM_OK);
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
    stage_prepare(&stage);
    struct bench *bench = &stage.bench;
    struct onnx_tensor x = bench_tensor(bench, MM_F32, "2 6 8"), got[8];
    assert_int_equal(stage_infer(&stage, &x, got, 0, &bench->err), MM_OK);
    uint32_t steps = stage.stop_calls;
    assert_true(steps > 2);
    for (uint32_t nth = 1; nth <= steps; nth++) {
        stage.stop_calls = 0;
        stage.stopped_at = nth;
        assert_int_equal(stage_infer(&stage, &x, got, 0, &bench->err), MM_CANCELLED);
        assert_int_equal(bench->err.status, MM_CANCELLED);
        assert_int_equal(stage.stop_calls, nth);
    }
    stage.stopped_at = 0;
    assert_int_equal(stage_infer(&stage, &x, got, 0, &bench->err), MM_OK);
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
    stage_prepare(&stage);
    assert_int_equal(stage.prepared.model.inputs[0].flags, 0);
    assert_int_equal(stage.prepared.model.inputs[1].flags, MM_VALUE_INFO_SHAPE_INPUT);
    for (uint8_t chosen = 0; chosen < 2; chosen++) {
        struct onnx_tensor inputs[2] = {bench_tensor(&stage.bench, MM_F32, "3 4"),
                                        bench_tensor(&stage.bench, MM_BOOL, "")};
        memset((void *)(uintptr_t)inputs[1].data, chosen, 1);
        inputs[1].known = 1;
        stage_check(&stage, inputs);
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
    stage_prepare(&stage);
    struct onnx_tensor inputs[2] = {bench_tensor(b, MM_F32, "4"), bench_tensor(b, MM_I64, "1 2")};
    static const int64_t shapes[][2] = {{2, 2}, {1, 4}, {4, 1}, {-1, 2}, {2, 2}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        memcpy((void *)(uintptr_t)inputs[1].data, shapes[i], sizeof(shapes[i]));
        inputs[1].known = 1;
        stage_check(&stage, inputs);
    }
    struct onnx_tensor got[8];
    ((int64_t *)(uintptr_t)inputs[1].data)[0] = 3;
    assert_int_equal(stage_infer(&stage, inputs, got, 0, &b->err), MM_INVALID_MODEL);
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
    stage_prepare(&stage);
    mm_value in[2] = {{.dtype = MM_F32, .rank = 1, .shape = {4}, .bytes = 16},
                      {.dtype = MM_I64, .rank = 1, .shape = {2}, .bytes = 16}};
    struct onnx_start start = stage_start(&stage, in);
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
    stage_prepare(&stage);
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

/* A convolution whose stride or group is stored as 0. */
static void test_damaged_parameters(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "1 2 4 4");
    bench_output(b, BENCH_NODE(b, "Conv", "", x, bench_random(b, "2 2 1 1")));
    stage_prepare(&stage);
    const struct onnx_node *node = bench_find(b, "Conv");
    uint8_t *bytes = (uint8_t *)(uintptr_t)stage.description.data;
    uint8_t *params = memmem(bytes, stage.description.bytes, node->params, node->op->params_bytes);
    assert_non_null(params);
    for (const struct onnx_limit *limit = node->op->limits; limit->name; limit++) {
        if (limit->least != 1) {
            continue;
        }
        assert_int_equal(read_back(&stage, bytes, stage.description.bytes), MM_OK);
        uint8_t kept = params[limit->at];
        params[limit->at] = 0;
        assert_int_equal(read_back(&stage, bytes, stage.description.bytes), MM_CORRUPT);
        params[limit->at] = kept;
    }
    stage_fini(&stage);
}

/* ---- No memory */

static void test_allocation_failures(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_moves(&stage.bench);
    stage_prepare(&stage);
    struct bench *bench = &stage.bench;
    struct onnx_tensor x = bench_tensor(bench, MM_F32, "2 6 8"), got[8];
    uint32_t failures = 0;
    for (uint64_t nth = 1;; nth++) {
        struct onnx_steps steps = {0};
        mmi_onnx_arena_init(&steps.arena, &bench->services.allocator);
        mm_value value = stage_value(&x);
        struct onnx_start start = stage_start(&stage, &value);
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
    assert_int_equal(stage_infer(&stage, &x, got, 0, NULL), MM_OK);
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
        cmocka_unit_test(test_damaged_parameters),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
