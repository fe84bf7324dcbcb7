/* SPDX-License-Identifier: Apache-2.0 */

/* Nodes of the file become nodes that can run. */

#include "loaded.h"

#include <backends/onnx/graph/upgrade.h>
#include <backends/onnx/operators/operator.h>

#include <stdio.h>
#include <string.h>

/* ---- Opset upgrade --------------------------------------------------------------------------- */

/* One node of a model of this opset, after it was upgraded. */
static struct onnx_node *upgraded(struct loaded *l, int64_t opset, const char *type,
                                  const char *inputs, const char *attributes) {
    struct writer w;
    writer_init(&w, opset);
    writer_input(&w, "x", MM_F32, NULL);
    writer_constant(&w, "grow", MM_F32, "2", (const float[]){1, 2});
    writer_constant(&w, "true", MM_BOOL, "", &(bool){true});
    writer_constant(&w, "false", MM_BOOL, "", &(bool){false});
    writer_node(&w, type, inputs, "y", attributes);
    writer_end(&w);
    must_load(l, &w);
    struct onnx_node *node = l->model.main->nodes[0];
    assert_int_equal(mmi_onnx_upgrade(&l->model, node, &l->err), MM_OK);
    return node;
}

static void test_attributes_that_became_inputs(void **state) {
    (void)state;
    static const struct {
        const char *type, *attributes;
        int64_t last; /* opset of the old form */
        uint32_t input;
        int64_t numbers[2];
    } cases[] = {
        {"Squeeze", "axes=[0,2]", 12, 1, {0, 2}},
        {"Unsqueeze", "axes=[0,2]", 12, 1, {0, 2}},
        {"ReduceSum", "axes=[1,-1] keepdims=0", 12, 1, {1, -1}},
        {"ReduceMean", "axes=[1,-1]", 17, 1, {1, -1}},
        {"ReduceMax", "axes=[1,-1]", 17, 1, {1, -1}},
        {"ReduceL2", "axes=[1,-1]", 17, 1, {1, -1}},
        {"Split", "axis=1 split=[3,4]", 12, 1, {3, 4}},
        {"Pad", "pads=[1,2] mode=reflect", 10, 1, {1, 2}},
        {"Slice", "starts=[1,2] ends=[5,6]", 9, 1, {1, 2}},
        {"Slice", "starts=[1,2] ends=[5,6]", 9, 2, {5, 6}},
        {"Slice", "starts=[1,2] ends=[5,6] axes=[0,1]", 9, 3, {0, 1}},
    };
    struct loaded l;
    loaded_init(&l);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int64_t opset = 7; opset <= cases[i].last + 1; opset++) {
            struct onnx_node *node = upgraded(&l, opset, cases[i].type, "x", cases[i].attributes);
            assert_string_equal(node->type, cases[i].type);
            if (opset > cases[i].last) {
                assert_int_equal(node->input_count, 1);
                continue;
            }
            assert_int_equal(node->inputs[0], l.model.main->inputs[0]);
            const struct onnx_tensor *tensor = mmi_onnx_constant(&l.model, node, cases[i].input);
            assert_ints(tensor, cases[i].numbers, 2);
            assert_int_equal(tensor->dtype, MM_I64);
            assert_int_equal(tensor->rank, 1);
        }
    }
    loaded_fini(&l);
}

static void test_clip_and_pad(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    const struct onnx_node *node = upgraded(&l, 10, "Clip", "x", "max=6.0");
    assert_int_equal(node->input_count, 3);
    assert_int_equal(node->inputs[1], ONNX_NO_VALUE);
    assert_floats(mmi_onnx_constant(&l.model, node, 2), (const float[]){6}, 1);
    assert_int_equal(mmi_onnx_constant(&l.model, node, 2)->rank, 0);
    node = upgraded(&l, 7, "Clip", "x", "");
    assert_int_equal(node->input_count, 1);
    node = upgraded(&l, 7, "Clip", "x", "max=6.0 min=-1.5");
    assert_floats(mmi_onnx_constant(&l.model, node, 1), (const float[]){-1.5F}, 1);
    node = upgraded(&l, 10, "Pad", "x", "pads=[0,1] value=2.5");
    assert_ints(mmi_onnx_constant(&l.model, node, 1), (const int64_t[]){0, 1}, 2);
    assert_int_equal(node->input_count, 2);
    loaded_fini(&l);
}

