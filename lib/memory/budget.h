/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_MEMORY_BUDGET_H
#define MMI_MEMORY_BUDGET_H

/* A limit on bytes that are only counted: descriptions of evicted models, artifacts in memory. The
 * caller decides what to do when it is refused. Not thread-safe: the caller serialises. */

#include <stdbool.h>
#include <stdint.h>

struct mmi_budget {
    const char *name;     /* static text, for messages */
    uint64_t limit_bytes; /* UINT64_MAX = none */
    uint64_t used_bytes;
    uint64_t peak_bytes; /* the most that was ever used */
};

void mmi_budget_init(struct mmi_budget *budget, const char *name, uint64_t limit_bytes);

enum mmi_charge { MMI_CHARGE_OK, MMI_CHARGE_OVER };
/* All or nothing. OVER = beyond the limit, unchanged. 0 bytes are always OK. */
enum mmi_charge mmi_budget_charge(struct mmi_budget *budget, uint64_t bytes);
/* At most what was charged. */
void mmi_budget_return(struct mmi_budget *budget, uint64_t bytes);

/* Below what is used is allowed: charges are refused until enough was returned. */
void mmi_budget_set_limit(struct mmi_budget *budget, uint64_t limit_bytes);
uint64_t mmi_budget_left(const struct mmi_budget *budget); /* what a charge may be at most */

#endif
