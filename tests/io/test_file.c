/* The file gateway: what it refuses to open, and saves that are complete or absent, also
 * when the process is killed in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/context.h"
#include "faults/faults.h"
#include "io/file.h"

static oc_context *cx;
static char folder[] = "/tmp/ocelli-test-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void expect_error(oc_status status, const char *part)
{
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), part))
        fail_msg("expected %s with \"%s\", found %s: %s", oc_status_name(status), part,
                 oc_status_name(oc_context_status(cx)), oc_context_message(cx));
    oc_context_clear(cx);
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

/* ---- reading ----------------------------------------------------------------------- */

static void reads_whole_files(void **state)
{
    (void)state;
    const char *path = in_folder("a");
    write_text(path, "hello");
    oci_buffer *b = oci_file_read(cx, path, 5);
    assert_non_null(b);
    assert_int_equal(b->size, 5);
    assert_memory_equal(b->data, "hello\0", 6);
    assert_false(b->read_only);
    oci_buffer_unref(&b);
    assert_null(oci_file_read(cx, path, 4));
    expect_error(OC_E_LIMIT, "expected at most 4 bytes, found more");

    write_text(path, "");
    b = oci_file_read(cx, path, 0);
    assert_int_equal(b->size, 0);
    assert_int_equal(b->data[0], 0);
    oci_buffer_unref(&b);
    unlink(path);
}

static void reads_parts(void **state)
{
    (void)state;
    const char *path = in_folder("a");
    char part[4] = "";
    write_text(path, "hello");
    oci_file *file = oci_file_open(cx, path);
    assert_non_null(file);
    assert_int_equal(file->size, 5);
    assert_true(oci_file_read_at(cx, file, 1, part, 3));
    assert_memory_equal(part, "ell", 4);
    assert_true(oci_file_read_at(cx, file, 5, part, 0));
    assert_false(oci_file_read_at(cx, file, 3, part, 3));
    expect_error(OC_E_FILE, "the file changed while it was read");
    oci_file_close(file);
    assert_null(oci_file_open(cx, "/tmp"));
    expect_error(OC_E_FILE, "expected a file, found a folder");
    unlink(path);
    assert_null(oci_file_open(cx, path));
    expect_error(OC_E_FILE, "no such file");
    oci_file_close(NULL);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static void maps_files(void **state)
{
    (void)state;
    const char *path = in_folder("a");
    write_text(path, "hello");
    uint64_t before = oc_context_memory(cx).live_bytes;
    oci_buffer *b = oci_file_map(cx, path);
    assert_non_null(b);
    assert_int_equal(b->size, 5);
    assert_true(b->read_only);
    assert_memory_equal(b->data, "hello", 5);
    assert_true(oc_context_memory(cx).live_bytes >= before + 5);
    oci_buffer_unref(&b);
    assert_int_equal(oc_context_memory(cx).live_bytes, before);
    write_text(path, "");
    b = oci_file_map(cx, path);
    assert_int_equal(b->size, 0);
    oci_buffer_unref(&b);

    oc_context *small = oc_context_create(&(oc_context_options){
        .size = sizeof(oc_context_options), .threads = 1, .memory_budget = 100 });
    char text[101] = { 0 };
    write_text(path, memset(text, 'x', 100));
    assert_null(oci_file_map(small, path));
    assert_int_equal(oc_context_status(small), OC_E_MEMORY);
    assert_int_equal(oc_context_memory(small).live_bytes, 0);
    oc_context_free(small);
    unlink(path);
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    for (int map = 0; map < 2; map++) {
        oci_buffer *(*open)(oc_context *, const char *) = oci_file_map;
#define OPEN(path) (map ? open(cx, path) : oci_file_read(cx, path, 100))
        assert_null(OPEN(in_folder("absent")));
        expect_error(OC_E_FILE, "absent: open: no such file or folder");
        assert_null(OPEN(""));
        expect_error(OC_E_FILE, "no such file or folder");
        assert_null(OPEN(folder));
        expect_error(OC_E_FILE, "expected a file, found a folder");
        assert_null(OPEN("/dev/null"));
        expect_error(OC_E_FILE, "expected a regular file, found a pipe or a device");
        const char *fifo = in_folder("fifo");
        assert_int_equal(mkfifo(fifo, 0600), 0);
        alarm(10);              /* without a writer, a plain open would wait for ever */
        assert_null(OPEN(fifo));
        alarm(0);
        expect_error(OC_E_FILE, "found a pipe");
        /* there, so that opening it is refused */
        assert_true(oci_file_exists(cx, fifo));
        unlink(fifo);
        const char *file = in_folder("file");
        write_text(file, "x");
        assert_null(OPEN(in_folder("file/below")));
        expect_error(OC_E_FILE, "a part of the path is not a folder");
        if (geteuid() != 0) {
            assert_int_equal(chmod(file, 0), 0);
            assert_null(OPEN(file));
            expect_error(OC_E_FILE, "file: open: permission denied");
            assert_true(oci_file_exists(cx, file));
        } else if (!map) {
            print_message("skipped: files without permission (root reads all)\n");
        }
        unlink(in_folder("file"));
        const char *loop = in_folder("loop");
        assert_int_equal(symlink("loop", loop), 0);
        assert_null(OPEN(loop));
        expect_error(OC_E_FILE, "too many symbolic links");
        unlink(loop);
    }
    char *name = malloc(6000);
    memset(name, 'n', 5999);
    name[5999] = '\0';
    assert_null(oci_file_read(cx, name, 1));
    expect_error(OC_E_FILE, "nnn");
    free(name);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    assert_int_equal(files_in_folder(), 0);
}

/* Runs oci_file_read("-") with `bytes` bytes in a pipe as standard input. */
static oci_buffer *read_pipe(size_t bytes, uint64_t max)
{
    int fds[2], saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        close(fds[0]);
        for (size_t i = 0; i < bytes; i++) {
            char c = (char)(i % 251);
            if (write(fds[1], &c, 1) != 1) break;
        }
        _exit(0);
    }
    close(fds[1]);
    dup2(fds[0], STDIN_FILENO);
    close(fds[0]);
    oci_buffer *b = oci_file_read(cx, "-", max);
    dup2(saved, STDIN_FILENO);
    close(saved);
    waitpid(child, NULL, 0);
    return b;
}

