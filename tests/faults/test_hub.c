/* Faults on the way into the hub's cache and out of it (a pull from a hub on
 * this machine, a name that becomes a folder), while a folder is converted,
 * and while it is examined. */
#define _GNU_SOURCE             /* mkdtemp, usleep */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults/faults.h"

#define SMALL "tests/data/models/bert_base"

static char work[] = "/tmp/ocelli-hub-XXXXXX";
static pid_t server;
static const char commit[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void shell(const char *format, ...)
{
    char line[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (system(line) != 0) fail_msg("%s", line);
}

/* tests/support/server, with one model; HF_ENDPOINT names it. */
static int start(void **state)
{
    (void)state;
    char program[1024], ports[600], address[64];
    const char *build = getenv("OCELLI_BUILD");
    int port = 0;
    assert_non_null(mkdtemp(work));
    snprintf(program, sizeof program, "%s/tests/support/hub_server",
             build ? build : "build");
    shell("mkdir -p %s/hub/models/org && cp -r " SMALL " %s/hub/models/org/small && "
          "printf %s >%s/hub/models/org/small/.commit", work, work, commit, work);
    snprintf(ports, sizeof ports, "%s/hub", work);
    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        execl(program, program, ports, (char *)NULL);
        _exit(127);
    }
    snprintf(ports, sizeof ports, "%s/hub/ports", work);
    for (int i = 0; i < 200 && port == 0; i++) {
        FILE *f = fopen(ports, "r");
        if (f && fscanf(f, "%d", &port) != 1) port = 0;
        if (f) fclose(f);
        if (!port) usleep(20000);
    }
    snprintf(address, sizeof address, "http://127.0.0.1:%d", port);
    setenv("HF_ENDPOINT", address, 1);
    snprintf(ports, sizeof ports, "%s/cache", work);
    setenv("HF_HUB_CACHE", ports, 1);
    unsetenv("HF_HUB_OFFLINE");
    unsetenv("TRANSFORMERS_OFFLINE");
    return port ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    shell("rm -rf %s", work);
    return 0;
}

static void pull_job(oc_context *cx, void *user)
{
    (void)user;
    const oc_pull_options once = OC_OPTIONS(oc_pull_options, .retries = -1);
    oc_string_free(oc_pull(cx, "org/small", &once));
}

/* The revision is there with all its files, or is not there. */
static void whole_or_absent(oc_status status, void *user)
{
    (void)user;
    char path[600];
    snprintf(path, sizeof path, "%s/cache/models--org--small/refs/main", work);
    bool there = access(path, F_OK) == 0;
    if (status == OC_OK && !there) fail_msg("a pull that succeeded left no revision");
    if (there)
        shell("cd %s/cache/models--org--small/snapshots/%s && cmp -s config.json "
              "%s/hub/models/org/small/config.json && cmp -s model.safetensors "
              "%s/hub/models/org/small/model.safetensors", work, commit, work, work);
    shell("rm -rf %s/cache", work);
}

static void pulls(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    pull_job(cx, NULL);
    bool without = oc_context_status(cx) == OC_E_UNSUPPORTED;
    if (!without && oc_context_status(cx)) fail_msg("%s", oc_context_message(cx));
    oc_context_free(cx);
    if (without) skip();            /* built without libcurl */
    whole_or_absent(OC_OK, NULL);
    const fault_plan plan = { .job = pull_job, .check = whole_or_absent,
                              .file_only = true };
    assert_true(fault_loop(&plan) >= 15);
    const fault_plan memory = { .job = pull_job, .check = whole_or_absent, .dense = 3,
                                .step = 13 };
    assert_true(fault_loop(&memory) >= 60);
}

static void folder_job(oc_context *cx, void *user)
{
    (void)user;
    oc_string_free(oc_model_folder(cx, "org/there", NULL));
}

static void names(void **state)
{
    (void)state;
    shell("mkdir -p %s/cache/models--org--there/refs "
          "%s/cache/models--org--there/snapshots/%s && printf %s "
          ">%s/cache/models--org--there/refs/main",
          work, work, commit, commit, work);
    assert_true(fault_loop(&(fault_plan){ .job = folder_job }) >= 4);
}

static void convert_job(oc_context *cx, void *user)
{
    (void)user;
    char out[600];
    snprintf(out, sizeof out, "%s/out", work);
    const oc_convert_options o = OC_OPTIONS(
        oc_convert_options, .save = OC_OPTIONS(oc_save_options, .dtype = OC_BF16,
                                               .max_shard_size = 5000));
    oc_convert(cx, SMALL, out, &o);
}

static void nothing_half_written(oc_status status, void *user)
{
    (void)user;
    shell("[ -z \"$(ls -A %s/out 2>/dev/null | grep tmp)\" ]", work);
    if (status == OC_OK) shell("[ -s %s/out/config.json ]", work);
    shell("rm -rf %s/out", work);
}

static void conversions(void **state)
{
    (void)state;
    assert_true(fault_loop(&(fault_plan){ .job = convert_job,
                                          .check = nothing_half_written,
                                          .file_only = true }) >= 10);
    assert_true(fault_loop(&(fault_plan){ .job = convert_job,
                                          .check = nothing_half_written, .dense = 3,
                                          .step = 17 }) >= 50);
}

static void doctor_job(oc_context *cx, void *user)
{
    (void)user;
    oc_string_free(oc_doctor(cx, SMALL, NULL));
}

/* A file that cannot be read is a finding, not an error of the call. */
static void examinations(void **state)
{
    (void)state;
    assert_true(fault_loop(&(fault_plan){ .job = doctor_job, .dense = 3, .step = 19,
                                          .may_recover = true }) >= 50);
    assert_true(fault_loop(&(fault_plan){ .job = doctor_job, .file_only = true,
                                          .may_recover = true }) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pulls), cmocka_unit_test(names), cmocka_unit_test(conversions),
        cmocka_unit_test(examinations),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
