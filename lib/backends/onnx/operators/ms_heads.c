/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/ms_heads.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

mm_status mmi_onnx_read_ms(const struct onnx_attributes *a, struct onnx_ms_params *p,
                           mm_error *err) {
    MMI_TRY(mmi_onnx_read_int(a, "num_heads", 0, &p->heads, err));
    MMI_TRY(mmi_onnx_read_flag(a, "unidirectional", false, &p->causal, err));
    MMI_TRY(mmi_onnx_read_float(a, "scale", 0, &p->scale, err));
    MMI_TRY(mmi_onnx_read_float(a, "mask_filter_value", -10000, &p->filter, err));
    p->scaled = p->scale != 0; /* 0 stands for the default there */
    return MM_OK;
}

mm_status mmi_onnx_check_ms_sizes(const struct onnx_ms_sizes *s, mm_error *err) {
    int64_t wide;
    bool fits = !__builtin_mul_overflow(4 * s->heads, s->size, &wide) &&
                !__builtin_mul_overflow(4 * s->heads, s->v_size, &wide);
    return fits ? MM_OK : mmi_fail(err, MM_TOO_LARGE, "its heads are too large");
}

/* ---- Masks ----------------------------------------------------------------------------------- */

mm_status mmi_onnx_check_ms_mask(const struct onnx_tensor *mask, const struct onnx_ms_sizes *s,
                                 mm_error *err) {
    const int64_t *shape = mask->shape;
    bool fits = mask->dtype == MM_I32;
    uint64_t first = mask->rank > 0 ? (uint64_t)shape[0] : 0;
    if (mask->rank == 1) {
        fits &= first == s->batch || first / 2 == s->batch;
        fits &= first == s->batch || first % 2 == 0;
    } else if (mask->rank == 2) {
        fits &= first == s->batch && (uint64_t)shape[1] == s->total;
    } else {
        fits &= mask->rank == 3 && first == s->batch && (uint64_t)shape[1] == s->rows &&
                (uint64_t)shape[2] == s->total;
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_UNSUPPORTED,
                           "a mask of %s with %u axes and %" PRIu64
                           " elements; i32 of lengths, ends and starts, [%" PRIu64 ", %" PRIu64
                           "] or [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "] wanted",
                           mm_dtype_text(mask->dtype), mask->rank, mask->elements, s->batch,
                           s->total, s->batch, s->rows, s->total);
}

uint64_t mmi_onnx_ms_mask_elements(const struct onnx_tensor *mask, const struct onnx_ms_sizes *s) {
    uint64_t elements = mask->elements;
    if (mask->rank == 1 && __builtin_mul_overflow(s->batch, s->total, &elements)) {
        return UINT64_MAX;
    }
    return elements;
}

static void fill_mask(const struct onnx_ms_run *r) {
    const int32_t *from = r->mask.data;
    float *to = r->mask_room, filter = r->p->filter;
    if (r->mask.rank > 1) {
        for (uint64_t i = 0; i < r->mask.elements; i++) {
            to[i] = from[i] == 0 ? filter : 0;
        }
        return;
    }
    bool starts = r->mask.elements > r->s.batch;
    for (uint64_t b = 0; b < r->s.batch; b++) {
        int64_t first = starts ? from[r->s.batch + b] : 0, end = from[b];
        for (uint64_t i = 0; i < r->s.total; i++) {
            to[b * r->s.total + i] = (int64_t)i >= first && (int64_t)i < end ? 0 : filter;
        }
    }
}

static struct onnx_attend_mask mask_of(const struct onnx_ms_run *r, uint64_t batch) {
    bool by_row = r->mask.rank == 3;
    uint64_t step = r->s.total * (by_row ? r->s.rows : 1);
    return (struct onnx_attend_mask){.at = r->mask_room + batch * step,
                                     .dtype = MM_F32,
                                     .row = by_row ? (int64_t)r->s.total : 0,
                                     .column = 1,
                                     .columns = r->s.total};
}

/* ---- Running --------------------------------------------------------------------------------- */

