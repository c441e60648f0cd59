/* Seeded cases of tests/data/models as jobs of the fault loop: a model is opened and one
 * of its calls answered, by a forward pass, a backward pass or a search. */
#ifndef OCELLI_TESTS_FAULTS_GOLDENS_H
#define OCELLI_TESTS_FAULTS_GOLDENS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "faults/faults.h"
#include "ocelli.h"
#include "support/folder.h"
#include "support/seeded.h"

#define DATA "tests/data/models/"

typedef struct golden {
    const char *name, *call;
    const char *class_name;         /* NULL: its own; of another one parts may lack */
    const char *search;             /* options of generate; NULL: a forward pass */
    bool gradients, use_cache;
} golden;

/* The checkpoint of a case, made in the work folder. */
static inline void make_case(const char *name)
{
    char from[128], to[128];
    oc_context *cx = oc_context_create(NULL);
    snprintf(from, sizeof from, DATA "%s", name);
    snprintf(to, sizeof to, "%s/%s", work_folder, name);
    if (!seeded_save(cx, from, to)) fail_msg("%s: %s", name, oc_context_message(cx));
    oc_context_free(cx);
}

static inline void golden_job(oc_context *cx, void *user)
{
    const golden *g = user;
    char folder[128], input[160];
    oc_tensors *out = NULL;
    snprintf(folder, sizeof folder, "%s/%s", work_folder, g->name);
    snprintf(input, sizeof input, DATA "%s/%s.in.safetensors", g->name, g->call);
    oc_model *model = oc_model_open(cx, folder, &OC_OPTIONS(oc_model_options,
        .trainable = g->gradients, .class_name = g->class_name,
        .allow_missing = g->class_name, .weights_only = true));
    oc_tensors *in = oc_tensors_open(cx, input);
    oc_forward_options f = OC_OPTIONS(oc_forward_options, .gradients = g->gradients,
        .output_hidden_states = true, .output_attentions = true,
        .use_cache = g->use_cache);
    oc_generate_options o = OC_OPTIONS(oc_generate_options, .config = g->search,
                                       .output_scores = true);
    if (g->search) out = oc_generate(cx, model, in, &o);
    else out = oc_forward(cx, model, in, &f);
    oc_tensors_free(out);
    oc_tensors_free(in);
    oc_model_close(model);
}

#endif
