/* SPDX-License-Identifier: Apache-2.0 */
/* Where outputs go: straight to the caller's buffers when all sizes are known before the run; else
 * to memory of the response first, so that a buffer that is too small never holds half a result. */
#include <api/request.h>
#include <api/value.h>

#include <base/checked.h>

#include <string.h>

/* The response owns a list of buffers, which may outlive the mesh. */
static void *own(struct mmi_sink *sink, uint64_t bytes) {
    struct mmi_buffer *buffer = mmi_buffer_take(sink->call->mesh->buffers, bytes);
    if (!buffer) {
        return NULL;
    }
    buffer->next = sink->response->owned;
    sink->response->owned = buffer;
    return buffer->memory;
}

/* Remove everything that is the library's; the caller's array stays. */
void mm_response_free(mm_response *response) {
    if (!response) {
        return;
    }
    if (response->flags & MM_RESPONSE_ARRAY) {
        response->outputs = NULL;
    } else if (response->outputs) {
        for (uint32_t i = 0; i < response->output_count; i++) {
            if (response->outputs[i].flags & MM_VALUE_OWNED) {
                response->outputs[i] = (mm_value){.name = response->outputs[i].name};
            }
        }
    }
    for (struct mmi_buffer *buffer = response->owned; buffer;) {
        struct mmi_buffer *next = buffer->next;
        mmi_buffer_give(buffer);
        buffer = next;
    }
    response->owned = NULL;
    response->output_count = 0;
    response->flags &= ~(uint32_t)MM_RESPONSE_ARRAY;
}

/* ---- Before the run ------------------------------------------------------------------------- */

static mm_value *callers(const struct mmi_sink *sink, uint32_t k) {
    const mm_response *response = sink->response;
    bool given = response->outputs && response->outputs[k].data;
    return given ? &response->outputs[k] : NULL;
}

/* Where it lies; 0 = in memory of the host, or there is none. */
static uint32_t place_of(const struct mmi_sink *sink, const mm_value *buffer) {
    return buffer ? mmi_location_memory(sink->call->mesh, buffer->flags) : 0;
}

static bool simple(const mm_value *value) {
    return value->kind == MM_TENSOR && value->dtype != MM_STRING;
}

/* Reports every needed size to the caller. */
static mm_status too_small(const struct mmi_sink *sink, uint32_t k, mm_error *err) {
    const struct mmi_call *call = sink->call;
    mm_value *buffers = sink->response->outputs;
    uint64_t need = call->values[call->order[k]].bytes;
    uint64_t had = buffers[k].bytes, entries = buffers[k].item_count;
    for (uint32_t i = 0; i < call->wanted_count; i++) {
        const mm_value *value = &call->values[call->order[i]];
        buffers[i].bytes = value->bytes;
        if (value->dtype == MM_STRING && value->kind == MM_TENSOR) {
            buffers[i].item_count = mm_shape_elements(value->rank, value->shape) + 1;
        }
    }
    const char *what = "bytes";
    if (had >= need) { /* of text: there are too few offsets */
        what = "bytes of offsets";
        need = buffers[k].item_count * sizeof(uint64_t);
        had = mmi_min_u64(entries, UINT64_MAX / sizeof(uint64_t)) * sizeof(uint64_t);
    }
    return mmi_fail_room(err, MM_BUFFER_TOO_SMALL, need, had,
                         "output %s: needs %llu %s, the buffer has %llu",
                         call->opened->description.outputs[call->order[k]].name,
                         (unsigned long long)need, what, (unsigned long long)had);
}

static mm_status direct_buffers(struct mmi_sink *sink, mm_value *values, mm_error *err) {
    const struct mmi_call *call = sink->call;
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        const mm_value *buffer = callers(sink, k);
        if (buffer && buffer->bytes < values[call->order[k]].bytes) {
            return too_small(sink, k, err);
        }
    }
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        mm_value *value = &values[call->order[k]];
        const mm_value *buffer = callers(sink, k);
        value->data = buffer ? buffer->data : own(sink, value->bytes);
        value->flags = buffer ? place_of(sink, buffer) : MM_VALUE_OWNED;
        if (!value->data) {
            return mmi_fail(err, MM_NO_MEMORY, "output: no memory for %llu bytes",
                            (unsigned long long)value->bytes);
        }
    }
    return MM_OK;
}

