/* SPDX-License-Identifier: Apache-2.0 */
/* Products of quantised matrices: the same as plain, in vectors, on all threads. */
#include <backends/onnx/cpu/conv.h>
#include <backends/onnx/cpu/simd.h>
#include <backends/onnx/cpu/tasks.h>
#include <backends/onnx/operators/dequantized.h>
#include <base/checked.h>

struct split {
    const struct onnx_quantized_product *product;
    onnx_panel_loop loop;
    uint64_t units, tasks, bytes; /* bytes: of the scratch of a task */
    uint8_t *scratch;
};

static void run_part(void *ctx, uint64_t i) {
    const struct split *s = ctx;
    struct onnx_range mine = mmi_onnx_part(s->units, s->tasks, i);
    mmi_onnx_multiply_units(s->product, s->loop, mine.from, mine.to, s->scratch + i * s->bytes);
}

static void run_product(const struct onnx_quantized_product *product, const struct onnx_call *call,
                        void *scratch) {
    const mm_services *services = call->services;
    double rows = (double)product->matrices * (double)product->rows;
    double work_ns = rows * (double)product->columns * (double)(product->depth + 8) / 40;
    struct split split = {.product = product,
                          .loop = mmi_onnx_simd(services->cpu_features)->panel_i16,
                          .units = mmi_onnx_quantized_units(product),
                          .bytes = mmi_onnx_quantized_bytes(product->depth, product->own_bytes),
                          .scratch = scratch};
    split.tasks = mmi_onnx_tasks(services, work_ns, split.units);
    mmi_onnx_run_tasks(services, split.tasks, run_part, &split);
}

/* On this thread alone, for what is small or has the scratch of one thread. */
static void run_alone(const struct onnx_quantized_product *product, const struct onnx_call *call,
                      void *scratch) {
    onnx_panel_loop loop = mmi_onnx_simd(call->services->cpu_features)->panel_i16;
    mmi_onnx_multiply_units(product, loop, 0, mmi_onnx_quantized_units(product), scratch);
}

/* op->infer asked for the scratch of one thread. */
static onnx_kernel choose(struct onnx_inference *x, const mm_services *services,
                          onnx_kernel kernel) {
    uint64_t threads = mmi_max_u64(services->threads, 1);
    return mmi_mul(x->scratch_bytes, threads, &x->scratch_bytes) ? kernel : NULL;
}

#define RUN(operator, run, runner)                                                                 \
    static mm_status run_##operator(const struct onnx_call *call, mm_error *err) {                 \
        return run(call, runner, err);                                                             \
    }
#define KERNEL(operator, run)                                                                      \
    RUN(operator, run, run_product)                                                                \
    onnx_kernel mmi_onnx_cpu_##operator(struct onnx_inference *x, const mm_services *services) {   \
        return choose(x, services, run_##operator);                                                \
    }
#define ALONE(operator, run)                                                                       \
    RUN(operator, run, run_alone)                                                                  \
    onnx_kernel mmi_onnx_cpu_##operator(struct onnx_inference *x, const mm_services *services) {   \
        (void)x;                                                                                   \
        (void)services;                                                                            \
        return run_##operator;                                                                     \
    }

KERNEL(ConvInteger, mmi_onnx_run_conv_integer)
KERNEL(MatMulInteger, mmi_onnx_run_matmul_integer)
KERNEL(QLinearMatMul, mmi_onnx_run_qlinear_matmul)
KERNEL(MsQGemm, mmi_onnx_run_qgemm)
KERNEL(MsMatMulIntegerToFloat, mmi_onnx_run_integer_to_float)
KERNEL(MsDynamicQuantizeMatMul, mmi_onnx_run_dynamic_matmul)
ALONE(MsDynamicQuantizeLSTM, mmi_onnx_run_dynamic_lstm)
ALONE(MsQAttention, mmi_onnx_run_qattention)
RUN(QLinearConv, mmi_onnx_run_qlinear_conv, run_product)

onnx_kernel mmi_onnx_cpu_QLinearConv(struct onnx_inference *x, const mm_services *services) {
    onnx_kernel depthwise = mmi_onnx_choose_quantized_depthwise(x, services);
    return depthwise ? depthwise : choose(x, services, run_QLinearConv);
}
