/* A hub in one file, to be disobliged by: serves the models below ROOT as the Hugging
 * Face hub does, and misbehaves as told. Knows no more HTTP than libcurl asks.
 *
 *     hub_server ROOT     listens on two ports of 127.0.0.1: the hub's and that of its
 *                         "CDN"; writes both to ROOT/ports
 *
 * ROOT/models/ORG/NAME/FILE are the files; their commit is the text of .commit
 * beside them, a file .gated asks for the token "secret". Files over 1000 bytes
 * are "LFS": named by SHA-256, and sent on to the CDN. ROOT/faults is read before
 * each request. A line there is
 *
 *     TEXT KIND TIMES [NUMBER]
 *
 * and is applied to the first TIMES requests whose path contains
 * TEXT, until the line is gone:
 *     drop N        closes after N bytes of the body  short N    announces N bytes fewer
 *     long N        announces N more, and closes      status N   answers N
 *     slow N        N bytes each 50 ms                norange    ignores Range
 *     badrange      another part than was asked for   corrupt    flips a bit
 *     loop          redirects to itself               away       redirects to the CDN
 *     noetag        no ETag, and no checksums in the list
 *     later N       429 with Retry-After: N           garbage    a body of nonsense
 *     hang          says nothing                      chunked    sends without a length
 *     again N       drops, and ignores Range          packed     says it is gzip's
 *     endless       goes on, without a length
 *     vague N       version N of the file, ETag "vN"; the first one drops half-way
 * ROOT/log gets a line a request: PORT METHOD PATH RANGE TOKEN, "-" for none. */
#define _GNU_SOURCE             /* strcasestr */
#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"

enum { ROOM = 1 << 16, LFS_OVER = 1000, MOST_FAULTS = 64 };

static const char *root;
static int ports[2];

typedef struct request {
    int fd, port;
    char path[2048], range[64], token[256];
} request;

typedef struct fault {
    char kind[32];
    long number;
} fault;

static char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (!f || fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) {
        if (f) fclose(f);
        return NULL;
    }
    char *data = malloc((size_t)st.st_size + 1);
    *size = fread(data, 1, (size_t)st.st_size, f);
    data[*size] = '\0';
    fclose(f);
    return data;
}

/* The fault of this request, counted in memory by the text of its line. Processes are
 * forked per request, so the counts live in a file each: ROOT/count.N. */
static fault find_fault(const char *path)
{
    static const fault none = { .kind = "" };
    char name[1024], line[512], text[256];
    snprintf(name, sizeof name, "%s/faults", root);
    FILE *f = fopen(name, "r");
    fault found = none;
    for (int i = 0; f && i < MOST_FAULTS && fgets(line, sizeof line, f); i++) {
        long times = 0, number = 0, seen = 0;
        if (sscanf(line, "%255s %31s %ld %ld", text, found.kind, &times, &number) < 3 ||
            !strstr(path, text)) continue;
        snprintf(name, sizeof name, "%s/count.%d", root, i);
        FILE *count = fopen(name, "r");
        if (count && fscanf(count, "%ld", &seen) != 1) seen = 0;
        if (count) fclose(count);
        if (seen >= times) continue;
        count = fopen(name, "w");
        if (count) {
            fprintf(count, "%ld", seen + 1);
            fclose(count);
        }
        found.number = number;
        fclose(f);
        return found;
    }
    if (f) fclose(f);
    return none;
}

