#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

// What a value must be. A check returns why `text` is none, in words that go after the setting's
// name ("must be an absolute path"); empty when all is well.
namespace cryopod::settings {

using Check = std::function<std::string(const std::string& text)>;

Check AbsolutePath(size_t size_bytes_max = 4095);
// An absolute path or nothing.
Check PathOrEmpty();
Check NotEmpty();
Check OneOf(std::vector<std::string> words);
// A decimal number within both.
Check Between(uint32_t min, uint32_t max);
// FROM:TO, any number of them, separated by blanks or commas; names as Kubernetes' namespaces.
Check NamespacePairs();
// Pure. The pairs of such a text.
std::vector<std::string_view> SplitPairs(std::string_view text);

}  // namespace cryopod::settings
