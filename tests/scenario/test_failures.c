/* SPDX-License-Identifier: Apache-2.0 */
/* "errors remembered: later requests get the same error with retry_after_ns; mm_load with RETRY
 * clears it"; "It is remembered with growing back-off". */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static void open_backoff(struct fixture *f, uint64_t first_ns, uint64_t most_ns) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.backoff_first_ns = first_ns;
    options.backoff_max_ns = most_ns;
    fixture_open(f, &options);
}

/* One attempt that fails anew, then requests that are told so without another. */
static void check_remembered(struct fixture *f, mm_model model, struct gate *attempts,
                             uint64_t wait_ns) {
    unsigned before = gate_arrived(attempts);
    assert_status(f, fixture_infer(f, model), MM_IO);
    assert_int_equal(gate_arrived(attempts), before + 1);
    mm_error first = f->err;
    assert_status(f, fixture_infer(f, model), MM_IO);
    assert_string_equal(f->err.text, first.text);
    assert_int_equal(f->err.retry_after_ns, wait_ns);
    fixture_advance(f, wait_ns / 4);
    assert_status(f, mm_load(f->mesh, model, NULL, NULL, &f->err), MM_IO);
    assert_int_equal(f->err.retry_after_ns, wait_ns - wait_ns / 4);
    mm_model_info info = fixture_info(f, model);
    assert_int_equal(info.state, MM_STATE_FAILED);
    assert_int_equal(info.error.status, MM_IO);
    assert_string_equal(info.error.text, first.text);
    assert_int_equal(info.retry_after_ns, wait_ns - wait_ns / 4);
    assert_int_equal(gate_arrived(attempts), before + 1);
    fixture_advance(f, wait_ns - wait_ns / 4);
}

/* A slot that always fails: each time twice the wait, up to the most. */
static void check_backoff(enum mmi_echo_slot slot, const char *script) {
    struct fixture f;
    open_backoff(&f, 8 * MS_NS, 40 * MS_NS);
    mm_model model = fixture_gated(&f, "m", script), other = fixture_echo(&f, "other", "seed 1\n");
    struct gate attempts;
    gate_count(&f, &attempts, slot, "bad");
    static const uint64_t waits_ms[] = {8, 16, 32, 40, 40};
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
        check_remembered(&f, model, &attempts, waits_ms[i] * MS_NS);
    }
    assert_ok(&f, fixture_infer(&f, other));
    assert_int_equal(fixture_info(&f, model).failures, 5);
    assert_int_equal(fixture_device(&f, "host").instances, 1);
    fixture_close(&f);
}

static void test_a_failed_attach_is_remembered_with_growing_backoff(void **state) {
    (void)state;
    check_backoff(MMI_ECHO_ATTACH, "weights_bytes 64k\nfail_attach -1 MM_IO\nversion bad\n");
}

static void test_a_failed_prepare_is_remembered_with_growing_backoff(void **state) {
    (void)state;
    check_backoff(MMI_ECHO_PREPARE, "weights_bytes 64k\nfail_prepare -1 MM_IO\nversion bad\n");
}

static void test_a_failed_open_is_remembered_with_growing_backoff(void **state) {
    (void)state;
    check_backoff(MMI_ECHO_OPEN, "weights_bytes 64k\nfail_open -1 MM_IO\nversion bad\n");
}

/* The back-off is over before who waits can be told: told they are, and nothing is done twice. */
static void check_told(uint32_t threads, enum mmi_echo_slot slot, const char *script) {
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.backoff_first_ns = options.backoff_max_ns = 1;
    options.infer_threads = threads;
    fixture_open(&f, &options);
    mm_model model = fixture_gated(&f, "m", script);
    struct gate attempts;
    gate_count(&f, &attempts, slot, "bad");
    f.world.tick_ns = 1000;
    for (unsigned i = 1; i <= 3; i++) {
        assert_status(&f, fixture_infer(&f, model), MM_IO);
        assert_int_equal(gate_arrived(&attempts), 2 * i - 1);
        assert_status(&f, mm_load(f.mesh, model, NULL, NULL, &f.err), MM_IO);
        assert_int_equal(gate_arrived(&attempts), 2 * i);
    }
    f.world.tick_ns = 0;
    fixture_close(&f);
}

