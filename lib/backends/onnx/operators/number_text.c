/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/number_text.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The C locale, whatever the program has -------------------------------------------------- */

struct plain_locale {
    locale_t own, before;
};

static mm_status enter_locale(struct plain_locale *plain, mm_error *err) {
    plain->own = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (plain->own == (locale_t)0) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory for a locale");
    }
    plain->before = uselocale(plain->own);
    return MM_OK;
}

static void leave_locale(const struct plain_locale *plain) {
    uselocale(plain->before);
    freelocale(plain->own);
}

/* ---- Reading --------------------------------------------------------------------------------- */

#define MAX_TEXT 400 /* of a number that is read */

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* NUL-terminated and without blanks around; false: too long, or it has a NUL. */
static bool take_text(const struct onnx_string *string, char text[MAX_TEXT]) {
    const char *at = string->at;
    uint64_t bytes = string->bytes;
    while (bytes > 0 && is_blank(*at)) {
        at++;
        bytes--;
    }
    while (bytes > 0 && is_blank(at[bytes - 1])) {
        bytes--;
    }
    if (bytes == 0 || bytes >= MAX_TEXT || memchr(at, 0, bytes)) {
        return false;
    }
    memcpy(text, at, bytes);
    text[bytes] = '\0';
    return true;
}

/* As a number of the kind that elements of the result are computed in; numbers: where it goes. A
 * f32 is rounded once. */
static bool read_number(const char *text, enum onnx_number number, union onnx_chunk *numbers,
                        uint64_t i) {
    char *end = NULL;
    bool whole = text[strspn(text, "+-0123456789")] == '\0';
    switch (number) {
    case ONNX_F32:
        numbers->f32[i] = strtof(text, &end);
        break;
    case ONNX_F64:
        numbers->f64[i] = strtod(text, &end);
        break;
    default:
        if (whole && (number == ONNX_I64 || text[0] == '-')) {
            numbers->i64[i] = strtoll(text, &end, 10);
        } else if (whole) {
            numbers->u64[i] = strtoull(text, &end, 10);
        } else {
            double value = strtod(text, &end);
            mmi_onnx_convert(MM_F64, &value, 1, mmi_onnx_number_type(number), &numbers->i64[i]);
        }
        break;
    }
    return end != text && *end == '\0';
}

static mm_status refuse(const struct onnx_string *string, uint64_t index, mm_error *err) {
    int shown = string->bytes < 40 ? (int)string->bytes : 40;
    return mmi_fail(err, MM_INVALID_ARGUMENT,
                    "element %" PRIu64 " of its input, '%.*s', is no number", index, shown,
                    string->bytes > 0 ? string->at : "");
}

static mm_status read_all(const struct onnx_call *call, const struct onnx_conversion *conversion,
                          mm_error *err) {
    const struct onnx_string *strings = call->in[0];
    enum onnx_number number = mmi_onnx_number(conversion->to);
    bool wide = conversion->to == MM_F16 || conversion->to == MM_BF16 || conversion->to == MM_BOOL;
    number = wide ? ONNX_F64 : number; /* cut or rounded once */
    struct onnx_conversion rest = *conversion;
    rest.from = mmi_onnx_number_type(number);
    uint64_t elements = call->inputs[0].elements;
    for (uint64_t done = 0; done < elements; done += ONNX_CHUNK) {
        union onnx_chunk numbers;
        uint64_t count = mmi_min_u64(elements - done, ONNX_CHUNK);
        for (uint64_t i = 0; i < count; i++) {
            char text[MAX_TEXT];
            if (!take_text(&strings[done + i], text) || !read_number(text, number, &numbers, i)) {
                return refuse(&strings[done + i], done + i, err);
            }
        }
        mmi_onnx_convert_by(&rest, &numbers, count,
                            (uint8_t *)call->out[0] + mm_dtype_bytes(conversion->to, done));
    }
    return MM_OK;
}

