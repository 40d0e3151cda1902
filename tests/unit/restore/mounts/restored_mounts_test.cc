#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "restore/mounts/mount_rules.h"
#include "tests/support/mount_box.h"
#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_cgroup.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using test::MountBox;
using ::testing::AllOf;
using ::testing::HasSubstr;

bool Mount(const char* source, const std::string& target, const char* type, unsigned long flags) {
  return ::mount(source, target.c_str(), type, flags, nullptr) == 0;
}

bool Bind(const std::string& source, const std::string& target, unsigned long flags = 0) {
  if (!Mount(source.c_str(), target, nullptr, MS_BIND)) return false;
  return flags == 0 || Mount(nullptr, target, nullptr, MS_REMOUNT | MS_BIND | flags);
}

bool MakeWritable(const std::string& target) {
  return Mount(nullptr, target, nullptr, MS_REMOUNT | MS_BIND);
}

bool Unmount(const std::string& target) { return ::umount2(target.c_str(), MNT_DETACH) == 0; }

// A container as a runtime makes it of config(), and what an archive could make of it instead: the
// mounts are real, and so is the namespace.
class RestoredMountsTest : public ::testing::Test {
 protected:
  using Twist = std::function<bool(const std::string& root)>;

  void SetUp() override {
    const bool v1 = test::FreezerMount(CgroupVersion::kV1).has_value();
    cgroup_ = std::make_unique<test::TestCgroup>(v1 ? CgroupVersion::kV1 : CgroupVersion::kV2);
    if (!cgroup_->valid()) GTEST_SKIP() << "no cgroup hierarchy that can freeze";
    for (const char* name : {"rootfs/proc", "rootfs/sys", "rootfs/dev", "rootfs/data", "rootfs/run",
                             "rootfs/srv", "rootfs/etc", "rootfs/var", "volume", "other"}) {
      fs::create_directories(Path(name));
    }
    fs::create_directory_symlink("/run", Path("rootfs/var/run"));
    fs::create_directory(Path("rootfs/run/token"));
    for (const char* name : {"hosts", "rootfs/etc/hosts"}) test::WriteText(Path(name), "::1");
    config_ = Json::parse(R"({"root": {"path": "rootfs", "readonly": true}, "mounts": [
      {"destination": "/proc", "type": "proc", "source": "proc",
       "options": ["nosuid", "noexec", "nodev"]},
      {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
       "options": ["nosuid", "strictatime", "mode=755"]},
      {"destination": "/sys", "type": "sysfs", "source": "sysfs",
       "options": ["nosuid", "noexec", "nodev", "ro"]}],
      "linux": {
       "maskedPaths": ["/proc/cmdline", "/proc/tty", "/proc/nothing/there", "/etc/hosts/below"],
       "readonlyPaths": ["/proc/sys", "/proc/irq", "/proc/nothing"]}})");
    AskForBind("/data", "volume", "ro");
    AskForBind("/var/run/token", "other", "rw");
    AskForBind("/etc/hosts", "hosts", "rw");
  }

  void AskForBind(const std::string& destination, const std::string& source,
                  const std::string& option) {
    config_["mounts"].push_back({{"destination", destination},
                                 {"source", Path(source)},
                                 {"options", {"rbind", "rprivate", option}}});
  }

  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }

  bool MountAsAsked(const std::string& root) const {
    constexpr unsigned long kSafe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return Mount("proc", root + "/proc", "proc", kSafe) &&
           Mount("tmpfs", root + "/dev", "tmpfs", MS_NOSUID) &&
           Mount("sysfs", root + "/sys", "sysfs", kSafe) &&
           Mount(nullptr, root + "/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kSafe) &&
           Bind(Path("volume"), root + "/data", MS_RDONLY) &&
           Bind(Path("other"), root + "/run/token") && Bind(Path("hosts"), root + "/etc/hosts") &&
           Bind("/dev/null", root + "/proc/cmdline") &&
           Mount("tmpfs", root + "/proc/tty", "tmpfs", MS_RDONLY) &&
           Bind(root + "/proc/sys", root + "/proc/sys", MS_RDONLY | kSafe) &&
           Bind(root + "/proc/irq", root + "/proc/irq", MS_RDONLY | kSafe) &&
           Mount(nullptr, root, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY);
  }

  // A container of which an archive has made what `twist` does.
  void Restore(const Twist& twist = {}, const MountBox::Act& after = {}) {
    const std::string root = Path("rootfs");
    boxes_.push_back(std::make_unique<MountBox>(
        root, cgroup_->path(),
        MountBox::Acts{[&] { return MountAsAsked(root) && (!twist || twist(root)); }, after}));
  }

  Status Check(const std::string& rootfs = "rootfs") const {
    const json::Value config = json::Parse(config_.dump()).value();
    return CheckRestoredMounts(LiveMountsOf(config, Path(rootfs)), cgroup_->path(), test::Soon());
  }

  // Says where, what the new pod asks for, and what the archive brings.
  void ExpectRefused(const std::string& place, const std::string& asked,
                     const std::string& brought) const {
    const Status status = Check();
    EXPECT_THAT(status, test::StatusIs(Code::kPermissionDenied,
                                       AllOf(HasSubstr("at " + place + " the new pod asks for "),
                                             HasSubstr(asked), HasSubstr("the archive brings "),
                                             HasSubstr(brought), HasSubstr("give the new pod"))));
    EXPECT_EQ(status.reason(), Reason::kSecurityContext);
  }

  test::TempDirectory temp_;
  Json config_;
  std::unique_ptr<test::TestCgroup> cgroup_;
  std::vector<std::unique_ptr<MountBox>> boxes_;
};

