/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_STAGE_H
#define TESTS_BACKENDS_ONNX_STAGE_H

/* What the host does around the backend, for one model that was built by graph_runner.h: the
 * description is written and read back, the weights lie in a blob that arrives by groups, requests
 * are planned and run. */

#include <backends/onnx/graph_runner.h>
#include <backends/onnx/steps/run.h>
#include <backends/onnx/steps/weights.h>

struct stage {
    struct bench bench;
    struct onnx_weights weights;
    struct onnx_tensor description;
    uint8_t *blob; /* [weights.bytes], as the sink got it */
    uint64_t blob_bytes;
    uint64_t group_ends[64];
    uint32_t group_count, waited; /* groups that somebody waited for */
    struct onnx_prepared prepared;
    struct onnx_attached attached;
    void *more[64];                             /* scratch asked for while running */
    uint32_t more_count, most_more, more_until; /* as many are there; 0 = any number */
    uint32_t plans;                             /* of later segments, after the last request */
    uint32_t stop_calls, stopped_at;            /* 0 = never */
};

void stage_init(struct stage *stage, uint64_t seed);
void stage_fini(struct stage *stage);
/* After the graph was built in stage->bench. */
void stage_prepare(struct stage *stage);

mm_value stage_value(const struct onnx_tensor *tensor);
struct onnx_start stage_start(const struct stage *stage, const mm_value *inputs);
/* One request; outputs[i] of which `unwanted` has bit i are left out. */
mm_status stage_infer(struct stage *stage, const struct onnx_tensor *inputs,
                      struct onnx_tensor *outputs, uint32_t unwanted, mm_error *err);
/* The answers are those of the naive runner. */
void stage_check(struct stage *stage, const struct onnx_tensor *inputs);

#endif