static void reads_standard_input(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 200000 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        oci_buffer *b = read_pipe(sizes[i], sizes[i]);
        assert_non_null(b);
        assert_int_equal(b->size, sizes[i]);
        for (size_t k = 0; k < b->size; k++) assert_int_equal(b->data[k], k % 251);
        assert_int_equal(b->data[b->size], 0);
        oci_buffer_unref(&b);
    }
    assert_null(read_pipe(300000, 65536));
    expect_error(OC_E_LIMIT, "-: expected at most 65536 bytes, found more");
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

static void paths(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "/", "b", "/b" }, { "", "b", "b" },
        { "a/b", "c/d", "a/b/c/d" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = oci_path_join(cx, rows[i][0], rows[i][1]);
        assert_string_equal(path, rows[i][2]);
        oci_free(path);
    }
    assert_true(oci_folder_exists(cx, folder));
    assert_false(oci_folder_exists(cx, in_folder("absent")));
    assert_false(oci_file_exists(cx, folder));
    assert_false(oci_file_exists(cx, in_folder("absent")));
    assert_false(oci_file_exists(cx, in_folder("absent/below")));
}

static void folders(void **state)
{
    (void)state;
    assert_int_equal(oci_folder_make(cx, in_folder("new")), OC_OK);
    assert_int_equal(oci_folder_make(cx, in_folder("new")), OC_OK);
    assert_true(oci_folder_exists(cx, in_folder("new")));
    oci_folder_make(cx, in_folder("absent/new"));
    expect_error(OC_E_WRITE, "absent/new: make the folder: no such file or folder");
    write_text(in_folder("file"), "");
    oci_folder_make(cx, in_folder("file"));
    expect_error(OC_E_WRITE, "file: make the folder: there is something else of that "
                             "name");
    assert_int_equal(symlink("new", in_folder("link")), 0);
    assert_true(oci_same_file(in_folder("new"), in_folder("link")));
    assert_false(oci_same_file(in_folder("new"), in_folder("file")));
    assert_false(oci_same_file(in_folder("absent"), in_folder("absent")));
    unlink(in_folder("link"));
    unlink(in_folder("file"));
    assert_int_equal(rmdir(in_folder("new")), 0);
}

/* ---- saving ------------------------------------------------------------------------ */

static void expect_text(const char *path, const char *text)
{
    oci_buffer *b = oci_file_read(cx, path, 1 << 20);
    if (!b) fail_msg("%s", oc_context_message(cx));
    assert_string_equal(b->data, text);
    oci_buffer_unref(&b);
}

