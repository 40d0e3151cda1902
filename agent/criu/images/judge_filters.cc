#include "agent/criu/images/judge_filters.h"

#include <linux/seccomp.h>

#include "agent/criu/images/image_file.h"
#include "agent/criu/images/too_much.h"
#include "agent/criu/proto/images.pb.h"

namespace cryopod::criu {
namespace {

constexpr char kImage[] = "seccomp.img";
constexpr uint32_t kNone = SECCOMP_MODE_DISABLED;
constexpr uint32_t kStrict = SECCOMP_MODE_STRICT;
constexpr uint32_t kFilter = SECCOMP_MODE_FILTER;
constexpr uint32_t kFlags =
    SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW;

std::string Bytes(const SeccompFilter& filter) {
  return {reinterpret_cast<const char*>(filter.program.data()),
          filter.program.size() * sizeof(uint64_t)};
}

}  // namespace

FilterChains::FilterChains(int images_dir_fd, const LiveRules& rules)
    : dir_fd_(images_dir_fd),
      live_(rules.seccomp_filters),
      replaces_filter_(rules.replaces_filter),
      filters_(std::make_unique<wire::seccomp_entry>()) {}
FilterChains::FilterChains(FilterChains&&) noexcept = default;
FilterChains::~FilterChains() = default;

Result<FilterChains> FilterChains::Read(int images_dir_fd, const LiveRules& rules) {
  FilterChains chains(images_dir_fd, rules);
  CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                           EntryReader::Open(images_dir_fd, kImage, kSeccompMagic));
  CRYOPOD_RETURN_IF_ERROR(reader.Next(chains.filters_.get()));
  CRYOPOD_RETURN_IF_ERROR(CheckKnown(kImage, *chains.filters_));
  for (int i = 0; i < chains.filters_->seccomp_filters_size(); ++i) {
    CRYOPOD_RETURN_IF_ERROR(chains.CheckFilter(static_cast<uint32_t>(i)));
  }
  return chains;
}

wire::seccomp_filter& FilterChains::Filter(uint32_t number) const {
  return *filters_->mutable_seccomp_filters(static_cast<int>(number));
}

Status FilterChains::CheckFilter(uint32_t number) {
  wire::seccomp_filter* const filter = &Filter(number);
  CRYOPOD_RETURN_IF_ERROR(CheckKnown(kImage, *filter));
  if (filter->has_prev() && filter->prev() >= number) {
    return BrokenImage(kImage, "a chain of filters that does not end");
  }
  if ((filter->flags() & ~kFlags) != 0) {
    return TooMuch(kImage, "a seccomp filter that hands calls to a supervisor", "none");
  }
  uint32_t same = 0;
  for (size_t i = 0; i < live_.size(); ++i) {
    if (filter->filter() != Bytes(live_[i])) continue;
    same |= uint32_t{1} << i;
    if (const uint32_t flags = filter->flags() | live_[i].flags; flags != filter->flags()) {
      filter->set_flags(flags);
    }
  }
  same_.push_back(same);
  present_.push_back(same | (filter->has_prev() ? present_[filter->prev()] : 0));
  return Status();
}

Result<FilterChains::Oldest> FilterChains::ChainOf(const std::string& image,
                                                   const wire::thread_core_entry& thread) const {
  if (thread.seccomp_mode() != kFilter) return Oldest();
  if (thread.seccomp_filter() < present_.size()) return Oldest(thread.seccomp_filter());
  return BrokenImage(image, "a seccomp filter that is not there");
}

Result<bool> FilterChains::AreShared(const DumpedProcess& process) const {
  bool any_has = false;
  for (const pid_t task : process.threads) {
    const std::string image = CoreImage(task);
    CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader, EntryReader::Open(dir_fd_, image, kCoreMagic));
    wire::core_entry core;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&core));
    CRYOPOD_ASSIGN_OR_RETURN(const Oldest oldest, ChainOf(image, core.thread_core()));
    if (task == process.pid && oldest) {
      return (Filter(*oldest).flags() & SECCOMP_FILTER_FLAG_TSYNC) != 0;
    }
    any_has |= core.thread_core().seccomp_mode() != kNone;
  }
  return !any_has;
}

FilterChains::Oldest FilterChains::WithoutReplaced(Oldest oldest) const {
  if (!replaces_filter_ || !oldest || same_[*oldest] != 0) return oldest;
  const wire::seccomp_filter& replaced = Filter(*oldest);
  return replaced.has_prev() ? Oldest(replaced.prev()) : Oldest();
}

// The newest live filter that is missing comes first, as each names the one after it.
uint32_t FilterChains::Extend(Oldest oldest, bool shared) {
  const auto [known, is_new] = extended_.try_emplace({oldest, shared}, 0);
  if (!is_new) return known->second;
  Oldest made = WithoutReplaced(oldest);
  const uint32_t present = made ? present_[*made] : 0;
  for (size_t i = live_.size(); i-- > 0;) {
    if ((present & uint32_t{1} << i) != 0) continue;
    wire::seccomp_filter* const added = filters_->add_seccomp_filters();
    added->set_filter(Bytes(live_[i]));
    added->set_flags(live_[i].flags | (shared ? SECCOMP_FILTER_FLAG_TSYNC : 0));
    if (made) added->set_prev(*made);
    made = static_cast<uint32_t>(filters_->seccomp_filters_size()) - 1;
  }
  return known->second = *made;
}

Status FilterChains::Judge(const std::string& image, bool first, bool shared,
                           wire::thread_core_entry* thread) {
  CRYOPOD_ASSIGN_OR_RETURN(const Oldest oldest, ChainOf(image, *thread));
  const uint32_t mode = thread->seccomp_mode();
  if (mode > kFilter) return BrokenImage(image, "a seccomp mode that is not known");
  // The strict one allows less than any filter, and has room for none.
  if (live_.empty() || mode == kStrict) return Status();
  if (shared && !first && mode == kNone) return Status();
  thread->set_seccomp_filter(Extend(oldest, shared && first));
  thread->set_seccomp_mode(kFilter);
  return Status();
}

Status FilterChains::Write() const {
  EntryWriter writer(kSeccompMagic);
  writer.Append(filters_->SerializeAsString());
  return writer.Write(dir_fd_, kImage);
}

}  // namespace cryopod::criu
