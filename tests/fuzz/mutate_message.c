// Mutations of one message: its fields, as its protobuf-c descriptor names them, are set, dropped, doubled and moved,
// in messages inside messages too.  The work is done on the encoding and not on unpacked messages: so there may also be
// fields twice and two bodies in one request, and what was malformed before stays so.
//
// New values are such as the daemon could accept: names and keys from a table by the name of the field, numbers at the
// edges of something, and handles that an earlier packet of the conversation has.
#include <stdbool.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/mutation.h"

enum {
    FIELDS_MAX = 64,
    HANDLE_SIZE = 16,
    DEPTH_MAX = 4, // messages inside messages
    VARINT_MAX = 10,
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_32 = 5,
};

typedef ProtobufCMessageDescriptor message_type;
typedef ProtobufCFieldDescriptor field_type;

// A field of an encoded message.
struct field {
    uint32_t number;
    unsigned wire;
    const uint8_t *bytes, *value; // with its key; and without key and length
    size_t n, n_value;
    uint64_t varint;
};

// Values of fields of bytes that are right in some request.
static const struct {
    const char *field, *values[8];
} texts[] = {
    {"name", {"name", "other", "a.b-c"}},
    {"user", {"root", "+4242", "+0", ""}},
    {"subject", {"total", "default", "unlisted", "user:root", "user:+4242", "group:root", "cgroup:/", "members:root"}},
    {"key", {"bytes", "regions", "connections", "region_bytes", "warn_at", "soft_bytes", "grace"}},
    {"keys", {"bytes", "regions", "connections", "region_bytes", "warn_at", "soft_bytes", "grace"}},
    {"text", {"1M", "16M", "80%", "unlimited", "0", "18446744073709551615", "1s"}},
    {"disk", {"0", "1", "2"}},
    {"cursor", {"*", "*", "*"}},
    {"next_cursor", {"next"}},
    {"limit_name", {"user:root bytes", "disk keep_free", "total regions"}},
};

uint64_t mutation_random(struct mutation *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 11) % below;
}

void mutation_begin(struct mutation *m, const message_type *type, unsigned seed)
{
    *m = (struct mutation){.type = type, .random = ((uint64_t)seed + 1) * 0x9e3779b97f4a7c15};
}

// Bytes that do not fit are left out: the message is malformed then, which does no harm.
static void put(struct buffer *b, const void *bytes, size_t n)
{
    n = n < sizeof b->bytes - b->n ? n : sizeof b->bytes - b->n;
    if (n > 0)
        memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static void put_varint(struct buffer *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    put(b, bytes, n);
}

static void put_bytes(struct buffer *b, uint32_t number, const void *bytes, size_t n)
{
    put_varint(b, (uint64_t)number << 3 | WIRE_BYTES);
    put_varint(b, n);
    put(b, bytes, n);
}

static uint64_t new_number(struct mutation *m)
{
    static const uint64_t edges[] = {0, 1, 65536, 15 << 20, 16 << 20, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint64_t v;

    switch (mutation_random(m, 4)) {
    case 0:
        v = mutation_random(m, 32);
        break;
    case 1:
        v = mutation_random(m, 512) * 4096;
        break;
    case 2:
        v = edges[mutation_random(m, sizeof edges / sizeof *edges)];
        break;
    default:
        v = (uint64_t)1 << mutation_random(m, 64);
    }
    return mutation_random(m, 4) ? v : v + mutation_random(m, 3) - 1;
}

static uint64_t new_scalar(struct mutation *m, const field_type *f)
{
    if (f->type == PROTOBUF_C_TYPE_BOOL)
        return mutation_random(m, 2);
    if (f->type == PROTOBUF_C_TYPE_ENUM) {
        const ProtobufCEnumDescriptor *e = f->descriptor;

        return (uint64_t)e->values[mutation_random(m, e->n_values)].value;
    }
    // Nobody else on this conversation has the id of its place.
    if (strcmp(f->name, "id") == 0)
        return m->index + 2;
    if (strcmp(f->name, "target") == 0)
        return mutation_random(m, m->index + 3);
    if (strncmp(f->name, "version_", strlen("version_")) == 0)
        return 1;
    return new_number(m);
}

static void put_new_bytes(struct mutation *m, const field_type *f, struct buffer *b)
{
    uint8_t bytes[HANDLE_SIZE];

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(f->name, texts[i].field) == 0) {
            const char *text = texts[i].values[mutation_random(m, sizeof texts[i].values / sizeof *texts[i].values)];

            put_bytes(b, f->id, text, text ? strlen(text) : 0);
            return;
        }
    if (m->n_handles > 0 && mutation_random(m, 8) > 0) {
        put_bytes(b, f->id, m->handles[mutation_random(m, m->n_handles < HANDLES_MAX ? m->n_handles : HANDLES_MAX)],
                  HANDLE_SIZE);
        return;
    }
    // Out of few: so packets that change places are still about the same region.
    memset(bytes, (int)mutation_random(m, 4), sizeof bytes);
    put_bytes(b, f->id, bytes, mutation_random(m, 16) ? sizeof bytes : mutation_random(m, sizeof bytes));
}

static void put_new_fields(struct mutation *m, const message_type *type, unsigned depth, struct buffer *b);

static void put_new_field(struct mutation *m, const field_type *f, unsigned depth, struct buffer *b)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        struct buffer inner = {0};

        if (depth < DEPTH_MAX)
            put_new_fields(m, f->descriptor, depth + 1, &inner);
        put_bytes(b, f->id, inner.bytes, inner.n);
    } else if (f->type == PROTOBUF_C_TYPE_BYTES || f->type == PROTOBUF_C_TYPE_STRING) {
        put_new_bytes(m, f, b);
    } else {
        put_varint(b, (uint64_t)f->id << 3 | WIRE_VARINT);
        put_varint(b, new_scalar(m, f));
    }
}

