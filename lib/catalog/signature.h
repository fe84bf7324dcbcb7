/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_CATALOG_SIGNATURE_H
#define MMI_CATALOG_SIGNATURE_H

/* Signatures of one open model on one kind of device: what a backend worked out for one combination
 * of input shapes. A few slots, looked up without a lock.
 *
 * A slot's word holds a VALID bit and the number of users. A reader adds 1; with VALID in what it
 * read before, the contents stay until it subtracts 1 again. A writer takes a slot by exchanging
 * {VALID, no users} for 0, which no reader can be inside of; a reader that adds to 0 finds no VALID
 * and leaves. */

#include <base/status.h>
#include <plugin/registry.h>

#include <stdatomic.h>

#define MMI_DEVICE_KINDS 3u
/* 0 .. MMI_DEVICE_KINDS - 1, of an mm_device_kind. */
static inline unsigned mmi_kind_index(int32_t kind) {
    return (unsigned)__builtin_ctz((unsigned)kind);
}

struct mmi_signature {
    _Atomic uint64_t word;
    uint64_t hash;
    uint64_t *key;
    size_t key_words;
    void *state;                 /* the backend's */
    mm_size size;                /* outputs and exactness: [output_count] */
    uint64_t bytes;              /* host memory of all of it */
    _Atomic uint64_t last_used;  /* ticks; for replacement */
    _Atomic uint64_t more_bytes; /* the most that one run took beyond activation_bytes */
    bool all_exact;
    bool large;  /* too long a key to be kept: not shared */
    bool shared; /* in a slot; else owned by its one user */
};

struct mmi_signatures {
    const mm_allocator *alloc;
    const struct mmi_backend *backend;
    const mm_description *description;
    void *opened;
    int32_t device_kind;
    uint64_t bytes; /* of all slots' contents; under the lock of the writers */
    uint32_t capacity;
    struct mmi_signature slots[];
};

/* NULL = out of memory. */
struct mmi_signatures *mmi_signatures_new(const mm_allocator *alloc,
                                          const struct mmi_backend *backend,
                                          const mm_description *description, void *opened,
                                          int32_t device_kind, uint32_t capacity);
/* No user is left; NULL is fine. Calls the backend: no lock held. */
void mmi_signatures_free(struct mmi_signatures *signatures);

/* inputs: [input_count], checked against the description. The signature for them, held; NULL = not
 * known. No lock. */
struct mmi_signature *mmi_signature_find(struct mmi_signatures *signatures, const mm_value *inputs);
/* Ask the backend. The result is held by the caller and not shared. Calls the backend: no lock. */
mm_status mmi_signature_make(struct mmi_signatures *signatures, const mm_value *inputs,
                             struct mmi_signature **signature, mm_error *err);
/* Writers, serialised: share what was made. Its contents move to a slot, in place of the least
 * recently used one without a user; *signature becomes the slot, still held, and the result is a
 * shell that holds what was replaced: destroy it once no lock is held. NULL: no slot was free, or
 * the shape inputs are large (256 KiB); *signature stays the caller's own. */
struct mmi_signature *mmi_signature_share(struct mmi_signatures *signatures,
                                          struct mmi_signature **signature);
/* Are outputs after a run what size said of them? Of a string tensor bytes are not looked at. */
bool mmi_signature_kept(const struct mmi_signature *signature, const mm_value *values,
                        uint32_t count);
void mmi_signature_destroy(struct mmi_signatures *signatures, struct mmi_signature *shell);
/* Give up a hold; an unshared signature is destroyed. */
void mmi_signature_done(struct mmi_signatures *signatures, struct mmi_signature *signature,
                        uint64_t ticks);

#endif
