#include "agent/archive/store/export_container.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "agent/archive/store/metadata.h"
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

LayerEntry FileEntry(const std::string& path, uint64_t size_bytes) {
  LayerEntry entry;
  entry.path = path;
  entry.mode = 0600;
  entry.size_bytes = size_bytes;
  return entry;
}

Status AddText(TarWriter& tar, const std::string& path, const std::string& text) {
  CRYOPOD_RETURN_IF_ERROR(tar.Add(FileEntry(path, text.size())));
  return tar.Write(text);
}

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
    CRYOPOD_RETURN_IF_ERROR(tar_.Add(FileEntry("checkpoint/" + entry.path, entry.size_bytes)));
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
      deleted_.push_back("/" + entry.path);
      return Status();
    }
    CRYOPOD_RETURN_IF_ERROR(tar_.Add(entry));
    return entry.kind == Kind::kFile ? CopyContent(content, tar_) : Status();
  }
  const std::vector<std::string>& deleted() const { return deleted_; }

 private:
  TarWriter& tar_;
  std::vector<std::string> deleted_;
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
  struct stat attributes {};
  if (::fstat(fd, &attributes) != 0) return ErrnoStatus(errno, "fstat", path);
  CRYOPOD_RETURN_IF_ERROR(tar.Add(FileEntry(path, static_cast<uint64_t>(attributes.st_size))));
  std::vector<char> buffer(kBufferBytes);
  for (off_t done = 0; done < attributes.st_size;) {
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "pread", path);
    if (got == 0) return Status(Code::kDataLoss, path + " shrank");
    CRYOPOD_RETURN_IF_ERROR(tar.Write({buffer.data(), static_cast<size_t>(got)}));
    done += got;
  }
  return Status();
}

// One container on its way into a tar.
class ContainerExport {
 public:
  ContainerExport(const Archive& archive, const ContainerParts& parts,
                  const std::string& unpack_program, Deadline deadline)
      : archive_(archive), parts_(parts), unpack_program_(unpack_program), deadline_(deadline) {}

  Status AddMetadata(TarWriter& tar) const {
    CRYOPOD_ASSIGN_OR_RETURN(const auto metadata,
                             ReadMetadata(unpack_program_, archive_, parts_.metadata, deadline_));
    for (size_t i = 0; i < kMetadataNames.size(); ++i) {
      const auto file = metadata.find(kMetadataNames[i]);
      if (file != metadata.end()) {
        CRYOPOD_RETURN_IF_ERROR(AddText(tar, file->first, file->second));
      } else if (i < kRequiredNames) {
        return Status(Code::kDataLoss, std::string("the metadata holds no ") + kMetadataNames[i]);
      }
    }
    return Status();
  }

  Status AddImages(TarWriter& tar) const {
    LayerEntry directory;
    directory.kind = Kind::kDirectory;
    directory.path = "checkpoint";
    directory.mode = 0700;
    CRYOPOD_RETURN_IF_ERROR(tar.Add(directory));
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive_.OpenVerifiedBlob(parts_.criu_images));
    ImagesSink sink(tar);
    return UnpackFilesTo(unpack_program_, blob.get(), sink, UnpackLimits(), deadline_);
  }

  Status AddRootfs(TarWriter& tar, const std::string& scratch_dir) const {
    if (parts_.rootfs_diff.digest.empty()) return Status();
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive_.OpenVerifiedBlob(parts_.rootfs_diff));
    CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd scratch, ScratchFile(scratch_dir));
    TarWriter layer(TarWriter::Format::kFull,
                    [&scratch](std::string_view bytes) { return WriteAll(scratch.get(), bytes); });
    RootfsSink sink(layer);
    CRYOPOD_RETURN_IF_ERROR(
        UnpackLayer(unpack_program_, blob.get(), sink, UnpackLimits(), deadline_));
    CRYOPOD_RETURN_IF_ERROR(layer.Finish());
    CRYOPOD_RETURN_IF_ERROR(AddScratchFile(tar, "rootfs-diff.tar", scratch.get()));
    if (sink.deleted().empty()) return Status();
    CRYOPOD_ASSIGN_OR_RETURN(const std::string deleted, DeletedFilesJson(sink.deleted()));
    return AddText(tar, "deleted.files", deleted);
  }

 private:
  const Archive& archive_;
  const ContainerParts& parts_;
  const std::string& unpack_program_;
  const Deadline deadline_;
};

}  // namespace

Status ExportContainerTar(const Archive& archive, const std::string& container,
                          const std::string& unpack_program, const std::string& scratch_dir,
                          const ByteSink& sink, Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const ContainerParts* parts, archive.FindContainer(container));
  const std::string doing = "exporting container \"" + container + "\"";
  TarWriter tar(TarWriter::Format::kPlain, sink);
  const ContainerExport source(archive, *parts, unpack_program, deadline);
  CRYOPOD_RETURN_IF_ERROR(source.AddMetadata(tar).While(doing));
  CRYOPOD_RETURN_IF_ERROR(source.AddImages(tar).While(doing));
  CRYOPOD_RETURN_IF_ERROR(source.AddRootfs(tar, scratch_dir).While(doing));
  return tar.Finish().While(doing);
}

}  // namespace cryopod::archive
