/* Downloads over HTTP, libcurl's gateway: requests that are repeated while that can help,
 * follow a few redirects, and give a token to the host that it is for alone. In a build
 * without libcurl oci_http_open says so (OC_E_UNSUPPORTED). */
#ifndef OCI_IO_HTTP_H
#define OCI_IO_HTTP_H

#include "base/limits.h"
#include "ocelli.h"

typedef struct oci_http oci_http;       /* a connection that is kept for the next
                                           request */

typedef struct oci_http_reply {
    long status;
    int64_t length;                     /* of what comes now; -1: not said */
    int64_t first, total;               /* of Content-Range; -1: none */
    char etag[128];                     /* X-Linked-Etag of any hop, else ETag: without W/
                                           and quotes; "": none */
    char error[128];                    /* X-Error-Code or X-Error-Message; "": none */
} oci_http_reply;

/* Where a body goes. `cx` holds an error when one of these fails, which ends the
 * request for good; a reply that they do not believe is refused by
 * oci_http_refuse, and asked for again. */
typedef struct oci_http_sink {
    /* How much is there already: the next request asks for the rest. */
    uint64_t (*from)(void *user);
    /* A body comes: all of it (status 200) or what follows `from` (206); or none does,
     * because what is there is more than the whole (416): it must go. */
    void (*begin)(oc_context *cx, void *user, const oci_http_reply *reply);
    void (*put)(oc_context *cx, void *user, const void *data, size_t size);
    void *user;
} oci_http_sink;

/* `token` "": none. A request is tried `tries` times. */
OC_NODISCARD oci_http *oci_http_open(oc_context *cx, const char *token, int tries);
void oci_http_close(oci_http *http);
/* Fetches `url`. `what` stands for it in messages: no address there, which may
 * hold a signature. False: error set (OC_E_FILE), and reply->status is what
 * ended it, 0 if nothing came. */
bool oci_http_get(oc_context *cx, oci_http *http, const char *url, const char *what,
                  const oci_http_sink *sink, oci_http_reply *reply);
/* From a sink's `begin` or `put`: this reply is not what was asked for. */
OC_PRINTF(2, 3) void oci_http_refuse(oci_http *http, const char *format, ...);

#endif
