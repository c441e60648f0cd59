/* The progress bar. */
#include <unistd.h>

#include "cli.h"

enum { BAR = 24 };

static bool shown;

void cli_progress(cli *c, int64_t done, int64_t all, const char *unit)
{
    static const char marks[] = "########################",
                      dots[] = "........................";
    if (c->quiet || all < 2 || !isatty(STDERR_FILENO)) return;
    int full = (int)(done * BAR / all);
    fprintf(stderr, "\r[%.*s%.*s] %lld/%lld %s", full, marks, BAR - full, dots,
            (long long)done, (long long)all, unit);
    fflush(stderr);
    shown = true;
}

void cli_progress_clear(void)
{
    if (!shown) return;
    fputs("\r\033[K", stderr);      /* ECMA-48: erase to the end of the line */
    fflush(stderr);
    shown = false;
}
