#include "agent/criu/images/judge_tmpfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "agent/criu/images/tmpfs_tar.h"
#include "agent/os/proc.h"
#include "image_bytes.h"

namespace cryopod::criu {
namespace {

using cryopod::test::IsOk;
using cryopod::test::ReadText;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

constexpr char kImage[] = "tmpfs-dev-76.tar.gz.img";
constexpr size_t kBlock = 512;

uint64_t Bit(const char* capability) { return uint64_t{1} << *CapabilityNumber(capability); }

std::string Octal(uint64_t number, size_t width) {
  std::string digits(width - 1, '0');
  for (size_t at = width - 1; at-- > 0; number >>= 3) {
    digits[at] = static_cast<char>('0' + (number & 7));
  }
  return digits + '\0';
}

// One header of GNU tar's format and the blocks of its content.
struct Member {
  std::string name;
  char type = '0';
  uint32_t mode = 0644;
  uint32_t uid = 1000;
  uint32_t gid = 1000;
  std::string content = {};
  std::string target = {};
  uint32_t major = 0;
  uint32_t minor = 0;
  // Written over what the header has, at an offset, before its sum is taken.
  std::vector<std::pair<size_t, std::string>> forged = {};
};

void SetSum(std::string* header) {
  header->replace(148, 8, "        ");
  uint32_t sum = 0;
  for (const char byte : *header) sum += static_cast<unsigned char>(byte);
  header->replace(148, 8, Octal(sum, 7) + ' ');
}

std::string OneEntry(const Member& member) {
  std::string header(kBlock, '\0');
  const auto put = [&](size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  put(0, member.name);
  put(100, Octal(member.mode, 8));
  put(108, Octal(member.uid, 8));
  put(116, Octal(member.gid, 8));
  put(124, Octal(member.content.size(), 12));
  put(136, Octal(0, 12));
  header[156] = member.type;
  put(157, member.target);
  put(257, std::string("ustar  \0", 8));
  if (member.type == '3' || member.type == '4') {
    put(329, Octal(member.major, 8));
    put(337, Octal(member.minor, 8));
  }
  for (const auto& [at, text] : member.forged) put(at, text);
  SetSum(&header);
  return header + member.content +
         std::string((kBlock - member.content.size() % kBlock) % kBlock, 0);
}

std::string Tar(const std::vector<Member>& members) {
  std::string tar;
  for (const Member& member : members) tar += OneEntry(member);
  return tar;
}

const std::string kEnd(2 * kBlock, '\0');

std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(::deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

const Member kTop = {"./", '5', 0755, 0, 0};

class JudgeTmpfsTest : public test::ImagesTest {
 protected:
  JudgeTmpfsTest() {
    rules_.uid = rules_.gid = 1000;
    rules_.groups = {2000};
    rules_.devices = {{.major = 1, .minor = 3},
                      {.is_block = true, .major = 7, .minor = 1, .mode = 0640, .gid = 6}};
    rules_.device_rules = {{false, "a", kAnyDevice, kAnyDevice, "rwm"},
                           {true, "c", 10, 229, "rwm"},
                           {true, "b", 253, kAnyDevice, "r"},
                           {true, "c", 10, 230, "m"}};
  }

  Status Judge() const { return JudgeTmpfs(dir_.get(), kImage, rules_, may_hold_); }
  Status JudgeBytes(const std::string& bytes) const {
    Write(kImage, bytes);
    return Judge();
  }
  Status JudgeTar(const std::string& tar) const { return JudgeBytes(Gzip(tar)); }
  // These after the top.
  Status JudgeMembers(const std::vector<Member>& members) const {
    return JudgeTar(OneEntry(kTop) + Tar(members) + kEnd);
  }
  std::string Shell(const std::string& command) const {
    const std::string out = temp_.path() / "out";
    EXPECT_EQ(std::system(("(" + command + ") >" + out + " 2>&1").c_str()), 0)
        << command << ": " << ReadText(out);
    return ReadText(out);
  }

  LiveRules rules_;
  uint64_t may_hold_ = 0;
};

TEST_F(JudgeTmpfsTest, WhatGnuTarMakesOfATmpfsIsReadAsGnuTarListsIt) {
  const std::string tree = temp_.path() / "tree";
  Shell("mkdir -p " + tree + "/a/b && cd " + tree + R"( && (
    echo content >a/file; ln a/file a/linked; ln -s /proc/self/fd fd; ln -s ../file a/b/up
    mkfifo -m 620 fifo; chmod 1777 a; touch -d 1960-01-01 old; touch 'b l?nk'
    truncate -s 5M a/hole; printf x | dd of=a/tail bs=1 seek=1000001 status=none
    for at in $(seq 30); do
      dd if=/dev/zero of=a/holes bs=4096 count=1 seek=$((at * 7)) conv=notrunc status=none
    done
    long=$(printf 'd%.0s' $(seq 150)); mkdir -p $long/$long; ln -s $long/$long/$long/x longlink
    touch $long/$long/file; ln $long/$long/file z
    head -c 3000000 /dev/urandom >random
    chown 3000000000:70000 old; ln fd a/fd2; mknod -m 666 null c 1 3 ))");
  for (const char* last : {"", "| cat"}) {  // a record is filled, or not
    Shell(
        "tar --create --gzip --no-unquote --no-wildcards --one-file-system --check-links "
        "--preserve-permissions --sparse --numeric-owner --format=gnu --directory " +
        tree + " . " + last + " >" + (temp_.path() / kImage).string());

    std::string listed;
    const Status read = ReadTmpfsTar(dir_.get(), kImage, [&](const TmpfsEntry& entry) {
      const bool is_directory = entry.kind == TmpfsEntry::Kind::kDirectory;
      listed += "./" + entry.path + (is_directory && !entry.path.empty() ? "/\n" : "\n");
      return Status();
    });

    EXPECT_THAT(read, IsOk());
    EXPECT_EQ(listed, Shell("tar --list --gzip --quoting-style=literal <" +
                            (temp_.path() / kImage).string()));
    EXPECT_THAT(Judge(), IsOk());
  }
}

TEST_F(JudgeTmpfsTest, AContainersDevIsTaken) {
  EXPECT_THAT(JudgeMembers({{"./fd", '2', 0777, 0, 0, "", "/proc/self/fd"},
                            {"./mqueue/", '5', 0755, 0, 0},
                            {"./null", '3', 0666, 0, 0, "", "", 1, 3},
                            {"./pts/", '5', 0755, 0, 0},
                            {"./ptmx", '2', 0777, 0, 0, "", "pts/ptmx"},
                            {"./shm/", '5', 01777, 0, 0},
                            {"./console"}}),
              IsOk());
}

struct Forgery {
  const char* reason;
  std::string bytes;
};

std::vector<Forgery> ForgedNames() {
  const auto of = [](const std::vector<Member>& members) {
    return Gzip(OneEntry(kTop) + Tar(members) + kEnd);
  };
  const std::string kPax("29 SCHILY.xattr.security.capa=1\n");
  return {
      {"a name that no dump has", of({{"/etc/passwd"}})},
      {"a name that no dump has", of({{"etc"}})},
      {"a name that no dump has", of({{"../x"}})},
      {"a name that no dump has", of({{"./../x"}})},
      {"a name that no dump has", of({{"./a/", '5'}, {"./a/../../x"}})},
      {"a name that no dump has", of({{".//etc"}})},
      {"a name that no dump has", of({{"././x"}})},
      {"a name that no dump has", of({{"./x/"}})},
      {"a name that no dump has", of({{"./x", '5'}})},
      {"a name that no dump has", of({{"./"}})},
      {"a name that no dump has",
       of({{"././@LongLink", 'L', 0, 0, 0, "./" + std::string(256, 'x') + '\0'}, {"./x"}})},
      {"in no directory of the tar", of({{"./out", '2', 0777, 0, 0, "", "/etc"}, {"./out/x"}})},
      {"in no directory of the tar", of({{"./a/", '5'}, {"./b/", '5'}, {"./a/x"}})},
      {"stands twice", of({{"./a/", '5'}, {"./a", '2', 0777, 0, 0, "", "b"}, {"./a/x"}})},
      {"stands twice", of({{"./out", '2', 0777, 0, 0, "", "/etc"}, {"./out/", '5'}, {"./out/x"}})},
      {"stands twice", of({{"./x"}, {"./x"}})},
      {"no earlier entry", of({{"./x", '1', 0644, 0, 0, "", "./y"}})},
      {"no earlier entry", of({{"./x", '1', 0644, 0, 0, "", "./x"}})},
      {"a hard link out", of({{"./x", '1', 0644, 0, 0, "", "/etc/shadow"}})},
      {"a hard link out", of({{"./x", '1', 0644, 0, 0, "", "../../etc/shadow"}})},
      {"a hard link out", of({{"./x", '1', 0644, 0, 0, "", "./"}})},
      {"a second top", of({kTop})},
      {"no entry of the top", Gzip(kEnd)},
      {"no entry of the top", Gzip(OneEntry({"./x"}) + kEnd)},
      {"of a type", of({{"./x", 'x', 0644, 0, 0, kPax}, {"./x"}})},
      {"of a type", of({{"./x", 'g', 0644, 0, 0, kPax}, {"./x"}})},
      {"of a type", of({{"./x", 'X', 0644, 0, 0, kPax}, {"./x"}})},
      {"of a type", of({{"./x", 'A'}})},
      {"of a type", of({{"./x/", 'D'}})},
      {"of a type", of({{"./x", 'M'}})},
      {"of a type", of({{"./x", 'N'}})},
      {"of a type", of({{"./x", 'V'}})},
      {"of a type", of({{"./x", '7'}})},
      {"of a type", of({{"./x", '\0'}})},
  };
}

std::vector<Forgery> ForgedHeaders() {
  const auto with = [](char type, size_t at, const std::string& text) {
    return Gzip(OneEntry(kTop) + Tar({{"./x", type, 0644, 0, 0, "", "", 1, 3, {{at, text}}}}) +
                kEnd);
  };
  std::string wrong_sum = OneEntry({"./x"});
  wrong_sum[0] = '/';
  const std::string nines(7, '9');
  const auto long_name = [](const std::string& text) {
    return Tar({{"././@LongLink", 'L', 0, 0, 0, text}});
  };
  return {
      {"no header", Gzip(OneEntry(kTop) + wrong_sum + kEnd)},
      {"no header", with('0', 257,
                         std::string("ustar\0"
                                     "00",
                                     8))},
      {"no header", with('0', 257, std::string(8, '\0'))},
      {"no header", Gzip(OneEntry(kTop) + std::string(kBlock, 'x') + kEnd)},
      {"an owner by name", with('0', 265, "root")},
      {"an owner by name", with('0', 297, "shadow")},
      {"a number that is none", with('0', 100, nines)},
      {"a number that is none", with('0', 108, nines)},
      {"a number that is none", with('0', 116, std::string(8, '\xff'))},
      {"a number that is none", with('0', 108, std::string("\x80\0\0\0\xff\xff\xff\xff", 8))},
      {"a number that is none", with('3', 329, nines)},
      {"a number that is none", with('4', 337, std::string(8, '\0'))},
      {"a size that is none", with('0', 124, std::string(12, '\xff'))},
      {"a size that is none", with('0', 124, '\x80' + std::string(11, '\xff'))},
      {"a size that is none", with('0', 124, "            ")},
      {"content of what is no file", with('2', 124, Octal(512, 12))},
      {"content of what is no file",
       Gzip(OneEntry(kTop) + Tar({{"./x/", '5', 0755, 0, 0, "x"}}) + kEnd)},
      {"cut off", with('0', 124, Octal(1 << 20, 12))},
      {"cut off", with('0', 124, std::string("\x80\0\0\0\x10\0\0\0\0\0\0\0", 12))},
      {"a long name that is none",
       Gzip(OneEntry(kTop) + long_name("./a" + std::string("\0b", 3)) + OneEntry({"./x"}) + kEnd)},
      {"a long name that is none",
       Gzip(OneEntry(kTop) + long_name("./a") + OneEntry({"./x"}) + kEnd)},
      {"a long name that is none",
       Gzip(OneEntry(kTop) + long_name("./" + std::string(9000, 'x') + '\0') + OneEntry({"./x"}) +
            kEnd)},
      {"a long name that is none",
       Gzip(OneEntry(kTop) + long_name(std::string("./x\0", 4)) +
            long_name(std::string("./y\0", 4)) + OneEntry({"./x"}) + kEnd)},
      {"a long name of nothing", Gzip(OneEntry(kTop) + long_name(std::string("./x\0", 4)) + kEnd)},
  };
}

std::vector<Forgery> ForgedHoles() {
  // A file of `size` bytes with these pieces, of which it says that there is more or not.
  const auto file = [](uint64_t size, const std::vector<std::array<uint64_t, 2>>& pieces, char more,
                       size_t held, const std::string& further = "") {
    Member member{"./x", 'S', 0644, 0, 0, std::string(held, 'x')};
    size_t at = 386;
    for (const auto& [start, length] : pieces) {
      member.forged.push_back({at, Octal(start, 12) + Octal(length, 12)});
      at += 24;
    }
    member.forged.push_back({482, std::string(1, more)});
    member.forged.push_back({483, Octal(size, 12)});
    std::string tar = OneEntry(member);
    return Gzip(OneEntry(kTop) + tar.substr(0, kBlock) + further + tar.substr(kBlock) + kEnd);
  };
  const char* const none = "holes that are none";
  return {
      {none, file(4096, {{0, 512}, {256, 512}}, 0, 1024)},
      {none, file(4096, {{1024, 512}, {0, 512}}, 0, 1024)},
      {none, file(4096, {{0, 512}}, 0, 1024)},
      {none, file(4096, {{0, 1024}}, 0, 512)},
      {none, file(4096, {{0, 100}, {512, 412}}, 0, 512)},
      {none, file(4096, {{4096, 512}}, 0, 512)},
      {none, file(4096, {{5000, 0}}, 0, 0)},
      {none, file(4096, {{0, 512}}, 1, 512, std::string(kBlock, '\0'))},
      {none, file(4096, {{0, 0}, {1, 0}, {2, 0}, {3, 0}}, 2, 0, std::string(kBlock, '\0'))},
      {none, file(4096, {{0, 0}, {1, 0}, {2, 0}, {3, 0}}, 1, 0, std::string(kBlock, '9'))},
  };
}

std::vector<Forgery> ForgedEnds() {
  const std::string sound = Gzip(OneEntry(kTop) + kEnd);
  const std::string more = Gzip(OneEntry({"./x"}) + kEnd);
  std::string damaged = sound;
  damaged[damaged.size() - 6] ^= 1;  // of the checksum
  return {
      {"the gzip stream is cut off", ""},
      {"the gzip stream is cut off", sound.substr(0, sound.size() - 1)},
      {"the gzip stream is cut off", sound.substr(0, 15)},
      {"not a sound gzip stream", damaged},
      {"not a sound gzip stream", "\x1f\x9d\x90" + sound},
      {"not a sound gzip stream", OneEntry(kTop) + kEnd},
      {"bytes follow the gzip stream", sound + more},
      {"bytes follow the gzip stream", sound + std::string(600, '\0') + more},
      {"bytes follow the gzip stream", sound + "\x1f\x9d\x90"},
      {"the tar is cut off", Gzip("")},
      {"the tar is cut off", Gzip(OneEntry(kTop))},
      {"the tar is cut off", Gzip(OneEntry(kTop) + std::string(kBlock, '\0'))},
      {"no whole blocks", Gzip(OneEntry(kTop) + "x")},
      {"an end that is none",
       Gzip(OneEntry(kTop) + std::string(kBlock, '\0') + OneEntry({"./x"}) + kEnd)},
      {"bytes follow the end", Gzip(OneEntry(kTop) + kEnd + OneEntry({"./x"}) + kEnd)},
      {"bytes follow the end",
       Gzip(OneEntry(kTop) + kEnd + std::string(1 << 20, '\0') + OneEntry({"./x"}))},
  };
}

TEST_F(JudgeTmpfsTest, WhatNoDumpWritesIsRefused) {
  int refused = 0;
  for (const auto& forgeries : {ForgedNames(), ForgedHeaders(), ForgedHoles(), ForgedEnds()}) {
    for (size_t i = 0; i < forgeries.size(); ++i) {
      const Status judged = JudgeBytes(forgeries[i].bytes);

      EXPECT_THAT(judged, StatusIs(Code::kDataLoss, HasSubstr(forgeries[i].reason))) << i;
      EXPECT_THAT(judged.message(), HasSubstr(kImage));
      refused += judged.ok() ? 0 : 1;
    }
  }
  std::printf("forged images of a tmpfs refused: %d\n", refused);
}

TEST_F(JudgeTmpfsTest, FilesWithHolesAreTaken) {
  Member few{"./few", 'S', 0644, 0, 0, std::string(612, 'x')};
  few.forged = {{386, Octal(4096, 12) + Octal(512, 12) + Octal(9000, 12) + Octal(100, 12)},
                {483, Octal(uint64_t{1} << 32, 12)}};
  EXPECT_THAT(JudgeMembers({few, {"./after"}}), IsOk());
}

TEST_F(JudgeTmpfsTest, DeviceNodesAreThoseOfAFreshContainer) {
  const auto node = [](char type, uint32_t major, uint32_t minor, uint32_t mode, uint32_t uid = 0,
                       uint32_t gid = 0) {
    return std::vector<Member>{{"./node", type, mode, uid, gid, "", "", major, minor}};
  };
  const uint64_t mknod = Bit("CAP_MKNOD");
  const struct {
    std::vector<Member> members;
    uint64_t may_hold;
    bool is_taken;
  } cases[] = {
      {node('3', 1, 3, 0666), 0, true},
      {node('3', 1, 3, 0600, 1000, 1000), 0, true},  // everybody has it
      {node('3', 1, 3, 0777), 0, true},
      {node('4', 1, 3, 0666), 0, false},
      {node('3', 1, 1, 0666), 0, false},
      {node('3', 1, 1, 0666), ~mknod, false},
      {node('4', 8, 0, 0600), 0, false},
      {node('4', 7, 1, 0640, 0, 6), 0, true},
      {node('4', 7, 1, 0660, 0, 6), 0, false},
      {node('4', 7, 1, 0644, 0, 6), 0, false},
      {node('4', 7, 1, 0660, 0, 6), Bit("CAP_FOWNER"), true},
      {node('4', 7, 1, 0640, 1000, 6), 0, false},
      {node('4', 7, 1, 0640, 0, 1000), 0, false},
      {node('4', 7, 1, 0640, 1000, 6), Bit("CAP_CHOWN"), true},
      {node('3', 7, 1, 0640, 0, 6), 0, false},
      // With CAP_MKNOD, what the device cgroup lets be opened.
      {node('3', 10, 229, 0666), mknod, true},
      {node('3', 10, 229, 0666), 0, false},
      {node('4', 10, 229, 0666), mknod, false},
      {node('4', 253, 70000, 0666), mknod, true},
      {node('4', 253, 70000, 0666), 0, false},
      {node('3', 10, 230, 0666), mknod, false},
      {node('4', 8, 0, 0000), mknod, false},
  };
  for (const auto& [members, may_hold, is_taken] : cases) {
    may_hold_ = may_hold;

    const Status judged = JudgeMembers(members);

    const Member& member = members.front();
    EXPECT_EQ(judged.ok(), is_taken) << member.type << ' ' << member.major << ':' << member.minor
                                     << ' ' << may_hold << ' ' << judged.message();
    if (is_taken) continue;
    EXPECT_THAT(judged, StatusIs(Code::kPermissionDenied, HasSubstr("device ")));
    EXPECT_THAT(judged.message(), HasSubstr("at \"node\", and the new pod"));
  }
}

TEST_F(JudgeTmpfsTest, TheLaterRulesOfTheDeviceCgroupCount) {
  may_hold_ = Bit("CAP_MKNOD");
  const std::vector<Member> disk = {{"./sda", '4', 0660, 0, 0, "", "", 8, 0}};
  rules_.device_rules.push_back({true, "", kAnyDevice, kAnyDevice, "rwm"});
  EXPECT_THAT(JudgeMembers(disk), IsOk()) << "privileged";

  rules_.device_rules.push_back({false, "b", 8, kAnyDevice, "w"});
  EXPECT_THAT(JudgeMembers(disk), IsOk()) << "to read";

  rules_.device_rules.push_back({false, "b", 8, 0, ""});
  EXPECT_THAT(JudgeMembers(disk),
              StatusIs(Code::kPermissionDenied, HasSubstr("block device 8:0 (mode 0660")));

  rules_.device_rules.clear();
  EXPECT_THAT(JudgeMembers(disk), StatusIs(Code::kPermissionDenied));
}

TEST_F(JudgeTmpfsTest, SetIdFilesAreOfWhomAProcessMayBe) {
  const struct {
    Member member;
    uint64_t may_hold;
    const char* refused;  // nullptr: taken
  } cases[] = {
      {{"./sh", '0', 04755, 0, 0}, 0, "a set-uid file of user 0"},
      {{"./sh", '0', 04755, 0, 0}, Bit("CAP_SETUID"), nullptr},
      {{"./sh", '0', 04755, 1000, 0}, 0, nullptr},
      {{"./sh", '0', 02755, 1000, 0}, 0, "a set-gid file of group 0"},
      {{"./sh", '0', 02755, 1000, 0}, Bit("CAP_SETGID"), nullptr},
      {{"./sh", '0', 02755, 0, 1000}, 0, nullptr},
      {{"./sh", '0', 02755, 0, 2000}, 0, nullptr},
      {{"./sh/", '5', 02775, 0, 0}, 0, nullptr},
      {{"./sh", '0', 0755, 0, 0}, 0, nullptr},
  };
  for (const auto& [member, may_hold, refused] : cases) {
    may_hold_ = may_hold;
    rules_.no_new_privs = false;
    if (refused == nullptr) {
      EXPECT_THAT(JudgeMembers({member}), IsOk()) << member.mode << ' ' << member.uid;
      continue;
    }
    EXPECT_THAT(JudgeMembers({member}), StatusIs(Code::kPermissionDenied, HasSubstr(refused)));
    rules_.no_new_privs = true;
    EXPECT_THAT(JudgeMembers({member}), IsOk()) << "nobody gains by it";
  }
}

TEST_F(JudgeTmpfsTest, MoreEntriesThanAWriterLeavesAreRefused) {
  Write(kImage, Gzip(OneEntry(kTop) + Tar({{"./x"}, {"./y"}, {"./z"}}) + kEnd));
  const auto take = [](const TmpfsEntry&) { return Status(); };

  EXPECT_THAT(ReadTmpfsTar(dir_.get(), kImage, take, 3),
              StatusIs(Code::kDataLoss, HasSubstr("more than 3 entries")));
  EXPECT_THAT(ReadTmpfsTar(dir_.get(), kImage, take, 4), IsOk());
}

TEST_F(JudgeTmpfsTest, TheRulesOfDevicesComeBackAsTheyWere) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const LiveRules parsed, ParseLiveRules(FormatLiveRules(rules_)));
  EXPECT_EQ(parsed.devices, rules_.devices);
  EXPECT_EQ(parsed.device_rules, rules_.device_rules);
}

}  // namespace
}  // namespace cryopod::criu
