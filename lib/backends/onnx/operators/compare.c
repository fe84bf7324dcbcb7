/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/each.h>
#include <backends/onnx/operators/elementwise.h>
#include <backends/onnx/operators/lookup.h>
#include <backends/onnx/operators/move.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>
#include <string.h>

/* What gives bool, and what takes it. */

/* ---- Two numbers, two truths ----------------------------------------------------------------- */

static mm_status infer_bool(struct onnx_inference *x, uint32_t types, mm_error *err) {
    MMI_TRY(mmi_onnx_check_types(x, types, err));
    return mmi_onnx_infer_broadcast(x, MM_BOOL, err);
}

#define RELATION_LOOPS(name, expression)                                                           \
    ONNX_BINARY_LOOP(name##_f32, float, uint8_t, expression)                                       \
    ONNX_BINARY_LOOP(name##_f64, double, uint8_t, expression)                                      \
    ONNX_BINARY_LOOP(name##_i64, int64_t, uint8_t, expression)                                     \
    ONNX_BINARY_LOOP(name##_u64, uint64_t, uint8_t, expression)                                    \
    static const onnx_binary_loop loops_##name[ONNX_NUMBERS] = {name##_f32, name##_f64,            \
                                                                name##_i64, name##_u64};
#define RELATION(name, types, expression)                                                          \
    RELATION_LOOPS(name, expression)                                                               \
    ONNX_INFER(name, infer_bool(x, types, err))                                                    \
    ONNX_RUN(name,                                                                                 \
             mmi_onnx_run_binary(call, loops_##name, mmi_onnx_number(call->inputs[0].dtype)))      \
    ONNX_ELEMENTWISE(name, 2, .facts = {MM_BOOL, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0})
RELATION(Greater, ONNX_REALS, x > y)
RELATION(GreaterOrEqual, ONNX_REALS, x >= y)
RELATION(Less, ONNX_REALS, x < y)
RELATION(LessOrEqual, ONNX_REALS, x <= y)

/* Also of texts. */
RELATION_LOOPS(Equal, x == y)
ONNX_INFER(Equal, infer_bool(x, ONNX_REALS | ONNX_BOOL | ONNX_TYPE(MM_STRING), err))

static void equal_strings(const struct onnx_call *call) {
    const struct onnx_string *a = call->in[0], *b = call->in[1];
    uint8_t *out = call->out[0];
    struct onnx_each each;
    mmi_onnx_each_set(&each, &call->outputs[0], call->inputs, 2);
    for (uint64_t i = 0; out && i < call->outputs[0].elements; i++, mmi_onnx_each_next(&each)) {
        out[i] = mmi_onnx_compare(MM_STRING, &a[each.at[0]], &b[each.at[1]]) == 0;
    }
}

static mm_status run_Equal(const struct onnx_call *call, mm_error *err) {
    (void)err;
    if (call->inputs[0].dtype == MM_STRING) {
        equal_strings(call);
    } else {
        mmi_onnx_run_binary(call, loops_Equal, mmi_onnx_number(call->inputs[0].dtype));
    }
    return MM_OK;
}
ONNX_ELEMENTWISE(Equal, 2, .facts = {MM_BOOL, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0})

#define LOGIC(name, expression)                                                                    \
    ONNX_BINARY_LOOP(name##_i64, int64_t, uint8_t, expression)                                     \
    static const onnx_binary_loop loops_##name[ONNX_NUMBERS] = {[ONNX_I64] = name##_i64};          \
    ONNX_INFER(name, infer_bool(x, ONNX_BOOL, err))                                                \
    ONNX_RUN(name, mmi_onnx_run_binary(call, loops_##name, ONNX_I64))                              \
    ONNX_ELEMENTWISE(name, 2, .facts = {MM_BOOL, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0})
LOGIC(And, x &&y)
LOGIC(Or, x || y)
LOGIC(Xor, !x != !y)

/* ---- One ------------------------------------------------------------------------------------- */

ONNX_UNARY_LOOP(Not_i64, int64_t, uint8_t, , !x)
static const onnx_unary_loop loops_Not[ONNX_NUMBERS] = {[ONNX_I64] = Not_i64};
ONNX_INFER(Not, infer_bool(x, ONNX_BOOL, err))
ONNX_RUN(Not, mmi_onnx_run_unary(call, loops_Not, NULL))
ONNX_ELEMENTWISE(Not, 1, .facts = {MM_BOOL, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0})

ONNX_UNARY_LOOP(IsNaN_f32, float, uint8_t, , isnan(x))
ONNX_UNARY_LOOP(IsNaN_f64, double, uint8_t, , isnan(x))
static const onnx_unary_loop loops_IsNaN[ONNX_NUMBERS] = {IsNaN_f32, IsNaN_f64, NULL, NULL};
ONNX_INFER(IsNaN, infer_bool(x, ONNX_FLOATS | ONNX_FLOATS_8, err))
ONNX_RUN(IsNaN, mmi_onnx_run_unary(call, loops_IsNaN, NULL))
ONNX_ELEMENTWISE(IsNaN, 1, .facts = {MM_BOOL, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0})

struct is_inf {
    int64_t positive, negative; /* counts */
};
#define IS_INF(name, T)                                                                            \
    ONNX_UNARY_LOOP(name, T, uint8_t, const struct is_inf *p = params;                             \
                    bool positive = p->positive;                                                   \
                    bool negative = p->negative, isinf(x) && (x > 0 ? positive : negative))
IS_INF(IsInf_f32, float)
IS_INF(IsInf_f64, double)
static const onnx_unary_loop loops_IsInf[ONNX_NUMBERS] = {IsInf_f32, IsInf_f64, NULL, NULL};

static mm_status read_is_inf(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct is_inf *is_inf = params;
    MMI_TRY(mmi_onnx_read_int(a, "detect_positive", 1, &is_inf->positive, err));
    return mmi_onnx_read_int(a, "detect_negative", 1, &is_inf->negative, err);
}
ONNX_INFER(IsInf, infer_bool(x, ONNX_FLOATS | ONNX_FLOATS_8, err))
ONNX_RUN(IsInf, mmi_onnx_run_unary(call, loops_IsInf, call->params))
ONNX_ELEMENTWISE(IsInf, 1, .facts = {MM_BOOL, ONNX_SHAPE_OF_0, ONNX_SIZE_ALIKE, 0},
                 .read = read_is_inf, .params_bytes = sizeof(struct is_inf))

/* ---- Where ----------------------------------------------------------------------------------- */

static mm_status infer_Where(struct onnx_inference *x, mm_error *err) {
    int32_t dtype = x->inputs[1].dtype;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_BOOL, err));
    MMI_TRY(mmi_onnx_check_movable(x, 1, err));
    if (x->inputs[2].dtype != dtype) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input 2 is %s, its input 1 %s",
                        mm_dtype_text(x->inputs[2].dtype), mm_dtype_text(dtype));
    }
    return mmi_onnx_infer_broadcast(x, dtype, err);
}

/* Elements of one width, whatever they mean. */
#define CHOOSE(T)                                                                                  \
    do {                                                                                           \
        const T *yes = from[1].data, *no = from[2].data;                                           \
        T *out = to;                                                                               \
        ONNX_INDEPENDENT for (uint64_t i = 0; i < count; i++) {                                    \
            T x = yes[i * from[1].step], y = no[i * from[2].step];                                 \
            T mask = (T)(0 - (uint64_t)(truth[i * from[0].step] != 0));                            \
            out[i] = (T)((x & mask) | (y & ~mask));                                                \
        }                                                                                          \
    } while (0)

static void choose(const struct onnx_stretch from[3], uint64_t count, uint32_t width, void *to) {
    const uint8_t *truth = from[0].data;
    switch (width) {
    case 1:
        CHOOSE(uint8_t);
        break;
    case 2:
        CHOOSE(uint16_t);
        break;
    case 4:
        CHOOSE(uint32_t);
        break;
    default:
        CHOOSE(uint64_t);
        break;
    }
}

/* Of 16 bytes: texts, complex numbers. An input that the output lies on has its shape, so that an
 * element is read before it is written over. */
static void choose_wide(const struct onnx_call *call) {
    const uint8_t *truth = call->in[0], *yes = call->in[1], *no = call->in[2];
    uint32_t width = mmi_onnx_element_bytes(call->outputs[0].dtype);
    uint8_t *to = call->out[0];
    struct onnx_each each;
    mmi_onnx_each_set(&each, &call->outputs[0], call->inputs, 3);
    for (uint64_t i = 0; to && i < call->outputs[0].elements; i++, mmi_onnx_each_next(&each)) {
        const uint8_t *from =
            truth[each.at[0]] ? yes + each.at[1] * width : no + each.at[2] * width;
        memmove(to + i * width, from, width);
    }
}

static mm_status run_Where(const struct onnx_call *call, mm_error *err) {
    uint64_t elements = call->out[0] ? call->outputs[0].elements : 0;
    uint32_t width = mmi_onnx_element_bytes(call->outputs[0].dtype);
    struct onnx_operand operands[3];
    (void)err;
    if (width > sizeof(uint64_t)) {
        choose_wide(call);
        return MM_OK;
    }
    for (uint32_t i = 0; i < 3; i++) {
        mmi_onnx_operand_set(&operands[i], &call->outputs[0], &call->inputs[i], call->in[i]);
    }
    for (uint64_t at = 0, count; at < elements; at += count) {
        union onnx_chunk gathered[3];
        struct onnx_stretch from[3];
        count = mmi_onnx_stretch_count(operands, 3, elements, at);
        for (uint32_t i = 0; i < 3; i++) {
            from[i] = mmi_onnx_operand_at(&operands[i], at, count, &gathered[i]);
        }
        choose(from, count, width, (uint8_t *)call->out[0] + at * width);
    }
    return MM_OK;
}
ONNX_ELEMENTWISE(Where, 3, .facts = {ONNX_DTYPE_OF_1, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0})
