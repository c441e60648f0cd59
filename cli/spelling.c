/* Names that are nearly right. */
#include <string.h>

#include "cli.h"

enum { NAME_ROOM = 64 };

/* Levenshtein's distance with one row; words of NAME_ROOM letters or more are far from
 * all others. */
size_t cli_distance(const char *a, const char *b)
{
    size_t row[NAME_ROOM], n = strlen(b);
    if (strlen(a) >= NAME_ROOM || n >= NAME_ROOM) return NAME_ROOM;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j + 1] + 1 < best) best = row[j + 1] + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 2; /* a third wrong is no slip of the finger */
    for (; *words; words++) {
        size_t d = cli_distance(word, *words);
        if (d < least) {
            least = d;
            nearest = *words;
        }
    }
    return nearest;
}
