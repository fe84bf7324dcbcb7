/* SPDX-License-Identifier: Apache-2.0 */

/* CausalConvWithState: each channel by a kernel of its own, over what came before. Inputs: data
 * [N, C, L], weights [C, 1, K], bias [C], what came before [N, C, K - 1]. */

#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>
#include <tgmath.h>

struct causal_conv {
    int32_t activation; /* 0: none, else silu */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const activations[] = {"none", "silu", "swish", NULL};
    struct causal_conv *p = params;
    return mmi_onnx_read_choice(a, "activation", activations, &p->activation, err);
}

static mm_status check_shape(const struct onnx_inference *x, uint32_t i, uint32_t rank,
                             const int64_t *shape, mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[i];
    bool fits = !mmi_onnx_has(x, i) || tensor->rank == rank;
    for (uint32_t j = 0; j < rank && fits && mmi_onnx_has(x, i); j++) {
        fits = tensor->shape[j] == shape[j];
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u has %u axes and %" PRIu64
                           " elements, which does not fit its input 0",
                           i, tensor->rank, tensor->elements);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[0], *weights = &x->inputs[1];
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err));
    if (data->rank != 3 || weights->rank != 3 || weights->shape[2] < 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its weights %u; 3, and a kernel of 1 or more, "
                        "wanted",
                        data->rank, weights->rank);
    }
    int64_t channels = data->shape[1], before = weights->shape[2] - 1;
    const int64_t of_weights[3] = {channels, 1, weights->shape[2]};
    const int64_t of_state[3] = {data->shape[0], channels, before};
    MMI_TRY(check_shape(x, 1, 3, of_weights, err));
    MMI_TRY(check_shape(x, 2, 1, &channels, err));
    MMI_TRY(check_shape(x, 3, 3, of_state, err));
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], data->dtype, 3, data->shape, err));
    if (x->output_count > 1) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[1], data->dtype, 3, of_state, err));
    }
    return mmi_onnx_add_copies(x, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* One channel of one sample. */
struct channel {
    uint64_t length, before; /* before: kernel - 1 */
    const float *data, *past, *weights;
    float bias;
};

/* Output i sees data[i - before .. i]; what lies before the data is in `past`, or 0. */
static void convolve(const struct channel *c, float *out) {
    for (uint64_t i = 0; i < c->length; i++) {
        out[i] = 0;
    }
    for (uint64_t k = 0; k <= c->before; k++) {
        float weight = c->weights[k];
        uint64_t lag = c->before - k, early = mmi_min_u64(lag, c->length);
        for (uint64_t i = 0; i < early && c->past; i++) {
            out[i] += weight * c->past[k + i];
        }
        for (uint64_t i = early; i < c->length; i++) {
            out[i] += weight * c->data[i - lag];
        }
    }
    for (uint64_t i = 0; i < c->length; i++) {
        out[i] += c->bias;
    }
}

/* The last `before` elements of past and data. */
static void keep(const struct channel *c, float *state) {
    uint64_t fresh = mmi_min_u64(c->before, c->length), old = c->before - fresh;
    for (uint64_t i = 0; i < old; i++) {
        state[i] = c->past ? c->past[fresh + i] : 0;
    }
    for (uint64_t i = 0; i < fresh; i++) {
        state[old + i] = c->data[c->length - fresh + i];
    }
}

static mm_status run_f32(const struct onnx_call *call, mm_error *err) {
    const struct causal_conv *p = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    const float *past = mmi_onnx_given(call, 3) ? call->in[3] : NULL;
    const float *bias = mmi_onnx_given(call, 2) ? call->in[2] : NULL;
    uint64_t channels = (uint64_t)data->shape[1], kernel = (uint64_t)call->inputs[1].shape[2];
    struct channel c = {.length = (uint64_t)data->shape[2], .before = kernel - 1};
    float *out = call->out[0], *state = call->output_count > 1 ? call->out[1] : NULL;
    uint64_t rows = out || state ? (uint64_t)data->shape[0] * channels : 0;
    (void)err;
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t channel = i % channels;
        c.data = (const float *)call->in[0] + i * c.length;
        c.past = past ? past + i * c.before : NULL;
        c.weights = (const float *)call->in[1] + channel * kernel;
        c.bias = bias ? bias[channel] : 0;
        if (out) {
            convolve(&c, out + i * c.length);
        }
        if (state) {
            keep(&c, state + i * c.before);
        }
    }
    for (uint64_t i = 0; i < data->elements && out && p->activation; i++) {
        out[i] = out[i] / (1 + exp(-out[i]));
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_copied(call, run_f32, err);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output == 1) {
        *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, 0).dtype, .rank = 3};
    }
}

const struct onnx_operator mmi_onnx_op_CausalConvWithState = {
    .name = "CausalConvWithState",
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct causal_conv),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
    .learn = learn,
};
