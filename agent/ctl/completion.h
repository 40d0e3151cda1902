#pragma once

#include <CLI/App.hpp>
#include <string>

namespace cryopod::ctl {

// A script for `shell` ("bash", "zsh") that completes verbs, options and the names of archives. It
// is written from the tree that parses them, `root`, so that it offers nothing that is not taken.
std::string CompletionScript(const CLI::App& root, const std::string& shell);

}  // namespace cryopod::ctl
