/* SPDX-License-Identifier: Apache-2.0 */
/* Where results go: the caller's buffers or the response's memory; sizes told before; values of
 * every kind. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static float x_data[6] = {1, 2, 3, 4, 5, 6};

static mm_value tensor(const char *name, void *data, int64_t rows, int64_t columns) {
    return (mm_value){.name = name,
                      .dtype = MM_F32,
                      .rank = 2,
                      .shape = {rows, columns},
                      .data = data,
                      .bytes = (uint64_t)(rows * columns) * sizeof(float)};
}

static mm_request request_of(const mm_value *inputs, uint32_t count) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs;
    request.input_count = count;
    return request;
}

static mm_status infer(struct fixture *f, mm_model model, const mm_request *request,
                       mm_response *response) {
    return mm_infer(f->mesh, model, request, response, &f->err);
}

/* ---- The caller's buffers ------------------------------------------------------------------- */

/* "the caller's buffer ... or the mesh allocator's, owned by the response", side by side; however
 * little was known of the size before the run */
static void check_callers_buffer(const char *script) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", script);
    mm_value x = tensor("x", x_data, 2, 3);
    mm_request request = request_of(&x, 1);
    float y[10] = {0};
    y[6] = 77;
    mm_value outputs[3] = {{.name = "mine", .data = y, .bytes = sizeof(y)}, {.name = "its"}};
    mm_response response = MM_RESPONSE_INIT;
    response.outputs = outputs;
    response.output_capacity = 3;
    for (int round = 0; round < 2; round++) {
        outputs[0].bytes = sizeof(y);
        assert_ok(&f, infer(&f, model, &request, &response));
        assert_int_equal(response.output_count, 2);
        assert_ptr_equal(response.outputs, outputs);
        assert_ptr_equal(outputs[0].data, y);
        assert_int_equal(outputs[0].bytes, sizeof(x_data));
        assert_int_equal(outputs[0].flags & MM_VALUE_OWNED, 0);
        assert_memory_equal(y, x_data, sizeof(x_data));
        assert_true(y[6] == 77); /* nothing beyond */
        assert_int_equal(outputs[0].shape[0], 2);
        assert_int_equal(outputs[0].shape[1], 3);
        assert_string_equal(outputs[0].name, "mine"); /* "left as it is" */
        assert_string_equal(outputs[1].name, "its");
        assert_true(outputs[1].flags & MM_VALUE_OWNED);
        assert_int_equal(outputs[1].bytes, 2 * sizeof(int64_t));
        mm_response_free(&response);
        assert_null(outputs[1].data); /* what was borrowed is gone, the array is the caller's */
        assert_ptr_equal(outputs[0].data, y);
    }
    fixture_close(&f);
}

static void test_callers_buffer_when_the_size_is_exact(void **state) {
    (void)state;
    check_callers_buffer("weights_bytes 4k\n");
}

static void test_callers_buffer_when_the_size_is_bound(void **state) {
    (void)state;
    check_callers_buffer("outputs bound\n");
}

static void test_callers_buffer_when_the_size_is_unknown(void **state) {
    (void)state;
    check_callers_buffer("outputs unknown\n");
}

