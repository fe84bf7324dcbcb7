/* SPDX-License-Identifier: Apache-2.0 */
#include <residency/builds.h>

#include <base/checked.h>

static void unlist(struct mmi_residency *res, struct mmi_build *build) {
    if (mmi_list_linked(&build->closable)) {
        mmi_list_remove(&build->closable);
        res->description_bytes -= build->closable_bytes;
    }
}

struct mmi_opened *mmi_opened_hold(struct mmi_residency *res, struct mmi_build *build) {
    struct mmi_opened *opened = build->opened;
    build->version->refs++;
    if (opened->users++ == 0) {
        unlist(res, build);
    }
    return opened;
}

void mmi_opened_drop(struct mmi_residency *res, struct mmi_opened *opened) {
    struct mmi_build *build = opened->build;
    struct mmi_version *version = build->version;
    if (--opened->users == 0) {
        if (build->opened != opened) {
            mmi_list_push_back(&res->closing, &opened->closing);
        } else if (version->refs > 1) {
            build->closable_bytes = mmi_opened_bytes(opened);
            res->description_bytes += build->closable_bytes;
            mmi_list_push_back(&res->closable, &build->closable);
        }
    }
    mmi_version_unref(res, version);
}

void mmi_build_close(struct mmi_residency *res, struct mmi_build *build) {
    struct mmi_opened *opened = build->opened;
    unlist(res, build);
    build->opened = NULL;
    build->state = MMI_BUILD_UNPREPARED;
    if (opened->users == 0) {
        mmi_list_push_back(&res->closing, &opened->closing);
    } /* else its last user does */
}

void mmi_builds_trim(struct mmi_residency *res) {
    while (res->description_bytes > res->config.description_budget_bytes &&
           !mmi_list_empty(&res->closable)) {
        mmi_build_close(res, MMI_CONTAINER(res->closable.next, struct mmi_build, closable));
    }
}

void mmi_version_unref(struct mmi_residency *res, struct mmi_version *version) {
    if (--version->refs > 0) {
        return;
    }
    for (uint32_t i = 0; i < version->build_count; i++) {
        unlist(res, version->builds[i]);
    }
    mmi_list_push_back(&res->dropping, &version->dropping);
}

void mmi_builds_expect_anew(struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        struct mmi_build *build = version->builds[i];
        if (build->activation_expected && !build->activation_measured) {
            build->activation_expected = false;
            build->activation_bytes =
                build->opened ? build->opened->description.activation_bytes : 0;
        }
    }
}

bool mmi_version_preparing(const struct mmi_version *version) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        if (version->builds[i]->state == MMI_BUILD_PREPARING) {
            return true;
        }
    }
    return false;
}

uint64_t mmi_build_activation(const struct mmi_build *build, const struct mmi_devstate *dev,
                              uint64_t bytes) {
    uint64_t need = build->activation_bytes;
    bool guessed = !build->activation_measured && !build->activation_expected;
    uint64_t all = mmi_device_rounded(dev->device, bytes, need);
    return guessed && all > mmi_arena_capacity(dev->device->arena) ? 0 : need;
}

bool mmi_failure_holds(const struct mmi_failure *failure, uint64_t now_ns) {
    return failure->status != MM_OK && (failure->fresh || now_ns < failure->until_ns);
}

void mmi_failures_told(struct mmi_version *version) {
    version->failure.fresh = version->follow.fresh = false;
    for (uint32_t i = 0; i < version->build_count; i++) {
        version->builds[i]->failure.fresh = false;
    }
}

bool mmi_failure_recall(const struct mmi_residency *res, const struct mmi_failure *failure,
                        mm_error *error) {
    uint64_t now_ns = mmi_res_now(res);
    if (!mmi_failure_holds(failure, now_ns)) {
        return false;
    }
    mmi_failure_get(failure, now_ns, error);
    return true;
}

const struct mmi_failure *mmi_version_bad_build(const struct mmi_residency *res,
                                                const struct mmi_version *version, uint32_t kinds) {
    for (uint32_t i = 0; i < version->build_count; i++) {
        const struct mmi_build *build = version->builds[i];
        bool asked = kinds == UINT32_MAX || (build->kinds & kinds);
        if (asked && build->state == MMI_BUILD_BAD &&
            mmi_failure_holds(&build->failure, mmi_res_now(res))) {
            return &build->failure;
        }
    }
    return NULL;
}

bool mmi_version_refused(struct mmi_residency *res, struct mmi_version *version, mm_error *error) {
    if (version->refusal.status == MM_OK) {
        return false;
    }
    mmi_failure_get(&version->refusal, mmi_res_now(res), error);
    mmi_failure_clear(&res->env->alloc, &version->refusal);
    return true;
}
