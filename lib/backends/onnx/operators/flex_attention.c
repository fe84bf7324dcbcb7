/* SPDX-License-Identifier: Apache-2.0 */

/* FlexAttention of ai.onnx.preview: attention whose scores and probabilities a graph may change,
 * each as one tensor. */

#include <backends/onnx/operators/execution.h>
#include <backends/onnx/operators/heads.h>
#include <base/checked.h>
#include <base/status.h>

#include <inttypes.h>
#include <string.h>

struct flex_attention {
    float scale;
    int32_t scaled, precision;
    int32_t of_scores, of_probs; /* which graph of the node, counted from 1; 0: none */
};

static mm_status read(const struct onnx_attributes *a, void *params, mm_error *err) {
    struct flex_attention *p = params;
    MMI_TRY(mmi_onnx_read_float(a, "scale", 0, &p->scale, err));
    MMI_TRY(mmi_onnx_read_int32(a, "softmax_precision", MM_DTYPE_NONE, &p->precision, err));
    p->scaled = mmi_onnx_attribute(a, "scale") != NULL;
    p->of_scores = mmi_onnx_attribute(a, "score_mod") != NULL;
    p->of_probs = mmi_onnx_attribute(a, "prob_mod") ? p->of_scores + 1 : 0;
    return MM_OK;
}

static mm_status check_graphs(const struct onnx_node *node, mm_error *err) {
    const struct flex_attention *p = node->params;
    int64_t count = node->graph_count;
    if (p->of_scores < 0 || p->of_scores > count || p->of_probs < 0 || p->of_probs > count) {
        return mmi_fail(err, MM_INVALID_MODEL, "%u graphs", node->graph_count);
    }
    for (uint32_t i = 0; i < node->graph_count; i++) {
        const struct onnx_graph *graph = node->graphs[i];
        if (graph->input_count != 1 || graph->output_count != 1) {
            return mmi_fail(err, MM_INVALID_MODEL,
                            "a graph with %u inputs and %u outputs, 1 and 1 wanted",
                            graph->input_count, graph->output_count);
        }
    }
    return MM_OK;
}

/* ---- Shapes ---------------------------------------------------------------------------------- */

struct flex {
    struct onnx_execution *x;
    int64_t shape[4];       /* of the scores */
    uint64_t shared;        /* heads of queries by one of keys */
    int32_t dtype, softmax; /* what is computed in; what graphs see */
    uint32_t width;
};

static mm_status check(struct flex *f, mm_error *err) {
    const struct onnx_run_value *in = f->x->inputs;
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const names[] = {"query", "key", "value"};
        MMI_TRY(mmi_onnx_expect_tensor(f->x, i, names[i],
                                       i > 0 ? in[0].tensor.dtype : MM_DTYPE_NONE, 4, err));
    }
    const int64_t *q = in[0].tensor.shape, *k = in[1].tensor.shape, *v = in[2].tensor.shape;
    if (!mmi_onnx_is_float(in[0].tensor.dtype)) {
        return mmi_fail(err, MM_UNSUPPORTED, "its query is %s, a float type wanted",
                        mm_dtype_text(in[0].tensor.dtype));
    }
    const struct flex_attention *p = f->x->params;
    bool sound = p->precision == MM_DTYPE_NONE || mmi_onnx_is_float(p->precision);
    bool fits =
        sound && q[0] == k[0] && k[0] == v[0] && k[1] == v[1] && k[2] == v[2] && q[3] == k[3];
    if (!fits || (k[1] == 0 ? q[1] > 0 : q[1] % k[1] != 0)) {
        return mmi_fail(err, MM_INVALID_MODEL,
                        "queries [%" PRId64 ", %" PRId64 ", ..., %" PRId64 "], keys [%" PRId64
                        ", %" PRId64 ", %" PRId64 ", %" PRId64 "] and values [%" PRId64 ", %" PRId64
                        ", %" PRId64 ", ...] do not fit",
                        q[0], q[1], q[3], k[0], k[1], k[2], k[3], v[0], v[1], v[2]);
    }
    memcpy(f->shape, (const int64_t[4]){q[0], q[1], q[2], k[2]}, sizeof(f->shape));
    f->shared = k[1] > 0 ? (uint64_t)(q[1] / k[1]) : 1;
    f->dtype = mmi_onnx_attend_type(in[0].tensor.dtype, p->precision);
    f->softmax = p->precision != MM_DTYPE_NONE  ? p->precision
                 : in[0].tensor.dtype == MM_F64 ? MM_F64
                                                : MM_F32;
    f->width = mmi_onnx_element_bytes(f->dtype);
    return MM_OK;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* The same tensor in another type; `from` ends. */
