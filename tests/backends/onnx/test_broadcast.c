/* SPDX-License-Identifier: Apache-2.0 */

/* Random shapes that broadcast, against an index that is computed for each element. */

#include "graph_runner.h"

#include <backends/onnx/operators/broadcast.h>
#include <backends/onnx/operators/number.h>

#include <string.h>

static uint64_t seed;

static uint64_t below(uint64_t limit) {
    return test_random_below(&seed, limit);
}

/* Axes: short ones, ones that are longer than a stretch is worth, rarely one without elements. */
static int64_t random_count(void) {
    static const int64_t counts[] = {1, 1, 2, 2, 3, 4, 5, 7, 64, 130, 600};
    return below(60) == 0 ? 0 : counts[below(sizeof(counts) / sizeof(counts[0]))];
}

static struct onnx_tensor random_shape(void) {
    struct onnx_tensor tensor;
    do {
        int64_t shape[MM_MAX_RANK];
        uint32_t rank = (uint32_t)below(6);
        for (uint32_t i = 0; i < rank; i++) {
            shape[i] = random_count();
        }
        assert_int_equal(mmi_onnx_tensor_set(&tensor, MM_F32, rank, shape, NULL), MM_OK);
    } while (tensor.elements > 30000);
    return tensor;
}

/* One that broadcasts to `output`: fewer axes, some of them 1. */
static struct onnx_tensor random_input(const struct onnx_tensor *output, int32_t dtype) {
    struct onnx_tensor tensor;
    int64_t shape[MM_MAX_RANK];
    uint32_t less = below(3) == 0 ? (uint32_t)below(output->rank + 1) : 0;
    uint64_t ones = below(3);
    for (uint32_t i = less; i < output->rank; i++) {
        shape[i - less] = below(4) < ones ? 1 : output->shape[i];
    }
    assert_int_equal(mmi_onnx_tensor_set(&tensor, dtype, output->rank - less, shape, NULL), MM_OK);
    return tensor;
}

/* Which element of the input element i of the output is. */
static uint64_t naive_index(const struct onnx_tensor *output, const struct onnx_tensor *input,
                            uint64_t i) {
    uint64_t index = 0, step = 1;
    for (uint32_t axis = 0; axis < input->rank; axis++) {
        uint64_t of_output = (uint64_t)output->shape[output->rank - 1 - axis];
        uint64_t of_input = (uint64_t)input->shape[input->rank - 1 - axis];
        index += (of_input == 1 ? 0 : i % of_output) * step;
        step *= of_input;
        i /= of_output;
    }
    return index;
}

/* ---- Stretches ------------------------------------------------------------------------------- */

static void check_stretch(const struct onnx_operand *operand, const struct onnx_tensor *output,
                          const struct onnx_tensor *input, uint64_t first, uint64_t count) {
    uint64_t buffer[ONNX_STRETCH];
    uint32_t width = mmi_onnx_element_bytes(input->dtype);
    struct onnx_stretch stretch = mmi_onnx_operand_at(operand, first, count, buffer);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *wanted = input->data;
        wanted += naive_index(output, input, first + i) * width;
        assert_memory_equal((const uint8_t *)stretch.data + i * stretch.step * width, wanted,
                            width);
    }
}

static void test_stretches(void **state) {
    static const int32_t dtypes[] = {MM_U8, MM_I16, MM_F32, MM_F64};
    struct bench bench;
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        bench_init(&bench, seed);
        struct onnx_tensor output = random_shape();
        struct onnx_tensor inputs[2];
        struct onnx_operand operands[2];
        for (uint32_t i = 0; i < 2; i++) {
            inputs[i] = random_input(&output, dtypes[below(4)]);
            uint8_t *data = mmi_onnx_take_data(&bench.arena, inputs[i].bytes);
            for (uint64_t j = 0; j < inputs[i].bytes; j++) {
                data[j] = (uint8_t)test_random(&seed);
            }
            inputs[i].data = data;
            mmi_onnx_operand_set(&operands[i], &output, &inputs[i], data);
        }
        for (uint64_t at = 0, count; at < output.elements; at += count) {
            count = mmi_onnx_stretch_count(operands, 2, output.elements, at);
            assert_true(count > 0 && count <= output.elements - at);
            check_stretch(&operands[0], &output, &inputs[0], at, count);
            check_stretch(&operands[1], &output, &inputs[1], at, count);
        }
        for (uint32_t i = 0; i < 8 && output.elements > 0; i++) { /* anywhere */
            uint64_t at = below(output.elements), max = output.elements - at;
            check_stretch(&operands[0], &output, &inputs[0], at,
                          1 + below(max < ONNX_STRETCH ? max : ONNX_STRETCH));
        }
        bench_fini(&bench);
    }
}

