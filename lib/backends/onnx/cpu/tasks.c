/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/cpu/tasks.h>
#include <base/checked.h>

/* Smaller tasks cost more to start than they save. */
#define TASK_NS 50000

uint64_t mmi_onnx_tasks(const mm_services *services, double work_ns, uint64_t max_tasks) {
    double worth = work_ns / TASK_NS, threads = services->threads;
    uint64_t tasks = worth < threads ? (uint64_t)worth : services->threads;
    return mmi_max_u64(1, mmi_min_u64(tasks, max_tasks));
}

void mmi_onnx_run_tasks(const mm_services *services, uint64_t tasks,
                        void (*body)(void *ctx, uint64_t i), void *ctx) {
    if (tasks == 1) {
        body(ctx, 0);
    } else {
        services->parallel_for(services->host, tasks, body, ctx);
    }
}
