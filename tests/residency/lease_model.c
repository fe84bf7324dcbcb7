/* SPDX-License-Identifier: Apache-2.0 */
/* The lease protocol, every interleaving of it. A breadth-first search over an abstract machine:
 * readers, a drainer, a loader that takes the bytes and gives the slot to another model, a reviver
 * and the loss of the device. Each thread has a FIFO store buffer: a plain store waits in it, a
 * seq_cst store or a read-modify-write waits until it is empty. Unlocking is a plain store.
 *
 * What must hold. While a lease is valid, its bytes are there and the slot is its own. At every end
 * all counts are 0, and nobody was left waiting for a drain. Each mutation of the protocol must
 * break one of the two; the trace printed is a shortest one. */

#include <residency/lease.h>

#include <support/world.h>

#include <stdlib.h>
#include <string.h>

enum mutation {
    NO_MUTATION,
    LOAD_BEFORE_ADD,     /* acquire loads the word, then adds */
    NO_RECHECK,          /* release does not look at the word again */
    SCAN_BEFORE_STORE,   /* drain scans, then stores DRAINING */
    WEAK_STORE,          /* DRAINING is a plain store */
    NO_RECHECK_REFUSED,  /* a refused acquire does not look at the word again */
    FORGOTTEN_SHARD,     /* release subtracts where the thread is now */
    FORGOTTEN_GENERATION /* acquire compares the state alone */
};

enum { READERS = 3, DRAINER = READERS, LOADER, REVIVER, LOSER, THREADS };
enum variable { WORD, LOCK, OWNER, BYTES };
enum { NOBODY = 3 }; /* an owner, or whose bytes there are: 0, 1, 2 = the slot's generations */

/* clang-format off */
#define STEPS(X)                                                                                   \
    X(DONE, "") X(FLUSH, "a store becomes visible")                                                \
    X(R_IDLE, "acquire: add") X(R_EARLY, "acquire: add, after the load") X(R_LOAD, "acquire: load")\
    X(R_HOLD, "release: subtract") X(R_UNDO, "refused: subtract") X(R_AGAIN, "load again")         \
    X(R_AGAIN_REFUSED, "refused: load again") X(R_WAIT, "wait")                                    \
    X(S_LOCK, "settle: lock") X(S_SCAN_0, "settle: shard 0") X(S_SCAN_1, "settle: shard 1")     \
    X(S_STORE, "settle: store next") X(UNLOCK, "unlock")                                           \
    X(D_LOCK, "drain: lock") X(D_SCAN_0, "drain: load shard 0") X(D_SCAN_1, "drain: load shard 1") \
    X(D_STORE, "drain: store DRAINING")                                                            \
    X(T_LOCK, "take: lock") X(T_STORE, "take: store DETACHING") X(T_TAKE, "take the bytes")        \
    X(T_LOCK_2, "recycle: lock") X(T_FREE, "recycle: store NONE, next generation")                 \
    X(T_OWNER, "load: write the owner") X(T_LOADING, "load: store LOADING")                        \
    X(T_LEASE, "load: the loader's lease") X(T_FILL, "load: write the bytes")                      \
    X(T_LOCK_3, "load: lock") X(T_GRANT, "load: a waiter's lease") X(T_READY, "load: store READY") \
    X(V_LOCK, "revive: lock") X(V_STORE, "revive: store READY")                                    \
    X(L_LOCK, "lost or unregistered: lock") X(L_LOST, "lost: store LOST")                          \
    X(L_LEAVING, "unregistered: store LEAVING")
/* clang-format on */
enum step {
#define STEP_ENUM(name, text) name,
    STEPS(STEP_ENUM)
#undef STEP_ENUM
};
static const char *const step_text[] = {
#define STEP_TEXT(name, text) text,
    STEPS(STEP_TEXT)
#undef STEP_TEXT
};

enum { BUFFER = 2 }; /* no thread has more plain stores between two locked operations */
struct thread {
    uint8_t at, then; /* enum step; where to go after UNLOCK */
    uint8_t generation, shard;
    uint8_t left; /* rounds to go; mutations put a remembered observation into the high bit */
    uint8_t buffered;
    uint8_t buffer[BUFFER]; /* variable << 6 | value */
};
enum { SEEN = 0x80 };

