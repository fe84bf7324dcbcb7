/* SPDX-License-Identifier: Apache-2.0 */

/* GroupQueryAttention of com.microsoft: causal attention whose cache is as long as the longest
 * sample of the batch. Inputs: queries [batch, rows, heads * size] (or with keys and values behind
 * them in each row), keys, values, past of both [batch, kv heads, capacity, size], per sample its
 * length - 1, the longest length, cosines, sines, positions, bias of the scores, sinks. */

#include <backends/onnx/operators/heads.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/rotary.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum {
    QUERY,
    KEY,
    VALUE,
    PAST_KEY,
    PAST_VALUE,
    LENGTHS,
    LONGEST,
    COSINES,
    SINES,
    POSITIONS,
    SCORE_BIAS,
    SINK,
    INPUTS
};

struct group_query {
    int64_t heads, kv_heads, window;
    float scale, softcap;
    int32_t rotary, interleaved, smooth, causal, qk;
};

static mm_status refuse_others(const struct onnx_attributes *a, mm_error *err) {
    static const char *const none[] = {"NONE", NULL};
    int64_t bits, windowed;
    int32_t kind;
    float epsilon;
    MMI_TRY(mmi_onnx_read_choice(a, "k_quant_type", none, &kind, err));
    MMI_TRY(mmi_onnx_read_choice(a, "v_quant_type", none, &kind, err));
    MMI_TRY(mmi_onnx_read_int(a, "kv_cache_bit_width", 0, &bits, err));
    MMI_TRY(mmi_onnx_read_float(a, "qk_norm_epsilon", 0, &epsilon, err));
    MMI_TRY(mmi_onnx_read_float(a, "q_norm_epsilon", 0, &epsilon, err));
    MMI_TRY(mmi_onnx_read_float(a, "k_norm_epsilon", 0, &epsilon, err));
    MMI_TRY(mmi_onnx_read_int(a, "sliding_window_cache", 0, &windowed, err));
    return bits == 0 && windowed == 0
               ? MM_OK
               : mmi_fail(err, MM_UNSUPPORTED, "a cache that is quantised, or slides");
}

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct group_query *p = params;
    int64_t smooth;
    MMI_TRY(refuse_others(a, err));
    MMI_TRY(mmi_onnx_read_int(a, "num_heads", 0, &p->heads, err));
    MMI_TRY(mmi_onnx_read_int(a, "kv_num_heads", 0, &p->kv_heads, err));
    MMI_TRY(mmi_onnx_read_int(a, "local_window_size", -1, &p->window, err));
    MMI_TRY(mmi_onnx_read_flag(a, "do_rotary", false, &p->rotary, err));
    MMI_TRY(mmi_onnx_read_flag(a, "rotary_interleaved", false, &p->interleaved, err));
    MMI_TRY(mmi_onnx_read_int(a, "smooth_softmax", -1, &smooth, err));
    MMI_TRY(mmi_onnx_read_flag(a, "causal", true, &p->causal, err));
    MMI_TRY(mmi_onnx_read_int32(a, "qk_output", 0, &p->qk, err));
    MMI_TRY(mmi_onnx_read_float(a, "scale", 0, &p->scale, err));
    MMI_TRY(mmi_onnx_read_float(a, "softcap", 0, &p->softcap, err));
    p->smooth = smooth == 1;
    return MM_OK;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

struct sizes {
    uint64_t batch, heads, kv_heads, rows, size, wide; /* wide: of a row of queries */
    uint64_t past, longest, present;                   /* rows of caches */
    bool packed;
};

static bool there(const struct onnx_tensor *inputs, uint32_t count, uint32_t i) {
    return i < count && inputs[i].dtype != MM_DTYPE_NONE;
}

