/* SPDX-License-Identifier: Apache-2.0 */
/* Every decision explained: the decision log, and plans that say beforehand what will happen. */
#include "scene.h"

#include <base/lock.h>

#include <stdio.h>
#include <string.h>

static uint64_t seed;

/* ---- The ring -------------------------------------------------------------------------------- */

static void register_some(struct fixture *f, int from, int count) {
    for (int i = from; i < from + count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "m%d", i);
        mm_model_spec spec = MM_MODEL_SPEC_INIT;
        spec.name = name;
        spec.source = "/nowhere";
        mm_model model;
        assert_int_equal(mm_register(f->mesh, &spec, &model, &f->err), MM_OK);
    }
}

static uint64_t read_all(struct fixture *f, uint64_t *cursor, uint64_t *lost_in_all) {
    mm_event event;
    uint64_t lost, count = 0, before = *cursor;
    *lost_in_all = 0;
    while (mm_events_next(f->mesh, cursor, &event, &lost) == MM_OK) {
        assert_int_equal(event.sequence, before + lost + 1); /* "from 1, without gaps" */
        assert_int_equal(*cursor, event.sequence);
        assert_true(lost == 0 || count == 0);
        before = event.sequence;
        *lost_in_all += lost;
        count++;
    }
    assert_int_equal(lost, 0);
    return count;
}

/* "a ring, a cursor a consumer, a count of what was lost". */
static void test_ring_counts_what_each_consumer_lost(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.event_capacity = 8;
    fixture_open(&f, &options);
    uint64_t quick = 0, slow = 0, lost;
    register_some(&f, 0, 5);
    assert_int_equal(read_all(&f, &quick, &lost), 5);
    assert_int_equal(lost, 0);
    register_some(&f, 5, 8);
    assert_int_equal(read_all(&f, &quick, &lost), 8); /* exactly as many as the ring has room for */
    assert_int_equal(lost, 0);
    register_some(&f, 13, 20);
    assert_int_equal(read_all(&f, &quick, &lost), 8);
    assert_int_equal(lost, 12);
    assert_int_equal(read_all(&f, &slow, &lost), 8); /* "0: the oldest kept" */
    assert_int_equal(slow, quick);
    assert_int_equal(read_all(&f, &quick, &lost), 0);
    mm_event event;
    assert_int_equal(mm_events_next(f.mesh, &quick, &event, NULL), MM_NONE); /* "NULL is fine" */
    fixture_close(&f);
}

/* "Names are copied": they outlive the model; one too long is cut at the end, and shown so. */
static void test_names_in_events_are_copies(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    char name[201];
    memset(name, 'n', 200);
    name[200] = '\0';
    mm_model model = fixture_add(&f, name, "weights_bytes 1m\nseed 1\n");
    memset(name, 'x', 200);
    assert_int_equal(mm_unregister(f.mesh, model, &f.err), MM_OK);
    uint64_t cursor = 0;
    mm_event event;
    assert_int_equal(mm_events_next(f.mesh, &cursor, &event, NULL), MM_OK);
    assert_int_equal(event.kind, MM_EVENT_REGISTER);
    assert_int_equal(strlen(event.model), sizeof(event.model) - 1);
    assert_int_equal(strspn(event.model, "n"), sizeof(event.model) - 4);
    assert_string_equal(event.model + sizeof(event.model) - 4, "...");
    fixture_close(&f);
}

/* ---- The line -------------------------------------------------------------------------------- */

/* "evict model=ocr/rec device=pod1 bytes=10857958 idle_ms=5210 for=vad reason=budget policy=lru",
 * and the rules of text calls. */
