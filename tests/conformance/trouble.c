/* SPDX-License-Identifier: Apache-2.0 */

/* All that can fail fails. A backend then says so, gives everything back and breaks nothing. */

#include <conformance/suite.h>

#include <stdlib.h>
#include <string.h>

#define MOST_POINTS 500 /* of failure, in one test */
#define PREFIXES 40
#define DAMAGES 60

/* A whole life under this trouble, ended properly; the status of what failed first. */
static mm_status live(const struct subject *subject, const struct trouble *trouble,
                      uint64_t failing_allocation, bool *hit) {
    struct world world;
    struct life life;
    mm_error err;
    world_init(&world);
    life_init(&life, &world, subject);
    life.trouble = *trouble;
    world_fail_alloc(&world, failing_allocation);
    mm_status status = life_lead(&life, STAGE_INSTANCE, &err);
    if (status != MM_OK) {
        check_error(status, &err);
    } else {
        struct run run;
        run_infer(&run, &life, 0);
        status = run.status;
        if (status != MM_OK) {
            check_error(status, &run.err);
        }
        run_fini(&run);
    }
    *hit = world_failed(&world) ||
           (trouble->read_fails_at > 0 && life.reads >= trouble->read_fails_at) ||
           (trouble->sink_fails_at > 0 && life.sink_calls >= trouble->sink_fails_at) ||
           (trouble->cancelled_at > 0 && life.cancel_calls >= trouble->cancelled_at) ||
           (trouble->stopped_at > 0 && life.stop_calls >= trouble->stopped_at);
    life_fini(&life);
    world_fini(&world); /* nothing is left */
    return status;
}

static void test_allocations(void **state) {
    const struct trouble none = {0};
    bool hit = true;
    for (uint64_t nth = 1; hit && nth <= MOST_POINTS; nth++) {
        mm_status status = live(*state, &none, nth, &hit);
        assert_true(status == MM_OK || (hit && status == MM_NO_MEMORY));
    }
}

static void test_reads(void **state) {
    bool hit = true;
    for (uint64_t nth = 1; hit && nth <= MOST_POINTS; nth++) {
        mm_status status = live(*state, &(struct trouble){.read_fails_at = nth}, 0, &hit);
        assert_int_equal(status, hit ? MM_IO : MM_OK);
    }
}

static void test_sink(void **state) {
    bool hit = true;
    for (uint64_t nth = 1; hit && nth <= MOST_POINTS; nth++) {
        mm_status status = live(*state, &(struct trouble){.sink_fails_at = nth}, 0, &hit);
        assert_int_equal(status, hit ? MM_NO_SPACE : MM_OK);
    }
}

static void test_cancel(void **state) {
    bool hit = true;
    for (uint64_t nth = 1; hit && nth <= MOST_POINTS; nth++) {
        mm_status status = live(*state, &(struct trouble){.cancelled_at = nth}, 0, &hit);
        assert_int_equal(status, hit ? MM_CANCELLED : MM_OK);
    }
    const struct subject *subject = *state;
    struct world world;
    struct life life;
    mm_error err;
    world_init(&world);
    life_init(&life, &world, subject);
    assert_int_equal(life_lead(&life, STAGE_PREPARED, &err), MM_OK);
    assert_true(!subject->table->prepare || life.cancel_calls > 0); /* it does ask */
    life_fini(&life);
    world_fini(&world);
}

/* Whenever a run is ended, it says so, and the instance serves the next one. */
static void test_stop(void **state) {
    struct world world;
    struct life life;
    mm_error err;
    world_init(&world);
    life_init(&life, &world, *state);
    assert_int_equal(life_lead(&life, STAGE_INSTANCE, &err), MM_OK);
    bool hit = true;
    for (uint64_t nth = 1; hit && nth <= MOST_POINTS; nth++) {
        life.trouble.stopped_at = nth;
        life.stop_calls = 0;
        struct run run;
        run_infer(&run, &life, 0);
        hit = life.stop_calls >= nth;
        assert_true(life.stop_calls <= nth); /* told once, it does not ask again */
        assert_int_equal(run.status, hit ? MM_CANCELLED : MM_OK);
        if (hit) {
            check_error(run.status, &run.err);
        }
        run_fini(&run);
    }
    life_fini(&life);
    world_fini(&world);
}

