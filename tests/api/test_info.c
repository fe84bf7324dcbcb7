/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a mesh: models, devices, plans, decisions, metrics. */
#include "../observe/exposition.h"
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODEL_5M "weights_bytes 5m\ncheck 0\n"

/* A host device and a simulated one, of 16 MiB each; no threads, so that a thread that is still
 * beginning cannot free a few bytes while they are counted. */
static void open_two(struct fixture *f) {
    mm_device_options devices[] = {MM_DEVICE_OPTIONS_INIT, MM_DEVICE_OPTIONS_INIT};
    devices[0].name = "host";
    devices[1].name = "sim/pod1";
    devices[0].budget_bytes = devices[1].budget_bytes = 16 * MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    options.load_threads = MM_THREADS_NONE;
    options.min_residency_ns = 1;
    fixture_open(f, &options);
}

static mm_model add_on(struct fixture *f, const char *name, const char *device, const char *lines) {
    mm_model_spec spec = fixture_spec(f, name, "echo", lines);
    spec.device = device;
    mm_model model;
    assert_int_equal(mm_register(f->mesh, &spec, &model, &f->err), MM_OK);
    return model;
}

/* The bytes of a struct from `from` on still are what fill put there. */
static void assert_untouched(const void *memory, size_t from, size_t bytes, int fill) {
    for (size_t i = from; i < bytes; i++) {
        assert_int_equal(((const uint8_t *)memory)[i], fill);
    }
}

/* ---- Models --------------------------------------------------------------------------------- */

static void test_info(void **state) {
    (void)state;
    struct fixture f;
    open_two(&f);
    mm_model model =
        add_on(&f, "ocr/rec", "pod1", "weights_bytes 5m\nactivation_bytes 64k\nseed 3\n");
    mm_model_info info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_COLD);
    assert_string_equal(info.name, "ocr/rec");
    assert_string_equal(info.device, "");
    assert_int_equal(info.prepared, 0);
    assert_int_equal(info.version, 1);
    assert_int_equal(info.evict_class, MM_CLASS_NORMAL);
    assert_int_equal(info.weights_bytes, 0);
    assert_int_equal(info.error.status, MM_OK);
    assert_int_equal(mm_prepare(f.mesh, model, NULL, NULL, &f.err), MM_OK);
    info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_COLD);
    assert_int_equal(info.prepared, 1);
    assert_int_equal(info.weights_bytes, 5 * MIB);
    assert_int_equal(info.activation_bytes, 64 << 10);
    assert_int_equal(info.artifact_bytes, 5 * MIB);
    assert_true(info.description_bytes > 0);
    assert_int_equal(fixture_infer(&f, model, 3), MM_OK);
    assert_int_equal(mm_pin(f.mesh, model), MM_OK);
    assert_int_equal(mm_set_class(f.mesh, model, MM_CLASS_HIGH), MM_OK);
    fixture_advance(&f, 7 * MS);
    info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_READY);
    assert_string_equal(info.device, "pod1");
    assert_int_equal(info.pinned, 1);
    assert_int_equal(info.evict_class, MM_CLASS_HIGH);
    assert_int_equal(info.weights_bytes, 6 * MIB); /* as the device rounds */
    assert_int_equal(info.requests, 1);
    assert_int_equal(info.hits, 0);
    assert_int_equal(info.loads, 1);
    assert_int_equal(info.leases, 0);
    fixture_close(&f);
}

/* A remembered failure shows with the time that is left. */
static void test_info_failure(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "bad", "weights_bytes 1m\nfail_attach -1 MM_IO\n");
    assert_int_equal(fixture_infer(&f, model, -1), MM_IO);
    mm_model_info info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_FAILED);
    assert_int_equal(info.failures, 1);
    assert_int_equal(info.error.status, MM_IO);
    assert_non_null(strstr(info.error.text, "fails by its script"));
    assert_int_equal(info.retry_after_ns, 100 * MS);
    fixture_advance(&f, 40 * MS);
    assert_int_equal(fixture_info(&f, model).retry_after_ns, 60 * MS);
    fixture_advance(&f, 60 * MS);
    info = fixture_info(&f, model);
    assert_int_equal(info.state, MM_STATE_COLD);
    assert_int_equal(info.retry_after_ns, 0);
    fixture_close(&f);
}

