/* SPDX-License-Identifier: Apache-2.0 */

/* MatMulNBits, of com.microsoft: a product with a matrix of 2, 4 or 8 bits, whose columns are
 * quantised in blocks. */

#include <backends/onnx/operators/matmul_nbits.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_matmul_nbits *p = params;
    (void)mmi_onnx_attribute(a, "accuracy_level"); /* how A may be rounded: it is not */
    MMI_TRY(mmi_onnx_read_int(a, "K", 0, &p->k, err));
    MMI_TRY(mmi_onnx_read_int(a, "N", 0, &p->n, err));
    MMI_TRY(mmi_onnx_read_int(a, "bits", 4, &p->bits, err));
    return mmi_onnx_read_int(a, "block_size", 0, &p->block, err);
}

static mm_status check_params(const void *params, mm_error *err) {
    const struct onnx_matmul_nbits *p = params;
    bool narrow = p->bits == 2 || p->bits == 4 || p->bits == 8;
    bool fits = p->k > 0 && p->k < INT32_MAX && p->n > 0 && p->n < INT32_MAX;
    return narrow && fits && p->block >= 16 && p->block <= INT32_MAX && p->block % 16 == 0
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "K is %" PRId64 ", N %" PRId64 ", bits %" PRId64 ", block_size %" PRId64,
                          p->k, p->n, p->bits, p->block);
}

static mm_status check_elements(const struct onnx_inference *x, uint32_t input, uint64_t wanted,
                                mm_error *err) {
    return !mmi_onnx_has(x, input) || x->inputs[input].elements == wanted
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL,
                          "its input %u has %" PRIu64 " elements, %" PRIu64 " wanted", input,
                          x->inputs[input].elements, wanted);
}

static mm_status check(const struct onnx_inference *x, mm_error *err) {
    const struct onnx_matmul_nbits *p = x->params;
    uint64_t blocks = mmi_onnx_nbits_blocks(p), columns = (uint64_t)p->n;
    const uint32_t floats = ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F16) | ONNX_TYPE(MM_BF16);
    MMI_TRY(mmi_onnx_check_type(x, ONNX_NBITS_A, floats, err));
    MMI_TRY(mmi_onnx_check_type(x, ONNX_NBITS_B, ONNX_TYPE(MM_U8), err));
    MMI_TRY(mmi_onnx_check_type(x, ONNX_NBITS_SCALES, floats, err));
    MMI_TRY(check_elements(x, ONNX_NBITS_B, columns * blocks * (uint64_t)(p->block * p->bits / 8),
                           err));
    MMI_TRY(check_elements(x, ONNX_NBITS_SCALES, columns * blocks, err));
    MMI_TRY(check_elements(x, ONNX_NBITS_BIAS, columns, err));
    if (mmi_onnx_has(x, ONNX_NBITS_BIAS)) {
        MMI_TRY(mmi_onnx_check_type(x, ONNX_NBITS_BIAS, floats, err));
    }
    if (mmi_onnx_has(x, ONNX_NBITS_ZERO_POINTS)) {
        bool packed = x->inputs[ONNX_NBITS_ZERO_POINTS].dtype == MM_U8;
        MMI_TRY(mmi_onnx_check_type(x, ONNX_NBITS_ZERO_POINTS, floats | ONNX_TYPE(MM_U8), err));
        return check_elements(x, ONNX_NBITS_ZERO_POINTS,
                              columns * (packed ? mmi_onnx_nbits_zero_bytes(p) : blocks), err);
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_matmul_nbits *p = x->params;
    struct onnx_tensor made = x->inputs[ONNX_NBITS_A];
    MMI_TRY(check(x, err));
    if (mmi_onnx_has(x, ONNX_NBITS_G_IDX)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its rows are in another order (g_idx)");
    }
    if (made.rank < 1 || made.shape[made.rank - 1] != p->k) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its left matrix has %" PRId64 " columns, K is %" PRId64,
                        made.rank < 1 ? 0 : made.shape[made.rank - 1], p->k);
    }
    uint64_t copy = made.dtype == MM_F32 ? 0 : made.elements, numbers;
    if (!mmi_add(copy, (uint64_t)p->k, &numbers) ||
        !mmi_mul(numbers, sizeof(float), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
    }
    made.shape[made.rank - 1] = p->n;
    return mmi_onnx_tensor_set(&x->outputs[0], made.dtype, made.rank, made.shape, err);
}

