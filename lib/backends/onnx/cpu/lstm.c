/* SPDX-License-Identifier: Apache-2.0 */
/* LSTM with its usual functions, all sequences of the same length. The weights are used as they
 * are, a row for each gate: the input's share of several steps at once, then step by step the
 * state's. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/multiply.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/rnn.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

/* Rows of gates that are computed at once. */
#define CHUNK 64

struct lstm {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    struct onnx_rnn_sizes size;
    uint64_t rows, chunk; /* gates of one item; steps */
    float *bias;          /* [rows] */
    float *gates;         /* [chunk][batch][rows] */
    float *hidden, *cell; /* [batch][hidden] */
};

/* Everything but what lies where; returns the floats of scratch, UINT64_MAX on overflow. */
static uint64_t measure(struct lstm *l, const struct onnx_rnn *rnn,
                        const struct onnx_tensor *inputs) {
    l->size = mmi_onnx_rnn_sizes(rnn, 4, inputs);
    l->rows = 4 * l->size.hidden;
    l->chunk = mmi_min_u64(l->size.steps, (CHUNK + l->size.batch - 1) / l->size.batch);
    uint64_t gates, states;
    bool fits = mmi_mul(l->chunk * l->size.batch + 1, l->rows, &gates) &&
                mmi_mul(2 * l->size.batch, l->size.hidden, &states) &&
                mmi_add(gates, states, &gates);
    return fits ? gates : UINT64_MAX;
}

static void place(struct lstm *l, float *scratch) {
    l->bias = scratch;
    l->gates = l->bias + l->rows;
    l->hidden = l->gates + l->chunk * l->size.batch * l->rows;
    l->cell = l->hidden + l->size.batch * l->size.hidden;
}

static const float *of_direction(const struct lstm *l, uint32_t input, uint64_t direction,
                                 uint64_t elements) {
    return mmi_onnx_given(l->call, input) ? (const float *)l->call->in[input] + direction * elements
                                          : NULL;
}

/* What is there of the state before the first step, else 0. */
static void start_state(const struct lstm *l, uint32_t input, uint64_t direction, float *state) {
    uint64_t count = l->size.batch * l->size.hidden;
    const float *from = of_direction(l, input, direction, count);
    if (from) {
        memcpy(state, from, count * sizeof(*state));
    } else {
        memset(state, 0, count * sizeof(*state));
    }
}

static void end_state(const struct lstm *l, uint32_t output, uint64_t direction,
                      const float *state) {
    uint64_t count = l->size.batch * l->size.hidden;
    if (output < l->call->output_count && l->call->out[output]) {
        memcpy((float *)l->call->out[output] + direction * count, state, count * sizeof(*state));
    }
}

static void add_biases(const struct lstm *l, uint64_t direction) {
    const float *both = of_direction(l, ONNX_RNN_B, direction, 2 * l->rows);
    for (uint64_t i = 0; i < l->rows; i++) {
        l->bias[i] = both ? both[i] + both[l->rows + i] : 0;
    }
}

/* Gates of `count` items [count][rows] (+)= weights [rows][depth] times x [count][depth]. */
struct share {
    const struct lstm *l;
    struct onnx_dots whole;
    uint64_t tasks;
};

static void run_rows(void *ctx, uint64_t i) {
    const struct share *share = ctx;
    struct onnx_dots part = share->whole;
    struct onnx_range rows = mmi_onnx_part(part.rows, share->tasks, i);
    part.rows = rows.to - rows.from;
    part.a += rows.from * part.a_row;
    part.c += rows.from;
    part.row_bias = part.row_bias ? part.row_bias + rows.from : NULL;
    share->l->simd->dots(&part);
}

