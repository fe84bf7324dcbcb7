/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/matmul_nbits.h>
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/operators/quantize.h>
#include <backends/onnx/passes/quantized_matrix.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

static bool take(struct onnx_arena *arena, struct onnx_quantized_matrix *m) {
    uint64_t scales = mmi_div_up(m->depth, m->block) * m->columns;
    m->numbers = mmi_onnx_take(arena, m->depth * m->columns, 1);
    m->scales = mmi_onnx_take(arena, scales, sizeof(float));
    m->zeros = mmi_onnx_take(arena, scales, 1);
    return m->numbers && m->scales && m->zeros;
}

/* Words of i4 must not have two scales in a column. */
static int32_t type_of(const struct onnx_quantized_matrix *m, uint32_t bits) {
    bool whole = m->block % ONNX_I4_ROWS == 0 || m->block >= m->depth;
    return bits == 4 && whole ? MM_I4 : MM_I8;
}

static void forget_zeros(struct onnx_quantized_matrix *m) {
    uint64_t count = mmi_div_up(m->depth, m->block) * m->columns, i = 0;
    while (i < count && m->zeros[i] == 0) {
        i++;
    }
    m->zeros = i < count ? m->zeros : NULL;
}

/* ---- DequantizeLinear ------------------------------------------------------------------------ */

struct dequantized {
    const struct onnx_tensor *w, *scales, *zeros; /* zeros NULL: 0 */
    struct onnx_granularity granularity;
    bool transposed; /* w is [N, K] */
    int32_t middle;  /* of unsigned numbers: so much less they are signed ones */
};

/* Place of element (k, n) in the file. */
static uint64_t place(const struct dequantized *d, uint64_t k, uint64_t n) {
    uint64_t row = d->transposed ? n : k, column = d->transposed ? k : n;
    return row * (uint64_t)d->w->shape[1] + column;
}

static bool find_dequantized(const struct onnx_rewrite *rewrite, uint32_t value,
                             struct dequantized *d) {
    const struct onnx_node *node = rewrite->uses.of[value].maker;
    if (!node || node->op != &mmi_onnx_op_DequantizeLinear ||
        rewrite->facts[value].dtype != MM_F32) {
        return false;
    }
    const struct onnx_quantization *params = node->params;
    bool has_zeros = node->input_count > 2 && node->inputs[2] != ONNX_NO_VALUE;
    d->w = mmi_onnx_constant(rewrite->model, node, 0);
    d->scales = mmi_onnx_constant_behind(rewrite, node->inputs[1], NULL);
    d->zeros = has_zeros ? mmi_onnx_constant(rewrite->model, node, 2) : NULL;
    if (!d->w || !d->scales || (has_zeros && !d->zeros) || d->w->rank != 2 || d->w->elements == 0 ||
        (d->zeros && d->zeros->elements != d->scales->elements)) {
        return false;
    }
    int32_t dtype = d->w->dtype;
    d->middle = dtype == MM_U8 ? 128 : dtype == MM_U4 ? 8 : 0;
    return (d->middle || dtype == MM_I8 || dtype == MM_I4) &&
           (!d->zeros || d->zeros->dtype == dtype) &&
           mmi_onnx_find_granularity(&params->rule, d->w, d->scales, &d->granularity, NULL) ==
               MM_OK;
}

/* Rows of a column that share a scale; 0: columns do not have scales like that. */
static uint64_t find_block(const struct dequantized *d, uint64_t depth) {
    const struct onnx_granularity *g = &d->granularity;
    bool last = g->inner == 1; /* the axis of the scales is that of w's rows */
    if (g->single || (!g->each && last != d->transposed)) {
        return depth;
    }
    return g->each && last == d->transposed ? mmi_min_u64(g->block, depth) : 0;
}

static void read_numbers(const struct dequantized *d, struct onnx_quantized_matrix *m) {
    int64_t numbers[ONNX_CHUNK];
    uint64_t width = (uint64_t)d->w->shape[1];
    for (uint64_t i = 0; i < d->w->elements; i += ONNX_CHUNK) {
        uint64_t count = mmi_min_u64(d->w->elements - i, ONNX_CHUNK);
        const uint8_t *from = (const uint8_t *)d->w->data + mm_dtype_bytes(d->w->dtype, i);
        mmi_onnx_convert(d->w->dtype, from, count, MM_I64, numbers);
        for (uint64_t j = 0; j < count; j++) {
            uint64_t row = (i + j) / width, column = (i + j) % width;
            uint64_t k = d->transposed ? column : row, n = d->transposed ? row : column;
            m->numbers[k * m->columns + n] = (int8_t)(numbers[j] - d->middle);
        }
    }
}

static void read_scales(const struct dequantized *d, struct onnx_quantized_matrix *m) {
    uint64_t rows = mmi_div_up(m->depth, m->block);
    for (uint64_t i = 0; i < rows; i++) {
        for (uint64_t n = 0; n < m->columns; n++) {
            uint64_t at = place(d, i * m->block, n);
            double scale, zero = 0;
            mmi_onnx_spread(&d->granularity, d->scales, at, 1, &scale);
            if (d->zeros) {
                mmi_onnx_spread(&d->granularity, d->zeros, at, 1, &zero);
            }
            m->scales[i * m->columns + n] = (float)scale;
            m->zeros[i * m->columns + n] = (int8_t)(zero - d->middle);
        }
    }
}

