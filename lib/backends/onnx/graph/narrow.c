/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/graph/tensor.h>

#include <math.h>
#include <string.h>

/* ---- Elements that share bytes --------------------------------------------------------------- */

uint32_t mmi_onnx_packed_bits(int32_t dtype) {
    switch (dtype) {
    case MM_I4:
    case MM_U4:
    case MM_F4E2M1:
        return 4;
    case MM_I2:
    case MM_U2:
        return 2;
    default:
        return 0;
    }
}

void mmi_onnx_unpack_bits(int32_t dtype, const void *from, uint64_t count, uint8_t *to) {
    const uint8_t *bytes = from;
    if (mmi_onnx_packed_bits(dtype) == 4) {
        for (uint64_t i = 0; i < count / 2; i++) {
            to[2 * i] = bytes[i] & 15;
            to[2 * i + 1] = bytes[i] >> 4;
        }
        if (count % 2) {
            to[count - 1] = bytes[count / 2] & 15;
        }
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        to[i] = (uint8_t)(bytes[i / 4] >> i % 4 * 2 & 3);
    }
}

void mmi_onnx_pack_bits(int32_t dtype, const uint8_t *from, uint64_t count, void *to) {
    uint32_t bits = mmi_onnx_packed_bits(dtype), mask = (1u << bits) - 1, per_byte = 8 / bits;
    uint8_t *bytes = to;
    for (uint64_t i = 0; i < count; i += per_byte) {
        uint32_t byte = 0;
        for (uint32_t j = 0; j < per_byte && i + j < count; j++) {
            byte |= (from[i + j] & mask) << j * bits;
        }
        *bytes++ = (uint8_t)byte;
    }
}

void mmi_onnx_move_bits(int32_t dtype, const void *from, uint64_t from_element, void *to,
                        uint64_t to_element, uint64_t count) {
    uint32_t bits = mmi_onnx_packed_bits(dtype), mask = (1u << bits) - 1, per_byte = 8 / bits;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t source = from_element + i, target = to_element + i;
        uint32_t from_bit = (uint32_t)(source % per_byte) * bits;
        uint32_t to_bit = (uint32_t)(target % per_byte) * bits;
        uint32_t element = ((const uint8_t *)from)[source / per_byte] >> from_bit & mask;
        uint8_t *byte = &((uint8_t *)to)[target / per_byte];
        *byte = (uint8_t)((*byte & ~(mask << to_bit)) | element << to_bit);
    }
}

void mmi_onnx_copy_elements(int32_t dtype, const void *from, uint64_t from_element, void *to,
                            uint64_t to_element, uint64_t count) {
    if (mmi_onnx_packed_bits(dtype)) {
        mmi_onnx_move_bits(dtype, from, from_element, to, to_element, count);
        return;
    }
    uint64_t bytes = mmi_onnx_element_bytes(dtype);
    if (count > 0) { /* else there may be no memory */
        memcpy((uint8_t *)to + to_element * bytes, (const uint8_t *)from + from_element * bytes,
               count * bytes);
    }
}

int64_t mmi_onnx_packed_value(int32_t dtype, uint8_t bits) {
    switch (dtype) {
    case MM_I4:
        return ((bits & 15) ^ 8) - 8;
    case MM_I2:
        return ((bits & 3) ^ 2) - 2;
    default:
        return bits & ((1 << mmi_onnx_packed_bits(dtype)) - 1);
    }
}

/* ---- Floats of sign, exponent and fraction --------------------------------------------------- */

struct format {
    int32_t fraction, bias; /* bits of the fraction */
    uint8_t sign;           /* its bit */
    uint8_t max;            /* the largest number */
    uint8_t over;           /* infinity; NaN where there is none */
    uint8_t nan;
    bool one_zero; /* the bits of -0 are NaN, the only one */
    float scale; /* 2^(127 - bias): its exponent is so much too low where its bits are a float's */
};

static const struct format *format_of(int32_t dtype) {
    static const struct format formats[] = {
        {3, 7, 0x80, 0x7e, 0x7f, 0x7f, false, 0x1p120f},
        {3, 8, 0x80, 0x7f, 0x80, 0x80, true, 0x1p119f},
        {2, 15, 0x80, 0x7b, 0x7c, 0x7e, false, 0x1p112f},
        {2, 16, 0x80, 0x7f, 0x80, 0x80, true, 0x1p111f},
        /* has neither infinity nor NaN */
        {1, 1, 0x08, 0x07, 0x07, 0x00, false, 0x1p126f},
    };
    switch (dtype) {
    case MM_F8E4M3FN:
        return &formats[0];
    case MM_F8E4M3FNUZ:
        return &formats[1];
    case MM_F8E5M2:
        return &formats[2];
    case MM_F8E5M2FNUZ:
        return &formats[3];
    case MM_F4E2M1:
        return &formats[4];
    default:
        return NULL;
    }
}

