/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_ONNX_H
#define MMI_BACKENDS_ONNX_ONNX_H

/* Runs .onnx files, opsets 1 and up, on the CPU with no other runtime.
 *
 *   format/     the file: protobuf wire format, every length checked
 *   graph/      values and nodes; operators resolved to the newest opset
 *   operators/  each one's shapes and plain kernel; operators.def lists them
 *   passes/     rewrite the graph: fold, clean, fuse, pack; once, when the model is prepared
 *   steps/      the artifact's description; steps per signature; running them
 *   cpu/        fast kernels
 *
 * spec.config, ',' between two:
 *   "passes=0"   the graph runs as the file has it, without passes. The results are the same but
 *                for rounding: it is there to hold one against the other
 *   "winograd=0" convolutions add up products alone. With Winograd's algorithm, which 3 x 3 ones
 *                take otherwise, the largest errors are up to four times as large: docs/numerics.md
 *   "profile=1"  the steps of runs are timed, for mm_model_report */

#include <modelmesh/backend.h>

extern const mm_backend mmi_backend_onnx;

#endif