/* Bytes only and no gaps, so that equal states are equal memory. */
struct state {
    uint8_t memory[4]; /* by enum variable */
    uint8_t shard[2];
    uint8_t pad[2];
    struct thread threads[THREADS];
};
_Static_assert(sizeof(struct state) == 64, "hashed as eight words");

static uint8_t word(uint8_t state, unsigned generation) {
    return (uint8_t)(state | generation << 4);
}
static uint8_t state_of(uint8_t value) {
    return value & 15;
}
static uint8_t generation_of(uint8_t value) {
    return value >> 4;
}

/* States that a lease may be out in, and that end when the last one comes back. */
static bool is_awaited(uint8_t value) {
    return state_of(value) == MMI_DRAINING || state_of(value) == MMI_LEAVING ||
           state_of(value) == MMI_LOST;
}

/* ---- Memory --------------------------------------------------------------------------------- */

static uint8_t load(const struct state *s, const struct thread *t, enum variable variable) {
    for (unsigned i = t->buffered; i-- > 0;) {
        if (t->buffer[i] >> 6 == variable) {
            return t->buffer[i] & 63;
        }
    }
    return s->memory[variable];
}

/* These and all steps below: false = not possible now. */
static bool store_plain(struct thread *t, enum variable variable, uint8_t value) {
    if (t->buffered == BUFFER) {
        return false;
    }
    t->buffer[t->buffered++] = (uint8_t)(variable << 6 | value);
    return true;
}
static bool store(struct state *s, struct thread *t, enum variable variable, uint8_t value) {
    s->memory[variable] = value;
    return t->buffered == 0;
}
static bool add(struct state *s, struct thread *t, unsigned shard, int change) {
    s->shard[shard] = (uint8_t)(s->shard[shard] + change);
    return t->buffered == 0;
}
static bool flush(struct state *s, struct thread *t) {
    if (t->buffered == 0) {
        return false;
    }
    s->memory[t->buffer[0] >> 6] = t->buffer[0] & 63;
    t->buffered--;
    t->buffer[0] = t->buffer[1];
    t->buffer[1] = 0;
    return true;
}
static bool lock(struct state *s, struct thread *t) {
    bool free = s->memory[LOCK] == 0;
    return store(s, t, LOCK, 1) && free;
}

/* ---- Steps ---------------------------------------------------------------------------------- */

static bool go(struct thread *t, uint8_t at) {
    t->at = at;
    return true;
}

/* Back from a section under the lock, or from a release. */
static uint8_t next_round(struct thread *t, uint8_t first) {
    t->shard = t->generation = 0;
    t->left &= (uint8_t)~SEEN;
    if (t->left == 0) {
        return DONE;
    }
    t->left--;
    return first;
}
static bool go_unlock(struct thread *t, uint8_t then) {
    t->then = then;
    return go(t, UNLOCK);
}

static bool matches(const struct state *s, const struct thread *t, enum mutation m) {
    uint8_t value = load(s, t, WORD);
    return state_of(value) == MMI_READY &&
           (m == FORGOTTEN_GENERATION || generation_of(value) == t->generation);
}

/* What follows the add. */
static bool checked(struct thread *t, bool ready) {
    t->left &= (uint8_t)~SEEN;
    return go(t, ready ? R_HOLD : R_UNDO);
}

/* `choice`: bit 0 the shard of the moment, bit 1 the word in hand: any that was ever valid. */
static bool step_reader(struct state *s, struct thread *t, unsigned choice, enum mutation m) {
    uint8_t value = load(s, t, WORD);
    switch (t->at) {
    case R_IDLE:
        if (choice >> 1 > generation_of(s->memory[WORD])) {
            return false;
        }
        t->shard = choice & 1;
        t->generation = choice >> 1 & 1;
        if (m == LOAD_BEFORE_ADD) {
            t->left |= matches(s, t, m) ? SEEN : 0;
            return go(t, R_EARLY);
        }
        return add(s, t, t->shard, 1) && go(t, R_LOAD);
    case R_EARLY:
        return add(s, t, t->shard, 1) && checked(t, t->left & SEEN);
    case R_LOAD:
        return checked(t, matches(s, t, m));
    case R_HOLD:
    case R_UNDO: {
        bool forgets = m == FORGOTTEN_SHARD && t->at == R_HOLD;
        uint8_t again = t->at == R_HOLD ? R_AGAIN : R_AGAIN_REFUSED;
        return add(s, t, forgets ? choice & 1 : t->shard, -1) && go(t, again);
    }
    case R_AGAIN:
    case R_AGAIN_REFUSED:
        if (m == (t->at == R_AGAIN ? NO_RECHECK : NO_RECHECK_REFUSED) || !is_awaited(value)) {
            return go(t, t->then);
        }
        return go(t, S_LOCK);
    default:
        return false; /* R_WAIT: until the loader gives it a lease */
    }
}

