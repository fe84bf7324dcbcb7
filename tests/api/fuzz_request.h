/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_API_FUZZ_REQUEST_H
#define TESTS_API_FUZZ_REQUEST_H

/* A request as a stranger sends it: for a model's inputs, more or less. All that it points to has
 * exactly the size that it says, so that a sanitizer sees who reads or writes on. */

#include <support/fuzz_mutate.h>
#include <conformance/host.h>

#include <modelmesh/modelmesh.h>

#define FUZZ_INPUTS 64 /* and outputs, that a request names at most */

struct fuzz_request {
    struct life life; /* its memory is used, for values that are made */
    struct sample sample;
    void *blocks[1024];
    size_t block_count;
    mm_value inputs[FUZZ_INPUTS + 1], buffers[FUZZ_INPUTS];
    const char *outputs[FUZZ_INPUTS];
    mm_binding *binding;
    mm_request request;
    mm_response response;
};

/* All inputs as they are declared, free axes of length 2; all outputs, the library's. */
void fuzz_request_plain(struct fuzz_request *r, const mm_model_description *description);
/* The same with other lengths and contents, then perhaps damaged; some of the outputs, perhaps the
 * caller's. */
void fuzz_request_draw(struct fuzz_request *r, const mm_model_description *description,
                       struct fuzz_script *script);
/* By position, if there is such a binding. */
void fuzz_request_bind(struct fuzz_request *r, mm_mesh *mesh, mm_model model,
                       struct fuzz_script *script);
void fuzz_request_fini(struct fuzz_request *r);

/* Reads all of a value, as far as it says that it goes. */
uint64_t fuzz_value_hash(const mm_value *value, uint64_t seed);

#endif
