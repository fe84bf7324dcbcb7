/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU and LSTM with the default activations and sequences of equal length. The gates are the
 * sum of two products: W times the input, for several steps at once, and R times the state, step by
 * step. */
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/rnn.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

/* Items (steps times batch) whose W product is computed together. */
#define CHUNK 64

struct layer;

/* What the layers differ in. */
struct cell_kind {
    uint64_t gates;
    int32_t functions[3]; /* the default ones */
    /* `gates` hold the W product of one step and biases; r is of this direction. Brings `hidden`
     * to its next state. */
    void (*step)(const struct layer *l, const float *r, float *gates);
};

struct layer {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    const struct cell_kind *kind;
    struct onnx_rnn_sizes size;
    bool linear_first;       /* a GRU's reset gate is applied behind R */
    uint64_t rows, chunk;    /* gates of one item; steps */
    float *bias;             /* [rows] */
    const float *reset_bias; /* [hidden]: R's, where linear_first; NULL: 0 */
    float *gates;            /* [chunk][batch][rows] */
    float *hidden;           /* [batch][hidden] */
    float *other; /* [batch][hidden]: an LSTM's cell; what a GRU has of R and the state */
};

/* Sizes; returns the floats of scratch, UINT64_MAX on overflow. */
static uint64_t plan(struct layer *l, const struct cell_kind *kind, const struct onnx_rnn *rnn,
                     const struct onnx_tensor *inputs) {
    l->kind = kind;
    l->linear_first = rnn->linear_first;
    l->size = mmi_onnx_rnn_sizes(rnn, kind->gates, inputs);
    l->rows = kind->gates * l->size.hidden;
    l->chunk = mmi_min_u64(l->size.steps, (CHUNK + l->size.batch - 1) / l->size.batch);
    uint64_t gates, states;
    bool fits = mmi_mul(l->chunk * l->size.batch + 1, l->rows, &gates) &&
                mmi_mul(2 * l->size.batch, l->size.hidden, &states) &&
                mmi_add(gates, states, &gates);
    return fits ? gates : UINT64_MAX;
}

static void set_pointers(struct layer *l, float *scratch) {
    l->bias = scratch;
    l->gates = l->bias + l->rows;
    l->hidden = l->gates + l->chunk * l->size.batch * l->rows;
    l->other = l->hidden + l->size.batch * l->size.hidden;
}

static const float *of_direction(const struct layer *l, uint32_t input, uint64_t direction,
                                 uint64_t elements) {
    return mmi_onnx_given(l->call, input) ? (const float *)l->call->in[input] + direction * elements
                                          : NULL;
}

/* The initial state, or 0. */
static void start_state(const struct layer *l, uint32_t input, uint64_t direction, float *state) {
    uint64_t count = l->size.batch * l->size.hidden;
    const float *from = of_direction(l, input, direction, count);
    if (from) {
        memcpy(state, from, count * sizeof(*state));
    } else {
        memset(state, 0, count * sizeof(*state));
    }
}

static void end_state(const struct layer *l, uint32_t output, uint64_t direction,
                      const float *state) {
    uint64_t count = l->size.batch * l->size.hidden;
    if (output < l->call->output_count && l->call->out[output]) {
        memcpy((float *)l->call->out[output] + direction * count, state, count * sizeof(*state));
    }
}

/* What W's product starts with: both biases, but for what the reset gate is applied to. */
static void add_biases(struct layer *l, uint64_t direction) {
    const float *both = of_direction(l, ONNX_RNN_B, direction, 2 * l->rows);
    uint64_t reset_at = l->rows - (l->linear_first ? l->size.hidden : 0);
    for (uint64_t i = 0; i < l->rows; i++) {
        l->bias[i] = both ? both[i] + (i < reset_at ? both[l->rows + i] : 0) : 0;
    }
    l->reset_bias = both ? both + l->rows + reset_at : NULL;
}

