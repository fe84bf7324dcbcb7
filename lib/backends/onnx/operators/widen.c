/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/widen.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>
#include <string.h>

#define CHUNK 256
#define ALIGN 64

bool mmi_onnx_is_float(int32_t dtype) {
    return dtype == MM_F32 || dtype == MM_F64 || dtype == MM_F16 || dtype == MM_BF16;
}

bool mmi_onnx_is_number(int32_t dtype) {
    switch (dtype) {
    case MM_I8:
    case MM_U8:
    case MM_I16:
    case MM_U16:
    case MM_I32:
    case MM_U32:
    case MM_I64:
    case MM_U64:
        return true;
    default:
        return mmi_onnx_is_float(dtype);
    }
}

/* ---- One type of number to another ----------------------------------------------------------- */

void mmi_onnx_widen(int32_t dtype, const void *from, uint64_t count, double *to) {
    const struct onnx_tensor tensor = {.dtype = dtype, .data = from};
    if (dtype == MM_F64) {
        memcpy(to, from, count * sizeof(*to));
        return;
    }
    if (dtype == MM_F32) {
        for (uint64_t i = 0; i < count; i++) {
            to[i] = (double)((const float *)from)[i];
        }
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[i] = mmi_onnx_float_at(&tensor, i);
    }
}

/* A float of 16 bits: so many of them fraction, smallest normal exponent, bias 1 - that. */
struct short_float {
    int32_t fraction, lowest;
    uint32_t infinity;
};
static const struct short_float half = {10, -14, 0x7c00};
static const struct short_float bfloat = {7, -126, 0x7f80};

static uint16_t to_short(double value, const struct short_float *as) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint32_t sign = (uint32_t)(bits >> 63) << 15;
    if (isnan(value)) {
        return (uint16_t)(sign | as->infinity | 1u << (as->fraction - 1));
    }
    int32_t exponent = (int32_t)(bits >> 52 & 0x7ff) - 1023;
    exponent = exponent < as->lowest ? as->lowest : exponent;
    if (exponent > 1 - as->lowest) {
        return (uint16_t)(sign | as->infinity);
    }
    /* Units of the last place, with the leading 1 of a normal number; a carry into the exponent is
     * right as it is. */
    uint32_t units = (uint32_t)nearbyint(ldexp(fabs(value), as->fraction - exponent));
    uint32_t magnitude = ((uint32_t)(exponent - as->lowest) << as->fraction) + units;
    return (uint16_t)(sign | (magnitude < as->infinity ? magnitude : as->infinity));
}

/* To an integer in [low, high], which are whole numbers, high perhaps one too large. */
static int64_t to_signed(double value, double low, double high, int64_t most) {
    double rounded = nearbyint(value);
    if (isnan(rounded)) {
        return 0;
    }
    return rounded >= high ? most : rounded <= low ? (int64_t)low : (int64_t)rounded;
}

static uint64_t to_u64(double value) {
    double rounded = nearbyint(value);
    return rounded >= 0x1p64 ? UINT64_MAX : rounded > 0 ? (uint64_t)rounded : 0;
}

#define EACH(T, EXPRESSION)                                                                        \
    for (uint64_t i = 0; i < count; i++) {                                                         \
        double x = from[i];                                                                        \
        ((T *)to)[i] = (T)(EXPRESSION);                                                            \
    }                                                                                              \
    break

void mmi_onnx_narrow(const double *from, uint64_t count, int32_t dtype, void *to) {
    switch (dtype) {
    case MM_F32:
        EACH(float, x);
    case MM_F64:
        EACH(double, x);
    case MM_F16:
        EACH(uint16_t, to_short(x, &half));
    case MM_BF16:
        EACH(uint16_t, to_short(x, &bfloat));
    case MM_I8:
        EACH(int8_t, to_signed(x, INT8_MIN, INT8_MAX, INT8_MAX));
    case MM_U8:
        EACH(uint8_t, to_signed(x, 0, UINT8_MAX, UINT8_MAX));
    case MM_I16:
        EACH(int16_t, to_signed(x, INT16_MIN, INT16_MAX, INT16_MAX));
    case MM_U16:
        EACH(uint16_t, to_signed(x, 0, UINT16_MAX, UINT16_MAX));
    case MM_I32:
        EACH(int32_t, to_signed(x, INT32_MIN, INT32_MAX, INT32_MAX));
    case MM_U32:
        EACH(uint32_t, to_signed(x, 0, UINT32_MAX, UINT32_MAX));
    case MM_I64:
        EACH(int64_t, to_signed(x, -0x1p63, 0x1p63, INT64_MAX));
    case MM_U64:
        EACH(uint64_t, to_u64(x));
    default: /* bool */
        EACH(uint8_t, x != 0);
    }
}

/* ---- Copies as f32 --------------------------------------------------------------------------- */

static bool is_short(int32_t dtype) {
    return dtype == MM_F16 || dtype == MM_BF16;
}