static bool say(int fd, const void *data, size_t size)
{
    const char *p = data;
    while (size > 0) {
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

__attribute__((format(printf, 2, 3)))
static void sayf(int fd, const char *format, ...)
{
    char text[4096];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n > 0 && (size_t)n < sizeof text) say(fd, text, (size_t)n);
}

static void answer(const request *r, int status, const char *headers, const char *body)
{
    sayf(r->fd, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
         status, strlen(body), headers);
    say(r->fd, body, strlen(body));
}

static void digest_of(const char *data, size_t size, char text[OCI_DIGEST_TEXT])
{
    char header[32];
    oci_digest d;
    bool lfs = size > LFS_OVER;
    oci_digest_init(&d, lfs ? OCI_SHA256 : OCI_SHA1);
    int n = snprintf(header, sizeof header, "blob %zu", size);
    if (!lfs) oci_digest_add(&d, header, (size_t)n + 1);
    oci_digest_add(&d, data, size);
    oci_digest_text(&d, text);
}

/* ---- the list of files ---- */

static void put_sibling(FILE *out, const char *folder, const char *name, bool checksums,
                        bool first)
{
    char path[2048], etag[OCI_DIGEST_TEXT];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *data = slurp(path, &size);
    if (!data) return;
    digest_of(data, size, etag);
    fprintf(out, "%s{\"rfilename\":\"%s\"", first ? "" : ",", name);
    if (checksums && size > LFS_OVER)
        fprintf(out,
                ",\"size\":%zu,\"blobId\":\"%040d\",\"lfs\":{\"sha256\":\"%s\",\"size\":%"
                "zu,\"pointerSize\":130}",
                size, 0, etag, size);
    else if (checksums)
        fprintf(out, ",\"size\":%zu,\"blobId\":\"%s\"", size, etag);
    fprintf(out, "}");
    free(data);
}

/* Folders one deep: enough for "sub/file". */
static void put_folder(FILE *out, const char *top, const char *below, bool checksums,
                       bool *first)
{
    char path[2048], name[1024];
    snprintf(path, sizeof path, "%s/%s", top, below);
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        struct stat st;
        if (e->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s%s%s", below, below[0] ? "/" : "", e->d_name);
        snprintf(path, sizeof path, "%s/%s", top, name);
        if (stat(path, &st)) continue;
        if (S_ISDIR(st.st_mode)) {
            put_folder(out, top, name, checksums, first);
        } else {
            put_sibling(out, top, name, checksums, *first);
            *first = false;
        }
    }
    if (dir) closedir(dir);
}

static void serve_list(const request *r, const char *folder, const char *commit, fault f)
{
    char *text = NULL;
    size_t size;
    bool first = true;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "{\"sha\":\"%s\",\"siblings\":[", commit);
    put_folder(out, folder, "", strcmp(f.kind, "noetag") != 0, &first);
    /* What a hostile hub would add, from a file. */
    char path[2100];
    snprintf(path, sizeof path, "%.2047s/.siblings", folder);
    size_t more_size;
    char *more = slurp(path, &more_size);
    if (more) fprintf(out, "%s%s", first ? "" : ",", more);
    free(more);
    fprintf(out, "]}");
    fclose(out);
    if (!strcmp(f.kind, "garbage")) text[0] = 'x';
    answer(r, 200, "Content-Type: application/json\r\n", text);
    free(text);
}

/* ---- a file ---- */

static void send_body(const request *r, const char *data, size_t size, fault f)
{
    const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
    size_t piece = !strcmp(f.kind, "slow") ? (size_t)f.number : size;
    bool cut = !strcmp(f.kind, "drop") || !strcmp(f.kind, "again");
    if (cut && (size_t)f.number < size) size = (size_t)f.number;
    for (size_t at = 0; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        if (!say(r->fd, data + at, n)) return;
        if (piece < size) nanosleep(&pause, NULL);
    }
}

/* The file, and zeros until nobody wants more. */
static void send_endless(const request *r, const char *data, size_t size)
{
    static const char zeros[ROOM];
    sayf(r->fd, "HTTP/1.1 200 X\r\nConnection: close\r\n\r\n");
    bool more = say(r->fd, data, size);
    while (more) more = say(r->fd, zeros, sizeof zeros);
}

