/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/graph/tensor.h>
#include <base/checked.h>
#include <base/status.h>
#include <base/text.h>

#include <math.h>
#include <string.h>

const char *mmi_onnx_shape_text(uint32_t rank, const int64_t *shape, char text[ONNX_SHAPE_TEXT]) {
    struct mmi_text shown;
    mmi_text_init(&shown, text, ONNX_SHAPE_TEXT);
    mmi_text_shape(&shown, rank, shape);
    return text;
}

mm_status mmi_onnx_tensor_set(struct onnx_tensor *tensor, int32_t dtype, uint32_t rank,
                              const int64_t *shape, mm_error *err) {
    *tensor = (struct onnx_tensor){.dtype = dtype, .rank = rank};
    if (rank > MM_MAX_RANK) {
        return mmi_fail(err, MM_UNSUPPORTED, "a tensor of %u axes, at most %u", rank, MM_MAX_RANK);
    }
    if (rank > 0) {
        memmove(tensor->shape, shape, rank * sizeof(*shape));
    }
    tensor->elements = mm_shape_elements(rank, tensor->shape);
    tensor->bytes = mmi_onnx_tensor_bytes(dtype, tensor->elements);
    if (tensor->bytes >= PTRDIFF_MAX) {
        char text[ONNX_SHAPE_TEXT];
        return mmi_fail(err, MM_INVALID_MODEL, "no tensor can have the shape %s",
                        mmi_onnx_shape_text(rank, tensor->shape, text));
    }
    return MM_OK;
}

uint64_t mmi_onnx_tensor_bytes(int32_t dtype, uint64_t elements) {
    uint64_t bytes;
    if (dtype == MM_STRING) {
        return mmi_mul(elements, sizeof(struct onnx_string), &bytes) ? bytes : UINT64_MAX;
    }
    return elements == UINT64_MAX ? UINT64_MAX : mm_dtype_bytes(dtype, elements);
}

uint32_t mmi_onnx_element_bytes(int32_t dtype) {
    if (dtype == MM_STRING) {
        return sizeof(struct onnx_string);
    }
    return mm_dtype_bytes(dtype, 2) == 2 * mm_dtype_bytes(dtype, 1)
               ? (uint32_t)mm_dtype_bytes(dtype, 1)
               : 0;
}

/* A half: sign, 5 bits of exponent, 10 of fraction. */
static double half_at(const void *data, uint64_t i) {
    uint16_t bits = ((const uint16_t *)data)[i];
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023;
    double value = exponent == 31  ? (fraction > 0 ? NAN : INFINITY)
                   : exponent == 0 ? ldexp(fraction, -24)
                                   : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double bfloat_at(const void *data, uint64_t i) {
    uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return (double)value;
}

/* The bits of an element of 8 bits or fewer. */
static uint8_t bits_at(const struct onnx_tensor *tensor, uint64_t i) {
    uint32_t bits = mmi_onnx_packed_bits(tensor->dtype);
    const uint8_t *bytes = tensor->data;
    return (uint8_t)(bits == 0 ? bytes[i] : bytes[i / (8 / bits)] >> i % (8 / bits) * bits);
}

double mmi_onnx_float_at(const struct onnx_tensor *tensor, uint64_t i) {
    if (mmi_onnx_is_narrow_float(tensor->dtype)) {
        return (double)mmi_onnx_narrow_value(tensor->dtype, bits_at(tensor, i));
    }
    switch (tensor->dtype) {
    case MM_F32:
        return (double)((const float *)tensor->data)[i];
    case MM_F64:
        return ((const double *)tensor->data)[i];
    case MM_F16:
        return half_at(tensor->data, i);
    case MM_BF16:
        return bfloat_at(tensor->data, i);
    case MM_U64:
        return (double)((const uint64_t *)tensor->data)[i];
    default:
        return (double)mmi_onnx_int_at(tensor, i);
    }
}

int64_t mmi_onnx_int_at(const struct onnx_tensor *tensor, uint64_t i) {
    switch (tensor->dtype) {
    case MM_I64:
    case MM_U64:
        return ((const int64_t *)tensor->data)[i];
    case MM_I32:
        return ((const int32_t *)tensor->data)[i];
    case MM_U32:
        return ((const uint32_t *)tensor->data)[i];
    case MM_I16:
        return ((const int16_t *)tensor->data)[i];
    case MM_U16:
        return ((const uint16_t *)tensor->data)[i];
    case MM_I8:
        return ((const int8_t *)tensor->data)[i];
    case MM_U8:
    case MM_BOOL:
        return ((const uint8_t *)tensor->data)[i];
    case MM_I4:
    case MM_U4:
    case MM_I2:
    case MM_U2:
        return mmi_onnx_packed_value(tensor->dtype, bits_at(tensor, i));
    default: {
        double value = mmi_onnx_float_at(tensor, i);
        return value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : 0;
    }
    }
}

bool mmi_onnx_axis(int64_t axis, uint32_t rank, uint32_t *out) {
    int64_t counted = axis < 0 ? axis + (int64_t)rank : axis;
    *out = (uint32_t)counted;
    return counted >= 0 && counted < (int64_t)rank;
}

struct onnx_split mmi_onnx_split_at(const struct onnx_tensor *tensor, uint32_t axis) {
    struct onnx_split split = {1, (uint64_t)tensor->shape[axis], 1};
    for (uint32_t i = 0; i < axis; i++) {
        split.outer *= (uint64_t)tensor->shape[i];
    }
    for (uint32_t i = axis + 1; i < tensor->rank; i++) {
        split.inner *= (uint64_t)tensor->shape[i];
    }
    return split;
}

void mmi_onnx_strides(const struct onnx_tensor *tensor, int64_t strides[MM_MAX_RANK]) {
    int64_t stride = 1;
    for (uint32_t i = tensor->rank; i-- > 0;) {
        strides[i] = stride;
        stride *= tensor->shape[i];
    }
}

bool mmi_onnx_broadcast(uint32_t rank_a, const int64_t *a, uint32_t rank_b, const int64_t *b,
                        struct onnx_tensor *to) {
    uint32_t rank = rank_a > rank_b ? rank_a : rank_b;
    int64_t shape[MM_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) {
        int64_t of_a = i + rank_a >= rank ? a[i + rank_a - rank] : 1;
        int64_t of_b = i + rank_b >= rank ? b[i + rank_b - rank] : 1;
        if (of_a != of_b && of_a != 1 && of_b != 1) {
            return false;
        }
        shape[i] = of_a == 1 ? of_b : of_a;
    }
    to->rank = rank;
    memcpy(to->shape, shape, rank * sizeof(*shape));
    return true;
}
