/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <stdio.h>

void watch_look(struct watch *watch) {
    mm_event event;
    uint64_t lost = 0;
    while (mm_events_next(watch->mesh, &watch->cursor, &event, &lost) == MM_OK) {
        watch->lost += lost;
        watch->resident += event.kind == MM_EVENT_LOAD_END;
        watch->resident -= event.kind == MM_EVENT_DETACH;
        if (watch->resident > watch->most_resident) {
            watch->most_resident = watch->resident;
        }
        if (watch->print) {
            char text[512];
            mm_event_text(&event, text, sizeof(text));
            puts(text);
        }
    }
}
