/* SPDX-License-Identifier: Apache-2.0 */

/* ConvTransposeWithDynamicPads of com.microsoft: ConvTranspose whose pads are input 2. */

#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/status.h>

#include <inttypes.h>

enum { IMAGE, WEIGHTS, PADS, BIAS };
#define PLAIN 3 /* inputs of ConvTranspose */
#define MOST_PAD (1 << 30)

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    for (size_t i = 0; i < 2; i++) { /* which ConvTranspose would take */
        const char *name = i == 0 ? "pads" : "output_shape";
        if (mmi_onnx_attribute(a, name)) {
            return mmi_fail(err, MM_INVALID_MODEL, "attribute %s, which it does not have", name);
        }
    }
    return mmi_onnx_op_ConvTranspose.read(a, params, err);
}

static mm_status set_pads(const struct onnx_conv *params, const struct onnx_tensor *pads,
                          struct onnx_conv *conv, mm_error *err) {
    *conv = *params;
    if (pads->dtype == MM_DTYPE_NONE || pads->elements == 0) {
        return MM_OK;
    }
    const uint32_t axes = (uint32_t)(pads->elements / 2);
    if (params->window.axes != 0 && params->window.axes != axes) {
        return mmi_fail(err, MM_INVALID_MODEL, "its attributes are for %u axes, its pads for %u",
                        params->window.axes, axes);
    }
    conv->window.axes = axes;
    for (uint32_t i = 0; i < 2 * axes; i++) {
        int64_t pad = mmi_onnx_int_at(pads, i);
        if (pad < 0 || pad > MOST_PAD) {
            return mmi_fail(err, MM_INVALID_MODEL, "pad %u is %" PRId64 ", 0 to %d wanted", i, pad,
                            MOST_PAD);
        }
        *(i < axes ? &conv->window.begin[i] : &conv->window.end[i - axes]) = pad;
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor none = {.dtype = MM_DTYPE_NONE};
    const struct onnx_tensor inputs[PLAIN] = {x->inputs[IMAGE], x->inputs[WEIGHTS],
                                              mmi_onnx_has(x, BIAS) ? x->inputs[BIAS] : none};
    struct onnx_tensor pads = none;
    struct onnx_ints known;
    struct onnx_conv conv;
    if (mmi_onnx_has(x, PADS)) {
        MMI_TRY(mmi_onnx_check_type(x, PADS, ONNX_TYPE(MM_I64), err));
        MMI_TRY(mmi_onnx_known_ints(x, PADS, "Pads", &known, err));
        pads = x->inputs[PADS];
        bool fits =
            known.count == 0 || (inputs[IMAGE].rank >= 3 && inputs[IMAGE].rank <= MM_MAX_RANK &&
                                 known.count == 2 * (inputs[IMAGE].rank - 2));
        if (!fits) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "%u pads for an input of %u axes, two for each axis in space wanted",
                            known.count, inputs[IMAGE].rank);
        }
    }
    MMI_TRY(set_pads(x->params, &pads, &conv, err));
    struct onnx_inference plain = {.params = &conv,
                                   .input_count = mmi_onnx_has(x, BIAS) ? PLAIN : PLAIN - 1,
                                   .output_count = 1,
                                   .inputs = inputs,
                                   .outputs = x->outputs};
    MMI_TRY(mmi_onnx_op_ConvTranspose.infer(&plain, err));
    x->scratch_bytes = plain.scratch_bytes;
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const bool biased = mmi_onnx_given(call, BIAS);
    const struct onnx_tensor pads = mmi_onnx_call_input(call, PADS);
    struct onnx_tensor inputs[PLAIN] = {call->inputs[IMAGE], call->inputs[WEIGHTS]};
    const void *in[PLAIN] = {call->in[IMAGE], call->in[WEIGHTS], biased ? call->in[BIAS] : NULL};
    struct onnx_conv conv;
    MMI_TRY(set_pads(call->params, &pads, &conv, err));
    if (biased) {
        inputs[2] = call->inputs[BIAS];
    }
    struct onnx_call plain = *call;
    plain.params = &conv;
    plain.input_count = biased ? PLAIN : PLAIN - 1;
    plain.inputs = inputs;
    plain.in = in;
    return mmi_onnx_op_ConvTranspose.run(&plain, err);
}

const struct onnx_operator mmi_onnx_op_MsConvTransposeWithDynamicPads = {
    .name = "ConvTransposeWithDynamicPads",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_conv),
    .limits = ONNX_LIMITS(ONNX_CONV_LIMITS),
    .shaping_inputs = 1u << PADS,
    .weight_inputs = 1u << WEIGHTS | 1u << BIAS,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};
