#include <gmock/gmock.h>

#include <cstdio>
#include <filesystem>

#include "agent/os/text.h"
#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using Words = std::vector<std::string>;

// zsh completes on a terminal only, where it reads lines. Appends to "offered" what the script
// offers for each of "lines", and to "files" what zsh offers in its place.
constexpr char kZshSetUp[] = R"zsh(exec 2>complaints
compadd() {
  local -a hits
  builtin compadd -A hits "$@"
  if [[ ${funcstack[2]} == _bash_complete ]]; then
    offered+="$hits "
  else
    print -r -- $hits >>files
  fi
}
zle-line-init() {
  for line in ${(f)"$(<lines)"}; do
    BUFFER=$line CURSOR=$#line offered=''
    zle list-choices
    print -r -- $offered >>offered
  done
  exit
}
zle -N zle-line-init
)zsh";
// The two ways to come by it.
constexpr char kZshInstalled[] = "fpath+=($PWD)\nautoload -Uz compinit && compinit -D -u\n";
constexpr char kZshSourced[] = "autoload -Uz compinit && compinit -D -u\nsource ./_cryopodctl\n";
constexpr char kZshOnATerminal[] =
    "zmodload zsh/zpty; zpty shell zsh -d -i; while zpty -r shell said; do :; done";

// The script in a real bash, with a cryopodctl in its PATH that answers what ours has answered.
class CompletionTest : public test::CtlFixture {
 protected:
  CompletionTest() {
    server_.AddArchive(Archive("web1"), "");
    server_.AddArchive(Archive("web2"), "");
    server_.AddArchive(Archive("db1"), "");
    server_.AddOperation(RunningOperation());
    test::WriteText(Path("list"), RunCtl({"list"}).out);
    test::WriteText(Path("script"), RunCtl({"completion", "bash"}).out);
    WriteProgram("echo \"$@\" >>" + Path("asked") + "; cat " + Path("list"));
  }

  void WriteProgram(const std::string& body) {
    test::WriteText(Path("cryopodctl"), "#!/bin/sh\n" + body + "\n");
    std::filesystem::permissions(Path("cryopodctl"), std::filesystem::perms::owner_all);
  }

  // What is offered for the last word.
  Words Offered(const Words& words) {
    std::string line = "PATH=" + Path("") + ":$PATH; . " + Path("script") + "\nCOMP_WORDS=(";
    for (const std::string& word : words) line += "'" + word + "' ";
    line += "); COMP_CWORD=" + std::to_string(words.size() - 1) +
            "; _cryopodctl; printf '%s\\n' \"${COMPREPLY[@]}\"";
    test::WriteText(Path("line"), line);
    const std::string out = Shell("bash --norc " + Path("line") + " 2>" + Path("complaints"));
    EXPECT_EQ(test::ReadText(Path("complaints")), "");
    Words offered;
    for (const std::string_view word : SplitWords(out)) offered.emplace_back(word);
    return offered;
  }

  // The same in a real zsh that `comes_by` the script, for each of `lines`.
  std::vector<Words> OfferedByZsh(const std::string& comes_by, const std::vector<Words>& lines) {
    test::WriteText(Path("_cryopodctl"), RunCtl({"completion", "zsh"}).out);
    std::string typed;
    for (const Words& words : lines) typed += Typed(words) + "\n";
    test::WriteText(Path("lines"), typed);
    test::WriteText(Path(".zshrc"), "PATH=$PWD:$PATH\n" + comes_by + kZshSetUp);
    test::WriteText(Path("terminal"), kZshOnATerminal);
    for (const char* file : {"offered", "files"}) test::WriteText(Path(file), "");
    Shell("cd " + Path("") + " && ZDOTDIR=. timeout 60 zsh -f ./terminal");
    EXPECT_EQ(test::ReadText(Path("complaints")), "");
    std::vector<Words> offered;
    const std::string answers = test::ReadText(Path("offered"));
    for (const std::string_view line : SplitLines(answers)) {
      offered.emplace_back();
      for (const std::string_view word : SplitWords(line)) offered.back().emplace_back(word);
    }
    return offered;
  }

  static std::string Typed(const Words& words) {
    std::string line = Join(words, " ");
    for (size_t at = 0; (at = line.find(" =", at)) != std::string::npos;) {
      line.erase(at, 1);
      if (line.substr(at, 2) == "= ") line.erase(at + 1, 1);
    }
    return line;
  }

  static std::string Shell(const std::string& command) {
    FILE* const pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) return "";
    std::string out;
    char buffer[4096];
    for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
      out.append(buffer, got);
    }
    EXPECT_EQ(::pclose(pipe), 0);
    return out;
  }
};

TEST_F(CompletionTest, VerbsAndWhatIsInsideThem) {
  EXPECT_THAT(Offered({"cryopodctl", "che"}), ElementsAre("checkpoint"));
  EXPECT_THAT(Offered({"cryopodctl", ""}), testing::IsSupersetOf({"checkpoint", "list", "pod"}));
  EXPECT_THAT(Offered({"cryopodctl", "node", ""}), ElementsAre("check", "install", "uninstall"));
  EXPECT_THAT(Offered({"cryopodctl", "pod", "r"}), ElementsAre("remove", "run"));
  EXPECT_THAT(Offered({"cryopodctl", "completion", ""}), ElementsAre("bash", "zsh"));
}

