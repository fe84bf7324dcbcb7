/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/attend.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>
#include <tgmath.h>

/* Rows of scores that are held at a time. */
#define BLOCK 16
#define ALIGN 64

/* ---- Staging --------------------------------------------------------------------------------- */

uint64_t mmi_onnx_stage_bytes(const struct onnx_tensor *tensor, int32_t dtype) {
    uint64_t bytes;
    if (tensor->dtype == dtype) {
        return 0;
    }
    bool fits = mmi_mul(tensor->elements, mmi_onnx_element_bytes(dtype), &bytes) &&
                mmi_round_up(bytes, ALIGN, &bytes);
    return fits ? bytes : UINT64_MAX;
}

const void *mmi_onnx_stage(const struct onnx_tensor *tensor, const void *data, int32_t dtype,
                           uint8_t **room) {
    if (tensor->dtype == dtype || !data) {
        return data;
    }
    void *copy = *room;
    *room += mmi_onnx_stage_bytes(tensor, dtype);
    mmi_onnx_convert(tensor->dtype, data, tensor->elements, dtype, copy);
    return copy;
}

void *mmi_onnx_stage_out(const struct onnx_tensor *tensor, void *data, int32_t dtype,
                         uint8_t **room) {
    if (tensor->dtype == dtype || !data) {
        return data;
    }
    void *place = *room;
    *room += mmi_onnx_stage_bytes(tensor, dtype);
    return place;
}

void mmi_onnx_unstage(const struct onnx_tensor *tensor, const void *staged, int32_t dtype,
                      void *data) {
    if (staged != data && data) {
        mmi_onnx_convert(dtype, staged, tensor->elements, tensor->dtype, data);
    }
}

/* ---- Masks ----------------------------------------------------------------------------------- */

mm_status mmi_onnx_spread_mask(const struct onnx_tensor *tensor, const char *what,
                               const struct onnx_mask_shape *shape, struct onnx_spread_mask *spread,
                               mm_error *err) {
    int64_t steps[4] = {0}, step = 1, columns = shape->axes[3];
    bool fits = tensor->rank <= 4;
    for (uint32_t i = 0; i < 4 && fits; i++) {
        int64_t own = i < tensor->rank ? tensor->shape[tensor->rank - 1 - i] : 1;
        int64_t wanted = shape->axes[3 - i];
        bool cut = i == 0 && shape->shorter && tensor->rank > 0 && own < wanted;
        fits = own == wanted || own == 1 || cut;
        steps[3 - i] = own == 1 && !cut ? 0 : step;
        columns = cut ? own : columns;
        step *= own;
    }
    if (!fits) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its %s of %u axes cannot be broadcast to [%" PRId64 ", %" PRId64
                        ", %" PRId64 ", %" PRId64 "]",
                        what, tensor->rank, shape->axes[0], shape->axes[1], shape->axes[2],
                        shape->axes[3]);
    }
    if (spread) {
        spread->batch = steps[0];
        spread->head = steps[1];
        spread->mask = (struct onnx_attend_mask){.dtype = tensor->dtype,
                                                 .row = steps[2],
                                                 .column = steps[3],
                                                 .columns = (uint64_t)columns};
    }
    return MM_OK;
}

struct onnx_attend_mask mmi_onnx_mask_of(const struct onnx_spread_mask *spread, uint64_t batch,
                                         uint64_t head) {
    struct onnx_attend_mask mask = spread->mask;
    uint64_t elements = batch * (uint64_t)spread->batch + head * (uint64_t)spread->head;
    mask.at = mmi_onnx_shift(mask.at, elements, mmi_onnx_element_bytes(mask.dtype));
    return mask;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The loops over one row, in f32 and f64. */
#define ROW_LOOPS(NAME, T)                                                                         \
    static void scale_##NAME(void *values, uint64_t count, double factor) {                        \
        T *row = values, by = (T)factor;                                                           \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            row[i] *= by;                                                                          \
        }                                                                                          \
    }                                                                                              \
    static void cap_##NAME(void *values, uint64_t count, double softcap) {                         \
        T *row = values, cap = (T)softcap;                                                         \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            row[i] = tanh(row[i] / cap) * cap;                                                     \
        }                                                                                          \
    }                                                                                              \
    static void hide_##NAME(void *values, uint64_t from, uint64_t to) {                            \
        T *row = values;                                                                           \
        for (uint64_t i = from; i < to; i++) {                                                     \
            row[i] = -(T)INFINITY;                                                                 \
        }                                                                                          \
    }                                                                                              \
    static void add_##NAME(void *values, const void *added, uint64_t count, uint32_t step) {       \
        T *row = values;                                                                           \
        const T *plus = added;                                                                     \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            row[i] += plus[i * step];                                                              \
        }                                                                                          \
    }                                                                                              \
    static void softmax_##NAME(void *values, uint64_t count, const double *sink) {                 \
        T *row = values, max = sink ? (T)*sink : -(T)INFINITY;                                     \
        double sum = 0;                                                                            \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            max = row[i] > max ? row[i] : max;                                                     \
        }                                                                                          \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            row[i] = exp(row[i] - max);                                                            \
            sum += (double)row[i];                                                                 \
        }                                                                                          \
        sum += sink ? exp(*sink - (double)max) : 0;                                                \
        T inverse = (T)(1 / sum);                                                                  \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            row[i] *= inverse;                                                                     \
        }                                                                                          \
    }                                                                                              \
    static bool sees_##NAME(const void *values, uint64_t count) {                                  \
        const T *row = values;                                                                     \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            if (row[i] != -(T)INFINITY) {                                                          \
                return true;                                                                       \
            }                                                                                      \
        }                                                                                          \
        return false;                                                                              \
    }
