/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/matmul.h>
#include <backends/onnx/operators/matmul_nbits.h>
#include <backends/onnx/operators/move.h>
#include <backends/onnx/operators/panels.h>
#include <backends/onnx/passes/quantized_matrix.h>
#include <base/status.h>

#include <string.h>

/* A MatMul, Gemm or MatMulNBits as x w + bias. */
struct product {
    const struct onnx_tensor *bias; /* NULL: none */
    float alpha, beta;
    bool transposed;             /* w is [N, K] */
    uint64_t columns;            /* N */
    const struct onnx_tensor *w; /* of f32, f16 or bf16; NULL: `quantized` */
    uint32_t weight;             /* value of w */
    struct onnx_quantized_matrix quantized;
};

/* ---- Reading --------------------------------------------------------------------------------- */

/* One row, or one number, that is added to every row. */
static bool is_row(const struct product *p) {
    return p->bias->elements == 1 || (p->bias->rank > 0 && p->bias->elements == p->columns &&
                                      p->bias->shape[p->bias->rank - 1] == (int64_t)p->columns);
}

static bool is_float(const struct onnx_tensor *constant) {
    return constant && mmi_onnx_has_float_panels(constant->dtype);
}

/* The node but for its matrix. false: it is none, or adds more than a constant row. */
static bool read_params(const struct onnx_node *node, struct product *p) {
    bool gemm = node->op == &mmi_onnx_op_Gemm;
    *p = (struct product){.alpha = 1, .beta = 1};
    if ((!gemm && node->op != &mmi_onnx_op_MatMul && node->op != &mmi_onnx_op_MsMatMulNBits) ||
        node->input_count < 2 || node->inputs[0] == ONNX_NO_VALUE) {
        return false;
    }
    const struct onnx_gemm *params = node->params;
    if (gemm) {
        p->alpha = params->alpha;
        p->beta = params->beta;
        p->transposed = params->trans_b;
    }
    return !gemm || !params->trans_a;
}

static bool read_bias(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                      struct product *p) {
    uint32_t input = node->op == &mmi_onnx_op_MsMatMulNBits ? ONNX_NBITS_BIAS : 2;
    if (input >= node->input_count || node->inputs[input] == ONNX_NO_VALUE) {
        return true;
    }
    p->bias = mmi_onnx_constant_behind(rewrite, node->inputs[input], NULL);
    return is_float(p->bias) && p->bias->rank <= 2 && is_row(p);
}

/* The matrix of the node, if it is of floats. What is not f32 itself is not multiplied. */
static bool read_floats(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                        struct product *p) {
    if (node->op == &mmi_onnx_op_MsMatMulNBits) {
        return false;
    }
    const struct onnx_tensor *own = mmi_onnx_f32(rewrite->model, node->inputs[1]);
    p->w = mmi_onnx_constant_behind(rewrite, node->inputs[1], &p->weight);
    if (!p->w || p->w->rank != 2 || p->w->elements == 0 ||
        (p->w != own && (p->w == mmi_onnx_constant(rewrite->model, node, 1) || p->alpha != 1))) {
        return false;
    }
    p->columns = (uint64_t)p->w->shape[!p->transposed];
    return true;
}

static mm_status read_integers(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                               struct onnx_arena *arena, struct product *p, mm_error *err) {
    MMI_TRY(node->op == &mmi_onnx_op_MsMatMulNBits
                ? mmi_onnx_read_nbits(rewrite, node, arena, &p->quantized, err)
                : mmi_onnx_read_dequantized(rewrite, node->inputs[1], p->transposed, arena,
                                            &p->quantized, err));
    p->w = NULL;
    p->columns = p->alpha == 1 ? p->quantized.columns : 0;
    return MM_OK;
}

