#include "agent/criu/images/memory_images.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "agent/criu/images/criu_images.h"
#include "agent/criu/images/fill_list.h"
#include "agent/criu/images/image_file.h"
#include "agent/criu/proto/images.pb.h"
#include "agent/os/directory.h"
#include "agent/os/file.h"

namespace cryopod::criu {
namespace {

// Source: CRIU 4.2, criu/include/magic.h, pagemap.h, image.h.
constexpr uint32_t kMmMagic = 0x57492820;
constexpr uint32_t kPagemapMagic = 0x56084025;
constexpr uint32_t kInParent = 1u << 0;
constexpr uint32_t kPresent = 1u << 2;
constexpr uint32_t kGuardArea = 1u << 16;

constexpr size_t kHeadBytes = 4096;
// Areas and entries of all processes: 32 bytes each, in a process that has 1 GiB.
constexpr size_t kHeldMax = size_t{1} << 20;

class MemoryReader {
 public:
  explicit MemoryReader(int dir_fd) : dir_fd_(dir_fd) {}

  Result<std::vector<ProcessMemory>> Run() {
    CRYOPOD_RETURN_IF_ERROR(CountPagesFiles());
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DumpedProcess> processes, ReadPstree(dir_fd_));
    std::vector<ProcessMemory> all;
    std::set<pid_t> pids;
    for (const DumpedProcess& process : processes) {
      if (!pids.insert(process.pid).second) return BrokenImage("pstree.img", "a PID twice");
      if (process.threads.empty()) continue;  // a zombie has no memory
      CRYOPOD_ASSIGN_OR_RETURN(ProcessMemory memory, Read(process));
      all.push_back(std::move(memory));
    }
    return all;
  }

