/* SPDX-License-Identifier: Apache-2.0 */

/* Attention of com.microsoft: projects its input to queries, keys and values first. Inputs: data
 * [batch, rows, hidden], weights [hidden, q + k + v], their bias, mask, past [2, batch, heads,
 * past, size], bias of the scores. Outputs: data, present. */

#include <backends/onnx/operators/ms_attention.h>
#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_heads.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum { DATA, WEIGHTS, BIAS, MASK, PAST, SCORE_BIAS };

mm_status mmi_onnx_read_ms_attention(const struct onnx_attributes *a, struct onnx_ms_params *p,
                                     mm_error *err) {
    int64_t rotary, shared;
    MMI_TRY(mmi_onnx_read_ms(a, p, err));
    MMI_TRY(mmi_onnx_read_int(a, "do_rotary", 0, &rotary, err));
    MMI_TRY(mmi_onnx_read_int(a, "past_present_share_buffer", 0, &shared, err));
    return !rotary && !shared
               ? MM_OK
               : mmi_fail(err, MM_UNSUPPORTED,
                          "do_rotary %" PRId64 " and past_present_share_buffer %" PRId64
                          ", 0 and 0 wanted",
                          rotary, shared);
}

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_ms_params *p = params;
    uint32_t count;
    MMI_TRY(mmi_onnx_read_ms_attention(a, p, err));
    mmi_onnx_attribute(a, "rotary_embedding_dim");
    MMI_TRY(mmi_onnx_read_ints(a, "qkv_hidden_sizes", 3, p->sizes, &count, err));
    if (count != 0 && (count != 3 || p->sizes[0] != p->sizes[1])) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute qkv_hidden_sizes has %u numbers", count);
    }
    return MM_OK;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static mm_status find_sizes(const struct onnx_ms_params *p, const struct onnx_tensor *inputs,
                            uint32_t count, struct onnx_ms_sizes *s, mm_error *err) {
    const struct onnx_tensor *data = &inputs[DATA], *weights = &inputs[WEIGHTS];
    if (data->rank != 3 || weights->rank != 2 || data->shape[2] != weights->shape[0]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, its weights %u; 3 and 2, that fit, wanted",
                        data->rank, weights->rank);
    }
    int64_t all = weights->shape[1], q = p->sizes[0], v = p->sizes[2];
    if (q == 0 && v == 0) {
        q = v = all / 3;
    }
    bool sound = p->heads > 0 && p->heads <= INT32_MAX && q > 0 && v > 0 && q <= all && v <= all &&
                 2 * q + v == all;
    if (!sound || q % p->heads != 0 || v % p->heads != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its weights have %" PRId64 " columns: %" PRId64 " for queries and %" PRId64
                        " for values of %" PRId64 " heads",
                        all, q, v, p->heads);
    }
    *s = (struct onnx_ms_sizes){.batch = (uint64_t)data->shape[0],
                                .heads = (uint64_t)p->heads,
                                .rows = (uint64_t)data->shape[1],
                                .fresh = (uint64_t)data->shape[1],
                                .size = (uint64_t)(q / p->heads),
                                .v_size = (uint64_t)(v / p->heads)};
    bool past = count > PAST && inputs[PAST].dtype != MM_DTYPE_NONE && inputs[PAST].rank == 5;
    s->past = past ? (uint64_t)inputs[PAST].shape[3] : 0;
    s->total = s->past + s->fresh;
    return mmi_onnx_check_ms_sizes(s, err);
}

static mm_status check(const struct onnx_inference *x, const struct onnx_ms_sizes *s,
                       mm_error *err) {
    const struct onnx_mask_shape scores = {
        {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->rows, (int64_t)s->total}, false};
    const struct onnx_tensor *bias = &x->inputs[BIAS], *past = &x->inputs[PAST];
    if (mmi_onnx_has(x, BIAS) &&
        (bias->rank != 1 || bias->shape[0] != x->inputs[WEIGHTS].shape[1])) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %" PRIu64 " elements, %" PRId64 " wanted", bias->elements,
                        x->inputs[WEIGHTS].shape[1]);
    }
    if (mmi_onnx_has(x, MASK)) {
        MMI_TRY(mmi_onnx_check_ms_mask(&x->inputs[MASK], s, err));
    }
    if (mmi_onnx_has(x, PAST)) {
        bool fits = past->rank == 5 && past->shape[0] == 2 &&
                    (uint64_t)past->shape[1] == s->batch && (uint64_t)past->shape[2] == s->heads &&
                    (uint64_t)past->shape[4] == s->size && s->size == s->v_size;
        if (!fits) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its past of %u axes is not [2, %" PRIu64 ", %" PRIu64 ", any, %" PRIu64
                            "]",
                            past->rank, s->batch, s->heads, s->size);
        }
    }
    return mmi_onnx_has(x, SCORE_BIAS)
               ? mmi_onnx_spread_mask(&x->inputs[SCORE_BIAS], "attention_bias", &scores, NULL, err)
               : MM_OK;
}

