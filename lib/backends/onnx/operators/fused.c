/* SPDX-License-Identifier: Apache-2.0 */

/* Fused programs run in blocks: a block of every input is read, each instruction works on the whole
 * block, and only the last result goes to memory. Inputs that are broadcast are spread out block by
 * block first, so that the loops know nothing of shapes. */

#include <backends/onnx/operators/broadcast.h>
#include <backends/onnx/operators/fused.h>
#include <base/checked.h>
#include <base/status.h>

#include <string.h>

#define REGISTERS (ONNX_PROGRAM_INPUTS + ONNX_PROGRAM_CODE)

/* Blocks of all registers together, on the stack; a block has at most ONNX_STRETCH floats. */
#define ROOM_FLOATS 5120
#define BLOCK_ALIGN 16

/* Work below this is not shared out. */
#define TASK_NS 50000
#define TASKS_PER_THREAD 4

/* ---- Shapes ---------------------------------------------------------------------------------- */

/* It may come out of an artifact. */
static bool is_sound(const struct onnx_program *program, uint32_t inputs) {
    bool sound = program->inputs == inputs && inputs >= 1 && inputs <= ONNX_PROGRAM_INPUTS &&
                 program->count >= 1 && program->count <= ONNX_PROGRAM_CODE &&
                 program->rank <= MM_MAX_RANK;
    for (uint32_t i = 0; sound && i < program->count; i++) {
        const struct onnx_instruction *code = &program->code[i];
        bool known = mmi_onnx_of_one(code->function)
                         ? code->operands == 0
                         : mmi_onnx_of_two(code->function) && code->operands <= ONNX_X_A;
        sound = known && code->a < inputs + i && (!mmi_onnx_reads_b(code) || code->b < inputs + i);
    }
    return sound;
}

