/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "usage: zoo [OPTION ...]\n"
    "\n"
    "Registers 100 models where 20 fit, reads a picture, listens to a recording, tells the type "
    "of\n"
    "files, then sends a stream of requests to all models and shows what came of it.\n"
    "\n"
    "  --seconds S      how long the stream runs (20)\n"
    "  --requests N     end it after so many requests instead\n"
    "  --threads N      clients that send requests, each one after the other (4)\n"
    "  --seed N         which stream (1): the same seed gives the same requests\n"
    "  --log            print every decision of the library, e.g. who was evicted for whom\n"
    "  --data DIR       what the tools of the zoo made (build/examples/zoo)\n"
    "  --models DIR     models.txt and the models (DATA/models)\n"
    "  --cache-dir DIR  where prepared models are kept (DATA/cache)\n"
    "  --help\n"
    "\n"
    "Exit codes: 0 done, 1 a request failed or an answer was wrong, 2 bad arguments.\n";

enum { OPTION_SECONDS, OPTION_REQUESTS, OPTION_THREADS, OPTION_SEED, OPTION_LOG, OPTION_DATA };
enum { OPTION_MODELS = OPTION_DATA + 1, OPTION_CACHE_DIR, OPTION_HELP };

static const struct option known[] = {
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"requests", required_argument, NULL, OPTION_REQUESTS},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"log", no_argument, NULL, OPTION_LOG},
    {"data", required_argument, NULL, OPTION_DATA},
    {"models", required_argument, NULL, OPTION_MODELS},
    {"cache-dir", required_argument, NULL, OPTION_CACHE_DIR},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

static int bad(const char *name, const char *value, uint64_t least, uint64_t most) {
    fprintf(stderr, "zoo: --%s %s: %" PRIu64 " to %" PRIu64 " is possible\n", name, value, least,
            most);
    return 2;
}

static int read_count(const char *name, const char *text, uint64_t most, uint64_t *count) {
    uint64_t least = most < UINT64_MAX; /* any seed is good */
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || text[0] == '-' || value < least || value > most) {
        return bad(name, text, least, most);
    }
    *count = value;
    return -1;
}

static int take(int option, const char *value, struct options *options) {
    switch (option) {
    case OPTION_SECONDS:
        return read_count("seconds", value, 86400, &options->seconds);
    case OPTION_REQUESTS:
        return read_count("requests", value, 100000000, &options->requests);
    case OPTION_THREADS:
        return read_count("threads", value, MOST_CLIENTS, &options->clients);
    case OPTION_SEED:
        return read_count("seed", value, UINT64_MAX, &options->seed);
    case OPTION_LOG:
        options->log = true;
        return -1;
    case OPTION_DATA:
        options->data = value;
        return -1;
    case OPTION_MODELS:
        options->models = value;
        return -1;
    case OPTION_CACHE_DIR:
        options->cache_dir = value;
        return -1;
    case OPTION_HELP:
        fputs(usage, stdout);
        return 0;
    default:
        fputs("zoo: see --help\n", stderr); /* getopt said what is wrong */
        return 2;
    }
}

int options_read(int argc, char **argv, struct options *options) {
    *options = (struct options){.data = "build/examples/zoo", .clients = 4, .seed = 1};
    int option, code = -1;
    while (code < 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        code = take(option, optarg, options);
    }
    if (code >= 0) {
        return code;
    }
    if (optind < argc) {
        fprintf(stderr, "zoo: %s: unexpected; see --help\n", argv[optind]);
        return 2;
    }
    if (options->seconds == 0 && options->requests == 0) {
        options->seconds = 20;
    }
    return -1;
}