static bool step_settle(struct state *s, struct thread *t) {
    uint8_t value = load(s, t, WORD);
    switch (t->at) {
    case S_LOCK:
        if (!lock(s, t)) {
            return false;
        }
        value = s->memory[WORD];
        return go(t, is_awaited(value) ? S_SCAN_0 : UNLOCK);
    case S_SCAN_0:
        return go(t, s->shard[0] == 0 ? S_SCAN_1 : UNLOCK);
    case S_SCAN_1:
        return go(t, s->shard[1] == 0 ? S_STORE : UNLOCK);
    case S_STORE: {
        uint8_t next = state_of(value) == MMI_DRAINING ? MMI_RECLAIMABLE : MMI_DETACHING;
        return store(s, t, WORD, word(next, generation_of(value))) && go(t, UNLOCK);
    }
    default: /* UNLOCK */
        if (!store_plain(t, LOCK, 0)) {
            return false;
        }
        go(t, t->then == D_LOCK || t->then == R_IDLE ? next_round(t, t->then) : t->then);
        t->then = t->at == R_HOLD ? T_LOCK : t->then; /* the loader goes on from its release */
        return true;
    }
}

static bool step_drainer(struct state *s, struct thread *t, enum mutation m) {
    uint8_t draining = word(MMI_DRAINING, generation_of(load(s, t, WORD)));
    switch (t->at) {
    case D_LOCK:
        return state_of(s->memory[WORD]) == MMI_READY && lock(s, t) &&
               go(t, m == SCAN_BEFORE_STORE ? D_SCAN_0 : D_STORE);
    case D_SCAN_0:
        return go(t, s->shard[0] == 0 ? D_SCAN_1 : D_STORE);
    case D_SCAN_1:
        t->left |= s->shard[1] == 0 ? SEEN : 0;
        return go(t, D_STORE);
    default: /* D_STORE */
        if (m == SCAN_BEFORE_STORE) {
            uint8_t next = t->left & SEEN ? S_STORE : UNLOCK;
            t->left &= (uint8_t)~SEEN;
            return store(s, t, WORD, draining) && go(t, next);
        }
        return (m == WEAK_STORE ? store_plain(t, WORD, draining) : store(s, t, WORD, draining)) &&
               go(t, S_SCAN_0);
    }
}

/* A waiter gets its lease from the loader, under the lock. */
static bool grant(struct state *s, struct thread *t) {
    for (unsigned i = 0; i < READERS; i++) {
        struct thread *waiter = &s->threads[i];
        if (waiter->at == R_WAIT) {
            waiter->at = R_HOLD;
            waiter->generation = t->generation;
            return add(s, t, waiter->shard, 1);
        }
    }
    return go(t, T_READY);
}

