/* SPDX-License-Identifier: Apache-2.0 */
/* What stays of a model that is not resident: its description and its signatures, under a budget.
 * Bindings, which outlive both. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static float x_data[64] = {1, 2, 3, 4, 5, 6, 7, 8};

static mm_value rows(int64_t count) {
    return (mm_value){.name = "x",
                      .dtype = MM_F32,
                      .rank = 2,
                      .shape = {count, 1},
                      .data = x_data,
                      .bytes = (uint64_t)count * sizeof(float)};
}

static mm_status infer_rows(struct fixture *f, mm_model model, int64_t count) {
    mm_value x = rows(count);
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &x;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(f->mesh, model, &request, &response, &f->err);
    if (status == MM_OK) {
        assert_int_equal(response.outputs[0].shape[0], count);
        assert_memory_equal(response.outputs[0].data, x_data, x.bytes);
    }
    mm_response_free(&response);
    return status;
}

/* ---- Descriptions --------------------------------------------------------------------------- */

static void open_budget(struct fixture *f, uint64_t description_budget_bytes) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.description_budget_bytes = description_budget_bytes;
    fixture_open(f, &options);
}

/* "Of an evicted model stay its artifact ... and its description and steps under
 * description_budget_bytes": with room it is opened once */
static void test_a_description_stays_open_under_the_budget(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nversion o\n");
    struct gate prepared, opened;
    gate_count(&f, &prepared, MMI_ECHO_PREPARE, "o");
    gate_count(&f, &opened, MMI_ECHO_OPEN, "o");
    for (int i = 0; i < 3; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
        assert_true(fixture_info(&f, model).description_bytes > 0);
        assert_true(fixture_stats(&f).description_bytes > 0);
    }
    assert_int_equal(gate_arrived(&prepared), 1);
    assert_int_equal(gate_arrived(&opened), 1);
    fixture_close(&f);
}

/* Beyond the budget it is closed, and opened again when it is wanted; never prepared again. */
static void test_a_description_beyond_the_budget_closes_and_reopens(void **state) {
    (void)state;
    struct fixture f;
    open_budget(&f, 1);
    mm_model model = fixture_gated(&f, "m", "weights_bytes 64k\nseed 3\nversion c\n");
    struct gate prepared, opened;
    gate_count(&f, &prepared, MMI_ECHO_PREPARE, "c");
    gate_count(&f, &opened, MMI_ECHO_OPEN, "c");
    unsigned before = 0;
    for (int i = 0; i < 3; i++) {
        assert_ok(&f, fixture_infer(&f, model));
        assert_true(gate_arrived(&opened) > before); /* it was closed meanwhile */
        before = gate_arrived(&opened);
        assert_ok(&f, fixture_infer(&f, model)); /* resident: it stays open */
        assert_int_equal(gate_arrived(&opened), before);
        assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
        assert_int_equal(fixture_info(&f, model).description_bytes, 0);
        assert_int_equal(fixture_stats(&f).description_bytes, 0);
    }
    mm_model_description *description;
    assert_ok(&f, mm_model_describe(f.mesh, model, 0, &description, &f.err));
    assert_int_equal(description->weights_bytes, 64 << 10);
    mm_description_free(description);
    assert_int_equal(gate_arrived(&prepared), 1);
    fixture_close(&f);
}

/* Room for some of them: the least recently used close first. */
static void test_the_least_recently_used_description_closes_first(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model probe = fixture_gated(&f, "probe", "version a\n");
    assert_ok(&f, mm_prepare(f.mesh, probe, NULL, NULL, &f.err));
    uint64_t one_bytes = fixture_stats(&f).description_bytes;
    assert_true(one_bytes > 0);
    fixture_close(&f);
    open_budget(&f, 2 * one_bytes + one_bytes / 2);
    mm_model models[3];
    static const char *const versions[] = {"a", "b", "c"};
    struct gate opened[3];
    for (int i = 0; i < 3; i++) {
        char script[32];
        snprintf(script, sizeof(script), "version %s\n", versions[i]);
        models[i] = fixture_gated(&f, versions[i], script);
        gate_count(&f, &opened[i], MMI_ECHO_OPEN, versions[i]);
    }
    static const int uses[] = {0, 1, 0, 2, 0, 1};
    static const unsigned opens[] = {1, 1, 1, 1, 1, 2}; /* of that one so far; c closed b */
    for (int i = 0; i < 6; i++) {
        assert_ok(&f, mm_prepare(f.mesh, models[uses[i]], NULL, NULL, &f.err));
        assert_int_equal(gate_arrived(&opened[uses[i]]), opens[i]);
        assert_true(fixture_stats(&f).description_bytes <= 2 * one_bytes + one_bytes / 2);
    }
    fixture_close(&f);
}

