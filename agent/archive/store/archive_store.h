#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/archive/oci/oci_json.h"
#include "agent/archive/oci/pod_checkpoint.h"
#include "agent/os/deadline.h"
#include "agent/os/status.h"
#include "agent/os/unique_fd.h"

namespace cryopod::archive {

// A name of an archive: 1 to 200 of [a-z0-9A-Z._-], starting with a letter or digit.
Status CheckArchiveName(const std::string& name);

// "NAME" or "NAME@sha256:<hex>".
struct ArchiveReference {
  std::string name;
  std::string digest;  // empty: whatever stands under the name
};
// Errors: kInvalidArgument, names the input and the form.
Result<ArchiveReference> ParseArchiveReference(const std::string& text);

// Who wrote an archive that stands in the store: a checkpoint of this node, or whoever made the tar
// that was imported.
enum class Origin { kThisNode, kImported };

// Layers of one container's manifest, found by media type.
struct ContainerParts {
  std::string name;
  Descriptor metadata;
  Descriptor criu_images;
  Descriptor rootfs_diff;  // digest empty when the writable layer was empty
};

// One committed archive, opened and structurally checked: layout version, index → pod index →
// manifests → config; every descriptor's blob exists with the stated size, digests of everything
// that was parsed are checked. Blobs that were not parsed are not hashed yet: Verify does.
//
// Trust    The documents of an archive in the store were written by ArchiveWriter, or have passed
//          cryopod-unpack at the import (settle_layout.h), so that privileged programs may parse
//          them. Its layers were not: whatever is in them, theirs or ours, is for cryopod-unpack.
class Archive {
 public:
  const std::string& name() const { return name_; }
  const std::string& digest() const { return digest_; }  // of the pod index
  Origin origin() const { return origin_; }
  uint64_t size_bytes() const { return size_bytes_; }  // of all blobs
  const PodCheckpoint& checkpoint() const { return checkpoint_; }
  const std::vector<ContainerParts>& containers() const { return containers_; }
  // Errors: kNotFound, with the names that there are.
  Result<const ContainerParts*> FindContainer(const std::string& name) const;
  const Descriptor& pod_metadata() const { return pod_metadata_; }
  // Every blob once, JSON documents and layers.
  const std::vector<Descriptor>& blobs() const { return blobs_; }

  // Hashes every blob. Errors: kDataLoss, names the blob.
  Status Verify(Deadline deadline) const;
  // A blob, read-only, at offset 0. Its bytes have not been hashed by this call.
  Result<UniqueFd> OpenBlob(const Descriptor& descriptor) const;
  // Hashes one blob through the descriptor that it returns, so that what was verified is what is
  // read. Errors: kDataLoss.
  Result<UniqueFd> OpenVerifiedBlob(const Descriptor& descriptor) const;
  // The same of one that OpenBlob has opened. Its offset stays where it is, so that somebody else
  // can read meanwhile. Threads: any.
  Status VerifyBlob(int blob_fd, const Descriptor& descriptor) const;

 private:
  friend class ArchiveReader;
  std::string name_;
  std::string digest_;
  Origin origin_ = Origin::kThisNode;
  uint64_t size_bytes_ = 0;
  PodCheckpoint checkpoint_;
  std::vector<ContainerParts> containers_;
  Descriptor pod_metadata_;
  std::vector<Descriptor> blobs_;
  UniqueFd layout_dir_;
};

// Files of a metadata layer, of a container as of the pod, together.
inline constexpr uint64_t kMetadataBytesMax = uint64_t{16} << 20;
inline constexpr uint64_t kMetadataFilesMax = 256;

// Name → content of a metadata layer (`ContainerParts::metadata` or `Archive::pod_metadata`): the
// blob is verified, read by cryopod-unpack, and what that says is checked again.
//
// Shape   container: config.dump spec.dump status.dump network.status stats-dump dump.log
//         container-config.json; pod: pod.dump pod.options. None of them is guaranteed to be there.
// Errors  kDataLoss, kResourceExhausted (above the limits), kDeadlineExceeded.
Result<std::map<std::string, std::string>> ReadMetadata(const std::string& unpack_program,
                                                        const Archive& archive,
                                                        const Descriptor& descriptor,
                                                        Deadline deadline);

// The same of those of its files that a pod's request is rebuilt from (kRequestDocuments), as JSON
// that cryopod-unpack has read and written anew: objects, canonical, within json::Limits.
Result<std::map<std::string, std::string>> ReadRequestDocuments(const std::string& unpack_program,
                                                                const Archive& archive,
                                                                const Descriptor& descriptor,
                                                                Deadline deadline);

class ArchiveWriter;

// The archives of this node: one OCI image layout a directory, named by the archive.
//
// Shape    <root>/<name>/{oci-layout,index.json,blobs/sha256/…}; <root>/.partial/<name> while one
//          is written or imported. Directories 0700, files 0600.
// Threads  any: the state is on disk. Creating a name is exclusive.
class ArchiveStore {
 public:
  static Result<ArchiveStore> Open(const std::string& root);

  // Names of committed archives, sorted.
  Result<std::vector<std::string>> List() const;
  // Errors: kNotFound (names it and says how to list), kFailedPrecondition (another digest stands
  // under the name; names both), kDataLoss (damaged; says where).
  Result<Archive> OpenArchive(const ArchiveReference& reference) const;
  // As long as the descriptor lives, it is not deleted. Errors: kNotFound, kAborted (another
  // process has it to itself for a moment).
  Result<UniqueFd> Lease(const std::string& name) const;
  // Invisible at once (renamed away first), then removed. Errors: kNotFound, kFailedPrecondition
  // with reason busy (somebody has a lease).
  Status Delete(const std::string& name) const;
  // Claims the name. Errors: kAlreadyExists (committed, or being written now).
  Result<ArchiveWriter> Create(const std::string& name) const;
  // Removes what unfinished writers left, except the names in `running` and whatever a living
  // process still writes (it holds a lock).
  Status RemoveLeftovers(const std::vector<std::string>& running) const;

  int dir_fd() const { return dir_.get(); }

 private:
  std::string root_;
  UniqueFd dir_;
};

}  // namespace cryopod::archive
