/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/rnn.h>
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

/* ---- Attributes ------------------------------------------------------------------------------ */

struct function {
    const char *name;
    bool takes_a, takes_b; /* the next of activation_alpha, of activation_beta */
    float a, b;            /* where those are used up */
};

/* In the order of enum onnx_rnn_activation. */
static const struct function functions[] = {
    {"Sigmoid", false, false, 0, 0},      {"Tanh", false, false, 0, 0},
    {"Relu", false, false, 0, 0},         {"Affine", true, true, 1, 0},
    {"LeakyRelu", true, false, 0.01f, 0}, {"ThresholdedRelu", true, false, 1, 0},
    {"ScaledTanh", true, true, 1, 1},     {"HardSigmoid", true, true, 0.2f, 0.5f},
    {"Elu", true, false, 1, 0},           {"Softsign", false, false, 0, 0},
    {"Softplus", false, false, 0, 0}};
#define FUNCTIONS (int32_t)(sizeof(functions) / sizeof(functions[0]))

/* An attribute that is a list of floats, or of texts, and how much of it is used. */
struct list {
    const struct onnx_attribute *attribute;
    uint64_t used;
};

static mm_status find_list(const struct onnx_attributes *a, const char *name, int32_t type,
                           struct list *list, mm_error *err) {
    *list = (struct list){.attribute = mmi_onnx_attribute(a, name)};
    if (list->attribute && list->attribute->type != type) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute %s has type %d, %d wanted", name,
                        list->attribute->type, type);
    }
    return MM_OK;
}

static float next_float(struct list *list, float fallback) {
    bool some = list->attribute && list->used < list->attribute->count;
    return some ? list->attribute->floats[list->used++] : fallback;
}

/* The functions of all directions in turn; `usual` are those of one, where no names are given. */
static mm_status read_functions(const struct onnx_attributes *a, const int32_t *usual,
                                uint32_t count, struct onnx_rnn *rnn, mm_error *err) {
    struct list names, alpha, beta;
    uint32_t all = rnn->direction == ONNX_RNN_BIDIRECTIONAL ? 2 * count : count;
    MMI_TRY(find_list(a, "activations", ONNX_ATTRIBUTE_STRINGS, &names, err));
    MMI_TRY(find_list(a, "activation_alpha", ONNX_ATTRIBUTE_FLOATS, &alpha, err));
    MMI_TRY(find_list(a, "activation_beta", ONNX_ATTRIBUTE_FLOATS, &beta, err));
    if (names.attribute && names.attribute->count != all) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "attribute activations has %" PRIu64 " names, %u wanted",
                        names.attribute->count, all);
    }
    for (uint32_t i = 0; i < all; i++) {
        int32_t kind = names.attribute ? 0 : usual[i % count];
        const char *name = names.attribute ? names.attribute->texts[i] : functions[kind].name;
        while (kind < FUNCTIONS && strcasecmp(functions[kind].name, name) != 0) {
            kind++;
        }
        if (kind == FUNCTIONS) {
            return mmi_fail(err, MM_UNSUPPORTED, "activation '%.60s' is not supported", name);
        }
        const struct function *f = &functions[kind];
        rnn->functions[i / count][i % count] =
            (struct onnx_rnn_function){kind, f->takes_a ? next_float(&alpha, f->a) : 0,
                                       f->takes_b ? next_float(&beta, f->b) : 0};
    }
    return MM_OK;
}

static mm_status read(const struct onnx_attributes *a, const int32_t *usual, uint32_t count,
                      struct onnx_rnn *rnn, mm_error *err) {
    static const char *const directions[] = {"forward", "reverse", "bidirectional", NULL};
    MMI_TRY(mmi_onnx_read_choice(a, "direction", directions, &rnn->direction, err));
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, 14), "layout", false, &rnn->batch_first, err));
    MMI_TRY(mmi_onnx_read_int(a, "hidden_size", 0, &rnn->hidden, err));
    MMI_TRY(mmi_onnx_read_float(a, "clip", INFINITY, &rnn->clip, err));
    return read_functions(a, usual, count, rnn, err);
}

