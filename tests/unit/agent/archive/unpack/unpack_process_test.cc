#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

#include "agent/archive/unpack/unpack.h"
#include "agent/archive/unpack/unpack_child.h"
#include "agent/archive/unpack/unpack_stream.h"
#include "tests/support/without_landlock.h"
#include "tests/unit/agent/archive/tar/upper_fixture.h"

// A cryopod-unpack that was taken over: whatever it does, whoever started it survives, believes
// nothing that is not checked, and leaves no process behind.

namespace cryopod::archive::test {
namespace {

using cryopod::test::WithoutLandlock;

class EvilUnpackTest : public ::testing::Test {
 protected:
  // A program that does what the shell script says: descriptor 4 is its output, 5 its report.
  std::string Program(const std::string& script) {
    const auto path = temp_.path() / "evil-unpack";
    WriteText(path,
              "#!/bin/sh\necho $$ >" + (temp_.path() / "pid").string() + "\n" + script + "\n");
    EXPECT_EQ(::chmod(path.c_str(), 0700), 0);
    return path.string();
  }

  UniqueFd Blob() {
    WriteText(temp_.path() / "blob", "blob");
    return OpenPath(temp_.path() / "blob", O_RDONLY);
  }
  // An empty directory.
  UniqueFd NewDirectory() {
    std::filesystem::remove_all(temp_.path() / "into");
    std::filesystem::create_directory(temp_.path() / "into");
    return OpenPath(temp_.path() / "into");
  }

  Status Layer(const std::string& script, Deadline deadline = Soon()) {
    return UnpackLayer(Program(script), Blob().get(), sink_, {}, deadline);
  }
  Status Files(const std::string& script, Deadline deadline = Soon(), UnpackLimits limits = {}) {
    return UnpackImages(Program(script), Blob().get(), NewDirectory().get(), limits, deadline);
  }
  // Script that emits these bytes on the output.
  std::string Emit(const std::string& bytes) {
    WriteText(temp_.path() / "stream", bytes);
    return "exec /bin/cat " + (temp_.path() / "stream").string() + " >&4";
  }
  std::string Into(const std::string& command) {
    return "cd " + (temp_.path() / "into").string() + "; " + command;
  }

  void ExpectNoProcess() {
    const pid_t pid = std::stoi(ReadText(temp_.path() / "pid"));
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
  }

