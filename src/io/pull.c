/* oc_pull: from the hub into its cache. In this order, so that a kill at any moment
 * leaves either what was there or all that is new:
 *   1. the hub's list of the revision's files, with sizes and checksums (one request);
 *   2. each file into blobs/ETAG.incomplete, and, when its checksum is right, to
 *   blobs/ETAG; 3. links in a folder that nobody looks into, renamed to snapshots/COMMIT;
 *   4. refs/REVISION.
 * Only 3 and 4 change what a name means, and each is one rename. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/digest.h"
#include "base/size.h"
#include "io/companions.h"
#include "io/file.h"
#include "io/http.h"
#include "io/hub.h"
#include "io/hub_store.h"
#include "io/json.h"
#include "io/quote.h"
#include "io/weight_file.h"

enum {
    LIST_BYTES = 1 << 26,           /* of the hub's answer: a model has 10 to 1000
                                       files */
    RETRIES = 5, RETRIES_MOST = 1000, FILE_NAME_MOST = 1024, COPY = 1 << 18,
    TELL_EVERY = 1 << 20
};

typedef struct remote_file {
    const char *name;               /* the list's */
    char etag[OCI_DIGEST_TEXT];     /* SHA-256, or git's SHA-1; "": not known yet */
    uint64_t size;
    bool sized;                     /* the list told its size */
    bool wanted;
} remote_file;

typedef struct pull {
    oc_context *cx;
    oci_hub hub;
    oci_http *http;
    const char *name, *revision;
    oc_pull_options options;
    char commit[OCI_COMMIT_TEXT];
    oci_json list;
    remote_file *files;
    size_t count;
    uint64_t done, total, told;     /* bytes, for the callback */
} pull;

/* ---- addresses and errors ---------------------------------------------------------- */

/* Appends text to an address: what is not unreserved in RFC 3986 as %XX,
 * slashes if told. */
static void put_escaped(oc_context *cx, oci_bytes *url, const char *text, bool slashes)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text) || (*text == '/' && !slashes))
            oci_bytes_append(cx, url, text, 1);
        else
            oci_bytes_printf(cx, url, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

static char *list_url(pull *p)
{
    oci_bytes url;
    oci_bytes_init(&url, OCI_MAX_PATH);
    oci_bytes_printf(p->cx, &url, "%s/api/models/%s/revision/", p->hub.endpoint, p->name);
    put_escaped(p->cx, &url, p->revision, true);
    oci_bytes_append_text(p->cx, &url, "?blobs=true");
    return oci_bytes_take(p->cx, &url);
}

static char *file_url(pull *p, const char *name)
{
    oci_bytes url;
    oci_bytes_init(&url, OCI_MAX_PATH);
    oci_bytes_printf(p->cx, &url, "%s/%s/resolve/%s/", p->hub.endpoint, p->name,
                     p->commit);
    put_escaped(p->cx, &url, name, false);
    return oci_bytes_take(p->cx, &url);
}

/* What to do about a refusal, in place of its number. */
static void explain(pull *p, const oci_http_reply *reply)
{
    oc_context *cx = p->cx;
    long status = reply->status;
    if (cx->status != OC_E_FILE || (status != 401 && status != 403 && status != 404))
        return;
    oc_context_clear(cx);
    if (status == 401)
        oci_fail(cx, OC_E_FILE,
                 "%s: the hub (%s) knows no such model, or it is private or gated "
                 "(401%s%s): %s",
                 p->name, p->hub.endpoint, reply->error[0] ? " " : "", reply->error,
                 p->hub.token[0] ? "the token that was sent is not accepted"
                                 : "set HF_TOKEN to a token that may read it, or log in "
                                   "with huggingface-cli login");
    else if (status == 403)
        oci_fail(cx, OC_E_FILE,
                 "%s: this account may not read it (403%s%s): ask for access at %s/%s, "
                 "and let the token read gated models",
                 p->name, reply->error[0] ? " " : "", reply->error, p->hub.endpoint,
                 p->name);
    else if (strstr(reply->error, "Revision"))
        oci_fail(cx, OC_E_FILE, "%s: the hub has no revision %s of it (404)", p->name,
                 p->revision);
    else
        oci_fail(cx, OC_E_FILE,
                 "%s: the hub (%s) has no such model, or no revision %s of it (404)",
                 p->name, p->hub.endpoint, p->revision);
}

/* ---- the list of files ------------------------------------------------------------- */

static uint64_t from_start(void *user)
{
    oci_bytes_deinit(user);         /* a list that was cut is asked for anew */
    return 0;
}

static void begin_list(oc_context *cx, void *user, const oci_http_reply *reply)
{
    (void)cx, (void)user, (void)reply;
}

static void put_list(oc_context *cx, void *user, const void *data, size_t size)
{
    oci_bytes_append(cx, user, data, size);
}

/* A path below the snapshot that stays there. */
static bool is_file_name(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > FILE_NAME_MOST || strchr(name, '\\')) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) return false;
    for (const char *part = name; ; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 ||
            (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.'))))
            return false;
        part += length;
        if (!*part) return true;
    }
}

