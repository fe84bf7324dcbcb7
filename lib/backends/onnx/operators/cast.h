/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_CAST_H
#define MMI_BACKENDS_ONNX_OPERATORS_CAST_H

#include <stdint.h>

struct onnx_cast {
    int32_t to; /* mm_dtype */
};

#endif
