/* SPDX-License-Identifier: Apache-2.0 */

/* RelativePositionBias and GatedRelativePositionBias of com.microsoft: what attention adds to its
 * scores for the distance of two positions. */

#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TYPES (ONNX_TYPE(MM_F32) | ONNX_TYPE(MM_F16) | ONNX_TYPE(MM_BF16))

/* ---- RelativePositionBias -------------------------------------------------------------------- */

struct relative {
    int64_t max_distance, bidirectional;
};

static mm_status read_relative(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct relative *p = params;
    MMI_TRY(mmi_onnx_read_int(a, "is_bidirectional", 0, &p->bidirectional, err));
    return mmi_onnx_read_int(a, "max_distance", 0, &p->max_distance, err);
}

/* Buckets of one direction: half of these are distances themselves, the others ever wider. */
static int64_t one_way(const struct relative *p, int64_t buckets) {
    return p->bidirectional == 1 ? buckets / 2 : buckets;
}

static mm_status infer_relative(struct onnx_inference *x, mm_error *err) {
    const struct relative *p = x->params;
    const struct onnx_tensor *table = &x->inputs[0];
    struct onnx_ints query, key;
    MMI_TRY(mmi_onnx_check_type(x, 0, TYPES, err));
    if (table->rank != 2) {
        return mmi_fail(err, MM_INVALID_MODEL, "its bias_table has %u axes, 2 wanted", table->rank);
    }
    int64_t exact = one_way(p, table->shape[0]) / 2;
    if (exact < 1 || p->max_distance <= exact || table->shape[0] > INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "%" PRId64 " buckets with a max_distance of %" PRId64, table->shape[0],
                        p->max_distance);
    }
    MMI_TRY(mmi_onnx_known_ints(x, 1, "query_length", &query, err));
    MMI_TRY(mmi_onnx_known_ints(x, 2, "key_length", &key, err));
    if (query.count != 1 || key.count != 1 || query.at[0] < 0 || query.at[0] > INT32_MAX) {
        return mmi_fail(err, MM_INVALID_MODEL, "its lengths are not one number each, or too large");
    }
    if (query.at[0] != key.at[0]) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "query_length %" PRId64 " and key_length %" PRId64 " are not the same",
                        query.at[0], key.at[0]);
    }
    x->scratch_bytes = 2 * (uint64_t)query.at[0] * sizeof(int32_t);
    const int64_t shape[4] = {1, table->shape[1], query.at[0], query.at[0]};
    return mmi_onnx_tensor_set(&x->outputs[0], table->dtype, 4, shape, err);
}

/* The bucket of a key that lies `distance` behind its query, in f32 as models are trained. */
static int32_t bucket_of(const struct relative *p, int64_t buckets, int64_t distance) {
    int64_t count = one_way(p, buckets), exact = count / 2, first = 0;
    if (p->bidirectional == 1) {
        first = distance > 0 ? count : 0;
        distance = distance < 0 ? -distance : distance;
    } else {
        distance = distance > 0 ? 0 : -distance;
    }
    if (distance < exact) {
        return (int32_t)(first + distance);
    }
    float part = logf((float)distance / (float)exact) /
                 logf((float)p->max_distance / (float)exact) * (float)(count - exact);
    int64_t bucket = part < (float)(count - exact) ? exact + (int64_t)part : count - 1;
    return (int32_t)(first + (bucket < count ? bucket : count - 1));
}

/* The table lies head by head, whatever its shape says. */
static mm_status run_relative(const struct onnx_call *call, mm_error *err) {
    const struct relative *p = call->params;
    const struct onnx_tensor *table = &call->inputs[0], *made = &call->outputs[0];
    int64_t buckets = table->shape[0], length = made->shape[2];
    uint32_t width = mmi_onnx_element_bytes(table->dtype);
    int32_t *of_distance = call->scratch;
    uint8_t *to = call->out[0];
    (void)err;
    for (int64_t distance = 1 - length; distance < length; distance++) {
        of_distance[distance + length - 1] = bucket_of(p, buckets, distance);
    }
    for (int64_t head = 0; to && head < made->shape[1]; head++) {
        const uint8_t *from = (const uint8_t *)call->in[0] + (uint64_t)(head * buckets) * width;
        for (int64_t i = 0; i < length * length; i++, to += width) {
            int64_t distance = i % length - i / length;
            memcpy(to, from + (uint64_t)of_distance[distance + length - 1] * width, width);
        }
    }
    return MM_OK;
}

