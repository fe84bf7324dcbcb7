/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs that are planned in parts: what only the run knows, loops, branches that it chooses. */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/stage.h>

#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static const float *floats_of(const struct onnx_tensor *tensor) {
    return tensor->data;
}

static void set_int(struct onnx_tensor *tensor, int64_t value) {
    memcpy((void *)(uintptr_t)tensor->data, &value, tensor->bytes);
}

/* ---- Loops ----------------------------------------------------------------------------------- */

/* sum = x; `count` times: sum = sum * 2 + outside, stacked; rows = concat(rows, sum). */
static void build_loop(struct bench *b) {
    uint32_t count = bench_input(b, MM_I64, "1 1"); /* two axes: no part of a signature */
    uint32_t x = bench_input(b, MM_F32, "1 4");
    uint32_t outside = BENCH_NODE(b, "Exp", "", x);
    struct onnx_graph *body = bench_branch(b);
    bench_graph_input(b, body);
    uint32_t going = bench_graph_input(b, body);
    uint32_t sum = bench_graph_input(b, body), rows = bench_graph_input(b, body);
    uint32_t twice = BENCH_NODE(b, "Add", "", sum, sum);
    uint32_t next = BENCH_NODE(b, "Add", "", twice, outside);
    uint32_t more = BENCH_NODE(b, "Concat", "axis=0", rows, next);
    body->outputs[body->output_count++] = going;
    body->outputs[body->output_count++] = next;
    body->outputs[body->output_count++] = more;
    bench_branch_end(b, body, next);
    const uint32_t inputs[] = {count, ONNX_NO_VALUE, x, x};
    uint32_t last = bench_loop(b, inputs, 4, body);
    struct onnx_node *loop = bench_last(b);
    bench_output(b, BENCH_NODE(b, "Neg", "", last));
    bench_output(b, loop->outputs[1]);
    bench_output(b, loop->outputs[2]);
}

static void test_a_loop(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_loop(&stage.bench);
    stage_prepare(&stage);
    for (int64_t count = 0; count < 40; count += 1 + count / 4) {
        struct bench *b = &stage.bench;
        struct onnx_tensor in[2] = {bench_tensor(b, MM_I64, "1 1"), bench_tensor(b, MM_F32, "1 4")};
        struct onnx_tensor got[8];
        set_int(&in[0], count);
        assert_int_equal(stage_infer(&stage, in, got, 0, &b->err), MM_OK);
        float sum[4];
        memcpy(sum, in[1].data, sizeof(sum));
        assert_int_equal(got[1].shape[0], count + 1);
        assert_int_equal(got[2].shape[0], count);
        for (int64_t i = 0; i < count; i++) {
            for (int j = 0; j < 4; j++) {
                float outside = floats_of(&got[1])[4 * (i + 1) + j] - 2 * sum[j];
                sum[j] = floats_of(&got[1])[4 * (i + 1) + j];
                float wanted = (float)__builtin_exp((double)floats_of(&in[1])[j]);
                assert_true(__builtin_fabsf(outside - wanted) <=
                            1e-4F * (1 + __builtin_fabsf(sum[j])));
                assert_true(count == 0 || floats_of(&got[2])[4 * i + j] == sum[j]);
            }
        }
        for (int j = 0; j < 4; j++) {
            assert_true(floats_of(&got[0])[j] == -sum[j]);
        }
    }
    stage_fini(&stage);
}

