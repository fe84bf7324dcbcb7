/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_REPORT_H
#define MMI_BACKENDS_ONNX_STEPS_REPORT_H

/* A signature for people and tools, as one JSON object; docs/onnx.md says what its keys mean. */

#include <backends/onnx/steps/run.h>

/* As mm_backend.report. */
uint64_t mmi_onnx_report(const struct onnx_prepared *prepared, struct onnx_signature *signature,
                         char *text, uint64_t room);

#endif