/* c [n][m] (+)= x [n][k] times weights [m][k]^T */
struct gate_gemm {
    const struct layer *l;
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

static void multiply(const struct layer *l, const struct onnx_dot_products *dots) {
    struct gate_gemm gemm = {.l = l, .all = *dots};
    double work_ns = mmi_onnx_sgemm_ns(dots->m, dots->n, dots->k);
    gemm.all.a_row_stride = gemm.all.x_row_stride = dots->k;
    gemm.all.c_row_stride = 1;
    gemm.tasks = mmi_onnx_tasks(l->call->services, work_ns, dots->m);
    mmi_onnx_run_tasks(l->call->services, gemm.tasks, run_gate_rows, &gemm);
}

/* Add `rows` of R, from `first` on, times `state` to their gates. */
static void add_state(const struct layer *l, const float *r, uint64_t first, uint64_t rows,
                      const float *state, float *gates) {
    multiply(l, &(struct onnx_dot_products){.m = rows,
                                            .n = l->size.batch,
                                            .k = l->size.hidden,
                                            .a = r + first * l->size.hidden,
                                            .x = state,
                                            .c = gates + first,
                                            .c_column_stride = l->rows,
                                            .accumulate = true});
}

/* ---- Cells ----------------------------------------------------------------------------------- */

static void step_rnn(const struct layer *l, const float *r, float *gates) {
    const struct onnx_activation tanh = {.function = ONNX_F_Tanh};
    uint64_t bytes = l->size.batch * l->rows * sizeof(*gates);
    add_state(l, r, 0, l->rows, l->hidden, gates);
    l->simd->activate(&tanh, gates, l->rows, l->size.batch, l->rows);
    memcpy(l->hidden, gates, bytes);
}

static void step_lstm(const struct layer *l, const float *r, float *gates) {
    uint64_t hidden = l->size.hidden;
    add_state(l, r, 0, l->rows, l->hidden, gates);
    for (uint64_t i = 0; i < l->size.batch; i++) {
        l->simd->lstm(gates + i * l->rows, l->other + i * hidden, l->hidden + i * hidden, hidden);
    }
}

/* The candidate is tanh(W x + reset (R state + bias)). */
static void step_gru_linear_first(const struct layer *l, const float *r, float *gates) {
    uint64_t hidden = l->size.hidden;
    add_state(l, r, 0, 2 * hidden, l->hidden, gates);
    multiply(l, &(struct onnx_dot_products){.m = hidden,
                                            .n = l->size.batch,
                                            .k = hidden,
                                            .a = r + 2 * hidden * hidden,
                                            .x = l->hidden,
                                            .c = l->other,
                                            .c_column_stride = hidden,
                                            .row_bias = l->reset_bias});
    for (uint64_t i = 0; i < l->size.batch; i++) {
        l->simd->gru(gates + i * l->rows, l->other + i * hidden, l->hidden + i * hidden, hidden);
    }
}

/* The candidate is tanh(W x + R (reset state)). */
static void step_gru(const struct layer *l, const float *r, float *gates) {
    uint64_t hidden = l->size.hidden;
    if (l->linear_first) {
        step_gru_linear_first(l, r, gates);
        return;
    }
    add_state(l, r, 0, 2 * hidden, l->hidden, gates);
    for (uint64_t i = 0; i < l->size.batch; i++) {
        l->simd->gru_reset(gates + i * l->rows + hidden, l->hidden + i * hidden,
                           l->other + i * hidden, hidden);
    }
    add_state(l, r, 2 * hidden, hidden, l->other, gates);
    for (uint64_t i = 0; i < l->size.batch; i++) {
        l->simd->gru(gates + i * l->rows, NULL, l->hidden + i * hidden, hidden);
    }
}

static const struct cell_kind of_rnn = {1, {ONNX_RNN_TANH}, step_rnn};
static const struct cell_kind of_gru = {3, {ONNX_RNN_SIGMOID, ONNX_RNN_TANH}, step_gru};
static const struct cell_kind of_lstm = {
    4, {ONNX_RNN_SIGMOID, ONNX_RNN_TANH, ONNX_RNN_TANH}, step_lstm};

/* ---- A layer --------------------------------------------------------------------------------- */

static void run_direction(struct layer *l, uint64_t direction, bool reverse) {
    uint64_t batch = l->size.batch, hidden = l->size.hidden, input = l->size.input;
    const float *w = of_direction(l, ONNX_RNN_W, direction, l->rows * input);
    const float *r = of_direction(l, ONNX_RNN_R, direction, l->rows * hidden);
    float *y = l->call->output_count > 0 ? l->call->out[0] : NULL;
    add_biases(l, direction);
    start_state(l, ONNX_RNN_H, direction, l->hidden);
    start_state(l, ONNX_RNN_C, direction, l->other); /* an LSTM only */
    for (uint64_t done = 0, count; done < l->size.steps; done += count) {
        count = mmi_min_u64(l->chunk, l->size.steps - done);
        uint64_t first = reverse ? l->size.steps - done - count : done;
        multiply(l, &(struct onnx_dot_products){.m = l->rows,
                                                .n = count * batch,
                                                .k = input,
                                                .a = w,
                                                .x = (const float *)l->call->in[0] +
                                                     first * batch * input,
                                                .c = l->gates,
                                                .c_column_stride = l->rows,
                                                .row_bias = l->bias});
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = reverse ? count - 1 - i : i;
            uint64_t row = (first + at) * l->size.directions + direction;
            l->kind->step(l, r, l->gates + at * batch * l->rows);
            if (y) {
                memcpy(y + row * batch * hidden, l->hidden, batch * hidden * sizeof(*y));
            }
        }
    }
    end_state(l, 1, direction, l->hidden);
    end_state(l, 2, direction, l->other);
}

