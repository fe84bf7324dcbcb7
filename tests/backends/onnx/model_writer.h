/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BACKENDS_ONNX_MODEL_WRITER_H
#define TESTS_BACKENDS_ONNX_MODEL_WRITER_H

/* Writes .onnx files, and files that are nearly some.
 *
 *     struct writer w;
 *     writer_init(&w, 17);
 *     writer_input(&w, "x", MM_F32, "batch 4");
 *     writer_constant(&w, "c", MM_F32, "4", (const float[]){1, 2, 3, 4});
 *     writer_node(&w, "Add", "x c", "sum", "");
 *     writer_node(&w, "Softmax", "sum", "y", "axis=-1");
 *     writer_output(&w, "y", MM_F32, "batch 4");
 *     writer_end(&w);
 *     ... w.bytes[0 .. w.count) ...
 *     writer_fini(&w);
 *
 * What goes into a graph may come in any order. Whatever is wrong with a call fails the test. */

#include <support/world.h>

#include <modelmesh/backend.h>

#define WRITER_DEPTH 512

enum writer_part { WRITER_GRAPH, WRITER_NODE, WRITER_MESSAGE };

struct writer {
    uint8_t *bytes; /* the file so far */
    size_t count, capacity;
    struct {
        enum writer_part part;
        size_t begin; /* of its content; its length is in the 5 bytes before */
    } open[WRITER_DEPTH];
    size_t depth;
};

/* opset: of ai.onnx; 0: none is imported. The main graph is open. */
void writer_init(struct writer *w, int64_t opset);
void writer_fini(struct writer *w);
/* Close the graph. What belongs to the model may follow: writer_metadata, writer_import. */
void writer_end(struct writer *w);
void writer_metadata(struct writer *w, const char *key, const char *value);
void writer_import(struct writer *w, const char *domain, int64_t version);

/* Into the graph that is open. A shape: "2 -1 N ?": numbers, names of axes, "?" is an axis without
 * either; "" is a scalar; NULL: no shape. Of a constant: numbers only; data has what the shape and
 * dtype need, NULL: zeros. */
void writer_input(struct writer *w, const char *name, int32_t dtype, const char *shape);
void writer_output(struct writer *w, const char *name, int32_t dtype, const char *shape);
void writer_constant(struct writer *w, const char *name, int32_t dtype, const char *shape,
                     const void *data);

/* inputs, outputs: names with a blank between; "-" is one left out. attributes: "axis=1
 * perm=[0,2,1] alpha=0.5 scales=[1.0,2.0] mode=reflect". The node stays open until the next one, or
 * the end of its graph, for what follows here. */
void writer_node(struct writer *w, const char *type, const char *inputs, const char *outputs,
                 const char *attributes);
void writer_node_name(struct writer *w, const char *name);
void writer_node_domain(struct writer *w, const char *domain);
void writer_tensor(struct writer *w, const char *attribute, int32_t dtype, const char *shape,
                   const void *data);
/* A graph as an attribute; until its end, nodes and outputs go there. */
void writer_branch(struct writer *w, const char *attribute);
void writer_branch_end(struct writer *w);

/* ---- The wire format ------------------------------------------------------------------------- */

void writer_varint(struct writer *w, uint32_t field, uint64_t value);
void writer_float(struct writer *w, uint32_t field, float value);
void writer_bytes(struct writer *w, uint32_t field, const void *bytes, size_t count);
void writer_text(struct writer *w, uint32_t field, const char *text);
/* A message inside the one that is open. */
void writer_open(struct writer *w, uint32_t field);
void writer_close(struct writer *w);
void writer_raw(struct writer *w, const void *bytes, size_t count); /* as they are */

/* ---- Files ----------------------------------------------------------------------------------- */

/* A model in memory with the files beside it, and the source that reads them. */
struct memory_file {
    const char *name;
    const void *bytes;
    uint64_t count;
    uint64_t claims; /* bytes that the source says it has; 0: as many as it has */
};
struct memory_source {
    const struct memory_file *files; /* the first is the model */
    size_t file_count;
    size_t calls;    /* of read and open, so far */
    size_t fails_at; /* this call gives MM_IO; 0: none */
    size_t opened_count;
    struct memory_opened {
        struct memory_source *folder;
        const struct memory_file *file;
    } opened[16];
    mm_source source;
};
void memory_source_init(struct memory_source *folder, const struct memory_file *files,
                        size_t file_count);

#endif
