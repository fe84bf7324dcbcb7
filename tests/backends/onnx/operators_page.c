/* SPDX-License-Identifier: Apache-2.0 */

/* docs/operators.md: written from the operators' constants, from data/attributes.txt (opsets) and
 * from refused.def; and held against the file.
 *
 *     onnx-operators ATTRIBUTES check PAGE      exits 1 where the page is not what would be written
 *     onnx-operators ATTRIBUTES write PAGE */

#include <backends/onnx/operators/evaluate.h>
#include <backends/onnx/operators/number.h>
#include <backends/onnx/operators/refused.h>
#include <base/text.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES (256 * 1024)
#define MAX_OPERATORS 512

/* ---- Element types --------------------------------------------------------------------------- */

/* What `infer` of an operator asks of its input 0: its calls of check_type come by here
 * (-Wl,--wrap). */
static uint32_t asked;

mm_status __real_mmi_onnx_check_type(const struct onnx_inference *x, uint32_t input, uint32_t types,
                                     mm_error *err);
mm_status __wrap_mmi_onnx_check_type(const struct onnx_inference *x, uint32_t input, uint32_t types,
                                     mm_error *err);
mm_status __wrap_mmi_onnx_check_type(const struct onnx_inference *x, uint32_t input, uint32_t types,
                                     mm_error *err) {
    asked = input == 0 && !asked ? types : asked;
    return __real_mmi_onnx_check_type(x, input, types, err);
}
mm_status __real_mmi_onnx_check_types(const struct onnx_inference *x, uint32_t types,
                                      mm_error *err);
mm_status __wrap_mmi_onnx_check_types(const struct onnx_inference *x, uint32_t types,
                                      mm_error *err);
mm_status __wrap_mmi_onnx_check_types(const struct onnx_inference *x, uint32_t types,
                                      mm_error *err) {
    asked = asked ? asked : types;
    return __real_mmi_onnx_check_types(x, types, err);
}

/* Attributes that some operators do not do without. */
static const int64_t ones[] = {1, 1};
static struct onnx_attribute attributes[] = {
    {.name = "to", .type = ONNX_ATTRIBUTE_INT, .i = MM_F32},
    {.name = "axis", .type = ONNX_ATTRIBUTE_INT, .i = 0},
    {.name = "blocksize", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "hidden_size", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "kernel_shape", .type = ONNX_ATTRIBUTE_INTS, .count = 2, .ints = ones},
    {.name = "num_heads", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "q_num_heads", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "kv_num_heads", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "size", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "num_groups", .type = ONNX_ATTRIBUTE_INT, .i = 1},
    {.name = "pooled_shape", .type = ONNX_ATTRIBUTE_INTS, .count = 2, .ints = ones},
    {.name = "equation", .type = ONNX_ATTRIBUTE_STRING, .text = "i", .count = 1},
    {.name = "direction", .type = ONNX_ATTRIBUTE_STRING, .text = "LEFT", .count = 4},
};
#define ATTRIBUTES (sizeof(attributes) / sizeof(attributes[0]))

/* One try: input 0 of a type, the others of theirs, all of so many axes of length 1. */
struct probe {
    const struct onnx_operator *op;
    const void *params;
    int32_t first, others;
    uint32_t rank, inputs;
};

static bool takes(const struct probe *probe) {
    static const uint64_t zeros[16];
    static const int64_t shape[MM_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct onnx_tensor inputs[8], outputs[8];
    mm_error err;
    struct onnx_inference x = {.params = probe->params,
                               .input_count = probe->inputs,
                               .output_count = probe->op->min_outputs,
                               .inputs = inputs,
                               .outputs = outputs};
    memset(inputs, 0, sizeof(inputs));
    memset(outputs, 0, sizeof(outputs));
    for (uint32_t i = 0; i < x.input_count && i < 8; i++) {
        int32_t dtype = i == 0 ? probe->first : probe->others;
        if (mmi_onnx_tensor_set(&inputs[i], dtype, probe->rank, shape, &err) != MM_OK) {
            return false;
        }
        inputs[i].data = zeros;
        inputs[i].known = 1;
    }
    return x.input_count <= 8 && x.output_count <= 8 &&
           mmi_onnx_infer(probe->op, &x, &err) == MM_OK;
}

/* The types that it takes in one of these tries. */
static uint32_t tried(struct probe probe) {
    uint32_t types = 0;
    for (int32_t dtype = MM_F32; dtype <= MM_I2; dtype++) {
        const int32_t others[] = {dtype, MM_I64, MM_F32, MM_BOOL};
        probe.first = dtype;
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            probe.others = others[i];
            for (probe.rank = 0; probe.rank <= 5; probe.rank++) {
                probe.inputs = probe.op->min_inputs ? probe.op->min_inputs : 1;
                bool taken = takes(&probe);
                probe.inputs = probe.op->max_inputs;
                types |= taken || takes(&probe) ? ONNX_TYPE(dtype) : 0;
            }
        }
    }
    return types;
}

