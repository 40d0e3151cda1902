#include "agent/archive/tar/tar_writer.h"

#include "agent/archive/tar/tar_reader.h"
#include "agent/archive/unpack/unpack_child.h"
#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

using Content = std::vector<std::pair<LayerEntry, std::string>>;

Result<std::string> WriteTar(TarWriter::Format format, const Content& entries) {
  std::string bytes;
  TarWriter tar(format, SinkInto(&bytes));
  for (const auto& [entry, content] : entries) {
    CRYOPOD_RETURN_IF_ERROR(tar.Add(entry));
    CRYOPOD_RETURN_IF_ERROR(tar.Write(content));
  }
  CRYOPOD_RETURN_IF_ERROR(tar.Finish());
  return bytes;
}

Result<Content> ReadTar(const std::string& bytes) {
  TempDirectory temp;
  WriteText(temp.path() / "tar", bytes);
  const UniqueFd file = OpenPath(temp.path() / "tar", O_RDONLY);
  CRYOPOD_ASSIGN_OR_RETURN(TarReader tar,
                           TarReader::Open(file.get(), TarReader::Compression::kNone, {}));
  Content entries;
  LayerEntry entry;
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const bool more, tar.Next(&entry));
    if (!more) return entries;
    CRYOPOD_RETURN_IF_ERROR(NormalizeLayerEntry(&entry).status());
    entries.emplace_back(entry, "");
    CRYOPOD_RETURN_IF_ERROR(tar.Content(SinkInto(&entries.back().second)));
  }
}

LayerEntry Entry(Kind kind, const std::string& path, const std::string& link_target = "") {
  return {.kind = kind,
          .path = path,
          .link_target = link_target,
          .uid = 1000,
          .gid = 4'000'000'000,
          .mode = 0640,
          .mtime_ns = 1'764'000'000'123'456'789};
}

LayerEntry File(const std::string& path, const std::string& content) {
  LayerEntry entry = Entry(Kind::kFile, path);
  entry.size_bytes = content.size();
  return entry;
}

// What the tar holds is what went in.
void ExpectSame(TarWriter::Format format, const Content& entries) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string tar, WriteTar(format, entries));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const Content read, ReadTar(tar));
  ASSERT_EQ(read.size(), entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_TRUE(read[i] == entries[i]) << entries[i].first.path << " became " << read[i].first.path;
  }
}

TEST(TarWriterTest, EveryKindOfEntryComesBackAsItWas) {
  LayerEntry device = Entry(Kind::kCharDevice, "d/null");
  device.device_major = 1;
  device.device_minor = 3;
  LayerEntry block = Entry(Kind::kBlockDevice, "d/disk");
  block.device_major = 4095;
  block.device_minor = 1'048'575;
  LayerEntry before_1970 = Entry(Kind::kDirectory, "old");
  before_1970.mtime_ns = -1'500'000'000;
  LayerEntry file = File("d/file", "content");
  file.mode = 06755;
  file.xattrs = {{"security.capability", std::string("\1\0\0\2\0", 5)}, {"user.empty", ""}};
  ExpectSame(TarWriter::Format::kFull,
             {{Entry(Kind::kDirectory, "d"), ""},
              {{.kind = Kind::kOpaque, .path = "d"}, ""},
              {file, "content"},
              {Entry(Kind::kHardlink, "d/hard", "d/file"), ""},
              {Entry(Kind::kSymlink, "d/link", "../../\xff/anywhere"), ""},
              {device, ""},
              {block, ""},
              {Entry(Kind::kFifo, "d/fifo"), ""},
              {{.kind = Kind::kWhiteout, .path = "d/gone"}, ""},
              {{.kind = Kind::kWhiteout, .path = "gone"}, ""},
              {before_1970, ""}});
}

TEST(TarWriterTest, NamesAreBytesOfAnyLength) {
  for (const std::string& path :
       {std::string("ascii"), std::string("gr\xc3\xbc\xc3\x9f"), std::string("\xff\xfe invalid"),
        std::string(255, 'x'), std::string(99, 'a') + "/" + std::string(150, 'b'),
        std::string("new\nline\ttab"), std::string(" leading and trailing ")}) {
    ExpectSame(TarWriter::Format::kFull, {{File(path, "x"), "x"}});
    ExpectSame(TarWriter::Format::kPlain, {{{.path = path, .mode = 0600, .size_bytes = 1}, "x"}});
  }
}

TEST(TarWriterTest, TheSameEntriesGiveTheSameBytes) {
  const Content entries = {{File("a", "1"), "1"}, {File(std::string(200, 'b'), "2"), "2"}};

  EXPECT_EQ(*WriteTar(TarWriter::Format::kFull, entries),
            *WriteTar(TarWriter::Format::kFull, entries));
}

TEST(TarWriterTest, AnEmptyTarIsItsEndMarker) {
  const Result<std::string> tar = WriteTar(TarWriter::Format::kPlain, {});

  ASSERT_THAT(tar, IsOk());
  EXPECT_EQ(*tar, std::string(1024, '\0'));
  EXPECT_THAT(ReadTar(*tar), IsOk());
}

TEST(TarWriterTest, WithoutFinishThereIsNoEndMarker) {
  std::string bytes;
  {
    TarWriter tar(TarWriter::Format::kPlain, SinkInto(&bytes));
    ASSERT_THAT(tar.Add(File("a", "12345")), IsOk());
    ASSERT_THAT(tar.Write("12"), IsOk());
  }

  EXPECT_THAT(ReadTar(bytes), StatusIs(Code::kDataLoss));
}

TEST(TarWriterTest, AFileHasExactlyTheBytesOfItsHeader) {
  TarWriter tar(TarWriter::Format::kPlain, [](std::string_view) { return Status(); });
  ASSERT_THAT(tar.Add(File("a", "12345")), IsOk());

  EXPECT_THAT(tar.Write("123456"), StatusIs(Code::kInternal));
  EXPECT_THAT(tar.Add(File("b", "")), StatusIs(Code::kInternal));
  EXPECT_THAT(tar.Finish(), StatusIs(Code::kInternal));
}

TEST(TarWriterTest, TheErrorOfTheOutputIsReturned) {
  TarWriter tar(TarWriter::Format::kPlain,
                [](std::string_view) { return Status(Code::kResourceExhausted, "disk full"); });

  EXPECT_THAT(tar.Add(File("a", "12345")), StatusIs(Code::kResourceExhausted, "disk full"));
}

TEST(TarWriterTest, AnXattrNameWithAnEqualsSignIsRefusedByName) {
  LayerEntry file = File("a", "");
  file.xattrs = {{"user.a=b", "c"}};
  TarWriter tar(TarWriter::Format::kFull, [](std::string_view) { return Status(); });

  EXPECT_THAT(tar.Add(file), StatusIs(Code::kUnimplemented, ::testing::HasSubstr("user.a=b")));
}

}  // namespace
}  // namespace cryopod::archive::test
