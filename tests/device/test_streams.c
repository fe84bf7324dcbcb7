/* SPDX-License-Identifier: Apache-2.0 */
/* Streams, events and staging: what comes after what, when it is over, and what goes wrong. Time is
 * the test's: it moves only where the test says so. */

#include "fixture.h"

#include <device/kept.h>

#define MS UINT64_C(1000000)
#define IN_NS (2 * MS)  /* of 1 MiB in, or inside */
#define OUT_NS (3 * MS) /* of 1 MiB out */
#define LATENCY_NS (MS / 10)
#define LOAD_NS (500 * MS)

static struct fixture fixture;
static struct mmi_device *device;
static const struct mmi_device_ops *ops;
static mm_error err;
static uint8_t out[4 * MIB], in[4 * MIB];
static struct mmi_stream *streams[2]; /* of the test, closed after it */
static struct holder a, b;            /* its regions, dropped after it if they are there */

static void setup_with(const char *name, uint64_t load_ns) {
    fixture_open(&fixture, &(struct mmi_device_config){.name = name,
                                                       .budget_bytes = FIXTURE_BYTES,
                                                       .sim_ns_per_mib = IN_NS,
                                                       .sim_out_ns_per_mib = OUT_NS,
                                                       .sim_copy_latency_ns = LATENCY_NS,
                                                       .sim_load_delay_ns = load_ns});
    device = fixture.device;
    ops = device->ops;
    memset(&err, 0, sizeof(err));
    fill_pattern(in, sizeof(in), 1);
    memset(out, 0, sizeof(out));
    memset(streams, 0, sizeof(streams));
    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
}

static int setup(void **state) {
    setup_with(*state, LOAD_NS);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        ops->stream_close(device, streams[i]);
    }
    struct holder *holders[2] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        if (holders[i]->region.device) {
            drop(device, holders[i]);
        }
    }
    fixture_close(&fixture);
    return 0;
}

static struct mmi_stream *open_stream(void) {
    struct mmi_stream **stream = &streams[streams[0] != NULL];
    assert_null(*stream);
    assert_int_equal(ops->stream_open(device, stream, &err), MM_OK);
    return *stream;
}

static mm_device_event record(struct mmi_stream *stream) {
    mm_device_event event;
    assert_int_equal(ops->record(device, stream, &event, &err), MM_OK);
    return event;
}

static void copy_in(struct mmi_stream *stream, struct holder *holder, uint64_t at, uint64_t bytes) {
    assert_int_equal(ops->copy_in(device, stream, holder->region.base + at, in + at, bytes, &err),
                     MM_OK);
}

static mm_status done(mm_device_event event) {
    return ops->done(device, &event, &err);
}

/* Not done until exactly so many nanoseconds from now. */
static void check_done_after(mm_device_event event, uint64_t ns) {
    assert_int_equal(done(event), MM_PENDING);
    world_advance(&fixture.world, ns - 1);
    assert_int_equal(done(event), MM_PENDING);
    world_advance(&fixture.world, 1);
    assert_int_equal(done(event), MM_OK);
}

static void check_refused(mm_status status, const char *text) {
    assert_int_equal(status, MM_INVALID_STATE);
    assert_int_equal(err.status, MM_INVALID_STATE);
    if (!strstr(err.text, text)) {
        fail_msg("\"%s\" is not in: %s", text, err.text);
    }
}

/* ---- The same on every kind ------------------------------------------------------------------ */

static void pass_time(void) {
    world_advance(&fixture.world, 10 * LOAD_NS);
}

static void test_there_and_back(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, sizeof(in));
    hold(device, &b, sizeof(in));
    assert_int_equal(ops->begin_load(device, stream, &err), MM_OK);
    copy_in(stream, &a, 0, sizeof(in));
    assert_int_equal(ops->copy(device, stream, b.region.base, a.region.base, sizeof(in), &err),
                     MM_OK);
    assert_int_equal(ops->copy_out(device, stream, out, b.region.base, sizeof(out), &err), MM_OK);
    mm_device_event event = record(stream);
    pass_time();
    assert_int_equal(ops->wait(device, &event, &err), MM_OK);
    assert_int_equal(done(event), MM_OK);
    assert_int_equal(ops->finish(device, stream, &err), MM_OK);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(ops->access(device, NULL, b.region.base, sizeof(in), MMI_ACCESS_WRITE, &err),
                     MM_OK);
}

