/* SPDX-License-Identifier: Apache-2.0 */

/* Files that are none, or not quite: refused with a sentence, whatever is wrong. */

#include "loaded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state;

/* ---- Damage ---------------------------------------------------------------------------------- */

/* One of everything, with the graph at the end. */
static void write_rich(struct writer *w) {
    writer_init(w, 12);
    writer_input(w, "x", MM_F32, "batch 3");
    writer_input(w, "cond", MM_BOOL, "");
    writer_constant(w, "w", MM_F64, "3", (const double[]){1, 2, 3});
    writer_node(w, "Thing", "x - w", "y", "i=1 f=0.5 s=text ints=[1,2] floats=[1.0]");
    writer_tensor(w, "t", MM_I64, "2", (const int64_t[]){1, 2});
    writer_node(w, "If", "cond", "z", "");
    writer_branch(w, "then_branch");
    writer_node(w, "Identity", "y", "inner", "");
    writer_output(w, "inner", MM_F32, NULL);
    writer_branch_end(w);
    writer_output(w, "z", MM_F32, "batch 3");
    writer_end(w);
}

/* A copy that ends where the memory ends, so that a sanitizer sees who reads on. */
static mm_status load_exactly(struct loaded *l, const void *bytes, size_t count) {
    uint8_t *copy = malloc(count + (count == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    mm_status status = load_bytes(l, copy, count);
    free(copy);
    return status;
}

static void test_truncated(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    write_rich(&w);
    assert_int_equal(load_bytes(&l, w.bytes, w.count), MM_OK);
    for (size_t count = 0; count < w.count; count++) {
        mm_status status = load_exactly(&l, w.bytes, count);
        if (status != MM_INVALID_MODEL) {
            fail_msg("%zu bytes: %s %s", count, mm_status_name(status), l.err.text);
        }
        assert_memory_equal(l.err.text, "offset ", 7);
        assert_non_null(strstr(l.err.text, "expected"));
    }
    writer_fini(&w);
    loaded_fini(&l);
}

static void assert_ended_well(mm_status status, const struct loaded *l) {
    if (status != MM_OK && status != MM_INVALID_MODEL && status != MM_UNSUPPORTED) {
        fail_msg("%s: %s", mm_status_name(status), l->err.text);
    }
}

static void test_each_byte_changed(void **state) {
    (void)state;
    static const uint8_t others[] = {0, 1, 0x7f, 0x80, 0xff};
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    write_rich(&w);
    for (size_t at = 0; at < w.count; at++) {
        uint8_t right = w.bytes[at];
        for (size_t i = 0; i < sizeof(others); i++) {
            w.bytes[at] = others[i];
            assert_ended_well(load_exactly(&l, w.bytes, w.count), &l);
        }
        w.bytes[at] = (uint8_t)test_random(&random_state);
        assert_ended_well(load_exactly(&l, w.bytes, w.count), &l);
        w.bytes[at] = right;
    }
    writer_fini(&w);
    loaded_fini(&l);
}

static void test_random_bytes(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    for (uint32_t round = 0; round < 3000; round++) {
        uint8_t bytes[300];
        size_t count = 1 + test_random_below(&random_state, sizeof(bytes));
        for (size_t i = 0; i < count; i++) {
            bytes[i] = (uint8_t)test_random(&random_state);
        }
        assert_int_equal(load_exactly(&l, bytes, count), MM_INVALID_MODEL);
    }
    loaded_fini(&l);
}

static void test_no_model(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    assert_int_equal(load_bytes(&l, "", 0), MM_INVALID_MODEL);
    assert_string_equal(l.err.text, "offset 0: one graph expected in the model, got 0");
    static const char text[] = "<html><head><title>404 Not Found</title></head></html>\n";
    assert_int_equal(load_bytes(&l, text, sizeof(text) - 1), MM_INVALID_MODEL);
    loaded_fini(&l);
}

/* ---- Wire format ----------------------------------------------------------------------------- */

static void refuse_bytes(const char *bytes, size_t count, const char *text) {
    struct loaded l;
    loaded_init(&l);
    assert_int_equal(load_bytes(&l, bytes, count), MM_INVALID_MODEL);
    if (!strstr(l.err.text, text)) {
        fail_msg("%s; '%s' wanted", l.err.text, text);
    }
    loaded_fini(&l);
}
#define REFUSE(bytes, text) refuse_bytes(bytes, sizeof(bytes) - 1, text)

static void test_wire(void **state) {
    (void)state;
    REFUSE("\x3a\xff\xff\xff\xff\x0f\x00",
           "offset 6: 4294967295 bytes expected, 1 are left of a model");
    REFUSE("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "18446744073709551615 bytes expected");
    REFUSE("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "offset 1: a number of at most 64 bits");
    REFUSE("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "offset 1: a number of at most 64");
    REFUSE("\x08\x01\x08", "offset 3: a number of at most 64 bits expected in a model");
    REFUSE("\x08\x01\x02\x00", "offset 2: a field of a model expected, got number 0");
    REFUSE("\x38\x01", "offset 0: field 7 of a model has wire type 0");
    REFUSE("\x13\x14", "offset 0: wire type 0, 1, 2 or 5 expected in a model, got 3");
    REFUSE("\x16", "got 6");
    REFUSE("\x15\x00\x00\x00", "offset 1: 4 bytes expected, 3 are left of a model");
    REFUSE("\x11\x00\x00\x00", "offset 1: 8 bytes expected, 3 are left of a model");
    REFUSE("\x3a\x00\x3a\x00", "offset 4: one graph expected in the model, got 2");
    REFUSE("\x42\x02\x10\x0d\x3a\x02\x0a\x05", "offset 8: 5 bytes expected, 0 are left of a graph");
}

/* Lists of numbers that end within one. */
static void test_packed(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    writer_node(&w, "Thing", "", "y", "");
    writer_open(&w, 5);
    writer_bytes(&w, 8, "\x01\x80", 2);
    writer_close(&w);
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "a number of at most 64 bits expected in an attribute");
    writer_init(&w, 13);
    writer_node(&w, "Thing", "", "y", "");
    writer_open(&w, 5);
    writer_bytes(&w, 7, "12345", 5);
    writer_close(&w);
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL,
                "numbers of 4 bytes expected in an attribute, got 5 bytes");
    loaded_fini(&l);
}

/* ---- Nesting --------------------------------------------------------------------------------- */

static void write_nested(struct writer *w, uint32_t depth) {
    char name[16];
    writer_init(w, 13);
    writer_input(w, "cond", MM_BOOL, "");
    for (uint32_t i = 0; i < depth; i++) {
        snprintf(name, sizeof(name), "r%u", i);
        writer_node(w, "If", "cond", name, "");
        writer_branch(w, "then_branch");
    }
    writer_output(w, "cond", MM_BOOL, NULL);
    for (uint32_t i = depth; i-- > 0;) {
        writer_branch_end(w);
        snprintf(name, sizeof(name), "r%u", i);
        writer_output(w, name, MM_BOOL, NULL);
    }
    writer_end(w);
}

static void test_nesting(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    write_nested(&w, 64);
    must_load(&l, &w);
    write_nested(&w, 65);
    must_refuse(&l, &w, MM_INVALID_MODEL, "graphs nested at most 64 deep expected");
    assert_non_null(strstr(l.err.text, "If node that makes 'r64': offset "));
    write_nested(&w, 160);
    must_refuse(&l, &w, MM_INVALID_MODEL, "graphs nested at most 64 deep expected");
    l.services.limits_nesting = 2;
    write_nested(&w, 2);
    must_load(&l, &w);
    write_nested(&w, 3);
    must_refuse(&l, &w, MM_INVALID_MODEL, "graphs nested at most 2 deep expected");
    loaded_fini(&l);
}

/* ---- Tensors --------------------------------------------------------------------------------- */

struct bad_tensor {
    uint64_t dims[9], rank, dtype;
    const char *raw;
    mm_status status;
    const char *text;
};

static void test_tensors(void **state) {
    (void)state;
    static const struct bad_tensor cases[] = {
        {{2}, 1, MM_F32, "1234", MM_INVALID_MODEL, "4 bytes of data, 8 wanted"},
        {{2}, 1, MM_F32, NULL, MM_INVALID_MODEL, "0 bytes of data, 8 wanted"},
        {{0}, 1, MM_F32, "1234", MM_OK, ""}, /* nobody looks */
        {{1, UINT64_MAX}, 2, MM_F32, "1234", MM_INVALID_MODEL, "no tensor can have the shape [1"},
        {{1u << 30, 1u << 30}, 2, MM_U8, "1", MM_INVALID_MODEL, "1 bytes of data, 11529215046068"},
        {{1u << 31, 1u << 31, 4}, 3, MM_U8, "1", MM_INVALID_MODEL, "no tensor can have the shape"},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 9, MM_U8, "1", MM_UNSUPPORTED, "9 axes, at most 8"},
        {{1}, 1, MM_STRING, "1", MM_INVALID_MODEL, "0 strings, 1 wanted"},
        {{1}, 1, 27, "1", MM_UNSUPPORTED, "constants of element type 27 (?)"},
        {{1}, 1, 0, "1", MM_UNSUPPORTED, "constants of element type 0 (?)"},
        {{1}, 1, UINT64_MAX, "1", MM_UNSUPPORTED, "element type 18446744073709551615 (?)"},
    };
    struct loaded l;
    loaded_init(&l);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int as_attribute = 0; as_attribute < 2; as_attribute++) {
            struct writer w;
            writer_init(&w, 13);
            if (as_attribute) {
                writer_node(&w, "Thing", "", "y", "");
                writer_open(&w, 5);
                writer_varint(&w, 20, 4);
            }
            writer_open(&w, 5);
            for (uint64_t d = 0; d < cases[i].rank; d++) {
                writer_varint(&w, 1, cases[i].dims[d]);
            }
            writer_varint(&w, 2, cases[i].dtype);
            writer_text(&w, 8, "t");
            if (cases[i].raw) {
                writer_text(&w, 9, cases[i].raw);
            }
            writer_close(&w);
            if (as_attribute) {
                writer_close(&w);
            }
            writer_end(&w);
            if (cases[i].status == MM_OK) {
                must_load(&l, &w);
            } else {
                must_refuse(&l, &w, cases[i].status, cases[i].text);
                const char *named = as_attribute ? "Thing node that makes 'y'" : "initializer 't'";
                assert_non_null(strstr(l.err.text, named));
            }
        }
    }
    loaded_fini(&l);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void test_names(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "1");
    writer_node(&w, "Add", "x later", "y", "");
    writer_node_name(&w, "early");
    writer_node(&w, "Neg", "x", "later", "");
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "the name of a value made before expected, got 'later'");
    assert_non_null(strstr(l.err.text, "Add node 'early': offset "));

    writer_init(&w, 13); /* what a branch makes is not known outside */
    writer_input(&w, "x", MM_BOOL, "");
    writer_node(&w, "If", "x", "y", "");
    writer_branch(&w, "then_branch");
    writer_node(&w, "Not", "x", "inner", "");
    writer_output(&w, "inner", MM_BOOL, NULL);
    writer_branch_end(&w);
    writer_node(&w, "Not", "inner", "z", "");
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "got 'inner'");

    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "1");
    writer_node(&w, "Neg", "x", "y", "");
    writer_node(&w, "Abs", "x", "y", "");
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "a new name expected, 'y' is there already");

    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "1");
    writer_node(&w, "Neg", "x", "x", "");
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "a new name expected, 'x' is there already");

    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "1");
    writer_input(&w, "x", MM_F32, "1");
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "'x' is there already");

    writer_init(&w, 13);
    writer_constant(&w, "", MM_F32, "1", NULL);
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "a name expected");

    writer_init(&w, 13);
    writer_output(&w, "y", MM_F32, "1");
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "nothing makes 'y'");

    writer_init(&w, 13);
    writer_node(&w, "Neg", "", "", "");
    writer_bytes(&w, 2, "a\0b", 3);
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "text without a NUL expected");
    loaded_fini(&l);
}

