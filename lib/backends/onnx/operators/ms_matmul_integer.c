/* SPDX-License-Identifier: Apache-2.0 */

/* MatMulIntegerToFloat, DynamicQuantizeMatMul and MatMulInteger16 of com.microsoft: products of
 * stacks of quantised matrices. */

#include <backends/onnx/operators/dequantized.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/ms_qlinear.h>
#include <backends/onnx/operators/product.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>

enum { A, B };
/* Which input is what; NONE: the operator has none. */
enum { NONE = 99 };
struct places {
    uint32_t a_scale, b_scale, a_zero, b_zero, bias;
};
static const struct places given_places = {2, 3, 4, 5, 6};
static const struct places dynamic_places = {NONE, 2, NONE, 3, 4};

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* The matrices of b in a stack may have scales and zero points each: [..., 1, columns]. */
static bool is_stacked(const struct onnx_tensor *b, const struct onnx_tensor *vector) {
    bool fits = vector->rank == b->rank && b->rank > 1 && vector->shape[b->rank - 2] == 1 &&
                vector->shape[b->rank - 1] == b->shape[b->rank - 1];
    for (uint32_t i = 0; fits && i + 2 < b->rank; i++) {
        fits = vector->shape[i] == b->shape[i];
    }
    return fits;
}

static mm_status check_b(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                         const struct onnx_stacks *stacks, mm_error *err) {
    if (mmi_onnx_has(x, input) && x->inputs[input].dtype == dtype &&
        is_stacked(&x->inputs[B], &x->inputs[input])) {
        return MM_OK;
    }
    return mmi_onnx_check_by_column(x, input, dtype, (int64_t)stacks->columns, err);
}

static mm_status need(const struct onnx_inference *x, uint32_t input, mm_error *err) {
    return mmi_onnx_has(x, input)
               ? MM_OK
               : mmi_fail(err, MM_INVALID_MODEL, "its input %u is left out", input);
}

static mm_status infer(struct onnx_inference *x, const struct places *at, mm_error *err) {
    const struct onnx_tensor *a = &x->inputs[A], *b = &x->inputs[B];
    struct onnx_stacks stacks;
    MMI_TRY(need(x, A, err));
    MMI_TRY(need(x, B, err));
    MMI_TRY(need(x, at->b_scale, err));
    MMI_TRY(mmi_onnx_check_type(x, B, ONNX_BYTES, err));
    MMI_TRY(mmi_onnx_stack(a, b, &stacks, err));
    MMI_TRY(check_b(x, at->b_scale, MM_F32, &stacks, err));
    MMI_TRY(check_b(x, at->b_zero, b->dtype, &stacks, err));
    if (mmi_onnx_has(x, at->bias) &&
        (x->inputs[at->bias].dtype != MM_F32 || x->inputs[at->bias].rank != 1 ||
         x->inputs[at->bias].elements != stacks.columns)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its bias is %s with %u axes and %" PRIu64 " elements; f32, one of %" PRIu64
                        " wanted",
                        mm_dtype_text(x->inputs[at->bias].dtype), x->inputs[at->bias].rank,
                        x->inputs[at->bias].elements, stacks.columns);
    }
    MMI_TRY(mmi_onnx_set_product(a, b, &stacks, MM_F32, &x->outputs[0], err));
    x->scratch_bytes = mmi_onnx_quantized_bytes(stacks.depth, 0);
    return x->scratch_bytes < UINT64_MAX
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
}

static mm_status infer_given(struct onnx_inference *x, mm_error *err) {
    const struct places *at = &given_places;
    MMI_TRY(mmi_onnx_check_type(x, A, ONNX_BYTES, err));
    MMI_TRY(need(x, at->a_scale, err));
    MMI_TRY(mmi_onnx_check_by_column(x, at->a_scale, MM_F32, 1, err));
    MMI_TRY(mmi_onnx_check_by_column(x, at->a_zero, x->inputs[A].dtype, 1, err));
    return infer(x, at, err);
}

static uint64_t bytes_of_a(const struct onnx_tensor *a) {
    uint64_t bytes;
    return mmi_round_up(a->elements, 64, &bytes) ? bytes : UINT64_MAX;
}

