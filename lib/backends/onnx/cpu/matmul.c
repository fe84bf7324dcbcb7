/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul of f32 without a constant matrix. */
#include <backends/onnx/cpu/gemm.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

#define MAX_NC 240
/* Up to this m, B is read where it lies; for larger m, blocks of it are packed. */
#define UNPACKED_MAX_M 3

struct matmul {
    const struct onnx_simd *simd;
    const struct onnx_call *call;
    uint64_t m, n, k, batch;
    uint64_t nc, n_blocks, m_blocks, b_row_stride, kc;
    uint64_t tasks, task_floats;
    uint32_t batch_axes;
    uint64_t shape[MM_MAX_RANK];            /* [batch_axes] */
    uint64_t batch_strides[2][MM_MAX_RANK]; /* of both inputs, in elements; 0: broadcast */
};

/* Strides of an input along the batch axes of the output. */
static void find_batch_strides(const struct onnx_tensor *input, uint32_t batch_axes,
                               uint64_t *batch_strides) {
    uint32_t own = input->rank > 2 ? input->rank - 2 : 0;
    uint64_t stride =
        input->rank > 1 ? (uint64_t)(input->shape[own] * input->shape[own + 1]) : input->elements;
    for (uint32_t i = 0; i < batch_axes; i++) {
        uint32_t axis = batch_axes - 1 - i;
        uint64_t length = i < own ? (uint64_t)input->shape[own - 1 - i] : 1;
        batch_strides[axis] = length == 1 ? 0 : stride;
        stride *= length;
    }
}

static void plan(struct matmul *mul, const struct onnx_tensor *inputs,
                 const struct onnx_tensor *output, const mm_services *services) {
    const struct onnx_tensor *a = &inputs[0], *b = &inputs[1];
    mul->k = (uint64_t)a->shape[a->rank - 1];
    mul->m = a->rank > 1 ? (uint64_t)a->shape[a->rank - 2] : 1;
    mul->n = b->rank > 1 ? (uint64_t)b->shape[b->rank - 1] : 1;
    mul->batch = output->elements / (mul->m * mul->n);
    mul->batch_axes = output->rank - (a->rank > 1) - (b->rank > 1);
    for (uint32_t i = 0; i < mul->batch_axes; i++) {
        mul->shape[i] = (uint64_t)output->shape[i];
    }
    find_batch_strides(a, mul->batch_axes, mul->batch_strides[0]);
    find_batch_strides(b, mul->batch_axes, mul->batch_strides[1]);
    if (b->rank <= 2 && a->rank > 2) { /* B is the same for all: one GEMM with a larger m */
        mul->m *= mul->batch;
        mul->batch = 1;
        mul->batch_axes = 0;
    }
    double gemm_ns = mmi_onnx_sgemm_ns(mul->m, mul->n, mul->k);
    mul->tasks = mmi_onnx_tasks(services, (double)mul->batch * gemm_ns, UINT64_MAX);
    mul->kc = mmi_onnx_sgemm_kc(mul->k);
    uint64_t panels = (mul->n + ONNX_NR - 1) / ONNX_NR;
    mul->nc = mmi_min_u64(MAX_NC, panels * ONNX_NR);
    mul->n_blocks = (mul->n + mul->nc - 1) / mul->nc;
    uint64_t blocks = mul->batch * mul->n_blocks;
    mul->m_blocks = mmi_min_u64((mul->tasks + blocks - 1) / blocks, mul->m);
    mul->tasks = mmi_min_u64(mul->tasks, blocks * mul->m_blocks);
    mul->b_row_stride = mul->nc / ONNX_NR % 2 == 1 ? mul->nc : mul->nc + ONNX_NR;
    mul->task_floats = mul->kc * mul->b_row_stride;
}

/* Copies a block of B, each row padded with 0 to whole panels. */
static void pack_b(const struct matmul *mul, const float *b, uint64_t depth, uint64_t columns,
                   float *to) {
    for (uint64_t k = 0; k < depth; k++, b += mul->n, to += mul->b_row_stride) {
        mul->simd->gather(b, 1, to, columns);
        for (uint64_t i = columns; i % ONNX_NR != 0; i++) {
            to[i] = 0;
        }
    }
}

