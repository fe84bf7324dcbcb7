/* SPDX-License-Identifier: Apache-2.0 */

/* FusedMatMul of com.microsoft: alpha times the product of stacks of matrices, each of which may
 * have its last two axes swapped, or its first axis behind those of the stack. */

#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/product.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct fused_matmul {
    float alpha;
    int32_t swapped[2], moved[2]; /* of a and b */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const names[4] = {"transA", "transB", "transBatchA", "transBatchB"};
    struct fused_matmul *p = params;
    for (uint32_t i = 0; i < 4; i++) {
        int64_t flag;
        MMI_TRY(mmi_onnx_read_int(a, names[i], 0, &flag, err));
        *(i < 2 ? &p->swapped[i] : &p->moved[i - 2]) = flag != 0;
    }
    return mmi_onnx_read_float(a, "alpha", 1, &p->alpha, err);
}

/* One input: a stack of matrices; steps in elements. */
struct stack {
    uint32_t rank; /* of the stack */
    int64_t shape[MM_MAX_RANK], steps[MM_MAX_RANK];
    uint64_t rows, columns;
    int64_t row, column;
    bool vector;
};

static void place(const struct fused_matmul *p, uint32_t i, const struct onnx_tensor *tensor,
                  struct stack *stack) {
    int64_t strides[MM_MAX_RANK] = {0};
    uint32_t rank = tensor->rank;
    *stack = (struct stack){.vector = rank == 1};
    mmi_onnx_strides(tensor, strides);
    if (rank == 1) { /* a row of a, a column of b */
        uint64_t count = (uint64_t)tensor->shape[0];
        stack->rows = i == 0 ? 1 : count;
        stack->columns = i == 0 ? count : 1;
        stack->row = stack->column = 1;
        return;
    }
    bool moved = p->moved[i] && rank > 2;
    uint32_t of_row = moved ? 0 : rank - 2, of_column = rank - 1;
    stack->rank = rank - 2;
    for (uint32_t j = 0; j < stack->rank; j++) {
        stack->shape[j] = tensor->shape[j + moved];
        stack->steps[j] = strides[j + moved];
    }
    if (p->swapped[i]) {
        uint32_t swap = of_row;
        of_row = of_column;
        of_column = swap;
    }
    stack->rows = (uint64_t)tensor->shape[of_row];
    stack->columns = (uint64_t)tensor->shape[of_column];
    stack->row = strides[of_row];
    stack->column = strides[of_column];
}

static mm_status place_both(const struct fused_matmul *p, const struct onnx_tensor *inputs,
                            struct stack stacks[2], struct onnx_tensor *batch, mm_error *err) {
    for (uint32_t i = 0; i < 2; i++) {
        if (inputs[i].rank == 0) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u has no axes", i);
        }
        place(p, i, &inputs[i], &stacks[i]);
    }
    if (stacks[0].columns != stacks[1].rows) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its left matrix has %" PRIu64 " columns, its right one %" PRIu64 " rows",
                        stacks[0].columns, stacks[1].rows);
    }
    return mmi_onnx_broadcast(stacks[0].rank, stacks[0].shape, stacks[1].rank, stacks[1].shape,
                              batch)
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL, "its stacks of matrices cannot be broadcast");
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    struct stack stacks[2];
    struct onnx_tensor batch = {0};
    int64_t shape[MM_MAX_RANK + 2];
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS, err));
    MMI_TRY(place_both(x->params, x->inputs, stacks, &batch, err));
    uint32_t rank = batch.rank;
    memcpy(shape, batch.shape, rank * sizeof(*shape));
    if (!stacks[0].vector) {
        shape[rank++] = (int64_t)stacks[0].rows;
    }
    if (!stacks[1].vector) {
        shape[rank++] = (int64_t)stacks[1].columns;
    }
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], x->inputs[0].dtype, rank, shape, err));
    int32_t dtype = x->inputs[0].dtype == MM_F64 ? MM_F64 : MM_F32;
    x->scratch_bytes = mmi_onnx_product_bytes(dtype, stacks[0].columns);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
    }
    return mmi_onnx_add_copies(x, err);
}

/* Where matrix `index` of the result begins in an input. */
static int64_t matrix_of(const struct stack *stack, const struct onnx_tensor *batch,
                         uint64_t index) {
    int64_t at = 0;
    for (uint32_t i = 1; i <= batch->rank; i++) {
        uint64_t length = (uint64_t)batch->shape[batch->rank - i];
        if (i <= stack->rank && stack->shape[stack->rank - i] != 1) {
            at += (int64_t)(index % length) * stack->steps[stack->rank - i];
        }
        index /= length;
    }
    return at;
}

static void scale(const struct onnx_tensor *made, void *out, float alpha) {
    for (uint64_t i = 0; i < made->elements && alpha != 1; i++) {
        if (made->dtype == MM_F64) {
            ((double *)out)[i] *= (double)alpha;
        } else {
            ((float *)out)[i] *= alpha;
        }
    }
}

static mm_status run_real(const struct onnx_call *call, mm_error *err) {
    const struct fused_matmul *p = call->params;
    struct stack stacks[2];
    struct onnx_tensor batch = {0};
    const struct stack *a = &stacks[0], *b = &stacks[1];
    uint64_t width = mmi_onnx_element_bytes(call->inputs[0].dtype), matrices = 1;
    MMI_TRY(place_both(p, call->inputs, stacks, &batch, err));
    for (uint32_t i = 0; i < batch.rank; i++) {
        matrices *= (uint64_t)batch.shape[i];
    }
    struct onnx_product product = {.dtype = call->inputs[0].dtype,
                                   .rows = a->rows,
                                   .depth = a->columns,
                                   .columns = b->columns,
                                   .a = {NULL, a->row, a->column},
                                   .b = {NULL, b->row, b->column},
                                   .out_row = b->columns};
    for (uint64_t i = 0; i < matrices; i++) {
        product.a.at = (const uint8_t *)call->in[0] + matrix_of(a, &batch, i) * (int64_t)width;
        product.b.at = (const uint8_t *)call->in[1] + matrix_of(b, &batch, i) * (int64_t)width;
        product.out = (uint8_t *)call->out[0] + i * a->rows * b->columns * width;
        mmi_onnx_multiply(&product, call->scratch);
    }
    scale(&call->outputs[0], call->out[0], p->alpha);
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_real, err) : MM_OK;
}

#define MATMUL(name_)                                                                              \
    const struct onnx_operator mmi_onnx_op_Ms##name_ = {                                           \
        .name = #name_,                                                                            \
        .domain = ONNX_MICROSOFT,                                                                  \
        .min_inputs = 2,                                                                           \
        .max_inputs = 2,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct fused_matmul),                                               \
        .read = read,                                                                              \
        .infer = infer,                                                                            \
        .run = run,                                                                                \
        .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},                       \
    };
MATMUL(FusedMatMul)
MATMUL(TransposeMatMul) /* its older name */
