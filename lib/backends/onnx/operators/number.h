/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_NUMBER_H
#define MMI_BACKENDS_ONNX_OPERATORS_NUMBER_H

/* Plain kernels compute in four types of number, which serve all element types: f16, bf16 and
 * narrower floats as f32, integers and bool as i64 (their results modulo 2^bits), u64 for
 * itself. */

#include <backends/onnx/graph/narrow.h>
#include <backends/onnx/operators/operator.h>

enum onnx_number { ONNX_F32, ONNX_F64, ONNX_I64, ONNX_U64, ONNX_NUMBERS };

/* Sets of element types. */
#define ONNX_TYPE(dtype) (1u << (dtype))
#define ONNX_FLOATS (ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F64) | ONNX_TYPE(MM_F16) | ONNX_TYPE(MM_BF16))
#define ONNX_SIGNED (ONNX_TYPE(MM_I8) | ONNX_TYPE(MM_I16) | ONNX_TYPE(MM_I32) | ONNX_TYPE(MM_I64))
#define ONNX_UNSIGNED (ONNX_TYPE(MM_U8) | ONNX_TYPE(MM_U16) | ONNX_TYPE(MM_U32) | ONNX_TYPE(MM_U64))
#define ONNX_BOOL ONNX_TYPE(MM_BOOL)
#define ONNX_INTEGERS (ONNX_SIGNED | ONNX_UNSIGNED)
#define ONNX_REALS (ONNX_FLOATS | ONNX_INTEGERS)
/* Of 8 bits and fewer: what only casts, quantisation and what moves elements take. */
#define ONNX_FLOATS_8                                                                              \
    (ONNX_TYPE(MM_F8E4M3FN) | ONNX_TYPE(MM_F8E4M3FNUZ) | ONNX_TYPE(MM_F8E5M2) |                    \
     ONNX_TYPE(MM_F8E5M2FNUZ))
#define ONNX_SMALL_INTEGERS                                                                        \
    (ONNX_TYPE(MM_I4) | ONNX_TYPE(MM_U4) | ONNX_TYPE(MM_I2) | ONNX_TYPE(MM_U2))
#define ONNX_NARROW                                                                                \
    (ONNX_FLOATS_8 | ONNX_SMALL_INTEGERS | ONNX_TYPE(MM_F8E8M0) | ONNX_TYPE(MM_F4E2M1))

/* MM_UNSUPPORTED, with the types that are taken, where an input that is there has another. */
mm_status mmi_onnx_check_type(const struct onnx_inference *x, uint32_t input, uint32_t types,
                              mm_error *err);
/* The same for all inputs, and MM_INVALID_MODEL where they are not all of one type. */
mm_status mmi_onnx_check_types(const struct onnx_inference *x, uint32_t types, mm_error *err);

/* What a type in ONNX_REALS, ONNX_NARROW or bool is computed in, and whether it is that type
 * itself. */
enum onnx_number mmi_onnx_number(int32_t dtype);
bool mmi_onnx_is_native(int32_t dtype);
/* That type as an mm_dtype. */
int32_t mmi_onnx_number_type(enum onnx_number number);

/* Elements that a buffer of numbers has room for. */
#define ONNX_CHUNK 512
union onnx_chunk {
    float f32[ONNX_CHUNK];
    double f64[ONNX_CHUNK];
    int64_t i64[ONNX_CHUNK];
    uint64_t u64[ONNX_CHUNK];
};

/* `count` elements in the type that they are computed in: `from` itself where that is their type,
 * else the buffer, and count is at most ONNX_CHUNK. Packed elements begin with a byte. */
const void *mmi_onnx_load_numbers(int32_t dtype, const void *from, uint64_t count,
                                  union onnx_chunk *buffer);
/* The same in another type of number than their own. */
const void *mmi_onnx_load_as(enum onnx_number number, int32_t dtype, const void *from,
                             uint64_t count, union onnx_chunk *buffer);
/* And back from their own, rounded to nearest, ties to even; integers keep their low bits, floats
 * of 8 bits and fewer saturate. `from` may be `to`, unless that is packed. */
void mmi_onnx_store_numbers(int32_t dtype, const void *from, uint64_t count, void *to);
/* ONNX's Cast of any number of elements: floats are cut towards 0, and 0 where they are no number
 * or beyond 64 bits. Elements of one width may be cast in place. */
void mmi_onnx_convert(int32_t from_dtype, const void *from, uint64_t count, int32_t to_dtype,
                      void *to);
/* The same with another rule for narrow floats; NULL: that of store_numbers. */
struct onnx_conversion {
    int32_t from, to; /* dtypes */
    const struct onnx_narrowing *how;
};
void mmi_onnx_convert_by(const struct onnx_conversion *conversion, const void *from, uint64_t count,
                         void *to);

#endif
