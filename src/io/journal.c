#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/context.h"
#include "base/hash.h"
#include "io/file.h"

static const char magic[4] = { 'O', 'C', 'J', '1' };

struct oci_journal {
    char *path;
    int fd;
    uint64_t end;               /* of the last whole block that was read or written */
    uint64_t size;              /* of the file, when it was opened */
    unsigned char *block;       /* what next() handed out; reused */
    size_t room;
    bool at_end;                /* next() has seen all; nothing lies beyond `end` any
                                   more */
    bool ours;                  /* locked, and a journal */
};

/* Up to `size` bytes at `offset`; fewer at the end of the file. */
static size_t read_at(oc_context *cx, const oci_journal *j, uint64_t offset, void *data,
                      size_t size)
{
    size_t got = 0;
    while (got < size && !oci_failed(cx)) {
        ssize_t n = oci_file_fault(cx, OCI_FAULT_READ)
                        ? -1
                        : pread(j->fd, (char *)data + got, size - got,
                                (off_t)(offset + got));
        if (n == 0) break;
        if (n > 0) got += (size_t)n;
        else if (errno != EINTR) oci_file_error(cx, OC_E_FILE, j->path, "read", errno);
    }
    return got;
}

/* Somebody's file of that name, a text say, must not be cut and overwritten. */
static void check_kind(oc_context *cx, oci_journal *j)
{
    struct stat st;
    char head[sizeof magic];
    if (fstat(j->fd, &st) != 0) {
        oci_file_error(cx, OC_E_WRITE, j->path, "stat", errno);
        return;
    }
    j->size = (uint64_t)st.st_size;
    size_t got = read_at(cx, j, 0, head, sizeof head);
    if (!oci_failed(cx) && (!S_ISREG(st.st_mode) || memcmp(head, magic, got) != 0))
        oci_fail(cx, OC_E_MALFORMED,
                 "%s: expected a journal of ocelli, found something else: it is in the "
                 "way, move it",
                 j->path);
    j->ours = !oci_failed(cx);
}

oci_journal *oci_journal_open(oc_context *cx, const char *path)
{
    oci_journal *j = oci_calloc(cx, 1, sizeof *j);
    if (!j) return NULL;
    j->fd = -1;
    j->path = oci_strdup(cx, path);
    if (j->path) {
        j->fd = oci_file_fault(cx, OCI_FAULT_OPEN)
                    ? -1
                    : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                           0666);
        if (j->fd < 0) oci_file_error(cx, OC_E_WRITE, path, "open", errno);
        else if (flock(j->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            oci_fail(cx, OC_E_WRITE, "%s: another process is at work on it", path);
        else check_kind(cx, j);
    }
    if (!oci_failed(cx)) return j;
    oci_journal_close(cx, j, false);
    return NULL;
}

/* Room for a block, which the file has been seen to hold:
 * a size that lies takes nothing. */
static bool make_room(oc_context *cx, oci_journal *j, size_t size)
{
    if (size <= j->room) return true;
    oci_free(j->block);
    j->room = 0;
    j->block = oci_alloc(cx, size);
    if (j->block) j->room = size;
    return j->block != NULL;
}

bool oci_journal_next(oc_context *cx, oci_journal *j, const unsigned char **block,
                      size_t *size, uint64_t *offset)
{
    unsigned char frame[OCI_JOURNAL_FRAME];
    uint32_t bytes;
    uint64_t checksum;
    if (oci_failed(cx) || j->at_end) return false;
    size_t got = read_at(cx, j, j->end, frame, sizeof frame);
    memcpy(&bytes, frame + 4, sizeof bytes);
    memcpy(&checksum, frame + 8, sizeof checksum);
    uint64_t content = j->end + sizeof frame;
    bool whole = got == sizeof frame && memcmp(frame, magic, sizeof magic) == 0 &&
                 content <= j->size && bytes <= j->size - content &&
                 make_room(cx, j, bytes) &&
                 read_at(cx, j, content, j->block, bytes) == bytes &&
                 oci_hash_of(j->block, bytes) == checksum;
    if (!whole || oci_failed(cx)) {
        j->at_end = !oci_failed(cx);
        return false;
    }
    *block = j->block;
    *size = bytes;
    if (offset) *offset = content;
    j->end = content + bytes;
    return true;
}

static void write_at(oc_context *cx, const oci_journal *j, uint64_t offset,
                     const void *data, size_t size)
{
    const char *p = data;
    while (size > 0 && !oci_failed(cx)) {
        ssize_t n = oci_file_fault(cx, OCI_FAULT_WRITE)
                        ? -1
                        : pwrite(j->fd, p, size, (off_t)offset);
        if (n >= 0) {
            p += n;
            size -= (size_t)n;
            offset += (uint64_t)n;
        } else if (errno != EINTR) {
            oci_file_error(cx, OC_E_WRITE, j->path, "write", errno);
        }
    }
}

oc_status oci_journal_append(oc_context *cx, oci_journal *j, const void *block,
                             size_t size, uint64_t *offset)
{
    unsigned char frame[OCI_JOURNAL_FRAME];
    uint32_t bytes = (uint32_t)size;
    uint64_t checksum = oci_hash_of(block, size);
    if (oci_failed(cx)) return cx->status;
    if (bytes != size)
        return oci_fail(cx, OC_E_LIMIT, "%s: a block of %zu bytes", j->path, size);
    memcpy(frame, magic, sizeof magic);
    memcpy(frame + 4, &bytes, sizeof bytes);
    memcpy(frame + 8, &checksum, sizeof checksum);
    /* What a killed writer left behind goes first: a later, shorter block would otherwise
     * be followed by pieces of it. */
    if (j->size > j->end &&
        (oci_file_fault(cx, OCI_FAULT_WRITE) || ftruncate(j->fd, (off_t)j->end) != 0))
        return oci_file_error(cx, OC_E_WRITE, j->path, "truncate", errno);
    j->size = j->end;
    write_at(cx, j, j->end, frame, sizeof frame);
    write_at(cx, j, j->end + sizeof frame, block, size);
    /* After a failed write the file may be longer than j->size says; the next opening
     * sees a block that is not whole. */
    if (oci_failed(cx)) return cx->status;
    *offset = j->end + sizeof frame;
    j->end = j->size = *offset + size;
    return OC_OK;
}

oc_status oci_journal_read(oc_context *cx, const oci_journal *j, uint64_t offset,
                           void *data, size_t size)
{
    if (!oci_failed(cx) && read_at(cx, j, offset, data, size) != size && !oci_failed(cx))
        oci_fail(cx, OC_E_FILE, "%s: became shorter while it was read", j->path);
    return cx->status;
}

void oci_journal_close(oc_context *cx, oci_journal *j, bool remove)
{
    if (!j) return;
    /* Before the lock goes with the descriptor: afterwards it may be another's. What came
     * to nothing leaves nothing, not even after an error. */
    const bool empty = j->ours && j->size == 0;
    if ((empty || (remove && !oci_failed(cx))) && unlink(j->path) != 0 && !empty)
        oci_file_error(cx, OC_E_WRITE, j->path, "remove", errno);
    if (j->fd >= 0) close(j->fd);
    oci_free(j->block);
    oci_free(j->path);
    oci_free(j);
}