static void test_nothing_to_do(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, 100);
    mm_device_event none = {0}, event = record(stream);
    assert_int_equal(ops->copy_in(device, stream, a.region.base + 100, in, 0, &err), MM_OK);
    assert_int_equal(ops->copy_out(device, stream, NULL, a.region.base, 0, &err), MM_OK);
    assert_int_equal(ops->wait(device, &none, &err), MM_OK);
    assert_int_equal(ops->wait(device, &event, &err), MM_OK);
    assert_int_equal(done(none), MM_OK);
    assert_int_equal(ops->stream_wait(device, stream, &none, &err), MM_OK);
    assert_int_equal(ops->finish(device, stream, &err), MM_OK);
    assert_int_equal(ops->probe(device, &err), MM_OK);
    ops->staging_free(device, NULL, 100);
    ops->stream_close(device, NULL);
}

static void test_staging(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, 10000);
    uint8_t *memory = ops->staging_alloc(device, 10000, &err);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 4096, 0);
    memcpy(memory, in, 10000);
    assert_int_equal(ops->copy_in(device, stream, a.region.base, memory, 10000, &err), MM_OK);
    pass_time();
    assert_int_equal(ops->finish(device, stream, &err), MM_OK);
    assert_memory_equal(a.region.base, in, 10000);
    ops->staging_free(device, memory, 10000);
    world_fail_alloc(&fixture.world, 1);
    assert_null(ops->staging_alloc(device, 10000, &err));
    assert_int_equal(err.status, MM_NO_MEMORY);
}

/* ---- Delays ---------------------------------------------------------------------------------- */

static void test_delays_are_exact(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, 2 * MIB);
    hold(device, &b, 2 * MIB);
    copy_in(stream, &a, 0, 2 * MIB);
    check_done_after(record(stream), 2 * IN_NS + LATENCY_NS);
    assert_int_equal(ops->copy_out(device, stream, out, a.region.base, MIB, &err), MM_OK);
    check_done_after(record(stream), OUT_NS + LATENCY_NS);
    assert_int_equal(ops->copy(device, stream, b.region.base, a.region.base, MIB, &err), MM_OK);
    check_done_after(record(stream), IN_NS + LATENCY_NS);
    assert_int_equal(ops->begin_load(device, stream, &err), MM_OK);
    check_done_after(record(stream), LOAD_NS);
    /* Mapping takes none of them. */
    uint64_t before_ns = fixture.world.now_ns;
    drop(device, &b);
    hold(device, &b, 2 * MIB);
    assert_int_equal(fixture.world.now_ns, before_ns);
}

/* No byte is there before somebody may know that it is. */
static void test_bytes_arrive_with_their_event(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, MIB);
    memset(a.region.base, 0, MIB);
    copy_in(stream, &a, 0, MIB);
    mm_device_event event = record(stream);
    world_advance(&fixture.world, IN_NS);
    assert_int_equal(done(event), MM_PENDING);
    assert_int_equal(a.region.base[MIB - 1], 0);
    in[MIB - 1] = 77; /* wrong: it is still the copy's. So it arrives like that */
    world_advance(&fixture.world, LATENCY_NS);
    assert_int_equal(done(event), MM_OK);
    assert_int_equal(a.region.base[MIB - 1], 77);
}

static void test_one_stream_is_in_order_two_overlap(void **state) {
    (void)state;
    struct mmi_stream *first = open_stream(), *second = open_stream();
    hold(device, &a, 4 * MIB);
    copy_in(first, &a, 0, MIB);
    mm_device_event half = record(first);
    copy_in(first, &a, MIB, MIB);
    mm_device_event both = record(first);
    copy_in(second, &a, 2 * MIB, MIB);
    mm_device_event other = record(second);
    world_advance(&fixture.world, IN_NS + LATENCY_NS);
    assert_int_equal(done(half), MM_OK);
    assert_int_equal(done(other), MM_OK);
    check_done_after(both, IN_NS + LATENCY_NS);
    assert_memory_equal(a.region.base, in, 3 * MIB);
}

