#include "agent/archive/unpack/unpack_stream.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

LayerEntry SampleEntry() {
  return {.path = "var/lib/\xff data",
          .uid = 1000,
          .gid = UINT32_MAX - 1,
          .mode = 04755,
          .mtime_ns = -5,
          .device_major = 8,
          .device_minor = 1,
          .size_bytes = 4,
          .xattrs = {{"user.a", std::string("\0b", 2)}, {"user.c", ""}}};
}

// Its record without the record's head.
std::string SampleHeader() { return EncodeEntry(SampleEntry()).substr(kEndRecord.size()); }

class EntryStreamTest : public ::testing::Test {
 protected:
  void SetUp() override { CRYOPOD_ASSERT_OK_AND_ASSIGN(pipe_, MakePipe()); }

  // What a reader makes of these bytes when the writer then ends.
  EntryReader ReaderOf(const std::string& bytes) {
    SetUp();
    EXPECT_THAT(WriteAll(pipe_.write.get(), bytes), IsOk());
    pipe_.write.Reset();
    return EntryReader(pipe_.read.get(), Soon());
  }

  Pipe pipe_;
};

TEST_F(EntryStreamTest, EntriesAndContentComeOutAsTheyWentIn) {
  EntryReader reader = ReaderOf(EncodeEntry(SampleEntry()) + "data" + std::string(kEndRecord));
  LayerEntry entry;
  char buffer[8] = {};

  ASSERT_THAT(reader.Next(&entry), IsOkAnd(true));
  EXPECT_EQ(entry, SampleEntry());
  EXPECT_THAT(reader.Read(buffer, 3), IsOkAnd(3u));
  EXPECT_THAT(reader.Read(buffer + 3, 3), IsOkAnd(1u));
  EXPECT_THAT(reader.Read(buffer, 3), IsOkAnd(0u));
  EXPECT_STREQ(buffer, "data");
  EXPECT_THAT(reader.Next(&entry), IsOkAnd(false));
}

TEST_F(EntryStreamTest, AnEarlyEndIsNoEnd) {
  EntryReader reader = ReaderOf(EncodeEntry(SampleEntry()) + "da");
  LayerEntry entry;
  char buffer[8];

  ASSERT_THAT(reader.Next(&entry), IsOkAnd(true));
  EXPECT_THAT(reader.Read(buffer, 8), IsOkAnd(2u));
  EXPECT_THAT(reader.Read(buffer, 8), StatusIs(Code::kUnavailable));
}

TEST_F(EntryStreamTest, EveryCutRecordIsRefused) {
  const std::string record = EncodeEntry(SampleEntry());
  for (size_t size = 0; size < record.size(); ++size) {
    EntryReader reader = ReaderOf(record.substr(0, size));
    LayerEntry entry;

    EXPECT_THAT(reader.Next(&entry), StatusIs(Code::kUnavailable)) << size;
  }
}

TEST_F(EntryStreamTest, GarbageIsRefusedAlsoBehindTheEnd) {
  for (const std::string& bytes :
       {std::string("garbage"), std::string("E\xff\xff\xff\xff", 5), std::string(4096, 'E'),
        std::string("Z\1\0\0\0x", 6), std::string(64, '\0'), std::string(kEndRecord) + "Z"}) {
    EntryReader reader = ReaderOf(bytes);
    LayerEntry entry;

    EXPECT_THAT(reader.Next(&entry), StatusIs(Code::kDataLoss));
  }
}

TEST_F(EntryStreamTest, SilenceEndsWithTheDeadline) {
  EntryReader reader(pipe_.read.get(), Deadline::After(std::chrono::milliseconds(50)));
  LayerEntry entry;

  EXPECT_THAT(reader.Next(&entry), StatusIs(Code::kDeadlineExceeded));
}

TEST_F(EntryStreamTest, AWriterThatNeverPausesEndsWithTheDeadlineToo) {
  LayerEntry endless = SampleEntry();
  endless.size_bytes = UINT64_MAX;
  ASSERT_THAT(WriteAll(pipe_.write.get(), EncodeEntry(endless)), IsOk());
  std::jthread writer([fd = pipe_.write.get()] {
    const std::string bytes(65'536, 'x');
    while (WriteAll(fd, bytes).ok()) {
    }
  });
  ::signal(SIGPIPE, SIG_IGN);
  EntryReader reader(pipe_.read.get(), Deadline::After(std::chrono::milliseconds(100)));
  LayerEntry entry;
  ASSERT_THAT(reader.Next(&entry), IsOkAnd(true));
  std::vector<char> buffer(65'536);

  Result<size_t> got = reader.Read(buffer.data(), buffer.size());
  while (got.ok()) got = reader.Read(buffer.data(), buffer.size());

  EXPECT_THAT(got, StatusIs(Code::kDeadlineExceeded));
  pipe_.read.Reset();
}

TEST(DecodeEntryHeaderTest, AHeaderWithMoreOrLessOrOfNoKindIsRefused) {
  std::string header = SampleHeader();

  EXPECT_THAT(DecodeEntryHeader(header), IsOkAnd(SampleEntry()));
  EXPECT_THAT(DecodeEntryHeader(header + "x"), StatusIs(Code::kDataLoss));
  for (size_t size = 0; size < header.size(); ++size) {
    EXPECT_THAT(DecodeEntryHeader(header.substr(0, size)), StatusIs(Code::kDataLoss)) << size;
  }
  header[0] = 9;
  EXPECT_THAT(DecodeEntryHeader(header), StatusIs(Code::kDataLoss));
}

TEST(DecodeEntryHeaderTest, NoBytesMakeItReadBeyondThem) {
  uint64_t state = 1;
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = SampleHeader();
    for (int change = 0; change < 3; ++change) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes[(state >> 33) % bytes.size()] = static_cast<char>(state >> 25);
    }

    const Result<LayerEntry> entry = DecodeEntryHeader(bytes);

    if (entry.ok()) {
      ++accepted;
      EXPECT_EQ(EncodeEntry(*entry).substr(kEndRecord.size()), bytes);
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 20'000);
}

}  // namespace
}  // namespace cryopod::archive::test
