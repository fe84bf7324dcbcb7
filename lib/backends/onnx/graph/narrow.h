/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_GRAPH_NARROW_H
#define MMI_BACKENDS_ONNX_GRAPH_NARROW_H

/* Elements of 8 bits and fewer that are no plain integers: small floats, and numbers of 4 and 2
 * bits that share a byte, the first one in the low bits. */

#include <modelmesh/types.h>

#include <stdbool.h>

/* 4 or 2 where elements share bytes, else 0. */
uint32_t mmi_onnx_packed_bits(int32_t dtype);
/* f8*, f4e2m1. */
bool mmi_onnx_is_narrow_float(int32_t dtype);

/* Each element in the low bits of a byte of its own; and back. */
void mmi_onnx_unpack_bits(int32_t dtype, const void *from, uint64_t count, uint8_t *to);
void mmi_onnx_pack_bits(int32_t dtype, const uint8_t *from, uint64_t count, void *to);

/* Packed elements from one place to another, each counted in elements; the bits of others stay. */
void mmi_onnx_move_bits(int32_t dtype, const void *from, uint64_t from_element, void *to,
                        uint64_t to_element, uint64_t count);
/* The same of any type, packed or not. */
void mmi_onnx_copy_elements(int32_t dtype, const void *from, uint64_t from_element, void *to,
                            uint64_t to_element, uint64_t count);

/* How a float becomes a narrow one. Of all but f8e8m0: to nearest, ties to even. */
enum onnx_round { ONNX_ROUND_UP = 0, ONNX_ROUND_DOWN, ONNX_ROUND_NEAREST }; /* f8e8m0 alone */
struct onnx_narrowing {
    int32_t round;    /* enum onnx_round */
    int32_t saturate; /* 0: what is too large becomes infinity, or NaN where there is none */
};

/* The bits of one element, in the low bits of a byte. */
float mmi_onnx_narrow_value(int32_t dtype, uint8_t bits);
uint8_t mmi_onnx_narrow_bits(int32_t dtype, float value, const struct onnx_narrowing *how);
/* The same for many, each in a byte of its own. */
void mmi_onnx_widen(int32_t dtype, const uint8_t *from, uint64_t count, float *to);
void mmi_onnx_narrow(int32_t dtype, const float *from, uint64_t count,
                     const struct onnx_narrowing *how, uint8_t *to);
/* One element of i4, u4, i2, u2 from its bits. */
int64_t mmi_onnx_packed_value(int32_t dtype, uint8_t bits);

#endif
