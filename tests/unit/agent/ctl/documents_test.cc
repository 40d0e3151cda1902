#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "agent/ctl/command_line.h"
#include "agent/os/text.h"
#include "tests/support/read_text.h"

// The commands and options that the documents name are those that are parsed.
namespace cryopod::ctl {
namespace {

using testing::Contains;
using Tree = std::map<std::string, std::set<std::string>>;  // verb → its options

// As the script that completes them has it, which is written from the tree itself.
Tree ReadTree() {
  const Result<CommandLine> line = ParseCommandLine({"completion", "bash"});
  if (!line.ok()) return {};
  static const std::regex kWords(R"(\n    '([a-z ]*)'\) inner='[^']*' options='([^']*)')");
  Tree tree;
  const std::string& script = line->help;
  for (std::sregex_iterator it(script.begin(), script.end(), kWords), end; it != end; ++it) {
    const std::string options = (*it)[2];
    for (const std::string_view option : SplitWords(options)) tree[(*it)[1]].emplace(option);
  }
  return tree;
}

// What stands in blocks of code and between backquotes.
std::vector<std::string> ReadCode(const std::string& path) {
  static const std::regex kCode(R"(```[^`]*```|`[^`]+`)");
  const std::string text = test::ReadText(std::string(CRYOPOD_SOURCE_DIR "/") + path);
  return {std::sregex_token_iterator(text.begin(), text.end(), kCode), {}};
}

// The option of "--timeout=5m" or "--stop`"; empty: the word is none.
std::string OptionOf(const std::string& word) {
  static const std::regex kOption(R"((--?[a-z][a-z-]*).*)");
  std::smatch match;
  return std::regex_match(word, match, kOption) ? match[1].str() : "";
}

// Of "cryopodctl node check --config x".
void ExpectKnown(const std::string& command, const Tree& tree) {
  std::string verb;
  bool in_verb = true;
  for (const std::string_view part : SplitWords(command)) {
    const std::string word(part);
    const std::string next = verb + (verb.empty() ? "" : " ") + word;
    const std::string option = OptionOf(word);
    if (!option.empty()) {
      EXPECT_THAT(tree.at(verb), Contains(option)) << "cryopodctl" << command;
    } else if (in_verb && tree.contains(next)) {
      verb = next;
    } else {
      in_verb = false;
      EXPECT_NE(verb, "") << "there is no cryopodctl" << command;
    }
  }
}

class DocumentsTest : public testing::TestWithParam<const char*> {};

TEST_P(DocumentsTest, EveryCommandAndEachOfItsOptionsExists) {
  const Tree tree = ReadTree();
  ASSERT_TRUE(tree.contains("node check"));
  static const std::regex kCommand(R"(cryopodctl((?: +[^\s`#|&;()]+)+))");
  for (const std::string& code : ReadCode(GetParam())) {
    for (std::sregex_iterator it(code.begin(), code.end(), kCommand), end; it != end; ++it) {
      ExpectKnown((*it)[1], tree);
    }
  }
}

TEST_P(DocumentsTest, EveryOptionThatStandsAloneIsOfSomeCommand) {
  // Of cryopod-agent, and of hack/demo.
  std::set<std::string> known = {"--run-dir", "--print-config", "--keep"};
  for (const auto& [verb, options] : ReadTree()) known.insert(options.begin(), options.end());
  for (const std::string& code : ReadCode(GetParam())) {
    if (!code.starts_with("`-")) continue;
    EXPECT_THAT(known, Contains(OptionOf(code.substr(1)))) << code;
  }
}

INSTANTIATE_TEST_SUITE_P(OfTheTree, DocumentsTest,
                         testing::Values("README.md", "manifests/README.md", "agent/README.md"));

}  // namespace
}  // namespace cryopod::ctl
