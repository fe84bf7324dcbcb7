/* SPDX-License-Identifier: Apache-2.0 */

/* What stands in a file comes into the graph. */

#include "loaded.h"

#include <string.h>

static const struct onnx_node *node_at(const struct loaded *l, uint32_t i) {
    assert_true(i < l->model.main->node_count);
    return l->model.main->nodes[i];
}

/* ---- The model ------------------------------------------------------------------------------- */

static void test_model(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 17);
    writer_node(&w, "Add", "x c", "sum", "");
    writer_node_name(&w, "adder");
    writer_node(&w, "Thing", "sum - x", "- y", "");
    writer_node_domain(&w, "com.example");
    writer_node(&w, "Abs", "y", "z", "");
    writer_node_domain(&w, "ai.onnx");
    writer_output(&w, "z", MM_F16, NULL);
    writer_input(&w, "x", MM_F32, "batch -1 ? 5");
    writer_input(&w, "flag", MM_BOOL, "");
    writer_constant(&w, "c", MM_F32, "5", (const float[]){1, 2, 3, 4, 5});
    writer_end(&w);
    writer_metadata(&w, "author", "somebody");
    writer_metadata(&w, "empty", "");
    writer_import(&w, "ai.onnx.ml", 999);
    must_load(&l, &w);

    const struct onnx_model *model = &l.model;
    assert_int_equal(model->opset, 17);
    assert_int_equal(model->metadata_count, 2);
    assert_string_equal(model->metadata[0], "author");
    assert_string_equal(model->metadata[1], "somebody");
    assert_string_equal(model->metadata[2], "empty");
    assert_string_equal(model->metadata[3], "");

    assert_int_equal(model->main->input_count, 2);
    const mm_value_info *x = &model->inputs[0], *flag = &model->inputs[1];
    assert_string_equal(x->name, "x");
    assert_int_equal(x->kind, MM_TENSOR);
    assert_int_equal(x->dtype, MM_F32);
    assert_int_equal(x->rank, 4);
    assert_memory_equal(x->shape, ((const int64_t[]){-1, -1, -1, 5}), 4 * sizeof(int64_t));
    assert_string_equal(x->axis_names[0], "batch");
    assert_null(x->axis_names[1]);
    assert_null(x->axis_names[2]);
    assert_int_equal(flag->dtype, MM_BOOL);
    assert_int_equal(flag->rank, 0);
    assert_int_equal(model->main->output_count, 1);
    assert_int_equal(model->outputs[0].dtype, MM_F16);
    assert_int_equal(model->outputs[0].rank, -1);

    assert_int_equal(model->main->node_count, 3);
    const struct onnx_node *add = node_at(&l, 0), *thing = node_at(&l, 1), *abs = node_at(&l, 2);
    assert_string_equal(add->type, "Add");
    assert_string_equal(add->name, "adder");
    assert_string_equal(add->domain, "");
    assert_int_equal(add->inputs[0], model->main->inputs[0]);
    assert_int_equal(add->inputs[1], value_of(&l, "c"));
    assert_string_equal(thing->domain, "com.example");
    assert_int_equal(thing->input_count, 3);
    assert_int_equal(thing->inputs[0], add->outputs[0]);
    assert_int_equal(thing->inputs[1], ONNX_NO_VALUE);
    assert_int_equal(thing->output_count, 2);
    assert_int_equal(thing->outputs[0], ONNX_NO_VALUE);
    assert_string_equal(abs->domain, "");
    assert_int_equal(abs->outputs[0], model->main->outputs[0]);
    assert_floats(constant_of(&l, "c"), (const float[]){1, 2, 3, 4, 5}, 5);
    loaded_fini(&l);
}

static void test_initializer_that_is_an_input(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 7);
    writer_input(&w, "w", MM_F32, "2");
    writer_input(&w, "x", MM_F32, "2");
    writer_constant(&w, "w", MM_F32, "2", (const float[]){1, 2});
    writer_node(&w, "Add", "x w", "y", "");
    writer_output(&w, "y", MM_F32, "2");
    writer_output(&w, "w", MM_F32, "2");
    writer_end(&w);
    writer_varint(&w, 1, 3); /* from IR 4 on it would be an input with a default */
    must_load(&l, &w);
    assert_int_equal(l.model.main->input_count, 1);
    assert_string_equal(l.model.inputs[0].name, "x");
    assert_int_equal(l.model.main->outputs[1], value_of(&l, "w"));
    loaded_fini(&l);
}

/* ---- Attributes ------------------------------------------------------------------------------ */

