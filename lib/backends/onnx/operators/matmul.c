/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/copies.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define TYPES                                                                                      \
    (ONNX_FLOATS | ONNX_TYPE(MM_I32) | ONNX_TYPE(MM_U32) | ONNX_TYPE(MM_I64) | ONNX_TYPE(MM_U64))

static mm_status add_scratch(struct onnx_inference *x, uint64_t depth, mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    x->scratch_bytes = mmi_onnx_product_bytes(mmi_onnx_multiplies(dtype) ? dtype : MM_F32, depth);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
    }
    return mmi_onnx_add_copies(x, err);
}

/* ---- MatMul ---------------------------------------------------------------------------------- */

mm_status mmi_onnx_stack(const struct onnx_tensor *a, const struct onnx_tensor *b,
                         struct onnx_stacks *to, mm_error *err) {
    if (a->rank == 0 || b->rank == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input %d has no axes, 1 or more wanted",
                        a->rank == 0 ? 0 : 1);
    }
    int64_t of_a = a->shape[a->rank - 1], of_b = b->shape[b->rank > 1 ? b->rank - 2 : 0];
    if (of_a != of_b) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its left matrix has %" PRId64 " columns, its right one %" PRId64 " rows",
                        of_a, of_b);
    }
    uint32_t stacked_a = a->rank > 2 ? a->rank - 2 : 0, stacked_b = b->rank > 2 ? b->rank - 2 : 0;
    if (!mmi_onnx_broadcast(stacked_a, a->shape, stacked_b, b->shape, &to->batch)) {
        char texts[2][ONNX_SHAPE_TEXT];
        return mmi_fail(err, MM_INVALID_MODEL, "its stacks of matrices cannot be broadcast: %s, %s",
                        mmi_onnx_shape_text(a->rank, a->shape, texts[0]),
                        mmi_onnx_shape_text(b->rank, b->shape, texts[1]));
    }
    to->rows = a->rank > 1 ? (uint64_t)a->shape[a->rank - 2] : 1;
    to->columns = b->rank > 1 ? (uint64_t)b->shape[b->rank - 1] : 1;
    to->depth = (uint64_t)of_a;
    return MM_OK;
}

mm_status mmi_onnx_set_product(const struct onnx_tensor *a, const struct onnx_tensor *b,
                               const struct onnx_stacks *stacks, int32_t dtype,
                               struct onnx_tensor *to, mm_error *err) {
    int64_t shape[MM_MAX_RANK + 2];
    uint32_t rank = stacks->batch.rank;
    memcpy(shape, stacks->batch.shape, rank * sizeof(*shape));
    if (a->rank > 1) {
        shape[rank++] = (int64_t)stacks->rows;
    }
    if (b->rank > 1) {
        shape[rank++] = (int64_t)stacks->columns;
    }
    return mmi_onnx_tensor_set(to, dtype, rank, shape, err);
}

static mm_status infer_matmul(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *a = &x->inputs[0], *b = &x->inputs[1];
    struct onnx_stacks stacks;
    MMI_TRY(mmi_onnx_check_types(x, TYPES, err));
    MMI_TRY(mmi_onnx_stack(a, b, &stacks, err));
    MMI_TRY(mmi_onnx_set_product(a, b, &stacks, a->dtype, &x->outputs[0], err));
    return add_scratch(x, stacks.depth, err);
}

uint64_t mmi_onnx_matrix_of(const struct onnx_tensor *input, const struct onnx_tensor *batch,
                            uint64_t index) {
    uint32_t stacked = input->rank > 2 ? input->rank - 2 : 0;
    uint64_t matrix = 0, step = 1;
    for (uint32_t i = 1; i <= stacked; i++) {
        uint64_t length = (uint64_t)batch->shape[batch->rank - i];
        uint64_t own = (uint64_t)input->shape[stacked - i];
        matrix += own == 1 ? 0 : index % length * step;
        step *= own;
        index /= length;
    }
    return matrix;
}

