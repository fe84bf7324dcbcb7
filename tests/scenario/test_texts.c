/* SPDX-License-Identifier: Apache-2.0 */
/* What people read: every field of every event says what its name says, every status has a text of
 * its own, every error names the thing. */
#include "weather.h"

#include <observe/events.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Statuses -------------------------------------------------------------------------------- */

static void test_every_status_has_a_name_and_a_text_of_its_own(void **state) {
    (void)state;
    static const int32_t all[] = {
#define STATUS_VALUE(name, value, text) name,
        MM_STATUS_MAP(STATUS_VALUE)
#undef STATUS_VALUE
    };
    size_t count = sizeof(all) / sizeof(all[0]);
    for (size_t i = 0; i < count; i++) {
        const char *name = mm_status_name(all[i]), *text = mm_status_text(all[i]);
        assert_true(strncmp(name, "MM_", 3) == 0 && strcmp(name, "MM_?") != 0);
        assert_true(strlen(text) > 1 && strcmp(text, "unknown status") != 0);
        assert_null(strstr(text, "MM_"));
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(all[k], all[i]);
            assert_string_not_equal(mm_status_name(all[k]), name);
            assert_string_not_equal(mm_status_text(all[k]), text);
        }
    }
    /* It is said of memory too. */
    assert_non_null(strstr(mm_status_text(MM_NO_SPACE), "artifact budget"));
}

/* ---- Events ---------------------------------------------------------------------------------- */

static const char *const kinds[] = {
#define KIND_TEXT(name, value, text) [value] = text,
    MMI_EVENT_MAP(KIND_TEXT)
#undef KIND_TEXT
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0])) /* from 1 */

static bool is_one_of(const char *word, const char *const *words) {
    while (*words && strcmp(*words, word) != 0) {
        words++;
    }
    return *words != NULL;
}

static bool is_model(const char *name) {
    static const char *const names[] = {"a", "b", "bad", "huge", "leaks", "gated", "lost", NULL};
    return is_one_of(name, names);
}

static bool is_device(const char *name) {
    static const char *const names[] = {"pod1", "pod2", NULL};
    return is_one_of(name, names);
}

static bool is_reason(const mm_event *event) {
    static const char *const why_left[] = {
#define REASON(name, text) text,
        MMI_REASON_MAP(REASON)
#undef REASON
            NULL};
    static const char *const why_dropped[] = {
        "artifact_budget", "tmp_full", "cache_budget", "cache_full", "cache_failed",
        "cache_read_only", NULL};
    switch (event->kind) {
    case MM_EVENT_DRAIN:
    case MM_EVENT_EVICT:
        return is_one_of(event->reason, why_left);
    case MM_EVENT_ARTIFACT_DROPPED:
        return is_one_of(event->reason, why_dropped);
    case MM_EVENT_LEAK:
        return strcmp(event->reason, "not freed by echo") == 0;
    default:
        return event->reason[0] == '\0';
    }
}

/* " key=value" is in the line just when the field is set. */
static void expect_key(const char *line, const char *key, const char *value) {
    char word[128];
    snprintf(word, sizeof(word), strchr(value, ' ') ? " %s=\"%s\"" : " %s=%s", key, value);
    if (!value[0]) {
        word[strlen(key) + 2] = '\0';
    }
    if ((strstr(line, word) != NULL) != (value[0] != '\0')) {
        fail_msg("\"%s\": %s is \"%s\"", line, key, value);
    }
}

