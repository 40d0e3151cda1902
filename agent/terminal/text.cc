#include "agent/terminal/text.h"

#include <algorithm>
#include <cstdio>

namespace cryopod::terminal {
namespace {

std::string OneDecimal(double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f %s", value, unit);
  return text;
}

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// Characters, not bytes: names may hold any UTF-8.
size_t Width(std::string_view text) {
  return text.size() - static_cast<size_t>(std::count_if(text.begin(), text.end(), IsContinuation));
}

}  // namespace

std::string FormatMib(uint64_t size_bytes) {
  return OneDecimal(static_cast<double>(size_bytes) / (1 << 20), "MiB");
}

std::string FormatMs(uint64_t duration_us) {
  return OneDecimal(static_cast<double>(duration_us) / 1000, "ms");
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right_columns) {
  std::vector<std::vector<std::string>> cells = rows;
  std::vector<size_t> widths;
  for (std::vector<std::string>& row : cells) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = OneLine(row[i]);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::string table;
  for (const std::vector<std::string>& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const bool right = std::ranges::find(right_columns, i) != right_columns.end();
      const std::string padding(widths[i] - Width(row[i]), ' ');
      line += (right ? padding + row[i] : row[i] + padding) + "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

}  // namespace cryopod::terminal
