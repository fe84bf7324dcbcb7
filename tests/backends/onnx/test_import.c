/* SPDX-License-Identifier: Apache-2.0 */

/* What files have beside nodes of new opsets: functions, sparse tensors, inputs with a default,
 * old opsets. By the public calls. */

#include "model_writer.h"

#include <modelmesh/modelmesh.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A mesh with one model ------------------------------------------------------------------- */

struct served {
    mm_mesh *mesh;
    mm_model model;
    struct writer w;
    mm_error err;
    mm_response response;
};

/* The model that was written, with its graph closed. */
static void serve(struct served *s) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.compute_threads = 1;
    assert_int_equal(mm_mesh_create(&options, &s->mesh, NULL), MM_OK);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "m";
    spec.data = s->w.bytes;
    spec.data_bytes = s->w.count;
    assert_int_equal(mm_register(s->mesh, &spec, &s->model, NULL), MM_OK);
    s->response = (mm_response)MM_RESPONSE_INIT;
}

static mm_status infer(struct served *s, const mm_value *inputs, uint32_t count) {
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs;
    request.input_count = count;
    mm_response_free(&s->response);
    s->response = (mm_response)MM_RESPONSE_INIT;
    s->err = (mm_error){0};
    return mm_infer(s->mesh, s->model, &request, &s->response, &s->err);
}

static void serve_end(struct served *s) {
    mm_response_free(&s->response);
    assert_int_equal(mm_mesh_free(&s->mesh), MM_OK);
    writer_fini(&s->w);
}

static mm_value tensor(const char *name, int64_t rows, int64_t columns, const float *data) {
    mm_value value = {.name = name,
                      .dtype = MM_F32,
                      .rank = rows > 0 ? 2 : 1,
                      .shape = {rows > 0 ? rows : columns, columns},
                      .data = (void *)(uintptr_t)data,
                      .bytes = sizeof(float) * (uint64_t)(columns * (rows > 0 ? rows : 1))};
    return value;
}

static void expect(struct served *s, const mm_value *inputs, uint32_t count, const float *numbers,
                   uint64_t elements) {
    mm_status status = infer(s, inputs, count);
    if (status != MM_OK) {
        fail_msg("%s: %s", mm_status_name(status), s->err.text);
    }
    const mm_value *y = &s->response.outputs[0];
    const float *got = y->data;
    assert_int_equal(y->bytes, elements * sizeof(float));
    for (uint64_t i = 0; i < elements; i++) {
        if (got[i] != numbers[i]) {
            fail_msg("element %u: %g, %g wanted", (unsigned)i, (double)got[i], (double)numbers[i]);
        }
    }
}

static void refuse(struct served *s, mm_status status, const char *text) {
    const float ones[4] = {1, 1, 1, 1};
    mm_value x = tensor("x", 0, 4, ones);
    serve(s);
    assert_int_equal(infer(s, &x, 1), status);
    if (!strstr(s->err.text, text)) {
        fail_msg("'%s'; '%s' wanted", s->err.text, text);
    }
    serve_end(s);
}

/* ---- Functions ------------------------------------------------------------------------------- */

/* A function's node; attribute: "alpha=beta": alpha is the call's beta. */
static void function_node(struct writer *w, const char *domain, const char *type,
                          const char *inputs, const char *output, const char *attribute) {
    char words[64];
    writer_open(w, 7);
    snprintf(words, sizeof(words), "%s", inputs);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        writer_text(w, 1, strcmp(word, "-") == 0 ? "" : word);
    }
    writer_text(w, 2, output);
    writer_text(w, 4, type);
    writer_text(w, 7, domain);
    if (attribute) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(attribute, "="), attribute);
        writer_open(w, 5);
        writer_text(w, 1, name);
        writer_varint(w, 20, 1);
        writer_text(w, 21, strchr(attribute, '=') + 1);
        writer_close(w);
    }
    writer_close(w);
}

static void function_begin(struct writer *w, const char *name, const char *inputs,
                           const char *output, int64_t opset) {
    char words[64];
    writer_open(w, 25);
    writer_text(w, 1, name);
    snprintf(words, sizeof(words), "%s", inputs);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        writer_text(w, 4, word);
    }
    writer_text(w, 5, output);
    writer_text(w, 10, "my");
    writer_open(w, 9);
    writer_varint(w, 2, (uint64_t)opset);
    writer_close(w);
}

