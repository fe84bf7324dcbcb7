/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <backends/onnx/operators/functions.h>

#include <tgmath.h>

/* What an expression of functions.def means for a float or a double x. */
#define N(number) ((__typeof__(x))(number))
#define SELECT(condition, yes, no) ((condition) ? (yes) : (no))
#define MIN(p, q) ((p) < (q) ? (p) : (q))
#define MAX(p, q) ((p) > (q) ? (p) : (q))
#define CLAMP(p, low, high) MIN(high, MAX(low, p))
#define FMA(p, q, r) ((p) * (q) + (r))
#define ABS fabs
#define SQRT sqrt
#define FLOOR floor
#define CEIL ceil
#define ROUND rint
#define EXP exp
#define LOG log
#define TANH tanh
#define ERF erf
#define EXPM1 expm1
#define LOG1P log1p
#define POW pow
#define EACH(function, p) function(p)
#define EACH_2(function, p, q) function(p, q)

#define BEFORE(T)                                                                                  \
    const struct onnx_alpha *numbers = params;                                                     \
    T a = numbers ? (T)numbers->alpha : 0;                                                         \
    T b = numbers ? (T)numbers->beta : 0;                                                          \
    (void)a;                                                                                       \
    (void)b

#define ONNX_FUNCTION_2(name, cost, expression)                                                    \
    ONNX_SHARED_BINARY_LOOP(mmi_onnx_f32_##name, float, float, expression)                         \
    ONNX_SHARED_BINARY_LOOP(mmi_onnx_f64_##name, double, double, expression)
#define ONNX_FUNCTION_1(name, cost, expression)                                                    \
    ONNX_SHARED_UNARY_LOOP(mmi_onnx_f32_##name, float, float, BEFORE(float), expression)           \
    ONNX_SHARED_UNARY_LOOP(mmi_onnx_f64_##name, double, double, BEFORE(double), expression)
#include <backends/onnx/operators/functions.def>

const struct onnx_function mmi_onnx_functions[ONNX_FUNCTIONS] = {
#define ONNX_FUNCTION_2(name, cost, expression)                                                    \
    [ONNX_F_##name] = {#name, NULL, mmi_onnx_f32_##name, cost},
#define ONNX_FUNCTION_1(name, cost, expression)                                                    \
    [ONNX_F_##name] = {#name, mmi_onnx_f32_##name, NULL, cost},
#include <backends/onnx/operators/functions.def>
};

/* FNV-1a. */
uint64_t mmi_onnx_functions_hash(void) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int32_t kind = 0; kind < ONNX_FUNCTIONS; kind++) {
        const char *name = mmi_onnx_functions[kind].name;
        for (const char *at = name ? name : ""; *at; at++) {
            hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
        }
        hash = (hash ^ '\n') * UINT64_C(0x100000001b3);
    }
    return hash;
}