  TempDirectory temp_;
  KeepingSink sink_;
};

TEST_F(EvilUnpackTest, SilenceEndsWithTheDeadlineAndTheProcessWithIt) {
  const auto deadline = [] { return Deadline::After(std::chrono::milliseconds(300)); };
  // The second closes its pipe before.
  for (const char* script : {"exec /bin/sleep 60", "exec 4>&-; exec /bin/sleep 60"}) {
    EXPECT_THAT(Layer(script, deadline()), StatusIs(Code::kDeadlineExceeded));
    ExpectNoProcess();
  }

  EXPECT_THAT(Files("exec /bin/sleep 60", deadline()), StatusIs(Code::kDeadlineExceeded));
  ExpectNoProcess();
}

TEST_F(EvilUnpackTest, GarbageIsRefused) {
  EXPECT_THAT(Layer("exec /bin/cat /dev/urandom >&4"), StatusIs(Code::kDataLoss));
  ExpectNoProcess();
  EXPECT_THAT(Layer("exec /bin/cat /dev/zero >&4"), StatusIs(Code::kDataLoss));
  ExpectNoProcess();
}

TEST_F(EvilUnpackTest, DeathIsNoSuccess) {
  EXPECT_THAT(Layer("kill -9 $$"), StatusIs(Code::kInternal, HasSubstr("signal 9")));
  EXPECT_THAT(Files("kill -11 $$"), StatusIs(Code::kInternal, HasSubstr("signal 11")));
  EXPECT_THAT(Layer("exit 0"), StatusIs(Code::kDataLoss, HasSubstr("ended early")));
  EXPECT_THAT(Layer("exit 3"), StatusIs(Code::kInternal, HasSubstr("exit code 3")));
}

TEST_F(EvilUnpackTest, AFailureIsOneAlsoWhenTheReportSaysOk) {
  EXPECT_THAT(Files("echo '0 fine' >&5; exit 1"), StatusIs(Code::kDataLoss));
  EXPECT_THAT(Files("/bin/cat /dev/zero >&5 & exit 1"), StatusIs(Code::kInternal));
}

TEST_F(EvilUnpackTest, ASuccessAfterACutStreamIsNone) {
  EXPECT_THAT(Layer(Emit(EncodeEntry({.path = "f", .size_bytes = 100}) + "only this")),
              StatusIs(Code::kDataLoss, HasSubstr("ended early")));
}

TEST_F(EvilUnpackTest, EveryEntryIsCheckedOnThisSideToo) {
  const std::string sound = EncodeEntry({.path = "a"});
  const std::vector<std::pair<std::string, std::string>> streams = {
      {"path out", EncodeEntry({.path = "../escape"})},
      {"absolute path", EncodeEntry({.path = "/etc/passwd"})},
      {"path with NUL", EncodeEntry({.path = std::string("a\0b", 3)})},
      {"endless path", EncodeEntry({.path = std::string(100'000, 'a')})},
      {"hard link out", EncodeEntry({Kind::kHardlink, "a", "etc/passwd"})},
      {"size beyond the limit", EncodeEntry({.path = "a", .size_bytes = UINT64_MAX})},
      {"owner of -1", EncodeEntry({.path = "a", .uid = UINT32_MAX})},
      {"mode beyond bits", EncodeEntry({.path = "a", .mode = UINT32_MAX})},
      {"content of a directory",
       EncodeEntry({.kind = Kind::kDirectory, .path = "a", .size_bytes = 5})},
      {"overlay's xattr", EncodeEntry({.path = "a", .xattrs = {{"trusted.overlay.opaque", "y"}}})},
      {"twice", sound + sound},
  };
  for (const auto& [what, stream] : streams) {
    const size_t applied = sink_.paths.size();

    EXPECT_THAT(Layer(Emit(stream + std::string(kEndRecord))),
                AnyOf(StatusIs(Code::kDataLoss), StatusIs(Code::kResourceExhausted)))
        << what;

    EXPECT_LE(sink_.paths.size(), applied + (what == "twice" ? 1 : 0)) << what;
  }
}

TEST_F(EvilUnpackTest, FilesThatAreNotPlainAreRefusedOnThisSideToo) {
  for (const char* command :
       {"ln -s /etc/passwd link", "mkdir dir", "mkfifo fifo", "echo x >.hidden",
        "echo x >a; ln a b", "echo x >a; chmod 4755 a", "echo x >a; chmod 644 a"}) {
    EXPECT_THAT(Files(Into(command)), StatusIs(Code::kDataLoss)) << command;
  }
}

TEST_F(EvilUnpackTest, FilesAboveTheLimitsAreRefusedOnThisSideToo) {
  EXPECT_THAT(Files(Into("echo 123456 >a"), Soon(), {.bytes_max = 3}),
              StatusIs(Code::kResourceExhausted));
  EXPECT_THAT(Files(Into("echo >a; echo >b; echo >c"), Soon(), {.entries_max = 1}),
              StatusIs(Code::kResourceExhausted));
}

TEST_F(EvilUnpackTest, WhatItWorksOnIsItsOwnMeanwhileAndOursAfterwards) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const UniqueFd dir = NewDirectory();
  const auto into = temp_.path() / "into";
  WriteText(into / "a", "");
  ASSERT_EQ(::chmod((into / "a").c_str(), 0600), 0);
  const std::string seen = (temp_.path() / "seen").string();
  const std::string user = std::to_string(kUnpackUser);
  const auto owner = [](const std::filesystem::path& path) {
    struct stat attributes {};
    EXPECT_EQ(::lstat(path.c_str(), &attributes), 0);
    return attributes.st_uid;
  };

  for (const char* end : {"exit 0", "exit 1"}) {
    const std::string script = Into("stat -c %u . a >" + seen + "; " + end);
    (void)RewriteImages(Program(script), "", dir.get(), {}, Soon()).ok();

    EXPECT_EQ(ReadText(seen), user + "\n" + user + "\n");
    EXPECT_EQ(owner(into), 0u);
    EXPECT_EQ(owner(into / "a"), end == std::string_view("exit 0") ? 0u : kUnpackUser);
  }
}

TEST_F(EvilUnpackTest, ALayoutThatIsNoneIsRefusedOnThisSideToo) {
  const std::string hex(64, 'a');
  const std::vector<std::string> commands = {
      ":",
      "mkdir -p blobs/sha256",
      "mkdir -p blobs/sha256 extra; echo >oci-layout; echo >index.json",
      "mkdir -p blobs/sha256/dir; echo >oci-layout; echo >index.json",
      "mkdir -p blobs/sha256; echo >oci-layout; echo >index.json; echo >blobs/sha256/short",
      "mkdir -p blobs/sha256; echo >oci-layout; ln -s /etc/passwd index.json",
      "mkdir blobs; ln -s /tmp blobs/sha256; echo >oci-layout; echo >index.json",
      "mkdir -p blobs/sha256; echo >oci-layout; echo >index.json; mkfifo blobs/sha256/" + hex};
  for (const std::string& command : commands) {
    const Status status =
        UnpackLayout(Program(Into(command)), Blob().get(), NewDirectory().get(), {}, Soon());

    EXPECT_FALSE(status.ok()) << command;
  }
}

TEST_F(EvilUnpackTest, AProgramThatIsNotThereIsNamed) {
  EXPECT_THAT(UnpackLayer("/nonexistent/cryopod-unpack", Blob().get(), sink_, {}, Soon()),
              StatusIs(Code::kNotFound, HasSubstr("/nonexistent/cryopod-unpack")));
}

TEST_F(EvilUnpackTest, ItIsHandedNothingButItsDescriptorsAndNoEnvironment) {
  const std::string seen = (temp_.path() / "seen").string();
  // A descriptor without close-on-exec, as any library might leave one.
  const UniqueFd leaked(::open("/dev/null", O_RDONLY));
  ASSERT_EQ(::setenv("SECRET", "told", 1), 0);

  EXPECT_THAT(Layer("exec /bin/ls /proc/self/fd >" + seen), StatusIs(Code::kDataLoss));
  // 6 is the directory that ls itself reads.
  EXPECT_EQ(ReadText(seen), "0\n1\n2\n3\n4\n5\n6\n");

  EXPECT_THAT(Layer("exec /usr/bin/env >" + seen), StatusIs(Code::kDataLoss));
  EXPECT_EQ(ReadText(seen).find("SECRET"), std::string::npos);
}

// The real program, watched while it waits for its input.
class ConfineTest : public ::testing::Test {
 protected:
  // What /proc says of it then, once it has given up everything.
  struct Seen {
    std::string status;
    std::string limits;
    std::vector<std::string> root;
  };

  static void Watch(Seen* seen) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Pipe input, MakePipe());
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const Pipe output, MakePipe());
    ASSERT_EQ(::fcntl(input.read.get(), F_SETFL, 0), 0);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        UnpackProcess process, UnpackProcess::Start(kUnpackProgram, {UnpackMode::kEmit, {1234, 10}},
                                                    input.read.get(), output.write.get(), Soon()));
    const std::string proc = "/proc/" + std::to_string(process.pid()) + "/";
    const Deadline deadline = Soon();
    // It reads only afterwards.
    const auto reads = [&] { return ReadText(proc + "syscall").starts_with("0 0x3 "); };
    while (!reads() && !deadline.expired()) ::usleep(1000);
    seen->status = ReadText(proc + "status");
    seen->limits = ReadText(proc + "limits");
    for (const auto& entry : std::filesystem::directory_iterator(proc + "root/")) {
      seen->root.push_back(entry.path().filename());
    }
  }
  static void ExpectAnotherUserInAnEmptyRoot(const Seen& seen) {
    const std::string user = std::to_string(kUnpackUser);
    const std::string four = user + "\t" + user + "\t" + user + "\t" + user + "\n";
    EXPECT_THAT(seen.status, HasSubstr("\nUid:\t" + four));
    EXPECT_THAT(seen.status, HasSubstr("\nGid:\t" + four));
    EXPECT_THAT(seen.status, HasSubstr("\nGroups:\t \n"));
    EXPECT_THAT(seen.root, IsEmpty());
  }
};

TEST_F(ConfineTest, TheProcessHasNoCapabilityAndItsLimits) {
  Seen seen;
  Watch(&seen);

  for (const char* line : {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                           "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
                           "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Umask:\t0077"}) {
    EXPECT_THAT(seen.status, HasSubstr(line));
  }
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_THAT(seen.status, HasSubstr("Seccomp:\t2"));
#endif
  EXPECT_THAT(seen.limits, HasSubstr("Max core file size        0                    0"));
  EXPECT_THAT(seen.limits, HasSubstr("Max processes             0                    0"));
  EXPECT_THAT(seen.limits, HasSubstr("Max file size             1234                 1234"));
  EXPECT_THAT(seen.limits, HasSubstr("Max open files            16                   16"));
}

TEST_F(ConfineTest, TheProcessIsNobodyElsesUserInAnEmptyRootAlsoWithoutLandlock) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  Seen seen, without;

