/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes at all are a model of a mesh: registered, described, asked good and bad things through
 * the public calls, updated to a damaged sibling and back. Nothing may crash, keep memory or fail
 * without a sentence, and what was answered first is answered in the end. */

#include "fuzz_request.h"

#include <support/fuzz.h>

#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define MOST_BYTES (16 * MIB) /* of a block of memory: more is not there */

const bool fuzz_anywhere = true;

size_t fuzz_mutate(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    return test_random_below(seed, 3) > 0 ? fuzz_mutate_model(bytes, count, room, seed)
                                          : fuzz_mutate_script(bytes, count, room, seed);
}

struct scene {
    struct world world;
    struct fuzz_script script;
    mm_mesh *mesh;
    mm_model model;
    bool threads;
    uint8_t *data, *sibling; /* of the model; of what it is updated to */
    size_t sibling_bytes;
    mm_model_spec spec;
    char config[16], warm_up[24];
    mm_model_description *description; /* of the model as it was registered */
    bool steady;                       /* what it answers is the same each time */
    mm_error err;
};

static void check(struct scene *s, mm_status status) {
    if (status != MM_OK) {
        check_error(status, &s->err);
    }
}

/* ---- The mesh -------------------------------------------------------------------------------- */

static void hear(void *user, int32_t level, const char *text) {
    (void)user;
    assert_in_range(level, MM_LOG_ERROR, MM_LOG_DEBUG);
    assert_null(strchr(text, '\n'));
}

static void open_mesh(struct scene *s) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    uint32_t threads = s->threads ? 1 : MM_THREADS_NONE;
    device.name = fuzz_draw(&s->script, 4) > 0 ? "host" : "sim";
    device.budget_bytes = 8 * MIB;
    options.devices = &device;
    options.device_count = 1;
    options.allocator = &s->world.env.alloc;
    options.log = (mm_log){.line = hear, .level = MM_LOG_DEBUG};
    options.compute_threads = 2;
    options.infer_threads = options.load_threads = options.prepare_threads = threads;
    options.event_capacity = 16;
    options.max_signatures = 3;
    options.max_iterations = 200;
    mm_status status = mm_mesh_create(&options, &s->mesh, &s->err);
    assert_int_equal(status, MM_OK);
}

/* Texts of the spec: a good one, or letters that it is made of. */
static const char *draw_text(struct scene *s, char *text, size_t room, const char *letters) {
    size_t length = fuzz_draw(&s->script, room);
    for (size_t i = 0; i < length; i++) {
        text[i] = letters[fuzz_draw(&s->script, strlen(letters))];
    }
    text[length] = '\0';
    return text;
}

static void draw_spec(struct scene *s) {
    s->spec = (mm_model_spec)MM_MODEL_SPEC_INIT;
    s->spec.name = "fuzz";
    s->spec.data = s->data;
    s->spec.data_bytes = s->script.model_bytes;
    s->spec.format = "onnx";
    switch (fuzz_draw(&s->script, 8)) {
    case 0:
        s->spec.config = draw_text(s, s->config, sizeof(s->config), "pasersfil=01,");
        break;
    case 1:
        s->spec.warm_up = draw_text(s, s->warm_up, sizeof(s->warm_up), "xyz=12x,;0-9");
        break;
    case 2:
        s->spec.config = "passes=0,profile=1";
        break;
    case 3:
        s->spec.config = "profile=1";
        break;
    default:
        break;
    }
}

/* ---- Requests -------------------------------------------------------------------------------- */

struct answer {
    mm_status status;
    uint64_t hash;
};

static struct answer ask_plain(struct scene *s) {
    struct fuzz_request r;
    fuzz_request_plain(&r, s->description);
    struct answer answer = {mm_infer(s->mesh, s->model, &r.request, &r.response, &s->err), 0};
    check(s, answer.status);
    for (uint32_t i = 0; answer.status == MM_OK && i < r.response.output_count; i++) {
        answer.hash = fuzz_value_hash(&r.response.outputs[i], answer.hash);
    }
    fuzz_request_fini(&r);
    return answer;
}

static void run_async(struct scene *s, struct fuzz_request *r) {
    mm_op *op;
    mm_async async = MM_ASYNC_INIT;
    mm_status status =
        mm_infer_async(s->mesh, s->model, &r->request, &r->response, &async, &op, &s->err);
    check(s, status);
    if (status != MM_OK) {
        return;
    }
    if (fuzz_draw(&s->script, 2) > 0) {
        mm_op_cancel(op);
    }
    check(s, mm_op_wait(op, 0, &s->err));
    mm_op_free(op);
}

static void ask(struct scene *s) {
    struct fuzz_request r;
    fuzz_request_draw(&r, s->description, &s->script);
    if (fuzz_draw(&s->script, 4) == 0) {
        fuzz_request_bind(&r, s->mesh, s->model, &s->script);
    }
    if (s->threads && fuzz_draw(&s->script, 3) == 0) {
        run_async(s, &r);
    } else {
        mm_status status = mm_infer(s->mesh, s->model, &r.request, &r.response, &s->err);
        check(s, status);
        for (uint32_t i = 0; status == MM_OK && i < r.response.output_count; i++) {
            fuzz_value_hash(&r.response.outputs[i], 0);
        }
    }
    fuzz_request_fini(&r);
}

