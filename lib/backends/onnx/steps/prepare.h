/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_PREPARE_H
#define MMI_BACKENDS_ONNX_STEPS_PREPARE_H

/* From the file to the artifact: the whole slow way, once per content.
 * plain: no passes. */

#include <modelmesh/backend.h>

#include <stdbool.h>

mm_status mmi_onnx_prepare(const mm_source *source, const mm_services *services, bool plain,
                           const mm_sink *sink, mm_error *err);

#endif
