/* See pickle.h. The machine is a stack of values, a stack of marks, and a memo; each
 * opcode is a row of a table. Every opcode takes at least one byte of input and makes at
 * most one value, which bounds time and memory by the size of the input. */
#include "io/pickle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "base/size.h"
#include "io/quote.h"

enum { MAX_MARKS = 1 << 16, CHUNK = 1 << 16 };

typedef oci_pickle_value value;

typedef struct machine {
    oc_context *cx;
    oci_pickle *pickle;
    const char *name;
    const unsigned char *at, *end, *begin;
    value **stack, **memo;
    size_t depth, stack_room, memo_count, memo_room;
    size_t *marks;                  /* depths of the stack */
    size_t mark_count, mark_room;
    unsigned char *chunk;           /* rest of the last chunk that small values came
                                       from */
    size_t chunk_left;
    size_t copies;                  /* items that calls may still copy from other
                                       values */
} machine;

/* ---- errors and memory ------------------------------------------------------------- */

OC_PRINTF(3, 4)
static bool fail(machine *m, oc_status status, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    oci_fail(m->cx, status, "%s: byte %td: %s", m->name, m->at - m->begin, text);
    return false;
}

static bool malformed(machine *m, const char *what)
{
    return fail(m, OC_E_MALFORMED, "%s", what);
}

/* The arena aligns to cache lines; values are small and many. */
static void *take(machine *m, size_t size)
{
    size = (size + 7) / 8 * 8;
    if (size > CHUNK / 8) return oci_arena_alloc(m->cx, &m->pickle->arena, size);
    if (size > m->chunk_left) {
        m->chunk = oci_arena_alloc(m->cx, &m->pickle->arena, CHUNK);
        if (!m->chunk) return NULL;
        m->chunk_left = CHUNK;
    }
    void *p = m->chunk;
    m->chunk += size;
    m->chunk_left -= size;
    return p;
}

/* `items` with room for one more than `count`: doubled, so that all growth together is at
 * most twice the last size. The old array stays in the arena. */
static void *grown(machine *m, void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room) return items;
    size_t more = *room ? 2 * *room : 8;
    void *bigger = take(m, more * size);
    if (!bigger) return NULL;
    if (count) memcpy(bigger, items, count * size);
    *room = more;
    return bigger;
}

/* ---- stack, marks, memo ------------------------------------------------------------ */

static bool push(machine *m, value *v)
{
    if (!v) return false;
    value **stack = grown(m, m->stack, m->depth, &m->stack_room, sizeof *stack);
    if (!stack) return false;
    m->stack = stack;
    m->stack[m->depth++] = v;
    return true;
}

static value *make(machine *m, oci_pickle_kind kind)
{
    value *v = take(m, sizeof *v);
    if (v) *v = (value){ .kind = kind };
    return v;
}

static bool push_new(machine *m, value v)
{
    value *made = make(m, v.kind);
    if (!made) return false;
    *made = v;
    return push(m, made);
}

/* Never below the last mark: what lies under it belongs to an unfinished collection. */
static value *pop(machine *m)
{
    size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    if (m->depth > floor) return m->stack[--m->depth];
    malformed(m, "expected a value on the stack, found none");
    return NULL;
}

static value *top(machine *m)
{
    size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    if (m->depth > floor) return m->stack[m->depth - 1];
    malformed(m, "expected a value on the stack, found none");
    return NULL;
}

/* Takes everything above the last mark, and the mark. */
static bool pop_mark(machine *m, value ***items, size_t *count)
{
    if (!m->mark_count) return malformed(m, "expected a mark on the stack, found none");
    size_t from = m->marks[--m->mark_count];
    *items = m->stack ? m->stack + from : NULL;     /* nothing was ever pushed */
    *count = m->depth - from;
    m->depth = from;
    return true;
}

static bool put(machine *m, uint64_t index)
{
    value *v = top(m);
    if (!v) return false;
    /* Writers number from 0 in steps of one. */
    if (index > m->memo_count)
        return fail(m, OC_E_MALFORMED,
                    "memo: expected an index of at most %zu, found %" PRIu64,
                    m->memo_count, index);
    value **memo = grown(m, m->memo, (size_t)index, &m->memo_room, sizeof *memo);
    if (!memo) return false;
    m->memo = memo;
    m->memo[index] = v;
    m->memo_count += index == m->memo_count;
    return true;
}