/* Brackets match, and names of the file are quoted. */
static void check_json(const char *text) {
    int depth = 0;
    bool quoted = false;
    for (const char *at = text; *at; at++) {
        assert_true((uint8_t)*at >= ' ' || (!quoted && *at == '\n'));
        if (quoted && *at == '\\') {
            assert_true(*++at != '\0');
        } else if (*at == '"') {
            quoted = !quoted;
        } else if (!quoted) {
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
            assert_true(depth > 0 || at[1] == '\0');
        }
    }
    assert_true(depth == 0 && !quoted);
}

/* Sizes and a report for a request. */
static void ask_about(struct scene *s) {
    struct fuzz_request r;
    mm_value outputs[FUZZ_INPUTS];
    uint8_t exactness[FUZZ_INPUTS];
    uint32_t count;
    char *report = NULL;
    fuzz_request_draw(&r, s->description, &s->script);
    check(s, mm_output_bytes(s->mesh, s->model, &r.request, outputs, exactness,
                             (uint32_t)fuzz_draw(&s->script, FUZZ_INPUTS), &count, &s->err));
    check(s, mm_model_report(s->mesh, s->model, &r.request, &report, &s->err));
    if (report) {
        check_json(report);
    }
    mm_report_free(report);
    fuzz_request_fini(&r);
}

/* ---- The model ------------------------------------------------------------------------------- */

static mm_status update(struct scene *s, const void *data, size_t bytes, uint32_t flags) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.data = data;
    spec.data_bytes = bytes;
    mm_status status = mm_update(s->mesh, s->model, &spec, flags, NULL, NULL, &s->err);
    check(s, status);
    return status;
}

/* To a damaged sibling, asked a little, and back. What does not fit as it is estimated stays out:
 * then the model is registered anew. */
static void change(struct scene *s) {
    uint32_t flags = fuzz_draw(&s->script, 2) > 0 ? MM_UPDATE_REPLACE : 0;
    uint64_t seed = fuzz_draw(&s->script, 256);
    size_t room = s->script.model_bytes + 64;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    memcpy(bytes, s->data, s->script.model_bytes);
    size_t count = fuzz_mutate_model(bytes, s->script.model_bytes, room, &seed);
    free(s->sibling);
    s->sibling = malloc(count + 1);
    assert_non_null(s->sibling);
    memcpy(s->sibling, bytes, count);
    free(bytes);
    update(s, s->sibling, count, flags);
    ask(s);
    if (update(s, s->data, s->script.model_bytes, flags) != MM_OK) {
        assert_int_equal(mm_unregister(s->mesh, s->model, &s->err), MM_OK);
        assert_int_equal(mm_register(s->mesh, &s->spec, &s->model, &s->err), MM_OK);
    }
}

static void look(struct scene *s) {
    char text[64];
    mm_victim victims[2];
    mm_plan plan = MM_PLAN_INIT;
    plan.victims = victims;
    plan.victim_capacity = 2;
    mm_status status = mm_plan_load(s->mesh, s->model, &plan, &s->err);
    check(s, status);
    mm_model_info info = MM_MODEL_INFO_INIT;
    assert_int_equal(mm_model_info_get(s->mesh, s->model, &info), MM_OK);
    assert_true(mm_metrics_text(s->mesh, text, sizeof(text)) > 0);
}

static void step(struct scene *s) {
    switch (fuzz_draw(&s->script, 16)) {
    case 0:
        check(s, mm_evict(s->mesh, s->model, 0, &s->err));
        break;
    case 1:
        change(s);
        break;
    case 2:
        look(s);
        break;
    case 3:
        check(s, mm_load(s->mesh, s->model, NULL, NULL, &s->err));
        break;
    case 4:
    case 5:
        ask_about(s);
        break;
    default:
        ask(s);
        break;
    }
}

/* Random numbers are others in each run. */
static bool is_steady(const struct fuzz_script *script) {
    static const char *const words[] = {"Random", "Bernoulli", "Multinomial", "Dropout"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (memmem(script->model, script->model_bytes, words[i], strlen(words[i]))) {
            return false;
        }
    }
    return true;
}

/* A request that is too wide is told so before the load, or by the resident model. */
static mm_status told(mm_status status) {
    return status == MM_NO_ROOM_FOR_ACTIVATIONS ? MM_TOO_LARGE : status;
}

static void play(struct scene *s) {
    struct answer before = ask_plain(s);
    for (uint64_t n = 1 + fuzz_draw(&s->script, 8); n > 0; n--) {
        step(s);
    }
    struct answer after = ask_plain(s);
    if (before.status != MM_DEADLINE && after.status != MM_DEADLINE) {
        assert_int_equal(told(after.status), told(before.status));
        assert_true(after.hash == before.hash || !is_steady(&s->script));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct scene s = {0};
    world_init(&s.world);
    s.world.most_bytes = MOST_BYTES;
    fuzz_read_script(data, size, &s.script);
    s.data = malloc(s.script.model_bytes + 1);
    assert_non_null(s.data);
    memcpy(s.data, s.script.model, s.script.model_bytes);
    s.threads = fuzz_draw(&s.script, 4) == 0;
    open_mesh(&s);
    draw_spec(&s);
    mm_status status = mm_register(s.mesh, &s.spec, &s.model, &s.err);
    check(&s, status);
    if (status == MM_OK) {
        status = mm_model_describe(s.mesh, s.model, 0, &s.description, &s.err);
        check(&s, status);
    }
    if (status == MM_OK && small_inputs(s.description->inputs, s.description->input_count)) {
        play(&s);
    }
    mm_description_free(s.description);
    assert_int_equal(mm_mesh_free(&s.mesh), MM_OK);
    free(s.data);
    free(s.sibling);
    world_fini(&s.world);
    return 0;
}