TEST_F(RestoredMountsTest, WhatARuntimeMakesOfTheRequestIsAllowed) {
  Restore();

  EXPECT_THAT(Check(), test::IsOk());
}

// What an archive makes of the mounts of the request, and how the refusal tells it.
struct Refusal {
  const char* name;
  bool (*twist)(const std::string& root);
  const char* place;
  const char* asked;
  const char* brought;
};

bool MountMasked(const std::string& root, unsigned long flags) {
  return Unmount(root + "/proc/tty") && Mount("tmpfs", root + "/proc/tty", "tmpfs", flags);
}

const Refusal kRefusals[] = {
    {"AWritableVolumeWhereTheNewPodsIsReadOnly",
     [](const std::string& root) { return MakeWritable(root + "/data"); }, "/data", "/volume (ro)",
     "rw,"},
    {"AWritableRootWhereTheNewPodsIsReadOnly",
     [](const std::string& root) { return MakeWritable(root); }, "/",
     "a read-only root file system (ro)", "rw,"},
    {"AProcWithoutItsReadOnlyPaths",
     [](const std::string& root) { return Unmount(root + "/proc/sys"); }, "/proc/sys",
     "it read-only (ro)", "proc (rw,"},
    {"AReadOnlyPathThatShowsSomethingElse",
     [](const std::string& root) {
       return Unmount(root + "/proc/sys") &&
              Bind(root + "/proc/irq", root + "/proc/sys", MS_RDONLY);
     },
     "/proc/sys", "the same path", "proc of /irq"},
    {"AMaskedFileThatIsBare",
     [](const std::string& root) { return Unmount(root + "/proc/cmdline"); }, "/proc/cmdline",
     "what hides it", "it in the open"},
    {"AMaskedDirectoryThatIsWritable", [](const std::string& root) { return MountMasked(root, 0); },
     "/proc/tty", "what hides it", "tmpfs (rw,"},
    {"AMaskedDirectoryThatHoldsSomething",
     [](const std::string& root) {
       return MountMasked(root, 0) && ::mkdir((root + "/proc/tty/driver").c_str(), 0700) == 0 &&
              Mount(nullptr, root + "/proc/tty", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY);
     },
     "/proc/tty", "what hides it", "tmpfs (ro,"},
    {"AVolumeThatIsNotMounted",
     [](const std::string& root) { return Unmount(root + "/run/token"); }, "/var/run/token",
     "/other", "no mount"},
    {"AVolumeThatLeadsElsewhere",
     [](const std::string& root) {
       return Unmount(root + "/data") && Bind(root + "/../other", root + "/data", MS_RDONLY);
     },
     "/data", "/volume", "/other (ro,"},
    {"AFileSystemOfAnotherType",
     [](const std::string& root) {
       return Unmount(root + "/sys") &&
              Mount("tmpfs", root + "/sys", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY);
     },
     "/sys", "sysfs", "tmpfs"},
    {"AMountThatTheNewPodDoesNotAskFor",
     [](const std::string& root) { return Mount("tmpfs", root + "/srv", "tmpfs", 0); }, "/srv",
     "no such mount", "tmpfs (rw,"},
    {"AMountOverAVolume",
     [](const std::string& root) { return Bind(root + "/../volume", root + "/data", MS_RDONLY); },
     "/data", "no such mount", "/volume (ro,"},
};

