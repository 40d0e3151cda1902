#include "agent/node/requirement_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::node {
namespace {

using api::RequirementState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Finding Good() { return Finding::Met("4.2"); }
Finding Bad() { return Finding::Lacking("3.17", "3.17 is too old", "install 4.1"); }

TEST(RequirementListTest, WhatIsMetSaysWhatWasFound) {
  RequirementList list;

  list.Add("criu", {}, Good);

  ASSERT_EQ(list.all().size(), 1u);
  EXPECT_EQ(list.all()[0].name, "criu");
  EXPECT_EQ(list.all()[0].state, RequirementState::kMet);
  EXPECT_EQ(list.all()[0].found, "4.2");
  EXPECT_TRUE(list.IsMet("criu"));
  EXPECT_THAT(list.Problems(), IsEmpty());
}

TEST(RequirementListTest, WhatIsLackingIsAProblemWithItsRemedy) {
  RequirementList list;

  list.Add("criu", {}, Bad);

  EXPECT_EQ(list.all()[0].state, RequirementState::kLacking);
  EXPECT_FALSE(list.IsMet("criu"));
  EXPECT_THAT(list.Problems(), ElementsAre("criu: 3.17 is too old; install 4.1"));
}

TEST(RequirementListTest, OneCauseIsNamedOnceAndWhatStandsOnItIsNotLookedAt) {
  RequirementList list;
  int looked = 0;
  const auto count = [&looked] {
    ++looked;
    return Good();
  };

  list.Add("kernel", {}, Good);
  list.Add("criu", {}, Bad);
  list.Add("criu-features", {"kernel", "criu"}, count);
  list.Add("above", {"criu-features"}, count);

  EXPECT_EQ(looked, 0);
  EXPECT_EQ(list.all()[2].state, RequirementState::kUnknown);
  EXPECT_THAT(list.all()[2].reason, HasSubstr("criu"));
  EXPECT_EQ(list.all()[3].state, RequirementState::kUnknown);
  EXPECT_THAT(list.Problems(), testing::SizeIs(1));
}

TEST(RequirementListTest, WhatStandsOnWhatIsMetIsLookedAt) {
  RequirementList list;

  list.Add("criu", {}, Good);
  list.Add("criu-features", {"criu"}, Bad);

  EXPECT_EQ(list.all()[1].state, RequirementState::kLacking);
}

}  // namespace
}  // namespace cryopod::node
