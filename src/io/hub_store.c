#define _XOPEN_SOURCE 700       /* realpath */
#define _DEFAULT_SOURCE         /* flock */
#include "io/hub_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/context.h"
#include "io/file.h"

enum { LINK_DEPTH = 16, LOCK_POLL = 100 * 1000 * 1000 };     /* ns */

/* ---- folders ----------------------------------------------------------------------- */

oc_status oci_store_folders(oc_context *cx, const char *path)
{
    char *part = oci_strdup(cx, path);
    for (char *p = part; p && *p; p++) {
        if (*p != '/' || p == part) continue;
        *p = '\0';
        if (!oci_folder_exists(cx, part)) oci_folder_make(cx, part);
        *p = '/';
    }
    oci_free(part);
    return oci_folder_make(cx, path);
}

oc_status oci_store_folders_of(oc_context *cx, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return cx->status;
    char *folder = oci_strndup(cx, path, (size_t)(slash - path));
    if (folder) oci_store_folders(cx, folder);
    oci_free(folder);
    return cx->status;
}

/* Flushes the folder of `path`, so that a name that was put
 * there outlives a power cut. */
static void flush_folder_of(oc_context *cx, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? oci_strndup(cx, path, (size_t)(slash - path)) : NULL;
    if (!folder) return;
    int fd = oci_file_fault(cx, OCI_FAULT_OPEN)
                 ? -1
                 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) oci_file_error(cx, OC_E_WRITE, folder, "open", errno);
    else if (oci_file_fault(cx, OCI_FAULT_FSYNC) || (fsync(fd) != 0 && errno != EINVAL))
        oci_file_error(cx, OC_E_WRITE, folder, "fsync", errno);
    if (fd >= 0) close(fd);
    oci_free(folder);
}

oc_status oci_store_rename(oc_context *cx, const char *from, const char *to)
{
    if (oci_failed(cx)) return cx->status;
    if (oci_file_fault(cx, OCI_FAULT_RENAME) || rename(from, to) != 0)
        return oci_file_error(cx, OC_E_WRITE, to, "rename into place", errno);
    flush_folder_of(cx, to);
    return cx->status;
}

bool oci_store_size(const char *path, uint64_t *size)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    *size = (uint64_t)st.st_size;
    return true;
}

/* ---- the lock ---------------------------------------------------------------------- */

struct oci_store_lock {
    int descriptor;
};

/* Asks again and again rather than sleeping in the kernel: a cancel must end the wait. */
static void wait_for(oc_context *cx, int fd, const char *path)
{
    const struct timespec pause = { .tv_nsec = LOCK_POLL };
    bool told = false;
    while (!oci_failed(cx) && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            oci_file_error(cx, OC_E_WRITE, path, "lock", errno);
        } else if (!oci_cancelled(cx)) {
            if (!told)
                oci_log(cx, OC_LOG_WARNING, "%s: another process downloads this; waiting",
                        path);
            told = true;
            nanosleep(&pause, NULL);
        }
    }
}

oci_store_lock *oci_store_lock_take(oc_context *cx, const char *path)
{
    oci_store_folders_of(cx, path);
    oci_store_lock *lock = oci_calloc(cx, 1, sizeof *lock);
    if (!lock) return NULL;
    lock->descriptor = oci_file_fault(cx, OCI_FAULT_OPEN)
                           ? -1
                           : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock->descriptor < 0) oci_file_error(cx, OC_E_WRITE, path, "open", errno);
    else wait_for(cx, lock->descriptor, path);
    if (!oci_failed(cx)) return lock;
    oci_store_lock_free(lock);
    return NULL;
}

/* The file stays: were it removed, a process that waits on it and one that comes later
 * would both hold "the" lock. */
void oci_store_lock_free(oci_store_lock *lock)
{
    if (!lock) return;
    if (lock->descriptor >= 0) close(lock->descriptor);
    oci_free(lock);
}

/* ---- parts ------------------------------------------------------------------------- */

oci_store_part *oci_store_part_open(oc_context *cx, const char *path)
{
    struct stat st;
    oci_store_folders_of(cx, path);
    oci_store_part *part = oci_calloc(cx, 1, sizeof *part);
    if (!part) return NULL;
    part->descriptor = -1;
    part->path = oci_strdup(cx, path);
    if (part->path) {
        part->descriptor =
            oci_file_fault(cx, OCI_FAULT_OPEN)
                ? -1
                : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                       0666);
        if (part->descriptor < 0 || fstat(part->descriptor, &st) != 0)
            oci_file_error(cx, OC_E_WRITE, path, "open", errno);
        else if (!S_ISREG(st.st_mode))
            oci_fail(cx, OC_E_WRITE, "%s: expected a regular file", path);
        else
            part->size = (uint64_t)st.st_size;
    }
    if (!oci_failed(cx)) return part;
    oci_store_part_close(part);
    return NULL;
}

oc_status oci_store_part_append(oc_context *cx, oci_store_part *part, const void *data,
                                size_t size)
{
    const char *p = data;
    while (size > 0 && !oci_failed(cx)) {
        ssize_t n = oci_file_fault(cx, OCI_FAULT_WRITE)
                        ? -1
                        : pwrite(part->descriptor, p, size, (off_t)part->size);
        if (n >= 0) {
            p += n;
            size -= (size_t)n;
            part->size += (uint64_t)n;
        } else if (errno != EINTR) {
            oci_file_error(cx, OC_E_WRITE, part->path, "write", errno);
        }
    }
    return cx->status;
}

