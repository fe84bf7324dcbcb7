/* SPDX-License-Identifier: Apache-2.0 */

/* LinearAttention: a matrix by head, [keys, values], to which each token adds and from which its
 * query reads. Computed in f32. */

#include <backends/onnx/operators/attend.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

/* Inputs: query, key, value, state, decay, beta. */
enum { QUERY, KEY, VALUE, STATE, DECAY, BETA, INPUTS };

struct linear_attention {
    int64_t heads, kv_heads;
    float scale;
    int32_t rule;
};

enum { GATED_DELTA, LINEAR, GATED, DELTA };
static const char *const rules[] = {"gated_delta", "linear", "gated", "delta", NULL};

static bool decays(const struct linear_attention *p) {
    return p->rule == GATED || p->rule == GATED_DELTA;
}
static bool corrects(const struct linear_attention *p) {
    return p->rule == DELTA || p->rule == GATED_DELTA;
}

static mm_status check(const void *params, mm_error *err) {
    const struct linear_attention *p = params;
    bool sound = p->rule >= GATED_DELTA && p->rule <= DELTA;
    if (!sound || p->heads < 1 || p->kv_heads < 1 || p->heads % p->kv_heads != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " heads of queries for %" PRId64 " of keys", p->heads,
                        p->kv_heads);
    }
    return MM_OK;
}

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct linear_attention *p = params;
    int64_t chunk;
    MMI_TRY(mmi_onnx_read_int(a, "q_num_heads", 0, &p->heads, err));
    MMI_TRY(mmi_onnx_read_int(a, "kv_num_heads", 0, &p->kv_heads, err));
    MMI_TRY(mmi_onnx_read_int(a, "chunk_size", 64, &chunk, err)); /* a hint */
    MMI_TRY(mmi_onnx_read_float(a, "scale", 0, &p->scale, err));
    return mmi_onnx_read_choice(a, "update_rule", rules, &p->rule, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static mm_status check_3d(const struct onnx_inference *x, uint32_t i, int64_t heads,
                          mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[i], *query = &x->inputs[QUERY];
    bool fits = tensor->rank == 3 && tensor->dtype == query->dtype;
    for (uint32_t j = 0; j < 2 && fits; j++) {
        fits = tensor->shape[j] == query->shape[j];
    }
    if (!fits || tensor->shape[2] % heads != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input %u is %s of %u axes and %" PRIu64
                        " elements; 3 axes, batch and length of its query, %" PRId64
                        " heads wanted",
                        i, mm_dtype_text(tensor->dtype), tensor->rank, tensor->elements, heads);
    }
    return MM_OK;
}

static mm_status check_gate(const struct onnx_inference *x, uint32_t i, bool wanted, int64_t other,
                            mm_error *err) {
    const struct linear_attention *p = x->params;
    const char *name = i == DECAY ? "decay" : "beta";
    if (mmi_onnx_has(x, i) != wanted) {
        return mmi_fail(err, MM_INVALID_MODEL, "update_rule '%s' %s %s", rules[p->rule],
                        wanted ? "needs" : "has no", name);
    }
    if (!wanted) {
        return MM_OK;
    }
    MMI_TRY(check_3d(x, i, 1, err));
    int64_t last = x->inputs[i].shape[2];
    if (last != p->kv_heads && last != other) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its %s has %" PRId64 " numbers for a token, %" PRId64 " or %" PRId64
                        " wanted",
                        name, last, p->kv_heads, other);
    }
    return MM_OK;
}

static mm_status check_state(const struct onnx_inference *x, const int64_t *shape, mm_error *err) {
    const struct onnx_tensor *state = &x->inputs[STATE];
    if (!mmi_onnx_has(x, STATE)) {
        return MM_OK;
    }
    bool fits = state->rank == 4;
    for (uint32_t i = 0; i < 4 && fits; i++) {
        fits = state->shape[i] == shape[i];
    }
    return fits ? mmi_onnx_check_type(x, STATE, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err)
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its past_state has %u axes and %" PRIu64 " elements, [%" PRId64
                           ", %" PRId64 ", %" PRId64 ", %" PRId64 "] wanted",
                           state->rank, state->elements, shape[0], shape[1], shape[2], shape[3]);
}