/* A struct of an older header gets what it has room for; one of a newer header is left alone where
 * this library knows nothing. */
static void test_struct_sizes(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\n");
    struct {
        mm_model_info info;
        uint8_t later[64];
    } grown;
    const uint32_t older = MMI_MODEL_INFO_SIZES.first;
    memset(&grown, 0xa5, sizeof(grown));
    grown.info.struct_size = older;
    assert_int_equal(mm_model_info_get(f.mesh, model, &grown.info), MM_OK);
    assert_int_equal(grown.info.struct_size, older);
    assert_string_equal(grown.info.name, "m");
    assert_untouched(&grown, older, sizeof(grown), 0xa5);
    grown.info.struct_size = sizeof(grown);
    assert_int_equal(mm_model_info_get(f.mesh, model, &grown.info), MM_OK);
    assert_int_equal(grown.info.struct_size, sizeof(grown));
    assert_int_equal(grown.info.version, 1);
    assert_untouched(&grown, sizeof(grown.info), sizeof(grown), 0xa5);
    for (uint32_t size = 0; size < older; size++) {
        grown.info.struct_size = size;
        assert_int_equal(mm_model_info_get(f.mesh, model, &grown.info), MM_INVALID_ARGUMENT);
    }
    grown.info.struct_size = UINT32_MAX;
    assert_int_equal(mm_model_info_get(f.mesh, model, &grown.info), MM_INVALID_ARGUMENT);

    /* An old mm_mesh_stats has no room for devices, whatever lies behind it. */
    mm_mesh_stats stats;
    const uint32_t old_stats = MMI_MESH_STATS_SIZES.first;
    memset(&stats, 0xa5, sizeof(stats));
    stats.struct_size = old_stats;
    assert_int_equal(mm_mesh_stats_get(f.mesh, &stats), MM_OK);
    assert_int_equal(stats.models, 1);
    assert_int_equal(stats.device_count, 1);
    assert_untouched(&stats, old_stats, sizeof(stats), 0xa5);
    stats.struct_size = 3;
    assert_int_equal(mm_mesh_stats_get(f.mesh, &stats), MM_INVALID_ARGUMENT);
    fixture_close(&f);
}

static void test_models(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    assert_int_equal(mm_models(f.mesh, NULL, 0), 0);
    mm_model m[3] = {fixture_add(&f, "a", ""), fixture_add(&f, "b", ""), fixture_add(&f, "c", "")};
    mm_model found[4] = {{7}, {7}, {7}, {7}};
    assert_int_equal(mm_models(f.mesh, NULL, 0), 3);
    assert_int_equal(mm_models(f.mesh, NULL, 4), 3);
    assert_int_equal(mm_models(f.mesh, found, 2), 3);
    assert_int_equal(found[2].id, 7);
    assert_int_equal(mm_unregister(f.mesh, m[1], NULL), MM_OK);
    assert_int_equal(mm_models(f.mesh, found, 4), 2);
    for (int i = 0; i < 2; i++) {
        assert_true(found[i].id == m[0].id || found[i].id == m[2].id);
    }
    assert_int_not_equal(found[0].id, found[1].id);
    mm_model_info info = MM_MODEL_INFO_INIT;
    assert_int_equal(mm_model_info_get(f.mesh, m[1], &info), MM_STALE_HANDLE);
    assert_string_equal(info.name, "");
    fixture_close(&f);
}

/* ---- The mesh ------------------------------------------------------------------------------- */

