/* SPDX-License-Identifier: Apache-2.0 */
/* Calls from inside a backend's infer. */
#include "scene.h"

/* What one call from inside came to. */
struct inside {
    struct fixture *f;
    mm_model own, other;
    void (*act)(struct inside *inside);
    mm_status status;
    int64_t seed;
    unsigned depth, times;
};

static mm_status enter(void *user) {
    struct inside *inside = user;
    if (inside->times++ < inside->depth) {
        inside->act(inside);
    }
    return MM_OK;
}

static void inside_open(struct inside *inside, struct fixture *f, const char *backend,
                        const char *lines, void (*act)(struct inside *inside)) {
    fixture_open(f, NULL);
    *inside = (struct inside){.f = f, .act = act, .depth = 1, .status = MM_PENDING};
    mm_model_spec spec = fixture_spec(f, "own", backend, lines);
    assert_int_equal(mm_register(f->mesh, &spec, &inside->own, &f->err), MM_OK);
    f->gate.user = inside;
    f->gate.inside = enter;
}

static void infer_other(struct inside *inside) {
    struct ask ask;
    ask_init(&ask, inside->f, inside->other);
    inside->status = ask_infer(&ask);
    inside->seed = inside->status == MM_OK ? ask_seed(&ask) : -1;
    ask_done(&ask);
}

static void infer_own(struct inside *inside) {
    struct ask ask;
    ask_init(&ask, inside->f, inside->own);
    inside->status = ask_infer(&ask);
    ask_done(&ask);
}

/* A nested hit, and a nested miss for which there is room: small and large. */
static void test_nested_request_with_room_is_served(void **state) {
    (void)state;
    const char *others[] = {"weights_bytes 1m\nseed 2\n", "weights_bytes 4k\nseed 2\n"};
    for (int i = 0; i < 4; i++) {
        struct fixture f;
        struct inside inside;
        inside_open(&inside, &f, "gated-nested", "weights_bytes 1m\nseed 1\n", infer_other);
        inside.other = fixture_add(&f, "other", others[i % 2]);
        if (i < 2) {
            assert_int_equal(scene_seed(&f, inside.other), 2);
        }
        assert_int_equal(scene_seed(&f, inside.own), 1);
        assert_int_equal(inside.status, MM_OK);
        assert_int_equal(inside.seed, 2);
        fixture_close(&f);
    }
}

/* Nested in itself, some levels deep: each level is a run of its own. */
static void test_nested_request_to_itself_is_served(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated-nested", "weights_bytes 1m\nactivation_bytes 64k\nseed 1\n",
                infer_own);
    inside.depth = 5;
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.status, MM_OK);
    assert_int_equal(inside.times, 6);
    assert_int_equal(fixture_info(&f, inside.own).leases, 0);
    fixture_close(&f);
}

/* An idle model makes room for a nested miss: nobody has to be waited for. */
static void test_nested_miss_may_evict_the_idle(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated-nested", "weights_bytes 1m\nseed 1\n", infer_other);
    mm_model idle = fixture_add(&f, "idle", "weights_bytes 9m\ncheck 0\nseed 3\n");
    inside.other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
    assert_int_equal(scene_seed(&f, idle), 3);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.status, MM_OK);
    assert_int_equal(inside.seed, 2);
    assert_int_equal(fixture_info(&f, idle).state, MM_STATE_COLD);
    fixture_close(&f);
}

/* ---- Refused --------------------------------------------------------------------------------- */

/* "infer nested whose miss would wait for a drain: MM_BUSY at once": its own model is in the way.
 * The clock stands still: nothing waited. Nobody left for it, and it leaves nothing behind. */
