/* SPDX-License-Identifier: Apache-2.0 */

/* Slice, Transpose, Pad, Gather and Tile of random tensors, against index arithmetic for one
 * element at a time. Usage: test_movement_random [SEED] */

#include "one_node.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS 6000

static uint64_t seed;

/* Where the element at `out` of the output comes from; false: it is the constant. */
struct trial {
    uint32_t rank;
    int64_t shape[MM_MAX_RANK]; /* of the input */
    int64_t a[MM_MAX_RANK], b[MM_MAX_RANK], c[MM_MAX_RANK];
    int64_t indices[MM_MAX_RANK * MM_MAX_RANK];
    uint32_t mode, axis;
    bool (*source)(const struct trial *trial, const int64_t *out, int64_t *in);
};

static int64_t below(int64_t limit) {
    return limit > 0 ? (int64_t)test_random_below(&seed, (uint64_t)limit) : 0;
}

static int64_t between(int64_t min, int64_t max) {
    return min + below(max - min + 1);
}

/* A shape of a few thousand elements at most: mostly of 2 or 3 axes, where most kernels differ, now
 * and then of 8, or with an empty one. */
static void choose_shape(struct trial *trial) {
    static const int64_t longest[MM_MAX_RANK + 1] = {1, 300, 60, 18, 7, 5, 4, 3, 3};
    trial->rank = (uint32_t)(below(2) ? between(2, 3) : below(MM_MAX_RANK + 1));
    for (uint32_t i = 0; i < trial->rank; i++) {
        trial->shape[i] = below(40) == 0 ? 0 : between(1, longest[trial->rank]);
    }
}

static const int32_t types[] = {MM_U8, MM_F16, MM_F32, MM_I64, MM_C128};

static struct onnx_tensor *add_data(struct one_node *one, const struct trial *trial) {
    int32_t dtype = types[below(5)];
    struct onnx_tensor *data = one_input(one, dtype, trial->rank, trial->shape, NULL);
    uint8_t *bytes = (uint8_t *)(uintptr_t)data->data;
    for (uint64_t i = 0; i < data->bytes; i++) {
        bytes[i] = (uint8_t)test_random(&seed);
    }
    return data;
}

static void add_ints(struct one_node *one, uint32_t count, const int64_t *ints) {
    one_input(one, MM_I64, 1, (const int64_t[]){count}, ints);
}

/* ---- Checking */

static uint64_t offset_of(const struct onnx_tensor *tensor, const int64_t *at) {
    uint64_t offset = 0;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        assert_true(at[i] >= 0 && at[i] < tensor->shape[i]);
        offset = offset * (uint64_t)tensor->shape[i] + (uint64_t)at[i];
    }
    return offset;
}

static void check(struct one_node *one, const struct trial *trial, const int64_t *shape) {
    static const uint8_t zero[16] = {0};
    const struct onnx_tensor *in = &one->inputs[0], *out = &one->outputs[0];
    uint32_t width = mmi_onnx_element_bytes(in->dtype);
    int64_t at[MM_MAX_RANK], from[MM_MAX_RANK];
    if (one_run(one, 1) != MM_OK) {
        fail_msg("%s: %s", one->op->name, one->bench.err.text);
    }
    assert_int_equal(out->dtype, in->dtype);
    assert_int_equal(out->rank, trial->rank);
    assert_memory_equal(out->shape, shape, trial->rank * sizeof(*shape));
    for (uint64_t i = 0; i < out->elements; i++) {
        uint64_t rest = i;
        for (uint32_t d = trial->rank; d-- > 0;) {
            at[d] = (int64_t)(rest % (uint64_t)shape[d]);
            rest /= (uint64_t)shape[d];
        }
        bool moved = trial->source(trial, at, from);
        const uint8_t *wanted =
            moved ? (const uint8_t *)in->data + offset_of(in, from) * width : zero;
        if (memcmp((const uint8_t *)out->data + i * width, wanted, width) != 0) {
            fail_msg("%s: element %llu of %llu is wrong", one->op->name, (unsigned long long)i,
                     (unsigned long long)out->elements);
        }
    }
}

