/* SPDX-License-Identifier: Apache-2.0 */

/* ONNX's own tests of operators and of small models, through the public API:
 *
 *     suite KNOWN FOLDER [NAME]
 *
 * FOLDER is one below onnx/backend/test/data of the package onnx, up to version 1.22, with a folder
 * a test: model.onnx, test_data_set_0/input_N.pb and output_N.pb; or the one named light, with
 * NAME.onnx and NAME_output_0.pb. A test that needs an operator, an opset or a type that is not
 * there is skipped, and, with a line that says so, one with a picture whose library is not there;
 * every other one must give the expected outputs. KNOWN lists tests that do not, a line each,
 * "name: why"; one of them that passes is a failure too, so that the list shrinks. NAME: only this
 * one, with its reason; "all": all of them. */

#include <backends/onnx/format/load.h>
#include <backends/onnx/graph/upgrade.h>
#include <backends/onnx/operators/operator.h>
#include <backends/onnx/suite_values.h>
#include <base/alloc.h>
#include <base/status.h>

#include <modelmesh/modelmesh.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RELATIVE 1e-3 /* as onnx's own runner compares */
#define ABSOLUTE 1e-7
#define MAX_VALUES 64

enum verdict { PASSED, FAILED, SKIPPED };

struct file {
    uint8_t *bytes;
    uint64_t count;
};

/* One test. */
struct test {
    const char *folder, *name; /* "<...>/node", "test_abs" */
    bool light;                /* one of NAME.onnx */
    bool lacks;                /* skipped for want of a library */
    mm_mesh *mesh;
    struct onnx_arena arena;
    struct file file; /* the model */
    struct onnx_model model;
    mm_value inputs[MAX_VALUES];
    mm_value expected[MAX_VALUES];
    uint32_t input_count, expected_count;
    mm_error err; /* why it failed or was skipped */
};

/* ---- Files ----------------------------------------------------------------------------------- */

static bool read_file(struct test *test, const char *path, struct file *file) {
    FILE *stream = fopen(path, "rb");
    if (!stream) {
        return false;
    }
    fseek(stream, 0, SEEK_END);
    long count = ftell(stream);
    rewind(stream);
    file->count = count > 0 ? (uint64_t)count : 0;
    file->bytes = mmi_onnx_take_data(&test->arena, file->count);
    bool good = file->bytes && fread(file->bytes, 1, file->count, stream) == file->count;
    fclose(stream);
    return good;
}

static mm_status read_bytes(void *ctx, uint64_t offset, void *to, uint64_t count, mm_error *err) {
    const struct file *file = ctx;
    if (offset > file->count || count > file->count - offset) {
        return mmi_fail(err, MM_INVALID_MODEL, "the file ends before");
    }
    memcpy(to, file->bytes + offset, count);
    return MM_OK;
}

/* What is "input" or "output". MM_NONE: there is no such file. */
static mm_status read_value(struct test *test, const char *what, uint32_t i,
                            const mm_value_info *info, mm_value *value) {
    char path[4096];
    struct file file;
    snprintf(path, sizeof(path), test->light ? "%s/%s_%s_%u.pb" : "%s/%s/test_data_set_0/%s_%u.pb",
             test->folder, test->name, what, i);
    return read_file(test, path, &file)
               ? suite_read_value(&test->model, file.bytes, file.count, info, value, &test->err)
               : MM_NONE;
}

/* ---- Which tests ----------------------------------------------------------------------------- */

/* The node, in a graph or its branches, whose operator is not there; NULL: all are. */
static const struct onnx_node *find_unknown(struct onnx_model *model,
                                            const struct onnx_graph *graph) {
    const struct onnx_node *unknown = NULL;
    for (uint32_t i = 0; i < graph->node_count && !unknown; i++) {
        struct onnx_node *node = graph->nodes[i];
        if (node->domain[0] == '\0') {
            mmi_onnx_upgrade(model, node, NULL); /* some had another name */
        }
        bool known =
            mmi_onnx_find_operator(node->domain, node->type) || strcmp(node->type, "Constant") == 0;
        unknown = known ? NULL : node;
        for (uint32_t j = 0; j < node->attribute_count && !unknown; j++) {
            const struct onnx_graph *branch = node->attributes[j].graph;
            unknown = branch ? find_unknown(model, branch) : NULL;
        }
    }
    return unknown;
}

