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
std::atomic<std::uint64_t> beats = 0;

void Append(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  WriteAll(fd, text);
  ::close(fd);
}

void Witness(int) {
  const int saved_errno = errno;
  ++signals_seen;
  constexpr std::string_view kMark = "SIGTERM seen\n";
  WriteAll(STDOUT_FILENO, kMark);
  Append(*mark_path, kMark);
  errno = saved_errno;
}

[[noreturn]] void LiveForEver() {
  for (const std::string path = *mark_path + ".alive";;) {
    Append(path, std::to_string(++beats) + "\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

class Witnessed final : public Workload {
 public:
  JsonLine Report() override {
    return JsonLine().Number("sigterm_seen", signals_seen).Number("beats", beats);
  }
  std::string Verify() override { return signals_seen == 0 ? "" : "SIGTERM was seen"; }
  void Corrupt() override { ::raise(SIGTERM); }
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("signal_witness", argc, argv);
  static std::string path = argc > 1 ? argv[1] : "/data/sigterm_seen";
  mark_path = &path;
  std::signal(SIGTERM, Witness);
  std::thread(LiveForEver).detach();
  static Witnessed witnessed;
  Serve("signal_witness", witnessed);
}
