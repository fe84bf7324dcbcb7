/* SPDX-License-Identifier: Apache-2.0 */
#include <catalog/names.h>

#define FIRST_CAPACITY 64u
#define REMOVED UINT64_C(1)

struct mmi_names_table {
    struct mmi_retired retired;
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

static size_t table_bytes(size_t capacity) {
    return sizeof(struct mmi_names_table) + capacity * sizeof(uint64_t);
}

static struct mmi_names_table *table_new(const mm_allocator *alloc, size_t capacity) {
    struct mmi_names_table *table = mmi_alloc(alloc, 1, table_bytes(capacity));
    if (table) {
        table->mask = capacity - 1;
    }
    return table;
}

bool mmi_names_init(struct mmi_names *names, struct mmi_guard *guard) {
    *names = (struct mmi_names){.guard = guard};
    struct mmi_names_table *table = table_new(guard->alloc, FIRST_CAPACITY);
    atomic_store(&names->table, table);
    return table != NULL;
}

void mmi_names_fini(struct mmi_names *names) {
    struct mmi_names_table *table = atomic_load(&names->table);
    if (table) {
        mmi_free(names->guard->alloc, table, table_bytes(table->mask + 1));
        atomic_store(&names->table, NULL);
    }
}

uint32_t mmi_names_find(const struct mmi_names *names, uint64_t hash, mmi_names_match match,
                        void *ctx) {
    struct mmi_names_table *table = atomic_load_explicit(&names->table, memory_order_seq_cst);
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

static void put(struct mmi_names_table *table, uint64_t word) {
    size_t i = place_of(table, word);
    while (atomic_load_explicit(&table->words[i], memory_order_relaxed) != 0) {
        i = (i + 1) & table->mask;
    }
    atomic_store_explicit(&table->words[i], word, memory_order_release);
}

bool mmi_names_reserve(struct mmi_names *names) {
    struct mmi_names_table *table = atomic_load(&names->table);
    if (2 * (names->used + 1) <= table->mask + 1) {
        return true;
    }
    size_t capacity = FIRST_CAPACITY;
    while (capacity < 4 * (names->live + 1)) {
        capacity *= 2;
    }
    struct mmi_names_table *larger = table_new(names->guard->alloc, capacity);
    if (!larger) {
        return false;
    }
    for (size_t i = 0; i <= table->mask; i++) {
        uint64_t word = atomic_load_explicit(&table->words[i], memory_order_relaxed);
        if (word > REMOVED) {
            put(larger, word);
        }
    }
    names->used = names->live;
    atomic_store_explicit(&names->table, larger, memory_order_seq_cst);
    mmi_guard_retire(names->guard, &table->retired, table, table_bytes(table->mask + 1));
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
