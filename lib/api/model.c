/* SPDX-License-Identifier: Apache-2.0 */
/* Registering, finding and changing models. */
#include <api/mesh.h>

#include <base/text.h>
#include <catalog/warm.h>

#include <string.h>

void mm_model_spec_init(mm_model_spec *spec) {
    if (spec) {
        *spec = (mm_model_spec)MM_MODEL_SPEC_INIT;
    }
}

bool mmi_class_from_abi(int32_t evict_class, uint32_t *internal) {
    switch (evict_class) {
    case MM_CLASS_LOW:
        *internal = 0;
        return true;
    case MM_CLASS_DEFAULT:
    case MM_CLASS_NORMAL:
        *internal = 1;
        return true;
    case MM_CLASS_HIGH:
        *internal = 2;
        return true;
    default:
        return false;
    }
}

int32_t mmi_class_to_abi(uint32_t internal) {
    return (int32_t)internal + MM_CLASS_LOW;
}

/* Length of the UTF-8 sequence at `at`, 0 if it is none. */
static size_t utf8_length(const unsigned char *at) {
    if (at[0] < 0x80) {
        return 1;
    }
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || beyond ? 0 : length;
}

mm_status mmi_check_name(const char *what, const char *name, mm_error *err) {
    if (!name || !name[0]) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: %s", what, name ? "empty" : "NULL");
    }
    _Static_assert(MM_NAME_BYTES == MMI_NAME_WORDS * sizeof(uint64_t), "the catalog's room");
    size_t length = strnlen(name, MM_NAME_BYTES);
    if (length == MM_NAME_BYTES) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: longer than %d bytes", what,
                        MM_NAME_BYTES - 1);
    }
    for (const unsigned char *at = (const unsigned char *)name; *at;) {
        size_t step = utf8_length(at);
        if (step == 0) {
            return mmi_fail(err, MM_INVALID_ARGUMENT, "%s: not UTF-8 at byte %td", what,
                            (const char *)at - name);
        }
        at += step;
    }
    return MM_OK;
}

static mm_status check_source(const mm_model_spec *spec, mm_error *err) {
    if (spec->source && spec->data) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.source and spec.data: one of the two");
    }
    if (!spec->source && !spec->data) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.source: NULL");
    }
    if (spec->source && !spec->source[0]) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.source: empty");
    }
    if (spec->data && spec->data_bytes == 0) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.data_bytes: 0");
    }
    if (spec->data && spec->data_bytes > PTRDIFF_MAX) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.data_bytes: %llu, more than an object has",
                        (unsigned long long)spec->data_bytes);
    }
    return MM_OK;
}

mm_status mmi_read_spec(const mm_model_spec *from, bool update,
                        struct mmi_registration *registration, mm_error *err) {
    mm_model_spec spec;
    if (!from) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec: NULL");
    }
    if (!mmi_read_options(&spec, sizeof(spec), from, from->struct_size)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.struct_size: %u", from->struct_size);
    }
    if (!update || spec.name) {
        MMI_TRY(mmi_check_name("spec.name", spec.name, err));
    }
    MMI_TRY(check_source(&spec, err));
    if (spec.flags & ~(uint32_t)(MM_MODEL_PINNED | MM_MODEL_PRELOAD)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.flags: %#x", spec.flags);
    }
    if (spec.warm_up) {
        MMI_TRY(mmi_warm_check(spec.warm_up, err));
    }
    if (spec.replicas > 1) {
        return mmi_fail(err, MM_UNSUPPORTED, "spec.replicas: %u, only 1 is supported",
                        spec.replicas);
    }
    *registration =
        (struct mmi_registration){.name = spec.name,
                                  .spec = {.source = spec.source,
                                           .data = spec.data,
                                           .data_bytes = spec.data_bytes,
                                           .format = spec.format,
                                           .backend = spec.backend,
                                           .device = spec.device,
                                           .config = spec.config,
                                           .warm_up = spec.warm_up},
                                  .settings = {.max_concurrency = spec.max_concurrency,
                                               .max_queued = spec.max_queued,
                                               .pinned = spec.flags & MM_MODEL_PINNED,
                                               .idle_ttl_ns = spec.idle_ttl_ns,
                                               .min_residency_ns = spec.min_residency_ns},
                                  .preload = spec.flags & MM_MODEL_PRELOAD};
    if (!mmi_class_from_abi(spec.evict_class, &registration->settings.evict_class)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.evict_class: %d", spec.evict_class);
    }
    return MM_OK;
}