  Watch(&seen);
  WithoutLandlock([&] { Watch(&without); });

  ExpectAnotherUserInAnEmptyRoot(seen);
  ExpectAnotherUserInAnEmptyRoot(without);
}

TEST_F(ConfineTest, TheProcessEndsWithWhoeverStartedIt) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Pipe input, MakePipe());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Pipe output, MakePipe());
  ASSERT_EQ(::fcntl(input.read.get(), F_SETFL, 0), 0);
  std::optional<UnpackProcess> process;

  // The kernel counts the thread.
  std::thread([&] {
    Result<UnpackProcess> started = UnpackProcess::Start(
        kUnpackProgram, {UnpackMode::kEmit, {}}, input.read.get(), output.write.get(), Soon());
    ASSERT_THAT(started, IsOk());
    process.emplace(std::move(*started));
    const std::string syscall = "/proc/" + std::to_string(process->pid()) + "/syscall";
    const Deadline deadline = Soon();
    while (!ReadText(syscall).starts_with("0 0x3 ") && !deadline.expired()) ::usleep(1000);
  }).join();

  ASSERT_TRUE(process.has_value());
  EXPECT_THAT(process->Wait(Soon()), StatusIs(Code::kInternal, HasSubstr("signal 9")));
}

// One that was taken over once it had given up everything, on a kernel without Landlock: `probe` is
// what it tries, with the directory that it writes to as descriptor 4; its answer.
std::string FromInside(const std::filesystem::path& into, const std::function<int()>& probe) {
  std::string answer = "nothing";
  const UniqueFd dir = OpenPath(into);
  EXPECT_EQ(::chown(into.c_str(), kUnpackUser, kUnpackUser), 0);
  WithoutLandlock([&] {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe report, MakePipe());
    const pid_t child = ::fork();
    if (child == 0) {
      const int report_fd = ::fcntl(report.write.get(), F_DUPFD, kUnpackReportFd + 1);
      ::dup2(dir.get(), kUnpackOutputFd);
      ::dup2(report_fd, kUnpackReportFd);
      ::close_range(kUnpackReportFd + 1, ~0u, 0);
      const Status confined = Confine({UnpackMode::kImages, {}, 60}, kUnpackOutputFd);
      errno = 0;
      const std::string text = !confined.ok() ? confined.message()
                               : probe() >= 0 ? "done"
                                              : ::strerror(errno);
      (void)WriteAll(kUnpackReportFd, text);
      ::_exit(0);
    }
    report.write.Reset();
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    CRYOPOD_ASSERT_OK_AND_ASSIGN(answer, ReadAll(report.read.get(), 1000));
  });
  return answer;
}

