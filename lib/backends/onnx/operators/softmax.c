/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/softmax.h>
#include <base/checked.h>
#include <base/status.h>

#include <tgmath.h>

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_softmax *softmax = params;
    softmax->flatten = a->opset < 13;
    return mmi_onnx_read_int(a, "axis", softmax->flatten ? 1 : -1, &softmax->axis, err);
}

struct onnx_split mmi_onnx_softmax_split(const struct onnx_softmax *softmax,
                                         const struct onnx_tensor *input) {
    uint32_t axis;
    mmi_onnx_axis(softmax->axis, input->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(input, axis);
    if (softmax->flatten) {
        split.length *= split.inner;
        split.inner = 1;
    }
    return split;
}

static mm_status infer_hardmax(struct onnx_inference *x, mm_error *err) {
    const struct onnx_softmax *softmax = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_check_axis(softmax->axis, input->rank, &axis, err));
    return mmi_onnx_tensor_set(&x->outputs[0], input->dtype, input->rank, input->shape, err);
}

static mm_status infer_softmax(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(infer_hardmax(x, err));
    return mmi_onnx_add_copies(x, err);
}

/* ---- Softmax, LogSoftmax --------------------------------------------------------------------- */

/* `to` may be `from`. e^(x - max) is divided by the sum of its row; the logarithm needs the sum
 * alone. */
struct block {
    const void *from;
    void *to;
    uint64_t length, columns; /* columns beside each other, at most ONNX_CHUNK */
    uint64_t step;            /* elements from one of a column to the next */
    bool logarithm;
};
typedef void (*normaliser)(const struct block *block);

#define COLUMNS(name, T)                                                                           \
    static void name(const struct block *block) {                                                  \
        T max[ONNX_CHUNK], totals[ONNX_CHUNK];                                                     \
        double sums[ONNX_CHUNK] = {0};                                                             \
        const T *from = block->from;                                                               \
        T *to = block->to;                                                                         \
        for (uint64_t at = 0; at < block->length * block->step; at += block->step) {               \
            for (uint64_t i = 0; i < block->columns; i++) {                                        \
                bool better = at == 0 || from[at + i] > max[i];                                    \
                max[i] = better ? from[at + i] : max[i];                                           \
            }                                                                                      \
        }                                                                                          \
        for (uint64_t at = 0; at < block->length * block->step; at += block->step) {               \
            for (uint64_t i = 0; i < block->columns; i++) {                                        \
                T power = exp(from[at + i] - max[i]);                                              \
                sums[i] += (double)power;                                                          \
                to[at + i] = block->logarithm ? from[at + i] : power;                              \
            }                                                                                      \
        }                                                                                          \
        for (uint64_t i = 0; i < block->columns; i++) {                                            \
            totals[i] = (T)(block->logarithm ? log(sums[i]) : sums[i]);                            \
        }                                                                                          \
        for (uint64_t at = 0; at < block->length * block->step; at += block->step) {               \
            for (uint64_t i = 0; i < block->columns; i++) {                                        \
                to[at + i] =                                                                       \
                    block->logarithm ? to[at + i] - max[i] - totals[i] : to[at + i] / totals[i];   \
            }                                                                                      \
        }                                                                                          \
    }
COLUMNS(columns_f32, float)
COLUMNS(columns_f64, double)

/* One column without gaps. */
#define LANES 8
#define ROW(name, T)                                                                               \
    static T row_max_##name(const T *from, uint64_t count) {                                       \
        T lanes[LANES];                                                                            \
        uint64_t at = 0;                                                                           \
        for (uint64_t i = 0; i < LANES; i++) {                                                     \
            lanes[i] = from[0];                                                                    \
        }                                                                                          \
        for (; at + LANES <= count; at += LANES) {                                                 \
            for (uint64_t i = 0; i < LANES; i++) {                                                 \
                lanes[i] = from[at + i] > lanes[i] ? from[at + i] : lanes[i];                      \
            }                                                                                      \
        }                                                                                          \
        for (; at < count; at++) {                                                                 \
            lanes[0] = from[at] > lanes[0] ? from[at] : lanes[0];                                  \
        }                                                                                          \
        for (uint64_t i = 1; i < LANES; i++) {                                                     \
            lanes[0] = lanes[i] > lanes[0] ? lanes[i] : lanes[0];                                  \
        }                                                                                          \
        return lanes[0];                                                                           \
    }                                                                                              \
    static void name(const struct block *block) {                                                  \
        const T *from = block->from;                                                               \
        T *to = block->to;                                                                         \
        T max = row_max_##name(from, block->length);                                               \
        double sum = 0;                                                                            \
        for (uint64_t i = 0; i < block->length; i++) {                                             \
            T power = exp(from[i] - max);                                                          \
            sum += (double)power;                                                                  \
            to[i] = block->logarithm ? from[i] : power;                                            \
        }                                                                                          \
        T total = (T)(block->logarithm ? log(sum) : sum);                                          \
        for (uint64_t i = 0; i < block->length; i++) {                                             \
            to[i] = block->logarithm ? to[i] - max - total : to[i] / total;                        \
        }                                                                                          \
    }