static mm_status turn(const struct flex *f, int32_t dtype, struct onnx_run_value *from,
                      mm_error *err) {
    struct onnx_run_value made = {0};
    const struct onnx_tensor *old = &from->tensor;
    if (old->dtype == dtype) {
        return MM_OK;
    }
    MMI_TRY(mmi_onnx_make_tensor(f->x->memory, dtype, old->rank, old->shape, &made, err));
    mmi_onnx_convert(old->dtype, old->data, old->elements, dtype, mmi_onnx_value_data(&made));
    mmi_onnx_drop_value(f->x->memory, from);
    *from = made;
    return MM_OK;
}

/* The scores through a graph; afterwards they are this run's alone. */
static mm_status change(const struct flex *f, int32_t graph, struct onnx_run_value *scores,
                        mm_error *err) {
    struct onnx_run_value made = {0};
    MMI_TRY(turn(f, f->softmax, scores, err));
    if (graph > 0) {
        const struct onnx_graph *body = f->x->node->graphs[graph - 1];
        MMI_TRY(f->x->call(f->x->ctx, body, scores, &made, err));
        bool same = made.there && made.kind == MM_TENSOR && made.tensor.dtype == f->softmax &&
                    made.tensor.rank == 4 &&
                    memcmp(made.tensor.shape, f->shape, sizeof(f->shape)) == 0;
        if (!same) {
            return mmi_fail(err, MM_INVALID_MODEL, "its graph changes type or shape of the scores");
        }
        MMI_TRY(mmi_onnx_make_tensor(f->x->memory, f->dtype, 4, f->shape, scores, err));
        mmi_onnx_convert(f->softmax, made.tensor.data, made.tensor.elements, f->dtype,
                         mmi_onnx_value_data(scores));
        mmi_onnx_drop_value(f->x->memory, &made);
    }
    return turn(f, f->dtype, scores, err);
}

/* ---- Products -------------------------------------------------------------------------------- */

struct work {
    const uint8_t *q, *k, *v;
    uint8_t *out;
    void *scratch;
};

static void score(const struct flex *f, const struct work *w, struct onnx_run_value *scores) {
    const struct flex_attention *p = f->x->params;
    uint64_t rows = (uint64_t)f->shape[2], columns = (uint64_t)f->shape[3];
    uint64_t size = (uint64_t)f->x->inputs[0].tensor.shape[3];
    double scale = p->scaled ? (double)p->scale : 1 / sqrt((double)size);
    uint8_t *to = mmi_onnx_value_data(scores);
    struct onnx_product product = {
        .dtype = f->dtype, .rows = rows, .depth = size, .columns = columns, .out_row = columns};
    for (uint64_t i = 0; i < (uint64_t)(f->shape[0] * f->shape[1]); i++) {
        product.a = (struct onnx_matrix){w->q + i * rows * size * f->width, (int64_t)size, 1};
        product.b = (struct onnx_matrix){w->k + i / f->shared * columns * size * f->width, 1,
                                         (int64_t)size};
        product.out = to + i * rows * columns * f->width;
        mmi_onnx_multiply(&product, w->scratch);
    }
    for (uint64_t i = 0; i < scores->tensor.elements; i++) {
        if (f->dtype == MM_F64) {
            ((double *)(void *)to)[i] *= scale;
        } else {
            ((float *)(void *)to)[i] *= (float)scale;
        }
    }
}

static void gather(const struct flex *f, const struct work *w,
                   const struct onnx_run_value *scores) {
    uint64_t rows = (uint64_t)f->shape[2], columns = (uint64_t)f->shape[3];
    uint64_t size = (uint64_t)f->x->inputs[2].tensor.shape[3];
    const uint8_t *from = scores->tensor.data;
    struct onnx_product product = {
        .dtype = f->dtype, .rows = rows, .depth = columns, .columns = size, .out_row = size};
    for (uint64_t i = 0; i < (uint64_t)(f->shape[0] * f->shape[1]); i++) {
        product.a = (struct onnx_matrix){from + i * rows * columns * f->width, (int64_t)columns, 1};
        product.b = (struct onnx_matrix){w->v + i / f->shared * columns * size * f->width,
                                         (int64_t)size, 1};
        product.out = w->out + i * rows * size * f->width;
        mmi_onnx_multiply(&product, w->scratch);
    }
}

