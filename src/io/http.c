/* What is worth another try (RFC 9110 and what the hub's own client repeats): connections
 * that fail or break, 408, 429 and 5xx, and replies that contradict what is known. The
 * pause doubles; Retry-After makes it longer, up to a bound. Tries that brought a piece
 * forward do not count, so that a bad line ends a download no sooner than a dead one. */
#include "io/http.h"

#include "base/context.h"

#ifdef OCELLI_CURL

#include <curl/curl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "io/quote.h"

enum {
    REDIRECTS = 5,
    CONNECT_SECONDS = 15, STALL_SECONDS = 10,       /* huggingface_hub: 10 for both */
    FIRST_PAUSE = 500, LONGEST_PAUSE = 60000,       /* ms */
    PROGRESS = 1 << 16,                             /* bytes that make a try no failure */
    BUFFER = 1 << 18,
    ERROR_BODY = 1 << 20                            /* of a page that is thrown away */
};

struct oci_http {
    CURL *curl;
    struct curl_slist *with_token, *plain;      /* lists of headers */
    char why[OCI_MAX_MESSAGE / 2];  /* of the last try that failed */
    char next[OCI_MAX_PATH];        /* where a redirect leads */
    long stall;
    int tries;
};

/* One request, and what its callbacks need. */
typedef struct transfer {
    oc_context *cx;
    oci_http *http;
    const oci_http_sink *sink;
    oci_http_reply *reply;
    uint64_t from;                  /* bytes that the sink had already */
    uint64_t thrown;                /* bytes of pages about errors */
    bool begun;
    bool packed;                    /* the body comes in a Content-Encoding */
    bool linked;                    /* reply->etag is X-Linked-Etag */
} transfer;

typedef enum outcome { DONE, AGAIN, MOVED, FATAL } outcome;

void oci_http_refuse(oci_http *http, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(http->why, sizeof http->why, format, list);
    va_end(list);
}

/* ---- replies ----------------------------------------------------------------------- */

/* The value of a header line if it is `name`'s, trimmed, in text[128]; "" otherwise. */
static bool header_value(const char *line, size_t size, const char *name, char text[128])
{
    size_t n = strlen(name);
    if (size <= n || line[n] != ':' || strncasecmp(line, name, n)) return false;
    const char *from = line + n + 1, *end = line + size;
    while (from < end && (*from == ' ' || *from == '\t')) from++;
    while (end > from && strchr(" \t\r\n", end[-1])) end--;
    if (end - from >= 128) return false;
    memcpy(text, from, (size_t)(end - from));
    text[end - from] = '\0';
    return true;
}

static void put_etag(oci_http_reply *reply, const char *text)
{
    if (!strncmp(text, "W/", 2)) text += 2;
    size_t n = strlen(text);
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') text++, n -= 2;
    memcpy(reply->etag, text, n);
    reply->etag[n] = '\0';
}

/* "bytes 100-199/1000", or nothing that is believed. */
static void put_range(oci_http_reply *reply, const char *text)
{
    char *end;
    if (strncmp(text, "bytes ", 6)) return;
    long long first = strtoll(text + 6, &end, 10);
    if (*end != '-') return;
    strtoll(end + 1, &end, 10);
    if (*end != '/') return;
    reply->first = first;
    reply->total = strtoll(end + 1, NULL, 10);
}

