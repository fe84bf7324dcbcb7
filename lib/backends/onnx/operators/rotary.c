/* SPDX-License-Identifier: Apache-2.0 */

/* RotaryEmbedding of ai.onnx (X, cosines, sines, positions) and of com.microsoft (X, positions,
 * cosines, sines). */

#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/rotary.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

void mmi_onnx_rotate(const struct onnx_rotation *rotation, const float *from, float *to) {
    uint64_t half = rotation->half, turned = 2 * half;
    uint64_t step = rotation->interleaved ? 2 : 1, other = rotation->interleaved ? 1 : half;
    for (uint64_t i = 0; i < half; i++) {
        float x = from[i * step], y = from[i * step + other];
        float c = rotation->cosines[i], s = rotation->sines[i];
        to[i * step] = c * x - s * y;
        to[i * step + other] = s * x + c * y;
    }
    if (to != from && rotation->size > turned) {
        memcpy(to + turned, from + turned, (rotation->size - turned) * sizeof(*to));
    }
}

/* ---- Attributes ------------------------------------------------------------------------------ */

struct rotary {
    int64_t heads, dim; /* 0: not given */
    int32_t interleaved, microsoft;
};
/* Inputs; sines come behind cosines. */
static uint32_t positions_of(const struct rotary *p) {
    return p->microsoft ? 1 : 3;
}
static uint32_t cosines_of(const struct rotary *p) {
    return p->microsoft ? 2 : 1;
}

static mm_status read_common(const struct onnx_attributes *a, struct rotary *p, mm_error *err) {
    MMI_TRY(mmi_onnx_read_int(a, "num_heads", 0, &p->heads, err));
    MMI_TRY(mmi_onnx_read_int(a, "rotary_embedding_dim", 0, &p->dim, err));
    return mmi_onnx_read_flag(a, "interleaved", false, &p->interleaved, err);
}

static mm_status check(const void *params, mm_error *err) {
    const struct rotary *p = params;
    if (p->heads < 0 || p->dim < 0 || p->dim % 2 != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " heads and rotary_embedding_dim %" PRId64
                        ", which is to be even",
                        p->heads, p->dim);
    }
    return MM_OK;
}

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_common(a, params, err);
}

static mm_status read_ms(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct rotary *p = params;
    int64_t packed;
    float scale;
    p->microsoft = 1;
    MMI_TRY(mmi_onnx_read_int(a, "is_packed_batching", 0, &packed, err)); /* nothing to do */
    MMI_TRY(mmi_onnx_read_float(a, "scale", 1, &scale, err));
    if (scale != 1) {
        return mmi_fail(err, MM_UNSUPPORTED, "attribute scale is %g, 1 wanted", (double)scale);
    }
    return read_common(a, p, err);
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

struct sizes {
    uint64_t batch, heads, rows, size, half;
    uint64_t head_step, row_step; /* of X, in elements */
};

static mm_status find_heads(const struct rotary *p, const struct onnx_tensor *inputs,
                            struct sizes *s, mm_error *err) {
    const struct onnx_tensor *x = &inputs[0], *cosines = &inputs[cosines_of(p)];
    if (x->rank != 3 && x->rank != 4) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 3 or 4 wanted", x->rank);
    }
    int64_t last = x->shape[x->rank - 1], heads = x->rank == 4 ? x->shape[1] : p->heads;
    int64_t known = cosines->rank > 0 ? cosines->shape[cosines->rank - 1] : 0;
    if (x->rank == 3 && heads == 0 && p->dim == 0 && p->microsoft) {
        heads = known > 0 ? last / known / 2 : 0; /* com.microsoft: heads as wide as the angles */
    }
    if (x->rank == 3 && (heads < 1 || last % heads != 0)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has rows of %" PRId64 " elements for %" PRId64 " heads", last,
                        heads);
    }
    int64_t size = x->rank == 3 ? last / heads : last;
    int64_t dim = p->dim > 0 ? p->dim : size;
    if (dim % 2 != 0 || dim > size || known != dim / 2) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " of %" PRId64 " elements of a head are turned by %" PRId64
                        " angles",
                        dim, size, known);
    }
    *s = (struct sizes){.batch = (uint64_t)x->shape[0],
                        .heads = (uint64_t)heads,
                        .rows = (uint64_t)x->shape[x->rank - 2],
                        .size = (uint64_t)size,
                        .half = (uint64_t)dim / 2};
    s->head_step = x->rank == 3 ? s->size : s->rows * s->size;
    s->row_step = x->rank == 3 ? (uint64_t)last : s->size;
    return MM_OK;
}

