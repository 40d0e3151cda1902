#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "agent/archive/oci/oci_json.h"
#include "agent/archive/oci/sha256.h"
#include "agent/archive/store/export.h"
#include "agent/archive/store/manifests.h"
#include "agent/archive/tar/tar_writer.h"

namespace cryopod::archive {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

Status AddDirectory(TarWriter& tar, const std::string& path) {
  LayerEntry entry;
  entry.kind = LayerEntry::Kind::kDirectory;
  entry.path = path;
  entry.mode = 0755;
  return tar.Add(entry);
}

Status AddText(TarWriter& tar, const std::string& path, const std::string& text) {
  LayerEntry entry;
  entry.path = path;
  entry.mode = 0644;
  entry.size_bytes = text.size();
  CRYOPOD_RETURN_IF_ERROR(tar.Add(entry));
  return tar.Write(text);
}

Status AddBlob(TarWriter& tar, const Archive& archive, const Descriptor& descriptor) {
  const std::string where = "blob " + descriptor.digest;
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenBlob(descriptor));
  LayerEntry entry;
  entry.path = "blobs/sha256/" + DigestHex(descriptor.digest);
  entry.mode = 0644;
  entry.size_bytes = descriptor.size_bytes;
  CRYOPOD_RETURN_IF_ERROR(tar.Add(entry));
  Sha256 hash;
  std::vector<char> buffer(kReadBytes);
  for (uint64_t left = descriptor.size_bytes; left > 0;) {
    const ssize_t got = ::read(blob.get(), buffer.data(), std::min<uint64_t>(left, buffer.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", where);
    if (got == 0) return Status(Code::kDataLoss, where + " is cut off");
    const std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    hash.Update(bytes);
    CRYOPOD_RETURN_IF_ERROR(tar.Write(bytes));
    left -= bytes.size();
  }
  if (hash.Finish() == descriptor.digest) return Status();
  return Status(Code::kDataLoss, where + " has other bytes: it is damaged");
}

}  // namespace

Status ExportOciArchive(const Archive& archive, const ByteSink& sink) {
  const std::string doing = "exporting archive \"" + archive.name() + "\"";
  std::vector<Descriptor> blobs = archive.blobs();
  std::sort(blobs.begin(), blobs.end(),
            [](const Descriptor& a, const Descriptor& b) { return a.digest < b.digest; });
  TarWriter tar(TarWriter::Format::kPlain, sink);
  CRYOPOD_RETURN_IF_ERROR(AddText(tar, "oci-layout", kLayoutJson).While(doing));
  Descriptor pod_index;
  for (const Descriptor& blob : blobs) {
    if (blob.digest == archive.digest()) pod_index = blob;
  }
  CRYOPOD_RETURN_IF_ERROR(
      AddText(tar, "index.json", LayoutIndexJson(pod_index, archive.name())).While(doing));
  CRYOPOD_RETURN_IF_ERROR(AddDirectory(tar, "blobs").While(doing));
  CRYOPOD_RETURN_IF_ERROR(AddDirectory(tar, "blobs/sha256").While(doing));
  for (const Descriptor& blob : blobs) {
    CRYOPOD_RETURN_IF_ERROR(AddBlob(tar, archive, blob).While(doing));
  }
  return tar.Finish().While(doing);
}

}  // namespace cryopod::archive
