/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_OBSERVE_EVENTS_H
#define MMI_OBSERVE_EVENTS_H

/* The decision log: a ring of the latest events, many producers, a cursor for each consumer. A slow
 * consumer loses the oldest and is told how many; a producer never waits for one and never
 * allocates.
 *
 * Thread safety: any thread. The ring's lock is the innermost of the library (MMI_RANK_EVENTS), so
 * events may be pushed with any other lock held. */

#include <base/alloc.h>
#include <base/lock.h>
#include <base/text.h>

/* X(name, value, text). Values are those of mm_event_kind. */
#define MMI_EVENT_MAP(X)                                                                           \
    X(REGISTER, 1, "register")                                                                     \
    X(UNREGISTER, 2, "unregister")                                                                 \
    X(UPDATE, 3, "update")                                                                         \
    X(PREPARE_BEGIN, 4, "prepare_begin")                                                           \
    X(PREPARE_END, 5, "prepare_end")                                                               \
    X(LOAD_BEGIN, 6, "load_begin")                                                                 \
    X(LOAD_END, 7, "load_end")                                                                     \
    X(LOAD_FAILED, 8, "load_failed")                                                               \
    X(DRAIN, 9, "drain")                                                                           \
    X(EVICT, 10, "evict")                                                                          \
    X(REVIVE, 11, "revive")                                                                        \
    X(SWITCH, 12, "switch")                                                                        \
    X(REFUSE, 13, "refuse")                                                                        \
    X(DEVICE_LOST, 14, "device_lost")                                                              \
    X(BUDGET, 15, "budget")                                                                        \
    X(ARTIFACT_DROPPED, 16, "artifact_dropped")                                                    \
    X(LEAK, 17, "leak")                                                                            \
    X(DETACH, 18, "detach")

enum mmi_event_kind {
#define MMI_EVENT_ENUM(name, value, text) MMI_EVENT_##name = value,
    MMI_EVENT_MAP(MMI_EVENT_ENUM)
#undef MMI_EVENT_ENUM
};

/* Why an instance left. X(name, text). */
#define MMI_REASON_MAP(X)                                                                          \
    X(BUDGET, "budget")           /* a load wanted its room */                                     \
    X(ACTIVATIONS, "activations") /* a run wanted its room */                                      \
    X(VALUES, "values")           /* a caller allocated memory for values */                       \
    X(MEMORY, "memory")           /* the device had less than its budget: one wider plan */        \
    X(SHRINK, "shrink")           /* the budget was lowered */                                     \
    X(REQUEST, "request")         /* the host asked */                                             \
    X(IDLE, "idle")               /* unused for longer than its time to live */                    \
    X(UPDATE, "update")           /* a newer version took over */                                  \
    X(UNREGISTER, "unregister")                                                                    \
    X(DEVICE_LOST, "device_lost")                                                                  \
    X(FAILED, "failed") /* the rest of its weights could not be read */                            \
    X(CLOSE, "close")

enum mmi_reason {
#define MMI_REASON_ENUM(name, text) MMI_REASON_##name,
    MMI_REASON_MAP(MMI_REASON_ENUM)
#undef MMI_REASON_ENUM
        MMI_REASON_COUNT
};

const char *mmi_reason_text(enum mmi_reason reason);

/* One decision, laid out as mm_event. What does not apply is 0 or "". */
struct mmi_event {
    uint64_t sequence; /* from 1, without gaps; given by the ring */
    uint64_t time_ns;
    int32_t kind;   /* enum mmi_event_kind */
    int32_t status; /* mm_status */
    uint64_t bytes, duration_ns, idle_ns;
    char model[64];
    char other[64]; /* the model that it happened for */
    char device[32], policy[16], reason[32];
};

/* Copy a name into a field of an event. One too long is cut between two characters and ends in
 * "...". NULL counts as "". */
void mmi_event_name(char *field, size_t room, const char *name);

/* One line without a newline, keys always in this order, absent ones left out:
 *   evict model=ocr/rec device=pod1 bytes=10857958 idle_ms=5210 for=vad reason=budget policy=lru
 * (duration_ms stands behind idle_ms, status at the end.) A value with a space, a quote, a
 * backslash, an equals sign or a control character is "quoted", with backslash escapes. */
void mmi_event_line(const struct mmi_event *event, struct mmi_text *text);

struct mmi_events {
    struct mmi_lock lock;
    const mm_allocator *alloc;
    struct mmi_event *ring; /* the event of sequence s lies at s % capacity */
    size_t capacity;
    uint64_t last; /* sequence of the newest; 0 = none yet */
};

/* Keeps the latest `capacity` (>= 1) events. false = out of memory; fini is fine all the same. */
bool mmi_events_init(struct mmi_events *events, const mm_allocator *alloc, size_t capacity);
void mmi_events_fini(struct mmi_events *events);

/* event->sequence is ignored. */
void mmi_events_push(struct mmi_events *events, const struct mmi_event *event);

/* Is there one after *cursor? For a cursor that another thread may be moving. */
bool mmi_events_behind(struct mmi_events *events, const uint64_t *cursor);

/* The next event at *cursor, the sequence last seen; 0 starts with the oldest kept. *lost is how
 * many were overwritten in between (0 on false). false = none yet. */
bool mmi_events_next(struct mmi_events *events, uint64_t *cursor, struct mmi_event *event,
                     uint64_t *lost);

#endif
