/* SPDX-License-Identifier: Apache-2.0 */
/* Registering, finding and changing models. */
#include <api/mesh.h>

#include <base/checked.h>
#include <base/text.h>
#include <catalog/warm.h>

#include <string.h>

void mm_model_spec_init(mm_model_spec *spec, uint32_t struct_size) {
    mmi_sized_init(spec, struct_size);
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

static bool changes_from_abi(int32_t changes, enum mmi_changes *internal) {
    switch (changes) {
    case MM_CHANGES_DEFAULT:
    case MM_CHANGES_SERVE_OLD:
        *internal = MMI_CHANGES_SERVE_OLD;
        return true;
    case MM_CHANGES_REFUSE:
        *internal = MMI_CHANGES_REFUSE;
        return true;
    case MM_CHANGES_FOLLOW:
        *internal = MMI_CHANGES_FOLLOW;
        return true;
    default:
        return false;
    }
}

int32_t mmi_changes_to_abi(enum mmi_changes changes) {
    return (int32_t)changes + MM_CHANGES_SERVE_OLD;
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

static mm_status read_settings(const mm_model_spec *spec, struct mmi_settings *settings,
                               mm_error *err) {
    *settings = (struct mmi_settings){.max_concurrency = spec->max_concurrency,
                                      .max_queued = spec->max_queued,
                                      .replicas = spec->replicas ? spec->replicas : 1,
                                      .min_replicas = spec->min_replicas,
                                      .pinned = spec->flags & MM_MODEL_PINNED,
                                      .idle_ttl_ns = spec->idle_ttl_ns,
                                      .min_residency_ns = spec->min_residency_ns};
    if (settings->min_replicas > settings->replicas) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.min_replicas: %u, spec.replicas is %u",
                        settings->min_replicas, settings->replicas);
    }
    if (!mmi_class_from_abi(spec->evict_class, &settings->evict_class)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.evict_class: %d", spec->evict_class);
    }
    if (!changes_from_abi(spec->source_changes, &settings->changes)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.source_changes: %d", spec->source_changes);
    }
    return MM_OK;
}

/* A spec that is complete. */
static mm_status read_registration(const mm_model_spec *spec, struct mmi_registration *registration,
                                   mm_error *err) {
    MMI_TRY(check_source(spec, err));
    if (spec->flags & ~(uint32_t)(MM_MODEL_PINNED | MM_MODEL_PRELOAD)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.flags: %#x", spec->flags);
    }
    if (spec->warm_up) {
        MMI_TRY(mmi_warm_check(spec->warm_up, err));
    }
    *registration = (struct mmi_registration){
        .name = spec->name,
        .spec = {.source = spec->source,
                 .memory = {.data = spec->data, .bytes = spec->data_bytes},
                 .format = spec->format,
                 .backend = spec->backend,
                 .device = spec->device,
                 .config = spec->config,
                 .warm_up = spec->warm_up},
        .preload = spec->flags & MM_MODEL_PRELOAD};
    return read_settings(spec, &registration->settings, err);
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
    const char *backend = registration->spec.backend;
    if (backend && !mmi_registry_has(mesh->registry, backend)) {
        return mmi_fail(err, MM_NOT_FOUND, "spec.backend: there is no backend %s", backend);
    }
    bool needs_thread = registration->preload || registration->settings.idle_ttl_ns > 0;
    if (needs_thread && !mesh->res.config.threads) {
        return mmi_fail(err, MM_UNSUPPORTED, "%s: this mesh has no threads of its own",
                        registration->preload ? "spec.flags: MM_MODEL_PRELOAD"
                                              : "spec.idle_ttl_ns");
    }
    return MM_OK;
}

mm_status mm_register(mm_mesh *mesh, const mm_model_spec *from, mm_model *model, mm_error *err) {
    MMI_TRY(mmi_enter(mesh, err));
    if (!model) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "model: NULL");
    }
    mm_model_spec spec;
    struct mmi_registration registration;
    MMI_TRY(mmi_sized_read(&spec, from, MMI_MODEL_SPEC_SIZES, "spec", err));
    MMI_TRY(mmi_check_name("spec.name", spec.name, err));
    MMI_TRY(read_registration(&spec, &registration, err));
    MMI_TRY(check_for_mesh(mesh, &registration, err));
    return mmi_model_register(&mesh->res, &registration, &model->id, err);
}