/* ---- The operators */

/* a: the first place, b: the step. */
static bool source_slice(const struct trial *trial, const int64_t *out, int64_t *in) {
    for (uint32_t i = 0; i < trial->rank; i++) {
        in[i] = trial->a[i] + trial->b[i] * out[i];
    }
    return true;
}

static void run_slice(struct one_node *one, struct trial *trial) {
    int64_t starts[MM_MAX_RANK], ends[MM_MAX_RANK], axes[MM_MAX_RANK], steps[MM_MAX_RANK];
    int64_t shape[MM_MAX_RANK];
    add_data(one, trial);
    for (uint32_t i = 0; i < trial->rank; i++) {
        int64_t length = trial->shape[i];
        axes[i] = below(2) ? i : (int64_t)i - trial->rank;
        starts[i] = between(-length - 2, length + 2);
        ends[i] = between(-length - 2, length + 2);
        steps[i] = between(1, 3) * (below(2) ? 1 : -1);
        bool up = steps[i] > 0;
        int64_t start = starts[i] < 0 ? starts[i] + length : starts[i];
        int64_t end = ends[i] < 0 ? ends[i] + length : ends[i];
        int64_t last = up ? length : length - 1;
        start = start < 0 ? 0 : start;
        start = start > last ? last : start;
        shape[i] = 0;
        for (int64_t at = start; up ? at < end && at < length : at > end && at >= 0;) {
            shape[i]++;
            at += steps[i];
        }
        trial->a[i] = start;
        trial->b[i] = steps[i];
    }
    add_ints(one, trial->rank, starts);
    add_ints(one, trial->rank, ends);
    add_ints(one, trial->rank, axes);
    add_ints(one, trial->rank, steps);
    trial->source = source_slice;
    check(one, trial, shape);
}

/* a: perm. */
static bool source_transpose(const struct trial *trial, const int64_t *out, int64_t *in) {
    for (uint32_t i = 0; i < trial->rank; i++) {
        in[trial->a[i]] = out[i];
    }
    return true;
}

static void run_transpose(struct one_node *one, struct trial *trial) {
    int64_t shape[MM_MAX_RANK];
    add_data(one, trial);
    for (uint32_t i = 0; i < trial->rank; i++) { /* a shuffle, from the inside out */
        int64_t j = below(i + 1);
        trial->a[i] = trial->a[j];
        trial->a[j] = i;
    }
    for (uint32_t i = 0; i < trial->rank; i++) {
        shape[i] = trial->shape[trial->a[i]];
    }
    one->node.attributes = mmi_onnx_take(&one->bench.arena, 1, sizeof(*one->node.attributes));
    one->node.attribute_count = trial->rank > 0;
    one->node.attributes[0] = (struct onnx_attribute){
        .name = "perm", .type = ONNX_ATTRIBUTE_INTS, .count = trial->rank, .ints = trial->a};
    trial->source = source_transpose;
    check(one, trial, shape);
}

/* a: pads before, b: pads behind. */
static bool source_pad(const struct trial *trial, const int64_t *out, int64_t *in) {
    for (uint32_t i = 0; i < trial->rank; i++) {
        int64_t first = trial->a[i] < 0 ? -trial->a[i] : 0;
        int64_t kept = trial->shape[i] - first + (trial->b[i] < 0 ? trial->b[i] : 0);
        int64_t at = out[i] - (trial->a[i] > 0 ? trial->a[i] : 0);
        if (trial->mode == 0 && (at < 0 || at >= kept)) {
            return false;
        }
        if (trial->mode == 1 && kept > 1) {
            int64_t period = 2 * (kept - 1);
            at = (at % period + period) % period;
            at = at < kept ? at : period - at;
        } else if (trial->mode == 3) {
            at = (at % kept + kept) % kept;
        }
        at = at < 0 ? 0 : at >= kept ? kept - 1 : at;
        in[i] = first + at;
    }
    return true;
}

