/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking inference.
 *
 *   1. a hit: lease, map the request, run
 *   2. a miss: get the description first and map the request against it, so that a bad request
 *      loads nothing and evicts nobody; then wait for the model; then as a hit
 *   3. its device was lost meanwhile: wait for the model again, which runs on another */
#include <api/infer.h>

#include <api/value.h>

mm_status mmi_check_response(const mm_response *response, mm_error *err) {
    /* It is used where it lies: every field of today is in its first version. Ask struct_size
     * before one that was added later is written. */
    _Static_assert(offsetof(mm_response, owned) + sizeof(void *) == sizeof(mm_response), "");
    if (!response || response->struct_size != sizeof(*response)) {
        MMI_TRY(mmi_sized_check_input(response, MMI_RESPONSE_SIZES, "response", err));
    }
    if (response->owned) {
        return mmi_fail(err, MM_INVALID_STATE, "response: free it before using it again");
    }
    if (response->output_capacity > 0 && !response->outputs) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "response.outputs: NULL with a capacity of %u",
                        response->output_capacity);
    }
    return MM_OK;
}

mm_status mmi_would_block(const char *call, mm_error *err) {
    return mmi_fail(err, MM_INVALID_STATE,
                    "%s: it would block inside a backend's call or a line of the log", call);
}

mm_status mmi_check_frame(const mm_mesh *mesh, bool *nested, mm_error *err) {
    const struct mmi_frame *frame = mmi_frame_of(&mesh->res);
    *nested = frame != NULL;
    if (frame && frame->kind != MMI_FRAME_NESTED_RUN) {
        return mmi_fail(err, MM_INVALID_STATE,
                        "inside a backend's infer that did not say that it calls back "
                        "(MM_BACKEND_NESTED), another call of a backend, or a line of the log");
    }
    return MM_OK;
}

/* Where the first input lies stands for all of them. */
static uint32_t near_of(const mm_request *request) {
    uint32_t first = request->input_count > 0 ? request->inputs[0].flags : 0;
    return mmi_location(request->stream ? request->stream_location : first);
}

void mmi_request_init(struct mmi_request *core_request, mm_model model, const mm_request *request,
                      bool nested) {
    *core_request = mmi_core_request(model, request->deadline_ns);
    core_request->near = near_of(request);
    core_request->priority = request->priority;
    core_request->nested = nested;
    core_request->to_run = true;
}

/* Its inputs are mapped. */
static mm_status run_call(mm_mesh *mesh, struct mmi_request *core_request,
                          struct mmi_admission *admission, struct mmi_call *call,
                          mm_response *response, mm_error *err) {
    struct mmi_sink sink;
    mm_status status = mmi_sink_begin(&sink, call, response, err);
    if (status != MM_OK) {
        return mmi_name_failed(mesh, core_request->id, status, err);
    }
    struct mmi_work work = {call->inputs, call->values, &sink.outputs, core_request,
                            call->place ? mmi_location_stream(call, call->place) : NULL};
    status = mmi_execute(&mesh->res, admission, &work, err);
    bool named = status != MM_OK; /* by the core */
    if (status != MM_OK && sink.no_memory) {
        status = mmi_fail(err, MM_NO_MEMORY, "output: out of memory");
        named = false;
    }
    if (status == MM_OK) {
        status = mmi_sink_end(&sink, err);
    }
    if (status != MM_OK) {
        mmi_sink_abort(&sink);
    }
    return named ? status : mmi_name_failed(mesh, core_request->id, status, err);
}

mm_status mmi_run_admitted(mm_mesh *mesh, struct mmi_request *core_request,
                           struct mmi_admission *admission, const mm_request *request,
                           mm_response *response, mm_error *err) {
    struct mmi_call call;
    call.place = mmi_admission_place(&mesh->res, admission);
    mm_status status = mmi_call_begin(&call, mesh, core_request->id,
                                      mmi_admission_opened(admission), request, err);
    if (status == MM_OK) {
        status = run_call(mesh, core_request, admission, &call, response, err);
        mmi_call_end(&call);
    }
    if (mmi_admission_lost(&mesh->res, admission, core_request, status)) {
        return MM_PENDING;
    }
    mmi_admission_return(&mesh->res, admission);
    return status;
}

mm_status mmi_check_request(mm_mesh *mesh, uint64_t model_id, struct mmi_opened *opened,
                            const mm_request *request, mm_error *err) {
    struct mmi_call call;
    call.place = MMI_ANYWHERE;
    mm_status status = mmi_call_begin(&call, mesh, model_id, opened, request, err);
    if (status == MM_OK) {
        status = mmi_signature_expect(&mesh->res, model_id, opened, call.inputs, err);
        mmi_call_end(&call);
        mmi_name_failed(mesh, model_id, status, err);
    }
    return status;
}

/* A miss: check the request, then wait for the model. */
static mm_status get_admission(mm_mesh *mesh, const struct mmi_request *core_request,
                               const mm_request *request, struct mmi_admission *admission,
                               mm_error *err) {
    if (!core_request->no_wait) {
        struct mmi_opened *opened;
        MMI_TRY(mmi_request_prepared(&mesh->res, core_request, false, &opened, err));
        mm_status status = mmi_check_request(mesh, core_request->id, opened, request, err);
        mmi_res_drop(&mesh->res, opened);
        MMI_TRY(status);
    }
    return mmi_admission_wait(&mesh->res, core_request, admission, err);
}