static mm_status infer_dynamic(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, A, ONNX_TYPE(MM_F32), err));
    MMI_TRY(infer(x, &dynamic_places, err));
    x->scratch_bytes = mmi_add_cap(x->scratch_bytes, bytes_of_a(&x->inputs[A]));
    return x->scratch_bytes < UINT64_MAX
               ? MM_OK
               : mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
}

/* ---- Running --------------------------------------------------------------------------------- */

/* What matrix `index` of b has of a scale or zero point. */
static struct onnx_by_column take_column(const struct onnx_call *call, uint32_t input,
                                         uint64_t index) {
    struct onnx_by_column all = mmi_onnx_by_column(call, input);
    if (all.at && all.count > 1 && call->inputs[input].rank > 1) {
        const struct onnx_tensor *tensor = &call->inputs[input];
        uint64_t columns = (uint64_t)tensor->shape[tensor->rank - 1];
        all.at = (const uint8_t *)all.at + index * columns * mmi_onnx_element_bytes(tensor->dtype);
        all.count = columns;
    }
    return all;
}

/* `product` has what a is. */
static mm_status run(const struct onnx_call *call, const struct places *at,
                     struct onnx_dequantized *product, void *scratch, mm_error *err) {
    const struct onnx_tensor *a = &call->inputs[A], *b = &call->inputs[B];
    const uint8_t *of_a = product->a;
    struct onnx_stacks stacks;
    uint64_t matrices = 1;
    MMI_TRY(mmi_onnx_stack(a, b, &stacks, err));
    for (uint32_t i = 0; i < stacks.batch.rank; i++) {
        matrices *= (uint64_t)stacks.batch.shape[i];
    }
    if (b->rank <= 2) { /* one matrix for all rows there are */
        stacks.rows *= matrices;
        matrices = 1;
    }
    product->rows = stacks.rows;
    product->depth = stacks.depth;
    product->columns = stacks.columns;
    product->b_dtype = b->dtype;
    product->bias = mmi_onnx_given(call, at->bias) ? call->in[at->bias] : NULL;
    for (uint64_t i = 0; i < matrices; i++) {
        uint64_t left = b->rank > 2 ? mmi_onnx_matrix_of(a, &stacks.batch, i) : 0;
        uint64_t right = b->rank > 2 ? mmi_onnx_matrix_of(b, &stacks.batch, i) : 0;
        product->a = of_a + left * stacks.rows * stacks.depth;
        product->b = (const uint8_t *)call->in[B] + right * stacks.depth * stacks.columns;
        product->b_scale = take_column(call, at->b_scale, right);
        product->b_zero = take_column(call, at->b_zero, right);
        product->out = (float *)call->out[0] + i * stacks.rows * stacks.columns;
        mmi_onnx_multiply_dequantized(product, scratch);
    }
    return MM_OK;
}

mm_status mmi_onnx_run_integer_to_float(const struct onnx_call *call, onnx_quantized_runner runner,
                                        mm_error *err) {
    const struct places *at = &given_places;
    if (!call->out[0]) {
        return MM_OK;
    }
    struct onnx_dequantized product = {.runner = runner,
                                       .call = call,
                                       .a = call->in[A],
                                       .a_dtype = call->inputs[A].dtype,
                                       .a_zero = mmi_onnx_zero_of(call, at->a_zero),
                                       .a_scale = *(const float *)call->in[at->a_scale]};
    return run(call, at, &product, call->scratch, err);
}

mm_status mmi_onnx_run_dynamic_matmul(const struct onnx_call *call, onnx_quantized_runner runner,
                                      mm_error *err) {
    const uint64_t count = call->inputs[A].elements;
    if (!call->out[0]) {
        return MM_OK;
    }
    const struct onnx_to_bytes how = mmi_onnx_find_bytes(call->in[A], count);
    mmi_onnx_to_bytes(&how, call->in[A], count, call->scratch);
    struct onnx_dequantized product = {.runner = runner,
                                       .call = call,
                                       .a = call->scratch,
                                       .a_dtype = MM_U8,
                                       .a_zero = (int32_t)how.zero,
                                       .a_scale = how.scale};
    return run(call, &dynamic_places, &product,
               (uint8_t *)call->scratch + bytes_of_a(&call->inputs[A]), err);
}

static mm_status run_given(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_integer_to_float(call, mmi_onnx_multiply_quantized, err);
}

static mm_status run_dynamic(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_dynamic_matmul(call, mmi_onnx_multiply_quantized, err);
}

