/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever lies in a cache directory under our names, with right checksums: a model is prepared,
 * what was written is damaged as the script says and sealed again, then a mesh finds, checks, loads
 * and runs it. Nothing may come of it but an answer or a status; and verify tells what it is. */

#include <artifact/entry.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/steps/description.h>
#include <base/checked.h>
#include <base/hash.h>
#include <conformance/host.h>
#include <support/fuzz.h>
#include <support/fuzz_mutate.h>
#include <support/scratch.h>

#include <modelmesh/modelmesh.h>

#define MIB (UINT64_C(1) << 20)
#define MOST_BYTES (16 * MIB) /* of a block of memory: more is not there */
#define MOST_FILE (256u << 10)
#define MOST_MODELS 128

const bool fuzz_anywhere = false; /* models are only where entries come from */

size_t fuzz_mutate(uint8_t *bytes, size_t count, size_t room, uint64_t *seed) {
    return fuzz_mutate_script(bytes, count, room, seed);
}

static struct scratch scratch; /* of the process */
static char cache[SCRATCH_ROOM], source[SCRATCH_ROOM];

static void remove_scratch(void) {
    scratch_fini(&scratch);
}

static void need_scratch(void) {
    if (!scratch.path[0]) {
        scratch_init(&scratch);
        atexit(remove_scratch);
        scratch_path(&scratch, "cache", cache);
        scratch_path(&scratch, "model.onnx", source);
        scratch_folder(&scratch, "cache");
    }
}

/* ---- A mesh ---------------------------------------------------------------------------------- */

struct scene {
    struct world world;
    struct fuzz_script script;
    mm_mesh *mesh;
    mm_model model;
    mm_error err;
};

static void check(struct scene *s, mm_status status) {
    if (status != MM_OK) {
        check_error(status, &s->err);
    }
}

static void open_mesh(struct scene *s, uint32_t map) {
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    device.name = "host";
    device.budget_bytes = 8 * MIB;
    options.devices = &device;
    options.device_count = 1;
    options.allocator = &s->world.env.alloc;
    options.cache_dir = cache;
    options.map_cache = map;
    options.infer_threads = MM_THREADS_NONE;
    options.event_capacity = 16;
    options.max_iterations = 200;
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    spec.name = "fuzz";
    spec.source = source;
    assert_int_equal(mm_mesh_create(&options, &s->mesh, &s->err), MM_OK);
    assert_int_equal(mm_register(s->mesh, &spec, &s->model, &s->err), MM_OK);
}

static void close_mesh(struct scene *s) {
    assert_int_equal(mm_mesh_free(&s->mesh), MM_OK);
}

/* ---- What was prepared ----------------------------------------------------------------------- */

/* A file of the cache. */
struct file {
    char path[2 * SCRATCH_ROOM];
    uint8_t *bytes;
    size_t count;
};

/* Of one model, kept: it is the same each time. */
struct prepared {
    uint64_t hash;
    struct file entry, seen;
};
static struct prepared all_prepared[MOST_MODELS];

static void read_file(const char *name, struct file *file) {
    struct stat status;
    free(file->bytes);
    snprintf(file->path, sizeof(file->path), "%s/%s", cache, name);
    assert_int_equal(stat(file->path, &status), 0);
    file->count = (size_t)status.st_size;
    file->bytes = malloc(file->count + 1);
    int fd = open(file->path, O_RDONLY);
    assert_true(file->bytes && fd >= 0);
    assert_int_equal(read(fd, file->bytes, file->count), file->count);
    close(fd);
}

/* Whose names end so are read; NULL: all are removed. */
static void look_into_cache(struct prepared *prepared) {
    DIR *listing = opendir(cache);
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        const char *end = strrchr(entry->d_name, '.');
        if (!prepared) {
            unlinkat(dirfd(listing), entry->d_name, 0);
        } else if (end && strcmp(end, ".mma") == 0) {
            read_file(entry->d_name, &prepared->entry);
        } else if (end && strcmp(end, ".mms") == 0) {
            read_file(entry->d_name, &prepared->seen);
        }
    }
    closedir(listing);
}

