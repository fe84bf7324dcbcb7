/* SPDX-License-Identifier: Apache-2.0 */

/* MatMulInteger and QLinearMatMul. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/product.h>
#include <backends/onnx/operators/quantized.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

#define BYTES (ONNX_TYPE(MM_U8) | ONNX_TYPE(MM_I8))
#define SCALES (ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F16) | ONNX_TYPE(MM_BF16))

#define OWN_BYTES (ONNX_UNIT_PANELS * ONNX_NR * sizeof(double))

/* Which input is what; NONE: the operator has none. */
enum { NONE = 99 };
struct places {
    uint32_t a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero;
};
static const struct places integer_places = {0, NONE, 2, 1, NONE, 3, NONE, NONE};
static const struct places linear_places = {0, 1, 2, 3, 4, 5, 6, 7};

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* A scale or zero point: one; one for each row of a (column of b); or a stack of such vectors. */
static mm_status check_vector(const struct onnx_inference *x, uint32_t input, bool rows,
                              const struct onnx_stacks *stacks, mm_error *err) {
    if (!mmi_onnx_has(x, input) || x->inputs[input].elements == 1) {
        return MM_OK;
    }
    const struct onnx_tensor *tensor = &x->inputs[input];
    int64_t wanted = (int64_t)(rows ? stacks->rows : stacks->columns);
    uint32_t rank = tensor->rank;
    bool fits = rank == 1 && tensor->shape[0] == wanted;
    if (rank >= 2 && rank - 2 <= stacks->batch.rank) {
        fits = tensor->shape[rank - (rows ? 2 : 1)] == wanted &&
               tensor->shape[rank - (rows ? 1 : 2)] == 1;
        for (uint32_t i = 3; i <= rank; i++) {
            int64_t own = tensor->shape[rank - i];
            fits = fits && (own == 1 || own == stacks->batch.shape[stacks->batch.rank + 2 - i]);
        }
    }
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL,
                           "its input %u has %u axes and %" PRIu64 " elements; one, or %" PRId64
                           " for the %s wanted",
                           input, rank, tensor->elements, wanted, rows ? "rows" : "columns");
}

static mm_status check_single(const struct onnx_inference *x, uint32_t input, mm_error *err) {
    if (x->inputs[input].elements == 1) {
        return MM_OK;
    }
    return mmi_fail(err, MM_UNSUPPORTED, "its input %u has %" PRIu64 " elements, 1 wanted", input,
                    x->inputs[input].elements);
}

static mm_status check_zero(const struct onnx_inference *x, uint32_t of, uint32_t input,
                            mm_error *err) {
    if (!mmi_onnx_has(x, input) || x->inputs[input].dtype == x->inputs[of].dtype) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input %u %s", input,
                    mm_dtype_text(x->inputs[input].dtype), of, mm_dtype_text(x->inputs[of].dtype));
}

/* Matrices, zero points, and the output of this type. */
static mm_status infer_product(struct onnx_inference *x, const struct places *at, int32_t dtype,
                               struct onnx_stacks *stacks, mm_error *err) {
    const struct onnx_tensor *a = &x->inputs[at->a], *b = &x->inputs[at->b];
    MMI_TRY(mmi_onnx_stack(a, b, stacks, err));
    MMI_TRY(check_zero(x, at->a, at->a_zero, err));
    MMI_TRY(check_zero(x, at->b, at->b_zero, err));
    MMI_TRY(check_vector(x, at->a_zero, true, stacks, err));
    MMI_TRY(check_vector(x, at->b_zero, false, stacks, err));
    MMI_TRY(mmi_onnx_set_product(a, b, stacks, dtype, &x->outputs[0], err));
    x->scratch_bytes = mmi_onnx_quantized_bytes(stacks->depth, OWN_BYTES);
    return x->scratch_bytes < UINT64_MAX
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
}

static mm_status infer_integer(struct onnx_inference *x, mm_error *err) {
    struct onnx_stacks stacks;
    MMI_TRY(mmi_onnx_check_type(x, 0, BYTES, err));
    MMI_TRY(mmi_onnx_check_type(x, 1, BYTES, err));
    return infer_product(x, &integer_places, MM_I32, &stacks, err);
}

