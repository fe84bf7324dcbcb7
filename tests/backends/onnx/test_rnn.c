/* SPDX-License-Identifier: Apache-2.0 */

/* RNN, GRU and LSTM. Numbers from ONNX Runtime 1.31.1; random ones against the equations of ONNX,
 * one element at a time. Usage: test_rnn [SEED] */

#include "one_node.h"

#include <backends/onnx/operators/rnn.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;

static int64_t between(int64_t min, int64_t max) {
    return min + (int64_t)test_random_below(&seed, (uint64_t)(max - min + 1));
}

/* ---- Written down */

#define X "f32[3,2,2] -0.3 0.4 0 0.7 0.3 -0.1 0.6 0.2 -0.2 0.5 0.1 -0.3"
/* Eleven weights, from which all begin. */
#define BY_3 "-0.3 0 0.3 0.6 -0.2 0.1 0.4 0.7 -0.1 0.2 0.5 "
#define BY_5 "-0.3 0.2 0.7 0.1 0.6 0 0.5 -0.1 0.4 -0.2 0.3 "
#define BY_2 "-0.3 -0.1 0.1 0.3 0.5 0.7 -0.2 0 0.2 0.4 0.6 "
#define GRU_WEIGHTS "f32[1,6,2] " BY_3 "-0.3 | f32[1,6,2] " BY_5 "-0.3 | f32[1,12] " BY_2 "-0.3 "
#define LSTM_WEIGHTS                                                                               \
    "f32[1,8,2] " BY_3 "-0.3 0 0.3 0.6 -0.2 | f32[1,8,2] " BY_5 "-0.3 0.2 0.7 0.1 0.6 | "          \
    "f32[1,16] " BY_2 "-0.3 -0.1 0.1 0.3 0.5"

static void test_rnn(void **state) {
    (void)state;
    one_expect_near("RNN", "hidden_size=2",
                    X " | f32[1,2,2] -0.3 0 0.3 0.6 | f32[1,2,2] -0.3 0.2 0.7 0.1 | "
                      "f32[1,4] -0.3 -0.1 0.1 0.3",
                    "f32[3,1,2,2] -0.109558523 0.336375594 -0.197375357 0.55112803 -0.18760854 "
                    "0.184798717 -0.207504153 0.39435792 -0.0467236042 0.315961123 -0.0886439085 "
                    "-0.0557591915 | f32[1,2,2] -0.0467236042 0.315961123 -0.0886439085 "
                    "-0.0557591915",
                    1e-6);
    one_expect_near("RNN",
                    "hidden_size=2 activations=[Affine] activation_alpha=[0.5] "
                    "activation_beta=[0.25]",
                    X " | f32[1,2,2] -0.3 0 0.3 0.6 | f32[1,2,2] -0.3 0.2 0.7 0.1",
                    "f32[3,1,2,2] 0.295 0.325 0.25 0.46 0.19325 0.3845 0.1685 0.5105 0.2894625 "
                    "0.4568625 0.260775 0.2595",
                    1e-6);
}

static void test_gru(void **state) {
    (void)state;
    one_expect_near("GRU", "hidden_size=2", X " | " GRU_WEIGHTS,
                    "f32[3,1,2,2] 0.502917886 0.0630206913 0.526261687 0.0789802596 0.719108284 "
                    "0.28414914 0.739652991 0.272542864 0.822853088 0.265406638 0.800115287 "
                    "0.394478977 | f32[1,2,2] 0.822853088 0.265406638 0.800115287 0.394478977",
                    1e-6);
    one_expect_near("GRU", "linear_before_reset=1 direction=reverse",
                    X " | " GRU_WEIGHTS "| - | f32[1,2,2] -0.3 0.1 0.5 -0.2",
                    "f32[3,1,2,2] 0.712252617 0.310324222 0.8019014 0.351313174 0.555255651 "
                    "0.350532293 0.735949337 0.362924218 0.283755898 0.129859269 0.665102959 "
                    "0.208729655 | f32[1,2,2] 0.712252617 0.310324222 0.8019014 0.351313174",
                    1e-6);
}

