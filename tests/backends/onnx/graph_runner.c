/* SPDX-License-Identifier: Apache-2.0 */
#include "graph_runner.h"

#include <backends/onnx/operators/number.h>
#include <backends/onnx/passes/facts.h>
#include <base/alloc.h>
#include <base/status.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NODES 512
#define MAX_OUTPUTS 16
#define OPSET 20

/* ---- Building */

static void run_all(void *host, uint64_t count, void (*body)(void *ctx, uint64_t i), void *ctx) {
    (void)host;
    for (uint64_t i = count; i-- > 0;) {
        body(ctx, i);
    }
}

static void *take(struct bench *bench, uint64_t count, uint64_t bytes) {
    void *memory = mmi_onnx_take(&bench->arena, count, bytes);
    assert_non_null(memory);
    return memory;
}

static struct onnx_graph *new_graph(struct bench *bench) {
    struct onnx_graph *graph = take(bench, 1, sizeof(*graph));
    graph->nodes = take(bench, MAX_NODES, sizeof(*graph->nodes));
    graph->inputs = take(bench, MAX_OUTPUTS, sizeof(*graph->inputs));
    graph->outputs = take(bench, MAX_OUTPUTS, sizeof(*graph->outputs));
    return graph;
}

void bench_init(struct bench *bench, uint64_t seed) {
    memset(bench, 0, sizeof(*bench));
    world_init(&bench->world);
    bench->services = (mm_services){.struct_size = sizeof(mm_services),
                                    .allocator = bench->world.env.alloc,
                                    .parallel_for = run_all,
                                    .threads = 2,
                                    .limits_nesting = 64};
    mmi_onnx_arena_init(&bench->arena, &bench->services.allocator);
    bench->seed = seed;
    bench->model.arena = &bench->arena;
    bench->model.nesting = 64;
    bench->model.opset = OPSET;
    bench->model.main = bench->graph = new_graph(bench);
    bench->model.inputs = take(bench, MAX_OUTPUTS, sizeof(*bench->model.inputs));
    bench->model.outputs = take(bench, MAX_OUTPUTS, sizeof(*bench->model.outputs));
}

void bench_fini(struct bench *bench) {
    mmi_onnx_arena_free(&bench->arena);
    world_fini(&bench->world);
}

/* "2 ? 4": 2, -1, 4. */
static uint32_t read_shape(const char *text, int64_t shape[MM_MAX_RANK]) {
    uint32_t rank = 0;
    while (*text) {
        assert_true(rank < MM_MAX_RANK);
        if (*text == '?') {
            shape[rank++] = -1;
            text++;
        } else {
            char *end;
            shape[rank++] = strtoll(text, &end, 10);
            assert_ptr_not_equal(end, text);
            text = end;
        }
        text += strspn(text, " ");
    }
    return rank;
}

static uint32_t new_value(struct bench *bench, const char *prefix) {
    char name[32];
    snprintf(name, sizeof(name), "%s%u", prefix, bench->model.value_count);
    char *copy = mmi_onnx_take_text(&bench->arena, name, strlen(name));
    uint32_t value = mmi_onnx_add_value(&bench->model, copy);
    assert_int_not_equal(value, ONNX_NO_VALUE);
    return value;
}

uint32_t bench_input(struct bench *bench, int32_t dtype, const char *shape) {
    uint32_t value = new_value(bench, "x");
    struct onnx_graph *main = bench->model.main;
    assert_true(main->input_count < MAX_OUTPUTS);
    mm_value_info *info = &bench->model.inputs[main->input_count];
    info->name = bench->model.values[value].name;
    info->dtype = dtype;
    info->rank = (int32_t)read_shape(shape, info->shape);
    main->inputs[main->input_count++] = value;
    return value;
}

void bench_output(struct bench *bench, uint32_t value) {
    struct onnx_graph *main = bench->model.main;
    assert_true(main->output_count < MAX_OUTPUTS);
    bench->model.outputs[main->output_count].name = bench->model.values[value].name;
    bench->model.outputs[main->output_count].rank = -1;
    main->outputs[main->output_count++] = value;
}

static struct onnx_tensor new_tensor(struct bench *bench, int32_t dtype, const char *text,
                                     void **data) {
    struct onnx_tensor tensor;
    int64_t shape[MM_MAX_RANK];
    uint32_t rank = read_shape(text, shape);
    assert_int_equal(mmi_onnx_tensor_set(&tensor, dtype, rank, shape, NULL), MM_OK);
    tensor.data = *data = mmi_onnx_take_data(&bench->arena, tensor.bytes);
    assert_non_null(*data);
    tensor.known = 1;
    return tensor;
}

