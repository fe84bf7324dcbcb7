/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/spec.h>

#include <string.h>

static size_t text_bytes(const char *text) {
    return text ? strlen(text) + 1 : 0;
}

static const char *place(char **at, const char *text) {
    if (!text) {
        return NULL;
    }
    size_t bytes = text_bytes(text);
    char *placed = memcpy(*at, text, bytes);
    *at += bytes;
    return placed;
}

struct mmi_spec *mmi_spec_copy(const mm_allocator *alloc, const struct mmi_spec *from) {
    const char *config = from->config ? from->config : "";
    size_t bytes = sizeof(struct mmi_spec) + text_bytes(from->source) + text_bytes(from->format) +
                   text_bytes(from->backend) + text_bytes(from->device) + text_bytes(config) +
                   text_bytes(from->warm_up);
    struct mmi_spec *spec = mmi_alloc(alloc, 1, bytes);
    if (!spec) {
        return NULL;
    }
    char *at = (char *)(spec + 1);
    spec->source = place(&at, from->source);
    spec->format = place(&at, from->format);
    spec->backend = place(&at, from->backend);
    spec->device = place(&at, from->device);
    spec->config = place(&at, config);
    spec->warm_up = place(&at, from->warm_up);
    spec->memory.data = from->memory.data;
    spec->memory.bytes = from->memory.bytes;
    spec->block_bytes = bytes;
    return spec;
}

void mmi_spec_free(const mm_allocator *alloc, struct mmi_spec *spec) {
    if (spec) {
        mmi_free(alloc, spec, spec->block_bytes);
    }
}