/* ---- What is not supported ------------------------------------------------------------------- */

static void test_opsets(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    for (int64_t opset = 1; opset <= 27; opset++) {
        writer_init(&w, opset);
        writer_end(&w);
        must_load(&l, &w);
    }
    writer_init(&w, 28);
    writer_end(&w);
    must_refuse(&l, &w, MM_UNSUPPORTED, "opset 28 of ai.onnx, 1 to 27 wanted");
    writer_init(&w, 0);
    writer_end(&w);
    writer_import(&w, "", -1);
    must_refuse(&l, &w, MM_UNSUPPORTED, "opset -1 of ai.onnx");
    writer_init(&w, 0);
    writer_end(&w);
    writer_import(&w, "", 0);
    must_refuse(&l, &w, MM_UNSUPPORTED, "opset 0 of ai.onnx");
    writer_init(&w, 0);
    writer_node(&w, "Neg", "", "y", "");
    writer_end(&w);
    writer_import(&w, "com.example", 13);
    must_refuse(&l, &w, MM_INVALID_MODEL,
                "Neg node that makes 'y': offset 14: an opset import of ai.onnx expected");
    writer_init(&w, 0); /* it is not needed where it is not used */
    writer_node(&w, "Neg", "", "y", "");
    writer_node_domain(&w, "com.example");
    writer_end(&w);
    writer_import(&w, "com.example", 13);
    must_load(&l, &w);
    must_not_resolve(&l, MM_UNSUPPORTED,
                     "does not run the operator Neg (domain com.example, opset 13) yet");
    writer_init(&w, 0);
    writer_end(&w);
    writer_import(&w, "ai.onnx", 14);
    must_load(&l, &w);
    assert_int_equal(l.model.opset, 14);
    loaded_fini(&l);
}

