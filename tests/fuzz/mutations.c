// The mutator of conversations: its packets mean something, and fit.
#include "proto/diskalloc.pb-c.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/lib/harness.h"

enum { ROUNDS = 3000, MAX = 4096 };
#define N_BODIES 32

static const ProtobufCMessageDescriptor *const type = &diskalloc__v1__request__descriptor;

// In the place of libFuzzer's.
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max)
{
    if (n < max)
        data[n++] = 0x55;
    return n;
}

struct counts {
    unsigned packets, well_formed, stats, stats_after;
    unsigned bodies[N_BODIES];
};

static size_t begin(uint8_t *ret, uint64_t id, const uint8_t handle[static 16])
{
    Diskalloc__V1__Request q = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__CreateRegion create = DISKALLOC__V1__CREATE_REGION__INIT;
    size_t n;

    q.id = id;
    q.body_case = DISKALLOC__V1__REQUEST__BODY_CREATE_REGION;
    q.create_region = &create;
    create.handle = (ProtobufCBinaryData){.len = 16, .data = (uint8_t *)handle};
    n = diskalloc__v1__request__pack(&q, ret + FUZZ_PACKET_HEADER);
    ret[0] = 0;
    ret[1] = (uint8_t)n;
    ret[2] = (uint8_t)(n >> 8);
    return n + FUZZ_PACKET_HEADER;
}

static void count(const uint8_t *data, size_t n, struct counts *ret)
{
    const uint8_t *first = data;
    struct fuzz_packet p;

    while (fuzz_next_packet(&data, &n, &p)) {
        Diskalloc__V1__Request *q = diskalloc__v1__request__unpack(NULL, p.n, p.bytes);

        ret->packets++;
        if (!q)
            continue;
        ret->well_formed++;
        assert_true(q->body_case < N_BODIES);
        ret->bodies[q->body_case]++;
        if (q->body_case == DISKALLOC__V1__REQUEST__BODY_STAT_REGION) {
            const ProtobufCBinaryData *h = &q->stat_region->handle;

            ret->stats++;
            ret->stats_after += h->len == 16 && memmem(first, (size_t)(p.bytes - first), h->data, h->len);
        }
        diskalloc__v1__request__free_unpacked(q, NULL);
    }
}

static void every_request_comes_up_and_many_are_about_a_region_of_earlier_packets(void **state)
{
    static const uint8_t handle[16] = "sixteen bytes..";
    struct counts c = {0};

    (void)state;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        uint8_t data[MAX];
        size_t n = begin(data, 1, handle);

        for (unsigned i = 0; i < 4; i++)
            n = mutate_conversation(type, data, n, sizeof data, 10 * seed + i);
        count(data, n, &c);
    }
    assert_true(c.packets > 2 * ROUNDS);
    assert_true(c.well_formed > c.packets / 10 * 8);
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF && !c.bodies[type->fields[i].id])
            fail_msg("no %s in %u packets", type->fields[i].name, c.packets);
    assert_true(c.stats_after > c.stats / 5 * 2);
}

static void whatever_it_gets_it_writes_no_more_than_there_is_room_for(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        size_t max = 1 + seed % 300, n = seed % (max + 1);
        uint8_t *exact = malloc(max); // a sanitizer sees what lies beyond it
        uint8_t *other = malloc(max);

        assert_true(exact && other);
        for (size_t i = 0; i < max; i++)
            exact[i] = other[i] = (uint8_t)(i * seed >> 3);
        for (unsigned i = 0; i < 8; i++) {
            n = seed & 1 ? mutate_conversation(type, exact, n, max, seed + i)
                         : mutate_message(type, exact, n, max, seed + i);
            assert_true(n <= max);
        }
        assert_true(mutate_cross(exact, n, other, max, other, 0, seed) == 0);
        assert_true(mutate_cross(exact, n, exact, n, other, max, seed) <= max);
        free(exact);
        free(other);
    }
}

static void a_crossing_has_packets_of_both_in_order(void **state)
{
    static const uint8_t handle[16] = "sixteen bytes..";
    uint8_t a[MAX], b[MAX], both[MAX];
    size_t n_a = 0, n_b = 0;
    unsigned n_crossed = 0;

    (void)state;
    for (uint64_t id = 1; id <= 20; id++) {
        n_a += begin(a + n_a, id, handle);
        n_b += begin(b + n_b, 100 + id, handle);
    }
    for (unsigned seed = 0; seed < 100; seed++) {
        size_t n = mutate_cross(a, n_a, b, n_b, both, sizeof both, seed);
        uint64_t last_a = 0, last_b = 100;
        const uint8_t *at = both;
        struct fuzz_packet p;

        while (fuzz_next_packet(&at, &n, &p)) {
            Diskalloc__V1__Request *q = diskalloc__v1__request__unpack(NULL, p.n, p.bytes);
            uint64_t *last;

            assert_non_null(q);
            last = q->id > 100 ? &last_b : &last_a;
            assert_true(q->id > *last);
            *last = q->id;
            diskalloc__v1__request__free_unpacked(q, NULL);
        }
        n_crossed += last_a > 0 && last_b > 100;
    }
    assert_true(n_crossed > 90);
}

static void the_same_seed_makes_the_same(void **state)
{
    static const uint8_t handle[16] = "sixteen bytes..";
    uint8_t data[2][MAX];
    size_t n[2];

    (void)state;
    for (unsigned seed = 0; seed < 100; seed++) {
        for (int i = 0; i < 2; i++) {
            n[i] = begin(data[i], 1, handle);
            n[i] = mutate_conversation(type, data[i], n[i], MAX, seed);
        }
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(data[0], data[1], n[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_request_comes_up_and_many_are_about_a_region_of_earlier_packets),
        TEST(whatever_it_gets_it_writes_no_more_than_there_is_room_for),
        TEST(a_crossing_has_packets_of_both_in_order),
        TEST(the_same_seed_makes_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
