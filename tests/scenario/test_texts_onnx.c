/* SPDX-License-Identifier: Apache-2.0 */
/* A fault of each kind in a file, and what its user reads: the model and the file once, then the
 * node, value or offset, what was got and what was wanted. */
#include "weather.h"

#include <backends/onnx/model_writer.h>
#include <support/scratch.h>

#include <stdio.h>
#include <string.h>

struct place {
    struct fixture f;
    struct scratch scratch;
    char path[SCRATCH_ROOM];
};

static void expect_once(const char *what, const char *text, const char *words) {
    const char *first = strstr(text, words);
    if (!first || strstr(first + 1, words)) {
        fail_msg("%s: \"%s\" should say \"%s\" once", what, text, words);
    }
}

static void expect_words(const char *what, const char *text, const char *const words[3]) {
    for (int i = 0; i < 3 && words[i]; i++) {
        expect_once(what, text, words[i]);
    }
}

/* The model "broken" of these bytes; x is f32[2, 3], i is i64[2]: 1 and 7. */
static mm_status ask(struct place *place, const void *bytes, size_t count) {
    struct fixture *f = &place->f;
    float x[6] = {1, 2, 3, 4, 5, 6};
    int64_t i[2] = {1, 7};
    mm_value inputs[2] = {
        {.name = "x", .dtype = MM_F32, .rank = 2, .shape = {2, 3}, .data = x, .bytes = sizeof(x)},
        {.name = "i", .dtype = MM_I64, .rank = 1, .shape = {2}, .data = i, .bytes = sizeof(i)}};
    scratch_write(&place->scratch, "broken.onnx", bytes, count);
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "broken";
    spec.source = place->path;
    mm_model model;
    assert_ok(f, mm_register(f->mesh, &spec, &model, &f->err));
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    request.inputs = inputs;
    request.input_count = 2;
    mm_status status = mm_infer(f->mesh, model, &request, &response, &f->err);
    mm_response_free(&response);
    mm_error err = {0};
    assert_ok(f, mm_unregister(f->mesh, model, &err));
    return status;
}

static void check(struct place *place, const char *what, const struct writer *w, mm_status wanted,
                  const char *const words[3]) {
    mm_status status = ask(place, w->bytes, w->count);
    if (status != wanted) {
        fail_msg("%s: %s, not %s: %s", what, mm_status_name(status), mm_status_name(wanted),
                 place->f.err.text);
    }
    expect_once(what, place->f.err.text, "model broken: ");
    expect_words(what, place->f.err.text, words);
}

static void place_open(struct place *place) {
    scratch_init(&place->scratch);
    scratch_path(&place->scratch, "broken.onnx", place->path);
    fixture_open(&place->f, NULL);
}

