/* SPDX-License-Identifier: Apache-2.0 */
/* The arena of an 80 GiB device under models that come and go, bookkeeping only.
 *
 * One stream of requests of log-uniform size, two random resident models used between one request
 * and the next. A refused request displaces the least recently used model and asks again. An
 * operation is one take, granted or refused, or one give; they are counted from the first refusal
 * on, when the device is full.
 *
 *   large   20 to 2000 MB, each answer checked against the sum of rounded sizes
 *   small   4 KiB to 2 MiB, each answer checked against a bit map of the memory
 *   range   the large stream into one contiguous range, best fit: why there are chunks
 *
 * Usage: bench-arena [SEED [OPERATIONS]]. Exits 1 on any answer that is wrong and on padding above
 * 0.3 %. */

#include "best_fit.h"
#include "naive_map.h"

#include <base/list.h>
#include <memory/arena.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CAPACITY_BYTES (UINT64_C(80) << 30)
#define CHUNKS ((uint32_t)(CAPACITY_BYTES / MMI_CHUNK_BYTES))
#define MAX_PADDING 0.003

enum store { STORE_LARGE, STORE_SMALL, STORE_RANGE };

static const struct {
    const char *name;
    double least_bytes, most_bytes;
} stores[] = {
    [STORE_LARGE] = {"large", 20e6, 2000e6},
    [STORE_SMALL] = {"small", 4096, 2 * 1024 * 1024 - 256},
    [STORE_RANGE] = {"range", 20e6, 2000e6},
};

/* A resident model. */
struct held {
    struct mmi_list lru;
    size_t place; /* in sim.held */
    uint32_t slot;
    struct mmi_block block; /* range: offset and bytes alone */
};

/* What was done to the arena, to be timed without the checks. */
struct step {
    uint64_t bytes; /* 0 = give */
    uint32_t slot;
};

struct sim {
    enum store store;
    uint64_t random;
    struct mmi_arena *arena;
    struct naive_map map;
    struct best_fit range;

    struct mmi_list lru; /* least recently used first */
    struct held **held;
    uint32_t *free_slots; /* stack of those that were given back */
    size_t count, room, free_slot_count;
    uint32_t slots;
    uint64_t asked_bytes, charged_bytes; /* of all held */

    uint64_t operations, refused, in_vain; /* in_vain: refused though enough bytes were free */
    uint64_t mismatches;
    double fill, padding; /* sums over refusals */

    struct step *steps;
    size_t step_count, step_room;
};