/* Iterations of equal shapes run by one plan, in memory that is used again. */
static void test_a_long_loop_needs_no_more_memory(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "64");
    struct onnx_graph *body = bench_branch(b);
    uint32_t i = bench_graph_input(b, body), going = bench_graph_input(b, body);
    uint32_t sum = bench_graph_input(b, body);
    uint32_t step = BENCH_NODE(b, "Cast", "to=1", i);
    uint32_t half = BENCH_NODE(b, "Mul", "", sum, bench_scalar(b, 0.5F));
    uint32_t next = BENCH_NODE(b, "Add", "", half, step);
    body->outputs[body->output_count++] = going;
    bench_branch_end(b, body, next);
    int64_t count = 10000;
    struct onnx_tensor number;
    assert_int_equal(mmi_onnx_tensor_set(&number, MM_I64, 0, NULL, NULL), MM_OK);
    number.data = &count;
    const uint32_t inputs[] = {mmi_onnx_add_constant(&b->model, &number), ONNX_NO_VALUE, x};
    bench_output(b, bench_loop(b, inputs, 3, body));
    stage_prepare(&stage);
    struct onnx_tensor in = bench_tensor(b, MM_F32, "64"), got[8];
    assert_int_equal(stage_infer(&stage, &in, got, 0, &b->err), MM_OK);
    assert_int_equal(stage.plans, 1 + 1); /* of the body, and of nothing after the loop */
    assert_true(stage.most_more <= 3);
    assert_true(__builtin_fabsf(floats_of(&got[0])[0] - 19996) < 1); /* 2 * 9999 - 2 */
    stage_fini(&stage);
}

/* ---- Plans of later segments ----------------------------------------------------------------- */

/* NonZero's count decides the shapes of what comes after it. */
static void test_more_shapes_than_plans_are_kept(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "?");
    uint32_t places = BENCH_NODE(b, "NonZero", "", x);
    uint32_t turned = BENCH_NODE(b, "Transpose", "perm=[1,0]", places);
    uint32_t there = BENCH_NODE(b, "GatherND", "", x, turned);
    bench_output(b, BENCH_NODE(b, "Mul", "", there, bench_scalar(b, 3)));
    bench_output(b, BENCH_NODE(b, "Shape", "", there));
    stage_prepare(&stage);
    int64_t count = 2 * ONNX_KEPT_PLANS;
    for (int64_t most = 0; most <= count; most += 7) {
        struct onnx_tensor in, got[8];
        assert_int_equal(mmi_onnx_tensor_set(&in, MM_F32, 1, &count, NULL), MM_OK);
        float *data = mmi_onnx_take_data(&b->arena, in.bytes);
        for (int64_t i = 0; i < count; i++) {
            data[i] = i % 2 == 0 && i < most ? (float)(i + 1) : 0;
        }
        in.data = data;
        assert_int_equal(stage_infer(&stage, &in, got, 0, &b->err), MM_OK);
        int64_t there_are = (most + 1) / 2;
        assert_int_equal(got[0].shape[0], there_are);
        assert_int_equal(((const int64_t *)got[1].data)[0], there_are);
        for (int64_t i = 0; i < there_are; i++) {
            assert_true(floats_of(&got[0])[i] == 3 * (float)(2 * i + 1));
        }
    }
    stage_fini(&stage);
}

/* A random graph of elementwise nodes, copies and views, some of which end a segment because their
 * shape comes from an input that is no part of the signature. */
static void build_random(struct bench *b) {
    uint32_t values[40];
    uint32_t x = bench_input(b, MM_F32, "? 6");
    uint32_t shape =
        BENCH_NODE(b, "Reshape", "", bench_input(b, MM_I64, "1 2"), bench_ints(b, "-1"));
    uint32_t count = 0;
    values[count++] = x;
    while (count < 40) {
        uint32_t a = values[test_random_below(&b->seed, count)];
        uint32_t c = values[test_random_below(&b->seed, count)];
        switch (test_random_below(&b->seed, 7)) {
        case 0:
            values[count++] = BENCH_NODE(b, "Add", "", a, c);
            break;
        case 1:
            values[count++] = BENCH_NODE(b, "Tanh", "", a);
            break;
        case 2:
            values[count++] = BENCH_NODE(b, "Mul", "", a, bench_random(b, "6"));
            break;
        case 3:
            values[count++] = BENCH_NODE(b, "Reshape", "", a, shape); /* only the run knows */
            break;
        case 4:
            values[count++] = BENCH_NODE(b, "Softmax", "axis=1", a);
            break;
        case 5: {
            uint32_t turned = BENCH_NODE(b, "Transpose", "perm=[1,0]", a);
            values[count++] = BENCH_NODE(b, "Transpose", "perm=[1,0]", turned);
            break;
        }
        default:
            values[count++] = BENCH_NODE(b, "MatMul", "", a, bench_random(b, "6 6"));
        }
    }
    for (uint32_t i = 0; i < 4; i++) {
        bench_output(b, values[count - 1 - test_random_below(&b->seed, 12)]);
    }
}