mm_status mmi_onnx_check_rnn(const void *params, mm_error *err) {
    const struct onnx_rnn *rnn = params;
    if (!(rnn->clip >= 0)) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute clip is %g, 0 or more wanted",
                        (double)rnn->clip);
    }
    for (uint32_t i = 0; i < 6; i++) {
        int32_t kind = rnn->functions[i / 3][i % 3].kind;
        if (kind < 0 || kind >= FUNCTIONS) {
            return mmi_fail(err, MM_INVALID_MODEL, "activation %d is not known", kind);
        }
    }
    return MM_OK;
}

static mm_status read_rnn(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const int32_t usual[] = {ONNX_RNN_TANH};
    return read(a, usual, 1, params, err);
}

static mm_status read_gru(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const int32_t usual[] = {ONNX_RNN_SIGMOID, ONNX_RNN_TANH};
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, 3), "linear_before_reset", false,
                               &((struct onnx_rnn *)params)->linear_first, err));
    return read(a, usual, 2, params, err);
}

static mm_status read_lstm(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const int32_t usual[] = {ONNX_RNN_SIGMOID, ONNX_RNN_TANH, ONNX_RNN_TANH};
    MMI_TRY(
        mmi_onnx_read_flag(a, "input_forget", false, &((struct onnx_rnn *)params)->coupled, err));
    return read(a, usual, 3, params, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

struct onnx_rnn_sizes mmi_onnx_rnn_sizes(const struct onnx_rnn *rnn, uint64_t gates,
                                         const struct onnx_tensor *inputs) {
    const struct onnx_tensor *x = &inputs[ONNX_RNN_X];
    return (struct onnx_rnn_sizes){.directions = rnn->direction == ONNX_RNN_BIDIRECTIONAL ? 2 : 1,
                                   .gates = gates,
                                   .steps = (uint64_t)x->shape[rnn->batch_first ? 1 : 0],
                                   .batch = (uint64_t)x->shape[rnn->batch_first ? 0 : 1],
                                   .input = (uint64_t)x->shape[2],
                                   .hidden = (uint64_t)inputs[ONNX_RNN_R].shape[2]};
}

static const char *const names[] = {"X",         "W",         "R", "B", "sequence_lens",
                                    "initial_h", "initial_c", "P"};

/* sequence_lens is i32, the others are floats of one type. */
static mm_status check_types(const struct onnx_inference *x, mm_error *err) {
    struct onnx_inference floats = *x;
    struct onnx_tensor inputs[ONNX_RNN_P + 1];
    floats.input_count = (uint32_t)mmi_min_u64(x->input_count, ONNX_RNN_P + 1);
    for (uint32_t i = 0; i < floats.input_count; i++) {
        inputs[i] = x->inputs[i];
        inputs[i].dtype = i == ONNX_RNN_LENGTHS ? MM_DTYPE_NONE : inputs[i].dtype;
    }
    floats.inputs = inputs;
    if (x->input_count > ONNX_RNN_LENGTHS) {
        MMI_TRY(mmi_onnx_check_type(x, ONNX_RNN_LENGTHS, ONNX_TYPE(MM_I32), err));
    }
    return mmi_onnx_check_types(&floats, ONNX_FLOATS, err);
}

/* An input that is there has this shape. */
static mm_status check_shape(const struct onnx_inference *x, uint32_t input, uint32_t rank,
                             const uint64_t *shape, mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input];
    bool fits = !mmi_onnx_has(x, input) || tensor->rank == rank;
    for (uint32_t i = 0; fits && mmi_onnx_has(x, input) && i < rank; i++) {
        if ((uint64_t)tensor->shape[i] != shape[i]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "axis %u of its %s has %" PRId64 " elements, %" PRIu64 " wanted", i,
                            names[input], tensor->shape[i], shape[i]);
        }
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL, "its %s has %u axes, %u wanted", names[input],
                           tensor->rank, rank);
}

