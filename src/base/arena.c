#include "base/arena.h"

#include "base/context.h"
#include "base/size.h"

enum { ALIGN = 64, FIRST_BLOCK = 1 << 20, LARGE_BLOCK = 1 << 24 };

struct oci_arena_block {
    oci_arena_block *next;
    size_t room, used;
    unsigned char *data;        /* `room` bytes, after this head in the same allocation */
};

/* A block after `last` with at least `size` bytes, twice as large as the one
 * before. Beyond LARGE_BLOCK a block is as large as what it is made for: twice
 * that is memory for nothing. */
static oci_arena_block *add_block(oc_context *cx, oci_arena *arena, oci_arena_block *last,
                                  size_t size)
{
    size_t room = FIRST_BLOCK, whole;
    if (last && !oci_mul(last->room, 2, &room)) room = last->room;
    if (room > LARGE_BLOCK) room = LARGE_BLOCK;
    if (room < size) room = size;
    if (!oci_add(room, ALIGN, &whole)) {
        oci_fail(cx, OC_E_MEMORY, "an arena block of %zu bytes", room);
        return NULL;
    }
    oci_arena_block *block = oci_alloc(cx, whole);
    if (!block) return NULL;
    *block = (oci_arena_block){ .room = room, .data = (unsigned char *)block + ALIGN };
    if (last) {
        block->next = last->next;
        last->next = block;
    } else {
        arena->first = block;
    }
    return block;
}

_Static_assert(sizeof(oci_arena_block) <= ALIGN, "the head must fit before the data");

void *oci_arena_alloc(oc_context *cx, oci_arena *arena, size_t size)
{
    if (oci_failed(cx)) return NULL;
    if (!oci_add(size, ALIGN - 1, &size)) {
        oci_fail(cx, OC_E_MEMORY, "an activation of %zu bytes", size);
        return NULL;
    }
    size = size / ALIGN * ALIGN;
    oci_arena_block *block = arena->current, *last = NULL;
    while (block && block->room - block->used < size) {
        last = block;
        block = block->next;
        if (block) block->used = 0;
    }
    if (!block) block = add_block(cx, arena, last, size);
    if (!block) return NULL;
    arena->current = block;
    void *p = block->data + block->used;
    block->used += size;
    return p;
}

oci_arena_mark oci_arena_get_mark(const oci_arena *arena)
{
    return (oci_arena_mark){ arena->current, arena->current ? arena->current->used : 0 };
}

void oci_arena_reset(oci_arena *arena, oci_arena_mark mark)
{
    arena->current = mark.block ? mark.block : arena->first;
    if (arena->current) arena->current->used = mark.used;
}

void oci_arena_deinit(oci_arena *arena)
{
    oci_arena_block *block = arena->first;
    while (block) {
        oci_arena_block *next = block->next;
        oci_free(block);
        block = next;
    }
    *arena = (oci_arena){ 0 };
}
