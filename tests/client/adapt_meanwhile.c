// Adaptive reading gets along with all that may happen to a region meanwhile.
#include "tests/lib/reading_scene.h"

#include <pthread.h>
#include <sys/wait.h>

static _Atomic bool is_over;

static void *read_until_over(void *data)
{
    struct scene *s = data;

    while (!is_over)
        scene_read_some(s, 0, SCENE_SIZE / 2);
    return NULL;
}

static void change_second_half(struct scene *s, uint64_t i)
{
    uint64_t from = SCENE_SIZE / 2 + i % 7 * MIB, length = 20 * MIB + i % 5 * 4096;

    NEED(diskalloc_region_resize(s->r, SCENE_SIZE + i % 3 * 100 * MIB) == 0);
    NEED(diskalloc_region_discard(s->r, from, length) == 0);
    NEED(diskalloc_region_advise(s->r, i % 4 * 50 * MIB, 60 * MIB, (int)(i % 3)) == 0);
    NEED(diskalloc_region_restore(s->r, from, length) == 0);
    NEED(diskalloc_region_resize(s->r, SCENE_SIZE / 2 + i % 9 * 10 * MIB) == 0);
    NEED(diskalloc_region_advise(s->r, 0, SCENE_SIZE / 2, DISKALLOC_ADVICE_NORMAL) == 0);
}

static void play_changing_the_region_gets_along_with_the_looks(struct scene *s)
{
    pthread_t thread;
    uint64_t before;

    scene_open(s, 0, 0);
    scene_read_until_single(s, 1);
    NEED(pthread_create(&thread, NULL, read_until_over, s) == 0);
    before = scene_counted(s).rounds;
    for (uint64_t i = 0; scene_counted(s).rounds < before + SCENE_ROUNDS; i++) {
        struct diskalloc_region *more = make_region(s->da, 50 * MIB);

        change_second_half(s, i);
        diskalloc_region_close(more);
    }
    is_over = true;
    pthread_join(thread, NULL);
    scene_close(s);
}
SCENE(changing_the_region_gets_along_with_the_looks, SCENE_LIMIT)

static void play_a_shrink_takes_single_pages_along(struct scene *s)
{
    scene_open(s, 0, 0);
    scene_read_until_single(s, 4);
    NEED(diskalloc_region_resize(s->r, 100 * MIB) == 0);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] <= 100 * MIB);
    NEED(diskalloc_region_resize(s->r, 0) == 0);
    for (unsigned i = 0; i < PATTERN_PARTS; i++)
        NEED(s->r->adapt.single_to[i] == 0);
    scene_close(s);
}
SCENE(a_shrink_takes_single_pages_along, SCENE_LIMIT)

static void play_parent_and_child_go_on_after_a_fork(struct scene *s)
{
    int status = -1;
    pid_t pid;

    scene_open(s, 0, 0);
    scene_read_until_single(s, 1);
    for (int i = 0; i < 3; i++) {
        pid = fork();
        NEED(pid >= 0);
        if (pid == 0) {
            scene_read_some(s, 0, SCENE_SIZE);
            scene_close(s);
            _exit(0);
        }
        scene_read_some(s, 0, SCENE_SIZE);
        NEED(waitpid(pid, &status, 0) == pid && status == 0);
    }
    scene_scan_until_all_large(s);
    scene_read_until_single(s, 1);
    scene_close(s);
}
SCENE(parent_and_child_go_on_after_a_fork, SCENE_LIMIT)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_BACKEND(changing_the_region_gets_along_with_the_looks),
        EACH_BACKEND(a_shrink_takes_single_pages_along),
        EACH_BACKEND(parent_and_child_go_on_after_a_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