static void test_resize(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    const struct onnx_node *node = upgraded(&l, 8, "Upsample", "x", "scales=[1.0,2.0]");
    assert_string_equal(node->type, "Resize");
    assert_int_equal(node->input_count, 3);
    assert_int_equal(node->inputs[1], ONNX_NO_VALUE);
    assert_floats(mmi_onnx_constant(&l.model, node, 2), (const float[]){1, 2}, 2);

    static const struct {
        int64_t opset;
        const char *type, *becomes;
    } cases[] = {{9, "Upsample", "Resize"}, {10, "Resize", "Resize"}};
    for (size_t i = 0; i < 2; i++) {
        node = upgraded(&l, cases[i].opset, cases[i].type, "x grow", "");
        assert_string_equal(node->type, cases[i].becomes);
        assert_int_equal(node->input_count, 3);
        assert_int_equal(node->inputs[1], ONNX_NO_VALUE);
        assert_int_equal(node->inputs[2], value_of(&l, "grow"));
    }
    node = upgraded(&l, 11, "Resize", "x grow", "");
    assert_int_equal(node->input_count, 2);
    node = upgraded(&l, 10, "Upsample", "x grow", ""); /* removed in opset 10 */
    assert_string_equal(node->type, "Upsample");
    loaded_fini(&l);
}

static void test_renamed(void **state) {
    (void)state;
    static const struct {
        int64_t opset;
        const char *type, *inputs, *becomes;
    } cases[] = {
        {9, "Scatter", "x grow grow", "ScatterElements"},
        {11, "Scatter", "x grow grow", "Scatter"},
        {7, "Dropout", "x", "Identity"},
        {12, "Dropout", "x grow", "Identity"},
        {20, "Dropout", "x grow false", "Identity"},
        {20, "Dropout", "x grow true", "Dropout"},
        {20, "Dropout", "x grow x", "Dropout"},
    };
    struct loaded l;
    loaded_init(&l);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct onnx_node *node =
            upgraded(&l, cases[i].opset, cases[i].type, cases[i].inputs, "");
        assert_string_equal(node->type, cases[i].becomes);
        if (strcmp(cases[i].becomes, "Identity") == 0) {
            assert_int_equal(node->input_count, 1);
        }
    }
    loaded_fini(&l);
}

/* ---- Constants ------------------------------------------------------------------------------- */

static void test_constants(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    writer_node(&w, "Constant", "", "tensor", "");
    writer_tensor(&w, "value", MM_F64, "1 2", (const double[]){1, 2});
    writer_node(&w, "Constant", "", "float", "value_float=2.5");
    writer_node(&w, "Constant", "", "floats", "value_floats=[1.0,2.0,3.0]");
    writer_node(&w, "Constant", "", "int", "value_int=-7");
    writer_node(&w, "Constant", "", "ints", "value_ints=[4,5]");
    writer_node(&w, "Identity", "ints", "y", "");
    writer_output(&w, "y", MM_I64, "2");
    writer_output(&w, "int", MM_I64, "");
    writer_end(&w);
    must_load(&l, &w);
    must_resolve(&l);
    assert_int_equal(l.model.main->node_count, 1);
    assert_string_equal(l.model.main->nodes[0]->op->name, "Identity");
    assert_floats(constant_of(&l, "tensor"), (const float[]){1, 2}, 2);
    assert_int_equal(constant_of(&l, "tensor")->rank, 2);
    assert_floats(constant_of(&l, "float"), (const float[]){2.5F}, 1);
    assert_int_equal(constant_of(&l, "float")->rank, 0);
    assert_floats(constant_of(&l, "floats"), (const float[]){1, 2, 3}, 3);
    assert_int_equal(constant_of(&l, "floats")->rank, 1);
    assert_ints(constant_of(&l, "int"), (const int64_t[]){-7}, 1);
    assert_int_equal(constant_of(&l, "int")->rank, 0);
    assert_ints(constant_of(&l, "ints"), (const int64_t[]){4, 5}, 2);
    loaded_fini(&l);
}

static void refuse_node(struct loaded *l, const char *type, const char *inputs, const char *outputs,
                        const char *attributes) {
    struct writer w;
    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "1");
    writer_node(&w, type, inputs, outputs, attributes);
    writer_node_name(&w, "bad");
    writer_end(&w);
    must_load(l, &w);
}

