/* Nougat's markup, put right: post_process_single of Transformers 4.37.2,
 * with fix_markdown.
 *
 * What a model writes repeats itself, invents titles and references, and breaks tables in
 * known ways; these are the rules of the paper's authors, in their order: the tables at
 * the end. Where a rule of the reference looks odd, it is kept as it is: lists drop items
 * of one word, for instance.
 *
 * One rule asks nltk whether the last word is English, to see if a space must follow.
 * Without nltk's list of words, which Transformers does not bring along, the reference
 * puts a space behind any; so do we. */
#include "generate/markup.h"

#include <string.h>

#include "base/bytes.h"
#include "base/context.h"
#include "base/utf8.h"

enum { MOST_BYTES = 1 << 20 };      /* a page has some thousand tokens */
/* Hostile texts have many long lines that are each searched for in all of the text. */
static const uint64_t most_work = (uint64_t)1 << 28;

/* ---- what the passes share --------------------------------------------------------- */

void oci_markup_turn(oci_markup *m)
{
    oci_points old = m->text;
    m->text = m->next;
    m->next = old;
    m->next.count = 0;
}

void oci_markup_replace(oci_markup *m, oci_span what, const char *with)
{
    if (m->text.count >= m->work) {
        oci_fail(m->cx, OC_E_LIMIT,
                 "markup: expected few lines to be taken out, found too many");
        return;
    }
    m->work -= m->text.count;
    oci_rewrite_literal(m->cx, what, with, oci_points_span(&m->text), &m->next);
    oci_markup_turn(m);
}

oci_span oci_markup_line(oci_span text, size_t *from)
{
    size_t begin = *from, end = begin;
    while (end < text.count && text.at[end] != '\n') end++;
    *from = end + 1;
    return (oci_span){ text.at + begin, end - begin };
}

/* The text's last line. */
static oci_span last_line(oci_span text)
{
    size_t begin = text.count;
    while (begin > 0 && text.at[begin - 1] != '\n') begin--;
    return oci_span_from(text, begin);
}

static void add_text(oci_markup *m, const char *ascii)
{
    oci_points_add_text(m->cx, &m->text, ascii);
}

static void put_before(oci_markup *m, const char *ascii)
{
    oci_points_add_text(m->cx, &m->next, ascii);
    oci_points_add(m->cx, &m->next, oci_points_span(&m->text));
    oci_markup_turn(m);
}

/* ---- passes that are no patterns --------------------------------------------------- */

static void strip(oci_markup *m)
{
    oci_points_add(m->cx, &m->next, oci_span_strip(oci_points_span(&m->text)));
    oci_markup_turn(m);
}

/* A title is not what a page ends with. */
static void cut_last_title(oci_markup *m)
{
    oci_span line = last_line(oci_points_span(&m->text));
    size_t hashes = 0;
    while (hashes < line.count && line.at[hashes] == '#') hashes++;
    if (hashes > 0 && hashes < line.count && line.at[hashes] == ' ' &&
        line.count < m->text.count)
        m->text.count -= line.count + 1;
}

/* ---- lists: normalize_list_like_lines */

/* A digit or a Roman one, as re.IGNORECASE takes them. */
static bool is_numeral(uint32_t c)
{
    return oci_point_is_digit(c) || (c < 128 && c && strchr("ixvIXV", (int)c)) ||
           c == 0x130 || c == 0x131;
}

/* Of the first " - " or " * " at `from` or after: the character, or 0. */
static uint32_t find_separator(oci_span line, size_t from)
{
    for (size_t i = from; i + 2 < line.count; i++)
        if (line.at[i] == ' ' && line.at[i + 2] == ' ' &&
            (line.at[i + 1] == '-' || line.at[i + 1] == '*'))
            return line.at[i + 1];
    return 0;
}

/* What separates the items of a line that is a list, or 0. The reference's pattern,
 *     ^(-|\*)?(?!-|\*) ?((?:\d|[ixv])+ )?.+? (-|\*) …
 * skips a space and then a numeral, and gives them back where no separator follows. */
