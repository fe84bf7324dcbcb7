/* SPDX-License-Identifier: Apache-2.0 */

/* DynamicQuantizeLSTM of com.microsoft: an LSTM with weights of u8 or i8, [directions, input or
 * hidden, 4 hidden]. The inputs of all steps become u8 together, the state of a batch at each
 * step, as in DynamicQuantizeLinear. */

#include <backends/onnx/operators/dequantized.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <backends/onnx/operators/rnn.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Behind the inputs of an LSTM. */
enum { W_SCALE = ONNX_RNN_P + 1, W_ZERO, R_SCALE, R_ZERO, INPUTS };
#define PLAIN (ONNX_RNN_P + 1) /* inputs of an LSTM */

/* An LSTM of before opset 14, when it had no layout. */
static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    const struct onnx_attributes as = {.node = a->node, .opset = 7};
    return mmi_onnx_op_LSTM.read(&as, params, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* The inputs of the LSTM that this one is, with weights of f32 as that has them. */
static mm_status plain_inputs(const struct onnx_tensor *inputs, uint32_t count,
                              struct onnx_tensor *to, mm_error *err) {
    for (uint32_t i = 0; i < PLAIN; i++) {
        to[i] = i < count ? inputs[i] : (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
        if (i == ONNX_RNN_W || i == ONNX_RNN_R) {
            const int64_t *shape = inputs[i].shape;
            const int64_t turned[3] = {shape[0], shape[2], shape[1]};
            MMI_TRY(mmi_onnx_tensor_set(&to[i], MM_F32, 3, turned, err));
        }
    }
    return MM_OK;
}

/* A scale or zero point: [directions], or [directions, 4 hidden]. */
static mm_status check_vector(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                              mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input], *r = &x->inputs[ONNX_RNN_R];
    bool fits = mmi_onnx_has(x, input) && tensor->dtype == dtype &&
                (tensor->rank == 1 || tensor->rank == 2) && tensor->shape[0] == r->shape[0] &&
                (tensor->rank == 1 || tensor->shape[1] == r->shape[2]);
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u is %s with %u axes and %" PRIu64 " elements; %s [%" PRId64
                           "] or [%" PRId64 ", %" PRId64 "] wanted",
                           input, mm_dtype_text(tensor->dtype), tensor->rank, tensor->elements,
                           mm_dtype_text(dtype), r->shape[0], r->shape[0], r->shape[2]);
}

static mm_status check(const struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, ONNX_RNN_X, ONNX_TYPE(MM_F32), err));
    for (uint32_t i = ONNX_RNN_W; i <= ONNX_RNN_R; i++) {
        if (!mmi_onnx_has(x, i) || x->inputs[i].rank != 3) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u has %u axes, 3 wanted", i,
                            x->inputs[i].rank);
        }
        MMI_TRY(mmi_onnx_check_type(x, i, ONNX_BYTES, err));
    }
    MMI_TRY(check_vector(x, W_SCALE, MM_F32, err));
    MMI_TRY(check_vector(x, W_ZERO, x->inputs[ONNX_RNN_W].dtype, err));
    MMI_TRY(check_vector(x, R_SCALE, MM_F32, err));
    return check_vector(x, R_ZERO, x->inputs[ONNX_RNN_R].dtype, err);
}

/* Of the bytes of the inputs and of a state, and of the products; UINT64_MAX on overflow. */
struct room {
    uint64_t inputs, state, product;
};