static float zero_point(const struct onnx_call *call, uint64_t column, uint64_t block) {
    const struct onnx_matmul_nbits *p = call->params;
    if (!mmi_onnx_given(call, ONNX_NBITS_ZERO_POINTS)) {
        return (float)(1u << (p->bits - 1));
    }
    struct onnx_tensor zeros = mmi_onnx_call_input(call, ONNX_NBITS_ZERO_POINTS);
    if (zeros.dtype == MM_U8) {
        const uint8_t *its = (const uint8_t *)zeros.data + column * mmi_onnx_nbits_zero_bytes(p);
        return (float)mmi_onnx_nbits_at(its, block, (uint32_t)p->bits);
    }
    return (float)mmi_onnx_float_at(&zeros, column * mmi_onnx_nbits_blocks(p) + block);
}

/* A column of the right matrix, as f32. */
static void widen(const struct onnx_call *call, uint64_t column, float *to) {
    const struct onnx_matmul_nbits *p = call->params;
    struct onnx_tensor scales = mmi_onnx_call_input(call, ONNX_NBITS_SCALES);
    uint64_t blocks = mmi_onnx_nbits_blocks(p), size = (uint64_t)p->block, k = (uint64_t)p->k;
    uint64_t bytes = size * (uint64_t)p->bits / 8;
    for (uint64_t block = 0; block < blocks; block++) {
        const uint8_t *from =
            (const uint8_t *)call->in[ONNX_NBITS_B] + (column * blocks + block) * bytes;
        float scale = (float)mmi_onnx_float_at(&scales, column * blocks + block);
        float zero = zero_point(call, column, block);
        uint64_t begin = block * size, count = mmi_min_u64(size, k - begin);
        for (uint64_t i = 0; i < count; i++) {
            to[begin + i] = ((float)mmi_onnx_nbits_at(from, i, (uint32_t)p->bits) - zero) * scale;
        }
    }
}

static float dot(const float *a, const float *b, uint64_t count) {
    float sums[8] = {0}, rest = 0;
    uint64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (uint64_t j = 0; j < 8; j++) {
            sums[j] += a[i + j] * b[i + j];
        }
    }
    for (; i < count; i++) {
        rest += a[i] * b[i];
    }
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_matmul_nbits *p = call->params;
    const struct onnx_tensor *a = &call->inputs[ONNX_NBITS_A];
    uint64_t k = (uint64_t)p->k, n = (uint64_t)p->n, rows = a->elements / k;
    uint32_t width = mmi_onnx_element_bytes(a->dtype);
    float *column = call->scratch;
    const float *left = a->dtype == MM_F32 ? call->in[ONNX_NBITS_A] : column + k;
    struct onnx_tensor bias = mmi_onnx_call_input(call, ONNX_NBITS_BIAS);
    (void)err;
    if (a->dtype != MM_F32) {
        mmi_onnx_convert(a->dtype, call->in[ONNX_NBITS_A], a->elements, MM_F32, column + k);
    }
    for (uint64_t j = 0; call->out[0] && rows > 0 && j < n; j++) {
        float shift =
            mmi_onnx_given(call, ONNX_NBITS_BIAS) ? (float)mmi_onnx_float_at(&bias, j) : 0;
        widen(call, j, column);
        for (uint64_t i = 0; i < rows; i++) {
            float sum = dot(left + i * k, column, k) + shift;
            mmi_onnx_convert(MM_F32, &sum, 1, a->dtype,
                             (uint8_t *)call->out[0] + (i * n + j) * width);
        }
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsMatMulNBits = {
    .name = "MatMulNBits",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 3,
    .max_inputs = ONNX_NBITS_INPUTS,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_matmul_nbits),
    .check = check_params,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
