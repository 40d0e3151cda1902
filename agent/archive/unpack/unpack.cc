#include "agent/archive/unpack/unpack.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "agent/archive/oci/sha256.h"
#include "agent/archive/unpack/unpack_stream.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr char kProgramName[] = "cryopod-unpack";
constexpr int kPipeBytes = 1 << 20;
// Between the end of the pipe and the end of the process.
constexpr std::chrono::seconds kEndWait{10};
// How long a process that was told to die may take; only one stuck in the kernel takes longer.
constexpr std::chrono::seconds kReapWait{10};

uint64_t CpuSeconds(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::seconds>(deadline.remaining()).count();
  return static_cast<uint64_t>(left) + 1;
}

Status GiveTo(uid_t uid, gid_t gid, int dir_fd, const std::string& name) {
  if (::fchownat(dir_fd, name.c_str(), uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) == 0) {
    return Status();
  }
  return ErrnoStatus(errno, "fchownat", name.empty() ? "a directory" : name);
}

// As long as the process runs the directory and the files in it are its own. Without root it is of
// our user.
Status Lend(int dir_fd) {
  if (::geteuid() != 0) return Status();
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  for (const DirectoryEntry& entry : entries) {
    CRYOPOD_RETURN_IF_ERROR(GiveTo(kUnpackUser, kUnpackUser, dir_fd, entry.name));
  }
  return GiveTo(kUnpackUser, kUnpackUser, dir_fd, "");
}

// The process has ended, so that nothing changes any more; and what has been checked has no name
// elsewhere.
Status TakeBack(int dir_fd, const std::string& name = "") {
  return GiveTo(::geteuid(), ::getegid(), dir_fd, name);
}

// What the process left in a directory is looked at again: plain files with the names that the mode
// allows, nothing reachable from elsewhere, within what is left of the limits. Then they are ours.
Status CheckFile(int dir_fd, const std::string& name, UnpackLimits& left) {
  struct stat attributes {};
  if (::fstatat(dir_fd, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, "fstatat", name);
  }
  const std::string where = "unpacked file \"" + JsonEscape(name) + "\"";
  const bool plain = S_ISREG(attributes.st_mode) && attributes.st_nlink == 1 &&
                     (attributes.st_mode & 07777) == 0600;
  if (!plain) return Status(Code::kDataLoss, where + " is no plain file of mode 0600");
  const auto bytes = static_cast<uint64_t>(attributes.st_size);
  if (left.entries_max == 0 || bytes > left.bytes_max) {
    return Status(Code::kResourceExhausted, where + " takes it above the limits");
  }
  left.entries_max -= 1;
  left.bytes_max -= bytes;
  return TakeBack(dir_fd, name);
}

Status CheckFiles(int dir_fd, Status (*check_name)(std::string_view), UnpackLimits left) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  for (const DirectoryEntry& entry : entries) {
    CRYOPOD_RETURN_IF_ERROR(check_name(entry.name));
    CRYOPOD_RETURN_IF_ERROR(CheckFile(dir_fd, entry.name, left));
  }
  return Status();
}

Status CheckBlobName(std::string_view name) { return CheckDigest("sha256:" + std::string(name)); }

Status CheckEmpty(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  if (entries.empty()) return Status();
  return Status(Code::kInvalidArgument, "the directory to unpack into is not empty");
}

// A pages file becomes two of its length, of which each has holes where the other has none.
Status CheckImages(int dir_fd, const UnpackLimits& limits) {
  return CheckFiles(dir_fd, &CheckFileName, {2 * limits.bytes_max, 2 * limits.entries_max});
}

