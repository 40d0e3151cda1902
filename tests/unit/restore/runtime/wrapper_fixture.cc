#include "tests/unit/restore/runtime/wrapper_fixture.h"

#include <fcntl.h>

#include <sstream>
#include <utility>

#include "agent/os/file.h"
#include "restore/runtime/protocol/consumed_record.h"
#include "restore/runtime/protocol/container_marks.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/restore/runtime/protocol/sample_record.h"

namespace cryopod::wrapper {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

// Records its command line, then does what a test has asked for. For `restore` it calls the criu
// that it finds in PATH, as the real one does, and makes the container's state directory. Its
// container "cryopod-probe" has a first process with a seccomp filter.
constexpr char kFakeRuntime[] = R"sh(#!/bin/sh
here=HERE
echo "$*" >>"$here/calls"
root= pid_file= bundle= restoring= last=
for word; do
  case $previous in
    --root) root=$word ;;
    --pid-file) pid_file=$word ;;
    --bundle) bundle=$word ;;
  esac
  [ "$word" != restore ] || restoring=yes
  previous=$word last=$word
done
if [ -n "$restoring" ]; then
  env >"$here/restore.env"
  ls -l /proc/self/fd >"$here/restore.fds"
  command -v criu >"$here/restore.criu"
  mkdir -p "$root/$last"
  [ ! -e "$here/restore.sleep" ] || exec sleep "$(cat "$here/restore.sleep")"
  [ -z "$pid_file" ] || printf %s "$(cat "$here/restore.pid")" >"$pid_file"
  exit "$(cat "$here/restore.exit")"
fi
case $* in
  *" create "*" cryopod-probe")
    cp "$bundle/config.json" "$here/probe.json"
    [ ! -e "$here/probe.exit" ] || exit "$(cat "$here/probe.exit")"
    "$here/filtered" </dev/null >/dev/null 2>&1 &
    echo $! >"$here/probe.pid"
    until grep -q "Seccomp:.2" /proc/$!/status; do sleep 0.01; done
    printf %s $! >"$pid_file"
    exit
    ;;
  *" state "*) [ ! -e "$here/state.json" ] || { cat "$here/state.json"; exit; } ;;
  *" delete "*" cryopod-probe")
    [ ! -e "$here/probe.pid" ] || kill -KILL "$(cat "$here/probe.pid")"
    exit
    ;;
esac
cat
echo "called with $#"
[ ! -e "$here/exit" ] || exit "$(cat "$here/exit")"
)sh";

void InstallProgram(const std::string& from, const fs::path& to) {
  fs::create_directories(to.parent_path());
  fs::copy_file(from, to);
}

}  // namespace

void WrapperFixture::SetUp() {
  InstallProgram(CRYOPOD_RUNTIME_PROGRAM, Path("bin/cryopod-runtime"));
  InstallProgram(CRYOPOD_LAUNCHER_PROGRAM, Path("libexec/cryopod/launcher/criu"));
  InstallProgram(CRYOPOD_FILTERED_PROGRAM, Path("filtered"));
  InstallProgram(CRYOPOD_FINISHED_PROGRAM, Path("libexec/cryopod/cryopod-finished"));
  for (const char* name : {"root", "bundle/rootfs", "state", "work", "images"}) {
    fs::create_directories(Path(name));
  }
  std::string script = kFakeRuntime;
  script.replace(script.find("HERE"), 4, temp_.path().string());
  for (const auto& [name, text] :
       {std::pair<std::string, std::string>{"fake-runtime", script}, {"criu", "#!/bin/sh\n"}}) {
    test::WriteText(Path(name), text);
    fs::permissions(Path(name), fs::perms::owner_all);
  }
  Configure("");
  SetRestore(0, "4711");
}

void WrapperFixture::Configure(const std::string& more) {
  test::WriteText(Path("runtime.conf"), "runtime=" + Path("fake-runtime") +
                                            "\nagent_socket=" + Path("agent.sock") +
                                            "\nstate_dir=" + Path("state") + "\n" + more);
}

void WrapperFixture::SetRestore(int exit_code, const std::string& pid) {
  test::WriteText(Path("restore.exit"), std::to_string(exit_code));
  test::WriteText(Path("restore.pid"), pid);
}

