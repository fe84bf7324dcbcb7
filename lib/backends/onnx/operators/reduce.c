/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/reduce.h>
#include <base/checked.h>
#include <base/status.h>

#include <math.h>

enum start { ZERO, ONE, TYPE_MIN, TYPE_MAX };
enum finish { AS_IT_IS, MEAN, ROOT, LOGARITHM };

struct reduction {
    const struct onnx_reducers *reducers;
    enum start start;
    enum finish finish;
    bool fractions; /* integers are computed in f64, too */
    bool shifts;    /* subtracts the maximum first, so that no exponential overflows */
};

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* ReduceSum has its axes as an input from opset 13 on, the others from 18 on. */
static mm_status read(const struct onnx_attributes *a, int64_t input_since,
                      struct onnx_reduce *reduce, mm_error *err) {
    MMI_TRY(mmi_onnx_read_flag(a, "keepdims", true, &reduce->keepdims, err));
    return mmi_onnx_read_flag(mmi_onnx_since(a, input_since), "noop_with_empty_axes", false,
                              &reduce->noop_with_empty_axes, err);
}

static mm_status read_sum(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read(a, 13, params, err);
}

static mm_status read_other(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read(a, 18, params, err);
}

/* The axes to reduce, as bits; `axes` has been checked. */
static uint32_t find_axes(const struct onnx_reduce *reduce, uint32_t rank,
                          const struct onnx_tensor *axes) {
    uint32_t set = 0;
    for (uint64_t i = 0; axes->known && i < axes->elements; i++) {
        uint32_t axis;
        mmi_onnx_axis(mmi_onnx_int_at(axes, i), rank, &axis);
        set |= 1u << axis;
    }
    return set == 0 && !reduce->noop_with_empty_axes ? (1u << rank) - 1 : set;
}

static mm_status infer(struct onnx_inference *x, uint32_t types, mm_error *err) {
    const struct onnx_reduce *reduce = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    struct onnx_tensor axes = {.dtype = MM_DTYPE_NONE};
    int64_t shape[MM_MAX_RANK];
    uint32_t rank = 0;
    MMI_TRY(mmi_onnx_check_type(x, 0, types, err));
    if (mmi_onnx_has(x, 1)) {
        struct onnx_ints ints;
        uint32_t axis;
        MMI_TRY(mmi_onnx_known_ints(x, 1, "list of axes", &ints, err));
        for (uint32_t i = 0; i < ints.count; i++) {
            MMI_TRY(mmi_onnx_check_axis(ints.at[i], input->rank, &axis, err));
        }
        axes = x->inputs[1];
    }
    uint32_t set = find_axes(reduce, input->rank, &axes);
    for (uint32_t i = 0; i < input->rank; i++) {
        bool reduced = set >> i & 1;
        if (!reduced || reduce->keepdims) {
            shape[rank++] = reduced ? 1 : input->shape[i];
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], input->dtype, rank, shape, err);
}

/* ---- Walking --------------------------------------------------------------------------------- */

/* Axes of the input that are reduced, or that are kept; neighbours as one. */
struct axes {
    uint32_t rank;
    uint64_t count[MM_MAX_RANK], step[MM_MAX_RANK]; /* step: bytes */
    uint64_t all;                                   /* product of the counts */
};

struct job {
    struct axes kept, reduced; /* all but the innermost axis */
    uint64_t inner;            /* elements of the innermost axis */
    bool inner_reduced;
    int32_t dtype;
    uint32_t width;
    enum onnx_number number; /* in which it is computed */
    const uint8_t *from;
    double reduced_elements;
};

static void add_axis(struct axes *axes, uint64_t count, uint64_t step) {
    axes->count[axes->rank] = count;
    axes->step[axes->rank++] = step;
    axes->all *= count;
}

/* From the innermost axis outwards. */
static void set_axes(struct job *job, const struct onnx_tensor *input, uint32_t set) {
    uint64_t step = job->width;
    struct axes *last = NULL; /* what the axis before belongs to; NULL: to the innermost */
    job->inner = 1;
    job->kept.all = job->reduced.all = 1;
    job->inner_reduced = input->rank > 0 && set >> (input->rank - 1) & 1;
    for (uint32_t i = input->rank; i-- > 0;) {
        bool reduced = set >> i & 1;
        uint64_t count = (uint64_t)input->shape[i];
        struct axes *axes = reduced ? &job->reduced : &job->kept;
        bool innermost = axes->rank == 0 && last == NULL && reduced == job->inner_reduced;
        if (innermost) {
            job->inner *= count;
        } else if (last == axes) {
            axes->count[axes->rank - 1] *= count;
            axes->all *= count;
        } else {
            add_axis(axes, count, step);
            last = axes;
        }
        step *= count;
        job->reduced_elements *= reduced ? (double)count : 1;
    }
}

