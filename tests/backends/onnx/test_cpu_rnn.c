/* SPDX-License-Identifier: Apache-2.0 */
/* The fast kernel of LSTM against the plain one. */
#include "cpu_compare.h"

#include <backends/onnx/operators/rnn.h>

#include <math.h>

static uint64_t seed;

static struct onnx_rnn usual(int32_t direction) {
    struct onnx_rnn rnn = {.direction = direction, .clip = INFINITY};
    for (uint32_t i = 0; i < 6; i++) {
        rnn.functions[i / 3][i % 3].kind = i % 3 == 0 ? ONNX_RNN_SIGMOID : ONNX_RNN_TANH;
    }
    return rnn;
}

struct sizes {
    int64_t steps, batch, input, hidden;
};

static void add_inputs(struct comparison *c, const struct onnx_rnn *rnn, const struct sizes *s) {
    int64_t directions = rnn->direction == ONNX_RNN_BIDIRECTIONAL ? 2 : 1;
    compare_start(c, &mmi_onnx_op_LSTM, rnn);
    c->output_count = 3;
    c->tolerance = 2e-6;
    COMPARE_INPUT(c, s->steps, s->batch, s->input);
    COMPARE_INPUT(c, directions, 4 * s->hidden, s->input);
    COMPARE_INPUT(c, directions, 4 * s->hidden, s->hidden);
}

static void lstm_of_random_shapes(void **state) {
    (void)state;
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 150; i++) {
        struct onnx_rnn rnn = usual((int32_t)compare_below(&c, 3));
        struct sizes s = {1 + compare_below(&c, i % 9 == 0 ? 150 : 5), 1 + compare_below(&c, 3),
                          1 + compare_below(&c, 20), 1 + compare_below(&c, 20)};
        int64_t directions = rnn.direction == ONNX_RNN_BIDIRECTIONAL ? 2 : 1;
        add_inputs(&c, &rnn, &s);
        if (compare_below(&c, 3) > 0) {
            COMPARE_INPUT(&c, directions, 8 * s.hidden);
        } else {
            compare_no_input(&c);
        }
        compare_no_input(&c);
        if (compare_below(&c, 3) > 0) {
            COMPARE_INPUT(&c, directions, s.batch, s.hidden);
            COMPARE_INPUT(&c, directions, s.batch, s.hidden);
        }
        c.output_count = 1 + (uint32_t)compare_below(&c, 3);
        assert_true(compare_run(&c));
    }
    compare_fini(&c);
}

static void lstm_on_several_threads(void **state) {
    (void)state;
    struct onnx_rnn rnn = usual(ONNX_RNN_FORWARD);
    struct sizes s = {3, 4, 400, 500};
    struct comparison c;
    compare_init(&c, seed);
    add_inputs(&c, &rnn, &s);
    c.tolerance = 5e-5; /* gates are sums of 900 products */
    assert_true(compare_run(&c));
    assert_int_equal(c.shared, 2 * 4); /* kernels; the W product and three R products */
    compare_fini(&c);
}

/* Everything unusual is left to the plain kernel. */
static void left_to_the_plain_kernel(void **state) {
    (void)state;
    struct sizes s = {2, 1, 3, 4};
    struct comparison c;
    compare_init(&c, seed);
    for (uint32_t i = 0; i < 4; i++) {
        struct onnx_rnn rnn = usual(ONNX_RNN_FORWARD);
        rnn.clip = i == 0 ? 1 : INFINITY;
        rnn.coupled = i == 1;
        rnn.functions[0][2].kind = i == 2 ? ONNX_RNN_RELU : ONNX_RNN_TANH;
        add_inputs(&c, &rnn, &s);
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
        cmocka_unit_test(lstm_of_random_shapes),
        cmocka_unit_test(lstm_on_several_threads),
        cmocka_unit_test(left_to_the_plain_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
