#include "cri/find_pod.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::cri {
namespace {

using testing::HasSubstr;

PodSandbox Sandbox(const std::string& id, const std::string& name, uint32_t attempt, bool ready,
                   const std::string& uid = "uid-1") {
  PodSandbox sandbox;
  sandbox.id = id;
  sandbox.namespace_ = "default";
  sandbox.name = name;
  sandbox.attempt = attempt;
  sandbox.ready = ready;
  sandbox.uid = uid;
  return sandbox;
}

TEST(ChoosePodTest, FindsAPodByNamespaceAndName) {
  const Result<PodSandbox> pod =
      ChoosePod({Sandbox("a1", "web", 0, true), Sandbox("b2", "db", 0, true)}, "default/db");

  ASSERT_TRUE(pod.ok()) << pod.status().message();
  EXPECT_EQ(pod->id, "b2");
}

TEST(ChoosePodTest, PrefersTheReadySandboxOverALaterAttempt) {
  const Result<PodSandbox> pod =
      ChoosePod({Sandbox("a1", "web", 2, false), Sandbox("b2", "web", 1, true)}, "default/web");

  ASSERT_TRUE(pod.ok());
  EXPECT_EQ(pod->id, "b2");
}

TEST(ChoosePodTest, OfReadySandboxesOfOnePodTheLastAttemptWins) {
  const Result<PodSandbox> pod = ChoosePod(
      {Sandbox("a1", "web", 1, true), Sandbox("b2", "web", 3, true), Sandbox("c3", "web", 2, true)},
      "default/web");

  ASSERT_TRUE(pod.ok());
  EXPECT_EQ(pod->id, "b2");
}

TEST(ChoosePodTest, ReturnsAPodThatDoesNotRunWhenThereIsNoOther) {
  const Result<PodSandbox> pod = ChoosePod({Sandbox("a1", "web", 0, false)}, "default/web");

  ASSERT_TRUE(pod.ok());
  EXPECT_FALSE(pod->ready);
}

TEST(ChoosePodTest, RefusesToGuessBetweenTwoRunningPodsOfOneName) {
  const Result<PodSandbox> pod =
      ChoosePod({Sandbox("a1", "web", 0, true, "uid-1"), Sandbox("b2", "web", 0, true, "uid-2")},
                "default/web");

  EXPECT_EQ(pod.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(pod.status().message(), HasSubstr("a1"));
  EXPECT_THAT(pod.status().message(), HasSubstr("b2"));
}

TEST(ChoosePodTest, FindsASandboxByAUniquePrefixOfItsId) {
  const Result<PodSandbox> pod =
      ChoosePod({Sandbox("abc1", "web", 0, true), Sandbox("abd2", "db", 0, true)}, "abd");

  ASSERT_TRUE(pod.ok());
  EXPECT_EQ(pod->id, "abd2");
}

TEST(ChoosePodTest, AnIdThatIsAPrefixOfAnotherMeansItself) {
  const Result<PodSandbox> pod =
      ChoosePod({Sandbox("abc1", "web", 0, true), Sandbox("abc", "db", 0, true)}, "abc");

  ASSERT_TRUE(pod.ok());
  EXPECT_EQ(pod->id, "abc");
}

TEST(ChoosePodTest, ListsTheCandidatesOfAnAmbiguousPrefix) {
  const Result<PodSandbox> pod =
      ChoosePod({Sandbox("abc1", "web", 0, true), Sandbox("abd2", "db", 0, true)}, "ab");

  EXPECT_EQ(pod.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(pod.status().message(), HasSubstr("abc1 (default/web)"));
  EXPECT_THAT(pod.status().message(), HasSubstr("abd2 (default/db)"));
}

TEST(ChoosePodTest, NamesThePodThatIsNotThere) {
  const std::vector<PodSandbox> sandboxes = {Sandbox("abc1", "web", 0, true)};

  const Result<PodSandbox> by_name = ChoosePod(sandboxes, "default/gone");
  const Result<PodSandbox> by_id = ChoosePod(sandboxes, "web");

  EXPECT_EQ(by_name.status().code(), Code::kNotFound);
  EXPECT_THAT(by_name.status().message(), HasSubstr("default/gone"));
  EXPECT_EQ(by_id.status().code(), Code::kNotFound);
  EXPECT_THAT(by_id.status().message(), HasSubstr("NAMESPACE/POD"));
}

TEST(ChoosePodTest, AnEmptyNameMeansNoPodAtAll) {
  const Result<PodSandbox> pod = ChoosePod({Sandbox("abc1", "web", 0, true)}, "");

  EXPECT_EQ(pod.status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace cryopod::cri