/* All but `longest` and `present`, which follow from an element. */
static mm_status find_sizes(const struct group_query *p, const struct onnx_tensor *inputs,
                            uint32_t count, struct sizes *s, mm_error *err) {
    const struct onnx_tensor *q = &inputs[QUERY];
    bool sound = p->heads > 0 && p->heads <= INT32_MAX && p->kv_heads > 0 &&
                 p->heads % p->kv_heads == 0 && q->rank == 3;
    bool packed = !there(inputs, count, KEY);
    int64_t all = sound ? p->heads + (packed ? 2 * p->kv_heads : 0) : 1;
    if (!sound || q->shape[2] % all != 0 || q->shape[2] == 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its query has %u axes, %" PRId64 " heads of queries and %" PRId64
                        " of keys",
                        q->rank, p->heads, p->kv_heads);
    }
    *s = (struct sizes){.batch = (uint64_t)q->shape[0],
                        .heads = (uint64_t)p->heads,
                        .kv_heads = (uint64_t)p->kv_heads,
                        .rows = (uint64_t)q->shape[1],
                        .size = (uint64_t)(q->shape[2] / all),
                        .wide = (uint64_t)q->shape[2],
                        .packed = packed};
    bool past = there(inputs, count, PAST_KEY) && inputs[PAST_KEY].rank == 4;
    s->past = past ? (uint64_t)inputs[PAST_KEY].shape[2] : 0;
    return MM_OK;
}

static mm_status find_longest(const struct onnx_tensor *longest, struct sizes *s, mm_error *err) {
    int64_t length = longest->elements == 1 ? mmi_onnx_int_at(longest, 0) : -1;
    if (length < 0 || (uint64_t)length < s->rows) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "its total_sequence_length is %" PRId64 ", %" PRIu64 " or more wanted",
                        length, s->rows);
    }
    s->longest = (uint64_t)length;
    s->present = mmi_max_u64(s->past, s->longest);
    return MM_OK;
}

static mm_status expect(const struct onnx_inference *x, uint32_t i, uint32_t rank,
                        const int64_t *shape, mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[i];
    bool fits = tensor->rank == rank;
    for (uint32_t j = 0; j < rank && fits; j++) {
        fits = tensor->shape[j] == shape[j] || shape[j] < 0;
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u has %u axes and %" PRIu64
                           " elements, which does not fit its query",
                           i, tensor->rank, tensor->elements);
}

static mm_status check_rotary(const struct onnx_inference *x, const struct sizes *s,
                              mm_error *err) {
    const struct group_query *p = x->params;
    if (!p->rotary) {
        return MM_OK;
    }
    if (!mmi_onnx_has(x, COSINES) || !mmi_onnx_has(x, SINES)) {
        return mmi_fail(err, MM_INVALID_MODEL, "do_rotary without cosines and sines");
    }
    const int64_t any[2] = {-1, -1};
    MMI_TRY(expect(x, COSINES, 2, any, err));
    MMI_TRY(expect(x, SINES, 2, x->inputs[COSINES].shape, err));
    if ((uint64_t)x->inputs[COSINES].shape[1] > s->size / 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRId64 " angles for heads of %" PRIu64,
                        x->inputs[COSINES].shape[1], s->size);
    }
    const int64_t ids[2] = {(int64_t)s->batch, (int64_t)s->rows};
    MMI_TRY(mmi_onnx_has(x, POSITIONS) ? mmi_onnx_check_indices(x, POSITIONS, err) : MM_OK);
    return mmi_onnx_has(x, POSITIONS) ? expect(x, POSITIONS, 2, ids, err) : MM_OK;
}

