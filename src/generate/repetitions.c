/* What a Nougat says again and again: an end that repeats, and references that it makes
 * up on pages it cannot read. truncate_repetitions and remove_hallucinated_references of
 * Transformers 4.37.2, whose slips are kept: what they cut depends on them. */
#include <string.h>
#include <utf8proc.h>

#include "base/context.h"
#include "base/size.h"
#include "generate/markup.h"

/* ---- str.lower() ------------------------------------------------------------------- */

static utf8proc_category_t category_of(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

/* Unicode's Case_Ignorable. */
static bool is_case_ignorable(uint32_t c)
{
    static const uint32_t others[] = {
        0x27, 0x2e, 0x3a, 0xb7, 0x387, 0x55f, 0x5f4, 0x2018, 0x2019, 0x2024, 0x2027,
        0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (c == others[i]) return true;
    utf8proc_category_t k = category_of(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME ||
           k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_LM ||
           k == UTF8PROC_CATEGORY_SK;
}

/* Unicode's Cased, of what is not case-ignorable. */
static bool is_cased(uint32_t c)
{
    utf8proc_category_t k = category_of(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL ||
           k == UTF8PROC_CATEGORY_LT || c == 0xaa || c == 0xba ||
           (c >= 0x2160 && c <= 0x217f) || (c >= 0x24b6 && c <= 0x24e9) ||
           (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
           (c >= 0x1f170 && c <= 0x1f189);
}

/* A capital sigma at the end of a word becomes ς; case-ignorable characters on either
 * side are looked past. */
static uint32_t lower_sigma(oci_span text, size_t at, bool cased_before)
{
    size_t after = at + 1;
    while (after < text.count && is_case_ignorable(text.at[after])) after++;
    bool cased_after = after < text.count && is_cased(text.at[after]);
    return cased_before && !cased_after ? 0x3c2 : 0x3c3;
}

static void lower(oc_context *cx, oci_span text, oci_points *to)
{
    bool cased = false;             /* the last character that was not ignorable */
    for (size_t i = 0; i < text.count && !oci_failed(cx); i++) {
        uint32_t c = text.at[i], low = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
        if (c == 0x3a3) low = lower_sigma(text, i, cased);
        if (c == 0x130) low = 'i';      /* İ is the only one that becomes two */
        oci_points_add_one(cx, to, low);
        if (c == 0x130) oci_points_add_one(cx, to, 0x307);
        if (!is_case_ignorable(c)) cased = is_cased(c);
    }
}

/* ---- an end that repeats ----------------------------------------------------------- */

enum { LEAST_REPEATED = 30 };

/* The greatest L below half the text, and 30 at least, such that the last L
 * characters are also the L before them; 0: none. With z[i] as the number of
 * characters in which the text read backwards equals itself from i on (the Z
 * algorithm, linear), that is z[L] >= L. */
static size_t find_period(oc_context *cx, oci_span text)
{
    const size_t n = text.count;
    uint32_t *z = oci_calloc(cx, n, sizeof *z);
    size_t left = 0, right = 0, period = 0;     /* the match that reaches furthest */
    for (size_t i = 1; z && i < n / 2; i++) {
        size_t k = i < right ? (size_t)oci_min((int64_t)(right - i), z[i - left]) : 0;
        while (i + k < n && text.at[n - 1 - k] == text.at[n - 1 - i - k]) k++;
        z[i] = (uint32_t)k;
        if (i + k > right) {
            left = i;
            right = i + k;
        }
        if (i >= LEAST_REPEATED && k >= i) period = i;
    }
    oci_free(z);
    return period;
}

static bool ends_sentence(uint32_t c)
{
    return c == '.' || c == '?' || c == '!' || c == '\n';
}

/* Where the text without its repetitions ends: all copies go, but for what completes the
 * sentence. That is looked for from the front and, a slip of the reference, at the same
 * number from the back; both must be there, and not at 0. */
static size_t find_end(oci_span text, size_t period)
{
    const oci_span repeated = oci_span_from(text, text.count - period);
    size_t end = text.count, front, back;
    while (end >= period && oci_span_equal((oci_span){ text.at + end - period, period },
                                           repeated))
        end -= period;
    for (front = end; front < text.count && !ends_sentence(text.at[front]); ) front++;
    for (back = end; back < text.count && !ends_sentence(text.at[text.count - 1 - back]);)
        back++;
    bool both = front > 0 && front < text.count && back > 0 && back < text.count;
    return both ? front + 1 : end;
}

void oci_markup_cut_repetitions(oci_markup *m)
{
    oci_points low = { 0 };
    lower(m->cx, oci_points_span(&m->text), &low);
    oci_span text = oci_points_span(&low);
    size_t period = text.count < 2 * LEAST_REPEATED || oci_failed(m->cx)
                    ? 0 : find_period(m->cx, text);
    if (period > 0) {    /* counted in lower case, where İ is two, and cut as it stands */
        size_t end = find_end(text, period);
        if (end < m->text.count) m->text.count = end;
    }
    oci_free(low.at);
}

/* ---- lines and their likeness ------------------------------------------------------ */

enum { MOST_LIKENED = 200 };            /* lines as long or longer are not compared */

/* Levenshtein.ratio: 2 * longest common subsequence / characters of both, by its own
 * arithmetic. `a` is shorter than MOST_LIKENED, so this is linear in `b`. */
static double ratio(oci_span a, oci_span b)
{
    const size_t sum = a.count + b.count;
    uint16_t row[MOST_LIKENED + 1] = { 0 };     /* of the table: a's prefixes, b so far */
    if (sum == 0) return 1;
    for (size_t j = 0; j < b.count; j++) {
        uint16_t corner = 0;
        for (size_t i = 0; i < a.count; i++) {
            uint16_t above = row[i + 1];
            row[i + 1] = a.at[i] == b.at[j] ? (uint16_t)(corner + 1)
                                            : above > row[i] ? above : row[i];
            corner = above;
        }
    }
    return 1.0 - (double)(sum - 2 * (size_t)row[a.count]) / (double)sum;
}

/* What ratio() is at most, for these lengths: a question less for most pairs of lines. */
static double ratio_bound(oci_span a, oci_span b)
{
    const size_t sum = a.count + b.count, least = a.count < b.count ? a.count : b.count;
    return sum ? 1.0 - (double)(sum - 2 * least) / (double)sum : 1;
}

static bool is_alike(oci_span a, oci_span b)
{
    return oci_span_equal(a, b) || (ratio_bound(a, b) > 0.9 && ratio(a, b) > 0.9);
}

static bool is_unlike(oci_span a, oci_span b)
{
    return ratio_bound(a, b) < 0.9 || ratio(a, b) < 0.9;
}

/* remove_numbers: without digits, _ and **, and stripped. Appended to `to`. */
static oci_span clean(oc_context *cx, oci_span line, oci_points *to)
{
    const size_t begin = to->count;
    for (size_t i = 0; i < line.count; i++) {
        uint32_t c = line.at[i];
        if (c == '*' && i + 1 < line.count && line.at[i + 1] == '*') i++;
        else if (c != '_' && !oci_point_is_digit(c)) oci_points_add_one(cx, to, c);
    }
    return oci_span_strip(oci_span_from(oci_points_span(to), begin));
}

typedef struct lines {
    oc_context *cx;
    oci_points text, bare;      /* as it was, and without numbers */
    size_t count;
    oci_span *line, *clean;     /* [count] into those */
    oci_points again;           /* what remove_numbers made of one more line */
    char *alike;                /* [count] a line that the next one resembles */
} lines;

static void free_lines(lines *l)
{
    oci_free(l->text.at);
    oci_free(l->bare.at);
    oci_free(l->again.at);
    oci_free(l->line);
    oci_free(l->clean);
    oci_free(l->alike);
}

static bool split_lines(lines *l, oci_span text)
{
    oci_points_add(l->cx, &l->text, text);
    text = oci_points_span(&l->text);
    l->count = 1;
    for (size_t i = 0; i < text.count; i++) l->count += text.at[i] == '\n';
    l->line = oci_calloc(l->cx, l->count, sizeof *l->line);
    l->clean = oci_calloc(l->cx, l->count, sizeof *l->clean);
    l->alike = oci_calloc(l->cx, l->count, 1);
    /* Room for all of it at once, or the spans into it would move. */
    l->bare.at = oci_alloc(l->cx, (text.count + 1) * sizeof *l->bare.at);
    l->bare.room = text.count + 1;
    if (oci_failed(l->cx)) return false;
    for (size_t i = 0, from = 0; i < l->count; i++) {
        l->line[i] = oci_markup_line(text, &from);
        l->clean[i] = clean(l->cx, l->line[i], &l->bare);
    }
    return true;
}

static bool is_comparable(oci_span line)
{
    return line.count < MOST_LIKENED && line.count > 3;
}

/* Marks lines that are like the next one that is not empty,
 * with the empty ones between. */
static void find_alike(lines *l)
{
    for (size_t i = 0, j; i + 1 < l->count; i = j) {
        for (j = i + 1; l->clean[j].count == 0 && j + 1 < l->count; ) j++;
        if (is_comparable(l->clean[i]) && is_comparable(l->clean[j]) &&
            !oci_span_begins(l->clean[i], "[MISSING_PAGE") &&
            is_alike(l->clean[i], l->clean[j]))
            memset(l->alike + i, 1, j - i);
    }
}

/* ---- made up references ------------------------------------------------------------ */

typedef struct range {
    size_t first, last;         /* of lines; `last` excluded in a slice */
} range;

/* The next slice of lines alike, at *from or after: neighbours at most 3 apart belong
 * together, and below 16 lines it is none. */
static bool next_slice(const lines *l, size_t *from, range *slice)
{
    enum { GAP = 3, LONGEST_KEPT = 15 };
    for (size_t i = *from; i < l->count; ) {
        if (!l->alike[i]) {
            i++;
            continue;
        }
        *slice = (range){ i, i };
        for (; i < l->count && i - slice->last <= GAP; i++)
            if (l->alike[i]) slice->last = i;
        *from = i;
        slice->last += 2;
        if (slice->last - slice->first > LONGEST_KEPT) return true;
    }
    return false;
}

static oci_span clean_again(lines *l, oci_span line)
{
    l->again.count = 0;
    return clean(l->cx, line, &l->again);
}

/* Everything from the first "* [" on; empty if there is none. */
static oci_span from_bullet(oci_span text)
{
    while (text.count > 0 && !oci_span_begins(text, "* [")) text = oci_span_from(text, 1);
    return text;
}

/* Up to four lines before the slice may belong to it; true when one was looked at that
 * does not, so that the section may begin within a line. */
static bool extend_back(lines *l, oci_span base, size_t begin, size_t *first)
{
    const size_t stop = begin > 5 ? begin - 5 : 0;
    for (size_t i = begin > 0 ? begin - 1 : 0; i > stop; i--) {
        if (l->line[i].count == 0) continue;
        if (l->line[i].count == 13 && oci_span_begins(l->line[i], "## References")) {
            *first = i;
            return false;
        }
        if (!is_unlike(base, clean_again(l, l->line[i]))) continue;
        *first = i + 1;
        oci_span bullet = from_bullet(l->line[i - 1]);
        if (bullet.count) bullet = oci_span_from(bullet, strlen("* ["));
        bullet = clean_again(l, bullet);
        if ((double)bullet.count >= 0.75 * (double)base.count && is_unlike(base, bullet))
            *first = i;
        return true;
    }
    return false;
}

/* str.isnumeric() */
static bool is_numeric(uint32_t c)
{
    static const uint32_t ideographs[] = {     /* letters that have a value, Unicode 14 */
        0x3405, 0x3483, 0x382a, 0x3b4d, 0x4e00, 0x4e03, 0x4e07, 0x4e09, 0x4e5d, 0x4e8c,
        0x4e94,
        0x4e96, 0x4ebf, 0x4ec0, 0x4edf, 0x4ee8, 0x4f0d, 0x4f70, 0x5104, 0x5146, 0x5169,
        0x516b,
        0x516d, 0x5341, 0x5343, 0x5344, 0x5345, 0x534c, 0x53c1, 0x53c2, 0x53c3, 0x53c4,
        0x56db,
        0x58f1, 0x58f9, 0x5e7a, 0x5efe, 0x5eff, 0x5f0c, 0x5f0d, 0x5f0e, 0x5f10, 0x62fe,
        0x634c,
        0x67d2, 0x6f06, 0x7396, 0x767e, 0x8086, 0x842c, 0x8cae, 0x8cb3, 0x8d30, 0x9621,
        0x9646,
        0x964c, 0x9678, 0x96f6, 0xf96b, 0xf973, 0xf978, 0xf9b2, 0xf9d1, 0xf9d3, 0xf9fd,
        0x20001,
        0x20064, 0x200e2, 0x20121, 0x2092a, 0x20983, 0x2098c, 0x2099c, 0x20aea, 0x20afd,
        0x20b19, 0x22390, 0x22998, 0x23b1b, 0x2626d, 0x2f890 };
    if (c < 0x80) return c >= '0' && c <= '9';
    for (size_t i = 0; i < sizeof ideographs / sizeof *ideographs; i++)
        if (c == ideographs[i]) return true;
    utf8proc_category_t k = category_of(c);
    return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

/* The next page may begin in the last line of a section: how many of its characters are
 * behind the one where it stops to be like the line before, numbers apart. 0 where
 * nothing of it was looked at. */
static size_t count_tail(oci_span before, oci_span line)
{
    size_t a = 0, b = 0, looked = 0;          /* `looked`: one more than the last index */
    for (;; a++, b++) {
        while (a < before.count && is_numeric(before.at[a])) a++;
        if (a == before.count) break;
        while (b < line.count && is_numeric(line.at[b])) b++;
        looked = b < line.count ? b + 1 : line.count;
        if (b == line.count || before.at[a] != line.at[b]) break;
    }
    return looked ? line.count - looked : 0;
}

/* The text of a slice that goes, into `cut`; remove_slice_from_lines. */
static void cut_slice(lines *l, range slice, oci_points *cut)
{
    const oci_span base = l->clean[slice.first];
    range section = slice;              /* its last line included */
    bool within = extend_back(l, base, slice.first, &section.first);
    for (size_t i = slice.last; i < l->count && i < slice.last + 5; i++) {
        if (!is_unlike(base, clean_again(l, l->line[i]))) continue;
        section.last = i;
        break;
    }
    if (section.last >= l->count) section.last = l->count - 1;
    const oci_span end = l->line[section.last];
    const uint32_t *begin = l->line[section.first].at;
    oci_span text = { begin, (size_t)(end.at + end.count - begin) };
    size_t tail = count_tail(l->line[section.last - 1], end);
    oci_span bullet = within ? from_bullet(text) : (oci_span){ 0 };
    if (bullet.count) text = bullet;
    text.count -= tail < text.count ? tail : text.count;
    oci_points_add(l->cx, cut, oci_span_strip(text));
}

/* Slices are cut by their text, last one first, and wherever that stands. */
static void replace_slices(oci_markup *m, lines *l)
{
    oci_points cut = { 0 };
    size_t *ends = oci_calloc(l->cx, l->count, sizeof *ends), count = 0, from = 0;
    range slice;
    while (ends && !oci_failed(l->cx) && next_slice(l, &from, &slice)) {
        cut_slice(l, slice, &cut);
        ends[count++] = cut.count;
    }
    for (; count > 0 && !oci_failed(l->cx); count--) {
        size_t begin = count > 1 ? ends[count - 2] : 0;
        oci_markup_replace(m, (oci_span){ oci_points_span(&cut).at + begin,
                                          ends[count - 1] - begin },
                           "\n\n[MISSING_PAGE_POST]\n\n");
    }
    oci_free(ends);
    oci_free(cut.at);
}

void oci_markup_cut_references(oci_markup *m)
{
    lines l = { .cx = m->cx };
    if (split_lines(&l, oci_points_span(&m->text))) {
        find_alike(&l);
        replace_slices(m, &l);
    }
    free_lines(&l);
    oci_rewrite(m->cx, "## References\n+\\[MISSING_PAGE_POST(:\\d+)?\\]",
                "\n\n[MISSING_PAGE_POST\\1]", 0, oci_points_span(&m->text), &m->next);
    oci_markup_turn(m);
}
