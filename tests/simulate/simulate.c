/* SPDX-License-Identifier: Apache-2.0 */
/* A whole mesh in one thread, under a clock that stands still until it is moved. A seed says what
 * is called, what fails, and at each step whose turn it is.
 *
 *   test-simulate [FIRST [COUNT]]      seeds FIRST ... ; default: 1, and 2000 of them. Of the first
 *                                      that fails: the smallest scenario, and what happened in it
 *   test-simulate --story SEED         one seed, as it is, told line by line
 *   test-simulate --list [FIRST [COUNT]]   one line for each that fails; nothing is made smaller
 *   test-simulate --first [FIRST [COUNT]]  the first that fails, in one line
 *
 * --skip TEXT, before all others, up to eight times: go on after a failure with that in its text.
 *
 * Exits 1 when one failed. */
#include "sim.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 30u

static struct sim the_sim;

/* What a child process tells its parent. */
static struct report {
    volatile uint64_t seed, answers, steps;
    struct outcome outcome;
} * report;

static int lowest_descriptor(void) {
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

bool sim_run(struct sim *sim, const struct scenario *scenario, bool tell) {
    int descriptor = lowest_descriptor();
    memset(sim, 0, sizeof(*sim));
    sim->scenario = scenario;
    sim->story = tell;
    faults_init(sim);
    schedule_init(sim);
    backend_use(sim);
    disk_begin(sim);
    schedule_run(sim);
    disk_end(sim);
    if (!sim->failed && lowest_descriptor() != descriptor) {
        sim_fail(sim, "leak", "a descriptor is still open");
    }
    report->answers += sim->answers;
    report->steps += sim->step;
    return !sim->failed;
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void tell_outcome(const struct sim *sim) {
    report->outcome.failed = true;
    memcpy(report->outcome.kind, sim->kind, sizeof(sim->kind));
    memcpy(report->outcome.text, sim->text, sizeof(sim->text));
}

static pid_t begin_child(void) {
    fflush(NULL);
    report->outcome.failed = false;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    }
    return child;
}

/* It also fails by dying. */
static void end_child(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    disk_remove((long)child);
    if (WIFSIGNALED(status) && !report->outcome.failed) {
        report->outcome.failed = true;
        snprintf(report->outcome.kind, sizeof(report->outcome.kind), "signal %d", WTERMSIG(status));
        snprintf(report->outcome.text, sizeof(report->outcome.text), "%s",
                 WTERMSIG(status) == SIGALRM ? "it runs and runs" : strsignal(WTERMSIG(status)));
    } else if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && !report->outcome.failed) {
        report->outcome.failed = true;
        snprintf(report->outcome.kind, sizeof(report->outcome.kind), "exit %d",
                 WEXITSTATUS(status));
        report->outcome.text[0] = '\0';
    }
}

void sim_try(const struct scenario *scenario, bool tell, struct outcome *outcome) {
    pid_t child = begin_child();
    if (child == 0) {
        if (!tell) { /* a sanitizer's report is shown once, with the story */
            dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        }
        setvbuf(stdout, NULL, _IOLBF, 0); /* it may die */
        alarm(PATIENCE_S);
        if (!sim_run(&the_sim, scenario, tell)) {
            tell_outcome(&the_sim);
            if (tell) {
                story_waiting(&the_sim);
            }
        }
        fflush(NULL);
        _exit(0);
    }
    end_child(child);
    *outcome = report->outcome;
}

/* Seeds from `first` on, below `end`, in one process. Returns the one that failed, or `end`. */
static uint64_t run_seeds(uint64_t first, uint64_t end) {
    pid_t child = begin_child();
    if (child == 0) {
        static struct scenario scenario;
        for (uint64_t seed = first; seed < end; seed++) {
            report->seed = seed;
            alarm(PATIENCE_S);
            scenario_make(seed, &scenario);
            if (!sim_run(&the_sim, &scenario, false)) {
                tell_outcome(&the_sim);
                break;
            }
        }
        _exit(0);
    }
    end_child(child);
    return report->outcome.failed ? report->seed : end;
}

/* ---- The program ----------------------------------------------------------------------------- */

static void show(const struct scenario *scenario) {
    struct outcome outcome;
    scenario_print(scenario);
    sim_try(scenario, true, &outcome);
    printf("%s: %s\n", outcome.failed ? outcome.kind : "nothing is wrong",
           outcome.failed ? outcome.text : "");
}

static void explain(uint64_t seed) {
    static struct scenario scenario;
    scenario_make(seed, &scenario);
    struct outcome outcome = report->outcome;
    printf("seed %" PRIu64 " fails: %s: %s\n", seed, outcome.kind, outcome.text);
    sim_try(&scenario, false, &outcome);
    if (!outcome.failed) {
        printf("... but not by itself\n");
        return;
    }
    shrink(&scenario, &outcome);
    printf("The smallest that still does:\n");
    show(&scenario);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

enum mode { EXPLAIN, LIST, FIRST };

static int run(enum mode mode, uint64_t first, uint64_t count) {
    double begun = seconds();
    uint64_t failed = 0;
    uint64_t end = first + count;
    for (uint64_t seed = first; seed < end;) {
        uint64_t bad = run_seeds(seed, end);
        if (bad == end) {
            break;
        }
        failed++;
        if (mode == EXPLAIN) {
            explain(bad);
        } else {
            printf("%" PRIu64 " %s: %s\n", bad, report->outcome.kind, report->outcome.text);
        }
        fflush(stdout);
        if (mode != LIST) {
            return 1;
        }
        seed = bad + 1;
    }
    double took = seconds() - begun;
    printf("%" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " answers, %" PRIu64
           " failed, %.1f s, %.2f ms each\n",
           count, report->steps, report->answers, failed, took, took * 1e3 / (double)count);
    return failed > 0;
}

static uint64_t number(int argc, char **argv, int at, uint64_t fallback) {
    return at < argc ? strtoull(argv[at], NULL, 10) : fallback;
}

int main(int argc, char **argv) {
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        return 2;
    }
    for (; argc > 2 && strcmp(argv[1], "--skip") == 0; argc -= 2, argv += 2) {
        sim_skip(argv[2]);
    }
    if (argc > 2 && strcmp(argv[1], "--story") == 0) {
        static struct scenario scenario;
        scenario_make(number(argc, argv, 2, 1), &scenario);
        show(&scenario);
        return report->outcome.failed;
    }
    enum mode mode = EXPLAIN;
    int at = 1;
    if (argc > 1 && argv[1][0] == '-') {
        mode = strcmp(argv[1], "--list") == 0 ? LIST : FIRST;
        at = 2;
    }
    return run(mode, number(argc, argv, at, 1), number(argc, argv, at + 1, 2000));
}