static void test_constant_strings(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    writer_node(&w, "Constant", "", "one", "value_string=text");
    writer_node(&w, "Constant", "", "two", "");
    writer_open(&w, 5);
    writer_text(&w, 1, "value_strings");
    writer_text(&w, 9, "a");
    writer_text(&w, 9, "");
    writer_varint(&w, 20, 8);
    writer_close(&w);
    writer_end(&w);
    must_load(&l, &w);
    must_resolve(&l);
    const struct onnx_tensor *one = constant_of(&l, "one"), *two = constant_of(&l, "two");
    const struct onnx_string *text = one->data, *texts = two->data;
    assert_int_equal(one->dtype, MM_STRING);
    assert_int_equal(one->rank, 0);
    assert_int_equal(text->bytes, 4);
    assert_memory_equal(text->at, "text", 4);
    assert_int_equal(two->elements, 2);
    assert_int_equal(texts[0].bytes, 1);
    assert_int_equal(texts[1].bytes, 0);
    loaded_fini(&l);
}

static void test_bad_constants(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    refuse_node(&l, "Constant", "", "y", "");
    must_not_resolve(
        &l, MM_INVALID_MODEL,
        "Constant node 'bad': 0 inputs, 0 attributes and 1 outputs; 0, 1 and 1 wanted");
    refuse_node(&l, "Constant", "", "y", "value_int=1 value_float=1.0");
    must_not_resolve(&l, MM_INVALID_MODEL, "0 inputs, 2 attributes and 1 outputs");
    refuse_node(&l, "Constant", "", "y z", "value_int=1");
    must_not_resolve(&l, MM_INVALID_MODEL, "1 attributes and 2 outputs");
    loaded_fini(&l);
}

static void test_constant_text(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    refuse_node(&l, "Constant", "", "y", "value_string=text");
    must_resolve(&l);
    const struct onnx_tensor *text = constant_of(&l, "y");
    assert_int_equal(text->dtype, MM_STRING);
    assert_int_equal(text->rank, 0);
    assert_memory_equal(((const struct onnx_string *)text->data)->at, "text", 4);
    loaded_fini(&l);
}

/* ---- Operators ------------------------------------------------------------------------------- */

static void test_bad_nodes(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    refuse_node(&l, "Gelatine", "x", "y", "");
    must_not_resolve(
        &l, MM_UNSUPPORTED,
        "Gelatine node 'bad': this library does not run the operator Gelatine (domain ai.onnx, "
        "opset 13) yet");
    refuse_node(&l, "Identity", "x", "y", "");
    l.model.main->nodes[0]->domain = "com.example";
    must_not_resolve(&l, MM_UNSUPPORTED,
                     "does not run the operator Identity (domain com.example, opset 13) yet");
    refuse_node(&l, "Fused", "x", "y", ""); /* ours: no file may use it */
    l.model.main->nodes[0]->domain = "mmi";
    must_not_resolve(&l, MM_UNSUPPORTED, "does not run the operator Fused (domain mmi");
    refuse_node(&l, "Reshape", "x", "y", "");
    must_not_resolve(&l, MM_INVALID_MODEL, "Reshape node 'bad': 1 inputs, 2 to 2 wanted");
    refuse_node(&l, "Reshape", "x - -", "y", "");
    must_not_resolve(&l, MM_INVALID_MODEL, "Reshape node 'bad': 1 inputs, 2 to 2 wanted");
    refuse_node(&l, "Reshape", "x x x", "y", "");
    must_not_resolve(&l, MM_INVALID_MODEL, "3 inputs, 2 to 2 wanted");
    refuse_node(&l, "Reshape", "- x", "y", "");
    must_not_resolve(&l, MM_INVALID_MODEL, "its input 0 is left out");
    refuse_node(&l, "Concat", "x - x", "y", "axis=0");
    must_not_resolve(&l, MM_INVALID_MODEL, "its input 1 is left out");
    refuse_node(&l, "Identity", "x", "y z", "");
    must_not_resolve(&l, MM_INVALID_MODEL, "2 outputs, 1 to 1 wanted");
    refuse_node(&l, "Flatten", "x", "y", "axis=0.5");
    must_not_resolve(&l, MM_INVALID_MODEL, "Flatten node 'bad': attribute axis has type 1");

    writer_init(&w, 13); /* without a name it is called by its output */
    writer_node(&w, "Gelatine", "", "jelly", "");
    writer_end(&w);
    must_load(&l, &w);
    must_not_resolve(&l, MM_UNSUPPORTED, "Gelatine node that makes 'jelly': ");
    loaded_fini(&l);
}

/* Trailing inputs that are left out are dropped, and so are nodes whose outputs have no name. */
struct heard {
    uint32_t lines;
    char text[2048];
};

static void hear(void *user, int32_t level, const char *text) {
    struct heard *heard = user;
    assert_int_equal(level, MM_LOG_WARNING);
    heard->lines++;
    snprintf(heard->text + strlen(heard->text), sizeof(heard->text) - strlen(heard->text), "%s\n",
             text);
}

