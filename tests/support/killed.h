/* Work that is killed (SIGKILL) at one of its file operations, in a child. */
#ifndef TEST_KILLED_H
#define TEST_KILLED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/context.h"

typedef struct killer {
    long asked, at;
} killer;

static bool kill_at(void *user, oci_fault what)
{
    killer *k = user;
    if (what == OCI_FAULT_ALLOC) return false;
    if (++k->asked == k->at) kill(getpid(), SIGKILL);
    return false;
}

/* True while the child that works was killed on its way, at operation `at`, 1 … ; one
 * that comes to its end must have been successful. */
static bool was_killed(long at, oc_status (*work)(oc_context *cx, const void *user),
                       const void *user)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        killer k = { .at = at };
        oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
        cx->heap->fault_user = &k;
        cx->heap->fault = kill_at;
        _exit(work(cx, user) == OC_OK ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

#endif