bool oci_store_part_read(oc_context *cx, const oci_store_part *part, uint64_t offset,
                         void *data, size_t room, size_t *got)
{
    ssize_t n;
    *got = 0;
    if (oci_failed(cx)) return false;
    do {
        n = oci_file_fault(cx, OCI_FAULT_READ)
                ? -1
                : pread(part->descriptor, data, room, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    if (n < 0) oci_file_error(cx, OC_E_FILE, part->path, "read", errno);
    else *got = (size_t)n;
    return n >= 0;
}

oc_status oci_store_part_restart(oc_context *cx, oci_store_part *part)
{
    if (oci_failed(cx)) return cx->status;
    if (oci_file_fault(cx, OCI_FAULT_WRITE) || ftruncate(part->descriptor, 0) != 0)
        return oci_file_error(cx, OC_E_WRITE, part->path, "truncate", errno);
    part->size = 0;
    return cx->status;
}

oc_status oci_store_part_finish(oc_context *cx, oci_store_part *part, const char *path)
{
    if (oci_failed(cx)) return cx->status;
    if (oci_file_fault(cx, OCI_FAULT_FSYNC) || fsync(part->descriptor) != 0)
        return oci_file_error(cx, OC_E_WRITE, part->path, "fsync", errno);
    return oci_store_rename(cx, part->path, path);
}

void oci_store_part_close(oci_store_part *part)
{
    if (!part) return;
    if (part->descriptor >= 0) close(part->descriptor);
    oci_free(part->path);
    oci_free(part);
}

/* ---- links ------------------------------------------------------------------------- */

oc_status oci_store_link(oc_context *cx, const char *target, const char *path)
{
    char temp[OCI_MAX_PATH];
    if (oci_failed(cx)) return cx->status;
    int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp)
        return oci_fail(cx, OC_E_WRITE, "%s: the name is too long", path);
    unlink(temp);                       /* of an earlier process of our number */
    if (oci_file_fault(cx, OCI_FAULT_OPEN) || symlink(target, temp) != 0)
        return oci_file_error(cx, OC_E_WRITE, path, "make a link", errno);
    if (oci_file_fault(cx, OCI_FAULT_RENAME) || rename(temp, path) != 0) {
        oci_file_error(cx, OC_E_WRITE, path, "rename into place", errno);
        unlink(temp);
    }
    return cx->status;
}

static void drop_links(oc_context *cx, const char *folder, int depth)
{
    DIR *dir = depth < LINK_DEPTH ? opendir(folder) : NULL;
    if (!dir) return;
    const struct dirent *entry;
    while (!oci_failed(cx) && (entry = readdir(dir))) {
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISLNK(st.st_mode)) unlinkat(dirfd(dir), entry->d_name, 0);
        if (!S_ISDIR(st.st_mode)) continue;
        char *below = oci_path_join(cx, folder, entry->d_name);
        if (below) drop_links(cx, below, depth + 1);
        oci_free(below);
    }
    closedir(dir);
    rmdir(folder);
}

oc_status oci_store_drop_links(oc_context *cx, const char *folder)
{
    if (oci_failed(cx)) return cx->status;
    drop_links(cx, folder, 0);
    if (oci_folder_exists(cx, folder))
        oci_fail(cx, OC_E_WRITE, "%s: expected links of an earlier download, found more",
                 folder);
    return cx->status;
}

/* Of one name in the folder. A link that leads nowhere is left to whoever opens it. */
static void check_link(oc_context *cx, DIR *dir, const char *folder, const char *name,
                       const char *root)
{
    struct stat st;
    char real[OCI_MAX_PATH];
    if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISLNK(st.st_mode))
        return;
    char *path = oci_path_join(cx, folder, name);
    size_t n = strlen(root);
    if (path && realpath(path, real) && (strncmp(real, root, n) || real[n] != '/'))
        oci_fail(cx, OC_E_FILE,
                 "%s: expected a link within the hub's cache, found one that leads out "
                 "of it",
                 path);
    oci_free(path);
}

bool oci_store_links_stay(oc_context *cx, const char *folder, const char *cache)
{
    char root[OCI_MAX_PATH], real[OCI_MAX_PATH];
    if (oci_failed(cx)) return false;
    DIR *dir = oci_file_fault(cx, OCI_FAULT_OPEN) ? NULL : opendir(folder);
    if (!dir || !realpath(cache, root) || !realpath(folder, real))
        oci_file_error(cx, OC_E_FILE, folder, "open the folder", errno);
    else if (strncmp(real, root, strlen(root)) || real[strlen(root)] != '/')
        oci_fail(cx, OC_E_FILE,
                 "%s: expected a folder within the hub's cache, found a link that leads "
                 "out of it",
                 folder);
    const struct dirent *entry;
    while (dir && !oci_failed(cx) && (entry = readdir(dir)))
        check_link(cx, dir, folder, entry->d_name, root);
    if (dir) closedir(dir);
    return !oci_failed(cx);
}