static void send_file(const request *r, char *data, size_t size, fault f)
{
    char etag[OCI_DIGEST_TEXT], range[128] = "", etags[256] = "";
    size_t from = 0, told;
    if (!strcmp(f.kind, "endless")) {
        send_endless(r, data, size);
        return;
    }
    digest_of(data, size, etag);
    if (!strcmp(f.kind, "vague")) {
        data[0] ^= (char)f.number;
        snprintf(etags, sizeof etags, "ETag: \"v%ld\"\r\n", f.number);
        f = (fault){ .kind = "", .number = (long)size / 2 };
        if (strstr(etags, "v1")) strcpy(f.kind, "drop");
    } else if (!strcmp(f.kind, "packed")) {
        snprintf(etags, sizeof etags, "Content-Encoding: gzip\r\n");
    } else if (strcmp(f.kind, "noetag")) {
        snprintf(etags, sizeof etags, "ETag: \"%s\"\r\n", etag);
    }
    if (!strcmp(f.kind, "corrupt") && size) data[size / 2] ^= 4;
    if (strncmp(r->range, "bytes=", 6) == 0 && strcmp(f.kind, "norange") &&
        strcmp(f.kind, "again"))
        from = (size_t)strtoull(r->range + 6, NULL, 10);
    if (from && from >= size) {
        answer(r, 416, "", "");
        return;
    }
    if (from) {
        size_t said = !strcmp(f.kind, "badrange") ? from - 1 : from;
        snprintf(range, sizeof range, "Content-Range: bytes %zu-%zu/%zu\r\n", said,
                 size - 1, size);
    }
    told = size - from;
    if (!strcmp(f.kind, "short"))
        told -= (size_t)f.number < told ? (size_t)f.number : told;
    if (!strcmp(f.kind, "long")) told += (size_t)f.number;
    if (!strcmp(f.kind, "chunked"))
        sayf(r->fd, "HTTP/1.1 %d X\r\nConnection: close\r\n%s%s\r\n", from ? 206 : 200,
             range, etags);
    else
        sayf(r->fd,
             "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s%s\r\n",
             from ? 206 : 200, told, range, etags);
    if (!strcmp(f.kind, "short") && told < size - from) size = from + told;
    send_body(r, data + from, size - from, f);
}

static void redirect(const request *r, int port, const char *path, const char *etag)
{
    char headers[4096];
    snprintf(headers, sizeof headers, "Location: http://127.0.0.1:%d%s\r\n%s%s%s", port,
             path, etag[0] ? "X-Linked-Etag: \"" : "", etag, etag[0] ? "\"\r\n" : "");
    answer(r, 302, headers, "");
}

static void serve_file(const request *r, const char *path, fault f)
{
    char etag[OCI_DIGEST_TEXT] = "", cdn[4200];
    size_t size;
    char *data = slurp(path, &size);
    if (!data) {
        answer(r, 404, "X-Error-Code: EntryNotFound\r\n", "");
        return;
    }
    if (size > LFS_OVER && r->port == 0) {
        if (strcmp(f.kind, "noetag")) digest_of(data, size, etag);
        snprintf(cdn, sizeof cdn, "%s?signed", r->path);
        redirect(r, ports[1], cdn, etag);
    } else {
        send_file(r, data, size, f);
    }
    free(data);
}

/* ---- requests ---- */

/* Faults that need no file. True: done. */
static bool misbehave(const request *r, fault f)
{
    char headers[64] = "";
    if (!strcmp(f.kind, "status") || !strcmp(f.kind, "later")) {
        bool later = !strcmp(f.kind, "later");
        if (later) snprintf(headers, sizeof headers, "Retry-After: %ld\r\n", f.number);
        answer(r, later ? 429 : (int)f.number, headers, "a page about it");
        return true;
    }
    if (!strcmp(f.kind, "loop") || !strcmp(f.kind, "away")) {
        redirect(r, ports[!strcmp(f.kind, "loop") ? r->port : 1], r->path, "");
        return true;
    }
    if (!strcmp(f.kind, "hang")) {
        sleep(30);
        return true;
    }
    return false;
}