const struct onnx_operator mmi_onnx_op_MsMatMulIntegerToFloat = {
    .name = "MatMulIntegerToFloat",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 4,
    .max_inputs = 7,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_given,
    .run = run_given,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MsMatMulIntegerToFloat},
    .weight_inputs = 1u << 1 | 1u << 3 | 1u << 5 | 1u << 6,
    .facts = {MM_F32, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};

const struct onnx_operator mmi_onnx_op_MsDynamicQuantizeMatMul = {
    .name = "DynamicQuantizeMatMul",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 3,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_dynamic,
    .run = run_dynamic,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_MsDynamicQuantizeMatMul},
    .weight_inputs = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4,
    .facts = {MM_F32, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
};

/* ---- MatMulInteger16 ------------------------------------------------------------------------- */

#define SHORTS (ONNX_TYPE(MM_I16) | ONNX_TYPE(MM_U16))

static mm_status infer_16(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *a = &x->inputs[A], *b = &x->inputs[B];
    struct onnx_stacks stacks;
    uint64_t copies = 0;
    bool fits = true;
    MMI_TRY(mmi_onnx_check_type(x, A, SHORTS, err));
    MMI_TRY(mmi_onnx_check_type(x, B, SHORTS, err));
    MMI_TRY(mmi_onnx_stack(a, b, &stacks, err));
    /* Both are widened at once: this operator is rare. */
    fits = mmi_add(a->elements, b->elements, &copies) && mmi_add(copies, 32, &copies) &&
           mmi_mul(copies, sizeof(int32_t), &copies);
    x->scratch_bytes =
        mmi_add_cap(fits ? copies : UINT64_MAX, mmi_onnx_product_bytes(MM_I32, stacks.depth));
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its matrices are too large");
    }
    int32_t dtype = a->dtype == MM_U16 && b->dtype == MM_U16 ? MM_U32 : MM_I32;
    return mmi_onnx_set_product(a, b, &stacks, dtype, &x->outputs[0], err);
}

static mm_status run_16(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *a = &call->inputs[A], *b = &call->inputs[B];
    const uint64_t in_a = (a->elements + 15) / 16 * 16, in_b = (b->elements + 15) / 16 * 16;
    struct onnx_stacks stacks;
    uint64_t matrices = 1;
    if (!call->out[0]) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_stack(a, b, &stacks, err));
    int32_t *wide_a = call->scratch, *wide_b = wide_a + in_a;
    void *panel = wide_b + in_b;
    mmi_onnx_convert(a->dtype, call->in[A], a->elements, MM_I32, wide_a);
    mmi_onnx_convert(b->dtype, call->in[B], b->elements, MM_I32, wide_b);
    for (uint32_t i = 0; i < stacks.batch.rank; i++) {
        matrices *= (uint64_t)stacks.batch.shape[i];
    }
    struct onnx_product product = {.dtype = MM_I32, /* the low bits are those of u32 */
                                   .rows = stacks.rows,
                                   .depth = stacks.depth,
                                   .columns = stacks.columns,
                                   .out_row = stacks.columns};
    for (uint64_t i = 0; i < matrices; i++) {
        uint64_t left = mmi_onnx_matrix_of(a, &stacks.batch, i);
        uint64_t right = mmi_onnx_matrix_of(b, &stacks.batch, i);
        product.a = (struct onnx_matrix){wide_a + left * stacks.rows * stacks.depth,
                                         (int64_t)stacks.depth, 1};
        product.b = (struct onnx_matrix){wide_b + right * stacks.depth * stacks.columns,
                                         (int64_t)stacks.columns, 1};
        product.out = (int32_t *)call->out[0] + i * stacks.rows * stacks.columns;
        mmi_onnx_multiply(&product, panel);
    }
    return MM_OK;
}

static void learn_16(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    int32_t a = mmi_onnx_fact(l, A).dtype, b = mmi_onnx_fact(l, B).dtype;
    (void)output;
    if (a == MM_I16 || b == MM_I16) {
        fact->dtype = MM_I32;
    } else if (a == MM_U16 && b == MM_U16) {
        fact->dtype = MM_U32;
    }
}

const struct onnx_operator mmi_onnx_op_MsMatMulInteger16 = {
    .name = "MatMulInteger16",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_16,
    .run = run_16,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_16,
};
