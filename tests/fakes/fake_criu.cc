// A criu that speaks swrk on the wire and behaves as its name says:
//
//   criu            version 4.2.1; a dump succeeds
//   criu-old        version 3.17.1, as in Debian 12
//   criu-fails      a dump logs an error of io_uring and is answered with failure
//   criu-silent     a dump fails without a log
//   criu-dies       gets SIGKILL when it is asked
//   criu-garbage    answers what is no protobuf
//   criu-refuses    fails before it is parked
//   criu-lingers    ends 300 ms after its answer
//   criu-late       finishes a dump 300 ms after it was asked
//   criu-waits      says "dumping" in the work directory and finishes once it may ("finish", there)
//   criu-hangs      never answers; SIGTERM ends it
//   criu-holds      the same, while it traces a child of its own
//   criu-writes     writes images until it cannot, and fails then
//   criu-stubborn   never answers; ignores SIGTERM
//   criu-unfit      its check fails
//   criu-strange-kernel  it cannot make out the kernel's features
//
// A dump leaves in the work directory the request as it came ("request") and what the process found
// itself to be ("circumstances"), so that tests can look at both.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "agent/criu/proto/rpc.pb.h"

extern char** environ;

namespace {

namespace wire = cryopod::criu::wire;

std::string name_of_program;
int swrk_socket = -1;

bool Is(std::string_view behaviour) { return name_of_program == behaviour; }

void Reply(const wire::criu_resp& response) {
  const std::string bytes = response.SerializeAsString();
  if (::send(swrk_socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) ::_exit(3);
}

// Descriptor numbers of a request are those of the process that made the socket pair.
std::string DirectoryOfPeer(int number) {
  struct ucred peer {};
  socklen_t length = sizeof(peer);
  ::getsockopt(swrk_socket, SOL_SOCKET, SO_PEERCRED, &peer, &length);
  return "/proc/" + std::to_string(peer.pid) + "/fd/" + std::to_string(number);
}

std::string Circumstances() {
  std::string text;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    text += "env " + std::string(*variable) + "\n";
  }
  const mode_t mask = ::umask(0);
  ::umask(mask);
  text += "umask " + std::to_string(mask) + "\n";
  text += std::string("session ") + (::getsid(0) == ::getpid() ? "own" : "inherited") + "\n";
  for (int fd = 0; fd < 10; ++fd) {
    std::array<char, 256> target{};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = ::readlink(link.c_str(), target.data(), target.size() - 1);
    if (length > 0) text += "fd " + std::to_string(fd) + " " + target.data() + "\n";
  }
  return text;
}

void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// For 30 s at the most: a test that is gone says no word.
void WaitToFinish(const std::string& work) {
  Write(work + "/dumping", "");
  for (int i = 0; i < 3000 && ::access((work + "/finish").c_str(), F_OK) != 0; ++i) {
    ::usleep(10'000);
  }
}

void HoldAChild() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) ::pause();
  }
  ::ptrace(PTRACE_SEIZE, child, nullptr, nullptr);
}

int WriteUntilItFails(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  while (::pwrite(file, "page", 4, 0) == 4) ::usleep(1000);
  return 1;
}

// Says where it is and waits for the word to go on, as with notify_scripts.
bool MayGoOn(const std::string& where) {
  wire::criu_resp response;
  response.set_type(wire::NOTIFY);
  response.set_success(true);
  response.mutable_notify()->set_script(where);
  Reply(response);
  std::array<char, 256> bytes{};
  const ssize_t length = ::recv(swrk_socket, bytes.data(), bytes.size(), 0);
  wire::criu_req request;
  return length > 0 && request.ParseFromArray(bytes.data(), static_cast<int>(length)) &&
         request.type() == wire::NOTIFY && request.notify_success();
}

