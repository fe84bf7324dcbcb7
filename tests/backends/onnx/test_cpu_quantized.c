/* SPDX-License-Identifier: Apache-2.0 */
/* The fast products of quantised matrices against the plain ones: the same to the last bit. */
#include "cpu_compare.h"

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/ms_heads.h>
#include <backends/onnx/operators/rnn.h>

#include <math.h>

static uint64_t seed;

static int32_t some_bytes(struct comparison *c) {
    return compare_below(c, 2) == 0 ? MM_U8 : MM_I8;
}

static void scale(struct comparison *c, uint32_t rank, int64_t count, float most) {
    compare_input(c, rank, &count, most / 50, most);
}

static void one_byte(struct comparison *c, int32_t dtype) {
    compare_byte_input(c, dtype, 0, NULL);
}

/* Scale and zero point of the matrix or image before, of the result. */
static void scaled_by(struct comparison *c, int32_t dtype, float most) {
    scale(c, 0, 1, most);
    one_byte(c, dtype);
}

/* Of weights: one, or one for each of `count`. */
static void weights_scaled_by(struct comparison *c, int32_t dtype, int64_t count) {
    uint32_t rank = (uint32_t)compare_below(c, 2);
    scale(c, rank, count, 0.02f);
    compare_byte_input(c, dtype, rank, &count);
}

static int64_t some_depth(struct comparison *c) {
    static const int64_t depths[] = {0, 1, 2, 3, 7, 16, 63, 64, 65, 130, 700, 2500};
    return depths[compare_below(c, sizeof(depths) / sizeof(depths[0]))];
}