static void test_attributes(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 20);
    writer_node(&w, "Thing", "", "y", "i=-3 f=0.5 s=mean ints=[4,-5] floats=[1.5,-2.0]");
    writer_tensor(&w, "t", MM_I32, "2", (const int32_t[]){7, 8});
    writer_open(&w, 5); /* strings, of which one is empty */
    writer_text(&w, 1, "texts");
    writer_text(&w, 9, "one");
    writer_text(&w, 9, "");
    writer_varint(&w, 20, 8);
    writer_close(&w);
    writer_end(&w);
    must_load(&l, &w);
    const struct onnx_attribute *a = node_at(&l, 0)->attributes;
    assert_int_equal(node_at(&l, 0)->attribute_count, 7);
    assert_string_equal(a[0].name, "i");
    assert_int_equal(a[0].type, ONNX_ATTRIBUTE_INT);
    assert_int_equal(a[0].i, -3);
    assert_int_equal(a[1].type, ONNX_ATTRIBUTE_FLOAT);
    assert_true(a[1].f == 0.5F);
    assert_int_equal(a[2].type, ONNX_ATTRIBUTE_STRING);
    assert_string_equal(a[2].text, "mean");
    assert_int_equal(a[2].count, 4);
    assert_int_equal(a[3].type, ONNX_ATTRIBUTE_INTS);
    assert_int_equal(a[3].count, 2);
    assert_int_equal(a[3].ints[1], -5);
    assert_int_equal(a[4].type, ONNX_ATTRIBUTE_FLOATS);
    assert_true(a[4].floats[0] == 1.5F && a[4].floats[1] == -2);
    assert_int_equal(a[5].type, ONNX_ATTRIBUTE_TENSOR);
    assert_ints(a[5].tensor, (const int64_t[]){7, 8}, 2);
    assert_int_equal(a[6].type, ONNX_ATTRIBUTE_STRINGS);
    assert_int_equal(a[6].count, 2);
    assert_string_equal(a[6].texts[0], "one");
    assert_string_equal(a[6].texts[1], "");
    loaded_fini(&l);
}

static void open_attribute(struct writer *w, const char *name) {
    writer_open(w, 5);
    writer_text(w, 1, name);
}

/* As old files have them: no types, numbers packed; and zeros that were not written. */
static void test_other_forms_of_attributes(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 7);
    writer_node(&w, "Thing", "", "y", "");
    open_attribute(&w, "ints");
    writer_varint(&w, 8, 1);
    writer_bytes(&w, 8, (const uint8_t[]){0x96, 0x01, 0x02}, 3); /* 150, 2 */
    writer_bytes(&w, 8, NULL, 0);
    writer_varint(&w, 8, 3);
    writer_close(&w);
    open_attribute(&w, "floats");
    writer_bytes(&w, 7, (const float[]){0.25F, -1}, 8);
    writer_close(&w);
    open_attribute(&w, "f");
    writer_float(&w, 2, 3);
    writer_close(&w);
    open_attribute(&w, "s");
    writer_bytes(&w, 4, "a\0b", 3);
    writer_close(&w);
    open_attribute(&w, "zero"); /* of type INT */
    writer_varint(&w, 20, 2);
    writer_close(&w);
    open_attribute(&w, "later"); /* a TYPE_PROTO: nobody reads it */
    writer_varint(&w, 20, 13);
    writer_close(&w);
    writer_end(&w);
    must_load(&l, &w);
    const struct onnx_attribute *a = node_at(&l, 0)->attributes;
    assert_int_equal(a[0].type, ONNX_ATTRIBUTE_INTS);
    assert_int_equal(a[0].count, 4);
    assert_memory_equal(a[0].ints, ((const int64_t[]){1, 150, 2, 3}), 32);
    assert_int_equal(a[1].type, ONNX_ATTRIBUTE_FLOATS);
    assert_true(a[1].count == 2 && a[1].floats[0] == 0.25F && a[1].floats[1] == -1);
    assert_int_equal(a[2].type, ONNX_ATTRIBUTE_FLOAT);
    assert_int_equal(a[3].type, ONNX_ATTRIBUTE_STRING);
    assert_int_equal(a[3].count, 3);
    assert_memory_equal(a[3].text, "a\0b", 4);
    assert_int_equal(a[4].type, ONNX_ATTRIBUTE_INT);
    assert_int_equal(a[4].i, 0);
    assert_int_equal(a[5].type, 13);
    loaded_fini(&l);
}

/* ---- Tensors --------------------------------------------------------------------------------- */

