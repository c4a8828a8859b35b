// Mutations of conversations.  A fuzzer that flips bits needs very long to find two requests that belong together.  So
// conversations are taken apart into packets, which are doubled, dropped, swapped and inserted, and mutated as messages
// (mutate_message.c).  A new packet is about the regions of the packets before it.  Of eight mutations one is
// libFuzzer's own.
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/mutation.h"

enum {
    PACKETS_MAX = 256,
    NEW_MAX = 16, // new packets in one mutation
};

struct conversation {
    size_t n;
    struct fuzz_packet packets[PACKETS_MAX];
};

static void split_packets(const uint8_t *data, size_t n, struct conversation *c)
{
    while (c->n < PACKETS_MAX && fuzz_next_packet(&data, &n, &c->packets[c->n]))
        c->n++;
}

static size_t join_packets(const struct conversation *c, uint8_t *ret, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        const struct fuzz_packet *p = &c->packets[i];

        if (max - n < FUZZ_PACKET_HEADER + p->n)
            break;
        ret[n++] = p->flags;
        ret[n++] = (uint8_t)p->n;
        ret[n++] = (uint8_t)(p->n >> 8);
        if (p->n > 0)
            memcpy(ret + n, p->bytes, p->n);
        n += p->n;
    }
    return n;
}

static void insert(struct conversation *c, size_t at, const struct fuzz_packet *p)
{
    if (c->n == PACKETS_MAX)
        return;
    memmove(&c->packets[at + 1], &c->packets[at], (c->n - at) * sizeof *p);
    c->packets[at] = *p;
    c->n++;
}

static void drop(struct conversation *c, size_t at)
{
    c->n--;
    memmove(&c->packets[at], &c->packets[at + 1], (c->n - at) * sizeof *c->packets);
}

// Of the flags of a target the first two come often, and the next two now and then.
static uint8_t new_flags(struct mutation *m)
{
    return (uint8_t)(mutation_random(m, 4) | (mutation_random(m, 4) == 0 ? 4 * mutation_random(m, 4) : 0));
}

// A packet for the place AT that takes its bytes from SPACE: the packet OLD mutated, or a new one.
static struct fuzz_packet make_packet(struct mutation *m, const struct conversation *c, size_t at,
                                      const struct fuzz_packet *old, struct buffer *space)
{
    m->index = at;
    m->n_handles = 0;
    for (size_t i = 0; i < at; i++)
        mutation_note_handles(m, c->packets[i].bytes, c->packets[i].n);
    if (old)
        mutation_change(m, old->bytes, old->n, space);
    else
        mutation_new(m, space);
    return (struct fuzz_packet){.bytes = space->bytes, .n = space->n, .flags = old ? old->flags : new_flags(m)};
}

static void mutate_packets(struct mutation *m, struct conversation *c, struct buffer *space)
{
    size_t at = c->n ? mutation_random(m, c->n) : 0, other = c->n ? mutation_random(m, c->n) : 0;
    struct fuzz_packet p = c->n ? c->packets[at] : (struct fuzz_packet){0};

    switch (c->n ? mutation_random(m, 12) : 0) {
    case 0:
    case 1:
    case 2:
        at = mutation_random(m, 2) ? c->n : mutation_random(m, c->n + 1);
        p = make_packet(m, c, at, NULL, space);
        insert(c, at, &p);
        break;
    case 3:
        insert(c, other, &p);
        break;
    case 4:
        drop(c, at);
        break;
    case 5:
        c->packets[at] = c->packets[other];
        c->packets[other] = p;
        break;
    case 6:
        c->packets[at].flags ^= (uint8_t)(1 << mutation_random(m, 4));
        break;
    default:
        c->packets[at] = make_packet(m, c, at, &p, space);
    }
}

size_t mutate_conversation(const ProtobufCMessageDescriptor *type, uint8_t *data, size_t n, size_t max, unsigned seed)
{
    static struct buffer spaces[NEW_MAX];
    static struct conversation c;
    struct mutation m;
    uint8_t *old;
    size_t n_ways;

    mutation_begin(&m, type, seed);
    if (mutation_random(&m, 8) == 0)
        return LLVMFuzzerMutate(data, n, max);
    old = malloc(n + 1);
    FUZZ_ASSERT(old);
    memcpy(old, data, n);
    c.n = 0;
    split_packets(old, n, &c);
    n_ways = 1 + mutation_random(&m, mutation_random(&m, 4) ? 3 : NEW_MAX);
    for (size_t i = 0; i < n_ways; i++)
        mutate_packets(&m, &c, &spaces[i]);
    n = join_packets(&c, data, max);
    free(old);
    return n;
}

size_t mutate_cross(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b, uint8_t *ret, size_t max, unsigned seed)
{
    static struct conversation from[2], c;
    size_t at[2] = {0, 0};
    unsigned turn = 0;
    struct mutation m;

    mutation_begin(&m, NULL, seed);
    from[0].n = from[1].n = c.n = 0;
    split_packets(a, n_a, &from[0]);
    split_packets(b, n_b, &from[1]);
    while (c.n < PACKETS_MAX && at[turn] < from[turn].n) {
        c.packets[c.n++] = from[turn].packets[at[turn]++];
        // Mostly a run of packets of one of them, and often some of the other are passed over.
        if (mutation_random(&m, 4) == 0) {
            turn = !turn;
            at[turn] += mutation_random(&m, 3);
        }
    }
    return join_packets(&c, ret, max);
}