static bool is_digest(const char *text)
{
    size_t n = strlen(text);
    return (n == 40 || n == 64) && strspn(text, "0123456789abcdef") == n;
}

static int by_name(const void *a, const void *b)
{
    const remote_file *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* One of "siblings": {"rfilename": …, "size": …, "blobId": …, "lfs": {"sha256": …}}. */
static void read_file_entry(pull *p, const json_t *entry, remote_file *file)
{
    const char *name = json_string_value(json_object_get(entry, "rfilename"));
    const json_t *lfs = json_object_get(entry, "lfs"),
                 *size = json_object_get(entry, "size");
    const char *etag = json_string_value(json_object_get(lfs, "sha256"));
    oci_quoted quoted;
    if (!name || !is_file_name(name)) {
        oci_fail(p->cx, OC_E_MALFORMED, "%s: siblings: expected names of files, found %s",
                 p->list.name, oci_quote(&quoted, name));
        return;
    }
    if (!etag) etag = json_string_value(json_object_get(lfs, "oid"));
    if (!etag) etag = json_string_value(json_object_get(entry, "blobId"));
    if (json_is_integer(json_object_get(lfs, "size")))
        size = json_object_get(lfs, "size");
    *file = (remote_file){ .name = name };
    file->sized = json_is_integer(size) && json_integer_value(size) >= 0;
    if (file->sized) file->size = (uint64_t)json_integer_value(size);
    /* git's checksum is of the size too: without that it cannot be compared. */
    bool usable = etag && is_digest(etag) && (file->sized || strlen(etag) == 64);
    if (usable) memcpy(file->etag, etag, strlen(etag) + 1);
}

static void read_list(pull *p)
{
    oc_context *cx = p->cx;
    const char *sha = oci_json_text(cx, &p->list, p->list.root, "sha", "");
    json_t *siblings = oci_json_array(cx, &p->list, p->list.root, "siblings");
    if (oci_failed(cx)) return;
    if (!oci_hub_is_commit(sha)) {
        oci_json_expected(cx, &p->list, "sha", "a commit",
                          json_object_get(p->list.root, "sha"));
        return;
    }
    memcpy(p->commit, sha, sizeof p->commit);
    p->count = json_array_size(siblings);
    p->files = oci_calloc(cx, p->count, sizeof *p->files);
    for (size_t i = 0; p->files && i < p->count && !oci_failed(cx); i++)
        read_file_entry(p, json_array_get(siblings, i), &p->files[i]);
    if (p->count && !oci_failed(cx)) qsort(p->files, p->count, sizeof *p->files, by_name);
}

static void fetch_list(pull *p)
{
    char what[OCI_MAX_MESSAGE / 4];
    oci_bytes text;
    oci_http_reply reply;
    oci_bytes_init(&text, LIST_BYTES);
    const oci_http_sink sink = { from_start, begin_list, put_list, &text };
    char *url = list_url(p);
    snprintf(what, sizeof what, "%s: list of files", p->name);
    if (url && oci_http_get(p->cx, p->http, url, what, &sink, &reply))
        oci_json_parse(p->cx, &p->list, what, text.data ? text.data : "", text.size);
    else if (url)
        explain(p, &reply);
    if (!oci_failed(p->cx)) read_list(p);
    oci_bytes_deinit(&text);
    oci_free(url);
}

/* ---- choosing ---------------------------------------------------------------------- */

static remote_file *find_file(const pull *p, const char *name)
{
    const remote_file key = { .name = name };
    return p->count ? bsearch(&key, p->files, p->count, sizeof key, by_name) : NULL;
}

static bool want(pull *p, const char *name)
{
    remote_file *file = find_file(p, name);
    if (file && !file->wanted) {
        file->wanted = true;
        p->total += file->size;
    }
    return file != NULL;
}

static void want_included(pull *p)
{
    size_t before = 0;
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->options.include_count; k++)
            if (fnmatch(p->options.include[k], p->files[i].name, 0) == 0)
                before += want(p, p->files[i].name);
    if (!before)
        oci_fail(p->cx, OC_E_ARGUMENT, "%s: include: none of its %zu files is called so",
                 p->name, p->count);
}

