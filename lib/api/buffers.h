/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_BUFFERS_H
#define MMI_API_BUFFERS_H

/* Memory for outputs, kept for the next response when one is freed: taking and giving is an
 * exchange, without a lock. A buffer outlives the mesh while a response has it. */

#include <base/alloc.h>

/* All buffers that one mesh keeps or has lent, together; what is beyond goes back to the host. */
#define MMI_BUFFERS_LIMIT_BYTES (UINT64_C(64) << 20)

struct mmi_buffers;
struct mmi_buffer {
    struct mmi_buffer *next;  /* for who has it */
    struct mmi_buffers *home; /* NULL: it is not kept */
    mm_allocator host;
    size_t bytes; /* all of it */
    uint32_t size_class;
    _Alignas(64) unsigned char memory[];
};

/* NULL = out of memory. */
struct mmi_buffers *mmi_buffers_new(const mm_allocator *host);
/* The mesh ends. What is lent lives on; NULL does nothing. */
void mmi_buffers_close(struct mmi_buffers *buffers);
/* Memory of the host that is not lent. */
uint64_t mmi_buffers_bytes(const struct mmi_buffers *buffers);

/* NULL = out of memory. Contents undefined. */
struct mmi_buffer *mmi_buffer_take(struct mmi_buffers *buffers, uint64_t bytes);
/* Also when the mesh is gone. */
void mmi_buffer_give(struct mmi_buffer *buffer);

#endif