/* Checks a spec against this mesh. */
static mm_status check_for_mesh(const mm_mesh *mesh, const struct mmi_registration *registration,
                                mm_error *err) {
    const char *device = registration->spec.device;
    bool found = device == NULL;
    for (size_t i = 0; i < mesh->res.device_count && !found; i++) {
        found = strcmp(mesh->res.devices[i].device->name, device) == 0;
    }
    if (!found) {
        return mmi_fail(err, MM_NOT_FOUND, "spec.device: there is no device %s", device);
    }
    bool needs_thread = registration->preload || registration->settings.idle_ttl_ns > 0;
    if (needs_thread && !mesh->res.config.threads) {
        return mmi_fail(err, MM_UNSUPPORTED, "%s: this mesh has no threads of its own",
                        registration->preload ? "spec.flags: MM_MODEL_PRELOAD"
                                              : "spec.idle_ttl_ns");
    }
    return MM_OK;
}

mm_status mm_register(mm_mesh *mesh, const mm_model_spec *spec, mm_model *model, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    if (!model) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "model: NULL");
    }
    struct mmi_registration registration;
    MMI_TRY(mmi_read_spec(spec, false, &registration, err));
    MMI_TRY(check_for_mesh(mesh, &registration, err));
    return mmi_model_register(&mesh->res, &registration, &model->id, err);
}

mm_status mmi_read_update(mm_mesh *mesh, mm_model model, const mm_model_spec *spec, uint32_t flags,
                          struct mmi_registration *registration, mm_error *err) {
    MMI_TRY(mmi_read_spec(spec, true, registration, err));
    if (flags & ~(uint32_t)MM_UPDATE_REPLACE) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "flags: %#x", flags);
    }
    MMI_TRY(check_for_mesh(mesh, registration, err));
    if (registration->name &&
        mmi_catalog_find(&mesh->res.catalog, registration->name) != model.id) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.name: %s is not this model's name",
                        registration->name);
    }
    return MM_OK;
}

mm_status mm_unregister(mm_mesh *mesh, mm_model model, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    return mmi_model_unregister(&mesh->res, model.id, err);
}

mm_status mm_find(mm_mesh *mesh, const char *name, mm_model *model) {
    MMI_TRY(mmi_enter(mesh, NULL));
    if (!name || !model) {
        return MM_INVALID_ARGUMENT;
    }
    uint64_t id = mmi_catalog_find(&mesh->res.catalog, name);
    if (id == 0) {
        return MM_NOT_FOUND;
    }
    model->id = id;
    return MM_OK;
}

static mm_status set(mm_mesh *mesh, mm_model model, const bool *pinned,
                     const uint32_t *evict_class) {
    MMI_TRY(mmi_enter(mesh, NULL));
    return mmi_model_set(&mesh->res, model.id, pinned, evict_class);
}

mm_status mm_pin(mm_mesh *mesh, mm_model model) {
    return set(mesh, model, &(bool){true}, NULL);
}

mm_status mm_unpin(mm_mesh *mesh, mm_model model) {
    return set(mesh, model, &(bool){false}, NULL);
}

mm_status mm_set_class(mm_mesh *mesh, mm_model model, int32_t evict_class) {
    uint32_t internal;
    if (!mmi_class_from_abi(evict_class, &internal)) {
        return MM_INVALID_ARGUMENT;
    }
    return set(mesh, model, NULL, &internal);
}

mm_status mm_evict(mm_mesh *mesh, mm_model model, uint64_t deadline_ns, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    struct mmi_request request = mmi_core_request(model, deadline_ns);
    return mmi_model_evict(&mesh->res, &request, err);
}
