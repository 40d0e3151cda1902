#include "agent/archive/store/archive_name.h"

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

TEST(CheckArchiveNameTest, TakesLettersDigitsAndThreeSigns) {
  for (const std::string& name : {std::string("a"), std::string("Web-0.shop_2026"),
                                  std::string("0"), std::string(200, 'x')}) {
    EXPECT_THAT(CheckArchiveName(name), IsOk()) << name;
  }
}

TEST(CheckArchiveNameTest, RefusesWhatCouldBeAPathOrAnOption) {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string(".partial"),
        std::string("a/b"), std::string("/a"), std::string("-rf"), std::string("_a"),
        std::string("a b"), std::string("a\n"), std::string("a\0b", 3), std::string("ä"),
        std::string(201, 'x')}) {
    EXPECT_THAT(CheckArchiveName(name), StatusIs(Code::kInvalidArgument)) << name;
  }
}

TEST(ParseArchiveReferenceTest, ANameAlone) {
  const Result<ArchiveReference> reference = ParseArchiveReference("web-0");

  ASSERT_THAT(reference, IsOk());
  EXPECT_EQ(reference->name, "web-0");
  EXPECT_EQ(reference->digest, "");
}

TEST(ParseArchiveReferenceTest, ANameWithADigest) {
  const std::string digest = "sha256:" + std::string(64, '0');

  const Result<ArchiveReference> reference = ParseArchiveReference("web-0@" + digest);

  ASSERT_THAT(reference, IsOk());
  EXPECT_EQ(reference->name, "web-0");
  EXPECT_EQ(reference->digest, digest);
}

TEST(ParseArchiveReferenceTest, RefusesAnythingElseAndNamesItAndTheForm) {
  for (const char* text :
       {"", "@", "web-0@", "web-0@latest", "web-0@sha256:0", "../x", "web-0@sha512:00", "a@b@c"}) {
    EXPECT_THAT(ParseArchiveReference(text),
                StatusIs(Code::kInvalidArgument, HasSubstr("NAME@sha256:HEX")))
        << text;
  }
}

}  // namespace
}  // namespace cryopod::archive
