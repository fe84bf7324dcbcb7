/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_FUNCTIONS_H
#define MMI_BACKENDS_ONNX_OPERATORS_FUNCTIONS_H

/* The elementwise functions of functions.def by number, and their plain loops. */

#include <stdbool.h>
#include <stdint.h>

/* For a loop whose turns do not depend on each other, although what it writes may be what it reads:
 * element i is written after element i was read. */
#ifdef __clang__
/* not every such loop can be vectorised; before functions.def is included for the first time */
#pragma clang diagnostic ignored "-Wpass-failed"
#define ONNX_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define ONNX_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Only those of functions.def, in its order. */
enum onnx_function_kind {
    ONNX_F_NONE = 0,
#define ONNX_FUNCTION_2(name, cost, expression) ONNX_F_##name,
#include <backends/onnx/operators/functions.def>
    ONNX_F_OF_TWO_END,
#define ONNX_FUNCTION_1(name, cost, expression) ONNX_F_##name,
#include <backends/onnx/operators/functions.def>
    ONNX_FUNCTIONS
};

static inline bool mmi_onnx_of_two(int32_t kind) {
    return kind > ONNX_F_NONE && kind < ONNX_F_OF_TWO_END;
}
static inline bool mmi_onnx_of_one(int32_t kind) {
    return kind > ONNX_F_OF_TWO_END && kind < ONNX_FUNCTIONS;
}

/* Of names and order: who stores a kind stores this beside it. */
uint64_t mmi_onnx_functions_hash(void);

/* The numbers a and b of a function; operators have them from attributes. Selu has its gamma in
 * beta, Shrink its lambd in alpha and its bias in beta; those with one number leave beta 0. */
struct onnx_alpha {
    float alpha, beta;
};

struct onnx_stretch {
    const void *data;
    uint32_t step; /* elements from one to the next: 1, or 0 where one serves the whole stretch */
};

/* out[i] = f(in[i]). `to` may be `from`. */
typedef void (*onnx_unary_loop)(const void *params, const void *from, uint64_t count, void *to);
/* out[i] = f(a[i], b[i]); not both of them are repeated, unless count is 1. `to` may be either. */
typedef void (*onnx_binary_loop)(struct onnx_stretch a, struct onnx_stretch b, uint64_t count,
                                 void *to);

/* mmi_onnx_f32_Add(...), mmi_onnx_f64_Relu(...): params of the unary ones is a struct
 * onnx_alpha, or NULL where there are no numbers. */
#define ONNX_FUNCTION_2(name, cost, expression)                                                    \
    void mmi_onnx_f32_##name(struct onnx_stretch a, struct onnx_stretch b, uint64_t count,         \
                             void *to);                                                            \
    void mmi_onnx_f64_##name(struct onnx_stretch a, struct onnx_stretch b, uint64_t count,         \
                             void *to);
#define ONNX_FUNCTION_1(name, cost, expression)                                                    \
    void mmi_onnx_f32_##name(const void *params, const void *from, uint64_t count, void *to);      \
    void mmi_onnx_f64_##name(const void *params, const void *from, uint64_t count, void *to);
#include <backends/onnx/operators/functions.def>

struct onnx_function {
    const char *name;
    onnx_unary_loop one;  /* f32; NULL: a function of two */
    onnx_binary_loop two; /* f32; NULL: a function of one */
    uint32_t cost_quarter_ns;
};
/* [kind]; no function at ONNX_F_NONE and ONNX_F_OF_TWO_END. */
extern const struct onnx_function mmi_onnx_functions[ONNX_FUNCTIONS];

#endif
