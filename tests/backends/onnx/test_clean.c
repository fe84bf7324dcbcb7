/* SPDX-License-Identifier: Apache-2.0 */

/* Cleaning: nodes that change nothing or that nobody needs go, and nothing else does. */

#include "graph_runner.h"

#include <string.h>

/* ---- Nodes that change nothing */

#define MAX_MORE 4

/* A node between an input [2, 3] and a Neg. */
struct sample {
    const char *type, *attributes;
    const char *more[MAX_MORE]; /* further inputs: "i 0 0" i64, "f 1" f32 without axes, "F 1": [1,
                                    1, 1] */
    bool stays;
};

static const struct sample samples[] = {
    {"Identity", "", {NULL}, false},
    {"Dropout", "", {NULL}, false},
    {"Cast", "to=1", {NULL}, false},
    {"Transpose", "perm=[0,1]", {NULL}, false},
    {"Transpose", "perm=[1,0]", {NULL}, true},
    {"Transpose", "", {NULL}, true},
    {"Concat", "axis=1", {NULL}, false},
    {"Sum", "", {NULL}, false},
    {"Relu", "", {NULL}, true},
    {"Reshape", "", {"i 0 0"}, false},
    {"Reshape", "", {"i 0 -1"}, true},
    {"Reshape", "", {"i 3 2"}, true},
    {"Pad", "", {"i 0 0 0 0"}, false},
    {"Pad", "", {"i 0 0 0 1"}, true},
    {"Slice", "", {"i 0", "i 9223372036854775807", "i 1"}, false},
    {"Slice", "", {"i 0", "i 9223372036854775807", "i 1", "i 1"}, false},
    {"Slice", "", {"i 0", "i 9223372036854775807", "i 1", "i 2"}, true},
    {"Slice", "", {"i 1", "i 9223372036854775807", "i 1"}, true},
    {"Slice", "", {"i 0", "i 3", "i 1"}, true},
    {"Mul", "", {"f 1"}, false},
    {"Mul", "", {"f 2"}, true},
    {"Mul", "", {"F 1"}, true}, /* the result has three axes */
    {"Div", "", {"f 1"}, false},
    {"Sub", "", {"f 0"}, false},
    {"Sub", "", {"f 1"}, true},
    {"Add", "", {"f 0"}, true}, /* -0 + 0 is +0 */
};

static uint32_t more_input(struct bench *bench, const char *text) {
    const float number = text[2] == '0' ? 0 : text[2] == '1' ? 1 : 2;
    return text[0] == 'i'   ? bench_ints(bench, text + 2)
           : text[0] == 'f' ? bench_scalar(bench, number)
                            : bench_floats(bench, "1 1 1", &number);
}

static void test_no_ops(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        const struct sample *sample = &samples[i];
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t inputs[1 + MAX_MORE] = {bench_input(&bench, MM_F32, "2 3")}, count = 1;
        while (count <= MAX_MORE && sample->more[count - 1]) {
            inputs[count] = more_input(&bench, sample->more[count - 1]);
            count++;
        }
        uint32_t y = bench_node(&bench, sample->type, sample->attributes, inputs, count);
        bench_output(&bench, BENCH_NODE(&bench, "Neg", "", y));
        bench_apply(&bench, mmi_onnx_clean, 0);
        if (bench_count(bench.model.main, sample->type) != sample->stays) {
            fail_msg("%s %s %s: %s", sample->type, sample->attributes,
                     sample->more[0] ? sample->more[0] : "", sample->stays ? "is gone" : "stays");
        }
        bench_fini(&bench);
    }
}

/* An input of any number of axes: these may do something. */
static void test_unknown_rank(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const float one = 1;
    uint32_t x = bench_input(&bench, MM_F32, "2 3");
    bench.model.inputs[0].rank = -1;
    uint32_t y = BENCH_NODE(&bench, "Abs", "", x);
    uint32_t z = BENCH_NODE(&bench, "Mul", "", y, bench_floats(&bench, "1", &one));
    bench_output(&bench, z);
    struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(mmi_onnx_clean(&bench.model, &context, &bench.err), MM_OK);
    assert_int_equal(bench_count(bench.model.main, NULL), 2);
    bench_fini(&bench);
}

/* The mask of a Dropout is wanted: it must be written. */
static void test_mask(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    bench_output(&bench, BENCH_NODE(&bench, "Dropout", "", bench_input(&bench, MM_F32, "3")));
    bench_output(&bench, bench_more_output(&bench));
    bench_apply(&bench, mmi_onnx_clean, 0);
    assert_int_equal(bench_count(bench.model.main, "Dropout"), 1);
    bench_fini(&bench);
}

/* Outputs that are inputs, constants, or each other. */
static void test_outputs(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3");
    uint32_t y = BENCH_NODE(&bench, "Relu", "", x);
    bench_output(&bench, BENCH_NODE(&bench, "Identity", "", y));
    bench_output(&bench, BENCH_NODE(&bench, "Identity", "", x));
    bench_output(&bench, BENCH_NODE(&bench, "Identity", "", bench_random(&bench, "2")));
    bench_output(&bench, y);
    bench_apply(&bench, mmi_onnx_clean, 0);
    const struct onnx_graph *main = bench.model.main;
    assert_int_equal(bench_count(main, NULL), 1);
    assert_int_equal(main->outputs[0], main->outputs[3]);
    assert_int_equal(main->outputs[1], main->inputs[0]);
    assert_non_null(bench.model.values[main->outputs[2]].constant);
    bench_fini(&bench);
}