/* my.Slope(x, bias?) = LeakyRelu(x, alpha = slope, or 0.5) + bias; names as the caller's graph has
 * them, too. */
static void write_slope(struct writer *w) {
    function_begin(w, "Slope", "x b", "y", 16);
    writer_text(w, 6, "slope");
    writer_text(w, 6, "none");
    writer_open(w, 11);
    writer_text(w, 1, "steep");
    writer_varint(w, 20, 1);
    writer_float(w, 2, 0.5F);
    writer_close(w);
    function_node(w, "", "LeakyRelu", "x", "t", "alpha=slope");
    function_node(w, "", "LeakyRelu", "t", "u", "alpha=steep");
    function_node(w, "", "LeakyRelu", "u", "v", "alpha=none"); /* as if it were not there: 0.01 */
    function_node(w, "", "Sum", "v b", "y", NULL);
    writer_close(w);
}

static void functions(void **state) {
    (void)state;
    struct served s;
    writer_init(&s.w, 20);
    writer_input(&s.w, "x", MM_F32, "4");
    writer_node(&s.w, "Twice", "x x", "t", "slope=0.25");
    writer_node_domain(&s.w, "my");
    writer_node(&s.w, "Neg", "t", "y", "");
    writer_output(&s.w, "y", MM_F32, NULL);
    writer_end(&s.w);
    write_slope(&s.w);
    /* Twice(x, b) = Slope(Slope(x, b; slope, steep), b; slope) */
    function_begin(&s.w, "Twice", "x b", "z", 20);
    writer_text(&s.w, 6, "slope");
    function_node(&s.w, "my", "Slope", "x b", "t", "slope=slope");
    function_node(&s.w, "my", "Slope", "t b", "z", "slope=slope");
    writer_close(&s.w);
    serve(&s);
    const float x[4] = {-800, -8, 0, 4};
    float wanted[4];
    for (int i = 0; i < 4; i++) {
        float y = x[i];
        for (int k = 0; k < 2; k++) {
            y = (y < 0 ? y * 0.25F * 0.5F * 0.01F : y) + x[i];
        }
        wanted[i] = -y;
    }
    mm_value input = tensor("x", 0, 4, x);
    expect(&s, &input, 1, wanted, 4);
    assert_string_equal(s.response.outputs[0].name, "y");
    serve_end(&s);
}

/* An output that is an input, one that is made, a left out input, in an opset of its own. */
static void function_ends(void **state) {
    (void)state;
    struct served s;
    writer_init(&s.w, 20);
    writer_input(&s.w, "x", MM_F32, "4");
    writer_node(&s.w, "Low", "x", "same low", "");
    writer_node_domain(&s.w, "my");
    writer_output(&s.w, "low", MM_F32, NULL);
    writer_output(&s.w, "same", MM_F32, NULL);
    writer_end(&s.w);
    function_begin(&s.w, "Low", "x least", "x", 13);
    writer_text(&s.w, 5, "r");
    function_node(&s.w, "", "Clip", "x least x3", "r", NULL);
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "function 'Low': Clip node that makes 'r': offset");

    writer_init(&s.w, 20);
    writer_input(&s.w, "x", MM_F32, "4");
    writer_node(&s.w, "Low", "x", "same low", "");
    writer_node_domain(&s.w, "my");
    writer_output(&s.w, "low", MM_F32, NULL);
    writer_output(&s.w, "same", MM_F32, NULL);
    writer_end(&s.w);
    function_begin(&s.w, "Low", "x least", "x", 13);
    writer_text(&s.w, 5, "r");
    function_node(&s.w, "", "Clip", "x least x", "c", NULL);
    function_node(&s.w, "", "Neg", "x", "r", NULL);
    writer_close(&s.w);
    serve(&s);
    mm_value input = tensor("x", 0, 4, (const float[]){1, 2, 3, 4});
    expect(&s, &input, 1, (const float[]){-1, -2, -3, -4}, 4);
    assert_string_equal(s.response.outputs[0].name, "low");
    assert_string_equal(s.response.outputs[1].name, "same");
    assert_memory_equal(s.response.outputs[1].data, input.data, 16);
    serve_end(&s);
}