static void test_stats(void **state) {
    (void)state;
    struct fixture f;
    open_two(&f);
    mm_model a = add_on(&f, "a", "host", "weights_bytes 5m\n");
    mm_model b = add_on(&f, "b", "pod1", "weights_bytes 5m\n");
    mm_model bad = add_on(&f, "bad", "pod1", "weights_bytes 1m\nfail_attach -1 MM_IO\n");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_infer(&f, a, -1), MM_OK);
        assert_int_equal(fixture_infer(&f, b, -1), MM_OK);
    }
    assert_int_equal(fixture_infer(&f, bad, -1), MM_IO);
    mm_device_stats devices[3];
    memset(devices, 0xa5, sizeof(devices));
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = 1;
    assert_int_equal(mm_mesh_stats_get(f.mesh, &stats), MM_OK);
    assert_int_equal(stats.device_count, 2);
    assert_untouched(&devices[1], 0, 2 * sizeof(*devices), 0xa5);
    stats.device_capacity = 3;
    assert_int_equal(mm_mesh_stats_get(f.mesh, &stats), MM_OK);
    assert_untouched(&devices[2], 0, sizeof(*devices), 0xa5);
    assert_ptr_equal(stats.devices, devices);
    assert_string_equal(devices[0].name, "host");
    assert_string_equal(devices[1].name, "pod1");
    assert_int_equal(devices[0].kind, MM_DEVICE_HOST);
    assert_int_equal(devices[1].kind, MM_DEVICE_SIM);
    assert_int_equal(devices[0].budget_bytes, 16 * MIB);
    assert_int_equal(devices[0].weights_bytes, 5 * MIB);
    assert_int_equal(devices[1].weights_bytes, 6 * MIB);
    assert_int_equal(devices[1].instances, 1);
    assert_int_equal(devices[1].loads, 1);
    assert_int_equal(devices[1].lost, 0);
    assert_int_equal(stats.models, 3);
    assert_int_equal(stats.resident, 2);
    assert_int_equal(stats.requests, 7);
    assert_int_equal(stats.hits, 4);
    assert_int_equal(stats.misses, 3);
    assert_int_equal(stats.failed, 1);
    assert_int_equal(stats.loads, 2);
    assert_int_equal(stats.load_failures, 1);
    assert_int_equal(stats.prepares, 2); /* a and b are one content */
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.cache_bytes, 0);
    assert_int_equal(stats.artifact_bytes, 6 * MIB);
    /* All but the mesh itself and the little that may outlive it. */
    uint64_t live_bytes = world_live_bytes(&f.world) - sizeof(struct mm_mesh);
    assert_in_range(stats.metadata_bytes, live_bytes - 1024, live_bytes);
    fixture_close(&f);
}

/* ---- Plans ---------------------------------------------------------------------------------- */

static mm_plan plan_of(struct fixture *f, mm_model model, mm_victim *victims, uint32_t capacity) {
    mm_plan plan = MM_PLAN_INIT;
    plan.victims = victims;
    plan.victim_capacity = capacity;
    assert_int_equal(mm_plan_load(f->mesh, model, &plan, &f->err), MM_OK);
    return plan;
}

static void test_plan(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.min_residency_ns = 1;
    fixture_open(&f, &options);
    mm_model m[3] = {fixture_add(&f, "a", MODEL_5M), fixture_add(&f, "b", MODEL_5M),
                     fixture_add(&f, "c", MODEL_5M)};
    mm_model large = fixture_add(&f, "large", "weights_bytes 9m\ncheck 0\n");
    mm_plan plan = plan_of(&f, large, NULL, 0);
    assert_int_equal(plan.status, MM_OK);
    assert_int_equal(plan.estimated, 1);
    assert_int_equal(fixture_stats(&f).prepares, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_infer(&f, m[i], -1), MM_OK);
        fixture_advance(&f, 10 * MS);
    }
    assert_int_equal(mm_set_class(f.mesh, m[1], MM_CLASS_LOW), MM_OK);
    assert_int_equal(mm_prepare(f.mesh, large, NULL, NULL, &f.err), MM_OK);
    mm_victim victims[3];
    memset(victims, 0xa5, sizeof(victims));
    plan = plan_of(&f, large, victims, 1);
    assert_int_equal(plan.status, MM_OK);
    assert_string_equal(plan.device, "host");
    assert_int_equal(plan.needed_bytes, 9 * MIB);
    assert_int_equal(plan.free_bytes, MIB);
    assert_int_equal(plan.estimated, 0);
    assert_int_equal(plan.resident, 0);
    assert_int_equal(plan.victim_count, 2);
    assert_untouched(&victims[1], 0, 2 * sizeof(*victims), 0xa5);
    plan = plan_of(&f, large, victims, 3);
    /* The lower class first, then who was used longest ago. */
    assert_string_equal(victims[0].name, "b");
    assert_int_equal(victims[0].evict_class, MM_CLASS_LOW);
    assert_int_equal(victims[0].bytes, 5 * MIB);
    assert_int_equal(victims[0].idle_ns, 20 * MS);
    assert_int_equal(victims[0].leased, 0);
    assert_string_equal(victims[1].name, "a");
    assert_int_equal(victims[1].idle_ns, 30 * MS);
    plan = plan_of(&f, m[0], victims, 3);
    assert_int_equal(plan.resident, 1);
    assert_int_equal(plan.victim_count, 0);
    assert_int_equal(plan.needed_bytes, 5 * MIB);
    /* It changed nothing, and it told the truth. */
    assert_int_equal(fixture_stats(&f).resident, 3);
    assert_int_equal(fixture_infer(&f, large, -1), MM_OK);
    assert_int_equal(fixture_info(&f, m[0]).state, MM_STATE_COLD);
    assert_int_equal(fixture_info(&f, m[1]).state, MM_STATE_COLD);
    assert_int_equal(fixture_info(&f, m[2]).state, MM_STATE_READY);
    fixture_close(&f);
}

