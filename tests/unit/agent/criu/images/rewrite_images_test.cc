#include "agent/criu/images/rewrite_images.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "agent/criu/images/entry_reader.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"
#include "image_bytes.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using test::Entry;
using test::Number;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kMountsMagic = 0x55563928;
constexpr uint32_t kInotify = 8;
constexpr uint32_t kTimerfd = 17;
constexpr char kOld[] = "..2026_11_25_02_04_14.2116331833";
// Unknown to our messages, as most fields of CRIU are: fown, number 5.
constexpr char kFown[] = "\x2a\x04\x08\x01\x10\x02";

template <typename Message>
std::string ImageOf(uint32_t magic, const std::vector<Message>& entries) {
  std::string image = Number(kCommonImageMagic) + Number(magic);
  for (const Message& entry : entries) image += Entry(entry);
  return image;
}

wire::file_entry Regular(uint32_t id, const std::string& name, uint32_t flags = O_RDONLY) {
  wire::file_entry entry;
  entry.set_type(1);
  entry.set_id(id);
  wire::reg_file_entry* file = entry.mutable_reg();
  file->set_id(id);
  file->set_flags(flags);
  file->set_pos(5);
  file->set_name(name);
  file->set_size(28);
  return entry;
}

wire::file_entry Watch(uint32_t id, const std::vector<std::string>& paths) {
  wire::file_entry entry;
  entry.set_type(kInotify);
  entry.set_id(id);
  for (const std::string& path : paths) {
    entry.mutable_ify()->add_wd()->mutable_f_handle()->set_path(path);
  }
  return entry;
}

wire::remap_file_path_entry Remap(uint32_t file, uint32_t ghost, uint32_t type = 1) {
  wire::remap_file_path_entry entry;
  entry.set_orig_id(file);
  entry.set_remap_id(ghost);
  entry.set_remap_type(type);
  return entry;
}

wire::mnt_entry Mount(const std::string& mount_point, bool deleted = false) {
  wire::mnt_entry entry;
  entry.set_mountpoint(mount_point);
  if (deleted) entry.set_deleted(true);
  return entry;
}

class RewriteImagesTest : public ::testing::Test {
 protected:
  RewriteImagesTest() {
    WriteMounts({Mount("/"), Mount("/config"), Mount("/config/inner"), Mount("/etc/hosts"),
                 Mount("/app/settings.conf", true), Mount("/data", true)});
  }

  void Write(const std::string& name, const std::string& bytes) {
    Result<UniqueFd> dir = OpenDirectory(temp_.path());
    ASSERT_THAT(dir, IsOk());
    ASSERT_THAT(WriteFileAtomically(dir->get(), name, bytes), IsOk());
  }
  void WriteFiles(const std::vector<wire::file_entry>& files) {
    Write("files.img", ImageOf(kFilesMagic, files));
  }
  void WriteMounts(const std::vector<wire::mnt_entry>& mounts) {
    Write("mountpoints-13.img", ImageOf(kMountsMagic, mounts));
  }
  Status Rewrite() {
    Result<UniqueFd> dir = OpenDirectory(temp_.path());
    if (!dir.ok()) return dir.status();
    return RewriteImages(dir->get(), {{RemadeKind::kVolume, "/config"},
                                      {RemadeKind::kFile, "/etc/hosts"},
                                      {RemadeKind::kSubPath, "/app/settings.conf"}});
  }

  std::string Text(const std::string& name) const { return ReadText(temp_.path() / name); }
  template <typename Message>
  std::vector<Message> Entries(const std::string& name, uint32_t magic) const {
    const std::string bytes = Text(name);
    std::vector<Message> entries;
    Result<EntryReader> reader = EntryReader::Open(bytes, name, kCommonImageMagic, magic);
    EXPECT_THAT(reader, IsOk());
    while (reader.ok() && !reader->AtEnd()) {
      EXPECT_THAT(reader->Next(&entries.emplace_back()), IsOk());
    }
    return entries;
  }
  wire::file_entry OnlyFile() const {
    const auto files = Entries<wire::file_entry>("files.img", kFilesMagic);
    EXPECT_THAT(files, SizeIs(1));
    return files.empty() ? wire::file_entry() : files.front();
  }

  cryopod::test::TempDirectory temp_;
};

TEST_F(RewriteImagesTest, AFileOfAVolumeIsFoundThroughDataWhateverItsSize) {
  WriteFiles({Regular(1, std::string("/config/") + kOld + "/settings.conf")});

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(OnlyFile().reg().name(), "/config/..data/settings.conf");
  EXPECT_FALSE(OnlyFile().reg().has_size());
  EXPECT_EQ(OnlyFile().reg().pos(), 5u);
}