static void test_a_stream_waits_for_another(void **state) {
    (void)state;
    struct mmi_stream *load = open_stream(), *run = open_stream();
    hold(device, &a, MIB);
    copy_in(load, &a, 0, MIB);
    mm_device_event there = record(load);
    assert_int_equal(ops->stream_wait(device, run, &there, &err), MM_OK);
    assert_int_equal(ops->copy_out(device, run, out, a.region.base, MIB, &err), MM_OK);
    mm_device_event back = record(run);
    check_done_after(back, IN_NS + LATENCY_NS + OUT_NS + LATENCY_NS);
    assert_memory_equal(out, in, MIB);
    /* Who waited for the second has waited for the first. */
    assert_int_equal(ops->access(device, NULL, a.region.base, MIB, MMI_ACCESS_WRITE, &err), MM_OK);
}

static void test_events_are_used_again(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, MIB);
    mm_device_event event = {0};
    for (int i = 0; i < 3; i++) {
        copy_in(stream, &a, 0, MIB);
        assert_int_equal(ops->record(device, stream, &event, &err), MM_OK);
        check_done_after(event, IN_NS + LATENCY_NS);
        assert_int_equal(ops->wait(device, &event, &err), MM_OK);
    }
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void test_read_before_the_copy_is_over(void **state) {
    (void)state;
    struct mmi_stream *load = open_stream(), *run = open_stream();
    hold(device, &a, 4 * MIB);
    copy_in(load, &a, MIB, MIB);
    mm_device_event there = record(load);
    uint8_t *base = a.region.base;
    check_refused(ops->access(device, NULL, base + MIB, 1, MMI_ACCESS_READ, &err),
                  "the host reads bytes 1048576 to 1048577 of a region of 4194304 without having "
                  "waited for stream 1, which writes bytes 1048576 to 2097152");
    check_refused(ops->copy_out(device, run, out, base + 2 * MIB - 1, 2, &err), "stream 2 reads");
    check_refused(ops->copy(device, run, base, base + MIB, 1, &err), "stream 2 reads");
    check_refused(ops->copy_in(device, run, base + MIB, in, 1, &err), "stream 2 writes");
    check_refused(ops->access(device, run, base, 4 * MIB, MMI_ACCESS_READ, &err), "stream 2 reads");
    check_refused(ops->write(&a.region, MIB, in, 1, &err), "writes");
    /* Beside it, and on its own stream. */
    assert_int_equal(ops->access(device, NULL, base, MIB, MMI_ACCESS_READ, &err), MM_OK);
    assert_int_equal(ops->access(device, NULL, base + 2 * MIB, MIB, MMI_ACCESS_READ, &err), MM_OK);
    assert_int_equal(ops->access(device, load, base + MIB, MIB, MMI_ACCESS_READ, &err), MM_OK);
    /* That time has passed is not enough: somebody must have asked. */
    pass_time();
    check_refused(ops->access(device, NULL, base + MIB, 1, MMI_ACCESS_READ, &err), "the host");
    assert_int_equal(done(there), MM_OK);
    assert_int_equal(ops->access(device, NULL, base + MIB, 1, MMI_ACCESS_READ, &err), MM_OK);
    assert_int_equal(ops->access(device, run, base + MIB, 1, MMI_ACCESS_READ, &err), MM_OK);
}