/* Packs B in blocks of kc rows. */
static void multiply_packed(const struct matmul *mul, const struct onnx_sgemm *p, float *scratch) {
    for (uint64_t from = 0; from < p->k; from += mul->kc) {
        struct onnx_sgemm part = *p;
        part.k = mmi_min_u64(mul->kc, p->k - from);
        pack_b(mul, p->b + from * mul->n, part.k, p->n, scratch);
        part.a += from;
        part.b = scratch;
        part.b_k_stride = mul->b_row_stride;
        part.accumulate = from > 0;
        mmi_onnx_sgemm_block(mul->simd, &part);
    }
}

static void multiply_unpacked(const struct matmul *mul, struct onnx_sgemm p, float *scratch) {
    uint64_t full = p.n / ONNX_NR * ONNX_NR, edge = p.n - full;
    if (full > 0) {
        p.n = full;
        mmi_onnx_sgemm(mul->simd, &p);
    }
    if (edge > 0) {
        p.n = edge;
        p.b += full;
        p.c += full;
        multiply_packed(mul, &p, scratch);
    }
}

static void run_block(const struct matmul *mul, uint64_t block, float *scratch) {
    uint64_t index = block / mul->m_blocks / mul->n_blocks,
             n_block = block / mul->m_blocks % mul->n_blocks;
    struct onnx_range rows = mmi_onnx_part(mul->m, mul->m_blocks, block % mul->m_blocks);
    const float *a = mul->call->in[0], *b = mul->call->in[1];
    float *c = (float *)mul->call->out[0] + index * mul->m * mul->n;
    for (uint32_t i = mul->batch_axes; i-- > 0; index /= mul->shape[i]) {
        a += index % mul->shape[i] * mul->batch_strides[0][i];
        b += index % mul->shape[i] * mul->batch_strides[1][i];
    }
    uint64_t from = n_block * mul->nc;
    struct onnx_sgemm p = {.m = rows.to - rows.from,
                           .n = mmi_min_u64(mul->nc, mul->n - from),
                           .k = mul->k,
                           .a = a + rows.from * mul->k,
                           .a_row_stride = mul->k,
                           .a_k_stride = 1,
                           .b = b + from,
                           .b_k_stride = mul->n,
                           .b_panel_stride = ONNX_NR,
                           .c = c + rows.from * mul->n + from,
                           .c_row_stride = mul->n};
    if (mul->m <= UNPACKED_MAX_M) {
        multiply_unpacked(mul, p, scratch);
    } else {
        multiply_packed(mul, &p, scratch);
    }
}

static void run_blocks(void *ctx, uint64_t i) {
    const struct matmul *mul = ctx;
    float *scratch = (float *)mul->call->scratch + i * mul->task_floats;
    struct onnx_range mine =
        mmi_onnx_part(mul->batch * mul->n_blocks * mul->m_blocks, mul->tasks, i);
    for (uint64_t block = mine.from; block < mine.to; block++) {
        run_block(mul, block, scratch);
    }
}

static mm_status run(const struct onnx_call *call, mm_error *err) {
    (void)err;
    struct matmul mul = {.simd = mmi_onnx_simd(call->services->cpu_features), .call = call};
    plan(&mul, call->inputs, &call->outputs[0], call->services);
    mmi_onnx_run_tasks(call->services, mul.tasks, run_blocks, &mul);
    return MM_OK;
}

onnx_kernel mmi_onnx_cpu_MatMul(struct onnx_inference *x, const mm_services *services) {
    struct matmul mul;
    if (x->inputs[0].dtype != MM_F32 || x->outputs[0].elements == 0 || x->inputs[0].elements == 0) {
        return NULL;
    }
    plan(&mul, x->inputs, &x->outputs[0], services);
    x->scratch_bytes = mul.tasks * mul.task_floats * sizeof(float);
    return run;
}
