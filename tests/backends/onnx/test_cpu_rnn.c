/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernels of RNN, GRU and LSTM against the plain ones. */
#include "cpu_compare.h"

#include <backends/onnx/operators/rnn.h>

#include <math.h>

static uint64_t seed;

struct layer {
    const struct onnx_operator *op;
    int64_t gates;
    int32_t functions[3];
};

static const struct layer layers[] = {
    {&mmi_onnx_op_RNN, 1, {ONNX_RNN_TANH}},
    {&mmi_onnx_op_GRU, 3, {ONNX_RNN_SIGMOID, ONNX_RNN_TANH}},
    {&mmi_onnx_op_LSTM, 4, {ONNX_RNN_SIGMOID, ONNX_RNN_TANH, ONNX_RNN_TANH}},
};
#define LAYERS (sizeof(layers) / sizeof(layers[0]))

static struct onnx_rnn usual(const struct layer *layer, int32_t direction) {
    struct onnx_rnn rnn = {.direction = direction, .clip = INFINITY};
    for (uint32_t i = 0; i < 6; i++) {
        rnn.functions[i / 3][i % 3].kind = layer->functions[i % 3];
    }
    return rnn;
}

static int64_t directions_of(const struct onnx_rnn *rnn) {
    return rnn->direction == ONNX_RNN_BIDIRECTIONAL ? 2 : 1;
}

struct sizes {
    int64_t steps, batch, input, hidden;
};

static void add_inputs(struct comparison *c, const struct layer *layer, const struct onnx_rnn *rnn,
                       const struct sizes *s) {
    int64_t rows = layer->gates * s->hidden;
    compare_start(c, layer->op, rnn);
    c->output_count = layer->op->max_outputs;
    /* With fewer gates differences grow more from step to step. */
    c->tolerance = layer->gates == 4 ? 5e-6 : 2e-5;
    COMPARE_INPUT(c, s->steps, s->batch, s->input);
    COMPARE_INPUT(c, directions_of(rnn), rows, s->input);
    COMPARE_INPUT(c, directions_of(rnn), rows, s->hidden);
}

static void random_trial(struct comparison *c, const struct layer *layer, bool long_one) {
    struct onnx_rnn rnn = usual(layer, (int32_t)compare_below(c, 3));
    struct sizes s = {1 + compare_below(c, long_one ? 150 : 5), 1 + compare_below(c, 3),
                      1 + compare_below(c, 20), 1 + compare_below(c, 20)};
    bool is_lstm = layer->op == &mmi_onnx_op_LSTM;
    rnn.linear_first = layer->op == &mmi_onnx_op_GRU && compare_below(c, 2);
    add_inputs(c, layer, &rnn, &s);
    if (compare_below(c, 3) > 0) {
        COMPARE_INPUT(c, directions_of(&rnn), 2 * layer->gates * s.hidden);
    } else {
        compare_no_input(c);
    }
    compare_no_input(c);
    for (int i = 0; compare_below(c, 3) > 0 && i < (is_lstm ? 2 : 1); i++) {
        COMPARE_INPUT(c, directions_of(&rnn), s.batch, s.hidden);
    }
    c->output_count = 1 + (uint32_t)compare_below(c, layer->op->max_outputs);
    assert_true(compare_run(c));
}

static void random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 150 * LAYERS; i++) {
        random_trial(&c, &layers[i % LAYERS], i % LAYERS > 0 && i / LAYERS % 9 == 0);
    }
    compare_fini(&c);
}

/* Kernels; the W product, and in each of three steps those of R. */
static void several_threads(void **state) {
    (void)state;
    static const uint64_t products[LAYERS] = {1 + 3, 1 + 3 * 2, 1 + 3};
    static const int64_t hidden[LAYERS] = {2000, 1000, 500};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < LAYERS; i++) {
        struct sizes s = {3, 4, 400, hidden[i]};
        struct onnx_rnn rnn = usual(&layers[i], ONNX_RNN_FORWARD);
        uint64_t before = c.shared, kernels = c.kernels;
        add_inputs(&c, &layers[i], &rnn, &s);
        c.tolerance = 1e-7 * (double)(400 + hidden[i]); /* gates are sums of so many products */
        assert_true(compare_run(&c));
        /* half of the kernels ran on several threads */
        assert_int_equal(c.shared - before, (c.kernels - kernels) / 2 * products[i]);
    }
    compare_fini(&c);
}

/* Everything unusual is left to the plain kernel. */
static void left_to_the_plain_kernel(void **state) {
    (void)state;
    struct sizes s = {2, 1, 3, 4};
    struct comparison c;
    compare_init(&c, seed);
    const struct layer *lstm = &layers[2];
    for (uint32_t i = 0; i < 4; i++) {
        struct onnx_rnn rnn = usual(lstm, ONNX_RNN_FORWARD);
        rnn.clip = i == 0 ? 1 : INFINITY;
        rnn.coupled = i == 1;
        rnn.functions[0][2].kind = i == 2 ? ONNX_RNN_RELU : ONNX_RNN_TANH;
        add_inputs(&c, lstm, &rnn, &s);
        for (uint32_t k = 0; i == 3 && k < 4; k++) {
            compare_no_input(&c);
        }
        if (i == 3) {
            COMPARE_INPUT(&c, 1, 3 * s.hidden);
        }
        assert_false(compare_run(&c));
    }
    compare_fini(&c);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_shapes),
        cmocka_unit_test(several_threads),
        cmocka_unit_test(left_to_the_plain_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