class RefusalTest : public RestoredMountsTest, public ::testing::WithParamInterface<Refusal> {};

TEST_P(RefusalTest, IsToldWithBothSides) {
  Restore(GetParam().twist);

  ExpectRefused(GetParam().place, GetParam().asked, GetParam().brought);
}

INSTANTIATE_TEST_SUITE_P(All, RefusalTest, ::testing::ValuesIn(kRefusals),
                         [](const auto& entry) { return entry.param.name; });

TEST_F(RestoredMountsTest, AReadOnlyVolumeAndRootAreAllowedWhereTheNewPodsAreWritable) {
  config_["root"]["readonly"] = false;
  config_["mounts"][3]["options"] = {"rbind", "rw"};
  Restore();

  EXPECT_THAT(Check(), test::IsOk());
}

TEST_F(RestoredMountsTest, EveryFlagThatIsAskedForMustBeThere) {
  struct Case {
    const char* option;
    const char* shown;
    unsigned long others;
  };
  for (const Case& one : {Case{"nosuid", "(nosuid)", MS_RDONLY | MS_NODEV | MS_NOEXEC},
                          Case{"nodev", "(nodev)", MS_RDONLY | MS_NOSUID | MS_NOEXEC},
                          Case{"noexec", "(noexec)", MS_RDONLY | MS_NOSUID | MS_NODEV},
                          Case{"rnoexec", "(noexec)", MS_RDONLY | MS_NOSUID | MS_NODEV},
                          Case{"rro", "(ro)", MS_NOSUID | MS_NODEV | MS_NOEXEC}}) {
    SCOPED_TRACE(one.option);
    config_["mounts"][3]["options"] = {"rbind", one.option};
    Restore([&](const std::string& root) {
      return Mount(nullptr, root + "/data", nullptr, MS_REMOUNT | MS_BIND | one.others);
    });

    ExpectRefused("/data", one.shown, "/volume (r");
    boxes_.clear();
  }
}

TEST_F(RestoredMountsTest, AVolumeWhosePlaceIsNotThereIsRefused) {
  AskForBind("/new", "volume", "rw");
  Restore();

  ExpectRefused("/new", Path("volume"), "nothing");
}

TEST_F(RestoredMountsTest, ATmpfsOfTheNodeIsNotTheContainersOwn) {
  const std::string of_node = Path("other");
  ASSERT_TRUE(Mount("tmpfs", of_node, "tmpfs", MS_NOSUID));
  Restore([&](const std::string& root) {
    return Unmount(root + "/dev") && Bind(of_node, root + "/dev", MS_NOSUID);
  });

  ExpectRefused("/dev", "tmpfs", "tmpfs");
  boxes_.clear();
  EXPECT_TRUE(Unmount(of_node));
}

TEST_F(RestoredMountsTest, OfTwoMountsAtOnePlaceTheLaterOneCounts) {
  AskForBind("/data", "other", "rw");
  Restore([this](const std::string& root) { return Bind(Path("other"), root + "/data"); });

  EXPECT_THAT(Check(), test::IsOk());
}