static uint32_t add_constant(struct bench *bench, const struct onnx_tensor *tensor) {
    uint32_t value = mmi_onnx_add_constant(&bench->model, tensor);
    assert_int_not_equal(value, ONNX_NO_VALUE);
    return value;
}

uint32_t bench_floats(struct bench *bench, const char *shape, const float *values) {
    void *data;
    struct onnx_tensor tensor = new_tensor(bench, MM_F32, shape, &data);
    memcpy(data, values, tensor.bytes);
    return add_constant(bench, &tensor);
}

static float random_float(struct bench *bench, float limit) {
    int64_t number = (int64_t)test_random_below(&bench->seed, 1 << 16) - (1 << 15);
    return (float)number / (1 << 15) * limit;
}

uint32_t bench_random(struct bench *bench, const char *shape) {
    void *data;
    struct onnx_tensor tensor = new_tensor(bench, MM_F32, shape, &data);
    for (uint64_t i = 0; i < tensor.elements; i++) {
        ((float *)data)[i] = random_float(bench, 1);
    }
    return add_constant(bench, &tensor);
}

/* Random elements: floats in [-limit, limit), others of any bits. */
static void fill(struct bench *bench, struct onnx_tensor *tensor, float limit, void *data) {
    bool floats = tensor->dtype == MM_F32 || tensor->dtype == MM_F16 || tensor->dtype == MM_BF16;
    for (uint64_t i = 0; floats && i < tensor->elements; i++) {
        float number = random_float(bench, limit);
        mmi_onnx_convert(MM_F32, &number, 1, tensor->dtype,
                         (uint8_t *)data + mm_dtype_bytes(tensor->dtype, i));
    }
    for (uint64_t i = 0; !floats && i < tensor->bytes; i++) {
        ((uint8_t *)data)[i] = (uint8_t)test_random_below(&bench->seed, 256);
    }
}

uint32_t bench_typed(struct bench *bench, int32_t dtype, const char *shape) {
    void *data;
    struct onnx_tensor tensor = new_tensor(bench, dtype, shape, &data);
    fill(bench, &tensor, 1, data);
    return add_constant(bench, &tensor);
}

uint32_t bench_scalar(struct bench *bench, float value) {
    return bench_floats(bench, "", &value);
}

uint32_t bench_ints(struct bench *bench, const char *values) {
    int64_t numbers[MM_MAX_RANK];
    int64_t count = read_shape(values, numbers);
    char shape[8];
    snprintf(shape, sizeof(shape), "%d", (int)count);
    void *data;
    struct onnx_tensor tensor = new_tensor(bench, MM_I64, shape, &data);
    memcpy(data, numbers, tensor.bytes);
    return add_constant(bench, &tensor);
}

uint32_t bench_bool(struct bench *bench, bool value) {
    void *data;
    struct onnx_tensor tensor = new_tensor(bench, MM_BOOL, "", &data);
    memcpy(data, &value, 1);
    return add_constant(bench, &tensor);
}

/* "1,2]", "0.5,2.0]" or "Tanh,Relu]". */
static void read_list(struct bench *bench, char *text, struct onnx_attribute *attribute) {
    uint64_t most = 1;
    for (const char *comma = text; (comma = strchr(comma, ',')); comma++) {
        most++;
    }
    int64_t *ints = take(bench, most, sizeof(*ints));
    float *floats = take(bench, most, sizeof(*floats));
    const char **texts = take(bench, most, sizeof(*texts));
    struct onnx_string *strings = take(bench, most, sizeof(*strings));
    bool number = strchr("-.0123456789", *text), whole = !strpbrk(text, ".e");
    attribute->type = !number ? ONNX_ATTRIBUTE_STRINGS
                      : whole ? ONNX_ATTRIBUTE_INTS
                              : ONNX_ATTRIBUTE_FLOATS;
    attribute->ints = ints;
    attribute->floats = floats;
    attribute->texts = texts;
    attribute->strings = strings;
    for (char *next; (next = strpbrk(text, ",]")); text = next + 1) {
        uint64_t i = attribute->count++;
        *next = '\0';
        assert_true(i < most);
        ints[i] = strtoll(text, NULL, 10);
        floats[i] = strtof(text, NULL);
        texts[i] = text;
        strings[i] = (struct onnx_string){text, strlen(text)};
    }
}

