/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <base/status.h>

/* Operators of two numbers. */

static enum onnx_number number_of(const struct onnx_call *call) {
    return mmi_onnx_number(call->inputs[0].dtype);
}

/* Floats by the function of this name in functions.def. */
#define LOOPS(name, i64, u64)                                                                      \
    static const onnx_binary_loop loops_##name[ONNX_NUMBERS] = {mmi_onnx_f32_##name,               \
                                                                mmi_onnx_f64_##name, i64, u64}
#define BINARY(name, types, ...)                                                                   \
    ONNX_INFER(name, mmi_onnx_infer_alike(x, types, err))                                          \
    ONNX_RUN(name, mmi_onnx_run_binary(call, loops_##name, number_of(call)))                       \
    ONNX_ELEMENTWISE(name, 2, .facts = ONNX_FACTS_BROADCAST, __VA_ARGS__)
#define FORM(name) .elementwise = {.form = ONNX_FORM_ALL, .function = ONNX_F_##name}

/* Integers modulo 2^64, whatever their sign. */
#define ARITHMETIC(name, expression)                                                               \
    ONNX_BINARY_LOOP(name##_u64, uint64_t, uint64_t, expression)                                   \
    LOOPS(name, name##_u64, name##_u64);                                                           \
    BINARY(name, ONNX_REALS, FORM(name))
ARITHMETIC(Add, x + y)
ARITHMETIC(Sub, x - y)
ARITHMETIC(Mul, (x * y))

/* ---- Div, Mod -------------------------------------------------------------------------------- */

/* Towards 0; what has no result is 0. */
static int64_t divide(int64_t x, int64_t y) {
    return y == 0 ? 0 : y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

/* With the sign of x. */
static int64_t remainder_of(int64_t x, int64_t y) {
    return y == 0 || y == -1 ? 0 : x % y;
}

/* With the sign of y. */
static int64_t modulo(int64_t x, int64_t y) {
    int64_t rest = remainder_of(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

ONNX_BINARY_LOOP(div_i64, int64_t, int64_t, divide(x, y))
ONNX_BINARY_LOOP(div_u64, uint64_t, uint64_t, y == 0 ? 0 : x / y)
LOOPS(Div, div_i64, div_u64);
BINARY(Div, ONNX_REALS, FORM(Div))

ONNX_BINARY_LOOP(fmod_i64, int64_t, int64_t, remainder_of(x, y))
ONNX_BINARY_LOOP(mod_i64, int64_t, int64_t, modulo(x, y))
ONNX_BINARY_LOOP(mod_u64, uint64_t, uint64_t, y == 0 ? 0 : x % y)
LOOPS(Fmod, fmod_i64, mod_u64);
static const onnx_binary_loop loops_Mod[ONNX_NUMBERS] = {NULL, NULL, mod_i64, mod_u64};

struct mod {
    int64_t fmod;
};

static mm_status read_mod(const struct onnx_attributes *a, void *params, mm_error *err) {
    return mmi_onnx_read_int(a, "fmod", 0, &((struct mod *)params)->fmod, err);
}

static mm_status infer_Mod(struct onnx_inference *x, mm_error *err) {
    const struct mod *mod = x->params;
    MMI_TRY(mmi_onnx_infer_alike(x, ONNX_REALS, err));
    if (!mod->fmod && ONNX_FLOATS >> x->inputs[0].dtype & 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute fmod is 0, 1 wanted for %s",
                        mm_dtype_text(x->inputs[0].dtype));
    }
    return MM_OK;
}

/* With fmod 0 there is no such thing for floats: infer says so. */
static void choose_mod(const void *params, struct onnx_elementwise *form) {
    form->form = ((const struct mod *)params)->fmod ? ONNX_FORM_ALL : ONNX_FORM_NONE;
}

static const onnx_binary_loop *mod_loops(const struct mod *mod) {
    return mod->fmod ? loops_Fmod : loops_Mod;
}
ONNX_RUN(Mod, mmi_onnx_run_binary(call, mod_loops(call->params), number_of(call)))
ONNX_ELEMENTWISE(Mod, 2, .facts = ONNX_FACTS_BROADCAST, .read = read_mod,
                 .params_bytes = sizeof(struct mod),
                 .elementwise = {.form = ONNX_FORM_ALL, .function = ONNX_F_Fmod},
                 .elementwise_by = choose_mod)

/* ---- Pow ------------------------------------------------------------------------------------- */

static uint64_t power_u64(uint64_t x, uint64_t y) {
    uint64_t power = 1;
    for (; y > 0; y >>= 1) {
        power *= y & 1 ? x : 1;
        x *= x;
    }
    return power;
}

static int64_t power_i64(int64_t x, int64_t y) {
    if (y < 0) {
        return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
    }
    return (int64_t)power_u64((uint64_t)x, (uint64_t)y);
}

ONNX_BINARY_LOOP(pow_i64, int64_t, int64_t, power_i64(x, y))
ONNX_BINARY_LOOP(pow_u64, uint64_t, uint64_t, power_u64(x, y))

/* Squares are what models have. */
static void pow_f32(struct onnx_stretch x, struct onnx_stretch y, uint64_t count, void *to) {
    if (y.step == 0 && *(const float *)y.data == 2) {
        mmi_onnx_f32_Mul(x, x, count, to);
    } else {
        mmi_onnx_f32_Pow(x, y, count, to);
    }
}

static const onnx_binary_loop loops_Pow[ONNX_NUMBERS] = {pow_f32, mmi_onnx_f64_Pow, pow_i64,
                                                         pow_u64};

static bool is_integer(enum onnx_number number) {
    return number == ONNX_I64 || number == ONNX_U64;
}

/* The exponent may be of another type; the result is of the first. */
static mm_status infer_Pow(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_REALS, err));
    MMI_TRY(mmi_onnx_check_type(x, 1, ONNX_REALS, err));
    return mmi_onnx_infer_broadcast(x, x->inputs[0].dtype, err);
}

static enum onnx_number number_of_power(const struct onnx_call *call) {
    enum onnx_number x = number_of(call), y = mmi_onnx_number(call->inputs[1].dtype);
    return x == y || (is_integer(x) && is_integer(y)) ? x : ONNX_F64;
}
ONNX_RUN(Pow, mmi_onnx_run_binary(call, loops_Pow, number_of_power(call)))
ONNX_ELEMENTWISE(Pow, 2, .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0},
                 .elementwise = {.form = ONNX_FORM_POWER, .function = ONNX_F_Pow})

/* ---- PRelu ----------------------------------------------------------------------------------- */

ONNX_BINARY_LOOP(PRelu_i64, int64_t, uint64_t, x < 0 ? (uint64_t)x * (uint64_t)y : (uint64_t)x)
ONNX_BINARY_LOOP(PRelu_u64, uint64_t, uint64_t, ((void)y, x))
LOOPS(PRelu, PRelu_i64, PRelu_u64);

/* The slope may be smaller than the input, not the other way round. */
static mm_status infer_PRelu(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[0], *output = &x->outputs[0];
    MMI_TRY(mmi_onnx_infer_alike(x, ONNX_REALS, err));
    if (output->rank != input->rank || output->elements != input->elements) {
        return mmi_fail(err, MM_INVALID_MODEL, "its slope is larger than its input");
    }
    return MM_OK;
}
ONNX_RUN(PRelu, mmi_onnx_run_binary(call, loops_PRelu, number_of(call)))
ONNX_ELEMENTWISE(PRelu, 2, .facts = ONNX_FACTS_LIKE_0, FORM(PRelu))

/* ---- Bits ------------------------------------------------------------------------------------ */

#define BITS(name, expression)                                                                     \
    ONNX_BINARY_LOOP(name##_u64, uint64_t, uint64_t, expression)                                   \
    static const onnx_binary_loop loops_##name[ONNX_NUMBERS] = {NULL, NULL, name##_u64, name##_u64};
BITS(BitwiseAnd, (x & y))
BINARY(BitwiseAnd, ONNX_INTEGERS, )
BITS(BitwiseOr, x | y)
BINARY(BitwiseOr, ONNX_INTEGERS, )
BITS(BitwiseXor, x ^ y)
BINARY(BitwiseXor, ONNX_INTEGERS, )

BITS(left, y < 64 ? x << y : 0)
BITS(right, y < 64 ? x >> y : 0)

struct shift {
    int32_t right;
};

static mm_status read_shift(const struct onnx_attributes *a, void *params, mm_error *err) {
    static const char *const directions[] = {"LEFT", "RIGHT", NULL};
    if (!mmi_onnx_attribute(a, "direction")) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute direction is missing");
    }
    return mmi_onnx_read_choice(a, "direction", directions, &((struct shift *)params)->right, err);
}

static const onnx_binary_loop *shift_loops(const struct shift *shift) {
    return shift->right ? loops_right : loops_left;
}
ONNX_INFER(BitShift, mmi_onnx_infer_alike(x, ONNX_UNSIGNED, err))
ONNX_RUN(BitShift, mmi_onnx_run_binary(call, shift_loops(call->params), number_of(call)))
ONNX_ELEMENTWISE(BitShift, 2, .facts = ONNX_FACTS_BROADCAST, .read = read_shift,
                 .params_bytes = sizeof(struct shift))