static void test_a_short_backoff_hides_no_failure(void **state) {
    (void)state;
    const uint32_t threads[] = {0, MM_THREADS_NONE};
    for (int i = 0; i < 2; i++) {
        check_told(threads[i], MMI_ECHO_PREPARE,
                   "weights_bytes 64k\nfail_prepare -1 MM_IO\nversion bad\n");
        check_told(threads[i], MMI_ECHO_OPEN,
                   "weights_bytes 64k\nfail_open -1 MM_IO\nversion bad\n");
        check_told(threads[i], MMI_ECHO_ATTACH,
                   "weights_bytes 64k\nfail_attach -1 MM_IO\nversion bad\n");
    }
}

/* The defaults: 100 ms first, 60 s at most. */
static void test_backoff_defaults(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "fail_attach -1 MM_IO\nversion bad\n");
    struct gate attempts;
    gate_count(&f, &attempts, MMI_ECHO_ATTACH, "bad");
    uint64_t wait_ns = 100 * MS_NS;
    for (int i = 0; i < 13; i++) {
        check_remembered(&f, model, &attempts, wait_ns);
        wait_ns = wait_ns * 2 < 60 * S_NS ? wait_ns * 2 : 60 * S_NS;
    }
    fixture_close(&f);
}

/* What succeeds is forgotten, and the next failure begins anew. */
static void test_a_success_forgets_the_failure(void **state) {
    (void)state;
    struct fixture f;
    open_backoff(&f, 10 * MS_NS, S_NS);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 64k\nseed 2\nfail_attach 2 MM_IO\n");
    assert_status(&f, fixture_infer(&f, model), MM_IO);
    fixture_advance(&f, 10 * MS_NS);
    assert_status(&f, fixture_infer(&f, model), MM_IO);
    fixture_advance(&f, 20 * MS_NS);
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_info(&f, model).error.status, MM_OK);
    assert_int_equal(fixture_info(&f, model).retry_after_ns, 0);
    assert_int_equal(fixture_events_of(&f, "load_failed", "m"), 2);
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

/* "mm_load with RETRY clears it": at once another attempt; the same for mm_prepare */
static void check_retry(const char *script, bool by_prepare) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", script);
    mm_status (*call)(mm_mesh * mesh, mm_model model, const mm_async *async, mm_op **op,
                      mm_error *err) = by_prepare ? mm_prepare : mm_load;
    assert_status(&f, fixture_infer(&f, model), MM_IO);
    assert_status(&f, call(f.mesh, model, NULL, NULL, &f.err), MM_IO);
    assert_true(f.err.retry_after_ns > 0);
    mm_async async = MM_ASYNC_INIT;
    async.flags = MM_ASYNC_RETRY;
    assert_status(&f, call(f.mesh, model, &async, NULL, &f.err), MM_IO); /* the second attempt */
    mm_op *op;
    assert_ok(&f, call(f.mesh, model, &async, &op, &f.err)); /* the third succeeds */
    assert_status(&f, mm_op_wait(op, 0, &f.err), MM_OK);
    mm_op_free(op);
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_info(&f, model).error.status, MM_OK);
    fixture_close(&f);
}

static void test_load_with_retry_clears_it(void **state) {
    (void)state;
    check_retry("fail_attach 2 MM_IO\nseed 1\n", false);
    check_retry("fail_prepare 2 MM_IO\nseed 2\n", false);
}

static void test_prepare_with_retry_clears_it(void **state) {
    (void)state;
    check_retry("fail_prepare 2 MM_IO\nseed 2\n", true);
}

/* "Failure. Every waiter gets the error.", after one attempt */
static void test_every_waiter_gets_the_error(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "fail_attach -1 MM_NO_FDS\nversion w\n");
    struct gate attach;
    gate_shut(&f, &attach, MMI_ECHO_ATTACH, "w");
    struct asker askers[4];
    for (int i = 0; i < 4; i++) {
        askers[i] = (struct asker){.f = &f, .model = model};
        asker_start(&askers[i]);
    }
    gate_wait_arrived(&attach, 1);
    fixture_until_queued(&f, model, 4);
    gate_open(&attach);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(asker_join(&askers[i]), MM_NO_FDS);
        assert_non_null(strstr(askers[i].err.text, "model m"));
    }
    assert_int_equal(gate_arrived(&attach), 1);
    assert_int_equal(fixture_info(&f, model).queued, 0);
    fixture_close(&f);
}

/* A run that fails says nothing about the next: the instance stays, nothing is remembered. */
static void test_a_failed_run_is_not_remembered(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "fail_infer 1 MM_BACKEND_FAILED\nversion blue\n");
    assert_status(&f, fixture_infer(&f, model), MM_BACKEND_FAILED);
    assert_non_null(strstr(f.err.text, "blue"));
    assert_int_equal(f.err.retry_after_ns, 0);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    assert_int_equal(fixture_info(&f, model).leases, 0);
    assert_int_equal(fixture_info(&f, model).error.status, MM_OK);
    assert_ok(&f, fixture_infer(&f, model));
    assert_int_equal(fixture_info(&f, model).loads, 1);
    fixture_close(&f);
}