static void to_f32(const struct onnx_tensor *tensor, const void *from, float *to) {
    double wide[CHUNK];
    for (uint64_t i = 0; i < tensor->elements; i += CHUNK) {
        uint64_t count = mmi_min_u64(CHUNK, tensor->elements - i);
        mmi_onnx_widen(tensor->dtype, (const uint16_t *)from + i, count, wide);
        mmi_onnx_narrow(wide, count, MM_F32, to + i);
    }
}

static void from_f32(const struct onnx_tensor *tensor, const float *from, void *to) {
    double wide[CHUNK];
    for (uint64_t i = 0; i < tensor->elements; i += CHUNK) {
        uint64_t count = mmi_min_u64(CHUNK, tensor->elements - i);
        mmi_onnx_widen(MM_F32, from + i, count, wide);
        mmi_onnx_narrow(wide, count, tensor->dtype, (uint16_t *)to + i);
    }
}

/* Room for all copies of those of `tensors` that have type `dtype`; UINT64_MAX on overflow. */
static uint64_t copies_bytes(const struct onnx_tensor *tensors, uint32_t count, int32_t dtype) {
    uint64_t all = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes;
        if (tensors[i].dtype == dtype) {
            bool fits = mmi_mul(tensors[i].elements, sizeof(float), &bytes) &&
                        mmi_round_up(bytes, ALIGN, &bytes);
            all = fits ? mmi_add_cap(all, bytes) : UINT64_MAX;
        }
    }
    return all;
}

mm_status mmi_onnx_add_copies(struct onnx_inference *x, mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    if (!is_short(dtype)) {
        return MM_OK;
    }
    uint64_t copies = mmi_add_cap(copies_bytes(x->inputs, x->input_count, dtype),
                                  copies_bytes(x->outputs, x->output_count, dtype));
    x->scratch_bytes = mmi_add_cap(x->scratch_bytes, copies);
    if (x->scratch_bytes == UINT64_MAX) {
        return mmi_fail(err, MM_TOO_LARGE, "its inputs are too large to copy as f32");
    }
    return MM_OK;
}

/* The same call with f32 in place of a short type. */
struct copied {
    struct onnx_tensor inputs[ONNX_COPIED], outputs[ONNX_COPIED];
    const void *in[ONNX_COPIED];
    void *out[ONNX_COPIED];
    uint8_t *room; /* what is left of the scratch */
};

/* Make an f32 of a tensor and give it a place. */
static float *replace(struct onnx_tensor *tensor, struct copied *copied) {
    void *place = copied->room;
    copied->room += copies_bytes(tensor, 1, tensor->dtype);
    tensor->dtype = MM_F32;
    tensor->bytes = tensor->elements * sizeof(float);
    return place;
}

static void copy_call(const struct onnx_call *call, struct copied *copied) {
    int32_t dtype = call->inputs[0].dtype;
    copied->room = call->scratch;
    for (uint32_t i = 0; i < call->input_count; i++) {
        copied->inputs[i] = call->inputs[i];
        copied->in[i] = call->in[i];
        if (call->inputs[i].dtype == dtype && call->in[i]) {
            float *copy = replace(&copied->inputs[i], copied);
            to_f32(&call->inputs[i], call->in[i], copy);
            copied->in[i] = copy;
        }
    }
    for (uint32_t i = 0; i < call->output_count; i++) {
        copied->outputs[i] = call->outputs[i];
        copied->out[i] = call->out[i];
        if (call->outputs[i].dtype == dtype && call->out[i]) {
            copied->out[i] = replace(&copied->outputs[i], copied);
        }
    }
}

mm_status mmi_onnx_run_copied(const struct onnx_call *call, onnx_kernel run, mm_error *err) {
    struct copied copied;
    int32_t dtype = call->inputs[0].dtype;
    if (!is_short(dtype)) {
        return run(call, err);
    }
    copy_call(call, &copied);
    struct onnx_call inner = {.params = call->params,
                              .input_count = call->input_count,
                              .output_count = call->output_count,
                              .inputs = copied.inputs,
                              .outputs = copied.outputs,
                              .in = copied.in,
                              .out = copied.out,
                              .scratch = copied.room,
                              .services = call->services};
    MMI_TRY(run(&inner, err));
    for (uint32_t i = 0; i < call->output_count; i++) {
        if (copied.out[i] != call->out[i]) {
            from_f32(&call->outputs[i], copied.out[i], call->out[i]);
        }
    }
    return MM_OK;
}

/* ---- Types of inputs ------------------------------------------------------------------------- */

mm_status mmi_onnx_check_float(const struct onnx_inference *x, mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    if (!mmi_onnx_is_float(dtype)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its input is %s, a float type wanted",
                        mm_dtype_text(dtype));
    }
    return MM_OK;
}

mm_status mmi_onnx_check_alike(const struct onnx_inference *x, uint32_t others, mm_error *err) {
    int32_t dtype = x->inputs[0].dtype;
    for (uint32_t i = 1; i < x->input_count; i++) {
        bool may = others >> i & 1;
        if (!may && mmi_onnx_has(x, i) && x->inputs[i].dtype != dtype) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, %s as its first wanted", i,
                            mm_dtype_text(x->inputs[i].dtype), mm_dtype_text(dtype));
        }
    }
    return MM_OK;
}
