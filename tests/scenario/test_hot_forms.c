/* SPDX-License-Identifier: Apache-2.0 */
/* Every form that a request to a resident model may have: once warm, no allocation and no lock. */
#include "scene.h"

#include <backends/onnx/model_writer.h>

#include <base/thread.h>

#include <stdio.h>
#include <string.h>

#define OUTPUTS 3
#define WARM 10
#define HITS 100

enum names { ALL, FIRST, LAST, NAMES };                 /* outputs that the request names */
enum place { CALLERS, ARRAY, LIBRARYS, MIXED, PLACES }; /* whose memory they get */
enum until { EVER, NO_WAIT, DEADLINE, UNTILS };

struct form {
    bool bound;
    enum names names;
    enum place place;
    enum until until;
};

/* A model, its inputs and what it answers. */
struct subject {
    struct fixture f;
    const char *what;
    mm_model model;
    mm_value in[2];
    uint32_t in_count;
    const char *outputs[OUTPUTS];
    uint32_t out_count;
    uint8_t answers[OUTPUTS][256];
    uint64_t answer_bytes[OUTPUTS];
};

struct buffers {
    mm_value values[OUTPUTS];
    uint8_t data[OUTPUTS][256];
    uint64_t offsets[OUTPUTS][8];
};

static uint32_t first_of(const struct subject *subject, const struct form *form) {
    return form->names == LAST ? subject->out_count - 1 : 0;
}

static uint32_t count_of(const struct subject *subject, const struct form *form) {
    return form->names == ALL ? subject->out_count : 1;
}

/* ---- One form -------------------------------------------------------------------------------- */

static mm_binding *bind(struct subject *subject, const struct form *form) {
    const char *inputs[2] = {subject->in[0].name, subject->in[1].name};
    uint32_t named = form->names == ALL ? 0 : 1;
    mm_binding *binding = NULL;
    assert_int_equal(mm_bind(subject->f.mesh, subject->model, inputs, subject->in_count,
                             subject->outputs + first_of(subject, form), named, &binding,
                             &subject->f.err),
                     MM_OK);
    return binding;
}

static mm_request request_of(struct subject *subject, const struct form *form,
                             mm_binding *binding) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = subject->in;
    request.input_count = subject->in_count;
    request.binding = binding;
    if (!binding && form->names != ALL) {
        request.outputs = subject->outputs + first_of(subject, form);
        request.output_count = 1;
    }
    request.deadline_ns = form->until == NO_WAIT    ? MM_NO_WAIT
                          : form->until == DEADLINE ? fixture_after(&subject->f, 1000 * MS)
                                                    : 0;
    return request;
}

static void give_buffers(struct buffers *buffers, const struct form *form, mm_response *response) {
    if (form->place == ARRAY) {
        return;
    }
    response->outputs = buffers->values;
    response->output_capacity = OUTPUTS;
    for (uint32_t i = 0; i < OUTPUTS; i++) {
        buffers->values[i] = (mm_value){0};
        if (form->place == CALLERS || (form->place == MIXED && i % 2 == 1)) {
            buffers->values[i] = (mm_value){.data = buffers->data[i],
                                            .bytes = sizeof(buffers->data[i]),
                                            .offsets = buffers->offsets[i],
                                            .item_count = 8};
        }
    }
}

static bool is_answer(const struct subject *subject, const struct form *form,
                      const mm_response *response) {
    bool good = response->output_count == count_of(subject, form);
    for (uint32_t k = 0; good && k < response->output_count; k++) {
        const mm_value *value = &response->outputs[k];
        uint32_t i = first_of(subject, form) + k;
        good = value->kind != MM_TENSOR ||
               (value->bytes == subject->answer_bytes[i] &&
                memcmp(value->data, subject->answers[i], (size_t)value->bytes) == 0);
    }
    return good;
}

static bool hit(struct subject *subject, const struct form *form, const mm_request *request) {
    struct buffers buffers;
    mm_response response = MM_RESPONSE_INIT;
    give_buffers(&buffers, form, &response);
    bool good =
        mm_infer(subject->f.mesh, subject->model, request, &response, &subject->f.err) == MM_OK &&
        response.flags & MM_RESPONSE_HIT && is_answer(subject, form, &response);
    mm_response_free(&response);
    return good;
}