/* One "name=value" of at most `length` characters. */
static void read_attribute(struct bench *bench, const char *text, size_t length,
                           struct onnx_attribute *attribute) {
    const char *copy = mmi_onnx_take_text(&bench->arena, text, length);
    char *equals = strchr(copy, '=');
    assert_non_null(equals);
    *equals = '\0';
    const char *value = equals + 1;
    attribute->name = copy;
    if (*value == '[') {
        read_list(bench, (char *)(uintptr_t)value + 1, attribute);
    } else if (strchr("-.0123456789", *value)) {
        bool is_float = strpbrk(value, ".e") != NULL;
        attribute->type = is_float ? ONNX_ATTRIBUTE_FLOAT : ONNX_ATTRIBUTE_INT;
        attribute->f = strtof(value, NULL);
        attribute->i = strtoll(value, NULL, 10);
    } else {
        attribute->type = ONNX_ATTRIBUTE_STRING;
        attribute->text = value;
        attribute->count = strlen(value);
        struct onnx_string *string = take(bench, 1, sizeof(*string));
        *string = (struct onnx_string){value, attribute->count};
        attribute->strings = string;
    }
}

void bench_attributes(struct bench *bench, const char *text, struct onnx_node *node) {
    node->attributes = take(bench, 24, sizeof(*node->attributes));
    while (*text) {
        size_t length = strcspn(text, " ");
        read_attribute(bench, text, length, &node->attributes[node->attribute_count++]);
        text += length;
        text += strspn(text, " ");
    }
}

static struct onnx_node *add_node(struct bench *bench, const struct onnx_operator *op,
                                  const uint32_t *inputs, size_t input_count) {
    struct onnx_node *node =
        mmi_onnx_new_node(&bench->model, op, (uint32_t)input_count, MAX_OUTPUTS);
    assert_non_null(node);
    memcpy(node->inputs, inputs, input_count * sizeof(*inputs));
    node->outputs[0] = new_value(bench, "v");
    node->output_count = 1;
    assert_true(bench->graph->node_count < MAX_NODES);
    bench->graph->nodes[bench->graph->node_count++] = node;
    return node;
}

uint32_t bench_node(struct bench *bench, const char *type, const char *attributes,
                    const uint32_t *inputs, size_t input_count) {
    const struct onnx_operator *op = mmi_onnx_find_operator("", type);
    op = op ? op : mmi_onnx_find_operator(ONNX_MICROSOFT, type);
    if (!op) {
        fail_msg("there is no operator %s", type);
        return ONNX_NO_VALUE;
    }
    struct onnx_node *node = add_node(bench, op, inputs, input_count);
    bench_attributes(bench, attributes, node);
    struct onnx_attributes read = {.node = node, .opset = OPSET};
    bool reads = op->read && !(op->flags & ONNX_OP_CONTROL); /* its branches come by bench_if */
    if (reads && mmi_onnx_read_params(op, &read, node->params, &bench->err) != MM_OK) {
        fail_msg("%s: %s", type, bench->err.text);
    }
    return node->outputs[0];
}

struct onnx_node *bench_last(const struct bench *bench) {
    return bench->graph->nodes[bench->graph->node_count - 1];
}

uint32_t bench_more_output(struct bench *bench) {
    struct onnx_node *node = bench_last(bench);
    assert_true(node->output_count < MAX_OUTPUTS);
    return node->outputs[node->output_count++] = new_value(bench, "v");
}

struct onnx_graph *bench_branch(struct bench *bench) {
    return bench->graph = new_graph(bench);
}

void bench_branch_end(struct bench *bench, struct onnx_graph *branch, uint32_t output) {
    branch->outputs[branch->output_count++] = output;
    bench->graph = bench->model.main;
}

uint32_t bench_if(struct bench *bench, uint32_t condition, struct onnx_graph *then,
                  struct onnx_graph *otherwise) {
    uint32_t value = BENCH_NODE(bench, "If", "", condition);
    struct onnx_node *node = bench_last(bench);
    node->graphs = take(bench, 2, sizeof(*node->graphs));
    node->graph_count = 2;
    node->graphs[0] = then;
    node->graphs[1] = otherwise;
    for (uint32_t i = 1; i < then->output_count; i++) {
        bench_more_output(bench);
    }
    return value;
}

uint32_t bench_graph_input(struct bench *bench, struct onnx_graph *graph) {
    assert_true(graph->input_count < MAX_OUTPUTS);
    return graph->inputs[graph->input_count++] = new_value(bench, "in");
}

