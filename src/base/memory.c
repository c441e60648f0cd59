/* The kernel's own pseudo-files are read here and not through io/file.h: they belong to
 * no user, and whoever lacks them is not stopped, but only not asked. */
#include "base/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 8192, PATH = 1024 };

/* The file's beginning as text; false if it is not to be had. */
static bool read_text(const char *path, char text[TEXT])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT - 1);
    if (fd >= 0) close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

/* The number behind the first line that begins with `key`; false: none ("max"). */
static bool number_of(const char *text, const char *key, uint64_t *number)
{
    const size_t n = strlen(key);
    while (*text && strncmp(text, key, n) != 0) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    if (!*text) return false;
    text += n;
    text += strspn(text, " \t");
    if (*text < '0' || *text > '9') return false;
    *number = strtoull(text, NULL, 10);
    return true;
}

/* Control groups of both versions: where they are in the process' list, and what they
 * call the limit, what is used, and the files in it that the kernel would drop. */
typedef struct kind { const char *listed, *root, *most, *used, *files; } kind;

static const kind kinds[] = {
    { "0::/", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file" },
    { ":memory:/", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
      "memory.usage_in_bytes", "total_inactive_file" },
};

static bool read_number(const kind *k, const char *group, const char *file,
                        const char *key, uint64_t *number)
{
    char path[PATH + 128], text[TEXT];
    snprintf(path, sizeof path, "%s%s/%s", k->root, group, file);
    return read_text(path, text) && number_of(text, key, number);
}

/* What one group has left. */
static bool group_left(const kind *k, const char *group, uint64_t *left)
{
    uint64_t most, used, files = 0;
    if (!read_number(k, group, k->most, "", &most) ||
        !read_number(k, group, k->used, "", &used)) return false;
    if (!read_number(k, group, "memory.stat", k->files, &files)) files = 0;
    used -= files < used ? files : used;
    *left = most > used ? most - used : 0;
    return true;
}

/* Makes *least the least that the process' group and those above it have left. */
static void lower_to_groups(const kind *k, const char *list, uint64_t *least)
{
    char group[PATH];
    uint64_t left = 0;
    const char *at = strstr(list, k->listed);
    if (!at) return;
    at += strlen(k->listed) - 1;
    const size_t n = strcspn(at, "\n");
    if (n >= PATH) return;
    memcpy(group, at, n);
    group[n] = '\0';
    for (char *end = group + n; end; end = strrchr(group, '/')) {
        *end = '\0';
        if (group_left(k, group, &left) && left < *least) *least = left;
    }
}

bool oci_memory_available(uint64_t *bytes)
{
    char text[TEXT];
    uint64_t kib;
    if (!read_text("/proc/meminfo", text) || !number_of(text, "MemAvailable:", &kib))
        return false;
    *bytes = kib * 1024;
    if (read_text("/proc/self/cgroup", text))
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            lower_to_groups(&kinds[i], text, bytes);
    return true;
}
