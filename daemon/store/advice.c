#include "daemon/store/advice.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store/mounted.h"

static bool is_below(const char *dir, const char *top)
{
    size_t n = strlen(top);

    return strncmp(dir, top, n) == 0 && (dir[n] == '/' || dir[n] == '\0');
}

// The service has ProtectHome= and PrivateTmp=: what is there for others is not there for the daemon.
static bool is_hidden(const char *dir)
{
    return store_is_run_by_systemd() &&
           (is_below(dir, "/home") || is_below(dir, "/root") || is_below(dir, "/tmp") || is_below(dir, "/var/tmp"));
}

const char *store_advice(int error, const char *dir, char text[static STORE_ADVICE_MAX])
{
    unsigned uid = geteuid();

    text[0] = '\0';
    if ((error == -ENOENT || error == -EACCES || error == -EROFS) && is_hidden(dir))
        snprintf(text, STORE_ADVICE_MAX,
                 "; systemd hides /home, /root, /tmp and /var/tmp from the service: choose another directory");
    else if (error == -ENOENT)
        snprintf(text, STORE_ADVICE_MAX, "; mount its disk, or make it: install -d -m 700 -o %u %s", uid, dir);
    else if (error == -EACCES || error == -EPERM)
        snprintf(text, STORE_ADVICE_MAX, "; give it to the daemon's user: chown %u %s && chmod 700 %s", uid, dir, dir);
    else if (error == -EROFS && store_is_run_by_systemd())
        snprintf(text, STORE_ADVICE_MAX,
                 "; the service may write to its state directory only, and to what the drop-in spill-mount.conf names: "
                 "see diskallocd(8), MOVING THE SPILL DIRECTORY");
    return text;
}
