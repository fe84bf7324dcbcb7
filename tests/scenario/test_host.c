/* SPDX-License-Identifier: Apache-2.0 */
/* What the host lends and gets back: allocator and threads; two meshes in one process. */
#include "scene.h"

#include <support/scratch.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

/* ---- Allocator ------------------------------------------------------------------------------- */

/* Until no thread of the mesh has anything left to free: who answers may go before who loaded. */
static void wait_quiet(struct fixture *f) {
    uint32_t jobs;
    do {
        sched_yield();
        mmi_lock(&f->mesh->res.lock);
        jobs = f->mesh->res.jobs;
        mmi_unlock(&f->mesh->res.lock);
    } while (jobs > 0);
}

#define THREADS 8u      /* of a mesh, at most */
#define START_BYTES 64u /* of each, at most */

/* "gets the size on free; covers metadata and outputs": every byte is either told as metadata, or
 * the mesh itself, or the caller's to free. (The allocator of the fixture asserts the sizes.) */
static void test_allocator_covers_metadata_and_outputs(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL);
    uint64_t apart = world_live_bytes(&f.world) - fixture_stats(&f).metadata_bytes;
    mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nown_bytes 3m\nseed 1\n");
    uint64_t before = fixture_stats(&f).metadata_bytes;
    assert_int_equal(scene_seed(&f, model), 1);
    wait_quiet(&f);
    uint64_t after = fixture_stats(&f).metadata_bytes;
    assert_true(after >= before + 3 * MIB); /* the backend's own come through it, too */
    /* A thread that had not begun yet gave back what it was started with. */
    uint64_t now_apart = world_live_bytes(&f.world) - after;
    assert_true(now_apart <= apart && apart - now_apart <= THREADS * START_BYTES);
    struct ask ask;
    ask_init(&ask, &f, model);
    assert_int_equal(ask_infer(&ask), MM_OK);
    assert_true(world_live_bytes(&f.world) - fixture_stats(&f).metadata_bytes >= now_apart + 32);
    assert_int_equal(mm_evict(f.mesh, model, MM_NO_WAIT, &f.err), MM_OK);
    assert_true(fixture_stats(&f).metadata_bytes < 3 * MIB + before);
    assert_int_equal(mm_mesh_free(&f.mesh), MM_OK);
    assert_int_equal(ask_seed(&ask), 1); /* "valid after free of the mesh" */
    assert_true(world_live_bytes(&f.world) > 0);
    ask_done(&ask);
    assert_int_equal(world_live_bytes(&f.world), 0);
    fixture_close(&f);
}

struct making {
    struct world world;
    mm_mesh_options options;
    mm_error err;
};

static uint64_t fake_now(void *user) {
    struct making *making = user;
    return mmi_now(&making->world.env.clock);
}

static int fault(void *user, const char *what) {
    struct making *making = user;
    return mmi_fault(&making->world.env, what);
}

static mm_status make(struct making *making, mm_mesh **mesh) {
    making->options.allocator = &making->world.env.alloc;
    struct mmi_world world = {.now = fake_now, .fault = fault, .user = making};
    return mmi_mesh_create(&making->options, &world, mesh, &making->err);
}

/* A mesh of everything: two devices, names, affinity, a cache. */
static void make_ready(struct making *making, const char *cache, const mm_device_options *devices,
                       const int *cpus) {
    *making = (struct making){.options = MM_MESH_OPTIONS_INIT};
    world_init(&making->world);
    making->options.devices = devices;
    making->options.device_count = 2;
    making->options.cpus = cpus;
    making->options.cpu_count = 1;
    making->options.cache_dir = cache;
    making->options.infer_threads = 2;
    making->options.event_capacity = 16;
}

/* The Nth failure of an allocation or a thread: create says so and leaves nothing behind. */
static void test_create_fails_cleanly(void **state) {
    (void)state;
    struct scratch scratch;
    char cache[SCRATCH_ROOM];
    scratch_init(&scratch);
    scratch_folder(&scratch, "cache");
    scratch_path(&scratch, "cache", cache);
    mm_device_options devices[2] = {MM_DEVICE_OPTIONS_INIT, MM_DEVICE_OPTIONS_INIT};
    devices[0].name = "host";
    devices[1].name = "sim/pod1";
    devices[0].budget_bytes = devices[1].budget_bytes = 16 * MIB;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    int cpu = 0;
    while (!CPU_ISSET((unsigned)cpu, &allowed)) {
        cpu++;
    }
    for (int threads = 0; threads < 2; threads++) {
        bool failed = true;
        for (uint64_t nth = 1; failed; nth++) {
            struct making making;
            make_ready(&making, nth % 2 ? cache : NULL, devices, &cpu);
            size_t descriptors = open_descriptors();
            if (threads) {
                world_fault(&making.world, "thread", nth, EAGAIN);
            } else {
                world_fail_alloc(&making.world, nth);
            }
            mm_mesh *mesh = NULL;
            mm_status status = make(&making, &mesh);
            failed = world_failed(&making.world);
            if (status != MM_OK) {
                assert_true(failed);
                assert_int_equal(status, threads ? MM_NO_THREADS : MM_NO_MEMORY);
                assert_int_equal(making.err.status, status);
                assert_null(mesh);
            } else {
                assert_int_equal(mm_mesh_free(&mesh), MM_OK);
            }
            assert_int_equal(open_descriptors(), descriptors);
            world_fini(&making.world); /* asserts that nothing is left */
            assert_true(nth < 1000);
        }
    }
    scratch_fini(&scratch);
}