/* Takes the bytes, gives the slot to the next model and loads it, under a lease of its own. */
static bool step_loader(struct state *s, struct thread *t) {
    uint8_t value = s->memory[WORD];
    switch (t->at) {
    case T_LOCK:
        if (state_of(value) == MMI_DETACHING) {
            return go(t, T_TAKE); /* a lost instance: whoever settled it handed it over */
        }
        return state_of(value) == MMI_RECLAIMABLE && lock(s, t) && go(t, T_STORE);
    case T_STORE:
        return store(s, t, WORD, word(MMI_DETACHING, generation_of(value))) && go_unlock(t, T_TAKE);
    case T_TAKE:
        return store(s, t, BYTES, NOBODY) && go(t, T_LOCK_2);
    case T_LOCK_2:
        return lock(s, t) && go(t, T_FREE);
    case T_FREE:
        t->generation = generation_of(value) + 1;
        return store(s, t, WORD, word(MMI_NONE, t->generation)) &&
               (t->generation == 1 ? go(t, T_OWNER) : go_unlock(t, DONE));
    case T_OWNER:
        return store_plain(t, OWNER, t->generation) && go(t, T_LOADING);
    case T_LOADING:
        return store(s, t, WORD, word(MMI_LOADING, t->generation)) && go(t, T_LEASE);
    case T_LEASE:
        return add(s, t, t->shard, 1) && go_unlock(t, T_FILL);
    case T_FILL:
        return store_plain(t, BYTES, t->generation) && go(t, T_LOCK_3);
    case T_LOCK_3:
        if (!lock(s, t)) {
            return false;
        }
        return state_of(value) == MMI_LOADING ? go(t, T_GRANT) : go_unlock(t, R_HOLD);
    case T_GRANT:
        return grant(s, t);
    default: /* T_READY */
        return store(s, t, WORD, word(MMI_READY, t->generation)) && go_unlock(t, R_HOLD);
    }
}

static bool step_event(struct state *s, struct thread *t, unsigned choice) {
    uint8_t value = s->memory[WORD], now = state_of(value);
    switch (t->at) {
    case V_LOCK:
        return (now == MMI_DRAINING || now == MMI_RECLAIMABLE) && lock(s, t) && go(t, V_STORE);
    case V_STORE:
        return store(s, t, WORD, word(MMI_READY, generation_of(value))) && go_unlock(t, DONE);
    case L_LOCK:
        return now >= MMI_LOADING && now <= MMI_RECLAIMABLE &&
               (choice == 0 || now != MMI_LOADING) && lock(s, t) &&
               go(t, choice == 0 ? L_LOST : L_LEAVING);
    default: /* L_LOST, L_LEAVING */
        t->then = DONE;
        return store(s, t, WORD,
                     word(t->at == L_LOST ? MMI_LOST : MMI_LEAVING, generation_of(value))) &&
               go(t, S_SCAN_0);
    }
}

static bool step(struct state *s, struct thread *t, unsigned choice, enum mutation m) {
    bool done = false;
    if (t->at >= R_IDLE && t->at <= R_WAIT) {
        done = step_reader(s, t, choice, m);
    } else if (t->at >= S_LOCK && t->at <= UNLOCK) {
        done = step_settle(s, t);
    } else if (t->at >= D_LOCK && t->at <= D_STORE) {
        done = step_drainer(s, t, m);
    } else if (t->at >= T_LOCK && t->at <= T_READY) {
        done = step_loader(s, t);
    } else if (t->at >= V_LOCK) {
        done = step_event(s, t, choice);
    }
    /* A round that ended without the lock. */
    if (done && t->at == R_IDLE) {
        t->at = next_round(t, R_IDLE);
    }
    return done;
}

/* ---- What must hold ------------------------------------------------------------------------- */

static const char *broken(const struct state *s) {
    uint8_t now = state_of(s->memory[WORD]), generation = generation_of(s->memory[WORD]);
    for (unsigned i = 0; i < THREADS; i++) {
        const struct thread *t = &s->threads[i];
        bool loading = i == LOADER && t->at >= T_FILL && t->at <= T_READY;
        if (!loading && t->at != R_HOLD) {
            continue;
        }
        if (generation != t->generation) {
            return "a lease on a stranger";
        }
        if (now == MMI_NONE || now == MMI_RECLAIMABLE || now == MMI_DETACHING) {
            return "a lease on bytes that are free to take";
        }
        if (!loading && (s->memory[BYTES] != generation || s->memory[OWNER] != generation)) {
            return "a lease without bytes or without an owner";
        }
    }
    return NULL;
}

static const char *broken_at_end(const struct state *s) {
    uint8_t now = state_of(s->memory[WORD]);
    if (s->shard[0] != 0 || s->shard[1] != 0) {
        return "a count that was not undone";
    }
    if (now != MMI_READY && now != MMI_NONE) {
        return "nobody settled: a wake-up was lost";
    }
    return s->memory[LOCK] ? "a lock that was not given back" : NULL;
}

