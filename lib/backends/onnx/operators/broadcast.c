/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/broadcast.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

/* A stretch that ends where an operand jumps is not worth its while if it is shorter. */
#define SHORT 64

#define INLINE static inline __attribute__((always_inline))

static mm_status refuse(const struct onnx_tensor *a, const struct onnx_tensor *b, mm_error *err) {
    char texts[2][ONNX_SHAPE_TEXT];
    return mmi_fail(err, MM_INVALID_MODEL, "shapes %s and %s of its inputs do not broadcast",
                    mmi_onnx_shape_text(a->rank, a->shape, texts[0]),
                    mmi_onnx_shape_text(b->rank, b->shape, texts[1]));
}

mm_status mmi_onnx_infer_broadcast(struct onnx_inference *x, int32_t dtype, mm_error *err) {
    struct onnx_tensor shape = {.rank = 0};
    for (uint32_t i = 0; i < x->input_count; i++) {
        const struct onnx_tensor *input = &x->inputs[i];
        if (mmi_onnx_has(x, i) &&
            !mmi_onnx_broadcast(shape.rank, shape.shape, input->rank, input->shape, &shape)) {
            return refuse(&shape, input, err);
        }
    }
    return mmi_onnx_tensor_set(&x->outputs[0], dtype, shape.rank, shape.shape, err);
}

void mmi_onnx_operand_set(struct onnx_operand *operand, const struct onnx_tensor *output,
                          const struct onnx_tensor *input, const void *data) {
    *operand = (struct onnx_operand){.data = data, .width = mmi_onnx_element_bytes(input->dtype)};
    uint64_t bytes = operand->width; /* from one element along the axis to the next */
    for (uint32_t i = 0; i < output->rank && output->elements > 0; i++) {
        uint64_t count = (uint64_t)output->shape[output->rank - 1 - i];
        bool repeated = i >= input->rank || input->shape[input->rank - 1 - i] == 1;
        uint64_t step = repeated ? 0 : bytes;
        bytes *= repeated ? 1 : count;
        if (count == 1) {
            continue;
        }
        uint32_t last = operand->rank - 1;
        if (operand->rank > 0 && operand->count[last] * operand->step[last] == step) {
            operand->count[last] *= count;
        } else {
            operand->count[operand->rank] = count;
            operand->step[operand->rank++] = step;
        }
    }
    if (operand->rank == 0) {
        operand->count[operand->rank++] = 1;
    }
}

uint64_t mmi_onnx_stretch_count(const struct onnx_operand *operands, uint32_t operand_count,
                                uint64_t elements, uint64_t at) {
    /* Each is a product of trailing axes of the output: the shortest divides all others. */
    uint64_t run = elements;
    for (uint32_t i = 0; i < operand_count; i++) {
        run = mmi_min_u64(run, operands[i].count[0]);
    }
    return run >= SHORT ? run - at % run : mmi_min_u64(ONNX_STRETCH, elements - at);
}

/* Where along its axes an operand stands. */
struct place {
    const uint8_t *data; /* element 0 along axis 0 */
    uint64_t at[MM_MAX_RANK];
};

static struct place find(const struct onnx_operand *operand, uint64_t element) {
    struct place place = {.data = operand->data};
    for (uint32_t i = 0; i < operand->rank; i++) {
        place.at[i] = element % operand->count[i];
        place.data += i > 0 ? place.at[i] * operand->step[i] : 0;
        element /= operand->count[i];
    }
    return place;
}

/* Axis 0 is done: one further along the others. */
static void step_on(const struct onnx_operand *operand, struct place *place) {
    place->at[0] = 0;
    for (uint32_t i = 1; i < operand->rank; i++) {
        place->data += operand->step[i];
        if (++place->at[i] < operand->count[i]) {
            return;
        }
        place->data -= operand->step[i] * operand->count[i];
        place->at[i] = 0;
    }
}

INLINE void gather(const struct onnx_operand *operand, struct place place, uint64_t count,
                   uint8_t *to, uint32_t width) {
    uint64_t step = operand->step[0];
    for (uint64_t done = 0; done < count; step_on(operand, &place)) {
        uint64_t run = mmi_min_u64(operand->count[0] - place.at[0], count - done);
        const uint8_t *from = place.data + place.at[0] * step;
        for (uint64_t i = 0; i < run; i++) {
            memcpy(to + (done + i) * width, from + i * step, width);
        }
        done += run;
    }
}

struct onnx_stretch mmi_onnx_operand_at(const struct onnx_operand *operand, uint64_t first,
                                        uint64_t count, void *buffer) {
    struct place place = find(operand, first);
    if (count <= operand->count[0] - place.at[0]) {
        uint64_t step = operand->step[0];
        return (struct onnx_stretch){place.data + place.at[0] * step, step > 0};
    }
    switch (operand->width) {
    case 1:
        gather(operand, place, count, buffer, 1);
        break;
    case 2:
        gather(operand, place, count, buffer, 2);
        break;
    case 4:
        gather(operand, place, count, buffer, 4);
        break;
    default:
        gather(operand, place, count, buffer, 8);
        break;
    }
    return (struct onnx_stretch){buffer, 1};
}
