// Asking the daemon: connects when a command asks for the first time.  Declared in ctl.h.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/address.h"
#include "client/ctl/ctl.h"
#include "client/ctl/text.h"

enum { ANSWER_SECONDS = 30 }; // without --timeout

// For a socket of one of systemd's units, the sentence ends with where to look.
static int complain_of_absence(const struct ctl *ctl, const char *why)
{
    char address[TEXT_MAX], reason[TEXT_MAX], instance[TEXT_MAX], hint[3 * TEXT_MAX] = "";

    text_escape(ctl->address, strlen(ctl->address), address);
    text_escape(why, strlen(why), reason);
    if (address_instance(ctl->address, instance))
        snprintf(hint, sizeof(hint), "; systemctl status diskallocd%s%s or journalctl -u diskallocd%s%s may tell more",
                 *instance ? "@" : "", instance, *instance ? "@" : "", instance);
    if (address_is_mounted(address_path(ctl->address)))
        snprintf(hint, sizeof(hint),
                 "; the socket is mounted by itself, and stays that of a daemon that may have ended: "
                 "mount its directory, never the socket");
    ctl_complain("no daemon answers at %s: %s%s", address, reason, hint);
    return EXIT_NO_DAEMON;
}

int ctl_connect(struct ctl *ctl)
{
    const char *what;
    char address[TEXT_MAX], said[TEXT_MAX], why[128];
    int r;

    if (ctl->session.fd >= 0)
        return EXIT_DONE;
    r = session_open(&ctl->session, address_path(ctl->address),
                     ctl->timeout_seconds > 0 ? ctl->timeout_seconds : ANSWER_SECONDS, &what);
    if (r == 0)
        return EXIT_DONE;
    if (r == -ESHUTDOWN)
        return complain_of_absence(ctl, ctl->session.said);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ETIMEDOUT || r == -ECONNRESET || r == -ENOTDIR) {
        snprintf(why, sizeof(why), "%s: %s", what, strerror(-r));
        return complain_of_absence(ctl, why);
    }
    text_escape(ctl->address, strlen(ctl->address), address);
    if (ctl->session.said[0])
        ctl_complain("the daemon at %s does not let this connection in: %s", address,
                     text_escape(ctl->session.said, strlen(ctl->session.said), said));
    else
        ctl_complain("%s at %s failed: %s", what, address, strerror(-r));
    return EXIT_REFUSED;
}

int ctl_ask(struct ctl *ctl, Diskalloc__V1__Request *request, Diskalloc__V1__Reply **ret)
{
    int r, status = ctl_connect(ctl);

    if (status != EXIT_DONE)
        return status;
    r = session_call(&ctl->session, request, ret);
    if (r == 0)
        return EXIT_DONE;
    if (r == -EMSGSIZE) {
        ctl_complain("what was given is longer than a request may be: nothing was asked");
        return EXIT_USAGE;
    }
    ctl_complain("the daemon did not answer: %s", strerror(-r));
    return EXIT_NO_DAEMON;
}

void ctl_complain_of_error(const char *about, const Diskalloc__V1__Error *e)
{
    char message[TEXT_MAX], name[TEXT_MAX], limit[TEXT_MAX], prefix[TEXT_MAX] = "";

    text_escape(e->message, strlen(e->message), message);
    text_escape(e->limit_name, strlen(e->limit_name), name);
    if (about)
        text_escape(about, strlen(about), prefix);
    ctl_note_limit(e);
    if (*name)
        ctl_complain("%s%s%s: %s: limit %s, used %llu, asked %llu", prefix, *prefix ? ": " : "", message, name,
                     text_count(e->limit, limit), (unsigned long long)e->used, (unsigned long long)e->asked);
    else
        ctl_complain("%s%s%s", prefix, *prefix ? ": " : "",
                     *message ? message : "the daemon refused without saying why");
}

Diskalloc__V1__Reply *ctl_call(struct ctl *ctl, Diskalloc__V1__Request *request, Diskalloc__V1__Reply__BodyCase body,
                               int *ret_status)
{
    Diskalloc__V1__Reply *reply = NULL;

    *ret_status = ctl_ask(ctl, request, &reply);
    if (*ret_status != EXIT_DONE)
        return NULL;
    if (!reply->error && (body == DISKALLOC__V1__REPLY__BODY__NOT_SET || reply->body_case == body))
        return reply;
    *ret_status = EXIT_REFUSED;
    if (reply->error)
        ctl_complain_of_error(ctl->about, reply->error);
    else
        ctl_complain("the daemon's answer does not fit the request");
    session_free_reply(reply);
    return NULL;
}
