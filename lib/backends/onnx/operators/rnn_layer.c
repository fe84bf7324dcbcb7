/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/rnn.h>
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* W times the input is one product for many steps, R times the state one for each step. Both have
 * the type of the inputs; the rest is computed in f64. */

#define CHUNK_ROWS 64 /* of W times the input, about */

/* ---- Functions ------------------------------------------------------------------------------- */

static double within(double x, double low, double high) {
    double raised = x < low ? low : x;
    return raised > high ? high : raised;
}

static double function_of(const struct onnx_rnn_function *f, double x) {
    double a = (double)f->a, b = (double)f->b;
    switch (f->kind) {
    case ONNX_RNN_SIGMOID:
        return 1 / (1 + exp(-x));
    case ONNX_RNN_TANH:
        return tanh(x);
    case ONNX_RNN_RELU:
        return x < 0 ? 0 : x;
    case ONNX_RNN_AFFINE:
        return a * x + b;
    case ONNX_RNN_LEAKY_RELU:
        return x < 0 ? a * x : x;
    case ONNX_RNN_THRESHOLDED_RELU:
        return x < a ? 0 : x;
    case ONNX_RNN_SCALED_TANH:
        return a * tanh(b * x);
    case ONNX_RNN_HARD_SIGMOID:
        return within(a * x + b, 0, 1);
    case ONNX_RNN_ELU:
        return x < 0 ? a * expm1(x) : x;
    case ONNX_RNN_SOFTSIGN:
        return x / (1 + fabs(x));
    default: /* softplus, without overflow */
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    }
}

/* Clips to [-clip, clip] first. */
static void apply(const struct onnx_rnn_function *f, float clip, double *values, uint64_t count) {
    double max = (double)clip;
    for (uint64_t i = 0; i < count; i++) {
        values[i] = function_of(f, within(values[i], -max, max));
    }
}

/* ---- A layer in one direction ---------------------------------------------------------------- */

struct layer {
    const struct onnx_call *call;
    const struct onnx_rnn *rnn;
    const struct onnx_rnn_function *functions; /* f, g, h */
    struct onnx_rnn_sizes size;
    int32_t dtype;
    uint64_t width;     /* bytes of an element */
    uint64_t rows;      /* of all gates: gates * hidden */
    uint64_t chunk;     /* steps whose W product is computed together */
    uint64_t direction; /* 0 or 1 */
    bool reverse;
    const struct onnx_rnn_products *products; /* NULL: by w and r */
    bool backwards;                           /* with products, in place of reverse */
    const uint8_t *w, *r, *b;                 /* of this direction; b: NULL where left out */
    /* Of the inputs' type. */
    uint8_t *bias;                     /* [rows]: added to the W product */
    uint8_t *gates;                    /* [chunk][batch][rows] */
    uint8_t *state;                    /* [batch][hidden] */
    uint8_t *reset;                    /* [batch][hidden], GRU: the state times the reset gate */
    uint8_t *state_product;            /* [batch][hidden], GRU: R product of the candidate */
    void *panel;                       /* scratch of products */
    double *wide;                      /* [batch][rows]: the gates of a step */
    double *hidden, *cell, *candidate; /* [batch][hidden] */
    double *peephole;                  /* [3][hidden]: of i, o, f */
};

/* Divides the scratch; without a scratch it only counts bytes. */
struct cutter {
    uint8_t *scratch;
    uint64_t used; /* UINT64_MAX: more than there can be */
};

static void *cut(struct cutter *cutter, uint64_t rows, uint64_t columns, uint64_t width) {
    uint64_t bytes, end;
    void *part = cutter->scratch ? cutter->scratch + cutter->used : NULL;
    bool fits = mmi_mul(rows, columns, &bytes) && mmi_mul(bytes, width, &bytes) &&
                mmi_round_up(bytes, 64, &bytes) && mmi_add(cutter->used, bytes, &end);
    cutter->used = fits ? end : UINT64_MAX;
    return part;
}

