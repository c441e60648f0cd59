#define _GNU_SOURCE     /* dladdr */
#include "io/locate.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "io/file.h"
#include "io/hub.h"

#ifndef OCELLI_MODELS_DIR
#define OCELLI_MODELS_DIR "/usr/local/share/ocelli/models"
#endif

static void cut_last_part(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash) *slash = '\0';
    else path[0] = '\0';
}

/* The folder of the running program, "" if the system does not say. */
static void program_folder(char *folder, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", folder, size - 1);
    folder[n > 0 ? n : 0] = '\0';
    cut_last_part(folder);
}

/* The folder of the shared library that this code is in, so that a moved prefix still has
 * its models; "" in a static program. */
static void library_folder(char *folder, size_t size)
{
    static const char here;
    Dl_info info;
    folder[0] = '\0';
    if (!dladdr(&here, &info) || !info.dli_fname) return;
    snprintf(folder, size, "%s", info.dli_fname);
    cut_last_part(folder);
}

static bool plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

/* A folder's name as it goes before "/config.json". */
static char *without_slashes(oc_context *cx, const char *folder)
{
    size_t size = strlen(folder);
    while (size > 1 && folder[size - 1] == '/') size--;
    return oci_strndup(cx, folder, size);
}

/* A bundled model's folder in a new string, or NULL. */
static char *bundled(oc_context *cx, const char *name)
{
    char program[OCI_MAX_PATH], library[OCI_MAX_PATH], path[OCI_MAX_PATH * 2];
    program_folder(program, sizeof program);
    library_folder(library, sizeof library);
    const char *chosen = getenv("OCELLI_MODELS");
    const struct { const char *root, *below; } places[] = {
        { chosen, "" }, { program, "/../share/ocelli/models" }, { program, "/../models" },
        { library, "/../share/ocelli/models" }, { library, "/../../share/ocelli/models" },
        { OCELLI_MODELS_DIR, "" },
    };
    for (size_t i = 0; plain_name(name) && i < sizeof places / sizeof *places; i++) {
        if (!places[i].root || !places[i].root[0]) continue;
        snprintf(path, sizeof path, "%s%s/%s", places[i].root, places[i].below, name);
        if (oci_folder_exists(cx, path)) return oci_strdup(cx, path);
    }
    return NULL;
}

/* What a name that led nowhere could have been. */
static void not_found(oc_context *cx, const char *name, const char *revision)
{
    oci_hub hub;
    if (!oci_hub_is_name(name))
        oci_fail(cx, OC_E_FILE, "%s: expected a model's folder, found none", name);
    else if (oci_hub_init(cx, &hub))
        oci_fail(cx, OC_E_FILE,
                 "%s: expected a model's folder%s or the name of a model%s%s in the "
                 "hub's cache (%s), found none; `ocelli pull %s%s%s` downloads it",
                 name, plain_name(name) ? ", the name of a bundled model" : "",
                 revision ? " with revision " : "", revision ? revision : "", hub.cache,
                 name, revision ? " --revision " : "", revision ? revision : "");
}

char *oci_model_locate(oc_context *cx, const char *name, const char *revision)
{
    oci_hub hub;
    char *folder = NULL;
    if (oci_failed(cx)) return NULL;
    if (!name) {
        oci_fail(cx, OC_E_ARGUMENT, "expected a model's folder or name, found NULL");
        return NULL;
    }
    folder = oci_folder_exists(cx, name) ? without_slashes(cx, name) : bundled(cx, name);
    if (folder && revision) {
        oci_fail(cx, OC_E_ARGUMENT,
                 "%s: revision %s: expected a model of the hub's cache, found a folder, "
                 "which has no revisions",
                 folder, revision);
        oci_free(folder);
        return NULL;
    }
    if (!folder && oci_hub_is_name(name) && oci_hub_init(cx, &hub))
        folder = oci_hub_find(cx, &hub, name, revision);
    if (!folder && !oci_failed(cx)) not_found(cx, name, revision);
    return folder;
}
