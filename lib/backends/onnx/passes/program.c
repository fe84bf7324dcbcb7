/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/elementwise.h>
#include <backends/onnx/passes/program.h>

#include <math.h>
#include <string.h>

/* How an operator becomes instructions. */
enum form {
    ONE,  /* instruction(input) */
    MANY, /* instruction(instruction(input 0, input 1), input 2) ..., with numbers where they are */
    POWER,
    LIMITS,     /* Clip */
    PARAMETERS, /* x and y are the operator's */
    SWISH       /* HardSwish */
};

static const struct translation {
    const char *type;
    uint8_t form, kind;
} translations[] = {
    {"Add", MANY, ONNX_I_ADD},
    {"Sub", MANY, ONNX_I_SUB},
    {"Mul", MANY, ONNX_I_MUL},
    {"Div", MANY, ONNX_I_DIV},
    {"Sum", MANY, ONNX_I_ADD},
    {"Min", MANY, ONNX_I_MIN},
    {"Max", MANY, ONNX_I_MAX},
    {"Pow", POWER, ONNX_I_POW},
    {"Clip", LIMITS, ONNX_I_CLIP},
    {"HardSigmoid", PARAMETERS, ONNX_I_HARD_SIGMOID},
    {"LeakyRelu", PARAMETERS, ONNX_I_LEAKY_RELU},
    {"HardSwish", SWISH, ONNX_I_HARD_SIGMOID},
    {"Relu", ONE, ONNX_I_RELU},
    {"Neg", ONE, ONNX_I_NEG},
    {"Abs", ONE, ONNX_I_ABS},
    {"Sqrt", ONE, ONNX_I_SQRT},
    {"Reciprocal", ONE, ONNX_I_RECIPROCAL},
    {"Exp", ONE, ONNX_I_EXP},
    {"Log", ONE, ONNX_I_LOG},
    {"Tanh", ONE, ONNX_I_TANH},
    {"Sigmoid", ONE, ONNX_I_SIGMOID},
    {"Erf", ONE, ONNX_I_ERF},
};

static const struct translation *translation_of(const struct onnx_node *node) {
    for (size_t i = 0; i < sizeof(translations) / sizeof(translations[0]); i++) {
        if (strcmp(node->op->name, translations[i].type) == 0) {
            return &translations[i];
        }
    }
    return NULL;
}

/* A constant of one element. */
static bool is_number(const struct onnx_rewrite *rewrite, uint32_t value, float *number) {
    const struct onnx_tensor *constant = mmi_onnx_f32(rewrite->model, value);
    bool single = constant && constant->elements == 1;
    *number = single ? ((const float *)constant->data)[0] : 0;
    return single;
}

/* The inputs that are parameters rather than operands: these must be numbers, or left out. */
static uint32_t operands_of(const struct translation *translation, const struct onnx_node *node) {
    return translation->form == MANY || translation->form == POWER ? node->input_count : 1;
}