static mm_status run_numbers(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *a = &call->inputs[0], *b = &call->inputs[1];
    uint64_t width = mmi_onnx_element_bytes(a->dtype), matrices = 1;
    struct onnx_stacks stacks;
    MMI_TRY(mmi_onnx_stack(a, b, &stacks, err));
    for (uint32_t i = 0; i < stacks.batch.rank; i++) {
        matrices *= (uint64_t)stacks.batch.shape[i];
    }
    if (b->elements == stacks.depth * stacks.columns) { /* one matrix for all rows there are */
        stacks.rows *= matrices;
        matrices = 1;
    }
    struct onnx_product product = {.dtype = a->dtype,
                                   .rows = stacks.rows,
                                   .depth = stacks.depth,
                                   .columns = stacks.columns,
                                   .a = {NULL, (int64_t)stacks.depth, 1},
                                   .b = {NULL, (int64_t)stacks.columns, 1},
                                   .out_row = stacks.columns};
    for (uint64_t i = 0; i < matrices; i++) {
        uint64_t of_a = mmi_onnx_matrix_of(a, &stacks.batch, i) * stacks.rows * stacks.depth;
        uint64_t of_b = mmi_onnx_matrix_of(b, &stacks.batch, i) * stacks.depth * stacks.columns;
        product.a.at = (const uint8_t *)call->in[0] + of_a * width;
        product.b.at = (const uint8_t *)call->in[1] + of_b * width;
        product.out = (uint8_t *)call->out[0] + i * stacks.rows * stacks.columns * width;
        mmi_onnx_multiply(&product, call->scratch);
    }
    return MM_OK;
}

static mm_status run_matmul(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_numbers, err) : MM_OK;
}

/* A vector is a row of a, or a column of b, and its axis is not in the result. */
static void learn_matmul(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    struct onnx_fact a = mmi_onnx_fact(l, 0), b = mmi_onnx_fact(l, 1);
    (void)output;
    if (a.rank > 0 && b.rank > 0) {
        int32_t stacked_a = a.rank > 2 ? a.rank : 2, stacked_b = b.rank > 2 ? b.rank : 2;
        fact->rank =
            (stacked_a > stacked_b ? stacked_a : stacked_b) - (a.rank == 1) - (b.rank == 1);
    }
    fact->last = b.rank > 1 ? b.last : 0;
}

const struct onnx_operator mmi_onnx_op_MatMul = {
    .name = "MatMul",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_matmul,
    .run = run_matmul,
    .weight_inputs = 1u << 1,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_matmul,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MatMul}};

/* ---- Gemm ------------------------------------------------------------------------------------ */

static mm_status read_gemm(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_gemm *gemm = params;
    MMI_TRY(mmi_onnx_read_float(a, "alpha", 1, &gemm->alpha, err));
    MMI_TRY(mmi_onnx_read_float(a, "beta", 1, &gemm->beta, err));
    MMI_TRY(mmi_onnx_read_flag(a, "transA", false, &gemm->trans_a, err));
    return mmi_onnx_read_flag(a, "transB", false, &gemm->trans_b, err);
}

static mm_status infer_gemm(struct onnx_inference *x, mm_error *err) {
    const struct onnx_gemm *gemm = x->params;
    const struct onnx_tensor *a = &x->inputs[0], *b = &x->inputs[1];
    const struct onnx_tensor *c = mmi_onnx_has(x, 2) ? &x->inputs[2] : NULL;
    MMI_TRY(mmi_onnx_check_types(x, TYPES, err));
    if (a->rank != 2 || b->rank != 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its inputs have %u and %u axes, 2 wanted", a->rank,
                        b->rank);
    }
    int64_t rows = a->shape[gemm->trans_a], depth = a->shape[!gemm->trans_a];
    int64_t columns = b->shape[!gemm->trans_b], of_b = b->shape[gemm->trans_b];
    if (depth != of_b) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its left matrix has %" PRId64 " columns, its right one %" PRId64 " rows",
                        depth, of_b);
    }
    const int64_t shape[2] = {rows, columns};
    for (uint32_t i = 0; c && i < c->rank; i++) {
        int64_t own = c->shape[c->rank - 1 - i];
        if (i > 1 || (own != 1 && own != shape[1 - i])) {
            char text[ONNX_SHAPE_TEXT];
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its third input cannot be broadcast to [%" PRId64 ", %" PRId64
                            "]: its shape is %s",
                            rows, columns, mmi_onnx_shape_text(c->rank, c->shape, text));
        }
    }
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], a->dtype, 2, shape, err));
    return add_scratch(x, (uint64_t)depth, err);
}

