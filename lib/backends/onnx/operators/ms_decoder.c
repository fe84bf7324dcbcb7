/* SPDX-License-Identifier: Apache-2.0 */

/* DecoderMaskedMultiHeadAttention of com.microsoft: MultiHeadAttention of one query in each sample.
 * Its past may be a cache with more room than is used: then `past_sequence_length` says how many of
 * its rows there are, the new one is put behind them, and what comes out is as large. */

#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_heads.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum {
    QUERY,
    KEY,
    VALUE,
    MASK,
    SCORE_BIAS,
    PAST_KEY,
    PAST_VALUE,
    PAST_LENGTH,
    BEAM_WIDTH,
    INDIRECTION,
    BIAS,
    INPUTS
};
/* As MultiHeadAttention has them. */
enum { P_QUERY, P_KEY, P_VALUE, P_BIAS, P_MASK, P_SCORE_BIAS, P_PAST_KEY, P_PAST_VALUE, PLAIN };
static const uint32_t places[PLAIN] = {QUERY, KEY,        VALUE,    BIAS,
                                       MASK,  SCORE_BIAS, PAST_KEY, PAST_VALUE};

struct decoder {
    struct onnx_ms_params ms; /* first: MultiHeadAttention reads it */
    int32_t shared;           /* the past is a cache */
    int32_t shows_scores;
    int64_t length; /* in a run: rows of the cache */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct decoder *p = params;
    MMI_TRY(mmi_onnx_read_ms(a, &p->ms, err));
    MMI_TRY(mmi_onnx_read_flag(a, "past_present_share_buffer", false, &p->shared, err));
    return mmi_onnx_read_flag(a, "output_qk", false, &p->shows_scores, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static void plain_inputs(const struct onnx_tensor *inputs, uint32_t count, struct onnx_tensor *to) {
    for (uint32_t i = 0; i < PLAIN; i++) {
        to[i] =
            places[i] < count ? inputs[places[i]] : (struct onnx_tensor){.dtype = MM_DTYPE_NONE};
    }
}

static bool is_cached(const struct decoder *p, const struct onnx_tensor *plain) {
    return p->shared && plain[P_PAST_KEY].dtype != MM_DTYPE_NONE;
}

static mm_status check(const struct onnx_inference *x, const struct onnx_tensor *plain,
                       mm_error *err) {
    const struct decoder *p = x->params;
    const struct onnx_tensor *query = &plain[P_QUERY];
    if (query->rank != 3 || query->shape[1] != 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its query has %u axes, %" PRId64 " rows; [batch, 1, hidden] wanted",
                        query->rank, query->rank > 1 ? query->shape[1] : 0);
    }
    if (!mmi_onnx_has(x, KEY) || !mmi_onnx_has(x, VALUE)) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "keys and values packed with the query; inputs 1 and 2 wanted");
    }
    if (mmi_onnx_has(x, INDIRECTION)) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "a cache_indirection: export the decoder without beams and search in the "
                        "caller");
    }
    bool whole = is_cached(p, plain) ? p->shows_scores != 0 : false;
    if (whole || (x->output_count > 3 && !p->shows_scores)) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "output_qk %d with %u outputs; scores come out with output_qk 1, and not "
                        "with a shared buffer",
                        p->shows_scores, x->output_count);
    }
    for (uint32_t i = PAST_LENGTH; i <= BEAM_WIDTH; i++) {
        if (mmi_onnx_has(x, i) && (x->inputs[i].dtype != MM_I32 || x->inputs[i].elements != 1)) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u is %s of %" PRIu64 " elements, one i32 wanted", i,
                            mm_dtype_text(x->inputs[i].dtype), x->inputs[i].elements);
        }
    }
    return MM_OK;
}

/* The sizes of a run; `length` rows of the cache are used. */
static struct onnx_ms_sizes sizes_of(const struct decoder *p, const struct onnx_tensor *plain,
                                     uint64_t length) {
    const uint64_t heads = (uint64_t)p->ms.heads;
    return (struct onnx_ms_sizes){.batch = (uint64_t)plain[P_QUERY].shape[0],
                                  .heads = heads,
                                  .rows = 1,
                                  .fresh = length,
                                  .total = length,
                                  .size = (uint64_t)plain[P_QUERY].shape[2] / heads,
                                  .v_size = (uint64_t)plain[P_VALUE].shape[2] / heads};
}

