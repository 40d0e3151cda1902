#include "agent/os/last_pid/last_pid.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>

#include "agent/os/file.h"
#include "agent/os/mount.h"
#include "agent/os/text.h"

// The program cryopod-last-pid as a linker has made it.
asm(R"(
    .section .rodata, "a"
    .balign 16
    .globl cryopod_last_pid_program, cryopod_last_pid_program_end
    .hidden cryopod_last_pid_program, cryopod_last_pid_program_end
cryopod_last_pid_program:
    .incbin ")" CRYOPOD_LAST_PID_PROGRAM R"("
cryopod_last_pid_program_end:
    .previous
)");
extern "C" const char cryopod_last_pid_program[];
extern "C" const char cryopod_last_pid_program_end[];

namespace cryopod {
namespace {

constexpr char kLastPidFile[] = "/proc/sys/kernel/ns_last_pid";
constexpr size_t kLineBytesMax = 64;
constexpr auto kEndTimeout = std::chrono::seconds(3);
// An answer takes microseconds. Who is asked inside a freeze must not be able to lengthen it.
constexpr auto kAnswerTimeout = std::chrono::seconds(2);

// Where the child finds its descriptors: last_pid_main.cc.
enum : int { kQuestions, kAnswers, kFile, kTarget, kRoot, kProgram };

// linux/memfd.h of Linux 6.3; earlier kernels refuse the flag, and always make such memory
// executable.
constexpr unsigned kMemfdExecutable = 0x10;

// Sealed: who opens it through /proc/PID/exe can write it as little as we. The program's own file
// would be one of the node's.
Result<UniqueFd> MakeProgram() {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd program(::memfd_create("cryopod-last-pid", kFlags | kMemfdExecutable));
  if (!program.valid() && errno == EINVAL) {
    program = UniqueFd(::memfd_create("cryopod-last-pid", kFlags));
  }
  if (!program.valid()) return ErrnoStatus(errno, "memfd_create", "for a program");
  const std::string_view bytes(cryopod_last_pid_program, cryopod_last_pid_program_end);
  CRYOPOD_RETURN_IF_ERROR(WriteAll(program.get(), bytes));
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(program.get(), F_ADD_SEALS, kSeals) == 0) return program;
  return ErrnoStatus(errno, "fcntl", "seals of a program");
}

Result<Subprocess> Start(int pidfd, const Pipe& questions, const Pipe& answers) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd file, OpenOnMountOfItsOwn(kLastPidFile));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd root, MakeEmptyRoot());
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd program, MakeProgram());
  SpawnOptions options;
  options.argv = {"/proc/self/fd/" + std::to_string(kProgram)};
  options.descriptors = {{kQuestions, questions.read_end.get()},
                         {kAnswers, answers.write_end.get()},
                         {kFile, file.get()},
                         {kTarget, pidfd},
                         {kRoot, root.get()},
                         {kProgram, program.get()}};
  options.death_signal = SIGKILL;  // until it has one of its own
  return Subprocess::Spawn(options);
}

Result<size_t> Receive(int answers, void* buffer, size_t size, Deadline deadline) {
  while (true) {
    CRYOPOD_RETURN_IF_ERROR(
        WaitReady(answers, POLLIN, deadline, "the process in the PID namespace"));
    const ssize_t got = ::read(answers, buffer, size);
    if (got > 0) return static_cast<size_t>(got);
    if (got < 0 && errno == EINTR) continue;
    return Status(Code::kUnavailable, "the process in the PID namespace has been ended");
  }
}

}  // namespace

Result<LastPid> LastPid::Enter(int pidfd, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Pipe questions, MakePipe());
  CRYOPOD_ASSIGN_OR_RETURN(Pipe answers, MakePipe());
  CRYOPOD_ASSIGN_OR_RETURN(Subprocess between, Start(pidfd, questions, answers));
  answers.write_end.Reset();
  LastPid last(std::move(between), std::move(questions), std::move(answers.read_end));
  int error = 0;
  CRYOPOD_ASSIGN_OR_RETURN(const size_t size,
                           Receive(last.answers_.get(), &error, sizeof error, deadline)
                               .While("entering the PID namespace"));
  if (size != sizeof error) {
    return Status(Code::kInternal, "entering the PID namespace: no answer");
  }
  // Of setns; of the fork.
  if (error == ESRCH || error == ENOMEM) {
    return Status(Code::kFailedPrecondition,
                  "entering the PID namespace: its first process has ended");
  }
  if (error != 0) return ErrnoStatus(error, "entering", "the PID namespace");
  return last;
}

LastPid::~LastPid() {
  if (!answers_.valid()) return;
  (void)between_.Kill(SIGTERM);
  (void)between_.Wait(Deadline::After(kEndTimeout));
}

Result<pid_t> LastPid::Read(Deadline deadline) const {
  CRYOPOD_RETURN_IF_ERROR(WriteAll(questions_.write_end.get(), "?"));
  std::array<char, kLineBytesMax> text{};
  const Result<size_t> size =
      Receive(answers_.get(), text.data(), text.size(), deadline.SoonerAfter(kAnswerTimeout));
  if (size.status().code() == Code::kDeadlineExceeded && !deadline.expired()) {
    return Status(Code::kUnavailable,
                  "the process in the PID namespace does not answer: somebody holds it");
  }
  if (!size.ok()) return size.status();
  pid_t pid = 0;
  const std::string_view line(text.data(), *size);
  if (!ParseNumber(line.substr(0, line.find('\n')), pid)) {
    return Status(Code::kDataLoss, std::string(kLastPidFile) + " holds no number");
  }
  return pid;
}

}  // namespace cryopod