TEST_F(CompletionTest, OptionsOfTheVerbAndOfAll) {
  EXPECT_THAT(Offered({"cryopodctl", "checkpoint", "--st"}), ElementsAre("--stop"));
  EXPECT_THAT(Offered({"cryopodctl", "pod", "run", "--h"}), ElementsAre("--handler", "--help"));
  EXPECT_THAT(Offered({"cryopodctl", "list", "-"}),
              ElementsAre("--all", "--help", "--namespace", "--output", "--socket", "--version",
                          "-h", "-n", "-o"));
  EXPECT_THAT(Offered({"cryopodctl", "--so"}), ElementsAre("--socket"));
}

TEST_F(CompletionTest, FormsOfOutputHoweverTheyAreAskedFor) {
  const Words forms = {"text", "wide", "json", "yaml"};
  EXPECT_EQ(Offered({"cryopodctl", "list", "-o", ""}), forms);
  EXPECT_EQ(Offered({"cryopodctl", "--output", "=", ""}), forms);
  EXPECT_EQ(Offered({"cryopodctl", "list", "--output", "="}), forms);
  EXPECT_THAT(Offered({"cryopodctl", "list", "--output", "=", "y"}), ElementsAre("yaml"));
}

TEST_F(CompletionTest, ArchivesWhereAVerbTakesOne) {
  for (const char* verb : {"inspect", "verify", "delete", "rm", "export", "restore"}) {
    EXPECT_THAT(Offered({"cryopodctl", verb, "we"}), ElementsAre("web1", "web2")) << verb;
  }
  EXPECT_THAT(Offered({"cryopodctl", "-o", "json", "rm", "web1", "d"}), ElementsAre("db1"));
  EXPECT_THAT(Offered({"cryopodctl", "inspect", ""}), Not(Contains("op7")));
  EXPECT_THAT(Offered({"cryopodctl", "wait", ""}), IsEmpty());
}

TEST_F(CompletionTest, TheAgentThatIsMeantIsAsked) {
  Offered({"cryopodctl", "--socket", "/other.sock", "inspect", ""});
  Offered({"cryopodctl", "--socket", "=", "/third.sock", "inspect", ""});

  EXPECT_EQ(test::ReadText(Path("asked")),
            "--socket /other.sock list\n--socket /third.sock list\n");
}

TEST_F(CompletionTest, FilesWhereAnOptionTakesAny) {
  EXPECT_THAT(Offered({"cryopodctl", "export", "web1", "--file", ""}), IsEmpty());
  EXPECT_THAT(Offered({"cryopodctl", "import", ""}), IsEmpty());
  EXPECT_THAT(test::ReadText(Path("script")), HasSubstr("complete -o default"));
}

TEST_F(CompletionTest, AnAgentThatIsAwayIsNoNoise) {
  WriteProgram("echo nobody answers >&2; exit 7");

  EXPECT_THAT(Offered({"cryopodctl", "inspect", ""}), IsEmpty());
}

TEST_F(CompletionTest, EveryVerbAndOptionThatIsOfferedIsTaken) {
  for (const std::string& verb : Offered({"cryopodctl", ""})) {
    EXPECT_THAT(RunCtl({verb, "--help"}).out, HasSubstr("cryopodctl " + verb + " "));
    for (const std::string& option : Offered({"cryopodctl", verb, "--"})) {
      if (option == "--version") continue;
      EXPECT_THAT(RunCtl({verb, "--help"}).out, HasSubstr(option)) << verb;
    }
  }
}

TEST_F(CompletionTest, ZshOffersTheSameHoweverItComesByTheScript) {
  const std::vector<Words> lines = {{"cryopodctl", ""},
                                    {"cryopodctl", "node", ""},
                                    {"cryopodctl", "pod", "run", "--h"},
                                    {"cryopodctl", "list", "-o", ""},
                                    {"cryopodctl", "-o", "json", "rm", "web1", "d"},
                                    {"cryopodctl", "--socket", "=", "/o.sock", "inspect", "we"},
                                    {"cryopodctl", "wait", ""}};
  std::vector<Words> expected;
  for (const Words& words : lines) expected.push_back(Offered(words));

  EXPECT_EQ(OfferedByZsh(kZshInstalled, lines), expected);
  EXPECT_EQ(OfferedByZsh(kZshSourced, lines), expected);
  EXPECT_THAT(test::ReadText(Path("asked")), HasSubstr("--socket /o.sock list\n"));
}

TEST_F(CompletionTest, ZshCompletesWithinTheWordOfAnOptionAndFilesWhereItTakesAny) {
  EXPECT_THAT(OfferedByZsh(kZshInstalled, {{"cryopodctl", "list", "--output", "=", "y"},
                                           {"cryopodctl", "list", "--output", "=", ""},
                                           {"cryopodctl", "import", "scr"}}),
              ElementsAre(ElementsAre("--output=yaml"), SizeIs(4), IsEmpty()));
  EXPECT_THAT(test::ReadText(Path("files")), HasSubstr("script\n"));
}

}  // namespace
}  // namespace cryopod::ctl
