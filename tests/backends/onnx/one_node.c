/* SPDX-License-Identifier: Apache-2.0 */
#include "one_node.h"

#include <backends/onnx/operators/number.h>
#include <backends/onnx/passes/facts.h>
#include <base/status.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_blanks(const char *text) {
    return text + strspn(text, " ");
}

/* ---- Tensors as text */

static int32_t read_type(const char **text) {
    size_t length = strcspn(*text, "[");
    for (int32_t dtype = MM_F32; dtype <= MM_I2; dtype++) {
        const char *name = mm_dtype_text(dtype);
        if (strlen(name) == length && strncmp(name, *text, length) == 0) {
            *text += length;
            return dtype;
        }
    }
    fail_msg("no type: %s", *text);
    return MM_DTYPE_NONE;
}

/* The element becomes `number`, or `whole` where it is no float. */
static void put_element(struct onnx_tensor *tensor, uint64_t i, double number, int64_t whole) {
    uint8_t *data = (uint8_t *)(uintptr_t)tensor->data;
    uint32_t width = mmi_onnx_element_bytes(tensor->dtype);
    uint32_t bits = mmi_onnx_packed_bits(tensor->dtype);
    if (bits > 0) {
        uint32_t in_byte = (uint32_t)(i % (8 / bits)) * bits, mask = (1u << bits) - 1;
        uint8_t *byte = &data[i * bits / 8];
        *byte = (uint8_t)((in_byte ? *byte : 0) | ((uint32_t)whole & mask) << in_byte);
    } else if (tensor->dtype == MM_F32) {
        ((float *)data)[i] = (float)number;
    } else if (tensor->dtype == MM_F64) {
        ((double *)data)[i] = number;
    } else {
        memset(data + i * width, 0, width);
        memcpy(data + i * width, &whole, width < sizeof(whole) ? width : sizeof(whole));
    }
}

static void new_tensor(struct one_node *one, struct onnx_tensor *tensor, int32_t dtype,
                       uint32_t rank, const int64_t *shape) {
    assert_int_equal(mmi_onnx_tensor_set(tensor, dtype, rank, shape, NULL), MM_OK);
    tensor->data = tensor->bytes ? mmi_onnx_take_data(&one->bench.arena, tensor->bytes) : NULL;
    tensor->known = 1;
    assert_true(tensor->bytes == 0 || tensor->data);
}

/* "f32[2,3] 1 2 3 4 5 6"; returns what follows. */
static const char *read_tensor(struct one_node *one, const char *text, struct onnx_tensor *tensor) {
    int64_t shape[MM_MAX_RANK];
    uint32_t rank = 0;
    bool unknown = *text == '?';
    text += unknown ? 1 : 0;
    int32_t dtype = read_type(&text);
    assert_int_equal(*text++, '[');
    while (*text != ']') {
        char *end;
        assert_true(rank < MM_MAX_RANK);
        shape[rank++] = strtoll(text, &end, 10);
        assert_ptr_not_equal(end, text);
        text = end + strspn(end, ", ");
    }
    text = skip_blanks(text + 1);
    new_tensor(one, tensor, dtype, rank, shape);
    bool counts = strncmp(text, "..", 2) == 0;
    text += counts ? 2 : 0;
    for (uint64_t i = 0; i < tensor->elements && dtype == MM_STRING; i++) { /* words */
        struct onnx_string *strings = (struct onnx_string *)(uintptr_t)tensor->data;
        uint64_t length = strcspn(text, " |;");
        strings[i] = (struct onnx_string){text, length};
        text = skip_blanks(text + length);
    }
    text = skip_blanks(text);
    bool bare = mmi_onnx_packed_bits(dtype) > 0 && (*text == '|' || *text == '\0');
    bool numbers = dtype != MM_STRING && !bare; /* packed ones may have none where none matter */
    for (uint64_t i = 0; i < tensor->elements && numbers; i++) {
        char *end = (char *)(uintptr_t)text;
        double number = counts ? (double)i : strtod(text, &end);
        assert_true(counts || end != text);
        put_element(tensor, i, number, counts ? (int64_t)i : (int64_t)strtoull(text, NULL, 10));
        text = end;
    }
    tensor->known = !unknown;
    return skip_blanks(text);
}

/* Tensors with "|" between; how many. */
static uint32_t read_tensors(struct one_node *one, const char *text, struct onnx_tensor *tensors) {
    uint32_t count = 0;
    text = skip_blanks(text);
    one->map |= strncmp(text, "map ", 4) == 0;
    text += strncmp(text, "map ", 4) == 0 ? 4 : 0;
    while (*text) {
        assert_true(count < ONE_MAX);
        text = *text == '-' ? skip_blanks(text + 1) : read_tensor(one, text, &tensors[count]);
        count++;
        assert_true(*text == '|' || *text == '\0');
        text = *text == '|' ? skip_blanks(text + 1) : text;
    }
    return count;
}

