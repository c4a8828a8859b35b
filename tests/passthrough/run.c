// Runs a test program with daemons that have the passthrough fence (DISKALLOC_TEST_FENCE is set), where the machine has
// it.  The program is a process of its own: this one's scratch directories are removed when this one ends.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/lib/harness.h"
#include "tests/lib/passthrough.h"

int main(int argc, char **argv)
{
    int status;
    pid_t pid;

    if (argc != 2)
        return 1;
    passthrough_need();
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[1], argv + 1);
        perror(argv[1]);
        _exit(1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