/* ---- Nodes that nobody needs */

/* A branch uses a value of the graph around it, and gives out another. */
static void test_branches(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3");
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    uint32_t used = BENCH_NODE(&bench, "Relu", "", x);
    uint32_t given = BENCH_NODE(&bench, "Abs", "", x);
    BENCH_NODE(&bench, "Exp", "", x);
    struct onnx_graph *then = bench_branch(&bench);
    BENCH_NODE(&bench, "Exp", "", used);
    bench_branch_end(&bench, then, BENCH_NODE(&bench, "Neg", "", used));
    struct onnx_graph *otherwise = bench_branch(&bench);
    bench_branch_end(&bench, otherwise, BENCH_NODE(&bench, "Identity", "", given));
    bench_output(&bench, bench_if(&bench, asked, then, otherwise));
    bench_apply(&bench, mmi_onnx_clean, 0);
    const struct onnx_graph *main = bench.model.main;
    assert_int_equal(bench_count(main, "Exp"), 0);
    assert_int_equal(bench_count(main, NULL), 4);
    assert_int_equal(bench_find(&bench, "If")->graphs[1]->outputs[0],
                     bench_find(&bench, "Abs")->outputs[0]);
    bench_fini(&bench);
}

/* An If that nobody needs takes along what only its branches use. */
static void test_unneeded_if(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "3");
    uint32_t asked = bench_input(&bench, MM_BOOL, "");
    uint32_t used = BENCH_NODE(&bench, "Relu", "", x);
    struct onnx_graph *branch = bench_branch(&bench);
    bench_branch_end(&bench, branch, used);
    bench_if(&bench, asked, branch, branch);
    bench_output(&bench, BENCH_NODE(&bench, "Neg", "", x));
    bench_apply(&bench, mmi_onnx_clean, 0);
    assert_int_equal(bench_count(bench.model.main, NULL), 1);
    assert_int_equal(bench.model.value_count, 3);
    bench_fini(&bench);
}

/* Numbers have no gaps, unused results have none, inputs stay. */
static void test_numbers(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    bench_input(&bench, MM_F32, "2");
    bench_random(&bench, "100");
    uint32_t x = bench_input(&bench, MM_F32, "4");
    BENCH_NODE(&bench, "Split", "num_outputs=2", x);
    uint32_t half = bench_more_output(&bench);
    bench_output(&bench, BENCH_NODE(&bench, "Add", "", half, bench_random(&bench, "2")));
    bench_apply(&bench, mmi_onnx_clean, 0);
    const struct onnx_node *split = bench_find(&bench, "Split");
    assert_int_equal(split->output_count, 2);
    assert_int_equal(split->outputs[0], ONNX_NO_VALUE);
    assert_int_equal(bench.model.value_count, 5);
    assert_int_equal(bench.model.main->inputs[0], 0);
    assert_int_equal(bench.model.main->inputs[1], 1);
    assert_string_equal(bench.model.values[0].name, "x0");
    bench_fini(&bench);
}

/* An input that a loop's graph does not read is no other value: not the one with number 0, either,
 * which it may well read. */
static void test_unread_inputs(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    uint32_t x = bench_input(&bench, MM_F32, "2");
    struct onnx_graph *body = bench_branch(&bench);
    bench_graph_input(&bench, body);
    uint32_t going = bench_graph_input(&bench, body), sum = bench_graph_input(&bench, body);
    body->outputs[body->output_count++] = going;
    bench_branch_end(&bench, body, BENCH_NODE(&bench, "Add", "", sum, x));
    const uint32_t inputs[] = {bench_ints(&bench, "3"), ONNX_NO_VALUE, x};
    bench_output(&bench, bench_loop(&bench, inputs, 3, body));
    struct onnx_pass_context context = {.services = &bench.services};
    assert_int_equal(mmi_onnx_clean(&bench.model, &context, &bench.err), MM_OK);
    assert_int_equal(bench.model.main->inputs[0], 0);
    for (uint32_t i = 0; i < body->input_count; i++) {
        assert_true(body->inputs[i] < bench.model.value_count);
        for (uint32_t j = 0; j < i; j++) {
            assert_int_not_equal(body->inputs[i], body->inputs[j]);
        }
        assert_int_not_equal(body->inputs[i], 0);
        assert_null(bench.model.values[body->inputs[i]].constant);
    }
    bench_fini(&bench);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct bench bench;
        bench_init(&bench, 1);
        uint32_t x = bench_input(&bench, MM_F32, "3");
        for (uint32_t i = 0; i < 300; i++) {
            x = BENCH_NODE(&bench, "Identity", "", x);
        }
        bench_output(&bench, x);
        struct onnx_pass_context context = {.services = &bench.services};
        world_fail_alloc(&bench.world, nth);
        mm_status status = mmi_onnx_clean(&bench.model, &context, &bench.err);
        failed = world_failed(&bench.world);
        world_fail_alloc(&bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        bench_fini(&bench);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_ops),    cmocka_unit_test(test_unknown_rank),
        cmocka_unit_test(test_mask),      cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_branches),  cmocka_unit_test(test_unneeded_if),
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_unread_inputs),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