/* ---- Updates --------------------------------------------------------------------------------- */

/* What the update does not say is as it was. Pin and class may be set until it begins. */
static void complete_spec(mm_model_spec *spec, const struct mmi_spec *old,
                          const struct mmi_settings *settings) {
    if (!spec->source && !spec->data) {
        spec->source = old->source;
        spec->data = old->memory.data;
        spec->data_bytes = old->memory.bytes;
    }
    spec->format = spec->format ? spec->format : old->format;
    spec->backend = spec->backend ? spec->backend : old->backend;
    spec->device = spec->device ? spec->device : old->device;
    spec->config = spec->config ? spec->config : old->config;
    spec->warm_up = spec->warm_up ? spec->warm_up : old->warm_up;
    spec->source_changes =
        spec->source_changes ? spec->source_changes : mmi_changes_to_abi(settings->changes);
    spec->max_concurrency =
        spec->max_concurrency ? spec->max_concurrency : settings->max_concurrency;
    spec->max_queued = spec->max_queued ? spec->max_queued : settings->max_queued;
    spec->idle_ttl_ns = spec->idle_ttl_ns ? spec->idle_ttl_ns : settings->idle_ttl_ns;
    spec->min_residency_ns =
        spec->min_residency_ns ? spec->min_residency_ns : settings->min_residency_ns;
    spec->replicas = spec->replicas ? spec->replicas : settings->replicas;
    uint32_t least = (uint32_t)mmi_min_u64(settings->min_replicas, spec->replicas);
    spec->min_replicas = spec->min_replicas ? spec->min_replicas : least;
}

static mm_status check_update(mm_mesh *mesh, mm_model model, const char *name, uint32_t flags,
                              mm_error *err) {
    if (flags & ~(uint32_t)(MM_UPDATE_REPLACE | MM_UPDATE_RESET)) {
        return mmi_fail(err, MM_INVALID_ARGUMENT, "flags: %#x", flags);
    }
    if (!name) {
        return MM_OK;
    }
    MMI_TRY(mmi_check_name("spec.name", name, err));
    if (mmi_catalog_find(&mesh->res.catalog, name) != model.id) {
        const struct mmi_model *at = mmi_catalog_at(&mesh->res.catalog, model.id);
        if (!at || atomic_load(&at->id) != model.id) { /* unregistered meanwhile */
            return mmi_catalog_no_model(model.id, err);
        }
        return mmi_fail(err, MM_INVALID_ARGUMENT, "spec.name: %s is not this model's name", name);
    }
    return MM_OK;
}

mm_status mmi_read_update(mm_mesh *mesh, mm_model model, const mm_model_spec *from, uint32_t flags,
                          struct mmi_version **version, mm_error *err) {
    mm_model_spec spec;
    MMI_TRY(mmi_sized_read(&spec, from, MMI_MODEL_SPEC_SIZES, "spec", err));
    struct mmi_settings settings;
    struct mmi_version *old = mmi_model_hold_version(&mesh->res, model.id, &settings);
    if (!old) {
        return mmi_catalog_no_model(model.id, err);
    }
    int32_t from_class = spec.evict_class;
    if (!(flags & MM_UPDATE_RESET)) {
        complete_spec(&spec, old->spec, &settings);
    }
    struct mmi_registration registration;
    mm_status status = check_update(mesh, model, spec.name, flags, err);
    status = status == MM_OK ? read_registration(&spec, &registration, err) : status;
    status = status == MM_OK ? check_for_mesh(mesh, &registration, err) : status;
    if (status == MM_OK) {
        *version = mmi_version_new(&mesh->env.alloc, &registration.spec, 0);
        status = *version ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "update: out of memory");
    }
    if (status == MM_OK) {
        bool resets = flags & MM_UPDATE_RESET;
        (*version)->settings = registration.settings;
        (*version)->base = resets ? 0 : old->number;
        (*version)->keeps_class = !resets && from_class == MM_CLASS_DEFAULT;
    }
    mmi_model_drop_version(&mesh->res, old);
    return status;
}

/* ---- Leaving, finding, setting --------------------------------------------------------------- */

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
    request.nested = mmi_frame_of(&mesh->res) != NULL;
    return mmi_model_evict(&mesh->res, &request, err);
}
