/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_API_REQUEST_H
#define MMI_API_REQUEST_H

/* A request matched with a description: names to positions, values checked, memory for outputs. */

#include <api/mesh.h>

struct mm_binding {
    mm_allocator alloc;
    uint64_t mesh_identity, model_id;
    uint64_t io_hash;
    uint32_t input_count, output_count;
    uint32_t *inputs;  /* [input_count]: positions in the description */
    uint32_t *outputs; /* [output_count] */
};

#define MMI_ANYWHERE UINT32_MAX
#define MMI_CALL_VALUES 24 /* inputs and outputs that lie on the stack */

/* One request, by position. Lives on the caller's stack. */
struct mmi_call {
    const mm_allocator *alloc;
    const struct mmi_opened *opened;
    mm_value *inputs; /* [description.input_count] */
    mm_value *values; /* [description.output_count] */
    uint32_t *order;  /* [wanted_count]: positions of the outputs, as asked for */
    uint32_t wanted_count;
    struct mmi_buffer *more; /* NULL: `room` suffices */
    mm_mesh *mesh;
    const mm_request *request;
    /* MM_ON_DEVICE: values that lie there stay; 0: in host memory alone. MMI_ANYWHERE: for what is
     * not run. Set before mmi_call_begin */
    uint32_t place;
    bool located;                /* some input lies on a device ... */
    struct mmi_fetched *fetched; /* ... and is here */
    mm_value room[MMI_CALL_VALUES];
    uint32_t order_room[MMI_CALL_VALUES];
};

/* Copy the request struct, as far as this header knows it. */
mm_status mmi_read_request(const mm_request *from, mm_request *request, mm_error *err);
/* MM_INVALID_ARGUMENT: none of these inputs (what: "input") or outputs has this name. */
mm_status mmi_no_value(const char *what, const mm_value_info *infos, uint32_t count,
                       const char *name, mm_error *err);
/* The status; unless it is MM_OK, the model's name stands before what went wrong. No lock held. */
mm_status mmi_name_failed(mm_mesh *mesh, uint64_t model_id, mm_status status, mm_error *err);
/* Map and check, and fetch inputs from where they cannot stay. On failure nothing is held. */
mm_status mmi_call_begin(struct mmi_call *call, mm_mesh *mesh, uint64_t model_id,
                         const struct mmi_opened *opened, const mm_request *request, mm_error *err);
void mmi_call_end(struct mmi_call *call);

/* Where the outputs of one call go. */
struct mmi_sink {
    struct mmi_outputs outputs; /* for mmi_execute */
    struct mmi_call *call;
    mm_response *response;
    bool direct;    /* results go straight to the caller's buffers */
    bool no_memory; /* an output got no memory: the failure, whatever the backend returns */
};
mm_status mmi_sink_begin(struct mmi_sink *sink, struct mmi_call *call, mm_response *response,
                         mm_error *err);
/* After a successful run: fills the response. */
mm_status mmi_sink_end(struct mmi_sink *sink, mm_error *err);
/* After a failure: what the response got is given back. */
void mmi_sink_abort(struct mmi_sink *sink);

/* location.c. Where it really lies: of host devices, too, in memory of the host, 0. There is such a
 * place. */
uint32_t mmi_location_memory(const mm_mesh *mesh, uint32_t flags);
/* Is there such a place, and can this value lie there? */
mm_status mmi_location_check(const mm_mesh *mesh, const mm_value *value, const char *what,
                             mm_error *err);
/* Bytes that change places: to or from memory of the device `location`, or inside of it. */
enum mmi_direction { MMI_OUT_OF_DEVICE, MMI_INTO_DEVICE, MMI_INSIDE_DEVICE };
struct mmi_transfer {
    uint32_t location;         /* MM_ON_DEVICE */
    struct mmi_stream *stream; /* NULL: one of the library's */
    void *to;
    const void *from;
    uint64_t bytes;
    enum mmi_direction direction;
};
/* Over when this returns. */
mm_status mmi_location_copy(mm_mesh *mesh, const struct mmi_transfer *transfer, mm_error *err);
/* The input becomes one in host memory, which is the call's. */
mm_status mmi_location_fetch(struct mmi_call *call, mm_value *input, mm_error *err);
void mmi_location_fini(struct mmi_call *call);
/* The request's stream, if it is one of the device at this location; NULL = none. */
struct mmi_stream *mmi_location_stream(const struct mmi_call *call, uint32_t location);
/* Host memory to where the caller's buffer lies; is there when this returns. */
mm_status mmi_location_put(const struct mmi_call *call, const mm_value *buffer, const void *from,
                           uint64_t bytes, mm_error *err);

#endif