struct sizer {
    struct fixture *f;
    mm_model model;
    pthread_t thread;
    mm_status status;
    uint64_t bytes;
};

static void *run_sizer(void *ctx) {
    struct sizer *sizer = ctx;
    mm_value x = rows(3), outputs[2];
    memset(outputs, 0, sizeof(outputs));
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &x;
    request.input_count = 1;
    uint32_t count;
    sizer->status =
        mm_output_bytes(sizer->f->mesh, sizer->model, &request, outputs, NULL, 2, &count, NULL);
    sizer->bytes = outputs[0].bytes;
    return NULL;
}

/* Who uses a description keeps it, also when the prepared weights are gone and the model is
 * prepared anew meanwhile. */
static void test_a_description_in_use_outlives_its_weights(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.artifact_budget_bytes = 4 * MIB; /* one of the two */
    fixture_open(&f, &options);
    struct gate gate;
    struct sizer sizer = {.f = &f,
                          .model = fixture_gated(&f, "m", "weights_bytes 3m\nversion v\n")};
    mm_model other = fixture_echo(&f, "other", "weights_bytes 3m\nseed 9\n");
    gate_shut(&f, &gate, MMI_ECHO_SIZE, "v");
    assert_int_equal(pthread_create(&sizer.thread, NULL, run_sizer, &sizer), 0);
    gate_wait_arrived(&gate, 1);
    assert_ok(&f, fixture_infer(&f, other));
    assert_int_equal(fixture_info(&f, sizer.model).artifact_bytes, 0);
    assert_ok(&f, mm_load(f.mesh, sizer.model, NULL, NULL, &f.err));
    assert_int_equal(fixture_stats(&f).prepares, 3);
    gate_open(&gate);
    pthread_join(sizer.thread, NULL);
    assert_int_equal(sizer.status, MM_OK);
    assert_int_equal(sizer.bytes, 3 * sizeof(float));
    assert_ok(&f, fixture_infer(&f, sizer.model));
    fixture_close(&f);
}

/* ---- Signatures ----------------------------------------------------------------------------- */

/* "max_signatures: input shapes remembered per model", the least recently used make way */
static void test_max_signatures_remembers_so_many_shapes(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.max_signatures = 2;
    fixture_open(&f, &options);
    mm_model model = fixture_gated(&f, "m", "version s\n");
    struct gate sized;
    gate_count(&f, &sized, MMI_ECHO_SIZE, "s");
    static const int64_t shapes[] = {1, 2, 1, 2, 1, 3, 1, 2};
    static const unsigned calls[] = {1, 2, 2, 2, 2, 3, 3, 4};
    for (int i = 0; i < 8; i++) {
        assert_ok(&f, infer_rows(&f, model, shapes[i]));
        assert_int_equal(gate_arrived(&sized), calls[i]);
        fixture_advance(&f, MS_NS);
    }
    uint64_t bytes = fixture_info(&f, model).description_bytes;
    for (int64_t shape = 4; shape < 60; shape++) {
        assert_ok(&f, infer_rows(&f, model, shape));
        fixture_advance(&f, MS_NS);
    }
    assert_int_equal(fixture_info(&f, model).description_bytes, bytes); /* bounded */
    fixture_close(&f);
}

/* A shape in use is not made way for: more at once than are remembered still run. */
static void test_more_shapes_at_once_than_are_remembered(void **state) {
    (void)state;
    struct fixture f;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.max_signatures = 1;
    fixture_open(&f, &options);
    mm_model model = fixture_gated(&f, "m", "version s\n");
    struct gate infer;
    gate_shut(&f, &infer, MMI_ECHO_INFER, "s");
    struct asker asker = {.f = &f, .model = model}; /* of shape [1, 4] */
    asker_start(&asker);
    gate_wait_arrived(&infer, 1);
    mm_value x = rows(5);
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &x;
    request.input_count = 1;
    mm_value sizes[2] = {{.name = NULL}, {.name = NULL}};
    uint32_t count;
    assert_ok(&f, mm_output_bytes(f.mesh, model, &request, sizes, NULL, 2, &count, &f.err));
    assert_int_equal(sizes[0].bytes, 20);
    gate_open(&infer);
    assert_int_equal(asker_join(&asker), MM_OK);
    assert_ok(&f, infer_rows(&f, model, 5));
    fixture_close(&f);
}