static void run_pad(struct one_node *one, struct trial *trial) {
    int64_t pads[2 * MM_MAX_RANK], shape[MM_MAX_RANK];
    int64_t max = trial->rank > 4 ? 1 : 4;
    for (uint32_t i = 0; i < trial->rank; i++) {
        trial->shape[i] += trial->shape[i] == 0; /* nothing to repeat: another test's */
    }
    add_data(one, trial);
    for (uint32_t i = 0; i < trial->rank; i++) {
        int64_t min = trial->shape[i] > 2 ? -1 : 0;
        trial->a[i] = pads[i] = between(min, max);
        trial->b[i] = pads[i + trial->rank] = between(min, max);
        shape[i] = trial->shape[i] + trial->a[i] + trial->b[i];
    }
    add_ints(one, 2 * trial->rank, pads);
    trial->source = source_pad;
    check(one, trial, shape);
}

static bool source_gather(const struct trial *trial, const int64_t *out, int64_t *in) {
    memcpy(in, out, trial->rank * sizeof(*in));
    int64_t index = trial->indices[out[trial->axis]];
    in[trial->axis] = index < 0 ? index + trial->shape[trial->axis] : index;
    return true;
}

static void run_gather(struct one_node *one, struct trial *trial) {
    int64_t shape[MM_MAX_RANK];
    trial->rank += trial->rank == 0;
    trial->axis = trial->rank - 1 - trial->mode % trial->rank;
    trial->shape[trial->axis] += trial->shape[trial->axis] == 0;
    int64_t count = between(0, 9), length = trial->shape[trial->axis];
    add_data(one, trial);
    for (int64_t i = 0; i < count; i++) {
        trial->indices[i] = between(-length, length - 1);
    }
    memcpy(shape, trial->shape, sizeof(shape));
    shape[trial->axis] = count;
    add_ints(one, (uint32_t)count, trial->indices);
    trial->source = source_gather;
    check(one, trial, shape);
}

static bool source_tile(const struct trial *trial, const int64_t *out, int64_t *in) {
    for (uint32_t i = 0; i < trial->rank; i++) {
        in[i] = out[i] % trial->shape[i];
    }
    return true;
}

static void run_tile(struct one_node *one, struct trial *trial) {
    int64_t repeats[MM_MAX_RANK], shape[MM_MAX_RANK];
    add_data(one, trial);
    for (uint32_t i = 0; i < trial->rank; i++) {
        repeats[i] = between(below(20) > 0, trial->rank > 4 ? 2 : 3);
        shape[i] = trial->shape[i] * repeats[i];
    }
    add_ints(one, trial->rank, repeats);
    trial->source = source_tile;
    check(one, trial, shape);
}

/* ---- */

static const struct {
    const char *type, *attributes[4];
    void (*run)(struct one_node *one, struct trial *trial);
} operators[] = {
    {"Slice", {"", "", "", ""}, run_slice},
    {"Transpose", {"", "", "", ""}, run_transpose},
    {"Pad", {"mode=constant", "mode=reflect", "mode=edge", "mode=wrap"}, run_pad},
    {"Gather", {"axis=-1", "axis=-2", "axis=-3", "axis=-4"}, run_gather},
    {"Tile", {"", "", "", ""}, run_tile},
};

static void test_random_moves(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct trial trial = {.mode = (uint32_t)below(4)};
        size_t which = (size_t)below(sizeof(operators) / sizeof(operators[0]));
        struct one_node one;
        choose_shape(&trial);
        if (strcmp(operators[which].type, "Gather") == 0) {
            trial.mode = trial.rank > 0 ? trial.mode % trial.rank : 0;
        }
        one_init(&one, operators[which].type, operators[which].attributes[trial.mode]);
        operators[which].run(&one, &trial);
        one_fini(&one);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_moves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