/* ---- Statuses that a slot may not answer ----------------------------------------------------- */

struct odd {
    enum mmi_echo_slot slot;
    const char *name;
    bool remembered; /* else each request asks anew */
};

/* MM_CANCELLED where nobody cancelled, MM_DEVICE_LOST of a device that is there. */
static const mm_status odd_statuses[] = {
    MM_NONE,     MM_PENDING, MM_BUSY,          MM_CLOSED,       MM_STALE_HANDLE, MM_UNREGISTERED,
    MM_DEADLINE, MM_FORKED,  MM_INVALID_STATE, (mm_status)9999, MM_CANCELLED,    MM_DEVICE_LOST};

static mm_status answer_oddly(void *user, mm_error *err) {
    (void)err;
    return *(const mm_status *)user;
}

/* It fails by name, once; and what is remembered is not tried again before its time. */
static void check_odd(const struct odd *odd, mm_status status) {
    struct fixture f;
    open_backoff(&f, 10 * MS_NS, S_NS);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nseed 3\nversion bad\n");
    struct gate gate;
    gate_count(&f, &gate, odd->slot, "bad");
    gate.inside = answer_oddly;
    gate.user = &status;
    for (int round = 0; round < 2; round++) {
        assert_status(&f, fixture_infer(&f, model), MM_BACKEND_FAILED);
        assert_int_equal(f.err.status, MM_BACKEND_FAILED);
        assert_non_null(strstr(f.err.text, status == MM_CANCELLED     ? "cancelled"
                                           : status == MM_DEVICE_LOST ? "lost"
                                                                      : odd->name));
        assert_int_equal(gate_arrived(&gate), odd->remembered ? 1 : round + 1);
    }
    assert_int_equal(fixture_info(&f, model).failures, odd->remembered ? 1 : 0);
    status = MM_OK;
    fixture_advance(&f, 10 * MS_NS);
    assert_ok(&f, fixture_infer(&f, model));
    fixture_close(&f);
}

static void check_odd_slot(const struct odd *odd) {
    for (size_t i = 0; i < sizeof(odd_statuses) / sizeof(odd_statuses[0]); i++) {
        check_odd(odd, odd_statuses[i]);
    }
}

static void test_an_odd_status_of_prepare(void **state) {
    (void)state;
    check_odd_slot(&(struct odd){MMI_ECHO_PREPARE, "backend gated: prepare answered ", true});
}

static void test_an_odd_status_of_open(void **state) {
    (void)state;
    check_odd_slot(&(struct odd){MMI_ECHO_OPEN, "backend gated: open answered ", true});
}

static void test_an_odd_status_of_size(void **state) {
    (void)state;
    check_odd_slot(&(struct odd){MMI_ECHO_SIZE, "backend gated: size answered ", false});
}

static void test_an_odd_status_of_attach(void **state) {
    (void)state;
    check_odd_slot(&(struct odd){MMI_ECHO_ATTACH, "backend gated: attach answered ", true});
}

static void test_an_odd_status_of_infer(void **state) {
    (void)state;
    check_odd_slot(&(struct odd){MMI_ECHO_INFER, "backend gated: infer answered ", false});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failed_attach_is_remembered_with_growing_backoff),
        cmocka_unit_test(test_a_failed_prepare_is_remembered_with_growing_backoff),
        cmocka_unit_test(test_a_failed_open_is_remembered_with_growing_backoff),
        cmocka_unit_test(test_a_short_backoff_hides_no_failure),
        cmocka_unit_test(test_backoff_defaults),
        cmocka_unit_test(test_a_success_forgets_the_failure),
        cmocka_unit_test(test_load_with_retry_clears_it),
        cmocka_unit_test(test_prepare_with_retry_clears_it),
        cmocka_unit_test(test_every_waiter_gets_the_error),
        cmocka_unit_test(test_a_failed_run_is_not_remembered),
        cmocka_unit_test(test_an_odd_status_of_prepare),
        cmocka_unit_test(test_an_odd_status_of_open),
        cmocka_unit_test(test_an_odd_status_of_size),
        cmocka_unit_test(test_an_odd_status_of_attach),
        cmocka_unit_test(test_an_odd_status_of_infer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