static void test_nested_miss_that_would_wait_is_busy_at_once(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated-nested", "weights_bytes 9m\ncheck 0\nseed 1\n", infer_other);
    inside.other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.status, MM_BUSY);
    assert_int_equal(scene_hit(&f, inside.own), 1);
    assert_int_equal(fixture_stats(&f).queued, 0);
    assert_int_equal(fixture_events(&f, "drain", NULL), 0);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(scene_seed(&f, inside.other), 2); /* from outside it is an ordinary miss */
    fixture_close(&f);
}

/* The same where another request holds the room. */
static void test_nested_miss_behind_another_request_is_busy_at_once(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated-nested", "weights_bytes 1m\nseed 1\n", infer_other);
    mm_model holder = fixture_add_gated(&f, "holder", "weights_bytes 9m\ncheck 0\nseed 3\n");
    inside.other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\nseed 2\n");
    inside.times = 1; /* not from inside the holder's */
    struct ask ask;
    struct call call;
    ask_init(&ask, &f, holder);
    gate_close(&f, MMI_ECHO_INFER);
    call_ask(&call, &ask);
    gate_wait(&f, MMI_ECHO_INFER, 1);
    inside.times = 0;
    struct ask own;
    struct call nesting;
    ask_init(&own, &f, inside.own);
    call_ask(&nesting, &own);
    gate_wait(&f, MMI_ECHO_INFER, 2); /* it came back from its nested call, at once */
    assert_int_equal(inside.status, MM_BUSY);
    gate_open(&f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&call), MM_OK);
    assert_int_equal(call_join(&nesting), MM_OK);
    assert_int_equal(ask_seed(&ask), 3);
    assert_int_equal(ask_seed(&own), 1);
    ask_done(&ask);
    ask_done(&own);
    fixture_close(&f);
}

/* A nested request that waits for its own turn would wait for itself: MM_BUSY. */
static void test_nested_request_for_its_own_turn_is_busy(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated-nested", "weights_bytes 1m\nserial 1\nseed 1\n", infer_own);
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.status, MM_BUSY);
    fixture_close(&f);
}

static void do_what_blocks(struct inside *inside) {
    struct fixture *f = inside->f;
    mm_model_spec spec = fixture_spec(f, NULL, "echo", "weights_bytes 1m\nseed 3\n");
    struct ask ask;
    mm_binding *binding;
    mm_model_description *description;
    uint32_t count;
    ask_init(&ask, f, inside->other);
    assert_int_equal(ask_infer(&ask), MM_INVALID_STATE);
    assert_int_equal(ask.err.status, MM_INVALID_STATE);
    assert_int_equal(mm_load(f->mesh, inside->other, NULL, NULL, NULL), MM_INVALID_STATE);
    assert_int_equal(mm_prepare(f->mesh, inside->other, NULL, NULL, NULL), MM_INVALID_STATE);
    assert_int_equal(mm_update(f->mesh, inside->other, &spec, 0, NULL, NULL, NULL),
                     MM_INVALID_STATE);
    assert_int_equal(mm_model_describe(f->mesh, inside->other, 0, &description, NULL),
                     MM_INVALID_STATE);
    assert_int_equal(mm_bind(f->mesh, inside->other, NULL, 0, NULL, 0, &binding, NULL),
                     MM_INVALID_STATE);
    assert_int_equal(
        mm_output_bytes(f->mesh, inside->other, &ask.request, NULL, NULL, 0, &count, NULL),
        MM_INVALID_STATE);
    inside->status = MM_OK;
}

/* "infer without nested: MM_INVALID_STATE", whatever else would block too; and nothing happened to
 * the other model, resident or not. */
static void test_calls_of_a_backend_that_is_not_nested_are_refused(void **state) {
    (void)state;
    for (int resident = 0; resident < 2; resident++) {
        struct fixture f;
        struct inside inside;
        inside_open(&inside, &f, "gated", "weights_bytes 1m\nseed 1\n", do_what_blocks);
        inside.other = fixture_add(&f, "other", "weights_bytes 1m\nseed 2\n");
        if (resident) {
            assert_int_equal(scene_seed(&f, inside.other), 2);
        }
        assert_int_equal(scene_seed(&f, inside.own), 1);
        assert_int_equal(inside.status, MM_OK);
        assert_int_equal(fixture_info(&f, inside.other).state,
                         resident ? MM_STATE_READY : MM_STATE_COLD);
        assert_int_equal(fixture_info(&f, inside.other).version, 1);
        fixture_close(&f);
    }
}

