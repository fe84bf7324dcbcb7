/* SPDX-License-Identifier: Apache-2.0 */

/* EmbedLayerNormalization and QEmbedLayerNormalization of com.microsoft: rows of tables for words,
 * positions and segments, added and normalised. Outputs: data, how many words of each sample the
 * mask has, and, where nothing is quantised, the sums. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_norm.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

enum { WORDS, SEGMENTS, WORD_TABLE, POSITION_TABLE, SEGMENT_TABLE, GAMMA, BETA, MASK, POSITIONS };
/* Quantised there are no positions, but for each table and vector a scale and a zero point. */
#define TABLES (BETA - WORD_TABLE + 1)
enum { SCALES = MASK + 1, ZEROS = SCALES + TABLES, QUANTISED_INPUTS = ZEROS + TABLES };

struct embed {
    float epsilon;
    int32_t quantised;
};

static uint32_t last_input(const struct embed *p) {
    return p->quantised ? MASK : POSITIONS;
}

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct embed *p = params;
    int64_t kind;
    MMI_TRY(mmi_onnx_read_int(a, "mask_index_type", 0, &kind, err)); /* of no use here */
    return mmi_onnx_read_float(a, "epsilon", 1e-12f, &p->epsilon, err);
}

static mm_status read_quantised(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct embed *p = params;
    p->quantised = 1;
    return mmi_onnx_read_float(a, "epsilon", 1e-12f, &p->epsilon, err);
}

static mm_status check_ids(const struct onnx_inference *x, uint32_t i, bool repeats,
                           mm_error *err) {
    const struct onnx_tensor *ids = &x->inputs[i], *words = &x->inputs[WORDS];
    if (!mmi_onnx_has(x, i)) {
        return MM_OK;
    }
    bool fits = ids->dtype == MM_I32 && ids->rank == 2 && ids->shape[1] == words->shape[1] &&
                (ids->shape[0] == words->shape[0] || (repeats && ids->shape[0] == 1));
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u is %s with %u axes; i32 [%" PRId64 ", %" PRId64 "] wanted",
                           i, mm_dtype_text(ids->dtype), ids->rank, words->shape[0],
                           words->shape[1]);
}

static mm_status check_table(const struct onnx_inference *x, uint32_t i, mm_error *err) {
    const struct onnx_tensor *table = &x->inputs[i], *words = &x->inputs[WORD_TABLE];
    const struct embed *p = x->params;
    uint32_t floats = ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F16) | ONNX_TYPE(MM_BF16);
    uint32_t types = p->quantised ? ONNX_BYTES : floats;
    if (!mmi_onnx_has(x, i)) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_check_type(x, i, types, err));
    bool vector = i == GAMMA || i == BETA;
    bool fits = table->dtype == words->dtype && words->rank == 2 && table->rank == (vector ? 1 : 2);
    return fits && table->shape[!vector] == words->shape[1]
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "its input %u, %s with %u axes, does not fit its words", i,
                          mm_dtype_text(table->dtype), table->rank);
}

static mm_status check_single(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                              mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input];
    bool fits = mmi_onnx_has(x, input) && tensor->dtype == dtype && tensor->rank <= 1 &&
                tensor->elements == 1;
    return fits
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "its input %u is %s with %u axes and %" PRIu64 " elements, one %s wanted",
                          input, mm_dtype_text(tensor->dtype), tensor->rank,
                          mmi_onnx_has(x, input) ? tensor->elements : 0, mm_dtype_text(dtype));
}

static mm_status check_scales(const struct onnx_inference *x, mm_error *err) {
    for (uint32_t i = 0; i < TABLES; i++) {
        if (mmi_onnx_has(x, WORD_TABLE + i)) {
            MMI_TRY(check_single(x, SCALES + i, MM_F32, err));
            MMI_TRY(check_single(x, ZEROS + i, x->inputs[WORD_TABLE].dtype, err));
        }
    }
    return MM_OK;
}