static mm_status check(const struct onnx_inference *x, const struct sizes *s, mm_error *err) {
    int64_t batch = (int64_t)s->batch, kv = (int64_t)(s->kv_heads * s->size);
    const int64_t fresh[3] = {batch, (int64_t)s->rows, kv};
    const int64_t past[4] = {batch, (int64_t)s->kv_heads, (int64_t)s->past, (int64_t)s->size};
    const int64_t heads = (int64_t)s->heads;
    if (!s->packed) {
        MMI_TRY(expect(x, KEY, 3, fresh, err));
        MMI_TRY(mmi_onnx_has(x, VALUE) ? expect(x, VALUE, 3, fresh, err) : MM_OK);
    }
    if (s->packed == mmi_onnx_has(x, VALUE) ||
        mmi_onnx_has(x, PAST_KEY) != mmi_onnx_has(x, PAST_VALUE)) {
        return mmi_fail(err, MM_INVALID_MODEL, "a key without its value, or the other way round");
    }
    for (uint32_t i = PAST_KEY; i <= PAST_VALUE && mmi_onnx_has(x, i); i++) {
        MMI_TRY(expect(x, i, 4, past, err));
    }
    MMI_TRY(mmi_onnx_check_indices(x, LENGTHS, err));
    MMI_TRY(mmi_onnx_check_indices(x, LONGEST, err));
    if (x->inputs[LENGTHS].elements != s->batch) {
        return mmi_fail(err, MM_INVALID_MODEL, "%" PRIu64 " lengths for a batch of %" PRIu64,
                        x->inputs[LENGTHS].elements, s->batch);
    }
    if (mmi_onnx_has(x, SCORE_BIAS)) {
        const struct onnx_mask_shape shape = {{batch, heads, (int64_t)s->rows, (int64_t)s->longest},
                                              true};
        MMI_TRY(mmi_onnx_spread_mask(&x->inputs[SCORE_BIAS], "attention_bias", &shape, NULL, err));
    }
    MMI_TRY(mmi_onnx_has(x, SINK) ? expect(x, SINK, 1, &heads, err) : MM_OK);
    return check_rotary(x, s, err);
}

static bool is_number(uint32_t i) {
    return i != LENGTHS && i != LONGEST && i != POSITIONS;
}

/* Scratch: what is staged, turned queries and keys, and the work of one head. */
static mm_status add_scratch(struct onnx_inference *x, const struct sizes *s, mm_error *err) {
    uint64_t bytes = mmi_onnx_attend_bytes(MM_F32, s->present, s->size), turned;
    for (uint32_t i = 0; i < x->input_count; i++) {
        bool staged = is_number(i) && mmi_onnx_has(x, i);
        bytes = mmi_add_cap(bytes, staged ? mmi_onnx_stage_bytes(&x->inputs[i], MM_F32) : 0);
    }
    bytes = mmi_add_cap(bytes, mmi_onnx_stage_bytes(&x->outputs[0], MM_F32));
    bytes =
        mmi_add_cap(bytes, x->output_count > 3 ? mmi_onnx_stage_bytes(&x->outputs[3], MM_F32) : 0);
    bool fits = mmi_mul(s->batch * s->rows, (s->heads + s->kv_heads) * s->size, &turned) &&
                mmi_mul(turned, sizeof(float), &turned) && mmi_round_up(turned, 64, &turned);
    x->scratch_bytes = mmi_add_cap(bytes, fits ? turned : UINT64_MAX);
    return x->scratch_bytes < UINT64_MAX ? MM_OK
                                         : mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct sizes s;
    const struct group_query *p = x->params;
    int32_t dtype = x->inputs[QUERY].dtype;
    for (uint32_t i = 0; i < x->input_count; i++) {
        MMI_TRY(is_number(i) ? mmi_onnx_check_type(x, i, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err)
                             : MM_OK);
        if (is_number(i) && mmi_onnx_has(x, i) && x->inputs[i].dtype != dtype) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input 0 %s", i,
                            mm_dtype_text(x->inputs[i].dtype), mm_dtype_text(dtype));
        }
    }
    if (!mmi_onnx_has(x, LENGTHS) || !mmi_onnx_has(x, LONGEST)) {
        return mmi_fail(err, MM_INVALID_MODEL, "seqlens_k or total_sequence_length is left out");
    }
    if (x->output_count > 3 && p->qk == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "4 outputs with qk_output 0");
    }
    MMI_TRY(find_sizes(p, x->inputs, x->input_count, &s, err));
    if (!x->inputs[LONGEST].known) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "its total_sequence_length is not known before the run");
    }
    MMI_TRY(mmi_onnx_check_indices(x, LONGEST, err));
    MMI_TRY(find_longest(&x->inputs[LONGEST], &s, err));
    MMI_TRY(check(x, &s, err));
    int64_t batch = (int64_t)s.batch, rows = (int64_t)s.rows;
    const int64_t out[3] = {batch, rows, (int64_t)(s.heads * s.size)};
    const int64_t present[4] = {batch, p->kv_heads, (int64_t)s.present, (int64_t)s.size};
    const int64_t scores[4] = {batch, p->heads, rows, (int64_t)s.longest};
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], dtype, 3, out, err));
    for (uint32_t i = 1; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], dtype, 4, i < 3 ? present : scores, err));
    }
    return add_scratch(x, &s, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

struct running {
    const struct group_query *p;
    const struct onnx_call *call;
    struct sizes s;
    const float *in[INPUTS];
    const float *q, *k, *v;
    struct onnx_heads of_q, of_k, of_v;
    struct onnx_spread_mask bias;
    float *out, *scores;
    void *scratch;
};

/* One sample: its rows before, the fresh ones that count, and both. */
struct sample {
    uint64_t index, past, fresh, total;
};

static mm_status find_sample(const struct running *r, uint64_t index, struct sample *sample,
                             mm_error *err) {
    const struct sizes *s = &r->s;
    struct onnx_tensor lengths = mmi_onnx_call_input(r->call, LENGTHS);
    int64_t length = mmi_onnx_int_at(&lengths, index);
    if (length < 0 || (uint64_t)length >= s->longest) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "seqlens_k of sample %" PRIu64 " is %" PRId64 ", 0 to %" PRId64 " wanted",
                        index, length, (int64_t)s->longest - 1);
    }
    uint64_t total = (uint64_t)length + 1;
    bool prompt = s->rows == s->longest;
    sample->index = index;
    sample->past = prompt ? 0 : mmi_sub_floor(total, s->rows);
    sample->total = total;
    sample->fresh = total - sample->past;
    if (sample->past > s->past) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "sample %" PRIu64 " has %" PRIu64 " rows before, its past %" PRIu64, index,
                        sample->past, s->past);
    }
    return MM_OK;
}

