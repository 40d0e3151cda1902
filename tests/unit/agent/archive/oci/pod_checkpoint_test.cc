#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using ::testing::Not;

// The sample as JSON with one piece of text replaced by another.
std::string Changed(const std::string& from, const std::string& to) {
  std::string text = ToJson(SampleCheckpoint({"app", "log"}));
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from << " in " << text;
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

TEST(PodCheckpointTest, WhatWasWrittenIsRead) {
  PodCheckpoint checkpoint = SampleCheckpoint({"app", "log"});
  EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOkAnd(checkpoint));

  checkpoint.finished = {{"init", "image:1", "sha256:1"}, {"init-2", "", ""}};
  checkpoint.containers[0].record_locks = {{17, 4, true, 128, 1}, {18, 5, false, 0, 0}};
  EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOkAnd(checkpoint));

  checkpoint.restore_once = true;
  checkpoint.containers[0].image_id = "sha256:2";
  checkpoint.containers[0].program = {"/app", "sha256:3", "/srv", {{"A", "sha256:4"}}};
  EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOkAnd(checkpoint));
}

TEST(PodCheckpointTest, AnArchiveThatDoesNotSayWhatItsContainersRanIsRead) {
  const std::string text = ToJson(SampleCheckpoint({"app"}));

  EXPECT_THAT(text, Not(HasSubstr("\"program\"")));
  const Result<PodCheckpoint> read = ParsePodCheckpoint(text);
  ASSERT_THAT(read, IsOk());
  EXPECT_FALSE(read->restore_once);
  EXPECT_TRUE(read->containers[0].program.empty());
}

TEST(PodCheckpointTest, AnArchiveWithoutTheWordsOfItsCpuIsRead) {
  PodCheckpoint checkpoint = SampleCheckpoint({"app"});
  checkpoint.node.cpu.clear();

  EXPECT_THAT(ToJson(checkpoint), Not(HasSubstr("\"cpu\":")));
  EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOkAnd(checkpoint));
}

TEST(PodCheckpointTest, WhatOlderProgramsLeftOutAndNewerOnesAddedIsIgnored) {
  EXPECT_THAT(ParsePodCheckpoint(Changed("\"finished\":[],", "")), IsOk());
  EXPECT_THAT(ParsePodCheckpoint(Changed("\"freezeUs\"", "\"later\":[1],\"freezeUs\"")), IsOk());
}

TEST(PodCheckpointTest, BytesThatAreNoUtf8AreReplacedNotWritten) {
  PodCheckpoint checkpoint = SampleCheckpoint({"app"});
  checkpoint.containers[0].mounts[0].source = "/srv/\xff";

  EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)), IsOk());
}

TEST(PodCheckpointTest, RefusesMoreThanItsLimitsAndWhatContradictsItself) {
  std::vector<std::string> names;
  for (int i = 0; i < 1025; ++i) names.push_back("c" + std::to_string(i));
  const std::vector<std::pair<std::string, std::function<void(PodCheckpoint&)>>> changes = {
      {"containers: more than 1024", [&](auto& pod) { pod = SampleCheckpoint(names); }},
      {"cpu: more than 256",
       [](auto& pod) {
         for (int i = 0; i < 257; ++i) pod.node.cpu[std::to_string(i)] = "1";
       }},
      {"recordLocks: more than 4096",
       [](auto& pod) { pod.containers[0].record_locks.assign(kRecordLocksMax + 1, {}); }},
      {"recordLocks[0]: length",
       [](auto& pod) {
         pod.containers[0].record_locks = {{17, 4, true, uint64_t{1} << 62, uint64_t{1} << 62}};
       }},
      {"environment: more than 256",
       [](auto& pod) {
         for (int i = 0; i < 257; ++i) {
           pod.containers[0].program.environment[std::to_string(i)] = "x";
         }
       }},
      {"environment: a name",
       [](auto& pod) { pod.containers[0].program.environment["A\n"] = "x"; }},
      {"\"app\" stands twice",
       [](auto& pod) {
         pod.finished = {{"app", "", ""}};
       }},
      {"finished[0]: name",
       [](auto& pod) {
         pod.finished = {{"../init", "", ""}};
       }},
  };
  for (const auto& [error, change] : changes) {
    PodCheckpoint checkpoint = SampleCheckpoint({"app"});
    change(checkpoint);

    EXPECT_THAT(ParsePodCheckpoint(ToJson(checkpoint)),
                StatusIs(Code::kDataLoss, HasSubstr(error)));
  }
}

