#include "agent/archive/oci/sha256.h"

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive {
namespace {

using cryopod::test::StatusIs;
using test::OpenPath;
using test::Soon;
using test::TempDirectory;
using test::WriteText;

// Source: FIPS 180-4, examples of SHA-256.
constexpr char kDigestOfNothing[] =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kDigestOfAbc[] =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Sha256Test, GivesThePublishedDigests) {
  EXPECT_EQ(DigestOf(""), kDigestOfNothing);
  EXPECT_EQ(DigestOf("abc"), kDigestOfAbc);
}

TEST(Sha256Test, PiecesHashAsTheWhole) {
  Sha256 hash;

  hash.Update("a");
  hash.Update("");
  hash.Update("bc");

  EXPECT_EQ(hash.Finish(), kDigestOfAbc);
}

TEST(HashFileTest, HashesFromTheFirstByteWhereverTheOffsetStands) {
  TempDirectory temp;
  WriteText(temp.path() / "blob", "abc");
  const UniqueFd file = OpenPath(temp.path() / "blob", O_RDONLY);
  ASSERT_EQ(::lseek(file.get(), 2, SEEK_SET), 2);
  uint64_t progress = 0;

  const Result<HashedFile> hashed = HashFile(
      file.get(), [&](uint64_t bytes) { progress += bytes; }, Soon());

  ASSERT_TRUE(hashed.ok()) << hashed.status().message();
  EXPECT_EQ(hashed->digest, kDigestOfAbc);
  EXPECT_EQ(hashed->size_bytes, 3u);
  EXPECT_EQ(progress, 3u);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 2);
}

TEST(HashFileTest, AnExpiredDeadlineEndsIt) {
  TempDirectory temp;
  WriteText(temp.path() / "blob", "abc");
  const UniqueFd file = OpenPath(temp.path() / "blob", O_RDONLY);

  const Result<HashedFile> hashed =
      HashFile(file.get(), nullptr, Deadline::After(std::chrono::seconds(0)));

  EXPECT_THAT(hashed, StatusIs(Code::kDeadlineExceeded));
}

}  // namespace
}  // namespace cryopod::archive
