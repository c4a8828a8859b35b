// See own_descriptors.h.
#include "tests/lib/own_descriptors.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "tests/lib/actor.h"

static int own_file(const char *dir, uint8_t *bytes)
{
    int fd = open(dir, O_TMPFILE | O_RDWR, 0600);

    NEED(fd >= 0);
    for (size_t i = 0; i < OWN_BYTES; i++)
        bytes[i] = (uint8_t)(fd * 7 + (int)i);
    NEED(write(fd, bytes, OWN_BYTES) == OWN_BYTES);
    return fd;
}

static int own_object(size_t i)
{
    const struct itimerspec in_an_hour = {.it_value.tv_sec = 3600};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};
    int fd;

    switch (i % 4) {
    case 0:
        return eventfd(0, EFD_NONBLOCK);
    case 1:
        fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        NEED(timerfd_settime(fd, 0, &in_an_hour, NULL) == 0);
        return fd;
    case 2:
        fd = epoll_create1(0);
        NEED(epoll_ctl(fd, EPOLL_CTL_ADD, fd - 1, &event) == 0); // the timer
        return fd;
    default:
        return socket(AF_UNIX, SOCK_DGRAM, 0);
    }
}

void own_open(struct own *o, enum kind kind, const char *dir)
{
    o->kind = kind;
    o->n = kind == NOTHING ? 0 : NUMBERS;
    NEED(close_range(3, ~0U, 0) == 0);
    for (size_t i = 0; i < o->n; i++) {
        o->fd[i] = kind == FILES     ? own_file(dir, o->bytes[i])
                   : kind == OBJECTS ? own_object(i)
                                     : open(dir, O_RDONLY | O_DIRECTORY);
        NEED(o->fd[i] >= 3);
        NEED(fstat(o->fd[i], &o->st[i]) == 0);
    }
}

static void own_check_object(const struct own *o, size_t i)
{
    struct epoll_event event;
    struct itimerspec left;
    eventfd_t value;

    if (i % 4 == 0)
        NEED(eventfd_read(o->fd[i], &value) < 0 && errno == EAGAIN);
    if (i % 4 == 1)
        NEED(timerfd_gettime(o->fd[i], &left) == 0 && left.it_value.tv_sec > 3000 && left.it_interval.tv_nsec == 0);
    if (i % 4 == 2)
        NEED(epoll_wait(o->fd[i], &event, 1, 0) == 0);
}

void own_check(const struct own *o)
{
    uint8_t now[OWN_BYTES];
    struct stat st;

    for (size_t i = 0; i < o->n; i++) {
        NEED(fstat(o->fd[i], &st) == 0);
        NEED(st.st_ino == o->st[i].st_ino && st.st_dev == o->st[i].st_dev && st.st_size == o->st[i].st_size);
        NEED(st.st_blocks == o->st[i].st_blocks || o->kind != FILES);
        if (o->kind == FILES)
            NEED(pread(o->fd[i], now, OWN_BYTES, 0) == OWN_BYTES && memcmp(now, o->bytes[i], OWN_BYTES) == 0);
        if (o->kind == OBJECTS)
            own_check_object(o, i);
    }
}