static void join(const struct onnx_ms_run *r, bool values) {
    const struct onnx_ms_sizes *s = &r->s;
    uint64_t size = values ? s->v_size : s->size;
    float *to = values ? r->present_v : r->present_k;
    struct onnx_heads_copy copy = {
        .batch = s->batch, .heads = s->heads, .size = size, .width = sizeof(float)};
    if (!to) {
        return;
    }
    copy.to = mmi_onnx_heads_4d(s->heads, s->total, size);
    if (s->past > 0) {
        copy.rows = s->past;
        copy.from = mmi_onnx_heads_4d(s->heads, s->past, size);
        mmi_onnx_copy_heads(&copy, values ? r->past_v : r->past_k, to);
    }
    copy.rows = s->fresh;
    copy.from = values ? r->of_v : r->of_k;
    mmi_onnx_copy_heads(&copy, values ? r->v : r->k, to + s->past * size);
}

static void run_head(const struct onnx_ms_run *r, const struct onnx_spread_mask *bias,
                     struct onnx_attend *a, uint64_t batch, uint64_t head) {
    const struct onnx_ms_sizes *s = &r->s;
    uint32_t part = s->past > 0, width = sizeof(float);
    struct onnx_heads past_k = mmi_onnx_heads_4d(s->heads, s->past, s->size);
    struct onnx_heads past_v = mmi_onnx_heads_4d(s->heads, s->past, s->v_size);
    a->q = mmi_onnx_head(r->q, &r->of_q, batch, head, width);
    if (part) {
        a->parts[0] = (struct onnx_attend_part){
            s->past, mmi_onnx_head(r->past_k, &past_k, batch, head, width),
            mmi_onnx_head(r->past_v, &past_v, batch, head, width)};
    }
    a->parts[part] =
        (struct onnx_attend_part){s->fresh, mmi_onnx_head(r->k, &r->of_k, batch, head, width),
                                  mmi_onnx_head(r->v, &r->of_v, batch, head, width)};
    if (r->mask.dtype != MM_DTYPE_NONE) {
        a->masks[0] = mask_of(r, batch);
    }
    if (bias->mask.at) {
        a->masks[1] = mmi_onnx_mask_of(bias, batch, head);
    }
    a->scores = r->scores ? r->scores + (batch * s->heads + head) * s->rows * s->total : NULL;
    uint64_t first = batch * s->rows * s->heads * s->v_size + head * s->v_size;
    a->out = r->out ? r->out + first : r->scratch; /* where nothing is written */
    mmi_onnx_attend(a, r->scratch);
}

mm_status mmi_onnx_run_ms(const struct onnx_ms_run *r, mm_error *err) {
    const struct onnx_ms_sizes *s = &r->s;
    struct onnx_spread_mask bias = {0};
    struct onnx_attend a = {.dtype = MM_F32,
                            .rows = s->rows,
                            .size = s->size,
                            .v_size = r->out ? s->v_size : 0,
                            .scale = r->p->scaled ? (double)r->p->scale : 1 / sqrt((double)s->size),
                            .valid = s->total,
                            .causal = r->p->causal,
                            .offset = (int64_t)s->past,
                            .open_end = true, /* as ONNX Runtime has it */
                            .stage = ONNX_ATTEND_MASKED,
                            .out_row = r->out ? s->heads * s->v_size : 0};
    join(r, false);
    join(r, true);
    if (r->bias.dtype != MM_DTYPE_NONE) {
        const struct onnx_mask_shape shape = {
            {(int64_t)s->batch, (int64_t)s->heads, (int64_t)s->rows, (int64_t)s->total}, false};
        MMI_TRY(mmi_onnx_spread_mask(&r->bias, "attention_bias", &shape, &bias, err));
        bias.mask.at = r->bias.data;
    }
    if (r->mask.dtype != MM_DTYPE_NONE && s->total > 0) {
        fill_mask(r);
    }
    for (uint64_t i = 0; (r->out || r->scores) && i < s->batch * s->heads; i++) {
        run_head(r, &bias, &a, i / s->heads, i % s->heads);
    }
    return MM_OK;
}
