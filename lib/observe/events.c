/* SPDX-License-Identifier: Apache-2.0 */
#include <observe/events.h>

bool mmi_events_init(struct mmi_events *events, const mm_allocator *alloc, size_t capacity) {
    *events = (struct mmi_events){.alloc = alloc, .capacity = capacity};
    mmi_lock_init(&events->lock, MMI_RANK_EVENTS);
    events->ring = mmi_alloc(alloc, capacity, sizeof *events->ring);
    return events->ring != NULL;
}

void mmi_events_fini(struct mmi_events *events) {
    mmi_free(events->alloc, events->ring, events->capacity * sizeof *events->ring);
    events->ring = NULL;
    mmi_lock_fini(&events->lock);
}

void mmi_events_push(struct mmi_events *events, const struct mmi_event *event) {
    mmi_lock(&events->lock);
    uint64_t sequence = ++events->last;
    struct mmi_event *slot = &events->ring[sequence % events->capacity];
    *slot = *event;
    slot->sequence = sequence;
    mmi_unlock(&events->lock);
}

bool mmi_events_behind(struct mmi_events *events, const uint64_t *cursor) {
    mmi_lock(&events->lock);
    bool behind = *cursor < events->last;
    mmi_unlock(&events->lock);
    return behind;
}

bool mmi_events_next(struct mmi_events *events, uint64_t *cursor, struct mmi_event *event,
                     uint64_t *lost) {
    *lost = 0;
    mmi_lock(&events->lock);
    bool found = *cursor < events->last;
    if (found) {
        uint64_t next = *cursor + 1;
        uint64_t oldest = events->last > events->capacity ? events->last - events->capacity + 1 : 1;
        if (next < oldest) {
            *lost = oldest - next;
            next = oldest;
        }
        *event = events->ring[next % events->capacity];
        *cursor = next;
    }
    mmi_unlock(&events->lock);
    return found;
}