static void saves(void **state)
{
    (void)state;
    const char *path = in_folder("out");
    mode_t mask = umask(027);
    for (int round = 0; round < 2; round++) {
        oci_save *save = oci_save_begin(cx, path);
        assert_int_equal(oci_save_write(cx, save, "ab", 2), OC_OK);
        assert_int_equal(oci_save_write(cx, save, "", 0), OC_OK);
        assert_int_equal(oci_save_write(cx, save, round ? "d" : "c", 1), OC_OK);
        if (round) expect_text(path, "abc");
        assert_int_equal(files_in_folder(), round + 1);
        assert_int_equal(oci_save_end(cx, save, true), OC_OK);
        expect_text(path, round ? "abd" : "abc");
        assert_int_equal(files_in_folder(), 1);
    }
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    umask(mask);

    oci_save *save = oci_save_begin(cx, path);
    oci_save_write(cx, save, "new", 3);
    /* the caller's change of mind */
    assert_int_equal(oci_save_end(cx, save, false), OC_OK);
    expect_text(path, "abd");
    save = oci_save_begin(cx, path);
    oci_fail(cx, OC_E_FAILED, "elsewhere");
    oci_save_write(cx, save, "new", 3);
    assert_int_equal(oci_save_end(cx, save, true), OC_E_FAILED);
    expect_error(OC_E_FAILED, "elsewhere");
    expect_text(path, "abd");
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
    unlink(path);
}

static void saves_here(void **state)
{
    (void)state;
    char cwd[1024];
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(folder), 0);
    oci_save *save = oci_save_begin(cx, "out");
    oci_save_write(cx, save, "x", 1);
    assert_int_equal(oci_save_end(cx, save, true), OC_OK);
    assert_int_equal(unlink("out"), 0);
    /* A name as long as the system allows leaves room for that of the temporary file. */
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    save = oci_save_begin(cx, name);
    assert_int_equal(oci_save_end(cx, save, true), OC_OK);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(chdir(cwd), 0);
}

static void replaces_links(void **state)
{
    (void)state;
    write_text(in_folder("target"), "old");
    assert_int_equal(symlink("target", in_folder("link")), 0);
    oci_save *save = oci_save_begin(cx, in_folder("link"));
    oci_save_write(cx, save, "new", 3);
    assert_int_equal(oci_save_end(cx, save, true), OC_OK);
    expect_text(in_folder("target"), "old");
    expect_text(in_folder("link"), "new");
    unlink(in_folder("target"));
    unlink(in_folder("link"));
}

