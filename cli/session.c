/* From arguments to a context, from errors to an exit status, and signals in between. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* What the signal handler sees: the one context of this process, while there is one. */
static oc_context *volatile cancel_target;
static volatile sig_atomic_t interrupted;

/* One keypress can arrive twice (timeout(1) signals the process and then its group), so
 * it is the third that kills, should something not listen. */
static void on_signal(int number)
{
    if (interrupted) signal(number, SIG_DFL);
    interrupted = 1;
    if (cancel_target) oc_context_cancel(cancel_target);
}

void cli_catch_signals(cli *c)
{
    cancel_target = c->cx;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;      /* no SA_RESTART: waiting for stdin ends, too */
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction before;
        /* What nohup or a shell's background switched off stays off. */
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

void cli_resume(cli *c)
{
    interrupted = 0;
    cli_catch_signals(c);       /* the second one would have ended the process */
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

static void on_log(void *user, oc_log_level level, const char *message)
{
    cli *c = user;
    if (level == OC_LOG_WARNING && !c->quiet) cli_error(c, "warning: %s", message);
}

/* "cpu", or what another device would need. */
static bool check_device(cli *c)
{
    const char *device = c->device;
    if (!device || strcmp(device, "cpu") == 0) return true;
    if (strncmp(device, "cuda", 4) == 0 && (!device[4] || device[4] == ':')) {
        cli_error(c, "--device %s: this ocelli was built without CUDA", device);
        c->status = CLI_UNSUPPORTED;
    } else {
        cli_usage(c, "--device: expected cpu or cuda[:N], found '%s'", device);
    }
    return false;
}

bool cli_open_context(cli *c)
{
    if (!check_device(c)) return false;
    c->cx = oc_context_create(&OC_OPTIONS(oc_context_options, .threads = (int)c->threads,
                                          .isa = (oc_isa)c->isa, .log = on_log,
                                          .log_user = c));
    const char *name;
    json_t *value;
    json_object_foreach(c->limits, name, value)
        oc_context_limit(c->cx, name, (uint64_t)json_integer_value(value));
    static const oc_dtype arithmetics[] = { OC_F32, OC_BF16, OC_INT8 };
    oc_context_set_arithmetic(c->cx, arithmetics[c->arithmetic]);
    oc_context_set_framework(c->cx, (oc_framework)c->framework);
    if (cli_failed(c)) return false;
    cli_catch_signals(c);
    return true;
}

oc_dtype cli_weights_dtype(int index)
{
    static const oc_dtype types[] = { (oc_dtype)0, OC_F32, OC_BF16, OC_F16, OC_INT8,
                                      OC_INT8_CHANNEL, OC_INT4 };
    return types[index];
}

oc_dtype cli_kv_dtype(const cli *c)
{
    static const oc_dtype types[] = { OC_F32, OC_BF16, OC_INT8 };
    return types[c->kv_dtype];
}

oc_model *cli_open_model(cli *c, const char *name, const oc_model_options *options)
{
    oc_model_options o = options ? *options
                                 : OC_OPTIONS(oc_model_options, .weights = NULL);
    o.weights = c->weights;
    o.revision = c->revision;
    o.weights_dtype = cli_weights_dtype(c->weights_dtype);
    return oc_model_open(c->cx, name, &o);
}

void cli_close(cli *c)
{
    cancel_target = NULL;
    oc_context_free(c->cx);
    json_decref(c->config);
    json_decref(c->limits);
    free(c->operands);
}

/* File names are any bytes; those that could steer a terminal or break the line, C0, DEL
 * and C1 (in UTF-8: c2 80 to c2 9f), are shown as \xNN. */
static void print_escaped(const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) {
            fprintf(stderr, "\\x%02x\\x%02x", s[0], s[1]);
            s++;
        } else if (*s < 0x20 || *s == 0x7f) {
            fprintf(stderr, "\\x%02x", *s);
        } else {
            fputc(*s, stderr);
        }
    }
}

void cli_error(cli *c, const char *format, ...)
{
    char message[8192];         /* a path and more; longer ones are cut */
    va_list list;
    cli_progress_clear();
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    fprintf(stderr, "ocelli%s%s: ", c->command ? " " : "",
            c->command ? c->command->name : "");
    print_escaped(message);
    fputc('\n', stderr);
}

bool cli_failed(cli *c)
{
    oc_status status = oc_context_status(c->cx);
    if (status == OC_OK) return false;
    c->status = oc_status_exit_code(status);
    /* An interruption is reported at the end, whether a call met it or not. */
    if (status != OC_E_CANCELLED) cli_error(c, "%s", oc_context_message(c->cx));
    return true;
}

bool cli_input_failed(cli *c, const char *what)
{
    oc_status status = oc_context_status(c->cx);
    if (status == OC_OK) return false;
    if (status != OC_E_CANCELLED)
        cli_error(c, "%s%s%s", what ? what : "", what ? ": " : "",
                  oc_context_message(c->cx));
    oc_context_clear(c->cx);
    cli_input_bad(c, oc_status_exit_code(status));
    return true;
}

void cli_input_bad(cli *c, int status)
{
    if (c->bad_inputs++ == 0) c->status = status;
}

bool cli_go_on(const cli *c)
{
    return !interrupted && !c->stdout_failed;
}

int cli_end(cli *c)
{
    cli_progress_clear();
    cli_flush(c);
    if (c->bad_inputs && c->inputs > 1) c->status = CLI_FAILED;
    if (c->stdout_failed) c->status = CLI_FAILED;
    if (interrupted) {
        cli_error(c, "interrupted");
        c->status = CLI_INTERRUPTED;
    }
    return c->status;
}

double cli_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