static void test_write_before_the_read_is_over(void **state) {
    (void)state;
    struct mmi_stream *first = open_stream(), *second = open_stream();
    hold(device, &a, MIB);
    assert_int_equal(ops->copy_out(device, first, out, a.region.base, MIB, &err), MM_OK);
    mm_device_event event = record(first);
    assert_int_equal(ops->copy_out(device, second, out + MIB, a.region.base, MIB, &err), MM_OK);
    mm_device_event other = record(second);
    check_refused(ops->copy_in(device, second, a.region.base, in, 1, &err),
                  "without having waited for stream 1, which reads");
    check_refused(ops->access(device, NULL, a.region.base, 1, MMI_ACCESS_WRITE, &err), "reads");
    assert_int_equal(ops->stream_wait(device, second, &event, &err), MM_OK);
    assert_int_equal(ops->copy_in(device, second, a.region.base, in, 1, &err), MM_OK);
    pass_time();
    assert_int_equal(ops->wait(device, &other, &err), MM_OK);
    assert_int_equal(ops->finish(device, second, &err), MM_OK);
}

/* A kernel that writes on one stream, by what it said. */
static void test_a_kernel_is_like_a_copy(void **state) {
    (void)state;
    struct mmi_stream *first = open_stream(), *second = open_stream();
    hold(device, &a, MIB);
    assert_int_equal(ops->access(device, first, a.region.base, 10, MMI_ACCESS_WRITE, &err), MM_OK);
    check_refused(ops->access(device, second, a.region.base + 9, 1, MMI_ACCESS_READ, &err),
                  "stream 2 reads");
    assert_int_equal(ops->finish(device, first, &err), MM_OK);
    assert_int_equal(ops->access(device, second, a.region.base + 9, 1, MMI_ACCESS_READ, &err),
                     MM_OK);
    assert_int_equal(ops->finish(device, second, &err), MM_OK);
}