static uint32_t separator_of(oci_span line)
{
    if (line.count < 2 || (line.at[0] != '-' && line.at[0] != '*') || line.at[1] == '-' ||
        line.at[1] == '*')
        return 0;
    const size_t bare = 1, spaced = line.at[1] == ' ' ? 2 : 1;
    size_t numeral = spaced;
    uint32_t mark = 0;
    while (numeral < line.count && is_numeral(line.at[numeral])) numeral++;
    /* An item has one character at least, hence the + 1. */
    if (numeral > spaced && numeral < line.count && line.at[numeral] == ' ')
        mark = find_separator(line, numeral + 1 + 1);
    if (!mark) mark = find_separator(line, spaced + 1);
    if (!mark) mark = find_separator(line, bare + 1);
    return mark;
}

/* How deep the number before an item says that it is: "1.2.3" is 2. */
static size_t level_of(oci_span number)
{
    size_t i = 0, level = 0;
    while (i < number.count && is_numeral(number.at[i])) i++;
    if (i == 0) return 0;
    for (; i + 1 < number.count && number.at[i] == '.' && is_numeral(number.at[i + 1]);
         i += 2)
        level++;
    return i == number.count ? level : 0;
}

/* One item on a line of its own; an item of one word is dropped. */
static void add_item(oci_markup *m, oci_span item, uint32_t mark, bool first)
{
    item = oci_span_strip(item);
    size_t word = 0;
    while (word < item.count && item.at[word] != ' ') word++;
    if (word == item.count) return;
    if (!first) oci_points_add_one(m->cx, &m->next, '\n');
    for (size_t level = level_of((oci_span){ item.at, word }); level > 0; level--)
        oci_points_add_one(m->cx, &m->next, '\t');
    oci_points_add_one(m->cx, &m->next, mark);
    oci_points_add_one(m->cx, &m->next, ' ');
    oci_points_add(m->cx, &m->next, item);
}

/* The items of `line`, split at each "* " (or "- "); what is before the first one is left
 * out. Items are marked as they were separated, but for the first, which has the line's
 * own mark unless the text begins with it. */
static void add_list(oci_markup *m, oci_span line, uint32_t mark, bool begins_text)
{
    size_t begin = 0, count = 0;
    for (size_t i = 0; i <= line.count; i++) {
        bool at_mark = i + 1 < line.count && line.at[i] == mark && line.at[i + 1] == ' ';
        if (!at_mark && i < line.count) continue;
        if (count > 0)
            add_item(m, (oci_span){ line.at + begin, i - begin },
                     count > 1 || begins_text ? mark : line.at[0], count == 1);
        count++;
        begin = i + 2;
        if (at_mark) i++;
    }
}

static void normalize_lists(oci_markup *m)
{
    oci_span text = oci_points_span(&m->text);
    for (size_t from = 0; from <= text.count && !oci_failed(m->cx); ) {
        const size_t begin = from;
        oci_span line = oci_markup_line(text, &from);
        uint32_t mark = separator_of(line);
        if (mark) add_list(m, line, mark, begin == 0);
        else oci_points_add(m->cx, &m->next, line);
        if (mark || from <= text.count) oci_points_add_one(m->cx, &m->next, '\n');
    }
    oci_markup_turn(m);
}

/* ---- between the pages: what the next page's text will be put behind */

/* re.match("[A-Z0-9,;:]$"): the text is one such character. */
static bool is_one_mark(oci_span text)
{
    if (text.count == 0 || text.count > 2 || (text.count == 2 && text.at[1] != '\n'))
        return false;
    uint32_t c = text.at[0];
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ',' || c == ';' ||
           c == ':';
}

static void space_ends(oci_markup *m)
{
    uint32_t last = m->text.count ? m->text.at[m->text.count - 1] : 0;
    if (last == '.' || last == '}') add_text(m, "\n\n");
    oci_span text = oci_points_span(&m->text), line = last_line(text);
    if (is_one_mark(text))
        add_text(m, " ");
    else if (oci_span_begins(text, "#") || oci_span_begins(text, "**") ||
             oci_span_begins(text, "\\begin"))
        put_before(m, "\n\n");
    else if (oci_span_begins(line, "#") || oci_span_begins(line, "Figure") ||
             oci_span_begins(line, "Table"))
        add_text(m, "\n\n");
    else
        add_text(m, " ");
}

/* ---- tables: correct_tables */

/* line.count(ascii) > most */
static bool has_more(oci_span line, const char *ascii, int most)
{
    const size_t size = strlen(ascii);
    while (line.count >= size && most >= 0) {
        bool here = oci_span_begins(line, ascii);
        most -= here;
        line = oci_span_from(line, here ? size : 1);
    }
    return most < 0;
}