static void open_constant(struct writer *w, const char *name, int32_t dtype, uint64_t length) {
    writer_open(w, 5);
    writer_varint(w, 1, length);
    writer_varint(w, 2, (uint64_t)dtype);
    writer_text(w, 8, name);
}

static void test_lists_of_numbers(void **state) {
    (void)state;
    static const struct {
        int32_t dtype;
        uint32_t field;
        int64_t number; /* written; and read, but for floats */
    } cases[] = {
        {MM_I8, 5, -128},       {MM_U8, 5, 255},          {MM_I16, 5, -7},
        {MM_U16, 5, 65535},     {MM_BOOL, 5, 1},          {MM_I32, 5, -99},
        {MM_I64, 7, INT64_MIN}, {MM_U32, 11, 4000000000}, {MM_U64, 11, 77},
    };
    struct loaded l;
    loaded_init(&l);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct writer w;
        writer_init(&w, 13);
        open_constant(&w, "c", cases[i].dtype, 2);
        writer_varint(&w, cases[i].field, 1);
        writer_varint(&w, cases[i].field, (uint64_t)cases[i].number);
        writer_close(&w);
        writer_end(&w);
        must_load(&l, &w);
        const struct onnx_tensor *c = constant_of(&l, "c");
        assert_int_equal(c->dtype, cases[i].dtype);
        assert_int_equal(c->rank, 1);
        assert_ints(c, (const int64_t[]){1, cases[i].number}, 2);
    }
    loaded_fini(&l);
}

static void test_lists_of_floats(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    open_constant(&w, "f32", MM_F32, 3);
    writer_float(&w, 4, 1.5F);
    writer_bytes(&w, 4, (const float[]){-2, 4}, 8);
    writer_close(&w);
    open_constant(&w, "f64", MM_F64, 2);
    writer_bytes(&w, 10, (const double[]){0.5, 8}, 16);
    writer_close(&w);
    open_constant(&w, "c64", MM_C64, 1);
    writer_bytes(&w, 4, (const float[]){1, 2}, 8);
    writer_close(&w);
    open_constant(&w, "f16", MM_F16, 2); /* as bits */
    writer_varint(&w, 5, 0x3c00);
    writer_varint(&w, 5, 0xc000);
    writer_close(&w);
    open_constant(&w, "i4", MM_I4, 3); /* two in a byte */
    writer_varint(&w, 5, 0x21);
    writer_varint(&w, 5, 0x03);
    writer_close(&w);
    open_constant(&w, "none", MM_F32, 0);
    writer_close(&w);
    writer_end(&w);
    must_load(&l, &w);
    assert_floats(constant_of(&l, "f32"), (const float[]){1.5F, -2, 4}, 3);
    assert_floats(constant_of(&l, "f64"), (const float[]){0.5F, 8}, 2);
    assert_int_equal(constant_of(&l, "c64")->bytes, 8);
    assert_memory_equal(constant_of(&l, "c64")->data, ((const float[]){1, 2}), 8);
    assert_floats(constant_of(&l, "f16"), (const float[]){1, -2}, 2);
    assert_int_equal(constant_of(&l, "i4")->bytes, 2);
    assert_memory_equal(constant_of(&l, "i4")->data, ((const uint8_t[]){0x21, 0x03}), 2);
    assert_true(constant_of(&l, "none")->known);
    loaded_fini(&l);
}

/* Wherever they lie in the file, they can be read as numbers; and if they need not be moved, they
 * stay there. */
static void test_raw_data(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    char name[20] = {0};
    loaded_init(&l);
    writer_init(&w, 13);
    for (int i = 0; i < 16; i++) {
        memset(name, 'a' + i, (size_t)i + 1);
        writer_constant(&w, name, MM_F64, "2 1", (const double[]){i, -i});
    }
    writer_constant(&w, "here", MM_U8, "10", "0123456789");
    writer_constant(&w, "there", MM_U8, "10", "9876543210");
    writer_end(&w);
    const char *here = memmem(w.bytes, w.count, "0123456789", 10);
    const char *there = memmem(w.bytes, w.count, "9876543210", 10);
    ptrdiff_t between = there - here;
    must_load(&l, &w);
    for (int i = 0; i < 16; i++) {
        memset(name, 'a' + i, (size_t)i + 1);
        name[i + 1] = '\0';
        const struct onnx_tensor *c = constant_of(&l, name);
        assert_int_equal(c->rank, 2);
        assert_int_equal((uintptr_t)c->data % 8, 0);
        assert_floats(c, (const float[]){(float)i, (float)-i}, 2);
    }
    const uint8_t *first = constant_of(&l, "here")->data, *second = constant_of(&l, "there")->data;
    assert_memory_equal(first, "0123456789", 10);
    assert_int_equal(second - first, between);
    loaded_fini(&l);
}

