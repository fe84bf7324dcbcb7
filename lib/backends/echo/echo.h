/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MMI_BACKENDS_ECHO_ECHO_H
#define MMI_BACKENDS_ECHO_ECHO_H

/* The scripted backend of tests, demos and benchmarks: a model is a few lines of text that say how
 * large and how slow it is and where it fails. Its answer shows whose weights it really ran on.
 *
 *     echo1                    the magic: echo1 (backend echo, *.echo), echon (echo-nested,
 *                              *.echon), echoo (echo-own, *.echoo), echod (echo-device,
 *                              *.echod: values are taken where they lie)
 *     weights_bytes 40m        numbers take k, m, g (powers of 1024) or ns, us, ms, s
 *     groups 4                 the weights arrive in so many groups; at least 8 bytes each
 *     seed 7                   of the weights' bytes
 *     check 0                  attach does not wait for the weights to verify them
 *     activation_bytes 64k     scratch of a run: this ...
 *     activation_per_element 4 ... and this for each element of the inputs
 *     scratch_more 1m          asked for while running
 *     through_device 1         x goes into scratch on the device and from there to y, by copies on
 *                              the run's stream; tensors whose size is known. 2: what is there is
 *                              read without a wait for them, which sim reports
 *     own_bytes 1m             memory of its own while attached: by malloc in echo-own, else by
 *                              the services' allocator. At most 256m
 *     leak_bytes 4k            the same, but detach forgets it: it comes back when the mesh ends
 *     prepare_ns 5ms           time that passes, real also under a fake clock; open_ns, attach_ns,
 *                              infer_ns alike. prepare and infer end sooner when they are told
 *     fail_attach 2 MM_IO      the first 2 calls (-1 = all) fail so; fail_prepare, fail_open,
 *                              fail_infer alike. Counted per mesh and content
 *     serial 1                 one inference at a time; an overlap is MM_BACKEND_FAILED
 *     io tensor                x [N, M] -> y, the same. Or string, sequence, map; optional (x may
 *                              be left out); two (x, x2 -> y, y2); repeat (x, times: i64 [] ->
 *                              y [times * N, M]; `times` is part of the signature)
 *     dtype f32                elements of the tensors
 *     outputs exact            what is known of y before the run; or bound, unknown
 *     version blue             any word; makes the content differ
 *
 * Each line but the first may be missing; every line ends with a newline. The last output is always
 * z: i64 [2] = {checksum of weights sampled during this very run, seed}. */

#include <modelmesh/backend.h>

extern const mm_backend mmi_backend_echo;
extern const mm_backend mmi_backend_echo_nested; /* MM_BACKEND_NESTED */
extern const mm_backend mmi_backend_echo_own;    /* MM_BACKEND_OWN_MEMORY, MM_BACKEND_MALLOC */
extern const mm_backend mmi_backend_echo_device; /* MM_BACKEND_DEVICE_VALUES */

/* What z[0] is for intact weights. */
int64_t mmi_echo_checksum(uint64_t seed, uint64_t weights_bytes);

/* For tests: called at the beginning of a slot, with the script's `version` ("" = none). May block,
 * count, call the mesh, and fail the slot by any status but MM_OK (detach cannot fail). Copy a
 * table above, give it a name of its own and an init that passes the hooks to mmi_echo_init. (Not
 * through config: whoever may write that text could have any address called.) */
enum mmi_echo_slot {
    MMI_ECHO_PREPARE,
    MMI_ECHO_OPEN,
    MMI_ECHO_SIZE,
    MMI_ECHO_ATTACH,
    MMI_ECHO_DETACH,
    MMI_ECHO_INFER,
    MMI_ECHO_SLOTS
};
struct mmi_echo_hooks {
    void *user;
    mm_status (*on)(void *user, enum mmi_echo_slot slot, const char *version, mm_error *err);
};
mm_status mmi_echo_init(void *state, const mm_services *services,
                        const struct mmi_echo_hooks *hooks, mm_error *err);

#endif