 private:
  // How many pagemaps, those of shared memory included, name each pages file.
  Status CountPagesFiles() {
    CRYOPOD_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> files, ListDirectory(dir_fd_));
    for (const DirectoryEntry& file : files) {
      if (!file.name.starts_with("pagemap-")) continue;
      CRYOPOD_ASSIGN_OR_RETURN(const UniqueFd image,
                               OpenBeneath(dir_fd_, file.name, O_RDONLY | O_NOFOLLOW));
      std::string bytes(kHeadBytes, '\0');
      const ssize_t got = ::pread(image.get(), bytes.data(), bytes.size(), 0);
      if (got < 0) return ErrnoStatus(errno, "pread", file.name);
      bytes.resize(static_cast<size_t>(got));
      wire::pagemap_head head;
      CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader,
                               EntryReader::Of(std::move(bytes), file.name, kPagemapMagic));
      CRYOPOD_RETURN_IF_ERROR(reader.Next(&head));
      ++users_[head.pages_id()];
    }
    return Status();
  }

  Result<ProcessMemory> Read(const DumpedProcess& process) {
    ProcessMemory memory;
    memory.pid = process.pid;
    memory.parent_pid = process.parent_pid;
    CRYOPOD_RETURN_IF_ERROR(ReadAreas(memory));
    CRYOPOD_RETURN_IF_ERROR(ReadPagemap(memory));
    for (const pid_t thread : process.threads) {
      CRYOPOD_RETURN_IF_ERROR(ReadKernelPages(thread, memory));
    }
    std::sort(memory.kernel_pages.begin(), memory.kernel_pages.end());
    return memory;
  }

  Status ReadAreas(ProcessMemory& memory) {
    const std::string name = "mm-" + std::to_string(memory.pid) + ".img";
    CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader, EntryReader::Open(dir_fd_, name, kMmMagic));
    wire::mm_entry image;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&image));
    uint64_t last = 0;
    for (const wire::vma_entry& area : image.vmas()) {
      // No area of the kernel's, and out of order: marks inside the others.
      if ((area.status() & kGuardArea) != 0) continue;
      const bool whole = (area.start() | area.end()) % PageBytes() == 0;
      if (!whole || area.start() < last || area.end() <= area.start()) {
        return BrokenImage(name, "areas that cannot be");
      }
      last = area.end();
      CRYOPOD_RETURN_IF_ERROR(Hold(name));
      memory.areas.push_back({area.start(), area.end(), area.prot(), area.flags(), area.status()});
    }
    return Status();
  }

  Status ReadPagemap(ProcessMemory& memory) {
    const std::string name = PagemapFile(memory.pid);
    CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader, EntryReader::Open(dir_fd_, name, kPagemapMagic));
    wire::pagemap_head head;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&head));
    memory.pages_id = head.pages_id();
    if (users_[memory.pages_id] != 1) return BrokenImage(name, "shares its pages file");
    while (!reader.AtEnd()) {
      wire::pagemap_entry image;
      CRYOPOD_RETURN_IF_ERROR(reader.Next(&image));
      CRYOPOD_RETURN_IF_ERROR(Hold(name));
      CRYOPOD_RETURN_IF_ERROR(AddEntry(name, image, memory));
    }
    return Status();
  }

  static Status AddEntry(const std::string& name, const wire::pagemap_entry& image,
                         ProcessMemory& memory) {
    PagemapEntry entry;
    entry.address = image.vaddr();
    entry.has_flags = image.has_flags();
    entry.has_wide_number = image.has_nr_pages();
    entry.pages = entry.has_wide_number ? image.nr_pages() : image.compat_nr_pages();
    entry.flags = entry.has_flags ? image.flags() : kPresent;
    if (image.in_parent() || (entry.flags & kInParent) != 0 || (entry.flags & kPresent) == 0) {
      return Status(Code::kUnimplemented, name + ": pages that lie elsewhere");
    }
    const uint64_t room = kUserAddressMax / PageBytes();
    if (entry.address % PageBytes() != 0 || entry.pages == 0 || entry.pages > room ||
        memory.pages > room) {
      return BrokenImage(name, "an entry that cannot be");
    }
    memory.pages += entry.pages;
    memory.entries.push_back(entry);
    return Status();
  }

  Status ReadKernelPages(pid_t thread, ProcessMemory& memory) {
    const std::string name = CoreImage(thread);
    CRYOPOD_ASSIGN_OR_RETURN(EntryReader reader, EntryReader::Open(dir_fd_, name, kCoreMagic));
    wire::core_entry core;
    CRYOPOD_RETURN_IF_ERROR(reader.Next(&core));
    if (!core.thread_core().has_rseq_entry()) return Status();
    const uint64_t address = core.thread_core().rseq_entry().rseq_abi_pointer();
    const uint64_t size = core.thread_core().rseq_entry().rseq_abi_size();
    if (address == 0) return Status();
    if (address > kUserAddressMax || size > PageBytes()) return BrokenImage(name, "an odd rseq");
    const uint64_t first = address - address % PageBytes();
    for (uint64_t page = first; page <= address + size; page += PageBytes()) {
      memory.kernel_pages.push_back(page);
    }
    return Status();
  }

  Status Hold(const std::string& name) {
    if (++held_ <= kHeldMax) return Status();
    return Status(Code::kResourceExhausted, name + ": more areas and entries than are looked at");
  }

  int dir_fd_;
  std::map<uint32_t, int> users_;
  size_t held_ = 0;
};

}  // namespace

std::string PagemapFile(pid_t pid) { return "pagemap-" + std::to_string(pid) + ".img"; }
std::string PagesFile(uint32_t pages_id) { return "pages-" + std::to_string(pages_id) + ".img"; }

Result<std::vector<ProcessMemory>> ReadMemoryImages(int images_dir_fd) {
  return MemoryReader(images_dir_fd).Run();
}

Status WritePagemap(int images_dir_fd, pid_t pid, uint32_t pages_id,
                    const std::vector<PagemapEntry>& entries) {
  EntryWriter writer(kPagemapMagic);
  wire::pagemap_head head;
  head.set_pages_id(pages_id);
  writer.Append(head.SerializeAsString());
  for (const PagemapEntry& entry : entries) {
    wire::pagemap_entry image;
    image.set_vaddr(entry.address);
    // Readers of the wide number do not look at this one.
    image.set_compat_nr_pages(static_cast<uint32_t>(entry.pages));
    if (entry.has_wide_number) image.set_nr_pages(entry.pages);
    if (entry.has_flags) image.set_flags(entry.flags);
    writer.Append(image.SerializeAsString());
  }
  return writer.Write(images_dir_fd, PagemapFile(pid));
}

}  // namespace cryopod::criu