static void test_random_graphs_answer_as_without_segments(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 60; round++) {
        struct stage stage;
        stage_init(&stage, seed + round);
        build_random(&stage.bench);
        stage_prepare(&stage);
        static const char *const shapes[] = {"1 6", "5 6", "1 6"};
        for (size_t i = 0; i < 3; i++) {
            struct onnx_tensor in[2] = {bench_tensor(&stage.bench, MM_F32, shapes[i]),
                                        bench_tensor(&stage.bench, MM_I64, "1 2")};
            const int64_t shape[2] = {-1, 6};
            memcpy((void *)(uintptr_t)in[1].data, shape, sizeof(shape));
            in[1].known = 1;
            stage_check(&stage, in);
        }
        stage_fini(&stage);
    }
}

/* ---- Branches -------------------------------------------------------------------------------- */

/* A branch that the run chooses, with a node in it whose results only the run knows. */
static void build_branches(struct bench *b) {
    uint32_t x = bench_input(b, MM_F32, "?");
    uint32_t limit = BENCH_NODE(b, "ReduceMax", "keepdims=0", x);
    uint32_t chosen = BENCH_NODE(b, "Greater", "", limit, bench_scalar(b, 1));
    struct onnx_graph *then = bench_branch(b);
    bench_branch_end(b, then, BENCH_NODE(b, "NonZero", "", x));
    struct onnx_graph *otherwise = bench_branch(b);
    uint32_t numbers = BENCH_NODE(b, "Cast", "to=7", x);
    bench_branch_end(b, otherwise, BENCH_NODE(b, "Unsqueeze", "", numbers, bench_ints(b, "0")));
    uint32_t made = bench_if(b, chosen, then, otherwise);
    bench_output(b, BENCH_NODE(b, "Add", "", made, made));
}

static void test_the_run_chooses_the_branch(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    build_branches(&stage.bench);
    stage_prepare(&stage);
    for (int round = 0; round < 2; round++) {
        struct onnx_tensor in = bench_tensor(&stage.bench, MM_F32, "5"), got[8];
        const float values[2][5] = {{0, 2, 0, 3, 0}, {0, 1, 0, -3, 0}};
        const int64_t wanted[2][5] = {{2, 6}, {0, 2, 0, -6, 0}};
        memcpy((void *)(uintptr_t)in.data, values[round], sizeof(values[round]));
        assert_int_equal(stage_infer(&stage, &in, got, 0, &stage.bench.err), MM_OK);
        assert_int_equal(got[0].shape[1], round == 0 ? 2 : 5);
        assert_memory_equal(got[0].data, wanted[round], got[0].bytes);
    }
    stage_fini(&stage);
}

/* Inputs and constants are outputs, too, where the first node is one that only the run knows. */
static void test_outputs_that_no_node_makes(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "?");
    bench_output(b, BENCH_NODE(b, "NonZero", "", x));
    bench_output(b, x);
    bench_output(b, bench_ints(b, "3 4 5"));
    bench_output(b, x);
    stage_prepare(&stage);
    struct onnx_tensor in = bench_tensor(b, MM_F32, "9"), got[8];
    assert_int_equal(stage_infer(&stage, &in, got, 0, &b->err), MM_OK);
    const int64_t numbers[3] = {3, 4, 5};
    assert_memory_equal(got[1].data, in.data, in.bytes);
    assert_memory_equal(got[3].data, in.data, in.bytes);
    assert_memory_equal(got[2].data, numbers, sizeof(numbers));
    stage_fini(&stage);
}

/* ---- What is known all the same -------------------------------------------------------------- */

