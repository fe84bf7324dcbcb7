/* SPDX-License-Identifier: Apache-2.0 */

/* Attention of ai.onnx. Inputs: Q, K, V, mask, past key, past value, lengths without padding.
 * Outputs: Y, present key, present value, scores. */

#include <backends/onnx/operators/heads.h>
#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct attention {
    int64_t heads, kv_heads; /* 0: not given */
    float scale, softcap;
    int32_t scaled, causal, stage, precision, pads;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct attention *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "q_num_heads", 0, &p->heads, err));
    MMI_TRY(mmi_onnx_read_int(a, "kv_num_heads", 0, &p->kv_heads, err));
    MMI_TRY(mmi_onnx_read_flag(a, "is_causal", false, &p->causal, err));
    MMI_TRY(mmi_onnx_read_int32(a, "qk_matmul_output_mode", 0, &p->stage, err));
    MMI_TRY(mmi_onnx_read_float(a, "softcap", 0, &p->softcap, err));
    MMI_TRY(mmi_onnx_read_float(a, "scale", 0, &p->scale, err));
    MMI_TRY(mmi_onnx_read_int32(a, "softmax_precision", MM_DTYPE_NONE, &p->precision, err));
    p->scaled = mmi_onnx_attribute(a, "scale") != NULL;
    p->pads = a->opset >= 24;
    return MM_OK;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

struct sizes {
    uint64_t batch, heads, kv_heads, rows, past, fresh, total, size, v_size;
    bool flat; /* Q, K and V have 3 axes */
};

/* Heads, rows and size of one of Q, K and V. */
static mm_status split(const struct onnx_tensor *tensor, uint32_t i, int64_t heads,
                       uint64_t sizes[3], mm_error *err) {
    if (tensor->rank == 4) {
        for (uint32_t j = 0; j < 3; j++) {
            sizes[j] = (uint64_t)tensor->shape[1 + j];
        }
        return MM_OK;
    }
    if (heads < 1 || tensor->shape[2] % heads != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input %u has rows of %" PRId64 " elements for %" PRId64 " heads", i,
                        tensor->shape[2], heads);
    }
    sizes[0] = (uint64_t)heads;
    sizes[1] = (uint64_t)tensor->shape[1];
    sizes[2] = (uint64_t)(tensor->shape[2] / heads);
    return MM_OK;
}

static mm_status find_sizes(const struct attention *p, const struct onnx_tensor *inputs,
                            uint32_t count, struct sizes *s, mm_error *err) {
    uint64_t q[3] = {0}, k[3] = {0}, v[3] = {0};
    uint32_t rank = inputs[0].rank;
    for (uint32_t i = 0; i < 3; i++) {
        if (inputs[i].rank != rank || rank < 3 || rank > 4) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u has %u axes, %s wanted", i,
                            inputs[i].rank, i > 0 ? "as many as its input 0" : "3 or 4");
        }
        if (inputs[i].shape[0] != inputs[0].shape[0]) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u has a batch of %" PRId64 ", its input 0 %" PRId64, i,
                            inputs[i].shape[0], inputs[0].shape[0]);
        }
    }
    MMI_TRY(split(&inputs[0], 0, p->heads, q, err));
    MMI_TRY(split(&inputs[1], 1, p->kv_heads, k, err));
    MMI_TRY(split(&inputs[2], 2, p->kv_heads, v, err));
    *s = (struct sizes){.batch = (uint64_t)inputs[0].shape[0],
                        .heads = q[0],
                        .kv_heads = k[0],
                        .rows = q[1],
                        .fresh = k[1],
                        .size = q[2],
                        .v_size = v[2],
                        .flat = rank == 3};
    if (k[0] != v[0] || k[1] != v[1] || q[2] != k[2]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its keys are [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "], its values [%" PRIu64
                        ", %" PRIu64 ", ...], its queries have %" PRIu64 " elements",
                        k[0], k[1], k[2], v[0], v[1], q[2]);
    }
    if (k[0] == 0 ? q[0] > 0 : q[0] % k[0] != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRIu64 " heads of queries for %" PRIu64 " of keys", q[0], k[0]);
    }
    bool past = count > 4 && inputs[4].dtype != MM_DTYPE_NONE && inputs[4].rank == 4;
    s->past = past ? (uint64_t)inputs[4].shape[2] : 0;
    s->total = s->past + s->fresh; /* no overflow: each is below 2^63 */
    return MM_OK;
}