static void place_close(struct place *place) {
    fixture_close(&place->f);
    scratch_fini(&place->scratch);
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* Fields of ONNX's messages. */
enum {
    MODEL_GRAPH = 7,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_SPARSE = 15
};

static void begin(struct writer *w, int64_t opset) {
    writer_init(w, opset);
    writer_input(w, "x", MM_F32, "2 3");
    writer_input(w, "i", MM_I64, "2");
}

static void end(struct writer *w) {
    writer_node(w, "Identity", "x", "rest", "");
    writer_output(w, "rest", MM_F32, "2 3");
    writer_end(w);
}

static void no_file(struct writer *w) {
    writer_init(w, 17);
    w->count = 0;
    writer_raw(w, "\x0f\x0f\x0f\x0f", 4);
}

static void cut(struct writer *w) {
    begin(w, 17);
    end(w);
    w->count -= 5;
}

static void too_new(struct writer *w) {
    begin(w, 99);
    end(w);
}

static void no_opset(struct writer *w) {
    begin(w, 0);
    end(w);
}

static void two_of_a_name(struct writer *w) {
    begin(w, 17);
    writer_constant(w, "c", MM_F32, "2", NULL);
    writer_constant(w, "c", MM_F32, "2", NULL);
    end(w);
}

static void output_of_nothing(struct writer *w) {
    begin(w, 17);
    writer_output(w, "boxes", MM_F32, "2");
    end(w);
}

static void sequence_input(struct writer *w) {
    begin(w, 17);
    writer_open(w, GRAPH_INPUT);
    writer_text(w, 1, "list");
    writer_open(w, 2); /* its type */
    writer_open(w, 4); /* a sequence */
    writer_close(w);
    writer_close(w);
    writer_close(w);
    end(w);
}

static void unknown_type(struct writer *w) {
    begin(w, 17);
    writer_input(w, "odd", 77, "2");
    end(w);
}

static void initializer(struct writer *w, int32_t dtype, uint64_t dim) {
    begin(w, 17);
    writer_open(w, GRAPH_INITIALIZER);
    writer_varint(w, 1, dim);
    writer_varint(w, 2, (uint64_t)dtype);
    writer_text(w, 8, "table");
}

static void few_bytes(struct writer *w) {
    initializer(w, MM_F32, 8);
    writer_bytes(w, 9, "12345678", 8); /* of 32 */
    writer_close(w);
    end(w);
}

static void texts(struct writer *w) {
    initializer(w, MM_STRING, 1);
    writer_close(w);
    end(w);
}

static void external(struct writer *w, const char *file) {
    initializer(w, MM_F32, 8);
    writer_open(w, 13);
    writer_text(w, 1, "location");
    writer_text(w, 2, file);
    writer_close(w);
    writer_varint(w, 14, 1);
    writer_close(w);
    end(w);
}

static void missing_external(struct writer *w) {
    external(w, "table.bin");
}

static void external_outside(struct writer *w) {
    external(w, "../table.bin");
}

static void test_faults_of_files(void **state) {
    (void)state;
    static const struct {
        const char *what;
        void (*write)(struct writer *w);
        mm_status status;
        const char *words[3]; /* beside the model and the file */
    } rows[] = {
        {"no file of ONNX", no_file, MM_INVALID_MODEL, {"offset 0", "wire type"}},
        {"cut", cut, MM_INVALID_MODEL, {"offset ", "bytes expected", "are left of"}},
        {"opset 99", too_new, MM_UNSUPPORTED, {"opset 99", "wanted"}},
        {"no opset",
         no_opset,
         MM_INVALID_MODEL,
         {"offset ", "an opset import of ai.onnx expected"}},
        {"two of a name",
         two_of_a_name,
         MM_INVALID_MODEL,
         {"offset ", "a new name expected", "'c'"}},
        {"output of nothing", output_of_nothing, MM_INVALID_MODEL, {"nothing makes 'boxes'"}},
        {"sequence", sequence_input, MM_UNSUPPORTED, {"'list'", "neither a tensor"}},
        {"unknown type", unknown_type, MM_UNSUPPORTED, {"'odd'", "element type 77"}},
        {"few bytes", few_bytes, MM_INVALID_MODEL, {"'table'", "8 bytes of data", "32 wanted"}},
        {"strings", texts, MM_INVALID_MODEL, {"'table'", "0 strings", "1 wanted"}},
        {"missing external", missing_external, MM_NOT_FOUND, {"table.bin"}},
        {"external outside", external_outside, MM_INVALID_MODEL, {"../table.bin"}},
    };
    struct place place;
    place_open(&place);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct writer w;
        rows[i].write(&w);
        check(&place, rows[i].what, &w, rows[i].status, rows[i].words);
        if (rows[i].write != missing_external && rows[i].write != external_outside) {
            expect_once(rows[i].what, place.f.err.text, place.path);
        }
        writer_fini(&w);
    }
    place_close(&place);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void test_faults_of_nodes(void **state) {
    (void)state;
    static const struct {
        const char *type, *inputs, *attributes;
        mm_status status;
        const char *words[3]; /* beside the model and "'faulty'" */
    } rows[] = {
        {"Gelato", "x", "", MM_UNSUPPORTED, {"does not run the operator Gelato", "opset 17"}},
        {"Add", "x", "", MM_INVALID_MODEL, {"1 inputs", "2 to 2 wanted"}},
        {"Add", "x nobody", "", MM_INVALID_MODEL, {"made before expected", "'nobody'"}},
        {"Add", "x i", "", MM_INVALID_MODEL, {"its input 1 is i64", "its input 0 f32"}},
        {"Add", "x c", "", MM_INVALID_MODEL, {"[2, 3]", "[4, 5]", "do not broadcast"}},
        {"Softmax", "x", "axis=1.5", MM_INVALID_MODEL, {"attribute axis has type"}},
        {"Softmax", "x", "axis=4", MM_INVALID_MODEL, {"axis 4", "2 axes"}},
        {"Sqrt", "i", "", MM_UNSUPPORTED, {"its input 0 is i64", "wanted"}},
        {"MatMul", "x x", "", MM_INVALID_MODEL, {"3 columns", "2 rows"}},
        {"Reshape", "x seven", "", MM_INVALID_MODEL, {"6 elements", "7"}},
        {"Transpose", "x", "perm=[0,0]", MM_INVALID_MODEL, {"perm is no order of 2 axes"}},
        {"Concat", "x c", "axis=1", MM_INVALID_MODEL, {"4 elements", "of the first 2"}},
        {"Expand", "x seven", "", MM_INVALID_MODEL, {"[2, 3]", "[7]", "wanted"}},
        {"Conv", "x c", "", MM_INVALID_MODEL, {"2 axes", "3 or more"}},
        {"Cast", "x", "to=14", MM_UNSUPPORTED, {"a cast to c64"}},
        {"DepthToSpace", "x", "blocksize=0", MM_INVALID_MODEL, {"blocksize is 0", "wanted"}},
        {"DepthToSpace",
         "x",
         "blocksize=2 mode=ABC",
         MM_UNSUPPORTED,
         {"attribute mode is 'ABC'", "DCR, CRD"}},
        {"Gather", "x i", "", MM_INVALID_ARGUMENT, {"index 7", "axis 0", "2 elements"}},
    };
    struct place place;
    place_open(&place);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static const int64_t seven[1] = {7};
        struct writer w;
        begin(&w, 17);
        writer_constant(&w, "c", MM_F32, "4 5", NULL);
        writer_constant(&w, "seven", MM_I64, "1", seven);
        writer_node(&w, rows[i].type, rows[i].inputs, "y", rows[i].attributes);
        writer_node_name(&w, "faulty");
        writer_output(&w, "y", MM_F32, NULL);
        end(&w);
        check(&place, rows[i].type, &w, rows[i].status, rows[i].words);
        expect_once(rows[i].type, place.f.err.text, "node 'faulty'");
        writer_fini(&w);
    }
    place_close(&place);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_of_files),
        cmocka_unit_test(test_faults_of_nodes),
    };
    return cmocka_run_group_tests_name("scenario-texts-onnx", tests, NULL, NULL);
}
