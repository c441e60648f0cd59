#include "generate/rewrite.h"

#include <string.h>
#include <utf8proc.h>

#include "base/context.h"

/* ---- code points ------------------------------------------------------------------- */

void oci_points_add(oc_context *cx, oci_points *points, oci_span span)
{
    if (oci_failed(cx) || span.count == 0) return;
    if (span.count > OCI_MOST_POINTS - points->count) {
        oci_fail(cx, OC_E_LIMIT, "markup: expected at most %d characters",
                 OCI_MOST_POINTS);
        return;
    }
    size_t count = points->count + span.count;
    if (count > points->room) {
        size_t room = count + count / 2 + 64;
        uint32_t *at = oci_realloc(cx, points->at, room * sizeof *at);
        if (!at) return;
        points->at = at;
        points->room = room;
    }
    memcpy(points->at + points->count, span.at, span.count * sizeof *span.at);
    points->count = count;
}

void oci_points_add_one(oc_context *cx, oci_points *points, uint32_t code)
{
    oci_points_add(cx, points, (oci_span){ &code, 1 });
}

void oci_points_add_text(oc_context *cx, oci_points *points, const char *ascii)
{
    for (; *ascii; ascii++) oci_points_add_one(cx, points, (unsigned char)*ascii);
}

/* Never at NULL: there is arithmetic on where a span begins. */
oci_span oci_points_span(const oci_points *points)
{
    static const uint32_t nothing = 0;
    return points->at ? (oci_span){ points->at, points->count }
                      : (oci_span){ &nothing, 0 };
}

bool oci_point_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

bool oci_point_is_digit(uint32_t c)
{
    if (c < 0x80) return c >= '0' && c <= '9';
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

/* Letters and numbers of all kinds, no marks. */
bool oci_point_is_word(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                         (c >= 'a' && c <= 'z') || c == '_';
    utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)c);
    return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO) ||
           (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO);
}

oci_span oci_span_strip(oci_span s)
{
    while (s.count > 0 && oci_point_is_space(s.at[0])) s = oci_span_from(s, 1);
    while (s.count > 0 && oci_point_is_space(s.at[s.count - 1])) s.count--;
    return s;
}

bool oci_span_begins(oci_span s, const char *ascii)
{
    for (; *ascii; ascii++, s = oci_span_from(s, 1))
        if (s.count == 0 || s.at[0] != (unsigned char)*ascii) return false;
    return true;
}

bool oci_span_equal(oci_span a, oci_span b)
{
    return a.count == b.count &&
           (a.count == 0 || memcmp(a.at, b.at, a.count * sizeof *a.at) == 0);
}

/* ---- programs ---------------------------------------------------------------------- */

enum { MOST_CODE = 384, MOST_SETS = 16, MOST_SAVES = 12 };

typedef enum operation { CHARACTER, SET, JUMP, SPLIT, SAVE, BEGIN, END, DONE } operation;

typedef struct instruction {
    operation what;
    int x, y;           /* CHARACTER, SET, SAVE: which; JUMP, SPLIT: where, best first */
} instruction;

typedef struct set {
    bool ascii[128];
    bool digit, space, word, no_word, other;    /* of the rest: \d \s \w \W, everything */
} set;

/* The threads of one position, best first. `seen` tells those
 * from what was there before. */
typedef struct threads {
    int count, code[MOST_CODE], place[MOST_CODE];
    uint32_t saves[MOST_CODE][MOST_SAVES];
} threads;

typedef struct machine {
    oc_context *cx;
    const char *pattern;        /* where the compiler is */
    int flags;
    instruction code[MOST_CODE];
    set sets[MOST_SETS];
    int count, set_count, groups;
    bool first[128], first_other;       /* what a match can begin with */
    oci_span text;
    threads lists[2];
    uint32_t found[MOST_SAVES];         /* begin and end of the match and of its groups */
} machine;

static const uint32_t nowhere = UINT32_MAX;

/* The patterns are ours: this is a slip in one of them, which the tests would show. */
static int refuse(machine *m)
{
    oci_fail(m->cx, OC_E_FAILED, "markup: expected a pattern that is known, found %s",
             m->pattern);
    m->pattern = "";
    return 0;
}

/* The pattern's next character; 0 at its end, again and again. */
static char next_of(machine *m)
{
    return *m->pattern ? *m->pattern++ : '\0';
}

static void expect(machine *m, char c)
{
    if (*m->pattern == c) m->pattern++;
    else refuse(m);
}

static int emit(machine *m, operation what, int x, int y)
{
    if (m->count == MOST_CODE || oci_failed(m->cx)) return refuse(m);
    m->code[m->count] = (instruction){ what, x, y };
    return m->count++;
}

