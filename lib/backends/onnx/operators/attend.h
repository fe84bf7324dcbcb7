/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ATTEND_H
#define MMI_BACKENDS_ONNX_OPERATORS_ATTEND_H

/* Scaled dot-product attention of one head: softmax(q k' scale + masks) v, a few rows of scores at
 * a time. What all operators of attention share. */

#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/product.h>

#include <math.h>

/* Added to scores. bool: false hides the column. */
struct onnx_attend_mask {
    const void *at;      /* NULL: there is none */
    int32_t dtype;       /* a real one or bool */
    int64_t row, column; /* steps in elements; 0 repeats; column is 0 or 1 */
    uint64_t columns;    /* those behind are hidden */
};

/* Keys and values that lie together. */
struct onnx_attend_part {
    uint64_t count;
    struct onnx_matrix k, v;
};

/* Where scores are copied to. */
enum onnx_attend_stage {
    ONNX_ATTEND_SCALED = 0,
    ONNX_ATTEND_CAPPED,
    ONNX_ATTEND_MASKED,
    ONNX_ATTEND_SOFTMAX
};

struct onnx_attend {
    int32_t dtype; /* f32 or f64: of q, k, v, out and scores */
    uint64_t rows, size, v_size;
    struct onnx_matrix q;
    struct onnx_attend_part parts[2]; /* columns of the first come first */
    double scale, softcap;            /* softcap 0: none */
    struct onnx_attend_mask masks[2];
    /* Row i sees columns below `valid`; if causal, up to i + offset; with a window above 0 not
     * those at i + offset - window and before. */
    uint64_t valid;
    bool causal;
    int64_t offset, window;
    bool open_end; /* if causal: the last row sees all that is valid, also where keys are more */
    bool has_sink; /* one more column with this score and nothing in v */
    double sink;
    bool blank;        /* a row that sees nothing is 0, not NaN */
    int32_t precision; /* f16 or bf16: scores and their softmax are rounded to it */
    void *scores;      /* [rows][columns], or NULL */
    int32_t stage;     /* enum onnx_attend_stage, of `scores` */
    void *out;
    uint64_t out_row;
};

/* Scratch for `total` columns; UINT64_MAX on overflow. */
uint64_t mmi_onnx_attend_bytes(int32_t dtype, uint64_t total, uint64_t size);
void mmi_onnx_attend(const struct onnx_attend *attend, void *scratch);

static inline bool mmi_onnx_is_float(int32_t dtype) {
    return dtype >= 0 && dtype < 32 && ONNX_FLOATS >> dtype & 1;
}
/* One row of f32 or f64, in place. sink: NULL, or one more score of the row. */
void mmi_onnx_softmax_row(int32_t dtype, void *row, uint64_t count, const double *sink);

/* ---- Inputs as numbers of one type ----------------------------------------------------------- */

/* f64 where one of the dtypes is that, else f32. */
static inline int32_t mmi_onnx_attend_type(int32_t a, int32_t b) {
    return a == MM_F64 || b == MM_F64 ? MM_F64 : MM_F32;
}
/* Room that a tensor takes as `dtype`: 0 where it has that type. UINT64_MAX on overflow. */
uint64_t mmi_onnx_stage_bytes(const struct onnx_tensor *tensor, int32_t dtype);
/* The tensor's elements as `dtype`: data itself, or a copy in *room, which moves on. */
const void *mmi_onnx_stage(const struct onnx_tensor *tensor, const void *data, int32_t dtype,
                           uint8_t **room);
/* Where such elements are to be written (data itself, or *room), and the end of that. */
void *mmi_onnx_stage_out(const struct onnx_tensor *tensor, void *data, int32_t dtype,
                         uint8_t **room);
void mmi_onnx_unstage(const struct onnx_tensor *tensor, const void *staged, int32_t dtype,
                      void *data);

/* `elements` on; NULL stays NULL. */
static inline const void *mmi_onnx_shift(const void *at, uint64_t elements, uint32_t width) {
    return at ? (const uint8_t *)at + elements * width : NULL;
}

/* A mask broadcast to [batch, heads, rows, columns]. */
struct onnx_spread_mask {
    struct onnx_attend_mask mask; /* of batch 0, head 0 */
    int64_t batch, head;          /* steps in elements */
};
struct onnx_mask_shape {
    int64_t axes[4];
    /* the last axis of the mask may be shorter; if it is 1, it is that and not repeated */
    bool shorter;
};
/* MM_INVALID_MODEL where it does not fit; `what` is its name. spread NULL: only that. */
mm_status mmi_onnx_spread_mask(const struct onnx_tensor *tensor, const char *what,
                               const struct onnx_mask_shape *shape, struct onnx_spread_mask *spread,
                               mm_error *err);
/* The mask of one head. */
struct onnx_attend_mask mmi_onnx_mask_of(const struct onnx_spread_mask *spread, uint64_t batch,
                                         uint64_t head);

#endif
