#include "agent/archive/store/export_container.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "agent/archive/tar/tar_writer.h"
#include "agent/archive/unpack/unpack.h"
#include "agent/json/fields.h"
#include "agent/os/file.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using Kind = LayerEntry::Kind;

constexpr size_t kBufferBytes = size_t{256} << 10;

// In the order of the tar. Those that an engine does not write are simply not there; without the
// first two no tool reads the rest.
constexpr std::array kMetadataNames = {"config.dump",    "spec.dump",  "status.dump",
                                       "network.status", "stats-dump", "dump.log"};
constexpr size_t kRequiredNames = 2;

Status CopyContent(const LayerSink::Content& content, TarWriter& tar) {
  std::vector<char> buffer(kBufferBytes);
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t got, content(buffer.data(), buffer.size()));
    if (got == 0) return Status();
    CRYOPOD_RETURN_IF_ERROR(tar.Write({buffer.data(), got}));
  }
}

// CRIU's images under checkpoint/.
class ImagesSink : public LayerSink {
 public:
  explicit ImagesSink(TarWriter& tar) : tar_(tar) {}
  Status Apply(const LayerEntry& entry, const Content& content) override {
    CRYOPOD_RETURN_IF_ERROR(tar_.Add(
        {.path = "checkpoint/" + entry.path, .mode = 0600, .size_bytes = entry.size_bytes}));
    return CopyContent(content, tar_);
  }

 private:
  TarWriter& tar_;
};

// The writable layer as CRI-O wants it: what is there as a plain tar, what was removed as a list.
// An opaque directory cannot be told by a list, which knows no names below: its OCI mark stays.
class RootfsSink : public LayerSink {
 public:
  explicit RootfsSink(TarWriter& tar) : tar_(tar) {}
  Status Apply(const LayerEntry& entry, const Content& content) override {
    if (entry.kind == Kind::kWhiteout) {
      deleted.push_back("/" + entry.path);
      return Status();
    }
    CRYOPOD_RETURN_IF_ERROR(tar_.Add(entry));
    return entry.kind == Kind::kFile ? CopyContent(content, tar_) : Status();
  }

  std::vector<std::string> deleted;

 private:
  TarWriter& tar_;
};

// A JSON array of strings. Errors: kUnimplemented for a name that is no UTF-8.
Result<std::string> DeletedFilesJson(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const Result<json::Value> read = json::Parse(json::Format({path}));
    if (!read.ok() || read->Text() != path) {
      return Status(Code::kUnimplemented, "the removed file \"" + JsonEscape(path) +
                                              "\" cannot be named in deleted.files");
    }
  }
  return json::Format(json::Fields::ToValue(paths));
}

Result<UniqueFd> ScratchFile(const std::string& dir) {
  Result<UniqueFd> file = OpenAt(AT_FDCWD, dir, O_RDWR | O_TMPFILE, 0600);
  if (file.ok() || file.status().code() != Code::kUnimplemented) return file;
  const std::string path = dir + "/rootfs-diff.tar.partial";
  file = OpenAt(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (file.ok()) ::unlink(path.c_str());
  return file;
}

Status AddScratchFile(TarWriter& tar, const std::string& path, int fd) {
  const off_t size = ::lseek(fd, 0, SEEK_CUR);
  if (size < 0 || ::lseek(fd, 0, SEEK_SET) != 0) return ErrnoStatus(errno, "lseek", path);
  return tar.AddFile({.path = path, .mode = 0600, .size_bytes = static_cast<uint64_t>(size)}, fd,
                     nullptr);
}

// One container on its way into a tar.
struct ContainerExport {
  const Archive& archive;
  const ContainerParts& parts;
  const std::string& unpack_program;
  const Deadline deadline;

  Status AddMetadata(TarWriter& tar) const {
    CRYOPOD_ASSIGN_OR_RETURN(const auto metadata,
                             ReadMetadata(unpack_program, archive, parts.metadata, deadline));
    for (size_t i = 0; i < kMetadataNames.size(); ++i) {
      const auto file = metadata.find(kMetadataNames[i]);
      if (file != metadata.end()) {
        CRYOPOD_RETURN_IF_ERROR(tar.AddBytes(file->first, 0600, file->second));
      } else if (i < kRequiredNames) {
        return Status(Code::kDataLoss, std::string("the metadata holds no ") + kMetadataNames[i]);
      }
    }
    return Status();
  }

  Status AddImages(TarWriter& tar) const {
    CRYOPOD_RETURN_IF_ERROR(
        tar.Add({.kind = Kind::kDirectory, .path = "checkpoint", .mode = 0700}));
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenVerifiedBlob(parts.criu_images));
    ImagesSink sink(tar);
    return UnpackFilesTo(unpack_program, blob.get(), sink, UnpackLimits(), deadline);
  }

  Status AddRootfs(TarWriter& tar, const std::string& scratch_dir) const {
    if (parts.rootfs_diff.digest.empty()) return Status();
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenVerifiedBlob(parts.rootfs_diff));
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd scratch, ScratchFile(scratch_dir));
    TarWriter layer(TarWriter::Format::kFull,
                    [&scratch](std::string_view bytes) { return WriteAll(scratch.get(), bytes); });
    RootfsSink sink(layer);
    CRYOPOD_RETURN_IF_ERROR(
        UnpackLayer(unpack_program, blob.get(), sink, UnpackLimits(), deadline));
    CRYOPOD_RETURN_IF_ERROR(layer.Finish());
    CRYOPOD_RETURN_IF_ERROR(AddScratchFile(tar, "rootfs-diff.tar", scratch.get()));
    if (sink.deleted.empty()) return Status();
    CRYOPOD_ASSIGN_OR_RETURN(const std::string deleted, DeletedFilesJson(sink.deleted));
    return tar.AddBytes("deleted.files", 0600, deleted);
  }
};

}  // namespace

Status ExportContainerTar(const Archive& archive, const std::string& container,
                          const std::string& unpack_program, const std::string& scratch_dir,
                          const ByteSink& sink, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerParts* parts, archive.FindContainer(container));
  const std::string doing = "exporting container \"" + container + "\"";
  TarWriter tar(TarWriter::Format::kPlain, sink);
  const ContainerExport source{archive, *parts, unpack_program, deadline};
  CRYOPOD_RETURN_IF_ERROR(source.AddMetadata(tar).While(doing));
  CRYOPOD_RETURN_IF_ERROR(source.AddImages(tar).While(doing));
  CRYOPOD_RETURN_IF_ERROR(source.AddRootfs(tar, scratch_dir).While(doing));
  return tar.Finish().While(doing);
}

}  // namespace cryopod::archive