/* Adds \d, \s, \w, \W or the character itself. */
static void add_escaped(set *s, char c)
{
    for (uint32_t i = 0; i < 128; i++)
        s->ascii[i] |= c == 'd' ? oci_point_is_digit(i) : c == 's' ? oci_point_is_space(i)
                     : c == 'w' ? oci_point_is_word(i) : c == 'W' ? !oci_point_is_word(i)
                                : i == (unsigned char)c;
    s->digit |= c == 'd';
    s->space |= c == 's';
    s->word |= c == 'w';
    s->no_word |= c == 'W';
}

/* What stands between [ and ]. */
static void add_class(machine *m, set *s)
{
    while (*m->pattern && *m->pattern != ']') {
        char c = next_of(m);
        if (c == '\\') {
            add_escaped(s, next_of(m));
        } else if (m->pattern[0] == '-' && m->pattern[1] && m->pattern[1] != ']') {
            for (; c <= m->pattern[1]; c++) s->ascii[(unsigned char)c] = true;
            m->pattern += 2;
        } else {
            s->ascii[(unsigned char)c] = true;
        }
    }
    expect(m, ']');
}

/* One character of the text: a literal, a class, or any. */
static void compile_character(machine *m)
{
    set s = { 0 };
    char c = next_of(m), escaped = c == '\\' ? next_of(m) : '\0';
    if (c == '[') {
        add_class(m, &s);
    } else if (c == '.') {
        memset(s.ascii, true, sizeof s.ascii);
        s.ascii['\n'] = m->flags & OCI_DOTALL;
        s.other = true;
    } else if (escaped && strchr("dswW", escaped)) {
        add_escaped(&s, escaped);
    } else {
        emit(m, CHARACTER, escaped ? escaped : c, 0);
        return;
    }
    if (m->set_count == MOST_SETS) {
        refuse(m);
        return;
    }
    int known = 0;
    while (known < m->set_count && memcmp(&m->sets[known], &s, sizeof s) != 0) known++;
    m->sets[known] = s;
    if (known == m->set_count) m->set_count++;
    emit(m, SET, known, 0);
}

static void compile_choice(machine *m);

static void compile_atom(machine *m)
{
    char c = *m->pattern;
    if (c == '^' || c == '$') {
        m->pattern++;
        emit(m, c == '^' ? BEGIN : END, 0, 0);
    } else if (c == '(') {
        bool plain = strncmp(m->pattern, "(?:", 3) == 0;
        int group = plain ? 0 : ++m->groups;
        m->pattern += plain ? 3 : 1;
        if (group * 2 + 1 >= MOST_SAVES) refuse(m);
        if (!plain) emit(m, SAVE, group * 2, 0);
        compile_choice(m);
        if (!plain) emit(m, SAVE, group * 2 + 1, 0);
        expect(m, ')');
    } else {
        compile_character(m);
    }
}

typedef struct quantifier {
    int least, most;            /* most < 0: no bound */
    bool lazy;
} quantifier;

static int read_number(machine *m)
{
    int n = 0;
    while (*m->pattern >= '0' && *m->pattern <= '9') n = n * 10 + (*m->pattern++ - '0');
    return n;
}

static quantifier read_quantifier(machine *m)
{
    quantifier q = { 1, 1, false };
    char c = *m->pattern;
    if (c != '*' && c != '+' && c != '?' && c != '{') return q;
    m->pattern++;
    if (c == '{') {
        q.least = read_number(m);
        expect(m, ',');
        q.most = *m->pattern == '}' ? -1 : read_number(m);
        expect(m, '}');
    } else {
        q = (quantifier){ c == '+', c == '?' ? 1 : -1, false };
    }
    if (*m->pattern == '?') {
        q.lazy = true;
        m->pattern++;
    }
    return q;
}

/* An atom as often as its quantifier wants: it is compiled anew for each time. */
static void compile_repeated(machine *m)
{
    const char *atom = m->pattern;
    int start = m->count, groups = m->groups;
    compile_atom(m);
    quantifier q = read_quantifier(m);
    const char *after = m->pattern;
    m->count = start;
    for (int i = 0; (i < q.least || i < q.most) && !oci_failed(m->cx); i++) {
        int split = i < q.least ? -1 : emit(m, SPLIT, 0, 0);
        m->pattern = atom;
        m->groups = groups;
        compile_atom(m);
        if (split >= 0)
            m->code[split] = (instruction){ SPLIT, q.lazy ? m->count : split + 1,
                                            q.lazy ? split + 1 : m->count };
    }
    if (q.most < 0 && !oci_failed(m->cx)) {
        int split = emit(m, SPLIT, 0, 0);
        m->pattern = atom;
        m->groups = groups;
        compile_atom(m);
        emit(m, JUMP, split, 0);
        m->code[split] = (instruction){ SPLIT, q.lazy ? m->count : split + 1,
                                        q.lazy ? split + 1 : m->count };
    }
    m->pattern = after;
}

