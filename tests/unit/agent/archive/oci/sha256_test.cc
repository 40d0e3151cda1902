#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

// Source: FIPS 180-4, examples of SHA-256.
constexpr char kDigestOfNothing[] =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kDigestOfAbc[] =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string kHex(64, 'b');

TEST(Sha256Test, GivesThePublishedDigestsAlsoOfPieces) {
  Sha256 hash;

  hash.Update("a");
  hash.Update("");
  hash.Update("bc");

  EXPECT_EQ(hash.Finish(), kDigestOfAbc);
  EXPECT_EQ(DigestOf("abc"), kDigestOfAbc);
  EXPECT_EQ(DigestOf(""), kDigestOfNothing);
}

TEST(HashFileTest, HashesFromTheFirstByteWhereverTheOffsetStandsUntilItsDeadline) {
  TempDirectory temp;
  WriteText(temp.path() / "blob", "abc");
  const UniqueFd file = OpenPath(temp.path() / "blob", O_RDONLY);
  ASSERT_EQ(::lseek(file.get(), 2, SEEK_SET), 2);

  EXPECT_THAT(HashFile(file.get(), Soon()), IsOkAnd(kDigestOfAbc));
  EXPECT_THAT(HashFile(file.get(), Deadline::After(std::chrono::seconds(0))),
              StatusIs(Code::kDeadlineExceeded));

  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 2);
}

TEST(CheckDigestTest, TakesSha256InLowerCaseAndNothingElse) {
  EXPECT_THAT(CheckDigest("sha256:" + kHex), IsOk());
  EXPECT_EQ(DigestHex("sha256:" + kHex), kHex);
  for (const std::string& digest :
       {std::string(), std::string("sha256:"), kHex, "sha256:" + kHex + "b",
        "sha256:" + kHex.substr(1), "SHA256:" + kHex, "sha256:" + std::string(64, 'B'),
        "sha512:" + kHex + kHex, "md5:" + kHex.substr(32), "sha256:" + kHex.substr(3) + "../",
        "sha256:" + kHex.substr(1) + std::string(1, '\0'), " sha256:" + kHex}) {
    EXPECT_THAT(CheckDigest(digest), StatusIs(Code::kInvalidArgument)) << digest;
  }
}

}  // namespace
}  // namespace cryopod::archive::test