/* Floats of the projections and of the mask. */
static uint64_t room_floats(const struct onnx_tensor *inputs, bool masked,
                            const struct onnx_ms_sizes *s) {
    uint64_t floats, mask = masked ? mmi_onnx_ms_mask_elements(&inputs[MASK], s) : 0;
    bool fits = mmi_mul(s->batch, s->rows, &floats) &&
                mmi_mul(floats, (uint64_t)inputs[WEIGHTS].shape[1], &floats) &&
                mmi_add(floats, mask, &floats) && mmi_round_up(floats, 16, &floats);
    return fits ? floats : UINT64_MAX;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *data = &x->inputs[DATA];
    struct onnx_ms_sizes s;
    for (uint32_t i = 0; i < x->input_count; i++) {
        MMI_TRY(i != MASK ? mmi_onnx_check_type(x, i, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err)
                          : MM_OK);
        if (i != MASK && mmi_onnx_has(x, i) && x->inputs[i].dtype != data->dtype) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input 0 %s", i,
                            mm_dtype_text(x->inputs[i].dtype), mm_dtype_text(data->dtype));
        }
    }
    MMI_TRY(find_sizes(x->params, x->inputs, x->input_count, &s, err));
    MMI_TRY(check(x, &s, err));
    const int64_t out[3] = {data->shape[0], data->shape[1], (int64_t)(s.heads * s.v_size)};
    const int64_t present[5] = {2, data->shape[0], (int64_t)s.heads, (int64_t)s.total,
                                (int64_t)s.size};
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], data->dtype, 3, out, err));
    if (x->output_count > 1) {
        if (s.size != s.v_size) {
            return mmi_fail(err, MM_INVALID_MODEL, "present keys and values of different sizes");
        }
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[1], data->dtype, 5, present, err));
    }
    uint64_t bytes = room_floats(x->inputs, mmi_onnx_has(x, MASK), &s);
    uint64_t deep = mmi_max_u64(s.size, (uint64_t)data->shape[2]);
    bool fits = mmi_mul(bytes, sizeof(float), &bytes);
    x->scratch_bytes = mmi_add_cap(bytes, mmi_onnx_attend_bytes(MM_F32, s.total, deep));
    if (!fits || x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
    }
    return mmi_onnx_add_copies(x, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void project(const struct onnx_call *call, const void *ctx, float *made, void *scratch) {
    const struct onnx_tensor *data = &call->inputs[DATA], *weights = &call->inputs[WEIGHTS];
    uint64_t wide = (uint64_t)weights->shape[1], deep = (uint64_t)weights->shape[0];
    struct onnx_product product = {
        .dtype = MM_F32,
        .rows = (uint64_t)data->shape[0] * (uint64_t)data->shape[1],
        .depth = deep,
        .columns = wide,
        .a = {call->in[DATA], (int64_t)deep, 1},
        .b = {call->in[WEIGHTS], (int64_t)wide, 1},
        .start = {mmi_onnx_given(call, BIAS) ? call->in[BIAS] : NULL, 0, 1},
        .out = made,
        .out_row = wide};
    (void)ctx;
    mmi_onnx_multiply(&product, scratch);
}

mm_status mmi_onnx_run_ms_attention(const struct onnx_call *call, onnx_ms_project projecting,
                                    const void *ctx, mm_error *err) {
    struct onnx_ms_run r = {.p = call->params, .out = call->out[0]};
    MMI_TRY(find_sizes(r.p, call->inputs, call->input_count, &r.s, err));
    const struct onnx_ms_sizes *s = &r.s;
    uint64_t wide = (uint64_t)call->inputs[WEIGHTS].shape[1], all = s->heads * s->size;
    bool masked = mmi_onnx_given(call, MASK);
    float *made = call->scratch;
    r.mask_room = made + s->batch * s->rows * wide;
    r.scratch = made + room_floats(call->inputs, masked, s);
    projecting(call, ctx, made, r.scratch);
    r.q = made;
    r.k = made + all;
    r.v = made + 2 * all;
    r.of_q = r.of_k = mmi_onnx_heads_3d(s->rows, wide, s->size);
    r.of_v = mmi_onnx_heads_3d(s->rows, wide, s->v_size);
    r.mask = mmi_onnx_call_input(call, MASK);
    r.bias = mmi_onnx_call_input(call, SCORE_BIAS);
    uint64_t before = s->batch * s->heads * s->past * s->size;
    if (s->past > 0) {
        r.past_k = call->in[PAST];
        r.past_v = r.past_k + before;
    }
    if (call->output_count > 1 && call->out[1]) {
        r.present_k = call->out[1];
        r.present_v = r.present_k + s->batch * s->heads * s->total * s->size;
    }
    return mmi_onnx_run_ms(&r, err);
}

static mm_status run_f32(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_ms_attention(call, project, NULL, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    bool wanted = call->out[0] || (call->output_count > 1 && call->out[1]);
    return wanted ? mmi_onnx_run_copied(call, run_f32, err) : MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output == 1) {
        *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, 0).dtype, .rank = 5};
    }
}

const struct onnx_operator mmi_onnx_op_MsAttention = {
    .name = "Attention",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 6,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct onnx_ms_params),
    .limits = ONNX_LIMITS(ONNX_MS_LIMITS(struct onnx_ms_params, )),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
