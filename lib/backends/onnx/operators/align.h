/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_OPERATORS_ALIGN_H
#define MMI_BACKENDS_ONNX_OPERATORS_ALIGN_H

#include <backends/onnx/operators/operator.h>

/* Input 0 under a shape whose axes begin at `axis` of input 1's: with axes of length 1 behind it,
 * it is broadcast as opsets below 7 said. channels: only a list of more than one element. */
struct onnx_align {
    int64_t axis;
    int64_t channels;
};

#endif