/* "MM_BUFFER_TOO_SMALL with every need, nothing written" */
static void check_too_small(const char *script) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", script);
    mm_value x = tensor("x", x_data, 2, 3);
    mm_request request = request_of(&x, 1);
    unsigned char y[24], z[16], before[24];
    memset(before, 0xee, sizeof(before));
    for (unsigned small = 1; small < 4; small++) { /* y, z, both */
        memset(y, 0xee, sizeof(y));
        memset(z, 0xee, sizeof(z));
        mm_value outputs[2] = {{.data = y, .bytes = small & 1 ? 23 : 24},
                               {.data = z, .bytes = small & 2 ? 0 : 16}};
        mm_response response = MM_RESPONSE_INIT;
        response.outputs = outputs;
        response.output_capacity = 2;
        assert_status(&f, infer(&f, model, &request, &response), MM_BUFFER_TOO_SMALL);
        assert_int_equal(f.err.needed_bytes, small & 1 ? 24 : 16);
        assert_int_equal(f.err.available_bytes, small & 1 ? 23 : 0);
        assert_int_equal(outputs[0].bytes, 24);
        assert_int_equal(outputs[1].bytes, 16);
        assert_ptr_equal(outputs[0].data, y);
        assert_memory_equal(y, before, sizeof(y));
        assert_memory_equal(z, before, sizeof(z));
        assert_null(response.owned);                          /* "On failure it owns nothing." */
        assert_ok(&f, infer(&f, model, &request, &response)); /* the needs are what it takes */
        assert_memory_equal(y, x_data, sizeof(y));
        mm_response_free(&response);
    }
    /* Where the library would give memory, the need comes back too. */
    mm_value outputs[2] = {{.data = y, .bytes = 1}, {.data = NULL}};
    mm_response response = MM_RESPONSE_INIT;
    response.outputs = outputs;
    response.output_capacity = 2;
    assert_status(&f, infer(&f, model, &request, &response), MM_BUFFER_TOO_SMALL);
    assert_int_equal(outputs[1].bytes, 16);
    /* An array of too few. */
    response.output_capacity = 1;
    outputs[0].bytes = 24;
    assert_status(&f, infer(&f, model, &request, &response), MM_BUFFER_TOO_SMALL);
    assert_int_equal(response.output_count, 2);
    mm_response_free(&response);
    fixture_close(&f);
}

static void test_too_small_tells_every_need_when_exact(void **state) {
    (void)state;
    check_too_small("seed 1\n");
}

static void test_too_small_tells_every_need_when_unknown(void **state) {
    (void)state;
    check_too_small("outputs unknown\n");
}

/* ---- The response's memory ------------------------------------------------------------------ */

/* "owned by the response, valid after free of the mesh", "Never aliases an instance" */
static void test_owned_outputs_outlive_instance_and_mesh(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "weights_bytes 64k\nseed 4\n");
    mm_value x = tensor("x", x_data, 2, 3);
    mm_request request = request_of(&x, 1);
    mm_response response = MM_RESPONSE_INIT;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_true(response.flags & MM_RESPONSE_ARRAY);
    assert_status(&f, infer(&f, model, &request, &response), MM_INVALID_STATE); /* not freed */
    assert_ok(&f, mm_evict(f.mesh, model, MM_NO_WAIT, &f.err));
    assert_int_equal(mm_mesh_free(&f.mesh), MM_OK);
    assert_int_equal(response.output_count, 2);
    assert_string_equal(response.outputs[0].name, "y");
    assert_string_equal(response.outputs[1].name, "z");
    assert_memory_equal(response.outputs[0].data, x_data, sizeof(x_data));
    int64_t z[2];
    memcpy(z, response.outputs[1].data, sizeof(z));
    assert_int_equal(z[0], mmi_echo_checksum(4, 64 << 10));
    mm_response_free(&response);
    assert_null(response.outputs);
    mm_response_free(&response);
    mm_response_free(NULL);
    fixture_close(&f);
}

/* "A request may name a subset of outputs", in its own order */
static void test_a_request_may_name_a_subset_of_outputs(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "io two\nseed 2\n");
    mm_value inputs[] = {tensor("x2", x_data + 3, 1, 3), tensor("x", x_data, 1, 3)};
    mm_request request = request_of(inputs, 2);
    const char *names[] = {"z", "y2"}, *twice[] = {"z", "z"}, *wrong[] = {"w"}, *null[] = {NULL};
    request.outputs = names;
    request.output_count = 2;
    mm_response response = MM_RESPONSE_INIT;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_int_equal(response.output_count, 2);
    assert_string_equal(response.outputs[0].name, "z");
    assert_string_equal(response.outputs[1].name, "y2");
    assert_memory_equal(response.outputs[1].data, x_data + 3, 12);
    mm_response_free(&response);
    request.output_count = 1;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_int_equal(response.output_count, 1);
    mm_response_free(&response);
    const char *const *bad[] = {twice, wrong, null};
    for (uint32_t i = 0; i < 3; i++) {
        request.outputs = bad[i];
        request.output_count = i == 0 ? 2 : 1;
        assert_status(&f, infer(&f, model, &request, &response), MM_INVALID_ARGUMENT);
    }
    fixture_close(&f);
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