static void test_lstm(void **state) {
    (void)state;
    one_expect_near("LSTM", "hidden_size=2",
                    X " | " LSTM_WEIGHTS " | i32[2] 3 1 | f32[1,2,2] -0.3 0.1 0.5 -0.2 | "
                      "f32[1,2,2] -0.3 0.3 -0.2 0.4 | f32[1,6] -0.3 0.5 0.2 -0.1 0.7 0.4",
                    "f32[3,1,2,2] -0.0247961059 0.163821787 -0.0105873458 0.314206392 "
                    "0.0396963172 0.285750419 0 0 0.17300947 0.350123703 0 0 | "
                    "f32[1,2,2] 0.17300947 0.350123703 -0.0105873458 0.314206392 | "
                    "f32[1,2,2] 0.251071811 0.759922504 -0.0142302066 0.508552074",
                    1e-6);
    one_expect_near("LSTM", "direction=bidirectional input_forget=1 clip=0.5",
                    X " | f32[2,8,2] " BY_3 BY_3 "-0.3 0 0.3 0.6 -0.2 0.1 0.4 0.7 -0.1 0.2 | "
                      "f32[2,8,2] " BY_5 BY_5 "-0.3 0.2 0.7 0.1 0.6 0 0.5 -0.1 0.4 -0.2",
                    "f32[3,2,2,2] 0.0327156968 -0.0733320266 0.0533614941 -0.0519297905 "
                    "0.0807393417 0.0327785872 0.183356628 0.0324477069 -0.00107594987 "
                    "0.00725321751 0.0349341482 0.0786235556 0.0573049672 0.00504590431 "
                    "0.0817129835 -0.0152682355 0.0407211967 -0.0636407584 0.0112635382 "
                    "0.0680977777 0.0787942931 0.0278124642 -0.0371218286 -0.0180610679",
                    1e-6);
}

/* 1 and 0.5 as f16: tanh(0.5 + 0) in the first step, tanh(0.25 + 0.5 tanh 0.5) in the second. */
static void test_short_floats(void **state) {
    (void)state;
    one_expect("RNN", "", "f16[2,1,1] 15360 14336 | f16[1,1,1] 14336 | f16[1,1,1] 14336",
               "f16[2,1,1,1] 14181 14119");
    one_expect("RNN", "",
               "f16[1,1,1] 15360 | f16[1,1,1] 14336 | f16[1,1,1] 0 | - | - | - | - | - | - | - | -",
               "f16[1,1,1,1] 14181");
}

/* ---- Against the equations */

enum { STEPS, BATCH, INPUT, HIDDEN };

struct trial {
    int64_t gates, size[4], directions;
    bool reverse, batch_first, linear, coupled;
    float clip;
    const double *x, *w, *r, *b, *h, *c, *p; /* NULL: left out, as 0 */
    const int32_t *lengths;
    double *state, *cell, *y; /* of all directions */
};

