#include "agent/archive/unpack/unpack_process.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <string_view>
#include <utility>

namespace cryopod::archive {
namespace {

constexpr char kProgramName[] = "cryopod-unpack";
// How long a process that was told to die may take; only one stuck in the kernel takes longer.
constexpr std::chrono::seconds kReapWait{10};

uint64_t CpuSeconds(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::seconds>(deadline.remaining()).count();
  return static_cast<uint64_t>(left) + 1;
}

std::string ReadReport(int fd) {
  std::array<char, kUnpackReportBytesMax> buffer{};
  size_t size = 0;
  while (size < buffer.size()) {
    const ssize_t got = ::read(fd, buffer.data() + size, buffer.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<size_t>(got);
  }
  return std::string(buffer.data(), size);
}

}  // namespace

Result<Pipe> MakePipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2", kProgramName);
  Pipe pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
  if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl", kProgramName);
  }
  return pipe;
}

Result<UnpackProcess> UnpackProcess::Start(const std::string& program, const UnpackTask& task,
                                           int input_fd, int output_fd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Pipe report, MakePipe());
  UnpackTask bounded = task;
  bounded.cpu_seconds = CpuSeconds(deadline);
  SpawnOptions options;
  options.argv = ToArguments(program, bounded);
  options.descriptors = {{kUnpackInputFd, input_fd},
                         {kUnpackOutputFd, output_fd},
                         {kUnpackReportFd, report.write.get()}};
  options.working_directory = "/";
  options.new_session = true;
  options.death_signal = SIGKILL;
  options.umask = 077;
  Result<Subprocess> child = Subprocess::Spawn(options);
  if (!child.ok()) return child.status().While("starting " + program);
  return UnpackProcess(std::move(*child), std::move(report.read));
}

UnpackProcess::~UnpackProcess() {
  if (report_.valid()) Kill();
}

void UnpackProcess::Kill() {
  if (std::exchange(ended_, true)) return;
  (void)child_.Kill(SIGKILL).ok();
  (void)child_.Wait(Deadline::After(kReapWait)).ok();
}

Status UnpackProcess::Wait(Deadline deadline) {
  Result<ExitStatus> exit = child_.Wait(deadline);
  ended_ = true;
  if (!exit.ok()) return exit.status().While(kProgramName);
  if (exit->success()) return Status();
  const std::string report = ReadReport(report_.get());
  if (report.empty()) {
    return Status(Code::kInternal,
                  std::string(kProgramName) + " ended without a report: " + exit->Describe());
  }
  return ParseReport(report).While(kProgramName);
}

}  // namespace cryopod::archive