/* A model that calls my.F once, with F open. */
static void begin_bad(struct served *s, const char *inputs, const char *attributes) {
    writer_init(&s->w, 20);
    writer_input(&s->w, "x", MM_F32, "4");
    writer_node(&s->w, "F", inputs, "y", attributes);
    writer_node_domain(&s->w, "my");
    writer_output(&s->w, "y", MM_F32, NULL);
    writer_end(&s->w);
    function_begin(&s->w, "F", "a", "b", 20);
}

static void bad_functions(void **state) {
    (void)state;
    struct served s;
    begin_bad(&s, "x", "");
    function_node(&s.w, "my", "F", "a", "b", NULL);
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "does one call itself?");
    begin_bad(&s, "x x", "");
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "2 inputs and 1 outputs, its function has 1 and 1");
    begin_bad(&s, "x", "gamma=1");
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "attribute gamma, which its function does not have");
    begin_bad(&s, "x", "");
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "the name of a value of the function expected, got 'b'");
    begin_bad(&s, "x", "");
    function_node(&s.w, "", "Neg", "x", "b", NULL); /* a name outside of it */
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "the name of a value made before expected, got 'x'");
    begin_bad(&s, "x", "");
    function_node(&s.w, "", "Gelatine", "a", "b", NULL);
    writer_close(&s.w);
    refuse(&s, MM_UNSUPPORTED, "does not run the operator Gelatine (domain ai.onnx, opset 20)");
    begin_bad(&s, "x", "");
    writer_close(&s.w);
    function_begin(&s.w, "F", "a", "b", 20);
    writer_close(&s.w);
    refuse(&s, MM_INVALID_MODEL, "one function 'F' expected, this is a second one");
}

/* Each calls the next one 16 times: 16^30 nodes. */
static void functions_that_explode(void **state) {
    (void)state;
    struct served s;
    char name[16] = "F", next[16];
    begin_bad(&s, "x", "");
    for (int depth = 0; depth < 30; depth++) {
        snprintf(next, sizeof(next), "F%d", depth);
        for (int i = 0; i < 16; i++) {
            char output[16] = "b";
            if (i > 0) {
                snprintf(output, sizeof(output), "b%d", i);
            }
            function_node(&s.w, "my", next, "a", output, NULL);
        }
        writer_close(&s.w);
        snprintf(name, sizeof(name), "%s", next);
        function_begin(&s.w, name, "a", "b", 20);
    }
    function_node(&s.w, "", "Neg", "a", "b", NULL);
    writer_close(&s.w);
    refuse(&s, MM_UNSUPPORTED, "the calls of functions make more than");
}

/* ---- Sparse tensors -------------------------------------------------------------------------- */

static void write_sparse(struct writer *w, uint32_t field, const int64_t *indices,
                         const char *indices_shape, const char *dims) {
    const float values[2] = {5, 7};
    char words[32];
    writer_open(w, field);
    writer_open(w, 1);
    writer_varint(w, 1, 2);
    writer_varint(w, 2, MM_F32);
    writer_text(w, 8, "thin");
    writer_bytes(w, 9, values, sizeof(values));
    writer_close(w);
    writer_open(w, 2);
    snprintf(words, sizeof(words), "%s", indices_shape);
    uint64_t count = 1;
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        writer_varint(w, 1, strtoull(word, NULL, 10));
        count *= strtoull(word, NULL, 10);
    }
    writer_varint(w, 2, MM_I64);
    writer_bytes(w, 9, indices, count * sizeof(*indices));
    writer_close(w);
    snprintf(words, sizeof(words), "%s", dims);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        writer_varint(w, 3, strtoull(word, NULL, 10));
    }
    writer_close(w);
}

static void begin_sparse(struct served *s, const int64_t *indices, const char *shape,
                         const char *dims) {
    writer_init(&s->w, 20);
    writer_input(&s->w, "x", MM_F32, "4");
    write_sparse(&s->w, 15, indices, shape, dims);
    writer_node(&s->w, "Add", "x thin", "y", "");
    writer_output(&s->w, "y", MM_F32, NULL);
    writer_end(&s->w);
}

