/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_DEVICE_H
#define TESTS_CONFORMANCE_DEVICE_H

/* A device made by hand. On the host a copy is over when its call returns; on any other kind none
 * happens before somebody waits for it, and what is touched before that is an error. */

#include <support/world.h>

#include <modelmesh/backend.h>

#define HAND_COPIES 64u

struct hand_copy {
    void *stream, *to;
    const void *from;
    uint64_t bytes, number;
};

/* Bytes of a value. */
struct hand_place {
    const void *base;
    uint64_t bytes;
    bool on_device;
};
#define HAND_PLACES 16u

struct hand {
    mm_device pub;
    struct world *world;
    pthread_mutex_t mutex; /* guards all below */
    struct hand_copy pending[HAND_COPIES];
    uint32_t pending_count;
    uint64_t number;                       /* of the last copy or record */
    uint32_t opened;                       /* streams of the backend's own */
    struct hand_place places[HAND_PLACES]; /* a copy that takes one for the other fails */
    uint32_t place_count;
};

/* Zeroed means not made; fini copes with that. It asserts that every stream was closed. */
void hand_init(struct hand *hand, struct world *world, int32_t kind);
void hand_fini(struct hand *hand);
/* Copies of this stream, all of them: what the host does at the end of a run. */
void hand_finish(struct hand *hand, const void *stream);
/* Values of the run that comes, while no other runs. */
void hand_place(struct hand *hand, const void *base, uint64_t bytes, bool on_device);
void hand_forget_places(struct hand *hand);
/* What the caller puts on the stream before the run. */
void hand_send(struct hand *hand, void *stream, void *to, const void *from, uint64_t bytes);
/* Copies to values on the host are under way still. */
bool hand_owes_host(struct hand *hand);

#endif