int Dump(const wire::criu_req& request, const std::string& bytes) {
  const std::string work = DirectoryOfPeer(request.opts().work_dir_fd());
  const std::string images = DirectoryOfPeer(request.opts().images_dir_fd());
  const std::string circumstances = Circumstances();
  Write(work + "/circumstances", circumstances);
  Write(work + "/request", bytes);
  if (Is("criu-refuses")) {
    Write(work + "/" + request.opts().log_file(),
          "(00.000100) Error (criu/cr-service.c:1): images directory is gone\n");
  } else if (!MayGoOn("pre-dump")) {
    return 1;
  }
  wire::criu_resp response;
  response.set_type(wire::DUMP);
  response.set_success(!Is("criu-fails") && !Is("criu-refuses") && !Is("criu-silent"));
  if (Is("criu-holds")) HoldAChild();
  if (Is("criu-hangs") || Is("criu-stubborn") || Is("criu-holds")) {
    while (true) ::pause();
  }
  if (Is("criu-writes")) return WriteUntilItFails(images + "/pages-1.img");
  if (Is("criu-late")) ::usleep(300'000);
  if (Is("criu-waits")) WaitToFinish(work);
  if (Is("criu-fails")) {
    Write(work + "/" + request.opts().log_file(),
          "(00.000100) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: "
          "Operation not permitted\n"
          "(00.030000) Error (criu/proc_parse.c:99): Unknown shit 600 (anon_inode:[io_uring])\n"
          "(00.040000) Error (criu/cr-dump.c:1975): Dumping FAILED.\n");
  }
  if (Is("criu-silent")) response.set_cr_errmsg("something at\x1b[31m the start");
  if (response.success() && !MayGoOn("post-dump")) return 1;
  const std::string pstree = images + "/pstree.img";  // which a test may have put there
  if (response.success() && ::access(pstree.c_str(), F_OK) != 0) Write(pstree, "images");
  Reply(response);
  if (Is("criu-lingers")) ::usleep(300'000);
  return response.success() ? 0 : 1;
}

int TellVersion() {
  wire::criu_resp response;
  response.set_type(wire::VERSION);
  response.set_success(true);
  wire::criu_version* version = response.mutable_version();
  version->set_major_number(Is("criu-old") ? 3 : 4);
  version->set_minor_number(Is("criu-old") ? 17 : 2);
  version->set_sublevel(1);
  Reply(response);
  return 0;
}

int Check(wire::criu_req_type type) {
  const bool unfit = type == wire::CHECK ? Is("criu-unfit") : Is("criu-strange-kernel");
  wire::criu_resp response;
  response.set_type(type);
  response.set_success(!unfit);
  if (unfit) {
    std::fprintf(stderr, "Error (criu/cr-check.c:12): The kernel has no CONFIG_CHECKPOINT\n");
  }
  Reply(response);
  return 0;
}

int Serve() {
  std::string bytes(size_t{1} << 20, '\0');
  const ssize_t length = ::recv(swrk_socket, bytes.data(), bytes.size(), 0);
  if (length <= 0) return 1;
  bytes.resize(static_cast<size_t>(length));
  wire::criu_req request;
  if (!request.ParseFromString(bytes)) return 1;
  if (Is("criu-dies")) ::raise(SIGKILL);
  if (Is("criu-garbage")) {
    constexpr std::string_view kGarbage = "\xff\xff\xff garbage";
    ::send(swrk_socket, kGarbage.data(), kGarbage.size(), MSG_NOSIGNAL);
    return 0;
  }
  switch (request.type()) {
    case wire::VERSION:
      return TellVersion();
    case wire::CHECK:
    case wire::FEATURE_CHECK:
      return Check(request.type());
    case wire::DUMP:
      return Dump(request, bytes);
    default:
      return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = argv[0];
  name_of_program = path.substr(path.find_last_of('/') + 1);
  if (argc < 3 || std::string_view(argv[argc - 2]) != "swrk") return 2;
  swrk_socket = std::atoi(argv[argc - 1]);
  if (Is("criu-stubborn")) ::signal(SIGTERM, SIG_IGN);
  return Serve();
}
