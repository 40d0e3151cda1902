// Changes its file system in every way that a writable layer must carry, and verifies the result.
//
//   writer [DIRECTORY [IMAGE_DIRECTORY]]      /data and /srv/image unless told otherwise
//
// IMAGE_DIRECTORY holds files of the container image (hack/lab.d/make_images.py): they are deleted,
// renamed, overwritten, hidden by an opaque directory. What should be there afterwards is kept in
// memory only. As root it also gives files to other users. Requests: change (one more round of
// changes: to be asked between the generations of a pod).
#include "tests/workloads/writer_expectations.h"

namespace cryopod::workload {
namespace {

class Writer final : public Workload {
 public:
  Writer(std::string data, std::string image)
      : data_(std::move(data) + "/writer"), image_(std::move(image)) {
    // What an earlier container left in a volume.
    std::filesystem::remove_all(data_);
    if (::mkdir(data_.c_str(), 0777) != 0) Die(data_);
    files_.Expect(data_);
    MakeFiles();
    MakeNames();
    MakeDirectories();
    if (::access(image_.c_str(), W_OK) == 0) ChangeImageFiles();
    OpenFiles();
  }

  JsonLine Report() override {
    return JsonLine().Number("expected", files_.size()).Number("changes", changes_);
  }

  std::string Verify() override {
    std::string reason = files_.Verify();
    if (reason.empty()) reason = VerifyOpenFiles();
    return reason;
  }

  void Corrupt() override { WriteFile(data_ + "/plain", "damaged\n", 0644); }

  std::string Other(std::string_view request) override {
    if (request != "change") return "";
    Change();
    return "changed";
  }

