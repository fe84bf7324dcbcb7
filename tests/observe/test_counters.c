/* SPDX-License-Identifier: Apache-2.0 */

/* Counters and histograms: sums over threads, bucket edges, quantiles against a sorted list. */

#include <observe/counters.h>
#include <observe/histogram.h>

#include <support/world.h>

#include <stdlib.h>

#define THREADS 4
#define ADDS 20000

static uint64_t seed;

/* ---- Counters -------------------------------------------------------------------------------- */

static struct mmi_counters counters;
static struct mmi_histogram shared_histogram;

static void *count_much(void *ctx) {
    (void)ctx;
    for (unsigned i = 0; i < ADDS; i++) {
        mmi_count(&counters, MMI_COUNT_MISSES, 2);
        mmi_count(&counters, MMI_COUNT_LOADED_BYTES, UINT64_C(1) << 32);
        mmi_count_eviction(&counters, (enum mmi_reason)(i % MMI_REASON_COUNT));
        mmi_histogram_add(&shared_histogram, i);
    }
    return NULL;
}

static void test_threads_add_up(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, NULL), 0);
    }
    struct mmi_counts counts, before = {0};
    for (int i = 0; i < 100; i++) { /* while they count: nothing goes back, the parts add up */
        mmi_counters_read(&counters, (uint64_t)i, &counts);
        assert_int_equal(counts.hits, i);
        assert_true(counts.requests >= before.requests);
        assert_int_equal(counts.requests, counts.hits + counts.counts[MMI_COUNT_MISSES]);
        before = counts;
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    mmi_counters_read(&counters, THREADS * ADDS, &counts);
    assert_int_equal(counts.requests, 3 * THREADS * ADDS);
    assert_int_equal(counts.counts[MMI_COUNT_LOADED_BYTES], (UINT64_C(1) << 32) * (THREADS * ADDS));
    assert_int_equal(counts.counts[MMI_COUNT_LOADS], 0);
    assert_int_equal(counts.evictions_all, THREADS * ADDS);
    unsigned each = (ADDS - MMI_REASON_BUDGET + MMI_REASON_COUNT - 1) / MMI_REASON_COUNT;
    assert_int_equal(counts.evictions[MMI_REASON_BUDGET], THREADS * each);

    struct mmi_histogram_counts histogram;
    mmi_histogram_read(&shared_histogram, &histogram);
    assert_int_equal(histogram.count, THREADS * ADDS);
    assert_int_equal(histogram.sum_ns, UINT64_C(1) * THREADS * ADDS * (ADDS - 1) / 2);
}

/* ---- Histogram ------------------------------------------------------------------------------- */

static void test_bucket_edges(void **state) {
    (void)state;
    static const struct {
        uint64_t ns;
        unsigned bucket;
    } cases[] = {{0, 0},
                 {1, 0},
                 {2, 1},
                 {3, 2},
                 {4, 2},
                 {5, 3},
                 {1024, 10},
                 {1025, 11},
                 {UINT64_C(1) << 63, 63},
                 {(UINT64_C(1) << 63) + 1, 64},
                 {UINT64_MAX, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mmi_histogram histogram = {0};
        mmi_histogram_add(&histogram, cases[i].ns);
        struct mmi_histogram_counts counts;
        mmi_histogram_read(&histogram, &counts);
        assert_int_equal(counts.count, 1);
        assert_int_equal(counts.sum_ns, cases[i].ns);
        assert_int_equal(counts.buckets[cases[i].bucket], 1);
    }
}

static void test_quantile_by_hand(void **state) {
    (void)state;
    struct mmi_histogram_counts counts = {0};
    assert_int_equal(mmi_histogram_quantile(&counts, 0.5), 0);
    counts.buckets[10] = 4; /* (512, 1024] */
    counts.count = 4;
    assert_int_equal(mmi_histogram_quantile(&counts, 0), 512);
    assert_int_equal(mmi_histogram_quantile(&counts, 0.25), 640);
    assert_int_equal(mmi_histogram_quantile(&counts, 0.5), 768);
    assert_int_equal(mmi_histogram_quantile(&counts, 1), 1024);
    counts.buckets[20] = 4; /* (2^19, 2^20] */
    counts.count = 8;
    assert_int_equal(mmi_histogram_quantile(&counts, 0.5), 1024);
    assert_int_equal(mmi_histogram_quantile(&counts, 0.75), 3 << 18);
    assert_int_equal(mmi_histogram_quantile(&counts, 2), 1 << 20); /* a careless q */
    counts = (struct mmi_histogram_counts){.count = 1};
    counts.buckets[64] = 1;
    assert_int_equal(mmi_histogram_quantile(&counts, 1), UINT64_MAX);
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The answer lies in the bucket of the true value, at most a factor of 2 away, and rises with q. */
static void test_quantiles_random(void **state) {
    (void)state;
    uint64_t random = seed;
    for (int round = 0; round < 300; round++) {
        enum { MAX = 200 };
        uint64_t values[MAX], count = 1 + test_random_below(&random, MAX);
        struct mmi_histogram histogram = {0};
        for (size_t i = 0; i < count; i++) {
            values[i] = (test_random(&random) >> test_random_below(&random, 60)) >> 2;
            mmi_histogram_add(&histogram, values[i]);
        }
        qsort(values, (size_t)count, sizeof values[0], compare_u64);
        struct mmi_histogram_counts counts;
        mmi_histogram_read(&histogram, &counts);
        uint64_t before = 0;
        for (uint64_t rank = 1; rank <= count; rank++) {
            /* Half a rank below, so that rounding cannot reach into a neighbour. */
            double q = ((double)rank - 0.5) / (double)count;
            uint64_t got = mmi_histogram_quantile(&counts, q), truth = values[rank - 1];
            assert_true(got >= before);
            assert_true(truth <= 1 ? got <= 1 : got >= truth / 2 && got / 2 <= truth);
            before = got;
        }
    }
}

int main(int argc, char **argv) {
    seed = test_seed(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_add_up),
        cmocka_unit_test(test_bucket_edges),
        cmocka_unit_test(test_quantile_by_hand),
        cmocka_unit_test(test_quantiles_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