static void check_event(const mm_event *event) {
    char line[512];
    mm_event_text(event, line, sizeof(line));
    bool of_a_model = event->kind != MM_EVENT_BUDGET && event->kind != MM_EVENT_ARTIFACT_DROPPED;
    bool good = event->kind > 0 && (size_t)event->kind < KINDS && event->time_ns > 0 &&
                (of_a_model ? is_model(event->model) : event->model[0] == '\0') &&
                (!event->other[0] || is_model(event->other)) &&
                (!event->device[0] || is_device(event->device)) &&
                (!event->policy[0] || strcmp(event->policy, "lru") == 0) && is_reason(event) &&
                strcmp(mm_status_name(event->status), "MM_?") != 0;
    if (!good || strncmp(line, kinds[event->kind], strlen(kinds[event->kind])) != 0) {
        fail_msg("not what its fields say: %s", line);
    }
    expect_key(line, "model", event->model);
    expect_key(line, "for", event->other);
    expect_key(line, "device", event->device);
    expect_key(line, "reason", event->reason);
    expect_key(line, "policy", event->policy);
    expect_key(line, "status", event->status ? mm_status_name(event->status) : "");
}

/* Loads, leaves, comes back; is updated; has to go for another. */
static void everyday_events(struct fixture *f) {
    mm_model a = fixture_echo(f, "a", "weights_bytes 6m\nseed 1\n");
    assert_ok(f, fixture_infer(f, a));
    assert_ok(f, mm_evict(f->mesh, a, MM_NO_WAIT, &f->err));
    assert_ok(f, fixture_infer(f, a));
    mm_model_spec spec = fixture_spec(f, "a", "echo", "weights_bytes 6m\nseed 2\n");
    assert_ok(f, mm_update(f->mesh, a, &spec, 0, NULL, NULL, &f->err));
    fixture_advance(f, S_NS);
    mm_model b = fixture_echo(f, "b", "weights_bytes 14m\nseed 3\n");
    assert_ok(f, fixture_infer(f, b));
    assert_ok(f, mm_device_set_budget(f->mesh, "pod2", 24 * MIB, &f->err));
    assert_ok(f, mm_unregister(f->mesh, b, &f->err));
}

struct evictor {
    struct fixture *f;
    mm_model model;
};

static void *evict(void *ctx) {
    struct evictor *evictor = ctx;
    mm_evict(evictor->f->mesh, evictor->model, 0, NULL);
    return NULL;
}

/* gated is leased and drains on request, b is idle; huge needs the room of both. */
static void drain_and_revive(struct fixture *f) {
    mm_model gated = weather_gated(f, "gated", 6, 1);
    mm_model b = weather_model(f, "b", 6, 2), huge = weather_model(f, "huge", 12, 3);
    struct gate gate;
    gate_shut(f, &gate, MMI_ECHO_INFER, "gated");
    assert_ok(f, fixture_infer(f, b));
    struct caller on_gated, on_huge;
    caller_start(&on_gated, f, gated);
    gate_wait_arrived(&gate, 1);
    fixture_advance(f, MS_NS);
    struct evictor evictor = {f, gated};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, evict, &evictor), 0);
    fixture_until_state(f, gated, MM_STATE_DRAINING);
    assert_ok(f, mm_prepare(f->mesh, huge, NULL, NULL, &f->err));
    caller_start(&on_huge, f, huge);
    fixture_until_state(f, b, MM_STATE_RECLAIMABLE);
    assert_ok(f, fixture_infer(f, b));
    gate_open(&gate);
    assert_int_equal(caller_join(&on_gated), MM_OK);
    assert_int_equal(caller_join(&on_huge), MM_OK);
    pthread_join(thread, NULL);
}

static void events_of_trouble(struct fixture *f) {
    mm_model bad = fixture_echo(f, "bad", "weights_bytes 1m\nfail_attach -1 MM_IO\n");
    assert_status(f, fixture_infer(f, bad), MM_IO);
    mm_model huge = fixture_echo(f, "huge", "weights_bytes 15m\nactivation_bytes 20m\n");
    assert_status(f, fixture_infer(f, huge), MM_TOO_LARGE);
    mm_model leaks = fixture_echo(f, "leaks", "weights_bytes 1m\nleak_bytes 512k\nseed 4\n");
    assert_ok(f, fixture_infer(f, leaks));
    assert_ok(f, mm_evict(f->mesh, leaks, MM_NO_WAIT, &f->err));
    mm_model lost = fixture_echo(f, "lost", "weights_bytes 1m\nactivation_bytes 1m\nseed 6\n");
    assert_ok(f, mm_load(f->mesh, lost, NULL, NULL, &f->err));
    world_fault(&f->world, "device", 1, ENODEV);
    assert_ok(f, fixture_infer(f, lost)); /* it ran again on the other device */
    world_fault(&f->world, NULL, 0, 0);
}

