/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

#define LARGEST_WIDTH 16
#define TILE 16 /* elements: what of two arrays stays in the cache while it is transposed */

#define INLINE static inline __attribute__((always_inline))

void mmi_onnx_move_axis(struct onnx_move *move, uint64_t count, int64_t from, int64_t to) {
    move->axes[move->rank++] = (struct onnx_move_axis){count, from, to};
}

/* ---- Making it simple ------------------------------------------------------------------------ */

/* Axes of one element go, neighbours that run on into each other become one. false: nothing
 * moves. */
static bool collapse(const struct onnx_move *move, struct onnx_move *to) {
    *to = (struct onnx_move){.width = move->width};
    for (uint32_t i = 0; i < move->rank; i++) {
        struct onnx_move_axis axis = move->axes[i];
        if (axis.count == 0) {
            return false;
        }
        struct onnx_move_axis *outer = to->rank > 0 ? &to->axes[to->rank - 1] : NULL;
        int64_t count = (int64_t)axis.count;
        if (axis.count == 1) {
            continue;
        }
        if (outer && outer->from == axis.from * count && outer->to == axis.to * count) {
            *outer = (struct onnx_move_axis){outer->count * axis.count, axis.from, axis.to};
        } else {
            to->axes[to->rank++] = axis;
        }
    }
    return true;
}

/* A short run without gaps in both arrays is moved as one wide element. */
static void widen(struct onnx_move *move) {
    if (move->rank == 0) {
        return;
    }
    const struct onnx_move_axis *last = &move->axes[move->rank - 1];
    bool run = last->from == move->width && last->to == move->width;
    uint64_t bytes = run && last->count <= LARGEST_WIDTH ? last->count * move->width : 0;
    if (bytes > 0 && bytes <= LARGEST_WIDTH && (bytes & (bytes - 1)) == 0) {
        move->width = (uint32_t)bytes;
        move->rank--;
    }
}

/* An axis along which `from` has no gaps becomes the last but one, so that the last two can be
 * transposed in tiles. */
static void bring_contiguous(struct onnx_move *move) {
    for (uint32_t i = 0; i + 2 < move->rank; i++) {
        if (move->axes[i].from == move->width) {
            struct onnx_move_axis axis = move->axes[i];
            memmove(&move->axes[i], &move->axes[i + 1],
                    (move->rank - 2 - i) * sizeof(move->axes[0]));
            move->axes[move->rank - 2] = axis;
            return;
        }
    }
}

/* ---- The innermost two axes ------------------------------------------------------------------ */

/* a: outer, b: inner axis; both there, perhaps with one element. */
typedef void (*plane_mover)(const struct onnx_move_axis *a, const struct onnx_move_axis *b,
                            const uint8_t *from, uint8_t *to);

/* Rows without gaps: b->count bytes each. */
static void move_rows(const struct onnx_move_axis *a, const struct onnx_move_axis *b,
                      const uint8_t *from, uint8_t *to) {
    for (uint64_t i = 0; i < a->count; i++) {
        memcpy(to, from, b->count);
        from += a->from;
        to += a->to;
    }
}

INLINE void move_strided(const struct onnx_move_axis *a, const struct onnx_move_axis *b,
                         const uint8_t *from, uint8_t *to, size_t width) {
    for (uint64_t i = 0; i < a->count; i++) {
        const uint8_t *at = from + (int64_t)i * a->from;
        uint8_t *put = to + (int64_t)i * a->to;
        for (uint64_t j = 0; j < b->count; j++) {
            memcpy(put, at, width);
            at += b->from;
            put += b->to;
        }
    }
}

/* Along `b` one element is repeated, without gaps. */
INLINE void move_filling(const struct onnx_move_axis *a, const struct onnx_move_axis *b,
                         const uint8_t *from, uint8_t *to, size_t width) {
    for (uint64_t i = 0; i < a->count; i++) {
        uint8_t element[LARGEST_WIDTH];
        uint8_t *put = to + (int64_t)i * a->to;
        memcpy(element, from + (int64_t)i * a->from, width);
        for (uint64_t j = 0; j < b->count; j++) {
            memcpy(put + j * width, element, width);
        }
    }
}