/* Of input 0, as a set; 0: it does not say. */
static uint32_t types_of(const struct onnx_operator *op) {
    static uint64_t params[64];
    struct onnx_node node = {.attributes = attributes, .name = "", .type = op->name, .domain = ""};
    const struct onnx_attributes a = {.node = &node, .opset = 27};
    mm_error err;
    bool read = false;
    bool can = op->infer && op->max_inputs > 0 && op->params_bytes <= sizeof(params);
    asked = 0;
    for (uint32_t more = 0; more < 2 && can && !read; more++) { /* "direction" has many words */
        node.attribute_count = ATTRIBUTES - 1 + more;
        memset(params, 0, sizeof(params));
        read = mmi_onnx_read_params(op, &a, params, &err) == MM_OK;
    }
    uint32_t types = read ? tried((struct probe){.op = op, .params = params}) : 0;
    return asked ? asked : types;
}

static const struct {
    const char *text;
    uint32_t types;
} sets[] = {
    {"floats", ONNX_FLOATS},
    {"integers", ONNX_INTEGERS},
    {"signed integers", ONNX_SIGNED},
    {"unsigned integers", ONNX_UNSIGNED},
    {"narrow types", ONNX_NARROW},
    {"8-bit floats", ONNX_FLOATS_8},
    {"integers of 4 and 2 bits", ONNX_SMALL_INTEGERS},
};

static void add_types(struct mmi_text *page, uint32_t types) {
    uint32_t all = 0;
    const char *between = "";
    for (int32_t dtype = MM_F32; dtype <= MM_I2; dtype++) {
        all |= ONNX_TYPE(dtype);
    }
    if ((types & all) == all) {
        mmi_text_add(page, "all");
        return;
    }
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if ((types & sets[i].types) == sets[i].types) {
            mmi_text_add(page, "%s%s", between, sets[i].text);
            types &= ~sets[i].types;
            between = ", ";
        }
    }
    for (int32_t dtype = MM_F32; dtype <= MM_I2; dtype++) {
        if (types & ONNX_TYPE(dtype)) {
            mmi_text_add(page, "%s%s", between, mm_dtype_text(dtype));
            between = ", ";
        }
    }
}

/* ---- Opsets ---------------------------------------------------------------------------------- */

/* Those that attributes.py leaves out, and other domains: the first opset that has it. */
static const struct {
    const char *name;
    int first;
} others[] = {{"If", 1},           {"Loop", 1},
              {"Scan", 8},         {"SequenceMap", 17},
              {"StringSplit", 20}, {"TfIdfVectorizer", 9},
              {"TreeEnsemble", 5}, {"SimplifiedLayerNormalization", 1}};

/* The first opset that has it, by the rows "operator first last ..."; 0: not among them. */
static int first_opset(const char *rows, const char *name) {
    char start[80];
    int first = 0;
    snprintf(start, sizeof(start), "%s ", name);
    for (const char *at = rows; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        int opset;
        bool its = strncmp(at, start, strlen(start)) == 0;
        if (its && sscanf(at + strlen(start), "%d", &opset) == 1 && (!first || opset < first)) {
            first = opset;
        }
    }
    return first;
}

static void add_opset(struct mmi_text *page, const struct onnx_operator *op, const char *rows) {
    int first = op->domain ? 0 : first_opset(rows, op->name);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        first = first == 0 && strcmp(others[i].name, op->name) == 0 ? others[i].first : first;
    }
    if (first == 0 && op->domain) {
        first = 1;
    }
    if (first > 0) {
        mmi_text_add(page, "%d", first);
    }
}