static size_t on_header(char *line, size_t one, size_t size, void *user)
{
    transfer *t = user;
    char value[128];
    (void)one;
    /* A proxy's answer and 100 come before the reply itself. */
    if (size > 5 && !strncmp(line, "HTTP/", 5)) {
        t->reply->first = t->reply->total = -1;
        t->reply->error[0] = '\0';
        t->packed = false;
        if (!t->linked) t->reply->etag[0] = '\0';
    }
    if (header_value(line, size, "X-Linked-Etag", value)) {
        put_etag(t->reply, value);
        t->linked = true;
    } else if (!t->linked && header_value(line, size, "ETag", value)) {
        put_etag(t->reply, value);
    } else if (header_value(line, size, "Content-Range", value)) {
        put_range(t->reply, value);
    } else if (header_value(line, size, "Content-Encoding", value)) {
        t->packed = value[0] && strcasecmp(value, "identity") != 0;
    } else if (header_value(line, size, "X-Error-Code", value) ||
               (!t->reply->error[0] &&
                header_value(line, size, "X-Error-Message", value))) {
        snprintf(t->reply->error, sizeof t->reply->error, "%s",
                 oci_quote(&(oci_quoted){ 0 }, value));
    }
    return size;
}

/* Once, when the first byte of a body comes, or at its end if it is empty. */
static bool begin(transfer *t)
{
    curl_off_t length = -1;
    if (t->begun) return true;
    curl_easy_getinfo(t->http->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    t->reply->length = length;
    t->http->why[0] = '\0';
    if (t->packed)
        oci_http_refuse(t->http, "the server packs it (Content-Encoding), asked not to");
    else if (t->reply->status == 206 && t->reply->first != (int64_t)t->from)
        oci_http_refuse(t->http, "expected what follows byte %llu, found another part",
                        (unsigned long long)t->from);
    else
        t->sink->begin(t->cx, t->sink->user, t->reply);
    t->begun = !oci_failed(t->cx) && !t->http->why[0];
    return t->begun;
}

/* Anything but `size` makes libcurl end the transfer. */
static size_t on_body(char *data, size_t one, size_t size, void *user)
{
    transfer *t = user;
    (void)one;
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
    if (t->reply->status != 200 && t->reply->status != 206) {
        t->thrown += size;
        return t->thrown <= ERROR_BODY ? size : 0;
    }
    if (!begin(t)) return 0;
    t->sink->put(t->cx, t->sink->user, data, size);
    return oci_failed(t->cx) || t->http->why[0] ? 0 : size;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    transfer *t = user;
    (void)a, (void)b, (void)c, (void)d;
    return oci_cancelled(t->cx);
}

/* ---- one request ------------------------------------------------------------------- */

/* Whether two addresses are of one scheme, host and port: who may see the token. *secure
 * says that `a` is https and `b` is not. */
static bool same_place(const char *a, const char *b, bool *secure)
{
    static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };
    CURLU *x = curl_url(), *y = curl_url();
    bool same = x && y && !curl_url_set(x, CURLUPART_URL, a, 0) &&
                !curl_url_set(y, CURLUPART_URL, b, 0);
    *secure = false;
    for (size_t i = 0; same && i < sizeof parts / sizeof *parts; i++) {
        char *p = NULL, *q = NULL;
        same = !curl_url_get(x, parts[i], &p, CURLU_DEFAULT_PORT) &&
               !curl_url_get(y, parts[i], &q, CURLU_DEFAULT_PORT) && !strcasecmp(p, q);
        if (i == 0 && p && q) *secure = !strcasecmp(p, "https") && strcasecmp(q, "https");
        curl_free(p);
        curl_free(q);
    }
    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

static bool is_web(const char *url)
{
    return !strncasecmp(url, "https://", 8) || !strncasecmp(url, "http://", 7);
}

static void set_options(transfer *t, const char *url, bool token)
{
    char range[32];
    CURL *curl = t->http->curl;
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->from);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_RANGE, t->from ? range : NULL);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER,
                     token ? t->http->with_token : t->http->plain);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
}

