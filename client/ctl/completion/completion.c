// `diskallocctl completion`: completions for shells, made from the tables of commands and options.  They are written at
// build time, and installed where bash, zsh and fish look for them.
//
// What only a daemon knows, the scripts ask for while somebody types: `diskallocctl completion regions` (or subjects,
// users) prints words, a line each, and nothing if no daemon answers within a second.
#include <stdio.h>
#include <string.h>

#include "client/ctl/address.h"
#include "client/ctl/completion/shells.h"
#include "client/ctl/list.h"
#include "client/ctl/queries.h"
#include "client/ctl/text.h"
#include "proto/util/cleanup.h"

// A word that a shell would take apart, or that is no word of text, is left out.
static void print_word(const char *prefix, const ProtobufCBinaryData *word)
{
    char text[TEXT_MAX];

    text_escape(word->data, word->len, text);
    if (word->len > 0 && !strpbrk(text, " \t\\'\"`$();&|<>*?[]{}~#!"))
        printf("%s%s\n", prefix, text);
}

static ProtobufCBinaryData *add_usages(struct list *l, const Diskalloc__V1__Reply *reply)
{
    static const char user[] = "user:";
    bool only_users = l->data != NULL;

    for (size_t i = 0; i < reply->usage_list->n_usages; i++) {
        ProtobufCBinaryData subject = reply->usage_list->usages[i]->subject;
        bool is_user = subject.len > strlen(user) && memcmp(subject.data, user, strlen(user)) == 0;

        if (only_users && !is_user)
            continue;
        if (only_users) {
            subject.data += strlen(user);
            subject.len -= strlen(user);
        }
        print_word("", &subject);
    }
    return &reply->usage_list->next_cursor;
}

static ProtobufCBinaryData *add_regions(struct list *l, const Diskalloc__V1__Reply *reply)
{
    char handle[TEXT_MAX];

    (void)l;
    for (size_t i = 0; i < reply->region_list->n_regions; i++) {
        const Diskalloc__V1__Region *r = reply->region_list->regions[i];

        if (r->name.len)
            print_word("", &r->name);
        else
            puts(text_handle(r->handle.data, r->handle.len, handle));
    }
    return &reply->region_list->next_cursor;
}

static int print_asked(struct ctl *ctl, const char *what)
{
    static const struct list_kind usages = {NULL, NULL, 0, query_usages, add_usages};
    static const struct list_kind regions = {NULL, NULL, 0, query_regions, add_regions};
    _cleanup_free_ char *address = address_resolve(ctl->given_address, ctl->given_instance, false);
    int status;

    if (!address)
        return EXIT_USAGE;
    ctl->address = address;
    ctl->timeout_seconds = 1;
    if (strcmp(what, "regions") == 0)
        status = list_fetch(ctl, &regions, NULL);
    else
        status = list_fetch(ctl, &usages, strcmp(what, "users") == 0 ? ctl : NULL);
    session_close(&ctl->session);
    ctl->address = NULL;
    return status;
}

int completion_run(struct ctl *ctl)
{
    const char *what = ctl->args[0];
    char text[TEXT_MAX];

    if (strcmp(what, "bash") == 0)
        completion_bash(ctl);
    else if (strcmp(what, "zsh") == 0)
        completion_zsh(ctl);
    else if (strcmp(what, "fish") == 0)
        completion_fish(ctl);
    else if (strcmp(what, "regions") == 0 || strcmp(what, "subjects") == 0 || strcmp(what, "users") == 0)
        return print_asked(ctl, what);
    else {
        ctl_complain("completion is for bash, zsh or fish, not for %s", text_escape(what, strlen(what), text));
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}