struct sizes_case {
    const char *script;
    uint8_t exactness;
    uint64_t bytes;
};

/* "mm_output_bytes: exact, an upper bound, or unknown"; it prepares and does not load */
static void test_output_bytes_is_exact_bound_or_unknown(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    static const struct sizes_case cases[] = {{"outputs exact\n", MM_OUTPUT_EXACT, 24},
                                              {"outputs bound\n", MM_OUTPUT_BOUND, 48},
                                              {"outputs unknown\n", MM_OUTPUT_UNKNOWN, 0}};
    mm_value x = tensor("x", x_data, 2, 3);
    for (int i = 0; i < 3; i++) {
        mm_model model = fixture_echo(&f, cases[i].script + 8, cases[i].script);
        mm_request request = request_of(&x, 1);
        mm_value sizes[2] = {{.name = "kept", .data = x_data}, {.name = NULL}};
        uint8_t exactness[2];
        uint32_t count = 0;
        assert_status(&f, mm_output_bytes(f.mesh, model, &request, NULL, NULL, 0, &count, &f.err),
                      MM_BUFFER_TOO_SMALL);
        assert_int_equal(count, 2);
        count = 0;
        assert_ok(&f,
                  mm_output_bytes(f.mesh, model, &request, sizes, exactness, 2, &count, &f.err));
        assert_int_equal(count, 2);
        assert_int_equal(exactness[0], cases[i].exactness);
        assert_int_equal(sizes[0].bytes, cases[i].bytes);
        assert_int_equal(sizes[0].dtype, MM_F32);
        assert_int_equal(sizes[0].rank, 2);
        if (cases[i].exactness == MM_OUTPUT_EXACT) {
            assert_int_equal(sizes[0].shape[0], 2);
            assert_int_equal(sizes[0].shape[1], 3);
        }
        assert_ptr_equal(sizes[0].data, x_data); /* "data untouched" */
        assert_int_equal(exactness[1], MM_OUTPUT_EXACT);
        assert_int_equal(sizes[1].bytes, 16);
        assert_int_equal(fixture_info(&f, model).state, MM_STATE_COLD);
        const char *names[] = {"z"};
        request.outputs = names;
        request.output_count = 1;
        assert_ok(&f, mm_output_bytes(f.mesh, model, &request, sizes, NULL, 1, &count, &f.err));
        assert_int_equal(count, 1);
        assert_int_equal(sizes[0].bytes, 16);
    }
    fixture_close(&f);
}

/* "sizes for a given request": also by what an input says, not only by its shape */
static void test_output_bytes_follows_a_shape_input(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "io repeat\n");
    for (int64_t times = 0; times < 4; times++) {
        mm_value inputs[] = {tensor("x", x_data, 2, 3),
                             {.name = "times", .dtype = MM_I64, .data = &times, .bytes = 8}};
        mm_request request = request_of(inputs, 2);
        mm_value sizes[2] = {{.name = NULL}, {.name = NULL}};
        uint32_t count;
        assert_ok(&f, mm_output_bytes(f.mesh, model, &request, sizes, NULL, 2, &count, &f.err));
        assert_int_equal(sizes[0].shape[0], 2 * times);
        assert_int_equal(sizes[0].bytes, 24 * (uint64_t)times);
        mm_response response = MM_RESPONSE_INIT;
        assert_ok(&f, infer(&f, model, &request, &response));
        assert_int_equal(response.outputs[0].bytes, 24 * (uint64_t)times);
        assert_int_equal(response.outputs[0].shape[0], 2 * times);
        mm_response_free(&response);
    }
    fixture_close(&f);
}

/* ---- Values of every kind ------------------------------------------------------------------- */

