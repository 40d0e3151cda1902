#pragma once

#include <mutex>

namespace cryopod::test {

// What it points to, with its `mutex_` held as long as this lives: for one statement.
template <typename Guarded>
class Locked {
 public:
  explicit Locked(Guarded& guarded) : lock_(guarded.mutex_), guarded_(guarded) {}
  Guarded* operator->() const { return &guarded_; }

 private:
  const std::lock_guard<std::mutex> lock_;
  Guarded& guarded_;
};

}  // namespace cryopod::test