static mm_status check_inputs(const struct onnx_inference *x, const struct onnx_rnn_sizes *s,
                              mm_error *err) {
    const struct onnx_rnn *rnn = x->params;
    const uint64_t rows = s->gates * s->hidden;
    const uint64_t w[] = {s->directions, rows, s->input}, r[] = {s->directions, rows, s->hidden};
    const uint64_t b[] = {s->directions, 2 * rows}, lengths[] = {s->batch};
    const uint64_t p[] = {s->directions, 3 * s->hidden};
    const uint64_t state[] = {rnn->batch_first ? s->batch : s->directions,
                              rnn->batch_first ? s->directions : s->batch, s->hidden};
    if (rnn->hidden != 0 && (uint64_t)rnn->hidden != s->hidden) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "attribute hidden_size is %" PRId64 ", its weights have %" PRIu64,
                        rnn->hidden, s->hidden);
    }
    MMI_TRY(check_shape(x, ONNX_RNN_W, 3, w, err));
    MMI_TRY(check_shape(x, ONNX_RNN_R, 3, r, err));
    MMI_TRY(check_shape(x, ONNX_RNN_B, 2, b, err));
    MMI_TRY(check_shape(x, ONNX_RNN_LENGTHS, 1, lengths, err));
    MMI_TRY(check_shape(x, ONNX_RNN_H, 3, state, err));
    MMI_TRY(check_shape(x, ONNX_RNN_C, 3, state, err));
    MMI_TRY(check_shape(x, ONNX_RNN_P, 2, p, err));
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, uint64_t gates, mm_error *err) {
    const struct onnx_rnn *rnn = x->params;
    int32_t dtype = x->inputs[0].dtype;
    MMI_TRY(check_types(x, err));
    for (uint32_t i = ONNX_RNN_X; i <= ONNX_RNN_R; i++) {
        if (!mmi_onnx_has(x, i) || x->inputs[i].rank != 3) {
            return mmi_fail(err, MM_INVALID_MODEL, "its %s has %u axes, 3 wanted", names[i],
                            x->inputs[i].rank);
        }
    }
    const struct onnx_rnn_sizes s = mmi_onnx_rnn_sizes(rnn, gates, x->inputs);
    const int64_t directions = (int64_t)s.directions, batch = (int64_t)s.batch;
    const int64_t steps = (int64_t)s.steps, hidden = (int64_t)s.hidden;
    MMI_TRY(check_inputs(x, &s, err));
    const int64_t all[2][4] = {{steps, directions, batch, hidden},
                               {batch, steps, directions, hidden}};
    const int64_t last[2][3] = {{directions, batch, hidden}, {batch, directions, hidden}};
    if (x->output_count > 0) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], dtype, 4, all[rnn->batch_first], err));
    }
    for (uint32_t i = 1; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], dtype, 3, last[rnn->batch_first], err));
    }
    x->scratch_bytes = mmi_onnx_rnn_scratch(&s, dtype == MM_F64 ? MM_F64 : MM_F32);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its weights are too large");
    }
    return mmi_onnx_add_copies(x, err);
}

static mm_status infer_rnn(struct onnx_inference *x, mm_error *err) {
    return infer(x, 1, err);
}

static mm_status infer_gru(struct onnx_inference *x, mm_error *err) {
    return infer(x, 3, err);
}

static mm_status infer_lstm(struct onnx_inference *x, mm_error *err) {
    return infer(x, 4, err);
}

/* ---- Operators ------------------------------------------------------------------------------- */

/* Y, and what is left at the end; the last axis of R is that of all of them. */
static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    fact->rank = output == 0 ? 4 : 3;
    fact->last = mmi_onnx_fact(l, ONNX_RNN_R).last;
}

#define LAYER(NAME, INPUTS, OUTPUTS, SUFFIX, ...)                                                  \
    const struct onnx_operator mmi_onnx_op_##NAME = {                                              \
        .name = #NAME,                                                                             \
        .min_inputs = 3,                                                                           \
        .max_inputs = INPUTS,                                                                      \
        .min_outputs = 0,                                                                          \
        .max_outputs = OUTPUTS,                                                                    \
        .params_bytes = sizeof(struct onnx_rnn),                                                   \
        .limits = ONNX_LIMITS(ONNX_RNN_LIMITS),                                                    \
        .check = mmi_onnx_check_rnn,                                                               \
        .read = read_##SUFFIX,                                                                     \
        .infer = infer_##SUFFIX,                                                                   \
        .run = mmi_onnx_run_##SUFFIX,                                                              \
        .weight_inputs = ~1u,                                                                      \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 1},                         \
        .learn = learn,                                                                            \
        .kernels = {[ONNX_CPU] = __VA_ARGS__}};
LAYER(RNN, 6, 2, rnn, mmi_onnx_cpu_RNN)
LAYER(GRU, 6, 2, gru, mmi_onnx_cpu_GRU)
LAYER(LSTM, 8, 3, lstm, mmi_onnx_cpu_LSTM)
