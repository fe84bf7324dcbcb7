/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of devices for values of the caller. */
#include <api/request.h>
#include <api/value.h>

#include <residency/held.h>

#include <string.h>

/* NULL: it is not the place of one. */
static struct mmi_devstate *find_device(mm_mesh *mesh, uint32_t location, mm_error *err) {
    uint32_t number = mmi_location(location);
    if (number == 0 || number > mesh->res.device_count || location != MM_ON_DEVICE(number - 1)) {
        mmi_fail(err, MM_INVALID_ARGUMENT,
                 "location: %#x, wanted is MM_ON_DEVICE of one of %u devices", location,
                 (unsigned)mesh->res.device_count);
        return NULL;
    }
    return &mesh->res.devices[number - 1];
}

mm_status mm_device_alloc(mm_mesh *mesh, uint32_t location, uint64_t bytes, void **memory,
                          mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    if (!memory || bytes == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s", memory ? "bytes: 0" : "memory: NULL");
    }
    struct mmi_devstate *dev = find_device(mesh, location, err);
    return dev ? mmi_held_alloc(&mesh->res, dev, bytes, memory, err) : MM_INVALID_ARGUMENT;
}

mm_status mm_device_free(mm_mesh *mesh, uint32_t location, void *memory) {
    MMI_TRY(mmi_enter(mesh, NULL));
    struct mmi_devstate *dev = find_device(mesh, location, NULL);
    if (!dev) {
        return MM_INVALID_ARGUMENT;
    }
    bool freed = !memory || mmi_held_free(&mesh->res, dev, memory);
    return freed ? MM_OK : MM_NOT_FOUND;
}

/* ---- Copies ---------------------------------------------------------------------------------- */

static mm_status check_copy(mm_mesh *mesh, const mm_value *from, const mm_value *to,
                            mm_error *err) {
    if (!from || !to) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: NULL", from ? "to" : "from");
    }
    MMI_TRY(mmi_location_check(mesh, from, "from", err));
    MMI_TRY(mmi_location_check(mesh, to, "to", err));
    if (to->bytes < from->bytes) {
        return mmi_fail_room(err, MM_BUFFER_TOO_SMALL, from->bytes, to->bytes,
                             "to: %llu bytes, %llu come", (unsigned long long)to->bytes,
                             (unsigned long long)from->bytes);
    }
    if (from->bytes > 0 && (!from->data || !to->data)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s.data: NULL", from->data ? "to" : "from");
    }
    return MM_OK;
}

mm_status mm_value_copy(mm_mesh *mesh, const mm_value *from, const mm_value *to, void *stream,
                        mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    MMI_TRY(check_copy(mesh, from, to, err));
    uint32_t out_of = mmi_location_memory(mesh, from->flags);
    uint32_t into = mmi_location_memory(mesh, to->flags);
    if (!out_of && !into) {
        if (from->bytes > 0) {
            memmove(to->data, from->data, from->bytes);
        }
        return MM_OK;
    }
    if (out_of && into && out_of != into) {
        return mmi_fail(err, MM_UNSUPPORTED, "copy: from one device to another");
    }
    struct mmi_transfer transfer = {.location = out_of ? out_of : into,
                                    .stream = stream,
                                    .to = to->data,
                                    .from = from->data,
                                    .bytes = from->bytes,
                                    .direction = !out_of ? MMI_INTO_DEVICE
                                                 : !into ? MMI_OUT_OF_DEVICE
                                                         : MMI_INSIDE_DEVICE};
    return mmi_location_copy(mesh, &transfer, err);
}
