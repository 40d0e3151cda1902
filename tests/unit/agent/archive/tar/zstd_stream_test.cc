#include "agent/archive/tar/zstd_stream.h"

#include "tests/unit/agent/archive/archive_fixture.h"

namespace cryopod::archive {
namespace {

using cryopod::test::IsOk;
using cryopod::test::StatusIs;
using test::Noise;

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

// What comes out, or the error; `at_frame_end` tells whether the input may end there.
Result<std::string> Decompress(std::string_view compressed, bool* at_frame_end) {
  Result<ZstdDecompressor> zstd = ZstdDecompressor::Create();
  if (!zstd.ok()) return zstd.status();
  std::string bytes;
  std::string buffer(10'000, '\0');
  while (true) {
    Result<size_t> got = zstd->Read(&compressed, buffer.data(), buffer.size());
    if (!got.ok()) return got.status();
    bytes.append(buffer, 0, *got);
    if (*got == 0 && compressed.empty()) break;
  }
  *at_frame_end = zstd->at_frame_end();
  return bytes;
}

TEST(ZstdStreamTest, WhatWasCompressedComesBack) {
  for (const std::string& bytes : {std::string(), std::string("short"), Noise(3'000'000, 3),
                                   std::string(5'000'000, 'z') + Noise(100'000, 4)}) {
    for (const int workers : {0, 2}) {
      bool at_frame_end = false;

      const Result<std::string> back = Decompress(Compress(bytes, workers), &at_frame_end);

      ASSERT_THAT(back, IsOk());
      EXPECT_TRUE(*back == bytes) << bytes.size() << " bytes, " << workers << " workers";
      EXPECT_TRUE(at_frame_end);
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
    bool at_frame_end = true;

    const Result<std::string> back =
        Decompress(std::string_view(compressed).substr(0, size), &at_frame_end);

    EXPECT_TRUE(!back.ok() || !at_frame_end) << size;
  }
}

TEST(ZstdStreamTest, AFlippedBitIsRefused) {
  const std::string compressed = Compress(std::string(20'000, 'q') + Noise(2000, 5), 0);
  for (size_t at = 6; at < compressed.size(); at += 61) {
    std::string damaged = compressed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    bool at_frame_end = false;

    const Result<std::string> back = Decompress(damaged, &at_frame_end);

    EXPECT_TRUE(!back.ok() || !at_frame_end) << at;
  }
}

TEST(ZstdStreamTest, AWindowOfTwoGibibytesIsRefused) {
  // A frame header (RFC 8878, 3.1.1.1): magic, descriptor 0, window descriptor 2^31.
  const std::string header("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9);
  bool at_frame_end = false;

  EXPECT_THAT(Decompress(header, &at_frame_end), StatusIs(Code::kDataLoss));
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
}  // namespace cryopod::archive
