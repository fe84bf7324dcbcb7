/* SPDX-License-Identifier: Apache-2.0 */

/* What importer and passes never leave is refused where a graph comes from stored bytes. */

#include "graph_runner.h"

#include <backends/onnx/operators/operator.h>
#include <backends/onnx/steps/sound.h>

#include <stdlib.h>
#include <string.h>

/* y = Where(c, Add(x, 1), x); z = an If whose branches are Neg and Exp of y. */
static void build(struct bench *b) {
    bench_init(b, 1);
    uint32_t x = bench_input(b, MM_F32, "2"), c = bench_input(b, MM_BOOL, "");
    uint32_t more = BENCH_NODE(b, "Add", "", x, bench_scalar(b, 1));
    uint32_t y = BENCH_NODE(b, "Where", "", c, more, x);
    struct onnx_graph *then = bench_branch(b);
    bench_branch_end(b, then, BENCH_NODE(b, "Neg", "", y));
    struct onnx_graph *otherwise = bench_branch(b);
    bench_branch_end(b, otherwise, BENCH_NODE(b, "Exp", "", y));
    bench_output(b, bench_if(b, c, then, otherwise));
}

/* By what it is damaged. */

static void nothing(struct bench *b) {
    (void)b;
}

static void output_is_none(struct bench *b) {
    b->model.main->outputs[0] = ONNX_NO_VALUE;
}

static void input_is_none(struct bench *b) {
    b->model.main->inputs[0] = ONNX_NO_VALUE;
}

static void input_is_twice(struct bench *b) {
    b->model.main->inputs[1] = b->model.main->inputs[0];
}

static void read_before(struct bench *b) {
    bench_find(b, "Add")->inputs[0] = bench_find(b, "Where")->outputs[0];
}

static void read_behind_its_branch(struct bench *b) {
    b->model.main->outputs[0] = bench_find(b, "If")->graphs[0]->outputs[0];
}

static void made_twice(struct bench *b) {
    bench_find(b, "Where")->outputs[0] = bench_find(b, "Add")->outputs[0];
}

static void made_though_constant(struct bench *b) {
    bench_find(b, "Add")->outputs[0] = bench_find(b, "Add")->inputs[1];
}

static void too_few_inputs(struct bench *b) {
    bench_find(b, "Where")->input_count = 2;
}

static void needed_input_left_out(struct bench *b) {
    bench_find(b, "Where")->inputs[1] = ONNX_NO_VALUE;
}

static void no_outputs(struct bench *b) {
    bench_find(b, "Add")->output_count = 0;
}

static void test_graphs(void **state) {
    (void)state;
    void (*const damages[])(struct bench *) = {
        nothing,        output_is_none,         input_is_none, input_is_twice,
        read_before,    read_behind_its_branch, made_twice,    made_though_constant,
        too_few_inputs, needed_input_left_out,  no_outputs};
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct bench b;
        build(&b);
        damages[i](&b);
        mm_status status = mmi_onnx_check_sound(&b.model, &b.err);
        assert_int_equal(status, i == 0 ? MM_OK : MM_CORRUPT);
        bench_fini(&b);
    }
}

static void test_lists(void **state) {
    (void)state;
    struct bench b;
    build(&b);
    struct onnx_node *where = bench_find(&b, "Where");
    where->op = mmi_onnx_find_operator(ONNX_ML, "LabelEncoder"); /* one input, and lists */
    assert_int_equal(mmi_onnx_check_sound(&b.model, &b.err), MM_CORRUPT);
    bench_fini(&b);
}

static void test_no_memory(void **state) {
    (void)state;
    struct bench b;
    build(&b);
    world_fail_alloc(&b.world, 1);
    assert_int_equal(mmi_onnx_check_sound(&b.model, &b.err), MM_NO_MEMORY);
    bench_fini(&b);
}

static void test_infos(void **state) {
    (void)state;
    const mm_value_info good = {.name = "x", .dtype = MM_F32, .rank = 2, .shape = {2, -1}};
    assert_true(mmi_onnx_info_is_sound(&good));
    const mm_value_info bad[] = {{.dtype = MM_F32, .rank = MM_MAX_RANK + 1},
                                 {.dtype = MM_F32, .rank = -2},
                                 {.dtype = MM_F32, .rank = 1, .shape = {-2}},
                                 {.dtype = 27},
                                 {.dtype = -1},
                                 {.dtype = MM_F32, .kind = MM_MAP + 1},
                                 {.dtype = MM_F32, .kind = -1},
                                 {.dtype = MM_F32, .flags = 1u << 2}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(mmi_onnx_info_is_sound(&bad[i]));
    }
}