/* "warm-up shapes": their signatures are made with the load, so no request pays for them. */
static void test_warm_shapes_are_made_with_the_load(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    struct gate sizes;
    mm_model_spec spec = fixture_spec(&f, "m", "gated", "weights_bytes 64k\nversion v\n");
    spec.warm_up = "x=3x1;unknown=3x1;x=5x1";
    mm_model model = fixture_register(&f, &spec);
    gate_count(&f, &sizes, MMI_ECHO_SIZE, "v");
    assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
    assert_int_equal(gate_arrived(&sizes), 2); /* what the model does not take is skipped */
    assert_ok(&f, infer_rows(&f, model, 3));
    assert_ok(&f, infer_rows(&f, model, 5));
    assert_int_equal(gate_arrived(&sizes), 2);
    assert_ok(&f, infer_rows(&f, model, 4));
    assert_int_equal(gate_arrived(&sizes), 3);
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
    assert_int_equal(gate_arrived(&sizes), 3); /* they stayed with the description */
    fixture_close(&f);
}

/* Of a warm_up: what the text may be; an input left out; a shape input; what none takes. */
static void test_warm_shapes_that_cannot_be(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model;
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 64k\n");
    static const char *const wrong[] = {"",         "x",
                                        "=1x2",     "x=1x",
                                        "x=x1",     "x=1xx2",
                                        "x=-1",     "x=1 ",
                                        "x=1,",     "x=1;",
                                        ";x=1",     "x=99999999999999999999",
                                        "x=1,,y=1", "x=1x1x1x1x1x1x1x1x1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        spec.warm_up = wrong[i];
        assert_status(&f, mm_register(f.mesh, &spec, &model, &f.err), MM_INVALID_ARGUMENT);
        assert_non_null(strstr(f.err.text, "spec.warm_up"));
    }
    static const struct {
        const char *script, *warm_up;
        unsigned sizes;
    } cases[] = {{"io two\nversion a\n", "x=2x1,x2=2x1", 1},
                 {"io two\nversion b\n", "x2=2x1", 0},          /* x is missing */
                 {"io repeat\nversion c\n", "x=1x1,times=", 0}, /* its elements matter */
                 {"version d\n", "x=1x1x1;x=;x=4x4", 1},
                 {"version e\n", "x=9223372036854775807x9223372036854775807", 0}};
    static struct gate sizes[sizeof(cases) / sizeof(cases[0])];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[8];
        snprintf(name, sizeof(name), "m%zu", i);
        spec = fixture_spec(&f, name, "gated", cases[i].script);
        spec.warm_up = cases[i].warm_up;
        model = fixture_register(&f, &spec);
        char version[2] = {(char)('a' + i), '\0'};
        gate_count(&f, &sizes[i], MMI_ECHO_SIZE, version);
        assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
        assert_int_equal(gate_arrived(&sizes[i]), cases[i].sizes);
    }
    fixture_close(&f);
}

/* ---- Bindings ------------------------------------------------------------------------------- */

struct bound_asker {
    struct fixture *f;
    mm_model model;
    mm_binding *binding;
    pthread_t thread;
    mm_status status;
};

/* Inputs by position, x2 first; outputs by position: y2, z. */
static mm_status ask_bound(struct bound_asker *asker, mm_error *err) {
    mm_value inputs[2] = {rows(3), rows(2)};
    inputs[0].name = inputs[1].name = NULL;
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs;
    request.input_count = 2;
    request.binding = asker->binding;
    mm_response response = MM_RESPONSE_INIT;
    asker->status = mm_infer(asker->f->mesh, asker->model, &request, &response, err);
    if (asker->status == MM_OK) {
        bool right = response.output_count == 2 && response.outputs[0].shape[0] == 3 &&
                     strcmp(response.outputs[0].name, "y2") == 0 &&
                     strcmp(response.outputs[1].name, "z") == 0;
        asker->status = right ? MM_OK : MM_CORRUPT;
    }
    mm_response_free(&response);
    return asker->status;
}

static void *run_bound(void *ctx) {
    for (int i = 0; i < 50; i++) {
        if (ask_bound(ctx, NULL) != MM_OK) {
            break;
        }
    }
    return NULL;
}

