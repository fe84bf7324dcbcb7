/* SPDX-License-Identifier: Apache-2.0 */
#include <policy/policy.h>

#include <stddef.h>
#include <string.h>

static int compare_last_used(const struct mmi_candidate *a, const struct mmi_candidate *b,
                             uint64_t now_ticks) {
    (void)now_ticks;
    return (a->last_used > b->last_used) - (a->last_used < b->last_used);
}

const struct mmi_policy mmi_policy_lru = {.name = "lru", .compare = compare_last_used};

static const struct mmi_policy *const policies[] = {&mmi_policy_lru};

const struct mmi_policy *mmi_policy_find(const char *name) {
    if (!name) {
        return &mmi_policy_lru;
    }
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (strcmp(policies[i]->name, name) == 0) {
            return policies[i];
        }
    }
    return NULL;
}