/* a|b|c, up to the end or a closing parenthesis. */
static void compile_choice(machine *m)
{
    int jumps[8], jump_count = 0;
    for (;;) {
        const char *branch = m->pattern;
        int start = m->count, groups = m->groups;
        while (*m->pattern && *m->pattern != '|' && *m->pattern != ')' &&
               !oci_failed(m->cx))
            compile_repeated(m);
        if (*m->pattern != '|' || oci_failed(m->cx)) break;
        /* There is another branch, so this one begins with a choice:
         * once more, behind it. */
        m->pattern = branch;
        m->count = start;
        m->groups = groups;
        int split = emit(m, SPLIT, start + 1, 0);
        while (*m->pattern != '|' && !oci_failed(m->cx)) compile_repeated(m);
        expect(m, '|');
        if (jump_count == 8) refuse(m);
        else jumps[jump_count++] = emit(m, JUMP, 0, 0);
        m->code[split].y = m->count;
    }
    while (jump_count > 0) m->code[jumps[--jump_count]].x = m->count;
}

/* Adds to m->first what can follow from `at` on. Loops of ours always read something. */
static void find_first(machine *m, int at)
{
    const instruction *i = &m->code[at];
    if (i->what == SPLIT) {
        find_first(m, i->x);
        find_first(m, i->y);
    } else if (i->what == JUMP) {
        find_first(m, i->x);
    } else if (i->what == CHARACTER) {
        m->first[i->x] = true;
    } else if (i->what == SET) {
        const set *s = &m->sets[i->x];
        for (int c = 0; c < 128; c++) m->first[c] |= s->ascii[c];
        m->first_other |= s->digit || s->space || s->word || s->no_word || s->other;
    } else if (i->what != DONE) {
        find_first(m, at + 1);
    }
}

static void compile(machine *m, const char *pattern, int flags)
{
    m->pattern = pattern;
    m->flags = flags;
    compile_choice(m);
    if (*m->pattern) refuse(m);
    emit(m, DONE, 0, 0);
    if (!oci_failed(m->cx)) find_first(m, 0);
}

/* ---- matching ---------------------------------------------------------------------- */

static bool takes(const machine *m, const instruction *i, uint32_t c)
{
    if (i->what == CHARACTER) return c == (uint32_t)i->x;
    if (i->what != SET) return false;
    const set *s = &m->sets[i->x];
    if (c < 128) return s->ascii[c];
    return s->other || (s->digit && oci_point_is_digit(c)) ||
           (s->space && oci_point_is_space(c)) || (s->word && oci_point_is_word(c)) ||
           (s->no_word && !oci_point_is_word(c));
}

static bool at_begin(const machine *m, size_t at)
{
    return at == 0 || ((m->flags & OCI_MULTILINE) && m->text.at[at - 1] == '\n');
}

/* Without re.M, $ is also before a line feed that is the last character. */
static bool at_end(const machine *m, size_t at)
{
    if (at == m->text.count) return true;
    return m->text.at[at] == '\n' &&
           ((m->flags & OCI_MULTILINE) || at + 1 == m->text.count);
}

/* Follows all that reads nothing, depth first, so that the better choice is the earlier
 * thread; what was reached before was reached by a better one. At most MOST_CODE deep. */
static void add_thread(const machine *m, threads *list, int code, size_t at,
                       uint32_t *saves)
{
    int place = list->place[code];
    if (place < list->count && list->code[place] == code) return;
    list->place[code] = list->count;
    list->code[list->count] = code;
    memcpy(list->saves[list->count++], saves, sizeof list->saves[0]);
    const instruction *i = &m->code[code];
    if (i->what == JUMP || i->what == SPLIT) add_thread(m, list, i->x, at, saves);
    if (i->what == SPLIT) add_thread(m, list, i->y, at, saves);
    if ((i->what == BEGIN && at_begin(m, at)) || (i->what == END && at_end(m, at)))
        add_thread(m, list, code + 1, at, saves);
    if (i->what == SAVE) {
        uint32_t before = saves[i->x];
        saves[i->x] = (uint32_t)at;
        add_thread(m, list, code + 1, at, saves);
        saves[i->x] = before;
    }
}

