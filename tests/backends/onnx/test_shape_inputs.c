/* SPDX-License-Identifier: Apache-2.0 */

/* Inputs whose elements decide shapes, of any length, by the public calls: the right answer where
 * there is one, else a status with a sentence. */

#include "model_writer.h"

#include <modelmesh/modelmesh.h>

#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

/* ---- A mesh with one model */

struct served {
    mm_mesh *mesh;
    mm_model model;
    struct writer writer; /* its bytes */
    mm_error err;
    mm_response response;
};

static void serve(struct served *s) {
    mm_device_options host = MM_DEVICE_OPTIONS_INIT;
    host.name = "host";
    host.budget_bytes = 256 * MIB;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = &host;
    options.device_count = 1;
    options.compute_threads = 1;
    assert_int_equal(mm_mesh_create(&options, &s->mesh, NULL), MM_OK);
    writer_end(&s->writer);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.data = s->writer.bytes;
    spec.data_bytes = s->writer.count;
    spec.backend = "onnx";
    assert_int_equal(mm_register(s->mesh, &spec, &s->model, NULL), MM_OK);
    s->response = (mm_response)MM_RESPONSE_INIT;
}

static void serve_end(struct served *s) {
    mm_response_free(&s->response);
    assert_int_equal(mm_mesh_free(&s->mesh), MM_OK);
    writer_fini(&s->writer);
}

static mm_status infer(struct served *s, const mm_value *inputs, uint32_t count) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs;
    request.input_count = count;
    mm_response_free(&s->response);
    s->response = (mm_response)MM_RESPONSE_INIT;
    memset(&s->err, 0, sizeof(s->err));
    return mm_infer(s->mesh, s->model, &request, &s->response, &s->err);
}

static void must_answer(struct served *s, const mm_value *inputs, uint32_t count) {
    mm_status status = infer(s, inputs, count);
    if (status != MM_OK) {
        fail_msg("%s: %s", mm_status_name(status), s->err.text);
    }
}

static mm_value tensor(const char *name, int32_t dtype, uint32_t rank, const int64_t *shape,
                       const void *data) {
    mm_value value = {.name = name, .dtype = dtype, .rank = rank, .data = (void *)(uintptr_t)data};
    memcpy(value.shape, shape, rank * sizeof(*shape));
    value.bytes = mm_dtype_bytes(dtype, mm_shape_elements(rank, shape));
    return value;
}

static mm_value list(const char *name, const int64_t *numbers, int64_t count) {
    return tensor(name, MM_I64, 1, &count, numbers);
}

static void assert_shape(const struct served *s, uint32_t rank, const int64_t *shape) {
    const mm_value *y = &s->response.outputs[0];
    assert_int_equal(y->rank, rank);
    assert_memory_equal(y->shape, shape, rank * sizeof(*shape));
}

/* ---- Every length */

static const int64_t lengths[] = {0, 1, 2, 7, 8, 9, 10, 16, 17, 100, 10000, 1 << 17};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

/* A node whose last input is s; x has 256 elements along its first axis, and `axes` axes. */
struct one_case {
    const char *type, *inputs;
    uint32_t axes;                  /* of x; 0: it has no x */
    bool (*answers)(int64_t count); /* for s with so many elements, `number` each */
    int64_t number;
};

static bool answers_rank(int64_t count) { /* as many axes as elements */
    return count <= MM_MAX_RANK;
}
static bool answers_one(int64_t count) {
    return count == 1;
}
static bool answers_one_or_none(int64_t count) {
    return count <= 1;
}
static bool answers_two(int64_t count) {
    return count == 2;
}
static bool answers_eight(int64_t count) {
    return count == 8;
}
static bool answers_ten(int64_t count) {
    return count == 10;
}

static const struct one_case cases[] = {
    {"Expand", "x s", 1, answers_rank, 1},
    {"ConstantOfShape", "s", 0, answers_rank, 2},
    {"Tile", "x s", 1, answers_one, 2},
    {"Tile", "x s", 8, answers_eight, 1},
    {"Reshape", "x s", 1, answers_one, -1},
    {"Pad", "x s", 1, answers_two, 1},
    {"Pad", "x s", 5, answers_ten, 1},
    {"Resize", "x - - s", 2, answers_two, 3},
    {"Unsqueeze", "x s", 1, answers_one_or_none, 0},
    {"Squeeze", "x s", 2, answers_one_or_none, 1},
    {"Slice", "x s s", 1, answers_one_or_none, 1},
    {"Slice", "x s s s", 2, answers_one_or_none, 1},
    {"Slice", "x s s s s", 8, answers_one_or_none, 1},
    {"Split", "x s", 1, answers_one, 256},
    {"ReduceSum", "x s", 2, NULL, 1}, /* any axis may be named more than once */
    {"Range", "s s s", 0, NULL, 1},
    {"OneHot", "i s v", 0, NULL, 4},
    {"Trilu", "x s", 2, NULL, 0},
};

