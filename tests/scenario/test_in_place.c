/* SPDX-License-Identifier: Apache-2.0 */
/* Values on a device, and a backend that takes them there: MM_BACKEND_DEVICE_VALUES. */
#include "place.h"

#include <errno.h>
#include <string.h>

/* ---- Counting copies of "sim" ---------------------------------------------------------------- */

struct copies {
    _Atomic unsigned in, out, inside;
};
static struct copies copies;
static const struct mmi_device_ops *real;

static mm_status count_in(struct mmi_device *device, struct mmi_stream *stream, void *to,
                          const void *from, uint64_t bytes, mm_error *err) {
    copies.in++;
    return real->copy_in(device, stream, to, from, bytes, err);
}

static mm_status count_out(struct mmi_device *device, struct mmi_stream *stream, void *to,
                           const void *from, uint64_t bytes, mm_error *err) {
    copies.out++;
    return real->copy_out(device, stream, to, from, bytes, err);
}

static mm_status count_inside(struct mmi_device *device, struct mmi_stream *stream, void *to,
                              const void *from, uint64_t bytes, mm_error *err) {
    copies.inside++;
    return real->copy(device, stream, to, from, bytes, err);
}

static struct mmi_device_ops counting;

static void open_counted(struct place *place) {
    place_open(place);
    real = place->device->ops;
    counting = *real;
    counting.copy_in = count_in;
    counting.copy_out = count_out;
    counting.copy = count_inside;
    place->device->ops = &counting;
}

static void close_counted(struct place *place) {
    place->device->ops = real;
    place_close(place);
}

static void assert_copies(unsigned in, unsigned out, unsigned inside) {
    assert_int_equal(copies.in, in);
    assert_int_equal(copies.out, out);
    assert_int_equal(copies.inside, inside);
}

/* ---- Where they lie -------------------------------------------------------------------------- */

enum { X_THERE = 1, Y_THERE = 2 };

/* One request, whose copies are counted; x and y on the device or not. */
static void check(struct place *place, mm_model model, unsigned there) {
    struct ask ask;
    float out[WIDTH] = {0};
    ask_init(&ask, place);
    memset(place->y, 0, BYTES);
    if (there & X_THERE) {
        place_send(place);
    } else {
        ask.x.data = place->in;
        ask.x.flags = 0;
    }
    if (!(there & Y_THERE)) {
        ask.y = (mm_value){.data = out, .bytes = BYTES};
    }
    copies = (struct copies){0};
    assert_ok(&place->f, place_infer(place, model, &ask));
    assert_memory_equal(there & Y_THERE ? place->y : out, place->in, BYTES);
    assert_int_equal(ask.y.flags, there & Y_THERE ? MM_ON_DEVICE(1) : 0);
    assert_int_equal(ask.y.bytes, BYTES);
    mm_response_free(&ask.response);
}

/* Only what crosses the link is copied over it, whether the size of y is known before or not, and
 * on a miss no more than on a hit but the weights. */
static void test_no_copy_is_made_in_vain(void **state) {
    (void)state;
    static const char *const scripts[] = {"", "outputs unknown\n", "outputs bound\n"};
    struct place place;
    open_counted(&place);
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        mm_model model = place_add(&place, name, "sim", "echo-device", scripts[i]);
        for (int hit = 0; hit < 2; hit++) {
            check(&place, model, X_THERE | Y_THERE);
            assert_copies(0, 0, 1);
        }
        check(&place, model, X_THERE);
        assert_copies(0, 1, 0);
        check(&place, model, Y_THERE);
        assert_copies(1, 0, 0);
        check(&place, model, 0);
        assert_copies(0, 0, 0);
    }
    close_counted(&place);
}

/* A run on another device, or by a backend that takes none, has them brought by the library; for
 * the check before a load nothing is. */
static void test_else_the_library_brings_them(void **state) {
    (void)state;
    static const struct {
        const char *device, *backend;
    } cases[] = {{"host", "echo-device"}, {"other", "echo-device"}, {"sim", "echo"}};
    struct place place;
    open_counted(&place);
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        mm_model model = place_add(&place, name, cases[i].device, cases[i].backend, "");
        for (int hit = 0; hit < 2; hit++) {
            check(&place, model, X_THERE | Y_THERE);
            assert_copies(1, 1, 0);
        }
    }
    close_counted(&place);
}

/* y here, z there. */
static void test_outputs_on_several_devices(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    open_counted(&place);
    mm_model model = place_add(&place, "m", "other", "echo-device", "seed 7\n");
    const char *names[] = {"y", "z"};
    float out[WIDTH] = {0};
    mm_value outputs[2] = {{.data = out, .bytes = BYTES},
                           {.data = place.y, .bytes = BYTES, .flags = MM_ON_DEVICE(1)}};
    for (int i = 0; i < 2; i++) {
        ask_init(&ask, &place);
        ask.request.outputs = names;
        ask.request.output_count = 2;
        ask.response.outputs = outputs;
        ask.response.output_capacity = 2;
        place_send(&place);
        copies = (struct copies){0};
        assert_ok(&place.f, place_infer(&place, model, &ask));
        assert_copies(1, 1, 0); /* z, x */
        assert_memory_equal(out, place.in, BYTES);
        assert_int_equal(((int64_t *)(void *)place.y)[1], 7);
        assert_int_equal(outputs[1].flags, MM_ON_DEVICE(1));
        mm_response_free(&ask.response);
    }
    close_counted(&place);
}