uint32_t bench_loop(struct bench *bench, const uint32_t *inputs, size_t input_count,
                    struct onnx_graph *body) {
    uint32_t value = bench_node(bench, "Loop", "", inputs, input_count);
    struct onnx_node *node = bench_last(bench);
    node->graphs = take(bench, 1, sizeof(*node->graphs));
    node->graph_count = 1;
    node->graphs[0] = body;
    for (uint32_t i = 2; i < body->output_count; i++) {
        bench_more_output(bench);
    }
    return value;
}

/* ---- Looking */

uint32_t bench_count(const struct onnx_graph *graph, const char *type) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        count += !type || strcmp(node->op->name, type) == 0;
        for (uint32_t b = 0; b < node->graph_count; b++) {
            count += bench_count(node->graphs[b], type);
        }
    }
    return count;
}

struct onnx_node *bench_find(const struct bench *bench, const char *type) {
    const struct onnx_graph *main = bench->model.main;
    for (uint32_t i = 0; i < main->node_count; i++) {
        if (strcmp(main->nodes[i]->op->name, type) == 0) {
            return main->nodes[i];
        }
    }
    return NULL;
}

struct onnx_tensor bench_tensor(struct bench *bench, int32_t dtype, const char *shape) {
    void *data;
    struct onnx_tensor tensor = new_tensor(bench, dtype, shape, &data);
    for (uint64_t i = 0; i < tensor.elements; i++) {
        if (dtype == MM_F32 || dtype == MM_F16 || dtype == MM_BF16) {
            fill(bench, &tensor, 2, data);
            break;
        } else if (dtype == MM_I64) {
            ((int64_t *)data)[i] = (int64_t)test_random_below(&bench->seed, 8);
        } else {
            ((uint8_t *)data)[i] = (uint8_t)test_random_below(&bench->seed, 2);
        }
    }
    return tensor;
}

/* ---- Running */

struct run {
    const struct onnx_model *model;
    struct onnx_tensor *values; /* [value_count] */
    struct onnx_arena *arena;
    const mm_services *services;
};

static mm_status run_nodes(const struct run *run, const struct onnx_graph *graph, mm_error *err);

static mm_status run_if(const struct run *run, const struct onnx_node *node, mm_error *err) {
    const struct onnx_tensor *condition = &run->values[node->inputs[0]];
    if (condition->dtype != MM_BOOL || condition->elements != 1) {
        return mmi_fail(err, MM_INVALID_MODEL, "its condition is not one bool");
    }
    const struct onnx_graph *branch = node->graphs[*(const uint8_t *)condition->data ? 0 : 1];
    MMI_TRY(run_nodes(run, branch, err));
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE) {
            run->values[node->outputs[i]] = run->values[branch->outputs[i]];
        }
    }
    return MM_OK;
}

static mm_status run_node(const struct run *run, const struct onnx_node *node, mm_error *err) {
    struct onnx_tensor *inputs = mmi_onnx_take(run->arena, node->input_count, sizeof(*inputs));
    struct onnx_tensor *outputs = mmi_onnx_take(run->arena, node->output_count, sizeof(*outputs));
    if (!inputs || !outputs) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory");
    }
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] != ONNX_NO_VALUE) {
            inputs[i] = run->values[node->inputs[i]];
        }
    }
    struct onnx_inference x = {.params = node->params,
                               .input_count = node->input_count,
                               .output_count = node->output_count,
                               .inputs = inputs,
                               .outputs = outputs};
    MMI_TRY(mmi_onnx_evaluate(node->op, &x, run->arena, UINT64_MAX, run->services, err));
    for (uint32_t i = 0; i < node->output_count; i++) {
        if (node->outputs[i] != ONNX_NO_VALUE) {
            run->values[node->outputs[i]] = outputs[i];
        }
    }
    return MM_OK;
}

static mm_status run_nodes(const struct run *run, const struct onnx_graph *graph, mm_error *err) {
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        bool control = node->op->flags & ONNX_OP_CONTROL;
        mm_status status = control ? run_if(run, node, err) : run_node(run, node, err);
        if (status != MM_OK) {
            char text[ONNX_NODE_TEXT];
            mmi_error_prefix(err, "%s", mmi_onnx_node_text(run->model, node, text));
            return status;
        }
    }
    return MM_OK;
}

