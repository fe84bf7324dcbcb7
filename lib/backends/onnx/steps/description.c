/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/steps/bytes.h>
#include <backends/onnx/steps/description.h>
#include <backends/onnx/steps/sound.h>
#include <base/status.h>

#include <string.h>

/* Raised whenever the bytes would mean something else; part of the layout's name too. */
#define MAGIC UINT64_C(0x3230786e6e6f6d6d) /* "mmonnx02" */

enum { VALUE_MADE = 0, VALUE_KNOWN = 1, VALUE_WEIGHT = 2 };

/* ---- Writing */

static void put_shape(struct onnx_writer *w, uint32_t rank, const int64_t *shape) {
    mmi_onnx_put_u32(w, rank);
    for (uint32_t i = 0; i < rank; i++) {
        mmi_onnx_put_u64(w, (uint64_t)shape[i]);
    }
}

static void put_tensor(struct onnx_writer *w, const struct onnx_tensor *tensor) {
    mmi_onnx_put_u32(w, (uint32_t)tensor->dtype);
    mmi_onnx_put_u32(w, tensor->layout);
    mmi_onnx_put_u64(w, tensor->bytes);
    put_shape(w, tensor->rank, tensor->shape);
}

static void put_elements(struct onnx_writer *w, const struct onnx_tensor *tensor) {
    const struct onnx_string *strings = tensor->data;
    if (tensor->dtype != MM_STRING) {
        mmi_onnx_put_data(w, tensor->data, tensor->bytes);
        return;
    }
    for (uint64_t i = 0; i < tensor->elements; i++) {
        mmi_onnx_put_u64(w, strings[i].bytes);
        mmi_onnx_put_data(w, strings[i].at, strings[i].bytes);
    }
}

static void put_values(struct onnx_writer *w, const struct onnx_model *model,
                       const struct onnx_weights *weights) {
    mmi_onnx_put_u32(w, model->value_count);
    for (uint32_t i = 0; i < model->value_count; i++) {
        const struct onnx_value *value = &model->values[i];
        bool weight = weights->offsets[i] != ONNX_NO_WEIGHT;
        mmi_onnx_put_text(w, value->name);
        mmi_onnx_put_u32(w, weight ? VALUE_WEIGHT : value->constant ? VALUE_KNOWN : VALUE_MADE);
        if (value->constant) {
            put_tensor(w, value->constant);
        }
        if (weight) {
            mmi_onnx_put_u64(w, weights->offsets[i]);
        } else if (value->constant) {
            put_elements(w, value->constant);
        }
    }
}

static void put_numbers(struct onnx_writer *w, const uint32_t *numbers, uint32_t count) {
    mmi_onnx_put_u32(w, count);
    for (uint32_t i = 0; i < count; i++) {
        mmi_onnx_put_u32(w, numbers[i]);
    }
}

static void put_infos(struct onnx_writer *w, const mm_value_info *infos, uint32_t count) {
    mmi_onnx_put_u32(w, count);
    for (uint32_t i = 0; i < count; i++) {
        const mm_value_info *info = &infos[i];
        mmi_onnx_put_text(w, info->name);
        mmi_onnx_put_u32(w, (uint32_t)info->kind);
        mmi_onnx_put_u32(w, (uint32_t)info->dtype);
        mmi_onnx_put_u32(w, info->flags);
        mmi_onnx_put_u32(w, (uint32_t)info->rank);
        for (int32_t axis = 0; axis < info->rank; axis++) {
            mmi_onnx_put_u64(w, (uint64_t)info->shape[axis]);
            mmi_onnx_put_text(w, info->axis_names[axis]);
        }
    }
}

static void put_graph(struct onnx_writer *w, const struct onnx_graph *graph) {
    put_numbers(w, graph->inputs, graph->input_count);
    put_numbers(w, graph->outputs, graph->output_count);
    put_infos(w, graph->declared, graph->declared ? graph->output_count : 0);
    mmi_onnx_put_u32(w, graph->node_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        mmi_onnx_put_text(w, node->op->name);
        mmi_onnx_put_text(w, node->domain);
        mmi_onnx_put_text(w, node->name);
        put_numbers(w, node->inputs, node->input_count);
        put_numbers(w, node->outputs, node->output_count);
        mmi_onnx_put_u32(w, node->op->params_bytes);
        mmi_onnx_put_data(w, node->params, node->op->params_bytes);
        mmi_onnx_put_u32(w, node->graph_count);
        for (uint32_t b = 0; b < node->graph_count; b++) {
            put_graph(w, node->graphs[b]);
        }
    }
}

