/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_SERVED_H
#define TESTS_SUPPORT_SERVED_H

/* A kind of source as a server would be one: an address, an entity tag or none, and bytes that
 * arrive in packets, in order, as a script has it. No line of the library knows it. */

#include <source/opened.h>

#define SERVED_PACKET 1000u

struct served {
    const char *address;
    const char *tag; /* NULL: the server sends none */
    const uint8_t *bytes;
    uint64_t count;
    uint64_t arrived;   /* of this download, so far */
    uint64_t downloads; /* begun: the first, and one for each read before what has arrived last */
    uint64_t at;        /* where the last read ended */
    uint64_t fails_at;  /* the connection breaks there; UINT64_MAX: it does not */
    unsigned opened;
};

extern const struct mmi_source_kind served_kind;

mm_status served_open(const struct mmi_env *env, struct served *served, struct mmi_source **source,
                      mm_error *err);

#endif
