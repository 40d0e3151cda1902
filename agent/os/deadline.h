#pragma once

#include <chrono>

namespace cryopod {

// An absolute instant of the monotonic clock, passed down and never reset.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline After(std::chrono::nanoseconds wait) { return Deadline(Clock::now() + wait); }
  static Deadline At(Clock::time_point instant) { return Deadline(instant); }

  Clock::time_point instant() const { return instant_; }
  bool expired() const { return Clock::now() >= instant_; }
  // Never negative.
  std::chrono::nanoseconds remaining() const {
    const auto left = instant_ - Clock::now();
    return left.count() > 0 ? std::chrono::nanoseconds(left) : std::chrono::nanoseconds(0);
  }
  // For poll(2): rounded up, so that a wait does not end before the deadline; bounded by int.
  int poll_timeout_ms() const {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(remaining()).count();
    return ms > 3'600'000 ? 3'600'000 : static_cast<int>(ms);
  }
  // The earlier of the two.
  Deadline Sooner(Deadline other) const { return instant_ < other.instant_ ? *this : other; }
  Deadline SoonerAfter(std::chrono::nanoseconds wait) const { return Sooner(After(wait)); }

 private:
  explicit Deadline(Clock::time_point instant) : instant_(instant) {}
  Clock::time_point instant_;
};

}  // namespace cryopod