/* Some buffer lies neither on the host nor where the run takes values. */
static bool elsewhere(const struct mmi_sink *sink) {
    bool found = false;
    for (uint32_t k = 0; k < sink->call->wanted_count; k++) {
        uint32_t place = place_of(sink, callers(sink, k));
        found |= place != 0 && place != sink->call->place;
    }
    return found;
}

/* What the run writes where the caller's buffer lies, though not all can be; the rest goes to
 * memory of the response. */
static mm_status some_buffers(struct mmi_sink *sink, mm_value *values, const uint8_t *exactness,
                              mm_error *err) {
    const struct mmi_call *call = sink->call;
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        mm_value *value = &values[call->order[k]];
        const mm_value *buffer = callers(sink, k);
        bool exact = exactness[call->order[k]] == MM_SIZE_EXACT && simple(value);
        bool small = exact && buffer && buffer->bytes < value->bytes;
        uint32_t place = place_of(sink, buffer);
        if (place != 0 && place == call->place && !small) {
            value->flags = place;
            value->data = exact ? buffer->data : NULL;
        } else if (exact && !(value->data = own(sink, value->bytes))) {
            return mmi_fail(err, MM_NO_MEMORY, "output: no memory for %llu bytes",
                            (unsigned long long)value->bytes);
        }
    }
    return MM_OK;
}

static mm_status begin(void *ctx, const mm_description *description, const mm_size *size,
                       mm_value *values, mm_error *err) {
    struct mmi_sink *sink = ctx;
    sink->direct = !elsewhere(sink);
    for (uint32_t i = 0; i < description->output_count; i++) {
        uint32_t flags = values[i].flags;
        values[i] = size->outputs[i];
        values[i].flags = flags;
        values[i].data = NULL;
        bool wanted = !(flags & MM_VALUE_UNWANTED);
        bool known = size->exactness[i] == MM_SIZE_EXACT && simple(&values[i]);
        sink->direct = sink->direct && (!wanted || known);
    }
    return sink->direct ? direct_buffers(sink, values, err)
                        : some_buffers(sink, values, size->exactness, err);
}

/* Called by the backend; the reason for NULL is kept here. */
static void *during_run(struct mmi_sink *sink, uint64_t bytes) {
    void *memory = own(sink, bytes);
    sink->no_memory |= memory == NULL;
    return memory;
}

/* A buffer that proves too small does without: the run goes on, so that every need is known. */
static void *output(void *ctx, uint32_t index, uint64_t bytes) {
    struct mmi_sink *sink = ctx;
    const struct mmi_call *call = sink->call;
    mm_value *value = &call->values[index];
    for (uint32_t k = 0; value->flags & MM_VALUE_LOCATION && k < call->wanted_count; k++) {
        const mm_value *buffer = callers(sink, k);
        if (call->order[k] == index && buffer->bytes >= bytes) {
            return buffer->data;
        }
    }
    value->flags &= ~(uint32_t)MM_VALUE_LOCATION;
    return during_run(sink, bytes);
}

static void *part(void *ctx, uint64_t bytes) {
    return during_run(ctx, bytes);
}

/* A buffer for strings has two parts: text and offsets. Only tensors can lie on a device. */
static mm_status check_buffers(const struct mmi_sink *sink, mm_error *err) {
    const struct mmi_call *call = sink->call;
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        const mm_value_info *info = &call->opened->description.outputs[call->order[k]];
        const mm_value *buffer = callers(sink, k);
        bool strings = info->kind == MM_TENSOR && info->dtype == MM_STRING;
        if (buffer && strings && !buffer->offsets) {
            return mmi_fail(err, MM_INVALID_ARGUMENT,
                            "response.outputs[%u].offsets: NULL, but %s holds strings", k,
                            info->name);
        }
        if (buffer && mmi_location(buffer->flags) != 0) {
            mm_value value = {.kind = info->kind, .dtype = info->dtype, .flags = buffer->flags};
            MMI_TRY(mmi_location_check(call->mesh, &value, info->name, err));
        }
    }
    return MM_OK;
}

mm_status mmi_sink_begin(struct mmi_sink *sink, struct mmi_call *call, mm_response *response,
                         mm_error *err) {
    *sink = (struct mmi_sink){
        .outputs = {sink, begin, output, part}, .call = call, .response = response};
    if (response->outputs && response->output_capacity < call->wanted_count) {
        response->output_count = call->wanted_count;
        return mmi_fail(err, MM_BUFFER_TOO_SMALL, "response.output_capacity: %u, %u outputs come",
                        response->output_capacity, call->wanted_count);
    }
    return response->outputs ? check_buffers(sink, err) : MM_OK;
}