TEST_F(RewriteImagesTest, ADirectoryOfAVolumeIsFoundThroughData) {
  WriteFiles({Regular(1, std::string("/config/") + kOld, O_RDONLY | O_DIRECTORY)});

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(OnlyFile().reg().name(), "/config/..data");
}

TEST_F(RewriteImagesTest, AFileThatTheKubeletBindsHasNoSizeAndIsWrittenFromItsBeginning) {
  WriteFiles({Regular(1, "/etc/hosts", O_WRONLY)});

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(OnlyFile().reg().name(), "/etc/hosts");
  EXPECT_FALSE(OnlyFile().reg().has_size());
  EXPECT_EQ(OnlyFile().reg().pos(), 0u);
}

TEST_F(RewriteImagesTest, EverythingElseStaysByteForByte) {
  std::vector<wire::file_entry> files = {
      Regular(1, "/data/file"),
      Regular(2, "/etc/hosts.bak"),
      Regular(3, "/etc/hosts/below"),
      Regular(4, "/config.d/" + std::string(kOld) + "/settings.conf"),
      Regular(5, "/config/inner/" + std::string(kOld) + "/x"),
      Regular(6, "file[11:ab]"),
      Watch(7, {"/data", "/etc", "/config"}),
  };
  std::string image = ImageOf(kFilesMagic, files);
  Write("files.img", image);

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(Text("files.img"), image);
}

TEST_F(RewriteImagesTest, FieldsThatAreUnknownHereSurvive) {
  wire::file_entry file = Regular(1, "/etc/hosts");
  ASSERT_TRUE(file.mutable_reg()->MergeFromString(kFown));
  WriteFiles({file});

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_THAT(Text("files.img"), HasSubstr(kFown));
}

TEST_F(RewriteImagesTest, AWatchFollowsData) {
  WriteFiles({Watch(1, {std::string("/config/") + kOld, "/data/" + std::string(kOld)})});

  ASSERT_THAT(Rewrite(), IsOk());

  ASSERT_EQ(OnlyFile().ify().wd_size(), 2);
  EXPECT_EQ(OnlyFile().ify().wd(0).f_handle().path(), "/config/..data");
  EXPECT_EQ(OnlyFile().ify().wd(1).f_handle().path(), "/data/" + std::string(kOld));
  EXPECT_FALSE(OnlyFile().has_ffy());
}

TEST_F(RewriteImagesTest, AFanotifyMarkFollowsData) {
  wire::file_entry file;
  file.set_type(12);
  file.set_id(1);
  file.mutable_ffy()->add_mark();  // on a mount
  file.mutable_ffy()->add_mark()->mutable_ie()->mutable_f_handle()->set_path(
      std::string("/config/") + kOld + "/settings.conf");
  WriteFiles({file});

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(OnlyFile().ffy().mark(1).ie().f_handle().path(), "/config/..data/settings.conf");
  EXPECT_FALSE(OnlyFile().ffy().mark(0).has_ie());
  EXPECT_FALSE(OnlyFile().has_ify());
}

TEST_F(RewriteImagesTest, AReplacedFileIsTheLiveOneAndTheOldTokenIsGone) {
  WriteFiles({Regular(1, std::string("/config/") + kOld + "/token"), Regular(2, "/data/gone")});
  Write("remap-fpath.img",
        ImageOf<wire::remap_file_path_entry>(kRemapMagic, {Remap(1, 0x1a), Remap(2, 0x1b)}));
  Write("ghost-file-1a.img", "old token");
  Write("ghost-file-1b.img", "of the application");

  ASSERT_THAT(Rewrite(), IsOk());

  const auto remaps = Entries<wire::remap_file_path_entry>("remap-fpath.img", kRemapMagic);
  ASSERT_THAT(remaps, SizeIs(1));
  EXPECT_EQ(remaps[0].orig_id(), 2u);
  EXPECT_EQ(Text("ghost-file-1a.img"), "");
  EXPECT_EQ(Text("ghost-file-1b.img"), "of the application");
}

TEST_F(RewriteImagesTest, AGhostThatAnotherFileNeedsIsKept) {
  WriteFiles({Regular(1, "/etc/hosts"), Regular(2, "/data/gone")});
  Write("remap-fpath.img",
        ImageOf<wire::remap_file_path_entry>(kRemapMagic, {Remap(1, 7), Remap(2, 7)}));
  Write("ghost-file-7.img", "shared");

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(Text("ghost-file-7.img"), "shared");
}

TEST_F(RewriteImagesTest, AProcessThatIsGoneIsNoReplacedFile) {
  WriteFiles({Regular(1, "/etc/hosts")});
  const std::string image = ImageOf<wire::remap_file_path_entry>(kRemapMagic, {Remap(1, 7, 2)});
  Write("remap-fpath.img", image);

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(Text("remap-fpath.img"), image);
}

