// `diskallocctl doctor`: looks for whatever can be wrong and can be found out from here, says what it means and how to
// mend it.
#include <stdlib.h>

#include "client/ctl/address.h"
#include "client/ctl/doctor/parts.h"
#include "client/ctl/queries.h"

enum { ANSWER_SECONDS = 10 };

static void ask_daemon(struct ctl *ctl, struct findings *f)
{
    static const struct advice advice = {
        "The daemon is there, and does not do what it should.",
        "journalctl -u diskallocd; systemctl restart diskallocd costs no program its memory"};
    int status;
    Diskalloc__V1__Reply *reply = query_status(ctl, &status);

    if (!reply) {
        finding(f, FINDING_WRONG, "daemon", advice, "%s", ctl_last_complaint());
        return;
    }
    doctor_spill(reply->status, f);
    doctor_quotas(ctl, reply->status, f);
    session_free_reply(reply);
}

int doctor_run(struct ctl *ctl)
{
    struct findings f = {0};
    char *address;
    int status;

    if (ctl->timeout_seconds == 0)
        ctl->timeout_seconds = ANSWER_SECONDS;
    ctl_complain_silently(true); // complaints become findings
    address = address_resolve(ctl->given_address, ctl->given_instance, false);
    ctl->address = address;
    if (doctor_daemon(ctl, &f))
        ask_daemon(ctl, &f);
    doctor_machine(&f);
    ctl_complain_silently(false);
    status = findings_print(ctl, &f);
    findings_deinit(&f);
    session_close(&ctl->session);
    ctl->address = NULL;
    free(address);
    return status;
}
