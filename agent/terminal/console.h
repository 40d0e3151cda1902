#pragma once

#include <string_view>

#include "agent/os/status.h"

namespace cryopod::terminal {

// Where a command reads and writes; descriptors are borrowed.
struct Console {
  int in = 0;
  int out = 1;
  int err = 2;
  bool err_is_terminal = false;
  bool out_is_terminal = false;
};

// This process's own standard streams.
Console StandardConsole();

// To `out`; an error (a full disk behind a redirection) is the command's error.
Status PrintAnswer(const Console& console, std::string_view text);
// "cryopodctl: MESSAGE" in one line to `err`.
void PrintError(const Console& console, std::string_view message);

}  // namespace cryopod::terminal