/* ---- The table ------------------------------------------------------------------------------- */

static void add_note(struct mmi_text *page, bool *first, const char *note) {
    mmi_text_add(page, "%s%s", *first ? "" : "; ", note);
    *first = false;
}

static void add_notes(struct mmi_text *page, const struct onnx_operator *op) {
    static const struct {
        uint32_t flag;
        const char *note;
    } flags[] = {{ONNX_OP_VIEW, "no step: the same bytes"},
                 {ONNX_OP_SHAPES_ONLY, "of shapes alone: no step"},
                 {ONNX_OP_ACTIVATES, "takes the activation that follows"},
                 {ONNX_OP_WIDENS, "a narrow constant stays narrow"},
                 {ONNX_OP_RANDOM, "other results in each run"},
                 {ONNX_OP_CONTROL, "where its condition is known, its branch takes its place"}};
    bool first = true;
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (op->flags & flags[i].flag) {
            add_note(page, &first, flags[i].note);
        }
    }
    if (mmi_onnx_is_dynamic(op)) {
        add_note(page, &first, "only the run knows its results: ends a segment");
    }
    char note[160];
    struct mmi_text text;
    mmi_text_init(&text, note, sizeof(note));
    for (uint32_t i = 0; i < 32; i++) {
        if (op->shaping_inputs >> i & 1) {
            mmi_text_add(&text, "%s%u", text.need ? ", " : "elements decide shapes: input ", i);
        }
    }
    if (text.need > 0) {
        add_note(page, &first, note);
    }
}

static const char *fused_as(const struct onnx_operator *op) {
    switch (op->elementwise.form) {
    case ONNX_FORM_NONE:
        return op->elementwise_by ? "fused" : "";
    case ONNX_FORM_ONE:
        return "fused, activation";
    default:
        return "fused";
    }
}

static int by_name(const void *a_, const void *b_) {
    const struct onnx_operator *a = *(const struct onnx_operator *const *)a_;
    const struct onnx_operator *b = *(const struct onnx_operator *const *)b_;
    return strcmp(a->name, b->name);
}

static void add_domain(struct mmi_text *page, const char *domain, const char *title,
                       const char *rows) {
    const struct onnx_operator *all[MAX_OPERATORS];
    size_t count = 0;
    for (size_t i = 0; mmi_onnx_operators[i] && count < MAX_OPERATORS; i++) {
        const char *its = mmi_onnx_operators[i]->domain;
        if (strcmp(its ? its : "", domain) == 0) {
            all[count++] = mmi_onnx_operators[i];
        }
    }
    qsort(all, count, sizeof(all[0]), by_name);
    mmi_text_add(page, "\n## %s\n\n%zu operators.\n\n", title, count);
    mmi_text_add(page, "| operator | since | types of its first input | kernel | elementwise | "
                       "notes |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++) {
        mmi_text_add(page, "| %s | ", all[i]->name);
        add_opset(page, all[i], rows);
        mmi_text_add(page, " | ");
        add_types(page, types_of(all[i]));
        mmi_text_add(page, " | %s | %s | ", all[i]->kernels[ONNX_CPU] ? "fast" : "plain",
                     fused_as(all[i]));
        add_notes(page, all[i]);
        mmi_text_add(page, " |\n");
    }
}

static void add_refused(struct mmi_text *page) {
    mmi_text_add(page, "\n## Refused\n\n"
                       "A model with one of these is refused with MM_UNSUPPORTED, a sentence that "
                       "names it, and the advice. \"*\": every other one\nof the domain. What is "
                       "in neither list is refused in the same way, without an advice.\n\n"
                       "| domain | operator | advice |\n|---|---|---|\n");
    const struct onnx_refused *at = mmi_onnx_refused;
    while (at->domain) {
        const struct onnx_refused *first = at;
        mmi_text_add(page, "| %s | %s", at->domain[0] ? at->domain : "ai.onnx", at->name);
        for (at++; at->domain && strcmp(at->domain, first->domain) == 0 &&
                   strcmp(at->advice, first->advice) == 0;
             at++) {
            mmi_text_add(page, ", %s", at->name);
        }
        mmi_text_add(page, " | %s |\n", first->advice);
    }
}

