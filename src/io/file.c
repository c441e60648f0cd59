/* Reading, mapping, saving. Every system call of the library that touches a file
 * stands here, in journal.c, listing.c or hub_store.c, each behind a question to the
 * fault hook, so that tests can refuse it.
 *
 * Paths come from users and from index files; what they name is not trusted either. A
 * file is therefore opened first and looked at through its descriptor (fstat), never by
 * its name, which may mean something else a moment later. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "base/cpu.h"
#include "base/size.h"

enum {
    CHUNK = 1 << 16,            /* first room for standard input, whose size is unknown */
    MOST_AT_ONCE = 1 << 30,     /* one read() or write(): Linux stops at 0x7ffff000 */
    TEMP_TRIES = 1000
};

bool oci_file_fault(oc_context *cx, oci_fault what)
{
    if (!cx->heap->fault || !cx->heap->fault(cx->heap->fault_user, what)) return false;
    errno = what == OCI_FAULT_WRITE ? ENOSPC : EIO;
    return true;
}

/* The reason is errno's; strerror is not safe between threads,
 * so the common ones are here. */
static const char *reason(int error)
{
    switch (error) {
    case ENOENT: return "no such file or folder";
    case ENOTDIR: return "a part of the path is not a folder";
    case EEXIST: return "there is something else of that name";
    case EACCES: case EPERM: return "permission denied";
    case EISDIR: return "it is a folder";
    case ELOOP: return "too many symbolic links";
    case ENAMETOOLONG: return "the name is too long";
    case ENOSPC: return "no space left on the device";
    case EDQUOT: return "over the disk quota";
    case EFBIG: return "larger than the file system allows";
    case EROFS: return "the file system is read-only";
    case EIO: return "input/output error";
    case EMFILE: case ENFILE: return "too many open files";
    case ENOMEM: return "out of memory";
    case ENXIO: case ENODEV: return "no such device";
    default: return NULL;
    }
}

oc_status oci_file_error(oc_context *cx, oc_status status, const char *path,
                         const char *step, int error)
{
    const char *why = reason(error);
    if (why) return oci_fail(cx, status, "%s: %s: %s", path, step, why);
    return oci_fail(cx, status, "%s: %s: system error %d", path, step, error);
}

/* ---- reading ----------------------------------------------------------------------- */

/* The usual sign of Unix commands; a file of that name is "./-". */
static bool is_stdin(const char *path) { return path[0] == '-' && path[1] == '\0'; }

/* A descriptor of a regular file, or -1 with the error set. O_NONBLOCK: opening a FIFO
 * must not wait for a writer; it means nothing for the regular files that pass. */
static int open_regular(oc_context *cx, const char *path, uint64_t *size)
{
    if (oci_failed(cx)) return -1;
    int fd = oci_file_fault(cx, OCI_FAULT_OPEN)
                 ? -1
                 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        oci_file_error(cx, OC_E_FILE, path, "open", errno);
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) != 0)
        oci_file_error(cx, OC_E_FILE, path, "stat", errno);
    else if (S_ISDIR(st.st_mode))
        oci_fail(cx, OC_E_FILE, "%s: expected a file, found a folder", path);
    else if (!S_ISREG(st.st_mode))
        oci_fail(cx, OC_E_FILE, "%s: expected a regular file, found a pipe or a device",
                 path);
    if (oci_failed(cx)) {
        close(fd);
        return -1;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

/* Up to `size` bytes into `data`; fewer only at the end of the file. A short read
 * is no error here: a file may have shrunk since its size was taken, and every
 * parser checks its length. */
static bool read_fully(oc_context *cx, int fd, const char *path, unsigned char *data,
                       size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        size_t want = size - *got < MOST_AT_ONCE ? size - *got : MOST_AT_ONCE;
        ssize_t n = oci_file_fault(cx, OCI_FAULT_READ) ? -1 : read(fd, data + *got, want);
        if (n == 0) break;
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return oci_file_error(cx, OC_E_FILE, path, "read", errno) == OC_OK;
    }
    return true;
}

