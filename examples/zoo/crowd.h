/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ZOO_CROWD_H
#define ZOO_CROWD_H

/* The crowd: clients that ask all models of the zoo, popular ones often and others seldom (Zipf's
 * law), each request with an input of its kind, each answer checked. */

#include "samples.h"

#include <pthread.h>

struct record {
    uint32_t model;
    uint32_t hit;
    float us;
};

struct client {
    struct crowd *crowd;
    pthread_t thread;
    struct record *records;
    uint64_t count, capacity;
    uint32_t *at;  /* [models] the next sample of each */
    float *states; /* [models][VAD_STATE] */
};

enum { MOST_COMPLAINTS = 5 };

struct crowd {
    struct zoo *zoo;
    const struct things *things;
    const struct samples *samples;
    uint64_t seed, requests; /* requests 0: until stopped */
    double *popular;         /* [models] cumulative share of the most popular so many */
    uint32_t *ranking;       /* [models] the most popular first */
    struct client *clients;
    uint32_t client_count, started;
    _Atomic uint64_t next, answered, hits, failed;
    _Atomic uint32_t running;
    _Atomic bool stop;
    pthread_mutex_t lock; /* of the complaints */
    char complaints[MOST_COMPLAINTS][MM_ERROR_TEXT_BYTES];
};

/* Fill in zoo, things, samples, seed, requests, then start `clients` of them. */
bool crowd_start(struct crowd *crowd, uint32_t clients, mm_error *err);
/* Have all requests been made? */
bool crowd_done(struct crowd *crowd);
/* Waits for the requests that run. The records stay. */
void crowd_stop(struct crowd *crowd);
void crowd_free(struct crowd *crowd);

#endif
