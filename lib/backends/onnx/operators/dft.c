/* SPDX-License-Identifier: Apache-2.0 */

/* DFT and STFT: the Fourier transform along an axis, and of the frames of a signal. The last axis
 * holds real numbers, or real and imaginary parts. */

#include <backends/onnx/operators/copies.h>
#include <backends/onnx/operators/fourier.h>
#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct dft {
    int64_t axis; /* where input 2 does not say it */
    int64_t inverse, onesided;
};

/* A number that must be known. Left out: it stays as it is. */
static mm_status known_number(const struct onnx_inference *x, uint32_t input, const char *what,
                              int64_t *number, mm_error *err) {
    struct onnx_ints ints;
    if (!mmi_onnx_has(x, input)) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_known_ints(x, input, what, &ints, err));
    if (ints.count != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its %s has %u numbers, one wanted", what,
                        ints.count);
    }
    *number = ints.at[0];
    return MM_OK;
}

static mm_status check_parts(const struct onnx_tensor *signal, uint32_t min_rank, mm_error *err) {
    int64_t parts = signal->rank > 0 ? signal->shape[signal->rank - 1] : 0;
    if (signal->rank < min_rank || (parts != 1 && parts != 2)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes, the last of %" PRId64
                        "; %u or more, and the last of 1 or 2 wanted",
                        signal->rank, parts, min_rank);
    }
    return MM_OK;
}

static mm_status take_room(struct onnx_inference *x, int64_t length, mm_error *err) {
    if (length < 1 || !mmi_onnx_fourier_bytes((uint64_t)length, &x->scratch_bytes)) {
        return mmi_fail(err, MM_INVALID_MODEL, "a transform of length %" PRId64, length);
    }
    return mmi_round_up(x->scratch_bytes, 64, &x->scratch_bytes)
               ? mmi_onnx_add_copies(x, err)
               : mmi_fail(err, MM_TOO_LARGE, "a transform of length %" PRId64, length);
}

/* ---- DFT ------------------------------------------------------------------------------------- */

static mm_status read_dft(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct dft *dft = params;
    dft->axis = -2;
    if (a->opset < 20) {
        MMI_TRY(mmi_onnx_read_int(a, "axis", 1, &dft->axis, err));
    }
    MMI_TRY(mmi_onnx_read_int(a, "inverse", 0, &dft->inverse, err));
    return mmi_onnx_read_int(a, "onesided", 0, &dft->onesided, err);
}

/* What the axis is and how long the transform. */
static mm_status place(const struct dft *dft, const struct onnx_tensor *signal, int64_t at,
                       uint32_t *axis, mm_error *err) {
    MMI_TRY(mmi_onnx_check_axis(at, signal->rank, axis, err));
    if (*axis + 1 == signal->rank) {
        return mmi_fail(err, MM_INVALID_MODEL, "axis %" PRId64 " is that of the parts", at);
    }
    if (dft->onesided && !dft->inverse && signal->shape[signal->rank - 1] != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "one side of a transform of complex numbers");
    }
    return MM_OK;
}

static mm_status infer_dft(struct onnx_inference *x, mm_error *err) {
    const struct dft *dft = x->params;
    const struct onnx_tensor *signal = &x->inputs[0];
    bool half = dft->onesided && !dft->inverse, whole = dft->onesided && dft->inverse;
    int64_t shape[MM_MAX_RANK], at = dft->axis;
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    MMI_TRY(check_parts(signal, 2, err));
    MMI_TRY(known_number(x, 2, "axis", &at, err));
    MMI_TRY(place(dft, signal, at, &axis, err));
    int64_t length = signal->shape[axis];
    length = whole && length <= INT64_MAX / 2 ? 2 * (length - 1) : length;
    MMI_TRY(known_number(x, 1, "dft_length", &length, err));
    memcpy(shape, signal->shape, sizeof(shape));
    shape[axis] = half ? length / 2 + 1 : length;
    shape[signal->rank - 1] = whole ? 1 : 2;
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], signal->dtype, signal->rank, shape, err));
    return take_room(x, length, err);
}

/* Elements along the axis. */
struct line {
    struct onnx_reals from;
    uint64_t at, step; /* the first number, and on to that of the next element */
    uint64_t count, parts;
};