static void test_eviction_explains_itself_in_one_line(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options pod = MM_DEVICE_OPTIONS_INIT;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    pod.name = "sim/pod1";
    pod.budget_bytes = 16 * MIB;
    options.devices = &pod;
    options.device_count = 1;
    fixture_open(&f, &options);
    mm_model old = fixture_add(&f, "ocr/rec", "weights_bytes 10m\ncheck 0\nseed 1\n");
    mm_model young = fixture_add(&f, "vad", "weights_bytes 10m\ncheck 0\nseed 2\n");
    assert_int_equal(scene_seed(&f, old), 1);
    fixture_advance(&f, 5210 * MS);
    assert_int_equal(scene_seed(&f, young), 2);
    uint64_t cursor = 0;
    mm_event event;
    do {
        assert_int_equal(mm_events_next(f.mesh, &cursor, &event, NULL), MM_OK);
    } while (event.kind != MM_EVENT_EVICT);
    const char *wanted = "evict model=ocr/rec device=pod1 bytes=10485760 idle_ms=5210 for=vad "
                         "reason=budget policy=lru";
    char line[256];
    uint64_t need = mm_event_text(&event, NULL, 0);
    assert_int_equal(need, strlen(wanted) + 1);
    assert_int_equal(mm_event_text(&event, line, sizeof(line)), need);
    assert_string_equal(line, wanted);
    assert_int_equal(mm_event_text(&event, line, 6), need);
    assert_string_equal(line, "evict");
    assert_int_equal(event.time_ns, WORLD_START_NS + 5210 * MS);
    fixture_close(&f);
}

struct heard {
    pthread_mutex_t mutex;
    char lines[64][256];
    unsigned count;
};

static void hear(void *user, int32_t level, const char *text) {
    struct heard *heard = user;
    (void)level;
    mmi_assert_no_locks(); /* "no lock held" */
    pthread_mutex_lock(&heard->mutex);
    assert_true(heard->count < 64);
    snprintf(heard->lines[heard->count++], sizeof(heard->lines[0]), "%s", text);
    pthread_mutex_unlock(&heard->mutex);
}

/* The host's log gets the same lines, in the same order. */
static void test_log_tells_the_same_lines(void **state) {
    (void)state;
    struct fixture f;
    static struct heard heard;
    heard = (struct heard){.mutex = PTHREAD_MUTEX_INITIALIZER};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.log = (mm_log){.user = &heard, .line = hear, .level = MM_LOG_INFO};
    fixture_open(&f, &options);
    mm_model a = fixture_add(&f, "a", "weights_bytes 9m\ncheck 0\nseed 1\n");
    mm_model b = fixture_add(&f, "b", "weights_bytes 9m\ncheck 0\nseed 2\n");
    mm_model bad = fixture_add(&f, "bad", "weights_bytes 1m\nfail_attach -1 MM_IO\n");
    assert_int_equal(scene_seed(&f, a), 1);
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(scene_seed(&f, b), 2);
    assert_int_equal(fixture_infer(&f, bad, -1), MM_IO);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    uint64_t cursor = 0;
    mm_event event;
    unsigned count = 0;
    while (mm_events_next(f.mesh, &cursor, &event, NULL) == MM_OK) {
        char line[256];
        mm_event_text(&event, line, sizeof(line));
        assert_true(count < heard.count);
        assert_string_equal(heard.lines[count], line);
        count++;
    }
    assert_int_equal(count, heard.count);
    fixture_close(&f);
}

