// The region that an argument names: see target.h.
#include "client/ctl/target.h"

#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"

bool target_parse(const char *argument, struct target *ret)
{
    char *slash, text[TEXT_MAX];

    *ret = (struct target){0};
    if (handle_parse(argument, &ret->handle) == 0) {
        ret->by_handle = true;
        return true;
    }
    ret->copy = strdup(argument);
    if (!ret->copy) {
        ctl_complain("out of memory");
        return false;
    }
    slash = strrchr(ret->copy, '/');
    ret->user = slash ? ret->copy : "";
    ret->name = slash ? slash + 1 : ret->copy;
    if (slash)
        *slash = '\0';
    if (name_check(ret->name, strlen(ret->name)) == 0 && (!slash || *ret->user))
        return true;
    ctl_complain("%s is neither a handle, nor the name of a region, nor USER/NAME",
                 text_escape(argument, strlen(argument), text));
    return false;
}
