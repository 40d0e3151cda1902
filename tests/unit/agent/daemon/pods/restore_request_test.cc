#include "agent/daemon/pods/restore_request.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>
#include <utility>

#include "tests/unit/agent/daemon/daemon_fixture.h"

namespace cryopod::daemon {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(NewUidTest, IsARandomUuidOfVersionFour) {
  std::set<std::string> uids;
  for (int i = 0; i < 200; ++i) uids.insert(NewUid().value());

  EXPECT_EQ(uids.size(), 200u);
  const std::regex shape("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  for (const std::string& uid : uids) EXPECT_TRUE(std::regex_match(uid, shape)) << uid;
}

cri::PodRequest RequestWith(const std::vector<std::string>& names) {
  cri::PodRequest request;
  for (const std::string& name : names) request.containers.emplace_back(name, "config " + name);
  return request;
}

std::vector<std::string> NamesOf(const cri::PodRequest& request) {
  std::vector<std::string> names;
  for (const auto& [name, config] : request.containers) names.push_back(name);
  return names;
}

TEST(MatchContainersTest, PutsTheRequestsContainersIntoTheArchivesOrderThoseThatHadFinishedFirst) {
  archive::PodCheckpoint checkpoint = test::SampleCheckpoint({"a", "b"});
  checkpoint.finished = {{"init", "", ""}, {"later", "", ""}};
  cri::PodRequest with = RequestWith({"b", "a", "init"});
  cri::PodRequest without = RequestWith({"b", "a"});

  ASSERT_THAT(MatchContainers(checkpoint, with), IsOk());
  ASSERT_THAT(MatchContainers(checkpoint, without), IsOk());

  EXPECT_THAT(NamesOf(with), ElementsAre("init", "a", "b"));
  EXPECT_THAT(NamesOf(without), ElementsAre("a", "b")) << "those that had finished may be absent";
  EXPECT_EQ(with.containers[1].second, "config a");
}

TEST(MatchContainersTest, AContainerThatIsMissingOrThatTheArchiveDoesNotHoldIsNamed) {
  cri::PodRequest missing = RequestWith({"a"});
  cri::PodRequest extra = RequestWith({"a", "extra", "b"});

  EXPECT_THAT(MatchContainers(test::SampleCheckpoint({"a", "b"}), missing),
              StatusIs(Code::kInvalidArgument, HasSubstr("no container b")));
  EXPECT_THAT(MatchContainers(test::SampleCheckpoint({"a", "b"}), extra),
              StatusIs(Code::kInvalidArgument, HasSubstr("container extra")));
}

class BuildPodRequestTest : public test::AgentFixture {
 protected:
  void SetUp() override { UseArchive("a", test::kSamplePod); }
  void UseArchive(const std::string& name, const std::string& pod_dump) {
    Result<archive::Archive> archive =
        test::MakeSampleArchive(config_.store_root(), name, {"app", "sidecar"}, pod_dump);
    ASSERT_THAT(archive, IsOk());
    archive_.emplace(std::move(archive).value());
  }
  Result<cri::PodRequest> Build(const std::string& json_text, bool from_archive = false) const {
    api::RestoreRequest asked;
    asked.request_json = json_text;
    asked.request_from_archive = from_archive;
    return BuildPodRequest(config_, *archive_, asked, Soon());
  }
  static std::string GivenRequest(const std::vector<std::string>& names) {
    json request = {
        {"config", {{"metadata", {{"name", "new"}, {"namespace", "shop"}, {"uid", "new-uid"}}}}},
        {"container_configs", json::array()}};
    for (const std::string& name : names) {
      request["container_configs"].push_back(json::parse(test::SampleContainerConfig(name)));
    }
    return request.dump();
  }

  std::optional<archive::Archive> archive_;
};

TEST_F(BuildPodRequestTest, TheCallersRequestIsTaken) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const cri::PodRequest request,
                               Build(GivenRequest({"sidecar", "app"})));

  EXPECT_EQ(request.pod_name, "new");
  EXPECT_EQ(request.pod_namespace, "shop");
  EXPECT_EQ(request.pod_uid, "new-uid");
  EXPECT_THAT(NamesOf(request), ElementsAre("app", "sidecar"));
}

TEST_F(BuildPodRequestTest, ARequestOfAnotherNamespaceHearsNothingOfTheArchivesContainers) {
  json request = json::parse(GivenRequest({"sidecar"}));
  request["config"]["metadata"]["namespace"] = "team-b";

  EXPECT_THAT(Build(request.dump()), StatusIs(Code::kNotFound, ::testing::Not(HasSubstr("app"))));
}

TEST_F(BuildPodRequestTest, WhatTheArchiveRecordedIsTakenUnderANewUid) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const cri::PodRequest first, Build("", true));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const cri::PodRequest second, Build("", true));

  EXPECT_EQ(first.pod_name, "web");
  EXPECT_EQ(first.pod_namespace, "shop");
  EXPECT_NE(first.pod_uid, "old-uid");
  EXPECT_NE(first.pod_uid, second.pod_uid);
  EXPECT_THAT(NamesOf(first), ElementsAre("app", "sidecar"));
  const json sandbox = json::parse(first.sandbox_config_json);
  EXPECT_EQ(sandbox["hostname"], "web");
  // A path of the node that wrote the archive is not used on this one.
  EXPECT_EQ(first.sandbox_config_json.find("of-the-source"), std::string::npos);
  EXPECT_THAT(first.sandbox_config_json, HasSubstr("/var/log/pods/shop_web_" + first.pod_uid));
}

TEST_F(BuildPodRequestTest, HowTheSourceWasRestoredIsNoPartOfWhatItWas) {
  json pod = json::parse(test::kSamplePod);
  pod["annotations"] = {{"cryopod.dev/restore-once", "true"},
                        {"cryopod.dev/on-restore-failure", "cold-start"},
                        {"cryopod.dev/differences", "image"},
                        {"team", "shop"}};
  UseArchive("b", pod.dump());

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const cri::PodRequest request, Build("", true));

  EXPECT_EQ(json::parse(request.sandbox_config_json)["annotations"], json({{"team", "shop"}}));
}

TEST_F(BuildPodRequestTest, BothOrNeitherIsRefused) {
  EXPECT_THAT(Build(""), StatusIs(Code::kInvalidArgument, HasSubstr("--request")));
  EXPECT_THAT(Build(GivenRequest({"app", "sidecar"}), true),
              StatusIs(Code::kInvalidArgument, HasSubstr("--request-from-archive")));
}

TEST_F(BuildPodRequestTest, ARequestThatIsNoneOrOfAnotherPodIsRefused) {
  EXPECT_THAT(Build("{"), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(Build(R"({"config":{"nonsense":1}})"),
              StatusIs(Code::kInvalidArgument, HasSubstr("nonsense")));
  EXPECT_THAT(Build(GivenRequest({"app"})), StatusIs(Code::kInvalidArgument, HasSubstr("sidecar")));
}

TEST_F(BuildPodRequestTest, AnArchiveWhosePodDumpIsDamagedIsDataLoss) {
  UseArchive("b", "[not an object]");

  EXPECT_THAT(Build("", true), StatusIs(Code::kDataLoss, HasSubstr("pod.dump")));
}

}  // namespace
}  // namespace cryopod::daemon
