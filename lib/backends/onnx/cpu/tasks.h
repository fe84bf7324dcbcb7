/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_CPU_TASKS_H
#define MMI_BACKENDS_ONNX_CPU_TASKS_H

/* Work shared out among the compute threads, where it is worth it. */

#include <modelmesh/backend.h>

/* How many tasks to make of work that takes one thread about so long: 1 to services->threads, or to
 * `most`, into which it can be split at all. */
uint64_t mmi_onnx_tasks(const mm_services *services, double work_ns, uint64_t most);
/* body(ctx, i) for i in [0, tasks); a single one without a call of the host. */
void mmi_onnx_run_tasks(const mm_services *services, uint64_t tasks,
                        void (*body)(void *ctx, uint64_t i), void *ctx);

struct onnx_range {
    uint64_t from, to;
};
/* Part i of [0, count) in `parts` that are as equal as can be. */
static inline struct onnx_range mmi_onnx_part(uint64_t count, uint64_t parts, uint64_t i) {
    uint64_t least = count / parts, longer = count % parts;
    uint64_t from = least * i + (i < longer ? i : longer);
    return (struct onnx_range){from, from + least + (i < longer ? 1 : 0)};
}

#endif