CommandOutput WrapperFixture::Run(const std::vector<std::string>& arguments,
                                  const std::string& input) {
  test::WriteText(Path("input"), input);
  Result<UniqueFd> stdin_fd = OpenAt(AT_FDCWD, Path("input"), O_RDONLY);
  EXPECT_TRUE(stdin_fd.ok());
  SpawnOptions options;
  options.argv = {Path("bin/cryopod-runtime")};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                         "CRYOPOD_RUNTIME_CONFIG=" + Path("runtime.conf")};
  if (stdin_fd.ok()) options.descriptors = {{0, stdin_fd->get()}};
  Result<CommandOutput> output = RunCommand(std::move(options), Deadline::After(seconds(30)));
  EXPECT_TRUE(output.ok()) << output.status().message();
  return output.ok() ? std::move(*output) : CommandOutput();
}

std::vector<std::string> WrapperFixture::Arguments(const std::vector<std::string>& rest) const {
  std::vector<std::string> all = {"--root",         Path("root"),   "--log",
                                  Path("log.json"), "--log-format", "json"};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

void WrapperFixture::StartAgent(test::FakeRuntimeAgent::Conversation conversation) {
  agent_ = std::make_unique<test::FakeRuntimeAgent>(Path("agent.sock"), std::move(conversation));
}

void WrapperFixture::StartRestoringAgent(const Answer& verdict) {
  const Plan plan = MakePlan();
  StartAgent([this, plan, verdict](int fd, const Request& request) {
    const Deadline soon = test::FakeRuntimeAgent::Soon();
    ASSERT_EQ(request.kind, Request::Kind::kCreate);
    ASSERT_THAT(Send(fd, Answer::Restore(plan), soon), test::IsOk());
    outcome_ = ReceiveOutcome(fd, soon);
    ASSERT_THAT(Send(fd, verdict, soon), test::IsOk());
  });
}

int WrapperFixture::Create(const std::vector<std::string>& more) {
  std::vector<std::string> rest = {"create", "--bundle", Path("bundle"), "--pid-file",
                                   Path("init.pid")};
  rest.insert(rest.end(), more.begin(), more.end());
  rest.push_back("c1");
  return Call(rest);
}

void WrapperFixture::Consume() {
  ASSERT_THAT(AddConsumed(Path("state"), "u-1", test::SampleRecord("web-1", {"app"})),
              test::IsOk());
}

void WrapperFixture::Hold(const std::string& processes) {
  fs::create_directories(state_dir());
  test::WriteText(Path("cgroup.procs"), processes);
  ASSERT_THAT(WriteHeldMark(state_dir(),
                            {temp_.path().string(), "u-1", test::SampleRecord("web-1", {"app"})}),
              test::IsOk());
}

void WrapperFixture::WriteBundle(const std::string& container, const std::string& more_config) {
  const std::string type = container.empty() ? "sandbox" : "container";
  test::WriteText(Path("bundle/config.json"),
                  R"({"root": {"path": "rootfs"}, "annotations": {
    "io.kubernetes.cri.container-type": ")" +
                      type + R"(",
    "io.kubernetes.cri.sandbox-id": "s1", "io.kubernetes.cri.sandbox-name": "web",
    "io.kubernetes.cri.sandbox-namespace": "default", "io.kubernetes.cri.sandbox-uid": "u-1",
    "io.kubernetes.cri.container-name": ")" +
                      container + R"(",
    "cryopod.dev/restore-from": "web-1"})" +
                      more_config + "}");
}

std::vector<std::string> WrapperFixture::RuntimeCalls() const {
  std::vector<std::string> calls;
  if (!fs::exists(Path("calls"))) return calls;
  std::istringstream lines(test::ReadText(Path("calls")));
  for (std::string line; std::getline(lines, line);) calls.push_back(line);
  return calls;
}

std::string WrapperFixture::LoggedError() const {
  if (!fs::exists(Path("log.json"))) return "";
  std::istringstream lines(test::ReadText(Path("log.json")));
  std::string last;
  for (std::string line; std::getline(lines, line);) last = line;
  const std::string key = "{\"level\":\"error\",\"msg\":\"";
  EXPECT_EQ(last.rfind(key, 0), 0u) << last;
  return last.substr(key.size(), last.rfind("\",\"time\"") - key.size());
}

Plan WrapperFixture::MakePlan() {
  test::WriteText(Path("work/criu.conf"), "leave-stopped\n");
  return {Path("images"), Path("work"), Path("work/criu.conf"), Path("criu")};
}

}  // namespace cryopod::wrapper