/* `a` has no gaps in `from`, `b` none in `to`: tile by tile, so that each line of the cache is
 * used whole. */
INLINE void move_transposed(const struct onnx_move_axis *a, const struct onnx_move_axis *b,
                            const uint8_t *from, uint8_t *to, size_t width) {
    for (uint64_t j = 0; j < b->count; j += TILE) {
        for (uint64_t i = 0; i < a->count; i += TILE) {
            struct onnx_move_axis tile_a = {mmi_min_u64(TILE, a->count - i), a->from, a->to};
            struct onnx_move_axis tile_b = {mmi_min_u64(TILE, b->count - j), b->from, b->to};
            int64_t at = (int64_t)i * a->from + (int64_t)j * b->from;
            int64_t put = (int64_t)i * a->to + (int64_t)j * b->to;
            move_strided(&tile_a, &tile_b, from + at, to + put, width);
        }
    }
}

enum pattern { STRIDED, FILLING, TRANSPOSED, PATTERNS };

#define PLANE_MOVERS(width)                                                                        \
    static void strided_##width(const struct onnx_move_axis *a, const struct onnx_move_axis *b,    \
                                const uint8_t *from, uint8_t *to) {                                \
        move_strided(a, b, from, to, width);                                                       \
    }                                                                                              \
    static void filling_##width(const struct onnx_move_axis *a, const struct onnx_move_axis *b,    \
                                const uint8_t *from, uint8_t *to) {                                \
        move_filling(a, b, from, to, width);                                                       \
    }                                                                                              \
    static void transposed_##width(const struct onnx_move_axis *a, const struct onnx_move_axis *b, \
                                   const uint8_t *from, uint8_t *to) {                             \
        move_transposed(a, b, from, to, width);                                                    \
    }
PLANE_MOVERS(1)
PLANE_MOVERS(2)
PLANE_MOVERS(4)
PLANE_MOVERS(8)
PLANE_MOVERS(16)

/* Four by four elements of four bytes. */
typedef uint32_t quad __attribute__((vector_size(16)));

INLINE void transpose_quads(const uint8_t *from, int64_t from_step, uint8_t *to, int64_t to_step) {
    quad row[4];
    for (int i = 0; i < 4; i++) {
        memcpy(&row[i], from + i * from_step, sizeof(quad));
    }
    quad low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
    quad high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
    quad low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
    quad high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
    quad column[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                      __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                      __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                      __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; i++) {
        memcpy(to + i * to_step, &column[i], sizeof(quad));
    }
}

/* The part of `axis` from element `begin` on. */
static struct onnx_move_axis rest_of(const struct onnx_move_axis *axis, uint64_t begin) {
    return (struct onnx_move_axis){axis->count - begin, axis->from, axis->to};
}

/* transposed_4 for whole tiles of four by sixteen; the edges go there. */
static void transposed_quads(const struct onnx_move_axis *a, const struct onnx_move_axis *b,
                             const uint8_t *from, uint8_t *to) {
    uint64_t whole_a = a->count / 4 * 4, whole_b = b->count / TILE * TILE;
    for (uint64_t j = 0; j < whole_b; j += TILE) {
        for (uint64_t i = 0; i < whole_a; i += 4) {
            for (uint64_t k = j; k < j + TILE; k += 4) {
                transpose_quads(from + 4 * i + (int64_t)k * b->from, b->from,
                                to + (int64_t)i * a->to + 4 * k, a->to);
            }
        }
    }
    struct onnx_move_axis rest_a = rest_of(a, whole_a), rest_b = rest_of(b, whole_b);
    struct onnx_move_axis done_b = {whole_b, b->from, b->to};
    transposed_4(&rest_a, &done_b, from + 4 * whole_a, to + (int64_t)whole_a * a->to);
    transposed_4(a, &rest_b, from + (int64_t)whole_b * b->from, to + 4 * whole_b);
}

static const plane_mover movers[][PATTERNS] = {
    {strided_1, filling_1, transposed_1},     {strided_2, filling_2, transposed_2},
    {strided_4, filling_4, transposed_quads}, {strided_8, filling_8, transposed_8},
    {strided_16, filling_16, transposed_16},
};

