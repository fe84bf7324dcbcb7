/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs and outputs that lie on a device. */
#include "fixture.h"

#include <device/device.h>

#include <errno.h>
#include <string.h>

#define WIDTH 4u
#define BYTES (WIDTH * sizeof(float))

/* A mesh of a host device and a simulated one, and a region of the latter with x and y. */
struct place {
    struct fixture f;
    struct mmi_device *device;
    struct mmi_block block;
    struct mmi_region region;
    struct mmi_stream *stream;
    float *x, *y; /* on the device */
    float in[WIDTH];
};

static void place_open(struct place *place) {
    struct fixture *f = &place->f;
    memset(place, 0, sizeof(*place));
    mm_device_options devices[2] = {fixture_host("host", 16 * MIB), fixture_host("sim", 16 * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    fixture_open(f, &options);
    place->device = f->mesh->res.devices[1].device;
    mmi_lock(&f->mesh->res.lock);
    assert_int_equal(mmi_arena_take(place->device->arena, 2 * BYTES, &place->block), MMI_TAKE_OK);
    mmi_unlock(&f->mesh->res.lock);
    const struct mmi_device_ops *ops = place->device->ops;
    assert_ok(f, ops->map(place->device, &place->block, &place->region, &f->err));
    assert_ok(f, ops->stream_open(place->device, &place->stream, &f->err));
    place->x = (float *)(void *)place->region.base;
    place->y = place->x + WIDTH;
    memset(place->y, 0, BYTES);
    for (unsigned i = 0; i < WIDTH; i++) {
        place->in[i] = (float)i + 0.5f;
    }
}

static void place_close(struct place *place) {
    struct fixture *f = &place->f;
    place->device->ops->stream_close(place->device, place->stream);
    place->device->ops->unmap(&place->region);
    mmi_lock(&f->mesh->res.lock);
    mmi_arena_give(place->device->arena, &place->block);
    mmi_unlock(&f->mesh->res.lock);
    fixture_close(f);
}

/* What the caller does: puts x on the device, and waits for nothing. */
static void send(struct place *place) {
    assert_ok(&place->f, place->device->ops->copy_in(place->device, place->stream, place->x,
                                                     place->in, BYTES, &place->f.err));
}

struct ask {
    mm_value x, y;
    const char *name;
    mm_request request;
    mm_response response;
};

static void ask_init(struct ask *ask, const struct place *place) {
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

static mm_status infer(struct place *place, mm_model model, struct ask *ask) {
    return mm_infer(place->f.mesh, model, &ask->request, &ask->response, &place->f.err);
}

static mm_model add_on(struct place *place, const char *name, const char *device,
                       const char *script) {
    mm_model_spec spec = fixture_spec(&place->f, name, "echo", script);
    spec.device = device;
    return fixture_register(&place->f, &spec);
}

/* Wherever the model is, and whether its outputs are known before or not. */
static void test_values_on_a_device(void **state) {
    (void)state;
    static const char *const devices[] = {"host", "sim"};
    static const char *const scripts[] = {"weights_bytes 10k\n", "outputs unknown\n",
                                          "outputs bound\nversion other\n"};
    struct place place;
    place_open(&place);
    for (int i = 0; i < 6; i++) {
        char name[2] = {(char)('a' + i), 0};
        mm_model model = add_on(&place, name, devices[i / 3], scripts[i % 3]);
        for (int hit = 0; hit < 2; hit++) {
            struct ask ask;
            ask_init(&ask, &place);
            memset(place.y, 0, BYTES);
            send(&place);
            assert_ok(&place.f, infer(&place, model, &ask));
            assert_memory_equal(place.y, place.in, BYTES);
            assert_ptr_equal(ask.y.data, place.y);
            assert_int_equal(ask.y.flags, MM_ON_DEVICE(1));
            assert_int_equal(ask.y.bytes, BYTES);
            mm_response_free(&ask.response);
        }
    }
    place_close(&place);
}

static void test_one_of_them_on_the_host(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    float out[WIDTH] = {0};
    place_open(&place);
    mm_model model = add_on(&place, "m", "host", "");
    send(&place);
    ask_init(&ask, &place); /* x on the device */
    ask.y = (mm_value){.data = out, .bytes = BYTES};
    assert_ok(&place.f, infer(&place, model, &ask));
    assert_memory_equal(out, place.in, BYTES);
    assert_int_equal(ask.y.flags & MM_VALUE_LOCATION, 0);
    mm_response_free(&ask.response);
    ask_init(&ask, &place); /* x on the device, y the library's */
    ask.y = (mm_value){.flags = MM_ON_DEVICE(1)};
    assert_ok(&place.f, infer(&place, model, &ask));
    assert_memory_equal(ask.y.data, place.in, BYTES);
    assert_int_equal(ask.y.flags & MM_VALUE_LOCATION, 0);
    mm_response_free(&ask.response);
    ask_init(&ask, &place); /* y on the device; no stream is needed: nothing is on its way */
    ask.x.data = place.in;
    ask.x.flags = 0;
    ask.request.stream = NULL;
    assert_ok(&place.f, infer(&place, model, &ask));
    assert_memory_equal(place.y, place.in, BYTES);
    mm_response_free(&ask.response);
    ask_init(&ask, &place); /* "on" a device that is the host */
    ask.x.data = place.in;
    ask.x.flags = MM_ON_DEVICE(0);
    ask.y = (mm_value){.data = out, .bytes = BYTES, .flags = MM_ON_DEVICE(0)};
    memset(out, 0, sizeof(out));
    assert_ok(&place.f, infer(&place, model, &ask));
    assert_memory_equal(out, place.in, BYTES);
    mm_response_free(&ask.response);
    place_close(&place);
}

/* Without the stream the library cannot know what it must come after: sim does. */
static void test_the_stream_is_honoured(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    place_open(&place);
    mm_model model = add_on(&place, "m", "sim", "");
    send(&place);
    ask_init(&ask, &place);
    ask.request.stream = NULL;
    assert_status(&place.f, infer(&place, model, &ask), MM_INVALID_STATE);
    assert_non_null(strstr(place.f.err.text, "without having waited for stream"));
    ask_init(&ask, &place);
    assert_ok(&place.f, infer(&place, model, &ask));
    assert_memory_equal(place.y, place.in, BYTES);
    mm_response_free(&ask.response);
    place_close(&place);
}

static void test_what_cannot_be(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    place_open(&place);
    mm_model model = add_on(&place, "m", "sim", "");
    mm_model strings = add_on(&place, "s", "sim", "io string\n");
    ask_init(&ask, &place);
    ask.x.flags = MM_ON_DEVICE(2);
    assert_status(&place.f, infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.y.flags = UINT32_MAX;
    assert_status(&place.f, infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.request.stream_location = 0;
    assert_status(&place.f, infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.request.stream_location = MM_ON_DEVICE(2);
    assert_status(&place.f, infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.y.bytes = BYTES - 1;
    send(&place);
    assert_status(&place.f, infer(&place, model, &ask), MM_BUFFER_TOO_SMALL);
    assert_int_equal(ask.y.bytes, BYTES);
    uint64_t offsets[2] = {0, BYTES};
    ask_init(&ask, &place);
    ask.x.dtype = MM_STRING;
    ask.x.rank = 1;
    ask.x.offsets = offsets;
    assert_status(&place.f, infer(&place, strings, &ask), MM_UNSUPPORTED);
    ask_init(&ask, &place);
    ask.x.data = (char *)place.region.base + BYTES * 2; /* beyond the region */
    assert_status(&place.f, infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    place_close(&place);
}

/* Every call of the device fails once: the caller's values stay as they are. */
static void test_nth_device_call_fails(void **state) {
    (void)state;
    static const int errnums[] = {EIO, ENODEV};
    for (int i = 0; i < 2; i++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            struct place place;
            struct ask ask;
            place_open(&place);
            mm_model model = add_on(&place, "m", "host", "");
            assert_ok(&place.f, fixture_infer(&place.f, model));
            send(&place);
            ask_init(&ask, &place);
            world_fault(&place.f.world, "device", nth, errnums[i]);
            mm_status status = infer(&place, model, &ask);
            failed = world_failed(&place.f.world);
            world_fault(&place.f.world, NULL, 0, 0);
            mm_status wanted = errnums[i] == EIO ? MM_IO : MM_DEVICE_LOST;
            assert_int_equal(status, failed ? wanted : MM_OK);
            assert_ptr_equal(ask.y.data, place.y);
            assert_true(status == MM_OK || !ask.response.owned);
            mm_response_free(&ask.response);
            assert_int_equal(fixture_device(&place.f, "sim").lost, failed && errnums[i] == ENODEV);
            assert_ok(&place.f, fixture_infer(&place.f, model)); /* on the host */
            place_close(&place);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_on_a_device),
        cmocka_unit_test(test_one_of_them_on_the_host),
        cmocka_unit_test(test_the_stream_is_honoured),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_nth_device_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
