/* SPDX-License-Identifier: Apache-2.0 */
#include "crowd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Who is asked --------------------------------------------------------------------------- */

/* The same number for the same input, all over the range (splitmix64). */
static uint64_t mix(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void swap(uint32_t *a, uint32_t *b) {
    uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

static void shuffle(uint32_t *items, uint32_t count, uint64_t seed) {
    for (uint32_t i = count; i > 1; i--) {
        swap(&items[i - 1], &items[mix(seed ^ mix(i)) % i]);
    }
}

/* The model on rank r is asked 1/r as often as the first. `vad` listens all the time and is the
 * first, the other public models come next, then the variants, as the seed shuffles them. */
static void rank_models(struct crowd *crowd) {
    const struct zoo *zoo = crowd->zoo;
    double sum = 0;
    uint32_t publics = 0, ranked = 0;
    for (uint32_t i = 0; i < zoo->count; i++) {
        sum += 1.0 / (i + 1);
        crowd->popular[i] = sum;
        publics += zoo->models[i].original;
    }
    for (uint32_t i = 0; i < zoo->count; i++) {
        crowd->popular[i] /= sum;
        if (zoo->models[i].original) {
            crowd->ranking[ranked++] = i;
        } else {
            crowd->ranking[publics++] = i;
        }
    }
    shuffle(crowd->ranking, ranked, crowd->seed);
    shuffle(crowd->ranking + ranked, zoo->count - ranked, crowd->seed);
    for (uint32_t rank = 0; rank < ranked; rank++) {
        if (crowd->ranking[rank] == zoo->first[KIND_VAD]) {
            swap(&crowd->ranking[rank], &crowd->ranking[0]);
        }
    }
}

/* Request number n goes to the same model whoever makes it. */
static uint32_t pick(const struct crowd *crowd, uint64_t n) {
    double point = (double)(mix(crowd->seed + mix(n)) >> 11) * 0x1p-53;
    uint32_t low = 0, high = crowd->zoo->count - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (crowd->popular[middle] > point) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return crowd->ranking[low];
}

/* ---- A client ------------------------------------------------------------------------------- */

static void complain(struct crowd *crowd, const mm_error *err) {
    pthread_mutex_lock(&crowd->lock);
    uint64_t number = atomic_fetch_add(&crowd->failed, 1);
    if (number < MOST_COMPLAINTS) {
        snprintf(crowd->complaints[number], sizeof(crowd->complaints[number]), "%s", err->text);
    }
    pthread_mutex_unlock(&crowd->lock);
}

static bool keep(struct client *client, struct record record) {
    if (client->count == client->capacity) {
        uint64_t capacity = client->capacity ? 2 * client->capacity : 1024;
        struct record *larger = realloc(client->records, capacity * sizeof(*larger));
        if (!larger) {
            return false;
        }
        client->records = larger;
        client->capacity = capacity;
    }
    client->records[client->count++] = record;
    return true;
}

/* The next sample, in order: the windows of a recording follow each other, and so does the state
 * that goes with them. From the beginning after the last. */
static void ask_next(struct client *client, uint32_t index) {
    struct crowd *crowd = client->crowd;
    struct zoo_model *model = &crowd->zoo->models[index];
    const struct samples *samples = &crowd->samples[model->kind];
    float *state = client->states + (size_t)index * VAD_STATE;
    uint32_t at = client->at[index];
    if (at == 0) {
        memset(state, 0, VAD_STATE * sizeof(*state));
    }
    bool recurrent = model->kind == KIND_VAD || model->kind == KIND_VADSEQ;
    struct answer answer;
    mm_error err;
    if (!ask(crowd->zoo->mesh, model, &samples->items[at].input, recurrent ? state : NULL, &answer,
             &err)) {
        complain(crowd, &err);
        return;
    }
    struct record record = {index, answer.hit, (float)answer.took_ns / 1e3f};
    bool right = answer_same(model, at, &answer, &err) &&
                 (!model->original ||
                  sample_right(crowd->things, model, &samples->items[at], &answer, &err));
    answer_free(&answer);
    client->at[index] = (at + 1) % samples->count;
    atomic_fetch_add(&crowd->answered, 1);
    atomic_fetch_add(&crowd->hits, answer.hit);
    if (!right) {
        complain(crowd, &err);
    } else if (!keep(client, record)) {
        fault(&err, MM_NO_MEMORY, "no memory to keep a record");
        complain(crowd, &err);
    }
}

static void *run(void *ctx) {
    struct client *client = ctx;
    struct crowd *crowd = client->crowd;
    while (!atomic_load(&crowd->stop)) {
        uint64_t n = atomic_fetch_add(&crowd->next, 1);
        if (crowd->requests && n >= crowd->requests) {
            break;
        }
        ask_next(client, pick(crowd, n));
    }
    atomic_fetch_sub(&crowd->running, 1);
    return NULL;
}

/* ---- All of them ---------------------------------------------------------------------------- */

static bool make_clients(struct crowd *crowd, uint32_t clients) {
    uint32_t models = crowd->zoo->count;
    crowd->popular = calloc(models, sizeof(*crowd->popular));
    crowd->ranking = calloc(models, sizeof(*crowd->ranking));
    crowd->clients = calloc(clients, sizeof(*crowd->clients));
    bool ok = crowd->popular && crowd->ranking && crowd->clients;
    for (uint32_t i = 0; ok && i < clients; i++) {
        struct client *client = &crowd->clients[i];
        client->crowd = crowd;
        client->at = calloc(models, sizeof(*client->at));
        client->states = calloc((size_t)models * VAD_STATE, sizeof(*client->states));
        crowd->client_count++;
        ok = client->at && client->states;
    }
    return ok;
}

bool crowd_start(struct crowd *crowd, uint32_t clients, mm_error *err) {
    pthread_mutex_init(&crowd->lock, NULL);
    if (!make_clients(crowd, clients)) {
        crowd_free(crowd);
        return fault(err, MM_NO_MEMORY, "no memory for %u clients", clients);
    }
    rank_models(crowd);
    for (uint32_t i = 0; i < clients; i++) {
        atomic_fetch_add(&crowd->running, 1);
        if (pthread_create(&crowd->clients[i].thread, NULL, run, &crowd->clients[i]) != 0) {
            atomic_fetch_sub(&crowd->running, 1);
            crowd_stop(crowd);
            crowd_free(crowd);
            return fault(err, MM_NO_THREADS, "client %u could not be started", i);
        }
        crowd->started++;
    }
    return true;
}

bool crowd_done(struct crowd *crowd) {
    return atomic_load(&crowd->running) == 0;
}

void crowd_stop(struct crowd *crowd) {
    atomic_store(&crowd->stop, true);
    for (uint32_t i = 0; i < crowd->started; i++) {
        pthread_join(crowd->clients[i].thread, NULL);
    }
}

void crowd_free(struct crowd *crowd) {
    for (uint32_t i = 0; i < crowd->client_count; i++) {
        free(crowd->clients[i].records);
        free(crowd->clients[i].at);
        free(crowd->clients[i].states);
    }
    free(crowd->clients);
    free(crowd->popular);
    free(crowd->ranking);
    pthread_mutex_destroy(&crowd->lock);
}
