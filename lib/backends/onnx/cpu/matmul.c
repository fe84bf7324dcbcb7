/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul of f32 where neither matrix was known beforehand. */
#include <backends/onnx/cpu/kernels.h>
#include <backends/onnx/cpu/multiply.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#define TILE 240
/* So few rows are multiplied by the right matrix as it is; for more, tiles of it are copied. */
#define FEW_ROWS 3

struct matmul {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    uint64_t rows, columns, depth, products;
    uint64_t tile, tiles, row_parts, stride, block;
    uint64_t tasks, task_floats;
    uint32_t leading;               /* axes that count products */
    uint64_t shape[MM_MAX_RANK];    /* [leading] */
    uint64_t steps[2][MM_MAX_RANK]; /* of both inputs, in elements; 0: the same again */
};

/* Elements from one matrix of an input to the next along each leading axis of the result. */
static void find_steps(const struct onnx_tensor *input, uint32_t leading, uint64_t *steps) {
    uint32_t own = input->rank > 2 ? input->rank - 2 : 0;
    uint64_t step =
        input->rank > 1 ? (uint64_t)(input->shape[own] * input->shape[own + 1]) : input->elements;
    for (uint32_t i = 0; i < leading; i++) {
        uint32_t axis = leading - 1 - i;
        uint64_t length = i < own ? (uint64_t)input->shape[own - 1 - i] : 1;
        steps[axis] = length == 1 ? 0 : step;
        step *= length;
    }
}

static void measure(struct matmul *m, const struct onnx_tensor *inputs,
                    const struct onnx_tensor *output, const mm_services *services) {
    const struct onnx_tensor *a = &inputs[0], *b = &inputs[1];
    m->depth = (uint64_t)a->shape[a->rank - 1];
    m->rows = a->rank > 1 ? (uint64_t)a->shape[a->rank - 2] : 1;
    m->columns = b->rank > 1 ? (uint64_t)b->shape[b->rank - 1] : 1;
    m->products = output->elements / (m->rows * m->columns);
    m->leading = output->rank - (a->rank > 1) - (b->rank > 1);
    for (uint32_t i = 0; i < m->leading; i++) {
        m->shape[i] = (uint64_t)output->shape[i];
    }
    find_steps(a, m->leading, m->steps[0]);
    find_steps(b, m->leading, m->steps[1]);
    if (b->rank <= 2 && a->rank > 2) { /* one right matrix: one tall product */
        m->rows *= m->products;
        m->products = 1;
        m->leading = 0;
    }
    double product_ns = mmi_onnx_simd_ns(m->rows, m->columns, m->depth);
    m->tasks = mmi_onnx_tasks(services, (double)m->products * product_ns, UINT64_MAX);
    m->block = mmi_onnx_simd_block(m->depth);
    uint64_t panels = (m->columns + ONNX_PANEL - 1) / ONNX_PANEL;
    m->tile = mmi_min_u64(TILE, panels * ONNX_PANEL);
    m->tiles = (m->columns + m->tile - 1) / m->tile;
    uint64_t units = m->products * m->tiles;
    m->row_parts = mmi_min_u64((m->tasks + units - 1) / units, m->rows);
    m->tasks = mmi_min_u64(m->tasks, units * m->row_parts);
    m->stride = m->tile / ONNX_PANEL % 2 == 1 ? m->tile : m->tile + ONNX_PANEL;
    m->task_floats = m->block * m->stride;
}

/* Rows of B to the scratch; whole panels of each can be read there. */
static void copy_rows(const struct matmul *m, const float *b, uint64_t depth, uint64_t columns,
                      float *to) {
    for (uint64_t k = 0; k < depth; k++, b += m->columns, to += m->stride) {
        m->simd->gather(b, 1, to, columns);
        for (uint64_t i = columns; i % ONNX_PANEL != 0; i++) {
            to[i] = 0;
        }
    }
}

/* Columns of a product, with their part of B copied block by block. */
static void multiply_copied(const struct matmul *m, const struct onnx_simd_product *p,
                            float *room) {
    for (uint64_t from = 0; from < p->depth; from += m->block) {
        struct onnx_simd_product part = *p;
        part.depth = mmi_min_u64(m->block, p->depth - from);
        copy_rows(m, p->b + from * m->columns, part.depth, p->columns, room);
        part.a += from;
        part.b = room;
        part.b_depth = m->stride;
        part.add = from > 0;
        mmi_onnx_simd_multiply_rows(m->simd, &part);
    }
}

static void multiply_few(const struct matmul *m, struct onnx_simd_product p, float *room) {
    uint64_t whole = p.columns / ONNX_PANEL * ONNX_PANEL, last = p.columns - whole;
    if (whole > 0) {
        p.columns = whole;
        mmi_onnx_simd_multiply(m->simd, &p);
    }
    if (last > 0) {
        p.columns = last;
        p.b += whole;
        p.c += whole;
        multiply_copied(m, &p, room);
    }
}

static void run_job(const struct matmul *m, uint64_t job, float *room) {
    uint64_t index = job / m->row_parts / m->tiles, tile = job / m->row_parts % m->tiles;
    struct onnx_range rows = mmi_onnx_part(m->rows, m->row_parts, job % m->row_parts);
    const float *a = m->call->in[0], *b = m->call->in[1];
    float *c = (float *)m->call->out[0] + index * m->rows * m->columns;
    for (uint32_t i = m->leading; i-- > 0; index /= m->shape[i]) {
        a += index % m->shape[i] * m->steps[0][i];
        b += index % m->shape[i] * m->steps[1][i];
    }
    uint64_t from = tile * m->tile;
    struct onnx_simd_product p = {.rows = rows.to - rows.from,
                                  .columns = mmi_min_u64(m->tile, m->columns - from),
                                  .depth = m->depth,
                                  .a = a + rows.from * m->depth,
                                  .a_row = m->depth,
                                  .a_depth = 1,
                                  .b = b + from,
                                  .b_depth = m->columns,
                                  .b_panel = ONNX_PANEL,
                                  .c = c + rows.from * m->columns + from,
                                  .c_row = m->columns};
    if (m->rows <= FEW_ROWS) {
        multiply_few(m, p, room);
    } else {
        multiply_copied(m, &p, room);
    }
}

static void run_jobs(void *ctx, uint64_t i) {
    const struct matmul *m = ctx;
    float *room = (float *)m->call->scratch + i * m->task_floats;
    struct onnx_range mine = mmi_onnx_part(m->products * m->tiles * m->row_parts, m->tasks, i);
    for (uint64_t job = mine.from; job < mine.to; job++) {
        run_job(m, job, room);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct matmul m = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    measure(&m, call->inputs, &call->outputs[0], call->services);
    mmi_onnx_run_tasks(call->services, m.tasks, run_jobs, &m);
    return MM_OK;
}

onnx_kernel mmi_onnx_choose_matmul(struct onnx_inference *x, const mm_services *services) {
    struct matmul m;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 || x->inputs[0].elements == 0) {
        return NULL;
    }
    measure(&m, x->inputs, &x->outputs[0], services);
    x->scratch_bytes = m.tasks * m.task_floats * sizeof(float);
    return run;
}
