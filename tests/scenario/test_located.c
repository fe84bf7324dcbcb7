/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs and outputs that lie on a device. */
#include "place.h"

#include <errno.h>
#include <string.h>

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
        mm_model model = place_add(&place, name, devices[i / 3], "echo", scripts[i % 3]);
        for (int hit = 0; hit < 2; hit++) {
            struct ask ask;
            ask_init(&ask, &place);
            memset(place.y, 0, BYTES);
            place_send(&place);
            assert_ok(&place.f, place_infer(&place, model, &ask));
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
    mm_model model = place_add(&place, "m", "host", "echo", "");
    place_send(&place);
    ask_init(&ask, &place); /* x on the device */
    ask.y = (mm_value){.data = out, .bytes = BYTES};
    assert_ok(&place.f, place_infer(&place, model, &ask));
    assert_memory_equal(out, place.in, BYTES);
    assert_int_equal(ask.y.flags & MM_VALUE_LOCATION, 0);
    mm_response_free(&ask.response);
    ask_init(&ask, &place); /* x on the device, y the library's */
    ask.y = (mm_value){.flags = MM_ON_DEVICE(1)};
    assert_ok(&place.f, place_infer(&place, model, &ask));
    assert_memory_equal(ask.y.data, place.in, BYTES);
    assert_int_equal(ask.y.flags & MM_VALUE_LOCATION, 0);
    mm_response_free(&ask.response);
    ask_init(&ask, &place); /* y on the device; no stream is needed: nothing is on its way */
    ask.x.data = place.in;
    ask.x.flags = 0;
    ask.request.stream = NULL;
    assert_ok(&place.f, place_infer(&place, model, &ask));
    assert_memory_equal(place.y, place.in, BYTES);
    mm_response_free(&ask.response);
    ask_init(&ask, &place); /* "on" a device that is the host */
    ask.x.data = place.in;
    ask.x.flags = MM_ON_DEVICE(0);
    ask.y = (mm_value){.data = out, .bytes = BYTES, .flags = MM_ON_DEVICE(0)};
    memset(out, 0, sizeof(out));
    assert_ok(&place.f, place_infer(&place, model, &ask));
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
    mm_model model = place_add(&place, "m", "sim", "echo", "");
    place_send(&place);
    ask_init(&ask, &place);
    ask.request.stream = NULL;
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_STATE);
    assert_non_null(strstr(place.f.err.text, "without having waited for stream"));
    ask_init(&ask, &place);
    assert_ok(&place.f, place_infer(&place, model, &ask));
    assert_memory_equal(place.y, place.in, BYTES);
    mm_response_free(&ask.response);
    place_close(&place);
}

static void test_what_cannot_be(void **state) {
    (void)state;
    struct place place;
    struct ask ask;
    place_open(&place);
    mm_model model = place_add(&place, "m", "sim", "echo", "");
    mm_model strings = place_add(&place, "s", "sim", "echo", "io string\n");
    ask_init(&ask, &place);
    ask.x.flags = MM_ON_DEVICE(3);
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.y.flags = UINT32_MAX;
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.request.stream_location = 0;
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.request.stream_location = MM_ON_DEVICE(3);
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
    ask_init(&ask, &place);
    ask.y.bytes = BYTES - 1;
    place_send(&place);
    assert_status(&place.f, place_infer(&place, model, &ask), MM_BUFFER_TOO_SMALL);
    assert_int_equal(ask.y.bytes, BYTES);
    uint64_t offsets[2] = {0, BYTES};
    ask_init(&ask, &place);
    ask.x.dtype = MM_STRING;
    ask.x.rank = 1;
    ask.x.offsets = offsets;
    assert_status(&place.f, place_infer(&place, strings, &ask), MM_UNSUPPORTED);
    ask_init(&ask, &place);
    ask.x.data = (char *)place.memory + BYTES * 4; /* beyond the region */
    assert_status(&place.f, place_infer(&place, model, &ask), MM_INVALID_ARGUMENT);
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
            mm_model model = place_add(&place, "m", "host", "echo", "");
            assert_ok(&place.f, fixture_infer(&place.f, model));
            place_send(&place);
            ask_init(&ask, &place);
            world_fault(&place.f.world, "device", nth, errnums[i]);
            mm_status status = place_infer(&place, model, &ask);
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
