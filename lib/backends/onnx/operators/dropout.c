/* SPDX-License-Identifier: Apache-2.0 */

/* Dropout: in training some elements become 0 and the others grow; else all stay as they are. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/random.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct dropout {
    struct onnx_seed seed;
    int64_t mask_like_data; /* the mask has the type of the data: opset 9 and before */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct dropout *dropout = params;
    dropout->mask_like_data = a->opset < 10;
    mmi_onnx_attribute(mmi_onnx_before(a, 12), "ratio"); /* of training, which came later */
    return mmi_onnx_read_seed(mmi_onnx_since(a, 12), &dropout->seed, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct dropout *dropout = x->params;
    const struct onnx_tensor *data = &x->inputs[0];
    for (uint32_t i = 1; i < 3; i++) {
        if (!mmi_onnx_has(x, i)) {
            continue;
        }
        MMI_TRY(mmi_onnx_check_number(x, i, err));
        if (x->inputs[i].elements != 1) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its input %u has %" PRIu64 " elements, 1 wanted", i,
                            x->inputs[i].elements);
        }
    }
    MMI_TRY(mmi_onnx_check_movable(x, 0, err));
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], data->dtype, data->rank, data->shape, err));
    if (x->output_count < 2) {
        return MM_OK;
    }
    if (dropout->mask_like_data) {
        MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    }
    return mmi_onnx_tensor_set(&x->outputs[1], dropout->mask_like_data ? data->dtype : MM_BOOL,
                               data->rank, data->shape, err);
}

static void write_mask(const struct onnx_tensor *mask, uint64_t first, const double *kept,
                       uint64_t count, void *to) {
    mmi_onnx_convert(MM_F64, kept, count, mask->dtype,
                     (uint8_t *)to + first * mmi_onnx_element_bytes(mask->dtype));
}

/* Each element is kept, and grows, with a probability of 1 - ratio. */
static mm_status drop(const struct onnx_call *call, double ratio, void *mask, mm_error *err) {
    const struct dropout *dropout = call->params;
    const struct onnx_tensor *data = &call->inputs[0];
    uint64_t begin = mmi_onnx_random_begin(&dropout->seed);
    uint32_t width = mmi_onnx_element_bytes(data->dtype);
    union onnx_chunk numbers, results, kept;
    if (!(ONNX_FLOATS >> data->dtype & 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its input is %s", mm_dtype_text(data->dtype));
    }
    if (!(ratio >= 0 && ratio < 1)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "its ratio is %g, 0 or more and less than 1 "
                        "wanted",
                        ratio);
    }
    for (uint64_t i = 0; i < data->elements; i += ONNX_CHUNK) {
        uint64_t n = mmi_min_u64(ONNX_CHUNK, data->elements - i);
        const void *from = (const uint8_t *)call->in[0] + i * width;
        const double *x = mmi_onnx_load_as(ONNX_F64, data->dtype, from, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            kept.f64[j] = mmi_onnx_random_share(begin, i + j) >= ratio;
            results.f64[j] = kept.f64[j] * x[j] / (1 - ratio);
        }
        if (call->out[0]) {
            mmi_onnx_convert(MM_F64, &results, n, data->dtype, (uint8_t *)call->out[0] + i * width);
        }
        if (mask) {
            write_mask(&call->outputs[1], i, kept.f64, n, mask);
        }
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    struct onnx_tensor ratio = mmi_onnx_call_input(call, 1);
    struct onnx_tensor training = mmi_onnx_call_input(call, 2);
    bool trains = training.known && mmi_onnx_int_at(&training, 0) != 0;
    double share = ratio.known ? mmi_onnx_float_at(&ratio, 0) : 0.5;
    void *mask = call->output_count > 1 ? call->out[1] : NULL;
    const double one = 1;
    if (trains && share != 0) {
        return drop(call, share, mask, err);
    }
    for (uint64_t i = 0; mask && i < call->outputs[1].elements; i++) {
        write_mask(&call->outputs[1], i, &one, 1, mask); /* nothing was dropped */
    }
    if (call->out[0] && call->out[0] != call->in[0]) {
        memcpy(call->out[0], call->in[0], call->outputs[0].bytes);
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct dropout *dropout = l->node->params;
    if (output == 1) {
        *fact = mmi_onnx_fact(l, 0);
        fact->dtype = dropout->mask_like_data ? fact->dtype : MM_BOOL;
    }
}

/* No view because of the mask, which must be written. */
const struct onnx_operator mmi_onnx_op_Dropout = {
    .name = "Dropout",
    .flags = ONNX_OP_IN_PLACE | ONNX_OP_RANDOM,
    .min_inputs = 1,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct dropout),
    .read = read,
    .infer = infer,
    .run = run,
    .facts = ONNX_FACTS_LIKE_0,
    .learn = learn,
};