/* ---- In steps */

/* "value i32[1] 7"; returns the ";" that follows, or NULL. */
static const char *read_tensor_attribute(struct one_node *one, const char *name) {
    const char *value = strchr(name, ' ');
    struct onnx_tensor *read = mmi_onnx_take(&one->bench.arena, 1, sizeof(*read));
    assert_non_null(value);
    assert_non_null(read);
    const char *rest = read_tensor(one, skip_blanks(value), read);
    one->node.attributes[one->node.attribute_count++] = (struct onnx_attribute){
        .name = mmi_onnx_take_text(&one->bench.arena, name, (size_t)(value - name)),
        .type = ONNX_ATTRIBUTE_TENSOR,
        .tensor = read};
    return *rest == ';' ? rest : NULL;
}

void one_init(struct one_node *one, const char *type, const char *attributes) {
    memset(one, 0, sizeof(*one));
    bench_init(&one->bench, 1);
    const char *tensor = strchr(attributes, ';');
    size_t length = tensor ? (size_t)(tensor - attributes) : strlen(attributes);
    one->node = (struct onnx_node){.name = "", .type = type, .domain = ""};
    bench_attributes(&one->bench, mmi_onnx_take_text(&one->bench.arena, attributes, length),
                     &one->node);
    for (uint32_t i = 0; i < one->node.attribute_count; i++) {
        const struct onnx_attribute *attribute = &one->node.attributes[i];
        one->opset = strcmp(attribute->name, "opset") == 0 ? attribute->i : one->opset;
        one->node.attributes[i].known = strcmp(attribute->name, "opset") == 0;
    }
    while (tensor) {
        tensor = read_tensor_attribute(one, skip_blanks(tensor + 1));
    }
    const char *slash = strchr(type, '/');
    if (slash) {
        one->node.domain = mmi_onnx_take_text(&one->bench.arena, type, (size_t)(slash - type));
        one->node.type = slash + 1;
    }
    one->op = mmi_onnx_find_operator(one->node.domain, one->node.type);
    one->op = one->op ? one->op : mmi_onnx_find_operator("ai.onnx.preview.training", type);
    one->op = one->op ? one->op : mmi_onnx_find_operator(ONNX_ML, type);
    assert_non_null(one->op);
    one->opset = one->opset ? one->opset : one->op->domain ? 5 : 25;
    one->node.params = mmi_onnx_take(&one->bench.arena, 1, one->op->params_bytes);
    assert_non_null(one->node.params);
}

void one_fini(struct one_node *one) {
    bench_fini(&one->bench);
}

struct onnx_tensor *one_input(struct one_node *one, int32_t dtype, uint32_t rank,
                              const int64_t *shape, const void *data) {
    assert_true(one->x.input_count < ONE_MAX);
    struct onnx_tensor *tensor = &one->inputs[one->x.input_count++];
    new_tensor(one, tensor, dtype, rank, shape);
    for (uint64_t i = 0; i < tensor->elements && !data; i++) {
        put_element(tensor, i, (double)(i + 1), (int64_t)i + 1);
    }
    if (data && tensor->bytes > 0) {
        memcpy((void *)(uintptr_t)tensor->data, data, tensor->bytes);
    }
    return tensor;
}

const double *one_numbers(struct one_node *one, int32_t dtype, uint32_t rank, const int64_t *shape,
                          uint64_t *seed) {
    const struct onnx_tensor *tensor = one_input(one, dtype, rank, shape, NULL);
    double *numbers = mmi_onnx_take(&one->bench.arena, tensor->elements, sizeof(*numbers));
    assert_non_null(numbers);
    for (uint64_t i = 0; i < tensor->elements; i++) {
        numbers[i] = (double)test_random_below(seed, 3) - 1;
    }
    if (tensor->elements > 0) {
        mmi_onnx_convert(MM_F64, numbers, tensor->elements, dtype, (void *)(uintptr_t)tensor->data);
    }
    return numbers;
}

static struct onnx_fact fact_of(const struct onnx_tensor *tensor) {
    return (struct onnx_fact){.dtype = tensor->dtype,
                              .rank = tensor->dtype == MM_DTYPE_NONE ? -1 : (int32_t)tensor->rank,
                              .last = tensor->rank > 0 ? tensor->shape[tensor->rank - 1] : 0};
}

/* What the operator says of its outputs before shapes are known holds for what came out: with
 * all inputs constant, and with none. */