static void test_unsupported(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13); /* a sequence of tensors */
    writer_open(&w, 11);
    writer_text(&w, 1, "list");
    writer_open(&w, 2);
    writer_open(&w, 4);
    writer_close(&w);
    writer_close(&w);
    writer_close(&w);
    writer_end(&w);
    must_refuse(&l, &w, MM_UNSUPPORTED,
                "input 'list': its type is neither a tensor nor a sequence, optional or map");

    writer_init(&w, 13);
    writer_input(&w, "x", 99, "1");
    writer_end(&w);
    must_refuse(&l, &w, MM_UNSUPPORTED, "input 'x': element type 99 is not known");

    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "1 1 1 1 1 1 1 1 1");
    writer_end(&w);
    must_refuse(&l, &w, MM_UNSUPPORTED, "input 'x': 9 axes, at most 8");

    writer_init(&w, 13);
    writer_open(&w, 11);
    writer_text(&w, 1, "x");
    writer_close(&w);
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "a type expected");

    writer_init(&w, 13); /* only in functions */
    writer_node(&w, "Thing", "", "y", "");
    writer_open(&w, 5);
    writer_text(&w, 1, "alpha");
    writer_text(&w, 21, "beta");
    writer_close(&w);
    writer_end(&w);
    must_refuse(&l, &w, MM_INVALID_MODEL, "a value for attribute alpha expected, got a reference");
    loaded_fini(&l);
}

int main(int argc, char **argv) {
    random_state = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated),    cmocka_unit_test(test_each_byte_changed),
        cmocka_unit_test(test_random_bytes), cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_wire),         cmocka_unit_test(test_packed),
        cmocka_unit_test(test_nesting),      cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_opsets),
        cmocka_unit_test(test_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
