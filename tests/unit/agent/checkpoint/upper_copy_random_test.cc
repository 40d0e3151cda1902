#include <random>
#include <utility>
#include <vector>

#include "tests/unit/agent/checkpoint/upper_copy_fixture.h"

namespace cryopod::checkpoint {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;

constexpr int kOperations = 400;

// A pod that does what comes into its head with a writable layer of a few names, so that the same
// ones are made, moved, linked, replaced and removed again and again.
class RandomPod {
 public:
  RandomPod(fs::path root, uint32_t seed) : root_(std::move(root)), random_(seed) {}

  void Work(int operations) {
    for (int i = 0; i < operations; ++i) DoOne();
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }

  // Anything that stands in the tree, or the root.
  fs::path Existing(bool directory_only) {
    std::vector<fs::path> paths = {root_};
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      if (!directory_only || fs::is_directory(entry.symlink_status())) {
        paths.push_back(entry.path());
      }
    }
    return paths[Below(paths.size())];
  }
  fs::path NewName() { return Existing(true) / std::string(1, static_cast<char>('a' + Below(6))); }

  void WriteFile(const fs::path& path) {
    // Often of one size: only times and inodes tell such contents apart.
    const size_t size = Below(3) == 0 ? Below(9000) : 64;
    std::ofstream(path, std::ios::binary) << std::string(size, static_cast<char>(Below(256)));
  }

  void Touch(const fs::path& path) {
    switch (Below(5)) {
      case 0:
        (void)::lchown(path.c_str(), static_cast<uid_t>(Below(3)), static_cast<gid_t>(Below(3)));
        break;
      case 1:
        if (!fs::is_symlink(path))
          (void)::chmod(path.c_str(), static_cast<mode_t>(0400 + Below(0400)));
        break;
      case 2:
        (void)::lsetxattr(path.c_str(), "trusted.note", &root_, Below(8), 0);
        break;
      case 3:
        (void)::lremovexattr(path.c_str(), "trusted.note");
        break;
      default:
        const timespec times[2] = {{static_cast<time_t>(Below(1000)), 0},
                                   {static_cast<time_t>(Below(1000)), 0}};
        (void)::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
    }
  }

  // Errors are part of the game: a name that is taken, a directory moved into itself.
  void DoOne() {
    std::error_code ignored;
    const fs::path name = NewName();
    const fs::path existing = Existing(false);
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
        if (!fs::is_directory(name) && !fs::is_other(name)) WriteFile(name);
        break;
      case 3:
      case 4:
        fs::create_directories(name / "sub", ignored);
        break;
      case 5:
        if (existing != root_) fs::rename(existing, name, ignored);
        break;
      case 6:
        if (existing != root_) fs::remove_all(existing, ignored);
        break;
      case 7:
        if (fs::is_regular_file(fs::symlink_status(existing))) {
          fs::create_hard_link(existing, name, ignored);
        }
        break;
      case 8:
        fs::create_symlink("target" + std::to_string(Below(9)), name, ignored);
        break;
      case 9:
        (void)::mknod(name.c_str(), S_IFCHR | 0600, makedev(0, 0));
        break;
      case 10:
        if (fs::is_regular_file(fs::symlink_status(existing))) WriteFile(existing);
        break;
      default:
        if (existing != root_) Touch(existing);
    }
  }

  const fs::path root_;
  std::mt19937 random_;
};

class UpperCopyRandomTest : public test::UpperCopyFixture,
                            public ::testing::WithParamInterface<uint32_t> {};

TEST_P(UpperCopyRandomTest, TheCopyIsTheLayerWhateverThePodDidInBetween) {
  RandomPod pod(upper(), GetParam());
  pod.Work(kOperations);
  // Half of the runs meet a layer that stood still for a while, half one that was just at work.
  if (GetParam() % 2 == 0) Settle();
  ASSERT_THAT(copy().CopyAhead({}), IsOk());

  pod.Work(GetParam() % 3 == 0 ? 10 : kOperations);

  FinishAndCompare();
}

INSTANTIATE_TEST_SUITE_P(Seeds, UpperCopyRandomTest, ::testing::Range(0u, 24u));

}  // namespace
}  // namespace cryopod::checkpoint
