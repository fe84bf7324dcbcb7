/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_CAST_H
#define MMI_BACKENDS_ONNX_OPERATORS_CAST_H

#include <backends/onnx/graph/narrow.h>

struct onnx_cast {
    int32_t to; /* mm_dtype; of CastLike 0 */
    struct onnx_narrowing how;
};

#endif