static double within(double x, double max) {
    return x < -max ? -max : x > max ? max : x;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static int64_t row_of(const struct trial *t, int64_t direction, int64_t item) {
    return t->batch_first ? item * t->directions + direction : direction * t->size[BATCH] + item;
}

/* The input's share, and the state's, in row `row` of the gates, each with its bias. */
static double share_of_input(const struct trial *t, int64_t direction, int64_t item, int64_t step,
                             int64_t row) {
    int64_t rows = t->gates * t->size[HIDDEN], input = t->size[INPUT];
    int64_t at = t->batch_first ? item * t->size[STEPS] + step : step * t->size[BATCH] + item;
    double sum = t->b ? t->b[direction * 2 * rows + row] : 0;
    for (int64_t i = 0; i < input; i++) {
        sum += t->x[at * input + i] * t->w[(direction * rows + row) * input + i];
    }
    return sum;
}

static double share_of_state(const struct trial *t, int64_t direction, const double *state,
                             int64_t row) {
    int64_t rows = t->gates * t->size[HIDDEN], hidden = t->size[HIDDEN];
    double sum = t->b ? t->b[(direction * 2 + 1) * rows + row] : 0;
    for (int64_t i = 0; i < hidden; i++) {
        sum += state[i] * t->r[(direction * rows + row) * hidden + i];
    }
    return sum;
}

static void step_lstm(const struct trial *t, int64_t d, const double *gates, double *state,
                      double *cell) {
    int64_t hidden = t->size[HIDDEN];
    for (int64_t k = 0; k < hidden; k++) {
        const double *p = t->p ? t->p + d * 3 * hidden + k : NULL;
        double max = (double)t->clip, before = cell[k];
        double i = sigmoid(within(gates[k] + (p ? p[0] * before : 0), max));
        double f = sigmoid(within(gates[2 * hidden + k] + (p ? p[2 * hidden] * before : 0), max));
        f = t->coupled ? 1 - i : f;
        cell[k] = f * before + i * tanh(within(gates[3 * hidden + k], max));
        double o = sigmoid(within(gates[hidden + k] + (p ? p[hidden] * cell[k] : 0), max));
        state[k] = o * tanh(cell[k]);
    }
}

static void step_gru(const struct trial *t, int64_t d, const double *input, double *state) {
    int64_t hidden = t->size[HIDDEN];
    double z[16], r[16], reset[16], next[16], max = (double)t->clip;
    for (int64_t k = 0; k < hidden; k++) {
        z[k] = sigmoid(within(input[k] + share_of_state(t, d, state, k), max));
        r[k] = sigmoid(within(input[hidden + k] + share_of_state(t, d, state, hidden + k), max));
        reset[k] = t->linear ? state[k] : r[k] * state[k];
    }
    for (int64_t k = 0; k < hidden; k++) {
        double share = share_of_state(t, d, reset, 2 * hidden + k) * (t->linear ? r[k] : 1);
        next[k] = (1 - z[k]) * tanh(within(input[2 * hidden + k] + share, max)) + z[k] * state[k];
    }
    memcpy(state, next, (size_t)hidden * sizeof(*next));
}

static void step(const struct trial *t, int64_t d, int64_t item, int64_t at) {
    int64_t hidden = t->size[HIDDEN], rows = t->gates * hidden;
    double *state = t->state + row_of(t, d, item) * hidden, gates[64];
    for (int64_t row = 0; row < rows; row++) {
        gates[row] = share_of_input(t, d, item, at, row) +
                     (t->gates == 3 ? 0 : share_of_state(t, d, state, row));
    }
    if (t->gates == 4) {
        step_lstm(t, d, gates, state, t->cell + row_of(t, d, item) * hidden);
    } else if (t->gates == 3) {
        step_gru(t, d, gates, state);
    } else {
        for (int64_t k = 0; k < hidden; k++) {
            state[k] = tanh(within(gates[k], (double)t->clip));
        }
    }
    int64_t row = t->batch_first ? (item * t->size[STEPS] + at) * t->directions + d
                                 : (at * t->directions + d) * t->size[BATCH] + item;
    memcpy(t->y + row * hidden, state, (size_t)hidden * sizeof(*state));
}

static void naive(const struct trial *t) {
    size_t bytes = (size_t)(t->directions * t->size[BATCH] * t->size[HIDDEN]) * sizeof(double);
    if (t->h) {
        memcpy(t->state, t->h, bytes);
    }
    if (t->c) {
        memcpy(t->cell, t->c, bytes);
    }
    for (int64_t d = 0; d < t->directions; d++) {
        for (int64_t item = 0; item < t->size[BATCH]; item++) {
            int64_t steps = t->lengths ? t->lengths[item] : t->size[STEPS];
            for (int64_t i = 0; i < steps; i++) {
                step(t, d, item, t->reverse || d == 1 ? steps - 1 - i : i);
            }
        }
    }
}

/* The next input, in [-1, 1), and as f64; left out: NULL. Recurrent weights are smaller, or sums in
 * another order would not stay together. */
static const double *random_input(struct one_node *one, bool given, uint32_t rank,
                                  const int64_t *shape) {
    float size = one->x.input_count == ONNX_RNN_R ? 0.25f : 1;
    if (!given) {
        one->x.input_count++;
        return NULL;
    }
    const struct onnx_tensor *tensor = one_input(one, MM_F32, rank, shape, NULL);
    double *numbers = mmi_onnx_take(&one->bench.arena, tensor->elements, sizeof(*numbers));
    assert_non_null(numbers);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        float number = (float)between(-1024, 1023) / 1024 * size;
        ((float *)(uintptr_t)tensor->data)[i] = number;
        numbers[i] = (double)number;
    }
    return numbers;
}