Status RunInto(int dir_fd, const std::string& program, const UnpackTask& task, int input_fd,
               Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(Lend(dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(UnpackProcess process,
                           UnpackProcess::Start(program, task, input_fd, dir_fd, deadline));
  const Status ended = process.Wait(deadline);
  CRYOPOD_RETURN_IF_ERROR(TakeBack(dir_fd));
  return ended;
}

// oci-layout, index.json and blobs/sha256 of a layout, the two directories apart.
Status CheckLayoutDirectory(int dir_fd, UnpackLimits left) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blobs,
                           OpenBeneath(dir_fd, "blobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd sha256,
                           OpenBeneath(blobs.get(), "sha256", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> top, ListDirectory(dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> middle, ListDirectory(blobs.get()));
  if (top.size() != 3 || middle.size() != 1) {
    return Status(Code::kDataLoss,
                  "the tar is no image layout: oci-layout, index.json or blobs "
                  "are missing");
  }
  for (const char* name : {"oci-layout", "index.json"}) {
    CRYOPOD_RETURN_IF_ERROR(CheckFile(dir_fd, name, left));
  }
  for (const int made_fd : {blobs.get(), sha256.get()}) {
    CRYOPOD_RETURN_IF_ERROR(TakeBack(made_fd));
  }
  return CheckFiles(sha256.get(), &CheckBlobName, left);
}

// Hands on what comes out of the pipe, each entry checked, each file read to its end.
Status ReadEntries(EntryReader& reader, LayerChecker& checker, LayerSink& sink) {
  const LayerSink::Content content = [&reader](char* buffer, size_t size) {
    return reader.Read(buffer, size);
  };
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, reader.Next(&entry));
    if (!more) return Status();
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    CRYOPOD_RETURN_IF_ERROR(sink.Apply(entry, content));
    if (reader.left_bytes() != 0) {
      return Status(Code::kInternal, "\"" + JsonEscape(entry.path) + "\" was not read to its end");
    }
  }
}

Status RunIntoSink(const std::string& program, const UnpackTask& task, int blob_fd, LayerSink& sink,
                   Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  (void)::fcntl(pipe.read.get(), F_SETPIPE_SZ, kPipeBytes);
  CRYOPOD_ASSIGN_OR_RETURN(UnpackProcess process, UnpackProcess::Start(program, task, blob_fd,
                                                                       pipe.write.get(), deadline));
  pipe.write.Reset();
  EntryReader reader(pipe.read.get(), deadline);
  LayerChecker checker(task.limits, task.mode == UnpackMode::kLayer
                                        ? LayerChecker::Accept::kLayer
                                        : LayerChecker::Accept::kPlainFiles);
  const Status read = ReadEntries(reader, checker, sink);
  if (read.ok()) return process.Wait(deadline);
  // Only when the process ended by itself does it know more than we do.
  if (read.code() != Code::kUnavailable) return read;
  const Status ended = process.Wait(deadline.SoonerAfter(kEndWait));
  return ended.ok() ? Status(Code::kDataLoss, read.message()) : ended;
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
  CRYOPOD_ASSIGN_OR_RETURN(Subprocess child,
                           Subprocess::Spawn(options).While("starting " + program));
  return UnpackProcess(std::move(child), std::move(report.read));
}

UnpackProcess::~UnpackProcess() {
  if (ended_ || !report_.valid()) return;
  (void)child_.Kill(SIGKILL).ok();
  (void)child_.Wait(Deadline::After(kReapWait)).ok();
}

Status UnpackProcess::Wait(Deadline deadline) {
  Result<ExitStatus> exit = child_.Wait(deadline);
  ended_ = true;
  if (!exit.ok()) return exit.status().While(kProgramName);
  if (exit->success()) return Status();
  // All that a pipe holds comes at once.
  std::string report(kUnpackReportBytesMax, '\0');
  const ssize_t got = ::read(report_.get(), report.data(), report.size());
  report.resize(got > 0 ? static_cast<size_t>(got) : 0);
  if (report.empty()) {
    return Status(Code::kInternal,
                  std::string(kProgramName) + " ended without a report: " + exit->Describe());
  }
  return ParseReport(report).While(kProgramName);
}

Status UnpackImages(const std::string& unpack_program, int blob_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(CheckEmpty(into_dir_fd));
  CRYOPOD_RETURN_IF_ERROR(
      RunInto(into_dir_fd, unpack_program, {UnpackMode::kImages, limits}, blob_fd, deadline));
  return CheckImages(into_dir_fd, limits);
}

Status RewriteImages(const std::string& unpack_program, const std::string& rules, int images_dir_fd,
                     const UnpackLimits& limits, Deadline deadline) {
  const UniqueFd list(::memfd_create("rules", MFD_CLOEXEC));
  if (!list.valid()) return ErrnoStatus(errno, "memfd_create", "rules");
  CRYOPOD_RETURN_IF_ERROR(WriteAll(list.get(), rules));
  ::lseek(list.get(), 0, SEEK_SET);
  CRYOPOD_RETURN_IF_ERROR(
      RunInto(images_dir_fd, unpack_program, {UnpackMode::kRewrite, limits}, list.get(), deadline));
  return CheckImages(images_dir_fd, limits);
}

Status UnpackLayout(const std::string& unpack_program, int tar_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(CheckEmpty(into_dir_fd));
  CRYOPOD_RETURN_IF_ERROR(
      RunInto(into_dir_fd, unpack_program, {UnpackMode::kLayout, limits}, tar_fd, deadline));
  return CheckLayoutDirectory(into_dir_fd, limits);
}

Status UnpackLayer(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                   const UnpackLimits& limits, Deadline deadline) {
  return RunIntoSink(unpack_program, {UnpackMode::kLayer, limits}, blob_fd, sink, deadline);
}

Status UnpackFilesTo(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                     const UnpackLimits& limits, Deadline deadline) {
  return RunIntoSink(unpack_program, {UnpackMode::kEmit, limits}, blob_fd, sink, deadline);
}

Status UnpackDocumentsTo(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                         const UnpackLimits& limits, Deadline deadline) {
  return RunIntoSink(unpack_program, {UnpackMode::kDocuments, limits}, blob_fd, sink, deadline);
}

}  // namespace cryopod::archive
