/* SPDX-License-Identifier: Apache-2.0 */

/* What is made of shapes and numbers, not of data: Shape, Size, ConstantOfShape, Range, EyeLike. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

#include <inttypes.h>
#include <math.h>

/* ---- Shape, Size ----------------------------------------------------------------------------- */

struct shape {
    int64_t start, end;
};

static mm_status read_shape(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct shape *shape = params;
    MMI_TRY(mmi_onnx_read_int(mmi_onnx_since(a, 15), "start", 0, &shape->start, err));
    return mmi_onnx_read_int(mmi_onnx_since(a, 15), "end", INT64_MAX, &shape->end, err);
}

static int64_t clamp_axis(int64_t axis, int64_t rank) {
    axis = axis < 0 ? axis + rank : axis;
    axis = axis < 0 ? 0 : axis;
    return axis > rank ? rank : axis;
}

static mm_status infer_shape(struct onnx_inference *x, mm_error *err) {
    const struct shape *shape = x->params;
    int64_t rank = x->inputs[0].rank;
    int64_t start = clamp_axis(shape->start, rank), end = clamp_axis(shape->end, rank);
    int64_t count = end > start ? end - start : 0;
    return mmi_onnx_tensor_set(&x->outputs[0], MM_I64, 1, &count, err);
}