// A message of which most fields are set, and one of each `oneof`.
static void put_new_fields(struct mutation *m, const message_type *type, unsigned depth, struct buffer *b)
{
    unsigned n_bodies = 0, body;

    for (unsigned i = 0; i < type->n_fields; i++)
        n_bodies += (type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    body = n_bodies ? (unsigned)mutation_random(m, n_bodies) : 0;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const field_type *f = &type->fields[i];

        // Nearly nothing can be done without a handle.
        unsigned one_in = strcmp(f->name, "handle") == 0 ? 16 : 4;

        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? body-- == 0 : mutation_random(m, one_in) > 0)
            put_new_field(m, f, depth, b);
    }
}

static bool next_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;

        *ret |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool next_field(const uint8_t **at, const uint8_t *end, struct field *ret)
{
    uint64_t key, length = 0;

    ret->bytes = *at;
    if (!next_varint(at, end, &key))
        return false;
    ret->number = (uint32_t)(key >> 3);
    ret->wire = key & 7;
    ret->value = *at;
    if (ret->wire == WIRE_VARINT ? !next_varint(at, end, &ret->varint)
                                 : ret->wire == WIRE_BYTES && !next_varint(at, end, &length))
        return false;
    if (ret->wire == WIRE_BYTES)
        ret->value = *at;
    else if (ret->wire == WIRE_64 || ret->wire == WIRE_32)
        length = ret->wire == WIRE_64 ? 8 : 4;
    else if (ret->wire != WIRE_VARINT)
        return false;
    if (length > (uint64_t)(end - *at))
        return false;
    *at += length;
    ret->n = (size_t)(*at - ret->bytes);
    ret->n_value = (size_t)(*at - ret->value);
    return true;
}

// The fields that can be told apart; *RET_REST is what follows them.
static size_t split_fields(const uint8_t *bytes, size_t n, struct field *ret, const uint8_t **ret_rest)
{
    const uint8_t *at = bytes;
    size_t n_fields = 0;

    *ret_rest = bytes;
    while (n_fields < FIELDS_MAX && next_field(&at, bytes + n, &ret[n_fields])) {
        n_fields++;
        *ret_rest = at;
    }
    return n_fields;
}

static void find_handles(struct mutation *m, const message_type *type, const uint8_t *bytes, size_t n, unsigned depth)
{
    const uint8_t *at = bytes;
    struct field field;

    while (n > 0 && next_field(&at, bytes + n, &field)) {
        const field_type *f = protobuf_c_message_descriptor_get_field(type, field.number);

        if (!f || field.wire != WIRE_BYTES)
            continue;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth < DEPTH_MAX)
            find_handles(m, f->descriptor, field.value, field.n_value, depth + 1);
        else if (strcmp(f->name, "handle") == 0 && field.n_value == HANDLE_SIZE)
            m->handles[m->n_handles++ % HANDLES_MAX] = field.value;
    }
}

