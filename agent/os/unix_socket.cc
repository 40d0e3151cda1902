#include "agent/os/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include "agent/os/file.h"

namespace cryopod {
namespace {

constexpr int kBacklog = 128;
// What the kernel takes in one message is 253; no frame of ours carries more than a handful.
constexpr size_t kFrameDescriptorsMax = 32;
constexpr auto kConnectPause = std::chrono::milliseconds(5);

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Status(Code::kInvalidArgument, "socket path " + path + ": must have 1 to " +
                                              std::to_string(sizeof address.sun_path - 1) +
                                              " bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Status RemoveOldSocket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status() : ErrnoStatus(errno, "stat", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Status(Code::kAlreadyExists, path + " exists and is not a socket");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "unlink", path);
  return Status();
}

// The control part of a message that carries descriptors.
struct alignas(cmsghdr) ControlBuffer {
  std::array<char, CMSG_SPACE(kFrameDescriptorsMax * sizeof(int))> bytes{};
};

void Attach(msghdr& message, ControlBuffer& control, const std::vector<int>& descriptors) {
  const size_t size = descriptors.size() * sizeof(int);
  message.msg_control = control.bytes.data();
  message.msg_controllen = CMSG_SPACE(size);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(header), descriptors.data(), size);
}

void TakeDescriptors(msghdr& message, std::vector<UniqueFd>& descriptors) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
}

// Exactly `size` bytes, or fewer when the peer closed before.
Result<size_t> ReceiveBytes(int fd, char* bytes, size_t size, Deadline deadline,
                            std::vector<UniqueFd>& descriptors) {
  size_t received = 0;
  while (received < size) {
    CRYOPOD_RETURN_IF_ERROR(WaitReady(fd, POLLIN, deadline, "receiving a frame"));
    ControlBuffer control;
    iovec part{bytes + received, size - received};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    const ssize_t got = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0 && errno == ECONNRESET) break;
    if (got < 0) return ErrnoStatus(errno, "receiving a frame", "");
    TakeDescriptors(message, descriptors);
    if ((message.msg_flags & MSG_CTRUNC) != 0 || descriptors.size() > kFrameDescriptorsMax) {
      return Status(Code::kResourceExhausted, "receiving a frame: too many descriptors");
    }
    if (got == 0) break;
    received += static_cast<size_t>(got);
  }
  return received;
}

}  // namespace

Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode) {
  CRYOPOD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  CRYOPOD_RETURN_IF_ERROR(RemoveOldSocket(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket", path);
  // bind(2) makes the file with the mode of the socket, less the umask: it is never wider than
  // asked. What the umask took is given back afterwards.
  if (::fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, "fchmod", path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, "bind", path);
  }
  if (::chmod(path.c_str(), mode) != 0) return ErrnoStatus(errno, "chmod", path);
  if (::listen(fd.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen", path);
  return fd;
}

Result<UniqueFd> ConnectUnix(const std::string& path, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket", path);
  // EAGAIN says that the backlog is full; nothing can be polled for room in it.
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno == ECONNREFUSED || errno == ENOENT) {
      return Status(Code::kUnavailable, "nobody listens on " + path);
    }
    if (errno != EAGAIN) return ErrnoStatus(errno, "connect", path);
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "connect " + path + ": the listener is busy");
    }
    std::this_thread::sleep_for(kConnectPause);
  }
  if (::fcntl(fd.get(), F_SETFL, 0) != 0) return ErrnoStatus(errno, "fcntl", path);
  return fd;
}

Result<UniqueFd> AcceptUnix(int listen_fd, Deadline deadline) {
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(WaitReady(listen_fd, POLLIN, deadline, "accepting a connection"));
    const int fd = ::accept4(listen_fd, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
      return ErrnoStatus(errno, "accept", "");
    }
  }
}

Status SendFrame(int fd, std::string_view bytes, Deadline deadline,
                 const std::vector<int>& descriptors) {
  if (bytes.size() > kFrameBytesMax || descriptors.size() > kFrameDescriptorsMax) {
    return Status(Code::kInvalidArgument, "sending a frame: too large");
  }
  std::string wire;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    wire += static_cast<char>(bytes.size() >> shift & 0xffu);
  }
  wire += bytes;
  size_t sent = 0;
  while (sent < wire.size()) {
    CRYOPOD_RETURN_IF_ERROR(WaitReady(fd, POLLOUT, deadline, "sending a frame"));
    ControlBuffer control;
    iovec part{wire.data() + sent, wire.size() - sent};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (sent == 0 && !descriptors.empty()) Attach(message, control, descriptors);
    const ssize_t taken = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (taken < 0 && (errno == EPIPE || errno == ECONNRESET)) {
      return Status(Code::kUnavailable, "sending a frame: the peer closed");
    }
    if (taken < 0) return ErrnoStatus(errno, "sending a frame", "");
    sent += static_cast<size_t>(taken);
  }
  return Status();
}

Result<Frame> ReceiveFrame(int fd, Deadline deadline) {
  Frame frame;
  std::array<char, sizeof(uint32_t)> header{};
  CRYOPOD_ASSIGN_OR_RETURN(
      size_t received, ReceiveBytes(fd, header.data(), header.size(), deadline, frame.descriptors));
  if (received == 0) return Status(Code::kUnavailable, "receiving a frame: the peer closed");
  const Status torn(Code::kDataLoss, "receiving a frame: the peer closed inside it");
  if (received < header.size()) return torn;
  uint32_t size = 0;
  for (size_t i = 0; i < header.size(); ++i) {
    size |= uint32_t{static_cast<unsigned char>(header[i])} << (8 * i);
  }
  if (size > kFrameBytesMax) {
    return Status(Code::kResourceExhausted,
                  "receiving a frame: " + std::to_string(size) + " bytes are too many");
  }
  frame.bytes.resize(size);
  CRYOPOD_ASSIGN_OR_RETURN(received,
                           ReceiveBytes(fd, frame.bytes.data(), size, deadline, frame.descriptors));
  if (received < size) return torn;
  return frame;
}

Result<pid_t> ReadPeerPid(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) return credentials.pid;
  return ErrnoStatus(errno, "SO_PEERCRED", "");
}

}  // namespace cryopod
