/* SPDX-License-Identifier: Apache-2.0 */

/* The decision log: a ring against an endless list, many producers, its lines letter by letter. */

#include <modelmesh/modelmesh.h>

#include <observe/events.h>

#include <support/world.h>

#include <sched.h>
#include <string.h>

static uint64_t seed;

/* The API hands events out as they are. */
_Static_assert(sizeof(struct mmi_event) == sizeof(mm_event), "mm_event has other fields");
#define SAME(field)                                                                                \
    _Static_assert(offsetof(struct mmi_event, field) == offsetof(mm_event, field) &&               \
                       sizeof(((mm_event *)0)->field) == sizeof(((struct mmi_event *)0)->field),   \
                   "mm_event." #field)
SAME(sequence);
SAME(time_ns);
SAME(kind);
SAME(status);
SAME(bytes);
SAME(duration_ns);
SAME(idle_ns);
SAME(model);
SAME(other);
SAME(device);
SAME(policy);
SAME(reason);
_Static_assert((int)MMI_EVENT_REGISTER == (int)MM_EVENT_REGISTER, "kinds");
_Static_assert((int)MMI_EVENT_EVICT == (int)MM_EVENT_EVICT, "kinds");
_Static_assert((int)MMI_EVENT_DETACH == (int)MM_EVENT_DETACH, "kinds");

/* ---- The ring -------------------------------------------------------------------------------- */

static void test_empty(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_events events;
    assert_true(mmi_events_init(&events, &world.env.alloc, 4));
    struct mmi_event event;
    uint64_t cursor = 0, lost = 7;
    assert_false(mmi_events_next(&events, &cursor, &event, &lost));
    assert_int_equal(lost, 0);
    assert_int_equal(cursor, 0);
    mmi_events_fini(&events);
    world_fini(&world);
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    world_fail_alloc(&world, 1);
    struct mmi_events events;
    assert_false(mmi_events_init(&events, &world.env.alloc, 4));
    mmi_events_fini(&events);
    world_fini(&world);
}

/* Event s carries bytes = s * 3, so that a consumer can tell a mixed-up slot. */
static void push(struct mmi_events *events, uint64_t sequence) {
    mmi_events_push(events, &(struct mmi_event){.sequence = 99, .bytes = sequence * 3});
}

static void test_against_endless_list(void **state) {
    (void)state;
    uint64_t random = seed;
    for (int round = 0; round < 200; round++) {
        struct world world;
        world_init(&world);
        uint64_t capacity = 1 + test_random_below(&random, 9), pushed = 0;
        struct mmi_events events;
        assert_true(mmi_events_init(&events, &world.env.alloc, (size_t)capacity));
        uint64_t allocations = world_allocations(&world);
        uint64_t cursors[3] = {0}, seen[3] = {0};
        for (int step = 0; step < 300; step++) {
            size_t who = (size_t)test_random_below(&random, 5);
            if (who >= 3) {
                push(&events, ++pushed);
                continue;
            }
            struct mmi_event event;
            uint64_t lost = 0;
            bool found = mmi_events_next(&events, &cursors[who], &event, &lost);
            assert_int_equal(found, seen[who] < pushed);
            uint64_t kept = pushed < capacity ? pushed : capacity;
            uint64_t gone = seen[who] < pushed - kept ? pushed - kept - seen[who] : 0;
            assert_int_equal(lost, gone);
            if (found) {
                seen[who] += gone + 1;
                assert_int_equal(event.sequence, seen[who]);
                assert_int_equal(event.bytes, seen[who] * 3);
                assert_int_equal(cursors[who], seen[who]);
            }
        }
        assert_int_equal(world_allocations(&world), allocations);
        mmi_events_fini(&events);
        world_fini(&world);
    }
}

/* The residency core decides under its own lock and logs there. */
static void test_under_the_residency_lock(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct mmi_events events;
    assert_true(mmi_events_init(&events, &world.env.alloc, 1));
    struct mmi_lock residency;
    mmi_lock_init(&residency, MMI_RANK_RESIDENCY);
    mmi_lock(&residency);
    push(&events, 1);
    mmi_unlock(&residency);
    mmi_lock_fini(&residency);
    mmi_events_fini(&events);
    world_fini(&world);
}

/* ---- Many producers -------------------------------------------------------------------------- */

#define PRODUCERS 4
#define CONSUMERS 2
#define EVENTS_EACH 5000

struct crowd {
    struct mmi_events events;
    _Atomic unsigned next_id;
};

/* Each event says who made it and which of his it is, twice. */
static void *produce(void *ctx) {
    struct crowd *crowd = ctx;
    uint64_t id = crowd->next_id++;
    for (uint64_t i = 1; i <= EVENTS_EACH; i++) {
        mmi_events_push(&crowd->events,
                        &(struct mmi_event){.bytes = id, .idle_ns = i, .duration_ns = i ^ id});
    }
    return NULL;
}

static void *consume(void *ctx) {
    struct crowd *crowd = ctx;
    uint64_t cursor = 0, lost_all = 0, got = 0, latest[PRODUCERS] = {0};
    while (cursor < PRODUCERS * EVENTS_EACH) {
        struct mmi_event event;
        uint64_t lost;
        if (!mmi_events_next(&crowd->events, &cursor, &event, &lost)) {
            sched_yield();
            continue;
        }
        got++;
        lost_all += lost;
        assert_true(event.bytes < PRODUCERS);
        assert_int_equal(event.duration_ns, event.idle_ns ^ event.bytes);
        assert_true(event.idle_ns > latest[event.bytes]); /* each producer's in his order */
        latest[event.bytes] = event.idle_ns;
        assert_int_equal(event.sequence, cursor);
        assert_int_equal(got + lost_all, cursor); /* nothing lost without being told */
    }
    return NULL;
}

static void test_many_producers(void **state) {
    (void)state;
    struct world world;
    world_init(&world);
    struct crowd crowd = {0};
    assert_true(mmi_events_init(&crowd.events, &world.env.alloc, 64));
    pthread_t threads[PRODUCERS + CONSUMERS];
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
        void *(*run)(void *) = i < PRODUCERS ? produce : consume;
        assert_int_equal(pthread_create(&threads[i], NULL, run, &crowd), 0);
    }
    for (int i = 0; i < PRODUCERS + CONSUMERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(crowd.events.last, PRODUCERS * EVENTS_EACH);
    mmi_events_fini(&crowd.events);
    world_fini(&world);
}

/* ---- Names and lines ------------------------------------------------------------------------- */

static void check_name(size_t room, const char *name, const char *expected) {
    char field[64];
    memset(field, 'x', sizeof field);
    mmi_event_name(field, room, name);
    assert_string_equal(field, expected);
    for (size_t i = room; i < sizeof field; i++) {
        assert_int_equal(field[i], 'x');
    }
}

static void test_names(void **state) {
    (void)state;
    check_name(8, NULL, "");
    check_name(8, "", "");
    check_name(8, "1234567", "1234567");
    check_name(8, "12345678", "1234...");
    check_name(8, "123\xc3\xa4yyyy", "123...");       /* no half of a character */
    check_name(8, "12\xc3\xa4yyyy", "12\xc3\xa4..."); /* a whole one */
    check_name(8, "1\xf0\x9f\x8c\x8dyyyy", "1...");   /* four bytes of which three fit */
    check_name(4, "12345", "...");
    check_name(1, "12345", "");
}

static void check_line(const struct mmi_event *event, const char *expected) {
    char line[512];
    struct mmi_text text;
    mmi_text_init(&text, line, sizeof line);
    mmi_event_line(event, &text);
    assert_string_equal(line, expected);
    assert_int_equal(text.need, strlen(expected));

    char cut[12]; /* never overruns, still knows the need */
    mmi_text_init(&text, cut, sizeof cut);
    mmi_event_line(event, &text);
    assert_int_equal(text.need, strlen(expected));
    assert_int_equal(strncmp(cut, expected, sizeof cut - 1), 0);
    mmi_text_init(&text, NULL, 0);
    mmi_event_line(event, &text);
    assert_int_equal(text.need, strlen(expected));
}

static void test_lines(void **state) {
    (void)state;
    struct mmi_event evict = {.sequence = 5,
                              .time_ns = 77,
                              .kind = MMI_EVENT_EVICT,
                              .bytes = 10857958,
                              .idle_ns = 5210999999,
                              .model = "ocr/rec",
                              .other = "vad",
                              .device = "pod1",
                              .policy = "lru"};
    mmi_event_name(evict.reason, sizeof evict.reason, mmi_reason_text(MMI_REASON_BUDGET));
    check_line(&evict, "evict model=ocr/rec device=pod1 bytes=10857958 idle_ms=5210 for=vad "
                       "reason=budget policy=lru");
    check_line(&(struct mmi_event){.kind = MMI_EVENT_LOAD_END,
                                   .bytes = 1,
                                   .duration_ns = 12034567,
                                   .model = "vad",
                                   .device = "pod1"},
               "load_end model=vad device=pod1 bytes=1 duration_ms=12.034");
    check_line(&(struct mmi_event){.kind = MMI_EVENT_REFUSE, .status = MM_TOO_LARGE, .model = "a"},
               "refuse model=a status=MM_TOO_LARGE");
    check_line(&(struct mmi_event){.kind = MMI_EVENT_DEVICE_LOST, .device = "cuda:0"},
               "device_lost device=cuda:0");
    check_line(&(struct mmi_event){.kind = 1000}, "event_1000");
    check_line(&(struct mmi_event){.kind = MMI_EVENT_EVICT, .idle_ns = 1}, "evict idle_ms=0");
}

static void test_quoting(void **state) {
    (void)state;
    static const struct {
        const char *name, *expected;
    } cases[] = {
        {"two words", "register model=\"two words\""},
        {"a=b", "register model=\"a=b\""},
        {"say \"no\"", "register model=\"say \\\"no\\\"\""},
        {"c:\\x", "register model=\"c:\\\\x\""},
        {"a\nevict model=b", "register model=\"a\\nevict model=b\""}, /* one event, one line */
        {"\x1b[1m\x7f", "register model=\"\\x1b[1m\\x7f\""},
        {"na\xc3\xafve", "register model=na\xc3\xafve"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmi_event event = {.kind = MMI_EVENT_REGISTER};
        mmi_event_name(event.model, sizeof event.model, cases[i].name);
        check_line(&event, cases[i].expected);
    }
}

static void test_every_kind_and_reason_has_a_text(void **state) {
    (void)state;
    for (int32_t kind = MMI_EVENT_REGISTER; kind <= MMI_EVENT_DETACH; kind++) {
        char line[64];
        struct mmi_text text;
        mmi_text_init(&text, line, sizeof line);
        mmi_event_line(&(struct mmi_event){.kind = kind}, &text);
        assert_int_not_equal(strncmp(line, "event_", 6), 0);
    }
    for (int reason = 0; reason < MMI_REASON_COUNT; reason++) {
        assert_true(strlen(mmi_reason_text((enum mmi_reason)reason)) > 0);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_against_endless_list),
        cmocka_unit_test(test_under_the_residency_lock),
        cmocka_unit_test(test_many_producers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_every_kind_and_reason_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
