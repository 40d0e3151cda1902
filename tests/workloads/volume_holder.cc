// Holds files, directories and watches of volumes, as programs do that open their configuration
// once.
//
//   volume_holder KIND:PATH…
//
//     read:PATH    a descriptor for reading            write:PATH   one for writing
//     map:PATH     a private mapping of the file       watch:PATH   an inotify watch
//     cwd:PATH     the working directory
//
// verify is bad when a descriptor is not the file that stands under its path now, or the working
// directory not that directory. Requests: content PATH (what the descriptor reads), events (names
// the paths whose watch has reported something since the last time).
#include <sys/inotify.h>

#include <map>
#include <set>

#include "tests/workloads/workload.h"

namespace cryopod::workload {
namespace {

constexpr std::uint32_t kEvents = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF;
constexpr std::size_t kContentBytesMax = 4096;

class VolumeHolder final : public Workload {
 public:
  void Hold(std::string_view argument) {
    const std::size_t colon = argument.find(':');
    const std::string kind(argument.substr(0, colon));
    const std::string path(colon == argument.npos ? "" : argument.substr(colon + 1));
    if (kind == "read") {
      Open(path, O_RDONLY);
    } else if (kind == "write") {
      Open(path, O_WRONLY);
    } else if (kind == "map") {
      Map(path);
    } else if (kind == "watch") {
      Watch(path);
    } else if (kind == "cwd") {
      if (::chdir(path.c_str()) != 0) Die(path);
      working_directory_ = path;
    } else {
      errno = EINVAL;
      Die(std::string(argument));
    }
  }

  JsonLine Report() override {
    return JsonLine().Number("held", descriptors_.size() + watches_.size());
  }

  // Also writes a line through every descriptor that can: it must reach the file of its path.
  std::string Verify() override {
    for (const auto& [path, fd] : descriptors_) {
      struct stat held {};
      struct stat there {};
      if (::fstat(fd, &held) != 0) return path + " is not open any more";
      if (::stat(path.c_str(), &there) != 0) return path + " is not there";
      if (!IsSame(held, there)) return path + " is another file than the one that is open";
      if ((::fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY) continue;
      if (!WriteAll(fd, "line\n")) return path + " cannot be written";
    }
    return VerifyWorkingDirectory();
  }

  void Corrupt() override {
    for (auto& [path, fd] : descriptors_) {
      ::close(fd);
      fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
  }

  std::string Other(std::string_view request) override {
    if (request == "events") return Events();
    if (!request.starts_with("content ")) return "";
    return "content " + Content(std::string(request.substr(8)));
  }

 private:
  std::string Content(const std::string& path) const {
    const auto mapped = mappings_.find(path);
    if (mapped != mappings_.end()) return mapped->second;
    const auto found = descriptors_.find(path);
    if (found == descriptors_.end()) return "";
    std::string content(kContentBytesMax, '\0');
    const ssize_t size = ::pread(found->second, content.data(), content.size(), 0);
    content.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    while (content.ends_with('\n')) content.pop_back();
    return content;
  }

  std::string Events() {
    std::set<std::string> told;
    alignas(inotify_event) char buffer[8192];
    for (ssize_t size = 0; (size = ::read(inotify_, buffer, sizeof(buffer))) > 0;) {
      for (const char* at = buffer; at < buffer + size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        told.insert(watches_[event->wd]);
        at += sizeof(inotify_event) + event->len;
      }
    }
    std::string text = "events";
    for (const std::string& path : told) text += " " + path;
    return text;
  }

  static bool IsSame(const struct stat& one, const struct stat& other) {
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
  }

  void Open(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
    if (fd < 0) Die(path);
    descriptors_[path] = fd;
  }

  void Map(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const void* mapped = ::mmap(nullptr, kContentBytesMax, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd < 0 || mapped == MAP_FAILED) Die(path);
    ::close(fd);
    mappings_[path] = static_cast<const char*>(mapped);
  }

  void Watch(const std::string& path) {
    if (inotify_ < 0) inotify_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    const int watch = ::inotify_add_watch(inotify_, path.c_str(), kEvents);
    if (watch < 0) Die(path);
    watches_[watch] = path;
  }

  std::string VerifyWorkingDirectory() const {
    if (working_directory_.empty()) return "";
    struct stat held {};
    struct stat there {};
    const bool is_same = ::stat(".", &held) == 0 &&
                         ::stat(working_directory_.c_str(), &there) == 0 && IsSame(held, there);
    return is_same ? "" : "the working directory is not " + working_directory_;
  }

  std::map<std::string, int> descriptors_;
  std::map<std::string, const char*> mappings_;
  std::map<int, std::string> watches_;
  std::string working_directory_;
  int inotify_ = -1;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("volume_holder", argc, argv);
  static VolumeHolder holder;
  for (int i = 1; i < argc; ++i) holder.Hold(argv[i]);
  Serve("volume_holder", holder);
}