static bool get(machine *m, uint64_t index)
{
    if (index >= m->memo_count)
        return fail(m, OC_E_MALFORMED,
                    "memo: expected an index below %zu, found %" PRIu64, m->memo_count,
                    index);
    return push(m, m->memo[index]);
}

/* ---- operands in the input --------------------------------------------------------- */

static const unsigned char *bytes(machine *m, uint64_t n)
{
    if (n > (uint64_t)(m->end - m->at)) {
        fail(m, OC_E_MALFORMED, "expected %" PRIu64 " more bytes, found %td", n,
             m->end - m->at);
        return NULL;
    }
    const unsigned char *p = m->at;
    m->at += n;
    return p;
}

/* `n` bytes, little-endian. False: error set. */
static bool number(machine *m, int n, uint64_t *result)
{
    const unsigned char *p = bytes(m, (uint64_t)n);
    if (!p) return false;
    *result = 0;
    for (int i = n - 1; i >= 0; i--) *result = *result << 8 | p[i];
    return true;
}

/* A copy with a NUL behind it: names and keys are compared as C strings later. */
static bool push_text(machine *m, oci_pickle_kind kind, const unsigned char *data,
                      uint64_t n)
{
    char *copy = data ? take(m, (size_t)n + 1) : NULL;
    if (!copy) return false;
    memcpy(copy, data, (size_t)n);
    copy[n] = '\0';
    return push_new(m, (value){ kind, .as.text = { copy, (size_t)n } });
}

static bool counted_text(machine *m, oci_pickle_kind kind, int width)
{
    uint64_t n;
    return number(m, width, &n) && push_text(m, kind, bytes(m, n), n);
}

/* Up to and without a newline, as GLOBAL has its two names. */
static const char *line(machine *m)
{
    const unsigned char *stop = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!stop) {
        malformed(m, "expected the end of a line, found the end of the file");
        return NULL;
    }
    size_t n = (size_t)(stop - m->at);
    char *copy = take(m, n + 1);
    if (!copy) return NULL;
    memcpy(copy, m->at, n);
    copy[n] = '\0';
    m->at = stop + 1;
    return copy;
}

static bool is_text(const value *v) { return v && v->kind == OCI_PICKLE_TEXT; }

/* A text that C can compare: no U+0000 inside. */
static const char *plain_text(const value *v)
{
    return is_text(v) && strlen(v->as.text.data) == v->as.text.size ? v->as.text.data
                                                                    : NULL;
}

/* ---- what may be called ------------------------------------------------------------ */

/* Each takes the arguments of REDUCE and gives the result, or NULL with an error set. */
typedef value *maker(machine *m, value **args, size_t count);

static bool append(machine *m, value *list, value *v)
{
    value **items = grown(m, list->as.list.items, list->as.list.count,
                          &list->as.list.room, sizeof *items);
    if (!items) return false;
    list->as.list.items = items;
    items[list->as.list.count++] = v;
    return true;
}

/* OrderedDict(), or OrderedDict([(key, value), …]) of protocols below 2. */
static value *make_dict(machine *m, value **args, size_t count)
{
    value *dict = make(m, OCI_PICKLE_DICT);
    if (!dict || count == 0) return dict;
    const value *pairs = args[0];
    if (count > 1 ||
        (pairs->kind != OCI_PICKLE_LIST && pairs->kind != OCI_PICKLE_TUPLE)) {
        malformed(m, "OrderedDict: expected no argument or a list of pairs");
        return NULL;
    }
    /* The same list may be handed in again and again, at three bytes each time. */
    if (pairs->as.list.count > m->copies) {
        malformed(m, "OrderedDict: expected a list that is used once");
        return NULL;
    }
    m->copies -= pairs->as.list.count;
    for (size_t i = 0; i < pairs->as.list.count; i++) {
        const value *pair = pairs->as.list.items[i];
        if ((pair->kind != OCI_PICKLE_LIST && pair->kind != OCI_PICKLE_TUPLE) ||
            pair->as.list.count != 2) {
            malformed(m, "OrderedDict: expected pairs");
            return NULL;
        }
        if (!append(m, dict, pair->as.list.items[0]) ||
            !append(m, dict, pair->as.list.items[1])) return NULL;
    }
    return dict;
}