static void sparse(void **state) {
    (void)state;
    struct served s;
    const float zeros[4] = {0};
    mm_value x = tensor("x", 0, 4, zeros);
    begin_sparse(&s, (const int64_t[]){1, 6}, "2", "2 4");
    serve(&s);
    expect(&s, &x, 1, (const float[]){0, 5, 0, 0, 0, 0, 7, 0}, 8);
    serve_end(&s);
    begin_sparse(&s, (const int64_t[]){0, 3, 1, 0}, "2 2", "2 4");
    serve(&s);
    expect(&s, &x, 1, (const float[]){0, 0, 0, 5, 7, 0, 0, 0}, 8);
    serve_end(&s);

    begin_sparse(&s, (const int64_t[]){1, 8}, "2", "2 4");
    refuse(&s, MM_INVALID_MODEL, "'thin': index 8 of a sparse tensor, 0 to 7 wanted");
    begin_sparse(&s, (const int64_t[]){-1, 2}, "2", "2 4");
    refuse(&s, MM_INVALID_MODEL, "index -1 of a sparse tensor");
    begin_sparse(&s, (const int64_t[]){0, 4, 1, 0}, "2 2", "2 4");
    refuse(&s, MM_INVALID_MODEL, "index 4 of a sparse tensor, 0 to 3 wanted");
    begin_sparse(&s, (const int64_t[]){1, 2, 3}, "3", "2 4");
    refuse(&s, MM_INVALID_MODEL, "3 i64 indices with 1 axes for 2 elements");
    begin_sparse(&s, (const int64_t[]){0, 1, 2, 0, 1, 2}, "2 3", "2 4");
    refuse(&s, MM_INVALID_MODEL, "6 i64 indices with 2 axes for 2 elements");
    begin_sparse(&s, (const int64_t[]){0, 1}, "2", "1000000 1000000 100");
    refuse(&s, MM_UNSUPPORTED, "a sparse tensor of 400000000000000 bytes, at most");
    begin_sparse(&s, (const int64_t[]){0, 1}, "2", "0 4");
    refuse(&s, MM_INVALID_MODEL, "index 0 of a sparse tensor, 0 to 0 wanted");
}

static void sparse_constant(void **state) {
    (void)state;
    struct served s;
    mm_value x = tensor("x", 0, 4, (const float[]){1, 1, 1, 1});
    writer_init(&s.w, 20);
    writer_input(&s.w, "x", MM_F32, "4");
    writer_node(&s.w, "Constant", "", "c", "");
    writer_open(&s.w, 5);
    writer_text(&s.w, 1, "sparse_value");
    writer_varint(&s.w, 20, 11);
    write_sparse(&s.w, 22, (const int64_t[]){0, 3}, "2", "4");
    writer_close(&s.w);
    writer_node(&s.w, "Mul", "x c", "y", "");
    writer_output(&s.w, "y", MM_F32, NULL);
    writer_end(&s.w);
    serve(&s);
    expect(&s, &x, 1, (const float[]){5, 0, 0, 7}, 4);
    serve_end(&s);
}

/* ---- Inputs with a default ------------------------------------------------------------------- */

/* y = x * gain; large: the default is too large to stand in the description. node: a node whose
 * shapes only the run knows goes before. */
static void check_default(int64_t columns, bool dynamic) {
    struct served s;
    char shape[16];
    float *gain = calloc((size_t)columns, sizeof(*gain));
    float *x = calloc((size_t)columns, sizeof(*x)), *wanted = calloc((size_t)columns, sizeof(*x));
    for (int64_t i = 0; i < columns; i++) {
        gain[i] = (float)(i % 5 + 1);
        x[i] = (float)(i + 1);
        wanted[i] = x[i] * gain[i];
    }
    snprintf(shape, sizeof(shape), "%d", (int)columns);
    writer_init(&s.w, 17);
    writer_input(&s.w, "x", MM_F32, shape);
    writer_input(&s.w, "gain", MM_F32, shape);
    writer_constant(&s.w, "gain", MM_F32, shape, gain);
    if (dynamic) {
        writer_node(&s.w, "NonZero", "x", "where", "");
        writer_node(&s.w, "Squeeze", "where", "at", "");
        writer_node(&s.w, "Gather", "x at", "z", "axis=0");
    } else {
        writer_node(&s.w, "Identity", "x", "z", "");
    }
    writer_node(&s.w, "Mul", "z gain", "y", "");
    writer_output(&s.w, "y", MM_F32, NULL);
    writer_end(&s.w);
    serve(&s);
    mm_value inputs[2] = {tensor("x", 0, columns, x), tensor("gain", 0, columns, x)};
    expect(&s, inputs, 1, wanted, (uint64_t)columns);
    for (int64_t i = 0; i < columns; i++) {
        wanted[i] = x[i] * x[i];
    }
    expect(&s, inputs, 2, wanted, (uint64_t)columns);
    mm_model_description *description;
    assert_int_equal(mm_model_describe(s.mesh, s.model, 0, &description, NULL), MM_OK);
    assert_int_equal(description->input_count, 2);
    assert_int_equal(description->inputs[0].flags, 0);
    assert_int_equal(description->inputs[1].flags, MM_VALUE_INFO_OPTIONAL);
    mm_description_free(description);
    serve_end(&s);
    free(gain);
    free(x);
    free(wanted);
}

