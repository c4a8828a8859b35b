// The head of an HTTP request (RFC 9112): as much of it as a server needs that only shows something.
#include "daemon/http/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

// Cuts the line off that TEXT begins with, and its end.  Returns what is behind, or NULL.
static char *cut_line(char *text)
{
    char *end = strchr(text, '\n');

    if (!end)
        return NULL;
    *end = '\0';
    if (end > text && end[-1] == '\r')
        end[-1] = '\0';
    return end + 1;
}

static char *cut_word(char *text)
{
    char *end = text + strcspn(text, " ");

    if (*end)
        *end++ = '\0';
    return end;
}

static const char *cut_port(char *host)
{
    char *end = *host == '[' ? strchr(host, ']') : NULL, *colon = strchr(end ? end : host, ':');

    if (colon)
        *colon = '\0';
    return host;
}

static enum http_method method_of(const char *word)
{
    if (strcmp(word, "GET") == 0)
        return HTTP_GET;
    return strcmp(word, "HEAD") == 0 ? HTTP_HEAD : HTTP_OTHER;
}

// TARGET is "/path?query", or "http://host/path?query".
static int parse_target(char *target, struct http_request *ret)
{
    static const char scheme[] = "http://";

    target[strcspn(target, "?#")] = '\0';
    if (strncasecmp(target, scheme, sizeof scheme - 1) == 0) {
        char *host = target + sizeof scheme - 1, *path = strchr(host, '/');

        if (!path)
            return 400;
        // The host stands one byte earlier, so that there is room for its end.
        memmove(host - 1, host, (size_t)(path - host));
        path[-1] = '\0';
        ret->host = cut_port(host - 1);
        target = path;
    }
    ret->path = target;
    return *target == '/' ? 0 : 400;
}

// *RET_NEEDS_HOST: a header has to name the host.
static int parse_first_line(char *line, struct http_request *ret, bool *ret_needs_host)
{
    int status;

    char *target = cut_word(line), *version = cut_word(target);

    if (!*line || line[strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] || !*target)
        return 400;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return strncmp(version, "HTTP/", 5) == 0 ? 505 : 400;
    ret->method = method_of(line);
    status = parse_target(target, ret);
    *ret_needs_host = !ret->host && strcmp(version, "HTTP/1.1") == 0;
    return status;
}

// Cuts the blanks off at both ends.
static char *strip(char *text)
{
    char *end;

    text += strspn(text, " \t");
    for (end = text + strlen(text); end > text && (end[-1] == ' ' || end[-1] == '\t'); end--)
        continue;
    *end = '\0';
    return text;
}

// *HOST: the host that a header has named before; NULL: none has.
static int parse_header(char *line, struct http_request *ret, const char **host)
{
    char *value = strchr(line, ':');

    // A blank before the colon, or a second host, would make others read another request than this server.
    if (!value || line + strcspn(line, " \t:") != value || value == line)
        return 400;
    *value++ = '\0';
    value = strip(value);
    if (strcasecmp(line, "Host") == 0) {
        if (*host)
            return 400;
        *host = cut_port(value);
    } else if (strcasecmp(line, "Accept") == 0) {
        ret->accept = value;
    } else if (strcasecmp(line, "Transfer-Encoding") == 0 ||
               (strcasecmp(line, "Content-Length") == 0 && strcmp(value, "0") != 0)) {
        return 413;
    }
    return 0;
}

int http_request_parse(char *text, struct http_request *ret)
{
    char *next = cut_line(text);
    const char *host = NULL;
    bool needs_host = false;
    int status;

    *ret = (struct http_request){0};
    status = parse_first_line(text, ret, &needs_host);
    for (char *line = next; line && *line && status == 0; line = next) {
        next = cut_line(line);
        if (*line)
            status = parse_header(line, ret, &host);
    }
    if (!ret->host)
        ret->host = host;
    return status == 0 && needs_host && !host ? 400 : status;
}
