#include "agent/daemon/archives/archive_access.h"

#include <fcntl.h>

#include "agent/archive/store/oci_archive.h"
#include "agent/daemon/pods/restore_request.h"
#include "tests/support/status_matchers.h"
#include "tests/support/without_landlock.h"
#include "tests/unit/agent/daemon/daemon_fixture.h"
#include "tests/unit/agent/daemon/sample_archive.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The store holds the archive "a" of a pod of namespace "shop".
class ArchiveAccessTest : public test::AgentFixture {
 protected:
  void SetUp() override {
    const Result<archive::Archive> archive =
        test::MakeSampleArchive(config_.store_root(), "a", {"app"});
    ASSERT_THAT(archive, IsOk());
    ASSERT_EQ(archive->checkpoint().pod_namespace, "shop");
    digest_ = archive->digest();
  }
  std::string digest_;
};

TEST_F(ArchiveAccessTest, APodOfTheArchivesNamespaceMayHaveIt) {
  EXPECT_THAT(OpenArchiveFor(config_, "a", "shop"), IsOk());
  EXPECT_THAT(OpenArchiveFor(config_, "a@" + digest_, "shop"), IsOk());
}

TEST_F(ArchiveAccessTest, OneOfAnotherNamespaceHearsWhatItWouldHearOfNoArchiveAtAll) {
  const Status foreign = OpenArchiveFor(config_, "a", "team-b").status();
  const Status absent = OpenArchiveFor(config_, "b", "team-b").status();

  EXPECT_THAT(foreign, StatusIs(Code::kNotFound,
                                AllOf(HasSubstr("\"a\" is not in the store"),
                                      HasSubstr("namespace team-b"), Not(HasSubstr("shop")))));
  std::string same = foreign.message();
  same.replace(same.find("\"a\""), 3, "\"b\"");
  EXPECT_EQ(same, absent.message());
  EXPECT_EQ(foreign.reason(), absent.reason());
}

TEST_F(ArchiveAccessTest, ADigestTellsAnotherNamespaceNothing) {
  EXPECT_THAT(OpenArchiveFor(config_, "a@sha256:" + std::string(64, '0'), "team-b"),
              StatusIs(Code::kNotFound, Not(HasSubstr("sha256"))));
  EXPECT_THAT(OpenArchiveFor(config_, "a@sha256:" + std::string(64, '0'), "shop"),
              StatusIs(Code::kFailedPrecondition, HasSubstr(digest_)));
}

TEST_F(ArchiveAccessTest, WhoIsGivenAnotherNamespacesArchiveStandsInTheLogWithBoth) {
  const auto logged = [this](const std::string& pod_namespace) {
    ::testing::internal::CaptureStderr();
    EXPECT_THAT(OpenArchiveFor(config_, "a", pod_namespace), IsOk());
    return ::testing::internal::GetCapturedStderr();
  };
  config_.restore_namespaces = "shop:team-b";

  EXPECT_THAT(
      logged("team-b"),
      AllOf(HasSubstr("\"level\":\"info\""), HasSubstr("\"archive\":\"a\""), HasSubstr(digest_),
            HasSubstr("\"of\":\"shop\""), HasSubstr("\"for\":\"team-b\"")));
  EXPECT_EQ(logged("shop"), "") << "nothing out of the ordinary";
}

TEST_F(ArchiveAccessTest, APairThatTheConfigurationNamesMayShareInItsOneDirection) {
  config_.restore_namespaces = "x:y, shop:team-b";

  EXPECT_THAT(OpenArchiveFor(config_, "a", "team-b"), IsOk());
  EXPECT_THAT(OpenArchiveFor(config_, "a", "team-c"), StatusIs(Code::kNotFound));
  config_.restore_namespaces = "team-b:shop";
  EXPECT_THAT(OpenArchiveFor(config_, "a", "team-b"), StatusIs(Code::kNotFound));
}

TEST_F(ArchiveAccessTest, WithoutLandlockWhatWasImportedIsRefusedUnlessTheConfigurationTakesIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive own, OpenArchive(config_, "a"));
  std::string tar;
  ASSERT_THAT(archive::ExportOciArchive(own,
                                        [&tar](std::string_view bytes) {
                                          tar += bytes;
                                          return Status();
                                        }),
              IsOk());
  cryopod::test::WriteText(temp_.path() / "a.tar", tar);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const UniqueFd file,
                               OpenAt(AT_FDCWD, temp_.path() / "a.tar", O_RDONLY));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::ArchiveStore store,
                               archive::ArchiveStore::Open(config_.store_root()));
  ASSERT_THAT(
      archive::ImportOciArchive(store, "foreign", file.get(), config_.unpack_program(), Soon()),
      IsOk());
  const auto refused = StatusIs(Code::kFailedPrecondition, HasSubstr("import_without_landlock"));

  cryopod::test::WithoutLandlock([&] {
    EXPECT_THAT(CheckForeignArchives(config_), refused);
    EXPECT_THAT(OpenArchiveFor(config_, "foreign", "shop"), refused);
    EXPECT_THAT(OpenArchiveFor(config_, "foreign", "team-b"), StatusIs(Code::kNotFound));
    EXPECT_THAT(OpenArchiveFor(config_, "a", "shop"), IsOk());
    api::RestoreRequest asked;
    asked.request_from_archive = true;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const archive::Archive foreign, OpenArchive(config_, "foreign"));
    EXPECT_THAT(BuildPodRequest(config_, foreign, asked, Soon()), refused);
    config_.import_without_landlock = true;
    EXPECT_THAT(CheckForeignArchives(config_), IsOk());
    EXPECT_THAT(OpenArchiveFor(config_, "foreign", "shop"), IsOk());
    EXPECT_THAT(BuildPodRequest(config_, foreign, asked, Soon()), IsOk());
  });
}

}  // namespace
}  // namespace cryopod::daemon
