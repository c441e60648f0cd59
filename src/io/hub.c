#include "io/hub.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "io/file.h"
#include "io/hub_store.h"
#include "io/quote.h"

enum { NAME_MOST = 193, REVISION_MOST = 255, TOKEN_FILE_MOST = 4096 };

/* ---- the environment --------------------------------------------------------------- */

/* NULL also for a variable that is set to nothing, as a shell's `VAR= command` does. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* constants.py and Transformers' utils/hub.py: what counts as yes, in any case. */
static bool is_yes(const char *name)
{
    static const char *const words[] = { "1", "ON", "YES", "TRUE" };
    const char *value = variable(name);
    for (size_t i = 0; value && i < sizeof words / sizeof *words; i++) {
        size_t k = 0;
        while (value[k] && toupper((unsigned char)value[k]) == words[i][k]) k++;
        if (!value[k] && !words[i][k]) return true;
    }
    return false;
}

static bool fits(oc_context *cx, const char *what, int written, size_t room)
{
    if (written < 0 || (size_t)written >= room)
        oci_fail(cx, OC_E_ARGUMENT, "%s: expected at most %zu bytes, found more", what,
                 room - 1);
    return !oci_failed(cx);
}

/* A path of the environment, with its leading ~ taken for the home folder. */
static bool put_path(oc_context *cx, char to[OCI_MAX_PATH], const char *what,
                     const char *path, const char *below)
{
    const char *home = variable("HOME");
    bool tilde = path[0] == '~' && (path[1] == '/' || !path[1]);
    int n = snprintf(to, OCI_MAX_PATH, "%s%s%s%s", tilde && home ? home : "",
                     tilde && home ? path + 1 : path, below[0] ? "/" : "", below);
    return fits(cx, what, n, OCI_MAX_PATH);
}

/* Where the hub's library keeps its things. */
static bool hub_home(oc_context *cx, char home[OCI_MAX_PATH])
{
    const char *own = variable("HF_HOME"), *caches = variable("XDG_CACHE_HOME");
    if (own) return put_path(cx, home, "HF_HOME", own, "");
    if (caches) return put_path(cx, home, "XDG_CACHE_HOME", caches, "huggingface");
    return put_path(cx, home, "HOME", "~/.cache/huggingface", "");
}

static bool put_cache(oc_context *cx, oci_hub *hub, const char *home)
{
    static const char *const names[] = { "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (variable(names[i]))
            return put_path(cx, hub->cache, names[i], variable(names[i]), "");
    return put_path(cx, hub->cache, "HF_HOME", home, "hub");
}

/* A token goes into a header line: it may hold nothing that could end it. */
static bool put_token(oc_context *cx, oci_hub *hub, const char *where, const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
    while (n > 0 && isspace((unsigned char)*text)) text++, n--;
    if (!fits(cx, where, (int)n, sizeof hub->token)) return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] > 0x20 && text[i] < 0x7f) continue;
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: expected a token, found characters that no token has", where);
        return false;
    }
    memcpy(hub->token, text, n);
    hub->token[n] = '\0';
    return true;
}

/* The variables come before the file that `huggingface-cli login` writes. */
static bool find_token(oc_context *cx, oci_hub *hub, const char *home)
{
    static const char *const names[] = { "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN" };
    char path[OCI_MAX_PATH];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (variable(names[i])) return put_token(cx, hub, names[i], variable(names[i]));
    if (variable("HF_TOKEN_PATH")) {
        if (!put_path(cx, path, "HF_TOKEN_PATH", variable("HF_TOKEN_PATH"), ""))
            return false;
    } else if (!put_path(cx, path, "HF_HOME", home, "token")) {
        return false;
    }
    if (!oci_file_exists(cx, path)) return true;
    oci_buffer *file = oci_file_read(cx, path, TOKEN_FILE_MOST);
    bool ok = file && put_token(cx, hub, path, (const char *)file->data);
    oci_buffer_unref(&file);
    return ok;
}

bool oci_hub_init(oc_context *cx, oci_hub *hub)
{
    char home[OCI_MAX_PATH];
    *hub = (oci_hub){ .cache = "" };
    if (oci_failed(cx) || !hub_home(cx, home) || !put_cache(cx, hub, home)) return false;
    const char *endpoint = variable("HF_ENDPOINT");
    if (!endpoint) endpoint = "https://huggingface.co";
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/') n--;
    if (!fits(cx, "HF_ENDPOINT", (int)n, sizeof hub->endpoint)) return false;
    memcpy(hub->endpoint, endpoint, n);
    hub->endpoint[n] = '\0';
    if (is_yes("HF_HUB_OFFLINE")) hub->offline = "HF_HUB_OFFLINE";
    else if (is_yes("TRANSFORMERS_OFFLINE")) hub->offline = "TRANSFORMERS_OFFLINE";
    return hub->offline || find_token(cx, hub, home);
}