/* MM_UNSUPPORTED: not for us, or not yet. */
static mm_status load_test(struct test *test) {
    char path[4096];
    snprintf(path, sizeof(path), test->light ? "%s/%s.onnx" : "%s/%s/model.onnx", test->folder,
             test->name);
    if (!read_file(test, path, &test->file)) {
        return mmi_fail(&test->err, MM_IO, "%s: %s", path, strerror(errno));
    }
    const mm_source source = {
        .ctx = &test->file, .name = test->name, .bytes = test->file.count, .read = read_bytes};
    const mm_services services = {.limits_nesting = 64};
    test->model.arena = &test->arena;
    MMI_TRY(mmi_onnx_load(&source, &services, &test->model, &test->err));
    const struct onnx_node *unknown = find_unknown(&test->model, test->model.main);
    if (unknown) {
        return mmi_fail(&test->err, MM_UNSUPPORTED, "operator %s", unknown->type);
    }
    return MM_OK;
}

/* As onnx's runner makes it where there is no file: 0/n, 1/n, 2/n ... */
static mm_status make_input(struct test *test, const mm_value_info *info, mm_value *value) {
    uint64_t elements = mm_shape_elements((uint32_t)info->rank, info->shape);
    *value = (mm_value){.name = info->name,
                        .kind = MM_TENSOR,
                        .dtype = info->dtype,
                        .rank = (uint32_t)info->rank,
                        .bytes = mm_dtype_bytes(info->dtype, elements)};
    memcpy(value->shape, info->shape, sizeof(value->shape));
    float *data = value->data = mmi_onnx_take_data(&test->arena, value->bytes);
    if (!data || value->dtype != MM_F32) {
        return mmi_fail(&test->err, MM_UNSUPPORTED, "an input of %s", mm_dtype_text(value->dtype));
    }
    for (uint64_t j = 0; j < elements; j++) {
        data[j] = (float)((double)j / (double)elements);
    }
    return MM_OK;
}

static mm_status load_values(struct test *test) {
    const struct onnx_graph *main = test->model.main;
    mm_status status = MM_OK;
    for (uint32_t i = 0; i < main->input_count && i < MAX_VALUES && status == MM_OK; i++) {
        const mm_value_info *info = &test->model.inputs[i];
        mm_value *input = &test->inputs[test->input_count];
        status =
            test->light ? make_input(test, info, input) : read_value(test, "input", i, info, input);
        test->input_count += status == MM_OK;
    }
    status = status == MM_NONE ? MM_OK : status;
    for (uint32_t i = 0; i < main->output_count && i < MAX_VALUES && status == MM_OK; i++) {
        status = read_value(test, "output", i, &test->model.outputs[i], &test->expected[i]);
        test->expected_count += status == MM_OK;
    }
    return status == MM_NONE ? MM_OK : status;
}

static bool is_other_type(int32_t dtype) {
    return dtype == MM_C64 || dtype == MM_C128 || dtype > MM_BF16;
}

/* Complex numbers, and types of fewer bits than 16 that are no integers of 8: they are
 * moved, and no more, for now. */
static bool has_other_types(const struct test *test) {
    bool has = false;
    for (uint32_t i = 0; i < test->input_count; i++) {
        has = has || is_other_type(test->inputs[i].dtype);
    }
    for (uint32_t i = 0; i < test->expected_count; i++) {
        has = has || is_other_type(test->expected[i].dtype);
    }
    return has;
}

/* ImageDecoder, without the library of this format: the message says what to install. */
static bool lacks_library(const struct test *test, mm_status status) {
    const struct onnx_graph *main = test->model.main;
    return status == MM_UNSUPPORTED && main->node_count > 0 &&
           strcmp(main->nodes[0]->type, "ImageDecoder") == 0 && strstr(test->err.text, "(Debian: ");
}

/* ---- Comparing ------------------------------------------------------------------------------- */

static mm_status compare_all(struct test *test, const mm_response *response) {
    if (response->output_count != test->expected_count) {
        return mmi_fail(&test->err, MM_BACKEND_FAILED, "%u outputs, %u wanted",
                        response->output_count, test->expected_count);
    }
    for (uint32_t i = 0; i < response->output_count; i++) {
        mm_status status = suite_compare(&response->outputs[i], &test->expected[i], RELATIVE,
                                         ABSOLUTE, &test->err);
        if (status != MM_OK) {
            mmi_error_prefix(&test->err, "output %s", response->outputs[i].name);
            return status;
        }
    }
    return MM_OK;
}

/* ---- Running --------------------------------------------------------------------------------- */