/* The weights of from_pretrained's choice. The shards of an index are known once it is
 * here: its name is returned then. */
static const char *want_weights(pull *p)
{
    for (const oci_weight_format *f = oci_weight_formats; f->suffix; f++) {
        if (want(p, f->single)) return NULL;
        if (want(p, f->index)) return f->index;
    }
    oci_log(p->cx, OC_LOG_WARNING, "%s: has no weights in a format that is known",
            p->name);
    return NULL;
}

static void want_shards(pull *p, const char *index)
{
    oc_context *cx = p->cx;
    oci_json doc;
    const char *key;
    json_t *value;
    char *path = oci_hub_path(cx, &p->hub, p->name, "blobs", find_file(p, index)->etag);
    if (path && oci_json_open(cx, &doc, path)) {
        json_t *map = oci_json_object(cx, &doc, doc.root, "weight_map");
        json_object_foreach(map, key, value) {
            const char *shard = json_string_value(value);
            if (shard && !oci_failed(cx) && !want(p, shard))
                oci_fail(cx, OC_E_MALFORMED, "%s: %s: weight_map: the hub has no file %s",
                         p->name, index, oci_quote(&(oci_quoted){ 0 }, shard));
        }
        oci_json_close(&doc);
    }
    oci_free(path);
}

/* ---- one file ---------------------------------------------------------------------- */

typedef struct download {
    pull *p;
    remote_file *file;
    oci_store_part *part;
    oci_digest digest;              /* of what is in the part, if the etag is known */
    char version[128];              /* ETag of the reply that the part is of; else "" */
    uint64_t before;                /* p->done when it began */
} download;

static void tell(pull *p, const char *file, bool now)
{
    const oc_pull_progress progress = { file, p->done, p->total };
    if (!p->options.progress || (!now && p->done - p->told < TELL_EVERY)) return;
    p->told = p->done;
    p->options.progress(p->options.progress_user, &progress);
}

/* git names a file by its header and its content. */
static void start_digest(oci_digest *digest, const char *etag, uint64_t size)
{
    char header[32];
    bool git = strlen(etag) == 40;
    oci_digest_init(digest, git ? OCI_SHA1 : OCI_SHA256);
    int n = snprintf(header, sizeof header, "blob %llu", (unsigned long long)size);
    if (git) oci_digest_add(digest, header, (size_t)n + 1);     /* with its NUL */
}

static void digest_part(oc_context *cx, const oci_store_part *part, oci_digest *digest)
{
    size_t got = 1;
    unsigned char *block = oci_alloc(cx, COPY);
    for (uint64_t at = 0; block && got > 0; at += got) {
        if (!oci_store_part_read(cx, part, at, block, COPY, &got)) break;
        oci_digest_add(digest, block, got);
    }
    oci_free(block);
}

static void part_restart(oc_context *cx, download *d)
{
    oci_store_part_restart(cx, d->part);
    start_digest(&d->digest, d->file->etag, d->file->size);
}

/* Two replies may be of two versions of the file. A checksum would tell in the end;
 * without one, only what has the server's own mark is gone on with. */
