#pragma once

#include <functional>
#include <string>
#include <utility>

#include "agent/archive/unpack/unpack_task.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/subprocess.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {

// Front of cryopod-unpack, the process that parses what strangers wrote. Each call starts one such
// process, hands it descriptors and a deadline, and returns when it has ended. The process gets an
// empty environment, rlimits (address space, file size, CPU, no new processes) and nothing but the
// descriptors named here. Directories that it works in are kUnpackUser's meanwhile; what it leaves
// there is checked, and is the caller's again.
//
// Threads  any.

// A blob of PackFiles (zstd tar of plain files) into the empty directory `into_dir_fd`, files 0600.
// If these are CRIU images they are split then (agent/criu/images/split_images.h): private memory
// that CRIU need not restore lies apart. The files may then be twice as long as the limits say;
// what they take is not more.
//
// Refused: any entry that is not a regular file, a name that holds '/' or starts with '.', a name
// twice, more than the limits. Errors: kDataLoss, names the entry; kResourceExhausted;
// kInvalidArgument (not empty); kDeadlineExceeded. After an error the directory holds rubbish.
Status UnpackImages(const std::string& unpack_program, int blob_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline);

// CRIU images in `images_dir_fd`, out of UnpackImages, made those of a container of the live
// request: `rules` says what it holds (agent/criu/images/live_rules.h, as text);
// agent/criu/images/rewrite_images.h and judge_images.h what is done. Errors as of UnpackImages;
// kPermissionDenied: the archive brings more than the request allows.
Status RewriteImages(const std::string& unpack_program, const std::string& rules, int images_dir_fd,
                     const UnpackLimits& limits, Deadline deadline);

// An oci-archive tar (`docker save`-like layout tar: oci-layout, index.json, blobs/sha256/<hex>)
// into the empty directory `into_dir_fd`: only these names, only regular files, each blob hashed
// against its name on the way. Its documents are an archive's, and all of them such as this program
// writes (agent/archive/store/settle_layout.h). Errors also: kInvalidArgument, no archive of a pod;
// kUnimplemented, one of a newer version.
Status UnpackLayout(const std::string& unpack_program, int tar_fd, int into_dir_fd,
                    const UnpackLimits& limits, Deadline deadline);

// Called in the caller's process, entry after entry. For a file, `content` gives its bytes: exactly
// entry.size_bytes must be read from it, at most `size` at a time, 0 at the end.
class LayerSink {
 public:
  virtual ~LayerSink() = default;
  using Content = std::function<Result<size_t>(char* buffer, size_t size)>;
  virtual Status Apply(const LayerEntry& entry, const Content& content) = 0;
};

// A layer of PackOverlayUpper, entry after entry: directories before what is in them, an opaque
// mark right after its directory, the target of a hard link before the link. Every entry has been
// checked on this side as well. Errors: kDataLoss, kResourceExhausted, kDeadlineExceeded; those of
// `sink`.
Status UnpackLayer(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                   const UnpackLimits& limits, Deadline deadline);

// A blob of PackFiles in the same way, instead of into a directory.
Status UnpackFilesTo(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                     const UnpackLimits& limits, Deadline deadline);

// Of such a blob only kRequestDocuments, each read as JSON and written anew. Errors also:
// kDataLoss for one that is no JSON object within json::Limits, names it.
Status UnpackDocumentsTo(const std::string& unpack_program, int blob_fd, LayerSink& sink,
                         const UnpackLimits& limits, Deadline deadline);

// Both ends close-on-exec; `read` is non-blocking.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Result<Pipe> MakePipe();

// One run of cryopod-unpack, seen by whoever started it. Destroyed, it has ended and is reaped.
//
// Threads  the one that started it: the process dies with its thread.
class UnpackProcess {
 public:
  // The descriptors are borrowed; the process gets these two, a pipe to report on, /dev/null as
  // descriptors 0 to 2, and an empty environment.
  static Result<UnpackProcess> Start(const std::string& program, const UnpackTask& task,
                                     int input_fd, int output_fd, Deadline deadline);
  UnpackProcess(UnpackProcess&&) noexcept = default;
  UnpackProcess& operator=(UnpackProcess&&) = delete;
  ~UnpackProcess();

  // Waits for the end and says how it went. Errors: what the process reported; kInternal (it died
  // or reported nonsense); kDeadlineExceeded, it was killed.
  Status Wait(Deadline deadline);
  pid_t pid() const { return child_.pid(); }

 private:
  UnpackProcess(Subprocess child, UniqueFd report)
      : child_(std::move(child)), report_(std::move(report)) {}
  Subprocess child_;
  UniqueFd report_;
  bool ended_ = false;
};

}  // namespace cryopod::archive