static void defaults(void **state) {
    (void)state;
    check_default(3, false);
    check_default(3000, false);
    check_default(3, true);
    check_default(3000, true);
    struct served s;
    writer_init(&s.w, 17); /* the initializer is of another type than the input */
    writer_input(&s.w, "x", MM_F32, "4");
    writer_input(&s.w, "gain", MM_F32, "4");
    writer_constant(&s.w, "gain", MM_F64, "4", NULL);
    writer_node(&s.w, "Mul", "x gain", "y", "");
    writer_output(&s.w, "y", MM_F32, NULL);
    writer_end(&s.w);
    refuse(&s, MM_INVALID_MODEL, "input 'gain': its initializer has another type or shape");
}

/* A shape that a request may leave out. */
static void default_shape(void **state) {
    (void)state;
    struct served s;
    writer_init(&s.w, 17);
    writer_input(&s.w, "x", MM_F32, "4");
    writer_input(&s.w, "shape", MM_I64, "2");
    writer_constant(&s.w, "shape", MM_I64, "2", (const int64_t[]){2, 2});
    writer_node(&s.w, "Reshape", "x shape", "y", "");
    writer_output(&s.w, "y", MM_F32, NULL);
    writer_end(&s.w);
    serve(&s);
    const float x[4] = {1, 2, 3, 4};
    const int64_t shape[2] = {4, 1};
    mm_value inputs[2] = {tensor("x", 0, 4, x)};
    inputs[1] = (mm_value){.name = "shape",
                           .dtype = MM_I64,
                           .rank = 1,
                           .shape = {2},
                           .data = (void *)(uintptr_t)shape,
                           .bytes = sizeof(shape)};
    expect(&s, inputs, 1, x, 4);
    assert_int_equal(s.response.outputs[0].shape[0], 2);
    expect(&s, inputs, 2, x, 4);
    assert_int_equal(s.response.outputs[0].shape[0], 4);
    serve_end(&s);
}

/* ---- Opsets 1 to 6 --------------------------------------------------------------------------- */

struct older {
    int64_t opset;
    const char *type, *inputs, *attributes;
    float wanted[12];
    uint64_t count;
};

/* x is [2, 3] of 1 to 6; c [2] 10 20, d [3] 1 2 3, one [1] 10, tiles 2, axis 1 */
static void begin_older(struct served *s, const struct older *older) {
    writer_init(&s->w, older->opset);
    writer_input(&s->w, "x", MM_F32, "2 3");
    writer_constant(&s->w, "c", MM_F32, "2", (const float[]){10, 20});
    writer_constant(&s->w, "d", MM_F32, "3", (const float[]){1, 2, 3});
    writer_constant(&s->w, "one", MM_F32, "1", (const float[]){10});
    writer_constant(&s->w, "tiles", MM_I64, "1", (const int64_t[]){2});
    writer_constant(&s->w, "axis", MM_I64, "1", (const int64_t[]){1});
    writer_node(&s->w, older->type, older->inputs, "y", older->attributes);
    writer_output(&s->w, "y", MM_F32, NULL);
    writer_end(&s->w);
}