/* The release hook of buffers whose data is a block of ours. */
static void free_block(oci_buffer *buffer) { oci_free(buffer->data); }

/* A block as a buffer of `size` bytes and a NUL; the block is freed if that fails. */
static oci_buffer *wrap_block(oc_context *cx, unsigned char *block, size_t size)
{
    if (!block) return NULL;
    block[size] = '\0';
    oci_buffer *buffer = oci_buffer_wrap(cx, block, size, false, free_block);
    if (!buffer) oci_free(block);
    return buffer;
}

static oc_status too_long(oc_context *cx, const char *path, uint64_t max)
{
    return oci_fail(cx, OC_E_LIMIT, "%s: expected at most %llu bytes, found more", path,
                    (unsigned long long)max);
}

/* Reads until the end; doubles its room, and so never holds
 * more than thrice what came. */
static oci_buffer *read_stdin(oc_context *cx, const char *path, uint64_t max)
{
    size_t room = CHUNK, size = 0, got;
    unsigned char *data = oci_alloc(cx, room + 1);
    while (data) {
        if (!read_fully(cx, STDIN_FILENO, path, data + size, room - size, &got)) break;
        size += got;
        if (size > max) too_long(cx, path, max);
        if (oci_failed(cx) || size < room) break;
        unsigned char *more = NULL;
        if (!oci_mul(room, 2, &room) || !(more = oci_realloc(cx, data, room + 1))) break;
        data = more;
    }
    if (oci_failed(cx)) {
        oci_free(data);
        return NULL;
    }
    return wrap_block(cx, data, size);
}

/* The first `wanted` bytes of an open file, or what there is of them. Closes fd. */
static oci_buffer *read_block(oc_context *cx, int fd, const char *path, uint64_t wanted)
{
    unsigned char *data = NULL;
    size_t got = 0;
    if (wanted >= SIZE_MAX)
        oci_fail(cx, OC_E_MEMORY, "%s: %llu bytes do not fit into memory", path,
                 (unsigned long long)wanted);
    else
        data = oci_alloc(cx, (size_t)wanted + 1);
    if (data) oci_cpu_large_pages(data, (size_t)wanted);
    if (data && !read_fully(cx, fd, path, data, (size_t)wanted, &got)) {
        oci_free(data);
        data = NULL;
    }
    close(fd);
    return wrap_block(cx, data, got);
}

oci_buffer *oci_file_read(oc_context *cx, const char *path, uint64_t max)
{
    if (oci_failed(cx)) return NULL;
    if (is_stdin(path)) return read_stdin(cx, path, max);
    uint64_t size = 0;
    int fd = open_regular(cx, path, &size);
    if (fd < 0) return NULL;
    if (size > max) {
        too_long(cx, path, max);
        close(fd);
        return NULL;
    }
    return read_block(cx, fd, path, size);
}

struct oci_reader {
    char *path;                 /* for messages */
    int fd;
};

oci_reader *oci_reader_open(oc_context *cx, const char *path)
{
    uint64_t size = 0;
    oci_reader *reader = oci_calloc(cx, 1, sizeof *reader);
    if (!reader) return NULL;
    reader->path = oci_strdup(cx, path);
    reader->fd = is_stdin(path) ? dup(STDIN_FILENO) : open_regular(cx, path, &size);
    if (reader->fd < 0 && !oci_failed(cx))
        oci_file_error(cx, OC_E_FILE, path, "open", errno);
    if (!oci_failed(cx)) return reader;
    oci_reader_close(reader);
    return NULL;
}

bool oci_reader_read(oc_context *cx, oci_reader *reader, void *data, size_t room,
                     size_t *got)
{
    return read_fully(cx, reader->fd, reader->path, data, room, got);
}

void oci_reader_close(oci_reader *reader)
{
    if (!reader) return;
    if (reader->fd >= 0) close(reader->fd);
    oci_free(reader->path);
    oci_free(reader);
}

