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
    x->scratch_bytes = mmi_onnx_quantized_bytes(stacks->depth);
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

/* A scale or zero point of one matrix; data NULL: there is none. */
struct vector {
    struct onnx_tensor tensor;
    uint64_t first; /* of the matrix */
    double otherwise;
};

struct job {
    int32_t dtype; /* of the sums */
    uint64_t depth, columns;
    struct onnx_tensor a, b, y; /* data: of the matrix */
    struct vector a_zero, b_zero, a_scale, b_scale;
    bool scaled;
    double y_scale, y_zero;
};

static double element_of(const struct vector *vector, uint64_t i) {
    if (!vector->tensor.data) {
        return vector->otherwise;
    }
    bool single = vector->tensor.elements == 1;
    return mmi_onnx_float_at(&vector->tensor, single ? 0 : vector->first + i);
}

static void load_rows(const void *ctx, uint64_t first, uint64_t count, void *to) {
    const struct job *job = ctx;
    for (uint64_t i = 0; i < count; i++) {
        double zero = element_of(&job->a_zero, first + i);
        const struct onnx_widening widening = {job->a.dtype, job->dtype, &zero, false};
        mmi_onnx_widen_quantized(&widening, (const uint8_t *)job->a.data + (first + i) * job->depth,
                                 job->depth, (int32_t *)to + i * job->depth);
    }
}

static void load_panel(const void *ctx, uint64_t first, uint64_t count, void *to) {
    const struct job *job = ctx;
    double zeros[ONNX_NR];
    const struct onnx_widening widening = {job->b.dtype, job->dtype, zeros, true};
    for (uint64_t j = 0; j < count; j++) {
        zeros[j] = element_of(&job->b_zero, first + j);
    }
    for (uint64_t k = 0; k < job->depth; k++) {
        int32_t *row = (int32_t *)to + k * ONNX_NR;
        mmi_onnx_widen_quantized(&widening, (const uint8_t *)job->b.data + k * job->columns + first,
                                 count, row);
        for (uint64_t j = count; j < ONNX_NR; j++) {
            row[j] = 0;
        }
    }
}

static void store(const void *ctx, uint64_t row, uint64_t first, uint64_t count, const void *sums) {
    const struct job *job = ctx;
    uint8_t *out = (uint8_t *)(uintptr_t)job->y.data;
    if (!job->scaled) {
        memcpy((int32_t *)(void *)out + row * job->columns + first, sums, count * sizeof(int32_t));
        return;
    }
    double values[ONNX_NR], zeros[ONNX_NR];
    float a_scale = (float)element_of(&job->a_scale, row);
    for (uint64_t j = 0; j < count; j++) {
        double sum =
            job->dtype == MM_I32 ? ((const int32_t *)sums)[j] : (double)((const float *)sums)[j];
        float factor = a_scale * (float)element_of(&job->b_scale, first + j) / (float)job->y_scale;
        values[j] = sum * (double)factor;
        zeros[j] = job->y_zero;
    }
    const struct onnx_requantizing to = {job->y.dtype, NULL};
    mmi_onnx_quantize(&to, values, zeros, count, out + row * job->columns + first);
}

static struct vector take_vector(const struct onnx_call *call, uint32_t input, double otherwise) {
    struct vector vector = {.otherwise = otherwise};
    if (input != NONE) {
        vector.tensor = mmi_onnx_call_input(call, input);
    }
    return vector;
}

/* Where matrix i of the result finds its own. */
static void place_vector(struct vector *vector, const struct onnx_tensor *batch, uint64_t i,
                         uint64_t length) {
    bool stacked = vector->tensor.data && vector->tensor.rank > 2;
    vector->first = stacked ? mmi_onnx_matrix_of(&vector->tensor, batch, i) * length : 0;
}

static struct job start(const struct onnx_call *call, const struct places *at,
                        const struct onnx_stacks *stacks) {
    struct job job = {.depth = stacks->depth, .columns = stacks->columns, .y = call->outputs[0]};
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
                             mm_error *err) {
    struct onnx_stacks stacks;
    uint64_t matrices = 1, width = mmi_onnx_element_bytes(call->outputs[0].dtype);
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_stack(&call->inputs[places->a], &call->inputs[places->b], &stacks, err));
    struct job job = start(call, places, &stacks);
    const uint8_t *a = job.a.data, *b = job.b.data;
    for (uint32_t i = 0; i < stacks.batch.rank; i++) {
        matrices *= (uint64_t)stacks.batch.shape[i];
    }
    bool alone = job.a_zero.tensor.elements <= 1 && job.a_scale.tensor.elements <= 1 &&
                 job.b_zero.tensor.rank <= 2 && job.b_scale.tensor.rank <= 2;
    if (alone && job.b.rank <= 2) { /* one matrix for all rows there are */
        stacks.rows *= matrices;
        matrices = 1;
    }
    const struct onnx_quantized_product product = {.dtype = job.dtype,
                                                   .rows = stacks.rows,
                                                   .depth = stacks.depth,
                                                   .columns = stacks.columns,
                                                   .load_rows = load_rows,
                                                   .load_panel = load_panel,
                                                   .store = store,
                                                   .ctx = &job};
    for (uint64_t i = 0; i < matrices; i++) {
        job.a.data = a + mmi_onnx_matrix_of(&job.a, &stacks.batch, i) * stacks.rows * stacks.depth;
        job.b.data =
            b + mmi_onnx_matrix_of(&job.b, &stacks.batch, i) * stacks.depth * stacks.columns;
        job.y.data = (uint8_t *)call->out[0] + i * stacks.rows * stacks.columns * width;
        place_vector(&job.a_zero, &stacks.batch, i, stacks.rows);
        place_vector(&job.a_scale, &stacks.batch, i, stacks.rows);
        place_vector(&job.b_zero, &stacks.batch, i, stacks.columns);
        place_vector(&job.b_scale, &stacks.batch, i, stacks.columns);
        mmi_onnx_multiply_quantized(&product, call->scratch);
    }
    return MM_OK;
}

static mm_status run_integer(const struct onnx_call *call, mm_error *err) {
    return run_product(call, &integer_places, err);
}

static mm_status run_linear(const struct onnx_call *call, mm_error *err) {
    return run_product(call, &linear_places, err);
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
    .weight_inputs = 1u << 3 | 1u << 5,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_linear,
};