static mm_status check_past(const struct onnx_inference *x, const struct sizes *s, mm_error *err) {
    if (mmi_onnx_has(x, 4) != mmi_onnx_has(x, 5)) {
        return mmi_fail(err, MM_INVALID_MODEL, "one of past_key and past_value without the other");
    }
    for (uint32_t i = 4; i < 6 && mmi_onnx_has(x, i); i++) {
        const struct onnx_tensor *past = &x->inputs[i];
        const uint64_t wanted[4] = {s->batch, s->kv_heads, s->past, i == 4 ? s->size : s->v_size};
        bool fits = past->rank == 4 && past->dtype == x->inputs[i - 3].dtype;
        for (uint32_t j = 0; j < 4 && fits; j++) {
            fits = (uint64_t)past->shape[j] == wanted[j];
        }
        if (!fits) {
            return mmi_fail(
                err, MM_INVALID_MODEL,
                "its input %u is no %s of [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", i,
                mm_dtype_text(x->inputs[i - 3].dtype), wanted[0], wanted[1], wanted[2], wanted[3]);
        }
    }
    return MM_OK;
}

static mm_status check_others(const struct onnx_inference *x, const struct sizes *s,
                              mm_error *err) {
    const struct attention *p = x->params;
    const struct onnx_mask_shape shape = {
        {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->rows, (int64_t)s->total}, p->pads != 0};
    MMI_TRY(check_past(x, s, err));
    if (mmi_onnx_has(x, 3)) {
        MMI_TRY(mmi_onnx_check_type(x, 3, ONNX_REALS | ONNX_BOOL, err));
        MMI_TRY(mmi_onnx_spread_mask(&x->inputs[3], "attn_mask", &shape, NULL, err));
    }
    const struct onnx_tensor *lengths = &x->inputs[6];
    if (mmi_onnx_has(x, 6) && (lengths->dtype != MM_I64 || lengths->rank != 1 ||
                               (uint64_t)lengths->shape[0] != s->batch)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its nonpad_kv_seqlen is %s with %" PRIu64 " elements, i64 with %" PRIu64
                        " wanted",
                        mm_dtype_text(lengths->dtype), lengths->elements, s->batch);
    }
    return MM_OK;
}

static mm_status set_outputs(struct onnx_inference *x, const struct sizes *s, mm_error *err) {
    const struct onnx_tensor *q = &x->inputs[0];
    int64_t batch = (int64_t)s->batch, heads = (int64_t)s->heads, kv_heads = (int64_t)s->kv_heads;
    int64_t rows = (int64_t)s->rows, total = (int64_t)s->total, wide = 0;
    if (__builtin_mul_overflow(heads, (int64_t)s->v_size, &wide)) {
        return mmi_fail(err, MM_TOO_LARGE, "its values are too large");
    }
    const int64_t flat[3] = {batch, rows, wide};
    const int64_t shapes[4][4] = {{batch, heads, rows, (int64_t)s->v_size},
                                  {batch, kv_heads, total, (int64_t)s->size},
                                  {batch, kv_heads, total, (int64_t)s->v_size},
                                  {batch, heads, rows, total}};
    for (uint32_t i = 0; i < x->output_count; i++) {
        bool small = i == 0 && s->flat;
        int32_t dtype = i == 1 || i == 2 ? x->inputs[i].dtype : q->dtype;
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], dtype, small ? 3 : 4, small ? flat : shapes[i],
                                    err));
    }
    return MM_OK;
}

