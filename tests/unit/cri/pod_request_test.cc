#include "cri/pod_request.h"

#include <gtest/gtest.h>

#include "cri/api.pb.h"
#include "cri/config_json.h"
#include "tests/support/status_matchers.h"

namespace cryopod::cri {
namespace {

using test::IsOk;
using test::StatusIs;
using testing::HasSubstr;

constexpr char kConfig[] =
    R"("config": {"metadata": {"name": "web", "namespace": "shop", "uid": "u-1"},
                 "log_directory": "/logs"})";

std::string Request(const std::string& containers, const std::string& more = "") {
  return std::string("{") + kConfig + R"(, "container_configs": [)" + containers + "]" + more + "}";
}

TEST(ParsePodRequestTest, TakesTheRequestApart) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const PodRequest request,
      ParsePodRequest(Request(R"({"metadata": {"name": "app"}, "image": {"image": "busybox"}},
                                 {"metadata": {"name": "db"}})")));

  EXPECT_EQ(request.pod_name, "web");
  EXPECT_EQ(request.pod_namespace, "shop");
  EXPECT_EQ(request.pod_uid, "u-1");
  EXPECT_EQ(request.log_directory, "/logs");
  ASSERT_EQ(request.containers.size(), 2u);
  EXPECT_EQ(request.containers[0].first, "app");
  EXPECT_EQ(request.containers[1].first, "db");
  runtime::v1::ContainerConfig config;
  ASSERT_THAT(ParseJson(request.containers[0].second, "c", &config), IsOk());
  EXPECT_EQ(config.image().image(), "busybox");
}

TEST(ParsePodRequestTest, RefusesARequestAndNamesWhatIsWrong) {
  const std::string app = R"({"metadata": {"name": "app"}})";
  const std::pair<std::string, const char*> cases[] = {
      {Request(app, R"(, "conteiner": 1)"), "conteiner"},
      {Request(R"({"metadata": {"nome": "a"}})"), "nome"},
      // It would be ignored.
      {Request(app, R"(, "runtime_handler": "runc")"), "runtime_handler"},
      {Request(R"({"image": {"image": "busybox"}})"), "no \"metadata\".\"name\""},
      {Request(app + ", " + app), "\"app\" stands twice"},
      {Request(""), "no \"container_configs\""},
      {R"({"config": {"metadata": {"name": "web", "namespace": "shop"}},
           "container_configs": [)" +
           app + "]}",
       "needs \"name\""},
      {"[]", "the pod request"}};
  for (const auto& [text, reason] : cases) {
    EXPECT_THAT(ParsePodRequest(text), StatusIs(Code::kInvalidArgument, HasSubstr(reason))) << text;
  }
}

TEST(AddAnnotationsTest, AddsAndReplacesAndKeepsTheRestOfASandboxConfiguration) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const std::string json,
      AddAnnotations(R"({"hostname": "web", "annotations": {"a": "1", "b": "2"}})",
                     {{"b", "3"}, {"cryopod.dev/restore-from", "x@sha256:00"}}));

  runtime::v1::PodSandboxConfig config;
  ASSERT_THAT(ParseJson(json, "pod", &config), IsOk());
  EXPECT_EQ(config.hostname(), "web");
  EXPECT_EQ(config.annotations_size(), 3);
  EXPECT_EQ(config.annotations().at("a"), "1");
  EXPECT_EQ(config.annotations().at("b"), "3");
  EXPECT_EQ(config.annotations().at("cryopod.dev/restore-from"), "x@sha256:00");
  EXPECT_THAT(AddAnnotations(R"({"host": "web"})", {}), StatusIs(Code::kInvalidArgument));
}

}  // namespace
}  // namespace cryopod::cri
