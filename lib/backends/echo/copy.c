/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/echo/state.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

static mm_status take(mm_exec *exec, uint64_t count, uint64_t item_bytes, void **memory,
                      mm_error *err) {
    uint64_t bytes;
    *memory = mmi_mul(count, item_bytes, &bytes) ? exec->output_part(exec, bytes) : NULL;
    return *memory ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "echo: no memory for a part of an output");
}

mm_status mmi_echo_move(const mm_exec *exec, const mm_value *from, const mm_value *to,
                        uint64_t offset, mm_error *err) {
    void *at = (uint8_t *)to->data + offset;
    bool from_there = from->flags & MM_VALUE_LOCATION, to_there = to->flags & MM_VALUE_LOCATION;
    if (from->bytes == 0) {
        return MM_OK;
    }
    if (!from_there && !to_there) {
        memcpy(at, from->data, from->bytes);
        return MM_OK;
    }
    const mm_device *device = exec->device;
    const mm_device_calls *calls = device->calls;
    if (to_there) {
        return (from_there ? calls->copy : calls->copy_in)(device->host, exec->stream, at,
                                                           from->data, from->bytes, err);
    }
    mm_device_event back;
    MMI_TRY(calls->copy_out(device->host, exec->stream, at, from->data, from->bytes, err));
    MMI_TRY(calls->record(device->host, exec->stream, &back, err));
    return calls->wait(device->host, &back, err);
}

static mm_status copy_tensor(mm_exec *exec, const mm_value *from, mm_value *to, mm_error *err) {
    if (from->bytes > 0) {
        if (!to->data) {
            MMI_TRY(take(exec, from->bytes, 1, &to->data, err));
        }
        MMI_TRY(mmi_echo_move(exec, from, to, 0, err));
    }
    if (from->dtype == MM_STRING) {
        uint64_t count = mm_shape_elements(from->rank, from->shape) + 1;
        void *offsets;
        MMI_TRY(take(exec, count, sizeof(*to->offsets), &offsets, err));
        to->offsets = offsets;
        memcpy(offsets, from->offsets, count * sizeof(*to->offsets));
    }
    return MM_OK;
}

mm_status mmi_echo_copy(mm_exec *exec, const mm_value *from, mm_value *to, uint32_t nesting,
                        mm_error *err) {
    if (nesting == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "echo: the value is nested too deep");
    }
    to->kind = from->kind;
    to->dtype = from->dtype;
    to->rank = from->rank;
    memcpy(to->shape, from->shape, sizeof(to->shape));
    to->bytes = from->bytes;
    to->item_count = from->item_count;
    if (from->kind == MM_TENSOR) {
        return copy_tensor(exec, from, to, err);
    }
    uint64_t count = from->kind == MM_MAP ? 2 : from->item_count;
    if (count == 0) {
        return MM_OK;
    }
    void *items;
    MMI_TRY(take(exec, count, sizeof(*to->items), &items, err));
    memset(items, 0, count * sizeof(*to->items));
    to->items = items;
    for (uint64_t i = 0; i < count; i++) {
        MMI_TRY(mmi_echo_copy(exec, &from->items[i], &to->items[i], nesting - 1, err));
    }
    return MM_OK;
}