static uint64_t part_from(void *user)
{
    download *d = user;
    if (!d->file->etag[0] && !d->version[0]) part_restart(d->p->cx, d);
    return d->part->size;
}

static void part_begin(oc_context *cx, void *user, const oci_http_reply *reply)
{
    download *d = user;
    const remote_file *file = d->file;
    if (reply->status != 206) part_restart(cx, d);
    if (reply->status == 416) return;
    if (reply->status == 206 && !file->etag[0] && strcmp(d->version, reply->etag)) {
        part_restart(cx, d);
        oci_http_refuse(d->p->http, "the file has changed since its first part came");
        return;
    }
    snprintf(d->version, sizeof d->version, "%s", reply->etag);
    uint64_t whole = d->part->size + (uint64_t)reply->length;
    if (file->sized && reply->length >= 0 && whole != file->size)
        oci_http_refuse(d->p->http, "expected %llu bytes, the server offers %llu",
                        (unsigned long long)file->size, (unsigned long long)whole);
}

static void part_put(oc_context *cx, void *user, const void *data, size_t size)
{
    download *d = user;
    if (d->file->sized && size > d->file->size - d->part->size) {
        part_restart(cx, d);
        oci_http_refuse(d->p->http, "expected %llu bytes, the server sends more",
                        (unsigned long long)d->file->size);
        return;
    }
    oci_digest_add(&d->digest, data, size);
    oci_store_part_append(cx, d->part, data, size);
    d->p->done = d->before + d->part->size;
    tell(d->p, d->file->name, false);
}

/* True if what came has the etag; one that the list did not tell becomes known here, in
 * the reply's words if they are a checksum, else by our own. */
static bool is_right(oc_context *cx, download *d, const oci_http_reply *reply)
{
    char found[OCI_DIGEST_TEXT];
    remote_file *file = d->file;
    if (!file->etag[0]) {
        file->size = d->part->size;
        bool told = is_digest(reply->etag);
        if (told) memcpy(file->etag, reply->etag, strlen(reply->etag) + 1);
        start_digest(&d->digest, file->etag, file->size);
        digest_part(cx, d->part, &d->digest);
        oci_digest_text(&d->digest, found);
        if (!told) memcpy(file->etag, found, sizeof found);
    } else {
        oci_digest_text(&d->digest, found);
    }
    return !oci_failed(cx) && !strcmp(found, file->etag);
}

static bool transfer(oc_context *cx, download *d, const char *url, const char *what)
{
    oci_http_reply reply = { .etag = "" };
    const oci_http_sink sink = { part_from, part_begin, part_put, d };
    bool whole = d->file->sized && d->part->size == d->file->size;
    /* What a kill left just before the rename needs no more than its checksum. */
    if (!whole && !oci_http_get(cx, d->p->http, url, what, &sink, &reply)) {
        explain(d->p, &reply);
        return false;
    }
    return is_right(cx, d, &reply);
}

/* Twice: a part of an earlier try may have been damaged, or of another file. */
static void fill_part(oc_context *cx, download *d, const char *what)
{
    char *url = file_url(d->p, d->file->name);
    start_digest(&d->digest, d->file->etag, d->file->size);
    if (d->part->size > 0 && (!d->file->etag[0] || d->part->size > d->file->size))
        part_restart(cx, d);
    if (d->part->size > 0) digest_part(cx, d->part, &d->digest);
    for (int i = 0; url && !oci_failed(cx); i++) {
        if (transfer(cx, d, url, what)) break;
        part_restart(cx, d);
        if (i == 1)
            oci_fail(cx, OC_E_MALFORMED, "%s: expected checksum %s, found another, twice",
                     what, d->file->etag);
    }
    oci_free(url);
}

static char *lock_path(pull *p, const char *what)
{
    oci_bytes path;
    char *folder = oci_hub_path(p->cx, &p->hub, p->name, NULL, NULL);
    oci_bytes_init(&path, OCI_MAX_PATH);
    if (folder)
        oci_bytes_printf(p->cx, &path, "%s/.locks%s/%s.lock", p->hub.cache,
                         folder + strlen(p->hub.cache), what);
    oci_free(folder);
    return oci_bytes_take(p->cx, &path);
}