static mm_status infer_fused(struct onnx_inference *x, mm_error *err) {
    const struct onnx_program *program = x->params;
    if (!is_sound(program, x->input_count)) {
        return mmi_fail(err, MM_INVALID_MODEL, "its program of %u instructions is none",
                        program->count);
    }
    for (uint32_t i = 0; i < x->input_count; i++) {
        if (x->inputs[i].dtype != MM_F32) {
            return mmi_fail(err, MM_INVALID_MODEL, "its input %u is %s, f32 wanted", i,
                            mm_dtype_text(x->inputs[i].dtype));
        }
    }
    MMI_TRY(mmi_onnx_infer_broadcast(x, MM_F32, err));
    static const int64_t ones[MM_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct onnx_tensor shape = x->outputs[0];
    mmi_onnx_broadcast(program->rank, ones, shape.rank, shape.shape, &shape);
    return mmi_onnx_tensor_set(&x->outputs[0], MM_F32, shape.rank, shape.shape, err);
}

/* ---- Registers ----------------------------------------------------------------------- */

struct run {
    const struct onnx_call *call;
    const struct onnx_program *program;
    onnx_instruction_loop loop;
    struct onnx_operand operands[ONNX_PROGRAM_INPUTS];
    uint8_t slots[REGISTERS]; /* which block a register is in */
    uint64_t block;           /* floats */
    uint64_t elements, task;  /* of the result; of one task */
};

/* Its elements lie as those of the result do: it needs no block. */
static bool is_plain(const struct onnx_operand *operand) {
    return operand->rank == 1 && (operand->step[0] > 0 || operand->count[0] == 1);
}

/* The last instruction that reads each register. */
static void find_ends(const struct onnx_program *program, uint32_t ends[REGISTERS]) {
    memset(ends, 0, REGISTERS * sizeof(*ends));
    for (uint32_t i = 0; i < program->count; i++) {
        ends[program->code[i].a] = i;
        if (mmi_onnx_reads_b(&program->code[i])) {
            ends[program->code[i].b] = i;
        }
    }
}

static uint8_t take_slot(uint32_t *taken, uint32_t *max_slots) {
    uint8_t slot = (uint8_t)__builtin_ctz(~*taken);
    *taken |= 1u << slot;
    *max_slots = slot + 1u > *max_slots ? slot + 1u : *max_slots;
    return slot;
}

/* Spread inputs keep their block; results share blocks with those that are of no more use. Returns
 * how many there are. */
static uint32_t place_registers(struct run *run) {
    const struct onnx_program *program = run->program;
    uint32_t ends[REGISTERS], taken = 0, max_slots = 0;
    find_ends(program, ends);
    for (uint32_t i = 0; i < program->inputs; i++) {
        if (!is_plain(&run->operands[i])) {
            run->slots[i] = take_slot(&taken, &max_slots);
        }
    }
    for (uint32_t i = 0; i + 1 < program->count; i++) {
        const struct onnx_instruction *code = &program->code[i];
        const uint8_t read[] = {code->a, mmi_onnx_reads_b(code) ? code->b : code->a};
        for (uint32_t j = 0; j < 2; j++) {
            if (read[j] >= program->inputs && ends[read[j]] == i) {
                taken &= ~(1u << run->slots[read[j]]);
            }
        }
        run->slots[program->inputs + i] = take_slot(&taken, &max_slots);
    }
    return max_slots;
}

/* Of one element, roughly. */
static uint64_t cost_quarter_ns(const struct onnx_program *program) {
    uint64_t cost = 0;
    for (uint32_t i = 0; i < program->count; i++) {
        cost += mmi_onnx_functions[program->code[i].function].cost_quarter_ns;
    }
    return cost;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* The same elements of all registers. */
struct blocks {
    const float *data[REGISTERS];
    const float *number[REGISTERS]; /* not NULL: it is this one all along, data is not set */
    float *room[ONNX_PROGRAM_INPUTS];
    uint64_t count;
};

static void read_inputs(const struct run *run, uint64_t first, struct blocks *blocks) {
    for (uint32_t i = 0; i < run->program->inputs; i++) {
        struct onnx_stretch stretch =
            mmi_onnx_operand_at(&run->operands[i], first, blocks->count, blocks->room[i]);
        bool number = stretch.step == 0 && blocks->count > 1;
        blocks->data[i] = stretch.data;
        blocks->number[i] = number ? stretch.data : NULL;
    }
}

static const float *spread(struct blocks *blocks, uint32_t which) {
    if (blocks->number[which]) {
        float number = *blocks->number[which];
        for (uint64_t i = 0; i < blocks->count; i++) {
            blocks->room[which][i] = number;
        }
        blocks->data[which] = blocks->room[which];
        blocks->number[which] = NULL;
    }
    return blocks->data[which];
}

/* One of two that is the same number all along goes into the instruction. */
static void run_instruction(const struct run *run, struct onnx_instruction code,
                            struct blocks *blocks, float *to) {
    if (mmi_onnx_reads_b(&code) && blocks->number[code.b]) {
        code.x = *blocks->number[code.b];
        code.operands = ONNX_A_X;
    } else if (mmi_onnx_reads_b(&code) && blocks->number[code.a]) {
        code.x = *blocks->number[code.a];
        code.a = code.b;
        code.operands = ONNX_X_A;
    }
    const float *b = mmi_onnx_reads_b(&code) ? blocks->data[code.b] : NULL;
    run->loop(&code, spread(blocks, code.a), b, to, blocks->count);
}

static void run_task(void *ctx, uint64_t task) {
    const struct run *run = ctx;
    const struct onnx_program *program = run->program;
    _Alignas(64) float room[ROOM_FLOATS];
    struct blocks blocks = {.count = 0};
    for (uint32_t i = 0; i < program->inputs; i++) {
        blocks.room[i] = room + run->slots[i] * run->block;
    }
    uint64_t end = mmi_min_u64((task + 1) * run->task, run->elements);
    for (uint64_t first = task * run->task, count; first < end; first += count) {
        /* Up to where an input jumps, if that is far enough: it needs no block, or a plain one. */
        count = mmi_onnx_stretch_count(run->operands, program->inputs, run->elements, first);
        count = mmi_min_u64(count, mmi_min_u64(run->block, end - first));
        blocks.count = count;
        read_inputs(run, first, &blocks);
        for (uint32_t i = 0; i < program->count; i++) {
            const struct onnx_instruction *code = &program->code[i];
            bool last = i + 1 == program->count;
            uint32_t made = program->inputs + i;
            float *to =
                last ? (float *)run->call->out[0] + first : room + run->slots[made] * run->block;
            run_instruction(run, *code, &blocks, to);
            blocks.data[made] = to;
        }
    }
}

mm_status mmi_onnx_run_program(const struct onnx_call *call, onnx_instruction_loop loop,
                               mm_error *err) {
    (void)err;
    struct run run = {
        .call = call, .program = call->params, .loop = loop, .elements = call->outputs[0].elements};
    if (run.elements == 0 || !call->out[0]) {
        return MM_OK;
    }
    for (uint32_t i = 0; i < call->input_count; i++) {
        mmi_onnx_operand_set(&run.operands[i], &call->outputs[0], &call->inputs[i], call->in[i]);
    }
    uint32_t slots = place_registers(&run);
    run.block = slots > 0 ? ROOM_FLOATS / slots & ~(uint64_t)(BLOCK_ALIGN - 1) : ONNX_STRETCH;
    run.block = mmi_min_u64(run.block, ONNX_STRETCH);
    uint64_t tasks = run.elements / 4 * cost_quarter_ns(run.program) / TASK_NS;
    tasks = mmi_min_u64(tasks, (uint64_t)call->services->threads * TASKS_PER_THREAD);
    if (tasks < 2 || call->services->threads < 2) {
        run.task = run.elements;
        run_task(&run, 0);
        return MM_OK;
    }
    run.task = (run.elements / tasks | (BLOCK_ALIGN - 1)) + 1;
    call->services->parallel_for(call->services->host, (run.elements + run.task - 1) / run.task,
                                 run_task, &run);
    return MM_OK;
}

/* ---- Plain loops ----------------------------------------------------------------------------- */

void mmi_onnx_instruction_loop(const struct onnx_instruction *instruction, const float *a,
                               const float *b, float *to, uint64_t count) {
    const struct onnx_function *function = &mmi_onnx_functions[instruction->function];
    if (function->one) {
        const struct onnx_alpha numbers = {instruction->x, instruction->y};
        function->one(&numbers, a, count, to);
        return;
    }
    struct onnx_stretch of_a = {a, 1}, of_b = {b, 1}, x = {&instruction->x, 0};
    bool before = instruction->operands == ONNX_X_A, behind = instruction->operands == ONNX_A_X;
    function->two(before ? x : of_a, before ? of_a : behind ? x : of_b, count, to);
}

static mm_status run_fused(const struct onnx_call *call, mm_error *err) {
    return mmi_onnx_run_program(call, mmi_onnx_instruction_loop, err);
}

static void learn_fused(const struct onnx_learning *l, uint32_t output, struct onnx_fact *fact) {
    const struct onnx_program *program = l->node->params;
    (void)output;
    if (fact->rank >= 0 && fact->rank < (int32_t)program->rank) {
        fact->rank = (int32_t)program->rank;
    }
}

const struct onnx_operator mmi_onnx_op_Fused = {
    .name = "Fused",
    .flags = ONNX_OP_IN_PLACE,
    .min_inputs = 1,
    .max_inputs = ONNX_PROGRAM_INPUTS,
    .min_outputs = 1,
    .max_outputs = 1,
    .params_bytes = sizeof(struct onnx_program),
    .infer = infer_fused,
    .run = run_fused,
    .facts = {MM_F32, ONNX_RANK_BROADCAST, ONNX_SIZE_ALIKE, 0},
    .learn = learn_fused,
    .kernels = {[ONNX_CPU] = mmi_onnx_cpu_Fused},
    .domain = ONNX_OURS,
};
