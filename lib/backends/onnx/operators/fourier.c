/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/fourier.h>
#include <base/checked.h>

#include <math.h>
#include <string.h>

#define MAX_LENGTH (UINT64_C(1) << 40)

static bool is_power(uint64_t length) {
    return (length & (length - 1)) == 0;
}

static uint64_t power_of(uint64_t length) {
    uint64_t power = 1, wanted = is_power(length) ? length : 2 * length - 1;
    while (power < wanted) {
        power *= 2;
    }
    return power;
}

bool mmi_onnx_fourier_bytes(uint64_t length, uint64_t *bytes) {
    if (length > MAX_LENGTH) {
        return false;
    }
    uint64_t power = power_of(length), count = length + power / 2;
    count += is_power(length) ? 0 : length + 2 * power;
    *bytes = count * sizeof(struct onnx_complex);
    return true;
}

static inline struct onnx_complex times(struct onnx_complex a, struct onnx_complex b) {
    return (struct onnx_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static struct onnx_complex conjugate(struct onnx_complex a) {
    return (struct onnx_complex){a.re, -a.im};
}

/* e^(-2 pi i part / whole). */
static struct onnx_complex root(uint64_t part, uint64_t whole) {
    double angle = -2 * M_PI * ((double)part / (double)whole);
    return (struct onnx_complex){cos(angle), sin(angle)};
}

/* ---- Powers of two --------------------------------------------------------------------------- */

static void reverse_bits(struct onnx_complex *data, uint64_t length) {
    for (uint64_t i = 0, j = 0; i < length; i++) {
        if (i < j) {
            struct onnx_complex swapped = data[i];
            data[i] = data[j];
            data[j] = swapped;
        }
        uint64_t bit = length >> 1;
        for (; bit > 0 && j & bit; bit >>= 1) {
            j ^= bit;
        }
        j |= bit;
    }
}

static void transform(const struct onnx_fourier *fourier, struct onnx_complex *data) {
    uint64_t length = fourier->power;
    reverse_bits(data, length);
    for (uint64_t half = 1; half < length; half *= 2) {
        uint64_t step = length / 2 / half;
        for (uint64_t first = 0; first < length; first += 2 * half) {
            struct onnx_complex *a = data + first, *b = a + half;
            for (uint64_t i = 0; i < half; i++) {
                struct onnx_complex x = a[i], y = times(b[i], fourier->roots[i * step]);
                a[i] = (struct onnx_complex){x.re + y.re, x.im + y.im};
                b[i] = (struct onnx_complex){x.re - y.re, x.im - y.im};
            }
        }
    }
}

/* ---- Every other length ---------------------------------------------------------------------- */

/* chirp k is e^(-pi i k^2 / length); the filter is the transform of its conjugate, both ways. */
static void begin_chirp(struct onnx_fourier *fourier) {
    uint64_t length = fourier->length, square = 0; /* modulo 2 * length */
    memset(fourier->filter, 0, fourier->power * sizeof(*fourier->filter));
    for (uint64_t k = 0; k < length; k++) {
        fourier->chirp[k] = root(square, 2 * length);
        square = (square + 2 * k + 1) % (2 * length);
        fourier->filter[k] = conjugate(fourier->chirp[k]);
        fourier->filter[k > 0 ? fourier->power - k : 0] = fourier->filter[k];
    }
    transform(fourier, fourier->filter);
}

static void transform_chirp(const struct onnx_fourier *fourier) {
    uint64_t length = fourier->length, power = fourier->power;
    struct onnx_complex *work = fourier->work;
    for (uint64_t i = 0; i < length; i++) {
        work[i] = times(fourier->data[i], fourier->chirp[i]);
    }
    memset(work + length, 0, (power - length) * sizeof(*work));
    transform(fourier, work);
    for (uint64_t i = 0; i < power; i++) { /* conjugated before and after: the way back */
        work[i] = conjugate(times(work[i], fourier->filter[i]));
    }
    transform(fourier, work);
    for (uint64_t i = 0; i < length; i++) {
        struct onnx_complex sum = conjugate(work[i]);
        sum = (struct onnx_complex){sum.re / (double)power, sum.im / (double)power};
        fourier->data[i] = times(sum, fourier->chirp[i]);
    }
}

/* ---- Any length ------------------------------------------------------------------------------ */

void mmi_onnx_fourier_begin(struct onnx_fourier *fourier, uint64_t length, void *room) {
    *fourier = (struct onnx_fourier){.length = length, .power = power_of(length), .data = room};
    fourier->roots = fourier->data + length;
    for (uint64_t i = 0; i < fourier->power / 2; i++) {
        fourier->roots[i] = root(i, fourier->power);
    }
    if (!is_power(length)) {
        fourier->chirp = fourier->roots + fourier->power / 2;
        fourier->filter = fourier->chirp + length;
        fourier->work = fourier->filter + fourier->power;
        begin_chirp(fourier);
    }
}

void mmi_onnx_fourier_run(const struct onnx_fourier *fourier, bool inverse) {
    for (uint64_t i = 0; inverse && i < fourier->length; i++) {
        fourier->data[i] = conjugate(fourier->data[i]);
    }
    if (fourier->chirp) {
        transform_chirp(fourier);
    } else {
        transform(fourier, fourier->data);
    }
    for (uint64_t i = 0; inverse && i < fourier->length; i++) {
        fourier->data[i] = conjugate(fourier->data[i]);
    }
}
