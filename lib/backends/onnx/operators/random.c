/* SPDX-License-Identifier: Apache-2.0 */

/* RandomUniform, RandomNormal, the same in the shape of an input, Bernoulli, Multinomial. */

#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/random.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* ---- The generator --------------------------------------------------------------------------- */

mm_status mmi_onnx_read_seed(const struct onnx_attributes *a, struct onnx_seed *seed,
                             mm_error *err) {
    const struct onnx_attribute *attribute = mmi_onnx_attribute(a, "seed");
    seed->given = attribute != NULL;
    if (attribute && attribute->type == ONNX_ATTRIBUTE_INT) {
        seed->bits = (uint64_t)attribute->i;
    } else if (attribute && attribute->type == ONNX_ATTRIBUTE_FLOAT) {
        double number = (double)attribute->f;
        memcpy(&seed->bits, &number, sizeof(number));
    } else if (attribute) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute seed is no number");
    }
    return MM_OK;
}

uint64_t mmi_onnx_random_begin(const struct onnx_seed *seed) {
    static _Atomic uint64_t runs;
    struct timespec now = {0, 0};
    if (seed->given) {
        return mmi_onnx_mix(seed->bits + 1);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    return mmi_onnx_mix(mmi_onnx_mix(time) + atomic_fetch_add(&runs, 1));
}

/* ---- Attributes and shapes ------------------------------------------------------------------- */

struct random {
    struct onnx_seed seed;
    int64_t sample_size; /* Multinomial */
    int32_t dtype;       /* MM_DTYPE_NONE: that of the input */
    uint32_t rank;       /* of the shape that is an attribute */
    int64_t shape[MM_MAX_RANK];
    float a, b; /* low and high; mean and scale */
};

static mm_status read_common(const struct onnx_attributes *a, int32_t fallback,
                             struct random *random, mm_error *err) {
    MMI_TRY(mmi_onnx_read_seed(a, &random->seed, err));
    return mmi_onnx_read_int32(a, "dtype", fallback, &random->dtype, err);
}

static mm_status read_like(const struct onnx_attributes *a, bool normal, struct random *random,
                           mm_error *err) {
    MMI_TRY(read_common(a, MM_DTYPE_NONE, random, err));
    MMI_TRY(mmi_onnx_read_float(a, normal ? "mean" : "low", 0, &random->a, err));
    return mmi_onnx_read_float(a, normal ? "scale" : "high", 1, &random->b, err);
}

static mm_status read_shaped(const struct onnx_attributes *a, bool normal, struct random *random,
                             mm_error *err) {
    if (!mmi_onnx_attribute(a, "shape")) {
        return mmi_fail(err, MM_INVALID_MODEL, "attribute shape is missing");
    }
    MMI_TRY(mmi_onnx_read_ints(a, "shape", MM_MAX_RANK, random->shape, &random->rank, err));
    MMI_TRY(read_like(a, normal, random, err));
    random->dtype = random->dtype == MM_DTYPE_NONE ? MM_F32 : random->dtype;
    return MM_OK;
}

static mm_status read_uniform(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_shaped(a, false, params, err);
}

static mm_status read_normal(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_shaped(a, true, params, err);
}

static mm_status read_uniform_like(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_like(a, false, params, err);
}

static mm_status read_normal_like(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_like(a, true, params, err);
}

static mm_status read_bernoulli(const struct onnx_attributes *a, void *params, mm_error *err) {
    return read_common(a, MM_DTYPE_NONE, params, err);
}

static mm_status read_multinomial(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct random *random = params;
    MMI_TRY(read_common(a, MM_I32, random, err));
    return mmi_onnx_read_int(a, "sample_size", 1, &random->sample_size, err);
}

static mm_status infer_shaped(struct onnx_inference *x, mm_error *err) {
    const struct random *random = x->params;
    return mmi_onnx_tensor_set(&x->outputs[0], random->dtype, random->rank, random->shape, err);
}

static mm_status infer_like(struct onnx_inference *x, mm_error *err) {
    const struct random *random = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    if (random->dtype == MM_DTYPE_NONE) {
        MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    }
    int32_t dtype = random->dtype == MM_DTYPE_NONE ? input->dtype : random->dtype;
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, input->rank, input->shape, err);
}

