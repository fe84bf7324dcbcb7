/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STRESS_SOAK_H
#define TESTS_STRESS_SOAK_H

/* Clients that call whatever the public API allows, at random, and check what comes of it. A scene
 * says of which models and devices, and how often what is called. */

#include "field.h"

#define MAX_CLIENTS 64u
#define MAX_DEVICES 3u
#define NAMES 60u /* at most */
#define FIXED 2u  /* the first so many are pinned for ever and never change */
#define OPEN_OPS 6u
#define ANY_BYTES 400u /* of a script */

/* The seed of a model's weights tells its name by this remainder. */
#define SOAK_SEED_NAMES 256u

enum soak_kind {
    SOAK_INFER,
    SOAK_ASYNC,
    SOAK_CANCEL,
    SOAK_WAIT,
    SOAK_LOAD,
    SOAK_CHANGE, /* register, sometimes after unregister */
    SOAK_AGAIN,  /* unregister and register */
    SOAK_UPDATE,
    SOAK_EVICT,
    SOAK_SET,
    SOAK_BUDGET,
    SOAK_PLAN,
    SOAK_INFO,
    SOAK_STATS,
    SOAK_DESCRIBE,
    SOAK_SIZES,
    SOAK_CALLS
};

struct client;
struct soak;

struct soak_device {
    const char *option, *name;               /* as the mesh is told; as it calls it */
    uint64_t first_mib, least_mib, most_mib; /* its budget at first, and where it moves */
};

struct soak_scene {
    unsigned clients, names, device_count;
    struct soak_device devices[MAX_DEVICES];
    uint64_t (*weights_of)(uint64_t seed);
    /* More lines of its script. */
    void (*script)(uint64_t seed, char *text, size_t bytes);
    /* Settings of one that is not FIXED. */
    void (*settle)(struct client *client, uint64_t name, mm_model_spec *spec);
    unsigned shares[SOAK_CALLS]; /* of 1000 calls */
};

struct script {
    struct script *next;
    char text[ANY_BYTES];
};

struct entry {
    pthread_mutex_t mutex; /* guards model, life and the two calls that change them */
    mm_model model;        /* {0} = not registered */
    uint64_t life;
    _Atomic uint64_t started, confirmed; /* revisions: asked for; known to serve */
    _Atomic bool updating;
};

/* A handle and what may answer to it. */
struct target {
    mm_model model;
    uint64_t name, life, confirmed;
};

struct async {
    struct field_request request; /* an inference's */
    struct soak *soak;
    struct target target;
    bool infers;
    mm_op *op; /* NULL = freed */
    _Atomic bool busy;
};

struct client {
    pthread_t thread;
    struct soak *soak;
    uint64_t seed;
    _Atomic uint64_t since_ns; /* when what it does now began */
    const char *_Atomic call;  /* NULL: nothing that could take long */
    struct async ops[OPEN_OPS];
};

struct soak {
    const struct soak_scene *scene;
    struct field field;
    struct entry entries[NAMES];
    struct script *_Atomic scripts; /* all of them, until the end */
    _Atomic uint64_t lives;
    _Atomic int64_t left; /* operations */
    bool endless;
    uint64_t end_ns; /* when endless */
    struct client clients[MAX_CLIENTS];
    _Atomic uint64_t done, asked, answered, hits, statuses[MM_FORKED + 1];
};

static inline uint64_t soak_below(struct client *client, uint64_t limit) {
    return test_random_below(&client->seed, limit);
}
static inline bool soak_chance(struct client *client, uint64_t percent) {
    return soak_below(client, 100) < percent;
}

/* Register a name anew, or find that it is taken. */
void soak_register(struct client *client, uint64_t name);
/* One call, at random. */
void soak_call(struct client *client);
uint64_t soak_now(const struct client *client);
/* Notes what a client does from now on. */
void soak_begin(struct client *client, const char *what);

/* The whole: a mesh with these options, the devices of the scene and all its names registered;
 * clients until `left` calls are made, or until the time is over; the end, at which everything must
 * have come back. */
void soak_open(struct soak *soak, const struct soak_scene *scene, const mm_mesh_options *options,
               uint64_t seed);
void soak_run(struct soak *soak);
void soak_end(struct soak *soak);

#endif