/* Sets all that follows from size and dtype; returns the bytes of scratch. */
static uint64_t lay_out(struct layer *l, void *scratch) {
    struct cutter cutter = {.scratch = scratch};
    uint64_t batch = l->size.batch, hidden = l->size.hidden;
    l->width = mmi_onnx_element_bytes(l->dtype);
    l->chunk = mmi_max_u64(CHUNK_ROWS / mmi_max_u64(batch, 1), 1);
    if (!mmi_mul(l->size.gates, hidden, &l->rows)) {
        return UINT64_MAX;
    }
    l->bias = cut(&cutter, 1, l->rows, l->width);
    l->gates = cut(&cutter, l->chunk * batch, l->rows, l->width);
    l->state = cut(&cutter, batch, hidden, l->width);
    l->reset = cut(&cutter, batch, hidden, l->width);
    l->state_product = cut(&cutter, batch, hidden, l->width);
    l->wide = cut(&cutter, batch, l->rows, sizeof(double));
    l->hidden = cut(&cutter, batch, hidden, sizeof(double));
    l->cell = cut(&cutter, batch, hidden, sizeof(double));
    l->peephole = cut(&cutter, 3, hidden, sizeof(double));
    l->candidate = cut(&cutter, batch, hidden, sizeof(double));
    l->panel = cut(&cutter, 1, mmi_max_u64(l->size.input, hidden), ONNX_NR * l->width);
    return cutter.used;
}

uint64_t mmi_onnx_rnn_scratch(const struct onnx_rnn_sizes *sizes, int32_t dtype) {
    struct layer layer = {.size = *sizes, .dtype = dtype};
    return lay_out(&layer, NULL);
}

/* Row of a state of this direction, in an input or output with a batch axis. */
static uint64_t row_of(const struct layer *l, uint64_t item) {
    bool first = l->rnn->batch_first;
    return first ? item * l->size.directions + l->direction : l->direction * l->size.batch + item;
}

static const uint8_t *of_direction(const struct layer *l, uint32_t input, uint64_t elements) {
    const uint8_t *at = mmi_onnx_given(l->call, input) ? l->call->in[input] : NULL;
    return at ? at + l->direction * elements * l->width : NULL;
}

/* An input's state [.., batch, .., hidden], or 0. */
static void start_state(const struct layer *l, uint32_t input, double *to) {
    uint64_t hidden = l->size.hidden;
    const uint8_t *from = mmi_onnx_given(l->call, input) ? l->call->in[input] : NULL;
    memset(to, 0, l->size.batch * hidden * sizeof(*to));
    for (uint64_t i = 0; from && i < l->size.batch; i++) {
        mmi_onnx_convert(l->dtype, from + row_of(l, i) * hidden * l->width, hidden, MM_F64,
                         to + i * hidden);
    }
}

static void end_state(const struct layer *l, uint32_t output, const double *from) {
    uint64_t hidden = l->size.hidden;
    uint8_t *to = output < l->call->output_count ? l->call->out[output] : NULL;
    for (uint64_t i = 0; to && i < l->size.batch; i++) {
        mmi_onnx_convert(MM_F64, from + i * hidden, hidden, l->dtype,
                         to + row_of(l, i) * hidden * l->width);
    }
}

/* Both biases; for the candidate of a GRU with linear_before_reset only that of W. */
static void add_biases(struct layer *l) {
    uint64_t hidden = l->size.hidden;
    uint64_t both = l->size.gates == 3 && l->rnn->linear_first ? 2 * hidden : l->rows;
    memset(l->bias, 0, l->rows * l->width);
    for (uint64_t i = 0; l->b && i < l->rows; i++) {
        double input, state;
        mmi_onnx_convert(l->dtype, l->b + i * l->width, 1, MM_F64, &input);
        mmi_onnx_convert(l->dtype, l->b + (l->rows + i) * l->width, 1, MM_F64, &state);
        input += i < both ? state : 0;
        mmi_onnx_convert(MM_F64, &input, 1, l->dtype, l->bias + i * l->width);
    }
}

