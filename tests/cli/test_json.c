/* With --json every line on stdout is one JSON object with the fields that the help
 * names; and `read` gives the reference's text for every picture of tests/data/lines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "command.h"

#define LINES "tests/data/lines"
#define MODEL "printed-line-ocr"
#define FOX "examples/lines/fox.png"

static char work[64] = "/tmp/ocelli-test-XXXXXX";
static char out_path[96], err_path[96], file_path[96];

/* Runs the command, which ends with `wanted`, and gives stdout's lines as an array. */
static json_t *run_to(int wanted, const command *c)
{
    int status = command_run(c, out_path, err_path);
    if (status != wanted) print_error("%s: status %d\n", c->args[0], status);
    assert_int_equal(status, wanted);
    FILE *out = fopen(out_path, "r");
    assert_non_null(out);
    json_t *lines = json_array();
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, out)) > 0; ) {
        json_t *value = json_loadb(line, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(value)) print_error("no JSON object: %s", line);
        assert_true(json_is_object(value));
        json_array_append_new(lines, value);
    }
    free(line);
    fclose(out);
    return lines;
}

static json_t *run(const command *c)
{
    return run_to(0, c);
}

static double number(json_t *object, const char *field)
{
    json_t *value = json_object_get(object, field);
    if (!json_is_number(value)) print_error("no number: %s\n", field);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *text(json_t *object, const char *field)
{
    const char *value = json_string_value(json_object_get(object, field));
    if (!value) print_error("no text: %s\n", field);
    assert_non_null(value);
    return value;
}

/* Mean over the reference's tokens, end token included. */
static double reference_confidence(json_t *line)
{
    json_t *list = json_object_get(line, "logprobs"), *value;
    size_t i;
    double sum = 0;
    json_array_foreach(list, i, value) sum += json_number_value(value);
    return exp(sum / (double)json_array_size(list));
}

/* All in one call. Those that the reference refuses (one row of pixels) do not disturb
 * the rest. */
static void check_lines(json_t *set)
{
    size_t refused = 0, done = 0;
    command c = { { "read", "--json" }, 2 };
    static char paths[COMMAND_ARGS][128];
    size_t i;
    json_t *line;
    json_array_foreach(set, i, line) {
        assert_true(i < COMMAND_ARGS);
        snprintf(paths[i], sizeof paths[i], LINES "/%s", text(line, "file"));
        command_add(&c, paths[i]);
        if (json_object_get(line, "error")) refused++;
    }
    json_t *answers = run_to(refused ? 1 : 0, &c);
    assert_int_equal(json_array_size(answers), json_array_size(set) - refused);
    json_array_foreach(set, i, line) {
        if (json_object_get(line, "error")) continue;
        json_t *answer = json_array_get(answers, done++);
        assert_string_equal(text(answer, "file"), paths[i]);
        assert_string_equal(text(answer, "text"), text(line, "text"));
        /* ids holds the start token too, which was not generated. */
        assert_int_equal(number(answer, "tokens"),
                         json_array_size(json_object_get(line, "ids")) - 1);
        double off = number(answer, "confidence") - reference_confidence(line);
        if (fabs(off) > 1e-4) print_error("%s: confidence off by %g\n", paths[i], off);
        assert_true(fabs(off) <= 1e-4);
        assert_true(number(answer, "ms") > 0);
    }
    json_decref(answers);
}

static void test_lines(void **state)
{
    (void)state;
    json_t *set = json_load_file(LINES "/lines.json", 0, NULL);
    assert_true(json_array_size(set) >= 50);
    check_lines(set);
    json_decref(set);
}

static void test_odd_pictures(void **state)
{
    (void)state;
    json_t *set = json_load_file(LINES "/odd.json", 0, NULL);
    assert_true(json_array_size(set) > 0);
    check_lines(set);
    json_decref(set);
}

static void test_inspect(void **state)
{
    (void)state;
    command c = { { "inspect", MODEL, "--json", "--tensors" }, 4 };
    json_t *lines = run(&c), *o = json_array_get(lines, 0);
    assert_int_equal(json_array_size(lines), 1);
    assert_string_equal(text(o, "architecture"), "VisionEncoderDecoderModel");
    assert_true(json_array_size(json_object_get(o, "tensors")) > 100);
    double bytes = 0;
    size_t i;
    json_t *tensor;
    json_array_foreach(json_object_get(o, "tensors"), i, tensor) {
        text(tensor, "name");
        bytes += number(tensor, "bytes");
    }
    assert_true(bytes == number(o, "bytes"));
    assert_true(bytes == 2 * number(o, "parameters"));          /* BF16 */
    json_decref(lines);
}

static void check_tensors(json_t *lines, const char *name)
{
    json_t *o = json_array_get(lines, 0);
    assert_int_equal(json_array_size(lines), 1);
    text(o, "file");
    json_t *tensor = json_array_get(json_object_get(o, "tensors"), 0);
    assert_string_equal(text(tensor, "name"), name);
    text(tensor, "dtype");
    assert_true(json_is_array(json_object_get(tensor, "shape")));
    json_decref(lines);
}

static void test_files(void **state)
{
    (void)state;
    command pixels = { { "preprocess", MODEL, FOX, "--json", "--out", file_path }, 6 };
    check_tensors(run(&pixels), "pixel_values");
    command generate = { { "generate", MODEL, "--json", "--max-new-tokens", "3", "--in",
                           file_path, "--out", file_path }, 9 };
    check_tensors(run(&generate), "sequences");
    command forward = { { "forward", MODEL, "--json", "--in",
                          LINES "/forward.in.safetensors", "--out", file_path }, 7 };
    check_tensors(run(&forward), "encoder_last_hidden_state");
}

static void test_bench(void **state)
{
    (void)state;
    command c = { { "bench", MODEL, "--json", "--runs", "5" }, 5 };
    json_t *lines = run(&c);
    assert_int_equal(json_array_size(lines), 3);
    assert_true(number(json_array_get(lines, 0), "load_ms") > 0);
    assert_true(number(json_array_get(lines, 0), "read_gbps") > 0);
    for (size_t i = 1; i < 3; i++) {
        json_t *o = json_array_get(lines, i);
        assert_int_equal(number(o, "batch"), i == 1 ? 1 : 8);
        assert_int_equal(number(o, "tokens"), i == 1 ? 32 : 256);
        double parts = number(o, "preprocess_ms") + number(o, "encode_ms") +
                       number(o, "decode_ms");
        assert_true(parts > 0 && number(o, "total_ms") > 0);
        assert_true(number(o, "tokens_per_s") > 0 && number(o, "images_per_s") > 0);
        assert_true(number(o, "encoder_gflops") > 0 && number(o, "decoder_gbps") > 0);
    }
    json_decref(lines);
}

int main(void)
{
    if (!mkdtemp(work)) return 1;
    snprintf(out_path, sizeof out_path, "%s/stdout", work);
    snprintf(err_path, sizeof err_path, "%s/stderr", work);
    snprintf(file_path, sizeof file_path, "%s/file", work);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_odd_pictures),
        cmocka_unit_test(test_inspect), cmocka_unit_test(test_files),
        cmocka_unit_test(test_bench),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(out_path);
    remove(err_path);
    remove(file_path);
    rmdir(work);
    return failed;
}
