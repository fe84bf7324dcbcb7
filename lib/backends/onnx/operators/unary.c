/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>

#include <math.h>

/* Operators of one number without attributes. Floats are computed by the functions of
 * functions.def. */

#define FLOATS(name) ONNX_UNARY(name, ONNX_FLOATS, NULL, NULL, NULL, )
FLOATS(Sqrt)
FLOATS(Reciprocal)
FLOATS(Floor)
FLOATS(Ceil)
FLOATS(Round)
FLOATS(Exp)
FLOATS(Log)
FLOATS(Sin)
FLOATS(Cos)
FLOATS(Tan)
FLOATS(Asin)
FLOATS(Acos)
FLOATS(Atan)
FLOATS(Sinh)
FLOATS(Cosh)
FLOATS(Tanh)
FLOATS(Asinh)
FLOATS(Acosh)
FLOATS(Atanh)
FLOATS(Sigmoid)
FLOATS(Softsign)
FLOATS(Softplus)
FLOATS(Mish)

/* Of integers, too. */
#define REALS(name, types, of_signed, of_unsigned)                                                 \
    ONNX_UNARY_LOOP(name##_i64, int64_t, int64_t, , of_signed)                                     \
    ONNX_UNARY_LOOP(name##_u64, uint64_t, uint64_t, , of_unsigned)                                 \
    ONNX_UNARY(name, types, name##_i64, name##_u64, NULL, )

/* Modulo 2^64: the least of all is its own negative. */
REALS(Neg, ONNX_FLOATS | ONNX_SIGNED, 0 - (uint64_t)x, 0 - x)
REALS(Abs, ONNX_REALS, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x)
REALS(Sign, ONNX_REALS, (x > 0) - (x < 0), x > 0)
REALS(Relu, ONNX_FLOATS | ONNX_SIGNED, x < 0 ? 0 : x, x)
REALS(Erf, ONNX_REALS, erf((double)x), erf((double)x))

ONNX_UNARY_LOOP(BitwiseNot_u64, uint64_t, uint64_t, , ~x)
static const onnx_unary_loop loops_BitwiseNot[ONNX_NUMBERS] = {NULL, NULL, BitwiseNot_u64,
                                                               BitwiseNot_u64};
ONNX_INFER(BitwiseNot, mmi_onnx_infer_unary(x, ONNX_INTEGERS, err))
ONNX_RUN(BitwiseNot, mmi_onnx_run_unary(call, loops_BitwiseNot, NULL))
ONNX_ELEMENTWISE(BitwiseNot, 1, .facts = ONNX_FACTS_LIKE_0)
