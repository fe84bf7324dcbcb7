/* SPDX-License-Identifier: Apache-2.0 */

/* Det, and Inverse of com.microsoft: of each matrix of a stack, by elimination in f64. */

#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* Scratch: for so many matrices of f64. */
static mm_status check(struct onnx_inference *x, uint64_t matrices, mm_error *err) {
    const struct onnx_tensor *stack = &x->inputs[0];
    uint64_t bytes;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    if (stack->rank < 2 || stack->shape[stack->rank - 2] != stack->shape[stack->rank - 1]) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, a stack of squares wanted",
                        stack->rank);
    }
    uint64_t size = (uint64_t)stack->shape[stack->rank - 1];
    if (!mmi_mul(size, size, &bytes) || !mmi_mul(bytes, matrices * sizeof(double), &bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
    }
    x->scratch_bytes = bytes;
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *stack = &x->inputs[0];
    MMI_TRY(check(x, 1, err));
    return mmi_onnx_tensor_set(&x->outputs[0], stack->dtype, stack->rank - 2, stack->shape, err);
}

/* The row from `row` on with the largest element in that column. */
static uint64_t find_pivot(const double *m, uint64_t size, uint64_t row) {
    uint64_t best = row;
    for (uint64_t i = row + 1; i < size; i++) {
        best = fabs(m[i * size + row]) > fabs(m[best * size + row]) ? i : best;
    }
    return best;
}

static void swap_rows(double *m, uint64_t size, uint64_t a, uint64_t b) {
    for (uint64_t j = 0; j < size && a != b; j++) {
        double swapped = m[a * size + j];
        m[a * size + j] = m[b * size + j];
        m[b * size + j] = swapped;
    }
}

/* Destroys m [size, size]. */
static double determinant(double *m, uint64_t size) {
    double product = 1;
    for (uint64_t row = 0; row < size; row++) {
        uint64_t best = find_pivot(m, size, row);
        swap_rows(m, size, row, best);
        product = best != row ? -product : product;
        double first = m[row * size + row];
        product *= first;
        for (uint64_t i = row + 1; i < size && first != 0; i++) {
            double times = m[i * size + row] / first;
            for (uint64_t j = row; j < size; j++) {
                m[i * size + j] -= times * m[row * size + j];
            }
        }
    }
    return product;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *stack = &call->inputs[0], *output = &call->outputs[0];
    uint64_t size = (uint64_t)stack->shape[stack->rank - 1];
    uint64_t bytes = size * size * mmi_onnx_element_bytes(stack->dtype);
    const uint8_t *from = call->in[0];
    (void)err;
    for (uint64_t i = 0; call->out[0] && i < output->elements; i++) {
        mmi_onnx_convert(stack->dtype, from + i * bytes, size * size, MM_F64, call->scratch);
        double result = determinant(call->scratch, size);
        mmi_onnx_convert(MM_F64, &result, 1, output->dtype,
                         (uint8_t *)call->out[0] + i * mmi_onnx_element_bytes(output->dtype));
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int32_t rank = mmi_onnx_fact(l, 0).rank;
    (void)output;
    fact->rank = rank < 2 ? -1 : rank - 2;
}

const struct onnx_operator mmi_onnx_op_Det = {
    .name = "Det",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_REDUCES, 0},
    .learn = learn,
};

/* ---- Inverse --------------------------------------------------------------------------------- */

static mm_status infer_inverse(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *stack = &x->inputs[0];
    MMI_TRY(check(x, 2, err));
    return mmi_onnx_tensor_set(&x->outputs[0], stack->dtype, stack->rank, stack->shape, err);
}

static void add_row(double *m, uint64_t size, uint64_t from, uint64_t to, double times) {
    for (uint64_t j = 0; j < size; j++) {
        m[to * size + j] += times * m[from * size + j];
    }
}

/* Turns m [size, size] into the unit matrix, and that in `to` into the inverse. Of a matrix that
 * has none come infinities and what is no number. */
static void invert(double *m, uint64_t size, double *to) {
    for (uint64_t i = 0; i < size * size; i++) {
        to[i] = i % (size + 1) == 0 ? 1 : 0;
    }
    for (uint64_t row = 0; row < size; row++) {
        uint64_t best = find_pivot(m, size, row);
        swap_rows(m, size, row, best);
        swap_rows(to, size, row, best);
        double first = m[row * size + row];
        for (uint64_t j = 0; j < size; j++) {
            m[row * size + j] /= first;
            to[row * size + j] /= first;
        }
        for (uint64_t i = 0; i < size; i++) {
            double times = i == row ? 0 : -m[i * size + row];
            if (times != 0) {
                add_row(m, size, row, i, times);
                add_row(to, size, row, i, times);
            }
        }
    }
}

static mm_status run_inverse(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *stack = &call->inputs[0];
    const uint64_t size = (uint64_t)stack->shape[stack->rank - 1], all = size * size;
    const uint64_t bytes = all * mmi_onnx_element_bytes(stack->dtype);
    double *matrix = call->scratch, *made = matrix + all;
    (void)err;
    for (uint64_t at = 0; call->out[0] && at < stack->bytes; at += bytes) {
        mmi_onnx_convert(stack->dtype, (const uint8_t *)call->in[0] + at, all, MM_F64, matrix);
        invert(matrix, size, made);
        mmi_onnx_convert(MM_F64, made, all, stack->dtype, (uint8_t *)call->out[0] + at);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsInverse = {
    .name = "Inverse",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_inverse,
    .run = run_inverse,
    .facts = ONNX_FACTS_LIKE_0,
};