/* ---- After the run -------------------------------------------------------------------------- */

static bool fits(const mm_value *buffer, const mm_value *value) {
    if (value->kind != MM_TENSOR || buffer->bytes < value->bytes) {
        return value->kind != MM_TENSOR;
    }
    uint64_t entries = mm_shape_elements(value->rank, value->shape) + 1;
    return value->dtype != MM_STRING || (buffer->offsets && buffer->item_count >= entries);
}

/* To the caller's buffer, if it gave one that can take it. */
static void deliver(const struct mmi_sink *sink, const mm_value *value, mm_value *to) {
    mm_value result = *value;
    result.name = to->name;
    result.flags = MM_VALUE_OWNED;
    bool string = value->dtype == MM_STRING;
    if (to->data && value->kind == MM_TENSOR) {
        if (place_of(sink, to) == 0 && value->bytes > 0) {
            memcpy(to->data, value->data, value->bytes);
        }
        if (string) {
            uint64_t entries = mm_shape_elements(value->rank, value->shape) + 1;
            memcpy(to->offsets, value->offsets, entries * sizeof(uint64_t));
        }
        result.data = to->data;
        result.offsets = string ? to->offsets : NULL;
        result.flags = to->flags & MM_VALUE_LOCATION;
    }
    *to = result;
}

/* All that can fail, before any of the caller's values changes. */
static mm_status onto_devices(const struct mmi_sink *sink, mm_error *err) {
    const struct mmi_call *call = sink->call;
    for (uint32_t k = 0; k < call->wanted_count && !sink->direct; k++) {
        const mm_value *value = &call->values[call->order[k]];
        const mm_value *buffer = callers(sink, k);
        if (place_of(sink, buffer) != 0 && !(value->flags & MM_VALUE_LOCATION)) {
            MMI_TRY(mmi_location_put(call, buffer, value->data, value->bytes, err));
        }
    }
    return MM_OK;
}

static mm_status into_buffers(struct mmi_sink *sink, mm_error *err) {
    const struct mmi_call *call = sink->call;
    mm_value *outputs = sink->response->outputs;
    for (uint32_t k = 0; k < call->wanted_count && !sink->direct; k++) {
        const mm_value *buffer = callers(sink, k);
        if (buffer && !fits(buffer, &call->values[call->order[k]])) {
            return too_small(sink, k, err);
        }
    }
    MMI_TRY(onto_devices(sink, err));
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        const mm_value *value = &call->values[call->order[k]];
        if (sink->direct) {
            const mm_value given = outputs[k];
            outputs[k] = *value;
            outputs[k].name = given.name;
            outputs[k].flags =
                value->flags & MM_VALUE_OWNED ? MM_VALUE_OWNED : given.flags & MM_VALUE_LOCATION;
        } else {
            deliver(sink, value, &outputs[k]);
        }
    }
    return MM_OK;
}

/* An array of our own, with names that outlive the model. */
static mm_status into_array(struct mmi_sink *sink, mm_error *err) {
    const struct mmi_call *call = sink->call;
    const mm_value_info *infos = call->opened->description.outputs;
    size_t text_bytes = 0;
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        text_bytes += strlen(infos[call->order[k]].name) + 1;
    }
    mm_value *array = own(sink, call->wanted_count * sizeof(mm_value) + text_bytes);
    if (!array) {
        return mmi_fail(err, MM_NO_MEMORY, "response: out of memory");
    }
    char *text = (char *)(array + call->wanted_count);
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        const char *name = infos[call->order[k]].name;
        array[k] = call->values[call->order[k]];
        array[k].name = strcpy(text, name);
        array[k].flags = MM_VALUE_OWNED;
        text += strlen(name) + 1;
    }
    sink->response->outputs = array;
    sink->response->flags |= MM_RESPONSE_ARRAY;
    return MM_OK;
}

mm_status mmi_sink_end(struct mmi_sink *sink, mm_error *err) {
    mm_response *response = sink->response;
    mm_status status = response->outputs ? into_buffers(sink, err) : into_array(sink, err);
    if (status == MM_OK) {
        response->output_count = sink->call->wanted_count;
    }
    return status;
}

void mmi_sink_abort(struct mmi_sink *sink) {
    uint32_t count = sink->response->output_count;
    sink->response->output_count = 0; /* the caller's values are untouched */
    mm_response_free(sink->response);
    sink->response->output_count = count;
}