static mm_status run_with(const struct flex *f, const struct work *w, mm_error *err) {
    const struct flex_attention *p = f->x->params;
    struct onnx_run_value scores = {0};
    uint64_t columns = (uint64_t)f->shape[3];
    MMI_TRY(mmi_onnx_make_tensor(f->x->memory, f->dtype, 4, f->shape, &scores, err));
    bool any = scores.tensor.elements > 0; /* else a count of heads may be anything */
    if (any) {
        score(f, w, &scores);
    }
    MMI_TRY(change(f, p->of_scores, &scores, err));
    uint8_t *rows = mmi_onnx_value_data(&scores);
    for (uint64_t i = 0; any && i < scores.tensor.elements; i += columns) {
        mmi_onnx_softmax_row(f->dtype, rows + i * f->width, columns, NULL);
    }
    MMI_TRY(change(f, p->of_probs, &scores, err));
    if (any) {
        gather(f, w, &scores);
    }
    mmi_onnx_drop_value(f->x->memory, &scores);
    return MM_OK;
}

static mm_status execute(struct onnx_execution *x, mm_error *err) {
    struct flex f = {.x = x};
    MMI_TRY(check(&f, err));
    const struct onnx_tensor *q = &x->inputs[0].tensor, *v = &x->inputs[2].tensor;
    const int64_t shape[4] = {q->shape[0], q->shape[1], q->shape[2], v->shape[3]};
    uint64_t deep = mmi_max_u64((uint64_t)q->shape[3], (uint64_t)v->shape[2]);
    uint64_t bytes = mmi_onnx_product_bytes(f.dtype, deep);
    MMI_TRY(mmi_onnx_make_tensor(x->memory, q->dtype, 4, shape, &x->outputs[0], err));
    for (uint32_t i = 0; i < 3; i++) {
        bytes = mmi_add_cap(bytes, mmi_onnx_stage_bytes(&x->inputs[i].tensor, f.dtype));
    }
    bytes = mmi_add_cap(bytes, mmi_onnx_stage_bytes(&x->outputs[0].tensor, f.dtype));
    struct onnx_run_block *block =
        bytes < UINT64_MAX ? mmi_onnx_block_take(x->memory, bytes) : NULL;
    if (!block) {
        return mmi_fail(err, MM_NO_ROOM_FOR_ACTIVATIONS, "no room for %" PRIu64 " bytes", bytes);
    }
    uint8_t *room = mmi_onnx_block_data(block);
    const struct onnx_tensor *made = &x->outputs[0].tensor;
    struct work w = {.q = mmi_onnx_stage(q, q->data, f.dtype, &room)};
    w.k = mmi_onnx_stage(&x->inputs[1].tensor, x->inputs[1].tensor.data, f.dtype, &room);
    w.v = mmi_onnx_stage(v, v->data, f.dtype, &room);
    w.out = mmi_onnx_stage_out(made, mmi_onnx_value_data(&x->outputs[0]), f.dtype, &room);
    w.scratch = room;
    if (w.out && made->elements > 0) { /* where there are no keys */
        memset(w.out, 0, made->elements * f.width);
    }
    MMI_TRY(run_with(&f, &w, err));
    mmi_onnx_unstage(made, w.out, f.dtype, mmi_onnx_value_data(&x->outputs[0]));
    mmi_onnx_block_drop(x->memory, block);
    return MM_OK;
}

const struct onnx_operator mmi_onnx_op_FlexAttention = {
    .name = "FlexAttention",
    .domain = "ai.onnx.preview",
    .flags = ONNX_OP_GRAPHS_OPTIONAL,
    .min_inputs = 3,
    .max_inputs = 3,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct flex_attention),
    .limits = ONNX_LIMITS(ONNX_OF_TYPE("softmax_precision", struct flex_attention, precision,
                                       ONNX_FLOATS | ONNX_OR_NONE)),
    .read = read,
    .execute = execute,
    .graphs = {"score_mod", "prob_mod"},
    .check_graphs = check_graphs,
};