/* Every way to leave says which it was. */
static void test_every_eviction_has_its_reason(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 6m\ncheck 0\nseed 1\n");
    spec.idle_ttl_ns = 3600 * 1000 * MS;
    mm_model model;
    assert_int_equal(mm_register(f.mesh, &spec, &model, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    assert_int_equal(fixture_events(&f, "evict model=m ", "reason=request"), 1);
    assert_int_equal(scene_seed(&f, model), 1);
    fixture_advance(&f, 3600 * 1000 * MS + MS);
    scene_wait_state(&f, model, MM_STATE_COLD);
    assert_int_equal(fixture_events(&f, "evict model=m ", "reason=idle"), 1);
    assert_int_equal(scene_seed(&f, model), 1);
    assert_int_equal(mm_device_set_budget(f.mesh, "host", 4 * MIB, &f.err), MM_OK);
    assert_int_equal(fixture_events(&f, "evict model=m ", "reason=shrink"), 1);
    assert_int_equal(mm_device_set_budget(f.mesh, "host", 16 * MIB, &f.err), MM_OK);
    assert_int_equal(scene_seed(&f, model), 1);
    mm_model hungry = fixture_add(&f, "hungry", "weights_bytes 1m\nactivation_per_element 3m\n");
    fixture_advance(&f, 1000 * MS);
    assert_int_equal(mm_load(f.mesh, hungry, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(fixture_infer(&f, hungry, -1), MM_OK); /* 12 MiB to run in */
    assert_int_equal(fixture_events(&f, "evict model=m ", "for=hungry reason=activations"), 1);
    assert_int_equal(mm_unregister(f.mesh, hungry, &f.err), MM_OK);
    assert_int_equal(fixture_events(&f, "evict model=hungry ", "reason=unregister"), 1);
    assert_int_equal(scene_seed(&f, model), 1);
    spec.name = NULL;
    assert_int_equal(mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err), MM_OK);
    assert_int_equal(fixture_events(&f, "switch model=m", NULL), 1);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    assert_int_equal(fixture_events(&f, NULL, "reason=update"), 1);
    assert_int_equal(fixture_events(&f, NULL, "reason=close"), 1);
    assert_int_equal(fixture_events(&f, "evict", NULL), fixture_stats(&f).evictions);
    fixture_close(&f);
}

/* ---- Plans ----------------------------------------------------------------------------------- */

#define MODELS 8

struct park {
    struct fixture f;
    mm_model models[MODELS];
};

static mm_plan plan_of(struct park *park, mm_model model, mm_victim *victims, uint32_t capacity) {
    mm_plan plan = MM_PLAN_INIT;
    plan.victims = victims;
    plan.victim_capacity = capacity;
    assert_int_equal(mm_plan_load(park->f.mesh, model, &plan, &park->f.err), MM_OK);
    return plan;
}

/* Names of those that were evicted from `cursor` on, in order. */
static unsigned evicted_since(struct park *park, uint64_t cursor, char names[][64]) {
    mm_event event;
    unsigned count = 0;
    while (mm_events_next(park->f.mesh, &cursor, &event, NULL) == MM_OK) {
        if (event.kind == MM_EVENT_EVICT) {
            assert_true(count < MODELS);
            memcpy(names[count++], event.model, 64);
        }
    }
    return count;
}

static uint64_t last_event(struct park *park) {
    uint64_t cursor = 0;
    mm_event event;
    while (mm_events_next(park->f.mesh, &cursor, &event, NULL) == MM_OK) {}
    return cursor;
}

/* Eight models of 1 to 8 MiB, prepared, on a device of 16 MiB: of some class, some pinned. */
static void park_open(struct park *park, uint64_t *random) {
    fixture_open(&park->f, NULL);
    static const int32_t classes[] = {MM_CLASS_LOW, MM_CLASS_NORMAL, MM_CLASS_HIGH};
    for (int i = 0; i < MODELS; i++) {
        char name[16], lines[64];
        snprintf(name, sizeof(name), "m%d", i);
        snprintf(lines, sizeof(lines), "weights_bytes %dm\ncheck 0\nseed %d\n", i + 1, i);
        mm_model_spec spec = fixture_spec(&park->f, name, "echo", lines);
        spec.evict_class = random ? classes[test_random_below(random, 3)] : MM_CLASS_NORMAL;
        spec.flags = random && test_random_below(random, 6) == 0 ? MM_MODEL_PINNED : 0;
        assert_int_equal(mm_register(park->f.mesh, &spec, &park->models[i], &park->f.err), MM_OK);
        assert_int_equal(mm_prepare(park->f.mesh, park->models[i], NULL, NULL, &park->f.err),
                         MM_OK);
    }
}

/* "What would leave if this model were loaded now": asked, it changes nothing; then just this
 * happens, in this order. Random sizes, classes, pins and use. */
static void test_plan_tells_what_then_happens(void **state) {
    (void)state;
    uint64_t random = seed;
    unsigned evictions = 0;
    for (int park_count = 0; park_count < 6; park_count++) {
        struct park park;
        park_open(&park, &random);
        for (int step = 0; step < 30; step++) {
            mm_model model = park.models[test_random_below(&random, MODELS)];
            fixture_advance(&park.f, 1000 * MS);
            mm_victim victims[MODELS];
            uint64_t before = last_event(&park);
            mm_plan plan = plan_of(&park, model, victims, MODELS);
            mm_plan again = plan_of(&park, model, NULL, 0);
            assert_int_equal(last_event(&park), before); /* "changes nothing" */
            assert_int_equal(again.victim_count, plan.victim_count);
            assert_int_equal(again.status, plan.status);
            assert_int_equal(plan.estimated, 0);
            assert_int_equal(plan.resident, fixture_info(&park.f, model).state == MM_STATE_READY);
            mm_status status = fixture_infer(&park.f, model, -1);
            assert_int_equal(status, plan.status);
            char names[MODELS][64];
            unsigned count = evicted_since(&park, before, names);
            assert_int_equal(count, plan.victim_count);
            for (unsigned i = 0; i < count; i++) {
                assert_string_equal(names[i], victims[i].name);
                assert_true(victims[i].bytes > 0 && victims[i].idle_ns > 0);
                assert_int_equal(victims[i].leased, 0);
            }
            evictions += count;
        }
        fixture_close(&park.f);
    }
    print_message("%u evictions planned and seen\n", evictions);
    assert_true(evictions > 0); /* else the seed showed nothing */
}

/* What a plan says where nothing can be done at once: leased, pinned, too large, never prepared,
 * there already. */
static void test_plan_tells_why_not(void **state) {
    (void)state;
    struct park park;
    park_open(&park, NULL);
    struct fixture *f = &park.f;
    mm_victim victims[2];
    mm_model holder = fixture_add_gated(f, "holder", "weights_bytes 12m\ncheck 0\nseed 9\n");
    mm_plan plan = plan_of(&park, holder, NULL, 0);
    assert_int_equal(plan.estimated, 1);
    assert_int_equal(plan.victim_count, 0);
    gate_close(f, MMI_ECHO_INFER);
    struct ask ask;
    struct call call;
    ask_init(&ask, f, holder);
    call_ask(&call, &ask);
    gate_wait(f, MMI_ECHO_INFER, 1);
    fixture_advance(f, 1000 * MS);
    plan = plan_of(&park, park.models[7], victims, 2);
    assert_int_equal(plan.status, MM_BUSY);
    assert_int_equal(plan.victim_count, 1);
    assert_string_equal(victims[0].name, "holder");
    assert_int_equal(victims[0].leased, 1);
    plan = plan_of(&park, holder, victims, 2);
    assert_int_equal(plan.resident, 1);
    assert_int_equal(plan.status, MM_OK);
    assert_int_equal(plan.victim_count, 0);
    assert_string_equal(plan.device, "host");
    gate_open(f, MMI_ECHO_INFER);
    assert_int_equal(call_join(&call), MM_OK);
    ask_done(&ask);
    assert_int_equal(mm_pin(f->mesh, holder), MM_OK);
    plan = plan_of(&park, park.models[7], victims, 2);
    assert_int_equal(plan.status, MM_ALL_PINNED);
    assert_int_equal(plan.victim_count, 0);
    assert_int_equal(plan.needed_bytes, 8 * MIB);
    assert_int_equal(plan.free_bytes, 4 * MIB);
    mm_model large = fixture_add(f, "large", "weights_bytes 17m\n");
    assert_int_equal(mm_prepare(f->mesh, large, NULL, NULL, &f->err), MM_OK);
    plan = plan_of(&park, large, victims, 2);
    assert_int_equal(plan.status, MM_TOO_LARGE);
    assert_int_equal(plan.victim_count, 0);
    assert_string_equal(plan.device, "");
    fixture_close(f);
}

/* More victims than the caller has room for: all are counted, the first are named. */
static void test_plan_counts_beyond_the_capacity(void **state) {
    (void)state;
    struct park park;
    park_open(&park, NULL);
    for (int i = 0; i < 5; i++) { /* 1 + 2 + 3 + 4 + 5 MiB */
        assert_int_equal(scene_seed(&park.f, park.models[i]), i);
        fixture_advance(&park.f, 1000 * MS);
    }
    mm_victim victims[2] = {{.bytes = 0}, {.bytes = 77}};
    mm_plan plan = plan_of(&park, park.models[7], victims, 1);
    assert_int_equal(plan.status, MM_OK);
    assert_true(plan.victim_count > 1);
    assert_true(victims[0].bytes > 0);
    assert_int_equal(victims[1].bytes, 77);
    assert_int_equal(fixture_stats(&park.f).resident, 5);
    fixture_close(&park.f);
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_counts_what_each_consumer_lost),
        cmocka_unit_test(test_names_in_events_are_copies),
        cmocka_unit_test(test_eviction_explains_itself_in_one_line),
        cmocka_unit_test(test_log_tells_the_same_lines),
        cmocka_unit_test(test_every_eviction_has_its_reason),
        cmocka_unit_test(test_plan_tells_what_then_happens),
        cmocka_unit_test(test_plan_tells_why_not),
        cmocka_unit_test(test_plan_counts_beyond_the_capacity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