static void assert_value_equal(const mm_value *a, const mm_value *b) {
    assert_int_equal(a->kind, b->kind);
    if (a->kind == MM_TENSOR) {
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, a->rank * sizeof(a->shape[0]));
        assert_int_equal(a->bytes, b->bytes);
        if (a->bytes > 0) {
            assert_memory_equal(a->data, b->data, a->bytes);
        }
        if (a->dtype == MM_STRING) {
            uint64_t entries = mm_shape_elements(a->rank, a->shape) + 1;
            assert_memory_equal(a->offsets, b->offsets, entries * sizeof(*a->offsets));
        }
        return;
    }
    assert_int_equal(a->item_count, b->item_count);
    for (uint64_t i = 0; i < (a->kind == MM_MAP ? 2 : a->item_count); i++) {
        assert_value_equal(&a->items[i], &b->items[i]);
    }
}

/* The echo of a value comes back whole, in memory of its own, also after the mesh is gone. */
static void check_echo_of(const char *script, mm_value x) {
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", script);
    x.name = "x";
    mm_request request = request_of(&x, 1);
    mm_response response = MM_RESPONSE_INIT;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_int_equal(mm_mesh_free(&f.mesh), MM_OK);
    assert_int_equal(response.output_count, 2);
    assert_value_equal(&x, &response.outputs[0]);
    if (x.kind != MM_TENSOR && x.item_count > 0) {
        assert_ptr_not_equal(response.outputs[0].items, x.items);
    }
    mm_response_free(&response);
    fixture_close(&f);
}

static void test_strings_come_back(void **state) {
    (void)state;
    char text[] = "onethree\0x";
    uint64_t offsets[] = {0, 3, 3, 10}, none[] = {0};
    mm_value strings = {
        .dtype = MM_STRING, .rank = 1, .shape = {3}, .data = text, .bytes = 10, .offsets = offsets};
    check_echo_of("io string\n", strings);
    mm_value empty = {.dtype = MM_STRING, .rank = 1, .shape = {0}, .offsets = none};
    check_echo_of("io string\n", empty);
}

static void test_sequences_come_back(void **state) {
    (void)state;
    mm_value items[] = {tensor(NULL, x_data, 2, 3), tensor(NULL, x_data, 1, 1),
                        tensor(NULL, NULL, 0, 5)};
    check_echo_of("io sequence\n",
                  (mm_value){.kind = MM_SEQUENCE, .items = items, .item_count = 3});
    check_echo_of("io sequence\n", (mm_value){.kind = MM_SEQUENCE});
}

static void test_optionals_come_back(void **state) {
    (void)state;
    mm_value item = tensor(NULL, x_data, 2, 3);
    check_echo_of("io optional\n",
                  (mm_value){.kind = MM_OPTIONAL, .items = &item, .item_count = 1});
    check_echo_of("io optional\n", (mm_value){.kind = MM_OPTIONAL});
}

static void test_maps_come_back(void **state) {
    (void)state;
    int64_t keys[] = {7, -1};
    char names[] = "ab";
    uint64_t offsets[] = {0, 1, 2};
    mm_value values[] = {tensor(NULL, x_data, 1, 3), tensor(NULL, x_data, 3, 2)};
    mm_value by_number[] = {
        {.dtype = MM_I64, .rank = 1, .shape = {2}, .data = keys, .bytes = sizeof(keys)},
        tensor(NULL, x_data, 2, 3)};
    mm_value by_name[] = {{.dtype = MM_STRING,
                           .rank = 1,
                           .shape = {2},
                           .data = names,
                           .bytes = 2,
                           .offsets = offsets},
                          {.kind = MM_SEQUENCE, .items = values, .item_count = 2}};
    check_echo_of("io map\n", (mm_value){.kind = MM_MAP, .items = by_number, .item_count = 2});
    check_echo_of("io map\n", (mm_value){.kind = MM_MAP, .items = by_name, .item_count = 2});
}

/* An optional input that a request leaves out is an absent one. */
static void test_an_optional_input_may_be_left_out(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "io optional\n");
    mm_model strict = fixture_echo(&f, "strict", "io tensor\n");
    mm_request request = request_of(NULL, 0);
    mm_response response = MM_RESPONSE_INIT;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_int_equal(response.outputs[0].kind, MM_OPTIONAL);
    assert_int_equal(response.outputs[0].item_count, 0);
    mm_response_free(&response);
    assert_status(&f, infer(&f, strict, &request, &response), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(f.err.text, "x"));
    fixture_close(&f);
}

