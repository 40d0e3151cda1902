#include "agent/criu/images/rewrite_images.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "agent/criu/images/image_file.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod::criu {
namespace {

constexpr uint32_t kGhost = 1;  // remap_type
constexpr std::string_view kData = "..data";

class Rewriting {
 public:
  Rewriting(int images_dir_fd, const std::vector<RemadeMount>& mounts) : dir_fd_(images_dir_fd) {
    for (const RemadeMount& mount : mounts) remade_[mount.mount_point] = mount.kind;
  }

  Status Run() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> files, ListDirectory(dir_fd_));
    bool has_remaps = false;
    for (const DirectoryEntry& file : files) {
      has_remaps |= file.name == kRemapImage;
      if (!file.name.starts_with("mountpoints-")) continue;
      CRYOPOD_RETURN_IF_ERROR(RewriteMounts(file.name));
    }
    CRYOPOD_RETURN_IF_ERROR(RewriteFiles());
    return has_remaps ? RewriteRemaps() : Status();
  }

 private:
  using Remade = std::map<std::string, RemadeKind, std::less<>>;  // by mount point

  // Where a name leads: into a mount that was made anew and into no other beneath it.
  const Remade::value_type* PlaceOf(std::string_view name) const {
    std::string_view innermost;
    for (const std::string& mount_point : mount_points_) {
      if (IsAtOrBelow(name, mount_point) && mount_point.size() >= innermost.size()) {
        innermost = mount_point;
      }
    }
    const auto found = remade_.find(innermost);
    if (innermost.empty() || found == remade_.end()) return nullptr;
    return found->second != RemadeKind::kFile || name == innermost ? &*found : nullptr;
  }

  Status RewriteMounts(const std::string& image) {
    return RewriteEntries<wire::mnt_entry>(
        dir_fd_, image, kMountsMagic, [&](wire::mnt_entry& mount) {
          mount_points_.insert(mount.mountpoint());
          if (!mount.deleted() || !remade_.contains(mount.mountpoint())) return Verdict::kKeep;
          mount.clear_deleted();
          return Verdict::kReplace;
        });
  }

  // Through ..data where it led through a directory with a time. True when that changed the name.
  static bool RewriteName(const Remade::value_type& place, std::string* name) {
    if (place.second != RemadeKind::kVolume) return false;
    const size_t begin = place.first.size() + 1;
    if (name->size() <= begin) return false;
    const size_t end = std::min(name->find('/', begin), name->size());
    if (!IsStampedName(std::string_view(*name).substr(begin, end - begin))) return false;
    name->replace(begin, end - begin, kData);
    return true;
  }

  Verdict RewriteRegular(wire::reg_file_entry* file) {
    const Remade::value_type* const place = PlaceOf(file->name());
    if (place == nullptr) return Verdict::kKeep;
    remade_files_.insert(file->id());
    RewriteName(*place, file->mutable_name());
    file->clear_size();
    file->clear_checksum();
    file->clear_build_id();
    if ((file->flags() & O_ACCMODE) == O_WRONLY) file->set_pos(0);
    return Verdict::kReplace;
  }

  bool RewriteWatch(wire::fh_entry* watch) const {
    if (!watch->has_path()) return false;
    const Remade::value_type* const place = PlaceOf(watch->path());
    return place != nullptr && RewriteName(*place, watch->mutable_path());
  }

  Verdict RewriteFile(wire::file_entry& file) {
    if (file.has_reg()) return RewriteRegular(file.mutable_reg());
    bool changed = false;
    for (int i = 0; i < file.ify().wd_size(); ++i) {
      changed |= RewriteWatch(file.mutable_ify()->mutable_wd(i)->mutable_f_handle());
    }
    for (int i = 0; i < file.ffy().mark_size(); ++i) {
      if (!file.ffy().mark(i).has_ie()) continue;  // a mark on a whole mount
      changed |=
          RewriteWatch(file.mutable_ffy()->mutable_mark(i)->mutable_ie()->mutable_f_handle());
    }
    return changed ? Verdict::kReplace : Verdict::kKeep;
  }

  Status RewriteFiles() {
    return RewriteEntries<wire::file_entry>(
        dir_fd_, kFilesImage, kFilesMagic,
        [&](wire::file_entry& file) { return RewriteFile(file); });
  }

  Status RewriteRemaps() {
    std::set<uint32_t> forgotten;
    std::set<uint32_t> kept;
    const auto judge = [&](wire::remap_file_path_entry& remap) {
      const bool drop = remap.remap_type() == kGhost && remade_files_.contains(remap.orig_id());
      (drop ? forgotten : kept).insert(remap.remap_id());
      return drop ? Verdict::kDrop : Verdict::kKeep;
    };
    CRYOPOD_RETURN_IF_ERROR(
        RewriteEntries<wire::remap_file_path_entry>(dir_fd_, kRemapImage, kRemapMagic, judge));
    for (const uint32_t id : forgotten) {
      if (kept.contains(id)) continue;
      CRYOPOD_RETURN_IF_ERROR(EmptyGhost(id));
    }
    return Status();
  }

  Status EmptyGhost(uint32_t id) const {
    char name[32];
    std::snprintf(name, sizeof name, "ghost-file-%x.img", id);
    return OpenBeneath(dir_fd_, name, O_WRONLY | O_TRUNC | O_NOFOLLOW).status();
  }

  const int dir_fd_;
  Remade remade_;
  std::set<std::string> mount_points_;  // all that the container has
  std::set<uint32_t> remade_files_;     // their IDs in files.img
};

}  // namespace

Status RewriteImages(int images_dir_fd, const std::vector<RemadeMount>& mounts) {
  return Rewriting(images_dir_fd, mounts).Run();
}

Status MendTimers(int images_dir_fd) {
  const auto mend = [](wire::file_entry& file) {
    const wire::timerfd_entry& timer = file.tfd();
    const bool has_period = timer.isec() != 0 || timer.insec() != 0;
    const bool is_running = timer.vsec() != 0 || timer.vnsec() != 0;
    // One that was stopped has a period, too, but nothing that is due.
    if (!file.has_tfd() || !has_period || is_running || timer.ticks() == 0) return Verdict::kKeep;
    file.mutable_tfd()->set_vnsec(1);
    return Verdict::kReplace;
  };
  return RewriteEntries<wire::file_entry>(images_dir_fd, kFilesImage, kFilesMagic, mend);
}

}  // namespace cryopod::criu