 private:
  // Round n makes a folder of files and removes that of round n - 2.
  void Change() {
    const std::string directory = Round(++changes_);
    if (::mkdir(directory.c_str(), 0750) != 0) Die(directory);
    files_.Expect(directory);
    for (const char* name : {"first", "second", "third"}) {
      MakeFile(directory + "/" + name, RandomText(10'000), 0640);
    }
    if (changes_ > 2) RemoveTree(Round(changes_ - 2));
    const std::string line = "round " + std::to_string(changes_) + "\n";
    if (!WriteAll(open_file_, line)) Die("log");
    open_text_ += line;
    files_.Expect(data_ + "/log");
  }

  std::string Round(std::uint64_t number) const {
    return data_ + "/round" + std::to_string(number);
  }

  void MakeFile(const std::string& path, const std::string& content, mode_t mode) {
    WriteFile(path, content, mode);
    files_.Expect(path);
  }

  void RemoveTree(const std::string& path) {
    std::filesystem::remove_all(path);
    files_.ExpectAbsent(path);
  }

  void MakeFiles() {
    MakeFile(data_ + "/plain", "plain\n", 0644);
    MakeFile(data_ + "/empty", "", 0600);
    MakeFile(data_ + "/large", RandomText(3 * 1024 * 1024 + 17), 0644);
    MakeFile(data_ + "/executable", "#!/bin/sh\n", 0755);
    MakeFile(data_ + "/secret", "secret\n", 0400);
    MakeFile(data_ + "/set_user_id", "no program\n", 04755);
    MakeSparseFile(data_ + "/sparse");
    MakeFile(data_ + "/dated", "dated\n", 0644);
    const timespec times[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 0},
                               {.tv_sec = 1'234'567'890, .tv_nsec = 123'456'789}};
    if (::utimensat(AT_FDCWD, (data_ + "/dated").c_str(), times, 0) != 0) Die("utimensat");
    files_.ExpectTime(data_ + "/dated");
    MakeFile(data_ + "/attributed", "attributed\n", 0644);
    // Not every file system of a container takes these; what it took must stay.
    SetAttribute(data_ + "/attributed", "user.cryopod", "value with \n and \x01");
    files_.Expect(data_ + "/attributed");
    if (::geteuid() != 0) return;
    for (const uid_t owner : {1000U, 1001U, 2000U, 65534U}) {
      const std::string path = data_ + "/of" + std::to_string(owner);
      MakeFile(path, "owned\n", 0640);
      if (::chown(path.c_str(), owner, owner + 1) != 0) Die(path);
      files_.Expect(path);
    }
  }

  void MakeSparseFile(const std::string& path) {
    MakeFile(path, "begin", 0644);
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0 || ::pwrite(fd, "end", 3, 8 * 1024 * 1024) != 3) Die(path);
    ::close(fd);
    files_.Expect(path);
  }

  // Names and links.
  void MakeNames() {
    for (const std::string& name :
         {std::string(255, 'n'), std::string(" blank and\nnew line"), std::string("-dash"),
          std::string("\xc3\xbc\xe2\x82\xac"), std::string("not utf8 \xff\xfe")}) {
      MakeFile(data_ + "/" + name, name, 0644);
    }
    MakeFile(data_ + "/hard", "hard\n", 0644);
    if (::link((data_ + "/hard").c_str(), (data_ + "/hard_too").c_str()) != 0) Die("link");
    files_.ExpectSameFile(data_ + "/hard", data_ + "/hard_too");
    for (const char* target : {"plain", "/etc/passwd", "nowhere", "../../../../etc/group"}) {
      const std::string path = data_ + "/link" + std::to_string(links_++);
      if (::symlink(target, path.c_str()) != 0) Die(path);
      files_.Expect(path);
    }
    if (::mkfifo((data_ + "/fifo").c_str(), 0622) != 0) Die("mkfifo");
    files_.Expect(data_ + "/fifo");
    MakeFile(data_ + "/before", "renamed\n", 0644);
    if (::rename((data_ + "/before").c_str(), (data_ + "/after").c_str()) != 0) Die("rename");
    files_.ExpectAbsent(data_ + "/before");
    files_.Expect(data_ + "/after");
    MakeFile(data_ + "/short_lived", "gone\n", 0644);
    if (::unlink((data_ + "/short_lived").c_str()) != 0) Die("unlink");
    files_.ExpectAbsent(data_ + "/short_lived");
  }

  void MakeDirectories() {
    std::string path = data_ + "/deep";
    for (int depth = 0; depth < 8; ++depth, path += "/" + std::to_string(depth)) {
      if (::mkdir(path.c_str(), 0755) != 0) Die(path);
      files_.Expect(path);
    }
    const std::string sticky = data_ + "/sticky";
    if (::mkdir(sticky.c_str(), 0700) != 0 || ::chmod(sticky.c_str(), 03770) != 0) Die(sticky);
    files_.Expect(sticky);
  }

  void ChangeImageFiles() {
    if (::unlink((image_ + "/delete").c_str()) != 0) Die("delete");
    files_.ExpectAbsent(image_ + "/delete");
    if (::rename((image_ + "/rename").c_str(), (image_ + "/renamed").c_str()) != 0) Die("rename");
    files_.ExpectAbsent(image_ + "/rename");
    files_.Expect(image_ + "/renamed");
    for (const char* name :
         {"keep", "link", "untouched", "untouched/one", "untouched/deep/three"}) {
      files_.Expect(image_ + "/" + name);
    }
    RemoveTree(image_ + "/removed");
    // Removed and made again: nothing of the image may shine through.
    RemoveTree(image_ + "/opaque");
    if (::mkdir((image_ + "/opaque").c_str(), 0711) != 0) Die("opaque");
    MakeFile(image_ + "/opaque/new", "new\n", 0644);
    files_.ExpectDirectory(image_ + "/opaque", {"new"});
    files_.ExpectAbsent(image_ + "/opaque/one");
    if (::geteuid() != 0) return;
    WriteFile(image_ + "/overwrite", "overwritten\n", 0644);
    if (::chmod((image_ + "/chmod").c_str(), 0604) != 0) Die("chmod");
    if (::chown((image_ + "/chown").c_str(), 2000, 1000) != 0) Die("chown");
    for (const char* name : {"overwrite", "chmod", "chown"}) files_.Expect(image_ + "/" + name);
    // A new name for a file of the image copies the file up.
    if (::link((image_ + "/of_app").c_str(), (image_ + "/of_app_new").c_str()) != 0) Die("link");
    files_.ExpectSameFile(image_ + "/of_app", image_ + "/of_app_new");
  }

  // Descriptors that stay open: one of a file that goes on growing, one of a file without a name.
  void OpenFiles() {
    open_file_ = ::open((data_ + "/log").c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const std::string nameless = data_ + "/nameless";
    nameless_file_ = ::open(nameless.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (open_file_ < 0 || nameless_file_ < 0) Die("open");
    nameless_text_ = RandomText(20'000);
    if (!WriteAll(nameless_file_, nameless_text_)) Die(nameless);
    if (::unlink(nameless.c_str()) != 0) Die(nameless);
    files_.Expect(data_ + "/log");
    files_.ExpectAbsent(nameless);
  }

  std::string VerifyOpenFiles() const {
    if (ReadFromStart(nameless_file_) != nameless_text_) return "the file without a name differs";
    const off_t offset = ::lseek(nameless_file_, 0, SEEK_CUR);
    if (offset != static_cast<off_t>(nameless_text_.size())) return "its offset differs";
    if (ReadFromStart(open_file_) != open_text_) return "the log differs through its descriptor";
    return "";
  }

  const std::string data_;
  const std::string image_;
  Expectations files_;
  std::uint64_t changes_ = 0;
  int links_ = 0;
  int open_file_ = -1;
  std::string open_text_;
  int nameless_file_ = -1;
  std::string nameless_text_;
};

}  // namespace
}  // namespace cryopod::workload

int main(int argc, char** argv) {
  using namespace cryopod::workload;
  Begin("writer", argc, argv);
  ::umask(0);
  static Writer writer(argc > 1 ? argv[1] : "/data", argc > 2 ? argv[2] : "/srv/image");
  Serve("writer", writer);
}