/* Long ago, so that the file counts as unchanged. */
static void write_source(const struct fuzz_script *script) {
    const struct timespec times[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    scratch_write(&scratch, "model.onnx", script->model, script->model_bytes);
    assert_int_equal(utimensat(AT_FDCWD, source, times, 0), 0);
}

static struct prepared *prepare(struct scene *s) {
    uint64_t hash = mmi_hash64(s->script.model, s->script.model_bytes, 0);
    struct prepared *prepared = &all_prepared[hash % MOST_MODELS];
    write_source(&s->script);
    if (prepared->hash == hash) {
        return prepared;
    }
    prepared->hash = hash;
    prepared->entry.count = prepared->seen.count = 0;
    open_mesh(s, MM_MAP_AUTO);
    check(s, mm_prepare(s->mesh, s->model, NULL, NULL, &s->err));
    close_mesh(s);
    look_into_cache(prepared);
    look_into_cache(NULL);
    return prepared;
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static uint64_t draw_number(struct fuzz_script *script, uint64_t was) {
    static const uint64_t numbers[] = {0,  1,    2,         3,          4,         7,
                                       8,  9,    26,        64,         255,       4096,
                                       -1, 1000, INT32_MAX, UINT32_MAX, INT64_MAX, 1u << 31};
    const uint64_t known = sizeof(numbers) / sizeof(numbers[0]);
    uint64_t n = fuzz_draw(script, known + 6);
    return n < known ? numbers[n] : was + n - known - 3;
}

/* A number of `width` bytes at a multiple of it, somewhere in [at, at + bytes). */
static void hurt_number(uint8_t *at, uint64_t bytes, size_t width, struct fuzz_script *script) {
    if (bytes < width) {
        return;
    }
    uint64_t was = 0;
    at += fuzz_draw(script, bytes / width) * width;
    memcpy(&was, at, width);
    was = draw_number(script, was);
    memcpy(at, &was, width);
}

/* A file in memory with room, cut into what it is made of by its header. */
struct opened {
    uint8_t bytes[MOST_FILE];
    size_t count;
    struct mmi_entry_header header;
    struct mmi_entry_layout layout;
};

static bool cut(struct opened *o) {
    return mmi_entry_layout(&o->header, &o->layout) && o->layout.file_bytes <= MOST_FILE;
}

static void hurt_header(struct opened *o, struct fuzz_script *script) {
    switch (fuzz_draw(script, 4)) {
    case 0:
        o->header.weights_bytes = draw_number(script, o->header.weights_bytes);
        break;
    case 1:
        o->header.description_bytes = draw_number(script, o->header.description_bytes);
        break;
    case 2:
        o->header.group_count = (uint32_t)draw_number(script, o->header.group_count);
        break;
    default:
        o->header.key.content.low ^= 1;
        break;
    }
    if (cut(o)) { /* as long as it says */
        o->count = o->layout.file_bytes;
    }
}

/* The parameters of one node, as they lie in the description. */
static void hurt_params(uint8_t *description, uint64_t bytes, struct fuzz_script *script) {
    const struct onnx_node *node = NULL;
    struct onnx_prepared prepared = {.model.nesting = 64};
    struct world world;
    world_init(&world);
    mmi_onnx_arena_init(&prepared.arena, &world.env.alloc);
    if (mmi_onnx_read_description(&prepared, description, bytes, NULL) == MM_OK) {
        const struct onnx_graph *graph = prepared.model.main;
        node = graph->node_count > 0 ? graph->nodes[fuzz_draw(script, graph->node_count)] : NULL;
    }
    if (node && node->graph_count > 0 && node->graphs[0]->node_count > 0) {
        node = node->graphs[0]->nodes[fuzz_draw(script, node->graphs[0]->node_count)];
    }
    uint32_t width = node ? node->op->params_bytes : 0;
    uint8_t *at = width > 0 ? memmem(description, bytes, node->params, width) : NULL;
    if (at) {
        hurt_number(at, width, width % 8 == 0 ? 4u << fuzz_draw(script, 2) : 4, script);
    }
    mmi_onnx_arena_free(&prepared.arena);
    world_fini(&world);
}

static void hurt_entry(struct opened *o, struct fuzz_script *script) {
    uint8_t *tail = o->bytes + o->layout.tail_at;
    switch (fuzz_draw(script, 16)) {
    case 0:
        hurt_header(o, script);
        break;
    case 1:
        hurt_number(tail + o->layout.groups_at, o->header.group_count * sizeof(uint64_t), 8,
                    script);
        break;
    case 2:
        hurt_number(o->bytes + MMI_ENTRY_WEIGHTS_AT, o->header.weights_bytes,
                    (size_t)1 << fuzz_draw(script, 4), script);
        break;
    case 3:
        o->count = fuzz_draw(script, o->count + 4096 < MOST_FILE ? o->count + 4096 : o->count);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        hurt_params(tail, o->header.description_bytes, script);
        break;
    default:
        hurt_number(tail, o->header.description_bytes, (size_t)1 << fuzz_draw(script, 4), script);
        break;
    }
}

/* Checksums of all that was changed; now and then one is forgotten. */
static void seal(struct opened *o, struct fuzz_script *script) {
    uint64_t forgotten = fuzz_draw(script, 32);
    uint8_t page[MMI_ENTRY_PAGE];
    if (cut(o) && o->count >= o->layout.file_bytes) {
        uint8_t *tail = o->bytes + o->layout.tail_at;
        for (uint64_t i = 0; i < o->layout.pieces && forgotten != 1; i++) {
            uint64_t at = i * MMI_ENTRY_PIECE;
            uint64_t bytes = mmi_min_u64(MMI_ENTRY_PIECE, o->layout.stored_bytes - at);
            uint64_t sum = mmi_hash64(o->bytes + MMI_ENTRY_WEIGHTS_AT + at, bytes, 0);
            memcpy(tail + o->layout.checksums_at + i * sizeof(sum), &sum, sizeof(sum));
        }
        if (forgotten != 2) {
            o->header.tail_checksum = mmi_hash64(tail, o->layout.tail_bytes, 0);
        }
    }
    mmi_entry_seal(&o->header, page);
    memcpy(o->bytes, page, forgotten == 3 ? 64 : sizeof(page));
}

/* What source_index.c writes: its checksum is the sixth number, itself taken as 0. */
static void hurt_seen(struct opened *o, struct fuzz_script *script) {
    const size_t at = 5 * sizeof(uint64_t);
    for (uint64_t n = 1 + fuzz_draw(script, 2); n > 0; n--) {
        hurt_number(o->bytes, o->count, (size_t)1 << fuzz_draw(script, 4), script);
    }
    if (fuzz_draw(script, 8) == 0) {
        o->count = fuzz_draw(script, o->count + 64);
    }
    if (o->count >= at + sizeof(uint64_t)) {
        memset(o->bytes + at, 0, sizeof(uint64_t));
        uint64_t sum = mmi_hash64(o->bytes, o->count, 0);
        memcpy(o->bytes + at, &sum, sizeof(sum));
    }
}

static void write_file(const struct file *file) {
    int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file->bytes, file->count), file->count);
    close(fd);
}