static void check_events(struct fixture *f, bool seen[KINDS]) {
    uint64_t cursor = 0, lost;
    mm_event event;
    while (mm_events_next(f->mesh, &cursor, &event, &lost) == MM_OK) {
        assert_int_equal(lost, 0);
        check_event(&event);
        seen[event.kind] = true;
    }
}

static void test_every_event_says_what_its_fields_say(void **state) {
    (void)state;
    struct fixture f;
    mm_device_options devices[2] = {fixture_host("sim/pod1", 16 * MIB),
                                    fixture_host("sim/pod2", 16 * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    options.min_residency_ns = 1;
    options.artifact_budget_bytes = 16 * MIB;
    fixture_open(&f, &options);
    everyday_events(&f);
    events_of_trouble(&f);
    bool seen[KINDS] = {false};
    check_events(&f, seen);
    fixture_close(&f);
    devices[0] = fixture_host("host/pod1", 16 * MIB);
    options.device_count = 1;
    options.artifact_budget_bytes = 0;
    fixture_open(&f, &options);
    drain_and_revive(&f);
    check_events(&f, seen);
    fixture_close(&f);
    for (size_t kind = 1; kind < KINDS; kind++) {
        if (!seen[kind]) {
            fail_msg("no event %s came", kinds[kind]);
        }
    }
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static bool is_said_once(const char *text, const char *words) {
    const char *first = strstr(text, words);
    return first && !strstr(first + 1, words);
}

/* The call ends so, in words that name the thing, once, what was got and what was wanted. NULL:
 * there is no such. */
static void check_error(const char *call, mm_status status, mm_status wanted_status,
                        const mm_error *err, const char *const words[3]) {
    bool good = status == wanted_status && err->status == (int32_t)wanted_status;
    for (int i = 0; i < 3; i++) {
        good = good && (!words[i] || strstr(err->text, words[i]));
    }
    good = good && (!words[0] || is_said_once(err->text, words[0]));
    if (!good) {
        fail_msg("%s: %s, not %s: \"%s\" names not all of %s, %s, %s", call, mm_status_name(status),
                 mm_status_name(wanted_status), err->text, words[0] ? words[0] : "-",
                 words[1] ? words[1] : "-", words[2] ? words[2] : "-");
    }
}

#define ERROR(wanted_status, thing, got, wanted, call)                                             \
    do {                                                                                           \
        memset(err, 0, sizeof(*err));                                                              \
        mm_status row_status = (call);                                                             \
        check_error(#call, row_status, wanted_status, err,                                         \
                    (const char *const[3]){thing, got, wanted});                                   \
    } while (0)

static mm_status infer_with(struct fixture *f, mm_model model, mm_value input, const char *output) {
    float x[8] = {0};
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    input.data = x;
    request.inputs = &input;
    request.input_count = 1;
    request.outputs = output ? &output : NULL;
    request.output_count = output != NULL;
    mm_status status = mm_infer(f->mesh, model, &request, &response, &f->err);
    mm_response_free(&response);
    return status;
}

static void errors_of_requests(struct fixture *f, mm_error *err) {
    mm_model model = fixture_echo(f, "ocr", "weights_bytes 64k\nseed 1\n");
    mm_value good = {.name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .bytes = 16};
    mm_value bad = good;
    bad.name = "pixels";
    ERROR(MM_INVALID_ARGUMENT, "model ocr: ", "no input pixels", "its inputs are: x",
          infer_with(f, model, bad, NULL));
    ERROR(MM_INVALID_ARGUMENT, "model ocr: ", "no output boxes", "its outputs are: y",
          infer_with(f, model, good, "boxes"));
    bad = good;
    bad.dtype = MM_I32;
    ERROR(MM_INVALID_ARGUMENT, "model ocr: input x", "got i32", "wanted f32",
          infer_with(f, model, bad, NULL));
    bad = good;
    bad.bytes = 12;
    ERROR(MM_INVALID_ARGUMENT, "model ocr: ", "bytes is 12", "needs 16",
          infer_with(f, model, bad, NULL));
    const char *names[] = {"pixels", "x", "x"};
    mm_binding *binding;
    ERROR(MM_INVALID_ARGUMENT, "model ocr: ", "no input pixels", "its inputs are: x",
          mm_bind(f->mesh, model, names, 1, NULL, 0, &binding, err));
    ERROR(MM_INVALID_ARGUMENT, "model ocr: ", "got 3 inputs", "it has 1",
          mm_bind(f->mesh, model, names, 3, NULL, 0, &binding, err));
}

static mm_status infer_into(struct fixture *f, mm_model model, uint32_t capacity, uint64_t bytes) {
    float x[8] = {0}, y[8];
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = 16};
    mm_value outputs[2] = {{.data = y, .bytes = bytes}};
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    request.inputs = &input;
    request.input_count = 1;
    response.outputs = outputs;
    response.output_capacity = capacity;
    mm_status status = mm_infer(f->mesh, model, &request, &response, &f->err);
    mm_response_free(&response);
    return status;
}

static mm_status infer_late(struct fixture *f, mm_model model) {
    fixture_advance(f, S_NS);
    struct asker asker = {.f = f, .model = model, .deadline_ns = fixture_after(f, 0) - 1};
    mm_status status = asker_ask(&asker);
    f->err = asker.err;
    return status;
}

static mm_status says_lost(void *user, mm_error *err) {
    (void)user;
    return mmi_fail(err, MM_DEVICE_LOST, "gone");
}

static mm_status says_no(void *user, mm_error *err) {
    (void)user;
    return mmi_fail(err, MM_UNSUPPORTED, "not so many");
}

/* What backends, devices and values say, who do not know the model. */
static void errors_of_runs(struct fixture *f, mm_error *err) {
    mm_model model = fixture_echo(f, "det", "weights_bytes 64k\nseed 2\n");
    mm_value good = {.name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .bytes = 16};
    for (int resident = 0; resident < 2; resident++) {
        ERROR(MM_BUFFER_TOO_SMALL, "model det: ", "has 8", "y: needs 16",
              infer_into(f, model, 2, 8));
        ERROR(MM_BUFFER_TOO_SMALL, "model det: ", "output_capacity: 1", "2 outputs",
              infer_into(f, model, 1, 16));
        ERROR(MM_DEADLINE, "model det: ", "the deadline has passed", NULL, infer_late(f, model));
    }
    uint32_t count;
    mm_request request = MM_REQUEST_INIT;
    float x[4] = {0};
    good.data = x;
    request.inputs = &good;
    request.input_count = 1;
    ERROR(MM_BUFFER_TOO_SMALL, "model det: ", "capacity: 0", "2 outputs",
          mm_output_bytes(f->mesh, model, &request, NULL, NULL, 0, &count, err));
    mm_model fails = fixture_echo(f, "fails", "seed 3\nfail_infer -1 MM_IO\n");
    ERROR(MM_IO, "model fails: ", "echo: infer", "by its script", fixture_infer(f, fails));
    static struct gate size, infer, attach; /* they outlive this function */
    mm_model picky = fixture_gated(f, "picky", "seed 4\nversion picky\n");
    gate_count(f, &size, MMI_ECHO_SIZE, "picky");
    size.inside = says_no;
    ERROR(MM_UNSUPPORTED, "model picky: ", "echo: not so many", NULL, fixture_infer(f, picky));
    mm_model liar = fixture_gated(f, "liar", "seed 5\nversion liar\n");
    gate_count(f, &infer, MMI_ECHO_INFER, "liar");
    infer.inside = says_lost;
    ERROR(MM_BACKEND_FAILED, "model liar: ", "device host was lost", "which it is not",
          fixture_infer(f, liar));
    mm_model fibber = fixture_gated(f, "fibber", "seed 6\nversion fibber\n");
    gate_count(f, &attach, MMI_ECHO_ATTACH, "fibber");
    attach.inside = says_lost;
    ERROR(MM_BACKEND_FAILED, "model fibber: ", "device host was lost", "which it is not",
          fixture_infer(f, fibber));
}

static void errors_of_models(struct fixture *f, mm_error *err) {
    mm_model_spec spec = fixture_spec(f, "ocr", "echo", "");
    mm_model model;
    ERROR(MM_EXISTS, "model ocr: ", NULL, NULL, mm_register(f->mesh, &spec, &model, err));
    spec.name = "other";
    spec.backend = "tape";
    ERROR(MM_NOT_FOUND, "spec.backend", "tape", NULL, mm_register(f->mesh, &spec, &model, err));
    spec = (mm_model_spec)MM_MODEL_SPEC_INIT;
    spec.name = "nowhere";
    spec.source = "/nowhere/model.onnx";
    assert_ok(f, mm_register(f->mesh, &spec, &model, err));
    ERROR(MM_NOT_FOUND, "model nowhere: ", "/nowhere/model.onnx", NULL, fixture_infer(f, model));
    ERROR(MM_NOT_FOUND, "device tape", NULL, NULL,
          mm_device_set_budget(f->mesh, "tape", 4 * MIB, err));
    ERROR(MM_INVALID_ARGUMENT, "budget_bytes", "1048576", "at least 2 MiB",
          mm_device_set_budget(f->mesh, "host", MIB, err));
}

/* What a reader says names its file: the text alone tells where to look. */
static void errors_of_files(struct fixture *f, mm_error *err) {
    char path[] = "/tmp/mm-texts-XXXXXX.onnx";
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "\x0f\x0f\x0f\x0f", 4), 4);
    close(fd);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "broken";
    spec.source = path;
    mm_model model;
    assert_ok(f, mm_register(f->mesh, &spec, &model, err));
    ERROR(MM_INVALID_MODEL, "model broken: ", path, "offset", fixture_infer(f, model));
    unlink(path);
}

