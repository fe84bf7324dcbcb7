/* SPDX-License-Identifier: Apache-2.0 */

/* QGemm of com.microsoft: sums of products in i32, as those of QLinearMatMul. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, BIAS, Y_SCALE, Y_ZERO, INPUTS };

/* C has the scale of the products already: there is no beta. */
static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_gemm *gemm = params;
    MMI_TRY(mmi_onnx_read_float(a, "alpha", 1, &gemm->alpha, err));
    MMI_TRY(mmi_onnx_read_flag(a, "transA", false, &gemm->trans_a, err));
    MMI_TRY(mmi_onnx_read_flag(a, "transB", false, &gemm->trans_b, err));
    gemm->beta = 1;
    return MM_OK;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* What b has: one element, or one for each column. */
static mm_status check_columns(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                               int64_t columns, mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input];
    if (tensor->dtype != dtype || tensor->rank > 1 ||
        (tensor->elements != 1 && tensor->shape[0] != columns)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input %u is %s with %u axes and %" PRIu64
                        " elements; %s, 1 or %" PRId64 ", wanted",
                        input, mm_dtype_text(tensor->dtype), tensor->rank, tensor->elements,
                        mm_dtype_text(dtype), columns);
    }
    return MM_OK;
}

/* The type of the result: that of its zero point, else that of a; without a scale f32. */
static mm_status find_type(const struct onnx_inference *x, int32_t *dtype, mm_error *err) {
    if (!mmi_onnx_has(x, Y_SCALE)) {
        *dtype = MM_F32;
        return mmi_onnx_has(x, Y_ZERO) ? mmi_fail(err, MM_INVALID_MODEL,
                                                  "its input %d is there, its scale is not", Y_ZERO)
                                       : MM_OK;
    }
    *dtype = mmi_onnx_has(x, Y_ZERO) ? x->inputs[Y_ZERO].dtype : x->inputs[A].dtype;
    MMI_TRY(mmi_onnx_check_type(x, Y_ZERO, ONNX_BYTES, err));
    return mmi_onnx_check_scale(x, Y_SCALE, *dtype, err);
}

/* Shapes are those of Gemm. */
static mm_status infer_shape(struct onnx_inference *x, mm_error *err) {
    static const uint32_t from[] = {A, B, BIAS};
    struct onnx_tensor inputs[3] = {{0}};
    struct onnx_inference plain = {
        .params = x->params, .output_count = 1, .inputs = inputs, .outputs = &x->outputs[0]};
    for (uint32_t i = 0; i < 3 && mmi_onnx_has(x, from[i]); i++) {
        const struct onnx_tensor *input = &x->inputs[from[i]];
        MMI_TRY(mmi_onnx_tensor_set(&inputs[i], MM_F32, input->rank, input->shape, err));
        plain.input_count = i + 1;
    }
    return mmi_onnx_op_Gemm.infer(&plain, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_gemm *gemm = x->params;
    const struct onnx_tensor *a = &x->inputs[A], *b = &x->inputs[B];
    int32_t dtype;
    MMI_TRY(mmi_onnx_check_scaled(x, A, a->dtype, err));
    MMI_TRY(mmi_onnx_check_type(x, B, ONNX_BYTES, err));
    MMI_TRY(mmi_onnx_check_type(x, BIAS, ONNX_TYPE(MM_I32), err));
    for (uint32_t i = B; i <= B_SCALE; i++) {
        if (!mmi_onnx_has(x, i)) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is left out", i);
        }
    }
    MMI_TRY(find_type(x, &dtype, err));
    MMI_TRY(infer_shape(x, err));
    const int64_t rows = x->outputs[0].shape[0], columns = x->outputs[0].shape[1];
    MMI_TRY(check_columns(x, B_SCALE, MM_F32, columns, err));
    if (mmi_onnx_has(x, B_ZERO)) {
        MMI_TRY(check_columns(x, B_ZERO, b->dtype, columns, err));
    }
    x->scratch_bytes = mmi_onnx_quantized_bytes((uint64_t)a->shape[!gemm->trans_a], 0);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
    }
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, 2, (const int64_t[]){rows, columns}, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* A matrix of bytes, element (i, j) at[i * row + j * column]. */
struct bytes {
    const void *at;
    bool is_signed;
    uint64_t row, column;
};