/* A tuple of integers of 0 or more into numbers[OCI_MAX_RANK]; its length,
 * -1: error set. */
static int read_sizes(machine *m, const value *v, const char *what, int64_t *numbers)
{
    if (v->kind != OCI_PICKLE_TUPLE && v->kind != OCI_PICKLE_LIST) {
        fail(m, OC_E_MALFORMED, "tensor: expected a tuple as its %s", what);
        return -1;
    }
    if (v->as.list.count > OCI_MAX_RANK) {
        fail(m, OC_E_LIMIT, "tensor: expected at most %d dimensions, found %zu",
             OCI_MAX_RANK, v->as.list.count);
        return -1;
    }
    for (size_t i = 0; i < v->as.list.count; i++) {
        const value *n = v->as.list.items[i];
        if (n->kind != OCI_PICKLE_INT || n->as.integer < 0) {
            fail(m, OC_E_MALFORMED, "tensor: expected integers of 0 or more in its %s",
                 what);
            return -1;
        }
        numbers[i] = n->as.integer;
    }
    return (int)v->as.list.count;
}

/* The last element that the strides reach lies in the storage. */
static bool fits(const oci_pickle_tensor *t)
{
    const oci_pickle_storage *s = t->storage;
    size_t count = (size_t)(s->view_key ? s->view_count : s->count),
           last = (size_t)t->offset;
    for (int i = 0; i < t->rank; i++) {
        size_t reach;
        if (t->shape[i] == 0) return true;
        if (!oci_mul((size_t)t->shape[i] - 1, (size_t)t->stride[i], &reach) ||
            !oci_add(last, reach, &last)) return false;
    }
    return last < count;
}

/* Views that torch computes when they are looked at, {"conj": …, "neg": …}: what the
 * storage holds is then not what the tensor is. */
static bool is_lazy(const value *metadata)
{
    if (metadata->kind != OCI_PICKLE_DICT) return false;
    for (size_t i = 1; i < metadata->as.list.count; i += 2) {
        const value *v = metadata->as.list.items[i];
        if (v->kind == OCI_PICKLE_BOOL && v->as.truth) return true;
    }
    return false;
}

/* torch._utils._rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad,
 * backward_hooks[, metadata]), and its older form without the last ones. */
static value *make_tensor(machine *m, value **args, size_t count)
{
    if (count < 4 || args[0]->kind != OCI_PICKLE_STORAGE ||
        args[1]->kind != OCI_PICKLE_INT || args[1]->as.integer < 0) {
        malformed(m, "tensor: expected a storage, an offset, a size and strides");
        return NULL;
    }
    if (count > 6 && is_lazy(args[6])) {
        fail(m, OC_E_UNSUPPORTED, "tensor: is a view that negates or conjugates (save it "
             "after resolve_neg() or resolve_conj())");
        return NULL;
    }
    oci_pickle_tensor *t = take(m, sizeof *t);
    if (!t) return NULL;
    *t = (oci_pickle_tensor){ .storage = args[0]->as.storage,
                              .offset = args[1]->as.integer };
    int strides = 0;
    t->rank = read_sizes(m, args[2], "size", t->shape);
    if (t->rank >= 0) strides = read_sizes(m, args[3], "stride", t->stride);
    if (t->rank < 0 || strides < 0) return NULL;
    if (t->rank != strides) {
        fail(m, OC_E_MALFORMED,
             "tensor: expected as many strides as sizes, found %d and %d", strides,
             t->rank);
        return NULL;
    }
    if (!fits(t)) {
        oci_quoted key;
        fail(m, OC_E_MALFORMED, "tensor: expected it to lie within storage %s of %" PRId64
             " elements, found it reaching beyond", oci_quote(&key, t->storage->key),
             t->storage->count);
        return NULL;
    }
    value *v = make(m, OCI_PICKLE_TENSOR);
    if (v) v->as.tensor = t;
    return v;
}

