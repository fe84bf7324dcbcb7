/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that callers allocate on devices for their values. */
#include "fixture.h"

#include <device/device.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOST MM_ON_DEVICE(0)
#define SIM MM_ON_DEVICE(1)

/* The last line of the host's log. */
static char heard[256];

static void hear(void *user, int32_t level, const char *text) {
    (void)user, (void)level;
    snprintf(heard, sizeof(heard), "%s", text);
}

static void open_both(struct fixture *f) {
    mm_device_options devices[2] = {fixture_host("host", 16 * MIB), fixture_host("sim", 16 * MIB)};
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = 2;
    options.min_residency_ns = 1;
    options.log = (mm_log){.line = hear};
    heard[0] = '\0';
    fixture_open(f, &options);
}

static void *take(struct fixture *f, uint32_t location, uint64_t bytes) {
    void *memory = NULL;
    assert_ok(f, mm_device_alloc(f->mesh, location, bytes, &memory, &f->err));
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 256, 0);
    return memory;
}

static void give(struct fixture *f, uint32_t location, void *memory) {
    assert_int_equal(mm_device_free(f->mesh, location, memory), MM_OK);
}

static mm_status refused(struct fixture *f, uint32_t location, uint64_t bytes) {
    void *memory = f;
    mm_status status = mm_device_alloc(f->mesh, location, bytes, &memory, &f->err);
    assert_int_not_equal(status, MM_OK);
    assert_int_equal(f->err.status, status);
    assert_ptr_equal(memory, f);
    return status;
}

/* x out of ordinary memory into a device's, through a model, and back. */
static void test_values_go_there_and_back(void **state) {
    (void)state;
    static const char *const devices[] = {"host", "sim"};
    struct fixture f;
    open_both(&f);
    for (int i = 0; i < 4; i++) {
        float in[4] = {1, 2, 3, 4}, out[4] = {0};
        uint32_t location = i % 2 ? SIM : HOST;
        char name[2] = {(char)('a' + i), 0};
        mm_model_spec spec = fixture_spec(&f, name, "echo-device", "");
        spec.device = devices[i / 2];
        mm_model model = fixture_register(&f, &spec);
        mm_value x = {.name = "x",
                      .dtype = MM_F32,
                      .rank = 2,
                      .shape = {2, 2},
                      .data = take(&f, location, sizeof(in)),
                      .bytes = sizeof(in),
                      .flags = location};
        mm_value y = {
            .data = take(&f, location, sizeof(in)), .bytes = sizeof(in), .flags = location};
        const mm_value from = {.data = in, .bytes = sizeof(in)};
        const mm_value to = {.data = out, .bytes = sizeof(out)};
        assert_ok(&f, mm_value_copy(f.mesh, &from, &x, NULL, &f.err));
        const char *output = "y";
        mm_request request = MM_REQUEST_INIT;
        mm_response response = MM_RESPONSE_INIT;
        request.inputs = &x;
        request.input_count = 1;
        request.outputs = &output;
        request.output_count = 1;
        response.outputs = &y;
        response.output_capacity = 1;
        assert_ok(&f, mm_infer(f.mesh, model, &request, &response, &f.err));
        assert_int_equal(y.flags, location);
        assert_ok(&f, mm_value_copy(f.mesh, &y, &x, NULL, &f.err)); /* inside of the device */
        assert_ok(&f, mm_value_copy(f.mesh, &x, &to, NULL, &f.err));
        assert_memory_equal(out, in, sizeof(in));
        mm_response_free(&response);
        give(&f, location, x.data);
        give(&f, location, y.data);
    }
    assert_int_equal(f.mesh->res.devices[1].held_bytes, 0);
    fixture_close(&f);
}

/* In the order of the caller's stream, and over when the call returns. */
static void test_a_copy_on_a_stream(void **state) {
    (void)state;
    struct fixture f;
    open_both(&f);
    struct mmi_device *device = f.mesh->res.devices[1].device;
    struct mmi_stream *stream;
    assert_ok(&f, device->ops->stream_open(device, &stream, &f.err));
    char in[8] = "before", out[8] = "", *there = take(&f, SIM, 8);
    assert_ok(&f, device->ops->copy_in(device, stream, there, in, 8, &f.err));
    const mm_value from = {.data = there, .bytes = 8, .flags = SIM}, to = {.data = out, .bytes = 8};
    assert_status(&f, mm_value_copy(f.mesh, &from, &to, NULL, &f.err), MM_INVALID_STATE);
    assert_ok(&f, mm_value_copy(f.mesh, &from, &to, stream, &f.err));
    assert_string_equal(out, "before");
    give(&f, SIM, there);
    device->ops->stream_close(device, stream);
    fixture_close(&f);
}