static void errors_after_close(struct fixture *f, mm_model model, mm_error *err) {
    mm_model_spec spec = fixture_spec(f, "late", "echo", "");
    assert_int_equal(mm_mesh_close(f->mesh), MM_OK);
    ERROR(MM_CLOSED, "model ocr: the mesh is closed", NULL, NULL, fixture_infer(f, model));
    ERROR(MM_CLOSED, "model ocr: the mesh is closed", NULL, NULL,
          mm_load(f->mesh, model, NULL, NULL, err));
    ERROR(MM_CLOSED, "model late: the mesh is closed", NULL, NULL,
          mm_register(f->mesh, &spec, &model, err));
    ERROR(MM_CLOSED, "backend: the mesh is closed", NULL, NULL,
          mm_backend_load(f->mesh, "x.so", err));
}

static void test_every_error_names_the_thing(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.artifact_budget_bytes = 2 * MIB;
    fixture_open(&f, &options);
    errors_of_requests(&f, &f.err);
    errors_of_runs(&f, &f.err);
    errors_of_models(&f, &f.err);
    errors_of_files(&f, &f.err);
    mm_model model;
    assert_int_equal(mm_find(f.mesh, "ocr", &model), MM_OK);
    errors_after_close(&f, model, &f.err);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_a_name_and_a_text_of_its_own),
        cmocka_unit_test(test_every_event_says_what_its_fields_say),
        cmocka_unit_test(test_every_error_names_the_thing),
    };
    return cmocka_run_group_tests_name("scenario-texts", tests, NULL, NULL);
}