/* torch._utils._rebuild_parameter(tensor, requires_grad, hooks); torch.Size(tuple). */
static value *first_argument(machine *m, value **args, size_t count)
{
    if (count) return args[0];
    malformed(m, "expected an argument, found none");
    return NULL;
}

/* torch.device("cpu"): nothing that we need to know. */
static value *make_none(machine *m, value **args, size_t count)
{
    (void)args;
    (void)count;
    return make(m, OCI_PICKLE_NONE);
}

/* _codecs.encode(text, "latin1") is how Python 3 writes bytes for Python 2; nothing that
 * we take from a state dict is made of bytes, so the text stays what it is. */
static const struct global {
    const char *module, *name;
    maker *make;                    /* NULL: not to be called */
    oc_dtype dtype;                 /* of storages; else OC_DTYPE_COUNT */
} globals[] = {
    { "collections", "OrderedDict", make_dict, OC_DTYPE_COUNT },
    { "torch._utils", "_rebuild_tensor_v2", make_tensor, OC_DTYPE_COUNT },
    { "torch._utils", "_rebuild_tensor", make_tensor, OC_DTYPE_COUNT },
    { "torch._utils", "_rebuild_parameter", first_argument, OC_DTYPE_COUNT },
    { "torch", "Size", first_argument, OC_DTYPE_COUNT },
    { "torch", "device", make_none, OC_DTYPE_COUNT },
    { "_codecs", "encode", first_argument, OC_DTYPE_COUNT },
    { "torch", "FloatStorage", NULL, OC_F32 }, { "torch", "DoubleStorage", NULL, OC_F64 },
    { "torch", "HalfStorage", NULL, OC_F16 },
    { "torch", "BFloat16Storage", NULL, OC_BF16 },
    { "torch", "LongStorage", NULL, OC_I64 }, { "torch", "IntStorage", NULL, OC_I32 },
    { "torch", "ShortStorage", NULL, OC_I16 }, { "torch", "CharStorage", NULL, OC_I8 },
    { "torch", "ByteStorage", NULL, OC_U8 }, { "torch", "BoolStorage", NULL, OC_BOOL },
    /* Values, in what is saved beside a state dict. */
    { "torch", "float32", NULL, OC_DTYPE_COUNT },
    { "torch", "float64", NULL, OC_DTYPE_COUNT },
    { "torch", "float16", NULL, OC_DTYPE_COUNT },
    { "torch", "bfloat16", NULL, OC_DTYPE_COUNT },
    { "torch", "int64", NULL, OC_DTYPE_COUNT },
    { "torch", "int32", NULL, OC_DTYPE_COUNT },
    { "torch", "int16", NULL, OC_DTYPE_COUNT }, { "torch", "int8", NULL, OC_DTYPE_COUNT },
    { "torch", "complex64", NULL, OC_DTYPE_COUNT },
    { "torch", "complex128", NULL, OC_DTYPE_COUNT },
    { "torch", "bool", NULL, OC_DTYPE_COUNT }, { "torch", "uint8", NULL, OC_DTYPE_COUNT },
};

static bool push_global(machine *m, const char *module, const char *name)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (!strcmp(globals[i].module, module) && !strcmp(globals[i].name, name))
            return push_new(m, (value){ OCI_PICKLE_GLOBAL, .as.global = (int)i });
    oci_quoted a, b;
    return fail(m, OC_E_UNSUPPORTED,
                "expected tensors and plain data, found the Python object %s.%s, which "
                "is not read",
                oci_quote(&a, module), oci_quote(&b, name));
}

static const struct global *as_global(const value *v)
{
    return v->kind == OCI_PICKLE_GLOBAL ? &globals[v->as.global] : NULL;
}

/* ---- storages ---------------------------------------------------------------------- */