static mm_status check_angles(const struct onnx_inference *x, const struct sizes *s,
                              mm_error *err) {
    const struct rotary *p = x->params;
    const struct onnx_tensor *cosines = &x->inputs[cosines_of(p)], *sines = cosines + 1;
    bool by_position = mmi_onnx_has(x, positions_of(p));
    bool same = cosines->rank == sines->rank;
    for (uint32_t i = 0; i < cosines->rank && same; i++) {
        same = cosines->shape[i] == sines->shape[i];
    }
    bool fits = same && cosines->rank == (by_position ? 2u : 3u);
    if (fits && !by_position) {
        fits = (uint64_t)cosines->shape[0] == s->batch && (uint64_t)cosines->shape[1] == s->rows;
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its cosines have %u axes, its sines %u; %d, of the same shape, wanted",
                           cosines->rank, sines->rank, by_position ? 2 : 3);
}

static mm_status check_positions(const struct onnx_inference *x, const struct sizes *s,
                                 mm_error *err) {
    const struct rotary *p = x->params;
    if (!mmi_onnx_has(x, positions_of(p))) {
        return MM_OK;
    }
    const struct onnx_tensor *ids = &x->inputs[positions_of(p)];
    MMI_TRY(mmi_onnx_check_indices(x, positions_of(p), err));
    bool each =
        ids->rank == 2 && (uint64_t)ids->shape[0] == s->batch && (uint64_t)ids->shape[1] == s->rows;
    bool first = p->microsoft && ids->rank <= 1 && ids->elements == 1;
    if (!each && !first) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its positions have %u axes, [%" PRIu64 ", %" PRIu64 "] wanted", ids->rank,
                        s->batch, s->rows);
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct rotary *p = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    struct sizes s;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS & ~ONNX_TYPE(MM_F64), err));
    for (uint32_t i = cosines_of(p); i < cosines_of(p) + 2; i++) {
        if (x->inputs[i].dtype != data->dtype) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input 0 %s", i,
                            mm_dtype_text(x->inputs[i].dtype), mm_dtype_text(data->dtype));
        }
    }
    MMI_TRY(find_heads(p, x->inputs, &s, err));
    MMI_TRY(check_angles(x, &s, err));
    MMI_TRY(check_positions(x, &s, err));
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err));
    return mmi_onnx_add_copies(x, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The row of angles of a position; ids without elements of their own count from the first on. */
static mm_status angles_at(const struct onnx_tensor *ids, uint64_t row, const struct sizes *s,
                           const struct onnx_tensor *cosines, uint64_t *angles, mm_error *err) {
    *angles = row;
    if (ids->dtype == MM_DTYPE_NONE) {
        return MM_OK;
    }
    bool each = ids->rank == 2;
    int64_t start = mmi_onnx_int_at(ids, each ? row : 0), position;
    if (__builtin_add_overflow(start, each ? 0 : (int64_t)(row % s->rows), &position) ||
        position < 0 || position >= cosines->shape[0]) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "position %" PRId64 " of row %" PRIu64 ", 0 to %" PRId64 " are known",
                        start, row, cosines->shape[0] - 1);
    }
    *angles = (uint64_t)position;
    return MM_OK;
}

static mm_status run_f32(const struct onnx_call *call, mm_error *err) {
    const struct rotary *p = call->params;
    const struct onnx_tensor *cosines = &call->inputs[cosines_of(p)];
    struct onnx_tensor ids = mmi_onnx_call_input(call, positions_of(p));
    struct sizes s;
    MMI_TRY(find_heads(p, call->inputs, &s, err));
    struct onnx_rotation rotation = {
        .half = s.half, .size = s.size, .interleaved = p->interleaved != 0};
    const float *from = call->in[0], *of_cosines = call->in[cosines_of(p)],
                *of_sines = call->in[cosines_of(p) + 1];
    float *to = call->out[0];
    uint64_t rows = to ? s.batch * s.rows : 0; /* with elements, so no overflow */
    for (uint64_t row = 0; row < rows; row++) {
        uint64_t angles = 0;
        MMI_TRY(angles_at(&ids, row, &s, cosines, &angles, err));
        rotation.cosines = of_cosines + angles * s.half;
        rotation.sines = of_sines + angles * s.half;
        uint64_t at = row / s.rows * s.heads * s.rows * s.size + row % s.rows * s.row_step;
        for (uint64_t head = 0; head < s.heads; head++) {
            mmi_onnx_rotate(&rotation, from + at + head * s.head_step,
                            to + at + head * s.head_step);
        }
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_f32, err) : MM_OK;
}

const struct onnx_operator mmi_onnx_op_RotaryEmbedding = {
    .name = "RotaryEmbedding",
    .min_inputs = 3,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct rotary),
    .check = check,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
};

const struct onnx_operator mmi_onnx_op_MsRotaryEmbedding = {
    .name = "RotaryEmbedding",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 4,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct rotary),
    .check = check,
    .read = read_ms,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
};
