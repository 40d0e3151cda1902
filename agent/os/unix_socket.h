#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod {

// Listens on a stream socket at `path` (an old socket file is replaced). The file has `mode` from
// the first moment on.
Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode = 0600);
// Errors: kUnavailable when nobody listens; names the path.
Result<UniqueFd> ConnectUnix(const std::string& path, Deadline deadline);
// Errors: kDeadlineExceeded.
Result<UniqueFd> AcceptUnix(int listen_fd, Deadline deadline);

// Frames: a little-endian uint32 length, then as many bytes. A frame may carry descriptors.
inline constexpr uint32_t kFrameBytesMax = 1u << 20;

struct Frame {
  std::string bytes;
  std::vector<UniqueFd> descriptors;
};

Status SendFrame(int fd, std::string_view bytes, Deadline deadline,
                 const std::vector<int>& descriptors = {});
// Errors: kUnavailable when the peer closed before a frame began, kDataLoss inside one,
// kResourceExhausted for a frame above kFrameBytesMax, kDeadlineExceeded.
Result<Frame> ReceiveFrame(int fd, Deadline deadline);

Result<pid_t> ReadPeerPid(int fd);

}  // namespace cryopod