/* *found: it is one that can be a Linear. */
static mm_status read_product(const struct onnx_rewrite *rewrite, const struct onnx_node *node,
                              struct onnx_arena *arena, struct product *p, bool *found,
                              mm_error *err) {
    *found = read_params(node, p);
    if (*found && !read_floats(rewrite, node, p)) {
        MMI_TRY(read_integers(rewrite, node, arena, p, err));
    }
    *found = *found && p->columns > 0 && read_bias(rewrite, node, p);
    return MM_OK;
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* A plain constant of the type of w. */
static uint32_t new_matrix(struct onnx_model *model, const struct product *p, int64_t k, int64_t n,
                           void **data) {
    struct onnx_tensor tensor;
    if (mmi_onnx_tensor_set(&tensor, p->w->dtype, 2, (const int64_t[]){k, n}, NULL) != MM_OK) {
        return ONNX_NO_VALUE;
    }
    tensor.data = *data = mmi_onnx_take_data(model->arena, tensor.bytes);
    return *data ? mmi_onnx_add_constant(model, &tensor) : ONNX_NO_VALUE;
}

static void transpose(const struct product *p, int64_t k, int64_t n, void *to) {
    int64_t width = mmi_onnx_element_bytes(p->w->dtype);
    struct onnx_move move = {.width = (uint32_t)width};
    mmi_onnx_move_axis(&move, (uint64_t)k, width, n * width);
    mmi_onnx_move_axis(&move, (uint64_t)n, k * width, width);
    mmi_onnx_move(&move, p->w->data, to);
}

/* w as [K, N], times alpha. */
static uint32_t make_matrix(struct onnx_model *model, const struct product *p) {
    if (!p->transposed && p->alpha == 1) {
        return p->weight;
    }
    int64_t n = (int64_t)p->columns, k = p->w->shape[p->transposed];
    void *to;
    uint32_t value = new_matrix(model, p, k, n, &to);
    if (value == ONNX_NO_VALUE) {
        return value;
    }
    if (p->transposed) {
        transpose(p, k, n, to);
    } else {
        memcpy(to, p->w->data, p->w->bytes);
    }
    for (uint64_t i = 0; p->alpha != 1 && i < p->w->elements; i++) {
        ((float *)to)[i] *= p->alpha;
    }
    return value;
}

static uint32_t make_bias(struct onnx_model *model, const struct product *p) {
    int64_t n = (int64_t)p->columns;
    float *to;
    uint32_t value = mmi_onnx_new_f32(model, 1, &n, &to);
    for (int64_t i = 0; value != ONNX_NO_VALUE && i < n; i++) {
        to[i] = p->beta * (float)mmi_onnx_float_at(p->bias, p->bias->elements == 1 ? 0 : i);
    }
    return value;
}

static bool put_inputs(struct onnx_model *model, const struct product *p,
                       const struct onnx_node *node, struct onnx_node *linear) {
    struct onnx_linear *params = linear->params;
    for (uint32_t i = 1; i < linear->input_count; i++) {
        linear->inputs[i] = ONNX_NO_VALUE;
    }
    linear->inputs[0] = node->inputs[0];
    linear->outputs[0] = node->outputs[0];
    if (p->w) {
        linear->inputs[1] = make_matrix(model, p);
    } else {
        params->block = (int64_t)p->quantized.block;
    }
    if (p->bias) {
        linear->inputs[2] = make_bias(model, p);
    }
    return (!p->bias || linear->inputs[2] != ONNX_NO_VALUE) &&
           (p->w ? linear->inputs[1] != ONNX_NO_VALUE
                 : mmi_onnx_put_quantized(model, &p->quantized, linear->inputs));
}

static mm_status make_one(struct onnx_rewrite *rewrite, struct onnx_node **at,
                          struct onnx_arena *arena, mm_error *err) {
    struct onnx_model *model = rewrite->model;
    const struct onnx_node *node = *at;
    struct product p;
    bool found;
    MMI_TRY(read_product(rewrite, node, arena, &p, &found, err));
    if (!found) {
        return MM_OK;
    }
    uint32_t count = !p.w     ? (p.quantized.zeros ? ONNX_LINEAR_INPUTS : ONNX_LINEAR_ZEROS)
                     : p.bias ? 3
                              : 2;
    struct onnx_node *linear = mmi_onnx_own_node(model, &mmi_onnx_op_Linear, node, count);
    if (!linear || !put_inputs(model, &p, node, linear)) {
        return mmi_onnx_no_room(err);
    }
    *at = linear;
    return MM_OK;
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    mm_status status = MM_OK;
    for (uint32_t i = 0; i < graph->node_count && status == MM_OK; i++) {
        struct onnx_arena arena; /* of one matrix that is read */
        mmi_onnx_arena_init(&arena, rewrite->model->arena->allocator);
        status = make_one(rewrite, &graph->nodes[i], &arena, err);
        mmi_onnx_arena_free(&arena);
    }
    return status;
}

mm_status mmi_onnx_make_linear(struct onnx_model *model, const struct onnx_pass_context *context,
                               mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