/* Until a device was there to the end of the run. */
static mm_status run_to_end(mm_mesh *mesh, struct mmi_request *core_request,
                            struct mmi_admission *admission, const mm_request *request,
                            mm_response *response, mm_error *err) {
    for (;;) {
        response->flags = admission->hit ? MM_RESPONSE_HIT : 0;
        response->wait_ns = admission->wait_ns;
        mm_status status = mmi_run_admitted(mesh, core_request, admission, request, response, err);
        if (status != MM_PENDING) {
            return status;
        }
        MMI_TRY(mmi_admission_wait(&mesh->res, core_request, admission, err));
    }
}

mm_status mm_infer(mm_mesh *mesh, mm_model model, const mm_request *from, mm_response *response,
                   mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_request request;
    MMI_TRY(mmi_read_request(from, &request, err));
    MMI_TRY(mmi_check_response(response, err));
    response->flags = 0;
    response->wait_ns = 0;
    bool nested;
    MMI_TRY(mmi_check_frame(mesh, &nested, err));
    struct mmi_request core_request;
    mmi_request_init(&core_request, model, &request, nested);
    if (core_request.deadline_ns && mmi_now(&mesh->env.clock) >= core_request.deadline_ns) {
        mmi_fail(err, MM_DEADLINE, "the deadline has passed");
        return mmi_name_failed(mesh, model.id, MM_DEADLINE, err);
    }
    struct mmi_admission admission;
    if (!mmi_admission_try(&mesh->res, core_request.id, core_request.near, &admission)) {
        mm_status status = get_admission(mesh, &core_request, &request, &admission, err);
        if (status != MM_OK) {
            mmi_count(&mesh->res.counters, MMI_COUNT_FAILED, 1);
            return status;
        }
    }
    mm_status status = run_to_end(mesh, &core_request, &admission, &request, response, err);
    if (status != MM_OK) {
        mmi_count(&mesh->res.counters, MMI_COUNT_FAILED, 1);
    }
    return status;
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

struct sizes {
    mm_value *outputs;
    uint8_t *exactness;
    uint32_t capacity;
    uint32_t *count;
};

static mm_status copy_sizes(const struct mmi_call *call, const uint8_t *exactness,
                            const struct sizes *to, mm_error *err) {
    *to->count = call->wanted_count;
    if (to->capacity < call->wanted_count) {
        return mmi_fail(err, MM_BUFFER_TOO_SMALL, "capacity: %u, the request has %u outputs",
                        to->capacity, call->wanted_count);
    }
    for (uint32_t k = 0; k < call->wanted_count; k++) {
        const mm_value *value = &call->values[call->order[k]];
        mm_value kept = to->outputs[k];
        to->outputs[k] = *value;
        to->outputs[k].name = kept.name;
        to->outputs[k].data = kept.data;
        to->outputs[k].flags = kept.flags;
        if (to->exactness) {
            to->exactness[k] = exactness[call->order[k]];
        }
    }
    return MM_OK;
}

static mm_status get_sizes(mm_mesh *mesh, uint64_t model_id, struct mmi_opened *opened,
                           const mm_request *request, const struct sizes *to, mm_error *err) {
    struct mmi_call call;
    const mm_allocator *alloc = &mesh->env.alloc;
    call.place = MMI_ANYWHERE;
    MMI_TRY(mmi_call_begin(&call, mesh, model_id, opened, request, err));
    uint32_t count = opened->description.output_count;
    uint8_t *exactness = mmi_alloc(alloc, 1, count + 1);
    mm_status status = exactness ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "sizes: out of memory");
    if (status == MM_OK) {
        status = mmi_signature_sizes(&mesh->res, opened, call.inputs, call.values, exactness, err);
    }
    if (status == MM_OK) {
        status = copy_sizes(&call, exactness, to, err);
    }
    mmi_free(alloc, exactness, count + 1);
    mmi_call_end(&call);
    return mmi_name_failed(mesh, model_id, status, err);
}

mm_status mm_output_bytes(mm_mesh *mesh, mm_model model, const mm_request *from, mm_value *outputs,
                          uint8_t *exactness, uint32_t capacity, uint32_t *count, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    mm_request request;
    MMI_TRY(mmi_read_request(from, &request, err));
    if (!count || (capacity > 0 && !outputs)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: NULL", count ? "outputs" : "count");
    }
    bool nested;
    MMI_TRY(mmi_check_frame(mesh, &nested, err));
    struct mmi_request core_request;
    mmi_request_init(&core_request, model, &request, nested);
    core_request.to_run = false;
    struct mmi_opened *opened;
    MMI_TRY(mmi_request_prepared(&mesh->res, &core_request, false, &opened, err));
    struct sizes to = {outputs, exactness, capacity, count};
    mm_status status = get_sizes(mesh, model.id, opened, &request, &to, err);
    mmi_res_drop(&mesh->res, opened);
    return status;
}