mm_status mmi_onnx_describe(const struct onnx_model *model, const struct onnx_weights *weights,
                            uint64_t activation_bytes, struct onnx_arena *arena,
                            struct onnx_tensor *bytes, mm_error *err) {
    struct onnx_writer w = {.allocator = arena->allocator};
    mmi_onnx_put_u64(&w, MAGIC);
    mmi_onnx_put_u64(&w, weights->bytes);
    mmi_onnx_put_u64(&w, activation_bytes);
    put_values(&w, model, weights);
    put_infos(&w, model->inputs, model->main->input_count);
    put_infos(&w, model->outputs, model->main->output_count);
    put_numbers(&w, model->defaults, model->defaults ? model->main->input_count : 0);
    put_graph(&w, model->main);
    mmi_onnx_put_u32(&w, model->metadata_count);
    for (uint32_t i = 0; i < 2 * model->metadata_count; i++) {
        mmi_onnx_put_text(&w, model->metadata[i]);
    }
    void *copy = w.failed ? NULL : mmi_onnx_take_data(arena, w.used);
    if (copy) {
        memcpy(copy, w.bytes, w.used);
        *bytes = (struct onnx_tensor){.dtype = MM_U8, .bytes = w.used, .data = copy};
    }
    mmi_onnx_writer_free(&w);
    return copy ? MM_OK : mmi_fail(err, MM_NO_MEMORY, "no memory for a description");
}

/* ---- Reading */

struct reading {
    struct onnx_bytes bytes;
    struct onnx_prepared *prepared;
    struct onnx_arena *arena;
    uint32_t depth;
    bool no_memory;
};

/* Without memory the reader fails, as where bytes are wrong. */
static void *took(struct reading *r, void *memory) {
    r->no_memory |= !memory;
    r->bytes.failed |= !memory;
    return memory;
}

static void *take(struct reading *r, uint64_t count, uint64_t bytes) {
    return took(r, mmi_onnx_take(r->arena, count, bytes));
}

static struct onnx_tensor *get_tensor(struct reading *r) {
    struct onnx_tensor *tensor = take(r, 1, sizeof(*tensor));
    int32_t dtype = (int32_t)mmi_onnx_get_u32(&r->bytes);
    uint32_t layout = mmi_onnx_get_u32(&r->bytes);
    uint64_t bytes = mmi_onnx_get_u64(&r->bytes);
    uint32_t rank = mmi_onnx_get_count(&r->bytes, sizeof(int64_t));
    int64_t shape[MM_MAX_RANK] = {0};
    for (uint32_t i = 0; i < rank && i < MM_MAX_RANK; i++) {
        shape[i] = (int64_t)mmi_onnx_get_u64(&r->bytes);
    }
    if (!tensor || mmi_onnx_tensor_set(tensor, dtype, rank, shape, NULL) != MM_OK) {
        r->bytes.failed = true;
        return NULL;
    }
    tensor->layout = layout;
    tensor->bytes = bytes;
    r->bytes.failed |= !mmi_onnx_constant_is_sound(tensor);
    return tensor;
}

/* Their text stays in the description's bytes. */
static void get_strings(struct reading *r, struct onnx_tensor *tensor) {
    bool fits = tensor->elements <= r->bytes.left / sizeof(uint64_t);
    struct onnx_string *strings = fits ? take(r, tensor->elements, sizeof(*strings)) : NULL;
    r->bytes.failed |= !fits;
    for (uint64_t i = 0; i < tensor->elements && !r->bytes.failed; i++) {
        strings[i].bytes = mmi_onnx_get_u64(&r->bytes);
        strings[i].at = mmi_onnx_get_data(&r->bytes, strings[i].bytes);
    }
    tensor->data = strings;
    tensor->known = 1;
}

static void get_known(struct reading *r, struct onnx_tensor *tensor) {
    if (tensor->dtype == MM_STRING) {
        get_strings(r, tensor);
        return;
    }
    const void *data = mmi_onnx_get_data(&r->bytes, tensor->bytes);
    void *copy = data ? took(r, mmi_onnx_take_data(r->arena, tensor->bytes)) : NULL;
    if (copy) {
        memcpy(copy, data, tensor->bytes);
        tensor->data = copy;
        tensor->known = 1;
    }
}

