/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_RNN_H
#define MMI_BACKENDS_ONNX_OPERATORS_RNN_H

/* RNN, GRU and LSTM: one layer, in one direction or both. In each direction there are `gates`
 * blocks of `hidden` rows in the weights: 1, or z r h, or i o f c. */

#include <backends/onnx/operators/operator.h>

enum onnx_rnn_direction { ONNX_RNN_FORWARD = 0, ONNX_RNN_REVERSE, ONNX_RNN_BIDIRECTIONAL };

enum onnx_rnn_activation {
    ONNX_RNN_SIGMOID = 0,
    ONNX_RNN_TANH,
    ONNX_RNN_RELU,             /* max(x, 0) */
    ONNX_RNN_AFFINE,           /* a x + b */
    ONNX_RNN_LEAKY_RELU,       /* x < 0 ? a x : x */
    ONNX_RNN_THRESHOLDED_RELU, /* x < a ? 0 : x */
    ONNX_RNN_SCALED_TANH,      /* a tanh(b x) */
    ONNX_RNN_HARD_SIGMOID,     /* min(max(a x + b, 0), 1) */
    ONNX_RNN_ELU,              /* x < 0 ? a (e^x - 1) : x */
    ONNX_RNN_SOFTSIGN,         /* x / (1 + |x|) */
    ONNX_RNN_SOFTPLUS          /* log(1 + e^x) */
};

struct onnx_rnn_function {
    int32_t kind; /* enum onnx_rnn_activation */
    float a, b;
};

struct onnx_rnn {
    int32_t direction;    /* enum onnx_rnn_direction */
    int32_t batch_first;  /* layout 1: [batch, time, ...] in place of [time, batch, ...] */
    int32_t linear_first; /* GRU: linear_before_reset */
    int32_t coupled;      /* LSTM: input_forget, so that f is 1 - i */
    int64_t hidden;       /* 0: as the weights say */
    float clip;           /* what goes into f and g is within +- this; INFINITY: not clipped */
    struct onnx_rnn_function functions[2][3]; /* f, g, h in each direction */
};
#define ONNX_RNN_LIMITS                                                                            \
    ONNX_FLAG("layout", struct onnx_rnn, batch_first),                                             \
        ONNX_BETWEEN("direction", struct onnx_rnn, direction, 0, ONNX_RNN_BIDIRECTIONAL),          \
        ONNX_BETWEEN("hidden_size", struct onnx_rnn, hidden, 0, INT32_MAX)
/* What they do not say. */
mm_status mmi_onnx_check_rnn(const void *params, mm_error *err);

/* Inputs: X, W, R, then what may be left out: B, sequence_lens, initial_h, and of an LSTM initial_c
 * and P. Outputs, all of which may be left out: Y, Y_h, and of an LSTM Y_c. */
enum {
    ONNX_RNN_X = 0,
    ONNX_RNN_W,
    ONNX_RNN_R,
    ONNX_RNN_B,
    ONNX_RNN_LENGTHS,
    ONNX_RNN_H,
    ONNX_RNN_C,
    ONNX_RNN_P
};

/* Sizes of one layer, from the shapes of its inputs. */
struct onnx_rnn_sizes {
    uint64_t directions, gates, steps, batch, input, hidden;
};
struct onnx_rnn_sizes mmi_onnx_rnn_sizes(const struct onnx_rnn *rnn, uint64_t gates,
                                         const struct onnx_tensor *inputs);

/* The plain kernels, and what they want of scratch; UINT64_MAX on overflow. */
uint64_t mmi_onnx_rnn_scratch(const struct onnx_rnn_sizes *sizes, int32_t dtype);
mm_status mmi_onnx_run_rnn(const struct onnx_call *call, mm_error *err);
mm_status mmi_onnx_run_gru(const struct onnx_call *call, mm_error *err);
mm_status mmi_onnx_run_lstm(const struct onnx_call *call, mm_error *err);

/* Weights that are no floats: the products with them are made elsewhere. Such a layer goes through
 * each sequence from its own end where it is reversed, so that step i of all sequences of a batch
 * is one product; of sequences that have ended the state is 0 there. Always f32, and
 * [time, batch, ...]. */
struct onnx_rnn_products {
    void (*start)(void *ctx, uint64_t direction, bool reverse);
    /* Add W times the inputs of `steps` steps to out [steps][batch][rows]. */
    void (*input)(void *ctx, uint64_t first_step, uint64_t steps, float *out);
    /* Add R times the state [batch][hidden] to out [batch][rows]. */
    void (*state)(void *ctx, const float *state, float *out);
    void *ctx;
};
/* `call` is that of an LSTM whose W and R nobody looks at, but for their shapes. */
mm_status mmi_onnx_run_lstm_by(const struct onnx_call *call,
                               const struct onnx_rnn_products *products, mm_error *err);
/* Where step t of a sequence lies in time. */
uint64_t mmi_onnx_rnn_time(const int32_t *lengths, uint64_t item, uint64_t t, uint64_t steps,
                           bool reverse);

#endif