/* ---- Search --------------------------------------------------------------------------------- */

struct node {
    struct state state;
    uint32_t parent;
    uint8_t thread, step;
};
struct search {
    struct node *nodes;
    uint32_t count, capacity;
    uint32_t *table; /* 1 + index in nodes; 0 = empty */
    uint32_t table_size;
};

static uint32_t place_of(const struct search *search, const struct state *s) {
    uint64_t words[8], hash = 0;
    memcpy(words, s, sizeof words);
    for (unsigned i = 0; i < 8; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    uint32_t place = (uint32_t)hash & (search->table_size - 1);
    while (search->table[place] &&
           memcmp(&search->nodes[search->table[place] - 1].state, s, sizeof *s) != 0) {
        place = (place + 1) & (search->table_size - 1);
    }
    return place;
}

static void make_room(struct search *search) {
    if (search->count < search->capacity) {
        return;
    }
    search->capacity = search->capacity ? search->capacity * 2 : 1024;
    search->table_size = search->capacity * 2;
    search->nodes = realloc(search->nodes, search->capacity * sizeof *search->nodes);
    free(search->table);
    search->table = calloc(search->table_size, sizeof *search->table);
    assert_true(search->nodes && search->table);
    for (uint32_t i = 0; i < search->count; i++) {
        search->table[place_of(search, &search->nodes[i].state)] = i + 1;
    }
}

/* Readers are alike: one order stands for all. */
static void sort_readers(struct state *s) {
    for (unsigned i = 1; i < READERS; i++) {
        for (unsigned j = i; j > 0; j--) {
            struct thread *low = &s->threads[j - 1], *high = &s->threads[j];
            if (memcmp(low, high, sizeof *low) > 0) {
                struct thread swap = *low;
                *low = *high;
                *high = swap;
            }
        }
    }
}

static void reach(struct search *search, struct node node) {
    make_room(search);
    sort_readers(&node.state);
    uint32_t place = place_of(search, &node.state);
    if (!search->table[place]) {
        search->nodes[search->count++] = node;
        search->table[place] = search->count;
    }
}

/* All that may happen next. false = nothing. */
static bool expand(struct search *search, uint32_t index, enum mutation m) {
    bool any = false;
    for (uint8_t i = 0; i < THREADS; i++) {
        for (unsigned choice = 0; choice < 4; choice++) {
            struct node next = {.state = search->nodes[index].state, .parent = index, .thread = i};
            struct thread *t = &next.state.threads[i];
            bool chooses = t->at == R_IDLE || t->at == R_HOLD || t->at == L_LOCK;
            next.step = t->at == R_IDLE && m == LOAD_BEFORE_ADD ? R_LOAD : t->at;
            if (step(&next.state, t, choice, m)) {
                any = true;
                reach(search, next);
            }
            if (!chooses) {
                break;
            }
        }
        struct node next = {
            .state = search->nodes[index].state, .parent = index, .thread = i, .step = FLUSH};
        if (flush(&next.state, &next.state.threads[i])) {
            any = true;
            reach(search, next);
        }
    }
    return any;
}

static void print_trace(const struct search *search, uint32_t index) {
    static const char *const states[] = {"NONE",      "LOADING", "READY",
                                         "DRAINING",  "LEAVING", "RECLAIMABLE",
                                         "DETACHING", "FAILED",  "LOST"};
    static const char *const names[] = {"reader", "reader",  "reader", "drainer",
                                        "loader", "reviver", "device"};
    const struct node *node = &search->nodes[index];
    if (node->parent != index) {
        print_trace(search, node->parent);
        print_message("  %-8s %-38s", names[node->thread], step_text[node->step]);
    } else {
        print_message("  %-47s", "(start; readers are sorted, so no names)");
    }
    print_message(" -> %s %u, counts %u %u\n", states[state_of(node->state.memory[WORD])],
                  generation_of(node->state.memory[WORD]), node->state.shard[0],
                  node->state.shard[1]);
}

/* The first thing found broken, or NULL. `held`: the words seen while a reader had a lease. */
static const char *explore(const struct state *start, enum mutation m, uint64_t *held) {
    struct search search = {0};
    const char *what = NULL;
    reach(&search, (struct node){.state = *start});
    uint32_t index = 0;
    for (; index < search.count; index++) {
        const struct state *s = &search.nodes[index].state;
        for (unsigned i = 0; i < READERS; i++) {
            *held |= (uint64_t)(s->threads[i].at == R_HOLD) << s->memory[WORD];
        }
        what = broken(s);
        if (!what && !expand(&search, index, m)) {
            what = broken_at_end(&search.nodes[index].state);
        }
        if (what) {
            print_message("%s:\n", what);
            print_trace(&search, index);
            break;
        }
    }
    print_message("%u states%s\n", search.count, what ? " until then" : "");
    free(search.nodes);
    free(search.table);
    return what;
}

/* rounds[i]: acquires of reader i; -1 = it waits for the load of the second model. */
static struct state start(const int rounds[READERS], uint8_t drains) {
    struct state s = {.memory = {[WORD] = word(MMI_READY, 0)}};
    for (unsigned i = 0; i < READERS; i++) {
        struct thread *t = &s.threads[i];
        t->then = R_IDLE;
        t->at = rounds[i] < 0 ? R_WAIT : rounds[i] > 0 ? R_IDLE : DONE;
        t->left = rounds[i] > 0 ? (uint8_t)(rounds[i] - 1) : 0;
    }
    s.threads[DRAINER] = (struct thread){.at = D_LOCK, .then = D_LOCK, .left = drains - 1};
    s.threads[LOADER] = (struct thread){.at = T_LOCK, .then = T_LOCK};
    s.threads[REVIVER] = (struct thread){.at = V_LOCK};
    s.threads[LOSER] = (struct thread){.at = L_LOCK};
    return s;
}

/* ---- Tests ---------------------------------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__)
enum { MORE = 0 }; /* slow, and there is but one thread to look at */
#else
enum { MORE = 1 };
#endif

static uint64_t bit(uint8_t state, unsigned generation) {
    return UINT64_C(1) << word(state, generation);
}

/* Nothing broken, and the search came where it should: leases on both models in every state that
 * allows them, and none anywhere else. */
static void assert_holds(const int rounds[READERS], uint8_t drains) {
    struct state s = start(rounds, drains);
    uint64_t held = 0, want = rounds[READERS - 1] < 0 ? bit(MMI_LOADING, 1) : 0;
    assert_null(explore(&s, NO_MUTATION, &held));
    for (unsigned generation = 0; generation < 2; generation++) {
        want |= bit(MMI_READY, generation) | bit(MMI_DRAINING, generation) |
                bit(MMI_LEAVING, generation) | bit(MMI_LOST, generation);
    }
    assert_true(held == want);
}

static void test_three_readers(void **state) {
    (void)state;
    assert_holds((const int[READERS]){1, 1, MORE}, 1);
}

static void test_again_and_a_waiter(void **state) {
    (void)state;
    assert_holds((const int[READERS]){1 + MORE, 1, -1}, 1 + MORE);
}

static void test_mutation(void **state) {
    struct state s = start((const int[READERS]){1, 0, 0}, 1);
    uint64_t held = 0;
    assert_non_null(explore(&s, *(const enum mutation *)*state, &held));
}

int main(void) {
    static enum mutation mutations[] = {LOAD_BEFORE_ADD,     NO_RECHECK,         SCAN_BEFORE_STORE,
                                        WEAK_STORE,          NO_RECHECK_REFUSED, FORGOTTEN_SHARD,
                                        FORGOTTEN_GENERATION};
#define MUTATION(i, text)                                                                          \
    { "mutation: " text, test_mutation, NULL, NULL, &mutations[i] }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_readers),
        cmocka_unit_test(test_again_and_a_waiter),
        MUTATION(0, "state loaded before the add"),
        MUTATION(1, "no recheck in release"),
        MUTATION(2, "scan before the DRAINING store"),
        MUTATION(3, "the DRAINING store weaker than seq_cst"),
        MUTATION(4, "no recheck after a refusal"),
        MUTATION(5, "release on another shard"),
        MUTATION(6, "generation not compared"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