static void write_case(const struct one_case *one, struct writer *w) {
    static const char *const shapes[] = {
        "", "?", "? ?", "", "", "? ? ? ? ?", "", "", "? ? ? ? ? ? ? ?"};
    writer_init(w, 18);
    if (one->axes > 0) {
        writer_input(w, "x", MM_F32, shapes[one->axes]);
    }
    writer_input(w, "s", MM_I64, "?");
    writer_constant(w, "i", MM_I64, "2", (const int64_t[]){0, 1});
    writer_constant(w, "v", MM_F32, "2", (const float[]){0, 1});
    writer_node(w, one->type, one->inputs, "y", "");
    writer_output(w, "y", MM_F32, NULL);
}

static void check_case(const struct one_case *one) {
    struct served s = {0};
    static const float x[256];
    const int64_t x_shape[MM_MAX_RANK] = {256, 1, 1, 1, 1, 1, 1, 1};
    write_case(one, &s.writer);
    serve(&s);
    for (size_t i = 0; i < LENGTHS; i++) {
        int64_t *numbers = malloc((size_t)lengths[i] * sizeof(*numbers) + 1);
        for (int64_t k = 0; k < lengths[i]; k++) {
            numbers[k] = one->number;
        }
        mm_value inputs[2] = {list("s", numbers, lengths[i]),
                              tensor("x", MM_F32, one->axes, x_shape, x)};
        mm_status status = infer(&s, inputs, one->axes > 0 ? 2 : 1);
        if (one->answers && one->answers(lengths[i]) != (status == MM_OK)) {
            fail_msg("%s with %lld: %s: %s", one->type, (long long)lengths[i],
                     mm_status_name(status), s.err.text);
        }
        if (status != MM_OK) {
            assert_true(status == MM_UNSUPPORTED || status == MM_INVALID_MODEL);
            assert_int_equal(s.err.status, status);
            assert_non_null(strstr(s.err.text, one->type));
        }
        free(numbers);
    }
    serve_end(&s);
}

static void test_every_operator_with_every_length(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_case(&cases[i]);
    }
}

/* ---- Reshape: up to the most axes that there are */

static void check_reshape(struct served *s, const float *x, int64_t count) {
    int64_t *shape = malloc((size_t)count * sizeof(*shape));
    for (int64_t i = 0; i < count; i++) {
        shape[i] = count == 1 ? 256 : i < 8 ? 2 : 1;
    }
    mm_value inputs[2] = {tensor("x", MM_F32, 1, (const int64_t[]){256}, x),
                          list("s", shape, count)};
    mm_status status = infer(s, inputs, 2);
    if (count == 1 || count == 8) {
        assert_int_equal(status, MM_OK);
        assert_shape(s, (uint32_t)count, shape);
        assert_memory_equal(s->response.outputs[0].data, x, 256 * sizeof(*x));
    } else {
        assert_int_equal(status, MM_UNSUPPORTED);
        assert_non_null(strstr(s->err.text, count <= 16 ? "a tensor of 9 axes, at most 8"
                                                        : "numbers, at most 16"));
    }
    free(shape);
}

static void test_reshape(void **state) {
    (void)state;
    struct served s = {0};
    float x[256];
    for (int i = 0; i < 256; i++) {
        x[i] = (float)i;
    }
    writer_init(&s.writer, 17);
    writer_input(&s.writer, "x", MM_F32, "?");
    writer_input(&s.writer, "s", MM_I64, "?");
    writer_node(&s.writer, "Reshape", "x s", "y", "");
    writer_output(&s.writer, "y", MM_F32, NULL);
    serve(&s);
    static const int64_t counts[] = {1, 8, 9, 100, 10000, 1 << 17, 8, 1};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        check_reshape(&s, x, counts[i]);
    }
    serve_end(&s);
}

/* ---- A mask made from lengths: as many as there are rows */

static void write_mask(struct writer *w) {
    writer_init(w, 17);
    writer_input(w, "lengths", MM_I64, "B");
    writer_constant(w, "zero", MM_I64, "", (const int64_t[]){0});
    writer_constant(w, "one", MM_I64, "", (const int64_t[]){1});
    writer_constant(w, "last", MM_I64, "1", (const int64_t[]){1});
    writer_node(w, "ReduceMax", "lengths", "most", "keepdims=0");
    writer_node(w, "Cast", "lengths", "narrow", "to=6"); /* what is computed of it is known too */
    writer_node(w, "ReduceMin", "narrow", "least", "keepdims=0");
    writer_node(w, "Cast", "least", "wide", "to=7");
    writer_node(w, "Range", "wide most one", "places", "");
    writer_node(w, "Unsqueeze", "lengths last", "rows", "");
    writer_node(w, "Less", "places rows", "mask", "");
    writer_output(w, "mask", MM_BOOL, NULL);
}