static void get_values(struct reading *r) {
    struct onnx_model *model = &r->prepared->model;
    struct onnx_weights *weights = &r->prepared->weights;
    uint32_t count = mmi_onnx_get_count(&r->bytes, 2 * sizeof(uint32_t));
    model->values = take(r, count, sizeof(*model->values));
    weights->offsets = take(r, count, sizeof(*weights->offsets));
    for (uint32_t i = 0; i < count && !r->bytes.failed; i++) {
        struct onnx_value *value = &model->values[i];
        value->name = mmi_onnx_get_text(&r->bytes);
        uint32_t kind = mmi_onnx_get_u32(&r->bytes);
        r->bytes.failed |= !value->name || kind > VALUE_WEIGHT;
        weights->offsets[i] = ONNX_NO_WEIGHT;
        value->constant = kind == VALUE_MADE ? NULL : get_tensor(r);
        if (kind == VALUE_WEIGHT && value->constant) {
            uint64_t offset = weights->offsets[i] = mmi_onnx_get_u64(&r->bytes);
            r->bytes.failed |= value->constant->dtype == MM_STRING || offset > weights->bytes ||
                               offset % 64 != 0 || value->constant->bytes > weights->bytes - offset;
        } else if (value->constant) {
            get_known(r, value->constant);
        }
    }
    model->value_count = model->value_capacity = r->bytes.failed ? 0 : count;
}

static uint32_t *get_numbers(struct reading *r, uint32_t *count) {
    *count = mmi_onnx_get_count(&r->bytes, sizeof(uint32_t));
    uint32_t *numbers = take(r, *count, sizeof(*numbers));
    for (uint32_t i = 0; numbers && i < *count; i++) {
        numbers[i] = mmi_onnx_get_u32(&r->bytes);
        r->bytes.failed |=
            numbers[i] >= r->prepared->model.value_count && numbers[i] != ONNX_NO_VALUE;
    }
    return numbers;
}

/* Constants, or none. */
static uint32_t *get_defaults(struct reading *r, uint32_t *count) {
    uint32_t *numbers = get_numbers(r, count);
    for (uint32_t i = 0; i < *count && !r->bytes.failed; i++) {
        r->bytes.failed |=
            numbers[i] != ONNX_NO_VALUE && !r->prepared->model.values[numbers[i]].constant;
    }
    return numbers;
}

static mm_value_info *get_infos(struct reading *r, uint32_t *count) {
    *count = mmi_onnx_get_count(&r->bytes, 5 * sizeof(uint32_t));
    mm_value_info *infos = take(r, *count, sizeof(*infos));
    for (uint32_t i = 0; infos && i < *count && !r->bytes.failed; i++) {
        mm_value_info *info = &infos[i];
        info->name = mmi_onnx_get_text(&r->bytes);
        info->kind = (int32_t)mmi_onnx_get_u32(&r->bytes);
        info->dtype = (int32_t)mmi_onnx_get_u32(&r->bytes);
        info->flags = mmi_onnx_get_u32(&r->bytes);
        info->rank = (int32_t)mmi_onnx_get_u32(&r->bytes);
        for (int32_t axis = 0; axis < info->rank && axis < MM_MAX_RANK && !r->bytes.failed;
             axis++) {
            info->shape[axis] = (int64_t)mmi_onnx_get_u64(&r->bytes);
            info->axis_names[axis] = mmi_onnx_get_text(&r->bytes);
        }
        r->bytes.failed |= !mmi_onnx_info_is_sound(info);
    }
    return infos;
}

/* Those of the model have names, its inputs types. */
static void check_declared(struct reading *r, uint32_t inputs, uint32_t outputs) {
    const struct onnx_model *model = &r->prepared->model;
    for (uint32_t i = 0; i < inputs && !r->bytes.failed; i++) {
        r->bytes.failed |= !model->inputs[i].name || model->inputs[i].dtype == MM_DTYPE_NONE;
    }
    for (uint32_t i = 0; i < outputs && !r->bytes.failed; i++) {
        r->bytes.failed |= !model->outputs[i].name;
    }
}

static struct onnx_graph *get_graph(struct reading *r);

static void get_graphs(struct reading *r, struct onnx_node *node) {
    uint32_t count = mmi_onnx_get_u32(&r->bytes);
    bool all = !(node->op->flags & ONNX_OP_GRAPHS_OPTIONAL);
    r->bytes.failed |= count > ONNX_MAX_GRAPHS || (count > 0 && !node->op->graphs[count - 1]) ||
                       (all && count < ONNX_MAX_GRAPHS && node->op->graphs[count]);
    node->graphs = r->bytes.failed ? NULL : take(r, count, sizeof(*node->graphs));
    for (uint32_t i = 0; i < count && !r->bytes.failed; i++) {
        node->graphs[node->graph_count++] = get_graph(r);
    }
    r->bytes.failed |=
        !r->bytes.failed && node->op->check_graphs && node->op->check_graphs(node, NULL) != MM_OK;
}

