// Waits for its end under the seccomp filter AllowAll(7), as the first process of a container that
// a runtime has created and not started.
#include <unistd.h>

#include "tests/support/allow_all_filter.h"

int main() {
  if (!cryopod::test::SetAllowAll(7)) return 1;
  while (true) ::pause();
}