/* ---- All of it ------------------------------------------------------------------------------- */

static void walk(const struct onnx_move *move, uint32_t axis, plane_mover mover,
                 const uint8_t *from, uint8_t *to) {
    const struct onnx_move_axis *here = &move->axes[axis];
    if (axis + 2 == move->rank) {
        mover(here, here + 1, from, to);
        return;
    }
    for (uint64_t i = 0; i < here->count; i++) {
        walk(move, axis + 1, mover, from + (int64_t)i * here->from, to + (int64_t)i * here->to);
    }
}

void mmi_onnx_move(const struct onnx_move *move, const void *from, void *to) {
    struct onnx_move simple;
    if (!collapse(move, &simple)) {
        return;
    }
    widen(&simple);
    while (simple.rank < 2) { /* a walk ends with two axes */
        memmove(&simple.axes[1], &simple.axes[0], sizeof(simple.axes[0]));
        simple.axes[0] = (struct onnx_move_axis){1, 0, 0};
        simple.rank++;
    }
    struct onnx_move_axis *last = &simple.axes[simple.rank - 1];
    enum pattern pattern = STRIDED;
    if (last->to == simple.width && last->from == simple.width) {
        last->count *= simple.width;
        walk(&simple, 0, move_rows, from, to);
        return;
    }
    if (last->to == simple.width && last->from == 0) {
        pattern = FILLING;
    } else if (last->to == simple.width) {
        bring_contiguous(&simple);
        pattern = simple.axes[simple.rank - 2].from == simple.width ? TRANSPOSED : STRIDED;
    }
    walk(&simple, 0, movers[__builtin_ctz(simple.width)][pattern], from, to);
}

void mmi_onnx_fill(void *to, uint64_t count, const void *element, uint32_t width) {
    struct onnx_move move = {.width = width};
    mmi_onnx_move_axis(&move, count, 0, width);
    mmi_onnx_move(&move, element, to);
}

void mmi_onnx_move_rows(const struct onnx_rows *rows, const void *from, void *to) {
    struct onnx_move move = {.width = 1};
    mmi_onnx_move_axis(&move, rows->count, (int64_t)rows->from_step, (int64_t)rows->to_step);
    mmi_onnx_move_axis(&move, rows->row_bytes, 1, 1);
    mmi_onnx_move(&move, from, to);
}

void mmi_onnx_byte_strides(const struct onnx_tensor *tensor, int64_t strides[MM_MAX_RANK]) {
    int64_t width = mmi_onnx_element_bytes(tensor->dtype);
    mmi_onnx_strides(tensor, strides);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        strides[i] *= width;
    }
}

/* ---- What operators check -------------------------------------------------------------------- */

mm_status mmi_onnx_check_movable(const struct onnx_inference *x, uint32_t input, mm_error *err) {
    int32_t dtype = x->inputs[input].dtype;
    if (mmi_onnx_element_bytes(dtype) > 0) {
        return MM_OK;
    }
    return mmi_fail(err, MM_UNSUPPORTED, "its input %u is %s, which it cannot move", input,
                    mm_dtype_text(dtype));
}

mm_status mmi_onnx_check_number(const struct onnx_inference *x, uint32_t input, mm_error *err) {
    int32_t dtype = x->inputs[input].dtype;
    bool real = dtype >= MM_F32 && dtype <= MM_U64 && dtype != MM_STRING;
    if (real || dtype == MM_BF16) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, a number wanted", input,
                    mm_dtype_text(dtype));
}

mm_status mmi_onnx_check_indices(const struct onnx_inference *x, uint32_t input, mm_error *err) {
    int32_t dtype = x->inputs[input].dtype;
    if (dtype == MM_I32 || dtype == MM_I64) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, i32 or i64 wanted", input,
                    mm_dtype_text(dtype));
}

mm_status mmi_onnx_check_axis(int64_t axis, uint32_t rank, uint32_t *out, mm_error *err) {
    if (mmi_onnx_axis(axis, rank, out)) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "axis %" PRId64 " of a tensor with %u axes", axis, rank);
}
