/* SPDX-License-Identifier: Apache-2.0 */

/* TopK: the best k elements along an axis, in order; of equal ones the first. What is no number is
 * the largest, as numpy has it. A heap of k keys has the worst of them on top. */

#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/number.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct topk {
    int64_t axis, largest;
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct topk *topk = params;
    mmi_onnx_attribute(mmi_onnx_since(a, 11), "sorted"); /* any order will do without it */
    MMI_TRY(mmi_onnx_read_int(a, "axis", -1, &topk->axis, err));
    return mmi_onnx_read_int(mmi_onnx_since(a, 11), "largest", 1, &topk->largest, err);
}

/* A larger key is better. */
struct entry {
    uint64_t key, index;
};

static mm_status infer(struct onnx_inference *x, mm_error *err) {
    const struct topk *topk = x->params;
    const struct onnx_tensor *input = &x->inputs[0];
    int64_t shape[MM_MAX_RANK];
    struct onnx_ints k;
    uint32_t axis;
    MMI_TRY(mmi_onnx_check_type(x, 0, ONNX_REALS, err));
    MMI_TRY(mmi_onnx_check_axis(topk->axis, input->rank, &axis, err));
    MMI_TRY(mmi_onnx_known_ints(x, 1, "k", &k, err));
    memcpy(shape, input->shape, sizeof(shape));
    if (k.count != 1 || k.at[0] < 0 || k.at[0] > shape[axis]) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "its k is %u numbers, the first %" PRId64 "; one of 0 to %" PRId64
                        " wanted",
                        k.count, k.count > 0 ? k.at[0] : 0, shape[axis]);
    }
    shape[axis] = k.at[0];
    if (!mmi_mul((uint64_t)k.at[0], sizeof(struct entry), &x->scratch_bytes)) {
        return mmi_fail(err, MM_TOO_LARGE, "its k is %" PRId64, k.at[0]);
    }
    MMI_TRY(mmi_onnx_tensor_set(&x->outputs[0], input->dtype, input->rank, shape, err));
    if (x->output_count < 2) {
        return MM_OK;
    }
    return mmi_onnx_tensor_set(&x->outputs[1], MM_I64, input->rank, shape, err);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

#define TOP_BIT (UINT64_C(1) << 63)

/* Unsigned numbers in the order of the elements. */
static uint64_t key_of_f64(double value) {
    uint64_t bits;
    value = value == 0 ? 0 : value; /* -0 is 0 */
    memcpy(&bits, &value, sizeof(bits));
    return isnan(value) ? UINT64_MAX : bits & TOP_BIT ? ~bits : bits | TOP_BIT;
}

static void load_keys(int32_t dtype, const void *from, uint64_t count, bool largest,
                      uint64_t *keys) {
    union onnx_chunk numbers;
    const void *loaded = mmi_onnx_load_numbers(dtype, from, count, &numbers);
    for (uint64_t i = 0; i < count; i++) {
        switch (mmi_onnx_number(dtype)) {
        case ONNX_F32:
            keys[i] = key_of_f64((double)((const float *)loaded)[i]);
            break;
        case ONNX_F64:
            keys[i] = key_of_f64(((const double *)loaded)[i]);
            break;
        case ONNX_I64:
            keys[i] = ((const uint64_t *)loaded)[i] ^ TOP_BIT;
            break;
        default:
            keys[i] = ((const uint64_t *)loaded)[i];
            break;
        }
        keys[i] = largest ? keys[i] : ~keys[i];
    }
}

/* ---- The heap -------------------------------------------------------------------------------- */

static bool is_worse(const struct entry *a, const struct entry *b) {
    return a->key < b->key || (a->key == b->key && a->index > b->index);
}

/* Entry `at` of [count] goes down to its place: nothing below is worse. */
static void sink(struct entry *heap, uint64_t count, uint64_t at) {
    struct entry entry = heap[at];
    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_worse(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!is_worse(&heap[child], &entry)) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = entry;
}

