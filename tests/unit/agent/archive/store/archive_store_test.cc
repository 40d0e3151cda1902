#include "agent/archive/store/archive_store.h"

#include <array>
#include <thread>

#include "agent/archive/store/partial_archive.h"
#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using ArchiveStoreTest = ArchiveTest;

TEST(ParseArchiveReferenceTest, TakesANameAloneOrWithADigest) {
  const std::string digest = "sha256:" + std::string(64, '0');
  for (const std::string& name : {std::string("a"), std::string("Web-0.shop_2026"),
                                  std::string("0"), std::string(200, 'x')}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const ArchiveReference alone, ParseArchiveReference(name));
    EXPECT_EQ(alone.name, name);
    EXPECT_EQ(alone.digest, "");

    CRYOPOD_ASSERT_OK_AND_ASSIGN(const ArchiveReference fixed,
                                 ParseArchiveReference(name + "@" + digest));
    EXPECT_EQ(fixed.name, name);
    EXPECT_EQ(fixed.digest, digest);
  }
}

TEST(ParseArchiveReferenceTest, RefusesWhatCouldBeAPathOrAnOptionAndNamesTheForm) {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string(".partial"),
        std::string("a/b"), std::string("/a"), std::string("-rf"), std::string("_a"),
        std::string("a b"), std::string("a\n"), std::string("a\0b", 3), std::string("ä"),
        std::string(201, 'x'), std::string("../x")}) {
    EXPECT_THAT(CheckArchiveName(name), StatusIs(Code::kInvalidArgument)) << name;
    EXPECT_THAT(ParseArchiveReference(name),
                StatusIs(Code::kInvalidArgument, HasSubstr("NAME@sha256:HEX")));
  }
  for (const char* text :
       {"@", "web-0@", "web-0@latest", "web-0@sha256:0", "web-0@sha512:00", "a@b@c"}) {
    EXPECT_THAT(ParseArchiveReference(text),
                StatusIs(Code::kInvalidArgument, HasSubstr("NAME@sha256:HEX")));
  }
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
  EXPECT_THAT(store_->List(), IsOkAnd(IsEmpty()));
  ASSERT_THAT(MakeArchive("two"), IsOk());
  ASSERT_THAT(MakeArchive("one"), IsOk());
  const Result<ArchiveWriter> writing = store_->Create("three");
  std::filesystem::create_directory(store_path() / ".hidden");
  WriteText(store_path() / "file", "");

  EXPECT_THAT(store_->List(), IsOkAnd(ElementsAre("one", "two")));
}

TEST_F(ArchiveStoreTest, AnArchiveThatIsAbsentOrBeingWrittenIsNotFoundByName) {
  const Result<ArchiveWriter> writing = store_->Create("soon");

  for (const std::string& name : {std::string("absent"), std::string("soon")}) {
    EXPECT_THAT(Open(name), StatusIs(Code::kNotFound, AllOf(HasSubstr(name), HasSubstr("list"))));
  }
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

TEST_F(ArchiveStoreTest, ADeletedArchiveIsGoneAndItsNameFree) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive open, MakeArchive("one"));
  ASSERT_THAT(MakeArchive("two"), IsOk());

  EXPECT_THAT(store_->Delete("one"), IsOk());

  EXPECT_THAT(store_->List(), IsOkAnd(ElementsAre("two")));
  EXPECT_THAT(ReadTree(partial_path()), IsEmpty());
  EXPECT_THAT(store_->Delete("one"), StatusIs(Code::kNotFound, HasSubstr("\"one\"")));
  EXPECT_THAT(open.OpenBlob(open.pod_metadata()), StatusIs(Code::kDataLoss));
  EXPECT_THAT(MakeArchive("one"), IsOk());
}

TEST_F(ArchiveStoreTest, ANameIsClaimedOnce) {
  Result<ArchiveWriter> first = store_->Create("name");
  ASSERT_THAT(first, IsOk());

  EXPECT_THAT(store_->Create("name"), StatusIs(Code::kAlreadyExists, HasSubstr("being written")));
  ASSERT_THAT(Commit(std::move(*first), SampleCheckpoint({"app"})), IsOk());
  EXPECT_THAT(store_->Create("name"), StatusIs(Code::kAlreadyExists, HasSubstr("exists already")));
}

TEST_F(ArchiveStoreTest, OfManyThreadsOneGetsTheName) {
  std::array<std::optional<Result<PartialArchive>>, 8> claims;
  {
    std::vector<std::jthread> threads;
    for (auto& claim : claims) {
      threads.emplace_back([&] { claim.emplace(PartialArchive::Claim(*store_, "name")); });
    }
  }

  int won = 0;
  for (const auto& claim : claims) {
    won += claim->ok() ? 1 : 0;
    EXPECT_THAT(*claim, AnyOf(IsOk(), StatusIs(Code::kAlreadyExists)));
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

}  // namespace
}  // namespace cryopod::archive::test
