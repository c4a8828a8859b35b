// Memory of the replies before a request, for later requests.  An input cannot know which number an ask has,
// which cursor a page ends with, or where this process has its spill directories.  It says so, and gets that:
//
//   AgreeShrink.ask 0                  the last ask that this connection was told of
//   cursor "*"                         the last next_cursor
//   MoveRegion.disk "0", "1"           the first or second spill directory
//   ShrinkRegion.known_size UINT64_MAX the size that a reply has told last
#include "tests/fuzz/conversation.h"

#include "tests/fuzz/fuzz.h"

static void note_cursor(struct conversation *c, const ProtobufCBinaryData *cursor)
{
    if (cursor->len == 0 || cursor->len > sizeof c->cursor)
        return;
    memcpy(c->cursor, cursor->data, cursor->len);
    c->n_cursor = cursor->len;
}

void conversation_note(struct conversation *c, const Diskalloc__V1__Reply *reply)
{
    switch (reply->body_case) {
    case DISKALLOC__V1__REPLY__BODY_EVENT:
        if (reply->event->kind == DISKALLOC__V1__EVENT_KIND__EVENT_SHRINK_ASKED)
            c->ask = reply->event->ask;
        break;
    case DISKALLOC__V1__REPLY__BODY_REGION:
        c->size = reply->region->size;
        break;
    case DISKALLOC__V1__REPLY__BODY_REGION_LIST:
        note_cursor(c, &reply->region_list->next_cursor);
        break;
    case DISKALLOC__V1__REPLY__BODY_QUOTA_LIST:
        note_cursor(c, &reply->quota_list->next_cursor);
        break;
    case DISKALLOC__V1__REPLY__BODY_USAGE_LIST:
        note_cursor(c, &reply->usage_list->next_cursor);
        break;
    case DISKALLOC__V1__REPLY__BODY_METRICS:
        note_cursor(c, &reply->metrics->next_cursor);
        break;
    default:
        break;
    }
}

// The field takes BYTES, which are borrowed.
static void replace(ProtobufCBinaryData *field, const void *bytes, size_t n)
{
    free(field->data);
    *field = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)bytes};
}

static ProtobufCBinaryData *cursor_of(const Diskalloc__V1__Request *q)
{
    switch (q->body_case) {
    case DISKALLOC__V1__REQUEST__BODY_LIST_REGIONS:
        return &q->list_regions->cursor;
    case DISKALLOC__V1__REQUEST__BODY_LIST_QUOTA:
        return &q->list_quota->cursor;
    case DISKALLOC__V1__REQUEST__BODY_LIST_USAGE:
        return &q->list_usage->cursor;
    case DISKALLOC__V1__REQUEST__BODY_GET_METRICS:
        return &q->get_metrics->cursor;
    default:
        return NULL;
    }
}

// Returns the field that was replaced with bytes that are borrowed, or NULL.
static ProtobufCBinaryData *fill_bytes(const struct conversation *c, const char *const *disks, size_t n_disks,
                                       const Diskalloc__V1__Request *q)
{
    ProtobufCBinaryData *field = cursor_of(q);

    if (field && field->len == 1 && *field->data == '*' && c->n_cursor > 0) {
        replace(field, c->cursor, c->n_cursor);
        return field;
    }
    if (q->body_case != DISKALLOC__V1__REQUEST__BODY_MOVE_REGION)
        return NULL;
    field = &q->move_region->disk;
    if (field->len != 1 || *field->data < '0' || (size_t)(*field->data - '0') >= n_disks)
        return NULL;
    replace(field, disks[*field->data - '0'], strlen(disks[*field->data - '0']));
    return field;
}

static bool fill_number(const struct conversation *c, const Diskalloc__V1__Request *q)
{
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_AGREE_SHRINK && q->agree_shrink->ask == 0) {
        q->agree_shrink->ask = c->ask;
        return true;
    }
    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_SHRINK_REGION && q->shrink_region->known_size == UINT64_MAX) {
        q->shrink_region->known_size = c->size;
        return true;
    }
    return false;
}

static void note_traces(struct traces *t, const Diskalloc__V1__Request *q)
{
    const ProtobufCBinaryData *subject;

    if (q->body_case == DISKALLOC__V1__REQUEST__BODY_OPEN_REGION ||
        (q->body_case == DISKALLOC__V1__REQUEST__BODY_CLONE_REGION && q->clone_region->name.len > 0))
        t->has_names = true;
    if (q->body_case != DISKALLOC__V1__REQUEST__BODY_SET_QUOTA)
        return;
    subject = &q->set_quota->subject;
    if (subject->len >= SUBJECT_MOST) // there is no such subject
        return;
    if (t->n_subjects < SUBJECTS_MOST) {
        if (subject->len > 0)
            memcpy(t->subjects[t->n_subjects], subject->data, subject->len);
        t->subjects[t->n_subjects][subject->len] = '\0';
    }
    t->n_subjects++;
}

size_t conversation_fill(const struct conversation *c, const char *const *disks, size_t n_disks, struct traces *traces,
                         const uint8_t *bytes, size_t n, uint8_t *ret, size_t size)
{
    Diskalloc__V1__Request *q = diskalloc__v1__request__unpack(NULL, n, bytes);
    ProtobufCBinaryData *borrowed = NULL;

    FUZZ_ASSERT(n <= size);
    memcpy(ret, bytes, n);
    if (!q)
        return n;
    note_traces(traces, q);
    borrowed = fill_bytes(c, disks, n_disks, q);
    if ((borrowed || fill_number(c, q)) && diskalloc__v1__request__get_packed_size(q) <= size)
        n = diskalloc__v1__request__pack(q, ret);
    if (borrowed)
        *borrowed = (ProtobufCBinaryData){0};
    diskalloc__v1__request__free_unpacked(q, NULL);
    return n;
}
