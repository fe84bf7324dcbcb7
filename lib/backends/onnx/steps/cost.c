/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/einsum.h>
#include <backends/onnx/operators/fused.h>
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/steps/cost.h>
#include <base/checked.h>

/* ---- Shapes ---------------------------------------------------------------------------------- */

static const struct onnx_tensor *input(const struct onnx_costed *x, uint32_t i) {
    static const struct onnx_tensor none;
    return i < x->input_count ? &x->inputs[i] : &none;
}

static const struct onnx_tensor *output(const struct onnx_costed *x, uint32_t i) {
    static const struct onnx_tensor none;
    return i < x->output_count ? &x->outputs[i] : &none;
}

/* Axis i, from the end where it is negative; 1 where there is none. */
static uint64_t axis(const struct onnx_tensor *tensor, int i) {
    int64_t at = i < 0 ? (int64_t)tensor->rank + i : i;
    return at >= 0 && at < (int64_t)tensor->rank ? (uint64_t)tensor->shape[at] : 1;
}

static uint64_t times(uint64_t a, uint64_t b) {
    uint64_t product;
    return mmi_mul(a, b, &product) ? product : UINT64_MAX;
}

static uint64_t multiply_adds(uint64_t elements, uint64_t each) {
    return times(2, times(elements, each));
}

/* ---- Families -------------------------------------------------------------------------------- */

/* By the depth of the product: rows of matrix `a` in its last axis. */
static uint64_t of_matmul(const struct onnx_costed *x) {
    return multiply_adds(output(x, 0)->elements, axis(input(x, 0), -1));
}

static uint64_t of_gemm(const struct onnx_costed *x) {
    const struct onnx_gemm *gemm = x->params;
    return multiply_adds(output(x, 0)->elements, axis(input(x, 0), gemm->trans_a ? 0 : 1));
}

/* Of FusedMatMul, whose matrices may be transposed in several ways: the depth is what is left of
 * both matrices when rows and columns are taken away. */
static uint64_t of_any_matmul(const struct onnx_costed *x) {
    const struct onnx_tensor *a = input(x, 0), *out = output(x, 0);
    uint64_t rows = axis(out, -2), last = axis(a, -1), before = axis(a, -2);
    return multiply_adds(out->elements, last == rows && before != rows ? before : last);
}

static uint64_t of_linear(const struct onnx_costed *x) {
    return multiply_adds(output(x, 0)->elements, axis(input(x, 1), 0));
}

/* Weights [M, C / group, ...]: each output element is made of all but their first axis. */
static uint64_t by_weights(const struct onnx_costed *x, uint32_t weights) {
    const struct onnx_tensor *w = input(x, weights);
    uint64_t maps = axis(w, 0);
    return multiply_adds(output(x, 0)->elements, maps > 0 ? w->elements / maps : 0);
}

static uint64_t of_conv(const struct onnx_costed *x) {
    return by_weights(x, 1);
}

/* Weights [taps and channels of a group, M]. */
static uint64_t of_channels_last_conv(const struct onnx_costed *x) {
    return multiply_adds(output(x, 0)->elements, axis(input(x, 1), 0));
}

static uint64_t of_channels_last_transposed(const struct onnx_costed *x) {
    const struct onnx_tensor *image = input(x, 0), *w = input(x, 1);
    uint64_t channels = image->rank > 0 ? axis(image, image->rank - 1) : 0;
    return multiply_adds(channels > 0 ? image->elements / channels : 0, w->elements);
}

static uint64_t of_q_linear_conv(const struct onnx_costed *x) {
    return by_weights(x, 3);
}

/* Weights [C, M / group, ...]: each input element goes into all but their first axis. */
static uint64_t of_conv_transpose(const struct onnx_costed *x) {
    const struct onnx_tensor *w = input(x, 1);
    uint64_t maps = axis(w, 0);
    return multiply_adds(input(x, 0)->elements, maps > 0 ? w->elements / maps : 0);
}

static uint64_t of_pool(const struct onnx_costed *x) {
    const struct onnx_pool *pool = x->params;
    uint64_t window = 1;
    for (uint32_t i = 0; i < pool->window.axes && i < ONNX_SPACE; i++) {
        window = times(window, (uint64_t)pool->window.kernel[i]);
    }
    return times(output(x, 0)->elements, window);
}

/* X [time, batch, input], weights [directions, gates, input] and [directions, gates, hidden]. */
static uint64_t of_rnn(const struct onnx_costed *x) {
    const struct onnx_tensor *in = input(x, 0);
    uint64_t width = axis(in, -1);
    uint64_t weights = mmi_add_cap(input(x, 1)->elements, input(x, 2)->elements);
    return width > 0 ? multiply_adds(in->elements / width, weights) : 0;
}

/* Queries and what comes out, for each of `keys` rows: scores, then the sum of values. */
static uint64_t attended(const struct onnx_costed *x, uint64_t queries, uint64_t keys) {
    return mmi_add_cap(multiply_adds(queries, keys), multiply_adds(output(x, 0)->elements, keys));
}

