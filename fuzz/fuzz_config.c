/* config.json and what is made of it: the architecture, the walk over its parameters, the
 * generation parameters; and the same bytes as generation options. */
#include <stdlib.h>
#include <string.h>

#include "generate/config.h"
#include "models/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static oc_context *new_context(void)
{
    oc_context_options options = { .size = sizeof options, .threads = 1,
                                   .memory_budget = UINT64_C(1) << 28 };
    oc_context *cx = oc_context_create(&options);
    if (!cx) abort();
    cx->limits.json_bytes = 1 << 20;
    return cx;
}

static void visit(oci_walker *walker, const oci_param *param)
{
    size_t *parameters = walker->user;
    if (*param->slot || !param->name[0]) abort();
    ++*parameters;
}

static void open_model(oc_context *cx, const char *text, size_t size)
{
    oci_model model = { 0 };
    size_t parameters = 0;
    if (!oci_json_parse(cx, &model.config, "config.json", text, size)) return;
    if (!oci_model_open_config(cx, &model)) return;
    oci_model_walk(cx, &model, visit, &parameters);
    oci_model_unload(&model);
}

static void read_generation(oc_context *cx, const char *text, size_t size)
{
    oci_json config = { 0 }, none = { 0 };
    oci_generation_config g;
    oc_context_clear(cx);
    if (oci_json_parse(cx, &config, "config.json", text, size)) {
        oci_generation_config_read(cx, &g, &none, &config, NULL);
        oci_generation_config_deinit(&g);
        oc_context_clear(cx);
        oci_generation_config_read(cx, &g, &config, &none, NULL);
        oci_generation_config_deinit(&g);
    }
    oci_json_close(&config);
    char *options = malloc(size + 1);
    if (!options) abort();
    if (size) memcpy(options, text, size);
    options[size] = '\0';
    oc_context_clear(cx);
    oci_generation_config_read(cx, &g, &none, &none, options);
    oci_generation_config_deinit(&g);
    free(options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    oc_context *cx = new_context();
    open_model(cx, (const char *)data, size);
    read_generation(cx, (const char *)data, size);
    oci_arena_deinit(&cx->arena);
    if (oc_context_memory(cx).live_count) abort();
    oc_context_free(cx);
    return 0;
}
