#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cryopod::terminal {

// "12.3 MiB".
std::string FormatMib(uint64_t size_bytes);
// "38.2 ms".
std::string FormatMs(uint64_t duration_us);
// "app, db".
std::string Join(const std::vector<std::string>& words);

// Text of others (an archive, a runtime) as one line that a terminal only shows: control
// characters, also the C1 ones in UTF-8, become spaces.
std::string OneLine(std::string_view text);

// Columns aligned with two spaces between them; the first row is the heading. Cells are made one
// line. Numbers stand at the right end of their column: those that are named in `right_columns`.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right_columns = {});

}  // namespace cryopod::terminal