static void older_opsets(void **state) {
    (void)state;
    static const struct older cases[] = {
        {6, "Add", "x c", "broadcast=1 axis=0", {11, 12, 13, 24, 25, 26}, 6},
        {6, "Add", "x c", "broadcast=1 axis=-2", {11, 12, 13, 24, 25, 26}, 6},
        {6, "Add", "x d", "broadcast=1", {2, 4, 6, 5, 7, 9}, 6},
        {6, "Add", "x d", "broadcast=1 axis=1", {2, 4, 6, 5, 7, 9}, 6},
        {6, "Mul", "x one", "broadcast=1 axis=0", {10, 20, 30, 40, 50, 60}, 6},
        {6, "Sub", "x x", "broadcast=0 axis=1", {0}, 6},
        {1, "Sub", "x x", "consumed_inputs=[0,0]", {0}, 6},
        {6, "PRelu", "x d", "", {1, 2, 3, 4, 5, 6}, 6},
        {1, "Reshape", "x", "shape=[3,2]", {1, 2, 3, 4, 5, 6}, 6},
        {1, "Neg", "x", "consumed_inputs=[0]", {-1, -2, -3, -4, -5, -6}, 6},
        {1, "Concat", "x x", "", {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}, 12},
        {1, "Cast", "x", "to=FLOAT", {1, 2, 3, 4, 5, 6}, 6},
        {1, "Tile", "x tiles axis", "", {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}, 12},
        {1, "Pad", "x", "paddings=[0,0,0,1] value=9.0", {1, 2, 3, 9, 4, 5, 6, 9}, 8},
        {6, "Dropout", "x", "is_test=1", {1, 2, 3, 4, 5, 6}, 6},
        {1, "Dropout", "x", "is_test=1 consumed_inputs=[0]", {1, 2, 3, 4, 5, 6}, 6},
        {1, "Clip", "x", "min=2.0 max=5.0 consumed_inputs=[1]", {2, 2, 3, 4, 5, 5}, 6},
    };
    const float numbers[6] = {1, 2, 3, 4, 5, 6};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct served s;
        begin_older(&s, &cases[i]);
        serve(&s);
        mm_value x = tensor("x", 2, 3, numbers);
        expect(&s, &x, 1, cases[i].wanted, cases[i].count);
        serve_end(&s);
    }
}

static void older_refusals(void **state) {
    (void)state;
    static const struct {
        struct older older;
        mm_status status;
        const char *text;
    } cases[] = {
        {{.opset = 7, .type = "Add", .inputs = "x c", .attributes = "broadcast=1 axis=0"},
         MM_INVALID_MODEL,
         "attribute broadcast, which it does not have in opset 7"},
        {{.opset = 6, .type = "Neg", .inputs = "x", .attributes = "consumed_inputs=[0]"},
         MM_INVALID_MODEL,
         "attribute consumed_inputs, which it does not have in opset 6"},
        {{.opset = 6, .type = "Add", .inputs = "x d", .attributes = "broadcast=1 axis=2"},
         MM_INVALID_MODEL,
         "axis"},
        {{.opset = 5, .type = "Cast", .inputs = "x", .attributes = "to=FLOAT17"},
         MM_INVALID_MODEL,
         "attribute to is 'FLOAT17'"},
        {{.opset = 5, .type = "Tile", .inputs = "x x axis", .attributes = ""},
         MM_UNSUPPORTED,
         "its tiles is no constant number"},
        {{.opset = 6,
          .type = "BatchNormalization",
          .inputs = "x d d d d",
          .attributes = "is_test=0"},
         MM_UNSUPPORTED,
         "attribute is_test is 0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct served s;
        const float numbers[6] = {0};
        mm_value x = tensor("x", 2, 3, numbers);
        begin_older(&s, &cases[i].older);
        serve(&s);
        assert_int_equal(infer(&s, &x, 1), cases[i].status);
        if (!strstr(s.err.text, cases[i].text)) {
            fail_msg("'%s'; '%s' wanted", s.err.text, cases[i].text);
        }
        serve_end(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions),     cmocka_unit_test(function_ends),
        cmocka_unit_test(bad_functions), cmocka_unit_test(functions_that_explode),
        cmocka_unit_test(sparse),        cmocka_unit_test(sparse_constant),
        cmocka_unit_test(defaults),      cmocka_unit_test(default_shape),
        cmocka_unit_test(older_opsets),  cmocka_unit_test(older_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
