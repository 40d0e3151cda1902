#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/temp_directory.h"

namespace cryopod::criu::test {

// A directory with the fake criu under any name; the name chooses its behaviour (fake_criu.cc).
class FakeCriuFixture : public ::testing::Test {
 protected:
  std::string Criu(const std::string& behaviour) {
    const std::filesystem::path program = programs_.path() / behaviour;
    if (!std::filesystem::exists(program)) {
      std::filesystem::create_symlink(CRYOPOD_FAKE_CRIU, program);
    }
    return program;
  }

  cryopod::test::TempDirectory programs_;
};

}  // namespace cryopod::criu::test
