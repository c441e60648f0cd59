#include "io/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "io/file.h"

#ifndef OCELLI_MODELS_DIR
#define OCELLI_MODELS_DIR "/usr/local/share/ocelli/models"
#endif

/* The folder of the running program, "" if the system does not say. */
static void program_folder(char *folder, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", folder, size - 1);
    folder[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
}

static bool plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

char *oci_model_locate(oc_context *cx, const char *name)
{
    if (oci_failed(cx)) return NULL;
    char program[OCI_MAX_PATH], path[OCI_MAX_PATH * 2];
    program_folder(program, sizeof program);
    const char *chosen = getenv("OCELLI_MODELS");
    const struct { const char *root, *below; } places[] = {
        { chosen, "" }, { program, "/../share/ocelli/models" }, { program, "/../models" },
        { OCELLI_MODELS_DIR, "" },
    };
    if (oci_folder_exists(cx, name)) return oci_strdup(cx, name);
    for (size_t i = 0; plain_name(name) && i < sizeof places / sizeof *places; i++) {
        if (!places[i].root || !places[i].root[0]) continue;
        snprintf(path, sizeof path, "%s%s/%s", places[i].root, places[i].below, name);
        if (oci_folder_exists(cx, path)) return oci_strdup(cx, path);
    }
    oci_fail(cx, OC_E_FILE, "%s: expected a model's folder%s, found none", name,
             plain_name(name) ? " or the name of a bundled model" : "");
    return NULL;
}
