#include "agent/terminal/progress.h"

#include <sys/ioctl.h>

#include <algorithm>

#include "agent/os/file.h"
#include "agent/terminal/text.h"

namespace cryopod::terminal {
namespace {

// A dump reports many times a second; a terminal at the end of a slow line shows a few.
constexpr std::chrono::milliseconds kRedrawInterval{100};
constexpr size_t kBarColumns = 24;
constexpr char kClearLine[] = "\r\x1b[K";

std::string StageName(const api::Progress& progress) {
  return OneLine(progress.container.empty() ? progress.stage
                                            : progress.stage + " " + progress.container);
}

void Write(const Console& console, const std::string& text) {
  // Progress that cannot be shown stops nothing.
  (void)WriteAll(console.err, text).ok();
}

// 80 where the terminal does not say.
size_t TerminalColumns(int fd) {
  winsize size = {};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string FormatBar(const std::string& title, const api::Progress& progress, size_t columns) {
  std::string line = OneLine(title) + ": " + StageName(progress);
  if (progress.bytes_total > 0) {
    const double part = std::min(
        1.0, static_cast<double>(progress.bytes_done) / static_cast<double>(progress.bytes_total));
    const auto filled = static_cast<size_t>(part * kBarColumns);
    line += "  [" + std::string(filled, '#') + std::string(kBarColumns - filled, '.') + "]  " +
            std::to_string(static_cast<int>(part * 100)) + " %  " + FormatMib(progress.bytes_done) +
            " of " + FormatMib(progress.bytes_total);
  }
  // A line that wraps cannot be drawn over.
  if (columns > 0 && line.size() >= columns) line.resize(columns - 1);
  return line;
}

ProgressReport::ProgressReport(const Console& console, std::string title)
    : console_(console), title_(std::move(title)) {}

ProgressReport::~ProgressReport() {
  if (drawn_) Write(console_, kClearLine);
}

void ProgressReport::Show(const api::Progress& progress) {
  if (progress.stage.empty()) return;
  const bool new_stage = StageName(progress) != stage_;
  stage_ = StageName(progress);
  if (!console_.err_is_terminal) {
    if (new_stage) Write(console_, OneLine(title_) + ": " + stage_ + "\n");
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && !new_stage && now - drawn_at_ < kRedrawInterval) return;
  drawn_ = true;
  drawn_at_ = now;
  Write(console_, kClearLine + FormatBar(title_, progress, TerminalColumns(console_.err)));
}

}  // namespace cryopod::terminal
