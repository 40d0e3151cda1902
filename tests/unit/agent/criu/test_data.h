#pragma once

#include <string>
#include <vector>

#include "agent/criu/container_state.h"
#include "agent/os/mount_info.h"
#include "tests/support/read_text.h"

namespace cryopod::criu::test {

// What runc 1.3.6 and the kernel said of real containers with the mounts of a CRI container:
// "v1" (cgroup v1, no terminal) and "v2-tty" (cgroup v2, terminal).
struct RecordedContainer {
  ContainerState state;
  std::vector<MountEntry> mounts;
};

inline std::string ReadTestData(const std::string& name) {
  return cryopod::test::ReadText(std::string(CRYOPOD_TEST_DATA) + "/" + name);
}

inline RecordedContainer Recorded(const std::string& name) {
  return {ParseContainerState(ReadTestData("containers/" + name + ".state.json")).value(),
          ParseMountInfo(ReadTestData("containers/" + name + ".mountinfo")).value()};
}

}  // namespace cryopod::criu::test
