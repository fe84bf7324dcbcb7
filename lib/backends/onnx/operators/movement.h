/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_MOVEMENT_H
#define MMI_BACKENDS_ONNX_OPERATORS_MOVEMENT_H

/* Parameters of operators that move elements, for passes that look at them. */

#include <modelmesh/types.h>

struct onnx_reshape {
    int64_t allowzero;
};

struct onnx_transpose {
    uint32_t count; /* 0: the axes backwards */
    uint32_t reserved;
    int64_t perm[MM_MAX_RANK];
};

#endif
