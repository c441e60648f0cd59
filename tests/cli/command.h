/* Runs the command from a test program. */
#ifndef OCELLI_TESTS_CLI_COMMAND_H
#define OCELLI_TESTS_CLI_COMMAND_H

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { COMMAND_ARGS = 128 };

typedef struct command {
    const char *args[COMMAND_ARGS];     /* the command's name first; NULL ends them */
    int count;
} command;

static inline const char *command_path(void)
{
    const char *path = getenv("OCELLI");
    return path ? path : "build/ocelli";
}

static inline void command_add(command *c, const char *arg)
{
    if (c->count < COMMAND_ARGS - 1) c->args[c->count++] = arg;
}

/* Exit status, or -1 when it did not end by itself. stdout and stderr go to the files. */
static inline int command_run(const command *c, const char *out, const char *err)
{
    const char *argv[COMMAND_ARGS + 1] = { command_path() };
    for (int i = 0; i < c->count; i++) argv[i + 1] = c->args[i];
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&files, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid;
    int state = 0;
    int error = posix_spawn(&pid, argv[0], &files, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0 || waitpid(pid, &state, 0) < 0 || !WIFEXITED(state)) return -1;
    return WEXITSTATUS(state);
}

#endif