struct turning {
    const float *from;
    const struct onnx_heads *of;
    uint64_t heads;
    float *made; /* [batch, rows, heads * size] */
};

static mm_status turn(const struct running *r, const struct sample *sample, const struct turning *t,
                      mm_error *err) {
    const struct sizes *s = &r->s;
    const struct onnx_tensor *cosines = &r->call->inputs[COSINES];
    struct onnx_tensor ids = mmi_onnx_call_input(r->call, POSITIONS);
    struct onnx_rotation rotation = {.half = (uint64_t)cosines->shape[1],
                                     .size = s->size,
                                     .interleaved = r->p->interleaved != 0};
    for (uint64_t i = 0; i < s->rows; i++) {
        uint64_t row = sample->index * s->rows + i;
        int64_t position = ids.known ? mmi_onnx_int_at(&ids, row) : (int64_t)(sample->past + i);
        if (position < 0 || position >= cosines->shape[0]) {
            if (i >= sample->fresh) {
                position = 0; /* padding */
            } else {
                return mmi_fail(err, MM_INVALID_ARGUMENT,
                                "position %" PRId64 " of row %" PRIu64 ", 0 to %" PRId64
                                " are known",
                                position, row, cosines->shape[0] - 1);
            }
        }
        rotation.cosines = r->in[COSINES] + (uint64_t)position * rotation.half;
        rotation.sines = r->in[SINES] + (uint64_t)position * rotation.half;
        const float *from = t->from + sample->index * t->of->batch + i * t->of->row;
        for (uint64_t head = 0; head < t->heads; head++) {
            mmi_onnx_rotate(&rotation, from + head * t->of->head,
                            t->made + (row * t->heads + head) * s->size);
        }
    }
    return MM_OK;
}

static mm_status turn_all(struct running *r, float *made, mm_error *err) {
    const struct sizes *s = &r->s;
    struct sample sample;
    float *keys = made + s->batch * s->rows * s->heads * s->size;
    if (r->call->inputs[COSINES].shape[0] == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "no angles of any position");
    }
    for (uint64_t i = 0; i < s->batch; i++) {
        MMI_TRY(find_sample(r, i, &sample, err));
        MMI_TRY(turn(r, &sample, &(struct turning){r->q, &r->of_q, s->heads, made}, err));
        MMI_TRY(turn(r, &sample, &(struct turning){r->k, &r->of_k, s->kv_heads, keys}, err));
    }
    r->q = made;
    r->k = keys;
    r->of_q = mmi_onnx_heads_3d(s->rows, s->heads * s->size, s->size);
    r->of_k = mmi_onnx_heads_3d(s->rows, s->kv_heads * s->size, s->size);
    return MM_OK;
}