/* The host looks at what decides shapes, wherever it lies; x stays. */
static void test_a_shape_input_on_the_device(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    open_counted(&place);
    mm_model model = place_add(&place, "m", "sim", "echo-device", "io repeat\n");
    ask_init(&ask, &place);
    int64_t times = 1;
    assert_ok(&place.f, real->copy_in(place.device, place.stream, place.y + WIDTH, &times,
                                      sizeof(times), &place.f.err));
    mm_value inputs[2] = {ask.x,
                          {.name = "times",
                           .dtype = MM_I64,
                           .data = place.y + WIDTH,
                           .bytes = sizeof(times),
                           .flags = MM_ON_DEVICE(1)}};
    ask.request.inputs = inputs;
    ask.request.input_count = 2;
    place_send(&place);
    assert_ok(&place.f, place_infer(&place, model, &ask)); /* loads */
    copies = (struct copies){0};
    assert_ok(&place.f, place_infer(&place, model, &ask));
    assert_copies(0, 1, 1);
    assert_memory_equal(place.y, place.in, BYTES);
    close_counted(&place);
}

static void test_without_waiting_for_the_answer(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    mm_op *op;
    open_counted(&place);
    mm_model model = place_add(&place, "m", "sim", "echo-device", "");
    ask_init(&ask, &place);
    place_send(&place);
    assert_ok(&place.f, mm_infer_async(place.f.mesh, model, &ask.request, &ask.response, NULL, &op,
                                       &place.f.err));
    assert_ok(&place.f, mm_op_wait(op, 0, &place.f.err));
    mm_op_free(op);
    assert_memory_equal(place.y, place.in, BYTES);
    close_counted(&place);
}

/* ---- Order ----------------------------------------------------------------------------------- */

/* What the caller did not order is its mistake, and the text says which. */
static void test_what_was_not_waited_for(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    float seen[WIDTH];
    place_open(&place);
    const struct mmi_device_ops *ops = place.device->ops;
    mm_model model = place_add(&place, "m", "sim", "echo-device", "");
    place_send(&place);
    ask_init(&ask, &place); /* x is on its way */
    ask.request.stream = NULL;
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_STATE);
    assert_non_null(strstr(place.f.err.text, "without having waited for stream"));
    assert_ok(&place.f, ops->finish(place.device, place.stream, &place.f.err));
    assert_ok(&place.f, ops->copy_out(place.device, place.stream, seen, place.y, BYTES,
                                      &place.f.err)); /* y is being read */
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_STATE);
    assert_ok(&place.f, ops->finish(place.device, place.stream, &place.f.err));
    assert_ok(&place.f, place_infer(&place, model, &ask)); /* all is there: no stream is needed */
    assert_memory_equal(place.y, place.in, BYTES);
    place_send(&place);
    ask_init(&ask, &place);
    assert_ok(&place.f, place_infer(&place, model, &ask));
    /* The host may read it now, and any stream. */
    assert_ok(&place.f,
              ops->access(place.device, NULL, place.y, BYTES, MMI_ACCESS_READ, &place.f.err));
    place_close(&place);
}

/* A backend that reads the caller's memory before its event. */
static void test_a_backend_that_does_not_wait(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    place_open(&place);
    mm_model model = place_add(&place, "m", "sim", "echo-device", "through_device 2\n");
    place_send(&place);
    ask_init(&ask, &place);
    assert_status(&place.f, place_infer(&place, model, &ask), MM_BACKEND_FAILED);
    assert_non_null(strstr(place.f.err.text, "without having waited for stream"));
    assert_ok(&place.f, place.device->ops->finish(place.device, place.stream, &place.f.err));
    place_close(&place);
}