bool mmi_onnx_is_elementwise(const struct onnx_rewrite *rewrite, const struct onnx_node *node) {
    const struct translation *translation = translation_of(node);
    if (!translation || node->output_count != 1 || node->outputs[0] == ONNX_NO_VALUE ||
        node->input_count == 0) {
        return false;
    }
    uint32_t operands = operands_of(translation, node);
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

static struct operand add_number(struct onnx_emitter *e, int kind, struct operand a, float x,
                                 float y) {
    return add(e, (struct onnx_instruction){.kind = (uint8_t)kind, .a = a.at, .x = x, .y = y});
}

static struct operand add_pair(struct onnx_emitter *e, int kind, struct operand a,
                               struct operand b) {
    bool ordered = kind == ONNX_I_SUB || kind == ONNX_I_DIV || kind == ONNX_I_POW;
    if (!ordered && b.at < a.at) { /* the same program, whichever way it was written */
        struct operand swapped = a;
        a = b;
        b = swapped;
    }
    return add(e, (struct onnx_instruction){.kind = (uint8_t)kind, .a = a.at, .b = b.at});
}

/* A register and a number behind it. */
static struct operand with_number(struct onnx_emitter *e, int kind, struct operand a, float x) {
    switch (kind) {
    case ONNX_I_ADD:
        return add_number(e, ONNX_I_ADD_X, a, x, 0);
    case ONNX_I_SUB:
        return add_number(e, ONNX_I_ADD_X, a, -x, 0);
    case ONNX_I_MUL:
        return x == 1 ? a : add_number(e, ONNX_I_MUL_X, a, x, 0);
    case ONNX_I_DIV:
        return x == 1 ? a : add_number(e, ONNX_I_MUL_X, a, 1 / x, 0);
    case ONNX_I_MIN:
        return add_number(e, ONNX_I_CLIP, a, -INFINITY, x);
    default:
        return add_number(e, ONNX_I_CLIP, a, x, INFINITY);
    }
}

/* A number before a register. */
static struct operand after_number(struct onnx_emitter *e, int kind, float x, struct operand b) {
    switch (kind) {
    case ONNX_I_SUB:
        return add_number(e, ONNX_I_X_SUB, b, x, 0);
    case ONNX_I_DIV:
        return add_number(e, ONNX_I_X_DIV, b, x, 0);
    default:
        return with_number(e, kind, b, x);
    }
}

/* A quotient by a number is a product with its inverse where that is a sound number, too. */
static bool divides_badly(int kind, float x) {
    return kind == ONNX_I_DIV && !(isnormal(x) && isnormal(1 / x));
}

static struct operand emit_many(struct onnx_emitter *e, int kind, const struct onnx_node *node) {
    struct operand a = operand_of(e, node->inputs[0]);
    for (uint32_t i = 1; i < node->input_count && a.fits; i++) {
        struct operand b = operand_of(e, node->inputs[i]);
        if (b.fits && (a.is_number && b.is_number)) {
            return no_room; /* worth no program */
        }
        if (b.is_number && divides_badly(kind, b.number)) {
            b = in_register(e, node->inputs[i]);
        }
        a = !b.fits       ? b
            : b.is_number ? with_number(e, kind, a, b.number)
            : a.is_number ? after_number(e, kind, a.number, b)
                          : add_pair(e, kind, a, b);
    }
    return a.is_number ? no_room : a;
}

static struct operand emit_power(struct onnx_emitter *e, const struct onnx_node *node) {
    float power;
    struct operand a = in_register(e, node->inputs[0]);
    if (!a.fits || node->input_count < 2) {
        return no_room;
    }
    if (!is_number(e->rewrite, node->inputs[1], &power)) {
        struct operand b = in_register(e, node->inputs[1]);
        return b.fits ? add_pair(e, ONNX_I_POW, a, b) : b;
    }
    return power == 1     ? a
           : power == 2   ? add_pair(e, ONNX_I_MUL, a, a)
           : power == 0.5 ? add_number(e, ONNX_I_SQRT, a, 0, 0)
                          : add_number(e, ONNX_I_POW_X, a, power, 0);
}

/* What has one operand, in a register. */
static struct operand emit_one(struct onnx_emitter *e, const struct translation *translation,
                               const struct onnx_node *node) {
    struct operand a = in_register(e, node->inputs[0]);
    float low = -INFINITY, high = INFINITY, number;
    if (!a.fits) {
        return a;
    }
    if (translation->form == LIMITS) {
        low =
            node->input_count > 1 && is_number(e->rewrite, node->inputs[1], &number) ? number : low;
        high = node->input_count > 2 && is_number(e->rewrite, node->inputs[2], &number) ? number
                                                                                        : high;
        return add_number(e, ONNX_I_CLIP, a, low, high);
    }
    if (translation->form == PARAMETERS) {
        const struct onnx_alpha *params = node->params;
        return add_number(e, translation->kind, a, params->alpha, params->beta);
    }
    if (translation->form == SWISH) {
        struct operand gate = add_number(e, ONNX_I_HARD_SIGMOID, a, 1.0F / 6, 0.5F);
        return gate.fits ? add_pair(e, ONNX_I_MUL, a, gate) : gate;
    }
    return add_number(e, translation->kind, a, 0, 0);
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
    const struct translation *translation = translation_of(node);
    struct operand result = translation->form == MANY ? emit_many(emitter, translation->kind, node)
                            : translation->form == POWER ? emit_power(emitter, node)
                                                         : emit_one(emitter, translation, node);
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
