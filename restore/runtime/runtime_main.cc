#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/os/file.h"
#include "restore/runtime/protocol/self_check_command.h"
#include "restore/runtime/wrapper.h"

namespace {

// A caller may have closed one of them. The next file that we open, a socket perhaps, would get its
// number and end up in the container. The OCI runtime fills them in the same way.
void FillStandardDescriptors() {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDWR));
  }
}

}  // namespace

int main(int argc, char** argv) {
  FillStandardDescriptors();
  if (argc == 2 && std::string_view(argv[1]) == cryopod::wrapper::kSelfCheckCommand) {
    return cryopod::WriteAll(STDOUT_FILENO, cryopod::wrapper::SelfCheck()).ok() ? 0 : 1;
  }
  return cryopod::wrapper::RunWrapper(
      std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