ROW_LOOPS(f32, float)
ROW_LOOPS(f64, double)

struct row_loops {
    void (*scale)(void *row, uint64_t count, double factor);
    void (*cap)(void *row, uint64_t count, double softcap);
    void (*hide)(void *row, uint64_t from, uint64_t to);
    void (*add)(void *row, const void *added, uint64_t count, uint32_t step);
    void (*softmax)(void *row, uint64_t count, const double *sink);
    bool (*sees)(const void *row, uint64_t count);
};
static const struct row_loops *loops_of(int32_t dtype) {
    static const struct row_loops f32 = {scale_f32, cap_f32,     hide_f32,
                                         add_f32,   softmax_f32, sees_f32};
    static const struct row_loops f64 = {scale_f64, cap_f64,     hide_f64,
                                         add_f64,   softmax_f64, sees_f64};
    return dtype == MM_F64 ? &f64 : &f32;
}

void mmi_onnx_softmax_row(int32_t dtype, void *row, uint64_t count, const double *sink) {
    loops_of(dtype)->softmax(row, count, sink);
}

/* ---- Masking a row --------------------------------------------------------------------------- */

static void hide_false(const struct row_loops *loops, void *row, const uint8_t *at, uint64_t from,
                       uint64_t count, int64_t step) {
    for (uint64_t i = 0; i < count; i++) {
        if (!at[i * (uint64_t)step]) {
            loops->hide(row, from + i, from + i + 1);
        }
    }
}

static void add_mask(const struct onnx_attend *a, const struct onnx_attend_mask *mask, uint64_t i,
                     void *row, uint64_t count) {
    const struct row_loops *loops = loops_of(a->dtype);
    uint32_t width = mmi_onnx_element_bytes(mask->dtype);
    uint32_t own = mmi_onnx_element_bytes(a->dtype);
    uint64_t end = mmi_min_u64(count, mask->columns);
    const uint8_t *at = (const uint8_t *)mask->at + i * (uint64_t)mask->row * width;
    for (uint64_t j = 0; j < end; j += ONNX_CHUNK) {
        union onnx_chunk numbers;
        uint64_t part = mmi_min_u64(ONNX_CHUNK, end - j), step = (uint64_t)mask->column;
        const uint8_t *from = at + j * step * width;
        if (mask->dtype == MM_BOOL) {
            hide_false(loops, row, from, j, part, mask->column);
            continue;
        }
        const void *added = mmi_onnx_load_as(a->dtype == MM_F64 ? ONNX_F64 : ONNX_F32, mask->dtype,
                                             from, step ? part : 1, &numbers);
        loops->add((uint8_t *)row + j * own, added, part, (uint32_t)step);
    }
    loops->hide(row, end, count);
}

static uint64_t clamp(int64_t value, uint64_t max) {
    return value < 0 ? 0 : mmi_min_u64((uint64_t)value, max);
}

/* The columns that row i may see: [*from, *to), before any mask. */
static void visible(const struct onnx_attend *a, uint64_t i, uint64_t total, uint64_t *from,
                    uint64_t *to) {
    int64_t own = (int64_t)i + a->offset;
    *to = mmi_min_u64(total, a->valid);
    bool ends = a->causal && !(a->open_end && i + 1 == a->rows);
    *to = ends ? mmi_min_u64(*to, clamp(own + 1, total)) : *to;
    *from = a->window > 0 ? mmi_min_u64(*to, clamp(own + 1 - a->window, total)) : 0;
}

/* Scores as they are stored in a narrower type. */
static void round_row(const struct onnx_attend *a, void *row, uint64_t count) {
    uint16_t narrow[ONNX_CHUNK];
    if (a->precision != MM_F16 && a->precision != MM_BF16) {
        return;
    }
    uint32_t width = mmi_onnx_element_bytes(a->dtype);
    for (uint64_t i = 0; i < count; i += ONNX_CHUNK) {
        uint64_t part = mmi_min_u64(ONNX_CHUNK, count - i);
        uint8_t *at = (uint8_t *)row + i * width;
        mmi_onnx_convert(a->dtype, at, part, a->precision, narrow);
        mmi_onnx_convert(a->precision, narrow, part, a->dtype, at);
    }
}

