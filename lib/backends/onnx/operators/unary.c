/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>

#include <tgmath.h>

/* Functions of one number. What is written once is right for f32 and f64: T is the type of x. */

#define UNARY(name, types)                                                                         \
    ONNX_INFER(name, mmi_onnx_infer_unary(x, types, err))                                          \
    ONNX_RUN(name, mmi_onnx_run_unary(call, loops_##name, NULL))                                   \
    ONNX_ELEMENTWISE(name, 1, .facts = ONNX_FACTS_LIKE_0)

#define FUNCTION_OF(name, T, expression) ONNX_UNARY_LOOP(name, T, T, , expression)

/* Of floats. */
#define FLOATS(name, expression)                                                                   \
    FUNCTION_OF(name##_f32, float, expression)                                                     \
    FUNCTION_OF(name##_f64, double, expression)                                                    \
    static const onnx_unary_loop loops_##name[ONNX_NUMBERS] = {name##_f32, name##_f64, NULL,       \
                                                               NULL};                              \
    UNARY(name, ONNX_FLOATS)

FLOATS(Sqrt, sqrt(x))
FLOATS(Reciprocal, 1 / x)
FLOATS(Floor, floor(x))
FLOATS(Ceil, ceil(x))
FLOATS(Round, rint(x)) /* ties to even */
FLOATS(Exp, exp(x))
FLOATS(Log, log(x))
FLOATS(Sin, sin(x))
FLOATS(Cos, cos(x))
FLOATS(Tan, tan(x))
FLOATS(Asin, asin(x))
FLOATS(Acos, acos(x))
FLOATS(Atan, atan(x))
FLOATS(Sinh, sinh(x))
FLOATS(Cosh, cosh(x))
FLOATS(Tanh, tanh(x))
FLOATS(Asinh, asinh(x))
FLOATS(Acosh, acosh(x))
FLOATS(Atanh, atanh(x))

FLOATS(Sigmoid, 1 / (1 + exp(-x)))
FLOATS(Softsign, x / (1 + fabs(x)))

/* log(1 + e^x), which e^x would overflow. */
#define SOFTPLUS(x) (log1p(exp(-fabs(x))) + fmax(x, 0))
FLOATS(Softplus, SOFTPLUS(x))
FLOATS(Mish, x *tanh(SOFTPLUS(x)))

/* Of all numbers. */
#define REALS(name, types, of_float, of_signed, of_unsigned)                                       \
    FUNCTION_OF(name##_f32, float, of_float)                                                       \
    FUNCTION_OF(name##_f64, double, of_float)                                                      \
    FUNCTION_OF(name##_i64, int64_t, of_signed)                                                    \
    FUNCTION_OF(name##_u64, uint64_t, of_unsigned)                                                 \
    static const onnx_unary_loop loops_##name[ONNX_NUMBERS] = {name##_f32, name##_f64, name##_i64, \
                                                               name##_u64};                        \
    UNARY(name, types)

/* Integers modulo 2^64: the least of all is its own negative. */
REALS(Neg, ONNX_FLOATS | ONNX_SIGNED, -x, 0 - (uint64_t)x, 0 - x)
REALS(Abs, ONNX_REALS, fabs(x), x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x)
REALS(Sign, ONNX_REALS, x > 0 ? 1 : x < 0 ? -1 : x, (x > 0) - (x < 0), x > 0)
REALS(Relu, ONNX_FLOATS | ONNX_SIGNED, x < 0 ? 0 : x, x < 0 ? 0 : x, x)
REALS(Erf, ONNX_REALS, erf(x), erf((double)x), erf((double)x))

FUNCTION_OF(BitwiseNot_u64, uint64_t, ~x)
static const onnx_unary_loop loops_BitwiseNot[ONNX_NUMBERS] = {NULL, NULL, BitwiseNot_u64,
                                                               BitwiseNot_u64};
UNARY(BitwiseNot, ONNX_INTEGERS)
