/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/walk.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

static struct onnx_known nothing(void) {
    return (struct onnx_known){.buffer = ONNX_NO_BUFFER};
}

struct onnx_known *mmi_onnx_know_anew(struct onnx_walk *walk, uint32_t value) {
    walk->known[value] = nothing();
    walk->known[value].made = true;
    return &walk->known[value];
}

static void know_constants(struct onnx_walk *walk) {
    const struct onnx_prepared *prepared = walk->start->prepared;
    for (uint32_t i = 0; i < prepared->model.value_count; i++) {
        const struct onnx_tensor *constant = prepared->model.values[i].constant;
        walk->known[i] = nothing();
        if (!constant) {
            continue;
        }
        walk->known[i].tensor = *constant;
        walk->known[i].place =
            constant->bytes == 0 ? (struct onnx_place){0}
            : constant->known ? (struct onnx_place){.base = ONNX_AT_MEMORY, .known = constant->data}
                              : (struct onnx_place){.base = ONNX_AT_WEIGHTS,
                                                    .offset = prepared->weights.offsets[i]};
    }
}

/* A copy, which is the same for all runs of the plan, whatever becomes of the original. */
static mm_status know_elements(struct onnx_walk *walk, struct onnx_known *known, const void *data,
                               mm_error *err) {
    uint64_t bytes = known->tensor.bytes;
    void *copy = mmi_onnx_take_data(walk->keep, bytes);
    if (!copy) {
        return mmi_onnx_walk_no_memory(err);
    }
    if (bytes > 0) {
        memcpy(copy, data, bytes);
        known->place = (struct onnx_place){.base = ONNX_AT_MEMORY, .known = copy};
    }
    known->tensor.data = copy;
    known->tensor.known = 1;
    walk->known_bytes = mmi_add_cap(walk->known_bytes, mmi_add_cap(bytes, bytes));
    return MM_OK;
}

static mm_status know_input(struct onnx_walk *walk, uint32_t i, mm_error *err) {
    const struct onnx_model *model = &walk->start->prepared->model;
    const mm_value *input = &walk->start->inputs[i];
    struct onnx_known *known = &walk->known[model->main->inputs[i]];
    if (input->kind != MM_TENSOR && model->defaults && model->defaults[i] != ONNX_NO_VALUE) {
        *known = walk->known[model->defaults[i]];
        return MM_OK;
    }
    if (input->kind != MM_TENSOR) {
        known->no_tensor = model->inputs[i].kind != MM_TENSOR; /* or it is left out */
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_tensor_set(&known->tensor, input->dtype, input->rank, input->shape, err));
    if (known->tensor.bytes > 0) {
        known->place = (struct onnx_place){.base = ONNX_AT_INPUT, .index = i};
    }
    bool there = input->bytes == known->tensor.bytes && (input->data || input->bytes == 0);
    if (model->inputs[i].flags & MM_VALUE_INFO_SHAPE_INPUT && there) {
        return know_elements(walk, known, input->data, err);
    }
    return MM_OK;
}

mm_status mmi_onnx_know_beginning(struct onnx_walk *walk, mm_error *err) {
    const struct onnx_model *model = &walk->start->prepared->model;
    walk->known = mmi_onnx_take(&walk->work, model->value_count, sizeof(*walk->known));
    if (!walk->known) {
        return mmi_onnx_walk_no_memory(err);
    }
    know_constants(walk);
    for (uint32_t i = 0; i < model->main->input_count; i++) {
        MMI_TRY(know_input(walk, i, err));
    }
    return MM_OK;
}

/* A tensor of an earlier segment. The plan holds for its shape and, where they follow from shapes,
 * its elements. */
static mm_status know_run_value(struct onnx_walk *walk, uint32_t value,
                                const struct onnx_run_value *from, mm_error *err) {
    struct onnx_known *known = &walk->known[value];
    if (!mmi_onnx_grow(walk->keep, (void **)&walk->guards, &walk->guard_capacity, walk->guard_count,
                       sizeof(*walk->guards))) {
        return mmi_onnx_walk_no_memory(err);
    }
    known->tensor = from->tensor;
    known->tensor.data = NULL;
    known->tensor.known = 0;
    if (from->tensor.bytes > 0) {
        known->place = (struct onnx_place){.base = ONNX_AT_VALUE, .index = value};
    }
    if (from->tensor.known) {
        MMI_TRY(know_elements(walk, known, from->tensor.data, err));
    }
    walk->guards[walk->guard_count++] =
        (struct onnx_placed){.value = value, .tensor = known->tensor, .place = known->place};
    return MM_OK;
}

mm_status mmi_onnx_know(struct onnx_walk *walk, uint32_t value, const struct onnx_known **known,
                        mm_error *err) {
    const struct onnx_run_value *from = walk->start->values ? &walk->start->values[value] : NULL;
    struct onnx_known *here = &walk->known[value];
    bool new = here->tensor.dtype == MM_DTYPE_NONE &&from && from->there;
    if (new && from->kind == MM_TENSOR) {
        MMI_TRY(know_run_value(walk, value, from, err));
    }
    here->no_tensor |= new && from->kind != MM_TENSOR;
    *known = here;
    return MM_OK;
}