/* ---- names ------------------------------------------------------------------------- */

/* One side of a name (utils/_validators.py, validate_repo_id): letters, digits
 * and "-_.", not "-" or "." at an end, and never two of them together, which
 * also keeps ".." out of paths. */
static bool is_part(const char *text, size_t n)
{
    if (n == 0 || strchr("-.", text[0]) || strchr("-.", text[n - 1])) return false;
    for (size_t i = 0; i < n; i++) {
        bool letter = isalnum((unsigned char)text[i]) != 0;
        if (!letter && !strchr("-_.", text[i])) return false;
        if (i > 0 && text[i] == text[i - 1] && strchr("-.", text[i])) return false;
    }
    return true;
}

bool oci_hub_is_name(const char *name)
{
    size_t n = strlen(name), first = strcspn(name, "/");
    if (n > NAME_MOST || (n >= 4 && !strcmp(name + n - 4, ".git"))) return false;
    if (first == n) return is_part(name, n);
    return is_part(name, first) && is_part(name + first + 1, n - first - 1);
}

bool oci_hub_is_commit(const char *text)
{
    return strlen(text) == OCI_COMMIT_TEXT - 1 &&
           strspn(text, "0123456789abcdef") == OCI_COMMIT_TEXT - 1;
}

/* It becomes a path below refs and a part of an address: git's own rules for names, as
 * far as they matter for that. */
bool oci_hub_check_revision(oc_context *cx, const char *revision)
{
    oci_quoted quoted;
    size_t n = strlen(revision);
    bool ok = n > 0 && n <= REVISION_MOST && revision[0] != '/' &&
              revision[n - 1] != '/' && !strstr(revision, "..") &&
              !strstr(revision, "//") && revision[0] != '.' && !strstr(revision, "/.");
    for (size_t i = 0; ok && i < n; i++)
        ok = revision[i] > 0x20 && revision[i] != 0x7f &&
             !strchr("~^:?*[\\", revision[i]);
    if (!ok)
        oci_fail(cx, OC_E_ARGUMENT,
                 "revision: expected a branch, a tag or a commit, found %s",
                 oci_quote(&quoted, revision));
    return ok;
}

/* ---- the cache --------------------------------------------------------------------- */

char *oci_hub_path(oc_context *cx, const oci_hub *hub, const char *name, const char *kind,
                   const char *below)
{
    oci_bytes path;
    const char *slash = strchr(name, '/');
    oci_bytes_init(&path, OCI_MAX_PATH);
    oci_bytes_printf(cx, &path, "%s/models--%.*s%s%s", hub->cache,
                     slash ? (int)(slash - name) : (int)strlen(name), name,
                     slash ? "--" : "", slash ? slash + 1 : "");
    if (kind) oci_bytes_printf(cx, &path, "/%s", kind);
    if (below) oci_bytes_printf(cx, &path, "/%s", below);
    return oci_bytes_take(cx, &path);
}

/* The content of refs/REVISION. */
static bool read_ref(oc_context *cx, const char *path, char commit[OCI_COMMIT_TEXT])
{
    oci_quoted quoted;
    oci_buffer *file = oci_file_read(cx, path, TOKEN_FILE_MOST);
    if (!file) return false;
    char *text = (char *)file->data;
    text[strcspn(text, " \t\r\n")] = '\0';
    if (oci_hub_is_commit(text))
        memcpy(commit, text, OCI_COMMIT_TEXT);
    else
        oci_fail(cx, OC_E_MALFORMED, "%s: expected a commit, found %s", path,
                 oci_quote(&quoted, text));
    oci_buffer_unref(&file);
    return !oci_failed(cx);
}

bool oci_hub_commit(oc_context *cx, const oci_hub *hub, const char *name,
                    const char *revision, char commit[OCI_COMMIT_TEXT])
{
    if (!revision) revision = "main";
    if (oci_failed(cx) || !oci_hub_check_revision(cx, revision)) return false;
    bool found = false;
    char *path = oci_hub_path(cx, hub, name, "refs", revision);
    if (path && oci_file_exists(cx, path)) {
        found = read_ref(cx, path, commit);
    } else if (path && oci_hub_is_commit(revision)) {
        memcpy(commit, revision, OCI_COMMIT_TEXT);
        found = true;
    }
    oci_free(path);
    return found;
}

char *oci_hub_find(oc_context *cx, const oci_hub *hub, const char *name,
                   const char *revision)
{
    char commit[OCI_COMMIT_TEXT];
    if (!oci_hub_is_name(name) || !oci_hub_commit(cx, hub, name, revision, commit))
        return NULL;
    char *folder = oci_hub_path(cx, hub, name, "snapshots", commit);
    if (folder && oci_folder_exists(cx, folder) &&
        oci_store_links_stay(cx, folder, hub->cache)) return folder;
    oci_free(folder);
    return NULL;
}
