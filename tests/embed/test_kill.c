/* Ten thousand pictures, and a builder that is killed (SIGKILL) at random moments
 * of its work, again and again: at no time is there half an index, what was
 * embedded is not done again, and in the end the file is, byte for byte, that of a
 * build that nobody disturbed. */
#include "index_support.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { PICTURES = 10000, KILLS = 40, MOST_ROUNDS = 400 };

static void make_pictures(oc_context *cx, const char *top)
{
    char path[600];
    mkdir(top, 0777);
    for (int i = 0; i < PICTURES; i++) {
        uint8_t rgb[4 * 3 * 3];
        size_t size = 0;
        for (size_t k = 0; k < sizeof rgb; k++)
            rgb[k] = (uint8_t)((size_t)i * 31 + k * k * 7 + 1);
        rgb[0] = (uint8_t)(i >> 8);
        rgb[1] = (uint8_t)i | 1;
        if (i % 100 == 0) {
            snprintf(path, sizeof path, "%s/%03d", top, i / 100);
            mkdir(path, 0777);
        }
        snprintf(path, sizeof path, "%s/%03d/%05d.png", top, i / 100, i);
        oc_image *image = oc_image_create(cx, 4, 3, rgb);
        char *png = oc_image_png(cx, image, &size);
        assert_non_null(png);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(png, 1, size, f), size);
        fclose(f);
        oc_string_free(png);
        oc_image_free(image);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Builds in a process of its own; its exit status is 0 when the index is there. */
static pid_t start_builder(const char *path, const char *top)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child) return child;
    long embedded;
    oc_context *cx = oc_context_create(NULL);
    oc_status status = build(cx, path, top, true, 7, &embedded, NULL);
    _exit(status == OC_OK ? 0 : 1);
}

/* True if it was killed in time. */
static bool kill_after(pid_t child, double seconds)
{
    int status = 0;
    struct timespec wait = { .tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) *
                                               1e9) };
    nanosleep(&wait, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void test_kill(void **state)
{
    (void)state;
    oc_context *cx = oc_context_create(NULL);
    const char *top = in_folder("pictures");
    char path[600], whole[600];
    long embedded;
    int kills = 0, finished = 0, rounds = 0;
    snprintf(path, sizeof path, "%s/killed.idx", folder);
    snprintf(whole, sizeof whole, "%s/whole.idx", folder);
    make_pictures(cx, top);
    double start = now();
    assert_int_equal(build(cx, whole, top, true, 7, &embedded, NULL), OC_OK);
    double seconds = now() - start;
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u, %.2f s undisturbed\n", seed, seconds);
    for (; (kills < KILLS || finished < 3) && rounds < MOST_ROUNDS; rounds++) {
        seed = seed * 1664525u + 1013904223u;
        /* In turns early, so that many kills lie within one build, and anywhere, up to
         * where the file is written and the journal goes. */
        double most = rounds % 2 ? 1.2 * seconds : seconds / 3;
        pid_t child = start_builder(path, top);
        bool killed = kill_after(child, most * (double)(seed >> 8) / (1 << 24));
        kills += killed;
        bool there = access(path, F_OK) == 0;
        if (there) assert_true(same_files(path, whole));
        if (!killed) assert_true(there);
        if (!there) continue;
        finished++;
        /* Half of the time what is done next finds the index, and nothing to do. */
        if (seed & 1) unlink(path);
    }
    printf("%d kills, %d times to the end\n", kills, finished);
    assert_true(kills >= 30 && finished >= 3);
    assert_int_equal(build(cx, path, top, true, 7, &embedded, NULL), OC_OK);
    assert_true(same_files(path, whole));
    oc_context_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kill) };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
