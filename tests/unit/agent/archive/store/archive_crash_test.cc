#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <limits>

#include "tests/unit/agent/archive/archive_fixture.h"

// Writers that die and disks that are full.

namespace cryopod::archive::test {
namespace {

class KilledWriterTest : public ArchiveTest {
 protected:
  // Runs `act` in a child until it calls the function that it is given, and kills it there.
  void KillWithin(const std::function<void(const std::function<void()>& here)>& act) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      act([] { ::kill(::getpid(), SIGKILL); });
      ::_exit(1);  // not killed: the test has missed its point
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "the writer ended before it was killed";
  }

  void ExpectOnlyLeftovers() {
    EXPECT_THAT(store_->List(), IsOkAnd(IsEmpty()));
    EXPECT_THAT(Open("one"), StatusIs(Code::kNotFound));
    EXPECT_THAT(store_->RemoveLeftovers({}), IsOk());
    EXPECT_TRUE(std::filesystem::is_empty(partial_path()));
    EXPECT_THAT(MakeArchive("one"), IsOk());
  }
};

TEST_F(KilledWriterTest, InTheMiddleOfABlob) {
  WriteFiles(temp_.path() / "files", {{"pages-1.img", Noise(8'000'000, 1)}});
  KillWithin([&](const std::function<void()>& here) {
    Result<ArchiveWriter> writer = store_->Create("one");
    (void)writer->PackFiles(OpenPath(temp_.path() / "files").get(), kCriuImagesLayerMediaType,
                            [&, bytes = uint64_t{0}](uint64_t more) mutable {
                              bytes += more;
                              if (bytes > 5'000'000) here();
                              return Status();
                            });
  });

  EXPECT_TRUE(std::filesystem::exists(partial_path() / "one"));
  ExpectOnlyLeftovers();
}

TEST_F(KilledWriterTest, RightAfterTheClaimAndBetweenTwoBlobs) {
  KillWithin([&](const std::function<void()>& here) {
    Result<ArchiveWriter> writer = store_->Create("one");
    here();
  });
  ExpectOnlyLeftovers();

  ASSERT_THAT(store_->Delete("one"), IsOk());
  KillWithin([&](const std::function<void()>& here) {
    Result<ArchiveWriter> writer = store_->Create("one");
    (void)PackContainer(*writer, "app");
    here();
  });

  ExpectOnlyLeftovers();
}

// Runs `act` in a child that is killed at a boundary of its system calls, of which each has two.
// Returns at which: `boundary`, or an earlier one, at which `act` had ended.
int KillAt(int boundary, const std::function<void()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    act();
    ::_exit(0);
  }
  int reached = -1;  // the child's own SIGSTOP comes first
  int status = 0;
  while (::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    if (++reached == boundary) ::kill(child, SIGKILL);
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  return reached;
}

TEST_F(KilledWriterTest, AtAnyMomentOfItsCommit) {
  // Whatever is visible then is whole.
  const auto act = [&] { (void)MakeArchive("one").ok(); };
  constexpr int kRounds = 40;
  int killed = 0;
  int committed = 0;
  int unfinished = 0;
  const int end = KillAt(std::numeric_limits<int>::max(), act);
  ASSERT_THAT(store_->Delete("one"), IsOk());
  for (int round = 0; round <= kRounds; ++round) {
    const int boundary = end * round / kRounds;

    killed += KillAt(boundary, act) == boundary ? 1 : 0;

    unfinished += std::filesystem::is_empty(partial_path()) ? 0 : 1;
    ASSERT_THAT(store_->RemoveLeftovers({}), IsOk());
    Result<Archive> archive = Open("one");
    if (archive.ok()) {
      ++committed;
      EXPECT_THAT(archive->Verify(Soon()), IsOk());
      EXPECT_THAT(store_->Delete("one"), IsOk());
    } else {
      EXPECT_THAT(archive, StatusIs(Code::kNotFound));
    }
    EXPECT_TRUE(std::filesystem::is_empty(partial_path()));
  }
  // How often it waits for its own threads differs a little, and with that where the end is.
  EXPECT_GT(killed, kRounds * 9 / 10);
  EXPECT_GT(committed, 0);
  EXPECT_GT(unfinished, kRounds / 2) << "most of it is writing";
}

TEST_F(KilledWriterTest, AfterTheCommitTheArchiveStays) {
  KillWithin([&](const std::function<void()>& here) {
    if (MakeArchive("one").ok()) here();
  });

  EXPECT_THAT(store_->RemoveLeftovers({}), IsOk());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Archive archive, Open("one"));
  EXPECT_THAT(archive.Verify(Soon()), IsOk());
}

