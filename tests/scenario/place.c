/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <string.h>

void place_open(struct place *place) {
    struct fixture *f = &place->f;
    memset(place, 0, sizeof(*place));
    mm_device_options devices[3] = {fixture_host("host", 16 * MIB), fixture_host("sim", 16 * MIB),
                                    fixture_host("sim/other", 16 * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 3;
    fixture_open(f, &options);
    place->device = f->mesh->res.devices[1].device;
    assert_ok(f, mm_device_alloc(f->mesh, MM_ON_DEVICE(1), 4 * BYTES, &place->memory, &f->err));
    const struct mmi_device_ops *ops = place->device->ops;
    assert_ok(f, ops->stream_open(place->device, &place->stream, &f->err));
    place->x = place->memory;
    place->y = place->x + WIDTH;
    memset(place->y, 0, BYTES);
    for (unsigned i = 0; i < WIDTH; i++) {
        place->in[i] = (float)i + 0.5f;
    }
}

void place_close(struct place *place) {
    struct fixture *f = &place->f;
    place->device->ops->stream_close(place->device, place->stream);
    assert_int_equal(mm_device_free(f->mesh, MM_ON_DEVICE(1), place->memory), MM_OK);
    fixture_close(f);
}

void place_send(struct place *place) {
    assert_ok(&place->f, place->device->ops->copy_in(place->device, place->stream, place->x,
                                                     place->in, BYTES, &place->f.err));
}

void ask_init(struct ask *ask, const struct place *place) {
    *ask = (struct ask){.name = "y",
                        .x = {.name = "x",
                              .dtype = MM_F32,
                              .rank = 2,
                              .shape = {1, WIDTH},
                              .data = place->x,
                              .bytes = BYTES,
                              .flags = MM_ON_DEVICE(1)},
                        .y = {.data = place->y, .bytes = BYTES, .flags = MM_ON_DEVICE(1)},
                        .request = MM_REQUEST_INIT,
                        .response = MM_RESPONSE_INIT};
    ask->request.inputs = &ask->x;
    ask->request.input_count = 1;
    ask->request.outputs = &ask->name;
    ask->request.output_count = 1;
    ask->request.stream = place->stream;
    ask->request.stream_location = MM_ON_DEVICE(1);
    ask->response.outputs = &ask->y;
    ask->response.output_capacity = 1;
}

mm_status place_infer(struct place *place, mm_model model, struct ask *ask) {
    return mm_infer(place->f.mesh, model, &ask->request, &ask->response, &place->f.err);
}

mm_model place_add(struct place *place, const char *name, const char *device, const char *backend,
                   const char *script) {
    mm_model_spec spec = fixture_spec(&place->f, name, backend, script);
    spec.device = device;
    return fixture_register(&place->f, &spec);
}