static const uint8_t *find(const struct axes *axes, uint64_t i, const uint8_t *from) {
    for (uint32_t a = 0; a < axes->rank; a++) {
        from += i % axes->count[a] * axes->step[a];
        i /= axes->count[a];
    }
    return from;
}

/* The output is computed in chunks: several rows, or some columns of one kept axis. Each takes one
 * call of a reducer per index into the reduced axes. */
struct chunk {
    uint64_t first, count; /* of the results */
    union onnx_chunk sums;
    double shifts[ONNX_CHUNK]; /* only where the reduction shifts */
};

static void reduce_row(const struct job *job, onnx_reducer reducer, const uint8_t *from,
                       struct chunk *chunk, uint64_t row) {
    bool native = mmi_onnx_number_type(job->number) == job->dtype;
    uint64_t max = native ? job->inner : ONNX_CHUNK;
    for (uint64_t at = 0, count; at < job->inner; at += count) {
        union onnx_chunk numbers;
        count = mmi_min_u64(max, job->inner - at);
        reducer(&chunk->sums.u64[row], &chunk->shifts[row],
                mmi_onnx_load_as(job->number, job->dtype, from + at * job->width, count, &numbers),
                count);
    }
}

static void reduce_rows(const struct job *job, const struct onnx_reducers *reducers,
                        struct chunk *chunk) {
    for (uint64_t row = 0; row < chunk->count; row++) {
        const uint8_t *from = find(&job->kept, chunk->first + row, job->from);
        for (uint64_t i = 0; i < job->reduced.all; i++) {
            reduce_row(job, reducers->row[job->number], find(&job->reduced, i, from), chunk, row);
        }
    }
}

static void reduce_columns(const struct job *job, const struct onnx_reducers *reducers,
                           struct chunk *chunk) {
    const uint8_t *from = find(&job->kept, chunk->first / job->inner, job->from);
    from += chunk->first % job->inner * job->width;
    for (uint64_t i = 0; i < job->reduced.all; i++) {
        union onnx_chunk numbers;
        reducers->columns[job->number](&chunk->sums, chunk->shifts,
                                       mmi_onnx_load_as(job->number, job->dtype,
                                                        find(&job->reduced, i, from), chunk->count,
                                                        &numbers),
                                       chunk->count);
    }
}

/* ---- Sums ------------------------------------------------------------------------------------ */

static bool is_float(const struct job *job) {
    return job->number == ONNX_F32 || job->number == ONNX_F64;
}

/* Initial value of an integer accumulator. */
static uint64_t start_of(enum start start, int32_t dtype) {
    uint32_t unused = 64 - 8 * mmi_onnx_element_bytes(dtype);
    bool is_signed = ONNX_SIGNED >> dtype & 1;
    uint64_t min = is_signed ? (uint64_t)(INT64_MIN >> unused) : 0;
    switch (start) {
    case TYPE_MIN:
        return min;
    case TYPE_MAX:
        return dtype == MM_BOOL ? 1 : is_signed ? ~min : UINT64_MAX >> unused;
    default:
        return start == ONE;
    }
}

static void start_sums(const struct job *job, enum start start, struct chunk *chunk) {
    static const double floats[] = {0, 1, -INFINITY, INFINITY};
    uint64_t integer = start_of(start, job->dtype);
    for (uint64_t i = 0; i < chunk->count; i++) {
        if (is_float(job)) {
            chunk->sums.f64[i] = floats[start];
        } else {
            chunk->sums.u64[i] = integer;
        }
    }
}

static void finish_sums(const struct job *job, const struct reduction *reduction,
                        struct chunk *chunk) {
    double *sums = chunk->sums.f64;
    for (uint64_t i = 0; i < chunk->count && reduction->finish != AS_IT_IS; i++) {
        sums[i] = reduction->finish == MEAN   ? sums[i] / job->reduced_elements
                  : reduction->finish == ROOT ? sqrt(sums[i])
                                              : log(sums[i]);
    }
    for (uint64_t i = 0; i < chunk->count && reduction->shifts; i++) {
        sums[i] += chunk->shifts[i];
    }
}

static void reduce_chunk(const struct job *job, const struct onnx_reducers *reducers,
                         struct chunk *chunk) {
    if (job->reduced.all == 0) {
        return; /* an empty input may be NULL */
    }
    if (job->inner_reduced) {
        reduce_rows(job, reducers, chunk);
    } else {
        reduce_columns(job, reducers, chunk);
    }
}

static void make_chunk(const struct job *job, const struct reduction *reduction,
                       struct chunk *chunk) {
    if (reduction->shifts) {
        start_sums(job, TYPE_MIN, chunk);
        reduce_chunk(job, &mmi_onnx_reducer_max, chunk);
        for (uint64_t i = 0; i < chunk->count; i++) {
            chunk->shifts[i] = isfinite(chunk->sums.f64[i]) ? chunk->sums.f64[i] : 0;
        }
    }
    start_sums(job, reduction->start, chunk);
    reduce_chunk(job, reduction->reducers, chunk);
    finish_sums(job, reduction, chunk);
}