static mm_status check_inputs(const struct onnx_inference *x, mm_error *err) {
    const struct embed *p = x->params;
    for (uint32_t i = 0; i <= last_input(p); i++) {
        bool optional = i == SEGMENTS || i == SEGMENT_TABLE || i >= MASK;
        if (!optional && !mmi_onnx_has(x, i)) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is left out", i);
        }
    }
    for (uint32_t i = 0; i <= last_input(p); i++) {
        bool ids = i == WORDS || i == SEGMENTS || i == MASK || i == POSITIONS;
        MMI_TRY(ids ? check_ids(x, i, i == POSITIONS, err) : check_table(x, i, err));
    }
    if (mmi_onnx_has(x, SEGMENTS) != mmi_onnx_has(x, SEGMENT_TABLE)) {
        return mmi_fail(err, MM_INVALID_MODEL, "segments without a table, or one without segments");
    }
    return p->quantised ? check_scales(x, err) : MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct embed *p = x->params;
    const struct onnx_tensor *words = &x->inputs[WORDS], *table = &x->inputs[WORD_TABLE];
    MMI_TRY(check_inputs(x, err));
    const int64_t shape[3] = {words->shape[0], words->shape[1], table->shape[1]};
    const int32_t dtype = p->quantised ? MM_F32 : table->dtype;
    for (uint32_t i = 0; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], i == 1 ? MM_I32 : dtype, i == 1 ? 1 : 3, shape,
                                    err));
    }
    /* A row; quantised also gamma and beta. */
    return mmi_mul((uint64_t)table->shape[1], 2 * sizeof(double), &x->scratch_bytes)
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its rows are too large");
}

/* Adds numbers of a table or vector, or what they stand for. */
static void add_numbers(const struct onnx_call *call, uint32_t table, uint64_t first,
                        uint64_t count, double *row) {
    const struct embed *p = call->params;
    const int32_t dtype = call->inputs[table].dtype;
    const uint8_t *from = (const uint8_t *)call->in[table] + first * mmi_onnx_element_bytes(dtype);
    float numbers[ONNX_CHUNK];
    if (!p->quantised) {
        mmi_onnx_add_row(dtype, from, count, row);
        return;
    }
    const struct onnx_tensor zero = mmi_onnx_call_input(call, ZEROS + table - WORD_TABLE);
    const float *scale = call->in[SCALES + table - WORD_TABLE];
    const struct onnx_scaling scaling = {dtype, *scale, (float)mmi_onnx_int_at(&zero, 0)};
    for (uint64_t at = 0, part; at < count; at += part) {
        part = mmi_min_u64(ONNX_CHUNK, count - at);
        mmi_onnx_scale_up(&scaling, from + at, part, numbers);
        mmi_onnx_add_row(MM_F32, (const uint8_t *)numbers, part, row + at);
    }
}

static mm_status add_from(const struct onnx_call *call, uint32_t table, int64_t index, double *row,
                          mm_error *err) {
    const struct onnx_tensor *tensor = &call->inputs[table];
    uint64_t wide = (uint64_t)tensor->shape[1];
    if (index < 0 || index >= tensor->shape[0]) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "index %" PRId64 " is outside of its input %u, which has %" PRId64 " rows",
                        index, table, tensor->shape[0]);
    }
    add_numbers(call, table, (uint64_t)index * wide, wide, row);
    return MM_OK;
}

static void count_words(const struct onnx_call *call) {
    int32_t *counts = call->output_count > 1 ? call->out[1] : NULL;
    uint64_t rows = (uint64_t)call->inputs[WORDS].shape[1];
    for (uint64_t i = 0; counts && i < call->outputs[1].elements; i++) {
        const int32_t *mask = mmi_onnx_given(call, MASK) ? call->in[MASK] : NULL;
        counts[i] = 0;
        for (uint64_t j = 0; mask && j < rows; j++) {
            counts[i] += mask[i * rows + j] == 1;
        }
    }
}