/* ---- Branches -------------------------------------------------------------------------------- */

/* Four graphs, each of which uses what the ones around it made; the innermost has a name of its own
 * that is also outside. */
static void test_names_of_outer_graphs(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 16);
    writer_input(&w, "x", MM_F32, "2");
    writer_input(&w, "cond", MM_BOOL, "");
    writer_node(&w, "Relu", "x", "a", "");
    writer_node(&w, "If", "cond", "r1", "");
    writer_branch(&w, "then_branch");
    writer_node(&w, "Abs", "a", "b", "");
    writer_node(&w, "If", "cond", "r2", "");
    writer_branch(&w, "then_branch");
    writer_constant(&w, "k", MM_F32, "2", (const float[]){5, 6});
    writer_node(&w, "If", "cond", "r3", "");
    writer_branch(&w, "then_branch");
    writer_node(&w, "Sum", "x a b k", "c", "");
    writer_node(&w, "Neg", "c", "a", "");
    writer_node(&w, "Abs", "a", "d", "");
    writer_output(&w, "d", MM_F32, NULL);
    writer_branch_end(&w);
    writer_output(&w, "r3", MM_F32, NULL);
    writer_branch_end(&w);
    writer_output(&w, "r2", MM_F32, NULL);
    writer_output(&w, "x", MM_F32, NULL);
    writer_branch_end(&w);
    writer_branch(&w, "else_branch"); /* the names of the other branch are free here */
    writer_node(&w, "Abs", "a", "b", "");
    writer_output(&w, "b", MM_F32, NULL);
    writer_branch_end(&w);
    writer_output(&w, "r1", MM_F32, NULL);
    writer_end(&w);
    must_load(&l, &w);

    const struct onnx_graph *main = l.model.main;
    assert_int_equal(main->node_count, 2);
    uint32_t x = main->inputs[0], a = main->nodes[0]->outputs[0];
    assert_int_equal(main->nodes[1]->attribute_count, 2);
    const struct onnx_graph *first = main->nodes[1]->attributes[0].graph;
    const struct onnx_graph *other = main->nodes[1]->attributes[1].graph;
    const struct onnx_graph *second = first->nodes[1]->attributes[0].graph;
    const struct onnx_graph *third = second->nodes[0]->attributes[0].graph;
    uint32_t b = first->nodes[0]->outputs[0];
    assert_int_equal(first->nodes[0]->inputs[0], a);
    assert_int_equal(first->outputs[1], x);
    assert_memory_equal(third->nodes[0]->inputs, ((const uint32_t[]){x, a, b, value_of(&l, "k")}),
                        4 * sizeof(uint32_t));
    assert_int_not_equal(third->nodes[1]->outputs[0], a);
    assert_int_equal(third->nodes[2]->inputs[0], third->nodes[1]->outputs[0]);
    assert_int_not_equal(other->nodes[0]->outputs[0], b);
    assert_int_equal(other->nodes[0]->inputs[0], a);
    loaded_fini(&l);
}

/* ---- External data --------------------------------------------------------------------------- */

static void external(struct writer *w, const char *name, const char *file, const char *offset,
                     const char *length) {
    const char *entries[] = {"location", file, "offset", offset, "length", length};
    open_constant(w, name, MM_F32, 2);
    for (size_t i = 0; i < 6; i += 2) {
        if (entries[i + 1]) {
            writer_open(w, 13);
            writer_text(w, 1, entries[i]);
            writer_text(w, 2, entries[i + 1]);
            writer_close(w);
        }
    }
    writer_varint(w, 14, 1);
    writer_close(w);
}

static void test_external_data(void **state) {
    (void)state;
    static const float weights[] = {1, 2, 3, 4}, more[] = {5, 6};
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    external(&w, "a", "weights", "8", "8");
    external(&w, "b", "weights", NULL, NULL);
    external(&w, "c", "more", "0", NULL);
    writer_end(&w);
    const struct memory_file files[] = {{"model.onnx", w.bytes, w.count, 0},
                                        {"weights", weights, sizeof(weights), 0},
                                        {"more", more, sizeof(more), 0}};
    assert_int_equal(load_files(&l, files, 3), MM_OK);
    assert_floats(constant_of(&l, "a"), (const float[]){3, 4}, 2);
    assert_floats(constant_of(&l, "b"), (const float[]){1, 2}, 2);
    assert_floats(constant_of(&l, "c"), (const float[]){5, 6}, 2);
    assert_int_equal(l.folder.opened_count, 3); /* each once */
    writer_fini(&w);
    loaded_fini(&l);
}