static mm_status add_scratch(struct onnx_inference *x, const struct onnx_tensor *state,
                             mm_error *err) {
    int64_t values = state->shape[3];
    uint64_t bytes = (uint64_t)values * sizeof(float) + 64;
    for (uint32_t i = 0; i < x->input_count; i++) {
        bool staged = i != STATE && mmi_onnx_has(x, i);
        bytes = mmi_add_cap(bytes, staged ? mmi_onnx_stage_bytes(&x->inputs[i], MM_F32) : 0);
    }
    /* the state is computed in f32 whether anybody wants it or not */
    struct onnx_tensor whole = *state;
    whole.dtype = MM_DTYPE_NONE;
    bytes = mmi_add_cap(bytes, mmi_onnx_stage_bytes(&whole, MM_F32));
    bytes = mmi_add_cap(bytes, mmi_onnx_stage_bytes(&x->outputs[0], MM_F32));
    if (bytes == UINT64_MAX || values > INT64_MAX / 8) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
    }
    x->scratch_bytes = bytes;
    return MM_OK;
}

/* What the state is like, as f32; its shape fits the inputs that were checked. */
static mm_status set_state(const struct linear_attention *p, const struct onnx_tensor *inputs,
                           struct onnx_tensor *state, mm_error *err) {
    const int64_t shape[4] = {inputs[QUERY].shape[0], p->kv_heads,
                              inputs[QUERY].shape[2] / p->heads,
                              inputs[VALUE].shape[2] / p->kv_heads};
    return mmi_onnx_tensor_set(state, MM_F32, 4, shape, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct linear_attention *p = x->params;
    const struct onnx_tensor *query = &x->inputs[QUERY];
    MMI_TRY(mmi_onnx_check_type(x, QUERY, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err));
    MMI_TRY(check_3d(x, QUERY, p->heads, err));
    MMI_TRY(check_3d(x, KEY, p->kv_heads, err));
    MMI_TRY(check_3d(x, VALUE, p->kv_heads, err));
    int64_t keys = query->shape[2] / p->heads, values = x->inputs[VALUE].shape[2] / p->kv_heads;
    if (x->inputs[KEY].shape[2] / p->kv_heads != keys) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its keys have %" PRId64 " elements, its queries %" PRId64,
                        x->inputs[KEY].shape[2] / p->kv_heads, keys);
    }
    MMI_TRY(check_gate(x, DECAY, decays(p), x->inputs[KEY].shape[2], err));
    MMI_TRY(check_gate(x, BETA, corrects(p), 1, err));
    int64_t wide;
    if (__builtin_mul_overflow(p->heads, values, &wide)) {
        return mmi_fail(err, MM_TOO_LARGE, "its values are too large");
    }
    const int64_t out[3] = {query->shape[0], query->shape[1], wide};
    struct onnx_tensor state;
    MMI_TRY(set_state(p, x->inputs, &state, err));
    MMI_TRY(check_state(x, state.shape, err));
    int32_t dtype = mmi_onnx_has(x, STATE) ? x->inputs[STATE].dtype : query->dtype;
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], query->dtype, 3, out, err));
    if (x->output_count > 1) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[1], dtype, 4, state.shape, err));
    }
    return add_scratch(x, &state, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

struct running {
    const struct linear_attention *p;
    const float *in[INPUTS]; /* NULL: left out */
    uint64_t widths[INPUTS]; /* elements for a token */
    uint64_t batch, tokens, keys, values;
    double scale;
    float *state, *out, *change; /* change: [values] */
};

/* The state of one head after one token. */
static void update(const struct running *r, uint64_t token, uint64_t head, float *state) {
    const float *key = r->in[KEY] + token * r->widths[KEY] + head * r->keys;
    const float *value = r->in[VALUE] + token * r->widths[VALUE] + head * r->values;
    if (decays(r->p)) {
        bool one = r->widths[DECAY] == (uint64_t)r->p->kv_heads;
        const float *decay = r->in[DECAY] + token * r->widths[DECAY] + head * (one ? 1 : r->keys);
        for (uint64_t i = 0; i < r->keys; i++) {
            float factor = expf(decay[one ? 0 : i]);
            for (uint64_t j = 0; j < r->values; j++) {
                state[i * r->values + j] *= factor;
            }
        }
    }
    memcpy(r->change, value, r->values * sizeof(*value));
    if (corrects(r->p)) {
        const float *beta = r->in[BETA] + token * r->widths[BETA];
        float factor = beta[r->widths[BETA] == 1 ? 0 : head];
        for (uint64_t i = 0; i < r->keys; i++) {
            for (uint64_t j = 0; j < r->values; j++) {
                r->change[j] -= state[i * r->values + j] * key[i];
            }
        }
        for (uint64_t j = 0; j < r->values; j++) {
            r->change[j] *= factor;
        }
    }
    for (uint64_t i = 0; i < r->keys; i++) {
        for (uint64_t j = 0; j < r->values; j++) {
            state[i * r->values + j] += key[i] * r->change[j];
        }
    }
}

static void ask(const struct running *r, uint64_t token, uint64_t head, const float *state) {
    const float *query = r->in[QUERY] + token * r->widths[QUERY] + head * r->keys;
    float *out = r->out + (token * (uint64_t)r->p->heads + head) * r->values;
    memset(out, 0, r->values * sizeof(*out));
    for (uint64_t i = 0; i < r->keys; i++) {
        for (uint64_t j = 0; j < r->values; j++) {
            out[j] += query[i] * state[i * r->values + j];
        }
    }
    for (uint64_t j = 0; j < r->values; j++) {
        out[j] *= (float)r->scale;
    }
}

static void run_head(const struct running *r, uint64_t batch, uint64_t head) {
    uint64_t kv_heads = (uint64_t)r->p->kv_heads, shared = (uint64_t)r->p->heads / kv_heads;
    float *state = r->state + (batch * kv_heads + head) * r->keys * r->values;
    for (uint64_t i = 0; i < r->tokens && r->values > 0; i++) {
        uint64_t token = batch * r->tokens + i;
        update(r, token, head, state);
        for (uint64_t j = 0; j < shared && r->out; j++) {
            ask(r, token, head * shared + j, state);
        }
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct linear_attention *p = call->params;
    const struct onnx_tensor *outputs = call->outputs;
    struct onnx_tensor whole;
    struct running r = {.p = p};
    uint8_t *room = call->scratch;
    MMI_TRY(set_state(p, call->inputs, &whole, err));
    r.batch = (uint64_t)whole.shape[0];
    r.tokens = (uint64_t)outputs[0].shape[1];
    r.keys = (uint64_t)whole.shape[2];
    r.values = (uint64_t)whole.shape[3];
    r.scale = p->scale != 0 ? (double)p->scale : 1 / sqrt((double)r.keys);
    for (uint32_t i = 0; i < call->input_count; i++) {
        if (i != STATE && mmi_onnx_given(call, i)) {
            r.in[i] = mmi_onnx_stage(&call->inputs[i], call->in[i], MM_F32, &room);
            r.widths[i] = (uint64_t)call->inputs[i].shape[2];
        }
    }
    r.out = mmi_onnx_stage_out(&outputs[0], call->out[0], MM_F32, &room);
    whole.dtype = MM_DTYPE_NONE;
    r.state = mmi_onnx_stage_out(&whole, call->scratch, MM_F32, &room);
    r.change = (float *)(void *)room;
    if (mmi_onnx_given(call, STATE)) {
        mmi_onnx_convert(call->inputs[STATE].dtype, call->in[STATE], whole.elements, MM_F32,
                         r.state);
    } else {
        memset(r.state, 0, whole.elements * sizeof(float));
    }
    uint64_t heads =
        outputs[0].elements > 0 || outputs[1].elements > 0 ? r.batch * (uint64_t)p->kv_heads : 0;
    for (uint64_t i = 0; i < heads; i++) {
        run_head(&r, i / (uint64_t)p->kv_heads, i % (uint64_t)p->kv_heads);
    }
    mmi_onnx_unstage(&outputs[0], r.out, MM_F32, call->out[0]);
    if (call->output_count > 1 && call->out[1]) {
        mmi_onnx_convert(MM_F32, r.state, whole.elements, outputs[1].dtype, call->out[1]);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output == 1) {
        bool state = l->node->input_count > STATE && l->node->inputs[STATE] != ONNX_NO_VALUE;
        *fact =
            (struct onnx_fact){.dtype = mmi_onnx_fact(l, state ? STATE : QUERY).dtype, .rank = 4};
    }
}

const struct onnx_operator mmi_onnx_op_LinearAttention = {
    .name = "LinearAttention",
    .min_inputs = 3,
    .max_inputs = INPUTS,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct linear_attention),
    .check = check,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
