#include "agent/criu/mount_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "agent/os/mount_info.h"
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
  void Mount(const std::string& mount_point, const std::string& type,
             const std::string& parent_point = "/", const std::string& root = "/",
             const std::string& device = "0:99") {
    MountEntry entry;
    entry.mount_id = 9000 + static_cast<int>(container_.mounts.size());
    entry.parent_id = At(parent_point).mount_id;
    entry.device = device;
    entry.root = root;
    entry.mount_point = mount_point;
    entry.mount_options = "rw,relatime";
    entry.file_system_type = type;
    container_.mounts.push_back(entry);
  }

  MountEntry& At(const std::string& mount_point) {
    return *std::find_if(container_.mounts.begin(), container_.mounts.end(),
                         [&](const MountEntry& entry) { return entry.mount_point == mount_point; });
  }

  MountLedger Account() {
    MountLedger ledger(container_.state);
    ledger.Account(container_.mounts);
    return ledger;
  }

  cryopod::test::TempDirectory rootfs_;
  test::RecordedContainer container_;
};

TEST_F(MountLedgerTest, KnowsEveryMountOfAContainerOnCgroupV1) {
  EXPECT_THAT(Account().strangers(), IsEmpty());
}

TEST_F(MountLedgerTest, KnowsEveryMountOfAContainerWithATerminalOnCgroupV2) {
  Use("v2-tty");

  EXPECT_THAT(Account().strangers(), IsEmpty());
}

TEST_F(MountLedgerTest, BindMountsAreExternalUnderThePathThatMountinfoShows) {
  const auto externals = Account().externals();

  EXPECT_THAT(externals, Contains(Pair("/etc/hosts", "/etc/hosts")));
  EXPECT_THAT(externals, Contains(Pair("/dev/shm", "/dev/shm")));
  EXPECT_THAT(externals, Contains(Pair("/run/secrets/kubernetes.io/serviceaccount",
                                       "/run/secrets/kubernetes.io/serviceaccount")));
  EXPECT_THAT(externals, Not(Contains(Key(HasSubstr("/var/run")))));
}

TEST_F(MountLedgerTest, DevicesAreExternal) {
  EXPECT_THAT(Account().externals(), Contains(Pair("/dev/null", "/dev/null")));
}

TEST_F(MountLedgerTest, MaskedFilesAreExternalAsDevNullAndMaskedDirectoriesAreNot) {
  const auto externals = Account().externals();

  EXPECT_THAT(externals, Contains(Pair("/proc/keys", "/dev/null")));
  EXPECT_THAT(externals, Contains(Pair("/proc/timer_list", "/dev/null")));
  EXPECT_THAT(externals, Not(Contains(Key("/proc/acpi"))));
  EXPECT_THAT(externals, Not(Contains(Key("/sys/firmware"))));
}

TEST_F(MountLedgerTest, WhatCriuMakesAnewIsNotExternal) {
  const auto externals = Account().externals();

  for (const char* path : {"/", "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup",
                           "/tmp/scratch", "/proc/sys", "/dev/mqueue"}) {
    EXPECT_THAT(externals, Not(Contains(Key(path))));
  }
}

TEST_F(MountLedgerTest, TheHierarchiesOfCgroupV1AreExternalWithoutACgroupNamespace) {
  const auto externals = Account().externals();

  EXPECT_THAT(externals, Contains(Pair("/sys/fs/cgroup/freezer", "/sys/fs/cgroup/freezer")));
  EXPECT_THAT(externals, Contains(Pair("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/systemd")));
}

TEST_F(MountLedgerTest, TheHierarchiesOfCgroupV1AreMadeAnewWithACgroupNamespace) {
  container_.state.namespace_paths["NEWCGROUP"] = "";

  const MountLedger ledger = Account();

  EXPECT_THAT(ledger.strangers(), IsEmpty());
  EXPECT_THAT(ledger.externals(), Not(Contains(Key(HasSubstr("/sys/fs/cgroup")))));
}

