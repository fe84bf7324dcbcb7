/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_TASKS_H
#define MMI_BACKENDS_ONNX_CPU_TASKS_H

/* Work split among the compute threads, if it is large enough. */

#include <modelmesh/backend.h>

/* Number of tasks for work that takes one thread about work_ns: 1 to the smaller of
 * services->threads and max_tasks. */
uint64_t mmi_onnx_tasks(const mm_services *services, double work_ns, uint64_t max_tasks);
/* body(ctx, i) for i in [0, tasks); a single task runs on the calling thread. */
void mmi_onnx_run_tasks(const mm_services *services, uint64_t tasks,
                        void (*body)(void *ctx, uint64_t i), void *ctx);

struct onnx_range {
    uint64_t from, to;
};
/* Part i of [0, count), split into nearly equal parts. */
static inline struct onnx_range mmi_onnx_part(uint64_t count, uint64_t parts, uint64_t i) {
    uint64_t base = count / parts, rest = count % parts;
    uint64_t from = base * i + (i < rest ? i : rest);
    return (struct onnx_range){from, from + base + (i < rest ? 1 : 0)};
}

#endif
