#include <string>
#include <vector>

#include "agent/ctl/commands.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return static_cast<int>(cryopod::ctl::Run(arguments, cryopod::terminal::StandardConsole()));
}
