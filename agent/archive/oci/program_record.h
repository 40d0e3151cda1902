#pragma once

#include <map>
#include <string>

#include "agent/json/fields.h"
#include "agent/json/value.h"

namespace cryopod::archive {

// What a container's configuration says of the program that it runs, so that the pod which is
// restored can be held against the one that was checkpointed. Empty: it was not recorded.
//
// Source  OCI runtime-spec v1.2, config.md ("Process": args, cwd, env), config-linux.md
// ("Seccomp").
struct ProgramRecord {
  std::string command;         // its arguments for people, cut
  std::string command_digest;  // of all of them
  std::string working_directory;
  // Name → digest of the value, which may be a secret. Without what differs in every pod: the host
  // name and the addresses of services.
  std::map<std::string, std::string> environment;
  // The oldest seccomp filter of each of its tasks is the runtime's, and not the program's own.
  bool runtime_filter = false;

  bool empty() const { return *this == ProgramRecord(); }
  bool operator==(const ProgramRecord&) const = default;
};

void Describe(json::Fields& fields, ProgramRecord& program);

// Of config.json of a bundle. What no archive may hold is left out, as if it had not been said.
ProgramRecord DescribeProgram(const json::Value& config);

}  // namespace cryopod::archive