/* Where somebody listens, all that is wrong with a file is said, and nothing twice; the answer is
 * the same. */
static void test_everything_that_is_missing(void **state) {
    (void)state;
    struct loaded l;
    struct heard heard = {0};
    const mm_log log = {.user = &heard, .line = hear};
    loaded_init(&l);
    for (int listens = 0; listens < 2; listens++) {
        struct writer w;
        writer_init(&w, 17);
        writer_import(&w, "com.microsoft", 1);
        writer_input(&w, "x", MM_F32, NULL);
        writer_node(&w, "MatMulBnb4", "x", "a", "K=1");
        writer_node_domain(&w, "com.microsoft");
        writer_node_name(&w, "first");
        writer_node(&w, "Relu", "a", "b", "");
        writer_node(&w, "MatMulBnb4", "b", "c", "");
        writer_node_domain(&w, "com.microsoft");
        writer_node(&w, "Softmax", "c", "d", "depth=1");
        writer_node(&w, "Gelato", "d", "e", "");
        writer_end(&w);
        must_load(&l, &w);
        l.model.log = listens ? &log : NULL;
        must_not_resolve(&l, MM_UNSUPPORTED,
                         "MatMulBnb4 node 'first': this library does not run the operator "
                         "MatMulBnb4 (domain com.microsoft, opset 1), nor Gelato yet: export the "
                         "weights with DequantizeLinear in blocks");
        assert_int_equal(heard.lines, listens ? 3 : 0);
    }
    assert_non_null(strstr(heard.text, "no operator MatMulBnb4 (domain com.microsoft, opset 1), "
                                       "which 2 of the nodes want; the first is the MatMulBnb4 "
                                       "node 'first': export"));
    assert_non_null(strstr(heard.text, "no operator Gelato (domain ai.onnx, opset 17), which 1 of "
                                       "the nodes want; the first is the Gelato node that makes "
                                       "'e'\n"));
    assert_non_null(strstr(heard.text, "attribute depth, which it does not have"));
    loaded_fini(&l);
}

static void test_left_out(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    writer_init(&w, 13);
    writer_input(&w, "x", MM_F32, "4");
    writer_node(&w, "Squeeze", "x -", "y", "");
    writer_node(&w, "Identity", "x", "-", "");
    writer_output(&w, "y", MM_F32, NULL);
    writer_end(&w);
    must_load(&l, &w);
    must_resolve(&l);
    assert_int_equal(l.model.main->node_count, 1);
    assert_int_equal(l.model.main->nodes[0]->input_count, 1);
    assert_non_null(l.model.main->nodes[0]->op);
    assert_int_equal(l.model.main->nodes[0]->attribute_count, 0);
    loaded_fini(&l);
}

/* ---- Branches -------------------------------------------------------------------------------- */

/* If, whose branches have `then` and `otherwise` outputs; `takes`: and an input. */
static void write_if(struct writer *w, int then, int otherwise, bool takes) {
    static const char *const names[] = {"then_branch", "else_branch"};
    static const char *const outputs[] = {"a", "b", "c"};
    writer_init(w, 13);
    writer_input(w, "cond", MM_BOOL, "");
    writer_input(w, "x", MM_F32, "1");
    writer_node(w, "If", "cond", "y z", "");
    for (int i = 0; i < 2; i++) {
        writer_branch(w, names[i]);
        writer_node(w, "Constant", "", "k", "value_float=1.0");
        for (int j = 0; j < (i == 0 ? then : otherwise); j++) {
            writer_node(w, "Identity", j == 0 ? "k" : "x", outputs[j], "");
            writer_output(w, outputs[j], MM_F32, NULL);
        }
        if (takes) {
            writer_input(w, "in", MM_F32, NULL);
        }
        writer_branch_end(w);
    }
    writer_output(w, "z", MM_F32, NULL);
    writer_end(w);
}

