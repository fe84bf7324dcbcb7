/* SPDX-License-Identifier: Apache-2.0 */

/* Whole files of f16, bf16, 8 and 4 bits, run by the library with the passes and without: the same
 * but for rounding, and the weights take as little memory as in the file. Usage: [SEED] */

#include "model_writer.h"

#include <backends/onnx/operators/number.h>
#include <modelmesh/modelmesh.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 300
#define COLUMNS 130
#define MAX_ROWS 17

static uint64_t seed;

static float random_float(void) {
    return (float)test_random_below(&seed, 1 << 12) / (1 << 11) - 1;
}

/* Random numbers of this type: floats in [-1, 1) / divisor, others of any bits. */
static void fill(int32_t dtype, uint64_t count, float divisor, void *to) {
    bool floats = dtype == MM_F32 || dtype == MM_F16 || dtype == MM_BF16;
    uint64_t bytes = mm_dtype_bytes(dtype, count);
    for (uint64_t i = 0; floats && i < count; i++) {
        float number = random_float() / divisor;
        mmi_onnx_convert(MM_F32, &number, 1, dtype, (uint8_t *)to + mm_dtype_bytes(dtype, i));
    }
    for (uint64_t i = 0; !floats && i < bytes; i++) {
        ((uint8_t *)to)[i] = (uint8_t)test_random_below(&seed, 256);
    }
}

static void constant(struct writer *w, const char *name, int32_t dtype, const char *shape,
                     float divisor) {
    static uint8_t data[DEPTH * COLUMNS * 4];
    uint64_t count = 1;
    for (const char *at = shape; *at; at += strcspn(at, " "), at += *at == ' ') {
        count *= strtoull(at, NULL, 10);
    }
    fill(dtype, count, divisor, data);
    writer_constant(w, name, dtype, shape, data);
}

/* ---- Models: x [n, 300] times a matrix, and what follows ------------------------------------- */

static void end(struct writer *w, int32_t dtype, const char *product) {
    constant(w, "bias", dtype, "130", 1);
    writer_node(w, "Add", product, "sum", "");
    writer_node(w, "Tanh", "sum", "y", "");
    writer_input(w, "x", dtype, "n 300");
    writer_output(w, "y", dtype, "n 130");
    writer_end(w);
}

static void write_floats(struct writer *w, int32_t dtype) {
    writer_init(w, 21);
    constant(w, "w", dtype, "300 130", 16);
    writer_node(w, "MatMul", "x w", "product", "");
    end(w, dtype, "product bias");
}

static void write_dequantized(struct writer *w, int32_t dtype) {
    bool blocks = dtype == MM_I4 || dtype == MM_U4;
    writer_init(w, 21);
    constant(w, "q", dtype, "300 130", 1);
    constant(w, "scale", MM_F32, blocks ? "10 130" : "130", blocks ? 40 : 600);
    constant(w, "zero", dtype, blocks ? "10 130" : "130", 1);
    writer_node(w, "DequantizeLinear", "q scale zero", "w",
                blocks ? "axis=0 block_size=32" : "axis=1");
    writer_node(w, "MatMul", "x w", "product", "");
    end(w, MM_F32, "product bias");
}

/* Of x in f16, too; 10 blocks of 32. */
static void write_nbits(struct writer *w, int32_t dtype, int32_t bits) {
    char attributes[80];
    writer_init(w, 21);
    constant(w, "q", MM_U8, bits == 4 ? "130 10 16" : "130 10 32", 1);
    constant(w, "scale", dtype, "1300", bits == 4 ? 40 : 600);
    constant(w, "zero", MM_U8, bits == 4 ? "650" : "1300", 1);
    snprintf(attributes, sizeof(attributes), "K=300 N=130 bits=%d block_size=32", bits);
    writer_node(w, "MatMulNBits", "x q scale zero", "product", attributes);
    writer_node_domain(w, "com.microsoft");
    end(w, dtype, "product bias");
    writer_import(w, "com.microsoft", 1);
}

/* ---- Running --------------------------------------------------------------------------------- */

