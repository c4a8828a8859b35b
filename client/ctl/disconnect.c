// `diskallocctl disconnect`: closes the connections of a user.
#include <stdio.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"
#include "proto/field.h"

static int print(const struct ctl *ctl, uint64_t n)
{
    if (ctl->json)
        return ctl_print_json(json_pack("{so, so}", "user", text_json_bytes(ctl->args[0], strlen(ctl->args[0])),
                                        "connections", text_json_number(n)));
    printf("%llu %s closed\n", (unsigned long long)n, n == 1 ? "connection" : "connections");
    return EXIT_DONE;
}

int disconnect_run(struct ctl *ctl)
{
    Diskalloc__V1__Request request = DISKALLOC__V1__REQUEST__INIT;
    Diskalloc__V1__DisconnectUser disconnect = DISKALLOC__V1__DISCONNECT_USER__INIT;
    Diskalloc__V1__Reply *reply;
    int status;

    if (!*ctl->args[0]) {
        ctl_complain("disconnect takes a user's name, or +UID");
        return EXIT_USAGE;
    }
    disconnect.user = field_text(ctl->args[0]);
    request.body_case = DISKALLOC__V1__REQUEST__BODY_DISCONNECT_USER;
    request.disconnect_user = &disconnect;
    reply = ctl_call(ctl, &request, DISKALLOC__V1__REPLY__BODY_DISCONNECTED, &status);
    if (!reply)
        return status;
    status = print(ctl, reply->disconnected->connections);
    session_free_reply(reply);
    return status;
}