TEST_F(RewriteImagesTest, ASubPathOfAnOldVolumeIsNotDeletedInTheNewPod) {
  WriteFiles({Regular(1, "/app/settings.conf")});

  ASSERT_THAT(Rewrite(), IsOk());

  const auto mounts = Entries<wire::mnt_entry>("mountpoints-13.img", kMountsMagic);
  ASSERT_THAT(mounts, SizeIs(6));
  EXPECT_FALSE(mounts[4].deleted());
  EXPECT_TRUE(mounts[5].deleted()) << "of a volume that is none of the kubelet's";
  EXPECT_FALSE(OnlyFile().reg().has_size());
}

TEST_F(RewriteImagesTest, ASecondTimeChangesNothing) {
  WriteFiles({Regular(1, std::string("/config/") + kOld + "/settings.conf"),
              Watch(2, {std::string("/config/") + kOld})});
  Write("remap-fpath.img", ImageOf<wire::remap_file_path_entry>(kRemapMagic, {Remap(1, 1)}));
  Write("ghost-file-1.img", "old");
  ASSERT_THAT(Rewrite(), IsOk());
  const std::string files = Text("files.img");

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(Text("files.img"), files);
}

TEST_F(RewriteImagesTest, GarbageIsRefusedAndNamed) {
  Write("files.img", Number(kCommonImageMagic) + Number(kFilesMagic) + Number(1000) + "short");
  EXPECT_THAT(Rewrite(), StatusIs(Code::kDataLoss, HasSubstr("files.img")));

  Write("files.img", "nothing of CRIU");
  EXPECT_THAT(Rewrite(), StatusIs(Code::kDataLoss, HasSubstr("files.img")));

  WriteFiles({});
  Write("mountpoints-9.img", ImageOf<wire::file_entry>(kFilesMagic, {}));
  EXPECT_THAT(Rewrite(), StatusIs(Code::kDataLoss, HasSubstr("mountpoints-9.img")));
}

TEST_F(RewriteImagesTest, ASymlinkInPlaceOfAnImageIsNotFollowed) {
  const fs::path outside = temp_.path() / "outside";
  Write("outside", ImageOf<wire::file_entry>(kFilesMagic, {Regular(1, "/etc/hosts")}));
  const std::string before = Text("outside");
  fs::create_symlink(outside, temp_.path() / "files.img");

  EXPECT_FALSE(Rewrite().ok());

  EXPECT_EQ(Text("outside"), before);
}

wire::file_entry Timer(uint64_t period_ns, uint64_t left_ns, uint64_t ticks) {
  wire::file_entry entry;
  entry.set_type(kTimerfd);
  entry.set_id(7);
  entry.mutable_tfd()->set_ticks(ticks);
  entry.mutable_tfd()->set_vsec(0);
  entry.mutable_tfd()->set_vnsec(left_ns);
  entry.mutable_tfd()->set_isec(0);
  entry.mutable_tfd()->set_insec(period_ns);
  return entry;
}

class MendTimersTest : public RewriteImagesTest {
 protected:
  Status Mend() {
    Result<UniqueFd> dir = OpenDirectory(temp_.path());
    if (!dir.ok()) return dir.status();
    return MendTimers(dir->get());
  }
};

TEST_F(MendTimersTest, AnExpiredTimerWithAPeriodGoesOnAndKeepsWhatIsDue) {
  WriteFiles({Timer(20'000'000, 0, 3)});

  ASSERT_THAT(Mend(), IsOk());
  const std::string once = Text("files.img");
  ASSERT_THAT(Mend(), IsOk());

  EXPECT_EQ(OnlyFile().tfd().vnsec(), 1U);
  EXPECT_EQ(OnlyFile().tfd().ticks(), 3U);
  EXPECT_EQ(OnlyFile().tfd().insec(), 20'000'000U);
  EXPECT_EQ(Text("files.img"), once);
}

TEST_F(MendTimersTest, OtherTimersAndFilesStayAsTheyAre) {
  WriteFiles({Timer(20'000'000, 5, 0), Timer(0, 0, 1), Timer(20'000'000, 0, 0), Timer(0, 0, 0),
              Regular(1, "/etc/hosts"), Watch(2, {"/config"})});
  const std::string before = Text("files.img");

  ASSERT_THAT(Mend(), IsOk());

  EXPECT_EQ(Text("files.img"), before);
}

TEST_F(MendTimersTest, WhatDoesNotParseIsRefused) {
  Write("files.img", Number(kCommonImageMagic) + Number(kFilesMagic) + Number(3) + "\xff");

  EXPECT_THAT(Mend(), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::criu
