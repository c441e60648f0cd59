/* ocelli pull: a model from the hub into its cache; prints the folder. */
#include <string.h>

#include "cli.h"

static void show(void *user, const oc_pull_progress *p)
{
    /* Bytes would be too wide a number to watch. */
    cli_progress(user, (int64_t)(p->done / 1000000), (int64_t)(p->total / 1000000), "MB");
}

int command_pull(cli *c)
{
    oc_pull_options o = { .size = sizeof o, .progress = show, .progress_user = c };
    const char *include = NULL;
    int64_t retries = 5;
    const cli_option options[] = {
        { "revision", CLI_TEXT, &o.revision, "R",
          "branch, tag or commit; main", 0, 0, 0 },
        { "include", CLI_TEXT, &include, "GLOB",
          "files of such names, and of the further arguments'; none others", 0, 0, 0 },
        { "retries", CLI_NUMBER, &retries, "N",
          "more tries of a request that failed for now; 5", 0, 1000, 0 },
        { 0 }
    };
    if (!cli_begin(c, options, 1, -1)) return c->status;
    if (!include && c->operand_count > 1)
        return cli_usage(c, "one argument too many: '%s'", c->operands[1]);

    const char *name = c->operands[0];
    if (include) {
        c->operands[0] = include;   /* its place is free: all that follows are patterns */
        o.include = c->operands;
        o.include_count = (size_t)c->operand_count;
    }
    o.retries = retries ? retries : -1;
    char *folder = oc_pull(c->cx, name, &o);
    if (!cli_failed(c)) {
        if (c->json)
            cli_print_json(c, json_pack("{s:s, s:o}", "model", name, "folder",
                                        cli_json_text(folder, strlen(folder))));
        else
            cli_print_line(c, folder, strlen(folder));
    }
    oc_string_free(folder);
    return cli_end(c);
}