/* Gamma or beta: as it lies, or as f32 in *room, which moves on. */
static const uint8_t *take_vector(const struct onnx_call *call, uint32_t input, double *row,
                                  float **room) {
    const struct embed *p = call->params;
    const uint64_t count = call->inputs[input].elements;
    float *made = *room;
    if (!p->quantised) {
        return call->in[input];
    }
    memset(row, 0, count * sizeof(*row));
    add_numbers(call, input, 0, count, row);
    mmi_onnx_convert(MM_F64, row, count, MM_F32, made);
    *room += count;
    return (const uint8_t *)made;
}

/* The sum of what the tables have for word i. */
static mm_status add_up(const struct onnx_call *call, uint64_t i, double *row, mm_error *err) {
    const struct embed *p = call->params;
    const struct onnx_tensor *words = &call->inputs[WORDS];
    const int32_t *ids = call->in[WORDS];
    int64_t place = (int64_t)(i % (uint64_t)words->shape[1]);
    if (!p->quantised && mmi_onnx_given(call, POSITIONS)) {
        place = ((const int32_t *)call->in[POSITIONS])[i % call->inputs[POSITIONS].elements];
    }
    MMI_TRY(add_from(call, WORD_TABLE, ids[i], row, err));
    MMI_TRY(add_from(call, POSITION_TABLE, place, row, err));
    if (mmi_onnx_given(call, SEGMENTS)) {
        return add_from(call, SEGMENT_TABLE, ((const int32_t *)call->in[SEGMENTS])[i], row, err);
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct embed *p = call->params;
    const struct onnx_tensor *words = &call->inputs[WORDS], *made = &call->outputs[0];
    double *row = call->scratch;
    struct onnx_norm_row norm = {.dtype = made->dtype,
                                 .count = (uint64_t)made->shape[2],
                                 .centred = true,
                                 .epsilon = (double)p->epsilon};
    float *room = (float *)(void *)(row + norm.count);
    norm.scale = take_vector(call, GAMMA, row, &room);
    norm.bias = take_vector(call, BETA, row, &room);
    uint64_t step = norm.count * mmi_onnx_element_bytes(made->dtype);
    uint8_t *sums = call->output_count > 2 ? call->out[2] : NULL;
    count_words(call);
    for (uint64_t i = 0; i < words->elements && (call->out[0] || sums); i++) {
        struct onnx_moments moments;
        memset(row, 0, norm.count * sizeof(*row));
        MMI_TRY(add_up(call, i, row, err));
        if (sums) {
            mmi_onnx_convert(MM_F64, row, norm.count, made->dtype, sums + i * step);
        }
        uint8_t *to = call->out[0] ? (uint8_t *)call->out[0] + i * step : NULL;
        mmi_onnx_norm_row(&norm, row, to, &moments);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct embed *p = l->node->params;
    const int32_t dtype = p->quantised ? MM_F32 : mmi_onnx_fact(l, WORD_TABLE).dtype;
    *fact = (struct onnx_fact){.dtype = output == 1 ? MM_I32 : dtype, .rank = output == 1 ? 1 : 3};
}

const struct onnx_operator mmi_onnx_op_MsEmbedLayerNormalization = {
    .name = "EmbedLayerNormalization",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1, /* what is needed of the others stands behind an optional one */
    .max_inputs = 9,
    .min_outputs = 1,
    .max_outputs = 3,
    .params_bytes = sizeof(struct embed),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF(WORD_TABLE), ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};

const struct onnx_operator mmi_onnx_op_MsQEmbedLayerNormalization = {
    .name = "QEmbedLayerNormalization",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = QUANTISED_INPUTS,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct embed),
    .read = read_quantised,
    .infer = infer,
    .run = run,
    .facts = {MM_F32, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