static mm_status run_shape(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct shape *shape = call->params;
    int64_t start = clamp_axis(shape->start, call->inputs[0].rank);
    if (call->out[0]) {
        memcpy(call->out[0], &call->inputs[0].shape[start], call->outputs[0].bytes);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Shape = {
    .name = "Shape",
    .flags = ONNX_OP_SHAPES_ONLY,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct shape),
    .read = read_shape,
    .infer = infer_shape,
    .run = run_shape,
    .facts = {MM_I64, ONNX_RANK_IS_1, ONNX_SIZE_REDUCES, 0},
};

static mm_status infer_size(struct onnx_inference *x, mm_error *err) {
    return mmi_onnx_tensor_set(&x->outputs[0], MM_I64, 0, NULL, err);
}

static mm_status run_size(const struct onnx_call *call, mm_error *err) {
    (void)err;
    if (call->out[0]) {
        memcpy(call->out[0], &call->inputs[0].elements, sizeof(int64_t));
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Size = {
    .name = "Size",
    .flags = ONNX_OP_SHAPES_ONLY,
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .infer = infer_size,
    .run = run_size,
    .facts = {MM_I64, ONNX_RANK_IS_0, ONNX_SIZE_REDUCES, 0},
};

/* ---- ConstantOfShape ------------------------------------------------------------------------- */

struct constant_of_shape {
    int32_t dtype;
    uint32_t reserved;
    uint8_t element[16];
};

static mm_status read_constant_of_shape(const struct onnx_attributes *a, void *params,
                                        mm_error *err) {
    struct constant_of_shape *constant = params;
    const struct onnx_attribute *value = mmi_onnx_attribute(a, "value");
    constant->dtype = MM_F32;
    if (!value) {
        return MM_OK;
    }
    if (value->type != ONNX_ATTRIBUTE_TENSOR || !value->tensor || value->tensor->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute value is no tensor of one element");
    }
    constant->dtype = value->tensor->dtype;
    uint32_t width = mmi_onnx_element_bytes(constant->dtype);
    uint32_t bits = mmi_onnx_packed_bits(constant->dtype);
    if (bits > 0) { /* a byte full of it */
        uint32_t one = ((const uint8_t *)value->tensor->data)[0] & ((1u << bits) - 1);
        constant->element[0] = (uint8_t)(one * (bits == 4 ? 0x11 : 0x55));
        return MM_OK;
    }
    if (width == 0 || constant->dtype == MM_STRING) { /* a string is no plain data */
        return mmi_fail(err, MM_UNSUPPORTED, "attribute value is %s, which it cannot repeat",
                        mm_dtype_text(constant->dtype));
    }
    memcpy(constant->element, value->tensor->data, width);
    return MM_OK;
}

static mm_status infer_constant_of_shape(struct onnx_inference *x, mm_error *err) {
    const struct constant_of_shape *constant = x->params;
    struct onnx_ints shape;
    MMI_TRY(mmi_onnx_known_ints(x, 0, "shape", &shape, err));
    return mmi_onnx_tensor_set(&x->outputs[0], constant->dtype, shape.count, shape.at, err);
}

static mm_status run_constant_of_shape(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct constant_of_shape *constant = call->params;
    uint64_t elements = call->outputs[0].elements, bits = mmi_onnx_packed_bits(constant->dtype);
    if (bits == 0) {
        mmi_onnx_fill(call->out[0], elements, constant->element,
                      mmi_onnx_element_bytes(constant->dtype));
    } else if (elements > 0 && call->out[0]) { /* nothing behind the last element */
        uint64_t bytes = call->outputs[0].bytes, free_bits = bytes * 8 - elements * bits;
        memset(call->out[0], constant->element[0], bytes);
        ((uint8_t *)call->out[0])[bytes - 1] &= (uint8_t)(0xff >> free_bits);
    }
    return MM_OK;
}

static void learn_constant_of_shape(const struct onnx_learning *l, uint32_t output,
                                    struct onnx_fact *fact) {
    const struct constant_of_shape *constant = l->node->params;
    (void)output;
    fact->dtype = constant->dtype;
    fact->rank = (int32_t)mmi_onnx_fact_length(l, 0);
}

const struct onnx_operator mmi_onnx_op_ConstantOfShape = {
    .name = "ConstantOfShape",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct constant_of_shape),
    .limits = ONNX_LIMITS(
        ONNX_OF_TYPE("value", struct constant_of_shape, dtype, ONNX_ANY_TYPE & ~(1u << MM_STRING))),
    .shaping_inputs = 1u << 0,
    .read = read_constant_of_shape,
    .infer = infer_constant_of_shape,
    .run = run_constant_of_shape,
    .facts = {ONNX_DTYPE_UNKNOWN, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn_constant_of_shape,
};

/* ---- Range ----------------------------------------------------------------------------------- */

static mm_status count_floats(const struct onnx_tensor *inputs, uint64_t *count, mm_error *err) {
    double start = mmi_onnx_float_at(&inputs[0], 0), limit = mmi_onnx_float_at(&inputs[1], 0);
    double delta = mmi_onnx_float_at(&inputs[2], 0);
    double wanted = ceil((limit - start) / delta);
    if (!(wanted < 0x1p62)) { /* too many, or no number at all */
        return mmi_fail(err, MM_INVALID_MODEL, "a range from %g to %g by %g", start, limit, delta);
    }
    *count = wanted > 0 ? (uint64_t)wanted : 0;
    return MM_OK;
}

static mm_status count_ints(const struct onnx_tensor *inputs, uint64_t *count, mm_error *err) {
    int64_t start = mmi_onnx_int_at(&inputs[0], 0), limit = mmi_onnx_int_at(&inputs[1], 0);
    int64_t delta = mmi_onnx_int_at(&inputs[2], 0);
    if (delta == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "a range from %" PRId64 " to %" PRId64 " by 0",
                        start, limit);
    }
    bool up = delta > 0;
    uint64_t step = up ? (uint64_t)delta : -(uint64_t)delta;
    uint64_t way = up ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    bool any = up ? limit > start : limit < start;
    *count = any ? (way - 1) / step + 1 : 0;
    return MM_OK;
}

static mm_status infer_range(struct onnx_inference *x, mm_error *err) {
    static const char *const names[] = {"start", "limit", "delta"};
    int32_t dtype = x->inputs[0].dtype;
    bool integer = dtype == MM_I16 || dtype == MM_I32 || dtype == MM_I64;
    uint64_t count = 0;
    if (!integer && !(ONNX_FLOATS >> dtype & 1)) {
        return mmi_fail(err, MM_UNSUPPORTED, "a range of %s is not supported",
                        mm_dtype_text(dtype));
    }
    for (uint32_t i = 0; i < 3; i++) {
        const struct onnx_tensor *input = &x->inputs[i];
        if (input->dtype != dtype || input->elements != 1) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "its %s is %" PRIu64 " elements of %s, one of %s wanted", names[i],
                            input->elements, mm_dtype_text(input->dtype), mm_dtype_text(dtype));
        }
        if (!input->known) {
            return mmi_fail(err, MM_UNSUPPORTED, "its %s is not known before the run", names[i]);
        }
    }
    MMI_TRY(integer ? count_ints(x->inputs, &count, err) : count_floats(x->inputs, &count, err));
    int64_t shape = count > INT64_MAX ? INT64_MAX : (int64_t)count;
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, 1, &shape, err);
}