static void mutate_fields(struct mutation *m, const message_type *type, const uint8_t *bytes, size_t n, unsigned depth,
                          struct buffer *ret);

// FIELD is of the type F, or not known.
static void mutate_value(struct mutation *m, const struct field *field, const field_type *f, unsigned depth,
                         struct buffer *ret)
{
    struct buffer inner = {0};

    if (f && f->type == PROTOBUF_C_TYPE_MESSAGE && field->wire == WIRE_BYTES && depth < DEPTH_MAX) {
        mutate_fields(m, f->descriptor, field->value, field->n_value, depth + 1, &inner);
        put_bytes(ret, field->number, inner.bytes, inner.n);
    } else if (field->wire == WIRE_BYTES && (!f || mutation_random(m, 4) == 0)) {
        put(&inner, field->value, field->n_value);
        inner.n = LLVMFuzzerMutate(inner.bytes, inner.n, inner.n + HANDLE_SIZE);
        put_bytes(ret, field->number, inner.bytes, inner.n);
    } else if (field->wire == WIRE_VARINT && (!f || mutation_random(m, 2) == 0)) {
        put_varint(ret, (uint64_t)field->number << 3 | WIRE_VARINT);
        put_varint(ret, field->varint + mutation_random(m, 3) * 4096 - 4096 + mutation_random(m, 3) - 1);
    } else if (f) {
        put_new_field(m, f, depth, ret);
    }
}

// Changes one thing in the message of N bytes.
static void mutate_fields(struct mutation *m, const message_type *type, const uint8_t *bytes, size_t n, unsigned depth,
                          struct buffer *ret)
{
    struct field fields[FIELDS_MAX];
    const uint8_t *rest;
    size_t n_fields = split_fields(bytes, n < MESSAGE_MAX / 2 ? n : MESSAGE_MAX / 2, fields, &rest);
    size_t chosen = n_fields ? mutation_random(m, n_fields) : 0;
    // Of eight ways, those from 4 on are to mutate the field that was chosen.
    uint64_t way = n_fields ? mutation_random(m, 8) : 0;

    for (size_t i = 0; i < n_fields; i++) {
        const struct field *f = &fields[i];

        if (i != chosen || way == 0)
            put(ret, f->bytes, f->n);
        else if (way == 1) // double it
            for (int twice = 0; twice < 2; twice++)
                put(ret, f->bytes, f->n);
        else if (way == 2) // let it be the last
            continue;
        else if (way >= 4) // and 3 drops it
            mutate_value(m, f, protobuf_c_message_descriptor_get_field(type, f->number), depth, ret);
    }
    if (way == 0 && type->n_fields > 0)
        put_new_field(m, &type->fields[mutation_random(m, type->n_fields)], depth, ret);
    if (way == 2)
        put(ret, fields[chosen].bytes, fields[chosen].n);
    if (n > 0)
        put(ret, rest, (size_t)(bytes + n - rest));
}

void mutation_note_handles(struct mutation *m, const uint8_t *bytes, size_t n)
{
    find_handles(m, m->type, bytes, n, 0);
}

void mutation_new(struct mutation *m, struct buffer *ret)
{
    ret->n = 0;
    put_new_fields(m, m->type, 0, ret);
}

void mutation_change(struct mutation *m, const uint8_t *bytes, size_t n, struct buffer *ret)
{
    ret->n = 0;
    mutate_fields(m, m->type, bytes, n, 0, ret);
}

size_t mutate_message(const message_type *type, uint8_t *data, size_t n, size_t max, unsigned seed)
{
    struct mutation m;
    struct buffer b;

    mutation_begin(&m, type, seed);
    if (mutation_random(&m, 8) == 0)
        return LLVMFuzzerMutate(data, n, max);
    if (mutation_random(&m, 8) == 0)
        mutation_new(&m, &b);
    else
        mutation_change(&m, data, n, &b);
    n = b.n < max ? b.n : max;
    memcpy(data, b.bytes, n);
    return n;
}