/* ---- parts of a file --------------------------------------------------------------- */

oci_file *oci_file_open(oc_context *cx, const char *path)
{
    oci_file *file = oci_calloc(cx, 1, sizeof *file);
    if (!file) return NULL;
    file->descriptor = -1;
    file->path = oci_strdup(cx, path);
    if (file->path) file->descriptor = open_regular(cx, path, &file->size);
    if (file->descriptor >= 0) return file;
    oci_file_close(file);
    return NULL;
}

bool oci_file_read_at(oc_context *cx, const oci_file *file, uint64_t offset, void *to,
                      size_t size)
{
    unsigned char *data = to;
    while (size > 0 && !oci_failed(cx)) {
        size_t want = size < MOST_AT_ONCE ? size : MOST_AT_ONCE;
        ssize_t n = oci_file_fault(cx, OCI_FAULT_READ)
                        ? -1
                        : pread(file->descriptor, data, want, (off_t)offset);
        if (n > 0) {
            data += n;
            offset += (uint64_t)n;
            size -= (size_t)n;
        } else if (n == 0) {
            oci_fail(cx, OC_E_FILE, "%s: the file changed while it was read", file->path);
        } else if (errno != EINTR) {
            oci_file_error(cx, OC_E_FILE, file->path, "read", errno);
        }
    }
    return !oci_failed(cx);
}

void oci_file_close(oci_file *file)
{
    if (!file) return;
    if (file->descriptor >= 0) close(file->descriptor);
    oci_free(file->path);
    oci_free(file);
}

/* ---- mapping ----------------------------------------------------------------------- */

/* The release hook of mappings. The heap that was charged is kept alive by the buffer,
 * which may outlive the context that opened the file. */
static void unmap(oci_buffer *buffer)
{
    oci_heap *heap = buffer->owner;
    munmap(buffer->data, buffer->size);
    oci_heap_discharge(heap, buffer->size);
    oci_heap_unref(&heap);
}

/* MAP_PRIVATE and PROT_READ: a stray write faults at once instead
 * of changing a checkpoint. */
static void *map_fd(oc_context *cx, int fd, const char *path, size_t size)
{
    void *data = oci_file_fault(cx, OCI_FAULT_MAP)
                     ? MAP_FAILED
                     : mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data != MAP_FAILED) return data;
    oci_file_error(cx, OC_E_FILE, path, "map", errno);
    return NULL;
}

/* `size` bytes of an open file. */
static oci_buffer *map_whole(oc_context *cx, int fd, const char *path, uint64_t size)
{
    void *data = NULL;
    oci_buffer *buffer = NULL;
    if (size > cx->limits.file_bytes)
        too_long(cx, path, cx->limits.file_bytes);
    else if (size == 0)                         /* mmap refuses to map nothing */
        buffer = oci_buffer_create(cx, 0);
    else if (oci_heap_charge(cx, size)) {
        data = map_fd(cx, fd, path, (size_t)size);
        if (data) buffer = oci_buffer_wrap(cx, data, (size_t)size, true, unmap);
        if (buffer) {
            buffer->owner = oci_heap_ref(cx->heap);
        } else {
            if (data) munmap(data, (size_t)size);
            oci_heap_discharge(cx->heap, size);
        }
    }
    return buffer;
}

oci_buffer *oci_file_map(oc_context *cx, const char *path)
{
    uint64_t size = 0;
    int fd = open_regular(cx, path, &size);
    if (fd < 0) return NULL;
    oci_buffer *buffer = map_whole(cx, fd, path, size);
    close(fd);
    return buffer;
}

oci_buffer *oci_file_map_open(oc_context *cx, const oci_file *file)
{
    return oci_failed(cx) ? NULL
                          : map_whole(cx, file->descriptor, file->path, file->size);
}

/* ---- paths ------------------------------------------------------------------------- */

bool oci_file_exists(oc_context *cx, const char *path)
{
    struct stat st;
    if (oci_failed(cx)) return false;
    if (stat(path, &st) == 0) return !S_ISDIR(st.st_mode);
    return errno != ENOENT && errno != ENOTDIR;
}