static void test_bad_external_data(void **state) {
    (void)state;
    static const struct {
        const char *file, *offset, *length, *text;
    } cases[] = {
        {"nowhere", NULL, NULL, "nowhere: there is no such file"},
        {NULL, "0", "8", "the location of external data expected"},
        {"weights", "12", NULL, "offset 12 of 'weights': 8 bytes expected, 4 are left"},
        {"weights", "17", NULL, "offset 17 of 'weights': 8 bytes expected, 0 are left"},
        {"weights", "18446744073709551615", NULL, "8 bytes expected, 0 are left"},
        {"weights", "18446744073709551616", NULL, "a number of bytes expected, got '1844"},
        {"weights", "0", "4", "4 bytes of external data, 8 wanted"},
        {"weights", "0", "4000000000", "4000000000 bytes of external data, 8 wanted"},
        {"weights", "", NULL, "a number of bytes expected, got ''"},
        {"weights", "-1", NULL, "a number of bytes expected, got '-1'"},
    };
    static const float weights[] = {1, 2, 3, 4};
    struct loaded l;
    loaded_init(&l);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct writer w;
        writer_init(&w, 13);
        external(&w, "a", cases[i].file, cases[i].offset, cases[i].length);
        writer_end(&w);
        const struct memory_file files[] = {{"model.onnx", w.bytes, w.count, 0},
                                            {"weights", weights, sizeof(weights), 0}};
        assert_int_equal(load_files(&l, files, 2), MM_INVALID_MODEL);
        assert_non_null(strstr(l.err.text, "initializer 'a': "));
        if (!strstr(l.err.text, cases[i].text)) {
            fail_msg("%s; '%s' wanted", l.err.text, cases[i].text);
        }
        writer_fini(&w);
    }
    loaded_fini(&l);
}

/* ---- When something fails -------------------------------------------------------------------- */

/* One of everything. */
static void write_rich(struct writer *w) {
    writer_init(w, 12);
    writer_input(w, "x", MM_F32, "batch 3");
    writer_input(w, "cond", MM_BOOL, "");
    writer_constant(w, "w", MM_F64, "3", (const double[]){1, 2, 3});
    writer_node(w, "Thing", "x", "y", "i=1 s=text ints=[1,2] floats=[1.0]");
    writer_tensor(w, "t", MM_I64, "2", (const int64_t[]){1, 2});
    writer_node(w, "If", "cond", "z", "");
    writer_branch(w, "then_branch");
    writer_node(w, "Identity", "y", "inner", "");
    writer_output(w, "inner", MM_F32, NULL);
    writer_branch_end(w);
    writer_output(w, "z", MM_F32, "batch 3");
    external(w, "far", "weights", "8", "8");
    writer_end(w);
    writer_metadata(w, "key", "value");
}

static void test_no_memory(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    write_rich(&w);
    for (uint64_t nth = 1;; nth++) {
        loaded_init(&l);
        const struct memory_file files[] = {{"model.onnx", w.bytes, w.count, 0},
                                            {"weights", "0123456789abcdef", 16, 0}};
        world_fail_alloc(&l.world, nth);
        mm_status status = load_files(&l, files, 2);
        bool hit = world_failed(&l.world);
        assert_int_equal(status, hit ? MM_NO_MEMORY : MM_OK);
        loaded_fini(&l);
        if (!hit) {
            assert_true(nth > 1);
            break;
        }
    }
    writer_fini(&w);
}

static void test_reading_fails(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    write_rich(&w);
    loaded_init(&l);
    const struct memory_file files[] = {{"model.onnx", w.bytes, w.count, 0},
                                        {"weights", "0123456789abcdef", 16, 0}};
    for (size_t nth = 1; nth <= 3; nth++) { /* the model, the folder, the weights */
        l.folder.fails_at = nth;
        assert_int_equal(load_files(&l, files, 2), MM_IO);
        assert_non_null(strstr(l.err.text, "the disk is gone"));
    }
    l.folder.fails_at = 4;
    assert_int_equal(load_files(&l, files, 2), MM_OK);
    writer_fini(&w);
    loaded_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_initializer_that_is_an_input),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_other_forms_of_attributes),
        cmocka_unit_test(test_lists_of_numbers),
        cmocka_unit_test(test_lists_of_floats),
        cmocka_unit_test(test_raw_data),
        cmocka_unit_test(test_names_of_outer_graphs),
        cmocka_unit_test(test_external_data),
        cmocka_unit_test(test_bad_external_data),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_reading_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