static void test_wrong_arguments(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    uint8_t elsewhere[10];
    hold(device, &a, 5000);
    uint8_t *base = a.region.base;
    assert_int_equal(ops->copy_in(device, stream, base + 4999, in, 2, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(ops->copy_in(device, stream, base - 1, in, 2, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(ops->copy_out(device, stream, out, elsewhere, 1, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(ops->copy(device, stream, base, base + 1, 2, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(ops->copy_in(device, NULL, base, in, 1, &err), MM_INVALID_ARGUMENT);
    mm_device_event event = record(stream), late = {event.stream, event.sequence + 1};
    assert_int_equal(ops->wait(device, &late, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(done(late), MM_INVALID_ARGUMENT);
    struct mmi_stream *closed = NULL;
    assert_int_equal(ops->stream_open(device, &closed, &err), MM_OK);
    ops->stream_close(device, closed);
    assert_int_equal(ops->record(device, closed, &event, &err), MM_INVALID_ARGUMENT);
    assert_int_equal(ops->finish(device, stream, &err), MM_OK);
}

static void test_memory_given_back_too_early(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, MIB);
    copy_in(stream, &a, 0, MIB);
    drop(device, &a);
    hold(device, &b, MIB);
    memset(b.region.base, 9, MIB);
    mm_device_event event;
    check_refused(ops->record(device, stream, &event, &err), "memory was given back before 1 ");
    event = record(stream); /* told once */
    pass_time();
    assert_int_equal(ops->wait(device, &event, &err), MM_OK);
    assert_int_equal(b.region.base[0], 9); /* it never arrived */
    uint8_t *memory = ops->staging_alloc(device, 100, &err);
    assert_int_equal(ops->copy_in(device, stream, b.region.base, memory, 100, &err), MM_OK);
    ops->staging_free(device, memory, 100);
    check_refused(ops->finish(device, stream, &err), "memory was given back before 1 ");
    pass_time();
}

/* ---- Failures -------------------------------------------------------------------------------- */

/* All that a load and a run do; stops at the first failure. */
static mm_status live(struct holder *held, struct mmi_stream **load, struct mmi_stream **run,
                      uint8_t **staging) {
    mm_device_event event, back;
    MMI_TRY(ops->map(device, &held->block, &held->region, &err));
    MMI_TRY(ops->stream_open(device, load, &err));
    MMI_TRY(ops->stream_open(device, run, &err));
    *staging = ops->staging_alloc(device, 5000, &err);
    if (!*staging) {
        return (mm_status)err.status;
    }
    MMI_TRY(ops->begin_load(device, *load, &err));
    MMI_TRY(ops->copy_in(device, *load, held->region.base, *staging, 5000, &err));
    MMI_TRY(ops->record(device, *load, &event, &err));
    MMI_TRY(ops->stream_wait(device, *run, &event, &err));
    MMI_TRY(ops->access(device, *run, held->region.base, 5000, MMI_ACCESS_WRITE, &err));
    MMI_TRY(ops->copy_out(device, *run, out, held->region.base, 5000, &err));
    MMI_TRY(ops->record(device, *run, &back, &err));
    pass_time();
    MMI_TRY(ops->wait(device, &event, &err));
    MMI_TRY(ops->done(device, &back, &err));
    return ops->probe(device, &err);
}

/* fail_alloc: which allocation after that of the block fails; 0 = none. */
static mm_status live_and_clean(uint64_t fail_alloc) {
    struct holder held = {0};
    struct mmi_stream *load = NULL, *run = NULL;
    uint8_t *staging = NULL;
    take(device, &held, 5000);
    world_fail_alloc(&fixture.world, fail_alloc);
    mm_status status = live(&held, &load, &run, &staging);
    pass_time();
    ops->stream_close(device, load);
    ops->stream_close(device, run);
    ops->staging_free(device, staging, 5000);
    drop(device, &held);
    return status;
}

static void test_nth_call_fails(void **state) {
    static const struct {
        int errnum;
        mm_status status;
    } cases[] = {{EIO, MM_IO}, {ENOMEM, MM_NO_MEMORY}, {ENODEV, MM_DEVICE_LOST}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t nth = 0;
        bool failed;
        do {
            setup_with(*state, LOAD_NS);
            world_fault(&fixture.world, "device", ++nth, cases[i].errnum);
            mm_status status = live_and_clean(0);
            failed = world_failed(&fixture.world);
            assert_int_equal(status, failed ? cases[i].status : MM_OK);
            assert_int_equal(device->lost, failed && cases[i].errnum == ENODEV);
            fixture_close(&fixture);
        } while (failed);
        assert_int_equal(nth, 15);
    }
}

static void test_nth_allocation_fails(void **state) {
    uint64_t nth = 0;
    bool failed;
    do {
        setup_with(*state, LOAD_NS);
        mm_status status = live_and_clean(++nth);
        failed = world_failed(&fixture.world);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        fixture_close(&fixture);
    } while (failed);
}

/* What was under way never arrives, and nobody waits for it. */
static void test_lost(void **state) {
    (void)state;
    struct mmi_stream *stream = open_stream();
    hold(device, &a, MIB);
    memset(a.region.base, 0, MIB);
    copy_in(stream, &a, 0, MIB);
    mm_device_event event = record(stream);
    world_fault(&fixture.world, "device", 1, ENODEV);
    assert_int_equal(ops->probe(device, &err), MM_DEVICE_LOST);
    pass_time();
    assert_int_equal(ops->wait(device, &event, &err), MM_DEVICE_LOST);
    assert_int_equal(done(event), MM_DEVICE_LOST);
    assert_int_equal(ops->finish(device, stream, &err), MM_DEVICE_LOST);
    assert_int_equal(a.region.base[0], 0);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

static void test_streams_are_kept(void **state) {
    (void)state;
    struct mmi_kept_stream all[MMI_STREAMS_KEPT + 2], again;
    for (size_t i = 0; i < MMI_STREAMS_KEPT + 2; i++) {
        assert_int_equal(mmi_stream_take(device, &all[i], &err), MM_OK);
        assert_int_equal(all[i].slot == 0, i >= MMI_STREAMS_KEPT);
        for (size_t j = 0; j < i; j++) {
            assert_ptr_not_equal(all[i].stream, all[j].stream);
        }
    }
    struct mmi_stream *one = all[7].stream;
    mmi_stream_give(device, &all[7], true);
    world_fail_alloc(&fixture.world, 1);
    assert_int_equal(mmi_stream_take(device, &again, &err), MM_OK);
    assert_ptr_equal(again.stream, one);
    mmi_stream_give(device, &again, false); /* closed, and opened anew */
    assert_int_equal(mmi_stream_take(device, &again, &err), MM_NO_MEMORY);
    assert_int_equal(mmi_stream_take(device, &all[7], &err), MM_OK);
    for (size_t i = 0; i < MMI_STREAMS_KEPT + 2; i++) {
        mmi_stream_give(device, &all[i], true);
    }
}

static void test_staging_is_kept(void **state) {
    (void)state;
    struct mmi_staging all[MMI_STAGING_KEPT + 2];
    for (size_t i = 0; i < MMI_STAGING_KEPT + 2; i++) {
        assert_int_equal(mmi_staging_take(device, 1000, &all[i], &err), MM_OK);
        assert_int_equal(all[i].kept, i < MMI_STAGING_KEPT);
        memset(all[i].memory, 1, 1000);
    }
    void *one = all[3].memory;
    mmi_staging_give(device, &all[3]);
    mmi_staging_give(device, &all[3]); /* does nothing */
    assert_int_equal(mmi_staging_take(device, MMI_STAGING_BYTES, &all[3], &err), MM_OK);
    assert_ptr_equal(all[3].memory, one);
    for (size_t i = 0; i < MMI_STAGING_KEPT + 2; i++) {
        mmi_staging_give(device, &all[i]);
    }
}

/* A device that cannot make one is no reason to fail; a host without memory is. */
static void test_staging_fails(void **state) {
    (void)state;
    struct mmi_staging staging;
    world_fault(&fixture.world, "device", 1, EIO);
    assert_int_equal(mmi_staging_take(device, 1000, &staging, &err), MM_OK);
    assert_false(staging.kept);
    mmi_staging_give(device, &staging);
    assert_int_equal(mmi_staging_take(device, 1000, &staging, &err), MM_OK);
    assert_true(staging.kept);
    mmi_staging_give(device, &staging);
}

static void test_the_host_keeps_nothing(void **state) {
    (void)state;
    struct mmi_kept_stream stream;
    struct mmi_staging staging;
    assert_int_equal(mmi_stream_take(device, &stream, &err), MM_OK);
    assert_null(stream.stream);
    mmi_stream_give(device, &stream, false);
    assert_int_equal(mmi_staging_take(device, 1000, &staging, &err), MM_OK);
    assert_int_equal(staging.bytes, 1000);
    mmi_staging_give(device, &staging);
    world_fail_alloc(&fixture.world, 1);
    assert_int_equal(mmi_staging_take(device, 1000, &staging, &err), MM_NO_MEMORY);
    mmi_staging_give(device, &staging);
}

#define HOST(test) cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, (void *)"host")
#define SIM(test) cmocka_unit_test_prestate_setup_teardown(test, setup, teardown, (void *)"sim")

int main(void) {
    const struct CMUnitTest tests[] = {
        HOST(test_there_and_back),
        SIM(test_there_and_back),
        HOST(test_nothing_to_do),
        SIM(test_nothing_to_do),
        HOST(test_staging),
        SIM(test_staging),
        SIM(test_delays_are_exact),
        SIM(test_bytes_arrive_with_their_event),
        SIM(test_one_stream_is_in_order_two_overlap),
        SIM(test_a_stream_waits_for_another),
        SIM(test_events_are_used_again),
        SIM(test_read_before_the_copy_is_over),
        SIM(test_write_before_the_read_is_over),
        SIM(test_a_kernel_is_like_a_copy),
        SIM(test_wrong_arguments),
        SIM(test_memory_given_back_too_early),
        cmocka_unit_test_prestate(test_nth_call_fails, (void *)"host"),
        cmocka_unit_test_prestate(test_nth_call_fails, (void *)"sim"),
        cmocka_unit_test_prestate(test_nth_allocation_fails, (void *)"host"),
        cmocka_unit_test_prestate(test_nth_allocation_fails, (void *)"sim"),
        SIM(test_lost),
        SIM(test_streams_are_kept),
        SIM(test_staging_is_kept),
        SIM(test_staging_fails),
        HOST(test_the_host_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