static struct room find_room(const struct onnx_tensor *inputs) {
    const struct onnx_tensor *x = &inputs[ONNX_RNN_X], *r = &inputs[ONNX_RNN_R];
    struct room room = {0};
    bool fits = mmi_round_up(x->elements, 64, &room.inputs) &&
                mmi_mul((uint64_t)x->shape[1], (uint64_t)r->shape[1], &room.state) &&
                mmi_round_up(room.state, 64, &room.state);
    room.product =
        mmi_onnx_quantized_bytes(mmi_max_u64((uint64_t)x->shape[2], (uint64_t)r->shape[1]), 0);
    room.inputs = fits ? room.inputs : UINT64_MAX;
    return room;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor inputs[PLAIN];
    MMI_TRY(check(x, err));
    MMI_TRY(plain_inputs(x->inputs, x->input_count, inputs, err));
    struct onnx_inference plain = {.params = x->params,
                                   .input_count = PLAIN,
                                   .output_count = x->output_count,
                                   .inputs = inputs,
                                   .outputs = x->outputs};
    MMI_TRY(mmi_onnx_op_LSTM.infer(&plain, err));
    const struct room room = find_room(x->inputs);
    x->scratch_bytes =
        mmi_add_cap(mmi_add_cap(room.inputs, room.state), mmi_add_cap(room.product, 64));
    x->scratch_bytes = mmi_add_cap(x->scratch_bytes, plain.scratch_bytes);
    return x->scratch_bytes < UINT64_MAX ? MM_OK
                                         : mmi_fail(err, MM_TOO_LARGE, "its weights are too large");
}

/* ---- Running --------------------------------------------------------------------------------- */

struct layer {
    const struct onnx_call *call;
    const int32_t *lengths; /* NULL: all of them are `steps` */
    uint64_t steps, batch, input, hidden;
    uint8_t *inputs, *state; /* as bytes */
    struct onnx_to_bytes how;
    void *scratch;
    /* Of this direction. */
    struct onnx_dequantized w, r;
    bool reverse;
    uint64_t first_row;
};

/* The weights of a direction. */
static void take_weights(const struct onnx_call *call, uint32_t weights, uint32_t scale,
                         uint64_t direction, struct onnx_dequantized *product) {
    const struct onnx_tensor *tensor = &call->inputs[weights];
    product->depth = (uint64_t)tensor->shape[1];
    product->columns = (uint64_t)tensor->shape[2];
    product->a_dtype = MM_U8;
    product->b = (const uint8_t *)call->in[weights] + direction * product->depth * product->columns;
    product->b_dtype = tensor->dtype;
    uint64_t scales = call->inputs[scale].rank > 1 ? product->columns : 1;
    uint64_t zeros = call->inputs[scale + 1].rank > 1 ? product->columns : 1;
    product->b_scale =
        (struct onnx_by_column){(const float *)call->in[scale] + direction * scales, scales};
    product->b_zero =
        (struct onnx_by_column){(const uint8_t *)call->in[scale + 1] + direction * zeros, zeros};
    product->adds = true;
}

static void start(void *ctx, uint64_t direction, bool reverse) {
    struct layer *l = ctx;
    take_weights(l->call, ONNX_RNN_W, W_SCALE, direction, &l->w);
    take_weights(l->call, ONNX_RNN_R, R_SCALE, direction, &l->r);
    l->reverse = reverse;
}

/* The row of the inputs that a row of the gates is for. */
static uint64_t row_of(const void *ctx, uint64_t row) {
    const struct layer *l = ctx;
    uint64_t at = l->first_row + row, item = at % l->batch;
    uint64_t time = mmi_onnx_rnn_time(l->lengths, item, at / l->batch, l->steps, l->reverse);
    return time * l->batch + item;
}

static void multiply_input(void *ctx, uint64_t first_step, uint64_t steps, float *out) {
    struct layer *l = ctx;
    l->first_row = first_step * l->batch;
    l->w.rows = steps * l->batch;
    l->w.a = l->inputs;
    l->w.a_zero = (int32_t)l->how.zero;
    l->w.a_scale = l->how.scale;
    l->w.row_of = row_of;
    l->w.ctx = l;
    l->w.out = out;
    mmi_onnx_multiply_dequantized(&l->w, l->scratch);
}

