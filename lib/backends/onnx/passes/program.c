/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/passes/program.h>

#include <math.h>

/* The elementwise form of a node; .form ONNX_FORM_NONE: there is none. */
static struct onnx_elementwise form_of(const struct onnx_node *node) {
    struct onnx_elementwise form = node->op->elementwise;
    if (node->op->elementwise_by) {
        node->op->elementwise_by(node->params, &form);
    }
    return form;
}

/* A constant of one element. */
static bool is_number(const struct onnx_rewrite *rewrite, uint32_t value, float *number) {
    const struct onnx_tensor *constant = mmi_onnx_f32(rewrite->model, value);
    bool single = constant && constant->elements == 1;
    *number = single ? ((const float *)constant->data)[0] : 0;
    return single;
}

/* The inputs behind these are parameters rather than operands: they must be numbers, or left
 * out. */
static uint32_t operands_of(const struct onnx_elementwise *form, const struct onnx_node *node) {
    return form->form == ONNX_FORM_ONE || form->form == ONNX_FORM_LIMITS ? 1 : node->input_count;
}

bool mmi_onnx_is_elementwise(const struct onnx_rewrite *rewrite, const struct onnx_node *node) {
    if (mmi_onnx_removed(node)) {
        return false;
    }
    struct onnx_elementwise form = form_of(node);
    if (form.form == ONNX_FORM_NONE || node->output_count != 1 ||
        node->outputs[0] == ONNX_NO_VALUE || node->input_count == 0) {
        return false;
    }
    uint32_t operands = operands_of(&form, node);
    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = node->inputs[i];
        float ignored;
        bool fits = i < operands ? value != ONNX_NO_VALUE && rewrite->facts[value].dtype == MM_F32
                                 : value == ONNX_NO_VALUE || is_number(rewrite, value, &ignored);
        if (!fits) {
            return false;
        }
    }
    return true;
}

/* ---- Instructions ---------------------------------------------------------------------------- */

/* While a program grows, input i is in register i, and what instruction i makes in MADE + i. */
#define MADE ONNX_PROGRAM_INPUTS

struct operand {
    bool is_number;
    float number;
    uint8_t at;
    bool fits; /* false: there was no room */
};

static const struct operand no_room;

void mmi_onnx_emit_begin(struct onnx_emitter *emitter, const struct onnx_rewrite *rewrite) {
    *emitter = (struct onnx_emitter){.rewrite = rewrite};
}

static struct operand in_register(struct onnx_emitter *e, uint32_t value) {
    for (uint32_t i = 0; i < e->made_count; i++) {
        if (e->made[i].value == value) {
            return (struct operand){.at = e->made[i].at, .fits = true};
        }
    }
    uint8_t at = 0;
    while (at < e->program.inputs && e->inputs[at] != value) {
        at++;
    }
    if (at == ONNX_PROGRAM_INPUTS) {
        return no_room;
    }
    if (at == e->program.inputs) {
        e->inputs[e->program.inputs++] = value;
    }
    return (struct operand){.at = at, .fits = true};
}

static struct operand operand_of(struct onnx_emitter *e, uint32_t value) {
    float number;
    return is_number(e->rewrite, value, &number)
               ? (struct operand){.is_number = true, .number = number, .fits = true}
               : in_register(e, value);
}

static struct operand add(struct onnx_emitter *e, struct onnx_instruction instruction) {
    if (e->program.count == ONNX_PROGRAM_CODE) {
        return no_room;
    }
    e->program.code[e->program.count] = instruction;
    return (struct operand){.at = (uint8_t)(MADE + e->program.count++), .fits = true};
}

/* A function of one. */
static struct operand add_one(struct onnx_emitter *e, uint8_t function, struct operand of, float x,
                              float y) {
    return add(e, (struct onnx_instruction){.function = function, .a = of.at, .x = x, .y = y});
}

/* A function of a register and a number. */
static struct operand add_number(struct onnx_emitter *e, uint8_t function, uint8_t operands,
                                 struct operand of, float x) {
    return add(e, (struct onnx_instruction){
                      .function = function, .operands = operands, .a = of.at, .x = x});
}

static bool commutes(uint8_t function) {
    return function == ONNX_F_Add || function == ONNX_F_Mul || function == ONNX_F_Min ||
           function == ONNX_F_Max;
}

static struct operand add_pair(struct onnx_emitter *e, uint8_t function, struct operand a,
                               struct operand b) {
    if (commutes(function) && b.at < a.at) { /* the same program, whichever way it was written */
        struct operand swapped = a;
        a = b;
        b = swapped;
    }
    return add(e, (struct onnx_instruction){.function = function, .a = a.at, .b = b.at});
}

/* A register and a number behind it. A quotient by a number is a product with its inverse where
 * that is a sound number, too. */
