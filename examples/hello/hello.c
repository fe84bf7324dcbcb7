/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program: register models, call one, never think about memory.
 *
 *     cc hello.c $(pkg-config --cflags --libs modelmesh) -o hello && ./hello [MODEL ...]
 *
 * Without arguments it serves three scripted models of the built-in echo backend from its own
 * memory, with room for two. */
#include <modelmesh/modelmesh.h>

#include <stdio.h>
#include <string.h>

static const char *const scripts[3] = {"echo1\nweights_bytes 5m\nseed 1\n",
                                       "echo1\nweights_bytes 5m\nseed 2\n",
                                       "echo1\nweights_bytes 5m\nseed 3\n"};

static int fail(const char *what, const mm_error *err) {
    fprintf(stderr, "%s: %s\n", what, err->text);
    return 1;
}

static int call(mm_mesh *mesh, mm_model model, const char *name) {
    float x[4] = {1, 2, 3, 4};
    mm_value input = {0};
    input.name = "x";
    input.dtype = MM_F32;
    input.rank = 2;
    input.shape[0] = 1;
    input.shape[1] = 4;
    input.data = x;
    input.bytes = sizeof(x);
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &input;
    request.input_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_error err;
    if (mm_infer(mesh, model, &request, &response, &err) != MM_OK) {
        return fail(name, &err);
    }
    float y;
    memcpy(&y, response.outputs[0].data, sizeof(y));
    printf("%s: %s, y[0] = %g\n", name, response.flags & MM_RESPONSE_HIT ? "hit" : "loaded", y);
    mm_response_free(&response);
    return 0;
}

int main(int argc, char **argv) {
    mm_error err;
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = 12u << 20;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &device;
    options.device_count = 1;
    options.min_residency_ns = 1; /* who was just loaded may leave again: plain LRU to look at */
    mm_mesh *mesh;
    if (mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        return fail("mesh", &err);
    }
    mm_model models[3];
    char name[3][16];
    for (int i = 0; i < 3; i++) {
        mm_model_spec spec = MM_MODEL_SPEC_INIT;
        snprintf(name[i], sizeof(name[i]), "model-%d", i);
        spec.name = name[i];
        if (i + 1 < argc) {
            spec.source = argv[i + 1];
        } else {
            spec.data = scripts[i];
            spec.data_bytes = strlen(scripts[i]);
        }
        if (mm_register(mesh, &spec, &models[i], &err) != MM_OK) {
            return fail(name[i], &err);
        }
    }
    static const int order[] = {0, 1, 0, 2, 0, 1};
    int failed = 0;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        failed |= call(mesh, models[order[i]], name[order[i]]);
    }
    uint64_t cursor = 0;
    mm_event event;
    while (mm_events_next(mesh, &cursor, &event, NULL) == MM_OK) {
        char line[256];
        mm_event_text(&event, line, sizeof(line));
        if (event.kind == MM_EVENT_EVICT) {
            puts(line);
        }
    }
    mm_mesh_free(&mesh);
    return failed;
}
