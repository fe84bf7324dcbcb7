/* SPDX-License-Identifier: Apache-2.0 */
/* The zoo: 100 real models in one process with memory for 20. */
#include "jobs.h"
#include "options.h"
#include "report.h"
#include "screen.h"
#include "watch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct demo {
    struct options options;
    struct things things;
    struct zoo zoo;
    struct samples samples[KINDS];
    struct room room;
    struct watch watch;
    uint32_t wrong; /* in the jobs */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static int fail(const mm_error *err) {
    screen_clear();
    fprintf(stderr, "zoo: %s\n", err->text);
    return 1;
}

/* ---- The mesh ------------------------------------------------------------------------------- */

static void say_room(const struct demo *demo) {
    const struct room *room = &demo->room;
    printf("prepared  %u models, %s of weights, in %s%s\n", demo->zoo.count,
           text_bytes(room->all_bytes).text, text_time((double)room->took_ns).text,
           room->prepared_now ? "; the next run finds them in the cache" : ", from the cache");
    printf("pods      %d, each with %s = %d/%d x %s (the weights of the median model)\n"
           "          + %s (the largest execution: %s)\n",
           PODS, text_bytes(room->pod_bytes).text, FIT, PODS, text_bytes(room->median_bytes).text,
           text_bytes(room->execution_bytes).text, room->execution_of);
}

static bool make_mesh(struct demo *demo, const char *cache_dir, mm_mesh **mesh, mm_error *err) {
    static const char *const names[PODS] = {"sim/pod0", "sim/pod1", "sim/pod2"};
    mm_device_options devices[PODS];
    for (uint32_t i = 0; i < PODS; i++) {
        devices[i] = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        devices[i].name = names[i];
        devices[i].budget_bytes = demo->room.pod_bytes;
    }
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    options.devices = devices;
    options.device_count = PODS;
    options.compute_threads = 1; /* the clients keep the processors busy */
    options.cache_dir = cache_dir;
    options.event_capacity = 1u << 16;
    return mm_mesh_create(&options, mesh, err) == MM_OK;
}

static bool register_all(struct demo *demo, mm_error *err) {
    uint64_t begun_ns = now_ns();
    if (!zoo_register(&demo->zoo, demo->zoo.mesh, true, err)) {
        return false;
    }
    printf(
        "register  %u models in %s: none is loaded yet but %s (class high, pinned, preloaded)\n\n",
        demo->zoo.count, text_time((double)(now_ns() - begun_ns)).text,
        demo->zoo.models[demo->zoo.first[KIND_VAD]].name);
    fflush(stdout);
    return true;
}

/* ---- The crowd ------------------------------------------------------------------------------ */

/* What the last live line knew; the next one shows what came since. */
struct live {
    uint64_t begun_ns, shown_ns, requests, hits;
};

static void show_live(const struct demo *demo, struct crowd *crowd, struct live *live) {
    mm_device_stats devices[PODS];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = PODS;
    mm_mesh_stats_get(demo->zoo.mesh, &stats);
    char pods[PODS * 48] = "";
    for (uint32_t i = 0; i < PODS && i < stats.device_count; i++) {
        size_t used = strlen(pods);
        snprintf(pods + used, sizeof(pods) - used, "  %.16s %.1f", devices[i].name,
                 (double)devices[i].weights_bytes / 1048576);
    }
    struct live now = {live->begun_ns, now_ns(), atomic_load(&crowd->answered),
                       atomic_load(&crowd->hits)};
    uint64_t requests = now.requests - live->requests;
    screen_line("%5.1f s %6.0f req/s %3.0f %% hits%s MiB  %" PRIu64 " failed",
                (double)(now.shown_ns - live->begun_ns) / 1e9,
                (double)requests * 1e9 / (double)(now.shown_ns - live->shown_ns),
                requests ? 100 * (double)(now.hits - live->hits) / (double)requests : 0, pods,
                (uint64_t)atomic_load(&crowd->failed));
    *live = now;
}