/* Rows of [batch, heads, rows, size] or [batch, rows, width]. */
static uint64_t rows_of(const struct onnx_tensor *tensor) {
    return tensor->dtype == MM_DTYPE_NONE ? 0 : axis(tensor, tensor->rank == 4 ? 2 : 1);
}

static uint64_t of_attention(const struct onnx_costed *x) {
    uint64_t keys = rows_of(input(x, 1)) + rows_of(input(x, 4)); /* with those of the past */
    return attended(x, input(x, 0)->elements, keys);
}

static uint64_t of_flex_attention(const struct onnx_costed *x) {
    return attended(x, input(x, 0)->elements, rows_of(input(x, 1)));
}

/* com.microsoft: x [batch, rows, width] by weights [width, q + k + v], then attention. */
static uint64_t of_ms_attention(const struct onnx_costed *x) {
    const struct onnx_tensor *in = input(x, 0);
    uint64_t projected = multiply_adds(in->elements, axis(input(x, 1), -1));
    return mmi_add_cap(projected, attended(x, output(x, 0)->elements, rows_of(in)));
}

/* Keys may be packed with the queries. */
static uint64_t of_ms_multi_head(const struct onnx_costed *x) {
    const struct onnx_tensor *keys = input(x, 1);
    bool packed = keys->dtype == MM_DTYPE_NONE;
    return attended(x, output(x, 0)->elements, rows_of(packed ? input(x, 0) : keys));
}

/* Keys and values of the past are inputs 5 and 6. */
static uint64_t of_ms_decoder(const struct onnx_costed *x) {
    return attended(x, output(x, 0)->elements,
                    mmi_add_cap(rows_of(input(x, 1)), rows_of(input(x, 5))));
}

/* Its second output has all keys, those of the past too. */
static uint64_t of_ms_group_query(const struct onnx_costed *x) {
    return attended(x, output(x, 0)->elements, rows_of(output(x, 1)));
}

/* The state [batch, heads, keys, values] takes each row in and is read for it. */
static uint64_t of_linear_attention(const struct onnx_costed *x) {
    return times(2, multiply_adds(output(x, 0)->elements, axis(output(x, 1), 2)));
}

/* As one sum over all labels. */
static uint64_t of_einsum(const struct onnx_costed *x) {
    const struct onnx_einsum *einsum = x->params;
    struct onnx_equation equation;
    bool seen[ONNX_EINSUM_LABELS] = {false};
    uint64_t all = 1;
    mm_error ignored;
    if (x->input_count > ONNX_EINSUM_INPUTS ||
        mmi_onnx_read_equation(einsum->equation, x->inputs, x->input_count, &equation, &ignored) !=
            MM_OK) {
        return 0;
    }
    for (uint32_t i = 0; i < x->input_count; i++) {
        for (uint32_t j = 0; j < equation.inputs[i].count; j++) {
            uint8_t label = equation.inputs[i].at[j];
            all = seen[label] ? all : times(all, (uint64_t)equation.size[label]);
            seen[label] = true;
        }
    }
    return multiply_adds(all, x->input_count > 1 ? x->input_count - 1 : 1);
}

static uint64_t of_fused(const struct onnx_costed *x) {
    const struct onnx_program *program = x->params;
    return times(output(x, 0)->elements, program->count);
}

static uint64_t nothing(const struct onnx_costed *x) {
    (void)x;
    return 0;
}

static uint64_t of_elements(const struct onnx_costed *x) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < x->input_count; i++) {
        most = mmi_max_u64(most, x->inputs[i].dtype == MM_DTYPE_NONE ? 0 : x->inputs[i].elements);
    }
    for (uint32_t i = 0; i < x->output_count; i++) {
        most = mmi_max_u64(most, x->outputs[i].elements);
    }
    return most;
}

/* ---- All of them ----------------------------------------------------------------------------- */

