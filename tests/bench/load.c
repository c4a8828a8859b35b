// The cost of very many regions and connections for a daemon: the time of each creation and removal, and its memory.
// Prints them; no test.
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/grow.h"
#include "tests/lib/raw_client.h"
#include "tests/lib/test_daemon.h"

// A single request is in flight at a time.
static void make_and_remove(const struct test_daemon *d, size_t n, bool named)
{
    struct raw_handle *handles = calloc(n, sizeof *handles);
    struct series makes = {0}, removes = {0};
    char name[32];
    struct raw c;

    NEED(handles && raw_open(&c, d->socket) == RAW_CODE(OK));
    for (size_t i = 0; i < n; i++) {
        double begin = now_us();

        handles[i] = raw_handle_new();
        snprintf(name, sizeof name, "region-%zu", i);
        NEED((named ? raw_create_named(&c, name, &handles[i], 4096) : raw_create(&c, &handles[i], 4096)) ==
             RAW_CODE(OK));
        add(&makes, now_us() - begin);
    }
    printf("%zu %s regions: resident %ld MiB\n", n, named ? "named" : "anonymous", test_daemon_resident_mib(d));
    for (size_t i = 0; i < n; i++) {
        double begin = now_us();

        NEED(raw_remove(&c, &handles[i], true) == RAW_CODE(OK));
        add(&removes, now_us() - begin);
    }
    printf("%-9s create: p50 %6.1f µs, p99 %6.1f; remove: p50 %6.1f µs, p99 %6.1f\n", named ? "named" : "anonymous",
           part(&makes, 0.5), part(&makes, 0.99), part(&removes, 0.5), part(&removes, 0.99));
    forget(&makes);
    forget(&removes);
    raw_close(&c);
    free(handles);
}

static void connect_many(const struct test_daemon *d, size_t n)
{
    struct raw *clients = calloc(n, sizeof *clients);
    struct series opens = {0};

    NEED(clients);
    for (size_t i = 0; i < n; i++) {
        double begin = now_us();

        NEED(raw_open(&clients[i], d->socket) == RAW_CODE(OK));
        add(&opens, now_us() - begin);
    }
    printf("%zu connections: resident %ld MiB; connect and hello: p50 %.1f µs, p99 %.1f\n", n,
           test_daemon_resident_mib(d), part(&opens, 0.5), part(&opens, 0.99));
    for (size_t i = 0; i < n; i++)
        raw_close(&clients[i]);
    forget(&opens);
    free(clients);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"regions", required_argument, NULL, 'r'}, {"connections", required_argument, NULL, 'c'}, {0}};
    size_t n_regions = 100000, n_connections = 10000;
    struct rlimit files = {20000, 20000};
    struct test_daemon d;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return 2;
        *(option == 'r' ? &n_regions : &n_connections) = strtoul(optarg, NULL, 10);
    }
    setrlimit(RLIMIT_NOFILE, &files);
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_daemon_start(&d,
                      "[daemon]\nkeep_free = 0\n[quota default]\nregions = unlimited\nconnections = unlimited\n[quota "
                      "total]\nregions = unlimited\nconnections = unlimited\n",
                      NULL);
    make_and_remove(&d, n_regions, false);
    make_and_remove(&d, n_regions, true);
    connect_many(&d, n_connections);
    test_daemon_stop_and_remove(&d);
    return 0;
}