/* ---- Threads of ours ------------------------------------------------------------------------- */

#define PREFIX "scene-"

struct seen {
    unsigned count;
    bool load, infer, prepare;
    char blocked[64]; /* what all of them say, else "differ" */
    char cpus[64];
};

static void note(char *all, size_t room, const char *one) {
    if (all[0] == '\0') {
        snprintf(all, room, "%s", one);
    } else if (strcmp(all, one) != 0) {
        snprintf(all, room, "differ");
    }
}

/* The value of a line of /proc/<pid>/status; false = it is gone. */
static bool read_status(const char *task, const char *key, char *value, size_t room) {
    char path[320], line[256];
    snprintf(path, sizeof(path), "/proc/self/task/%s/status", task);
    FILE *status = fopen(path, "r");
    bool found = false;
    while (status && !found && fgets(line, sizeof(line), status)) {
        size_t length = strlen(key);
        found = strncmp(line, key, length) == 0 && line[length] == ':';
        if (found) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(value, room, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
        }
    }
    if (status) {
        fclose(status);
    }
    return found;
}

static struct seen look_at_threads(void) {
    struct seen seen = {0};
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char name[64], blocked[64], cpus[64];
        if (task->d_name[0] == '.' || !read_status(task->d_name, "Name", name, sizeof(name)) ||
            strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
            !read_status(task->d_name, "SigBlk", blocked, sizeof(blocked)) ||
            !read_status(task->d_name, "Cpus_allowed_list", cpus, sizeof(cpus))) {
            continue;
        }
        seen.count++;
        seen.load |= strcmp(name, PREFIX "load-0") == 0;
        seen.infer |= strcmp(name, PREFIX "infer-0") == 0;
        seen.prepare |= strcmp(name, PREFIX "prep-0") == 0;
        note(seen.blocked, sizeof(seen.blocked), blocked);
        note(seen.cpus, sizeof(seen.cpus), cpus);
    }
    closedir(tasks);
    return seen;
}

/* Every signal that can be blocked, as the kernel writes it. */
static void all_signals(char *text, size_t room) {
    sigset_t all, before;
    char self[32];
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    snprintf(self, sizeof(self), "%d", (int)gettid());
    assert_true(read_status(self, "SigBlk", text, room));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool all_named(void *ctx) {
    struct seen *seen = ctx;
    *seen = look_at_threads(); /* a thread names itself when it begins, ... */
    bool settled =
        strcmp(seen->blocked, "differ") != 0; /* ... one that starts another blocks more */
    return seen->load && seen->infer && seen->prepare && seen->count >= 5 && settled;
}

static bool none_left(void *ctx) {
    (void)ctx;
    return look_at_threads().count == 0; /* joined, but maybe not yet out of the list */
}

/* "threads of ours: block all signals", bear the host's prefix, run where the host says; none is
 * left after stop. */
static void test_threads_are_named_deaf_and_placed(void **state) {
    (void)state;
    char every[64], cpu_text[16];
    all_signals(every, sizeof(every));
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    int cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET((unsigned)cpu, &allowed)) {
        cpu--;
    }
    snprintf(cpu_text, sizeof(cpu_text), "%d", cpu);
    for (int placed = 0; placed < 2; placed++) {
        struct fixture f;
        mm_mesh_options options = MM_MESH_OPTIONS_INIT;
        options.thread_prefix = "scene";
        options.infer_threads = 2;
        options.cpus = placed ? &cpu : NULL;
        options.cpu_count = placed ? 1 : 0;
        fixture_open(&f, &options);
        mm_model model = fixture_add(&f, "m", "weights_bytes 1m\nseed 1\n");
        struct ask ask;
        ask_init(&ask, &f, model);
        assert_int_equal(ask_async(&ask), MM_OK); /* the thread of callbacks is there as well */
        ask_wait_called(&ask);
        struct seen seen;
        wait_until(all_named, &seen);
        assert_true(seen.count >= 5); /* infer, load, prep, timer, callback; more when needed */
        assert_string_equal(seen.blocked, every);
        char self[32], inherited[64];
        snprintf(self, sizeof(self), "%d", (int)gettid());
        assert_true(read_status(self, "Cpus_allowed_list", inherited, sizeof(inherited)));
        assert_string_equal(seen.cpus, placed ? cpu_text : inherited);
        assert_int_equal(mm_mesh_stop(f.mesh, 0), MM_OK);
        wait_until(none_left, NULL);
        ask_done(&ask);
        fixture_close(&f);
    }
}