static void check_facts(const struct one_node *one, bool constant) {
    struct onnx_value values[2 * ONE_MAX] = {{0}};
    struct onnx_fact facts[2 * ONE_MAX];
    uint32_t inputs[ONE_MAX], outputs[ONE_MAX];
    struct onnx_model model = {.values = values, .value_count = 2 * ONE_MAX};
    struct onnx_node node = {.op = one->op,
                             .params = one->node.params,
                             .inputs = inputs,
                             .outputs = outputs,
                             .input_count = one->x.input_count,
                             .output_count = one->x.output_count};
    for (uint32_t i = 0; i < ONE_MAX; i++) {
        bool given = i < node.input_count && one->inputs[i].dtype != MM_DTYPE_NONE;
        struct onnx_tensor *input = (struct onnx_tensor *)(uintptr_t)&one->inputs[i];
        values[i].constant = constant && given && input->known ? input : NULL;
        facts[i] = given ? fact_of(input) : (struct onnx_fact){.rank = -1};
        inputs[i] = given ? i : ONNX_NO_VALUE;
        outputs[i] = ONE_MAX + i;
    }
    for (uint32_t i = 0; i < node.output_count; i++) {
        struct onnx_learning l = {.model = &model, .node = &node, .facts = facts};
        struct onnx_fact says = mmi_onnx_learn(&l, i), is = fact_of(&one->outputs[i]);
        bool holds = (says.dtype == MM_DTYPE_NONE || says.dtype == is.dtype) &&
                     (says.rank < 0 || says.rank == is.rank) &&
                     (says.last == 0 || says.last == is.last);
        if (!holds) {
            fail_msg("%s: output %u is %s, %d axes, the last %d; its facts are %s, %d, %d",
                     one->op->name, i, mm_dtype_text(is.dtype), is.rank, (int)is.last,
                     mm_dtype_text(says.dtype), says.rank, (int)says.last);
        }
    }
}

static void *more_memory(void *arena, uint64_t bytes) {
    return mmi_onnx_take_data(arena, bytes);
}

static struct onnx_run_value value_of(const struct onnx_tensor *tensor) {
    struct onnx_run_value value = {
        .kind = MM_TENSOR, .there = tensor->dtype != MM_DTYPE_NONE, .tensor = *tensor};
    value.tensor.data = tensor->bytes ? tensor->data : mmi_onnx_nothing;
    return value;
}

/* An operator that executes, in memory of the bench's arena. */
static mm_status execute(struct one_node *one) {
    uint32_t from = one->map ? 1 : 0;
    one->memory = (struct onnx_run_memory){.more = more_memory, .ctx = &one->bench.arena};
    for (uint32_t i = 0; i < one->x.input_count; i++) {
        one->values[i] = value_of(&one->inputs[i]);
    }
    if (one->map) {
        one->values[ONE_MAX] = one->values[0];
        one->values[ONE_MAX + 1] = one->values[1];
        one->values[1] = (struct onnx_run_value){
            .kind = MM_MAP, .there = true, .items = one->values + ONE_MAX, .item_count = 2};
    }
    struct onnx_execution x = {.node = &one->node,
                               .params = one->node.params,
                               .input_count = one->x.input_count - from,
                               .output_count = one->x.output_count,
                               .inputs = one->values + from,
                               .outputs = one->made,
                               .memory = &one->memory,
                               .services = &one->bench.services};
    MMI_TRY(one->op->execute(&x, &one->bench.err));
    for (uint32_t i = 0; i < one->x.output_count; i++) {
        assert_true(one->made[i].there);
        one->outputs[i] = one->made[i].tensor;
    }
    return MM_OK;
}

/* Behind its own inputs: the constants that its attributes become. */
static mm_status add_lists(struct one_node *one, const struct onnx_attributes *attributes) {
    struct onnx_lists lists = {.arena = &one->bench.arena};
    MMI_TRY(mmi_onnx_read_lists(one->op, attributes, one->node.params, &lists, &one->bench.err));
    uint32_t own = one->op->max_inputs + (one->map ? 1 : 0);
    bool any = one->op->max_inputs == ONNX_ANY_NUMBER;
    one->x.input_count = any || !one->op->lists ? one->x.input_count : own;
    for (uint32_t i = 0; i < lists.count; i++) {
        assert_true(one->x.input_count < ONE_MAX);
        lists.at[i].known = lists.at[i].dtype != MM_DTYPE_NONE;
        one->inputs[one->x.input_count++] = lists.at[i];
    }
    return MM_OK;
}