static void start_direction(struct layer *l) {
    const uint8_t *peephole;
    uint64_t hidden = l->size.hidden;
    l->functions = l->rnn->functions[l->direction];
    l->backwards = l->rnn->direction == ONNX_RNN_REVERSE || l->direction == 1;
    l->reverse = l->backwards && !l->products;
    l->w = of_direction(l, ONNX_RNN_W, l->rows * l->size.input);
    l->r = of_direction(l, ONNX_RNN_R, l->rows * hidden);
    l->b = of_direction(l, ONNX_RNN_B, 2 * l->rows);
    add_biases(l);
    start_state(l, ONNX_RNN_H, l->hidden);
    start_state(l, ONNX_RNN_C, l->cell);
    peephole = of_direction(l, ONNX_RNN_P, 3 * hidden);
    memset(l->peephole, 0, 3 * hidden * sizeof(double));
    if (peephole) {
        mmi_onnx_convert(l->dtype, peephole, 3 * hidden, MM_F64, l->peephole);
    }
}

/* ---- Products -------------------------------------------------------------------------------- */

static void spread_bias(const struct layer *l, uint64_t count) {
    for (uint64_t i = 0; i < count * l->size.batch; i++) {
        memcpy(l->gates + i * l->rows * l->width, l->bias, l->rows * l->width);
    }
}

/* W product and biases for the gates of steps [first, first + count). */
static void multiply_input(const struct layer *l, uint64_t first, uint64_t count) {
    uint64_t batch = l->size.batch, input = l->size.input;
    if (l->products) {
        spread_bias(l, count);
        l->products->input(l->products->ctx, first, count, (float *)(void *)l->gates);
        return;
    }
    bool apart = l->rnn->batch_first; /* the steps of each sequence by themselves */
    struct onnx_product product = {.dtype = l->dtype,
                                   .rows = apart ? count : count * batch,
                                   .depth = input,
                                   .columns = l->rows,
                                   .a = {NULL, (int64_t)input, 1},
                                   .b = {l->w, 1, (int64_t)input},
                                   .start = {l->bias, 0, 1},
                                   .out_row = apart ? batch * l->rows : l->rows};
    for (uint64_t i = 0; i < (apart ? batch : 1); i++) {
        uint64_t row = apart ? i * l->size.steps + first : first * batch;
        product.a.at = (const uint8_t *)l->call->in[ONNX_RNN_X] + row * input * l->width;
        product.out = l->gates + i * l->rows * l->width;
        mmi_onnx_multiply(&product, l->panel);
    }
}

/* state [batch][hidden] times the rows of R from `first` on, transposed. */
static struct onnx_product times_r(const struct layer *l, const uint8_t *state, uint64_t first) {
    uint64_t hidden = l->size.hidden;
    return (struct onnx_product){.dtype = l->dtype,
                                 .rows = l->size.batch,
                                 .depth = hidden,
                                 .a = {state, (int64_t)hidden, 1},
                                 .b = {l->r + first * hidden * l->width, 1, (int64_t)hidden}};
}

/* Adds the R product to the first `count` rows of a step's gates, and widens all rows to f64. */
static void add_state_product(const struct layer *l, uint8_t *gates, uint64_t count) {
    struct onnx_product product = times_r(l, l->state, 0);
    if (l->products) {
        l->products->state(l->products->ctx, (const float *)(const void *)l->state,
                           (float *)(void *)gates);
        mmi_onnx_convert(l->dtype, gates, l->size.batch * l->rows, MM_F64, l->wide);
        return;
    }
    product.columns = count;
    product.start = (struct onnx_matrix){gates, (int64_t)l->rows, 1};
    product.out = gates;
    product.out_row = l->rows;
    mmi_onnx_multiply(&product, l->panel);
    mmi_onnx_convert(l->dtype, gates, l->size.batch * l->rows, MM_F64, l->wide);
}

/* ---- Cells ----------------------------------------------------------------------------------- */

static const int32_t *lengths_of(const struct onnx_call *call) {
    return mmi_onnx_given(call, ONNX_RNN_LENGTHS) ? call->in[ONNX_RNN_LENGTHS] : NULL;
}

/* Sequence `item` of the batch has not ended at step t. */
static bool is_active(const struct layer *l, uint64_t item, uint64_t t) {
    const int32_t *lengths = lengths_of(l->call);
    return !lengths || t < (uint64_t)lengths[item];
}

uint64_t mmi_onnx_rnn_time(const int32_t *lengths, uint64_t item, uint64_t t, uint64_t steps,
                           bool reverse) {
    uint64_t length = lengths ? (uint64_t)lengths[item] : steps;
    return reverse && t < length ? length - 1 - t : t;
}

