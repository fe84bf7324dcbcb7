/* SPDX-License-Identifier: Apache-2.0 */

/* Fused programs, run in blocks and by several tasks, against one element after the other. */

#include "graph_runner.h"

#include <backends/onnx/operators/fused.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

/* ---- One element after the other */

/* Element of a broadcast input for element `at` of the result. */
static float input_at(const struct onnx_tensor *input, const struct onnx_tensor *result,
                      uint64_t at) {
    uint64_t index = 0, step = 1;
    for (uint32_t i = 0; i < result->rank; i++) {
        uint64_t count = (uint64_t)result->shape[result->rank - 1 - i];
        uint64_t own = i < input->rank ? (uint64_t)input->shape[input->rank - 1 - i] : 1;
        index += own == 1 ? 0 : at % count * step;
        step *= own;
        at /= count;
    }
    return ((const float *)input->data)[index];
}

static float naive(const struct onnx_program *program, const struct onnx_tensor *inputs,
                   const struct onnx_tensor *result, uint64_t at) {
    float registers[ONNX_PROGRAM_INPUTS + ONNX_PROGRAM_CODE];
    for (uint32_t i = 0; i < program->inputs; i++) {
        registers[i] = input_at(&inputs[i], result, at);
    }
    for (uint32_t i = 0; i < program->count; i++) {
        const struct onnx_instruction *code = &program->code[i];
        mmi_onnx_instruction_loop(code, &registers[code->a], &registers[code->b],
                                  &registers[program->inputs + i], 1);
    }
    return registers[program->inputs + program->count - 1];
}

/* ---- Random programs */

static void random_program(uint64_t *state, struct onnx_program *program) {
    static const uint8_t kinds[] = {ONNX_F_Add,     ONNX_F_Sub,  ONNX_F_Mul,
                                    ONNX_F_Min,     ONNX_F_Max,  ONNX_F_Clip,
                                    ONNX_F_Sigmoid, ONNX_F_Relu, ONNX_F_PRelu};
    *program =
        (struct onnx_program){.inputs = 1 + (uint32_t)test_random_below(state, ONNX_PROGRAM_INPUTS),
                              .count = 1 + (uint32_t)test_random_below(state, ONNX_PROGRAM_CODE),
                              .rank = (uint32_t)test_random_below(state, 5)};
    for (uint32_t i = 0; i < program->count; i++) {
        uint64_t registers = program->inputs + i;
        program->code[i] = (struct onnx_instruction){
            .function = kinds[test_random_below(state, sizeof(kinds))],
            .a = (uint8_t)test_random_below(state, registers),
            .b = (uint8_t)(i > 0 ? registers - 1 : test_random_below(state, registers)),
            .x = -0.5F,
            .y = 1.5F};
        if (mmi_onnx_of_two(program->code[i].function)) {
            program->code[i].operands = (uint8_t)test_random_below(state, 3);
        }
    }
}

/* A shape that broadcasts to [full]: axes become 1, the first ones go. */
static struct onnx_tensor random_input(struct bench *bench, const int64_t *full, uint32_t rank) {
    char text[64] = "";
    uint32_t dropped = (uint32_t)test_random_below(&bench->seed, rank + 1);
    for (uint32_t i = dropped; i < rank; i++) {
        bool one = test_random_below(&bench->seed, 3) == 0;
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d ", one ? 1 : (int)full[i]);
    }
    return bench_tensor(bench, MM_F32, text);
}

static void check_random(struct bench *bench) {
    static const int64_t lengths[] = {1, 2, 3, 5, 17, 70, 600};
    struct onnx_program program;
    struct onnx_tensor inputs[ONNX_PROGRAM_INPUTS], output;
    int64_t full[3];
    random_program(&bench->seed, &program);
    for (uint32_t i = 0; i < 3; i++) {
        full[i] = lengths[test_random_below(&bench->seed, i == 0 ? 4 : 7)];
    }
    for (uint32_t i = 0; i < program.inputs; i++) {
        inputs[i] = random_input(bench, full, 3);
    }
    struct onnx_inference x = {.params = &program,
                               .input_count = program.inputs,
                               .output_count = 1,
                               .inputs = inputs,
                               .outputs = &output};
    assert_int_equal(mmi_onnx_evaluate(&mmi_onnx_op_Fused, &x, &bench->arena, UINT64_MAX,
                                       &bench->services, &bench->err),
                     MM_OK);
    assert_true(output.rank >= program.rank);
    for (uint64_t i = 0; i < output.elements; i += 1 + test_random_below(&bench->seed, 40)) {
        float wanted = naive(&program, inputs, &output, i);
        assert_memory_equal((const float *)output.data + i, &wanted, sizeof(wanted));
    }
}

