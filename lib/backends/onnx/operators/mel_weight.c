/* SPDX-License-Identifier: Apache-2.0 */

/* MelWeightMatrix: triangles that gather the bins of a spectrum into bands of the mel scale. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BANDS, LENGTH, RATE, LOWER, UPPER };

struct mel {
    int64_t dtype;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct mel *mel = params;
    return mmi_onnx_read_int(a, "output_datatype", MM_F32, &mel->dtype, err);
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct mel *mel = x->params;
    struct onnx_ints bands, length;
    MMI_TRY(mmi_onnx_known_ints(x, BANDS, "num_mel_bins", &bands, err));
    MMI_TRY(mmi_onnx_known_ints(x, LENGTH, "dft_length", &length, err));
    MMI_TRY(mmi_onnx_check_indices(x, RATE, err));
    MMI_TRY(mmi_onnx_check_type(x, LOWER, ONNX_FLOATS, err));
    MMI_TRY(mmi_onnx_check_type(x, UPPER, ONNX_FLOATS, err));
    bool scalars = bands.count == 1 && length.count == 1;
    for (uint32_t i = RATE; i <= UPPER; i++) {
        scalars = scalars && x->inputs[i].elements == 1;
    }
    if (!scalars || bands.at[0] < 0 || length.at[0] < 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its inputs are not all one number, or num_mel_bins is below 0 or "
                        "dft_length below 1");
    }
    int64_t shape[] = {length.at[0] / 2 + 1, bands.at[0]};
    return mmi_onnx_tensor_set(&x->outputs[0], (int32_t)mel->dtype, 2, shape, err);
}

/* The spectrum and the scale. */
struct scale {
    double length, rate, low, step; /* low and step: in mel */
    int64_t bins;
};

static double mel_of(double hertz) {
    return 2595 * log10(1 + hertz / 700);
}

/* The bin where edge i of the bands lies. */
static mm_status find_bin(const struct scale *scale, int64_t i, int64_t *bin, mm_error *err) {
    double hertz = 700 * (pow(10, ((double)i * scale->step + scale->low) / 2595) - 1);
    double at = floor((scale->length + 1) * hertz / scale->rate);
    if (!(at >= 0 && at < (double)scale->bins)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "an edge at %g hertz is outside of the %" PRId64 " bins of the spectrum",
                        hertz, scale->bins);
    }
    *bin = (int64_t)at;
    return MM_OK;
}

static void put(const struct onnx_call *call, int64_t bin, int64_t band, double weight) {
    const struct onnx_tensor *output = &call->outputs[0];
    uint64_t at = (uint64_t)(bin * output->shape[1] + band);
    mmi_onnx_convert(MM_F64, &weight, 1, output->dtype,
                     (uint8_t *)call->out[0] + at * mmi_onnx_element_bytes(output->dtype));
}

static mm_status write_band(const struct onnx_call *call, const struct scale *scale, int64_t band,
                            mm_error *err) {
    int64_t left = 0, centre = 0, right = 0;
    MMI_TRY(find_bin(scale, band, &left, err));
    MMI_TRY(find_bin(scale, band + 1, &centre, err));
    MMI_TRY(find_bin(scale, band + 2, &right, err));
    if (left == centre) {
        put(call, centre, band, 1);
    }
    for (int64_t bin = left; bin <= centre && left != centre; bin++) {
        put(call, bin, band, (double)(bin - left) / (double)(centre - left));
    }
    for (int64_t bin = centre; bin < right; bin++) {
        put(call, bin, band, (double)(right - bin) / (double)(right - centre));
    }
    return MM_OK;
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *output = &call->outputs[0];
    double numbers[UPPER + 1];
    for (uint32_t i = 0; i <= UPPER; i++) {
        struct onnx_tensor input = mmi_onnx_call_input(call, i);
        numbers[i] = mmi_onnx_float_at(&input, 0);
    }
    struct scale scale = {.length = numbers[LENGTH],
                          .rate = numbers[RATE],
                          .low = mel_of(numbers[LOWER]),
                          .bins = output->shape[0]};
    scale.step = (mel_of(numbers[UPPER]) - scale.low) / (numbers[BANDS] + 2);
    if (!call->out[0]) {
        return MM_OK;
    }
    memset(call->out[0], 0, output->bytes);
    for (int64_t band = 0; band < output->shape[1]; band++) {
        MMI_TRY(write_band(call, &scale, band, err));
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)output;
    fact->dtype = (int32_t)((const struct mel *)l->node->params)->dtype;
}

const struct onnx_operator mmi_onnx_op_MelWeightMatrix = {
    .name = "MelWeightMatrix",
    .min_inputs = 5,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct mel),
    .limits = ONNX_LIMITS(ONNX_OF_TYPE("output_datatype", struct mel, dtype, ONNX_REALS)),
    .shaping_inputs = 1u << BANDS | 1u << LENGTH,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_IS_2, ONNX_SIZE_SPREADS, 0},
    .learn = learn,
};