/* Of constants, and of small values that follow from shapes, there is nothing left for the run. */
static void test_known_before_the_run(void **state) {
    (void)state;
    struct stage stage;
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "? ?");
    uint32_t lengths = BENCH_NODE(b, "Shape", "", x);
    uint32_t places = BENCH_NODE(b, "NonZero", "", lengths);
    bench_output(b, BENCH_NODE(b, "Add", "", places, places));
    uint32_t fixed = BENCH_NODE(b, "NonZero", "", bench_ints(b, "0 5 0 7"));
    bench_output(b, BENCH_NODE(b, "Reshape", "", fixed, bench_ints(b, "2")));
    const struct onnx_pass_context context = {.services = &b->services};
    assert_int_equal(mmi_onnx_fold_constants(&b->model, &context, &b->err), MM_OK);
    assert_int_equal(bench_count(b->model.main, "NonZero"), 1);
    stage_prepare(&stage);
    struct onnx_tensor in = bench_tensor(b, MM_F32, "0 3"), got[8];
    assert_int_equal(stage_infer(&stage, &in, got, 0, &b->err), MM_OK);
    assert_int_equal(stage.plans, 0);
    assert_int_equal(got[0].elements, 1);
    assert_int_equal(((const int64_t *)got[0].data)[0], 2);
    assert_int_equal(((const int64_t *)got[1].data)[0], 1);
    assert_int_equal(((const int64_t *)got[1].data)[1], 3);
    stage_fini(&stage);
}

/* ---- What goes wrong ------------------------------------------------------------------------- */

static void build_all(struct stage *stage, struct onnx_tensor *in) {
    struct bench *b = &stage->bench;
    build_loop(b);
    stage_prepare(stage);
    in[0] = bench_tensor(b, MM_I64, "1 1");
    in[1] = bench_tensor(b, MM_F32, "1 4");
    set_int(&in[0], 5);
}

static void test_a_run_can_be_ended_in_a_loop(void **state) {
    (void)state;
    struct stage stage;
    struct onnx_tensor in[2], got[8];
    stage_init(&stage, seed);
    build_all(&stage, in);
    assert_int_equal(stage_infer(&stage, in, got, 0, NULL), MM_OK);
    uint32_t calls = stage.stop_calls;
    assert_true(calls > 10);
    for (uint32_t nth = 1; nth <= calls; nth++) {
        stage.stop_calls = 0;
        stage.stopped_at = nth;
        assert_int_equal(stage_infer(&stage, in, got, 0, &stage.bench.err), MM_CANCELLED);
        assert_int_equal(stage.stop_calls, nth);
    }
    stage_fini(&stage);
}

static void test_no_memory(void **state) {
    (void)state;
    struct stage stage;
    struct onnx_tensor in[2], got[8];
    stage_init(&stage, seed);
    build_all(&stage, in);
    stage.more_until = 1;
    assert_int_equal(stage_infer(&stage, in, got, 0, &stage.bench.err), MM_NO_ROOM_FOR_ACTIVATIONS);
    stage.more_until = 0;
    uint32_t failures = 0;
    for (uint64_t nth = 1;; nth++) {
        world_fail_alloc(&stage.bench.world, nth);
        mm_status status = stage_infer(&stage, in, got, 0, &stage.bench.err);
        bool hit = world_failed(&stage.bench.world);
        world_fail_alloc(&stage.bench.world, 0);
        assert_int_equal(status, hit ? MM_NO_MEMORY : MM_OK);
        if (!hit) {
            break;
        }
        failures++;
    }
    assert_true(failures > 5);
    stage_fini(&stage);
}

/* Elements that share bytes go through a sequence as any others do. */
static void test_a_sequence_of_nibbles(void **state) {
    (void)state;
    for (int axis = 0; axis < 2; axis++) {
        struct stage stage;
        struct onnx_tensor got[8];
        stage_init(&stage, seed);
        struct bench *b = &stage.bench;
        uint32_t x = bench_input(b, MM_I64, "3 5");
        uint32_t narrow = BENCH_NODE(b, "Cast", "to=21", x);
        const char *along = axis ? "axis=1" : "axis=0";
        uint32_t sequence = BENCH_NODE(b, "SplitToSequence", along, narrow);
        uint32_t joined = BENCH_NODE(b, "ConcatFromSequence", along, sequence);
        bench_output(b, BENCH_NODE(b, "Cast", "to=7", joined));
        stage_prepare(&stage);
        struct onnx_tensor in = bench_tensor(b, MM_I64, "3 5");
        assert_int_equal(stage_infer(&stage, &in, got, 0, &b->err), MM_OK);
        assert_int_equal(got[0].bytes, in.bytes);
        assert_memory_equal(got[0].data, in.data, in.bytes);
        stage_fini(&stage);
    }
}

