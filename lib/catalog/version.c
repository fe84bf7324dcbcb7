/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/version.h>

#include <base/checked.h>

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
    mmi_list_init(&version->closable);
    return version;
}

void mmi_version_free(const mm_allocator *alloc, struct mmi_version *version) {
    mmi_opened_close(alloc, version->opened);
    mmi_failure_clear(alloc, &version->failure);
    mmi_spec_free(alloc, version->spec);
    mmi_free(alloc, version, sizeof(*version));
}

void mmi_failure_set(const mm_allocator *alloc, struct mmi_failure *failure, const mm_error *error,
                     uint64_t now_ns, uint64_t first_ns, uint64_t max_ns) {
    uint64_t delay_ns =
        failure->delay_ns ? mmi_add_cap(failure->delay_ns, failure->delay_ns) : first_ns;
    failure->delay_ns = mmi_min_u64(delay_ns, max_ns);
    failure->until_ns = mmi_add_cap(now_ns, failure->delay_ns);
    failure->status = error->status;
    failure->count++;
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

void mmi_version_commit(struct mmi_version *version, const struct mmi_prepared *prepared) {
    const mm_description *description = &prepared->opened->description;
    version->opened = prepared->opened;
    version->opened->version = version;
    version->keyed = prepared->keyed;
    version->bare = prepared->bare;
    version->key = prepared->key;
    version->weights_bytes = description->weights_bytes;
    if (!version->activation_expected && !version->activation_measured) {
        version->activation_bytes = description->activation_bytes;
    }
    if (version->own_bytes == 0) {
        version->own_bytes = description->own_bytes;
    }
    version->state = MMI_VERSION_PREPARED;
}
