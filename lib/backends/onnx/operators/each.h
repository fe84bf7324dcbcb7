/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_EACH_H
#define MMI_BACKENDS_ONNX_OPERATORS_EACH_H

/* Broadcasting one element at a time, of any width: for elements that are more than a number
 * (broadcast.h has the way for those).
 *
 *     struct onnx_each each;
 *     mmi_onnx_each_set(&each, &output, inputs, 2);
 *     for (uint64_t i = 0; i < output.elements; i++, mmi_onnx_each_next(&each)) {
 *         ... element each.at[0] of input 0, each.at[1] of input 1
 *     } */

#include <backends/onnx/graph/tensor.h>

#define ONNX_EACH 3 /* inputs, at most */

struct onnx_each {
    uint32_t rank, inputs;
    int64_t shape[MM_MAX_RANK], place[MM_MAX_RANK];
    int64_t steps[ONNX_EACH][MM_MAX_RANK]; /* elements; 0: repeated */
    uint64_t at[ONNX_EACH];
};

static inline void mmi_onnx_each_set(struct onnx_each *each, const struct onnx_tensor *output,
                                     const struct onnx_tensor *inputs, uint32_t count) {
    *each = (struct onnx_each){.rank = output->rank, .inputs = count};
    for (uint32_t axis = 0; axis < output->rank; axis++) {
        each->shape[axis] = output->shape[axis];
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t step = 1;
        for (uint32_t axis = inputs[i].rank; axis-- > 0 && output->elements > 0;) {
            uint32_t its = axis + output->rank - inputs[i].rank;
            each->steps[i][its] = inputs[i].shape[axis] == 1 ? 0 : step;
            step *= inputs[i].shape[axis];
        }
    }
}

static inline void mmi_onnx_each_next(struct onnx_each *each) {
    for (uint32_t axis = each->rank; axis-- > 0;) {
        bool on = ++each->place[axis] < each->shape[axis];
        int64_t by = on ? 1 : 1 - each->shape[axis];
        for (uint32_t i = 0; i < each->inputs; i++) {
            each->at[i] += (uint64_t)(by * each->steps[i][axis]);
        }
        if (on) {
            return;
        }
        each->place[axis] = 0;
    }
}

#endif
