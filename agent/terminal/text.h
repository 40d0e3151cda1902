#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/os/text.h"

namespace cryopod::terminal {

// "12.3 MiB".
std::string FormatMib(uint64_t size_bytes);
// "38.2 ms".
std::string FormatMs(uint64_t duration_us);
using cryopod::Join;
// Text of others (an archive, a runtime), however long, as one line that a terminal only shows.
inline std::string OneLine(std::string_view text) { return Printable(text, text.size()); }

// Columns aligned with two spaces between them; the first row is the heading. Cells are made one
// line. Numbers stand at the right end of their column: those that are named in `right_columns`.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right_columns = {});

}  // namespace cryopod::terminal
