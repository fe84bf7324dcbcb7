/* SPDX-License-Identifier: Apache-2.0 */
#include <api/request.h>

#include <api/value.h>
#include <residency/lock.h>

#include <string.h>

mm_status mmi_read_request(const mm_request *from, mm_request *request, mm_error *err) {
    MMI_TRY(mmi_sized_read(request, from, MMI_REQUEST_SIZES, "request", err));
    if (request->input_count > 0 && !request->inputs) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.inputs: NULL with %u inputs",
                        request->input_count);
    }
    if (request->output_count > 0 && !request->outputs && !request->binding) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.outputs: NULL with %u outputs",
                        request->output_count);
    }
    if (request->stream && mmi_location(request->stream_location) == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.stream: without a stream_location");
    }
    return MM_OK;
}

/* ---- Memory for values ---------------------------------------------------------------------- */

static mm_status make_room(struct mmi_call *call, mm_error *err) {
    const mm_description *description = &call->opened->description;
    size_t values = (size_t)description->input_count + description->output_count;
    call->inputs = call->room;
    call->order = call->order_room;
    if (values > MMI_CALL_VALUES) {
        call->more =
            mmi_buffer_take(call->mesh->buffers, values * sizeof(mm_value) +
                                                     description->output_count * sizeof(uint32_t));
        if (!call->more) {
            return mmi_fail(err, MM_NO_MEMORY, "request: out of memory");
        }
        call->inputs = (mm_value *)(void *)call->more->memory;
        call->order = (uint32_t *)(call->inputs + values);
    }
    call->values = call->inputs + description->input_count;
    return MM_OK;
}

void mmi_call_end(struct mmi_call *call) {
    mmi_location_fini(call);
    if (call->more) {
        mmi_buffer_give(call->more);
    }
}

/* ---- Names to positions --------------------------------------------------------------------- */

static uint32_t find_value(const mm_value_info *infos, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(infos[i].name, name) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

mm_status mmi_no_value(const char *what, const mm_value_info *infos, uint32_t count,
                       const char *name, mm_error *err) {
    char known[160];
    struct mmi_text text;
    mmi_text_init(&text, known, sizeof(known));
    for (uint32_t i = 0; i < count; i++) {
        mmi_text_add(&text, i > 0 ? ", %s" : "%s", infos[i].name);
    }
    return mmi_fail(err, MM_INVALID_ARGUMENT, "no %s %.128s, its %ss are: %s", what, name, what,
                    count > 0 ? known : "none");
}

mm_status mmi_name_failed(mm_mesh *mesh, uint64_t model_id, mm_status status, mm_error *err) {
    if (status == MM_OK) {
        return status;
    }
    char name[MM_NAME_BYTES] = "";
    mmi_res_lock(&mesh->res);
    const struct mmi_model *model = mmi_catalog_get(&mesh->res.catalog, model_id);
    if (model) {
        mmi_event_name(name, sizeof(name), mmi_model_name(model));
    }
    mmi_res_unlock(&mesh->res);
    if (name[0]) {
        mmi_error_prefix(err, "model %s", name);
    }
    return status;
}

static const mm_value absent = {.kind = MM_OPTIONAL};

static bool is_absent(const mm_value *value) {
    return value->kind == MM_OPTIONAL && value->item_count == 0;
}

static mm_status put_input(struct mmi_call *call, uint32_t place, const mm_value *value,
                           mm_error *err) {
    const mm_value_info *info = &call->opened->description.inputs[place];
    if (!is_absent(&call->inputs[place])) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "input %s: given twice", info->name);
    }
    MMI_TRY(mmi_value_check(value, info->name, err));
    MMI_TRY(mmi_value_matches(value, info, err));
    call->inputs[place] = *value;
    if (mmi_location(value->flags) != 0) {
        MMI_TRY(mmi_location_check(call->mesh, value, info->name, err));
        call->inputs[place].flags = mmi_location_memory(call->mesh, value->flags);
        call->located |= call->inputs[place].flags != 0;
    }
    return MM_OK;
}