static void test_branches(void **state) {
    (void)state;
    struct loaded l;
    struct writer w;
    loaded_init(&l);
    write_if(&w, 2, 2, false);
    must_load(&l, &w);
    must_resolve(&l);
    const struct onnx_node *node = l.model.main->nodes[0];
    for (int i = 0; i < 2; i++) {
        const struct onnx_graph *branch = node->graphs[i];
        assert_non_null(branch);
        assert_int_equal(branch->node_count, 2); /* the Constant node is gone */
        assert_int_equal(branch->output_count, 2);
        assert_string_equal(branch->nodes[0]->op->name, "Identity");
        assert_int_equal(branch->nodes[1]->inputs[0], l.model.main->inputs[1]);
    }
    assert_floats(constant_of(&l, "k"), (const float[]){1}, 1);

    write_if(&w, 2, 1, false);
    must_load(&l, &w);
    must_not_resolve(&l, MM_INVALID_MODEL,
                     "else_branch has 0 inputs and 1 outputs, 0 and 2 wanted");
    write_if(&w, 3, 2, false);
    must_load(&l, &w);
    must_not_resolve(&l, MM_INVALID_MODEL, "then_branch has 0 inputs and 3 outputs");
    write_if(&w, 2, 2, true);
    must_load(&l, &w);
    must_not_resolve(&l, MM_INVALID_MODEL, "then_branch has 1 inputs and 2 outputs");

    writer_init(&w, 13); /* an error names the node inside the branch */
    writer_input(&w, "cond", MM_BOOL, "");
    writer_node(&w, "If", "cond", "y", "");
    for (int i = 0; i < 2; i++) {
        writer_branch(&w, i == 0 ? "then_branch" : "else_branch");
        writer_node(&w, "Gelatine", "cond", "a", "");
        writer_output(&w, "a", MM_F32, NULL);
        writer_branch_end(&w);
    }
    writer_end(&w);
    must_load(&l, &w);
    must_not_resolve(&l, MM_UNSUPPORTED, "Gelatine node that makes 'a': this library does not");
    assert_memory_equal(l.err.text, "Gelatine node", 13);
    loaded_fini(&l);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct loaded l;
        struct writer w;
        loaded_init(&l);
        writer_init(&w, 9);
        writer_input(&w, "x", MM_F32, "4");
        char name[8] = "a0", input[8] = "x";
        for (int i = 0; i < 26; i++) { /* enough for several blocks */
            for (int j = 0; j < 10; j++) {
                name[0] = (char)('a' + i);
                name[1] = (char)('0' + j);
                writer_node(&w, "Unsqueeze", input, name, "axes=[0]");
                memcpy(input, name, sizeof(input));
            }
        }
        writer_end(&w);
        must_load(&l, &w);
        world_fail_alloc(&l.world, nth);
        mm_status status = mmi_onnx_resolve(&l.model, &l.err);
        bool hit = world_failed(&l.world);
        assert_int_equal(status, hit ? MM_NO_MEMORY : MM_OK);
        loaded_fini(&l);
        if (!hit) {
            assert_true(nth > 1);
            break;
        }
    }
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static void load_scaler(struct loaded *l, int64_t opset, const char *inputs,
                        const char *attributes) {
    struct writer w;
    writer_init(&w, 18);
    writer_input(&w, "x", MM_F32, NULL);
    writer_node(&w, "Scaler", inputs, "y", attributes);
    writer_node_domain(&w, "ai.onnx.ml");
    writer_end(&w);
    writer_import(&w, "ai.onnx.ml", opset);
    must_load(l, &w);
}

static void test_lists_become_inputs(void **state) {
    (void)state;
    struct loaded l;
    loaded_init(&l);
    load_scaler(&l, 3, "x", "scale=[1.5,2.5]");
    must_resolve(&l);
    assert_int_equal(l.model.main->nodes[0]->opset, 3);
    const struct onnx_node *node = l.model.main->nodes[0];
    assert_int_equal(node->input_count, 3);
    assert_int_equal(node->inputs[1], ONNX_NO_VALUE); /* offset */
    assert_floats(mmi_onnx_constant(&l.model, node, 2), (const float[]){1.5F, 2.5F}, 2);
    load_scaler(&l, 3, "x x", "scale=[1.5,2.5]");
    must_not_resolve(&l, MM_INVALID_MODEL, "2 inputs, 1 to 1 wanted");
    load_scaler(&l, 3, "x", "scale=[1,2]");
    must_not_resolve(&l, MM_INVALID_MODEL, "attribute scale has type 7, 6 wanted");
    load_scaler(&l, 3, "x", "shift=[1.5]");
    must_not_resolve(&l, MM_INVALID_MODEL, "attribute shift, which it does not have in opset 3");
    load_scaler(&l, 6, "x", "scale=[1.5]");
    must_not_resolve(&l, MM_UNSUPPORTED, "opset 6 of ai.onnx.ml, 1 to 5 wanted");
    loaded_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes_that_became_inputs),
        cmocka_unit_test(test_clip_and_pad),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_renamed),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_constant_strings),
        cmocka_unit_test(test_bad_constants),
        cmocka_unit_test(test_bad_nodes),
        cmocka_unit_test(test_everything_that_is_missing),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_constant_text),
        cmocka_unit_test(test_lists_become_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