mm_status mmi_onnx_read_numbers(const struct onnx_call *call,
                                const struct onnx_conversion *conversion, mm_error *err) {
    struct plain_locale plain = {0};
    MMI_TRY(enter_locale(&plain, err));
    mm_status status = read_all(call, conversion, err);
    leave_locale(&plain);
    return status;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Whether so many digits are enough for the value, of this type. */
static bool is_exact(double value, int32_t dtype, const char *text) {
    double back = dtype == MM_F64 ? strtod(text, NULL) : (double)strtof(text, NULL);
    uint64_t own = 0, other = 0;
    if (dtype == MM_F32 || dtype == MM_F64) {
        return back == value;
    }
    mmi_onnx_convert(MM_F64, &value, 1, dtype, &own);
    mmi_onnx_convert(MM_F64, &back, 1, dtype, &other);
    return own == other;
}

/* digits: "d.ddde-07". As a decimal where that is not too long. */
static int lay_out(const char *digits, char text[ONNX_NUMBER_TEXT]) {
    int exponent = atoi(strchr(digits, 'e') + 1), count = (int)(strchr(digits, 'e') - digits);
    bool negative = digits[0] == '-';
    char plain[24];
    int n = 0;
    for (int i = negative; i < count; i++) {
        if (digits[i] != '.') {
            plain[n++] = digits[i];
        }
    }
    const char *sign = negative ? "-" : "";
    if (exponent < -4 || exponent >= 16) {
        return snprintf(text, ONNX_NUMBER_TEXT, "%s%.1s%s%.*se%+03d", sign, plain, n > 1 ? "." : "",
                        n - 1, plain + 1, exponent);
    }
    if (exponent < 0) {
        return snprintf(text, ONNX_NUMBER_TEXT, "%s0.%.*s%.*s", sign, -exponent - 1, "0000", n,
                        plain);
    }
    int whole = exponent + 1 < n ? exponent + 1 : n, zeros = exponent + 1 - whole;
    return snprintf(text, ONNX_NUMBER_TEXT, "%s%.*s%.*s.%.*s", sign, whole, plain, zeros,
                    "0000000000000000", n > whole ? n - whole : 1, n > whole ? plain + whole : "0");
}

static int write_float(double value, int32_t dtype, char text[ONNX_NUMBER_TEXT]) {
    char digits[40];
    if (isnan(value) || isinf(value)) {
        return snprintf(text, ONNX_NUMBER_TEXT, "%s",
                        isnan(value) ? "NaN"
                        : value > 0  ? "INF"
                                     : "-INF");
    }
    int precision = 0;
    do {
        snprintf(digits, sizeof(digits), "%.*e", precision, value);
    } while (precision++ < 16 && !is_exact(value, dtype, digits));
    return lay_out(digits, text);
}

static int write_number(const struct onnx_tensor *input, uint64_t i, char text[ONNX_NUMBER_TEXT]) {
    enum onnx_number number = mmi_onnx_number(input->dtype);
    if (number == ONNX_F32 || number == ONNX_F64) {
        return write_float(mmi_onnx_float_at(input, i), input->dtype, text);
    }
    int64_t value = mmi_onnx_int_at(input, i);
    return number == ONNX_U64 ? snprintf(text, ONNX_NUMBER_TEXT, "%" PRIu64, (uint64_t)value)
                              : snprintf(text, ONNX_NUMBER_TEXT, "%" PRId64, value);
}

static mm_status write_all(const struct onnx_call *call, mm_error *err) {
    enum { CHUNK = 256 };
    struct onnx_tensor input = call->inputs[0];
    struct onnx_string *strings = call->out[0];
    input.data = call->in[0];
    for (uint64_t done = 0; done < input.elements; done += CHUNK) {
        char text[CHUNK * ONNX_NUMBER_TEXT];
        uint64_t count = mmi_min_u64(input.elements - done, CHUNK), bytes = 0;
        for (uint64_t i = 0; i < count; i++) {
            int length = write_number(&input, done + i, text + bytes);
            strings[done + i] = (struct onnx_string){NULL, (uint64_t)length};
            bytes += (uint64_t)length;
        }
        char *kept = call->take_text ? call->take_text(call->text_ctx, bytes) : NULL;
        if (!kept) {
            return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS,
                            "no room for %" PRIu64 " bytes of text", bytes);
        }
        memcpy(kept, text, bytes);
        for (uint64_t i = 0; i < count; i++) {
            strings[done + i].at = kept;
            kept += strings[done + i].bytes;
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_write_numbers(const struct onnx_call *call, mm_error *err) {
    struct plain_locale plain = {0};
    MMI_TRY(enter_locale(&plain, err));
    mm_status status = write_all(call, err);
    leave_locale(&plain);
    return status;
}