static void test_what_cannot_be(void **state) {
    (void)state;
    static const char *const scripts[] = {"", "outputs unknown\n", "outputs bound\n"};
    struct place place;
    struct ask ask;
    place_open(&place);
    for (int i = 0; i < 3; i++) {
        char name[2] = {(char)('a' + i), 0};
        mm_model model = place_add(&place, name, "sim", "echo-device", scripts[i]);
        place_send(&place);
        ask_init(&ask, &place);
        ask.y.bytes = BYTES - 1;
        assert_status(&place.f, place_infer(&place, model, &ask), MM_BUFFER_TOO_SMALL);
        assert_int_equal(ask.y.bytes, BYTES);
        assert_ptr_equal(ask.y.data, place.y);
        assert_null(ask.response.owned);
        ask_init(&ask, &place);
        ask.x.data = (char *)place.memory + BYTES * 4; /* beyond the region */
        assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
        ask_init(&ask, &place);
        ask.x.data = place.in; /* no memory of the device */
        assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
        ask_init(&ask, &place);
        ask.request.stream = &ask; /* no stream */
        assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    }
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
            mm_model model = place_add(&place, "m", "sim", "echo-device", "through_device 1\n");
            place_send(&place);
            ask_init(&ask, &place);
            assert_ok(&place.f, place_infer(&place, model, &ask));
            world_fault(&place.f.world, "device", nth, errnums[i]);
            mm_status status = place_infer(&place, model, &ask);
            failed = world_failed(&place.f.world);
            world_fault(&place.f.world, NULL, 0, 0);
            mm_status wanted = errnums[i] == EIO ? MM_IO : MM_DEVICE_LOST;
            assert_true(status == MM_OK || failed);
            assert_true(status == MM_OK || status == wanted ||
                        status == MM_NO_ROOM_FOR_ACTIVATIONS);
            assert_ptr_equal(ask.y.data, place.y);
            assert_true(status == MM_OK || !ask.response.owned);
            mm_response_free(&ask.response);
            assert_int_equal(fixture_device(&place.f, "sim").lost, failed && errnums[i] == ENODEV);
            place_close(&place);
        }
    }
}

/* ---- Copies of a model ----------------------------------------------------------------------- */

/* true = a copy of the model serves there. */
static bool copy_on(struct place *place, const char *device, mm_copy_info *found) {
    mm_copy_info at[3];
    mm_model model;
    mm_model_info info = MM_MODEL_INFO_INIT;
    info.copies = at;
    info.copy_capacity = 3;
    assert_int_equal(mm_find(place->f.mesh, "m", &model), MM_OK);
    assert_int_equal(mm_model_info_get(place->f.mesh, model, &info), MM_OK);
    for (uint32_t i = 0; i < info.copy_count && i < 3; i++) {
        if (strcmp(at[i].device, device) == 0 && at[i].state == MM_STATE_READY) {
            *found = at[i];
            return true;
        }
    }
    return false;
}

static uint64_t requests_on(struct place *place, const char *device) {
    mm_copy_info copy;
    assert_true(copy_on(place, device, &copy));
    return copy.requests;
}

static bool has_two_copies(void *ctx) {
    mm_copy_info copy;
    return copy_on(ctx, "sim", &copy) && copy_on(ctx, "other", &copy);
}

/* Of two copies that do nothing the one where the inputs lie is asked. */
static void test_the_copy_where_the_inputs_lie(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    open_counted(&place);
    mm_model stuffing = place_add(&place, "stuffing", "host", "echo", "weights_bytes 15m\n");
    assert_ok(&place.f, mm_load(place.f.mesh, stuffing, NULL, NULL, &place.f.err));
    assert_int_equal(mm_pin(place.f.mesh, stuffing), MM_OK);
    mm_model_spec spec =
        fixture_spec(&place.f, "m", "echo-device", "weights_bytes 4m\n"); /* not on the host */
    spec.replicas = spec.min_replicas = 2;
    mm_model model = fixture_register(&place.f, &spec);
    assert_ok(&place.f, mm_load(place.f.mesh, model, NULL, NULL, &place.f.err));
    fixture_until(has_two_copies, &place);
    struct mmi_device *other = place.f.mesh->res.devices[2].device;
    struct mmi_stream *stream;
    assert_ok(&place.f, other->ops->stream_open(other, &stream, &place.f.err));
    const char *const names[] = {"sim", "other"};
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t before = requests_on(&place, names[i % 2]);
        ask_init(&ask, &place);
        if (i % 2 == 0) {
            ask.request.stream = NULL;
        } else { /* the stream says where the others are to be */
            ask.x.data = place.in;
            ask.x.flags = 0;
            ask.y = (mm_value){0};
            ask.request.stream = stream;
            ask.request.stream_location = MM_ON_DEVICE(2);
        }
        assert_ok(&place.f, place_infer(&place, model, &ask));
        assert_int_equal(requests_on(&place, names[i % 2]), before + 1);
        mm_response_free(&ask.response);
    }
    other->ops->stream_close(other, stream);
    close_counted(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_copy_is_made_in_vain),
        cmocka_unit_test(test_else_the_library_brings_them),
        cmocka_unit_test(test_outputs_on_several_devices),
        cmocka_unit_test(test_a_shape_input_on_the_device),
        cmocka_unit_test(test_without_waiting_for_the_answer),
        cmocka_unit_test(test_what_was_not_waited_for),
        cmocka_unit_test(test_a_backend_that_does_not_wait),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_nth_device_call_fails),
        cmocka_unit_test(test_the_copy_where_the_inputs_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