static void step_rnn(const struct layer *l, uint8_t *gates, uint64_t t) {
    uint64_t hidden = l->size.hidden;
    add_state_product(l, gates, l->rows);
    for (uint64_t item = 0; item < l->size.batch; item++) {
        if (is_active(l, item, t)) {
            apply(&l->functions[0], l->rnn->clip, l->wide + item * hidden, hidden);
            memcpy(l->hidden + item * hidden, l->wide + item * hidden, hidden * sizeof(double));
        }
    }
}

static void step_gru(const struct layer *l, uint8_t *gates, uint64_t t) {
    uint64_t hidden = l->size.hidden, batch = l->size.batch;
    bool linear_first = l->rnn->linear_first;
    add_state_product(l, gates, 2 * hidden);
    for (uint64_t item = 0; item < batch; item++) {
        double *z = l->wide + item * l->rows, *r = z + hidden;
        double *seen = l->candidate + item * hidden;
        apply(&l->functions[0], l->rnn->clip, z, 2 * hidden);
        for (uint64_t i = 0; i < hidden; i++) {
            seen[i] = l->hidden[item * hidden + i] * (linear_first ? 1 : r[i]);
        }
    }
    mmi_onnx_convert(MM_F64, l->candidate, batch * hidden, l->dtype, l->reset);
    struct onnx_product product = times_r(l, l->reset, 2 * hidden);
    product.columns = product.out_row = hidden;
    product.out = l->state_product;
    if (linear_first && l->b) {
        product.start = (struct onnx_matrix){l->b + (l->rows + 2 * hidden) * l->width, 0, 1};
    }
    mmi_onnx_multiply(&product, l->panel);
    mmi_onnx_convert(l->dtype, l->state_product, batch * hidden, MM_F64, l->candidate);
    for (uint64_t item = 0; item < batch; item++) {
        const double *z = l->wide + item * l->rows, *r = z + hidden, *input = r + hidden;
        double *candidate = l->candidate + item * hidden, *state = l->hidden + item * hidden;
        for (uint64_t i = 0; i < hidden; i++) {
            candidate[i] = input[i] + candidate[i] * (linear_first ? r[i] : 1);
        }
        apply(&l->functions[1], l->rnn->clip, candidate, hidden);
        for (uint64_t i = 0; i < hidden && is_active(l, item, t); i++) {
            state[i] = (1 - z[i]) * candidate[i] + z[i] * state[i];
        }
    }
}

static void step_lstm(const struct layer *l, uint8_t *gates, uint64_t t) {
    uint64_t hidden = l->size.hidden;
    const double *of_i = l->peephole, *of_o = of_i + hidden, *of_f = of_o + hidden;
    add_state_product(l, gates, l->rows);
    for (uint64_t item = 0; item < l->size.batch; item++) {
        double *i = l->wide + item * l->rows, *o = i + hidden, *f = o + hidden, *c = f + hidden;
        double *cell = l->cell + item * hidden, *state = l->hidden + item * hidden;
        if (!is_active(l, item, t)) {
            continue;
        }
        for (uint64_t k = 0; k < hidden; k++) {
            i[k] += of_i[k] * cell[k];
            f[k] += of_f[k] * cell[k];
        }
        apply(&l->functions[0], l->rnn->clip, i, hidden);
        apply(&l->functions[0], l->rnn->clip, f, hidden);
        apply(&l->functions[1], l->rnn->clip, c, hidden);
        for (uint64_t k = 0; k < hidden; k++) {
            double kept = l->rnn->coupled ? 1 - i[k] : f[k];
            cell[k] = kept * cell[k] + i[k] * c[k];
            o[k] += of_o[k] * cell[k];
            state[k] = cell[k];
        }
        apply(&l->functions[0], l->rnn->clip, o, hidden);
        apply(&l->functions[2], INFINITY, state, hidden); /* ONNX does not clip here */
        for (uint64_t k = 0; k < hidden; k++) {
            state[k] *= o[k];
        }
    }
}

/* ---- The layer ------------------------------------------------------------------------------- */

struct kind {
    uint64_t gates;
    void (*step)(const struct layer *l, uint8_t *gates, uint64_t t);
};

