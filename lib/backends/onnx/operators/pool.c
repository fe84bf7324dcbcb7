/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/conv.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ONNX_TAPS windows are reduced side by side, in f64 whatever the type of the image. The global
 * pools deal the elements of a channel out to as many lanes and join those at the end. */

/* ---- Attributes and shapes ------------------------------------------------------------------- */

static mm_status read_global_lp(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_pool *pool = params;
    return mmi_onnx_read_int(a, "p", 2, &pool->p, err);
}

/* What all windows have, and from which opset on. */
static mm_status read_window(const struct onnx_attributes *a, int64_t dilations_since,
                             int64_t ceil_since, struct onnx_pool *pool, mm_error *err) {
    MMI_TRY(mmi_onnx_read_window(a, dilations_since, &pool->window, err));
    MMI_TRY(mmi_onnx_read_flag(mmi_onnx_since(a, ceil_since), "ceil_mode", false,
                               &pool->window.ceil_mode, err));
    if (pool->window.kernel[0] == 0) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute kernel_shape is missing");
    }
    return MM_OK;
}

static mm_status read_max(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_pool *pool = params;
    MMI_TRY(read_window(a, 10, 10, pool, err));
    return mmi_onnx_read_flag(mmi_onnx_since(a, 8), "storage_order", false, &pool->column_major,
                              err);
}

static mm_status read_average(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct onnx_pool *pool = params;
    MMI_TRY(read_window(a, 19, 10, pool, err));
    return mmi_onnx_read_flag(mmi_onnx_since(a, 7), "count_include_pad", false,
                              &pool->count_include_pad, err);
}

static mm_status read_lp(const struct onnx_attributes *a, void *params, mm_error *err) {
    MMI_TRY(read_window(a, 18, 18, params, err));
    return read_global_lp(a, params, err);
}

static mm_status infer_shape(struct onnx_inference *x, mm_error *err) {
    const struct onnx_pool *pool = x->params;
    const struct onnx_tensor *image = &x->inputs[0];
    struct onnx_placed placed;
    int64_t shape[MM_MAX_RANK] = {0};
    uint64_t taps;
    MMI_TRY(mmi_onnx_place_window(&pool->window, image, NULL, &placed, err));
    MMI_TRY(mmi_onnx_count_taps(&placed, &taps, err));
    memcpy(shape, image->shape, 2 * sizeof(*shape));
    memcpy(shape + 2, placed.out, placed.axes * sizeof(*shape));
    x->scratch_bytes = taps * ONNX_TAPS * sizeof(int64_t);
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], image->dtype, image->rank, shape, err));
    if (x->output_count > 1) {
        return mmi_onnx_tensor_set(&x->outputs[1], MM_I64, image->rank, shape, err);
    }
    return MM_OK;
}

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    return infer_shape(x, err);
}

static mm_status infer_max(struct onnx_inference *x, mm_error *err) {
    const uint32_t types = ONNX_FLOATS | ONNX_TYPE(MM_I8) | ONNX_TYPE(MM_U8);
    MMI_TRY(mmi_onnx_check_type(x, 0, types, err));
    return infer_shape(x, err);
}

static mm_status infer_global(struct onnx_inference *x, mm_error *err) {
    const struct onnx_tensor *image = &x->inputs[0];
    int64_t shape[MM_MAX_RANK];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    if (image->rank < 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its input has %u axes, 2 or more wanted",
                        image->rank);
    }
    for (uint32_t i = 0; i < image->rank; i++) {
        shape[i] = i < 2 ? image->shape[i] : 1;
    }
    return mmi_onnx_tensor_set(&x->outputs[0], image->dtype, image->rank, shape, err);
}

/* ---- Reducing -------------------------------------------------------------------------------- */

/* Windows side by side. */
struct windows {
    double value[ONNX_TAPS];
    int64_t index[ONNX_TAPS];  /* max: where in its plane */
    double divisor[ONNX_TAPS]; /* average: elements that count */
    double p;
};

