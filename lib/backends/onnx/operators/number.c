/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>
#include <base/text.h>

#include <math.h>
#include <string.h>

/* ---- Types ----------------------------------------------------------------------------------- */

mm_status mmi_onnx_check_type(const struct onnx_inference *x, uint32_t input, uint32_t types,
                              mm_error *err) {
    if (!mmi_onnx_has(x, input)) {
        return MM_OK;
    }
    int32_t dtype = x->inputs[input].dtype;
    if (types >> dtype & 1) {
        return MM_OK;
    }
    char names[192];
    struct mmi_text text;
    mmi_text_init(&text, names, sizeof(names));
    for (int32_t i = MM_F32; i <= MM_I2; i++) {
        if (types >> i & 1) {
            mmi_text_add(&text, "%s%s", text.need > 0 ? " " : "", mm_dtype_text(i));
        }
    }
    return mmi_fail(err, MM_UNSUPPORTED, "its input %u is %s, one of %s wanted", input,
                    mm_dtype_text(dtype), names);
}

mm_status mmi_onnx_check_types(const struct onnx_inference *x, uint32_t types, mm_error *err) {
    for (uint32_t i = 0; i < x->input_count; i++) {
        MMI_TRY(mmi_onnx_check_type(x, i, types, err));
        if (mmi_onnx_has(x, i) && x->inputs[i].dtype != x->inputs[0].dtype) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, its input 0 %s", i,
                            mm_dtype_text(x->inputs[i].dtype), mm_dtype_text(x->inputs[0].dtype));
        }
    }
    return MM_OK;
}

static const int32_t number_types[] = {MM_F32, MM_F64, MM_I64, MM_U64};

enum onnx_number mmi_onnx_number(int32_t dtype) {
    switch (dtype) {
    case MM_F32:
    case MM_F16:
    case MM_BF16:
        return ONNX_F32;
    case MM_F64:
        return ONNX_F64;
    case MM_U64:
        return ONNX_U64;
    default:
        return mmi_onnx_is_narrow_float(dtype) ? ONNX_F32 : ONNX_I64;
    }
}

int32_t mmi_onnx_number_type(enum onnx_number number) {
    return number_types[number];
}

bool mmi_onnx_is_native(int32_t dtype) {
    return number_types[mmi_onnx_number(dtype)] == dtype;
}

/* ---- Floats of 16 bits ----------------------------------------------------------------------- */

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* Without a branch, so that loops become vectors. */
static inline uint32_t select(bool first, uint32_t a, uint32_t b) {
    uint32_t mask = 0u - first;
    return (a & mask) | (b & ~mask);
}

/* Its exponent is 112 too low where the bits of a half are those of a float. */
static inline float from_half(uint16_t half) {
    uint32_t rest = half & 0x7fffu;
    uint32_t bits = bits_of(float_of(rest << 13) * 0x1p112f);
    bits |= select(rest >= 0x7c00, 0x7f800000, 0);
    return float_of(bits | (half & 0x8000u) << 16);
}

/* Rounding carries into the exponent, and from there into infinity, as it should. */
static inline uint16_t to_half(float value) {
    uint32_t bits = bits_of(value);
    uint32_t size = bits & 0x7fffffff;
    uint32_t normal = (size + 0xfff + (size >> 13 & 1) - (112u << 23)) >> 13;
    uint32_t small = bits_of(float_of(size) + 0.5f) - bits_of(0.5f); /* in units of 2^-24 */
    uint32_t half = select(size < bits_of(0x1p-14f), small, normal);
    half = select(size >= bits_of(65520), 0x7c00, half);
    half = select(size > 0x7f800000, 0x7e00, half);
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}

static inline float from_bfloat(uint16_t bfloat) {
    return float_of((uint32_t)bfloat << 16);
}