/* ---- Operators ------------------------------------------------------------------------------- */

static double subtract(double a, double b) {
    return a - b;
}

static double less(double a, double b) {
    return a < b;
}

static double greater_of(double a, double b) {
    return a > b ? a : b;
}

static const struct rule {
    const char *type;
    int32_t dtype;
    double (*of)(double a, double b);
} rules[] = {
    {"Sub", MM_F32, subtract},   {"Sub", MM_F64, subtract},    {"Sub", MM_I64, subtract},
    {"Sub", MM_I16, subtract},   {"Sub", MM_F16, subtract},    {"Less", MM_F32, less},
    {"Less", MM_I8, less},       {"Less", MM_U64, less},       {"Max", MM_F32, greater_of},
    {"Max", MM_I32, greater_of}, {"Max", MM_BF16, greater_of},
};

/* Whole numbers in [0, 8): every type holds them and their differences. */
static void fill(struct bench *bench, struct onnx_tensor *tensor) {
    void *data = mmi_onnx_take_data(&bench->arena, tensor->bytes);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        int64_t number = (int64_t)below(8);
        mmi_onnx_convert(MM_I64, &number, 1, tensor->dtype,
                         (uint8_t *)data + i * mmi_onnx_element_bytes(tensor->dtype));
    }
    tensor->data = data;
    tensor->known = 1;
}

static void check_result(const struct rule *rule, const struct onnx_inference *x,
                         const void *data) {
    struct onnx_tensor output = x->outputs[0];
    output.data = data;
    for (uint64_t i = 0; i < output.elements; i++) {
        double a = mmi_onnx_float_at(&x->inputs[0], naive_index(&output, &x->inputs[0], i));
        double b = mmi_onnx_float_at(&x->inputs[1], naive_index(&output, &x->inputs[1], i));
        assert_true(mmi_onnx_float_at(&output, i) == rule->of(a, b));
    }
}

/* Again, with the results where input i lies, if it fits there. */
static void check_in_place(struct bench *bench, const struct rule *rule,
                           const struct onnx_inference *x, uint32_t i) {
    const struct onnx_operator *op = mmi_onnx_find_operator("", rule->type);
    const struct onnx_tensor *input = &x->inputs[i], *output = &x->outputs[0];
    const void *in[] = {x->inputs[0].data, x->inputs[1].data};
    if (input->bytes != output->bytes || input->elements != output->elements ||
        output->bytes == 0) {
        return;
    }
    void *place = mmi_onnx_take_data(&bench->arena, output->bytes);
    memcpy(place, in[i], output->bytes);
    in[i] = place;
    struct onnx_call call = {.params = x->params,
                             .input_count = 2,
                             .output_count = 1,
                             .inputs = x->inputs,
                             .outputs = x->outputs,
                             .in = in,
                             .out = &place,
                             .scratch = mmi_onnx_take_data(&bench->arena, x->scratch_bytes),
                             .services = &bench->services};
    assert_int_equal(op->run(&call, &bench->err), MM_OK);
    check_result(rule, x, place);
}

static void test_operators(void **state) {
    struct bench bench;
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        const struct rule *rule = &rules[below(sizeof(rules) / sizeof(rules[0]))];
        const struct onnx_operator *op = mmi_onnx_find_operator("", rule->type);
        bench_init(&bench, seed);
        struct onnx_tensor shape = random_shape(), output, inputs[2];
        for (uint32_t i = 0; i < 2; i++) {
            inputs[i] = random_input(&shape, rule->dtype);
            fill(&bench, &inputs[i]);
        }
        struct onnx_inference x = {
            .input_count = 2, .output_count = 1, .inputs = inputs, .outputs = &output};
        assert_int_equal(
            mmi_onnx_evaluate(op, &x, &bench.arena, UINT64_C(1) << 30, &bench.services, &bench.err),
            MM_OK);
        check_result(rule, &x, output.data);
        check_in_place(&bench, rule, &x, 0);
        check_in_place(&bench, rule, &x, 1);
        bench_fini(&bench);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stretches),
        cmocka_unit_test(test_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
