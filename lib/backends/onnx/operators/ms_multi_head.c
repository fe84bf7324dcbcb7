/* SPDX-License-Identifier: Apache-2.0 */

/* MultiHeadAttention of com.microsoft. Queries come as [batch, rows, hidden], or with keys and
 * values as [batch, rows, heads, 3, size]; keys as [batch, keys, hidden], with values as [batch,
 * keys, heads, 2, size], or as [batch, heads, keys, size]. */

#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_heads.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum { QUERY, KEY, VALUE, BIAS, MASK, SCORE_BIAS, PAST_KEY, PAST_VALUE };

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_ms(a, params, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

static bool there(const struct onnx_tensor *inputs, uint32_t count, uint32_t i) {
    return i < count && inputs[i].dtype != MM_DTYPE_NONE;
}

static bool is(const struct onnx_tensor *tensor, uint32_t rank, const int64_t *shape) {
    bool same = tensor->rank == rank;
    for (uint32_t i = 0; i < rank && same; i++) {
        same = tensor->shape[i] == shape[i] || shape[i] < 0;
    }
    return same;
}

/* -1: anything. */
static bool sizes_of(const struct onnx_ms_params *p, const struct onnx_tensor *inputs,
                     uint32_t count, struct onnx_ms_sizes *s) {
    const struct onnx_tensor *q = &inputs[QUERY], *k = &inputs[KEY], *v = &inputs[VALUE];
    int64_t heads = p->heads;
    bool has_k = there(inputs, count, KEY), has_v = there(inputs, count, VALUE);
    if (heads < 1 || heads > INT32_MAX || q->rank < 3) {
        return false;
    }
    int64_t batch = q->shape[0], size = q->rank == 3 ? q->shape[2] / heads : q->shape[q->rank - 1];
    *s = (struct onnx_ms_sizes){.batch = (uint64_t)batch,
                                .heads = (uint64_t)heads,
                                .rows = (uint64_t)q->shape[1],
                                .fresh = (uint64_t)q->shape[1],
                                .size = (uint64_t)size,
                                .v_size = (uint64_t)size};
    if (q->rank == 5) {
        return is(q, 5, (const int64_t[]){-1, -1, heads, 3, -1}) && !has_k && !has_v;
    }
    if (q->rank != 3 || q->shape[2] % heads != 0 || !has_k) {
        return false;
    }
    if (k->rank == 5) {
        s->fresh = (uint64_t)k->shape[1];
        return is(k, 5, (const int64_t[]){batch, -1, heads, 2, size}) && !has_v;
    }
    if (k->rank == 4) {
        s->fresh = (uint64_t)k->shape[2];
        s->v_size = has_v && v->rank == 4 ? (uint64_t)v->shape[3] : 0;
        return is(k, 4, (const int64_t[]){batch, heads, -1, size}) && has_v &&
               is(v, 4, (const int64_t[]){batch, heads, k->shape[2], -1});
    }
    s->fresh = k->rank == 3 ? (uint64_t)k->shape[1] : 0;
    s->v_size = has_v && v->rank == 3 ? (uint64_t)(v->shape[2] / heads) : 0;
    return k->rank == 3 && is(k, 3, (const int64_t[]){batch, -1, q->shape[2]}) && has_v &&
           is(v, 3, (const int64_t[]){batch, k->shape[1], -1}) && v->shape[2] % heads == 0;
}

static mm_status find_sizes(const struct onnx_ms_params *p, const struct onnx_tensor *inputs,
                            uint32_t count, struct onnx_ms_sizes *s, mm_error *err) {
    if (!sizes_of(p, inputs, count, s)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its query has %u axes, its key %u, its value %u; of %" PRId64
                        " heads they do not fit",
                        inputs[QUERY].rank, there(inputs, count, KEY) ? inputs[KEY].rank : 0,
                        there(inputs, count, VALUE) ? inputs[VALUE].rank : 0, p->heads);
    }
    bool past = there(inputs, count, PAST_KEY) && inputs[PAST_KEY].rank == 4;
    s->past = past ? (uint64_t)inputs[PAST_KEY].shape[2] : 0;
    s->total = s->past + s->fresh;
    return mmi_onnx_check_ms_sizes(s, err);
}