struct reduction {
    double start;
    /* Add what one tap sees; where the offsets are negative there is padding, and 0 is seen. */
    void (*take)(struct windows *windows, const double *seen, const int64_t *offsets);
    void (*end)(struct windows *windows); /* NULL: nothing to do */
    double (*join)(double a, double b);   /* of two lanes that took parts of one window */
};

/* What is no number is the largest, and stays. */
static bool is_larger(double a, double b) {
    return a > b || isnan(a);
}

static double join_max(double a, double b) {
    return is_larger(b, a) ? b : a;
}

static double join_sum(double a, double b) {
    return a + b;
}

static void take_max(struct windows *windows, const double *seen, const int64_t *offsets) {
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        if (offsets[i] >= 0 && is_larger(seen[i], windows->value[i])) {
            windows->value[i] = seen[i];
            windows->index[i] = offsets[i];
        }
    }
}

static void take_sum(struct windows *windows, const double *seen, const int64_t *offsets) {
    (void)offsets;
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        windows->value[i] += seen[i];
    }
}

static void take_power(struct windows *windows, const double *seen, const int64_t *offsets) {
    (void)offsets;
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        windows->value[i] += pow(fabs(seen[i]), windows->p);
    }
}

static void end_average(struct windows *windows) {
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        windows->value[i] /= windows->divisor[i];
    }
}

static void end_power(struct windows *windows) {
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        windows->value[i] = pow(windows->value[i], 1 / windows->p);
    }
}

static const struct reduction reduce_max = {-INFINITY, take_max, NULL, join_max};
static const struct reduction reduce_average = {0, take_sum, end_average, join_sum};
static const struct reduction reduce_power = {0, take_power, end_power, join_sum};

static void start(struct windows *windows, const struct reduction *reduction) {
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        windows->value[i] = reduction->start;
        windows->index[i] = 0;
    }
}

/* ---- The kernel of windows ------------------------------------------------------------------- */

/* Sizes of one pool. */
struct pool {
    struct onnx_placed placed;
    const struct reduction *reduction;
    int32_t dtype;
    uint32_t width;         /* bytes of an element */
    uint64_t taps;          /* elements of the kernel */
    uint64_t seen, made;    /* elements of a channel of the image; of the result */
    const int64_t *offsets; /* [taps][ONNX_TAPS] */
};

/* ONNX_TAPS elements. So few at a time that the usual type is not left to a conversion for all. */
static void load(int32_t dtype, const void *from, double *to) {
    if (dtype != MM_F32) {
        mmi_onnx_convert(dtype, from, ONNX_TAPS, MM_F64, to);
        return;
    }
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        to[i] = (double)((const float *)from)[i];
    }
}

static void reduce(const struct pool *pool, const uint8_t *plane, struct windows *windows) {
    uint64_t room[ONNX_TAPS];
    double seen[ONNX_TAPS];
    start(windows, pool->reduction);
    for (uint64_t tap = 0; tap < pool->taps; tap++) {
        const int64_t *offsets = pool->offsets + tap * ONNX_TAPS;
        const void *raw = mmi_onnx_see(plane, offsets, pool->width, room);
        load(pool->dtype, raw, seen);
        pool->reduction->take(windows, seen, offsets);
    }
    if (pool->reduction->end) {
        pool->reduction->end(windows);
    }
}

/* Of bytes: a window that sees nothing but padding has the least there is. */
static void limit_bytes(int32_t dtype, struct windows *windows) {
    double least = dtype == MM_I8 ? INT8_MIN : 0;
    for (uint32_t i = 0; i < ONNX_TAPS && (dtype == MM_I8 || dtype == MM_U8); i++) {
        windows->value[i] = fmax(windows->value[i], least);
    }
}

/* Elements of each window that an average counts; at least 1. */
static void count_elements(const struct pool *pool, bool padding, struct windows *windows) {
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        uint64_t count = 0;
        for (uint64_t tap = 0; tap < pool->taps; tap++) {
            count += pool->offsets[tap * ONNX_TAPS + i] >= (padding ? ONNX_IN_PADDING : 0);
        }
        windows->divisor[i] = (double)mmi_max_u64(count, 1);
    }
}

