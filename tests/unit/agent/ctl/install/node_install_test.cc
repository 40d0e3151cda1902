#include "agent/ctl/install/node_install.h"

#include "agent/ctl/install/node_changes.h"
#include "tests/fakes/fake_agent_server.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/agent/ctl/install/node_fixture.h"

namespace cryopod::ctl {
namespace {

using test::IsOk;
using test::ReadText;
using test::StatusIs;
using test::WriteText;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr InstallOptions kPurge{.restart = true, .purge = true};
constexpr InstallOptions kNoRestart{.restart = false, .purge = false};

class NodeInstallTest : public test::NodeFixture {
 protected:
  NodeInstallTest() { WriteConfig("version = 3\n"); }

  Status Install(const InstallOptions& options = {}) {
    return Run([&](ChangeReport& report) { return InstallNode(paths_, options, report); });
  }
  Status Uninstall(const InstallOptions& options = {}) {
    return Run([&](ChangeReport& report) { return UninstallNode(paths_, options, report); });
  }
  std::string DropIn() const { return Path("etc/containerd/conf.d/cryopod.toml"); }
  void WriteConfig(const std::string& text) { WriteText(paths_.containerd_config, text); }
  std::string Config() const { return ReadText(paths_.containerd_config); }
  std::string RuntimeConf() const { return ReadText(Path("etc/cryopod/runtime.conf")); }
  void WriteSettings(const std::string& state_dir, const std::string& run_dir) const {
    std::filesystem::create_directories(paths_.etc_dir);
    WriteText(paths_.settings_file(),
              "[agent]\nstate_dir = '" + state_dir + "'\nrun_dir = '" + run_dir + "'\n");
    ASSERT_EQ(::chmod(paths_.settings_file().c_str(), 0644), 0);
  }
};

TEST_F(NodeInstallTest, TellsContainerdOfTheHandler) {
  ASSERT_THAT(Install(), IsOk());

  EXPECT_EQ(Config(), "version = 3\nimports = [\"" + DropIn() + "\"]\n");
  EXPECT_THAT(ReadText(DropIn()), HasSubstr("BinaryName = \"" + paths_.runtime_program() + "\""));
  EXPECT_THAT(ReadText(DropIn()), Not(HasSubstr("/opt/cryopod")));
  EXPECT_THAT(said_, HasSubstr("wrote " + DropIn()));
  EXPECT_THAT(said_, HasSubstr("restart containerd"));
  EXPECT_THAT(said_, HasSubstr("start the agent, as root: '" + paths_.agent_program() + "'"));
  EXPECT_THAT(said_, HasSubstr("kubectl apply"));
}

TEST_F(NodeInstallTest, UndoneTheNodeIsAsItWas) {
  for (const char* text :
       {"version = 3 # mine\nimports = [ '/other.toml' ]\n", "version=3\nimports = []\n",
        "# none\n", "version = 3",
        "\r\nversion\t= 3\r\nimports = [\r\n\r\n'/\u00e9.toml' ,\r\n] # \u00e9"}) {
    WriteConfig(text);
    ASSERT_EQ(::chmod(paths_.containerd_config.c_str(), 0640), 0);
    const auto before = Files();

    ASSERT_THAT(Install(), IsOk());
    ASSERT_NE(Files(), before);
    ASSERT_THAT(Uninstall(), IsOk());

    EXPECT_EQ(Files(), before);
    EXPECT_THAT(said_, HasSubstr("the content that it had"));
  }
}

TEST_F(NodeInstallTest, UndoneAFileThatDidNotExistIsGone) {
  std::filesystem::remove_all(Path("etc/containerd"));
  const auto before = Files();

  ASSERT_THAT(Install(), IsOk());
  ASSERT_THAT(Config(), HasSubstr("version = 3"));
  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, EditsAfterwardsSurviveTheUndoing) {
  ASSERT_THAT(Install(), IsOk());
  WriteConfig(Config() + "root = '/elsewhere'\n");
  WriteText(DropIn(), "# mine now\n");

  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_EQ(Config(), "version = 3\nroot = '/elsewhere'\n");
  EXPECT_THAT(said_, HasSubstr("took the import out of"));
  EXPECT_EQ(ReadText(DropIn() + ".saved"), "# mine now\n");
  EXPECT_FALSE(PathExists(DropIn()));
  EXPECT_THAT(said_, HasSubstr("changed since"));
}

TEST_F(NodeInstallTest, ASecondRunChangesNothing) {
  StartSystemd();
  ASSERT_THAT(Install(), IsOk());
  const auto once = Files();
  const std::string calls_once = calls();

  ASSERT_THAT(Install(), IsOk());

  EXPECT_EQ(Files(), once);
  EXPECT_EQ(calls(), calls_once);
  EXPECT_THAT(said_, HasSubstr("nothing had to be changed"));
}

TEST_F(NodeInstallTest, AMovedTreeIsInstalledAnew) {
  const std::string before = Config();
  ASSERT_THAT(Install(), IsOk());
  std::filesystem::rename(paths_.prefix, Path("moved"));
  paths_.prefix = Path("moved");

  ASSERT_THAT(Install(), IsOk());

  EXPECT_THAT(ReadText(DropIn()), HasSubstr(Path("moved") + "/bin/cryopod-runtime"));
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_EQ(Config(), before);
}

TEST_F(NodeInstallTest, AnImportThatNamesTheFolderIsEnough) {
  const std::string text = "version = 3\nimports = ['conf.d/*.toml']\n";
  WriteConfig(text);

  ASSERT_THAT(Install(), IsOk());

  EXPECT_EQ(Config(), text);
  EXPECT_TRUE(PathExists(DropIn()));
}

TEST_F(NodeInstallTest, AConfigurationThatDoesNotFitIsRefusedBeforeAnythingIsChanged) {
  WriteSettings("relative", Path("run/other"));
  auto before = Files();
  EXPECT_THAT(Install(), StatusIs(Code::kInvalidArgument, HasSubstr("cryopod.toml:2")));
  EXPECT_EQ(Files(), before);

  WriteConfig("version = 2\n");
  before = Files();
  EXPECT_THAT(Install(),
              StatusIs(Code::kFailedPrecondition, HasSubstr("containerd config migrate")));
  EXPECT_EQ(Files(), before);
  EXPECT_EQ(calls(), "");
}

TEST_F(NodeInstallTest, ADropInOfSomebodyElseIsNotOverwritten) {
  std::filesystem::create_directories(Path("etc/containerd/conf.d"));
  WriteText(DropIn(), "# by hand\n");

  EXPECT_THAT(Install(), StatusIs(Code::kAlreadyExists, HasSubstr("move it away")));

  EXPECT_EQ(ReadText(DropIn()), "# by hand\n");
  EXPECT_EQ(Config(), "version = 3\n");
}

TEST_F(NodeInstallTest, WhatContainerdDoesNotTakeIsTakenBack) {
  const auto before = Files();
  WriteProgram(Path("programs/containerd"), "echo 'bad drop-in' >&2; exit 1\n");

  EXPECT_THAT(Install(), StatusIs(Code::kFailedPrecondition, HasSubstr("bad drop-in")));

  EXPECT_EQ(Config(), "version = 3\n");
  EXPECT_FALSE(PathExists(DropIn()));
  ASSERT_THAT(Uninstall(), IsOk());
  std::filesystem::remove(paths_.agent.state_dir);
  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, TheRuntimeAndTheCgroupDriverOfTheNodeAreKept) {
  WriteConfig(
      "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n"
      "BinaryName = '/usr/local/sbin/runc'\nSystemdCgroup = true\n");

  ASSERT_THAT(Install(), IsOk());

  EXPECT_THAT(RuntimeConf(), StartsWith("runtime=/usr/local/sbin/runc\n"));
  EXPECT_THAT(ReadText(DropIn()), HasSubstr("\n    SystemdCgroup = true\n"));
}

TEST_F(NodeInstallTest, WhatIsItsDefaultIsNotWrittenForTheRuntime) {
  paths_.agent = settings::AgentSettings();

  ASSERT_THAT(Install(), IsOk());

  EXPECT_FALSE(PathExists(Path("etc/cryopod")));
}

TEST_F(NodeInstallTest, TheRuntimeGetsWhatTheConfigurationSays) {
  WriteSettings(Path("big"), Path("run/other"));
  const auto before = Files();

  ASSERT_THAT(Install(), IsOk());
  EXPECT_EQ(RuntimeConf(),
            "agent_socket=" + Path("run/other") + "/runtime.sock\nstate_dir=" + Path("big") + "\n");
  WriteSettings(Path("bigger"), "/run/cryopod");
  ASSERT_THAT(Install(), IsOk());
  EXPECT_EQ(RuntimeConf(), "state_dir=" + Path("bigger") + "\n");

  WriteSettings(Path("big"), Path("run/other"));
  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, WhatSomebodyElseToldTheRuntimeIsLeftWithAWarning) {
  WriteSettings(Path("big"), Path("run/other"));
  WriteText(Path("etc/cryopod/runtime.conf"), "runtime=crun\n");

  ASSERT_THAT(Install(), IsOk());

  EXPECT_EQ(RuntimeConf(), "runtime=crun\n");
  EXPECT_THAT(said_, HasSubstr("it should hold agent_socket="));
  EXPECT_THAT(said_, HasSubstr("state_dir=" + Path("big") + ", as "));
}

TEST_F(NodeInstallTest, UnitsAreInstalledWhereSystemdRuns) {
  StartSystemd();

  ASSERT_THAT(Install(), IsOk());

  for (const std::string program : {"cryopod-agent", "cryopod-gateway"}) {
    EXPECT_THAT(ReadText(paths_.unit_dir + "/" + program + ".service"),
                HasSubstr("\nExecStart=\"" + paths_.prefix + "/bin/" + program + "\"\n"));
  }
  EXPECT_EQ(calls(),
            "groupadd --system cryopod\n"
            "useradd --system --gid cryopod --no-create-home --home-dir /nonexistent --shell "
            "/usr/sbin/nologin cryopod\n"
            "systemctl --quiet is-active containerd.service\n"
            "systemctl restart containerd.service\n"
            "systemctl daemon-reload\n"
            "systemctl enable cryopod-agent.service\n"
            "systemctl restart cryopod-agent.service\n"
            "systemctl enable cryopod-gateway.service\n"
            "systemctl restart cryopod-gateway.service\n");
  EXPECT_THAT(said_, Not(HasSubstr("restart containerd,")));
}

TEST_F(NodeInstallTest, UnitsAreStoppedBeforeTheirUserGoes) {
  StartSystemd();
  const auto before = Files();
  ASSERT_THAT(Install(), IsOk());
  std::filesystem::remove(Path("calls"));

  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_EQ(calls(),
            "systemctl stop cryopod-agent.service\n"
            "systemctl stop cryopod-gateway.service\n"
            "systemctl disable --now cryopod-gateway.service\n"
            "systemctl disable --now cryopod-agent.service\n"
            "userdel cryopod\n"
            "systemctl daemon-reload\n"
            "systemctl --quiet is-active containerd.service\n"
            "systemctl restart containerd.service\n");
  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, NoRestartLeavesContainerdAlone) {
  StartSystemd();

  ASSERT_THAT(Install(kNoRestart), IsOk());

  EXPECT_THAT(calls(), Not(HasSubstr("restart containerd")));
  EXPECT_THAT(said_, HasSubstr("restart containerd, so that it reads"));
}

TEST_F(NodeInstallTest, AUserThatIsThereStaysThere) {
  WriteText(Path("accounts/group/cryopod"), "");
  WriteText(Path("accounts/passwd/cryopod"), "");

  ASSERT_THAT(Install(), IsOk());
  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_EQ(calls(), "");
  EXPECT_TRUE(PathExists(Path("accounts/passwd/cryopod")));
}

TEST_F(NodeInstallTest, AnInstallationThatWasKilledIsUndone) {
  const auto before = Files();
  ASSERT_THAT(Install(), IsOk());
  // Recorded, and killed before it was done.
  CRYOPOD_ASSERT_OK_AND_ASSIGN(std::optional<Installation> record,
                               ReadInstallation(paths_.record_file()));
  record->changes.push_back({ChangeKind::kFile, Path("etc/never"), "x", false});
  record->changes.push_back({ChangeKind::kUser, "never", "", false});
  record->changes.push_back({ChangeKind::kUnit, "never.service", "", false});
  ASSERT_THAT(WriteInstallation(paths_.record_file(), *record), IsOk());
  std::filesystem::remove(DropIn());
  WriteText(DropIn() + ".partial", "half");
  WriteText(paths_.containerd_config + ".partial", "half");

  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, AFailureHalfWayIsUndone) {
  StartSystemd();
  const auto before = Files();
  WriteProgram(Path("programs/systemctl"), "[ \"$1\" != enable ] || { echo masked; exit 1; }\n");

  EXPECT_THAT(Install(), StatusIs(Code::kFailedPrecondition, HasSubstr("masked")));
  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, AnIncompleteTreeAndADamagedManifestAreRefused) {
  WriteText(paths_.share_dir() + "/containerd/cryopod.toml", "version = 3\n");
  EXPECT_THAT(Install(), StatusIs(Code::kInternal, HasSubstr("/opt/cryopod/")));
  ASSERT_THAT(Uninstall(), IsOk());

  std::filesystem::remove(paths_.runtime_program());
  EXPECT_THAT(Install(), StatusIs(Code::kFailedPrecondition, HasSubstr("cryopod-runtime")));
  EXPECT_FALSE(PathExists(paths_.agent.state_dir));
}

TEST_F(NodeInstallTest, APrefixThatWouldChangeTheMeaningOfAFileIsRefused) {
  for (const char* prefix :
       {"", "relative", "/a:b", "/a\"b", "/a\\b", "/a%b", "/a$b", "/a\nb", "/\xc3\xa9"}) {
    paths_.prefix = prefix;
    EXPECT_THAT(Install(), StatusIs(Code::kInvalidArgument, HasSubstr("move it"))) << prefix;
  }
}

TEST_F(NodeInstallTest, ArchivesAreKeptUnlessPurged) {
  const auto before = Files();
  ASSERT_THAT(Install(), IsOk());
  const std::string archive = paths_.agent.state_dir + "/archives/shop-1";
  std::filesystem::create_directories(archive);
  std::filesystem::create_directories(paths_.agent.state_dir + "/logs");

  ASSERT_THAT(Uninstall(), IsOk());
  EXPECT_TRUE(PathExists(archive));
  EXPECT_FALSE(PathExists(paths_.record_file()));
  EXPECT_FALSE(PathExists(paths_.agent.state_dir + "/logs"));
  EXPECT_THAT(said_, HasSubstr("kept in " + paths_.agent.state_dir));

  ASSERT_THAT(Uninstall(kPurge), IsOk());
  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, WhatIsNotOursInAFolderOfTheConfigurationStays) {
  WriteSettings(Path("var"), Path("run"));
  StartSystemd();
  const auto before = Files();
  ASSERT_THAT(Install(), IsOk());
  std::filesystem::create_directories(Path("var/archives/shop-1"));
  WriteText(Path("run/agent.lock"), "");

  ASSERT_THAT(Uninstall(kPurge), IsOk());

  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, UninstallingIsRefusedBeforeAnythingIsStoppedWhileOperationsAreLeft) {
  StartSystemd();
  ASSERT_THAT(Install(), IsOk());
  std::filesystem::create_directories(paths_.agent.jobs_dir() + "/c-1");
  const auto before = Files();
  const std::string calls_before = calls();

  EXPECT_THAT(Uninstall(), StatusIs(Code::kUnavailable, HasSubstr("1 operations are left")));
  {
    // Its list does not hold the operation, since a kubelet drives it.
    const test::FakeAgentServer agent(paths_.agent.agent_socket());
    EXPECT_THAT(Uninstall(), StatusIs(Code::kAborted, HasSubstr("1 operations are left")));
  }
  std::filesystem::remove(paths_.agent.agent_socket());

  EXPECT_EQ(calls(), calls_before);
  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, AnOperationThatBeganWhileTheAgentStoppedGetsItsAgentBack) {
  StartSystemd();
  ASSERT_THAT(Install(), IsOk());
  WriteProgram(Path("programs/systemctl"), "echo \"$*\" >>'" + Path("calls") +
                                               "'\n[ \"$1\" != stop ] || /bin/mkdir -p '" +
                                               paths_.agent.jobs_dir() + "/r-1'\n");

  EXPECT_THAT(Uninstall(), StatusIs(Code::kUnavailable));

  EXPECT_THAT(calls(), testing::EndsWith("start cryopod-agent.service\n"
                                         "start cryopod-gateway.service\n"));
  EXPECT_TRUE(PathExists(DropIn()));
}

TEST_F(NodeInstallTest, WithoutAnInstallationThereIsNothingToUndo) {
  const auto before = Files();

  ASSERT_THAT(Uninstall(), IsOk());

  EXPECT_THAT(said_, HasSubstr("there is nothing to undo"));
  EXPECT_EQ(Files(), before);
}

TEST_F(NodeInstallTest, ADamagedRecordIsNotGuessedAt) {
  ASSERT_THAT(Install(), IsOk());

  for (const char* text : {"", "{}", "[]", R"({"format":2,"changes":[]})",
                           R"({"format":1,"changes":[{"kind":"rocket","subject":"x"}]})",
                           R"({"format":1,"changes":[3]})"}) {
    WriteText(paths_.record_file(), text);
    EXPECT_THAT(Uninstall(), StatusIs(Code::kDataLoss)) << text;
    EXPECT_THAT(Install(), StatusIs(Code::kDataLoss)) << text;
  }
}

}  // namespace
}  // namespace cryopod::ctl