/* ---- Blocks of rows -------------------------------------------------------------------------- */

uint64_t mmi_onnx_attend_bytes(int32_t dtype, uint64_t total, uint64_t size) {
    uint64_t bytes, product = mmi_onnx_product_bytes(dtype, mmi_max_u64(total, size));
    bool fits = mmi_mul(total, (uint64_t)BLOCK * mmi_onnx_element_bytes(dtype), &bytes) &&
                mmi_round_up(bytes, ALIGN, &bytes);
    return fits ? mmi_add_cap(bytes, product) : UINT64_MAX;
}

struct block {
    uint64_t first, rows, columns, total;
    uint8_t *scores;
    uint32_t width;
    void *scratch;
};

static void keep(const struct onnx_attend *a, const struct block *block, int32_t stage, uint64_t i,
                 const uint8_t *row) {
    if (a->scores && a->stage == stage) {
        memcpy((uint8_t *)a->scores + i * block->total * block->width, row,
               block->columns * block->width);
    }
}

static void finish_row(const struct onnx_attend *a, const struct block *block, uint64_t i,
                       uint8_t *row) {
    const struct row_loops *loops = loops_of(a->dtype);
    uint64_t count = block->columns, from, to;
    loops->scale(row, count, a->scale);
    keep(a, block, ONNX_ATTEND_SCALED, i, row);
    if (a->softcap > 0) {
        loops->cap(row, count, a->softcap);
    }
    keep(a, block, ONNX_ATTEND_CAPPED, i, row);
    for (uint32_t j = 0; j < 2; j++) {
        if (a->masks[j].at) {
            add_mask(a, &a->masks[j], i, row, count);
        }
    }
    visible(a, i, block->total, &from, &to);
    loops->hide(row, 0, mmi_min_u64(from, count));
    loops->hide(row, to, count);
    keep(a, block, ONNX_ATTEND_MASKED, i, row);
    round_row(a, row, count);
    if (a->blank && !a->has_sink && !loops->sees(row, count)) {
        memset(row, 0, count * block->width);
    } else {
        loops->softmax(row, count, a->has_sink ? &a->sink : NULL);
    }
    round_row(a, row, count);
    keep(a, block, ONNX_ATTEND_SOFTMAX, i, row);
}

static void attend_block(const struct onnx_attend *a, const struct block *block) {
    struct onnx_product product = {.dtype = a->dtype, .rows = block->rows};
    uint64_t before = 0;
    for (uint32_t i = 0; i < 2 && before < block->columns; i++) {
        const struct onnx_attend_part *part = &a->parts[i];
        product.depth = a->size;
        product.columns = mmi_min_u64(part->count, block->columns - before);
        if (product.columns == 0) {
            continue;
        }
        product.a = a->q;
        product.a.at = mmi_onnx_shift(a->q.at, block->first * (uint64_t)a->q.row, block->width);
        product.b = (struct onnx_matrix){part->k.at, part->k.column, part->k.row};
        product.out = block->scores + before * block->width;
        product.out_row = block->columns;
        mmi_onnx_multiply(&product, block->scratch);
        before += product.columns;
    }
    for (uint64_t i = 0; i < block->rows; i++) {
        finish_row(a, block, block->first + i, block->scores + i * block->columns * block->width);
    }
    before = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const struct onnx_attend_part *part = &a->parts[i];
        product.depth = mmi_min_u64(part->count, block->columns - before);
        product.columns = a->v_size;
        product.a =
            (struct onnx_matrix){block->scores + before * block->width, (int64_t)block->columns, 1};
        product.b = part->v;
        product.out = (uint8_t *)a->out + block->first * a->out_row * block->width;
        product.out_row = a->out_row;
        product.start = (struct onnx_matrix){i > 0 ? product.out : NULL, (int64_t)a->out_row, 1};
        if (i == 0 || product.depth > 0) {
            mmi_onnx_multiply(&product, block->scratch);
        }
        before += product.depth;
    }
}

void mmi_onnx_attend(const struct onnx_attend *a, void *scratch) {
    uint32_t width = mmi_onnx_element_bytes(a->dtype);
    uint64_t total = a->parts[0].count + a->parts[1].count, from;
    uint64_t bytes = (total * BLOCK * width + ALIGN - 1) / ALIGN * ALIGN;
    struct block block = {
        .total = total, .scores = scratch, .width = width, .scratch = (uint8_t *)scratch + bytes};
    for (; block.first < a->rows; block.first += block.rows) {
        block.rows = mmi_min_u64(BLOCK, a->rows - block.first);
        block.columns = total;
        if (!a->scores) { /* what the last row does not see, none of them does */
            visible(a, block.first + block.rows - 1, total, &from, &block.columns);
        }
        attend_block(a, &block);
    }
}