static mm_status run_lists(struct one_node *one, uint32_t output_count) {
    struct onnx_attributes attributes = {.node = &one->node, .opset = one->opset};
    one->x.params = one->node.params;
    one->x.inputs = one->inputs;
    one->x.outputs = one->outputs;
    one->x.output_count = output_count;
    MMI_TRY(mmi_onnx_read_params(one->op, &attributes, one->node.params, &one->bench.err));
    MMI_TRY(add_lists(one, &attributes));
    MMI_TRY(mmi_onnx_check_known(&attributes, &one->bench.err));
    if (!one->op->infer) {
        return execute(one);
    }
    MMI_TRY(mmi_onnx_evaluate(one->op, &one->x, &one->bench.arena, UINT64_C(1) << 40,
                              &one->bench.services, &one->bench.err));
    check_facts(one, true);
    check_facts(one, false);
    return MM_OK;
}

mm_status one_run(struct one_node *one, uint32_t output_count) {
    uint32_t own = one->x.input_count;
    mm_status status = run_lists(one, output_count);
    one->x.input_count = own; /* it may run again */
    return status;
}

void one_run_out_of_memory(struct one_node *one, uint32_t output_count) {
    for (uint64_t nth = 1, failed = true; failed; nth++) {
        struct onnx_arena inputs = one->bench.arena;
        mmi_onnx_arena_init(&one->bench.arena, &one->bench.services.allocator);
        world_fail_alloc(&one->bench.world, nth);
        mm_status status = one_run(one, output_count);
        failed = world_failed(&one->bench.world);
        world_fail_alloc(&one->bench.world, 0);
        assert_int_equal(status, failed ? MM_NO_MEMORY : MM_OK);
        assert_true(nth > 1 || failed);
        mmi_onnx_arena_free(&one->bench.arena);
        one->bench.arena = inputs;
    }
}

/* ---- Whole cases */

void one_expect_near(const char *type, const char *attributes, const char *inputs,
                     const char *outputs, double tolerance) {
    struct one_node one;
    struct onnx_tensor wanted[ONE_MAX] = {0};
    one_init(&one, type, attributes);
    one.x.input_count = read_tensors(&one, inputs, one.inputs);
    uint32_t count = read_tensors(&one, outputs, wanted);
    if (one_run(&one, count) != MM_OK) {
        fail_msg("%s %s of %s: %s", type, attributes, inputs, one.bench.err.text);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct onnx_tensor *a = &one.outputs[i], *b = &wanted[i];
        bool same = a->dtype == b->dtype && a->rank == b->rank && a->bytes == b->bytes &&
                    memcmp(a->shape, b->shape, a->rank * sizeof(a->shape[0])) == 0;
        same = same && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
        if (tolerance > 0 || b->dtype == MM_STRING) {
            assert_tensors(b, a, tolerance);
        } else if (!same) {
            print_error("%s %s of %s: output %u is not that of %s\n", type, attributes, inputs, i,
                        outputs);
            assert_tensors(b, a, 0);
            fail();
        }
    }
    one_fini(&one);
}

void one_expect_all(const struct one_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        one_expect_near(cases[i].type, cases[i].attributes, cases[i].inputs, cases[i].outputs,
                        cases[i].tolerance);
    }
}

/* `text` with the name of a type in place of every "@". */
static void put_type(char *to, size_t room, const char *text, const char *name) {
    size_t used = 0;
    for (; *text; text++) {
        const char *part = *text == '@' ? name : (const char[]){*text, '\0'};
        assert_true(used + strlen(part) < room);
        used += (size_t)snprintf(to + used, room - used, "%s", part);
    }
    to[used] = '\0';
}

void one_expect(const char *type, const char *attributes, const char *inputs, const char *outputs) {
    static const char *const names[] = {"bool", "bf16", "f32", "i64", "c128"};
    bool any = strchr(inputs, '@') || strchr(attributes, '@');
    for (size_t i = 0; i < (any ? sizeof(names) / sizeof(names[0]) : 1); i++) {
        char in[1024], out[1024], attribute[1024];
        put_type(in, sizeof(in), inputs, names[i]);
        put_type(out, sizeof(out), outputs, names[i]);
        put_type(attribute, sizeof(attribute), attributes, names[i]);
        one_expect_near(type, attribute, in, out, 0);
    }
}

void one_refuse(const char *type, const char *attributes, const char *inputs, mm_status status,
                const char *text) {
    struct one_node one;
    one_init(&one, type, attributes);
    one.x.input_count = read_tensors(&one, inputs, one.inputs);
    mm_status got = one_run(&one, one.op->min_outputs);
    if (got != status || !strstr(one.bench.err.text, text)) {
        fail_msg("%s %s of %s: %s: %s", type, attributes, inputs, mm_status_name(got),
                 one.bench.err.text);
    }
    one_fini(&one);
}