/* The third input as large as the result; nowhere if it is left out. */
static struct onnx_matrix addend(const struct onnx_call *call) {
    if (!mmi_onnx_given(call, 2)) {
        return (struct onnx_matrix){NULL, 0, 0};
    }
    const struct onnx_tensor *c = &call->inputs[2];
    int64_t columns = c->rank > 0 ? c->shape[c->rank - 1] : 1;
    bool rows = c->rank > 1 && c->shape[0] > 1;
    return (struct onnx_matrix){call->in[2], rows ? columns : 0, columns > 1};
}

/* One row of the result: alpha times itself plus beta times c. */
static void scale_row(const struct onnx_product *product, const struct onnx_gemm *gemm,
                      const uint8_t *c, uint8_t *row) {
    enum { CHUNK = 128 };
    double made[CHUNK], added[CHUNK];
    int32_t dtype = product->dtype;
    uint64_t width = mmi_onnx_element_bytes(dtype);
    for (uint64_t i = 0; i < product->columns; i += CHUNK) {
        uint64_t count = mmi_min_u64(product->columns - i, CHUNK);
        bool each = product->start.column != 0;
        mmi_onnx_convert(dtype, row + i * width, count, MM_F64, made);
        if (c) {
            mmi_onnx_convert(dtype, each ? c + i * width : c, each ? count : 1, MM_F64, added);
        }
        for (uint64_t j = 0; j < count; j++) {
            double plus = c ? (double)gemm->beta * added[each ? j : 0] : 0;
            made[j] = (double)gemm->alpha * made[j] + plus;
        }
        mmi_onnx_convert(MM_F64, made, count, dtype, row + i * width);
    }
}

static mm_status run_scaled(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct onnx_gemm *gemm = call->params;
    const struct onnx_tensor *a = &call->inputs[0], *b = &call->inputs[1];
    int64_t width_a = a->shape[1], width_b = b->shape[1];
    uint64_t width = mmi_onnx_element_bytes(a->dtype);
    struct onnx_product product = {
        .dtype = a->dtype,
        .rows = (uint64_t)a->shape[gemm->trans_a],
        .depth = (uint64_t)a->shape[!gemm->trans_a],
        .columns = (uint64_t)b->shape[!gemm->trans_b],
        .a = {call->in[0], gemm->trans_a ? 1 : width_a, gemm->trans_a ? width_a : 1},
        .b = {call->in[1], gemm->trans_b ? 1 : width_b, gemm->trans_b ? width_b : 1},
        .start = addend(call),
        .out = call->out[0]};
    product.out_row = product.columns;
    if (gemm->alpha == 1 && gemm->beta == 1) {
        mmi_onnx_multiply(&product, call->scratch);
        return MM_OK;
    }
    const struct onnx_matrix c = product.start;
    product.start.at = NULL;
    mmi_onnx_multiply(&product, call->scratch);
    for (uint64_t i = 0; i < product.rows; i++) {
        const uint8_t *added = c.at ? (const uint8_t *)c.at + i * (uint64_t)c.row * width : NULL;
        scale_row(&product, gemm, added, (uint8_t *)call->out[0] + i * product.columns * width);
    }
    return MM_OK;
}

static mm_status run_gemm(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_scaled, err) : MM_OK;
}

static void learn_gemm(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct onnx_gemm *gemm = l->node->params;
    (void)output;
    fact->last = gemm->trans_b ? 0 : mmi_onnx_fact(l, 1).last;
}

const struct onnx_operator mmi_onnx_op_Gemm = {
    .name = "Gemm",
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_gemm),
    .limits = ONNX_LIMITS(ONNX_GEMM_LIMITS(struct onnx_gemm, )),
    .read = read_gemm,
    .infer = infer_gemm,
    .run = run_gemm,
    .weight_inputs = 1u << 1 | 1u << 2,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_IS_2, ONNX_SIZE_ALIKE, 0},
    .learn = learn_gemm};
