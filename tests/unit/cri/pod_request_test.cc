#include "cri/pod_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/api.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

using testing::HasSubstr;

constexpr char kConfig[] =
    R"("config": {"metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}})";

std::string Request(const std::string& containers, const std::string& more = "") {
  return std::string("{") + kConfig + R"(, "container_configs": [)" + containers + "]" + more + "}";
}

TEST(ParsePodRequestTest, TakesTheRequestApart) {
  const Result<PodRequest> request = ParsePodRequest(Request(
      R"({"metadata": {"name": "app"}, "image": {"image": "busybox"}}, {"metadata": {"name": "db"}})"));

  ASSERT_TRUE(request.ok()) << request.status().message();
  EXPECT_EQ(request->pod_name, "web");
  EXPECT_EQ(request->pod_namespace, "shop");
  EXPECT_EQ(request->pod_uid, "u-1");
  ASSERT_EQ(request->containers.size(), 2u);
  EXPECT_EQ(request->containers[0].first, "app");
  EXPECT_EQ(request->containers[1].first, "db");
  runtime::v1::ContainerConfig config;
  ASSERT_TRUE(ParseStrictJson(request->containers[0].second, "c", &config).ok());
  EXPECT_EQ(config.image().image(), "busybox");
}

TEST(ParsePodRequestTest, RefusesAnUnknownFieldByName) {
  const Result<PodRequest> top =
      ParsePodRequest(Request(R"({"metadata": {"name": "a"}})", R"(, "conteiner": 1)"));
  const Result<PodRequest> inner = ParsePodRequest(Request(R"({"metadata": {"nome": "a"}})"));

  EXPECT_EQ(top.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(top.status().message(), HasSubstr("conteiner"));
  EXPECT_EQ(inner.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(inner.status().message(), HasSubstr("nome"));
}

TEST(ParsePodRequestTest, RefusesAFieldThatWouldBeIgnored) {
  const Result<PodRequest> request =
      ParsePodRequest(Request(R"({"metadata": {"name": "a"}})", R"(, "runtime_handler": "runc")"));

  EXPECT_EQ(request.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(request.status().message(), HasSubstr("runtime_handler"));
}

TEST(ParsePodRequestTest, RefusesContainersWithoutAName) {
  const Result<PodRequest> request = ParsePodRequest(Request(R"({"image": {"image": "busybox"}})"));

  EXPECT_EQ(request.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(request.status().message(), HasSubstr("name"));
}

TEST(ParsePodRequestTest, RefusesTwoContainersOfOneName) {
  const Result<PodRequest> request =
      ParsePodRequest(Request(R"({"metadata": {"name": "app"}}, {"metadata": {"name": "app"}})"));

  EXPECT_EQ(request.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(request.status().message(), HasSubstr("\"app\""));
}

TEST(ParsePodRequestTest, RefusesARequestWithoutContainersOrWithoutAnIdentity) {
  EXPECT_EQ(ParsePodRequest(Request("")).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ParsePodRequest(R"({"config": {"metadata": {"name": "web", "namespace": "shop"}},
                                "container_configs": [{"metadata": {"name": "app"}}]})")
                .status()
                .code(),
            Code::kInvalidArgument);
  EXPECT_EQ(ParsePodRequest("[]").status().code(), Code::kInvalidArgument);
}

TEST(AddAnnotationsTest, AddsAndReplacesAndKeepsTheRest) {
  const Result<std::string> json =
      AddAnnotations(R"({"hostname": "web", "annotations": {"a": "1", "b": "2"}})",
                     {{"b", "3"}, {"cryopod.dev/restore-from", "x@sha256:00"}});

  ASSERT_TRUE(json.ok()) << json.status().message();
  runtime::v1::PodSandboxConfig config;
  ASSERT_TRUE(ParseStrictJson(*json, "pod", &config).ok());
  EXPECT_EQ(config.hostname(), "web");
  EXPECT_EQ(config.annotations_size(), 3);
  EXPECT_EQ(config.annotations().at("a"), "1");
  EXPECT_EQ(config.annotations().at("b"), "3");
  EXPECT_EQ(config.annotations().at("cryopod.dev/restore-from"), "x@sha256:00");
}

TEST(AddAnnotationsTest, RefusesWhatIsNoSandboxConfiguration) {
  EXPECT_EQ(AddAnnotations(R"({"host": "web"})", {}).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace cryopod::cri