static void load(const struct line *line, struct onnx_fourier *fourier) {
    uint64_t count = mmi_min_u64(line->count, fourier->length);
    memset(fourier->data, 0, fourier->length * sizeof(*fourier->data));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = line->at + i * line->step;
        fourier->data[i].re = mmi_onnx_real(line->from, at);
        fourier->data[i].im = line->parts > 1 ? mmi_onnx_real(line->from, at + 1) : 0;
    }
}

/* The side that is missing of the spectrum of a real signal. */
static void mirror(struct onnx_fourier *fourier) {
    uint64_t length = fourier->length;
    fourier->data[0].im = 0;
    for (uint64_t i = length / 2 + 1; i < length; i++) {
        fourier->data[i].re = fourier->data[length - i].re;
        fourier->data[i].im = -fourier->data[length - i].im;
    }
    if (length % 2 == 0) {
        fourier->data[length / 2].im = 0;
    }
}

static mm_status run_dft_copied(const struct onnx_call *call, mm_error *err) {
    const struct dft *dft = call->params;
    const struct onnx_tensor *signal = &call->inputs[0], *output = &call->outputs[0];
    struct onnx_tensor named = mmi_onnx_call_input(call, 2);
    bool whole = dft->onesided && dft->inverse, half = dft->onesided && !dft->inverse;
    uint32_t axis;
    MMI_TRY(place(dft, signal, named.data ? mmi_onnx_int_at(&named, 0) : dft->axis, &axis, err));
    if (output->elements == 0 || !call->out[0]) {
        return MM_OK;
    }
    struct onnx_split in = mmi_onnx_split_at(signal, axis), out = mmi_onnx_split_at(output, axis);
    uint64_t parts = (uint64_t)signal->shape[signal->rank - 1], made = whole ? 1 : 2;
    struct onnx_tensor wanted = mmi_onnx_call_input(call, 1);
    uint64_t length = !half         ? out.length
                      : wanted.data ? (uint64_t)mmi_onnx_int_at(&wanted, 0)
                                    : in.length;
    struct line line = {mmi_onnx_reals(call, 0), 0, in.inner, in.length, parts};
    struct onnx_fourier fourier;
    mmi_onnx_fourier_begin(&fourier, length, call->scratch);
    double scale = dft->inverse ? 1 / (double)length : 1;
    for (uint64_t i = 0; i < out.outer * (out.inner / made); i++) {
        uint64_t outer = i / (out.inner / made), inner = i % (out.inner / made);
        line.at = outer * in.length * in.inner + inner * parts;
        load(&line, &fourier);
        if (whole) {
            mirror(&fourier);
        }
        mmi_onnx_fourier_run(&fourier, dft->inverse != 0);
        for (uint64_t j = 0; j < out.length; j++) {
            uint64_t to = (outer * out.length + j) * out.inner + inner * made;
            mmi_onnx_set_real(call->out[0], line.from.wide, to, fourier.data[j].re * scale);
            if (made > 1) {
                mmi_onnx_set_real(call->out[0], line.from.wide, to + 1, fourier.data[j].im * scale);
            }
        }
    }
    return MM_OK;
}

static mm_status run_dft(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_copied(call, run_dft_copied, err);
}

const struct onnx_operator mmi_onnx_op_DFT = {
    .name = "DFT",
    .min_inputs = 1,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct dft),
    .shaping_inputs = 1u << 1 | 1u << 2,
    .read = read_dft,
    .infer = infer_dft,
    .run = run_dft,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_ALIKE, 0},
};

/* ---- STFT ------------------------------------------------------------------------------------ */

enum { SIGNAL, STEP, WINDOW, LENGTH };

static mm_status read_stft(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct dft *dft = params;
    return mmi_onnx_read_int(a, "onesided", 1, &dft->onesided, err);
}