static bool is_staged(uint32_t input) {
    return input < 3 || input == 4 || input == 5;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct sizes s;
    for (uint32_t i = 0; i < x->input_count; i++) {
        MMI_TRY(is_staged(i) ? mmi_onnx_check_type(x, i, ONNX_FLOATS, err) : MM_OK);
    }
    MMI_TRY(find_sizes(x->params, x->inputs, x->input_count, &s, err));
    MMI_TRY(check_others(x, &s, err));
    MMI_TRY(set_outputs(x, &s, err));
    int32_t dtype = mmi_onnx_attend_type(x->inputs[0].dtype, x->inputs[2].dtype);
    uint64_t bytes = mmi_onnx_attend_bytes(dtype, s.total, s.size);
    for (uint32_t i = 0; i < x->input_count; i++) {
        bool staged = is_staged(i) && mmi_onnx_has(x, i);
        bytes = mmi_add_cap(bytes, staged ? mmi_onnx_stage_bytes(&x->inputs[i], dtype) : 0);
    }
    bytes = mmi_add_cap(bytes, mmi_onnx_stage_bytes(&x->outputs[0], dtype));
    bytes =
        mmi_add_cap(bytes, x->output_count > 3 ? mmi_onnx_stage_bytes(&x->outputs[3], dtype) : 0);
    if (bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large");
    }
    x->scratch_bytes = bytes;
    return MM_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* One run, with all matrices of one type. */
struct running {
    struct sizes sizes;
    int32_t dtype;
    uint32_t width;
    const void *q, *k, *v, *past_k, *past_v;
    struct onnx_heads of_q, of_k, of_v, of_past_k, of_past_v, of_out;
    struct onnx_spread_mask mask;
    struct onnx_tensor lengths;
    uint8_t *out, *scores;
    void *scratch;
};

/* The parts of a present key or value, one behind the other. */
static void join(const struct onnx_call *call, const struct sizes *s, uint32_t output,
                 const struct onnx_heads *fresh) {
    uint64_t size = output == 1 ? s->size : s->v_size;
    uint8_t *to = call->output_count > output ? call->out[output] : NULL;
    struct onnx_heads_copy copy = {.batch = s->batch, .heads = s->kv_heads, .size = size};
    if (!to) {
        return;
    }
    copy.width = mmi_onnx_element_bytes(call->inputs[output].dtype);
    copy.to = mmi_onnx_heads_4d(s->kv_heads, s->total, size);
    if (s->past > 0) {
        copy.rows = s->past;
        copy.from = mmi_onnx_heads_4d(s->kv_heads, s->past, size);
        mmi_onnx_copy_heads(&copy, call->in[output + 3], to);
    }
    copy.rows = s->fresh;
    copy.from = *fresh;
    mmi_onnx_copy_heads(&copy, call->in[output], to + s->past * size * copy.width);
}

static void lay_out(struct running *r) {
    const struct sizes *s = &r->sizes;
    bool flat = s->flat;
    uint64_t k_wide = s->kv_heads * s->size, v_wide = s->kv_heads * s->v_size;
    r->of_q = flat ? mmi_onnx_heads_3d(s->rows, s->heads * s->size, s->size)
                   : mmi_onnx_heads_4d(s->heads, s->rows, s->size);
    r->of_k = flat ? mmi_onnx_heads_3d(s->fresh, k_wide, s->size)
                   : mmi_onnx_heads_4d(s->kv_heads, s->fresh, s->size);
    r->of_v = flat ? mmi_onnx_heads_3d(s->fresh, v_wide, s->v_size)
                   : mmi_onnx_heads_4d(s->kv_heads, s->fresh, s->v_size);
    r->of_out = flat ? mmi_onnx_heads_3d(s->rows, s->heads * s->v_size, s->v_size)
                     : mmi_onnx_heads_4d(s->heads, s->rows, s->v_size);
    r->of_past_k = mmi_onnx_heads_4d(s->kv_heads, s->past, s->size);
    r->of_past_v = mmi_onnx_heads_4d(s->kv_heads, s->past, s->v_size);
}

static void stage(const struct onnx_call *call, struct running *r) {
    const struct sizes *s = &r->sizes;
    uint8_t *room = call->scratch;
    r->q = mmi_onnx_stage(&call->inputs[0], call->in[0], r->dtype, &room);
    r->k = mmi_onnx_stage(&call->inputs[1], call->in[1], r->dtype, &room);
    r->v = mmi_onnx_stage(&call->inputs[2], call->in[2], r->dtype, &room);
    if (s->past > 0) {
        r->past_k = mmi_onnx_stage(&call->inputs[4], call->in[4], r->dtype, &room);
        r->past_v = mmi_onnx_stage(&call->inputs[5], call->in[5], r->dtype, &room);
    }
    r->out = mmi_onnx_stage_out(&call->outputs[0], call->out[0], r->dtype, &room);
    if (call->output_count > 3) {
        r->scores = mmi_onnx_stage_out(&call->outputs[3], call->out[3], r->dtype, &room);
    }
    r->scratch = room;
}

static void attend_head(const struct running *r, struct onnx_attend *a, uint64_t batch,
                        uint64_t head) {
    const struct sizes *s = &r->sizes;
    uint64_t kv = head / (s->heads / s->kv_heads), part = s->past > 0;
    a->q = mmi_onnx_head(r->q, &r->of_q, batch, head, r->width);
    if (part) {
        a->parts[0] = (struct onnx_attend_part){
            s->past, mmi_onnx_head(r->past_k, &r->of_past_k, batch, kv, r->width),
            mmi_onnx_head(r->past_v, &r->of_past_v, batch, kv, r->width)};
    }
    a->parts[part] =
        (struct onnx_attend_part){s->fresh, mmi_onnx_head(r->k, &r->of_k, batch, kv, r->width),
                                  mmi_onnx_head(r->v, &r->of_v, batch, kv, r->width)};
    a->masks[0] = mmi_onnx_mask_of(&r->mask, batch, head);
    a->valid = s->total;
    if (r->lengths.known) {
        int64_t length = mmi_onnx_int_at(&r->lengths, batch);
        a->valid = length < 0 ? 0 : (uint64_t)length;
    }
    uint64_t matrix = batch * s->heads + head;
    a->scores = r->scores ? r->scores + matrix * s->rows * s->total * r->width : NULL;
    uint64_t first = batch * r->of_out.batch + head * r->of_out.head;
    a->out = r->out ? r->out + first * r->width : r->scratch; /* where nothing is written */
    a->out_row = r->out ? r->of_out.row : 0;
    mmi_onnx_attend(a, r->scratch);
}

static mm_status attend(const struct onnx_call *call, struct running *r, mm_error *err) {
    const struct attention *p = call->params;
    const struct sizes *s = &r->sizes;
    struct onnx_attend a = {.dtype = r->dtype,
                            .rows = s->rows,
                            .size = s->size,
                            .v_size = s->v_size,
                            .scale = p->scaled ? (double)p->scale : 1 / sqrt((double)s->size),
                            .softcap = (double)p->softcap,
                            .causal = p->causal,
                            .offset = (int64_t)s->past,
                            .blank = true, /* as other runtimes; the function body has NaN */
                            .precision = p->precision,
                            .stage = p->stage};
    stage(call, r);
    if (mmi_onnx_given(call, 3)) {
        const struct onnx_mask_shape shape = {
            {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->rows, (int64_t)s->total},
            p->pads != 0};
        MMI_TRY(mmi_onnx_spread_mask(&call->inputs[3], "attn_mask", &shape, &r->mask, err));
        r->mask.mask.at = call->in[3];
    }
    for (uint64_t i = 0; i < s->batch * s->heads; i++) {
        attend_head(r, &a, i / s->heads, i % s->heads);
    }
    mmi_onnx_unstage(&call->outputs[0], r->out, r->dtype, call->out[0]);
    if (call->output_count > 3) {
        mmi_onnx_unstage(&call->outputs[3], r->scores, r->dtype, call->out[3]);
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    struct running r = {0};
    MMI_TRY(find_sizes(call->params, call->inputs, call->input_count, &r.sizes, err));
    r.dtype = mmi_onnx_attend_type(call->inputs[0].dtype, call->inputs[2].dtype);
    r.width = mmi_onnx_element_bytes(r.dtype);
    struct sizes *s = &r.sizes;
    lay_out(&r);
    join(call, s, 1, &r.of_k);
    join(call, s, 2, &r.of_v);
    bool scores = call->output_count > 3 && call->out[3];
    if (!call->out[0] && !scores) {
        return MM_OK;
    }
    if (!call->out[0]) { /* only the scores are wanted */
        s->v_size = 0;
    }
    r.lengths = mmi_onnx_call_input(call, 6);
    return attend(call, &r, err);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output > 0) {
        uint32_t like = output == 3 ? 0 : output;
        *fact = (struct onnx_fact){.dtype = mmi_onnx_fact(l, like).dtype, .rank = 4};
    }
}

const struct onnx_operator mmi_onnx_op_Attention = {
    .name = "Attention",
    .min_inputs = 3,
    .max_inputs = 7,
    .min_outputs = 1,
    .max_outputs = 4,
    .params_bytes = sizeof(struct attention),
    .limits = ONNX_LIMITS(
        ONNX_AT_LEAST("q_num_heads", struct attention, heads, 0),
        ONNX_AT_LEAST("kv_num_heads", struct attention, kv_heads, 0),
        ONNX_BETWEEN("qk_matmul_output_mode", struct attention, stage, 0, ONNX_ATTEND_SOFTMAX),
        ONNX_OF_TYPE("softmax_precision", struct attention, precision, ONNX_FLOATS | ONNX_OR_NONE)),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
