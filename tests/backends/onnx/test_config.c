/* SPDX-License-Identifier: Apache-2.0 */

/* What spec.config may say to the backend. */

#include "model_writer.h"

#include <modelmesh/modelmesh.h>

#include <string.h>

static mm_status run(const struct writer *w, const char *config, float *y, mm_error *err) {
    mm_mesh *mesh;
    mm_model model;
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    float x[2] = {-2, 3};
    mm_value input = {
        .name = "x", .dtype = MM_F32, .rank = 1, .shape = {2}, .data = x, .bytes = sizeof(x)};
    assert_int_equal(mm_mesh_create(NULL, &mesh, NULL), MM_OK);
    spec.name = "m";
    spec.data = w->bytes;
    spec.data_bytes = w->count;
    spec.backend = "onnx";
    spec.config = config;
    assert_int_equal(mm_register(mesh, &spec, &model, NULL), MM_OK);
    request.inputs = &input;
    request.input_count = 1;
    mm_status status = mm_infer(mesh, model, &request, &response, err);
    if (status == MM_OK) {
        assert_int_equal(response.outputs[0].bytes, sizeof(x));
        memcpy(y, response.outputs[0].data, sizeof(x));
    }
    mm_response_free(&response);
    assert_int_equal(mm_mesh_free(&mesh), MM_OK);
    return status;
}

/* The nodes that the passes fuse and remove give the same on their own. */
static void test_passes(void **state) {
    (void)state;
    static const char *const good[] = {NULL,         "",
                                       "passes=0",   "passes=1",
                                       "profile=1",  "passes=0,profile=1",
                                       "winograd=0", "winograd=1,passes=1"};
    static const char *const bad[] = {"passes=2",          "passes=",    "fast",
                                      "passes=0,passes=1", "profile=1,", ",",
                                      "passes=0;profile=1"};
    struct writer w;
    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "n");
    writer_node(&w, "Identity", "x", "a", "");
    writer_node(&w, "Neg", "a", "b", "");
    writer_node(&w, "Relu", "b", "y", "");
    writer_output(&w, "y", MM_F32, "n");
    writer_end(&w);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        float y[2] = {0};
        mm_error err = {0};
        assert_int_equal(run(&w, good[i], y, &err), MM_OK);
        assert_true(y[0] == 2 && y[1] == 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mm_error err = {0};
        assert_int_equal(run(&w, bad[i], NULL, &err), MM_INVALID_ARGUMENT);
        assert_non_null(strstr(err.text, "passes=0 or 1"));
        assert_non_null(strstr(err.text, bad[i]));
    }
    writer_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