/* mask[i][k] = least + k < lengths[i] */
static void check_mask(struct served *s, const int64_t *rows, int64_t count) {
    mm_value input = list("lengths", rows, count);
    int64_t least = rows[0], most = rows[0];
    must_answer(s, &input, 1);
    for (int64_t i = 0; i < count; i++) {
        least = rows[i] < least ? rows[i] : least;
        most = rows[i] > most ? rows[i] : most;
    }
    assert_shape(s, 2, (const int64_t[]){count, most - least});
    const uint8_t *mask = s->response.outputs[0].data;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < most - least; k++) {
            assert_int_equal(mask[i * (most - least) + k], least + k < rows[i]);
        }
    }
}

static void test_a_mask_of_any_number_of_rows(void **state) {
    (void)state;
    static const int64_t counts[] = {1, 2, 8, 9, 100, 10000, 1 << 17};
    struct served s = {0};
    write_mask(&s.writer);
    serve(&s);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        int64_t count = counts[i];
        int64_t *rows = malloc((size_t)count * sizeof(*rows));
        for (int64_t k = 0; k < count; k++) {
            rows[k] = 2 + k % 5;
        }
        check_mask(&s, rows, count);
        check_mask(&s, rows, count); /* the same once more */
        rows[count - 1] += 9;        /* and what differs in the last element only */
        check_mask(&s, rows, count);
        free(rows);
    }
    serve_end(&s);
}

/* ---- Pads and slices of all axes there can be: two numbers for each */

static void test_pads_of_many_axes(void **state) {
    (void)state;
    struct served s = {0};
    writer_init(&s.writer, 17);
    writer_input(&s.writer, "x", MM_F32, "? ? ? ? ? ? ? ?");
    writer_input(&s.writer, "p", MM_I64, "16");
    writer_node(&s.writer, "Pad", "x p", "y", "");
    writer_output(&s.writer, "y", MM_F32, NULL);
    serve(&s);
    const int64_t shape[8] = {1, 1, 1, 1, 1, 1, 1, 2};
    const float x[2] = {3, 4};
    int64_t pads[16] = {[0] = 1, [15] = 2};
    mm_value inputs[2] = {tensor("x", MM_F32, 8, shape, x), list("p", pads, 16)};
    must_answer(&s, inputs, 2);
    assert_shape(&s, 8, (const int64_t[]){2, 1, 1, 1, 1, 1, 1, 4});
    const float wanted[8] = {0, 0, 0, 0, 3, 4, 0, 0};
    assert_memory_equal(s.response.outputs[0].data, wanted, sizeof(wanted));
    serve_end(&s);
}

static void test_slices_of_many_axes(void **state) {
    (void)state;
    struct served s = {0};
    writer_init(&s.writer, 17);
    writer_input(&s.writer, "x", MM_F32, "? ? ? ? ? ? ? ?");
    writer_input(&s.writer, "starts", MM_I64, "?");
    writer_input(&s.writer, "ends", MM_I64, "?");
    writer_node(&s.writer, "Slice", "x starts ends", "y", "");
    writer_output(&s.writer, "y", MM_F32, NULL);
    serve(&s);
    const int64_t shape[8] = {1, 1, 1, 1, 1, 1, 1, 4};
    const float x[4] = {3, 4, 5, 6};
    int64_t starts[9] = {0, 0, 0, 0, 0, 0, 0, 1, 0}, ends[9] = {1, 1, 1, 1, 1, 1, 1, 3, 1};
    mm_value inputs[3] = {tensor("x", MM_F32, 8, shape, x), list("starts", starts, 8),
                          list("ends", ends, 8)};
    must_answer(&s, inputs, 3);
    assert_shape(&s, 8, (const int64_t[]){1, 1, 1, 1, 1, 1, 1, 2});
    assert_memory_equal(s.response.outputs[0].data, &x[1], 2 * sizeof(*x));
    inputs[1] = list("starts", starts, 9);
    inputs[2] = list("ends", ends, 9);
    assert_int_equal(infer(&s, inputs, 3), MM_INVALID_MODEL);
    assert_non_null(strstr(s.err.text, "9 starts, 9 ends"));
    serve_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operator_with_every_length),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_a_mask_of_any_number_of_rows),
        cmocka_unit_test(test_pads_of_many_axes),
        cmocka_unit_test(test_slices_of_many_axes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