static void run(const struct onnx_call *call, const struct reduction *reduction) {
    const struct onnx_tensor *input = &call->inputs[0];
    struct onnx_tensor axes = mmi_onnx_call_input(call, 1);
    uint64_t elements = call->out[0] ? call->outputs[0].elements : 0;
    struct job job = {.dtype = input->dtype,
                      .width = mmi_onnx_element_bytes(input->dtype),
                      .number = mmi_onnx_number(input->dtype),
                      .from = call->in[0],
                      .reduced_elements = 1};
    job.number = reduction->fractions && !is_float(&job) ? ONNX_F64 : job.number;
    set_axes(&job, input, find_axes(call->params, input->rank, &axes));
    job.reduced.all = input->elements > 0 ? job.reduced.all : 0;
    int32_t sum_type = is_float(&job) ? MM_F64 : mmi_onnx_number_type(job.number);
    struct chunk chunk = {.first = 0};
    for (; chunk.first < elements; chunk.first += chunk.count) {
        uint64_t max =
            job.inner_reduced ? elements - chunk.first : job.inner - chunk.first % job.inner;
        chunk.count = mmi_min_u64(max, ONNX_CHUNK);
        make_chunk(&job, reduction, &chunk);
        mmi_onnx_convert(sum_type, &chunk.sums, chunk.count, job.dtype,
                         (uint8_t *)call->out[0] + chunk.first * job.width);
    }
}

/* All axes, one, or as many as input 1 has; none of them if the axes stay. */
static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct onnx_reduce *reduce = l->node->params;
    int32_t rank = mmi_onnx_fact(l, 0).rank;
    bool one = mmi_onnx_fact_length(l, 1) == 1 && rank > 0;
    (void)output;
    fact->rank = reduce->keepdims ? rank : one ? rank - 1 : -1;
}

#define REDUCE(name_, read_, types, kernel, ...)                                                   \
    static mm_status infer_##name_(struct onnx_inference *x, mm_error *err) {                      \
        return infer(x, types, err);                                                               \
    }                                                                                              \
    static mm_status run_##name_(const struct onnx_call *call, mm_error *err) {                    \
        static const struct reduction reduction = {__VA_ARGS__};                                   \
        (void)err;                                                                                 \
        run(call, &reduction);                                                                     \
        return MM_OK;                                                                              \
    }                                                                                              \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .min_inputs = 1,                                                                           \
        .max_inputs = 2,                                                                           \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct onnx_reduce),                                                \
        .shaping_inputs = 1u << 1,                                                                 \
        .read = read_,                                                                             \
        .infer = infer_##name_,                                                                    \
        .run = run_##name_,                                                                        \
        .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_REDUCES, 0},                       \
        .learn = learn,                                                                            \
        .order = {ONNX_ORDER_REDUCES, 1, NULL},                                                    \
        .kernels = {[ONNX_CPU] = kernel},                                                          \
    };

REDUCE(ReduceSum, read_sum, ONNX_REALS, mmi_onnx_cpu_ReduceSum, &mmi_onnx_reducer_sum, ZERO,
       AS_IT_IS, false, false)
REDUCE(ReduceMean, read_other, ONNX_REALS, mmi_onnx_cpu_ReduceMean, &mmi_onnx_reducer_sum, ZERO,
       MEAN, true, false)
REDUCE(ReduceProd, read_other, ONNX_REALS, NULL, &mmi_onnx_reducer_product, ONE, AS_IT_IS, false,
       false)
REDUCE(ReduceMax, read_other, ONNX_REALS | ONNX_BOOL, mmi_onnx_cpu_ReduceMax, &mmi_onnx_reducer_max,
       TYPE_MIN, AS_IT_IS, false, false)
REDUCE(ReduceMin, read_other, ONNX_REALS | ONNX_BOOL, NULL, &mmi_onnx_reducer_min, TYPE_MAX,
       AS_IT_IS, false, false)
REDUCE(ReduceL1, read_other, ONNX_REALS, NULL, &mmi_onnx_reducer_abs, ZERO, AS_IT_IS, false, false)
REDUCE(ReduceL2, read_other, ONNX_REALS, NULL, &mmi_onnx_reducer_squares, ZERO, ROOT, true, false)
REDUCE(ReduceSumSquare, read_other, ONNX_REALS, NULL, &mmi_onnx_reducer_squares, ZERO, AS_IT_IS,
       false, false)
REDUCE(ReduceLogSum, read_other, ONNX_REALS, NULL, &mmi_onnx_reducer_sum, ZERO, LOGARITHM, true,
       false)
REDUCE(ReduceLogSumExp, read_other, ONNX_REALS, NULL, &mmi_onnx_reducer_exp, ZERO, LOGARITHM, true,
       true)