static void route(const request *r)
{
    char name[1024], folder[2048], path[4096], below[1024];
    size_t size = 0;
    fault f = find_fault(r->path);
    if (misbehave(r, f)) return;
    bool list = sscanf(r->path, "/api/models/%1023[^?]", name) == 1;
    const char *cut = strstr(list ? name : r->path, list ? "/revision/" : "/resolve/");
    if (!cut) {
        answer(r, 404, "", "");
        return;
    }
    snprintf(folder, sizeof folder, "%s/models/%.*s", root,
             (int)(cut - (list ? name : r->path + 1)), list ? name : r->path + 1);
    snprintf(path, sizeof path, "%s/.commit", folder);
    char *commit = slurp(path, &size);
    if (!commit) {
        answer(r, 401, "X-Error-Code: RepoNotFound\r\n", "");
        return;
    }
    commit[strcspn(commit, "\n")] = '\0';
    snprintf(path, sizeof path, "%s/.gated", folder);
    bool gated = access(path, F_OK) == 0 && r->port == 0;
    const char *revision = cut + (list ? 10 : 9);
    if (gated && strcmp(r->token, "Bearer secret"))
        answer(r, r->token[0] ? 403 : 401, "X-Error-Code: GatedRepo\r\n", "");
    else if (list && strcmp(revision, "main") && strcmp(revision, commit))
        answer(r, 404, "X-Error-Code: RevisionNotFound\r\n", "");
    else if (list)
        serve_list(r, folder, commit, f);
    else if (sscanf(revision, "%*[^/]/%1023[^?]", below) == 1) {
        snprintf(path, sizeof path, "%s/%s", folder, below);
        serve_file(r, path, f);
    }
    free(commit);
}

static void header(const char *text, const char *name, char *to, size_t room)
{
    const char *at = strcasestr(text, name);
    to[0] = '\0';
    if (!at) return;
    at += strlen(name);
    size_t n = strcspn(at, "\r\n");
    snprintf(to, room, "%.*s", (int)n, at);
}

static void handle(int fd, int port)
{
    static char text[ROOM];
    size_t filled = 0;
    request r = { .fd = fd, .port = port };
    char method[16] = "", path[2048] = "", log[1024];
    while (filled < sizeof text - 1 && !strstr(text, "\r\n\r\n")) {
        ssize_t n = read(fd, text + filled, sizeof text - 1 - filled);
        if (n <= 0) return;
        filled += (size_t)n;
        text[filled] = '\0';
    }
    if (sscanf(text, "%15s %2047s", method, path) != 2) return;
    /* A proxy gets whole addresses. */
    const char *at = strstr(path, "://");
    at = at ? strchr(at + 3, '/') : path;
    snprintf(r.path, sizeof r.path, "%s", at ? at : "/");
    header(text, "\r\nRange: ", r.range, sizeof r.range);
    header(text, "\r\nAuthorization: ", r.token, sizeof r.token);
    snprintf(log, sizeof log, "%s/log", root);
    FILE *f = fopen(log, "a");
    if (f) {
        fprintf(f, "%d %s %s %s %s\n", port, method, path, r.range[0] ? r.range : "-",
                r.token[0] ? r.token : "-");
        fclose(f);
    }
    route(&r);
}

static int listen_on(int *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) || listen(fd, 64) ||
        getsockname(fd, (struct sockaddr *)&at, &size)) {
        perror("hub_server");
        exit(1);
    }
    *port = ntohs(at.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    char path[1024], temp[1100];
    if (argc != 2) {
        fprintf(stderr, "usage: hub_server ROOT\n");
        return 2;
    }
    root = argv[1];
    signal(SIGCHLD, SIG_IGN);                   /* no zombies */
    int fds[2] = { listen_on(&ports[0]), listen_on(&ports[1]) };
    snprintf(path, sizeof path, "%s/ports", root);
    snprintf(temp, sizeof temp, "%s.tmp", path);
    FILE *f = fopen(temp, "w");
    if (!f) return 1;
    fprintf(f, "%d %d\n", ports[0], ports[1]);
    fclose(f);
    if (rename(temp, path)) return 1;
    pid_t parent = getppid();
    for (;;) {
        struct timeval wait = { .tv_sec = 1 };
        fd_set set;
        FD_ZERO(&set);
        for (int i = 0; i < 2; i++) FD_SET(fds[i], &set);
        int most = fds[0] > fds[1] ? fds[0] : fds[1];
        int ready = select(most + 1, &set, NULL, NULL, &wait);
        if (getppid() != parent) return 0;      /* the test is gone */
        for (int i = 0; i < 2 && ready > 0; i++) {
            int fd = FD_ISSET(fds[i], &set) ? accept(fds[i], NULL, NULL) : -1;
            if (fd < 0) continue;
            if (fork() == 0) {
                handle(fd, i);
                shutdown(fd, SHUT_WR);
                close(fd);
                _exit(0);
            }
            close(fd);
        }
    }
}
