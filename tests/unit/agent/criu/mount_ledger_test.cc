#include "agent/criu/mount_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "test_data.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

// A recorded container whose root file system has /var/run → /run, as Debian's has.
class MountLedgerTest : public ::testing::Test {
 protected:
  MountLedgerTest() {
    std::filesystem::create_directory(rootfs_.path() / "var");
    std::filesystem::create_symlink("/run", rootfs_.path() / "var/run");
    Use("v1");
  }

  void Use(const std::string& name) {
    container_ = test::Recorded(name);
    container_.state.rootfs = rootfs_.path();
  }

  // Mounts something more, on top of the recorded mounts.
  void Mount(const std::string& mount_point, const std::string& type) {
    MountEntry entry;
    entry.mount_id = 9000 + static_cast<int>(container_.mounts.size());
    entry.parent_id = At("/").mount_id;
    entry.device = "0:99";
    entry.root = "/";
    entry.mount_point = mount_point;
    entry.mount_options = "rw,relatime";
    entry.file_system_type = type;
    container_.mounts.push_back(entry);
  }

  MountEntry& At(const std::string& mount_point) {
    return *std::ranges::find(container_.mounts, mount_point, &MountEntry::mount_point);
  }

  MountLedger Account() const { return AccountForMounts(container_.state, container_.mounts); }
  std::vector<std::pair<std::string, std::string>> Externals() const { return Account().externals; }
  std::vector<std::string> Strangers() const { return Account().strangers; }

  cryopod::test::TempDirectory rootfs_;
  test::RecordedContainer container_;
};

TEST_F(MountLedgerTest, KnowsEveryMountOfAContainerOnEitherCgroupVersionWithAndWithoutATerminal) {
  EXPECT_THAT(Strangers(), IsEmpty());
  Use("v2-tty");
  EXPECT_THAT(Strangers(), IsEmpty());
}

TEST_F(MountLedgerTest, BindMountsAndDevicesAreExternalUnderThePathThatMountinfoShows) {
  const auto externals = Externals();

  EXPECT_THAT(externals, Contains(Pair("/dev/null", "/dev/null")));
  EXPECT_THAT(externals, Contains(Pair("/etc/hosts", "/etc/hosts")));
  EXPECT_THAT(externals, Contains(Pair("/dev/shm", "/dev/shm")));
  EXPECT_THAT(externals, Contains(Pair("/run/secrets/kubernetes.io/serviceaccount",
                                       "/run/secrets/kubernetes.io/serviceaccount")));
  EXPECT_THAT(externals, Not(Contains(Key(HasSubstr("/var/run")))));
}

TEST_F(MountLedgerTest, MaskedFilesAreExternalAsDevNullAndMaskedDirectoriesAreNot) {
  const auto externals = Externals();

  EXPECT_THAT(externals, Contains(Pair("/proc/keys", "/dev/null")));
  EXPECT_THAT(externals, Contains(Pair("/proc/timer_list", "/dev/null")));
  EXPECT_THAT(externals, Not(Contains(Key("/proc/acpi"))));
  EXPECT_THAT(externals, Not(Contains(Key("/sys/firmware"))));
}

TEST_F(MountLedgerTest, WhatCriuMakesAnewIsNotExternal) {
  const auto externals = Externals();

  for (const char* path : {"/", "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup",
                           "/tmp/scratch", "/proc/sys", "/dev/mqueue"}) {
    EXPECT_THAT(externals, Not(Contains(Key(path))));
  }
}

TEST_F(MountLedgerTest, TheHierarchiesOfCgroupV1AreExternalUnlessACgroupNamespaceMakesThemAnew) {
  EXPECT_THAT(Externals(), Contains(Pair("/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer")));
  EXPECT_THAT(Externals(), Contains(Pair("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd")));

  container_.state.namespace_paths["NEWCGROUP"] = "";

  EXPECT_THAT(Strangers(), IsEmpty());
  EXPECT_THAT(Externals(), Not(Contains(Key(HasSubstr("/sys/fs/cgroup")))));
}

TEST_F(MountLedgerTest, WhatIsOnlyMountedIsRefusedByNameAndWithWhatItIs) {
  const struct {
    const char* mount_point;
    const char* type;
    const char* named;
    const char* words;
  } refused[] = {
      {"/cache", "tmpfs", "/cache (tmpfs)", "inside the container and is not declared by the pod"},
      {"/dev/shm", "tmpfs", "/dev/shm (tmpfs)", "covers"},
      {"/tmp/scratch", "tmpfs", "/tmp/scratch", "covers"},
      {"/dev/shm/inner", "tmpfs", "/dev/shm/inner", "inside the volume /dev/shm"},
      {"/cg", "cgroup", "/cg (cgroup)", ""},  // outside the declared place
      {"/a\x1b[31m\nb", "tmpfs", "/a?[31m b", ""},
  };
  for (const auto& [mount_point, type, named, words] : refused) {
    Use("v1");
    Mount(mount_point, type);
    EXPECT_THAT(Strangers(), ElementsAre(AllOf(HasSubstr(named), HasSubstr(words))));
    EXPECT_EQ(Account().strange_mounts.at(0).mount_point, mount_point);
  }
}

TEST_F(MountLedgerTest, AVolumeNextToOneWithALongerNameIsNotInsideIt) {
  Mount("/dev/shmem", "tmpfs");

  EXPECT_THAT(Strangers(), ElementsAre(Not(HasSubstr("inside the volume"))));
}

TEST_F(MountLedgerTest, WhatIsNotAsTheRuntimeMakesItIsRefused) {
  const struct {
    const char* mount_point;
    std::string MountEntry::*member;
    const char* value;
  } changes[] = {
      {"/proc/acpi", &MountEntry::mount_options, "rw,relatime"},  // a writable mask
      {"/proc/keys", &MountEntry::root, "/secrets/keys"},         // a mask that is not /dev/null
      {"/proc/bus", &MountEntry::device, "0:77"},                 // read-only, but another's
      {"/tmp/scratch", &MountEntry::file_system_type, "ext4"},    // of another type than declared
  };
  for (const auto& [mount_point, member, value] : changes) {
    Use("v1");
    At(mount_point).*member = value;
    EXPECT_THAT(Strangers(), ElementsAre(HasSubstr(mount_point)));
  }
  Use("v2-tty");
  At("/dev/console").device = "0:12";
  EXPECT_THAT(Strangers(), ElementsAre(HasSubstr("/dev/console (devpts)")));
}

TEST_F(MountLedgerTest, ATypeThatCannotBeCarriedIsRefusedThoughDeclared) {
  container_.state.mounts.push_back({"/huge", "hugetlbfs", "hugetlbfs"});
  Mount("/huge", "hugetlbfs");

  EXPECT_THAT(Strangers(), ElementsAre(AllOf(HasSubstr("/huge (hugetlbfs)"), HasSubstr("type"))));
}

TEST_F(MountLedgerTest, AVolumeThatIsMountedTwiceMayStandTwice) {
  container_.state.mounts.push_back({"/etc/hosts", "/other", "bind"});
  Mount("/etc/hosts", "ext4");

  EXPECT_THAT(Strangers(), IsEmpty());
}

}  // namespace
}  // namespace cryopod::criu
