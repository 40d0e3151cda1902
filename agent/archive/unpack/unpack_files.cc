#include <fcntl.h>

#include <utility>

#include "agent/archive/oci/descriptor.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/tar/byte_sink.h"
#include "agent/archive/tar/tar_reader.h"
#include "agent/archive/unpack/unpack_child.h"
#include "agent/archive/unpack/unpack_stream.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

Status CopyContent(TarReader& tar, const ByteSink& sink) {
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const std::string_view piece, tar.Content());
    if (piece.empty()) return Status();
    CRYOPOD_RETURN_IF_ERROR(sink(piece));
  }
}

Status WriteFile(TarReader& tar, int dir_fd, const std::string& path, Sha256* hash) {
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenBeneath(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  return CopyContent(tar,
                     [&](std::string_view bytes) {
                       if (hash != nullptr) hash->Update(bytes);
                       return WriteAll(file.get(), bytes);
                     })
      .While(path);
}

// "./blobs/" and "blobs" are the same entry.
std::string WithoutDecoration(std::string_view path) {
  if (path.starts_with("./")) path.remove_prefix(2);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

bool IsBlobPath(const std::string& path) {
  static const std::string kPrefix = "blobs/sha256/";
  return path.starts_with(kPrefix) && CheckDigest("sha256:" + path.substr(kPrefix.size())).ok();
}

Status CheckLayoutEntry(const LayerEntry& entry) {
  const std::string& path = entry.path;
  const bool directory = path.empty() || path == "." || path == "blobs" || path == "blobs/sha256";
  const bool file = path == "oci-layout" || path == "index.json" || IsBlobPath(path);
  if (entry.kind == Kind::kDirectory ? directory : entry.kind == Kind::kFile && file) {
    return Status();
  }
  return Status(Code::kDataLoss,
                "entry \"" + JsonEscape(path) + "\" is no part of an image layout");
}

Status UnpackLayoutFile(TarReader& tar, int dir_fd, const std::string& path) {
  Sha256 hash;
  CRYOPOD_RETURN_IF_ERROR(WriteFile(tar, dir_fd, path, &hash));
  if (!IsBlobPath(path)) return Status();
  const std::string digest = hash.Finish();
  if (path == "blobs/sha256/" + DigestHex(digest)) return Status();
  return Status(Code::kDataLoss, "entry \"" + path + "\" has the digest " + digest);
}

}  // namespace

Status UnpackFilesInto(int input_fd, int dir_fd, const UnpackLimits& limits) {
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kZstd, limits));
  LayerChecker checker(limits, LayerChecker::Accept::kPlainFiles);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return Status();
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    CRYOPOD_RETURN_IF_ERROR(WriteFile(tar, dir_fd, entry.path, nullptr));
  }
}

Status EmitFiles(int input_fd, int pipe_fd, const UnpackLimits& limits) {
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kZstd, limits));
  LayerChecker checker(limits, LayerChecker::Accept::kPlainFiles);
  EntryWriter writer(pipe_fd);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return writer.Finish();
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    CRYOPOD_RETURN_IF_ERROR(writer.Add(entry));
    CRYOPOD_RETURN_IF_ERROR(
        CopyContent(tar, [&](std::string_view bytes) { return writer.Write(bytes); }));
  }
}

Status UnpackLayoutInto(int input_fd, int dir_fd, const UnpackLimits& limits) {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(dir_fd, "blobs"));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(dir_fd, "blobs/sha256"));
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kNone, limits));
  LayerChecker checker(limits);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return Status();
    entry.path = WithoutDecoration(entry.path);
    CRYOPOD_RETURN_IF_ERROR(CheckLayoutEntry(entry));
    if (entry.path.empty() || entry.path == ".") continue;
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    if (entry.kind == Kind::kDirectory) continue;
    CRYOPOD_RETURN_IF_ERROR(UnpackLayoutFile(tar, dir_fd, entry.path));
  }
}

}  // namespace cryopod::archive