static mm_status check(const struct onnx_inference *x, const struct onnx_ms_sizes *s,
                       mm_error *err) {
    const struct onnx_mask_shape scores = {
        {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->rows, (int64_t)s->total}, false};
    const struct onnx_tensor *bias = &x->inputs[BIAS];
    uint64_t wanted = s->heads * (2 * s->size + s->v_size);
    if (mmi_onnx_has(x, BIAS) && (bias->rank != 1 || bias->elements != wanted)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias has %" PRIu64 " elements, %" PRIu64 " wanted", bias->elements,
                        wanted);
    }
    if (mmi_onnx_has(x, MASK)) {
        MMI_TRY(mmi_onnx_check_ms_mask(&x->inputs[MASK], s, err));
    }
    if (mmi_onnx_has(x, PAST_KEY) != mmi_onnx_has(x, PAST_VALUE)) {
        return mmi_fail(err, MM_INVALID_MODEL, "one of past_key and past_value without the other");
    }
    for (uint32_t i = PAST_KEY; i <= PAST_VALUE && mmi_onnx_has(x, i); i++) {
        const int64_t shape[4] = {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->past,
                                  (int64_t)(i == PAST_KEY ? s->size : s->v_size)};
        if (!is(&x->inputs[i], 4, shape)) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u of %u axes is not [%" PRId64 ", %" PRId64 ", %" PRId64
                            ", %" PRId64 "]",
                            i, x->inputs[i].rank, shape[0], shape[1], shape[2], shape[3]);
        }
    }
    return mmi_onnx_has(x, SCORE_BIAS)
               ? mmi_onnx_spread_mask(&x->inputs[SCORE_BIAS], "attention_bias", &scores, NULL, err)
               : MM_OK;
}

/* Floats of q, k and v with their bias, and of the mask. */
static uint64_t room_floats(const struct onnx_tensor *inputs, uint32_t count,
                            const struct onnx_ms_sizes *s) {
    uint64_t q = 0, k = 0, v = 0, floats = 0;
    uint64_t mask = there(inputs, count, MASK) ? mmi_onnx_ms_mask_elements(&inputs[MASK], s) : 0;
    bool fits = mmi_mul(s->batch * s->rows, s->heads * s->size, &q) &&
                mmi_mul(s->batch * s->fresh, s->heads * s->size, &k) &&
                mmi_mul(s->batch * s->fresh, s->heads * s->v_size, &v);
    if (there(inputs, count, BIAS)) {
        fits = fits && mmi_add(q, k, &floats) && mmi_add(floats, v, &floats);
    }
    fits = fits && mmi_add(floats, mask, &floats) && mmi_round_up(floats, 16, &floats);
    return fits ? floats : UINT64_MAX;
}

