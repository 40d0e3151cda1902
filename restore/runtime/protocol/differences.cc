#include "restore/runtime/protocol/differences.h"

#include <algorithm>
#include <array>

#include "agent/os/text.h"

namespace cryopod::wrapper {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, 4> kNames = {"image", "command", "working-directory",
                                                    "setuid"};

}  // namespace

std::string_view DifferenceName(Difference difference) {
  return kNames[static_cast<size_t>(difference)];
}

Result<std::set<Difference>> ParseDifferences(std::string_view annotation) {
  std::set<Difference> differences;
  if (SplitWords(annotation).empty()) return differences;
  for (const std::string_view part : Split(annotation, ',')) {
    const std::vector<std::string_view> words = SplitWords(part);
    const auto* const found =
        words.size() == 1 ? std::ranges::find(kNames, words[0]) : kNames.end();
    if (found == kNames.end()) {
      return Status(Code::kInvalidArgument,
                    "\"" + Printable(part, 64) +
                        "\" is no difference that can be allowed; there are " +
                        Join({kNames.begin(), kNames.end()}));
    }
    differences.insert(static_cast<Difference>(found - kNames.begin()));
  }
  return differences;
}

}  // namespace cryopod::wrapper