static void learn_four_axes(const struct onnx_learning *l, uint32_t output,
                            struct onnx_fact *fact) {
    (void)l;
    (void)output;
    fact->rank = 4;
}

const struct onnx_operator mmi_onnx_op_MsRelativePositionBias = {
    .name = "RelativePositionBias",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct relative),
    .limits =
        ONNX_LIMITS(ONNX_BETWEEN("max_distance", struct relative, max_distance, 1, INT32_MAX)),
    .shaping_inputs = 1u << 1 | 1u << 2,
    .read = read_relative,
    .infer = infer_relative,
    .run = run_relative,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn_four_axes,
};

/* ---- GatedRelativePositionBias --------------------------------------------------------------- */

enum { QUERY, QUERY_BIAS, POSITIONS, WEIGHT, BIAS, ECO, OFFSETS };

struct gated {
    int64_t num_heads;
};

static mm_status read_gated(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct gated *p = params;
    return mmi_onnx_read_int(a, "num_heads", 0, &p->num_heads, err);
}

static mm_status check_shape(const struct onnx_inference *x, uint32_t i, uint32_t rank,
                             const int64_t *shape, mm_error *err) {
    const struct onnx_tensor *input = &x->inputs[i];
    char got[ONNX_SHAPE_TEXT], wanted[ONNX_SHAPE_TEXT];
    bool fits = input->rank == rank && memcmp(input->shape, shape, rank * sizeof(*shape)) == 0;
    return fits ? MM_OK
                : mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, %s wanted", i,
                           mmi_onnx_shape_text(input->rank, input->shape, got),
                           mmi_onnx_shape_text(rank, shape, wanted));
}

static mm_status infer_gated(struct onnx_inference *x, mm_error *err) {
    const struct gated *p = x->params;
    const struct onnx_tensor *query = &x->inputs[QUERY], *weight = &x->inputs[WEIGHT];
    if (mmi_onnx_has(x, OFFSETS)) {
        return mmi_fail(err, MM_UNSUPPORTED, "a query without padding (token_offset)");
    }
    MMI_TRY(mmi_onnx_check_types(x, TYPES, err));
    if (query->rank != 3 || query->shape[2] % p->num_heads != 0 || weight->rank != 2 ||
        weight->shape[1] % 2 != 0) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its query has %u axes, its weight %u; %" PRId64
                        " heads and two gates wanted",
                        query->rank, weight->rank, p->num_heads);
    }
    int64_t batch = query->shape[0], length = query->shape[1], hidden = query->shape[2];
    int64_t heads = p->num_heads, size = hidden / heads, gates = weight->shape[1];
    MMI_TRY(check_shape(x, QUERY_BIAS, 1, &hidden, err));
    MMI_TRY(check_shape(x, POSITIONS, 4, (const int64_t[]){1, heads, length, length}, err));
    MMI_TRY(check_shape(x, WEIGHT, 2, (const int64_t[]){size, gates}, err));
    MMI_TRY(check_shape(x, BIAS, 1, &gates, err));
    MMI_TRY(check_shape(x, ECO, 4, (const int64_t[]){1, heads, 1, 1}, err));
    uint64_t most = mmi_max_u64(mmi_max_u64((uint64_t)gates, (uint64_t)size), (uint64_t)length);
    uint64_t numbers = mmi_add_cap(mmi_add_cap(most, 3 * (uint64_t)size), (uint64_t)hidden);
    if (!mmi_mul(numbers, sizeof(double), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its rows are too large");
    }
    return mmi_onnx_tensor_set(&x->outputs[0], query->dtype, 4,
                               (const int64_t[]){batch, heads, length, length}, err);
}