static mm_status set_outputs(struct onnx_inference *x, const struct onnx_ms_sizes *s,
                             mm_error *err) {
    int32_t dtype = x->inputs[QUERY].dtype;
    int64_t batch = (int64_t)s->batch, heads = (int64_t)s->heads, total = (int64_t)s->total;
    const int64_t shapes[4][4] = {{batch, (int64_t)s->rows, (int64_t)(s->heads * s->v_size)},
                                  {batch, heads, total, (int64_t)s->size},
                                  {batch, heads, total, (int64_t)s->v_size},
                                  {batch, heads, (int64_t)s->rows, total}};
    for (uint32_t i = 0; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], dtype, i == 0 ? 3 : 4, shapes[i], err));
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct onnx_ms_sizes s;
    for (uint32_t i = 0; i < x->input_count; i++) {
        MMI_TRY(i != MASK ? mmi_onnx_check_type(x, i, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err)
                          : MM_OK);
        if (i != MASK && mmi_onnx_has(x, i) && x->inputs[i].dtype != x->inputs[QUERY].dtype) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input 0 %s", i,
                            mm_dtype_text(x->inputs[i].dtype),
                            mm_dtype_text(x->inputs[QUERY].dtype));
        }
    }
    MMI_TRY(find_sizes(x->params, x->inputs, x->input_count, &s, err));
    MMI_TRY(check(x, &s, err));
    MMI_TRY(set_outputs(x, &s, err));
    uint64_t bytes = room_floats(x->inputs, x->input_count, &s);
    bool fits = mmi_mul(bytes, sizeof(float), &bytes);
    x->scratch_bytes = mmi_add_cap(bytes, mmi_onnx_attend_bytes(MM_F32, s.total, s.size));
    if (!fits || x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
    }
    return mmi_onnx_add_copies(x, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void place(const struct onnx_call *call, struct onnx_ms_run *r) {
    const struct onnx_ms_sizes *s = &r->s;
    uint64_t wide = s->heads * s->size;
    uint32_t of_q = call->inputs[QUERY].rank;
    uint32_t of_k = mmi_onnx_given(call, KEY) ? call->inputs[KEY].rank : 0;
    r->q = call->in[QUERY];
    r->of_q = mmi_onnx_heads_3d(s->rows, wide, s->size);
    if (of_q == 5 || of_k == 5) {
        uint64_t all = of_q == 5 ? 3 : 2;
        r->of_k = r->of_v = (struct onnx_heads){s->fresh * all * wide, all * s->size, all * wide};
        r->of_q = of_q == 5 ? r->of_k : r->of_q;
        r->k = of_q == 5 ? r->q + s->size : call->in[KEY];
        r->v = r->k + s->size;
        return;
    }
    r->k = call->in[KEY];
    r->v = call->in[VALUE];
    r->of_k = of_k == 4 ? mmi_onnx_heads_4d(s->heads, s->fresh, s->size)
                        : mmi_onnx_heads_3d(s->fresh, wide, s->size);
    r->of_v = of_k == 4 ? mmi_onnx_heads_4d(s->heads, s->fresh, s->v_size)
                        : mmi_onnx_heads_3d(s->fresh, s->heads * s->v_size, s->v_size);
}

/* A copy with the bias added, [batch, rows, heads * size]. */
static void add_bias(const struct onnx_ms_sizes *s, struct onnx_heads *heads, const float **at,
                     const float *bias, bool values, float **room) {
    uint64_t rows = s->fresh, size = values ? s->v_size : s->size;
    uint64_t wide = s->heads * size, count = s->batch * rows;
    struct onnx_heads to = mmi_onnx_heads_3d(rows, wide, size);
    struct onnx_heads_copy copy = {.batch = s->batch,
                                   .heads = s->heads,
                                   .rows = rows,
                                   .size = size,
                                   .width = sizeof(float),
                                   .from = *heads,
                                   .to = to};
    float *made = *room;
    mmi_onnx_copy_heads(&copy, *at, made);
    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t j = 0; j < wide; j++) {
            made[i * wide + j] += bias[j];
        }
    }
    *room += count * wide;
    *heads = to;
    *at = made;
}

static mm_status run_f32(const struct onnx_call *call, mm_error *err) {
    struct onnx_ms_run r = {.p = call->params, .out = call->out[0]};
    MMI_TRY(find_sizes(r.p, call->inputs, call->input_count, &r.s, err));
    const struct onnx_ms_sizes *s = &r.s;
    float *room = call->scratch;
    r.scratch = room + room_floats(call->inputs, call->input_count, s);
    place(call, &r);
    if (mmi_onnx_given(call, BIAS)) {
        const float *bias = call->in[BIAS];
        uint64_t wide = s->heads * s->size;
        struct onnx_ms_sizes queries = *s;
        queries.fresh = s->rows;
        add_bias(&queries, &r.of_q, &r.q, bias, false, &room);
        if (!mmi_onnx_given(call, KEY) || call->inputs[KEY].rank != 4) {
            add_bias(s, &r.of_k, &r.k, bias + wide, false, &room);
            add_bias(s, &r.of_v, &r.v, bias + 2 * wide, true, &room);
        }
    }
    r.mask_room = room;
    r.mask = mmi_onnx_call_input(call, MASK);
    r.bias = mmi_onnx_call_input(call, SCORE_BIAS);
    if (s->past > 0) {
        r.past_k = call->in[PAST_KEY];
        r.past_v = call->in[PAST_VALUE];
    }
    r.present_k = call->output_count > 1 ? call->out[1] : NULL;
    r.present_v = call->output_count > 2 ? call->out[2] : NULL;
    r.scores = call->output_count > 3 ? call->out[3] : NULL;
    return mmi_onnx_run_ms(&r, err);
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    bool wanted = false;
    for (uint32_t i = 0; i < call->output_count; i++) {
        wanted |= call->out[i] != NULL;
    }
    return wanted ? mmi_onnx_run_copied(call, run_f32, err) : MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, 0).dtype, .rank = output == 0 ? 3 : 4};
}

const struct onnx_operator mmi_onnx_op_MsMultiHeadAttention = {
    .name = "MultiHeadAttention",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = 8,
    .min_outputs = 1,
    .max_outputs = 4,
    .params_bytes = sizeof(struct onnx_ms_params),
    .limits = ONNX_LIMITS(ONNX_MS_LIMITS(struct onnx_ms_params, )),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