TEST_F(ConfineTest, WhoTookItOverOpensNothingOfTheNodeAlsoWithoutLandlock) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const TempDirectory temp;
  const auto into = temp.path() / "into";
  std::filesystem::create_directory(into);
  WriteText(temp.path() / "outside", "");
  ASSERT_EQ(::chmod((temp.path() / "outside").c_str(), 0666), 0);
  ASSERT_EQ(::chmod(temp.path().c_str(), 0777), 0);
  const std::string absolute = temp.path() / "outside";

  for (const char* path : {"/etc", "/etc/passwd", "/proc/self/mem", "/dev/null", absolute.c_str(),
                           "../outside", "../../../../../../etc/passwd"}) {
    EXPECT_EQ(FromInside(into, [path] { return ::openat(kUnpackOutputFd, path, O_RDONLY); }),
              "No such file or directory")
        << path;
  }
  EXPECT_EQ(FromInside(into, [] { return ::open("/new", O_WRONLY | O_CREAT, 0600); }),
            "Read-only file system");
  EXPECT_EQ(
      FromInside(into, [] { return ::openat(kUnpackOutputFd, "new", O_WRONLY | O_CREAT, 0600); }),
      "done");
  EXPECT_TRUE(std::filesystem::exists(into / "new"));
}

}  // namespace
}  // namespace cryopod::archive::test