/* A graph that gives back less than it should, and a condition that is none. */
static void test_bad_graphs(void **state) {
    (void)state;
    struct stage stage;
    struct onnx_tensor got[8];
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t x = bench_input(b, MM_F32, "4");
    struct onnx_graph *body = bench_branch(b);
    bench_graph_input(b, body);
    bench_graph_input(b, body);
    uint32_t carried = bench_graph_input(b, body);
    body->outputs[body->output_count++] = carried; /* where a bool belongs */
    bench_branch_end(b, body, carried);
    const uint32_t inputs[] = {ONNX_NO_VALUE, ONNX_NO_VALUE, x};
    bench_output(b, bench_loop(b, inputs, 3, body));
    stage_prepare(&stage);
    struct onnx_tensor in = bench_tensor(b, MM_F32, "4");
    assert_int_equal(stage_infer(&stage, &in, got, 0, &b->err), MM_INVALID_MODEL);
    assert_non_null(strstr(b->err.text, "Loop node"));
    assert_non_null(strstr(b->err.text, "its condition is no single bool"));
    stage_fini(&stage);
}

/* One that would never end is ended by the limit, and the next run is none the worse for it. */
static void test_a_loop_without_an_end(void **state) {
    (void)state;
    struct stage stage;
    struct onnx_tensor got[8];
    stage_init(&stage, seed);
    struct bench *b = &stage.bench;
    uint32_t count = bench_input(b, MM_I64, "1 1");
    uint32_t x = bench_input(b, MM_F32, "4");
    struct onnx_graph *body = bench_branch(b);
    bench_graph_input(b, body);
    uint32_t going = bench_graph_input(b, body);
    uint32_t carried = bench_graph_input(b, body);
    uint32_t next = BENCH_NODE(b, "Neg", "", carried);
    body->outputs[body->output_count++] = going;
    body->outputs[body->output_count++] = next;
    bench_branch_end(b, body, next);
    const uint32_t inputs[] = {count, ONNX_NO_VALUE, x};
    bench_output(b, bench_loop(b, inputs, 3, body));
    stage_prepare(&stage);
    b->services.limits_iterations = 1000;
    struct onnx_tensor in[2] = {bench_tensor(b, MM_I64, "1 1"), bench_tensor(b, MM_F32, "4")};
    const int64_t counts[] = {INT64_MAX, 1001, 1000, 0};
    for (int i = 0; i < 4; i++) {
        set_int(&in[0], counts[i]);
        bool ends = counts[i] <= 1000;
        assert_int_equal(stage_infer(&stage, in, got, 0, &b->err), ends ? MM_OK : MM_UNSUPPORTED);
        if (!ends) {
            assert_non_null(strstr(b->err.text, "Loop node"));
            assert_non_null(strstr(b->err.text, "more than 1000 iterations"));
        }
    }
    assert_true(floats_of(&got[0])[0] == floats_of(&in[1])[0]);
    stage_fini(&stage);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loop),
        cmocka_unit_test(test_a_loop_without_an_end),
        cmocka_unit_test(test_a_sequence_of_nibbles),
        cmocka_unit_test(test_a_long_loop_needs_no_more_memory),
        cmocka_unit_test(test_more_shapes_than_plans_are_kept),
        cmocka_unit_test(test_random_graphs_answer_as_without_segments),
        cmocka_unit_test(test_the_run_chooses_the_branch),
        cmocka_unit_test(test_outputs_that_no_node_makes),
        cmocka_unit_test(test_known_before_the_run),
        cmocka_unit_test(test_a_run_can_be_ended_in_a_loop),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_bad_graphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
