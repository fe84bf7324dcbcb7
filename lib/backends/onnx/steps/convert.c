/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/steps/running.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

/* ---- Inputs ---------------------------------------------------------------------------------- */

static mm_status read_strings(struct onnx_run_memory *memory, const mm_value *input,
                              struct onnx_run_value *value, mm_error *err) {
    MMI_TRY(mmi_onnx_make_tensor(memory, MM_STRING, input->rank, input->shape, value, err));
    struct onnx_string *strings = mmi_onnx_value_data(value);
    const char *text = input->data;
    for (uint64_t i = 0; i < value->tensor.elements; i++) {
        uint64_t from = input->offsets[i];
        strings[i] = (struct onnx_string){text ? text + from : "", input->offsets[i + 1] - from};
    }
    return MM_OK;
}

static mm_status read_tensor(struct onnx_run_memory *memory, const mm_value *input,
                             struct onnx_run_value *value, mm_error *err) {
    if (input->dtype == MM_STRING) {
        return read_strings(memory, input, value, err);
    }
    MMI_TRY(mmi_onnx_tensor_set(&value->tensor, input->dtype, input->rank, input->shape, err));
    value->tensor.data = value->tensor.bytes == 0 ? mmi_onnx_nothing : input->data;
    value->there = true;
    return MM_OK;
}

mm_status mmi_onnx_read_input(struct onnx_run_memory *memory, const mm_value *input,
                              struct onnx_run_value *value, mm_error *err) {
    *value = (struct onnx_run_value){0};
    if (input->kind == MM_TENSOR) {
        return read_tensor(memory, input, value, err);
    }
    MMI_TRY(mmi_onnx_make_items(memory, input->kind, input->item_count, value, err));
    for (uint64_t i = 0; i < input->item_count; i++) {
        MMI_TRY(mmi_onnx_read_input(memory, &input->items[i], &value->items[i], err));
    }
    return MM_OK;
}

/* ---- Outputs --------------------------------------------------------------------------------- */

/* Memory of the response: of an output itself, or (index ONNX_NO_VALUE) of an item in it. */
static mm_status take(mm_exec *exec, uint32_t index, uint64_t bytes, void **memory, mm_error *err) {
    *memory =
        index == ONNX_NO_VALUE ? exec->output_part(exec, bytes) : exec->output(exec, index, bytes);
    return *memory ? MM_OK
                   : mmi_fail(err, MM_BUFFER_TOO_SMALL, "no memory for %llu bytes of a result",
                              (unsigned long long)bytes);
}

static mm_status write_strings(mm_exec *exec, uint32_t index, const struct onnx_tensor *tensor,
                               mm_value *to, mm_error *err) {
    const struct onnx_string *strings = tensor->data;
    uint64_t bytes = 0, entries = tensor->elements + 1;
    for (uint64_t i = 0; i < tensor->elements; i++) {
        bytes = mmi_add_cap(bytes, strings[i].bytes);
    }
    void *text = NULL, *offsets = NULL;
    MMI_TRY(take(exec, index, bytes, &text, err));
    MMI_TRY(take(exec, ONNX_NO_VALUE, entries * sizeof(*to->offsets), &offsets, err));
    to->data = text;
    to->offsets = offsets;
    to->bytes = 0;
    for (uint64_t i = 0; i < tensor->elements; i++) {
        to->offsets[i] = to->bytes;
        if (strings[i].bytes > 0) {
            memcpy((char *)text + to->bytes, strings[i].at, strings[i].bytes);
        }
        to->bytes += strings[i].bytes;
    }
    to->offsets[tensor->elements] = to->bytes;
    return MM_OK;
}

static mm_status write_tensor(mm_exec *exec, uint32_t index, const struct onnx_tensor *tensor,
                              mm_value *to, mm_error *err) {
    to->kind = MM_TENSOR;
    to->dtype = tensor->dtype;
    to->rank = tensor->rank;
    memcpy(to->shape, tensor->shape, sizeof(to->shape));
    if (tensor->dtype == MM_STRING) {
        return write_strings(exec, index, tensor, to, err);
    }
    to->bytes = tensor->bytes;
    MMI_TRY(take(exec, index, tensor->bytes, &to->data, err));
    if (tensor->bytes > 0) {
        memcpy(to->data, tensor->data, tensor->bytes);
    }
    return MM_OK;
}

static mm_status write_value(mm_exec *exec, uint32_t index, const struct onnx_run_value *value,
                             mm_value *to, mm_error *err) {
    if (value->kind == MM_TENSOR) {
        return write_tensor(exec, index, &value->tensor, to, err);
    }
    void *items = NULL;
    MMI_TRY(take(exec, ONNX_NO_VALUE, value->item_count * sizeof(mm_value), &items, err));
    to->kind = value->kind;
    to->items = items;
    to->item_count = value->item_count;
    for (uint64_t i = 0; i < value->item_count; i++) {
        to->items[i] = (mm_value){0};
        MMI_TRY(write_value(exec, ONNX_NO_VALUE, &value->items[i], &to->items[i], err));
    }
    return MM_OK;
}

mm_status mmi_onnx_write_output(mm_exec *exec, uint32_t index, const struct onnx_run_value *value,
                                mm_value *output, mm_error *err) {
    return output->flags & MM_VALUE_UNWANTED ? MM_OK : write_value(exec, index, value, output, err);
}
