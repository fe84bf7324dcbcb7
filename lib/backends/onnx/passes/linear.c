/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/passes/rewrite.h>
#include <base/status.h>

/* A MatMul or Gemm as x w + bias. */
struct product {
    const struct onnx_tensor *w, *bias; /* bias NULL: none */
    uint32_t weight;                    /* value of w */
    float alpha, beta;
    bool transposed; /* w is [N, K] */
};

static uint64_t columns(const struct product *p) {
    return (uint64_t)p->w->shape[p->transposed ? 0 : 1];
}

/* One row, or one number, that is added to every row. */
static bool is_row(const struct product *p) {
    return p->bias->elements == 1 || (p->bias->rank > 0 && p->bias->elements == columns(p) &&
                                      p->bias->shape[p->bias->rank - 1] == (int64_t)columns(p));
}

/* false: it is none, or depends on more than constants. */
static bool read_product(const struct onnx_model *model, const struct onnx_node *node,
                         struct product *p) {
    *p = (struct product){.alpha = 1, .beta = 1};
    bool gemm = node->op == &mmi_onnx_op_Gemm;
    if ((!gemm && node->op != &mmi_onnx_op_MatMul) || node->input_count < 2) {
        return false;
    }
    p->weight = node->inputs[1];
    p->w = mmi_onnx_f32(model, p->weight);
    if (!p->w || p->w->rank != 2 || p->w->elements == 0 || node->inputs[0] == ONNX_NO_VALUE) {
        return false;
    }
    const struct onnx_gemm *params = node->params;
    if (!gemm) {
        return true;
    }
    p->alpha = params->alpha;
    p->beta = params->beta;
    p->transposed = params->trans_b;
    bool has_bias = node->input_count > 2 && node->inputs[2] != ONNX_NO_VALUE;
    p->bias = has_bias ? mmi_onnx_f32(model, node->inputs[2]) : NULL;
    return !params->trans_a && (!has_bias || (p->bias && p->bias->rank <= 2 && is_row(p)));
}

/* w as [K, N], times alpha. */
static uint32_t make_matrix(struct onnx_model *model, const struct product *p) {
    if (!p->transposed && p->alpha == 1) {
        return p->weight;
    }
    int64_t n = (int64_t)columns(p), k = p->w->shape[p->transposed ? 1 : 0];
    float *to;
    uint32_t value = mmi_onnx_new_f32(model, 2, (const int64_t[]){k, n}, &to);
    if (value == ONNX_NO_VALUE) {
        return value;
    }
    const float *from = p->w->data;
    int64_t down = p->transposed ? 1 : n, across = p->transposed ? k : 1;
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = 0; j < n; j++) {
            to[i * n + j] = p->alpha * from[i * down + j * across];
        }
    }
    return value;
}

static uint32_t make_bias(struct onnx_model *model, const struct product *p) {
    int64_t n = (int64_t)columns(p);
    float *to;
    uint32_t value = mmi_onnx_new_f32(model, 1, &n, &to);
    const float *from = p->bias->data;
    for (int64_t i = 0; value != ONNX_NO_VALUE && i < n; i++) {
        to[i] = p->beta * from[p->bias->elements == 1 ? 0 : i];
    }
    return value;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    struct onnx_model *model = rewrite->model;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct onnx_node *node = graph->nodes[i];
        struct product p;
        if (!read_product(model, node, &p)) {
            continue;
        }
        struct onnx_node *linear =
            mmi_onnx_own_node(model, &mmi_onnx_op_Linear, node, p.bias ? 3 : 2);
        if (!linear) {
            return mmi_onnx_no_room(err);
        }
        linear->inputs[0] = node->inputs[0];
        linear->inputs[1] = make_matrix(model, &p);
        linear->outputs[0] = node->outputs[0];
        if (p.bias) {
            linear->inputs[2] = make_bias(model, &p);
        }
        for (uint32_t j = 1; j < linear->input_count; j++) {
            if (linear->inputs[j] == ONNX_NO_VALUE) {
                return mmi_onnx_no_room(err);
            }
        }
        graph->nodes[i] = linear;
    }
    return MM_OK;
}

mm_status mmi_onnx_make_linear(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
