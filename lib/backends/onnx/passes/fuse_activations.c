/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/activation.h>
#include <backends/onnx/passes/program.h>

#include <math.h>

#define MAX_NODES 8 /* of an activation */

/* ---- Which activation a program is ----------------------------------------------------------- */

/* Equal but for the rounding of numbers in a file. */
static bool same(float a, float b) {
    return fabsf(a - b) <= 1e-6F;
}

static bool is_with_number(const struct onnx_instruction *code, uint8_t function) {
    return code->function == function && code->operands == ONNX_A_X;
}

/* The first instruction, or two; *at: how many. */
static bool read_first(const struct onnx_program *program, struct onnx_activation *activation,
                       uint32_t *at) {
    const struct onnx_instruction *code = program->code;
    *at = 1;
    *activation = (struct onnx_activation){
        .function = code[0].function, .a = code[0].x, .b = code[0].y, .scale = 1};
    /* clip(x + t, 0, h) is h times a hard sigmoid of slope 1 / h. */
    bool shifted = program->count > 1 && is_with_number(&code[0], ONNX_F_Add) &&
                   code[1].function == ONNX_F_Clip && code[1].x == 0 && isnormal(code[1].y) &&
                   code[1].y > 0;
    if (shifted) {
        *at = 2;
        activation->function = ONNX_F_HardSigmoid;
        activation->a = 1 / code[1].y;
        activation->b = code[0].x / code[1].y;
        activation->scale = code[1].y;
    }
    return mmi_onnx_of_one(activation->function);
}

/* x * sigmoid(x) is Swish, x * hard_sigmoid(x) is HardSwish. */
static bool multiply_by_input(struct onnx_activation *activation) {
    bool sigmoid = activation->function == ONNX_F_Sigmoid;
    if (activation->shift != 0 || !(sigmoid || activation->function == ONNX_F_HardSigmoid)) {
        return false;
    }
    activation->a = sigmoid ? 1 : activation->a;
    activation->function = sigmoid ? ONNX_F_Swish : ONNX_F_HardSwish;
    return true;
}

/* A program of one input, as an activation. */
static bool read_activation(const struct onnx_program *program,
                            struct onnx_activation *activation) {
    uint32_t at;
    if (program->inputs != 1 || !read_first(program, activation, &at)) {
        return false;
    }
    for (; at < program->count; at++) {
        const struct onnx_instruction *code = &program->code[at];
        uint32_t before = at; /* register of the previous result: input 0 is in register 0 */
        if (is_with_number(code, ONNX_F_Mul) && code->a == before && code->x != 0) {
            activation->scale *= code->x;
            activation->shift *= code->x;
        } else if (is_with_number(code, ONNX_F_Add) && code->a == before) {
            activation->shift += code->x;
        } else if (!(code->function == ONNX_F_Mul && mmi_onnx_reads_b(code) && code->a == 0 &&
                     code->b == before && multiply_by_input(activation))) {
            return false;
        }
    }
    if (same(activation->scale, 1)) {
        activation->scale = activation->shift != 0 ? 1 : 0;
    }
    return true;
}

/* ---- The nodes after another ----------------------------------------------------------------- */

/* Nodes that depend on `root` and constants alone, in topological order. */
struct epilogue {
    const struct onnx_rewrite *rewrite;
    uint32_t root;
    struct onnx_node *nodes[MAX_NODES];
    uint32_t count;
};

static uint32_t value_at(const struct epilogue *epilogue, uint32_t i) {
    return i == 0 ? epilogue->root : epilogue->nodes[i - 1]->outputs[0];
}

