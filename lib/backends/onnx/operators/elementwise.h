/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ELEMENTWISE_H
#define MMI_BACKENDS_ONNX_OPERATORS_ELEMENTWISE_H

/* What operators that compute element by element have in common: each is a loop for each type of
 * number that it computes in, and a set of element types. */

#include <backends/onnx/operators/broadcast.h>
#include <backends/onnx/operators/number.h>

/* Kernels by loops [ONNX_NUMBERS]; NULL for a type of number that no element type of the operator
 * has. A loop writes the type of number that it reads, or bytes where the output is bool. */
void mmi_onnx_run_unary(const struct onnx_call *call, const onnx_unary_loop *loops,
                        const void *params);
/* All is computed in `number`. */
void mmi_onnx_run_binary(const struct onnx_call *call, const onnx_binary_loop *loops,
                         enum onnx_number number);

/* One input of these types; the output is like it. */
mm_status mmi_onnx_infer_unary(struct onnx_inference *x, uint32_t types, mm_error *err);
/* Inputs of one of these types, broadcast; the output is of their type. */
mm_status mmi_onnx_infer_alike(struct onnx_inference *x, uint32_t types, mm_error *err);

/* The loops, of this file alone or of all; T is what is read, To what is written. */
#define ONNX_SHARED_UNARY_LOOP(name, T, To, before, expression)                                    \
    void name(const void *params, const void *from, uint64_t count, void *to) {                    \
        const T *in = from;                                                                        \
        To *out = to;                                                                              \
        (void)params;                                                                              \
        before;                                                                                    \
        ONNX_INDEPENDENT for (uint64_t i = 0; i < count; i++) {                                    \
            T x = in[i];                                                                           \
            out[i] = (To)(expression);                                                             \
        }                                                                                          \
    }
#define ONNX_SHARED_BINARY_LOOP(name, T, To, expression)                                           \
    void name(struct onnx_stretch first, struct onnx_stretch second, uint64_t count, void *to) {   \
        const T *a = first.data, *b = second.data;                                                 \
        To *out = to;                                                                              \
        if (first.step && second.step) {                                                           \
            ONNX_INDEPENDENT for (uint64_t i = 0; i < count; i++) {                                \
                T x = a[i], y = b[i];                                                              \
                out[i] = (To)(expression);                                                         \
            }                                                                                      \
        } else if (first.step) {                                                                   \
            T y = b[0];                                                                            \
            ONNX_INDEPENDENT for (uint64_t i = 0; i < count; i++) {                                \
                T x = a[i];                                                                        \
                out[i] = (To)(expression);                                                         \
            }                                                                                      \
        } else {                                                                                   \
            T x = a[0];                                                                            \
            ONNX_INDEPENDENT for (uint64_t i = 0; i < count; i++) {                                \
                T y = b[i];                                                                        \
                out[i] = (To)(expression);                                                         \
            }                                                                                      \
        }                                                                                          \
    }

#define ONNX_UNARY_LOOP(...) static ONNX_SHARED_UNARY_LOOP(__VA_ARGS__)
#define ONNX_BINARY_LOOP(...) static ONNX_SHARED_BINARY_LOOP(__VA_ARGS__)

/* The operators: their functions, and the constant that names them; what else it says stands
 * behind. */
#define ONNX_INFER(name_, expression)                                                              \
    static mm_status infer_##name_(struct onnx_inference *x, mm_error *err) {                      \
        return expression;                                                                         \
    }
#define ONNX_RUN(name_, statement)                                                                 \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        (void)err;                                                                                 \
        statement;                                                                                 \
        return MM_OK;                                                                              \
    }
#define ONNX_ELEMENTWISE(name_, inputs_, ...)                                                      \
    const struct onnx_operator mmi_onnx_op_##name_ = {.name = #name_,                              \
                                                      .flags = ONNX_OP_IN_PLACE,                   \
                                                      .min_inputs = inputs_,                       \
                                                      .max_inputs = inputs_,                       \
                                                      .min_outputs = 1,                            \
                                                      .max_outputs = 1,                            \
                                                      .infer = infer_##name_,                      \
                                                      .run = run_##name_,                          \
                                                      .order = {ONNX_ORDER_ANY, 0, NULL},          \
                                                      __VA_ARGS__};

/* An operator of one number: floats by the function of its name in functions.def; loops for i64 and
 * u64, or NULL; the struct onnx_alpha (NULL: none) of a call; what else the constant says. */
#define ONNX_UNARY(name_, types, i64, u64, numbers, ...)                                           \
    static const onnx_unary_loop loops_##name_[ONNX_NUMBERS] = {mmi_onnx_f32_##name_,              \
                                                                mmi_onnx_f64_##name_, i64, u64};   \
    ONNX_INFER(name_, mmi_onnx_infer_unary(x, types, err))                                         \
    ONNX_RUN(name_, mmi_onnx_run_unary(call, loops_##name_, numbers))                              \
    ONNX_ELEMENTWISE(name_, 1, .facts = ONNX_FACTS_LIKE_0,                                         \
                     .elementwise = {.form = ONNX_FORM_ONE, .function = ONNX_F_##name_},           \
                     __VA_ARGS__)

#endif
