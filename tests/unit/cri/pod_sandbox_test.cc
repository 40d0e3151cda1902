#include "cri/pod_sandbox.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace cryopod::cri {
namespace {

using test::IsOkAnd;
using test::StatusIs;
using testing::AllOf;
using testing::Field;
using testing::HasSubstr;

PodSandbox Sandbox(const std::string& id, const std::string& name, uint32_t attempt = 0,
                   bool ready = true, const std::string& uid = "uid-1") {
  PodSandbox sandbox;
  sandbox.id = id;
  sandbox.namespace_ = "default";
  sandbox.name = name;
  sandbox.attempt = attempt;
  sandbox.ready = ready;
  sandbox.uid = uid;
  return sandbox;
}

struct Choice {
  const char* promise;
  std::vector<PodSandbox> sandboxes;
  const char* pod;
  const char* id;
};

TEST(ChoosePodTest, OneSandboxIsChosen) {
  const Choice choices[] = {
      {"by namespace and name", {Sandbox("a1", "web"), Sandbox("b2", "db")}, "default/db", "b2"},
      {"a ready one over a later attempt",
       {Sandbox("a1", "web", 2, false), Sandbox("b2", "web", 1)},
       "default/web",
       "b2"},
      {"of ready ones of one pod the last attempt",
       {Sandbox("a1", "web", 1), Sandbox("b2", "web", 3), Sandbox("c3", "web", 2)},
       "default/web",
       "b2"},
      {"one that does not run where there is no other",
       {Sandbox("a1", "web", 0, false)},
       "default/web",
       "a1"},
      {"by a unique prefix of its ID",
       {Sandbox("abc1", "web"), Sandbox("abd2", "db")},
       "abd",
       "abd2"},
      {"an ID that is a prefix of another means itself",
       {Sandbox("abc1", "web"), Sandbox("abc", "db")},
       "abc",
       "abc"}};
  for (const Choice& choice : choices) {
    EXPECT_THAT(ChoosePod(choice.sandboxes, choice.pod), IsOkAnd(Field(&PodSandbox::id, choice.id)))
        << choice.promise;
  }
}

TEST(ChoosePodTest, RefusesToGuessAndListsTheCandidates) {
  EXPECT_THAT(
      ChoosePod({Sandbox("a1", "web"), Sandbox("b2", "web", 0, true, "uid-2")}, "default/web"),
      StatusIs(Code::kInvalidArgument, AllOf(HasSubstr("a1"), HasSubstr("b2"))));
  EXPECT_THAT(ChoosePod({Sandbox("abc1", "web"), Sandbox("abd2", "db")}, "ab"),
              StatusIs(Code::kInvalidArgument,
                       AllOf(HasSubstr("abc1 (default/web)"), HasSubstr("abd2 (default/db)"))));
}

TEST(ChoosePodTest, NamesThePodThatIsNotThere) {
  const std::vector<PodSandbox> sandboxes = {Sandbox("abc1", "web")};

  EXPECT_THAT(ChoosePod(sandboxes, "default/gone"),
              StatusIs(Code::kNotFound, HasSubstr("default/gone")));
  EXPECT_THAT(ChoosePod(sandboxes, "web"), StatusIs(Code::kNotFound, HasSubstr("NAMESPACE/POD")));
  EXPECT_THAT(ChoosePod(sandboxes, ""), StatusIs(Code::kInvalidArgument));
}

}  // namespace
}  // namespace cryopod::cri
