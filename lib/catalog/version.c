/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/version.h>

#include <base/checked.h>

#define OTHERS (MMI_DEVICE_KINDS - 1)

static void build_init(struct mmi_version *version, struct mmi_build *build) {
    build->version = version;
    mmi_list_init(&build->closable);
}

struct mmi_build *mmi_builds_new(const mm_allocator *alloc) {
    return mmi_alloc(alloc, OTHERS, sizeof(struct mmi_build));
}

struct mmi_version *mmi_version_new(const mm_allocator *alloc, const struct mmi_spec *spec,
                                    uint64_t number) {
    struct mmi_version *version = mmi_alloc(alloc, 1, sizeof(*version));
    if (!version) {
        return NULL;
    }
    version->spec = mmi_spec_copy(alloc, spec);
    if (!version->spec) {
        mmi_free(alloc, version, sizeof(*version));
        return NULL;
    }
    version->refs = 1;
    version->number = number;
    version->build_count = 1;
    version->builds[0] = &version->first;
    build_init(version, &version->first);
    mmi_list_init(&version->copies);
    mmi_list_init(&version->dropping);
    return version;
}

void mmi_version_free(const mm_allocator *alloc, struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        mmi_opened_close(alloc, version->builds[i]->opened);
        mmi_failure_clear(alloc, &version->builds[i]->failure);
    }
    mmi_free(alloc, version->others, OTHERS * sizeof(struct mmi_build));
    mmi_failure_clear(alloc, &version->failure);
    mmi_failure_clear(alloc, &version->refusal);
    mmi_failure_clear(alloc, &version->follow);
    mmi_free(alloc, version->siblings, version->siblings_bytes);
    mmi_spec_free(alloc, version->spec);
    mmi_free(alloc, version, sizeof(*version));
}

void mmi_failure_set(const mm_allocator *alloc, struct mmi_failure *failure, const mm_error *error,
                     uint64_t now_ns, uint64_t first_ns, uint64_t max_ns) {
    uint64_t delay_ns = first_ns;
    for (uint32_t i = 0; i < failure->count && i < 64 && delay_ns < max_ns; i++) {
        delay_ns = mmi_add_cap(delay_ns, delay_ns);
    }
    failure->until_ns = mmi_add_cap(now_ns, mmi_min_u64(delay_ns, max_ns));
    failure->status = error->status;
    failure->count = (uint16_t)mmi_min_u64(failure->count + 1u, UINT16_MAX);
    failure->fresh = true;
    if (!failure->error) {
        failure->error = mmi_alloc(alloc, 1, sizeof(*failure->error));
    }
    if (failure->error) {
        *failure->error = *error;
    }
}

void mmi_failure_clear(const mm_allocator *alloc, struct mmi_failure *failure) {
    mmi_free(alloc, failure->error, sizeof(*failure->error));
    *failure = (struct mmi_failure){0};
}

mm_status mmi_failure_get(const struct mmi_failure *failure, uint64_t now_ns, mm_error *err) {
    mm_status status = (mm_status)failure->status;
    if (failure->error) {
        mmi_error_copy(err, failure->error);
    } else {
        mmi_fail(err, status, "%s", mm_status_text(status));
    }
    if (err) {
        err->retry_after_ns = mmi_sub_floor(failure->until_ns, now_ns);
    }
    return status;
}

struct mmi_build *mmi_version_build(struct mmi_version *version, int32_t kind) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        struct mmi_build *build = version->builds[i];
        if (build->kinds == 0 || (build->kinds & (uint32_t)kind)) {
            return build;
        }
    }
    /* No two builds share a kind, so there is one left for this; its memory came with the first. */
    struct mmi_build *build = &version->others[version->build_count - 1];
    build_init(version, build);
    build->kinds = (uint32_t)kind;
    version->builds[version->build_count++] = build;
    return build;
}

struct mmi_build *mmi_version_described(struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        if (version->builds[i]->state == MMI_BUILD_PREPARED) {
            return version->builds[i];
        }
    }
    return NULL;
}

/* What others do not have of the kinds that a preparation is good for. */
static uint32_t kinds_left(const struct mmi_build *build, uint32_t kinds) {
    const struct mmi_version *version = build->version;
    for (uint32_t i = 0; i < version->build_count; i++) {
        if (version->builds[i] != build) {
            kinds &= ~version->builds[i]->kinds;
        }
    }
    return kinds ? kinds : build->kinds;
}

void mmi_build_commit(struct mmi_build *build, const struct mmi_prepared *prepared) {
    const mm_description *description = &prepared->opened->description;
    if (prepared->others) {
        build->version->others = prepared->others;
    }
    build->opened = prepared->opened;
    build->opened->build = build;
    build->kinds = kinds_left(build, prepared->kinds);
    build->keyed = prepared->keyed;
    build->bare = prepared->bare;
    build->target = prepared->key.target;
    if (prepared->keyed) {
        build->version->content = prepared->key.content;
        build->version->content_known = true;
    }
    if (prepared->siblings) {
        build->version->siblings = prepared->siblings;
        build->version->siblings_bytes = prepared->siblings_bytes;
    }
    build->weights_bytes = description->weights_bytes;
    if (!build->activation_expected && !build->activation_measured) {
        build->activation_bytes = description->activation_bytes;
    }
    if (build->own_bytes == 0) {
        build->own_bytes = description->own_bytes;
    }
    build->state = MMI_BUILD_PREPARED;
}

uint64_t mmi_opened_bytes(const struct mmi_opened *opened) {
    uint64_t bytes = opened->host_bytes;
    for (size_t i = 0; i < MMI_DEVICE_KINDS; i++) {
        bytes += opened->signatures[i] ? opened->signatures[i]->bytes : 0;
    }
    return bytes;
}