/* Whether it is in the cache already. */
static bool has_blob(pull *p, const remote_file *file)
{
    uint64_t size;
    char *path = file->etag[0]
                     ? oci_hub_path(p->cx, &p->hub, p->name, "blobs", file->etag)
                     : NULL;
    bool found = path && oci_store_size(path, &size) &&
                 (!file->sized || size == file->size);
    oci_free(path);
    return found;
}

/* Under a name of its own while it is not whole: its checksum, or, until
 * that is known, its place. */
static void fetch_into(pull *p, download *d, const char *what)
{
    oc_context *cx = p->cx;
    char name[OCI_DIGEST_TEXT + 16], place[OCI_DIGEST_TEXT];
    oci_digest digest;
    oci_digest_init(&digest, OCI_SHA256);
    oci_digest_add(&digest, d->file->name, strlen(d->file->name));
    oci_digest_text(&digest, place);
    snprintf(name, sizeof name, "%s.incomplete",
             d->file->etag[0] ? d->file->etag : place);
    char *path = oci_hub_path(cx, &p->hub, p->name, "blobs", name);
    d->part = path ? oci_store_part_open(cx, path) : NULL;
    if (d->part) fill_part(cx, d, what);
    char *blob = oci_failed(cx)
                     ? NULL
                     : oci_hub_path(cx, &p->hub, p->name, "blobs", d->file->etag);
    if (blob) oci_store_part_finish(cx, d->part, blob);
    oci_store_part_close(d->part);
    oci_free(blob);
    oci_free(path);
}

static void fetch_file(pull *p, remote_file *file)
{
    char what[OCI_MAX_MESSAGE / 2];
    download d = { .p = p, .file = file, .before = p->done };
    snprintf(what, sizeof what, "%s: %.200s", p->name, file->name);
    if (!has_blob(p, file)) {
        char *path = lock_path(p, file->etag[0] ? file->etag : "unknown");
        oci_store_lock *lock = path ? oci_store_lock_take(p->cx, path) : NULL;
        if (lock && !has_blob(p, file)) fetch_into(p, &d, what);
        oci_store_lock_free(lock);
        oci_free(path);
    }
    p->done = d.before + file->size;
    if (!oci_failed(p->cx)) tell(p, file->name, true);
}

static void fetch_wanted(pull *p)
{
    for (size_t i = 0; i < p->count && !oci_failed(p->cx); i++)
        if (p->files[i].wanted && !oci_cancelled(p->cx)) fetch_file(p, &p->files[i]);
}

/* ---- the snapshot ------------------------------------------------------------------ */

static void link_file(pull *p, const char *folder, const remote_file *file)
{
    oc_context *cx = p->cx;
    oci_bytes target;
    char *path = oci_path_join(cx, folder, file->name);
    oci_bytes_init(&target, OCI_MAX_PATH);
    for (const char *s = file->name; *s; s++)
        if (*s == '/') oci_bytes_append_text(cx, &target, "../");
    oci_bytes_append_text(cx, &target, "../../blobs/");
    oci_bytes_append_text(cx, &target, file->etag);
    if (path) oci_store_folders_of(cx, path);
    if (path && !oci_failed(cx)) oci_store_link(cx, target.data, path);
    oci_bytes_deinit(&target);
    oci_free(path);
}

static void link_new(pull *p, const char *folder)
{
    char name[OCI_COMMIT_TEXT + 16];
    snprintf(name, sizeof name, ".%s.incomplete", p->commit);
    char *temp = oci_hub_path(p->cx, &p->hub, p->name, "snapshots", name);
    if (temp) {
        /* of a pull that was killed: we have the lock */
        oci_store_drop_links(p->cx, temp);
        oci_store_folders(p->cx, temp);
        for (size_t i = 0; i < p->count && !oci_failed(p->cx); i++)
            if (p->files[i].wanted) link_file(p, temp, &p->files[i]);
        oci_store_rename(p->cx, temp, folder);
    }
    oci_free(temp);
}

/* A snapshot that is there, perhaps by another program, gets what it lacks; the config
 * last, without which a folder is no model. */
