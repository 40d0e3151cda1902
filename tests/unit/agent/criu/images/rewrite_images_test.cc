#include "agent/criu/images/rewrite_images.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "image_bytes.h"

namespace cryopod::criu {
namespace {

namespace fs = std::filesystem;
using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::ImageOf;
using test::Number;
using test::Regular;
using test::Remap;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint32_t kInotify = 8;
constexpr uint32_t kTimerfd = 17;
const std::string kOld = "/..2026_11_25_02_04_14.2116331833";  // in a volume
// Unknown to our messages, as most fields of CRIU are: fown, number 5.
constexpr char kFown[] = "\x2a\x04\x08\x01\x10\x02";

wire::file_entry Watch(uint32_t id, const std::vector<std::string>& paths) {
  wire::file_entry entry;
  entry.set_type(kInotify);
  entry.set_id(id);
  for (const std::string& path : paths) {
    entry.mutable_ify()->add_wd()->mutable_f_handle()->set_path(path);
  }
  return entry;
}

wire::mnt_entry Mount(const std::string& mount_point, bool deleted = false) {
  wire::mnt_entry entry;
  entry.set_mountpoint(mount_point);
  if (deleted) entry.set_deleted(true);
  return entry;
}

class RewriteImagesTest : public test::ImagesTest {
 protected:
  RewriteImagesTest() {
    WriteMounts({Mount("/"), Mount("/config"), Mount("/config/inner"), Mount("/etc/hosts"),
                 Mount("/app/settings.conf", true), Mount("/data", true)});
  }

  void WriteFiles(const std::vector<wire::file_entry>& files) {
    Write("files.img", ImageOf(kFilesMagic, files));
  }
  void WriteMounts(const std::vector<wire::mnt_entry>& mounts) {
    Write("mountpoints-13.img", ImageOf(kMountsMagic, mounts));
  }
  Status Rewrite() const {
    return RewriteImages(dir_.get(), {{RemadeKind::kVolume, "/config"},
                                      {RemadeKind::kFile, "/etc/hosts"},
                                      {RemadeKind::kSubPath, "/app/settings.conf"}});
  }
  wire::file_entry OnlyFile() const {
    const auto files = Entries<wire::file_entry>("files.img", kFilesMagic);
    EXPECT_THAT(files, SizeIs(1));
    return files.empty() ? wire::file_entry() : files.front();
  }
};

TEST_F(RewriteImagesTest, WhatIsOpenInARemadeMountIsFoundByItsNameWhateverItsSize) {
  const struct {
    wire::file_entry file;
    const char* name;
    uint64_t position;  // what is written starts at the beginning
  } files[] = {
      {Regular(1, "/config" + kOld + "/settings.conf"), "/config/..data/settings.conf", 5},
      {Regular(1, "/config" + kOld, O_RDONLY | O_DIRECTORY), "/config/..data", 5},
      {Regular(1, "/etc/hosts", O_WRONLY), "/etc/hosts", 0},
  };
  for (const auto& [file, name, position] : files) {
    WriteFiles({file});

    ASSERT_THAT(Rewrite(), IsOk());

    EXPECT_EQ(OnlyFile().reg().name(), name);
    EXPECT_FALSE(OnlyFile().reg().has_size());
    EXPECT_EQ(OnlyFile().reg().pos(), position);
  }
}

TEST_F(RewriteImagesTest, EverythingElseStaysByteForByte) {
  std::vector<wire::file_entry> files = {
      Regular(1, "/data/file"),
      Regular(2, "/etc/hosts.bak"),
      Regular(3, "/etc/hosts/below"),
      Regular(4, "/config.d" + kOld + "/settings.conf"),
      Regular(5, "/config/inner" + kOld + "/x"),
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

TEST_F(RewriteImagesTest, WatchesOfInotifyAndFanotifyFollowData) {
  wire::file_entry marks;
  marks.set_type(12);
  marks.set_id(2);
  marks.mutable_ffy()->add_mark();  // on a mount
  marks.mutable_ffy()->add_mark()->mutable_ie()->mutable_f_handle()->set_path("/config" + kOld +
                                                                              "/settings.conf");
  WriteFiles({Watch(1, {"/config" + kOld, "/data" + kOld}), marks});

  ASSERT_THAT(Rewrite(), IsOk());

  const auto files = Entries<wire::file_entry>(kFilesImage, kFilesMagic);
  ASSERT_THAT(files, SizeIs(2));
  ASSERT_EQ(files[0].ify().wd_size(), 2);
  EXPECT_EQ(files[0].ify().wd(0).f_handle().path(), "/config/..data");
  EXPECT_EQ(files[0].ify().wd(1).f_handle().path(), "/data" + kOld);
  EXPECT_FALSE(files[0].has_ffy());
  EXPECT_EQ(files[1].ffy().mark(1).ie().f_handle().path(), "/config/..data/settings.conf");
  EXPECT_FALSE(files[1].ffy().mark(0).has_ie());
  EXPECT_FALSE(files[1].has_ify());
}

TEST_F(RewriteImagesTest, AReplacedFileIsTheLiveOneTheOldTokenIsGoneAndASecondTimeChangesNothing) {
  WriteFiles({Regular(1, "/config" + kOld + "/token"), Regular(2, "/data/gone")});
  Write("remap-fpath.img",
        ImageOf<wire::remap_file_path_entry>(kRemapMagic, {Remap(1, 0x1a), Remap(2, 0x1b)}));
  Write("ghost-file-1a.img", "old token");
  Write("ghost-file-1b.img", "of the application");

  ASSERT_THAT(Rewrite(), IsOk());

  const auto remaps = Entries<wire::remap_file_path_entry>("remap-fpath.img", kRemapMagic);
  ASSERT_THAT(remaps, SizeIs(1));
  EXPECT_EQ(remaps[0].orig_id(), 2u);
  const std::string once = Text("files.img");
  ASSERT_THAT(Rewrite(), IsOk());
  EXPECT_EQ(Text("files.img"), once);
  EXPECT_EQ(Text("ghost-file-1a.img"), "");
  EXPECT_EQ(Text("ghost-file-1b.img"), "of the application");
}

TEST_F(RewriteImagesTest, AGhostThatAnotherFileNeedsAndAProcessThatIsGoneAreKept) {
  constexpr uint32_t kProcess = 2;
  WriteFiles({Regular(1, "/etc/hosts"), Regular(2, "/data/gone")});
  Write("remap-fpath.img", ImageOf<wire::remap_file_path_entry>(
                               kRemapMagic, {Remap(1, 7), Remap(2, 7), Remap(1, 8, kProcess)}));
  Write("ghost-file-7.img", "shared");

  ASSERT_THAT(Rewrite(), IsOk());

  EXPECT_EQ(Text("ghost-file-7.img"), "shared");
  EXPECT_THAT(Entries<wire::remap_file_path_entry>("remap-fpath.img", kRemapMagic), SizeIs(2));
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
  Status Mend() const { return MendTimers(dir_.get()); }
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

}  // namespace
}  // namespace cryopod::criu
