/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_STEPS_PREPARE_H
#define MMI_BACKENDS_ONNX_STEPS_PREPARE_H

/* From the file to the artifact: the whole slow way, once per content. */

#include <modelmesh/backend.h>

#include <stdbool.h>

struct onnx_how {
    bool plain;       /* no passes */
    bool no_winograd; /* convolutions add up products alone */
};
mm_status mmi_onnx_prepare(const mm_source *source, const mm_services *services,
                           const struct onnx_how *how, const mm_sink *sink, mm_error *err);

#endif