static void products_of_matrices(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 150; i++) {
        int64_t batch = 1 + compare_below(&c, 3), rows = compare_below(&c, 140);
        int64_t depth = some_depth(&c), columns = compare_below(&c, i % 7 == 0 ? 600 : 50);
        int32_t a = some_bytes(&c), b = some_bytes(&c), y = some_bytes(&c);
        bool stacked = compare_below(&c, 2) == 0;
        const int64_t shape[] = {batch, depth, columns};
        compare_start(&c, &mmi_onnx_op_QLinearMatMul, NULL);
        COMPARE_BYTES(&c, a, batch, rows, depth);
        scaled_by(&c, a, 0.02f);
        compare_byte_input(&c, b, 2 + stacked, shape + !stacked);
        weights_scaled_by(&c, b, columns);
        scaled_by(&c, y, 0.5f);
        assert_true(compare_run(&c));
        compare_start(&c, &mmi_onnx_op_MatMulInteger, NULL);
        COMPARE_BYTES(&c, a, batch, rows, depth);
        compare_byte_input(&c, b, 2 + stacked, shape + !stacked);
        one_byte(&c, a);
        one_byte(&c, b);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void gemm(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 60; i++) {
        const struct onnx_gemm params = {.alpha = 0.5f,
                                         .beta = 1,
                                         .trans_a = compare_below(&c, 2) == 0,
                                         .trans_b = compare_below(&c, 2) == 0};
        int64_t rows = 1 + compare_below(&c, 70), depth = some_depth(&c);
        int64_t columns = 1 + compare_below(&c, 70);
        int32_t a = some_bytes(&c), b = some_bytes(&c);
        compare_start(&c, &mmi_onnx_op_MsQGemm, &params);
        c.tolerance = 0;
        COMPARE_BYTES(&c, a, params.trans_a ? depth : rows, params.trans_a ? rows : depth);
        scaled_by(&c, a, 0.02f);
        COMPARE_BYTES(&c, b, params.trans_b ? columns : depth, params.trans_b ? depth : columns);
        weights_scaled_by(&c, b, columns);
        compare_no_input(&c);
        if (i % 2) {
            scaled_by(&c, a, 0.5f);
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static struct onnx_conv some_conv(struct comparison *c, int64_t group) {
    struct onnx_conv params = {.group = group, .window.axes = 2};
    for (uint32_t i = 0; i < 2; i++) {
        params.window.strides[i] = 1 + compare_below(c, 2);
        params.window.dilations[i] = 1 + compare_below(c, 2);
        params.window.begin[i] = compare_below(c, 3);
        params.window.end[i] = compare_below(c, 3);
    }
    return params;
}

static void convolutions(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 120; i++) {
        bool depthwise = i % 3 == 0;
        int64_t group = depthwise ? 1 + compare_below(&c, 20) : 1 + compare_below(&c, 3);
        int64_t seen = depthwise ? 1 : 1 + compare_below(&c, 30);
        int64_t made = depthwise ? 1 : 1 + compare_below(&c, i % 5 == 0 ? 150 : 20);
        int64_t kernel = 1 + 2 * compare_below(&c, 3), length = 9 + compare_below(&c, 20);
        int32_t a = some_bytes(&c), w = some_bytes(&c);
        const struct onnx_conv params = some_conv(&c, group);
        compare_start(&c, &mmi_onnx_op_QLinearConv, &params);
        COMPARE_BYTES(&c, a, 1 + compare_below(&c, 2), group * seen, length, 30);
        scaled_by(&c, a, 0.02f);
        COMPARE_BYTES(&c, w, group * made, seen, kernel, kernel);
        weights_scaled_by(&c, w, group * made);
        scaled_by(&c, some_bytes(&c), 0.5f);
        if (i % 2) {
            int32_t bias[20 * 150];
            for (int64_t k = 0; k < group * made; k++) {
                bias[k] = (int32_t)compare_below(&c, 20000) - 10000;
            }
            compare_known_input(&c, MM_I32, bias, group * made);
        }
        assert_true(compare_run(&c));
        compare_start(&c, &mmi_onnx_op_ConvInteger, &params);
        COMPARE_BYTES(&c, a, 1, group * seen, length, 30);
        COMPARE_BYTES(&c, w, group * made, seen, kernel, kernel);
        one_byte(&c, a);
        assert_true(compare_run(&c));
    }
    assert_true(c.shared > 0);
    compare_fini(&c);
}

/* Products whose result is f32: the same sums, scaled in the same way. */
static void products_to_float(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 100; i++) {
        int64_t batch = 1 + compare_below(&c, 3), rows = compare_below(&c, 140);
        int64_t depth = some_depth(&c), columns = compare_below(&c, i % 7 == 0 ? 600 : 50);
        int32_t a = some_bytes(&c), b = some_bytes(&c);
        bool stacked = compare_below(&c, 2) == 0;
        const int64_t shape[] = {batch, depth, columns};
        compare_start(&c, &mmi_onnx_op_MsMatMulIntegerToFloat, NULL);
        c.tolerance = 0;
        COMPARE_BYTES(&c, a, batch, rows, depth);
        compare_byte_input(&c, b, 2 + stacked, shape + !stacked);
        scale(&c, 0, 1, 0.02f);
        scale(&c, (uint32_t)compare_below(&c, 2), columns, 0.02f);
        one_byte(&c, a);
        compare_byte_input(&c, b, 1, &columns);
        compare_input(&c, 1, &columns, -1, 1);
        assert_true(compare_run(&c));
        compare_start(&c, &mmi_onnx_op_MsDynamicQuantizeMatMul, NULL);
        c.tolerance = 0;
        COMPARE_INPUT(&c, batch, rows, depth);
        compare_byte_input(&c, b, 2 + stacked, shape + !stacked);
        weights_scaled_by(&c, b, columns);
        assert_true(compare_run(&c));
    }
    assert_true(c.shared > 0);
    compare_fini(&c);
}

static void attention(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 30; i++) {
        const struct onnx_ms_params params = {.heads = 1 + compare_below(&c, 3)};
        int64_t batch = 1 + compare_below(&c, 2), rows = 1 + compare_below(&c, 40);
        int64_t depth = 1 + compare_below(&c, 90), size = 1 + compare_below(&c, 20);
        int64_t columns = 3 * params.heads * size;
        int32_t a = some_bytes(&c), b = some_bytes(&c);
        compare_start(&c, &mmi_onnx_op_MsQAttention, &params);
        c.tolerance = 0;
        COMPARE_BYTES(&c, a, batch, rows, depth);
        COMPARE_BYTES(&c, b, depth, columns);
        COMPARE_INPUT(&c, columns);
        scale(&c, 0, 1, 0.02f);
        scale(&c, (uint32_t)compare_below(&c, 2), columns, 0.02f);
        compare_no_input(&c);
        one_byte(&c, a);
        one_byte(&c, b);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void lstm(void **state) {
    const struct onnx_rnn_function sigmoid = {.kind = ONNX_RNN_SIGMOID};
    const struct onnx_rnn_function hyperbolic = {.kind = ONNX_RNN_TANH};
    struct comparison c;
    (void)state;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 30; i++) {
        struct onnx_rnn params = {.direction = (int32_t)compare_below(&c, 3), .clip = INFINITY};
        int64_t ways = params.direction == ONNX_RNN_BIDIRECTIONAL ? 2 : 1;
        int64_t steps = 1 + compare_below(&c, 5), batch = 1 + compare_below(&c, 70);
        int64_t input = 1 + compare_below(&c, 70), hidden = 1 + compare_below(&c, 40);
        int32_t dtype = some_bytes(&c);
        for (uint32_t way = 0; way < 2; way++) {
            params.functions[way][0] = sigmoid;
            params.functions[way][1] = params.functions[way][2] = hyperbolic;
        }
        compare_start(&c, &mmi_onnx_op_MsDynamicQuantizeLSTM, &params);
        c.tolerance = 0;
        COMPARE_INPUT(&c, steps, batch, input);
        COMPARE_BYTES(&c, dtype, ways, input, 4 * hidden);
        COMPARE_BYTES(&c, dtype, ways, hidden, 4 * hidden);
        for (uint32_t j = ONNX_RNN_B; j <= ONNX_RNN_P; j++) {
            compare_no_input(&c);
        }
        for (uint32_t j = 0; j < 2; j++) {
            scale(&c, 1, ways, 0.01f);
            compare_byte_input(&c, dtype, 1, &ways);
        }
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_matrices),
        cmocka_unit_test(gemm),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(products_to_float),
        cmocka_unit_test(attention),
        cmocka_unit_test(lstm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