/* What a status that is no success means; the sink got nothing. */
static outcome judge_status(transfer *t)
{
    oci_http *http = t->http;
    long status = t->reply->status;
    char *to = NULL;
    if (status == 301 || status == 302 || status == 303 || status == 307 ||
        status == 308) {
        curl_easy_getinfo(http->curl, CURLINFO_REDIRECT_URL, &to);
        if (to && is_web(to) && strlen(to) < sizeof http->next) {
            memcpy(http->next, to, strlen(to) + 1);
            return MOVED;
        }
        oci_http_refuse(http, "a redirect (%ld) that leads nowhere", status);
        return FATAL;
    }
    oci_http_refuse(http, "the server said %ld%s%s", status,
                    t->reply->error[0] ? ": " : "", t->reply->error);
    if (status == 416 && t->from) {                 /* what is here is not a part of it */
        t->sink->begin(t->cx, t->sink->user, t->reply);
        return AGAIN;
    }
    return status == 408 || status == 429 || status >= 500 ? AGAIN : FATAL;
}

static outcome request(transfer *t, const char *url, bool token)
{
    set_options(t, url, token);
    t->begun = false;
    t->thrown = 0;
    t->reply->status = 0;
    t->http->why[0] = '\0';
    CURLcode code = curl_easy_perform(t->http->curl);
    curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &t->reply->status);
    if (oci_failed(t->cx)) return FATAL;
    bool success = t->reply->status == 200 || t->reply->status == 206;
    if (code == CURLE_OK && success) begin(t);          /* of an empty body */
    if (oci_failed(t->cx)) return FATAL;
    if (t->http->why[0]) return AGAIN;                  /* the sink refused it */
    if (code == CURLE_OK) return success ? DONE : judge_status(t);
    /* its page was too long to read */
    if (t->reply->status >= 400) return judge_status(t);
    oci_http_refuse(t->http, "%s", curl_easy_strerror(code));
    return code == CURLE_OUT_OF_MEMORY || code == CURLE_PEER_FAILED_VERIFICATION ||
                   code == CURLE_URL_MALFORMAT
               ? FATAL
               : AGAIN;
}

/* A request and where it is sent on to. */
static outcome follow(transfer *t, const char *url)
{
    bool token = true, downgrade;
    char here[OCI_MAX_PATH];
    snprintf(here, sizeof here, "%s", url);
    for (int hop = 0; hop <= REDIRECTS; hop++) {
        outcome end = request(t, here, token);
        if (end != MOVED) return end;
        /* Once it has left, the token does not come back: who
         * redirects could send it on. */
        if (!same_place(here, t->http->next, &downgrade)) token = false;
        if (downgrade) {
            oci_http_refuse(t->http, "a redirect from https to http");
            return FATAL;
        }
        memcpy(here, t->http->next, sizeof here);
    }
    oci_http_refuse(t->http, "more than %d redirects", REDIRECTS);
    return FATAL;
}

/* ---- tries ------------------------------------------------------------------------- */

static void pause_for(oc_context *cx, long ms)
{
    const struct timespec piece = { .tv_nsec = 50 * 1000 * 1000 };
    for (; ms > 0 && !oci_cancelled(cx); ms -= 50) nanosleep(&piece, NULL);
}

/* Before try number `tried` + 1. */
static void back_off(oc_context *cx, oci_http *http, int tried)
{
    curl_off_t asked = 0;
    long ms = tried < 7 ? FIRST_PAUSE << (tried - 1) : LONGEST_PAUSE;
    curl_easy_getinfo(http->curl, CURLINFO_RETRY_AFTER, &asked);
    if (asked > LONGEST_PAUSE / 1000) asked = LONGEST_PAUSE / 1000;
    if (asked * 1000 > ms) ms = (long)asked * 1000;
    pause_for(cx, ms);
}