/* A place in a plane of row-major elements, counted with the first axis as the fastest. */
static int64_t column_major(const struct onnx_placed *placed, int64_t index) {
    int64_t at[ONNX_SPACE], counted = 0;
    for (uint32_t i = placed->axes; i-- > 0;) {
        at[i] = index % placed->in[i];
        index /= placed->in[i];
    }
    for (uint32_t i = placed->axes; i-- > 0;) {
        counted = counted * placed->in[i] + at[i];
    }
    return counted;
}

static void store_indices(const struct pool *pool, const struct windows *windows, uint64_t plane,
                          bool column, int64_t *to, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        int64_t index = windows->index[i];
        to[i] =
            (int64_t)(plane * pool->seen) + (column ? column_major(&pool->placed, index) : index);
    }
}

static mm_status run_pool(const struct onnx_call *call, const struct reduction *reduction,
                          mm_error *err) {
    const struct onnx_pool *params = call->params;
    const struct onnx_tensor *image = &call->inputs[0];
    const uint64_t planes = (uint64_t)image->shape[0] * (uint64_t)image->shape[1];
    int64_t *indices = call->output_count > 1 ? call->out[1] : NULL;
    struct pool pool = {.reduction = reduction,
                        .dtype = image->dtype,
                        .width = mmi_onnx_element_bytes(image->dtype),
                        .seen = mmi_onnx_split_at(image, 1).inner,
                        .made = mmi_onnx_split_at(&call->outputs[0], 1).inner,
                        .offsets = call->scratch};
    struct windows windows = {.p = (double)params->p};
    MMI_TRY(mmi_onnx_place_window(&params->window, image, NULL, &pool.placed, err));
    MMI_TRY(mmi_onnx_count_taps(&pool.placed, &pool.taps, err));
    for (uint64_t first = 0; planes > 0 && first < pool.made; first += ONNX_TAPS) {
        uint32_t count = (uint32_t)mmi_min_u64(pool.made - first, ONNX_TAPS);
        mmi_onnx_find_taps(&pool.placed, first, count, call->scratch);
        count_elements(&pool, params->count_include_pad, &windows);
        for (uint64_t plane = 0; plane < planes; plane++) {
            uint64_t at = plane * pool.made + first;
            reduce(&pool, (const uint8_t *)call->in[0] + plane * pool.seen * pool.width, &windows);
            limit_bytes(pool.dtype, &windows);
            if (call->out[0]) {
                mmi_onnx_convert(MM_F64, windows.value, count, pool.dtype,
                                 (uint8_t *)call->out[0] + at * pool.width);
            }
            if (indices) {
                store_indices(&pool, &windows, plane, params->column_major, indices + at, count);
            }
        }
    }
    return MM_OK;
}

/* ---- The kernel of whole channels ------------------------------------------------------------ */

static void reduce_channel(const struct pool *pool, const uint8_t *plane, struct windows *windows) {
    static const int64_t all[ONNX_TAPS] = {0};
    int64_t some[ONNX_TAPS];
    double seen[ONNX_TAPS];
    uint64_t whole = pool->seen - pool->seen % ONNX_TAPS, rest = pool->seen - whole;
    start(windows, pool->reduction);
    for (uint64_t i = 0; i < whole; i += ONNX_TAPS) {
        load(pool->dtype, plane + i * pool->width, seen);
        pool->reduction->take(windows, seen, all);
    }
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        some[i] = i < rest ? 0 : ONNX_BEYOND;
    }
    if (rest > 0) {
        mmi_onnx_convert(pool->dtype, plane + whole * pool->width, rest, MM_F64, seen);
        pool->reduction->take(windows, seen, some);
    }
    for (uint32_t i = 1; i < ONNX_TAPS; i++) {
        windows->value[0] = pool->reduction->join(windows->value[0], windows->value[i]);
    }
    if (pool->reduction->end) {
        pool->reduction->end(windows);
    }
}