TEST(PodCheckpointTest, ANewerSchemaIsRefusedByItsNumberBeforeItsFieldsAreLookedAt) {
  EXPECT_THAT(ParsePodCheckpoint(Changed("\"schemaVersion\":1", "\"schemaVersion\":2")),
              StatusIs(Code::kUnimplemented, HasSubstr("schema version 2")));
  EXPECT_THAT(ParsePodCheckpoint(R"({"schemaVersion":7,"podName":{}})"),
              StatusIs(Code::kUnimplemented));
}

TEST(PodCheckpointTest, RefusesFieldsThatAreNotWhatTheyShouldBeByTheirNames) {
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"\"schemaVersion\":1", "\"schemaVersion\":0"},
      {"\"schemaVersion\":1", "\"schemaVersion\":\"1\""},
      {"\"podName\":\"web-0\"", "\"podName\":\"../web\""},
      {"\"podName\":\"web-0\"", "\"podName\":\"\""},
      {"\"podName\":\"web-0\"", "\"podName\":null"},
      {"\"podNamespace\":\"shop\"", "\"podNamespace\":\"sh/op\""},
      {"\"podUid\":\"1d4f", "\"podUid\":\".1d4f"},
      {"\"sandboxId\":\"5a4db0c5\"", "\"sandboxId\":\"5a;rm\""},
      {"\"hostname\":\"web-0\"", "\"hostname\":\"web\\u001b[2J\""},
      {"\"name\":\"app\"", "\"name\":\"log\""},
      {"\"name\":\"app\"", "\"name\":\"a/b\""},
      {"\"name\":\"app\"", "\"name\":\"\\u0000\""},
      {"\"tasks\":3", "\"tasks\":4294967296"},
      {"\"tasks\":3", "\"tasks\":-1"},
      {"\"imagesBytes\":12345", "\"imagesBytes\":1.5"},
      {"\"readOnly\":true", "\"readOnly\":1"},
      {"\"sizeBytes\":4096", "\"sizeBytes\":-1"},
      {"\"path\":\"db\"", "\"path\":\"d\\u0007\""},
      {"\"externalFiles\":[", "\"externalFiles\":[7,"},
      {"\"cpuFlags\":[", "\"cpuFlags\":[1,"},
      {"\"7.0.ebx\":\"20\"", "\"7.0.ebx\":32"},
      {"\"7.0.ebx\":\"20\"", "\"7.0.ebx\":\"\""},
      {"\"7.0.ebx\":\"20\"", "\"7.0.ebx\":\"0x20\""},
      {"\"7.0.ebx\":\"20\"", "\"7.0.ebx\":\"10000000000000000\""},
      {"\"7.0.ebx\":", "\"\\u001b[2J\":"},
      {"\"lacks\":[", "\"lacks\":[\"\\u0007\","},
      {"\"freezeUs\":95000", "\"freezeUs\":95000,\"freezeUs\":1"},
      {"\"containers\":[", "\"containers\":[7,"},
      {"\"phases\":[", "\"phases\":[[],"},
  };
  for (const auto& [from, to] : changes) {
    EXPECT_THAT(ParsePodCheckpoint(Changed(from, to)), StatusIs(Code::kDataLoss)) << to;
  }
  EXPECT_THAT(ParsePodCheckpoint(Changed("\"tasks\":3", "\"tasks\":\"3\"")),
              StatusIs(Code::kDataLoss, HasSubstr("containers[0]: tasks")));
}

}  // namespace
}  // namespace cryopod::archive::test