static void put_inputs(struct one_node *one, struct trial *t) {
    const int64_t *s = t->size;
    const int64_t rows = t->gates * s[HIDDEN], first = t->batch_first;
    const int64_t x[] = {s[first ? BATCH : STEPS], s[first ? STEPS : BATCH], s[INPUT]};
    const int64_t w[] = {t->directions, rows, s[INPUT]}, r[] = {t->directions, rows, s[HIDDEN]};
    const int64_t b[] = {t->directions, 2 * rows}, p[] = {t->directions, 3 * s[HIDDEN]};
    const int64_t h[] = {first ? s[BATCH] : t->directions, first ? t->directions : s[BATCH],
                         s[HIDDEN]};
    int32_t lengths[8];
    t->x = random_input(one, true, 3, x);
    t->w = random_input(one, true, 3, w);
    t->r = random_input(one, true, 3, r);
    t->b = random_input(one, between(0, 1), 2, b);
    for (int64_t i = 0; i < s[BATCH]; i++) {
        lengths[i] = (int32_t)between(0, s[STEPS]);
    }
    if (between(0, 1)) {
        t->lengths = one_input(one, MM_I32, 1, &s[BATCH], lengths)->data;
    } else {
        one->x.input_count++;
    }
    t->h = random_input(one, between(0, 1), 3, h);
    if (t->gates == 4) {
        t->c = random_input(one, between(0, 1), 3, h);
        t->p = random_input(one, between(0, 1), 2, p);
    }
}

static double *zeros(struct one_node *one, int64_t count) {
    double *numbers = mmi_onnx_take(&one->bench.arena, (uint64_t)count, sizeof(*numbers));
    assert_non_null(numbers);
    return numbers;
}

static void compare(const struct one_node *one, uint32_t output, const double *wanted) {
    for (uint64_t i = 0; i < one->outputs[output].elements; i++) {
        double got = mmi_onnx_float_at(&one->outputs[output], i);
        if (fabs(got - wanted[i]) > 1e-5) {
            fail_msg("%s output %u: element %d is %g, not %g", one->op->name, output, (int)i, got,
                     wanted[i]);
        }
    }
}

