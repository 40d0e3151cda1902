#include "agent/archive/unpack/unpack_child.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "agent/archive/oci/sha256.h"
#include "agent/archive/tar/tar_reader.h"
#include "agent/archive/unpack/unpack_stream.h"
#include "agent/json/value.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/log.h"
#include "agent/os/text.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";

void StripDecoration(std::string* path) {
  while (path->starts_with("./")) path->erase(0, 2);
  while (path->size() > 1 && path->ends_with('/')) path->pop_back();
}

// A mark is its name and nothing else.
Status NormalizeMark(LayerEntry* entry) {
  const size_t slash = entry->path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : entry->path.substr(0, slash);
  const std::string name = entry->path.substr(slash == std::string::npos ? 0 : slash + 1);
  const std::string where = "entry \"" + JsonEscape(entry->path) + "\"";
  if (entry->kind != Kind::kFile || entry->size_bytes != 0) {
    return Status(Code::kDataLoss, where + " is a whiteout with content");
  }
  if (name == kOpaqueName) {
    if (parent.empty()) return Status(Code::kDataLoss, where + " would hide the whole image");
    *entry = {.kind = Kind::kOpaque, .path = parent};
    return Status();
  }
  const std::string hidden = name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden.starts_with(kWhiteoutPrefix)) {
    return Status(Code::kDataLoss, where + " is a whiteout of nothing");
  }
  *entry = {.kind = Kind::kWhiteout, .path = parent.empty() ? hidden : parent + "/" + hidden};
  return Status();
}

Status WriteFile(TarReader& tar, int dir_fd, const std::string& path, Sha256* hash) {
  CRYOPOD_ASSIGN_OR_RETURN(
      const UniqueFd file,
      OpenBeneath(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  const ByteSink write = [&](std::string_view bytes) {
    if (hash != nullptr) hash->Update(bytes);
    return WriteAll(file.get(), bytes);
  };
  return tar.Content(write).While(path);
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

Status UnpackFiles(int input_fd, int dir_fd, const UnpackLimits& limits) {
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

Status UnpackLayout(int input_fd, int dir_fd, const UnpackLimits& limits) {
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(dir_fd, "blobs"));
  CRYOPOD_RETURN_IF_ERROR(MakeDirectoryAt(dir_fd, "blobs/sha256"));
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kNone, limits));
  LayerChecker checker(limits);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return Status();
    StripDecoration(&entry.path);
    CRYOPOD_RETURN_IF_ERROR(CheckLayoutEntry(entry));
    if (entry.path.empty() || entry.path == ".") continue;
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    if (entry.kind == Kind::kDirectory) continue;
    CRYOPOD_RETURN_IF_ERROR(UnpackLayoutFile(tar, dir_fd, entry.path));
  }
}

// A layer's entries are in the form of a tar until they are checked.
Status Emit(int input_fd, int pipe_fd, const UnpackLimits& limits, LayerChecker::Accept accept) {
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kZstd, limits));
  const ByteSink write = [&](std::string_view bytes) { return WriteAll(pipe_fd, bytes); };
  LayerChecker checker(limits, accept);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return write(kEndRecord);
    if (accept == LayerChecker::Accept::kLayer) {
      CRYOPOD_ASSIGN_OR_RETURN(const bool says_something, NormalizeLayerEntry(&entry));
      if (!says_something) continue;
    }
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    CRYOPOD_RETURN_IF_ERROR(write(EncodeEntry(entry)));
    if (entry.kind == Kind::kFile) CRYOPOD_RETURN_IF_ERROR(tar.Content(write));
  }
}

Result<std::string> ReadDocument(TarReader& tar, const LayerEntry& entry) {
  const json::Limits limits;
  if (entry.size_bytes > limits.bytes_max) {
    return Status(Code::kDataLoss, "larger than " + WholeMib(limits.bytes_max));
  }
  std::string text;
  CRYOPOD_RETURN_IF_ERROR(tar.Content([&text](std::string_view bytes) {
    text += bytes;
    return Status();
  }));
  CRYOPOD_ASSIGN_OR_RETURN(const json::Value document, json::Parse(text, limits));
  if (document.object() == nullptr) return Status(Code::kDataLoss, "no JSON object");
  return json::Format(document);
}

Status EmitDocuments(int input_fd, int pipe_fd, const UnpackLimits& limits) {
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kZstd, limits));
  LayerChecker checker(limits, LayerChecker::Accept::kPlainFiles);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return WriteAll(pipe_fd, kEndRecord);
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    if (std::ranges::find(kRequestDocuments, entry.path) == kRequestDocuments.end()) {
      CRYOPOD_RETURN_IF_ERROR(tar.Content([](std::string_view) { return Status(); }));
      continue;
    }
    Result<std::string> document = ReadDocument(tar, entry);
    if (!document.ok()) return document.status().While(entry.path);
    const LayerEntry file{.path = entry.path, .size_bytes = document->size()};
    CRYOPOD_RETURN_IF_ERROR(WriteAll(pipe_fd, EncodeEntry(file)));
    CRYOPOD_RETURN_IF_ERROR(WriteAll(pipe_fd, *document));
  }
}

}  // namespace

Result<bool> NormalizeLayerEntry(LayerEntry* entry) {
  StripDecoration(&entry->path);
  if (entry->kind == Kind::kHardlink) StripDecoration(&entry->link_target);
  if (entry->kind == Kind::kDirectory && (entry->path.empty() || entry->path == ".")) return false;
  const size_t slash = entry->path.rfind('/');
  const std::string_view name =
      std::string_view(entry->path).substr(slash == std::string::npos ? 0 : slash + 1);
  if (name.starts_with(kWhiteoutPrefix)) CRYOPOD_RETURN_IF_ERROR(NormalizeMark(entry));
  return true;
}

Status RunUnpackTask(const UnpackTask& task, int input_fd, int output_fd) {
  switch (task.mode) {
    case UnpackMode::kImages:
      return UnpackFiles(input_fd, output_fd, task.limits);
    case UnpackMode::kLayout:
      return UnpackLayout(input_fd, output_fd, task.limits);
    case UnpackMode::kLayer:
      return Emit(input_fd, output_fd, task.limits, LayerChecker::Accept::kLayer);
    case UnpackMode::kEmit:
      return Emit(input_fd, output_fd, task.limits, LayerChecker::Accept::kPlainFiles);
    case UnpackMode::kDocuments:
      return EmitDocuments(input_fd, output_fd, task.limits);
    case UnpackMode::kRewrite:
      break;  // of CRIU's images, of which this module knows nothing
  }
  return Status(Code::kInternal, "no such mode");
}

}  // namespace cryopod::archive
