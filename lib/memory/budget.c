/* SPDX-License-Identifier: Apache-2.0 */
#include <base/checked.h>
#include <memory/budget.h>

#include <assert.h>

void mmi_budget_init(struct mmi_budget *budget, const char *name, uint64_t limit_bytes) {
    *budget = (struct mmi_budget){.name = name, .limit_bytes = limit_bytes};
}

enum mmi_charge mmi_budget_charge(struct mmi_budget *budget, uint64_t bytes) {
    if (bytes > mmi_budget_left(budget)) {
        return MMI_CHARGE_OVER;
    }
    budget->used_bytes += bytes;
    budget->peak_bytes = mmi_max_u64(budget->peak_bytes, budget->used_bytes);
    return MMI_CHARGE_OK;
}

void mmi_budget_return(struct mmi_budget *budget, uint64_t bytes) {
    assert(bytes <= budget->used_bytes);
    budget->used_bytes -= bytes;
}

void mmi_budget_set_limit(struct mmi_budget *budget, uint64_t limit_bytes) {
    budget->limit_bytes = limit_bytes;
}

uint64_t mmi_budget_left(const struct mmi_budget *budget) {
    return mmi_sub_floor(budget->limit_bytes, budget->used_bytes);
}