static inline uint16_t to_bfloat(float value) {
    uint32_t bits = bits_of(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

/* A float that rounds to the same 16 bits as the double: cut towards 0, and odd if anything was cut
 * off. */
static inline float to_odd(double value) {
    float near = (float)value;
    bool exact = (double)near == value || value != value;
    uint32_t bits = bits_of(near) - (fabs((double)near) > fabs(value));
    return float_of(exact ? bits : bits | 1);
}

/* ---- Integers -------------------------------------------------------------------------------- */

static inline int64_t to_i64(double value) {
    return value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : 0;
}

static inline uint64_t to_u64(double value) {
    return value >= 0x1p63 && value < 0x1p64 ? (uint64_t)value : (uint64_t)to_i64(value);
}

/* ---- Loading and storing --------------------------------------------------------------------- */

#define EACH(From, To, expression)                                                                 \
    do {                                                                                           \
        const From *in = from;                                                                     \
        To *out = to;                                                                              \
        ONNX_INDEPENDENT for (uint64_t i = 0; i < count; i++) {                                    \
            From x = in[i];                                                                        \
            out[i] = (To)(expression);                                                             \
        }                                                                                          \
    } while (0)

/* Types of 8 bits and fewer but i8, u8 and bool. */
static const void *load_narrow(int32_t dtype, const void *from, uint64_t count, void *to) {
    uint8_t unpacked[ONNX_CHUNK];
    if (mmi_onnx_packed_bits(dtype)) {
        mmi_onnx_unpack_bits(dtype, from, count, unpacked);
        from = unpacked;
    }
    if (mmi_onnx_is_narrow_float(dtype)) {
        mmi_onnx_widen(dtype, from, count, to);
    } else {
        int64_t sign = dtype == MM_I4 ? 8 : dtype == MM_I2 ? 2 : 0;
        EACH(uint8_t, int64_t, (x ^ sign) - sign);
    }
    return to;
}

/* count is at most ONNX_CHUNK where elements are packed. */
static void store_narrow(int32_t dtype, const void *from, uint64_t count,
                         const struct onnx_narrowing *how, void *to) {
    static const struct onnx_narrowing usual = {ONNX_ROUND_UP, 1};
    uint8_t unpacked[ONNX_CHUNK];
    void *const end = to;
    bool packed = mmi_onnx_packed_bits(dtype) > 0;
    to = packed ? unpacked : to;
    if (mmi_onnx_is_narrow_float(dtype)) {
        mmi_onnx_narrow(dtype, from, count, how ? how : &usual, to);
    } else {
        EACH(int64_t, uint8_t, x);
    }
    if (packed) {
        mmi_onnx_pack_bits(dtype, unpacked, count, end);
    }
}

static bool is_narrow(int32_t dtype) {
    return dtype > MM_BF16;
}

const void *mmi_onnx_load_numbers(int32_t dtype, const void *from, uint64_t count,
                                  union onnx_chunk *buffer) {
    void *to = buffer;
    switch (dtype) {
    case MM_F16:
        EACH(uint16_t, float, from_half(x));
        return to;
    case MM_BF16:
        EACH(uint16_t, float, from_bfloat(x));
        return to;
    case MM_I32:
        EACH(int32_t, int64_t, x);
        return to;
    case MM_U32:
        EACH(uint32_t, int64_t, x);
        return to;
    case MM_I16:
        EACH(int16_t, int64_t, x);
        return to;
    case MM_U16:
        EACH(uint16_t, int64_t, x);
        return to;
    case MM_I8:
        EACH(int8_t, int64_t, x);
        return to;
    case MM_U8:
    case MM_BOOL:
        EACH(uint8_t, int64_t, x);
        return to;
    default:
        return is_narrow(dtype) ? load_narrow(dtype, from, count, to) : from;
    }
}

void mmi_onnx_store_numbers(int32_t dtype, const void *from, uint64_t count, void *to) {
    switch (dtype) {
    case MM_F16:
        EACH(float, uint16_t, to_half(x));
        return;
    case MM_BF16:
        EACH(float, uint16_t, to_bfloat(x));
        return;
    case MM_I32:
    case MM_U32:
        EACH(int64_t, uint32_t, x);
        return;
    case MM_I16:
    case MM_U16:
        EACH(int64_t, uint16_t, x);
        return;
    case MM_I8:
    case MM_U8:
    case MM_BOOL:
        EACH(int64_t, uint8_t, x);
        return;
    default:
        if (is_narrow(dtype)) {
            store_narrow(dtype, from, count, NULL, to);
        } else if (from != to) {
            memcpy(to, from, count * sizeof(uint32_t) * (dtype == MM_F32 ? 1 : 2));
        }
        return;
    }
}

/* ---- From one type of number to another ------------------------------------------------------ */

typedef void (*converter)(const void *from, uint64_t count, void *to);

#define CONVERTER(name, From, To, expression)                                                      \
    static void name(const void *from, uint64_t count, void *to) {                                 \
        EACH(From, To, expression);                                                                \
    }
CONVERTER(f32_f64, float, double, x)
CONVERTER(f32_i64, float, int64_t, to_i64((double)x))
CONVERTER(f32_u64, float, uint64_t, to_u64((double)x))
CONVERTER(f64_f32, double, float, x)
CONVERTER(f64_odd, double, float, to_odd(x))
CONVERTER(f64_i64, double, int64_t, to_i64(x))
CONVERTER(f64_u64, double, uint64_t, to_u64(x))
CONVERTER(i64_f32, int64_t, float, x)
CONVERTER(i64_f64, int64_t, double, x)
CONVERTER(u64_f32, uint64_t, float, x)
CONVERTER(u64_f64, uint64_t, double, x)
CONVERTER(f32_bool, float, uint8_t, x != 0)
CONVERTER(f64_bool, double, uint8_t, x != 0)
CONVERTER(i64_bool, int64_t, uint8_t, x != 0)

/* NULL: the same bits. */
static const converter converters[ONNX_NUMBERS][ONNX_NUMBERS] = {
    {NULL, f32_f64, f32_i64, f32_u64},
    {f64_f32, NULL, f64_i64, f64_u64},
    {i64_f32, i64_f64, NULL, NULL},
    {u64_f32, u64_f64, NULL, NULL},
};
static const converter truths[ONNX_NUMBERS] = {f32_bool, f64_bool, i64_bool, i64_bool};

static converter find_converter(int32_t from, int32_t to) {
    enum onnx_number number = mmi_onnx_number(from);
    bool is_short = mmi_onnx_number(to) == ONNX_F32 && to != MM_F32;
    if (number == ONNX_F64 && is_short) {
        return f64_odd;
    }
    return to == MM_BOOL ? truths[number] : converters[number][mmi_onnx_number(to)];
}

void mmi_onnx_convert_by(const struct onnx_conversion *conversion, const void *from, uint64_t count,
                         void *to) {
    union onnx_chunk loaded, converted;
    const int32_t from_dtype = conversion->from, to_dtype = conversion->to;
    converter convert = find_converter(from_dtype, to_dtype);
    bool direct = mmi_onnx_is_native(to_dtype) || to_dtype == MM_BOOL;
    for (uint64_t i = 0; i < count; i += ONNX_CHUNK) {
        uint64_t n = mmi_min_u64(ONNX_CHUNK, count - i);
        void *end = (uint8_t *)to + mm_dtype_bytes(to_dtype, i);
        const void *numbers = mmi_onnx_load_numbers(
            from_dtype, (const uint8_t *)from + mm_dtype_bytes(from_dtype, i), n, &loaded);
        if (convert) {
            void *middle = direct ? end : &converted;
            convert(numbers, n, middle);
            numbers = middle;
        }
        if (is_narrow(to_dtype)) {
            store_narrow(to_dtype, numbers, n, conversion->how, end);
        } else if (numbers != end) {
            mmi_onnx_store_numbers(to_dtype, numbers, n, end);
        }
    }
}

void mmi_onnx_convert(int32_t from_dtype, const void *from, uint64_t count, int32_t to_dtype,
                      void *to) {
    mmi_onnx_convert_by(&(struct onnx_conversion){from_dtype, to_dtype, NULL}, from, count, to);
}

const void *mmi_onnx_load_as(enum onnx_number number, int32_t dtype, const void *from,
                             uint64_t count, union onnx_chunk *buffer) {
    if (mmi_onnx_number(dtype) == number) {
        return mmi_onnx_load_numbers(dtype, from, count, buffer);
    }
    mmi_onnx_convert(dtype, from, count, number_types[number], buffer);
    return buffer;
}
