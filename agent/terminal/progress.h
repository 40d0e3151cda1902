#pragma once

#include <chrono>
#include <string>

#include "agent/api/types.h"
#include "agent/terminal/console.h"

namespace cryopod::terminal {

// Shows how far an operation is, on the console's `err`: a bar that is drawn over and over on a
// terminal, a line for each new stage elsewhere.
class ProgressReport {
 public:
  // `title` is what runs: "checkpoint shop/web".
  ProgressReport(const Console& console, std::string title);
  // Leaves the terminal's line empty.
  ~ProgressReport();

  void Show(const api::Progress& progress);

 private:
  const Console console_;
  const std::string title_;
  std::string stage_;  // with its container, as shown last
  bool drawn_ = false;
  std::chrono::steady_clock::time_point drawn_at_;
};

// The bar's line, exactly `columns` wide at most: "dump app  [#####.....]  45 %  118.1/262.4 MiB".
std::string FormatBar(const std::string& title, const api::Progress& progress, size_t columns);

}  // namespace cryopod::terminal