#define OP(name) &mmi_onnx_op_##name
static const struct {
    const struct onnx_operator *op;
    uint64_t (*flops)(const struct onnx_costed *x);
    bool picks; /* reads of input 0 as much as it writes */
} kinds[] = {
    {OP(MatMul), of_matmul, false},
    {OP(MatMulInteger), of_matmul, false},
    {OP(QLinearMatMul), of_matmul, false},
    {OP(MsMatMulIntegerToFloat), of_matmul, false},
    {OP(MsDynamicQuantizeMatMul), of_matmul, false},
    {OP(MsMatMulInteger16), of_matmul, false},
    {OP(Gemm), of_gemm, false},
    {OP(MsFusedGemm), of_gemm, false},
    {OP(MsQGemm), of_gemm, false},
    {OP(MsFusedMatMul), of_any_matmul, false},
    {OP(MsTransposeMatMul), of_any_matmul, false},
    {OP(MsGemmFastGelu), of_matmul, false},
    {OP(Linear), of_linear, false},
    {OP(Einsum), of_einsum, false},
    {OP(Conv), of_conv, false},
    {OP(MsFusedConv), of_conv, false},
    {OP(MsNhwcConv), of_conv, false},
    {OP(ConvInteger), of_conv, false},
    {OP(DeformConv), of_conv, false},
    {OP(CausalConvWithState), of_conv, false},
    {OP(QLinearConv), of_q_linear_conv, false},
    {OP(ConvTranspose), of_conv_transpose, false},
    {OP(MsConvTransposeWithDynamicPads), of_conv_transpose, false},
    {OP(ChannelsLastConv), of_channels_last_conv, false},
    {OP(ChannelsLastConvTranspose), of_channels_last_transposed, false},
    {OP(ChannelsLastMaxPool), of_pool, false},
    {OP(ChannelsLastAveragePool), of_pool, false},
    {OP(MaxPool), of_pool, false},
    {OP(MsNhwcMaxPool), of_pool, false},
    {OP(AveragePool), of_pool, false},
    {OP(LpPool), of_pool, false},
    {OP(MsQLinearAveragePool), of_pool, false},
    {OP(RNN), of_rnn, false},
    {OP(GRU), of_rnn, false},
    {OP(LSTM), of_rnn, false},
    {OP(MsDynamicQuantizeLSTM), of_rnn, false},
    {OP(Attention), of_attention, false},
    {OP(FlexAttention), of_flex_attention, false},
    {OP(LinearAttention), of_linear_attention, false},
    {OP(MsAttention), of_ms_attention, false},
    {OP(MsQAttention), of_ms_attention, false},
    {OP(MsMultiHeadAttention), of_ms_multi_head, false},
    {OP(MsDecoderMaskedMultiHeadAttention), of_ms_decoder, false},
    {OP(MsGroupQueryAttention), of_ms_group_query, false},
    {OP(Fused), of_fused, false},
    {OP(Gather), nothing, true},
    {OP(GatherElements), nothing, true},
    {OP(GatherND), nothing, true},
    {OP(ArrayFeatureExtractor), nothing, true},
    {OP(Slice), nothing, true},
    {OP(CenterCropPad), nothing, true},
    {OP(Reshape), nothing, false},
    {OP(Flatten), nothing, false},
    {OP(Squeeze), nothing, false},
    {OP(Unsqueeze), nothing, false},
    {OP(Identity), nothing, false},
    {OP(Dropout), nothing, false},
    {OP(Align), nothing, false},
    {OP(BitCast), nothing, false},
    {OP(Transpose), nothing, false},
    {OP(DepthToSpace), nothing, false},
    {OP(SpaceToDepth), nothing, false},
    {OP(Expand), nothing, false},
    {OP(Tile), nothing, false},
    {OP(Split), nothing, false},
    {OP(Concat), nothing, false},
    {OP(Pad), nothing, false},
    {OP(Trilu), nothing, false},
    {OP(ReverseSequence), nothing, false},
    {OP(OneHot), nothing, false},
    {OP(ConstantOfShape), nothing, false},
    {OP(EyeLike), nothing, false},
    {OP(ScatterElements), nothing, false},
    {OP(ScatterND), nothing, false},
    {OP(TensorScatter), nothing, false},
    {OP(MaxUnpool), nothing, false},
    {OP(Col2Im), of_elements, false},
};
#undef OP

static uint64_t bytes_of(const struct onnx_costed *x, bool picks) {
    uint64_t bytes = 0, made = 0;
    for (uint32_t i = 0; i < x->output_count; i++) {
        made = mmi_add_cap(made, x->outputs[i].bytes);
    }
    for (uint32_t i = 0; i < x->input_count; i++) {
        bool there = x->inputs[i].dtype != MM_DTYPE_NONE;
        uint64_t read =
            picks && i == 0 ? mmi_min_u64(x->inputs[i].bytes, made) : x->inputs[i].bytes;
        bytes = mmi_add_cap(bytes, there ? read : 0);
    }
    return mmi_add_cap(bytes, made);
}

static uint64_t activation_flops(const struct onnx_costed *x) {
    if (!(x->op->flags & ONNX_OP_ACTIVATES)) {
        return 0;
    }
    const struct onnx_activation *activation =
        (const void *)((const uint8_t *)x->params + x->op->activation_at);
    return activation->function != ONNX_F_NONE ? output(x, 0)->elements : 0;
}

struct onnx_cost mmi_onnx_cost(const struct onnx_costed *x) {
    uint64_t (*flops)(const struct onnx_costed *) = of_elements;
    bool picks = false;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].op == x->op) {
            flops = kinds[i].flops;
            picks = kinds[i].picks;
        }
    }
    return (struct onnx_cost){mmi_add_cap(flops(x), activation_flops(x)), bytes_of(x, picks)};
}