static struct onnx_node *get_node(struct reading *r) {
    struct onnx_node *node = take(r, 1, sizeof(*node));
    const char *type = mmi_onnx_get_text(&r->bytes);
    const char *domain = mmi_onnx_get_text(&r->bytes);
    const char *name = mmi_onnx_get_text(&r->bytes);
    if (!node || !type || !domain || !name) {
        r->bytes.failed = true;
        return NULL;
    }
    *node = (struct onnx_node){.name = name, .type = type, .domain = domain};
    node->op = mmi_onnx_find_operator(domain, type);
    node->inputs = get_numbers(r, &node->input_count);
    node->outputs = get_numbers(r, &node->output_count);
    uint32_t params_bytes = mmi_onnx_get_u32(&r->bytes);
    const void *params = mmi_onnx_get_data(&r->bytes, params_bytes);
    if (!node->op || params_bytes != node->op->params_bytes || !params) {
        r->bytes.failed = true;
        return NULL;
    }
    node->params = take(r, 1, params_bytes);
    if (!node->params) {
        return NULL;
    }
    memcpy(node->params, params, params_bytes);
    r->bytes.failed |= mmi_onnx_check_params(node->op, node->params, NULL) != MM_OK;
    get_graphs(r, node);
    return node;
}

static struct onnx_graph *get_graph(struct reading *r) {
    struct onnx_graph *graph = take(r, 1, sizeof(*graph));
    if (!graph || r->depth > r->prepared->model.nesting) {
        r->bytes.failed = true;
        return NULL;
    }
    r->depth++;
    graph->inputs = get_numbers(r, &graph->input_count);
    graph->outputs = get_numbers(r, &graph->output_count);
    uint32_t declared;
    graph->declared = get_infos(r, &declared);
    r->bytes.failed |= declared != 0 && declared != graph->output_count;
    graph->declared = declared > 0 ? graph->declared : NULL;
    graph->node_count = mmi_onnx_get_count(&r->bytes, 8 * sizeof(uint32_t));
    graph->nodes = take(r, graph->node_count, sizeof(*graph->nodes));
    for (uint32_t i = 0; i < graph->node_count && !r->bytes.failed; i++) {
        graph->nodes[i] = get_node(r);
    }
    r->depth--;
    return graph;
}

static void get_metadata(struct reading *r) {
    struct onnx_model *model = &r->prepared->model;
    model->metadata_count = mmi_onnx_get_count(&r->bytes, 2 * sizeof(uint32_t));
    model->metadata = take(r, 2 * (uint64_t)model->metadata_count, sizeof(*model->metadata));
    for (uint32_t i = 0; i < 2 * model->metadata_count && !r->bytes.failed; i++) {
        model->metadata[i] = mmi_onnx_get_text(&r->bytes);
        r->bytes.failed |= !model->metadata[i];
    }
}

mm_status mmi_onnx_read_description(struct onnx_prepared *prepared, const void *bytes,
                                    uint64_t count, mm_error *err) {
    struct onnx_model *model = &prepared->model;
    struct reading r = {
        .bytes = {.at = bytes, .left = count}, .prepared = prepared, .arena = &prepared->arena};
    model->arena = &prepared->arena;
    bool ours = mmi_onnx_get_u64(&r.bytes) == MAGIC;
    prepared->weights.bytes = mmi_onnx_get_u64(&r.bytes);
    prepared->activation_bytes = mmi_onnx_get_u64(&r.bytes);
    get_values(&r);
    uint32_t inputs, outputs, defaults;
    model->inputs = get_infos(&r, &inputs);
    model->outputs = get_infos(&r, &outputs);
    check_declared(&r, inputs, outputs);
    model->defaults = get_defaults(&r, &defaults);
    model->main = get_graph(&r);
    get_metadata(&r);
    if (r.no_memory) {
        return mmi_fail(err, MM_NO_MEMORY, "onnx: no memory for a description");
    }
    model->defaults = defaults > 0 ? model->defaults : NULL;
    bool whole = ours && (defaults == 0 || defaults == inputs) && !r.bytes.failed &&
                 r.bytes.left == 0 && inputs == model->main->input_count &&
                 outputs == model->main->output_count;
    if (!whole) {
        return mmi_fail(err, MM_CORRUPT, "onnx: the description is damaged");
    }
    MMI_TRY(mmi_onnx_check_sound(model, err));
    for (uint32_t i = 0; i < inputs; i++) {
        prepared->strings |= model->inputs[i].dtype == MM_STRING;
    }
    return mmi_onnx_find_lifetimes(model, &prepared->arena, &prepared->lifetimes, err);
}