/* ---- Two meshes ------------------------------------------------------------------------------ */

/* A binding is of one mesh, however alike the other one's model is. */
static void expect_bindings_apart(struct fixture *a, mm_model in_a, struct fixture *b,
                                  mm_model in_b) {
    assert_int_not_equal(in_a.id, in_b.id); /* a handle says which mesh it is of */
    mm_binding *binding;
    assert_int_equal(mm_bind(a->mesh, in_a, (const char *[]){"x"}, 1, NULL, 0, &binding, &a->err),
                     MM_OK);
    struct ask ask;
    ask_init(&ask, b, in_b);
    ask.request.binding = binding;
    assert_int_equal(ask_infer(&ask), MM_INVALID_ARGUMENT);
    assert_non_null(strstr(ask.err.text, "request.binding"));
    ask_done(&ask);
    ask_init(&ask, a, in_a);
    ask.request.binding = binding;
    assert_int_equal(ask_infer(&ask), MM_OK);
    ask_done(&ask);
    mm_binding_free(binding);
}

/* Two meshes in one process: names, room, time, failures and ends of one are nothing to the
 * other. */
static void test_two_meshes_are_independent(void **state) {
    (void)state;
    struct fixture a, b;
    fixture_open(&a, NULL);
    fixture_open(&b, NULL);
    mm_model in_a = fixture_add(&a, "m", "weights_bytes 9m\ncheck 0\nseed 1\n");
    mm_model in_b = fixture_add(&b, "m", "weights_bytes 9m\ncheck 0\nseed 2\n");
    assert_int_equal(scene_seed(&a, in_a), 1);
    assert_int_equal(scene_seed(&b, in_b), 2);
    mm_model other = fixture_add(&a, "other", "weights_bytes 9m\ncheck 0\nseed 3\n");
    fixture_advance(&a, 1000 * MS);
    assert_int_equal(scene_seed(&a, other), 3); /* in place of m, in a */
    assert_int_equal(fixture_info(&a, in_a).state, MM_STATE_COLD);
    assert_int_equal(fixture_info(&b, in_b).state, MM_STATE_READY);
    assert_int_equal(fixture_events(&b, "evict", NULL), 0);
    assert_int_equal(fixture_info(&b, in_b).idle_ns, 0); /* its clock stands still */
    mm_model found;
    assert_int_equal(mm_find(b.mesh, "other", &found), MM_NOT_FOUND);
    expect_bindings_apart(&a, in_a, &b, in_b);
    assert_int_equal(mm_mesh_close(a.mesh), MM_OK);
    assert_int_equal(fixture_infer(&a, in_a, -1), MM_CLOSED);
    assert_int_equal(scene_hit(&b, in_b), 2);
    assert_int_equal(mm_mesh_free(&a.mesh), MM_OK);
    assert_int_equal(scene_hit(&b, in_b), 2);
    fixture_close(&a);
    fixture_close(&b);
}

struct neighbour {
    struct fixture *other;
    mm_model model;
    mm_status infer, stop, free;
};

static mm_status use_the_other_mesh(void *user) {
    struct neighbour *neighbour = user;
    neighbour->infer = fixture_infer(neighbour->other, neighbour->model, 2);
    neighbour->stop = mm_mesh_stop(neighbour->other->mesh, 0);
    neighbour->free = mm_mesh_free(&neighbour->other->mesh);
    return MM_OK;
}

/* From inside an infer of one mesh another is an ordinary mesh, nested or not. */
static void test_inside_one_mesh_another_may_be_used(void **state) {
    (void)state;
    struct fixture a, b;
    fixture_open(&b, NULL);
    fixture_open(&a, NULL);
    mm_model in_a = fixture_add_gated(&a, "m", "weights_bytes 1m\nseed 1\n");
    struct neighbour neighbour = {.other = &b};
    neighbour.model = fixture_add(&b, "m", "weights_bytes 1m\nseed 2\n");
    a.gate.user = &neighbour;
    a.gate.inside = use_the_other_mesh;
    assert_int_equal(scene_seed(&a, in_a), 1);
    assert_int_equal(neighbour.infer, MM_OK);
    assert_int_equal(neighbour.stop, MM_OK);
    assert_int_equal(neighbour.free, MM_OK);
    fixture_close(&a);
    fixture_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocator_covers_metadata_and_outputs),
        cmocka_unit_test(test_create_fails_cleanly),
        cmocka_unit_test(test_threads_are_named_deaf_and_placed),
        cmocka_unit_test(test_two_meshes_are_independent),
        cmocka_unit_test(test_inside_one_mesh_another_may_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