static bool holds(const struct epilogue *epilogue, const struct onnx_node *node) {
    for (uint32_t i = 0; i < epilogue->count; i++) {
        if (epilogue->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

/* All its inputs are values of the epilogue or constants. */
static bool depends_on(const struct epilogue *epilogue, const struct onnx_node *node) {
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = node->inputs[i];
        bool inside = value == ONNX_NO_VALUE || epilogue->rewrite->model->values[value].constant;
        for (uint32_t j = 0; j <= epilogue->count && !inside; j++) {
            inside = value == value_at(epilogue, j);
        }
        if (!inside) {
            return false;
        }
    }
    return true;
}

/* One more node; false: there is none. */
static bool extend(struct epilogue *epilogue) {
    const struct onnx_rewrite *rewrite = epilogue->rewrite;
    const struct onnx_graph *graph = rewrite->uses.of[epilogue->root].graph;
    for (uint32_t i = 0; i <= epilogue->count && epilogue->count < MAX_NODES; i++) {
        const struct onnx_use *use = &rewrite->uses.of[value_at(epilogue, i)];
        for (uint32_t j = 0; j < use->count; j++) {
            struct onnx_node *node = use->users[j].node;
            if (node && use->users[j].graph == graph && !holds(epilogue, node) &&
                mmi_onnx_is_elementwise(rewrite, node) && depends_on(epilogue, node)) {
                epilogue->nodes[epilogue->count++] = node;
                return true;
            }
        }
    }
    return false;
}

/* Only the result of the last node is used outside. */
static bool is_closed(const struct epilogue *epilogue) {
    for (uint32_t i = 0; i < epilogue->count; i++) {
        const struct onnx_use *use = &epilogue->rewrite->uses.of[value_at(epilogue, i)];
        for (uint32_t j = 0; j < use->count; j++) {
            if (!use->users[j].node || !holds(epilogue, use->users[j].node)) {
                return false;
            }
        }
    }
    return true;
}

/* `rank`: of the root, at least. */
static bool is_activation(const struct epilogue *epilogue, uint32_t rank,
                          struct onnx_activation *activation) {
    struct onnx_emitter emitter;
    mmi_onnx_emit_begin(&emitter, epilogue->rewrite);
    for (uint32_t i = 0; i < epilogue->count; i++) {
        if (!mmi_onnx_emit(&emitter, epilogue->nodes[i])) {
            return false;
        }
    }
    return mmi_onnx_emit_end(&emitter) && emitter.program.rank <= rank &&
           read_activation(&emitter.program, activation);
}

/* Fuses the longest epilogue that is an activation. */
static void fuse_epilogue(struct onnx_rewrite *rewrite, struct onnx_node *node,
                          struct onnx_activation *to) {
    struct epilogue epilogue = {.rewrite = rewrite, .root = node->outputs[0]};
    int32_t known = rewrite->facts[epilogue.root].rank;
    uint32_t rank = known < 1 ? 1 : (uint32_t)known;
    uint32_t taken = 0;
    while (extend(&epilogue)) {
        struct onnx_activation activation;
        if (is_closed(&epilogue) && is_activation(&epilogue, rank, &activation)) {
            *to = activation;
            taken = epilogue.count;
        }
    }
    for (uint32_t i = 0; i < taken; i++) {
        node->outputs[0] = epilogue.nodes[i]->outputs[0];
        mmi_onnx_remove(epilogue.nodes[i]);
    }
}

static mm_status visit(struct onnx_rewrite *rewrite, struct onnx_graph *graph, mm_error *err) {
    (void)err;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];
        if (mmi_onnx_removed(node) || !(node->op->flags & ONNX_OP_ACTIVATES)) {
            continue;
        }
        void *at = (uint8_t *)node->params + node->op->activation_at;
        struct onnx_activation *activation = at;
        if (activation->function == ONNX_F_NONE && node->outputs[0] != ONNX_NO_VALUE &&
            rewrite->facts[node->outputs[0]].dtype == MM_F32) {
            fuse_epilogue(rewrite, node, activation);
        }
    }
    return MM_OK;
}

mm_status mmi_onnx_fuse_activations(struct onnx_model *model,
                                    const struct onnx_pass_context *context, mm_error *err) {
    return mmi_onnx_rewrite(model, context, visit, err);
}