/* view_metadata of legacy files: None, or (key, offset, count). */
static bool read_view(machine *m, const value *v, oci_pickle_storage *s)
{
    if (v->kind == OCI_PICKLE_NONE) return true;
    value **items = v->as.list.items;
    if (v->kind != OCI_PICKLE_TUPLE || v->as.list.count != 3 || !plain_text(items[0]) ||
        items[1]->kind != OCI_PICKLE_INT || items[2]->kind != OCI_PICKLE_INT)
        return malformed(m, "storage: expected None or (key, offset, count) as its view");
    s->view_key = plain_text(items[0]);
    s->view_offset = items[1]->as.integer;
    s->view_count = items[2]->as.integer;
    if (s->view_offset < 0 || s->view_count < 0 || s->view_offset > s->count ||
        s->view_count > s->count - s->view_offset)
        return malformed(m, "storage: expected a view within it");
    return true;
}

/* ("storage", type, key, location, count[, view]) */
static bool persistent(machine *m, value *id)
{
    value **items = id->as.list.items;
    size_t count = id->kind == OCI_PICKLE_TUPLE ? id->as.list.count : 0;
    const char *word = count >= 5 ? plain_text(items[0]) : NULL;
    const struct global *type = word ? as_global(items[1]) : NULL;
    if (!word || strcmp(word, "storage") || !type || type->dtype == OC_DTYPE_COUNT ||
        !plain_text(items[2]) || items[4]->kind != OCI_PICKLE_INT ||
        items[4]->as.integer < 0)
        return malformed(m, "expected (\"storage\", type, key, location, count)");
    oci_pickle_storage *s = take(m, sizeof *s);
    if (!s) return false;
    *s = (oci_pickle_storage){ .dtype = type->dtype, .key = plain_text(items[2]),
                               .count = items[4]->as.integer };
    if (count > 5 && !read_view(m, items[5], s)) return false;
    oci_pickle *p = m->pickle;
    p->storages = grown(m, p->storages, p->storage_count, &p->storage_room,
                        sizeof *p->storages);
    if (!p->storages) return false;
    p->storages[p->storage_count++] = s;
    return push_new(m, (value){ OCI_PICKLE_STORAGE, .as.storage = s });
}

/* ---- opcodes ----------------------------------------------------------------------- */

static bool push_list(machine *m, oci_pickle_kind kind, value **items, size_t count)
{
    value *v = make(m, kind);
    for (size_t i = 0; v && i < count; i++)
        if (!append(m, v, items[i])) return false;
    return push(m, v);
}

static bool top_tuple(machine *m, size_t count)
{
    value *items[3];
    for (size_t i = count; i > 0; i--)
        if (!(items[i - 1] = pop(m))) return false;
    return push_list(m, OCI_PICKLE_TUPLE, items, count);
}

static bool marked(machine *m, oci_pickle_kind kind)
{
    value **items = NULL;
    size_t count = 0;
    if (!pop_mark(m, &items, &count)) return false;
    if (kind == OCI_PICKLE_DICT && count % 2) return malformed(m, "dict: expected pairs");
    return push_list(m, kind, items, count);
}

/* Adds `count` values to the collection on top of the stack. */
static bool add_to_top(machine *m, oci_pickle_kind kind, value **items, size_t count)
{
    value *to = top(m);
    if (!to) return false;
    if (to->kind != kind || (kind == OCI_PICKLE_DICT && count % 2))
        return malformed(m, kind == OCI_PICKLE_DICT ? "expected a dict, and pairs for it"
                                                    : "expected a list to append to");
    for (size_t i = 0; i < count; i++)
        if (!append(m, to, items[i])) return false;
    return true;
}

/* `items` point into the stack, where append's growth of other arrays does not reach. */
static bool add_marked(machine *m, oci_pickle_kind kind)
{
    value **items = NULL;
    size_t count = 0;
    return pop_mark(m, &items, &count) && add_to_top(m, kind, items, count);
}

static bool add_last(machine *m, oci_pickle_kind kind, size_t count)
{
    value *items[2];
    for (size_t i = count; i > 0; i--)
        if (!(items[i - 1] = pop(m))) return false;
    return add_to_top(m, kind, items, count);
}