bool mmi_onnx_is_narrow_float(int32_t dtype) {
    return dtype == MM_F8E8M0 || format_of(dtype) != NULL;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float decode(const struct format *f, uint8_t bits) {
    uint32_t size = bits & (f->sign - 1u);
    float value = float_of(size << (23 - f->fraction)) * f->scale;
    if (f->one_zero ? bits == f->nan : size > f->max) {
        value = size == f->over && f->over != f->nan ? INFINITY : NAN;
    }
    return bits & f->sign ? -value : value;
}

/* As for a half: rounding carries into the exponent, and what is below the least normal number is
 * rounded by adding a number whose last bit is worth the least one. */
static uint8_t encode(const struct format *f, float value, bool saturate) {
    uint32_t bits = bits_of(value), size = bits & 0x7fffffff, code;
    int32_t shift = 23 - f->fraction;
    uint32_t sign = bits >> 31 ? f->sign : 0;
    if (size > 0x7f800000) {
        return (uint8_t)(f->sign == 0x08 ? 0x08 : f->nan | sign);
    }
    if (size < (uint32_t)(128 - f->bias) << 23) {
        float unit = float_of((uint32_t)(128 - f->bias + shift) << 23);
        code = bits_of(float_of(size) + unit) - bits_of(unit);
    } else {
        uint32_t half = (1u << (shift - 1)) - 1;
        code = (size + half + (size >> shift & 1) - ((uint32_t)(127 - f->bias) << 23)) >> shift;
    }
    if (code > f->max) {
        code = saturate ? f->max : f->over;
    }
    return (uint8_t)(f->one_zero && code == 0 ? 0 : code | sign);
}

/* ---- f8e8m0: a power of two from 2^-127 on, or NaN ------------------------------------------- */

/* The sign does not count. */
static uint8_t encode_power(float value, const struct onnx_narrowing *how) {
    uint32_t size = bits_of(value) & 0x7fffffff, code = size >> 23, fraction = size & 0x7fffff;
    if (size > 0x7f800000) {
        return 0xff;
    }
    if (code == 0 && fraction < 0x400000) { /* less than 2^-127 */
        return how->saturate ? 0 : 0xff;
    }
    if (code == 0) { /* the numbers from 2^-127 to 2^-126 have no exponent of their own */
        fraction = (fraction - 0x400000) << 1;
    }
    bool up = how->round == ONNX_ROUND_UP        ? fraction > 0
              : how->round == ONNX_ROUND_NEAREST ? fraction >= 0x400000
                                                 : false;
    code += up;
    return (uint8_t)(code < 0xff ? code : how->saturate ? 0xfe : 0xff);
}

static float decode_power(uint8_t bits) {
    return bits == 0xff ? NAN : float_of(bits > 0 ? (uint32_t)bits << 23 : 0x400000);
}

/* ---- All of them ----------------------------------------------------------------------------- */

float mmi_onnx_narrow_value(int32_t dtype, uint8_t bits) {
    const struct format *format = format_of(dtype);
    return format ? decode(format, bits & (uint8_t)(2 * format->sign - 1)) : decode_power(bits);
}

uint8_t mmi_onnx_narrow_bits(int32_t dtype, float value, const struct onnx_narrowing *how) {
    const struct format *format = format_of(dtype);
    return format ? encode(format, value, how->saturate) : encode_power(value, how);
}

void mmi_onnx_widen(int32_t dtype, const uint8_t *from, uint64_t count, float *to) {
    const struct format *format = format_of(dtype);
    for (uint64_t i = 0; i < count; i++) {
        to[i] = format ? decode(format, from[i]) : decode_power(from[i]);
    }
}

void mmi_onnx_narrow(int32_t dtype, const float *from, uint64_t count,
                     const struct onnx_narrowing *how, uint8_t *to) {
    const struct format *format = format_of(dtype);
    for (uint64_t i = 0; i < count; i++) {
        to[i] = format ? encode(format, from[i], how->saturate) : encode_power(from[i], how);
    }
}