static mm_status check_cache(const struct onnx_tensor *plain, const struct onnx_ms_sizes *s,
                             mm_error *err) {
    for (uint32_t i = P_PAST_KEY; i <= P_PAST_VALUE; i++) {
        const struct onnx_tensor *cache = &plain[i];
        const uint64_t size = i == P_PAST_KEY ? s->size : s->v_size;
        bool fits = cache->rank == 4 && (uint64_t)cache->shape[0] == s->batch &&
                    (uint64_t)cache->shape[1] == s->heads &&
                    cache->shape[2] == plain[P_PAST_KEY].shape[2] &&
                    (uint64_t)cache->shape[3] == size && cache->dtype == plain[P_QUERY].dtype;
        if (!fits) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u of %u axes is not [%" PRIu64 ", %" PRIu64
                            ", any, %" PRIu64 "] of %s",
                            i == P_PAST_KEY ? PAST_KEY : PAST_VALUE, cache->rank, s->batch,
                            s->heads, size, mm_dtype_text(plain[P_QUERY].dtype));
        }
    }
    return MM_OK;
}

/* Floats of a cache that nobody wants, rounded up. */
static uint64_t cache_floats(const struct onnx_tensor *cache) {
    uint64_t floats;
    return mmi_round_up(cache->elements, 16, &floats) ? floats : UINT64_MAX;
}

/* Floats of the query with its bias, and of the mask. */
static uint64_t row_floats(const struct onnx_tensor *plain) {
    uint64_t floats, mask = plain[P_MASK].dtype != MM_DTYPE_NONE ? plain[P_MASK].elements : 0;
    bool fits =
        mmi_add(plain[P_QUERY].elements, mask, &floats) && mmi_round_up(floats, 16, &floats);
    return fits ? floats : UINT64_MAX;
}

static mm_status infer_cached(struct onnx_inference *x, struct onnx_tensor *plain, mm_error *err) {
    const struct decoder *p = x->params;
    struct onnx_inference inner = {.params = x->params,
                                   .input_count = P_MASK,
                                   .output_count = 1,
                                   .inputs = plain,
                                   .outputs = x->outputs};
    if (!mmi_onnx_has(x, PAST_LENGTH) || plain[P_KEY].rank != 3 || plain[P_VALUE].rank != 3) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "a shared buffer of past keys wants past_sequence_length, and keys and "
                        "values of 3 axes, got %u and %u",
                        plain[P_KEY].rank, plain[P_VALUE].rank);
    }
    MMI_TRY(mmi_onnx_op_MsMultiHeadAttention.infer(&inner, err)); /* of the new row */
    const struct onnx_ms_sizes s = sizes_of(p, plain, 1);
    MMI_TRY(check_cache(plain, &s, err));
    if (plain[P_KEY].shape[1] != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its key has %" PRId64 " rows, 1 wanted",
                        plain[P_KEY].shape[1]);
    }
    for (uint32_t i = 1; i < x->output_count; i++) {
        const struct onnx_tensor *cache = &plain[P_PAST_KEY + i - 1];
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], cache->dtype, 4, cache->shape, err));
    }
    uint64_t floats =
        mmi_add_cap(cache_floats(&plain[P_PAST_KEY]), cache_floats(&plain[P_PAST_VALUE]));
    floats = mmi_add_cap(floats, row_floats(plain));
    bool fits = floats < UINT64_MAX && mmi_mul(floats, sizeof(float), &floats);
    const uint64_t most = (uint64_t)plain[P_PAST_KEY].shape[2];
    inner.scratch_bytes = mmi_add_cap(floats, mmi_onnx_attend_bytes(MM_F32, most, s.size));
    if (!fits || inner.scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
    }
    inner.input_count = PLAIN;
    inner.output_count = x->output_count;
    MMI_TRY(mmi_onnx_add_copies(&inner, err));
    x->scratch_bytes = inner.scratch_bytes;
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct onnx_tensor plain[PLAIN];
    plain_inputs(x->inputs, x->input_count, plain);
    MMI_TRY(check(x, plain, err));
    if (mmi_onnx_has(x, PAST_KEY) != mmi_onnx_has(x, PAST_VALUE)) {
        return mmi_fail(err, MM_INVALID_MODEL, "one of past_key and past_value without the other");
    }
    if (is_cached(x->params, plain)) {
        return infer_cached(x, plain, err);
    }
    struct onnx_inference inner = {.params = x->params,
                                   .input_count = PLAIN,
                                   .output_count = x->output_count,
                                   .inputs = plain,
                                   .outputs = x->outputs};
    MMI_TRY(mmi_onnx_op_MsMultiHeadAttention.infer(&inner, err));
    x->scratch_bytes = inner.scratch_bytes;
    return MM_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The cache with the new row behind those it has; `row` [batch, heads * size]. */
static const float *put_row(const struct onnx_call *call, uint32_t input, const float *bias,
                            float *to) {
    const struct decoder *p = call->params;
    const struct onnx_tensor *cache = &call->inputs[P_PAST_KEY + input - P_KEY];
    const uint64_t heads = (uint64_t)cache->shape[0] * (uint64_t)cache->shape[1];
    const uint64_t most = (uint64_t)cache->shape[2], size = (uint64_t)cache->shape[3];
    const float *row = call->in[input];
    memcpy(to, call->in[P_PAST_KEY + input - P_KEY], cache->elements * sizeof(float));
    for (uint64_t i = 0; i < heads; i++) {
        float *at = to + (i * most + (uint64_t)p->length) * size;
        for (uint64_t j = 0; j < size; j++) {
            uint64_t column = i % (uint64_t)cache->shape[1] * size + j;
            at[j] = row[i * size + j] + (bias ? bias[column] : 0);
        }
    }
    return to;
}