static mm_status map_inputs(struct mmi_call *call, const mm_request *request, mm_error *err) {
    const mm_description *description = &call->opened->description;
    const mm_binding *binding = request->binding;
    for (uint32_t i = 0; i < description->input_count; i++) {
        call->inputs[i] = absent;
    }
    if (binding && request->input_count != binding->input_count) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.input_count: %u, the binding has %u",
                        request->input_count, binding->input_count);
    }
    if (request->input_count > description->input_count) { /* before any is read */
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.input_count: %u, the model has %u",
                        request->input_count, description->input_count);
    }
    for (uint32_t i = 0; i < request->input_count; i++) {
        const mm_value *value = &request->inputs[i];
        uint32_t place;
        if (binding) {
            place = binding->inputs[i];
        } else if (!value->name) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "request.inputs[%u].name: NULL", i);
        } else {
            place = find_value(description->inputs, description->input_count, value->name);
        }
        if (place == UINT32_MAX) {
            return mmi_no_value("input", description->inputs, description->input_count, value->name,
                                err);
        }
        MMI_TRY(put_input(call, place, value, err));
    }
    for (uint32_t i = 0; i < description->input_count; i++) {
        bool optional = description->inputs[i].flags & MM_VALUE_INFO_OPTIONAL;
        if (is_absent(&call->inputs[i]) && !optional &&
            description->inputs[i].kind != MM_OPTIONAL) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "input %s: missing",
                            description->inputs[i].name);
        }
    }
    return MM_OK;
}

/* After all of them were checked. What decides shapes is looked at by the host. */
static mm_status fetch_inputs(struct mmi_call *call, mm_error *err) {
    const mm_description *description = &call->opened->description;
    for (uint32_t i = 0; call->located && i < description->input_count; i++) {
        uint32_t location = call->inputs[i].flags & MM_VALUE_LOCATION;
        bool looked_at = description->inputs[i].flags & MM_VALUE_INFO_SHAPE_INPUT;
        bool stays = !looked_at && (call->place == MMI_ANYWHERE || call->place == location);
        if (location && !stays) {
            MMI_TRY(mmi_location_fetch(call, &call->inputs[i], err));
        }
    }
    return MM_OK;
}

static mm_status map_outputs(struct mmi_call *call, const mm_request *request, mm_error *err) {
    const mm_description *description = &call->opened->description;
    const mm_binding *binding = request->binding;
    uint32_t wanted = binding ? binding->output_count : request->output_count;
    if (wanted > description->output_count) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.output_count: %u, the model has %u",
                        wanted, description->output_count);
    }
    for (uint32_t i = 0; i < description->output_count; i++) {
        call->values[i] = (mm_value){.flags = wanted > 0 ? MM_VALUE_UNWANTED : 0};
    }
    call->wanted_count = wanted > 0 ? wanted : description->output_count;
    for (uint32_t i = 0; i < call->wanted_count; i++) {
        uint32_t place = i;
        if (binding && wanted > 0) {
            place = binding->outputs[i];
        } else if (wanted > 0) {
            const char *name = request->outputs[i];
            if (!name) {
                return mmi_fail(err, MM_INVALID_ARGUMENT, "request.outputs[%u]: NULL", i);
            }
            place = find_value(description->outputs, description->output_count, name);
            if (place == UINT32_MAX) {
                return mmi_no_value("output", description->outputs, description->output_count, name,
                                    err);
            }
            if (!(call->values[place].flags & MM_VALUE_UNWANTED)) {
                return mmi_fail(err, MM_INVALID_ARGUMENT, "output %s: asked for twice", name);
            }
        }
        call->values[place].flags = 0;
        call->order[i] = place;
    }
    return MM_OK;
}

static mm_status check_binding(const mm_binding *binding, const mm_mesh *mesh, uint64_t model_id,
                               const struct mmi_opened *opened, mm_error *err) {
    if (binding->model_id != model_id || binding->mesh_identity != mesh->identity) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "request.binding: made for another model");
    }
    if (binding->io_hash != opened->io_hash) {
        return mmi_fail(err, MM_STALE_BINDING,
                        "request.binding: the model's inputs or outputs changed since it was made");
    }
    return MM_OK;
}

mm_status mmi_call_begin(struct mmi_call *call, mm_mesh *mesh, uint64_t model_id,
                         const struct mmi_opened *opened, const mm_request *request,
                         mm_error *err) {
    call->alloc = &mesh->env.alloc;
    call->opened = opened;
    call->more = NULL;
    call->mesh = mesh;
    call->request = request;
    call->fetched = NULL;
    call->located = false;
    if (request->stream && mmi_location(request->stream_location) > mesh->res.device_count) {
        return mmi_fail(err, MM_INVALID_ARGUMENT,
                        "request.stream_location: %u, the mesh has %u devices",
                        mmi_location(request->stream_location), (unsigned)mesh->res.device_count);
    }
    mm_status status = MM_OK;
    if (request->binding) {
        status = check_binding(request->binding, mesh, model_id, opened, err);
    }
    if (status == MM_OK) {
        status = make_room(call, err);
    }
    if (status == MM_OK) {
        status = map_inputs(call, request, err);
    }
    if (status == MM_OK) {
        status = map_outputs(call, request, err);
    }
    if (status == MM_OK) {
        status = fetch_inputs(call, err);
    }
    if (status != MM_OK) {
        mmi_call_end(call);
    }
    return mmi_name_failed(mesh, model_id, status, err);
}