struct answer {
    float y[MAX_ROWS * COLUMNS];
    uint64_t resident;
};

static void run(const struct writer *w, const char *config, const mm_value *x,
                struct answer *answer) {
    mm_mesh *mesh;
    mm_model model;
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    mm_model_info info = MM_MODEL_INFO_INIT;
    mm_error err = {0};
    assert_int_equal(mm_mesh_create(NULL, &mesh, NULL), MM_OK);
    spec.name = "m";
    spec.data = w->bytes;
    spec.data_bytes = w->count;
    spec.backend = "onnx";
    spec.config = config;
    assert_int_equal(mm_register(mesh, &spec, &model, NULL), MM_OK);
    request.inputs = x;
    request.input_count = 1;
    if (mm_infer(mesh, model, &request, &response, &err) != MM_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(response.outputs[0].dtype, x->dtype);
    mmi_onnx_convert(x->dtype, response.outputs[0].data, (uint64_t)x->shape[0] * COLUMNS, MM_F32,
                     answer->y);
    assert_int_equal(mm_model_info_get(mesh, model, &info), MM_OK);
    answer->resident = info.weights_bytes;
    mm_response_free(&response);
    assert_int_equal(mm_mesh_free(&mesh), MM_OK);
}

/* The answers differ by at most `tolerance`; weights take at most max_bytes. */
static void check(struct writer *w, int32_t dtype, double tolerance, uint64_t max_bytes) {
    static uint8_t x[MAX_ROWS * DEPTH * 4];
    static struct answer fast, plain;
    fill(dtype, MAX_ROWS * DEPTH, 1, x);
    for (int64_t rows = 1; rows <= MAX_ROWS; rows += rows < 3 ? 1 : 7) {
        mm_value value = {
            .name = "x", .dtype = dtype, .rank = 2, .shape = {rows, DEPTH}, .data = x};
        value.bytes = mm_dtype_bytes(dtype, (uint64_t)rows * DEPTH);
        run(w, NULL, &value, &fast);
        run(w, "passes=0", &value, &plain);
        for (int64_t i = 0; i < rows * COLUMNS; i++) {
            double got = (double)fast.y[i], wanted = (double)plain.y[i];
            if (!(got - wanted <= tolerance && wanted - got <= tolerance)) {
                fail_msg("element %d of %d rows is %g, not %g", (int)i, (int)rows, got, wanted);
            }
        }
        assert_in_range(fast.resident, 1, max_bytes);
    }
    writer_fini(w);
}

#define PANELS (9 * 16) /* columns, with those that fill the last panel */

static void test_floats(void **state) {
    (void)state;
    struct writer w;
    write_floats(&w, MM_F16);
    check(&w, MM_F16, 4e-3, DEPTH * PANELS * 2 + 4096);
    write_floats(&w, MM_BF16);
    check(&w, MM_BF16, 4e-2, DEPTH * PANELS * 2 + 4096);
}

static void test_dequantized(void **state) {
    (void)state;
    static const int32_t types[] = {MM_I8, MM_U8, MM_I4, MM_U4};
    for (size_t i = 0; i < 4; i++) {
        struct writer w;
        write_dequantized(&w, types[i]);
        uint64_t bytes = DEPTH * PANELS + 5 * PANELS;
        check(&w, MM_F32, 1e-4, (i < 2 ? bytes : bytes / 2 + 50 * PANELS) + 4096);
    }
}

static void test_nbits(void **state) {
    (void)state;
    static const int32_t types[] = {MM_F32, MM_F16, MM_BF16};
    static const double tolerances[] = {1e-4, 4e-3, 4e-2};
    for (size_t i = 0; i < 6; i++) {
        struct writer w;
        int32_t bits = i < 3 ? 4 : 8;
        write_nbits(&w, types[i % 3], bits);
        check(&w, types[i % 3], tolerances[i % 3], (304 * (uint64_t)bits / 8 + 50) * PANELS + 4096);
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_dequantized),
        cmocka_unit_test(test_nbits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
