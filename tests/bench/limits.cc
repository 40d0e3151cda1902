// What the machine itself can do, measured beside the peers, and the conditioning of its memory.
//
//   limits measure DIRECTORY   one line of JSON; files are written to DIRECTORY and removed
//   limits condition MIB       touches so much memory and gives it back, so that the next leg pays
//                              for no pages that the host has taken away; prints what a page cost
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kMib = size_t{1} << 20;
constexpr size_t kPageBytes = 4096;
constexpr size_t kMeasureBytes = 256 * kMib;
constexpr size_t kChunkBytes = kMib;
constexpr size_t kProbeBytes = 256 * kMib;
constexpr int kRepeats = 3;

[[noreturn]] void Die(const std::string& what) {
  std::perror(("limits: " + what).c_str());
  std::exit(1);
}

double SecondsOf(const std::function<void()>& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

double BestSecondsOf(const std::function<void()>& work) {
  double best = SecondsOf(work);
  for (int i = 1; i < kRepeats; ++i) best = std::min(best, SecondsOf(work));
  return best;
}

class Memory {
 public:
  explicit Memory(size_t bytes, int advice = MADV_NOHUGEPAGE) : bytes_(bytes) {
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) Die("mmap");
    ::madvise(memory, bytes, advice);
    data_ = static_cast<char*>(memory);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { ::munmap(data_, bytes_); }

  char* data() const { return data_; }

  void Touch() const {
    for (size_t at = 0; at < bytes_; at += kPageBytes) data_[at] = 1;
  }

  // Half random, half small numbers: not what a compressor likes best nor least.
  void Fill() const {
    uint64_t random = 88172645463325252U;
    for (size_t at = 0; at < bytes_; at += sizeof(random)) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      const uint64_t word = at / sizeof(random) % 2 == 0 ? random : random & 0xff;
      std::memcpy(data_ + at, &word, sizeof(word));
    }
  }

 private:
  const size_t bytes_;
  char* data_ = nullptr;
};

double GbPerSecond(size_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds / 1e9;
}

// A child that waits until it is killed; its memory is a copy of the parent's.
pid_t ForkWaiting() {
  const pid_t child = ::fork();
  if (child < 0) Die("fork");
  if (child == 0) {
    ::pause();
    std::_Exit(0);
  }
  return child;
}

void End(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

double ForkMilliseconds() {
  pid_t child = -1;
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    best = std::min(best, SecondsOf([&child] { child = ForkWaiting(); }));
    End(child);
  }
  return best * 1e3;
}

double ReadOtherProcess(const Memory& source, const Memory& target) {
  const pid_t child = ForkWaiting();
  const double seconds = BestSecondsOf([&] {
    for (size_t at = 0; at < kMeasureBytes; at += kChunkBytes) {
      const iovec local = {target.data() + at, kChunkBytes};
      const iovec remote = {source.data() + at, kChunkBytes};
      if (::process_vm_readv(child, &local, 1, &remote, 1, 0) !=
          static_cast<ssize_t>(kChunkBytes)) {
        Die("process_vm_readv");
      }
    }
  });
  End(child);
  return GbPerSecond(kMeasureBytes, seconds);
}

double Zstd(const Memory& source) {
  std::vector<char> out(ZSTD_compressBound(kChunkBytes));
  ZSTD_CCtx* context = ZSTD_createCCtx();
  const double seconds = BestSecondsOf([&] {
    for (size_t at = 0; at < kMeasureBytes; at += kChunkBytes) {
      const size_t size =
          ZSTD_compressCCtx(context, out.data(), out.size(), source.data() + at, kChunkBytes, 1);
      if (ZSTD_isError(size)) Die("zstd");
    }
  });
  ZSTD_freeCCtx(context);
  return GbPerSecond(kMeasureBytes, seconds);
}

double Sha256(const Memory& source) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  const double seconds = BestSecondsOf([&] {
    if (EVP_Digest(source.data(), kMeasureBytes, digest, nullptr, EVP_sha256(), nullptr) != 1) {
      Die("sha256");
    }
  });
  return GbPerSecond(kMeasureBytes, seconds);
}

double DurableWrite(const Memory& source, const std::string& directory) {
  const std::string path = directory + "/limits.partial";
  const double seconds = SecondsOf([&] {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) Die(path);
    for (size_t at = 0; at < kMeasureBytes; at += kChunkBytes) {
      if (::write(fd, source.data() + at, kChunkBytes) != static_cast<ssize_t>(kChunkBytes)) {
        Die(path);
      }
    }
    if (::fsync(fd) != 0) Die(path);
    ::close(fd);
  });
  ::unlink(path.c_str());
  return GbPerSecond(kMeasureBytes, seconds);
}

void Measure(const std::string& directory) {
  const Memory source(kMeasureBytes);
  const Memory target(kMeasureBytes);
  source.Fill();
  target.Touch();
  const double copy =
      BestSecondsOf([&] { std::memcpy(target.data(), source.data(), kMeasureBytes); });
  const double fork_ms = ForkMilliseconds();
  std::printf(
      "{\"memcpy_gb_per_s\": %.2f, \"process_vm_readv_gb_per_s\": %.2f, "
      "\"fork_ms_per_gib\": %.2f, \"zstd1_gb_per_s\": %.2f, \"sha256_gb_per_s\": %.2f, "
      "\"disk_durable_gb_per_s\": %.2f}\n",
      GbPerSecond(kMeasureBytes, copy), ReadOtherProcess(source, target),
      // Both areas are copied.
      fork_ms * (1024.0 * kMib) / (2.0 * kMeasureBytes), Zstd(source), Sha256(source),
      DurableWrite(source, directory));
}

void Condition(size_t mib) {
  {
    const Memory memory(mib * kMib, MADV_HUGEPAGE);
    memory.Touch();
  }
  const Memory probe(kProbeBytes);
  const double seconds = SecondsOf([&probe] { probe.Touch(); });
  std::printf("{\"page_us\": %.3f}\n", seconds * 1e6 / (kProbeBytes / kPageBytes));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[1] : "";
  if (mode == "measure") {
    Measure(argv[2]);
  } else if (mode == "condition" && std::atol(argv[2]) > 0) {
    Condition(static_cast<size_t>(std::atol(argv[2])));
  } else {
    std::fprintf(stderr, "usage: limits measure DIRECTORY | limits condition MIB\n");
    return 2;
  }
}
