#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "agent/criu/images/image_file.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/file.h"
#include "agent/os/seccomp_filters.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu::test {

// The bytes of CRIU images as CRIU writes them.
inline constexpr uint32_t kPstreeMagic = 0x50273030;

inline std::string Number(uint32_t number) {
  std::string bytes(sizeof(number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(number));
  return bytes;
}

template <typename Message>
std::string Entry(const Message& message) {
  const std::string bytes = message.SerializePartialAsString();
  return Number(static_cast<uint32_t>(bytes.size())) + bytes;
}

template <typename Message>
std::string ImageOf(uint32_t magic, const std::vector<Message>& entries,
                    uint32_t family = kCommonImageMagic) {
  std::string image = Number(family) + Number(magic);
  for (const Message& entry : entries) image += Entry(entry);
  return image;
}

inline wire::pstree_entry Process(uint32_t pid, uint32_t parent, std::vector<uint32_t> threads) {
  wire::pstree_entry entry;
  entry.set_pid(pid);
  entry.set_ppid(parent);
  entry.set_pgid(pid);
  entry.set_sid(1);
  for (const uint32_t thread : threads) entry.add_threads(thread);
  return entry;
}

inline wire::file_entry Regular(uint32_t id, const std::string& name, uint32_t flags = O_RDONLY) {
  wire::file_entry entry;
  entry.set_type(1);
  entry.set_id(id);
  wire::reg_file_entry* file = entry.mutable_reg();
  file->set_id(id);
  file->set_flags(flags);
  file->set_pos(5);
  file->set_name(name);
  file->set_size(28);
  return entry;
}

inline wire::remap_file_path_entry Remap(uint32_t file, uint32_t ghost, uint32_t type = 1) {
  wire::remap_file_path_entry entry;
  entry.set_orig_id(file);
  entry.set_remap_id(ghost);
  entry.set_remap_type(type);
  return entry;
}

inline std::string Bytes(const SeccompFilter& filter) {
  return {reinterpret_cast<const char*>(filter.program.data()),
          filter.program.size() * sizeof(uint64_t)};
}

// A directory of CRIU images.
class ImagesTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) const {
    cryopod::test::WriteText(temp_.path() / name, bytes);
    std::filesystem::permissions(temp_.path() / name, std::filesystem::perms::owner_read |
                                                          std::filesystem::perms::owner_write);
  }
  std::string Text(const std::string& name) const {
    return cryopod::test::ReadText(temp_.path() / name);
  }
  template <typename Message>
  std::vector<Message> Entries(const std::string& name, uint32_t magic) const {
    std::vector<Message> entries;
    Result<EntryReader> reader = EntryReader::Open(dir_.get(), name, magic);
    EXPECT_THAT(reader, cryopod::test::IsOk());
    while (reader.ok() && !reader->AtEnd()) {
      EXPECT_THAT(reader->Next(&entries.emplace_back()), cryopod::test::IsOk());
    }
    return entries;
  }

  cryopod::test::TempDirectory temp_;
  const UniqueFd dir_ = OpenDirectory(temp_.path()).value();
};

}  // namespace cryopod::criu::test