static void check_all(const struct onnx_program *program, const char *const *shapes) {
    struct bench bench;
    struct onnx_tensor inputs[ONNX_PROGRAM_INPUTS], output;
    bench_init(&bench, seed);
    for (uint32_t i = 0; i < program->inputs; i++) {
        inputs[i] = bench_tensor(&bench, MM_F32, shapes[i]);
    }
    struct onnx_inference x = {.params = program,
                               .input_count = program->inputs,
                               .output_count = 1,
                               .inputs = inputs,
                               .outputs = &output};
    assert_int_equal(mmi_onnx_evaluate(&mmi_onnx_op_Fused, &x, &bench.arena, UINT64_MAX,
                                       &bench.services, &bench.err),
                     MM_OK);
    for (uint64_t i = 0; i < output.elements; i++) {
        assert_true(((const float *)output.data)[i] == naive(program, inputs, &output, i));
    }
    bench_fini(&bench);
}

/* An element that fills a block again, after others were there, and after a shorter stretch of it
 * (where a task begins in the middle of a row). */
static void test_runs(void **state) {
    (void)state;
    const struct onnx_program program = {.inputs = 3,
                                         .count = 5,
                                         .code = {{.function = ONNX_F_Tanh, .a = 0},
                                                  {.function = ONNX_F_Tanh, .a = 3},
                                                  {.function = ONNX_F_Tanh, .a = 4},
                                                  {.function = ONNX_F_Add, .a = 1, .b = 5},
                                                  {.function = ONNX_F_Sub, .a = 6, .b = 2}}};
    check_all(&program, (const char *const[]){"20 2 120 5", "120 1", "2 1 1"});
    check_all(&program, (const char *const[]){"40 2 300", "2 1", ""});
    check_all(&program, (const char *const[]){"40 2 600", "2 1", "600"});
}

static void test_random_programs(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        struct bench bench;
        bench_init(&bench, seed + i);
        check_random(&bench);
        bench_fini(&bench);
    }
}

/* ---- Single things */

static mm_status infer(const struct onnx_program *program, const struct onnx_tensor *inputs,
                       struct onnx_tensor *output, mm_error *err) {
    struct onnx_inference x = {.params = program,
                               .input_count = 2,
                               .output_count = 1,
                               .inputs = inputs,
                               .outputs = output};
    return mmi_onnx_infer(&mmi_onnx_op_Fused, &x, err);
}

/* What an artifact may hold that is no program, and inputs that do not fit. */
static void test_refused(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const struct onnx_program good = {
        .inputs = 2, .count = 1, .code = {{.function = ONNX_F_Add, .a = 0, .b = 1}}};
    struct onnx_tensor inputs[2] = {bench_tensor(&bench, MM_F32, "2 3"),
                                    bench_tensor(&bench, MM_F32, "3")};
    struct onnx_tensor output;
    mm_error *err = &bench.err;
    assert_int_equal(infer(&good, inputs, &output, err), MM_OK);
    struct onnx_program bad[8];
    for (uint32_t i = 0; i < 8; i++) {
        bad[i] = good;
    }
    bad[0].inputs = 3;
    bad[1].count = 0;
    bad[2].count = ONNX_PROGRAM_CODE + 1;
    bad[3].code[0].function = ONNX_FUNCTIONS;
    bad[4].code[0].b = 2;
    bad[5].rank = MM_MAX_RANK + 1;
    bad[6].code[0].operands = ONNX_X_A + 1;
    bad[7].code[0].function = ONNX_F_NONE;
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(infer(&bad[i], inputs, &output, err), MM_INVALID_MODEL);
    }
    inputs[1] = bench_tensor(&bench, MM_F32, "2");
    assert_int_equal(infer(&good, inputs, &output, err), MM_INVALID_MODEL);
    inputs[1] = bench_tensor(&bench, MM_I64, "3");
    assert_int_equal(infer(&good, inputs, &output, err), MM_INVALID_MODEL);
    assert_string_equal(bench.err.text, "its input 1 is i64, f32 wanted");
    bench_fini(&bench);
}

/* The result may lie where an input lies; nothing is done where nobody wants it. */
static void test_in_place(void **state) {
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const struct onnx_program program = {.inputs = 2,
                                         .count = 2,
                                         .code = {{.function = ONNX_F_Mul, .a = 0, .b = 1},
                                                  {.function = ONNX_F_Add, .a = 0, .b = 2}}};
    float data[700], row[700], wanted[700];
    for (uint32_t i = 0; i < 700; i++) {
        data[i] = (float)i;
        row[i] = 0.5F;
        wanted[i] = (float)i * 1.5F;
    }
    struct onnx_tensor tensor;
    assert_int_equal(mmi_onnx_tensor_set(&tensor, MM_F32, 1, (const int64_t[]){700}, NULL), MM_OK);
    const struct onnx_tensor tensors[] = {tensor, tensor};
    const void *in[] = {data, row};
    void *out[] = {NULL};
    struct onnx_call call = {.params = &program,
                             .input_count = 2,
                             .output_count = 1,
                             .inputs = tensors,
                             .outputs = &tensor,
                             .in = in,
                             .out = out,
                             .services = &bench.services};
    assert_int_equal(mmi_onnx_op_Fused.run(&call, &bench.err), MM_OK);
    out[0] = data;
    assert_int_equal(mmi_onnx_op_Fused.run(&call, &bench.err), MM_OK);
    assert_memory_equal(data, wanted, sizeof(wanted));
    bench_fini(&bench);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_programs),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
