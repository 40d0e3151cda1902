#include "agent/terminal/console.h"

#include <unistd.h>

#include "agent/os/file.h"
#include "agent/terminal/text.h"

namespace cryopod::terminal {

Console StandardConsole() {
  Console console;
  console.err_is_terminal = ::isatty(STDERR_FILENO) == 1;
  console.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  return console;
}

Status PrintAnswer(const Console& console, std::string_view text) {
  return WriteAll(console.out, text).While("writing the answer");
}

void PrintError(const Console& console, std::string_view message) {
  // Nobody is left to be told when this fails; the exit code says it too.
  (void)WriteAll(console.err, "cryopodctl: " + OneLine(message) + "\n").ok();
}

}  // namespace cryopod::terminal
