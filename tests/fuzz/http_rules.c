// The rules that a conversation with the daemon's HTTP server keeps, told without the server's own reading of requests:
//
//   - there is a reply, one, if the client has sent an empty line, a NUL, or more than a head may have; else none;
//   - the reply is well-formed HTTP/1.1, has as many bytes as it says, and says that it is the last one;
//   - something is shown only to a GET or a HEAD without a body that names this host.
#include "tests/fuzz/http_rules.h"

#include <string.h>
#include <strings.h>

#include "tests/fuzz/fuzz.h"

struct reply {
    unsigned status;
    size_t n_head, n_body; // bytes; as it says
    unsigned n_lengths, n_types, n_closes;
};

static bool asks(const struct http_talk *t)
{
    return t->n_sent >= HTTP_HEAD_MOST || memchr(t->sent, '\0', t->n_sent) || memmem(t->sent, t->n_sent, "\n\n", 2) ||
           memmem(t->sent, t->n_sent, "\n\r\n", 3);
}

static bool is_printable(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return n > 0;
}

static void read_header(const char *line, size_t n, struct reply *ret)
{
    static const char name_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-";
    const char *colon = memchr(line, ':', n);

    FUZZ_ASSERT(is_printable(line, n) && colon && colon > line);
    FUZZ_ASSERT(strspn(line, name_bytes) == (size_t)(colon - line));
    FUZZ_ASSERT((size_t)(colon - line) + 2 < n && colon[1] == ' ');
    if (strncmp(line, "Content-Length:", 15) == 0) {
        char *end;

        ret->n_lengths++;
        ret->n_body = strtoul(colon + 2, &end, 10);
        FUZZ_ASSERT(end == line + n && end > colon + 2);
    }
    ret->n_types += strncmp(line, "Content-Type: ", 14) == 0;
    ret->n_closes += n == 17 && strncmp(line, "Connection: close", n) == 0;
}

static void read_status(const char *line, size_t n, struct reply *ret)
{
    static const unsigned known[] = {200, 400, 404, 405, 413, 421, 431, 503, 505};
    bool is_known = false;

    FUZZ_ASSERT(n > 13 && strncmp(line, "HTTP/1.1 ", 9) == 0 && line[12] == ' ' && is_printable(line, n));
    ret->status = (unsigned)strtoul(line + 9, NULL, 10);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        is_known = is_known || ret->status == known[i];
    FUZZ_ASSERT(is_known);
    FUZZ_ASSERT((ret->status == 200) == (strncmp(line + 13, "OK", n - 13) == 0));
}

// TEXT ends with a NUL, behind the head at the latest.
static void read_reply(const char *text, struct reply *ret)
{
    const char *line = text;

    *ret = (struct reply){0};
    for (;;) {
        size_t n = strcspn(line, "\r\n");

        FUZZ_ASSERT(line[n] == '\r' && line[n + 1] == '\n');
        if (n == 0)
            break;
        if (line == text)
            read_status(line, n, ret);
        else
            read_header(line, n, ret);
        line += n + 2;
    }
    ret->n_head = (size_t)(line + 2 - text);
    FUZZ_ASSERT(ret->n_lengths == 1 && ret->n_types == 1 && ret->n_closes == 1 && ret->status);
}

// Whether a name of this machine stands at the beginning of TEXT, and nothing behind it but a port, or what ends it.
static bool names_this_host(const char *text)
{
    size_t n = 0;

    if (strncasecmp(text, "localhost", 9) == 0)
        n = 9;
    else if (strncmp(text, "[::1]", 5) == 0)
        n = 5;
    else if (strncmp(text, "127.", 4) == 0)
        n = strspn(text, "0123456789.");
    return n > 0 && strchr("\r\n \t:/?#", text[n]);
}

// Requests that are shown something.
static void check_request(const char *text)
{
    const char *target = strchr(text, ' '), *line = strchr(text, '\n');
    unsigned n_hosts = 0;

    FUZZ_ASSERT(strncmp(text, "GET ", 4) == 0 || strncmp(text, "HEAD ", 5) == 0);
    FUZZ_ASSERT(target && line);
    for (line++; *line && *line != '\n' && !(line[0] == '\r' && line[1] == '\n'); line++) {
        const char *value = line + strcspn(line, ":\n");

        if (strncasecmp(line, "Host:", 5) == 0) {
            n_hosts++;
            value += 1 + strspn(value + 1, " \t");
            FUZZ_ASSERT(names_this_host(value) || strncasecmp(target + 1, "http://", 7) == 0);
        }
        FUZZ_ASSERT(strncasecmp(line, "Transfer-Encoding:", 18) != 0);
        FUZZ_ASSERT(strncasecmp(line, "Content-Length:", 15) != 0 || value[1 + strspn(value + 1, " \t")] == '0');
        line = strchr(line, '\n');
        if (!line)
            break;
    }
    if (strncasecmp(target + 1, "http://", 7) == 0)
        FUZZ_ASSERT(names_this_host(target + 8));
    else
        FUZZ_ASSERT(n_hosts == 1 || (n_hosts == 0 && strncmp(strchr(text, '\n') - 9 - (strchr(text, '\n')[-1] == '\r'),
                                                             " HTTP/1.0", 9) == 0));
}

void http_rules_check(const struct http_talk *t)
{
    char sent[HTTP_HEAD_MOST + 1], got[HTTP_REPLY_MOST + 1];
    bool is_whole, is_head = t->n_sent >= 5 && memcmp(t->sent, "HEAD ", 5) == 0;
    struct reply reply;

    FUZZ_ASSERT(t->n_all == 0 || asks(t));
    FUZZ_ASSERT(t->n_all > 0 || !asks(t) || t->may_be_cut);
    if (t->n_all == 0)
        return;
    memcpy(sent, t->sent, t->n_sent);
    sent[t->n_sent] = '\0';
    memcpy(got, t->got, t->n_got);
    got[t->n_got] = '\0';
    is_whole = strstr(got, "\r\n\r\n");
    FUZZ_ASSERT(is_whole || t->may_be_cut);
    if (!is_whole)
        return;
    read_reply(got, &reply);
    if (t->n_all - reply.n_head != reply.n_body)
        FUZZ_ASSERT(t->n_all == reply.n_head ? is_head || t->may_be_cut
                                             : t->may_be_cut && t->n_all - reply.n_head < reply.n_body);
    if (reply.status == 200)
        check_request(sent);
}