TEST_F(RestoredMountsTest, AnotherRootFileSystemIsRefused) {
  Restore();

  EXPECT_THAT(Check("volume"),
              test::StatusIs(Code::kPermissionDenied, HasSubstr("its own root file system")));
}

TEST_F(RestoredMountsTest, ATaskInANamespaceOfItsOwnIsLookedAtToo) {
  Restore();
  Restore([](const std::string& root) { return MakeWritable(root + "/data"); });

  ExpectRefused("/data", "(ro)", "rw,");
}

TEST_F(RestoredMountsTest, AFirstProcessThatHasChangedItsRootHidesNothing) {
  Restore([](const std::string& root) { return MakeWritable(root + "/data"); },
          [] { return ::chroot("/srv") == 0 && ::chdir("/") == 0; });

  ExpectRefused("/data", "(ro)", "rw,");
}

TEST_F(RestoredMountsTest, AProcessThatHasChangedItsRootWithinTheContainerIsAllowed) {
  Restore({}, [] { return ::chroot("/srv") == 0 && ::chdir("/") == 0; });

  EXPECT_THAT(Check(), test::IsOk());
}

TEST_F(RestoredMountsTest, ARootOrWorkingDirectoryOutsideIsRefused) {
  const UniqueFd outside = [] {
    Result<UniqueFd> root = OpenDirectory("/");
    return root.ok() ? std::move(*root) : UniqueFd();
  }();
  Restore({}, [&] { return ::fchdir(outside.get()) == 0; });
  EXPECT_THAT(Check(), test::StatusIs(Code::kPermissionDenied, HasSubstr("(cwd)")));
  boxes_.clear();

  Restore({}, [&] { return ::fchdir(outside.get()) == 0 && ::chroot(".") == 0; });
  EXPECT_THAT(Check(), test::StatusIs(Code::kPermissionDenied, HasSubstr("(root)")));
}

TEST_F(RestoredMountsTest, AFileThatIsOpenOnAMountOfNobodyIsRefused) {
  const auto open_and_unmount = [](const char* path, int flags) {
    return Mount("proc", "/srv", "proc", 0) && ::open(path, flags) >= 0 && Unmount("/srv");
  };
  Restore({}, [&] { return open_and_unmount("/srv/sys/kernel/core_pattern", O_RDWR); });
  EXPECT_THAT(Check(), test::StatusIs(Code::kPermissionDenied, HasSubstr("(fd/")));
  boxes_.clear();

  Restore({}, [&] { return open_and_unmount("/srv/sys", O_RDONLY | O_DIRECTORY); });
  EXPECT_THAT(Check(), test::StatusIs(Code::kPermissionDenied, HasSubstr("(fd/")));
}

TEST_F(RestoredMountsTest, AProgramOnAMountOfNobodyIsRefused) {
  Restore({}, [] {
    if (!Bind("/", "/srv")) return false;
    const int program = ::open("/srv/idle", O_PATH | O_CLOEXEC);
    if (Unmount("/srv")) MountBox::Execute(program);
    return false;
  });

  EXPECT_THAT(Check(), test::StatusIs(Code::kPermissionDenied, HasSubstr("(exe)")));
}

TEST_F(RestoredMountsTest, FilesOfTheKernelsOwnMountsAreAllowed) {
  Restore({}, [] {
    int ends[2];
    return ::memfd_create("memory", 0) >= 0 && ::pipe(ends) == 0 &&
           ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0 && ::epoll_create1(0) >= 0 &&
           ::open("/data", O_RDONLY) >= 0;
  });

  EXPECT_THAT(Check(), test::IsOk());
}

TEST_F(RestoredMountsTest, AnAbsentSourceIsNamed) {
  Restore();
  fs::remove(Path("hosts"));

  EXPECT_THAT(Check(), test::StatusIs(Code::kNotFound, HasSubstr("/etc/hosts")));
}

}  // namespace
}  // namespace cryopod::restore
