/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/product.h>
#include <base/checked.h>

#include <string.h>

/* From this many rows on packing pays; up to this many columns a panel is mostly empty. */
#define FEW_ROWS 8
#define FEW_COLUMNS 3

/* ---- Loops ----------------------------------------------------------------------------------- */

/* One row of the result at a time; in this form compilers keep `sum` in registers. */
#define PANEL_LOOP(NAME, T)                                                                        \
    static void panel_##NAME(const struct onnx_product *p) {                                       \
        for (uint64_t i = 0; i < p->rows; i++) {                                                   \
            const T *a = (const T *)p->a.at + (int64_t)i * p->a.row, *b = p->b.at;                 \
            const T *start = p->start.at;                                                          \
            T sum[ONNX_NR] = {0};                                                                  \
            for (uint64_t j = 0; start && j < p->columns; j++) {                                   \
                sum[j] = start[(int64_t)i * p->start.row + (int64_t)j * p->start.column];          \
            }                                                                                      \
            for (uint64_t k = 0; k < p->depth; k++) {                                              \
                T factor = *a;                                                                     \
                for (uint32_t j = 0; j < ONNX_NR; j++) {                                           \
                    sum[j] += factor * b[j];                                                       \
                }                                                                                  \
                a += p->a.column;                                                                  \
                b += p->b.row;                                                                     \
            }                                                                                      \
            memcpy((T *)p->out + i * p->out_row, sum, p->columns * sizeof(T));                     \
        }                                                                                          \
    }

/* One element of the result at a time, for a transposed b. */
#define DOT_LOOP(NAME, T)                                                                          \
    static T dot_##NAME(const T *a, const T *b, uint64_t count) {                                  \
        T sums[ONNX_NR] = {0}, sum = 0;                                                            \
        uint64_t k = 0;                                                                            \
        for (; k + ONNX_NR <= count; k += ONNX_NR) {                                               \
            for (uint32_t l = 0; l < ONNX_NR; l++) {                                               \
                sums[l] += a[k + l] * b[k + l];                                                    \
            }                                                                                      \
        }                                                                                          \
        for (uint32_t l = 0; l < ONNX_NR; l++) {                                                   \
            sum += sums[l];                                                                        \
        }                                                                                          \
        for (; k < count; k++) {                                                                   \
            sum += a[k] * b[k];                                                                    \
        }                                                                                          \
        return sum;                                                                                \
    }                                                                                              \
    static void dots_##NAME(const struct onnx_product *p) {                                        \
        for (uint64_t i = 0; i < p->rows; i++) {                                                   \
            const T *a = (const T *)p->a.at + (int64_t)i * p->a.row, *b = p->b.at;                 \
            const T *start = p->start.at;                                                          \
            T *out = (T *)p->out + i * p->out_row;                                                 \
            for (uint64_t j = 0; j < p->columns; j++) {                                            \
                int64_t from = (int64_t)i * p->start.row + (int64_t)j * p->start.column;           \
                T sum = dot_##NAME(a, b + (int64_t)j * p->b.column, p->depth);                     \
                out[j] = start ? start[from] + sum : sum;                                          \
            }                                                                                      \
        }                                                                                          \
    }

#define LOOPS(NAME, T) PANEL_LOOP(NAME, T) DOT_LOOP(NAME, T)
LOOPS(f32, float)
LOOPS(f64, double)
LOOPS(u32, uint32_t)
LOOPS(u64, uint64_t)

/* ---- By type --------------------------------------------------------------------------------- */

struct loops {
    int32_t dtype;
    uint32_t bytes;
    void (*panel)(const struct onnx_product *product);
    void (*dots)(const struct onnx_product *product);
};

static const struct loops *find_loops(int32_t dtype) {
    static const struct loops all[] = {
        {MM_F32, 4, panel_f32, dots_f32}, {MM_F64, 8, panel_f64, dots_f64},
        {MM_I32, 4, panel_u32, dots_u32}, {MM_U32, 4, panel_u32, dots_u32},
        {MM_I64, 8, panel_u64, dots_u64}, {MM_U64, 8, panel_u64, dots_u64}};
    for (uint32_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].dtype == dtype) {
            return &all[i];
        }
    }
    return NULL;
}

bool mmi_onnx_multiplies(int32_t dtype) {
    return find_loops(dtype) != NULL;
}

/* ---- Panels ---------------------------------------------------------------------------------- */

uint64_t mmi_onnx_product_bytes(int32_t dtype, uint64_t depth) {
    uint64_t bytes;
    return mmi_mul(depth, ONNX_NR * find_loops(dtype)->bytes, &bytes) ? bytes : UINT64_MAX;
}

uint64_t mmi_onnx_panel_bytes(uint64_t k, uint64_t n) {
    uint64_t panels = n / ONNX_NR + (n % ONNX_NR != 0), bytes;
    bool fits = mmi_mul(k, ONNX_NR * sizeof(float), &bytes) && mmi_mul(bytes, panels, &bytes);
    return fits ? bytes : UINT64_MAX;
}

/* Packs `columns` columns of b, with elements of `width` bytes; the other columns are 0. */
static void pack(const struct onnx_matrix *b, uint32_t width, uint64_t depth, uint64_t columns,
                 void *panel) {
    struct onnx_move move = {.width = width};
    if (columns < ONNX_NR && depth > 0) {
        memset(panel, 0, depth * ONNX_NR * width);
    }
    mmi_onnx_move_axis(&move, depth, b->row * width, ONNX_NR * (int64_t)width);
    mmi_onnx_move_axis(&move, columns, b->column * width, width);
    mmi_onnx_move(&move, b->at, panel);
}

void mmi_onnx_pack_panels(const float *b, uint64_t k, uint64_t n, bool transposed, float *panels) {
    for (uint64_t j = 0; j < n; j += ONNX_NR) {
        struct onnx_matrix columns = {b + (transposed ? j * k : j), transposed ? 1 : (int64_t)n,
                                      transposed ? (int64_t)k : 1};
        pack(&columns, sizeof(float), k, mmi_min_u64(n - j, ONNX_NR), panels + j * k);
    }
}

/* ---- Products -------------------------------------------------------------------------------- */

void mmi_onnx_multiply_panel(const struct onnx_product *product) {
    find_loops(product->dtype)->panel(product);
}

/* NULL stays NULL. */
static const void *shift(const void *at, int64_t elements, uint32_t width) {
    return at ? (const uint8_t *)at + elements * width : NULL;
}

void mmi_onnx_multiply(const struct onnx_product *product, void *scratch) {
    const struct loops *loops = find_loops(product->dtype);
    bool few = product->rows < FEW_ROWS;
    bool thin = few || product->columns <= FEW_COLUMNS;
    if (thin && product->a.column == 1 && product->b.row == 1) {
        loops->dots(product);
        return;
    }
    for (uint64_t j = 0; j < product->columns; j += ONNX_NR) {
        struct onnx_product part = *product;
        part.columns = mmi_min_u64(product->columns - j, ONNX_NR);
        part.b.at = shift(part.b.at, (int64_t)j * part.b.column, loops->bytes);
        part.start.at = shift(part.start.at, (int64_t)j * part.start.column, loops->bytes);
        part.out = (uint8_t *)part.out + j * loops->bytes;
        if (!few || part.b.column != 1 || part.columns < ONNX_NR) {
            pack(&part.b, loops->bytes, part.depth, part.columns, scratch);
            part.b = (struct onnx_matrix){scratch, ONNX_NR, 1};
        }
        loops->panel(&part);
    }
}
