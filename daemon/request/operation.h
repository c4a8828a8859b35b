// Requests that name a region, and those that become an operation on one: the parts that their handlers share.
#pragma once
#include "daemon/request/request.h"

// A request in flight with an operation of TYPE on R.  The caller fills in the operation's own fields and submits it.
// Unless the caller sets another op.done, the reply is the region as the operation left it.  NULL: no memory.
struct request *request_new_op(const struct call *c, const struct op_type *type, struct region *r);
// For op.done.  Replies with the region and the operation's file, or with the reason why the operation failed.
void request_op_done(struct op *op);
// attach.c.  For op.done of an operation that opens or makes a region: attaches it before the reply.  If the peer has
// gone meanwhile, the region has no attachment, and the queue of orphans looks after it.
void request_attach_done(struct op *op);
// A request for an operation of TYPE, which makes a new region of the peer's.  RECORD: handle, name, mode and flags;
// this function fills in the other fields.  NULL: no memory.
struct request *request_new_region(const struct call *c, const struct op_type *type, struct record *record);
// Attaches R.  FLAGS: READ_ONLY and SOLE_WRITER matter.  CLAIM: of the client.  0, -EACCES or -ENOMEM.
int request_attach(const struct call *c, struct region *r, uint32_t flags, enum holder_claim claim);
// 0; -EOPNOTSUPP: not all FLAGS are KNOWN; -EINVAL: they contradict each other.
int request_check_flags(uint32_t flags, uint32_t known);

// Unlinks R; the reply is empty.  Takes AUDIT, which may be NULL, and has it logged.  0 or -ENOMEM.
int request_unlink(const struct call *c, struct region *r, struct audit *audit);

// The attachment of the caller's peer to the region with the handle in FIELD.  0, -EINVAL, or -ENOTCONN: the peer has
// not attached it.
int request_find_attached(const struct call *c, const ProtobufCBinaryData *field, struct attachment **ret);
// The same for requests that change the region: -EROFS if the attachment is read-only.
int request_find_writable(const struct call *c, const ProtobufCBinaryData *field, struct attachment **ret);

// The user in whose name space a request looks for a region: FIELD names a user who has something here; if it is
// empty, that is the peer's own user.  NULL: there is no such user.
struct user *request_name_space(const struct call *c, const ProtobufCBinaryData *field);
// The region NAME of the user that USER names, as above.  0, -ENOENT, or what is wrong with the name.
int request_find_named(const struct call *c, const ProtobufCBinaryData *user, const ProtobufCBinaryData *name,
                       struct region **ret);
// The region that a request names by its handle, or by its name: exactly one of them must be set.  0, -ENOENT, or what
// is wrong.
int request_find_target(const struct call *c, const ProtobufCBinaryData *handle, const ProtobufCBinaryData *user,
                        const ProtobufCBinaryData *name, struct region **ret);

// Whether the peer, which names a region of USER's, gets no other answer than -EACCES.  That must not tell whether the
// region exists.
bool request_is_others_business(const struct call *c, const ProtobufCBinaryData *user);
// As request_find_target, for the owner of the region and administrators: -EACCES for all others.
int request_find_own(const struct call *c, const ProtobufCBinaryData *handle, const ProtobufCBinaryData *user,
                     const ProtobufCBinaryData *name, struct region **ret);
// Begins the entry of the log about an ACTION of an administrator.  What users do to their own regions is their
// business; NULL: it is not logged.
struct audit *request_audit_region(const struct call *c, const struct region *r, bool force, const char *action);

// Sends the event KIND about the region HANDLE to the peer of the operation's request, if it is still there.
void request_tell_progress(struct op *op, Diskalloc__V1__EventKind kind, const struct handle *handle, uint64_t done,
                           uint64_t all);
// The reply to a request that cannot be done while the region is being moved (region.mover).  0.
int request_refuse_moving(const struct call *c);
