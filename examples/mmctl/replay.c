/* SPDX-License-Identifier: Apache-2.0 */
/* Replay a trace of requests against a mesh: N closed-loop clients take the next line from one
 * cursor. */
#include "command.h"
#include "show.h"
#include "values.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 64
#define MAX_CLIENTS 256

struct replay_options {
    const char *trace, *models, *policy, *cache_dir;
    mm_device_options devices[MAX_DEVICES];
    char device_names[MAX_DEVICES][64];
    uint32_t device_count;
    uint64_t clients;
    struct input_options inputs; /* shapes: "NAME=..." of all models, "MODEL:NAME=..." of one */
    bool json;
};

struct entry {
    char name[MM_NAME_BYTES];
    mm_model model;
    mm_model_description *description;
    struct inputs inputs;
};

struct replay {
    mm_mesh *mesh;
    struct entry *entries;
    uint32_t *lines; /* entry of each request */
    uint64_t entry_count, line_count;
    double *ms; /* of each request; negative = failed */
    uint8_t *hits;
    _Atomic uint64_t cursor, failed, done;
    pthread_mutex_t first_failure;
    mm_error error;
    char error_name[MM_NAME_BYTES];
};

/* ---- Arguments ------------------------------------------------------------------------------ */

/* host:BYTES[,sim:BYTES...]; the second of a kind is named KIND/KIND1 and so on. */
static bool read_devices(struct replay_options *options, const char *text) {
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", text);
    char *rest = copy, *part;
    while ((part = strsep(&rest, ","))) {
        char *colon = strrchr(part, ':');
        if (!colon || options->device_count == MAX_DEVICES) {
            bad_argument(part, "KIND:BYTES is wanted");
            return false;
        }
        *colon = '\0';
        mm_device_options *device = &options->devices[options->device_count];
        *device = (mm_device_options)MM_DEVICE_OPTIONS_INIT;
        if (!read_bytes("--device", colon + 1, &device->budget_bytes)) {
            return false;
        }
        char *name = options->device_names[options->device_count];
        if (options->device_count == 0 || strchr(part, '/')) {
            snprintf(name, sizeof(options->device_names[0]), "%.60s", part);
        } else {
            snprintf(name, sizeof(options->device_names[0]), "%.20s/%.20s%u", part, part,
                     options->device_count);
        }
        device->name = name;
        options->device_count++;
    }
    return true;
}

static int read_options(struct arguments *arguments, struct replay_options *options) {
    const char *argument, *value;
    while ((argument = next_argument(arguments))) {
        if (take_flag(argument, "--json")) {
            options->json = true;
        } else if (take_option(arguments, argument, "--models", &options->models) ||
                   take_option(arguments, argument, "--policy", &options->policy) ||
                   take_option(arguments, argument, "--cache-dir", &options->cache_dir)) {
            continue;
        } else if (strncmp(argument, "--shape", 7) == 0 &&
                   take_input_option(arguments, argument, &options->inputs)) {
            continue;
        } else if (take_option(arguments, argument, "--device", &value)) {
            arguments->failed |= !read_devices(options, value);
        } else if (take_option(arguments, argument, "--clients", &value)) {
            arguments->failed |= !read_number("--clients", value, &options->clients);
        } else if (argument[0] == '-' || options->trace) {
            return bad_argument(argument, "unexpected");
        } else {
            options->trace = argument;
        }
    }
    if (arguments->failed) {
        return EXIT_USAGE;
    }
    if (!options->trace || !options->models) {
        return bad_argument("replay", "a trace and --models DIR are needed");
    }
    if (options->clients == 0 || options->clients > MAX_CLIENTS) {
        return bad_argument("--clients", "1 to 256 are possible");
    }
    return EXIT_DONE;
}

/* ---- The trace ------------------------------------------------------------------------------ */