static double run_crowd(struct demo *demo, struct crowd *crowd) {
    const struct options *options = &demo->options;
    uint64_t begun_ns = now_ns();
    struct live live = {.begun_ns = begun_ns, .shown_ns = begun_ns};
    double seconds = 0;
    while (!crowd_done(crowd) && !interrupted &&
           (options->seconds == 0 || seconds < (double)options->seconds)) {
        struct timespec nap = {.tv_nsec = 20000000};
        nanosleep(&nap, NULL);
        watch_look(&demo->watch);
        if (screen_due(options->log)) {
            show_live(demo, crowd, &live);
        }
        seconds = (double)(now_ns() - begun_ns) / 1e9;
    }
    crowd_stop(crowd);
    watch_look(&demo->watch);
    screen_clear();
    return (double)(now_ns() - begun_ns) / 1e9;
}

static int entertain(struct demo *demo, mm_error *err) {
    const struct options *options = &demo->options;
    struct crowd crowd = {.zoo = &demo->zoo,
                          .things = &demo->things,
                          .samples = demo->samples,
                          .seed = options->seed,
                          .requests = options->requests};
    screen_begin();
    if (!crowd_start(&crowd, (uint32_t)options->clients, err)) {
        return fail(err);
    }
    printf("stream    %" PRIu64
           " clients ask all %u models, popular ones often (Zipf), seed %" PRIu64 "\n",
           options->clients, demo->zoo.count, options->seed);
    fflush(stdout);
    struct report report = {.crowd = &crowd, .room = &demo->room};
    report.seconds = run_crowd(demo, &crowd);
    report.most_resident = demo->watch.most_resident;
    report.failed = atomic_load(&crowd.failed) + demo->wrong;
    printf("\n");
    report_models(&crowd);
    report_totals(&report);
    crowd_free(&crowd);
    return report.failed ? 1 : 0;
}

/* ---- All of it ------------------------------------------------------------------------------ */

static int open_zoo(struct demo *demo, const char *cache_dir, mm_error *err) {
    mm_mesh *mesh;
    if (!make_mesh(demo, cache_dir, &mesh, err)) {
        return fail(err);
    }
    demo->zoo.mesh = mesh;
    demo->watch = (struct watch){.mesh = mesh, .print = demo->options.log};
    int code;
    if (register_all(demo, err)) {
        demo->wrong = jobs_run(&demo->zoo, &demo->things, demo->samples);
        watch_look(&demo->watch);
        code = entertain(demo, err);
    } else {
        code = fail(err);
    }
    mm_mesh_free(&mesh);
    return code;
}

static int run(struct demo *demo) {
    const struct options *options = &demo->options;
    char models[4096], cache_dir[4096];
    mm_error err;
    snprintf(models, sizeof(models), "%s/models", options->data);
    snprintf(cache_dir, sizeof(cache_dir), "%s/cache", options->data);
    const char *cache = options->cache_dir ? options->cache_dir : cache_dir;
    if (!things_read(options->data, &demo->things, &err) ||
        !zoo_read(options->models ? options->models : models, &demo->zoo, &err)) {
        fail(&err);
        fputs(
            "zoo: examples/run.sh makes what the demo needs; --data and --models say where it is\n",
            stderr);
        return 1;
    }
    if (!measure(&demo->zoo, &demo->things, cache, demo->samples, &demo->room, &err)) {
        return fail(&err);
    }
    say_room(demo);
    int code = open_zoo(demo, cache, &err);
    samples_free(demo->samples);
    return code;
}

int main(int argc, char **argv) {
    static struct demo demo;
    int code = options_read(argc, argv, &demo.options);
    if (code >= 0) {
        return code;
    }
    /* Ctrl-C ends the stream; a second one, the program */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    code = run(&demo);
    zoo_free(&demo.zoo);
    things_free(&demo.things);
    return code;
}