TEST_F(MountLedgerTest, ATmpfsThatTheApplicationMountedIsRefusedByName) {
  Mount("/cache", "tmpfs");

  EXPECT_THAT(Account().strangers(),
              ElementsAre(AllOf(HasSubstr("/cache (tmpfs)"), HasSubstr("inside the container"),
                                HasSubstr("unmount it"))));
}

TEST_F(MountLedgerTest, AMountOverADeclaredVolumeIsRefused) {
  Mount("/dev/shm", "tmpfs");

  EXPECT_THAT(Account().strangers(),
              ElementsAre(AllOf(HasSubstr("/dev/shm (tmpfs)"), HasSubstr("covers"))));
}

TEST_F(MountLedgerTest, AMountOverADeclaredTmpfsIsRefused) {
  Mount("/tmp/scratch", "tmpfs");

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/tmp/scratch")));
}

TEST_F(MountLedgerTest, AMountInsideAVolumeIsRefusedAndNamesTheVolume) {
  Mount("/dev/shm/inner", "tmpfs", "/dev/shm");

  EXPECT_THAT(Account().strangers(), ElementsAre(AllOf(HasSubstr("/dev/shm/inner"),
                                                       HasSubstr("inside the volume /dev/shm"))));
}

TEST_F(MountLedgerTest, AVolumeNextToOneWithALongerNameIsNotInsideIt) {
  Mount("/dev/shmem", "tmpfs");

  EXPECT_THAT(Account().strangers(), ElementsAre(Not(HasSubstr("inside the volume"))));
}

TEST_F(MountLedgerTest, AWritableTmpfsOverAMaskedDirectoryIsRefused) {
  At("/proc/acpi").mount_options = "rw,relatime";

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/proc/acpi")));
}

TEST_F(MountLedgerTest, AFileThatIsNotDevNullOverAMaskedFileIsRefused) {
  At("/proc/keys").root = "/secrets/keys";

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/proc/keys")));
}

TEST_F(MountLedgerTest, AnotherFileSystemOverAReadOnlyPathIsRefused) {
  At("/proc/bus").device = "0:77";

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/proc/bus")));
}

TEST_F(MountLedgerTest, ATypeThatCannotBeCarriedIsRefusedThoughDeclared) {
  container_.state.mounts.push_back({"/huge", "hugetlbfs", "hugetlbfs", false});
  Mount("/huge", "hugetlbfs");

  EXPECT_THAT(Account().strangers(),
              ElementsAre(AllOf(HasSubstr("/huge (hugetlbfs)"), HasSubstr("type"))));
}

TEST_F(MountLedgerTest, ADeclaredTypeIsNoExcuseForAnotherTypeAtItsPlace) {
  At("/tmp/scratch").file_system_type = "ext4";

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/tmp/scratch (ext4)")));
}

TEST_F(MountLedgerTest, AVolumeThatIsMountedTwiceMayStandTwice) {
  container_.state.mounts.push_back({"/etc/hosts", "/other", "bind", false});
  Mount("/etc/hosts", "ext4");

  EXPECT_THAT(Account().strangers(), IsEmpty());
}

TEST_F(MountLedgerTest, ATerminalOfAnotherDevptsIsRefused) {
  Use("v2-tty");
  At("/dev/console").device = "0:12";

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/dev/console (devpts)")));
}

TEST_F(MountLedgerTest, ACgroupMountOutsideTheDeclaredPlaceIsRefused) {
  Mount("/cg", "cgroup");

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/cg (cgroup)")));
}

TEST_F(MountLedgerTest, AMountPointThatPaintsTheTerminalIsPrintedHarmlessly) {
  Mount("/a\x1b[31m\nb", "tmpfs");

  EXPECT_THAT(Account().strangers(), ElementsAre(HasSubstr("/a?[31m b")));
}

}  // namespace
}  // namespace cryopod::criu