static bool grow(void **items, uint64_t count, size_t bytes) {
    if (count & (count - 1)) {
        return true; /* room is doubled at powers of two */
    }
    void *larger = realloc(*items, (count ? 2 * count : 1) * bytes);
    if (larger) {
        *items = larger;
    }
    return larger != NULL;
}

/* The file DIR/<name>.<anything>, .onnx first. */
static bool find_model(const char *dir, const char *name, char *path, size_t room) {
    snprintf(path, room, "%s/%s.onnx", dir, name);
    FILE *file = fopen(path, "rb");
    if (file) {
        fclose(file);
        return true;
    }
    DIR *folder = opendir(dir);
    struct dirent *item;
    size_t length = strlen(name);
    bool found = false;
    while (folder && !found && (item = readdir(folder))) {
        if (strncmp(item->d_name, name, length) == 0 && item->d_name[length] == '.') {
            snprintf(path, room, "%s/%s", dir, item->d_name);
            found = true;
        }
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

/* The options of one model: shapes that name it go before those of all. */
static struct input_options inputs_of(const struct input_options *all, const char *name) {
    struct input_options own = {.random = true, .several = true, .seed = 1};
    size_t length = strlen(name);
    for (uint32_t i = 0; i < all->shape_count; i++) {
        if (strncmp(all->shapes[i], name, length) == 0 && all->shapes[i][length] == ':') {
            own.shapes[own.shape_count++] = all->shapes[i] + length + 1;
        }
    }
    for (uint32_t i = 0; i < all->shape_count && own.shape_count < MAX_INPUTS; i++) {
        own.shapes[own.shape_count++] = all->shapes[i];
    }
    return own;
}

static int add_model(struct replay *replay, const struct replay_options *options,
                     const char *name) {
    char path[4096];
    if (!find_model(options->models, name, path, sizeof(path))) {
        fprintf(stderr, "mmctl: %s: no such model in %s\n", name, options->models);
        return EXIT_FAILED;
    }
    if (!grow((void **)&replay->entries, replay->entry_count, sizeof(*replay->entries))) {
        return EXIT_FAILED;
    }
    struct entry *entry = &replay->entries[replay->entry_count];
    memset(entry, 0, sizeof(*entry));
    snprintf(entry->name, sizeof(entry->name), "%s", name);
    mm_error err;
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = entry->name;
    spec.source = path;
    if (mm_register(replay->mesh, &spec, &entry->model, &err) != MM_OK) {
        return failure(name, &err);
    }
    replay->entry_count++;
    if (mm_model_describe(replay->mesh, entry->model, 0, &entry->description, &err) != MM_OK) {
        return failure(name, &err);
    }
    struct input_options inputs = inputs_of(&options->inputs, name);
    return make_inputs(entry->description, &inputs, &entry->inputs) ? EXIT_DONE : EXIT_FAILED;
}

static int find_entry(struct replay *replay, const struct replay_options *options, const char *name,
                      uint32_t *index) {
    for (uint64_t i = replay->entry_count; i-- > 0;) {
        if (strcmp(replay->entries[i].name, name) == 0) {
            *index = (uint32_t)i;
            return EXIT_DONE;
        }
    }
    *index = (uint32_t)replay->entry_count;
    return add_model(replay, options, name);
}

/* `seq,model` lines; a first line without a number is a header. */
static int read_trace(struct replay *replay, const struct replay_options *options) {
    FILE *file = fopen(options->trace, "r");
    if (!file) {
        perror(options->trace);
        return EXIT_FAILED;
    }
    char line[1024];
    int code = EXIT_DONE;
    for (uint64_t number = 1; code == EXIT_DONE && fgets(line, sizeof(line), file); number++) {
        line[strcspn(line, "\r\n")] = '\0';
        char *comma = strchr(line, ',');
        bool header = number == 1 && (line[0] < '0' || line[0] > '9');
        if (line[0] == '\0' || header) {
            continue;
        }
        if (!comma || !comma[1] || strlen(comma + 1) >= MM_NAME_BYTES) {
            fprintf(stderr, "mmctl: %s:%" PRIu64 ": `seq,model` is wanted\n", options->trace,
                    number);
            code = EXIT_FAILED;
            break;
        }
        if (!grow((void **)&replay->lines, replay->line_count, sizeof(*replay->lines))) {
            code = EXIT_FAILED;
            break;
        }
        code = find_entry(replay, options, comma + 1, &replay->lines[replay->line_count++]);
        show_progress("preparing", number, number + 1);
    }
    end_progress();
    fclose(file);
    return code;
}

/* ---- Clients -------------------------------------------------------------------------------- */

static void note_failure(struct replay *replay, const struct entry *entry, const mm_error *err) {
    if (atomic_fetch_add(&replay->failed, 1) == 0) {
        pthread_mutex_lock(&replay->first_failure);
        replay->error = *err;
        snprintf(replay->error_name, sizeof(replay->error_name), "%s", entry->name);
        pthread_mutex_unlock(&replay->first_failure);
    }
}

static void *client(void *ctx) {
    struct replay *replay = ctx;
    uint64_t line;
    while ((line = atomic_fetch_add(&replay->cursor, 1)) < replay->line_count) {
        struct entry *entry = &replay->entries[replay->lines[line]];
        mm_error err;
        mm_request request = MM_REQUEST_INIT;
        request.inputs = entry->inputs.values;
        request.input_count = entry->inputs.count;
        mm_response response = MM_RESPONSE_INIT;
        uint64_t begun_ns = now_ns();
        mm_status status = mm_infer(replay->mesh, entry->model, &request, &response, &err);
        replay->ms[line] = status == MM_OK ? (double)(now_ns() - begun_ns) / 1e6 : -1;
        replay->hits[line] = response.flags & MM_RESPONSE_HIT;
        if (status != MM_OK) {
            note_failure(replay, entry, &err);
        }
        mm_response_free(&response);
        show_progress("replay", atomic_fetch_add(&replay->done, 1) + 1, replay->line_count);
    }
    return NULL;
}

static void run_clients(struct replay *replay, uint64_t count) {
    pthread_t threads[MAX_CLIENTS];
    uint64_t started = 0;
    while (started < count && pthread_create(&threads[started], NULL, client, replay) == 0) {
        started++;
    }
    if (started == 0) {
        client(replay);
    }
    for (uint64_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    end_progress();
}

/* ---- Results -------------------------------------------------------------------------------- */

struct results {
    double hit_p50, hit_p99, miss_p50, miss_p99, hit_rate, seconds;
    uint64_t requests, failed, loads, evictions, peak_bytes, budget_bytes;
};

static void split(const struct replay *replay, struct results *results) {
    double *hits = malloc((replay->line_count + 1) * sizeof(*hits));
    double *misses = malloc((replay->line_count + 1) * sizeof(*misses));
    uint64_t hit_count = 0, miss_count = 0;
    for (uint64_t i = 0; hits && misses && i < replay->line_count; i++) {
        if (replay->ms[i] >= 0 && replay->hits[i]) {
            hits[hit_count++] = replay->ms[i];
        } else if (replay->ms[i] >= 0) {
            misses[miss_count++] = replay->ms[i];
        }
    }
    results->hit_p50 = quantile(hits, hit_count, 0.5);
    results->hit_p99 = quantile(hits, hit_count, 0.99);
    results->miss_p50 = quantile(misses, miss_count, 0.5);
    results->miss_p99 = quantile(misses, miss_count, 0.99);
    uint64_t answered = hit_count + miss_count;
    results->hit_rate = answered ? (double)hit_count / (double)answered : 0;
    free(hits);
    free(misses);
}

static void collect(struct replay *replay, double seconds, struct results *results) {
    mm_device_stats devices[MAX_DEVICES];
    mm_mesh_stats stats = MM_MESH_STATS_INIT;
    stats.devices = devices;
    stats.device_capacity = MAX_DEVICES;
    mm_mesh_stats_get(replay->mesh, &stats);
    *results = (struct results){.seconds = seconds,
                                .requests = replay->line_count,
                                .failed = atomic_load(&replay->failed),
                                .loads = stats.loads,
                                .evictions = stats.evictions};
    for (uint32_t i = 0; i < stats.device_count; i++) {
        results->peak_bytes += devices[i].peak_bytes;
        results->budget_bytes += devices[i].budget_bytes;
    }
    split(replay, results);
}

static void print(const struct results *r, bool json) {
    if (json) {
        printf("{\"requests\": %" PRIu64 ", \"failed\": %" PRIu64
               ", \"hit_rate\": %.4f, \"loads\": %" PRIu64 ", \"evictions\": %" PRIu64
               ", \"hit_p50_ms\": %.5f, \"hit_p99_ms\": %.5f, \"miss_p50_ms\": %.4f, "
               "\"miss_p99_ms\": %.4f, \"peak_bytes\": %" PRIu64 ", \"budget_bytes\": %" PRIu64
               ", \"seconds\": %.3f}\n",
               r->requests, r->failed, r->hit_rate, r->loads, r->evictions, r->hit_p50, r->hit_p99,
               r->miss_p50, r->miss_p99, r->peak_bytes, r->budget_bytes, r->seconds);
        return;
    }
    printf("%" PRIu64 " requests in %.2f s, %" PRIu64 " failed\n", r->requests, r->seconds,
           r->failed);
    printf("hit rate %.1f %%, %" PRIu64 " loads, %" PRIu64 " evictions\n", 100 * r->hit_rate,
           r->loads, r->evictions);
    printf("hits   p50 %10.4f ms   p99 %10.4f ms\n", r->hit_p50, r->hit_p99);
    printf("misses p50 %10.4f ms   p99 %10.4f ms\n", r->miss_p50, r->miss_p99);
    printf("peak   %s of %s\n", show_bytes(r->peak_bytes), show_bytes(r->budget_bytes));
}

static int replay_trace(struct replay *replay, const struct replay_options *options) {
    int code = read_trace(replay, options);
    if (code != EXIT_DONE) {
        return code;
    }
    replay->ms = calloc(replay->line_count + 1, sizeof(*replay->ms));
    replay->hits = calloc(replay->line_count + 1, 1);
    if (!replay->ms || !replay->hits) {
        return EXIT_FAILED;
    }
    uint64_t begun_ns = now_ns();
    run_clients(replay, options->clients);
    struct results results;
    collect(replay, (double)(now_ns() - begun_ns) / 1e9, &results);
    print(&results, options->json);
    return results.failed ? failure(replay->error_name, &replay->error) : EXIT_DONE;
}

static void release(struct replay *replay) {
    for (uint64_t i = 0; i < replay->entry_count; i++) {
        free_inputs(&replay->entries[i].inputs);
        mm_description_free(replay->entries[i].description);
    }
    free(replay->entries);
    free(replay->lines);
    free(replay->ms);
    free(replay->hits);
    mm_mesh_free(&replay->mesh);
}

int command_replay(int argc, char **argv) {
    struct arguments arguments = {.count = argc, .values = argv};
    struct replay_options options = {.clients = 1};
    int code = read_options(&arguments, &options);
    if (code != EXIT_DONE) {
        return code;
    }
    struct replay replay = {.first_failure = PTHREAD_MUTEX_INITIALIZER};
    mm_mesh_options mesh = MM_MESH_OPTIONS_INIT;
    mesh.policy = options.policy;
    mesh.cache_dir = options.cache_dir;
    mesh.devices = options.device_count ? options.devices : NULL;
    mesh.device_count = options.device_count;
    mm_error err;
    mm_status status = mm_mesh_create(&mesh, &replay.mesh, &err);
    if (status != MM_OK) {
        failure("mesh", &err);
        return status == MM_INVALID_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
    }
    code = replay_trace(&replay, &options);
    release(&replay);
    return code;
}