static mm_status infer(struct test *test) {
    mm_model_spec spec = MM_MODEL_SPEC_INIT;
    mm_request request = MM_REQUEST_INIT;
    mm_response response = MM_RESPONSE_INIT;
    mm_model model;
    spec.name = test->name;
    spec.data = test->file.bytes;
    spec.data_bytes = test->file.count;
    spec.format = "onnx";
    request.inputs = test->inputs;
    request.input_count = test->input_count;
    MMI_TRY(mm_register(test->mesh, &spec, &model, &test->err));
    mm_status status = mm_infer(test->mesh, model, &request, &response, &test->err);
    if (status == MM_OK) {
        status = compare_all(test, &response);
        mm_response_free(&response);
    }
    mm_unregister(test->mesh, model, NULL);
    return status;
}

static enum verdict run_test(struct test *test) {
    mmi_onnx_arena_init(&test->arena, &mmi_malloc_allocator);
    mm_status status = load_test(test);
    if (status == MM_OK) {
        status = load_values(test);
    }
    enum verdict verdict = status == MM_UNSUPPORTED ? SKIPPED : FAILED;
    if (status == MM_OK) {
        status = infer(test);
        bool refused = status == MM_UNSUPPORTED || status == MM_INVALID_MODEL;
        bool skipped = (refused && has_other_types(test)) || lacks_library(test, status);
        verdict = status == MM_OK ? PASSED : skipped ? SKIPPED : FAILED;
        test->lacks = lacks_library(test, status);
    }
    mmi_onnx_arena_free(&test->arena);
    return verdict;
}

/* ---- The suite ------------------------------------------------------------------------------- */

/* Is there a line "name: ..." in the list? */
static bool is_known(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *line = list; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            return true;
        }
    }
    return false;
}

static char *read_list(const char *path) {
    static char list[1 << 16];
    FILE *stream = fopen(path, "r");
    size_t count = stream ? fread(list, 1, sizeof(list) - 1, stream) : 0;
    list[count] = '\0';
    if (stream) {
        fclose(stream);
    }
    return stream ? list : NULL;
}

static mm_mesh *make_mesh(const char *cpu_features) {
    mm_mesh_options options = MM_MESH_OPTIONS_INIT;
    mm_device_options device = MM_DEVICE_OPTIONS_INIT;
    mm_mesh *mesh = NULL;
    mm_error err;
    device.name = "host";
    device.budget_bytes = UINT64_C(4) << 30;
    options.devices = &device;
    options.device_count = 1;
    options.compute_threads = 1;
    options.infer_threads = MM_THREADS_NONE;
    options.cpu_features = cpu_features ? strtoull(cpu_features, NULL, 0) : 0;
    if (mm_mesh_create(&options, &mesh, &err) != MM_OK) {
        printf("%s\n", err.text);
    }
    return mesh;
}

struct counts {
    unsigned passed, failed, skipped, known;
};

static void count_test(struct test *test, const char *list, bool tell, struct counts *counts) {
    enum verdict verdict = run_test(test);
    bool known = is_known(list, test->name);
    bool wrong = (verdict == FAILED) != known;
    counts->passed += verdict == PASSED;
    counts->skipped += verdict == SKIPPED;
    counts->known += known;
    counts->failed += wrong;
    if (wrong || tell || test->lacks) {
        printf("%s: %s%s\n", test->name, verdict == SKIPPED ? "skipped: " : "",
               verdict == PASSED ? "passed" : test->err.text);
    }
}

/* The test that an entry of the folder stands for. false: none. */
static bool make_test(struct test *test, const char *folder, char *entry) {
    char *dot = strrchr(entry, '.');
    bool light = dot && strcmp(dot, ".onnx") == 0;
    if (dot && !light) {
        return false;
    }
    if (light) {
        *dot = '\0';
    }
    *test = (struct test){.folder = folder, .name = entry, .light = light};
    return true;
}

int main(int argc, char **argv) {
    static struct test test;
    struct dirent **entries;
    struct counts counts = {0};
    const char *list = argc >= 3 ? read_list(argv[1]) : NULL;
    int count = argc >= 3 ? scandir(argv[2], &entries, NULL, alphasort) : -1;
    mm_mesh *mesh = make_mesh(getenv("CPU_FEATURES"));
    if (!list || count < 0 || !mesh) {
        printf("suite KNOWN FOLDER [NAME]\n");
        return 2;
    }
    for (int i = 0; i < count; i++) {
        if (make_test(&test, argv[2], entries[i]->d_name) &&
            (argc < 4 || strcmp(argv[3], "all") == 0 || strcmp(test.name, argv[3]) == 0)) {
            test.mesh = mesh;
            count_test(&test, list, argc > 3, &counts);
        }
        free(entries[i]);
    }
    free(entries);
    mm_mesh_free(&mesh);
    printf("%u passed, %u failed, %u known to fail, %u skipped\n", counts.passed, counts.failed,
           counts.known, counts.skipped);
    return counts.failed > 0 || counts.passed == 0;
}