static bool call(machine *m)
{
    value *args = pop(m), *callee = args ? pop(m) : NULL;
    const struct global *g = callee ? as_global(callee) : NULL;
    if (!callee) return false;
    if (!g || !g->make || args->kind != OCI_PICKLE_TUPLE)
        return malformed(m, "expected a function that is known and a tuple of arguments");
    return push(m, g->make(m, args->as.list.items, args->as.list.count));
}

/* State of an object: a dict's _metadata, a parameter's attributes. Neither is data. */
static bool build(machine *m)
{
    value *state = pop(m), *object = state ? top(m) : NULL;
    if (!object) return false;
    if (object->kind == OCI_PICKLE_DICT || object->kind == OCI_PICKLE_TENSOR) return true;
    return malformed(m, "expected a dict or a tensor to set the state of");
}

static bool stack_global(machine *m)
{
    value *name = pop(m), *module = name ? pop(m) : NULL;
    if (!module) return false;
    if (!plain_text(name) || !plain_text(module))
        return malformed(m, "expected two names on the stack");
    return push_global(m, plain_text(module), plain_text(name));
}

static bool line_global(machine *m)
{
    const char *module = line(m), *name = module ? line(m) : NULL;
    return name && push_global(m, module, name);
}

static bool mark(machine *m)
{
    if (m->mark_count == MAX_MARKS) return fail(m, OC_E_LIMIT, "too many open marks");
    size_t *marks = grown(m, m->marks, m->mark_count, &m->mark_room, sizeof *marks);
    if (!marks) return false;
    m->marks = marks;
    m->marks[m->mark_count++] = m->depth;
    return true;
}

static bool push_integer(machine *m, int64_t n)
{
    return push_new(m, (value){ OCI_PICKLE_INT, .as.integer = n });
}

/* LONG1: a length, then two's complement, little-endian. */
static bool long_integer(machine *m, int width)
{
    uint64_t n, bits = 0;
    if (!number(m, width, &n)) return false;
    if (n > 8) return fail(m, OC_E_UNSUPPORTED, "an integer of more than 64 bits");
    if (n && !number(m, (int)n, &bits)) return false;
    if (n && n < 8 && bits >> (8 * n - 1)) bits |= ~UINT64_C(0) << (8 * n);
    return push_integer(m, (int64_t)bits);
}

/* BINFLOAT: big-endian, alone among the opcodes. */
static bool real(machine *m)
{
    const unsigned char *p = bytes(m, 8);
    uint64_t bits = 0;
    double x;
    if (!p) return false;
    for (int i = 0; i < 8; i++) bits = bits << 8 | p[i];
    memcpy(&x, &bits, sizeof x);
    return push_new(m, (value){ OCI_PICKLE_REAL, .as.real = x });
}

static bool integer(machine *m, int width)
{
    uint64_t n;
    return number(m, width, &n) &&
           push_integer(m, width == 4 ? (int32_t)(uint32_t)n : (int64_t)n);
}

static bool indexed(machine *m, int width, bool (*use)(machine *, uint64_t))
{
    uint64_t index;
    return number(m, width, &index) && use(m, index);
}

/* PROTO and FRAME say how the rest was written; nothing depends on it. */
static bool skip(machine *m, int width)
{
    uint64_t n;
    return number(m, width, &n);
}

