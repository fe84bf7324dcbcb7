/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_FOURIER_H
#define MMI_BACKENDS_ONNX_OPERATORS_FOURIER_H

/* The discrete Fourier transform of any length in O(n log n), in f64. A power of two by halving,
 * every other length as a convolution of such a one (Bluestein). */

#include <stdbool.h>
#include <stdint.h>

struct onnx_complex {
    double re, im;
};

struct onnx_fourier {
    uint64_t length, power;      /* power: of two; length itself, or 2 * length - 1 or more */
    struct onnx_complex *data;   /* [length], in and out */
    struct onnx_complex *roots;  /* [power / 2] */
    struct onnx_complex *chirp;  /* [length]; these only where length is no power of two */
    struct onnx_complex *filter; /* [power], transformed */
    struct onnx_complex *work;   /* [power] */
};

/* Of what it needs; false: too long. */
bool mmi_onnx_fourier_bytes(uint64_t length, uint64_t *bytes);
/* `room` has that many bytes. length is 1 or more. */
void mmi_onnx_fourier_begin(struct onnx_fourier *fourier, uint64_t length, void *room);
/* Transform fourier->data; inverse: with the sign turned around, and not divided by anything. */
void mmi_onnx_fourier_run(const struct onnx_fourier *fourier, bool inverse);

#endif