/* What all rows share, and a row. Both gates are sums of columns, so that each is one product. */
struct gates {
    double *weight[2], bias[2]; /* [size] each */
    double *query_bias, *query, *row;
    uint64_t size;
};

/* Elements [at, at + count) of an input, in f64. */
static void load(const struct onnx_call *call, uint32_t input, uint64_t at, uint64_t count,
                 double *to) {
    int32_t dtype = call->inputs[input].dtype;
    const uint8_t *from = call->in[input];
    mmi_onnx_convert(dtype, from + at * mmi_onnx_element_bytes(dtype), count, MM_F64, to);
}

static double sum_of(const double *numbers, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        sum += numbers[i];
    }
    return sum;
}

static void sum_columns(const struct onnx_call *call, struct gates *gates) {
    uint64_t count = (uint64_t)call->inputs[WEIGHT].shape[1], half = count / 2;
    for (uint64_t i = 0; i <= gates->size; i++) {
        bool last = i == gates->size;
        load(call, last ? BIAS : WEIGHT, last ? 0 : i * count, count, gates->row);
        for (uint32_t gate = 0; gate < 2; gate++) {
            double sum = sum_of(gates->row + gate * half, half);
            *(last ? &gates->bias[gate] : &gates->weight[gate][i]) = sum;
        }
    }
}

/* Of the query in gates->query. */
static double open_gate(const struct gates *gates, uint32_t gate) {
    double sum = gates->bias[gate];
    for (uint64_t i = 0; i < gates->size; i++) {
        sum += gates->query[i] * gates->weight[gate][i];
    }
    return 1 / (1 + exp(-sum));
}

static mm_status run_gated(const struct onnx_call *call, mm_error *err) {
    const struct onnx_tensor *made = &call->outputs[0];
    uint64_t heads = (uint64_t)made->shape[1], length = (uint64_t)made->shape[2];
    uint64_t hidden = (uint64_t)call->inputs[QUERY].shape[2], size = hidden / heads;
    uint32_t width = mmi_onnx_element_bytes(made->dtype);
    double *scratch = call->scratch, eco;
    struct gates gates = {.weight = {scratch, scratch + size},
                          .query = scratch + 2 * size,
                          .query_bias = scratch + 3 * size,
                          .row = scratch + 3 * size + hidden,
                          .size = size};
    uint8_t *to = call->out[0];
    (void)err;
    sum_columns(call, &gates);
    load(call, QUERY_BIAS, 0, hidden, gates.query_bias);
    for (uint64_t i = 0; to && i < made->elements / length; i++, to += length * width) {
        uint64_t place = i % length, head = i / length % heads, sample = i / length / heads;
        load(call, QUERY, (sample * length + place) * hidden + head * size, size, gates.query);
        for (uint64_t j = 0; j < size; j++) {
            gates.query[j] += gates.query_bias[head * size + j];
        }
        load(call, ECO, head, 1, &eco);
        double factor = open_gate(&gates, 0) * (open_gate(&gates, 1) * eco - 1) + 2;
        load(call, POSITIONS, (head * length + place) * length, length, gates.row);
        for (uint64_t j = 0; j < length; j++) {
            gates.row[j] *= factor;
        }
        mmi_onnx_convert(MM_F64, gates.row, length, made->dtype, to);
    }
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_MsGatedRelativePositionBias = {
    .name = "GatedRelativePositionBias",
    .domain = ONNX_MICROSOFT,
    .min_inputs = 6,
    .max_inputs = 7,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct gated),
    .limits = ONNX_LIMITS(ONNX_AT_LEAST("num_heads", struct gated, num_heads, 1)),
    .read = read_gated,
    .infer = infer_gated,
    .run = run_gated,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_UNKNOWN, ONNX_SIZE_SPREADS, 0},
    .learn = learn_four_axes,
};