TEST_F(KilledWriterTest, ALivingWriterOfAnotherProcessKeepsItsFiles) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe ready, MakePipe());
  CRYOPOD_ASSERT_OK_AND_ASSIGN(Pipe go, MakePipe());
  for (const Pipe* pipe : {&ready, &go}) ASSERT_EQ(::fcntl(pipe->read.get(), F_SETFL, 0), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  char byte = 'r';
  if (child == 0) {
    Result<ArchiveWriter> writer = store_->Create("one");
    bool ok = writer.ok() && ::write(ready.write.get(), &byte, 1) == 1 &&
              ::read(go.read.get(), &byte, 1) == 1;
    ok = ok && Commit(std::move(*writer), SampleCheckpoint({"app"})).ok();
    ::_exit(ok ? 0 : 1);
  }
  ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);

  EXPECT_THAT(store_->RemoveLeftovers({}), IsOk());
  EXPECT_THAT(store_->Create("one"), StatusIs(Code::kAlreadyExists));

  ASSERT_EQ(::write(go.write.get(), "g", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(Open("one"), IsOk());
}

// A store on a tmpfs of its own that is soon full.
class FullDiskTest : public ArchiveTest {
 protected:
  static constexpr char kSize[] = "size=2m";

  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a tmpfs";
    std::filesystem::create_directory(temp_.path() / "store");
    if (::mount("cryopod-test", store_path().c_str(), "tmpfs", 0, kSize) != 0) {
      GTEST_SKIP() << "cannot mount a tmpfs here";
    }
    mounted_ = true;
    ArchiveTest::SetUp();
  }
  void TearDown() override {
    store_.reset();
    if (mounted_) {
      EXPECT_EQ(::umount2(store_path().c_str(), MNT_DETACH), 0);
    }
  }
  uintmax_t FreeBytes() const { return std::filesystem::space(store_path()).free; }

  bool mounted_ = false;
};

TEST_F(FullDiskTest, AFullDiskEndsThePackingByNameAndGivesItsSpaceBack) {
  WriteFiles(temp_.path() / "files", {{"pages-1.img", Noise(6'000'000, 1)}});
  const uintmax_t before = FreeBytes();
  {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));

    EXPECT_THAT(
        writer.PackFiles(OpenPath(temp_.path() / "files").get(), kCriuImagesLayerMediaType,
                         nullptr),
        StatusIs(Code::kResourceExhausted, AllOf(HasSubstr("\"one\""), HasSubstr("space"))));
  }

  EXPECT_EQ(FreeBytes(), before);
  EXPECT_TRUE(std::filesystem::is_empty(partial_path()));
}

TEST_F(FullDiskTest, AFullDiskInTheCommitMakesNothingVisible) {
  // Leaves less than a page.
  const auto fill = [&](ArchiveWriter&, std::vector<ContainerParts>&) {
    std::ofstream filler(store_path() / "filler", std::ios::binary);
    const std::string bytes(4096, 'f');
    while (filler.write(bytes.data(), 4096).flush()) {
    }
  };

  EXPECT_THAT(MakeArchive("one", {"app"}, fill),
              StatusIs(Code::kResourceExhausted, HasSubstr("\"one\"")));

  EXPECT_THAT(store_->List(), IsOkAnd(IsEmpty()));
  EXPECT_TRUE(std::filesystem::is_empty(partial_path()));
}

TEST_F(FullDiskTest, AFullDiskWhileUnpackingIsReported) {
  const auto files = temp_.path() / "files";
  WriteFiles(files, {{"pages-1.img", std::string(6'000'000, 'p')}});
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ArchiveWriter writer, store_->Create("one"));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const Descriptor images,
      writer.PackFiles(OpenPath(files).get(), kCriuImagesLayerMediaType, nullptr));
  const UniqueFd blob = OpenPath(BlobPath(".partial/one", images), O_RDONLY);
  std::filesystem::create_directory(store_path() / "into");

  EXPECT_THAT(
      UnpackImages(kUnpackProgram, blob.get(), OpenPath(store_path() / "into").get(), {}, Soon()),
      StatusIs(Code::kResourceExhausted, HasSubstr("pages-1.img")));
}

}  // namespace
}  // namespace cryopod::archive::test
