/* SPDX-License-Identifier: Apache-2.0 */
/* LSTM with the default activations and sequences of equal length. The gates are the sum of two
 * products: W times the input, for several steps at once, and R times the state, step by step. */
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/rnn.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

/* Items (steps times batch) whose W product is computed together. */
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

/* Sizes; returns the floats of scratch, UINT64_MAX on overflow. */
static uint64_t plan(struct lstm *l, const struct onnx_rnn *rnn, const struct onnx_tensor *inputs) {
    l->size = mmi_onnx_rnn_sizes(rnn, 4, inputs);
    l->rows = 4 * l->size.hidden;
    l->chunk = mmi_min_u64(l->size.steps, (CHUNK + l->size.batch - 1) / l->size.batch);
    uint64_t gates, states;
    bool fits = mmi_mul(l->chunk * l->size.batch + 1, l->rows, &gates) &&
                mmi_mul(2 * l->size.batch, l->size.hidden, &states) &&
                mmi_add(gates, states, &gates);
    return fits ? gates : UINT64_MAX;
}

static void set_pointers(struct lstm *l, float *scratch) {
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

/* The initial state, or 0. */
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

/* gates [n][rows] (+)= x [n][k] times weights [rows][k]^T */
struct gate_gemm {
    const struct lstm *l;
    struct onnx_dot_products all;
    uint64_t tasks;
};

static void run_gate_rows(void *ctx, uint64_t i) {
    const struct gate_gemm *gemm = ctx;
    struct onnx_dot_products part = gemm->all;
    struct onnx_range rows = mmi_onnx_part(part.m, gemm->tasks, i);
    part.m = rows.to - rows.from;
    part.a += rows.from * part.a_row_stride;
    part.c += rows.from;
    part.row_bias = part.row_bias ? part.row_bias + rows.from : NULL;
    gemm->l->simd->dot_products(&part);
}

static void multiply(const struct lstm *l, const struct onnx_dot_products *dots) {
    struct gate_gemm gemm = {.l = l, .all = *dots};
    double work_ns = mmi_onnx_sgemm_ns(l->rows, dots->n, dots->k);
    gemm.all.m = l->rows;
    gemm.all.a_row_stride = gemm.all.x_row_stride = dots->k;
    gemm.all.c_row_stride = 1;
    gemm.all.c_column_stride = l->rows;
    gemm.tasks = mmi_onnx_tasks(l->call->services, work_ns, l->rows);
    mmi_onnx_run_tasks(l->call->services, gemm.tasks, run_gate_rows, &gemm);
}

/* One step, whose gates hold the W product. */
static void step(const struct lstm *l, const float *r, float *gates, float *y) {
    uint64_t hidden = l->size.hidden;
    multiply(l, &(struct onnx_dot_products){.n = l->size.batch,
                                            .k = hidden,
                                            .a = r,
                                            .x = l->hidden,
                                            .c = gates,
                                            .accumulate = true});
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
        multiply(l, &(struct onnx_dot_products){.n = count * batch,
                                                .k = input,
                                                .a = w,
                                                .x = (const float *)l->call->in[0] +
                                                     first * batch * input,
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
    plan(&l, rnn, call->inputs);
    set_pointers(&l, call->scratch);
    for (uint64_t i = 0; i < l.size.directions; i++) {
        run_direction(&l, i, i == 1 || rnn->direction == ONNX_RNN_REVERSE);
    }
    return MM_OK;
}

static bool has_default_functions(const struct onnx_rnn *rnn, uint64_t directions) {
    static const int32_t defaults[] = {ONNX_RNN_SIGMOID, ONNX_RNN_TANH, ONNX_RNN_TANH};
    bool is = !rnn->batch_first && !rnn->coupled && isinf(rnn->clip);
    for (uint64_t i = 0; i < 3 * directions; i++) {
        is = is && rnn->functions[i / 3][i % 3].kind == defaults[i % 3];
    }
    return is;
}

onnx_kernel mmi_onnx_cpu_LSTM(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    const struct onnx_rnn *rnn = x->params;
    struct onnx_rnn_sizes size = mmi_onnx_rnn_sizes(rnn, 4, x->inputs);
    struct lstm l;
    if (x->inputs[0].dtype != MM_F32 || mmi_onnx_has(x, ONNX_RNN_LENGTHS) ||
        mmi_onnx_has(x, ONNX_RNN_P) || !has_default_functions(rnn, size.directions) ||
        size.batch == 0 || size.steps == 0 || size.hidden == 0) {
        return NULL;
    }
    uint64_t bytes;
    if (!mmi_mul(plan(&l, rnn, x->inputs), sizeof(float), &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return run;
}