static void check_form(struct subject *subject, const struct form *form) {
    mm_binding *binding = form->bound ? bind(subject, form) : NULL;
    mm_request request = request_of(subject, form, binding);
    unsigned good = 0;
    for (int i = 0; i < WARM; i++) {
        good += hit(subject, form, &request);
    }
    uint64_t allocations = world_allocations(&subject->f.world);
    uint32_t locks = mmi_tls()->locks_taken;
    for (int i = 0; i < HITS; i++) {
        good += hit(subject, form, &request);
    }
    locks = mmi_tls()->locks_taken - locks;
    allocations = world_allocations(&subject->f.world) - allocations;
    if (good != WARM + HITS || locks > 0 || allocations > 0) {
        fail_msg("%s (bound %d, names %d, place %d, until %d): %u good, %u locks, %u allocations: "
                 "%s",
                 subject->what, form->bound, (int)form->names, (int)form->place, (int)form->until,
                 good, locks, (unsigned)allocations, subject->f.err.text);
    }
    mm_binding_free(binding);
}

/* ---- All forms ------------------------------------------------------------------------------- */

/* Loads the model, and keeps its answers. */
static void learn(struct subject *subject) {
    struct form form = {.names = ALL, .place = ARRAY};
    mm_request request = request_of(subject, &form, NULL);
    mm_response response = MM_RESPONSE_INIT;
    if (mm_infer(subject->f.mesh, subject->model, &request, &response, &subject->f.err) != MM_OK) {
        fail_msg("%s: %s", subject->what, subject->f.err.text);
    }
    subject->out_count = response.output_count;
    for (uint32_t i = 0; i < response.output_count; i++) {
        const mm_value *value = &response.outputs[i];
        subject->answer_bytes[i] = value->bytes;
        assert_true(value->bytes <= sizeof(subject->answers[i]));
        if (value->kind == MM_TENSOR && value->bytes > 0) {
            memcpy(subject->answers[i], value->data, (size_t)value->bytes);
        }
    }
    mm_response_free(&response);
}

static void check_all(struct subject *subject) {
    learn(subject);
    for (int i = 0; i < 2 * NAMES * PLACES * UNTILS; i++) {
        struct form form = {.bound = i % 2,
                            .names = (enum names)(i / 2 % NAMES),
                            .place = (enum place)(i / (2 * NAMES) % PLACES),
                            .until = (enum until)(i / (2 * NAMES * PLACES))};
        check_form(subject, &form);
    }
    fixture_close(&subject->f);
}

static float numbers[8] = {1, -2, 3, -4, 5, -6, 7, -8};

static mm_value tensor(const char *name) {
    return (mm_value){.name = name,
                      .dtype = MM_F32,
                      .rank = 2,
                      .shape = {2, 4},
                      .data = numbers,
                      .bytes = sizeof(numbers)};
}

static void open_echo(struct subject *subject, const char *backend, const char *lines) {
    *subject = (struct subject){.what = lines, .outputs = {"y", "z"}};
    fixture_open(&subject->f, NULL);
    mm_model_spec spec = fixture_spec(&subject->f, "m", backend, lines);
    assert_int_equal(mm_register(subject->f.mesh, &spec, &subject->model, &subject->f.err), MM_OK);
}

static void test_tensors(void **state) {
    (void)state;
    static const char *const lines[] = {"weights_bytes 64k\nseed 1\n",
                                        "weights_bytes 64k\nactivation_bytes 100k\nseed 1\n",
                                        "weights_bytes 64k\noutputs bound\nseed 1\n",
                                        "weights_bytes 64k\noutputs unknown\nseed 1\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct subject subject;
        open_echo(&subject, "echo", lines[i]);
        subject.in[0] = tensor("x");
        subject.in_count = 1;
        check_all(&subject);
    }
}

