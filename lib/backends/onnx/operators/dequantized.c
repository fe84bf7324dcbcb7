/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/dequantized.h>
#include <backends/onnx/operators/move.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* ---- f32 to u8 ------------------------------------------------------------------------------- */

/* What is no number becomes 0. */
static float within(float value) {
    return value >= 0 && value <= 255 ? value : value > 255 ? 255 : 0;
}

struct onnx_to_bytes mmi_onnx_find_bytes(const float *from, uint64_t count) {
    float min = 0, max = 0;
    for (uint64_t i = 0; i < count; i++) {
        min = from[i] < min ? from[i] : min;
        max = from[i] > max ? from[i] : max;
    }
    float scale = max == min ? 1 : (max - min) / 255;
    return (struct onnx_to_bytes){scale, within(rintf(0 - min / scale))};
}

void mmi_onnx_to_bytes(const struct onnx_to_bytes *how, const float *from, uint64_t count,
                       uint8_t *to) {
    for (uint64_t i = 0; i < count; i++) {
        to[i] = (uint8_t)within(rintf(from[i] / how->scale) + how->zero);
    }
}

/* ---- Products -------------------------------------------------------------------------------- */

static void load_row(const void *ctx, uint64_t matrix, uint64_t row, void *to) {
    const struct onnx_dequantized *p = ctx;
    const int16_t zero = (int16_t)p->a_zero;
    const struct onnx_widening widening = {p->a_dtype, MM_I16, &zero, false};
    uint64_t at = p->row_of ? p->row_of(p->ctx, row) : row;
    (void)matrix;
    mmi_onnx_widen_quantized(&widening, (const uint8_t *)p->a + at * p->depth, p->depth, to);
}

static int32_t zero_at(const struct onnx_dequantized *p, uint64_t column) {
    const uint64_t at = p->b_zero.count > 1 ? column : 0;
    if (!p->b_zero.at) {
        return 0;
    }
    return p->b_dtype == MM_I8 ? ((const int8_t *)p->b_zero.at)[at]
                               : ((const uint8_t *)p->b_zero.at)[at];
}

static void load_panels(const void *ctx, void *own, uint64_t matrix, uint64_t first, uint64_t count,
                        void *to) {
    const struct onnx_dequantized *p = ctx;
    struct onnx_byte_columns columns = {.dtype = p->b_dtype, .row = p->columns};
    (void)own;
    (void)matrix;
    columns.from = (const uint8_t *)p->b + first;
    columns.depth = p->depth;
    columns.count = count;
    for (uint64_t j = 0; j < count; j++) {
        columns.zeros[j] = zero_at(p, first + j);
    }
    mmi_onnx_widen_panels(&columns, to);
}

static void store(const void *ctx, void *own, const struct onnx_sums *sums) {
    const struct onnx_dequantized *p = ctx;
    const float *scales = p->b_scale.at;
    float *out = p->out + sums->row * p->columns + sums->first;
    (void)own;
    for (uint64_t j = 0; j < sums->count; j++) {
        float scale = p->a_scale * scales[p->b_scale.count > 1 ? sums->first + j : 0];
        float value = (float)((const int32_t *)sums->sums)[j] * scale;
        value += p->bias ? p->bias[sums->first + j] : 0;
        out[j] = p->adds ? out[j] + value : value;
    }
}

void mmi_onnx_multiply_dequantized(const struct onnx_dequantized *product, void *scratch) {
    const struct onnx_quantized_product sums = {.dtype = MM_I32,
                                                .matrices = 1,
                                                .rows = product->rows,
                                                .depth = product->depth,
                                                .columns = product->columns,
                                                .load_row = load_row,
                                                .load_panels = load_panels,
                                                .store = store,
                                                .ctx = product};
    product->runner(&sums, product->call, scratch);
}

/* ---- Scales and zero points ------------------------------------------------------------------ */

mm_status mmi_onnx_check_by_column(const struct onnx_inference *x, uint32_t input, int32_t dtype,
                                   int64_t columns, mm_error *err) {
    const struct onnx_tensor *tensor = &x->inputs[input];
    if (!mmi_onnx_has(x, input)) {
        return MM_OK;
    }
    bool fits = tensor->rank <= 1 && (tensor->elements == 1 || tensor->shape[0] == columns);
    if (fits && tensor->dtype == dtype) {
        return MM_OK;
    }
    return mmi_fail(err, MM_INVALID_MODEL,
                    "its input %u is %s with %u axes and %" PRIu64 " elements; %s, 1 or %" PRId64
                    ", wanted",
                    input, mm_dtype_text(tensor->dtype), tensor->rank, tensor->elements,
                    mm_dtype_text(dtype), columns);
}

struct onnx_by_column mmi_onnx_by_column(const struct onnx_call *call, uint32_t input) {
    if (!mmi_onnx_given(call, input)) {
        return (struct onnx_by_column){NULL, 0};
    }
    return (struct onnx_by_column){call->in[input], call->inputs[input].elements};
}

int32_t mmi_onnx_zero_of(const struct onnx_call *call, uint32_t input) {
    const struct onnx_tensor zero = mmi_onnx_call_input(call, input);
    return zero.data ? (int32_t)mmi_onnx_int_at(&zero, 0) : 0;
}
