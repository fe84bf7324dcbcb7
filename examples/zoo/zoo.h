/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_ZOO_H
#define ZOO_ZOO_H

/* The models of the zoo: the public ones, each the first of its variants, and what happened to
 * each. */

#include "fault.h"

#include <stdatomic.h>

enum kind { KIND_DET, KIND_REC, KIND_CLS, KIND_VAD, KIND_VADSEQ, KIND_FILETYPE, KINDS };

struct zoo_model {
    char name[64], path[512];
    enum kind kind;
    bool original; /* the public model: its answers mean something */
    mm_model handle;
    mm_model_description *description;
    uint64_t weights_bytes, activation_bytes;
    /* Per sample: what the first answer was; 0 = none yet. The same must come back for ever. */
    _Atomic uint64_t *first_answers;
};

struct zoo {
    struct zoo_model *models;
    uint32_t count;
    mm_mesh *mesh;         /* that they are registered with; the caller's */
    uint32_t first[KINDS]; /* the public model of each kind: of several, the first in the list */
};

/* From `folder`/models.txt: lines `name kind file`. */
bool zoo_read(const char *folder, struct zoo *zoo, mm_error *err);
void zoo_free(struct zoo *zoo);
/* Register all with a mesh. The public `vad` listens all the time: class high, pinned, preloaded if
 * the mesh is to stay. */
bool zoo_register(struct zoo *zoo, mm_mesh *mesh, bool preload, mm_error *err);

#endif
