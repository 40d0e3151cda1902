// Bears witness of SIGTERM: marks it in memory, on standard output and in a file, then goes on.
//
//   signal_witness [FILE]     FILE is /data/sigterm_seen unless told otherwise
//
// A source that is stopped at the cut must be ended without any of its handlers running: then no
// mark is found. It goes on after the signal, so that what runs past the cut would be seen as well:
// it also appends a line to FILE.alive every 20 ms. verify is bad once a SIGTERM was seen. Only
// SIGINT ends it with its verdict.
#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

std::string* mark_path = nullptr;  // a handler can be given nothing
std::atomic<std::uint64_t> signals_seen = 0;

void Witness(int) {
  const int saved_errno = errno;
  ++signals_seen;
  constexpr std::string_view kMark = "SIGTERM seen\n";
  WriteAll(STDOUT_FILENO, kMark);
  const int fd = ::open(mark_path->c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd >= 0) {
    WriteAll(fd, kMark);
    ::close(fd);
  }
  errno = saved_errno;
}

[[noreturn]] void LiveForEver(const std::string& path, std::atomic<std::uint64_t>& beats) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
      WriteAll(fd, std::to_string(++beats) + "\n");
      ::close(fd);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("signal_witness", argc, argv);
  static std::string path = argc > 1 ? argv[1] : "/data/sigterm_seen";
  static std::atomic<std::uint64_t> beats = 0;
  mark_path = &path;
  std::signal(SIGTERM, Witness);
  std::thread([] { LiveForEver(path + ".alive", beats); }).detach();
  Serve(
      "signal_witness",
      {
          .report =
              [] { return JsonLine().Number("sigterm_seen", signals_seen).Number("beats", beats); },
          .verify = []() -> std::string { return signals_seen == 0 ? "" : "SIGTERM was seen"; },
          .corrupt = [] { ::raise(SIGTERM); },
      });
}
