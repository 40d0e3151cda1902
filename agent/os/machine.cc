#include "agent/os/machine.h"

#include <sys/auxv.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "agent/os/cgroup_paths.h"
#include "agent/os/file.h"
#include "agent/os/text.h"

namespace cryopod {
namespace {

constexpr uint64_t Bits(std::initializer_list<int> numbers) {
  uint64_t bits = 0;
  for (const int number : numbers) bits |= uint64_t{1} << number;
  return bits;
}

struct Word {
  std::string_view name;
  uint32_t leaf;
  uint32_t subleaf;
  int reg;  // 0 to 3: eax, ebx, ecx, edx
  // What only kernels use or switch on for a process that asks (errata, paging, virtualization,
  // monitoring, shadow stacks), copies of other words, and what is a no-op elsewhere. A bit that
  // had no meaning yet is not here: it counts.
  uint64_t not_for_programs;
};

constexpr Word kWords[] = {
    {"1.ecx", 1, 0, 2, Bits({2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 17, 18, 21, 24, 31})},
    {"1.edx", 1, 0, 3,
     Bits({1, 2, 3, 5, 6, 7, 9, 12, 13, 14, 16, 17, 18, 21, 22, 27, 28, 29, 30, 31})},
    {"7.0.ebx", 7, 0, 1, Bits({1, 2, 4, 6, 7, 9, 10, 12, 13, 15, 20, 25})},
    {"7.0.ecx", 7, 0, 2, Bits({0, 2, 3, 7, 13, 16, 17, 18, 19, 20, 21, 23, 24, 30, 31})},
    {"7.0.edx", 7, 0, 3, Bits({1, 4, 5, 9, 10, 11, 13, 15, 18, 19, 20, 26, 27, 28, 29, 30, 31})},
    {"7.1.eax", 7, 1, 0, Bits({6, 8, 10, 11, 12, 17, 18, 19, 20, 22, 26, 27, 30})},
    {"7.1.edx", 7, 1, 3, Bits({14, 17, 18})},
    {"d.1.eax", 0xd, 1, 0, Bits({3, 4})},
    {"80000001.ecx", 0x80000001, 0, 2,
     Bits({1, 2, 3, 4, 8, 9, 10, 12, 13, 15, 17, 19, 22, 23, 24, 26, 27, 28, 29, 30})},
    {"80000001.edx", 0x80000001, 0, 3, ~Bits({11, 27, 29, 30, 31})},
    {"80000008.ebx", 0x80000008, 0, 1, ~Bits({0, 4, 8})},
};

struct Bit {
  std::string_view word;
  int number;
  std::string_view name;
};

constexpr Bit kUsualNames[] = {
    {"1.ecx", 12, "fma"},       {"1.ecx", 20, "sse4_2"},    {"1.ecx", 23, "popcnt"},
    {"1.ecx", 25, "aes"},       {"1.ecx", 28, "avx"},       {"7.0.ebx", 3, "bmi1"},
    {"7.0.ebx", 5, "avx2"},     {"7.0.ebx", 8, "bmi2"},     {"7.0.ebx", 11, "rtm"},
    {"7.0.ebx", 16, "avx512f"}, {"7.0.ebx", 29, "sha_ni"},  {"7.0.ecx", 4, "ospke"},
    {"7.0.ecx", 9, "vaes"},     {"7.0.edx", 24, "amx_tile"}};

constexpr std::string_view kState = "xstate";

std::string Hex(uint64_t bits) {
  char digits[16];
  const auto [end, error] = std::to_chars(std::begin(digits), std::end(digits), bits, 16);
  return {std::begin(digits), end};
}

uint64_t BitsOf(const CpuWords& words, const std::string& name) {
  uint64_t bits = 0;
  const auto word = words.find(name);
  if (word != words.end()) ParseNumber(word->second, bits, 16);
  return bits;
}

uint64_t NotForPrograms(std::string_view name) {
  const auto* word = std::ranges::find(kWords, name, &Word::name);
  return word == std::end(kWords) ? 0 : word->not_for_programs;
}

std::string NameOf(const std::string& word, int number) {
  std::string place = word + " bit " + std::to_string(number);
  const auto* usual = std::ranges::find_if(
      kUsualNames, [&](const Bit& bit) { return bit.word == word && bit.number == number; });
  if (usual == std::end(kUsualNames)) return place;
  return std::string(usual->name) + " (" + place + ")";
}

#if defined(__x86_64__)
// What the kernel has switched on. Only where CPUID says that it uses XSAVE at all.
uint64_t ReadXcr0() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

void ReadState(CpuWords& words) {
  const uint64_t xcr0 = ReadXcr0();
  words["xcr0"] = Hex(xcr0);
  // The first two parts, x87 and SSE, have their places for ever.
  for (unsigned part = 2; part < 63; ++part) {
    uint32_t size = 0, offset = 0, flags = 0, unused = 0;
    if ((xcr0 >> part & 1) == 0) continue;
    if (__get_cpuid_count(0xd, part, &size, &offset, &flags, &unused) == 0) continue;
    const std::string name = std::string(kState) + std::to_string(part);
    words[name + ".size"] = Hex(size);
    words[name + ".offset"] = Hex(offset);
  }
}
#endif

}  // namespace

CpuWords ReadCpu() {
  CpuWords words;
#if defined(__x86_64__)
  for (const Word& word : kWords) {
    uint32_t registers[4] = {};
    __get_cpuid_count(word.leaf, word.subleaf, &registers[0], &registers[1], &registers[2],
                      &registers[3]);
    words[std::string(word.name)] = Hex(registers[word.reg]);
  }
  constexpr uint64_t kOsUsesXsave = uint64_t{1} << 27;
  if (BitsOf(words, "1.ecx") & kOsUsesXsave) ReadState(words);
#else
  words["hwcap"] = Hex(::getauxval(AT_HWCAP));
  words["hwcap2"] = Hex(::getauxval(AT_HWCAP2));
#endif
  return words;
}

std::vector<std::string> MissingFrom(const CpuWords& target, const CpuWords& source) {
  std::vector<std::string> missing;
  for (const auto& [name, text] : source) {
    if (name.starts_with(kState)) {
      const auto here = target.find(name);
      // Where there is no such part, xcr0 says so.
      if (here != target.end() && here->second != text) {
        missing.push_back(name + " " + text + " (here " + here->second + ")");
      }
      continue;
    }
    const uint64_t bits = BitsOf(source, name) & ~BitsOf(target, name) & ~NotForPrograms(name);
    for (int number = 0; number < 64; ++number) {
      if (bits >> number & 1) missing.push_back(NameOf(name, number));
    }
  }
  return missing;
}

std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo) {
  for (const std::string_view line : SplitLines(cpuinfo)) {
    // x86 says flags, ARM says Features.
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::vector<std::string> flags;
    for (const std::string_view word : SplitWords(line.substr(colon + 1))) flags.emplace_back(word);
    std::sort(flags.begin(), flags.end());
    return flags;
  }
  return {};
}

Result<Machine> ReadMachine() {
  utsname names{};
  if (::uname(&names) != 0) return ErrnoStatus(errno, "uname", "this machine");
  CRYOPOD_ASSIGN_OR_RETURN(const std::string cpuinfo, ReadFile("/proc/cpuinfo"));
  CRYOPOD_ASSIGN_OR_RETURN(const std::vector<CgroupMount> mounts, ReadCgroupMounts());
  const CgroupMount* freezing = FreezingMount(mounts);
  const char* version = freezing == nullptr ? "" : freezing->controllers.empty() ? "v2" : "v1";
  return Machine{names.machine, names.release, version, ParseCpuFlags(cpuinfo), ReadCpu()};
}

}  // namespace cryopod
