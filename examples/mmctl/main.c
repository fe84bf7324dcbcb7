/* SPDX-License-Identifier: Apache-2.0 */
/* mmctl: look at models, run them, time them, replay a trace against a mesh. Public API only. */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: mmctl COMMAND ...\n"
    "\n"
    "  inspect MODEL [--format NAME] [--shape NAME=1x3x640x640 ...] [--json]\n"
    "      inputs, outputs, format, bytes, operators, weights, what was folded and fused; with "
    "all\n"
    "      shapes known: steps and their kernels, memory. Of a model that cannot be run: all that\n"
    "      is in the way\n"
    "  infer MODEL [--format NAME] [--input NAME=FILE.npy ...] [--random SEED]\n"
    "        [--output-dir DIR] [--save-inputs DIR] [--shape NAME=1x3x640x640 ...]\n"
    "      run it once and write every output as DIR/NAME.npy; what is no tensor is NAME.json,\n"
    "      for --input as well\n"
    "  bench MODEL [--format NAME] [--threads N] [--runs N] [--input NAME=FILE.npy ...]\n"
    "        [--shape NAME=...] [--cpu-features MASK] [--json]\n"
    "      time preparing, opening, the first answer and hot ones\n"
    "  profile MODEL [--format NAME] [--shape NAME=... ...] [--threads N] [--runs N] [--warm-up "
    "N]\n"
    "        [--nodes N] [--random SEED] [--cpu-features MASK] [--trace OUT.json] [--json]\n"
    "      time, GFLOP/s and GB/s of each operator and of the nodes that take most; a trace for\n"
    "      Perfetto or chrome://tracing\n"
    "  replay TRACE.csv --models DIR --device host:BYTES[,sim:BYTES...] [--policy lru]\n"
    "         [--clients N] [--shape [MODEL:]NAME=1x3x48x192 ...] [--cache-dir DIR] [--json]\n"
    "      closed-loop clients take the lines `seq,model` in turn and call DIR/MODEL.* with\n"
    "      the inputs of --random 1\n"
    "  verify CACHE_DIR\n"
    "      check every prepared model in a cache directory, remove damaged ones\n"
    "  version\n"
    "\n"
    "MASK: MM_CPU_* that kernels may use, as a number: 1 is AVX2 without AVX-512, 0 all.\n"
    "BYTES take k, m, g. Exit codes: 0 done, 1 a model or request failed, 2 bad arguments.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"inspect", command_inspect}, {"infer", command_infer},   {"bench", command_bench},
    {"profile", command_profile}, {"replay", command_replay}, {"verify", command_verify},
};

/* What was printed is there, or it is said. */
static int finish(int code) {
    bool good = fflush(stdout) == 0 && !ferror(stdout);
    if (!good && code == EXIT_DONE) {
        fprintf(stderr, "mmctl: standard output could not be written: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    return code;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return finish(commands[i].run(argc - 2, argv + 2));
        }
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        printf("mmctl %s\n", mm_version());
        return finish(EXIT_DONE);
    }
    bool help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0;
    fputs(usage, help ? stdout : stderr);
    return help ? finish(EXIT_DONE) : bad_argument(argv[1], "no such command");
}
