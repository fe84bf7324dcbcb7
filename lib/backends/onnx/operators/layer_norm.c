/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/broadcast.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/norm.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>

/* LayerNormalization, RMSNormalization: all axes from one on are a row that is normalised by
 * itself; scale and bias are broadcast to the data. */

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_layer_norm *norm = params;
    MMI_TRY(mmi_onnx_read_int(a, "axis", -1, &norm->axis, err));
    MMI_TRY(mmi_onnx_read_float(a, "epsilon", 1e-5f, &norm->epsilon, err));
    return mmi_onnx_read_int32(a, "stash_type", MM_F32, &norm->stash_type, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_layer_norm *norm = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    struct onnx_tensor output;
    uint32_t axis;
    int64_t shape[MM_MAX_RANK];
    MMI_TRY(mmi_onnx_check_types(x, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_check_axis(norm->axis, data->rank, &axis, err));
    MMI_TRY(mmi_onnx_infer_broadcast(x, data->dtype, err));
    output = x->outputs[0];
    if (output.rank != data->rank || output.elements != data->elements) {
        char text[ONNX_SHAPE_TEXT];
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its scale or bias is larger than its input, whose shape is %s",
                        mmi_onnx_shape_text(data->rank, data->shape, text));
    }
    for (uint32_t i = 0; i < data->rank; i++) {
        shape[i] = i < axis ? data->shape[i] : 1;
    }
    for (uint32_t i = 1; i < x->output_count; i++) {
        MMI_TRY(mmi_onnx_tensor_set(&x->outputs[i], norm->stash_type, data->rank, shape, err));
    }
    return MM_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

struct rows {
    const struct onnx_call *call;
    int32_t dtype;
    uint32_t width;
    uint64_t length;
    struct onnx_operand scale, bias; /* bias.rank 0: there is none */
};

/* Elements [at, at + count) of a scale or a bias in f64, each in its place. */
static const double *spread(const struct rows *rows, const struct onnx_operand *operand,
                            uint64_t at, uint64_t count, union onnx_chunk *numbers) {
    union onnx_chunk gathered;
    struct onnx_stretch stretch = mmi_onnx_operand_at(operand, at, count, &gathered);
    const double *from =
        mmi_onnx_load_as(ONNX_F64, rows->dtype, stretch.data, stretch.step ? count : 1, numbers);
    if (stretch.step && from == numbers->f64) {
        return from;
    }
    for (uint64_t i = count; i-- > 0;) {
        numbers->f64[i] = from[i * stretch.step];
    }
    return numbers->f64;
}

static const double zeros[ONNX_CHUNK];

static void write_row(const struct rows *rows, uint64_t row, struct onnx_moments moments,
                      double inverse) {
    const uint8_t *from = rows->call->in[0];
    uint8_t *to = rows->call->out[0];
    uint64_t end = (row + 1) * rows->length;
    for (uint64_t at = row * rows->length, count; at < end; at += count) {
        union onnx_chunk numbers, scales, biases, results;
        count = mmi_min_u64(ONNX_CHUNK, end - at);
        const double *x =
            mmi_onnx_load_as(ONNX_F64, rows->dtype, from + at * rows->width, count, &numbers);
        const double *scale = spread(rows, &rows->scale, at, count, &scales);
        const double *bias =
            rows->bias.rank > 0 ? spread(rows, &rows->bias, at, count, &biases) : zeros;
        for (uint64_t i = 0; i < count; i++) {
            results.f64[i] = (x[i] - moments.mean) * inverse * scale[i] + bias[i];
        }
        mmi_onnx_convert(MM_F64, &results, count, rows->dtype, to + at * rows->width);
    }
}

/* What was found out about a row, as output 1 or 2. */
static void stash(const struct onnx_call *call, uint32_t output, uint64_t row, double value) {
    if (output < call->output_count && call->out[output]) {
        int32_t dtype = call->outputs[output].dtype;
        mmi_onnx_convert(MM_F64, &value, 1, dtype,
                         (uint8_t *)call->out[output] + row * mmi_onnx_element_bytes(dtype));
    }
}

static void run(const struct onnx_call *call, bool mean) {
    const struct onnx_layer_norm *norm = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    uint32_t axis;
    mmi_onnx_axis(norm->axis, data->rank, &axis);
    struct onnx_split split = mmi_onnx_split_at(data, axis);
    struct rows rows = {.call = call,
                        .dtype = data->dtype,
                        .width = mmi_onnx_element_bytes(data->dtype),
                        .length = split.length * split.inner};
    mmi_onnx_operand_set(&rows.scale, data, &call->inputs[1], call->in[1]);
    if (mmi_onnx_given(call, 2)) {
        mmi_onnx_operand_set(&rows.bias, data, &call->inputs[2], call->in[2]);
    }
    bool wanted = false;
    for (uint32_t i = 0; i < call->output_count; i++) {
        wanted |= call->out[i] != NULL;
    }
    for (uint64_t row = 0; wanted && row < split.outer; row++) {
        const uint8_t *from = call->in[0];
        struct onnx_moments moments = {0, 0};
        if (mean) {
            moments =
                mmi_onnx_moments(data->dtype, from + row * rows.length * rows.width, rows.length);
        } else {
            moments.variance = mmi_onnx_mean_square(
                data->dtype, from + row * rows.length * rows.width, rows.length);
        }
        double inverse = 1 / sqrt(moments.variance + (double)norm->epsilon);
        if (mean) {
            stash(call, 1, row, moments.mean);
        }
        stash(call, mean ? 2 : 1, row, inverse);
        if (call->out[0]) {
            write_row(&rows, row, moments, inverse);
        }
    }
}

static mm_status run_layer(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run(call, true);
    return MM_OK;
}

/* The moments. */
static void learn_layer(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct onnx_layer_norm *norm = l->node->params;
    if (output > 0) {
        *fact = (struct onnx_fact){
            .dtype = norm->stash_type, .rank = mmi_onnx_fact(l, 0).rank, .small = true};
    }
}

const struct onnx_operator mmi_onnx_op_LayerNormalization = {
    .name = "LayerNormalization",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 2,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 3,
    .params_bytes = sizeof(struct onnx_layer_norm),
    .limits =
        ONNX_LIMITS(ONNX_OF_TYPE("stash_type", struct onnx_layer_norm, stash_type, ONNX_FLOATS)),
    .read = read,
    .infer = infer,
    .run = run_layer,
    .facts = ONNX_FACTS_LIKE_0,
    .learn = learn_layer,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_LayerNormalization},
};

static mm_status run_rms(const struct onnx_call *call, mm_error *err) {
    (void)err;
    run(call, false);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_RMSNormalization = {
    .name = "RMSNormalization",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_layer_norm),
    .limits =
        ONNX_LIMITS(ONNX_OF_TYPE("stash_type", struct onnx_layer_norm, stash_type, ONNX_FLOATS)),
    .read = read,
    .infer = infer,
    .run = run_rms,
    .facts = ONNX_FACTS_LIKE_0,
};

/* As ONNX Runtime had it before, with the inverse deviation as an output. */
const struct onnx_operator mmi_onnx_op_SimplifiedLayerNormalization = {
    .name = "SimplifiedLayerNormalization",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct onnx_layer_norm),
    .limits =
        ONNX_LIMITS(ONNX_OF_TYPE("stash_type", struct onnx_layer_norm, stash_type, ONNX_FLOATS)),
    .read = read,
    .infer = infer,
    .run = run_rms,
    .facts = ONNX_FACTS_LIKE_0,
    .learn = learn_layer,
};
