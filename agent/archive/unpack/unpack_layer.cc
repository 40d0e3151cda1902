#include <utility>

#include "agent/archive/tar/tar_reader.h"
#include "agent/archive/unpack/unpack_child.h"
#include "agent/archive/unpack/unpack_stream.h"
#include "agent/os/log.h"

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
void MakeMark(Kind kind, std::string path, LayerEntry* entry) {
  *entry = LayerEntry{};
  entry->kind = kind;
  entry->path = std::move(path);
}

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
    MakeMark(Kind::kOpaque, parent, entry);
    return Status();
  }
  const std::string hidden = name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden.starts_with(kWhiteoutPrefix)) {
    return Status(Code::kDataLoss, where + " is a whiteout of nothing");
  }
  MakeMark(Kind::kWhiteout, parent.empty() ? hidden : parent + "/" + hidden, entry);
  return Status();
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

Status EmitLayer(int input_fd, int pipe_fd, const UnpackLimits& limits) {
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(input_fd, TarReader::Compression::kZstd, limits));
  LayerChecker checker(limits);
  EntryWriter writer(pipe_fd);
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return writer.Finish();
    CRYOPOD_ASSIGN_OR_RETURN(const bool says_something, NormalizeLayerEntry(&entry));
    if (!says_something) continue;
    CRYOPOD_RETURN_IF_ERROR(checker.Check(entry));
    CRYOPOD_RETURN_IF_ERROR(writer.Add(entry));
    while (entry.kind == Kind::kFile) {
      CRYOPOD_ASSIGN_OR_RETURN(const std::string_view piece, tar.Content());
      if (piece.empty()) break;
      CRYOPOD_RETURN_IF_ERROR(writer.Write(piece));
    }
  }
}

Status RunUnpackTask(const UnpackTask& task, int input_fd, int output_fd) {
  switch (task.mode) {
    case UnpackMode::kImages:
      return UnpackFilesInto(input_fd, output_fd, task.limits);
    case UnpackMode::kLayout:
      return UnpackLayoutInto(input_fd, output_fd, task.limits);
    case UnpackMode::kLayer:
      return EmitLayer(input_fd, output_fd, task.limits);
    case UnpackMode::kEmit:
      return EmitFiles(input_fd, output_fd, task.limits);
    case UnpackMode::kRewrite:
      break;  // of CRIU's images, of which this module knows nothing
  }
  return Status(Code::kInternal, "no such mode");
}

}  // namespace cryopod::archive
