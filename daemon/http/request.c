// The head of an HTTP request (RFC 9112): as much of it as a server needs that only shows something.
#include "daemon/http/request.h"

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

static int parse_first_line(char *line, struct http_request *ret)
{
    char *target = cut_word(line), *version = cut_word(target);

    if (!*line || line[strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] || !*target)
        return 400;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return strncmp(version, "HTTP/", 5) == 0 ? 505 : 400;
    ret->method = method_of(line);
    return parse_target(target, ret);
}

static int parse_header(char *line, struct http_request *ret)
{
    char *value = strchr(line, ':');

    if (!value || value == line || *line == ' ' || *line == '\t')
        return 400;
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "Host") == 0 && !ret->host)
        ret->host = cut_port(value);
    else if (strcasecmp(line, "Accept") == 0)
        ret->accept = value;
    else if (strcasecmp(line, "Transfer-Encoding") == 0 ||
             (strcasecmp(line, "Content-Length") == 0 && strcmp(value, "0") != 0))
        return 413;
    return 0;
}

int http_request_parse(char *text, struct http_request *ret)
{
    char *next = cut_line(text);
    int status;

    *ret = (struct http_request){0};
    status = parse_first_line(text, ret);
    for (char *line = next; line && *line && status == 0; line = next) {
        next = cut_line(line);
        if (*line)
            status = parse_header(line, ret);
    }
    return status;
}
