/* SPDX-License-Identifier: Apache-2.0 */
#include <device/driver.h>

/* The calls of backend.h: the same as the ops, for callers who do not know our types. */

static mm_status call_copy_in(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                              mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->copy_in(device, stream, to, from, bytes, err);
}

static mm_status call_copy_out(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                               mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->copy_out(device, stream, to, from, bytes, err);
}

static mm_status call_copy(void *host, void *stream, void *to, const void *from, uint64_t bytes,
                           mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->copy(device, stream, to, from, bytes, err);
}

static mm_status call_record(void *host, void *stream, mm_device_event *event, mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->record(device, stream, event, err);
}

static mm_status call_wait(void *host, const mm_device_event *event, mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->wait(device, event, err);
}

static mm_status call_stream_wait(void *host, void *stream, const mm_device_event *event,
                                  mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->stream_wait(device, stream, event, err);
}

static void *call_staging_alloc(void *host, uint64_t bytes, mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->staging_alloc(device, bytes, err);
}

static void call_staging_free(void *host, void *memory, uint64_t bytes) {
    struct mmi_device *device = host;
    device->ops->staging_free(device, memory, bytes);
}

static mm_status call_done(void *host, const mm_device_event *event, mm_error *err) {
    struct mmi_device *device = host;
    return device->ops->done(device, event, err);
}

static mm_status call_stream_open(void *host, void **stream, mm_error *err) {
    struct mmi_device *device = host;
    struct mmi_stream *made = NULL;
    MMI_TRY(device->ops->stream_open(device, &made, err));
    *stream = made;
    return MM_OK;
}

static void call_stream_close(void *host, void *stream) {
    struct mmi_device *device = host;
    device->ops->stream_close(device, stream);
}

static mm_status call_access(void *host, void *stream, const void *base, uint64_t bytes,
                             uint32_t access, mm_error *err) {
    struct mmi_device *device = host;
    if ((access & (MM_ACCESS_READ | MM_ACCESS_WRITE)) == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "device %s: an access that is none",
                        device->name);
    }
    bool writes = access & MM_ACCESS_WRITE;
    return device->ops->access(device, stream, base, bytes,
                               writes ? MMI_ACCESS_WRITE : MMI_ACCESS_READ, err);
}

const mm_device_calls mmi_device_calls = {
    .struct_size = sizeof(mm_device_calls),
    .copy_in = call_copy_in,
    .copy_out = call_copy_out,
    .copy = call_copy,
    .record = call_record,
    .wait = call_wait,
    .stream_wait = call_stream_wait,
    .staging_alloc = call_staging_alloc,
    .staging_free = call_staging_free,
    .done = call_done,
    .stream_open = call_stream_open,
    .stream_close = call_stream_close,
    .access = call_access,
};
