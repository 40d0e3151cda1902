#include "agent/archive/tar/zstd_stream.h"

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive::test {
namespace {

std::string Compress(const std::string& bytes, int workers) {
  std::string compressed;
  Result<ZstdCompressor> zstd = ZstdCompressor::Create(1, workers, [&](std::string chunk) {
    compressed += chunk;
    return Status();
  });
  EXPECT_THAT(zstd, IsOk());
  // In uneven pieces.
  for (size_t at = 0; at < bytes.size(); at += 300'001) {
    EXPECT_THAT(zstd->Write(std::string_view(bytes).substr(at, 300'001)), IsOk());
  }
  EXPECT_THAT(zstd->Finish(), IsOk());
  return compressed;
}

// What comes out of whole frames.
Result<std::string> Decompress(std::string_view compressed) {
  CRYOPOD_ASSIGN_OR_RETURN(ZstdDecompressor zstd, ZstdDecompressor::Create());
  std::string bytes;
  std::string buffer(10'000, '\0');
  while (true) {
    CRYOPOD_ASSIGN_OR_RETURN(const size_t got,
                             zstd.Read(&compressed, buffer.data(), buffer.size()));
    bytes.append(buffer, 0, got);
    if (got == 0 && compressed.empty()) break;
  }
  if (!zstd.at_frame_end()) return Status(Code::kUnavailable, "in the middle of a frame");
  return bytes;
}

TEST(ZstdStreamTest, WhatWasCompressedComesBack) {
  for (const std::string& bytes : {std::string(), std::string("short"), Noise(3'000'000, 3),
                                   std::string(5'000'000, 'z') + Noise(100'000, 4)}) {
    for (const int workers : {0, 2}) {
      CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string back, Decompress(Compress(bytes, workers)));

      EXPECT_TRUE(back == bytes) << bytes.size() << " bytes, " << workers << " workers";
    }
  }
}

TEST(ZstdStreamTest, TheSameBytesGiveTheSameStream) {
  const std::string bytes = std::string(3'000'000, 'a') + Noise(3'000'000, 9);

  EXPECT_TRUE(Compress(bytes, 2) == Compress(bytes, 2));
}

TEST(ZstdStreamTest, ACutStreamDoesNotEndAtAFrame) {
  const std::string compressed = Compress(Noise(20'000, 5), 0);
  for (size_t size = 0; size < compressed.size(); size += 97) {
    EXPECT_FALSE(Decompress(std::string_view(compressed).substr(0, size)).ok()) << size;
  }
}

TEST(ZstdStreamTest, AFlippedBitIsRefused) {
  const std::string compressed = Compress(std::string(20'000, 'q') + Noise(2000, 5), 0);
  for (size_t at = 6; at < compressed.size(); at += 61) {
    EXPECT_FALSE(Decompress(Flipped(compressed, at * 8 + 4)).ok()) << at;
  }
}

TEST(ZstdStreamTest, AWindowOfTwoGibibytesIsRefused) {
  // A frame header (RFC 8878, 3.1.1.1): magic, descriptor 0, window descriptor 2^31.
  const std::string header("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);

  EXPECT_THAT(Decompress(header), StatusIs(Code::kDataLoss));
}

TEST(ZstdStreamTest, AFailingOutputEndsTheCompression) {
  Result<ZstdCompressor> zstd = ZstdCompressor::Create(
      1, 2, [](std::string) { return Status(Code::kResourceExhausted, "full"); });
  ASSERT_THAT(zstd, IsOk());
  const std::string noise = Noise(8'000'000, 1);

  Status status = zstd->Write(noise);
  if (status.ok()) status = zstd->Finish();

  EXPECT_THAT(status, StatusIs(Code::kResourceExhausted, "full"));
}

}  // namespace
}  // namespace cryopod::archive::test