static mm_status run_range(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct onnx_tensor start = mmi_onnx_call_input(call, 0), delta = mmi_onnx_call_input(call, 2);
    const struct onnx_tensor *output = &call->outputs[0];
    uint32_t width = mmi_onnx_element_bytes(output->dtype);
    bool is_float = ONNX_FLOATS >> output->dtype & 1;
    double first = mmi_onnx_float_at(&start, 0), step = mmi_onnx_float_at(&delta, 0);
    uint64_t whole = (uint64_t)mmi_onnx_int_at(&start, 0);
    uint64_t whole_step = (uint64_t)mmi_onnx_int_at(&delta, 0);
    uint8_t *to = call->out[0];
    for (uint64_t i = 0; i < output->elements; i++, to += width, whole += whole_step) {
        double number = first + (double)i * step;
        if (is_float) {
            mmi_onnx_convert(MM_F64, &number, 1, output->dtype, to);
        } else {
            memcpy(to, &whole, width); /* the low bytes come first */
        }
    }
    return MM_OK;
}

/* In which type small floats are added up: in f64, always. */
static mm_status read_range(const struct onnx_attributes *a, void *params, mm_error *err) {
    (void)params;
    (void)err;
    mmi_onnx_attribute(mmi_onnx_since(a, 27), "stash_type");
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_Range = {
    .name = "Range",
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .shaping_inputs = 1u << 0 | 1u << 1 | 1u << 2,
    .read = read_range,
    .infer = infer_range,
    .run = run_range,
    .facts = {ONNX_DTYPE_OF_ANY, ONNX_RANK_IS_1, ONNX_SIZE_SPREADS, 0},
};

/* ---- EyeLike --------------------------------------------------------------------------------- */

struct eye_like {
    int64_t dtype; /* 0: that of the input */
    int64_t k;     /* the diagonal: above the main one where it is positive */
};

static mm_status read_eye_like(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct eye_like *eye = params;
    MMI_TRY(mmi_onnx_read_int(a, "dtype", 0, &eye->dtype, err));
    return mmi_onnx_read_int(a, "k", 0, &eye->k, err);
}

/* The bits of 1; 0: the type has none that we know. */
static uint64_t bits_of_one(int32_t dtype) {
    switch (dtype) {
    case MM_F16:
        return 0x3c00;
    case MM_BF16:
        return 0x3f80;
    case MM_F32:
        return 0x3f800000;
    case MM_F64:
        return UINT64_C(0x3ff0000000000000);
    case MM_U8:
    case MM_I8:
    case MM_U16:
    case MM_I16:
    case MM_U32:
    case MM_I32:
    case MM_U64:
    case MM_I64:
    case MM_BOOL:
        return 1;
    default:
        return 0;
    }
}

static mm_status infer_eye_like(struct onnx_inference *x, mm_error *err) {
    const struct eye_like *eye = x->params;
    const struct onnx_tensor *like = &x->inputs[0];
    int32_t dtype =
        eye->dtype ? (int32_t)mmi_min_u64((uint64_t)eye->dtype, INT32_MAX) : like->dtype;
    if (like->rank != 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 2 wanted", like->rank);
    }
    if (bits_of_one(dtype) == 0) {
        return mmi_fail(err, MM_UNSUPPORTED, "a diagonal of %s is not supported",
                        mm_dtype_text(dtype));
    }
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, 2, like->shape, err);
}

static mm_status run_eye_like(const struct onnx_call *call, mm_error *err) {
    (void)err;
    const struct eye_like *eye = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    int64_t rows = output->shape[0], columns = output->shape[1];
    uint32_t width = mmi_onnx_element_bytes(output->dtype);
    uint64_t one = bits_of_one(output->dtype);
    if (output->bytes == 0) {
        return MM_OK;
    }
    memset(call->out[0], 0, output->bytes);
    for (int64_t row = 0; row < rows; row++) {
        int64_t left = columns - row; /* columns from the main diagonal on */
        if (eye->k >= -row && eye->k < left) {
            int64_t at = row * columns + row + eye->k;
            memcpy((uint8_t *)call->out[0] + (uint64_t)at * width, &one, width);
        }
    }
    return MM_OK;
}

static void learn_eye_like(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct eye_like *eye = l->node->params;
    (void)output;
    if (eye->dtype > 0 && eye->dtype <= MM_I2) {
        fact->dtype = (int32_t)eye->dtype;
    }
}

const struct onnx_operator mmi_onnx_op_EyeLike = {
    .name = "EyeLike",
    .min_inputs = 1,
    .max_inputs = 1,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct eye_like),
    .read = read_eye_like,
    .infer = infer_eye_like,
    .run = run_eye_like,
    .facts = {ONNX_DTYPE_OF_0, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
    .learn = learn_eye_like,
};
