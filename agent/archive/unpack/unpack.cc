#include "agent/archive/unpack/unpack.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "agent/archive/oci/descriptor.h"
#include "agent/archive/unpack/unpack_process.h"
#include "agent/archive/unpack/unpack_stream.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr int kPipeBytes = 1 << 20;
// Between the end of the pipe and the end of the process.
constexpr std::chrono::seconds kEndWait{10};

// What the process left in a directory is looked at again: plain files with the names that the mode
// allows, nothing reachable from elsewhere, within the limits.
class DirectoryChecker {
 public:
  explicit DirectoryChecker(const UnpackLimits& limits) : limits_(limits) {}

  using NameCheck = Status (*)(const std::string& name);
  Status Check(int dir_fd, NameCheck check_name) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
    for (const DirectoryEntry& entry : entries) {
      CRYOPOD_RETURN_IF_ERROR(check_name(entry.name));
      CRYOPOD_RETURN_IF_ERROR(CheckFile(dir_fd, entry.name));
    }
    return Status();
  }

  Status CheckFile(int dir_fd, const std::string& name) {
    struct stat attributes {};
    if (::fstatat(dir_fd, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, "fstatat", name);
    }
    const std::string where = "unpacked file \"" + JsonEscape(name) + "\"";
    const bool plain = S_ISREG(attributes.st_mode) && attributes.st_nlink == 1 &&
                       (attributes.st_mode & 07777) == 0600;
    if (!plain) return Status(Code::kDataLoss, where + " is no plain file of mode 0600");
    bytes_ += static_cast<uint64_t>(attributes.st_size);
    if (++entries_ > limits_.entries_max || bytes_ > limits_.bytes_max) {
      return Status(Code::kResourceExhausted, where + " takes it above the limits");
    }
    return Status();
  }

 private:
  UnpackLimits limits_;
  uint64_t entries_ = 0;
  uint64_t bytes_ = 0;
};

Status CheckPlainName(const std::string& name) { return CheckFileName(name); }
Status CheckBlobName(const std::string& name) { return CheckDigest("sha256:" + name); }
Status CheckEmpty(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ListDirectory(dir_fd));
  if (entries.empty()) return Status();
  return Status(Code::kInvalidArgument, "the directory to unpack into is not empty");
}

// A pages file becomes two of its length, of which each has holes where the other has none.
UnpackLimits AfterSplit(const UnpackLimits& limits) {
  UnpackLimits more = limits;
  more.bytes_max += limits.bytes_max;
  more.entries_max += limits.entries_max;
  return more;
}

Status RunIntoDirectory(const std::string& program, const UnpackTask& task, int input_fd,
                        int into_dir_fd, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(CheckEmpty(into_dir_fd));
  CRYOPOD_ASSIGN_OR_RETURN(UnpackProcess process,
                           UnpackProcess::Start(program, task, input_fd, into_dir_fd, deadline));
  return process.Wait(deadline);
}

// oci-layout, index.json and blobs/sha256 of a layout, the two directories apart.
Status CheckLayoutDirectory(int dir_fd, const UnpackLimits& limits) {
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
  DirectoryChecker checker(limits);
  for (const char* name : {"oci-layout", "index.json"}) {
    CRYOPOD_RETURN_IF_ERROR(checker.CheckFile(dir_fd, name));
  }
  return checker.Check(sha256.get(), &CheckBlobName);
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
  LayerChecker checker(task.limits, task.mode == UnpackMode::kEmit
                                        ? LayerChecker::Accept::kPlainFiles
                                        : LayerChecker::Accept::kLayer);
  const Status read = ReadEntries(reader, checker, sink);
  if (read.ok()) return process.Wait(deadline);
  // Only when the process ended by itself does it know more than we do.
  if (read.code() != Code::kUnavailable) return read;
  const Status ended = process.Wait(deadline.SoonerAfter(kEndWait));
  return ended.ok() ? Status(Code::kDataLoss, read.message()) : ended;
}

}  // namespace

Status UnpackImages(const std::string& unpack_program, int blob_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(RunIntoDirectory(unpack_program, {UnpackMode::kImages, limits}, blob_fd,
                                           into_dir_fd, deadline));
  return DirectoryChecker(AfterSplit(limits)).Check(into_dir_fd, &CheckPlainName);
}

Status RewriteImages(const std::string& unpack_program, const std::string& mounts,
                     int images_dir_fd, const UnpackLimits& limits, Deadline deadline) {
  const UniqueFd list(::memfd_create("mounts", MFD_CLOEXEC));
  if (!list.valid()) return ErrnoStatus(errno, "memfd_create", "mounts");
  CRYOPOD_RETURN_IF_ERROR(WriteAll(list.get(), mounts));
  ::lseek(list.get(), 0, SEEK_SET);
  CRYOPOD_ASSIGN_OR_RETURN(UnpackProcess process,
                           UnpackProcess::Start(unpack_program, {UnpackMode::kRewrite, limits},
                                                list.get(), images_dir_fd, deadline));
  CRYOPOD_RETURN_IF_ERROR(process.Wait(deadline));
  return DirectoryChecker(AfterSplit(limits)).Check(images_dir_fd, &CheckPlainName);
}

Status UnpackLayout(const std::string& unpack_program, int tar_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline) {
  CRYOPOD_RETURN_IF_ERROR(RunIntoDirectory(unpack_program, {UnpackMode::kLayout, limits}, tar_fd,
                                           into_dir_fd, deadline));
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

}  // namespace cryopod::archive