/* NEWOBJ, cls.__new__(cls, *args), of what we know is the call. */
static bool step(machine *m, unsigned char op)
{
    switch (op) {
    case 0x80: return skip(m, 1);                                   /* PROTO */
    case 0x95: return skip(m, 8);                                   /* FRAME */
    case '(': return mark(m);
    case '0': return pop(m) != NULL;
    case '1': return marked(m, OCI_PICKLE_TUPLE) && pop(m);         /* POP_MARK */
    case '2': return push(m, top(m));                               /* DUP */
    case 'N': return push_new(m, (value){ .kind = OCI_PICKLE_NONE });
    case 0x88: return push_new(m, (value){ OCI_PICKLE_BOOL, .as.truth = true });
    case 0x89: return push_new(m, (value){ OCI_PICKLE_BOOL, .as.truth = false });
    case 'J': return integer(m, 4);                                 /* BININT */
    case 'K': return integer(m, 1);
    case 'M': return integer(m, 2);
    case 0x8a: return long_integer(m, 1);
    case 0x8b: return long_integer(m, 4);
    case 'G': return real(m);
    case 'X': return counted_text(m, OCI_PICKLE_TEXT, 4);           /* BINUNICODE */
    case 0x8c: return counted_text(m, OCI_PICKLE_TEXT, 1);
    case 0x8d: return counted_text(m, OCI_PICKLE_TEXT, 8);
    case 'T': return counted_text(m, OCI_PICKLE_TEXT, 4);           /* Python 2's str */
    case 'U': return counted_text(m, OCI_PICKLE_TEXT, 1);
    case 'B': return counted_text(m, OCI_PICKLE_BYTES, 4);
    case 'C': return counted_text(m, OCI_PICKLE_BYTES, 1);
    case 0x8e: return counted_text(m, OCI_PICKLE_BYTES, 8);
    case ')': return push_list(m, OCI_PICKLE_TUPLE, NULL, 0);
    case ']': return push_list(m, OCI_PICKLE_LIST, NULL, 0);
    case '}': return push_list(m, OCI_PICKLE_DICT, NULL, 0);
    case 't': return marked(m, OCI_PICKLE_TUPLE);
    case 'l': return marked(m, OCI_PICKLE_LIST);
    case 'd': return marked(m, OCI_PICKLE_DICT);
    case 0x85: return top_tuple(m, 1);
    case 0x86: return top_tuple(m, 2);
    case 0x87: return top_tuple(m, 3);
    case 'a': return add_last(m, OCI_PICKLE_LIST, 1);
    case 'e': return add_marked(m, OCI_PICKLE_LIST);
    case 's': return add_last(m, OCI_PICKLE_DICT, 2);
    case 'u': return add_marked(m, OCI_PICKLE_DICT);
    case 'q': return indexed(m, 1, put);
    case 'r': return indexed(m, 4, put);
    case 0x94: return put(m, m->memo_count);                        /* MEMOIZE */
    case 'h': return indexed(m, 1, get);
    case 'j': return indexed(m, 4, get);
    case 'c': return line_global(m);
    case 0x93: return stack_global(m);
    case 'R': case 0x81: return call(m);                            /* REDUCE, NEWOBJ */
    case 'b': return build(m);
    case 'Q': { value *id = pop(m); return id && persistent(m, id); }
    default: return fail(m, OC_E_UNSUPPORTED, "pickle opcode 0x%02x is not read", op);
    }
}

bool oci_pickle_run(oc_context *cx, oci_pickle *pickle, const char *name,
                    const unsigned char *data, size_t size, size_t *used)
{
    *pickle = (oci_pickle){ 0 };
    machine m = { .cx = cx, .pickle = pickle, .name = name, .at = data, .begin = data,
                  .end = data + size, .copies = size };
    if (oci_failed(cx)) return false;
    while (!oci_failed(cx)) {
        const unsigned char *op = bytes(&m, 1);
        if (!op) break;
        if (*op != '.') {
            step(&m, *op);
        } else if (m.mark_count || m.depth != 1) {
            malformed(&m, "expected one value at the end, found more or none");
        } else {
            pickle->root = m.stack[0];
            break;
        }
    }
    if (used) *used = (size_t)(m.at - m.begin);
    return !oci_failed(cx);
}

void oci_pickle_deinit(oci_pickle *pickle)
{
    oci_arena_deinit(&pickle->arena);
    *pickle = (oci_pickle){ 0 };
}

const oci_pickle_value *oci_pickle_get(const oci_pickle_value *dict, const char *key)
{
    if (!dict || dict->kind != OCI_PICKLE_DICT) return NULL;
    const value *found = NULL;      /* the last one wins, as in Python */
    for (size_t i = 0; i + 1 < dict->as.list.count; i += 2) {
        const char *name = plain_text(dict->as.list.items[i]);
        if (name && !strcmp(name, key)) found = dict->as.list.items[i + 1];
    }
    return found;
}