static mm_status infer_bernoulli(struct onnx_inference *x, mm_error *err) {
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    return infer_like(x, err);
}

static mm_status infer_multinomial(struct onnx_inference *x, mm_error *err) {
    const struct random *random = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_FLOATS, err));
    if (input->rank != 2 || input->shape[1] < 1) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its input has %u axes and %" PRIu64
                        " elements; 2, and a class or more, wanted",
                        input->rank, input->elements);
    }
    int64_t shape[] = {input->shape[0], random->sample_size};
    if (!mmi_mul((uint64_t)input->shape[1], sizeof(double), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its classes are too many");
    }
    return mmi_onnx_tensor_set(&x->outputs[0], random->dtype, 2, shape, err);
}

/* ---- Running --------------------------------------------------------------------------------- */

/* By Box and Muller, of numbers 2i and 2i + 1. */
static double normal_at(uint64_t begin, uint64_t i) {
    double radius = sqrt(-2 * log1p(-mmi_onnx_random_share(begin, 2 * i)));
    return radius * cos(2 * M_PI * mmi_onnx_random_share(begin, 2 * i + 1));
}

static void fill(const struct onnx_call *call, bool normal) {
    const struct random *random = call->params;
    const struct onnx_tensor *output = &call->outputs[0];
    uint64_t begin = mmi_onnx_random_begin(&random->seed);
    double a = (double)random->a, b = (double)random->b;
    union onnx_chunk numbers;
    for (uint64_t i = 0; call->out[0] && i < output->elements; i += ONNX_CHUNK) {
        uint64_t n = mmi_min_u64(ONNX_CHUNK, output->elements - i);
        for (uint64_t j = 0; j < n; j++) {
            numbers.f64[j] = normal ? a + b * normal_at(begin, i + j)
                                    : a + (b - a) * mmi_onnx_random_share(begin, i + j);
        }
        mmi_onnx_convert(MM_F64, &numbers, n, output->dtype,
                         (uint8_t *)call->out[0] + i * mmi_onnx_element_bytes(output->dtype));
    }
}

static mm_status run_uniform(const struct onnx_call *call, mm_error *err) {
    (void)err;
    fill(call, false);
    return MM_OK;
}

static mm_status run_normal(const struct onnx_call *call, mm_error *err) {
    (void)err;
    fill(call, true);
    return MM_OK;
}

static mm_status run_bernoulli(const struct onnx_call *call, mm_error *err) {
    const struct random *random = call->params;
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    uint64_t begin = mmi_onnx_random_begin(&random->seed);
    union onnx_chunk numbers, results;
    (void)err;
    for (uint64_t i = 0; call->out[0] && i < output->elements; i += ONNX_CHUNK) {
        uint64_t n = mmi_min_u64(ONNX_CHUNK, output->elements - i);
        const void *from = (const uint8_t *)call->in[0] + i * mmi_onnx_element_bytes(input->dtype);
        const double *p = mmi_onnx_load_as(ONNX_F64, input->dtype, from, n, &numbers);
        for (uint64_t j = 0; j < n; j++) {
            results.f64[j] = mmi_onnx_random_share(begin, i + j) < p[j];
        }
        mmi_onnx_convert(MM_F64, &results, n, output->dtype,
                         (uint8_t *)call->out[0] + i * mmi_onnx_element_bytes(output->dtype));
    }
    return MM_OK;
}

/* From logarithms of shares, in any unit, the sums of shares up to each class. */
static double add_up(double *sums, uint64_t count) {
    double max = -INFINITY, sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        max = sums[i] > max ? sums[i] : max;
    }
    for (uint64_t i = 0; i < count; i++) {
        sum += exp(sums[i] - max);
        sums[i] = sum;
    }
    return sum;
}

