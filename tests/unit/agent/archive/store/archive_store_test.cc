#include "agent/archive/store/archive_store.h"

#include <thread>

#include "agent/archive/store/partial_archive.h"
#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using cryopod::test::IsOk;
using cryopod::test::IsOkAnd;
using cryopod::test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ArchiveStoreTest : public ArchiveTest {
 protected:
  std::filesystem::path partial_path() const { return store_path() / ".partial"; }
};

TEST_F(ArchiveStoreTest, AnEmptyStoreListsNothing) {
  EXPECT_THAT(store_->List(), IsOkAnd(IsEmpty()));
}

TEST_F(ArchiveStoreTest, DirectoriesAndFilesAreTheOwnersAlone) {
  ASSERT_THAT(MakeArchive("one"), IsOk());

  for (const auto& entry : std::filesystem::recursive_directory_iterator(store_path())) {
    EXPECT_EQ(entry.status().permissions(),
              std::filesystem::perms(entry.is_directory() ? 0700 : 0600))
        << entry.path();
  }
  EXPECT_EQ(std::filesystem::status(store_path()).permissions(), std::filesystem::perms(0700));
}

TEST_F(ArchiveStoreTest, ListsCommittedArchivesSortedAndNothingElse) {
  ASSERT_THAT(MakeArchive("two"), IsOk());
  ASSERT_THAT(MakeArchive("one"), IsOk());
  const Result<ArchiveWriter> writing = store_->Create("three");
  std::filesystem::create_directory(store_path() / ".hidden");
  WriteText(store_path() / "file", "");

  EXPECT_THAT(store_->List(), IsOkAnd(ElementsAre("one", "two")));
}

TEST_F(ArchiveStoreTest, AnAbsentArchiveIsNotFoundByName) {
  EXPECT_THAT(Open("absent"),
              StatusIs(Code::kNotFound, AllOf(HasSubstr("\"absent\""), HasSubstr("list"))));
}

TEST_F(ArchiveStoreTest, AnArchiveThatIsBeingWrittenIsNotFound) {
  const Result<ArchiveWriter> writing = store_->Create("soon");

  EXPECT_THAT(Open("soon"), StatusIs(Code::kNotFound));
}

TEST_F(ArchiveStoreTest, AReferenceMayFixTheDigest) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive made, MakeArchive("one"));
  const std::string other = "sha256:" + std::string(64, '0');

  EXPECT_THAT(store_->OpenArchive({"one", made.digest()}), IsOk());
  EXPECT_THAT(
      store_->OpenArchive({"one", other}),
      StatusIs(Code::kFailedPrecondition, AllOf(HasSubstr(other), HasSubstr(made.digest()))));
}

TEST_F(ArchiveStoreTest, ANameThatIsNoneIsRefusedEverywhere) {
  EXPECT_THAT(Open("../store"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(store_->Delete(".partial"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(store_->Create(""), StatusIs(Code::kInvalidArgument));
}

TEST_F(ArchiveStoreTest, ADeletedArchiveIsGone) {
  ASSERT_THAT(MakeArchive("one"), IsOk());
  ASSERT_THAT(MakeArchive("two"), IsOk());

  EXPECT_THAT(store_->Delete("one"), IsOk());

  EXPECT_THAT(store_->List(), IsOkAnd(ElementsAre("two")));
  EXPECT_THAT(ReadTree(partial_path()), IsEmpty());
  EXPECT_THAT(store_->Delete("one"), StatusIs(Code::kNotFound, HasSubstr("\"one\"")));
}

TEST_F(ArchiveStoreTest, ADeletedNameCanBeTakenAgain) {
  ASSERT_THAT(MakeArchive("one"), IsOk());
  ASSERT_THAT(store_->Delete("one"), IsOk());

  EXPECT_THAT(MakeArchive("one"), IsOk());
}

TEST_F(ArchiveStoreTest, ANameIsClaimedOnce) {
  Result<ArchiveWriter> first = store_->Create("name");
  ASSERT_THAT(first, IsOk());

  EXPECT_THAT(store_->Create("name"), StatusIs(Code::kAlreadyExists, HasSubstr("being written")));
  ASSERT_THAT(Commit(std::move(*first), {"app"}), IsOk());
  EXPECT_THAT(store_->Create("name"), StatusIs(Code::kAlreadyExists, HasSubstr("exists already")));
}

TEST_F(ArchiveStoreTest, OfManyThreadsOneGetsTheName) {
  constexpr int kThreads = 8;
  std::vector<Result<PartialArchive>> claims;
  claims.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) claims.emplace_back(Status(Code::kUnknown, ""));
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, &claims, i] {
        Result<PartialArchive> claim = PartialArchive::Claim(*store_, "name");
        std::destroy_at(&claims[static_cast<size_t>(i)]);
        std::construct_at(&claims[static_cast<size_t>(i)], std::move(claim));
      });
    }
  }

  int won = 0;
  for (const auto& claim : claims) {
    won += claim.ok() ? 1 : 0;
    if (!claim.ok()) {
      EXPECT_THAT(claim, StatusIs(Code::kAlreadyExists));
    }
  }
  EXPECT_EQ(won, 1);
}

TEST_F(ArchiveStoreTest, AnAbandonedWriterLeavesNothing) {
  {
    Result<ArchiveWriter> writer = store_->Create("name");
    ASSERT_THAT(writer, IsOk());
    PackContainer(*writer, "app");
  }

  EXPECT_THAT(std::filesystem::is_empty(partial_path()), true);
  EXPECT_THAT(store_->Create("name"), IsOk());
}

TEST_F(ArchiveStoreTest, LeftoversAreRemovedAndLivingWritersAreNot) {
  const Result<ArchiveWriter> living = store_->Create("living");
  std::filesystem::create_directories(partial_path() / "dead" / "blobs");
  std::filesystem::create_directories(partial_path() / ".gone-17" / "blobs");
  std::filesystem::create_directories(partial_path() / "adopted");
  WriteText(partial_path() / "stray", "x");

  EXPECT_THAT(store_->RemoveLeftovers({"adopted"}), IsOk());

  EXPECT_TRUE(std::filesystem::exists(partial_path() / "living"));
  EXPECT_TRUE(std::filesystem::exists(partial_path() / "adopted"));
  EXPECT_FALSE(std::filesystem::exists(partial_path() / "dead"));
  EXPECT_FALSE(std::filesystem::exists(partial_path() / ".gone-17"));
  EXPECT_FALSE(std::filesystem::exists(partial_path() / "stray"));
}

TEST_F(ArchiveStoreTest, ALeftoverDoesNotKeepTheNameTaken) {
  std::filesystem::create_directories(partial_path() / "name" / "blobs" / "sha256");
  WriteText(partial_path() / "name" / "blobs" / "sha256" / ".blob-0", "half");

  EXPECT_THAT(MakeArchive("name"), IsOk());
}

TEST_F(ArchiveStoreTest, AnOpenArchiveDoesNotKeepItFromBeingDeleted) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, MakeArchive("one"));

  EXPECT_THAT(store_->Delete("one"), IsOk());

  EXPECT_THAT(archive.OpenBlob(archive.pod_metadata()), StatusIs(Code::kDataLoss));
}

}  // namespace
}  // namespace cryopod::archive::test