/* The past, then what is fresh, then 0. */
static void write_present(const struct running *r, const struct sample *sample, bool values) {
    const struct onnx_call *call = r->call;
    const struct sizes *s = &r->s;
    uint32_t output = values ? 2 : 1, input = values ? PAST_VALUE : PAST_KEY;
    uint8_t *to = call->output_count > output ? call->out[output] : NULL;
    const struct onnx_heads *of = values ? &r->of_v : &r->of_k;
    uint64_t width = mmi_onnx_element_bytes(call->inputs[QUERY].dtype), row = s->size * width;
    for (uint64_t head = 0; to && head < s->kv_heads; head++) {
        uint64_t matrix = sample->index * s->kv_heads + head;
        const float *from = (values ? r->v : r->k) + sample->index * of->batch + head * of->head;
        uint8_t *at = to + matrix * s->present * row;
        memset(at, 0, s->present * row);
        if (s->past > 0) {
            memcpy(at, (const uint8_t *)call->in[input] + matrix * s->past * row, s->past * row);
        }
        for (uint64_t i = 0; i < sample->fresh; i++) {
            mmi_onnx_convert(MM_F32, from + i * of->row, s->size, call->inputs[QUERY].dtype,
                             at + (sample->past + i) * row);
        }
    }
}

static void attend_head(const struct running *r, const struct sample *sample, struct onnx_attend *a,
                        uint64_t head) {
    const struct sizes *s = &r->s;
    const float *sinks = r->in[SINK];
    uint64_t kv = head / (s->heads / s->kv_heads), b = sample->index, part = sample->past > 0;
    struct onnx_heads past = mmi_onnx_heads_4d(s->kv_heads, s->past, s->size);
    uint32_t width = sizeof(float);
    a->q = mmi_onnx_head(r->q, &r->of_q, b, head, width);
    if (part) {
        a->parts[0] = (struct onnx_attend_part){
            sample->past, mmi_onnx_head(r->in[PAST_KEY], &past, b, kv, width),
            mmi_onnx_head(r->in[PAST_VALUE], &past, b, kv, width)};
    }
    a->parts[part] = (struct onnx_attend_part){s->rows, mmi_onnx_head(r->k, &r->of_k, b, kv, width),
                                               mmi_onnx_head(r->v, &r->of_v, b, kv, width)};
    if (r->bias.mask.at) {
        a->masks[0] = mmi_onnx_mask_of(&r->bias, b, head);
    }
    a->has_sink = r->p->smooth || sinks;
    a->sink = sinks ? (double)sinks[head] : 0;
    uint64_t columns = sample->past + s->rows;
    a->scores = r->scores ? r->scores + (b * s->heads + head) * s->rows * s->longest : NULL;
    a->scores = columns == s->longest ? a->scores : NULL;
    a->out = r->out ? r->out + b * s->rows * s->heads * s->size + head * s->size : r->scratch;
    mmi_onnx_attend(a, r->scratch);
}

static mm_status attend(const struct running *r, mm_error *err) {
    const struct sizes *s = &r->s;
    const struct group_query *p = r->p;
    for (uint64_t i = 0; i < s->batch; i++) {
        struct sample sample = {0};
        MMI_TRY(find_sample(r, i, &sample, err));
        write_present(r, &sample, false);
        write_present(r, &sample, true);
        struct onnx_attend a = {.dtype = MM_F32,
                                .rows = s->rows,
                                .size = s->size,
                                .v_size = r->out ? s->size : 0,
                                .scale =
                                    p->scale != 0 ? (double)p->scale : 1 / sqrt((double)s->size),
                                .softcap = (double)p->softcap,
                                .valid = sample.total,
                                .causal = p->causal != 0,
                                .offset = (int64_t)sample.past,
                                .window = p->causal ? p->window : 0,
                                .blank = true, /* rows of padding */
                                .stage = p->qk == 2 ? ONNX_ATTEND_SOFTMAX : ONNX_ATTEND_CAPPED,
                                .out_row = r->out ? s->heads * s->size : 0};
        for (uint64_t head = 0; (r->out || r->scores) && head < s->heads; head++) {
            attend_head(r, &sample, &a, head);
        }
    }
    return MM_OK;
}

