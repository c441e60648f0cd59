/* Every call of tests/data/models/INDEX.txt as a command line: options arrive as they
 * were meant, results as Transformers gives them; a refusal is a status and no file.
 * (tests/models/test_goldens.c looks at the numbers closely.) */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "command.h"
#include "ocelli.h"

#define DATA "tests/data/models"
static const double tolerance = 1e-4;       /* of a tensor's largest value */

static int complaints;
static char out_path[64], stream_path[64];

#define COMPLAIN(...) (complaints++, fprintf(stderr, __VA_ARGS__), fputc('\n', stderr))

static double largest_difference(oc_tensor_view a, oc_tensor_view b, double *scale)
{
    /* Ours are 0 there (ocelli.h), the goldens go on with the pads'. */
    bool after_end_is_zero = !strcmp(a.name, "token_logprobs");
    const float *x = a.data, *y = b.data;
    double worst = 0;
    for (size_t i = 0; i < a.bytes / sizeof *x; i++) {
        if (isfinite(x[i])) *scale = fmax(*scale, fabs((double)x[i]));
        if (x[i] == y[i] || (isnan(x[i]) && isnan(y[i]))) continue;
        if (after_end_is_zero && y[i] == 0) continue;
        double off = fabs((double)x[i] - (double)y[i]);
        if (!(off <= worst)) worst = off;
    }
    return worst;
}

/* Of most calls' gradients only sketches are kept, which tests/models look
 * at; here they must be there. */
static bool has_gradients(const oc_tensors *got)
{
    for (size_t i = 0; i < oc_tensors_count(got); i++)
        if (!strncmp(oc_tensors_get(got, i).name, "grad.", 5)) return true;
    return false;
}

static void compare(const char *id, const oc_tensors *wanted, const oc_tensors *got)
{
    double scale = 0, gradients = 0;
    for (size_t i = 0; i < oc_tensors_count(wanted); i++) {
        oc_tensor_view a = oc_tensors_get(wanted, i);
        if (!strncmp(a.name, "grad.", 5)) (void)largest_difference(a, a, &gradients);
    }
    for (size_t i = 0; i < oc_tensors_count(wanted); i++) {
        oc_tensor_view a = oc_tensors_get(wanted, i), b;
        if (!strcmp(a.name, "sketches")) {
            if (!has_gradients(got)) COMPLAIN("%s: gradients are missing", id);
        } else if (!oc_tensors_find(got, a.name, &b)) {
            COMPLAIN("%s: %s is missing", id, a.name);
        } else if (a.dtype != b.dtype || a.bytes != b.bytes || a.rank != b.rank ||
                   memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape)) {
            COMPLAIN("%s: %s: another shape or type", id, a.name);
        } else if (a.dtype == OC_I64) {
            if (memcmp(a.data, b.data, a.bytes))
                COMPLAIN("%s: %s: other ids", id, a.name);
        } else {
            scale = 0;
            double off = largest_difference(a, b, &scale);
            if (!strncmp(a.name, "grad.", 5)) scale = gradients;
            if (!(off <= tolerance * scale + 1e-12))
                COMPLAIN("%s: %s: off by %g of %g", id, a.name, off, scale);
        }
    }
}

/* {"max_length": 5} → --max-length 5; true of forward's switches → the bare flag. */
static void add_options(command *c, json_t *options, bool generate, char *room,
                        size_t left)
{
    const char *name;
    json_t *value;
    json_object_foreach(options, name, value) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        bool flag = !generate || !strcmp(name, "output_scores");
        if (!flag || json_is_true(value)) {
            size_t used = (size_t)snprintf(room, left, "--%s", name);
            assert_true(used < left);
            for (char *at = room; *at; at++)
                if (*at == '_') *at = '-';
            command_add(c, room);
            room += used + 1;
            left -= used + 1;
        }
        if (!flag) {
            size_t used = (size_t)snprintf(room, left, "%s", text);
            assert_true(used < left);
            command_add(c, room);
            room += used + 1;
            left -= used + 1;
        }
        free(text);
    }
}

static void check_answer(const char *id, const char *golden, const char *line,
                         bool refused, int status)
{
    FILE *file = fopen(out_path, "rb");
    if (file) fclose(file);
    if (refused) {
        if (status != 2 && status != 4 && status != 5)
            COMPLAIN("%s: status %d, expected a refusal: %s", id, status, line);
        if (file) COMPLAIN("%s: refused, and yet left a file", id);
        return;
    }
    if (status != 0) {
        COMPLAIN("%s: status %d: %s", id, status, line);
        return;
    }
    oc_context *cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = 1));
    oc_tensors *wanted = oc_tensors_open(cx, golden);
    oc_tensors *got = oc_tensors_open(cx, out_path);
    if (oc_context_status(cx) == OC_OK) compare(id, wanted, got);
    else COMPLAIN("%s: %s", id, oc_context_message(cx));
    oc_tensors_free(wanted);
    oc_tensors_free(got);
    oc_context_free(cx);
}

static void run_call(const char *folder, const char *name)
{
    char id[256], dir[256], in[512], golden[512], json_path[512], room[4096];
    snprintf(id, sizeof id, "%s %s", folder, name);
    snprintf(dir, sizeof dir, DATA "/%s", folder);
    snprintf(in, sizeof in, "%s/%s.in.safetensors", dir, name);
    snprintf(golden, sizeof golden, "%s/%s.out.safetensors", dir, name);
    snprintf(json_path, sizeof json_path, "%s/%s.json", dir, name);
    json_t *json = json_load_file(json_path, 0, NULL);
    assert_non_null(json);
    const char *verb = json_string_value(json_object_get(json, "command"));
    bool generate = !strcmp(verb, "generate");
    if (generate || !strcmp(verb, "forward")) {
        command c = { .count = 0 };
        const char *const start[] = { verb, dir,     "--threads", "1", "--in",
                                      in,   "--out", out_path,    NULL };
        for (size_t i = 0; start[i]; i++) command_add(&c, start[i]);
        if (generate) command_add(&c, "--output-logprobs");
        const char *class_name = json_string_value(json_object_get(json, "class"));
        if (!generate && class_name) {
            command_add(&c, "--class");
            command_add(&c, class_name);
        }
        add_options(&c, json_object_get(json, "options"), generate, room, sizeof room);
        remove(out_path);
        int status = command_run(&c, "/dev/null", stream_path);
        char line[512] = "";
        FILE *stream = fopen(stream_path, "r");
        if (stream && !fgets(line, sizeof line, stream)) line[0] = '\0';
        if (stream) fclose(stream);
        check_answer(id, golden, line, json_object_get(json, "error") != NULL, status);
    }
    json_decref(json);
}

static void test_all_calls(void **state)
{
    (void)state;
    char folder[128], name[128];
    int calls = 0;
    FILE *index = fopen(DATA "/INDEX.txt", "r");
    assert_non_null(index);
    while (fscanf(index, "%127s %127s", folder, name) == 2) {
        run_call(folder, name);
        calls++;
    }
    fclose(index);
    printf("%d calls\n", calls);
    assert_true(calls > 200);
    assert_int_equal(complaints, 0);
}

int main(void)
{
    char work[] = "/tmp/ocelli-test-XXXXXX";
    if (!mkdtemp(work)) return 1;
    snprintf(out_path, sizeof out_path, "%s/out", work);
    snprintf(stream_path, sizeof stream_path, "%s/stderr", work);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_calls) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(out_path);
    remove(stream_path);
    rmdir(work);
    return failed;
}
