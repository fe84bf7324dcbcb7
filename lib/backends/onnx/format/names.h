/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ONNX_FORMAT_NAMES_H
#define MMI_BACKENDS_ONNX_FORMAT_NAMES_H

/* Which value a name means: in a graph, or in the graphs around it. */

#include <backends/onnx/format/wire.h>
#include <backends/onnx/graph/arena.h>

struct onnx_name;

struct onnx_scope {
    struct onnx_scope *outer; /* NULL: the main graph's */
    struct onnx_arena *arena;
    struct onnx_name *slots; /* hash table; [capacity], a power of two */
    uint32_t count, capacity;
};

/* The value of a name; ONNX_NO_VALUE: it is not known. mmi_onnx_find_here: in this graph only. */
uint32_t mmi_onnx_find_name(const struct onnx_scope *scope, struct onnx_span name);
uint32_t mmi_onnx_find_here(const struct onnx_scope *scope, struct onnx_span name);
/* A name that is not in this graph yet; its bytes must stay. false: out of memory. */
bool mmi_onnx_add_name(struct onnx_scope *scope, struct onnx_span name, uint32_t value);

#endif