bool oci_folder_exists(oc_context *cx, const char *path)
{
    struct stat st;
    return !oci_failed(cx) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *oci_path_join(oc_context *cx, const char *folder, const char *name)
{
    size_t a = strlen(folder), b = strlen(name), whole;
    bool slash = a > 0 && folder[a - 1] != '/';
    if (!oci_add(a, b, &whole) || !oci_add(whole, 2, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "a path of %zu and %zu bytes", a, b);
        return NULL;
    }
    char *path = oci_alloc(cx, whole);      /* both, a slash and a NUL */
    if (!path) return NULL;
    memcpy(path, folder, a);
    if (slash) path[a++] = '/';
    memcpy(path + a, name, b + 1);
    return path;
}

/* ---- saving ------------------------------------------------------------------------ */

struct oci_save {
    char *path;
    char *temp;                 /* NULL once there is nothing to remove */
    int fd;                     /* of temp; -1 before it is open and after it is closed */
    int folder;                 /* of the folder, to flush the rename; -1: not readable */
};

/* A new string: the folder of `path`, "." if it names none. */
static char *folder_of(oc_context *cx, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return oci_strdup(cx, ".");
    return oci_strndup(cx, path, slash == path ? 1 : (size_t)(slash - path));
}

/* Opens a file that was not there. The name does not contain that of the
 * target, which may already be as long as the system allows. O_EXCL: never
 * through a link laid by others. */
static void open_temp(oc_context *cx, oci_save *save, const char *folder)
{
    static atomic_uint serial;      /* two threads may save into one folder */
    char name[64];
    for (int i = 0; i < TEMP_TRIES && !oci_failed(cx); i++) {
        snprintf(name, sizeof name, ".ocelli-%ld-%u.tmp", (long)getpid(),
                 atomic_fetch_add(&serial, 1u));
        save->temp = oci_path_join(cx, folder, name);
        if (!save->temp) return;
        save->fd = oci_file_fault(cx, OCI_FAULT_OPEN)
                       ? -1
                       : open(save->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (save->fd >= 0) return;
        int error = errno;
        oci_free(save->temp);
        save->temp = NULL;
        if (error != EEXIST)
            oci_file_error(cx, OC_E_WRITE, save->path,
                           "create a temporary file beside it", error);
    }
    oci_fail(cx, OC_E_WRITE, "%s: no free name for a temporary file beside it",
             save->path);
}

/* True for /dev/stdout and its like: links into /proc, whatever they lead to now. */
static bool names_open_file(const char *path)
{
    char to[8];
    return readlink(path, to, sizeof to) >= 6 && !memcmp(to, "/proc/", 6);
}

/* Renaming over a device or a folder would destroy it or fail late. A link
 * to a file, or to nothing, is replaced; one of the system's is not: root
 * would take it from everybody. */
static void check_target(oc_context *cx, const char *path)
{
    struct stat st;
    size_t n = strlen(path);
    if (n == 0 || path[n - 1] == '/')
        oci_fail(cx, OC_E_WRITE, "%s: expected the name of a file", path);
    else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        oci_fail(cx, OC_E_WRITE, "%s: expected a regular file, found a %s", path,
                 S_ISDIR(st.st_mode) ? "folder" : "pipe or a device");
    else if (names_open_file(path))
        oci_fail(cx, OC_E_WRITE,
                 "%s: expected a regular file, found a name for an open one", path);
}

oci_save *oci_save_begin(oc_context *cx, const char *path)
{
    if (oci_failed(cx)) return NULL;
    check_target(cx, path);
    oci_save *save = oci_alloc(cx, sizeof *save);
    if (!save) return NULL;
    *save = (oci_save){ .fd = -1, .folder = -1 };
    save->path = oci_strdup(cx, path);
    char *folder = folder_of(cx, path);
    if (folder && save->path) {
        /* Before anything is written: after the rename there is no way back. A folder
         * that may be written but not read is left unflushed rather than refused. */
        save->folder = oci_file_fault(cx, OCI_FAULT_OPEN)
                           ? -1
                           : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (save->folder < 0 && errno != EACCES)
            oci_file_error(cx, OC_E_WRITE, path, "open its folder", errno);
        else
            open_temp(cx, save, folder);
    }
    oci_free(folder);
    if (!oci_failed(cx)) return save;
    oci_save_end(cx, save, false);
    return NULL;
}

/* An interrupted or partial write goes on where it stopped; any other failure is final,
 * and what was written so far is removed by oci_save_end. */
oc_status oci_save_write(oc_context *cx, oci_save *save, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0 && !oci_failed(cx)) {
        size_t want = size < MOST_AT_ONCE ? size : MOST_AT_ONCE;
        ssize_t n = oci_file_fault(cx, OCI_FAULT_WRITE) ? -1 : write(save->fd, p, want);
        if (n >= 0) {
            p += n;
            size -= (size_t)n;
        } else if (errno != EINTR) {
            oci_file_error(cx, OC_E_WRITE, save->path, "write", errno);
        }
    }
    return cx->status;
}

oc_status oci_save_flush(oc_context *cx, oci_save *save)
{
    if (oci_failed(cx) || save->fd < 0) return cx->status;
    if (oci_file_fault(cx, OCI_FAULT_FSYNC) || fsync(save->fd) != 0)
        return oci_file_error(cx, OC_E_WRITE, save->path, "fsync", errno);
    int fd = save->fd;
    save->fd = -1;
    if (close(fd) != 0)                         /* where NFS reports a full disk */
        oci_file_error(cx, OC_E_WRITE, save->path, "close", errno);
    return cx->status;
}

/* The steps of a commit, in the order that makes a crash harmless at any point: the bytes
 * are on the disk before the name shows them. */
static void commit_file(oc_context *cx, oci_save *save)
{
    if (oci_save_flush(cx, save)) return;
    if (oci_file_fault(cx, OCI_FAULT_RENAME) || rename(save->temp, save->path) != 0) {
        oci_file_error(cx, OC_E_WRITE, save->path, "rename into place", errno);
        return;
    }
    oci_free(save->temp);                       /* nothing to remove any more */
    save->temp = NULL;
    if (save->folder < 0) return;
    /* EINVAL: file systems that cannot flush a folder and need not. */
    if (oci_file_fault(cx, OCI_FAULT_FSYNC) ||
        (fsync(save->folder) != 0 && errno != EINVAL))
        oci_file_error(cx, OC_E_WRITE, save->path,
                       "written, but flushing its folder failed: it may not survive a "
                       "power cut",
                       errno);
}

oc_status oci_save_end(oc_context *cx, oci_save *save, bool commit)
{
    if (!save) return cx->status;
    if (commit && !oci_failed(cx)) commit_file(cx, save);
    if (save->fd >= 0) close(save->fd);
    if (save->temp) unlink(save->temp);
    if (save->folder >= 0) close(save->folder);
    oci_free(save->temp);
    oci_free(save->path);
    oci_free(save);
    return cx->status;
}

oc_status oci_file_remove(oc_context *cx, const char *path)
{
    if (oci_failed(cx)) return cx->status;
    int error = oci_file_fault(cx, OCI_FAULT_RENAME) ? EIO
                : unlink(path) == 0                  ? 0 : errno;
    if (error && error != ENOENT) oci_file_error(cx, OC_E_WRITE, path, "remove", error);
    return cx->status;
}

oc_status oci_folder_make(oc_context *cx, const char *path)
{
    if (oci_failed(cx)) return cx->status;
    int error = mkdir(path, 0777) == 0 ? 0 : errno;
    if (error && !(error == EEXIST && oci_folder_exists(cx, path)))
        oci_file_error(cx, OC_E_WRITE, path, "make the folder", error);
    return cx->status;
}

bool oci_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}
