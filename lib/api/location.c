/* SPDX-License-Identifier: Apache-2.0 */
/* Values that lie on devices, for runs that want them in host memory. Their copies are put on the
 * request's stream when it has one for that device, else on one of the library's. */
#include <api/request.h>
#include <api/value.h>

#include <base/checked.h>
#include <device/kept.h>

struct mmi_fetched {
    struct mmi_fetched *next;
    uint64_t bytes; /* this header included */
    _Alignas(64) unsigned char memory[];
};

uint32_t mmi_location_memory(const mm_mesh *mesh, uint32_t flags) {
    uint32_t location = mmi_location(flags);
    bool host = location == 0 || mesh->res.devices[location - 1].device->pub.kind == MM_DEVICE_HOST;
    return host ? 0 : flags & MM_VALUE_LOCATION;
}

mm_status mmi_location_check(const mm_mesh *mesh, const mm_value *value, const char *what,
                             mm_error *err) {
    if (mmi_location(value->flags) > mesh->res.device_count) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "value %s: location %u, the mesh has %u devices",
                        what, mmi_location(value->flags), (unsigned)mesh->res.device_count);
    }
    if (value->kind != MM_TENSOR || value->dtype == MM_STRING) {
        return mmi_fail(err, MM_UNSUPPORTED,
                        "value %s: only tensors without strings can lie on a "
                        "device",
                        what);
    }
    return MM_OK;
}

/* ---- Copies ---------------------------------------------------------------------------------- */

static mm_status put_and_wait(struct mmi_device *device, struct mmi_stream *stream,
                              const struct mmi_transfer *transfer, mm_error *err) {
    const struct mmi_device_ops *ops = device->ops;
    mm_device_event over;
    bool in = transfer->direction == MMI_INTO_DEVICE;
    bool out = transfer->direction == MMI_OUT_OF_DEVICE;
    MMI_TRY((in ? ops->copy_in
             : out
                 ? ops->copy_out
                 : ops->copy)(device, stream, transfer->to, transfer->from, transfer->bytes, err));
    mm_status status = ops->record(device, stream, &over, err);
    if (status == MM_OK) {
        status = ops->wait(device, &over, err);
    }
    if (status != MM_OK) { /* the memory of the host is about to go */
        (void)ops->finish(device, stream, NULL);
    }
    return status;
}

static mm_status copy_on(struct mmi_device *device, const struct mmi_transfer *transfer,
                         mm_error *err) {
    if (transfer->stream) {
        return put_and_wait(device, transfer->stream, transfer, err);
    }
    struct mmi_kept_stream kept;
    MMI_TRY(mmi_stream_take(device, &kept, err));
    mm_status status = put_and_wait(device, kept.stream, transfer, err);
    mmi_stream_give(device, &kept, status == MM_OK);
    return status;
}

mm_status mmi_location_copy(mm_mesh *mesh, const struct mmi_transfer *transfer, mm_error *err) {
    struct mmi_residency *res = &mesh->res;
    struct mmi_devstate *dev = &res->devices[mmi_location(transfer->location) - 1];
    if (transfer->bytes == 0) {
        return MM_OK;
    }
    mm_status status = copy_on(dev->device, transfer, err);
    if (status == MM_DEVICE_LOST) {
        (void)mmi_device_ask(res, dev); /* what is resident there is lost as well */
    }
    return status;
}

struct mmi_stream *mmi_location_stream(const struct mmi_call *call, uint32_t location) {
    const mm_request *request = call->request;
    bool its = mmi_location(request->stream_location) == mmi_location(location);
    return its ? request->stream : NULL;
}

/* ---- Inputs and outputs ---------------------------------------------------------------------- */

mm_status mmi_location_fetch(struct mmi_call *call, mm_value *input, mm_error *err) {
    uint64_t bytes;
    struct mmi_fetched *fetched = NULL;
    if (mmi_add(input->bytes, sizeof(*fetched), &bytes) && bytes <= SIZE_MAX) {
        fetched = call->alloc->alloc(call->alloc->user, (size_t)bytes, 64);
    }
    if (!fetched) {
        return mmi_fail(err, MM_NO_MEMORY, "input: no memory for %llu bytes",
                        (unsigned long long)input->bytes);
    }
    fetched->next = call->fetched;
    fetched->bytes = bytes;
    call->fetched = fetched;
    struct mmi_transfer transfer = {.location = input->flags,
                                    .stream = mmi_location_stream(call, input->flags),
                                    .to = fetched->memory,
                                    .from = input->data,
                                    .bytes = input->bytes,
                                    .direction = MMI_OUT_OF_DEVICE};
    MMI_TRY(mmi_location_copy(call->mesh, &transfer, err));
    input->data = fetched->memory;
    input->flags &= ~(uint32_t)MM_VALUE_LOCATION;
    return MM_OK;
}

void mmi_location_fini(struct mmi_call *call) {
    while (call->fetched) {
        struct mmi_fetched *fetched = call->fetched;
        call->fetched = fetched->next;
        mmi_free(call->alloc, fetched, fetched->bytes);
    }
}

mm_status mmi_location_put(const struct mmi_call *call, const mm_value *buffer, const void *from,
                           uint64_t bytes, mm_error *err) {
    struct mmi_transfer transfer = {.location = buffer->flags,
                                    .stream = mmi_location_stream(call, buffer->flags),
                                    .to = buffer->data,
                                    .from = from,
                                    .bytes = bytes,
                                    .direction = MMI_INTO_DEVICE};
    return mmi_location_copy(call->mesh, &transfer, err);
}