/* The load fails: so does attach, or the first inference. */
static void test_weights(void **state) {
    const struct subject *subject = *state;
    struct world world;
    struct life life;
    bool hit;
    world_init(&world);
    life_init(&life, &world, subject);
    mm_error err;
    assert_int_equal(life_lead(&life, STAGE_MODEL, &err), MM_OK);
    bool weightless = life.artifact.group_count == 0;
    life_fini(&life);
    world_fini(&world);
    mm_status status = live(subject, &(struct trouble){.weights_fail = true}, 0, &hit);
    assert_int_equal(status, weightless ? MM_OK : MM_IO);
}

/* No memory for what only the run can tell. */
static void test_outputs(void **state) {
    const struct subject *subject = *state;
    struct world world;
    struct life life;
    mm_error err;
    world_init(&world);
    life_init(&life, &world, subject);
    assert_int_equal(life_lead(&life, STAGE_INSTANCE, &err), MM_OK);
    struct run run;
    run_infer(&run, &life, 0);
    assert_int_equal(run.status, MM_OK);
    bool asks = run.asked > 0, parts = run.parts > 0, more = run.more > 0;
    run_fini(&run);
    const struct {
        struct trouble trouble;
        mm_status status;
    } refusals[] = {
        {{.no_output = true}, asks ? MM_BUFFER_TOO_SMALL : MM_OK},
        {{.no_part = true}, parts ? MM_NO_MEMORY : MM_OK},
        {{.no_more = true}, more ? MM_NO_ROOM_FOR_ACTIVATIONS : MM_OK},
    };
    for (unsigned i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        life.trouble = refusals[i].trouble;
        run_infer(&run, &life, 0);
        assert_int_equal(run.status, refusals[i].status);
        if (run.status != MM_OK) {
            check_error(run.status, &run.err);
        }
        run_fini(&run);
    }
    life.trouble = (struct trouble){0}; /* and none of it hurt the instance */
    run_infer(&run, &life, 0);
    assert_int_equal(run.status, MM_OK);
    run_fini(&run);
    life_fini(&life);
    world_fini(&world);
}

/* A model cut off anywhere: a status, whatever it is. The copy ends where the bytes end, so that a
 * sanitizer sees who reads on. */
static void test_truncated(void **state) {
    const struct subject *subject = *state;
    const struct trouble none = {0};
    for (uint64_t i = 0; i < PREFIXES; i++) {
        struct subject cut = *subject;
        cut.byte_count = subject->byte_count * i / PREFIXES;
        uint8_t *bytes = malloc(cut.byte_count > 0 ? cut.byte_count : 1);
        assert_non_null(bytes);
        memcpy(bytes, subject->bytes, cut.byte_count);
        cut.bytes = bytes;
        bool hit;
        live(&cut, &none, 0, &hit);
        free(bytes);
    }
}

static void test_damaged(void **state) {
    const struct subject *subject = *state;
    const struct trouble none = {0};
    uint64_t random = 1;
    for (uint64_t i = 0; i < DAMAGES && subject->byte_count > 0; i++) {
        struct subject damaged = *subject;
        uint8_t *bytes = malloc(subject->byte_count);
        assert_non_null(bytes);
        memcpy(bytes, subject->bytes, subject->byte_count);
        for (uint64_t n = i == 0 ? subject->byte_count : 1 + i % 4; n > 0; n--) {
            bytes[test_random_below(&random, subject->byte_count)] = (uint8_t)test_random(&random);
        }
        damaged.bytes = bytes;
        bool hit;
        live(&damaged, &none, 0, &hit);
        free(bytes);
    }
}

/* Zero means "not made yet" to every destructor. */
static void test_zero(void **state) {
    const mm_backend *table = ((struct subject *)*state)->table;
    struct heap heap = {0};
    table->detach(heap_take(&heap, table->instance_bytes, 16));
    if (table->size_done) {
        table->size_done(heap_take(&heap, table->signature_bytes, 16));
    }
    table->close(heap_take(&heap, table->model_bytes, 16));
    if (table->fini) {
        table->fini(heap_take(&heap, table->state_bytes, 16));
    }
    heap_free(&heap);
}

const struct conformance_test trouble_tests[] = {
    {"failing allocations", test_allocations},
    {"failing reads", test_reads},
    {"failing sink", test_sink},
    {"cancel", test_cancel},
    {"stop", test_stop},
    {"failing weights", test_weights},
    {"refused outputs", test_outputs},
    {"truncated model", test_truncated},
    {"damaged model", test_damaged},
    {"zeroed objects", test_zero},
    {NULL, NULL},
};