static struct bytes take_bytes(const struct onnx_call *call, uint32_t input, bool transposed) {
    const struct onnx_tensor *tensor = &call->inputs[input];
    const uint64_t width = (uint64_t)tensor->shape[1];
    return (struct bytes){call->in[input], tensor->dtype == MM_I8, transposed ? 1 : width,
                          transposed ? width : 1};
}

static int32_t byte_at(const struct bytes *bytes, uint64_t i, uint64_t j) {
    const uint64_t at = i * bytes->row + j * bytes->column;
    return bytes->is_signed ? ((const int8_t *)bytes->at)[at] : ((const uint8_t *)bytes->at)[at];
}

struct job {
    uint64_t depth, columns;
    struct bytes a, b;
    int32_t a_zero;
    struct onnx_tensor b_scale, b_zero, bias;
    float factor; /* alpha and the scale of a */
    struct onnx_scaling y;
    void *out;
};

static void load_row(const void *ctx, uint64_t matrix, uint64_t i, void *to) {
    const struct job *job = ctx;
    int16_t *row = to;
    (void)matrix;
    for (uint64_t k = 0; k < job->depth; k++) {
        row[k] = (int16_t)(byte_at(&job->a, i, k) - job->a_zero);
    }
}

/* A transposed b: a column lies in one piece. */
static void load_columns(const struct job *job, const int32_t *zeros, uint64_t first,
                         uint64_t count, int16_t *to) {
    const uint64_t step = (job->depth + job->depth % 2) * ONNX_NR;
    for (uint64_t j = 0; j < (count + ONNX_NR - 1) / ONNX_NR * ONNX_NR; j++) {
        int16_t *column = to + j / ONNX_NR * step + j % ONNX_NR;
        for (uint64_t k = 0; k < job->depth; k++) {
            int32_t number = j < count ? byte_at(&job->b, k, first + j) - zeros[j] : 0;
            column[k * ONNX_NR] = (int16_t)number;
        }
    }
}

static void load_panels(const void *ctx, void *own, uint64_t matrix, uint64_t first, uint64_t count,
                        void *to) {
    const struct job *job = ctx;
    struct onnx_byte_columns columns = {.dtype = job->b.is_signed ? MM_I8 : MM_U8,
                                        .row = job->b.row};
    (void)own;
    (void)matrix;
    columns.from = (const uint8_t *)job->b.at + first;
    columns.depth = job->depth;
    columns.count = count;
    for (uint64_t j = 0; j < count && job->b_zero.data; j++) {
        uint64_t place = job->b_zero.elements > 1 ? first + j : 0;
        columns.zeros[j] = (int32_t)mmi_onnx_int_at(&job->b_zero, place);
    }
    if (job->b.column == 1) {
        mmi_onnx_widen_panels(&columns, to);
    } else {
        load_columns(job, columns.zeros, first, count, to);
    }
}

static int64_t bias_at(const struct onnx_tensor *bias, uint64_t row, uint64_t column) {
    if (!bias->data) {
        return 0;
    }
    const uint64_t width = bias->rank > 0 ? (uint64_t)bias->shape[bias->rank - 1] : 1;
    const bool rows = bias->rank > 1 && bias->shape[0] > 1;
    return ((const int32_t *)bias->data)[(rows ? row * width : 0) + (width > 1 ? column : 0)];
}

