/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <backends/echo/echo.h>

#define REVISIONS 3u

static float x[4] = {1, 2, 3, 4};
const mm_value stage_input = {
    .name = "x", .dtype = MM_F32, .rank = 2, .shape = {1, 4}, .data = x, .bytes = sizeof(x)};

static char scripts[STAGE_MODELS][REVISIONS][256]; /* of the scenario that plays */
static const char *const names[STAGE_MODELS] = {"one", "two", "three", "four"};
static size_t descriptors;

static uint64_t seed_of(unsigned i, unsigned revision) {
    return 1 + i * REVISIONS + revision;
}

/* ---- The world ------------------------------------------------------------------------------- */

static uint64_t now(void *user) {
    struct stage *stage = user;
    return mmi_now(&stage->world.env.clock);
}

static int fault(void *user, const char *what) {
    struct stage *stage = user;
    return mmi_fault(&stage->world.env, what);
}

static void write_scripts(const struct scenario *scenario) {
    bool own = scenario->backend && strcmp(scenario->backend, "echo-own") == 0;
    for (unsigned i = 0; i < STAGE_MODELS; i++) {
        for (unsigned revision = 0; revision < REVISIONS; revision++) {
            snprintf(scripts[i][revision], sizeof(scripts[i][revision]),
                     "%s\nweights_bytes %llu\nseed %llu\n%s", own ? "echoo" : "echo1",
                     (unsigned long long)scenario->weights_bytes,
                     (unsigned long long)seed_of(i, revision),
                     scenario->lines ? scenario->lines : "");
        }
    }
}

void stage_init(struct stage *stage, const struct scenario *scenario) {
    memset(stage, 0, sizeof(*stage));
    stage->scenario = scenario;
    world_init(&stage->world);
    scratch_init(&stage->scratch);
    scratch_path(&stage->scratch, "cache", stage->cache);
    scratch_path(&stage->scratch, "one.echo", stage->source);
    write_scripts(scenario);
    scratch_text(&stage->scratch, "one.echo", scripts[0][0]);
    descriptors = open_descriptors();
}

void stage_fini(struct stage *stage) {
    if (stage->mesh) {
        assert_int_equal(mm_mesh_free(&stage->mesh), MM_OK);
    }
    assert_int_equal(open_descriptors(), descriptors);
    scratch_fini(&stage->scratch);
    world_fini(&stage->world);
}

bool stage_create(struct stage *stage) {
    mm_device_options host = MM_DEVICE_OPTIONS_INIT;
    host.name = "host";
    host.budget_bytes = 4 * MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &host;
    options.device_count = 1;
    options.compute_threads = options.infer_threads = options.load_threads = 1;
    options.artifact_budget_bytes = 16 * MIB;
    options.event_capacity = 64;
    options.allocator = &stage->world.env.alloc;
    if (stage->scenario->no_threads) {
        options.infer_threads = MM_THREADS_NONE;
    }
    if (stage->scenario->options) {
        stage->scenario->options(stage, &options);
    }
    struct mmi_world world = {.now = now, .fault = fault, .user = stage};
    return stage_step(stage, "create",
                      mmi_mesh_create(&options, &world, &stage->mesh, &stage->err));
}

/* ---- Steps ----------------------------------------------------------------------------------- */

bool stage_step(struct stage *stage, const char *what, mm_status status) {
    if (status != MM_OK && stage->status == MM_OK) {
        stage->status = status;
        stage->failed = what;
    }
    return status == MM_OK;
}

mm_model_spec stage_spec(struct stage *stage, unsigned i, unsigned revision) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = names[i];
    spec.warm_up = i == 1 ? "x=1x4;x=2x4" : NULL;
    spec.backend = stage->scenario->backend ? stage->scenario->backend : "echo";
    if (stage->scenario->from_file && i == 0 && revision == 0) {
        spec.source = stage->source;
    } else {
        spec.data = scripts[i][revision];
        spec.data_bytes = strlen(scripts[i][revision]);
    }
    return spec;
}

bool stage_add(struct stage *stage, unsigned i) {
    mm_model_spec spec = stage_spec(stage, i, 0);
    return stage_step(stage, "register",
                      mm_register(stage->mesh, &spec, &stage->models[i], &stage->err));
}

mm_request stage_request(void) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &stage_input;
    request.input_count = 1;
    return request;
}

void stage_judge(struct stage *stage, unsigned i, unsigned revision, const mm_response *response) {
    uint64_t seed = seed_of(i, revision);
    int64_t expected[2] = {mmi_echo_checksum(seed, stage->scenario->weights_bytes), (int64_t)seed};
    bool right = response->output_count == 2 && response->outputs[0].bytes == sizeof(x) &&
                 memcmp(response->outputs[0].data, x, sizeof(x)) == 0 &&
                 memcmp(response->outputs[1].data, expected, sizeof(expected)) == 0;
    stage->wrong |= !right;
}

bool stage_ask(struct stage *stage, unsigned i, unsigned revision, mm_binding *binding) {
    mm_request request = stage_request();
    request.binding = binding;
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(stage->mesh, stage->models[i], &request, &response, &stage->err);
    if (status == MM_OK) {
        stage_judge(stage, i, revision, &response);
    } else {
        stage->wrong |= response.owned != NULL; /* "on failure it owns nothing" */
    }
    mm_response_free(&response);
    return stage_step(stage, "infer", status);
}
