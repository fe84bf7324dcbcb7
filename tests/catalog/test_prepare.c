/* SPDX-License-Identifier: Apache-2.0 */

/* Source -> key -> artifact -> open description, without a mesh around it. */

#include <backends/echo/echo.h>
#include <catalog/version.h>
#include <support/scratch.h>
#include <support/world.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#define MIB (UINT64_C(1) << 20)

extern const mm_backend mmi_backend_null;

struct fixture {
    uint64_t read_bytes;
    struct world world;
    struct scratch scratch;
    char path[SCRATCH_ROOM];
    struct mmi_pool *pool;
    struct mmi_registry *registry;
    struct mmi_store *store;
    struct mmi_preparer preparer;
    mm_error err;
    _Atomic bool cancelled;
    _Atomic bool asked; /* whether it is cancelled */
    uint32_t permille;
    bool went_back;
};

static bool is_cancelled(void *user) {
    struct fixture *fixture = user;
    fixture->asked = true;
    return fixture->cancelled;
}

static void note_progress(void *user, uint32_t permille) {
    struct fixture *fixture = user;
    fixture->went_back |= permille < fixture->permille;
    fixture->permille = permille;
}

static mm_status open_store(struct fixture *fixture) {
    struct mmi_store_config config = {.temporary_budget_bytes = 8 * MIB};
    return mmi_store_open(&fixture->world.env, &config, &fixture->store, &fixture->err);
}

static mm_status open_parts(struct fixture *fixture) {
    MMI_TRY(mmi_pool_new(&fixture->world.env, 1, NULL, &fixture->pool, &fixture->err));
    struct mmi_registry_config config = {.pool = fixture->pool, .max_nesting = 64};
    MMI_TRY(mmi_registry_new(&fixture->world.env, &config, &fixture->registry, &fixture->err));
    MMI_TRY(mmi_registry_add(fixture->registry, &mmi_backend_echo, &fixture->err));
    MMI_TRY(open_store(fixture));
    fixture->preparer = (struct mmi_preparer){.env = &fixture->world.env,
                                              .registry = fixture->registry,
                                              .store = fixture->store,
                                              .kinds = MM_DEVICE_HOST | MM_DEVICE_SIM,
                                              .max_signatures = 4,
                                              .budget_bytes = MIB};
    mmi_preparer_init(&fixture->preparer);
    return MM_OK;
}

static void fixture_init(struct fixture *fixture) {
    memset(fixture, 0, sizeof(*fixture));
    world_init(&fixture->world);
    scratch_init(&fixture->scratch);
    scratch_path(&fixture->scratch, "model.echo", fixture->path);
    assert_int_equal(open_parts(fixture), MM_OK);
}

static void note_read(void *user, uint64_t bytes) {
    ((struct fixture *)user)->read_bytes += bytes;
}

static void fixture_fini(struct fixture *fixture) {
    assert_int_equal(fixture->preparer.active_bytes, 0);
    mmi_preparer_fini(&fixture->preparer);
    mmi_registry_free(fixture->registry);
    mmi_pool_free(fixture->pool);
    mmi_store_close(fixture->store);
    scratch_fini(&fixture->scratch);
    world_fini(&fixture->world);
}

static void write_model(struct fixture *fixture, const char *lines) {
    char text[512];
    snprintf(text, sizeof(text), "echo1\n%s", lines);
    scratch_text(&fixture->scratch, "model.echo", text);
}

static struct mmi_version *new_version(struct fixture *fixture, const char *backend) {
    struct mmi_spec spec = {.source = fixture->path, .backend = backend};
    return mmi_version_new(&fixture->world.env.alloc, &spec, 1);
}

static mm_status prepare_for(struct fixture *fixture, struct mmi_version *version, int32_t kind,
                             struct mmi_prepared *prepared) {
    struct mmi_prepare_watch watch = {is_cancelled, note_progress, note_read, fixture, false};
    struct mmi_build *build = mmi_version_build(version, kind);
    return mmi_build_open(&fixture->preparer, build, kind, &watch, prepared, &fixture->err);
}

static mm_status prepare(struct fixture *fixture, struct mmi_version *version,
                         struct mmi_prepared *prepared) {
    return prepare_for(fixture, version, MM_DEVICE_HOST, prepared);
}

