/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_ONNX_SUITE_VALUES_H
#define TESTS_ONNX_SUITE_VALUES_H

/* Values in the files of ONNX's tests: TensorProto, SequenceProto, OptionalProto. */

#include <backends/onnx/graph/graph.h>

/* The value that lies in `bytes`, of the kind and with the type that `info` declares. In the arena
 * of the model, which also keeps what the value points to; `bytes` outlives it. */
mm_status suite_read_value(struct onnx_model *model, const void *bytes, uint64_t count,
                           const mm_value_info *info, mm_value *value, mm_error *err);
/* MM_BACKEND_FAILED, with where and how they differ: kind, type, shape, elements within `relative`
 * and `absolute`. */
mm_status suite_compare(const mm_value *got, const mm_value *wanted, double relative,
                        double absolute, mm_error *err);

#endif