static mm_status run_f32(const struct onnx_call *call, mm_error *err) {
    const struct decoder *p = call->params;
    const struct onnx_tensor *cache = &call->inputs[P_PAST_KEY];
    struct onnx_ms_run r = {.p = &p->ms,
                            .s = sizes_of(p, call->inputs, (uint64_t)p->length + 1),
                            .out = call->out[0],
                            .mask = mmi_onnx_call_input(call, P_MASK),
                            .bias = mmi_onnx_call_input(call, P_SCORE_BIAS)};
    const uint64_t wide = r.s.heads * r.s.size, most = (uint64_t)cache->shape[2];
    const float *bias = mmi_onnx_given(call, P_BIAS) ? call->in[P_BIAS] : NULL;
    const float *query = call->in[P_QUERY];
    float *q = call->scratch, *k, *v;
    if (r.mask.data) {
        MMI_TRY(mmi_onnx_check_ms_mask(&r.mask, &r.s, err));
    }
    for (uint64_t i = 0; i < r.s.batch * wide; i++) {
        q[i] = query[i] + (bias ? bias[i % wide] : 0);
    }
    r.mask_room = q + r.s.batch * wide;
    k = q + row_floats(call->inputs);
    v = k + cache_floats(cache);
    r.scratch = v + cache_floats(&call->inputs[P_PAST_VALUE]);
    k = call->output_count > 1 && call->out[1] ? call->out[1] : k;
    v = call->output_count > 2 && call->out[2] ? call->out[2] : v;
    r.q = q;
    r.of_q = mmi_onnx_heads_3d(1, wide, r.s.size);
    r.k = put_row(call, P_KEY, bias ? bias + wide : NULL, k);
    r.v = put_row(call, P_VALUE, bias ? bias + 2 * wide : NULL, v);
    r.of_k = mmi_onnx_heads_4d(r.s.heads, most, r.s.size);
    r.of_v = mmi_onnx_heads_4d(r.s.heads, most, r.s.v_size);
    return mmi_onnx_run_ms(&r, err);
}

static mm_status check_numbers(const struct onnx_call *call, struct decoder *p, mm_error *err) {
    const int32_t *beams = mmi_onnx_given(call, BEAM_WIDTH) ? call->in[BEAM_WIDTH] : NULL;
    const int32_t *length = mmi_onnx_given(call, PAST_LENGTH) ? call->in[PAST_LENGTH] : NULL;
    if (beams && *beams != 1) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "beam_width is %d, 1 wanted where there is no cache_indirection", *beams);
    }
    p->length = length ? *length : 0;
    if (!p->shared || !mmi_onnx_given(call, PAST_KEY)) {
        return MM_OK;
    }
    const int64_t most = call->inputs[PAST_KEY].shape[2];
    return p->length >= 0 && p->length < most
               ? MM_OK
               : mmi_fail(err, MM_INVALID_ARGUMENT,
                          "past_sequence_length is %" PRId64 ", its past has room for %" PRId64
                          " rows and one more is to come",
                          p->length, most);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    struct decoder p = *(const struct decoder *)call->params;
    struct onnx_tensor inputs[PLAIN];
    const void *in[PLAIN];
    bool wanted = false;
    for (uint32_t i = 0; i < call->output_count; i++) {
        wanted |= call->out[i] != NULL;
    }
    if (!wanted) {
        return MM_OK;
    }
    plain_inputs(call->inputs, call->input_count, inputs);
    for (uint32_t i = 0; i < PLAIN; i++) {
        in[i] = places[i] < call->input_count ? call->in[places[i]] : NULL;
    }
    MMI_TRY(check_numbers(call, &p, err));
    struct onnx_call plain = *call;
    plain.params = &p;
    plain.input_count = PLAIN;
    plain.inputs = inputs;
    plain.in = in;
    return is_cached(&p, inputs) ? mmi_onnx_run_copied(&plain, run_f32, err)
                                 : mmi_onnx_op_MsMultiHeadAttention.run(&plain, err);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, 0).dtype, .rank = output == 0 ? 3 : 4};
}

const struct onnx_operator mmi_onnx_op_MsDecoderMaskedMultiHeadAttention = {
    .name = "DecoderMaskedMultiHeadAttention",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = INPUTS,
    .min_outputs = 1,
    .max_outputs = 4,
    .params_bytes = sizeof(struct decoder),
    .limits = ONNX_LIMITS(ONNX_MS_LIMITS(struct decoder, ms.)),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