static void *need(void *memory) {
    if (!memory) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t random_model_bytes(struct sim *sim) {
    double unit = (double)(random_next(&sim->random) >> 11) / 9007199254740992.0;
    double least = stores[sim->store].least_bytes;
    return (uint64_t)(least * pow(stores[sim->store].most_bytes / least, unit));
}

static void record(struct sim *sim, uint64_t bytes, uint32_t slot) {
    if (sim->step_count == sim->step_room) {
        sim->step_room = sim->step_room ? 2 * sim->step_room : 1024;
        sim->steps = need(realloc(sim->steps, sim->step_room * sizeof *sim->steps));
    }
    sim->steps[sim->step_count++] = (struct step){.bytes = bytes, .slot = slot};
}

/* ---- The three stores, each beside its oracle ------------------------------------------------ */

static bool oracle_fits(const struct sim *sim, uint64_t bytes) {
    return sim->store == STORE_SMALL
               ? naive_map_fits(&sim->map, bytes)
               : mmi_arena_rounded(sim->arena, bytes) <= CAPACITY_BYTES - sim->charged_bytes;
}

static bool store_take(struct sim *sim, uint64_t bytes, struct mmi_block *block) {
    bool oracle = oracle_fits(sim, bytes);
    if (sim->store == STORE_RANGE) {
        *block = (struct mmi_block){.bytes = bytes,
                                    .charged_bytes = mmi_arena_rounded(sim->arena, bytes)};
        bool taken = best_fit_take(&sim->range, block->charged_bytes, &block->offset);
        sim->in_vain += !taken && oracle;
        return taken;
    }
    bool taken = mmi_arena_take(sim->arena, bytes, block) == MMI_TAKE_OK;
    sim->mismatches += taken != oracle;
    if (taken && sim->store == STORE_SMALL) {
        sim->mismatches += !naive_map_take(&sim->map, block);
    }
    return taken;
}

static void store_give(struct sim *sim, struct mmi_block *block) {
    if (sim->store == STORE_RANGE) {
        best_fit_give(&sim->range, block->offset);
        return;
    }
    if (sim->store == STORE_SMALL) {
        sim->mismatches += !naive_map_give(&sim->map, block);
    }
    mmi_arena_give(sim->arena, block);
}

/* ---- The stream ------------------------------------------------------------------------------ */

static bool request(struct sim *sim, uint64_t bytes) {
    struct mmi_block block;
    if (!store_take(sim, bytes, &block)) {
        return false;
    }
    struct held *held = need(calloc(1, sizeof *held));
    held->block = block;
    held->place = sim->count;
    held->slot = sim->free_slot_count > 0 ? sim->free_slots[--sim->free_slot_count] : sim->slots++;
    mmi_list_init(&held->lru);
    mmi_list_push_back(&sim->lru, &held->lru);
    if (sim->count == sim->room) {
        sim->room = sim->room ? 2 * sim->room : 1024;
        sim->held = need(realloc(sim->held, sim->room * sizeof(struct held *)));
        sim->free_slots = need(realloc(sim->free_slots, sim->room * sizeof *sim->free_slots));
    }
    sim->held[sim->count++] = held;
    sim->asked_bytes += bytes;
    sim->charged_bytes += block.charged_bytes;
    record(sim, bytes, held->slot);
    return true;
}

static void displace(struct sim *sim) {
    struct held *held = MMI_CONTAINER(mmi_list_pop(&sim->lru), struct held, lru);
    sim->held[held->place] = sim->held[--sim->count];
    sim->held[held->place]->place = held->place;
    sim->free_slots[sim->free_slot_count++] = held->slot;
    sim->asked_bytes -= held->block.bytes;
    sim->charged_bytes -= held->block.charged_bytes;
    record(sim, 0, held->slot);
    store_give(sim, &held->block);
    free(held);
}

static void use_someone(struct sim *sim) {
    if (sim->count > 0) {
        struct held *held = sim->held[random_next(&sim->random) % sim->count];
        mmi_list_remove(&held->lru);
        mmi_list_push_back(&sim->lru, &held->lru);
    }
}

static void simulate(struct sim *sim, uint64_t operations) {
    uint64_t bytes = random_model_bytes(sim);
    while (sim->operations < operations) {
        sim->operations += sim->refused > 0;
        if (request(sim, bytes)) {
            use_someone(sim);
            use_someone(sim);
            bytes = random_model_bytes(sim);
            continue;
        }
        sim->refused++;
        sim->fill += (double)sim->asked_bytes / (double)CAPACITY_BYTES;
        sim->padding += (double)(sim->charged_bytes - sim->asked_bytes) / (double)sim->asked_bytes;
        displace(sim);
        sim->operations++;
    }
}

/* ---- The clock ------------------------------------------------------------------------------- */

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* The granted takes and the gives of the run again, on an arena of their own. */
static void time_steps(const struct sim *sim) {
    struct mmi_arena *arena =
        need(mmi_arena_new(&mmi_malloc_allocator, MMI_ARENA_CHUNKED, CAPACITY_BYTES));
    struct mmi_block *blocks = need(calloc(sim->slots, sizeof *blocks));
    uint64_t chunks = 0;
    double start = now_ns();
    for (size_t i = 0; i < sim->step_count; i++) {
        struct mmi_block *block = &blocks[sim->steps[i].slot];
        if (sim->steps[i].bytes == 0) {
            chunks += block->chunk_count;
            mmi_arena_give(arena, block);
        } else if (mmi_arena_take(arena, sim->steps[i].bytes, block) == MMI_TAKE_OK) {
            chunks += block->chunk_count;
        }
    }
    double spent = now_ns() - start;
    printf("  %.0f ns a take or give", spent / (double)sim->step_count);
    if (chunks > 0) {
        printf(", %.2f ns a chunk", spent / (double)chunks);
    }
    printf("\n");
    mmi_arena_free(arena);
    free(blocks);
}

static bool report(const struct sim *sim) {
    double refused = (double)sim->refused;
    printf("%s  %llu operations, %llu refused, when refused: fill %.2f %%, padding %.3f %%\n",
           stores[sim->store].name, (unsigned long long)sim->operations,
           (unsigned long long)sim->refused, 100 * sim->fill / refused,
           100 * sim->padding / refused);
    if (sim->store == STORE_RANGE) {
        printf("  refused in vain, though enough bytes were free: %llu\n",
               (unsigned long long)sim->in_vain);
        return true;
    }
    bool padded = sim->store == STORE_LARGE && sim->padding / refused > MAX_PADDING;
    const char *broken = mmi_arena_validate(sim->arena);
    printf("  answers that differ from the oracle's: %llu%s%s%s\n",
           (unsigned long long)sim->mismatches, padded ? "; padding above 0.3 %" : "",
           broken ? "; " : "", broken ? broken : "");
    return sim->mismatches == 0 && !padded && !broken;
}

static bool run(enum store store, uint64_t seed, uint64_t operations) {
    struct sim *sim = need(calloc(1, sizeof *sim));
    sim->store = store;
    sim->random = seed;
    sim->range.capacity_bytes = CAPACITY_BYTES;
    sim->arena = need(mmi_arena_new(&mmi_malloc_allocator, MMI_ARENA_CHUNKED, CAPACITY_BYTES));
    mmi_list_init(&sim->lru);
    if (store == STORE_SMALL && !naive_map_init(&sim->map, CHUNKS)) {
        need(NULL);
    }
    simulate(sim, operations);
    bool right = report(sim);
    if (right && store != STORE_RANGE) {
        time_steps(sim);
    }
    while (sim->count > 0) {
        displace(sim);
    }
    mmi_arena_free(sim->arena);
    naive_map_fini(&sim->map);
    free(sim->held);
    free(sim->free_slots);
    free(sim->steps);
    free(sim);
    return right;
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t operations = argc > 2 ? strtoull(argv[2], NULL, 0) : 300000;
    printf("80 GiB, seed %llu\n", (unsigned long long)seed);
    bool right = run(STORE_LARGE, seed, operations);
    right = run(STORE_SMALL, seed, operations) && right;
    right = run(STORE_RANGE, seed, operations) && right;
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