/* The first class whose sum is above. */
static uint64_t find_class(const double *sums, uint64_t count, double wanted) {
    uint64_t low = 0, high = count - 1;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (sums[middle] > wanted) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

static mm_status run_multinomial(const struct onnx_call *call, mm_error *err) {
    const struct random *random = call->params;
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    uint64_t begin = mmi_onnx_random_begin(&random->seed), samples = (uint64_t)random->sample_size;
    uint64_t classes = (uint64_t)input->shape[1], width = mmi_onnx_element_bytes(input->dtype);
    double total = 0;
    (void)err;
    for (uint64_t i = 0; call->out[0] && i < output->elements; i++) {
        if (i % samples == 0) {
            mmi_onnx_convert(input->dtype,
                             (const uint8_t *)call->in[0] + i / samples * classes * width, classes,
                             MM_F64, call->scratch);
            total = add_up(call->scratch, classes);
        }
        uint64_t class =
            find_class(call->scratch, classes, total * mmi_onnx_random_share(begin, i));
        if (output->dtype == MM_I64) {
            ((int64_t *)call->out[0])[i] = (int64_t) class;
        } else {
            ((int32_t *)call->out[0])[i] = (int32_t) class;
        }
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct random *random = l->node->params;
    (void)output;
    fact->dtype = random->dtype != MM_DTYPE_NONE ? random->dtype : mmi_onnx_fact(l, 0).dtype;
    fact->rank = l->node->input_count == 0 ? (int32_t)random->rank : fact->rank;
}

#define RANDOM(name_, inputs, types_, least_, read_, infer_, run_, rank_)                          \
    const struct onnx_operator mmi_onnx_op_##name_ = {                                             \
        .name = #name_,                                                                            \
        .flags = ONNX_OP_RANDOM,                                                                   \
        .min_inputs = inputs,                                                                      \
        .max_inputs = inputs,                                                                      \
        .min_outputs = 1,                                                                          \
        .max_outputs = 1,                                                                          \
        .params_bytes = sizeof(struct random),                                                     \
        .limits = ONNX_LIMITS(ONNX_OF_TYPE("dtype", struct random, dtype, types_),                 \
                              ONNX_BETWEEN("shape", struct random, rank, 0, MM_MAX_RANK),          \
                              ONNX_AT_LEAST("sample_size", struct random, sample_size, least_)),   \
        .read = read_,                                                                             \
        .infer = infer_,                                                                           \
        .run = run_,                                                                               \
        .facts = {ONNX_DTYPE_UNKNOWN, rank_, ONNX_SIZE_ALIKE, 0},                                  \
        .learn = learn,                                                                            \
    };
RANDOM(RandomUniform, 0, ONNX_FLOATS, 0, read_uniform, infer_shaped, run_uniform, ONNX_RANK_UNKNOWN)
RANDOM(RandomNormal, 0, ONNX_FLOATS, 0, read_normal, infer_shaped, run_normal, ONNX_RANK_UNKNOWN)
RANDOM(RandomUniformLike, 1, ONNX_FLOATS | ONNX_OR_NONE, 0, read_uniform_like, infer_like,
       run_uniform, ONNX_SHAPE_OF_0)
RANDOM(RandomNormalLike, 1, ONNX_FLOATS | ONNX_OR_NONE, 0, read_normal_like, infer_like, run_normal,
       ONNX_SHAPE_OF_0)
RANDOM(Bernoulli, 1, ONNX_REALS | ONNX_BOOL | ONNX_OR_NONE, 0, read_bernoulli, infer_bernoulli,
       run_bernoulli, ONNX_SHAPE_OF_0)
RANDOM(Multinomial, 1, ONNX_TYPE(MM_I32) | ONNX_TYPE(MM_I64), 1, read_multinomial,
       infer_multinomial, run_multinomial, ONNX_RANK_IS_2)