static void test_plan_refusals(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model pinned = fixture_add(&f, "pinned", "weights_bytes 9m\ncheck 0\n");
    mm_model other = fixture_add(&f, "other", "weights_bytes 9m\ncheck 0\n");
    mm_model huge = fixture_add(&f, "huge", "weights_bytes 17m\ncheck 0\n");
    assert_int_equal(mm_pin(f.mesh, pinned), MM_OK);
    assert_int_equal(fixture_infer(&f, pinned, -1), MM_OK);
    assert_int_equal(mm_prepare(f.mesh, other, NULL, NULL, NULL), MM_OK);
    assert_int_equal(mm_prepare(f.mesh, huge, NULL, NULL, NULL), MM_OK);
    mm_plan plan = plan_of(&f, other, NULL, 0);
    assert_int_equal(plan.status, MM_ALL_PINNED);
    assert_string_equal(plan.device, "");
    plan = plan_of(&f, huge, NULL, 0);
    assert_int_equal(plan.status, MM_TOO_LARGE);
    assert_int_equal(plan.needed_bytes, 17 * MIB);
    assert_int_equal(plan.victim_count, 0);
    assert_int_equal(mm_plan_load(f.mesh, other, NULL, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "plan: NULL");
    mm_plan sizeless = {0};
    assert_int_equal(mm_plan_load(f.mesh, other, &sizeless, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text,
                        "plan.struct_size: 0, a multiple of 8 from 96 to 65536 expected");
    plan = (mm_plan)MM_PLAN_INIT;
    assert_int_equal(mm_plan_load(f.mesh, (mm_model){0}, &plan, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "model: no handle");
    assert_int_equal(mm_unregister(f.mesh, other, NULL), MM_OK);
    assert_int_equal(mm_plan_load(f.mesh, other, &plan, &f.err), MM_STALE_HANDLE);
    /* A source that is not there says so. */
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "gone";
    spec.source = "/nonexistent/model.echo";
    mm_model gone;
    assert_int_equal(mm_register(f.mesh, &spec, &gone, NULL), MM_OK);
    assert_int_equal(mm_plan_load(f.mesh, gone, &plan, &f.err), MM_NOT_FOUND);
    assert_non_null(strstr(f.err.text, "/nonexistent/model.echo"));
    fixture_close(&f);
}

/* ---- Decisions ------------------------------------------------------------------------------ */

static void test_events(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.event_capacity = 4;
    fixture_open(&f, &options);
    uint64_t cursor = 0, lost = 99;
    mm_event event;
    memset(&event, 0xa5, sizeof(event));
    assert_int_equal(mm_events_next(f.mesh, &cursor, &event, &lost), MM_NONE);
    assert_int_equal(lost, 0);
    assert_untouched(&event, 0, sizeof(event), 0xa5);
    fixture_add(&f, "a", "");
    assert_int_equal(mm_events_next(f.mesh, &cursor, &event, NULL), MM_OK);
    assert_int_equal(cursor, 1);
    assert_int_equal(event.sequence, 1);
    assert_int_equal(event.kind, MM_EVENT_REGISTER);
    assert_int_equal(event.time_ns, WORLD_START_NS);
    assert_string_equal(event.model, "a");
    const char *names[] = {"b", "c", "d", "e", "f", "g"};
    for (int i = 0; i < 6; i++) {
        fixture_add(&f, names[i], "");
    }
    assert_int_equal(mm_events_next(f.mesh, &cursor, &event, &lost), MM_OK);
    assert_int_equal(lost, 2);
    assert_string_equal(event.model, "d");
    assert_int_equal(mm_events_next(f.mesh, &cursor, &event, &lost), MM_OK);
    assert_int_equal(lost, 0);
    assert_int_equal(mm_events_next(f.mesh, NULL, &event, NULL), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_events_next(f.mesh, &cursor, NULL, NULL), MM_INVALID_ARGUMENT);
    fixture_close(&f);
}

static void test_event_text(void **state) {
    (void)state;
    mm_event event = {.kind = MM_EVENT_EVICT,
                      .bytes = 10857958,
                      .idle_ns = 5210 * MS,
                      .model = "ocr/rec",
                      .other = "vad",
                      .device = "pod1",
                      .policy = "lru",
                      .reason = "budget"};
    const char *line = "evict model=ocr/rec device=pod1 bytes=10857958 idle_ms=5210 for=vad "
                       "reason=budget policy=lru";
    uint64_t need = mm_event_text(&event, NULL, 0);
    assert_int_equal(need, strlen(line) + 1);
    char text[256];
    for (uint64_t room = 1; room <= need; room++) {
        memset(text, '#', sizeof(text));
        assert_int_equal(mm_event_text(&event, text, room), need);
        assert_int_equal(strlen(text), room - 1);
        assert_memory_equal(text, line, room - 1);
        assert_int_equal(text[room], '#');
    }
    assert_int_equal(mm_event_text(NULL, text, sizeof(text)), 0);
    assert_int_equal(mm_event_text(&event, NULL, 5), 0);
    /* No field is read beyond its end. */
    memset(&event, 'x', sizeof(event));
    need = mm_event_text(&event, text, sizeof(text));
    assert_true(need > 200 && need < 500);
}

/* ---- Metrics -------------------------------------------------------------------------------- */

static void test_metrics(void **state) {
    (void)state;
    struct fixture f;
    open_two(&f);
    mm_model a = add_on(&f, "a", "host", MODEL_5M);
    add_on(&f, "say \"b\"", "pod1", MODEL_5M);
    assert_int_equal(fixture_infer(&f, a, -1), MM_OK);
    assert_int_equal(fixture_infer(&f, a, -1), MM_OK);
    uint64_t metadata_bytes = fixture_stats(&f).metadata_bytes;
    uint64_t need = mm_metrics_text(f.mesh, NULL, 0);
    assert_true(need > 1000);
    char *text = malloc(need + 1);
    text[need] = '#';
    assert_int_equal(mm_metrics_text(f.mesh, text, need), need);
    assert_int_equal(strlen(text), need - 1);
    assert_int_equal(text[need], '#');
    struct exposition *all = malloc(sizeof(*all));
    exposition_read(all, text);
    assert_string_equal(all->problem, "");
    static const struct {
        const char *name, *label, *value;
        double number;
    } wanted[] = {
        {"modelmesh_requests_total", NULL, NULL, 2},
        {"modelmesh_hits_total", NULL, NULL, 1},
        {"modelmesh_loads_total", NULL, NULL, 1},
        {"modelmesh_load_seconds_count", NULL, NULL, 1},
        {"modelmesh_prepare_seconds_count", NULL, NULL, 1},
        {"modelmesh_models", "state", "ready", 1},
        {"modelmesh_models", "state", "cold", 1},
        {"modelmesh_models", "state", "unloading", 0},
        {"modelmesh_budget_bytes", "device", "host", 16 << 20},
        {"modelmesh_budget_bytes", "device", "pod1", 16 << 20},
        {"modelmesh_resident_bytes", "device", "host", 5 << 20},
        {"modelmesh_device_lost", "device", "pod1", 0},
        {"modelmesh_model_requests_total", "model", "a", 2},
        {"modelmesh_model_resident_bytes", "model", "a", 5 << 20},
        {"modelmesh_model_resident_bytes", "model", "say \"b\"", 0},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        double number = exposition_get(all, wanted[i].name, wanted[i].label, wanted[i].value);
        if (number != wanted[i].number) {
            fail_msg("%s %s: %g", wanted[i].name, wanted[i].value ? wanted[i].value : "", number);
        }
    }
    /* Looking costs nothing that stays, and does not count itself. */
    assert_true(exposition_get(all, "modelmesh_metadata_bytes", NULL, NULL) ==
                (double)metadata_bytes);
    assert_int_equal(fixture_stats(&f).metadata_bytes, metadata_bytes);
    memset(text, '#', need);
    assert_int_equal(mm_metrics_text(f.mesh, text, 10), need);
    assert_int_equal(strlen(text), 9);
    assert_int_equal(text[10], '#');
    assert_int_equal(mm_metrics_text(f.mesh, NULL, 10), 0);
    free(all);
    free(text);
    fixture_close(&f);
}

/* Out of memory at every allocation: 0, an empty text, nothing lost. */
static void test_metrics_out_of_memory(void **state) {
    (void)state;
    struct fixture f;
    open_two(&f);
    char name[8] = "m0";
    for (int i = 0; i < 20; i++) {
        name[1] = (char)('a' + i);
        fixture_add(&f, name, "");
    }
    char text[64];
    uint64_t nth = 0, need = 0;
    for (bool hit = true; hit;) {
        uint64_t before = world_live_bytes(&f.world);
        text[0] = '#';
        world_fail_alloc(&f.world, ++nth);
        need = mm_metrics_text(f.mesh, text, sizeof(text));
        hit = world_failed(&f.world);
        world_fail_alloc(&f.world, 0);
        assert_true(hit ? need == 0 && text[0] == '\0' : need > 1000);
        assert_int_equal(world_live_bytes(&f.world), before);
    }
    assert_true(nth > 20);
    fixture_close(&f);
}

/* ---- Wrong callers -------------------------------------------------------------------------- */

static void test_nulls(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", "");
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    mm_plan plan = MM_PLAN_INIT;
    mm_event event;
    uint64_t cursor = 0;
    assert_int_equal(mm_model_info_get(NULL, model, &info), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_model_info_get(f.mesh, model, NULL), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_model_info_get(f.mesh, (mm_model){0}, &info), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_mesh_stats_get(NULL, &stats), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_mesh_stats_get(f.mesh, NULL), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_models(NULL, &model, 1), 0);
    assert_int_equal(mm_metrics_text(NULL, NULL, 0), 0);
    assert_int_equal(mm_events_next(NULL, &cursor, &event, NULL), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_plan_load(NULL, model, &plan, &f.err), MM_INVALID_ARGUMENT);
    assert_string_equal(f.err.text, "mesh: NULL");
    fixture_close(&f);
}

static void test_forked(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_add(&f, "m", ""), list;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        mm_model_info info = MM_MODEL_INFO_INIT;
        mm_mesh_stats stats = MM_MESH_STATS_INIT;
        mm_plan plan = MM_PLAN_INIT;
        mm_event event;
        mm_model_description *description;
        uint64_t cursor = 0;
        bool good = mm_model_info_get(f.mesh, model, &info) == MM_FORKED &&
                    mm_mesh_stats_get(f.mesh, &stats) == MM_FORKED &&
                    mm_plan_load(f.mesh, model, &plan, NULL) == MM_FORKED &&
                    mm_events_next(f.mesh, &cursor, &event, NULL) == MM_FORKED &&
                    mm_model_describe(f.mesh, model, 0, &description, NULL) == MM_FORKED &&
                    mm_backend_register(f.mesh, &mmi_backend_echo, NULL) == MM_FORKED &&
                    mm_backend_load(f.mesh, "x", NULL) == MM_FORKED &&
                    mm_models(f.mesh, &list, 1) == 0 && mm_metrics_text(f.mesh, NULL, 0) == 0;
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_info_failure),
        cmocka_unit_test(test_struct_sizes),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_refusals),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_event_text),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_metrics_out_of_memory),
        cmocka_unit_test(test_nulls),
        cmocka_unit_test(test_forked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