ROW(row_f32, float)
ROW(row_f64, double)

static void run_blocks(const struct onnx_call *call, bool logarithm) {
    const struct onnx_tensor *input = &call->inputs[0];
    struct onnx_split split = mmi_onnx_softmax_split(call->params, input);
    bool is_f64 = input->dtype == MM_F64;
    uint32_t width = is_f64 ? sizeof(double) : sizeof(float);
    normaliser columns = is_f64 ? columns_f64 : columns_f32, row = is_f64 ? row_f64 : row_f32;
    struct block block = {.length = split.length, .step = split.inner, .logarithm = logarithm};
    for (uint64_t i = 0; i < split.outer && input->elements > 0; i++) {
        for (uint64_t j = 0; j < split.inner; j += block.columns) {
            uint64_t at = (i * split.length * split.inner + j) * width;
            block.from = (const uint8_t *)call->in[0] + at;
            block.to = (uint8_t *)call->out[0] + at;
            block.columns = mmi_min_u64(split.inner - j, ONNX_CHUNK);
            (split.inner == 1 ? row : columns)(&block);
        }
    }
}

static mm_status run_softmax_f32(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run_blocks(call, false);
    return MM_OK;
}

static mm_status run_softmax(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_softmax_f32, err) : MM_OK;
}

static mm_status run_log_softmax_f32(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run_blocks(call, true);
    return MM_OK;
}

static mm_status run_log_softmax(const struct onnx_call *call, mm_error *err) {
    return call->out[0] ? mmi_onnx_run_copied(call, run_log_softmax_f32, err) : MM_OK;
}

/* ---- Hardmax: 1 for the first that is the max, else 0 ----------------------------------- */

static mm_status run_hardmax(const struct onnx_call *call, mm_error *err) {
    struct onnx_tensor input = mmi_onnx_call_input(call, 0);
    struct onnx_split split = mmi_onnx_softmax_split(call->params, &input);
    uint64_t span = split.length * split.inner;
    (void)err;
    for (uint64_t i = 0; call->out[0] && i < split.outer * split.inner; i++) {
        uint64_t first = i / split.inner * span + i % split.inner, best = first;
        for (uint64_t at = first; at < first + span; at += split.inner) {
            best = mmi_onnx_float_at(&input, at) > mmi_onnx_float_at(&input, best) ? at : best;
        }
        for (uint64_t at = first; at < first + span; at += split.inner) {
            double value = at == best;
            mmi_onnx_convert(MM_F64, &value, 1, input.dtype,
                             (uint8_t *)call->out[0] + at * mmi_onnx_element_bytes(input.dtype));
        }
    }
    return MM_OK;
}

/* ---- The operators --------------------------------------------------------------------------- */

#define SOFTMAX(name_, infer_, run_, kernel_)                                                      \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .flags = ONNX_OP_IN_PLACE,                                                                 \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct onnx_softmax),                                               \
        .read = read,                                                                              \
        .infer = infer_,                                                                           \
        .run = run_,                                                                               \
        .facts = ONNX_FACTS_LIKE_0,                                                                \
        .kernels = {[ONNX_CPU] = kernel_},                                                         \
    };
SOFTMAX(Softmax, infer_softmax, run_softmax, mmi_onnx_cpu_Softmax)
SOFTMAX(LogSoftmax, infer_softmax, run_log_softmax, NULL)
SOFTMAX(Hardmax, infer_hardmax, run_hardmax, NULL)