static void store(const void *ctx, void *own, const struct onnx_sums *sums) {
    const struct job *job = ctx;
    const uint64_t count = sums->count, first = sums->first;
    const uint64_t at = sums->row * job->columns + first;
    (void)own;
    const bool scaled = job->y.dtype != MM_F32;
    double values[ONNX_NR], zeros[ONNX_NR];
    for (uint64_t j = 0; j < count; j++) {
        uint64_t column = first + j;
        double sum =
            (double)(((const int32_t *)sums->sums)[j] + bias_at(&job->bias, sums->row, column));
        uint64_t place = job->b_scale.elements > 1 ? column : 0;
        float factor = job->factor * (float)mmi_onnx_float_at(&job->b_scale, place);
        factor = scaled ? factor / job->y.scale : factor;
        values[j] = sum * (double)factor;
        zeros[j] = (double)job->y.zero;
    }
    if (scaled) {
        const struct onnx_requantizing to = {job->y.dtype, NULL};
        mmi_onnx_quantize(&to, values, zeros, count, (uint8_t *)job->out + at);
    } else {
        mmi_onnx_convert(MM_F64, values, count, MM_F32, (float *)job->out + at);
    }
}

mm_status mmi_onnx_run_qgemm(const struct onnx_call *call, onnx_quantized_runner runner,
                             mm_error *err) {
    (void)err;
    const struct onnx_gemm *gemm = call->params;
    const struct onnx_scaling a = mmi_onnx_scaling(call, A_SCALE, call->inputs[A].dtype);
    const struct onnx_tensor *output = &call->outputs[0];
    if (!call->out[0]) {
        return MM_OK;
    }
    struct job job = {.depth = (uint64_t)call->inputs[A].shape[!gemm->trans_a],
                      .columns = (uint64_t)output->shape[1],
                      .a = take_bytes(call, A, gemm->trans_a),
                      .b = take_bytes(call, B, gemm->trans_b),
                      .a_zero = (int32_t)a.zero,
                      .b_scale = mmi_onnx_call_input(call, B_SCALE),
                      .b_zero = mmi_onnx_call_input(call, B_ZERO),
                      .bias = mmi_onnx_call_input(call, BIAS),
                      .factor = gemm->alpha * a.scale,
                      .y = {.dtype = output->dtype},
                      .out = call->out[0]};
    if (output->dtype != MM_F32) {
        job.y = mmi_onnx_scaling(call, Y_SCALE, output->dtype);
    }
    const struct onnx_quantized_product product = {.dtype = MM_I32,
                                                   .matrices = 1,
                                                   .rows = (uint64_t)output->shape[0],
                                                   .depth = job.depth,
                                                   .columns = job.columns,
                                                   .load_row = load_row,
                                                   .load_panels = load_panels,
                                                   .store = store,
                                                   .ctx = &job};
    runner(&product, call, call->scratch);
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_qgemm(call, mmi_onnx_multiply_quantized, err);
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct onnx_node *node = l->node;
    bool scaled = node->input_count > Y_SCALE && node->inputs[Y_SCALE] != ONNX_NO_VALUE;
    bool zero = node->input_count > Y_ZERO && node->inputs[Y_ZERO] != ONNX_NO_VALUE;
    (void)output;
    fact->dtype = !scaled ? MM_F32 : mmi_onnx_fact(l, zero ? Y_ZERO : A).dtype;
}

const struct onnx_operator mmi_onnx_op_MsQGemm = {
    .name = "QGemm",
    .domain = ONNX_MICROSOFT,
    .min_inputs = B_ZERO,
    .max_inputs = INPUTS,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_gemm),
    .limits = ONNX_LIMITS(ONNX_GEMM_LIMITS(struct onnx_gemm, )),
    .read = read,
    .infer = infer,
    .run = run,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MsQGemm},
    .weight_inputs = 1u << B | 1u << B_SCALE | 1u << B_ZERO | 1u << BIAS,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_IS_2, ONNX_SIZE_ALIKE, 0},
    .learn = learn,
};
