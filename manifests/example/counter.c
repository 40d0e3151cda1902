/* The program of the example pod: counts in memory, a line a second. Linked statically, it is all that its
 * image holds. After a restore it goes on where it was; started anew it would begin with 1. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  /* PID 1 of a container has no default actions. */
  signal(SIGTERM, end);
  for (unsigned long count = 1;; count++) {
    printf("count %lu\n", count);
    fflush(stdout);
    sleep(1);
  }
}