/* "For strings `offsets` must be there too, with room for item_count entries (the need comes back
 * there)" */
static void test_strings_in_the_callers_buffers(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "io string\n");
    char text[] = "abcdef", got[8] = "#######";
    uint64_t offsets[] = {0, 2, 2, 6}, entries[8] = {99, 99, 99, 99, 99};
    mm_value x = {.name = "x",
                  .dtype = MM_STRING,
                  .rank = 1,
                  .shape = {3},
                  .data = text,
                  .bytes = 6,
                  .offsets = offsets};
    mm_request request = request_of(&x, 1);
    mm_value outputs[2] = {{.data = got, .bytes = 8, .offsets = entries, .item_count = 3}};
    mm_response response = MM_RESPONSE_INIT;
    response.outputs = outputs;
    response.output_capacity = 2;
    for (int small = 0; small < 2; small++) { /* the offsets, then the text */
        assert_status(&f, infer(&f, model, &request, &response), MM_BUFFER_TOO_SMALL);
        assert_int_equal(outputs[0].bytes, 6);
        assert_int_equal(outputs[0].item_count, 4);
        assert_string_equal(got, "#######");
        assert_int_equal(entries[0], 99);
        outputs[0].bytes = 5;
    }
    outputs[0].bytes = 7;
    outputs[0].item_count = 8;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_ptr_equal(outputs[0].data, got);
    assert_ptr_equal(outputs[0].offsets, entries);
    assert_value_equal(&x, &outputs[0]);
    assert_string_equal(got, "abcdef#");
    assert_int_equal(entries[4], 99);
    mm_response_free(&response);
    outputs[0] = (mm_value){.data = got, .bytes = sizeof(got)}; /* no offsets */
    assert_status(&f, infer(&f, model, &request, &response), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(f.err.text, "offsets"));
    fixture_close(&f);
}

/* "sequences, optionals and maps are always the library's" */
static void test_a_sequence_is_always_the_librarys(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    mm_model model = fixture_echo(&f, "m", "io sequence\n");
    mm_value item = tensor(NULL, x_data, 2, 3);
    mm_value x = {.name = "x", .kind = MM_SEQUENCE, .items = &item, .item_count = 1};
    mm_request request = request_of(&x, 1);
    char unused[4] = "###";
    mm_value outputs[2] = {{.data = unused, .bytes = sizeof(unused)}};
    mm_response response = MM_RESPONSE_INIT;
    response.outputs = outputs;
    response.output_capacity = 2;
    assert_ok(&f, infer(&f, model, &request, &response));
    assert_value_equal(&x, &outputs[0]);
    assert_true(outputs[0].flags & MM_VALUE_OWNED);
    assert_string_equal(unused, "###");
    mm_response_free(&response);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callers_buffer_when_the_size_is_exact),
        cmocka_unit_test(test_callers_buffer_when_the_size_is_bound),
        cmocka_unit_test(test_callers_buffer_when_the_size_is_unknown),
        cmocka_unit_test(test_too_small_tells_every_need_when_exact),
        cmocka_unit_test(test_too_small_tells_every_need_when_unknown),
        cmocka_unit_test(test_owned_outputs_outlive_instance_and_mesh),
        cmocka_unit_test(test_a_request_may_name_a_subset_of_outputs),
        cmocka_unit_test(test_output_bytes_is_exact_bound_or_unknown),
        cmocka_unit_test(test_output_bytes_follows_a_shape_input),
        cmocka_unit_test(test_strings_come_back),
        cmocka_unit_test(test_sequences_come_back),
        cmocka_unit_test(test_optionals_come_back),
        cmocka_unit_test(test_maps_come_back),
        cmocka_unit_test(test_an_optional_input_may_be_left_out),
        cmocka_unit_test(test_strings_in_the_callers_buffers),
        cmocka_unit_test(test_a_sequence_is_always_the_librarys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