static void multiply(const struct lstm *l, const struct onnx_dots *dots) {
    struct share share = {.l = l, .whole = *dots};
    double work_ns = mmi_onnx_simd_ns(dots->rows, dots->columns, dots->depth);
    share.whole.rows = l->rows;
    share.whole.a_row = share.whole.x_column = dots->depth;
    share.whole.c_row = 1;
    share.whole.c_column = l->rows;
    share.tasks = mmi_onnx_tasks(l->call->services, work_ns, l->rows);
    mmi_onnx_run_tasks(l->call->services, share.tasks, run_rows, &share);
}

/* One step, whose gates have the input's share. */
static void step(const struct lstm *l, const float *r, float *gates, float *y) {
    uint64_t hidden = l->size.hidden;
    multiply(l, &(struct onnx_dots){.columns = l->size.batch,
                                    .depth = hidden,
                                    .a = r,
                                    .x = l->hidden,
                                    .c = gates,
                                    .add = true});
    for (uint64_t i = 0; i < l->size.batch; i++) {
        l->simd->lstm(gates + i * l->rows, l->cell + i * hidden, l->hidden + i * hidden, hidden);
    }
    if (y) {
        memcpy(y, l->hidden, l->size.batch * hidden * sizeof(*y));
    }
}

static void run_direction(const struct lstm *l, uint64_t direction, bool reverse) {
    uint64_t batch = l->size.batch, hidden = l->size.hidden, input = l->size.input;
    const float *w = of_direction(l, ONNX_RNN_W, direction, l->rows * input);
    const float *r = of_direction(l, ONNX_RNN_R, direction, l->rows * hidden);
    float *y = l->call->output_count > 0 ? l->call->out[0] : NULL;
    add_biases(l, direction);
    start_state(l, ONNX_RNN_H, direction, l->hidden);
    start_state(l, ONNX_RNN_C, direction, l->cell);
    for (uint64_t done = 0, count; done < l->size.steps; done += count) {
        count = mmi_min_u64(l->chunk, l->size.steps - done);
        uint64_t first = reverse ? l->size.steps - done - count : done;
        multiply(l, &(struct onnx_dots){.columns = count * batch,
                                        .depth = input,
                                        .a = w,
                                        .x = (const float *)l->call->in[0] + first * batch * input,
                                        .c = l->gates,
                                        .row_bias = l->bias});
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = reverse ? count - 1 - i : i;
            uint64_t row = (first + at) * l->size.directions + direction;
            step(l, r, l->gates + at * batch * l->rows, y ? y + row * batch * hidden : NULL);
        }
    }
    end_state(l, 1, direction, l->hidden);
    end_state(l, 2, direction, l->cell);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_rnn *rnn = call->params;
    struct lstm l = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    measure(&l, rnn, call->inputs);
    place(&l, call->scratch);
    for (uint64_t i = 0; i < l.size.directions; i++) {
        run_direction(&l, i, i == 1 || rnn->direction == ONNX_RNN_REVERSE);
    }
    return MM_OK;
}

static bool is_usual(const struct onnx_rnn *rnn, uint64_t directions) {
    static const int32_t usual[] = {ONNX_RNN_SIGMOID, ONNX_RNN_TANH, ONNX_RNN_TANH};
    bool is = !rnn->batch_first && !rnn->coupled && isinf(rnn->clip);
    for (uint64_t i = 0; i < 3 * directions; i++) {
        is = is && rnn->functions[i / 3][i % 3].kind == usual[i % 3];
    }
    return is;
}

onnx_kernel mmi_onnx_choose_lstm(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    const struct onnx_rnn *rnn = x->params;
    struct onnx_rnn_sizes size = mmi_onnx_rnn_sizes(rnn, 4, x->inputs);
    struct lstm l;
    if (x->inputs[0].dtype != MM_F32 || mmi_onnx_has(x, ONNX_RNN_LENGTHS) ||
        mmi_onnx_has(x, ONNX_RNN_P) || !is_usual(rnn, size.directions) || size.batch == 0 ||
        size.steps == 0 || size.hidden == 0) {
        return NULL;
    }
    uint64_t bytes;
    if (!mmi_mul(measure(&l, rnn, x->inputs), sizeof(float), &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
