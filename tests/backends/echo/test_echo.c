/* SPDX-License-Identifier: Apache-2.0 */

/* The scripted backend does what its script says. That it keeps the contract is the conformance
 * suite's business. */

#include <backends/echo/echo.h>
#include <base/status.h>
#include <conformance/host.h>

#include <stdio.h>
#include <string.h>

/* ---- A life by script */

static struct sample sample = {.backend = "echo", .name = "scripted"};

struct stay {
    struct world world;
    struct life life;
    struct subject subject;
    mm_error err;
};

static mm_status begin(struct stay *stay, const mm_backend *table, const char *script,
                       enum stage to) {
    world_init(&stay->world);
    stay->subject = (struct subject){.table = table,
                                     .sample = &sample,
                                     .kind = MM_DEVICE_HOST,
                                     .bytes = (const uint8_t *)script,
                                     .byte_count = strlen(script)};
    life_init(&stay->life, &stay->world, &stay->subject);
    return life_lead(&stay->life, to, &stay->err);
}

static void end(struct stay *stay) {
    life_fini(&stay->life);
    world_fini(&stay->world);
}

/* What z says: {checksum, seed}. */
static void infer(struct stay *stay, int64_t z[2]) {
    struct run run;
    run_infer(&run, &stay->life, 0);
    if (run.status != MM_OK) {
        fail_msg("%s: %s", mm_status_name(run.status), run.err.text);
    }
    memcpy(z, run.outputs[stay->life.description.output_count - 1].data, 2 * sizeof(z[0]));
    run_fini(&run);
}

/* ---- Answers and weights */

static void test_checksum(void **state) {
    (void)state;
    const unsigned sizes[] = {0, 1, 7, 8, 9, 247, 248, 249, 4096, 70001};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char script[64];
        snprintf(script, sizeof(script), "echo1\nweights_bytes %u\nseed %u\n", sizes[i], i);
        struct stay stay;
        assert_int_equal(begin(&stay, &mmi_backend_echo, script, STAGE_INSTANCE), MM_OK);
        int64_t z[2];
        infer(&stay, z);
        assert_int_equal(z[0], mmi_echo_checksum(i, sizes[i]));
        assert_int_equal(z[1], i);
        assert_true(sizes[i] == 0 || z[0] != mmi_echo_checksum(i + 1, sizes[i]));
        end(&stay);
    }
}

static void test_wrong_weights(void **state) {
    (void)state;
    struct stay stay;
    assert_int_equal(
        begin(&stay, &mmi_backend_echo, "echo1\nweights_bytes 5000\ngroups 2\n", STAGE_SIGNATURE),
        MM_OK);
    stay.life.artifact.weights[4321] ^= 1;
    assert_int_equal(life_lead(&stay.life, STAGE_INSTANCE, &stay.err), MM_CORRUPT);
    assert_non_null(strstr(stay.err.text, "offset 4320"));
    end(&stay);
    /* Unchecked, they show in the answer. */
    assert_int_equal(
        begin(&stay, &mmi_backend_echo, "echo1\nweights_bytes 5000\ncheck 0\n", STAGE_SIGNATURE),
        MM_OK);
    memset(stay.life.artifact.weights, 0, 5000);
    assert_int_equal(life_lead(&stay.life, STAGE_INSTANCE, &stay.err), MM_OK);
    int64_t z[2];
    infer(&stay, z);
    assert_int_not_equal(z[0], mmi_echo_checksum(0, 5000));
    end(&stay);
}

static void test_repeat(void **state) {
    (void)state;
    struct stay stay;
    assert_int_equal(begin(&stay, &mmi_backend_echo, "echo1\nio repeat\n", STAGE_INSTANCE), MM_OK);
    mm_value inputs[2];
    memcpy(inputs, stay.life.inputs, sizeof(inputs));
    int64_t times = 3;
    inputs[1].data = &times;
    stay.life.inputs = inputs;
    assert_int_equal(stay.life.table->size(stay.life.model, stay.life.subject.kind,
                                           stay.life.signature, inputs, &stay.life.size, &stay.err),
                     MM_OK);
    assert_int_equal(stay.life.size.outputs[0].shape[0], 3 * inputs[0].shape[0]);
    struct run run;
    run_infer(&run, &stay.life, 0);
    assert_int_equal(run.status, MM_OK);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal((char *)run.outputs[0].data + (uint64_t)i * inputs[0].bytes,
                            inputs[0].data, inputs[0].bytes);
    }
    run_fini(&run);
    times = -1;
    assert_int_equal(stay.life.table->size(stay.life.model, stay.life.subject.kind,
                                           stay.life.signature, inputs, &stay.life.size, &stay.err),
                     MM_INVALID_ARGUMENT);
    times = INT64_MAX;
    assert_int_equal(stay.life.table->size(stay.life.model, stay.life.subject.kind,
                                           stay.life.signature, inputs, &stay.life.size, &stay.err),
                     MM_INVALID_ARGUMENT);
    end(&stay);
}

