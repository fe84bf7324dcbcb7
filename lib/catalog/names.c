/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/names.h>

#define FIRST_CAPACITY 64u
#define REMOVED UINT64_C(1)

struct mmi_names_table {
    struct mmi_names_table *next; /* outgrown */
    size_t mask;
    _Atomic uint64_t words[]; /* 0 = never used */
};

/* Tag in the high half, number + 2 in the low, so that 0 and REMOVED are no word. The place in the
 * table comes from the tag alone, so that a word can be moved to a larger table without its
 * name. */
static uint64_t word_of(uint64_t hash, uint32_t number) {
    return (hash & UINT64_C(0xffffffff00000000)) | ((uint64_t)number + 2);
}
static size_t place_of(const struct mmi_names_table *table, uint64_t word) {
    return (size_t)(word >> 32) & table->mask;
}
static uint32_t number_of(uint64_t word) {
    return (uint32_t)word - 2;
}

/* ---- Tables --------------------------------------------------------------------------------- */

static struct mmi_names_table *table_new(const mm_allocator *alloc, size_t capacity) {
    struct mmi_names_table *table =
        mmi_alloc(alloc, 1, sizeof(*table) + capacity * sizeof(uint64_t));
    if (table) {
        table->mask = capacity - 1;
    }
    return table;
}

static void table_free(const mm_allocator *alloc, struct mmi_names_table *table) {
    if (table) {
        mmi_free(alloc, table, sizeof(*table) + (table->mask + 1) * sizeof(uint64_t));
    }
}

bool mmi_names_init(struct mmi_names *names, const mm_allocator *alloc) {
    *names = (struct mmi_names){.alloc = alloc};
    struct mmi_names_table *table = table_new(alloc, FIRST_CAPACITY);
    atomic_store(&names->table, table);
    return table != NULL;
}

void mmi_names_fini(struct mmi_names *names) {
    table_free(names->alloc, atomic_load(&names->table));
    table_free(names->alloc, names->spare);
    while (names->outgrown) {
        struct mmi_names_table *table = names->outgrown;
        names->outgrown = table->next;
        table_free(names->alloc, table);
    }
    *names = (struct mmi_names){.alloc = names->alloc};
}

/* ---- Find ----------------------------------------------------------------------------------- */

static uint32_t look(const struct mmi_names_table *table, uint64_t hash, mmi_names_match match,
                     void *ctx) {
    for (size_t i = place_of(table, hash);; i = (i + 1) & table->mask) {
        uint64_t word = atomic_load_explicit(&table->words[i], memory_order_acquire);
        if (word == 0) {
            return UINT32_MAX;
        }
        if (word != REMOVED && (word ^ hash) >> 32 == 0 && match(ctx, number_of(word))) {
            return number_of(word);
        }
    }
}

uint32_t mmi_names_find(const struct mmi_names *names, uint64_t hash, mmi_names_match match,
                        void *ctx) {
    for (;;) {
        uint64_t sweeps = atomic_load_explicit(&names->sweeps, memory_order_acquire);
        struct mmi_names_table *table = atomic_load_explicit(&names->table, memory_order_acquire);
        uint32_t number = look(table, hash, match, ctx);
        if (number != UINT32_MAX ||
            atomic_load_explicit(&names->sweeps, memory_order_acquire) == sweeps) {
            return number;
        }
    }
}

/* ---- Add and remove ------------------------------------------------------------------------- */

static void put(struct mmi_names_table *table, uint64_t word) {
    size_t i = place_of(table, word);
    while (atomic_load_explicit(&table->words[i], memory_order_relaxed) != 0) {
        i = (i + 1) & table->mask;
    }
    atomic_store_explicit(&table->words[i], word, memory_order_release);
}

/* An empty table. One that was in use before is emptied under late readers: they notice by
 * `sweeps`, which is stored before any of its words. */
static struct mmi_names_table *take_empty(struct mmi_names *names, size_t capacity) {
    struct mmi_names_table *table = names->spare;
    if (!table || table->mask + 1 != capacity) {
        return table_new(names->alloc, capacity);
    }
    names->spare = NULL;
    atomic_fetch_add(&names->sweeps, 1);
    for (size_t i = 0; i < capacity; i++) {
        atomic_store_explicit(&table->words[i], 0, memory_order_release);
    }
    return table;
}

static void set_aside(struct mmi_names *names, struct mmi_names_table *table, size_t capacity) {
    if (table->mask + 1 == capacity) {
        names->spare = table;
        return;
    }
    struct mmi_names_table *gone[2] = {table, names->spare};
    for (int i = 0; i < 2 && gone[i]; i++) {
        gone[i]->next = names->outgrown;
        names->outgrown = gone[i];
    }
    names->spare = NULL;
}

bool mmi_names_reserve(struct mmi_names *names) {
    struct mmi_names_table *table = atomic_load(&names->table);
    if (2 * (names->used + 1) <= table->mask + 1) {
        return true;
    }
    size_t capacity = table->mask + 1; /* never smaller: readers may be in the larger ones */
    while (capacity < 4 * (names->live + 1)) {
        capacity *= 2;
    }
    struct mmi_names_table *fresh = take_empty(names, capacity);
    if (!fresh) {
        return false;
    }
    for (size_t i = 0; i <= table->mask; i++) {
        uint64_t word = atomic_load_explicit(&table->words[i], memory_order_relaxed);
        if (word > REMOVED) {
            put(fresh, word);
        }
    }
    names->used = names->live;
    atomic_store_explicit(&names->table, fresh, memory_order_release);
    set_aside(names, table, capacity);
    return true;
}

void mmi_names_add(struct mmi_names *names, uint64_t hash, uint32_t number) {
    put(atomic_load(&names->table), word_of(hash, number));
    names->live++;
    names->used++;
}

void mmi_names_remove(struct mmi_names *names, uint64_t hash, uint32_t number) {
    struct mmi_names_table *table = atomic_load(&names->table);
    uint64_t word = word_of(hash, number);
    for (size_t i = place_of(table, word);; i = (i + 1) & table->mask) {
        uint64_t found = atomic_load_explicit(&table->words[i], memory_order_relaxed);
        if (found == word) {
            atomic_store_explicit(&table->words[i], REMOVED, memory_order_release);
            names->live--;
            return;
        }
        if (found == 0) {
            return;
        }
    }
}