static mm_status infer_linear(struct onnx_inference *x, mm_error *err) {
    const struct places *at = &linear_places;
    struct onnx_stacks stacks;
    for (uint32_t i = 0; i < x->input_count; i++) {
        bool scale = i == at->a_scale || i == at->b_scale || i == at->y_scale;
        MMI_TRY(mmi_onnx_check_type(x, i, scale ? SCALES : BYTES | ONNX_FLOATS_8, err));
    }
    MMI_TRY(infer_product(x, at, x->inputs[at->y_zero].dtype, &stacks, err));
    MMI_TRY(check_vector(x, at->a_scale, true, &stacks, err));
    MMI_TRY(check_vector(x, at->b_scale, false, &stacks, err));
    MMI_TRY(check_single(x, at->y_scale, err));
    return check_single(x, at->y_zero, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* A scale or zero point; data NULL: there is none. */
struct vector {
    struct onnx_tensor tensor;
    bool stacked; /* each matrix has its own */
    double otherwise;
};

struct job {
    int32_t dtype; /* of the sums */
    uint64_t rows, depth, columns;
    struct onnx_tensor batch; /* of the results */
    struct onnx_tensor a, b, y;
    struct vector a_zero, b_zero, a_scale, b_scale;
    bool scaled;
    double y_scale, y_zero;
};

/* Element i of the `length` that matrix `matrix` of the result has. */
static double element_of(const struct job *job, const struct vector *vector, uint64_t matrix,
                         uint64_t length, uint64_t i) {
    if (!vector->tensor.data) {
        return vector->otherwise;
    }
    uint64_t own = vector->stacked ? mmi_onnx_matrix_of(&vector->tensor, &job->batch, matrix) : 0;
    return mmi_onnx_float_at(&vector->tensor, vector->tensor.elements == 1 ? 0 : own * length + i);
}

static void load_row(const void *ctx, uint64_t matrix, uint64_t row, void *to) {
    const struct job *job = ctx;
    const bool bytes = job->dtype == MM_I32;
    double zero = element_of(job, &job->a_zero, matrix, job->rows, row);
    const int16_t byte = (int16_t)zero;
    const float number = (float)zero;
    const struct onnx_widening widening = {job->a.dtype, bytes ? MM_I16 : MM_F32,
                                           bytes ? (const void *)&byte : &number, false};
    uint64_t at = mmi_onnx_matrix_of(&job->a, &job->batch, matrix) * job->rows + row;
    mmi_onnx_widen_quantized(&widening, (const uint8_t *)job->a.data + at * job->depth, job->depth,
                             to);
}

static void load_byte_panels(const struct job *job, uint64_t matrix, uint64_t first, uint64_t count,
                             int16_t *to) {
    const uint64_t at = mmi_onnx_matrix_of(&job->b, &job->batch, matrix) * job->depth;
    struct onnx_byte_columns columns = {.dtype = job->b.dtype, .row = job->columns};
    columns.from = (const uint8_t *)job->b.data + at * job->columns + first;
    columns.depth = job->depth;
    columns.count = count;
    for (uint64_t j = 0; j < count; j++) {
        double zero = element_of(job, &job->b_zero, matrix, job->columns, first + j);
        columns.zeros[j] = (int32_t)zero;
    }
    mmi_onnx_widen_panels(&columns, to);
}

static void load_float_panels(const struct job *job, uint64_t matrix, uint64_t first,
                              uint64_t count, float *to) {
    const uint8_t *b = (const uint8_t *)job->b.data + first;
    const uint64_t rest = (job->depth % 2) * ONNX_NR;
    b += mmi_onnx_matrix_of(&job->b, &job->batch, matrix) * job->depth * job->columns;
    for (uint64_t j = 0; j < count; j += ONNX_NR, to += rest) {
        uint64_t columns = mmi_min_u64(count - j, ONNX_NR);
        float zeros[ONNX_NR];
        const struct onnx_widening widening = {job->b.dtype, MM_F32, zeros, true};
        for (uint64_t i = 0; i < columns; i++) {
            zeros[i] = (float)element_of(job, &job->b_zero, matrix, job->columns, first + j + i);
        }
        for (uint64_t k = 0; k < job->depth; k++, to += ONNX_NR) {
            mmi_onnx_widen_quantized(&widening, b + k * job->columns + j, columns, to);
            memset(to + columns, 0, (ONNX_NR - columns) * sizeof(*to));
        }
    }
}

/* What the sums of a row are multiplied by; a_scale: of the row. */
static void find_factors(const struct job *job, uint64_t matrix, uint64_t first, uint64_t count,
                         float a_scale, double *factors) {
    float b_scale = (float)element_of(job, &job->b_scale, matrix, job->columns, first);
    for (uint64_t j = 0; j < count; j++) {
        if (job->b_scale.tensor.elements > 1) {
            b_scale = (float)element_of(job, &job->b_scale, matrix, job->columns, first + j);
        }
        factors[j] = (double)(a_scale * b_scale / (float)job->y_scale);
    }
}

/* own: factors of the unit's columns, where all rows have the same scale. */
static void load_panels(const void *ctx, void *own, uint64_t matrix, uint64_t first, uint64_t count,
                        void *to) {
    const struct job *job = ctx;
    if (job->scaled && job->a_scale.tensor.elements == 1) {
        float a_scale = (float)element_of(job, &job->a_scale, matrix, job->rows, 0);
        find_factors(job, matrix, first, count, a_scale, own);
    }
    if (job->dtype == MM_I32) {
        load_byte_panels(job, matrix, first, count, to);
    } else {
        load_float_panels(job, matrix, first, count, to);
    }
}

static void requantize(const struct job *job, const struct onnx_sums *sums, const double *factors,
                       uint8_t *out) {
    const struct onnx_requantized to = {
        .dtype = job->y.dtype, .zero = (int32_t)job->y_zero, .factors = factors};
    if (job->dtype == MM_I32 && ONNX_TYPE(job->y.dtype) & BYTES) {
        mmi_onnx_requantize(&to, sums->sums, sums->count, out);
        return;
    }
    double values[ONNX_NR], zeros[ONNX_NR];
    for (uint64_t j = 0; j < sums->count; j++) {
        values[j] = job->dtype == MM_I32 ? ((const int32_t *)sums->sums)[j]
                                         : (double)((const float *)sums->sums)[j];
        values[j] *= factors[j];
        zeros[j] = job->y_zero;
    }
    const struct onnx_requantizing how = {job->y.dtype, NULL};
    mmi_onnx_quantize(&how, values, zeros, sums->count, out);
}

static void store(const void *ctx, void *own, const struct onnx_sums *sums) {
    const struct job *job = ctx;
    const uint64_t at = (sums->matrix * job->rows + sums->row) * job->columns + sums->first;
    uint8_t *out = (uint8_t *)(uintptr_t)job->y.data;
    double factors[ONNX_NR] = {0};
    if (!job->scaled) {
        memcpy((int32_t *)(void *)out + at, sums->sums, sums->count * sizeof(int32_t));
    } else if (job->a_scale.tensor.elements == 1) {
        requantize(job, sums, (const double *)own + sums->at, out + at);
    } else {
        float a_scale = (float)element_of(job, &job->a_scale, sums->matrix, job->rows, sums->row);
        find_factors(job, sums->matrix, sums->first, sums->count, a_scale, factors);
        requantize(job, sums, factors, out + at);
    }
}

static struct vector take_vector(const struct onnx_call *call, uint32_t input, double otherwise) {
    struct vector vector = {.otherwise = otherwise};
    if (input != NONE) {
        vector.tensor = mmi_onnx_call_input(call, input);
        vector.stacked = vector.tensor.data && vector.tensor.rank > 2;
    }
    return vector;
}

static struct job start(const struct onnx_call *call, const struct places *at,
                        const struct onnx_stacks *stacks) {
    struct job job = {.rows = stacks->rows,
                      .depth = stacks->depth,
                      .columns = stacks->columns,
                      .batch = stacks->batch,
                      .y = call->outputs[0]};
    job.y.data = call->out[0];
    bool wide =
        (ONNX_FLOATS_8 >> call->inputs[at->a].dtype | ONNX_FLOATS_8 >> call->inputs[at->b].dtype) &
        1;
    job.dtype = wide ? MM_F32 : MM_I32;
    job.a = mmi_onnx_call_input(call, at->a);
    job.b = mmi_onnx_call_input(call, at->b);
    job.a_zero = take_vector(call, at->a_zero, 0);
    job.b_zero = take_vector(call, at->b_zero, 0);
    job.a_scale = take_vector(call, at->a_scale, 1);
    job.b_scale = take_vector(call, at->b_scale, 1);
    job.scaled = at->y_scale != NONE;
    if (job.scaled) {
        const struct vector scale = take_vector(call, at->y_scale, 1);
        const struct vector zero = take_vector(call, at->y_zero, 0);
        job.y_scale = mmi_onnx_float_at(&scale.tensor, 0);
        job.y_zero = mmi_onnx_float_at(&zero.tensor, 0);
    }
    return job;
}

static mm_status run_product(const struct onnx_call *call, const struct places *places,
                             onnx_quantized_runner runner, mm_error *err) {
    struct onnx_stacks stacks;
    uint64_t matrices = 1;
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_stack(&call->inputs[places->a], &call->inputs[places->b], &stacks, err));
    struct job job = start(call, places, &stacks);
    for (uint32_t i = 0; i < stacks.batch.rank; i++) {
        matrices *= (uint64_t)stacks.batch.shape[i];
    }
    bool alone = job.a_zero.tensor.elements <= 1 && job.a_scale.tensor.elements <= 1 &&
                 job.b_zero.tensor.rank <= 2 && job.b_scale.tensor.rank <= 2;
    if (alone && job.b.rank <= 2) { /* one matrix for all rows there are */
        job.rows *= matrices;
        job.a.rank = 2;
        matrices = 1;
    }
    const struct onnx_quantized_product product = {.dtype = job.dtype,
                                                   .matrices = matrices,
                                                   .rows = job.rows,
                                                   .depth = stacks.depth,
                                                   .columns = stacks.columns,
                                                   .load_row = load_row,
                                                   .own_bytes = OWN_BYTES,
                                                   .load_panels = load_panels,
                                                   .store = store,
                                                   .ctx = &job};
    runner(&product, call, call->scratch);
    return MM_OK;
}

mm_status mmi_onnx_run_matmul_integer(const struct onnx_call *call, onnx_quantized_runner runner,
                                      mm_error *err) {
    return run_product(call, &integer_places, runner, err);
}

mm_status mmi_onnx_run_qlinear_matmul(const struct onnx_call *call, onnx_quantized_runner runner,
                                      mm_error *err) {
    return run_product(call, &linear_places, runner, err);
}

static mm_status run_integer(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_matmul_integer(call, mmi_onnx_multiply_quantized, err);
}

static mm_status run_linear(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_qlinear_matmul(call, mmi_onnx_multiply_quantized, err);
}

/* ---- The operators --------------------------------------------------------------------------- */

const struct onnx_operator mmi_onnx_op_MatMulInteger = {
    .name = "MatMulInteger",
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_integer,
    .run = run_integer,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MatMulInteger},
    .weight_inputs = 1u << 1 | 1u << 3,
    .facts = {MM_I32, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};

static void learn_linear(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->dtype = mmi_onnx_fact(l, linear_places.y_zero).dtype;
}

const struct onnx_operator mmi_onnx_op_QLinearMatMul = {
    .name = "QLinearMatMul",
    .min_inputs = 8,
    .max_inputs = 8,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_linear,
    .run = run_linear,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_QLinearMatMul},
    .weight_inputs = 1u << 3 | 1u << 5,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_linear,
};