mm_status mmi_onnx_read_dequantized(const struct onnx_rewrite *rewrite, uint32_t value,
                                    bool transposed, struct onnx_arena *arena,
                                    struct onnx_quantized_matrix *matrix, mm_error *err) {
    struct dequantized d = {.transposed = transposed};
    *matrix = (struct onnx_quantized_matrix){0};
    if (value >= rewrite->value_count || !find_dequantized(rewrite, value, &d)) {
        return MM_OK;
    }
    uint64_t depth = (uint64_t)d.w->shape[transposed], block = find_block(&d, depth);
    if (block == 0) {
        return MM_OK;
    }
    *matrix = (struct onnx_quantized_matrix){
        .depth = depth, .columns = (uint64_t)d.w->shape[!transposed], .block = block};
    if (!take(arena, matrix)) {
        return mmi_onnx_no_room(err);
    }
    matrix->dtype = type_of(matrix, mmi_onnx_packed_bits(d.w->dtype));
    read_numbers(&d, matrix);
    read_scales(&d, matrix);
    forget_zeros(matrix);
    return MM_OK;
}

/* ---- MatMulNBits ----------------------------------------------------------------------------- */

struct nbits {
    const struct onnx_matmul_nbits *params;
    const struct onnx_tensor *b, *scales, *zeros; /* zeros NULL: the middle */
    uint64_t blocks;                              /* of a column */
    int32_t middle;
};

static bool given(const struct onnx_node *node, uint32_t input) {
    return input < node->input_count && node->inputs[input] != ONNX_NO_VALUE;
}

static bool find_nbits(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                       struct nbits *q) {
    const struct onnx_matmul_nbits *p = node->params;
    q->params = p;
    q->b = mmi_onnx_constant(rewrite->model, node, ONNX_NBITS_B);
    q->scales = mmi_onnx_constant_behind(rewrite, node->inputs[ONNX_NBITS_SCALES], NULL);
    q->zeros = mmi_onnx_constant(rewrite->model, node, ONNX_NBITS_ZERO_POINTS);
    q->blocks = mmi_onnx_nbits_blocks(p);
    q->middle = 1 << (p->bits - 1);
    uint64_t columns = (uint64_t)p->n, zeros = columns * mmi_onnx_nbits_zero_bytes(p);
    return (p->bits == 4 || p->bits == 8) && q->b && q->b->dtype == MM_U8 && q->scales &&
           rewrite->facts[node->inputs[ONNX_NBITS_A]].dtype == MM_F32 &&
           !given(node, ONNX_NBITS_G_IDX) &&
           q->b->elements == columns * q->blocks * (uint64_t)(p->block * p->bits / 8) &&
           q->scales->elements == columns * q->blocks &&
           (!given(node, ONNX_NBITS_ZERO_POINTS) ||
            (q->zeros && q->zeros->dtype == MM_U8 && q->zeros->elements == zeros));
}

static void read_column(const struct nbits *q, uint64_t n, struct onnx_quantized_matrix *m) {
    const struct onnx_matmul_nbits *p = q->params;
    uint64_t bytes = (uint64_t)(p->block * p->bits / 8), size = (uint64_t)p->block;
    for (uint64_t i = 0; i < q->blocks; i++) {
        const uint8_t *from = (const uint8_t *)q->b->data + (n * q->blocks + i) * bytes;
        for (uint64_t k = i * size; k < m->depth && k < (i + 1) * size; k++) {
            uint32_t number = mmi_onnx_nbits_at(from, k - i * size, (uint32_t)p->bits);
            m->numbers[k * m->columns + n] = (int8_t)((int32_t)number - q->middle);
        }
        const uint8_t *zeros =
            q->zeros ? (const uint8_t *)q->zeros->data + n * mmi_onnx_nbits_zero_bytes(p) : NULL;
        int32_t zero = zeros ? (int32_t)mmi_onnx_nbits_at(zeros, i, (uint32_t)p->bits) : q->middle;
        m->scales[i * m->columns + n] = (float)mmi_onnx_float_at(q->scales, n * q->blocks + i);
        m->zeros[i * m->columns + n] = (int8_t)(zero - q->middle);
    }
}

mm_status mmi_onnx_read_nbits(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                              struct onnx_arena *arena, struct onnx_quantized_matrix *matrix,
                              mm_error *err) {
    struct nbits q;
    *matrix = (struct onnx_quantized_matrix){0};
    if (!find_nbits(rewrite, node, &q)) {
        return MM_OK;
    }
    *matrix = (struct onnx_quantized_matrix){.depth = (uint64_t)q.params->k,
                                             .columns = (uint64_t)q.params->n,
                                             .block = (uint64_t)q.params->block};
    if (!take(arena, matrix)) {
        return mmi_onnx_no_room(err);
    }
    matrix->dtype = type_of(matrix, (uint32_t)q.params->bits);
    for (uint64_t n = 0; n < matrix->columns; n++) {
        read_column(&q, n, matrix);
    }
    forget_zeros(matrix);
    return MM_OK;
}

/* ---- Panels ---------------------------------------------------------------------------------- */

bool mmi_onnx_put_quantized(struct onnx_model *model, const struct onnx_quantized_matrix *m,
                            uint32_t *inputs) {
    uint64_t rows = mmi_div_up(m->depth, m->block), n = m->columns;
    inputs[1] = mmi_onnx_new_panels(model, m->dtype, m->numbers, m->depth, n);
    inputs[ONNX_LINEAR_SCALES] = mmi_onnx_new_panels(model, MM_F32, m->scales, rows, n);
    if (m->zeros) {
        inputs[ONNX_LINEAR_ZEROS] = mmi_onnx_new_panels(model, MM_I8, m->zeros, rows, n);
    }
    return inputs[1] != ONNX_NO_VALUE && inputs[ONNX_LINEAR_SCALES] != ONNX_NO_VALUE &&
           (!m->zeros || inputs[ONNX_LINEAR_ZEROS] != ONNX_NO_VALUE);
}
