// ticker FILE [MEBIBYTES [HOLD]]
//
// Counts in memory and writes the count into FILE every 2 ms, in this process and in a child of it
// (FILE.child). MEBIBYTES of memory are touched first, so that a dump takes its time. HOLD names
// something that CRIU refuses: "deleted" keeps a deleted file of 65 MiB open, "socket:PATH" a
// connection to a unix socket, "uring" an io_uring.

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  ::_exit(1);
}

int Open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) Fail("open");
  return fd;
}

void HoldDeletedFile(const std::string& path) {
  const int fd = Open(path);
  const std::vector<char> block(size_t{65} << 20, 'x');
  if (::write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size())) Fail("write");
  ::unlink(path.c_str());
}

void HoldSocket(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Fail("connect");
  }
}

void HoldUring() {
  io_uring_params params{};
  if (::syscall(SYS_io_uring_setup, 8, &params) < 0) Fail("io_uring_setup");
}

[[noreturn]] void Tick(const std::string& path) {
  const int fd = Open(path);
  for (unsigned long count = 1;; ++count) {
    const std::string text = std::to_string(count) + "\n";
    if (::pwrite(fd, text.data(), text.size(), 0) < 0) Fail("pwrite");
    ::usleep(2000);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::string file = argv[1];
  const size_t ballast_bytes =
      argc > 2 ? static_cast<size_t>(std::strtoul(argv[2], nullptr, 10)) << 20 : 0;
  const std::string hold = argc > 3 ? argv[3] : "";
  const std::vector<char> ballast(ballast_bytes, 'b');
  if (hold == "deleted") HoldDeletedFile(file + ".deleted");
  if (hold.starts_with("socket:")) HoldSocket(hold.substr(7));
  if (hold == "uring") HoldUring();
  const pid_t child = ::fork();
  if (child < 0) Fail("fork");
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Tick(file + ".child");
  }
  Tick(file);
}