/* Moves the threads of one position over its character. */
static void step(machine *m, threads *now, threads *next, size_t at)
{
    for (int t = 0; t < now->count; t++) {
        const instruction *i = &m->code[now->code[t]];
        if (i->what == DONE) {
            memcpy(m->found, now->saves[t], sizeof m->found);
            m->found[1] = (uint32_t)at;
            return;             /* the threads behind it are worse */
        }
        if (at < m->text.count && takes(m, i, m->text.at[at]))
            add_thread(m, next, now->code[t] + 1, at + 1, now->saves[t]);
    }
}

/* The first match that begins at or after `at`, in m->found. */
static bool find(machine *m, size_t at)
{
    threads *now = &m->lists[0], *next = &m->lists[1];
    bool found = false;
    now->count = 0;
    m->found[1] = nowhere;
    for (; at <= m->text.count; at++) {
        if (!found && now->count == 0)       /* nothing is under way: on to a beginning */
            while (at < m->text.count && !(m->text.at[at] < 128 ? m->first[m->text.at[at]]
                                                                : m->first_other)) at++;
        if (!found) {
            uint32_t saves[MOST_SAVES];
            memset(saves, 0xff, sizeof saves);  /* nowhere */
            saves[0] = (uint32_t)at;
            add_thread(m, now, 0, at, saves);
        }
        next->count = 0;
        step(m, now, next, at);
        found = m->found[1] != nowhere;
        threads *swap = now;
        now = next;
        next = swap;
        if (found && now->count == 0) break;
    }
    return found;
}

static void expand(machine *m, const char *replacement, oci_points *out)
{
    for (const char *p = replacement; *p; p++) {
        if (p[0] == '\\' && p[1] >= '1' && p[1] <= '9') {
            const uint32_t *save = &m->found[2 * (*++p - '0')];
            if (save[0] != nowhere && save[1] != nowhere)
                oci_points_add(m->cx, out, (oci_span){ m->text.at + save[0],
                                                       save[1] - save[0] });
        } else {
            oci_points_add_one(m->cx, out, (unsigned char)*p);
        }
    }
}

void oci_rewrite(oc_context *cx, const char *pattern, const char *replacement, int flags,
                 oci_span in, oci_points *out)
{
    machine *m = oci_calloc(cx, 1, sizeof *m);
    if (!m) return;
    m->cx = cx;
    m->text = in;
    compile(m, pattern, flags);
    size_t from = 0;
    while (!oci_failed(cx) && find(m, from)) {
        oci_points_add(cx, out, (oci_span){ in.at + from, m->found[0] - from });
        expand(m, replacement, out);
        from = m->found[1];
        if (m->found[0] == from) refuse(m);     /* it would match here for ever */
    }
    if (!oci_failed(cx)) oci_points_add(cx, out, oci_span_from(in, from));
    oci_free(m);
}

/* ---- literals ---------------------------------------------------------------------- */

/* Knuth, Morris, Pratt: for each prefix, the longest border,
 * a proper prefix that ends it. */
static uint32_t *borders_of(oc_context *cx, oci_span what)
{
    uint32_t *border = oci_alloc(cx, what.count * sizeof *border), k = 0;
    if (!border) return NULL;
    border[0] = 0;
    for (size_t i = 1; i < what.count; i++) {
        while (k > 0 && what.at[i] != what.at[k]) k = border[k - 1];
        if (what.at[i] == what.at[k]) k++;
        border[i] = k;
    }
    return border;
}

void oci_rewrite_literal(oc_context *cx, oci_span what, const char *with, oci_span in,
                         oci_points *out)
{
    if (what.count == 0) {      /* as Python: before each character and at the end */
        for (size_t i = 0; i <= in.count && !oci_failed(cx); i++) {
            oci_points_add_text(cx, out, with);
            if (i < in.count) oci_points_add_one(cx, out, in.at[i]);
        }
        return;
    }
    uint32_t *border = borders_of(cx, what);
    size_t from = 0, k = 0;     /* `k` characters of `what` end at i */
    for (size_t i = 0; border && i < in.count; i++) {
        while (k > 0 && in.at[i] != what.at[k]) k = border[k - 1];
        if (in.at[i] == what.at[k]) k++;
        if (k < what.count) continue;
        oci_points_add(cx, out, (oci_span){ in.at + from, i + 1 - k - from });
        oci_points_add_text(cx, out, with);
        from = i + 1;
        k = 0;
    }
    if (border) oci_points_add(cx, out, oci_span_from(in, from));
    oci_free(border);
}
