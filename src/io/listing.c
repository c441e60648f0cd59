#include "io/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "base/size.h"
#include "io/file.h"

enum {
    DEEPEST = 64,               /* folders within each other, and so open descriptors */
    FLAT = 0                    /* depth of a list without the folders in it */
};

/* Takes `path`. */
static bool add(oc_context *cx, oci_listing *l, char *path, const struct stat *st)
{
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 64, bytes;
        oci_listed *more = oci_mul(room, sizeof *more, &bytes)
                               ? oci_realloc(cx, l->files, bytes)
                               : NULL;
        if (!more) {
            oci_free(path);
            return false;
        }
        l->files = more;
        l->room = room;
    }
    l->files[l->count++] = (oci_listed){
        .path = path, .size = (uint64_t)st->st_size,
        .mtime = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
    return true;
}

static DIR *open_folder(oc_context *cx, const char *path)
{
    DIR *dir = oci_file_fault(cx, OCI_FAULT_OPEN) ? NULL : opendir(path);
    if (!dir) oci_file_error(cx, OC_E_FILE, path, "open the folder", errno);
    return dir;
}

static void list(oc_context *cx, oci_listing *l, const char *folder,
                 bool (*wanted)(const char *name), int depth);

/* One name of a folder. What vanished since the folder was read is passed over. */
static void visit(oc_context *cx, oci_listing *l, const char *folder, DIR *dir,
                  const char *name, bool (*wanted)(const char *name), int depth)
{
    struct stat st;
    if (name[0] == '.' || fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    bool is_folder = S_ISDIR(st.st_mode);
    if (is_folder ? depth == FLAT : !wanted(name)) return;
    if (S_ISLNK(st.st_mode) && fstatat(dirfd(dir), name, &st, 0) != 0) return;
    if (!is_folder && !S_ISREG(st.st_mode)) return;     /* or a link to such */
    char *path = oci_path_join(cx, folder, name);
    if (!path) return;
    if (is_folder) {
        list(cx, l, path, wanted, depth + 1);
        oci_free(path);
    } else {
        add(cx, l, path, &st);
    }
}

static void list(oc_context *cx, oci_listing *l, const char *folder,
                 bool (*wanted)(const char *name), int depth)
{
    if (depth > DEEPEST) {
        oci_fail(cx, OC_E_LIMIT, "%s: more than %d folders within each other", folder,
                 DEEPEST);
        return;
    }
    DIR *dir = open_folder(cx, folder);
    if (!dir) return;
    while (!oci_failed(cx) && !oci_cancelled(cx)) {
        errno = oci_file_fault(cx, OCI_FAULT_READ) ? EIO : 0;
        const struct dirent *entry = errno ? NULL : readdir(dir);
        if (!entry) {
            if (errno) oci_file_error(cx, OC_E_FILE, folder, "read the folder", errno);
            break;
        }
        visit(cx, l, folder, dir, entry->d_name, wanted, depth);
    }
    closedir(dir);
}

bool oci_listing_folder(oc_context *cx, oci_listing *l, const char *folder,
                        bool (*wanted)(const char *name))
{
    if (!oci_failed(cx)) list(cx, l, folder, wanted, 1);
    return !oci_failed(cx);
}

bool oci_listing_flat(oc_context *cx, oci_listing *l, const char *folder,
                      bool (*wanted)(const char *name))
{
    if (!oci_failed(cx)) list(cx, l, folder, wanted, FLAT);
    return !oci_failed(cx);
}

bool oci_listing_file(oc_context *cx, oci_listing *l, const char *path)
{
    struct stat st;
    if (oci_failed(cx)) return false;
    if (oci_file_fault(cx, OCI_FAULT_OPEN) || stat(path, &st) != 0)
        oci_file_error(cx, OC_E_FILE, path, "stat", errno);
    else if (!S_ISREG(st.st_mode))
        oci_fail(cx, OC_E_FILE, "%s: expected a file, found a folder, a pipe or a device",
                 path);
    char *copy = oci_strdup(cx, path);
    return copy && add(cx, l, copy, &st);
}

static int by_path(const void *a, const void *b)
{
    const oci_listed *x = a, *y = b;
    return strcmp(x->path, y->path);
}

void oci_listing_sort(oci_listing *l)
{
    size_t kept = 0;
    if (l->count) qsort(l->files, l->count, sizeof *l->files, by_path);
    for (size_t i = 0; i < l->count; i++) {
        if (kept && strcmp(l->files[kept - 1].path, l->files[i].path) == 0)
            oci_free(l->files[i].path);
        else l->files[kept++] = l->files[i];
    }
    l->count = kept;
}

void oci_listing_free(oci_listing *l)
{
    for (size_t i = 0; i < l->count; i++) oci_free(l->files[i].path);
    oci_free(l->files);
    *l = (oci_listing){ 0 };
}