/* The new state, for the next step and into Y. */
static void keep_state(const struct layer *l, uint64_t t) {
    uint64_t hidden = l->size.hidden, directions = l->size.directions, batch = l->size.batch;
    uint8_t *y = l->call->output_count > 0 ? l->call->out[0] : NULL;
    mmi_onnx_convert(MM_F64, l->hidden, batch * hidden, l->dtype, l->state);
    for (uint64_t item = 0; l->products && item < batch; item++) {
        if (!is_active(l, item, t)) {
            memset(l->state + item * hidden * l->width, 0, hidden * l->width);
        }
    }
    for (uint64_t item = 0; y && item < batch; item++) {
        uint64_t time = mmi_onnx_rnn_time(lengths_of(l->call), item, t, l->size.steps,
                                          l->products && l->backwards);
        uint64_t row = l->rnn->batch_first
                           ? (item * l->size.steps + time) * directions + l->direction
                           : (time * directions + l->direction) * batch + item;
        uint8_t *to = y + row * hidden * l->width;
        if (is_active(l, item, t)) {
            memcpy(to, l->state + item * hidden * l->width, hidden * l->width);
        } else {
            memset(to, 0, hidden * l->width);
        }
    }
}

static void run_direction(struct layer *l, const struct kind *kind) {
    uint64_t steps = l->size.steps, count;
    start_direction(l);
    if (l->products) {
        l->products->start(l->products->ctx, l->direction, l->backwards);
    }
    mmi_onnx_convert(MM_F64, l->hidden, l->size.batch * l->size.hidden, l->dtype, l->state);
    for (uint64_t done = 0; done < steps; done += count) {
        count = mmi_min_u64(l->chunk, steps - done);
        uint64_t first = l->reverse ? steps - done - count : done;
        multiply_input(l, first, count);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t at = l->reverse ? count - 1 - i : i;
            kind->step(l, l->gates + at * l->size.batch * l->rows * l->width, first + at);
            keep_state(l, first + at);
        }
    }
    end_state(l, 1, l->hidden);
    end_state(l, 2, l->cell);
}

static mm_status check_lengths(const struct onnx_call *call, const struct onnx_rnn_sizes *size,
                               mm_error *err) {
    const int32_t *lengths = lengths_of(call);
    for (uint64_t i = 0; lengths && i < size->batch; i++) {
        if (lengths[i] < 0 || (uint64_t)lengths[i] > size->steps) {
            return mmi_fail(err, MM_INVALID_ARGUMENT,
                            "sequence_lens[%" PRIu64 "] is %d, 0 to %" PRIu64 " wanted", i,
                            lengths[i], size->steps);
        }
    }
    return MM_OK;
}

static mm_status run_real(const struct onnx_call *call, const struct kind *kind,
                          const struct onnx_rnn_products *products, mm_error *err) {
    struct layer layer = {
        .call = call, .rnn = call->params, .dtype = call->inputs[0].dtype, .products = products};
    layer.size = mmi_onnx_rnn_sizes(layer.rnn, kind->gates, call->inputs);
    MMI_TRY(check_lengths(call, &layer.size, err));
    lay_out(&layer, call->scratch);
    for (uint64_t i = 0; i < layer.size.directions && layer.size.batch > 0; i++) {
        layer.direction = i;
        run_direction(&layer, kind);
    }
    return MM_OK;
}

#define RUN(NAME, GATES)                                                                           \
    static mm_status run_real_##NAME(const struct onnx_call *call, mm_error *err) {                \
        static const struct kind kind = {GATES, step_##NAME};                                      \
        return run_real(call, &kind, NULL, err);                                                   \
    }                                                                                              \
    mm_status mmi_onnx_run_##NAME(const struct onnx_call *call, mm_error *err) {                   \
        return mmi_onnx_run_copied(call, run_real_##NAME, err);                                    \
    }
RUN(rnn, 1)
RUN(gru, 3)
RUN(lstm, 4)

mm_status mmi_onnx_run_lstm_by(const struct onnx_call *call,
                               const struct onnx_rnn_products *products, mm_error *err) {
    static const struct kind kind = {4, step_lstm};
    return run_real(call, &kind, products, err);
}