/* What the passes know of a value holds for what came out. */
static void check_facts(const struct run *run) {
    struct onnx_arena work;
    struct onnx_fact *facts;
    mm_error err;
    mmi_onnx_arena_init(&work, &run->services->allocator);
    assert_int_equal(mmi_onnx_learn_facts(run->model, &work, &facts, &err), MM_OK);
    for (uint32_t i = 0; i < run->model->value_count; i++) {
        const struct onnx_tensor *is = &run->values[i];
        const struct onnx_fact *says = &facts[i];
        int64_t last = is->rank > 0 ? is->shape[is->rank - 1] : 0;
        bool holds = (says->dtype == MM_DTYPE_NONE || says->dtype == is->dtype) &&
                     (says->rank < 0 || says->rank == (int32_t)is->rank) &&
                     (says->last == 0 || says->last == last);
        if (is->dtype != MM_DTYPE_NONE && !holds) {
            fail_msg("value %u is %s, %u axes, the last %d; its facts are %s, %d, %d", i,
                     mm_dtype_text(is->dtype), is->rank, (int)last, mm_dtype_text(says->dtype),
                     says->rank, (int)says->last);
        }
    }
    mmi_onnx_arena_free(&work);
}

mm_status run_graph(const struct onnx_model *model, const struct onnx_tensor *inputs,
                    struct onnx_tensor *outputs, struct onnx_arena *arena,
                    const mm_services *services, mm_error *err) {
    struct run run = {.model = model,
                      .values = mmi_onnx_take(arena, model->value_count, sizeof(*run.values)),
                      .arena = arena,
                      .services = services};
    if (!run.values) {
        return mmi_fail(err, MM_NO_MEMORY, "no memory");
    }
    for (uint32_t i = 0; i < model->value_count; i++) {
        if (model->values[i].constant) {
            run.values[i] = *model->values[i].constant;
        }
    }
    for (uint32_t i = 0; i < model->main->input_count; i++) {
        run.values[model->main->inputs[i]] = inputs[i];
    }
    MMI_TRY(run_nodes(&run, model->main, err));
    check_facts(&run);
    for (uint32_t i = 0; i < model->main->output_count; i++) {
        outputs[i] = run.values[model->main->outputs[i]];
    }
    return MM_OK;
}

void assert_tensors(const struct onnx_tensor *a, const struct onnx_tensor *b, double tolerance) {
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, a->rank * sizeof(a->shape[0]));
    for (uint64_t i = 0; i < a->elements && a->dtype == MM_STRING; i++) {
        const struct onnx_string *of_a = a->data, *of_b = b->data;
        assert_int_equal(of_a[i].bytes, of_b[i].bytes);
        assert_memory_equal(of_a[i].at, of_b[i].at, of_a[i].bytes);
    }
    for (uint64_t i = 0; i < a->elements && a->dtype != MM_STRING; i++) {
        double of_a = mmi_onnx_float_at(a, i), of_b = mmi_onnx_float_at(b, i);
        bool near = fabs(of_a - of_b) <= tolerance * fmax(1, fabs(of_a));
        if (!near && !(isnan(of_a) && isnan(of_b)) && of_a != of_b) {
            fail_msg("element %llu of %llu: %.9g and %.9g", (unsigned long long)i,
                     (unsigned long long)a->elements, of_a, of_b);
        }
    }
}

static void run_or_fail(struct bench *bench, const struct onnx_tensor *inputs,
                        struct onnx_tensor *outputs) {
    if (run_graph(&bench->model, inputs, outputs, &bench->arena, &bench->services, &bench->err) !=
        MM_OK) {
        fail_msg("%s", bench->err.text);
    }
}

void bench_apply(struct bench *bench, bench_pass pass, double tolerance) {
    const struct onnx_graph *main = bench->model.main;
    struct onnx_tensor inputs[MAX_OUTPUTS], before[MAX_OUTPUTS], after[MAX_OUTPUTS];
    for (uint32_t i = 0; i < main->input_count; i++) {
        const mm_value_info *info = &bench->model.inputs[i];
        char shape[64] = "";
        for (int32_t axis = 0; axis < info->rank; axis++) {
            int64_t count = info->shape[axis] < 0 ? 3 : info->shape[axis];
            snprintf(shape + strlen(shape), sizeof(shape) - strlen(shape), "%d ", (int)count);
        }
        inputs[i] = bench_tensor(bench, info->dtype, shape);
    }
    run_or_fail(bench, inputs, before);
    struct onnx_pass_context context = {.services = &bench->services};
    if (pass(&bench->model, &context, &bench->err) != MM_OK) {
        fail_msg("%s", bench->err.text);
    }
    run_or_fail(bench, inputs, after);
    for (uint32_t i = 0; i < main->output_count; i++) {
        assert_tensors(&before[i], &after[i], tolerance);
    }
}