bool oci_http_get(oc_context *cx, oci_http *http, const char *url, const char *what,
                  const oci_http_sink *sink, oci_http_reply *reply)
{
    *reply = (oci_http_reply){ .first = -1, .total = -1, .length = -1 };
    if (oci_failed(cx)) return false;
    if (!is_web(url) || strlen(url) >= OCI_MAX_PATH) {
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected an address with http or https", what);
        return false;
    }
    uint64_t furthest = sink->from(sink->user);
    for (int tried = 0; !oci_failed(cx);) {
        transfer t = { .cx = cx, .http = http, .sink = sink, .reply = reply };
        t.from = sink->from(sink->user);
        outcome end = follow(&t, url);
        if (end == DONE) return true;
        if (oci_failed(cx)) break;
        /* A server that begins anew each time, and breaks off, makes no progress. */
        const uint64_t reached = sink->from(sink->user);
        const bool further = reached >= furthest + PROGRESS;
        if (further) furthest = reached;
        tried = further ? 1 : tried + 1;
        if (end == AGAIN && tried < http->tries) {
            oci_log(cx, OC_LOG_INFO, "%s: %s; trying again", what, http->why);
            back_off(cx, http, tried);
        } else if (end == AGAIN) {
            oci_fail(cx, OC_E_FILE, "%s: %s, %d times", what, http->why, tried);
        } else {
            oci_fail(cx, OC_E_FILE, "%s: %s", what, http->why);
        }
    }
    return false;
}

/* ---- setting up -------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_state;

static void init_global(void) { global_state = curl_global_init(CURL_GLOBAL_DEFAULT); }

/* Seconds without a byte after which a connection counts as dead. */
static long stall_seconds(void)
{
    const char *text = getenv("HF_HUB_DOWNLOAD_TIMEOUT");
    long n = text ? strtol(text, NULL, 10) : 0;
    return n > 0 && n < 3600 ? n : STALL_SECONDS;
}

static void set_constants(oci_http *http)
{
    CURL *curl = http->curl;
    const char *authorities = getenv("CURL_CA_BUNDLE");
    if (!authorities || !authorities[0]) authorities = getenv("SSL_CERT_FILE");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);           /* not our process' signals */
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "ocelli");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, http->stall);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    if (authorities && authorities[0])
        curl_easy_setopt(curl, CURLOPT_CAINFO, authorities);
}

oci_http *oci_http_open(oc_context *cx, const char *token, int tries)
{
    char line[OCI_MAX_MESSAGE];
    oci_http *http = oci_calloc(cx, 1, sizeof *http);
    if (!http) return NULL;
    pthread_once(&once, init_global);
    http->tries = tries;
    http->stall = stall_seconds();
    http->curl = global_state ? NULL : curl_easy_init();
    snprintf(line, sizeof line, "Authorization: Bearer %s", token);
    /* Bodies as they are: a checksum is of those. */
    http->plain = curl_slist_append(NULL, "Accept-Encoding: identity");
    http->with_token = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (token[0] && http->with_token && !curl_slist_append(http->with_token, line))
        oci_fail(cx, OC_E_MEMORY, "libcurl: out of memory");
    if (!http->curl || !http->plain || !http->with_token)
        oci_fail(cx, OC_E_MEMORY, "libcurl did not start");
    else
        set_constants(http);
    if (!oci_failed(cx)) return http;
    oci_http_close(http);
    return NULL;
}

void oci_http_close(oci_http *http)
{
    if (!http) return;
    curl_easy_cleanup(http->curl);
    curl_slist_free_all(http->plain);
    curl_slist_free_all(http->with_token);
    oci_free(http);
}

#else   /* no OCELLI_CURL */

oci_http *oci_http_open(oc_context *cx, const char *token, int tries)
{
    (void)token, (void)tries;
    oci_fail(cx, OC_E_UNSUPPORTED, "this ocelli was built without libcurl, and downloads "
             "nothing (cmake -DOCELLI_CURL=ON); what is in the hub's cache is found");
    return NULL;
}

void oci_http_close(oci_http *http) { (void)http; }

bool oci_http_get(oc_context *cx, oci_http *http, const char *url, const char *what,
                  const oci_http_sink *sink, oci_http_reply *reply)
{
    (void)cx, (void)http, (void)url, (void)what, (void)sink, (void)reply;
    return false;
}

void oci_http_refuse(oci_http *http, const char *format, ...)
{
    (void)http, (void)format;
}

#endif
