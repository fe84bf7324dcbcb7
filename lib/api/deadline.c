/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines for callers. */
#include <base/checked.h>
#include <base/clock.h>

#include <modelmesh/modelmesh.h>

uint64_t mm_deadline_after(uint64_t ns) {
    struct mmi_clock clock = {.fake_now = NULL};
    return mmi_add_cap(mmi_now(&clock), ns);
}