/* From the best to the worst. */
static void sort(struct entry *heap, uint64_t count) {
    while (count > 1) {
        struct entry worst = heap[0];
        heap[0] = heap[--count];
        heap[count] = worst;
        sink(heap, count, 0);
    }
}

/* Elements that lie `step` elements apart. */
struct line {
    int32_t dtype;
    uint32_t width;
    uint64_t length, step;
    const uint8_t *from;
    bool largest;
};

static void load_line(const struct line *line, uint64_t first, uint64_t count, uint64_t *keys) {
    uint64_t room[ONNX_CHUNK];
    const uint8_t *from = line->from + first * line->step * line->width;
    if (line->step == 1) {
        load_keys(line->dtype, from, count, line->largest, keys);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        mmi_onnx_copy((uint8_t *)room + i * line->width, from + i * line->step * line->width,
                      line->width);
    }
    load_keys(line->dtype, room, count, line->largest, keys);
}

static void choose(const struct line *line, struct entry *heap, uint64_t k) {
    uint64_t keys[ONNX_CHUNK];
    for (uint64_t first = 0; first < line->length; first += ONNX_CHUNK) {
        uint64_t count = mmi_min_u64(ONNX_CHUNK, line->length - first);
        load_line(line, first, count, keys);
        for (uint64_t i = 0; i < count; i++) {
            struct entry entry = {keys[i], first + i};
            if (entry.index < k) {
                heap[entry.index] = entry;
                for (uint64_t at = k / 2; entry.index + 1 == k && at-- > 0;) {
                    sink(heap, k, at);
                }
            } else if (is_worse(&heap[0], &entry)) {
                heap[0] = entry;
                sink(heap, k, 0);
            }
        }
    }
    sort(heap, k);
}

/* ---- All of it ------------------------------------------------------------------------------- */

static mm_status run(const struct onnx_call *call, mm_error *err) {
    const struct topk *topk = call->params;
    const struct onnx_tensor *input = &call->inputs[0], *output = &call->outputs[0];
    struct line line = {.dtype = input->dtype,
                        .width = mmi_onnx_element_bytes(input->dtype),
                        .largest = topk->largest != 0};
    uint8_t *values = call->out[0];
    int64_t *indices = call->output_count > 1 ? call->out[1] : NULL;
    struct entry *heap = call->scratch;
    uint32_t axis = 0;
    (void)err;
    mmi_onnx_axis(topk->axis, input->rank, &axis);
    if (output->elements == 0) {
        return MM_OK;
    }
    struct onnx_split split = mmi_onnx_split_at(input, axis);
    uint64_t k = (uint64_t)output->shape[axis];
    line.length = split.length;
    line.step = split.inner;
    for (uint64_t i = 0; i < split.outer * split.inner; i++) {
        uint64_t outer = i / split.inner, inner = i % split.inner;
        line.from = call->in[0];
        line.from += (outer * split.length * split.inner + inner) * line.width;
        choose(&line, heap, k);
        for (uint64_t j = 0; j < k; j++) {
            uint64_t to = (outer * k + j) * split.inner + inner;
            if (values) {
                mmi_onnx_copy(values + to * line.width,
                              line.from + heap[j].index * line.step * line.width, line.width);
            }
            if (indices) {
                indices[to] = (int64_t)heap[j].index;
            }
        }
    }
    return MM_OK;
}

static void learn(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    if (output == 1) {
        *fact = (struct onnx_fact){.dtype = MM_I64, .rank = mmi_onnx_fact(l, 0).rank};
    }
}

const struct onnx_operator mmi_onnx_op_TopK = {
    .name = "TopK",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 2,
    .params_bytes = sizeof(struct topk),
    .shaping_inputs = 1u << 1,
    .read = read,
    .infer = infer,
    .run = run,
    .facts = {ONNX_DTYPE_OF_0, ONNX_RANK_OF_0, ONNX_SIZE_REDUCES, 0},
    .learn = learn,
};