/* Lines that are plainly no tables go, and so does their text within other lines. */
static void cut_wrong_tables(oci_markup *m)
{
    oci_points before = { 0 };
    oci_points_add(m->cx, &before, oci_points_span(&m->text));
    oci_span text = oci_points_span(&before);
    for (size_t from = 0; from <= text.count && !oci_failed(m->cx); ) {
        oci_span line = oci_markup_line(text, &from);
        if (has_more(line, "\\begin{tabular}", 15) ||
            has_more(line, "\\multicolumn", 60) || has_more(line, "&", 400))
            oci_markup_replace(m, line, "");
    }
    oci_free(before.at);
}

/* ---- the rules --------------------------------------------------------------------- */

typedef enum kind { PATTERN, LITERAL, PASS } kind;

typedef struct rule {
    kind kind;
    const char *what, *with;
    int flags;
    void (*pass)(oci_markup *m);
} rule;

#define SUB(pattern, replacement) { PATTERN, pattern, replacement, 0, NULL }
#define SUB_LINES(pattern, replacement) \
    { PATTERN, pattern, replacement, OCI_MULTILINE, NULL }
#define SUB_ALL(pattern, replacement) { PATTERN, pattern, replacement, OCI_DOTALL, NULL }
#define REPLACE(what, with) { LITERAL, what, with, 0, NULL }
#define RUN(pass) { PASS, NULL, NULL, 0, pass }

static const rule rules[] = {
    SUB("(?:\n|^)#+ \\d*\\W? ?(.{100,})", "\n\\1"),         /* too long for a title */
    RUN(strip),
    REPLACE("\n* [leftmargin=*]\n", "\n"),
    SUB_LINES("^#+ (?:\\.?(?:\\d|[ixv])+)*\\s*(?:$|\n\\s*)", ""),  /* titles of numbers */
    RUN(cut_last_title),
    RUN(oci_markup_cut_repetitions),
    RUN(oci_markup_cut_references),
    /* References: a crowd of initials; empty brackets behind the number. */
    SUB_LINES("^\\* \\[\\d+\\](\\s?[A-W]\\.+\\s?){10,}.*$", ""),
    SUB_LINES("^(\\* \\[\\d+\\])\\[\\](.*)$", "\\1\\2"),
    SUB("(^\\w\n\n|\n\n\\w$)", ""),                         /* one character, a line */
    /* Formulas of PubMed Central. */
    SUB("([\\s.,()])_([a-zA-Z0-9])__([a-zA-Z0-9]){1,3}_([\\s.,:()])",
        "\\1\\(\\2_{\\3}\\)\\4"),
    SUB("([\\s.,\\d])_([a-zA-Z0-9])_([\\s.,\\d;])", "\\1\\(\\2\\)\\3"),
    SUB("(\nFootnote .*?:) (?:footnotetext|thanks):\\W*(.*(?:\n\n|$))", "\\1 \\2"),
    SUB("\\[FOOTNOTE:.+?\\](.*?)\\[ENDFOOTNOTE\\]", ""),
    RUN(normalize_lists),
    RUN(space_ends),
    RUN(cut_wrong_tables),
    REPLACE("\\begin{table} \\begin{tabular}", "\\begin{table}\n\\begin{tabular}"),
    REPLACE("\\end{tabular} \\end{table}", "\\end{tabular}\n\\end{table}"),
    REPLACE("\\end{table} Tab", "\\end{table}\nTab"),
    SUB_LINES("(^.+)\\\\begin\\{tab", "\\1\n\\begin{tab"),
    REPLACE("\\begin{tabular}{l l}  & \\\\ \\end{tabular}", ""),
    REPLACE("\\begin{tabular}{}\n\n\\end{tabular}", ""),
    REPLACE("\\begin{array}[]{", "\\begin{array}{"),
    SUB("\\\\begin\\{tabular\\}\\{([clr ]){2,}\\}\\s*[& ]*\\s*(\\\\\\\\)? "
        "\\\\end\\{tabular\\}",
        ""),
    SUB("(\\*\\*S\\. A\\. B\\.\\*\\*\n+){2,}", ""),
    SUB_LINES("^#+( [\\[\\d\\w])?$", ""),                   /* titles of one character */
    SUB_LINES("^\\.\\s*$", ""),
    SUB("\n{3,}", "\n\n"),
};