static void link_missing(pull *p, const char *folder)
{
    for (int last = 0; last < 2; last++) {
        for (size_t i = 0; i < p->count && !oci_failed(p->cx); i++) {
            const remote_file *file = &p->files[i];
            uint64_t size;
            bool config = strcmp(file->name, "config.json") == 0;
            if (!file->wanted || config != (last == 1)) continue;
            char *path = oci_path_join(p->cx, folder, file->name);
            if (path && !(oci_store_size(path, &size) && size == file->size))
                link_file(p, folder, file);
            oci_free(path);
        }
    }
}

static void write_ref(pull *p)
{
    if (oci_hub_is_commit(p->revision) || oci_failed(p->cx)) return;
    char *path = oci_hub_path(p->cx, &p->hub, p->name, "refs", p->revision);
    if (path) {
        oci_store_folders_of(p->cx, path);
        oci_save *save = oci_save_begin(p->cx, path);
        oci_save_write(p->cx, save, p->commit, strlen(p->commit));
        oci_save_end(p->cx, save, true);
    }
    oci_free(path);
}

/* ---- all --------------------------------------------------------------------------- */

static void choose_and_fetch(pull *p)
{
    const char *index = NULL;
    if (p->options.include) {
        want_included(p);
    } else {
        if (!want(p, "config.json"))
            oci_log(p->cx, OC_LOG_WARNING, "%s: has no config.json", p->name);
        for (size_t i = 0; i < OCI_COMPANIONS; i++) want(p, oci_companions[i]);
        index = want_weights(p);
    }
    fetch_wanted(p);
    if (!index || oci_failed(p->cx)) return;
    want_shards(p, index);
    p->done = 0;                         /* counted again: what is there is passed over */
    fetch_wanted(p);
}

static char *download_model(pull *p)
{
    char *folder = NULL, *path = lock_path(p, "ocelli");
    int64_t retries = p->options.retries ? p->options.retries : RETRIES;
    retries = oci_max(oci_min(retries, RETRIES_MOST), 0);
    p->http = oci_http_open(p->cx, p->hub.token, (int)retries + 1);
    oci_store_lock *lock = p->http && path ? oci_store_lock_take(p->cx, path) : NULL;
    if (lock) fetch_list(p);
    if (!oci_failed(p->cx)) choose_and_fetch(p);
    if (!oci_failed(p->cx))
        folder = oci_hub_path(p->cx, &p->hub, p->name, "snapshots", p->commit);
    if (folder && oci_folder_exists(p->cx, folder)) link_missing(p, folder);
    else if (folder) link_new(p, folder);
    write_ref(p);
    oci_store_lock_free(lock);
    oci_http_close(p->http);
    oci_json_close(&p->list);
    oci_free(p->files);
    oci_free(path);
    if (!oci_failed(p->cx)) return folder;
    oci_free(folder);
    return NULL;
}

/* Without the network, what is here is all there is. */
static char *find_offline(pull *p)
{
    char *folder = oci_hub_find(p->cx, &p->hub, p->name, p->revision);
    if (!folder && !oci_failed(p->cx))
        oci_fail(p->cx, OC_E_FILE,
                 "%s: revision %s is not in the hub's cache (%s), and %s forbids to "
                 "download it",
                 p->name, p->revision, p->hub.cache, p->hub.offline);
    return folder;
}

char *oc_pull(oc_context *cx, const char *name, const oc_pull_options *options)
{
    pull p = { .cx = cx, .name = name, .options = { .size = sizeof p.options } };
    if (!oci_given(cx, name, __func__, "a name")) return NULL;
    oci_take_options(&p.options, sizeof p.options, options);
    p.revision = p.options.revision ? p.options.revision : "main";
    if (!oci_hub_is_name(name))
        oci_fail(cx, OC_E_ARGUMENT,
                 "pull: expected a name of the hub (ORG/NAME), found %s",
                 oci_quote(&(oci_quoted){ 0 }, name));
    if (oci_failed(cx) || !oci_hub_check_revision(cx, p.revision) ||
        !oci_hub_init(cx, &p.hub))
        return NULL;
    return p.hub.offline ? find_offline(&p) : download_model(&p);
}