static void test_random_layers(void **state) {
    (void)state;
    static const char *const names[] = {"", "RNN", "", "GRU", "LSTM"};
    static const char *const directions[] = {"forward", "reverse", "bidirectional"};
    static const int64_t gates[] = {1, 3, 4};
    for (int round = 0; round < 300; round++) {
        struct one_node one;
        char attributes[160];
        int64_t direction = between(0, 2);
        struct trial t = {.gates = gates[between(0, 2)],
                          .size = {between(0, 90), between(1, 8), between(1, 20), between(1, 16)},
                          .directions = direction == 2 ? 2 : 1,
                          .reverse = direction == 1,
                          .batch_first = between(0, 1),
                          .linear = between(0, 1),
                          .coupled = between(0, 3) == 0,
                          .clip = between(0, 1) ? 0.75f : 1e9f};
        int used = snprintf(attributes, sizeof(attributes), "direction=%s layout=%d clip=%.2f",
                            directions[direction], t.batch_first, (double)t.clip);
        if (t.gates > 1) {
            snprintf(attributes + used, sizeof(attributes) - (size_t)used, " %s=%d",
                     t.gates == 3 ? "linear_before_reset" : "input_forget",
                     t.gates == 3 ? t.linear : t.coupled);
        }
        one_init(&one, names[t.gates], attributes);
        put_inputs(&one, &t);
        int64_t states = t.directions * t.size[BATCH] * t.size[HIDDEN];
        t.state = zeros(&one, states);
        t.cell = zeros(&one, states);
        t.y = zeros(&one, states * t.size[STEPS]);
        naive(&t);
        if (one_run(&one, t.gates == 4 ? 3 : 2) != MM_OK) {
            fail_msg("%s", one.bench.err.text);
        }
        compare(&one, 0, t.y);
        compare(&one, 1, t.state);
        if (t.gates == 4) {
            compare(&one, 2, t.cell);
        }
        one_fini(&one);
    }
}

/* The functions that are not the usual ones, each of 2, 0.5 and -1 in steps that forget the
 * state. */