static mm_status run(const struct onnx_call *call, const struct cell_kind *kind) {
    const struct onnx_rnn *rnn = call->params;
    struct layer l = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    plan(&l, kind, rnn, call->inputs);
    set_pointers(&l, call->scratch);
    for (uint64_t i = 0; i < l.size.directions; i++) {
        run_direction(&l, i, i == 1 || rnn->direction == ONNX_RNN_REVERSE);
    }
    return MM_OK;
}

static mm_status run_rnn(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, &of_rnn);
}

static mm_status run_gru(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, &of_gru);
}

static mm_status run_lstm(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run(call, &of_lstm);
}

/* ---- Choice ---------------------------------------------------------------------------------- */

static bool is_default(const struct cell_kind *kind, const struct onnx_rnn *rnn,
                       uint64_t directions) {
    uint64_t functions = kind->gates == 1 ? 1 : kind->gates - 1;
    bool is = !rnn->batch_first && !rnn->coupled && isinf(rnn->clip);
    for (uint64_t i = 0; i < functions * directions; i++) {
        uint64_t k = i % functions;
        is = is && rnn->functions[i / functions][k].kind == kind->functions[k];
    }
    return is;
}

static onnx_kernel choose(struct onnx_inference *x, const struct cell_kind *kind,
                          onnx_kernel kernel) {
    const struct onnx_rnn *rnn = x->params;
    struct onnx_rnn_sizes size = mmi_onnx_rnn_sizes(rnn, kind->gates, x->inputs);
    struct layer l;
    if (x->inputs[0].dtype != MM_F32 || mmi_onnx_has(x, ONNX_RNN_LENGTHS) ||
        mmi_onnx_has(x, ONNX_RNN_P) || !is_default(kind, rnn, size.directions) || size.batch == 0 ||
        size.steps == 0 || size.hidden == 0) {
        return NULL;
    }
    uint64_t bytes;
    if (!mmi_mul(plan(&l, kind, rnn, x->inputs), sizeof(float), &bytes)) {
        return NULL;
    }
    x->scratch_bytes = bytes;
    return kernel;
}

onnx_kernel mmi_onnx_cpu_RNN(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return choose(x, &of_rnn, run_rnn);
}

onnx_kernel mmi_onnx_cpu_GRU(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return choose(x, &of_gru, run_gru);
}

onnx_kernel mmi_onnx_cpu_LSTM(struct onnx_inference *x, const mm_services *services) {
    (void)services;
    return choose(x, &of_lstm, run_lstm);
}
