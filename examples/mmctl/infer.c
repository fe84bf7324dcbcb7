/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "show.h"
#include "values.h"

#include <stdio.h>

struct infer_options {
    const char *path, *format, *output_dir, *save_dir;
    struct input_options inputs;
};

static int read_options(struct arguments *arguments, struct infer_options *options) {
    const char *argument;
    while ((argument = next_argument(arguments))) {
        if (take_option(arguments, argument, "--output-dir", &options->output_dir) ||
            take_option(arguments, argument, "--format", &options->format) ||
            take_option(arguments, argument, "--save-inputs", &options->save_dir) ||
            take_input_option(arguments, argument, &options->inputs)) {
            continue;
        }
        if (argument[0] == '-' || options->path) {
            return bad_argument(argument, "unexpected");
        }
        options->path = argument;
    }
    if (arguments->failed) {
        return EXIT_USAGE;
    }
    return options->path ? EXIT_DONE : bad_argument("infer", "a model file is missing");
}

static int run(mm_mesh *mesh, mm_model model, const struct infer_options *options,
               const struct inputs *inputs) {
    mm_error err;
    mm_request request = MM_REQUEST_INIT;
    request.inputs = inputs->values;
    request.input_count = inputs->count;
    mm_response response = MM_RESPONSE_INIT;
    if (mm_infer(mesh, model, &request, &response, &err) != MM_OK) {
        return failure(options->path, &err);
    }
    int code = EXIT_DONE;
    if (options->output_dir) {
        bool good = write_values(options->output_dir, response.outputs, response.output_count);
        code = good ? EXIT_DONE : EXIT_FAILED;
    } else {
        for (uint32_t i = 0; i < response.output_count; i++) {
            printf("%-24s %s\n", response.outputs[i].name, show_bytes(response.outputs[i].bytes));
        }
    }
    mm_response_free(&response);
    return code;
}

static int infer(mm_mesh *mesh, mm_model model, const struct infer_options *options) {
    mm_error err;
    mm_model_description *description;
    if (mm_model_describe(mesh, model, 0, &description, &err) != MM_OK) {
        return failure(options->path, &err);
    }
    struct inputs inputs;
    int code = EXIT_USAGE;
    if (make_inputs(description, &options->inputs, &inputs)) {
        code = EXIT_DONE;
        if (options->save_dir && !write_values(options->save_dir, inputs.values, inputs.count)) {
            code = EXIT_FAILED;
        }
        if (code == EXIT_DONE) {
            code = run(mesh, model, options, &inputs);
        }
        free_inputs(&inputs);
    }
    mm_description_free(description);
    return code;
}

int command_infer(int argc, char **argv) {
    struct arguments arguments = {.count = argc, .values = argv};
    struct infer_options options = {0};
    int code = read_options(&arguments, &options);
    if (code != EXIT_DONE) {
        return code;
    }
    mm_mesh *mesh;
    mm_model model;
    const struct opening opening = {.path = options.path, .format = options.format};
    code = open_model(&opening, &mesh, &model);
    if (code == EXIT_DONE) {
        code = infer(mesh, model, &options);
        mm_mesh_free(&mesh);
    }
    return code;
}
