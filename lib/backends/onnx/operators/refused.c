/* SPDX-License-Identifier: Apache-2.0 */
#include <backends/onnx/operators/refused.h>

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const struct onnx_refused mmi_onnx_refused[] = {
#define ONNX_REFUSED(domain, name, advice) {domain, name, advice},
#include <backends/onnx/operators/refused.def>
#undef ONNX_REFUSED
    {NULL, NULL, NULL}};

const char *mmi_onnx_advice(const char *domain, const char *type) {
    const char *wanted = strcmp(domain, "ai.onnx") == 0 ? "" : domain;
    for (const struct onnx_refused *at = mmi_onnx_refused; at->domain; at++) {
        bool named = strcmp(at->name, "*") == 0 || strcmp(at->name, type) == 0;
        if (named && strcmp(at->domain, wanted) == 0) {
            return at->advice;
        }
    }
    return NULL;
}