/* While its time passes a run asks whether to go on; without it, it does not. */
static void test_stop(void **state) {
    (void)state;
    struct stay stay;
    struct run run;
    assert_int_equal(begin(&stay, &mmi_backend_echo, "echo1\ninfer_ns 1000s\n", STAGE_INSTANCE),
                     MM_OK);
    stay.life.trouble.stopped_at = 3;
    run_infer(&run, &stay.life, 0);
    assert_int_equal(run.status, MM_CANCELLED);
    assert_int_equal(stay.life.stop_calls, 3);
    run_fini(&run);
    end(&stay);
    assert_int_equal(begin(&stay, &mmi_backend_echo, "echo1\n", STAGE_INSTANCE), MM_OK);
    int64_t z[2];
    infer(&stay, z);
    assert_int_equal(stay.life.stop_calls, 0);
    end(&stay);
}

/* ---- Failures and memory by script */

static void test_fail_counted(void **state) {
    (void)state;
    struct stay stay;
    assert_int_equal(
        begin(&stay, &mmi_backend_echo, "echo1\nfail_attach 2 MM_IO\n", STAGE_INSTANCE), MM_IO);
    assert_non_null(strstr(stay.err.text, "attach"));
    for (int calls = 1; calls < 3; calls++) {
        stay.life.table->detach(stay.life.instance);
        stay.life.reached = STAGE_SIGNATURE;
        assert_int_equal(life_lead(&stay.life, STAGE_INSTANCE, &stay.err),
                         calls < 2 ? MM_IO : MM_OK);
    }
    end(&stay);
}

static void test_fail_always(void **state) {
    (void)state;
    static const struct {
        const char *script;
        enum stage stage;
        mm_status status;
    } cases[] = {
        {"echo1\nfail_prepare -1 MM_NO_SPACE\n", STAGE_PREPARED, MM_NO_SPACE},
        {"echo1\nfail_open -1 MM_UNSUPPORTED\n", STAGE_MODEL, MM_UNSUPPORTED},
        {"echo1\nfail_attach -1 MM_DEVICE_LOST\n", STAGE_INSTANCE, MM_DEVICE_LOST},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct stay stay;
        assert_int_equal(begin(&stay, &mmi_backend_echo, cases[i].script, STAGE_INSTANCE),
                         cases[i].status);
        assert_int_equal(stay.life.reached, cases[i].stage);
        end(&stay);
    }
    struct stay stay;
    assert_int_equal(
        begin(&stay, &mmi_backend_echo, "echo1\nfail_infer 1 MM_BACKEND_FAILED\n", STAGE_INSTANCE),
        MM_OK);
    struct run run;
    run_infer(&run, &stay.life, 0);
    assert_int_equal(run.status, MM_BACKEND_FAILED);
    run_fini(&run);
    int64_t z[2];
    infer(&stay, z);
    end(&stay);
}

static void test_leak(void **state) {
    (void)state;
    struct stay stay;
    assert_int_equal(
        begin(&stay, &mmi_backend_echo, "echo1\nown_bytes 3k\nleak_bytes 1k\n", STAGE_SIGNATURE),
        MM_OK);
    uint64_t before = world_live_bytes(&stay.world);
    for (uint64_t i = 1; i <= 3; i++) {
        stay.life.reached = STAGE_SIGNATURE;
        assert_int_equal(life_lead(&stay.life, STAGE_INSTANCE, &stay.err), MM_OK);
        assert_in_range(world_live_bytes(&stay.world), before + i * 1024 + 3072,
                        before + i * 1200 + 3200);
        stay.life.table->detach(stay.life.instance);
        stay.life.instance = NULL;
        assert_in_range(world_live_bytes(&stay.world), before + i * 1024, before + i * 1200);
    }
    end(&stay); /* then all of it comes back */
}

