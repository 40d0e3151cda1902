#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/criu/images/criu_images.h"
#include "agent/criu/images/live_rules.h"
#include "agent/os/status.h"

namespace cryopod::criu {

namespace wire {
class seccomp_entry;
class seccomp_filter;
class thread_core_entry;
}  // namespace wire

// The seccomp filters in a container's images, and the chain of each of its tasks: a task names the
// oldest of its own, each filter the next newer one.
//
// Every task gets the live filters as its oldest, in place of the one that the archive's runtime
// has set, so that no generation of restores makes a chain longer. Where the live request has none,
// chains stay as they are. The kernel takes the strictest answer of a chain: whatever else is in
// it, it allows no more than the live filters do.
//
// Source   CRIU 4.2, criu/seccomp.c; kernel/seccomp.c, seccomp_run_filters.
// Errors   kPermissionDenied (a filter that hands calls to a supervisor, a field that is not
//          known); kDataLoss (a chain that does not end, a filter that is not there); they name the
//          image.
class FilterChains {
 public:
  // `rules` must outlive the chains.
  static Result<FilterChains> Read(int images_dir_fd, const LiveRules& rules);
  FilterChains(FilterChains&&) noexcept;
  FilterChains& operator=(FilterChains&&) = delete;
  ~FilterChains();

  // Do all threads of the process share the chain of its first? Then CRIU sets that for all of them
  // at once, and theirs have none. Reads their images.
  Result<bool> AreShared(const DumpedProcess& process) const;
  // `thread` is the first or another one of a process that shares or does not.
  Status Judge(const std::string& image, bool first, bool shared, wire::thread_core_entry* thread);
  // What has been added.
  Status Write() const;

 private:
  // Of a chain, by its oldest filter; none: it is empty.
  using Oldest = std::optional<uint32_t>;

  FilterChains(int images_dir_fd, const LiveRules& rules);
  Status CheckFilter(uint32_t number);
  Result<Oldest> ChainOf(const std::string& image, const wire::thread_core_entry& thread) const;
  wire::seccomp_filter& Filter(uint32_t number) const;
  Oldest WithoutReplaced(Oldest oldest) const;
  uint32_t Extend(Oldest oldest, bool shared);

  int dir_fd_;
  const std::vector<SeccompFilter>& live_;
  bool replaces_filter_;
  std::unique_ptr<wire::seccomp_entry> filters_;
  // Which of the live filters each filter of the archive is, and which are in the chain that begins
  // with it: a bit each.
  std::vector<uint32_t> same_;
  std::vector<uint32_t> present_;
  // What became of a chain: {its oldest, is it shared} to the new oldest.
  std::map<std::pair<Oldest, bool>, uint32_t> extended_;
};

}  // namespace cryopod::criu