/* What is to lie there. */
static void damage(struct opened *o, const struct file *file, bool is_entry,
                   struct fuzz_script *script) {
    memset(o, 0, sizeof(*o));
    o->count = file->count;
    memcpy(o->bytes, file->bytes, file->count);
    if (!is_entry) {
        if (fuzz_draw(script, 8) == 0) {
            hurt_seen(o, script);
        }
        return;
    }
    memcpy(&o->header, o->bytes, sizeof(o->header));
    for (uint64_t n = 1 + fuzz_draw(script, 3); n > 0 && cut(o); n--) {
        hurt_entry(o, script);
    }
    seal(o, script);
}

static void put(const struct file *file, bool is_entry, struct fuzz_script *script) {
    static struct opened o;
    damage(&o, file, is_entry, script);
    struct file now = {.bytes = o.bytes, .count = o.count};
    memcpy(now.path, file->path, sizeof(now.path));
    write_file(&now);
}

/* ---- The life of a damaged entry ------------------------------------------------------------- */

static void ask(struct scene *s, const mm_model_description *description) {
    static struct life life;
    static const struct sample sample;
    mm_value inputs[16];
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    memset(&life, 0, sizeof(life));
    life.subject.sample = &sample;
    for (uint32_t i = 0; i < description->input_count; i++) {
        make_input(&life, &description->inputs[i], &inputs[i]);
    }
    request.inputs = inputs;
    request.input_count = description->input_count;
    request.deadline_ns = mm_deadline_after(UINT64_C(2000000000));
    check(s, mm_infer(s->mesh, s->model, &request, &response, &s->err));
    mm_response_free(&response);
    heap_free(&life.heap);
}

static void live(struct scene *s) {
    mm_model_description *description = NULL;
    open_mesh(s, fuzz_draw(&s->script, 2) > 0 ? MM_MAP_AUTO : MM_MAP_NEVER);
    mm_status status = mm_model_describe(s->mesh, s->model, 0, &description, &s->err);
    check(s, status);
    if (status == MM_OK && description->input_count <= 16 &&
        small_inputs(description->inputs, description->input_count)) {
        ask(s, description);
        check(s, mm_evict(s->mesh, s->model, 0, &s->err));
        ask(s, description);
    }
    mm_description_free(description);
    close_mesh(s);
}

static void play(struct scene *s, const struct prepared *prepared) {
    mm_cache_report report = MM_CACHE_REPORT_INIT;
    put(&prepared->entry, true, &s->script);
    if (prepared->seen.count > 0) {
        put(&prepared->seen, false, &s->script);
    }
    if (fuzz_draw(&s->script, 4) == 0) {
        check(s, mm_cache_verify(cache, NULL, NULL, &report, &s->err));
    }
    live(s);
    check(s, mm_cache_verify(cache, NULL, NULL, &report, &s->err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct scene s = {0};
    need_scratch();
    world_init(&s.world);
    s.world.most_bytes = MOST_BYTES;
    fuzz_read_script(data, size, &s.script);
    const struct prepared *prepared = prepare(&s);
    if (prepared->entry.count > 0 && prepared->entry.count + 4096 < MOST_FILE) {
        play(&s, prepared);
        look_into_cache(NULL);
    }
    world_fini(&s.world);
    return 0;
}
