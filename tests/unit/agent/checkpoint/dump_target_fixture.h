#pragma once

#include <fstream>
#include <string>
#include <utility>

#include "agent/checkpoint/dump_target.h"
#include "agent/os/proc.h"
#include "agent/os/subprocess.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::checkpoint::test {

// A container as far as the kernel knows it: this process in this cgroup.
inline DumpTarget MakeTarget(const std::string& name, pid_t init, Cgroup cgroup) {
  jobs::RequestedContainer requested;
  requested.name = name;
  requested.id = name + "-id";
  criu::ContainerState state;
  state.id = requested.id;
  state.init_pid = init;
  state.init_start_ticks = ReadProcessInfo(init)->start_time_ticks;
  return DumpTarget{std::move(requested),
                    std::move(state),
                    OpenPidfd(init).value(),
                    std::move(cgroup),
                    {},
                    "",
                    NamespaceInode(init, "pid").value(),
                    {},
                    {}};
}

// A leaf of whichever version this machine has, for tests to which it does not matter.
class AnyLeaf {
 public:
  bool valid() const { return leaf_.valid(); }
  std::string path() const { return leaf_.path(); }
  void Enter(pid_t pid) const { std::ofstream(leaf_.path() + "/cgroup.procs") << pid; }
  DumpTarget Target(const std::string& name, pid_t init) const {
    return MakeTarget(name, init, Cgroup::Open(leaf_.path()).value());
  }

 private:
  cryopod::test::TestCgroup leaf_{
      cryopod::test::FreezerMount(CgroupVersion::kV2) ? CgroupVersion::kV2 : CgroupVersion::kV1};
};

}  // namespace cryopod::checkpoint::test