/* It counts: idle models leave for it, and what does not fit is refused with what is missing. */
static void test_it_is_in_the_budget(void **state) {
    (void)state;
    struct fixture f;
    open_both(&f);
    static const char *const devices[] = {"host", "sim"};
    for (uint32_t i = 0; i < 2; i++) {
        const char *device = devices[i];
        mm_model_spec spec = fixture_spec(&f, i ? "n" : "m", "echo", "weights_bytes 10m\n");
        spec.device = device;
        mm_model model = fixture_register(&f, &spec);
        assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
        fixture_advance(&f, MS_NS);
        void *first = take(&f, MM_ON_DEVICE(i), 4 * MIB);
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
        assert_int_equal(fixture_device(&f, device).used_bytes, 14 * MIB);
        assert_int_equal(fixture_device(&f, device).scratch_bytes, 0);
        void *second = take(&f, MM_ON_DEVICE(i), 4 * MIB);
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
        assert_int_equal(fixture_device(&f, device).used_bytes, 8 * MIB);
        assert_status(&f, mm_load(f.mesh, model, NULL, NULL, &f.err), MM_ALL_PINNED);
        assert_status(&f, mm_device_set_budget(f.mesh, device, 6 * MIB, &f.err), MM_BUSY);
        give(&f, MM_ON_DEVICE(i), second);
        assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
        assert_int_equal(mm_pin(f.mesh, model), MM_OK);
        fixture_advance(&f, MS_NS);
        assert_int_equal(refused(&f, MM_ON_DEVICE(i), 4 * MIB), MM_ALL_PINNED);
        assert_int_equal(f.err.needed_bytes, 4 * MIB);
        assert_int_equal(f.err.available_bytes, 2 * MIB);
        assert_int_equal(refused(&f, MM_ON_DEVICE(i), 17 * MIB), MM_TOO_LARGE);
        assert_int_equal(refused(&f, MM_ON_DEVICE(i), UINT64_MAX), MM_TOO_LARGE);
        assert_int_equal(mm_unpin(f.mesh, model), MM_OK);
        assert_int_equal(mm_set_class(f.mesh, model, MM_CLASS_HIGH), MM_OK);
        assert_int_equal(refused(&f, MM_ON_DEVICE(i), 4 * MIB), MM_ALL_PINNED);
        give(&f, MM_ON_DEVICE(i), first);
        assert_int_equal(fixture_device(&f, device).used_bytes, 10 * MIB);
    }
    fixture_close(&f);
}

/* Why it left is in the log of decisions. */
static void test_the_reason(void **state) {
    (void)state;
    struct fixture f;
    open_both(&f);
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 10m\n");
    spec.device = "sim";
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
    fixture_advance(&f, MS_NS);
    give(&f, SIM, take(&f, SIM, 8 * MIB));
    uint64_t cursor = 0;
    mm_event event = {0};
    bool found = false;
    while (mm_events_next(f.mesh, &cursor, &event, NULL) == MM_OK) {
        found |= event.kind == MM_EVENT_EVICT && strcmp(event.reason, "values") == 0;
    }
    assert_true(found);
    fixture_close(&f);
}

/* A request in its middle is not waited for. */
static void test_a_model_in_use(void **state) {
    (void)state;
    struct fixture f;
    open_both(&f);
    mm_model_spec spec = fixture_spec(&f, "m", "echo", "weights_bytes 10m\n");
    spec.device = "sim";
    mm_model model = fixture_register(&f, &spec);
    assert_ok(&f, mm_load(f.mesh, model, NULL, NULL, &f.err));
    fixture_advance(&f, MS_NS);
    struct mmi_admission admission;
    assert_true(mmi_admission_try(&f.mesh->res, model.id, 0, &admission));
    assert_int_equal(refused(&f, SIM, 8 * MIB), MM_BUSY);
    assert_int_equal(fixture_info(&f, model).state, MM_STATE_READY);
    mmi_admission_return(&f.mesh->res, &admission);
    give(&f, SIM, take(&f, SIM, 8 * MIB));
    fixture_close(&f);
}

