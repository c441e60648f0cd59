#include "text/vocab.h"

#include <string.h>

#include "base/context.h"
#include "base/size.h"

/* A power of two of slots that stays at least half free with `count` entries. */
static bool slot_count(size_t count, size_t *slots)
{
    *slots = 16;
    while (*slots / 2 < count) {
        if (!oci_mul(*slots, 2, slots)) return false;
    }
    return true;
}

/* Eight bytes a step, mixed by multiplication; the seed keeps collisions
 * unpredictable. */
static uint64_t hash_text(uint64_t seed, const char *text, size_t size)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = seed ^ (size * odd), block;
    while (size >= 8) {
        memcpy(&block, text, 8);
        h = (h ^ block) * odd;
        h ^= h >> 29;
        text += 8;
        size -= 8;
    }
    block = 0;
    if (size) memcpy(&block, text, size);
    h = (h ^ block) * odd;
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

/* The seed is where the table lies, which whoever wrote the file cannot know. */
static uint64_t hash_in(const oci_vocab *v, const char *text, size_t size)
{
    return hash_text((uint64_t)(uintptr_t)v->slots, text, size);
}

static bool is_word(const oci_vocab *v, int64_t id, const char *text, size_t size)
{
    const oci_word *word = &v->words[id];
    return word->size == size && !memcmp(v->bytes + word->at, text, size);
}

/* False if the string is there already. */
static bool insert_slot(oci_vocab *v, int64_t id)
{
    const oci_word *word = &v->words[id];
    const char *text = v->bytes + word->at;
    size_t i = (size_t)hash_in(v, text, word->size) & v->slots_mask;
    for (; v->slots[i]; i = (i + 1) & v->slots_mask)
        if (is_word(v, (int64_t)v->slots[i] - 1, text, word->size)) return false;
    v->slots[i] = (uint32_t)id + 1;
    return true;
}

/* A table for `count` strings, with what is there put in again. */
static bool make_slots(oc_context *cx, oci_vocab *v, size_t count)
{
    size_t slots;
    if (!slot_count(count, &slots)) {
        oci_fail(cx, OC_E_MEMORY, "a table for %zu tokens", count);
        return false;
    }
    uint32_t *fresh = oci_calloc(cx, slots, sizeof *fresh);
    if (!fresh) return false;
    uint32_t *old = v->slots;
    size_t old_mask = v->slots_mask;
    v->slots = fresh;
    v->slots_mask = slots - 1;
    /* Not all words: of a string with two ids the old slots know which one counts. */
    for (size_t i = 0; old && i <= old_mask; i++)
        if (old[i]) insert_slot(v, (int64_t)old[i] - 1);
    oci_free(old);
    return true;
}

/* Zeros behind: an id whose `at` is 0 is a hole. */
static bool reserve_words(oc_context *cx, oci_vocab *v, int64_t bound)
{
    if (bound <= v->words_room) return true;
    int64_t room = oci_max(bound, v->words_room + v->words_room / 2);
    oci_word *words = oci_realloc(cx, v->words, (size_t)room * sizeof *words);
    if (!words) return false;
    memset(words + v->words_room, 0, (size_t)(room - v->words_room) * sizeof *words);
    v->words = words;
    v->words_room = room;
    return true;
}

static bool reserve_bytes(oc_context *cx, oci_vocab *v, size_t more)
{
    size_t need;
    if (!oci_add(v->bytes_used, more, &need) || need > UINT32_MAX) {
        oci_fail(cx, OC_E_LIMIT, "a vocabulary of over 4 GiB");
        return false;
    }
    if (need <= v->bytes_room) return true;
    size_t room = need + need / 2;
    char *bytes = oci_realloc(cx, v->bytes, room);
    if (!bytes) return false;
    v->bytes = bytes;
    v->bytes_room = room;
    return true;
}

bool oci_vocab_init(oc_context *cx, oci_vocab *v, int64_t count, int64_t bound,
                    size_t bytes)
{
    *v = (oci_vocab){ 0 };
    size_t room = bytes + (size_t)count + 1;
    if (!reserve_bytes(cx, v, room) || !reserve_words(cx, v, oci_max(bound, 16)) ||
        !make_slots(cx, v, (size_t)count)) {
        oci_vocab_deinit(v);
        return false;
    }
    v->bytes_used = 1;                  /* so that no string is at 0 */
    return true;
}

void oci_vocab_deinit(oci_vocab *v)
{
    oci_free(v->bytes);
    oci_free(v->words);
    oci_free(v->slots);
    *v = (oci_vocab){ 0 };
}

bool oci_vocab_add(oc_context *cx, oci_vocab *v, const char *text, size_t size,
                   int64_t id)
{
    if (!reserve_bytes(cx, v, size + 1) || !reserve_words(cx, v, id + 1)) return false;
    if ((size_t)v->count >= (v->slots_mask + 1) / 2 &&
        !make_slots(cx, v, (size_t)v->count * 2))
        return false;
    v->words[id] = (oci_word){ (uint32_t)v->bytes_used, (uint32_t)size };
    memcpy(v->bytes + v->bytes_used, text, size);
    v->bytes[v->bytes_used + size] = '\0';
    v->bytes_used += size + 1;
    v->bound = oci_max(v->bound, id + 1);
    v->count++;
    v->repeats += !insert_slot(v, id);
    return true;
}

int64_t oci_vocab_find(const oci_vocab *v, const char *text, size_t size)
{
    if (!v->slots) return OCI_NO_ID;
    size_t i = (size_t)hash_in(v, text, size) & v->slots_mask;
    for (; v->slots[i]; i = (i + 1) & v->slots_mask)
        if (is_word(v, (int64_t)v->slots[i] - 1, text, size))
            return (int64_t)v->slots[i] - 1;
    return OCI_NO_ID;
}

const char *oci_vocab_get(const oci_vocab *v, int64_t id, size_t *size)
{
    if (id < 0 || id >= v->bound || !v->words[id].at) return NULL;
    if (size) *size = v->words[id].size;
    return v->bytes + v->words[id].at;
}

/* ---- pairs ------------------------------------------------------------------------- */

bool oci_pairs_init(oc_context *cx, oci_pairs *pairs, size_t count)
{
    *pairs = (oci_pairs){ 0 };
    size_t slots, bytes;
    if (!slot_count(count, &slots) || !oci_mul(slots, sizeof *pairs->slots, &bytes)) {
        oci_fail(cx, OC_E_MEMORY, "a table for %zu pairs", count);
        return false;
    }
    pairs->slots = oci_alloc(cx, bytes);
    if (!pairs->slots) return false;
    /* A free slot is the key UINT64_MAX: ids stay below limits.vocab_size, so no pair has
     * it. */
    memset(pairs->slots, 0xff, bytes);
    pairs->mask = slots - 1;
    return true;
}

void oci_pairs_deinit(oci_pairs *pairs)
{
    oci_free(pairs->slots);
    *pairs = (oci_pairs){ 0 };
}

/* A pair that comes twice has the later rank, as in the reference's map. */
void oci_pairs_set(oci_pairs *pairs, uint64_t key, uint32_t rank, uint32_t id)
{
    size_t i = oci_pairs_hash(pairs, key) & pairs->mask;
    while (pairs->slots[i].key != UINT64_MAX && pairs->slots[i].key != key)
        i = (i + 1) & pairs->mask;
    pairs->count += pairs->slots[i].key == UINT64_MAX;
    pairs->slots[i] = (oci_pair){ key, rank, id };
}