static struct operand with_number(struct onnx_emitter *e, uint8_t function, struct operand a,
                                  float x) {
    switch (function) {
    case ONNX_F_Sub:
        return add_number(e, ONNX_F_Add, ONNX_A_X, a, -x);
    case ONNX_F_Mul:
        return x == 1 ? a : add_number(e, ONNX_F_Mul, ONNX_A_X, a, x);
    case ONNX_F_Div:
        return x == 1                           ? a
               : isnormal(x) && isnormal(1 / x) ? add_number(e, ONNX_F_Mul, ONNX_A_X, a, 1 / x)
                                                : add_number(e, ONNX_F_Div, ONNX_A_X, a, x);
    case ONNX_F_Min:
        return isnan(x) ? add_number(e, function, ONNX_A_X, a, x)
                        : add_one(e, ONNX_F_Clip, a, -INFINITY, x);
    case ONNX_F_Max:
        return isnan(x) ? add_number(e, function, ONNX_A_X, a, x)
                        : add_one(e, ONNX_F_Clip, a, x, INFINITY);
    case ONNX_F_PRelu:
        return add_one(e, ONNX_F_LeakyRelu, a, x, 0);
    default:
        return add_number(e, function, ONNX_A_X, a, x);
    }
}

static struct operand emit_all(struct onnx_emitter *e, uint8_t function,
                               const struct onnx_node *node) {
    struct operand a = operand_of(e, node->inputs[0]);
    for (uint32_t i = 1; i < node->input_count && a.fits; i++) {
        struct operand b = operand_of(e, node->inputs[i]);
        if (b.fits && (a.is_number && b.is_number)) {
            return no_room; /* worth no program */
        }
        a = !b.fits                             ? b
            : b.is_number                       ? with_number(e, function, a, b.number)
            : a.is_number && commutes(function) ? with_number(e, function, b, a.number)
            : a.is_number                       ? add_number(e, function, ONNX_X_A, b, a.number)
                                                : add_pair(e, function, a, b);
    }
    return a.is_number ? no_room : a;
}

static struct operand emit_mean(struct onnx_emitter *e, const struct onnx_node *node) {
    struct operand sum = emit_all(e, ONNX_F_Add, node);
    return sum.fits ? add_number(e, ONNX_F_Div, ONNX_A_X, sum, (float)node->input_count) : sum;
}

static struct operand emit_power(struct onnx_emitter *e, const struct onnx_node *node) {
    float power;
    if (node->input_count < 2 || !is_number(e->rewrite, node->inputs[1], &power)) {
        return emit_all(e, ONNX_F_Pow, node);
    }
    struct operand a = in_register(e, node->inputs[0]);
    return !a.fits        ? a
           : power == 1   ? a
           : power == 2   ? add_pair(e, ONNX_F_Mul, a, a)
           : power == 0.5 ? add_one(e, ONNX_F_PowHalf, a, 0, 0)
                          : add_number(e, ONNX_F_Pow, ONNX_A_X, a, power);
}

static float limit_at(struct onnx_emitter *e, const struct onnx_node *node, uint32_t input,
                      float fallback) {
    float number;
    bool given = input < node->input_count && is_number(e->rewrite, node->inputs[input], &number);
    return given ? number : fallback;
}

static struct operand emit_node(struct onnx_emitter *e, const struct onnx_node *node) {
    struct onnx_elementwise form = form_of(node);
    switch (form.form) {
    case ONNX_FORM_ALL:
        return emit_all(e, form.function, node);
    case ONNX_FORM_MEAN:
        return emit_mean(e, node);
    case ONNX_FORM_POWER:
        return emit_power(e, node);
    case ONNX_FORM_LIMITS:
        form.a = limit_at(e, node, 1, -INFINITY);
        form.b = limit_at(e, node, 2, INFINITY);
        break;
    default:
        break;
    }
    struct operand a = in_register(e, node->inputs[0]);
    return a.fits ? add_one(e, form.function, a, form.a, form.b) : a;
}

/* The result has no fewer axes than the numbers had. */
static void note_ranks(struct onnx_emitter *e, const struct onnx_node *node) {
    for (uint32_t i = 0; i < node->input_count; i++) {
        const struct onnx_tensor *constant = mmi_onnx_constant(e->rewrite->model, node, i);
        if (constant && constant->elements == 1 && constant->rank > e->program.rank) {
            e->program.rank = constant->rank;
        }
    }
}

bool mmi_onnx_emit(struct onnx_emitter *emitter, const struct onnx_node *node) {
    struct operand result = emit_node(emitter, node);
    if (!result.fits || emitter->made_count == ONNX_PROGRAM_NODES) {
        return false;
    }
    note_ranks(emitter, node);
    emitter->made[emitter->made_count].value = node->outputs[0];
    emitter->made[emitter->made_count++].at = result.at;
    return true;
}

bool mmi_onnx_emit_end(struct onnx_emitter *emitter) {
    struct onnx_program *program = &emitter->program;
    uint32_t last = MADE + program->count - 1;
    if (program->count == 0 || emitter->made[emitter->made_count - 1].at != last) {
        return false;
    }
    for (uint32_t i = 0; i < program->count; i++) {
        struct onnx_instruction *code = &program->code[i];
        code->a = (uint8_t)(code->a < MADE ? code->a : code->a - MADE + program->inputs);
        code->b = (uint8_t)(code->b < MADE ? code->b : code->b - MADE + program->inputs);
    }
    return true;
}