static void evict_own(struct inside *inside) {
    mm_mesh *mesh = inside->f->mesh;
    mm_error err = {0};
    assert_int_equal(mm_evict(mesh, inside->own, MM_NO_WAIT, &err), MM_BUSY);
    assert_int_equal(err.status, MM_BUSY);
    inside->status = mm_evict(mesh, inside->own, 0, NULL); /* does not wait */
}

/* "evict itself: MM_BUSY", with and without a bound; it is READY still. */
static void test_evicting_itself_is_busy(void **state) {
    (void)state;
    const char *backends[] = {"gated", "gated-nested"};
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        struct inside inside;
        inside_open(&inside, &f, backends[i], "weights_bytes 1m\nseed 1\n", evict_own);
        assert_int_equal(scene_seed(&f, inside.own), 1);
        assert_int_equal(inside.status, MM_BUSY);
        assert_int_equal(scene_hit(&f, inside.own), 1);
        assert_int_equal(mm_evict(f.mesh, inside.own, MM_NO_WAIT, &f.err), MM_OK);
        fixture_close(&f);
    }
}

static void evict_the_outer(struct inside *inside) {
    struct fixture *f = inside->f;
    if (inside->times == 1) {
        infer_other(inside); /* whose infer comes here again */
        return;
    }
    inside->status = mm_evict(f->mesh, inside->own, fixture_after(f, 3600 * 1000 * MS), NULL);
    assert_int_equal(inside->status, MM_BUSY);
}

/* Nor one whose infer it is inside of two levels up: that could never end. */
static void test_evicting_an_outer_one_is_busy(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated-nested", "weights_bytes 1m\nseed 1\n", evict_the_outer);
    inside.depth = 2;
    mm_model_spec spec = fixture_spec(&f, "other", "gated-nested", "weights_bytes 1m\nseed 2\n");
    assert_int_equal(mm_register(f.mesh, &spec, &inside.other, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.times, 2);
    assert_int_equal(inside.status, MM_OK); /* of the nested infer, written last */
    fixture_close(&f);
}

static void unregister_own(struct inside *inside) {
    inside->status = mm_unregister(inside->f->mesh, inside->own, NULL);
}

/* Unregistering itself works as from anywhere: the running one finishes. */
static void test_unregistering_itself_works(void **state) {
    (void)state;
    struct fixture f;
    struct inside inside;
    inside_open(&inside, &f, "gated", "weights_bytes 1m\nscratch_more 64k\nseed 1\n",
                unregister_own);
    assert_int_equal(scene_seed(&f, inside.own), 1);
    assert_int_equal(inside.status, MM_OK);
    assert_int_equal(fixture_infer(&f, inside.own, -1), MM_STALE_HANDLE);
    assert_int_equal(fixture_stats(&f).models, 0);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_request_with_room_is_served),
        cmocka_unit_test(test_nested_request_to_itself_is_served),
        cmocka_unit_test(test_nested_miss_may_evict_the_idle),
        cmocka_unit_test(test_nested_miss_that_would_wait_is_busy_at_once),
        cmocka_unit_test(test_nested_miss_behind_another_request_is_busy_at_once),
        cmocka_unit_test(test_nested_request_for_its_own_turn_is_busy),
        cmocka_unit_test(test_calls_of_a_backend_that_is_not_nested_are_refused),
        cmocka_unit_test(test_evicting_itself_is_busy),
        cmocka_unit_test(test_evicting_an_outer_one_is_busy),
        cmocka_unit_test(test_unregistering_itself_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