/* Prepared, committed. */
static bool prepare_for_ok(struct fixture *fixture, struct mmi_version *version, int32_t kind) {
    struct mmi_prepared prepared;
    mm_status status = prepare_for(fixture, version, kind, &prepared);
    if (status != MM_OK) {
        fail_msg("%s", fixture->err.text);
    }
    struct mmi_build *build = mmi_version_build(version, kind);
    mmi_build_commit(build, &prepared);
    assert_int_equal(build->state, MMI_BUILD_PREPARED);
    return prepared.made;
}

static bool prepare_ok(struct fixture *fixture, struct mmi_version *version) {
    return prepare_for_ok(fixture, version, MM_DEVICE_HOST);
}

static void close_version(struct fixture *fixture, struct mmi_version *version) {
    mmi_opened_close(&fixture->world.env.alloc, version->builds[0]->opened);
    version->builds[0]->opened = NULL;
    version->builds[0]->state = MMI_BUILD_UNPREPARED;
}

static void free_version(struct fixture *fixture, struct mmi_version *version) {
    mmi_version_free(&fixture->world.env.alloc, version);
}

/* A store that has nothing: what was prepared is forgotten. */
static void forget_artifacts(struct fixture *fixture) {
    mmi_store_close(fixture->store);
    assert_int_equal(open_store(fixture), MM_OK);
    fixture->preparer.store = fixture->store;
}

/* ---- The way */