/* "One binding may serve many requests at once"; "Survives eviction and reloading" */
static void test_one_binding_serves_many_requests(void **state) {
    (void)state;
    struct fixture f;
    open_budget(&f, 1); /* not even the description stays */
    mm_model model = fixture_echo(&f, "m", "io two\nweights_bytes 64k\n");
    const char *inputs[] = {"x2", "x"}, *outputs[] = {"y2", "z"};
    mm_binding *binding;
    assert_ok(&f, mm_bind(f.mesh, model, inputs, 2, outputs, 2, &binding, &f.err));
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD); /* prepared, not loaded */
    struct bound_asker askers[3];
    for (int i = 0; i < 3; i++) {
        askers[i] = (struct bound_asker){.f = &f, .model = model, .binding = binding};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, run_bound, &askers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        mm_status status = mm_evict(f.mesh, model, MM_NO_WAIT, &f.err);
        assert_true(status == MM_OK || status == MM_BUSY);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].status, MM_OK);
    }
    assert_ok(&f, mm_evict(f.mesh, model, 0, &f.err));
    assert_ok(&f, ask_bound(&askers[0], &f.err));
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "io two\nweights_bytes 32k\nseed 9\n");
    assert_ok(&f, mm_update(f.mesh, model, &spec, 0, NULL, NULL, &f.err));
    assert_ok(&f, ask_bound(&askers[0], &f.err)); /* other content, same signature */
    assert_int_equal(mm_mesh_free(&f.mesh), MM_OK);
    mm_binding_free(binding); /* it survives the mesh */
    mm_binding_free(NULL);
    fixture_close(&f);
}

/* What mm_bind and requests with a binding refuse, named. */
static void test_bindings_that_cannot_be(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "io two\n"), twin = fixture_echo(&f, "t", "io two\n");
    const char *inputs[] = {"x2", "x"}, *twice[] = {"x", "x"}, *wrong[] = {"x", "w"};
    const char *null[] = {"x", NULL};
    mm_binding *binding = NULL;
    const char *const *bad[] = {twice, wrong, null};
    for (int i = 0; i < 3; i++) {
        assert_status(&f, mm_bind(f.mesh, model, bad[i], 2, NULL, 0, &binding, &f.err),
                      MM_INVALID_ARGUMENT);
    }
    assert_status(&f, mm_bind(f.mesh, model, inputs, 1, NULL, 0, &binding, &f.err),
                  MM_INVALID_ARGUMENT); /* x is not optional */
    assert_non_null(strstr(f.err.text, "input x"));
    assert_status(&f, mm_bind(f.mesh, model, inputs, 2, wrong, 2, &binding, &f.err),
                  MM_INVALID_ARGUMENT);
    assert_status(&f, mm_bind(f.mesh, model, NULL, 2, NULL, 0, &binding, &f.err),
                  MM_INVALID_ARGUMENT);
    assert_status(&f, mm_bind(f.mesh, model, inputs, 2, NULL, 0, NULL, &f.err),
                  MM_INVALID_ARGUMENT);
    assert_null(binding);
    assert_ok(&f, mm_bind(f.mesh, model, inputs, 2, NULL, 0, &binding, &f.err));
    mm_value values[2] = {rows(1), rows(1)};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = values;
    request.input_count = 1; /* the binding has two */
    request.binding = binding;
    mm_response response = MM_RESPONSE_INIT;
    assert_status(&f, mm_infer(f.mesh, model, &request, &response, &f.err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(f.err.text, "input_count"));
    request.input_count = 2;
    assert_status(&f, mm_infer(f.mesh, twin, &request, &response, &f.err), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(f.err.text, "binding"));
    assert_ok(&f, mm_infer(f.mesh, model, &request, &response, &f.err));
    assert_int_equal(response.output_count, 3); /* "output_count 0: all" */
    mm_response_free(&response);
    mm_binding_free(binding);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_description_stays_open_under_the_budget),
        cmocka_unit_test(test_a_description_beyond_the_budget_closes_and_reopens),
        cmocka_unit_test(test_the_least_recently_used_description_closes_first),
        cmocka_unit_test(test_a_description_in_use_outlives_its_weights),
        cmocka_unit_test(test_max_signatures_remembers_so_many_shapes),
        cmocka_unit_test(test_more_shapes_at_once_than_are_remembered),
        cmocka_unit_test(test_warm_shapes_are_made_with_the_load),
        cmocka_unit_test(test_warm_shapes_that_cannot_be),
        cmocka_unit_test(test_one_binding_serves_many_requests),
        cmocka_unit_test(test_bindings_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
