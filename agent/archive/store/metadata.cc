#include "agent/archive/store/metadata.h"

#include <utility>

#include "agent/archive/unpack/unpack.h"
#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

class MemorySink : public LayerSink {
 public:
  Status Apply(const LayerEntry& entry, const Content& content) override {
    std::string text(entry.size_bytes, '\0');  // the checker has bounded it
    for (size_t done = 0; done < text.size();) {
      CRYOPOD_ASSIGN_OR_RETURN(const size_t got, content(text.data() + done, text.size() - done));
      if (got == 0) return Status(Code::kDataLoss, JsonEscape(entry.path) + " is cut off");
      done += got;
    }
    files_[entry.path] = std::move(text);
    return Status();
  }

  std::map<std::string, std::string> Take() { return std::move(files_); }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace

Result<std::map<std::string, std::string>> ReadMetadata(const std::string& unpack_program,
                                                        const Archive& archive,
                                                        const Descriptor& descriptor,
                                                        Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd blob, archive.OpenVerifiedBlob(descriptor));
  MemorySink sink;
  const UnpackLimits limits{kMetadataBytesMax, kMetadataFilesMax};
  CRYOPOD_RETURN_IF_ERROR(
      UnpackFilesTo(unpack_program, blob.get(), sink, limits, deadline)
          .While("archive \"" + archive.name() + "\": metadata " + descriptor.digest));
  return sink.Take();
}

}  // namespace cryopod::archive