static void multiply_state(void *ctx, const float *state, float *out) {
    struct layer *l = ctx;
    const uint64_t count = l->batch * l->hidden;
    const struct onnx_to_bytes how = mmi_onnx_find_bytes(state, count);
    mmi_onnx_to_bytes(&how, state, count, l->state);
    l->r.rows = l->batch;
    l->r.a = l->state;
    l->r.a_zero = (int32_t)how.zero;
    l->r.a_scale = how.scale;
    l->r.out = out;
    mmi_onnx_multiply_dequantized(&l->r, l->scratch);
}

/* The inputs of all steps that there are. */
static void quantize_inputs(struct layer *l) {
    uint64_t most = l->lengths ? 0 : l->steps;
    for (uint64_t i = 0; l->lengths && i < l->batch; i++) {
        uint64_t length = l->lengths[i] > 0 ? (uint64_t)l->lengths[i] : 0;
        most = mmi_max_u64(most, mmi_min_u64(length, l->steps));
    }
    const uint64_t each = l->batch * l->input;
    l->how = mmi_onnx_find_bytes(l->call->in[ONNX_RNN_X], most * each);
    mmi_onnx_to_bytes(&l->how, l->call->in[ONNX_RNN_X], l->steps * each, l->inputs);
}

mm_status mmi_onnx_run_dynamic_lstm(const struct onnx_call *call, onnx_quantized_runner runner,
                                    mm_error *err) {
    const struct room room = find_room(call->inputs);
    const struct onnx_tensor *x = &call->inputs[ONNX_RNN_X];
    struct onnx_tensor inputs[PLAIN];
    const void *in[PLAIN] = {NULL};
    uint8_t *scratch = call->scratch;
    uint64_t product;
    struct layer l = {.call = call,
                      .steps = (uint64_t)x->shape[0],
                      .batch = (uint64_t)x->shape[1],
                      .input = (uint64_t)x->shape[2],
                      .hidden = (uint64_t)call->inputs[ONNX_RNN_R].shape[1],
                      .inputs = scratch,
                      .state = scratch + room.inputs,
                      .scratch = scratch + room.inputs + room.state};
    l.lengths = mmi_onnx_given(call, ONNX_RNN_LENGTHS) ? call->in[ONNX_RNN_LENGTHS] : NULL;
    MMI_TRY(plain_inputs(call->inputs, call->input_count, inputs, err));
    memcpy(in, call->in, mmi_min_u64(call->input_count, PLAIN) * sizeof(*in));
    (void)mmi_round_up(room.product, 64, &product); /* infer has left room for it */
    struct onnx_call plain = *call;
    plain.input_count = PLAIN;
    plain.inputs = inputs;
    plain.in = in;
    plain.scratch = (uint8_t *)l.scratch + product;
    const struct onnx_rnn_products products = {start, multiply_input, multiply_state, &l};
    l.w.runner = l.r.runner = runner;
    l.w.call = l.r.call = call;
    quantize_inputs(&l);
    return mmi_onnx_run_lstm_by(&plain, &products, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_dynamic_lstm(call, mmi_onnx_multiply_quantized, err);
}

/* Y, and what is left at the end. */
static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int64_t gates = mmi_onnx_fact(l, ONNX_RNN_R).last;
    *fact = (struct onnx_fact){
        .dtype = MM_F32, .rank = output == 0 ? 4 : 3, .last = gates > 0 ? gates / 4 : 0};
}

const struct onnx_operator mmi_onnx_op_MsDynamicQuantizeLSTM = {
    .name = "DynamicQuantizeLSTM",
    .domain = ONNX_MICROSOFT,
    .min_inputs = ONNX_RNN_B, /* what is needed of the others stands behind optional ones */
    .max_inputs = INPUTS,
    .min_outputs = 0,
    .max_outputs = 3,
    .params_bytes = sizeof(struct onnx_rnn),
    .limits = ONNX_LIMITS(ONNX_RNN_LIMITS),
    .check = mmi_onnx_check_rnn,
    .read = read,
    .infer = infer,
    .run = run,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MsDynamicQuantizeLSTM},
    .weight_inputs = 1u << ONNX_RNN_W | 1u << ONNX_RNN_R | 1u << ONNX_RNN_B,
    .facts = {MM_F32, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