static void test_what_cannot_be(void **state) {
    (void)state;
    struct fixture f;
    open_both(&f);
    char here[8];
    void *there = take(&f, SIM, 8), *none = NULL;
    assert_int_equal(refused(&f, 0, 8), MM_INVALID_ARGUMENT);
    assert_int_equal(refused(&f, MM_ON_DEVICE(2), 8), MM_INVALID_ARGUMENT);
    assert_int_equal(refused(&f, SIM | 1, 8), MM_INVALID_ARGUMENT);
    assert_int_equal(refused(&f, SIM, 0), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_device_alloc(f.mesh, SIM, 8, NULL, NULL), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_device_free(f.mesh, SIM, here), MM_NOT_FOUND);
    assert_int_equal(mm_device_free(f.mesh, HOST, there), MM_NOT_FOUND);
    assert_int_equal(mm_device_free(f.mesh, MM_ON_DEVICE(2), there), MM_INVALID_ARGUMENT);
    assert_int_equal(mm_device_free(f.mesh, SIM, none), MM_OK);
    mm_value a = {.data = here, .bytes = 8}, b = {.data = there, .bytes = 7, .flags = SIM};
    assert_status(&f, mm_value_copy(f.mesh, &a, &b, NULL, &f.err), MM_BUFFER_TOO_SMALL);
    assert_int_equal(f.err.needed_bytes, 8);
    b.bytes = 8;
    b.flags = MM_ON_DEVICE(2);
    assert_status(&f, mm_value_copy(f.mesh, &a, &b, NULL, &f.err), MM_INVALID_ARGUMENT);
    b.flags = SIM;
    b.data = NULL;
    assert_status(&f, mm_value_copy(f.mesh, &a, &b, NULL, &f.err), MM_INVALID_ARGUMENT);
    a.dtype = MM_STRING;
    assert_status(&f, mm_value_copy(f.mesh, &a, &b, NULL, &f.err), MM_UNSUPPORTED);
    assert_status(&f, mm_value_copy(f.mesh, NULL, &b, NULL, &f.err), MM_INVALID_ARGUMENT);
    give(&f, SIM, there);
    fixture_close(&f);
}

/* Closing refuses new memory and leaves what is there; the rest goes with the mesh. */
static void test_the_end(void **state) {
    (void)state;
    struct fixture f;
    open_both(&f);
    void *first = take(&f, SIM, 8), *second = take(&f, SIM, 4 * MIB);
    (void)take(&f, HOST, 4 * MIB);
    (void)take(&f, HOST, 10);
    assert_int_equal(mm_mesh_close(f.mesh), MM_OK);
    assert_int_equal(refused(&f, SIM, 8), MM_CLOSED);
    give(&f, SIM, second);
    assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
    give(&f, SIM, first);
    fixture_close(&f); /* nothing leaks */
    assert_string_equal(heard, "device host: 2 allocations of 4194314 bytes were not freed");
}

/* Every call of the device, and every allocation, fails once. */
static void test_nth_call_fails(void **state) {
    (void)state;
    static const struct {
        const char *what;
        int errnum;
    } cases[] = {{"device", EIO}, {"device", ENODEV}, {"alloc", ENOMEM}};
    for (int i = 0; i < 3; i++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            struct fixture f;
            open_both(&f);
            char here[8] = "here";
            void *memory = NULL;
            world_fault(&f.world, cases[i].what, nth, cases[i].errnum);
            mm_status status = mm_device_alloc(f.mesh, SIM, 3 * MIB, &memory, &f.err);
            bool got = status == MM_OK;
            if (got) {
                const mm_value from = {.data = here, .bytes = 8},
                               to = {.data = memory, .bytes = 8, .flags = SIM};
                status = mm_value_copy(f.mesh, &from, &to, NULL, &f.err);
            }
            failed = world_failed(&f.world);
            world_fault(&f.world, NULL, 0, 0);
            assert_int_equal(status != MM_OK, failed);
            bool lost = failed && cases[i].errnum == ENODEV;
            assert_int_equal(fixture_device(&f, "sim").lost, lost);
            assert_int_equal(fixture_device(&f, "sim").used_bytes, got ? 4 * MIB : 0);
            if (got) {
                give(&f, SIM, memory);
                assert_int_equal(fixture_device(&f, "sim").used_bytes, 0);
            }
            assert_true(!lost || refused(&f, SIM, 8) == MM_DEVICE_LOST);
            fixture_close(&f);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_go_there_and_back),
        cmocka_unit_test(test_a_copy_on_a_stream),
        cmocka_unit_test(test_it_is_in_the_budget),
        cmocka_unit_test(test_the_reason),
        cmocka_unit_test(test_a_model_in_use),
        cmocka_unit_test(test_what_cannot_be),
        cmocka_unit_test(test_the_end),
        cmocka_unit_test(test_nth_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