static mm_status prepare(struct running *r, mm_error *err) {
    const struct onnx_call *call = r->call;
    struct sizes *s = &r->s;
    uint8_t *room = call->scratch;
    struct onnx_tensor longest = mmi_onnx_call_input(call, LONGEST);
    MMI_TRY(find_longest(&longest, s, err));
    for (uint32_t i = 0; i < call->input_count; i++) {
        if (is_number(i) && mmi_onnx_given(call, i)) {
            r->in[i] = mmi_onnx_stage(&call->inputs[i], call->in[i], MM_F32, &room);
        }
    }
    r->out = mmi_onnx_stage_out(&call->outputs[0], call->out[0], MM_F32, &room);
    if (call->output_count > 3) {
        r->scores = mmi_onnx_stage_out(&call->outputs[3], call->out[3], MM_F32, &room);
    }
    if (r->scores) { /* what no row of keys is for */
        memset(r->scores, 0, call->outputs[3].elements * sizeof(float));
    }
    uint64_t kv = s->packed ? s->wide : s->kv_heads * s->size, queries = s->heads * s->size;
    r->q = r->in[QUERY];
    r->k = s->packed ? r->q + queries : r->in[KEY];
    r->v = s->packed ? r->k + s->kv_heads * s->size : r->in[VALUE];
    r->of_q = mmi_onnx_heads_3d(s->rows, s->wide, s->size);
    r->of_k = r->of_v = mmi_onnx_heads_3d(s->rows, kv, s->size);
    if (mmi_onnx_given(call, SCORE_BIAS)) {
        const struct onnx_mask_shape shape = {
            {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->rows, (int64_t)s->longest}, true};
        MMI_TRY(mmi_onnx_spread_mask(&call->inputs[SCORE_BIAS], "attention_bias", &shape, &r->bias,
                                     err));
        r->bias.mask = (struct onnx_attend_mask){.at = r->in[SCORE_BIAS],
                                                 .dtype = MM_F32,
                                                 .row = r->bias.mask.row,
                                                 .column = r->bias.mask.column,
                                                 .columns = r->bias.mask.columns};
    }
    uint64_t turned = s->batch * s->rows * (s->heads + s->kv_heads) * s->size * sizeof(float);
    r->scratch = room + (turned + 63) / 64 * 64;
    return r->p->rotary ? turn_all(r, (float *)(void *)room, err) : MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    struct running r = {.p = call->params, .call = call};
    bool wanted = false;
    for (uint32_t i = 0; i < call->output_count; i++) {
        wanted |= call->out[i] != NULL;
    }
    if (!wanted) {
        return MM_OK;
    }
    MMI_TRY(find_sizes(r.p, call->inputs, call->input_count, &r.s, err));
    MMI_TRY(prepare(&r, err));
    MMI_TRY(attend(&r, err));
    mmi_onnx_unstage(&call->outputs[0], r.out, MM_F32, call->out[0]);
    if (call->output_count > 3) {
        mmi_onnx_unstage(&call->outputs[3], r.scores, MM_F32, call->out[3]);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, 0).dtype, .rank = output == 0 ? 3 : 4};
}

const struct onnx_operator mmi_onnx_op_MsGroupQueryAttention = {
    .name = "GroupQueryAttention",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1, /* what is needed of the others stands behind optional ones */
    .max_inputs = INPUTS,
    .min_outputs = 1,
    .max_outputs = 4,
    .params_bytes = sizeof(struct group_query),
    .limits = ONNX_LIMITS(ONNX_BETWEEN("num_heads", struct group_query, heads, 0, INT32_MAX),
                          ONNX_BETWEEN("kv_num_heads", struct group_query, kv_heads, 0, INT32_MAX),
                          ONNX_BETWEEN("qk_output", struct group_query, qk, 0, 2)),
    .shaping_inputs = 1u << LONGEST,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