/* markdown_compatible */
static const rule markdown_rules[] = {
    /* The numbers of equations become tags, … */
    SUB_LINES("^\\(([\\d.]+[a-zA-Z]?)\\) \\\\\\[(.+?)\\\\\\]$", "\\[\\2 \\tag{\\1}\\]"),
    SUB_LINES("^\\\\\\[(.+?)\\\\\\] \\(([\\d.]+[a-zA-Z]?)\\)$", "\\[\\1 \\tag{\\2}\\]"),
    SUB_LINES("^\\\\\\[(.+?)\\\\\\] \\(([\\d.]+[a-zA-Z]?)\\) (\\\\\\[.+?\\\\\\])$",
              "\\[\\1 \\tag{\\2}\\] \\3"),
    REPLACE("\\. ", ". "),
    REPLACE("\\bm{", "\\mathbf{"),
    REPLACE("{\\\\bm ", "\\mathbf{"),
    SUB("\\\\mbox\\{ ?\\\\boldmath\\$(.*?)\\$\\}", "\\mathbf{\\1}"),
    /* … addresses as links, listings on lines of their own. */
    SUB("((?:http|ftp|https)://(?:[\\w_-]+(?:(?:\\.[\\w_-]+)+))"
        "(?:[\\w.,@?^=%&:/~+#-]*[\\w@?^=%&/~+#-]))", "[\\1](\\1)"),
    SUB_ALL("```\\s*(.+?)\\s*```", "```\n\\1\n```"),
};

static void apply(oci_markup *m, const rule *r)
{
    if (oci_failed(m->cx)) return;
    oci_points what = { 0 };
    if (r->kind == PASS) {
        r->pass(m);
    } else if (r->kind == PATTERN) {
        oci_rewrite(m->cx, r->what, r->with, r->flags, oci_points_span(&m->text),
                    &m->next);
        oci_markup_turn(m);
    } else {
        oci_points_add_text(m->cx, &what, r->what);
        if (!oci_failed(m->cx))
            oci_rewrite_literal(m->cx, oci_points_span(&what), r->with,
                                oci_points_span(&m->text), &m->next);
        oci_markup_turn(m);
    }
    oci_free(what.at);
}

static void read_utf8(oc_context *cx, const char *text, size_t size, oci_points *to)
{
    for (size_t i = 0; i < size && !oci_failed(cx); ) {
        uint32_t code = 0;
        i += (size_t)oci_utf8_decode(text + i, size - i, &code);
        oci_points_add_one(cx, to, code);
    }
}

/* In a new string; NULL on error. */
static char *write_utf8(oc_context *cx, oci_span text, size_t *size)
{
    oci_bytes bytes;
    char code[4];
    oci_bytes_init(&bytes, (size_t)OCI_MOST_POINTS * sizeof code);
    for (size_t i = 0; i < text.count && !oci_failed(cx); i++)
        oci_bytes_append(cx, &bytes, code, (size_t)oci_utf8_encode(text.at[i], code));
    if (size) *size = bytes.size;
    return oci_bytes_take(cx, &bytes);
}

char *oc_document_markup(oc_context *cx, const char *text, size_t size, bool fix_markdown,
                         size_t *result_size)
{
    if (!oci_given(cx, text, __func__, "a text")) return NULL;
    if (size > MOST_BYTES)
        oci_fail(cx, OC_E_LIMIT, "markup: %zu bytes, more than %d", size, MOST_BYTES);
    else if (!oci_utf8_valid(text, size))
        oci_fail(cx, OC_E_MALFORMED, "markup: expected UTF-8");
    if (oci_failed(cx)) return NULL;
    oci_markup m = { .cx = cx, .work = most_work };
    read_utf8(cx, text, size, &m.text);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) apply(&m, &rules[i]);
    for (size_t i = 0; fix_markdown && i < sizeof markdown_rules / sizeof *rules; i++)
        apply(&m, &markdown_rules[i]);
    char *made = oci_failed(cx) ? NULL
                                : write_utf8(cx, oci_points_span(&m.text), result_size);
    oci_free(m.text.at);
    oci_free(m.next.at);
    return made;
}