static void test_own_memory(void **state) {
    (void)state;
    struct stay stay;
    assert_int_equal(begin(&stay, &mmi_backend_echo_own, "echoo\nown_bytes 1m\nleak_bytes 1k\n",
                           STAGE_SIGNATURE),
                     MM_OK);
    uint64_t before = world_live_bytes(&stay.world);
    assert_int_equal(life_lead(&stay.life, STAGE_INSTANCE, &stay.err), MM_OK);
    assert_int_equal(world_live_bytes(&stay.world), before); /* behind the allocator's back */
    uint64_t own_bytes = stay.life.table->own_bytes(stay.life.instance);
    assert_in_range(own_bytes, (1 << 20) + 1024, (1 << 20) + 1100);
    assert_int_equal(stay.life.description.own_bytes, (1 << 20) + 1024);
    end(&stay);
}

/* ---- The script */

static void test_script_errors(void **state) {
    (void)state;
    static const struct {
        const char *script, *words;
    } cases[] = {
        {"", "0 bytes"},
        {"echo", "4 bytes"},
        {"echon\n", "offset 0"},
        {"echo1\nweights_bytes 8\ngroups x\n", "line 3"},
        {"echo1\nweights_bytes 8", "line 2: cut off"},
        {"echo1\nweights_bytes\n", "line 2"},
        {"echo1\nweights_bytes \n", "line 2"},
        {"echo1\nweights_bytes 1,2\n", "number"},
        {"echo1\nweights_bytes 99999999999g\n", "number"},
        {"echo1\nno_such_key 1\n", "no such key"},
        {"echo1\nio nothing\n", "no such form"},
        {"echo1\noutputs maybe\n", "exact"},
        {"echo1\ndtype f33\n", "element type"},
        {"echo1\ndtype string\n", "element type"},
        {"echo1\nfail_open 1\n", "status"},
        {"echo1\nfail_open x MM_IO\n", "status"},
        {"echo1\nfail_open 1 MM_WHAT\n", "status"},
        {"echo1\nfail_open 1 MM_OK\n", "status"},
        {"echo1\ngroups 0\n", "0 groups"},
        {"echo1\nweights_bytes 15\ngroups 2\n", "2 groups in 15 bytes"},
        {"echo1\n0123456789012345678901234567890123456789012345678901234567890123 1\n", "63"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct stay stay;
        assert_int_equal(begin(&stay, &mmi_backend_echo, cases[i].script, STAGE_INSTANCE),
                         MM_INVALID_MODEL);
        assert_int_equal(stay.life.reached, STAGE_PREPARED);
        if (!strstr(stay.err.text, cases[i].words)) {
            fail_msg("%s expected in: %s", cases[i].words, stay.err.text);
        }
        end(&stay);
    }
}

/* The same meaning, the same artifact. */
static void test_canonical(void **state) {
    (void)state;
    struct stay a, b, c;
    assert_int_equal(begin(&a, &mmi_backend_echo,
                           "echo1\nseed 3\nweights_bytes 4k\nfail_open 0 MM_IO\nversion v\n",
                           STAGE_INSTANCE),
                     MM_OK);
    assert_int_equal(begin(&b, &mmi_backend_echo,
                           "echo1\nversion v\nio tensor\nweights_bytes 4096\nseed 3\n",
                           STAGE_INSTANCE),
                     MM_OK);
    assert_int_equal(begin(&c, &mmi_backend_echo, "echo1\nversion w\nweights_bytes 4096\nseed 3\n",
                           STAGE_INSTANCE),
                     MM_OK);
    const struct artifact *x = &a.life.artifact, *y = &b.life.artifact, *z = &c.life.artifact;
    assert_int_equal(x->description_bytes, y->description_bytes);
    assert_memory_equal(x->description, y->description, x->description_bytes);
    assert_int_equal(x->description_bytes, z->description_bytes);
    assert_memory_not_equal(x->description, z->description, x->description_bytes);
    end(&a);
    end(&b);
    end(&c);
}

/* Open on a description that is not its own: a status. */
static void test_foreign_description(void **state) {
    (void)state;
    struct stay stay;
    assert_int_equal(begin(&stay, &mmi_backend_echo, "echo1\nweights_bytes 8\n", STAGE_PREPARED),
                     MM_OK);
    stay.life.artifact.weights_bytes = 7;
    assert_int_equal(life_lead(&stay.life, STAGE_MODEL, &stay.err), MM_CORRUPT);
    end(&stay);
    assert_int_equal(begin(&stay, &mmi_backend_echo, "echo1\n", STAGE_PREPARED), MM_OK);
    memset(stay.life.artifact.description, 'x', stay.life.artifact.description_bytes);
    assert_int_equal(life_lead(&stay.life, STAGE_MODEL, &stay.err), MM_INVALID_MODEL);
    end(&stay);
}

/* ---- Hooks */

static struct hooked {
    struct mmi_echo_hooks hooks;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char slots[32]; /* a letter for each call */
    enum mmi_echo_slot gate;
    bool closed, waiting;
    mm_status answer; /* of infer */
} hooked;

static mm_status on(void *user, enum mmi_echo_slot slot, const char *version, mm_error *err) {
    struct hooked *h = user;
    assert_string_equal(version, "blue");
    pthread_mutex_lock(&h->mutex);
    h->slots[strlen(h->slots)] = "posadi"[slot];
    while (h->closed && slot == h->gate) {
        h->waiting = true;
        pthread_cond_broadcast(&h->changed);
        pthread_cond_wait(&h->changed, &h->mutex);
    }
    mm_status answer = slot == MMI_ECHO_INFER ? h->answer : MM_OK;
    pthread_mutex_unlock(&h->mutex);
    return answer == MM_OK ? MM_OK : mmi_fail(err, answer, "not today");
}

static mm_status hooked_init(void *state, const mm_services *services, mm_error *err) {
    return mmi_echo_init(state, services, &hooked.hooks, err);
}

static mm_backend hooked_table(void) {
    hooked = (struct hooked){.hooks = {&hooked, on},
                             .mutex = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER};
    mm_backend table = mmi_backend_echo;
    table.name = "hooked";
    table.init = hooked_init;
    return table;
}

static void test_hooks(void **state) {
    (void)state;
    const mm_backend table = hooked_table();
    struct stay stay;
    assert_int_equal(begin(&stay, &table, "echo1\nversion blue\n", STAGE_INSTANCE), MM_OK);
    hooked.answer = MM_DEVICE_LOST;
    struct run run;
    run_infer(&run, &stay.life, 0);
    assert_int_equal(run.status, MM_DEVICE_LOST);
    assert_string_equal(run.err.text, "echo: not today");
    run_fini(&run);
    end(&stay);
    assert_string_equal(hooked.slots, "posaid");
}

static void *infer_in_thread(void *run_) {
    struct run *run = run_;
    run_infer(run, run->life, 0);
    return NULL;
}

/* While one inference is held by its hook, another on a serial model is told so. */
static void test_serial(void **state) {
    (void)state;
    const mm_backend table = hooked_table();
    struct stay stay;
    assert_int_equal(begin(&stay, &table, "echo1\nversion blue\nserial 1\n", STAGE_INSTANCE),
                     MM_OK);
    assert_int_equal(stay.life.description.flags, MM_DESCRIPTION_SERIAL);
    hooked.gate = MMI_ECHO_INFER;
    hooked.closed = true;
    struct run held = {.life = &stay.life}, other;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, infer_in_thread, &held), 0);
    pthread_mutex_lock(&hooked.mutex);
    while (!hooked.waiting) {
        pthread_cond_wait(&hooked.changed, &hooked.mutex);
    }
    pthread_mutex_unlock(&hooked.mutex);
    run_infer(&other, &stay.life, 0);
    assert_int_equal(other.status, MM_BACKEND_FAILED);
    run_fini(&other);
    pthread_mutex_lock(&hooked.mutex);
    hooked.closed = false;
    pthread_cond_broadcast(&hooked.changed);
    pthread_mutex_unlock(&hooked.mutex);
    pthread_join(thread, NULL);
    assert_int_equal(held.status, MM_OK);
    run_fini(&held);
    end(&stay);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),    cmocka_unit_test(test_wrong_weights),
        cmocka_unit_test(test_repeat),      cmocka_unit_test(test_fail_counted),
        cmocka_unit_test(test_fail_always), cmocka_unit_test(test_leak),
        cmocka_unit_test(test_own_memory),  cmocka_unit_test(test_script_errors),
        cmocka_unit_test(test_canonical),   cmocka_unit_test(test_foreign_description),
        cmocka_unit_test(test_stop),        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_serial),
    };
    return cmocka_run_group_tests_name("echo", tests, NULL, NULL);
}