/* A rename would take /dev/stdout from the whole machine when root runs it. */
static void leaves_links_of_the_system(void **state)
{
    (void)state;
    static const char *const targets[] = { "/proc/self/fd/1", "/dev/null", "/" };
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct stat st;
        assert_int_equal(symlink(targets[i], in_folder("link")), 0);
        assert_null(oci_save_begin(cx, in_folder("link")));
        expect_error(OC_E_WRITE, "link: expected a regular file, found a ");
        assert_int_equal(lstat(in_folder("link"), &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        unlink(in_folder("link"));
    }
}

static void refuses_to_save(void **state)
{
    (void)state;
    assert_null(oci_save_begin(cx, in_folder("absent/out")));
    expect_error(OC_E_WRITE, "absent/out: open its folder: no such file or folder");
    assert_null(oci_save_begin(cx, folder));
    expect_error(OC_E_WRITE, "expected a regular file, found a folder");
    assert_null(oci_save_begin(cx, in_folder("")));
    expect_error(OC_E_WRITE, "expected the name of a file");
    assert_null(oci_save_begin(cx, ""));
    expect_error(OC_E_WRITE, "expected the name of a file");
    assert_null(oci_save_begin(cx, "/dev/null"));
    expect_error(OC_E_WRITE, "/dev/null: expected a regular file, found a pipe or a "
                             "device");
    char name[300];
    memset(name, 'n', 299);
    name[299] = '\0';
    oci_save *save = oci_save_begin(cx, in_folder(name));
    oci_save_write(cx, save, "x", 1);
    oci_save_end(cx, save, true);
    expect_error(OC_E_WRITE, "rename into place: the name is too long");
    assert_int_equal(oci_save_end(cx, NULL, true), OC_OK);
    assert_int_equal(files_in_folder(), 0);
    assert_int_equal(oc_context_memory(cx).live_count, 0);
}

/* A full disk: /dev/full exists on Linux but is no regular file,
 * so a size limit stands in. */
static void write_errors_keep_the_old_file(void **state)
{
    (void)state;
    const char *path = in_folder("out");
    write_text(path, "old");
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        const struct rlimit limit = { 4096, 4096 };
        setrlimit(RLIMIT_FSIZE, &limit);
        char block[8192] = { 0 };
        oci_save *save = oci_save_begin(cx, path);
        oci_save_write(cx, save, block, sizeof block);
        oci_save_end(cx, save, true);
        bool right = oc_context_status(cx) == OC_E_WRITE &&
                     strstr(oc_context_message(cx), "out: write: larger than the file "
                                                    "system");
        _exit(right ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    expect_text(path, "old");
    assert_int_equal(files_in_folder(), 1);
    unlink(path);
}

static void save_job(oc_context *job_cx, void *user)
{
    const char *path = user;
    oci_save *save = oci_save_begin(job_cx, path);
    for (int i = 0; i < 5; i++) oci_save_write(job_cx, save, "new ", 4);
    oci_save_end(job_cx, save, true);
}

/* Whatever fails: the old file or the new one, and nothing beside it. */
static void check_old_or_new(oc_status status, void *user)
{
    const char *path = user;
    oci_buffer *b = oci_file_read(cx, path, 100);
    assert_non_null(b);
    bool is_new = !strcmp((char *)b->data, "new new new new new ");
    assert_true(is_new || !strcmp((char *)b->data, "old"));
    if (status == OC_OK) assert_true(is_new);
    oci_buffer_unref(&b);
    assert_int_equal(files_in_folder(), 1);
    write_text(path, "old");
}

static void faults_leave_old_or_new(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("out"));
    write_text(path, "old");
    long asked = fault_loop(&(fault_plan){ .job = save_job, .check = check_old_or_new,
                                           .user = path });
    assert_true(asked >= 5 + 2 + 2 + 1 + 4);   /* writes, opens, fsyncs, rename, blocks */
    unlink(path);
}

/* kill -9 at random moments of a loop of saves: the file is whole at every one. */
static void kill_leaves_a_whole_file(void **state)
{
    (void)state;
    enum { SIZE = 1 << 16, ROUNDS = 25 };
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("out"));
    static char block[SIZE];
    oci_save *first = oci_save_begin(cx, path);
    oci_save_write(cx, first, memset(block, 'a', SIZE), SIZE);
    assert_int_equal(oci_save_end(cx, first, true), OC_OK);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0;; i++) {
                memset(block, 'a' + i % 26, SIZE);
                oci_save *save = oci_save_begin(cx, path);
                for (int k = 0; k < SIZE; k += 4096)
                    oci_save_write(cx, save, block + k, 4096);
                oci_save_end(cx, save, true);
            }
        }
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 + round * 397000 }, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        oci_buffer *b = oci_file_read(cx, path, SIZE);
        assert_non_null(b);
        assert_int_equal(b->size, SIZE);
        for (int i = 1; i < SIZE; i++) assert_int_equal(b->data[i], b->data[0]);
        oci_buffer_unref(&b);
    }
    /* What a killed process left beside it does not stand in the way of later saves. */
    oci_save *save = oci_save_begin(cx, path);
    assert_int_equal(oci_save_end(cx, save, true), OC_OK);
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) unlink(in_folder(e->d_name));
    closedir(d);
}

/* ---- frame ------------------------------------------------------------------------- */

static int clear(void **state)
{
    (void)state;
    oc_context_clear(cx);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    cx = oc_context_create(&(oc_context_options){ .size = sizeof(oc_context_options),
                                                  .threads = 1 });
    return cx && mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    oc_context_free(cx);
    return rmdir(folder);       /* fails if a save left something behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reads_whole_files, clear),
        cmocka_unit_test_setup(reads_parts, clear),
        cmocka_unit_test_setup(maps_files, clear),
        cmocka_unit_test_setup(refuses_what_is_no_file, clear),
        cmocka_unit_test_setup(reads_standard_input, clear),
        cmocka_unit_test_setup(paths, clear),
        cmocka_unit_test_setup(folders, clear),
        cmocka_unit_test_setup(saves, clear),
        cmocka_unit_test_setup(saves_here, clear),
        cmocka_unit_test_setup(replaces_links, clear),
        cmocka_unit_test_setup(leaves_links_of_the_system, clear),
        cmocka_unit_test_setup(refuses_to_save, clear),
        cmocka_unit_test_setup(write_errors_keep_the_old_file, clear),
        cmocka_unit_test_setup(faults_leave_old_or_new, clear),
        cmocka_unit_test_setup(kill_leaves_a_whole_file, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
