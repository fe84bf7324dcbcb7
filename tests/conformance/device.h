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

struct hand {
    mm_device pub;
    struct world *world;
    pthread_mutex_t mutex; /* guards all below */
    struct hand_copy pending[HAND_COPIES];
    uint32_t pending_count;
    uint64_t number; /* of the last copy or record */
    uint32_t opened; /* streams of the backend's own */
};

/* Zeroed means not made; fini copes with that. It asserts that every stream was closed. */
void hand_init(struct hand *hand, struct world *world, int32_t kind);
void hand_fini(struct hand *hand);
/* Copies of this stream, all of them: what the host does at the end of a run. */
void hand_finish(struct hand *hand, const void *stream);

#endif