static void test_constants(void **state) {
    (void)state;
    struct onnx_tensor tensor;
    assert_int_equal(mmi_onnx_tensor_set(&tensor, MM_F32, 2, (const int64_t[]){3, 17}, NULL),
                     MM_OK);
    assert_true(mmi_onnx_constant_is_sound(&tensor));
    tensor.bytes--;
    assert_false(mmi_onnx_constant_is_sound(&tensor));
    tensor.layout = ONNX_PANELS;
    tensor.bytes = 2 * 3 * 16 * sizeof(float); /* two panels */
    assert_true(mmi_onnx_constant_is_sound(&tensor));
    tensor.bytes += sizeof(float);
    assert_false(mmi_onnx_constant_is_sound(&tensor));
    tensor.bytes -= sizeof(float);
    tensor.rank = 1;
    assert_false(mmi_onnx_constant_is_sound(&tensor));
    assert_int_equal(mmi_onnx_tensor_set(&tensor, MM_F32, 0, NULL, NULL), MM_OK);
    tensor.layout = 2;
    assert_false(mmi_onnx_constant_is_sound(&tensor));
    tensor = (struct onnx_tensor){.dtype = 99, .elements = 1};
    assert_false(mmi_onnx_constant_is_sound(&tensor));
}

/* ---- Parameters ------------------------------------------------------------------------------ */

static void put_number(uint8_t *params, const struct onnx_limit *limit, uint32_t i,
                       int64_t number) {
    int32_t small = (int32_t)number;
    memcpy(params + limit->at + i * limit->bytes, limit->bytes == 4 ? (void *)&small : &number,
           limit->bytes);
}

static int64_t allowed(const struct onnx_limit *limit) {
    int64_t type = 0;
    while (limit->types && !(limit->types >> type & 1)) {
        type++;
    }
    return limit->types ? type : limit->least;
}

/* Each number by itself is what it must not be. */
static void check_limits(const struct onnx_operator *op, uint8_t *params) {
    mm_error err;
    for (const struct onnx_limit *limit = op->limits; limit->name; limit++) {
        assert_true(limit->bytes == 4 || limit->bytes == 8);
        uint32_t bytes = (uint32_t)limit->bytes * limit->count;
        assert_true(limit->at + bytes <= op->params_bytes);
        for (uint32_t i = 0; i < limit->count; i++) {
            put_number(params, limit, i, allowed(limit));
        }
    }
    assert_int_equal(mmi_onnx_check_params(op, params, &err), MM_OK);
    for (const struct onnx_limit *limit = op->limits; limit->name; limit++) {
        uint32_t last = limit->count - 1u;
        put_number(params, limit, last, limit->types ? 99 : limit->least - 1);
        assert_int_equal(mmi_onnx_check_params(op, params, &err), MM_INVALID_MODEL);
        assert_non_null(strstr(err.text, limit->name));
        if (!limit->types && limit->most < INT32_MAX) {
            put_number(params, limit, last, limit->most + 1);
            assert_int_equal(mmi_onnx_check_params(op, params, &err), MM_INVALID_MODEL);
        }
        put_number(params, limit, last, allowed(limit));
    }
}

static void test_limits(void **state) {
    (void)state;
    uint32_t checked = 0;
    for (uint32_t i = 0; mmi_onnx_operators[i]; i++) {
        struct onnx_operator op = *mmi_onnx_operators[i];
        op.check = NULL;
        uint8_t *params = calloc(1, op.params_bytes + 1);
        if (op.limits) {
            check_limits(&op, params);
            checked++;
        }
        free(params);
    }
    assert_true(checked > 50);
}

/* What once was divided by. */
static void test_divisors(void **state) {
    (void)state;
    static const struct {
        const char *domain, *type, *name;
    } divisors[] = {{"", "Conv", "strides"},
                    {"", "MaxPool", "strides"},
                    {"", "Conv", "group"},
                    {ONNX_OURS, "ChannelsLastConv", "strides"},
                    {ONNX_OURS, "ChannelsLastConv", "dilations"},
                    {ONNX_OURS, "ChannelsLastConv", "group"},
                    {ONNX_OURS, "ChannelsLastConvTranspose", "strides"},
                    {ONNX_OURS, "ChannelsLastConvTranspose", "group"},
                    {ONNX_OURS, "ChannelsLastMaxPool", "strides"},
                    {ONNX_OURS, "ChannelsLastAveragePool", "strides"},
                    {ONNX_MICROSOFT, "GroupNorm", "groups"}};
    for (size_t i = 0; i < sizeof(divisors) / sizeof(divisors[0]); i++) {
        const struct onnx_limit *limit =
            mmi_onnx_find_operator(divisors[i].domain, divisors[i].type)->limits;
        while (limit->name && strcmp(limit->name, divisors[i].name) != 0) {
            limit++;
        }
        assert_true(limit->name && limit->least == 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graphs),    cmocka_unit_test(test_lists),
        cmocka_unit_test(test_no_memory), cmocka_unit_test(test_infos),
        cmocka_unit_test(test_constants), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_divisors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