static const char beginning[] =
    "# Operators of the ONNX backend\n"
    "\n"
    "Written by a program from the operators' own constants; to write it anew:\n"
    "\n"
    "```sh\n"
    "ninja -C build tests/backends/onnx/onnx-operators\n"
    "build/tests/backends/onnx/onnx-operators tests/backends/onnx/data/attributes.txt write "
    "docs/operators.md\n"
    "```\n"
    "\n"
    "- **since**: the first opset of its domain; every opset from there to the newest (ai.onnx 27, "
    "ai.onnx.ml 5, others 1) is run.\n"
    "  Older forms and names (`Scatter`, `Upsample`) are brought to the newest one.\n"
    "- **types of its first input**: what its shape inference takes. *floats*: f16, bf16, f32, "
    "f64; "
    "*integers*: i8 to i64, u8 to u64;\n"
    "  *narrow types*: floats of 8 and 4 bits, integers of 4 and 2. Empty: it depends on more than "
    "a type.\n"
    "- **kernel**: *fast*: vectorised and parallel (in `cpu/`) where types and shapes suit, which "
    "`mmctl inspect --shape` tells for a model;\n"
    "  else, and where only *plain* is said, portable C on one thread that is right for every "
    "type.\n"
    "- **elementwise**: *fused*: on f32 it is fused with its elementwise neighbours, and so "
    "vectorised; *activation*: also into the convolution\n"
    "  or matrix product before it.\n"
    "\n"
    "How it works: [onnx.md](onnx.md).\n";

static size_t write_page(char *text, const char *rows) {
    struct mmi_text page;
    mmi_text_init(&page, text, PAGE_BYTES);
    mmi_text_add(&page, "%s", beginning);
    add_domain(&page, "", "ai.onnx", rows);
    add_domain(&page, ONNX_ML, "ai.onnx.ml", rows);
    add_domain(&page, ONNX_MICROSOFT, "com.microsoft", rows);
    add_domain(&page, "ai.onnx.preview.training", "ai.onnx.preview.training", rows);
    add_refused(&page);
    return page.need;
}

/* ---- The file -------------------------------------------------------------------------------- */

static char *read_text(const char *path) {
    static char texts[2][PAGE_BYTES];
    static unsigned next;
    char *text = texts[next++ % 2];
    FILE *file = fopen(path, "rb");
    if (!file) {
        return NULL;
    }
    text[fread(text, 1, PAGE_BYTES - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* No operator is in both lists. */
static bool lists_agree(void) {
    bool agree = true;
    for (const struct onnx_refused *at = mmi_onnx_refused; at->domain; at++) {
        if (mmi_onnx_find_operator(at->domain, at->name)) {
            fprintf(stderr, "refused.def: %s is run\n", at->name);
            agree = false;
        }
    }
    return agree;
}

static int check(const char *path, const char *page) {
    const char *there = read_text(path);
    int line = 1;
    if (!lists_agree()) {
        return 1;
    }
    if (!there) {
        fprintf(stderr, "%s cannot be read\n", path);
        return 1;
    }
    for (; *there && *there == *page; there++, page++) {
        line += *there == '\n';
    }
    if (*there == *page) {
        return 0;
    }
    fprintf(stderr,
            "%s:%d is not what the operators' constants say; its first lines tell how to "
            "write it anew\n",
            path, line);
    return 1;
}

static int write_file(const char *path, const char *page, size_t bytes) {
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(page, 1, bytes, file) == bytes;
    good = file && fclose(file) == 0 && good;
    if (!good) {
        perror(path);
    }
    return good ? 0 : 1;
}

int main(int argc, char **argv) {
    static char page[PAGE_BYTES];
    const char *rows = argc == 4 ? read_text(argv[1]) : NULL;
    if (!rows) {
        fprintf(stderr, "usage: onnx-operators ATTRIBUTES check|write PAGE\n");
        return 2;
    }
    size_t bytes = write_page(page, rows);
    if (bytes >= sizeof(page)) {
        fprintf(stderr, "the page has %zu bytes, more than there is room for\n", bytes);
        return 1;
    }
    return strcmp(argv[2], "write") == 0 ? write_file(argv[3], page, bytes) : check(argv[3], page);
}
