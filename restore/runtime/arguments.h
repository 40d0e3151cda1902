#pragma once

#include <string>
#include <vector>

namespace cryopod::wrapper {

// A command line of an OCI runtime, read as far as the wrapper has to know it; what goes to the
// real runtime is `all`, unchanged.
//
// Source   runc 1.1 to 1.3 (main.go, create.go, start.go, exec.go, kill.go, delete.go); Go's flag
//          package: one or two dashes, "--name value" or "--name=value", a bool takes no value.
struct Arguments {
  std::vector<std::string> all;      // without argv[0]
  std::vector<std::string> globals;  // everything in front of the subcommand
  std::string subcommand;            // empty when there is none
  // Global options.
  std::string root = "/run/runc";
  std::string log;
  std::string log_format = "text";
  // Options of the subcommand.
  std::string bundle;
  std::string pid_file;
  std::string console_socket;
  bool no_pivot = false;
  bool detach = false;
  std::string id;                            // the first argument that is no option
  std::vector<std::string> unknown_options;  // of the subcommand: `id` may be the value of one

  std::string state_dir() const { return root + "/" + id; }
};

// Never fails: what is not understood is passed through. An unknown global option is taken to have
// a value when the next argument is neither an option nor the name of a subcommand.
Arguments ParseArguments(std::vector<std::string> all);

}  // namespace cryopod::wrapper