static mm_status run_channels(const struct onnx_call *call, const struct reduction *reduction) {
    const struct onnx_pool *params = call->params;
    const struct onnx_tensor *image = &call->inputs[0];
    struct pool pool = {.reduction = reduction,
                        .dtype = image->dtype,
                        .width = mmi_onnx_element_bytes(image->dtype),
                        .seen = mmi_onnx_split_at(image, 1).inner};
    struct windows windows = {.p = (double)params->p};
    for (uint32_t i = 0; i < ONNX_TAPS; i++) {
        windows.divisor[i] = (double)mmi_max_u64(pool.seen, 1);
    }
    for (uint64_t i = 0; i < call->outputs[0].elements && call->out[0]; i++) {
        reduce_channel(&pool, (const uint8_t *)call->in[0] + i * pool.seen * pool.width, &windows);
        mmi_onnx_convert(MM_F64, windows.value, 1, pool.dtype,
                         (uint8_t *)call->out[0] + i * pool.width);
    }
    return MM_OK;
}

/* ---- Operators ------------------------------------------------------------------------------- */

static mm_status run_max(const struct onnx_call *call, mm_error *err) {
    return run_pool(call, &reduce_max, err);
}

static mm_status run_average(const struct onnx_call *call, mm_error *err) {
    return run_pool(call, &reduce_average, err);
}

static mm_status run_lp(const struct onnx_call *call, mm_error *err) {
    return run_pool(call, &reduce_power, err);
}

static mm_status run_global_max(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run_channels(call, &reduce_max);
}

static mm_status run_global_average(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run_channels(call, &reduce_average);
}

static mm_status run_global_lp(const struct onnx_call *call, mm_error *err) {
    (void)err;
    return run_channels(call, &reduce_power);
}

/* The indices of maxima. */
static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output == 1) {
        *fact = (struct onnx_fact){.dtype = MM_I64, .rank = mmi_onnx_fact(l, 0).rank};
    }
}

#define WINDOW ONNX_WINDOW_LIMITS(struct onnx_pool, window)
#define POWER ONNX_AT_LEAST("p", struct onnx_pool, p, 1)
#define LAST(name)                                                                                 \
    { ONNX_ORDER_ANY, 0, &mmi_onnx_op_ChannelsLast##name }
#define FIXED                                                                                      \
    { ONNX_ORDER_FIXED, 0, NULL }
#define POOL(NAME, OUTPUTS, READ, LIMITS, INFER, RUN, SIZE, KERNEL, ...)                           \
    const struct onnx_operator mmi_onnx_op_##NAME = {                                              \
        .name = #NAME,                                                                             \
        .min_inputs = 1,                                                                           \
        .max_inputs = 1,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = OUTPUTS,                                                                    \
        .params_bytes = sizeof(struct onnx_pool),                                                  \
        .read = READ,                                                                              \
        .limits = LIMITS,                                                                          \
        .infer = INFER,                                                                            \
        .run = RUN,                                                                                \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, SIZE, 0},                                       \
        .learn = learn,                                                                            \
        .order = __VA_ARGS__,                                                                      \
        .kernels = {[ONNX_CPU] = KERNEL}};
POOL(MaxPool, 2, read_max, ONNX_LIMITS(WINDOW), infer_max, run_max, ONNX_SIZE_ALIKE,
     mmi_onnx_cpu_MaxPool, LAST(MaxPool))
POOL(AveragePool, 1, read_average, ONNX_LIMITS(WINDOW), infer, run_average, ONNX_SIZE_ALIKE,
     mmi_onnx_cpu_AveragePool, LAST(AveragePool))
POOL(LpPool, 1, read_lp, ONNX_LIMITS(WINDOW, POWER), infer, run_lp, ONNX_SIZE_ALIKE, NULL, FIXED)
POOL(GlobalMaxPool, 1, NULL, NULL, infer_global, run_global_max, ONNX_SIZE_REDUCES,
     mmi_onnx_cpu_GlobalMaxPool, LAST(GlobalMaxPool))
POOL(GlobalAveragePool, 1, NULL, NULL, infer_global, run_global_average, ONNX_SIZE_REDUCES,
     mmi_onnx_cpu_GlobalAveragePool, LAST(GlobalAveragePool))
POOL(GlobalLpPool, 1, read_global_lp, ONNX_LIMITS(POWER), infer_global, run_global_lp,
     ONNX_SIZE_REDUCES, NULL, FIXED)