static mm_status infer_stft(struct onnx_inference *x, mm_error *err) {
    const struct dft *dft = x->params;
    const struct onnx_tensor *signal = &x->inputs[SIGNAL], *window = &x->inputs[WINDOW];
    bool has_window = mmi_onnx_has(x, WINDOW);
    int64_t step = 0;
    MMI_TRY(mmi_onnx_check_type(x, SIGNAL, ONNX_FLOATS, err));
    MMI_TRY(check_parts(signal, 3, err));
    MMI_TRY(known_number(x, STEP, "frame_step", &step, err));
    int64_t length = has_window && window->rank == 1 ? window->shape[0] : signal->shape[1];
    MMI_TRY(known_number(x, LENGTH, "frame_length", &length, err));
    if (signal->rank != 3 || step < 1 || length < 1 || length > signal->shape[1]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "frames of %" PRId64 ", each %" PRId64 " further, of a signal with %u axes "
                        "and %" PRId64 " elements",
                        length, step, signal->rank, signal->shape[1]);
    }
    if (has_window &&
        (window->rank != 1 || window->shape[0] > length || window->dtype != signal->dtype)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its window is %" PRIu64 " elements of %s on %u axes; %" PRId64
                        " of %s on one wanted",
                        window->elements, mm_dtype_text(window->dtype), window->rank, length,
                        mm_dtype_text(signal->dtype));
    }
    if (dft->onesided && signal->shape[2] != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "one side of a transform of complex numbers");
    }
    int64_t shape[] = {signal->shape[0], (signal->shape[1] - length) / step + 1,
                       dft->onesided ? length / 2 + 1 : length, 2};
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], signal->dtype, 4, shape, err));
    return take_room(x, length, err);
}

/* Beyond the end of the window nothing is seen. */
static void apply_window(struct onnx_fourier *fourier, struct onnx_reals window, uint64_t count) {
    for (uint64_t i = 0; window.data && i < fourier->length; i++) {
        double factor = i < count ? mmi_onnx_real(window, i) : 0;
        fourier->data[i].re *= factor;
        fourier->data[i].im *= factor;
    }
}

static mm_status run_stft_copied(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *signal = &call->inputs[SIGNAL], *output = &call->outputs[0];
    struct onnx_tensor step = mmi_onnx_call_input(call, STEP);
    struct onnx_tensor named = mmi_onnx_call_input(call, LENGTH);
    struct onnx_reals window = mmi_onnx_reals(call, WINDOW);
    uint64_t count = window.data ? call->inputs[WINDOW].elements : 0;
    uint64_t length = named.data    ? (uint64_t)mmi_onnx_int_at(&named, 0)
                      : window.data ? count
                                    : (uint64_t)signal->shape[1];
    uint64_t frames = (uint64_t)output->shape[1], bins = (uint64_t)output->shape[2];
    uint64_t parts = (uint64_t)signal->shape[2], all = (uint64_t)signal->shape[0] * frames;
    struct line line = {mmi_onnx_reals(call, SIGNAL), 0, parts, length, parts};
    struct onnx_fourier fourier;
    (void)err;
    mmi_onnx_fourier_begin(&fourier, length, call->scratch);
    for (uint64_t i = 0; call->out[0] && i < all; i++) {
        uint64_t first = i % frames * (uint64_t)mmi_onnx_int_at(&step, 0);
        line.at = (i / frames * (uint64_t)signal->shape[1] + first) * parts;
        load(&line, &fourier);
        apply_window(&fourier, window, count);
        mmi_onnx_fourier_run(&fourier, false);
        for (uint64_t j = 0; j < bins; j++) {
            uint64_t to = 2 * (i * bins + j);
            mmi_onnx_set_real(call->out[0], line.from.wide, to, fourier.data[j].re);
            mmi_onnx_set_real(call->out[0], line.from.wide, to + 1, fourier.data[j].im);
        }
    }
    return MM_OK;
}

static mm_status run_stft(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_copied(call, run_stft_copied, err);
}

static void learn_stft(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    (void)l;
    (void)output;
    fact->rank = 4;
    fact->last = 2;
}

const struct onnx_operator mmi_onnx_op_STFT = {
    .name = "STFT",
    .min_inputs = 2,
    .max_inputs = 4,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct dft),
    .shaping_inputs = 1u << STEP | 1u << LENGTH,
    .read = read_stft,
    .infer = infer_stft,
    .run = run_stft,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_ALIKE, 0},
    .learn = learn_stft,
};