static void test_two_tensors(void **state) {
    (void)state;
    struct subject subject;
    open_echo(&subject, "echo", "weights_bytes 64k\nio two\nseed 1\n");
    subject.in[0] = tensor("x");
    subject.in[1] = tensor("x2");
    subject.in_count = 2;
    subject.outputs[1] = "y2";
    subject.outputs[2] = "z";
    check_all(&subject);
}

static void test_strings(void **state) {
    (void)state;
    struct subject subject;
    static char text[] = "onetwothree";
    static uint64_t offsets[] = {0, 3, 6, 11, 11};
    open_echo(&subject, "echo", "weights_bytes 64k\nio string\nseed 1\n");
    subject.in[0] = (mm_value){.name = "x",
                               .dtype = MM_STRING,
                               .rank = 1,
                               .shape = {4},
                               .data = text,
                               .bytes = 11,
                               .offsets = offsets};
    subject.in_count = 1;
    check_all(&subject);
}

/* Given, and left out. */
static void test_optional_inputs(void **state) {
    (void)state;
    for (uint32_t given = 0; given < 2; given++) {
        struct subject subject;
        open_echo(&subject, "echo", "weights_bytes 64k\nio optional\nseed 1\n");
        mm_value item = tensor(NULL);
        subject.in[0] = (mm_value){
            .name = "x", .kind = MM_OPTIONAL, .dtype = MM_F32, .items = &item, .item_count = 1};
        subject.in_count = given;
        check_all(&subject);
    }
}

/* ---- From inside a run ----------------------------------------------------------------------- */

struct inner {
    struct subject *subject;
    mm_model model;
    unsigned failed;
};

static mm_status infer_inner(void *user) {
    struct inner *inner = user;
    mm_value in = tensor("x");
    const char *wanted[] = {"z"};
    mm_request request = MM_REQUEST_INIT;
    request.inputs = &in;
    request.input_count = 1;
    request.outputs = wanted;
    request.output_count = 1;
    mm_response response = MM_RESPONSE_INIT;
    mm_status status = mm_infer(inner->subject->f.mesh, inner->model, &request, &response, NULL);
    inner->failed += status != MM_OK;
    mm_response_free(&response);
    return MM_OK;
}

static void test_nested(void **state) {
    (void)state;
    struct subject subject;
    open_echo(&subject, "gated-nested", "weights_bytes 64k\nactivation_bytes 64k\nseed 1\n");
    subject.in[0] = tensor("x");
    subject.in_count = 1;
    struct inner inner = {.subject = &subject};
    inner.model =
        fixture_add(&subject.f, "inner", "weights_bytes 64k\nactivation_bytes 64k\nseed 2\n");
    assert_int_equal(scene_seed(&subject.f, inner.model), 2);
    subject.f.gate.user = &inner;
    subject.f.gate.inside = infer_inner;
    check_all(&subject);
    assert_int_equal(inner.failed, 0);
}

/* ---- ONNX ------------------------------------------------------------------------------------ */

/* Steps write every output, so that one which is not wanted needs room. */
static void test_onnx(void **state) {
    (void)state;
    struct writer w;
    writer_init(&w, 17);
    writer_input(&w, "x", MM_F32, "batch 4");
    writer_node(&w, "Relu", "x", "y", "");
    writer_node(&w, "Softmax", "y", "s", "axis=-1");
    writer_node(&w, "Neg", "x", "z", "");
    writer_output(&w, "y", MM_F32, "batch 4");
    writer_output(&w, "s", MM_F32, "batch 4");
    writer_output(&w, "z", MM_F32, "batch 4");
    writer_end(&w);
    struct subject subject = {.what = "onnx", .outputs = {"y", "s", "z"}, .in_count = 1};
    subject.in[0] = tensor("x");
    fixture_open(&subject.f, NULL);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.data = w.bytes;
    spec.data_bytes = w.count;
    spec.backend = "onnx";
    assert_int_equal(mm_register(subject.f.mesh, &spec, &subject.model, &subject.f.err), MM_OK);
    check_all(&subject);
    writer_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors), cmocka_unit_test(test_two_tensors),
        cmocka_unit_test(test_strings), cmocka_unit_test(test_optional_inputs),
        cmocka_unit_test(test_nested),  cmocka_unit_test(test_onnx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