static void test_from_a_file_to_an_open_description(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 300k\ngroups 3\nseed 7\nactivation_bytes 5k\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    assert_true(prepare_ok(&fixture, version));
    assert_true(version->builds[0]->keyed && !version->builds[0]->bare);
    assert_int_equal(version->builds[0]->weights_bytes, 300 * 1024);
    assert_int_equal(version->builds[0]->activation_bytes, 5 * 1024);
    const mm_description *description = &version->builds[0]->opened->description;
    assert_int_equal(description->input_count, 1);
    assert_string_equal(description->inputs[0].name, "x");
    assert_string_equal(version->builds[0]->opened->backend->table->name, "echo");
    assert_string_equal(version->builds[0]->opened->format->name, "echo");
    assert_int_equal(version->builds[0]->opened->view.group_count, 3);
    assert_true(version->builds[0]->opened->host_bytes > 0);
    assert_int_equal(fixture.permille, 1000);
    assert_false(fixture.went_back);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* "The description was closed for lack of room; the key is kept, so the way back is short." */
static void test_the_way_back_needs_no_origin(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    assert_true(prepare_ok(&fixture, version));
    uint64_t io_hash = version->builds[0]->opened->io_hash;
    close_version(&fixture, version);
    assert_int_equal(unlink(fixture.path), 0);
    assert_false(prepare_ok(&fixture, version));
    assert_int_equal(version->builds[0]->opened->io_hash, io_hash);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* Prepared once per content: another version of the same content finds the artifact. */
static void test_equal_content_is_prepared_once(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *first = new_version(&fixture, NULL);
    struct mmi_version *second = new_version(&fixture, "echo");
    assert_true(prepare_ok(&fixture, first));
    assert_false(prepare_ok(&fixture, second));
    assert_memory_equal(&first->content, &second->content, sizeof(first->content));
    assert_memory_equal(&first->builds[0]->target, &second->builds[0]->target,
                        sizeof(struct mmi_hash));

    char text[64];
    snprintf(text, sizeof(text), "echo1\nweights_bytes 100k\nseed 3\n");
    struct mmi_spec spec = {.memory = {.data = text, .bytes = strlen(text)}};
    struct mmi_version *third = mmi_version_new(&fixture.world.env.alloc, &spec, 1);
    assert_false(prepare_ok(&fixture, third)); /* from memory, by its first bytes */
    free_version(&fixture, first);
    free_version(&fixture, second);
    free_version(&fixture, third);
    fixture_fini(&fixture);
}

static void test_other_config_other_artifact(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 10k\n");
    struct mmi_spec spec = {.source = fixture.path, .config = "a=1"};
    struct mmi_version *first = mmi_version_new(&fixture.world.env.alloc, &spec, 1);
    spec.config = "a=2";
    struct mmi_version *second = mmi_version_new(&fixture.world.env.alloc, &spec, 1);
    assert_true(prepare_ok(&fixture, first));
    assert_true(prepare_ok(&fixture, second));
    assert_string_equal(second->builds[0]->opened->view.config, "a=2");
    free_version(&fixture, first);
    free_version(&fixture, second);
    fixture_fini(&fixture);
}

/* ---- Changes */

/* "A changed source is seen by update only; artifact gone and source different:
 * MM_SOURCE_CHANGED" */
static void test_a_changed_source_is_not_the_version(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    assert_true(prepare_ok(&fixture, version));
    close_version(&fixture, version);
    write_model(&fixture, "weights_bytes 100k\nseed 4\n");
    assert_false(prepare_ok(&fixture, version)); /* the artifact is there: unchanged answers */
    close_version(&fixture, version);
    forget_artifacts(&fixture);
    struct mmi_prepared prepared;
    assert_int_equal(prepare(&fixture, version, &prepared), MM_SOURCE_CHANGED);
    assert_non_null(strstr(fixture.err.text, "model.echo"));
    assert_null(prepared.opened);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n"); /* and back */
    assert_true(prepare_ok(&fixture, version));
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* The look before a load: an old file by its identity, a young one by its bytes. */
static void test_comparing_reads_only_what_it_must(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    assert_true(prepare_ok(&fixture, version));
    struct mmi_prepare_watch watch = {is_cancelled, note_progress, note_read, &fixture, false};
    do { /* until the file is old enough */
        fixture.read_bytes = 0;
        assert_int_equal(mmi_version_compare(&fixture.preparer, version, &watch, &fixture.err),
                         MM_OK);
    } while (fixture.read_bytes > 0);
    write_model(&fixture, "weights_bytes 100k\nseed 4\n");
    assert_int_equal(mmi_version_compare(&fixture.preparer, version, &watch, &fixture.err),
                     MM_SOURCE_CHANGED);
    assert_true(fixture.read_bytes > 0);
    assert_non_null(strstr(fixture.err.text, "model.echo"));
    fixture.cancelled = true;
    assert_int_equal(mmi_version_compare(&fixture.preparer, version, &watch, &fixture.err),
                     MM_CANCELLED);
    fixture.cancelled = false;
    assert_int_equal(unlink(fixture.path), 0);
    assert_int_equal(mmi_version_compare(&fixture.preparer, version, &watch, &fixture.err),
                     MM_NOT_FOUND);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

static void *cancel_when_asked(void *user) {
    struct fixture *fixture = user;
    while (!fixture->asked) {
        sched_yield();
    }
    fixture->cancelled = true;
    mmi_preparer_look(&fixture->preparer);
    return NULL;
}

/* Others prepare so much that it waits, for as long as they like. */
static void test_who_waits_for_the_byte_limit_can_be_cancelled(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    struct mmi_prepared prepared;
    pthread_t thread;
    fixture.preparer.active_bytes = MIB;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_asked, &fixture), 0);
    assert_int_equal(prepare(&fixture, version, &prepared), MM_CANCELLED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(fixture.preparer.active_bytes, MIB);
    fixture.preparer.active_bytes = 0;
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

static void test_a_missing_source_is_named(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct mmi_version *version = new_version(&fixture, NULL);
    struct mmi_prepared prepared;
    assert_int_equal(prepare(&fixture, version, &prepared), MM_NOT_FOUND);
    assert_non_null(strstr(fixture.err.text, "model.echo"));
    scratch_text(&fixture.scratch, "model.echo", "echo1\nno_such_key 1\n");
    assert_int_equal(prepare(&fixture, version, &prepared), MM_INVALID_MODEL);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

static void test_a_cancelled_preparation_leaves_nothing(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    struct mmi_prepared prepared;
    fixture.cancelled = true;
    assert_int_equal(prepare(&fixture, version, &prepared), MM_CANCELLED);
    assert_int_equal(mmi_store_stats(fixture.store).temporary_bytes, 0);
    fixture.cancelled = false;
    assert_true(prepare_ok(&fixture, version)); /* nothing of the first attempt served */
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* ---- Other backends */

static bool saw_source;

static mm_status open_seeing(void *state, void *model, const mm_artifact *artifact,
                             mm_description *out, mm_error *err) {
    unsigned char head[6];
    saw_source =
        artifact->source &&
        artifact->source->read(artifact->source->ctx, 0, head, sizeof(head), err) == MM_OK &&
        memcmp(head, "echo1\n", sizeof(head)) == 0;
    return mmi_backend_null.open(state, model, artifact, out, err);
}

/* Without prepare "the source itself is opened and attached": there is no key and no artifact. */
static void test_a_backend_without_prepare_gets_the_origin(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "");
    mm_backend bare = mmi_backend_null;
    bare.name = "bare";
    bare.open = open_seeing;
    assert_int_equal(mmi_registry_add(fixture.registry, &bare, &fixture.err), MM_OK);
    struct mmi_version *version = new_version(&fixture, "bare");
    saw_source = false;
    assert_false(prepare_ok(&fixture, version));
    assert_true(saw_source);
    assert_true(version->builds[0]->bare && !version->builds[0]->keyed);
    assert_null(version->builds[0]->opened->view.source); /* it is closed by now */
    assert_int_equal(mmi_store_stats(fixture.store).temporary_bytes, 0);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

static mm_status (*real_open)(void *state, void *model, const mm_artifact *artifact,
                              mm_description *out, mm_error *err);
static void (*spoil)(mm_description *out);
static mm_value_info spoiled;

static mm_status open_spoiled(void *state, void *model, const mm_artifact *artifact,
                              mm_description *out, mm_error *err) {
    MMI_TRY(real_open(state, model, artifact, out, err));
    spoiled = out->inputs[0];
    out->inputs = &spoiled;
    spoil(out);
    return MM_OK;
}

static void spoil_rank(mm_description *out) {
    (void)out;
    spoiled.rank = MM_MAX_RANK + 1;
}
static void spoil_name(mm_description *out) {
    (void)out;
    spoiled.name = "";
}
static void spoil_inputs(mm_description *out) {
    out->inputs = NULL;
}
static void spoil_weights(mm_description *out) {
    out->weights_bytes += MIB;
}

/* A backend that describes nonsense is told apart from a bad model. */
static void test_a_wrong_description_is_refused(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 10k\n");
    mm_backend wrong = mmi_backend_echo;
    wrong.name = "wrong";
    wrong.open = open_spoiled;
    real_open = mmi_backend_echo.open;
    assert_int_equal(mmi_registry_add(fixture.registry, &wrong, &fixture.err), MM_OK);
    void (*const ways[])(mm_description *) = {spoil_rank, spoil_name, spoil_inputs, spoil_weights};
    for (size_t i = 0; i < 4; i++) {
        struct mmi_version *version = new_version(&fixture, "wrong");
        struct mmi_prepared prepared;
        spoil = ways[i];
        assert_int_equal(prepare(&fixture, version, &prepared), MM_BACKEND_FAILED);
        assert_null(prepared.opened);
        free_version(&fixture, version);
    }
    fixture_fini(&fixture);
}

/* ---- Kinds of device */

static mm_status (*refuse)(int32_t device_kind, mm_error *err);
static int32_t prepared_for;

static const char *layout_of_kind(void *state, int32_t device_kind) {
    (void)state;
    return device_kind == MM_DEVICE_SIM ? "1-sim" : "1-host";
}

static mm_status prepare_kind(void *state, const mm_source *source, const char *config,
                              int32_t device_kind, const mm_sink *sink, mm_error *err) {
    prepared_for = device_kind;
    MMI_TRY(refuse ? refuse(device_kind, err) : MM_OK);
    return mmi_backend_echo.prepare(state, source, config, device_kind, sink, err);
}

/* A version of a backend whose layout tells host and sim apart. */
static struct mmi_version *new_apart(struct fixture *fixture, mm_backend *apart, uint32_t kinds) {
    *apart = mmi_backend_echo;
    apart->name = "apart";
    apart->layout = layout_of_kind;
    apart->prepare = prepare_kind;
    apart->device_kinds = kinds;
    refuse = NULL;
    prepared_for = 0;
    assert_int_equal(mmi_registry_add(fixture->registry, apart, &fixture->err), MM_OK);
    return new_version(fixture, "apart");
}

static void test_two_layouts_are_two_builds(void **state) {
    (void)state;
    struct fixture fixture;
    mm_backend apart;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *version =
        new_apart(&fixture, &apart, MM_DEVICE_HOST | MM_DEVICE_SIM | MM_DEVICE_CUDA);
    assert_null(mmi_version_described(version));
    assert_true(prepare_for_ok(&fixture, version, MM_DEVICE_SIM));
    assert_int_equal(prepared_for, MM_DEVICE_SIM);
    struct mmi_build *sim = mmi_version_build(version, MM_DEVICE_SIM);
    assert_ptr_equal(sim, version->builds[0]);
    assert_int_equal(sim->kinds, MM_DEVICE_SIM);
    assert_ptr_equal(mmi_version_described(version), sim);
    assert_non_null(version->others); /* asking for another build cannot fail any more */

    struct mmi_build *host = mmi_version_build(version, MM_DEVICE_HOST);
    assert_ptr_not_equal(host, sim);
    assert_ptr_equal(host->version, version);
    assert_true(prepare_for_ok(&fixture, version, MM_DEVICE_HOST)); /* an artifact of its own */
    assert_int_equal(prepared_for, MM_DEVICE_HOST);
    assert_int_equal(host->kinds, MM_DEVICE_HOST); /* the mesh has no cuda */
    assert_int_equal(version->build_count, 2);
    assert_ptr_not_equal(host->opened, sim->opened);
    assert_ptr_not_equal(host->opened->artifact, sim->opened->artifact);
    assert_ptr_equal(host->opened->build, host);
    assert_memory_not_equal(&host->target, &sim->target, sizeof(host->target));
    assert_int_equal(host->opened->io_hash, sim->opened->io_hash);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* One artifact, one open description; what `size` says is apart. */
static void test_one_layout_is_one_build(void **state) {
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *version = new_version(&fixture, NULL);
    assert_true(prepare_for_ok(&fixture, version, MM_DEVICE_SIM));
    struct mmi_build *build = mmi_version_build(version, MM_DEVICE_HOST);
    assert_ptr_equal(build, mmi_version_build(version, MM_DEVICE_SIM));
    assert_int_equal(build->kinds, MM_DEVICE_HOST | MM_DEVICE_SIM);
    assert_int_equal(version->build_count, 1);
    assert_null(version->others);
    struct mmi_signatures *const *signatures = build->opened->signatures;
    unsigned host = mmi_kind_index(MM_DEVICE_HOST), sim = mmi_kind_index(MM_DEVICE_SIM);
    assert_ptr_not_equal(signatures[host], signatures[sim]);
    assert_int_equal(signatures[host]->device_kind, MM_DEVICE_HOST);
    assert_int_equal(signatures[sim]->device_kind, MM_DEVICE_SIM);
    assert_null(signatures[mmi_kind_index(MM_DEVICE_CUDA)]);
    uint64_t bytes = mmi_opened_bytes(build->opened);
    assert_int_equal(bytes, build->opened->host_bytes);

    float x[2] = {1, 2};
    mm_value input = {.dtype = MM_F32, .rank = 2, .shape = {1, 2}, .data = x, .bytes = sizeof(x)};
    struct mmi_signature *signature;
    assert_int_equal(mmi_signature_make(signatures[sim], &input, &signature, &fixture.err), MM_OK);
    mmi_signature_destroy(signatures[sim], mmi_signature_share(signatures[sim], &signature));
    mmi_signature_done(signatures[sim], signature, 1);
    assert_null(mmi_signature_find(signatures[host], &input));
    assert_int_equal(mmi_opened_bytes(build->opened), bytes + signature->bytes);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* It runs on one kind of the mesh's devices, and another was asked for: before the backend is known
 * nobody can know. */
static void test_a_kind_that_the_backend_has_not(void **state) {
    (void)state;
    struct fixture fixture;
    mm_backend apart;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 10k\n");
    struct mmi_version *version = new_apart(&fixture, &apart, MM_DEVICE_CUDA | MM_DEVICE_SIM);
    assert_true(prepare_for_ok(&fixture, version, MM_DEVICE_HOST));
    assert_int_equal(prepared_for, MM_DEVICE_SIM);
    assert_int_equal(version->builds[0]->kinds, MM_DEVICE_SIM);
    free_version(&fixture, version);
    fixture_fini(&fixture);

    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 10k\n");
    version = new_apart(&fixture, &apart, MM_DEVICE_CUDA); /* it can be described all the same */
    assert_true(prepare_for_ok(&fixture, version, MM_DEVICE_HOST));
    assert_int_equal(version->builds[0]->kinds, MM_DEVICE_CUDA);
    assert_ptr_not_equal(mmi_version_build(version, MM_DEVICE_HOST), version->builds[0]);
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

static mm_status refuse_sim(int32_t device_kind, mm_error *err) {
    return device_kind == MM_DEVICE_SIM ? mmi_fail(err, MM_UNSUPPORTED, "not on sim") : MM_OK;
}

/* "A version is its content", whatever the kind. */
static void test_all_builds_have_one_content(void **state) {
    (void)state;
    struct fixture fixture;
    mm_backend apart;
    struct mmi_prepared prepared;
    fixture_init(&fixture);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    struct mmi_version *version = new_apart(&fixture, &apart, MM_DEVICE_HOST | MM_DEVICE_SIM);
    assert_true(prepare_ok(&fixture, version));
    assert_true(version->content_known);
    write_model(&fixture, "weights_bytes 100k\nseed 4\n");
    assert_int_equal(prepare_for(&fixture, version, MM_DEVICE_SIM, &prepared), MM_SOURCE_CHANGED);
    write_model(&fixture, "no_such_key 1\n"); /* it cannot be read and is not the same either */
    assert_int_equal(prepare_for(&fixture, version, MM_DEVICE_SIM, &prepared), MM_SOURCE_CHANGED);
    write_model(&fixture, "weights_bytes 100k\nseed 3\n");
    refuse = refuse_sim; /* the same, and this kind is refused */
    assert_int_equal(prepare_for(&fixture, version, MM_DEVICE_SIM, &prepared), MM_UNSUPPORTED);
    assert_non_null(strstr(fixture.err.text, "model.echo: not on sim")); /* the file is named */
    refuse = NULL;
    assert_true(prepare_for_ok(&fixture, version, MM_DEVICE_SIM));
    free_version(&fixture, version);
    fixture_fini(&fixture);
}

/* ---- The n-th failure */

static void expect_whole_after(struct fixture *fixture, struct mmi_version *version) {
    world_fail_alloc(&fixture->world, 0);
    world_fault(&fixture->world, NULL, 0, 0);
    prepare_ok(fixture, version);
    assert_int_equal(version->builds[0]->weights_bytes, 70 * 1024);
    free_version(fixture, version);
}

static void test_nth_allocation(void **state) {
    (void)state;
    for (uint64_t nth = 1, again = 1; again; nth++) {
        struct fixture fixture;
        fixture_init(&fixture);
        write_model(&fixture, "weights_bytes 70k\nseed 9\nversion v\n");
        struct mmi_version *version = new_version(&fixture, NULL);
        struct mmi_prepared prepared;
        world_fail_alloc(&fixture.world, nth);
        mm_status status = prepare(&fixture, version, &prepared);
        again = world_failed(&fixture.world);
        if (status == MM_OK) {
            mmi_opened_close(&fixture.world.env.alloc, prepared.opened);
        } else {
            assert_int_equal(status, MM_NO_MEMORY);
            assert_true(again);
        }
        expect_whole_after(&fixture, version);
        fixture_fini(&fixture);
    }
}

static void nth_fault(const char *what, int errnum, mm_status expected) {
    for (uint64_t nth = 1, again = 1; again; nth++) {
        struct fixture fixture;
        fixture_init(&fixture);
        write_model(&fixture, "weights_bytes 70k\nseed 9\nversion v\n");
        struct mmi_version *version = new_version(&fixture, NULL);
        struct mmi_prepared prepared;
        world_fault(&fixture.world, what, nth, errnum);
        mm_status status = prepare(&fixture, version, &prepared);
        again = world_failed(&fixture.world);
        assert_int_equal(status, again ? expected : MM_OK);
        if (status == MM_OK) {
            mmi_opened_close(&fixture.world.env.alloc, prepared.opened);
        }
        expect_whole_after(&fixture, version);
        fixture_fini(&fixture);
    }
}

static void test_nth_fault(void **state) {
    (void)state;
    nth_fault("open", EIO, MM_IO);
    nth_fault("open", EMFILE, MM_NO_FDS);
    nth_fault("read", EIO, MM_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_a_file_to_an_open_description),
        cmocka_unit_test(test_the_way_back_needs_no_origin),
        cmocka_unit_test(test_equal_content_is_prepared_once),
        cmocka_unit_test(test_other_config_other_artifact),
        cmocka_unit_test(test_a_changed_source_is_not_the_version),
        cmocka_unit_test(test_comparing_reads_only_what_it_must),
        cmocka_unit_test(test_who_waits_for_the_byte_limit_can_be_cancelled),
        cmocka_unit_test(test_a_missing_source_is_named),
        cmocka_unit_test(test_a_cancelled_preparation_leaves_nothing),
        cmocka_unit_test(test_a_backend_without_prepare_gets_the_origin),
        cmocka_unit_test(test_a_wrong_description_is_refused),
        cmocka_unit_test(test_two_layouts_are_two_builds),
        cmocka_unit_test(test_one_layout_is_one_build),
        cmocka_unit_test(test_a_kind_that_the_backend_has_not),
        cmocka_unit_test(test_all_builds_have_one_content),
        cmocka_unit_test(test_nth_allocation),
        cmocka_unit_test(test_nth_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