static void test_functions(void **state) {
    (void)state;
    static const struct {
        const char *attributes;
        double wanted[3];
    } cases[] = {
        {"activations=[Relu]", {2, 0.5, 0}},
        {"activations=[sigmoid]", {0.88079708, 0.62245933, 0.26894142}},
        {"activations=[Affine]", {2, 0.5, -1}},
        {"activations=[Affine] activation_alpha=[3.0] activation_beta=[-1.0]", {5, 0.5, -4}},
        {"activations=[LeakyRelu]", {2, 0.5, -0.01}},
        {"activations=[LeakyRelu] activation_alpha=[0.25]", {2, 0.5, -0.25}},
        {"activations=[ThresholdedRelu]", {2, 0, 0}},
        {"activations=[ThresholdedRelu] activation_alpha=[-2.0]", {2, 0.5, -1}},
        {"activations=[ScaledTanh] activation_alpha=[2.0] activation_beta=[0.5]",
         {1.52318831, 0.48983732, -0.92423431}},
        {"activations=[HardSigmoid]", {0.9, 0.6, 0.3}},
        {"activations=[HardSigmoid] activation_alpha=[0.5] activation_beta=[0.25]", {1, 0.5, 0}},
        {"activations=[Elu] activation_alpha=[2.0]", {2, 0.5, -1.26424112}},
        {"activations=[Softsign]", {0.66666667, 0.33333333, -0.5}},
        {"activations=[Softplus]", {2.12692801, 0.97407698, 0.31326169}},
        {"activations=[Relu] clip=0.75", {0.75, 0.5, 0}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char outputs[80];
        snprintf(outputs, sizeof(outputs), "f32[3,1,1,1] %.8f %.8f %.8f", cases[i].wanted[0],
                 cases[i].wanted[1], cases[i].wanted[2]);
        one_expect_near("RNN", cases[i].attributes,
                        "f32[3,1,1] 2 0.5 -1 | f32[1,1,1] 1 | f32[1,1,1] 0", outputs, 1e-6);
    }
    /* The second direction goes on in the lists where the first one stopped. */
    one_expect_near("RNN",
                    "direction=bidirectional activations=[LeakyRelu,Affine] "
                    "activation_alpha=[0.5,3.0] activation_beta=[1.0]",
                    "f32[1,1,1] -2 | f32[2,1,1] 1 1 | f32[2,1,1] 0 0", "f32[1,2,1,1] -1 -5", 1e-6);
}

/* Silero VAD, with its own sizes: from zeros, all gates are those of the bias. */
static void test_real_shapes(void **state) {
    (void)state;
    struct one_node one;
    one_init(&one, "LSTM", "hidden_size=128");
    const int64_t x[] = {32, 1, 128}, w[] = {1, 512, 128}, b[] = {1, 1024}, h[] = {1, 1, 128};
    memset((void *)(uintptr_t)one_input(&one, MM_F32, 3, x, NULL)->data, 0, 32 * 128 * 4);
    random_input(&one, true, 3, w);
    memset((void *)(uintptr_t)one_input(&one, MM_F32, 3, w, NULL)->data, 0, 512 * 128 * 4);
    const double *bias = random_input(&one, true, 2, b);
    one.x.input_count++;
    random_input(&one, false, 3, h);
    const double *c = random_input(&one, true, 3, h);
    assert_int_equal(one_run(&one, 3), MM_OK);
    const int64_t y[] = {32, 1, 1, 128};
    assert_memory_equal(one.outputs[0].shape, y, sizeof(y));
    assert_memory_equal(one.outputs[1].shape, h, sizeof(h));
    assert_memory_equal(one.outputs[2].shape, h, sizeof(h));
    for (uint64_t k = 0; k < 128; k++) {
        double gates[4], cell = c[k];
        for (uint64_t g = 0; g < 4; g++) {
            gates[g] = bias[g * 128 + k] + bias[512 + g * 128 + k];
        }
        for (uint64_t t = 0; t < 32; t++) {
            cell = sigmoid(gates[2]) * cell + sigmoid(gates[0]) * tanh(gates[3]);
            double got = mmi_onnx_float_at(&one.outputs[0], t * 128 + k);
            assert_true(fabs(got - sigmoid(gates[1]) * tanh(cell)) < 1e-5);
        }
        assert_true(fabs(mmi_onnx_float_at(&one.outputs[2], k) - cell) < 1e-4);
    }
    one_fini(&one);
}

/* ---- Outputs left out, bad input */

static void test_outputs_left_out(void **state) {
    (void)state;
    for (uint32_t wanted = 0; wanted < 8; wanted++) {
        struct one_node one;
        const void *in[3];
        void *out[3];
        one_init(&one, "LSTM", "");
        random_input(&one, true, 3, (const int64_t[]){2, 1, 3});
        random_input(&one, true, 3, (const int64_t[]){1, 8, 3});
        random_input(&one, true, 3, (const int64_t[]){1, 8, 2});
        assert_int_equal(one_run(&one, 3), MM_OK); /* infers, too */
        float made[3][4] = {{0}};
        for (uint32_t i = 0; i < 3; i++) {
            in[i] = one.inputs[i].data;
            out[i] = wanted >> i & 1 ? made[i] : NULL;
        }
        const struct onnx_call call = {
            .params = one.node.params,
            .input_count = 3,
            .output_count = 3,
            .inputs = one.inputs,
            .outputs = one.outputs,
            .in = in,
            .out = out,
            .scratch = mmi_onnx_take_data(&one.bench.arena, one.x.scratch_bytes),
            .services = &one.bench.services};
        assert_int_equal(one.op->run(&call, &one.bench.err), MM_OK);
        for (uint32_t i = 0; i < 3; i++) {
            const float zero[4] = {0};
            assert_memory_equal(made[i], out[i] ? one.outputs[i].data : zero, one.outputs[i].bytes);
        }
        one_fini(&one);
    }
    one_expect("LSTM", "", "f32[2,0,3] | f32[1,8,3] .. | f32[1,8,2] ..",
               "f32[2,1,0,2] | f32[1,0,2] | f32[1,0,2]");
}

static void test_refusals(void **state) {
    (void)state;
    const char *good = "f32[1,1,1] 1 | f32[1,4,1] .. | f32[1,4,1] ..";
    one_refuse("LSTM", "activations=[Sigmoid,Tanh]", good, MM_INVALID_MODEL,
               "attribute activations has 2 names, 3 wanted");
    one_refuse("LSTM", "activations=[Sigmoid,Tanh,Gelu]", good, MM_UNSUPPORTED,
               "activation 'Gelu'");
    one_refuse("LSTM", "activations=[1,2,3]", good, MM_INVALID_MODEL,
               "attribute activations has type 7, 8 wanted");
    one_refuse("LSTM", "activation_alpha=1.5", good, MM_INVALID_MODEL,
               "attribute activation_alpha has type 1, 6 wanted");
    one_refuse("LSTM", "clip=-1.0", good, MM_INVALID_MODEL, "attribute clip is -1, 0 or more");
    one_refuse("LSTM", "direction=sideways", good, MM_UNSUPPORTED, "direction is 'sideways'");
    one_refuse("LSTM", "hidden_size=2", good, MM_INVALID_MODEL,
               "attribute hidden_size is 2, its weights have 1");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | f32[1,3,1] .. | f32[1,4,1] ..", MM_INVALID_MODEL,
               "axis 1 of its W has 3 elements, 4 wanted");
    one_refuse("LSTM", "direction=bidirectional", good, MM_INVALID_MODEL,
               "axis 0 of its W has 1 elements, 2 wanted");
    one_refuse("LSTM", "", "f32[1,1] 1 | f32[1,4,1] .. | f32[1,4,1] ..", MM_INVALID_MODEL,
               "its X has 2 axes, 3 wanted");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | f32[4,1] .. | f32[1,4,1] ..", MM_INVALID_MODEL,
               "its W has 2 axes, 3 wanted");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | f32[1,4,1] .. | f32[1,4,1] .. | f32[1,4] ..",
               MM_INVALID_MODEL, "axis 1 of its B has 4 elements, 8 wanted");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | f32[1,4,1] .. | f32[1,4,1] .. | - | i64[1] 1",
               MM_UNSUPPORTED, "its input 4 is i64, one of i32 wanted");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | f32[1,4,1] .. | f32[1,4,1] .. | - | i32[1] 2",
               MM_INVALID_ARGUMENT, "sequence_lens[0] is 2, 0 to 1 wanted");
    one_refuse("GRU", "", "f32[1,1,1] 1 | f32[1,3,1] .. | f32[1,3,1] .. | - | i32[1] -1",
               MM_INVALID_ARGUMENT, "sequence_lens[0] is -1, 0 to 1 wanted");
    one_refuse("LSTM", "", "i32[1,1,1] 1 | i32[1,4,1] .. | i32[1,4,1] ..", MM_UNSUPPORTED,
               "its input 0 is i32");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | f64[1,4,1] .. | f32[1,4,1] ..", MM_INVALID_MODEL,
               "its input 1 is f64, its input 0 f32");
    one_refuse("LSTM", "", "f32[1,1,1] 1 | - | f32[1,4,1] ..", MM_INVALID_MODEL,
               "its W has 0 axes, 3 wanted");
    one_refuse("RNN", "", "f32[1,1,1] 1 | f32[1,1,1] ..", MM_INVALID_MODEL,
               "2 inputs, 3 to 6 wanted");
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct one_node one;
    one_init(&one, "GRU", "");
    one_input(&one, MM_BF16, 3, (const int64_t[]){4, 2, 30}, NULL);
    one_input(&one, MM_BF16, 3, (const int64_t[]){1, 60, 30}, NULL);
    one_input(&one, MM_BF16, 3, (const int64_t[]){1, 60, 20}, NULL);
    one_run_out_of_memory(&one, 2);
    one_fini(&one);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rnn),           cmocka_unit_test(test_gru),
        cmocka_unit_test(test_lstm),          cmocka_unit_test(test_short_floats),
        cmocka_unit_test(test_random_layers), cmocka_unit_test(test_functions),
        cmocka_unit_test(test_real_shapes),   cmocka_unit_test(test_outputs_left_out),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
